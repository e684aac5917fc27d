"""Addresses of devices, channels and what arrived from them."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
