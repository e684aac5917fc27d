"""Readings as Observations: what a filter lets the store choose, pages in the order asked for, counts.

Conditions on time, result, id and on what belongs to a channel go into the query; others are judged reading by reading,
over a bounded number of them. Hot rows and archive are read alike; of an instant in both the hot row stands.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any

import numpy as np
import psycopg

from machnuoc.telemetry import archive, payloads, store
from machnuoc.telemetry.sensorthings import filters
from machnuoc.telemetry.sensorthings.filters import Comparison, Every, Expression, Literal, Named
from machnuoc.telemetry.sensorthings.model import KINDS, Entity
from machnuoc.telemetry.sensorthings.options import ID_NAMES, Options, QueryError
from machnuoc.telemetry.sensorthings.world import SPANS, World, instant_of
from machnuoc.telemetry.store import DAY_MS, FROM_FILE, OUT_OF_RANGE, OVERRULED

SCAN_MAX = 100_000
"""Readings judged one by one in one request."""
SCAN_AT_ONCE = 5_000
MERGE_MAX = 50_000
"""Readings skipped where the archive takes part."""
WITHIN_S = 10.0
FOREVER_MS = payloads.MAX_AT_MS + 1

Row = tuple[int, int, float, int]  # channel, at (ms UTC), value, quality
Order = tuple[tuple[str, bool], ...]  # (column, whether descending); always ends so that no two rows are alike

_TIMES = ("phenomenonTime", "resultTime")
_SIGNS = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_TURNED = {"eq": "eq", "ne": "ne", "gt": "lt", "ge": "le", "lt": "gt", "le": "ge"}
_MARKS = {
    OUT_OF_RANGE: "ngoài khoảng tin được",
    FROM_FILE: "nạp từ tệp hoặc nhập tay",
    OVERRULED: "người có trách nhiệm sửa",
}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which readings: of these channels, in [from_ms, to_ms), whose value meets the conditions, and judged by rest.

    after: (at, channel) of the last one of the page before, in the order asked for.
    """

    channels: tuple[int, ...]
    from_ms: int = 0
    to_ms: int = FOREVER_MS
    values: tuple[tuple[str, float], ...] = ()
    rest: Expression | None = None
    after: tuple[int, int] | None = None
    is_descending: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """rows: of this page. next: the cursor from which the next page starts, "" at the end, "skip" to go on by $skip."""

    rows: list[Row]
    next: str


# --- what a filter means for the store ------------------------------------------------------------------------------


def select(world: World, channels: Sequence[int], expression: Expression | None, now: datetime) -> Selection:
    """Return which readings of these channels the filter takes."""
    chosen = Selection(tuple(channels))
    if any(SPANS & set(names[1:]) for names in filters.paths(expression)):
        world.fill_spans(world.all_datastreams())  # for all at once, not one by one
    rest = []
    for condition in filters.conjuncts(expression):
        narrowed = _narrow(world, chosen, condition, now)
        if narrowed is None:
            rest.append(condition)
        else:
            chosen = narrowed
    return replace(chosen, rest=Every(tuple(rest)) if rest else None)


def _narrow(world: World, chosen: Selection, condition: Expression, now: datetime) -> Selection | None:
    spoken = list(filters.paths(condition))
    if not spoken:
        is_true = filters.holds(condition, lambda _: None, now)
        return chosen if is_true else replace(chosen, channels=())
    if all(len(names) > 1 and names[0] in KINDS["Observations"].links for names in spoken):
        kept = tuple(
            id_ for id_ in chosen.channels
            if filters.holds(condition, partial(look_up, world, (id_, 0, 0.0, 0)), now)
        )  # fmt: skip
        return replace(chosen, channels=kept)
    if not isinstance(condition, Comparison):
        return None
    left, right, operator = condition.left, condition.right, condition.operator
    if isinstance(right, Named):
        left, right, operator = right, left, _TURNED[operator]
    if not isinstance(left, Named) or len(left.names) != 1 or any(filters.paths(right)):
        return None
    value = right.value if isinstance(right, Literal) else _constant(right, now)
    name = left.names[0]
    if name in _TIMES:
        return _narrow_time(chosen, operator, value)
    if name == "result" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return replace(chosen, values=(*chosen.values, (operator, float(value))))
    if name in ID_NAMES and operator == "eq":
        key = read_id(value)
        if key is None or key[0] not in chosen.channels:
            return replace(chosen, channels=())
        return _within(replace(chosen, channels=(key[0],)), key[1], key[1] + 1)
    return None


def _constant(expression: Expression, now: datetime) -> Any:
    """Return the value of an expression without paths: now() sub duration'PT1H'."""
    return filters.value_of(expression, lambda _: None, now)


def _narrow_time(chosen: Selection, operator: str, value: Any) -> Selection | None:
    if isinstance(value, str):
        try:
            value = filters.read_instant(value)
        except filters.FilterError:
            return None
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = filters.read_instant(f"{value.isoformat()}T00:00:00")
    if not isinstance(value, datetime):
        return None
    since = value - _EPOCH
    floor = since // _ONE_MS
    is_whole = since == floor * _ONE_MS
    ceiling = floor if is_whole else floor + 1
    match operator:
        case "ge":
            return _within(chosen, ceiling, FOREVER_MS)
        case "gt":
            return _within(chosen, floor + 1, FOREVER_MS)
        case "lt":
            return _within(chosen, 0, ceiling)
        case "le":
            return _within(chosen, 0, floor + 1)
        case "eq":
            return _within(chosen, floor, floor + 1 if is_whole else floor)
    return None


_EPOCH, _ONE_MS = instant_of(0), timedelta(milliseconds=1)


def _within(chosen: Selection, from_ms: int, to_ms: int) -> Selection:
    return replace(chosen, from_ms=max(chosen.from_ms, from_ms), to_ms=min(chosen.to_ms, to_ms))


def read_id(value: Any) -> tuple[int, int] | None:
    """Return (channel, at) of the id of an Observation, None for anything else.

    >>> read_id("5:1700000000000"), read_id("5"), read_id(5)
    ((5, 1700000000000), None, None)
    """
    if not isinstance(value, str) or len(value) > 40 or not value.isascii():
        return None
    channel, _, at = value.partition(":")
    if not (channel.isdecimal() and at.isdecimal()) or int(channel) >= 2**31 or int(at) >= FOREVER_MS:
        return None
    return int(channel), int(at)


def entity(world: World, row: Row) -> Entity:
    """Return a reading as an Observation."""
    channel, at, value, quality = row
    instant = instant_of(at)
    marks = [{"code": bit, "name": text} for bit, text in _MARKS.items() if quality & bit]
    properties = {"phenomenonTime": instant, "result": value, "resultTime": instant, "resultQuality": marks or None}
    about = {"channel": channel, "work": world.channels[channel]["device__work_id"]}
    return Entity(KINDS["Observations"], f"{channel}:{at}", properties, about)


def look_up(world: World, row: Row, names: tuple[str, ...]) -> Any:
    return world.look_up(entity(world, row), names)


# --- order and pages ------------------------------------------------------------------------------------------------


def order_of(options: Options) -> Order:
    """Return the order asked for, by time without one. Raises QueryError."""
    columns = {"phenomenonTime": "at", "resultTime": "at", "result": "value"}
    found: list[tuple[str, bool]] = []
    for names, is_descending in options.orderby:
        if len(names) == 1 and names[0] in columns:
            found.append((columns[names[0]], is_descending))
        elif names[-1] in ID_NAMES and names[:-1] in ((), ("Datastream",)):
            found.append(("channel", is_descending))
        else:
            raise QueryError("$orderby của Observations nhận: phenomenonTime, resultTime, result, id, Datastream/id.")
    is_descending = bool(found) and found[0][1]
    for column, direction in (("at", is_descending), ("channel", False)):
        if column not in [name for name, _ in found]:
            found.append((column, direction))
    return tuple(found)


def read_page(world: World, chosen: Selection, options: Options, now: datetime) -> Page:
    """Return a page of Observations. Raises QueryError."""
    order = order_of(options)
    is_by_time = order[0][0] == "at" and order[1:] == (("channel", False),)
    chosen = replace(chosen, is_descending=order[0][1])
    if options.after:
        chosen = _go_on(chosen, options.after, is_by_time)
    limit, skip = options.page, options.skip
    if not limit or not chosen.channels or chosen.from_ms >= chosen.to_ms:
        return Page([], "")
    with _in_time():
        if chosen.rest is None:
            rows = _fetch(chosen, order, skip, limit + 1)
            more = len(rows) > limit
            cursor = f"{rows[limit - 1][1]}:{rows[limit - 1][0]}" if more and is_by_time else "skip" if more else ""
            return Page(rows[:limit], cursor)
        found: list[Row] = []
        for row, is_taken in _judged(world, chosen, order, now, is_by_time):
            if is_taken and skip:
                skip -= 1
            elif is_taken and len(found) == limit:
                last = found[-1]
                return Page(found, f"{last[1]}:{last[0]}" if is_by_time else "skip")
            elif is_taken:
                found.append(row)
            if is_taken is None:  # enough for one request; the next page goes on from here
                if skip:
                    raise _too_broad()
                return Page(found, f"{row[1]}:{row[0]}")
    return Page(found, "")


def _go_on(chosen: Selection, after: str, is_by_time: bool) -> Selection:
    at, _, channel = after.partition(":")
    key = read_id(f"{channel}:{at}")
    if key is None or not is_by_time:
        raise QueryError("$skiptoken không phải do hệ thống này cấp. Bắt đầu lại không có $skiptoken.")
    chosen = replace(chosen, after=(key[1], key[0]))
    return _within(chosen, *((0, key[1] + 1) if chosen.is_descending else (key[1], FOREVER_MS)))


def _judged(
    world: World, chosen: Selection, order: Order, now: datetime, is_by_time: bool
) -> Iterator[tuple[Row, bool | None]]:
    """Give readings with whether the rest of the filter takes them; None with the last that may be judged."""
    rest = chosen.rest or Literal(True)
    scanned = 0
    while True:
        rows = _fetch(chosen, order, 0 if is_by_time else scanned, SCAN_AT_ONCE)
        for row in rows:
            world.check_time()
            yield row, filters.holds(rest, partial(look_up, world, row), now)
        scanned += len(rows)
        if len(rows) < SCAN_AT_ONCE:
            return
        if scanned >= SCAN_MAX:
            if not is_by_time:
                raise _too_broad()
            yield rows[-1], None
            return
        if is_by_time:
            chosen = _go_on(chosen, f"{rows[-1][1]}:{rows[-1][0]}", True)


def count(world: World, chosen: Selection, now: datetime) -> dict[int, int]:
    """Return how many readings each channel has that has any. Raises QueryError."""
    if not chosen.channels or chosen.from_ms >= chosen.to_ms:
        return {}
    total: Counter[int] = Counter()
    with _in_time():
        if chosen.rest is not None:
            for row, is_taken in _judged(world, chosen, (("at", False), ("channel", False)), now, True):
                if is_taken is None:
                    raise _too_broad()
                total[row[0]] += is_taken
            return dict(total)
        where, parameters = _where(chosen)
        sql = f"SELECT r.channel, count(*) FROM telemetry_reading r WHERE {where} GROUP BY r.channel"  # noqa: S608
        total.update(dict(store.query(sql, parameters)))
        months = _months(chosen)
        if months:
            total.update(dict(_ask_archive(months, "r.channel, count(*)", chosen, "GROUP BY r.channel")))  # type: ignore[arg-type]
            total.subtract(_count_in_both(chosen, months))
    return {channel: number for channel, number in total.items() if number}


def _count_in_both(chosen: Selection, months: Sequence[archive.Month]) -> Counter[int]:
    """Return how many archived readings were counted, by channel, before which a hot row stands."""
    span = _within(replace(chosen, values=()), months[0].from_ms, months[-1].to_ms)
    where, parameters = _where(span)
    sql = f"SELECT r.channel, r.at FROM telemetry_reading r WHERE {where} LIMIT ?"  # noqa: S608
    both = store.query(sql, [*parameters, SCAN_MAX])
    if not both:
        return Counter()
    if len(both) == SCAN_MAX:
        raise _too_broad()
    keys = np.array(both, np.int64)
    old = archive.read_points(keys[:, 0], keys[:, 1])
    return Counter(
        channel
        for channel, value in zip(old.channel.tolist(), old.value.tolist(), strict=True)
        if all(_COMPARE[sign](value, limit) for sign, limit in chosen.values)
    )


_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b,
    "lt": lambda a, b: a < b, "le": lambda a, b: a <= b,
}  # fmt: skip


def read_of_each(world: World, chosen: Selection, options: Options, now: datetime) -> dict[int, tuple[list[Row], bool]]:
    """Return for each channel its page of Observations and whether there are more. Raises QueryError."""
    order = order_of(options)
    skip, limit = options.skip, options.page
    if not limit or not chosen.channels or chosen.from_ms >= chosen.to_ms:
        return {}
    if skip + limit > PER_CHANNEL_MAX:
        raise QueryError(f"$expand=Observations nhận $top và $skip cộng lại không quá {PER_CHANNEL_MAX}.")
    chosen = replace(chosen, is_descending=order[0][1])
    found: dict[int, list[Row]] = {}
    with _in_time():
        if chosen.rest is not None:
            if len(chosen.channels) > JUDGED_CHANNELS_MAX:
                raise QueryError(
                    f"$filter trong $expand=Observations quá phức tạp cho hơn {JUDGED_CHANNELS_MAX} Datastreams: chỉ "
                    "nêu phenomenonTime và result, hoặc hỏi Datastreams(…)/Observations."
                )
            for channel in chosen.channels:
                taken = found[channel] = []
                for row, is_taken in _judged(
                    world, replace(chosen, channels=(channel,)), order, now, order[0][0] == "at"
                ):
                    if is_taken:
                        taken.append(row)
                    if is_taken is None:
                        raise _too_broad()
                    if len(taken) > skip + limit:
                        break
        else:
            for row in _fetch_each(chosen, order, skip + limit + 1):
                found.setdefault(row[0], []).append(row)
    return {channel: (rows[skip : skip + limit], len(rows) > skip + limit) for channel, rows in found.items()}


PER_CHANNEL_MAX = 2_000
JUDGED_CHANNELS_MAX = 20


# --- asking the store -----------------------------------------------------------------------------------------------


def _list_sql() -> str:
    """Return SQL of a table c(id) of one parameter."""
    if store.is_postgresql():
        return "unnest(?::int[]) AS c(id)"
    return "(SELECT value AS id FROM json_each(?)) AS c"


def _list(channels: Sequence[int]) -> Any:
    return list(channels) if store.is_postgresql() else json.dumps(list(channels))


def _where(chosen: Selection, *, of_channels: bool = True) -> tuple[str, list[Any]]:
    """Return the condition on rows r, and its parameters."""
    parts, parameters = ["r.at >= ?", "r.at < ?"], [chosen.from_ms, chosen.to_ms]
    if of_channels and len(chosen.channels) == 1:
        parts.insert(0, "r.channel = ?")
        parameters.insert(0, chosen.channels[0])
    elif of_channels:
        parts.insert(0, f"r.channel IN (SELECT c.id FROM {_list_sql()})")  # noqa: S608
        parameters.insert(0, _list(chosen.channels))
    return _and_rest(chosen, parts, parameters)


def _and_rest(chosen: Selection, parts: list[str], parameters: list[Any]) -> tuple[str, list[Any]]:
    for operator, limit in chosen.values:
        parts.append(f"r.value {_SIGNS[operator]} ?")
        parameters.append(limit)
    if chosen.after is not None:
        parts.append(f"(r.at {'<' if chosen.is_descending else '>'} ? OR (r.at = ? AND r.channel > ?))")
        parameters += [chosen.after[0], chosen.after[0], chosen.after[1]]
    return " AND ".join(parts), parameters


def _order_sql(order: Order) -> str:
    return ", ".join(f"r.{column} {'DESC' if is_descending else 'ASC'}" for column, is_descending in order)


def _sorted(rows: Iterable[Row], order: Order) -> list[Row]:
    place = {"channel": 0, "at": 1, "value": 2}
    return sorted(
        rows, key=lambda row: tuple(-row[place[column]] if down else row[place[column]] for column, down in order)
    )  # fmt: skip


def _fetch(chosen: Selection, order: Order, skip: int, limit: int) -> list[Row]:
    """Return rows in order, of all channels together."""
    months = _months(chosen)
    if not months:
        return _fetch_hot(chosen, order, skip, limit)
    if skip > MERGE_MAX:
        raise QueryError(
            f"$skip quá {MERGE_MAX} khi hỏi cả tháng đã lưu trữ. Đi theo @iot.nextLink, hoặc lọc phenomenonTime."
        )
    hot = _fetch_hot(chosen, order, 0, skip + limit)
    wanted = skip + limit
    while True:
        tail = f"ORDER BY {_order_sql(order)} LIMIT {wanted}"
        old = _ask_archive(months, "r.channel, r.at, r.value, r.quality", chosen, tail)
        kept = _without_hot(old)
        if len(old) < wanted or len(kept) >= skip + limit:
            return _sorted([*hot, *kept], order)[skip : skip + limit]
        wanted *= 2


def _fetch_hot(chosen: Selection, order: Order, skip: int, limit: int) -> list[Row]:
    if order[0][0] == "at" and len(chosen.channels) > 1:
        # Many channels by time: no index has them in this order. Each channel's own (skip + limit)th row says where the
        # page ends at the latest.
        where, parameters = _where(chosen, of_channels=False)
        extreme, direction = ("max", "DESC") if chosen.is_descending else ("min", "ASC")
        sql = (
            f"SELECT {extreme}(edge) FROM (SELECT (SELECT r.at FROM telemetry_reading r WHERE r.channel = c.id "  # noqa: S608
            f"AND {where} ORDER BY r.at {direction} LIMIT 1 OFFSET ?) AS edge FROM {_list_sql()}) e"
        )
        edge = store.query(sql, [*parameters, skip + limit - 1, _list(chosen.channels)])[0][0]
        if edge is not None:
            chosen = _within(chosen, *((edge, FOREVER_MS) if chosen.is_descending else (0, edge + 1)))
    where, parameters = _where(chosen)
    sql = f"SELECT r.channel, r.at, r.value, r.quality FROM telemetry_reading r WHERE {where} "  # noqa: S608
    sql += f"ORDER BY {_order_sql(order)} LIMIT ? OFFSET ?"
    return store.query(sql, [*parameters, limit, skip])


def _fetch_each(chosen: Selection, order: Order, limit: int) -> list[Row]:
    """Return the first rows of each channel in order, channel by channel."""
    hot = _fetch_each_hot(chosen, order, limit)
    months = _months(chosen)
    if not months:
        return hot
    if order[0] == ("at", True):  # the newest are hot: the archive is asked for those that have too few of them
        counts: dict[int, int] = {}
        for row in hot:
            counts[row[0]] = counts.get(row[0], 0) + 1
        lacking = tuple(channel for channel in chosen.channels if counts.get(channel, 0) < limit)
    else:
        lacking = chosen.channels
    if not lacking:
        return hot
    by_channel: dict[int, list[Row]] = {}
    wanted = limit
    while True:
        tail = f"QUALIFY row_number() OVER (PARTITION BY r.channel ORDER BY {_order_sql(order)}) <= {wanted}"
        old = _ask_archive(months, "r.channel, r.at, r.value, r.quality", replace(chosen, channels=lacking), tail)
        kept = _without_hot(old)
        if len(kept) == len(old) or wanted > 16 * limit:
            break
        wanted *= 4
    for row in _sorted([*hot, *kept], order):
        by_channel.setdefault(row[0], []).append(row)
    return [row for rows in by_channel.values() for row in rows[:limit]]


def _fetch_each_hot(chosen: Selection, order: Order, limit: int) -> list[Row]:
    where, parameters = _where(chosen, of_channels=False)
    by = _order_sql(order)
    if store.is_postgresql():
        sql = (
            f"SELECT f.channel, f.at, f.value, f.quality FROM {_list_sql()} CROSS JOIN LATERAL "  # noqa: S608
            f"(SELECT r.channel, r.at, r.value, r.quality FROM telemetry_reading r WHERE r.channel = c.id AND {where} "
            f"ORDER BY {by} LIMIT ?) f"
        )
        return _sorted(store.query(sql, [_list(chosen.channels), *parameters, limit]), order)
    found: list[Row] = []
    cursor = store.connect().cursor()  # embedded: a question costs microseconds
    sql = f"SELECT r.channel, r.at, r.value, r.quality FROM telemetry_reading r WHERE r.channel = ? AND {where} "  # noqa: S608
    sql += f"ORDER BY {by} LIMIT ?"
    for channel in chosen.channels:
        found += cursor.execute(sql, (channel, *parameters, limit)).fetchall()
    cursor.close()
    return _sorted(found, order)


def _months(chosen: Selection) -> list[archive.Month]:
    return [m for m in archive.list_months() if m.from_ms < chosen.to_ms and m.to_ms > chosen.from_ms and m.readings]


def _ask_archive(months: Sequence[archive.Month], what: str, chosen: Selection, tail: str) -> list[Row]:
    parts = ["r.channel IN (SELECT unnest(?::INTEGER[]))", "r.at >= ?", "r.at < ?"]
    where, parameters = _and_rest(chosen, parts, [list(chosen.channels), chosen.from_ms, chosen.to_ms])
    return archive.ask(f"SELECT {what} FROM read_parquet(?) r WHERE {where} {tail}", months, parameters)  # noqa: S608


def _without_hot(old: list[Row]) -> list[Row]:
    """Return the archived rows whose instant has no hot row, which stands before them."""
    if not old:
        return old
    hot = _find_hot([row[:2] for row in old])
    return [row for row in old if row[:2] not in hot]


def _find_hot(keys: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    if store.is_postgresql():
        table = "unnest(?::int[], ?::bigint[]) AS k(channel, at)"
        parameters: list[Any] = [[key[0] for key in keys], [key[1] for key in keys]]
    else:
        table = (
            "(SELECT json_extract(value, '$[0]') AS channel, json_extract(value, '$[1]') AS at FROM json_each(?)) AS k"
        )
        parameters = [json.dumps(keys)]
    sql = f"SELECT r.channel, r.at FROM {table} JOIN telemetry_reading r ON r.channel = k.channel AND r.at = k.at"  # noqa: S608
    return set(store.query(sql, parameters))


def find_stored(keys: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return which of these (channel, at) have a reading, hot or archived."""
    found = _find_hot(sorted(keys)) if keys else set()
    lacking = sorted(keys - found)
    if lacking and archive.list_months():
        columns = np.array(lacking, np.int64)
        old = archive.read_points(columns[:, 0], columns[:, 1])
        found |= set(zip(old.channel.tolist(), old.at.tolist(), strict=True))
    return found


def spans(channels: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Return the instants of the first and the last reading of each channel that has one, ms UTC."""
    ids = list(channels)
    nearest = "(SELECT {0} FROM {1} r WHERE r.channel = c.id {2} LIMIT 1)"
    columns = ", ".join(
        nearest.format(*words)
        for words in (
            ("r.at", "telemetry_reading", "ORDER BY r.at"),
            ("r.at", "telemetry_reading", "ORDER BY r.at DESC"),
            ("r.day", "telemetry_rollup_day", "AND r.readings > 0 ORDER BY r.day"),
            ("r.last_at", "telemetry_rollup_day", "AND r.last_at IS NOT NULL ORDER BY r.day DESC"),
        )
    )
    rows = store.query(f"SELECT c.id, {columns} FROM {_list_sql()}", [_list(ids)])  # noqa: S608
    months = archive.list_months()
    found, early = {}, {}
    for channel, low, high, day, last in rows:
        if day is not None and (low is None or day <= low) and any(m.from_ms <= day < m.to_ms for m in months):
            early[channel] = day  # begins in the archive
        ends = [each for each in (high, last if channel in early else None) if each is not None]
        if ends:
            found[channel] = (low if low is not None else ends[0], max(ends))
    if early:
        to_ms = max(early.values()) + DAY_MS
        old = Selection(tuple(early), min(early.values()), to_ms)
        for channel, at in _ask_archive(_months(old), "r.channel, min(r.at)", old, "GROUP BY r.channel"):  # type: ignore[misc]
            if channel in found:
                found[channel] = (min(at, found[channel][0]), found[channel][1])
    return found


@contextmanager
def _in_time() -> Iterator[None]:
    """Let nobody keep the store busy with one question for longer than a page is worth. Raises QueryError."""
    connection = store.connect()
    until = monotonic() + WITHIN_S
    if store.is_postgresql():
        connection.execute(f"SET statement_timeout = {int(WITHIN_S * 1000)}")
    else:
        connection.set_progress_handler(lambda: monotonic() > until, 100_000)
    try:
        yield
    except psycopg.errors.QueryCanceled:
        raise _too_broad() from None
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            raise _too_broad() from None
        raise
    finally:
        if not store.is_postgresql():
            connection.set_progress_handler(None, 0)
        elif not connection.closed:
            connection.execute("SET statement_timeout = 0")


def _too_broad() -> QueryError:
    return QueryError(
        "Câu hỏi phải xét quá nhiều số đọc. Thu hẹp bằng phenomenonTime (ví dụ: phenomenonTime ge "
        "2026-01-01T00:00:00+07:00) hoặc hỏi từng Datastream."
    )
