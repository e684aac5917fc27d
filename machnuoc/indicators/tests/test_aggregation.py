"""Parts into a whole: exact sums, coverage, periods, and the weakest state."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machnuoc.core.periods import BadPeriod, Period
from machnuoc.indicators import aggregation, columns
from machnuoc.indicators.aggregation import NO_STATE, StateRank
from machnuoc.indicators.columns import INT64_LIMIT, Column, column_of

FIGURES = st.one_of(st.none(), st.integers(-1000, 1000), st.integers(-INT64_LIMIT, INT64_LIMIT))
COUNTS = st.one_of(st.none(), st.integers(0, 100_000))
GROUP_COUNT = 4
GROUP = st.integers(0, GROUP_COUNT - 1)


def unpack(rows: list[tuple[int | None, ...]], at: int) -> Column:
    return column_of([row[at] for row in rows], 0)


def groups_of(rows: list[tuple[int | None, ...]]) -> np.ndarray:
    return np.array([row[-1] for row in rows], np.int64)


@settings(deadline=None)
@given(st.lists(st.tuples(FIGURES, FIGURES, GROUP), max_size=30))
def test_summing_groups_and_summing_again_gives_the_whole(rows: list[tuple[int | None, ...]]) -> None:
    num, den, group = unpack(rows, 0), unpack(rows, 1), groups_of(rows)

    by_group = aggregation.sum_over_sum(num, den, group, GROUP_COUNT)
    of_groups = aggregation.sum_over_sum(by_group.num, by_group.den, np.zeros(GROUP_COUNT, np.int64), 1)
    at_once = aggregation.sum_over_sum(num, den, np.zeros(len(rows), np.int64), 1)

    assert of_groups.num.to_list() == at_once.num.to_list()
    assert of_groups.den.to_list() == at_once.den.to_list()
    assert by_group.parts_present.sum() == at_once.parts_present[0]
    assert by_group.parts_total.sum() == at_once.parts_total[0] == len(rows)


@settings(deadline=None)
@given(st.lists(st.tuples(COUNTS, st.one_of(st.none(), st.integers(1, 100_000)), GROUP), max_size=30))
def test_the_ratio_of_a_group_lies_between_those_of_its_parts(rows: list[tuple[int | None, ...]]) -> None:
    num, den, group = unpack(rows, 0), unpack(rows, 1), groups_of(rows)

    found = aggregation.sum_over_sum(num, den, group, GROUP_COUNT)

    totals = zip(found.num.to_list(), found.den.to_list(), strict=True)
    for number, (total_num, total_den) in enumerate(totals):
        parts = [Fraction(a, b) for a, b, g in rows if g == number and a is not None and b is not None]
        assert (total_num is not None) == bool(parts) == (total_den is not None)
        if total_num is not None and total_den is not None:
            assert min(parts) <= Fraction(total_num) / Fraction(total_den) <= max(parts)


@settings(deadline=None)
@given(st.lists(st.tuples(FIGURES, GROUP), max_size=30), st.booleans())
def test_each_way_of_aggregating_agrees_with_plain_python(
    rows: list[tuple[int | None, ...]], python_integers: bool
) -> None:
    column, group = unpack(rows, 0), groups_of(rows)
    if python_integers:
        column = Column(column.values.astype(object), column.present, 0)
    parts = [[value for value, g in rows if g == number and value is not None] for number in range(GROUP_COUNT)]

    for how, exact in (("sum", sum), ("count", len), ("min", min), ("max", max)):
        found = aggregation.aggregate(column, group, GROUP_COUNT, how)
        assert found.column.to_list() == [exact(values) if values else None for values in parts]
        assert found.parts_present.tolist() == [len(values) for values in parts]
        assert found.parts_total.tolist() == [sum(g == number for _, g in rows) for number in range(GROUP_COUNT)]


def test_a_sum_too_large_for_64_bits_does_not_wrap() -> None:
    found = aggregation.aggregate(column_of([INT64_LIMIT, INT64_LIMIT], 0), np.array([0, 0]), 1, "sum")

    assert found.column.to_list() == [2 * INT64_LIMIT]


def test_a_part_without_a_denominator_counts_in_neither_sum() -> None:
    connected, design = column_of([425, 300, None], 0), column_of([950, None, 600], 0)

    found = aggregation.sum_over_sum(connected, design, np.zeros(3, np.int64), 1)

    assert (found.num.to_list(), found.den.to_list()) == ([425], [950])
    assert (found.parts_present.tolist(), found.parts_total.tolist()) == ([1], [3])


def test_a_rate_is_sum_over_sum_and_not_the_mean_of_rates() -> None:
    lost_m3, input_m3 = column_of([725, 100], 0), column_of([1_000, 9_000], 0)

    whole = aggregation.sum_over_sum(lost_m3, input_m3, np.zeros(2, np.int64), 1)

    # 72.5 % of a small network and 1.1 % of a large one are 8.25 % together; the mean of the two rates is 36.8 %.
    assert columns.ratio(whole.num, whole.den, 100, 2).to_list() == [Decimal("8.25")]


def test_a_sub_scheme_without_a_design_of_its_own_drops_out_unless_it_is_one_part_with_its_station() -> None:
    # Plan 79/KH-TTNS of 10/02/2026 (Quảng Ngãi), appendix 1: Nghĩa Phú 425 of 950, Cổ Lũy Làng Cá 277 of no figure.
    connected, design = column_of([25_330 - 425 - 277, 425, 277], 0), column_of([34_657 - 950, 950, None], 0)
    everywhere = np.zeros(3, np.int64)

    apart = aggregation.sum_over_sum(connected, design, everywhere, 1)
    station = np.array([0, 1, 1])
    joined = aggregation.sum_over_sum(
        aggregation.aggregate(connected, station, 2, "sum").column,
        aggregation.aggregate(design, station, 2, "sum").column,
        everywhere[:2],
        1,
    )

    assert columns.ratio(apart.num, apart.den, 100, 2).to_list() == [Decimal("72.29")]
    assert columns.ratio(joined.num, joined.den, 100, 2).to_list() == [Decimal("73.09")]


def test_a_group_outside_the_range_is_refused() -> None:
    with pytest.raises(ValueError, match="outside 0 to 1"):
        aggregation.aggregate(column_of([1], 0), np.array([2]), 2, "sum")
    with pytest.raises(ValueError, match="outside 0 to 1"):
        aggregation.aggregate(column_of([1], 0), np.array([-1]), 2, "sum")


def list_months(*keys: str) -> aggregation.PeriodGroups:
    return aggregation.group_periods([Period.parse(key) for key in keys], "Q")


def test_months_are_put_into_their_quarters() -> None:
    quarters = list_months("2026-02", "2026-04", "2026-01", "2025-12")

    assert [period.key for period in quarters.periods] == ["2025-Q4", "2026-Q1", "2026-Q2"]
    assert quarters.group.tolist() == [1, 2, 1, 0]
    assert quarters.parts_expected.tolist() == [3, 3, 3]


def test_days_expected_in_a_month_follow_the_calendar() -> None:
    months = aggregation.group_periods([Period.parse("2024-02-10"), Period.parse("2026-02-10")], "M")

    assert months.parts_expected.tolist() == [29, 28]


def test_periods_of_two_kinds_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="several kinds"):
        aggregation.group_periods([Period.parse("2026-01"), Period.parse("2026-Q1")], "Y")


def test_weeks_do_not_make_up_a_month() -> None:
    with pytest.raises(BadPeriod):
        aggregation.group_periods([Period.parse("2026-W07")], "M")


def test_a_quarter_adds_the_months_that_are_there_and_says_how_many() -> None:
    quarters = list_months("2026-01", "2026-02", "2026-03", "2026-04")
    volume = column_of([100, None, 120, None], 0)

    found = aggregation.over_time(volume, quarters.group, quarters.parts_expected, "sum")

    assert found.column.to_list() == [220, None]
    assert (found.parts_present.tolist(), found.parts_total.tolist()) == ([2, 0], [3, 3])


def test_a_stock_takes_the_latest_month_that_is_there_whatever_the_order_of_rows() -> None:
    quarters = list_months("2026-03", "2026-01", "2026-02")
    households = column_of([None, 1_500, 1_600], 0)

    found = aggregation.over_time(
        households, quarters.group, quarters.parts_expected, "last", start=np.array([3, 1, 2], np.int64)
    )

    assert found.column.to_list() == [1_600]
    assert found.parts_present.tolist() == [2]


def test_two_figures_of_one_month_have_no_last() -> None:
    with pytest.raises(ValueError, match="start together"):
        aggregation.over_time(
            column_of([1, 2], 0), np.array([0, 0]), np.array([3]), "last", start=np.array([1, 1], np.int64)
        )


def test_a_weighted_mean_rounds_half_up_to_the_decimals_of_its_column() -> None:
    hours, weight = column_of(["20.0", "24.0", None, "1.0"], 1), column_of([1, 2, 5, None], 0)

    found = aggregation.over_time(hours, np.zeros(4, np.int64), np.array([12]), "weighted_mean", weight=weight)

    assert found.column.to_list() == [Decimal("22.7")]
    assert found.parts_present.tolist() == [2]


def test_a_weighted_mean_without_weight_is_missing() -> None:
    found = aggregation.over_time(
        column_of([20, 24], 0), np.array([0, 0]), np.array([3]), "weighted_mean", weight=column_of([0, 0], 0)
    )

    assert found.column.to_list() == [None]


@pytest.mark.parametrize(
    ("how", "inputs", "reason"),
    [
        ("last", {}, "starts"),
        ("weighted_mean", {}, "weights"),
        ("weighted_mean", {"weight": column_of([-1, 1], 0)}, "negative"),
    ],
)
def test_what_a_rule_needs_must_be_there(how: str, inputs: dict[str, Column], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        aggregation.over_time(column_of([1, 2], 0), np.array([0, 0]), np.array([3]), how, **inputs)


def test_more_months_than_a_quarter_holds_are_refused() -> None:
    with pytest.raises(ValueError, match="more finer periods"):
        aggregation.over_time(column_of([1] * 4, 0), np.zeros(4, np.int64), np.array([3]), "sum")


@settings(deadline=None)
@given(st.lists(st.tuples(FIGURES, GROUP), max_size=12))
def test_adding_months_into_quarters_into_a_year_is_adding_them_into_the_year(
    rows: list[tuple[int | None, ...]],
) -> None:
    volume, group = unpack(rows, 0), groups_of(rows)

    quarters = aggregation.over_time(volume, group, np.full(GROUP_COUNT, 12), "sum").column
    year = aggregation.over_time(quarters, np.zeros(GROUP_COUNT, np.int64), np.array([4]), "sum").column

    at_once = aggregation.over_time(volume, np.zeros(len(rows), np.int64), np.array([12]), "sum").column
    assert year.to_list() == at_once.to_list()


@given(st.lists(st.tuples(st.sampled_from(StateRank), GROUP, st.booleans()), max_size=20))
def test_a_whole_is_as_weak_as_its_weakest_part(rows: list[tuple[StateRank, int, bool]]) -> None:
    states = np.array([state for state, _, _ in rows], np.int64)
    group = np.array([g for _, g, _ in rows], np.int64)
    present = np.array([there for _, _, there in rows], bool)

    found = aggregation.combine_states(states, group, GROUP_COUNT, present)

    for number in range(GROUP_COUNT):
        parts = [state for state, g, there in rows if g == number and there]
        assert found[number] == max(parts, default=NO_STATE)


def test_one_simulated_part_makes_the_whole_simulated() -> None:
    states = np.array([StateRank.MEASURED, StateRank.SIMULATED, StateRank.APPROVED])

    assert aggregation.combine_states(states, np.zeros(3, np.int64), 1).tolist() == [StateRank.SIMULATED]


def test_a_state_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="StateRank"):
        aggregation.combine_states(np.array([6]), np.array([0]), 1)
