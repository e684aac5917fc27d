"""Addresses of tasks, inspections, campaigns."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
