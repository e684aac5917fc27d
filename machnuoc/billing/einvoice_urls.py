"""Addresses: e-invoices and printing."""

from django.urls import path

from machnuoc.billing import einvoice_views as views
from machnuoc.billing import print_views

urlpatterns = [
    path("hoa-don-dien-tu/", views.einvoice_list, name="einvoice_list"),
    path("hoa-don-dien-tu/tai-xml/", views.einvoice_zip, name="einvoice_zip"),
    path("hoa-don-dien-tu/doi-chieu/", views.einvoice_days, name="einvoice_days"),
    path("hoa-don-dien-tu/doi-chieu/chay/", views.einvoice_compare, name="einvoice_compare"),
    path("hoa-don-dien-tu/thiet-lap/", views.einvoice_setup, name="einvoice_setup"),
    path("hoa-don-dien-tu/<int:pk>/", views.einvoice_detail, name="einvoice_detail"),
    path("hoa-don-dien-tu/<int:pk>/xml/", views.einvoice_xml_file, name="einvoice_xml"),
    path("hoa-don-dien-tu/<int:pk>/gui-lai/", views.einvoice_again, name="einvoice_again"),
    path("hoa-don/<int:pk>/pdf/", print_views.bill_pdf_file, name="bill_pdf"),
    path("in-hoa-don/", print_views.print_list, name="print_list"),
    path("in-hoa-don/<int:pk>/tep/", print_views.print_file, name="print_file"),
]
