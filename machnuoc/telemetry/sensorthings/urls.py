"""Addresses of SensorThings: one, which reads the rest of the path by its own grammar."""

from django.urls import path

from machnuoc.telemetry.sensorthings import views

urlpatterns = [
    path("sta/v1.1/", views.serve, name="sensorthings"),
    path("sta/v1.1/<path:path>", views.serve, name="sensorthings_path"),
]
