"""What reads criteria programmes: matrix, commune, agency, roadmap, mergers. Filtered by scope first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import BooleanField, Count, Exists, ExpressionWrapper, Q, QuerySet, Value

from machnuoc.core import folding
from machnuoc.core.models import Person
from machnuoc.core.vietnamese import format_date, format_number
from machnuoc.places import access
from machnuoc.places.models import AdministrativeUnit, Containment, Organisation, Subject
from machnuoc.planning import criteria, criteria_files, programme_places, visibility
from machnuoc.planning.models import (
    Assessment,
    CriteriaSet,
    Criterion,
    CriterionGoal,
    Discrepancy,
    Dossier,
    Plan,
    Programme,
    Responsibility,
    RoadmapChange,
    RoadmapEntry,
    RoadmapTotal,
    StatedPosition,
    SubIndicator,
    Threshold,
    UnitProfile,
    UnreadRow,
)

Result = Assessment.Result
TONES = {Result.MET: "good", Result.NOT_MET: "danger", Result.NOT_ASSESSED: "neutral", Result.NOT_APPLICABLE: "info"}
SYMBOLS = {Result.MET: "✓", Result.NOT_MET: "✗", Result.NOT_ASSESSED: "·", Result.NOT_APPLICABLE: "–"}
_COMPARED = {"GE": "≥", "GT": ">", "LE": "≤", "LT": "<", "EQ": "="}


# --- who may see and do what ------------------------------------------------------------------------------------


def list_programmes(person: Person) -> QuerySet[Programme]:
    """Return the programmes that the person may read: a plan speaks to all below its territory."""
    return Programme.objects.filter(visibility.readable(person, "plan__territory_id")).select_related(
        "plan__territory", "plan__document", "plan__issuer__subject", "passage__document"
    )


def get_programme(key: str, person: Person) -> Programme:
    """Return a programme by the key of its plan. Raises Programme.DoesNotExist where the person may not read it."""
    return list_programmes(person).get(plan__key=key)


def list_own_units(person: Person, action: str) -> set[int]:
    """Return the units in the person's scopes for the action, with the former units that they took in. One query.

    Who acts for an organisation acts for its territory.
    """
    scopes = access.list_scopes(person, action)
    if not scopes:
        return set()
    now, former = programme_places.within(_ancestors_of_own(scopes))
    return set(now.values_list("descendant_id", flat=True).union(former.values_list("predecessor_id", flat=True)))


def is_own(person: Person, action: str) -> Q:
    """Return, for a query of places, the filter for those that `list_own_units` lists."""
    scopes = access.list_scopes(person, action)
    if not scopes:
        return Q(pk__in=[])
    now, former = programme_places.within(_ancestors_of_own(scopes))
    return Q(pk__in=now.values("descendant_id")) | Q(pk__in=former.values("predecessor_id"))


def _ancestors_of_own(scopes: Sequence[int]) -> Q:
    territories = Organisation.objects.filter(
        subject__contained_in__ancestor_id__in=scopes, territory__isnull=False
    ).values("territory_id")
    return Q(ancestor_id__in=scopes) | Q(ancestor_id__in=territories)


def _is_of_an_agency(person: Person, programme: Programme, actions: Sequence[str], **what: Any) -> bool:
    scopes = {scope for action in actions for scope in access.list_scopes(person, action)}
    return bool(scopes) and _duties_within(programme, scopes).filter(**what).exists()


def _duties_within(programme: Programme, scopes: Iterable[int]) -> QuerySet[Responsibility]:
    return programme.responsibilities.filter(
        organisation__isnull=False, organisation__subject__contained_in__ancestor_id__in=scopes
    )


def visible_units(person: Person, programme: Programme) -> set[int] | None:
    """Return the ids of the places whose assessments the person may read; None for all of them.

    All: who sees the territory, and the agencies that appraise. Others their own places, former ones included.
    At most two queries.
    """
    return None if sees_all(person, programme) else list_own_units(person, "view")


def sees_all(person: Person, programme: Programme) -> bool:
    """Return whether the person may read the assessments of all places. At most one query."""
    seen = _sees_all(person, programme)
    return seen is None or Plan.objects.filter(seen, pk=programme.plan_id).exists()


def _sees_all(person: Person, programme: Programme) -> Q | None:
    """Return the filter that lets any row through where the person reads of all places; None: certainly does."""
    scopes = access.list_scopes(person, "view")
    if access.sees_everything(person) or programme.plan.territory_id in scopes:
        return None
    above = Containment.objects.filter(ancestor_id__in=scopes, descendant_id=programme.plan.territory_id)
    return Q(Exists(above)) | Q(Exists(_duties_within(programme, scopes)))


def may_manage(person: Person, programme: Programme) -> bool:
    return access.may(person, "manage", programme.plan.territory_id, programme.plan.field)


def may_assess(
    person: Person, programme: Programme, unit: Subject, criterion: Criterion, sub_indicator: SubIndicator | None = None
) -> bool:
    """Return whether the person may assess: manages or reviews the territory, is the agency, or is the place itself."""
    territory, in_field = programme.plan.territory_id, programme.plan.field
    if access.may(person, "manage", territory, in_field) or access.may(person, "review", territory, in_field):
        return True
    if access.may(person, "enter", unit.pk) or unit.pk in list_own_units(person, "enter"):
        return True
    scopes = {scope for action in ("enter", "review") for scope in access.list_scopes(person, action)}
    wanted = Q(criterion=criterion)
    if sub_indicator is not None:
        wanted |= Q(sub_indicator=sub_indicator)
    return (
        programme.responsibilities.filter(wanted, organisation__subject__contained_in__ancestor_id__in=scopes).exists()
        if scopes
        else False
    )


def may_manage_sets(person: Person) -> bool:
    """Return whether the person keeps the sets of the whole country."""
    return access.sees_everything(person, "manage")


def list_profiles(unit: Subject) -> list[UnitProfile]:
    """Return what the place was and is for the thresholds, the latest first."""
    rows = UnitProfile.objects.filter(subject=unit)
    return sorted(rows, key=lambda row: row.valid_from or date.min, reverse=True)


def profile_text(profile: UnitProfile) -> str:
    """Return a profile in words: «vùng Duyên hải Nam Trung Bộ, nhóm 1, từ ngày 01/01/2026»."""
    names = {one.code: one.name for one in criteria_files.list_regions()}
    said = [f"vùng {names.get(profile.region, profile.region)}" if profile.region else ""]
    said.append(f"nhóm xã {profile.commune_group}" if profile.commune_group else "")
    text = ", ".join(filter(None, said)) or "không đặt vùng và nhóm riêng"
    if profile.valid_from:
        text += f", từ ngày {format_date(profile.valid_from)}"
    if profile.valid_to:
        text += f" đến trước ngày {format_date(profile.valid_to)}"
    return text


# --- criteria sets ----------------------------------------------------------------------------------------------


@dataclass
class SetLine:
    criterion: Criterion
    parts: list["PartLine"] = field(default_factory=list)


@dataclass
class PartLine:
    part: SubIndicator
    thresholds: list[Threshold] = field(default_factory=list)


def list_sets() -> list[CriteriaSet]:
    """Return the criteria sets, those in force first, with how much of each is known."""
    return list(
        CriteriaSet.objects.annotate(
            known_criteria=Count("criteria", distinct=True),
            known_parts=Count("criteria__sub_indicators", distinct=True),
        ).order_by("-valid_from", "level", "tier")
    )


def read_set(criteria_set: CriteriaSet) -> list[SetLine]:
    """Return the criteria of the set with sub-indicators and thresholds. Three queries."""
    lines = {one.pk: SetLine(one) for one in criteria_set.criteria.all()}
    parts: dict[int, PartLine] = {}
    for part in SubIndicator.objects.filter(criterion__in=lines).select_related("metric"):
        parts[part.pk] = PartLine(part)
        lines[part.criterion_id].parts.append(parts[part.pk])
    for row in Threshold.objects.filter(sub_indicator__in=parts).select_related("territory", "passage__document"):
        parts[row.sub_indicator_id].thresholds.append(row)
    return list(lines.values())


def required_text(comparator: str, amount: Decimal | None, text: str, unit: str) -> str:
    """Return what is asked, in words: as printed where a document says it, else from the number."""
    if text:
        return text
    if amount is None:
        return ""
    shown = format_number(amount.normalize() + 0)
    return f"{_COMPARED[comparator]} {shown}{'%' if unit == '%' else f' {unit}'.rstrip()}"


# --- assessments ------------------------------------------------------------------------------------------------


def list_years(programme: Programme) -> list[int]:
    """Return the years with assessments or positions, the newest first."""
    stated = programme.positions.order_by().values_list("year", flat=True)
    return sorted(programme.assessments.order_by().values_list("year", flat=True).union(stated), reverse=True)


@dataclass
class PartRow:
    """One sub-indicator (or a criterion as a whole) of a place: what is there, what is asked, what is missing."""

    part: SubIndicator | None
    criterion: Criterion
    assessment: Assessment | None
    threshold: Threshold | None = None
    agencies: list[str] = field(default_factory=list)

    @property
    def number(self) -> str:
        return self.part.number if self.part else self.criterion.number

    @property
    def name(self) -> str:
        return self.part.name if self.part else self.criterion.name

    @property
    def confidence(self) -> str:
        return self.part.confidence if self.part else self.criterion.confidence

    @property
    def result(self) -> str:
        return self.assessment.result if self.assessment else Result.NOT_ASSESSED

    @property
    def result_label(self) -> str:
        return str(Result(self.result).label)

    @property
    def tone(self) -> str:
        return TONES[Result(self.result)]

    @property
    def unit(self) -> str:
        return self.part.unit if self.part else ""

    @property
    def measured(self) -> str:
        row = self.assessment
        if row is None:
            return ""
        if row.measured is None:
            return row.measured_as_printed
        shown = format_number(row.measured.quantize(Decimal("0.01")).normalize() + 0)
        return f"{shown}{'%' if self.unit == '%' else f' {self.unit}'.rstrip()}"

    @property
    def required(self) -> str:
        row = self.assessment
        if row is not None and (row.required is not None or row.required_as_printed):
            return required_text(row.required_comparator, row.required, row.required_as_printed, self.unit)
        if self.threshold is not None:
            return required_text(self.threshold.comparator, self.threshold.amount, self.threshold.text, self.unit)
        return ""

    @property
    def gap(self) -> Decimal | None:
        row = self.assessment
        return criteria.gap(row.measured, row.required_comparator, row.required) if row else None

    @property
    def gap_text(self) -> str:
        gap = self.gap
        if not gap:
            return ""
        shown = format_number(gap.quantize(Decimal("0.01")).normalize() + 0)
        return f"{shown} {'điểm %' if self.unit == '%' else self.unit}".strip()


@dataclass
class Cell:
    """A place against one criterion. stated: the result is what a document says of the criterion, not of its parts."""

    criterion: Criterion
    result: str
    stated: bool = False
    rows: int = 0
    gap: Decimal | None = None  # of the worst sub-indicator, in its own unit

    @property
    def symbol(self) -> str:
        return SYMBOLS[Result(self.result)]

    @property
    def tone(self) -> str:
        return TONES[Result(self.result)]

    @property
    def label(self) -> str:
        return str(Result(self.result).label)


@dataclass
class MatrixRow:
    unit: Subject
    district: str
    cells: list[Cell]
    position: StatedPosition | None
    roadmap_year: int | None = None

    @property
    def met(self) -> int:
        return sum(cell.result == Result.MET for cell in self.cells)

    @property
    def not_met(self) -> int:
        return sum(cell.result == Result.NOT_MET for cell in self.cells)

    @property
    def unknown(self) -> int:
        return sum(cell.result == Result.NOT_ASSESSED for cell in self.cells)

    @property
    def missing(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.result == Result.NOT_MET]


@dataclass(frozen=True)
class MatrixFilter:
    set_key: str = ""
    year: int = 0
    district: int = 0
    agency: int = 0  # Responsibility.order
    show: str = ""  # "" named places, "all", "gap" only places that miss something
    roadmap_year: int = 0
    q: str = ""
    sort: str = ""  # "" by district and name, "gap" the most missing first


@dataclass
class Matrix:
    filters: MatrixFilter
    chosen: CriteriaSet | None
    sets: list[CriteriaSet]
    years: list[int]
    criteria: list[Criterion]
    rows: list[MatrixRow]
    districts: list[tuple[int, str]]
    agencies: list[tuple[int, str]]
    roadmap_years: list[int]
    hidden: int = 0  # places without any assessment, not shown


def _stated_results(position: StatedPosition | None) -> dict[str, str]:
    """Return what a position says of each criterion: those not met; the rest met only if the counts add up."""
    if position is None:
        return {}
    missing = {number.strip() for number in position.not_met_as_printed.replace(",", ";").split(";") if number.strip()}
    found = dict.fromkeys(missing, Result.NOT_MET.value)
    if position.met_count is not None and position.met_count + len(missing) == position.criteria_count:
        found[""] = Result.MET.value  # of every other criterion
    return found


def make_cell(criterion: Criterion, rows: Sequence[Assessment], stated: dict[str, str]) -> Cell:
    said = stated.get(criterion.number, stated.get("", ""))
    whole = next((row.result for row in rows if row.sub_indicator_id is None), said) or Result.NOT_ASSESSED
    parts = [criteria.Result(row.result) for row in rows if row.sub_indicator_id is not None]
    # A document lists what is missing: that all listed parts are met does not speak for those it leaves out.
    result = criteria.of_criterion(parts, criteria.Result(whole))
    gaps = [
        gap
        for row in rows
        if (gap := criteria.gap(row.measured, row.required_comparator, row.required)) is not None and gap > 0
    ]
    return Cell(criterion, result.value, not parts and bool(said), len(rows), max(gaps, default=None))


def read_matrix(programme: Programme, wanted: MatrixFilter, seen: Q | None) -> Matrix:
    """Return places × criteria of one set and year. Nine queries, however many places.

    seen: the filter for the places that the reader may see (`is_own`); None: all.
    """
    sets = list(programme.sets.order_by("level", "tier", "-valid_from"))
    years = list_years(programme)
    year = wanted.year or (years[0] if years else date.today().year)  # noqa: DTZ011 only a label where nothing is there
    chosen = next((one for one in sets if one.key == wanted.set_key), None)
    if chosen is None:
        chosen = next((one for one in sets if (one.level, one.tier) == ("COMMUNE", "BASIC")), sets[0] if sets else None)
    if chosen is None:
        return Matrix(wanted, None, [], years, [], [], [], [], [])
    columns = list(chosen.criteria.all())
    responsibilities = list(
        programme.responsibilities.filter(
            Q(criterion__criteria_set=chosen) | Q(sub_indicator__criterion__criteria_set=chosen)
        ).select_related("sub_indicator")
    )
    agencies = {row.order: row.agency_as_printed for row in responsibilities}
    if wanted.agency in agencies:
        of_agency = {
            row.criterion_id or row.sub_indicator.criterion_id  # type: ignore[union-attr]
            for row in responsibilities
            if row.order == wanted.agency
        }
        columns = [one for one in columns if one.pk in of_agency]
    level = {"COMMUNE": "COMMUNE", "DISTRICT": "DISTRICT", "PROVINCE": "PROVINCE"}[chosen.level]
    places = programme.units.filter(unit__level=level).select_related("unit__parent__subject").order_by("name")
    if seen is not None:
        places = places.filter(seen)
    assessed: dict[int, dict[int, list[Assessment]]] = {}
    for row in programme.assessments.filter(criterion__criteria_set=chosen, year=year).only(
        "programme_id",
        "unit_id",
        "criterion_id",
        "sub_indicator_id",
        "result",
        "measured",
        "required",
        "required_comparator",
    ):
        assessed.setdefault(row.unit_id, {}).setdefault(row.criterion_id, []).append(row)
    positions = {row.unit_id: row for row in programme.positions.filter(criteria_set=chosen, year=year)}
    roadmap = dict(
        programme.roadmap.filter(level=chosen.level, tier=chosen.tier, unit__isnull=False).values_list(
            "unit_id", "year"
        )
    )
    words = folding.fold(wanted.q).split()
    rows, hidden, districts = [], 0, {}
    for unit in places:
        parent = unit.unit.parent
        if parent is not None:
            districts[parent.pk] = parent.full_name
        if wanted.district and (parent is None or parent.pk != wanted.district):
            continue
        if wanted.roadmap_year and roadmap.get(unit.pk) != wanted.roadmap_year:
            continue
        if not all(word in folding.fold(unit.name) for word in words):
            continue
        its_rows, position = assessed.get(unit.pk, {}), positions.get(unit.pk)
        if not its_rows and position is None and wanted.show != "all" and not words:
            hidden += 1
            continue
        stated = _stated_results(position)
        cells = [make_cell(one, its_rows.get(one.pk, ()), stated) for one in columns]
        line = MatrixRow(unit, parent.full_name if parent else "", cells, position, roadmap.get(unit.pk))
        if wanted.show == "gap" and not line.not_met:
            continue
        rows.append(line)
    if wanted.sort == "gap":
        rows.sort(key=lambda line: (-line.not_met, line.unit.name))
    else:
        rows.sort(key=lambda line: (folding.fold(line.district), folding.fold(line.unit.name)))
    return Matrix(
        MatrixFilter(**{**wanted.__dict__, "set_key": chosen.key, "year": year}), chosen, sets, years, columns, rows,
        sorted(districts.items(), key=lambda pair: folding.fold(pair[1])), sorted(agencies.items()),
        sorted(set(roadmap.values())), hidden,
    )  # fmt: skip


def list_part_rows(
    programme: Programme, unit: Subject, year: int, *, criterion: Criterion | None = None,
    criteria_set: CriteriaSet | None = None, with_agencies: bool = True,
) -> list[PartRow]:  # fmt: skip
    """Return every sub-indicator of a criterion, set or level with what is known of the place, wholes first.

    unit: with its parents loaded (`get_unit`). Seven queries at most.
    """
    chosen = Criterion.objects.filter(criteria_set__programmes=programme)
    if criterion is None and criteria_set is None:
        chosen = chosen.filter(criteria_set__level=unit.unit.level)
    if criterion is not None:
        chosen = chosen.filter(pk=criterion.pk)
    if criteria_set is not None:
        chosen = chosen.filter(criteria_set=criteria_set)
    columns = list(chosen.select_related("criteria_set").order_by("criteria_set_id", "order"))
    parts: dict[int, list[SubIndicator]] = {}
    for part in SubIndicator.objects.filter(criterion__in=columns).select_related("metric", "criterion"):
        parts.setdefault(part.criterion_id, []).append(part)
    have = {
        (row.criterion_id, row.sub_indicator_id): row
        for row in programme.assessments.filter(unit=unit, year=year, criterion__in=columns).select_related(
            "agency__subject", "passage__document", "assessed_by", "value__metric"
        )
    }
    agencies: dict[tuple[str, int], list[str]] = {}
    for duty in programme.responsibilities.all() if with_agencies else ():
        if duty.criterion_id:
            agencies.setdefault(("criterion", duty.criterion_id), []).append(duty.agency_as_printed)
        if duty.sub_indicator_id:
            agencies.setdefault(("part", duty.sub_indicator_id), []).append(duty.agency_as_printed)
    place = programme_places.get_place(unit.unit, year)
    requirements = programme_places.read_requirements([part.pk for rows in parts.values() for part in rows])
    found = []
    for column in columns:
        whole = have.get((column.pk, None))
        of_all = agencies.get(("criterion", column.pk), [])
        if whole is not None or column.pk not in parts:
            found.append(PartRow(None, column, whole, None, of_all))
        for part in parts.get(column.pk, ()):
            found.append(
                PartRow(
                    part, column, have.get((column.pk, part.pk)), requirements.choose(part.pk, place, year),
                    agencies.get(("part", part.pk), []) or of_all,
                )
            )  # fmt: skip
    return found


# --- a place ----------------------------------------------------------------------------------------------------


@dataclass
class UnitSet:
    """A place against one set: what a document states of it as a whole, and what is missing."""

    criteria_set: CriteriaSet
    position: StatedPosition | None
    rows: list[PartRow]
    cells: list[Cell]

    @property
    def missing(self) -> list[PartRow]:
        """What is not met; a criterion as a whole only where none of its parts is named."""
        named = {row.criterion.pk for row in self.rows if row.part is not None and row.result == Result.NOT_MET}
        return [
            row
            for row in self.rows
            if row.result == Result.NOT_MET and (row.part is not None or row.criterion.pk not in named)
        ]

    @property
    def has_any(self) -> bool:
        return self.position is not None or any(row.assessment is not None for row in self.rows)

    @property
    def met(self) -> int:
        return sum(cell.result == Result.MET for cell in self.cells)

    @property
    def not_met(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.result == Result.NOT_MET]


def read_unit(programme: Programme, unit: Subject, year: int) -> list[UnitSet]:
    """Return the place against each set of its level that has criteria. At most seven queries."""
    rows = list_part_rows(programme, unit, year, with_agencies=False)
    positions = {row.criteria_set_id: row for row in programme.positions.filter(unit=unit, year=year)}
    sets = {row.criterion.criteria_set_id: row.criterion.criteria_set for row in rows}
    found = []
    for criteria_set in sorted(sets.values(), key=lambda one: one.valid_from or date.min, reverse=True):
        own = [row for row in rows if row.criterion.criteria_set_id == criteria_set.pk]
        stated = _stated_results(positions.get(criteria_set.pk))
        columns = {row.criterion.pk: row.criterion for row in own}
        cells = [
            make_cell(
                column, [row.assessment for row in own if row.criterion.pk == column.pk and row.assessment], stated
            )
            for column in columns.values()
        ]
        found.append(UnitSet(criteria_set, positions.get(criteria_set.pk), own, cells))
    return sorted(found, key=lambda one: one.criteria_set.tier)


def list_roadmap_of(programme: Programme, unit: Subject) -> list[RoadmapEntry]:
    return list(programme.roadmap.filter(unit=unit).select_related("passage__document").prefetch_related("changes"))


def list_dossiers_of(programme: Programme, unit: Subject) -> list[Dossier]:
    return list(programme.dossiers.filter(unit=unit).prefetch_related("events__by"))


# --- the agency -------------------------------------------------------------------------------------------------


@dataclass
class AgencyLine:
    order: int
    name: str
    organisation: Organisation | None
    duties: list[Responsibility]
    open: int = 0
    due: int = 0  # with a target quarter that has ended or ends within the quarter


@dataclass
class AgencyTask:
    """Something an agency has to appraise: a place that misses one of its criteria, by when."""

    unit: Subject
    district: str
    row: PartRow


def list_agencies(programme: Programme, units: set[int] | None, year: int, today: date) -> list[AgencyLine]:
    """Return the agencies of appendix 06 with how much waits for each in the year."""
    lines: dict[int, AgencyLine] = {}
    rows = list(
        programme.responsibilities.select_related(
            "organisation__subject", "criterion__criteria_set", "sub_indicator__criterion__criteria_set",
            "passage__document",
        )
    )  # fmt: skip
    for row in rows:
        line = lines.setdefault(row.order, AgencyLine(row.order, row.agency_as_printed, row.organisation, []))
        line.duties.append(row)
    missing = programme.assessments.filter(year=year, result=Result.NOT_MET)
    if units is not None:
        missing = missing.filter(unit_id__in=units)
    columns = missing.values_list("unit_id", "criterion_id", "sub_indicator_id", "target_quarter_start")
    named = {(unit_id, criterion_id) for unit_id, criterion_id, part_id, _ in columns if part_id is not None}
    counted = [row[1:] for row in columns if row[2] is not None or row[:2] not in named]
    for line in lines.values():
        mine = [target for criterion_id, part_id, target in counted if _is_duty(line.duties, criterion_id, part_id)]
        line.open = len(mine)
        line.due = sum(target is not None and target <= today for target in mine)
    return list(lines.values())


def _is_duty(duties: Iterable[Responsibility], criterion_id: int, part_id: int | None) -> bool:
    for duty in duties:
        if duty.sub_indicator_id is not None:
            if duty.sub_indicator_id == part_id:
                return True
            # What is not met as a whole concerns who appraises any of its parts.
            if part_id is None and duty.sub_indicator and duty.sub_indicator.criterion_id == criterion_id:
                return True
        elif duty.criterion_id == criterion_id:
            return True
    return False


def list_agency_tasks(
    programme: Programme, duties: Sequence[Responsibility], units: set[int] | None, year: int
) -> list[AgencyTask]:
    """Return what the agency has to see to in the year: places that miss its criteria, by quarter then place."""
    rows = programme.assessments.filter(year=year, result=Result.NOT_MET).select_related(
        "unit__unit__parent", "criterion__criteria_set", "sub_indicator", "passage__document"
    )
    if units is not None:
        rows = rows.filter(unit_id__in=units)
    every = list(rows)
    named = {(row.unit_id, row.criterion_id) for row in every if row.sub_indicator_id is not None}
    tasks = [
        AgencyTask(
            row.unit, row.unit.unit.parent.full_name if row.unit.unit.parent else "",
            PartRow(row.sub_indicator, row.criterion, row),
        )
        for row in every
        if _is_duty(duties, row.criterion_id, row.sub_indicator_id)
        and (row.sub_indicator_id is not None or (row.unit_id, row.criterion_id) not in named)
    ]  # fmt: skip
    far = date.max
    return sorted(
        tasks, key=lambda task: (task.row.assessment.target_quarter_start or far, folding.fold(task.unit.name))  # type: ignore[union-attr]
    )  # fmt: skip


# --- the roadmap ------------------------------------------------------------------------------------------------


@dataclass
class RoadmapYear:
    figures: criteria.YearOfRoadmap
    entries: list[RoadmapEntry]


@dataclass
class Roadmap:
    tier: str
    tiers: list[tuple[str, str, int]]
    years: list[RoadmapYear]
    total_printed: RoadmapTotal | None
    count: int
    changes: list[RoadmapChange]
    frozen_years: dict[int, int]  # entry: the year it had when the roadmap was frozen


def read_roadmap(programme: Programme, tier: str, level: str = "COMMUNE") -> Roadmap:
    """Return the roadmap of a tier by year, what it prints beside what its rows add up to. Five queries."""
    every = list(
        programme.roadmap.filter(level=level)
        .select_related("unit__unit__parent", "passage__document")
        .order_by("year", "id")
    )
    counts = {code: sum(one.tier == code for one in every) for code in CriteriaSet.Tier.values}
    entries = [one for one in every if one.tier == tier]
    totals = {row.year: row for row in programme.roadmap_totals.filter(level=level, tier=tier)}
    printed = {
        year: (row.count, row.cumulative, row.share_as_printed) for year, row in totals.items() if year is not None
    }
    figures = criteria.roadmap([one.year for one in entries], printed)
    changes = list(
        RoadmapChange.objects.filter(entry__programme=programme, entry__level=level, entry__tier=tier).select_related(
            "entry", "by"
        )
    )
    frozen: dict[int, int] = {}
    for change in changes:  # the newest first: the oldest after the freeze says what was frozen
        if change.after_freeze:
            frozen[change.entry_id] = change.from_year
    return Roadmap(
        tier, [(code, str(label), counts[code]) for code, label in CriteriaSet.Tier.choices],
        [RoadmapYear(row, [one for one in entries if one.year == row.year]) for row in figures],
        totals.get(None), len(entries), changes, frozen,
    )  # fmt: skip


@dataclass
class Merger:
    unit: Subject
    district: str
    became: list[programme_places.Became]
    entries: list[RoadmapEntry]

    @property
    def is_split(self) -> bool:
        return len(self.became) > 1


def list_mergers(programme: Programme, units: set[int] | None = None) -> list[Merger]:
    """Return what the mergers did to each place that is no longer there, with its entries of the roadmap."""
    places = programme.units.filter(valid_to__isnull=False).select_related("unit__parent").order_by("name")
    if units is not None:
        places = places.filter(pk__in=units)
    ended = list(places)
    became = programme_places.list_successors([unit.pk for unit in ended])
    entries: dict[int, list[RoadmapEntry]] = {}
    for entry in programme.roadmap.filter(unit__isnull=False):
        entries.setdefault(entry.unit_id, []).append(entry)  # type: ignore[arg-type]
    return [
        Merger(
            unit, unit.unit.parent.full_name if unit.unit.parent else "", became.get(unit.pk, []),
            entries.get(unit.pk, []),
        )
        for unit in ended
    ]  # fmt: skip


# --- the programme as a whole -----------------------------------------------------------------------------------


@dataclass
class TierSum:
    tier: str
    label: str
    planned: int
    recognised: int
    printed: int | None
    last_year: int | None


def sum_tiers(programme: Programme) -> list[TierSum]:
    """Return for each tier of communes how many the roadmap names, how many are recognised, and what it prints."""
    rows = list(programme.roadmap.filter(level="COMMUNE").values_list("tier", "year", "is_recognised"))
    printed = dict(programme.roadmap_totals.filter(level="COMMUNE", year__isnull=True).values_list("tier", "count"))
    found = []
    for code, label in CriteriaSet.Tier.choices:
        own = [(year, recognised) for tier, year, recognised in rows if tier == code]
        if not own and code not in printed:
            continue
        found.append(
            TierSum(
                code, str(label), len(own), sum(done for _, done in own), printed.get(code),
                max((year for year, _ in own), default=None),
            )
        )  # fmt: skip
    return found


@dataclass
class GoalLine:
    goal: CriterionGoal
    met: int
    assessed: int


def list_goals(programme: Programme, year: int) -> list[GoalLine]:
    """Return the shares that each criterion is to reach, beside how many assessed places meet it in the year."""
    goals = list(programme.goals.select_related("criterion__criteria_set", "passage__document"))
    counted: dict[int, dict[int, set[str]]] = {}
    for criterion_id, unit_id, result in programme.assessments.filter(year=year).values_list(
        "criterion_id", "unit_id", "result"
    ):
        counted.setdefault(criterion_id, {}).setdefault(unit_id, set()).add(result)
    found = []
    for goal in goals:
        units = counted.get(goal.criterion_id, {})
        found.append(GoalLine(goal, sum(results == {Result.MET} for results in units.values()), len(units)))
    return found


def list_discrepancies(programme: Programme) -> list[Discrepancy]:
    return list(
        Discrepancy.objects.filter(plan_id=programme.plan_id).select_related(
            "first_passage__document", "second_passage__document"
        )
    )


def list_unread(programme: Programme) -> list[UnreadRow]:
    return list(UnreadRow.objects.filter(plan_id=programme.plan_id))


def get_unit(person: Person, programme: Programme, key: str) -> Any:
    """Return a place of the programme with its parents and `is_own`: whether the person enters for it. One query.

    Raises Subject.DoesNotExist where it is not one, or not the reader's (`visible_units`).
    """
    places = programme.units.select_related("unit__parent__subject", "unit__parent__parent__parent")
    seen = _sees_all(person, programme)
    if seen is not None:
        places = places.filter(seen | is_own(person, "view"))
    own: Any = Value(False)
    if access.list_scopes(person, "enter"):
        own = ExpressionWrapper(is_own(person, "enter"), BooleanField())
    return places.annotate(is_own=own).get(key=key)


def list_programmes_of(person: Person, subject: Subject) -> list[Programme]:
    """Return the programmes that follow the place itself or a former place that it took in."""
    if subject.kind != Subject.Kind.UNIT:
        return []
    unit = AdministrativeUnit.objects.filter(pk=subject.pk).first()
    if unit is None:
        return []
    own = {subject.pk, *unit.predecessors.values_list("predecessor_id", flat=True)}
    return list(list_programmes(person).filter(units__in=own).distinct())


@dataclass
class PlaceLine:
    """What the page of a place shows of a programme: the place or one that it took in."""

    unit: Subject
    positions: list[StatedPosition]
    entries: list[RoadmapEntry]
    missing: int = 0


def list_places_of(programme: Programme, units: set[int]) -> list[PlaceLine]:
    """Return the programme's places among the units with what is stated, planned and missing. Four queries."""
    places = list(programme.units.filter(pk__in=units).select_related("unit").order_by("name")[:30])
    lines = {unit.pk: PlaceLine(unit, [], []) for unit in places}
    for position in programme.positions.filter(unit_id__in=lines).order_by("criteria_set_id", "-year"):
        lines[position.unit_id].positions.append(position)
    for entry in programme.roadmap.filter(unit_id__in=lines):
        lines[entry.unit_id].entries.append(entry)  # type: ignore[index]
    counts = programme.assessments.filter(unit_id__in=lines, result=Result.NOT_MET).order_by()
    for unit_id, missing in counts.values_list("unit_id").annotate(count=Count("criterion", distinct=True)):
        lines[unit_id].missing = missing
    return list(lines.values())
