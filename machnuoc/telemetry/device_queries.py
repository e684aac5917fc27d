"""Devices as people see them, within their scope: how they are, what arrived from them, what became of it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone

from machnuoc.core import search, units
from machnuoc.core.models import Person
from machnuoc.core.vietnamese import format_number
from machnuoc.places import access
from machnuoc.telemetry import alarm_rules, payloads, store
from machnuoc.telemetry.models import Calibration, Channel, Device
from machnuoc.telemetry.quantities import QUANTITIES
from machnuoc.telemetry.receive import BY_HTTP, REASONS, UNKNOWN
from machnuoc.telemetry.store import DAY_MS, HOUR_MS
from machnuoc.works import search_entries

SILENT_INTERVALS = 3
SILENT_LEAST_S = 600
BATTERY_LOW_PCT = 20.0
DRIFT_MS = 120_000  # a clock that is off by more than two minutes puts readings into the wrong hour
COUNTS = ("received", "stored", "corrected", "duplicate", "rejected", "quarantined")
UNKNOWN_NAME = "Không rõ người gửi"
HEALTH = {"silent": "Mất tín hiệu", "battery": "Pin yếu", "drift": "Đồng hồ lệch", "never": "Chưa gửi lần nào",
          "removed": "Đã tháo", "ok": "Bình thường"}  # fmt: skip


@dataclass(frozen=True)
class Filters:
    """What a person asked the list for; empty means all. health: a key of HEALTH."""

    q: str = ""
    work: int = 0
    protocol: str = ""
    health: str = ""


@dataclass(frozen=True)
class Health:
    """How a device is. share_pct: of the readings expected in the last 24 whole hours. Times: aware, or None."""

    state: str
    received_at: datetime | None = None
    measured_at: datetime | None = None
    drift_s: float | None = None
    messages: int = 0
    rssi_dbm: float | None = None
    snr_db: float | None = None
    battery_pct: float | None = None
    share_pct: float | None = None
    silence_s: float | None = None
    has_drift: bool = False

    @property
    def label(self) -> str:
        return HEALTH[self.state]

    @property
    def tone(self) -> tuple[str, str]:
        return {
            "silent": ("danger", "wifi-off"), "battery": ("warning", "bolt"), "drift": ("warning", "clock"),
            "never": ("neutral", "circle-dashed"), "removed": ("neutral", "ban"), "ok": ("good", "circle-check"),
        }[self.state]  # fmt: skip

    @property
    def silence_text(self) -> str:
        return "" if self.silence_s is None else alarm_rules.duration_text(max(0.0, self.silence_s))

    @property
    def drift_text(self) -> str:
        """Say how the clock of the device goes: «chạy nhanh 16 phút»; empty where nothing is known."""
        if self.drift_s is None:
            return ""
        if not self.has_drift:
            return "không thấy lệch"
        way = "nhanh" if self.drift_s < 0 else "chậm"
        return f"chạy {way} {alarm_rules.duration_text(abs(self.drift_s))}"


def list_devices(person: Person, action: str = "view") -> QuerySet[Device]:
    """Return the devices of the works on which the person holds the action, with their works."""
    rows = Device.objects.select_related("work__subject")
    if access.sees_everything(person, action):
        return rows
    return rows.filter(work_id__in=access.visible_subject_ids(person, action))


def sees_unknown(person: Person) -> bool:
    """Return whether the person sees what nobody known has sent: who looks after the whole program."""
    return access.sees_everything(person, "manage")


def get_device(person: Person, code: str) -> Device:
    """Raises Device.DoesNotExist."""
    return list_devices(person).get(code=code)


def select(person: Person, filters: Filters, *, now: datetime) -> QuerySet[Device]:
    """Return the devices asked for, by work and code, with n_channels and the shortest interval."""
    rows = list_devices(person)
    if filters.q.strip():
        words = Q(work_id__in=search.matching_ids(search_entries.WORK, filters.q))
        text = filters.q.strip()
        rows = rows.filter(
            words | Q(code__icontains=text) | Q(name__icontains=text) | Q(serial__icontains=text)
            | Q(sender_id__icontains=text)
        )  # fmt: skip
    if filters.work:
        rows = rows.filter(work_id=filters.work)
    if filters.protocol:
        rows = rows.filter(protocol=filters.protocol)
    rows = with_intervals(rows)
    if filters.health:
        found = list(rows)
        health = read_health(found, now=now)
        rows = rows.filter(pk__in=[pk for pk, one in health.items() if _is(one, filters.health)])
    return rows.order_by("work__subject__name", "code")


def _is(one: Health, wanted: str) -> bool:
    if wanted == "battery":
        return one.state != "removed" and one.battery_pct is not None and one.battery_pct <= BATTERY_LOW_PCT
    if wanted == "drift":
        return one.state != "removed" and one.has_drift
    return one.state == wanted


def with_intervals(rows: QuerySet[Device]) -> QuerySet[Device]:
    return rows.annotate(
        n_channels=Count("channels", filter=Q(channels__is_active=True)),
        interval_s=Min("channels__expected_interval_s", filter=Q(channels__is_active=True)),
    )


def is_off(drift_ms: float, interval_s: int | None) -> bool:
    """Return whether a clock so far behind (ahead: negative) is off.

    A device that sends what it measured an interval ago is not slow; nothing is a day slow or fast (receive.py).
    """
    slowest_ms = DRIFT_MS + 1000 * (interval_s or 300)
    return -DAY_MS <= drift_ms < -DRIFT_MS or slowest_ms < drift_ms <= DAY_MS


def read_health(devices: Sequence[Any], *, now: datetime, with_share: bool = False) -> dict[int, Health]:
    """Return {device: how it is}. devices: of with_intervals. with_share: also what came of the last 24 hours."""
    if not devices:
        return {}
    now_ms = _ms(now)
    wanted = {device.pk for device in devices}
    states = {
        row[0]: row[1:]
        for row in store.query(
            "SELECT device, received_at, measured_at, drift_ms, messages, rssi, snr, battery "
            "FROM telemetry_device_state"
        )
        if row[0] in wanted
    }
    shares = read_shares(wanted, now_ms) if with_share else {}
    found = {}
    for device in devices:
        state = states.get(device.pk)
        if state is None:
            found[device.pk] = Health("removed" if device.removed_at else "never")
            continue
        received_ms, measured_ms, drift_ms, messages, rssi, snr, battery = state
        silence_s = (now_ms - received_ms) / 1000
        allowed_s = max(SILENT_INTERVALS * (device.interval_s or 300), SILENT_LEAST_S)
        has_drift = is_off(drift_ms, device.interval_s)
        if device.removed_at is not None:
            key = "removed"
        elif silence_s > allowed_s:
            key = "silent"
        elif battery is not None and battery <= BATTERY_LOW_PCT:
            key = "battery"
        elif has_drift:
            key = "drift"
        else:
            key = "ok"
        found[device.pk] = Health(
            key, _moment(received_ms), _moment(measured_ms) if measured_ms else None, drift_ms / 1000, messages, rssi,
            snr, battery, shares.get(device.pk), silence_s, has_drift,
        )  # fmt: skip
    return found


def read_shares(devices: Iterable[int], now_ms: int) -> dict[int, float]:
    """Return {device: share in per cent of the readings expected in the last 24 whole hours}, from the rollups."""
    owners = dict(Channel.objects.filter(device__in=list(devices), is_active=True).values_list("pk", "device_id"))
    if not owners:
        return {}
    until = now_ms // HOUR_MS * HOUR_MS
    terms = dict(Channel.objects.filter(pk__in=list(owners)).values_list("pk", "expected_interval_s"))
    sql = "SELECT channel, sum(readings) FROM telemetry_rollup_hour WHERE hour >= ? AND hour < ? GROUP BY channel"
    got = dict(store.query(sql, [until - DAY_MS, until]))
    readings: dict[int, float] = {}
    expected: dict[int, float] = {}
    for channel, device in owners.items():
        due = DAY_MS / 1000 / max(1, terms[channel])
        expected[device] = expected.get(device, 0.0) + due
        # What is sent more often than agreed does not make up for what another channel lacks.
        readings[device] = readings.get(device, 0.0) + min(due, float(got.get(channel, 0)))
    return {device: 100 * readings[device] / expected[device] for device in expected}


@dataclass(frozen=True)
class Summary:
    """How the devices of a person's scope are, by state, and those that need somebody."""

    counts: Mapping[str, int]
    worst: Sequence[tuple[Device, Health]]
    total: int


def overview(person: Person, *, now: datetime) -> Summary:
    rows: list[Any] = list(with_intervals(list_devices(person).filter(removed_at__isnull=True)))
    health = read_health(rows, now=now, with_share=True)
    counts = {key: 0 for key in HEALTH if key != "removed"}
    for one in health.values():
        counts[one.state] = counts.get(one.state, 0) + 1
    order = {"silent": 0, "never": 1, "battery": 2, "drift": 3, "ok": 4}
    listed = sorted(
        ((device, health[device.pk]) for device in rows),
        key=lambda pair: (
            order[pair[1].state],
            pair[1].share_pct if pair[1].share_pct is not None else 101,
            pair[0].code,
        ),
    )
    return Summary(counts, listed, len(rows))


# --- latest readings


def latest_of(channels: Sequence[Channel], now: datetime) -> list[dict[str, Any]]:
    """Return the channels with their latest measured reading and how old it is."""
    latest = store.latest([channel.pk for channel in channels])
    found = []
    for channel in channels:
        about = QUANTITIES[channel.quantity]
        reading = latest.get(channel.pk)
        row: dict[str, Any] = {"channel": channel, "unit": about.unit, "decimals": about.decimals, "kind": about.kind}
        if reading is not None:
            at = _moment(reading[0])
            age_s = (now - at).total_seconds()
            row |= {
                "at": at, "value": reading[1], "is_doubtful": bool(reading[2] & store.OUT_OF_RANGE),
                "is_stale": age_s > max(SILENT_INTERVALS * channel.expected_interval_s, SILENT_LEAST_S),
                "age": alarm_rules.duration_text(max(0.0, age_s)),
            }  # fmt: skip
        found.append(row)
    return found


def line_text(line: Calibration) -> str:
    """Say a calibration in the stored unit of its channel: «× 1,1 + 0,5 m cột nước»."""
    unit = units.label(QUANTITIES[line.channel.quantity].unit)
    sign = "−" if line.offset < 0 else "+"
    return f"× {format_number(line.factor)} {sign} {format_number(abs(line.offset))} {unit}".strip()


# --- the ledger


@dataclass
class LedgerRow:
    """What became of what one device sent in one hour or day. start: aware."""

    device_id: int
    start: datetime
    device: Device | None = None
    received: int = 0
    stored: int = 0
    corrected: int = 0
    duplicate: int = 0
    rejected: int = 0
    quarantined: int = 0
    reasons: list[tuple[str, int, str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.device.code if self.device else UNKNOWN_NAME if self.device_id == UNKNOWN else f"#{self.device_id}"

    @property
    def is_closed(self) -> bool:
        return self.received == self.stored + self.corrected + self.duplicate + self.rejected + self.quarantined


@dataclass(frozen=True)
class Ledger:
    rows: Sequence[LedgerRow]
    totals: LedgerRow
    reasons: Sequence[tuple[str, int, str, str]]  # words, readings, a sample, of which device


def read_ledger(
    person: Person, *, from_at: datetime, until: datetime, by_hour: bool = False, device: Device | None = None,
    only_open: bool = False,
) -> Ledger:  # fmt: skip
    """Return what arrived in [from_at, until) and what became of it, by device and local day or hour, newest first."""
    devices = {one.pk: one for one in ([device] if device else list_devices(person))}
    seen = set(devices) | ({UNKNOWN} if device is None and sees_unknown(person) else set())
    from_ms, to_ms = _ms(from_at), _ms(until)
    size_ms, shift_ms = (HOUR_MS, 0) if by_hour else (DAY_MS, store.LOCAL_OFFSET_MS)
    sums = ", ".join(f"sum({name})" for name in COUNTS)
    # Hours are summed to local days by the database: an hour's ledger of a year of many devices is a long list.
    start_sql = f"(hour + {shift_ms}) / {size_ms} * {size_ms} - {shift_ms}"
    sql = f"SELECT device, {start_sql} AS start, {sums} FROM telemetry_ledger WHERE hour >= ? AND hour < ?"  # noqa: S608
    wanted: list[object] = [from_ms, to_ms]
    if device is not None:
        sql += " AND device = ?"
        wanted.append(device.pk)
    sql += " GROUP BY device, start" if not store.is_postgresql() else " GROUP BY 1, 2"
    rows: list[LedgerRow] = []
    totals = LedgerRow(-1, from_at)
    for device_id, start, *counts in store.query(sql, wanted):
        if device_id not in seen:
            continue
        row = LedgerRow(device_id, _moment(int(start)), devices.get(device_id))
        for name, count in zip(COUNTS, counts, strict=True):
            setattr(row, name, int(count))
        rows.append(row)
        for name in COUNTS:
            setattr(totals, name, getattr(totals, name) + getattr(row, name))
    rows.sort(key=lambda row: (-row.start.timestamp(), row.name))
    reasons = _reasons(rows, seen, devices, from_ms, to_ms, start_sql, device)
    if only_open:
        rows = [row for row in rows if row.rejected or row.quarantined or not row.is_closed]
    return Ledger(rows, totals, reasons)


def _reasons(
    rows: Sequence[LedgerRow], seen: set[int], devices: Mapping[int, Device], from_ms: int, to_ms: int, start_sql: str,
    device: Device | None,
) -> list[tuple[str, int, str, str]]:  # fmt: skip
    sql = f"SELECT device, {start_sql} AS start, reason, readings, last_at, sample FROM telemetry_rejection "  # noqa: S608
    sql += "WHERE hour >= ? AND hour < ?"
    wanted: list[object] = [from_ms, to_ms]
    if device is not None:
        sql += " AND device = ?"
        wanted.append(device.pk)
    by_row: dict[tuple[int, float], dict[str, list[Any]]] = {}
    by_reason: dict[str, list[Any]] = {}
    for device_id, start, reason, readings, last_at, sample in store.query(sql, wanted):
        if device_id not in seen:
            continue
        name = devices[device_id].code if device_id in devices else UNKNOWN_NAME
        group = by_row.setdefault((device_id, int(start) / 1000), {})
        for place, key in ((group, reason), (by_reason, reason)):
            known = place.setdefault(key, [0, 0, "", ""])
            known[0] += readings
            if last_at >= known[1]:
                known[1:] = [last_at, sample, name]
    for row in rows:
        found = by_row.get((row.device_id, row.start.timestamp()), {})
        row.reasons = [(REASONS.get(key, key), one[0], sample_text(one[2])) for key, one in found.items()]
    ordered = sorted(by_reason.items(), key=lambda item: -item[1][0])
    return [(REASONS.get(key, key), one[0], sample_text(one[2]), one[3]) for key, one in ordered]


# --- quarantine


@dataclass(frozen=True)
class Quarantined:
    """A message that nobody could read. payload None in lists."""

    id: int
    device_id: int
    topic: str
    size: int
    received_at: datetime
    reason: str
    state: str
    outcome: str
    decided_at: datetime | None
    decided_by: int | None
    device: Device | None = None
    payload: bytes | None = None

    @property
    def name(self) -> str:
        return self.device.code if self.device else UNKNOWN_NAME

    @property
    def road(self) -> str:
        """Say how the message came: its topic, or by HTTP in which form."""
        if not self.topic.startswith(BY_HTTP):
            return f"MQTT, chủ đề {self.topic}"
        _, form, code = self.topic.split(":", 2)
        return f"HTTP, dạng {'CSV' if form == 'CSV' else 'JSON'}, mã truy cập của thiết bị {code}"

    @property
    def label(self) -> tuple[str, str, str]:
        return {
            "NEW": ("Chờ xem", "warning", "inbox"), "REPLAYED": ("Đã nạp lại", "good", "circle-check"),
            "DISMISSED": ("Đã bỏ", "neutral", "trash"),
        }[self.state]  # fmt: skip


_QUARANTINE = "id, device, topic, length(payload), received_at, reason, state, outcome, decided_at, decided_by"


def list_quarantine(
    person: Person, *, state: str = "NEW", device: Device | None = None, limit: int = 1_000
) -> list[Quarantined]:
    """Return messages in quarantine of devices in the person's scope, newest first."""
    devices = {one.pk: one for one in ([device] if device else list_devices(person))}
    shows_unknown = device is None and sees_unknown(person)
    sql = f"SELECT {_QUARANTINE} FROM telemetry_quarantine"  # noqa: S608 - our own names
    wanted: list[object] = []
    if state:
        sql += " WHERE state = ?"
        wanted.append(state)
    sql += " ORDER BY received_at DESC, id DESC LIMIT 20000"
    found = []
    for row in store.query(sql, wanted):
        if row[1] in devices or (row[1] == UNKNOWN and shows_unknown):
            found.append(_quarantined(row, devices))
            if len(found) >= limit:
                break
    return found


def get_quarantined(person: Person, number: int) -> Quarantined:
    """Raises LookupError if there is none or the person may not see it."""
    if number >= 2**63:
        raise LookupError(number)
    rows = store.query(f"SELECT {_QUARANTINE}, payload FROM telemetry_quarantine WHERE id = ?", [number])  # noqa: S608
    if not rows:
        raise LookupError(number)
    device_id = rows[0][1]
    devices = {one.pk: one for one in list_devices(person).filter(pk=device_id)}
    if not devices and not (device_id == UNKNOWN and sees_unknown(person)):
        raise LookupError(number)
    return _quarantined(rows[0], devices)


def _quarantined(row: Sequence[Any], devices: Mapping[int, Device]) -> Quarantined:
    number, device_id, topic, size, received_ms, reason, state, outcome, decided_ms, decided_by, *payload = row
    return Quarantined(
        number, device_id, topic, size, _moment(received_ms), payloads.in_words(reason), state, outcome,
        _moment(decided_ms) if decided_ms else None, decided_by, devices.get(device_id),
        bytes(payload[0]) if payload else None,
    )  # fmt: skip


@dataclass(frozen=True)
class Correction:
    """A reading that was replaced. new: what replaced it; None where that lies in the archive."""

    channel: int
    at: datetime
    old: float
    new: float | None
    replaced_at: datetime
    reason: str


def list_corrections(channels: Sequence[int], *, limit: int = 20) -> list[Correction]:
    """Return the newest replaced readings, the last replaced first."""
    if not channels:
        return []
    marks = ", ".join("?" for _ in channels)
    sql = f"SELECT channel, at, value, replaced_at, reason FROM telemetry_reading_history WHERE channel IN ({marks}) "  # noqa: S608
    rows = store.query(sql + f"ORDER BY replaced_at DESC, at DESC LIMIT {int(limit)}", list(channels))
    replaced_by: dict[tuple[int, int], float] = {}
    if rows:
        pairs = sorted({(row[0], row[1]) for row in rows})
        which = " OR ".join("(channel = ? AND at = ?)" for _ in pairs)
        sql = f"SELECT channel, at, value FROM telemetry_reading WHERE {which}"  # noqa: S608 - marks alone
        now = store.query(sql, [number for pair in pairs for number in pair])
        replaced_by = {(channel, at): value for channel, at, value in now}
    found = []
    for channel, at, old, replaced_at, reason in rows:  # of several replacements of one reading the last comes first
        new = replaced_by.get((channel, at))
        found.append(Correction(channel, _moment(at), old, new, _moment(replaced_at), reason))
        replaced_by[channel, at] = old
    return found


def list_rejections(device: Device, *, since: datetime, limit: int = 12) -> list[tuple[str, int, datetime, str]]:
    """Return the newest refusals of a device: (words, readings, last at, a sample)."""
    sql = "SELECT reason, readings, last_at, sample FROM telemetry_rejection WHERE device = ? AND hour >= ? "
    rows = store.query(sql + f"ORDER BY last_at DESC LIMIT {int(limit)}", [device.pk, _ms(since)])
    return [(REASONS.get(row[0], row[0]), row[1], _moment(row[2]), sample_text(row[3])) for row in rows]


_SAMPLE = re.compile(r"(?:(?P<key>[^=]*)=)?(?P<value>.*?) @ (?P<at>[^@]*)")


def sample_text(sample: str) -> str:
    """Return how a refused reading read, in words and local time.

    >>> sample_text("p=abc @ 1795389832719"), sample_text("12.5 @ 2026-11-22T00:00:00Z"), sample_text("p=1 @ hôm qua")
    ('p = abc, đo lúc 06:23:52 23/11/2026', '12.5, đo lúc 07:00:00 22/11/2026', 'p = 1, giờ ghi là «hôm qua»')
    >>> sample_text("10 byte: b'[[['"), sample_text("p=1 @ 99999999999999999999")
    ("10 byte: b'[[['", 'p = 1, giờ ghi là «99999999999999999999»')
    """
    found = _SAMPLE.fullmatch(sample)
    if found is None:
        return sample
    read = f"{found['key']} = {found['value']}" if found["key"] else found["value"]
    written = found["at"]
    at = payloads.instant_of(int(written) if written.isascii() and written.isdigit() else written)
    if isinstance(at, str):
        return f"{read}, giờ ghi là «{written}»"
    return f"{read}, đo lúc {_moment(at):%H:%M:%S %d/%m/%Y}"


def show_payload(payload: bytes, most: int = 4_000) -> tuple[str, bool]:
    """Return a payload so that it can be looked at safely, and whether it is text (else: hexadecimal)."""
    part = payload[:most]
    try:
        text = part.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(part) - 4:
            lines = [part[first : first + 32] for first in range(0, min(len(part), 1_024), 32)]
            return "\n".join(line.hex(" ") for line in lines), False
        text = part[: error.start].decode("utf-8")
    safe = "".join(char if char.isprintable() or char in "\n\t" else "·" for char in text)
    return safe, True


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, timezone.get_default_timezone())
