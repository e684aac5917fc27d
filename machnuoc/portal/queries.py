"""What a signed-in customer may see: their connections and the bills of those. Nothing else exists for them."""

from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.http import Http404

from machnuoc.billing.models import Bill
from machnuoc.customers.models import Connection
from machnuoc.portal import links
from machnuoc.portal.models import PortalAccount


def list_connections(account: PortalAccount) -> QuerySet[Connection]:
    """Return the connections of the account, each with `nickname` («» where the customer gave none)."""
    live = links.list_live(account)
    return (
        Connection.objects.filter(pk__in=live.values("connection_id"))
        .annotate(nickname=Subquery(live.filter(connection_id=OuterRef("pk")).values("nickname")[:1]))
        .select_related("customer", "work__subject", "place")
        .order_by("code")
    )


def read_connections(account: PortalAccount) -> list[Connection]:
    """Return the same, read; whose bills they are is then asked for no more in this request."""
    found = list(list_connections(account))
    account.__dict__["_live_ids"] = [one.pk for one in found]
    return found


def require_connection(account: PortalAccount, pk: int) -> Connection:
    """Return one connection of the account. Raises Http404 for that of anybody else."""
    found = next((one for one in read_connections(account) if one.pk == pk), None)
    if found is None:
        raise Http404("not a connection of this customer")
    return found


def former_bill_ids(account: PortalAccount) -> list[int]:
    """Return `links.list_former_bill_ids` of the account, asked for once a request: kept on the account object."""
    known: dict[str, list[int]] = account.__dict__.setdefault("_former_bill_ids", {})
    if account.address not in known:
        known[account.address] = links.list_former_bill_ids(account.address)
    return known[account.address]


def bills_of(account: PortalAccount) -> QuerySet[Bill]:
    """Return the bills of the account's connections that were issued to their customer of today, newest first.

    What was issued to a former holder is that one's affair: who gave a connection away keeps the bills of their time.
    """
    live = account.__dict__.get("_live_ids", links.list_live(account).values_list("connection_id", flat=True))
    own = Q(customer_id=F("connection__customer_id"))
    former = former_bill_ids(account)
    mine = own & Q(connection_id__in=list(live) if former else live)
    if former:  # beside an OR, PostgreSQL would read every bill for a subquery: hence lists
        mine |= Q(pk__in=former)
    return Bill.objects.filter(mine).select_related("connection", "series").order_by("-period_start_date", "-pk")


def require_billed(account: PortalAccount, pk: int) -> tuple[Connection, bool]:
    """Return a connection of which the account may see bills, and whether it is its own no more.

    Raises Http404.
    """
    found = list_connections(account).filter(pk=pk).first()
    if found is not None:
        return found, False
    former = former_bill_ids(account)
    given_away = Connection.objects.filter(pk=pk, bills__in=former).distinct().first() if former else None
    if given_away is None:
        raise Http404("not a connection of this customer")
    return given_away, True


def require_bill(account: PortalAccount, pk: int) -> Bill:
    """Return one bill of the account. Raises Http404 for that of anybody else."""
    found = bills_of(account).filter(pk=pk).first()
    if found is None:
        raise Http404("not a bill of this customer")
    return found
