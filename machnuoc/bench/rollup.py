"""Hours from readings, charts, latest readings and the archive, each against a query written by hand for it."""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import numpy as np

from machnuoc.bench import common
from machnuoc.bench.common import Result

LAST_DAY = date(2026, 10, 1)  # everything measured lies before it
RATIO_LIMIT = 3.0
LIMIT_BYTES = 4.0
_LATEST_FROM = 1_000_000  # ids of channels that have only a few readings each
_AT_ONCE = 50_000  # hours in one transaction, when a whole past is made up


@dataclass(frozen=True)
class Size:
    """channels × days of readings every interval_s; latest: channels whose latest reading is asked for."""

    channels: int
    days: int
    interval_s: int
    latest: int


SIZES = {"full": Size(1000, 90, 300, 10_000), "small": Size(20, 10, 300, 200)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--database",
        choices=[*common.DATABASES, "both"],
        default="both",
        help="cơ sở dữ liệu để đo (mặc định: both, đo cả hai)",
    )
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Return the report. --size: small, full (1,000 channels × 90 days of 5 minutes) or channels=100,days=30."""
    if not args.here:
        return common.run_on_each("rollup", args.size, args.database)
    size = common.read_size(args.size, SIZES)
    from machnuoc.config import process

    process.migrate()
    return measure(size)


def measure(size: Size) -> dict[str, Any]:
    """Fill the empty database that Django is connected to and measure on it; return the report."""
    from machnuoc.telemetry import store

    on = "postgresql" if store.is_postgresql() else "sqlite"
    channels = make_channels(size)
    begun_s = time.perf_counter()
    rows = fill(size, channels)
    fill_s = time.perf_counter() - begun_s
    results = [
        Result(f"fill_rows_per_s_{on}", rows / fill_s, "1/s", note="nạp số đo mẫu, không phải phép đo"),
        *_hourly(size, channels, on),
        *_chart(size, channels, on),
        *_latest(size, on),
        *_archived(size, channels, rows, on),
    ]
    return common.report("rollup", {**asdict(size), "readings": rows}, results)


def _end_ms() -> int:
    from machnuoc.telemetry.channel_terms import day_ms

    return day_ms(LAST_DAY)


def _now_ms() -> int:
    from machnuoc.telemetry import store

    return _end_ms() + 2 * store.DAY_MS


# --- what is measured on ----------------------------------------------------------------------------------------


def make_channels(size: Size) -> list[int]:
    """Make a work, a device and its channels; the last one sends every minute. Returns their ids."""
    from machnuoc.places.models import Subject
    from machnuoc.telemetry.models import Channel, Device
    from machnuoc.works.models import Work

    subject = Subject.objects.create(key="bench.tram", kind=Subject.Kind.WORK, name="Trạm đo tốc độ")
    work = Work.objects.create(subject=subject, kind=Work.Kind.STATION, sector=Work.Sector.RURAL)
    device = Device.objects.create(
        code="bench", name="Bộ ghi đo tốc độ", kind=Device.Kind.LOGGER, protocol=Device.Protocol.MQTT, work=work,
        is_simulated=True, installed_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    made = Channel.objects.bulk_create(
        [
            Channel(
                device=device, key=f"c{number}", name=f"Kênh {number}", quantity="pressure", sent_unit="mH2O", low=-10,
                high=250, expected_interval_s=60 if number == size.channels else size.interval_s,
            )
            for number in range(size.channels + 1)
        ]
    )  # fmt: skip
    return [channel.pk for channel in made]


def fill(size: Size, channels: list[int]) -> int:
    """Store readings as sensors give them: a daily wave, noise of a few hundredths, two decimals. Returns how many."""
    from machnuoc.telemetry import store

    end = _end_ms()
    chance = np.random.default_rng(20261001)
    with store.transaction() as cursor:
        store.ensure_months(cursor, end - max(size.days, 30) * store.DAY_MS, end)
    rows = 0
    for place, channel in enumerate(channels):
        interval_ms, days = (60_000, 30) if place == len(channels) - 1 else (size.interval_s * 1000, size.days)
        at = np.arange(end - days * store.DAY_MS, end, interval_ms, dtype=np.int64)
        wave = 25 + place % 10 + 3 * np.sin(2 * np.pi * (at % store.DAY_MS) / store.DAY_MS)
        rows += _insert(channel, at, np.round(wave + chance.normal(0, 0.05, len(at)), 2))
    few = np.arange(end - 20 * 300_000, end, 300_000, dtype=np.int64)
    for first in range(0, size.latest, 500):
        ids = np.arange(_LATEST_FROM + first, _LATEST_FROM + min(first + 500, size.latest))
        value = np.round(20 + chance.normal(0, 0.1, 20 * len(ids)), 2)
        rows += _insert(np.repeat(ids, 20), np.tile(few, len(ids)), value)
    _tidy()
    return rows


def _insert(channel: Any, at: Any, value: Any) -> int:
    """Store readings, arrays of shape (n,) or one channel for all, in one transaction."""
    from machnuoc.telemetry import store

    rows = zip(np.broadcast_to(channel, at.shape).tolist(), at.tolist(), value.tolist(), strict=True)
    with store.transaction() as cursor:
        if store.is_postgresql():
            with cursor.copy("COPY telemetry_reading FROM STDIN") as copy:
                copy.write("".join(f"{one}\t{instant}\t{reading!r}\t0\n" for one, instant, reading in rows))
        else:
            cursor.executemany("INSERT INTO telemetry_reading VALUES (?, ?, ?, 0)", rows)
    return len(at)


def _tidy() -> None:
    from machnuoc.telemetry import store

    connection = store.connect()
    if store.is_postgresql():
        connection.execute("VACUUM ANALYZE telemetry_reading")
        connection.execute("CHECKPOINT")
    else:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _repeat(ours: Callable[[], Any], peer: Callable[[], Any], times: int = common.REPETITIONS) -> tuple[float, float]:
    """Return the median seconds of both, in turns."""
    ours_s, peer_s = [], []
    for _ in range(times):
        peer_s.append(common.seconds(peer))
        ours_s.append(common.seconds(ours))
    return common.median(ours_s), common.median(peer_s)


# --- hours ------------------------------------------------------------------------------------------------------

_PEER_TABLE = """
CREATE TABLE bench_hour (channel integer NOT NULL, hour bigint NOT NULL, readings integer, low double precision,
    total double precision, high double precision, last double precision, last_at bigint, PRIMARY KEY (channel, hour))
"""
_PEER = """
INSERT INTO bench_hour
SELECT g.channel, g.hour, g.readings, g.low, g.total, g.high, l.value, g.last_at
FROM (
    SELECT channel, at / 3600000 * 3600000 AS hour, count(*) AS readings, min(value) AS low, sum(value) AS total,
        max(value) AS high, max(at) AS last_at
    FROM telemetry_reading WHERE channel < 1000000 GROUP BY channel, at / 3600000
) g JOIN telemetry_reading l ON l.channel = g.channel AND l.at = g.last_at
"""


def _hourly(size: Size, channels: list[int], on: str) -> Iterator[Result]:
    """Make every hour up from its readings; what ingest does beforehand, marking the hours, is not counted."""
    from machnuoc.telemetry import rollups, store

    with store.transaction() as cursor:
        cursor.execute(_PEER_TABLE)

    def ours() -> None:
        while rollups.roll_hours(_now_ms(), _AT_ONCE):
            pass

    def peer() -> None:
        with store.transaction() as cursor:
            cursor.execute(_PEER)

    def mark() -> None:
        with store.transaction() as cursor:
            cursor.execute("DELETE FROM telemetry_rollup_hour")
            cursor.execute("DELETE FROM telemetry_dirty_day")
            cursor.execute("DELETE FROM bench_hour")
            cursor.execute(
                "INSERT INTO telemetry_dirty_hour (channel, hour) SELECT DISTINCT channel, at / 3600000 * 3600000 "
                "FROM telemetry_reading WHERE channel < 1000000"
            )
        _tidy()

    ours_s, peer_s = [], []
    for _ in range(common.REPETITIONS if size.channels <= 100 else 1):
        mark()
        peer_s.append(common.seconds(peer))
        ours_s.append(common.seconds(ours))
    columns = "channel, hour, readings, low, high, last, last_at"
    same = "SELECT count(*) FROM (SELECT {0} FROM telemetry_rollup_hour EXCEPT SELECT {0} FROM bench_hour) d"
    if store.query(same.format(columns))[0][0] or not store.query("SELECT count(*) FROM telemetry_rollup_hour")[0][0]:
        raise common.BenchFailed(f"{on}: chương trình và câu SQL cho kết quả giờ khác nhau.")
    hours = store.query("SELECT count(*) FROM telemetry_rollup_hour")[0][0]
    time_s, peer_time_s = common.median(ours_s), common.median(peer_s)
    yield Result(
        f"hourly_90d_{on}", time_s, "s", "một câu SQL viết tay: cùng dòng vào, không giới hạn, không đánh dấu ngày",
        time_s / peer_time_s, RATIO_LIMIT, note=f"{hours} giờ",
    )  # fmt: skip
    yield Result(f"hourly_90d_peer_{on}", peer_time_s, "s")
    begun_s = time.perf_counter()
    while rollups.roll_days(_now_ms(), _AT_ONCE)[1]:
        with store.transaction() as cursor:
            cursor.execute("DELETE FROM telemetry_dirty_day")
    yield Result(f"daily_90d_{on}", time.perf_counter() - begun_s, "s")


# --- charts and latest ------------------------------------------------------------------------------------------


def _chart(size: Size, channels: list[int], on: str) -> Iterator[Result]:
    """One channel, 30 days of minutes, to the JSON of a chart."""
    from machnuoc.telemetry import history, store

    channel, end = channels[-1], _end_ms()
    start = end - 30 * store.DAY_MS

    def ours() -> str:
        return json.dumps(history.read(channel, start, end).as_data())

    def peer() -> str:
        bucket = history.step_ms(30 * store.DAY_MS, history.POINTS - 1)
        rows = store.query(
            f"SELECT at / {bucket} * {bucket}, avg(value), min(value), max(value) FROM telemetry_reading "  # noqa: S608
            f"WHERE channel = ? AND at >= ? AND at < ? GROUP BY at / {bucket} ORDER BY 1",
            [channel, start, end],
        )
        return json.dumps(rows)

    ours()
    time_s, peer_s = _repeat(ours, peer, 15)
    yield Result(
        f"chart_30d_{on}", time_s * 1000, "ms", "một câu SQL viết tay, cùng số điểm, không khoảng trống",
        time_s / peer_s, RATIO_LIMIT, note=f"{30 * 1440} số đo",
    )  # fmt: skip


def _latest(size: Size, on: str) -> Iterator[Result]:
    from machnuoc.telemetry import store

    ids = list(range(_LATEST_FROM, _LATEST_FROM + size.latest))

    def peer() -> int:
        if store.is_postgresql():
            return len(
                store.query(
                    "SELECT DISTINCT ON (channel) channel, at, value, quality FROM telemetry_reading "
                    "WHERE channel >= 1000000 ORDER BY channel, at DESC"
                )
            )
        return len(
            store.query(
                "SELECT channel, max(at), value, quality FROM telemetry_reading WHERE channel >= 1000000 "
                "GROUP BY channel"
            )
        )

    if len(store.latest(ids)) != peer():
        raise common.BenchFailed(f"{on}: số đo mới nhất thiếu kênh.")
    time_s, peer_s = _repeat(partial(store.latest, ids), peer, 7)
    yield Result(
        f"latest_10k_{on}", time_s * 1000, "ms", "một câu SQL viết tay", time_s / peer_s, RATIO_LIMIT,
        note=f"{size.latest} kênh, mỗi kênh 20 số đo: câu SQL đọc hết các dòng, chương trình chỉ đọc dòng cuối",
    )  # fmt: skip


# --- the archive ------------------------------------------------------------------------------------------------


def _archived(size: Size, channels: list[int], rows: int, on: str) -> Iterator[Result]:
    """Archive everything, then make the same hours up from the files."""
    import duckdb

    from machnuoc.telemetry import archive, store
    from machnuoc.telemetry.channel_terms import NO_LIMIT
    from machnuoc.telemetry.store import Readings

    begun_s = time.perf_counter()
    done = archive.archive_closed(_now_ms(), keep_days=0)
    archive_s = time.perf_counter() - begun_s
    stored, size_bytes = sum(month.readings for month in done), sum(month.bytes for month in done)
    if stored != rows or store.query("SELECT count(*) FROM telemetry_reading")[0][0]:
        raise common.BenchFailed(f"{on}: lưu trữ {stored} trong {rows} số đo.")
    problems = archive.verify()
    if problems:
        raise common.BenchFailed(problems[0])
    yield Result(
        f"archive_bytes_per_reading_{on}", size_bytes / stored, "byte", f"giới hạn {LIMIT_BYTES:g} byte",
        size_bytes / stored / LIMIT_BYTES, 1.0,
    )  # fmt: skip
    yield Result(f"archive_rows_per_s_{on}", stored / archive_s, "1/s", note="ghi, đọc lại, so từng dòng, dọn")
    end = _end_ms()
    start = end - size.days * store.DAY_MS
    expected = store.HOUR_MS / (size.interval_s * 1000)
    runs = [(channel, start, end, expected, 0, -NO_LIMIT, NO_LIMIT, 0) for channel in channels[:-1]]
    none = np.empty(0, np.int64)
    nothing = Readings(none, none, np.empty(0), none)
    files = [str(archive.folder() / month.file) for month in archive.list_months()]
    bare = duckdb.connect(config={"threads": 2})
    minute = channels[-1]

    def peer() -> Any:
        return bare.execute(
            'SELECT channel, "at" // 3600000 * 3600000 AS hour, count(*) AS readings, min(value) AS low, '  # noqa: S608
            'sum(value) AS total, max(value) AS high, arg_max(value, "at") AS last, max("at") AS last_at '
            f"FROM read_parquet(?) WHERE channel < {minute} GROUP BY ALL",
            [files],
        ).fetchnumpy()

    def ours() -> Any:
        return archive.hours(runs, nothing)

    if len(ours()["hour"]) != len(peer()["hour"]):
        raise common.BenchFailed(f"{on}: kho lưu trữ cho số giờ khác câu viết tay.")
    time_s, peer_s = _repeat(ours, peer)
    yield Result(
        f"archive_90d_{on}", time_s, "s", "DuckDB trên tệp Parquet, câu viết tay", time_s / peer_s, RATIO_LIMIT
    )
