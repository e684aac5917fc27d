"""What pages, panels and programs read of plans and targets. Everything is filtered by what the person may read."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from operator import attrgetter, itemgetter
from typing import Any

from django.db.models import BooleanField, Count, Exists, Expression, ExpressionWrapper, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from machnuoc.core import folding
from machnuoc.core.models import Person
from machnuoc.core.periods import Period, local_date
from machnuoc.core.vietnamese import format_date
from machnuoc.customers import counting
from machnuoc.indicators.models import Metric, PeriodKind, Scenario, State, Value
from machnuoc.places import access
from machnuoc.places.models import AdministrativeUnit, Containment, Organisation, Subject
from machnuoc.planning import (
    duty_queries,
    handover_queries,
    plan_standings,
    project_queries,
    standing,
    task_operations,
    task_queries,
)
from machnuoc.planning.comparison import NotComparable, PartsFinding, check_parts
from machnuoc.planning.models import (
    Discrepancy,
    Plan,
    PlanAmendment,
    Proposal,
    StandingChange,
    Target,
    TargetChange,
    TargetUnit,
    Task,
    TaskUnit,
    UnreadRow,
)
from machnuoc.planning.models.plans import Status
from machnuoc.planning.visibility import answering_ids, answers, holds, is_of, overseen, readable
from machnuoc.works import queries as work_queries
from machnuoc.works.models import Work

STATUSES: tuple[str, ...] = tuple(Status.values)
_LABELS = {str(code): str(label) for code, label in Status.choices}
TONES = {
    "MET": "good", "ON_TRACK": "info", "AT_RISK": "warning", "MISSED": "danger", "EXPIRED": "neutral",
    "NO_DATA": "neutral",
}  # fmt: skip
ICONS = {
    "MET": "circle-check", "ON_TRACK": "trending-up", "AT_RISK": "alert-triangle", "MISSED": "alert-circle",
    "EXPIRED": "calendar", "NO_DATA": "info-circle",
}  # fmt: skip
LATE = (Status.AT_RISK, Status.MISSED)
_MOST_CANDIDATES = 300
_AT_A_TIME = 500
PART_KINDS = {"WORK": "Công trình", "ORGANISATION": "Đơn vị"}
_SENT = (Proposal.State.SUBMITTED, Proposal.State.APPROVED)
_SEVERITY = {code: rank for rank, code in enumerate(["MISSED", "AT_RISK", "NO_DATA", "ON_TRACK", "MET", "EXPIRED"])}


# --- plans --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlanRow:
    """A plan with how many of its targets stand how."""

    plan: Plan
    counts: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def late(self) -> int:
        return self.counts.get(Status.AT_RISK, 0) + self.counts.get(Status.MISSED, 0)

    @property
    def parts(self) -> list[tuple[str, str, str, int]]:
        """(label with count, tone, code, count) of each status that occurs."""
        return [(f"{label}: {count}", tone, code, count) for label, tone, code, count in self.tell(self.counts)]

    @staticmethod
    def tell(counts: Mapping[str, int]) -> list[tuple[str, str, str, int]]:
        """Return (label, tone, code, count) of each status that occurs."""
        return [(_LABELS[code], TONES[code], code, counts[code]) for code in STATUSES if counts.get(code)]


def visible_plans(person: Person) -> QuerySet[Plan]:
    return Plan.objects.filter(readable(person, "territory_id"))


def visible_targets(person: Person) -> QuerySet[Target]:
    return Target.objects.filter(readable(person, "subject_id"), is_active=True)


def list_plans(person: Person) -> list[PlanRow]:
    """Return the plans that the person may read, the newest first, with their targets counted. Two queries."""
    plans = list(visible_plans(person).select_related("document", "issuer__subject", "territory"))
    counts = _count_statuses(visible_targets(person).filter(plan__in=plans))
    return [PlanRow(plan, counts.get(plan.pk, {})) for plan in plans]


def _count_statuses(targets: QuerySet[Target]) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for plan_id, status, count in targets.order_by().values_list("plan_id", "standing__status").annotate(Count("pk")):
        code = status or Status.NO_DATA
        found[plan_id][code] = found[plan_id].get(code, 0) + count
    return found


def get_plan(key: str, person: Person) -> Plan:
    """Return the plan. Raises Plan.DoesNotExist, also where the person may not read it."""
    return (
        visible_plans(person)
        .select_related("document__file", "issuer__subject", "territory")
        .annotate(
            manages_place=holds(person, "manage", "territory_id"), manages_issuer=holds(person, "manage", "issuer_id")
        )
        .get(key=key)
    )  # fmt: skip


@dataclass(frozen=True)
class PlanPage:
    """What the page of a plan shows."""

    row: PlanRow
    own: PlanRow
    """The targets of the plan itself, without the parts handed down."""
    targets: list[Target]
    """The first of them."""
    bases: list[Any]
    amendments: list[PlanAmendment]
    carries_out: list[Plan]
    carried_out_by: list[Plan]
    counts: dict[str, int]
    discrepancies: list[Discrepancy]
    unread: list[UnreadRow]

    @property
    def parts_total(self) -> int:
        return self.row.total - self.own.total

    @property
    def more(self) -> int:
        """How many targets of the plan itself the page does not show."""
        return self.own.total - len(self.targets)


def get_plan_page(plan: Plan, person: Person, *, shown: int) -> PlanPage:
    """Return the page of the plan with so many of its targets at most."""
    targets = visible_targets(person).filter(plan=plan)
    wholes = targets.filter(parent__isnull=True)
    all_counts, own_counts = _count_statuses_twice(targets)
    above, below = _around(plan, person)
    return PlanPage(
        row=PlanRow(plan, all_counts),
        own=PlanRow(plan, own_counts),
        targets=dress(person, order_targets(wholes)[:shown]),
        bases=list(plan.bases.select_related("passage__document", "document")),
        amendments=list(plan.amendments.select_related("made_by", "document")),
        carries_out=above,
        carried_out_by=below,
        counts=_count_all(plan, person),
        discrepancies=list(
            Discrepancy.objects.filter(plan=plan).select_related("first_passage__document", "second_passage__document")
        ),
        unread=list(UnreadRow.objects.filter(plan=plan)),
    )


def _count_statuses_twice(targets: QuerySet[Target]) -> tuple[dict[str, int], dict[str, int]]:
    """Return how many targets stand how: all, and those that are no part of another. One query."""
    everything: dict[str, int] = {}
    wholes: dict[str, int] = {}
    counted = targets.values_list("standing__status").annotate(
        Count("pk"), wholes=Count("pk", filter=Q(parent__isnull=True))
    )
    for status, count, count_wholes in counted.order_by():
        code = status or Status.NO_DATA
        everything[code] = everything.get(code, 0) + count
        if count_wholes:
            wholes[code] = wholes.get(code, 0) + count_wholes
    return everything, wholes


def _around(plan: Plan, person: Person) -> tuple[list[Plan], list[Plan]]:
    """Return the plans that this one carries out, and those that the person may read which carry it out."""
    links = (
        Plan.carries_out.through._default_manager.filter(
            Q(from_plan=plan) | Q(to_plan=plan, from_plan__in=visible_plans(person))
        )
        .select_related("from_plan", "to_plan")
        .order_by("id")
    )
    above: list[Plan] = [link.to_plan for link in links if link.from_plan_id == plan.pk]
    return above, [link.from_plan for link in links if link.from_plan_id != plan.pk]


def _count_all(plan: Plan, person: Person) -> dict[str, int]:
    """Return how much of each kind belongs to the plan that the person may read, in one query."""
    owned: dict[str, QuerySet[Any]] = {
        "tasks": task_operations.list_readable(person), "projects": project_queries.list_readable(person),
        "handovers": handover_queries.list_readable(person), "duties": duty_queries.list_readable(person),
        "meetings": task_queries.list_meetings(person), "campaigns": task_queries.list_campaigns(person),
    }  # fmt: skip
    counted = {
        f"n_{name}": Coalesce(
            Subquery(rows.filter(plan=OuterRef("pk")).order_by().values("plan").annotate(n=Count("pk")).values("n")), 0
        )
        for name, rows in owned.items()
    }
    found: Any = Plan.objects.filter(pk=plan.pk).values(**counted).get()
    return {name.removeprefix("n_"): count for name, count in found.items()}


# --- targets ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Filters:
    """What a person asked the list of targets for. Empty means all; level "" leaves out the parts of a whole."""

    q: str = ""
    plan: str = ""
    status: str = ""
    unit: int = 0
    due: str = ""
    level: str = ""


DUE = {"30": "Trong 30 ngày tới", "90": "Trong 90 ngày tới", "passed": "Đã qua hạn", "open": "Chưa đến hạn"}
LEVELS = {"": "Chỉ tiêu chung", "part": "Phần giao xuống đơn vị", "all": "Tất cả"}
SORTS = ("name", "plan", "due", "status", "reached")


def order_targets(targets: QuerySet[Target]) -> QuerySet[Target]:
    return targets.order_by("plan_id", "order", "pk")


@dataclass(frozen=True)
class Selection:
    """The targets asked for: their ids in order, and how many of them stand how (label, tone, code, count)."""

    ids: list[int]
    counts: list[tuple[str, str, str, int]]


def select(person: Person, filters: Filters, sort: str, today: date) -> Selection:
    """Return the targets that the person may read and asked for, in order. One query, of what order and search need."""
    targets = visible_targets(person)
    if filters.plan:
        targets = targets.filter(plan__key=filters.plan)
    if filters.status == Status.NO_DATA:
        targets = targets.filter(Q(standing__status=Status.NO_DATA) | Q(standing__isnull=True))
    elif filters.status:
        targets = targets.filter(standing__status=filters.status)
    if filters.unit:
        targets = targets.filter(pk__in=TargetUnit.objects.filter(organisation_id=filters.unit).values("target_id"))
    if filters.due == "passed":
        targets = targets.filter(due_on__lt=today)
    elif filters.due == "open":
        targets = targets.filter(due_on__gte=today)
    elif filters.due:
        targets = targets.filter(due_on__gte=today, due_on__lte=today + timedelta(days=int(filters.due)))
    if filters.level == "part":
        targets = targets.filter(parent__isnull=False)
    elif not filters.level:
        targets = targets.filter(parent__isnull=True)
    words = folding.fold(filters.q).split()
    name = sort.removeprefix("-")
    searched = ("name", "text") if words else ()
    found = list(order_targets(targets).values_list("pk", "standing__status", *searched, *_SORTED_BY.get(name, ())))
    if words:
        found = [row for row in found if all(word in folding.fold(f"{row[2]} {row[3]}") for word in words)]
    if name in _SORTED_BY:
        key = _SORT_KEYS[name]
        found.sort(key=lambda row: key(row[1], *row[2 + len(searched) :]), reverse=sort.startswith("-"))
    counts = Counter(row[1] or Status.NO_DATA for row in found)
    return Selection([row[0] for row in found], PlanRow.tell(counts))


# What each order is by, and the key made of it and of the status, which comes first.
_SORTED_BY: dict[str, tuple[str, ...]] = {
    "name": ("name",), "plan": ("plan__short_name",), "due": ("due_on",), "status": (),
    "reached": ("standing__reached", "amount"),
}  # fmt: skip
_SORT_KEYS: dict[str, Callable[..., Any]] = {
    "name": lambda _, name: folding.sort_key(name),
    "plan": lambda _, plan: folding.sort_key(plan),
    "due": lambda _, due_on: due_on or date.max,
    "status": lambda status: _SEVERITY[status or Status.NO_DATA],
    "reached": lambda _, reached, amount: 1.0 if reached is None or not amount else -float(reached / amount),
}


def status_of(target: Target) -> str:
    stood = getattr(target, "standing", None)
    return stood.status if stood is not None else Status.NO_DATA


def dress(person: Person, targets: Sequence[int] | QuerySet[Target]) -> list[Any]:
    """Return the targets (or those with these ids, in their order) as pages show them: with standing, words, leads.

    Two queries, however many they are.
    """
    if isinstance(targets, QuerySet):
        rows = list(_annotated(person, targets))
    else:
        place = {pk: number for number, pk in enumerate(targets)}
        rows = sorted(_annotated(person, Target.objects.filter(pk__in=place)), key=lambda row: place[row.pk])
    return _dressed(rows, list_leads(row.pk for row in rows))


def dress_all(person: Person, ids: Sequence[int]) -> Iterator[Any]:
    """Yield any number of targets as `dress` gives them. Two queries for each 500."""
    for first in range(0, len(ids), _AT_A_TIME):
        yield from dress(person, ids[first : first + _AT_A_TIME])


def _annotated(person: Person, targets: QuerySet[Target]) -> QuerySet[Any]:
    parts = Target.objects.filter(parent=OuterRef("pk")).order_by().values("parent").annotate(n=Count("pk")).values("n")
    return targets.select_related("plan", "subject", "metric", "standing", "standing__value__metric").annotate(
        parts_count=Coalesce(Subquery(parts), 0), shows_figures=shows_figures(person), **_what_is_owed()
    )


def _what_is_owed() -> dict[str, Any]:
    """Return late_since: the day on which the target came to be late as it still is; answered_at: when its unit last
    sent what it proposes."""
    fine_later = StandingChange.objects.filter(target=OuterRef("target_id"), on_date__gt=OuterRef("on_date")).exclude(
        status__in=LATE
    )
    late = StandingChange.objects.filter(~Exists(fine_later), target=OuterRef("pk"), status__in=LATE)
    sent = Proposal.objects.filter(target=OuterRef("pk"), state__in=_SENT).order_by("-submitted_at")
    return {
        "late_since": Subquery(late.order_by("on_date").values("on_date")[:1]),
        "answered_at": Subquery(sent.values("submitted_at")[:1]),
    }


def owes(row: Any) -> bool:
    """Return whether the lead unit of a target (`dress`, `get_target`) still owes what it proposes for it."""
    if status_of(row) not in LATE:
        return False
    if row.answered_at is None:
        return True
    return row.late_since is not None and local_date(row.answered_at) < row.late_since


def list_leads(target_ids: Iterable[int]) -> dict[int, list[str]]:
    """Return the names of the lead units of each target."""
    leads: dict[int, list[str]] = defaultdict(list)
    for target_id, name, printed in (
        TargetUnit.objects.filter(target_id__in=list(target_ids), role=TargetUnit.Role.LEAD)
        .order_by("id")
        .values_list("target_id", "organisation__subject__name", "name_as_printed")
    ):
        leads[target_id].append(name or printed)
    return leads


def _dressed(rows: list[Any], leads: dict[int, list[str]]) -> list[Any]:
    for row in rows:
        row.lead_names = leads.get(row.pk, [])
        row.promised = promised(row)
        row.status = status_of(row)
        row.owes = owes(row)
        row.tone, row.icon, row.status_label = TONES[row.status], ICONS[row.status], str(Status(row.status).label)
        row.reached_text = said(row.standing.reached, row) if row.shows_figures and hasattr(row, "standing") else ""
        row.forecast_text = said(row.standing.forecast, row) if row.shows_figures and hasattr(row, "standing") else ""
    return rows


def promised(target: Target) -> str:
    """Return what is promised, in words: «ít nhất 3 công trình»."""
    return standing.words(
        plan_standings.promise_of(target), plan_standings.unit_label(target), target.comparator_as_printed
    )


def said(amount: Decimal | None, target: Target) -> str:
    """Return a figure of the target in words, empty if there is none."""
    if amount is None:
        return ""
    return standing.say(amount, plan_standings.promise_of(target), plan_standings.unit_label(target))


_PUBLISHED = Q(kind=Subject.Kind.COUNTRY) | Q(unit__level=AdministrativeUnit.Level.PROVINCE)


def readable_subject_ids(person: Person, ids: Iterable[int]) -> set[int]:
    """Return which of the subjects the person may read figures of (those of provinces are published)."""
    if access.sees_everything(person):
        return set(ids)
    seen = Subject.objects.filter(_PUBLISHED | overseen(person, "pk"), pk__in=list(ids))
    return set(seen.values_list("pk", flat=True))


def shows_figures(person: Person) -> Expression:
    """Return, for a query of targets, whether the person may read the figures of their subjects."""
    allowed = Q(pk__isnull=False)
    if not access.sees_everything(person):
        allowed = (
            Q(subject__kind=Subject.Kind.COUNTRY)
            | Q(subject__unit__level=AdministrativeUnit.Level.PROVINCE)
            | overseen(person)
        )
    return ExpressionWrapper(allowed, BooleanField())


def list_unit_choices(person: Person) -> list[tuple[int, str]]:
    """Return the organisations that lead or help with a target that the person may read."""
    rows = Organisation.objects.filter(
        pk__in=TargetUnit.objects.filter(target__in=visible_targets(person)).values("organisation_id")
    ).values_list("pk", "subject__name")
    return sorted(rows, key=lambda row: folding.sort_key(row[1]))


# --- one target ---------------------------------------------------------------------------------------------------


def get_target(plan_key: str, key: str, person: Person) -> Target:
    """Return the target. Raises Target.DoesNotExist, also where the person may not read it."""
    return (
        plan_standings.with_measure(visible_targets(person))
        .select_related(
            "plan__document", "plan__territory", "subject", "metric", "passage__document", "parent__plan",
            "accountable",
            "standing__value__metric", "standing__value__subject", "standing__value__band", "standing__value__fact",
        )
        .annotate(
            shows_figures=shows_figures(person), manages_place=holds(person, "manage", "plan__territory_id"),
            manages_issuer=holds(person, "manage", "plan__issuer_id"),
            approves_for_issuer=holds(person, "approve", "plan__issuer_id"), **_what_is_owed(),
        )
        .get(plan__key=plan_key, key=key)
    )  # fmt: skip


@dataclass
class TargetPage:
    """What the page of a target shows."""

    target: Target
    question: standing.Question
    shows_figures: bool
    units: list[Any]  # TargetUnit; may_propose: the person answers for it
    parts: list[Any] = field(default_factory=list)
    finding: PartsFinding | None = None
    finding_text: str = ""
    proposals: list[Proposal] = field(default_factory=list)
    changes: list[TargetChange] = field(default_factory=list)
    judgements: list[Any] = field(default_factory=list)
    former: list[StandingChange] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    points: list["Point"] = field(default_factory=list)


@dataclass(frozen=True)
class Point:
    """One line of a target's course: what was reached, what the path asked for, what is expected."""

    label: str
    day: date
    reached: Decimal | None = None
    asked: Decimal | None = None
    expected: Decimal | None = None
    low: Decimal | None = None
    high: Decimal | None = None


def get_target_page(target: Any, person: Person, today: date) -> TargetPage:
    """Return what the page of a target (`get_target`) shows, in at most ten queries."""
    case = plan_standings.cases_of([target], today)[0]
    parts = list(_annotated(person, order_targets(target.parts.filter(is_active=True))).annotate(
        is_readable=ExpressionWrapper(readable(person) or Q(pk__isnull=False), BooleanField())
    ))  # fmt: skip
    units = list(
        TargetUnit.objects.filter(target_id__in=[target.pk, *(part.pk for part in parts)])
        .select_related("organisation__subject")
        .annotate(may_propose=answers(person, "organisation_id"))
        .order_by("-role", "id")
    )
    leads: dict[int, list[str]] = defaultdict(list)
    for unit in units:
        if unit.role == TargetUnit.Role.LEAD:
            leads[unit.target_id].append(unit.organisation.subject.name if unit.organisation else unit.name_as_printed)
    proposals = target.proposals.select_related("organisation__subject", "made_by", "decided_by").annotate(
        may_enter=answers(person, "organisation_id"), may_approve=holds(person, "approve", "organisation_id")
    )
    page = TargetPage(
        target=target, question=case.question, shows_figures=target.shows_figures,
        units=[unit for unit in units if unit.target_id == target.pk],
        parts=_dressed([part for part in parts if part.is_readable], leads),
        proposals=list(proposals),
        changes=list(target.changes.select_related("amendment", "made_by")),
        judgements=case.verdicts,
        former=list(target.standing_changes.all()[:12]) if target.shows_figures else [],
        tasks=list(Task.objects.filter(readable(person), target=target).order_by("order", "pk")[:20]),
    )  # fmt: skip
    page.finding, page.finding_text = find_in_parts(target, [(part.pk, part.amount, part.name) for part in parts])
    if page.shows_figures:
        page.points = course(case, getattr(target, "standing", None))
    return page


def check_parts_of(target: Target) -> tuple[PartsFinding | None, str]:
    """Return how all parts of the target agree with it (whoever may read them), and the same in words."""
    return find_in_parts(target, list(target.parts.filter(is_active=True).values_list("pk", "amount", "name")))


def find_in_parts(target: Target, parts: Sequence[tuple[int, Decimal | None, str]]) -> tuple[PartsFinding | None, str]:
    """Return how parts (id, amount, name) agree with the target, and the same in words."""
    if target.parts_check == Target.PartsCheck.NONE:
        return None, ""
    promise = plan_standings.promise_of(target)
    try:
        finding = check_parts(target.parts_check, promise, [(pk, amount) for pk, amount, _ in parts])  # type: ignore[arg-type]
    except NotComparable:
        return None, ""
    unit = plan_standings.unit_label(target)
    if target.parts_check == Target.PartsCheck.EACH:
        weaker = [name for pk, _, name in parts if pk in finding.weaker]
        if weaker:
            return finding, f"Có phần đặt mức thấp hơn chỉ tiêu chung: {'; '.join(weaker)}."
        return finding, f"{len(parts)} phần đều đặt mức ít nhất như chỉ tiêu chung."
    total = standing.say(finding.sum_of_parts or Decimal(0), promise, unit)
    whole = standing.say(target.amount or Decimal(0), promise, unit)
    if finding.difference:
        more = "nhiều hơn" if finding.difference > 0 else "ít hơn"
        gap = standing.say(abs(finding.difference), promise, unit)
        return finding, f"{len(parts)} phần cộng lại {total}, {more} chỉ tiêu chung ({whole}) {gap}."
    return finding, f"{len(parts)} phần cộng lại {total}, khớp với chỉ tiêu chung."


@dataclass
class Candidate:
    """Who may be given a part of a target: what it was given, who would lead."""

    subject: Subject
    lead: Organisation | None
    given: Decimal | None = None


def list_candidates(person: Person, target: Target, kind: str) -> list[Candidate]:
    """Return the organisations or the works that the person sees within the target's subject, those with a part first.

    Two queries.
    """
    parts = {
        part.subject_id: part for part in target.parts.filter(is_active=True).select_related("subject")
    }  # fmt: skip
    within = Containment.objects.filter(ancestor_id=target.subject_id).exclude(descendant_id=target.subject_id)
    reach = Q(pk__in=within.values("descendant_id")) & Q(pk__in=access.visible_subject_ids(person))
    reach |= Q(pk__in=list(parts))
    found: dict[int, Candidate] = {}
    if kind == Subject.Kind.WORK:
        works = Work.objects.filter(reach).exclude(status=Work.Status.STOPPED)
        for work in works.select_related("subject", "team__subject", "operator__subject").order_by("subject__name")[
            :_MOST_CANDIDATES
        ]:
            found[work.pk] = Candidate(work.subject, work.team or work.operator)
    else:
        for unit in (
            Organisation.objects.filter(reach).select_related("subject").order_by("subject__name")[:_MOST_CANDIDATES]
        ):
            found[unit.pk] = Candidate(unit.subject, unit)
    for pk, part in parts.items():
        found.setdefault(pk, Candidate(part.subject, None)).given = part.amount
    return sorted(found.values(), key=lambda one: (one.given is None, folding.sort_key(one.subject.name)))


def course(case: plan_standings.Case, stood: Any) -> list[Point]:
    """Return the course of the target by period: months where the figures are monthly, else their own periods."""
    question = case.question
    kind = case.figures[-1].kind if case.figures else case.target.period_kind
    asked = standing.whole_path(question)
    history = dict(question.history)
    days = set(history) | {day for day, _ in question.path}
    start, due = question.starts_on, question.due_on
    if start is not None and due is not None and kind in "MQ" and (due - start).days < 800:
        period = Period.containing(start, kind)  # type: ignore[arg-type]
        while period.start_date <= due:
            days.add(min(period.end_date - timedelta(days=1), due))
            period = period.next
    elif due is not None:
        days.add(due)
    known = max(history, default=None)
    points = []
    for day in sorted(days):
        expected = low = high = None
        if stood is not None and stood.forecast is not None and known is not None and due is not None and day >= known:
            share = Decimal((day - known).days) / max(1, (due - known).days)
            expected, low, high = (
                None if end is None else history[known] + (end - history[known]) * share
                for end in (stood.forecast, stood.forecast_low, stood.forecast_high)
            )
        points.append(
            Point(
                _label(day, kind), day, history.get(day), standing.expected_at(day, asked) if asked else None, expected,
                low, high,
            )
        )  # fmt: skip
    return points[-60:]


def _label(day: date, kind: str) -> str:
    try:
        period = Period.containing(day, kind)  # type: ignore[arg-type]
    except ValueError:
        return format_date(day)
    return period.label_vi


def chart_of(page: TargetPage) -> dict[str, Any] | None:
    """Return the course as a chart (core/charts.js); None with fewer than two points that are known."""
    points = page.points
    if sum(point.reached is not None for point in points) < 1 or len(points) < 2:
        return None
    promise = page.question.promise
    decimals = promise.decimals if page.question.unit != "%" else max(1, promise.decimals)

    def values(name: str) -> list[float | None]:
        return [None if (one := getattr(point, name)) is None else round(float(one), 2) for point in points]

    series: list[dict[str, Any]] = [{"name": "Đã đạt", "values": values("reached")}]
    for name, title in (
        ("asked", "Theo tiến độ"),
        ("expected", "Dự báo"),
        ("low", "Thấp (80 %)"),
        ("high", "Cao (80 %)"),
    ):
        if any(getattr(point, name) is not None for point in points):
            series.append({"name": title, "values": values(name), "dashed": True})
    lines = [] if promise.amount is None else [{"value": float(promise.amount), "label": "Phải đạt"}]
    if promise.upper is not None:
        lines.append({"value": float(promise.upper), "label": "Đến"})
    return {
        "type": "line", "unit": page.question.unit, "decimals": decimals, "category_title": "Kỳ",
        "categories": [point.label for point in points], "series": series, "lines": lines,
    }  # fmt: skip


def promised_before(change: TargetChange) -> str:
    """Return what was promised before a change, in words."""
    before = change.before
    old = Target(
        comparator=before["comparator"], amount=Decimal(before["amount"]) if before["amount"] else None,
        upper=Decimal(before["upper"]) if before["upper"] else None, decimals=before["decimals"], unit=before["unit"],
        comparator_as_printed=before["comparator_as_printed"],
    )  # fmt: skip
    words = promised(old)
    return f"{words}, hạn {format_date(date.fromisoformat(before['due_on']))}" if before["due_on"] else words


def may_manage(person: Person, plan: Plan) -> bool:
    """Return whether the person may change the plan: who manages its territory, or the organisation that issued it."""
    return access.may(person, "manage", plan.territory_id) or is_of(person, "manage", plan.issuer_id)


def may_judge(person: Person, plan: Plan) -> bool:
    return may_manage(person, plan) or is_of(person, "approve", plan.issuer_id)


def list_proposing_units(person: Person, target: Target) -> list[Organisation]:
    """Return the lead units of the target for which the person may propose."""
    units = (
        target.units.filter(role=TargetUnit.Role.LEAD, organisation__isnull=False)
        .select_related("organisation__subject")
        .annotate(may_propose=answers(person, "organisation_id"))
    )
    return [unit.organisation for unit in units if unit.may_propose and unit.organisation]


# --- proposals ----------------------------------------------------------------------------------------------------


def list_owed(person: Person) -> list[Any]:
    """Return the targets, dressed, for which a unit of the person has to propose something and has not. Two queries."""
    acting = answering_ids(person)
    leads = TargetUnit.objects.filter(role=TargetUnit.Role.LEAD, organisation_id__in=acting).values("target_id")
    late = Target.objects.filter(pk__in=leads, is_active=True, standing__status__in=LATE)
    return [row for row in dress(person, late.order_by("due_on", "plan_id", "order", "pk")) if row.owes]


def list_waiting(person: Person) -> QuerySet[Proposal]:
    """Return the proposals that wait for a decision which the person may take."""
    return Proposal.objects.filter(
        ~Q(made_by=person),
        state=Proposal.State.SUBMITTED,
        organisation_id__in=access.visible_subject_ids(person, "approve"),
    ).select_related("target__plan", "organisation__subject")


# --- growth by station --------------------------------------------------------------------------------------------


@dataclass
class Growth:
    """A work's households: designed, connected at the end of last year, planned, added since; what room is left."""

    key: str
    name: str
    operator: str
    depth: int
    design: int | None
    connected: int | None
    planned: int | None
    now: int | None = None
    as_of: date | None = None  # the first day of the month that `now` is of
    is_simulated: bool = False
    handed: int = 0  # households of `now` that came this year by a handover: taking over develops nothing
    value_id: int | None = None  # where `now` leads
    rank: int | None = None

    @property
    def asked(self) -> int | None:
        return None if self.planned is None or self.connected is None else self.planned - self.connected

    @property
    def added(self) -> int | None:
        return None if self.now is None or self.connected is None else self.now - self.connected - self.handed

    @property
    def left(self) -> int | None:
        return None if self.asked is None or self.added is None else max(0, self.asked - self.added)

    @property
    def spare(self) -> int | None:
        """Households that may still join within the design; negative: already above it."""
        known = self.now if self.now is not None else self.connected
        return None if self.design is None or known is None else self.design - known

    @property
    def above(self) -> int:
        """How many households the plan puts above the design."""
        return max(0, self.planned - self.design) if self.planned is not None and self.design is not None else 0

    @property
    def done_pct(self) -> Decimal | None:
        return Decimal(self.added * 100) / self.asked if self.asked and self.added is not None else None


GROWTH_SORTS = ("name", "design", "connected", "planned", "asked", "added", "left", "spare", "above", "rank")


@dataclass(frozen=True)
class GrowthTable:
    rows: list[Growth]
    totals: dict[str, int | None]
    year: int
    as_of: Period | None
    is_simulated: bool
    shown: list[Growth] = field(default_factory=list)

    @property
    def last_year(self) -> str:
        return str(self.year - 1)


def list_growth(person: Person, *, q: str = "", sort: str = "", today: date) -> GrowthTable:
    """Return the works whose households are planned for, with what was added. «Cheapest» is known by room alone.

    The cost of a connection is not in the system: works are ranked by the room left in their design, which needs no
    new plant. Works above their design have no rank.
    """
    selection = work_queries.select(person, work_queries.Filters(q=q[:100]), today=today)
    year = selection.plan_year
    works = [row for row in selection.rows if row.planned is not None or row.design is not None]
    newest = _read_newest_connected([row.pk for row in works], year)
    joined = counting.list_joined(date(year, 1, 1), newest)
    rows = []
    for work in works:
        row = Growth(
            work.key, work.name, work.team or work.operator, work.depth, work.design, work.connected, work.planned
        )
        found = newest.get(work.pk)
        if found is not None:
            row.as_of, row.now, row.value_id = found[:3]
            row.is_simulated = found[3] == State.SIMULATED
            last_day = Period("M", found[0]).end_date - timedelta(days=1)
            row.handed = sum(one.households for one in joined.get(work.pk, ()) if one.is_in_use(last_day))
        rows.append(row)
    roomy = sorted((row for row in rows if row.spare is not None and row.spare > 0), key=lambda row: -(row.spare or 0))
    for number, row in enumerate(roomy, start=1):
        row.rank = number
    name = sort.removeprefix("-")
    shown = rows
    if name in GROWTH_SORTS:
        key: Any = (lambda row: folding.sort_key(row.name)) if name == "name" else (lambda row: getattr(row, name))
        keyed = [(key(row), row) for row in rows]
        known = sorted((pair for pair in keyed if pair[0] is not None), key=itemgetter(0), reverse=sort.startswith("-"))
        shown = [*(row for _, row in known), *(row for one, row in keyed if one is None)]
    roots = [row for row in rows if row.depth == 0]
    fields = ("design", "connected", "planned", "asked", "now", "added", "left", "above", "handed")
    totals = {one: _sum(map(attrgetter(one), roots)) for one in fields}
    totals["spare"] = _sum(max(0, row.spare) if row.spare is not None else None for row in roots)
    as_of = max((row.as_of for row in rows if row.as_of), default=None)
    return GrowthTable(
        rows, totals, year, Period("M", as_of) if as_of else None, any(row.is_simulated for row in rows), shown
    )


_MANY_WORKS = 200


def _read_newest_connected(work_ids: Sequence[int], year: int) -> dict[int, tuple[date, int | None, int, int]]:
    """Return of each work its newest month of the year with a number: (first day, households, id, state).

    Two queries: PostgreSQL reads every value there is when the first stands within the second.
    """
    metric = Metric.objects.filter(key=work_queries.CONNECTED).order_by().values("pk")[:1]
    monthly = Value.objects.filter(
        metric=Subquery(metric), period_kind=PeriodKind.MONTH, scenario=Scenario.ACTUAL,
        period_start__gte=date(year, 1, 1), period_start__lt=date(year + 1, 1, 1), number__isnull=False,
    )  # fmt: skip
    newest = monthly.filter(subject_id=OuterRef("pk")).order_by("-period_start").values("pk")[:1]
    works = Subject.objects.filter(kind=Subject.Kind.WORK).order_by().annotate(newest_id=Subquery(newest))
    if len(work_ids) < _MANY_WORKS:  # of more, asking for all is less work than naming each
        works = works.filter(pk__in=work_ids)
    ids = [pk for pk in works.values_list("newest_id", flat=True) if pk is not None]  # SQL would look twice
    found = Value.objects.filter(pk__in=ids).order_by()
    return {row[0]: row[1:] for row in found.values_list("subject_id", "period_start", "number", "pk", "state")}


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


# --- scorecard ----------------------------------------------------------------------------------------------------


@dataclass
class Score:
    """What a unit or a person did of its targets and tasks by the end of a period."""

    name: str
    key: str = ""
    is_simulated: bool = False
    targets: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)  # done, open, overdue

    @property
    def targets_total(self) -> int:
        return sum(self.targets.values())

    @property
    def tasks_total(self) -> int:
        return self.tasks["done"] + self.tasks["open"] + self.tasks["overdue"]

    @property
    def good(self) -> int:
        return self.targets["MET"] + self.targets["ON_TRACK"]

    @property
    def late(self) -> int:
        return self.targets["AT_RISK"] + self.targets["MISSED"]

    @property
    def unknown(self) -> int:
        return self.targets["NO_DATA"] + self.targets["EXPIRED"]

    @property
    def targets_pct(self) -> Decimal | None:
        known = self.good + self.late
        return Decimal(100 * self.good) / known if known else None

    @property
    def tasks_pct(self) -> Decimal | None:
        return Decimal(100 * self.tasks["done"]) / self.tasks_total if self.tasks_total else None


def scorecard(person: Person, period: Period, today: date, *, plan: str = "") -> tuple[list[Score], list[Score]]:
    """Return the scores of units and of people by the end of the period (or today, while it runs).

    A target stands as it stood on that day. A task counts if it falls due in the period, or has no day and is not
    cancelled; it is overdue if its day had come and it was not done. Seven queries.
    """
    last = min(period.end_date - timedelta(days=1), today)
    targets = visible_targets(person).filter(
        Q(due_on__isnull=True) | Q(due_on__gte=period.start_date), Q(plan__valid_from__isnull=True) | Q(
            plan__valid_from__lt=period.end_date))  # fmt: skip
    tasks = Task.objects.filter(readable(person)).exclude(state=Task.State.CANCELLED)
    tasks = tasks.filter(Q(due_on__isnull=True) | Q(due_on__gte=period.start_date, due_on__lt=period.end_date))
    if plan:
        targets, tasks = targets.filter(plan__key=plan), tasks.filter(plan__key=plan)
    status: dict[int, str] = dict(targets.values_list("pk", "standing__status"))
    simulated = set(targets.filter(standing__reason__contains="mô phỏng").values_list("pk", flat=True))
    if last < today:
        then: dict[int, str] = {}
        for target_id, code in (
            StandingChange.objects.filter(target_id__in=list(status), on_date__lte=last)
            .order_by("on_date", "id")
            .values_list("target_id", "status")
        ):
            then[target_id] = code
        status = {pk: then.get(pk, Status.NO_DATA) for pk in status}
    units: dict[int, Score] = {}
    people: dict[int, Score] = {}
    for target_id, pk, name, key in TargetUnit.objects.filter(
        target_id__in=list(status), role=TargetUnit.Role.LEAD, organisation__isnull=False
    ).values_list("target_id", "organisation_id", "organisation__subject__name", "organisation__subject__key"):
        score = units.setdefault(pk, Score(name, key))
        score.targets[status[target_id] or Status.NO_DATA] += 1
        score.is_simulated |= target_id in simulated
    for target_id, pk, name in targets.filter(accountable__isnull=False).values_list(
        "pk", "accountable_id", "accountable__full_name"
    ):
        people.setdefault(pk, Score(name)).targets[status[target_id] or Status.NO_DATA] += 1
    state = {
        pk: "done"
        if code == Task.State.DONE
        else "overdue"
        if due is not None and due < today and due <= last
        else "open"
        for pk, code, due in tasks.values_list("pk", "state", "due_on")
    }
    for task_id, pk, name, key in TaskUnit.objects.filter(
        task_id__in=list(state), role=TaskUnit.Role.LEAD, organisation__isnull=False
    ).values_list("task_id", "organisation_id", "organisation__subject__name", "organisation__subject__key"):
        units.setdefault(pk, Score(name, key)).tasks[state[task_id]] += 1
    for task_id, pk, name in tasks.filter(accountable__isnull=False).values_list(
        "pk", "accountable_id", "accountable__full_name"
    ):
        people.setdefault(pk, Score(name)).tasks[state[task_id]] += 1
    by_need = lambda score: (-score.late - score.tasks["overdue"], folding.sort_key(score.name))  # noqa: E731
    return sorted(units.values(), key=by_need), sorted(people.values(), key=by_need)
