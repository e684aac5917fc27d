"""What people do about alarms and their rules. Each act in one transaction, with its audit row.

Rights: who may enter figures of the work acknowledges and notes; who manages it makes rules, shelves and plans
maintenance.
`by` None is the program itself (default rules, the demonstration).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from machnuoc.core import audit
from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.telemetry import alarm_rules
from machnuoc.telemetry.models import Alarm, AlarmRule, AlarmStep, Channel, Device, Maintenance, RuleProgress, Shelving
from machnuoc.works.models import Work

SHELVE_AT_MOST = timedelta(days=7)
MAINTAIN_AT_MOST = timedelta(days=60)


class AlarmError(ValueError):
    """What was asked cannot be done to this alarm or rule; the text says why and what to do."""


class ChangedMeanwhile(AlarmError):
    """Somebody else saved the rule first."""


def _require(by: Person | None, action: str, work_id: int) -> None:
    if by is not None:
        access.require(by, action, work_id)


def _text(given: str, what: str, most: int) -> str:
    clean = " ".join(given.split())
    if not clean:
        raise AlarmError(f"Ghi {what}.")
    if len(clean) > most:
        raise AlarmError(f"Ghi {what} trong {most} ký tự (đang có {len(clean)}).")
    return clean


# --- rules ----------------------------------------------------------------------------------------------------------

_JUDGES_BY = ("kind", "channel_id", "parameters", "on_delay_s", "off_delay_s", "is_enabled")
_TOLD_WITH = ("name", "priority", "reminder_after_min", "advice")


@transaction.atomic
def put_rule(
    *,
    channel: Channel,
    kind: str,
    name: str,
    parameters: Mapping[str, Any],
    priority: int,
    now: datetime,
    by: Person | None,
    key: str = "",
    others: Iterable[Channel] = (),
    on_delay_s: int = 0,
    off_delay_s: int = 0,
    reminder_after_min: int = 240,
    advice: str = "",
    is_enabled: bool = True,
    applies_from: datetime | None = None,
    version: int | None = None,
) -> AlarmRule:
    """Create the rule of this key, or bring it to what is said here. Saying the same again changes nothing.

    key: empty for a new rule of a person's own. others: what COMBINATION and TANK_HOURS read besides; of works that
    `by` manages too. applies_from: for a new rule, from when readings are judged (default: now); a rule that judges
    otherwise than before applies from now, or from the beginning of the alarm that is open. version: of the rule as it
    was read, to notice that somebody else saved first.
    Raises AlarmError, ChangedMeanwhile, alarm_rules.BadParameters, PermissionDenied.
    """
    beside = {one.pk: one for one in others if one.pk != channel.pk}
    works = {channel.device.work_id} | {one.device.work_id for one in beside.values()}
    for work_id in works:
        _require(by, "manage", work_id)
    clean = alarm_rules.check_parameters(kind, parameters, channels={channel.pk, *beside})
    if kind == AlarmRule.Kind.COMBINATION:
        named = {one["channel"] for one in clean["conditions"]}
        if named != {channel.pk, *beside}:
            raise AlarmError("Các kênh của quy tắc kết hợp phải đúng là các kênh có trong điều kiện.")
    elif beside and kind != AlarmRule.Kind.TANK_HOURS:
        raise AlarmError("Chỉ quy tắc kết hợp và quy tắc bể sắp cạn mới đọc thêm kênh khác.")
    if priority not in AlarmRule.Priority.values:
        raise AlarmError("Chọn mức ưu tiên của quy tắc.")
    if not 0 <= on_delay_s <= 30 * 86_400 or not 0 <= off_delay_s <= 30 * 86_400:
        raise AlarmError("Thời gian phải kéo dài, phải yên: từ 0 giây đến 30 ngày.")
    values: dict[str, Any] = {
        "channel_id": channel.pk,
        "kind": kind,
        "name": _text(name, "tên quy tắc", 160),
        "parameters": clean,
        "priority": priority,
        "on_delay_s": on_delay_s,
        "off_delay_s": off_delay_s,
        "reminder_after_min": reminder_after_min,
        "advice": " ".join(advice.split())[:400],
        "is_enabled": is_enabled,
    }
    rule = AlarmRule.objects.select_for_update().filter(key=key).first() if key else None
    if rule is None:
        rule = AlarmRule.objects.create(key=key or _new_key(channel, kind), applies_from=applies_from or now, **values)
        if beside:
            rule.others.set(beside)
        audit.record("telemetry.rule.made", actor=by, target=rule, kind=kind, channel=channel.pk)
        return rule
    if rule.channel_id != channel.pk:
        _require(by, "manage", rule.channel.device.work_id)
    if version is not None and rule.version != version:
        raise ChangedMeanwhile(f"Quy tắc «{rule.name}» vừa được người khác sửa. Tải lại trang rồi sửa tiếp.")
    linked = set(rule.others.values_list("pk", flat=True))
    judges_otherwise = any(getattr(rule, key) != values[key] for key in _JUDGES_BY) or linked != set(beside)
    if not judges_otherwise and all(getattr(rule, key) == values[key] for key in _TOLD_WITH):
        return rule
    for field, value in values.items():
        setattr(rule, field, value)
    _renew(rule, now, judges_otherwise=judges_otherwise)
    rule.save()
    rule.others.set(beside)
    audit.record("telemetry.rule.changed", actor=by, target=rule, kind=kind, version=rule.version)
    return rule


def _new_key(channel: Channel, kind: str) -> str:
    count = AlarmRule.objects.filter(channel=channel, kind=kind).count()
    while AlarmRule.objects.filter(key=f"{channel.pk}.{kind.lower()}.{count + 1}").exists():
        count += 1
    return f"{channel.pk}.{kind.lower()}.{count + 1}"


def _renew(rule: AlarmRule, now: datetime, *, judges_otherwise: bool) -> None:
    """Give the rule its next version; what was judged by the version before stays as it is."""
    rule.version += 1
    if judges_otherwise:
        running = rule.alarms.filter(ended_at__isnull=True, is_withdrawn=False).first()
        rule.applies_from = running.began_at if running is not None and rule.is_enabled else now
    else:
        RuleProgress.objects.filter(rule=rule).update(rule_version=rule.version)


@transaction.atomic
def take_out_of_service(rule: AlarmRule, *, reason: str, by: Person, now: datetime) -> AlarmRule:
    """Stop judging a rule until somebody returns it to service, for a reason that stays visible. Its alarm ends."""
    _require(by, "manage", rule.channel.device.work_id)
    rule = AlarmRule.objects.select_for_update().get(pk=rule.pk)
    rule.out_of_service_reason = _text(reason, "lý do ngừng dùng quy tắc", 200)
    rule.version += 1
    rule.save(update_fields=["out_of_service_reason", "version"])
    audit.record("telemetry.rule.out_of_service", actor=by, target=rule)
    return rule


@transaction.atomic
def return_to_service(rule: AlarmRule, *, by: Person, now: datetime) -> AlarmRule:
    """Judge the rule again, from now on."""
    _require(by, "manage", rule.channel.device.work_id)
    rule = AlarmRule.objects.select_for_update().get(pk=rule.pk)
    if not rule.out_of_service_reason:
        raise AlarmError(f"Quy tắc «{rule.name}» đang được dùng.")
    rule.out_of_service_reason = ""
    rule.version += 1
    rule.applies_from = now
    rule.save(update_fields=["out_of_service_reason", "version", "applies_from"])
    audit.record("telemetry.rule.in_service", actor=by, target=rule)
    return rule


# --- alarms ---------------------------------------------------------------------------------------------------------


def _add_step(alarm: Alarm, what: str, now: datetime, by: Person | None, text: str = "") -> None:
    AlarmStep.objects.create(alarm=alarm, what=what, at=now, by=by, text=text[:500])


@transaction.atomic
def acknowledge(alarms: Iterable[Alarm], *, by: Person, now: datetime, note: str = "") -> int:
    """Take alarms on, with those that they caused, and return how many changed. note: what is being done.

    Raises AlarmError if none of them was waiting to be acknowledged, PermissionDenied.
    """
    asked = list(alarms)
    for work_id in {alarm.work_id for alarm in asked}:
        _require(by, "enter", work_id)
    ids = {alarm.pk for alarm in asked}
    rows = list(
        Alarm.objects.select_for_update()
        .filter(state__in=[Alarm.State.ACTIVE_UNACKED, Alarm.State.RETURNED_UNACKED])
        .filter(pk__in=[*ids, *Alarm.objects.filter(cause_id__in=ids).values_list("pk", flat=True)])
    )
    if not rows:
        raise AlarmError("Cảnh báo này đã có người nhận hoặc đã xong. Tải lại trang để xem ai đã nhận.")
    note = _text(note, "việc đang làm", 500) if note.strip() else ""
    for alarm in rows:
        if alarm.work_id not in {one.work_id for one in asked}:
            _require(by, "enter", alarm.work_id)
        is_active = alarm.state == Alarm.State.ACTIVE_UNACKED
        alarm.state = Alarm.State.ACTIVE_ACKED if is_active else Alarm.State.NORMAL
        alarm.acked_at, alarm.acked_by, alarm.changed_at = now, by, now
        alarm.save(update_fields=["state", "acked_at", "acked_by", "changed_at"])
        _add_step(alarm, AlarmStep.What.ACKED, now, by, note if alarm.pk in ids else "")
    audit.record("telemetry.alarm.acknowledged", actor=by, target=rows[0], count=len(rows))
    return len(rows)


@transaction.atomic
def add_note(alarm: Alarm, *, text: str, by: Person, now: datetime) -> AlarmStep:
    """Write under an alarm what was found or done. Raises AlarmError, PermissionDenied."""
    _require(by, "enter", alarm.work_id)
    step = AlarmStep.objects.create(
        alarm=alarm, what=AlarmStep.What.NOTED, at=now, by=by, text=_text(text, "việc đã làm", 500)
    )
    Alarm.objects.filter(pk=alarm.pk).update(changed_at=now)
    audit.record("telemetry.alarm.noted", actor=by, target=alarm)
    return step


@transaction.atomic
def shelve(rule: AlarmRule, *, until: datetime, reason: str, by: Person, now: datetime) -> Shelving:
    """Keep a rule quiet until an instant, at most SHELVE_AT_MOST from now: it goes on judging, nobody is called."""
    _require(by, "manage", rule.channel.device.work_id)
    if not now < until <= now + SHELVE_AT_MOST:
        raise AlarmError(f"Chỉ tạm gác được từ bây giờ đến nhiều nhất {SHELVE_AT_MOST.days} ngày. Chọn lại thời điểm.")
    AlarmRule.objects.select_for_update().get(pk=rule.pk)
    if rule.shelvings.filter(ended_at__isnull=True, until__gt=now).exists():
        raise AlarmError(f"Quy tắc «{rule.name}» đang được tạm gác. Thôi tạm gác trước khi gác lại.")
    made = Shelving.objects.create(
        rule=rule, from_at=now, until=until, reason=_text(reason, "lý do tạm gác", 200), by=by
    )
    for alarm in rule.alarms.filter(ended_at__isnull=True, is_withdrawn=False):
        _add_step(alarm, AlarmStep.What.SHELVED, now, by, made.reason)
    audit.record("telemetry.rule.shelved", actor=by, target=rule, until=until.isoformat())
    return made


@transaction.atomic
def unshelve(rule: AlarmRule, *, by: Person, now: datetime) -> None:
    """Let a shelved rule call again before its time."""
    _require(by, "manage", rule.channel.device.work_id)
    if not rule.shelvings.filter(ended_at__isnull=True, until__gt=now).update(ended_at=now):
        raise AlarmError(f"Quy tắc «{rule.name}» không còn được tạm gác.")
    for alarm in rule.alarms.filter(ended_at__isnull=True, is_withdrawn=False):
        _add_step(alarm, AlarmStep.What.UNSHELVED, now, by)
    audit.record("telemetry.rule.unshelved", actor=by, target=rule)


@transaction.atomic
def plan_maintenance(
    work: Work,
    *,
    from_at: datetime,
    until: datetime,
    reason: str,
    by: Person,
    now: datetime,
    device: Device | None = None,
) -> Maintenance:
    """Plan work on a station (or one of its devices), during which its alarms call nobody."""
    _require(by, "manage", work.pk)
    if device is not None and device.work_id != work.pk:
        raise AlarmError(f"Thiết bị {device.code} không thuộc công trình này. Chọn thiết bị của công trình.")
    if not from_at < until or until - from_at > MAINTAIN_AT_MOST:
        raise AlarmError(f"Bảo trì phải kết thúc sau khi bắt đầu, dài nhất {MAINTAIN_AT_MOST.days} ngày.")
    if until <= now:
        raise AlarmError("Đợt bảo trì này đã qua. Chọn thời điểm kết thúc sau bây giờ.")
    made = Maintenance.objects.create(
        work=work, device=device, from_at=from_at, until=until, reason=_text(reason, "nội dung bảo trì", 200), by=by
    )
    audit.record(
        "telemetry.maintenance.planned", actor=by, target=work, device=device.code if device else "", id=made.pk
    )
    return made


@transaction.atomic
def end_maintenance(maintenance: Maintenance, *, by: Person, now: datetime) -> None:
    """End a maintenance now; one that has not begun is taken off the plan."""
    _require(by, "manage", maintenance.work_id)
    row = Maintenance.objects.select_for_update().filter(pk=maintenance.pk).first()
    if row is None or row.until <= now:
        raise AlarmError("Đợt bảo trì này đã kết thúc.")
    audit.record("telemetry.maintenance.ended", actor=by, target=row.work, id=row.pk)
    if row.from_at >= now:
        row.delete()
    else:
        row.until = now
        row.save(update_fields=["until"])


audit.describe("telemetry.rule.made", "đặt quy tắc cảnh báo {target}")
audit.describe("telemetry.rule.changed", "sửa quy tắc cảnh báo {target}")
audit.describe("telemetry.rule.out_of_service", "ngừng dùng quy tắc cảnh báo {target}")
audit.describe("telemetry.rule.in_service", "dùng lại quy tắc cảnh báo {target}")
audit.describe("telemetry.rule.shelved", "tạm gác quy tắc cảnh báo {target} đến {until}")
audit.describe("telemetry.rule.unshelved", "thôi tạm gác quy tắc cảnh báo {target}")
audit.describe("telemetry.alarm.acknowledged", "nhận {count} cảnh báo: {target}")
audit.describe("telemetry.alarm.noted", "ghi việc đã làm của cảnh báo {target}")
audit.describe("telemetry.maintenance.planned", "lên lịch bảo trì {target}")
audit.describe("telemetry.maintenance.ended", "kết thúc bảo trì {target}")
