"""Devices, readings and alarms for programs. Readings themselves come in by the door for devices (http_ingest.py)."""

from datetime import date, datetime, time, timedelta
from typing import Any

from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Field, Query, Router, Schema

from machnuoc.core.api import DEFAULT_PAGE, MAX_PAGE, BadQuery, Page, answer_json, idempotent, person_of, take_page
from machnuoc.core.models import Person
from machnuoc.core.periods import LOCAL_ZONE
from machnuoc.telemetry import alarm_operations, alarm_queries, device_queries, history, store
from machnuoc.telemetry.models import Alarm, Channel
from machnuoc.telemetry.quantities import QUANTITIES

router = Router(tags=["Giám sát trực tuyến"])

_ID_MOST = 2**31 - 1  # of what the store holds as a channel
_SPAN_MOST = timedelta(days=3_660)


class TelemetryPage(Schema):
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)


class TelemetryFilter(TelemetryPage):
    work_key: str = Field("", max_length=120)
    device_code: str = Field("", max_length=48)


class TelemetryDeviceOut(Schema):
    code: str
    name: str
    kind: str
    protocol: str
    work_key: str
    installed_at: datetime | None
    removed_at: datetime | None
    is_simulated: bool
    state: str = Field(description="ok, silent, never, battery, drift, removed")
    received_at: datetime | None
    measured_at: datetime | None
    battery_pct: float | None
    drift_s: float | None


class TelemetryChannelOut(Schema):
    id: int
    device_code: str
    work_key: str
    key: str
    name: str
    quantity: str
    unit: str = Field(description="of the stored values")
    point: str
    expected_interval_s: int
    is_active: bool
    is_public: bool
    measuring_place: str = Field(description="name of the place at which it measures; empty: the work itself")
    is_simulated: bool


class TelemetryLatestOut(Schema):
    channel_id: int
    device_code: str
    work_key: str
    key: str
    quantity: str
    unit: str
    at: datetime | None = Field(description="of the latest measured reading; null: none yet")
    value: float | None
    is_out_of_range: bool
    is_simulated: bool


class TelemetrySeriesOut(Schema):
    """Columns of one length; null is a gap."""

    channel: int
    unit: str
    from_ms: int
    to_ms: int
    at: list[int] = Field(description="ms since 1970, UTC")
    value: list[float | None]
    low: list[float | None]
    high: list[float | None]
    volume: list[float | None] | None = None
    source: str = Field(description="raw, hour or day")
    bucket_ms: int
    gaps: list[list[int]]
    readings: int
    is_simulated: bool


class TelemetrySeriesFilter(Schema):
    from_at: datetime
    to_at: datetime
    points: int = Field(720, ge=10, le=2_000)
    source: str = Field("", pattern="^(raw|hour|day)?$")


class TelemetryAlarmOut(Schema):
    id: int
    work_key: str
    device_code: str
    channel_id: int
    rule_id: int
    kind: str
    priority: int = Field(description="1 urgent … 4 low")
    state: str
    text: str
    began_at: datetime
    raised_at: datetime
    ended_at: datetime | None
    acked_at: datetime | None
    cause_id: int | None
    is_late: bool
    is_simulated: bool


class TelemetryAlarmFilter(TelemetryFilter):
    state: str = Field("open", pattern="^(open|all)$")
    from_at: datetime | None = None
    to_at: datetime | None = None


class TelemetryAckIn(Schema):
    note: str = Field("", max_length=500, description="what is being done")


class TelemetryAckOut(Schema):
    acknowledged: int = Field(description="with the alarms that followed from it")
    state: str


class TelemetryLedgerFilter(Schema):
    from_date: date
    to_date: date = Field(description="included")
    device_code: str = Field("", max_length=48)
    by: str = Field("day", pattern="^(day|hour)$")


class TelemetryLedgerRow(Schema):
    device_code: str | None = Field(description="null: nobody that we know")
    start: datetime
    received: int
    stored: int
    corrected: int
    duplicate: int
    rejected: int
    quarantined: int
    is_closed: bool


class TelemetryLedgerOut(Schema):
    rows: list[TelemetryLedgerRow]
    is_closed: bool


@router.get("/telemetry/devices", response=Page[TelemetryDeviceOut], summary="Devices in the token's scope")
def list_telemetry_devices(request: HttpRequest, wanted: Query[TelemetryFilter]):  # type: ignore[no-untyped-def]
    rows = device_queries.with_intervals(device_queries.list_devices(person_of(request)))
    if wanted.work_key:
        rows = rows.filter(work__subject__key=wanted.work_key)
    if wanted.device_code:
        rows = rows.filter(code=wanted.device_code)
    found, cursor = take_page(rows, cursor=wanted.cursor, limit=wanted.limit)
    health = device_queries.read_health(found, now=timezone.now())
    items = []
    for one in found:
        how = health[one.pk]
        items.append({
            "code": one.code, "name": one.name, "kind": one.kind, "protocol": one.protocol,
            "work_key": one.work.subject.key, "installed_at": one.installed_at, "removed_at": one.removed_at,
            "is_simulated": one.is_simulated, "state": how.state, "received_at": how.received_at,
            "measured_at": how.measured_at, "battery_pct": how.battery_pct, "drift_s": how.drift_s,
        })  # fmt: skip
    return {"items": items, "next_cursor": cursor}


def _channels(person: Person, wanted: TelemetryFilter) -> tuple[list[Channel], str | None]:
    rows = Channel.objects.filter(device__in=device_queries.list_devices(person).values("pk"))
    rows = rows.select_related("device__work__subject", "feature")
    if wanted.work_key:
        rows = rows.filter(device__work__subject__key=wanted.work_key)
    if wanted.device_code:
        rows = rows.filter(device__code=wanted.device_code)
    return take_page(rows, cursor=wanted.cursor, limit=wanted.limit)


@router.get("/telemetry/channels", response=Page[TelemetryChannelOut], summary="What devices measure")
def list_telemetry_channels(request: HttpRequest, wanted: Query[TelemetryFilter]):  # type: ignore[no-untyped-def]
    found, cursor = _channels(person_of(request), wanted)
    names = ("id", "key", "name", "quantity", "point", "expected_interval_s", "is_active", "is_public")
    items = [
        {**{name: getattr(one, name) for name in names}, "measuring_place": str(one.feature or ""), **_about(one)}
        for one in found
    ]
    return {"items": items, "next_cursor": cursor}


def _about(channel: Channel) -> dict[str, Any]:
    device = channel.device
    return {
        "device_code": device.code, "work_key": device.work.subject.key, "is_simulated": device.is_simulated,
        "unit": QUANTITIES[channel.quantity].unit,
    }  # fmt: skip


@router.get("/telemetry/latest", response=Page[TelemetryLatestOut], summary="The latest measured reading of channels")
def list_telemetry_latest(request: HttpRequest, wanted: Query[TelemetryFilter]):  # type: ignore[no-untyped-def]
    found, cursor = _channels(person_of(request), wanted)
    latest = store.latest([one.pk for one in found])
    items = []
    for one in found:
        at, value, quality = latest.get(one.pk, (None, None, 0))
        items.append({
            "channel_id": one.pk, "key": one.key, "quantity": one.quantity, **_about(one), "value": value,
            "at": None if at is None else datetime.fromtimestamp(at / 1000, LOCAL_ZONE),
            "is_out_of_range": bool(quality & store.OUT_OF_RANGE),
        })  # fmt: skip
    return {"items": items, "next_cursor": cursor}


@router.get(
    "/telemetry/channels/{channel_id}/series", response=TelemetrySeriesOut, summary="One channel over a span of time"
)
def get_telemetry_series(request: HttpRequest, channel_id: int, wanted: Query[TelemetrySeriesFilter]):  # type: ignore[no-untyped-def]
    visible = device_queries.list_devices(person_of(request))
    if not 0 < channel_id <= _ID_MOST:
        raise Http404("no such channel")
    channel = Channel.objects.filter(pk=channel_id, device__in=visible.values("pk")).select_related("device").first()
    if channel is None:
        raise Http404(f"no channel {channel_id} in scope")
    start, end = _aware(wanted.from_at), _aware(wanted.to_at)
    if not start < end or end - start > _SPAN_MOST:
        raise BadQuery("to_at: phải sau from_at, cách nhiều nhất mười năm.")
    from_ms, to_ms = (round(at.timestamp() * 1000) for at in (start, end))
    series = history.read(channel_id, from_ms, to_ms, wanted.points, source=wanted.source)
    data = series.as_data(6)
    data |= {"from_ms": data.pop("from"), "to_ms": data.pop("to"), "unit": QUANTITIES[channel.quantity].unit}
    return answer_json(200, {**data, "is_simulated": channel.device.is_simulated})


def _aware(at: datetime) -> datetime:
    """Return the instant; one without offset is of local time. Raises BadQuery outside the years that there are."""
    if not 1990 <= at.year <= 2200:
        raise BadQuery("from_at, to_at: năm phải từ 1990 đến 2200.")
    return at if at.tzinfo else at.replace(tzinfo=LOCAL_ZONE)


@router.get("/telemetry/alarms", response=Page[TelemetryAlarmOut], summary="Alarms: open ones, or all of a span")
def list_telemetry_alarms(request: HttpRequest, wanted: Query[TelemetryAlarmFilter]):  # type: ignore[no-untyped-def]
    person = person_of(request)
    rows = alarm_queries.history(
        person, from_at=_aware(wanted.from_at) if wanted.from_at else None,
        until=_aware(wanted.to_at) if wanted.to_at else None,
    )  # fmt: skip
    if wanted.state == "open":
        rows = rows.exclude(state=Alarm.State.NORMAL)
    if wanted.work_key:
        rows = rows.filter(work__subject__key=wanted.work_key)
    if wanted.device_code:
        rows = rows.filter(rule__channel__device__code=wanted.device_code)
    found, cursor = take_page(rows, cursor=wanted.cursor, limit=wanted.limit)
    names = (
        "id", "rule_id", "priority", "state", "text", "began_at", "raised_at", "ended_at", "acked_at", "cause_id",
        "is_late",
    )  # fmt: skip
    items = [
        {
            **{name: getattr(one, name) for name in names}, "work_key": one.work.subject.key,
            "device_code": one.rule.channel.device.code, "channel_id": one.rule.channel_id, "kind": one.rule.kind,
            "is_simulated": one.rule.channel.device.is_simulated,
        }
        for one in found
    ]  # fmt: skip
    return {"items": items, "next_cursor": cursor}


@router.post("/telemetry/alarms/{alarm_id}/ack", response={200: TelemetryAckOut}, summary="Acknowledge an alarm")
@idempotent
def acknowledge_telemetry_alarm(request: HttpRequest, alarm_id: int, said: TelemetryAckIn) -> tuple[int, Any]:
    person = person_of(request)
    alarm = alarm_queries.list_visible(person).filter(pk=alarm_id).first() if 0 < alarm_id < 2**63 else None
    if alarm is None:
        raise Http404(f"no alarm {alarm_id} in scope")
    count = alarm_operations.acknowledge([alarm], by=person, now=timezone.now(), note=said.note)
    alarm.refresh_from_db(fields=["state"])
    return 200, {"acknowledged": count, "state": alarm.state}


@router.get("/telemetry/ledger", response=TelemetryLedgerOut, summary="What arrived, and what became of it")
def get_telemetry_ledger(request: HttpRequest, wanted: Query[TelemetryLedgerFilter]):  # type: ignore[no-untyped-def]
    person = person_of(request)
    if not 1990 <= wanted.from_date.year <= wanted.to_date.year <= 2200 or wanted.to_date < wanted.from_date:
        raise BadQuery("to_date: phải từ from_date trở đi.")
    if (wanted.to_date - wanted.from_date).days > 400:
        raise BadQuery("to_date: nhiều nhất 400 ngày một lần.")
    device = None
    if wanted.device_code:
        device = device_queries.list_devices(person).filter(code=wanted.device_code).first()
        if device is None:
            raise Http404(f"no device {wanted.device_code} in scope")
    found = device_queries.read_ledger(
        person, from_at=datetime.combine(wanted.from_date, time.min, tzinfo=LOCAL_ZONE),
        until=datetime.combine(wanted.to_date + timedelta(days=1), time.min, tzinfo=LOCAL_ZONE),
        by_hour=wanted.by == "hour", device=device,
    )  # fmt: skip
    rows = [
        {
            "device_code": row.device.code if row.device else None, "start": row.start, "is_closed": row.is_closed,
            **{name: getattr(row, name) for name in device_queries.COUNTS},
        }
        for row in found.rows
    ]  # fmt: skip
    return {"rows": rows, "is_closed": all(row["is_closed"] for row in rows)}
