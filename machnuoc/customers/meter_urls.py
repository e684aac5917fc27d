"""Addresses: meters."""

from django.urls import URLPattern, path

from machnuoc.customers import meter_views

urlpatterns: list[URLPattern] = [
    path("dong-ho/", meter_views.meter_list, name="meter_list"),
    path("dong-ho/<int:pk>/", meter_views.meter_detail, name="meter_detail"),
    path("dong-ho/<int:pk>/sua/", meter_views.meter_edit, name="meter_edit"),
    path("dong-ho/thay/<str:code>/", meter_views.meter_swap, name="meter_swap"),
    path("dong-ho/lap/<str:code>/", meter_views.meter_fit, name="meter_fit"),
]
