"""Tasks for programs."""

from datetime import date, datetime
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.utils import timezone
from ninja import Field, Query, Router, Schema

from machnuoc.core import search
from machnuoc.core.api import DEFAULT_PAGE, MAX_PAGE, Page, idempotent, person_of, take_page
from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.places.models import Organisation
from machnuoc.planning import task_operations, task_queries, task_search
from machnuoc.planning.models import Task, TaskUnit

router = Router(tags=["Nhiệm vụ"])


class TaskUnitOut(Schema):
    role: str
    organisation_key: str | None
    name_as_printed: str
    state: str


class TaskOut(Schema):
    key: str
    plan_key: str | None
    number: str
    section: str
    content: str
    product: str
    timing: str
    timing_as_printed: str
    starts_on: date | None
    due_on: date | None
    state: str
    share_pct: int | None
    state_at: datetime | None
    subject_key: str
    units: list[TaskUnitOut]
    version: int

    @staticmethod
    def of(task: Task, seen: set[int] | None) -> "TaskOut":
        """seen: the organisations in the token's scope; of others the state of their part is left out. None: all."""
        units = []
        for unit in task.units.all():
            is_seen = seen is None or unit.organisation_id is None or unit.organisation_id in seen
            if is_seen:
                key = unit.organisation.subject.key if unit.organisation else None
                units.append(TaskUnitOut(role=unit.role, organisation_key=key, name_as_printed=unit.name_as_printed,
                                         state=unit.state))  # fmt: skip
        return TaskOut(
            key=task.key, plan_key=task.plan.key if task.plan else None, number=task.number, section=task.section,
            content=task.content, product=task.product, timing=task.timing, timing_as_printed=task.timing_as_printed,
            starts_on=task.starts_on, due_on=task.due_on, state=task.state, share_pct=task.share_pct,
            state_at=task.state_at, subject_key=task.subject.key, units=units, version=task.version,
        )  # fmt: skip


class TaskFilter(Schema):
    q: str = Field(
        "", max_length=100, description="words of content, product, section or units, without diacritics too"
    )
    plan_key: str = Field("", max_length=60)
    unit_key: str = Field("", max_length=120, description="key of an organisation that leads or cooperates")
    state: str = Field("", pattern="^(NOT_STARTED|DOING|DONE|PAUSED|CANCELLED)?$")
    due: str = Field("", pattern="^(overdue|7|30|dated|undated)?$")
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)


class ProgressIn(Schema):
    organisation_key: str = Field(max_length=120)
    state: str = Field(pattern="^(NOT_STARTED|DOING|DONE|PAUSED)$")
    text: str = Field(min_length=1, max_length=4000)
    share_pct: int | None = Field(None, ge=0, le=100)


class ProgressOut(Schema):
    id: int
    task_key: str
    organisation_key: str
    state: str
    share_pct: int | None
    at: datetime
    task_state: str
    task_share_pct: int | None


def _with_all(tasks: QuerySet[Task]) -> QuerySet[Task]:
    units = TaskUnit.objects.select_related("organisation__subject")
    return tasks.select_related("plan", "subject").prefetch_related(Prefetch("units", units))


def _seen(person: Person, tasks: list[Task]) -> set[int] | None:
    if access.sees_everything(person):
        return None
    named = {unit.organisation_id for task in tasks for unit in task.units.all() if unit.organisation_id is not None}
    return set(access.visible_subject_ids(person).filter(descendant_id__in=named))


@router.get("/tasks", response=Page[TaskOut], summary="Tasks that the token's person may read")
def list_tasks(request: HttpRequest, wanted: Query[TaskFilter]):  # type: ignore[no-untyped-def]
    person = person_of(request)
    tasks = task_queries.select(person, task_queries.Filters(due=wanted.due), today=timezone.localdate())
    if wanted.q.strip():
        tasks = tasks.filter(pk__in=search.matching_ids(task_search.TASK, wanted.q))
    if wanted.plan_key:
        tasks = tasks.filter(plan__key=wanted.plan_key)
    if wanted.unit_key:
        named = TaskUnit.objects.filter(organisation__subject__key=wanted.unit_key)
        tasks = tasks.filter(pk__in=named.values("task_id"))
    if wanted.state:
        tasks = tasks.filter(state=wanted.state)
    rows, cursor = take_page(_with_all(tasks), cursor=wanted.cursor, limit=wanted.limit)
    seen = _seen(person, rows)
    return {"items": [TaskOut.of(task, seen) for task in rows], "next_cursor": cursor}


def _get(person: Person, key: str) -> Task:
    return get_object_or_404(_with_all(task_operations.list_readable(person)), key=key)


@router.get("/tasks/{key}", response=TaskOut, summary="One task")
def get_task(request: HttpRequest, key: str):  # type: ignore[no-untyped-def]
    person = person_of(request)
    task = _get(person, key)
    return TaskOut.of(task, _seen(person, [task]))


@router.post("/tasks/{key}/progress", response={200: ProgressOut}, summary="Report how far a unit is with its part")
@idempotent
def add_progress(request: HttpRequest, key: str, said: ProgressIn) -> tuple[int, Any]:
    person = person_of(request)
    task = _get(person, key)
    visible = Organisation.objects.filter(pk__in=access.visible_subject_ids(person)).select_related("subject")
    organisation = get_object_or_404(visible, subject__key=said.organisation_key)
    entry = task_operations.add_progress(
        task, organisation=organisation, state=said.state, text=said.text, share_pct=said.share_pct, by=person,
        now=timezone.now(),
    )  # fmt: skip
    task.refresh_from_db(fields=["state", "share_pct"])
    out = ProgressOut(
        id=entry.pk, task_key=task.key, organisation_key=organisation.subject.key, state=entry.state,
        share_pct=entry.share_pct, at=entry.at, task_state=task.state, task_share_pct=task.share_pct,
    )  # fmt: skip
    return 200, out.model_dump(mode="json")
