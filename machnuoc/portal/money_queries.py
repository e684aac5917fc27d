"""What a customer owes, has used and has paid, by connection."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from django.db.models import F, Q, QuerySet
from django.http import Http404

from machnuoc.billing import banks, ledger, qr_images, reference, vietqr
from machnuoc.billing.models import Allocation, Bill, BillingProfile, GatewayOrder, Payment
from machnuoc.core.models import StoredFile
from machnuoc.core.periods import LOCAL_ZONE, Period
from machnuoc.customers.models import Connection, Contract, Fitting, Reading
from machnuoc.portal import links, queries
from machnuoc.portal.models import PortalAccount

MONTHS = 12
_WAITING = timedelta(hours=24)  # after that an order of a gateway counts as expired


@dataclass(frozen=True)
class OpenBill:
    """A bill with what is open of it, đồng (negative: credit that the next bill takes)."""

    bill: Bill
    name: str
    open_vnd: int
    is_overdue: bool


@dataclass(frozen=True)
class MonthUse:
    """What was billed for one month, adjustments included. bar_pct: of the highest month."""

    month: date
    volume_l: int
    total_vnd: int
    is_estimated: bool
    bar_pct: int = 0


@dataclass(frozen=True)
class Standing:
    """What the first page says of one connection. months: oldest first; change_l: last month less the one before."""

    connection: Connection
    owed_vnd: int
    open_bills: list[OpenBill]
    months: list[MonthUse] = field(default_factory=list)

    @property
    def next_due(self) -> date | None:
        return min((one.bill.due_date for one in self.open_bills if one.open_vnd > 0), default=None)

    @property
    def is_overdue(self) -> bool:
        return any(one.is_overdue for one in self.open_bills)

    @property
    def last(self) -> MonthUse | None:
        return self.months[-1] if self.months else None

    @property
    def change_l(self) -> int | None:
        if len(self.months) < 2 or _next_month(self.months[-2].month) != self.months[-1].month:
            return None
        return self.months[-1].volume_l - self.months[-2].volume_l

    @property
    def change_size_l(self) -> int:
        return abs(self.change_l or 0)


def standings(account: PortalAccount, connections: Sequence[Connection], today: date) -> list[Standing]:
    """Return what each connection owes and has used, in the order given; the number of queries is fixed."""
    bills = list(_issued(account).filter(connection_id__in=[one.pk for one in connections]))
    return _standings(connections, bills, _open_among(bills, today), today)


def standings_and_former(
    account: PortalAccount, connections: Sequence[Connection], today: date
) -> tuple[list[Standing], list["Former"]]:
    """Return the same, and the connections that the account gave away and still owes something for."""
    bills = list(_issued(account)) if connections or queries.former_bill_ids(account) else []
    opened = _open_among(bills, today)
    own = {one.pk for one in connections}
    former: dict[int, Former] = {}
    for one in opened:
        if one.bill.connection_id not in own:
            former.setdefault(one.bill.connection_id, Former(one.bill.connection, [])).open_bills.append(one)
    return _standings(connections, bills, opened, today), [one for one in former.values() if one.owed_vnd]


def _issued(account: PortalAccount) -> QuerySet[Bill]:
    return queries.bills_of(account).filter(state=Bill.State.ISSUED).order_by("due_date", "pk")


def _standings(
    connections: Sequence[Connection], bills: Iterable[Bill], opened: Iterable[OpenBill], today: date
) -> list[Standing]:
    open_by: dict[int, list[OpenBill]] = defaultdict(list)
    for row in opened:
        open_by[row.bill.connection_id].append(row)
    months = _months(bills, today)
    return [
        Standing(one, max(0, sum(row.open_vnd for row in open_by[one.pk])), open_by[one.pk], months[one.pk])
        for one in connections
    ]


def open_bills(account: PortalAccount, connection_ids: Iterable[int], today: date) -> list[OpenBill]:
    """Return the unsettled bills of the account at these connections, those that are due first first."""
    return _open_among(_issued(account).filter(connection_id__in=list(connection_ids)), today)


def _open_among(bills: Iterable[Bill], today: date) -> list[OpenBill]:
    rows = list(bills)
    open_vnd = ledger.open_of(rows)
    return [
        OpenBill(bill, bill.name, open_vnd[bill.pk], open_vnd[bill.pk] > 0 and bill.due_date < today)
        for bill in rows
        if open_vnd[bill.pk]
    ]


@dataclass(frozen=True)
class Former:
    """A connection that is another's by now, of which bills are left to the account. open_bills: unsettled ones."""

    connection: Connection
    open_bills: list[OpenBill]

    @property
    def owed_vnd(self) -> int:
        return max(0, sum(one.open_vnd for one in self.open_bills))

    @property
    def is_overdue(self) -> bool:
        return any(one.is_overdue for one in self.open_bills)


def _months(bills: Iterable[Bill], today: date) -> dict[int, list[MonthUse]]:
    """Return what was billed to today's customer for each of the last months, oldest first, by connection."""
    first = Period("M", today.replace(day=1)).shift(-MONTHS).start_date
    sums: dict[int, dict[date, list[int]]] = defaultdict(dict)
    for bill in bills:
        if bill.period_start_date < first or bill.customer_id != bill.connection.customer_id:
            continue
        held = sums[bill.connection_id].setdefault(bill.period_start_date, [0, 0, 0])
        held[0] += bill.volume_l
        held[1] += bill.total_vnd
        held[2] |= bill.is_estimated
    found: dict[int, list[MonthUse]] = defaultdict(list)
    for pk, by_month in sums.items():
        most = max((volume_l for volume_l, _, _ in by_month.values()), default=0)
        found[pk] = [
            MonthUse(month, volume_l, total_vnd, bool(estimated), max(0, volume_l) * 100 // most if most > 0 else 0)
            for month, (volume_l, total_vnd, estimated) in sorted(by_month.items())[-MONTHS:]
        ]
    return found


def _next_month(month: date) -> date:
    return Period("M", month).shift(1).start_date


# --- the connection ---------------------------------------------------------------------------------------------------


def held_from(connection: Connection) -> datetime | None:
    """Return since when the connection is its customer's of today; None if no contract and no date says so."""
    contract = Contract.objects.filter(connection=connection, customer_id=connection.customer_id).first()
    day = contract.signed_date if contract else connection.connected_date
    return datetime.combine(day, time.min, LOCAL_ZONE) if day else None


def find_last_reading(connection: Connection) -> Reading | None:
    """Return the newest reading that the meter was really read at, by today's customer's time."""
    since = held_from(connection)
    rows = Reading.objects.filter(
        connection=connection, state=Reading.State.ACCEPTED, index_l__isnull=False
    ).exclude(kind=Reading.Kind.ESTIMATED)  # fmt: skip
    if since is not None:
        rows = rows.filter(read_at__gte=since)
    return rows.select_related("photo").order_by("-read_at", "-pk").first()


def find_fitting(connection: Connection) -> Fitting | None:
    return connection.fittings.filter(removed_at__isnull=True).select_related("meter").first()


def require_photo(account: PortalAccount, connection: Connection, pk: int) -> StoredFile:
    """Return the photo of a reading of the connection: of the customer's own time, or one that a bill of theirs uses.

    Of a connection that was given away only the latter.

    Raises Http404.
    """
    reading = Reading.objects.filter(connection=connection, pk=pk, photo__isnull=False).select_related("photo").first()
    if reading is None or reading.photo is None:
        raise Http404("no photo of this connection")
    since = held_from(connection)
    is_holder = links.list_live(account).filter(connection=connection).exists()
    billed = queries.bills_of(account).filter(Q(from_reading_id=pk) | Q(to_reading_id=pk))
    if not (is_holder and (since is None or reading.read_at >= since)) and not billed.exists():
        raise Http404("a photo of a former customer's time")
    return reading.photo


# --- paying -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Transfer:
    """How to pay one bill by a transfer. svg: the code as a picture, "" where there is none; why_not says why."""

    amount_vnd: int
    reference: str
    svg: str = ""
    why_not: str = ""
    bank: str = ""
    bank_account: str = ""
    bank_account_name: str = ""
    is_simulated: bool = False


def transfer_of(bill: Bill, open_vnd: int) -> Transfer:
    """Return the code and the words of a transfer that pays what is open of a bill."""
    named = reference.make(bill.pk)
    profile = BillingProfile.objects.filter(operator_id=bill.operator_id).first()
    if profile is None or not profile.bank_account:
        return Transfer(open_vnd, named, why_not="Đơn vị cấp nước chưa khai tài khoản nhận chuyển khoản.")
    svg = why_not = ""
    try:
        svg = qr_images.as_svg(qr_images.payload_of(bill, profile, open_vnd), title="Mã VietQR trả hóa đơn này")
    except vietqr.NotVietQR as reason:
        why_not = f"Chưa có mã VietQR: {reason}"
    return Transfer(
        open_vnd, named, svg, why_not, banks.short_name(profile.bank_bin) or profile.bank_bin, profile.bank_account,
        profile.bank_account_name or vietqr.to_ascii(profile.legal_name, vietqr.NAME_MAX).upper(),
        bill.is_simulated or profile.is_simulated,
    )  # fmt: skip


def list_waiting_orders(account: PortalAccount, now: datetime) -> QuerySet[GatewayOrder]:
    """Return payments through gateways that nothing has been heard of yet, the newest first."""
    own = queries.bills_of(account).order_by().values("pk")
    return (
        GatewayOrder.objects.filter(state=GatewayOrder.State.PENDING, created_at__gt=now - _WAITING, bills__in=own)
        .select_related("connection")
        .distinct()
        .order_by("-pk")
    )


def payments_of(account: PortalAccount) -> QuerySet[Payment]:
    """Return what was paid for bills of the account, or ahead at its connections in its customer's time, newest first.

    What a former customer paid, or the next one, is that one's affair, whosever bills it went to: a receipt names them.
    """
    bills = queries.bills_of(account).order_by()
    paid = Allocation.objects.filter(
        Q(payment__customer__isnull=True) | Q(payment__customer=F("bill__customer")), bill_id__in=bills.values("pk"),
    ).values("payment_id")  # fmt: skip
    live = links.list_live(account)
    ahead = Q(connection_id__in=live.values("connection_id"), customer_id=F("connection__customer_id"))
    return (
        Payment.objects.filter(Q(pk__in=paid) | ahead)
        .select_related("connection", "operator__subject", "reversal")
        .order_by("-received_at", "-pk")
    )
