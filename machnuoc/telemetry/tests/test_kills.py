"""Processes that are killed (SIGKILL) at any moment: nothing lost, nothing doubled."""

import os
import random
import signal
import time
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connections, transaction

from machnuoc.core.periods import Period
from machnuoc.indicators import catalogue, operations
from machnuoc.indicators.models import DirtyRange, Metric, Value, ValueChange
from machnuoc.telemetry import archive, daily_figures, history, rollups, store
from machnuoc.telemetry.channel_terms import day_ms
from machnuoc.telemetry.models import MeasureFact
from machnuoc.telemetry.tests import readings, world

MINUTE, HOUR, DAY = 60_000, store.HOUR_MS, store.DAY_MS
START = day_ms(date(2026, 9, 1))
NOW = day_ms(date(2026, 11, 20))
ROUNDS = 8
_of_the_parent: list[object] = []


def kill_after(act, delay_s):
    """Run the act in a process of its own and kill it after a while; return whether it had come to its end."""
    store.close()
    connections.close_all()
    child = os.fork()
    if child == 0:
        _of_the_parent.append(getattr(archive._local, "connection", None))  # its threads are not here: never ended
        archive._local.connection = None
        try:
            act()
            os._exit(0)
        except BaseException:
            os._exit(1)
    time.sleep(delay_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in {0, -signal.SIGKILL}
    return os.waitstatus_to_exitcode(status) == 0


@pytest.fixture
def own_folder(clean_store, settings, tmp_path):
    if store.is_postgresql():
        settings.DATA_DIR = tmp_path
    yield
    for path in archive.folder().glob("*.parquet"):
        path.unlink()


@pytest.mark.django_db(transaction=True)
def test_an_archive_run_that_is_killed_anywhere_is_made_good(own_folder):
    chance = random.Random(11)
    readings.put([(channel, START + i * 5 * MINUTE, i / 8) for channel in (1, 2, 3) for i in range(4000)])
    before = list(history.export_rows([1, 2, 3], START, NOW))

    for _ in range(ROUNDS):
        kill_after(lambda: archive.archive_closed(NOW, keep_days=0), chance.uniform(0.01, 0.8))
        assert list(history.export_rows([1, 2, 3], START, NOW)) == before
    archive.archive_closed(NOW, keep_days=0)

    assert list(history.export_rows([1, 2, 3], START, NOW)) == before
    assert store.query("SELECT count(*) FROM telemetry_reading") == [(0,)]
    assert archive.verify() == []


@pytest.mark.django_db(transaction=True)
def test_a_rollup_run_that_is_killed_anywhere_is_made_good(clean_store):
    chance = random.Random(12)
    device = world.make_device(world.make_work())
    level = world.make_channel(device, "p", "pressure")
    meter = world.make_channel(device, "v", "volume", largest_step_per_h=60)
    readings.put([(level.pk, START + i * 5 * MINUTE, i % 7) for i in range(3000)])
    readings.put([(meter.pk, START + i * 5 * MINUTE, 100.0 + i) for i in range(3000)])

    for _ in range(ROUNDS):
        kill_after(lambda: [rollups.roll_hours(NOW, 30) for _ in range(40)], chance.uniform(0.01, 0.25))
    while rollups.roll_hours(NOW, 100):
        pass

    truth = store.query(
        "SELECT at / 3600000 * 3600000, count(*), sum(value) FROM telemetry_reading WHERE channel = ? "
        "GROUP BY 1 ORDER BY 1",
        [level.pk],
    )
    found = store.query(
        "SELECT hour, readings, total FROM telemetry_rollup_hour WHERE channel = ? ORDER BY 1", [level.pk]
    )
    assert found == truth
    volume = store.query("SELECT sum(volume) FROM telemetry_rollup_hour WHERE channel = ?", [meter.pk])[0][0]
    assert volume == pytest.approx(2999)


@pytest.mark.django_db(transaction=True)
def test_computing_the_indicators_that_is_killed_anywhere_is_made_good(clean_store):
    chance = random.Random(13)
    catalogue.load_catalogue(datetime(2026, 1, 1, tzinfo=UTC))
    work = world.make_work()
    days = [date(2026, 8, 1) + timedelta(days=number) for number in range(60)]
    with transaction.atomic():
        MeasureFact.objects.bulk_create(
            MeasureFact(
                work=work, key=key, day=day, number=100 + day.day, computed_at=datetime(2026, 10, 1, tzinfo=UTC)
            )
            for key in daily_figures.DECIMALS
            for day in days
        )
        for metric in Metric.objects.filter(key__in=[*daily_figures.DECIMALS, *daily_figures.DAYS_OF]):
            for month in (8, 9):
                operations.mark_dirty(metric, period=Period("M", date(2026, month, 1)), reason="thử", can_wait=True)
    marks = DirtyRange.objects.count()

    in_the_middle = 0
    for _ in range(ROUNDS):
        is_done = kill_after(lambda: daily_figures.recompute_what_waits(NOW), chance.uniform(0.02, 0.4))
        assert DirtyRange.objects.count() == marks or (is_done and not DirtyRange.objects.exists())
        in_the_middle += Value.objects.exists() and DirtyRange.objects.exists()
        if is_done:
            break
    daily_figures.recompute_what_waits(NOW)

    assert in_the_middle
    assert not DirtyRange.objects.exists()
    for metric in Metric.objects.all():
        operations.mark_dirty(metric, reason="thử")
        for month in (8, 9):
            operations.mark_dirty(metric, period=Period("M", date(2026, month, 1)), reason="thử")
    at_once = operations.recompute_dirty(datetime(2026, 11, 20, tzinfo=UTC))
    assert (at_once.inserted, at_once.changed) == (0, 0) and at_once.unchanged > 30
    assert not ValueChange.objects.exists()
