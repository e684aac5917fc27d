"""Addresses of entry, approval and sheets; `indicators.urls` includes them in its namespace."""

from django.urls import path

from machnuoc.indicators import entry_views

urlpatterns = [
    path("nhap-lieu/", entry_views.forms, name="forms"),
    path("nhap-lieu/mo/", entry_views.open_form, name="open_form"),
    path("nhap-lieu/ngoai-le/", entry_views.late_exceptions, name="late_exceptions"),
    path("nhap-lieu/<int:pk>/", entry_views.submission, name="submission"),
    path("duyet/", entry_views.queue, name="queue"),
    path("nhap-tep/", entry_views.imports, name="import"),
    path("nhap-tep/mau/", entry_views.template, name="import_template"),
    path("nhap-tep/<int:pk>/", entry_views.import_batch, name="import_batch"),
]
