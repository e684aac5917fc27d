"""What is read about readings: the use of a month as columns, what a phone needs, what waits for a person."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from django.db import connection as database
from django.db.models import QuerySet

from machnuoc.core import periods
from machnuoc.customers import consumption
from machnuoc.customers.consumption import Point
from machnuoc.customers.models import Fitting, Meter, Reading

NO_READING, NO_START, SUSPECT, NEGATIVE = "NO_READING", "NO_START", "SUSPECT", "NEGATIVE"
PROBLEMS = {
    NO_READING: "Chưa có chỉ số của kỳ",
    NO_START: "Chưa có chỉ số đầu kỳ",
    SUSPECT: "Chỉ số đang chờ xem lại",
    NEGATIVE: "Chỉ số lùi chưa có giải thích",
}
_AT_ONCE = 1_000
LONGEST_FIRST_DAYS = 92  # from the hanging of a meter to its first reading; what took longer is no month's use
_DAY_0 = np.datetime64("1970-01-01", "D")


@dataclass(frozen=True)
class TrueUps:
    """What a real reading says of months that were estimated before it; all arrays of one length.

    connection_id: int64. period_start_date, from_date, to_date: datetime64[D], of the estimated month and its days
    (half-open). estimated_l: what its own closing reading gave. volume_l: its share, by days, of what was truly used.
    reading_id: the real reading. Volumes of a span add up: its true-ups and the usage that follows are all of it.
    Bill `volume_l - estimated_l` (it may be negative: a decrease) at the price of that month.
    """

    connection_id: np.ndarray
    period_start_date: np.ndarray
    from_date: np.ndarray
    to_date: np.ndarray
    estimated_l: np.ndarray
    volume_l: np.ndarray
    reading_id: np.ndarray

    @property
    def difference_l(self) -> np.ndarray:
        return self.volume_l - self.estimated_l  # type: ignore[no-any-return]

    def between(self, first: int, last: int) -> "TrueUps":
        """Return the rows from first up to (not with) last."""
        return TrueUps(*(getattr(self, field.name)[first:last] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.connection_id)


@dataclass(frozen=True)
class Usages:
    """The use of one month of each connection asked for, in the order of their ids; all arrays of one length.

    connection_id, from_reading_id, to_reading_id: int64, a reading 0 where there is none (a meter hung in bulk without
    its first reading). from_date, to_date: datetime64[D], half-open: the day of the reading before, and of this one
    (NaT where unknown). volume_l: int64, never negative, 0 where there is a problem. is_estimated: bool.
    problem: str, empty or one of PROBLEMS (the keys are billing's RunSkip.Reason).
    """

    connection_id: np.ndarray
    from_reading_id: np.ndarray
    to_reading_id: np.ndarray
    from_date: np.ndarray
    to_date: np.ndarray
    volume_l: np.ndarray
    is_estimated: np.ndarray
    problem: np.ndarray
    true_ups: TrueUps

    def __len__(self) -> int:
        return len(self.connection_id)


def usages(
    period_start_date: date, connection_ids: Sequence[int], *, chains: dict[int, list[Point]] | None = None
) -> Usages:
    """Return what each connection used in the month, from its closing readings, in two queries for most of them.

    A month whose closing reading is real after estimated ones gets its share of the whole span since the last real
    reading; the shares of the estimated months are in `true_ups`. Call it with some thousand connections at a time.
    chains: of `read_chains`, of all of them, where they have been read.
    """
    ids = np.unique(np.asarray(connection_ids, dtype=np.int64))
    size = len(ids)
    from_id, to_id, volume = (np.zeros(size, dtype=np.int64) for _ in range(3))
    from_day, to_day = (np.full(size, np.iinfo(np.int64).min, dtype=np.int64) for _ in range(2))
    estimated = np.zeros(size, dtype=bool)
    problem = np.full(size, NO_READING, dtype="<U10")
    true_ups: list[tuple[int, ...]] = []
    table = _closing_rows(period_start_date, ids) if size else np.zeros((0, _WIDTH), dtype=np.int64)
    if len(table):
        at = np.searchsorted(ids, table[:, 0])
        to_id[at], estimated[at], to_day[at] = table[:, 1], table[:, 2] == 1, table[:, 3]
        problem[at] = ""
        is_plain = (
            (table[:, 6] > 0)
            & (table[:, 10] == table[:, 5])
            & (table[:, 9] <= table[:, 4])
            & ~((table[:, 7] == 1) & (table[:, 2] == 0))
        )
        plain, place = table[is_plain], at[is_plain]
        from_id[place], from_day[place] = plain[:, 6], plain[:, 8]
        volume[place] = plain[:, 4] - plain[:, 9]
        for first in range(0, int((~is_plain).sum()), _AT_ONCE):
            part = table[~is_plain][first : first + _AT_ONCE]
            known = _read_chains(part[:, 0].tolist()) if chains is None else chains
            for connection_id, reading_id in part[:, :2].tolist():
                where = int(np.searchsorted(ids, connection_id))
                found = _explain(known.get(connection_id, []), reading_id)
                if isinstance(found, str):
                    problem[where] = found
                    continue
                before, parts = found
                from_id[where], volume[where] = before.reading_id, parts[-1].volume_l
                from_day[where] = _day_number(parts[-1].from_date)
                true_ups += [
                    (
                        connection_id, _day_number(one.period_start_date), _day_number(one.from_date),
                        _day_number(one.to_date), one.estimated_l, one.volume_l, reading_id,
                    )
                    for one in parts[:-1]
                    if one.estimated_l is not None and one.period_start_date is not None
                ]  # fmt: skip
    waiting = _pending_ids(period_start_date, ids)
    if len(waiting):
        here = np.searchsorted(ids, waiting)
        problem[here], volume[here] = SUSPECT, 0
        true_ups = [row for row in true_ups if row[0] not in set(waiting.tolist())]
    columns = np.array(true_ups, dtype=np.int64).reshape(len(true_ups), 7)
    return Usages(
        ids, from_id, to_id, _as_days(from_day), _as_days(to_day), volume, estimated, problem,
        TrueUps(
            columns[:, 0], _as_days(columns[:, 1]), _as_days(columns[:, 2]), _as_days(columns[:, 3]), columns[:, 4],
            columns[:, 5], columns[:, 6],
        ),
    )  # fmt: skip


def _as_days(numbers: np.ndarray) -> np.ndarray:
    return numbers.astype("datetime64[D]")  # the least int64 is NaT


def _day_number(day: date) -> int:
    return day.toordinal() - 719_163


def _among(ids: np.ndarray) -> tuple[str, Any]:
    if database.vendor == "postgresql":
        return "= ANY(%s)", ids.tolist()
    return "IN (SELECT value FROM json_each(%s))", json.dumps(ids.tolist())


def _local_day(column: str) -> str:
    """Return the number of the local day since 1970. Viet Nam keeps UTC+7 all year."""
    if database.vendor == "postgresql":
        return f"(EXTRACT(EPOCH FROM {column})::bigint + 25200) / 86400"
    return f"(CAST(strftime('%%s', {column}) AS INTEGER) + 25200) / 86400"


_WIDTH = 11
_COPY_HEADER = len(b"PGCOPY\n\xff\r\n\0") + 8
_COPY_ROW = np.dtype([
    ("count", ">i2"), *(part for n in range(_WIDTH) for part in ((f"size{n}", ">i4"), (f"column{n}", ">i8")))
])  # fmt: skip


def _closing_rows(period_start_date: date, ids: np.ndarray) -> np.ndarray:
    """Return rows of (connection, reading, is estimated, day, index, fitting, the same of the month before or 0).

    On PostgreSQL they come as binary COPY: read as rows of Python they would cost more than all that follows.
    """
    previous = periods.Period.containing(period_start_date - timedelta(days=1), "M").start_date
    among, value = _among(ids)
    columns = (
        "r.connection_id", "r.id", "CASE r.kind WHEN 'ESTIMATED' THEN 1 ELSE 0 END", _local_day("r.read_at"),
        "r.index_l", "COALESCE(r.fitting_id, 0)", "COALESCE(p.id, 0)",
        "CASE p.kind WHEN 'ESTIMATED' THEN 1 ELSE 0 END", f"COALESCE({_local_day('p.read_at')}, 0)",
        "COALESCE(p.index_l, 0)", "COALESCE(p.fitting_id, 0)",
    )  # fmt: skip
    is_postgresql = database.vendor == "postgresql"
    shown = ", ".join(f"({column})::bigint" if is_postgresql else column for column in columns)
    sql = f"""
        SELECT {shown}
        FROM customers_reading r
        LEFT JOIN customers_reading p ON p.connection_id = r.connection_id AND p.period_start_date = %s
            AND p.state = 'ACCEPTED' AND p.index_l IS NOT NULL
        WHERE r.period_start_date = %s AND r.state = 'ACCEPTED' AND r.index_l IS NOT NULL
            AND r.connection_id {among}
        """  # noqa: S608
    given = [previous, period_start_date, value]
    with database.cursor() as cursor:
        if not is_postgresql:
            cursor.execute(sql, given)
            return np.array(cursor.fetchall(), dtype=np.int64).reshape(-1, _WIDTH)
        with cursor.cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT BINARY)", given) as copy:
            data = b"".join(bytes(block) for block in copy)
    count = (len(data) - _COPY_HEADER - 2) // _COPY_ROW.itemsize  # two bytes end it
    rows = np.frombuffer(data, _COPY_ROW, count, _COPY_HEADER)
    return np.stack([rows[f"column{n}"].astype(np.int64) for n in range(_WIDTH)], axis=1)


def _pending_ids(period_start_date: date, ids: np.ndarray) -> np.ndarray:
    if not len(ids):
        return ids
    among, value = _among(ids)
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT connection_id FROM customers_reading WHERE state IN ('SUSPECT', 'CONFLICT') "  # noqa: S608
            f"AND period_start_date = %s AND connection_id {among}",
            [period_start_date, value],
        )
        return np.array(sorted(row[0] for row in cursor.fetchall()), dtype=np.int64)


def _explain(chain: Sequence[Point], reading_id: int) -> tuple[Point, list[consumption.Part]] | str:
    """Return the reading before and the parts of the span that a closing reading ends; or what is wrong."""
    end = next((n for n, point in enumerate(chain) if point.reading_id == reading_id), None)
    if end is None:
        return NO_START
    closing = chain[end]
    starts = [n for n in range(end) if chain[n].period_start_date is not None] or [
        n for n in range(end) if chain[n].begins
    ][:1]
    if not starts:
        return NO_START
    start = starts[-1]
    if not closing.is_estimated and chain[start].is_estimated:
        real = [n for n in starts if not chain[n].is_estimated] or [n for n in range(end) if chain[n].begins][:1]
        start = real[-1] if real else start
    try:
        if closing.is_estimated:
            volume = consumption.span_l(chain[start : end + 1])
            part = consumption.Part(closing.period_start_date, chain[start].on_date, closing.on_date, None, volume)
            return chain[start], [part]
        parts = consumption.true_up(chain[start : end + 1])
    except consumption.Unexplained:
        return NEGATIVE
    return chain[starts[-1]], parts


def _read_chains(ids: Sequence[int], *, until: datetime | None = None) -> dict[int, list[Point]]:
    """Return the accepted closing readings and the ends of fittings of each connection, in the order of time.

    An end that has no reading of its own stands in with the id 0.
    """
    fittings = Fitting.objects.filter(connection_id__in=ids).order_by("connection_id", "installed_at", "pk")
    readings = _counting_readings(ids)
    if until is not None:
        readings = readings.filter(read_at__lte=until)
    return _make_chains(fittings.values_list(*_OF_A_FITTING), readings.values_list(*_OF_A_READING))


def _counting_readings(ids: Collection[int]) -> QuerySet[Reading]:
    return Reading.objects.filter(connection_id__in=ids, state=Reading.State.ACCEPTED, index_l__isnull=False)


_OF_A_FITTING = (
    "connection_id", "pk", "meter__digits", "installed_at", "installed_index_l", "removed_at", "removed_index_l",
)  # fmt: skip
_OF_A_READING = (
    "pk", "connection_id", "fitting_id", "period_start_date", "kind", "read_at", "index_l", "rolled_over",
)  # fmt: skip


def _make_chains(fittings: Iterable[tuple[Any, ...]], readings: Iterable[tuple[Any, ...]]) -> dict[int, list[Point]]:
    """Return the chains of `_read_chains`. fittings: _OF_A_FITTING in the order of time; readings: _OF_A_READING."""
    hung: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    digits: dict[int, int] = {}
    for row in fittings:
        hung[row[0]].append(row[1:])
        digits[row[1]] = row[2]
    found: dict[int, list[tuple[tuple[datetime, int, int], Point]]] = defaultdict(list)
    ends: set[tuple[int, str]] = set()
    for pk, connection_id, hung_id, period, kind, read_at, index_l, rolled in readings:
        is_end = kind in (Reading.Kind.INITIAL, Reading.Kind.FINAL)
        if period is None and not is_end:
            continue
        guess = next((int(one[0]) for one in reversed(hung[connection_id]) if one[2] <= read_at), 0)
        fitting_id = guess if hung_id is None else hung_id
        if is_end:
            ends.add((fitting_id, kind))
        capacity = consumption.capacity_l(digits.get(fitting_id, 5))
        point = Point(
            pk, periods.local_date(read_at), index_l or 0, fitting_id, capacity, rolled,
            kind == Reading.Kind.ESTIMATED, kind == Reading.Kind.INITIAL, period,
        )  # fmt: skip
        found[connection_id].append(((read_at, _rank(kind), pk), point))
    for connection_id, rows in hung.items():
        for fitting_id, count, installed_at, installed_l, removed_at, removed_l in rows:
            capacity = consumption.capacity_l(count)
            if (fitting_id, Reading.Kind.INITIAL) not in ends:
                day = periods.local_date(installed_at)
                point = Point(0, day, installed_l, fitting_id, capacity, begins=True)
                found[connection_id].append(((installed_at, 1, 0), point))
            if removed_at is not None and (fitting_id, Reading.Kind.FINAL) not in ends:
                day = periods.local_date(removed_at)
                found[connection_id].append(((removed_at, 0, 0), Point(0, day, removed_l, fitting_id, capacity)))
    return {pk: [point for _, point in sorted(rows, key=lambda row: row[0])] for pk, rows in found.items()}


def read_chains(ids: Sequence[int]) -> dict[int, list[Point]]:
    """Return the accepted closing readings and ends of fittings of each connection, in the order of time.

    An end that has no reading of its own stands in with the id 0. Call it with a thousand connections at a time.
    """
    return _read_chains(ids)


def estimated_among(reading_ids: Collection[int]) -> set[int]:
    """Return which of the readings were estimated, whether they still count or gave way to what was read."""
    ids = sorted(reading_ids)
    found: set[int] = set()
    for first in range(0, len(ids), _AT_ONCE):
        part = Reading.objects.filter(pk__in=ids[first : first + _AT_ONCE], kind=Reading.Kind.ESTIMATED)
        found.update(part.values_list("pk", flat=True))
    return found


def _rank(kind: str) -> int:
    """Of a change of meter the last reading of the old one comes before the first of the new one."""
    return {Reading.Kind.FINAL.value: 0, Reading.Kind.INITIAL.value: 1}.get(str(kind), 2)


# --- one connection, some months


@dataclass(frozen=True)
class MonthUse:
    """volume_l None: cannot be explained. is_estimated: of a closing reading that was not read."""

    period_start_date: date
    volume_l: int | None
    is_estimated: bool
    reading_id: int
    index_l: int
    from_date: date
    to_date: date


def month_uses(connection_ids: Collection[int], *, months: int = 13) -> dict[int, list[MonthUse]]:
    """Return what each connection used in its last months with a closing reading, the oldest first.

    A first reading of a meter that had hung for long closes no month that could be compared: it is left out.
    """
    return _month_uses(_read_chains(list(connection_ids)), months)


def month_uses_of(fittings: Iterable[Fitting], readings: Iterable[Reading], *, months: int = 13) -> list[MonthUse]:
    """Return `month_uses` of one connection from all its rows, where the caller has read them already.

    fittings: in the order of time, with their meters.
    """
    hung = [
        (one.connection_id, one.pk, one.meter.digits, one.installed_at, one.installed_index_l, one.removed_at,
         one.removed_index_l)
        for one in fittings
    ]  # fmt: skip
    counted = [
        tuple(getattr(one, name) for name in _OF_A_READING)
        for one in readings
        if one.state == Reading.State.ACCEPTED and one.index_l is not None
    ]
    return next(iter(_month_uses(_make_chains(hung, counted), months).values()), [])


def _month_uses(chains: dict[int, list[Point]], months: int) -> dict[int, list[MonthUse]]:
    found: dict[int, list[MonthUse]] = {}
    for connection_id, chain in chains.items():
        closing = [point for point in chain if point.period_start_date is not None][-months:]
        rows = []
        for point in closing:
            explained = _explain(chain, point.reading_id)
            if isinstance(explained, str):
                if explained == NO_START:
                    continue
                volume, from_date = None, point.on_date
            elif _is_of_years(*explained):
                continue
            else:
                volume, from_date = explained[1][-1].volume_l, explained[1][-1].from_date
            rows.append(
                MonthUse(
                    point.period_start_date or point.on_date, volume, point.is_estimated, point.reading_id,
                    point.index_l, from_date, point.on_date,
                )
            )  # fmt: skip
        found[connection_id] = rows
    return found


@dataclass(frozen=True)
class MeterFacts:
    """What a phone or a grid needs to judge a reading before it is sent (plausibility.judge takes the same).

    before_l, before_date: the last real index. mean: (litres, days) of the last three spans. uses: the last three
    months, the newest last. whole_m3: read in whole m3. earlier_l: what meters that were taken down since the last
    real reading of a month had used by then. used_l: of the accepted reading that closes the month asked for, what was
    used since that last real reading, over all meters.
    """

    connection_id: int
    serial: str
    digits: int
    whole_m3: bool
    before_l: int
    before_date: date
    mean: tuple[int, int] | None
    uses: tuple[MonthUse, ...]
    earlier_l: int = 0
    used_l: Mapping[int, int | None] = field(default_factory=dict)


def meter_facts(connection_ids: Collection[int], *, before: date | None = None) -> dict[int, MeterFacts]:
    """Return what is known of the live meters of the connections, from readings that closed months before this one.

    before: the first day of a month; readings that close it or a later one are left out. None: all count.
    """
    found = meter_facts_before([(pk, before) for pk in connection_ids])
    return {pk: facts for (pk, _), facts in found.items()}


def meter_facts_before(wanted: Collection[tuple[int, date | None]]) -> dict[tuple[int, date | None], MeterFacts]:
    """Return `meter_facts` of pairs of a connection and its own `before`, in two queries."""
    rows = list(
        Fitting.objects.filter(connection_id__in={pk for pk, _ in wanted})
        .order_by("connection_id", "installed_at", "pk")
        .values_list(*_OF_A_FITTING, "meter__serial", "meter__kind")
    )
    width = len(_OF_A_FITTING)
    live = {row[0]: (row[1], row[width], row[2], row[width + 1], row[3], row[4]) for row in rows if row[5] is None}
    readings = _counting_readings(live)
    chains = _make_chains([row[:width] for row in rows if row[0] in live], readings.values_list(*_OF_A_READING))
    facts = {}
    for connection_id, before in wanted:
        if connection_id not in live:
            continue
        fitting_id, serial, digits, kind, installed_at, installed_l = live[connection_id]
        chain = [
            point
            for point in chains.get(connection_id, [])
            if before is None or point.period_start_date is None or point.period_start_date < before
        ]
        own = [point for point in chain if point.meter == fitting_id and not point.is_estimated]
        uses = []
        for point in [one for one in chain if one.period_start_date is not None][-3:]:
            explained = _explain(chain, point.reading_id)
            if not isinstance(explained, str) and not _is_of_years(*explained):
                part = explained[1][-1]
                uses.append(
                    MonthUse(
                        point.period_start_date or point.on_date, part.volume_l, point.is_estimated,
                        point.reading_id, point.index_l, part.from_date, part.to_date,
                    )
                )  # fmt: skip
        facts[connection_id, before] = MeterFacts(
            connection_id, serial, digits, kind == Meter.Kind.MECHANICAL, own[-1].index_l if own else installed_l,
            own[-1].on_date if own else periods.local_date(installed_at), consumption.mean_daily(chain), tuple(uses),
            _earlier_l(chain, fitting_id),
            {
                point.reading_id: _since_real_l(chains[connection_id], point.reading_id)
                for point in chains.get(connection_id, [])
                if before is not None and point.period_start_date == before
            },
        )  # fmt: skip
    return facts


def _earlier_l(chain: Sequence[Point], fitting_id: int) -> int:
    """Return what other meters used from the last real reading of a month until this one was hung."""
    hung = next((n for n, point in enumerate(chain) if point.meter == fitting_id and point.begins), 0)
    real = [n for n, point in enumerate(chain) if point.period_start_date is not None and not point.is_estimated]
    start = real[-1] if real else 0
    if start >= hung:
        return 0
    try:
        return consumption.span_l(chain[start:hung])
    except consumption.Unexplained:
        return 0


def _since_real_l(chain: Sequence[Point], reading_id: int) -> int | None:
    """Return what was used since the last real reading; None where that cannot be explained."""
    explained = _explain(chain, reading_id)
    return None if isinstance(explained, str) else sum(part.volume_l for part in explained[1])


def _is_of_years(before: Point, parts: Sequence[consumption.Part]) -> bool:
    """Return whether a meter hung long before its first reading: what it counted since is no month's use."""
    return before.period_start_date is None and (parts[-1].to_date - before.on_date).days > LONGEST_FIRST_DAYS
