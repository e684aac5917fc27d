"""Which connections an account may see: those of customers who named its phone or e-mail, and those that staff linked.

A link is of one customer: when the connection goes to another, or the customer names another phone, it opens nothing
from that moment on, whether or not anybody has ended the row. What is left to who gave a connection away are the bills
that were issued to them (`list_former_bill_ids`): of the connection, its meter and who holds it now they see nothing,
and whom the staff had linked sees no bill of that time either.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from machnuoc.billing.models import Bill
from machnuoc.core import audit
from machnuoc.customers.application_operations import OPEN
from machnuoc.customers.models import Application, ApplicationStep, Connection
from machnuoc.portal.models import PortalAccount, PortalLink

APPLICATION_KEPT = timedelta(days=365)  # so long who applied sees what ended; a phone may be somebody else's by then
MOST = 100  # connections that an address opens by itself; more is the phone of a clerk, typed for everybody
MOST_FORMER = 500  # bills of former connections: ten years of four of them

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


def list_former_bill_ids(address: str) -> list[int]:
    """Return the bills of who named the address, at connections that are another's by now; the newest first.

    None where the address is more than one person's, or where staff ended what it opens at that connection.
    """
    refused = PortalLink.objects.filter(
        account__address=address, connection=OuterRef("connection"), customer=OuterRef("customer"),
        ended_by__isnull=False,
    )  # fmt: skip
    rows = Bill.objects.filter(names(address, "customer__"), ~Exists(refused)).exclude(
        customer_id=F("connection__customer_id")
    )
    found = list(rows.order_by("-period_start_date", "-pk").values_list("pk", "customer_id")[:MOST_FORMER])
    if not found:
        return []
    named = Connection.objects.filter(names(address, "customer__"))[: MOST + 1].count()
    return [] if named + len({owner for _, owner in found}) > MOST else [pk for pk, _ in found]


def find_opened(address: str) -> list[Connection]:
    """Return what would open for who proves the address: named connections, those that staff linked to it, and those
    of which bills are left to a former holder.
    """
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
    former = Bill.objects.filter(pk__in=list_former_bill_ids(address)).exclude(connection__in=found)
    left = Connection.objects.filter(pk__in=former.values("connection")).select_related("customer")
    return [*found.values(), *left]


def list_applications(address: str, now: datetime) -> list[Application]:
    """Return the applications that name the address, newest first: open ones, and for a year those that ended.

    Once there is a connection, only as long as its customer is still who named the address and the staff have not taken
    it from them. None if the address stands in more applications than one person makes. In one query.
    """
    field = "email" if "@" in address else "phone"
    lately = ApplicationStep.objects.filter(application=OuterRef("pk"), at__gte=now - APPLICATION_KEPT)
    refused = PortalLink.objects.filter(
        account__address=address, ended_by__isnull=False, connection=OuterRef("connection"),
        customer=OuterRef("connection__customer"),
    )  # fmt: skip
    rows = Application.objects.filter(
        Q(connection__isnull=True) | names(address, "connection__customer__") & ~Q(Exists(refused)),
        Q(stage__in=OPEN) | Q(Exists(lately)),
        **{field: address},
    )
    rows = rows.select_related("work__subject", "work__operator__subject", "place", "connection").order_by("-pk")
    found = list(rows[: MOST + 1])
    return found if len(found) <= MOST else []


def opens(address: str, now: datetime) -> bool:
    """Return whether there is anything to see for who proves the address."""
    if find_opened(address):
        return True
    is_closed = PortalAccount.objects.filter(address=address, is_active=False).exists()
    return not is_closed and bool(list_applications(address, now))


def is_simulated(address: str, now: datetime) -> bool:
    """Return whether the address opens something, and nothing of anybody real."""
    found, asked = find_opened(address), list_applications(address, now)
    is_any_real = any(not (one.is_simulated and one.customer.is_simulated) for one in found)
    return bool(found or asked) and not is_any_real and all(one.is_simulated for one in asked)


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
