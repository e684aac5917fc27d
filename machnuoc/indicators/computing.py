"""From facts to values: measures, indicators, sums over larger subjects, bands. Slice by slice, by columns.

A slice is one metric in one period. What is computed is compared with what is stored: new rows are inserted, changed
rows keep their former version in the history with the reason, equal rows are left alone. The rules are told in
docs/algorithms/aggregation.md; everything that computes is in the pure modules `formula`, `columns`, `aggregation`
and `bands`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from machnuoc.core.periods import Period
from machnuoc.indicators import aggregation, bands, columnar, columns, formula, providers
from machnuoc.indicators.models import BandScheme, Fact, FormulaVersion, Metric, Scenario, Value
from machnuoc.places import containment
from machnuoc.places.models import AdministrativeUnit, Containment, ParentLink, Subject

Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Frame:
    """The subjects that a metric is computed for, and the larger subjects that sum them.

    subject_ids: shape (n,), ascending. is_outside: what lies outside works: a part of a sum only where it has a figure.
    tree_row, tree_whole: pairs (row of a part, row of the work it is a part of), itself included. pair_row, pair_group:
    pairs (row of a root, number of a larger subject). group_ids: shape (g,).
    """

    subject_ids: Ids
    is_root: NDArray[np.bool_]
    is_outside: NDArray[np.bool_]
    tree_row: Ids
    tree_whole: Ids
    pair_row: Ids
    pair_group: Ids
    group_ids: Ids

    @property
    def has_trees(self) -> bool:
        return not bool(self.is_root.all())

    def list_pairs(self, present: NDArray[np.bool_]) -> tuple[Ids, Ids]:
        """Return pair_row and pair_group of the parts that a figure should stand on. present: shape (n,)."""
        if not self.is_outside.any():
            return self.pair_row, self.pair_group
        counts = (present | ~self.is_outside)[self.pair_row]
        return self.pair_row[counts], self.pair_group[counts]


def kinds_of_parts(kind: str) -> list[str]:
    """Return the kinds of subjects that figures of a kind are summed over: works, and what lies outside them."""
    return [kind, Subject.Kind.OUTSIDE] if kind == Subject.Kind.WORK else [kind]


# Which larger subjects sum which kind. A work may serve several communes, so it is not summed to any of them.
_WHOLES: dict[str, tuple[str, ...]] = {
    Subject.Kind.WORK: (Subject.Kind.ORGANISATION, Subject.Kind.UNIT, Subject.Kind.COUNTRY),
    Subject.Kind.UNIT: (Subject.Kind.UNIT, Subject.Kind.COUNTRY),
    Subject.Kind.URBAN_AREA: (Subject.Kind.UNIT, Subject.Kind.COUNTRY),
    Subject.Kind.ORGANISATION: (Subject.Kind.ORGANISATION, Subject.Kind.UNIT, Subject.Kind.COUNTRY),
    Subject.Kind.PROJECT: (Subject.Kind.ORGANISATION, Subject.Kind.UNIT, Subject.Kind.COUNTRY),
}


def load_frame(kind: str, day: date) -> Frame:
    """Return the frame of a subject kind as places, operators and works stood on the day."""
    subjects = Subject.objects.filter(kind__in=kinds_of_parts(kind))
    if kind == Subject.Kind.UNIT:
        subjects = subjects.filter(unit__level=AdministrativeUnit.Level.COMMUNE, unit__is_in_force=True)
    found = sorted(subjects.values_list("pk", "kind"))
    ids = np.array([pk for pk, _ in found], np.int64)
    trees: list[tuple[int, int]] = []
    if kind == Subject.Kind.WORK:
        trees = list(
            ParentLink.objects.filter(containment.valid_on(day), reason=ParentLink.Reason.PART_OF).values_list(
                "child_id", "parent_id"
            )
        )
    parents = dict(trees)
    is_root = np.array([subject_id not in parents for subject_id in ids.tolist()], np.bool_)
    row_of = {subject_id: row for row, subject_id in enumerate(ids.tolist())}
    tree_pairs = [(row, row) for row in range(len(ids))]
    for child in parents:
        whole = child
        while whole in parents:
            whole = parents[whole]
            if child in row_of and whole in row_of:
                tree_pairs.append((row_of[child], row_of[whole]))
    tree = np.array(tree_pairs, np.int64).reshape(-1, 2)

    wholes = set(
        Subject.objects.filter(kind__in=_WHOLES.get(kind, ()))
        .exclude(unit__level__in=[AdministrativeUnit.Level.COMMUNE, AdministrativeUnit.Level.DISTRICT])
        .values_list("pk", flat=True)
    )
    pairs = [
        (row_of[descendant], ancestor)
        for ancestor, descendant in containment.list_pairs(subjects, day)
        if ancestor in wholes and ancestor != descendant and descendant not in parents
    ]
    group_ids = np.array(sorted({ancestor for _, ancestor in pairs}), np.int64)
    group_of = {subject_id: number for number, subject_id in enumerate(group_ids.tolist())}
    return Frame(
        subject_ids=ids,
        is_root=is_root,
        is_outside=np.array([its_kind == Subject.Kind.OUTSIDE for _, its_kind in found], np.bool_),
        tree_row=tree[:, 0],
        tree_whole=tree[:, 1],
        pair_row=np.array([row for row, _ in pairs], np.int64),
        pair_group=np.array([group_of[ancestor] for _, ancestor in pairs], np.int64),
        group_ids=group_ids,
    )


def _with_former_units(frame: Frame, subject_ids: Ids, kind: str) -> Frame:
    """Return the frame with the units among the subjects that are no more, each on its own.

    A former district or province has no place in the containment that sums are made by; what was recorded of it in its
    own time is its own figure, and an indicator is made of it alone. Of places that are, sums are made of their parts.
    """
    known = np.concatenate([frame.subject_ids, frame.group_ids])
    others = subject_ids[~np.isin(subject_ids, known)]
    if kind != Subject.Kind.UNIT or not len(others):
        return frame
    former = np.array(
        sorted(
            Subject.objects.filter(pk__in=others.tolist(), kind=kind, unit__is_in_force=False).values_list(
                "pk", flat=True
            )
        ),
        np.int64,
    )
    if not len(former):
        return frame
    ids = np.sort(np.concatenate([frame.subject_ids, former]))
    moved = np.searchsorted(ids, frame.subject_ids)  # where each row of the frame stands now
    is_root = np.ones(len(ids), np.bool_)
    is_root[moved] = frame.is_root
    alone = np.searchsorted(ids, former)
    return Frame(
        subject_ids=ids,
        is_root=is_root,
        is_outside=np.zeros(len(ids), np.bool_),
        tree_row=np.concatenate([moved[frame.tree_row], alone]),
        tree_whole=np.concatenate([moved[frame.tree_whole], alone]),
        pair_row=moved[frame.pair_row],
        pair_group=frame.pair_group,
        group_ids=frame.group_ids,
    )


def last_day(period: Period) -> date:
    return period.end_date - timedelta(days=1)


@dataclass(eq=False)
class Computed:
    """A slice as it should be: arrays of shape (n,). Rows without a number carry a bound or class of their fact."""

    subject_ids: Ids
    numbers: NDArray[np.int64]
    present: NDArray[np.bool_]
    states: NDArray[np.int16]
    parts_present: Ids
    parts_total: Ids
    numerators: Ids | None = None
    denominators: Ids | None = None
    band_ids: Ids | None = None
    formula_id: int | None = None
    fact_of: dict[int, Fact] = field(default_factory=dict)  # subject → the fact that the row repeats


@dataclass
class Outcome:
    """How many rows of the value table were touched."""

    inserted: int = 0
    changed: int = 0
    unchanged: int = 0

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(self.inserted + other.inserted, self.changed + other.changed, self.unchanged + other.unchanged)


def compute_measure(metric: Metric, period: Period, scenario: str, *, now: datetime, reason: str) -> Outcome:
    """Compute one measure in one period: from facts or its provider, then its works' trees, then larger subjects."""
    frame = load_frame(metric.subject_kind, last_day(period))
    facts = _live_facts(metric, period, scenario)
    own = {subject: fact for subject, fact in facts.items() if fact.number is not None}
    given_apart: providers.Provided | None = None
    numbers = np.zeros(len(frame.subject_ids), np.int64)
    present = np.zeros(len(frame.subject_ids), np.bool_)
    states = np.zeros(len(frame.subject_ids), np.int16)
    if metric.source == Metric.Source.PROVIDED:
        if scenario != Scenario.ACTUAL:
            return Outcome()
        given = providers.provide(metric.key, period)
        # What a document states stands only where the records give nothing; so does what people enter, where they may.
        takes_entries, by_records = providers.takes_entries(metric.key), set(given.subject_ids.tolist())
        own = {subject: fact for subject, fact in own.items() if takes_entries and subject not in by_records}
        given_apart = _apart(frame, given)
        rows, known = _rows(frame, given.subject_ids)
        numbers[rows], states[rows], present[rows] = given.numbers[known], given.states[known], True
    else:
        _fill_from_finer(metric, frame, period, scenario, numbers, present, states)
    for subject_id, fact in own.items():
        row = int(np.searchsorted(frame.subject_ids, subject_id))
        if _is_in(frame, subject_id):
            numbers[row], states[row], present[row] = fact.number or 0, fact.state, True
    column = columns.Column(numbers, present, metric.decimals)
    parts_total = np.ones(len(numbers), np.int64)
    parts_present = present.astype(np.int64)
    if frame.has_trees and metric.parts_how != Metric.PartsHow.NONE:
        grouped = aggregation.aggregate(_take(column, frame.tree_row), frame.tree_whole, len(numbers), _how(metric))
        states = aggregation.combine_states(
            states[frame.tree_row], frame.tree_whole, len(numbers), present[frame.tree_row]
        ).astype(np.int16)
        states = np.maximum(states, 0)  # rows without a number: their state is never read
        column, parts_present, parts_total = grouped.column, grouped.parts_present, grouped.parts_total
        if metric.source == Metric.Source.PROVIDED:  # a room gives what there is: nothing is missing of a tree
            parts_total = np.maximum(parts_present, 1)
    computed = _whole(
        frame,
        column.values,
        column.present,
        states,
        parts_present,
        parts_total,
        _sum_wholes(metric, frame, column, states),
    )
    # A number that is one fact repeated points to it; sums point to their parts instead.
    alone = {subject for subject, fact in own.items() if _is_alone(frame, subject)}
    computed.fact_of = {subject: fact for subject, fact in own.items() if subject in alone}
    if given_apart is not None:
        _add_given(computed, given_apart)
    _add_stated(computed, facts, frame)
    return _store(metric, period, scenario, computed, now=now, reason=reason)


def compute_indicators(
    metrics: Sequence[Metric], period: Period, *, now: datetime, reason: str, frame: Frame | None = None
) -> Outcome:
    """Compute indicators in one period from the stored values of their measures, up to the country, with bands.

    metrics: of one subject kind, each after those it refers to. Reads each measure once.
    Raises formula.FormulaError if a stored formula no longer fits its measures.
    """
    outcome = Outcome()
    if not metrics:
        return outcome
    frame = frame or load_frame(metrics[0].subject_kind, last_day(period))
    versions = _formulas_in_force(metrics, period)
    plans = {metric.pk: _Plan.of(version) for metric in metrics if (version := versions.get(metric.pk)) is not None}
    wanted = sorted({reference for plan in plans.values() for reference in plan.references}, key=repr)
    inputs = _Inputs(frame, period, wanted)
    frame = inputs.frame = _with_former_units(frame, inputs.list_subjects(), metrics[0].subject_kind)
    for metric in metrics:
        plan = plans.get(metric.pk)
        facts = _live_facts(metric, period, Scenario.ACTUAL) if metric.source != Metric.Source.PROVIDED else {}
        if plan is None:
            if facts:
                computed = _nothing()
                _add_stated(computed, facts, frame)
                outcome += _store(metric, period, Scenario.ACTUAL, computed, now=now, reason=reason)
            continue
        computed = _apply(metric, plan, inputs, frame)
        _add_stated(computed, facts, frame)
        outcome += _store(metric, period, Scenario.ACTUAL, computed, now=now, reason=reason)
        inputs.forget(metric.key)
    return outcome


def store_stated(metric: Metric, period: Period, scenario: str, *, now: datetime, reason: str) -> Outcome:
    """Store what documents state for an indicator that nothing is computed for (a plan's figure, a bound, a class)."""
    computed = _nothing()
    _add_stated(computed, _live_facts(metric, period, scenario), load_frame(metric.subject_kind, last_day(period)))
    return _store(metric, period, scenario, computed, now=now, reason=reason)


def compute_sums_again(value: Value, version: FormulaVersion) -> tuple[int | None, int, int]:
    """Return number, numerator and denominator of a larger subject as its inputs give them now, without storing."""
    metric = value.metric
    period = Period(value.period_kind, value.period_start)  # type: ignore[arg-type]
    frame, plan = load_frame(metric.subject_kind, last_day(period)), _Plan.of(version)
    computed = _apply(metric, plan, _Inputs(frame, period, plan.references), frame)
    rows = np.flatnonzero(computed.subject_ids == value.subject_id)
    if len(rows) == 0 or computed.numerators is None or computed.denominators is None:
        return None, 0, 0
    row = rows[-1]  # a subject of the metric's own kind may sum others too: larger subjects stand last
    return int(computed.numbers[row]), int(computed.numerators[row]), int(computed.denominators[row])


# --- the parts --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """A formula version made ready: parsed once, with what it refers to."""

    version: FormulaVersion
    numerator: formula.Expression
    denominator: formula.Expression | None
    references: frozenset[formula.Reference]

    @classmethod
    def of(cls, version: FormulaVersion) -> "_Plan":
        numerator = formula.parse(version.numerator)
        denominator = formula.parse(version.denominator) if version.denominator else None
        references = formula.references(numerator)
        if denominator is not None:
            references |= formula.references(denominator)
        return cls(version, numerator, denominator, references)


class _Inputs:
    """The columns that formulas refer to, read once a period and laid on the rows of the frame."""

    def __init__(self, frame: Frame, period: Period, references: Iterable[formula.Reference]) -> None:
        self.frame, self.period = frame, period
        self._metrics = {
            metric.key: metric for metric in Metric.objects.filter(key__in={ref.key for ref in references})
        }
        self._slices: dict[tuple[str, date, str], dict[int, columnar.Slice]] = {}
        by_place: dict[tuple[str, date, str], list[int]] = {}
        for reference in references:
            by_place.setdefault(self._place(reference), []).append(self._metrics[reference.key].pk)
        for place, metric_ids in by_place.items():
            self._slices[place] = columnar.read_slices(sorted(set(metric_ids)), *place)

    def _place(self, reference: formula.Reference) -> tuple[str, date, str]:
        period = self.period
        if reference.baseline is not None:
            period = Period.parse(reference.baseline)
        elif reference.shift:
            period = period.shift(reference.shift)
        scenario = Scenario.PLAN if reference.scenario == "PLAN" else Scenario.ACTUAL
        return period.kind, period.start_date, scenario

    def list_subjects(self) -> Ids:
        """Return every subject that has a figure in what was read, ascending."""
        found = [one.subject_ids for slices in self._slices.values() for one in slices.values()]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)

    def forget(self, key: str) -> None:
        """Drop what was read of a metric that has been computed anew, so that those built on it read the new one."""
        metric = self._metrics.get(key)
        if metric is None:
            return
        place = (self.period.kind, self.period.start_date, Scenario.ACTUAL)
        if place in self._slices:
            self._slices[place] |= columnar.read_slices([metric.pk], *place) or {metric.pk: columnar.EMPTY}

    def column(self, reference: formula.Reference) -> tuple[columns.Column, NDArray[np.int16]]:
        metric = self._metrics[reference.key]
        found = self._slices[self._place(reference)].get(metric.pk, columnar.EMPTY)
        size = len(self.frame.subject_ids)
        rows, known = _rows(self.frame, found.subject_ids)
        if len(rows) == size:  # every subject has one: the slice is the column
            return columns.Column(found.numbers[known], np.ones(size, np.bool_), metric.decimals), found.states[known]
        numbers, present, states = np.zeros(size, np.int64), np.zeros(size, np.bool_), np.zeros(size, np.int16)
        numbers[rows], present[rows], states[rows] = found.numbers[known], True, found.states[known]
        return columns.Column(numbers, present, metric.decimals), states


def _apply(metric: Metric, plan: _Plan, inputs: _Inputs, frame: Frame) -> Computed:
    """Return the slice of one indicator: each subject of its kind, then sum over sum for each larger subject."""
    size = len(frame.subject_ids)
    read = {reference: inputs.column(reference) for reference in plan.references}
    given = {reference: column for reference, (column, _) in read.items()}
    states = np.zeros(size, np.int16)
    for _, its_states in read.values():
        states = np.maximum(states, its_states)
    numerator = columns.evaluate(plan.numerator, given, row_count=size)
    if plan.denominator is None:
        denominator = columns.constant(1, size)
    else:
        denominator = columns.evaluate(plan.denominator, given, row_count=size)
    result = columns.ratio(numerator, denominator, plan.version.factor, metric.decimals)
    present = result.present
    groups = len(frame.group_ids)
    complete = numerator.present & denominator.present
    pair_row, pair_group = frame.list_pairs(complete)
    if plan.denominator is None:
        grouped = aggregation.aggregate(_take(numerator, pair_row), pair_group, groups, _how(metric))
        group_num, group_den = grouped.column, columns.constant(1, groups)
        parts_present, parts_total = grouped.parts_present, grouped.parts_total
    else:
        sums = aggregation.sum_over_sum(_take(numerator, pair_row), _take(denominator, pair_row), pair_group, groups)
        group_num, group_den = sums.num, sums.den
        parts_present, parts_total = sums.parts_present, sums.parts_total
    group_result = columns.ratio(group_num, group_den, plan.version.factor, metric.decimals)
    group_states = aggregation.combine_states(states[pair_row], pair_group, groups, complete[pair_row]).astype(np.int16)
    keep, group_keep = np.flatnonzero(present), np.flatnonzero(group_result.present)
    return Computed(
        subject_ids=np.concatenate([frame.subject_ids[keep], frame.group_ids[group_keep]]),
        numbers=np.concatenate([result.values[keep], group_result.values[group_keep]]).astype(np.int64),
        present=np.ones(len(keep) + len(group_keep), np.bool_),
        states=np.concatenate([states[keep], group_states[group_keep]]),
        parts_present=np.concatenate([np.ones(len(keep), np.int64), parts_present[group_keep]]),
        parts_total=np.concatenate([np.ones(len(keep), np.int64), parts_total[group_keep]]),
        numerators=np.concatenate([numerator.values[keep], group_num.values[group_keep]]).astype(np.int64),
        denominators=np.concatenate([denominator.values[keep], group_den.values[group_keep]]).astype(np.int64),
        formula_id=plan.version.pk,
    )


def _rows(frame: Frame, subject_ids: Ids) -> tuple[Ids, Any]:
    """Return the rows of the frame that these subjects have, and which of them are there at all."""
    if len(subject_ids) == len(frame.subject_ids) and np.array_equal(subject_ids, frame.subject_ids):
        return np.arange(len(subject_ids)), slice(None)
    rows = np.searchsorted(frame.subject_ids, subject_ids)
    inside = rows < len(frame.subject_ids)
    inside[inside] = frame.subject_ids[rows[inside]] == subject_ids[inside]
    return rows[inside], inside


def _take(column: columns.Column, rows: Ids) -> columns.Column:
    return columns.Column(column.values[rows], column.present[rows], column.decimals)


def _how(metric: Metric) -> Any:
    return {"SUM": "sum", "COUNT": "count", "MIN": "min", "MAX": "max"}.get(metric.parts_how, "sum")


def _is_alone(frame: Frame, subject_id: int) -> bool:
    row = int(np.searchsorted(frame.subject_ids, subject_id))
    if row >= len(frame.subject_ids) or frame.subject_ids[row] != subject_id:
        return False
    return int((frame.tree_whole == row).sum()) == 1


def _nothing() -> Computed:
    empty = np.zeros(0, np.int64)
    return Computed(empty, empty, np.zeros(0, np.bool_), np.zeros(0, np.int16), empty, empty)


def _sum_wholes(
    metric: Metric, frame: Frame, column: columns.Column, states: NDArray[np.int16]
) -> tuple[aggregation.Grouped, NDArray[np.int16]] | None:
    if metric.parts_how == Metric.PartsHow.NONE or not len(frame.group_ids):
        return None
    pair_row, pair_group = frame.list_pairs(column.present)
    taken = _take(column, pair_row)
    grouped = aggregation.aggregate(taken, pair_group, len(frame.group_ids), _how(metric))
    combined = aggregation.combine_states(states[pair_row], pair_group, len(frame.group_ids), taken.present)
    return grouped, combined.astype(np.int16)


def _whole(
    frame: Frame,
    numbers: NDArray[Any],
    present: NDArray[np.bool_],
    states: NDArray[np.int16],
    parts_present: Ids,
    parts_total: Ids,
    wholes: tuple[aggregation.Grouped, NDArray[np.int16]] | None,
) -> Computed:
    keep = np.flatnonzero(present)
    found = [(frame.subject_ids[keep], numbers[keep], states[keep], parts_present[keep], parts_total[keep])]
    if wholes is not None:
        grouped, group_states = wholes
        there = np.flatnonzero(grouped.column.present)
        found.append(
            (
                frame.group_ids[there], grouped.column.values[there], group_states[there],
                grouped.parts_present[there], grouped.parts_total[there],
            )
        )  # fmt: skip
    subject_ids, values, its_states, its_present, its_total = (
        np.concatenate([part[number] for part in found]) for number in range(5)
    )
    return Computed(
        subject_ids, values.astype(np.int64), np.ones(len(values), np.bool_), its_states, its_present, its_total
    )


def _live_facts(metric: Metric, period: Period, scenario: str) -> dict[int, Fact]:
    facts = Fact.objects.filter(
        metric=metric, period_kind=period.kind, period_start=period.start_date, scenario=scenario,
        superseded_at__isnull=True,
    )  # fmt: skip
    return {fact.subject_id: fact for fact in facts}


def _fill_from_finer(
    metric: Metric,
    frame: Frame,
    period: Period,
    scenario: str,
    numbers: NDArray[np.int64],
    present: NDArray[np.bool_],
    states: NDArray[np.int16],
) -> None:
    """Lay what finer periods give (a year from its months) on the rows; facts of the period itself come on top."""
    if metric.time_how in {Metric.TimeHow.NONE, Metric.TimeHow.MEAN}:
        return
    kinds = [kind for kind in metric.period_kinds if kind != period.kind]
    finer = next((kind for kind in kinds if kind in "MQH" and period.kind in "YHQ" and _divides(kind, period.kind)), "")
    if not finer:
        return
    facts = Fact.objects.filter(
        metric=metric, period_kind=finer, scenario=scenario, superseded_at__isnull=True, number__isnull=False,
        period_start__gte=period.start_date, period_start__lt=period.end_date,
    ).values_list("subject_id", "number", "state", "period_start")  # fmt: skip
    rows = [row for row in facts if _is_in(frame, row[0])]
    if not rows:
        return
    where = np.searchsorted(frame.subject_ids, np.array([row[0] for row in rows], np.int64))
    size = len(frame.subject_ids)
    expected = np.full(size, len(period.split(finer)), np.int64)  # type: ignore[arg-type]
    given = columns.Column(np.array([row[1] for row in rows], np.int64), np.ones(len(rows), np.bool_), metric.decimals)
    how: Any = {"SUM": "sum", "LAST": "last"}[metric.time_how]
    starts = np.array([row[3].toordinal() for row in rows], np.int64)
    grouped = aggregation.over_time(given, where, expected, how, start=starts)
    weakest = aggregation.combine_states(np.array([row[2] for row in rows]), where, size).astype(np.int16)
    there = grouped.column.present
    numbers[there], present[there] = grouped.column.values[there], True
    states[there] = weakest[there]


def _divides(finer: str, coarser: str) -> bool:
    order = "MQHY"
    return finer in order and coarser in order and order.index(finer) < order.index(coarser)


def _is_in(frame: Frame, subject_id: int) -> bool:
    row = int(np.searchsorted(frame.subject_ids, subject_id))
    return row < len(frame.subject_ids) and int(frame.subject_ids[row]) == subject_id


def _formulas_in_force(metrics: Sequence[Metric], period: Period) -> dict[int, FormulaVersion]:
    found: dict[int, FormulaVersion] = {}
    for version in FormulaVersion.objects.filter(metric__in=metrics).order_by("metric_id", "version"):
        begun = version.valid_from is None or version.valid_from <= period.start_date
        ended = version.valid_to is not None and version.valid_to <= period.start_date
        if begun and not ended:
            found[version.metric_id] = version
    return found


def _apart(frame: Frame, given: providers.Provided) -> providers.Provided | None:
    """Return what a room gives of subjects that stand in no row of the frame and sum nothing: former units."""
    known = np.concatenate([frame.subject_ids, frame.group_ids])
    apart = ~np.isin(given.subject_ids, known)
    if not apart.any():
        return None
    return providers.Provided(given.subject_ids[apart], given.numbers[apart], given.states[apart])


def _add_given(computed: Computed, given: providers.Provided) -> None:
    ones = np.ones(len(given.subject_ids), np.int64)
    computed.subject_ids = np.concatenate([computed.subject_ids, given.subject_ids])
    computed.numbers = np.concatenate([computed.numbers, given.numbers])
    computed.present = np.concatenate([computed.present, ones.astype(np.bool_)])
    computed.states = np.concatenate([computed.states, given.states])
    computed.parts_present = np.concatenate([computed.parts_present, ones])
    computed.parts_total = np.concatenate([computed.parts_total, ones])


def _add_stated(computed: Computed, facts: dict[int, Fact], frame: Frame) -> None:
    """Add what a document or a person states for a subject as it is stated, number, bound or class.

    It stands where nothing is computed, or where what is computed covers only some of the parts.
    """
    row_of = {subject: row for row, subject in enumerate(computed.subject_ids.tolist())}
    added: list[Fact] = []
    for subject_id, fact in facts.items():
        row = row_of.get(subject_id)
        if row is None:
            added.append(fact)
        elif fact.number is not None and _is_partial(computed, row) and not _is_in(frame, subject_id):
            computed.numbers[row], computed.states[row] = fact.number, fact.state
            computed.parts_present[row] = computed.parts_total[row] = 1
            if computed.numerators is not None and computed.denominators is not None:
                computed.numerators[row] = computed.denominators[row] = -1
            computed.fact_of[subject_id] = fact
    if not added:
        return
    computed.fact_of |= {fact.subject_id: fact for fact in added}
    count = len(added)
    computed.subject_ids = np.concatenate([computed.subject_ids, [fact.subject_id for fact in added]]).astype(np.int64)
    computed.numbers = np.concatenate([computed.numbers, [fact.number or 0 for fact in added]]).astype(np.int64)
    computed.present = np.concatenate([computed.present, [fact.number is not None for fact in added]]).astype(np.bool_)
    computed.states = np.concatenate([computed.states, [fact.state for fact in added]]).astype(np.int16)
    ones = np.ones(count, np.int64)
    computed.parts_present = np.concatenate([computed.parts_present, ones])
    computed.parts_total = np.concatenate([computed.parts_total, ones])
    if computed.numerators is not None and computed.denominators is not None:
        computed.numerators = np.concatenate([computed.numerators, -ones])
        computed.denominators = np.concatenate([computed.denominators, -ones])


def _is_partial(computed: Computed, row: int) -> bool:
    return bool(computed.parts_present[row] < computed.parts_total[row])


# --- bands ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scheme:
    scope_ids: Ids | None  # subjects it holds for; None: everywhere
    bands: tuple[bands.Band, ...]
    ids: Ids


def _schemes(metric: Metric, period: Period) -> list[_Scheme]:
    """Return the band schemes in force, those of a territory last so that they win over the general one."""
    found: list[_Scheme] = []
    for scheme in BandScheme.objects.filter(metric=metric).prefetch_related("bands").order_by("-scope_id"):
        if scheme.valid_from and scheme.valid_from > period.start_date:
            continue
        if scheme.valid_to and scheme.valid_to <= period.start_date:
            continue
        rows = list(scheme.bands.all())
        scope = None
        if scheme.scope_id is not None:
            within = Containment.objects.filter(ancestor_id=scheme.scope_id).values_list("descendant_id", flat=True)
            scope = np.array(sorted(within), np.int64)
        found.append(
            _Scheme(scope, tuple(as_pure_band(row) for row in rows), np.array([row.pk for row in rows], np.int64))
        )
    return sorted(found, key=lambda scheme: scheme.scope_ids is not None)


def as_pure_band(row: Any) -> bands.Band:
    return bands.Band(row.code, row.label, row.lower, row.lower_inclusive, row.upper, row.upper_inclusive, row.severity)


def _classify(metric: Metric, period: Period, computed: Computed) -> Ids:
    """Return the band id of each row, -1 for none. Bounds have a band only where they lie in one entirely."""
    result = np.full(len(computed.subject_ids), -1, np.int64)
    for scheme in _schemes(metric, period):
        if not scheme.bands:
            continue
        column = columns.Column(computed.numbers, computed.present, metric.decimals)
        index = bands.classify_column(column, scheme.bands)
        applies = index >= 0
        if scheme.scope_ids is not None:
            applies &= np.isin(computed.subject_ids, scheme.scope_ids)
        result[applies] = scheme.ids[index[applies]]
        for row, subject_id in enumerate(computed.subject_ids.tolist()):
            fact = computed.fact_of.get(subject_id)
            if fact is None or fact.number is not None or (fact.low is None and fact.high is None):
                continue
            if scheme.scope_ids is not None and subject_id not in scheme.scope_ids:
                continue
            band = bands.classify_range(
                unscale(fact.low, metric.decimals), fact.low_open, unscale(fact.high, metric.decimals), fact.high_open,
                scheme.bands,
            )  # fmt: skip
            if band is not None:
                result[row] = scheme.ids[scheme.bands.index(band)]
    for row, subject_id in enumerate(computed.subject_ids.tolist()) if computed.fact_of else ():
        fact = computed.fact_of.get(subject_id)
        if fact is not None and fact.stated_band_id is not None:
            result[row] = fact.stated_band_id
    return result


def unscale(number: int | None, decimals: int) -> Decimal | None:
    """Return the number as a Decimal, or None.

    >>> unscale(179, 1)
    Decimal('17.9')
    """
    return None if number is None else Decimal(number).scaleb(-decimals)


# --- storing ----------------------------------------------------------------------------------------------------


def _store(metric: Metric, period: Period, scenario: str, computed: Computed, *, now: datetime, reason: str) -> Outcome:
    """Bring the stored slice to what is computed. Every row that changes leaves its former version in the history."""
    order = np.argsort(computed.subject_ids, kind="stable")
    band_ids = _classify(metric, period, computed)
    stored = columnar.read_stored(metric.pk, period.kind, period.start_date, scenario)
    if len(stored.ids) == 0:
        _insert(metric, period, scenario, computed, order, band_ids, now)
        return Outcome(inserted=len(order))
    position = np.searchsorted(stored.subject_ids, computed.subject_ids)
    known = position < len(stored.subject_ids)
    known[known] = stored.subject_ids[position[known]] == computed.subject_ids[known]
    fresh = order[~known[order]]
    _insert(metric, period, scenario, computed, fresh, band_ids, now)

    old = order[known[order]]
    at = position[old]
    minus = np.full(len(computed.subject_ids), -1, np.int64)
    numerators = computed.numerators if computed.numerators is not None else minus
    denominators = computed.denominators if computed.denominators is not None else minus
    facts = np.array(
        [fact.pk if (fact := computed.fact_of.get(subject)) else -1 for subject in computed.subject_ids.tolist()],
        np.int64,
    )
    formula_id = -1 if computed.formula_id is None else computed.formula_id
    # The state, coverage and source belong to the figure: a number that is now approved has changed too.
    differs = (
        (stored.numbers[at] != computed.numbers[old])
        | (stored.has_number[at] != computed.present[old])
        | (stored.states[at] != computed.states[old])
        | (stored.band_ids[at] != band_ids[old])
        | (stored.numerators[at] != numerators[old])
        | (stored.denominators[at] != denominators[old])
        | (stored.parts_present[at] != computed.parts_present[old])
        | (stored.parts_total[at] != computed.parts_total[old])
        | (stored.fact_ids[at] != facts[old])
        | (stored.formula_ids[at] != np.where(facts[old] >= 0, stored.formula_ids[at], formula_id))
    )
    gone = np.setdiff1d(np.flatnonzero(stored.parts_present > 0), at)
    changed = old[differs]
    ids = {int(stored.ids[position[row]]): int(row) for row in changed}
    _keep_history([*ids, *stored.ids[gone].tolist()], now, reason)
    rows = Value.objects.in_bulk([*ids, *stored.ids[gone].tolist()])
    for pk, row in ids.items():
        value = rows[pk]
        fact = computed.fact_of.get(value.subject_id)
        value.number = int(computed.numbers[row]) if computed.present[row] else None
        value.low, value.low_open = (fact.low, fact.low_open) if fact else (None, False)
        value.high, value.high_open = (fact.high, fact.high_open) if fact else (None, False)
        value.band_id = int(band_ids[row]) if band_ids[row] >= 0 else None
        value.state = int(computed.states[row])
        value.numerator = int(numerators[row]) if fact is None and computed.numerators is not None else None
        value.denominator = int(denominators[row]) if fact is None and computed.denominators is not None else None
        value.parts_present, value.parts_total = int(computed.parts_present[row]), int(computed.parts_total[row])
        value.fact = fact
        value.formula_id = computed.formula_id if fact is None else None
        value.version += 1
        value.computed_at = now
    for pk in stored.ids[gone].tolist():  # nothing is left to compute it from: it is missing now
        value = rows[pk]
        value.number = value.low = value.high = value.band_id = value.numerator = value.denominator = None
        value.fact = None
        value.low_open = value.high_open = False
        value.parts_present = 0
        value.version += 1
        value.computed_at = now
    Value.objects.bulk_update(
        rows.values(),
        [
            "number", "low", "low_open", "high", "high_open", "band", "state", "numerator", "denominator",
            "parts_present", "parts_total", "fact", "formula", "version", "computed_at",
        ],
        batch_size=200,
    )  # fmt: skip
    return Outcome(inserted=len(fresh), changed=len(rows), unchanged=len(old) - len(changed))


def _insert(
    metric: Metric, period: Period, scenario: str, computed: Computed, rows: Ids, band_ids: Ids, now: datetime
) -> None:
    plain = rows
    if computed.fact_of:
        is_fact = np.array([subject in computed.fact_of for subject in computed.subject_ids[rows].tolist()], np.bool_)
        plain = rows[~is_fact]
        Value.objects.bulk_create(
            [
                _value_of_fact(metric, period, scenario, computed, int(row), int(band_ids[row]), now)
                for row in rows[is_fact]
            ]
        )
    for chosen in (plain[band_ids[plain] >= 0], plain[band_ids[plain] < 0]):
        given: dict[str, object] = {
            "metric_id": metric.pk,
            "subject_id": computed.subject_ids[chosen],
            "period_kind": period.kind,
            "period_start": period.start_date,
            "scenario": str(scenario),
            "number": computed.numbers[chosen],
            "low_open": False,
            "high_open": False,
            "state": computed.states[chosen],
            "parts_present": computed.parts_present[chosen],
            "parts_total": computed.parts_total[chosen],
            "version": 1,
            "computed_at": now,
        }
        if len(chosen) and band_ids[chosen[0]] >= 0:
            given["band_id"] = band_ids[chosen]
        if computed.numerators is not None and computed.denominators is not None:
            given["numerator"] = computed.numerators[chosen]
            given["denominator"] = computed.denominators[chosen]
        if computed.formula_id is not None:
            given["formula_id"] = computed.formula_id
        columnar.insert_values(given, len(chosen))


def _value_of_fact(
    metric: Metric, period: Period, scenario: str, computed: Computed, row: int, band_id: int, now: datetime
) -> Value:
    fact = computed.fact_of[int(computed.subject_ids[row])]
    return Value(
        metric=metric, subject_id=fact.subject_id, period_kind=period.kind, period_start=period.start_date,
        scenario=scenario, number=int(computed.numbers[row]) if computed.present[row] else None, low=fact.low,
        low_open=fact.low_open, high=fact.high, high_open=fact.high_open, band_id=band_id if band_id >= 0 else None,
        state=fact.state, parts_present=int(computed.parts_present[row]), parts_total=int(computed.parts_total[row]),
        fact=fact, computed_at=now,
    )  # fmt: skip


def _keep_history(value_ids: list[int], now: datetime, reason: str) -> None:
    """Copy the rows as they stand into the history, in one statement a batch."""
    copied = (
        "version, number, low, high, band_id, state, numerator, denominator, parts_present, parts_total, formula_id, "
        "fact_id, computed_at"
    )
    for start in range(0, len(value_ids), 500):
        batch = value_ids[start : start + 500]
        marks = ",".join(["%s"] * len(batch))
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO indicators_valuechange (value_id, {copied}, replaced_at, reason) "  # noqa: S608
                f"SELECT id, {copied}, %s, %s FROM indicators_value WHERE id IN ({marks})",
                [connection.ops.adapt_datetimefield_value(now), reason[:200], *batch],
            )
