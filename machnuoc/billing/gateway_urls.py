"""Addresses: gateway."""

from django.urls import URLPattern, path

from machnuoc.billing import gateway_views as views

urlpatterns: list[URLPattern] = [
    path("thanh-toan/<slug:gateway>/bao/", views.gateway_callback, name="gateway_callback"),
    path("thanh-toan/<slug:gateway>/tro-lai/", views.gateway_return, name="gateway_return"),
]
