"""Addresses: payment."""

from django.urls import URLPattern, path

from machnuoc.billing import payment_views as views
from machnuoc.billing import settlement_views as settlements
from machnuoc.billing import statement_views as statements

urlpatterns: list[URLPattern] = [
    path("thu-tien/", views.counter, name="counter"),
    path("thu-tien/dau-noi/<str:code>/", views.counter_connection, name="counter_connection"),
    path("thu-tien/dau-noi/<str:code>/cong/", views.gateway_begin, name="gateway_begin"),
    path("thu-tien/bien-lai/<int:pk>/", views.receipt, name="receipt"),
    path("thu-tien/quy/", views.till_list, name="till_list"),
    path("thu-tien/quy/<int:pk>/", views.till_detail, name="till_detail"),
    path("thu-tien/quy/<int:pk>/xac-nhan/", views.till_confirm, name="till_confirm"),
    path("thu-tien/giao-dich/", views.payment_list, name="payment_list"),
    path("thu-tien/giao-dich/<int:pk>/", views.payment_detail, name="payment_detail"),
    path("thu-tien/giao-dich/<int:pk>/dao/", views.payment_reverse, name="payment_reverse"),
    path("thu-tien/giao-dich/<int:pk>/hoan/", views.refund_request, name="refund_request"),
    path("hoa-don/<int:pk>/hoan/", views.credit_refund_request, name="credit_refund_request"),
    path("thu-tien/hoan-tien/", views.refund_list, name="refund_list"),
    path("thu-tien/hoan-tien/<int:pk>/<slug:act_name>/", views.refund_act, name="refund_act"),
    path("thu-tien/tuyen/", views.sheet_list, name="sheet_list"),
    path("thu-tien/tuyen/<int:pk>/", views.sheet_detail, name="sheet_detail"),
    path("thu-tien/cong/", views.gateway_list, name="gateway_list"),
    path("thu-tien/cong/chuyen-ve/", settlements.settlement_list, name="settlement_list"),
    path("thu-tien/cong/chuyen-ve/them/", settlements.settlement_add, name="settlement_add"),
    path("thu-tien/cong/chuyen-ve/<int:pk>/", settlements.settlement_detail, name="settlement_detail"),
    path("thu-tien/cong/chuyen-ve/<int:pk>/dao/", settlements.settlement_reverse, name="settlement_reverse"),
    path("thu-tien/cong/<int:pk>/", views.gateway_order, name="gateway_order"),
    path("sao-ke/", statements.statement_list, name="statement_list"),
    path("sao-ke/<int:pk>/", statements.statement_detail, name="statement_detail"),
    path("sao-ke/<int:pk>/cot/", statements.columns, name="statement_columns"),
    path("sao-ke/dong/<int:pk>/<slug:act_name>/", statements.line_act, name="line_act"),
]
