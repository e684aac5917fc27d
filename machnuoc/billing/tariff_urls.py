"""Addresses of tariffs, fees, frames and the calculator; of meters that are read from afar."""

from django.urls import URLPattern, path

from machnuoc.billing import remote_views
from machnuoc.billing import tariff_views as views

urlpatterns: list[URLPattern] = [
    path("bieu-gia/", views.tariff_list, name="tariff_list"),
    path("bieu-gia/them/", views.tariff_add, name="tariff_add"),
    path("bieu-gia/mau-nhap/", views.tariff_template, name="tariff_template"),
    path("bieu-gia/phi-moi-truong/", views.fee_rule_list, name="fee_rule_list"),
    path("bieu-gia/phi-moi-truong/<int:pk>/bo/", views.fee_rule_remove, name="fee_rule_remove"),
    path("bieu-gia/khung-gia/", views.price_frame_list, name="price_frame_list"),
    path("bieu-gia/tinh-thu/", views.tariff_trial_page, name="tariff_trial"),
    path("bieu-gia/<str:key>/", views.tariff_detail, name="tariff_detail"),
    path("bieu-gia/<str:key>/sua/", views.tariff_edit, name="tariff_edit"),
    path("bieu-gia/<str:key>/nap-tep/", views.tariff_import, name="tariff_import"),
    path("bieu-gia/<str:key>/sao-chep/", views.tariff_copy, name="tariff_copy"),
    path("bieu-gia/<str:key>/xoa/", views.tariff_delete, name="tariff_delete"),
    path("bieu-gia/<str:key>/ap-dung/", views.tariff_force, name="tariff_force"),
    path("bieu-gia/<str:key>/huy/", views.tariff_withdraw, name="tariff_withdraw"),
    path("bieu-gia/<str:key>/doi-chieu/", views.tariff_verify, name="tariff_verify"),
    path("cong-khai/tinh-tien-nuoc/", views.public_trial, name="public_trial"),
    path("dong-ho/tu-xa/<str:code>/", remote_views.remote_meter, name="remote_meter"),
    path("dong-ho/tu-xa/<str:code>/ngung/", remote_views.remote_meter_end, name="remote_meter_end"),
]
