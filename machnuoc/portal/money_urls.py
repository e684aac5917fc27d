"""Addresses of the first page, connections, bills and payment."""

from django.urls import URLPattern, path

from machnuoc.portal import home_views

urlpatterns: list[URLPattern] = [
    path("", home_views.home, name="home"),
]
