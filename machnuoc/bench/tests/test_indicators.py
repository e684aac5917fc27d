import pytest
from django.db import connection

from machnuoc.bench import common, filling, indicators
from machnuoc.indicators.models import Value

TINY = indicators.Size(communes=23, indicators=2, months=2)


@pytest.mark.django_db
def test_the_program_and_the_hand_written_sql_store_equal_rows():
    report = indicators.measure(TINY, repetitions=1)  # raises BenchFailed where they differ

    assert report["bench"] == "indicators"
    assert (report["size"]["communes"], report["size"]["provinces"]) == (23, 3)
    rows = {row["metric"]: row for row in report["results"]}
    figures = rows[f"figures_{connection.vendor}"]
    assert figures["value"] > 0
    assert figures["ratio"] == pytest.approx(
        figures["value"] / rows[f"figures_peer_{connection.vendor}"]["value"], rel=0.01
    )
    levels = Value.objects.filter(metric__key="bench.rate_1", period_start="2026-12-01")
    assert levels.filter(subject__unit__level="PROVINCE").count() == 3
    assert levels.filter(subject__kind="COUNTRY", band__isnull=False).count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("change", [{"number": 1}, {"band": None}, {"numerator": 1}, {"parts_total": 99}, {"state": 5}])
def test_one_row_that_differs_is_noticed(change):
    filling.make_places(TINY.communes)
    made = filling.make_indicators(1, indicators.NOW)
    months = filling.list_months(1, indicators.YEAR)
    filling.fill_rates(made, filling.list_communes(), months, indicators.NOW)
    indicators.compute(made, months)
    before = indicators.fingerprint(made, months)

    value = Value.objects.filter(metric=made[0]).order_by("subject_id").first()
    Value.objects.filter(pk=value.pk).update(**change)

    assert indicators.fingerprint(made, months) != before


@pytest.mark.django_db
def test_the_made_up_figures_have_gaps_and_wholes_of_nothing():
    filling.make_places(300)
    made = filling.make_indicators(1, indicators.NOW)
    stored = filling.fill_rates(made, filling.list_communes(), filling.list_months(2, indicators.YEAR), indicators.NOW)

    assert stored < 2 * 2 * 300
    assert Value.objects.filter(metric__key="bench.whole_1", number=0).exists()


@pytest.mark.slow
def test_the_command_measures_on_a_database_of_its_own():
    vendor = connection.vendor

    report = common.run_on_each("indicators", "communes=20,indicators=2,months=1", vendor)

    rows = {row["metric"]: row for row in report["results"]}
    assert {f"figures_{vendor}", f"figures_peak_mb_{vendor}", f"lineage_ms_{vendor}"} <= rows.keys()
    assert all(set(row) >= {"metric", "value", "unit", "against", "ratio"} for row in report["results"])
    assert rows[f"figures_peak_mb_{vendor}"]["value"] < indicators.LIMIT_PEAK_MB
