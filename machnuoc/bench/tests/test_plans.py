import argparse

import numpy as np
import pytest
from django.db import connection

from machnuoc.bench import common, forecasts, plans
from machnuoc.planning.models import Standing, StandingChange, Target


@pytest.mark.django_db
def test_every_target_of_every_province_stands_somewhere_and_a_still_series_is_forecast_once():
    report = plans.measure(plans.Size(2, 200, 26), repetitions=1)  # raises BenchFailed where one is forecast again

    rows = {row["metric"]: row for row in report["results"]}
    on = connection.vendor
    assert {f"target_status_ms_{on}", f"forecast_ms_{on}", f"first_run_s_{on}", f"scaling_exponent_{on}"} <= rows.keys()
    assert report["size"]["targets_in_all"] == 400
    assert Standing.objects.count() == 400
    assert {"ON_TRACK", "AT_RISK"} <= set(Standing.objects.values_list("status", flat=True))
    assert Standing.objects.filter(forecast_low__isnull=False).count() > 300
    assert StandingChange.objects.count() == 400
    assert Target.objects.values("plan").distinct().count() == 2


@pytest.mark.django_db
def test_the_memory_is_measured_while_every_series_is_forecast_anew():
    plans.measure(plans.Size(1, 200, 8), repetitions=1)
    before = set(Standing.objects.values_list("series_hash", flat=True))

    row = plans.measure_memory(plans.Size(1, 200, 8))["results"][0]

    assert row["ratio"] < 1
    assert set(Standing.objects.values_list("series_hash", flat=True)) == before


@pytest.mark.django_db
def test_a_number_of_targets_that_does_not_fit_the_communes_is_refused():
    with pytest.raises(common.BenchFailed, match="phải là 200"):
        plans.measure(plans.Size(1, 30, 8))


def test_the_figures_used_for_choosing_are_not_those_reported():
    choosing, reporting = (
        [known.tobytes() for _, _, known, _ in forecasts.simulate(forecasts.CHOOSING, seed, forecasts.SIZES["small"])]
        for seed in (forecasts.CHOOSING_SEED, forecasts.REPORTING_SEED)
    )

    assert not set(choosing) & set(reporting)
    assert set(forecasts.REPORTING) - set(forecasts.CHOOSING) == {"saturating_coverage", "yearly_burst"}


@pytest.mark.parametrize("kind", forecasts.REPORTING)
def test_a_simulated_series_is_the_same_each_time_and_moves(kind):
    one, other = (forecasts.REPORTING[kind](np.random.default_rng(6), 40) for _ in range(2))

    assert np.array_equal(one, other)
    assert np.ptp(one) > 0


def test_the_errors_of_plain_rules_are_told_as_they_are():
    past = np.array([1.0, 2, 3, 4, 5, 6, 7, 8])
    true = np.concatenate([past, np.arange(9.0, 21)])

    outcomes = forecasts._from_origin("line", 8, true, true, 8, forecasts.forecast.forecast_steps)

    assert [row.last_value_error for row in outcomes] == pytest.approx(range(1, 13))
    assert [row.straight_line_error for row in outcomes] == pytest.approx([0] * 12, abs=1e-9)
    assert [row.recent_pace_error for row in outcomes] == pytest.approx([0] * 12, abs=1e-9)


def test_on_series_never_used_for_choosing_the_interval_holds_and_both_plain_rules_are_beaten():
    outcomes = forecasts.backtest_simulated(forecasts.REPORTING, forecasts.REPORTING_SEED, forecasts.Size(4, 2))

    told = forecasts.summarise(outcomes)

    assert 0.75 <= told["coverage"] <= 0.85
    assert told["vs_last_value"] < 1
    assert told["vs_straight_line"] < 1


@pytest.mark.slow
def test_the_forecasts_are_held_against_public_series_and_a_library():
    report = forecasts.run(argparse.Namespace(size="small"))

    rows = {row["metric"]: row for row in report["results"]}
    for suffix in ("", "_public"):
        for name in ("forecast_vs_last_value", "forecast_vs_straight_line"):
            assert rows[name + suffix]["value"] < 1
    assert 0.7 <= rows["forecast_coverage_80_public"]["value"] <= 0.9  # few origins: chance widens what is held to
    assert rows["forecast_vs_ets_public"]["value"] < 1.3
