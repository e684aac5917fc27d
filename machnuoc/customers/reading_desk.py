"""What the pages of the office show of readings: routes and rounds of a month, rows to fill in, what waits."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from machnuoc.core import sending
from machnuoc.core.models import Person, Sending
from machnuoc.core.periods import Period
from machnuoc.core.vietnamese import format_number
from machnuoc.customers import consumption, plausibility, privacy, reading_queries, readings, visibility
from machnuoc.customers.models import Connection, Reading, Round, Route
from machnuoc.customers.reading_queries import MeterFacts, MonthUse
from machnuoc.places import access
from machnuoc.places.models import Containment, Grant, Subject

State, Kind = Reading.State, Reading.Kind
COUNTS = (State.ACCEPTED, State.SUSPECT, State.CONFLICT)
WAITING = (State.SUSPECT, State.CONFLICT)
_OWN_ROUTES_ONLY = frozenset({str(Grant.Role.READER)})  # who walks them: on a phone, not at the office


def recent_months(today: date, count: int = 18) -> list[date]:
    """Return the first days of this month and those before it, the newest first."""
    month, found = today.replace(day=1), []
    for _ in range(count):
        found.append(month)
        month = (month - timedelta(days=1)).replace(day=1)
    return found


# --- routes and rounds


def list_routes(person: Person, action: str = "serve") -> QuerySet[Route]:
    """Return the routes of the works on which the person may do the action."""
    rows = Route.objects.select_related("work__subject", "reader")
    if access.sees_everything(person, action, without=_OWN_ROUTES_ONLY):
        return rows
    scopes = access.list_scopes(person, action, without=_OWN_ROUTES_ONLY)
    return rows.filter(work_id__in=Containment.objects.filter(ancestor_id__in=scopes).values("descendant_id"))


@dataclass
class Counts:
    """How far a round has come: connections to read, with a real reading, estimated, waiting, not seen, missing."""

    total: int = 0
    read: int = 0
    estimated: int = 0
    waiting: int = 0
    no_access: int = 0
    covered: int = 0

    @property
    def missing(self) -> int:
        return max(self.total - self.covered, 0)

    @property
    def done_pct(self) -> int:
        return self.covered * 100 // self.total if self.total else 0


def count_rounds(route_ids: Collection[int], period: date) -> dict[int, Counts]:
    """Return how far the month has come on each route, in three queries."""
    found: dict[int, Counts] = {pk: Counts() for pk in route_ids}
    totals = readings.on_routes(route_ids, period).order_by().values_list("route_id").annotate(n=Count("pk"))
    for route_id, number in totals:
        found[route_id].total = number
    rows = Reading.objects.filter(period_start_date=period, connection__route_id__in=list(route_ids)).order_by()
    by_kind = rows.filter(state__in=COUNTS).values_list("connection__route_id", "state", "kind")
    for route_id, state, kind, number in by_kind.annotate(n=Count("connection_id", distinct=True)):
        counts = found[route_id]
        if kind == Kind.NO_ACCESS:
            counts.no_access += number
        elif state in WAITING:
            counts.waiting += number
        elif kind == Kind.ESTIMATED:
            counts.estimated += number
        else:
            counts.read += number
    covered = rows.filter(state__in=COUNTS, index_l__isnull=False).values_list("connection__route_id")
    for route_id, number in covered.annotate(n=Count("connection_id", distinct=True)):
        found[route_id].covered = number
    return found


def list_works(person: Person, action: str = "serve") -> list[tuple[int, str]]:
    """Return the works that have routes, of those the person reaches, as (id, name)."""
    ids = list_routes(person, action).order_by().values("work_id").distinct()
    return list(Subject.objects.filter(pk__in=ids).order_by("name").values_list("pk", "name"))


# --- the rows of a round


@dataclass
class Line:
    """One connection of a round: what is known of its meter, and what came for the month."""

    connection: Connection
    shown: privacy.Shown
    facts: MeterFacts | None
    reading: Reading | None = None  # accepted, or the one that waits
    waiting: list[Reading] = field(default_factory=list)
    no_access: Reading | None = None
    note: str = ""  # what became of the last entry
    tone: str = ""
    typed: str = ""  # what could not be taken, to be corrected
    asks: tuple[str, ...] = ()  # flags that the person may confirm

    @property
    def is_estimate(self) -> bool:
        return self.reading is not None and self.reading.kind == Kind.ESTIMATED

    @property
    def volume_l(self) -> int | None:
        return None if self.reading is None else used_l(self.reading, self.facts)

    @property
    def entered(self) -> str:
        """The index in the input, as people write it; of an estimate nothing: it is to be read."""
        if self.reading is None or self.reading.index_l is None or self.is_estimate:
            return ""
        return show_m3(self.reading.index_l)

    @property
    def flags(self) -> list[plausibility.Oddity]:
        return [plausibility.WARNINGS[key] for key in (self.reading.flags if self.reading else ())]


def used_l(reading: Reading, facts: MeterFacts | None) -> int | None:
    """Return what was used since the last real reading, over changes of the meter; None where it cannot be told.

    facts: from before the month that the reading closes.
    """
    if reading.index_l is None or facts is None:
        return None
    if reading.pk in facts.used_l:
        return facts.used_l[reading.pk]
    if reading.index_l >= facts.before_l:
        return facts.earlier_l + reading.index_l - facts.before_l
    if reading.rolled_over:
        return facts.earlier_l + reading.index_l + consumption.capacity_l(facts.digits) - facts.before_l
    return None


def show_m3(volume_l: int) -> str:
    """Return litres as m3, with a fraction only where there is one.

    >>> show_m3(1_288_000), show_m3(12_345)
    ('1.288', '12,345')
    """
    whole, rest = divmod(volume_l, 1000)
    return format_number(whole) if not rest else f"{format_number(whole)},{rest:03}".rstrip("0")


def lines(connections: Sequence[Connection], period: date, served: frozenset[int]) -> list[Line]:
    """Return the rows of the connections (with their customers) for a month, in a fixed number of queries."""
    ids = [one.pk for one in connections]
    facts = reading_queries.meter_facts(ids, before=period)
    shown = privacy.show_all(connections, served)
    found = {one.pk: Line(one, shown[one.pk], facts.get(one.pk)) for one in connections}
    rows = Reading.objects.filter(connection_id__in=ids, period_start_date=period, state__in=COUNTS).order_by("pk")
    for reading in rows:
        line = found[reading.connection_id]
        if reading.kind == Kind.NO_ACCESS:
            line.no_access = reading
        elif reading.state == State.ACCEPTED:
            line.reading = reading
        else:
            line.waiting.append(reading)
    for line in found.values():
        if line.waiting and (line.reading is None or line.is_estimate):
            line.reading = line.waiting[0]
    return [found[pk] for pk in ids]


# --- what waits for a person


def list_waiting(person: Person, action: str = "serve") -> QuerySet[Reading]:
    """Return the readings that wait for a person, of connections on which this one may do the action."""
    return (
        Reading.objects.filter(visibility.within(person, action, "connection__"), state__in=WAITING)
        .select_related("connection__work__subject", "connection__customer", "connection__route", "read_by")
        .order_by("period_start_date", "connection__code", "pk")
    )


@dataclass
class Case:
    """Everything that is needed to judge one reading: those of the same month, past months, the likely neighbour."""

    reading: Reading
    others: list[Reading]
    uses: list[MonthUse]
    facts: MeterFacts | None
    neighbours: list[Reading]


def read_case(reading: Reading) -> Case:
    others = list(
        Reading.objects.filter(
            connection_id=reading.connection_id, period_start_date=reading.period_start_date, index_l__isnull=False
        )
        .exclude(pk=reading.pk)
        .exclude(
            ~Q(superseded_by=reading, source=Reading.Source.FIELD), state=State.SUPERSEDED
        )  # but what they corrected
        .select_related("read_by", "photo")
        .order_by("pk")
    )
    neighbours: list[Reading] = []
    route_id = reading.connection.route_id
    if "SWAPPED" in reading.flags and route_id is not None:
        beside = Reading.objects.filter(
            connection__route_id=route_id, period_start_date=reading.period_start_date, state__in=COUNTS,
            index_l__isnull=False,
        ).exclude(connection_id=reading.connection_id)  # fmt: skip
        rows = beside.select_related("connection").order_by("connection__route_order", "pk")
        neighbours = [one for one in rows if "SWAPPED" in one.flags][:5]
    facts = reading_queries.meter_facts([reading.connection_id], before=reading.period_start_date)
    uses = reading_queries.month_uses([reading.connection_id], months=13).get(reading.connection_id, [])
    return Case(reading, others, uses, facts.get(reading.connection_id), neighbours)


# --- customers to be warned before the bill

WARNED = ("SUDDEN", "ZERO", "BACKWARDS")


@dataclass
class Abnormal:
    """A reading with odd use, whose customer should hear of it before the bill. told: messages put out for it."""

    reading: Reading
    volume_l: int | None
    usual_l: int | None  # of the same number of days
    titles: list[str]
    told: list[Sending] = field(default_factory=list)
    may_be_told: bool = False
    way: str = ""  # a channel
    address: str = ""


def warning_key(reading: Reading) -> str:
    """Return by what the one warning of a reading is known, whatever way it goes."""
    return f"usage-warning:{reading.pk}"


def list_abnormal(shown: Round) -> list[Abnormal]:
    """Return the readings of a round with odd use, and who was told of it already."""
    rows = Reading.objects.filter(
        connection__route_id=shown.route_id, period_start_date=shown.period_start_date, index_l__isnull=False,
        state__in=COUNTS,
    ).select_related("connection__customer")  # fmt: skip
    odd = [one for one in rows.order_by("connection__route_order", "pk") if set(WARNED) & set(one.flags)]
    facts = reading_queries.meter_facts({one.connection_id for one in odd}, before=shown.period_start_date)
    keys = {warning_key(one): one.pk for one in odd}
    # Keys of warnings that were put out before named their channel.
    keys |= {f"{warning_key(one)}:{channel}": one.pk for one in odd for channel in Sending.Channel.values}
    told: dict[int, list[Sending]] = defaultdict(list)
    for row in Sending.objects.filter(key__in=list(keys)).order_by("pk"):
        told[keys[row.key]].append(row)
    agreed = consenting({one.connection.customer_id for one in odd})
    found = []
    for one in odd:
        known = facts.get(one.connection_id)
        usual = None
        if known is not None and known.mean is not None:
            days = max((timezone.localdate(one.read_at) - known.before_date).days, 1)
            usual = round(known.mean[0] * days / known.mean[1] / 1000) * 1000
        index_l = one.index_l or 0
        customer = one.connection.customer
        way, address = sending.reach(customer.phone, customer.email)
        found.append(
            Abnormal(
                one, index_l - known.before_l if known and index_l >= known.before_l else None, usual,
                [plausibility.WARNINGS[key].title for key in one.flags], told[one.pk],
                bool(address) and customer.pk in agreed and one.state == State.ACCEPTED, way, address,
            )
        )  # fmt: skip
    return found


def consenting(customer_ids: Iterable[int]) -> frozenset[int]:
    """Return those who allow messages about water, bills and interruptions today."""
    from machnuoc.customers.models import Consent

    return frozenset(
        Consent.objects.filter(
            customer_id__in=list(customer_ids), purpose=Consent.Purpose.NOTICES, withdrawn_at__isnull=True
        ).values_list("customer_id", flat=True)
    )


def default_read_at(on_date: date, now: datetime) -> datetime:
    """Return the moment of a reading of which only the day is known: noon, or now if that is earlier."""
    return min(readings.noon(on_date), now)


def month_of(text: str, today: date) -> date:
    """Return the first day of the month that an address names, or of the one being read now."""
    try:
        period = Period.parse(text)
    except ValueError:
        return plausibility.closing_month(today, 20)
    return period.start_date if period.kind == "M" else plausibility.closing_month(today, 20)


def search(rows: QuerySet[Any], text: str, prefix: str = "connection__") -> QuerySet[Any]:
    """Return the rows whose connection's folded text holds the words."""
    from machnuoc.core.folding import fold

    for word in fold(text).split()[:6]:
        rows = rows.filter(Q(**{f"{prefix}folded__contains": word}))
    return rows
