"""Load the tasks of the five plans through the operation that the screens use.

What a person has changed since is left alone: a task that is there already only gets the passage it still lacks.
"""

from datetime import datetime

from machnuoc.core import audit
from machnuoc.core.models import AuditEntry, Passage
from machnuoc.demo.planning import read_tasks
from machnuoc.places.models import Organisation, Subject
from machnuoc.planning import task_operations, task_search
from machnuoc.planning.models import Plan, Target, Task, TaskUnit

# Who reads a task: the plan's territory, but what a centre plans for itself is its own.
_SUBJECTS = {"qn.79-2026": "org.qn.trung-tam"}
# Tasks that carry out a target of the same plan.
_TARGETS = {
    "qn.79-2026.phu-luc-2.1": ("van-hanh",),
    "qn.79-2026.phu-luc-2.2": ("khach-hang", "phat-trien-khach-hang"),
    "qn.79-2026.phu-luc-2.3": ("giai-ngan",),
    "qn.79-2026.phu-luc-2.4": ("tiep-nhan",),
    "qn.79-2026.phu-luc-2.5": ("chat-luong", "mau-nuoc"),
    "qn.79-2026.phu-luc-2.6": ("chuyen-doi-so",),
}
_AUDIT = "demo.planning.tasks"


def load_tasks(now: datetime) -> None:
    """Put the tasks of those plans that are loaded. Idempotent."""
    del now
    plans = {plan.key: plan for plan in Plan.objects.select_related("territory")}
    organisations = {
        row.subject.key: row
        for row in Organisation.objects.select_related("subject").filter(subject__key__startswith="org.")
    }
    made: list[Task] = []
    for folder, (plan_key, document_key) in read_tasks.PLANS.items():
        if plan_key in plans:
            made += _load_plan(folder, plans[plan_key], document_key, organisations)
    if made:
        task_search.put_tasks(made)
    if not AuditEntry.objects.filter(action=_AUDIT).exists():
        audit.record(_AUDIT, actor=None, count=len(made))


def _load_plan(
    folder: str, plan: Plan, document_key: str, organisations: dict[str, Organisation]
) -> list[Task]:  # fmt: skip
    subject = Subject.objects.get(key=_SUBJECTS[plan.key]) if plan.key in _SUBJECTS else plan.territory
    passages = list(Passage.objects.filter(document__key=document_key))
    by_key = {passage.key: passage for passage in passages}
    targets = {target.key: target for target in Target.objects.filter(plan=plan)}
    there = {task.key: task for task in Task.objects.filter(plan=plan)}
    made = []
    for order, row in enumerate(read_tasks.list_tasks(folder), start=1):
        passage = by_key.get(row.passage_key) if row.passage_key else _find_passage(row.content, passages)
        target = next((targets[key] for key in _TARGETS.get(row.key, ()) if key in targets), None)
        if (task := there.get(row.key)) is not None:
            if task.version > 1:  # edited or handed over by people
                continue
            if passage is not None and task.passage_id is None:
                Task.objects.filter(pk=task.pk).update(passage=passage)
            if target is not None and task.target_id is None:
                Task.objects.filter(pk=task.pk).update(target=target)
            # organisations that were loaded meanwhile take their places
            task_operations.set_units(task, _names(_all_units(row, organisations)))
            continue
        task = task_operations.put_task(
            key=row.key, content=row.content, subject=subject, plan=plan, number=row.number, order=order,
            section=row.section, product=row.product, timing=row.timing, timing_as_printed=row.timing_as_printed,
            starts_on=row.starts_on, due_on=row.due_on, target=target, passage=passage, recorded_in_bulk=True,
            units=_all_units(row, organisations),
        )  # fmt: skip
        made.append(task)
    return made


def _all_units(row: read_tasks.PlanTask, organisations: dict[str, Organisation]) -> list[task_operations.Unit]:
    return [
        *_units(TaskUnit.Role.LEAD, row.leads, organisations),
        *_units(TaskUnit.Role.COOPERATE, row.cooperating, organisations),
    ]


def _names(units: list[task_operations.Unit]) -> list[task_operations.UnitName]:
    return [(one.role, one.organisation.pk if one.organisation else None, one.name_as_printed) for one in units]


def _units(
    role: str, printed: tuple[read_tasks.PrintedUnit, ...], organisations: dict[str, Organisation]
) -> list[task_operations.Unit]:
    found: list[task_operations.Unit] = []
    taken: set[int] = set()
    for one in printed:
        if one.key.startswith("group:"):
            members = [
                row for key, row in organisations.items()
                if read_tasks.is_member(one.key, key) and row.pk not in taken
            ]  # fmt: skip
            taken |= {row.pk for row in members}
            found += task_operations.group(role, one.printed, members)
            continue
        organisation = organisations.get(one.key)
        if organisation is None or organisation.pk not in taken:
            found.append(task_operations.Unit(role, organisation, one.printed))
        if organisation is not None:
            taken.add(organisation.pk)
    return found


def _find_passage(content: str, passages: list[Passage]) -> Passage | None:
    """Return the passage that says this, where the row names none: the one that begins with, or holds, its words."""
    start = content[:60]
    return next((one for one in passages if start in one.text), None)


audit.describe(_AUDIT, "nạp {count} nhiệm vụ của năm kế hoạch")
