"""Addresses: Open311 GeoReport v2."""

from django.urls import re_path

from machnuoc.customers import open311_views as views

_KIND = r"\.(?P<kind>json|xml)$"

urlpatterns = [
    re_path(rf"^open311/v2/services{_KIND}", views.services, name="open311_services"),
    re_path(rf"^open311/v2/services/(?P<code>[\w-]{{1,40}}){_KIND}", views.service, name="open311_service"),
    re_path(rf"^open311/v2/requests{_KIND}", views.requests, name="open311_requests"),
    re_path(rf"^open311/v2/requests/(?P<code>[\w-]{{1,60}}){_KIND}", views.one_request, name="open311_request"),
    re_path(rf"^open311/v2/tokens/(?P<token>[\w-]{{1,60}}){_KIND}", views.token, name="open311_token"),
]
