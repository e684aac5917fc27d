"""Addresses of notices to customers."""

from django.urls import URLPattern, path

from machnuoc.customers import notice_views as views

urlpatterns: list[URLPattern] = [
    path("thong-bao-khach-hang/", views.notice_list, name="notice_list"),
    path("thong-bao-khach-hang/moi/", views.notice_add, name="notice_add"),
    path("thong-bao-khach-hang/<int:pk>/", views.notice_detail, name="notice_detail"),
    path("cong-khai/thong-bao/", views.public_notices, name="public_notices"),
]
