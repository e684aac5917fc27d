"""Addresses of plans and targets."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
