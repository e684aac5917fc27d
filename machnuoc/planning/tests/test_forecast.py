from datetime import date
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machnuoc.planning.forecast import Forecast, forecast, forecast_steps

YEAR_END = date(2026, 12, 31)
SEASON = 10 * np.sin(2 * np.pi * np.arange(12) / 12)


def months(numbers, last=date(2026, 7, 31)):
    """Return the numbers as a monthly history that ends on that day; None is a month without a figure."""
    index = last.year * 12 + last.month
    ends = [date((index + at) // 12, (index + at) % 12 + 1, 1) for at in range(1 - len(numbers), 1)]
    days = [date.fromordinal(day.toordinal() - 1) for day in ends]
    return [(day, Decimal(str(number))) for day, number in zip(days, numbers, strict=True) if number is not None]


def test_a_steady_pace_goes_on():
    found = forecast(months([10, 20, 30, 40, 50, 60, 70]), until=YEAR_END)

    assert found is not None
    assert found.method == "short"
    assert (found.low, found.point, found.high) == (120, 120, 120)
    assert (found.speed_a_month, found.speed_months) == (Decimal(10), 3)


def test_households_added_come_to_what_is_worked_in_the_documentation():
    added = np.cumsum([75, 90, 84, 71, 65, 55, 63, 61])

    found = forecast(months(added, last=date(2026, 8, 31)), until=YEAR_END)

    assert [round(number) for number in (found.point, found.low, found.high)] == [849, 715, 982]
    assert found.speed_a_month == Decimal("59.666667")


def test_what_was_added_stays_added():
    found = forecast(months([10, 100, 100, 101, 101, 101, 101]), until=YEAR_END)

    assert found.low >= 101


def test_a_season_is_seen_after_two_years():
    numbers = [round(100 + SEASON[at % 12], 2) for at in range(48)]

    found = forecast(months(numbers), until=date(2026, 12, 31))

    assert found.has_season
    assert found.method == "season"
    assert float(found.point) == pytest.approx(100 + SEASON[(48 + 4) % 12], abs=1)


def test_noise_is_not_taken_for_a_season():
    draw = np.random.default_rng(5)
    shares = [forecast_steps(draw.normal(100, 3, 36), 12).season_share for _ in range(40)]

    assert np.median(shares) == 0


@pytest.mark.parametrize("count", range(6))
def test_fewer_than_six_figures_say_nothing_by_themselves(count):
    assert forecast(months(range(count)), until=YEAR_END) is None


def test_with_too_little_history_the_path_is_followed_from_where_the_series_stands():
    path = [(date(2025, 12, 31), Decimal(0)), (date(2026, 6, 30), Decimal(60)), (YEAR_END, Decimal(120))]

    found = forecast(months([10, 20], last=date(2026, 6, 30)), until=YEAR_END, path=path)

    assert found == Forecast(
        Decimal("80.0"), None, None, "path", points=2, speed_a_month=Decimal("10.0"), speed_months=1
    )


def test_the_path_is_not_followed_beyond_its_end_or_before_its_beginning():
    path = [(date(2026, 7, 1), Decimal(0)), (date(2026, 9, 30), Decimal(60))]

    assert forecast(months([10, 20], last=date(2026, 6, 30)), until=date(2026, 9, 30), path=path) is None
    assert forecast(months([10, 20], last=date(2026, 8, 31)), until=YEAR_END, path=path) is None


def test_a_series_that_never_moved_stays():
    found = forecast(months([100] * 12), until=YEAR_END, lower=0, upper=100)

    assert (found.point, found.low, found.high, found.method) == (100, 100, 100, "constant")


def test_a_missing_month_is_not_zero():
    whole = [50 + at for at in range(30)]
    holed = [None if at in {4, 11, 12, 20} else number for at, number in enumerate(whole)]

    found, same = forecast(months(holed), until=YEAR_END), forecast(months(whole), until=YEAR_END)

    assert float(found.point) == pytest.approx(float(same.point), abs=1)
    assert (found.gaps, found.points) == (4, 26)


def test_a_history_with_more_holes_than_figures_is_not_forecast():
    holed = [at if at % 3 == 0 else None for at in range(31)]

    assert forecast(months(holed), until=YEAR_END) is None


def test_a_typing_error_moves_the_forecast_little():
    draw = np.random.default_rng(11)
    clean = [round(x, 1) for x in draw.normal(90, 1, 30)]
    wrong = clean.copy()
    wrong[17] = 9.0

    one, other = (forecast(months(numbers), until=YEAR_END) for numbers in (clean, wrong))

    assert float(abs(one.point - other.point)) < 1
    assert other.spikes >= 1
    assert other.high - other.low < 2 * (one.high - one.low)


def test_a_change_of_level_is_no_typing_error():
    numbers = [30 + 0.1 * (-1) ** at for at in range(18)] + [20 + 0.1 * (-1) ** at for at in range(12)]

    found = forecast(months(numbers), until=date(2026, 8, 31))

    assert found.spikes == 0
    assert 18 < found.point < 23


def test_a_per_cent_does_not_pass_its_ceiling():
    found = forecast(months([80 + 1.5 * at for at in range(13)]), until=YEAR_END, lower=0, upper=100)

    assert found.point <= 100
    assert found.high <= 100


def test_a_month_is_told_by_its_latest_figure_and_the_order_does_not_matter():
    history = months([5, 8, 9, 14, 17, 21, 24, 30])
    early = (date(2026, 7, 10), Decimal(2))

    assert forecast([early, *reversed(history)], until=YEAR_END) == forecast(history, until=YEAR_END)


def test_the_past_and_the_far_future_are_not_forecast():
    history = months(range(9))

    assert forecast(history, until=date(2026, 7, 31)) is None
    assert forecast(history, until=date(2026, 1, 31)) is None
    assert forecast(history, until=date(2030, 12, 31)) is None
    assert forecast([], until=YEAR_END) is None


def test_quarters_half_years_and_years_are_forecast_on_their_own_grid():
    years = [(date(year, 12, 31), Decimal(60 + year - 2016)) for year in range(2016, 2026)]
    quarters = [
        (date(year, month, 30), Decimal(10 * at))
        for at, (year, month) in enumerate((year, month) for year in (2023, 2024, 2025) for month in (3, 6, 9, 12))
    ]
    halves = [
        (date(year, month, 30), Decimal(at)) for at, (year, month) in enumerate(
            (year, month) for year in range(2021, 2026) for month in (6, 12)
        )
    ]  # fmt: skip

    assert float(forecast(years, until=date(2030, 12, 31), step="Y").point) == pytest.approx(74, abs=0.5)
    assert float(forecast(quarters, until=YEAR_END, step="Q").point) == pytest.approx(150, abs=2)
    assert float(forecast(halves, until=YEAR_END, step="H").point) == pytest.approx(11, abs=0.2)


def test_a_day_within_a_month_lies_between_the_ends_of_the_months():
    history = months([10, 20, 30, 40, 50, 60, 70])
    ends = [forecast(history, until=day).point for day in (date(2026, 10, 31), date(2026, 11, 30))]

    middle = forecast(history, until=date(2026, 11, 15)).point

    assert float(middle) == pytest.approx(float(sum(ends)) / 2, abs=0.01)


def test_the_farther_the_day_the_wider_the_interval():
    draw = np.random.default_rng(3)
    steps = forecast_steps(100 + np.cumsum(draw.normal(0, 2, 40)), 12)

    widths = steps.high - steps.low

    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(widths))


_AMOUNT = st.one_of(st.none(), st.integers(0, 10**9), st.floats(0, 1e9, allow_nan=False))


@settings(max_examples=150, deadline=None)
@given(st.lists(_AMOUNT, min_size=1, max_size=70), st.sampled_from([1, 4, 12]), st.sampled_from([None, True, False]))
def test_whatever_the_history_the_forecast_lies_in_its_interval_and_bounds_and_comes_out_alike_again(
    numbers, ahead, counted
):
    history = [(day, float(number)) for day, number in months(numbers)]
    index = 2026 * 12 + 7 + ahead
    until = date.fromordinal(date(index // 12, index % 12 + 1, 1).toordinal() - 1)

    found = forecast(history, until=until, lower=0, upper=2e9, is_cumulative=counted)

    assert found == forecast(history, until=until, lower=0, upper=2e9, is_cumulative=counted)
    if found is not None:
        assert found.low <= found.point <= found.high
        assert found.low >= 0
        assert found.high <= 2 * 10**9


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1e-3, 10.0, 1e6]))
def test_a_forecast_does_not_depend_on_the_unit(seed, factor):
    draw = np.random.default_rng(seed)
    numbers = draw.uniform(50, 60, int(draw.integers(6, 50)))

    one, other = forecast_steps(numbers, 6), forecast_steps(numbers * factor, 6)

    assert one.point * factor == pytest.approx(other.point, rel=1e-6)
    assert one.high * factor == pytest.approx(other.high, rel=1e-6)


def test_a_smoothing_rule_gives_what_statsmodels_gives_with_the_same_gains():
    from statsmodels.tsa.holtwinters import Holt

    from machnuoc.planning import forecast as inner

    numbers = 100 + np.cumsum(np.random.default_rng(8).normal(0.5, 2, 30))
    rule = int(np.flatnonzero((inner._ALPHA == 0.35) & (inner._BETA == 0.15) & (inner._DAMPING == 0.95))[0])
    peer = Holt(numbers, damped_trend=True, initialization_method="known", initial_level=numbers[0], initial_trend=0.0)
    fitted = peer.fit(smoothing_level=0.35, smoothing_trend=0.15, damping_trend=0.95, optimized=False)

    levels, trends = inner._smooth(numbers)
    ahead = levels[-1, rule] + trends[-1, rule] * np.cumsum(0.95 ** np.arange(1, 7))

    assert ahead == pytest.approx(fitted.forecast(6), rel=1e-9)
