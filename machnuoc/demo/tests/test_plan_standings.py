"""Standings in bulk: handed-over works, another unit, series that have not changed, who is told."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from machnuoc.core.models import Notice, Person
from machnuoc.core.periods import Period
from machnuoc.customers.models import Connection, Customer
from machnuoc.demo.planning import targets as demo
from machnuoc.indicators import operations as indicators
from machnuoc.indicators.models import Metric, State, Value
from machnuoc.places.models import Organisation, Subject
from machnuoc.planning import handover_operations, plan_jobs
from machnuoc.planning import plan_operations as operations
from machnuoc.planning.models import Handover, Plan, Standing, StandingChange, Target

pytestmark = pytest.mark.usefixtures("demo_data", "db")
NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


@pytest.fixture
def growth() -> Target:
    demo.simulate_connections(NOW)
    return Target.objects.get(plan__key="qn.79-2026", key="khach-hang")


def _stand(target: Target, now: datetime = NOW) -> Standing:
    operations.recompute_standings(now, [target], tell=False)
    return Standing.objects.get(target=target)


def _put(key: str, metric: str, **changed: object) -> Target:
    said: dict[str, object] = {
        "plan": Plan.objects.get(key="qn.79-2026"), "key": key, "name": f"Chỉ tiêu {key}", "comparator": "GE",
        "amount": Decimal(100), "unit": "pct", "metric": Metric.objects.get(key=metric),
        "subject": Subject.objects.get(key="vn.quang-ngai"), "period": Period.parse("2026"),
    }  # fmt: skip
    return operations.put_target(**{**said, **changed})  # type: ignore[arg-type]


def _state(metric: str, subject: str, period: str, number: str, state: State = State.APPROVED) -> None:
    indicators.state_fact(
        metric=Metric.objects.get(key=metric), subject=Subject.objects.get(key=subject), period=Period.parse(period),
        number=Decimal(number), state=state, now=NOW, recorded_in_bulk=True,
    )  # fmt: skip


def _take_over(households: int, effective_on: date, subject: str = "vn.quang-ngai") -> Handover:
    """Let the centre take over a work that the program did not know."""
    by = Person.objects.get(username="qn.lanhdao")
    centre = Organisation.objects.get(subject__key="org.qn.trung-tam")
    one = Handover.objects.create(
        name="Hệ thống nước của xã", subject=Subject.objects.get(key=subject), receiver=centre,
        step=Handover.Step.DECIDED, decided_on=effective_on,
    )  # fmt: skip
    taken = handover_operations.take_over(
        one, effective_on=effective_on, opening_households=households, version=None, by=by, now=NOW
    )
    indicators.recompute_dirty(NOW)
    return taken


def test_customers_of_a_work_that_was_handed_over_do_not_count(growth):
    before = _stand(growth)

    _take_over(200, date(2026, 10, 15))
    after = _stand(growth)

    assert after.reached == before.reached
    assert "không tính 200 hộ của công trình nhận bàn giao" in after.reason


def test_what_a_work_gains_after_it_was_handed_over_does_not_count_either(growth):
    before = _stand(growth)
    work = _take_over(200, date(2026, 6, 15)).work
    _state("works.households_connected", work.subject.key, "2026-10", "260")
    indicators.recompute_dirty(NOW)

    after = _stand(growth)

    assert after.reached == before.reached
    assert "không tính 260 hộ của công trình nhận bàn giao" in after.reason


def test_a_work_that_changes_hands_inside_the_sum_takes_only_what_it_gains_out(growth):
    station = Subject.objects.get(key="work.qn.tri-binh")
    before = _stand(growth)
    gained = Value.objects.get(
        metric__key="works.households_connected", subject=station, period_kind="M", period_start=date(2026, 10, 1)
    )
    Handover.objects.create(
        name="Trạm Trì Bình", work=station.work, subject=station, giver=growth.subject.organisation,
        receiver=growth.subject.organisation, step=Handover.Step.EFFECTIVE, effective_on=date(2026, 6, 15),
        opening_households=gained.number - 30,
    )  # fmt: skip

    assert _stand(growth).reached == before.reached - 30


def _join(station: Subject, code: str, households: int, connected_date: date, **fields: object) -> Connection:
    """Add a real connection to a station."""
    operator = station.work.operator
    customer = Customer.objects.create(operator=operator, code=f"KH{code}", name="Khách hàng thử", created_at=NOW)
    return Connection.objects.create(
        code=code, work=station.work, customer=customer, address="Thôn thử", households=households,
        connected_date=connected_date, **{"origin": "HANDOVER", "status": "ACTIVE", **fields},
    )  # fmt: skip


def test_customers_that_joined_a_station_by_a_handover_do_not_count(growth):
    station = Subject.objects.get(key="work.qn.tri-binh")
    before = _stand(growth)
    _join(station, "DNBG1", 20, date(2026, 6, 15))
    _join(station, "DNBG2", 1, date(2026, 6, 15), group="HCSN")  # serves no household

    after = _stand(growth)

    assert after.reached == before.reached - 20
    assert "không tính 20 hộ tiếp nhận cùng công trình" in after.reason


@pytest.mark.parametrize(
    ("connected_date", "fields"),
    [
        (date(2025, 12, 31), {}),  # the plan's base has them
        (date(2026, 6, 15), {"origin": "NEW"}),
        (date(2026, 6, 15), {"is_simulated": True}),
        (date(2026, 6, 15), {"status": "CLOSED", "closed_date": date(2026, 10, 31)}),  # no longer in the figure
    ],
)
def test_connections_that_are_in_no_figure_or_were_developed_take_nothing_out(growth, connected_date, fields):
    before = _stand(growth)
    _join(Subject.objects.get(key="work.qn.tri-binh"), "DNBG1", 20, connected_date, **fields)

    assert _stand(growth).reached == before.reached


def test_customers_of_a_work_that_was_handed_over_whole_are_left_out_once(growth):
    before = _stand(growth)
    work = _take_over(200, date(2026, 6, 15)).work
    _join(work.subject, "DNBG1", 50, date(2026, 6, 15))

    assert _stand(growth).reached == before.reached


def test_a_request_that_is_not_effective_yet_changes_nothing(growth):
    before = _stand(growth)
    centre = Organisation.objects.get(subject__key="org.qn.trung-tam")
    Handover.objects.create(
        name="Công trình khác", subject=centre.subject, receiver=centre, step=Handover.Step.DECIDED,
        effective_on=date(2026, 6, 15), opening_households=200,
    )  # fmt: skip

    assert _stand(growth).reached == before.reached


def test_an_indicator_that_changes_its_unit_is_not_compared(growth):
    Metric.objects.filter(pk=growth.metric_id).update(unit="person")

    stood = _stand(growth)

    assert stood.status == "NO_DATA"
    assert stood.reached is None
    assert "đổi đơn vị: kế hoạch đặt theo hộ" in stood.reason
    assert "nay tính theo người" in stood.reason


def test_a_month_without_one_station_is_left_out_and_said(growth):
    station = Subject.objects.get(key="work.qn.binh-chanh")
    fact = station.facts.get(metric=growth.metric, period_start="2026-10-01", superseded_at=None)
    indicators.withdraw_fact(fact, reason="thử", by=None, now=NOW)
    indicators.recompute_dirty(NOW)

    stood = _stand(growth)

    assert stood.as_of_start == date(2026, 9, 1)
    assert "bỏ 1 kỳ thiếu số liệu" in stood.reason


def test_an_unchanged_series_is_not_forecast_again(growth):
    first = operations.recompute_standings(NOW, [growth], tell=False)
    second = operations.recompute_standings(datetime(2026, 11, 23, 2, 0, tzinfo=UTC), [growth], tell=False)

    assert (first.forecast, second.forecast, second.changed) == (1, 0, 0)
    assert Standing.objects.get(target=growth).computed_on == date(2026, 11, 23)


def test_many_targets_cost_the_same_number_of_queries_as_few(growth, django_assert_max_num_queries):
    few = list(Target.objects.values_list("pk", flat=True)[:5])
    every = list(Target.objects.values_list("pk", flat=True))
    assert len(every) > 40

    for ids in (few, every):
        with django_assert_max_num_queries(20):
            operations.recompute_standings(NOW, ids, tell=False)


def test_a_share_is_met_by_the_figure_of_its_period_and_missed_after_it():
    target = _put("mau", "quality.samples_passed_pct", subject=Subject.objects.get(key="org.qn.trung-tam"))
    for month in ("2026-08", "2026-09"):
        _state("quality.samples_tested", "work.qn.binh-chanh", month, "10")
        _state("quality.samples_passed", "work.qn.binh-chanh", month, "9")
    indicators.recompute_dirty(NOW)

    during = _stand(target)
    after = _stand(target, datetime(2027, 2, 1, 2, 0, tzinfo=UTC))

    assert (during.status, during.reached) == ("AT_RISK", 90)
    assert after.status in {"MISSED", "EXPIRED"}


def test_the_change_of_a_month_is_not_taken_for_the_change_of_a_year(growth):
    share = _put("thang", "works.customer_growth_pct", subject=Subject.objects.get(key="org.qn.trung-tam"))

    stood = _stand(share)

    assert stood.status == "NO_DATA"


def test_the_share_of_new_customers_is_told_of_the_households_of_the_year_before(growth):
    share = Target.objects.get(plan__key="qn.79-2026", key="khach-hang-ty-le")

    stood, counted = _stand(share), _stand(growth)

    assert stood.reached == (counted.reached * 100 / 25_330).quantize(Decimal("0.0001"))
    assert stood.status == counted.status
    assert "6,32 %" in stood.reason


def test_a_share_of_growth_without_a_base_says_so():
    share = _put("ty-le", "works.households_connected", measured_as="GROWTH", subject=Subject.objects.get(key="vn"))

    stood = _stand(share)

    assert stood.status == "NO_DATA"


def test_the_people_of_the_lead_unit_are_told_once(growth):
    Standing.objects.all().delete()

    operations.recompute_standings(NOW, [growth])
    operations.recompute_standings(NOW, [growth])

    told = Notice.objects.filter(kind="planning.target", text__contains=growth.name)
    assert {notice.person.username for notice in told} >= {"qn.lanhdao", "qn.khkt"}
    assert told.count() == len({notice.person_id for notice in told})


def test_a_past_day_keeps_how_it_looked_then(growth):
    Standing.objects.all().delete()
    operations.recompute_standings(datetime(2026, 11, 1, 2, 0, tzinfo=UTC), [growth], tell=False)
    _state("works.households_connected", "work.qn.tri-binh", "2026-10", "1500")
    indicators.recompute_dirty(NOW)
    operations.recompute_standings(NOW, [growth], tell=False)

    days = list(StandingChange.objects.filter(target=growth).order_by("on_date").values_list("on_date", "reached"))

    assert days[-1][0] == date(2026, 11, 22)
    assert days[-2][0] == date(2026, 11, 1)
    assert days[-1][1] > days[-2][1]


def test_new_figures_are_noticed_by_the_job_and_old_ones_left_alone(growth):
    operations.recompute_standings(NOW, tell=False)
    later = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
    _state("works.households_connected", "work.qn.tri-binh", "2026-10", "1500")
    indicators.recompute_dirty(later)

    assert "chỉ tiêu" in plan_jobs.refresh_changed(None)  # type: ignore[arg-type]
    assert plan_jobs.refresh_changed(None) == "Không có số liệu mới."  # type: ignore[arg-type]


def test_a_part_without_an_amount_that_adds_up_is_reported_and_not_refused():
    whole = _put("chung", "works.households_connected", amount=Decimal(100), unit="household", measured_as="GROWTH")
    parts = [
        operations.Part(f"chung.{number}", Subject.objects.get(key=key), Decimal(40))
        for number, key in enumerate(["work.qn.binh-chanh", "work.qn.binh-minh"])
    ]

    operations.carry_down(whole, parts, parts_check="SUM")

    from machnuoc.planning.plan_queries import check_parts_of

    finding, text = check_parts_of(Target.objects.get(pk=whole.pk))
    assert finding.difference == -20
    assert text == "2 phần cộng lại 80 hộ, ít hơn chỉ tiêu chung (100 hộ) 20 hộ."


def test_a_work_taken_over_this_year_counts_at_once_toward_the_works_of_the_year():
    _take_over(185, date(2026, 7, 1))

    stood = _stand(Target.objects.get(plan__key="qn.79-2026", key="tiep-nhan"))

    assert stood.reached == 1
    assert stood.reason.startswith("Còn 2/3 công trình")


def test_loading_again_leaves_a_target_that_people_amended(growth):
    growth.amount = Decimal(1400)
    growth.save(update_fields=["amount"])
    growth.changes.create(before={}, reason="Theo quyết định điều chỉnh", made_at=NOW)

    demo.load_targets(NOW)

    assert Target.objects.get(pk=growth.pk).amount == 1400
