"""Indicators of all communes: from stored measure values to stored, banded values, against hand-written SQL."""

import argparse
import hashlib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from django.db import connection, transaction

from machnuoc.bench import common
from machnuoc.bench.common import Result
from machnuoc.core.periods import Period

NOW = datetime(2027, 1, 15, tzinfo=UTC)
YEAR = Period.parse("2026")  # today's communes stood in all of its months: the hand-written SQL knows no others
REASON = "phép đo"
_HERE = Path(__file__).parent
LIMIT_RATIO = 3.0
LIMIT_PEAK_MB = 512.0
LIMIT_LINEAGE_MS = 100.0
_LINEAGE_REPETITIONS = 15


@dataclass(frozen=True)
class Size:
    """communes: None stands for the real country."""

    communes: int | None
    indicators: int
    months: int


SIZES = {"full": Size(None, 20, 12), "small": Size(40, 3, 2)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--database",
        choices=[*common.DATABASES, "both"],
        default="both",
        help="cơ sở dữ liệu để đo (mặc định: both, đo cả hai)",
    )
    parser.add_argument("--plans", action="store_true", help="đo trạng thái và dự báo của chỉ tiêu kế hoạch")
    # In this process, on the database of its environment: what the command starts for each database.
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Return the report. --size: small, full (all communes × 20 indicators × 12 months) or communes=300,months=12."""
    if args.plans:
        from machnuoc.bench import plans

        return plans.run(args)
    if not args.here:
        return common.run_on_each("indicators", args.size, args.database)
    size = common.read_size(args.size, SIZES)
    if args.memory:
        return measure_memory(size)
    from machnuoc.config import process

    process.migrate()
    report = measure(size)
    # A fresh process for the memory: this one still holds what filling and earlier repetitions asked for.
    report["results"] += common.run_child("indicators", args.size, dict(os.environ), "--memory")["results"]
    return report


def measure(size: Size, repetitions: int = common.REPETITIONS) -> dict[str, Any]:
    """Fill the empty database that Django is connected to and measure on it; return the report."""
    from machnuoc.bench import filling
    from machnuoc.indicators.models import Value
    from machnuoc.places.models import AdministrativeUnit

    filling.make_places(size.communes)
    indicators = filling.make_indicators(size.indicators, NOW)
    months = filling.list_months(size.months, YEAR)
    communes = filling.list_communes()
    with transaction.atomic():
        rows = filling.fill_rates(indicators, communes, months, NOW)
    tidy()
    peer = HandWritten(indicators, months)
    ours = partial(compute, indicators, months)
    times_s, peer_times_s = [], []
    digest = peer_digest = ""
    for _ in range(repetitions):
        peer_times_s.append(common.seconds(peer.run))
        peer_digest = fingerprint(indicators, months)
        forget(indicators)
        times_s.append(common.seconds(ours))
        digest = fingerprint(indicators, months)
        if digest != peer_digest:
            raise common.BenchFailed(f"{connection.vendor}: chương trình và câu SQL cho kết quả khác nhau.")
        forget(indicators)
    ours()
    stored = Value.objects.filter(metric__in=indicators).count()
    tidy()
    on = connection.vendor
    against = "câu SQL viết tay: cùng cơ sở dữ liệu, cùng dòng vào, cùng kết quả"
    time_s, peer_time_s = common.median(times_s), common.median(peer_times_s)
    results = [
        Result(f"figures_{on}", time_s, "s", against, time_s / peer_time_s, LIMIT_RATIO),
        Result(f"figures_peer_{on}", peer_time_s, "s"),
        _lineage(indicators[0], months[-1]),
    ]
    about = {
        **asdict(size),
        "communes": len(communes),
        "provinces": AdministrativeUnit.objects.filter(level="PROVINCE", is_in_force=True).count(),
        "rows_read": rows,
        "rows_stored": stored,
        "repetitions": repetitions,
    }
    return common.report("indicators", about, results)


def measure_memory(size: Size) -> dict[str, Any]:
    """Compute once more on the filled database, and report by how much this process grew over its idle state."""
    from machnuoc.bench import filling
    from machnuoc.indicators.models import Metric

    indicators = list(Metric.objects.filter(kind=Metric.Kind.INDICATOR, key__startswith="bench.").order_by("pk"))
    forget(indicators)
    peak_mb = common.peak_mb_above_idle(partial(compute, indicators, filling.list_months(size.months, YEAR)))
    against = f"giới hạn {LIMIT_PEAK_MB:g} MB trên mức nghỉ"
    name = f"figures_peak_mb_{connection.vendor}"
    result = Result(name, peak_mb, "MB", against, peak_mb / LIMIT_PEAK_MB, 1.0)
    return common.report("indicators", asdict(size), [result])


@transaction.atomic
def compute(indicators: list[Any], months: list[Any]) -> None:
    """What the program does when every measure has changed: all indicators, month by month, in one transaction."""
    from machnuoc.indicators import computing

    for month in months:
        computing.compute_indicators(indicators, month, now=NOW, reason=REASON)


def forget(indicators: list[Any]) -> None:
    """Remove the results, so that the next run stores them anew."""
    marks = ",".join(str(metric.pk) for metric in indicators)
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM indicators_value WHERE metric_id IN ({marks})")  # noqa: S608 - our own numbers
    tidy()


def tidy() -> None:
    """Let both sides start alike: statistics fresh, no dead rows, nothing left to write back."""
    if connection.in_atomic_block:  # inside a test's transaction
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE indicators_value")
            cursor.execute("ANALYZE")
            cursor.execute("CHECKPOINT")
        else:
            cursor.execute("ANALYZE")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def fingerprint(indicators: list[Any], months: list[Any]) -> str:
    """Return a hash of everything that is stored: subjects, numbers, bands, states, sums, coverage, formulas."""
    from machnuoc.indicators import columnar

    digest = hashlib.sha256()
    for metric in indicators:
        for month in months:
            stored = columnar.read_stored(metric.pk, month.kind, month.start_date, "A")
            for column in (
                stored.subject_ids, stored.has_number, stored.numbers, stored.band_ids, stored.states,
                stored.numerators, stored.denominators, stored.parts_present, stored.parts_total, stored.formula_ids,
            ):  # fmt: skip
                digest.update(np.ascontiguousarray(column, np.int64).tobytes())
    return digest.hexdigest()


class HandWritten:
    """The same figures by SQL that is written for this one case: two statements that never leave the database.

    It may do what the program may not: it knows that every formula is one measure over another, that all bands have
    the same edges, that no number is negative and that provinces make up the country.
    """

    def __init__(self, indicators: list[Any], months: list[Any]) -> None:
        from machnuoc.indicators.models import Band, FormulaVersion, Metric

        ids = dict(Metric.objects.values_list("key", "pk"))
        rows = []
        for version in FormulaVersion.objects.filter(metric__in=indicators).order_by("metric_id"):
            of_metric = Band.objects.filter(scheme__metric_id=version.metric_id).order_by("order")
            band_ids = list(of_metric.values_list("pk", flat=True))
            rows.append((version.metric_id, version.pk, ids[version.numerator], ids[version.denominator], *band_ids))
        values = ",".join(f"({','.join(map(str, row))})" for row in rows)
        named = "metric_id, formula_id, part_id, whole_id, band_1, band_2, band_3, band_4"
        self._parts = {
            "plan": f"plan({named}) AS (VALUES {values})",
            "from_date": months[0].start_date.isoformat(),
            "to_date": months[-1].end_date.isoformat(),
            "now": NOW.strftime("%Y-%m-%d %H:%M:%S.%f") + ("+00" if connection.vendor == "postgresql" else ""),
            "larger": "GREATEST" if connection.vendor == "postgresql" else "MAX",
        }

    @transaction.atomic
    def run(self) -> None:
        with connection.cursor() as cursor:
            for name in ("indicators_communes.sql", "indicators_wholes.sql"):
                cursor.execute(_HERE.joinpath(name).read_text(encoding="utf-8").format(**self._parts))


def _lineage(metric: Any, month: Any) -> Result:
    """Measure how long it takes to lead the country's figure back to its parts."""
    name = f"lineage_ms_{connection.vendor}"
    try:
        from machnuoc.indicators import lineage
    except ImportError:
        return Result(name, None, "ms", note="chưa có machnuoc.indicators.lineage")
    from machnuoc.bench import filling
    from machnuoc.indicators.models import Value

    country = filling.get_country()
    reader = filling.make_person("bench", "ADMIN", country)
    value = Value.objects.get(metric=metric, subject=country, period_kind=month.kind, period_start=month.start_date)
    trace: Callable[[], Any] = partial(lineage.lineage, value, reader)
    trace()
    times_ms = [common.seconds(trace) * 1000 for _ in range(_LINEAGE_REPETITIONS)]
    time_ms = common.median(times_ms)
    return Result(name, time_ms, "ms", f"giới hạn {LIMIT_LINEAGE_MS:g} ms", time_ms / LIMIT_LINEAGE_MS, 1.0)
