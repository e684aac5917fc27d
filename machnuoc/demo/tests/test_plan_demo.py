"""The plans' targets as they are loaded: what is printed, what the parts add up to, where each stands."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from machnuoc.core.models import AuditEntry, Passage
from machnuoc.demo import plans as data
from machnuoc.demo.planning import plans, read_targets, targets
from machnuoc.indicators import queries as indicator_queries
from machnuoc.indicators.models import Fact, Metric, State, Value
from machnuoc.places.models import Subject
from machnuoc.planning import plan_operations
from machnuoc.planning.models import Plan, Standing, Target

pytestmark = pytest.mark.usefixtures("demo_data", "db")
NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


def _status(plan: str, key: str) -> Standing:
    return Standing.objects.select_related("target").get(target__plan__key=plan, target__key=key)


@pytest.mark.parametrize("plan", read_targets.PLANS)
def test_every_target_is_printed_where_it_says(plan):
    passages = {passage.key: passage.text for passage in data.get_document(plan).passages}
    known = set(Metric.objects.values_list("key", flat=True)) | {"investment.disbursement_pct", "works.handed_over"}

    for row in read_targets.list_targets(plan):
        assert row.amount_printed in passages[row.passage_key], row.key
        assert not row.metric_key or row.metric_key in known, row.key
        for word in filter(None, [row.comparator_printed]):
            assert word.split()[-1] in passages[row.passage_key], row.key


def test_the_thirty_rows_of_appendix_1_add_up_to_the_1600_households():
    whole = Target.objects.get(plan__key="qn.79-2026", key="khach-hang")
    parts = list(whole.parts.all())

    assert len(parts) == 30
    assert sum(part.amount for part in parts) == whole.amount == 1600


def test_loading_again_changes_nothing():
    before = AuditEntry.objects.count(), Fact.objects.count()

    targets.load_targets(datetime(2026, 6, 1, 2, 0, tzinfo=UTC))

    assert (AuditEntry.objects.count(), Fact.objects.count()) == before


def test_the_targets_to_2020_of_lai_chau_are_expired():
    stood = Standing.objects.filter(target__plan__key="lc.chi-thi-34")

    assert stood.count() == 6
    assert {row.status for row in stood} == {"EXPIRED"}
    rural = _status("lc.chi-thi-34", "nong-thon").target
    assert rural.metric.key == "coverage.rural_systems_pct"  # of systems, not of people


def test_the_growth_of_the_centre_is_simulated_and_says_so():
    targets.simulate_connections(NOW)
    plan_operations.recompute_standings(NOW, tell=False)

    stood = _status("qn.79-2026", "khach-hang")

    assert stood.status == "AT_RISK"
    assert stood.as_of_kind == "M"
    assert "mô phỏng" in stood.reason
    assert "/1.600 hộ, 2 tháng" in stood.reason
    assert 0 < stood.reached < stood.forecast < 1600


def test_simulating_again_states_nothing_and_touches_nothing_that_somebody_stated():
    targets.simulate_connections(NOW)
    before = Fact.objects.count()

    targets.simulate_connections(NOW)

    assert Fact.objects.count() == before
    assert not Fact.objects.filter(state=State.SIMULATED).exclude(period_start__year=2026).exists()


def test_a_simulated_year_does_not_push_out_the_stated_one():
    targets.simulate_connections(NOW)
    centre = Subject.objects.get(key="org.qn.trung-tam")

    newest = {
        row.metric.key: row.value
        for row in indicator_queries.latest(centre)
        if row.value and row.value.period_kind == "Y"
    }

    assert newest["works.households_connected"].number == 25_330


def test_the_households_of_2025_stay_as_printed():
    value = Value.objects.get(
        metric__key="works.households_connected", subject__key="org.qn.trung-tam", period_kind="Y",
        period_start="2025-01-01", scenario="A",
    )  # fmt: skip

    assert value.number == 25_330
    assert value.state == State.STATED


def test_a_loss_known_only_as_more_than_15_per_cent_is_not_judged_by_a_number():
    stood = _status("cb.cap-nuoc-2026", "that-thoat-xuan-hoa")

    assert stood.status == "NO_DATA"
    assert "> 15 %" in stood.reason


def test_a_target_without_facts_says_which_figure_came_last():
    assert "năm 2025: 62,0 %" in _status("qn.79-2026", "dan-so-nuoc-sach").reason
    assert _status("qn.79-2026", "mau-nuoc").status == "NO_DATA"


def test_every_passage_of_a_target_is_there():
    assert not Target.objects.filter(plan__key__in=["qn.79-2026", "cb.cap-nuoc-2026"], passage=None).exists()
    assert Passage.objects.filter(document__key="doc.lc.ct34", key="i.2.6").exists()
    assert Decimal("63.6") == Target.objects.get(key="dan-so-nuoc-sach").amount


def test_the_five_plans_are_there_and_loading_them_again_writes_nothing():
    before = AuditEntry.objects.count()

    plans.load_plans(NOW)

    assert set(Plan.objects.values_list("key", flat=True)) >= {
        "qn.79-2026", "cb.cap-nuoc-2026", "ct.bo-chi-so-2024", "lc.chi-thi-34", "kh.1355-2024"
    }  # fmt: skip
    assert AuditEntry.objects.count() == before
