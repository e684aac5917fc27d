"""What is read about requests and complaints: who may see them, what is open, what was answered in time."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import numpy as np
from django.db.models import (
    Case,
    Count,
    DateTimeField,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.functions import Coalesce, TruncDate
from django.utils import timezone

from machnuoc.core import folding, vietnamese
from machnuoc.core.models import Person
from machnuoc.core.periods import LOCAL_ZONE, Period
from machnuoc.customers import connection_panels, counting, visibility
from machnuoc.customers.models import Connection, ConnectionEvent, Contract, Customer, Request, RequestEvent
from machnuoc.customers.request_routing import distance_m
from machnuoc.places import access
from machnuoc.places.models import Containment

OPEN_STATES = (Request.State.NEW, Request.State.ASSIGNED)
NORM = "dinh-muc"  # the category of requests about norms
_WISHED_NORM = re.compile(r"định mức cho (\d{1,3}) người từ ngày (\d{2}/\d{2}/\d{4})")  # as the portal words it
NEAR_M = 300
NEAR_WITHIN = timedelta(days=7)


# --- disputes


def is_open() -> Q:
    """A request waits for an answer: itself, or through the one that it was merged into."""
    return Q(state__in=OPEN_STATES) | Q(state=Request.State.MERGED, merged_into__state__in=OPEN_STATES)


def has_open_dispute(connection_id: int) -> bool:
    """Return whether a complaint about a bill of the connection waits for its answer: water is not cut off meanwhile.

    Answered, closed and rejected complaints wait no more; a reply to an answer opens it again.
    """
    return bool(connections_in_dispute([connection_id]))


def list_open_disputes(connection_id: int) -> list[Request]:
    """Return the complaints about bills of the connection that wait for their answer, the oldest first."""
    rows = Request.objects.filter(is_open(), connection_id=connection_id, category__is_bill_dispute=True)
    return list(rows.order_by("received_at"))


def connections_in_dispute(connection_ids: Iterable[int]) -> set[int]:
    """Return those of the connections whose complaint about a bill waits for its answer, in one query."""
    return set(
        Request.objects.filter(is_open(), connection_id__in=list(connection_ids), category__is_bill_dispute=True)
        .values_list("connection_id", flat=True)
    )  # fmt: skip


# --- whose they are


def of_customer(customer: Customer, moment: str = "received_at") -> Q:
    """Return the condition of rows about a connection that belong to the customer: from when it was theirs.

    A connection that was transferred has rows of its former customer, whose words and numbers are nobody else's.
    moment: the column that says when a row came to be.
    """
    return held_by(customer, _day_of(moment))


def passed_on(moment: str) -> Q:
    """Return the condition of rows about a connection that has gone to somebody else since the day of the row."""
    return _passed_on(_day_of(moment))


def _day_of(moment: str) -> TruncDate:
    return TruncDate(ExpressionWrapper(OuterRef(moment), DateTimeField()), tzinfo=LOCAL_ZONE)


def _passed_on(day: OuterRef | TruncDate) -> Q:
    return Q(
        Exists(
            ConnectionEvent.objects.filter(
                connection=OuterRef("connection"), kind=ConnectionEvent.Kind.TRANSFERRED, on_date__gt=day
            )
        )
    )


def held_by(customer: Customer, day: OuterRef | TruncDate) -> Q:
    """Return the condition of rows about a connection that the customer held on a day of the row."""
    theirs = Contract.objects.filter(customer=customer, ended_date__isnull=False)
    held = theirs.filter(connection=OuterRef("connection"), signed_date__lte=day, ended_date__gt=day)
    return Q(connection__customer=customer) & ~_passed_on(day) | (
        Q(connection__in=theirs.values("connection")) & Q(Exists(held))
    )


def said_by(customer: Customer) -> Q:
    """Return the condition of requests that are not known to be somebody else's words about the customer.

    Neighbours report leaks and violations at a house too: what they said, and who they are, is not its customer's to
    read.
    """
    same = Q(phone="", email="", name__in=["", customer.name])
    if customer.phone:
        same |= Q(phone=customer.phone)
    if customer.email:
        same |= Q(email__iexact=customer.email)
    return same & Q(category__is_violation=False)


# --- who sees what


def reads(person: Person) -> bool:
    """Return whether the person sees requests at all: who views sees them masked, who serves sees them whole."""
    return access.may(person, "view") or access.may(person, "serve")


def _scopes(person: Person, action: str) -> list[int] | None:
    """Return the subjects on which the person holds the action, None for all; who serves sees too."""
    actions = ("view", "serve") if action == "view" else (action,)
    if any(access.sees_everything(person, one) for one in actions):
        return None
    return sorted({scope for one in actions for scope in access.list_scopes(person, one)})


def within(person: Person, action: str = "serve") -> Q:
    """Return the condition of requests on which the person may do the action: by work, unit or operator."""
    scopes = _scopes(person, action)
    if scopes is None:
        return Q()
    inside = Containment.objects.filter(ancestor_id__in=scopes).values("descendant_id")
    return Q(work_id__in=inside) | Q(unit_id__in=inside) | Q(operator_id__in=inside)


def visible(person: Person, action: str = "view") -> QuerySet[Request]:
    return Request.objects.filter(within(person, action))


def may(person: Person, action: str, request: Request) -> bool:
    """Return whether the person may do the action on the request."""
    scopes = _scopes(person, action)
    if scopes is None:
        return True
    reached = [pk for pk in (request.work_id, request.unit_id, request.operator_id) if pk is not None]
    if not scopes or not reached:
        return False
    return Containment.objects.filter(ancestor_id__in=scopes, descendant_id__in=reached).exists()


def served_among(person: Person, requests: Iterable[Request]) -> frozenset[int]:
    """Return the ids of those requests whose words and senders the person reads: under `serve`, in one query."""
    rows = list(requests)
    scopes = _scopes(person, "serve")
    if scopes is None:
        return frozenset(one.pk for one in rows)
    reached = {pk for one in rows for pk in (one.work_id, one.unit_id, one.operator_id) if pk is not None}
    if not scopes or not reached:
        return frozenset()
    served = set(
        Containment.objects.filter(ancestor_id__in=scopes, descendant_id__in=reached).values_list(
            "descendant_id", flat=True
        )
    )
    return frozenset(one.pk for one in rows if {one.work_id, one.unit_id, one.operator_id} & served)


# --- lists


@dataclass(frozen=True)
class Filters:
    """What the list is narrowed to. state: a State, "open" or "" for all. clock: "overdue", "soon" or "".

    outside: the operator or place whose requests without a work are wanted.
    """

    q: str = ""
    state: str = "open"
    category: int | None = None
    work: int | None = None
    outside: int | None = None
    unit: int | None = None
    channel: str = ""
    urgency: str = ""
    clock: str = ""
    mine: bool = False
    from_at: datetime | None = None
    until: datetime | None = None
    violations: bool = False


def select(person: Person, wanted: Filters, now: datetime) -> QuerySet[Request]:
    """Return the requests that the person sees, narrowed; what is late first, then by what is due next."""
    rows = narrow(visible(person), wanted, now, serving=within(person, "serve"), person=person)
    return ordered(rows, now).select_related("category", "work__subject", "unit__subject", "place", "handler")


def list_without_work(person: Person) -> list[tuple[int, str]]:
    """Return id and name of the operators and places whose requests without a work the person sees, by name."""
    rows = visible(person).filter(work__isnull=True).order_by()
    named = rows.values_list(counting.WHOSE, Coalesce("operator__subject__name", "place__name")).distinct()
    found = [(pk, name) for pk, name in named if pk is not None]
    return sorted(found, key=lambda row: (folding.sort_key(row[1]), row[0]))


def ordered(rows: QuerySet[Request], now: datetime) -> QuerySet[Request]:
    is_waiting = Case(When(state__in=OPEN_STATES, then=Value(0)), default=Value(1))
    rank = Case(When(urgency="EMERGENCY", then=Value(0)), When(urgency="HIGH", then=Value(1)), default=Value(2))
    is_late = Case(When(state__in=OPEN_STATES, due_at__lt=now, then=Value(0)), default=Value(1))
    return rows.annotate(_waiting=is_waiting, _late=is_late, _rank=rank).order_by(
        "_waiting", "_late", "_rank", F("due_at").asc(nulls_last=True), "-received_at", "-pk"
    )


def narrow(rows: QuerySet[Request], wanted: Filters, now: datetime, *, serving: Q, person: Person) -> QuerySet[Request]:
    """Narrow the rows. Words are looked for in what the person may read: senders and texts only under `serve`."""
    if wanted.q.strip():
        text = wanted.q.strip()
        digits = "".join(char for char in text if char.isdigit())
        said = Q(text__icontains=text) | Q(name__icontains=text) | Q(address__icontains=text)
        said |= Q(connection__code__iexact=text) | Q(connection__folded__contains=folding.fold(text) or text)
        if len(digits) >= 4:
            said |= Q(phone__startswith=digits)
        rows = rows.filter(Q(code__icontains=text) | (said & serving))
    if wanted.state == "open":
        rows = rows.filter(state__in=OPEN_STATES)
    elif wanted.state:
        rows = rows.filter(state=wanted.state)
    if wanted.clock == "overdue":
        rows = rows.filter(state__in=OPEN_STATES, due_at__lt=now)
    elif wanted.clock == "soon":
        rows = rows.filter(state__in=OPEN_STATES, due_at__gte=now, due_at__lt=now + timedelta(hours=24))
    elif wanted.clock == "none":
        rows = rows.filter(due_at__isnull=True)
    for name in ("category", "work", "unit", "channel", "urgency"):
        value = getattr(wanted, name)
        if value:
            rows = rows.filter(**{name: value})
    if wanted.outside:
        rows = rows.alias(whose=counting.WHOSE).filter(work__isnull=True, whose=wanted.outside)
    if wanted.mine:
        rows = rows.filter(handler=person)
    if wanted.violations:
        rows = rows.filter(category__is_violation=True)
    if wanted.from_at:
        rows = rows.filter(received_at__gte=wanted.from_at)
    if wanted.until:
        rows = rows.filter(received_at__lt=wanted.until)
    return rows


@dataclass(frozen=True)
class Counts:
    open: int
    overdue: int
    soon: int
    unassigned: int
    emergencies: int


def count_open(rows: QuerySet[Request], now: datetime) -> Counts:
    """Count what waits among the rows, in one query."""
    waiting = Q(state__in=OPEN_STATES)
    found = rows.filter(waiting).aggregate(
        open=Count("pk"),
        overdue=Count("pk", filter=Q(due_at__lt=now)),
        soon=Count("pk", filter=Q(due_at__gte=now, due_at__lt=now + timedelta(hours=24))),
        unassigned=Count("pk", filter=Q(state=Request.State.NEW)),
        emergencies=Count("pk", filter=Q(urgency=Request.Urgency.EMERGENCY)),
    )
    return Counts(**found)


# --- duplicates


@dataclass(frozen=True)
class Near:
    """An open request that may be about the same. distance_m: None where only the connection or commune is."""

    request: Request
    distance_m: int | None
    is_same_connection: bool


@dataclass(frozen=True)
class WishedNorm:
    """Code of a request about a norm, the persons and the day from which it asks for them."""

    code: str
    persons: int
    from_date: date | None


def find_duplicates(
    *,
    category_id: int,
    now: datetime,
    latitude: float | None = None,
    longitude: float | None = None,
    connection_id: int | None = None,
    place_id: int | None = None,
    without: int | None = None,
    among: QuerySet[Request] | None = None,
) -> list[Near]:
    """Return open requests of the same category and NEAR_WITHIN: within NEAR_M or of the same connection.

    place_id: a commune, of which those follow that cannot be told apart by their points. A complaint about a bill is
    only like one of the same connection. among: those that may be told of.
    """
    rows = Request.objects.all() if among is None else among
    rows = rows.filter(state__in=OPEN_STATES, category_id=category_id, received_at__gte=now - NEAR_WITHIN)
    same = Q(connection_id=connection_id) if connection_id else Q(pk__in=[])
    has_point = latitude is not None and longitude is not None
    if latitude is not None and longitude is not None:
        reach = NEAR_M / 110_000
        same |= Q(
            latitude__range=(latitude - reach, latitude + reach),
            longitude__range=(longitude - 1.3 * reach, longitude + 1.3 * reach),
            category__is_bill_dispute=False,
        )
    if place_id:
        of_place = Q(place_id=place_id, category__is_bill_dispute=False)
        same |= of_place & Q(latitude__isnull=True) if has_point else of_place
    found = []
    for row in rows.filter(same).exclude(pk=without or 0).select_related("category").order_by("-received_at")[:50]:
        away = None
        if has_point and row.latitude is not None and row.longitude is not None:
            assert latitude is not None and longitude is not None  # noqa: S101 - has_point
            away = round(distance_m(latitude, longitude, row.latitude, row.longitude))
        is_same = connection_id is not None and row.connection_id == connection_id
        if is_same or away is None or away <= NEAR_M:
            found.append(Near(row, away, is_same))
    return sorted(found, key=lambda one: (not one.is_same_connection, one.distance_m is None, one.distance_m or 0))


def find_callers(person: Person, phone: str) -> list[Connection]:
    """Return the connections, within the person's `serve`, of customers with the phone number, at most 20."""
    if len(phone) < 8:
        return []
    return list(
        visibility.list_connections(person, "serve")
        .filter(customer__phone=phone)
        .select_related("customer", "work__subject")
        .order_by("code")[:20]
    )


def find_wished_norm(connection: Connection) -> WishedNorm | None:
    """Return what the customer's newest open request about the norm of the connection asks for."""
    rows = Request.objects.filter(connection=connection, category__key=NORM, state__in=OPEN_STATES)
    found = next(((row, match) for row in rows.order_by("-pk") if (match := _WISHED_NORM.search(row.text))), None)
    if found is None:
        return None
    row, match = found
    try:
        from_date = vietnamese.parse_date(match[2])
    except vietnamese.NotADate:
        from_date = None
    return WishedNorm(row.code, int(match[1]), from_date)


# --- what the sender sees


def public_events(request: Request) -> list[RequestEvent]:
    """Return what the sender reads of a request: its own, and of the one it was merged into what was not said to it."""
    own = list(request.events.filter(is_public=True))
    if request.merged_into_id is None:
        return own
    shared = [
        RequestEvent.Kind.ANSWER,
        RequestEvent.Kind.ASSIGNED,
        RequestEvent.Kind.CLOSED,
        RequestEvent.Kind.REOPENED,
    ]
    main = RequestEvent.objects.filter(request_id=request.merged_into_id, is_public=True, kind__in=shared)
    merged_at = next((one.at for one in reversed(own) if one.kind == RequestEvent.Kind.MERGED), request.received_at)
    return sorted([*own, *main.filter(at__gte=merged_at)], key=lambda one: (one.at, one.pk))


def standing_of(request: Request) -> Request:
    """Return the request whose state and clock count: the one that it was merged into, or itself."""
    return request.merged_into if request.merged_into_id and request.merged_into else request


# --- statistics


@dataclass(frozen=True)
class Statistics:
    """Requests of a period. Times run from the start of the clock (receipt, or the last reopening) to the answer.

    received: all that came, also those later merged. answered: answered or rejected in the period, without merged ones.
    with_limit, in_time: of the answered, those with a limit, and those within it. open, overdue: at the end of the
    period, or now if it has not ended. hours: NaN-free; None where nothing was answered.
    """

    received: int = 0
    answered: int = 0
    with_limit: int = 0
    in_time: int = 0
    median_hours: float | None = None
    p90_hours: float | None = None
    open: int = 0
    overdue: int = 0
    ratings: int = 0
    rating_mean: float | None = None
    violations: int = 0

    @property
    def in_time_pct(self) -> float | None:
        """Share of the answered that had a limit and kept it."""
        return 100 * self.in_time / self.with_limit if self.with_limit else None


@dataclass(frozen=True)
class Report:
    """Statistics of all, by category name and by place; each request is in one category and in one place."""

    total: Statistics
    by_category: dict[str, Statistics] = field(default_factory=dict)
    by_place: list["PlaceLine"] = field(default_factory=list)

    @property
    def unclear(self) -> int:
        """Received and open requests of which no work is known: they are in no figure of a work."""
        return sum(line.found.received + line.found.open for line in self.by_place if line.work_id is None)

    @property
    def nowhere(self) -> int:
        """Those of which neither work nor operator nor place is known: they are in no figure at all."""
        rows = [line.found for line in self.by_place if line.work_id is None and line.whose is None]
        return sum(found.received + found.open for found in rows)


@dataclass(frozen=True)
class PlaceLine:
    """Requests of one work, or those whose work is not known (work_id None) of one operator or place (whose)."""

    work_id: int | None
    whose: int | None
    name: str
    found: Statistics


_Fact = tuple[
    str, int | None, str | None, bool, datetime, datetime, datetime | None, datetime | None, str, int | None,
    int | None, str | None,
]  # fmt: skip
UNCLEAR = "Chưa rõ công trình"


def statistics(
    period: Period, work_ids: Collection[int] | None = None, *, now: datetime | None = None,
    rows: QuerySet[Request] | None = None,
) -> Report:  # fmt: skip
    """Return the statistics of a period, for some works or for all.

    work_ids: None for all, also requests without a work. rows: those that may be counted (all, if not given).
    """
    moment = now or timezone.now()
    start_at = datetime.combine(period.start_date, datetime.min.time(), LOCAL_ZONE)
    until = min(datetime.combine(period.end_date, datetime.min.time(), LOCAL_ZONE), moment)
    chosen = Request.objects.all() if rows is None else rows
    if work_ids is not None:
        chosen = chosen.filter(work_id__in=list(work_ids))
    touched = (
        Q(received_at__gte=start_at, received_at__lt=until)
        | Q(answered_at__gte=start_at, answered_at__lt=until)
        | Q(received_at__lt=until, answered_at__isnull=True)
        | Q(received_at__lt=until, answered_at__gte=until)
    )
    facts: list[_Fact] = list(
        chosen.filter(touched)
        .annotate(whose=counting.WHOSE, whose_name=Coalesce("operator__subject__name", "place__name"))
        .values_list(
            "category__name", "work_id", "work__subject__name", "category__is_violation", "received_at",
            "clock_from_at", "due_at", "answered_at", "state", "rating", "whose", "whose_name",
        )
    )  # fmt: skip
    by_category: dict[str, list[_Fact]] = defaultdict(list)
    by_place: dict[tuple[int | None, int | None], list[_Fact]] = defaultdict(list)
    for fact in facts:
        by_category[fact[0]].append(fact)
        by_place[fact[1], None if fact[1] else fact[10]].append(fact)
    lines = []
    for (work_id, whose), some in by_place.items():
        name = some[0][2] or f"{UNCLEAR} ({some[0][11]})" if work_id or whose else UNCLEAR
        lines.append(PlaceLine(work_id, whose, name, _sum_up(some, start_at, until)))
    return Report(
        _sum_up(facts, start_at, until),
        {name: _sum_up(some, start_at, until) for name, some in sorted(by_category.items())},
        sorted(lines, key=lambda line: (line.work_id is None, line.name, line.work_id or 0)),
    )


def _sum_up(facts: list[_Fact], start_at: datetime, until: datetime) -> Statistics:
    received = with_limit = in_time = still_open = overdue = violations = 0
    hours: list[float] = []
    ratings: list[int] = []
    for _, _, _, is_violation, received_at, clock_from_at, due_at, answered_at, state, rating, _, _ in facts:
        if start_at <= received_at < until:
            received += 1
            violations += is_violation
        if state == Request.State.MERGED:
            continue
        if answered_at is not None and start_at <= answered_at < until:
            hours.append((answered_at - clock_from_at).total_seconds() / 3_600)
            if due_at is not None:
                with_limit += 1
                in_time += answered_at <= due_at
            if rating is not None:
                ratings.append(rating)
        elif received_at < until and (answered_at is None or answered_at >= until):
            still_open += 1
            overdue += due_at is not None and due_at < until
    return Statistics(
        received, len(hours), with_limit, in_time,
        float(np.median(hours)) if hours else None, float(np.percentile(hours, 90)) if hours else None,
        still_open, overdue, len(ratings), float(np.mean(ratings)) if ratings else None, violations,
    )  # fmt: skip


def has_simulated(rows: QuerySet[Request]) -> bool:
    return rows.filter(is_simulated=True).exists()


def connection_of(said: str, phone: str) -> Connection | None:
    """Return the connection of a code, or of the number of a bill, whose customer has this phone number.

    None if the two do not agree, or the number is of several. phone: as it is kept, digits in national form.
    """
    if not phone:
        return None
    rows = Connection.objects.filter(customer__phone=phone)
    rows = rows.select_related("customer", "place", "work__operator__subject", "work__subject")
    billed = connection_panels.connections_billed_as(said, phone)
    return rows.filter(code__iexact=said.strip()).first() or (
        rows.filter(pk__in=billed).first() if len(billed) == 1 else None
    )
