"""What keeps a promise, whatever its words."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.core.vietnamese import round_half_up
from machnuoc.planning.comparison import Interval, NotComparable, Promise, accepted, is_met, is_met_within, missing

D = Decimal
numbers = st.decimals(min_value=-1000, max_value=10_000, places=3)
amounts = st.decimals(min_value=0, max_value=5000, places=1)


@pytest.mark.parametrize(
    ("promise", "kept", "broken"),
    [
        (Promise("GE", D(1600)), "1600", "1599"),
        (Promise("GT", D(70)), "70.1", "70"),
        (Promise("LE", D(15)), "15", "15.1"),
        (Promise("LT", D(24)), "23.9", "24"),
        (Promise("EQ", D(2)), "2", "3"),
        (Promise("RANGE", D(20), D(24)), "24", "19.9"),
        (Promise("RANGE", D(20), D(24)), "20", "24.1"),
        (Promise("NONE_LEFT"), "0", "1"),
        (Promise("KEEP", baseline=D(7)), "7", "6"),
        (Promise("KEEP", baseline=D(7), direction="LOWER"), "7", "8"),
        (Promise("ABOUT", D(15), direction="LOWER"), "15.49", "15.5"),
        (Promise("ABOUT", D("87.4"), decimals=1), "87.35", "87.34"),
        (Promise("ABOUT", D("6.32"), decimals=2, direction="NEUTRAL"), "6.324", "6.325"),
    ],
)
def test_each_comparator_keeps_to_its_edges(promise, kept, broken):
    assert is_met(promise, D(kept))
    assert not is_met(promise, D(broken))


@given(amounts, numbers.filter(lambda number: number >= 0), st.integers(0, 2))
def test_about_is_met_by_what_rounds_to_the_printed_number_or_is_better(amount, reached, decimals):
    printed = round_half_up(amount, decimals)
    rounded = round_half_up(reached, decimals)

    assert is_met(Promise("ABOUT", printed, decimals=decimals, direction="HIGHER"), reached) == (rounded >= printed)
    assert is_met(Promise("ABOUT", printed, decimals=decimals, direction="LOWER"), reached) == (rounded <= printed)
    assert is_met(Promise("ABOUT", printed, decimals=decimals, direction="NEUTRAL"), reached) == (rounded == printed)


@given(st.sampled_from(["GE", "GT", "LE", "LT", "EQ", "ABOUT", "NONE_LEFT"]), amounts, numbers)
def test_nothing_is_missing_exactly_when_the_promise_is_kept(comparator, amount, reached):
    promise = Promise(comparator, amount)

    if is_met(promise, reached):
        assert missing(promise, reached) == 0
    else:
        assert missing(promise, reached) >= 0


@given(st.sampled_from(["GE", "GT", "LE", "LT", "ABOUT"]), amounts, numbers, numbers)
def test_a_figure_known_by_bounds_is_judged_as_its_ends_are(comparator, amount, one, other):
    promise = Promise(comparator, amount)
    low, high = sorted([one, other])

    told = is_met_within(promise, Interval(low=low, high=high))

    ends = {is_met(promise, low), is_met(promise, high)}
    assert told == (ends.pop() if len(ends) == 1 else None)


def test_more_than_fifteen_per_cent_may_still_round_to_about_fifteen():
    promise = Promise("ABOUT", D(15), direction="LOWER")

    assert is_met_within(promise, Interval(low=D(15), low_open=True)) is None
    assert is_met_within(promise, Interval(high=D(15))) is True
    assert is_met_within(Promise("LE", D(15)), Interval(low=D(15), low_open=True)) is False


def test_what_is_judged_by_a_person_is_not_compared():
    with pytest.raises(NotComparable):
        accepted(Promise("JUDGED"))
    with pytest.raises(NotComparable):
        accepted(Promise("KEEP"))
