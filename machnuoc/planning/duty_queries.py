"""What is read of report duties: the calendar, the list, one duty, one instance, how punctual a unit is.

A duty is readable where its territory speaks to the person (`visibility.readable`). An instance is another thing: who
is late is for the unit itself, for who oversees it and for who receives the report.
"""

from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import Any

from django.db.models import Count, F, Q, QuerySet
from django.urls import reverse

from machnuoc.core.models import Person
from machnuoc.core.periods import Period
from machnuoc.places import access
from machnuoc.places.models import Organisation
from machnuoc.planning import duty_operations, duty_rules, visibility
from machnuoc.planning.duty_rules import STATE_LABELS, Standing, State
from machnuoc.planning.models import Duty, DutyInstance, DutyUnit

SOON_DAYS = 30
_FEED_PAST_DAYS = 60
_FEED_MOST = 2_000

ReportLink = Callable[[DutyInstance], tuple[str, str] | None]
_report_links: list[ReportLink] = []


def register_report_link(function: ReportLink) -> None:
    """Let a higher room offer what makes the report: instance → (label, address), or None if it makes none."""
    if function not in _report_links:
        _report_links.append(function)


def report_link(instance: DutyInstance) -> tuple[str, str] | None:
    """Return what a higher room offers to make the report of the instance."""
    return next((found for function in _report_links if (found := function(instance))), None)


# --- what may be read


def list_readable(person: Person) -> QuerySet[Duty]:
    return Duty.objects.filter(visibility.readable(person) | _own_units(person))


def _own_units(person: Person) -> Q:
    if access.sees_everything(person):
        return Q()
    return Q(pk__in=DutyUnit.objects.filter(organisation_id__in=access.visible_subject_ids(person)).values("duty_id"))


def list_instances(person: Person) -> QuerySet[DutyInstance]:
    """Return the instances of the units that the person sees, and those addressed to them."""
    if access.sees_everything(person):
        return DutyInstance.objects.all()
    visible = access.visible_subject_ids(person)
    return DutyInstance.objects.filter(Q(organisation_id__in=visible) | Q(duty__to_organisation_id__in=visible.all()))


def in_state(state: str, today: date) -> Q:
    """Return the filter for instances that stand so today: the same as duty_rules.judge, in the database."""
    sent = Q(submitted_on__isnull=False)
    waiting = Q(submitted_on__isnull=True, waived_by__isnull=True)
    return {
        State.ON_TIME: sent & Q(submitted_on__lte=F("grace_until")),
        State.LATE: sent & Q(submitted_on__gt=F("grace_until")),
        State.WAIVED: Q(submitted_on__isnull=True, waived_by__isnull=False),
        State.OVERDUE: waiting & Q(grace_until__lt=today),
        State.DUE: waiting & Q(grace_until__gte=today, last_day__lte=today),
        State.NOT_OPEN: waiting & Q(last_day__gt=today, opens_on__gt=today),
        State.UPCOMING: waiting & Q(last_day__gt=today, opens_on__lte=today),
    }[State(state)]


def standing_of(instance: DutyInstance, today: date) -> Standing:
    return duty_rules.judge(
        opens_on=instance.opens_on, last_day=instance.last_day, grace_until=instance.grace_until,
        submitted_on=instance.submitted_on, is_waived=instance.waived_by_id is not None, today=today,
    )  # fmt: skip


def period_of(instance: DutyInstance) -> Period | None:
    """Return the period that the report is about; None if it is about none."""
    if not instance.period_kind or instance.period_start is None:
        return None
    return Period(instance.period_kind, instance.period_start)  # type: ignore[arg-type]


# --- the selection of list and calendar


@dataclass(frozen=True)
class Filters:
    """What the address asks for; 0 and empty: anything."""

    q: str = ""
    organisation: int = 0
    plan: int = 0
    duty: int = 0
    state: str = ""
    month: date | None = None


@dataclass
class Row:
    """An instance as list and export show it."""

    pk: int
    duty_id: int
    duty_key: str
    duty_name: str
    organisation_id: int
    organisation: str
    organisation_key: str
    recipient: str
    recipient_ended: date | None
    plan: str
    last_day: date
    period: Period | None
    reason: str
    submitted_on: date | None
    note: str
    standing: Standing

    @property
    def url(self) -> str:
        return reverse("planning:duty_instance", args=[self.pk])

    @property
    def state_label(self) -> str:
        return STATE_LABELS[self.standing.state]


_COLUMNS = (
    "pk", "duty_id", "duty__key", "duty__name", "organisation_id", "organisation__subject__name",
    "organisation__subject__key", "duty__to_organisation__subject__name", "duty__to_as_printed",
    "duty__to_organisation__subject__valid_to", "duty__plan__short_name", "last_day", "period_kind", "period_start",
    "reason", "submitted_on", "submitted_note", "opens_on", "grace_until", "waived_by_id",
)  # fmt: skip


def dress(instances: QuerySet[DutyInstance], today: date) -> Iterator[Row]:
    """Give rows of the instances: one query."""
    for row in instances.values_list(*_COLUMNS):
        (pk, duty_id, duty_key, duty_name, organisation_id, organisation, organisation_key, recipient, printed, ended,
         plan, last_day, kind, start, reason, submitted_on, note, opens_on, grace_until, waived_by) = row  # fmt: skip
        yield Row(
            pk=pk, duty_id=duty_id, duty_key=duty_key, duty_name=duty_name, organisation_id=organisation_id,
            organisation=organisation, organisation_key=organisation_key, recipient=recipient or printed,
            recipient_ended=ended if ended is not None and ended <= today else None, plan=plan or "",
            last_day=last_day, period=Period(kind, start) if kind and start else None, reason=reason,
            submitted_on=submitted_on, note=note,
            standing=duty_rules.judge(
                opens_on=opens_on, last_day=last_day, grace_until=grace_until, submitted_on=submitted_on,
                is_waived=waived_by is not None, today=today,
            ),
        )  # fmt: skip


def select(person: Person, filters: Filters, today: date) -> QuerySet[DutyInstance]:
    """Return the instances that the filters leave, soonest first."""
    found = list_instances(person)
    if filters.organisation:
        found = found.filter(organisation_id=filters.organisation)
    if filters.plan:
        found = found.filter(duty__plan_id=filters.plan)
    if filters.duty:
        found = found.filter(duty_id=filters.duty)
    if filters.state:
        found = found.filter(in_state(filters.state, today))
    if filters.month:
        end = filters.month.replace(day=monthrange(filters.month.year, filters.month.month)[1])
        found = found.filter(last_day__gte=filters.month, last_day__lte=end)
    for word in filters.q.split():
        found = found.filter(Q(duty__name__icontains=word) | Q(organisation__subject__name__icontains=word))
    return found.order_by("last_day", "duty__order", "duty_id", "organisation__subject__name")


def list_choices(person: Person) -> dict[str, list[tuple[int, str]]]:
    """Return the units, plans and duties that the person's instances have, for the filter."""
    rows = (
        list_instances(person)
        .values_list(
            "organisation_id", "organisation__subject__name", "duty__plan_id", "duty__plan__short_name", "duty_id",
            "duty__name",
        )
        .order_by()
        .distinct()[:5_000]
    )  # fmt: skip
    found: dict[str, dict[int, str]] = {"organisation": {}, "plan": {}, "duty": {}}
    for organisation_id, organisation, plan_id, plan, duty_id, duty in rows:
        found["organisation"][organisation_id] = organisation
        if plan_id:
            found["plan"][plan_id] = plan
        found["duty"][duty_id] = duty
    return {name: sorted(rows.items(), key=lambda row: row[1]) for name, rows in found.items()}


def count_states(instances: QuerySet[DutyInstance], today: date) -> dict[str, int]:
    """Return how many of the instances stand how: one query."""
    counts = {state.value: Count("pk", filter=in_state(state, today)) for state in State}
    return instances.order_by().aggregate(**counts)


# --- the calendar


@dataclass
class Entry:
    """What falls due on one day by one duty, for one unit or many."""

    duty_id: int
    duty_name: str
    last_day: date
    rows: list[Row] = field(default_factory=list)

    @property
    def worst(self) -> Standing:
        return min((row.standing for row in self.rows), key=lambda standing: _WORST.index(standing.state))

    @property
    def who(self) -> str:
        return self.rows[0].organisation if len(self.rows) == 1 else f"{len(self.rows)} đơn vị"

    @property
    def url(self) -> str:
        if len(self.rows) == 1:
            return self.rows[0].url
        return f"{reverse('planning:duty_list')}?duty={self.duty_id}&month={self.last_day:%Y-%m}"

    @property
    def done(self) -> int:
        return sum(row.standing.state in (State.ON_TIME, State.LATE, State.WAIVED) for row in self.rows)


_WORST = (State.OVERDUE, State.DUE, State.UPCOMING, State.NOT_OPEN, State.LATE, State.ON_TIME, State.WAIVED)


@dataclass
class Day:
    """A day of the calendar."""

    date: date
    is_in_month: bool
    is_today: bool
    entries: list[Entry]
    holiday: str


@dataclass
class Month:
    """A month of the calendar in whole weeks, Monday first."""

    start: date
    weeks: list[list[Day]]
    entries: list[Entry]

    @property
    def label(self) -> str:
        return f"Tháng {self.start.month}/{self.start.year}"

    @property
    def has_overdue(self) -> bool:
        return any(row.standing.state == State.OVERDUE for entry in self.entries for row in entry.rows)

    @property
    def previous(self) -> str:
        return f"{self.start - timedelta(days=1):%Y-%m}"

    @property
    def next(self) -> str:
        return f"{self.start + timedelta(days=31):%Y-%m}"


def group(rows: Iterable[Row]) -> list[Entry]:
    """Return the rows as entries of a calendar, in order of their day."""
    found: dict[tuple[date, int], Entry] = {}
    for row in rows:
        entry = found.setdefault((row.last_day, row.duty_id), Entry(row.duty_id, row.duty_name, row.last_day))
        entry.rows.append(row)
    return list(found.values())


def get_month(instances: QuerySet[DutyInstance], start: date, today: date) -> Month:
    """Return the month's calendar of the instances: one query."""
    first = start - timedelta(days=start.weekday())
    end = start.replace(day=monthrange(start.year, start.month)[1])
    last = end + timedelta(days=6 - end.weekday())
    entries = group(dress(instances.filter(last_day__gte=first, last_day__lte=last), today))
    by_day: dict[date, list[Entry]] = {}
    for entry in entries:
        by_day.setdefault(entry.last_day, []).append(entry)
    days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    dressed = [
        Day(
            date=day,
            is_in_month=start <= day <= end,
            is_today=day == today,
            entries=by_day.get(day, []),
            holiday=duty_rules.holiday_name(day) if day.weekday() < 5 else "",
        )
        for day in days
    ]
    weeks = [dressed[offset : offset + 7] for offset in range(0, len(dressed), 7)]
    return Month(start, weeks, [entry for entry in entries if start <= entry.last_day <= end])


# --- one duty


@dataclass
class UnitLine:
    """A unit of a duty with how punctual it was; standing of what is next; ended: from when it is no more."""

    organisation: Organisation
    ended: date | None
    timeliness: duty_rules.Timeliness | None
    is_visible: bool


@dataclass
class DutyPage:
    """What the page of a duty shows."""

    duty: Duty
    words: str
    next_dates: list[duty_rules.DueDate]
    explanation: str
    units: list[UnitLine]
    entries: list[Entry]
    recipient_ended: date | None

    @cached_property
    def ended_units(self) -> list[UnitLine]:
        return [line for line in self.units if line.ended]


def describe(duty: Duty) -> str:
    """Return the dates of the duty in words."""
    if duty.timing == Duty.Timing.AD_HOC:
        return "đột xuất, khi có yêu cầu"
    if duty.timing == Duty.Timing.CONTINUOUS:
        return "không ghi thời hạn"
    return duty_rules.words(duty_operations.terms_of(duty))


def ended_on(organisation: Organisation | None, today: date) -> date | None:
    """Return from when the organisation is no more; None while it is there."""
    if organisation is None or organisation.subject.valid_to is None or organisation.subject.valid_to > today:
        return None
    return organisation.subject.valid_to


def get_duty_page(person: Person, duty: Duty, today: date, next_count: int = 10) -> DutyPage:
    """Return what the page of a duty shows. Instances and punctuality only of units that the person sees."""
    own = list(
        dress(list_instances(person).filter(duty=duty).order_by("-last_day", "organisation__subject__name"), today)
    )
    standings: dict[int, list[Standing]] = {}
    for row in own:
        standings.setdefault(row.organisation_id, []).append(row.standing)
    everything = access.sees_everything(person)
    visible = set() if everything else set(
        access.visible_subject_ids(person).filter(descendant_id__in=duty.units.values("organisation_id"))
    )  # fmt: skip
    units = [
        UnitLine(
            organisation=unit.organisation,
            ended=ended_on(unit.organisation, today),
            timeliness=duty_rules.summarise(standings[unit.organisation_id])
            if unit.organisation_id in standings
            else None,
            is_visible=everything or unit.organisation_id in visible,
        )
        for unit in duty.units.select_related("organisation__subject").order_by("organisation__subject__name")
    ]
    terms = duty_operations.terms_of(duty)
    coming: list[duty_rules.DueDate] = []
    if duty_operations.has_dates(duty.timing) and duty.is_active:
        coming = duty_rules.next_due(terms, today, next_count)
    latest = coming[0] if coming else None
    if latest is None and duty.timing == Duty.Timing.ONCE and duty.starts_on is not None:
        latest = next(iter(duty_rules.between(terms, duty.starts_on, duty.starts_on + timedelta(days=800))), None)
    return DutyPage(
        duty=duty,
        words=describe(duty),
        next_dates=coming,
        explanation=duty_rules.explain(terms, latest) if latest else "",
        units=units,
        entries=group(own),
        recipient_ended=ended_on(duty.to_organisation, today),
    )


def count_units(duties: Iterable[Duty]) -> dict[int, int]:
    """Return how many units owe each of the duties: one query."""
    counted = (
        DutyUnit.objects.filter(duty__in=[duty.pk for duty in duties]).values("duty_id").annotate(units=Count("pk"))
    )
    return {row["duty_id"]: row["units"] for row in counted.order_by()}


# --- one organisation


@dataclass
class UnitPage:
    """What an organisation owes and how punctual it was, as a whole, by duty and by year."""

    timeliness: duty_rules.Timeliness
    by_duty: list[tuple[str, str, duty_rules.Timeliness]]  # key and name of the duty
    by_year: list[tuple[int, duty_rules.Timeliness]]
    open_rows: list[Row]
    past_rows: list[Row]
    duties: list[Duty]


def get_unit_page(person: Person, organisation: Organisation, today: date) -> UnitPage:
    """Return what the unit owes and how punctual it was."""
    rows = list(dress(list_instances(person).filter(organisation=organisation).order_by("last_day", "duty_id"), today))
    by_duty: dict[tuple[str, str], list[Standing]] = {}
    by_year: dict[int, list[Standing]] = {}
    for row in rows:
        by_duty.setdefault((row.duty_key, row.duty_name), []).append(row.standing)
        if row.last_day <= today or row.submitted_on:
            by_year.setdefault(row.last_day.year, []).append(row.standing)
    is_open = {State.NOT_OPEN, State.UPCOMING, State.DUE, State.OVERDUE}
    return UnitPage(
        timeliness=duty_rules.summarise(row.standing for row in rows),
        by_duty=[(key, name, duty_rules.summarise(found)) for (key, name), found in by_duty.items()],
        by_year=[(year, duty_rules.summarise(found)) for year, found in sorted(by_year.items(), reverse=True)],
        open_rows=[row for row in rows if row.standing.state in is_open],
        past_rows=[row for row in reversed(rows) if row.standing.state not in is_open],
        duties=list(
            list_readable(person)
            .filter(units__organisation=organisation)
            .select_related("plan")
            .order_by("plan", "order")
        ),
    )


def get_unit_summary(
    person: Person, organisation_id: int, today: date, *, limit: int
) -> tuple[list[Row], duty_rules.Timeliness]:
    """Return what the unit owes next and its punctuality: one query."""
    rows = list(dress(list_instances(person).filter(organisation_id=organisation_id).order_by("last_day"), today))
    is_open = {State.UPCOMING, State.DUE, State.OVERDUE, State.NOT_OPEN}
    coming = [row for row in rows if row.standing.state in is_open]
    return coming[:limit], duty_rules.summarise(row.standing for row in rows)


def list_punctuality(person: Person, today: date) -> list[tuple[int, str, str, duty_rules.Timeliness]]:
    """Return each unit (id, key, name) with its punctuality: the worst first. Counted in the database: one query."""
    states = {state.value: Count("pk", filter=in_state(state, today)) for state in State}
    rows = (
        list_instances(person)
        .order_by()
        .values("organisation_id", "organisation__subject__key", "organisation__subject__name")
        .annotate(**states)
    )
    found = []
    for row in rows:
        counted: dict[str, Any] = {**row}
        timeliness = duty_rules.Timeliness(
            on_time=counted[State.ON_TIME], late=counted[State.LATE], missed=counted[State.OVERDUE],
            waived=counted[State.WAIVED],
            open=counted[State.NOT_OPEN] + counted[State.UPCOMING] + counted[State.DUE],
            median_days_early=None,
        )  # fmt: skip
        found.append(
            (
                counted["organisation_id"],
                counted["organisation__subject__key"],
                counted["organisation__subject__name"],
                timeliness,
            )
        )
    return sorted(found, key=lambda row: (-row[3].missed, -row[3].late, row[2]))


# --- overview and feed


def _of_own_units(person: Person) -> QuerySet[DutyInstance]:
    """Return the instances of units that the person acts for or oversees: it enters, approves or manages there."""
    acting = Q()
    for action in ("enter", "approve", "manage"):
        if access.sees_everything(person, action):
            return DutyInstance.objects.all()
        acting |= Q(organisation_id__in=access.visible_subject_ids(person, action))
    return DutyInstance.objects.filter(acting)


def list_soon(person: Person, today: date) -> list[Entry]:
    """Return what the person's own units owe now: overdue, or open and due within SOON_DAYS."""
    own = _of_own_units(person).filter(
        submitted_on__isnull=True, waived_by__isnull=True, duty__is_active=True, opens_on__lte=today,
        last_day__lte=today + timedelta(days=SOON_DAYS),
    )  # fmt: skip
    return group(dress(own.order_by("last_day", "duty__order", "duty_id")[:500], today))


def list_for_feed(person: Person, today: date) -> list[Entry]:
    """Return what a person's calendar shows: the instances of units that the person acts for or oversees."""
    rows = (
        _of_own_units(person)
        .filter(last_day__gte=today - timedelta(days=_FEED_PAST_DAYS), duty__is_active=True)
        .order_by("last_day", "duty_id", "organisation__subject__name")
    )
    return group(dress(rows[:_FEED_MOST], today))
