"""What people do to devices and channels. Each act in one transaction, with its audit row.

Rights: who manages the work. `by` None is the program itself (the demonstration). Whatever changes how readings are
read raises `Device.version`, so that every receiver sees it within seconds (directory.CHECK_EVERY_MS).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from machnuoc.core import audit, jobs
from machnuoc.core.models import Document, Person
from machnuoc.core.vietnamese import format_datetime
from machnuoc.places import access
from machnuoc.places.models import Containment, Subject
from machnuoc.telemetry import alarm_defaults, broker, counter_steps, credentials, quantity_operations, rollups, store
from machnuoc.telemetry.models import Alarm, AlarmRule, Calibration, Channel, Device, QualityLimit, TotaliserMark
from machnuoc.telemetry.quantities import QUANTITIES, ChannelKind, list_limited
from machnuoc.telemetry.store import DAY_MS, HOUR_MS
from machnuoc.works.models import Work

_CODE = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,47}")
_SLACK = timedelta(minutes=5)
_QUALITY_BACK = timedelta(days=400)  # how far back shares within limits are made anew for a new limit
INTERVAL_MOST_S = 7 * 86_400


class DeviceError(ValueError):
    """What was asked cannot be done to this device or channel; the text says why and what to do."""


class ChangedMeanwhile(DeviceError):
    """Somebody else saved the device first."""


def _require(by: Person | None, work_id: int) -> None:
    if by is not None:
        access.require(by, "manage", work_id)


def _touch(device_id: int) -> None:
    Device.objects.filter(pk=device_id).update(version=F("version") + 1)


# --- devices


@transaction.atomic
def put_device(
    *,
    code: str,
    name: str,
    kind: str,
    protocol: str,
    work: Work,
    by: Person | None,
    now: datetime,
    sender_id: str = "",
    clock_offset_min: int = 0,
    place_note: str = "",
    latitude: Any = None,
    longitude: Any = None,
    make: str = "",
    serial: str = "",
    installed_at: datetime | None = None,
    note: str = "",
    is_simulated: bool | None = None,
    device: Device | None = None,
    version: int | None = None,
) -> tuple[Device, bool]:
    """Enter a device, or bring the given one to what is said here. Return it and whether something changed.

    version: of the device as it was read, to notice that somebody else saved first. is_simulated: None keeps it.
    Raises DeviceError, ChangedMeanwhile, PermissionDenied.
    """
    _require(by, work.pk)
    code, sender_id = code.strip(), sender_id.strip()
    if not _CODE.fullmatch(code) or not broker.may_be_user(code):
        raise DeviceError(
            f"Mã thiết bị «{code[:60]}» không dùng được: chỉ gồm a–z, 0–9, «-», «_», bắt đầu bằng chữ hoặc số, "
            "không bắt đầu bằng «machnuoc-»; tối đa 48 ký tự."
        )
    if (latitude is None) != (longitude is None):
        raise DeviceError(f"Thiết bị {code}: ghi cả vĩ độ và kinh độ, hoặc để trống cả hai.")
    values: dict[str, Any] = {
        "name": name.strip() or code, "kind": kind, "protocol": protocol, "work": work, "sender_id": sender_id,
        "clock_offset_min": clock_offset_min, "place_note": place_note, "latitude": latitude, "longitude": longitude,
        "make": make, "serial": serial, "note": note,
    }  # fmt: skip
    if protocol == Device.Protocol.CHIRPSTACK:
        values["sender_id"] = sender_id.lower()
        if not re.fullmatch(r"[0-9a-f]{16}", values["sender_id"]):
            raise DeviceError(f"Thiết bị {code} gửi qua ChirpStack: ghi DevEUI, gồm 16 chữ số thập lục phân.")
    if is_simulated is not None:
        values["is_simulated"] = is_simulated
    if installed_at is not None or device is None:
        values["installed_at"] = installed_at
    is_new = device is None
    if device is None:
        if Device.objects.filter(code=code).exists():
            raise DeviceError(f"Đã có thiết bị mang mã {code}. Chọn mã khác.")
        device = Device(code=code)
    else:
        device = Device.objects.select_for_update().get(pk=device.pk)
        _require(by, device.work_id)
        if version is not None and device.version != version:
            raise ChangedMeanwhile(f"Thiết bị {device.code} vừa được người khác sửa. Tải lại trang rồi sửa tiếp.")
        if code != device.code:
            raise DeviceError(f"Không đổi được mã {device.code}: mã là tên đăng nhập và chủ đề MQTT của thiết bị.")
        if all(getattr(device, field) == value for field, value in values.items()):
            return device, False
    moved = not is_new and device.work_id != work.pk
    if moved and device.channels.exists():
        raise DeviceError(
            f"Thiết bị {code} đã có kênh và số liệu của công trình cũ. "
            "Ghi tháo thiết bị ở đó, rồi nhập thiết bị mới ở công trình này."
        )
    for field, value in values.items():
        setattr(device, field, value)
    device.version = 1 if is_new else device.version + 1
    try:
        with transaction.atomic():
            device.save()
    except IntegrityError:
        raise DeviceError(f"Mã trên mạng gửi «{values['sender_id']}» đã thuộc thiết bị khác.") from None
    audit.record("telemetry.device.saved", actor=by, target=device, created=is_new)
    return device, True


@transaction.atomic
def describe_device(
    device: Device, *, by: Person, name: str | None = None, note: str | None = None, make: str | None = None
) -> Device:
    """Change how a device is called and described; its code stays. None keeps. Raises DeviceError, PermissionDenied."""
    device = Device.objects.select_for_update().get(pk=device.pk)
    _require(by, device.work_id)
    device.name = device.name if name is None else _read_name(name, device.name)
    device.note = device.note if note is None else note
    device.make = device.make if make is None else make
    device.version += 1
    device.save(update_fields=["name", "note", "make", "version"])
    audit.record("telemetry.device.saved", actor=by, target=device, created=False)
    return device


@transaction.atomic
def describe_channel(
    channel: Channel, *, by: Person, name: str | None = None, description: str | None = None
) -> Channel:
    """Change how a channel is called and described; nothing of its readings changes. None keeps.

    Raises DeviceError, PermissionDenied.
    """
    channel = Channel.objects.select_for_update(of=("self",)).select_related("device").get(pk=channel.pk)
    _require(by, channel.device.work_id)
    channel.name = channel.name if name is None else _read_name(name, channel.name)
    channel.description = channel.description if description is None else description
    channel.save(update_fields=["name", "description"])
    _touch(channel.device_id)
    audit.record("telemetry.channel.saved", actor=by, target=channel, device=channel.device.code, created=False)
    return channel


def _read_name(name: str, before: str) -> str:
    clean = "".join(char for char in " ".join(name.split()) if char.isprintable())
    if not clean or len(clean) > 120:
        raise DeviceError(f"Chưa đổi được tên «{before}»: tên mới phải có từ 1 đến 120 ký tự.")
    return clean


@transaction.atomic
def remove_device(device: Device, *, at: datetime, reason: str, by: Person | None, now: datetime) -> Device:
    """Take a device off: readings after that instant are refused, its secrets end. Its history stays.

    Raises DeviceError, PermissionDenied.
    """
    _require(by, device.work_id)
    device = Device.objects.select_for_update().get(pk=device.pk)
    if device.removed_at is not None:
        raise DeviceError(f"Thiết bị {device.code} đã tháo từ trước.")
    if at > now + _SLACK:
        raise DeviceError(f"Chưa ghi tháo thiết bị {device.code} được cho một lúc trong tương lai.")
    if device.installed_at is not None and at <= device.installed_at:
        raise DeviceError(f"Thiết bị {device.code} chưa lắp vào lúc đó. Chọn thời điểm tháo sau lúc lắp.")
    device.removed_at = at
    device.note = "\n".join(filter(None, [device.note, f"Tháo: {' '.join(reason.split())}"]))
    device.version += 1
    device.save(update_fields=["removed_at", "note", "version"])
    for one in device.credentials.filter(revoked_at__isnull=True):
        credentials.revoke(one, by, now)
    ids = list(device.channels.values_list("pk", flat=True))
    transaction.on_commit(lambda: rollups.mark(ids, _ms(at) - DAY_MS, _ms(now) + HOUR_MS))
    audit.record("telemetry.device.removed", actor=by, target=device)
    return device


@transaction.atomic
def delete_device(device: Device, *, by: Person) -> None:
    """Delete a device that never sent anything, with its channels: one entered by mistake.

    Raises DeviceError, PermissionDenied.
    """
    device = Device.objects.select_for_update().get(pk=device.pk)
    _require(by, device.work_id)
    if store.query("SELECT 1 FROM telemetry_ledger WHERE device = ? LIMIT 1", [device.pk]):
        raise DeviceError(
            f"Thiết bị {device.code} đã gửi số liệu, nên không xóa được. Ghi tháo ở trang thiết bị: lịch sử còn lại."
        )
    for channel in device.channels.all():
        delete_channel(channel, by=by)
    audit.record("telemetry.device.deleted", actor=by, target=device, code=device.code)
    device.delete()


# --- channels


@transaction.atomic
def put_channel(
    device: Device,
    *,
    key: str,
    name: str,
    quantity: str,
    by: Person | None,
    now: datetime,
    sent_unit: str = "",
    low: float | None = None,
    high: float | None = None,
    channel: Channel | None = None,
    with_rules: bool = True,
    operating: Mapping[str, tuple[float | None, float | None]] | None = None,
    **fields: Any,
) -> tuple[Channel, bool]:
    """Enter a channel of a device, or bring the given one to what is said; return it and whether something changed.

    sent_unit: empty for the stored unit. low, high: believable span in the stored unit; None for the quantity's own.
    fields: other fields of Channel. A new channel gets the default rules of its quantity (alarm_defaults), unless told
    not to. Raises DeviceError, PermissionDenied.
    """
    _require(by, device.work_id)
    key = key.strip()
    about = QUANTITIES.get(quantity)
    if about is None or not quantity_operations.hold(quantity):
        raise DeviceError(f"Không có đại lượng «{quantity[:30]}».")
    if not _KEY.fullmatch(key):
        raise DeviceError(f"Khóa «{key[:60]}» không dùng được: chữ không dấu, số, «_», «-», «.»; tối đa 48 ký tự.")
    sent_unit = sent_unit or about.unit
    if sent_unit not in {about.unit, *about.accepted_units}:
        offered = ", ".join((about.unit, *about.accepted_units))
        raise DeviceError(
            f"Kênh {key}: {about.name.lower()} không nhận đơn vị «{sent_unit[:20]}». Chọn một trong: {offered}."
        )
    values: dict[str, Any] = {
        "name": name.strip() or about.name, "quantity": quantity, "sent_unit": sent_unit,
        "low": about.low if low is None else low, "high": about.high if high is None else high, **fields,
    }  # fmt: skip
    if not values["low"] < values["high"]:
        raise DeviceError(f"Kênh {key}: khoảng tin được phải có mức dưới nhỏ hơn mức trên.")
    if not 1 <= values.get("expected_interval_s", 300) <= INTERVAL_MOST_S:
        raise DeviceError(f"Kênh {key}: chu kỳ gửi phải từ 1 giây đến 7 ngày.")
    _check_role(key, quantity, values)
    is_new = channel is None
    if channel is None:
        if device.channels.filter(key=key).exists():
            raise DeviceError(f"Thiết bị {device.code} đã có kênh mang khóa «{key}».")
        channel = Channel(device=device, key=key)
    else:
        channel = Channel.objects.select_for_update().get(pk=channel.pk)
        if channel.quantity != quantity:
            raise DeviceError(
                f"Không đổi được đại lượng của kênh {channel.key}: số liệu cũ sẽ sai nghĩa. Thêm kênh mới."
            )
        if key == channel.key and all(getattr(channel, field) == value for field, value in values.items()):
            return channel, False
        if key != channel.key and device.channels.filter(key=key).exists():
            raise DeviceError(f"Thiết bị {device.code} đã có kênh mang khóa «{key}».")
        channel.key = key
    for field, value in values.items():
        setattr(channel, field, value)
    channel.save()
    _touch(device.pk)
    if is_new and with_rules:
        alarm_defaults.put_rules(channel, now=now, by=by, operating=operating)
    if not is_new:
        remake_rollups([channel.pk], now=now, reason="kênh được khai lại")
    audit.record("telemetry.channel.saved", actor=by, target=channel, device=device.code, created=is_new)
    return channel, True


@transaction.atomic
def delete_channel(channel: Channel, *, by: Person) -> None:
    """Delete a channel that has no reading and no alarm, with its rules: one entered by mistake.

    Raises DeviceError, PermissionDenied.
    """
    channel = Channel.objects.select_for_update(of=("self",)).select_related("device").get(pk=channel.pk)
    _require(by, channel.device.work_id)
    name = f"Kênh {channel.key} của thiết bị {channel.device.code}"
    for table in ("telemetry_reading", "telemetry_rollup_hour"):
        if store.query(f"SELECT 1 FROM {table} WHERE channel = ? LIMIT 1", [channel.pk]):  # noqa: S608 - our own names
            raise DeviceError(f"{name} đã có số đọc, nên không xóa được. Bỏ dấu «Đang dùng» ở trang thiết bị.")
    rules = AlarmRule.objects.filter(channel=channel)
    if Alarm.objects.filter(rule__in=rules).exists() or AlarmRule.objects.filter(others=channel).exists():
        raise DeviceError(
            f"{name} đã có cảnh báo hoặc nằm trong quy tắc của kênh khác, nên không xóa được. "
            "Bỏ dấu «Đang dùng» ở trang thiết bị."
        )
    rules.delete()
    _touch(channel.device_id)
    audit.record("telemetry.channel.deleted", actor=by, target=channel, device=channel.device.code, key=channel.key)
    channel.delete()


def _check_role(key: str, quantity: str, values: Mapping[str, Any]) -> None:
    role = values.get("role", "")
    allowed = {
        Channel.Role.PRODUCED: {"volume", "flow"}, Channel.Role.SUPPLIED: {"volume", "flow"},
        Channel.Role.CONTINUITY: {"pressure"}, Channel.Role.ENERGY: {"energy"},
        Channel.Role.QUALITY: {"chlorine", "turbidity", "ph"},
    }  # fmt: skip
    if role and quantity not in allowed.get(role, set()):
        raise DeviceError(
            f"Kênh {key}: đại lượng «{QUANTITIES[quantity].name}» không dùng được cho «{Channel.Role(role).label}»."
        )
    if role == Channel.Role.CONTINUITY and values.get("minimum") is None:
        raise DeviceError(f"Kênh {key}: để tính thời gian cấp nước, ghi áp lực tối thiểu coi là có nước (mH₂O).")


def remake_rollups(channels: list[int], *, now: datetime, reason: str, from_at: datetime | None = None) -> None:
    """Let a job mark the hours of these channels, so that rollups and figures are made anew."""
    start = from_at or now - _QUALITY_BACK
    jobs.enqueue(
        "telemetry.remake_rollups", channels=channels, from_ms=_ms(start), to_ms=_ms(now) + HOUR_MS, reason=reason
    )


# --- calibrations and counters


@dataclass(frozen=True)
class Line:
    """stored = sent × factor + offset."""

    factor: float = 1.0
    offset: float = 0.0


@transaction.atomic
def calibrate(
    channel: Channel,
    *,
    valid_from: datetime,
    factor: float,
    offset: float,
    note: str,
    by: Person | None,
    now: datetime,
) -> tuple[Calibration, bool]:
    """Calibrate a channel from an instant on; return the calibration and whether stored readings are recomputed.

    A calibration that reaches back lets a job replace what is stored since, as corrections with this reason; what a
    person overruled stays. Raises DeviceError, PermissionDenied.
    """
    _require(by, channel.device.work_id)
    if not factor or abs(factor) > 1e6 or abs(offset) > 1e9:
        raise DeviceError("Hệ số phải khác 0; hệ số và độ lệch phải là những số có thật của một thiết bị đo.")
    if valid_from > now + timedelta(days=366):
        raise DeviceError("Chỉ đặt trước được hiệu chuẩn trong vòng một năm. Chọn lại thời điểm.")
    Channel.objects.select_for_update().get(pk=channel.pk)
    there = channel.calibrations.filter(valid_from=valid_from).first()
    before = there or channel.calibrations.filter(valid_from__lt=valid_from).order_by("-valid_from").first()
    old = Line(before.factor, before.offset) if before else Line()
    after = channel.calibrations.filter(valid_from__gt=valid_from).order_by("valid_from").first()
    values = {"factor": factor, "offset": offset, "note": note.strip()[:200], "made_by": by}
    made, _ = Calibration.objects.update_or_create(channel=channel, valid_from=valid_from, defaults=values)
    _touch(channel.device_id)
    until = min(now, after.valid_from) if after else now
    is_back_dated = valid_from < until and old != Line(factor, offset)
    entry = audit.record("telemetry.channel.calibrated", actor=by, target=channel, factor=factor, offset=offset)
    if is_back_dated:
        jobs.enqueue(
            "telemetry.recalibrate", by=by, channel_id=channel.pk, from_ms=_ms(valid_from), to_ms=_ms(until),
            old=[old.factor, old.offset], new=[factor, offset],
            reason=f"hiệu chuẩn lại từ {format_datetime(valid_from)} (nhật ký {entry.pk})",
        )  # fmt: skip
    return made, is_back_dated


@transaction.atomic
def overrule_totaliser(
    channel: Channel,
    *,
    at: datetime,
    what: str,
    step_m3: float | None,
    reason: str,
    by: Person,
    now: datetime,
) -> TotaliserMark:
    """Say what happened to a counter at a step, in the place of what the rule saw there; its volumes are made anew.

    at: of the reading after the event, to the millisecond: a decision about no reading would change nothing, and is
    refused. step_m3: what flowed in that step; None lets the kind of event say.
    Raises DeviceError, PermissionDenied.
    """
    _require(by, channel.device.work_id)
    if QUANTITIES[channel.quantity].kind != ChannelKind.TOTAL:
        raise DeviceError(f"Kênh {channel.key} không phải đồng hồ đếm, nên không có bước nhảy để quyết định.")
    if what not in TotaliserMark.What.values:
        raise DeviceError("Chọn sự kiện của đồng hồ.")
    if not reason.strip():
        raise DeviceError("Ghi lý do của quyết định: người đọc số sau này cần biết.")
    if not counter_steps.has_step(channel.pk, _ms(at)):
        raise DeviceError(
            f"Kênh {channel.key} không có bước nào kết thúc lúc {timezone.localtime(at):%H:%M:%S %d/%m/%Y}: không có "
            "số đọc lúc ấy, hoặc đó là số đọc đầu tiên. Chọn số đọc ngay sau sự kiện."
        )
    values = {"what": what, "step_m3": step_m3, "reason": reason.strip()[:200], "decided_by": by, "decided_at": now}
    mark, _ = TotaliserMark.objects.update_or_create(channel=channel, at=at, defaults=values)
    transaction.on_commit(lambda: rollups.mark([channel.pk], _ms(at) - DAY_MS, _ms(at) + DAY_MS))
    audit.record("telemetry.totaliser.decided", actor=by, target=channel, what=what, at=at.isoformat())
    return mark


# --- limits


@transaction.atomic
def put_limit(
    *,
    subject: Subject,
    quantity: str,
    low: float | None,
    high: float | None,
    standard: str,
    source: str,
    confidence: str,
    by: Person,
    now: datetime,
    valid_from: date | None = None,
    valid_to: date | None = None,
    document: Document | None = None,
    limit: QualityLimit | None = None,
) -> QualityLimit:
    """Enter a limit of a dated standard for a work or a place, or correct one; shares within limits are made anew.

    Raises DeviceError, PermissionDenied.
    """
    access.require(by, "manage", subject)
    limited = list_limited()
    if quantity not in {each.key for each in limited} or not quantity_operations.hold(quantity):
        raise DeviceError(f"Chỉ đặt được giới hạn cho: {', '.join(each.name.lower() for each in limited)}.")
    if low is None and high is None:
        raise DeviceError("Ghi mức dưới, mức trên, hoặc cả hai.")
    if low is not None and high is not None and low >= high:
        raise DeviceError("Mức dưới phải nhỏ hơn mức trên.")
    if valid_from and valid_to and valid_from >= valid_to:
        raise DeviceError("Ngày hết hiệu lực phải sau ngày có hiệu lực.")
    if not standard.strip() or not source.strip():
        raise DeviceError("Ghi tên quy chuẩn và nguồn: giới hạn không có văn bản thì không được hiện.")
    if confidence == QualityLimit.Confidence.VERIFIED and document is None:
        raise DeviceError("Giới hạn đã đối chiếu phải kèm văn bản. Chọn văn bản, hoặc để «chưa đối chiếu văn bản».")
    if limit is not None:
        access.require(by, "manage", limit.subject_id)
    row = limit or QualityLimit()
    values = {
        "subject": subject, "quantity": quantity, "low": low, "high": high, "valid_from": valid_from,
        "valid_to": valid_to, "standard": standard.strip(), "document": document, "source": source.strip(),
        "confidence": confidence,
    }  # fmt: skip
    for field, value in values.items():
        setattr(row, field, value)
    row.save()
    inside = Containment.objects.filter(ancestor=subject).values("descendant_id")
    ids = list(
        Channel.objects.filter(device__work_id__in=inside, quantity=quantity, role=Channel.Role.QUALITY).values_list(
            "pk", flat=True
        )
    )
    if ids:
        remake_rollups(ids, now=now, reason="giới hạn chất lượng nước được khai lại")
    audit.record("telemetry.limit.saved", actor=by, target=row, subject=subject.key, quantity=quantity)
    return row


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


audit.describe("telemetry.device.saved", "lưu thiết bị {target}")
audit.describe("telemetry.device.removed", "tháo thiết bị {target}")
audit.describe("telemetry.device.deleted", "xóa thiết bị {code} chưa từng gửi số liệu")
audit.describe("telemetry.channel.deleted", "xóa kênh {key} của thiết bị {device}, chưa có số đọc")
audit.describe("telemetry.channel.saved", "lưu kênh {target} của thiết bị {device}")
audit.describe("telemetry.channel.calibrated", "hiệu chuẩn kênh {target}: × {factor} + {offset}")
audit.describe("telemetry.totaliser.decided", "quyết định bước nhảy của đồng hồ {target}: {what}")
audit.describe("telemetry.limit.saved", "ghi giới hạn chất lượng nước {target}")
audit.describe("telemetry.quarantine.replayed", "nạp lại bản tin cách ly số {number}")
audit.describe("telemetry.quarantine.dismissed", "bỏ bản tin cách ly số {number}")
