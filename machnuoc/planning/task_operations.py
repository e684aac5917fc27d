"""What writes tasks, inspections and campaigns. Each act is one transaction with its audit row.

Who may: a manager of the task's subject keeps tasks, hands them over and closes them; a unit of the task (who enters
for it) says how far its part is. `by` None is the program itself (loading).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import F, Max, Q, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.text import slugify

from machnuoc.core import audit, folding, notices
from machnuoc.core.models import Passage, Person, StoredFile
from machnuoc.core.periods import local_date
from machnuoc.core.vietnamese import format_date
from machnuoc.places import access
from machnuoc.places.models import Grant, Organisation, Subject
from machnuoc.planning import task_rules, task_search, visibility
from machnuoc.planning.errors import ChangedMeanwhile, PlanningError
from machnuoc.planning.models import (
    Campaign,
    Conclusion,
    Meeting,
    Plan,
    Target,
    Task,
    TaskComment,
    TaskHandover,
    TaskProgress,
    TaskReminder,
    TaskUnit,
)

NOTICE = "planning.task"
_ACTING = (Grant.Role.LEADER, Grant.Role.DEPARTMENT, Grant.Role.STATION, Grant.Role.COMMUNE)
_TEXT_MAX = 4_000


class TaskError(PlanningError):
    """An act on a task, an inspection or a campaign that cannot be done; the text says why and what to do."""


@dataclass(frozen=True)
class Unit:
    """Who leads a task or cooperates; the name as printed where it names no organisation that we hold.

    A group such as «Các Trạm cấp nước» is one unit without organisation and one for each member, all with the name of
    the group.
    """

    role: str  # TaskUnit.Role
    organisation: Organisation | None = None
    name_as_printed: str = ""


def lead(organisation: Organisation | None, printed: str = "") -> Unit:
    return Unit(TaskUnit.Role.LEAD, organisation, printed)


def cooperate(organisation: Organisation | None, printed: str = "") -> Unit:
    return Unit(TaskUnit.Role.COOPERATE, organisation, printed)


def group(role: str, printed: str, members: Iterable[Organisation]) -> list[Unit]:
    """Return the units of a group: the printed name, then its members."""
    return [Unit(role, None, printed), *(Unit(role, member, printed) for member in members)]


# --- rights ---------------------------------------------------------------------------------------------------------


def list_readable(person: Person) -> QuerySet[Task]:
    """Return the tasks that the person may read: on what it sees, from above it, or given to one of its units."""
    if access.sees_everything(person):
        return Task.objects.all()
    own = TaskUnit.objects.filter(organisation_id__in=access.visible_subject_ids(person)).values("task_id")
    return Task.objects.filter(visibility.readable(person) | Q(pk__in=own))


def is_colleague(person: Person) -> bool:
    """Return whether the person works with the tasks: names and comments are not for programs of partners."""
    return bool(access.roles(person) - {Grant.Role.PARTNER})


def may_manage(person: Person, task: Task) -> bool:
    return access.may(person, "manage", task.subject_id)


def list_acting(person: Person, task: Task) -> list[TaskUnit]:
    """Return the units of the task for which the person may say how far they are, leads first."""
    units = task.units.filter(organisation_id__in=visibility.answering_ids(person))
    return list(units.select_related("organisation__subject").order_by("-role", "organisation__subject__name"))


def _require(person: Person | None, action: str, subject: Subject | int) -> None:
    if person is not None:
        access.require(person, action, subject)


def _locked(task: Task) -> Task:
    """Read the task again; whoever else wants to change it waits here until this transaction commits."""
    return Task.objects.select_for_update(of=("self",)).select_related("subject", "plan").get(pk=task.pk)


def _require_current(row: Task | Meeting | Campaign, version: int | None) -> None:
    if version is not None and row.version != version:
        raise ChangedMeanwhile(
            f"«{row}» vừa được người khác sửa. Nội dung của bạn chưa được lưu; "
            "tải lại trang để xem bản mới rồi sửa tiếp."
        )


def _require_text(text: str, what: str) -> str:
    text = text.strip()
    if not text:
        raise TaskError(f"Chưa ghi {what}. Ghi ngắn gọn để người đọc hiểu, rồi lưu lại.")
    if len(text) > _TEXT_MAX:
        raise TaskError(f"Phần {what} dài quá {_TEXT_MAX} ký tự. Rút gọn, hoặc đính kèm tệp.")
    return text


# --- tasks ----------------------------------------------------------------------------------------------------------


@transaction.atomic
def put_task(
    *,
    key: str,
    content: str,
    subject: Subject,
    plan: Plan | None = None,
    number: str = "",
    order: int | None = None,
    section: str = "",
    product: str = "",
    timing: str = Task.Timing.UNSTATED,
    timing_as_printed: str = "",
    starts_on: date | None = None,
    due_on: date | None = None,
    accountable: Person | None = None,
    target: Target | None = None,
    passage: Passage | None = None,
    units: Sequence[Unit] | None = None,
    version: int | None = None,
    by: Person | None = None,
    recorded_in_bulk: bool = False,
) -> Task:
    """Create the task of this key, or bring it to what is said here. Idempotent.

    due_on: the last day that still counts. units: None leaves them; a unit that stays keeps what it said.
    version: of the task as the reader saw it. recorded_in_bulk: the caller writes one audit row and indexes for all.
    Raises TaskError, ChangedMeanwhile, PermissionDenied.
    """
    _check_task(content, timing, starts_on, due_on)
    said: dict[str, Any] = {
        "plan_id": plan.pk if plan else None, "content": content.strip(), "subject_id": subject.pk, "number": number,
        "section": section, "product": product.strip(), "timing": timing, "timing_as_printed": timing_as_printed,
        "starts_on": starts_on, "due_on": due_on, "accountable_id": accountable.pk if accountable else None,
        "target_id": target.pk if target else None, "passage_id": passage.pk if passage else None,
    }  # fmt: skip
    if order is not None:
        said["order"] = order
    _require(by, "manage", subject)
    task = Task.objects.select_for_update(of=("self",)).filter(key=key).first()
    if task is None:
        if order is None:
            said["order"] = (Task.objects.filter(plan=plan).aggregate(last=Max("order"))["last"] or 0) + 1
        task, created, changed = Task.objects.create(key=key, **said), True, True
    else:
        created = False
        _require(by, "manage", task.subject_id)
        _require_current(task, version)
        if task.plan_id is not None and plan is not None and task.plan_id != plan.pk:
            raise TaskError(f"Mã «{key}» đã dùng cho nhiệm vụ của kế hoạch khác. Chọn mã khác.")
        changed = any(getattr(task, name) != value for name, value in said.items())
        for name, value in said.items():
            setattr(task, name, value)
    if units is not None:
        names = [(one.role, one.organisation.pk if one.organisation else None, one.name_as_printed) for one in units]
        changed |= set_units(task, names)
    if not changed:
        return task
    if not created:
        task.version += 1
    task.save()
    if not recorded_in_bulk:
        task_search.put_tasks([task])
        audit.record("planning.task.saved", actor=by, target=task, key=key, created=created)
    return task


@transaction.atomic
def add_task(*, content: str, subject: Subject, plan: Plan | None = None, by: Person, **said: Any) -> Task:
    """Enter a task that the program does not know yet. Its key is made of the plan's and of the content.

    said: what put_task takes. Raises TaskError, PermissionDenied.
    """
    Subject.objects.select_for_update(no_key=True).only("pk").get(pk=subject.pk)  # two at once: two keys
    slug = slugify(folding.fold(content))[:40].strip("-") or "nhiem-vu"
    stem = f"{plan.key if plan else 'nhiem-vu'}.{slug}"[:70]
    taken = set(Task.objects.filter(key__startswith=stem).values_list("key", flat=True))
    key = next(
        candidate
        for candidate in (f"{stem}{f'-{number}' if number > 1 else ''}" for number in range(1, len(taken) + 2))
        if candidate not in taken
    )
    return put_task(key=key, content=content, subject=subject, plan=plan, by=by, version=0, **said)


def _check_task(content: str, timing: str, starts_on: date | None, due_on: date | None) -> None:
    _require_text(content, "nội dung nhiệm vụ")
    if timing not in Task.Timing.values:
        raise TaskError(f"Không có loại thời gian «{timing}». Chọn một loại trong danh sách.")
    if timing == Task.Timing.BY_DATE and due_on is None:
        raise TaskError(f"Nhiệm vụ «{content[:80]}» ghi «trước ngày» nhưng chưa có hạn. Nhập ngày hạn.")
    if starts_on and due_on and starts_on > due_on:
        raise TaskError(f"Nhiệm vụ «{content[:80]}»: ngày bắt đầu sau hạn. Sửa lại một trong hai ngày.")


UnitName = tuple[str, int | None, str]  # role, id of the organisation, name as printed


def set_units(task: Task, units: Iterable[UnitName]) -> bool:
    """Bring the task's units to these; those that stay keep what they said. Returns whether anything changed.

    The caller saves the task, whose state follows from its leads. Raises TaskError for a unit twice in one role.
    """
    wanted = dict.fromkeys((str(role), organisation_id, printed) for role, organisation_id, printed in units)
    seen: set[tuple[str, int]] = set()
    for role, organisation_id, _ in wanted:
        if organisation_id is not None and (role, organisation_id) in seen:
            raise TaskError(f"Nhiệm vụ «{task}» ghi một đơn vị hai lần trong cùng vai trò. Bỏ bớt một lần.")
        if organisation_id is not None:
            seen.add((role, organisation_id))
    held = {(row.role, row.organisation_id, row.name_as_printed): row for row in task.units.all()}
    if list(held) == list(wanted):
        return False
    gone = [row for name, row in held.items() if name not in wanted]
    spoken = {(row.role, row.organisation_id): row for row in gone if row.organisation_id is not None}
    TaskUnit.objects.filter(pk__in=[row.pk for row in gone]).delete()
    fresh = []
    for name in wanted:
        if name in held:
            continue
        row = TaskUnit(task=task, role=name[0], organisation_id=name[1], name_as_printed=name[2])
        before = spoken.get((name[0], name[1]))
        if before is not None:  # the same unit under another printed name
            row.state, row.share_pct, row.state_at = before.state, before.share_pct, before.state_at
        fresh.append(row)
    TaskUnit.objects.bulk_create(fresh)
    if fresh or gone:
        _refresh(task)
    return bool(fresh or gone)


def is_decided(task: Task) -> bool:
    """Return whether a manager has closed, paused or given up the task: units do not report then."""
    return _decided(task) is not None


def _decided(task: Task) -> str | None:
    """Return what a manager decided about the whole task, None if nothing or since it was opened again."""
    last = task.progress.filter(organisation__isnull=True).first()
    return last.state if last and last.state not in {Task.State.DOING, Task.State.NOT_STARTED} else None


def _refresh(task: Task) -> None:
    """Set the task's state and share from what its leads said and a manager decided. Does not save."""
    leads = [
        task_rules.Said(state, share)
        for state, share in task.units.filter(
            role=TaskUnit.Role.LEAD, organisation__isnull=False
        ).values_list("state", "share_pct")
    ]  # fmt: skip
    result = task_rules.roll_up(leads, _decided(task))
    task.state, task.share_pct = result.state, result.share_pct


@transaction.atomic
def add_progress(
    task: Task,
    *,
    organisation: Organisation,
    state: str,
    text: str,
    share_pct: int | None = None,
    files: Sequence[StoredFile] = (),
    by: Person,
    now: datetime,
    is_simulated: bool = False,
) -> TaskProgress:
    """Record how far a unit is with its part. Entries are never edited: a newer one follows.

    share_pct: 0-100. The task moves as task_rules.roll_up says. Raises TaskError, PermissionDenied.
    """
    if not is_simulated and not visibility.answers_for(by, organisation.pk):
        raise PermissionDenied("Tài khoản của bạn không báo tiến độ thay cho đơn vị này được.")
    text = _require_text(text, "kết quả thực hiện")
    if state not in task_rules.UNIT_STATES:
        raise TaskError(
            "Đơn vị báo được: chưa thực hiện, đang thực hiện, tạm dừng, hoàn thành. "
            "Không thực hiện nữa là quyết định của người quản lý nhiệm vụ."
        )
    if share_pct is not None and not 0 <= share_pct <= 100:
        raise TaskError("Mức hoàn thành là số từ 0 đến 100 (%). Sửa lại rồi lưu.")
    task = _locked(task)
    own = list(task.units.filter(organisation=organisation))
    if not own:
        raise TaskError(f"«{organisation}» không có trong các đơn vị của nhiệm vụ «{task}». Chọn đúng đơn vị.")
    if (decided := _decided(task)) is not None:
        label = Task.State(decided).label.lower()
        raise TaskError(f"Nhiệm vụ «{task}» đã được người quản lý ghi «{label}». Đề nghị mở lại trước khi báo tiếp.")
    if state == Task.State.DONE:
        share_pct = 100
    entry = TaskProgress.objects.create(
        task=task, organisation=organisation, state=state, share_pct=share_pct, text=text, at=now, by=by,
        is_simulated=is_simulated,
    )  # fmt: skip
    entry.files.set(files)
    for row in own:
        if share_pct is not None or row.state == Task.State.DONE or state == Task.State.NOT_STARTED:
            row.share_pct = share_pct  # else the share that was said before still holds
        row.state, row.state_at = state, now
    TaskUnit.objects.bulk_update(own, ["state", "share_pct", "state_at"])
    was_done = task.state == Task.State.DONE
    _refresh(task)
    task.state_at = now
    task.save(update_fields=["state", "share_pct", "state_at"])
    audit.record("planning.task.progress", actor=by, target=task, organisation=organisation.pk, state=state)
    if task.state == Task.State.DONE and not was_done:
        _tell(_followers(task), by, f"Đã hoàn thành nhiệm vụ «{task}».", task)
    elif task.accountable_id and task.accountable_id != by.pk:
        _tell([task.accountable], by, f"«{organisation}» báo tiến độ nhiệm vụ «{task}».", task)  # type: ignore[list-item]
    return entry


@transaction.atomic
def decide(task: Task, *, state: str, reason: str, by: Person, now: datetime) -> TaskProgress:
    """Close, pause or give up the whole task as its manager, or open it again (state DOING), with a reason.

    While it is closed, units cannot report. Opened again, the leads that had said «done» are at work again.
    Raises TaskError, PermissionDenied.
    """
    task = _locked(task)
    access.require(by, "manage", task.subject_id)
    reason = _require_text(reason, "lý do")
    if state not in {Task.State.DONE, Task.State.CANCELLED, Task.State.PAUSED, Task.State.DOING}:
        raise TaskError("Chọn: hoàn thành, tạm dừng, không thực hiện nữa, hoặc mở lại.")
    if state == Task.State.DOING and _decided(task) is None and task.state != Task.State.DONE:
        raise TaskError(f"Nhiệm vụ «{task}» đang mở. Đơn vị báo tiến độ để chuyển tình trạng.")
    entry = TaskProgress.objects.create(task=task, organisation=None, state=state, text=reason, at=now, by=by)
    if state == Task.State.DOING:
        task.units.filter(state=Task.State.DONE).update(state=Task.State.DOING, share_pct=None)
    _refresh(task)
    task.state_at = now
    task.save(update_fields=["state", "share_pct", "state_at"])
    audit.record("planning.task.decided", actor=by, target=task, state=state)
    label = "mở lại" if state == Task.State.DOING else f"ghi «{Task.State(state).label.lower()}»"
    _tell(_followers(task), by, f"Người quản lý đã {label} nhiệm vụ «{task}»: {reason}", task)
    return entry


@transaction.atomic
def comment(task: Task, text: str, *, by: Person, now: datetime) -> TaskComment:
    """Leave a comment; who may read the task may, but not programs. Those who reported or commented before are told."""
    if not is_colleague(by) or not list_readable(by).filter(pk=task.pk).exists():
        raise PermissionDenied("Tài khoản của bạn không nêu ý kiến về nhiệm vụ này được.")
    said = TaskComment.objects.create(task=task, text=_require_text(text, "ý kiến"), by=by, at=now)
    audit.record("planning.task.commented", actor=by, target=task)
    talked = Person.objects.filter(
        Q(pk__in=task.comments.values("by_id")) | Q(pk__in=task.progress.values("by_id")) | Q(pk=task.accountable_id)
    )
    _tell(talked, by, f"{by.full_name} có ý kiến về nhiệm vụ «{task}».", task)
    return said


@transaction.atomic
def hand_over(
    task: Task,
    *,
    from_organisation: Organisation | None,
    to_organisation: Organisation,
    reason: str,
    on_date: date,
    by: Person,
    now: datetime,
    version: int | None = None,
) -> TaskHandover:
    """Pass the lead from one unit to another; what the former said stays in the history, the new one begins anew.

    from_organisation None: a lead is added where none is known to the system. Tells the people of both units.
    Raises TaskError, ChangedMeanwhile, PermissionDenied.
    """
    task = _locked(task)
    access.require(by, "manage", task.subject_id)
    _require_current(task, version)
    reason = _require_text(reason, "lý do chuyển giao")
    if len(reason) > 300:
        raise TaskError("Lý do chuyển giao dài quá 300 ký tự. Viết ngắn lại.")
    if on_date > local_date(now):
        raise TaskError(
            f"Ngày chuyển giao {format_date(on_date)} chưa tới, việc chuyển lại có hiệu lực ngay. "
            "Nhập ngày không sau hôm nay."
        )
    if task.state in task_rules.CLOSED_STATES:
        raise TaskError(f"Nhiệm vụ «{task}» đã kết thúc. Mở lại trước khi chuyển đơn vị chủ trì.")
    leads = task.units.filter(role=TaskUnit.Role.LEAD)
    if leads.filter(organisation=to_organisation).exists():
        raise TaskError(f"«{to_organisation}» đã chủ trì nhiệm vụ này. Chọn đơn vị khác.")
    former = leads.filter(organisation=from_organisation).first() if from_organisation else None
    if from_organisation is not None and former is None:
        raise TaskError(f"«{from_organisation}» không chủ trì nhiệm vụ này. Tải lại trang rồi chọn lại.")
    if from_organisation is None and leads.filter(organisation__isnull=False).exists():
        raise TaskError("Chọn đơn vị đang chủ trì sẽ chuyển giao nhiệm vụ.")
    if former is not None:
        former.delete()
    task.units.filter(role=TaskUnit.Role.COOPERATE, organisation=to_organisation).delete()
    TaskUnit.objects.create(task=task, role=TaskUnit.Role.LEAD, organisation=to_organisation)
    made = TaskHandover.objects.create(
        task=task, from_organisation=from_organisation, to_organisation=to_organisation, on_date=on_date,
        reason=reason, by=by, at=now,
    )  # fmt: skip
    _refresh(task)
    task.version += 1
    task.save(update_fields=["state", "share_pct", "version"])
    task_search.put_tasks([task])
    audit.record(
        "planning.task.handed_over", actor=by, target=task, to=to_organisation.pk,
        former=from_organisation.pk if from_organisation else None,
    )  # fmt: skip
    units = [one for one in (from_organisation, to_organisation) if one is not None]
    people = {person.pk: person for found in list_people(units).values() for person in found}
    _tell(
        people.values(), by,
        f"Từ {format_date(on_date)}, «{to_organisation}» chủ trì nhiệm vụ «{task}». Lý do: {reason}", task,
    )  # fmt: skip
    return made


# --- telling people -------------------------------------------------------------------------------------------------


def list_people(organisations: Iterable[Organisation | int]) -> dict[int, list[Person]]:
    """Return for each organisation the active people who enter or manage for it, by grants of today on it or above it.

    People of an agency are told of what is asked of the agency itself alone.

    Administrators of the whole system are left out: nothing is theirs to do.
    """
    ids = {one if isinstance(one, int) else one.pk for one in organisations}
    today = timezone.localdate()
    grants = (
        Grant.objects.filter(
            Q(valid_to__isnull=True) | Q(valid_to__gt=today), valid_from__lte=today,
            scope__kind=Subject.Kind.ORGANISATION, person__is_active=True, scope__contains__descendant_id__in=ids,
        )
        .filter(Q(role__in=_ACTING) | Q(role=Grant.Role.AGENCY, scope_id=F("scope__contains__descendant_id")))
        .select_related("person")
        .annotate(unit_id=F("scope__contains__descendant_id"))
    )  # fmt: skip
    found: dict[int, dict[int, Person]] = defaultdict(dict)
    for grant in grants:
        found[grant.unit_id][grant.person_id] = grant.person
    return {unit_id: list(people.values()) for unit_id, people in found.items()}


def _followers(task: Task) -> list[Person]:
    """Return who is told of the task's end: the accountable person and the people of its leads."""
    units = task.units.filter(role=TaskUnit.Role.LEAD, organisation__isnull=False)
    found = list_people(units.values_list("organisation_id", flat=True))
    people = {person.pk: person for rows in found.values() for person in rows}
    if task.accountable is not None:
        people[task.accountable.pk] = task.accountable
    return list(people.values())


def _tell(people: Iterable[Person], by: Person | None, text: str, task: Task) -> None:
    others = [person for person in people if by is None or person.pk != by.pk]
    notices.notify(others, kind=NOTICE, text=text, url=reverse("planning:task_detail", args=[task.key]))


def remind(*, now: datetime) -> int:
    """Remind the people of lead units of what is due in 7, 3, 1 days, today, or overdue (weekly); each stage once.

    Tasks of plans that have ended are left in peace. Returns how many reminders went out. May run twice.
    """
    today = timezone.localdate(now)
    horizon = date.fromordinal(today.toordinal() + max(task_rules.REMIND_DAYS))
    due = Task.objects.filter(state__in=task_rules.OPEN_STATES, due_on__lte=horizon).filter(
        Q(plan__isnull=True)
        | Q(plan__status=Plan.Status.IN_FORCE) & (Q(plan__valid_to__isnull=True) | Q(plan__valid_to__gt=today))
    )
    stages = {task: stage for task in due if task.due_on and (stage := task_rules.reminder_stage(task.due_on, today))}
    sent = set(
        TaskReminder.objects.filter(task__in=[task.pk for task in stages]).values_list("task_id", "due_on", "stage")
    )
    fresh = {task: stage for task, stage in stages.items() if (task.pk, task.due_on, stage) not in sent}
    owing: dict[int, list[int]] = defaultdict(list)
    units = TaskUnit.objects.filter(
        task__in=[task.pk for task in fresh], role=TaskUnit.Role.LEAD, organisation__isnull=False
    ).exclude(state=Task.State.DONE)
    for task_id, organisation_id in units.values_list("task_id", "organisation_id"):
        owing[task_id].append(organisation_id)
    people_of = list_people({unit for found in owing.values() for unit in found})
    for task, stage in fresh.items():
        people = {person.pk: person for unit in owing[task.pk] for person in people_of.get(unit, [])}
        _remind_of(task, stage, list(people.values()), now=now, today=today)
    return len(fresh)


@transaction.atomic
def _remind_of(task: Task, stage: str, people: list[Person], *, now: datetime, today: date) -> None:
    if task.due_on is None:
        return
    _, is_new = TaskReminder.objects.get_or_create(
        task=task, due_on=task.due_on, stage=stage, defaults={"sent_at": now, "people": len(people)}
    )
    if is_new:
        when = task_rules.describe_due(task.due_on, today)
        text = f"{when[:1].upper()}{when[1:]}: nhiệm vụ «{task}» (hạn {format_date(task.due_on)})."
        _tell(people, None, text, task)


# --- inspections and meetings ---------------------------------------------------------------------------------------


@transaction.atomic
def put_meeting(
    *,
    kind: str,
    title: str,
    host: Organisation,
    subject: Subject,
    held_on: date,
    meeting: Meeting | None = None,
    plan: Plan | None = None,
    task: Task | None = None,
    place: str = "",
    attendance: str = "",
    minutes: str = "",
    conclusions: Sequence[tuple[int | None, str]] = (),
    files: Sequence[StoredFile] = (),
    version: int | None = None,
    by: Person,
) -> Meeting:
    """Record an inspection or a meeting with its conclusions, or bring `meeting` to what is said here.

    conclusions: (id of one that is there already, or None for a new one; text), in order. One that is left out is
    removed, unless a task was made of it. files: added to those that are there.
    Raises TaskError, ChangedMeanwhile, PermissionDenied.
    """
    access.require(by, "manage", subject)
    if kind not in Meeting.Kind.values:
        raise TaskError(f"Không có loại «{kind}». Chọn đoàn kiểm tra hoặc cuộc họp.")
    said: dict[str, Any] = {
        "kind": kind, "title": _require_text(title, "tên")[:300], "plan": plan, "task": task, "host": host,
        "subject": subject, "held_on": held_on, "place": place, "attendance": attendance, "minutes": minutes,
    }  # fmt: skip
    if meeting is None:
        meeting, created = Meeting.objects.create(made_by=by, **said), True
    else:
        meeting, created = Meeting.objects.select_for_update(of=("self",)).get(pk=meeting.pk), False
        access.require(by, "manage", meeting.subject_id)
        _require_current(meeting, version)
        for name, value in said.items():
            setattr(meeting, name, value)
        meeting.version += 1
        meeting.save()
    _set_conclusions(meeting, conclusions)
    meeting.files.add(*files)
    audit.record("planning.meeting.saved", actor=by, target=meeting, created=created, conclusions=len(conclusions))
    return meeting


def _set_conclusions(meeting: Meeting, wanted: Sequence[tuple[int | None, str]]) -> None:
    held = {row.pk: row for row in meeting.conclusions.all()}
    kept = set()
    for order, (pk, text) in enumerate(wanted, start=1):
        text = text.strip()
        if pk is not None and pk in held and text:
            row = held[pk]
            kept.add(pk)
            if (row.order, row.text) != (order, text):
                row.order, row.text = order, text
                row.save(update_fields=["order", "text"])
        elif text:
            kept.add(Conclusion.objects.create(meeting=meeting, order=order, text=text).pk)
    for pk, row in held.items():
        if pk not in kept:
            if row.task_id is not None:
                raise TaskError(
                    f"Kết luận «{row.text[:80]}» đã được giao thành nhiệm vụ, không xóa được. "
                    "Giữ lại nội dung kết luận."
                )
            row.delete()


@transaction.atomic
def make_task(
    conclusion: Conclusion,
    *,
    leads: Sequence[Organisation],
    due_on: date | None,
    content: str = "",
    by: Person,
) -> Task:
    """Give a conclusion out as a task of the meeting's plan. Raises TaskError, PermissionDenied."""
    conclusion = (
        Conclusion.objects.select_for_update(of=("self",))
        .select_related("meeting__plan", "meeting__subject")
        .get(pk=conclusion.pk)
    )
    meeting = conclusion.meeting
    if conclusion.task_id is not None:
        raise TaskError("Kết luận này đã được giao thành nhiệm vụ. Mở nhiệm vụ đó để sửa.")
    if not leads:
        raise TaskError("Chọn ít nhất một đơn vị chủ trì cho nhiệm vụ.")
    task = put_task(
        key=f"{meeting.plan.key if meeting.plan else 'hop'}.ket-luan-{conclusion.pk}",
        content=content.strip() or conclusion.text, subject=meeting.subject, plan=meeting.plan,
        section=f"Kết luận {meeting.get_kind_display().lower()} ngày {format_date(meeting.held_on)}"[:160],
        timing=Task.Timing.BY_DATE if due_on else Task.Timing.UNSTATED, starts_on=None, due_on=due_on,
        units=[lead(one) for one in leads], by=by,
    )  # fmt: skip
    conclusion.task = task
    conclusion.save(update_fields=["task"])
    audit.record("planning.conclusion.given_out", actor=by, target=meeting, task=task.pk)
    people = {person.pk: person for found in list_people(leads).values() for person in found}
    _tell(people.values(), by, f"Nhiệm vụ mới từ kết luận «{meeting}»: «{task}».", task)
    return task


# --- campaigns ------------------------------------------------------------------------------------------------------


def may_run_campaign(person: Person, organisation_id: int) -> bool:
    """Return whether the person may record campaigns of the organisation: it acts for it or manages it."""
    return any(access.may(person, action, organisation_id) for action in ("enter", "manage"))


@transaction.atomic
def put_campaign(
    *,
    kind: str,
    title: str,
    organisation: Organisation,
    subject: Subject,
    from_date: date,
    to_date: date,
    audience: str,
    campaign: Campaign | None = None,
    plan: Plan | None = None,
    task: Task | None = None,
    place: str = "",
    expected_count: int | None = None,
    reached_count: int | None = None,
    result: str = "",
    files: Sequence[StoredFile] = (),
    version: int | None = None,
    by: Person,
) -> Campaign:
    """Record a communication or training campaign, or bring `campaign` to what is said here.

    to_date: the last day. expected_count, reached_count: people; None where not known. files: added.
    Raises TaskError, ChangedMeanwhile, PermissionDenied.
    """
    if kind not in Campaign.Kind.values:
        raise TaskError(f"Không có loại «{kind}». Chọn tuyên truyền hoặc tập huấn.")
    if to_date < from_date:
        raise TaskError("Ngày kết thúc trước ngày bắt đầu. Sửa lại một trong hai ngày.")
    for owner in (organisation.pk, campaign.organisation_id if campaign else organisation.pk):
        if not may_run_campaign(by, owner):
            raise PermissionDenied("Tài khoản của bạn không ghi được đợt tuyên truyền, tập huấn của đơn vị này.")
    said: dict[str, Any] = {
        "kind": kind, "title": _require_text(title, "tên")[:300], "plan": plan, "task": task,
        "organisation": organisation, "subject": subject, "place": place, "from_date": from_date, "to_date": to_date,
        "audience": _require_text(audience, "đối tượng")[:200], "expected_count": expected_count,
        "reached_count": reached_count, "result": result,
    }  # fmt: skip
    if campaign is None:
        campaign, created = Campaign.objects.create(made_by=by, **said), True
    else:
        campaign, created = Campaign.objects.select_for_update(of=("self",)).get(pk=campaign.pk), False
        _require_current(campaign, version)
        for name, value in said.items():
            setattr(campaign, name, value)
        campaign.version += 1
        campaign.save()
    campaign.files.add(*files)
    audit.record("planning.campaign.saved", actor=by, target=campaign, created=created)
    return campaign


audit.describe("planning.task.saved", "lưu nhiệm vụ {target}")
audit.describe("planning.task.progress", "báo tiến độ nhiệm vụ {target}: {state}")
audit.describe("planning.task.decided", "ghi tình trạng chung của nhiệm vụ {target}: {state}")
audit.describe("planning.task.commented", "nêu ý kiến về nhiệm vụ {target}")
audit.describe("planning.task.handed_over", "chuyển đơn vị chủ trì nhiệm vụ {target}")
audit.describe("planning.meeting.saved", "lưu cuộc kiểm tra, họp {target}")
audit.describe("planning.conclusion.given_out", "giao nhiệm vụ từ kết luận của {target}")
audit.describe("planning.campaign.saved", "lưu đợt tuyên truyền, tập huấn {target}")
