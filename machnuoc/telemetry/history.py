"""What a channel measured over a span, from minutes to years: one function for charts, one for every single reading.

Hot rows, archive and rollups are read together: a hot row stands before an archived one of the same instant. What is
shown says whether it is readings or rollups; a bucket keeps its lowest and highest reading, so that no peak is
smoothed away; a pause longer than three expected intervals is a gap, not a line.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from machnuoc.telemetry import archive, channel_terms, store
from machnuoc.telemetry.channel_terms import Terms
from machnuoc.telemetry.quantities import ChannelKind
from machnuoc.telemetry.store import DAY_MS, HOUR_MS, OUT_OF_RANGE, Floats, Ints, Readings

POINTS = 720
MOST_READINGS = 200_000  # of a longer span rollups are read
HOURS_UP_TO_MS = 400 * DAY_MS  # of a longer one those of days

# A point stands for a step that people count in; of a day and more they begin at local midnight.
_SECOND, _MINUTE = 1_000, 60_000
STEPS_MS = (
    1, 2, 5, 10, 20, 50, 100, 200, 500,
    *(count * _SECOND for count in (1, 2, 5, 10, 15, 30)), *(count * _MINUTE for count in (1, 2, 5, 10, 15, 30)),
    *(count * HOUR_MS for count in (1, 2, 3, 6, 12)), *(count * DAY_MS for count in (1, 2, 5, 10, 15, 30, 60, 90, 180)),
)  # fmt: skip
_LOCAL_MS = 7 * HOUR_MS  # Việt Nam has no summer time

_SOURCES = {
    "hour": ("telemetry_rollup_hour", "hour", HOUR_MS),
    "day": ("telemetry_rollup_day", "day", DAY_MS),
}


@dataclass(frozen=True, eq=False, slots=True)
class Series:
    """A channel for a chart: arrays of shape (n,), by time. NaN in value, low and high is a gap.

    at: ms UTC, start of the bucket, or the instant of the reading where every one is shown. value: mean (of a counter
    the last) in the stored unit; low, high: the least and greatest of the bucket. volume: what flowed in it, of
    counters and flows read from rollups, else None. source: "raw", "hour" or "day". gaps: (from, to), ms UTC.
    bucket_ms: 0 where every reading is shown. readings: how many it was made of; left_out: how many could not be true.
    """

    channel: int
    from_ms: int
    to_ms: int
    at: Ints
    value: Floats
    low: Floats
    high: Floats
    volume: Floats | None
    source: str
    bucket_ms: int
    gaps: tuple[tuple[int, int], ...]
    readings: int
    left_out: int

    @property
    def is_rollup(self) -> bool:
        return self.source != "raw"

    def as_data(self, decimals: int = 3) -> dict[str, Any]:
        """Return plain data for JSON: numbers rounded, None for a gap."""
        columns = {"value": self.value, "low": self.low, "high": self.high}
        if self.volume is not None:
            columns["volume"] = self.volume
        plain = {}
        for name, column in columns.items():
            rounded = np.round(column, decimals).astype(object)
            rounded[np.isnan(column)] = None
            plain[name] = rounded.tolist()
        return {
            "channel": self.channel, "from": self.from_ms, "to": self.to_ms, "at": self.at.tolist(), **plain,
            "source": self.source, "is_rollup": self.is_rollup, "bucket_ms": self.bucket_ms,
            "gaps": [list(gap) for gap in self.gaps], "readings": self.readings, "left_out": self.left_out,
        }  # fmt: skip


def step_ms(span_ms: int, points: int, least_ms: int = 1) -> int:
    """Return the shortest step of STEPS_MS, not under least_ms, of which no more than so many cover the span.

    >>> step_ms(24 * 3_600_000, 100) // 60_000, step_ms(24 * 3_600_000, 1_800) // 60_000
    (15, 1)
    """
    wanted = max(least_ms, -(-span_ms // points))
    return next((step for step in STEPS_MS if step >= wanted), -(-wanted // STEPS_MS[-1]) * STEPS_MS[-1])


def read_raw(channel: int, from_ms: int, to_ms: int) -> Readings:
    """Return every reading of one channel in [from_ms, to_ms), hot or archived, by time."""
    hot = store.read_hot(channel, from_ms, to_ms)
    months = [month for month in archive.list_months() if month.from_ms < to_ms and month.to_ms > from_ms]
    return archive.merge(hot, archive.read(channel, from_ms, to_ms, months)) if months else hot


def instants_before(channel: int, at_ms: int, count: int) -> list[int]:
    """Return the instants of the readings nearest before one, latest first; out-of-range readings are not counted."""
    return _instants(channel, at_ms, count, before=True)


def instants_from(channel: int, at_ms: int, count: int) -> list[int]:
    """Return the instants of the readings from one on, earliest first; out-of-range readings are not counted."""
    return _instants(channel, at_ms, count, before=False)


def _instants(channel: int, at_ms: int, count: int, *, before: bool) -> list[int]:
    sign, order = ("<", "DESC") if before else (">=", "ASC")
    rows = store.query(
        f"SELECT at FROM telemetry_reading WHERE channel = ? AND at {sign} ? AND (quality & {OUT_OF_RANGE}) = 0 "  # noqa: S608
        f"ORDER BY at {order} LIMIT ?",
        [channel, at_ms, count],
    )
    found = [row[0] for row in rows]
    months = [m for m in archive.list_months() if (m.from_ms < at_ms if before else m.to_ms > at_ms)]
    if len(found) == count and before:  # the archive is asked only for what may lie nearer
        months = [month for month in months if month.to_ms > found[-1]]
    elif len(found) == count:
        months = [month for month in months if month.from_ms <= found[-1]]
    if months:
        archived = archive.instants(channel, at_ms, count, before=before, months=months)
        found = sorted({*found, *archived}, reverse=before)[:count]
    return found


def read(
    channel: int,
    from_ms: int,
    to_ms: int,
    points: int = POINTS,
    *,
    source: str = "",
    terms: Terms | None = None,
) -> Series:
    """Return one channel over [from_ms, to_ms) in about so many points.

    source: "raw", "hour" or "day" to insist on one; otherwise by the length of the span. Raises KeyError for a channel
    that does not exist, ValueError for a span that ends before it begins.
    """
    if to_ms <= from_ms:
        raise ValueError("a span ends after it begins")
    terms = terms or channel_terms.load([channel])[channel]
    points = max(10, points)
    source = source or _choose(terms, from_ms, to_ms)
    if source == "raw":
        return _of_readings(terms, from_ms, to_ms, points)
    return _of_rollups(terms, from_ms, to_ms, points, source)


def _choose(terms: Terms, from_ms: int, to_ms: int) -> str:
    span_ms = to_ms - from_ms
    if span_ms / terms.interval_ms <= MOST_READINGS and span_ms <= 62 * DAY_MS:
        return "raw"
    return "hour" if span_ms <= HOURS_UP_TO_MS else "day"


def _of_readings(terms: Terms, from_ms: int, to_ms: int, points: int) -> Series:
    if (to_ms - from_ms) / terms.interval_ms > 4 * points and terms.kind != ChannelKind.TOTAL:
        summed = _of_many_readings(terms, from_ms, to_ms, points)
        if summed is not None:
            return summed
    found = read_raw(terms.channel, from_ms, to_ms)
    true = (found.quality & OUT_OF_RANGE) == 0
    at, value = found.at[true], found.value[true]
    left_out = len(found) - len(at)
    gaps = _gaps(at, terms.gap_ms)
    if len(at) <= points:
        shown_at, shown = _with_gaps(at, (value, value, value), gaps)
        return Series(
            terms.channel,
            from_ms,
            to_ms,
            shown_at,
            shown[0],
            shown[1],
            shown[2],
            None,
            "raw",
            0,
            tuple(gaps),
            len(found),
            left_out,
        )
    bucket_ms = step_ms(to_ms - from_ms, points - 1)  # one more, as the first and the last are cut
    number = (at + _LOCAL_MS) // bucket_ms
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    low, high = np.minimum.reduceat(value, starts), np.maximum.reduceat(value, starts)
    if terms.kind == ChannelKind.TOTAL:
        ends = np.append(starts[1:], len(value)) - 1
        middle = value[ends]
    else:
        middle = np.add.reduceat(value, starts) / np.diff(np.append(starts, len(value)))
    begins = np.maximum(number[starts] * bucket_ms - _LOCAL_MS, from_ms)
    shown_at, shown = _with_gaps(begins, (middle, low, high), gaps)
    return Series(
        terms.channel,
        from_ms,
        to_ms,
        shown_at,
        shown[0],
        shown[1],
        shown[2],
        None,
        "raw",
        bucket_ms,
        tuple(gaps),
        len(found),
        left_out,
    )


def _of_many_readings(terms: Terms, from_ms: int, to_ms: int, points: int) -> Series | None:
    """Return the same as _of_readings, summed up inside the database; None where that cannot be done.

    A pause between two buckets is measured exactly; buckets with fewer readings than their span calls for are read.
    """
    if any(month.from_ms < to_ms and month.to_ms > from_ms for month in archive.list_months()):
        return None
    bucket_ms = step_ms(to_ms - from_ms, points - 1)
    number = f"(at + {_LOCAL_MS}) / {bucket_ms}"
    true = f"CASE WHEN (quality & {OUT_OF_RANGE}) = 0 THEN"
    rows = store.query(
        f"SELECT {number}, avg({true} value END), min({true} value END), max({true} value END), count({true} 1 END), "  # noqa: S608
        f"min({true} at END), max({true} at END), count(*) FROM telemetry_reading "
        f"WHERE channel = ? AND at >= ? AND at < ? GROUP BY {number} ORDER BY 1",
        [terms.channel, from_ms, to_ms],
    )
    total, count = sum(row[7] for row in rows), sum(row[4] for row in rows)
    known = [row for row in rows if row[4]]
    if count <= points:
        return None
    columns = np.array(known, np.float64)
    place, first, last = (np.array([row[at] for row in known], np.int64) for at in (0, 5, 6))
    gaps = [
        (int(last[row]), int(first[row + 1])) for row in np.flatnonzero(first[1:] - last[:-1] > terms.gap_ms).tolist()
    ]
    sparse = np.flatnonzero(columns[:, 4] < (last - first) / terms.interval_ms - 1)
    if len(sparse) > len(known) // 10:
        return None
    for row in sparse.tolist():
        inside = store.read_hot(terms.channel, int(first[row]), int(last[row]) + 1)
        gaps += _gaps(inside.at[(inside.quality & OUT_OF_RANGE) == 0], terms.gap_ms)
    gaps.sort()
    begins = np.maximum(place * bucket_ms - _LOCAL_MS, from_ms)
    shown_at, shown = _with_gaps(begins, (columns[:, 1], columns[:, 2], columns[:, 3]), gaps)
    return Series(
        terms.channel, from_ms, to_ms, shown_at, shown[0], shown[1], shown[2], None, "raw", bucket_ms, tuple(gaps),
        total, total - count,
    )  # fmt: skip


def _of_rollups(terms: Terms, from_ms: int, to_ms: int, points: int, source: str) -> Series:
    table, column, size_ms = _SOURCES[source]
    rows = store.query(
        f"SELECT {column}, readings, low, total, high, last, volume, out_of_range FROM {table} "  # noqa: S608
        f"WHERE channel = ? AND {column} >= ? AND {column} < ? ORDER BY {column}",
        [terms.channel, (store.local_day(from_ms) if source == "day" else from_ms // HOUR_MS * HOUR_MS), to_ms],
    )
    columns = np.array([[np.nan if cell is None else cell for cell in row] for row in rows], float).reshape(-1, 8)
    at = columns[:, 0].astype(np.int64)
    readings, out = columns[:, 1], columns[:, 7]
    true = readings - out
    known = true > 0
    has_volume = terms.kind == ChannelKind.TOTAL or terms.quantity == "flow"
    bucket_ms = step_ms(to_ms - from_ms, max(1, points - 1), size_ms)
    gaps = _gaps(at[known], max(size_ms, terms.gap_ms), width_ms=size_ms)
    number = (at + _LOCAL_MS) // bucket_ms
    starts = np.flatnonzero(np.diff(number, prepend=-(2**62)))
    if not len(starts):
        empty = np.empty(0)
        return Series(
            terms.channel, from_ms, to_ms, at, empty, empty, empty, empty if has_volume else None, source,
            bucket_ms, (), 0, 0,
        )  # fmt: skip
    low = np.fmin.reduceat(columns[:, 2], starts)
    high = np.fmax.reduceat(columns[:, 4], starts)
    count = np.add.reduceat(true, starts)
    if terms.kind == ChannelKind.TOTAL:
        middle = high
    else:
        total = np.add.reduceat(columns[:, 3], starts)
        middle = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    volume = None
    if has_volume:
        present = np.add.reduceat((~np.isnan(columns[:, 6])).astype(float), starts)
        volume = np.add.reduceat(np.nan_to_num(columns[:, 6]), starts)
        volume = np.where(present > 0, volume, np.nan)
    parts = (middle, low, high) if volume is None else (middle, low, high, volume)
    shown_at, shown = _with_gaps(at[starts], parts, gaps)
    return Series(
        terms.channel, from_ms, to_ms, shown_at, shown[0], shown[1], shown[2], shown[3] if has_volume else None, source,
        bucket_ms, tuple(gaps), int(readings.sum()), int(out.sum()),
    )  # fmt: skip


def _gaps(at: Ints, longest_ms: int, width_ms: int = 0) -> list[tuple[int, int]]:
    """Return the pauses longer than allowed between what begins at these instants and is so wide."""
    where = np.flatnonzero(np.diff(at) - width_ms > max(longest_ms - width_ms, 0))
    return [(int(at[row]) + width_ms, int(at[row + 1])) for row in where]


def _with_gaps(
    at: Ints, columns: tuple[Floats, ...], gaps: Sequence[tuple[int, int]]
) -> tuple[Ints, tuple[Floats, ...]]:
    """Return the columns with a row of NaN in the middle of each gap."""
    if not gaps:
        return at, columns
    middle = np.array([(start + end) // 2 for start, end in gaps], np.int64)
    places = np.searchsorted(at, middle)
    return np.insert(at, places, middle), tuple(np.insert(column, places, np.nan) for column in columns)


def export_rows(channels: Sequence[int], from_ms: int, to_ms: int) -> Iterator[tuple[int, int, float, int]]:
    """Give (channel, at, value, quality) of every reading, channel by channel and a month at a time in memory."""
    for channel in channels:
        for _, start, end in store.local_months(from_ms, to_ms - 1):
            found = read_raw(channel, max(start, from_ms), min(end, to_ms))
            yield from zip(
                found.channel.tolist(), found.at.tolist(), found.value.tolist(), found.quality.tolist(), strict=True
            )
