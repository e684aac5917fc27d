"""Readings and what one message causes, in one transaction: hot rows, ledger, dirty ranges, quarantine.

Embedded, this is a database file of its own (DATA_DIR/telemetry.sqlite3), so that a flood of readings never blocks a
sign-in; on PostgreSQL, tables `telemetry_…` beside the others, the readings partitioned by month. Plain SQL on
connections of its own: a commit here is what an acknowledgement to a device stands on.

Times are integer milliseconds since 1970 in UTC. Hours are start instants of UTC hours (the local offset is whole
hours), days those of local days.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
from django.conf import settings
from django.db import connections
from numpy.typing import NDArray

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
BUSY_WITHIN_S = 30.0  # SQLite: how long a writer waits for another
LOOK_AGAIN_S = 0.001  # so often it looks meanwhile: SQLite's own pauses grow to 100 ms, and others come between
LOCAL_OFFSET_MS = 7 * HOUR_MS  # Asia/Ho_Chi_Minh has no summer time

OUT_OF_RANGE = 1  # bits of quality
FROM_FILE = 2
OVERRULED = 4

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# {big}, {real}, {blob}, {auto}: the words of each database. Kept alike so that one query serves both.
_TABLES = """
CREATE TABLE IF NOT EXISTS telemetry_reading_history (
    channel integer NOT NULL, at {big} NOT NULL, value {real} NOT NULL, quality integer NOT NULL,
    replaced_at {big} NOT NULL, reason text NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS telemetry_history_of ON telemetry_reading_history (channel, at);
CREATE TABLE IF NOT EXISTS telemetry_ledger (
    device integer NOT NULL, hour {big} NOT NULL, received {big} NOT NULL DEFAULT 0, stored {big} NOT NULL DEFAULT 0,
    corrected {big} NOT NULL DEFAULT 0, duplicate {big} NOT NULL DEFAULT 0, rejected {big} NOT NULL DEFAULT 0,
    quarantined {big} NOT NULL DEFAULT 0, PRIMARY KEY (device, hour));
CREATE TABLE IF NOT EXISTS telemetry_rejection (
    device integer NOT NULL, hour {big} NOT NULL, reason text NOT NULL, readings {big} NOT NULL, last_at {big} NOT NULL,
    sample text NOT NULL, PRIMARY KEY (device, hour, reason));
CREATE TABLE IF NOT EXISTS telemetry_quarantine (
    id {auto}, device integer NOT NULL, topic text NOT NULL, payload {blob} NOT NULL, received_at {big} NOT NULL,
    reason text NOT NULL, state text NOT NULL DEFAULT 'NEW', decided_at {big}, decided_by integer,
    outcome text NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS telemetry_quarantine_state ON telemetry_quarantine (state, received_at);
CREATE TABLE IF NOT EXISTS telemetry_device_state (
    device integer PRIMARY KEY, received_at {big} NOT NULL, measured_at {big} NOT NULL, drift_ms {big} NOT NULL,
    messages {big} NOT NULL, rssi {real}, snr {real}, battery {real});
CREATE TABLE IF NOT EXISTS telemetry_dirty_hour (
    channel integer NOT NULL, hour {big} NOT NULL, version {big} NOT NULL DEFAULT 1, PRIMARY KEY (channel, hour));
CREATE INDEX IF NOT EXISTS telemetry_dirty_newest ON telemetry_dirty_hour (hour, channel);
CREATE TABLE IF NOT EXISTS telemetry_dirty_alarm (
    channel integer PRIMARY KEY, from_at {big} NOT NULL, version {big} NOT NULL DEFAULT 1);
CREATE TABLE IF NOT EXISTS telemetry_judged_alarm (
    channel integer PRIMARY KEY, from_at {big} NOT NULL);
CREATE TABLE IF NOT EXISTS telemetry_rollup_hour (
    channel integer NOT NULL, hour {big} NOT NULL, readings integer NOT NULL, expected {real} NOT NULL,
    low {real}, total {real} NOT NULL, high {real}, last {real}, last_at {big}, volume {real}, within integer,
    out_of_range integer NOT NULL DEFAULT 0, version {big} NOT NULL DEFAULT 1, computed_at {big} NOT NULL,
    PRIMARY KEY (channel, hour));
CREATE TABLE IF NOT EXISTS telemetry_rollup_day (
    channel integer NOT NULL, day {big} NOT NULL, readings integer NOT NULL, expected {real} NOT NULL,
    low {real}, total {real} NOT NULL, high {real}, last {real}, last_at {big}, volume {real}, within integer,
    out_of_range integer NOT NULL DEFAULT 0, version {big} NOT NULL DEFAULT 1, computed_at {big} NOT NULL,
    PRIMARY KEY (channel, day));
CREATE TABLE IF NOT EXISTS telemetry_dirty_day (
    channel integer NOT NULL, day {big} NOT NULL, version {big} NOT NULL DEFAULT 1, is_late integer NOT NULL DEFAULT 0,
    PRIMARY KEY (channel, day));
CREATE TABLE IF NOT EXISTS telemetry_batch (
    device integer NOT NULL, idempotency_key text NOT NULL, answer text NOT NULL, received_at {big} NOT NULL,
    PRIMARY KEY (device, idempotency_key));
CREATE TABLE IF NOT EXISTS telemetry_archive (
    month text PRIMARY KEY, file text NOT NULL, readings {big} NOT NULL, bytes {big} NOT NULL, sha256 text NOT NULL,
    archived_at {big} NOT NULL);
"""
_SQLITE_READING = """
CREATE TABLE IF NOT EXISTS telemetry_reading (
    channel integer NOT NULL, at integer NOT NULL, value real NOT NULL, quality integer NOT NULL,
    PRIMARY KEY (channel, at)) WITHOUT ROWID;
"""
_POSTGRESQL_READING = """
CREATE TABLE IF NOT EXISTS telemetry_reading (
    channel integer NOT NULL, at bigint NOT NULL, value double precision NOT NULL, quality smallint NOT NULL,
    PRIMARY KEY (channel, at)) PARTITION BY RANGE (at);
"""

_local = threading.local()


@dataclass(frozen=True, eq=False, slots=True)
class Readings:
    """Readings as columns, each of shape (n,). at: ms UTC. value: stored unit. quality: bits above."""

    channel: Ints
    at: Ints
    value: Floats
    quality: Ints

    def __len__(self) -> int:
        return len(self.at)


def is_postgresql() -> bool:
    return connections["default"].vendor == "postgresql"


def connection_name() -> str:
    """Return which store this is, for what a process remembers of it."""
    return str(connections["default"].settings_dict["NAME"]) if is_postgresql() else path()


def path() -> str:
    """Return the file of the embedded store."""
    return str(settings.DATA_DIR / "telemetry.sqlite3")


def connect() -> Any:
    """Return this thread's connection to the store, opening it if needed. In autocommit; use `transaction`."""
    if is_postgresql():
        options = {**connections["default"].get_connection_params()}
        known = (options.get("host"), options.get("dbname"))
    else:
        known = (None, path())
    found = getattr(_local, "connection", None)
    if found is not None and _local.known == known and not getattr(found, "closed", False):
        return found
    close()
    if is_postgresql():
        kept = {key: options[key] for key in ("dbname", "user", "password", "host", "port") if options.get(key)}
        found = psycopg.connect(**kept, autocommit=True)
    else:
        found = sqlite3.connect(path(), timeout=BUSY_WITHIN_S, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-8192"):  # its sorters take as much again
            found.execute(f"PRAGMA {pragma}")
    _local.connection, _local.known, _local.months = found, known, set()
    return found


def close() -> None:
    """Close this thread's connection."""
    found = getattr(_local, "connection", None)
    if found is not None:
        found.close()
        _local.connection = None


@contextmanager
def transaction() -> Iterator[Any]:
    """Yield a cursor inside one write transaction: committed at the end, rolled back by any exception."""
    connection = connect()
    cursor = connection.cursor()
    if is_postgresql():
        cursor.execute("BEGIN")
    else:
        _begin_sqlite(cursor)
    try:
        yield cursor
        cursor.execute("COMMIT")
    except BaseException:
        if not getattr(connection, "closed", False):
            cursor.execute("ROLLBACK")
        _local.months = set()  # what this transaction made is gone again
        raise
    finally:
        cursor.close()


def _begin_sqlite(cursor: Any) -> None:
    """Begin a write transaction as soon as nobody else has one. Raises OperationalError after BUSY_WITHIN_S."""
    deadline_s = time.monotonic() + BUSY_WITHIN_S
    cursor.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                cursor.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline_s:
                    raise
            time.sleep(LOOK_AGAIN_S)
    finally:
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_WITHIN_S * 1000:.0f}")


def query(sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """Return the rows of a SELECT. Write `?` for parameters on both databases."""
    cursor = connect().cursor()
    try:
        cursor.execute(adapt(sql), tuple(parameters))
        return list(cursor.fetchall())
    finally:
        cursor.close()


def adapt(sql: str) -> str:
    """Return the statement in the database's own parameter style (`?` here, `%s` on PostgreSQL; no literal % or ?)."""
    return sql.replace("?", "%s") if is_postgresql() else sql


def prepare() -> None:
    """Make the tables that are missing. Runs after every `migrate`."""
    if is_postgresql():
        words = {
            "big": "bigint",
            "real": "double precision",
            "blob": "bytea",
            "auto": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        }
        script = _TABLES.format(**words) + _POSTGRESQL_READING
        with connections["default"].cursor() as cursor:  # inside the transaction of the migration, where there is one
            cursor.execute(script)
        return
    words = {"big": "integer", "real": "real", "blob": "blob", "auto": "integer PRIMARY KEY AUTOINCREMENT"}
    connect().executescript(_TABLES.format(**words) + _SQLITE_READING)


def local_months(at_min: int, at_max: int) -> list[tuple[str, int, int]]:
    """Return the local months that two instants and all between them lie in: (key, start, end), in ms.

    >>> local_months(1_767_200_400_000, 1_767_200_400_000)  # 2026-01-01 00:00 in Việt Nam
    [('2026-01', 1767200400000, 1769878800000)]
    """
    first = datetime.fromtimestamp((at_min + LOCAL_OFFSET_MS) / 1000, UTC)
    year, month = first.year, first.month
    found: list[tuple[str, int, int]] = []
    while True:
        start = month_start(year, month)
        if start > at_max:
            return found
        key = f"{year:04d}-{month:02d}"
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        found.append((key, start, month_start(year, month)))


def month_start(year: int, month: int) -> int:
    """Return the start of a local month, ms UTC."""
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1000) - LOCAL_OFFSET_MS


def has_months(months: Sequence[tuple[str, int, int]]) -> bool:
    """Return whether this thread knows that there is room for readings of these months (of local_months)."""
    known = _local.__dict__.get("months", ())
    return all(month[0] in known for month in months)


def ensure_months(cursor: Any, at_min: int, at_max: int) -> None:
    """Make room for readings of these instants (PostgreSQL: the partitions of their local months).

    Call it in the transaction that writes them, before the first row; a month that is there costs nothing.
    """
    if not is_postgresql():
        return
    known: set[str] = _local.__dict__.setdefault("months", set())
    wanted = [month for month in local_months(at_min, at_max) if month[0] not in known]
    if not wanted:
        return
    there = (
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = 'telemetry_reading'::regclass"
    )
    names = {key: f"telemetry_reading_{key.replace('-', '_')}" for key, _, _ in wanted}
    if not set(names.values()) <= {name for (name,) in cursor.execute(there).fetchall()}:
        cursor.execute("SELECT pg_advisory_xact_lock(79001)")  # one maker of partitions at a time
        found = {name for (name,) in cursor.execute(there).fetchall()}
        for key, start, end in wanted:
            if names[key] not in found:
                cursor.execute(
                    f"CREATE TABLE {names[key]} PARTITION OF telemetry_reading FOR VALUES FROM ({start}) TO ({end})"
                )
    known.update(names)


def latest(channels: Sequence[int]) -> dict[int, tuple[int, float, int]]:
    """Return {channel: (at, value, quality)} of the latest *measured* reading of each channel that has one."""
    if not channels:
        return {}
    if is_postgresql():
        rows = query(
            "SELECT c.id, r.at, r.value, r.quality FROM unnest(?::int[]) AS c(id) CROSS JOIN LATERAL "
            "(SELECT at, value, quality FROM telemetry_reading WHERE channel = c.id ORDER BY at DESC LIMIT 1) r",
            [list(channels)],
        )
        return {row[0]: (row[1], row[2], row[3]) for row in rows}
    cursor = connect().cursor()
    found = {}
    for channel in channels:
        row = cursor.execute(
            "SELECT at, value, quality FROM telemetry_reading WHERE channel = ? ORDER BY at DESC LIMIT 1", (channel,)
        ).fetchone()
        if row is not None:
            found[channel] = row
    cursor.close()
    return found


def read_hot(channel: int, from_ms: int, to_ms: int) -> Readings:
    """Return the readings of one channel in [from_ms, to_ms) that are not yet archived, by time."""
    rows = query(
        "SELECT at, value, quality FROM telemetry_reading WHERE channel = ? AND at >= ? AND at < ? ORDER BY at",
        [channel, from_ms, to_ms],
    )
    if not rows:
        empty = np.empty(0, np.int64)
        return Readings(empty, empty, np.empty(0), empty)
    at, value, quality = zip(*rows, strict=True)
    return Readings(
        np.full(len(at), channel, np.int64), np.array(at, np.int64), np.array(value), np.array(quality, np.int64)
    )


def local_day(at_ms: int) -> int:
    """Return the start of the local day that holds the instant.

    >>> local_day(1_767_200_400_000)  # 2026-01-01 00:00 in Việt Nam
    1767200400000
    """
    return (at_ms + LOCAL_OFFSET_MS) // DAY_MS * DAY_MS - LOCAL_OFFSET_MS
