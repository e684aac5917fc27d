from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.customers import consumption, plausibility
from machnuoc.customers.consumption import Point, Unexplained

CAPACITY = consumption.capacity_l(5)
START = date(2026, 1, 20)


def point(days: int, index_m3: int, **fields) -> Point:
    given = {"meter": 1, "capacity_l": CAPACITY, **fields}
    return Point(days, START + timedelta(days=days), index_m3 * 1000, **given)


def series(before_m3: int = 1_000, *, mean_m3: int | None = 15, after_m3: int | None = None) -> plausibility.Series:
    mean = None if mean_m3 is None else (mean_m3 * 1000, 30)
    after = None if after_m3 is None else after_m3 * 1000
    return plausibility.Series(before_m3 * 1000, START, CAPACITY, mean, 1, after)


def flags(before_m3: int, index_m3: int, **more) -> tuple[str, ...]:
    return plausibility.judge(series(before_m3, **more), index_m3 * 1000, START + timedelta(days=30)).flags


# --- volumes


def test_an_index_that_goes_back_is_never_a_negative_volume():
    with pytest.raises(Unexplained) as problem:
        consumption.span_l([point(0, 120), point(30, 112)])

    assert problem.value.reading_id == 30


def test_a_confirmed_roll_over_counts_through_zero():
    assert consumption.span_l([point(0, 99_998), point(30, 12, rolled_over=True)]) == 14_000


def test_both_meters_of_a_swap_are_added():
    chain = [
        point(0, 100), point(10, 104), point(10, 3, meter=2, begins=True), point(30, 11, meter=2),
    ]  # fmt: skip

    assert consumption.span_l(chain) == 12_000


def test_another_meter_without_the_readings_of_the_change_is_not_guessed():
    with pytest.raises(Unexplained):
        consumption.span_l([point(0, 100), point(30, 200, meter=2)])


def test_an_estimate_that_was_too_high_is_taken_back_in_its_own_month():
    february, march = date(2026, 2, 1), date(2026, 3, 1)
    chain = [
        point(0, 100), point(30, 130, is_estimated=True, period_start_date=february),
        point(60, 110, period_start_date=march),
    ]  # fmt: skip

    estimated, real = consumption.true_up(chain)

    assert (estimated.period_start_date, estimated.estimated_l, estimated.volume_l) == (february, 30_000, 5_000)
    assert estimated.difference_l == -25_000
    assert (real.period_start_date, real.volume_l, real.estimated_l) == (march, 5_000, None)


@given(st.integers(0, 10**12), st.lists(st.integers(0, 62), min_size=1, max_size=24))
def test_splitting_a_span_adds_up_and_no_part_is_negative(volume_l, days):
    parts = consumption.split_l(volume_l, days)

    assert sum(parts) == volume_l
    assert min(parts) >= 0
    whole = sum(days)
    if whole:
        assert all(abs(part - volume_l * d / whole) <= 1 for part, d in zip(parts, days, strict=True))


@st.composite
def chains(draw) -> list[Point]:
    """Readings of up to three meters, some estimated, some through zero: only the true volume is always known."""
    made = [Point(1, START, draw(st.integers(0, CAPACITY - 1)), 1, CAPACITY)]
    reading, meter, day = 1, 1, 0
    index = made[0].index_l
    for _ in range(draw(st.integers(1, 8))):
        day += draw(st.integers(1, 40))
        used = draw(st.integers(0, CAPACITY - 1))
        rolled, index = divmod(index + used, CAPACITY)
        reading += 1
        on = START + timedelta(days=day)
        estimated = draw(st.booleans())
        made.append(
            Point(reading, on, index, meter, CAPACITY, bool(rolled), estimated, period_start_date=on.replace(day=1))
        )
        if estimated:
            made[-1] = Point(
                reading, on, draw(st.integers(0, CAPACITY - 1)), meter, CAPACITY, True, True,
                period_start_date=on.replace(day=1),
            )  # fmt: skip
        elif draw(st.booleans()):
            meter += 1
            index = draw(st.integers(0, CAPACITY - 1))
            made.append(Point(reading + 100, on, index, meter, CAPACITY, begins=True))
    day += 1
    made.append(Point(reading + 1, START + timedelta(days=day), index, meter, CAPACITY, True))
    return made


@given(chains())
def test_what_a_real_reading_corrects_adds_up_to_the_whole_span_and_is_never_negative(chain):
    whole = consumption.span_l(chain)

    parts = consumption.true_up(chain)

    assert whole >= 0
    assert sum(part.volume_l for part in parts) == whole
    assert min(part.volume_l for part in parts) >= 0
    assert [part.estimated_l is None for part in parts] == [False] * (len(parts) - 1) + [True]
    assert (
        sum(part.estimated_l or 0 for part in parts) + sum(part.difference_l for part in parts) + parts[-1].volume_l
        == whole
    )


def test_the_mean_is_of_the_last_three_spans_that_were_really_read():
    chain = [
        point(0, 0), point(30, 300), point(60, 310), point(90, 400, is_estimated=True), point(120, 330), point(150, 340)
    ]  # fmt: skip

    assert consumption.mean_daily(chain) == (40_000, 120)


def test_of_a_new_connection_there_is_no_mean():
    assert consumption.mean_daily([point(0, 0, begins=True)]) is None


# --- what is odd


def test_99_998_after_00_012_is_sudden_and_may_have_run_backwards_through_zero():
    assert flags(12, 99_998) == ("SUDDEN", "BACKWARDS")


def test_00_012_after_99_998_is_a_roll_over_and_says_how_likely():
    found = plausibility.judge(series(99_998), 12_000, START + timedelta(days=30))

    assert found.flags == ("ROLLOVER",)
    assert (found.rolled_l, found.confidence, found.volume_l) == (14_000, "HIGH", None)


def test_a_roll_over_with_much_use_is_less_likely_and_one_from_the_middle_is_none():
    some = plausibility.judge(series(95_000), 2_000_000, START + timedelta(days=30))

    assert (some.flags, some.confidence) == (("ROLLOVER",), "MEDIUM")
    assert flags(50_000, 12) == ("REVERSED",)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (1_000, 1_015, ()),
        (1_000, 1_045, ()),  # three times as much is not more than three times
        (1_000, 1_046, ("SUDDEN",)),
        (1_000, 999, ("REVERSED",)),
        (1_000, 1_000, ("ZERO",)),
    ],
)
def test_use_is_compared_with_the_mean_of_the_last_three(before, now, expected):
    assert flags(before, now) == expected


def test_small_amounts_are_never_sudden():
    assert flags(1_000, 1_010, mean_m3=1) == ()
    assert flags(1_000, 1_011, mean_m3=1) == ("SUDDEN",)


def test_a_connection_without_past_use_is_only_held_to_what_a_household_can_use():
    assert flags(0, 50, mean_m3=None) == ()
    assert flags(0, 51, mean_m3=None) == ("SUDDEN",)


def test_a_late_reading_above_the_next_one_is_out_of_order():
    assert flags(1_000, 1_015, after_m3=1_010) == ("OUT_OF_ORDER",)


def test_neighbours_whose_readings_fit_each_other_are_told():
    day = START + timedelta(days=30)
    mine, theirs = series(1_000), series(400)

    assert plausibility.are_swapped(mine, 415_000, theirs, 1_015_000, day)
    assert not plausibility.are_swapped(mine, 1_015_000, theirs, 415_000, day)
    assert not plausibility.are_swapped(mine, 1_016_000, theirs, 1_015_000, day)  # theirs alone is wrong


@given(st.integers(0, CAPACITY - 1), st.integers(0, CAPACITY - 1), st.integers(0, 400))
def test_no_judgement_gives_a_negative_volume(before_l, index_l, days):
    known = plausibility.Series(before_l, START, CAPACITY, (15_000, 30))

    found = plausibility.judge(known, index_l, START + timedelta(days=days))

    assert found.volume_l is None or found.volume_l >= 0
    assert (found.volume_l is None) == (index_l < before_l)
    assert found.volume_l is not None or {"REVERSED", "ROLLOVER"} & set(found.flags)


@pytest.mark.parametrize(
    ("day", "read_day", "month"),
    [
        (date(2026, 11, 20), 20, date(2026, 11, 1)),
        (date(2026, 12, 3), 20, date(2026, 11, 1)),
        (date(2026, 12, 7), 20, date(2026, 12, 1)),
        (date(2026, 12, 1), 1, date(2026, 11, 1)),
        (date(2026, 11, 28), 5, date(2026, 11, 1)),
        (date(2027, 1, 2), 28, date(2026, 12, 1)),
    ],
)
def test_a_reading_closes_the_month_whose_reading_day_is_nearest(day, read_day, month):
    assert plausibility.closing_month(day, read_day) == month
