"""Made-up content for benchmarks: places, measures with values, ratio indicators with formulas and bands.

The numbers mean nothing and live in throw-away databases alone; they are drawn from a fixed seed.
"""

from datetime import date, datetime
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from machnuoc.core.models import Person
from machnuoc.core.periods import Period
from machnuoc.indicators import bands, columnar, operations
from machnuoc.indicators.models import FormulaVersion, Metric, Scenario, State
from machnuoc.places import load_units, queries
from machnuoc.places.models import AdministrativeUnit, Containment, Grant, Subject

SEED = 20260701
FACTOR = 100
INDICATOR_DECIMALS = 2
COMMUNES_A_PROVINCE = 10
LAST_YEAR = Period.parse("2025")

# Edges as in the plans: some belong to the band below, some to the band above.
BANDS = (
    bands.Band("low", "Thấp", None, False, Decimal(50), True, "danger"),
    bands.Band("fair", "Trung bình", Decimal(50), False, Decimal(75), False, "warning"),
    bands.Band("good", "Khá", Decimal(75), True, Decimal(90), True, "info"),
    bands.Band("high", "Cao", Decimal(90), False, None, False, "good"),
)


def make_places(communes: int | None) -> None:
    """Make a country of that many communes, ten to a province; None: the real one with all its units."""
    if communes is None:
        load_units.load_units()
        return
    country = Subject.objects.create(kind=Subject.Kind.COUNTRY, key=load_units.COUNTRY_KEY, name="Việt Nam")
    _contain([(country.pk, country.pk)])
    province_count = -(-communes // COMMUNES_A_PROVINCE)
    provinces = _make_units("PROVINCE", "Tỉnh", province_count, [])
    _contain([(whole, part) for part in provinces for whole in (part, country.pk)])
    parents = [provinces[number // COMMUNES_A_PROVINCE] for number in range(communes)]
    made = _make_units("COMMUNE", "Xã", communes, parents)
    _contain(
        [
            (whole, part)
            for part, parent in zip(made, parents, strict=True)
            for whole in (part, parent, country.pk)
        ]
    )  # fmt: skip


def _make_units(level: str, unit_type: str, count: int, parents: list[int]) -> list[int]:
    names = [f"{unit_type} {number + 1}" for number in range(count)]
    keys = [f"bench.{level.lower()}.{number + 1}" for number in range(count)]
    Subject.objects.bulk_create(
        [
            Subject(kind=Subject.Kind.UNIT, key=key, name=name, latitude=16.0, longitude=108.0)
            for key, name in zip(keys, names, strict=True)
        ]
    )
    ids = dict(Subject.objects.filter(key__in=keys).values_list("key", "pk"))
    AdministrativeUnit.objects.bulk_create(
        [
            AdministrativeUnit(
                subject_id=ids[key], level=level, unit_type=unit_type, code=f"{number + 1:05}", full_name=name,
                parent_id=parents[number] if parents else None,
            )
            for number, (key, name) in enumerate(zip(keys, names, strict=True))
        ]
    )  # fmt: skip
    return [ids[key] for key in keys]


def _contain(pairs: list[tuple[int, int]]) -> None:
    Containment.objects.bulk_create(
        [Containment(ancestor_id=whole, descendant_id=part) for whole, part in pairs], batch_size=2000
    )


def list_communes() -> NDArray[np.int64]:
    """Return the ids of the communes in force, ascending."""
    units = AdministrativeUnit.objects.filter(level=AdministrativeUnit.Level.COMMUNE, is_in_force=True)
    return np.array(sorted(units.values_list("pk", flat=True)), np.int64)


def make_measure(key: str, name: str, subject_kind: str = Subject.Kind.UNIT) -> Metric:
    """Make a measure in households, entered every month."""
    return operations.put_metric(
        key=key, kind=Metric.Kind.MEASURE, name=name, short_name=name, unit="household", decimals=0,
        subject_kind=subject_kind, period_kinds="MY", source=Metric.Source.ENTERED,
    )  # fmt: skip


def make_indicator(key: str, name: str, part: Metric, whole: Metric, now: datetime) -> Metric:
    """Make the indicator 100 × part ÷ whole, in per cent with two decimals, with bands."""
    metric = operations.put_metric(
        key=key, kind=Metric.Kind.INDICATOR, name=name, short_name=name, unit="pct", decimals=INDICATOR_DECIMALS,
        subject_kind=part.subject_kind, period_kinds="MY", source=Metric.Source.COMPUTED,
    )  # fmt: skip
    operations.put_formula(metric, numerator=part.key, denominator=whole.key, factor=FACTOR, now=now)
    operations.put_band_scheme(metric, name=f"Mức của {name}", levels=BANDS)
    return metric


def make_indicators(count: int, now: datetime) -> list[Metric]:
    """Make that many indicators, each over two measures of its own."""
    made = []
    for number in range(1, count + 1):
        part = make_measure(f"bench.part_{number}", f"Phần {number}")
        whole = make_measure(f"bench.whole_{number}", f"Toàn bộ {number}")
        made.append(make_indicator(f"bench.rate_{number}", f"Tỷ lệ {number}", part, whole, now))
    return made


def fill_rates(indicators: list[Metric], subject_ids: NDArray[np.int64], months: list[Period], now: datetime) -> int:
    """Store a part and a whole for every indicator, subject and month; return the number of rows.

    One part in a hundred is missing and one whole in a hundred is 0, as it happens.
    """
    draw = np.random.default_rng(SEED)
    rows = 0
    versions = {version.metric_id: version for version in FormulaVersion.objects.filter(metric__in=indicators)}
    ids = dict(Metric.objects.values_list("key", "pk"))
    for metric in indicators:
        version = versions[metric.pk]
        for month in months:
            whole = draw.integers(800, 12_000, len(subject_ids))
            part = whole * draw.integers(300, 1_001, len(subject_ids)) // 1_000
            whole[draw.random(len(subject_ids)) < 0.01] = 0
            kept = draw.random(len(subject_ids)) >= 0.01
            rows += store(ids[version.denominator], subject_ids, whole, draw, month, now)
            rows += store(ids[version.numerator], subject_ids[kept], part[kept], draw, month, now)
    return rows


def store(
    metric_id: int,
    subject_ids: NDArray[np.int64],
    numbers: NDArray[np.int64],
    draw: np.random.Generator,
    period: Period,
    now: datetime,
    fact_ids: NDArray[np.int64] | None = None,
) -> int:
    """Store numbers of one measure in one period, approved or estimated; return how many."""
    repeated = {} if fact_ids is None else {"fact_id": fact_ids}
    states = np.where(draw.random(len(subject_ids)) < 0.9, State.APPROVED, State.ESTIMATED)
    columnar.insert_values(
        {
            "metric_id": metric_id,
            "subject_id": subject_ids,
            "period_kind": period.kind,
            "period_start": period.start_date,
            "scenario": str(Scenario.ACTUAL),
            "number": numbers,
            "low_open": False,
            "high_open": False,
            "state": states,
            "parts_present": 1,
            "parts_total": 1,
            "version": 1,
            "computed_at": now,
            **repeated,
        },
        len(subject_ids),
    )
    return len(subject_ids)


def list_months(count: int, last_year: Period = LAST_YEAR) -> list[Period]:
    """Return that many months up to the end of a year."""
    end = Period.containing(last_year.end_date, "M")
    return [end.shift(number - count) for number in range(count)]


def get_country() -> Subject:
    return queries.get_country()


def make_person(username: str, role: str, scope: Subject) -> Person:
    """Make someone who holds this role on the scope."""
    person = Person.objects.create(username=username, full_name=username)
    Grant.objects.create(person=person, role=role, scope=scope, valid_from=date(2020, 1, 1))
    return person
