"""Addresses of duties."""

from django.urls import URLPattern, path

from machnuoc.planning import duty_views as views

urlpatterns: list[URLPattern] = [
    path("lich-bao-cao/", views.duty_calendar, name="duty_calendar"),
    path("lich-bao-cao/danh-sach/", views.duty_list, name="duty_list"),
    path("lich-bao-cao/nghia-vu/", views.duty_index, name="duty_index"),
    path("lich-bao-cao/nghia-vu/them/", views.duty_add, name="duty_add"),
    path("lich-bao-cao/nghia-vu/xem-truoc/", views.duty_preview, name="duty_preview"),
    path("lich-bao-cao/nghia-vu/<str:key>/", views.duty_detail, name="duty_detail"),
    path("lich-bao-cao/nghia-vu/<str:key>/sua/", views.duty_edit, name="duty_edit"),
    path("lich-bao-cao/nghia-vu/<str:key>/dot-xuat/", views.duty_ad_hoc, name="duty_ad_hoc"),
    path("lich-bao-cao/nghia-vu/<str:key>/noi-nhan/", views.duty_recipient, name="duty_recipient"),
    path("lich-bao-cao/ky/<int:pk>/", views.duty_instance, name="duty_instance"),
    path("lich-bao-cao/ky/<int:pk>/da-gui/", views.duty_submit, name="duty_submit"),
    path("lich-bao-cao/ky/<int:pk>/mo-lai/", views.duty_reopen, name="duty_reopen"),
    path("lich-bao-cao/ky/<int:pk>/mien/", views.duty_waive, name="duty_waive"),
    path("lich-bao-cao/don-vi/", views.duty_units, name="duty_units"),
    path("lich-bao-cao/don-vi/<str:key>/", views.duty_organisation, name="duty_organisation"),
    path("lich-bao-cao/lich-cua-toi/", views.duty_feed, name="duty_feed"),
    path("lich-bao-cao/ics/<str:token>.ics", views.duty_ics, name="duty_ics"),
]
