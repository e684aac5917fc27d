"""How many connections, households, meters and requests each work has: read in few queries for all works at once.

In use at the end of a day: connected by then, not closed by then, and not suspended or cut off then, by the events of
the connection. What a record says today of its group, households and verification is taken for the past too.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import Case, Count, DurationField, ExpressionWrapper, F, Q, QuerySet, Sum, When
from django.db.models.functions import Coalesce

from machnuoc.core.periods import LOCAL_ZONE, Period
from machnuoc.customers.models import Connection, ConnectionEvent, Fitting, Group, Request
from machnuoc.places import queries as place_queries

DOMESTIC = (Group.SH, Group.SH_NGHEO)
_Kind = ConnectionEvent.Kind
_STOPS = frozenset({str(_Kind.SUSPENDED), str(_Kind.CUT_OFF)})
_STOPPED = (Connection.Status.SUSPENDED, Connection.Status.CUT_OFF)


def moment_of(day: date) -> datetime:
    """Return the midnight with which the day begins."""
    return datetime.combine(day, time(0), LOCAL_ZONE)


def end_of(period: Period, today: date) -> date:
    """Return the day before which things count in the period: its end, or tomorrow while it runs."""
    return min(period.end_date, today + timedelta(days=1))


# --- connections ------------------------------------------------------------------------------------------------------


@dataclass
class Stock:
    """Of one work: connections and households in use."""

    connections: int = 0
    households: int = 0


Stocks = dict[tuple[int, bool], Stock]
"""By work and whether the connections are simulated."""


def _there(before: date) -> QuerySet[Connection]:
    """Return the connections that water had reached before the day and that were not closed before it."""
    open_then = Q(closed_date__gte=before) | (Q(closed_date__isnull=True) & ~Q(status=Connection.Status.CLOSED))
    return Connection.objects.filter(open_then, connected_date__lt=before).exclude(status=Connection.Status.PENDING)


def read_stocks(before: date) -> Stocks:
    """Return what was in use when the day began, of every work that has connections."""
    rows = (
        _there(before)
        .order_by()
        .values_list("work_id", "is_simulated")
        .annotate(count=Count("pk"), domestic=Sum("households", filter=Q(group__in=DOMESTIC)))
    )
    found = {(work, simulated): Stock(count, households or 0) for work, simulated, count, households in rows}
    for pk_work, simulated, households in _stopped(before):
        stock = found[pk_work, simulated]
        stock.connections -= 1
        stock.households -= households
    return found


def _stopped(before: date) -> list[tuple[int, bool, int]]:
    """Return (work, is simulated, domestic households) of each connection that stood still when the day began."""
    by_connection: dict[int, list[tuple[date, str]]] = defaultdict(list)
    events = ConnectionEvent.objects.filter(kind__in=[_Kind.SUSPENDED, _Kind.CUT_OFF, _Kind.REOPENED])
    for pk, day, kind in events.order_by("on_date", "id").values_list("connection_id", "on_date", "kind"):
        by_connection[pk].append((day, kind))
    ids = set(Connection.objects.filter(status__in=_STOPPED).values_list("pk", flat=True)) - by_connection.keys()
    for pk, moves in by_connection.items():
        past = [kind for day, kind in moves if day < before]
        # Before the first event it stood still if that event opens it again: it was entered as suspended.
        if (past[-1] in _STOPS) if past else moves[0][1] == _Kind.REOPENED:
            ids.add(pk)
    found: list[tuple[int, bool, int]] = []
    listed = sorted(ids)
    for start in range(0, len(listed), 5_000):
        rows = _there(before).filter(pk__in=listed[start : start + 5_000])
        found += [
            (work, simulated, households if group in DOMESTIC else 0)
            for work, simulated, group, households in rows.values_list("work_id", "is_simulated", "group", "households")
        ]
    return found


def count_new(period: Period) -> dict[tuple[int, bool], int]:
    """Return how many newly developed connections came into use in the period, by work and whether simulated."""
    rows = Connection.objects.filter(
        origin=Connection.Origin.NEW, connected_date__gte=period.start_date, connected_date__lt=period.end_date
    ).exclude(status=Connection.Status.PENDING)
    return {
        (work, simulated): count
        for work, simulated, count in rows.order_by().values_list("work_id", "is_simulated").annotate(Count("pk"))
    }


def count_priority(before: date) -> dict[tuple[int, bool], int]:
    """Return how many priority customers had a connection in use, by work and whether simulated."""
    rows = (
        _there(before)
        .filter(customer__priority__gt="")
        .order_by()
        .values_list("work_id", "is_simulated")
        .annotate(count=Count("customer_id", distinct=True))
    )
    return {(work, simulated): count for work, simulated, count in rows}


@dataclass(frozen=True)
class Joined:
    """Connections that came with what was handed over to a work, on one day. closed: the day on which they ended."""

    work_id: int
    day: date
    closed: date | None
    connections: int
    households: int

    def is_in_use(self, day: date) -> bool:
        return self.day <= day and (self.closed is None or day < self.closed)


def handed_over(from_date: date) -> QuerySet[Connection]:
    """Return the real connections of origin HANDOVER that joined a work on a day from this one on."""
    return Connection.objects.filter(
        origin=Connection.Origin.HANDOVER, connected_date__gte=from_date, is_simulated=False
    ).exclude(status=Connection.Status.PENDING)


UNDER = "work__subject__contained_in__ancestor_id"


def handed_over_by_day(from_date: date, subject_ids: Iterable[int]) -> Any:
    """Return the same connections counted under each subject, by work and the days on which they came and ended.

    A query of dictionaries: UNDER, work_id, connected_date, closed_date, domestic (households), number (connections).
    """
    rows = handed_over(from_date).filter(**{f"{UNDER}__in": list(subject_ids)}).order_by()
    return rows.values(UNDER, "work_id", "connected_date", "closed_date").annotate(
        domestic=Coalesce(Sum("households", filter=Q(group__in=DOMESTIC)), 0), number=Count("pk")
    )


def list_joined(from_date: date, subject_ids: Iterable[int]) -> dict[int, list[Joined]]:
    """Return who joined by a handover since a day, under each subject (a work with its parts, an operator, a place)."""
    found: dict[int, list[Joined]] = defaultdict(list)
    for row in handed_over_by_day(from_date, subject_ids):
        found[row[UNDER]].append(
            Joined(row["work_id"], row["connected_date"], row["closed_date"], row["number"], row["domestic"])
        )
    return dict(found)


# --- meters -----------------------------------------------------------------------------------------------------------


def count_meters(before: date) -> dict[tuple[int, bool], tuple[int, int]]:
    """Return (meters that hung, those past their verification) when the day began, by work and whether simulated."""
    moment, last_day = moment_of(before), before - timedelta(days=1)
    rows = (
        Fitting.objects.filter(Q(removed_at__isnull=True) | Q(removed_at__gte=moment), installed_at__lt=moment)
        .order_by()
        .values_list("connection__work_id", "connection__is_simulated")
        .annotate(hung=Count("pk"), overdue=Count("pk", filter=Q(meter__verification_due_date__lt=last_day)))
    )
    return {(work, simulated): (count, overdue) for work, simulated, count, overdue in rows}


# --- requests ---------------------------------------------------------------------------------------------------------


WHOSE = Coalesce("operator_id", "place_id")
"""To whom a request without a work belongs: its operator; of an unknown operator the place."""
OUTSIDE = "outside-"  # in the address of a list, before the id of whose requests without a work are wanted


@dataclass
class Answers:
    """Requests of one work in a period. limited: answered ones that had a limit; hours: from the clock's start.

    of: where they are of no work, whose they are (an operator or a place).
    """

    received: int = 0
    answered: int = 0
    limited: int = 0
    in_time: int = 0
    open: int = 0
    hours: timedelta = field(default_factory=timedelta)
    simulated: int = 0
    of: int | None = None


def list_without_work() -> set[int]:
    """Return the operators and places to whom requests without a work belong."""
    rows = Request.objects.filter(work__isnull=True).order_by().values_list(WHOSE, flat=True).distinct()
    return {whose for whose in rows if whose is not None}


def count_requests(period: Period, now: datetime) -> dict[int, Answers]:
    """Return what became of requests in the period, of every work that ever had one by its end.

    And of every operator or place that had one without a work, under its subject outside works, where there is one.
    As the statistics page counts: a merged request was received, the one it was merged into is answered.
    """
    begun, until = moment_of(period.start_date), min(moment_of(period.end_date), now)
    counts = ~Q(state=Request.State.MERGED)
    answered = counts & Q(answered_at__gte=begun, answered_at__lt=until)
    waited = ExpressionWrapper(F("answered_at") - F("clock_from_at"), output_field=DurationField())
    rows = (
        Request.objects.filter(received_at__lt=until)
        .order_by()
        .annotate(whose=Case(When(work__isnull=True, then=WHOSE)))
        .values_list("work_id", "whose")
        .annotate(
            received=Count("pk", filter=Q(received_at__gte=begun)),
            answered=Count("pk", filter=answered),
            limited=Count("pk", filter=answered & Q(due_at__isnull=False)),
            in_time=Count("pk", filter=answered & Q(answered_at__lte=F("due_at"))),
            waiting=Count("pk", filter=counts & (Q(answered_at__isnull=True) | Q(answered_at__gte=until))),
            hours=Sum(waited, filter=answered),
            simulated=Count("pk", filter=Q(is_simulated=True)),
        )
    )  # fmt: skip
    counted = {
        (work, whose): Answers(received, answered, limited, in_time, waiting, hours or timedelta(), simulated, whose)
        for work, whose, received, answered, limited, in_time, waiting, hours, simulated in rows
    }
    outside = place_queries.list_outside_works(whose for _, whose in counted if whose is not None)
    subjects = {place: place[0] or outside.get(place[1] or 0) for place in counted}
    return {subject: counted[place] for place, subject in subjects.items() if subject is not None}
