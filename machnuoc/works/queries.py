"""What reads water works: the list with its figures and sums, and all that the page of one work shows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from decimal import Decimal
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from django.db.models import Case, CharField, Exists, F, OuterRef, Q, QuerySet, Subquery, When
from django.db.models import Value as Constant

from machnuoc.core import audit, figures, search, units
from machnuoc.core.models import AuditEntry, Person
from machnuoc.core.vietnamese import format_number, format_percent, round_half_up
from machnuoc.indicators import shown as reading
from machnuoc.indicators.models import Metric, PeriodKind, Scenario, Value
from machnuoc.places import access
from machnuoc.places.models import AdministrativeUnit, Containment, Organisation, ParentLink, PrintedName, Subject
from machnuoc.places.queries import sort_key
from machnuoc.works import search_entries
from machnuoc.works.models import Capacity, ServiceArea, Work, WorkOperator, WorkStatus

CONNECTED = "works.households_connected"
DESIGN = "works.households_design"
PLANNED = "works.households_planned"
GROWTH = "works.customer_growth_planned"
GROWTH_PCT = "works.customer_growth_planned_pct"
UTILISATION = "works.utilisation_households_pct"
UTILISATION_VOLUME = "works.utilisation_volume_pct"
LOSSES = "losses.nrw_pct"
# The figures of one row: of the year itself, and of the year that its plan is about.
_OF_THE_YEAR = (CONNECTED, DESIGN, UTILISATION, UTILISATION_VOLUME, LOSSES)
_OF_THE_PLAN = (PLANNED, DESIGN, GROWTH, GROWTH_PCT)
_NUMBERS = ((CONNECTED, 0), (DESIGN, 0), (PLANNED, 1), (DESIGN, 1))  # what is summed, counted and sorted by
_ALL_METRICS = frozenset({*_OF_THE_YEAR, *_OF_THE_PLAN})

_FIGURE_NAMES = {
    (CONNECTED, 0): "connected", (DESIGN, 0): "design", (UTILISATION, 0): "utilisation_pct",
    (UTILISATION_VOLUME, 0): "utilisation_volume_pct", (PLANNED, 1): "planned", (DESIGN, 1): "design_planned",
    (GROWTH, 1): "growth", (GROWTH_PCT, 1): "growth_pct", (LOSSES, 0): "losses_pct",
}  # fmt: skip
FIGURES = tuple(_FIGURE_NAMES.values())  # the names under which rows and sums hold their figures
_NO_VALUES: Mapping[str, Any] = MappingProxyType(dict.fromkeys(FIGURES))
_MANY_WORKS = 200  # above it the communes are offered only within a province: nobody scrolls through 1,000

ABOVE_DESIGN = "above_design"
PLANNED_ABOVE_DESIGN = "planned_above_design"
WARNINGS = {
    ABOVE_DESIGN: "Số hộ đấu nối vượt thiết kế",
    PLANNED_ABOVE_DESIGN: "Số hộ theo kế hoạch vượt thiết kế",
}


_WARNINGS_OF: Mapping[tuple[bool, bool], tuple[str, ...]] = {
    (False, False): (),
    (True, False): (ABOVE_DESIGN,),
    (False, True): (PLANNED_ABOVE_DESIGN,),
    (True, True): (ABOVE_DESIGN, PLANNED_ABOVE_DESIGN),
}
# Asking the enumeration for a label costs more than all else that a row of the map does.
_KINDS, _SECTORS, _STATUSES = (
    {str(code): str(label) for code, label in choices.choices} for choices in (Work.Kind, Work.Sector, Work.Status)
)


@dataclass(frozen=True)
class Filters:
    """What a person asked the list for. Empty means «all»; plan_year 0 is the latest year with a plan."""

    q: str = ""
    province: int = 0
    commune: int = 0
    operator: int = 0
    sector: str = ""
    kind: str = ""
    status: str = ""
    warning: str = ""
    plan_year: int = 0


@dataclass(slots=True)
class Row:
    """One line of the list. Numbers are households; a work with sub-schemes counts theirs in, `own` leaves them out."""

    pk: int
    key: str
    name: str
    kind: str
    sector: str
    status: str
    parent_id: int | None
    operator_id: int | None
    team_id: int | None
    latitude: float | None
    longitude: float | None
    parent_name: str = ""
    operator: str = ""
    team: str = ""
    design: int | None = None
    connected: int | None = None
    planned: int | None = None
    design_planned: int | None = None  # design in force at the end of the plan year
    connected_own: int | None = None
    planned_own: int | None = None
    depth: int = 0
    # Most of a thousand rows have no parts and do not name places: no empty lists for them.
    parts: Sequence["Row"] = ()
    places: Sequence[str] = ()
    values: Mapping[str, "Value | Stored | None"] = field(default_factory=lambda: _NO_VALUES)
    is_at_centre: bool = False  # the point is that of the commune, not of the work

    @property
    def growth(self) -> int | None:
        return None if self.planned is None or self.connected is None else self.planned - self.connected

    @property
    def growth_pct(self) -> Decimal | None:
        return _percent(self.growth, self.connected, 2)

    @property
    def utilisation_pct(self) -> Decimal | None:
        return _percent(self.connected, self.design, 1)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Equal to the design is not above it."""
        now, then = self.design, self.design_planned
        return _WARNINGS_OF[
            now is not None and self.connected is not None and self.connected > now,
            then is not None and self.planned is not None and self.planned > then,
        ]

    @property
    def excess(self) -> int:
        """How many households are above the design, now or by the plan, whichever is more; negative: none."""
        pairs = ((self.connected, self.design), (self.planned, self.design_planned))
        return max((above - below for above, below in pairs if above is not None and below is not None), default=0)

    @property
    def kind_label(self) -> str:
        return _KINDS[self.kind]

    @property
    def sector_label(self) -> str:
        return _SECTORS[self.sector]

    def get_status_display(self) -> str:
        return _STATUSES[self.status]


@dataclass(frozen=True)
class Totals:
    """Sums over the selection. Rates are sum over sum, over the works that have both numbers.

    values: the stored figures of the organisation or unit that the selection is the whole of, by figure of this row.
    """

    works: int
    parts: int
    design: int | None
    connected: int | None
    planned: int | None
    growth: int | None
    growth_pct: Decimal | None
    utilisation_pct: Decimal | None
    above_design: int
    planned_above_design: int
    with_connected: int
    whole: Subject | None = None
    values: dict[str, Value | None] = field(default_factory=lambda: dict.fromkeys(FIGURES))


@dataclass(frozen=True)
class Choice:
    pk: int
    name: str
    group: str = ""


@dataclass
class Selection:
    """The works that a person sees and asked for: whole works in order, each followed by its sub-schemes."""

    filters: Filters
    roots: list[Row]
    totals: Totals
    visible_count: int
    plan_year: int
    plan_years: list[int]
    provinces: list[Choice]
    communes: list[Choice]
    operators: list[Choice]
    metrics: "Metrics"

    @property
    def year(self) -> int:
        """The year whose end the connected households and the design are of."""
        return self.plan_year - 1

    @property
    def year_label(self) -> str:
        return str(self.year)

    @property
    def plan_year_label(self) -> str:
        return str(self.plan_year)

    @cached_property
    def has_urban(self) -> bool:
        """Urban works are told by their losses: their plans print no households."""
        return any(row.sector == Work.Sector.URBAN for row in self.rows)

    @property
    def has_households(self) -> bool:
        totals = self.totals
        return not self.has_urban or (totals.design, totals.connected, totals.planned) != (None, None, None)

    @cached_property
    def only_operator(self) -> Row | None:
        """Return any row if one operator runs all works of the selection: its name then need not stand in each line."""
        operators = {row.operator_id for row in self.rows}
        return self.roots[0] if len(operators) == 1 and None not in operators else None

    @cached_property
    def rows(self) -> list[Row]:
        return list(flatten(self.roots))


def flatten(roots: Iterable[Row]) -> Iterable[Row]:
    for row in roots:
        yield row
        if row.parts:
            yield from flatten(row.parts)


def list_works(visible_to: Person) -> QuerySet[Work]:
    """Return the works in the person's scope."""
    works = Work.objects.all()
    if not access.sees_everything(visible_to):
        works = works.filter(pk__in=access.visible_subject_ids(visible_to))
    return works


def get_work(key: str, visible_to: Person) -> Work:
    """Return the work. Raises Work.DoesNotExist if there is none or the person may not see it: both look alike."""
    found: Work = (
        list_works(visible_to)
        .annotate(
            has_parts=Exists(Work.objects.filter(parent_id=OuterRef("pk"))),
            has_names=Exists(PrintedName.objects.filter(subject_id=OuterRef("pk"))),
        )
        .select_related(
            "subject", "parent__subject", "operator__subject", "team__subject", "treatment__passage__document",
            "passage__document",
        )
        .get(subject__key=key)
    )  # fmt: skip
    access.remember_visible(visible_to, found.pk)
    return found


# --- the list -------------------------------------------------------------------------------------------------------

_ORDERS: dict[str, Callable[[Row], Any]] = {
    "name": lambda row: sort_key(row.name),
    "operator": lambda row: sort_key(row.operator) if row.operator else None,
    "design": lambda row: row.design,
    "connected": lambda row: row.connected,
    "planned": lambda row: row.planned,
    "growth": lambda row: row.growth,
    "growth_pct": lambda row: row.growth_pct,
    "utilisation": lambda row: row.utilisation_pct,
}
SORTS = frozenset(_ORDERS)


def select(visible_to: Person, filters: Filters, sort: str = "", *, today: date) -> Selection:
    """Return the works asked for, in order, with numbers and sums, in a fixed number of queries.

    A work is shown with all its sub-schemes; a sub-scheme that is found without its work stands alone. sort: a key of
    SORTS, with «-» before it for descending; what has no figure comes last either way.
    """
    works = list_works(visible_to)
    rows = {row.pk: row for row in _read_rows(works)}
    metrics = _read_metrics(today)
    last = metrics.plan_year
    plan_year = filters.plan_year or last
    _fill_numbers(rows, metrics, plan_year)
    conditions = [
        *([set(search.matching_ids(search_entries.WORK, filters.q))] if filters.q.strip() else []),
        *([_ids_in(works, filters.province)] if filters.province else []),
        *([_ids_in(works, filters.commune)] if filters.commune else []),
    ]
    chosen = _choose(rows, filters, conditions)
    for row in rows.values():  # the sub-schemes of a work that was found come along
        if row.parent_id is not None and _ancestors(row, rows) & chosen:
            chosen.add(row.pk)
    roots = _as_trees([row for pk, row in rows.items() if pk in chosen], sort)
    provinces, communes = _list_units(works, filters, len(rows))
    return Selection(
        filters=filters,
        roots=roots,
        totals=_sum(visible_to, filters, roots, plan_year),
        visible_count=len(rows),
        plan_year=plan_year,
        plan_years=sorted({*range(last, last - 5, -1), plan_year}, reverse=True),
        provinces=provinces,
        communes=communes,
        operators=_operators(rows.values()),
        metrics=metrics,
    )


def _choose(rows: dict[int, Row], filters: Filters, conditions: list[set[int]]) -> set[int]:
    chosen = set(rows).intersection(*conditions)
    if any((filters.operator, filters.sector, filters.kind, filters.status, filters.warning)):
        chosen = {pk for pk in chosen if _is_asked_for(rows[pk], filters)}
    return chosen


_COLUMNS = (
    "pk", "subject__key", "subject__name", "kind", "sector", "status", "parent_id", "operator_id", "team_id",
    "subject__latitude", "subject__longitude",
)  # fmt: skip


def _read_few(works: QuerySet[Work]) -> list[Row]:
    """Return the rows of a panel, with the names joined to them: one query."""
    columns = [*_COLUMNS, "parent__subject__name", "operator__subject__name", "team__subject__name"]
    return [Row(*found[:-3], *(name or "" for name in found[-3:])) for found in works.values_list(*columns)]


def _read_rows(works: QuerySet[Work]) -> list[Row]:
    """Return the rows. The few names that many works share are read once each: one query more."""
    rows = [Row(*found) for found in works.values_list(*_COLUMNS)]
    named = {pk for row in rows for pk in (row.parent_id, row.operator_id, row.team_id) if pk is not None}
    names = dict(Subject.objects.filter(pk__in=named).values_list("pk", "name")) if named else {}
    for row in rows:
        if row.parent_id is not None:
            row.parent_name = names[row.parent_id]
        if row.operator_id is not None:
            row.operator = names[row.operator_id]
        if row.team_id is not None:
            row.team = names[row.team_id]
    return rows


@dataclass(frozen=True)
class Metrics:
    """The metrics of the list by key: (id, decimals, unit); and the latest year that any work has a plan for."""

    by_key: dict[str, tuple[int, int, str]]
    plan_year: int

    @property
    def ids(self) -> dict[str, int]:
        return {key: pk for key, (pk, _, _) in self.by_key.items()}


def _read_metrics(today: date) -> Metrics:
    """Ask for both at once. Without plans the year is the present one."""
    newest = Value.objects.filter(metric=OuterRef("pk"), period_kind=PeriodKind.YEAR, scenario=Scenario.ACTUAL)
    last = Subquery(newest.order_by("-period_start").values("period_start")[:1])
    found = Metric.objects.filter(key__in=_ALL_METRICS).order_by()
    by_key: dict[str, tuple[int, int, str]] = {}
    plan_year = today.year
    for key, pk, decimals, unit, start in found.values_list("key", "pk", "decimals", "unit", last):
        by_key[key] = pk, decimals, unit
        if key == PLANNED and start is not None:
            plan_year = start.year
    return Metrics(by_key, plan_year)


def _fill_numbers(rows: dict[int, Row], metrics: Metrics, plan_year: int) -> None:
    """Give the rows the numbers that are summed and sorted by. A query a year: both in one take SQLite longer."""
    ids = metrics.ids
    found: dict[tuple[str, int], dict[int, int | None]] = {which: {} for which in _NUMBERS}
    for later in (0, 1):
        wanted = {ids[key]: found[key, year] for key, year in _NUMBERS if year == later and key in ids}
        values = Value.objects.filter(
            metric_id__in=list(wanted), period_kind=PeriodKind.YEAR, period_start=date(plan_year - 1 + later, 1, 1),
            scenario=Scenario.ACTUAL,
        )  # fmt: skip
        if len(rows) < _MANY_WORKS:  # of more, reading the figures of all is less work than asking for each
            values = values.filter(subject_id__in=list(rows))
        for metric_id, subject_id, number in values.values_list("metric_id", "subject_id", "number"):
            wanted[metric_id][subject_id] = number
    connected, design, planned, design_planned = (found[which] for which in _NUMBERS)
    for pk, row in rows.items():
        row.connected, row.design = connected.get(pk), design.get(pk)
        row.planned, row.design_planned = planned.get(pk), design_planned.get(pk)
    _take_parts_off(rows)


def _take_parts_off(rows: dict[int, Row]) -> None:
    """Give each row the numbers of its own line: the whole without its sub-schemes."""
    below: dict[int, list[Row]] = {}
    for row in rows.values():
        row.connected_own, row.planned_own = row.connected, row.planned
        if row.parent_id is not None and row.parent_id in rows:
            below.setdefault(row.parent_id, []).append(row)
    for pk, parts in below.items():
        whole = rows[pk]
        whole.connected_own = _less(whole.connected, [part.connected for part in parts])
        whole.planned_own = _less(whole.planned, [part.planned for part in parts])


def _less(whole: int | None, parts: list[int | None]) -> int | None:
    return None if whole is None else whole - sum(part for part in parts if part is not None)


def _ids_in(works: QuerySet[Work], unit_id: int) -> set[int]:
    return set(works.filter(subject__contained_in__ancestor_id=unit_id).values_list("pk", flat=True))


def _list_units(works: QuerySet[Work], filters: Filters, count: int) -> tuple[list[Choice], list[Choice]]:
    """Return the provinces and communes where works lie, for the filters; communes of the province asked for."""
    # From the unit down to its works: from the works up, SQLite would ask for each work under each unit.
    holds = Exists(works.filter(subject__contained_in__ancestor_id=OuterRef("pk")))
    levels = AdministrativeUnit.Level
    wanted = Q(level=levels.PROVINCE)
    if filters.province:
        wanted |= Q(level=levels.COMMUNE, parent_id=filters.province)
    elif count <= _MANY_WORKS:  # from the works: asking every commune of the country takes longer
        pairs = Containment.objects.filter(descendant_id__in=works.values("pk"))
        wanted |= Q(level=levels.COMMUNE, pk__in=pairs.values("ancestor_id"))
    elif filters.commune:
        wanted |= Q(level=levels.COMMUNE, pk=filters.commune)
    found = AdministrativeUnit.objects.filter(wanted).filter(holds)
    units = list(found.values_list("pk", "level", "full_name", "parent__full_name"))
    provinces = [Choice(pk, name) for pk, level, name, _ in units if level == levels.PROVINCE]
    communes = [Choice(pk, name, above or "") for pk, level, name, above in units if level == levels.COMMUNE]
    provinces.sort(key=lambda choice: sort_key(choice.name))
    communes.sort(key=lambda choice: (sort_key(choice.group), sort_key(choice.name)))
    return provinces, communes


def mark_centres(rows: Iterable[Row], visible_to: Person) -> None:
    """Say of the rows which points are those of a commune, not of the work. One query."""
    rows = list(rows)
    works = list_works(visible_to)
    if len(rows) < _MANY_WORKS:
        works = works.filter(pk__in=[row.pk for row in rows])
    there = works.filter(
        subject__contained_in__ancestor__unit__level=AdministrativeUnit.Level.COMMUNE,
        subject__contained_in__ancestor__latitude=F("subject__latitude"),
        subject__contained_in__ancestor__longitude=F("subject__longitude"),
    )
    ids = set(there.values_list("pk", flat=True))
    for row in rows:
        row.is_at_centre = row.pk in ids


def _is_asked_for(row: Row, filters: Filters) -> bool:
    return (
        (not filters.operator or filters.operator == row.operator_id)
        and (not filters.sector or filters.sector == row.sector)
        and (not filters.kind or filters.kind == row.kind)
        and (not filters.status or filters.status == row.status)
        and (not filters.warning or filters.warning in row.warnings)
    )


def _ancestors(row: Row, rows: dict[int, Row]) -> set[int]:
    found: set[int] = set()
    above = row.parent_id
    while above is not None and above in rows and above not in found:
        found.add(above)
        above = rows[above].parent_id
    return found


def _as_trees(rows: list[Row], sort: str) -> list[Row]:
    by_id = {row.pk: row for row in rows}
    roots: list[Row] = []
    for row in rows:
        above = by_id.get(row.parent_id) if row.parent_id is not None else None
        if above:
            above.parts = [*above.parts, row]
        else:
            roots.append(row)

    def order(branch: Sequence[Row], depth: int) -> list[Row]:
        for row in branch:
            row.depth = depth
            if row.parts:
                row.parts = order(row.parts, depth + 1)
        return _in_order(branch, sort)

    return order(roots, 0)


def _in_order(rows: Iterable[Row], sort: str) -> list[Row]:
    rows = sorted(rows, key=lambda row: (sort_key(row.name), row.key))
    key = _ORDERS.get(sort.removeprefix("-"))
    if key is None:
        return rows
    keyed = [(key(row), row) for row in rows]
    there = [pair for pair in keyed if pair[0] is not None]
    there.sort(key=lambda pair: pair[0], reverse=sort.startswith("-"))
    return [row for _, row in there] + [row for found, row in keyed if found is None]


def _operators(rows: Iterable[Row]) -> list[Choice]:
    found = {row.operator_id: row.operator for row in rows if row.operator_id is not None}
    return sorted((Choice(pk, name) for pk, name in found.items()), key=lambda choice: sort_key(choice.name))


def _sum(person: Person, filters: Filters, roots: list[Row], plan_year: int) -> Totals:
    design = _total(row.design for row in roots)
    connected = _total(row.connected for row in roots)
    planned = _total(row.planned for row in roots)
    grown = [row for row in roots if row.planned is not None and row.connected is not None]
    growth = _total(row.growth for row in grown)
    used = [row for row in roots if row.connected is not None and row.design is not None]
    warnings = [row.warnings for row in flatten(roots)]
    warned = [codes for codes in warnings if codes]
    totals = Totals(
        works=len(roots),
        parts=len(warnings) - len(roots),
        design=design,
        connected=connected,
        planned=planned,
        growth=growth,
        growth_pct=_percent(growth, _total(row.connected for row in grown), 2),
        utilisation_pct=_percent(_total(row.connected for row in used), _total(row.design for row in used), 1),
        above_design=sum(ABOVE_DESIGN in codes for codes in warned),
        planned_above_design=sum(PLANNED_ABOVE_DESIGN in codes for codes in warned),
        with_connected=sum(row.connected is not None for row in roots),
    )
    whole_id = _whole_of(person, filters)
    if whole_id is None or (connected is None and not any(row.sector == Work.Sector.URBAN for row in roots)):
        return totals
    values = _read_values([whole_id], plan_year).get(whole_id, {})
    # Only a stored figure that says what stands here may explain it.
    agreeing = {name: value for name, value in values.items() if _unscaled(value) == getattr(totals, name, None)}
    if "losses_pct" in values:  # stated for the whole, not summed from what stands here
        agreeing["losses_pct"] = values["losses_pct"]
    subject = next((value.subject for value in values.values()), None)
    return replace(totals, whole=subject, values={**totals.values, **agreeing})


def _total(numbers: Iterable[int | None]) -> int | None:
    """Return the sum of what is there; None if nothing is."""
    there = [number for number in numbers if number is not None]
    return sum(there) if there else None


def _whole_of(person: Person, filters: Filters) -> int | None:
    """Return the subject that the selection is the whole of: the one asked for, or all that the person sees."""
    asked = {column.name: getattr(filters, column.name) for column in fields(filters) if column.name != "plan_year"}
    asked = {name: value for name, value in asked.items() if value}
    if not asked:
        scopes = access.list_scopes(person, "view")
        return scopes[0] if len(scopes) == 1 else None
    (name, value), *more = asked.items()
    return value if not more and name in {"operator", "province"} else None


def _unscaled(value: Value) -> Decimal | None:
    return None if value.number is None else Decimal(value.number).scaleb(-value.metric.decimals)


def _percent(part: int | None, whole: int | None, decimals: int) -> Decimal | None:
    if part is None or not whole:
        return None
    return round_half_up(Decimal(part) * 100 / Decimal(whole), decimals)


def _read_values(subject_ids: Iterable[int], plan_year: int) -> dict[int, dict[str, Value]]:
    """Return the figures of the list by subject and name, whole enough to be shown with link, band and state."""
    starts = {date(plan_year - 1, 1, 1): 0, date(plan_year, 1, 1): 1}
    found: dict[int, dict[str, Value]] = {}
    values = Value.objects.filter(
        subject_id__in=list(subject_ids), metric__key__in={*_OF_THE_YEAR, *_OF_THE_PLAN},
        period_kind=PeriodKind.YEAR, period_start__in=starts, scenario=Scenario.ACTUAL,
    )  # fmt: skip
    for value in reading.read(values):
        name = _FIGURE_NAMES.get((value.metric.key, starts[value.period_start]))
        if name:
            found.setdefault(value.subject_id, {})[name] = value
    return found


_in_words = lru_cache(maxsize=2_000)(figures.figure_text)  # a thousand losses have some fifty different texts


class Mark(NamedTuple):
    """As much of a band as its badge shows."""

    label: str
    severity: str


class Stored(NamedTuple):
    """As much of a stored figure as a list shows: where it leads, its state, its words with unit, its band.

    qualifier: what the document says before the number («khoảng»). rank: by it lists of figures are in order.
    """

    pk: int
    state: int
    text: str
    qualifier: str
    band: Mark | None
    rank: int


def _read_stored(
    values: QuerySet[Value], selection: Selection, names: Iterable[str]
) -> Iterator[tuple[int, str, Stored]]:
    """Yield subject, name and figure of the figures with these names (FIGURES). One query."""
    by_key = selection.metrics.by_key
    about = {
        (by_key[key][0], str(later)): (name, by_key[key][1], units.label(by_key[key][2]))
        for (key, later), name in _FIGURE_NAMES.items()
        if name in names and key in by_key
    }
    starts = {later: date(selection.year + int(later), 1, 1) for _, later in about}
    # Letters: what Django does to every day and truth value that SQLite gives takes longer than all the rest.
    is_later = _as_letter("0", period_start=date(selection.plan_year, 1, 1))
    low_open, high_open = _as_letter("", low_open=True), _as_letter("", high_open=True)
    found = values.filter(
        metric_id__in={pk for pk, _ in about}, period_kind=PeriodKind.YEAR, period_start__in=starts.values(),
        scenario=Scenario.ACTUAL,
    ).values_list(
        "metric_id", is_later, "pk", "subject_id", "state", "number", "low", low_open, "high", high_open,
        "band__label", "band__severity", "fact__qualifier",
    )  # fmt: skip
    marks: dict[tuple[str | None, str | None], Mark | None] = {(None, None): None}
    for metric_id, later, pk, subject_id, state, number, low, above, high, below, label, severity, said in found:
        if (metric_id, later) not in about:  # the utilisation of the plan's year, and so on
            continue
        name, decimals, unit = about[metric_id, later]
        text = _in_words(number, low, bool(above), high, bool(below), decimals, unit, label or "")
        if (label, severity) not in marks:
            marks[label, severity] = Mark(label, severity)
        qualifier = said if said and number is not None else ""
        yield subject_id, name, Stored(pk, state, text, qualifier, marks[label, severity], low or number or 0)


def _as_letter(otherwise: str, **condition: object) -> Case:
    return Case(When(**condition, then=Constant("1")), default=Constant(otherwise), output_field=CharField())


def dress(rows: Iterable[Row], selection: Selection) -> list[Row]:
    """Give the rows of one page their figures (as links) and the names of the places they serve. Two queries."""
    rows = list(rows)
    values = Value.objects.filter(subject_id__in=[row.pk for row in rows])
    found: dict[int, dict[str, Value | Stored | None]] = {row.pk: dict(_NO_VALUES) for row in rows}
    for subject_id, name, stored in _read_stored(values, selection, FIGURES):
        found[subject_id][name] = stored
    for row in rows:
        row.values = found[row.pk]
    name_places(rows)
    return rows


def read_losses(rows: list[Row], selection: Selection, *, sector: str = "") -> dict[int, Stored]:
    """Return the losses of the works in the year before the plan's, by work: a number, edges or a class. One query.

    sector: that of all these works, if they share one.
    """
    values = Value.objects.filter(subject__work__sector=sector) if sector else Value.objects.all()
    if len(rows) < _MANY_WORKS:
        values = values.filter(subject_id__in=[row.pk for row in rows])
    wanted = {row.pk for row in rows}
    found = _read_stored(values, selection, ["losses_pct"])
    return {subject_id: stored for subject_id, _, stored in found if subject_id in wanted}


def name_places(rows: Iterable[Row]) -> None:
    """Give the rows the names of the places they serve now. One query."""
    rows = list(rows)
    found: dict[int, list[str]] = {}
    areas = ServiceArea.objects.filter(work_id__in=[row.pk for row in rows], valid_to__isnull=True, is_planned=False)
    for work_id, name, official in areas.order_by("place__name").values_list(
        "work_id", "place__name", "place__unit__full_name"
    ):
        found.setdefault(work_id, []).append(official or name)
    for row in rows:
        row.places = found.get(row.pk, ())


def place_name(place: Subject) -> str:
    """Return the name with its type: «Xã Bình Sơn», «Tà Lùng cũ». Asks for unit."""
    return place.unit.full_name if place.kind == Subject.Kind.UNIT else place.name


# --- one work -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """A line of the work's own history."""

    at: Any
    text: str
    icon: str = "pencil"


@dataclass(frozen=True)
class WorkPage:
    """Everything that the page of one work shows besides the panels of other rooms."""

    work: Work
    row: Row
    parts: list[Row]
    operators: list[WorkOperator]
    statuses: list[WorkStatus]
    capacities: list[Capacity]
    served: list[ServiceArea]
    planned: list[ServiceArea]
    formerly_served: list[ServiceArea]
    names: list[PrintedName]
    territories: list[Subject]
    plan_year: int
    is_at_centre: bool

    @property
    def year_label(self) -> str:
        return str(self.plan_year - 1)

    @property
    def all_areas(self) -> list[ServiceArea]:
        return [*self.served, *self.planned, *self.formerly_served]

    @property
    def design_note(self) -> str:
        """Say what the design will be in the plan's year, where that differs."""
        now, then = self.row.design, self.row.design_planned
        if then is None or now == then:
            return f"cuối năm {self.plan_year - 1}"
        return f"năm {self.plan_year}: {format_number(then)} hộ"

    @property
    def growth_note(self) -> str:
        if self.row.growth is None:
            return f"năm {self.plan_year}"
        if self.row.growth == 0:
            return f"năm {self.plan_year}: không tăng"
        pct = f" ({format_percent(abs(self.row.growth_pct), 2)})" if self.row.growth_pct is not None else ""
        verb = "tăng" if self.row.growth > 0 else "giảm"
        return f"năm {self.plan_year}: {verb} {format_number(abs(self.row.growth))} hộ{pct}"


_LATEST = F("valid_from").desc(nulls_last=True)  # an unknown start is the oldest, on every database


def get_page(work: Work, *, today: date) -> WorkPage:
    """Return what the page of the work shows, with every fact's source."""
    rows = {work.pk: _row_of(work)}
    if getattr(work, "has_parts", True):  # most have no parts and no other names: get_work has looked
        rows |= {row.pk: row for row in _read_few(Work.objects.filter(parent=work))}
    plan_year = _fill_from_values(rows, today)
    areas = list(
        work.service_areas.select_related("place__unit", "place__urban_area", "passage__document").order_by(
            "is_planned", "place__name"
        )
    )
    territories = list_territories(work)
    own = rows[work.pk]
    point = (own.latitude, own.longitude)
    return WorkPage(
        work=work,
        row=own,
        parts=_in_order([row for row in rows.values() if row.pk != work.pk], ""),
        operators=list(
            work.operators.select_related("organisation__subject", "passage__document").order_by(_LATEST, "-pk")
        ),
        statuses=list(work.statuses.select_related("passage__document")),
        capacities=list(
            work.capacities.select_related("passage__document", "recorded_by").order_by("kind", "basis", _LATEST, "-pk")
        ),
        served=[area for area in areas if area.valid_to is None and not area.is_planned],
        planned=[area for area in areas if area.valid_to is None and area.is_planned],
        formerly_served=[area for area in areas if area.valid_to is not None],
        names=list(work.subject.printed_names.select_related("passage__document").order_by("certainty", "pk"))
        if getattr(work, "has_names", True)
        else [],
        territories=territories,
        plan_year=plan_year,
        is_at_centre=own.latitude is not None
        and any((place.latitude, place.longitude) == point for place in territories),
    )


def _row_of(work: Work) -> Row:
    """Return the row of a work that came with the names of whom it belongs to."""
    subject = work.subject
    return Row(
        pk=work.pk, key=subject.key, name=subject.name, kind=work.kind, sector=work.sector, status=work.status,
        parent_id=work.parent_id, operator_id=work.operator_id, team_id=work.team_id,
        latitude=subject.latitude, longitude=subject.longitude,
        parent_name=work.parent.subject.name if work.parent else "",
        operator=work.operator.subject.name if work.operator else "",
        team=work.team.subject.name if work.team else "",
    )  # fmt: skip


def _fill_from_values(rows: dict[int, Row], today: date) -> int:
    """Give a few rows their latest figures with one query, and return the year of their latest plan."""
    values = reading.read(
        Value.objects.filter(
            subject_id__in=list(rows), metric__key__in=_ALL_METRICS, period_kind=PeriodKind.YEAR,
            scenario=Scenario.ACTUAL,
        )
    )  # fmt: skip
    plan_year = max((value.period_start.year for value in values if value.metric.key == PLANNED), default=today.year)
    names = dict(zip(_NUMBERS, ("connected", "design", "planned", "design_planned"), strict=True))
    for value in values:
        which = (value.metric.key, value.period_start.year - plan_year + 1)
        if which in _FIGURE_NAMES:
            row = rows[value.subject_id]
            row.values = {**row.values, _FIGURE_NAMES[which]: value}
        if which in names:
            setattr(rows[value.subject_id], names[which], value.number)
    _take_parts_off(rows)
    return plan_year


def list_territories(work: Work) -> list[Subject]:
    """Return the units and urban areas that the work lies in, as recorded (not those around them)."""
    links = ParentLink.objects.filter(
        child_id=work.pk, reason=ParentLink.Reason.TERRITORY, valid_to__isnull=True
    ).select_related("parent__unit__parent", "parent__urban_area")
    return sorted((link.parent for link in links), key=lambda subject: sort_key(subject.name))


def list_changes(work: Work, *, limit: int = 30) -> list[Change]:
    """Return who did what to the work, the newest first."""
    about = Q(target_kind="works.work") | Q(target_kind="places.subject")
    entries = list(
        AuditEntry.objects.filter(about, target_id=str(work.pk)).select_related("actor").order_by("-pk")[:limit]
    )
    return [Change(entry.at, text) for entry, text in zip(entries, audit.sentences(entries), strict=True)]


def list_linked_ids(person: Person, page: WorkPage) -> set[int]:
    """Return which of the organisations and works named on the page the person may open."""
    named = {operator.organisation_id for operator in page.operators} | {page.work.operator_id, page.work.parent_id}
    ids = {pk for pk in named if pk is not None}
    if access.sees_everything(person) or ids <= set(access.list_scopes(person, "view")):
        return ids
    return set(access.visible_subject_ids(person).filter(descendant_id__in=ids))


def may_manage(person: Person, work: Work) -> bool:
    """Return whether the person, who may see the work, may also change it."""
    scopes = access.list_scopes(person, "manage", work.sector)
    if scopes == access.list_scopes(person, "view"):
        return bool(scopes)
    return access.may(person, "manage", work.pk, work.sector)


# --- choices of the forms, panels -----------------------------------------------------------------------------------


def list_provinces_managed(person: Person) -> QuerySet[AdministrativeUnit]:
    """Return the provinces in which the person may place a work: in, around, or the territory of what they manage."""
    provinces = AdministrativeUnit.objects.filter(level=AdministrativeUnit.Level.PROVINCE, is_in_force=True)
    provinces = provinces.select_related("subject").order_by("code")
    if access.sees_everything(person, "manage"):
        return provinces
    managed = access.visible_subject_ids(person, "manage")
    territory = Organisation.objects.filter(pk__in=managed).values_list("territory_id", "territory__parent_id")
    ids = {unit_id for pair in territory for unit_id in pair if unit_id}
    ids |= set(
        AdministrativeUnit.objects.filter(pk__in=managed, level=AdministrativeUnit.Level.COMMUNE).values_list(
            "parent_id", flat=True
        )
    )
    ids |= set(AdministrativeUnit.objects.filter(pk__in=managed).values_list("pk", flat=True))
    return provinces.filter(pk__in=ids)


def list_places_in(province_ids: Iterable[int]) -> list[Subject]:
    """Return the communes and urban areas of the provinces: where a work may lie and whom it may serve."""
    provinces = list(province_ids)
    communes = Subject.objects.filter(unit__parent_id__in=provinces, unit__is_in_force=True)
    areas = Subject.objects.filter(urban_area__commune__parent_id__in=provinces)
    found = (communes | areas).select_related("unit__parent", "urban_area__commune")
    return sorted(found, key=lambda place: (place.kind != Subject.Kind.UNIT, sort_key(place.name)))


_OPERATING = (
    Organisation.Kind.OPERATOR, Organisation.Kind.CENTRE, Organisation.Kind.AUTHORITY, Organisation.Kind.STATION,
)  # fmt: skip


def list_possible_operators(visible_to: Person) -> QuerySet[Organisation]:
    """Return the organisations of the person's scope that may run a work."""
    organisations = Organisation.objects.filter(kind__in=_OPERATING).select_related("subject", "parent__subject")
    if not access.sees_everything(visible_to):
        organisations = organisations.filter(pk__in=access.visible_subject_ids(visible_to))
    return organisations.order_by("subject__name")


def list_works_of(subject: Subject, visible_to: Person) -> QuerySet[Work]:
    """Return the works that lie in, serve or belong to a unit, urban area or organisation, in the person's scope."""
    lies = Containment.objects.filter(ancestor=subject, descendant_id=OuterRef("pk"))
    serves = ServiceArea.objects.filter(place=subject, work_id=OuterRef("pk"), valid_to__isnull=True)
    return list_works(visible_to).filter(Exists(lies) | Exists(serves))


@dataclass(frozen=True)
class FirstRows:
    """The first works of a panel, each followed by its sub-schemes, and how many works are not among them."""

    rows: list[Row]
    more: int
    plan_year: int


def list_first(works: QuerySet[Work], *, limit: int, today: date) -> FirstRows:
    """Return the first works by name with figures. Three queries, the last one for the works that are shown."""
    rows = {row.pk: row for row in _read_few(works)}
    top = [row for row in rows.values() if row.parent_id not in rows]
    for row in rows.values():
        if row.parent_id is not None and row.parent_id in rows:
            row.depth = 1
            whole = rows[row.parent_id]
            whole.parts = [*whole.parts, row]
    shown = list(flatten(_in_order(top, "")[:limit]))
    plan_year = _read_metrics(today).plan_year if shown else today.year
    _give_figures(shown, plan_year)
    return FirstRows(shown, max(len(top) - limit, 0), plan_year)


@dataclass(frozen=True)
class Notable:
    """The works that those who oversee many should know of, and how many are above their design."""

    growing: list[Row]
    above: list[Row]
    above_design: int
    planned_above_design: int
    plan_year: int


def find_notable(visible_to: Person, *, today: date, growing: int, above: int) -> Notable:
    """Return the works that shall grow most (sub-schemes counted in) and those furthest above their design.

    Of all works only the numbers are read, everything else of the few that are named. Four queries; one more where
    sub-schemes are among them and the person does not see all works.
    """
    metrics = _read_metrics(today)
    connected, design, planned, design_planned = _read_all_numbers(visible_to, metrics)
    growth = {pk: number - connected[pk] for pk, number in planned.items() if number != connected.get(pk, number)}
    over = {pk: number - design[pk] for pk, number in connected.items() if number > design.get(pk, number)}
    over_planned = {
        pk: number - design_planned[pk] for pk, number in planned.items() if number > design_planned.get(pk, number)
    }
    excess = {pk: max(over.get(pk, 0), over_planned.get(pk, 0)) for pk in {*over, *over_planned}}
    # Some more of the growing: sub-schemes, which are counted in their works, drop out.
    wanted = {*_largest(growth, 4 * growing), *_largest(excess, above)}
    rows = _read_few(Work.objects.filter(pk__in=wanted)) if wanted else []
    inside = _find_visible(visible_to, {row.parent_id for row in rows if row.parent_id is not None})
    rows = sorted(rows, key=lambda row: (sort_key(row.name), row.key))
    for row in rows:
        row.depth = int(row.parent_id in inside)
    most = sorted((row for row in rows if not row.depth and row.pk in growth), key=lambda row: -growth[row.pk])[
        :growing
    ]
    furthest = sorted((row for row in rows if row.pk in excess), key=lambda row: -excess[row.pk])[:above]
    _give_figures({row.pk: row for row in [*most, *furthest]}.values(), metrics.plan_year)
    return Notable(most, furthest, len(over), len(over_planned), metrics.plan_year)


def _read_all_numbers(visible_to: Person, metrics: Any) -> list[dict[int, int]]:
    """Return of all works the numbers of _NUMBERS, each by work. One query of two halves: each has an index."""
    halves = []
    for later in (0, 1):
        values = Value.objects.filter(
            metric_id__in=[metrics.ids[key] for key, year in _NUMBERS if year == later and key in metrics.ids],
            period_kind=PeriodKind.YEAR, period_start=date(metrics.plan_year - 1 + later, 1, 1),
            scenario=Scenario.ACTUAL, subject__kind=Subject.Kind.WORK, number__isnull=False,
        )  # fmt: skip
        if not access.sees_everything(visible_to):
            values = values.filter(subject_id__in=access.visible_subject_ids(visible_to))
        halves.append(
            values.order_by().values_list(Constant(str(later), CharField()), "metric_id", "subject_id", "number")
        )
    found: dict[tuple[str, int], dict[int, int]] = {}
    for key, later in _NUMBERS:
        found[str(later), metrics.ids.get(key, 0)] = {}
    for later, metric_id, subject_id, number in halves[0].union(halves[1], all=True):
        found[later, metric_id][subject_id] = number
    return [found[str(later), metrics.ids.get(key, 0)] for key, later in _NUMBERS]


def _largest(numbers: dict[int, int], count: int) -> list[int]:
    """Return whose numbers are the largest, with all that are as large as the last of them (up to some limit)."""
    ordered = sorted(numbers, key=lambda pk: -numbers[pk])
    last = count
    while last < len(ordered) and last < _MANY_WORKS and numbers[ordered[last]] == numbers[ordered[count - 1]]:
        last += 1
    return ordered[:last]


def _find_visible(person: Person, ids: set[int]) -> set[int]:
    if not ids or access.sees_everything(person):
        return ids
    return set(access.visible_subject_ids(person).filter(descendant_id__in=ids))


def _give_figures(rows: Iterable[Row], plan_year: int) -> None:
    """Give the few rows of a panel, which does not name places, their figures and numbers. One query."""
    by_id = {row.pk: row for row in rows}
    if not by_id:
        return
    of_year, of_plan = (
        Q(metric__key__in=keys, period_start=date(year, 1, 1))
        for keys, year in ((_OF_THE_YEAR, plan_year - 1), (_OF_THE_PLAN, plan_year))
    )
    values = Value.objects.filter(
        of_year | of_plan, subject_id__in=list(by_id), period_kind=PeriodKind.YEAR, scenario=Scenario.ACTUAL
    )
    numbers = dict(zip(_NUMBERS, ("connected", "design", "planned", "design_planned"), strict=True))
    found: dict[int, dict[str, Any]] = {pk: dict(_NO_VALUES) for pk in by_id}
    for value in reading.read(values):
        which = (value.metric.key, value.period_start.year - plan_year + 1)
        found[value.subject_id][_FIGURE_NAMES[which]] = value
        if which in numbers:
            setattr(by_id[value.subject_id], numbers[which], value.number)
    for pk, row in by_id.items():
        row.values = found[pk]
