"""The water of all simulated stations in time: tanks fill and empty, people draw, pipes leak, chlorine fades.

Steps of five minutes, all stations at once. The hydraulics of a step come from the tables of station_model.py; what
households want from patterns and from noise that is a function of seed, station and instant alone, so that any two runs
from the same beginning agree. Pure: numbers in, numbers out.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from machnuoc.demo.simulator import station_model
from machnuoc.demo.simulator.events import DAY_MS, HOUR_MS, LOCAL_OFFSET_MS, Event, Kind
from machnuoc.demo.simulator.station_model import CRITICAL, DELIVERED, FILLS, LEAKED, LEAKS, OUTLET, WANTS

STEP_MS = 300_000
STEP_H = STEP_MS / HOUR_MS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# What is known of every instant, by station.
FIELDS = (
    "flow_m3h", "leak_m3h", "inflow_m3h", "outlet_mh2o", "critical_mh2o", "level_m", "chlorine_mgl", "has_power",
    "is_pumping", "supplied_m3", "produced_m3", "leaked_m3", "energy_kwh",
)  # fmt: skip
(_FLOW, _LEAK, _INFLOW, _OUTLET, _CRITICAL, _LEVEL, _CHLORINE, _POWER, _PUMP, _SUPPLIED, _PRODUCED, _LEAKED,
 _ENERGY) = range(len(FIELDS))  # fmt: skip
_UNTIL_NEXT = {_POWER, _PUMP}  # states hold until the next instant; everything else goes there in a line


def noise(seed: int, at: Ints) -> Floats:
    """Return numbers of mean 0 and deviation 1, shape of `at`, that depend on seed and instant alone."""
    with np.errstate(over="ignore"):
        mixed = at.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed & 0xFFFFFFFFFFFFFFFF)
        first, second = _mix(mixed), _mix(mixed ^ np.uint64(0xD1B54A32D192ED03))
    uniform = (first >> np.uint64(11)).astype(np.float64) / 2**53
    angle = (second >> np.uint64(11)).astype(np.float64) / 2**53
    return np.asarray(np.sqrt(-2 * np.log(uniform + 1e-300)) * np.cos(2 * np.pi * angle), np.float64)


def _mix(number: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the finish of splitmix64."""
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


def wandering(seed: int, at: Ints, every_ms: int) -> Floats:
    """Return noise that goes in straight lines between knots so far apart; deviation 1 at the knots."""
    knot = at // every_ms
    part = (at - knot * every_ms) / every_ms
    return np.asarray(noise(seed, knot) * (1 - part) + noise(seed, knot + 1) * part, np.float64)


def seed_of(seed: int, *about: object) -> int:
    """Return a seed of its own for something."""
    text = ":".join(map(str, (seed, *about)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def wanted(station: str, seed: int, at: Ints) -> Floats:
    """Return what households want at instants (ms UTC), as a share of the mean: day, week, and noise."""
    given = station_model.assumptions()
    local = at + LOCAL_OFFSET_MS
    shift = (seed_of(seed, station, "shift") % 61 - 30) * 60_000  # each village gets up at its own time
    hour = ((local + shift) % DAY_MS) / HOUR_MS
    knots = np.append(given.hourly, given.hourly[0])
    daily = np.interp(hour, np.arange(25) + 0.5, np.append(knots[:-1], knots[0]))
    early = hour < 0.5
    if early.any():
        daily[early] = np.interp(hour[early] + 24, [23.5, 24.5], [given.hourly[23], given.hourly[0]])
    weekday = (local // DAY_MS + 3) % 7  # 1970-01-01 was a Thursday
    weekly = np.array(given.weekday_ratio)[weekday]
    base = seed_of(seed, station, "demand")
    unrest = (
        1
        + 0.03 * noise(base, local // DAY_MS)
        + 0.04 * wandering(base + 1, at, 2 * HOUR_MS)
        + 0.03 * wandering(base + 2, at, HOUR_MS // 2)
    )
    return np.asarray(np.clip(daily * weekly * unrest, 0.1, 2.9), np.float64)


@dataclass
class _Now:
    level_m: Floats
    chlorine_mgl: Floats
    is_pumping: NDArray[np.bool_]
    totals: Floats  # (4, stations): supplied, produced, leaked, energy


class World:
    """All stations from an instant on, as far as they were asked for.

    at: shape (n,), ms UTC, every STEP_MS. state(): shape (FIELDS, n, stations). Events may be added for instants that
    were not computed yet; see take_back.
    """

    def __init__(
        self, stations: Sequence[station_model.Station], tables: Sequence[station_model.Tables], seed: int,
        begin_ms: int, events: Sequence[Event] = (), *, of_day: Callable[[int], Sequence[Event]] | None = None,
    ) -> None:  # fmt: skip
        self.stations = tuple(stations)
        self.place = {one.key: number for number, one in enumerate(stations)}
        self.seed = seed
        self.begin_ms = begin_ms - begin_ms % STEP_MS
        self._events: list[Event] = []
        self._of_day = of_day
        self._planned_to_ms = self.begin_ms - (self.begin_ms + LOCAL_OFFSET_MS) % DAY_MS
        self.add(events)
        self._response = np.stack([one.response for one in tables])
        self._pump_m3h = np.stack([one.pump_m3h for one in tables])
        self._pump_kw = np.stack([one.pump_kw for one in tables])
        given = station_model.assumptions()
        self._tank_m3 = np.array([one.tank_m3 for one in stations])
        count = len(self.stations)
        start = np.array([0.70 + (seed_of(seed, one.key, "level") % 20) / 100 for one in stations])
        self._now = _Now(
            start * given.tank_depth_m, np.full(count, 0.55), np.zeros(count, np.bool_), np.zeros((4, count))
        )
        self._next_ms = self.begin_ms
        self._before: deque[_Now] = deque(maxlen=8)  # how it stood before each of the newest rows
        self._rows: list[Floats] = []
        self._first_ms = self.begin_ms
        self._block: Floats | None = None

    # --- what happens -------------------------------------------------------------------------------------------------

    def add(self, events: Sequence[Event]) -> None:
        """Let more happen. What is at a station that is not here is left out."""
        self._events += [one for one in events if one.station in self.place]

    def exchange(self, before: Sequence[Event], after: Sequence[Event]) -> None:
        """Put events in the place of others that do the same to the water."""
        kept = [one for one in self._events if one not in before]
        self._events = kept
        self.add(after)

    def events(self, kind: Kind | None = None) -> list[Event]:
        """Return what happens as far as it is planned, by time."""
        found = [one for one in self._events if kind is None or one.kind == kind]
        return sorted(found, key=lambda one: one.at_ms)

    def _plan_to(self, until_ms: int) -> None:
        while self._of_day is not None and self._planned_to_ms <= until_ms:
            self.add(self._of_day(self._planned_to_ms))
            self._planned_to_ms += DAY_MS

    # --- time ---------------------------------------------------------------------------------------------------------

    @property
    def end_ms(self) -> int:
        """Return the first instant that is not known yet."""
        return self._next_ms

    def run_to(self, until_ms: int) -> None:
        """Know everything up to the instant, and the step after it."""
        steps = (until_ms - self._next_ms) // STEP_MS + 2
        if steps <= 0:
            return
        self._plan_to(until_ms + STEP_MS)
        at = self._next_ms + np.arange(steps, dtype=np.int64) * STEP_MS
        want = np.stack([wanted(one.key, self.seed, at) for one in self.stations], axis=1)
        end_ms = int(at[-1]) + STEP_MS
        running = [one for one in self._events if one.until_ms > int(at[0]) - STEP_MS and one.at_ms < end_ms]
        running = [one for one in running if one.kind in _OF_STEPS]
        for number, instant in enumerate(at.tolist()):
            self._before.append(replace(self._now))
            self._rows.append(self._step(want[number], [one for one in running if one.is_on(instant)]))
        self._next_ms = end_ms
        self._block = None

    def take_back(self, at_ms: int) -> None:
        """Forget what was computed from the instant on, a few steps at most: something is to happen there."""
        while self._before and len(self._rows) > 1 and self._next_ms - STEP_MS >= at_ms:
            self._now = self._before.pop()
            self._rows.pop()
            self._next_ms -= STEP_MS
        self._block = None

    def _step(self, want: Floats, running: Sequence[Event]) -> Floats:
        """Return the row of an instant, shape (FIELDS, stations), and move on to the next."""
        given, now = station_model.assumptions(), self._now
        depth_m = given.tank_depth_m
        leak = np.ones(len(self.stations))
        has_power = np.ones(len(self.stations), np.bool_)
        can_pump = np.ones(len(self.stations), np.bool_)
        dose = np.full(len(self.stations), given.chlorine_dose_mgl)
        for one in running:
            place = self.place[one.station]
            if one.kind in {Kind.LEAK, Kind.BREAK}:
                leak[place] += one.size
            elif one.kind == Kind.POWER_CUT:
                has_power[place] = can_pump[place] = False
            elif one.kind == Kind.PUMP_FAILURE:
                can_pump[place] = False
            else:
                dose[place] *= one.size
        fill = now.level_m / depth_m
        now.is_pumping = np.where(
            fill < given.pump_on_ratio, True, np.where(fill > given.pump_off_ratio, False, now.is_pumping)
        )
        is_pumping = now.is_pumping & can_pump
        inflow_m3h = np.where(is_pumping, _along(self._pump_m3h, fill), 0.0)
        power_kw = np.where(is_pumping, _along(self._pump_kw, fill), 0.0) + 0.15 * has_power
        delivered, leaked, outlet, critical = _interpolate(self._response, fill, want, leak)
        flow_m3h = delivered + leaked
        # An empty tank gives what comes in; pressure goes with the square of what can flow.
        held_m3 = fill * self._tank_m3
        possible = np.minimum(1.0, (held_m3 / STEP_H + inflow_m3h) / np.maximum(flow_m3h, 1e-9))
        delivered, leaked, flow_m3h = delivered * possible, leaked * possible, flow_m3h * possible
        outlet, critical = outlet * possible**2, critical * possible**2
        row = np.stack([
            flow_m3h, leaked, inflow_m3h, outlet, critical, now.level_m, now.chlorine_mgl, has_power.astype(float),
            is_pumping.astype(float), *now.totals,
        ])  # fmt: skip
        spare_m3 = self._tank_m3 - held_m3 + flow_m3h * STEP_H
        came_m3 = np.minimum(inflow_m3h * STEP_H, spare_m3)  # a float valve: the tank never flows over
        next_m3 = np.clip(held_m3 + came_m3 - flow_m3h * STEP_H, 0.0, self._tank_m3)
        fade = np.exp(-given.chlorine_decay_per_h * STEP_H)
        mixed = now.chlorine_mgl * held_m3 + dose * came_m3
        now.chlorine_mgl = np.where(held_m3 + came_m3 > 0, mixed / np.maximum(held_m3 + came_m3, 1e-9), 0.0) * fade
        now.level_m = next_m3 / self._tank_m3 * depth_m
        now.totals = now.totals + np.stack([flow_m3h * STEP_H, came_m3, leaked * STEP_H, power_kw * STEP_H])
        return row

    # --- what is known ------------------------------------------------------------------------------------------------

    @property
    def at(self) -> Ints:
        return self._first_ms + np.arange(len(self._rows), dtype=np.int64) * STEP_MS

    def state(self) -> Floats:
        """Return everything that is known, shape (FIELDS, n, stations)."""
        if self._block is None:
            self._block = np.stack(self._rows, axis=1)
        return self._block

    def read(self, station: str, field: str, at: Ints) -> Floats:
        """Return a field of a station at instants inside what is known, shape of `at`."""
        number = FIELDS.index(field)
        values = self.state()[number, :, self.place[station]]
        if number in _UNTIL_NEXT:
            return np.asarray(values[(at - self._first_ms) // STEP_MS], np.float64)
        return np.asarray(np.interp(at, self.at, values), np.float64)

    def forget_before(self, at_ms: int) -> None:
        """Drop what is older: a player needs little of the past."""
        count = min(max(0, (at_ms - self._first_ms) // STEP_MS), max(0, len(self._rows) - 2))
        if count:
            del self._rows[:count]
            self._first_ms += count * STEP_MS
            self._block = None
        self._events = [one for one in self._events if one.until_ms > at_ms - DAY_MS or one.kind == Kind.ROLLOVER]


_OF_STEPS = {Kind.LEAK, Kind.BREAK, Kind.PUMP_FAILURE, Kind.POWER_CUT, Kind.CHLORINE_LOSS}


def _along(table: Floats, fill: Floats) -> Floats:
    """Return rows of a table, shape (stations, fills), between their columns."""
    low, part = _place(FILLS, fill)
    rows = np.arange(len(fill))
    return np.asarray(table[rows, low] * (1 - part) + table[rows, low + 1] * part, np.float64)


def _place(axis: Floats, value: Floats) -> tuple[Ints, Floats]:
    low = np.clip(np.searchsorted(axis, value, side="right") - 1, 0, len(axis) - 2)
    return low, np.clip((value - axis[low]) / (axis[low + 1] - axis[low]), 0.0, 1.0)


def _interpolate(response: Floats, fill: Floats, want: Floats, leak: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return (delivered, leaked, outlet, critical), each of shape (stations,), from the corners around each."""
    (low_f, part_f), (low_w, part_w), (low_l, part_l) = _place(FILLS, fill), _place(WANTS, want), _place(LEAKS, leak)
    rows = np.arange(len(fill))
    total = np.zeros((len(fill), 4))
    for f, share_f in ((0, 1 - part_f), (1, part_f)):
        for w, share_w in ((0, 1 - part_w), (1, part_w)):
            for one, share_l in ((0, 1 - part_l), (1, part_l)):
                share = share_f * share_w * share_l
                total += share[:, None] * response[rows, :, low_f + f, low_w + w, low_l + one]
    return total[:, DELIVERED], total[:, LEAKED], total[:, OUTLET], total[:, CRITICAL]
