"""Addresses: rounds, readings that wait, routes, sheets of readings."""

from django.urls import URLPattern, path

from machnuoc.customers import reading_sheet_views, reading_views

_ROUND = "ghi-chi-so/dot/<int:pk>/"

urlpatterns: list[URLPattern] = [
    path("ghi-chi-so/", reading_views.round_list, name="round_list"),
    path("ghi-chi-so/mo-dot/", reading_views.round_open, name="round_open"),
    path(_ROUND, reading_views.round_detail, name="round_detail"),
    path(f"{_ROUND}tam-tinh/", reading_views.round_estimate, name="round_estimate"),
    path(f"{_ROUND}chot/", reading_views.round_close, name="round_close"),
    path(f"{_ROUND}bao-truoc/", reading_views.round_warn, name="round_warn"),
    path("ghi-chi-so/xem-lai/", reading_views.review_list, name="review_list"),
    path("ghi-chi-so/xem-lai/<int:pk>/", reading_views.review_detail, name="review_detail"),
    path("ghi-chi-so/anh/<int:pk>/", reading_views.reading_photo, name="reading_photo"),
    path("ghi-chi-so/tuyen/", reading_views.route_list, name="route_list"),
    path("ghi-chi-so/tuyen/them/", reading_views.route_add, name="route_add"),
    path("ghi-chi-so/tuyen/<str:code>/", reading_views.route_detail, name="route_detail"),
    path("ghi-chi-so/nap-tep/", reading_sheet_views.reading_imports, name="reading_imports"),
    path("ghi-chi-so/nap-tep/mau/", reading_sheet_views.reading_template, name="reading_template"),
    path("ghi-chi-so/nap-tep/<int:pk>/", reading_sheet_views.reading_import, name="reading_import"),
]
