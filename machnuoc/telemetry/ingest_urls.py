"""Addresses to which devices write."""

from django.urls import path

from machnuoc.telemetry import http_ingest

urlpatterns = [path("api/v1/telemetry/readings", http_ingest.post_readings, name="readings")]
