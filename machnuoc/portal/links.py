"""Which connections an account may see: those of customers who named its phone or e-mail, and those that staff linked.

A link is of one customer: when the connection goes to another, or the customer names another phone, it opens nothing
from that moment on, whether or not anybody has ended the row.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import F, Q, QuerySet

from machnuoc.core import audit
from machnuoc.customers.models import Connection
from machnuoc.portal.models import PortalAccount, PortalLink

MOST = 100  # connections that an address opens by itself; more is the phone of a clerk, typed for everybody

audit.describe("portal.links.refreshed", "cập nhật đấu nối của tài khoản cổng khách hàng {target}")


def names(address: str, prefix: str = "") -> Q:
    """Return the condition that a customer named the address as theirs.

    prefix: the way to the customer, such as "customer__".
    """
    field = "email" if "@" in address else "phone"
    # «not empty» is said by the index too: SQLite uses a partial index only where the query repeats its condition.
    return Q(**{f"{prefix}{field}": address, f"{prefix}erased_at__isnull": True}) & ~Q(**{f"{prefix}{field}": ""})


def list_live(account: PortalAccount) -> QuerySet[PortalLink]:
    """Return the links of the account that open their connection today."""
    live = Q(linked_by__isnull=False, customer__erased_at__isnull=True) | names(account.address, "customer__")
    return PortalLink.objects.filter(
        live, account=account, ended_at__isnull=True, customer_id=F("connection__customer_id")
    )


def find_named(address: str) -> list[Connection]:
    """Return the connections whose customer named the address; none if that is more than one person's."""
    rows = Connection.objects.filter(names(address, "customer__")).select_related("customer").order_by("pk")
    found = list(rows[: MOST + 1])
    return found if len(found) <= MOST else []


def find_opened(address: str) -> list[Connection]:
    """Return what would open for who proves the address: named connections, and those that staff linked to it."""
    account = PortalAccount.objects.filter(address=address).first()
    if account is not None and not account.is_active:
        return []
    found = {one.pk: one for one in find_named(address)}
    if account is not None:
        refused = set(
            PortalLink.objects.filter(account=account, ended_by__isnull=False).values_list(
                "connection_id", "customer_id"
            )
        )
        found = {pk: one for pk, one in found.items() if (pk, one.customer_id) not in refused}
        found |= {
            row.connection_id: row.connection for row in list_live(account).select_related("connection__customer")
        }
    return list(found.values())


@transaction.atomic
def refresh(account: PortalAccount, now: datetime) -> None:
    """Link what the address opens today, and end links that hold no longer. What staff have ended stays ended."""
    PortalAccount.objects.select_for_update().get(pk=account.pk)
    open_rows = PortalLink.objects.filter(account=account, ended_at__isnull=True)
    stale = open_rows.exclude(pk__in=list(list_live(account).values_list("pk", flat=True)))
    ended = stale.update(ended_at=now)
    linked = set(open_rows.values_list("connection_id", flat=True))
    refused = set(
        PortalLink.objects.filter(account=account, ended_by__isnull=False).values_list("connection_id", "customer_id")
    )
    made = [
        PortalLink(account=account, connection=one, customer_id=one.customer_id, linked_at=now)
        for one in find_named(account.address)
        if one.pk not in linked and (one.pk, one.customer_id) not in refused
    ]
    PortalLink.objects.bulk_create(made)
    if made or ended:
        audit.record("portal.links.refreshed", actor=None, target=account, count=len(made) + ended)
