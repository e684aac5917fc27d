"""What the records of customers give the indicators, and what is stated from them."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from machnuoc.core.models import Job
from machnuoc.core.periods import LOCAL_ZONE, Period
from machnuoc.customers import connection_operations as connections
from machnuoc.customers import figures, meters
from machnuoc.customers.figure_jobs import measure
from machnuoc.customers.models import Category, Connection, Customer, Request
from machnuoc.indicators import lineage, operations, providers
from machnuoc.indicators.catalogue import load_catalogue
from machnuoc.indicators.models import Fact, Metric, State, Value

JUNE, JULY = Period.parse("2026-06"), Period.parse("2026-07")
NOW = datetime(2026, 8, 3, 9, 0, tzinfo=LOCAL_ZONE)


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    """The providers ask what day it is: it is that of the small centre."""
    monkeypatch.setattr(timezone, "now", lambda: NOW)


@pytest.fixture
def metrics(db) -> dict[str, Metric]:
    load_catalogue(NOW)
    return {metric.key: metric for metric in Metric.objects.all()}


def given(key: str, period: Period) -> dict[int, tuple[int, int]]:
    """Return number and state by work."""
    found = providers.provide(key, period)
    return {
        work: (number, state)
        for work, number, state in zip(
            found.subject_ids.tolist(), found.numbers.tolist(), found.states.tolist(), strict=True
        )
    }


def test_a_connection_counts_from_the_day_it_was_connected_to_the_day_before_it_was_closed(centre):
    centre.connection(connected_date=date(2026, 6, 30))
    gone = centre.connection(connected_date=date(2026, 6, 1))
    centre.connection(connected_date=date(2026, 7, 31), group="KDDV")
    connections.close(gone, on_date=date(2026, 7, 10), reason="Chuyển đi", by=centre.clerk, now=NOW)

    work = centre.binh_chanh.pk
    assert given("customers.connections", JUNE)[work] == (2, State.MEASURED)
    assert given("customers.connections", JULY)[work] == (2, State.MEASURED)
    assert given("customers.households", JULY)[work] == (1, State.MEASURED)
    assert given("customers.connections", Period.parse("2026-Q2"))[work] == (2, State.MEASURED)


def test_a_shared_meter_counts_all_its_households_and_an_agency_none(centre):
    shared = centre.connection()
    Connection.objects.filter(pk=shared.pk).update(households=12)
    centre.connection(group="HCSN", kind="AGENCY")

    assert given("customers.households", JULY) == {centre.binh_chanh.pk: (12, State.MEASURED)}


def test_what_is_not_installed_yet_counts_nowhere(centre):
    centre.connection(status="PENDING", connected_date=None)

    assert given("customers.connections", JULY) == {}


def test_a_suspended_connection_does_not_count_until_it_is_opened_again(centre):
    one = centre.connection()
    centre.connection()
    one = connections.suspend(one, on_date=date(2026, 6, 15), reason="Về quê", by=centre.clerk, now=NOW)
    connections.reopen(one, on_date=date(2026, 7, 2), reason="", by=centre.clerk, now=NOW)

    work = centre.binh_chanh.pk
    assert given("customers.connections", Period.parse("2026-05"))[work][0] == 2
    assert given("customers.connections", JUNE)[work][0] == 1
    assert given("customers.households", JUNE)[work][0] == 1
    assert given("customers.connections", JULY)[work][0] == 2


def test_a_connection_entered_as_suspended_never_counted(centre):
    one = centre.connection(status="SUSPENDED")
    assert given("customers.connections", JULY)[centre.binh_chanh.pk][0] == 0
    connections.reopen(one, on_date=date(2026, 8, 1), reason="", by=centre.clerk, now=NOW)
    assert given("customers.connections", JULY)[centre.binh_chanh.pk][0] == 0
    assert given("customers.connections", Period.parse("2026-08"))[centre.binh_chanh.pk][0] == 1


def test_new_connections_leave_out_what_came_with_a_handed_over_work(centre):
    centre.connection(connected_date=date(2026, 7, 1))
    centre.connection(connected_date=date(2026, 7, 5), origin="HANDOVER")
    centre.connection(connected_date=date(2026, 7, 5), origin="EXISTING")
    centre.connection(connected_date=date(2026, 6, 30), work=centre.nghia_phu)

    assert given("customers.new_connections", JULY) == {
        centre.binh_chanh.pk: (1, State.MEASURED), centre.nghia_phu.pk: (0, State.MEASURED),
    }  # fmt: skip
    assert given("customers.new_connections", Period.parse("2026"))[centre.nghia_phu.pk][0] == 1


def test_a_priority_customer_with_two_connections_counts_once(centre):
    school = centre.connection("Trường Tiểu học", kind="AGENCY", group="HCSN")
    Customer.objects.filter(pk=school.customer_id).update(priority="SCHOOL")
    second = centre.connection("Trường, cơ sở hai", group="HCSN")
    Connection.objects.filter(pk=second.pk).update(customer=school.customer)
    centre.connection()

    assert given("customers.priority_customers", JULY)[centre.binh_chanh.pk][0] == 1


def test_simulated_customers_make_a_simulated_figure(centre):
    centre.connection(is_simulated=True)
    centre.connection(work=centre.nghia_phu)

    found = given("customers.connections", JULY)
    assert found[centre.binh_chanh.pk] == (1, State.SIMULATED)
    assert found[centre.nghia_phu.pk] == (1, State.MEASURED)


def test_a_meter_is_overdue_from_the_day_after_its_last(centre):
    meters.load_rules()
    one, other = centre.connection(), centre.connection()
    for serial, row, verified in (("S1", one, date(2021, 7, 31)), ("S2", other, date(2021, 6, 30))):
        meters.fit(
            row, serial=serial, at=datetime(2026, 1, 10, 8, tzinfo=LOCAL_ZONE),
            verified_date=verified, by=centre.clerk, now=NOW,
        )  # fmt: skip

    work = centre.binh_chanh.pk
    assert given("customers.meters", JULY)[work][0] == 2
    assert given("customers.meters_overdue", JUNE)[work][0] == 0
    assert given("customers.meters_overdue", JULY)[work][0] == 1


# --- requests


def _request(work, code: str, received: datetime, answered: datetime | None = None, due_hours: int | None = 24, **said):
    return Request.objects.create(
        code=code, category=Category.objects.order_by("pk").first(), channel="PHONE", operator=work.operator, work=work,
        text="Nước yếu", received_at=received, clock_from_at=received, answered_at=answered, token=code,
        due_at=received + timedelta(hours=due_hours) if due_hours else None,
        **{"state": "ANSWERED" if answered else "NEW", **said},
    )  # fmt: skip


def test_requests_count_in_the_period_in_which_they_came_and_in_which_they_were_answered(centre):
    work = centre.binh_chanh
    last_of_june = datetime(2026, 6, 30, 20, tzinfo=LOCAL_ZONE)
    _request(work, "PA1", last_of_june, last_of_june + timedelta(hours=10))
    _request(work, "PA2", last_of_june + timedelta(days=1), last_of_june + timedelta(days=3))
    _request(work, "PA3", last_of_june + timedelta(days=2), last_of_june + timedelta(days=2, hours=1), due_hours=None)
    _request(work, "PA4", last_of_june + timedelta(days=2))
    _request(work, "PA5", last_of_june + timedelta(days=2), state="MERGED")

    def read(part: str, period: Period) -> int:
        return given(f"requests.{part}", period)[work.pk][0]

    assert [read(part, JUNE) for part in ("received", "answered", "open")] == [1, 0, 1]
    assert [read(part, JULY) for part in ("received", "answered", "open")] == [4, 3, 1]
    assert [read(part, JULY) for part in ("answered_limited", "answered_in_time")] == [2, 1]
    assert read("answer_hours", JULY) == (10 + 48 + 1) * 10


def test_a_work_that_never_had_a_request_has_no_figure_and_one_that_had_has_zero(centre):
    _request(centre.binh_chanh, "PA1", datetime(2026, 5, 1, tzinfo=LOCAL_ZONE), datetime(2026, 5, 2, tzinfo=LOCAL_ZONE))

    assert given("requests.received", JULY) == {centre.binh_chanh.pk: (0, State.MEASURED)}


def test_the_mean_time_to_answer_of_an_operator_is_all_hours_over_all_answers(centre, metrics):
    start = datetime(2026, 7, 1, 8, tzinfo=LOCAL_ZONE)
    _request(centre.binh_chanh, "PA1", start, start + timedelta(hours=10))
    for number in range(3):
        _request(centre.nghia_phu, f"PB{number}", start, start + timedelta(hours=2))
    figures.mark_measures(NOW)
    operations.recompute_dirty(NOW)

    mean = Value.objects.get(
        metric=metrics["requests.mean_answer_hours"], subject=centre.operator.subject, period_kind="M",
        period_start=JULY.start_date,
    )  # fmt: skip
    assert mean.number == 40  # (10 + 3 × 2) / 4 hours, in tenths


# --- the nightly work


@pytest.mark.django_db(transaction=True)
def test_the_nightly_work_counts_thirteen_months_at_first_and_changes_nothing_the_next_time(centre, metrics):
    centre.connection(connected_date=date(2025, 12, 20))
    measure(Job())
    values = Value.objects.filter(metric=metrics["customers.connections"], subject=centre.binh_chanh.subject)
    assert values.filter(period_kind="M", number=1).count() == 9  # December to August
    assert values.get(period_kind="Y", period_start=date(2026, 1, 1)).number == 1

    assert measure(Job()).startswith("0 số liệu mới hoặc đổi")


@pytest.mark.django_db(transaction=True)
def test_a_late_record_corrects_the_months_behind_but_meters_stay_as_they_were_counted(centre, metrics):
    meters.load_rules()
    one = centre.connection()
    fitting = meters.fit(
        one, serial="S1", at=datetime(2026, 1, 10, 8, tzinfo=LOCAL_ZONE),
        verified_date=date(2021, 6, 1), by=centre.clerk, now=NOW,
    )  # fmt: skip
    measure(Job())
    centre.connection(connected_date=date(2026, 7, 3))
    meters.record_verification(fitting.meter, on_date=date(2026, 8, 2), by=centre.clerk, today=NOW.date())
    measure(Job())

    def stored(key: str, month: Period) -> int | None:
        return Value.objects.get(
            metric=metrics[key], subject=centre.binh_chanh.subject, period_kind="M", period_start=month.start_date
        ).number

    assert stored("customers.connections", JULY) == 2
    assert stored("customers.meters_overdue", JULY) == 1
    assert stored("customers.meters_overdue", Period.parse("2026-08")) == 0


def test_what_is_read_for_one_measure_serves_the_others_of_the_same_run(centre, django_assert_num_queries):
    centre.connection()
    with providers.reading_once():
        given("customers.connections", JULY)
        with django_assert_num_queries(0):
            given("customers.households", JULY)


def test_the_lineage_of_a_figure_leads_to_the_connections_of_the_work(centre, metrics):
    centre.connection()
    figures.mark_measures(NOW)
    operations.recompute_dirty(NOW)
    value = Value.objects.get(
        metric=metrics["customers.connections"], subject=centre.binh_chanh.subject, period_kind="M",
        period_start=JULY.start_date,
    )  # fmt: skip
    (source,) = providers.explain("customers.connections", centre.binh_chanh.pk, JULY)
    assert source.url == f"/khach-hang/?work={centre.binh_chanh.pk}"
    assert source.text.startswith("Hồ sơ khách hàng: 1 đấu nối đang sử dụng, 1 hộ dân, đến hết ngày 31/07/2026")
    assert lineage.recheck(value).is_same


# --- households connected, stated from real customers


def _fact(metrics, work, period: Period = JULY) -> Fact | None:
    return Fact.objects.filter(
        metric=metrics[figures.HOUSEHOLDS], subject=work.subject, period_kind="M", period_start=period.start_date,
        superseded_at__isnull=True,
    ).first()  # fmt: skip


def _state(metrics, work, number: int, state: State, period: Period = JULY) -> None:
    operations.state_fact(
        metric=metrics[figures.HOUSEHOLDS], subject=work.subject, period=period, number=Decimal(number), state=state,
        now=NOW,
    )  # fmt: skip


@pytest.fixture
def kept_since_june(centre, monkeypatch):
    """Return a function that makes so many real connections, entered in June."""

    def make(count: int, **fields):
        made = [centre.connection(**fields) for _ in range(count)]
        Customer.objects.update(created_at=datetime(2026, 6, 10, tzinfo=LOCAL_ZONE))
        return made

    return make


def test_the_households_of_finished_months_are_stated_from_real_customers(centre, metrics, kept_since_june):
    kept_since_june(5)
    _state(metrics, centre.binh_chanh, 6, State.STATED)

    assert figures.state_households(NOW).facts == 2  # June and July; in May nobody kept them here, August still runs

    fact = _fact(metrics, centre.binh_chanh)
    assert (fact.number, fact.state, fact.note) == (5, State.MEASURED, figures.NOTE)
    assert _fact(metrics, centre.binh_chanh, Period.parse("2026-05")) is None
    assert figures.state_households(NOW).facts == 0


def test_simulated_customers_state_nothing(centre, metrics, kept_since_june):
    kept_since_june(5, is_simulated=True)
    assert figures.state_households(NOW).facts == 0


def test_what_somebody_measured_stands_before_what_is_counted(centre, metrics, kept_since_june):
    kept_since_june(5)
    _state(metrics, centre.binh_chanh, 6, State.MEASURED)
    figures.state_households(NOW)
    assert _fact(metrics, centre.binh_chanh).number == 6


def test_a_file_that_is_not_filled_yet_does_not_replace_what_is_known(centre, metrics, kept_since_june):
    kept_since_june(3)
    _state(metrics, centre.binh_chanh, 425, State.STATED, Period.parse("2026-05"))
    done = figures.state_households(NOW)
    assert done.facts == 0
    assert "đếm được 3, số đang có 425" in done.doubts[0]
    assert _fact(metrics, centre.binh_chanh) is None


def test_late_records_correct_what_was_stated_and_lost_ones_take_it_back(centre, metrics, kept_since_june):
    kept_since_june(5)
    figures.state_households(NOW)
    kept_since_june(1, connected_date=date(2026, 7, 20))
    figures.state_households(NOW)
    assert _fact(metrics, centre.binh_chanh).number == 6
    assert _fact(metrics, centre.binh_chanh, JUNE).number == 5

    Connection.objects.update(is_simulated=True)
    figures.state_households(NOW)
    assert _fact(metrics, centre.binh_chanh) is None
