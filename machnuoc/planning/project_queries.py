"""What reads projects: lists with sums, the page of one, debts, funds of programmes, what people may do."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from operator import itemgetter
from typing import Any

from django.db.models import BigIntegerField, Count, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from machnuoc.core import search
from machnuoc.core.models import Person
from machnuoc.core.vietnamese import format_date, format_number, format_percent, round_half_up
from machnuoc.indicators.models import Scenario, Value
from machnuoc.places import access
from machnuoc.places.models import AdministrativeUnit, Organisation, ParentLink, Subject
from machnuoc.planning import disbursement, forecast, project_operations, visibility
from machnuoc.planning.disbursement import Payment
from machnuoc.planning.models import (
    AcceptedVolume,
    Disbursement,
    FundingSource,
    Milestone,
    Obstacle,
    Plan,
    ProgrammeFund,
    Project,
    YearlyPlan,
)
from machnuoc.planning.money import format_amount
from machnuoc.works.models import Work

OVERDUE, BEHIND, CARRY, LOST, DEBT, OBSTACLE = "overdue", "behind", "carry_over", "carry_over_lost", "debt", "obstacle"
WARNINGS: dict[str, str] = {
    OVERDUE: "Quá hạn hoàn thành",
    BEHIND: "Giải ngân chậm so với kế hoạch",
    CARRY: "Vốn kéo dài sắp hết hạn",
    LOST: "Vốn kéo dài đã hết hạn",
    DEBT: "Có nợ đọng",
    OBSTACLE: "Vướng mắc quá hạn gỡ",
}
SORTS = ("number", "name", "owner", "total", "planned", "paid", "rate", "debt", "due")
_ENDED = (Project.Status.FINISHED, Project.Status.SETTLED, Project.Status.STOPPED)
_SLOW = frozenset({OVERDUE, BEHIND, LOST, OBSTACLE})


# --- who may what ---------------------------------------------------------------------------------------------------


def list_readable(person: Person) -> QuerySet[Project]:
    return Project.objects.filter(visibility.readable(person))


def get_project(key: str, person: Person) -> Any:
    """Return the project with what the person may do of it. One query.

    Its `manages`, `enters`, `opens_owner`, `opens_work`: whether the person manages it, enters for its owner or for
    who carries it out, may open the page of its owner, of its work.
    Raises Project.DoesNotExist also where the person may not read it.
    """
    projects = list_readable(person).select_related(
        "subject", "plan", "owner__subject", "work__subject", "passage__document"
    )
    return projects.annotate(
        manages=visibility.holds(person, "manage", "pk"), enters=_enters(person),
        opens_owner=visibility.holds(person, "view", "owner_id"),
        opens_work=visibility.holds(person, "view", "work_id"),
    ).get(subject__key=key)  # fmt: skip


def _enters(person: Person) -> "Exists | ExpressionWrapper[Q]":
    acting = ParentLink.objects.filter(
        child=OuterRef("pk"), reason=ParentLink.Reason.SUBORDINATE, valid_to__isnull=True
    )
    if access.sees_everything(person, "enter"):
        return Exists(acting)
    return Exists(acting.filter(parent__contained_in__ancestor_id__in=access.list_scopes(person, "enter")))


def may_enter(project: Any) -> bool:
    """Return whether the person for whom `get_project` got it enters for the project; managers may too."""
    return bool(project.manages or project.enters)


# --- the list -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Filters:
    q: str = ""
    plan: int = 0
    owner: int = 0
    status: str = ""
    warning: str = ""
    within: int = 0
    year: int = 0


@dataclass(slots=True)
class Row:
    """One project in a list: the document's figures beside what its books say. Money in whole đồng."""

    pk: int
    key: str
    name: str
    number: str
    plan_id: int | None
    plan: str
    owner: str
    owner_id: int | None
    status: str
    status_label: str
    total_vnd: int | None
    total_as_printed: str
    completion_as_printed: str
    due_on: date | None
    people_expected: int | None
    people_reached: int | None
    capital: disbursement.Capital | None = None
    paid_year_vnd: int = 0
    paid_ever_vnd: int = 0
    accepted_vnd: int = 0
    open_obstacles: int = 0
    late_obstacles: int = 0
    is_simulated: bool = False
    has_entries: bool = False
    # Most of a thousand projects have no books and no warnings: no empty ones of their own for them.
    years: Collection[int] = ()
    warnings: Sequence[str] = ()

    @property
    def planned_vnd(self) -> int | None:
        return self.capital.total_vnd if self.capital else None

    @property
    def paid_vnd(self) -> int | None:
        """What was paid in the year; None where the books are empty: nobody said that it is nothing."""
        return self.paid_year_vnd if self.capital or self.has_entries else None

    @property
    def rate_pct(self) -> Decimal | None:
        return shown_pct(disbursement.rate_pct(self.paid_year_vnd, self.planned_vnd or 0))

    @property
    def debt_vnd(self) -> int:
        return disbursement.debt_vnd(self.accepted_vnd, self.paid_ever_vnd)

    @property
    def warning_texts(self) -> list[str]:
        return [WARNINGS[code] for code in self.warnings]


@dataclass(frozen=True)
class Totals:
    projects: int
    with_total: int
    total_vnd: int | None
    with_capital: int
    planned_vnd: int | None
    paid_vnd: int | None
    rate_pct: Decimal | None
    accepted_vnd: int
    debt_vnd: int
    in_debt: int
    slow: int
    people_expected: int | None
    is_simulated: bool


@dataclass(frozen=True)
class Selection:
    """What the list shows: the rows that the filters leave, in order, their sums, and what may be chosen."""

    filters: Filters
    year: int
    rows: list[Row]
    totals: Totals
    plans: list[tuple[int, str]]
    owners: list[tuple[int, str]]
    years: list[int]
    visible_count: int


def shown_pct(exact: Fraction | None) -> Decimal | None:
    """Round an exact share once, for showing: one decimal, half up."""
    if exact is None:
        return None
    return round_half_up(Decimal(exact.numerator) / Decimal(exact.denominator), 1)


def select(person: Person, filters: Filters, sort: str = "", *, today: date) -> Selection:
    """Return the projects in the person's reach that the filters leave. Five queries, however many projects."""
    year = filters.year or today.year
    readable = list_readable(person)
    everything = read_rows(readable, year=year, today=today)
    found = everything
    if filters.q.strip():
        hits = set(search.matching_ids(project_operations.PROJECT, filters.q))
        found = [row for row in found if row.pk in hits]
    if filters.within:
        inside = set(readable.filter(subject__contained_in__ancestor=filters.within).values_list("pk", flat=True))
        found = [row for row in found if row.pk in inside]
    if filters.plan:
        found = [row for row in found if row.plan_id == filters.plan]
    if filters.owner:
        found = [row for row in found if row.owner_id == filters.owner]
    if filters.status:
        found = [row for row in found if row.status == filters.status]
    if filters.warning:
        found = [row for row in found if filters.warning in row.warnings]
    plans = {row.plan_id: row.plan for row in everything if row.plan_id}
    owners = {row.owner_id: row.owner for row in everything if row.owner_id}
    years = {today.year, year}.union(*(row.years for row in everything if row.years))
    return Selection(
        filters=filters,
        year=year,
        rows=_sorted(found, sort),
        totals=add_up(found),
        plans=sorted(plans.items(), key=lambda pair: pair[1]),
        owners=sorted(owners.items(), key=lambda pair: pair[1]),
        years=sorted(years),
        visible_count=len(everything),
    )


_COLUMNS = (
    "pk", "subject__key", "subject__name", "number", "plan_id", "plan__short_name", "owner__subject__name",
    "owner_as_printed", "owner_id", "status", "total_vnd", "total_as_printed", "completion_as_printed", "due_on",
    "people_expected", "people_reached",
)  # fmt: skip
_STATUSES = {str(code): str(label) for code, label in Project.Status.choices}
_MANY = 200  # above it reading the books of all projects is less work than asking for each


def read_rows(projects: QuerySet[Project], *, year: int, today: date) -> list[Row]:
    """Return rows of the projects with the sums of their books. Five queries."""
    rows = []
    for found in projects.order_by(F("plan_id").asc(nulls_last=True), "pk").values_list(*_COLUMNS):
        pk, key, name, number, plan_id, plan, owner, printed, owner_id, status, *document = found
        row = Row(
            pk, key, name, number, plan_id, plan or "", owner or printed, owner_id, status, _STATUSES[status], *document
        )
        rows.append(row)
    of_these = Q(project_id__in=[row.pk for row in rows]) if len(rows) < _MANY else Q()
    paid = _sums(Disbursement, of_these, year=year, until=today)
    accepted = _sums(AcceptedVolume, of_these, year=year, until=today)
    capital, years = _read_capital(of_these, year)
    obstacles = {
        project_id: (count, late)
        for project_id, count, late in Obstacle.objects.filter(of_these, resolved_on__isnull=True)
        .order_by()
        .values_list("project_id")
        .annotate(count=Count("pk"), late=Count("pk", filter=Q(due_on__lt=today)))
    }
    for row in rows:
        pk = row.pk
        if pk in years:
            row.years = years[pk]
        planned_simulated, paid_simulated, accepted_simulated = False, 0, 0
        if pk in capital:
            row.capital, planned_simulated = capital[pk]
        if pk in paid:
            row.paid_ever_vnd, row.paid_year_vnd, paid_simulated = paid[pk]
            row.has_entries = True
        if pk in accepted:
            row.accepted_vnd, _, accepted_simulated = accepted[pk]
        if pk in obstacles:
            row.open_obstacles, row.late_obstacles = obstacles[pk]
        row.is_simulated = bool(planned_simulated or paid_simulated or accepted_simulated)
        row.warnings = _warnings(row, today)
    return rows


def _sums(
    model: type[Disbursement] | type[AcceptedVolume], of_these: Q, *, year: int, until: date
) -> dict[int, tuple[int, int, int]]:
    """Return for each project (sum to the end of the year, sum in the year, how many entries are simulated)."""
    entries = model._default_manager.filter(of_these, on_date__lte=min(until, date(year, 12, 31)))
    found = (
        entries.order_by()
        .values_list("project_id")
        .annotate(
            total=Sum("amount_vnd"),
            of_year=Coalesce(
                Sum("amount_vnd", filter=Q(on_date__gte=date(year, 1, 1))), 0, output_field=BigIntegerField()
            ),
            simulated=Count("pk", filter=Q(is_simulated=True)),
        )
    )
    return {project_id: (total, of_year, simulated) for project_id, total, of_year, simulated in found}


def _read_capital(of_these: Q, year: int) -> tuple[dict[int, tuple[disbursement.Capital, bool]], dict[int, set[int]]]:
    """Return each project's capital of the year and whether it is simulated; and all the years it has capital for."""
    months: dict[int, dict[int, int]] = defaultdict(dict)
    heads: dict[int, tuple[Any, ...]] = {}
    years: dict[int, set[int]] = defaultdict(set)
    rows = YearlyPlan.objects.filter(of_these).values_list(
        "project_id", "year", "amount_vnd", "carried_over_vnd", "carry_over_until", "is_simulated", "months__month",
        "months__amount_vnd",
    )  # fmt: skip
    for project_id, its_year, *head, month, amount in rows:
        years[project_id].add(its_year)
        if its_year == year:
            heads[project_id] = tuple(head)
            if month is not None:
                months[project_id][month] = amount
    capital = {
        project_id: (disbursement.Capital(year, amount, carried, until, months[project_id]), simulated)
        for project_id, (amount, carried, until, simulated) in heads.items()
    }
    return capital, years


def _warnings(row: Row, today: date) -> Sequence[str]:
    found: list[str] = []
    if row.due_on and row.due_on < today and row.status not in _ENDED:
        found.append(OVERDUE)
    if row.capital is not None:
        due = disbursement.due_by_now_vnd(row.capital, today)
        if due is not None and row.paid_year_vnd < due:
            found.append(BEHIND)
    if row.capital is not None and row.capital.carried_over_vnd:
        last = disbursement.last_lawful_day(row.capital)
        # Which money was spent first is in the entries; the list warns while less was paid than was carried over.
        if row.paid_year_vnd < row.capital.carried_over_vnd:
            if last < today:
                found.append(LOST)
            elif last <= today + timedelta(days=disbursement.WARN_DAYS):
                found.append(CARRY)
    if row.debt_vnd:
        found.append(DEBT)
    if row.late_obstacles:
        found.append(OBSTACLE)
    return found or ()


def _sorted(rows: list[Row], sort: str) -> list[Row]:
    name, is_down = sort.removeprefix("-"), sort.startswith("-")
    keys: dict[str, Callable[[Row], Any]] = {
        "name": lambda row: row.name, "owner": lambda row: row.owner or None, "total": lambda row: row.total_vnd,
        "planned": lambda row: row.planned_vnd, "paid": lambda row: row.paid_vnd, "rate": lambda row: row.rate_pct,
        "debt": lambda row: row.debt_vnd or None, "due": lambda row: row.due_on,
    }  # fmt: skip
    if name not in keys:
        return list(reversed(rows)) if is_down and name == "number" else rows
    keyed = [(keys[name](row), row) for row in rows]
    known = sorted((pair for pair in keyed if pair[0] is not None), key=itemgetter(0), reverse=is_down)
    return [*(row for _, row in known), *(row for key, row in keyed if key is None)]


def add_up(rows: Iterable[Row]) -> Totals:
    """Add up rows; a sum of nothing is missing, and the rate is sum over sum of the projects with capital."""
    listed = list(rows)
    totals = [row.total_vnd for row in listed if row.total_vnd is not None]
    people = [row.people_expected for row in listed if row.people_expected is not None]
    with_books = [row for row in listed if row.capital is not None or row.has_entries]
    with_capital = [row for row in with_books if row.capital is not None]
    planned = sum(row.planned_vnd or 0 for row in with_capital)
    rate = disbursement.rate_pct(sum(row.paid_year_vnd for row in with_capital), planned)
    debts = [row.debt_vnd for row in listed if row.accepted_vnd]
    return Totals(
        projects=len(listed),
        with_total=len(totals),
        total_vnd=sum(totals) if totals else None,
        with_capital=len(with_capital),
        planned_vnd=planned if with_capital else None,
        paid_vnd=sum(row.paid_year_vnd for row in with_books) if with_books else None,
        rate_pct=shown_pct(rate),
        accepted_vnd=sum(row.accepted_vnd for row in listed),
        debt_vnd=sum(debts),
        in_debt=sum(map(bool, debts)),
        slow=sum(not _SLOW.isdisjoint(row.warnings) for row in listed if row.warnings),
        people_expected=sum(people) if people else None,
        is_simulated=any(row.is_simulated for row in listed),
    )


def list_slow(person: Person, *, today: date, limit: int) -> tuple[list[Row], int]:
    """Return the first projects of the person's reach that are late or behind, and how many there are."""
    slow = [
        row
        for row in read_rows(list_readable(person).exclude(status__in=_ENDED), year=today.year, today=today)
        if not _SLOW.isdisjoint(row.warnings)
    ]
    return slow[:limit], len(slow)


# --- one project ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Year:
    """One year of a project's money."""

    plan: YearlyPlan | None
    year: int
    capital: disbursement.Capital | None
    paid_vnd: int
    rate_pct: Decimal | None
    carry_over: disbursement.CarryOver | None
    is_simulated: bool


@dataclass(frozen=True)
class ProjectPage:
    """All that the page of one project shows."""

    project: Project
    row: Row
    sources: list[FundingSource]
    years: list[Year]
    entries: list[Disbursement]
    volumes: list[AcceptedVolume]
    milestones: list[Milestone]
    obstacles: list[Obstacle]
    territories: list[Subject]
    carried_out_by: list[Subject]
    linked: set[int | None]
    """Ids of the owner, work and units whose pages the person may open."""
    accepted_vnd: int
    paid_vnd: int
    debt_vnd: int
    chart: dict[str, Any] | None
    outlook: str
    is_simulated: bool


def get_page(project: Project, *, today: date, person: Person | None = None) -> ProjectPage:
    """Return the page of a project, with what the person may open of who carries it out. Seven queries."""
    sources = list(project.sources.all())
    plans = _read_plans(project)
    entries = list(
        project.disbursements.select_related("source", "recorded_by", "reversed_by").order_by("-on_date", "-pk")
    )
    volumes = list(project.accepted_volumes.select_related("recorded_by", "reversed_by").order_by("-on_date", "-pk"))
    links: Any = ParentLink.objects.filter(child=project.subject, valid_to__isnull=True).select_related("parent__unit")
    if person is not None:
        links = links.annotate(opens=visibility.holds(person, "view", "parent_id"))
    parents: dict[str, list[Subject]] = defaultdict(list)
    linked: set[int | None] = {project.owner_id} if getattr(project, "opens_owner", False) else set()
    linked |= {project.work_id} if getattr(project, "opens_work", False) else set()
    for link in links:
        parents[link.reason].append(link.parent)
        if person is not None and link.opens:
            linked.add(link.parent_id)
    payments = [Payment(entry.on_date, entry.amount_vnd, entry.from_carry_over) for entry in entries]
    years = _read_years(plans, entries, payments, today)
    accepted = sum(volume.amount_vnd for volume in volumes)
    paid = disbursement.sum_paid(payments)
    simulated = any(one.is_simulated for books in (plans, entries, volumes) for one in books)
    shown = next((year for year in years if year.year == today.year), years[-1] if years else None)
    obstacles = list(project.obstacles.select_related("owner__subject", "raised_by").order_by("resolved_on", "due_on"))
    row = Row(
        pk=project.pk, key=project.subject.key, name=project.subject.name, number=project.number, plan_id=None,
        plan="", owner="", owner_id=project.owner_id, status=project.status, status_label=project.get_status_display(),
        total_vnd=project.total_vnd, total_as_printed=project.total_as_printed,
        completion_as_printed=project.completion_as_printed, due_on=project.due_on,
        people_expected=project.people_expected, people_reached=project.people_reached,
        capital=shown.capital if shown else None, paid_year_vnd=shown.paid_vnd if shown else 0, paid_ever_vnd=paid,
        accepted_vnd=accepted,
        late_obstacles=sum(bool(not one.resolved_on and one.due_on and one.due_on < today) for one in obstacles),
    )  # fmt: skip
    row.warnings = [code for code in _warnings(row, today) if code not in {CARRY, LOST}]
    return ProjectPage(
        project=project,
        row=row,
        sources=sources,
        years=years,
        entries=entries,
        volumes=volumes,
        milestones=list(project.milestones.all()),
        obstacles=sorted(obstacles, key=lambda one: (one.resolved_on is not None, one.due_on or date.max)),
        territories=parents[ParentLink.Reason.TERRITORY],
        carried_out_by=[one for one in parents[ParentLink.Reason.SUBORDINATE] if one.pk != project.owner_id],
        linked=linked,
        accepted_vnd=accepted,
        paid_vnd=paid,
        debt_vnd=disbursement.debt_vnd(accepted, paid),
        chart=_chart(shown.capital, payments, today) if shown and shown.capital else None,
        outlook=describe_outlook(shown.capital, payments, today) if shown and shown.capital else "",
        is_simulated=simulated,
    )


def _read_plans(project: Project) -> dict[YearlyPlan, dict[int, int]]:
    """Return the plans of the years, each with what is meant to be paid in its months. One query."""
    found: dict[YearlyPlan, dict[int, int]] = {}
    rows: Any = project.yearly_plans.select_related("made_by").annotate(
        its_month=F("months__month"), its_month_vnd=F("months__amount_vnd")
    )
    for plan in rows:  # as often as the plan has months, at least once
        months = found.setdefault(plan, {})
        if plan.its_month is not None:
            months[plan.its_month] = plan.its_month_vnd
    return found


def _read_years(
    plans: Mapping[YearlyPlan, Mapping[int, int]], entries: list[Disbursement], payments: list[Payment], today: date
) -> list[Year]:
    by_year = {plan.year: plan for plan in plans}
    found = []
    for year in sorted(by_year.keys() | {entry.on_date.year for entry in entries}):
        plan = by_year.get(year)
        capital = project_operations.read_capital(plan, plans[plan]) if plan else None
        paid = disbursement.sum_paid(payments, year=year)
        found.append(
            Year(
                plan=plan,
                year=year,
                capital=capital,
                paid_vnd=paid,
                rate_pct=shown_pct(disbursement.rate_pct(paid, capital.total_vnd)) if capital else None,
                carry_over=disbursement.carry_over(capital, payments, today) if capital else None,
                is_simulated=bool(plan and plan.is_simulated)
                or any(entry.is_simulated for entry in entries if entry.on_date.year == year),
            )
        )
    return found


def _chart(capital: disbursement.Capital, payments: list[Payment], today: date) -> dict[str, Any]:
    points = disbursement.curve(capital, payments, today)
    series: list[dict[str, Any]] = []
    if capital.months:
        series.append({"name": "Dự kiến", "values": [_millions(point.planned_vnd) for point in points], "dashed": True})
    series.append({"name": "Đã giải ngân", "values": [_millions(point.paid_vnd) for point in points]})
    return {
        "type": "line", "unit": "triệu đồng", "decimals": 0, "category_title": "Tháng", "series": series,
        "categories": [f"{point.month:02d}/{capital.year}" for point in points],
        "lines": [{"value": _millions(capital.total_vnd), "label": "Kế hoạch vốn"}],
    }  # fmt: skip


def _millions(amount_vnd: int | None) -> int | float | None:
    """Return millions for drawing; the table of money beside it keeps every đồng."""
    return None if amount_vnd is None else round(amount_vnd / 10**6, 3)


def get_rate(project: Project, today: date) -> Value | None:
    """Return the figure of this year's disbursement rate, which leads to its lineage; None where there is none."""
    return (
        Value.objects.filter(
            metric__key="investment.disbursement_pct", subject_id=project.pk, period_kind="Y",
            period_start=date(today.year, 1, 1), scenario=Scenario.ACTUAL,
        )
        .select_related("metric", "fact", "band")
        .first()
    )  # fmt: skip


def describe_outlook(capital: disbursement.Capital, payments: list[Payment], today: date) -> str:
    """Say in one sentence where the year stands and what it comes to; «» outside the year.

    With six whole months of history the expectation and its 80 % span are those of `forecast`, else of the straight
    rule of `disbursement`.
    """
    found = disbursement.forecast_year_end(capital, payments, today)
    if found is None:
        return ""
    rate = shown_pct(disbursement.rate_pct(found.paid_vnd, capital.total_vnd))
    said = [f"Đã giải ngân {format_amount(found.paid_vnd)}/{format_amount(capital.total_vnd)} ({format_percent(rate)})"]
    if found.months_left:
        said.append(f"còn {found.months_left} tháng")
    if found.basis == "none":
        return ", ".join(said) + ". Chưa có tốc độ để dự báo."
    pace = "tốc độ 3 tháng gần nhất" if found.basis == "recent" else "tốc độ từ đầu năm"
    said.append(f"{pace} {format_number(round(found.pace_vnd_month / 10**6))}\xa0triệu\xa0đồng/tháng")
    expected, span = found.expected_vnd, ""
    better = _forecast(capital, payments, today)
    if better is not None:
        expected = min(max(int(better.point), found.paid_vnd), max(capital.total_vnd, found.paid_vnd))
        if better.low is not None and better.high is not None:
            span = f", khoảng 80\xa0%: {_rough(int(better.low))} đến {_rough(int(better.high))}"
    share = shown_pct(disbursement.rate_pct(expected, capital.total_vnd))
    said.append(f"dự kiến đến 31/12/{capital.year} đạt {_rough(expected)} ({format_percent(share)}{span})")
    return "; ".join(said) + "."


def _forecast(capital: disbursement.Capital, payments: list[Payment], today: date) -> forecast.Forecast | None:
    year_end = date(capital.year, 12, 31)
    history = [
        (end, Decimal(point.paid_vnd))
        for point in disbursement.curve(capital, payments, today)
        if point.paid_vnd is not None
        and (end := date(capital.year + point.month // 12, point.month % 12 + 1, 1) - timedelta(days=1)) <= today
    ]
    if len(history) < forecast.MIN_POINTS or today >= year_end:
        return None
    return forecast.forecast(
        history, until=year_end, lower=float(history[-1][1]), upper=float(max(capital.total_vnd, int(history[-1][1]))),
        is_cumulative=True,
    )  # fmt: skip


def _rough(amount_vnd: int) -> str:
    """Say an expected sum in whole millions: its đồng would pretend too much."""
    if abs(amount_vnd) >= 10**9:
        return f"{format_number(round_half_up(Decimal(amount_vnd) / 10**9, 2), 2)}\xa0tỷ\xa0đồng"
    return f"{format_number(round(amount_vnd / 10**6))}\xa0triệu\xa0đồng"


def describe_due(project: Project, today: date) -> str:
    """Say when it must be ready, and whether that day has gone by."""
    if project.finished_on:
        return f"Hoàn thành ngày {format_date(project.finished_on)}"
    if project.due_on is None:
        return project.completion_as_printed
    days = (project.due_on - today).days
    ago = f"quá hạn {-days} ngày" if days < 0 else "hạn hôm nay" if days == 0 else f"còn {days} ngày"
    return f"Chậm nhất ngày {format_date(project.due_on)} ({ago})"


def describe_warnings(page: ProjectPage, today: date) -> list[tuple[str, str]]:
    """Return (title, what it is about and what to do) for what is wrong with the project, but for carried capital."""
    row, found = page.row, []
    for code in row.warnings:
        text = ""
        if code == OVERDUE and row.due_on:
            text = f"Hạn là ngày {format_date(row.due_on)}. Ghi ngày hoàn thành, hoặc sửa hạn theo văn bản điều chỉnh."
        elif code == BEHIND and row.capital:
            due = disbursement.due_by_now_vnd(row.capital, today) or 0
            text = (
                f"Đến cuối tháng trước cần {format_amount(due)}, mới giải ngân {format_amount(row.paid_year_vnd)}. "
                "Nêu vướng mắc cùng đơn vị phải gỡ, hoặc điều chỉnh kế hoạch vốn."
            )
        elif code == DEBT:
            text = f"{format_amount(page.debt_vnd)} đã nghiệm thu chưa thanh toán. Bố trí vốn để thanh toán."
        elif code == OBSTACLE:
            text = f"{row.late_obstacles} vướng mắc đã quá hạn. Ghi cách gỡ khi đã gỡ xong."
        found.append((WARNINGS[code], text))
    return found


def describe_carry_over(page: ProjectPage) -> list[tuple[str, str, str]]:
    """Return (tone, title, text) for capital carried over that is lost or about to be."""
    found = []
    for year in page.years:
        carried = year.carry_over
        if carried is None or not (carried.is_lost or carried.is_urgent):
            continue
        left, last = format_amount(carried.left_vnd), format_date(carried.last_day)
        if carried.is_lost:
            text = f"Hạn hết ngày {last}; còn {left} chưa giải ngân. Báo cáo cấp có thẩm quyền về số vốn còn lại."
            found.append(("danger", f"Vốn kéo dài sang {year.year} đã hết hạn giải ngân", text))
        else:
            text = f"Chậm nhất ngày {last} (còn {carried.days_left} ngày) phải giải ngân nốt {left}."
            found.append(("warning", f"Vốn kéo dài sang {year.year} sắp hết hạn giải ngân", text))
    return found


# --- funds, choices -------------------------------------------------------------------------------------------------


def list_fund_plans(person: Person) -> QuerySet[Plan]:
    """Return the plans that state money of a programme, as the person may read them."""
    plans = Plan.objects.filter(visibility.readable(person, "territory_id"), funds__isnull=False).distinct()
    return plans.select_related("territory", "issuer__subject").annotate(fund_count=Count("funds", distinct=True))


def list_funds(plan: Plan) -> list[ProgrammeFund]:
    return list(plan.funds.select_related("passage__document"))


def list_owners(person: Person) -> QuerySet[Organisation]:
    """Return the organisations that a project may name: those in the person's reach of managing or reading."""
    organisations = Organisation.objects.select_related("subject").order_by("subject__name")
    if not access.sees_everything(person):
        organisations = organisations.filter(visibility.readable(person, "pk"))
    return organisations


def list_plans(person: Person) -> QuerySet[Plan]:
    return Plan.objects.filter(visibility.readable(person, "territory_id")).order_by("short_name")


def list_works(person: Person) -> QuerySet[Work]:
    works = Work.objects.select_related("subject").order_by("subject__name")
    return works if access.sees_everything(person) else works.filter(pk__in=access.visible_subject_ids(person))


def list_communes(person: Person) -> QuerySet[AdministrativeUnit]:
    """Return the communes in force of the provinces that lie in or above what the person manages."""
    communes = AdministrativeUnit.objects.filter(level=AdministrativeUnit.Level.COMMUNE, is_in_force=True)
    provinces = AdministrativeUnit.objects.filter(
        visibility.readable(person, "pk"), level=AdministrativeUnit.Level.PROVINCE
    )
    if not access.sees_everything(person):
        communes = communes.filter(parent__in=provinces)
    return communes.select_related("subject", "parent__subject").order_by("parent__subject__name", "subject__name")


def linked_ids(person: Person, ids: Iterable[int | None]) -> set[int]:
    """Return which of these organisations and works the person may open."""
    wanted = {pk for pk in ids if pk is not None}
    if access.sees_everything(person):
        return wanted
    return set(access.visible_subject_ids(person).filter(descendant_id__in=wanted))
