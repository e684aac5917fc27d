"""Addresses of coming, going and the account."""

from django.urls import URLPattern, path

from machnuoc.portal import sign_in_views

urlpatterns: list[URLPattern] = [
    path("dang-nhap/", sign_in_views.sign_in, name="sign_in"),
    path("dang-nhap/ma/", sign_in_views.sign_in_code, name="sign_in_code"),
    path("dang-xuat/", sign_in_views.sign_out, name="sign_out"),
    path("tai-khoan/", sign_in_views.account, name="account"),
]
