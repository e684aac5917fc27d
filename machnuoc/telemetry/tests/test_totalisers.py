"""Volumes from counters: nothing negative, nothing huge, nothing lost but what cannot be known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.telemetry import totalisers
from machnuoc.telemetry.totalisers import Counter, Decision, What

MINUTE_MS = 60_000
HOUR_MS = totalisers.HOUR_MS
METER = Counter(largest_step_per_h=60.0, rolls_over_at=1_000_000.0, resolution=0.1)


def steps_of(values, *, counter=METER, every_min=5, decisions=None, at=None):
    at = np.arange(len(values), dtype=np.int64) * every_min * MINUTE_MS if at is None else np.array(at, np.int64)
    return totalisers.read_steps(at, np.array(values, float), counter, decisions)


def kinds(steps):
    return [event.what for event in steps.events]


def test_a_counter_that_grows_gives_the_difference():
    steps = steps_of([100, 102, 105, 105])

    assert steps.volume.tolist() == [2, 3, 0]
    assert steps.is_measured.all()
    assert steps.events == ()


def test_a_roll_over_adds_up():
    steps = steps_of([999_995, 999_999, 3, 8])

    assert steps.volume.tolist() == [4, 4, 5]
    assert kinds(steps) == [What.ROLLOVER]
    assert "Chắc chắn" in steps.events[0].confidence


def test_a_roll_over_of_unknown_digits_is_guessed_and_says_so():
    steps = steps_of([9_995, 9_999, 3, 8], counter=Counter(60.0))

    assert steps.volume.tolist() == [4, 4, 5]
    assert steps.events[0].confidence == "Chưa chắc"
    assert "đoán" in steps.events[0].rule


def test_a_reset_loses_only_the_unknown_part():
    steps = steps_of([5_000, 5_003, 2, 6])

    assert steps.volume.tolist() == [3, 2, 4]
    assert kinds(steps) == [What.RESET]
    assert steps.events[0].lost


def test_a_new_meter_with_another_number_is_a_swap():
    steps = steps_of([5_000, 5_003, 1_200, 1_204])

    assert steps.volume.tolist() == [3, 0, 4]
    assert kinds(steps) == [What.SWAP]


def test_a_new_meter_with_a_larger_number_brings_no_huge_volume():
    steps = steps_of([5_000, 5_003, 91_200, 91_204])

    assert steps.volume.tolist() == [3, 0, 4]
    assert kinds(steps) == [What.JUMP]


@pytest.mark.parametrize("odd", [0.0, 900_000.0])
def test_a_number_that_stands_alone_is_left_out(odd):
    steps = steps_of([5_000, 5_003, odd, 5_008, 5_010])

    assert steps.volume.tolist() == [3, 5, 2]
    assert kinds(steps) == [What.JUMP]
    assert not steps.events[0].lost


def test_water_that_flowed_back_counts_once_when_it_comes_again():
    steps = steps_of([5_000, 4_999, 4_998, 5_000, 5_002])

    assert steps.volume.tolist() == [0, 0, 0, 2]
    assert kinds(steps) == [What.REVERSE, What.REVERSE]
    assert [event.reverse for event in steps.events] == [1, 1]


def test_a_trembling_last_digit_invents_no_water():
    steps = steps_of([50.0, 49.9] * 200 + [50.2])

    assert steps.volume.sum() == pytest.approx(0.2)


def test_a_person_overrules():
    values, at = [5_000, 5_003, 91_200, 91_204], 2 * 5 * MINUTE_MS

    plain = steps_of(values, decisions={at: Decision(What.SWAP, 2.5)})
    true_jump = steps_of(values, decisions={at: Decision(What.NORMAL)})

    assert plain.volume.tolist() == [3, 2.5, 4]
    assert kinds(plain) == [What.SWAP]
    assert true_jump.volume.tolist() == [3, 86_197, 4]


def test_a_step_across_a_gap_is_divided_by_time_and_not_measured():
    steps = steps_of([100, 148], at=[HOUR_MS // 2, HOUR_MS * 5 - HOUR_MS // 2])

    hours = totalisers.volumes_by_hour(steps, np.arange(6, dtype=np.int64) * HOUR_MS)

    assert not steps.is_measured.any()
    assert hours[:5].tolist() == [6, 12, 12, 12, 6]
    assert np.isnan(hours[5])


def test_readings_out_of_order_are_refused():
    with pytest.raises(ValueError, match="in order"):
        steps_of([1, 2], at=[10, 10])


numbers = st.lists(
    st.one_of(
        st.floats(0, 1_000_000),
        st.floats(0, 1),
        st.floats(999_990, 1_000_000),
    ),
    min_size=2,
    max_size=60,
)
pauses = st.lists(st.integers(1_000, 8 * HOUR_MS), min_size=60, max_size=60)


@given(numbers, pauses)
def test_no_step_is_negative_or_larger_than_the_pipe_can_bring(values, waits):
    at = np.cumsum(np.array(waits[: len(values)], np.int64))

    steps = totalisers.read_steps(at, np.array(values), METER)

    hours = np.maximum((steps.to_at - steps.from_at) / HOUR_MS, totalisers.SHORTEST_STEP_H)
    assert (steps.volume >= 0).all()
    assert (steps.volume <= METER.largest_step_per_h * hours + METER.resolution + 1e-6).all()


@given(numbers, pauses)
def test_the_hours_add_up_to_the_steps(values, waits):
    at = np.cumsum(np.array(waits[: len(values)], np.int64))
    steps = totalisers.read_steps(at, np.array(values), METER)
    first, last = int(at[0]) // HOUR_MS, int(at[-1]) // HOUR_MS

    hours = totalisers.volumes_by_hour(steps, np.arange(first, last + 1, dtype=np.int64) * HOUR_MS)

    assert np.nansum(hours) == pytest.approx(steps.volume.sum(), abs=1e-6)


flows = st.lists(st.floats(0, 4.9), min_size=30, max_size=120)


@given(flows, st.integers(0, 999_999), st.data())
def test_what_is_taken_away_from_a_series_that_grows_changes_no_sum(flow, start, data):
    """A reading that is missing only moves volume between hours; roll-overs included."""
    counted = (start + np.cumsum([0.0, *flow])) % METER.rolls_over_at
    at = np.arange(len(counted), dtype=np.int64) * 5 * MINUTE_MS
    keep = np.array([True, *data.draw(st.lists(st.booleans(), min_size=len(flow) - 1, max_size=len(flow) - 1)), True])

    whole = totalisers.read_steps(at, counted, METER).volume.sum()
    thinned = totalisers.read_steps(at[keep], counted[keep], METER).volume.sum()

    assert whole == pytest.approx(sum(flow), abs=1e-3)
    assert thinned == pytest.approx(whole, abs=1e-3)


events = st.lists(st.tuples(st.integers(12, 200), st.sampled_from(["reset", "swap", "spike", "back"])), max_size=3)


@given(events, st.integers(0, 200))
def test_a_verdict_rests_on_the_readings_around_it_alone(happened, cut):
    """What is computed of a part, with the readings around it, is what is computed of the whole."""
    value = 5_000 + np.arange(220) * 1.5
    for row, what in sorted(happened):
        if what == "spike":
            value[row] = 900_000
        elif what == "back":
            value[row:] -= 3
        else:
            value[row:] += (0 if what == "reset" else 70_000) - value[row]
    at = np.arange(220, dtype=np.int64) * 5 * MINUTE_MS
    whole = totalisers.read_steps(at, value, METER)
    begin = max(0, int(np.searchsorted(at, at[cut] - totalisers.HOLD_MS)) - totalisers.REACH)

    part = totalisers.read_steps(at[begin : cut + 20], value[begin : cut + 20], METER)

    inside = (part.from_at >= at[cut]) & (part.to_at <= at[max(cut, min(cut + 19 - totalisers.REACH, 219))])
    same = np.isin(whole.from_at, part.from_at[inside])
    assert whole.volume[same].tolist() == part.volume[inside].tolist()
