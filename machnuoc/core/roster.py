"""Duty: who is on at a moment, and what people do to a roster. Hours are local; a shift may run over midnight."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from machnuoc.core import audit, outgoing, permissions
from machnuoc.core.models import EscalationLevel, Person, Roster, Shift, ShiftOverride
from machnuoc.core.periods import LOCAL_ZONE

OVERRIDE_AT_MOST = timedelta(days=92)
LEVELS_AT_MOST = 5


class RosterError(ValueError):
    """What was asked cannot be done to this roster; the text says why."""


# --- who is on ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Span:
    """Someone on duty in [start_at, end_at). replaced: whose place they take, if it is an override's."""

    person: Person
    start_at: datetime
    end_at: datetime
    is_override: bool = False
    replaced: Person | None = None
    row_id: int = 0


def span_of(shift: Shift, day: date) -> tuple[datetime, datetime]:
    """Return when the shift that begins on this local day starts and ends; an end not after it is the next day's."""
    start_at = datetime.combine(day, shift.start, LOCAL_ZONE)
    last = day + timedelta(days=1) if shift.end <= shift.start else day
    return start_at, datetime.combine(last, shift.end, LOCAL_ZONE)


def list_spans(roster: Roster, from_at: datetime, until: datetime) -> list[Span]:
    """Return who is on in [from_at, until), by time. Overrides cut the shifts they replace."""
    is_loaded = "shifts" in getattr(roster, "_prefetched_objects_cache", {})
    shifts = list(roster.shifts.all() if is_loaded else roster.shifts.select_related("person"))
    overrides = [
        row
        for row in (roster.overrides.all() if is_loaded else roster.overrides.select_related("person", "instead_of"))
        if row.from_at < until and row.until > from_at
    ]
    found: list[Span] = []
    day = from_at.astimezone(LOCAL_ZONE).date() - timedelta(days=1)
    last = until.astimezone(LOCAL_ZONE).date()
    while day <= last:
        for shift in shifts:
            is_valid = (shift.valid_from is None or shift.valid_from <= day) and (
                shift.valid_to is None or day < shift.valid_to
            )
            if shift.weekday != day.weekday() or not is_valid or not shift.person.is_active:
                continue
            pieces = [span_of(shift, day)]
            for override in overrides:
                if override.instead_of_id in {None, shift.person_id}:
                    pieces = [part for piece in pieces for part in _without(piece, (override.from_at, override.until))]
            found += [Span(shift.person, start, end, row_id=shift.pk) for start, end in pieces]
        day += timedelta(days=1)
    found += [
        Span(row.person, row.from_at, row.until, True, row.instead_of, row.pk)
        for row in overrides
        if row.person.is_active
    ]
    inside = [span for span in found if span.start_at < until and span.end_at > from_at]
    return sorted(inside, key=lambda span: (span.start_at, span.end_at, span.person.pk))


def _without(piece: tuple[datetime, datetime], cut: tuple[datetime, datetime]) -> list[tuple[datetime, datetime]]:
    start, end = piece
    if cut[1] <= start or end <= cut[0]:
        return [piece]
    return [part for part in ((start, min(end, cut[0])), (max(start, cut[1]), end)) if part[0] < part[1]]


def who_is_on(roster: Roster, at: datetime, *, level: int = 1) -> list[Person]:
    """Return who is to be called: those on duty (level 1), or the people of a further level; without repeats."""
    if level > 1:
        found = roster.levels.filter(level=level).first()
        return [] if found is None else list(found.people.filter(is_active=True))
    people = {
        span.person.pk: span.person
        for span in list_spans(roster, at, at + timedelta(microseconds=1))
        if span.start_at <= at < span.end_at
    }
    return list(people.values())


def next_level(roster: Roster, level: int) -> EscalationLevel | None:
    """Return the level that is called after this one, None if it is the last."""
    return roster.levels.filter(level__gt=level).order_by("level").first()


@dataclass(frozen=True)
class Day:
    """One day of a week's view."""

    date: date
    is_today: bool
    spans: Sequence[Span]

    @property
    def name(self) -> str:
        return str(Shift.Weekday(self.date.weekday()).label)


def get_week(roster: Roster, monday: date, today: date) -> list[Day]:
    """Return the seven days of a week with who is on in each; a shift over midnight shows on both days."""
    spans = list_spans(roster, _midnight(monday), _midnight(monday + timedelta(days=7)))
    days = []
    for day in (monday + timedelta(days=n) for n in range(7)):
        start, end = _midnight(day), _midnight(day + timedelta(days=1))
        days.append(Day(day, day == today, [one for one in spans if one.start_at < end and one.end_at > start]))
    return days


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(0), LOCAL_ZONE)


def list_uncovered(roster: Roster, from_at: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """Return the spans in which nobody is on."""
    gaps, reached = [], from_at
    for span in list_spans(roster, from_at, until):
        if span.start_at > reached:
            gaps.append((reached, span.start_at))
        reached = max(reached, span.end_at)
    if reached < until:
        gaps.append((reached, until))
    return gaps


# --- reading within scope -------------------------------------------------------------------------------------------


def list_rosters(visible_to: Person, action: str = "view") -> QuerySet[Roster]:
    """Return the rosters of subjects on which the person holds the action."""
    return Roster.objects.filter(subject_id__in=permissions.list_subject_ids(visible_to, action))


def list_loaded(visible_to: Person) -> QuerySet[Roster]:
    """Return the rosters in scope with their shifts and overrides, in a fixed number of queries."""
    return list_rosters(visible_to).prefetch_related("shifts__person", "overrides__person", "overrides__instead_of")


def get_roster(pk: int, visible_to: Person) -> Roster:
    """Return the roster. Raises Roster.DoesNotExist if there is none or the person may not see it."""
    return list_rosters(visible_to).get(pk=pk)


# --- writing --------------------------------------------------------------------------------------------------------


def _require(by: Person | None, subject_id: int) -> None:
    if by is not None:
        permissions.require_on(by, "manage", subject_id)


@transaction.atomic
def put_roster(*, subject_id: int, name: str, by: Person | None, webhook_url: str | None = None) -> Roster:
    """Make the roster of a subject, or rename it. webhook_url: None leaves it, empty takes it away.

    Raises RosterError, PermissionDenied.
    """
    _require(by, subject_id)
    clean = " ".join(name.split())
    if not clean or len(clean) > 160:
        raise RosterError("Ghi tên tổ trực, không quá 160 ký tự.")
    if webhook_url:
        try:
            webhook_url = outgoing.check_url(webhook_url)
        except outgoing.CannotCall as reason:
            raise RosterError(str(reason)) from None
    roster = Roster.objects.select_for_update().filter(subject_id=subject_id).first()
    values: dict[str, Any] = {"name": clean}
    if webhook_url is not None:
        values["webhook_url"] = webhook_url
    if webhook_url and (roster is None or not roster.webhook_key):
        values["webhook_key"] = secrets.token_urlsafe(32)
    if roster is None:
        roster = Roster.objects.create(subject_id=subject_id, **values)
        audit.record("core.roster.made", actor=by, target=roster)
    elif any(getattr(roster, key) != value for key, value in values.items()):
        for key, value in values.items():
            setattr(roster, key, value)
        roster.version += 1
        roster.save()
        audit.record("core.roster.changed", actor=by, target=roster)
    return roster


@transaction.atomic
def add_shifts(
    roster: Roster,
    *,
    weekdays: Iterable[int],
    start: time,
    end: time,
    person: Person,
    by: Person | None,
    valid_from: date | None = None,
    valid_to: date | None = None,
) -> list[Shift]:
    """Put a person on duty every week on these days. What is there already is not doubled.

    end: not after start means the next day (equal: 24 hours). Raises RosterError, PermissionDenied.
    """
    _require(by, roster.subject_id)
    days = sorted(set(weekdays))
    if not days or not set(days) <= set(Shift.Weekday.values):
        raise RosterError("Chọn ít nhất một thứ trong tuần.")
    if valid_from is not None and valid_to is not None and not valid_from < valid_to:
        raise RosterError("Ngày kết thúc phải sau ngày bắt đầu.")
    fields: dict[str, Any] = {
        "start": start,
        "end": end,
        "person": person,
        "valid_from": valid_from,
        "valid_to": valid_to,
    }
    made = [roster.shifts.get_or_create(weekday=day, **fields) for day in days]
    fresh = [shift for shift, is_new in made if is_new]
    if fresh:
        audit.record("core.roster.shifts_added", actor=by, target=roster, count=len(fresh), person=person.pk)
    return [shift for shift, _ in made]


@transaction.atomic
def remove_shift(shift: Shift, *, by: Person | None) -> None:
    _require(by, shift.roster.subject_id)
    audit.record("core.roster.shift_removed", actor=by, target=shift.roster, person=shift.person_id)
    shift.delete()


@transaction.atomic
def add_override(
    roster: Roster,
    *,
    from_at: datetime,
    until: datetime,
    person: Person,
    by: Person | None,
    instead_of: Person | None = None,
    reason: str = "",
) -> ShiftOverride:
    """Have a person stand in for another, or for whoever would be on. Raises RosterError, PermissionDenied."""
    _require(by, roster.subject_id)
    if not from_at < until or until - from_at > OVERRIDE_AT_MOST:
        raise RosterError(f"Trực thay phải kết thúc sau khi bắt đầu, dài nhất {OVERRIDE_AT_MOST.days} ngày.")
    if instead_of is not None and instead_of.pk == person.pk:
        raise RosterError(f"{person.full_name} không thể trực thay chính mình. Chọn người khác.")
    made = roster.overrides.create(
        from_at=from_at, until=until, person=person, instead_of=instead_of, reason=" ".join(reason.split())[:200],
        made_by=by,
    )  # fmt: skip
    audit.record("core.roster.override_added", actor=by, target=roster, person=person.pk)
    return made


@transaction.atomic
def remove_override(override: ShiftOverride, *, by: Person | None) -> None:
    _require(by, override.roster.subject_id)
    audit.record("core.roster.override_removed", actor=by, target=override.roster, person=override.person_id)
    override.delete()


@transaction.atomic
def put_level(
    roster: Roster, *, level: int, after_min: int, people: Iterable[Person], by: Person | None
) -> EscalationLevel | None:
    """Say who is called next, and after how long; nobody takes the level away. Raises RosterError, PermissionDenied."""
    _require(by, roster.subject_id)
    called = list(people)
    if not 2 <= level <= LEVELS_AT_MOST:
        raise RosterError(f"Cấp báo từ 2 đến {LEVELS_AT_MOST}; cấp 1 là người đang trực.")
    if not called:
        roster.levels.filter(level=level).delete()
        audit.record("core.roster.level_removed", actor=by, target=roster, level=level)
        return None
    if not 1 <= after_min <= 1_440:
        raise RosterError("Gọi cấp tiếp theo sau 1 đến 1440 phút.")
    row, _ = roster.levels.update_or_create(level=level, defaults={"after_min": after_min})
    row.people.set(called)
    audit.record("core.roster.level_set", actor=by, target=roster, level=level, count=len(called))
    return row


audit.describe("core.roster.made", "lập lịch trực {target}")
audit.describe("core.roster.changed", "sửa lịch trực {target}")
audit.describe("core.roster.shifts_added", "thêm {count} ca trực vào {target}")
audit.describe("core.roster.shift_removed", "bỏ một ca trực của {target}")
audit.describe("core.roster.override_added", "đặt trực thay ở {target}")
audit.describe("core.roster.override_removed", "bỏ trực thay ở {target}")
audit.describe("core.roster.level_set", "đặt người được gọi ở cấp {level} của {target}")
audit.describe("core.roster.level_removed", "bỏ cấp {level} của {target}")
