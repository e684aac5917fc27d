"""Addresses of devices, channels and what arrived from them."""

from django.urls import URLPattern, path

from machnuoc.telemetry import device_views, quantity_views, sheet_views

_DEVICE = "giam-sat/thiet-bi/<slug:code>/"

urlpatterns: list[URLPattern] = [
    path("giam-sat/thiet-bi/", device_views.device_list, name="device_list"),
    path("giam-sat/suc-khoe-thiet-bi/", device_views.device_health, name="device_health"),
    path("giam-sat/them-thiet-bi/", device_views.device_add, name="device_add"),
    path(_DEVICE, device_views.device_detail, name="device_detail"),
    path(f"{_DEVICE}sua/", device_views.device_edit, name="device_edit"),
    path(f"{_DEVICE}thao/", device_views.device_remove, name="device_remove"),
    path(f"{_DEVICE}ma-truy-cap/", device_views.credential_issue, name="credential_issue"),
    path(f"{_DEVICE}ma-truy-cap/<int:pk>/thu-hoi/", device_views.credential_revoke, name="credential_revoke"),
    path(f"{_DEVICE}kenh/them/", device_views.channel_add, name="channel_add"),
    path(f"{_DEVICE}kenh/<int:pk>/sua/", device_views.channel_edit, name="channel_edit"),
    path(f"{_DEVICE}kenh/<int:pk>/hieu-chuan/", device_views.channel_calibrate, name="channel_calibrate"),
    path(f"{_DEVICE}kenh/<int:pk>/dong-ho/", device_views.channel_totaliser, name="channel_totaliser"),
    path("giam-sat/nhap-tep/", sheet_views.sheet_imports, name="sheet_imports"),
    path("giam-sat/nhap-tep/mau/<slug:name>/", sheet_views.sheet_template, name="sheet_template"),
    path("giam-sat/nhap-tep/<int:pk>/", sheet_views.sheet_import, name="sheet_import"),
    path("giam-sat/gioi-han/", device_views.limit_list, name="limit_list"),
    path("giam-sat/gioi-han/them/", device_views.limit_add, name="limit_add"),
    path("giam-sat/gioi-han/<int:pk>/sua/", device_views.limit_edit, name="limit_edit"),
    path("giam-sat/dai-luong/", quantity_views.quantity_list, name="quantity_list"),
    path("giam-sat/dai-luong/them/", quantity_views.quantity_add, name="quantity_add"),
    path("giam-sat/dai-luong/<slug:key>/sua/", quantity_views.quantity_edit, name="quantity_edit"),
    path("giam-sat/dai-luong/<slug:key>/xoa/", quantity_views.quantity_delete, name="quantity_delete"),
    path("giam-sat/so-nhan/", device_views.ledger, name="ledger"),
    path("giam-sat/cach-ly/", device_views.quarantine_list, name="quarantine_list"),
    path("giam-sat/cach-ly/<int:pk>/", device_views.quarantine_item, name="quarantine_item"),
    path("giam-sat/cach-ly/<int:pk>/nap-lai/", device_views.quarantine_replay, name="quarantine_replay"),
    path("giam-sat/cach-ly/<int:pk>/bo/", device_views.quarantine_dismiss, name="quarantine_dismiss"),
]
