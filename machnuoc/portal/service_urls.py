"""Addresses of requests, applications, readings of one's own, notices and one's own data."""

from django.urls import URLPattern, path

from machnuoc.portal import application_views as applications
from machnuoc.portal import service_data_views as data
from machnuoc.portal import service_request_views as requests
from machnuoc.portal import service_views as services

urlpatterns: list[URLPattern] = [
    path("phan-anh/", requests.requests, name="requests"),
    path("phan-anh/moi/", requests.request_add, name="request_add"),
    path("phan-anh/<str:code>/", requests.request_detail, name="request_detail"),
    path("phan-anh/<str:code>/anh/<int:pk>/", requests.request_photo, name="request_photo"),
    path("dau-noi/<int:pk>/tu-bao-chi-so/", services.self_reading, name="self_reading"),
    path("dau-noi/<int:pk>/dinh-muc/", services.norm_change, name="norm_change"),
    path("hop-dong/<int:pk>/", services.contract_paper, name="contract_paper"),
    path("dang-ky/", applications.apply, name="apply"),
    path("lap-moi/", applications.applications, name="applications"),
    path("lap-moi/<str:code>/", applications.application_detail, name="application_detail"),
    path("lap-moi/<str:code>/giay-to/<int:pk>/", applications.application_paper, name="application_paper"),
    path("thong-bao/", services.notices, name="notices"),
    path("du-lieu/", data.my_data, name="my_data"),
    path("du-lieu/ban-sao/<int:pk>/", data.my_copy, name="my_copy"),
    path("du-lieu/xoa/", data.my_erasure, name="my_erasure"),
]
