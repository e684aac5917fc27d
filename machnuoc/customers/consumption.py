"""From what meters stood at to the water that was used. Volumes and indices in whole litres.

A volume is never negative: what no roll-over and no change of meter explains raises `Unexplained`.
The written rules stand in docs/algorithms/readings.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

LITRES_A_M3 = 1000


class Unexplained(ValueError):
    """An index lower than the one before, or another meter without the readings of the change.

    reading_id: the reading that cannot be explained.
    """

    def __init__(self, text: str, reading_id: int) -> None:
        super().__init__(text)
        self.reading_id = reading_id


@dataclass(frozen=True)
class Point:
    """One accepted reading, or one end of a fitting.

    meter: any number that is another for another meter. capacity_l: where the meter begins again at zero.
    rolled_over: a person confirmed that it did since the reading before. begins: the first index of a meter just hung.
    period_start_date: the month that the reading closes, if it closes one.
    """

    reading_id: int
    on_date: date
    index_l: int
    meter: int
    capacity_l: int
    rolled_over: bool = False
    is_estimated: bool = False
    begins: bool = False
    period_start_date: date | None = None


@dataclass(frozen=True)
class Part:
    """The share of a span that fell into one month: what was estimated for it, and what it truly was.

    estimated_l None: the month that the real reading closes, for which nothing was estimated.
    """

    period_start_date: date | None
    from_date: date
    to_date: date
    estimated_l: int | None
    volume_l: int

    @property
    def difference_l(self) -> int:
        """What the bill of the month lacks (or, below zero, has too much)."""
        return 0 if self.estimated_l is None else self.volume_l - self.estimated_l


def capacity_l(digits: int) -> int:
    """Return the litres at which a meter of so many digits of m3 begins again.

    >>> capacity_l(5)
    100000000
    """
    return int(10**digits) * LITRES_A_M3


def leg_l(before: Point, after: Point, *, rolled_over: bool | None = None) -> int:
    """Return the litres between two readings of one meter.

    rolled_over: whether it went through zero in between; by default what the later reading says.
    After an estimate that was too high a meter may stand lower: then nothing was used since, and what was estimated too
    much is given back by the true-up of the next real reading that closes a month.
    Raises Unexplained if the index went back without that.
    """
    if before.meter != after.meter:
        raise Unexplained("another meter, and no reading of the change", after.reading_id)
    if before.is_estimated:
        forward_l = (after.index_l - before.index_l) % before.capacity_l
        return forward_l if 2 * forward_l <= before.capacity_l else 0
    if after.index_l >= before.index_l:
        return after.index_l - before.index_l
    if after.rolled_over if rolled_over is None else rolled_over:
        return after.index_l + before.capacity_l - before.index_l
    raise Unexplained("the index went back", after.reading_id)


def span_l(points: Sequence[Point]) -> int:
    """Return the litres from the first reading to the last, over changes of the meter.

    points: in the order of time; of a change the last of the old meter comes before the first of the new one
    (`begins`). Estimates between real readings count for nothing but for their roll-overs; the ends always count.
    Raises Unexplained.
    """
    total = 0
    before: Point | None = None
    rolled = False
    for number, point in enumerate(points):
        rolled = rolled or point.rolled_over
        is_end = number in (0, len(points) - 1)
        if point.is_estimated and not is_end:
            continue
        if before is not None and not point.begins:
            total += leg_l(before, point, rolled_over=rolled)
        before, rolled = point, False
    return total


def split_l(volume_l: int, days: Sequence[int]) -> list[int]:
    """Return the volume shared out by days, in whole litres that add up: cumulative shares rounded half up.

    Without any day all of it is the last part's.

    >>> split_l(10_000, [10, 10, 10])
    [3333, 3334, 3333]
    """
    if not days:
        return []
    whole = sum(days)
    if whole <= 0:
        return [0] * (len(days) - 1) + [volume_l]
    parts, passed, given = [], 0, 0
    for count in days:
        passed += count
        due = (2 * volume_l * passed + whole) // (2 * whole)
        parts.append(due - given)
        given = due
    return parts


def true_up(points: Sequence[Point]) -> list[Part]:
    """Return what a real reading after estimates makes of each month since the last real one.

    points: the last real reading, the estimates since (each closes a month), readings of a change of meter, and the
    real reading, in the order of time. The whole span is shared out by days, so that the parts add up to it; each part
    says what had been estimated for its month, and the difference belongs to that month at that month's price.
    The last part is the month of the real reading. Raises Unexplained.
    """
    ends = [0] + [n for n, point in enumerate(points) if point.is_estimated and 0 < n < len(points) - 1]
    ends.append(len(points) - 1)
    spans = list(pairwise(ends))
    days = [(points[b].on_date - points[a].on_date).days for a, b in spans]
    volumes = split_l(span_l(points), days)
    parts = []
    for (first, last), volume in zip(spans, volumes, strict=True):
        is_last = last == len(points) - 1
        parts.append(
            Part(
                points[last].period_start_date,
                points[first].on_date,
                points[last].on_date,
                None if is_last else span_l(points[first : last + 1]),
                volume,
            )
        )
    return parts


def mean_daily(points: Sequence[Point], *, spans: int = 3, shortest_days: int = 5) -> tuple[int, int] | None:
    """Return (litres, days) of the last spans between real readings, at most so many; None if there is none.

    Spans of less than shortest_days, and those that cannot be explained, are left out.
    """
    litres, days, taken = 0, 0, 0
    real = [point for point in points if not point.is_estimated]
    for before, after in zip(reversed(real[:-1]), reversed(real[1:]), strict=True):
        if taken == spans:
            break
        length = (after.on_date - before.on_date).days
        if length < shortest_days or after.begins or before.meter != after.meter:
            continue
        try:
            litres += leg_l(before, after)
        except Unexplained:
            continue
        days += length
        taken += 1
    return (litres, days) if taken else None


def estimate_l(mean: tuple[int, int], days: int, *, whole_m3: bool) -> int:
    """Return the mean daily use × days, rounded half up: to whole m3 for a meter read so, else to litres.

    >>> estimate_l((30_000, 30), 31, whole_m3=True)
    31000
    """
    litres, of_days = mean
    unit = LITRES_A_M3 if whole_m3 else 1
    return (2 * litres * max(days, 0) + of_days * unit) // (2 * of_days * unit) * unit
