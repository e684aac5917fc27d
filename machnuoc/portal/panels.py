"""What the customers' pages add to those of the staff, and to what customers ask of their data."""

from typing import Any

from machnuoc.billing.models import BillingRun
from machnuoc.core.models import Person
from machnuoc.core.panels import Panel
from machnuoc.customers import personal_copy, visibility
from machnuoc.customers.models import Connection, Customer
from machnuoc.portal import account_operations, bill_notices
from machnuoc.portal.models import PortalLink


def later_for_connection(person: Person, connection: Connection) -> list[Panel]:
    """Give who may see the connection in the portal, to who serves its customer."""
    if not visibility.may(person, "serve", connection):
        return []
    rows = PortalLink.objects.filter(
        connection=connection, customer_id=connection.customer_id, ended_at__isnull=True
    ).select_related("account", "linked_by")  # fmt: skip
    context = {"connection": connection, "links": list(rows.order_by("pk"))}
    return [Panel("Cổng khách hàng", "portal/staff/connection_panel.html", context, order=80)]


def run_issued(run: BillingRun) -> list[int]:
    """Have the customers of a run told of their bills."""
    bill_notices.order(run)
    return [run.pk]


def customer_data(customer: Customer) -> list[tuple[str, list[dict[str, Any]]]]:
    """Give who saw the customer's connections in the portal, for the copy that they ask for."""
    names = ("account__address", "connection__code", "nickname", "linked_at", "reason", "ended_at", "end_reason")
    rows = PortalLink.objects.filter(customer=customer).order_by("pk")
    return [("Tài khoản cổng khách hàng", personal_copy.list_rows(rows, names))]


def erase_customer(customer: Customer) -> list[int]:
    return [account_operations.forget(customer), bill_notices.forget_addresses(customer)]
