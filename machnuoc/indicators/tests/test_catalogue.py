"""The measures and indicators that the program brings."""

from datetime import UTC, datetime

import pytest

from machnuoc.core import units
from machnuoc.core.models import AuditEntry
from machnuoc.indicators import catalogue, formula, operations, providers
from machnuoc.indicators.models import FormulaVersion, Metric

pytestmark = pytest.mark.usefixtures("demo_data", "db")
NOW = datetime(2026, 7, 1, 3, 0, tzinfo=UTC)


def test_loading_the_catalogue_again_changes_nothing():
    acts, versions = AuditEntry.objects.count(), FormulaVersion.objects.count()

    assert catalogue.load_catalogue(NOW) == Metric.objects.count()

    assert (AuditEntry.objects.count(), FormulaVersion.objects.count()) == (acts, versions)


def test_a_formula_that_people_changed_stays_theirs():
    nrw = Metric.objects.get(key="losses.nrw_pct")
    own = operations.put_formula(
        nrw, numerator="losses.system_input_m3 - losses.billed_m3 * 1", denominator="losses.system_input_m3",
        factor=100, from_date=NOW.date(), now=NOW,
    )  # fmt: skip

    catalogue.load_catalogue(NOW)

    assert FormulaVersion.objects.get(metric=nrw, valid_to__isnull=True) == own


def test_every_metric_says_what_it_is_and_in_which_unit():
    for metric in Metric.objects.all():
        assert metric.definition and metric.name and metric.short_name, metric.key
        assert units.get_unit(metric.unit)
        assert set(metric.period_kinds) <= set("MQHY")


def test_every_computed_indicator_has_a_formula_over_known_measures():
    known = operations.list_measure_types()
    for metric in Metric.objects.filter(source=Metric.Source.COMPUTED):
        version = FormulaVersion.objects.get(metric=metric)
        for text in filter(None, (version.numerator, version.denominator)):
            formula.check(formula.parse(text), known)


def test_every_provided_measure_has_a_room_that_gives_it():
    for metric in Metric.objects.filter(source=Metric.Source.PROVIDED):
        assert providers.is_provided(metric.key)


def test_definitions_not_read_in_a_legal_text_say_so():
    recalled = set(Metric.objects.filter(confidence="recalled").values_list("key", flat=True))

    assert recalled >= {"losses.nrw_pct", "coverage.urban_pct", "coverage.rural_pct", "quality.samples_passed_pct"}
