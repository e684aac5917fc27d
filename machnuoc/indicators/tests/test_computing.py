"""From facts to values on the loaded plans: what a new, corrected or withdrawn fact changes."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.db.models import F

from machnuoc.core.periods import Period
from machnuoc.indicators import operations
from machnuoc.indicators.models import DirtyRange, Fact, Metric, State, Value, ValueChange
from machnuoc.places.models import Subject

pytestmark = pytest.mark.usefixtures("demo_data", "db")
NOW = datetime(2026, 7, 1, 3, 0, tzinfo=UTC)
CONNECTED = "works.households_connected"
GROWTH = "works.customer_growth_planned"


def metric(key: str) -> Metric:
    return Metric.objects.get(key=key)


def value(key: str, subject: str, period: str = "2025", scenario: str = "A") -> Value:
    wanted = Period.parse(period)
    return Value.objects.get(
        metric__key=key, subject__key=subject, period_kind=wanted.kind, period_start=wanted.start_date,
        scenario=scenario,
    )  # fmt: skip


def state(key: str, subject: str, period: str, number: str, how: State = State.APPROVED) -> Fact:
    fact = operations.state_fact(
        metric=metric(key), subject=Subject.objects.get(key=subject), period=Period.parse(period),
        number=Decimal(number), state=how, now=NOW,
    )  # fmt: skip
    operations.recompute_dirty(NOW)
    return fact


def withdraw(key: str, subject: str) -> None:
    fact = Fact.objects.get(metric__key=key, subject__key=subject, superseded_at__isnull=True)
    operations.withdraw_fact(fact, reason="nhập nhầm", by=None, now=NOW)
    operations.recompute_dirty(NOW)


def test_computing_everything_again_changes_nothing():
    before = Value.objects.count()
    for one in Metric.objects.all():
        operations.mark_dirty(one, reason="thử lại")

    outcome = operations.recompute_dirty(NOW)

    assert (outcome.inserted, outcome.changed) == (0, 0)
    assert outcome.unchanged >= 500
    assert (Value.objects.count(), ValueChange.objects.count(), DirtyRange.objects.count()) == (before, 0, 0)


def test_computing_in_short_transactions_gives_what_one_transaction_gives():
    def figures() -> list[tuple[object, ...]]:
        order = ("metric__key", "subject_id", "period_kind", "period_start", "scenario")
        rest = ("number", "state", "band_id", "numerator", "denominator", "parts_present", "parts_total", "version")
        return list(Value.objects.order_by(*order).values_list(*order, *rest))

    ones = list(Metric.objects.all())
    sure = Fact.objects.filter(metric__key=CONNECTED, superseded_at__isnull=True, number__isnull=False)
    marker = transaction.savepoint()
    found = []
    for compute in (operations.recompute_dirty, operations.recompute_dirty_in_steps):
        transaction.savepoint_rollback(marker)
        marker = transaction.savepoint()
        sure.update(number=F("number") + 7)
        for one in ones:
            operations.mark_dirty(one, reason="thử lại")
        outcome = compute(NOW)
        changes = list(ValueChange.objects.order_by("value_id", "version").values_list("value_id", "number", "reason"))
        found.append((figures(), changes, outcome.changed, DirtyRange.objects.count()))

    assert found[0] == found[1]
    assert found[0][2] > 30


def test_what_is_marked_while_short_transactions_run_waits_for_the_next_run():
    operations.mark_dirty(metric(CONNECTED), reason="thử lại")
    is_marked = False

    def mark_once(execute, sql, parameters, many, context):
        nonlocal is_marked
        found = execute(sql, parameters, many, context)
        if not is_marked and 'FROM "indicators_metric"' in sql:  # what waited has been read before
            is_marked = True
            operations.mark_dirty(metric(GROWTH), reason="đến sau")
        return found

    with connection.execute_wrapper(mark_once):
        operations.recompute_dirty_in_steps(NOW)

    assert [row.reason for row in DirtyRange.objects.all()] == ["đến sau"]


def test_a_corrected_fact_changes_the_value_all_its_sums_and_keeps_the_history():
    state(CONNECTED, "work.qn.binh-chanh", "2025", "1300")

    for subject, number in (
        ("work.qn.binh-chanh", 1300), ("org.qn.tram-binh-chanh", 1300), ("org.qn.trung-tam", 25_342),
        ("vn.quang-ngai", 25_342), ("vn", 25_342),
    ):  # fmt: skip
        assert value(CONNECTED, subject).number == number
        assert value(CONNECTED, subject).version == 2
    former = value(CONNECTED, "org.qn.trung-tam").changes.get()
    assert (former.version, former.number) == (1, 25_330)
    assert former.reason == "sửa số liệu: Số hộ đấu nối sử dụng nước, năm 2025"
    assert value("works.utilisation_households_pct", "work.qn.binh-chanh").number == 813
    assert value("works.utilisation_households_pct", "work.qn.binh-hai").version == 1


def test_the_former_fact_stays_and_names_its_successor():
    former = Fact.objects.get(metric__key=CONNECTED, subject__key="work.qn.binh-chanh")
    fact = state(CONNECTED, "work.qn.binh-chanh", "2025", "1300")

    former.refresh_from_db()
    assert former.number == 1288 and former.superseded_at == NOW and former.superseded_by == fact


def test_a_corrected_year_changes_the_growth_planned_for_the_next():
    assert value(GROWTH, "work.qn.binh-chanh", "2026").number == 0

    state(CONNECTED, "work.qn.binh-chanh", "2025", "1200")

    assert value(GROWTH, "work.qn.binh-chanh", "2026").number == 88
    assert value(GROWTH, "org.qn.trung-tam", "2026").number == 1688
    assert value("works.customer_growth_planned_pct", "work.qn.binh-chanh", "2026").number == 733


def test_a_changed_baseline_changes_all_periods_that_are_compared_with_it():
    own = operations.put_metric(
        key="own.since_2025", name="Hộ so với năm 2025", short_name="So với 2025", kind="INDICATOR", unit="pct",
        decimals=1, subject_kind="WORK", period_kinds="Y", source="COMPUTED",
    )  # fmt: skip
    operations.put_formula(own, numerator=CONNECTED, denominator=f"baseline({CONNECTED}, 2025)", factor=100, now=NOW)
    state(CONNECTED, "work.qn.binh-chanh", "2027", "1610")
    assert value("own.since_2025", "work.qn.binh-chanh", "2027").number == 1250

    state(CONNECTED, "work.qn.binh-chanh", "2025", "1610")

    assert value("own.since_2025", "work.qn.binh-chanh", "2027").number == 1000


def test_a_withdrawn_fact_leaves_a_missing_figure_and_not_a_zero():
    withdraw(CONNECTED, "work.qn.binh-chanh")

    gone = value(CONNECTED, "work.qn.binh-chanh")
    assert gone.number is None and gone.parts_present == 0 and gone.fact is None
    assert gone.changes.get().number == 1288
    assert value("works.utilisation_households_pct", "work.qn.binh-chanh").number is None
    centre = value("works.utilisation_households_pct", "org.qn.trung-tam")
    assert (centre.numerator, centre.denominator) == (25_330 - 1288, 34_657 - 1600)
    assert (centre.parts_present, centre.parts_total) == (28, 29)


def test_a_withdrawn_bound_is_missing_too_and_stays_so():
    withdraw("losses.nrw_pct", "work.cb.tan-an")

    gone = value("losses.nrw_pct", "work.cb.tan-an")
    assert (gone.high, gone.band, gone.parts_present) == (None, None, 0)
    operations.mark_dirty(metric("losses.nrw_pct"), reason="thử lại")
    assert operations.recompute_dirty(NOW).changed == 0


def test_a_figure_that_comes_back_is_a_new_version():
    withdraw(CONNECTED, "work.qn.binh-chanh")

    state(CONNECTED, "work.qn.binh-chanh", "2025", "1288", State.STATED)

    back = value(CONNECTED, "work.qn.binh-chanh")
    assert (back.number, back.version, back.parts_present) == (1288, 3, 1)
    assert value("works.utilisation_households_pct", "org.qn.trung-tam").number == 731


def test_a_year_takes_the_last_month_of_a_stock_and_the_sum_of_a_flow():
    for month, households, volume in (("2026-01", "1290", "1000"), ("2026-03", "1310", "1500")):
        state(CONNECTED, "work.qn.binh-chanh", month, households)
        state("losses.system_input_m3", "work.qn.binh-chanh", month, volume)

    assert value(CONNECTED, "work.qn.binh-chanh", "2026").number == 1310
    assert value("losses.system_input_m3", "work.qn.binh-chanh", "2026").number == 2500
    assert value("losses.system_input_m3", "vn.quang-ngai", "2026-03").number == 1500


def test_the_last_month_of_a_year_corrects_the_year_too():
    for month, volume in (("2026-01", "1000"), ("2026-12", "1500")):
        state("losses.system_input_m3", "work.qn.binh-chanh", month, volume)
    assert value("losses.system_input_m3", "work.qn.binh-chanh", "2026").number == 2500

    state("losses.system_input_m3", "work.qn.binh-chanh", "2026-12", "1600")

    assert value("losses.system_input_m3", "work.qn.binh-chanh", "2026").number == 2600


def test_a_year_that_is_stated_itself_wins_over_its_months():
    state(CONNECTED, "work.qn.binh-chanh", "2026-01", "1290")
    state(CONNECTED, "work.qn.binh-chanh", "2026", "1400")

    assert value(CONNECTED, "work.qn.binh-chanh", "2026").number == 1400


def test_losses_are_computed_from_volumes_and_take_the_place_of_the_stated_bound():
    state("losses.system_input_m3", "work.cb.tan-an", "2025", "100000")
    state("losses.billed_m3", "work.cb.tan-an", "2025", "85000")

    exact = value("losses.nrw_pct", "work.cb.tan-an")
    assert (exact.number, exact.high, exact.band.label) == (150, None, "Thấp")
    province = value("losses.nrw_pct", "vn.cao-bang")  # one work of many: the stated average of the province stands
    assert province.number == 179 and province.fact is not None


def test_the_state_of_a_sum_is_the_weakest_of_its_parts():
    state(CONNECTED, "work.qn.binh-chanh", "2025", "1300", State.SIMULATED)

    assert value(CONNECTED, "work.qn.binh-chanh").state == State.SIMULATED
    assert value(CONNECTED, "org.qn.trung-tam").state == State.SIMULATED
    assert value("works.utilisation_households_pct", "vn.quang-ngai").state == State.SIMULATED
    assert value("works.utilisation_households_pct", "work.qn.binh-hai").state == State.STATED


def test_an_approved_number_that_was_stated_before_is_a_new_version():
    state(CONNECTED, "work.qn.binh-chanh", "2025", "1288", State.APPROVED)

    found = value(CONNECTED, "work.qn.binh-chanh")
    assert (found.number, found.state, found.version) == (1288, State.APPROVED, 2)


def test_a_new_formula_holds_from_its_day_and_leaves_earlier_years_alone():
    state(CONNECTED, "work.qn.binh-chanh", "2026", "1600")
    indicator = metric("works.utilisation_households_pct")
    assert value(indicator.key, "work.qn.binh-chanh", "2026").number == 1000

    version = operations.put_formula(
        indicator, numerator=f"{CONNECTED} - 0.5 * {CONNECTED}", denominator="works.households_design", factor=100,
        from_date=date(2026, 1, 1), now=NOW,
    )  # fmt: skip
    operations.recompute_dirty(NOW)

    later = value(indicator.key, "work.qn.binh-chanh", "2026")
    assert (later.number, later.formula, later.version) == (500, version, 2)
    assert "công thức" in later.changes.get().reason
    earlier = value(indicator.key, "work.qn.binh-chanh", "2025")
    assert (earlier.number, earlier.version, earlier.formula.version) == (805, 1, 1)


def test_a_subscheme_counts_in_its_work_and_once_in_the_sums():
    state(CONNECTED, "work.qn.co-luy-lang-ca", "2025", "300")

    assert value(CONNECTED, "work.qn.nghia-phu").number == 725
    assert value(CONNECTED, "org.qn.trung-tam").number == 25_353


def test_new_bands_from_a_day_colour_only_later_periods():
    cao_bang = Subject.objects.get(key="vn.cao-bang")
    from machnuoc.indicators import bands

    levels = [
        bands.Band("good", "Đạt", None, True, Decimal(18), True, "good"),
        bands.Band("bad", "Không đạt", Decimal(18), False, None, False, "danger"),
    ]
    state("losses.nrw_pct", "vn.cao-bang", "2026", "17.9")
    operations.put_band_scheme(
        metric("losses.nrw_pct"), name="Bộ mức mới", levels=levels, scope=cao_bang, valid_from=date(2026, 1, 1)
    )
    operations.recompute_dirty(NOW)

    assert value("losses.nrw_pct", "vn.cao-bang", "2026").band.label == "Đạt"
    assert value("losses.nrw_pct", "vn.cao-bang", "2025").band.label == "Trung bình"
