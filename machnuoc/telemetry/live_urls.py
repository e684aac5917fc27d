"""Addresses of the live screens."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
