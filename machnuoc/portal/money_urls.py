"""Addresses of the first page, connections, bills and payment."""

from django.urls import URLPattern, path

from machnuoc.portal import bill_views, home_views, pay_views

urlpatterns: list[URLPattern] = [
    path("", home_views.home, name="home"),
    path("dau-noi/<int:pk>/", home_views.connection, name="connection"),
    path("dau-noi/<int:pk>/anh/<int:reading>/", home_views.reading_photo, name="reading_photo"),
    path("hoa-don/", bill_views.bills, name="bills"),
    path("hoa-don/<int:pk>/", bill_views.bill_detail, name="bill_detail"),
    path("hoa-don/<int:pk>/pdf/", bill_views.bill_pdf_file, name="bill_pdf"),
    path("hoa-don/<int:pk>/xml/", bill_views.bill_xml, name="bill_xml"),
    path("tra-tien/<int:pk>/", pay_views.pay, name="pay"),
    path("hoa-don/da-tra/", pay_views.paid, name="payments"),
    path("hoa-don/da-tra/<int:pk>/bien-lai/", pay_views.receipt, name="receipt"),
]
