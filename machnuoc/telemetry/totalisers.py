"""What a counter says flowed: from its readings to volumes, and what happened to it on the way.

A counter only grows, and yet its numbers fall: it rolls over at the end of its digits, is reset, replaced, or turned
back by water that flows back. Each step from one reading to the next is judged by the readings around it alone
(REACH), so that the verdict does not depend on the parts in which readings arrive. No step is ever negative, and none
is larger than the channel can bring. The rules are told in docs/algorithms/totalisers.md.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

HOUR_MS = 3_600_000
HOLD_MS = 6 * HOUR_MS  # water that flowed back must flow forward again before it counts, for as long as this
REACH = 3  # readings before and after a step that its verdict may rest on, besides those of HOLD_MS before it
SHORTEST_STEP_H = 0.25  # a step is allowed at least what a quarter of an hour brings: clocks and digits are coarse
ROLLOVER_FROM = 0.9  # unknown digits: from this share of the next power of ten on a fall may be a roll-over

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class What(StrEnum):
    """What happened to a counter. The names are those of models.TotaliserMark."""

    NORMAL = "NORMAL"
    RESET = "RESET"
    ROLLOVER = "ROLLOVER"
    SWAP = "SWAP"
    REVERSE = "REVERSE"
    JUMP = "JUMP"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person says about the step that ends at a reading. step: the volume to count; None leaves it to `what`."""

    what: What
    step: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something other than a plain step. at: ms UTC of the reading after it; lost: whether water went uncounted.

    reverse: what flowed back, 0 for other events. rule, confidence: in words, for the screen.
    """

    at: int
    what: What
    volume: float
    reverse: float
    lost: bool
    rule: str
    confidence: str


@dataclass(frozen=True, eq=False, slots=True)
class Steps:
    """Volumes between readings that are believed, arrays of shape (n,).

    from_at, to_at: ms UTC. volume: in the counter's unit, never negative. is_measured: neither an event nor a gap.
    """

    from_at: Ints
    to_at: Ints
    volume: Floats
    is_measured: Flags
    events: tuple[Event, ...]

    def __len__(self) -> int:
        return len(self.volume)


@dataclass(frozen=True, slots=True)
class Counter:
    """What is known of a counter. largest_step_per_h: what one hour can bring at most, in the counter's unit.

    rolls_over_at: where it starts at 0 again, if known. resolution: its last digit. gap_ms: a longer step only
    estimates its hours.
    """

    largest_step_per_h: float
    rolls_over_at: float | None = None
    resolution: float = 0.0
    gap_ms: int = 3 * HOUR_MS


def read_steps(at: Ints, value: Floats, counter: Counter, decisions: Mapping[int, Decision] | None = None) -> Steps:
    """Return the steps of a counter and what happened to it.

    at: shape (n,), ms UTC, strictly ascending. value: shape (n,). decisions: by the instant of the reading after the
    step. Of the first reading there is no step; a step's verdict is final once REACH readings are there on both sides
    and HOLD_MS before it.
    Raises ValueError for times out of order or a counter that can bring nothing.
    """
    if len(at) > 1 and not (np.diff(at) > 0).all():
        raise ValueError("readings of a counter must be in order, each instant once")
    if not counter.largest_step_per_h > 0:
        raise ValueError("a counter needs a largest step")
    decisions = decisions or {}
    spikes = _spikes(at, value, counter, decisions)
    kept = ~spikes
    at_kept, kept_value = at[kept], value[kept]
    events = [_spike_event(int(at[row])) for row in np.flatnonzero(spikes)]
    rise = np.diff(kept_value)
    bound = _bound(np.diff(at_kept), counter)
    plain = (rise >= 0) & (rise <= bound)
    if decisions:
        plain &= ~np.isin(at_kept[1:], np.array(list(decisions), np.int64))
    volume = np.where(plain, rise, 0.0)
    found: dict[int, Event] = {}
    for row in np.flatnonzero(~plain).tolist():
        event = _judge(
            int(at_kept[row + 1]), float(kept_value[row]), float(kept_value[row + 1]), float(bound[row]), counter,
            decisions.get(int(at_kept[row + 1])),
        )  # fmt: skip
        volume[row] = event.volume
        found[row] = event
    _hold_back(at_kept, kept_value, volume, found)
    is_measured = plain & (np.diff(at_kept) <= counter.gap_ms)
    events += [event for event in found.values() if event.what != What.NORMAL]
    events.sort(key=lambda event: event.at)
    return Steps(at_kept[:-1], at_kept[1:], volume, is_measured, tuple(events))


def volumes_by_hour(steps: Steps, hours: Ints) -> Floats:
    """Return what flowed in each hour; a step that lies in several is divided by time. NaN where no step reaches.

    hours: shape (n,), starts of hours in ms UTC, any. What all hours of the steps get adds up to the steps.
    """
    if not len(steps):
        return np.full(len(hours), np.nan)
    knots = np.concatenate([steps.from_at[:1], steps.to_at]).astype(np.float64)
    total = np.concatenate([[0.0], np.cumsum(steps.volume)])
    start, end = hours.astype(np.float64), (hours + HOUR_MS).astype(np.float64)
    found = np.interp(end, knots, total) - np.interp(start, knots, total)
    touched = (end > knots[0]) & (start < knots[-1])
    return np.where(touched, np.maximum(found, 0.0), np.nan)


def _bound(duration_ms: Ints, counter: Counter) -> Floats:
    hours = np.maximum(duration_ms / HOUR_MS, SHORTEST_STEP_H)
    return np.asarray(counter.largest_step_per_h * hours + counter.resolution, np.float64)


def _spikes(at: Ints, value: Floats, counter: Counter, decisions: Mapping[int, Decision]) -> Flags:
    """Return which readings stand alone: far from the one before, which the one after follows as if nothing were."""
    spikes = np.zeros(len(at), np.bool_)
    if len(at) < 3:
        return spikes
    rise, bound = np.diff(value), _bound(np.diff(at), counter)
    across = value[2:] - value[:-2]
    returns = (across >= 0) & (across <= _bound(at[2:] - at[:-2], counter))
    onwards = (rise[1:] >= 0) & (rise[1:] <= bound[1:])  # the reading after follows this one too: it is a new level
    alone = returns & ((rise[:-1] < -bound[:-1]) | ((rise[:-1] > bound[:-1]) & ~onwards))
    for row in np.flatnonzero(alone).tolist():
        if not spikes[row] and int(at[row + 1]) not in decisions and int(at[row + 2]) not in decisions:
            spikes[row + 1] = True
    return spikes


def _spike_event(at: int) -> Event:
    return Event(
        at, What.JUMP, 0.0, 0.0, False,
        "Một số đứng riêng: số trước và số sau nối tiếp nhau như không có nó. Bỏ số này, tính qua hai số kia.",
        "Chắc chắn",
    )  # fmt: skip


def _judge(at: int, before: float, after: float, bound: float, counter: Counter, decision: Decision | None) -> Event:
    """Return what happened in one step that is not plain, or that a person has spoken on."""
    if decision is not None:
        return _decided(at, before, after, bound, counter, decision)
    rise = after - before
    if rise > bound:
        return Event(
            at, What.JUMP, 0.0, 0.0, True,
            "Số tăng nhiều hơn mức lớn nhất có thể chảy qua trong lúc đó. Không tính bước này; đếm tiếp từ số mới.",
            "Khá chắc",
        )  # fmt: skip
    wrapped = _wrapped(before, after, bound, counter)
    if wrapped is not None:
        return _rolled_over(at, wrapped, counter)
    if -rise <= bound and not (after <= counter.resolution and before > counter.resolution):
        return Event(
            at, What.REVERSE, 0.0, -rise, False,
            "Số giảm ít, trong mức nước có thể chảy ngược. Không tính lượng âm; nước chảy lại qua mức cũ mới tính.",
            "Khá chắc" if before > 2 * bound else "Chưa chắc",
        )  # fmt: skip
    if after <= bound:
        return Event(
            at, What.RESET, max(after, 0.0), 0.0, True,
            "Số về gần 0: đồng hồ được đặt lại. Tính phần đã chạy từ 0; phần trước lúc đặt lại không biết.",
            "Khá chắc",
        )  # fmt: skip
    return Event(
        at, What.SWAP, 0.0, 0.0, True,
        "Số giảm sang một mức khác 0: đồng hồ được thay. Không tính bước này; đếm tiếp từ số mới.",
        "Khá chắc",
    )  # fmt: skip


def _wrapped(before: float, after: float, bound: float, counter: Counter) -> float | None:
    """Return the volume of a fall if it is a roll-over, else None."""
    if after < 0 or after >= before:
        return None
    if counter.rolls_over_at is not None:
        volume = after + counter.rolls_over_at - before
        return volume if 0 <= volume <= bound else None
    if before < 1:
        return None
    end = 10.0 ** math.ceil(math.log10(before + max(counter.resolution, 1e-9)))
    volume = after + end - before
    is_near = end >= 1000 and before >= ROLLOVER_FROM * end
    return volume if is_near and 0 <= volume <= bound else None


def _rolled_over(at: int, volume: float, counter: Counter) -> Event:
    """Return the event of a roll-over that brought this volume."""
    if counter.rolls_over_at is not None:
        rule, confidence = "Số đi hết các chữ số của đồng hồ rồi đếm lại từ 0.", "Chắc chắn"
    else:
        rule = "Số ở gần cuối một lũy thừa của 10 rồi về gần 0: đoán là quay vòng, vì chưa khai số quay vòng của kênh."
        confidence = "Chưa chắc"
    return Event(at, What.ROLLOVER, volume, 0.0, False, rule, confidence)


def _decided(at: int, before: float, after: float, bound: float, counter: Counter, decision: Decision) -> Event:
    rise = after - before
    if decision.step is not None:
        volume = max(decision.step, 0.0)
    else:
        wrapped = after + counter.rolls_over_at - before if counter.rolls_over_at is not None else None
        volume = {
            What.NORMAL: max(rise, 0.0),
            What.ROLLOVER: wrapped if wrapped is not None and wrapped >= 0 else 0.0,
            What.RESET: max(after, 0.0) if after <= bound else 0.0,
        }.get(decision.what, 0.0)
    lost = decision.step is None and decision.what in {What.RESET, What.SWAP, What.JUMP}
    reverse = max(-rise, 0.0) if decision.what == What.REVERSE else 0.0
    return Event(at, decision.what, float(volume), reverse, lost, "Người có trách nhiệm quyết định.", "Chắc chắn")


def _hold_back(at: Ints, value: Floats, volume: Floats, found: dict[int, Event]) -> None:
    """Count nothing twice where water flowed back: a rise counts only above the highest number of HOLD_MS before it.

    The highest number is looked for since the last event that gave the counter another level. Works in place.
    """
    back = [row for row, event in found.items() if event.what == What.REVERSE]
    levels = np.array(sorted(row for row, event in found.items() if event.what != What.REVERSE), np.int64)
    for row in back:
        # Steps that begin within HOLD_MS of the last number before the fall may lie under it.
        last = int(np.searchsorted(at, at[row] + HOLD_MS, "right")) - 1
        for step in range(row + 1, min(last, len(volume) - 1) + 1):
            if step in found:
                if found[step].what == What.REVERSE:
                    continue
                break
            since = int(levels[np.searchsorted(levels, step) - 1]) + 1 if len(levels) and levels[0] < step else 0
            first = max(since, int(np.searchsorted(at, at[step] - HOLD_MS, "left")))
            highest = float(value[first : step + 1].max())
            volume[step] = max(0.0, float(value[step + 1]) - highest)
            if value[step + 1] >= value[row]:
                break
