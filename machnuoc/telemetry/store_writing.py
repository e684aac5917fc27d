"""How readings get into the store: what is new, what repeats, what corrects, each told apart exactly.

One row per (channel, instant). What one transaction writes goes in the order of keys, tables in one order, so that two
ingest processes on PostgreSQL wait for each other and never in a circle.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from machnuoc.telemetry import store
from machnuoc.telemetry.store import OVERRULED, Ints, Readings

SAME_WITHIN = 1e-9  # |new - stored| up to this × max(1, |stored|) is the same reading

STORED, CORRECTED, DUPLICATE, KEPT = 0, 1, 2, 3  # fates; KEPT: a person's own value stands, this one is refused
Fates = NDArray[np.int8]
Archived = Callable[[Ints, Ints], Readings]
Known = dict[int, tuple[float, int]]  # row → value and quality that are stored already

_UPSERT = (
    "INSERT INTO telemetry_reading (channel, at, value, quality) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (channel, at) DO UPDATE SET value = excluded.value, quality = excluded.quality"
)
_HISTORY = (
    "INSERT INTO telemetry_reading_history (channel, at, value, quality, replaced_at, reason) VALUES (?, ?, ?, ?, ?, ?)"
)


class NotAllNew(Exception):
    """The quick way assumed that no reading is in the store yet. Roll back and go the careful way."""


def is_same(new: Any, stored: Any) -> Any:
    """Return whether readings repeat those that are stored; numbers or arrays of one shape.

    >>> bool(is_same(10.0000000001, 10.0)), bool(is_same(10.001, 10.0))
    (True, False)
    """
    return np.abs(new - stored) <= SAME_WITHIN * np.maximum(1.0, np.abs(stored))


def write(
    cursor: Any,
    rows: Readings,
    *,
    now_ms: int,
    reason: str,
    archived: Archived | None = None,
    is_quick: bool = False,
    by_person: bool = False,
) -> Fates:
    """Write readings in the order they arrived and return the fate of each, shape (n,).

    archived: gives what the archive has of (channel, at); None where no row is of a month that is archived.
    is_quick: assume that all are new; raises NotAllNew (on SQLite) if not.
    by_person: replaces what a person overruled before, and a change of quality alone counts as a correction.
    """
    fate = np.zeros(len(rows), np.int8)
    if not len(rows):
        return fate
    order = np.lexsort((rows.at, rows.channel))
    channel, at = rows.channel[order], rows.at[order]
    begins = begins_of(channel, at)
    first = order[begins]
    known: Known = {}
    fresh = first
    if archived is not None:
        known, fresh = _find_archived(cursor, rows, first, archived)
    if store.is_postgresql():
        known |= _insert_postgresql(cursor, rows, fresh)
    elif is_quick and len(fresh):
        known |= _insert_quick(cursor, rows, fresh)
    else:
        known |= _insert_carefully(cursor, rows, fresh)
    if known or len(first) < len(order):
        _settle(cursor, rows, order, begins, known, fate, now_ms, reason, by_person)
    return fate


def begins_of(*columns: Ints) -> NDArray[np.bool_]:
    """Return where a row differs from the one before it in any of the columns, all of shape (n,). The first does."""
    begins = np.zeros(len(columns[0]), bool)
    begins[:1] = True
    for column in columns:
        begins[1:] |= column[1:] != column[:-1]
    return begins


def _columns(rows: Readings, which: Ints) -> Any:
    return zip(
        rows.channel[which].tolist(), rows.at[which].tolist(), rows.value[which].tolist(), rows.quality[which].tolist(),
        strict=True,
    )  # fmt: skip


_INSERT = "INSERT OR IGNORE INTO telemetry_reading (channel, at, value, quality) VALUES (?, ?, ?, ?)"


def _insert_quick(cursor: Any, rows: Readings, which: Ints) -> Known:
    cursor.executemany(_INSERT, _columns(rows, which))
    if cursor.rowcount != len(which):
        raise NotAllNew
    return {}


def _insert_carefully(cursor: Any, rows: Readings, which: Ints) -> Known:
    """SQLite: nobody else writes while we do, so that what is not found now is new."""
    known = _find(cursor, rows, which)
    new = which[[row not in known for row in which.tolist()]] if known else which
    cursor.executemany(_INSERT, _columns(rows, new))
    return known


def _find(cursor: Any, rows: Readings, which: Ints) -> Known:
    sql = store.adapt("SELECT value, quality FROM telemetry_reading WHERE channel = ? AND at = ?")
    if store.is_postgresql():
        sql += " FOR UPDATE"
    found: Known = {}
    for row, channel, at in zip(which.tolist(), rows.channel[which].tolist(), rows.at[which].tolist(), strict=True):
        stored = cursor.execute(sql, (channel, at)).fetchone()
        if stored is not None:
            found[row] = stored
    return found


def _find_archived(cursor: Any, rows: Readings, first: Ints, archived: Archived) -> tuple[Known, Ints]:
    """Return what is known of archived rows, and the rows left to insert. A hot row stands over the archive."""
    found = archived(rows.channel[first], rows.at[first])
    kept = {
        (channel, at): (value, quality)
        for channel, at, value, quality in zip(
            found.channel.tolist(), found.at.tolist(), found.value.tolist(), found.quality.tolist(), strict=True
        )
    }
    keys = list(zip(rows.channel[first].tolist(), rows.at[first].tolist(), strict=True))
    is_there = np.array([key in kept for key in keys], bool)
    known: Known = {row: kept[key] for row, key in zip(first.tolist(), keys, strict=True) if key in kept}
    known |= _find(cursor, rows, first[is_there])
    return known, first[~is_there]


# --- PostgreSQL -------------------------------------------------------------------------------------------------------

_STAGED = np.dtype([
    ("fields", ">i2"), ("l1", ">i4"), ("row", ">i4"), ("l2", ">i4"), ("channel", ">i4"), ("l3", ">i4"), ("at", ">i8"),
    ("l4", ">i4"), ("value", ">f8"), ("l5", ">i4"), ("quality", ">i2"),
])  # fmt: skip
_COPY_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = b"\xff\xff"


def _insert_postgresql(cursor: Any, rows: Readings, which: Ints) -> Known:
    if not len(which):
        return {}
    cursor.execute(
        "CREATE TEMPORARY TABLE IF NOT EXISTS telemetry_staged (row integer, channel integer, at bigint, "
        "value double precision, quality smallint) ON COMMIT DELETE ROWS"
    )
    staged = np.empty(len(which), _STAGED)
    staged["fields"], staged["l1"], staged["l2"], staged["l3"], staged["l4"], staged["l5"] = 5, 4, 4, 8, 8, 2
    staged["row"], staged["channel"], staged["at"] = which, rows.channel[which], rows.at[which]
    staged["value"], staged["quality"] = rows.value[which], rows.quality[which]
    with cursor.copy("COPY telemetry_staged FROM STDIN (FORMAT binary)") as copy:
        copy.write(_COPY_BEGIN + staged.tobytes() + _COPY_END)
    cursor.execute(
        "INSERT INTO telemetry_reading (channel, at, value, quality) "
        "SELECT channel, at, value, quality FROM telemetry_staged ORDER BY channel, at ON CONFLICT DO NOTHING"
    )
    if cursor.rowcount == len(which):
        return {}
    # A row that our own transaction has not made was there before, or came from another process in this moment: the
    # insertion above has waited for it.
    cursor.execute(
        "SELECT s.row, r.value, r.quality FROM telemetry_staged s JOIN telemetry_reading r USING (channel, at) "
        "WHERE r.xmin <> pg_current_xact_id()::xid ORDER BY channel, at FOR UPDATE OF r"
    )
    return {row: (value, quality) for row, value, quality in cursor.fetchall()}


def is_partition_missing(error: Exception) -> bool:
    """Return whether a transaction failed because the partition of a month is not there (yet, or any more)."""
    return isinstance(error, psycopg.errors.CheckViolation) and "no partition" in str(error)


def ensure_partitions(at: Ints) -> None:
    """Make the monthly partitions that these instants need, in a short transaction of its own.

    Making one locks the whole table: in the transaction that writes, two processes would wait for each other in a
    circle. Only months that hold a reading are made, whatever lies between them. Nothing to do on SQLite.
    """
    if not store.is_postgresql() or not len(at):
        return
    months = store.local_months(int(at.min()), int(at.max()))
    if store.has_months(months):
        return
    if len(months) > 2:
        days = np.unique((at + store.LOCAL_OFFSET_MS) // store.DAY_MS) * store.DAY_MS - store.LOCAL_OFFSET_MS
        months = sorted({store.local_months(day, day)[0] for day in days.tolist()})
        if store.has_months(months):
            return
    with store.transaction() as cursor:
        for _, start, _ in months:
            store.ensure_months(cursor, start, start)


# --- repeats and corrections ------------------------------------------------------------------------------------------


def _settle(
    cursor: Any, rows: Readings, order: Ints, begins: np.ndarray, known: Known, fate: Fates, now_ms: int, reason: str,
    by_person: bool,
) -> None:  # fmt: skip
    """Give every row after the first of its key, and every row whose key was stored before, its fate."""
    starts = np.flatnonzero(begins)
    sizes = np.diff(starts, append=len(order))
    history: list[tuple[object, ...]] = []
    changed: list[tuple[object, ...]] = []
    several = np.flatnonzero(sizes > 1)
    left: list[list[int]] = [order[starts[key] : starts[key] + sizes[key]].tolist() for key in several.tolist()]
    is_alone = np.zeros(len(rows), bool)
    is_alone[order[starts[sizes == 1]]] = True
    which = np.fromiter(known, np.int64, len(known))
    which = which[is_alone[which]]
    if len(which):
        stored = np.array([known[row] for row in which.tolist()])
        same = is_same(rows.value[which], stored[:, 0])
        if by_person:
            same &= rows.quality[which] == stored[:, 1]
        fate[which[same]] = DUPLICATE
        left += [[row] for row in which[~same].tolist()]
    for same_key in left:
        start = same_key[0]
        channel, at = int(rows.channel[start]), int(rows.at[start])
        current = known.get(start)
        is_changed = False
        for row in same_key:
            new = (float(rows.value[row]), int(rows.quality[row]))
            if current is None:
                current = new
                continue
            if is_same(new[0], current[0]) and not (by_person and new[1] != current[1]):
                fate[row] = DUPLICATE
            elif current[1] & OVERRULED and not by_person:
                fate[row] = KEPT
            else:
                fate[row] = CORRECTED
                history.append((channel, at, *current, now_ms, reason))
                current, is_changed = new, True
        if is_changed and current is not None:
            changed.append((channel, at, *current))
    if changed:
        cursor.executemany(store.adapt(_UPSERT), sorted(changed))
        cursor.executemany(store.adapt(_HISTORY), history)


# --- what follows from readings ---------------------------------------------------------------------------------------


def mark_dirty(cursor: Any, channel: Ints, at: Ints, now_ms: int) -> None:
    """Mark the hours and the channels whose rollups and alarms these readings change.

    A mark that did not exist gets now_ms as its version: one that was consumed and set again never looks the same.
    """
    hour = at - at % store.HOUR_MS
    order = np.lexsort((at, channel))
    channel, at, hour = channel[order], at[order], hour[order]
    is_new_channel = begins_of(channel)
    is_new_hour = begins_of(channel, hour)
    upsert(
        cursor, "telemetry_dirty_hour (channel, hour, version)", ("int", "bigint", "bigint"),
        [channel[is_new_hour].tolist(), hour[is_new_hour].tolist(), [now_ms] * int(is_new_hour.sum())],
        "ON CONFLICT (channel, hour) DO UPDATE SET version = telemetry_dirty_hour.version + 1",
    )  # fmt: skip
    upsert(
        cursor, "telemetry_dirty_alarm (channel, from_at, version)", ("int", "bigint", "bigint"),
        [channel[is_new_channel].tolist(), at[is_new_channel].tolist(), [now_ms] * int(is_new_channel.sum())],
        "ON CONFLICT (channel) DO UPDATE SET version = telemetry_dirty_alarm.version + 1, from_at = CASE "
        "WHEN excluded.from_at < telemetry_dirty_alarm.from_at THEN excluded.from_at "
        "ELSE telemetry_dirty_alarm.from_at END",
    )  # fmt: skip


def upsert(cursor: Any, table: str, types: Sequence[str], columns: Sequence[list[Any]], on_conflict: str) -> None:
    """Insert columns of one length, sorted by key. table: with its columns; types: PostgreSQL's, one a column."""
    if not columns[0]:
        return
    if store.is_postgresql():
        arrays = ", ".join(f"%s::{kind}[]" for kind in types)
        cursor.execute(f"INSERT INTO {table} SELECT * FROM unnest({arrays}) {on_conflict}", list(columns))  # noqa: S608
    else:
        marks = ", ".join("?" * len(types))
        cursor.executemany(f"INSERT INTO {table} VALUES ({marks}) {on_conflict}", zip(*columns, strict=True))  # noqa: S608
