"""Things that happen at simulated stations: what there is, when, where. Pure, and the same for the same seed.

Some happen to the water (world.py), some to the devices that measure it (sensors.py).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
LOCAL_OFFSET_MS = 7 * HOUR_MS


class Kind(StrEnum):
    """What can happen. The words are those of `machnuoc simulate --event`."""

    LEAK = "leak"
    BREAK = "break"
    PUMP_FAILURE = "pump-failure"
    POWER_CUT = "power-cut"
    CHLORINE_LOSS = "chlorine-loss"
    DRIFT = "drift"
    STUCK = "stuck"
    SILENCE = "silence"
    CLOCK_DRIFT = "clock-drift"
    LATE_BATCH = "late-batch"
    ROLLOVER = "rollover"


@dataclass(frozen=True)
class Usual:
    """How long an event lasts unless said otherwise, and how large it is. unit: of the size, in words."""

    label: str
    lasts_ms: int
    size: float
    unit: str


USUAL = {
    Kind.LEAK: Usual("Rò rỉ ngầm", 6 * DAY_MS, 4.0, "lần mức rò rỉ thường ngày"),
    Kind.BREAK: Usual("Vỡ ống", 5 * HOUR_MS, 35.0, "lần mức rò rỉ thường ngày"),
    Kind.PUMP_FAILURE: Usual("Hỏng bơm", 14 * HOUR_MS, 0.0, ""),
    Kind.POWER_CUT: Usual("Mất điện", 2 * HOUR_MS, 0.0, ""),
    Kind.CHLORINE_LOSS: Usual("Ngừng châm clo", 30 * HOUR_MS, 0.0, "phần liều clo còn lại"),
    Kind.DRIFT: Usual("Đầu đo độ đục trôi dần", 4 * DAY_MS, 3.0, "NTU sai ở cuối kỳ"),
    Kind.STUCK: Usual("Đầu đo clo dư đứng số", 20 * HOUR_MS, 0.0, ""),
    Kind.SILENCE: Usual("Thiết bị ngừng gửi", 3 * HOUR_MS, 0.0, ""),
    Kind.CLOCK_DRIFT: Usual("Đồng hồ thiết bị chạy nhanh", 8 * HOUR_MS, 20.0, "phút sai ở cuối kỳ"),
    Kind.LATE_BATCH: Usual("Thiết bị mất sóng rồi gửi bù", 30 * DAY_MS, 0.0, ""),
    Kind.ROLLOVER: Usual("Đồng hồ tổng quay vòng", 0, 0.0, ""),
}  # fmt: skip
OF_WATER = {Kind.LEAK, Kind.BREAK, Kind.PUMP_FAILURE, Kind.POWER_CUT, Kind.CHLORINE_LOSS}


@dataclass(frozen=True)
class Event:
    """Something that happens at a station in [at_ms, until_ms). size: see USUAL."""

    kind: Kind
    station: str
    at_ms: int
    until_ms: int
    size: float

    def is_on(self, at_ms: int) -> bool:
        return self.at_ms <= at_ms < self.until_ms

    def as_row(self) -> dict[str, Any]:
        return asdict(self)


def make(kind: str, station: str, at_ms: int, *, lasts_ms: int | None = None, size: float | None = None) -> Event:
    """Return an event with what is usual for what is not said. Raises ValueError for a kind that there is not."""
    its = Kind(kind)
    usual = USUAL[its]
    return Event(
        its, station, at_ms, at_ms + (usual.lasts_ms if lasts_ms is None else lasts_ms),
        usual.size if size is None else size,
    )  # fmt: skip


def _random(seed: int, *about: object) -> np.random.Generator:
    text = ":".join(map(str, (seed, *about)))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))


def opening(stations: Sequence[str], live_ms: int, seed: int) -> list[Event]:
    """Return what is going on when a demonstration begins, and what happens in its first minutes.

    Each at a station of its own, as far as there are enough; most stations are quiet.
    """
    order = [stations[place] for place in _random(seed, "opening").permutation(len(stations)).tolist()]
    plan = [
        (Kind.LEAK, -3 * DAY_MS, None, None),
        (Kind.CHLORINE_LOSS, -20 * HOUR_MS, None, None),
        (Kind.STUCK, -16 * HOUR_MS, None, None),
        (Kind.POWER_CUT, 1 * MINUTE_MS, 40 * MINUTE_MS, None),
        (Kind.LATE_BATCH, -30 * DAY_MS, 30 * DAY_MS + 12 * MINUTE_MS, None),
        (Kind.ROLLOVER, -12 * HOUR_MS, None, None),
        (Kind.PUMP_FAILURE, -16 * HOUR_MS, DAY_MS, None),  # a morning or an evening lies in it, which empties the tank
        (Kind.SILENCE, -12 * MINUTE_MS, 90 * MINUTE_MS, None),
        (Kind.BREAK, 3 * MINUTE_MS, 2 * HOUR_MS, None),
        (Kind.DRIFT, -3 * DAY_MS, None, None),
        (Kind.CLOCK_DRIFT, -4 * HOUR_MS, None, 30.0),
    ]
    return [
        make(kind, order[number % len(order)], live_ms + after_ms, lasts_ms=lasts_ms, size=size)
        for number, (kind, after_ms, lasts_ms, size) in enumerate(plan)
    ]


def soon(stations: Sequence[str], now_ms: int, seed: int) -> list[Event]:
    """Return what happens in the next minutes, for those who have just begun to look."""
    order = _random(seed, "soon", now_ms // DAY_MS).permutation(len(stations)).tolist()
    plan = [(Kind.POWER_CUT, MINUTE_MS, 30 * MINUTE_MS), (Kind.BREAK, 3 * MINUTE_MS, HOUR_MS),
            (Kind.SILENCE, 2 * MINUTE_MS, 40 * MINUTE_MS)]  # fmt: skip
    return [
        make(kind, stations[order[number % len(order)]], now_ms + after_ms, lasts_ms=lasts_ms)
        for number, (kind, after_ms, lasts_ms) in enumerate(plan)
    ]


_DAILY = (
    Kind.POWER_CUT, Kind.POWER_CUT, Kind.BREAK, Kind.SILENCE, Kind.STUCK, Kind.PUMP_FAILURE, Kind.CHLORINE_LOSS,
    Kind.CLOCK_DRIFT, Kind.DRIFT, Kind.LEAK,
)  # fmt: skip


def of_day(stations: Sequence[str], day_ms: int, seed: int, *, count: int = 4) -> list[Event]:
    """Return what happens on a local day that starts at the instant: a few events over the stations, by seed."""
    random = _random(seed, "day", day_ms)
    found = []
    for _ in range(min(count, len(stations))):
        kind = _DAILY[int(random.integers(len(_DAILY)))]
        station = stations[int(random.integers(len(stations)))]
        at_ms = day_ms + int(random.integers(24 * 12)) * 5 * MINUTE_MS
        found.append(make(kind, station, at_ms, lasts_ms=int(USUAL[kind].lasts_ms * random.uniform(0.5, 1.1))))
    return sorted(found, key=lambda one: one.at_ms)
