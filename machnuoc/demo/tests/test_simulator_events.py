"""Each thing that can happen at a simulated station is played through the road: its alarm, its figure, its recount."""

from datetime import timedelta

import numpy as np
import pytest

from machnuoc.core import roster
from machnuoc.core.models import Roster
from machnuoc.demo import telemetry
from machnuoc.demo.simulator import sensors
from machnuoc.demo.tests import simulated
from machnuoc.demo.tests.simulated import DAY, HOUR, START_MS, STATION, begin, count, day
from machnuoc.places.models import Subject
from machnuoc.telemetry import daily_figures, receive, store, totalisers
from machnuoc.telemetry.models import AlarmStep, Channel, Device

pytestmark = pytest.mark.usefixtures("demo_data", "db", "clean_store")


def channel(key: str, part: str = "tu") -> Channel:
    return Channel.objects.get(key=key, device__code=f"mp-{STATION.rpartition('.')[2]}-{part}")


def ledger() -> receive.Counts:
    total = receive.Counts()
    for row in store.query(
        "SELECT received, stored, corrected, duplicate, rejected, quarantined FROM telemetry_ledger"
    ):
        total = total.plus(receive.Counts(*row))
    return total


def true_m3(play: simulated.Play, field: str, number: int) -> float:
    """Return what a counter of the world grew by on a day."""
    at = np.array([START_MS + number * DAY, START_MS + (number + 1) * DAY])
    first, last = play.world.read(STATION, field, at)
    return float(last - first)


def test_a_quiet_station_raises_no_alarm_and_its_volumes_are_right():
    play = begin()
    play.to(START_MS + DAY + HOUR, step_ms=6 * HOUR)
    play.roll_up()

    assert [alarm.text for kind in ("THRESHOLD", "RATE", "SILENCE", "TANK_HOURS", "STUCK", "LOW_CHLORINE", "POWER_LOSS",
            "PUMP_CYCLING") for alarm in play.alarms(kind)] == []  # fmt: skip
    assert ledger().is_closed and ledger().rejected == 0 and ledger().quarantined == 0
    supplied = play.figure(daily_figures.SUPPLIED, day(0))
    produced = play.figure(daily_figures.PRODUCED, day(0))
    assert supplied.number / 10 == pytest.approx(true_m3(play, "supplied_m3", 0), abs=0.5)
    assert produced.number / 10 == pytest.approx(true_m3(play, "produced_m3", 0), abs=0.5)
    assert supplied.is_simulated and not supplied.is_estimated
    assert play.figure(daily_figures.SUPPLY_HOURS, day(0)).number == 2400


def test_a_leak_is_seen_in_the_night_and_in_the_water_supplied():
    play = begin("leak", days=7, lasts_ms=3 * DAY)
    play.to(START_MS + DAY + 6 * HOUR, step_ms=6 * HOUR)
    play.roll_up()

    alarm = play.alarms("NIGHT_FLOW")[0]
    assert alarm.ended_at is None and "đêm" in alarm.text
    before, after = (play.figure(daily_figures.SUPPLIED, day(number)) for number in (-1, 0))
    assert after.number / 10 == pytest.approx(true_m3(play, "supplied_m3", 0), abs=0.5)
    assert after.number > 1.3 * before.number


def test_a_burst_pipe_drops_the_pressure_and_ends_when_it_is_mended():
    play = begin("break", at_ms=START_MS + 8 * HOUR, lasts_ms=3 * HOUR)
    play.to(START_MS + 9 * HOUR, step_ms=HOUR)

    low = play.alarms("THRESHOLD", "p")[0]
    assert low.rule.channel.point == Channel.Point.CRITICAL and low.ended_at is None
    assert play.alarms("RATE", "p")

    play.to(START_MS + DAY + HOUR, step_ms=3 * HOUR)
    play.roll_up()
    low.refresh_from_db()
    assert low.ended_at is not None
    assert 1900 < play.figure(daily_figures.SUPPLY_HOURS, day(0)).number < 2200
    assert play.figure(daily_figures.INTERRUPTIONS, day(0)).number == 1


def test_a_failed_pump_lets_the_tank_run_out():
    play = begin("pump-failure", at_ms=START_MS + 4 * HOUR, lasts_ms=16 * HOUR)
    play.to(START_MS + 18 * HOUR, step_ms=2 * HOUR)

    assert play.alarms("TANK_HOURS", "muc")[0].ended_at is None

    play.to(START_MS + DAY + HOUR, step_ms=3 * HOUR)
    play.roll_up()
    produced, supplied = (play.figure(key, day(0)) for key in (daily_figures.PRODUCED, daily_figures.SUPPLIED))
    assert produced.number < 0.8 * supplied.number
    assert produced.number / 10 == pytest.approx(true_m3(play, "produced_m3", 0), abs=0.5)


def test_a_power_cut_is_one_alarm_with_the_silences_that_follow_from_it():
    play = begin("power-cut", at_ms=START_MS + 8 * HOUR, lasts_ms=3 * HOUR)
    play.to(START_MS + 10 * HOUR, step_ms=HOUR // 4)

    (power,) = play.alarms("POWER_LOSS")
    assert power.ended_at is None
    silences = play.alarms("SILENCE")
    assert {alarm.rule.channel.key for alarm in silences} == {"clo", "ntu", "ph"}
    assert {alarm.cause_id for alarm in silences} == {power.pk}

    play.to(START_MS + DAY + HOUR, step_ms=HOUR)
    play.roll_up()
    power.refresh_from_db()
    assert power.ended_at is not None and not [one for one in play.alarms("SILENCE") if one.ended_at is None]
    quality = play.figure(daily_figures.QUALITY_READINGS, day(0))
    assert quality is not None and quality.coverage_pct < 95


def test_chlorine_that_is_no_longer_added_is_low_for_long():
    play = begin("chlorine-loss", at_ms=START_MS + 2 * HOUR, lasts_ms=40 * HOUR)
    play.to(START_MS + DAY + 2 * HOUR, step_ms=2 * HOUR)
    play.roll_up()

    assert play.alarms("LOW_CHLORINE", "clo")[0].ended_at is None
    assert play.alarms("THRESHOLD", "clo")[0].ended_at is None
    sql = "SELECT low * 1000 FROM telemetry_rollup_day WHERE channel = ? AND day = ?"
    assert count(sql, channel("clo", "cl").pk, START_MS) < 200


def test_a_probe_that_drifts_leaves_the_limit_and_the_share_within_limits_falls():
    play = begin("drift", at_ms=START_MS, lasts_ms=DAY, size=4.0)
    play.to(START_MS + DAY + HOUR, step_ms=3 * HOUR)
    play.roll_up()

    alarm = play.alarms("THRESHOLD", "ntu")[0]
    assert "QCVN 01-1:2024/BYT" in alarm.text and "chưa đối chiếu văn bản" in alarm.text
    within, readings = (
        play.figure(key, day(0)).number for key in (daily_figures.QUALITY_WITHIN, daily_figures.QUALITY_READINGS)
    )
    assert 0 < within < readings


def test_a_probe_that_stands_still_is_told():
    play = begin("stuck", at_ms=START_MS, lasts_ms=20 * HOUR)
    play.to(START_MS + 15 * HOUR, step_ms=3 * HOUR)

    alarm = play.alarms("STUCK", "clo")[0]
    assert alarm.ended_at is None

    play.to(START_MS + DAY + HOUR, step_ms=3 * HOUR)
    play.roll_up()
    alarm.refresh_from_db()
    assert alarm.ended_at is not None
    sql = "SELECT count(*) FROM telemetry_rollup_hour WHERE channel = ? AND hour >= ? AND hour < ? AND low = high"
    assert count(sql, channel("clo", "cl").pk, START_MS, START_MS + DAY) >= 18


def test_a_silent_cabinet_is_one_alarm_and_its_day_says_what_is_missing():
    play = begin("silence", at_ms=START_MS + 8 * HOUR, lasts_ms=4 * HOUR)
    play.to(START_MS + 11 * HOUR, step_ms=HOUR // 2)

    silences = play.alarms("SILENCE")
    assert len(silences) >= 5
    assert len([alarm for alarm in silences if alarm.cause_id is None]) <= 2

    play.to(START_MS + DAY + HOUR, step_ms=HOUR)
    play.roll_up()
    assert not [alarm for alarm in play.alarms("SILENCE") if alarm.ended_at is None]
    received, expected = (play.figure(key, day(0)).number for key in (daily_figures.RECEIVED, daily_figures.EXPECTED))
    assert received < 0.95 * expected
    # The counter went on: the day's volume is known, if not its hours.
    supplied = play.figure(daily_figures.SUPPLIED, day(0))
    assert supplied.number / 10 == pytest.approx(true_m3(play, "supplied_m3", 0), abs=0.5)


def test_a_clock_that_runs_ahead_is_refused_and_silence_tells_of_it():
    play = begin("clock-drift", at_ms=START_MS + 2 * HOUR, lasts_ms=6 * HOUR, size=60.0)
    play.to(START_MS + 6 * HOUR, step_ms=sensors.BASE_MS * 3)

    device = Device.objects.get(code=f"mp-{STATION.rpartition('.')[2]}-cuoi")
    sql = "SELECT sum(readings) FROM telemetry_rejection WHERE device = ? AND reason = 'future_clock'"
    assert count(sql, device.pk) > 20
    assert count("SELECT drift_ms FROM telemetry_device_state WHERE device = ?", device.pk) < -10 * 60_000
    assert play.alarms("SILENCE", "p", part="cuoi")[-1].ended_at is None
    assert ledger().is_closed

    play.to(START_MS + 10 * HOUR, step_ms=HOUR)
    assert not [alarm for alarm in play.alarms("SILENCE", "p", part="cuoi") if alarm.ended_at is None]


def test_a_batch_that_comes_a_month_late_ends_the_silence_and_makes_its_days_anew():
    play = begin("late-batch", at_ms=START_MS + HOUR, lasts_ms=30 * DAY)
    play.to(START_MS + 2 * DAY + HOUR, step_ms=DAY // 2)
    play.roll_up()
    silent = play.alarms("SILENCE", "p", part="cuoi")[0]
    assert silent.ended_at is None
    assert play.figure(daily_figures.SUPPLY_HOURS, day(1)) is None

    play.to(START_MS + 30 * DAY, step_ms=10 * DAY, is_judged=False)
    play.roll_up()
    play.to(START_MS + 30 * DAY + 2 * HOUR)
    play.roll_up()

    silent.refresh_from_db()
    assert silent.is_withdrawn or silent.ended_at is not None
    assert silent.steps.filter(what__in=[AlarmStep.What.RECOMPUTED, AlarmStep.What.RETURNED]).exists()
    hours = play.figure(daily_figures.SUPPLY_HOURS, day(1))
    assert hours is not None and hours.number == 2400
    received = play.figure(daily_figures.RECEIVED, day(1))
    assert "đến muộn" in received.reason
    assert ledger().is_closed and ledger().rejected == 0


def test_a_counter_that_rolls_over_loses_no_water():
    play = begin("rollover", at_ms=START_MS + 12 * HOUR)
    play.to(START_MS + DAY + HOUR, step_ms=6 * HOUR)
    play.roll_up()

    its = channel("v_cap")
    rows = store.read_hot(its.pk, START_MS, START_MS + DAY)
    counter = totalisers.Counter(its.largest_step_per_h, its.rolls_over_at, its.resolution)
    (event,) = totalisers.read_steps(rows.at, rows.value, counter).events
    assert event.what == totalisers.What.ROLLOVER and event.confidence == "Chắc chắn"
    assert abs(event.at - (START_MS + 12 * HOUR)) <= HOUR
    assert rows.value.max() > 999_900 and rows.value.min() < 300
    supplied = play.figure(daily_figures.SUPPLIED, day(0))
    assert supplied.number / 10 == pytest.approx(true_m3(play, "supplied_m3", 0), abs=0.5)


def test_devices_are_loaded_once_with_a_secret_each_that_nobody_else_reads(settings):
    first = telemetry.load_telemetry(simulated.START, only=[STATION])
    secrets = telemetry.read_simulation().secrets

    assert first == 3 and telemetry.load_telemetry(simulated.START, only=[STATION]) == 0
    assert telemetry.read_simulation().secrets == secrets
    assert telemetry.simulation_file().stat().st_mode & 0o777 == 0o600
    assert all(device.is_simulated and "mô phỏng" in device.name for device in Device.objects.all())


def test_a_secret_that_was_lost_is_made_anew():
    telemetry.load_telemetry(simulated.START, only=[STATION])
    before = telemetry.read_simulation().secrets
    telemetry.simulation_file().unlink()

    telemetry.load_telemetry(simulated.START, only=[STATION])

    after = telemetry.read_simulation().secrets
    assert set(after) == set(before) and not set(after.values()) & set(before.values())


def test_the_centre_has_somebody_on_duty_at_every_hour_and_a_changed_roster_stays():
    telemetry.load_telemetry(simulated.START, only=[STATION])
    centre = Subject.objects.get(key="org.qn.trung-tam")
    made = Roster.objects.get(subject_id=centre.pk)

    assert roster.list_uncovered(made, simulated.START, simulated.START + timedelta(days=7)) == []
    assert [one.username for one in roster.who_is_on(made, simulated.START, level=2)] == ["qn.lanhdao"]

    roster.put_roster(subject_id=centre.pk, name="Tổ trực", by=None)
    telemetry.load_telemetry(simulated.START, only=[STATION])
    assert Roster.objects.get(subject_id=centre.pk).name == "Tổ trực"
