"""Addresses of the room: connections and applications, meters, readings, the field page, requests."""

from machnuoc.customers import (
    connection_urls,
    field_urls,
    meter_urls,
    notice_urls,
    open311_urls,
    reading_urls,
    request_urls,
)

app_name = "customers"
urlpatterns = [
    *connection_urls.urlpatterns,
    *meter_urls.urlpatterns,
    *reading_urls.urlpatterns,
    *field_urls.urlpatterns,
    *request_urls.urlpatterns,
    *notice_urls.urlpatterns,
    *open311_urls.urlpatterns,
]
