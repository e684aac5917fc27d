"""Hours and days of every channel, from readings: made anew wherever readings came, however late.

Readings mark the hour they lie in (telemetry_dirty_hour); an hour made anew marks its day; a day that is over goes on
to the figures of its work (daily_figures.py). A mark is deleted only in the version that was seen, after what follows
from it is committed, so that a run that is killed, or readings that come meanwhile, only cause it to be done again. One
run works at a time; another that comes finds the place taken and leaves. See docs/algorithms/rollups.md.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Any

import numpy as np

from machnuoc.telemetry import archive, channel_terms, history, store, totalisers
from machnuoc.telemetry.channel_terms import NO_LIMIT, Terms
from machnuoc.telemetry.quantities import ChannelKind
from machnuoc.telemetry.store import DAY_MS, HOUR_MS, OUT_OF_RANGE, Ints, Readings

LIMIT = 2_000  # hours, or days, in one run; on PostgreSQL also in one transaction
PIECE = 100  # SQLite: hours in one transaction at first, then as many as HELD_S allows: all other writers wait for it
LEAST_PIECE = 20
HELD_S = 0.1
REST_S = 0.003  # between two pieces, longer than a writer that waits takes to look again
CLOSING_MS = 10 * 60_000  # after midnight, until a day counts as over: the last readings are still on their way
SILENT_DAYS = 45  # so far back, days without a reading are counted as days

_NEVER = 1 << 62
_LOCK = 79002  # PostgreSQL: one runner at a time

_COLUMNS = (
    "readings", "expected", "low", "total", "high", "last", "last_at", "volume", "within", "out_of_range",
)  # fmt: skip
_UPDATED = ", ".join(f"{name} = excluded.{name}" for name in (*_COLUMNS, "computed_at"))


@dataclass(frozen=True, slots=True)
class Run:
    """Hours of one channel in a row that count alike. expected: readings an hour. low, high: of a good one."""

    channel: int
    from_ms: int
    to_ms: int
    expected: float
    held: int
    low: float
    high: float
    is_flow: int

    def as_row(self) -> tuple[float, ...]:
        """Return it in the order of archive.RUN_COLUMNS."""
        return (self.channel, self.from_ms, self.to_ms, self.expected, self.held, self.low, self.high, self.is_flow)


def run_once(now_ms: int, limit: int = LIMIT, *, running_every_ms: int = 0) -> int:
    """Do a piece of what waits: hours, then days, then figures of works. Returns how many marks were worked off.

    Call it again while it returns more than 0. Any number of processes may; one works, the others return 0.
    running_every_ms: how long the hour that runs may wait, which every reading marks again; a process that calls this
    all the time says some seconds.
    """
    from machnuoc.telemetry import daily_figures

    place = store.connection_name()
    with_running = not 0 <= now_ms - _running_rolled.get(place, -running_every_ms) < running_every_ms
    done = roll_hours(now_ms, limit, with_running=with_running)
    if with_running and done < limit:
        _running_rolled[place] = now_ms
    mark_silent_days(now_ms)
    days, over = roll_days(now_ms, limit)
    if over:
        daily_figures.update(over, now_ms)
        _forget_days(over)
    if max(done, days) < limit:  # while a backlog is worked off, the indicators wait for its end
        daily_figures.recompute_what_waits(now_ms)
    return done + days


# --- marks ------------------------------------------------------------------------------------------------------


def mark(channels: Iterable[int], from_ms: int, to_ms: int) -> int:
    """Let the hours of these channels in [from_ms, to_ms) that have readings be made anew; return how many.

    For what changes their meaning, not their readings: a limit, a minimum, a decision on a counter, an interval.
    """
    marked = 0
    with store.transaction() as cursor:
        for channel in channels:
            cursor.execute(
                store.adapt(
                    "INSERT INTO telemetry_dirty_hour (channel, hour) SELECT channel, hour FROM telemetry_rollup_hour "
                    "WHERE channel = ? AND hour >= ? AND hour < ? "
                    "ON CONFLICT (channel, hour) DO UPDATE SET version = telemetry_dirty_hour.version + 1"
                ),
                (channel, from_ms // HOUR_MS * HOUR_MS, to_ms),
            )
            marked += cursor.rowcount
    return marked


def _mark_days(cursor: Any, hours: Ints) -> None:
    """Mark the days of hours, rows of (channel, hour); late are those whose day was made up after the hour was over."""
    if not len(hours):
        return
    channel, hour = hours[np.lexsort((hours[:, 1], hours[:, 0]))].T
    day = (hour + store.LOCAL_OFFSET_MS) // DAY_MS * DAY_MS - store.LOCAL_OFFSET_MS
    is_last = np.append((np.diff(channel) != 0) | (np.diff(day) != 0), True)
    relation, parameters = _relation(
        cursor, "marked_day", (("channel", "integer"), ("day", "bigint"), ("hour", "bigint")),
        list(zip(*(column[is_last].tolist() for column in (channel, day, hour)), strict=True)),
    )  # fmt: skip
    cursor.execute(
        store.adapt(
            "INSERT INTO telemetry_dirty_day (channel, day, is_late) "  # noqa: S608 - our own names
            "SELECT d.channel, d.day, CASE WHEN r.computed_at >= d.hour + ? THEN 1 ELSE 0 END "
            f"FROM {relation} LEFT JOIN telemetry_rollup_day r ON r.channel = d.channel AND r.day = d.day WHERE 1 = 1 "
            "ON CONFLICT (channel, day) DO UPDATE SET version = telemetry_dirty_day.version + 1, "
            "is_late = CASE WHEN excluded.is_late = 1 THEN 1 ELSE telemetry_dirty_day.is_late END"
        ),
        (HOUR_MS + CLOSING_MS, *parameters),
    )


_silent_checked: dict[str, int] = {}
_running_rolled: dict[str, int] = {}


def forget() -> None:
    """Look for silent days, and at the hour that runs, again at the next run."""
    _silent_checked.clear()
    _running_rolled.clear()


def mark_silent_days(now_ms: int) -> int:
    """Mark every day that is over and was not made up since, of every channel in use: silence is a figure too.

    Looked for once a day and process. Returns how many days were marked.
    """
    today = store.local_day(now_ms - CLOSING_MS)
    place = store.connection_name()
    if _silent_checked.get(place) == today:
        return 0
    known = dict(
        store.query(
            "SELECT channel, max(day) FROM telemetry_rollup_day WHERE computed_at >= day + ? GROUP BY channel",
            [DAY_MS + CLOSING_MS],
        )
    )
    begun = dict(store.query("SELECT channel, min(day) FROM telemetry_rollup_day GROUP BY channel"))
    wanted = []
    for channel, terms in channel_terms.load().items():
        if not terms.is_active:
            continue
        first = terms.installed_ms if terms.installed_ms is not None else begun.get(channel)
        if channel in known:
            start = known[channel] + DAY_MS
        elif first is not None:
            start = max(store.local_day(first), today - SILENT_DAYS * DAY_MS)
        else:
            continue
        wanted += [(channel, day) for day in range(start, min(today, terms.removed_ms), DAY_MS)]
    with store.transaction() as cursor:
        cursor.executemany(
            store.adapt("INSERT INTO telemetry_dirty_day (channel, day) VALUES (?, ?) ON CONFLICT DO NOTHING"), wanted
        )
    _silent_checked[place] = today
    return len(wanted)


# --- hours ------------------------------------------------------------------------------------------------------


def roll_hours(now_ms: int, limit: int = LIMIT, *, with_running: bool = True) -> int:
    """Make the newest marked hours anew and mark their days; return how many marks were worked off.

    SQLite: in several transactions, so that those who store readings come between.
    """
    before = _NEVER if with_running else now_ms // HOUR_MS * HOUR_MS
    if not _list_marks(before, 1):
        return 0
    if store.is_postgresql():
        with store.transaction() as cursor:
            if not _is_alone(cursor):
                return 0
            cursor.execute("SET LOCAL jit = off")  # a piece is done before its machine code would be ready
            rows = _list_marks(before, limit)
            if rows:
                _roll_marked(cursor, rows, now_ms)
            return len(rows)
    rows = _list_marks(before, limit)
    rows.sort(key=itemgetter(1, 0))  # a piece of few channels and many hours reads less than one of many channels
    done, piece = 0, PIECE
    while done < len(rows):
        if done:
            time.sleep(REST_S)
        with store.transaction() as cursor:
            begun_s = time.monotonic()
            _roll_marked(cursor, rows[done : done + piece], now_ms)
        done += piece
        piece = max(LEAST_PIECE, int(piece * HELD_S / max(time.monotonic() - begun_s, HELD_S / 4)))
    return len(rows)


def _list_marks(before: int, limit: int) -> list[tuple[Any, ...]]:
    """Return (hour, channel, version) of the newest marks."""
    return store.query(
        "SELECT hour, channel, version FROM telemetry_dirty_hour WHERE hour < ? "
        "ORDER BY hour DESC, channel DESC LIMIT ?",
        [before, limit],
    )


def _roll_marked(cursor: Any, rows: Sequence[tuple[Any, ...]], now_ms: int) -> None:
    """Make these hours anew. rows: of _list_marks."""
    marks = np.array(rows, np.int64)[:, [1, 0, 2]]
    marks = marks[np.lexsort((marks[:, 1], marks[:, 0]))]
    channels, starts = np.unique(marks[:, 0], return_index=True)
    terms = channel_terms.load(channels.tolist())
    changed = [marks[np.isin(marks[:, 0], list(terms)), :2]]
    archived = archive.list_months()
    runs: list[Run] = []
    from_archive: list[Run] = []
    for channel, its_hours in zip(channels.tolist(), np.split(marks[:, 1], starts[1:]), strict=True):
        its = terms.get(channel)
        if its is None:
            continue
        if its.kind == ChannelKind.TOTAL:
            around = _roll_counter(cursor, its, its_hours.tolist(), now_ms)
            changed.append(np.array(around, np.int64).reshape(-1, 2))
            continue
        for run in _runs(its, its_hours):
            is_archived = any(month.from_ms < run.to_ms and month.to_ms > run.from_ms for month in archived)
            (from_archive if is_archived else runs).append(run)
    _roll_levels(cursor, runs, now_ms)
    _roll_archived(cursor, from_archive, archived, now_ms)
    _mark_days(cursor, np.concatenate(changed))
    _forget(cursor, "hour", list(zip(*marks.T.tolist(), strict=True)))


def _runs(terms: Terms, hours: Ints) -> list[Run]:
    """Return the hours, ascending, as runs that count alike."""
    moments = {terms.removed_ms, *(at for held in terms.held for at in (held.from_ms, held.to_ms))}
    if terms.installed_ms is not None:
        moments.add(terms.installed_ms)
    edges = np.array(
        sorted(
            {at for moment in moments for at in (moment // HOUR_MS * HOUR_MS, moment // HOUR_MS * HOUR_MS + HOUR_MS)}
        ),
        np.int64,
    )
    zone = np.searchsorted(edges, hours, "right")
    starts = np.flatnonzero((np.diff(hours, prepend=-HOUR_MS) != HOUR_MS) | (np.diff(zone, prepend=-1) != 0))
    runs = []
    for start, end in pairwise([*starts.tolist(), len(hours)]):
        hour, last = int(hours[start]), int(hours[end - 1])
        held = terms.held_at(hour)
        low, high = (held.low, held.high) if held else (-NO_LIMIT, NO_LIMIT)
        runs.append(
            Run(
                terms.channel, hour, last + HOUR_MS, terms.expected(hour, hour + HOUR_MS),
                int(held is not None), low, high, int(terms.quantity == "flow"),
            )
        )  # fmt: skip
    return runs


_RUN_COLUMNS = (
    ("channel", "integer"), ("from_at", "bigint"), ("to_at", "bigint"), ("expected", "double precision"),
    ("held", "integer"), ("good_from", "double precision"), ("good_to", "double precision"), ("is_flow", "integer"),
)  # fmt: skip

# The statistics of what could be true; what could not is counted apart.
_TRUE = f"(r.quality & {OUT_OF_RANGE}) = 0"
_HOURLY = f"""r.at / {HOUR_MS} * {HOUR_MS} AS hour, count(*) AS readings,
        min(CASE WHEN {_TRUE} THEN r.value END) AS low,
        coalesce(sum(CASE WHEN {_TRUE} THEN r.value END), 0.0) AS total,
        max(CASE WHEN {_TRUE} THEN r.value END) AS high, max(CASE WHEN {_TRUE} THEN r.at END) AS last_at,
        sum(CASE WHEN {_TRUE} AND r.value >= d.good_from AND r.value <= d.good_to THEN 1 ELSE 0 END) AS within,
        sum(CASE WHEN {_TRUE} THEN 0 ELSE 1 END) AS out_of_range"""
_OF_RUN = "r.channel = d.channel AND r.at >= d.from_at AND r.at < d.to_at"
# PostgreSQL knows nothing of how many readings a run has: run by run it sums up what the index gives in order, instead
# of sorting the readings of all of them on disk.
_GROUPED = {
    "sqlite": f"""
    SELECT d.channel AS channel, max(d.expected) AS expected, max(d.held) AS held, max(d.is_flow) AS is_flow, {_HOURLY}
    FROM {{relation}} JOIN telemetry_reading r ON {_OF_RUN} GROUP BY d.channel, r.at / {HOUR_MS}
""",  # noqa: S608 - numbers and names of this module
    "postgresql": f"""
    SELECT d.channel, d.expected, d.held, d.is_flow, s.*
    FROM {{relation}} CROSS JOIN LATERAL (
        SELECT {_HOURLY} FROM telemetry_reading r WHERE {_OF_RUN} GROUP BY r.at / {HOUR_MS}
    ) s
""",  # noqa: S608 - numbers and names of this module
}  # fmt: skip
_LEVELS = f"""
INSERT INTO telemetry_rollup_hour (channel, hour, {", ".join(_COLUMNS)}, computed_at)
SELECT g.channel, g.hour, g.readings, g.expected, g.low, g.total, g.high, l.value, g.last_at,
    CASE WHEN g.is_flow = 1 AND g.readings > g.out_of_range THEN g.total / (g.readings - g.out_of_range) END,
    CASE WHEN g.held = 1 THEN g.within END, g.out_of_range, ?
FROM ({{grouped}}) g LEFT JOIN telemetry_reading l ON l.channel = g.channel AND l.at = g.last_at
WHERE 1 = 1
ON CONFLICT (channel, hour) DO UPDATE SET {_UPDATED}, version = telemetry_rollup_hour.version + 1
"""  # noqa: S608 - numbers and names of this module


def _roll_levels(cursor: Any, runs: Sequence[Run], now_ms: int) -> None:
    """Make the hours of levels and states anew, inside the database."""
    if not runs:
        return
    relation, parameters = _relation(cursor, "run", _RUN_COLUMNS, sorted(run.as_row() for run in runs))
    grouped = _GROUPED["postgresql" if store.is_postgresql() else "sqlite"].format(relation=relation)
    cursor.execute(store.adapt(_LEVELS.format(grouped=grouped)), (now_ms, *parameters))


def _roll_archived(cursor: Any, runs: Sequence[Run], months: Sequence[archive.Month], now_ms: int) -> None:
    """Make the hours of levels and states anew where some of their readings are archived."""
    if not runs:
        return
    rows = [run.as_row() for run in runs]
    relation, parameters = _relation(cursor, "run", _RUN_COLUMNS, rows)
    hot = store.query(
        f"SELECT r.channel, r.at, r.value, r.quality FROM {relation} JOIN telemetry_reading r "  # noqa: S608
        "ON r.channel = d.channel AND r.at >= d.from_at AND r.at < d.to_at",
        parameters,
    )
    channel, at, value, quality = zip(*hot, strict=True) if hot else ((), (), (), ())
    hot_rows = Readings(
        np.array(channel, np.int64), np.array(at, np.int64), np.array(value, np.float64), np.array(quality, np.int64)
    )
    found = archive.hours(rows, hot_rows, months)
    names = ("channel", "hour", *_COLUMNS)
    _put_hours(cursor, list(zip(*(found[name].tolist() for name in names), strict=True)), now_ms)


def _summarise(found: Readings) -> dict[int, list[Any]]:
    """Return {hour: row of _COLUMNS} of the hours that have readings; expected, volume and within are left open."""
    rows: dict[int, list[Any]] = {}
    if not len(found):
        return rows
    hour = found.at // HOUR_MS * HOUR_MS
    starts = np.flatnonzero(np.diff(hour, prepend=-1))
    for start, end in pairwise([*starts.tolist(), len(hour)]):
        true = (found.quality[start:end] & OUT_OF_RANGE) == 0
        value, at = found.value[start:end][true], found.at[start:end][true]
        has = len(value) > 0
        rows[int(hour[start])] = [
            end - start, 0.0, float(value.min()) if has else None, float(value.sum()),
            float(value.max()) if has else None, float(value[-1]) if has else None, int(at[-1]) if has else None, None,
            None, int((~true).sum()),
        ]  # fmt: skip
    return rows


def _put_hours(cursor: Any, rows: Sequence[Sequence[Any]], now_ms: int) -> None:
    """Store hours. rows: channel, hour and what _COLUMNS names."""
    marks = ", ".join("?" * (len(_COLUMNS) + 3))
    cursor.executemany(
        store.adapt(
            f"INSERT INTO telemetry_rollup_hour (channel, hour, {', '.join(_COLUMNS)}, computed_at) VALUES ({marks}) "  # noqa: S608
            f"ON CONFLICT (channel, hour) DO UPDATE SET {_UPDATED}, version = telemetry_rollup_hour.version + 1"
        ),
        [(*row, now_ms) for row in rows],
    )


# --- counters ---------------------------------------------------------------------------------------------------


def _roll_counter(cursor: Any, terms: Terms, hours: Sequence[int], now_ms: int) -> list[tuple[int, int]]:
    """Make the marked hours of a counter anew, and those around them whose volume changes with them; return these.

    A step belongs to all hours between its two readings, and its verdict rests on the readings around it.
    """
    changed: list[tuple[int, int]] = []
    clusters: list[list[int]] = []
    for hour in hours:
        if clusters and hour - clusters[-1][1] <= DAY_MS:
            clusters[-1][1] = hour
        else:
            clusters.append([hour, hour])
    for first, last in clusters:
        changed += _roll_counter_span(cursor, terms, first, last + HOUR_MS, set(hours), now_ms)
    return changed


def _roll_counter_span(
    cursor: Any, terms: Terms, from_ms: int, to_ms: int, marked: set[int], now_ms: int
) -> list[tuple[int, int]]:
    channel, reach = terms.channel, totalisers.REACH
    before = history.instants_before(channel, from_ms, 2)
    after = history.instants_from(channel, to_ms, 2)
    held = history.instants_before(channel, to_ms + totalisers.HOLD_MS, 1)
    begin = (before[-1] if before else from_ms) // HOUR_MS * HOUR_MS
    end = max([to_ms, *after, *held]) // HOUR_MS * HOUR_MS + HOUR_MS
    earlier = history.instants_before(channel, begin - totalisers.HOLD_MS, reach)
    later = history.instants_from(channel, end, reach)
    found = history.read_raw(
        channel, earlier[-1] if earlier else begin - totalisers.HOLD_MS, later[-1] + 1 if later else end
    )
    true = (found.quality & OUT_OF_RANGE) == 0
    decisions = channel_terms.load_decisions(channel, begin, end) if len(found) else {}
    steps = totalisers.read_steps(found.at[true], found.value[true], terms.counter, decisions)
    inside = (found.at >= begin) & (found.at < end)
    rows = _summarise(Readings(found.channel[inside], found.at[inside], found.value[inside], found.quality[inside]))
    hours = np.arange(begin, end, HOUR_MS, dtype=np.int64)
    volumes = totalisers.volumes_by_hour(steps, hours)
    measured: dict[int, int] = {}
    first = found.at[true][:1].tolist() if not earlier else []  # the first reading of all has no step to miss
    for at in [*first, *steps.to_at[steps.is_measured].tolist()]:
        hour = at // HOUR_MS * HOUR_MS
        measured[hour] = measured.get(hour, 0) + 1
    for hour, volume in zip(hours.tolist(), volumes.tolist(), strict=True):
        if hour not in rows and not np.isnan(volume):  # inside a gap: what flowed is known, when in it is not
            rows[hour] = [0, 0.0, None, 0.0, None, None, None, None, None, 0]
        if hour in rows:
            row = rows[hour]
            row[1] = terms.expected(hour, hour + HOUR_MS)
            row[7] = None if np.isnan(volume) else volume
            row[8] = measured.get(hour, 0)
    stored = {
        row[0]: list(row[1:])
        for row in store.query(
            f"SELECT hour, {', '.join(_COLUMNS)} FROM telemetry_rollup_hour "  # noqa: S608 - our own names
            "WHERE channel = ? AND hour >= ? AND hour < ?",
            [channel, begin, end],
        )
    }
    rows = {hour: row for hour, row in rows.items() if hour in marked or stored.get(hour) != row}
    _put_hours(cursor, [(channel, hour, *row) for hour, row in rows.items()], now_ms)
    return [(channel, hour) for hour in rows]


# --- days -------------------------------------------------------------------------------------------------------

_DAYS = f"""
INSERT INTO telemetry_rollup_day (channel, day, {", ".join(_COLUMNS)}, computed_at)
SELECT g.channel, g.day, g.readings, g.expected, g.low, g.total, g.high, l.last, g.last_at, g.volume, g.within,
    g.out_of_range, ?
FROM (
    SELECT d.channel AS channel, d.day AS day, coalesce(sum(h.readings), 0) AS readings, max(d.expected) AS expected,
        min(h.low) AS low, coalesce(sum(h.total), 0.0) AS total, max(h.high) AS high, max(h.last_at) AS last_at,
        sum(h.volume) AS volume, sum(h.within) AS within, coalesce(sum(h.out_of_range), 0) AS out_of_range
    FROM {{relation}}
    LEFT JOIN telemetry_rollup_hour h ON h.channel = d.channel AND h.hour >= d.day AND h.hour < d.day + {DAY_MS}
    GROUP BY d.channel, d.day
) g LEFT JOIN telemetry_rollup_hour l ON l.channel = g.channel AND l.hour = g.last_at / {HOUR_MS} * {HOUR_MS}
WHERE 1 = 1
ON CONFLICT (channel, day) DO UPDATE SET {_UPDATED}, version = telemetry_rollup_day.version + 1
"""  # noqa: S608 - numbers and names of this module


@dataclass(frozen=True, slots=True)
class Day:
    """A day that is over and was made up anew, with the mark that asked for it."""

    channel: int
    day: int
    version: int
    is_late: bool


def roll_days(now_ms: int, limit: int = LIMIT) -> tuple[int, list[Day]]:
    """Make the marked days anew from their hours. Returns how many, and those that are over.

    The marks of days that are over stay until their figures are written (_forget_days); those of today go.
    """
    if not store.query("SELECT 1 FROM telemetry_dirty_day LIMIT 1"):
        return 0, []
    with store.transaction() as cursor:
        if not _is_alone(cursor):
            return 0, []
        rows = store.query(
            "SELECT channel, day, version, is_late FROM telemetry_dirty_day ORDER BY day, channel LIMIT ?", [limit]
        )
        if not rows:
            return 0, []
        terms = channel_terms.load({row[0] for row in rows})
        known = [row for row in rows if row[0] in terms]
        relation, parameters = _relation(
            cursor, "rolled_day", (("channel", "integer"), ("day", "bigint"), ("expected", "double precision")),
            [
                (channel, day, terms[channel].expected(day, min(day + DAY_MS, max(now_ms, day))))
                for channel, day, _, _ in known
            ],
        )  # fmt: skip
        cursor.execute(store.adapt(_DAYS.format(relation=relation)), (now_ms, *parameters))
        over = [Day(row[0], row[1], row[2], bool(row[3])) for row in known if is_over(row[1], now_ms)]
        waiting = {(day.channel, day.day) for day in over}
        _forget(cursor, "day", [row[:3] for row in rows if (row[0], row[1]) not in waiting])
        return len(rows), over


def is_over(day: int, now_ms: int) -> bool:
    return day + DAY_MS + CLOSING_MS <= now_ms


def _forget_days(days: Sequence[Day]) -> None:
    with store.transaction() as cursor:
        _forget(cursor, "day", [(day.channel, day.day, day.version) for day in days])


# --- the database -----------------------------------------------------------------------------------------------


def _is_alone(cursor: Any) -> bool:
    """Return whether no other runner is at work; embedded, the write transaction itself sees to it."""
    if not store.is_postgresql():
        return True
    cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,))
    return bool(cursor.fetchone()[0])


def _forget(cursor: Any, what: str, marks: Sequence[tuple[int, int, int]]) -> None:
    """Delete marks (channel, hour or day, version) that are still in the version that was seen.

    A mark that somebody is raising at this moment is left alone, not waited for: it will be seen again.
    """
    if not marks:
        return
    table = f"telemetry_dirty_{what}"
    if not store.is_postgresql():
        cursor.executemany(f"DELETE FROM {table} WHERE channel = ? AND {what} = ? AND version = ?", marks)  # noqa: S608
        return
    relation, parameters = _relation(
        cursor, "seen", (("channel", "integer"), (what, "bigint"), ("version", "bigint")), marks
    )
    # From the first to the last of them only: of a backlog the whole table would be read in every piece.
    first, last = min(mark[1] for mark in marks), max(mark[1] for mark in marks)
    cursor.execute(
        store.adapt(
            f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT t.ctid FROM {relation} JOIN {table} t "  # noqa: S608
            f"ON t.channel = d.channel AND t.{what} = d.{what} AND t.version = d.version "
            f"WHERE t.{what} >= ? AND t.{what} <= ? FOR UPDATE OF t SKIP LOCKED))"
        ),
        (*parameters, first, last),
    )


def _relation(
    cursor: Any, name: str, columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Any]]
) -> tuple[str, list[Any]]:
    """Return rows of numbers as something to select FROM, called `d`, and the parameters that it takes.

    columns: names and PostgreSQL's types.
    """
    names = ", ".join(column for column, _ in columns)
    if store.is_postgresql():
        arrays = ", ".join(f"?::{its_type}[]" for _, its_type in columns)
        # As text: the driver takes ten times as long to write a list out as Python does.
        texts = [f"{{{','.join(map(str, map(itemgetter(place), rows)))}}}" for place in range(len(columns))]
        return f"unnest({arrays}) AS d({names})", texts
    table = f"temp.{name}"
    cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS {name} ({names})")
    cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
    cursor.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", rows)  # noqa: S608
    return f"{table} AS d", []
