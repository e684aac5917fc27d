"""Addresses: the field page, what it asks, and the items it sent as the office sees them."""

from django.urls import URLPattern, path

from machnuoc.customers import field_views

urlpatterns: list[URLPattern] = [
    path("di-ghi/", field_views.field_home, name="field_home"),
    path("di-ghi/sw.js", field_views.field_worker, name="field_worker"),
    path("di-ghi/manifest.webmanifest", field_views.field_manifest, name="field_manifest"),
    path("di-ghi/toi", field_views.field_me, name="field_me"),
    path("di-ghi/tuyen", field_views.field_rounds, name="field_rounds"),
    path("di-ghi/tuyen/<int:pk>", field_views.field_route, name="field_route"),
    path("di-ghi/gui", field_views.field_send, name="field_send"),
    path("di-ghi/ket-qua", field_views.field_fates, name="field_fates"),
    path("ghi-chi-so/phieu-tu-may/", field_views.field_item_list, name="field_item_list"),
]
