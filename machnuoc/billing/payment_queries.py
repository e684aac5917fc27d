"""What is read about money of customers: what a connection owes, payments, drawers, collectors' sheets, gateways."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum

from machnuoc.billing import debt_queries, ledger, payments
from machnuoc.billing.models import (
    Allocation,
    Bill,
    Callback,
    CollectionSheet,
    GatewayOrder,
    Payment,
    PaymentReversal,
    Refund,
    TillSession,
)
from machnuoc.core.models import Person
from machnuoc.customers import visibility
from machnuoc.customers.models import Connection, Customer, Route
from machnuoc.places import access
from machnuoc.places.models import Organisation
from machnuoc.works.models import Work


@dataclass(frozen=True)
class OwedBill:
    bill: Bill
    open_vnd: int
    is_overdue: bool


@dataclass(frozen=True)
class AccountView:
    """What a holder of a connection owes and has paid ahead, đồng. owed_vnd: to pay now, credit bills taken off.

    former: customer and what they owe, of those who held the connection before.
    """

    bills: list[OwedBill]
    owed_vnd: int
    overdue_vnd: int
    advance_vnd: int
    former: list[tuple[Customer, int]]


def account_of(connection: Connection, today: date, customer_id: int | None = None) -> AccountView:
    """Return the open bills of a holder of a connection, oldest first, and the sums. customer_id: who holds it now."""
    customer_id = customer_id or connection.customer_id
    found = ledger.list_open_bills([connection.pk])
    own = [one for one in found if one.customer_id == customer_id]
    bills = Bill.objects.select_related("series").in_bulk([one.pk for one in own])
    rows = [OwedBill(bills[one.pk], one.open_vnd, one.open_vnd > 0 and one.due_date < today) for one in own]
    left = payments.advances([connection.pk]).get((connection.pk, customer_id), [])
    others: dict[int, int] = defaultdict(int)
    for one in found:
        if one.customer_id not in (customer_id, connection.customer_id):
            others[one.customer_id] += one.open_vnd
    former = Customer.objects.filter(pk__in=[pk for pk, amount in others.items() if amount > 0]).order_by("pk")
    return AccountView(
        rows, max(0, sum(one.open_vnd for one in own)),
        debt_queries.overdue_by_holder([connection.pk], today).get((connection.pk, customer_id), 0),
        sum(source.left_vnd for source in left), [(one, others[one.pk]) for one in former] if others else [],
    )  # fmt: skip


def holders_of(connection: Connection) -> QuerySet[Customer]:
    """Return who holds or held a connection: those to whom bills of it were issued, and who has it now."""
    billed = Bill.objects.filter(connection=connection).values("customer_id")
    return Customer.objects.filter(Q(pk=connection.customer_id) | Q(pk__in=billed)).distinct()


# --- payments -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PaymentFilters:
    """q: part of a connection's code, a transaction's number or a receipt's. Days: both included."""

    q: str = ""
    method: str = ""
    state: str = ""
    from_date: date | None = None
    to_date: date | None = None
    till: int = 0


def with_reversals(rows: QuerySet[Payment]) -> QuerySet[Payment]:
    return rows.annotate(is_reversed=Exists(PaymentReversal.objects.filter(payment=OuterRef("pk"))))


def list_payments(person: Person, action: str = "serve") -> QuerySet[Payment]:
    """Return the payments of connections on which the person may do the action, the newest first."""
    return with_reversals(
        Payment.objects.filter(visibility.within(person, action, "connection__"))
        .select_related("connection__customer", "connection__work__subject", "operator__subject", "recorded_by")
        .order_by("-received_at", "-pk")
    )


def narrow(rows: QuerySet[Payment], filters: PaymentFilters, to_moment: object) -> QuerySet[Payment]:
    """Return what the filters ask for. to_moment: turns a day into its first moment."""
    if filters.q:
        wanted = Q(connection__code__icontains=filters.q) | Q(external_id__icontains=filters.q)
        if filters.q.isdecimal() and len(filters.q) < 10:
            wanted |= Q(receipt_number=int(filters.q)) | Q(pk=int(filters.q))
        rows = rows.filter(wanted)
    if filters.method:
        rows = rows.filter(method=filters.method)
    if filters.state:
        rows = rows.filter(reversal__isnull=filters.state != "reversed")
    if filters.from_date:
        rows = rows.filter(received_at__gte=to_moment(filters.from_date))  # type: ignore[operator]
    if filters.to_date:
        rows = rows.filter(received_at__lt=to_moment(filters.to_date + timedelta(days=1)))  # type: ignore[operator]
    if filters.till:
        rows = rows.filter(till_id=filters.till)
    return rows


def paid_bills(payment: Payment) -> list[tuple[Bill, int]]:
    """Return which bills a payment pays now, with how much."""
    sums = dict(
        Allocation.objects.filter(payment=payment).values_list("bill_id").annotate(amount=Sum("amount_vnd")).order_by()
    )
    bills = Bill.objects.select_related("series").in_bulk([pk for pk, amount in sums.items() if amount])
    return [(bill, sums[pk]) for pk, bill in sorted(bills.items())]


# --- drawers, refunds, sheets ---------------------------------------------------------------------------------------


def list_operators(person: Person, action: str = "collect") -> QuerySet[Organisation]:
    """Return the operators whose money the person may take."""
    ids = visibility.list_work_ids(person, action)
    works = Work.objects.all() if ids is None else Work.objects.filter(pk__in=ids)
    operators = works.values("operator_id")
    return Organisation.objects.filter(pk__in=operators).select_related("subject").order_by("subject__name")


def list_own_operators(person: Person, action: str = "bill") -> QuerySet[Organisation]:
    """Return the operators on which as a whole the person may do the action.

    What all its stations have in common (bank statements, drawers) is not for who may bill one station alone.
    """
    reached = Organisation.objects.filter(works__isnull=False, pk__in=access.visible_subject_ids(person, action))
    if access.sees_everything(person, action):
        reached = Organisation.objects.filter(works__isnull=False)
    return reached.distinct().select_related("subject").order_by("subject__name")


def list_tills(person: Person) -> QuerySet[TillSession]:
    """Return the person's own drawers, and those of the operators whose bills the person prepares."""
    shown = Q(person=person) | Q(operator__in=list_own_operators(person))
    return (
        TillSession.objects.filter(shown)
        .select_related("person", "operator__subject", "confirmed_by")
        .annotate(taken_vnd=Sum("payments__amount_vnd"), count=Count("payments"))
        .order_by("-pk")
    )


def list_refunds(person: Person) -> QuerySet[Refund]:
    return (
        Refund.objects.filter(visibility.within(person, "serve", "connection__"))
        .select_related(
            "connection__work", "connection__customer", "payment", "credit_bill", "requested_by", "decided_by"
        )
        .order_by("-pk")
    )


def list_routes(person: Person) -> QuerySet[Route]:
    """Return the routes whose money the person may collect."""
    ids = visibility.list_work_ids(person, "collect")
    rows = Route.objects.all() if ids is None else Route.objects.filter(work_id__in=ids)
    return rows.select_related("work__subject", "collector").order_by("code")


def list_sheets(person: Person) -> QuerySet[CollectionSheet]:
    return (
        CollectionSheet.objects.filter(route__in=list_routes(person))
        .select_related("route__work__subject", "collector", "till")
        .annotate(count=Count("bills"))
        .order_by("-pk")
    )


@dataclass(frozen=True)
class SheetRow:
    """A connection of a collector's sheet. paid_vnd: what the collector took on it since the sheet was made."""

    connection: Connection
    bills: int
    open_vnd: int
    paid_vnd: int


def sheet_rows(sheet: CollectionSheet) -> list[SheetRow]:
    """Return the connections of a sheet in walking order, with what is still open of its bills."""
    bills = list(sheet.bills.values_list("pk", "connection_id"))
    open_vnd = ledger.open_amounts([pk for pk, _ in bills])
    ids = {connection_id for _, connection_id in bills}
    paid = dict(
        Payment.objects.filter(
            connection_id__in=ids, method=Payment.Method.COLLECTOR, recorded_at__gte=sheet.made_at,
            recorded_by=sheet.collector_id, reversal__isnull=True,
        )
        .values_list("connection_id").annotate(amount=Sum("amount_vnd")).order_by()
    )  # fmt: skip
    rows = []
    connections = Connection.objects.filter(pk__in=ids).select_related("customer", "work")
    for connection in connections.order_by("route_order", "code"):
        own = [pk for pk, owner in bills if owner == connection.pk]
        rows.append(SheetRow(connection, len(own), max(0, sum(open_vnd[pk] for pk in own)), paid.get(connection.pk, 0)))
    return rows


# --- gateways -------------------------------------------------------------------------------------------------------


def list_orders(person: Person, action: str = "collect") -> QuerySet[GatewayOrder]:
    return (
        GatewayOrder.objects.filter(visibility.within(person, action, "connection__"))
        .select_related("connection__customer", "connection__work")
        .order_by("-pk")
    )


def bad_callbacks(since: datetime) -> dict[str, int]:
    """Return how many callbacks of each verdict that needs a look came since then."""
    wanted = [
        Callback.Verdict.FORGED, Callback.Verdict.MALFORMED, Callback.Verdict.UNKNOWN_ORDER,
        Callback.Verdict.WRONG_AMOUNT,
    ]  # fmt: skip
    rows = Callback.objects.filter(received_at__gte=since, verdict__in=wanted).values_list("verdict")
    return dict(rows.annotate(count=Count("pk")).order_by())
