"""What writes report duties and each time they fall due. Each act is one transaction with its audit row.

Who may: a manager of the duty's subject keeps the duty, asks ad hoc, waives and takes back; a unit that owes the report
(who enters, approves or manages for it) says that it was sent. `by` None is the program itself (loading, jobs).
"""

import hashlib
import secrets
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Prefetch, Q, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.text import slugify

from machnuoc.core import audit, folding, notices
from machnuoc.core.models import Passage, Person
from machnuoc.core.periods import Period
from machnuoc.core.vietnamese import format_date
from machnuoc.places import access
from machnuoc.places.models import Grant, Organisation, Subject
from machnuoc.planning import duty_rules, visibility
from machnuoc.planning.duty_rules import Terms
from machnuoc.planning.errors import ChangedMeanwhile, PlanningError
from machnuoc.planning.models import Duty, DutyEvent, DutyInstance, DutyReminder, DutyUnit, FeedToken, Plan

audit.describe("planning.duty.saved", "lưu nghĩa vụ báo cáo {target}")
audit.describe("planning.duty.opened", "mở {count} kỳ báo cáo")
audit.describe("planning.duty.asked", "yêu cầu báo cáo đột xuất, {count} đơn vị: {target}")
audit.describe("planning.duty.submitted", "ghi nhận đã gửi báo cáo {target}")
audit.describe("planning.duty.reopened", "mở lại kỳ báo cáo {target}")
audit.describe("planning.duty.waived", "miễn kỳ báo cáo {target}")
audit.describe("planning.duty.reminded", "nhắc {count} kỳ báo cáo")
audit.describe("planning.feed.made", "tạo địa chỉ lịch báo cáo của {target}")
audit.describe("planning.feed.revoked", "thu hồi địa chỉ lịch báo cáo của {target}")

NOTICE = "planning.duty"
HORIZON_DAYS = 400  # more than a year: a yearly duty is always on the calendar
LOOK_BACK_DAYS = 31  # what fell due just before a duty was entered can still be reported as sent
_REMIND_UNTIL_DAYS = 60  # after the last day: what nobody answered by then is seen in the statistics
_ACTING = (Grant.Role.STATION, Grant.Role.DEPARTMENT, Grant.Role.COMMUNE, Grant.Role.LEADER)
_STAGE_TEXT = {
    "OPENED": "đã mở, hạn {day}",
    "D7": "còn không quá 7 ngày, hạn {day}",
    "D3": "còn không quá 3 ngày, hạn {day}",
    "D1": "đến hạn ngày mai, {day}",
    "DUE": "đến hạn, hạn {day}",
    "LATE1": "đã quá hạn {day}",
    "LATE7": "đã quá hạn hơn 7 ngày (hạn {day})",
}


class DutyError(PlanningError):
    """An act on a report duty that cannot be done; the text says why and what to do."""


@dataclass(frozen=True)
class Unit:
    """Who owes the report, and from when to when (valid_to excluded)."""

    organisation: Organisation
    valid_from: date | None = None
    valid_to: date | None = None


def terms_of(duty: Duty) -> Terms:
    """Return what the duty says about its dates."""
    return Terms(
        rule=duty.rule, edge=duty.edge, shift=duty.shift, grace_days=duty.grace_days,  # type: ignore[arg-type]
        starts_on=duty.starts_on, ends_on=duty.ends_on, covers=duty.covers,  # type: ignore[arg-type]
        period_kind=duty.period_kind, opens_days_before=duty.opens_days_before,  # type: ignore[arg-type]
    )  # fmt: skip


def has_dates(timing: str) -> bool:
    return timing in (Duty.Timing.RECURRING, Duty.Timing.ONCE)


@transaction.atomic
def put_duty(
    *,
    key: str,
    name: str,
    subject: Subject,
    units: Iterable[Unit | Organisation] = (),
    plan: Plan | None = None,
    order: int = 0,
    to_organisation: Organisation | None = None,
    to_as_printed: str = "",
    from_as_printed: str = "",
    timing: str = Duty.Timing.RECURRING,
    rule: str = "",
    starts_on: date | None = None,
    ends_on: date | None = None,
    edge: str = Duty.Edge.INCLUSIVE,
    edge_as_printed: str = "",
    shift: str = Duty.Shift.NONE,
    grace_days: int = 0,
    covers: str = Duty.Covers.NONE,
    period_kind: str = "",
    opens_days_before: int = 14,
    channel: str = "",
    report_kind: str = "",
    passage: Passage | None = None,
    is_active: bool = True,
    note: str = "",
    version: int | None = None,
    by: Person | None = None,
) -> Duty:
    """Create the duty of this key, or bring it to what is said here. Idempotent. Call open_instances afterwards.

    subject: the territory it holds in. ONCE: write the day in starts_on with the rule FREQ=YEARLY;COUNT=1. AD_HOC and
    CONTINUOUS have no rule. Raises DutyError (a rule that gives no certain day), ChangedMeanwhile, PermissionDenied.
    """
    _require_manager(by, subject)
    said: dict[str, Any] = {
        "name": name, "subject_id": subject.pk, "plan_id": plan.pk if plan else None, "order": order,
        "to_organisation_id": to_organisation.pk if to_organisation else None, "to_as_printed": to_as_printed,
        "from_as_printed": from_as_printed, "timing": timing, "rule": rule.strip().upper(), "starts_on": starts_on,
        "ends_on": ends_on, "edge": edge, "edge_as_printed": edge_as_printed, "shift": shift,
        "grace_days": grace_days, "covers": covers, "period_kind": period_kind,
        "opens_days_before": opens_days_before, "channel": channel, "report_kind": report_kind,
        "passage_id": passage.pk if passage else None, "is_active": is_active, "note": note,
    }  # fmt: skip
    _check(said)
    duty = Duty.objects.select_for_update().filter(key=key).first()
    if duty is None:
        duty, changed = Duty.objects.create(key=key, **said), True
    else:
        if version is not None and duty.version != version:
            raise ChangedMeanwhile(
                f"«{duty}» vừa được người khác sửa. Nội dung của bạn chưa được lưu; "
                "tải lại trang để xem bản mới rồi sửa tiếp."
            )
        if duty.subject_id != subject.pk:
            _require_manager(by, duty.subject)
        changed = any(getattr(duty, field) != value for field, value in said.items())
        if changed:
            for field, value in said.items():
                setattr(duty, field, value)
            duty.version += 1
            duty.save()
    if _set_units(duty, units) or changed:
        audit.record("planning.duty.saved", actor=by, target=duty, key=key)
    return duty


def _check(said: dict[str, Any]) -> None:
    name = said["name"]
    for field, choices in (
        ("timing", Duty.Timing),
        ("edge", Duty.Edge),
        ("shift", Duty.Shift),
        ("covers", Duty.Covers),
    ):
        if said[field] not in choices.values:
            raise DutyError(f"Nghĩa vụ «{name}»: không có lựa chọn «{said[field]}». Chọn một giá trị trong biểu.")
    if not has_dates(said["timing"]):
        if said["rule"]:
            raise DutyError(f"Nghĩa vụ «{name}» không có lịch định kỳ: bỏ quy tắc, hoặc chọn loại «Định kỳ».")
        return
    if said["timing"] == Duty.Timing.ONCE and "COUNT=1" not in said["rule"].split(";"):
        raise DutyError(f"Nghĩa vụ «{name}» chỉ có một lần: quy tắc phải có COUNT=1.")
    try:
        duty_rules.check(
            Terms(said["rule"], said["edge"], starts_on=said["starts_on"], ends_on=said["ends_on"],
                  covers=said["covers"], period_kind=said["period_kind"])
        )  # fmt: skip
    except duty_rules.BadRule as reason:
        raise DutyError(f"Nghĩa vụ «{name}»: {reason}") from reason


def _set_units(duty: Duty, units: Iterable[Unit | Organisation]) -> bool:
    wanted = {}
    for unit in units:
        said = unit if isinstance(unit, Unit) else Unit(unit)
        wanted[said.organisation.pk] = (said.valid_from, said.valid_to)
    have = {row.organisation_id: row for row in duty.units.all()}
    gone = have.keys() - wanted.keys()
    DutyUnit.objects.filter(duty=duty, organisation_id__in=gone).delete()
    changed = bool(gone)
    fresh = []
    for organisation_id, (start, end) in wanted.items():
        row = have.get(organisation_id)
        if row is None:
            fresh.append(DutyUnit(duty=duty, organisation_id=organisation_id, valid_from=start, valid_to=end))
        elif (row.valid_from, row.valid_to) != (start, end):
            row.valid_from, row.valid_to = start, end
            row.save(update_fields=["valid_from", "valid_to"])
            changed = True
    DutyUnit.objects.bulk_create(fresh)
    return changed or bool(fresh)


@transaction.atomic
def add_duty(*, by: Person, today: date, plan: Plan | None, name: str, subject: Subject, **said: Any) -> Duty:
    """Enter a duty of one's own, with a key made of plan and name, and open its dates. Raises as put_duty."""
    Subject.objects.select_for_update(no_key=True).only("pk").get(pk=subject.pk)  # two at once: two keys
    stem = f"duty.{plan.key if plan else 'khac'}.{slugify(folding.fold(name))[:40].strip('-') or 'bao-cao'}"
    taken = set(Duty.objects.filter(key__startswith=stem).values_list("key", flat=True))
    number = 1
    while (key := stem if number == 1 else f"{stem}-{number}") in taken:
        number += 1
    duty = put_duty(key=key, name=name, plan=plan, subject=subject, by=by, version=0, **said)
    open_instances(today, duties=[duty.pk], by=by)
    return duty


@transaction.atomic
def edit_duty(duty: Duty, *, by: Person, today: date, version: int, **said: Any) -> Duty:
    """Change a duty and make its coming dates anew; what was sent, waived or fell due before stays. As put_duty."""
    changed = put_duty(key=duty.key, by=by, version=version, **said)
    open_instances(today, duties=[duty.pk], by=by)
    return changed


@transaction.atomic
def set_recipient(duty: Duty, organisation: Organisation, *, version: int | None, today: date, by: Person) -> Duty:
    """Send the duty's reports to another organisation from now on: the successor of one that is no more.

    Raises DutyError (that one has ended too), ChangedMeanwhile, PermissionDenied.
    """
    _require_manager(by, duty.subject)
    current = Duty.objects.select_for_update().get(pk=duty.pk)
    if version is not None and current.version != version:
        raise ChangedMeanwhile(f"«{current}» vừa được người khác sửa. Tải lại trang để xem bản mới rồi sửa tiếp.")
    ended = organisation.subject.valid_to
    if ended is not None and ended <= today:
        raise DutyError(f"«{organisation.subject.name}» đã kết thúc hoạt động từ {ended:%d/%m/%Y}. Chọn đơn vị khác.")
    if current.to_organisation_id != organisation.pk:
        current.to_organisation = organisation
        current.version += 1
        current.save(update_fields=["to_organisation", "version"])
        audit.record("planning.duty.saved", actor=by, target=current, key=current.key)
    return current


def _require_manager(by: Person | None, subject: Subject) -> None:
    if by is not None and not access.may(by, "manage", subject):
        raise PermissionDenied("Chỉ người quản lý ở địa bàn của nghĩa vụ mới đặt được lịch báo cáo.")


# --- the times that a duty falls due


@transaction.atomic
def open_instances(
    today: date,
    horizon_days: int = HORIZON_DAYS,
    *,
    duties: Iterable[int] | None = None,
    by: Person | None = None,
) -> int:
    """Open what falls due from LOOK_BACK_DAYS before today to the horizon, and return how many rows changed.

    May run as often as one likes. Coming instances follow their duty when it was changed; past, sent, waived and ad hoc
    ones stay. A unit owes nothing after it ended. duties: ids; None for all.
    """
    start, end = today - timedelta(days=LOOK_BACK_DAYS), today + timedelta(days=horizon_days + 1)
    chosen = Duty.objects.prefetch_related(
        Prefetch("units", DutyUnit.objects.select_related("organisation__subject"), to_attr="owing")
    )
    if duties is not None:
        chosen = chosen.filter(pk__in=list(duties))
    # Two at once would both find the same days missing: the second waits here, and finds them.
    list(Duty.objects.select_for_update().filter(pk__in=chosen.values("pk")).order_by("pk").values_list("pk"))
    wanted: dict[tuple[int, int, date], DutyInstance] = {}
    for duty in chosen:
        if not duty.is_active or not has_dates(duty.timing):
            continue
        for due in duty_rules.between(terms_of(duty), start, end):
            for unit in duty.owing:
                if _owes(unit, due.rule_date):
                    made = _instance(duty, unit.organisation_id, due)
                    wanted[made.duty_id, made.organisation_id, made.rule_date] = made
    existing = DutyInstance.objects.select_for_update().filter(
        duty__in=chosen.values("pk"), rule_date__gte=start, reason=""
    )
    gone: list[int] = []
    moved: list[DutyInstance] = []
    for row in existing:
        coming = wanted.pop((row.duty_id, row.organisation_id, row.rule_date), None)
        is_settled = row.submitted_on is not None or row.waived_by_id is not None or row.last_day < today
        if is_settled:
            continue
        if coming is None:
            if row.rule_date < end:
                gone.append(row.pk)
        elif any(getattr(row, field) != getattr(coming, field) for field in _DATES):
            for field in _DATES:
                setattr(row, field, getattr(coming, field))
            moved.append(row)
    DutyInstance.objects.filter(pk__in=gone).delete()
    DutyInstance.objects.bulk_update(moved, _DATES, batch_size=500)
    # An ad hoc instance may already hold the day: it stands.
    held = set(
        DutyInstance.objects.filter(duty__in=chosen.values("pk"), rule_date__gte=start)
        .exclude(reason="")
        .values_list("duty_id", "organisation_id", "rule_date")
    )
    fresh = [made for key, made in wanted.items() if key not in held]
    DutyInstance.objects.bulk_create(fresh, batch_size=500)
    count = len(gone) + len(moved) + len(fresh)
    if count:
        audit.record("planning.duty.opened", actor=by, count=count, removed=len(gone), moved=len(moved))
    return count


_DATES = ("last_day", "grace_until", "opens_on", "period_kind", "period_start")


def _owes(unit: DutyUnit, day: date) -> bool:
    ended = unit.organisation.subject.valid_to
    return (
        (unit.valid_from is None or unit.valid_from <= day)
        and (unit.valid_to is None or day < unit.valid_to)
        and (ended is None or day < ended)
    )


def _instance(duty: Duty, organisation_id: int, due: duty_rules.DueDate) -> DutyInstance:
    return DutyInstance(
        duty_id=duty.pk, organisation_id=organisation_id, rule_date=due.rule_date, last_day=due.last_day,
        grace_until=due.grace_until, opens_on=due.opens_on, period_kind=due.period.kind if due.period else "",
        period_start=due.period.start_date if due.period else None,
    )  # fmt: skip


@transaction.atomic
def add_ad_hoc(
    duty: Duty,
    *,
    organisations: Iterable[Organisation],
    due_on: date,
    reason: str,
    today: date,
    period: Period | None = None,
    by: Person | None = None,
) -> list[DutyInstance]:
    """Ask units for a report out of turn, due on that day (included), and tell their people.

    Raises DutyError (no reason, a day gone by, no unit, already owed that day), PermissionDenied.
    """
    _require_manager(by, duty.subject)
    reason = reason.strip()
    asked = list(organisations)
    if not reason:
        raise DutyError("Yêu cầu đột xuất cần nêu lý do hoặc số văn bản yêu cầu. Nhập lý do rồi lưu lại.")
    if not asked:
        raise DutyError("Chọn ít nhất một đơn vị phải báo cáo.")
    if due_on < today:
        raise DutyError(f"Ngày {due_on:%d/%m/%Y} đã qua. Chọn hạn từ hôm nay trở đi.")
    ended = [row for row in asked if row.subject.valid_to is not None and row.subject.valid_to <= due_on]
    if ended:
        raise DutyError(f"«{ended[0].subject.name}» đã kết thúc hoạt động. Chọn đơn vị kế tục nhiệm vụ.")
    held = DutyInstance.objects.filter(duty=duty, rule_date=due_on, organisation__in=asked).select_related(
        "organisation__subject"
    )
    if taken := held.first():
        raise DutyError(
            f"«{taken.organisation.subject.name}» đã có kỳ báo cáo này hạn {due_on:%d/%m/%Y}. Chọn ngày khác."
        )
    made = DutyInstance.objects.bulk_create(
        [
            DutyInstance(
                duty=duty, organisation=row, rule_date=due_on, last_day=due_on, grace_until=due_on, opens_on=today,
                reason=reason[:300], period_kind=period.kind if period else "",
                period_start=period.start_date if period else None,
            )
            for row in asked
        ]
    )  # fmt: skip
    DutyEvent.objects.bulk_create(
        [DutyEvent(instance=row, kind=DutyEvent.Kind.ASKED, text=reason[:300], person=by) for row in made]
    )
    audit.record("planning.duty.asked", actor=by, target=duty, count=len(made), due_on=due_on)
    acting = _list_acting([row.pk for row in asked])
    now = timezone.now()
    for row in made:
        people = acting.people(row.organisation_id)
        notices.notify(
            people, kind=NOTICE, url=reverse("planning:duty_instance", args=[row.pk]),
            text=f"Báo cáo đột xuất: {duty.name}, hạn {format_date(due_on)}. Lý do: {reason}",
        )  # fmt: skip
        DutyReminder.objects.create(instance=row, stage="OPENED", sent_at=now, count=len(people))
    return made


def _locked(instance: DutyInstance) -> DutyInstance:
    return (
        DutyInstance.objects.select_for_update(of=("self",))
        .select_related("duty__subject", "organisation__subject")
        .get(pk=instance.pk)
    )


def may_submit(person: Person, instance: DutyInstance) -> bool:
    """Return whether the person acts for the unit that owes the report."""
    owner = instance.organisation_id
    return visibility.answers_for(person, owner) or visibility.is_of(person, "manage", owner)


@transaction.atomic
def submit(
    instance: DutyInstance, *, submitted_on: date, note: str, today: date, by: Person | None = None
) -> DutyInstance:
    """Record that the report was sent on that day; note: its number, address or way of sending.

    Raises DutyError (sent before, waived, a day to come, no note), PermissionDenied.
    """
    row = _locked(instance)
    if by is not None and not may_submit(by, row):
        raise PermissionDenied("Chỉ người của đơn vị nợ báo cáo mới ghi nhận được việc gửi.")
    what = f"«{row.duty.name}» của {row.organisation.subject.name}"
    if row.submitted_on is not None:
        raise DutyError(f"{what} đã ghi nhận gửi ngày {row.submitted_on:%d/%m/%Y}. Muốn sửa thì mở lại kỳ này trước.")
    if row.waived_by_id is not None:
        raise DutyError(f"{what} đã được miễn kỳ này. Muốn gửi thì mở lại kỳ này trước.")
    if submitted_on > today:
        raise DutyError(f"Ngày gửi {submitted_on:%d/%m/%Y} chưa tới. Nhập ngày thực gửi.")
    if not note.strip():
        raise DutyError("Ghi số văn bản, địa chỉ hoặc cách gửi để sau này tìm lại được.")
    row.submitted_on, row.submitted_by, row.submitted_note = submitted_on, by, note.strip()[:300]
    row.save(update_fields=["submitted_on", "submitted_by", "submitted_note"])
    _event(row, DutyEvent.Kind.SUBMITTED, row.submitted_note, by, on_date=submitted_on)
    audit.record("planning.duty.submitted", actor=by, target=row, submitted_on=submitted_on)
    return row


@transaction.atomic
def reopen(instance: DutyInstance, *, reason: str, by: Person | None) -> DutyInstance:
    """Take back a submission or a waiver, with the reason; the unit's people are told. Raises DutyError."""
    row = _locked(instance)
    _require_manager(by, row.duty.subject)
    if row.submitted_on is None and row.waived_by_id is None:
        raise DutyError(f"«{row.duty.name}» kỳ này chưa gửi và chưa được miễn: không có gì để mở lại.")
    if not reason.strip():
        raise DutyError("Nêu lý do mở lại kỳ báo cáo.")
    row.submitted_on = row.submitted_by = row.waived_by = None
    row.submitted_note = row.waived_reason = ""
    row.save(update_fields=["submitted_on", "submitted_by", "submitted_note", "waived_by", "waived_reason"])
    _event(row, DutyEvent.Kind.REOPENED, reason.strip()[:300], by)
    audit.record("planning.duty.reopened", actor=by, target=row)
    notices.notify(
        _list_acting([row.organisation_id]).people(row.organisation_id), kind=NOTICE,
        text=f"Kỳ báo cáo được mở lại: {row.duty.name}, hạn {format_date(row.last_day)}. Lý do: {reason.strip()}",
        url=reverse("planning:duty_instance", args=[row.pk]),
    )  # fmt: skip
    return row


@transaction.atomic
def waive(instance: DutyInstance, *, reason: str, by: Person) -> DutyInstance:
    """Free the unit of this one report, with the reason. Raises DutyError, PermissionDenied."""
    row = _locked(instance)
    _require_manager(by, row.duty.subject)
    if row.submitted_on is not None:
        raise DutyError(f"«{row.duty.name}» kỳ này đã gửi ngày {row.submitted_on:%d/%m/%Y}: không cần miễn.")
    if row.waived_by_id is not None:
        raise DutyError(f"«{row.duty.name}» kỳ này đã được miễn.")
    if not reason.strip():
        raise DutyError("Nêu lý do miễn, ví dụ số văn bản cho phép.")
    row.waived_by, row.waived_reason = by, reason.strip()[:300]
    row.save(update_fields=["waived_by", "waived_reason"])
    _event(row, DutyEvent.Kind.WAIVED, row.waived_reason, by)
    audit.record("planning.duty.waived", actor=by, target=row)
    return row


def _event(row: DutyInstance, kind: str, text: str, by: Person | None, on_date: date | None = None) -> None:
    DutyEvent.objects.create(instance=row, kind=kind, text=text, person=by, on_date=on_date)


# --- reminders


class _Acting:
    """Who acts for organisations, and who leads them: found for many in a few queries."""

    def __init__(self, organisation_ids: Iterable[int], today: date | None = None) -> None:
        self._above: dict[int, list[int]] = {}
        parents: dict[int, int | None] = {}
        frontier = set(organisation_ids)
        while frontier:  # an organisation tree has few levels
            rows = dict(Organisation.objects.filter(pk__in=frontier).values_list("pk", "parent_id"))
            parents |= rows
            frontier = {parent for parent in rows.values() if parent is not None} - parents.keys()
        for organisation_id in organisation_ids:
            chain, node = [], organisation_id if organisation_id in parents else None
            while node is not None and node not in chain:
                chain.append(node)
                node = parents.get(node)
            self._above[organisation_id] = chain
        day = today or timezone.localdate()
        self._grants: dict[int, list[Grant]] = defaultdict(list)
        live = Grant.objects.filter(scope_id__in=parents, valid_from__lte=day, person__is_active=True).filter(
            Q(valid_to__isnull=True) | Q(valid_to__gt=day)
        )
        for grant in live.select_related("person"):
            self._grants[grant.scope_id].append(grant)

    def people(self, organisation_id: int) -> list[Person]:
        """Return who acts for the organisation itself; if nobody does, who acts for the nearest one above."""
        for scope_id in self._above[organisation_id]:
            found = {
                grant.person
                for grant in self._grants[scope_id]
                if grant.role in _ACTING or (grant.role == Grant.Role.AGENCY and scope_id == organisation_id)
            }
            if found:
                return sorted(found, key=lambda person: person.pk)
        return []

    def leaders(self, organisation_id: int) -> list[Person]:
        """Return the leaders of the organisation and of those above it."""
        scopes = self._above[organisation_id]
        found = {grant.person for scope in scopes for grant in self._grants[scope] if grant.role == Grant.Role.LEADER}
        return sorted(found, key=lambda person: person.pk)


def _list_acting(organisation_ids: Iterable[int], today: date | None = None) -> _Acting:
    return _Acting(list(organisation_ids), today)


@transaction.atomic
def remind(today: date, now: datetime) -> int:
    """Send the reminder that each open instance calls for, once; late ones also to leaders. Returns how many."""
    waiting = (
        DutyInstance.objects.filter(
            submitted_on__isnull=True, waived_by__isnull=True, duty__is_active=True, opens_on__lte=today,
            last_day__gte=today - timedelta(days=_REMIND_UNTIL_DAYS),
        )
        .select_related("duty", "organisation__subject")
        .prefetch_related("reminders")
    )  # fmt: skip
    due: dict[tuple[int, date, str], list[DutyInstance]] = defaultdict(list)
    for row in waiting:
        stage = duty_rules.stage_of(
            opens_on=row.opens_on, last_day=row.last_day, grace_until=row.grace_until, today=today
        )
        if stage and stage not in {reminder.stage for reminder in row.reminders.all()}:
            due[row.duty_id, row.last_day, stage].append(row)
    if not due:
        return 0
    acting = _list_acting({row.organisation_id for rows in due.values() for row in rows}, today)
    sent = []
    for (_, last_day, stage), rows in due.items():
        told: dict[Person, list[DutyInstance]] = defaultdict(list)
        for row in rows:
            people = {*acting.people(row.organisation_id)}
            if stage in duty_rules.ESCALATED:
                people |= {*acting.leaders(row.organisation_id)}
            for person in people:
                told[person].append(row)
            sent.append(DutyReminder(instance=row, stage=stage, sent_at=now, count=len(people)))
        said = _STAGE_TEXT[stage].format(day=format_date(last_day))
        for person, own in told.items():
            who = own[0].organisation.subject.name if len(own) == 1 else f"{len(own)} đơn vị"
            address = (
                reverse("planning:duty_instance", args=[own[0].pk])
                if len(own) == 1
                else f"{reverse('planning:duty_list')}?duty={own[0].duty_id}&month={last_day:%Y-%m}"
            )
            notices.notify([person], kind=NOTICE, text=f"{own[0].duty.name} – {who}: {said}.", url=address)
    DutyReminder.objects.bulk_create(sent, batch_size=500)
    audit.record("planning.duty.reminded", actor=None, count=len(sent))
    return len(sent)


# --- calendar feeds


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@transaction.atomic
def make_feed(person: Person, now: datetime) -> str:
    """Return the secret of the person's calendar feed, told once; an earlier address stops working."""
    token = secrets.token_urlsafe(32)
    FeedToken.objects.update_or_create(person=person, defaults={"token_hash": _hash(token), "made_at": now})
    audit.record("planning.feed.made", actor=person, target=person)
    return token


@transaction.atomic
def revoke_feed(person: Person) -> None:
    """Let the address of the person's feed stop working."""
    if FeedToken.objects.filter(person=person).delete()[0]:
        audit.record("planning.feed.revoked", actor=person, target=person)


def find_feed_owner(token: str) -> Person | None:
    """Return whose feed the secret opens; None if nobody's, or of an account that was stopped."""
    owners: QuerySet[Person] = Person.objects.filter(calendar_feed__token_hash=_hash(token), is_active=True)
    return owners.first()
