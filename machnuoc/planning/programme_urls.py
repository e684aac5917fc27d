"""Addresses of criteria programmes."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
