"""Addresses of the customers' pages."""

from django.urls import URLPattern

app_name = "portal"
urlpatterns: list[URLPattern] = []
