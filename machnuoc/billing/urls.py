"""Addresses of the room: tariffs, runs, bills, e-invoices, payments, gateways, debts."""

from machnuoc.billing import (
    bill_urls,
    debt_urls,
    einvoice_urls,
    gateway_urls,
    payment_urls,
    run_urls,
    tariff_urls,
)

app_name = "billing"
urlpatterns = [
    *tariff_urls.urlpatterns,
    *run_urls.urlpatterns,
    *bill_urls.urlpatterns,
    *einvoice_urls.urlpatterns,
    *payment_urls.urlpatterns,
    *gateway_urls.urlpatterns,
    *debt_urls.urlpatterns,
]
