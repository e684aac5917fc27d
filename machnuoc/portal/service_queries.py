"""What a customer may see of services: their own requests, applications, contracts and data."""

from datetime import datetime

from django.db.models import F, Q, QuerySet
from django.http import Http404

from machnuoc.customers import request_queries
from machnuoc.customers.models import Application, Connection, Contract, Customer, Reading, Request
from machnuoc.portal import links
from machnuoc.portal.models import PortalAccount


def said_from(address: str) -> Q:
    """Return the condition of rows with `phone` and `email` that name the address as their sender's."""
    return Q(email__iexact=address) if "@" in address else Q(phone=address)


def list_requests(account: PortalAccount) -> QuerySet[Request]:
    """Return the requests of the account, newest first.

    Those it sent itself, and those that its customer sent by other ways about a connection since it is theirs.
    What somebody else reported about the connection is not shown: least of all a report of a violation.
    """
    is_holder = Q(connection__customer__in=own_customers(account).order_by().values("pk"))
    other_way = ~Q(phone="") & Q(phone=F("connection__customer__phone"))
    other_way |= ~Q(email="") & Q(email__iexact=F("connection__customer__email"))
    by_customer = said_from(account.address) | is_holder & other_way
    here = Q(connection__in=links.list_live(account).values("connection_id"), category__is_violation=False)
    own = Q(channel=Request.Channel.PORTAL) & said_from(account.address)
    return (
        Request.objects.filter(own | here & by_customer & ~request_queries.passed_on("received_at"))
        .select_related(
            "category", "operator__subject", "work__subject", "merged_into__category", "place", "connection"
        )
        .order_by("-pk")
    )


def require_request(account: PortalAccount, code: str) -> Request:
    """Return one request of the account. Raises Http404 for that of anybody else."""
    found = list_requests(account).filter(code=code).first()
    if found is None:
        raise Http404("not a request of this customer")
    return found


def require_application(account: PortalAccount, code: str, now: datetime) -> Application:
    """Return one application of the account, of `links.list_applications`. Raises Http404 for that of anybody else."""
    for one in links.list_applications(account.address, now):
        if one.code == code:
            return one
    raise Http404("not an application of this customer")


def own_customers(account: PortalAccount) -> QuerySet[Customer]:
    """Return whose personal data the account may see: customers who named its address, with a connection open to it.

    Somebody whom the staff linked to a connection, a tenant for example, sees its bills and not its customer's data.
    """
    live = links.list_live(account).values("customer_id")
    return Customer.objects.filter(links.names(account.address), pk__in=live).order_by("code")


def require_customer(account: PortalAccount, pk: int) -> Customer:
    """Return one customer of the account. Raises Http404 for anybody else."""
    found = own_customers(account).filter(pk=pk).first()
    if found is None:
        raise Http404("not this customer")
    return found


def is_holder(account: PortalAccount, connection: Connection) -> bool:
    """Return whether the account is the customer of the connection, not somebody linked to it."""
    return own_customers(account).filter(pk=connection.customer_id).exists()


def list_contracts(account: PortalAccount) -> QuerySet[Contract]:
    """Return the contracts of the account's customers, newest first."""
    rows = Contract.objects.filter(customer__in=own_customers(account).order_by().values("pk"))
    return rows.select_related("connection", "paper").order_by("-signed_date", "-pk")


def require_contract(account: PortalAccount, pk: int) -> Contract:
    """Return one contract with its paper. Raises Http404 for that of anybody else, and without a paper."""
    found = list_contracts(account).filter(pk=pk, paper__isnull=False).first()
    if found is None:
        raise Http404("no such paper of this customer")
    return found


def list_told_readings(connection: Connection) -> QuerySet[Reading]:
    """Return what the customer of today told of the meter themselves, newest first."""
    rows = Reading.objects.filter(request_queries.of_customer(connection.customer, "read_at"))
    return rows.filter(connection=connection, source=Reading.Source.CUSTOMER).order_by("-pk")
