"""The devices of simulated stations: what each measures of the water, how wrong it is, how its messages read.

Each station has a control cabinet, an analyser of water quality and a battery logger at the critical point. Pure: the
water (world.py) and an interval in, messages out, always the same for the same seed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from machnuoc.demo.simulator import station_model
from machnuoc.demo.simulator.events import MINUTE_MS, Event, Kind
from machnuoc.demo.simulator.world import World, noise, seed_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BASE_MS = 300_000  # every device samples so often, some channels only at each third or twelfth time
LIVE_MS = 60_000  # a cabinet also sends in between while somebody may be watching; its memory keeps the others
ROLLS_OVER_AT_M3 = 1_000_000.0
MOST_SAMPLES = 500  # in one message
_LOCAL = timezone(timedelta(hours=7))


class Part(StrEnum):
    """Which of the devices of a station."""

    CABINET = "tu"
    ANALYSER = "cl"
    LOGGER = "cuoi"


@dataclass(frozen=True)
class Sensor:
    """One channel. reads: field of the world, or a word of _OTHERS. to_sent: sent unit per stored unit.

    deviation, resolution: in the sent unit. every: of so many samples of the device the channel is in one.
    """

    key: str
    name: str
    quantity: str
    reads: str
    point: str
    role: str = ""
    sent_unit: str = ""
    to_sent: float = 1.0
    deviation: float = 0.0
    relative: float = 0.0
    decimals: int = 2
    every: int = 1

    @property
    def interval_s(self) -> int:
        return BASE_MS // 1000 * self.every


_BAR = 1 / 10.19716212977928  # mH2O, as core.units has it

CABINET = (
    Sensor("q", "Lưu lượng ra mạng", "flow", "flow_m3h", "OUTLET", "", "m3/h", relative=0.012, decimals=2),
    Sensor("p", "Áp lực ra mạng", "pressure", "outlet_mh2o", "OUTLET", "", "bar", _BAR, 0.008, decimals=3),
    Sensor("muc", "Mực nước bể chứa", "level", "level_m", "TANK", "", "m", deviation=0.008, decimals=2),
    Sensor("bom", "Bơm cấp vào bể", "pump", "is_pumping", "TREATMENT", "", "1", decimals=0),
    Sensor("nguon", "Nguồn điện lưới", "power", "has_power", "STATION", "", "1", decimals=0),
    Sensor("v_sx", "Tổng nước sản xuất", "volume", "produced_m3", "TREATMENT", "PRODUCED", "m3", decimals=1, every=3),
    Sensor("v_cap", "Tổng nước cấp vào mạng", "volume", "supplied_m3", "OUTLET", "SUPPLIED", "m3", decimals=1, every=3),
    Sensor("kwh", "Điện năng tiêu thụ", "energy", "energy_kwh", "STATION", "ENERGY", "kWh", decimals=2, every=3),
)  # fmt: skip
ANALYSER = (
    Sensor("clo", "Clo dư sau xử lý", "chlorine", "chlorine_mgl", "OUTLET", "QUALITY", "mg/L", deviation=0.012,
           decimals=2, every=3),
    Sensor("ntu", "Độ đục sau xử lý", "turbidity", "turbidity", "OUTLET", "QUALITY", "NTU", relative=0.05, decimals=2,
           every=3),
    Sensor("ph", "pH sau xử lý", "ph", "ph", "OUTLET", "QUALITY", "1", deviation=0.02, decimals=2, every=3),
)  # fmt: skip
LOGGER = (
    Sensor("p", "Áp lực điểm bất lợi nhất", "pressure", "critical_mh2o", "CRITICAL", "CONTINUITY", "bar", _BAR, 0.008,
           decimals=3),
    Sensor("pin", "Pin bộ ghi", "battery", "battery", "CRITICAL", "", "V", deviation=0.004, decimals=2, every=12),
)  # fmt: skip
# Sensors that a cabinet sends at each live instant: what a person watches.
_WATCHED = {"q", "p", "muc", "bom", "nguon"}
_COUNTERS = {"produced_m3", "supplied_m3", "energy_kwh"}


@dataclass(frozen=True)
class Unit:
    """A device to be. protocol: as in telemetry.models.Device.Protocol. sender_id: of ChirpStack."""

    code: str
    station: str
    part: Part
    protocol: str
    sensors: tuple[Sensor, ...]
    phase_ms: int
    sender_id: str = ""

    @property
    def topic(self) -> str:
        if self.protocol == "CHIRPSTACK":
            return f"application/machnuoc-mo-phong/device/{self.sender_id}/event/up"
        return f"machnuoc/v1/{self.code}/{'csv' if self.protocol == 'CSV' else 'up'}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One instant of a device. at_ms: when it is; told_ms: what its clock says; values: by key, in sent units."""

    at_ms: int
    told_ms: int
    values: Mapping[str, float]


@dataclass
class Sender:
    """Where a device is: up to when it has sampled, and what waits for a connection."""

    unit: Unit
    next_ms: int
    waiting: list[Sample] = field(default_factory=list)


def list_units(stations: Sequence[str]) -> list[Unit]:
    """Return the devices of stations, three each, over every protocol there is; always the same."""
    found = []
    for number, key in enumerate(stations):
        name = key.rpartition(".")[2]
        for part, sensors in ((Part.CABINET, CABINET), (Part.ANALYSER, ANALYSER), (Part.LOGGER, LOGGER)):
            mark = seed_of(0, key, part)
            protocol = "MQTT"
            if part == Part.LOGGER:
                protocol = ("CHIRPSTACK", "CSV", "CHIRPSTACK", "MQTT")[number % 4]
            elif part == Part.ANALYSER and number == 2:
                protocol = "HTTP"
            own = tuple(
                replace(one, sent_unit="L/s", to_sent=1 / 3.6) if one.key == "q" and number % 5 == 4 else one
                for one in sensors
            )
            found.append(
                Unit(
                    f"mp-{name}-{part}"[:48], key, part, protocol, own, mark % (BASE_MS // 1000) * 1000,
                    f"{mark & 0xFFFFFFFFFFFF:016x}" if protocol == "CHIRPSTACK" else "",
                )
            )  # fmt: skip
    return found


# --- what is measured -------------------------------------------------------------------------------------------------


def instants(unit: Unit, from_ms: int, to_ms: int, every_ms: int = BASE_MS) -> Ints:
    """Return when the device samples in [from_ms, to_ms)."""
    phase = unit.phase_ms % every_ms
    first = from_ms + (phase - from_ms) % every_ms
    return np.arange(first, to_ms, every_ms, dtype=np.int64)


def measure(world: World, unit: Unit, from_ms: int, to_ms: int, *, is_live: bool = False) -> list[Sample]:
    """Return what the device samples in [from_ms, to_ms), by time; nothing while it has no power or is silent.

    is_live: with what a cabinet sends in between. The world must be known up to to_ms.
    """
    every_ms = LIVE_MS if is_live and unit.part == Part.CABINET else BASE_MS
    at = instants(unit, from_ms, to_ms, every_ms)
    events = [one for one in world.events() if one.station == unit.station and one.kind in _OF_DEVICES]
    if not len(at):
        return []
    off = [one for one in events if one.kind == Kind.SILENCE and unit.part == Part.CABINET]
    if unit.part == Part.ANALYSER:  # without a battery of its own
        off += [one for one in world.events(Kind.POWER_CUT) if one.station == unit.station]
    for one in off:
        at = at[(at < one.at_ms) | (at >= one.until_ms)]
    told = at.copy()
    for one in events:
        if one.kind == Kind.CLOCK_DRIFT and unit.part == Part.LOGGER:
            inside = (at >= one.at_ms) & (at < one.until_ms)
            ahead = one.size * MINUTE_MS * (at - one.at_ms) / (one.until_ms - one.at_ms)
            told = np.where(inside, at + ahead.astype(np.int64) // 1000 * 1000 + 137, told)
    number = (at - unit.phase_ms) // BASE_MS
    is_base = (at - unit.phase_ms) % BASE_MS == 0
    values: list[dict[str, float]] = [{} for _ in range(len(at))]
    for sensor in unit.sensors:
        which = is_base & (number % sensor.every == 0)
        if sensor.key in _WATCHED and unit.part == Part.CABINET:
            which = np.ones(len(at), np.bool_)
        rows = np.flatnonzero(which)
        for row, value in zip(rows.tolist(), _read(world, unit, sensor, at[rows], events).tolist(), strict=True):
            values[row][sensor.key] = value
    return [
        Sample(when, said, its)
        for when, said, its in zip(at.tolist(), told.tolist(), values, strict=True)
        if its
    ]  # fmt: skip


_OF_DEVICES = {Kind.SILENCE, Kind.CLOCK_DRIFT, Kind.LATE_BATCH, Kind.DRIFT, Kind.STUCK, Kind.ROLLOVER}


def _read(world: World, unit: Unit, sensor: Sensor, at: Ints, events: Sequence[Event]) -> Floats:
    if not len(at):
        return np.empty(0)
    when = at
    if sensor.key == "clo":
        for one in events:
            if one.kind == Kind.STUCK:
                when = np.where((at >= one.at_ms) & (at < one.until_ms), one.at_ms, when)
    value = _true(world, unit, sensor, when)
    if sensor.reads in _COUNTERS:
        value = (value + _first_number(world, unit, sensor, events)) % ROLLS_OVER_AT_M3
        scale = 10.0**sensor.decimals
        return np.asarray(np.floor(value * sensor.to_sent * scale) / scale, np.float64)
    own = seed_of(world.seed, unit.code, sensor.key)
    value = value * sensor.to_sent
    value = value + (sensor.deviation + sensor.relative * np.abs(value)) * noise(own, when)
    if sensor.key == "ntu":
        for one in events:
            if one.kind == Kind.DRIFT:
                inside = (at >= one.at_ms) & (at < one.until_ms)
                value = value + np.where(inside, one.size * (at - one.at_ms) / (one.until_ms - one.at_ms), 0.0)
    return np.asarray(np.round(np.maximum(value, 0.0), sensor.decimals), np.float64)


def _true(world: World, unit: Unit, sensor: Sensor, at: Ints) -> Floats:
    given = station_model.assumptions()
    if sensor.reads == "turbidity":
        season = 1 + 0.15 * np.sin(2 * np.pi * at / (9.3 * 86_400_000) + unit.phase_ms)
        return np.asarray(given.turbidity_ntu * season, np.float64)
    if sensor.reads == "ph":
        return np.asarray(given.ph + 0.06 * np.sin(2 * np.pi * at / (6.1 * 86_400_000) + unit.phase_ms), np.float64)
    if sensor.reads == "battery":
        return np.asarray(3.66 - 0.25 * ((at // 86_400_000 + unit.phase_ms // 1000) % 400) / 400, np.float64)
    return world.read(unit.station, sensor.reads, np.maximum(at, int(world.at[0])))


def _first_number(world: World, unit: Unit, sensor: Sensor, events: Sequence[Event]) -> float:
    """Return what the counter showed when the world began; so chosen that it rolls over when it is to."""
    if sensor.reads == "supplied_m3":
        rolls = next((one for one in events if one.kind == Kind.ROLLOVER), None)
        if rolls is not None:
            return ROLLS_OVER_AT_M3 - rolls.size
    share = seed_of(world.seed, unit.code, sensor.key, "start") % 1000 / 1000
    return ROLLS_OVER_AT_M3 * (0.05 + 0.6 * share)


def settle_rollovers(world: World, events: Sequence[Event]) -> list[Event]:
    """Return the events, each roll-over with what its station will have supplied by then as its size.

    world: of these events; it is run to the last roll-over.
    """
    rolls = [one for one in events if one.kind == Kind.ROLLOVER and one.station in world.place]
    if not rolls:
        return list(events)
    world.run_to(max(one.at_ms for one in rolls))
    sizes = {
        one: float(world.read(one.station, "supplied_m3", np.array([max(one.at_ms, world.begin_ms)]))[0])
        for one in rolls
    }  # fmt: skip
    return [replace(one, size=sizes[one]) if one in sizes else one for one in events]


# --- what is sent -----------------------------------------------------------------------------------------------------


def collect(world: World, sender: Sender, to_ms: int, *, is_live: bool = False) -> list[Sample]:
    """Return what the device sends by the instant: its new samples, and those it could not send before."""
    fresh = measure(world, sender.unit, sender.next_ms, to_ms, is_live=is_live)
    sender.next_ms = max(sender.next_ms, to_ms)
    if sender.unit.part == Part.LOGGER:
        for one in world.events(Kind.LATE_BATCH):
            if one.station == sender.unit.station:
                sender.waiting += [sample for sample in fresh if one.is_on(sample.at_ms)]
                fresh = [sample for sample in fresh if not one.is_on(sample.at_ms)]
                if one.is_on(to_ms - 1):
                    return fresh
    if sender.waiting and not any(
        one.is_on(to_ms - 1) for one in world.events(Kind.LATE_BATCH) if one.station == sender.unit.station
    ):
        fresh, sender.waiting = sender.waiting + fresh, []
    return fresh


def encode(unit: Unit, samples: Sequence[Sample]) -> Iterator[bytes]:
    """Give the payloads that carry the samples, in the device's own format."""
    if unit.protocol == "CHIRPSTACK":
        for sample, rssi in zip(samples, _rssi(unit, samples), strict=True):
            yield _uplink(unit, sample, rssi)
        return
    for begin in range(0, len(samples), MOST_SAMPLES):
        part = samples[begin : begin + MOST_SAMPLES]
        if unit.protocol == "CSV":
            yield _lines(unit, part)
        else:
            body = [{"t": one.told_ms, "v": one.values} for one in part]
            yield msgspec.json.encode(body if len(body) > 1 else {**body[0], "rssi": _rssi(unit, part)[0]})


def _rssi(unit: Unit, samples: Sequence[Sample]) -> list[int]:
    """Return how strong the signal of each sample is, in dBm; for all at once, since a history has many."""
    fades = noise(7, np.array([sample.at_ms for sample in samples], np.int64))
    base = -75 - seed_of(0, unit.code) % 30
    return [base - fade for fade in (3 * np.abs(fades)).astype(np.int64).tolist()]


def _lines(unit: Unit, samples: Sequence[Sample]) -> bytes:
    keys = [sensor.key for sensor in unit.sensors]
    lines = [",".join(["time", *keys])]
    for sample in samples:
        when = datetime.fromtimestamp(sample.told_ms / 1000, _LOCAL).strftime("%Y-%m-%d %H:%M:%S")
        lines.append(",".join([when, *(f"{sample.values[key]:g}" if key in sample.values else "" for key in keys)]))
    return "\n".join(lines).encode()


def _uplink(unit: Unit, sample: Sample, rssi: int) -> bytes:
    when = datetime.fromtimestamp(sample.told_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return msgspec.json.encode(
        {
            "deviceInfo": {"devEui": unit.sender_id, "deviceName": unit.code, "applicationName": "machnuoc-mo-phong"},
            "time": when,
            "object": sample.values,
            "rxInfo": [{"gatewayId": "0000000000000001", "rssi": rssi - 15, "snr": 7.5}],
        }
    )
