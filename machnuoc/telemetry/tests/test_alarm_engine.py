"""Alarms follow the stored readings, whatever the order, the batches or the moment of a crash."""

from datetime import timedelta

import numpy as np
import pytest
from django.db import OperationalError

from machnuoc.telemetry import alarm_engine, alarm_rules, archive, store
from machnuoc.telemetry.models import Alarm, AlarmRule, AlarmStep, RuleProgress
from machnuoc.telemetry.tests.alarm_world import (
    MINUTE,
    NOON,
    NOON_MS,
    arrive,
    look,
    make_channel,
    make_rule,
    make_work,
    told,
)

pytestmark = pytest.mark.usefixtures("clean_store")


@pytest.fixture(autouse=True)
def _fresh_engine():
    alarm_engine.forget()
    yield
    alarm_engine.forget()


def whats(alarm: Alarm) -> list[str]:
    return list(alarm.steps.values_list("what", flat=True))


def test_an_alarm_is_raised_returns_and_says_its_numbers():
    channel = make_channel()
    rule = make_rule(channel, "THRESHOLD", {"low": 0.2, "high": 1.0})

    arrive(channel, (0, 0.5), (1, 1.25))
    assert look(1) == 1
    assert told() == [(1, None, "ACTIVE_UNACKED")]
    arrive(channel, (2, 1.5))
    look(2)
    arrive(channel, (3, 0.6))
    look(3)

    alarm = Alarm.objects.get()
    assert told(rule) == [(1, 3, "RETURNED_UNACKED")]
    assert alarm.text == "Clo dư tự do 1,50 mg/L (ngưỡng 0,2–1,0)"
    assert whats(alarm) == ["RAISED", "RETURNED"]
    assert store.query("SELECT count(*) FROM telemetry_dirty_alarm") == [(0,)]
    assert RuleProgress.objects.get().rule_version == rule.version


def test_a_second_look_changes_nothing():
    channel = make_channel()
    make_rule(channel, "THRESHOLD", {"high": 1.0})
    arrive(channel, (0, 2.0), (1, 0.5), (2, 3.0))
    look(2)
    before = list(Alarm.objects.values())

    arrive(channel, (0, 2.0))
    alarm_engine.forget()

    assert look(3) == 0
    assert list(Alarm.objects.values()) == before


def test_readings_that_come_while_the_engine_works_are_looked_at_next_time():
    channel = make_channel()
    make_rule(channel, "THRESHOLD", {"high": 1.0})
    arrive(channel, (0, 0.5))
    taken = alarm_engine._take_marks(10)

    arrive(channel, (1, 2.0))

    assert taken == [(channel.pk, NOON_MS)]
    at = NOON_MS + int(MINUTE)
    assert store.query("SELECT channel, from_at FROM telemetry_dirty_alarm") == [(channel.pk, at)]
    assert look(1) == 1
    assert store.query("SELECT count(*) FROM telemetry_judged_alarm") == [(0,)]


def test_marks_that_a_dead_process_had_taken_are_judged_by_the_next():
    channel = make_channel()
    make_rule(channel, "THRESHOLD", {"high": 1.0})
    arrive(channel, (0, 0.5))
    look(0)
    arrive(channel, (1, 2.0))
    alarm_engine._take_marks(10)

    alarm_engine.forget()

    assert look(2) == 1


def test_silence_is_raised_by_the_clock_and_withdrawn_when_the_readings_come_late():
    channel = make_channel()
    rule = make_rule(channel, "SILENCE", {"grace_s": 600})
    arrive(channel, (0, 0.5))
    look(0)

    assert look(9) == 0
    assert look(10.1) == 1
    arrive(channel, (20, 0.5))
    look(20)
    assert told(rule) == [(10, 20, "RETURNED_UNACKED")]
    arrive(channel, *((minute, 0.5) for minute in range(1, 20)))
    look(21)

    alarm = Alarm.objects.get()
    assert alarm.is_withdrawn
    assert told() == []
    assert whats(alarm)[-1] == "RECOMPUTED"
    assert "Đã tính lại vì số liệu đến muộn" in alarm.steps.last().text


def test_a_restart_in_the_middle_of_a_silence_does_not_forget_it():
    channel = make_channel()
    make_rule(channel, "SILENCE", {"grace_s": 600})
    arrive(channel, (0, 0.5))
    look(0)
    alarm_engine.forget()

    look(60)

    assert told() == [(10, None, "ACTIVE_UNACKED")]


def test_a_channel_without_a_single_reading_is_told():
    channel = make_channel()
    make_rule(channel, "SILENCE", {"grace_s": 600}, applies_from=NOON)

    look(11)

    assert told() == [(10, None, "ACTIVE_UNACKED")]


def test_a_channel_that_sent_before_its_rule_began_is_not_said_to_have_sent_nothing():
    channel = make_channel()
    arrive(channel, (-240, 0.5))
    make_rule(channel, "SILENCE", {"grace_s": 600}, applies_from=NOON)

    look(11)

    text = Alarm.objects.get().text
    assert "số liệu cuối cùng lúc 08:00" in text and "theo dõi từ 12:00" in text
    assert "lần nào" not in text


def test_late_readings_find_alarms_of_the_past_and_say_so():
    channel = make_channel()
    low = make_rule(channel, "THRESHOLD", {"low": 0.2}, priority=AlarmRule.Priority.MEDIUM)
    urgent = make_rule(channel, "THRESHOLD", {"low": 0.2}, priority=AlarmRule.Priority.URGENT)
    arrive(channel, (300, 0.5))
    look(300)

    arrive(channel, (0, 0.5), (5, 0.1), (10, 0.5))
    look(301)

    assert told(low) == [(5, 10, "NORMAL")]
    assert told(urgent) == [(5, 10, "RETURNED_UNACKED")]
    assert all(Alarm.objects.values_list("is_late", flat=True))
    assert "đến muộn" in Alarm.objects.first().steps.first().text


def test_a_correction_moves_an_alarm_and_its_history_says_why():
    channel = make_channel()
    rule = make_rule(channel, "THRESHOLD", {"high": 1.0})
    arrive(channel, (0, 0.5), (1, 0.9), (2, 2.0), (3, 0.5))
    look(3)

    arrive(channel, (1, 1.5))
    look(4)

    alarm = Alarm.objects.get()
    assert told(rule) == [(1, 3, "RETURNED_UNACKED")]
    assert "bắt đầu 12:01 02/06/2026 thay cho 12:02 02/06/2026" in alarm.steps.last().text


def test_an_occurrence_that_was_withdrawn_and_is_found_again_is_the_same_one():
    channel = make_channel()
    make_rule(channel, "THRESHOLD", {"high": 1.0})
    for value in (2.0, 0.5, 2.0):
        arrive(channel, (1, value))
        look(2)

    alarm = Alarm.objects.get()
    assert not alarm.is_withdrawn
    assert told() == [(1, None, "ACTIVE_UNACKED")]


def test_an_acknowledged_alarm_that_ends_is_done():
    channel = make_channel()
    make_rule(channel, "THRESHOLD", {"high": 1.0})
    arrive(channel, (0, 2.0))
    look(0)
    Alarm.objects.update(state="ACTIVE_ACKED", acked_at=NOON)

    arrive(channel, (1, 0.5))
    look(1)

    assert told() == [(0, 1, "NORMAL")]


def test_a_rule_looks_at_nothing_before_it_applies():
    channel = make_channel()
    make_rule(channel, "THRESHOLD", {"high": 1.0}, applies_from=NOON + timedelta(minutes=5))
    arrive(channel, (0, 2.0), (1, 0.5), (6, 2.0))

    look(6)

    assert told() == [(6, None, "ACTIVE_UNACKED")]


def test_a_rule_that_is_taken_out_of_use_closes_its_alarm():
    channel = make_channel()
    rule = make_rule(channel, "THRESHOLD", {"high": 1.0})
    arrive(channel, (0, 2.0))
    look(0)

    AlarmRule.objects.filter(pk=rule.pk).update(is_enabled=False, version=2)
    look(1)

    assert told() == [(0, 1, "RETURNED_UNACKED")]


def test_power_lost_speaks_for_the_silences_it_causes():
    work = make_work()
    power = make_channel("dien", "power", device="tu-dien", work=work)
    make_rule(power, "POWER_LOSS")
    channels = [make_channel(f"k{n}", "pressure", device=f"td-{n % 3}", work=work) for n in range(12)]
    for channel in channels:
        make_rule(channel, "SILENCE", {"grace_s": 300})
        arrive(channel, (0, 30))
    arrive(power, (0, 1), (1, 0))
    look(1)

    look(6)

    silent = Alarm.objects.filter(rule__kind="SILENCE")
    assert silent.count() == 12
    assert set(silent.values_list("cause__rule__kind", flat=True)) == {"POWER_LOSS"}


def test_power_loss_that_is_told_late_still_takes_the_silences():
    power = make_channel("dien", "power", device="tu-dien")
    make_rule(power, "POWER_LOSS")
    arrive(power, (0, 1))
    channels = [make_channel(f"k{n}", "pressure") for n in range(3)]
    for channel in channels:
        make_rule(channel, "SILENCE", {"grace_s": 300})
        arrive(channel, (0, 30))
    look(0)
    look(6)
    assert Alarm.objects.filter(cause__isnull=True).count() == 1

    arrive(power, (1, 0))
    look(7)

    assert Alarm.objects.filter(cause__isnull=True).get().rule.kind == "POWER_LOSS"
    assert Alarm.objects.filter(cause__rule__kind="POWER_LOSS").count() == 3


def test_a_silent_device_is_one_alarm_and_a_silent_station_too():
    work = make_work()
    channels = [make_channel(f"k{n}", "pressure", device=f"td-{n % 2}", work=work) for n in range(6)]
    for channel in channels:
        make_rule(channel, "SILENCE", {"grace_s": 300})
        arrive(channel, (0, 30))
    look(0)
    arrive(channels[1], (5, 30))  # device td-1 goes on with one channel
    look(5.5)

    assert Alarm.objects.count() == 5
    assert Alarm.objects.filter(cause__isnull=True).count() == 2
    look(11)

    assert Alarm.objects.count() == 6
    assert Alarm.objects.filter(cause__isnull=True).count() == 1


def test_a_rule_that_goes_on_and_off_is_said_to_flap_once():
    channel = make_channel()
    rule = make_rule(channel, "THRESHOLD", {"high": 1.0})
    for minute in range(0, 16, 2):
        arrive(channel, (minute, 2.0))
        look(minute)
        arrive(channel, (minute + 1, 0.5))
        look(minute + 1)

    leader = Alarm.objects.get(is_flapping=True, cause__isnull=True)
    assert Alarm.objects.filter(rule=rule).count() == 8
    assert Alarm.objects.filter(cause=leader).count() == 7
    assert "Chập chờn: 5 lần trong 60 phút" in leader.steps.get(what=AlarmStep.What.NOTED).text


def test_a_tank_reads_its_outlet_too():
    level = make_channel("muc", "level", capacity_m3=300, full_at=3)
    outlet = make_channel("ra", "flow")
    rule = make_rule(level, "TANK_HOURS", {"hours": 4})
    rule.others.add(outlet)
    AlarmRule.objects.update(version=2)
    arrive(level, (0, 3.0), (10, 1.0))
    arrive(outlet, (0, 20), (10, 60))
    look(10)

    assert told(rule) == [(10, None, "ACTIVE_UNACKED")]
    arrive(outlet, (5, 1), (6, 1), (7, 1))  # late: the outflow was smaller
    look(11)

    assert told(rule) == []


def test_a_pattern_without_enough_weeks_says_so():
    channel = make_channel("q", "flow")
    rule = make_rule(channel, "PATTERN", {})
    arrive(channel, (0, 30))
    look(0)

    assert "ít nhất 3 tuần" in RuleProgress.objects.get(rule=rule).note


def test_night_flow_is_told_after_four_in_the_morning():
    channel = make_channel("q", "flow", expected_interval_s=900)
    rule = make_rule(channel, "NIGHT_FLOW", {"ratio": 1.3}, applies_from=NOON - timedelta(days=30))
    two = -10 * 60  # 02:00 of the day of NOON
    for day in range(9):
        value = 10 if day < 8 else 20
        arrive(channel, *((two - (8 - day) * 1440 + quarter * 15, value) for quarter in range(8)))
        look(two - (8 - day) * 1440 + 110)
    look(two + 121)

    assert told(rule) == [(two + 120, None, "ACTIVE_UNACKED")]
    assert "thấp nhất ban đêm 20,0" in Alarm.objects.get().text


@pytest.mark.parametrize("seed", range(6))
def test_alarms_are_as_if_nothing_had_happened(seed):
    """Random batches in random order, repeats, restarts and deaths between commit and deletion."""
    random = np.random.default_rng(seed)
    channel = make_channel()
    kinds = [
        make_rule(channel, "THRESHOLD", {"high": 6.0, "deadband": 1.0}, on_delay_s=120, off_delay_s=180),
        make_rule(channel, "THRESHOLD", {"low": 2.0}),
        make_rule(channel, "SILENCE", {"grace_s": 400}, applies_from=NOON),
        make_rule(channel, "STUCK", {"hold_s": 300, "tolerance": 2}),
    ]
    rows = [(float(minute), float(random.integers(0, 10))) for minute in sorted(random.choice(180, 70, replace=False))]
    order = [rows[index] for index in (random.permutation(70) if seed % 2 else range(70))]
    while order:
        size = int(random.integers(1, 9))
        batch, order = order[:size], order[size:]
        arrive(channel, *batch)
        now = max(row[0] for row in batch) if seed % 2 == 0 else 180.0
        if random.random() < 0.3:
            alarm_engine.forget()
        if random.random() < 0.3:  # died after the commit, before the dirty row went
            seen = store.query("SELECT channel, from_at, version FROM telemetry_dirty_alarm")
            look(now)
            with store.transaction() as cursor:
                cursor.executemany(store.adapt("INSERT INTO telemetry_dirty_alarm VALUES (?, ?, ?)"), seen)
            alarm_engine.forget()
        look(now)
    look(200)

    at = np.array([NOON_MS + int(row[0] * MINUTE) for row in rows], np.int64)
    value = np.array([row[1] for row in rows])
    track = alarm_rules.Track(at, value, np.ones(len(at), bool), interval_s=60.0)
    for row in kinds:
        one = alarm_engine.load_rules([row.pk])[0]
        whole = alarm_rules.judge(one.rule, {channel.pk: track}, until_ms=NOON_MS + 200 * MINUTE).episodes
        stored = Alarm.objects.filter(rule=row, is_withdrawn=False).order_by("began_at")
        assert [
            (alarm_engine.to_ms(a.began_at), a.ended_at and alarm_engine.to_ms(a.ended_at), a.peak) for a in stored
        ] == [(one.began_ms, one.ended_ms, one.peak) for one in whole], row.kind


@pytest.mark.parametrize("restarts", [False, True])
def test_late_readings_of_an_archived_month_are_judged_with_what_the_archive_holds(settings, tmp_path, restarts):
    if store.is_postgresql():
        settings.DATA_DIR = tmp_path
    channel = make_channel()
    rule = make_rule(channel, "THRESHOLD", {"high": 6.0, "deadband": 1.0}, on_delay_s=120)
    silence = make_rule(channel, "SILENCE", {"grace_s": 600})
    much_later = 90 * 24 * 60.0
    arrive(channel, *((minute, 7.0 if 20 <= minute < 30 else 5.5 if minute < 40 else 2.0) for minute in range(60)))
    look(60)
    before = told(rule)
    archive.archive_closed(NOON_MS + int(much_later * MINUTE), keep_days=0)
    assert store.query("SELECT count(*) FROM telemetry_reading") == [(0,)]
    alarm_engine.forget()
    if not restarts:
        look(much_later)

    arrive(channel, (25.5, 9.0), (50.5, 8.0), (51, 8.0), (52, 8.0), (52.5, 8.0), (53, 8.0))
    look(much_later + 1)

    assert before == [(20, 40, "RETURNED_UNACKED")]
    assert [row[:2] for row in told(rule)] == [(20, 40), (50.5, 54)]
    assert Alarm.objects.get(began_at=NOON + timedelta(minutes=20)).peak == 9.0
    assert [row[:2] for row in told(silence)] == [(69, None)]
    for path in archive.folder().glob("*.parquet"):
        path.unlink()


def test_a_database_that_fails_in_the_middle_leaves_nothing_to_be_remembered_wrongly(monkeypatch):
    channel = make_channel()
    rule = make_rule(channel, "THRESHOLD", {"high": 1.0})
    arrive(channel, (0, 0.5))
    look(0)
    arrive(channel, (1, 2.0))

    def fail(*ignored: object, **also: object) -> None:
        raise OperationalError("disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr(Alarm.objects, "create", fail)
        with pytest.raises(OperationalError):
            look(1)
    assert told() == []
    arrive(channel, (2, 3.0))
    look(2)

    assert told(rule) == [(1, None, "ACTIVE_UNACKED")]
    assert Alarm.objects.get().peak == 3.0
