"""Addresses of projects and handover."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
