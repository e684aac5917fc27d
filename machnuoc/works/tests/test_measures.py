"""Design capacity as a figure."""

from datetime import date
from decimal import Decimal

import pytest

from machnuoc.core.periods import Period
from machnuoc.indicators import providers
from machnuoc.works import operations
from machnuoc.works.models import Work

pytestmark = pytest.mark.usefixtures("demo_data", "db")


def design_of(work: Work, period: str) -> int | None:
    provided = providers.provide("works.households_design", Period.parse(period))
    return dict(zip(provided.subject_ids.tolist(), provided.numbers.tolist(), strict=True)).get(work.pk)


def test_the_design_of_all_stations_adds_up_as_printed():
    provided = providers.provide("works.households_design", Period.parse("2025"))

    assert len(provided.numbers) == 29
    assert int(provided.numbers.sum()) == 34_657


def test_the_capacity_of_a_period_is_the_one_in_force_on_its_last_day():
    work = Work.objects.get(subject__key="work.qn.binh-minh")
    operations.record_capacity(
        work, kind="DESIGN", basis="HOUSEHOLDS", amount=Decimal(800), from_date=date(2026, 6, 30)
    )

    assert design_of(work, "2026-05") == 600
    assert design_of(work, "2026-06") == 800
    assert design_of(work, "2025") == 600
    assert design_of(work, "2026") == 800


def test_a_capacity_that_begins_the_day_after_does_not_count_yet():
    work = Work.objects.get(subject__key="work.qn.binh-minh")
    operations.record_capacity(work, kind="DESIGN", basis="HOUSEHOLDS", amount=Decimal(800), from_date=date(2026, 7, 1))

    assert design_of(work, "2026-06") == 600


def test_volumes_keep_two_decimals():
    work = Work.objects.get(subject__key="work.cb.nuoc-hai")
    operations.record_capacity(work, kind="DESIGN", basis="M3D", amount=Decimal("1250.5"), from_date=date(2026, 1, 1))

    provided = providers.provide("works.capacity_design_m3d", Period.parse("2026"))

    assert provided.numbers.tolist() == [125_050]


def test_the_source_of_a_design_is_the_line_of_the_plan():
    work = Work.objects.get(subject__key="work.qn.nghia-phu")

    (source,) = providers.explain("works.households_design", work.pk, Period.parse("2025"))

    assert "950 hộ" in source.text
    assert source.url == "/cong-trinh/work.qn.nghia-phu/"
    assert source.passage.key == "phu-luc-1.10"
