"""What each kind of rule finds, and that the way in which readings arrive makes no difference."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from machnuoc.telemetry import alarm_rules as rules
from machnuoc.telemetry.alarm_rules import Known, Rule, State, Track

MINUTE = 60_000
HOUR = rules.HOUR_MS
MONDAY = 1_767_546_000_000  # 2026-01-05 00:00 in Việt Nam


def track(pairs: Iterable[tuple[int, float]], *, bad: Iterable[int] = (), **words) -> Track:
    rows = sorted(pairs)
    at = np.array([row[0] for row in rows], np.int64)
    words = {"label": "Clo dư", "unit": "mg/L", "decimals": 2, **words}
    return Track(at, np.array([row[1] for row in rows], float), ~np.isin(at, list(bad)), **words)


def every(minutes: float, values: Iterable[float], start: int = MONDAY) -> list[tuple[int, float]]:
    return [(start + int(index * minutes * MINUTE), value) for index, value in enumerate(values)]


def find(rule: Rule, *tracks: Track, until: int | None = None) -> list[rules.Episode]:
    last = max((int(one.at[-1]) for one in tracks if len(one.at)), default=MONDAY)
    return list(rules.judge(rule, dict(enumerate(tracks)), until_ms=last if until is None else until).episodes)


def spans(found: Iterable[rules.Episode]) -> list[tuple[float, float | None]]:
    """Return begin and end in minutes after MONDAY."""
    return [
        ((one.began_ms - MONDAY) / MINUTE, None if one.ended_ms is None else (one.ended_ms - MONDAY) / MINUTE)
        for one in found
    ]


# --- each kind


def test_a_threshold_with_a_deadband_ends_only_well_inside():
    rule = Rule("THRESHOLD", 0, {"low": 0.2, "high": 1.0, "deadband": 0.05})

    found = find(rule, track(every(5, [0.5, 1.25, 0.98, 0.97, 0.9, 0.1, 0.22, 0.3])))

    assert spans(found) == [(5, 20), (25, 35)]
    assert found[0].text == "Clo dư 1,25 mg/L (ngưỡng 0,2–1,0)"
    assert found[1].peak == 0.1


def test_a_limit_says_its_document_and_that_nobody_read_it():
    rule = Rule("THRESHOLD", 0, {"high": 1.0, "basis": "QCVN 01-1:2018/BYT", "is_unverified": True})

    found = find(rule, track(every(5, [2.0])))

    assert found[0].text == "Clo dư 2,00 mg/L (ngưỡng ≤ 1,0; QCVN 01-1:2018/BYT, chưa đối chiếu văn bản)"


def test_a_blip_shorter_than_the_delay_is_no_alarm_and_a_long_one_begins_at_its_first_reading():
    rule = Rule("THRESHOLD", 0, {"high": 1.0}, on_delay_s=600, off_delay_s=600)

    found = find(rule, track(every(5, [0, 2, 0, 2, 2, 2, 0, 2, 0, 0, 0])))

    assert spans(found) == [(15, 40)]
    assert (found[0].confirmed_ms - MONDAY) / MINUTE == 25


def test_what_the_instrument_cannot_measure_raises_nothing():
    rule = Rule("THRESHOLD", 0, {"high": 1.0})

    assert find(rule, track(every(5, [0.5, 99, 0.5]), bad=[MONDAY + 5 * MINUTE])) == []


def test_a_quick_fall_is_told_with_its_size():
    rule = Rule("RATE", 0, {"change": 10, "window_s": 900, "direction": -1})

    found = find(rule, track(every(5, [30, 29, 25, 18, 17, 17, 17, 17, 17]), label="Áp lực", unit="m", decimals=1))

    assert spans(found) == [(15, 25)]
    assert found[0].text == "Áp lực giảm 12,0 m trong 15 phút (ngưỡng 10,0 m)"


def test_a_pattern_needs_three_weeks_and_says_so():
    rule = Rule("PATTERN", 0, {"k": 4, "weeks": 6, "least_difference": 5})
    week = 7 * 24 * 60
    usual = [(MONDAY + (w * week + m) * MINUTE, 100 + m % 3) for w in range(5) for m in range(0, 60, 5)]
    odd = [(MONDAY + (5 * week + m) * MINUTE, 180.0) for m in (0, 5)]

    short = rules.judge(rule, {0: track(usual[:24])}, until_ms=usual[23][0])
    found = find(rule, track([*usual, *odd]))

    assert short.episodes == () and "ít nhất 3 tuần" in short.note
    assert spans(found) == [(5 * week, None)]
    assert "thường ngày cùng giờ" in found[0].text


def test_silence_begins_after_the_grace_and_ends_with_the_next_reading():
    rule = Rule("SILENCE", 0, {"grace_s": 1800})

    readings = track([(MONDAY, 1), (MONDAY + 5 * MINUTE, 1), (MONDAY + 60 * MINUTE, 1)])

    assert spans(find(rule, readings)) == [(35, 60)]
    assert spans(find(rule, readings, until=MONDAY + 91 * MINUTE)) == [(35, 60), (90, None)]
    assert rules.judge(rule, {0: readings}, until_ms=MONDAY + 70 * MINUTE).next_check_ms == MONDAY + 90 * MINUTE + 1


def test_a_channel_that_never_spoke_is_silent_from_the_day_its_rule_began():
    rule = Rule("SILENCE", 0, {"grace_s": 600}, since_ms=MONDAY)

    found = find(rule, track([]), until=MONDAY + HOUR)

    assert spans(found) == [(10, None)]
    assert "chưa nhận được số liệu lần nào, theo dõi từ 00:00" in found[0].text


def test_a_silence_tells_the_last_reading_that_is_stored_though_its_rule_is_younger():
    rule = Rule("SILENCE", 0, {"grace_s": 600}, since_ms=MONDAY)
    in_sight = track([(MONDAY - 4 * MINUTE, 1)])
    out_of_sight = track([], earlier=lambda before: before - 9 * HOUR)

    texts = [find(rule, one, until=MONDAY + HOUR)[0].text for one in (in_sight, out_of_sight)]

    assert ["lần nào" in text for text in texts] == [False, False]
    assert "số liệu cuối cùng lúc 23:56" in texts[0] and "theo dõi từ 00:00" in texts[0]
    assert "số liệu cuối cùng lúc 15:00" in texts[1]


def test_what_a_tank_lasts_can_be_checked_by_its_level_and_what_flows_out():
    rule = Rule("TANK_HOURS", 0, {"hours": 4.0})
    level = track([(MONDAY, 2.0), (MONDAY + HOUR, 0.1)], capacity_m3=100.0, full_at=4.0)
    outlet = track([(MONDAY - 10 * MINUTE, 24.0), (MONDAY, 26.0), (MONDAY + HOUR, 30.0)])

    found = rules.reckon_tank(rule, {0: level, 1: outlet}, MONDAY)

    assert not isinstance(found, str)
    assert (found.volume_m3.tolist(), found.outflow_m3h.tolist()) == ([50.0, 2.5], [25.0, 30.0])
    assert (found.hours.tolist(), found.is_empty.tolist()) == ([2.0, 0.0], [False, True])
    assert "chưa khai dung tích" in str(rules.reckon_tank(rule, {0: track([]), 1: outlet}, MONDAY))


def test_a_value_that_stands_still_is_stuck_unless_it_is_the_resting_one():
    values = [3.0, 3.1, *[3.2] * 60, 3.3]
    resting = [0.0] * 60

    assert spans(find(Rule("STUCK", 0, {"hold_s": 3600}), track(every(5, values)))) == [(70, 310)]
    assert find(Rule("STUCK", 0, {"hold_s": 3600, "except_value": 0}), track(every(5, resting))) == []


def test_a_night_above_the_nights_before_is_told_at_four_in_the_morning():
    day = 24 * 60
    readings = [
        (MONDAY + (d * day + m) * MINUTE, (10.0 if d < 7 else 16.0) + (30 if m < 90 else 0))
        for d in range(9)
        for m in range(60, 300, 15)
    ]
    rule = Rule("NIGHT_FLOW", 0, {"ratio": 1.3})

    found = find(rule, track(readings, label="Lưu lượng", unit="m³/giờ", decimals=1, interval_s=900))

    assert spans(found) == [(7 * day + 240, None)]
    assert found[0].text == "Lưu lượng: thấp nhất ban đêm 16,0 m³/giờ, các đêm trước 10,0 m³/giờ"


def test_low_chlorine_counts_time_not_readings():
    rule = Rule("LOW_CHLORINE", 0, {"low": 0.2, "window_s": 3600, "share_pct": 50})

    found = find(rule, track(every(5, [*[0.4] * 12, *[0.1] * 7, *[0.4] * 20])))

    assert len(found) == 1
    assert spans(found)[0][0] == 90  # six of the twelve last intervals lay below
    assert "thấp hơn 0,20 mg/L" in found[0].text


def test_a_tank_is_told_by_its_hours_of_supply():
    level = track(every(15, [3, 2.5, 2, 1.5, 1, 0.5, 3]), label="Bể 1", capacity_m3=300, full_at=3)
    outflow = track(every(15, [50] * 7))
    rule = Rule("TANK_HOURS", 0, {"hours": 2})

    found = find(rule, level, outflow)

    assert spans(found) == [(75, 90)]
    assert found[0].text == "Bể 1: bể còn đủ cấp 1,0 giờ (ngưỡng 2,0 giờ)"


def test_a_tank_that_ran_empty_is_no_reason_to_be_calm_although_nothing_flows_out_any_more():
    level = track(every(15, [3, 1, 0.1, 0.1, 0.1, 1, 3]), label="Bể 1", capacity_m3=300, full_at=3)
    outflow = track(every(15, [100, 100, 100, 0, 0, 0, 0]))
    rule = Rule("TANK_HOURS", 0, {"hours": 2, "averaging_s": 900})

    assert spans(find(rule, level, outflow)) == [(15, 75)]


def test_a_tank_of_unknown_size_says_why_it_is_not_judged():
    verdict = rules.judge(Rule("TANK_HOURS", 0, {}), {0: track(every(5, [1]))}, until_ms=MONDAY)

    assert verdict.episodes == () and "dung tích" in verdict.note


def test_a_pump_that_starts_too_often_calms_down_by_the_clock():
    rule = Rule("PUMP_CYCLING", 0, {"starts": 4, "window_s": 3600})
    readings = track(every(5, [0, 1, 0, 1, 0, 1, 0, 1, 0]), label="Bơm 1")

    assert spans(find(rule, readings)) == [(35, None)]
    assert spans(find(rule, readings, until=MONDAY + 2 * HOUR)) == [(35, 65)]


def test_power_and_combinations():
    power = track(every(1, [1, 1, 0, 0, 1]), label="Nguồn điện")
    pressure = track(every(1, [30, 30, 30, 5, 30]), label="Áp lực", unit="m", decimals=1)
    rule = Rule(
        "COMBINATION",
        0,
        {"conditions": [{"channel": 0, "below": 0.5}, {"channel": 1, "below": 10}], "together": "all"},
    )

    assert spans(find(Rule("POWER_LOSS", 0), power)) == [(2, 4)]
    found = find(rule, power, pressure)
    assert spans(found) == [(3, 4)]
    assert found[0].text == "Nguồn điện 0,00 mg/L (< 0,5) và Áp lực 5,0 m (< 10,0)"


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        ("THRESHOLD", {}, "cần ngưỡng"),
        ("THRESHOLD", {"low": 1, "high": 1.1, "deadband": 0.2}, "không bao giờ hết"),
        ("THRESHOLD", {"low": "x"}, "cần một số"),
        ("THRESHOLD", {"low": float("nan")}, "hữu hạn"),
        ("RATE", {}, "Thiếu «Mức thay đổi»"),
        ("SILENCE", {"grace": 5}, "không có tham số grace"),
        ("COMBINATION", {"conditions": [{"channel": 1, "above": 2}]}, "ít nhất hai"),
        ("NOTHING", {}, "Không có loại"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(kind, parameters, words):
    with pytest.raises(rules.BadParameters, match=words):
        rules.check_parameters(kind, parameters)


# --- the way of arrival makes no difference

RULES = {
    "threshold": Rule("THRESHOLD", 0, {"low": 2.0, "high": 7.0, "deadband": 1.0}),
    "delayed": Rule("THRESHOLD", 0, {"high": 6.0, "deadband": 1.0}, on_delay_s=900, off_delay_s=1200),
    "rate": Rule("RATE", 0, {"change": 4, "window_s": 1500}, off_delay_s=600),
    "silence": Rule("SILENCE", 0, {"grace_s": 1000}, off_delay_s=400),
    "never heard": Rule("SILENCE", 0, {"grace_s": 1000}, since_ms=MONDAY),
    "stuck": Rule("STUCK", 0, {"hold_s": 1800, "tolerance": 1.0}),
    "chlorine": Rule("LOW_CHLORINE", 0, {"low": 4, "window_s": 2400, "share_pct": 50}),
    "tank": Rule("TANK_HOURS", 0, {"hours": 10, "averaging_s": 1200}, on_delay_s=300),
    "cycling": Rule("PUMP_CYCLING", 0, {"starts": 2, "window_s": 2400}),
    "power": Rule("POWER_LOSS", 0, {}, on_delay_s=600),
    "both": Rule(
        "COMBINATION",
        0,
        {"conditions": [{"channel": 0, "above": 5}, {"channel": 1, "below": 5}], "valid_s": 1000},
        off_delay_s=700,
    ),
    "late start": Rule("THRESHOLD", 0, {"high": 6.0}, on_delay_s=600, since_ms=MONDAY + 100 * MINUTE),
}
STATES = {"cycling", "power"}


class Arrivals:
    """What an engine does with batches: keep readings, start where start_of says, replace what may change."""

    def __init__(self, rule: Rule, interval_s: float = 300.0) -> None:
        self.rule, self.interval_s = rule, interval_s
        self.readings: dict[int, dict[int, tuple[float, bool]]] = {0: {}, 1: {}}
        self.known: list[rules.Episode] = []
        self.judged_ms = rules.NEVER

    def tracks(self, windows=None) -> dict[int, Track]:
        words = {"capacity_m3": 100.0, "full_at": 10.0, "interval_s": self.interval_s}
        found = {}
        for channel, readings in self.readings.items():
            rows = [
                (at, value)
                for at, (value, _) in readings.items()
                if windows is None or any(start <= at < end for start, end in windows)
            ]
            bad = [at for at, (_, is_good) in readings.items() if not is_good]
            found[channel] = track(rows, bad=bad, **words)
        return found if self.rule.kind in {"COMBINATION", "TANK_HOURS"} else {0: found[0]}

    def take(self, batch: list[tuple[int, int, float, bool]], until_ms: int) -> None:
        changed = []
        for channel, at, value, is_good in batch:
            if self.readings[channel].get(at) != (value, is_good):
                self.readings[channel][at] = (value, is_good)
                changed.append(at)
        everything = [at for readings in self.readings.values() for at in readings]
        changed_ms = min(changed, default=max(everything, default=MONDAY) + 1)
        before = [at for at, (_, is_good) in self.readings[0].items() if is_good and at < changed_ms]
        known = [Known(one.began_ms, one.ended_ms, one.peak) for one in self.known]
        start = rules.start_of(
            self.rule,
            known,
            changed_ms=changed_ms,
            before_ms=max(before, default=None),
            is_append=changed_ms > self.judged_ms,
        )
        state = None
        if start.is_from_state:
            kept = next(one for one in self.known if one.began_ms == start.keep.began_ms)
            state = State(kept.began_ms, kept.peak, kept.peak_ms, kept.severity, kept.confirmed_ms)
        windows = rules.list_windows(self.rule, self.interval_s, start.from_ms, until_ms)
        verdict = rules.judge(self.rule, self.tracks(windows), from_ms=start.from_ms, until_ms=until_ms, state=state)
        gone = {one.began_ms for one in rules.open_to_change(self.rule, start, known)}
        found = rules.settled_out(self.rule, start, verdict.episodes)
        self.known = sorted(
            [*(one for one in self.known if one.began_ms not in gone), *found], key=lambda one: one.began_ms
        )
        self.judged_ms = max(self.judged_ms, max(everything, default=rules.NEVER))


def facts(found: Iterable[rules.Episode]) -> list[tuple]:
    return [(one.began_ms, one.ended_ms, one.peak, one.confirmed_ms) for one in found]


@st.composite
def histories(draw, *, states: bool):
    """Readings of two channels over a few hours, cut into batches that arrive out of order, some twice or corrected."""
    minutes = draw(st.lists(st.integers(0, 240), min_size=1, max_size=40))
    values = st.sampled_from([0.0, 1.0]) if states else st.integers(0, 9).map(float)
    rows = [
        (draw(st.sampled_from([0, 0, 1])), MONDAY + minute * MINUTE, draw(values), draw(st.integers(0, 9)) > 0)
        for minute in minutes
    ]
    order = draw(st.permutations(rows)) if draw(st.booleans()) else sorted(rows, key=lambda row: row[1])
    batches, rest = [], list(order)
    while rest:
        size = draw(st.integers(1, 6))
        batches.append(rest[:size])
        rest = rest[size:]
    return batches


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_batches_in_any_order_give_what_one_look_at_all_readings_gives(name, data):
    rule = RULES[name]
    arrivals = Arrivals(rule)
    until_ms = MONDAY
    for batch in data.draw(histories(states=name in STATES)):
        until_ms = max(until_ms, *(row[1] for row in batch))
        arrivals.take(batch, until_ms)

    until_ms += data.draw(st.integers(0, 90)) * MINUTE
    arrivals.take([], until_ms)

    whole = rules.judge(rule, arrivals.tracks(), until_ms=until_ms).episodes
    assert facts(arrivals.known) == facts(whole)


@pytest.mark.parametrize(
    "rule",
    [
        Rule("PATTERN", 0, {"k": 2, "weeks": 4, "least_pct": 5}),
        Rule("NIGHT_FLOW", 0, {"ratio": 1.1, "nights": 6, "least_nights": 3}),
    ],
    ids=lambda rule: rule.kind,
)
@pytest.mark.parametrize("seed", range(4))
def test_long_patterns_do_not_depend_on_the_order_of_days(rule, seed):
    random = np.random.default_rng(seed)
    days = [
        [(0, MONDAY + (d * 24 * 60 + m) * MINUTE, float(random.integers(8, 12) + 6 * (d > 36)), True)
         for m in range(0, 24 * 60, 30)]
        for d in range(40)
    ]  # fmt: skip
    order = [*random.permutation(35), *range(35, 40)]
    arrivals = Arrivals(rule, 1800)
    until_ms = MONDAY + 40 * 24 * HOUR

    for d in order:
        arrivals.take(days[d], until_ms)

    whole = rules.judge(rule, arrivals.tracks(), until_ms=until_ms).episodes
    assert len(whole) > 0
    assert facts(arrivals.known) == facts(whole)
