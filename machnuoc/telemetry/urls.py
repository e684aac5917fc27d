"""Addresses of the room: live screens, alarms, devices."""

from machnuoc.telemetry import alarm_urls, device_urls, ingest_urls, live_urls

app_name = "telemetry"
urlpatterns = [*live_urls.urlpatterns, *alarm_urls.urlpatterns, *device_urls.urlpatterns, *ingest_urls.urlpatterns]
