"""Addresses of requests, applications, readings of one's own, notices and one's own data."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
