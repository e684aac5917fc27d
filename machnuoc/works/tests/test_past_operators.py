"""Figures of the past stay with the operators and places of the past."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from machnuoc.core.models import Person
from machnuoc.core.periods import Period
from machnuoc.indicators import lineage
from machnuoc.indicators import operations as indicators
from machnuoc.indicators.models import Metric, State, Value
from machnuoc.places import containment
from machnuoc.places.models import Organisation, Subject
from machnuoc.works import operations
from machnuoc.works.models import Work

pytestmark = pytest.mark.usefixtures("demo_data", "db")
NOW = datetime(2026, 8, 1, tzinfo=UTC)


def households(organisation: str, year: str) -> int | None:
    value = Value.objects.filter(
        metric__key="works.households_connected", subject__key=organisation, period_start=Period.parse(year).start_date
    ).first()
    return value.number if value else None


def connect(work: Work, year: str, number: int) -> None:
    indicators.state_fact(
        metric=Metric.objects.get(key="works.households_connected"), subject=work.subject, period=Period.parse(year),
        number=Decimal(number), state=State.APPROVED, now=NOW,
    )  # fmt: skip


def test_late_data_of_last_year_goes_to_last_years_operator():
    work = Work.objects.get(subject__key="work.qn.binh-chanh")
    other = Organisation.objects.get(subject__key="org.cb.bao-lac")
    connect(work, "2026", 1_300)
    operations.set_operator(work, other, from_date=date(2026, 7, 1))
    indicators.recompute_dirty(NOW)

    connect(work, "2025", 1_290)  # 1,288 in the plan: two households more
    indicators.recompute_dirty(NOW)

    assert households("org.qn.trung-tam", "2025") == 25_332
    assert households("org.cb.bao-lac", "2025") is None
    assert households("org.cb.bao-lac", "2026") == 1_300


def test_the_lineage_of_last_year_lists_last_years_works():
    work = Work.objects.get(subject__key="work.qn.binh-chanh")
    operations.set_operator(work, Organisation.objects.get(subject__key="org.cb.bao-lac"), from_date=date(2026, 7, 1))
    value = lineage.get_value(
        Value.objects.get(
            metric__key="works.households_connected", subject__key="org.qn.trung-tam", period_start=date(2025, 1, 1)
        ).pk,
        Person.objects.get(username="quantri"),
    )

    assert value is not None
    assert lineage.recheck(value).is_same


def test_who_lies_in_whom_is_known_for_every_day():
    work = Work.objects.get(subject__key="work.qn.binh-chanh")
    centre = Subject.objects.get(key="org.qn.trung-tam")
    operations.set_operator(work, Organisation.objects.get(subject__key="org.cb.bao-lac"), from_date=date(2026, 7, 1))

    assert work.pk in containment.list_descendants(centre.pk, date(2026, 6, 30))
    assert work.pk not in containment.list_descendants(centre.pk, date(2026, 7, 1))
    pairs = containment.list_pairs(Subject.objects.filter(pk=work.pk), date(2026, 6, 30))
    assert (centre.pk, work.pk) in pairs
