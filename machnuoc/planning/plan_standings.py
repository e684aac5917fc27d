"""Where targets stand, for many at once: a fixed number of queries for each few hundred targets.

What is forecast is the series of a target in its own measure; a series that has not changed is not forecast again.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import DateField, Exists, IntegerField, OuterRef, Q, QuerySet
from django.db.models import Value as Constant
from django.db.models.functions import Cast
from django.urls import reverse

from machnuoc.core import notices, units
from machnuoc.core.models import Person
from machnuoc.core.periods import Period, local_date
from machnuoc.core.vietnamese import format_number
from machnuoc.customers import counting
from machnuoc.indicators import providers
from machnuoc.indicators.models import FormulaVersion, Metric, Scenario, State, Value
from machnuoc.places.models import Containment, Grant, Subject
from machnuoc.planning import forecast, standing
from machnuoc.planning.comparison import Interval, Promise
from machnuoc.planning.models import (
    Handover,
    Standing,
    StandingChange,
    Target,
    TargetJudgement,
    TargetPoint,
    TargetUnit,
)
from machnuoc.planning.models.plans import Status

_AT_ONCE = 400  # targets: bounds memory and the length of a write
_FINEST = "DWMQHY"
_ACTING = (Grant.Role.LEADER, Grant.Role.DEPARTMENT, Grant.Role.STATION, Grant.Role.COMMUNE)
_COUNTED_UNITS = {"household", "customer", "connection", "person"}
_CONNECTED_UNITS = {"household", "connection"}
_PLACES = {Subject.Kind.COUNTRY, Subject.Kind.UNIT}
_STEPS: dict[str, forecast.Step] = {"M": "M", "Q": "Q", "Y": "Y"}
_LATE = (Status.AT_RISK, Status.MISSED)
_JUDGED = Target.Comparator.JUDGED


@dataclass
class Outcome:
    """How many targets were judged, how many series forecast, how many standings changed."""

    judged: int = 0
    forecast: int = 0
    changed: int = 0


@lru_cache(maxsize=10_000)  # the same few hundred periods, asked for once a figure
def _last_day(kind: str, start: date) -> date:
    return Period(kind, start).end_date - timedelta(days=1)  # type: ignore[arg-type]


class Figure(NamedTuple):
    """A value as it is read in bulk. number, low, high: in whole last decimals of the metric."""

    pk: int
    kind: str
    start: date
    number: int | None
    low: int | None
    low_open: bool
    high: int | None
    high_open: bool
    state: int
    fact_id: int | None
    parts_present: int
    parts_total: int

    @property
    def last_day(self) -> date:
        return _last_day(self.kind, self.start)


_READ = (
    "pk", "period_kind", "period_start", "number", "low", "low_open", "high", "high_open", "state", "fact_id",
    "parts_present", "parts_total",
)  # fmt: skip


@dataclass
class Case:
    """A target with what bears on it: its question, and the figure that its answer rests on."""

    target: Target
    question: standing.Question
    figures: list[Figure] = field(default_factory=list)  # beside each point of the history
    verdicts: list[TargetJudgement] = field(default_factory=list)  # where a person judges; the newest first
    series_hash: str = ""


def recompute_standings(now: datetime, targets: Iterable[int | Target] | None = None, *, tell: bool = True) -> Outcome:
    """Judge the targets (all that are active, if none are named) as they stand at that moment.

    Writes Standing, and StandingChange where the status or the figure changed. tell: the people of the lead units are
    told when a target comes to be at risk or is missed.
    """
    today = local_date(now)
    chosen = Target.objects.filter(is_active=True)
    if targets is not None:
        chosen = chosen.filter(pk__in=[one.pk if isinstance(one, Target) else one for one in targets])
    ids = list(chosen.order_by("subject_id", "metric_id", "pk").values_list("pk", flat=True))
    outcome = Outcome()
    for begin in range(0, len(ids), _AT_ONCE):
        _recompute(ids[begin : begin + _AT_ONCE], today, now, outcome, tell)
    return outcome


def with_measure(targets: QuerySet[Target]) -> QuerySet[Target]:
    """Return targets as `cases_of` takes them: with metric, plan, subject; is_looking_back: compares two periods."""
    looking_back = FormulaVersion.objects.filter(
        metric_id=OuterRef("metric_id"), valid_to__isnull=True, numerator__contains="previous("
    )
    return targets.select_related("metric", "plan", "subject").annotate(is_looking_back=Exists(looking_back))


def read_cases(target_ids: Sequence[int], today: date) -> list[Case]:
    """Return the targets with their questions, in seven queries at most however many they are."""
    return cases_of(list(with_measure(Target.objects.filter(pk__in=target_ids))), today)


def cases_of(targets: Sequence[Any], today: date) -> list[Case]:
    """Return targets (`with_measure`) with their questions, in six queries at most however many they are."""
    target_ids = [target.pk for target in targets]
    handed, joined = _read_taken_over(targets)
    figures = _read_figures(targets, {one.work_id for rows in handed.values() for one in rows})
    paths: dict[int, list[tuple[date, Decimal]]] = defaultdict(list)
    for target_id, kind, start, amount in TargetPoint.objects.filter(target_id__in=target_ids).values_list(
        "target_id", "period_kind", "period_start", "amount"
    ):
        step = Period(kind, start)  # type: ignore[arg-type]
        paths[target_id].append((step.end_date - timedelta(days=1), amount))
    judged = [target.pk for target in targets if target.metric_id is None or target.comparator == _JUDGED]
    verdicts: dict[int, list[TargetJudgement]] = defaultdict(list)
    if judged:
        for said in (
            TargetJudgement.objects.filter(target_id__in=judged, judged_on__lte=today)
            .select_related("judged_by")
            .order_by("-judged_on", "-id")
        ):
            verdicts[said.target_id].append(said)
    return [
        _case(
            target, figures.get((target.metric_id, target.subject_id), []), sorted(paths[target.pk]),
            verdicts[target.pk],
            [Taken(one, figures.get((target.metric_id, one.work_id), [])) for one in handed.get(target.pk, [])],
            joined.get(target.pk, []), target.is_looking_back, today,
        )
        for target in targets
    ]  # fmt: skip


def _read_figures(
    targets: Sequence[Target], work_ids: Collection[int] = ()
) -> dict[tuple[int | None, int], list[Figure]]:
    """Return the figures of the targets, and those of the works for whatever the targets are measured by."""
    measured = [target for target in targets if target.metric_id]
    if not measured:
        return {}
    wanted = {(target.metric_id, target.subject_id) for target in measured}
    rows = Value.objects.filter(
        subject_id__in={target.subject_id for target in measured} | set(work_ids),
        metric_id__in={target.metric_id for target in measured},
        scenario=Scenario.ACTUAL,
    ).values_list("metric_id", "subject_id", *_READ)
    found: dict[tuple[int | None, int], list[Figure]] = defaultdict(list)
    for metric_id, subject_id, *rest in rows.iterator(chunk_size=5_000):
        if (metric_id, subject_id) in wanted or subject_id in work_ids:
            found[metric_id, subject_id].append(Figure(*rest))
    return found


class Arrival(NamedTuple):
    """A work that was handed over: on which day, with how many households."""

    day: date
    households: int
    work_id: int
    is_move: bool  # it changed hands within the target's own subject, which had its households before


class Taken(NamedTuple):
    """A work that was handed over, with its own figures."""

    arrival: Arrival
    figures: list[Figure]

    def households_in(self, whole: Figure) -> int:
        """Return how many households of a sum the work brought into it, which nobody developed: all that it has now.

        A work that only changed hands inside the sum was part of the baseline: what it gained since does not count.
        """
        if whole.last_day < self.arrival.day:
            return 0
        own = next((one for one in self.figures if (one.kind, one.start) == (whole.kind, whole.start)), None)
        if own is None or own.number is None:
            return 0  # the sum was made without it
        was_counted = self.arrival.is_move and any(
            one.number is not None and one.last_day < self.arrival.day for one in self.figures
        )
        return own.number - self.arrival.households if was_counted else own.number


def _read_taken_over(
    targets: Sequence[Target],
) -> tuple[dict[int, list[Arrival]], dict[int, list[counting.Joined]]]:
    """Return, of each target that counts growth, the works that were handed over to its subject, and the customers that
    came to its works by a handover: none of them is new, taking over develops nothing. One query.
    """
    growing = [target for target in targets if target.measured_as == Target.MeasuredAs.GROWTH]
    if not growing:
        return {}, {}
    begun = {
        target.pk: day
        for target in growing
        if target.metric is not None
        and target.metric.unit in _CONNECTED_UNITS
        and (day := starts_on(target)) is not None
    }
    subjects = {target.subject_id for target in growing}
    within = counting.UNDER
    is_of_giver = Exists(Containment.objects.filter(ancestor_id=OuterRef(within), descendant_id=OuterRef("giver_id")))
    nothing, no_day = Constant(0, IntegerField()), Constant(None, DateField())
    works = Handover.objects.filter(
        step=Handover.Step.EFFECTIVE, effective_on__isnull=False, opening_households__isnull=False,
        work__isnull=False, **{f"{within}__in": subjects},
    ).order_by().values_list(
        within, "work_id", "effective_on", Cast(no_day, DateField()), "opening_households", nothing,
        Cast(is_of_giver, IntegerField()), Constant(1, IntegerField()),
    )  # fmt: skip
    rows = works
    if begun:
        of_growing = {target.subject_id for target in growing if target.pk in begun}
        rows = works.union(
            counting.handed_over_by_day(min(begun.values()), of_growing).values_list(
                within, "work_id", "connected_date", "closed_date", "domestic", "number", nothing, nothing,
            ),
            all=True,
        )  # fmt: skip
    arrived: dict[int, list[Arrival]] = defaultdict(list)
    joined: dict[int, list[counting.Joined]] = defaultdict(list)
    of_subject: dict[int, list[Target]] = defaultdict(list)
    for target in growing:
        of_subject[target.subject_id].append(target)
    for subject_id, work_id, day, closed, number, connections, is_move, is_work in rows:
        for target in of_subject[subject_id]:
            if is_work:
                is_own = bool(is_move) or target.subject.kind in _PLACES
                arrived[target.pk].append(Arrival(day, number, work_id, is_own))
            elif target.pk in begun and begun[target.pk] <= day:
                joined[target.pk].append(counting.Joined(work_id, day, closed, connections, number))
    return dict(arrived), dict(joined)


def promise_of(target: Target) -> Promise:
    direction = target.metric.direction if target.metric else "HIGHER"
    return Promise(
        target.comparator,  # type: ignore[arg-type]
        target.amount,
        target.upper,
        target.decimals,
        direction,  # type: ignore[arg-type]
        target.baseline,
    )


def unit_label(target: Target) -> str:
    """Return the label of the unit key; words that are no key stand as they are (a plan may count in «nhiệm vụ»)."""
    try:
        return units.label(target.unit)
    except units.UnknownUnit:
        return target.unit


def is_same_unit(one: str, other: str) -> bool:
    """Return whether figures of the two units may be compared as they are: «nhiệm vụ» is a bare count with a name."""
    return one == other or {one, other} == {"count", "task"}


def starts_on(target: Target) -> date | None:
    """Return the first day that counts: of the plan, of the target's own period, or after its baseline."""
    if target.baseline_period_start is not None and target.measured_as != Target.MeasuredAs.LEVEL:
        return Period("Y", date(target.baseline_period_start.year, 1, 1)).end_date
    days = [day for day in (target.plan.valid_from, target.period_start) if day is not None]
    return min(days, default=None)


def _case(
    target: Target, figures: list[Figure], path: list[tuple[date, Decimal]], verdicts: list[TargetJudgement],
    handed: list[Taken], joined: list[counting.Joined], is_looking_back: bool, today: date,
) -> Case:  # fmt: skip
    promise = promise_of(target)
    begun = starts_on(target)
    verdict = verdicts[0] if verdicts else None
    said: dict[str, Any] = {
        "promise": promise, "unit": unit_label(target), "printed": target.comparator_as_printed, "starts_on": begun,
        "due_on": target.due_on, "is_counted": target.measured_as != Target.MeasuredAs.LEVEL, "path": tuple(path),
        "is_judged": target.comparator == Target.Comparator.JUDGED or (target.metric is None and verdict is not None),
        "verdict": standing.Verdict(verdict.judged_on, verdict.is_met, verdict.text) if verdict else None,
    }  # fmt: skip
    metric = target.metric
    if metric is None:
        if not said["is_judged"]:
            said["obstacle"] = _nothing_measures(target, today)
        return Case(target, standing.Question(**said), verdicts=verdicts)
    if target.unit and not is_same_unit(target.unit, metric.unit) and not is_share_of_growth(target, metric):
        said["obstacle"] = (
            f"Chỉ tiêu đổi đơn vị: kế hoạch đặt theo {unit_label(target) or target.unit}, "
            f"số liệu «{metric.short_name}» "
            f"nay tính theo {units.label(metric.unit) or metric.unit}. Điều chỉnh chỉ tiêu rồi xem lại."
        )
        return Case(target, standing.Question(**said), verdicts=verdicts)
    figures = [one for one in figures if one.start <= today]
    if is_looking_back:  # the change of a month says nothing about the change of a year
        figures = [one for one in figures if one.kind == target.period_kind]
    told = [one for one in figures if one.number is not None]
    finest = min((one.kind for one in told), key=_FINEST.index, default="")
    is_kept = providers.is_provided(metric.key)  # counted by the program itself: of a year that runs, what is there now
    rows = sorted((one for one in told if one.kind == finest), key=lambda one: one.start)
    if finest in _FINEST and finest:  # a period that runs is not over: it is known up to today
        rows = [one for one in rows if one.fact_id is not None or one.last_day <= today or is_kept]
    notes: list[str] = []
    measured = {
        Target.MeasuredAs.LEVEL: _levels,
        Target.MeasuredAs.GROWTH: _growth,
        Target.MeasuredAs.TOTAL: _totals,
    }[Target.MeasuredAs(target.measured_as)]
    history, kept = measured(target, metric, rows, figures, begun, handed, joined, notes)
    if target.measured_as == Target.MeasuredAs.GROWTH and not history and notes:
        said["obstacle"] = f"{notes[0][0].upper()}{notes[0][1:]}."
    if any(one.state == State.SIMULATED for one in kept):
        notes.append("số liệu mô phỏng")
    said |= _edges(target, metric, figures, rows, begun, today)
    said |= {
        "history": tuple((min(day, today) if is_kept else day, amount) for day, amount in history),
        "notes": tuple(notes),
    }
    case = Case(target, standing.Question(**said), kept, verdicts)
    case.series_hash = _hash(case.question)
    return case


def _nothing_measures(target: Target, today: date) -> str:
    if target.due_on is not None and today > target.due_on:
        return ""
    return "Chưa có số liệu: hệ thống chưa đo chỉ tiêu này. Gắn chỉ tiêu số liệu, hoặc ghi đánh giá khi có kết quả."


def is_share_of_growth(target: Target, metric: Metric) -> bool:
    """Return whether the target asks by how many per cent of its baseline a counted figure grows."""
    return target.measured_as == Target.MeasuredAs.GROWTH and target.unit == "pct" and metric.unit in _COUNTED_UNITS


def _scaled(number: int, metric: Metric) -> Decimal:
    return Decimal(number).scaleb(-metric.decimals)


_Measured = tuple[list[tuple[date, Decimal]], list[Figure]]


def _levels(
    target: Target, metric: Metric, rows: list[Figure], figures: list[Figure], begun: date | None,
    handed: list[Taken], joined: list[counting.Joined], notes: list[str],
) -> _Measured:  # fmt: skip
    return [(one.last_day, _scaled(one.number or 0, metric)) for one in rows], rows


def _growth(
    target: Target, metric: Metric, rows: list[Figure], figures: list[Figure], begun: date | None,
    handed: list[Taken], joined: list[counting.Joined], notes: list[str],
) -> _Measured:  # fmt: skip
    is_share = is_share_of_growth(target, metric)
    base = None if is_share else target.baseline  # a share is told in %, what it is of in the metric's own unit
    if base is None and begun is not None:
        before = [one for one in figures if one.number is not None and one.last_day < begun]
        newest = max(before, key=lambda one: (one.last_day, one.kind == "Y"), default=None)
        base = _scaled(newest.number or 0, metric) if newest else None
    if base is None or (is_share and not base):
        notes.append("chưa có mức gốc để tính phần tăng thêm")
        return [], []
    handed = [one for one in handed if begun is None or begun <= one.arrival.day]
    if metric.unit not in _COUNTED_UNITS:
        handed = []
    whole_works = {one.arrival.work_id for one in handed}  # all that such a work has is left out already
    joined = [one for one in joined if one.work_id not in whole_works]
    history, kept, partial, taken, came = [], [], 0, Decimal(0), Decimal(0)
    for one in rows:
        if begun is not None and one.start < begun:
            continue
        if one.parts_present < one.parts_total:  # a sum of some parts says nothing about growth of all
            partial += 1
            continue
        taken = _scaled(sum(work.households_in(one) for work in handed), metric)
        rest = [row for row in joined if row.is_in_use(one.last_day)]
        came = _scaled(sum(row.households if metric.unit == "household" else row.connections for row in rest), metric)
        added = _scaled(one.number or 0, metric) - base - taken - came
        history.append((one.last_day, (added * 100 / base).quantize(Decimal("0.0001")) if is_share else added))
        kept.append(one)
    if partial:
        notes.append(f"bỏ {partial} kỳ thiếu số liệu của một số nơi")
    if taken:
        notes.append(f"không tính {format_number(taken)} {units.label(metric.unit)} của công trình nhận bàn giao")
    if came:
        notes.append(f"không tính {format_number(came)} {units.label(metric.unit)} tiếp nhận cùng công trình")
    return history, kept


def _totals(
    target: Target, metric: Metric, rows: list[Figure], figures: list[Figure], begun: date | None,
    handed: list[Taken], joined: list[counting.Joined], notes: list[str],
) -> _Measured:  # fmt: skip
    history, kept, total = [], [], Decimal(0)
    for one in rows:
        if begun is not None and one.start < begun:
            continue
        total += _scaled(one.number or 0, metric)
        history.append((one.last_day, total))
        kept.append(one)
    return history, kept


def _edges(
    target: Target, metric: Metric, figures: list[Figure], rows: list[Figure], begun: date | None, today: date
) -> dict[str, Any]:
    """Return the figure of the very period in which a level is due, one known only by bounds, and one from before."""
    said: dict[str, Any] = {}
    label = units.label(metric.unit)
    if target.measured_as == Target.MeasuredAs.LEVEL:
        for one in figures:
            if (one.kind, one.start) != (target.period_kind, target.period_start):
                continue
            if one.number is not None and (one.fact_id is not None or one.last_day < today):
                said["final"] = _scaled(one.number, metric)
    is_level = target.measured_as == Target.MeasuredAs.LEVEL
    bounded = [
        one for one in figures if is_level and one.number is None and (one.low is not None or one.high is not None)
    ]
    newest = max(bounded, key=lambda one: one.last_day, default=None)
    if newest is not None and (not rows or rows[-1].last_day < newest.last_day):
        low = None if newest.low is None else _scaled(newest.low, metric)
        high = None if newest.high is None else _scaled(newest.high, metric)
        said["bounds"] = Interval(low, newest.low_open, high, newest.high_open)
        said["bounds_text"] = f"{_period_label(newest)}: {_bounds_text(newest, metric, label)}"
    before = [one for one in figures if one.number is not None and begun is not None and one.last_day < begun]
    last = max(before, key=lambda one: one.last_day, default=None)
    if last is not None:
        number = format_number(_scaled(last.number or 0, metric), metric.decimals)
        said["before"] = f"{_period_label(last)}: {number} {label}".strip()
    return said


def _period_label(figure: Figure) -> str:
    label = Period(figure.kind, figure.start).label_vi  # type: ignore[arg-type]
    return f"{label[0].lower()}{label[1:]}"


def _bounds_text(figure: Figure, metric: Metric, label: str) -> str:
    low, high = (
        None if edge is None else format_number(_scaled(edge, metric).normalize() + 0)
        for edge in (figure.low, figure.high)
    )
    if low is not None and high is not None:
        return f"{low}–{high} {label}".strip()
    if low is not None:
        return f"{'>' if figure.low_open else '≥'} {low} {label}".strip()
    return f"{'<' if figure.high_open else '≤'} {high} {label}".strip()


def _hash(question: standing.Question) -> str:
    """Return a hash of all that a forecast depends on."""
    said = repr((
        question.promise, question.starts_on, question.due_on, question.is_counted, tuple(question.history),
        tuple(question.path),
    ))  # fmt: skip
    return hashlib.sha256(said.encode()).hexdigest()


def look_ahead(case: Case) -> standing.Outlook | None:
    """Return what is to be expected on the due day, from the history if there is enough, else from pace and path."""
    question = case.question
    if question.due_on is None or not case.figures or question.history[-1][0] >= question.due_on:
        return None
    history = list(question.history)
    if question.is_counted and question.starts_on is not None:
        begun = question.starts_on - timedelta(days=1)
        history = [(begun, Decimal(0)), *[pair for pair in history if pair[0] > begun]]
    # A share that has never passed 100 % cannot; utilisation above design has, and may again.
    is_share = question.unit == "%" and not question.is_counted and all(number <= 100 for _, number in history)
    found = forecast.forecast(
        history, until=question.due_on, step=_STEPS.get(case.figures[-1].kind, "M"), path=question.path or None,
        lower=0.0, upper=100.0 if is_share else None,
        is_cumulative=True if question.is_counted else None,
    )  # fmt: skip
    if found is None:
        return standing.by_pace(question)
    return standing.Outlook(found.point, found.low, found.high, found.method)


def _recompute(ids: Sequence[int], today: date, now: datetime, outcome: Outcome, tell: bool) -> None:
    cases = read_cases(ids, today)
    held = Standing.objects.in_bulk(ids)
    told: list[tuple[Case, standing.Judgement]] = []
    for case in cases:
        outlook = None
        if case.series_hash and case.question.history and not case.question.obstacle:
            former = held.get(case.target.pk)
            if former is not None and former.series_hash == case.series_hash:
                outlook = _kept_outlook(former)
            else:
                outlook = look_ahead(case)
                outcome.forecast += 1
        told.append((case, standing.judge(case.question, today, outlook)))
    outcome.judged += len(told)
    rows = [_row(case, judgement, today, now) for case, judgement in told]
    changed = [row for row in rows if row.target_id not in held or _differs(held[row.target_id], row)]
    worse = [
        row for row in changed
        if row.status in _LATE and (row.target_id not in held or held[row.target_id].status not in _LATE)
    ]  # fmt: skip
    moved = [row for row in changed if row.target_id not in held or _moved(held[row.target_id], row)]
    with transaction.atomic():
        differing = {row.target_id for row in changed}
        same = [row.target_id for row in rows if row.target_id not in differing]
        Standing.objects.filter(pk__in=same).update(computed_on=today, computed_at=now)
        Standing.objects.bulk_create(changed, update_conflicts=True, unique_fields=["target"], update_fields=_WRITTEN)
        StandingChange.objects.bulk_create(
            [
                StandingChange(
                    target_id=row.target_id, on_date=today, status=row.status, reached=row.reached,
                    forecast=row.forecast, reason=row.reason,
                )
                for row in moved
            ],
            update_conflicts=True, unique_fields=["target", "on_date"],
            update_fields=["status", "reached", "forecast", "reason"],
        )  # fmt: skip
        if tell and worse:
            _tell(worse, {case.target.pk: case.target for case in cases}, today)
    outcome.changed += len(moved)


_WRITTEN = [
    "status", "reached", "value", "as_of_kind", "as_of_start", "forecast", "forecast_low", "forecast_high",
    "forecast_method", "reason", "series_hash", "computed_on", "computed_at",
]  # fmt: skip
_COMPARED = [name for name in _WRITTEN if name not in {"value", "computed_on", "computed_at"}] + ["value_id"]


def _kept_outlook(former: Standing) -> standing.Outlook | None:
    if former.forecast is None:
        return None
    return standing.Outlook(former.forecast, former.forecast_low, former.forecast_high, former.forecast_method)


def _row(case: Case, judgement: standing.Judgement, today: date, now: datetime) -> Standing:
    used = case.figures[-1] if case.figures and judgement.reached is not None else None
    outlook = judgement.outlook
    return Standing(
        target_id=case.target.pk, status=judgement.status, reached=_stored(judgement.reached),
        value_id=used.pk if used else None, as_of_kind=used.kind if used else "",
        as_of_start=used.start if used else None,
        forecast=_stored(outlook.point if outlook else None), forecast_low=_stored(outlook.low if outlook else None),
        forecast_high=_stored(outlook.high if outlook else None), reason=judgement.reason[:600],
        forecast_method=outlook.method[:20] if outlook else "", series_hash=case.series_hash, computed_on=today,
        computed_at=now,
    )  # fmt: skip


def _stored(number: Decimal | None) -> Decimal | None:
    return None if number is None else number.quantize(Decimal("0.0001"))


def _differs(former: Standing, row: Standing) -> bool:
    return any(getattr(former, name) != getattr(row, name) for name in _COMPARED)


def _moved(former: Standing, row: Standing) -> bool:
    return (former.status, former.reached) != (row.status, row.reached)


def _tell(rows: Iterable[Standing], targets: dict[int, Target], today: date) -> None:
    """Tell the people who act for the lead units; they owe a proposal."""
    late = {row.target_id: row for row in rows}
    leads: dict[int, list[int]] = defaultdict(list)
    for target_id, organisation_id in TargetUnit.objects.filter(
        target_id__in=late, role=TargetUnit.Role.LEAD, organisation__isnull=False
    ).values_list("target_id", "organisation_id"):
        leads[organisation_id].append(target_id)
    for organisation_id, people in people_of(leads, today):
        for target_id in leads[organisation_id]:
            target = targets[target_id]
            notices.notify(
                people,
                kind="planning.target",
                text=f"Chỉ tiêu «{target.name}»: {Status(late[target_id].status).label.lower()}. "
                f"{late[target_id].reason} Đơn vị chủ trì cần đề xuất giải pháp.",
                url=reverse("planning:target_detail", args=[target.plan.key, target.key]),
            )


def people_of(
    organisation_ids: Iterable[int], on_date: date, roles: Sequence[str] = _ACTING
) -> Iterator[tuple[int, list[Person]]]:
    """Yield each organisation with the people whose grant names it, in one of the roles, in force on the day."""
    found: dict[int, dict[int, Person]] = defaultdict(dict)
    for grant in Grant.objects.filter(
        Q(valid_to__isnull=True) | Q(valid_to__gt=on_date), scope_id__in=list(organisation_ids), role__in=roles,
        valid_from__lte=on_date, person__is_active=True,
    ).select_related("person"):  # fmt: skip
        found[grant.scope_id][grant.person_id] = grant.person
    for organisation_id, people in found.items():
        yield organisation_id, list(people.values())
