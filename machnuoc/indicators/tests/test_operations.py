"""What writes metrics, formulas, bands and facts: what it refuses, in which words, and what it leaves as it is."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from machnuoc.core.models import AuditEntry, Passage, Person, SearchEntry
from machnuoc.core.periods import Period
from machnuoc.core.units import UnknownUnit
from machnuoc.indicators import bands, formula, operations
from machnuoc.indicators.models import BandScheme, DirtyRange, Fact, FormulaVersion, Metric, State
from machnuoc.places.models import Subject

pytestmark = pytest.mark.usefixtures("demo_data", "db")
NOW = datetime(2026, 7, 1, 3, 0, tzinfo=UTC)
INDICATOR = {
    "name": "Thử", "short_name": "Thử", "kind": "INDICATOR", "unit": "pct", "decimals": 1, "subject_kind": "WORK",
    "period_kinds": "Y", "source": "COMPUTED",
}  # fmt: skip


@pytest.fixture
def nrw() -> Metric:
    return Metric.objects.get(key="losses.nrw_pct")


@pytest.fixture
def connected() -> Metric:
    return Metric.objects.get(key="works.households_connected")


def state(metric: Metric, number: str = "1300", period: str = "2025", **more: object) -> Fact:
    given = {"subject": Subject.objects.get(key="work.qn.binh-chanh"), "state": State.APPROVED, "now": NOW, **more}
    return operations.state_fact(metric=metric, period=Period.parse(period), number=Decimal(number), **given)


def test_a_circle_of_formulas_is_named(nrw):
    first = operations.put_metric(key="own.first", **INDICATOR)
    second = operations.put_metric(key="own.second", **INDICATOR)
    operations.put_formula(first, numerator="own.second", denominator="own.second", factor=100, now=NOW)

    with pytest.raises(formula.CyclicFormula) as refused:
        operations.put_formula(second, numerator="own.first", denominator="own.first", factor=100, now=NOW)

    assert str(refused.value) == (
        "Công thức quay vòng: own.first → own.second → own.first. Bỏ một trong các tham chiếu này rồi lưu lại."
    )
    assert not FormulaVersion.objects.filter(metric=second).exists()


def test_an_indicator_that_needs_itself_is_a_circle():
    own = operations.put_metric(key="own.first", **INDICATOR)

    with pytest.raises(formula.CyclicFormula):
        operations.put_formula(own, numerator="own.first", denominator="own.first", factor=100, now=NOW)


def test_households_and_cubic_metres_do_not_add(nrw):
    with pytest.raises(formula.UnitMismatch) as refused:
        operations.put_formula(
            nrw, numerator="works.households_connected + losses.billed_m3", from_date=date(2027, 1, 1), now=NOW
        )

    assert "“works.households_connected” tính bằng hộ" in str(refused.value)
    assert "m³" in str(refused.value)


def test_a_formula_whose_result_has_another_unit_is_refused(nrw):
    with pytest.raises(formula.UnitMismatch) as refused:
        operations.put_formula(nrw, numerator="losses.billed_m3", factor=100, from_date=date(2027, 1, 1), now=NOW)

    assert "Tỷ lệ thất thoát" in str(refused.value) and "«%»" in str(refused.value)


def test_an_unknown_measure_is_answered_with_a_likely_one(nrw):
    with pytest.raises(formula.UnknownMeasure) as refused:
        operations.put_formula(
            nrw, numerator="losses.biled_m3", denominator="losses.system_input_m3", factor=100, now=NOW
        )

    assert "losses.billed_m3" in str(refused.value)


def test_measures_of_another_kind_of_subject_are_refused(nrw):
    with pytest.raises(formula.FormulaError, match="khác loại"):
        operations.put_formula(
            nrw, numerator="coverage.urban_population", denominator="coverage.urban_population", factor=100, now=NOW
        )


def test_a_new_formula_needs_a_day_after_that_of_the_live_one(nrw):
    given = {"numerator": "losses.billed_m3", "denominator": "losses.system_input_m3", "factor": 100, "now": NOW}

    with pytest.raises(operations.IndicatorsError, match="cần ngày bắt đầu áp dụng"):
        operations.put_formula(nrw, **given)
    operations.put_formula(nrw, from_date=date(2027, 1, 1), **given)

    first, second = FormulaVersion.objects.filter(metric=nrw).order_by("version")
    assert (first.valid_to, second.valid_from, second.version) == (date(2027, 1, 1), date(2027, 1, 1), 2)
    with pytest.raises(operations.IndicatorsError):
        operations.put_formula(
            nrw, numerator="losses.billed_m3 * 1", denominator="losses.system_input_m3", factor=100,
            from_date=date(2027, 1, 1), now=NOW,
        )  # fmt: skip


def test_the_same_formula_again_makes_no_version(nrw):
    live = FormulaVersion.objects.get(metric=nrw)
    acts = AuditEntry.objects.count()

    again = operations.put_formula(
        nrw, numerator=live.numerator, denominator=live.denominator, factor=live.factor, now=NOW
    )

    assert again == live and AuditEntry.objects.count() == acts


def test_a_metric_with_figures_keeps_its_unit_and_decimals(connected):
    with pytest.raises(operations.IndicatorsError) as refused:
        operations.put_metric(key=connected.key, unit="person")

    assert "đơn vị" in str(refused.value) and "đã có số liệu" in str(refused.value)
    with pytest.raises(UnknownUnit):
        operations.put_metric(key="own.x", unit="furlong", name="x", short_name="x")


def test_a_new_metric_is_found_by_name_and_audited():
    admin = Person.objects.get(username="quantri")
    metric = operations.put_metric(
        key="own.meters", by=admin, name="Số đồng hồ đã thay", short_name="Đồng hồ thay", kind="MEASURE", unit="count",
        subject_kind="WORK", period_kinds="MY", source="ENTERED",
    )  # fmt: skip

    assert SearchEntry.objects.get(kind="metric", object_id=metric.pk).title == "Số đồng hồ đã thay"
    entry = AuditEntry.objects.filter(action="indicators.metric.saved").latest("pk")
    assert entry.actor == admin and entry.target_id == str(metric.pk)


def test_bands_with_a_gap_are_refused_and_nothing_is_written(connected):
    levels = [
        bands.Band("a", "Thấp", None, True, Decimal(10), True, "good"),
        bands.Band("b", "Cao", Decimal(20), True, None, False, "danger"),
    ]

    with pytest.raises(bands.BandError, match="khoảng trống"):
        operations.put_band_scheme(connected, name="Mức", levels=levels)
    assert not BandScheme.objects.filter(metric=connected).exists()


def test_bands_are_replaced_only_from_a_day(nrw):
    cao_bang = Subject.objects.get(key="vn.cao-bang")
    levels = [bands.Band("all", "Mọi mức", None, True, None, True, "info")]

    with pytest.raises(operations.IndicatorsError, match="Bộ mức mới cần ngày"):
        operations.put_band_scheme(nrw, name="Mới", levels=levels, scope=cao_bang)
    operations.put_band_scheme(nrw, name="Mới", levels=levels, scope=cao_bang, valid_from=date(2027, 1, 1))

    old, new = BandScheme.objects.filter(metric=nrw).order_by("pk")
    assert (old.valid_to, new.valid_from) == (date(2027, 1, 1), date(2027, 1, 1))


def test_what_a_room_gives_from_its_records_is_not_entered():
    with pytest.raises(operations.IndicatorsError, match="hệ thống tự lấy từ hồ sơ"):
        state(Metric.objects.get(key="works.households_design"))


def test_a_figure_of_a_period_that_the_metric_has_not_is_refused(connected):
    with pytest.raises(operations.IndicatorsError, match="không có số liệu theo kỳ «Quý III/2026»"):
        state(connected, period="2026-Q3")


def test_more_decimals_than_the_metric_keeps_are_refused(connected):
    with pytest.raises(operations.IndicatorsError, match="là số nguyên"):
        state(connected, "1300.5")
    with pytest.raises(operations.IndicatorsError, match="số quá lớn"):
        state(connected, "99999999999999999999")


def test_the_same_statement_twice_is_one_fact(connected):
    first = state(connected)

    assert state(connected) == first
    assert Fact.objects.filter(metric=connected, subject=first.subject).count() == 2  # that of the plan, and this one


def test_a_fact_says_what_must_be_computed_again(connected):
    state(connected)

    waiting = DirtyRange.objects.get()
    assert (waiting.metric, waiting.from_date, waiting.to_date) == (connected, date(2025, 1, 1), date(2026, 1, 1))
    assert waiting.reason == "sửa số liệu: Số hộ đấu nối sử dụng nước, năm 2025"


def test_a_fact_is_withdrawn_once_and_with_a_reason(connected):
    fact = Fact.objects.get(metric=connected, subject__key="work.qn.binh-chanh")

    with pytest.raises(operations.IndicatorsError, match="Chưa ghi lý do"):
        operations.withdraw_fact(fact, reason=" ", by=None, now=NOW)
    operations.withdraw_fact(fact, reason="sai trạm", by=None, now=NOW)
    with pytest.raises(operations.IndicatorsError, match="đã được thay hoặc rút"):
        operations.withdraw_fact(fact, reason="sai trạm", by=None, now=NOW)

    assert DirtyRange.objects.get().reason == "rút số liệu: sai trạm"
    assert AuditEntry.objects.filter(action="indicators.fact.withdrawn").count() == 1


def test_a_fact_keeps_the_passage_it_stands_in(connected):
    fact = Fact.objects.get(metric=connected, subject__key="work.qn.binh-chanh")

    assert isinstance(fact.passage, Passage)
    assert fact.passage.section == "Phụ lục 1, dòng 01" or "Phụ lục 1" in fact.passage.section
