"""Addresses of bills and their corrections."""

from django.urls import URLPattern, path

from machnuoc.billing import bill_views, estimate_views

urlpatterns: list[URLPattern] = [
    path("hoa-don/", bill_views.bill_list, name="bill_list"),
    path("hoa-don/tam-tinh/", estimate_views.estimate_list, name="estimate_list"),
    path("hoa-don/<int:pk>/", bill_views.bill_detail, name="bill_detail"),
    path("hoa-don/<int:pk>/sua/", bill_views.bill_correct, name="bill_correct"),
    path("hoa-don/de-nghi-sua/<int:pk>/duyet/", bill_views.correction_approve, name="correction_approve"),
    path("hoa-don/de-nghi-sua/<int:pk>/tu-choi/", bill_views.correction_refuse, name="correction_refuse"),
]
