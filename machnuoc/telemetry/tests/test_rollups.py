"""Hours and days follow the readings, whenever and in whatever parts they come."""

import random
import threading
from datetime import UTC, date, datetime

import pytest

from machnuoc.telemetry import archive, rollups, store
from machnuoc.telemetry.channel_terms import day_ms
from machnuoc.telemetry.models import QualityLimit, TotaliserMark
from machnuoc.telemetry.tests import readings, world

HOUR, DAY, MINUTE = store.HOUR_MS, store.DAY_MS, 60_000
TODAY = day_ms(date(2026, 11, 20))
NOW = TODAY + 10 * HOUR


@pytest.fixture
def device(clean_store):
    return world.make_device(world.make_work())


def run_all(now_ms=NOW, limit=rollups.LIMIT):
    for _ in range(500):
        if not rollups.run_once(now_ms, limit):
            return
    raise AssertionError("the marks never end")


def hour_of(channel, hour):
    rows = store.query(
        "SELECT readings, low, total, high, last, last_at, volume, within, out_of_range, expected "
        "FROM telemetry_rollup_hour WHERE channel = ? AND hour = ?",
        [channel.pk, hour],
    )
    names = ("readings", "low", "total", "high", "last", "last_at", "volume", "within", "out_of_range", "expected")
    return dict(zip(names, rows[0], strict=True)) if rows else None


def volumes(channel):
    rows = store.query(
        "SELECT hour, volume FROM telemetry_rollup_hour WHERE channel = ? AND volume IS NOT NULL ORDER BY hour",
        [channel.pk],
    )
    return dict(rows)


def marks():
    return store.query("SELECT count(*) FROM telemetry_dirty_hour")[0][0]


def test_an_hour_tells_its_readings(device):
    pressure = world.make_channel(device, "p", "pressure", role="CONTINUITY", minimum=10)
    readings.put(
        [(pressure.pk, TODAY, 12), (pressure.pk, TODAY + 20 * MINUTE, 8), (pressure.pk, TODAY + 50 * MINUTE, 14),
         (pressure.pk, TODAY + 55 * MINUTE, 999, store.OUT_OF_RANGE), (pressure.pk, TODAY + HOUR, 15)]
    )  # fmt: skip

    run_all()

    assert hour_of(pressure, TODAY) == {
        "readings": 4, "low": 8, "total": 34, "high": 14, "last": 14, "last_at": TODAY + 50 * MINUTE, "volume": None,
        "within": 2, "out_of_range": 1, "expected": 12,
    }  # fmt: skip
    assert hour_of(pressure, TODAY + HOUR)["readings"] == 1
    assert marks() == 0
    day = store.query(
        "SELECT readings, low, high, last, expected, within FROM telemetry_rollup_day WHERE day = ?", [TODAY]
    )
    assert day == [(5, 8, 15, 15, 120, 3)]  # by 10 o'clock


def test_a_mean_flow_becomes_a_volume(device):
    flow = world.make_channel(device, "q", "flow")
    readings.put([(flow.pk, TODAY + minute * MINUTE, value) for minute, value in ((0, 10), (20, 20), (40, 30))])

    run_all()

    assert hour_of(flow, TODAY)["volume"] == 20


def test_doing_it_again_changes_nothing_but_the_version(device):
    pressure = world.make_channel(device, "p", "pressure")
    readings.put([(pressure.pk, TODAY + i * MINUTE, i) for i in range(90)])
    run_all()
    before = (hour_of(pressure, TODAY), hour_of(pressure, TODAY + HOUR))

    rollups.mark([pressure.pk], TODAY, TODAY + DAY)
    assert marks() == 2
    run_all()

    assert (hour_of(pressure, TODAY), hour_of(pressure, TODAY + HOUR)) == before


def test_a_late_reading_corrects_the_hour_and_says_that_it_was_late(device):
    pressure = world.make_channel(device, "p", "pressure")
    yesterday = TODAY - DAY
    readings.put([(pressure.pk, yesterday + HOUR, 10)])
    run_all()

    readings.put([(pressure.pk, yesterday + HOUR + MINUTE, 20)])
    rollups.roll_hours(NOW)

    assert hour_of(pressure, yesterday + HOUR)["total"] == 30
    assert store.query("SELECT day, is_late FROM telemetry_dirty_day") == [(yesterday, 1)]


def test_a_reading_that_comes_while_its_hour_is_made_is_seen_at_the_next_run(device):
    pressure = world.make_channel(device, "p", "pressure")
    readings.put([(pressure.pk, TODAY, 10)])
    seen = store.query("SELECT channel, hour, version FROM telemetry_dirty_hour")
    readings.put([(pressure.pk, TODAY + MINUTE, 20)])

    with store.transaction() as cursor:
        rollups._forget(cursor, "hour", seen)

    assert marks() == 1
    run_all()
    assert hour_of(pressure, TODAY)["readings"] == 2


def test_a_piece_of_a_backlog_takes_its_own_marks_and_leaves_the_others(device):
    channels = [world.make_channel(device, key, "pressure") for key in ("p", "q")]
    hours = [TODAY + hour * HOUR for hour in range(6)]
    readings.put([(channel.pk, hour, 10) for channel in channels for hour in hours])

    assert rollups.roll_hours(NOW, 5) == 5

    left = store.query("SELECT hour, channel FROM telemetry_dirty_hour ORDER BY hour DESC, channel DESC")
    assert left == [(hour, channel.pk) for hour in reversed(hours) for channel in reversed(channels)][5:]
    assert store.query("SELECT count(*) FROM telemetry_rollup_hour")[0][0] == 5
    assert store.query("SELECT channel, day, version FROM telemetry_dirty_day ORDER BY channel") == [
        (channel.pk, TODAY, 1) for channel in channels
    ]


def test_marks_of_channels_that_are_gone_are_cleared_away(device):
    readings.put([(world.make_channel(device, "p", "pressure").pk + 1000, TODAY, 10)])

    assert rollups.roll_hours(NOW) == 1

    assert marks() == 0
    assert store.query("SELECT count(*) FROM telemetry_dirty_day")[0][0] == 0


def test_days_of_silence_are_days_too(device):
    pressure = world.make_channel(device, "p", "pressure")
    readings.put([(pressure.pk, TODAY - 3 * DAY + HOUR, 10)])

    run_all()

    rows = dict(store.query("SELECT day, readings FROM telemetry_rollup_day ORDER BY day"))
    assert rows[TODAY - 3 * DAY] == 1
    assert (rows[TODAY - 2 * DAY], rows[TODAY - DAY]) == (0, 0)
    assert TODAY not in rows


def test_a_limit_of_quality_counts_from_its_day(device):
    chlorine = world.make_channel(device, "cl", "chlorine", role="QUALITY")
    QualityLimit.objects.create(
        subject=device.work.subject, quantity="chlorine", low=0.2, high=1.0, valid_from=date(2026, 11, 20),
        standard="Quy chuẩn thử", source="thử", confidence="VERIFIED",
    )  # fmt: skip
    readings.put([(chlorine.pk, TODAY - HOUR, 0.1), (chlorine.pk, TODAY, 0.1), (chlorine.pk, TODAY + MINUTE, 0.5)])

    run_all()

    assert hour_of(chlorine, TODAY - HOUR)["within"] is None
    assert hour_of(chlorine, TODAY)["within"] == 1


# --- counters ---------------------------------------------------------------------------------------------------


@pytest.fixture
def meter(device):
    return world.make_channel(device, "v", "volume", largest_step_per_h=60, rolls_over_at=100_000, resolution=0.1)


def test_a_counter_gives_volumes_that_add_up(meter):
    readings.put([(meter.pk, TODAY + i * 5 * MINUTE, 99_990 + i if i < 10 else i - 10) for i in range(37)])

    run_all()

    found = volumes(meter)
    assert found[TODAY] == 12
    assert sum(found.values()) == 36


def test_a_gap_is_filled_by_time_and_corrected_when_its_readings_come(meter):
    readings.put([(meter.pk, TODAY, 100), (meter.pk, TODAY + 6 * HOUR, 160)])
    run_all()
    assert [volumes(meter)[TODAY + i * HOUR] for i in range(6)] == [10] * 6
    assert hour_of(meter, TODAY + 3 * HOUR)["readings"] == 0

    readings.put([(meter.pk, TODAY + 2 * HOUR, 150)])
    run_all()

    assert [volumes(meter)[TODAY + i * HOUR] for i in range(6)] == [25, 25, 2.5, 2.5, 2.5, 2.5]


def test_a_person_overrules_a_jump(meter):
    at = TODAY + HOUR
    readings.put([(meter.pk, TODAY + 55 * MINUTE, 100), (meter.pk, at, 900), (meter.pk, at + 5 * MINUTE, 901)])
    run_all()
    assert sum(volumes(meter).values()) == 1
    person = world.make_person()
    TotaliserMark.objects.create(
        channel=meter, at=datetime.fromtimestamp(at / 1000, UTC), what="JUMP", step_m3=4, reason="đọc tại chỗ",
        decided_by=person, decided_at=datetime.fromtimestamp(NOW / 1000, UTC),
    )  # fmt: skip

    rollups.mark([meter.pk], TODAY, TODAY + 2 * HOUR)
    run_all()

    assert sum(volumes(meter).values()) == 5


def test_volumes_do_not_depend_on_the_parts_in_which_readings_come(device):
    """Whole, in order a piece at a time, or shuffled: the hours are the same, events and gaps included."""
    chance = random.Random(7)
    values, value = [], 99_900.0
    for number in range(12 * 30):
        value += chance.choice([0, 0.5, 1, 2])
        if number == 150:
            value = 3.0  # a reset
        values.append(900_000.0 if number == 200 else value - 4 if 250 <= number < 255 else value)
    rows = [(TODAY - DAY + i * 5 * MINUTE, reading) for i, reading in enumerate(values) if not 100 <= i < 130]
    found = []
    for how in ("whole", "pieces", "shuffled"):
        meter = world.make_channel(device, how, "volume", largest_step_per_h=60, rolls_over_at=100_000)
        ordered = rows if how != "shuffled" else chance.sample(rows, len(rows))
        size = len(rows) if how == "whole" else 23
        for start in range(0, len(ordered), size):
            readings.put([(meter.pk, at, reading) for at, reading in ordered[start : start + size]])
            run_all()
        found.append({hour: round(volume, 6) for hour, volume in volumes(meter).items()})

    assert found[0] == found[1] == found[2]
    assert sum(found[0].values()) == pytest.approx(sum(v for v in found[0].values() if v >= 0))
    assert min(found[0].values()) >= 0


# --- more than one, and after a kill ----------------------------------------------------------------------------


def test_a_run_that_is_killed_between_its_steps_is_made_good(device, monkeypatch):
    pressure = world.make_channel(device, "p", "pressure", role="CONTINUITY", minimum=5)
    readings.put([(pressure.pk, TODAY - DAY + i * 5 * MINUTE, 10) for i in range(288)])
    for step in ("_mark_days", "_forget"):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(rollups, step, _killed)
            rollups.run_once(NOW)
        assert marks() == 24
        assert store.query("SELECT count(*) FROM telemetry_rollup_hour") == [(0,)]

    run_all()

    assert store.query("SELECT count(*), sum(readings) FROM telemetry_rollup_hour") == [(24, 288)]


def _killed(*_args, **_options):
    raise KeyboardInterrupt


@pytest.mark.django_db(transaction=True)
def test_two_runners_and_a_sender_do_not_disturb_each_other(device):
    channels = [world.make_channel(device, f"p{number}", "pressure") for number in range(4)]
    ids = [channel.pk for channel in channels]
    failures: list[BaseException] = []

    def work(act):
        try:
            act()
        except BaseException as reason:
            failures.append(reason)
        finally:
            from django.db import connections

            store.close()
            connections.close_all()

    def send():
        for i in range(120):
            readings.put([(channel, TODAY + i * 5 * MINUTE % (3 * HOUR) + i * 1000, i) for channel in ids])

    def roll():
        for _ in range(60):
            rollups.roll_hours(NOW, 7)

    threads = [threading.Thread(target=work, args=(act,)) for act in (send, roll, roll)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run_all()

    assert failures == []
    truth = store.query(
        "SELECT channel, at / 3600000 * 3600000, count(*), sum(value) FROM telemetry_reading "
        "GROUP BY 1, 2 ORDER BY 1, 2"
    )
    assert store.query("SELECT channel, hour, readings, total FROM telemetry_rollup_hour ORDER BY 1, 2") == truth


def test_hours_of_an_archived_month_are_made_from_both(device, settings, tmp_path):
    settings.DATA_DIR = tmp_path if store.is_postgresql() else settings.DATA_DIR
    pressure = world.make_channel(device, "p", "pressure")
    meter = world.make_channel(device, "v", "volume", largest_step_per_h=60)
    start = day_ms(date(2026, 9, 10))
    readings.put([(pressure.pk, start + i * 5 * MINUTE, 10) for i in range(11)])
    readings.put([(meter.pk, start + i * 5 * MINUTE, 100 + i) for i in range(11)])
    run_all()
    archive.archive_closed(NOW, keep_days=0)
    assert store.query("SELECT count(*) FROM telemetry_reading") == [(0,)]

    readings.put([(pressure.pk, start + 55 * MINUTE, 32), (meter.pk, start + 65 * MINUTE, 113)])
    run_all()

    assert hour_of(pressure, start)["total"] == 142
    assert sum(volumes(meter).values()) == 13


def test_the_hour_that_runs_may_wait_but_those_that_are_over_do_not(device):
    pressure = world.make_channel(device, "p", "pressure")
    readings.put([(pressure.pk, NOW, 10)])
    assert rollups.run_once(NOW, running_every_ms=10_000)

    readings.put([(pressure.pk, NOW + 1000, 20), (pressure.pk, NOW - HOUR, 30)])
    rollups.run_once(NOW + 1000, running_every_ms=10_000)
    assert (hour_of(pressure, NOW)["readings"], hour_of(pressure, NOW - HOUR)["readings"]) == (1, 1)

    rollups.run_once(NOW + 11_000, running_every_ms=10_000)
    assert hour_of(pressure, NOW)["readings"] == 2
