"""Debts: how old they are, and the lawful way to a cut-off that nobody can jump."""

import threading
from datetime import date, datetime, timedelta

import pytest
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from machnuoc.billing import debt_queries, debts
from machnuoc.billing.debts import StepRefused
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import DebtCase, DebtStep
from machnuoc.billing.tests.fixtures_money import issue, pay
from machnuoc.billing.tests.world import JUNE, NOW, make_person, make_world
from machnuoc.core.periods import LOCAL_ZONE, local_date
from machnuoc.customers.models import Category, Connection, Request, WorkOrder
from machnuoc.places.models import Grant


def at(day, hour=9):
    return datetime(2026, *day, hour, tzinfo=LOCAL_ZONE)


OPENED = at((6, 1))
NOTICED = at((6, 3))  # Wednesday: five weeks end on Wednesday 8 July
FREE = at((7, 9))


@pytest.fixture
def owing(world):
    """Return a connection that has owed 105.000 đồng since 15 May."""
    home = world.connection()
    issue(world, home, 105_000, month=date(2026, 4, 1), due=date(2026, 5, 15), at=at((4, 30)))
    return home


def to_final_notice(world, home, *, notice=NOTICED, final=None):
    case = debts.open_case(home, now=OPENED, by=world.clerk)
    debts.remind(case, now=OPENED, by=world.clerk)
    debts.give_notice(case, document="Số 12/TB, giao tận tay", now=notice, by=world.clerk)
    debts.give_final_notice(case, document="Số 20/TB", now=final or notice + timedelta(days=20), by=world.clerk)
    return case


# --- how old ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_debts_are_put_by_age_from_the_day_they_were_due(world):
    today = local_date(NOW)  # 1 August
    home = world.connection()
    ages = {0: 1, 1: 2, 30: 4, 31: 8, 60: 16, 61: 32, 90: 64, 91: 128, -5: 256}
    for number, (age, amount) in enumerate(ages.items()):
        issue(world, home, amount * 1_000, month=date(2020, 1 + number, 1), due=today - timedelta(days=age))

    (debt,) = debt_queries.list_debts({world.work.pk}, today=today)

    assert debt.buckets == (6_000, 24_000, 96_000, 128_000)
    assert debt.not_due_vnd == 257_000  # due today is not late yet
    assert debt.total_vnd == 511_000
    assert debt.oldest_due_date == today - timedelta(days=91)
    assert debt_queries.overdue_of([home.pk], today) == {home.pk: 254_000}


@pytest.mark.django_db
def test_who_owes_the_most_comes_first_and_who_has_paid_is_not_listed(world):
    homes = [world.connection() for _ in range(3)]
    for home, amount in zip(homes, (10_000, 30_000, 20_000), strict=True):
        issue(world, home, amount, month=JUNE, due=date(2026, 7, 1))
    pay(homes[2], 20_000)

    found = debt_queries.list_debts(None, today=local_date(NOW))

    assert [debt.connection_id for debt in found] == [homes[1].pk, homes[0].pk]
    assert debt_queries.sum_up(found).overdue_vnd == 40_000
    assert debt_queries.by_work(found)[world.work.pk].connections == 2
    assert [debt.connection_id for debt in debt_queries.list_debts(None, today=local_date(NOW), q=homes[0].code)] == [
        homes[0].pk
    ]
    assert debt_queries.list_debts(set(), today=local_date(NOW)) == []


# --- the way ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_whole_way_from_reminder_to_water_again(world, owing):
    case = to_final_notice(world, owing)
    with pytest.raises(StepRefused, match=r"sớm nhất ngày 09/07/2026"):
        debts.order_cut_off(case, now=at((7, 8), 23), by=world.leader)

    order = debts.order_cut_off(case, now=FREE, by=world.leader)
    assert (order.kind, order.state, order.connection) == ("CUT_OFF", "OPEN", owing)
    debts.record_cut_off(case, now=at((7, 10)), by=world.clerk)
    owing.refresh_from_db()
    order.refresh_from_db()
    assert (owing.status, order.state) == ("CUT_OFF", "DONE")

    pay(owing, 105_000, now=at((7, 12)), by=world.clerk)
    case.refresh_from_db()
    assert case.state == "SETTLED"
    assert case.work_order.kind == "REOPEN"
    debts.record_reopened(case, now=at((7, 12), 15), by=world.clerk)
    owing.refresh_from_db()
    assert owing.status == "ACTIVE"
    kinds = list(case.steps.order_by("pk").values_list("kind", flat=True))
    assert kinds == ["REMINDER", "NOTICE", "FINAL_NOTICE", "CUT_OFF", "SETTLED", "REOPEN"]
    assert case.steps.get(kind="NOTICE").owed_vnd == 105_000


@pytest.mark.django_db
@pytest.mark.parametrize("role", [Grant.Role.ADMIN, Grant.Role.LEADER, Grant.Role.DEPARTMENT])
def test_nobody_jumps_a_step_whatever_their_rights(world, owing, role):
    person = make_person("ai-do", role, world.operator.subject)
    case = debts.open_case(owing, now=OPENED, by=person)
    much_later = at((12, 1))

    with pytest.raises(StepRefused, match="Chưa gửi thông báo bằng văn bản"):
        debts.order_cut_off(case, now=much_later, by=person)
    with pytest.raises(StepRefused, match="gửi thông báo đó trước"):
        debts.give_final_notice(case, document="x", now=much_later, by=person)
    with pytest.raises(StepRefused, match="Chưa có phiếu"):
        debts.record_cut_off(case, now=much_later, by=person)
    debts.give_notice(case, document="Số 1", now=NOTICED, by=person)
    with pytest.raises(StepRefused, match="đang chạy từ ngày đó"):  # no second notice with another day
        debts.give_notice(case, document="Số 2", now=NOTICED, by=person)
    with pytest.raises(StepRefused, match="lần cuối"):
        debts.order_cut_off(case, now=much_later, by=person)
    debts.give_final_notice(case, document="Số 3", now=FREE, by=person)
    with pytest.raises(StepRefused, match="từ ngày mai"):
        debts.order_cut_off(case, now=FREE, by=person)
    assert not WorkOrder.objects.exists()


@pytest.mark.django_db
def test_a_step_bears_the_day_on_which_it_is_recorded(world, owing):
    case = debts.open_case(owing, now=OPENED, by=world.clerk)

    step = debts.give_notice(case, document="Số 12/TB", now=at((6, 3), 23), by=world.clerk)

    assert step.date == date(2026, 6, 3)
    with pytest.raises(StepRefused, match="Ghi số văn bản"):
        debts.give_final_notice(case, document=" ", now=NOTICED, by=world.clerk)


@pytest.mark.django_db
def test_a_household_that_tells_a_reason_has_ten_weeks(world, owing):
    case = to_final_notice(world, owing)
    debts.tell_reason(case, reason="Nằm viện", now=at((6, 20)), by=world.clerk)

    with pytest.raises(StepRefused, match="13/08/2026"):
        debts.order_cut_off(case, now=FREE, by=world.leader)
    assert debts.order_cut_off(case, now=at((8, 13)), by=world.leader)


@pytest.mark.django_db
def test_others_have_fifteen_working_days_and_no_reason_lengthens_them(world, owing):
    owing.customer.kind = "BUSINESS"
    owing.customer.save()
    case = to_final_notice(world, owing, notice=at((6, 1)), final=at((6, 10)))

    with pytest.raises(StepRefused, match="chỉ kéo dài thời hạn của hộ gia đình"):
        debts.tell_reason(case, reason="Khó khăn", now=at((6, 11)), by=world.clerk)
    with pytest.raises(StepRefused, match="23/06/2026"):
        debts.order_cut_off(case, now=at((6, 22)), by=world.leader)
    assert debts.order_cut_off(case, now=at((6, 23)), by=world.leader)


@pytest.mark.django_db
def test_no_cut_off_while_a_complaint_about_the_bill_waits(world, owing):
    case = to_final_notice(world, owing)
    category = Category.objects.create(key="thu-khieu-nai", name="Khiếu nại hóa đơn", is_bill_dispute=True)
    complaint = Request.objects.create(
        code="PA-1", category=category, channel="PHONE", connection=owing, work=world.work, operator=world.operator,
        text="Sai chỉ số", received_at=FREE, clock_from_at=FREE, token="t" * 20,
    )  # fmt: skip

    with pytest.raises(StepRefused, match="khiếu nại hóa đơn chưa trả lời"):
        debts.order_cut_off(case, now=FREE, by=world.leader)
    client = Client()
    client.force_login(world.leader)
    page = reverse("billing:debt_case", args=[case.pk])
    link = f'<a href="{reverse("customers:request_detail", args=["PA-1"])}">PA-1</a>'
    assert link in client.get(page).content.decode()
    complaint.state = "ANSWERED"
    complaint.save()
    assert link not in client.get(page).content.decode()
    debts.order_cut_off(case, now=FREE, by=world.leader)
    complaint.state = "ASSIGNED"  # a reply opened it again before the crew came
    complaint.save()
    with pytest.raises(StepRefused, match="Không ngừng cấp nước"):
        debts.record_cut_off(case, now=FREE, by=world.clerk)


@pytest.mark.django_db
def test_paying_calls_off_a_cut_off_that_is_only_ordered(world, owing):
    case = to_final_notice(world, owing)
    order = debts.order_cut_off(case, now=FREE, by=world.leader)
    pay(owing, 104_999, now=FREE)
    case.refresh_from_db()
    assert case.state == "OPEN"

    pay(owing, 1, now=FREE)

    case.refresh_from_db()
    order.refresh_from_db()
    assert (case.state, order.state) == ("SETTLED", "CANCELLED")
    with pytest.raises(StepRefused):
        debts.record_cut_off(case, now=FREE, by=world.clerk)


@pytest.mark.django_db
def test_a_bill_that_became_overdue_after_the_notice_needs_a_notice_of_its_own(world, owing):
    case = to_final_notice(world, owing)
    issue(world, owing, 80_000, month=date(2026, 5, 1), due=date(2026, 6, 15), at=at((5, 31)))
    pay(owing, 105_000, now=at((7, 1)))  # all that the notice told of
    case.refresh_from_db()

    assert case.state == "OPEN"
    with pytest.raises(StepRefused, match="Chưa gửi thông báo bằng văn bản"):
        debts.order_cut_off(case, now=FREE, by=world.leader)
    debts.give_notice(case, document="Số 30/TB", now=FREE, by=world.clerk)
    with pytest.raises(StepRefused, match="14/08/2026"):
        debts.order_cut_off(case, now=at((8, 13)), by=world.leader)
    with pytest.raises(StepRefused, match="lần cuối"):  # that of the first notice does not count
        debts.order_cut_off(case, now=at((8, 14)), by=world.leader)


@pytest.mark.django_db
def test_nobody_is_cut_off_after_a_notice_to_who_had_the_connection_before(world, owing):
    case = to_final_notice(world, owing)
    Connection.objects.filter(pk=owing.pk).update(customer=world.connection().customer)

    with pytest.raises(StepRefused, match="chuyển tên"):
        debts.order_cut_off(case, now=FREE, by=world.leader)


@pytest.mark.django_db
def test_a_case_needs_overdue_debt_and_there_is_one_at_a_time(world, owing):
    with pytest.raises(StepRefused, match="không có nợ quá hạn"):
        debts.open_case(world.connection(), now=OPENED, by=world.clerk)
    with pytest.raises(StepRefused, match="không có nợ quá hạn"):  # due on 15 May, that day included
        debts.open_case(owing, now=at((5, 15)), by=world.clerk)

    assert debts.open_case(owing, now=OPENED, by=world.clerk) == debts.open_case(owing, now=OPENED, by=world.clerk)


@pytest.mark.django_db
def test_a_resting_case_is_not_cut_off(world, owing):
    case = to_final_notice(world, owing)
    debts.pause(case, reason="Thỏa thuận trả góp", now=FREE, by=world.clerk)

    with pytest.raises(StepRefused):
        debts.order_cut_off(case, now=FREE, by=world.leader)
    debts.resume(case, now=FREE, by=world.clerk)
    assert debts.order_cut_off(case, now=FREE, by=world.leader)


@pytest.mark.django_db
def test_a_reminder_says_why_it_was_not_sent(world, owing):
    case = debts.open_case(owing, now=OPENED, by=world.clerk)

    assert "chưa đồng ý nhận tin" in debts.remind(case, now=OPENED, by=world.clerk).how
    owing.customer.consents.create(purpose="NOTICES", given_at=OPENED, how="hợp đồng")
    assert "chưa có kênh" in debts.remind(case, now=OPENED, by=world.clerk).how


@pytest.mark.django_db(transaction=True)
def test_a_payment_and_a_cut_off_at_once_come_one_after_the_other():
    world = make_world()
    home = world.connection()
    issue(world, home, 105_000, month=date(2026, 4, 1), due=date(2026, 5, 15))
    case = to_final_notice(world, home)
    debts.order_cut_off(case, now=FREE, by=world.leader)
    start, told = threading.Barrier(2), []

    def run(act):
        start.wait()
        try:
            act()
        except BillingError as reason:
            told.append(str(reason))
        connections.close_all()

    acts = [
        lambda: pay(home, 105_000, now=FREE),
        lambda: debts.record_cut_off(DebtCase.objects.get(pk=case.pk), now=FREE, by=world.clerk),
    ]
    threads = [threading.Thread(target=run, args=[act]) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    case.refresh_from_db()
    home = Connection.objects.get(pk=home.pk)
    assert case.state == "SETTLED"
    if told:  # the payment came first
        assert (home.status, case.work_order.kind) == ("ACTIVE", "CUT_OFF")
    else:
        assert (home.status, case.work_order.kind) == ("CUT_OFF", "REOPEN")
    assert DebtStep.objects.filter(kind="SETTLED").count() == 1


@pytest.mark.django_db
def test_a_page_of_debts_is_cut_and_summed_by_the_database_with_as_few_questions_for_many_as_for_few(world):
    today = local_date(NOW)
    for number in range(53):
        issue(world, world.connection(), 10_000 + number, month=JUNE, due=date(2026, 7, 1))
    credit = world.connection()
    issue(world, credit, -5_000, month=JUNE, corrects=issue(world, credit, 5_000, month=JUNE, due=date(2026, 7, 1)))
    client = Client()
    client.force_login(world.clerk)

    with CaptureQueriesContext(connection) as asked:
        first = client.get("/cong-no/")
    past_the_end = client.get("/cong-no/?page=99")

    assert len(asked) <= 15
    assert first.context["page"].paginator.count == 53
    assert [len(first.context["rows"]), len(past_the_end.context["rows"])] == [20, 13]
    assert first.context["totals"].total_vnd == sum(10_000 + number for number in range(53))
    assert first.context["rows"][0][0].total_vnd == 10_052
    filters = debt_queries.DebtFilters({world.work.pk}, "", 0, "none")
    assert len(debt_queries.list_all(filters, today)) == 53
    debts.open_case(Connection.objects.get(pk=first.context["rows"][0][0].connection_id), now=NOW, by=world.clerk)
    assert len(debt_queries.list_all(filters, today)) == 52
    found = debt_queries.list_all(debt_queries.DebtFilters(None, "", None, "OPEN"), today)
    assert [debt.total_vnd for debt in found] == [10_052]
    assert debt_queries.list_all(debt_queries.DebtFilters(None, "", 2), today) == []
