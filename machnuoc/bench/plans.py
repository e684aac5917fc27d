"""Where the targets of all provinces stand: 34 provinces × 200 targets × 60 months. `bench indicators --plans`."""

import importlib.util
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
from django.db import connection, transaction

from machnuoc.bench import common, forecasts, indicators
from machnuoc.bench.common import Result

NOW = datetime(2026, 1, 15, tzinfo=UTC)
DUE_DATE = date(2026, 12, 31)
METRICS = 20  # of each commune; ten communes make a province's 200 targets
LIMIT_PEAK_MB = 512.0
LIMIT_EXPONENT = 1.1
# Amounts that are promised lie about what the series will come to, so that every status occurs.
_PROMISED = (0.8, 1.3)


@dataclass(frozen=True)
class Size:
    """targets: of each province, a multiple of 200."""

    provinces: int
    targets: int
    months: int


SIZES = {"full": Size(34, 200, 60), "small": Size(2, 200, 30)}


def run(args: Any) -> dict[str, Any]:
    """Return the report: forecasts on series whose future is known, standings on each database, one long report."""
    if args.here:
        size = common.read_size(args.size, SIZES)
        if args.memory:
            return measure_memory(size)
        from machnuoc.config import process

        process.migrate()
        report = measure(size)
        # A fresh process for the memory: this one still holds what filling asked for.
        memory = common.run_child("indicators", args.size, dict(os.environ), "--plans", "--memory")
        report["results"] += memory["results"]
        return report
    found = common.run_on_each("indicators", args.size, args.database, "--plans")
    name = args.size if args.size in forecasts.SIZES else "full"
    about_series = [result.as_row() for result in [*forecasts.measure(forecasts.SIZES[name]), *_long_report()]]
    found["results"] = [*found["results"], *about_series]
    return found


def measure(size: Size, repetitions: int = common.REPETITIONS) -> dict[str, Any]:
    """Fill the empty database that Django is connected to, first one province, then all; return the report."""
    from machnuoc.bench import filling
    from machnuoc.planning.models import Standing, Target

    if size.targets % METRICS or size.targets // METRICS != filling.COMMUNES_A_PROVINCE:
        raise common.BenchFailed(f"Số chỉ tiêu mỗi tỉnh phải là {METRICS * filling.COMMUNES_A_PROVINCE}.")
    filling.make_places(size.provinces * filling.COMMUNES_A_PROVINCE)
    metrics = make_metrics()
    communes = filling.list_communes()
    on = connection.vendor
    fill(metrics, communes[: filling.COMMUNES_A_PROVINCE], size.months)
    recompute(NOW)
    indicators.tidy()
    one_s = _status_s(repetitions, size.provinces)
    one = Target.objects.count()
    fill(metrics, communes[filling.COMMUNES_A_PROVINCE :], size.months)
    first_s = common.seconds(partial(recompute, NOW))
    indicators.tidy()
    all_s = _status_s(repetitions)
    count = Target.objects.count()
    read_s = common.median([common.seconds(read_bare) for _ in range(repetitions)])
    forecast_s, forecasted = time_forecasts()
    results = [
        Result(
            f"target_status_ms_{on}", all_s / count * 1000, "ms", "chỉ đọc cùng số liệu bằng một câu SQL",
            all_s / read_s,
        ),
        Result(f"status_all_s_{on}", all_s, "s"),
        Result(f"forecast_ms_{on}", forecast_s / forecasted * 1000, "ms", note=f"{forecasted} chuỗi, đo một lần"),
        Result(f"first_run_s_{on}", first_s, "s", note="mọi chuỗi được dự báo và ghi lần đầu; đo một lần"),
    ]  # fmt: skip
    if count > one:
        exponent = math.log(all_s / one_s) / math.log(count / one)
        against = f"giới hạn {LIMIT_EXPONENT:g}, từ 1 đến {size.provinces} tỉnh"
        results.append(
            Result(f"scaling_exponent_{on}", exponent, "", against, exponent / LIMIT_EXPONENT, 1.0)
        )  # fmt: skip
    counted = {status: Standing.objects.filter(status=status).count() for status in Standing.objects.values_list(
        "status", flat=True).distinct()}  # fmt: skip
    about = {**asdict(size), "targets_in_all": count, "statuses": counted, "load": round(os.getloadavg()[0], 1)}
    return common.report("indicators", about, results)


def measure_memory(size: Size) -> dict[str, Any]:
    """Judge all once more on the filled database, every series forecast anew; report how much this process grew."""
    from machnuoc.planning.models import Standing

    Standing.objects.update(series_hash="")
    peak_mb = common.peak_mb_above_idle(partial(recompute, NOW))
    against = f"giới hạn {LIMIT_PEAK_MB:g} MB trên mức nghỉ"
    name = f"plans_peak_mb_{connection.vendor}"
    return common.report("indicators", asdict(size), [Result(name, peak_mb, "MB", against, peak_mb / LIMIT_PEAK_MB, 1)])


def recompute(now: datetime) -> Any:
    from machnuoc.planning import plan_operations

    return plan_operations.recompute_standings(now, tell=False)


def _status_s(repetitions: int, times: int = 1) -> float:
    """Return the median time of judging all targets on a day on which no series has changed.

    times: how often in one measurement, so that a small database is judged for as long as a large one, with its share
    of the rubbish collector and of whatever else the machine does.
    """
    days = iter(range(1, repetitions * times + 1))

    def judge() -> None:
        for _ in range(times):
            outcome = recompute(NOW + timedelta(days=next(days)))
            if outcome.forecast:
                raise common.BenchFailed(f"Chuỗi không đổi mà vẫn dự báo lại {outcome.forecast} chuỗi.")

    return common.median([common.seconds(judge) / times for _ in range(repetitions)])


def time_forecasts() -> tuple[float, int]:
    """Return the seconds that the forecasts of all series take by themselves, and how many they are."""
    from machnuoc.planning import plan_standings
    from machnuoc.planning.models import Target

    ids = list(Target.objects.order_by("pk").values_list("pk", flat=True))
    total_s, count = 0.0, 0
    for begin in range(0, len(ids), 400):
        cases = [case for case in plan_standings.read_cases(ids[begin : begin + 400], NOW.date()) if case.figures]

        def look_ahead(cases: list[Any] = cases) -> None:
            for case in cases:
                plan_standings.look_ahead(case)

        total_s += common.seconds(look_ahead)
        count += len(cases)
    return total_s, count


def read_bare() -> None:
    """Fetch every figure that the standings rest on, and nothing more."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT metric_id, subject_id, period_kind, period_start, number, state FROM indicators_value"
            " WHERE metric_id IN (SELECT metric_id FROM planning_target)"
        )
        while cursor.fetchmany(5_000):
            continue


def make_metrics() -> list[Any]:
    from machnuoc.bench import filling

    return [filling.make_measure(f"bench.planned_{number}", f"Kết quả {number}") for number in range(METRICS)]


@transaction.atomic
def fill(metrics: list[Any], subject_ids: Any, months: int) -> None:
    """Store that many months of every metric for the communes, and a plan of each province with a target on each."""
    from machnuoc.bench import filling

    if len(subject_ids) == 0:
        return
    periods = filling.list_months(months)
    makers = list(forecasts.REPORTING.items())
    draw = np.random.default_rng([filling.SEED, int(subject_ids[0])])
    rows: list[tuple[Any, str, np.ndarray, np.ndarray]] = []
    for number, metric in enumerate(metrics):
        kind, make = makers[number % len(makers)]
        table = np.abs(np.stack([make(draw, months) for _ in subject_ids]))
        figures = np.rint(table).astype(np.int64)
        for at, period in enumerate(periods):
            filling.store(metric.pk, subject_ids, figures[:, at], draw, period, NOW)
        rows.append((metric, kind, subject_ids, figures))
    _make_targets(rows, periods[0].start_date, draw)


def _make_targets(rows: list[tuple[Any, str, np.ndarray, np.ndarray]], begins: date, draw: np.random.Generator) -> None:
    from machnuoc.places.models import AdministrativeUnit
    from machnuoc.planning.models import Plan, Target, TargetPoint

    subject_ids = rows[0][2]
    parents = dict(AdministrativeUnit.objects.filter(pk__in=subject_ids.tolist()).values_list("pk", "parent_id"))
    plans = {}
    for province_id in sorted(set(parents.values())):
        plans[province_id] = Plan.objects.create(
            key=f"bench.{province_id}", name="Kế hoạch đo", short_name="Kế hoạch đo", territory_id=province_id,
            valid_from=begins, valid_to=DUE_DATE + timedelta(days=1),
        )  # fmt: skip
    targets = []
    for metric, kind, _, figures in rows:
        for subject_id, series in zip(subject_ids.tolist(), figures, strict=True):
            measured_as = {
                "growing_connections": "GROWTH", "yearly_burst": "GROWTH", "seasonal_demand": "TOTAL"
            }.get(kind, "LEVEL")  # fmt: skip
            comes_to = series.sum() if measured_as == "TOTAL" else series[-1]
            amount = Decimal(int(comes_to * (1 + 12 / len(series)) * draw.uniform(*_PROMISED)) + 1)
            targets.append(
                Target(
                    plan=plans[parents[subject_id]], key=f"{metric.pk}.{subject_id}", name=metric.name,
                    subject_id=subject_id, metric=metric, measured_as=measured_as, unit=metric.unit, amount=amount,
                    comparator="LE" if kind == "falling_loss" else "GE", period_start=date(DUE_DATE.year, 1, 1),
                    baseline=0, due_on=DUE_DATE,
                )
            )  # fmt: skip
    Target.objects.bulk_create(targets, batch_size=500)
    made = Target.objects.filter(plan__in=plans.values()).values_list("pk", "amount")
    years = range(begins.year, DUE_DATE.year + 1)
    TargetPoint.objects.bulk_create(
        [
            TargetPoint(
                target_id=pk, period_kind="Y", period_start=date(year, 1, 1),
                amount=Decimal(amount or 0) * (order + 1) / len(years),
            )
            for number, (pk, amount) in enumerate(made) if number % 2
            for order, year in enumerate(years)
        ],
        batch_size=2000,
    )  # fmt: skip


def _long_report() -> list[Result]:
    """Return what a report of 40 pages costs, where the reports room can measure it."""
    name = "report_40_pages"
    if importlib.util.find_spec("machnuoc.bench.reports") is None:
        return [Result(name, None, "s", note="chưa có machnuoc.bench.reports")]
    module = importlib.import_module("machnuoc.bench.reports")
    measured: Callable[[], Any] = module.bench_report
    found = measured()
    return list(found) if isinstance(found, list | tuple) else [found]
