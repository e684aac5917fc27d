"""Addresses: customers and connections, applications for new ones, sheets of them."""

from django.urls import URLPattern, path

from machnuoc.customers import application_views as applications
from machnuoc.customers import connection_sheet_views as sheet_views
from machnuoc.customers import connection_views as views

urlpatterns: list[URLPattern] = [
    path("khach-hang/", views.connection_list, name="connection_list"),
    path("khach-hang/them/", views.connection_add, name="connection_add"),
    path("khach-hang/nhap-tep/", sheet_views.connection_imports, name="connection_imports"),
    path("khach-hang/nhap-tep/mau/<slug:name>/", sheet_views.connection_template, name="connection_template"),
    path("khach-hang/nhap-tep/<int:pk>/", sheet_views.connection_import, name="connection_import"),
    path("khach-hang/nhap-tep/<int:pk>/hoan-tac/", sheet_views.connection_import_undo, name="connection_import_undo"),
    path("khach-hang/de-nghi/", applications.application_list, name="application_list"),
    path("khach-hang/de-nghi/bang/", applications.application_board, name="application_board"),
    path("khach-hang/de-nghi/them/", applications.application_add, name="application_add"),
    path("khach-hang/de-nghi/<str:code>/", applications.application_detail, name="application_detail"),
    path("khach-hang/de-nghi/<str:code>/sua/", applications.application_edit, name="application_edit"),
    path("khach-hang/de-nghi/<str:code>/buoc/", applications.application_step, name="application_step"),
    path("khach-hang/de-nghi/<str:code>/hen/", applications.application_promise, name="application_promise"),
    path("khach-hang/de-nghi/<str:code>/tra-loi/", applications.application_answer, name="application_answer"),
    path("khach-hang/de-nghi/<str:code>/dung/", applications.application_stop, name="application_stop"),
    path("khach-hang/de-nghi/<str:code>/lui/", applications.application_undo, name="application_undo"),
    path("khach-hang/de-nghi/<str:code>/giay-to/<int:pk>/", applications.application_paper, name="application_paper"),
    path("khach-hang/<str:code>/", views.connection_detail, name="connection_detail"),
    path("khach-hang/<str:code>/lien-quan/", views.connection_later, name="connection_later"),
    path("khach-hang/<str:code>/sua/", views.connection_edit, name="connection_edit"),
    path("khach-hang/<str:code>/khach-hang/", views.connection_customer, name="connection_customer"),
    path("khach-hang/<str:code>/chuyen-ten/", views.connection_transfer, name="connection_transfer"),
    path("khach-hang/<str:code>/tinh-trang/<slug:act>/", views.connection_move, name="connection_move"),
    path("khach-hang/<str:code>/dinh-muc/", views.connection_norm, name="connection_norm"),
    path("khach-hang/<str:code>/muc-dich/", views.connection_shares, name="connection_shares"),
    path("khach-hang/<str:code>/hop-dong/", views.connection_contract, name="connection_contract"),
    path("khach-hang/<str:code>/hop-dong/<int:pk>/", views.contract_paper, name="contract_paper"),
    path("khach-hang/<str:code>/ho-ngheo/", views.connection_poverty, name="connection_poverty"),
    path("khach-hang/<str:code>/du-lieu-ca-nhan/", views.connection_privacy, name="connection_privacy"),
    path("khach-hang/<str:code>/ban-sao/", views.customer_copy, name="customer_copy"),
    path("khach-hang/<str:code>/xoa-du-lieu/", views.customer_erase, name="customer_erase"),
]
