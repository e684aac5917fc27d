"""What reads tasks: the list, the board, who owes what, the timeline, and all that the page of one task shows.

A plan speaks to all below its territory, though not of one another: of the units of a task a reader sees its own and
those in its scope, of the others only that the task is given to a group.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from operator import attrgetter
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Sum, Value, Window
from django.db.models.functions import RowNumber
from django.urls import NoReverseMatch, reverse

from machnuoc.core import folding, search
from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.places.models import Organisation
from machnuoc.places.queries import sort_key
from machnuoc.planning import task_rules, task_search, visibility
from machnuoc.planning.models import Campaign, Meeting, Plan, Task, TaskProgress, TaskUnit
from machnuoc.planning.task_operations import list_readable

OPEN = [Task.State.NOT_STARTED, Task.State.DOING, Task.State.PAUSED]
DUE = {
    "overdue": "Quá hạn", "7": "Đến hạn trong 7 ngày", "30": "Đến hạn trong 30 ngày", "dated": "Có hạn",
    "undated": "Không ghi hạn",
}  # fmt: skip
_CARDS_A_COLUMN = 30
_CARDS_AT_FIRST = 8  # the others unfold
_HEADS = {str(Task.State.NOT_STARTED): "Chưa thực hiện, chưa báo cáo"}  # silence does not say that nothing was done
_MOVES: dict[str, list[tuple[str, str, str]]] = {
    Task.State.NOT_STARTED: [(Task.State.DOING, "Bắt đầu", "player-play")],
    Task.State.DOING: [(Task.State.DONE, "Xong", "check"), (Task.State.PAUSED, "Tạm dừng", "player-stop")],
    Task.State.PAUSED: [(Task.State.DOING, "Làm tiếp", "player-play")],
    Task.State.DONE: [(Task.State.DOING, "Chưa xong", "arrow-back-up")],
}


@dataclass(frozen=True)
class Filters:
    """What a person asked for. Empty means «all»; plan, unit: ids."""

    q: str = ""
    plan: int = 0
    unit: int = 0
    state: str = ""
    timing: str = ""
    due: str = ""
    mine: bool = False
    is_open: bool = False


@dataclass(frozen=True)
class UnitLine:
    """A unit as a list shows it: one organisation, a printed name, or a group with its members."""

    text: str
    key: str = ""  # of the organisation, if it is one and the reader sees it
    members: int = 0
    done: int = 0


@dataclass
class Row:
    """One task of a list with what is made of it for the reader."""

    task: Task
    today: date
    leads: list[UnitLine] = field(default_factory=list)
    cooperating: list[UnitLine] = field(default_factory=list)
    acting: list[int] = field(default_factory=list)  # lead units for which the reader may report
    acting_state: str = ""  # what the last of them said of its part

    @property
    def is_overdue(self) -> bool:
        return task_rules.is_overdue(self.task.state, self.task.due_on, self.today)

    @property
    def is_due_soon(self) -> bool:
        return task_rules.is_due_soon(self.task.state, self.task.due_on, self.today)

    @property
    def is_silent(self) -> bool:
        """Nobody has reported yet, which is not the same as that nothing was done."""
        return self.task.state == Task.State.NOT_STARTED and self.task.state_at is None

    @property
    def due_words(self) -> str:
        return task_rules.describe_due(self.task.due_on, self.today) if self.task.state in OPEN else ""

    @property
    def moves(self) -> list[tuple[str, str, str]]:
        """Return where one button of the board may move the part of the reader's unit: (state, label, icon)."""
        return _MOVES.get(self.acting_state, [])

    @property
    def timing_text(self) -> str:
        return self.task.timing_as_printed or self.task.get_timing_display()


@dataclass(frozen=True)
class Counts:
    total: int = 0
    open: int = 0
    overdue: int = 0
    soon: int = 0
    done: int = 0
    silent: int = 0
    undated: int = 0
    states: dict[str, int] = field(default_factory=dict)


def own_unit_ids(person: Person) -> QuerySet[Any, int] | None:
    """Return the ids of what the person acts for: where it enters, else where it manages; None for all or nothing."""
    if access.sees_everything(person, "enter"):
        return None
    if access.list_scopes(person, "enter") or access.list_own_agencies(person):
        return visibility.answering_ids(person)
    if access.list_scopes(person, "manage") and not access.sees_everything(person, "manage"):
        return access.visible_subject_ids(person, "manage")
    return None


def list_mine(person: Person) -> Q:
    """Return the filter for the tasks that the person's units lead, or that the person answers for."""
    own = own_unit_ids(person)
    mine = Q(accountable=person)
    if own is not None:
        led = TaskUnit.objects.filter(role=TaskUnit.Role.LEAD, organisation_id__in=own)
        mine |= Q(pk__in=led.values("task_id"))
    return mine


def select(visible_to: Person, filters: Filters, *, today: date) -> QuerySet[Task]:
    """Return the tasks asked for, in the order of their due days (undated last), then of the plan."""
    tasks = list_readable(visible_to)
    if filters.q.strip():
        tasks = tasks.filter(pk__in=search.matching_ids(task_search.TASK, filters.q))
    if filters.plan:
        tasks = tasks.filter(plan=filters.plan)
    if filters.unit:
        tasks = tasks.filter(pk__in=TaskUnit.objects.filter(organisation=filters.unit).values("task_id"))
    if filters.state:
        tasks = tasks.filter(state=filters.state)
    if filters.timing:
        tasks = tasks.filter(timing=filters.timing)
    if filters.is_open:
        tasks = tasks.filter(state__in=OPEN)
    if filters.mine:
        tasks = tasks.filter(list_mine(visible_to))
    return _due(tasks, filters.due, today).order_by(F("due_on").asc(nulls_last=True), "plan_id", "order", "pk")


def _due(tasks: QuerySet[Task], due: str, today: date) -> QuerySet[Task]:
    if due == "overdue":
        return tasks.filter(state__in=OPEN, due_on__lt=today)
    if due in {"7", "30"}:
        return tasks.filter(state__in=OPEN, due_on__range=(today, today + timedelta(days=int(due))))
    if due in {"dated", "undated"}:
        return tasks.filter(due_on__isnull=due == "undated")
    return tasks


SORTS: dict[str, tuple[Any, ...]] = {
    "due": (F("due_on").asc(nulls_last=True), "plan_id", "order", "pk"),
    "-due": (F("due_on").desc(nulls_last=True), "plan_id", "order", "pk"),
    "plan": ("plan__short_name", "order", "pk"),
    "-plan": ("-plan__short_name", "order", "pk"),
    "state": ("state", F("due_on").asc(nulls_last=True), "pk"),
    "-state": ("-state", F("due_on").asc(nulls_last=True), "pk"),
    "updated": (F("state_at").asc(nulls_last=True), "pk"),
    "-updated": (F("state_at").desc(nulls_last=True), "pk"),
}


def count(tasks: QuerySet[Task], today: date) -> Counts:
    is_open = Q(state__in=OPEN)
    soon = Q(due_on__range=(today, today + timedelta(days=task_rules.DUE_SOON_DAYS)))
    found = tasks.order_by().aggregate(
        total=Count("pk"), open=Count("pk", filter=is_open), overdue=Count("pk", filter=is_open & Q(due_on__lt=today)),
        soon=Count("pk", filter=is_open & soon), done=Count("pk", filter=Q(state=Task.State.DONE)),
        silent=Count("pk", filter=is_open & Q(state_at__isnull=True)),
        undated=Count("pk", filter=Q(due_on__isnull=True)),
        **{f"in_{state}": Count("pk", filter=Q(state=state)) for state in Task.State.values},
    )  # fmt: skip
    states = {state: found.pop(f"in_{state}") for state in Task.State.values}
    return Counts(**found, states=states)


def dress(tasks: Iterable[Task], person: Person, *, today: date, with_rights: bool = False) -> list[Row]:
    """Return the rows of tasks with their units in words: one query; with_rights one more, for who may report."""
    rows = {task.pk: Row(task, today) for task in tasks}
    units: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    named = TaskUnit.objects.filter(task__in=list(rows)).order_by("task_id", "-role", "pk")
    columns = ("task_id", "role", "organisation_id", "name_as_printed", "state", "organisation__subject__name")
    for task_id, *unit in named.values_list(*columns):
        units[task_id].append(tuple(unit))
    for pk, row in rows.items():
        row.leads = _lines(units[pk], TaskUnit.Role.LEAD)
        row.cooperating = _lines(units[pk], TaskUnit.Role.COOPERATE)
    if with_rights:
        _add_rights(rows, person)
    return list(rows.values())


def _lines(units: Iterable[tuple[Any, ...]], role: str) -> list[UnitLine]:
    rows = [unit for unit in units if unit[0] == role]
    groups = {printed for _, organisation_id, printed, *_ in rows if organisation_id is None}
    members: dict[str, list[str]] = defaultdict(list)
    for _, organisation_id, printed, state, _ in rows:
        if organisation_id is not None and printed in groups:
            members[printed].append(state)
    lines = []
    for _, organisation_id, printed, _, name in rows:
        if organisation_id is None:
            states = members[printed]
            lines.append(UnitLine(printed, members=len(states), done=states.count(Task.State.DONE)))
        elif printed not in groups:
            lines.append(UnitLine(name or printed))
    return lines


def _add_rights(rows: dict[int, Row], person: Person) -> None:
    if access.list_scopes(person, "enter") or access.list_own_agencies(person):
        acting = TaskUnit.objects.filter(
            task__in=list(rows), role=TaskUnit.Role.LEAD, organisation_id__in=visibility.answering_ids(person)
        )
        for task_id, organisation_id, state in acting.values_list("task_id", "organisation_id", "state"):
            rows[task_id].acting.append(organisation_id)
            rows[task_id].acting_state = state


# --- choices of the filters


Choices = list[tuple[int, str]]


def list_choices(person: Person) -> tuple[Choices, Choices]:
    """Return the plans and the units that the reader may filter by, (id, name), in one query.

    Plans: those of readable tasks. Units: organisations with tasks, in the reader's scope.
    """
    named = Exists(TaskUnit.objects.filter(organisation=OuterRef("pk")))
    units = Organisation.objects.filter(named)
    if not access.sees_everything(person):
        units = units.filter(pk__in=access.visible_subject_ids(person))
    plans = Plan.objects.filter(pk__in=list_readable(person).order_by().values("plan_id")).order_by()
    found = plans.values_list("pk", "short_name", Value("plan")).union(
        units.order_by().values_list("pk", "subject__name", Value("unit")), all=True
    )
    rows = sorted(found, key=lambda row: sort_key(row[1]))
    return (
        [(pk, name) for pk, name, kind in rows if kind == "plan"],
        [(pk, name) for pk, name, kind in rows if kind == "unit"],
    )


# --- the board


@dataclass
class Column:
    state: str
    label: str
    rows: list[Row]
    total: int

    @property
    def first(self) -> list[Row]:
        return self.rows[:_CARDS_AT_FIRST]

    @property
    def rest(self) -> list[Row]:
        return self.rows[_CARDS_AT_FIRST:]


def board(tasks: QuerySet[Task], totals: dict[str, int], person: Person, *, today: date) -> list[Column]:
    """Return the tasks by state, the most urgent of each column; three queries, however many there are.

    totals: how many there are in each state (Counts.states).
    """
    rank = Window(
        RowNumber(), partition_by=F("state"), order_by=[F("due_on").asc(nulls_last=True), F("plan_id"), F("order")]
    )
    first = tasks.order_by().annotate(rank=rank).filter(rank__lte=_CARDS_A_COLUMN).select_related("plan")
    rows = dress(sorted(first, key=attrgetter("rank")), person, today=today, with_rights=True)
    by_state: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_state[row.task.state].append(row)
    order = [Task.State.NOT_STARTED, Task.State.DOING, Task.State.PAUSED, Task.State.DONE, Task.State.CANCELLED]
    return [
        Column(state, _HEADS.get(state, str(state.label)), by_state[state], totals.get(state, 0))
        for state in order
        if state != Task.State.CANCELLED or totals.get(state)
    ]


# --- who owes what


@dataclass(frozen=True)
class Owing:
    """What one lead unit owes, by what it said of its own part."""

    organisation_id: int
    name: str
    key: str
    parent: str
    ended_on: date | None  # the organisation itself is no more
    open: int
    overdue: int
    soon: int
    done: int
    silent: int

    @property
    def total(self) -> int:
        return self.open + self.done


def list_owing(visible_to: Person, filters: Filters, *, today: date) -> list[Owing]:
    """Return for each lead unit in the reader's scope how many of its tasks are open, overdue, due soon and done.

    A task that its manager closed counts as done for all, one that was given up for nobody.
    """
    tasks = select(visible_to, filters, today=today).order_by().exclude(state=Task.State.CANCELLED)
    units = TaskUnit.objects.filter(role=TaskUnit.Role.LEAD, organisation__isnull=False, task__in=tasks)
    if not access.sees_everything(visible_to):
        units = units.filter(organisation_id__in=access.visible_subject_ids(visible_to))
    if filters.unit:
        units = units.filter(organisation=filters.unit)
    done = Q(state=Task.State.DONE) | Q(task__state=Task.State.DONE)
    soon = Q(task__due_on__range=(today, today + timedelta(days=task_rules.DUE_SOON_DAYS)))
    found = (
        units.order_by()
        .values_list(
            "organisation_id", "organisation__subject__name", "organisation__subject__key",
            "organisation__parent__subject__name", "organisation__subject__valid_to",
        )
        .annotate(
            open=Count("pk", filter=~done), overdue=Count("pk", filter=~done & Q(task__due_on__lt=today)),
            soon=Count("pk", filter=~done & soon), done=Count("pk", filter=done),
            silent=Count("pk", filter=~done & Q(state_at__isnull=True)),
        )
    )  # fmt: skip
    rows = [Owing(pk, name, key, parent or "", *rest) for pk, name, key, parent, *rest in found]
    return sorted(rows, key=lambda row: (-row.overdue, -row.soon, -row.open, sort_key(row.name)))


def count_without_lead(tasks: QuerySet[Task]) -> int:
    """Return how many tasks no organisation of the system leads: the document names none, or one that is not held."""
    led = TaskUnit.objects.filter(task=OuterRef("pk"), role=TaskUnit.Role.LEAD, organisation__isnull=False)
    return tasks.order_by().filter(~Exists(led)).count()


# --- the timeline


@dataclass(frozen=True)
class Bar:
    """A dated task on the timeline; from, length: percent of the time shown."""

    row: Row
    from_pct: float
    length_pct: float
    is_point: bool

    @property
    def tone(self) -> str:
        if self.row.task.state in task_rules.CLOSED_STATES:
            return "good" if self.row.task.state == Task.State.DONE else "neutral"
        return "danger" if self.row.is_overdue else "warning" if self.row.is_due_soon else "info"


@dataclass(frozen=True)
class Timeline:
    first: date
    last: date
    months: list[tuple[float, str]]  # where each mark stands (percent), and its words
    today_pct: float | None
    bars: list[Bar]


def timeline(rows: Sequence[Row], *, year: int, today: date) -> Timeline:
    """Return the bars of dated tasks in a year. A task without a first day begins where its plan does."""
    first, last = date(year, 1, 1), date(year, 12, 31)
    spans = [
        (row.task.starts_on or (row.task.plan.valid_from if row.task.plan else None), row.task.due_on or last)
        for row in rows
    ]
    placed = task_rules.place_bars(spans, first=first, last=last)
    days = (last - first).days + 1
    months = [((date(year, month, 1) - first).days * 100 / days, f"T{month}") for month in range(1, 13)]
    today_pct = (today - first).days * 100 / days if first <= today <= last else None
    return Timeline(first, last, months, today_pct, [Bar(row, *place) for row, place in zip(rows, placed, strict=True)])


def count_by_year(tasks: QuerySet[Task]) -> dict[int, int]:
    """Return in which years how many dated tasks end, the last year first."""
    dated = tasks.order_by().filter(due_on__isnull=False)
    return dict(dated.values_list("due_on__year").annotate(n=Count("pk")).order_by("-due_on__year"))


# --- one task


@dataclass
class TaskPage:
    task: Task
    row: Row
    leads: list[TaskUnit]
    cooperating: list[TaskUnit]
    hidden_units: int  # units of the task that are none of the reader's business
    progress: list[TaskProgress]
    meetings: list[Meeting]
    campaigns: list[Campaign]
    visible_ids: set[int]
    meeting_of: Meeting | None  # whose conclusion the task carries out


def get_task(key: str, person: Person) -> Task:
    """Return the task. Raises Task.DoesNotExist if there is none or the person may not read it: both look alike."""
    rows = list_readable(person).select_related(
        "plan", "subject", "accountable", "target__plan", "passage__document", "import_batch"
    )
    return rows.get(key=key)


def read_task(task: Task, person: Person, *, today: date) -> TaskPage:
    """Return all that the page of a task shows to this reader."""
    units = list(task.units.select_related("organisation__subject").order_by("-role", "pk"))
    ids = {unit.organisation_id for unit in units if unit.organisation_id is not None}
    if access.sees_everything(person):
        visible = ids
    else:
        visible = set(access.visible_subject_ids(person).filter(descendant_id__in=ids))
    grouped = {(unit.role, unit.name_as_printed) for unit in units if unit.organisation_id is None}

    def shows(unit: TaskUnit) -> bool:
        in_group = (unit.role, unit.name_as_printed) in grouped
        return unit.organisation_id is None or unit.organisation_id in visible or not in_group

    shown = [unit for unit in units if shows(unit)]
    for unit in shown:
        unit.is_member = (  # type: ignore[attr-defined]
            unit.organisation_id is not None and (unit.role, unit.name_as_printed) in grouped
        )
    progress = task.progress.select_related("organisation__subject", "by").prefetch_related("files")
    mine = [
        entry for entry in progress
        if entry.organisation_id is None or entry.organisation_id in visible or access.sees_everything(person)
        or entry.by_id == person.pk
    ]  # fmt: skip
    row = Row(task, today)
    meetings = list(list_meetings(person).filter(Q(task=task) | Q(conclusions__task=task)).distinct())
    asked_for = [meeting for meeting in meetings if meeting.task_id == task.pk]
    return TaskPage(
        task=task,
        row=row,
        leads=[unit for unit in shown if unit.role == TaskUnit.Role.LEAD],
        cooperating=[unit for unit in shown if unit.role == TaskUnit.Role.COOPERATE],
        hidden_units=len(units) - len(shown),
        progress=mine,
        meetings=asked_for,
        campaigns=list(list_campaigns(person).filter(task=task)),
        visible_ids=visible,
        meeting_of=next((meeting for meeting in meetings if meeting not in asked_for), None),
    )


def link(name: str, *args: Any) -> str:
    """Return the address of a page of another area, or nothing where it has none."""
    try:
        return reverse(f"planning:{name}", args=args)
    except NoReverseMatch:
        return ""


# --- inspections, meetings, campaigns


def _about(person: Person, owner: str) -> Q:
    """Return the filter for what is about a subject that the person reads, or done by an organisation it sees."""
    return visibility.readable(person) | Q(**{f"{owner}__in": access.visible_subject_ids(person)})


def list_meetings(person: Person) -> QuerySet[Meeting]:
    rows = Meeting.objects.select_related("host__subject", "subject", "plan")
    return rows if access.sees_everything(person) else rows.filter(_about(person, "host_id"))


def list_campaigns(person: Person) -> QuerySet[Campaign]:
    rows = Campaign.objects.select_related("organisation__subject", "subject", "plan")
    return rows if access.sees_everything(person) else rows.filter(_about(person, "organisation_id"))


def matching(rows: QuerySet[Any], query: str, fields: Sequence[str]) -> list[int]:
    """Return the ids of rows in whose fields every word of the query occurs, with or without diacritics."""
    words = folding.fold(query).split()
    found = []
    for pk, *texts in rows.order_by().values_list("pk", *fields):
        folded = folding.fold(" ".join(texts))
        if all(word in folded for word in words):
            found.append(pk)
    return found


def with_conclusions(meetings: QuerySet[Meeting]) -> QuerySet[Meeting]:
    return meetings.annotate(
        conclusion_count=Count("conclusions", distinct=True),
        given_out=Count("conclusions__task", distinct=True),
        task_done=Count("conclusions__task", filter=Q(conclusions__task__state=Task.State.DONE), distinct=True),
    ).order_by("-held_on", "-pk")


@dataclass(frozen=True)
class Reached:
    """Sums of campaigns. People reached are summed over those that say how many; rated: over those that say both."""

    campaigns: int
    expected: int | None
    reached: int | None
    counted: int
    rated_expected: int | None
    rated_reached: int | None

    @property
    def share_pct(self) -> float | None:
        """Sum over sum, over the campaigns with both numbers."""
        if not self.rated_expected or self.rated_reached is None:
            return None
        return self.rated_reached * 100 / self.rated_expected


def sum_campaigns(campaigns: QuerySet[Campaign]) -> Reached:
    both = Q(expected_count__isnull=False, reached_count__isnull=False)
    found = campaigns.order_by().aggregate(
        campaigns=Count("pk"), expected=Sum("expected_count"), reached=Sum("reached_count"),
        counted=Count("pk", filter=Q(reached_count__isnull=False)),
        rated_expected=Sum("expected_count", filter=both), rated_reached=Sum("reached_count", filter=both),
    )  # fmt: skip
    return Reached(**found)


# --- for panels


@dataclass
class Own:
    """What lies on the desk of the person's units."""

    rows: list[Row]
    counts: Counts


def list_own(person: Person, *, today: date, limit: int) -> Own:
    """Return the dated tasks of the person's units that are overdue or due soon, of plans still in force."""
    in_force = Q(plan__isnull=True) | (
        Q(plan__status=Plan.Status.IN_FORCE) & (Q(plan__valid_to__isnull=True) | Q(plan__valid_to__gt=today))
    )
    tasks = Task.objects.filter(in_force, list_mine(person), state__in=OPEN)
    counts = count(tasks, today)
    if not counts.overdue and not counts.soon:
        return Own([], counts)
    near = tasks.filter(due_on__lte=today + timedelta(days=task_rules.DUE_SOON_DAYS)).order_by("due_on", "pk")
    return Own(dress(near.select_related("plan")[:limit], person, today=today), counts)


def of_organisation(organisation_id: int, person: Person, *, today: date, limit: int) -> tuple[list[Row], Counts]:
    """Return the first open tasks that an organisation leads, and how many there are."""
    led = TaskUnit.objects.filter(organisation=organisation_id, role=TaskUnit.Role.LEAD)
    tasks = list_readable(person).filter(pk__in=led.values("task_id"))
    counts = count(tasks, today)
    if not counts.total:
        return [], counts
    first = tasks.filter(state__in=OPEN).order_by(F("due_on").asc(nulls_last=True), "plan_id", "order")
    return dress(first.select_related("plan")[:limit], person, today=today), counts
