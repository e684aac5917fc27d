"""What happened to a counter, for people to see: each step that is not plain, its verdict, and who overruled it.

The verdicts are made from the readings here, by the same rule that makes the volumes (totalisers.read_steps). Where to
look is known from the rollups (an hour in which fewer readings were measured than arrived holds a step of that kind, or
a pause) and from the decisions themselves: a step that a person calls plain leaves no trace in its hour.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from machnuoc.core import units
from machnuoc.core.periods import LOCAL_ZONE
from machnuoc.core.vietnamese import format_number
from machnuoc.telemetry import channel_terms, history, store, totalisers
from machnuoc.telemetry.history import Series
from machnuoc.telemetry.models import Channel, TotaliserMark
from machnuoc.telemetry.quantities import QUANTITIES, ChannelKind
from machnuoc.telemetry.store import DAY_MS, HOUR_MS, OUT_OF_RANGE
from machnuoc.telemetry.totalisers import Event, Steps, What

MOST = 50
_HOURS_MOST = 2_000
_SPAN_MOST_MS = 31 * DAY_MS  # read at once
_MINUTE = timedelta(minutes=1)
_LEVELS = {What.RESET, What.ROLLOVER, What.SWAP}  # the counter goes on from another number


@dataclass(frozen=True)
class CounterStep:
    """A step of a counter that is not plain. before: the reading in front of it, (ms UTC, value). values: stored unit.

    mark: the decision of a person, if there is one; ruled: what the rule says without it, "" where nobody decided.
    """

    channel: Channel
    at_ms: int
    value: float
    before: tuple[int, float] | None
    what: str
    volume: float
    reverse: float
    is_lost: bool
    rule: str
    confidence: str
    mark: TotaliserMark | None = None
    ruled: str = ""

    @property
    def at(self) -> datetime:
        return _moment(self.at_ms)

    @property
    def label(self) -> str:
        return str(TotaliserMark.What(self.what).label)

    @property
    def is_new_level(self) -> bool:
        return self.what in _LEVELS or (self.what == What.JUMP and self.is_lost)

    @property
    def when(self) -> str:
        return f"{self.at:%H:%M:%S %d/%m/%Y}"

    @property
    def before_when(self) -> str:
        return "" if self.before is None else f"{_moment(self.before[0]):%H:%M:%S %d/%m/%Y}"

    @property
    def readings(self) -> str:
        """Say the two readings: «1.000,0 → 5,0 m³»."""
        first = "" if self.before is None else f"{self._number(self.before[1])} → "
        return f"{first}{self._number(self.value)} {self._unit}".strip()

    @property
    def counted(self) -> str:
        """Say the volume that the step counts, and what flowed back."""
        said = f"{self._number(self.volume)} {self._unit}".strip()
        return f"{said}; chảy ngược {self._number(self.reverse)} {self._unit}" if self.reverse else said

    @property
    def short(self) -> str:
        return f"{self.label}: {self.readings}"

    @property
    def sentence(self) -> str:
        """Say everything in one line, for a cell of a table."""
        by = ""
        if self.mark is not None:
            by = f" {self.mark.decided_by.full_name}: {self.mark.reason}."
        return f"{self.short}; tính {self.counted}. {self.rule} ({self.confidence.lower()}){by}"

    @property
    def _unit(self) -> str:
        return units.label(QUANTITIES[self.channel.quantity].unit)

    def _number(self, value: float) -> str:
        return format_number(value, QUANTITIES[self.channel.quantity].decimals)


@dataclass(frozen=True)
class Found:
    """The steps of a span, newest first. is_cut: there are more, earlier ones."""

    rows: Sequence[CounterStep]
    is_cut: bool = False


def is_counter(channel: Channel) -> bool:
    return QUANTITIES[channel.quantity].kind == ChannelKind.TOTAL


def list_steps(channel: Channel, from_ms: int, to_ms: int, *, most: int = MOST) -> Found:
    """Return the steps of a counter that end in [from_ms, to_ms) and are not plain, with what persons decided.

    channel: with its device. Of anything but a counter there are none.
    """
    if not is_counter(channel):
        return Found(())
    hours = _list_hours(channel.pk, from_ms, to_ms)
    rows: list[CounterStep] = []
    for first, end in _spans(hours):
        rows += reversed(_read(channel, max(first, from_ms), min(end, to_ms)))
        if len(rows) > most:
            break
    return Found(tuple(rows[:most]), len(rows) > most or len(hours) == _HOURS_MOST)


def find_step(channel: Channel, at_ms: int) -> CounterStep | None:
    """Return the step that ends at this reading if it is not plain."""
    return next(iter(_read(channel, at_ms, at_ms + 1)), None)


def readings_about(channel: Channel, at: datetime) -> list[tuple[int, float]]:
    """Return the readings, (ms UTC, value), that a person may mean who writes this instant.

    Those of the second if any is there, else those of the minute. Readings out of range have no step.
    """
    minute = at.replace(second=0, microsecond=0)
    begin, end = (channel_terms.to_ms(moment) for moment in (minute, minute + _MINUTE))
    found = history.read_raw(channel.pk, begin, end)
    true = (found.quality & OUT_OF_RANGE) == 0
    rows = list(zip(found.at[true].tolist(), found.value[true].tolist(), strict=True))
    second_ms = channel_terms.to_ms(at.replace(microsecond=0))
    exact = [row for row in rows if at.second and second_ms <= row[0] < second_ms + 1_000]
    return exact or rows


def has_step(channel_id: int, at_ms: int) -> bool:
    """Return whether a step ends at this instant: a believable reading with another before it."""
    found = history.read_raw(channel_id, at_ms, at_ms + 1)
    is_there = len(found) > 0 and not int(found.quality[0]) & OUT_OF_RANGE
    return is_there and bool(history.instants_before(channel_id, at_ms, 1))


def break_line(series: Series, steps: Sequence[CounterStep]) -> Series:
    """Return the series with a gap where a counter goes on from another number: no water fell down that cliff."""
    levels = [step for step in steps if step.is_new_level]
    if not levels or len(series.at) < 2:
        return series
    at, value, low, high = series.at, series.value, series.low.copy(), series.high.copy()
    places = set()
    for step in levels:
        right = int(np.searchsorted(at, step.at_ms, "left"))
        if series.bucket_ms:
            inside = int(np.searchsorted(at, step.at_ms, "right")) - 1
            if inside < 0:
                continue
            low[inside] = high[inside] = value[inside]  # the bucket holds both numbers: its band is no water either
            before = inside == 0 or not value[inside] < value[inside - 1]
            right = inside + 1 if before else inside  # its own number may still be the old one
        if 0 < right < len(at):
            places.add(right)
    where = sorted(places)
    if not where:
        return replace(series, low=low, high=high)
    middle = (at[where] + at[[place - 1 for place in where]]) // 2
    columns = [np.insert(column, where, np.nan) for column in (value, low, high)]
    volume = None if series.volume is None else np.insert(series.volume, where, np.nan)
    return replace(
        series, at=np.insert(at, where, middle), value=columns[0], low=columns[1], high=columns[2], volume=volume
    )


def _list_hours(channel: int, from_ms: int, to_ms: int) -> list[int]:
    """Return the hours, newest first, in which something other than plain steps may end."""
    begin = from_ms // HOUR_MS * HOUR_MS
    rows = store.query(
        "SELECT hour FROM telemetry_rollup_hour WHERE channel = ? AND hour >= ? AND hour < ? "
        "AND within < readings - out_of_range "
        "UNION SELECT hour FROM telemetry_dirty_hour WHERE channel = ? AND hour >= ? AND hour < ? "
        "ORDER BY hour DESC LIMIT ?",
        [channel, begin, to_ms, channel, begin, to_ms, _HOURS_MOST],
    )
    decided = TotaliserMark.objects.filter(channel_id=channel, at__gte=_moment(from_ms), at__lt=_moment(to_ms))
    marked = {channel_terms.to_ms(at) // HOUR_MS * HOUR_MS for at in decided.values_list("at", flat=True)}
    return sorted({int(row[0]) for row in rows} | marked, reverse=True)[:_HOURS_MOST]


def _spans(hours: Sequence[int]) -> list[tuple[int, int]]:
    """Return the hours, newest first, as spans to read at once, newest first."""
    spans: list[list[int]] = []
    for hour in hours:
        is_near = spans and spans[-1][0] - hour <= totalisers.HOLD_MS and spans[-1][1] - hour <= _SPAN_MOST_MS
        if is_near:
            spans[-1][0] = hour
        else:
            spans.append([hour, hour + HOUR_MS])
    return [(first, end) for first, end in spans]


def _read(channel: Channel, from_ms: int, to_ms: int) -> list[CounterStep]:
    """Return the steps that end in the span and are not plain, by time; judged with all that their verdict rests on."""
    earlier = history.instants_before(channel.pk, from_ms - totalisers.HOLD_MS, totalisers.REACH)
    later = history.instants_from(channel.pk, to_ms, totalisers.REACH)
    begin = earlier[-1] if earlier else from_ms - totalisers.HOLD_MS
    end = later[-1] + 1 if later else to_ms
    found = history.read_raw(channel.pk, begin, end)
    true = (found.quality & OUT_OF_RANGE) == 0
    at, value = found.at[true], found.value[true]
    if len(at) < 2:
        return []
    counter = channel_terms.without_limits(channel).counter
    decisions = channel_terms.load_decisions(channel.pk, begin, end)
    steps = totalisers.read_steps(at, value, counter, decisions)
    events = {event.at: event for event in steps.events if from_ms <= event.at < to_ms}
    marks: dict[int, TotaliserMark] = {}
    ruled: dict[int, Event] = {}
    if decisions:
        rows = TotaliserMark.objects.filter(channel=channel, at__gte=_moment(from_ms), at__lt=_moment(to_ms))
        marks = {channel_terms.to_ms(row.at): row for row in rows.select_related("decided_by")}
        ruled = {event.at: event for event in totalisers.read_steps(at, value, counter).events}
    made = []
    for at_ms in sorted({*events, *marks}):
        place = int(np.searchsorted(at, at_ms))
        if place >= len(at) or int(at[place]) != at_ms or place == 0:
            continue  # a decision about a reading that is not there any more
        made.append(_step(channel, (at, value), place, events.get(at_ms), marks.get(at_ms), ruled.get(at_ms), steps))
    return made


def _step(
    channel: Channel, readings: tuple[Any, Any], place: int, event: Event | None, mark: TotaliserMark | None,
    ruled: Event | None, steps: Steps,
) -> CounterStep:  # fmt: skip
    at, value = readings
    at_ms = int(at[place])
    row = int(np.searchsorted(steps.to_at, at_ms))
    has_row = row < len(steps) and int(steps.to_at[row]) == at_ms
    before_ms = int(steps.from_at[row]) if has_row else int(at[place - 1])
    before = (before_ms, float(value[int(np.searchsorted(at, before_ms))]))
    told = "" if mark is None else (TotaliserMark.What(ruled.what).label if ruled else "bước bình thường")
    if event is None:  # a person says that it is a plain step
        counted = float(steps.volume[row]) if has_row else 0.0
        return CounterStep(
            channel, at_ms, float(value[place]), before, What.NORMAL, counted, 0.0, False,
            "Người có trách nhiệm quyết định.", "Chắc chắn", mark, str(told),
        )  # fmt: skip
    return CounterStep(
        channel, at_ms, float(value[place]), before, event.what, event.volume, event.reverse, event.lost, event.rule,
        event.confidence, mark, str(told),
    )  # fmt: skip


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, LOCAL_ZONE)
