"""Every address of the program: each room brings its own."""

from django.urls import include, path

urlpatterns = [
    path("", include("machnuoc.core.urls")),
    path("", include("machnuoc.places.urls")),
    path("", include("machnuoc.indicators.urls")),
    path("", include("machnuoc.works.urls")),
    path("", include("machnuoc.telemetry.urls")),
    path("", include("machnuoc.customers.urls")),
    path("", include("machnuoc.billing.urls")),
    path("", include("machnuoc.planning.urls")),
    path("", include("machnuoc.reports.urls")),
    path("", include("machnuoc.portal.urls")),
    path("api/v1/", include("machnuoc.config.api_urls")),
]
handler400 = "machnuoc.core.views.bad_request"
handler403 = "machnuoc.core.views.forbidden"
handler404 = "machnuoc.core.views.not_found"
handler500 = "machnuoc.core.views.server_error"
