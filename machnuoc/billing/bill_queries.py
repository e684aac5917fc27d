"""What the pages of bills read: the list, and why a bill is what it is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django.db.models import F, Q, QuerySet

from machnuoc.billing import ledger, reference
from machnuoc.billing.models import Allocation, Bill, BillLine, Correction
from machnuoc.core.models import AuditEntry, Person
from machnuoc.core.periods import BadPeriod, Period
from machnuoc.customers import connection_queries, privacy, visibility
from machnuoc.customers.models import Connection, Group, Reading
from machnuoc.places import access

PAGE_ROWS = 50
_FOUND_AT_MOST = 200  # connections whose bills a search shows
_NUMBER = re.compile(r"^(?:(\d)?([CK]\d{2}[A-Z]{3})[-/ ]?)?0*(\d{1,8})$", re.IGNORECASE)
_MONTHS = 13


@dataclass(frozen=True)
class Filters:
    """What the list is asked for; empty asks for everything. run, work: ids."""

    q: str = ""
    period: str = ""
    state: str = ""  # a kind, REPLACED, ESTIMATED
    group: str = ""
    run: int = 0
    work: int = 0

    @property
    def is_empty(self) -> bool:
        return self == Filters()


STATES = (
    ("NORMAL", "Hóa đơn kỳ"), ("ADJUSTMENT", "Điều chỉnh"), ("REPLACEMENT", "Thay thế"),
    ("REPLACED", "Đã bị thay thế"), ("ESTIMATED", "Tạm tính"),
)  # fmt: skip


def action_of(person: Person) -> str:
    """Return by which right the person sees bills: serve (unmasked) or view (masked)."""
    return "serve" if access.may(person, "serve") else "view"


def within(person: Person, prefix: str = "connection__") -> Q:
    """Return the condition that the person sees bills of a connection: by the right to serve or to view its work.

    Who reads meters sees the connections of their own routes, not what those are billed.
    """
    if not (access.may(person, "serve") or access.may(person, "view")):
        return Q(pk__in=[])
    ids = visibility.list_work_ids(person, action_of(person))
    return Q() if ids is None else Q(**{f"{prefix}work_id__in": ids})


def list_bills(person: Person, filters: Filters) -> QuerySet[Bill]:
    """Return the bills that the person sees, newest first, as the filters leave them."""
    rows = (
        Bill.objects.filter(within(person))
        .select_related("series", "connection__work__subject", "connection__customer", "customer")
        .order_by("-id")
    )
    if filters.period:
        try:
            month = Period.parse(filters.period[:7])
        except BadPeriod:
            return rows.none()
        rows = rows.filter(period_start_date__gte=month.start_date, period_start_date__lt=month.end_date)
    if filters.state == "REPLACED":
        rows = rows.filter(state=Bill.State.REPLACED)
    elif filters.state == "ESTIMATED":
        rows = rows.filter(is_estimated=True)
    elif filters.state == "ADJUSTMENT":
        rows = rows.filter(kind__in=[Bill.Kind.ADJUSTMENT_UP, Bill.Kind.ADJUSTMENT_DOWN])
    elif filters.state in (Bill.Kind.NORMAL, Bill.Kind.REPLACEMENT):
        rows = rows.filter(kind=filters.state)
    if filters.group in Group.values:
        rows = rows.filter(group=filters.group)
    if filters.run:
        rows = rows.filter(run_id=filters.run)
    if filters.work:
        rows = rows.filter(connection__work_id=filters.work)
    if filters.q.strip():
        rows = rows.filter(_searched(person, filters.q.strip()))
    return rows


def _printed(text: str) -> tuple[Q, bool]:
    """Return the condition for a number or a reference as bills show it, and whether it can be nothing else."""
    if ids := reference.find(text):
        return Q(pk__in=ids), True
    number = _NUMBER.match(text)
    if number is None:
        return Q(pk__in=[]), False
    form, code, digits = number.groups()
    found = Q(number=int(digits))
    if code:
        found &= Q(series__code=code.upper())
    if form:
        found &= Q(series__form=form)
    return found, bool(code)


def connection_ids_billed_as(text: str, phone: str) -> set[int]:
    """Return the connections of customers with this phone whose own bills carry this number or reference."""
    printed, _ = _printed(text.strip())
    own = Bill.objects.filter(printed, customer__phone=phone, connection__customer_id=F("customer_id"))
    return set(own.values_list("connection_id", flat=True))


def _searched(person: Person, text: str) -> Q:
    """Return the condition for a number, a reference of a transfer, or any piece of code, name or address."""
    found, is_whole = _printed(text)
    if is_whole:
        return found
    return found | Q(
        connection_id__in=connection_queries.find_ids(person, connection_queries.Filters(q=text), _FOUND_AT_MOST)
    )


@dataclass(frozen=True)
class ListPage:
    """One page of bills. after: id from which the next page begins, 0 at the end. names: what is seen of each."""

    rows: Sequence[Bill]
    names: dict[int, str]
    open_vnd: dict[int, int]
    after: int
    unmasked: int


def get_page(person: Person, filters: Filters, after: int = 0) -> ListPage:
    """Return one page of the list: found from where the last one ended, never by counting or skipping."""
    rows = list_bills(person, filters)
    if after:
        rows = rows.filter(pk__lt=after)
    found = list(rows[: PAGE_ROWS + 1])
    shown = found[:PAGE_ROWS]
    served = visibility.served_among(person, [bill.connection for bill in shown])
    names = {
        bill.pk: privacy.show(bill.customer, bill.connection, unmasked=bill.connection_id in served).name
        for bill in shown
    }
    return ListPage(
        shown, names, ledger.open_of(shown), shown[-1].pk if len(found) > PAGE_ROWS else 0,
        len({bill.customer_id for bill in shown if bill.connection_id in served}),
    )  # fmt: skip


def find_bill(person: Person, pk: int) -> Bill | None:
    """Return the bill if the person sees it."""
    rows = Bill.objects.filter(pk=pk).select_related(
        "series", "operator__subject", "connection__work__subject", "connection__customer", "connection__route",
        "customer", "tariff", "corrects__series", "run", "issued_by", "from_reading__photo",
        "to_reading__photo", "from_reading__read_by", "to_reading__read_by",
    )  # fmt: skip
    bill = rows.first()
    # As `within`, but of one work, whose ancestors the page needs anyway: not the list of all works in reach.
    is_seen = bill is not None and visibility.may_work(person, action_of(person), bill.connection.work_id)
    return bill if is_seen else None


# --- why this amount --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LineRow:
    """One line as the page shows it. share_pct: of the longest line, for a bar."""

    line: BillLine
    group_label: str
    volume_m3: float
    share_pct: int


@dataclass(frozen=True)
class PaidRow:
    at: Any
    words: str
    amount_vnd: int


@dataclass(frozen=True)
class BillPage:
    """Everything that explains a bill. Volumes in m³, money in đồng."""

    name: str
    shown: privacy.Shown
    is_served: bool
    lines: list[LineRow]
    days: int
    volume_m3: float
    from_m3: float | None
    to_m3: float | None
    metered_m3: float | None  # what the meter says, where the bill replaces another and charges something else
    is_swapped: bool
    photos: list[tuple[str, Reading]]
    history: list[tuple[date, float, int]]
    mean_m3: float | None
    mean_of: int  # bills before it, at most three
    change_pct: float | None
    corrections: list[Bill]
    effective_vnd: int
    open_vnd: int
    payments: list[PaidRow]
    wishes: list[Correction]
    audit: list[AuditEntry] = field(default_factory=list)


def get_bill_page(bill: Bill, person: Person | None) -> BillPage:
    """Return what the page «Vì sao số tiền này» shows. person: None for the customer, who sees no wishes and acts."""
    is_served = person is None or bill.connection_id in visibility.served_among(person, [bill.connection])
    lines = list(bill.lines.select_related("tariff").order_by("order"))
    longest = max((abs(line.volume_l) for line in lines), default=0)
    rows = [
        LineRow(
            line, Group(line.group).label, line.volume_l / 1000, abs(line.volume_l) * 100 // longest if longest else 0
        )
        for line in lines
    ]
    history = list_history(bill)
    before = [volume_m3 for month, volume_m3, _ in history if month < bill.period_start_date][-3:]
    mean_m3 = sum(before) / len(before) if before else None
    is_whole_month = bill.kind in (Bill.Kind.NORMAL, Bill.Kind.REPLACEMENT)
    start, end = bill.from_reading, bill.to_reading
    wishes = (
        []
        if person is None
        else list(Correction.objects.filter(bill=bill).select_related("requested_by", "decided_by", "made"))
    )
    allocations = list(
        Allocation.objects.filter(Q(bill=bill) | Q(credit_bill=bill))
        .select_related("payment", "credit_bill__series", "bill__series")
        .order_by("pk")
    )
    made = list(bill.corrections.select_related("series").order_by("pk"))
    return BillPage(
        name=bill.name,
        shown=privacy.show(bill.customer, bill.connection, unmasked=is_served),
        is_served=is_served,
        lines=rows,
        days=(bill.to_date - bill.from_date).days,
        volume_m3=bill.volume_l / 1000,
        from_m3=None if start is None or start.index_l is None else start.index_l / 1000,
        to_m3=None if end is None or end.index_l is None else end.index_l / 1000,
        metered_m3=None if (metered := metered_l(bill)) == bill.volume_l else metered / 1000,
        is_swapped=start is not None and end is not None and start.fitting_id != end.fitting_id,
        photos=[
            (label, reading)
            for label, reading in (("Chỉ số đầu kỳ", start), ("Chỉ số cuối kỳ", end))
            if reading is not None and reading.photo_id is not None and is_served
        ],
        history=history,
        mean_m3=mean_m3,
        mean_of=len(before),
        change_pct=100 * (bill.volume_l / 1000 - mean_m3) / mean_m3 if mean_m3 and is_whole_month else None,
        corrections=made,
        effective_vnd=bill.total_vnd + sum(one.total_vnd for one in made if one.kind != Bill.Kind.REPLACEMENT),
        open_vnd=ledger.open_of_one(bill, allocations),
        payments=_payments(bill, allocations),
        wishes=wishes,
        audit=[] if person is None else _audit(bill, wishes),
    )


def metered_l(bill: Bill) -> int:
    """Return the litres that the readings of a bill come to: a replacement may charge others, for its reason."""
    first = bill
    while first.kind == Bill.Kind.REPLACEMENT and first.corrects is not None:
        first = first.corrects
    return first.volume_l


def list_history(bill: Bill) -> list[tuple[date, float, int]]:
    """Return month, m³ and đồng of the connection's bills up to this one, adjustments added to their months."""
    first = Period("M", bill.period_start_date).shift(1 - _MONTHS).start_date
    sums: dict[date, list[int]] = {}
    for month, volume_l, total_vnd in Bill.objects.filter(
        connection_id=bill.connection_id, customer_id=bill.customer_id, state=Bill.State.ISSUED,
        period_start_date__gte=first, period_start_date__lte=bill.period_start_date,
    ).values_list("period_start_date", "volume_l", "total_vnd"):  # fmt: skip
        held = sums.setdefault(month, [0, 0])
        held[0] += volume_l
        held[1] += total_vnd
    return [(month, volume_l / 1000, total_vnd) for month, (volume_l, total_vnd) in sorted(sums.items())]


def _payments(bill: Bill, allocations: Sequence[Allocation]) -> list[PaidRow]:
    found = []
    for row in allocations:
        if row.credit_bill_id == bill.pk:
            found.append(PaidRow(row.at, f"Giảm cho hóa đơn {row.bill.name}", row.amount_vnd))
        elif row.payment is not None:
            found.append(PaidRow(row.at, f"{row.payment.get_method_display()} #{row.payment_id}", row.amount_vnd))
        elif row.credit_bill is not None:
            found.append(PaidRow(row.at, f"Cấn trừ hóa đơn {row.credit_bill.name}", row.amount_vnd))
    return found


def _audit(bill: Bill, wishes: Sequence[Correction]) -> list[AuditEntry]:
    targets = Q(target_kind="billing.bill", target_id=str(bill.pk))
    if bill.run_id:
        targets |= Q(target_kind="billing.billingrun", target_id=str(bill.run_id))
    if wishes:
        targets |= Q(target_kind="billing.correction", target_id__in=[str(one.pk) for one in wishes])
    return list(AuditEntry.objects.filter(targets).select_related("actor").order_by("-id")[:20])


def list_waiting(person: Person) -> QuerySet[Correction]:
    """Return the corrections that wait for somebody to decide, where the person may bill."""
    return (
        Correction.objects.filter(
            visibility.within(person, "bill", "bill__connection__"), state=Correction.State.REQUESTED
        )
        .select_related("bill__series", "bill__connection__customer", "requested_by")
        .order_by("requested_at")
    )


def list_of_connection(connection: Connection, limit: int = 12) -> list[Bill]:
    """Return the newest bills of a connection."""
    return list(
        Bill.objects.filter(connection=connection)
        .select_related("series")
        .order_by("-period_start_date", "-pk")[:limit]
    )
