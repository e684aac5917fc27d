"""Addresses of the room: live screens, alarms, devices."""

from django.urls import path

from machnuoc.telemetry import alarm_urls, device_urls, ingest_urls, live_urls, metrics
from machnuoc.telemetry.sensorthings import urls as sensorthings_urls

app_name = "telemetry"
urlpatterns = [
    path("metrics", metrics.metrics, name="metrics"),
    *live_urls.urlpatterns,
    *alarm_urls.urlpatterns,
    *device_urls.urlpatterns,
    *ingest_urls.urlpatterns,
    *sensorthings_urls.urlpatterns,
]
