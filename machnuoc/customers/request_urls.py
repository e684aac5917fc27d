"""Addresses: requests, work orders, and the public pages of requests."""

from django.urls import path

from machnuoc.customers import request_public_views as public
from machnuoc.customers import request_views as views
from machnuoc.customers import work_order_views as orders

urlpatterns = [
    path("phan-anh/", views.request_list, name="request_list"),
    path("phan-anh/ban-do/", views.request_map, name="request_map"),
    path("phan-anh/moi/", views.request_add, name="request_add"),
    path("phan-anh/moi/goi-y/", views.request_hints, name="request_hints"),
    path("phan-anh/thong-ke/", views.request_statistics, name="request_statistics"),
    path("phan-anh/cai-dat/", views.request_settings, name="request_settings"),
    path("phan-anh/cai-dat/<slug:what>/", views.request_setting_add, name="request_setting_add"),
    path("phan-anh/cai-dat/<slug:what>/<int:pk>/bo/", views.request_setting_remove, name="request_setting_remove"),
    path("phan-anh/loai/", views.category_list, name="category_list"),
    path("phan-anh/loai/<slug:key>/", views.category_edit, name="category_edit"),
    path("phan-anh/<str:code>/", views.request_detail, name="request_detail"),
    path("phan-anh/<str:code>/anh/<int:pk>/", views.request_photo, name="request_photo"),
    path("phan-anh/<str:code>/<slug:act>/", views.request_act, name="request_act"),
    path("phieu-cong-viec/", orders.work_order_list, name="work_order_list"),
    path("phieu-cong-viec/moi/", orders.work_order_add, name="work_order_add"),
    path("phieu-cong-viec/<str:code>/", orders.work_order_detail, name="work_order_detail"),
    path("phieu-cong-viec/<str:code>/<slug:act>/", orders.work_order_act, name="work_order_act"),
    path("cong-khai/phan-anh/", public.public_form, name="public_form"),
    path("cong-khai/phan-anh/tra-cuu/", public.public_lookup, name="public_lookup"),
    path("cong-khai/phan-anh/<str:token>/", public.public_request, name="public_request"),
    path("cong-khai/phan-anh/<str:token>/anh/<int:pk>/", public.public_photo, name="public_photo"),
]
