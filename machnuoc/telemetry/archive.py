"""Closed months of readings in Parquet files: a few bytes a reading, read together with the hot rows (history.py).

A file holds one local month, sorted by channel and time. It is written aside, synced, hashed and recorded; only then
are the hot rows deleted that the file, read back, gives equal to the last bit. What was corrected or came late
meanwhile stays hot, stands before the file's row, and is merged at the next run. A run that is killed leaves rows in
both places at worst, which reads as one. Files are never changed: a merged month is
a new file, the old one goes a day later.
"""

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from django.conf import settings

from machnuoc.telemetry import store
from machnuoc.telemetry.store import Ints, Readings

_KEEP_OLD_FILES_S = 24 * 3600  # whoever reads a file that was replaced comes to its end
_AT_ONCE = 200_000  # rows deleted in one transaction
_ROW_GROUP = 122_880
_local = threading.local()


class ArchiveFailed(Exception):
    """A month could not be archived; the text says why. Its hot rows are all there."""


@dataclass(frozen=True, slots=True)
class Month:
    """A file of the archive."""

    key: str
    from_ms: int
    to_ms: int
    file: str
    readings: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Done:
    """What one run did with a month. removed: hot rows deleted."""

    key: str
    readings: int
    bytes: int
    removed: int


def folder() -> Path:
    return Path(settings.DATA_DIR) / "archive"


def list_months() -> list[Month]:
    """Return every archived month, by time."""
    rows = store.query("SELECT month, file, readings, bytes, sha256 FROM telemetry_archive ORDER BY month")
    return [Month(row[0], *_edges(row[0]), row[1], row[2], row[3], row[4]) for row in rows]


def _edges(key: str) -> tuple[int, int]:
    from_ms = month_start(key)
    return from_ms, store.local_months(from_ms, from_ms)[0][2]


def month_start(key: str) -> int:
    """Return the start of the local month "2026-10", ms UTC. Raises ValueError."""
    year, _, month = key.partition("-")
    if len(year) != 4 or len(month) != 2 or not 1 <= int(month) <= 12:
        raise ValueError(key)
    return store.month_start(int(year), int(month))


# --- reading ----------------------------------------------------------------------------------------------------


def read(channel: int, from_ms: int, to_ms: int, months: Sequence[Month] | None = None) -> Readings:
    """Return the archived readings of one channel in [from_ms, to_ms), by time."""
    chosen = [m for m in (list_months() if months is None else months) if m.from_ms < to_ms and m.to_ms > from_ms]
    found = _fetch(chosen, 'WHERE channel = ? AND "at" >= ? AND "at" < ? ORDER BY "at"', [channel, from_ms, to_ms])
    return Readings(np.full(len(found[0]), channel, np.int64), *found)


def read_points(channels: Ints, at: Ints) -> Readings:
    """Return the archived readings of these (channel, at), arrays of one shape (n,), in any order; others are left out.

    What a late reading is compared with: one query a month, however many points.
    """
    empty = np.empty(0, np.int64)
    parts = []
    for month in list_months():
        inside = (at >= month.from_ms) & (at < month.to_ms)
        if not inside.any():
            continue
        wanted = {"channel": channels[inside].astype(np.int32), "at": at[inside].astype(np.int64)}  # noqa: F841
        rows = (
            _connection()
            .execute(
                'SELECT m.channel, m."at", m.value, m.quality FROM read_parquet(?) m JOIN wanted w '
                'ON m.channel = w.channel AND m."at" = w."at"',
                [str(folder() / month.file)],
            )
            .fetchnumpy()
        )
        parts.append(
            Readings(
                rows["channel"].astype(np.int64), rows["at"].astype(np.int64), rows["value"].astype(np.float64),
                rows["quality"].astype(np.int64),
            )
        )  # fmt: skip
    if not parts:
        return Readings(empty, empty, np.empty(0), empty)
    return Readings(*(np.concatenate([getattr(part, name) for part in parts]) for name in Readings.__slots__))


RUN_COLUMNS = ("channel", "from_at", "to_at", "expected", "held", "good_from", "good_to", "is_flow")


def hours(runs: Sequence[Sequence[float]], hot: Readings, months: Sequence[Month] | None = None) -> dict[str, Any]:
    """Return the hours of these runs, from the archive and the hot rows that stand before it, as columns.

    runs: rows of RUN_COLUMNS, not overlapping (rollups.Run). hot: the hot rows of the runs. Columns: channel, hour,
    readings, expected, low, total, high, last, last_at, volume, within, out_of_range; masked where there is none. An
    hour without a reading has no row.
    """
    columns = list(zip(*runs, strict=True))
    first, last = min(columns[1]), max(columns[2])
    chosen = [m for m in (list_months() if months is None else months) if m.from_ms < last and m.to_ms > first]
    kinds = (np.int32, np.int64, np.int64, np.float64, np.int8, np.float64, np.float64, np.int8)
    d = {name: np.array(column, kind) for name, column, kind in zip(RUN_COLUMNS, columns, kinds, strict=True)}  # noqa: F841
    parts = []
    if chosen:
        unless = 'ANTI JOIN hot_rows h ON p.channel = h.channel AND p."at" = h."at" ' if len(hot) else ""
        parts.append(
            'SELECT p.channel, p."at", p.value::DOUBLE AS value, p.quality FROM read_parquet($files) p '  # noqa: S608
            f'{unless}WHERE p."at" >= {int(first)} AND p."at" < {int(last)} '
            f"AND p.channel BETWEEN {int(min(columns[0]))} AND {int(max(columns[0]))}"
        )
    if len(hot) or not chosen:
        parts.append('SELECT channel, "at", value, quality FROM hot_rows')
    hot_rows = {  # noqa: F841
        "channel": hot.channel.astype(np.int32), "at": hot.at, "value": hot.value,
        "quality": hot.quality.astype(np.uint8),
    }  # fmt: skip
    is_true = f"(r.quality & {store.OUT_OF_RANGE}) = 0"
    found: dict[str, Any] = (
        _connection()
        .execute(
            f"""
            SELECT d.channel AS channel, r."at" // {store.HOUR_MS} * {store.HOUR_MS} AS hour, count(*) AS readings,
                max(d.expected) AS expected, min(r.value) FILTER ({is_true}) AS low,
                coalesce(sum(r.value) FILTER ({is_true}), 0) AS total, max(r.value) FILTER ({is_true}) AS high,
                arg_max(r.value, r."at") FILTER ({is_true}) AS last, max(r."at") FILTER ({is_true}) AS last_at,
                CASE WHEN max(d.is_flow) = 1 THEN avg(r.value) FILTER ({is_true}) END AS volume,
                CASE WHEN max(d.held) = 1 THEN
                    count(*) FILTER ({is_true} AND r.value >= d.good_from AND r.value <= d.good_to) END AS within,
                count(*) FILTER (NOT ({is_true})) AS out_of_range
            FROM d JOIN ({" UNION ALL ".join(parts)}) r
                ON r.channel = d.channel AND r."at" >= d.from_at AND r."at" < d.to_at
            GROUP BY ALL
            """,  # noqa: S608 - numbers and names of this module
            {"files": [str(folder() / month.file) for month in chosen]} if chosen else {},
        )
        .fetchnumpy()
    )
    return found


def instants(channel: int, at_ms: int, count: int, *, before: bool, months: Sequence[Month]) -> list[int]:
    """Return the archived instants nearest to one, before it (latest first) or from it on (earliest first)."""
    found: list[int] = []
    for month in reversed(months) if before else months:
        sign, order = ("<", "DESC") if before else (">=", "")
        rows = (
            _connection()
            .execute(
                f'SELECT "at" FROM read_parquet(?) WHERE channel = ? AND "at" {sign} ? ORDER BY "at" {order} LIMIT ?',  # noqa: S608
                [str(folder() / month.file), channel, at_ms, count - len(found)],
            )
            .fetchall()
        )
        found += [row[0] for row in rows]
        if len(found) >= count:
            break
    return found


def _fetch(months: Sequence[Month], condition: str, parameters: list[int]) -> tuple[Ints, Any, Ints]:
    if not months:
        return np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64)
    found = (
        _connection()
        .execute(
            f'SELECT "at", value, quality FROM read_parquet(?) {condition}',  # noqa: S608 - our own words
            [[str(folder() / month.file) for month in months], *parameters],
        )
        .fetchnumpy()
    )
    return found["at"].astype(np.int64), found["value"].astype(np.float64), found["quality"].astype(np.int64)


def ask(sql: str, months: Sequence[Month], parameters: Sequence[object]) -> list[tuple[Any, ...]]:
    """Return the rows of a SELECT whose first parameter is the files of these months: FROM read_parquet(?)."""
    if not months:
        return []
    files = [str(folder() / month.file) for month in months]
    return list(_connection().execute(sql, [files, *parameters]).fetchall())


def _connection() -> Any:
    """Return this thread's DuckDB, which holds nothing: files are named in each query."""
    found = getattr(_local, "connection", None)
    if found is None:
        found = _local.connection = duckdb.connect(config={"threads": 2, "memory_limit": "1GB"})
    return found


# --- writing ----------------------------------------------------------------------------------------------------


def archive_closed(now_ms: int, *, before: str = "", keep_days: int | None = None) -> list[Done]:
    """Bring every closed month that still has hot rows into its file, and delete them. Returns what was done.

    Months that ended less than keep_days ago stay hot (default: TELEMETRY_HOT_DAYS); before: only months before this
    one ("2026-10"). Raises ArchiveFailed, also where another run is at work.
    """
    keep_days = settings.TELEMETRY_HOT_DAYS if keep_days is None else keep_days
    until = store.local_months(now_ms, now_ms)[0][1]
    until = min(until, now_ms - keep_days * store.DAY_MS)
    if before:
        until = min(until, month_start(before))
    oldest = store.query("SELECT min(at) FROM telemetry_reading")[0][0]
    if oldest is None:
        return []
    with _alone():
        _remove_old_files()
        done = []
        for key, start, end in store.local_months(oldest, until):
            if end <= until:
                row = archive_month(key, start, end, now_ms)
                if row is not None:
                    done.append(row)
        return done


def archive_month(key: str, from_ms: int, to_ms: int, now_ms: int) -> Done | None:
    """Archive one month; None if it has no hot rows. See archive_closed, which sees to it that one runs at a time."""
    channels = [row[0] for row in store.query(_CHANNELS, [from_ms, to_ms])]
    if not channels:
        return None
    known = [month for month in list_months() if month.key == key]
    if not known or any(_has_news(channel, from_ms, to_ms, known) for channel in channels):
        known = [_write(key, from_ms, to_ms, known, now_ms)]
    removed = sum(_remove_hot(channel, from_ms, to_ms, known) for channel in channels)
    return Done(key, known[0].readings, known[0].bytes, removed)


_CHANNELS = "SELECT DISTINCT channel FROM telemetry_reading WHERE at >= ? AND at < ? ORDER BY channel"


def merge(hot: Readings, archived: Readings) -> Readings:
    """Return both by time; of an instant that is in both, the hot row. Of one channel, each by time."""
    if not len(archived):
        return hot
    if not len(hot):
        return archived
    kept = ~np.isin(archived.at, hot.at)
    order = np.argsort(np.concatenate([archived.at[kept], hot.at]), kind="stable")
    columns = (
        np.concatenate([getattr(archived, name)[kept], getattr(hot, name)])[order] for name in Readings.__slots__
    )
    return Readings(*columns)


def _is_archived(hot: Readings, archived: Readings) -> Any:
    """Return for each hot row whether the file has it, to the last bit; shape (n,)."""
    if not len(archived) or not len(hot):
        return np.zeros(len(hot), np.bool_)
    place = np.minimum(np.searchsorted(archived.at, hot.at), len(archived) - 1)
    return (
        (archived.at[place] == hot.at)
        & (archived.value[place].view(np.int64) == hot.value.view(np.int64))
        & (archived.quality[place] == hot.quality)
    )


def _has_news(channel: int, from_ms: int, to_ms: int, known: Sequence[Month]) -> bool:
    hot = store.read_hot(channel, from_ms, to_ms)
    return not _is_archived(hot, read(channel, from_ms, to_ms, known)).all()


def _write(key: str, from_ms: int, to_ms: int, known: Sequence[Month], now_ms: int) -> Month:
    """Write the month's file with what is hot and what was archived before, and record it."""
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    aside = place / f".{key}.{os.getpid()}.tmp"
    channels = {row[0] for row in store.query(_CHANNELS, [from_ms, to_ms])}
    for month in known:
        rows = _connection().execute("SELECT DISTINCT channel FROM read_parquet(?)", [str(place / month.file)])
        channels |= {row[0] for row in rows.fetchall()}
    writer = duckdb.connect(config={"threads": 2, "memory_limit": "1GB", "temp_directory": str(place / ".spill")})
    try:
        writer.execute('CREATE TABLE month (channel INTEGER, "at" BIGINT, value DOUBLE, quality UTINYINT)')
        for channel in sorted(channels):
            both = merge(store.read_hot(channel, from_ms, to_ms), read(channel, from_ms, to_ms, known))
            rows = {  # DuckDB reads it by its name
                "channel": both.channel.astype(np.int32), "at": both.at, "value": both.value,
                "quality": both.quality.astype(np.uint8),
            }  # fmt: skip
            writer.execute('INSERT INTO month SELECT channel, "at", value, quality FROM rows')
        count, inexact = writer.execute(
            "SELECT count(*), count(*) FILTER (WHERE value::FLOAT::DOUBLE IS DISTINCT FROM value) FROM month"
        ).fetchall()[0]
        quoted = str(aside).replace("'", "''")
        value = "value" if inexact else "value::FLOAT AS value"  # half the bytes, where nothing is lost
        writer.execute(
            f'COPY (SELECT channel, "at", {value}, quality FROM month) TO ' + f"'{quoted}' "  # noqa: S608 - our own path
            f"(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 9, PARQUET_VERSION v2, ROW_GROUP_SIZE {_ROW_GROUP})"
        )
        read_back = writer.execute(
            'SELECT count(*), count(DISTINCT (channel, "at")) FROM read_parquet(?)', [str(aside)]
        ).fetchall()[0]
    except (duckdb.Error, OSError) as reason:
        aside.unlink(missing_ok=True)
        raise ArchiveFailed(
            f"Chưa lưu trữ được tháng {key}: {reason}. Số liệu còn nguyên; kiểm tra chỗ trống rồi chạy lại."
        ) from None
    finally:
        writer.close()
    if read_back != (count, count):
        aside.unlink(missing_ok=True)
        raise ArchiveFailed(f"Chưa lưu trữ được tháng {key}: tệp đọc lại không khớp. Số liệu còn nguyên; chạy lại.")
    sha256 = _sync_and_hash(aside)
    name = f"{key}.{sha256[:12]}.parquet"
    aside.replace(place / name)
    _sync_folder(place)
    month = Month(key, from_ms, to_ms, name, count, (place / name).stat().st_size, sha256)
    with store.transaction() as cursor:
        cursor.execute(
            store.adapt(
                "INSERT INTO telemetry_archive (month, file, readings, bytes, sha256, archived_at) "
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (month) DO UPDATE SET file = excluded.file, "
                "readings = excluded.readings, bytes = excluded.bytes, sha256 = excluded.sha256, "
                "archived_at = excluded.archived_at"
            ),
            (key, name, count, month.bytes, sha256, now_ms),
        )
    return month


def _remove_hot(channel: int, from_ms: int, to_ms: int, known: Sequence[Month]) -> int:
    """Delete the hot rows of one channel that the file gives back equal; return how many."""
    archived = read(channel, from_ms, to_ms, known)
    removed = 0
    at = from_ms
    while True:
        rows = store.query(
            "SELECT at FROM telemetry_reading WHERE channel = ? AND at >= ? AND at < ? ORDER BY at LIMIT 1 OFFSET ?",
            [channel, at, to_ms, _AT_ONCE],
        )
        end = rows[0][0] if rows else to_ms
        with store.transaction() as cursor:
            if store.is_postgresql():  # nobody corrects a row between our look at it and its end
                cursor.execute("LOCK TABLE telemetry_reading IN SHARE ROW EXCLUSIVE MODE")
            hot = store.read_hot(channel, at, end)
            equal = _is_archived(hot, archived)
            if equal.all():
                cursor.execute(
                    store.adapt("DELETE FROM telemetry_reading WHERE channel = ? AND at >= ? AND at < ?"),
                    (channel, at, end),
                )
            else:
                cursor.executemany(
                    store.adapt("DELETE FROM telemetry_reading WHERE channel = ? AND at = ?"),
                    [(channel, instant) for instant in hot.at[equal].tolist()],
                )
        removed += int(equal.sum())
        if end == to_ms:
            return removed
        at = end


def _sync_and_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        os.fsync(file.fileno())
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def verify() -> list[str]:
    """Return what is wrong with the files of the archive: missing, or not those that were recorded."""
    problems = []
    for month in list_months():
        path = folder() / month.file
        if not path.exists():
            problems.append(f"Thiếu tệp lưu trữ tháng {month.key}: {path}. Khôi phục từ bản sao lưu.")
        elif _sync_and_hash(path) != month.sha256:
            problems.append(f"Tệp lưu trữ tháng {month.key} đã bị đổi: {path}. Khôi phục từ bản sao lưu.")
    return problems


def expire(now_ms: int, keep_years: int | None = None) -> list[str]:
    """Delete the months of the archive that ended more than so many years ago (default: TELEMETRY_KEEP_YEARS, 0: none).

    Rollups and figures stay. Returns the months.
    """
    years = settings.TELEMETRY_KEEP_YEARS if keep_years is None else keep_years
    if not years:
        return []
    gone = []
    for month in list_months():
        if month.to_ms + years * 366 * store.DAY_MS <= now_ms:
            with store.transaction() as cursor:
                cursor.execute(store.adapt("DELETE FROM telemetry_archive WHERE month = ?"), (month.key,))
            (folder() / month.file).unlink(missing_ok=True)
            gone.append(month.key)
    return gone


def _remove_old_files() -> None:
    """Remove what no month refers to: left by a run that was killed, or replaced a day ago."""
    known = {month.file for month in list_months()}
    for path in folder().glob("*"):
        if path.is_file() and path.name not in known | {".lock"}:
            age_s = time.time() - path.stat().st_mtime
            if path.suffix == ".tmp" or age_s > _KEEP_OLD_FILES_S:
                path.unlink(missing_ok=True)


@contextmanager
def _alone() -> Iterator[None]:
    """Let one run at a time work on the archive."""
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ArchiveFailed("Một lần lưu trữ khác đang chạy. Đợi nó xong rồi chạy lại.") from None
        yield
