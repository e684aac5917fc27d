"""What bills and money add to the side bar. Pages of the room are listed here; each is shown to who may use it."""

from typing import Any

from django.urls import NoReverseMatch, reverse

from machnuoc.billing import bill_queries, bill_views, ledger, money_panels, remote_views
from machnuoc.billing.models import Bill
from machnuoc.core.models import Person
from machnuoc.core.panels import NavigationItem, Panel
from machnuoc.customers import personal_copy, visibility
from machnuoc.customers.models import Connection, Customer
from machnuoc.places import access
from machnuoc.places.models import Grant

_GROUP = "Hóa đơn, thu tiền"
_PAGES = (
    ("Biểu giá", "billing:tariff_list", "currency-dong", 60, "serve"),
    ("Lập hóa đơn", "billing:run_list", "calculator", 61, "bill"),
    ("Hóa đơn", "billing:bill_list", "receipt", 62, "serve"),
    ("Hóa đơn điện tử", "billing:einvoice_list", "certificate", 62, "bill"),
    ("Thu tiền", "billing:counter", "cash", 63, "collect"),
    ("Sao kê ngân hàng", "billing:statement_list", "building-bank", 64, "bill"),
    ("Công nợ", "billing:debt_list", "alert-circle", 65, "serve"),
    ("Sổ cái", "billing:ledger", "book-2", 66, "bill"),
)


def navigation(person: Person) -> list[NavigationItem]:
    """Give the pages that the person may use."""
    found = []
    for title, name, icon, order, action in _PAGES:
        if not access.may(person, action):
            if name != "billing:counter" or not access.may(person, "approve") or not access.may(person, "serve"):
                continue
            name = "billing:payment_list"  # who takes no money but decides on refunds
        try:
            address = reverse(name)
        except NoReverseMatch:
            continue
        daily = 2 if name == "billing:counter" and Grant.Role.CASHIER in access.roles(person) else 0
        found.append(NavigationItem(title, address, icon, order, _GROUP, daily=daily))
    return found


def later_overview(person: Person, region: str) -> list[Panel]:
    return money_panels.later_overview(person, region)


def later_for_connection(person: Person, connection: Connection) -> list[Panel]:
    """Give the bills of a connection to who may see its data, and what reads its meter from afar."""
    if not visibility.may(person, "serve", connection):
        return []
    return [
        *remote_views.for_connection(person, connection),
        Panel(
            "Hóa đơn", "billing/bills/connection_panel.html", bill_views.connection_bills(person, connection), order=40
        ),
        *money_panels.for_connection(person, connection),
    ]


def owed_vnd(customer_ids: list[int]) -> list[tuple[int, int]]:
    """Give per customer what bills in their name still leave open, either way: erasure waits until it is settled."""
    owners = dict(Bill.objects.filter(customer_id__in=customer_ids).values_list("pk", "customer_id"))
    open_vnd = [(owners[pk], abs(amount)) for pk, amount in ledger.open_amounts(list(owners)).items() if amount]
    return [*open_vnd, *money_panels.advances_vnd(customer_ids), *money_panels.refunds_vnd(customer_ids)]


def connections_billed_as(text: str, phone: str) -> set[int]:
    """Give the connections whose bills carry a number, to who knows the phone of their customer."""
    return bill_queries.connection_ids_billed_as(text, phone)


def erase_customer(customer: Customer) -> list[int]:
    """Empty what payments and debts say of a customer beside money."""
    return money_panels.erase_customer(customer)


def customer_data(customer: Customer) -> list[tuple[str, list[dict[str, Any]]]]:
    """Give the bills of a customer, for the copy that they ask for."""
    money = ("net_vnd", "vat_vnd", "fee_vnd", "total_vnd")
    names = ("connection__code", "period_start_date", "issued_at", *money, "state")
    rows = personal_copy.list_rows(Bill.objects.filter(customer=customer).order_by("pk"), names)
    return [("Hóa đơn", rows), *money_panels.customer_data(customer)]
