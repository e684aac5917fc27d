"""What is read of reports: the list, one report with what its reader may do with it, what waits for whom.

A draft is for those who enter, sign or manage at its organisation. Once it is issued, those who see the organisation
and those it is addressed to read it too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from django.db.models import Count, F, Q, QuerySet
from django.urls import reverse

from machnuoc.core.models import Person
from machnuoc.core.periods import Period
from machnuoc.indicators import queries as indicator_queries
from machnuoc.indicators.models import Value
from machnuoc.places import access
from machnuoc.places.models import Organisation
from machnuoc.planning import visibility
from machnuoc.planning.models import DutyInstance, Plan
from machnuoc.reports import kinds, operations
from machnuoc.reports.kinds import Kind
from machnuoc.reports.models import Report, ReportFigure

State = Report.State
OUT = (State.ISSUED, State.SENT, State.RECEIVED)
TONES = {
    State.DRAFT: "neutral", State.SUBMITTED: "info", State.RETURNED: "warning", State.APPROVED: "info",
    State.ISSUED: "info", State.SENT: "good", State.RECEIVED: "good",
}  # fmt: skip
PERIODS_OFFERED = 8


def list_readable(person: Person) -> QuerySet[Report]:
    """Return the reports that the person may read."""
    if access.sees_everything(person):
        return Report.objects.all()
    inside = Q()
    for action in ("enter", "approve", "manage"):
        if access.list_scopes(person, action):
            inside |= Q(organisation_id__in=access.visible_subject_ids(person, action))
    visible = access.visible_subject_ids(person)
    issued = Q(state__in=OUT) & (Q(organisation_id__in=visible) | Q(to_organisation_id__in=visible.all()))
    return Report.objects.filter(inside | issued if inside else issued)


# --- the list ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Filters:
    """What the address asks for; 0 and empty: anything."""

    q: str = ""
    organisation: int = 0
    kind: str = ""
    state: str = ""
    year: int = 0


def select(person: Person, filters: Filters) -> QuerySet[Report]:
    """Return the readable reports that the filters leave, newest period first."""
    rows = list_readable(person).select_related("organisation__subject", "to_organisation__subject", "instance")
    if filters.q:
        for word in filters.q.split():
            rows = rows.filter(
                Q(title__icontains=word) | Q(number__icontains=word) | Q(organisation__subject__name__icontains=word)
            )
    if filters.organisation:
        rows = rows.filter(organisation_id=filters.organisation)
    if filters.kind:
        rows = rows.filter(kind=filters.kind)
    if filters.state:
        rows = rows.filter(state=filters.state)
    if filters.year:
        rows = rows.filter(period_start__year=filters.year)
    return rows.order_by("-period_start", "-id")


@dataclass(frozen=True)
class Row:
    """A report as list and export show it."""

    report: Report
    kind: str
    period: Period
    last_day: date | None

    @property
    def tone(self) -> str:
        return TONES[State(self.report.state)]

    @property
    def url(self) -> str:
        return reverse("reports:detail", args=[self.report.pk])


def dress(reports: Iterable[Report]) -> Iterable[Row]:
    names = {kind.key: kind.name for kind in kinds.list_kinds()}
    for report in reports:
        last_day = report.instance.last_day if report.instance is not None else None
        yield Row(report, names.get(report.kind, report.kind), operations.period_of(report), last_day)


def list_choices(person: Person) -> dict[str, list[tuple[str, str]]]:
    """Return what the filters offer: organisations, kinds and years of readable reports, in one query."""
    found = list(
        list_readable(person)
        .values_list("organisation_id", "organisation__subject__name", "kind", "period_start__year")
        .order_by()
        .distinct()
    )
    names = {kind.key: kind.name for kind in kinds.list_kinds()}
    units = sorted({(row[1], row[0]) for row in found})
    return {
        "organisation": [(str(pk), name) for name, pk in units],
        "kind": [(key, names.get(key, key)) for key in sorted({row[2] for row in found})],
        "year": [(str(year), str(year)) for year in sorted({row[3] for row in found}, reverse=True)],
    }


def count_states(rows: QuerySet[Report]) -> list[tuple[str, str, int]]:
    """Return (state, its name, number of reports) in the order of the flow, for states that occur."""
    counts = dict(rows.order_by().values_list("state").annotate(Count("pk")))
    return [(state.value, state.label, counts[state.value]) for state in State if state.value in counts]


# --- one report -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rights:
    """What a person may do with a report where it stands now."""

    enters: bool
    approves: bool
    manages: bool
    state: str

    @property
    def may_write(self) -> bool:
        return self.enters and self.state in operations.OPEN

    @property
    def may_sign(self) -> bool:
        return self.approves and self.state == State.SUBMITTED

    @property
    def may_issue(self) -> bool:
        return self.enters and self.state == State.APPROVED

    @property
    def may_send(self) -> bool:
        return self.enters and self.state in OUT

    @property
    def may_discard(self) -> bool:
        return self.manages and self.state in operations.OPEN


def rights_of(person: Person, report: Report) -> Rights:
    def holds(action: str) -> bool:
        return visibility.is_of(person, action, report.organisation_id)

    enters = visibility.answers_for(person, report.organisation_id)
    return Rights(enters, holds("approve"), holds("manage"), report.state)


def may_write(person: Person) -> bool:
    """Return whether the person writes the reports of any organisation."""
    return access.may(person, "enter") or bool(access.list_own_agencies(person))


def list_figures(report: Report, person: Person) -> list[tuple[ReportFigure, bool]]:
    """Return the figures in order, each with whether the person may open the page of its source."""
    rows = list(report.figures.select_related("value__metric", "value__subject"))
    mine = Value.objects.filter(indicator_queries.readable(person), pk__in=report.figures.values("value_id"))
    open_ids = set(mine.values_list("pk", flat=True))
    return [(row, row.value_id in open_ids) for row in rows]


@dataclass(frozen=True)
class FigureTable:
    """Figures of one table. heads: titles of the columns; rows: (label, a figure or None for each column)."""

    title: str
    heads: tuple[str, ...]
    rows: list[tuple[str, list[tuple[ReportFigure, bool] | None]]]


def as_tables(kind: Kind, figures: Sequence[tuple[ReportFigure, bool]]) -> list[FigureTable]:
    """Return the figures as the tables of the kind, single ones first in a table of their own."""
    by_table: dict[str, dict[str, dict[str, tuple[ReportFigure, bool]]]] = {}
    single: list[tuple[str, list[tuple[ReportFigure, bool] | None]]] = []
    for pair in figures:
        table, _, rest = pair[0].key.partition("/")
        row, _, column = rest.rpartition("/")
        if row:
            by_table.setdefault(table, {}).setdefault(row, {})[column] = pair
        else:
            single.append((pair[0].label, [pair]))
    found = [FigureTable("Số liệu trong lời văn", ("Số liệu",), single)] if single else []
    for spec in kind.tables:
        rows = by_table.get(spec.key, {})
        columns = [column for column in spec.columns if column.key not in {"", "label"}]
        ordered = [key for key in rows if key != kinds.TOTAL] + [key for key in rows if key == kinds.TOTAL]
        if ordered:
            lines = [
                (next(iter(rows[key].values()))[0].label, [rows[key].get(column.key) for column in columns])
                for key in ordered
            ]
            found.append(FigureTable(spec.title, tuple(column.title for column in columns), lines))
    return found


# --- making -----------------------------------------------------------------------------------------------------


def list_kinds_for(person: Person) -> list[Kind]:
    """Return the kinds whose plan speaks to the person, if the person enters anywhere at all."""
    if not may_write(person):
        return []
    keys = set(Plan.objects.filter(visibility.readable(person, "territory_id")).values_list("key", flat=True))
    return [kind for kind in kinds.list_kinds() if not kind.plan_key or kind.plan_key in keys]


def list_kinds_managed(person: Person) -> list[Kind]:
    """Return the kinds whose template the person may change: who manages the plan's issuer or its territory."""
    if access.sees_everything(person, "manage"):
        return kinds.list_kinds()
    managed = access.visible_subject_ids(person, "manage")
    plans = Plan.objects.filter(Q(territory_id__in=managed) | Q(issuer_id__in=managed.all()))
    keys = set(plans.values_list("key", flat=True))
    return [kind for kind in kinds.list_kinds() if kind.plan_key in keys]


def list_units_for(person: Person) -> list[Organisation]:
    """Return the organisations whose reports the person writes."""
    return list(
        Organisation.objects.filter(pk__in=visibility.answering_ids(person))
        .select_related("subject")
        .order_by("subject__name")
    )


def list_periods(kind: Kind, today: date) -> Sequence[Period]:
    """Return the periods offered for a report: this one and those before, newest first."""
    current = Period.containing(today, kind.period_kind)  # type: ignore[arg-type]
    return [current.shift(-back) for back in range(PERIODS_OFFERED)]


def report_link(instance: DutyInstance) -> tuple[str, str] | None:
    """Return what makes or opens the report that an instance of a duty asks for."""
    report = instance.reports.order_by("-pk").first()
    if report is not None:
        return ("Mở báo cáo", reverse("reports:detail", args=[report.pk]))
    known = {kind.key: kind for kind in kinds.list_kinds()}
    kind = known.get(instance.duty.report_kind)
    if kind is None or instance.period_start is None or instance.period_kind != kind.period_kind:
        return None
    if instance.submitted_on is not None or instance.waived_by_id is not None:
        return None
    return ("Lập báo cáo", f"{reverse('reports:add')}?ky={instance.pk}")


# --- what waits -------------------------------------------------------------------------------------------------


def list_waiting(person: Person, limit: int) -> list[Row]:
    """Return the reports that wait for this person: to be signed, written, numbered, sent; soonest due first."""
    wanted = Q()
    if access.list_scopes(person, "approve"):
        wanted |= Q(state=State.SUBMITTED, organisation_id__in=access.visible_subject_ids(person, "approve"))
    if may_write(person):
        own = visibility.answering_ids(person)
        steps = (State.DRAFT, State.RETURNED, State.APPROVED, State.ISSUED)
        wanted |= Q(state__in=steps, organisation_id__in=own)
    if not wanted:
        return []
    rows = Report.objects.filter(wanted).select_related("organisation__subject", "instance")
    return list(dress(rows.order_by(F("instance__last_day").asc(nulls_last=True), "-id")[:limit]))


def list_of_unit(person: Person, organisation_id: int, limit: int) -> list[Row]:
    rows = list_readable(person).filter(organisation_id=organisation_id)
    return list(
        dress(rows.select_related("organisation__subject", "instance").order_by("-period_start", "-id")[:limit])
    )
