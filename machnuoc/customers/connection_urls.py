"""Addresses: connection."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
