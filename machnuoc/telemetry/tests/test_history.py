"""One question for minutes and for years."""

from datetime import date

import numpy as np
import pytest

from machnuoc.telemetry import archive, history, rollups, store
from machnuoc.telemetry.channel_terms import day_ms
from machnuoc.telemetry.tests import readings, world

MINUTE, HOUR, DAY = 60_000, store.HOUR_MS, store.DAY_MS
TODAY = day_ms(date(2026, 11, 20))
NOW = TODAY + 12 * HOUR


@pytest.fixture
def pressure(clean_store):
    return world.make_channel(world.make_device(world.make_work()), "p", "pressure", expected_interval_s=60)


def roll():
    while rollups.roll_hours(NOW):
        pass
    rollups.roll_days(NOW)


def test_a_few_readings_are_shown_as_they_are(pressure):
    readings.put([(pressure.pk, TODAY + i * MINUTE, i / 4) for i in range(60)])

    shown = history.read(pressure.pk, TODAY, TODAY + HOUR)

    assert shown.source == "raw" and not shown.is_rollup and shown.bucket_ms == 0
    assert shown.at.tolist() == [TODAY + i * MINUTE for i in range(60)]
    assert shown.value.tolist() == shown.low.tolist() == [i / 4 for i in range(60)]
    assert shown.gaps == ()


def test_a_long_span_keeps_its_peaks(pressure):
    rows = [(pressure.pk, TODAY - 2 * DAY + i * MINUTE, 20.0) for i in range(2 * 1440)]
    rows[777] = (pressure.pk, rows[777][1], 55.0)
    rows[1500] = (pressure.pk, rows[1500][1], 999.0, store.OUT_OF_RANGE)
    readings.put(rows)

    shown = history.read(pressure.pk, TODAY - 2 * DAY, TODAY, points=100)

    assert len(shown.at) <= 101
    assert shown.high.max() == 55.0 and shown.low.min() == 20.0
    assert (shown.readings, shown.left_out) == (2880, 1)


def test_a_pause_is_a_gap_and_not_a_line(pressure):
    readings.put([(pressure.pk, TODAY + i * MINUTE, 20.0) for i in range(60) if not 20 <= i < 40])

    shown = history.read(pressure.pk, TODAY, TODAY + HOUR)

    assert shown.gaps == ((TODAY + 19 * MINUTE, TODAY + 40 * MINUTE),)
    data = shown.as_data()
    assert data["value"].count(None) == 1
    assert data["at"] == sorted(data["at"])


def test_months_are_shown_from_hours_and_years_from_days(pressure):
    start = TODAY - 90 * DAY
    rows = [(pressure.pk, start + i * HOUR, float(i % 24)) for i in range(90 * 24) if not 500 <= i < 600]
    readings.put(rows)
    roll()

    months = history.read(pressure.pk, start, TODAY, points=3000)
    years = history.read(pressure.pk, TODAY - 900 * DAY, TODAY)

    assert (months.source, months.bucket_ms) == ("hour", HOUR)
    assert months.gaps == ((start + 500 * HOUR, start + 600 * HOUR),)
    assert np.nanmax(months.high) == 23
    assert years.source == "day"
    assert np.nanmin(years.low) == 0 and np.nanmax(years.high) == 23


def test_hot_rows_stand_before_the_archive(pressure, settings, tmp_path):
    if store.is_postgresql():
        settings.DATA_DIR = tmp_path
    start = day_ms(date(2026, 9, 2))
    readings.put([(pressure.pk, start + i * MINUTE, 20.0) for i in range(30)])
    archive.archive_closed(NOW, keep_days=0)
    readings.put([(pressure.pk, start + 3 * MINUTE, 25.0), (pressure.pk, start + 40 * MINUTE, 26.0)])

    found = history.read_raw(pressure.pk, start, start + HOUR)

    assert len(found) == 31
    assert found.value[3] == 25.0 and found.value[-1] == 26.0
    assert (np.diff(found.at) > 0).all()
    for path in archive.folder().glob("*.parquet"):
        path.unlink()


def test_volumes_stand_beside_a_counter(clean_store):
    device = world.make_device(world.make_work())
    meter = world.make_channel(device, "v", "volume", largest_step_per_h=60)
    readings.put([(meter.pk, TODAY + i * 5 * MINUTE, 100.0 + i) for i in range(25)])
    roll()

    shown = history.read(meter.pk, TODAY, TODAY + 3 * HOUR, source="hour")

    assert shown.volume is not None
    assert np.nansum(shown.volume) == 24


def test_nothing_is_an_empty_series(pressure):
    for source in ("raw", "hour", "day"):
        shown = history.read(pressure.pk, TODAY, TODAY + DAY, source=source)
        assert (len(shown.at), shown.gaps, shown.readings) == (0, (), 0)


def test_a_span_that_ends_before_it_begins_is_refused(pressure):
    with pytest.raises(ValueError, match="ends after"):
        history.read(pressure.pk, TODAY, TODAY)


def test_what_the_database_sums_up_is_what_the_readings_say(pressure, monkeypatch):
    rows = [(pressure.pk, TODAY - 4 * DAY + i * MINUTE, round(20 + (i % 97) / 10, 1)) for i in range(4 * 1440)]
    del rows[2000:2300]  # a pause of hours, and one within a bucket
    del rows[4000:4012]
    rows[1500] = (pressure.pk, rows[1500][1], 999.0, store.OUT_OF_RANGE)
    readings.put(rows)

    summed = history.read(pressure.pk, TODAY - 4 * DAY, TODAY, points=100)
    monkeypatch.setattr(history, "_of_many_readings", lambda *_: None)
    one_by_one = history.read(pressure.pk, TODAY - 4 * DAY, TODAY, points=100)

    assert summed.gaps == one_by_one.gaps and len(summed.gaps) == 2
    assert summed.as_data() == one_by_one.as_data()


@pytest.mark.parametrize(
    ("span", "step"),
    [(3 * HOUR, 5 * MINUTE), (DAY, 30 * MINUTE), (7 * DAY, 2 * HOUR), (30 * DAY, 12 * HOUR)],
)
def test_a_point_stands_for_a_step_that_people_count_in(pressure, span, step):
    start = TODAY - span + 7 * MINUTE
    readings.put([(pressure.pk, at, 20.0 + at % 7) for at in range(start, start + span, MINUTE)])

    shown = history.read(pressure.pk, start, start + span, points=90)

    assert shown.bucket_ms == step
    assert len(shown.at) <= 90
    assert shown.at[0] == start
    assert all((at - TODAY) % step == 0 for at in shown.at[1:].tolist())
