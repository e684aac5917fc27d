"""What writes metrics, formulas, bands, facts and values."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db import connection, transaction

from machnuoc.core import audit, search, units
from machnuoc.core.models import Passage, Person, StoredFile
from machnuoc.core.periods import Period
from machnuoc.indicators import bands, computing, formula, providers
from machnuoc.indicators.models import (
    Band,
    BandScheme,
    DirtyRange,
    Fact,
    FormulaVersion,
    Metric,
    Scenario,
    State,
    Submission,
    Value,
)
from machnuoc.places.models import Subject

audit.describe("indicators.metric.saved", "lưu chỉ tiêu {target}")


def _metric_names(keys: set[str]) -> dict[str, str]:
    return {key: f"«{name}»" for key, name in Metric.objects.filter(key__in=keys).values_list("key", "name")}


audit.describe("indicators.formula.saved", "đặt công thức {metric}, phiên bản {version}", metric=_metric_names)
audit.describe("indicators.bands.saved", "đặt bộ mức {target}: {count} mức")
audit.describe("indicators.fact.stated", "ghi nhận số liệu {metric} kỳ {period}", metric=_metric_names)
audit.describe("indicators.fact.withdrawn", "rút số liệu {metric} kỳ {period}", metric=_metric_names)


LONGEST_REST_S = 0.03  # SQLite: writers that wait look again after 1, 2, 5, 10, 15, 20, 25 ms …
_MARKS_AT_ONCE = 500
_LABELS = {"unit": "đơn vị", "decimals": "số lẻ", "subject_kind": "loại nơi được tính"}


class IndicatorsError(ValueError):
    """An act on metrics or figures that cannot be done; the text says why and what to do."""


# --- metrics, formulas, bands -----------------------------------------------------------------------------------


@transaction.atomic
def put_metric(*, key: str, by: Person | None = None, **fields: object) -> Metric:
    """Create the metric of this key or bring it to what is said here. Idempotent.

    Raises UnknownUnit for a unit that the program does not keep, IndicatorsError where stored numbers would change
    their meaning (another unit, number of decimals or kind of subject).
    """
    units.get_unit(str(fields["unit"]))
    metric = Metric.objects.filter(key=key).first()
    if metric is None:
        metric = Metric.objects.create(key=key, **fields)
        audit.record("indicators.metric.saved", actor=by, target=metric, created=True)
        _index(metric)
        return metric
    changed = {name: value for name, value in fields.items() if getattr(metric, name) != value}
    if not changed:
        return metric
    for name in {"unit", "decimals", "subject_kind"} & changed.keys():
        if Fact.objects.filter(metric=metric).exists() or Value.objects.filter(metric=metric).exists():
            raise IndicatorsError(
                f"Không đổi được {_LABELS[name]} của «{metric.name}»: đã có số liệu. Tạo chỉ tiêu mới với khóa khác."
            )
    for name, value in changed.items():
        setattr(metric, name, value)
    metric.save()
    audit.record("indicators.metric.saved", actor=by, target=metric, created=False)
    _index(metric)
    return metric


def _index(metric: Metric) -> None:
    from django.urls import reverse

    search.put(
        "metric", metric.pk, title=metric.name, subtitle=metric.get_kind_display(),
        url=reverse("indicators:detail", args=[metric.key]), text=f"{metric.name} {metric.short_name} {metric.key}",
        weight=28 if metric.kind == Metric.Kind.INDICATOR else 12,
    )  # fmt: skip


def list_measure_types() -> dict[str, formula.MeasureType]:
    """Return what a formula may speak of: every metric by key."""
    return {
        key: formula.MeasureType(unit, decimals)
        for key, unit, decimals in Metric.objects.values_list("key", "unit", "decimals")
    }


@dataclass(frozen=True)
class CheckedFormula:
    """A formula that may be used for a metric: the decimals of its two columns, and what it refers to."""

    numerator_decimals: int
    denominator_decimals: int
    references: frozenset[formula.Reference]


def check_formula(metric: Metric, *, numerator: str, denominator: str = "", factor: int = 1) -> CheckedFormula:
    """Return what a formula of the metric refers to. Raises formula.FormulaError (syntax, measure, units, circle)."""
    types = list_measure_types()
    num = formula.parse(numerator)
    num_type = formula.check(num, types)
    references = formula.references(num)
    dimension = num_type.dimension
    den_decimals = 0
    if denominator:
        den = formula.parse(denominator)
        den_type = formula.check(den, types)
        references |= formula.references(den)
        dimension = units.divide(num_type.dimension, den_type.dimension)
        den_decimals = den_type.decimals
    _check_result_unit(metric, dimension, factor)
    _check_circle(metric, references)
    kinds = set(Metric.objects.filter(key__in={ref.key for ref in references}).values_list("subject_kind", flat=True))
    if kinds - {metric.subject_kind}:
        raise formula.FormulaError(
            f"Công thức của «{metric.name}» dùng đại lượng tính cho đối tượng khác loại "
            f"({', '.join(sorted(Subject.Kind(kind).label for kind in kinds))}). Dùng đại lượng cùng loại đối tượng."
        )
    return CheckedFormula(num_type.decimals, den_decimals, references)


@transaction.atomic
def put_formula(
    metric: Metric,
    *,
    numerator: str,
    denominator: str = "",
    factor: int = 1,
    from_date: date | None = None,
    passage: Passage | None = None,
    by: Person | None = None,
    now: datetime,
) -> FormulaVersion:
    """Give the indicator this formula, from a day on; the version before it ends there. Idempotent.

    Raises formula.FormulaError (syntax, unknown measure, units, circle) and marks what must be computed anew.
    """
    checked = check_formula(metric, numerator=numerator, denominator=denominator, factor=factor)
    live = FormulaVersion.objects.select_for_update().filter(metric=metric, valid_to__isnull=True).first()
    same = live is not None and (live.numerator, live.denominator, live.factor) == (numerator, denominator, factor)
    if live is not None and same:
        return live
    if live is not None:
        if from_date is None or (live.valid_from is not None and from_date <= live.valid_from):
            raise IndicatorsError(
                f"Công thức mới của «{metric.name}» cần ngày bắt đầu áp dụng, sau ngày bắt đầu của công thức hiện hành."
            )
        live.valid_to = from_date
        live.save(update_fields=["valid_to"])
    version = FormulaVersion.objects.create(
        metric=metric, version=(live.version + 1 if live else 1), numerator=numerator, denominator=denominator,
        factor=factor, numerator_decimals=checked.numerator_decimals,
        denominator_decimals=checked.denominator_decimals, valid_from=from_date,
        passage=passage, created_by=by, created_at=now,
    )  # fmt: skip
    audit.record("indicators.formula.saved", actor=by, target=version, metric=metric.key, version=version.version)
    mark_dirty(
        metric, from_date=from_date or date.min, to_date=date.max, reason=f"công thức {metric.key} v{version.version}"
    )
    return version


def _check_result_unit(metric: Metric, dimension: object, factor: int) -> None:
    """Raise UnitMismatch unless factor × dimension is the metric's unit (a share times 100 is a percentage)."""
    wanted = units.get_dimension(metric.unit)
    found = units.find_unit(dimension)  # type: ignore[arg-type]
    if metric.unit == "pct":
        if units.is_dimensionless(dimension) and factor == 100:  # type: ignore[arg-type]
            return
    elif dimension == wanted or _converts(dimension, wanted, factor):  # type: ignore[arg-type]
        return
    has = found.label_vi if found else str(dimension)
    raise formula.UnitMismatch(
        f"Công thức của «{metric.name}» cho đơn vị «{has or 'không có đơn vị'}» (hệ số {factor}), "
        f"nhưng chỉ tiêu khai báo «{units.label(metric.unit)}». Sửa công thức, hệ số hoặc đơn vị."
    )


def _converts(found: units.Dimension, wanted: units.Dimension, factor: int) -> bool:
    """Return whether the factor brings the one unit to the other: 1 000 makes litres of m³."""
    return found.powers == wanted.powers and found.scale == factor * wanted.scale


def _check_circle(metric: Metric, references: Iterable[formula.Reference]) -> None:
    graph = {key: keys for key, keys in _graph().items() if key != metric.key}
    graph[metric.key] = frozenset(ref.key for ref in references)
    formula.order(graph)


def _graph() -> dict[str, frozenset[str]]:
    """Return which metrics each indicator's live formula refers to."""
    graph = {}
    for version in FormulaVersion.objects.filter(valid_to__isnull=True).select_related("metric"):
        graph[version.metric.key] = frozenset(reference.key for reference in _references(version))
    return graph


def _references(version: FormulaVersion) -> frozenset[formula.Reference]:
    found = formula.references(formula.parse(version.numerator))
    if version.denominator:
        found |= formula.references(formula.parse(version.denominator))
    return found


@transaction.atomic
def put_band_scheme(
    metric: Metric,
    *,
    name: str,
    levels: Sequence[bands.Band],
    scope: Subject | None = None,
    valid_from: date | None = None,
    passage: Passage | None = None,
    by: Person | None = None,
) -> BandScheme:
    """Give the metric these bands in the scope, from a day on; the bands before them end there. Idempotent.

    Raises bands.BandError for a gap or an overlap, IndicatorsError where bands stand already and the new ones name no
    later day.
    """
    bands.validate(levels)
    live = BandScheme.objects.select_for_update().filter(metric=metric, scope=scope, valid_to__isnull=True).first()
    if live is not None:
        if [computing.as_pure_band(row) for row in live.bands.all()] == list(levels):
            return live
        if valid_from is None or (live.valid_from is not None and valid_from <= live.valid_from):
            raise IndicatorsError(
                f"«{metric.name}» đã có bộ mức «{live.name}» đang áp dụng ở phạm vi này. "
                "Bộ mức mới cần ngày bắt đầu áp dụng, sau ngày bắt đầu của bộ mức đó."
            )
        live.valid_to = valid_from
        live.save(update_fields=["valid_to"])
    scheme = BandScheme.objects.create(metric=metric, scope=scope, name=name, valid_from=valid_from, passage=passage)
    Band.objects.bulk_create(
        [
            Band(
                scheme=scheme, order=order, code=level.code, label=level.label_vi, severity=level.severity,
                lower=level.lower, lower_inclusive=level.lower_inclusive, upper=level.upper,
                upper_inclusive=level.upper_inclusive,
            )
            for order, level in enumerate(levels)
        ]
    )  # fmt: skip
    audit.record("indicators.bands.saved", actor=by, target=scheme, metric=metric.key, count=len(levels))
    mark_dirty(metric, from_date=valid_from or date.min, to_date=date.max, reason=f"bộ mức của {metric.key}")
    return scheme


# --- facts ------------------------------------------------------------------------------------------------------


def scale(number: Decimal, metric: Metric) -> int:
    """Return the number in whole last decimals of the metric. Raises IndicatorsError if it has more decimals."""
    scaled = number.scaleb(metric.decimals)
    if scaled != scaled.to_integral_value():
        places = f"{metric.decimals} chữ số thập phân" if metric.decimals else "là số nguyên"
        raise IndicatorsError(
            f"«{metric.short_name}» chỉ nhận {places}; số đã nhập có nhiều hơn. Làm tròn rồi nhập lại."
        )
    result = int(scaled)
    if abs(result) >= 2**63:
        raise IndicatorsError(f"«{metric.short_name}»: số quá lớn. Kiểm tra lại đơn vị ({units.label(metric.unit)}).")
    return result


@transaction.atomic
def state_fact(
    *,
    metric: Metric,
    subject: Subject,
    period: Period,
    scenario: str = Scenario.ACTUAL,
    number: Decimal | None = None,
    low: Decimal | None = None,
    low_open: bool = False,
    high: Decimal | None = None,
    high_open: bool = False,
    band: Band | None = None,
    state: State,
    qualifier: str = "",
    note: str = "",
    passage: Passage | None = None,
    submission: Submission | None = None,
    import_file: StoredFile | None = None,
    import_cell: str = "",
    by: Person | None = None,
    now: datetime,
    recorded_in_bulk: bool = False,
) -> Fact:
    """Record what a person or document states; a different statement before it is superseded, never edited. Idempotent.

    number, low, high are in the metric's unit. Marks the figure dirty; call recompute_dirty afterwards.
    recorded_in_bulk: the caller writes one audit row for all. Raises IndicatorsError.
    """
    is_kept = metric.source == Metric.Source.PROVIDED and not providers.takes_entries(metric.key)
    if is_kept and passage is None:  # a document may tell of periods before the records
        raise IndicatorsError(f"«{metric.name}» do hệ thống tự lấy từ hồ sơ, không nhập được.")
    if period.kind not in metric.period_kinds:
        raise IndicatorsError(f"«{metric.name}» không có số liệu theo kỳ «{period.label_vi}».")
    said: dict[str, object] = {
        "number": None if number is None else scale(number, metric),
        "low": None if low is None else scale(low, metric),
        "low_open": low_open,
        "high": None if high is None else scale(high, metric),
        "high_open": high_open,
        "stated_band_id": band.pk if band else None,
        "state": int(state),
        "qualifier": qualifier,
        "note": note,
        "passage_id": passage.pk if passage else None,
        "submission_id": submission.pk if submission else None,
    }
    live = (
        Fact.objects.select_for_update()
        .filter(
            metric=metric, subject=subject, period_kind=period.kind, period_start=period.start_date, scenario=scenario,
            superseded_at__isnull=True,
        )
        .first()
    )  # fmt: skip
    if live is not None and all(getattr(live, name) == value for name, value in said.items()):
        return live
    if live is not None:
        live.superseded_at = now
        live.save(update_fields=["superseded_at"])
    fact = Fact.objects.create(
        metric=metric, subject=subject, period_kind=period.kind, period_start=period.start_date, scenario=scenario,
        import_file=import_file, import_cell=import_cell, recorded_by=by, recorded_at=now, **said,
    )  # fmt: skip
    if live is not None:
        Fact.objects.filter(pk=live.pk).update(superseded_by=fact)
    if not recorded_in_bulk:
        audit.record("indicators.fact.stated", actor=by, target=fact, metric=metric.key, period=period.key)
    mark_dirty(
        metric, subject=subject, period=period,
        reason=f"{'số liệu mới' if live is None else 'sửa số liệu'}: {describe_place(metric, period)}",
    )  # fmt: skip
    return fact


def describe_place(metric: Metric, period: Period) -> str:
    """Return which figure is meant, as people say it: «Số hộ đấu nối, tháng 07/2026»."""
    label = period.label_vi
    return f"{metric.name}, {label[:1].lower()}{label[1:]}"


@transaction.atomic
def withdraw_fact(fact: Fact, *, reason: str, by: Person | None, now: datetime) -> None:
    """Take back what was stated, without stating anything else: the figure is missing from now on.

    The fact stays in the history. Marks the figure dirty; call recompute_dirty afterwards. Raises IndicatorsError.
    """
    if not reason.strip():
        raise IndicatorsError("Chưa ghi lý do rút số liệu. Ghi lý do rồi rút lại.")
    live = Fact.objects.select_for_update().select_related("metric", "subject").get(pk=fact.pk)
    if live.superseded_at is not None:
        raise IndicatorsError(f"Số liệu này của «{live.subject.name}» đã được thay hoặc rút trước đó.")
    live.superseded_at = now
    live.save(update_fields=["superseded_at"])
    period = Period(live.period_kind, live.period_start)  # type: ignore[arg-type]
    audit.record("indicators.fact.withdrawn", actor=by, target=live, metric=live.metric.key, period=period.key)
    mark_dirty(live.metric, subject=live.subject, period=period, reason=f"rút số liệu: {reason.strip()}")


# --- computing anew ---------------------------------------------------------------------------------------------


def mark_dirty(
    metric: Metric,
    *,
    reason: str,
    subject: Subject | None = None,
    period: Period | None = None,
    from_date: date = date.min,
    to_date: date = date.max,
    can_wait: bool = False,
) -> None:
    """Say that figures built on this metric must be computed again: in one period, or in all known ones of a span.

    can_wait: marked by a process, whose figures recompute_dirty_in_steps computes; not by what somebody has just done.
    """
    if period is not None:
        from_date, to_date = period.start_date, period.end_date
    DirtyRange.objects.create(
        metric=metric, subject=subject, period_kind=period.kind if period else "",
        from_date=max(from_date, date(1900, 1, 1)), to_date=min(to_date, date(2200, 1, 1)), reason=reason[:200],
        can_wait=can_wait,
    )  # fmt: skip


@dataclass(frozen=True)
class _Work:
    """What one run must do: slices of measures and of stated figures, and periods of indicators, each with a reason."""

    measures: dict[tuple[int, Period, str], str]
    indicators: dict[tuple[int, Period], str]


@dataclass(frozen=True)
class _Step:
    """One slice of a measure or stated figure, or the indicators of one subject kind in one period, in their order."""

    metric_ids: tuple[int, ...]
    period: Period
    scenario: str
    is_formula: bool
    reason: str


@transaction.atomic
def recompute_dirty(now: datetime) -> computing.Outcome:
    """Compute again what people have changed, for whom the answer waits, and take it out of the dirty queue.

    What processes have marked (can_wait) is left to recompute_dirty_in_steps, however much of it there is: it is made
    of the figures as they stand then, these included. Runs of several processes wait for one another at the metrics
    they share, so that none overwrites newer facts.
    """
    found = DirtyRange.objects.filter(can_wait=False).select_for_update()
    waiting = list(found.select_related("metric").order_by("pk"))
    if not waiting:
        return computing.Outcome()
    metrics = {metric.pk: metric for metric in Metric.objects.select_for_update().order_by("pk")}
    outcome = computing.Outcome()
    for step in _list_steps(_plan_work(waiting, metrics), metrics):
        outcome += _take_step(step, metrics, now)
    DirtyRange.objects.filter(pk__in=[row.pk for row in waiting]).delete()
    return outcome


def recompute_dirty_in_steps(now: datetime) -> computing.Outcome:
    """Compute again everything that waits, a slice a transaction, so that no other writer waits for longer than one.

    For processes that nobody waits for; not inside a transaction. Measures come before the indicators made of them, and
    the marks go last: whoever reads meanwhile sees a figure as it was or as it will be, and a run that is killed leaves
    its marks, so that the next one does the rest (what is computed already is equal and left alone). What is marked
    meanwhile waits for the next run.
    """
    waiting = list(DirtyRange.objects.select_related("metric").order_by("pk"))
    if not waiting:
        return computing.Outcome()
    metrics = {metric.pk: metric for metric in Metric.objects.order_by("pk")}
    outcome = computing.Outcome()
    for step in _list_steps(_plan_work(waiting, metrics), metrics):
        begun_s = time.monotonic()
        with transaction.atomic(durable=True):
            # Read anew under the lock: a definition that changed since the plan is marked, and comes again.
            metrics = {metric.pk: metric for metric in Metric.objects.select_for_update().order_by("pk")}
            outcome += _take_step(step, metrics, now)
        if connection.vendor == "sqlite":  # who waits for its lock does not stand in a queue: leave as long as was held
            time.sleep(min(LONGEST_REST_S, time.monotonic() - begun_s))
    done = [row.pk for row in waiting]
    for start in range(0, len(done), _MARKS_AT_ONCE):
        DirtyRange.objects.filter(pk__in=done[start : start + _MARKS_AT_ONCE]).delete()
    return outcome


def _list_steps(work: _Work, metrics: Mapping[int, Metric]) -> list[_Step]:
    """Return the steps of a plan in an order in which each finds what it is made of."""
    slices = sorted(work.measures.items(), key=lambda item: (item[0][1].start_date, item[0][0]))
    steps = [_Step((metric_id,), period, scenario, False, reason) for (metric_id, period, scenario), reason in slices]
    by_key = {metric.key: metric for metric in metrics.values()}
    ordered = [by_key[key].pk for key in formula.order(_graph()) if key in by_key]
    rank = {metric_id: number for number, metric_id in enumerate(ordered)}
    of_period: dict[Period, list[int]] = {}
    for metric_id, period in work.indicators:
        of_period.setdefault(period, []).append(metric_id)
    for period in sorted(of_period, key=lambda period: (period.start_date, period.kind)):
        chosen = of_period[period]
        for kind in sorted({metrics[metric_id].subject_kind for metric_id in chosen}):
            group = [metric_id for metric_id in chosen if metrics[metric_id].subject_kind == kind]
            group.sort(key=lambda metric_id: (rank.get(metric_id, 0), metric_id))
            steps.append(_Step(tuple(group), period, Scenario.ACTUAL, True, work.indicators[group[0], period]))
    return steps


def _take_step(step: _Step, metrics: Mapping[int, Metric], now: datetime) -> computing.Outcome:
    known = [metrics[metric_id] for metric_id in step.metric_ids if metric_id in metrics]
    if step.is_formula:
        return computing.compute_indicators(known, step.period, now=now, reason=step.reason)
    outcome = computing.Outcome()
    for metric in known:
        is_made = metric.kind == Metric.Kind.MEASURE and metric.source != Metric.Source.STATED
        compute = computing.compute_measure if is_made else computing.store_stated
        outcome += compute(metric, step.period, step.scenario, now=now, reason=step.reason)
    return outcome


def _plan_work(waiting: Sequence[DirtyRange], metrics: dict[int, Metric]) -> _Work:
    """Return every slice that the waiting ranges reach: coarser periods, formulas, next periods, baselines."""
    by_key = {metric.key: metric for metric in metrics.values()}
    users: dict[int, list[tuple[Metric, formula.Reference]]] = {}
    inputs: dict[int, frozenset[formula.Reference]] = {}
    for version in FormulaVersion.objects.filter(metric__in=metrics.values()):
        inputs[version.metric_id] = inputs.get(version.metric_id, frozenset()) | _references(version)
    for metric_id, references in inputs.items():
        for reference in references:
            users.setdefault(by_key[reference.key].pk, []).append((metrics[metric_id], reference))
    work = _Work({}, {})
    spans: dict[tuple[int, str, date, date], DirtyRange] = {}
    for row in waiting:  # many rows say the same of other subjects: the last has its word, as it would below
        spans[row.metric_id, row.period_kind, row.from_date, row.to_date] = row
    stack = [
        (row.metric_id, period, scenario, row.reason)
        for row in sorted(spans.values(), key=lambda row: row.pk)
        for period, scenario in _periods_of(row, metrics[row.metric_id], inputs, by_key)
    ]
    while stack:
        metric_id, period, scenario, reason = stack.pop()
        metric = metrics[metric_id]
        if (
            metric.kind == Metric.Kind.INDICATOR
            and scenario == Scenario.ACTUAL
            and metric.source != Metric.Source.STATED
        ):
            if (metric_id, period) in work.indicators:
                continue
            work.indicators[(metric_id, period)] = reason
            for reference in inputs.get(metric_id, ()):
                needed = by_key[reference.key]
                if needed.source == Metric.Source.PROVIDED:  # records have no period of their own: ask for this one
                    work.measures.setdefault((needed.pk, _shifted(reference, period), Scenario.ACTUAL), reason)
        else:
            if (metric_id, period, scenario) in work.measures:
                continue
            work.measures[(metric_id, period, scenario)] = reason
            for kind in metric.period_kinds:
                coarser = Period.containing(period.start_date, kind)  # type: ignore[arg-type]
                if (
                    coarser.kind in "QHY"
                    and coarser.kind != period.kind
                    and coarser.start_date <= period.start_date
                    and coarser.end_date >= period.end_date
                ):
                    stack.append((metric_id, coarser, scenario, reason))
        for user, reference in users.get(metric_id, ()):
            if (reference.scenario == "PLAN") != (scenario == Scenario.PLAN):
                continue
            for reached in _reached(user, reference, period):
                if reached.kind in user.period_kinds:
                    stack.append((user.pk, reached, Scenario.ACTUAL, reason))
    return work


def _shifted(reference: formula.Reference, period: Period) -> Period:
    if reference.baseline is not None:
        return Period.parse(reference.baseline)
    return period.shift(reference.shift) if reference.shift else period


def _reached(user: Metric, reference: formula.Reference, period: Period) -> list[Period]:
    """Return the periods of an indicator that look at this period of a measure."""
    if reference.baseline is None:
        return [period.shift(-reference.shift) if reference.shift else period]
    if Period.parse(reference.baseline) != period:
        return []
    known = Value.objects.filter(metric=user, period_kind=period.kind).values_list("period_start", flat=True).distinct()
    return [Period(period.kind, start) for start in known]


def _periods_of(
    row: DirtyRange, metric: Metric, inputs: dict[int, frozenset[formula.Reference]], by_key: dict[str, Metric]
) -> list[tuple[Period, str]]:
    """Return the slices of one waiting range: the one period of a fact, or all known periods of a span."""
    if row.period_kind:
        period = Period(row.period_kind, row.from_date)  # type: ignore[arg-type]
        scenarios = Fact.objects.filter(
            metric=metric, period_kind=period.kind, period_start=period.start_date
        ).values_list("scenario", flat=True)
        return [(period, scenario) for scenario in sorted(set(scenarios) | {Scenario.ACTUAL})]
    around = {metric.pk} | {by_key[reference.key].pk for reference in inputs.get(metric.pk, ())}
    for references in inputs.values():  # a record's periods are those of the facts that it is held against
        if any(by_key[reference.key].pk == metric.pk for reference in references):
            around |= {by_key[reference.key].pk for reference in references}
    known = set(
        Fact.objects.filter(
            metric_id__in=around,
            superseded_at__isnull=True,
            period_start__gte=row.from_date,
            period_start__lt=row.to_date,
        ).values_list("period_kind", "period_start", "scenario", "metric_id")
    )
    found = set()
    for kind, start, scenario, metric_id in known:
        if kind not in metric.period_kinds:
            continue
        known_period = Period(kind, start)  # type: ignore[arg-type]
        found.add((known_period, scenario if metric_id == metric.pk else Scenario.ACTUAL))
        found.update(
            (Period.containing(start, coarser), Scenario.ACTUAL)  # type: ignore[arg-type]
            for coarser in metric.period_kinds
            if coarser in "QHY"
        )
    return sorted(found, key=lambda pair: (pair[0].start_date, pair[0].kind, pair[1]))
