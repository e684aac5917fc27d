"""Figures that sensors give the indicators: sums, means and peaks of the daily facts of works.

A station without sensors enters the same measures. Of one work and month the surer figure stands (StateRank): measured
before approved, approved before estimated; of two alike, the sensors'. A quarter or year is made of its months, whoever
gave each.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from django.db.models import Count, Max, Q, Sum
from django.db.models.functions import TruncMonth
from django.utils import timezone

from machnuoc.core.figures import figure_text
from machnuoc.core.periods import Period
from machnuoc.core.units import label as unit_label
from machnuoc.core.vietnamese import format_datetime, format_number
from machnuoc.indicators import providers
from machnuoc.indicators.aggregation import StateRank
from machnuoc.indicators.models import Fact, Metric, Scenario, State
from machnuoc.telemetry import daily_figures, store
from machnuoc.telemetry.channel_terms import day_ms
from machnuoc.telemetry.models import Channel, MeasureFact
from machnuoc.telemetry.store import HOUR_MS

How = Literal["sum", "max", "mean", "days"]
Role = Channel.Role
CHANNEL_URL = "/giam-sat/kenh/{}/"


@dataclass(frozen=True)
class _Figure:
    """How one metric is made of daily facts. roles: of the channels it comes from; none: of all."""

    fact: str
    how: How
    decimals: int
    roles: tuple[str, ...] = ()
    is_enterable: bool = True


_FIGURES = {
    daily_figures.PRODUCED: _Figure(daily_figures.PRODUCED, "sum", 1, (Role.PRODUCED,)),
    daily_figures.SUPPLIED: _Figure(daily_figures.SUPPLIED, "sum", 1, (Role.SUPPLIED,)),
    daily_figures.ENERGY: _Figure(daily_figures.ENERGY, "sum", 1, (Role.ENERGY,)),
    daily_figures.SUPPLY_HOURS: _Figure(daily_figures.SUPPLY_HOURS, "sum", 0, (Role.CONTINUITY,)),
    daily_figures.INTERRUPTIONS: _Figure(daily_figures.INTERRUPTIONS, "sum", 0, (Role.CONTINUITY,)),
    daily_figures.QUALITY_READINGS: _Figure(daily_figures.QUALITY_READINGS, "sum", 0, (Role.QUALITY,)),
    daily_figures.QUALITY_WITHIN: _Figure(daily_figures.QUALITY_WITHIN, "sum", 0, (Role.QUALITY,)),
    daily_figures.PEAK: _Figure(daily_figures.PEAK, "max", 2, (Role.SUPPLIED,)),
    daily_figures.MEAN: _Figure(daily_figures.MEAN, "mean", 2, (Role.SUPPLIED,)),
    daily_figures.RECEIVED: _Figure(daily_figures.RECEIVED, "sum", 0, is_enterable=False),
    daily_figures.EXPECTED: _Figure(daily_figures.EXPECTED, "sum", 0, is_enterable=False),
    "telemetry.produced_days": _Figure(daily_figures.PRODUCED, "days", 0, (Role.PRODUCED,)),
    "telemetry.supplied_days": _Figure(daily_figures.SUPPLIED, "days", 0, (Role.SUPPLIED,)),
    "service.supply_days": _Figure(daily_figures.SUPPLY_HOURS, "days", 0, (Role.CONTINUITY,)),
}


@dataclass(frozen=True, slots=True)
class _Month:
    """What one month of one work gives. amount, weight: exact, in last decimals of the metric; state: StateRank."""

    amount: float
    weight: int
    state: int


def _months_by_sensors(figure: _Figure, period: Period, today: date) -> dict[tuple[int, date], _Month]:
    facts = MeasureFact.objects.filter(key=figure.fact, day__gte=period.start_date, day__lt=period.end_date)
    rows = (
        facts.order_by()
        .annotate(month=TruncMonth("day"))
        .values_list("work_id", "month")
        .annotate(
            total=Sum("number"), weights=Sum("weight"), largest=Max("number"), days=Count("pk"),
            estimated=Count("pk", filter=Q(is_estimated=True)), simulated=Count("pk", filter=Q(is_simulated=True)),
        )
    )  # fmt: skip
    found = {}
    for work, month, number, weight, largest, days, estimated, simulated in rows:
        scale = 10.0 ** (figure.decimals - daily_figures.DECIMALS[figure.fact])
        amount = {"sum": number * scale, "mean": number * scale, "max": largest * scale, "days": days}[figure.how]
        over = (min(Period("M", month).end_date, today) - month).days
        if simulated:
            state = StateRank.SIMULATED
        elif figure.how != "days" and (estimated or days < over):
            state = StateRank.ESTIMATED
        else:
            state = StateRank.MEASURED
        found[work, month] = _Month(float(amount), weight, state)
    return found


def _months_entered(metric_key: str, figure: _Figure, period: Period) -> dict[tuple[int, date], _Month]:
    if not figure.is_enterable:
        return {}
    facts = Fact.objects.filter(
        metric__key=metric_key, period_kind="M", scenario=Scenario.ACTUAL, superseded_at__isnull=True,
        number__isnull=False, period_start__gte=period.start_date, period_start__lt=period.end_date,
    )  # fmt: skip
    found = {}
    for subject, start, number, state in facts.values_list("subject_id", "period_start", "number", "state"):
        hours = (Period("M", start).end_date - start).days * 24 if figure.how == "mean" else 1
        found[subject, start] = _Month(float(number or 0) * hours, hours, state)
    return found


def _together(figure: _Figure, months: Sequence[_Month]) -> int:
    if figure.how == "max":
        return round(max(month.amount for month in months))
    total = sum(month.amount for month in months)
    return round(total / sum(month.weight for month in months) if figure.how == "mean" else total)


def _provide(metric_key: str, period: Period) -> providers.Provided:
    figure = _FIGURES[metric_key]
    today = timezone.localdate()
    sensed = _months_by_sensors(figure, period, today)
    entered = _months_entered(metric_key, figure, period)
    if figure.how == "days":
        sensed = _days(figure, sensed, period, today)
    standing = {place: one for place, one in sensed.items() if not _stands(entered.get(place), one)}
    if period.kind == "M":  # an entered figure that stands is the indicators' own
        months = {place[0]: [one] for place, one in standing.items()}
    else:
        months = defaultdict(list)
        for (subject, _), one in (entered | standing).items():
            months[subject].append(one)
    numbers = {subject: (_together(figure, its), max(one.state for one in its)) for subject, its in months.items()}
    if period.kind != "M" and figure.is_enterable:
        own = Fact.objects.filter(
            metric__key=metric_key, period_kind=period.kind, period_start=period.start_date, scenario=Scenario.ACTUAL,
            superseded_at__isnull=True, number__isnull=False,
        )  # fmt: skip
        for subject, state in own.values_list("subject_id", "state"):
            if subject in numbers and state < numbers[subject][1]:
                del numbers[subject]
    ordered = sorted(numbers)
    return providers.Provided(
        np.array(ordered, np.int64),
        np.array([numbers[subject][0] for subject in ordered], np.int64),
        np.array([numbers[subject][1] for subject in ordered], np.int16),
    )


def _days(
    figure: _Figure, sensed: dict[tuple[int, date], _Month], period: Period, today: date
) -> dict[tuple[int, date], _Month]:
    """Return the days by month, as sure as what they count: of an entered amount that stands, all days of the month."""
    counted = _months_by_sensors(_FIGURES[figure.fact], period, today)
    found = {place: _Month(one.amount, one.weight, counted[place].state) for place, one in sensed.items()}
    for (work, month), one in _months_entered(figure.fact, _FIGURES[figure.fact], period).items():
        known = counted.get((work, month))
        if known is None or _stands(one, known):
            days = (Period("M", month).end_date - month).days
            found[work, month] = _Month(float(days), 1, one.state)
    return found


def _stands(entered: _Month | None, sensed: _Month) -> bool:
    """Return whether the entered figure is surer than that of the sensors."""
    return entered is not None and entered.state < sensed.state


def _explain(metric_key: str, subject_id: int, period: Period) -> list[providers.Source]:
    figure = _FIGURES[metric_key]
    sources = [*_sensor_sources(figure, subject_id, period)]
    if figure.how == "days" and any(
        work == subject_id for work, _ in _months_entered(figure.fact, _FIGURES[figure.fact], period)
    ):
        sources.append(providers.Source(text="Tháng có lượng được nhập mà không nhập số ngày: tính đủ ngày của tháng"))
    changed = (
        MeasureFact.objects.filter(
            key=figure.fact, work_id=subject_id, day__gte=period.start_date, day__lt=period.end_date
        )
        .exclude(reason="")
        .order_by("-computed_at")
    )
    latest = changed.first()
    if latest is not None:
        days = changed.count()
        sources.append(
            providers.Source(
                text=f"{format_number(days)} ngày được tính lại, gần nhất lúc {format_datetime(latest.computed_at)}: "
                f"{latest.reason}"
            )
        )
    if period.kind != "M":
        sources += _entered_sources(metric_key, subject_id, period)
    return sources


def _sensor_sources(figure: _Figure, work: int, period: Period) -> list[providers.Source]:
    facts = MeasureFact.objects.filter(
        key=figure.fact, work_id=work, day__gte=period.start_date, day__lt=period.end_date
    )
    if not facts.exists():
        return []
    channels = Channel.objects.filter(device__work=work).select_related("device").order_by("device__code", "pk")
    if figure.roles:
        channels = channels.filter(role__in=figure.roles)
    start = day_ms(period.start_date)
    end = min(day_ms(period.end_date), day_ms(timezone.localdate()))
    found = []
    for channel in channels:
        hours = store.query(
            "SELECT count(*) FROM telemetry_rollup_hour WHERE channel = ? AND hour >= ? AND hour < ? AND readings > 0",
            [channel.pk, start, end],
        )[0][0]
        simulated = ", mô phỏng" if channel.device.is_simulated else ""
        found.append(
            providers.Source(
                text=f"Giám sát trực tuyến, kênh «{channel.name}» ({channel.device.code}{simulated}): "
                f"{format_number(hours)}/{format_number(max(0, end - start) // HOUR_MS)} giờ có số liệu",
                url=CHANNEL_URL.format(channel.pk),
            )
        )
    return found


def _entered_sources(metric_key: str, subject_id: int, period: Period) -> list[providers.Source]:
    if not _FIGURES[metric_key].is_enterable:
        return []
    metric = Metric.objects.get(key=metric_key)
    facts = Fact.objects.filter(
        metric=metric, subject_id=subject_id, period_kind="M", scenario=Scenario.ACTUAL, superseded_at__isnull=True,
        number__isnull=False, period_start__gte=period.start_date, period_start__lt=period.end_date,
    ).select_related("recorded_by", "passage__document").order_by("period_start")  # fmt: skip
    found = []
    for fact in facts:
        number = figure_text(
            fact.number, None, False, None, False, metric.decimals, unit_label(metric.unit), fact.qualifier
        )
        month = Period("M", fact.period_start).label_inside_vi
        found.append(
            providers.Source(
                text=f"Số nhập {month}: {number} ({State(fact.state).label.lower()})",
                passage=fact.passage,
                person=fact.recorded_by.full_name if fact.recorded_by else "",
            )
        )
    return found


def _register(metric_key: str, figure: _Figure) -> None:
    def provide(period: Period) -> providers.Provided:
        return _provide(metric_key, period)

    def explain(subject_id: int, period: Period) -> Sequence[providers.Source]:
        return _explain(metric_key, subject_id, period)

    providers.register(metric_key, provide, explain, takes_entries=figure.is_enterable)


for _key, _its_figure in _FIGURES.items():
    _register(_key, _its_figure)
