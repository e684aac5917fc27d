"""What reads metrics and figures: lists, rankings, series, warnings, changes. Filtered by scope first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Case, Count, Exists, F, OuterRef, Q, QuerySet, When
from django.db.models import Value as Literal
from django.db.models.functions import Coalesce

from machnuoc.core import folding, units, vietnamese
from machnuoc.core.figures import figure_text
from machnuoc.core.models import Person
from machnuoc.core.periods import Period
from machnuoc.indicators import computing, shown
from machnuoc.indicators.models import (
    Band,
    BandScheme,
    FormulaVersion,
    Metric,
    PeriodKind,
    Scenario,
    State,
    Value,
    ValueChange,
)
from machnuoc.places import access
from machnuoc.places.models import AdministrativeUnit, Containment, Subject

_NBSP = "\u00a0"
_KIND_ORDER = "YHQMWD"
_KINDS_SQL = " UNION ALL ".join(f"SELECT CAST('{kind}' AS varchar(1)) AS code" for kind in PeriodKind.values)
_SCENARIOS_SQL = " UNION ALL ".join(f"SELECT CAST('{code}' AS varchar(1)) AS code" for code in Scenario.values)
# What a figure needs to be shown without asking again.
SHOWN = ("metric", "subject", "band", "fact")

TOPICS = {
    "works": "Công trình và khách hàng",
    "losses": "Thất thoát, thất thu",
    "coverage": "Bao phủ dịch vụ",
    "rural": "Nước sạch nông thôn (bộ chỉ số)",
    "quality": "Chất lượng nước",
    "service": "Dịch vụ cấp nước",
    "safety": "Cấp nước an toàn",
    "digital": "Chuyển đổi số",
    "investment": "Đầu tư và giải ngân",
    "own": "Chỉ tiêu riêng",
}


def readable(person: Person) -> Q:
    """Return the condition on values that the person may read.

    Figures of subjects in scope, and of former units that these took in; those of provinces and of the country are
    published and open to all who sign in.
    """
    if access.sees_everything(person):
        return Q()
    published = Subject.objects.filter(
        Q(kind=Subject.Kind.COUNTRY) | Q(unit__level=AdministrativeUnit.Level.PROVINCE)
    ).values("pk")
    return (
        Q(subject_id__in=access.visible_subject_ids(person))
        | Q(subject_id__in=access.former_unit_ids(person))
        | Q(subject_id__in=published)
    )


def may_read(person: Person, subject: Subject) -> bool:
    if subject.kind == Subject.Kind.COUNTRY or access.sees_everything(person):
        return True
    if subject.kind != Subject.Kind.UNIT:
        return access.may(person, "view", subject)
    if subject.pk in access.list_scopes(person, "view"):
        return True
    seen = (
        Q(level=AdministrativeUnit.Level.PROVINCE)
        | Q(pk__in=access.visible_subject_ids(person))
        | Q(pk__in=access.former_unit_ids(person))
    )
    return AdministrativeUnit.objects.filter(seen, pk=subject.pk).exists()


def period_of(value: Value) -> Period:
    return Period(value.period_kind, value.period_start)  # type: ignore[arg-type]


def as_text(value: Value | ValueChange, metric: Metric) -> str:
    """Return the figure in words with its unit; also for a former version."""
    has_edges = value.number is not None or value.low is not None or value.high is not None
    return figure_text(
        value.number, value.low, getattr(value, "low_open", False), value.high, getattr(value, "high_open", False),
        metric.decimals, units.label(metric.unit), "" if has_edges or not value.band_id else value.band.label,  # type: ignore[union-attr]
    )  # fmt: skip


# --- metrics ----------------------------------------------------------------------------------------------------


def get_metric(key: str) -> Metric:
    return Metric.objects.select_related("passage__document").get(key=key)


def topic_of(metric: Metric) -> str:
    return metric.key.partition(".")[0]


@dataclass
class CatalogueRow:
    metric: Metric
    latest: Value | None = None
    plan: Value | None = None


@dataclass
class CatalogueGroup:
    title: str
    rows: list[CatalogueRow]


@dataclass(frozen=True, slots=True)
class _Newest:
    """Which figure is the newest of a subject, metric, kind of period and scenario."""

    metric_id: int
    subject_id: int
    kind: str
    scenario: str
    pk: int


def list_catalogue(visible_to: Person, *, query: str = "", kind: str = "", field: str = "") -> list[CatalogueGroup]:
    """Return all metrics by topic, indicators before measures, each with the newest figure of the reader's own scope.

    query: found anywhere in name, short name or key,
    whatever its diacritics. Two queries besides the metrics.
    """
    words = folding.fold(query).split()
    metrics = [
        metric
        for metric in Metric.objects.all()
        if (not kind or metric.kind == kind)
        and (not field or metric.field in {field, "ALL"})
        and all(
            word in folding.fold(f"{metric.name} {metric.short_name} {metric.key.replace('_', ' ')} {metric.key}")
            for word in words
        )
    ]
    rows = {metric.pk: CatalogueRow(metric) for metric in metrics}
    home = list_home_subject_ids(visible_to)
    rank = {subject_id: number for number, subject_id in enumerate(home)}
    chosen: dict[tuple[int, bool], _Newest] = {}
    for one in _find_newest(home):
        place = (one.metric_id, one.scenario == Scenario.PLAN)
        standing = chosen.get(place)
        if one.metric_id in rows and (standing is None or _preference(one, rank) < _preference(standing, rank)):
            chosen[place] = one
    for value in shown.read(Value.objects.filter(pk__in=[one.pk for one in chosen.values()])):
        setattr(rows[value.metric_id], "plan" if value.scenario == Scenario.PLAN else "latest", value)
    groups: list[CatalogueGroup] = []
    for its_kind in (Metric.Kind.INDICATOR, Metric.Kind.MEASURE):
        its_rows = [row for row in rows.values() if row.metric.kind == its_kind]
        topics = list(dict.fromkeys(topic_of(row.metric) for row in its_rows))
        for topic in sorted(topics, key=lambda one: list(TOPICS).index(one) if one in TOPICS else 99):
            title = f"{Metric.Kind(its_kind).label}: {TOPICS.get(topic, TOPICS['own']).lower()}"
            groups.append(CatalogueGroup(title, [row for row in its_rows if topic_of(row.metric) == topic]))
    return groups


def _preference(one: _Newest, rank: dict[int, int]) -> tuple[int, int]:
    """Return what decides between the newest figures of several subjects and kinds of period: own scope, coarse."""
    return rank[one.subject_id], _KIND_ORDER.index(one.kind)


def list_home_subject_ids(person: Person) -> list[int]:
    """Return the subjects of the person's grants, then their provinces: whose figures come first.

    The country follows for those who see all of it: elsewhere a sum of the few provinces that are here would pass for
    the figure of the nation.
    """
    scopes = list(dict.fromkeys(access.list_scopes(person, "view")))
    province = Q(unit__level=AdministrativeUnit.Level.PROVINCE, unit__is_in_force=True)
    if not access.sees_everything(person):
        around = province & Q(contains__descendant_id__in=scopes)
    else:  # who sees the whole country: it has few figures of its own
        around = province | Q(kind=Subject.Kind.COUNTRY)
    above = Subject.objects.filter(around).distinct().values_list("pk", "kind")
    rows = sorted(above, key=lambda row: (row[1] == Subject.Kind.COUNTRY, row[0]))
    return list(dict.fromkeys([*scopes, *(pk for pk, _ in rows)]))


def list_formulas(metric: Metric) -> list[FormulaVersion]:
    return list(metric.formulas.select_related("created_by", "passage__document").order_by("-version"))


Schemes = list[tuple[BandScheme, list[Band]]]


def list_band_schemes(metric: Metric) -> Schemes:
    """Return the band schemes of a metric with their bands, those in force first. One query."""
    found: dict[int, tuple[BandScheme, list[Band]]] = {}
    bands = Band.objects.filter(scheme__metric=metric).select_related("scheme__scope", "scheme__passage__document")
    for band in bands.order_by(F("scheme__valid_to").desc(nulls_first=True), "scheme_id", "order"):
        found.setdefault(band.scheme_id, (band.scheme, []))[1].append(band)
    return list(found.values())


# --- lists, rankings, series ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slice:
    """A period and scenario in which a metric has figures. count: how many of them, where it is known."""

    period: Period
    scenario: str
    count: int | None = field(default=None, compare=False)


def list_slices(metric: Metric, visible_to: Person) -> list[Slice]:
    """Return the periods and scenarios with figures the person may read, the newest first, coarse ones before fine."""
    if access.sees_everything(visible_to):
        rows: list[tuple[str, date, str, int | None]] = [(*row, None) for row in _walk_periods(metric)]
    else:
        values = Value.objects.filter(readable(visible_to), metric=metric).order_by()
        rows = list(values.values_list("period_kind", "period_start", "scenario").annotate(count=Count("pk")))
    found = [Slice(Period(kind, start), scenario, count) for kind, start, scenario, count in rows]  # type: ignore[arg-type]
    found.sort(key=lambda row: (_KIND_ORDER.index(row.period.kind), -row.period.start_date.toordinal(), row.scenario))
    return found


def count_figures(metric: Metric, kind: str, scenario: str, visible_to: Person) -> dict[date, int]:
    """Return how many figures the person may read in each period of the kind, by its first day."""
    values = Value.objects.filter(readable(visible_to), metric=metric, period_kind=kind, scenario=scenario).order_by()
    return dict(values.values_list("period_start").annotate(count=Count("pk")))


def newest_real(metric: Metric, slices: Sequence[Slice]) -> date | None:
    """Return the first day of the newest of these periods (of one kind and scenario) that is not all simulated."""
    starts = [row.period.start_date for row in slices]
    values = Value.objects.filter(metric=metric, period_kind=slices[0].period.kind, scenario=slices[0].scenario)
    values = values.filter(period_start__in=starts, state__lt=State.SIMULATED).order_by("-period_start")
    return values.values_list("period_start", flat=True).first()


def _walk_periods(metric: Metric) -> list[tuple[str, date, str]]:
    """Step from each kind and period to the next along the index, instead of reading the figures of all subjects."""
    table = Value._meta.db_table
    after = "metric_id = %s AND period_kind = walked.kind"
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE walked(kind, start) AS ("  # noqa: S608 - names of our own, values as parameters
            f"SELECT kinds.kind, (SELECT MIN(period_start) FROM {table} "
            "WHERE metric_id = %s AND period_kind = kinds.kind) "
            f"FROM (SELECT code AS kind FROM ({_KINDS_SQL}) AS codes) AS kinds "
            f"UNION ALL SELECT walked.kind, (SELECT MIN(period_start) FROM {table} "
            f"WHERE {after} AND period_start > walked.start) FROM walked WHERE walked.start IS NOT NULL"
            ") SELECT walked.kind, walked.start, scenarios.code FROM walked "
            f"CROSS JOIN ({_SCENARIOS_SQL}) AS scenarios WHERE walked.start IS NOT NULL AND "
            # not EXISTS, which PostgreSQL answers by reading every figure of the metric
            f"(SELECT 1 FROM {table} WHERE {after} AND period_start = walked.start "
            "AND scenario = scenarios.code LIMIT 1) IS NOT NULL",
            [metric.pk, metric.pk, metric.pk],
        )
        rows = cursor.fetchall()
    # SQLite keeps days as text.
    return [(kind, start if isinstance(start, date) else date.fromisoformat(start), code) for kind, start, code in rows]


def list_values(metric: Metric, period: Period, scenario: str, visible_to: Person) -> QuerySet[Value]:
    """Return the figures of one metric in one period that the person may read."""
    return Value.objects.filter(
        readable(visible_to), metric=metric, period_kind=period.kind, period_start=period.start_date, scenario=scenario
    ).select_related(*SHOWN, "subject__unit")


@dataclass(slots=True)
class RankRow:
    """One line of a ranking. place: from 1 among the numbers of the level, None for what is no number.

    The first fields are all that the order needs; value, plan and previous come with `dress_ranking`, for the lines
    that are shown.
    """

    pk: int
    number: int | None
    low: int | None
    high: int | None
    subject_id: int
    name: str
    kind: str
    unit_level: str | None
    place: int | None = None
    plan_number: int | None = None
    change: Decimal | None = None
    value: Value = None  # type: ignore[assignment]
    plan: Value | None = None
    previous: Value | None = None
    province: str = ""
    coverage: str = ""
    url: str = ""


LEVELS = {
    "part": "Từng nơi",
    "organisation": "Tổ chức",
    "province": "Tỉnh, thành phố",
    "country": "Cả nước",
}


def rank(
    metric: Metric,
    period: Period,
    scenario: str,
    visible_to: Person,
    *,
    level: str = "",
    province: Subject | None = None,
    organisation: Subject | None = None,
    band: str = "",
    query: str = "",
) -> list[RankRow]:
    """Return the ranking of `order_ranking` with everything in each line. Three queries, however many rows."""
    rows = order_ranking(
        metric, period, scenario, visible_to,
        level=level, province=province, organisation=organisation, band=band, query=query,
    )  # fmt: skip
    return dress_ranking(metric, period, scenario, rows)


def order_ranking(
    metric: Metric,
    period: Period,
    scenario: str,
    visible_to: Person,
    *,
    level: str = "",
    province: Subject | None = None,
    organisation: Subject | None = None,
    band: str = "",
    query: str = "",
) -> list[RankRow]:
    """Return the figures of a metric in order, best first by its direction; what is no number follows. One query.

    level: a key of LEVELS, "part" being the kind of subject that the metric is about. band: id of a band, or "none".
    """
    values = list_values(metric, period, scenario, visible_to).filter(at_level(metric, level))
    for within in (province, organisation):
        if within is not None:
            values = values.filter(subject__contained_in__ancestor=within)
    if band == "none":
        values = values.filter(band__isnull=True)
    elif band.isdigit():
        values = values.filter(band_id=int(band))
    words = folding.fold(query).split()
    columns = ("pk", "number", "low", "high", "subject_id", "subject__name", "subject__kind", "subject__unit__level")
    rows = [RankRow(*found) for found in values.values_list(*columns)]
    if words:
        rows = [row for row in rows if all(word in folding.fold(row.name) for word in words)]
    falling = metric.direction != Metric.Direction.LOWER
    rows.sort(key=lambda row: _rank_key(row, falling))
    return _give_places(rows)


def dress_ranking(metric: Metric, period: Period, scenario: str, rows: list[RankRow]) -> list[RankRow]:
    """Give the lines their figures, each with its plan and the former period beside it. Of few lines one query."""
    found: dict[int, Value] = {}
    plans: dict[int, Value] = {}
    previous: dict[int, Value] = {}
    if scenario == Scenario.ACTUAL and 0 < len(rows) <= _FEW:
        wanted = {row.pk for row in rows}
        around = _beside(period) | Q(scenario=scenario, period_start=period.start_date)
        values = Value.objects.filter(
            around, metric=metric, period_kind=period.kind, subject_id__in=[row.subject_id for row in rows]
        )
        for value in shown.read(values):
            if value.pk in wanted:
                found[value.pk] = value
            else:
                (plans if value.scenario == Scenario.PLAN else previous)[value.subject_id] = value
    else:
        found = _in_bulk([row.pk for row in rows], metric, period)
        if scenario == Scenario.ACTUAL and rows:
            for value in shown.read(Value.objects.filter(_beside(period), metric=metric, period_kind=period.kind)):
                (plans if value.scenario == Scenario.PLAN else previous)[value.subject_id] = value
    for row in rows:
        row.value = found[row.pk]
        row.plan, row.previous = plans.get(row.subject_id), previous.get(row.subject_id)
        row.change = _change(metric, row.number, row.previous.number if row.previous else None)
    return [row for row in rows if row.value is not None]


def compare_ranking(metric: Metric, period: Period, scenario: str, rows: list[RankRow]) -> None:
    """Give the lines the numbers that a ranking may be sorted by: of the plan, and the change. One query."""
    if scenario != Scenario.ACTUAL:
        return
    beside = Value.objects.filter(_beside(period), metric=metric, period_kind=period.kind, number__isnull=False)
    plans: dict[int, int] = {}
    previous: dict[int, int] = {}
    for subject_id, its_scenario, number in beside.values_list("subject_id", "scenario", "number"):
        (plans if its_scenario == Scenario.PLAN else previous)[subject_id] = number  # type: ignore[assignment]
    for row in rows:
        row.plan_number = plans.get(row.subject_id)
        row.change = _change(metric, row.number, previous.get(row.subject_id))


_FEW = 500  # ids that one statement names


def _in_bulk(ids: list[int], metric: Metric, period: Period) -> dict[int, Value]:
    if len(ids) <= _FEW:
        return {value.pk: value for value in shown.read(Value.objects.filter(pk__in=ids))}
    wanted = set(ids)
    every = Value.objects.filter(metric=metric, period_kind=period.kind, period_start=period.start_date)
    return {value.pk: value for value in shown.read(every) if value.pk in wanted}


def _beside(period: Period) -> Q:
    return Q(scenario=Scenario.PLAN, period_start=period.start_date) | Q(
        scenario=Scenario.ACTUAL, period_start=period.previous.start_date
    )


def _change(metric: Metric, number: int | None, before: int | None) -> Decimal | None:
    return None if number is None or before is None else Decimal(number - before).scaleb(-metric.decimals)


def _give_places(rows: list[RankRow]) -> list[RankRow]:
    """Number the rows as they stand; equal numbers share a place."""
    place, last = 0, None
    for number, row in enumerate(rows, 1):
        if row.number is None:
            row.place = None
            continue
        if row.number != last:
            place, last = number, row.number
        row.place = place
    return rows


def single_places(metric: Metric, rows: list[RankRow]) -> list[RankRow]:
    """Return of a ranking of all levels the rows of the kind that the metric is about, numbered anew."""
    commune = AdministrativeUnit.Level.COMMUNE
    return _give_places(
        [
            row
            for row in rows
            if row.kind in computing.kinds_of_parts(metric.subject_kind)
            and (metric.subject_kind != Subject.Kind.UNIT or row.unit_level == commune)
        ]
    )


def _rank_key(row: RankRow, falling: bool) -> tuple[Any, ...]:
    if row.number is None:
        edge = row.high if row.high is not None else row.low
        return 1, edge is None, (edge or 0), folding.sort_key(row.name)
    return 0, False, (-row.number if falling else row.number), folding.sort_key(row.name)


def at_level(metric: Metric, level: str) -> Q:
    """Return the condition on values for one level of subjects."""
    match level:
        case "part":
            condition = Q(subject__kind__in=computing.kinds_of_parts(metric.subject_kind))
            if metric.subject_kind == Subject.Kind.UNIT:
                condition &= Q(subject__unit__level=AdministrativeUnit.Level.COMMUNE)
            return condition
        case "organisation":
            return Q(subject__kind=Subject.Kind.ORGANISATION)
        case "province":
            return Q(subject__unit__level=AdministrativeUnit.Level.PROVINCE)
        case "country":
            return Q(subject__kind=Subject.Kind.COUNTRY)
    return Q()


def list_places_of(subject_ids: Sequence[int], level: str = AdministrativeUnit.Level.PROVINCE) -> dict[int, str]:
    """Return the name of the province (or other level) that each subject lies in."""
    pairs = Containment.objects.filter(ancestor__unit__level=level, ancestor__unit__is_in_force=True).values_list(
        "descendant_id", "ancestor__unit__full_name"
    )
    wanted = set(subject_ids)
    if len(wanted) <= 500:
        pairs = pairs.filter(descendant_id__in=wanted)
    return {descendant: name for descendant, name in pairs if descendant in wanted}


def list_ancestor_choices(
    metric: Metric, period: Period, scenario: str, visible_to: Person
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the provinces and the organisations (key, name) that hold subjects with a readable figure."""
    within = list_values(metric, period, scenario, visible_to).filter(subject__contained_in__ancestor=OuterRef("pk"))
    rows = Subject.objects.filter(
        Q(unit__level=AdministrativeUnit.Level.PROVINCE, unit__is_in_force=True) | Q(kind=Subject.Kind.ORGANISATION),
        Exists(within.order_by()),
    ).values_list("key", "name", "kind")
    if not access.sees_everything(visible_to):
        visible = Q(pk__in=access.visible_subject_ids(visible_to)) | ~Q(kind=Subject.Kind.ORGANISATION)
        rows = rows.filter(visible)
    found = sorted(rows, key=lambda row: folding.sort_key(row[1]))
    provinces = [(key, name) for key, name, kind in found if kind == Subject.Kind.UNIT]
    return provinces, [(key, name) for key, name, kind in found if kind == Subject.Kind.ORGANISATION]


def series(metric: Metric, subject: Subject, visible_to: Person, *, kind: str = "") -> list[Value]:
    """Return all figures of one metric and subject through time, the oldest first; kind: only periods of it."""
    if not may_read(visible_to, subject):
        return []
    values = Value.objects.filter(metric=metric, subject=subject)
    if kind:
        values = values.filter(period_kind=kind)
    rows = shown.read(values, subject)
    return sorted(rows, key=lambda value: (_KIND_ORDER.index(value.period_kind), value.period_start, value.scenario))


def list_other_periods(value: Value, *, limit: int = 12) -> list[Value]:
    """Return the same metric and subject in other periods of the kind, the newest first. The scope is the value's."""
    others = Value.objects.filter(
        metric_id=value.metric_id, subject_id=value.subject_id, period_kind=value.period_kind
    ).exclude(pk=value.pk)
    rows = shown.read(others.order_by("-period_start", "scenario")[:limit])
    return sorted(rows, key=lambda row: (-row.period_start.toordinal(), row.scenario))


# A sum that stands on less than half of its parts (the first station has reported) does not push out a fuller one.
# Neither does a simulated figure push out one that somebody has stated or measured.
_STANDS_ON_ENOUGH = Case(When(parts_total__lte=F("parts_present") * 2, state__lt=State.SIMULATED, then=1), default=0)


def _newest(values: QuerySet[Value]) -> QuerySet[Value]:
    """Keep of each metric, subject, scenario and kind of period the newest figure that stands on enough parts.

    Where none does, the newest one that says something.
    """
    better = Value.objects.annotate(is_enough=_STANDS_ON_ENOUGH).filter(
        Q(is_enough__gt=OuterRef("is_enough"))
        | Q(is_enough=OuterRef("is_enough"), period_start__gt=OuterRef("period_start")),
        subject_id=OuterRef("subject_id"), metric_id=OuterRef("metric_id"), period_kind=OuterRef("period_kind"),
        scenario=OuterRef("scenario"), parts_present__gt=0,
    )  # fmt: skip
    return values.annotate(is_enough=_STANDS_ON_ENOUGH).filter(~Exists(better), parts_present__gt=0)


@dataclass
class LatestRow:
    """The newest figure of one metric and kind of period, with what stands beside it."""

    metric: Metric
    value: Value | None = None
    plan: Value | None = None
    previous: Value | None = None


def latest(subject: Subject) -> list[LatestRow]:
    """Return the newest figures of a subject, one row a metric and kind of period. The caller has checked the scope."""
    return latest_and_years(subject)[0]


def latest_and_years(subject: Subject) -> tuple[list[LatestRow], list[Value]]:
    """Return the rows of `latest`, and the yearly numbers of their measures for charts.

    Three queries: which are the newest, these, and the figures of the periods before them with the years.
    """
    rows: dict[tuple[int, str], LatestRow] = {}
    newest = [one.pk for one in _find_newest([subject.pk])]
    for value in shown.read(Value.objects.filter(pk__in=newest), subject) if newest else ():
        row = rows.setdefault((value.metric_id, value.period_kind), LatestRow(value.metric))
        if value.scenario == Scenario.PLAN:
            row.plan = value
        else:
            row.value = value
    before: dict[tuple[int, str], date] = {}
    measures = {row.metric.pk for row in rows.values() if row.metric.kind == Metric.Kind.MEASURE}
    for place, row in rows.items():
        if row.value is not None:
            before[place] = period_of(row.value).previous.start_date
    # Of the periods before, a few more than wanted: naming metric and period of each costs more than reading them.
    wanted = Q(metric_id__in=measures, period_kind=PeriodKind.YEAR, number__isnull=False) | Q(
        metric_id__in={metric_id for metric_id, _ in before}, period_kind__in={kind for _, kind in before},
        period_start__in=set(before.values()), scenario=Scenario.ACTUAL,
    )  # fmt: skip
    years: list[Value] = []
    for value in shown.read(Value.objects.filter(wanted, subject=subject), subject) if rows else ():
        place = (value.metric_id, value.period_kind)
        if value.scenario == Scenario.ACTUAL and value.period_start == before.get(place):
            rows[place].previous = value
        is_told = value.number is not None and value.state != State.SIMULATED  # a chart has no room to say «mô phỏng»
        if value.period_kind == PeriodKind.YEAR and value.metric_id in measures and is_told:
            years.append(value)
    ordered = sorted(
        rows.values(),
        key=lambda row: (
            row.metric.kind != Metric.Kind.INDICATOR,
            row.metric.order,
            _KIND_ORDER.index((row.value or row.plan).period_kind),  # type: ignore[union-attr]
        ),
    )
    return ordered, years


def _find_newest(subject_ids: Sequence[int], *, kinds: str = _KIND_ORDER, keys: Sequence[str] = ()) -> list[_Newest]:
    """Return what `_newest` keeps, by one look into the index for each subject, metric, kind and scenario.

    A province has 60 months of each metric behind its newest one: asking of each whether a newer one exists reads all.
    """
    if not subject_ids:
        return []
    table, mark = Value._meta.db_table, "%s"
    of_one = (
        f"SELECT id FROM {table} AS one WHERE one.subject_id = subject.id AND one.metric_id = metric.id "  # noqa: S608
        "AND one.period_kind = kinds.code AND one.scenario = scenarios.code AND one.parts_present > 0"
    )
    last = "ORDER BY one.period_start DESC LIMIT 1"
    chosen_metrics = f"metric.key IN ({', '.join([mark] * len(keys))}) AND " if keys else ""
    # MIN, not LIMIT 1: PostgreSQL then steps to the first entry of the index even where there is none.
    sql = (
        "SELECT metric.id, subject.id, kinds.code, scenarios.code, COALESCE("  # noqa: S608
        f"({of_one} AND one.parts_total <= one.parts_present * 2 AND one.state < {State.SIMULATED:d} {last}), "
        f"({of_one} {last})) "
        f"FROM {Subject._meta.db_table} AS subject "
        f"CROSS JOIN {Metric._meta.db_table} AS metric CROSS JOIN ({_KINDS_SQL}) AS kinds "
        f"CROSS JOIN ({_SCENARIOS_SQL}) AS scenarios "
        f"WHERE {chosen_metrics}subject.id IN ({', '.join([mark] * len(subject_ids))}) "
        f"AND kinds.code IN ({', '.join([mark] * len(kinds))}) AND "
        f"(SELECT MIN(any_one.period_start) FROM {table} AS any_one WHERE any_one.metric_id = metric.id "
        "AND any_one.period_kind = kinds.code) IS NOT NULL"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [*keys, *subject_ids, *kinds])
        return [_Newest(*row) for row in cursor.fetchall() if row[-1] is not None]


def newest_of_first(metric_keys: Iterable[str], subject_ids: Sequence[int]) -> list[Value]:
    """Return the newest yearly figures, done and planned, of the first of these subjects that has any.

    The caller checks the scope. Two queries.
    """
    found = _find_newest(subject_ids, kinds=PeriodKind.YEAR, keys=list(metric_keys))
    there = {row.subject_id for row in found}
    first = next((subject_id for subject_id in subject_ids if subject_id in there), None)
    chosen = [row.pk for row in found if row.subject_id == first]
    return shown.read(Value.objects.filter(pk__in=chosen)) if chosen else []


def list_years(metric_keys: Iterable[str], subject: Subject) -> list[Value]:
    """Return the yearly numbers of these metrics and the subject. The caller has checked the scope."""
    values = Value.objects.filter(
        subject=subject, metric__key__in=list(metric_keys), period_kind=PeriodKind.YEAR, number__isnull=False,
        state__lt=State.SIMULATED,
    )  # fmt: skip
    return shown.read(values, subject)


# --- warnings and changes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Warning:
    """Something that a figure says by itself. kind: over_design, over_design_planned, band, bound or coverage."""

    kind: str
    severity: str
    sentence: str
    value: Value


_OVER = {"works.utilisation_households_pct": "over_design", "works.utilisation_planned_pct": "over_design_planned"}
_SEVERITY_ORDER = ("danger", "warning", "info", "good")


def list_warnings(visible_to: Person, *, within: Subject | None = None) -> list[Warning]:
    """Return what the newest yearly figures in the person's scope warn of, the gravest first.

    Households connected or planned above design; figures in a band that asks for action; bounds above the good band;
    indicators of an organisation or unit that only some of its parts have figures for. Three queries.
    """
    values = Value.objects.filter(period_kind="Y", scenario=Scenario.ACTUAL)
    scope = Q()
    if not access.sees_everything(visible_to):
        scope &= Q(subject_id__in=access.visible_subject_ids(visible_to))
    if within is not None:
        scope &= Q(subject__contained_in__ancestor=within)
    low_is_good = _good_bands().values("scheme__metric_id")
    kinds = (
        Q(metric__key__in=list(_OVER), subject__kind=Subject.Kind.WORK, numerator__gt=F("denominator")),
        # The metric is known from the band; said again, it lets the database go from the few bands to their figures.
        Q(band__severity=Band.Severity.DANGER, metric_id=F("band__scheme__metric_id")),
        Q(number__isnull=True, low__isnull=False, metric_id__in=low_is_good, band__isnull=True),
    )  # fmt: skip
    # The period in a form that no index has: by it all figures of the year would be read to find the few of some parts.
    # Where nobody asked anything nothing lacks.
    of_some_parts = Value.objects.annotate(kind=Coalesce("period_kind", Literal(""))).filter(
        ~Q(metric__key__startswith="requests."),
        parts_present__lt=F("parts_total"), metric__kind=Metric.Kind.INDICATOR, metric__unit="pct",
        subject__kind__in=[Subject.Kind.ORGANISATION, Subject.Kind.UNIT], kind="Y", scenario=Scenario.ACTUAL,
    )  # fmt: skip
    # One after the other, so that each finds its few figures by its index; together they would read all of them.
    first, *others = (
        warned.filter(scope).order_by().values_list("pk", flat=True)
        for warned in (*(values.filter(kind) for kind in kinds), of_some_parts)
    )
    ids = set(first.union(*others, all=True))
    if not ids:
        return []
    good_edges = _good_edges()
    values = Value.objects.filter(pk__in=ids)
    found: list[Warning] = []
    for value in shown.read(_newest(values)):
        found += _warnings_of(value, good_edges)
    found.sort(
        key=lambda row: (
            _SEVERITY_ORDER.index(row.severity),
            row.kind,
            -(row.value.number or row.value.low or 0),
            folding.sort_key(row.value.subject.name),
        )
    )
    return found


def _good_bands() -> QuerySet[Band]:
    """Return the good bands in force of metrics that should be low, with an upper edge."""
    return Band.objects.filter(
        severity=Band.Severity.GOOD, upper__isnull=False, scheme__valid_to__isnull=True,
        scheme__metric__direction=Metric.Direction.LOWER,
    )  # fmt: skip


def _good_edges() -> dict[int, Decimal]:
    """Return for each metric that should be low the upper edge of its good band."""
    edges: dict[int, Decimal] = {}
    for metric_id, upper in _good_bands().values_list("scheme__metric_id", "upper"):
        if upper is not None:
            edges[metric_id] = max(upper, edges.get(metric_id, upper))
    return edges


def _warnings_of(value: Value, good_edges: dict[int, Decimal]) -> list[Warning]:
    name, metric, period = value.subject.name, value.metric, period_of(value).label_inside_vi
    found: list[Warning] = []
    kind = _OVER.get(metric.key)
    if kind and value.subject.kind == Subject.Kind.WORK and (value.numerator or 0) > (value.denominator or 0):
        connected, design = vietnamese.format_number(value.numerator), vietnamese.format_number(value.denominator)
        what = "hộ đấu nối" if kind == "over_design" else "hộ theo kế hoạch"
        sentence = f"{name}: {connected} {what}, vượt thiết kế {design} hộ ({as_text(value, metric)}, {period})."
        found.append(Warning(kind, "danger" if kind == "over_design" else "warning", sentence, value))
    elif value.band is not None and value.band.severity == Band.Severity.DANGER:
        text = as_text(value, metric)
        told = "" if text == value.band.label else f" ({text})"
        sentence = f"{name}: {_inside(metric.short_name)} ở mức «{value.band.label}»{told}, {period}."
        found.append(Warning("band", "danger", sentence, value))
    elif value.number is None and value.low is not None and metric.pk in good_edges:
        low = Decimal(value.low).scaleb(-metric.decimals)
        if low >= good_edges[metric.pk]:
            edge = f"{vietnamese.format_number(good_edges[metric.pk])}{_NBSP}{units.label(metric.unit)}"
            said = f"{_inside(metric.short_name)} {as_text(value, metric)}"
            sentence = f"{name}: {said}, cao hơn mức tốt (đến {edge}), {period}."
            found.append(Warning("bound", "warning", sentence, value))
    if value.parts_present < value.parts_total and topic_of(metric) != "requests":
        sentence = (
            f"{name}: {_inside(metric.short_name)} mới tính trên {coverage_text(value)}, {period}; "
            "các nơi còn lại chưa có số liệu."
        )
        found.append(Warning("coverage", "info", sentence, value))
    return found


def _inside(name: str) -> str:
    return name[:1].lower() + name[1:]


_PART_NAMES = {
    Subject.Kind.WORK: "công trình",
    Subject.Kind.UNIT: "xã, phường",
    Subject.Kind.URBAN_AREA: "khu vực đô thị",
    Subject.Kind.ORGANISATION: "tổ chức",
    Subject.Kind.VILLAGE: "thôn",
    Subject.Kind.PROJECT: "dự án",
    Subject.Kind.COUNTRY: "nước",
}
_PLACES_OF_TOPIC = {"requests": "nơi"}  # works, and what belongs to an operator but to none of its works


def part_name(metric: Metric) -> str:
    """Return what the parts of the metric's sums are called: «công trình»."""
    return _PLACES_OF_TOPIC.get(topic_of(metric)) or _PART_NAMES[Subject.Kind(metric.subject_kind)]


def coverage_text(value: Value) -> str:
    """Return «29/29 công trình»; of the country «29/43 công trình có trong hệ thống», for there are others."""
    present, total = (vietnamese.format_number(number) for number in (value.parts_present, value.parts_total))
    known = " có trong hệ thống" if value.subject.kind == Subject.Kind.COUNTRY else ""
    return f"{present}/{total} {part_name(value.metric)}{known}"


@dataclass(frozen=True)
class Change:
    """A figure that changed, with its former version and a sentence."""

    value: Value
    before: ValueChange
    at: datetime
    sentence: str


def changes_since(visible_to: Person, at: datetime, *, limit: int = 50) -> list[Change]:
    """Return the figures in the person's scope that changed since the moment, the latest first."""
    rows = ValueChange.objects.filter(replaced_at__gte=at).select_related(
        "band", "value__metric", "value__subject", "value__band", "value__fact"
    )
    if not access.sees_everything(visible_to):
        rows = rows.filter(value__subject_id__in=access.visible_subject_ids(visible_to))
    found = []
    for row in rows.order_by("-replaced_at", "-pk")[:limit]:
        value, metric = row.value, row.value.metric
        period = period_of(value).label_inside_vi
        before, after = as_text(row, metric), as_text(value, metric) if value.version == row.version + 1 else ""
        step = f"{before} → {after}" if after and after != before else (after or before)
        sentence = f"{metric.short_name} của {value.subject.name}, {period}: {step}"
        found.append(Change(value, row, row.replaced_at, sentence))
    return found


def list_history(value: Value) -> list[ValueChange]:
    """Return the former versions of a value, the newest first."""
    return list(value.changes.select_related("band", "fact", "formula").order_by("-version"))
