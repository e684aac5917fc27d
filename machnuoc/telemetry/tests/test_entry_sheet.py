"""A station without sensors gives its month on a sheet; it counts as the sensors' figures do."""

from decimal import Decimal

import pytest

from machnuoc.indicators import catalogue, entry, lineage
from machnuoc.indicators.models import Metric, State, Value
from machnuoc.indicators.tests import entry_world
from machnuoc.indicators.tests.entry_world import JULY, at
from machnuoc.telemetry import entry_sheet


@pytest.fixture
def world(db):
    catalogue.load_catalogue(at(1))
    return entry_world.make_world()


def test_the_sheet_of_a_month_makes_the_figures_of_the_station(world):
    form = entry_sheet.put_entry_form([world.south])
    assert entry_sheet.put_entry_form([world.south]) == form
    assert form.lines.count() == len(entry_sheet.ENTERED)
    metrics = {metric.key: metric for metric in Metric.objects.all()}
    sheet = entry.open_submission(form, world.south, JULY, world.writer, at(5))
    cells = {
        (metrics[key].pk, world.nghia_phu.pk): text
        for key, text in (
            ("telemetry.volume_supplied_m3", "9300"), ("telemetry.supplied_days", "31"),
            ("telemetry.energy_kwh", "4650"),
            ("service.supply_hours", "620"), ("service.supply_days", "31"),
        )
    }  # fmt: skip

    result = entry.save_cells(sheet, cells, version=None, by=world.writer, now=at(5))
    entry.submit(sheet, version=None, by=world.writer, now=at(6))
    entry.approve(sheet, by=world.leader, now=at(7))

    assert not result.errors
    july = Value.objects.filter(subject=world.nghia_phu, period_kind="M", period_start=JULY.start_date)
    found = {
        value.metric.key: Decimal(value.number).scaleb(-value.metric.decimals)
        for value in july.select_related("metric")
    }
    assert found["telemetry.supplied_m3d"] == 300
    assert found["telemetry.energy_per_m3"] == Decimal("0.50")
    assert found["service.supply_hours_a_day"] == 20
    supplied = july.get(metric__key="telemetry.volume_supplied_m3")
    assert supplied.state == State.APPROVED
    leaf = next(lineage.leaves(lineage.lineage(supplied, world.leader)))
    assert leaf.kind in {"fact", "passage"}
    centre = Value.objects.get(
        metric__key="telemetry.volume_supplied_m3", subject=world.centre.subject, period_kind="M",
        period_start=JULY.start_date,
    )  # fmt: skip
    assert centre.number == 93000
