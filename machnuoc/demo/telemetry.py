"""Simulated devices at the stations of Quảng Ngãi's centre, with channels, rules and a duty roster. Idempotent.

No device of these exists. Each is marked is_simulated, so that every figure of theirs says «mô phỏng»; each has a
secret of its own and speaks over the same road as a real one (simulator/playing.py).
"""

import json
import os
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from machnuoc.core import audit, roster
from machnuoc.core.models import Person, Roster
from machnuoc.core.periods import LOCAL_ZONE, local_date
from machnuoc.demo import plans
from machnuoc.demo.simulator import sensors, station_model
from machnuoc.demo.simulator.sensors import Part, Unit
from machnuoc.places.models import Subject
from machnuoc.telemetry import alarm_defaults, credentials, quality_limits
from machnuoc.telemetry.models import AlarmRule, Channel, Credential, Device
from machnuoc.telemetry.quantities import QUANTITIES
from machnuoc.works.models import Work

HISTORY_DAYS = settings.SIMULATED_DAYS
RULES_FROM = timedelta(days=3)  # before the demonstration begins: alarms of its first days are there at once
SILENCE_FROM = timedelta(minutes=10)
SEED = 20260210  # date of the plan whose stations these are
MINIMUM_MH2O = 6.0  # at the critical point: below it a station counts as not supplying. Mô phỏng.
CHLORINE_MGL = (0.3, 1.0)  # by which the simulated stations run; no regulation
NOTE = "Thiết bị mô phỏng để xem thử; không có thật."
_ON_DUTY = ("qn.khkt", "qn.hcth", "qn.lanhdao")  # by day, by night, when neither answers
_PARTS = {
    Part.CABINET: ("Tủ điều khiển", Device.Kind.CONTROLLER, "Nhà điều hành"),
    Part.ANALYSER: ("Máy phân tích chất lượng nước", Device.Kind.ANALYSER, "Sau bể chứa"),
    Part.LOGGER: ("Bộ ghi áp lực điểm bất lợi nhất", Device.Kind.LOGGER, "Cuối mạng lưới"),
}


def list_stations() -> list[station_model.Station]:
    """Return the stations that are simulated: those of appendix 1, without the sub-scheme that one of them feeds."""
    return [station_model.Station(row.key, row.connected_2025) for row in plans.list_stations() if not row.parent_key]


def list_units() -> list[Unit]:
    """Return the devices of all of them."""
    return sensors.list_units([one.key for one in list_stations()])


@transaction.atomic
def load_telemetry(now: datetime, *, only: Collection[str] | None = None) -> int:
    """Put devices, channels, rules and secrets; return how many devices are new. A second call changes nothing.

    only: keys of stations; None: all.
    """
    quality_limits.load_limits()
    stations = {one.key: one for one in list_stations() if only is None or one.key in only}
    works = {
        work.subject.key: work for work in Work.objects.filter(subject__key__in=stations).select_related("subject")
    }
    units = [unit for unit in list_units() if unit.station in works]
    known = {device.code: device for device in Device.objects.filter(code__in=[unit.code for unit in units])}
    fresh = [unit for unit in units if unit.code not in known]
    midnight = datetime.combine(local_date(now) - timedelta(days=HISTORY_DAYS), time(0), LOCAL_ZONE)
    made = Device.objects.bulk_create([_device(unit, works[unit.station], midnight) for unit in fresh])
    devices = known | {device.code: device for device in made}
    Channel.objects.bulk_create(
        [_channel(devices[unit.code], unit, one, stations[unit.station]) for unit in fresh for one in unit.sensors]
    )
    _put_rules(fresh, devices, now)
    simulation = read_simulation()
    live_at = simulation.live_at or now
    secrets = _make_secrets([devices[unit.code] for unit in units if unit.protocol != "CHIRPSTACK"], simulation, now)
    if fresh:
        audit.record("demo.telemetry.loaded", actor=None, count=len(fresh))
    _put_roster()
    if secrets != simulation.secrets or simulation.live_at is None:
        write_simulation(Simulation(simulation.seed, live_at, secrets))
    return len(fresh)


def _device(unit: Unit, work: Work, installed_at: datetime) -> Device:
    name, kind, place = _PARTS[unit.part]
    return Device(
        code=unit.code, name=f"{name} {work.subject.name} (mô phỏng)"[:120], kind=kind, protocol=unit.protocol,
        sender_id=unit.sender_id, clock_offset_min=420 if unit.protocol == "CSV" else 0, work=work, place_note=place,
        make="Mô phỏng", installed_at=installed_at, is_simulated=True, note=NOTE,
    )  # fmt: skip


def _channel(device: Device, unit: Unit, sensor: sensors.Sensor, station: station_model.Station) -> Channel:
    quantity = QUANTITIES[sensor.quantity]
    fields: dict[str, Any] = {}
    if sensor.role == "CONTINUITY":
        fields["minimum"] = MINIMUM_MH2O
    if sensor.quantity in {"volume", "energy"}:
        fields["rolls_over_at"] = sensors.ROLLS_OVER_AT_M3
        fields["largest_step_per_h"] = round(max(8 * station.supply_m3h, 30.0), 0)
    if sensor.quantity == "level":
        fields["capacity_m3"] = station.tank_m3
        fields["full_at"] = station_model.assumptions().tank_depth_m
    return Channel(
        device=device, key=sensor.key, name=sensor.name, quantity=sensor.quantity, sent_unit=sensor.sent_unit,
        low=quantity.low, high=quantity.high, resolution=10.0**-sensor.decimals if sensor.decimals else 0.0,
        expected_interval_s=sensor.interval_s, point=sensor.point, role=sensor.role,
        is_public=sensor.role in {"QUALITY", "CONTINUITY"}, **fields,
    )  # fmt: skip


def _put_rules(fresh: Sequence[Unit], devices: Mapping[str, Device], now: datetime) -> None:
    """Give new channels the rules that any channel gets; the flow first, since the tank's rule reads it."""
    channels = Channel.objects.filter(device__in=[devices[unit.code] for unit in fresh]).select_related("device__work")
    for channel in sorted(channels, key=lambda one: (one.quantity != "flow", one.pk)):
        alarm_defaults.put_rules(
            channel, now=now, by=None, applies_from=now - RULES_FROM,
            operating={"chlorine": CHLORINE_MGL, "pressure": (15.0, None)},
        )  # fmt: skip
    # Before the past is filled in nobody has sent anything: silence counts from now, not from then.
    AlarmRule.objects.filter(channel__in=channels, kind=AlarmRule.Kind.SILENCE).update(applies_from=now - SILENCE_FROM)


def _put_roster() -> None:
    """Say who of the demonstration accounts answers at the centre. A roster that is there is left as people made it."""
    centre = Subject.objects.filter(key="org.qn.trung-tam").first()
    people = {one.username: one for one in Person.objects.filter(username__in=_ON_DUTY)}
    if centre is None or len(people) < len(_ON_DUTY) or Roster.objects.filter(subject_id=centre.pk).exists():
        return
    made = roster.put_roster(subject_id=centre.pk, name="Trực vận hành của Trung tâm (dùng thử)", by=None)
    by_day, by_night, leader = (people[name] for name in _ON_DUTY)
    roster.add_shifts(made, weekdays=range(7), start=time(6), end=time(18), person=by_day, by=None)
    roster.add_shifts(made, weekdays=range(7), start=time(18), end=time(6), person=by_night, by=None)
    roster.put_level(made, level=2, after_min=30, people=[leader], by=None)


# --- what only this installation knows ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Simulation:
    """seed: of everything drawn. live_at: when the demonstration began. secrets: by code of device."""

    seed: int
    live_at: datetime | None
    secrets: Mapping[str, str]


def simulation_file() -> Path:
    return Path(settings.DATA_DIR) / "simulated_devices.json"


def read_simulation() -> Simulation:
    """Return what was kept, or an empty one."""
    try:
        kept = json.loads(simulation_file().read_text(encoding="utf-8"))
        return Simulation(int(kept["seed"]), datetime.fromisoformat(kept["live_at"]), dict(kept["secrets"]))
    except FileNotFoundError:
        return Simulation(SEED, None, {})


def write_simulation(simulation: Simulation) -> None:
    """Keep it, readable by the owner alone."""
    if simulation.live_at is None:
        raise ValueError("a simulation that is kept has begun")
    kept = {
        "seed": simulation.seed, "live_at": simulation.live_at.isoformat(), "secrets": dict(simulation.secrets),
    }  # fmt: skip
    handle, draft = tempfile.mkstemp(dir=settings.DATA_DIR, prefix=".simulated-")  # mode 600
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(kept, file)
    os.replace(draft, simulation_file())


def _make_secrets(devices: Sequence[Device], simulation: Simulation, now: datetime) -> dict[str, str]:
    """Return a secret that works for each device: the one that is kept, or a new one."""
    hashes = {code: credentials.token_sha256(secret) for code, secret in simulation.secrets.items()}
    valid = set(
        Credential.objects.filter(
            token_sha256__in=hashes.values(), revoked_at__isnull=True, device__in=devices
        ).values_list("token_sha256", flat=True)
    )
    found = {}
    for device in devices:
        if device.removed_at is not None and device.removed_at <= now:
            continue
        kept = simulation.secrets.get(device.code)
        if kept is not None and hashes[device.code] in valid:
            found[device.code] = kept
        else:
            found[device.code] = credentials.rotate(device, None, now)[1]
    return found


audit.describe("demo.telemetry.loaded", "nạp thiết bị mô phỏng: {count}")
