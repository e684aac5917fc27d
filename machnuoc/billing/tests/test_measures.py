"""What bills, payments and the ledger give the indicators by work and month, and the water that is stated from them."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from machnuoc.billing import corrections, figures, ledger, payments, runs
from machnuoc.billing.corrections import Facts
from machnuoc.billing.figure_jobs import measure
from machnuoc.billing.models import Bill, ReadUpTo, WorkMonth
from machnuoc.billing.tests.test_runs import begin, bill_all
from machnuoc.billing.tests.world import AUGUST, JULY, JUNE, NOW, make_work
from machnuoc.core.models import Job
from machnuoc.core.periods import Period
from machnuoc.indicators import operations, providers
from machnuoc.indicators.catalogue import load_catalogue
from machnuoc.indicators.models import DirtyRange, Fact, Metric, State, Value

LATER = NOW + timedelta(days=3)


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    """The providers ask what day it is: it is that of the small operator."""
    monkeypatch.setattr(timezone, "now", lambda: NOW)


@pytest.fixture
def metrics(db) -> dict[str, Metric]:
    load_catalogue(NOW)
    DirtyRange.objects.all().delete()
    return {metric.key: metric for metric in Metric.objects.all()}


def given(key: str, period: date | str) -> dict[int, tuple[int, int]]:
    """Return number and state by work."""
    asked = Period.parse(period) if isinstance(period, str) else Period("M", period)
    found = providers.provide(f"billing.{key}", asked)
    return {
        work: (number, state)
        for work, number, state in zip(
            found.subject_ids.tolist(), found.numbers.tolist(), found.states.tolist(), strict=True
        )
    }


def pay(world, bill: Bill, amount_vnd: int, now=NOW):
    return payments.record_payment(
        connection=bill.connection, amount_vnd=amount_vnd, method="BANK", received_at=now, now=now, by=world.clerk,
        external_id=f"FT{bill.pk}-{amount_vnd}",
    )  # fmt: skip


def correct(world, bill: Bill, volume_m3: int, way: str = "ADJUST") -> Bill:
    facts = Facts(volume_m3 * 1_000, bill.group, 1, 0)
    wish = corrections.ask(bill, way=way, facts=facts, reason="Đọc nhầm số", by=world.clerk, now=NOW)
    return corrections.approve(wish, by=world.leader, now=LATER)


def test_the_bills_of_a_month_are_summed_by_work_and_by_who_uses_the_water(world):
    world.connection({JUNE: 100, JULY: 125})
    world.connection({JUNE: 0, JULY: 10}, group="KDDV")
    second = make_work(world.operator, "work.hai")
    world.connection({JUNE: 0, JULY: 4}, work=second)
    bill_all(world)
    figures.update(NOW)

    first = world.work.pk
    assert given("volume_m3", JULY) == {first: (35, State.MEASURED), second.pk: (4, State.MEASURED)}
    assert given("volume_household_m3", JULY)[first][0] == 25
    assert given("volume_other_m3", JULY)[first][0] == 10
    assert given("billed_vnd", JULY)[first][0] == 207_000 + 172_500
    assert given("collected_vnd", JULY)[first][0] == 0
    assert given("volume_m3", "2026-Q3") == given("volume_m3", "2026") == given("volume_m3", JULY)
    assert given("volume_m3", JUNE) == {}


def test_a_bill_is_owed_from_the_day_it_was_issued_and_what_was_paid_belongs_to_its_month(world):
    home = world.connection({JUNE: 100, JULY: 125})
    bill_all(world)
    bill = Bill.objects.get(connection=home)
    pay(world, bill, 200_000)
    figures.update(NOW)

    work = world.work.pk
    assert given("collected_vnd", JULY)[work][0] == 200_000
    assert given("debt_vnd", JULY)[work][0] == 0  # it was issued in August
    assert given("debt_vnd", AUGUST)[work][0] == 7_000 == ledger.balance_of(home.pk).receivable_vnd


@pytest.mark.parametrize("way", ["ADJUST", "REPLACE"])
def test_a_correction_changes_the_month_that_it_corrects(world, way):
    home = world.connection({JUNE: 100, JULY: 125})
    bill_all(world)
    figures.update(NOW)
    correct(world, Bill.objects.get(connection=home), 20, way)
    figures.update(LATER)

    work = world.work.pk
    assert given("volume_m3", JULY)[work][0] == 20
    assert given("billed_vnd", JULY)[work][0] == 155_250
    assert given("debt_vnd", AUGUST)[work][0] == 155_250


def test_money_that_is_taken_back_is_no_longer_collected(world):
    home = world.connection({JUNE: 100, JULY: 125})
    bill_all(world)
    payment = pay(world, Bill.objects.get(connection=home), 207_000)
    figures.update(NOW)
    assert given("collected_vnd", JULY)[world.work.pk][0] == 207_000
    payments.reverse_payment(payment, reason="Ghi nhầm người", now=LATER, by=world.clerk)
    figures.update(LATER)

    assert given("collected_vnd", JULY)[world.work.pk][0] == 0
    assert given("debt_vnd", AUGUST)[world.work.pk][0] == 207_000


def test_a_decrease_that_is_set_against_its_bill_is_not_money_collected(world):
    home = world.connection({JUNE: 100, JULY: 125})
    bill_all(world)
    bill = Bill.objects.get(connection=home)
    correct(world, bill, 20)
    pay(world, bill, 155_250)
    figures.update(LATER)

    assert given("collected_vnd", JULY) == given("billed_vnd", JULY)


def test_simulated_bills_make_a_simulated_figure_and_state_no_water(world, metrics):
    world.connection({JUNE: 100, JULY: 125}, is_simulated=True)
    bill_all(world)

    assert figures.update(NOW).stated == 0
    assert given("volume_m3", JULY) == {world.work.pk: (25, State.SIMULATED)}


def test_a_month_is_read_again_only_when_something_of_it_is_new(world):
    world.connection({JUNE: 100, JULY: 125})
    bill_all(world)
    assert figures.update(NOW).months == 2  # July billed, August posted
    soon = NOW + timedelta(hours=2)
    figures.update(soon)
    assert figures.update(soon + timedelta(hours=2)).months == 0
    assert ReadUpTo.objects.get(table="bill").sure_id == Bill.objects.latest("pk").pk


def test_rows_that_became_visible_late_are_still_found(world):
    """On PostgreSQL a transaction may show lower ids after higher ones were seen."""
    world.connection({JUNE: 100, JULY: 125})
    bill_all(world)
    newest = Bill.objects.latest("pk").pk
    ReadUpTo.objects.create(table="bill", seen_id=newest, seen_at=NOW - timedelta(minutes=5))

    figures.update(NOW)

    assert WorkMonth.objects.filter(period_start_date=JULY).exists()


def test_sums_that_stand_are_left_alone(world):
    world.connection({JUNE: 100, JULY: 125})
    bill_all(world)
    figures.update(NOW)
    before = list(WorkMonth.objects.values_list("pk", flat=True))

    assert not figures.update_month(Period("M", JULY), LATER)
    assert list(WorkMonth.objects.values_list("pk", flat=True)) == before


def test_the_collection_rate_of_an_operator_is_all_money_over_all_bills(world, metrics):
    home = world.connection({JUNE: 100, JULY: 125})  # 207,000
    second = make_work(world.operator, "work.hai")
    world.connection({JUNE: 0, JULY: 10}, work=second)  # 69,000
    bill_all(world)
    pay(world, Bill.objects.get(connection=home), 207_000)
    figures.update(NOW)
    operations.recompute_dirty(NOW)

    value = Value.objects.get(
        metric=metrics["billing.collection_pct"], subject=world.operator.subject, period_kind="M", period_start=JULY
    )
    assert (value.numerator, value.denominator) == (207_000, 276_000)
    assert value.number == 750


@pytest.mark.django_db(transaction=True)
def test_the_work_after_a_run_brings_the_indicators_up_to_date_and_twice_changes_nothing(world, metrics):
    world.connection({JUNE: 100, JULY: 125})
    bill_all(world)

    assert "ghi lượng nước ghi thu của 1 công trình" in measure(Job())
    value = Value.objects.get(metric=metrics["losses.billed_m3"], subject=world.work.subject, period_kind="M")
    assert (value.number, value.state) == (25, State.MEASURED)
    assert "; 0 số liệu mới hoặc đổi; ghi lượng nước ghi thu của 0 công trình" in measure(Job())


def test_the_lineage_of_a_month_leads_to_its_bills(world):
    world.connection({JUNE: 100, JULY: 125})
    bill_all(world)
    figures.update(NOW)

    (source,) = providers.explain("billing.billed_vnd", world.work.pk, Period("M", JULY))
    assert source.url == f"/hoa-don/?work={world.work.pk}&period=2026-07"
    assert "1 hóa đơn còn hiệu lực, 25 m³ (sinh hoạt 25 m³), 207.000\xa0đ" in source.text
    (debt,) = providers.explain("billing.debt_vnd", world.work.pk, Period("M", AUGUST))
    assert "trong kỳ thay đổi 207.000\xa0đ" in debt.text


# --- billed water, stated for the water balance


def _fact(metrics, work, month: date = JULY) -> Fact | None:
    return Fact.objects.filter(
        metric=metrics[figures.BILLED], subject=work.subject, period_kind="M", period_start=month,
        superseded_at__isnull=True,
    ).first()  # fmt: skip


def _state(metrics, work, number: int, state: State) -> None:
    operations.state_fact(
        metric=metrics[figures.BILLED], subject=work.subject, period=Period("M", JULY), number=Decimal(number),
        state=state, now=NOW,
    )  # fmt: skip


def test_the_water_of_real_bills_is_stated_and_corrected_when_a_bill_is(world, metrics):
    home = world.connection({JUNE: 100, JULY: 125})
    bill_all(world)
    _state(metrics, world.work, 26, State.APPROVED)
    figures.update(NOW)
    fact = _fact(metrics, world.work)
    assert (fact.number, fact.state, fact.note) == (25, State.MEASURED, figures.NOTE)

    correct(world, Bill.objects.get(connection=home), 20)
    figures.update(LATER)
    assert _fact(metrics, world.work).number == 20
    assert Fact.objects.filter(metric=metrics[figures.BILLED], superseded_at__isnull=False).count() == 2


def test_the_water_of_a_month_that_runs_is_stated_once_it_is_over(world, metrics):
    home = world.connection({JUNE: 100, JULY: 125})
    bill_all(world)
    world.read(home, AUGUST, 130, at=NOW)
    bill_all(world, AUGUST)
    figures.update(NOW)
    assert _fact(metrics, world.work, AUGUST) is None

    figures.update(NOW + timedelta(days=40))
    assert _fact(metrics, world.work, AUGUST).number == 5


def test_what_somebody_measured_stands_before_what_was_billed(world, metrics):
    world.connection({JUNE: 100, JULY: 125})
    bill_all(world)
    _state(metrics, world.work, 30, State.MEASURED)
    figures.update(NOW)
    assert _fact(metrics, world.work).number == 30


def test_bills_of_a_few_customers_do_not_replace_what_a_station_reported(world, metrics):
    world.connection({JUNE: 100, JULY: 125})
    bill_all(world)
    _state(metrics, world.work, 9_000, State.APPROVED)
    done = figures.update(NOW)
    assert _fact(metrics, world.work).number == 9_000
    assert "đếm được 25, số đang có 9.000" in done.doubts[0]


def test_nothing_is_stated_while_a_run_has_issued_only_some_bills(world, metrics, monkeypatch):
    monkeypatch.setattr(runs, "CHUNK", {"sqlite": 1, "postgresql": 1})
    for _ in range(2):
        world.connection({JUNE: 100, JULY: 125})
    run = begin(world)
    whole = runs._write_chunk

    def stop_after_one(*arguments):
        whole(*arguments)
        runs.stop(run, by=world.clerk, now=NOW)

    monkeypatch.setattr(runs, "_write_chunk", stop_after_one)
    with pytest.raises(runs.RunStopped):
        runs.issue(run.pk, now=NOW)
    assert Bill.objects.count() == 1
    figures.update(NOW)
    assert _fact(metrics, world.work) is None
