"""What a signed-in customer may see: their connections and the bills of those. Nothing else exists for them."""

from django.db.models import F, OuterRef, QuerySet, Subquery
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


def require_connection(account: PortalAccount, pk: int) -> Connection:
    """Return one connection of the account. Raises Http404 for that of anybody else."""
    found = list_connections(account).filter(pk=pk).first()
    if found is None:
        raise Http404("not a connection of this customer")
    return found


def bills_of(account: PortalAccount) -> QuerySet[Bill]:
    """Return the bills of the account's connections that were issued to their customer of today, newest first.

    What was issued to a former holder is that one's affair.
    """
    return (
        Bill.objects.filter(
            connection_id__in=links.list_live(account).values("connection_id"),
            customer_id=F("connection__customer_id"),
        )
        .select_related("connection", "series")
        .order_by("-period_start_date", "-pk")
    )


def require_bill(account: PortalAccount, pk: int) -> Bill:
    """Return one bill of the account. Raises Http404 for that of anybody else."""
    found = bills_of(account).filter(pk=pk).first()
    if found is None:
        raise Http404("not a bill of this customer")
    return found
