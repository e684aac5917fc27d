"""Closed months go into files and come back the same, whatever happens meanwhile."""

import random
from datetime import date

import numpy as np
import pytest

from machnuoc.telemetry import archive, history, store
from machnuoc.telemetry.channel_terms import day_ms
from machnuoc.telemetry.tests import readings

MINUTE, HOUR, DAY = 60_000, store.HOUR_MS, store.DAY_MS
SEPTEMBER, OCTOBER = day_ms(date(2026, 9, 1)), day_ms(date(2026, 10, 1))
NOW = day_ms(date(2026, 11, 20))


@pytest.fixture(autouse=True)
def _own_folder(clean_store, settings, tmp_path):
    if store.is_postgresql():
        settings.DATA_DIR = tmp_path
    yield
    for path in archive.folder().glob("*.parquet"):
        path.unlink()


def a_month(channels=(3, 5), start=SEPTEMBER, days=5):
    chance = random.Random(3)
    return [
        (channel, start + i * 5 * MINUTE, round(20 + channel + chance.gauss(0, 1), 2), int(i % 7 == 0))
        for channel in channels
        for i in range(days * 288)
    ]


def every_reading(channels=(3, 5)):
    return list(history.export_rows(channels, SEPTEMBER - DAY, NOW))


def hot():
    return store.query("SELECT count(*) FROM telemetry_reading")[0][0]


def test_a_closed_month_goes_into_a_file_and_reads_the_same():
    rows = a_month()
    readings.put([*rows, (3, NOW, 1.5)])
    before = every_reading()

    (done,) = archive.archive_closed(NOW, keep_days=0)

    assert (done.key, done.readings, done.removed) == ("2026-09", len(rows), len(rows))
    assert hot() == 1
    assert every_reading() == before
    assert archive.verify() == []
    assert archive.archive_closed(NOW, keep_days=0) == []


def test_a_reading_takes_few_bytes():
    readings.put(a_month(channels=range(10), days=28))

    (done,) = archive.archive_closed(NOW, keep_days=0)

    assert done.bytes / done.readings <= 4


def test_the_months_to_keep_stay_hot():
    readings.put([*a_month(days=1), *a_month(start=OCTOBER, days=1)])

    assert archive.archive_closed(NOW, keep_days=62) == []
    assert [done.key for done in archive.archive_closed(NOW, keep_days=0, before="2026-10")] == ["2026-09"]
    assert hot() == 576


def test_late_data_lives_hot_and_is_merged_at_the_next_run():
    readings.put(a_month())
    archive.archive_closed(NOW, keep_days=0)
    file = archive.list_months()[0].file

    readings.put([(3, SEPTEMBER, 99.25), (3, SEPTEMBER + MINUTE, 7.5), (8, SEPTEMBER, 1.0)])  # corrected, new, new
    expected = every_reading((3, 5, 8))
    assert (3, SEPTEMBER, 99.25, 0) in expected

    (done,) = archive.archive_closed(NOW, keep_days=0)

    assert (done.readings, done.removed) == (2 * 5 * 288 + 2, 3)
    assert archive.list_months()[0].file != file
    assert every_reading((3, 5, 8)) == expected
    assert hot() == 0


def test_points_are_found_for_the_test_of_duplicates():
    readings.put(a_month())
    archive.archive_closed(NOW, keep_days=0)
    known = {(row[0], row[1]): row[2] for row in a_month()}
    asked = [(5, SEPTEMBER + HOUR), (3, SEPTEMBER), (3, SEPTEMBER + 1), (9, SEPTEMBER), (3, NOW)]

    found = archive.read_points(np.array([one[0] for one in asked]), np.array([one[1] for one in asked]))

    got = dict(zip(zip(found.channel.tolist(), found.at.tolist(), strict=True), found.value.tolist(), strict=True))
    assert got == {place: known[place] for place in asked[:2]}


def test_the_nearest_instants_are_found_in_the_archive_too():
    readings.put(a_month(days=1))
    archive.archive_closed(NOW, keep_days=0)
    readings.put([(3, SEPTEMBER + 12 * MINUTE, 1.0)])

    assert history.instants_before(3, SEPTEMBER + 13 * MINUTE, 2) == [SEPTEMBER + 12 * MINUTE, SEPTEMBER + 10 * MINUTE]
    assert history.instants_from(3, SEPTEMBER + 11 * MINUTE, 2) == [SEPTEMBER + 12 * MINUTE, SEPTEMBER + 15 * MINUTE]


@pytest.mark.parametrize("step", ["_sync_and_hash", "_sync_folder", "_remove_hot"])
def test_a_run_that_is_killed_loses_and_doubles_nothing(step, monkeypatch):
    readings.put(a_month())
    before = every_reading()

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(archive, step, _killed)
        archive.archive_closed(NOW, keep_days=0)
    assert every_reading() == before

    archive.archive_closed(NOW, keep_days=0)
    assert every_reading() == before
    assert hot() == 0
    known = {month.file for month in archive.list_months()}
    assert not list(archive.folder().glob("*.tmp"))
    assert known <= {path.name for path in archive.folder().glob("*.parquet")}


def test_what_is_corrected_while_the_month_is_archived_is_not_deleted(monkeypatch):
    readings.put(a_month())
    remove = archive._remove_hot

    def correct_first(channel, *given):
        if channel == 3:
            readings.put([(3, SEPTEMBER, 55.5), (3, SEPTEMBER + 1, 66.5)])
        return remove(channel, *given)

    monkeypatch.setattr(archive, "_remove_hot", correct_first)
    archive.archive_closed(NOW, keep_days=0)

    assert hot() == 2
    assert (3, SEPTEMBER, 55.5, 0) in every_reading()


def _killed(*_given):
    raise KeyboardInterrupt


def test_a_file_that_was_changed_is_found_out():
    readings.put(a_month(days=1))
    archive.archive_closed(NOW, keep_days=0)
    path = archive.folder() / archive.list_months()[0].file
    path.write_bytes(path.read_bytes()[:-8] + b"12345678")

    assert ["đã bị đổi" in problem for problem in archive.verify()] == [True]


def test_two_runs_at_once_are_refused():
    readings.put(a_month(days=1))
    with archive._alone(), pytest.raises(archive.ArchiveFailed, match="đang chạy"):
        archive.archive_closed(NOW, keep_days=0)


def test_archived_readings_are_kept_for_as_long_as_is_said():
    readings.put(a_month(days=1))
    archive.archive_closed(NOW, keep_days=0)

    assert archive.expire(NOW, keep_years=1) == []
    assert archive.expire(NOW + 800 * DAY, keep_years=1) == ["2026-09"]
    assert every_reading() == []
