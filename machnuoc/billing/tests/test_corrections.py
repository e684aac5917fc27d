"""Corrections: an issued bill stays as it is; what changes is another bill, asked for by one and decided by another."""

from datetime import date, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from machnuoc.billing import corrections, debt_queries, debts, ledger, payments, refunds
from machnuoc.billing.corrections import AlreadyCorrected, Facts
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import Account, Bill, Tariff
from machnuoc.billing.payments import NotPossible
from machnuoc.billing.tests.fixtures_money import account_vnd
from machnuoc.billing.tests.test_runs import bill_all
from machnuoc.billing.tests.world import AUGUST, JULY, JUNE, NOW, make_person, make_tariff, make_world
from machnuoc.core.models import Notice
from machnuoc.core.periods import local_date
from machnuoc.customers import connection_operations, privacy
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import NormPersons

LATER = NOW + timedelta(days=3)


@pytest.fixture
def bill(world) -> Bill:
    """A bill of 25 m3: 207,000 đồng."""
    home = world.connection({JUNE: 100, JULY: 125})
    bill_all(world)
    return Bill.objects.select_related("connection", "series").get(connection=home)


def ask(world, bill: Bill, volume_m3: int = 20, way: str = "ADJUST", **facts):
    said = Facts(volume_m3 * 1000, facts.get("group", "SH"), facts.get("households", 1), 0)
    return corrections.ask(bill, way=way, facts=said, reason="Đọc nhầm số", by=world.clerk, now=NOW)


def pay(world, bill: Bill, amount_vnd: int):
    return payments.record_payment(
        connection=bill.connection, amount_vnd=amount_vnd, method="BANK", received_at=NOW, now=NOW, by=world.clerk,
        external_id=f"FT{amount_vnd}",
    )  # fmt: skip


def test_a_decrease_is_a_bill_of_its_own_that_is_set_against_what_is_owed(world, bill):
    made = corrections.approve(ask(world, bill), by=world.leader, now=LATER)

    bill.refresh_from_db()
    assert (bill.total_vnd, bill.volume_l) == (207_000, 25_000)
    assert made.kind == Bill.Kind.ADJUSTMENT_DOWN
    # 5 m3 at 9,000 less, with VAT and fee
    assert (made.net_vnd, made.vat_vnd, made.fee_vnd, made.volume_l) == (-45_000, -2_250, -4_500, -5_000)
    assert [(line.block, line.volume_l, line.amount_vnd) for line in made.lines.all()] == [(3, -5_000, -45_000)]
    assert (ledger.owed_by_bill(bill), ledger.owed_by_bill(made)) == (155_250, 0)
    assert ledger.balance_of(bill.connection_id).receivable_vnd == 155_250
    assert ledger.verify().problems == []
    assert corrections.list_gaps(world.series) == []


def test_an_increase_is_owed_on_top(world, bill):
    made = corrections.approve(ask(world, bill, 31), by=world.leader, now=LATER)

    assert made.kind == Bill.Kind.ADJUSTMENT_UP
    assert made.net_vnd == 5 * 9_000 + 12_000
    assert ledger.balance_of(bill.connection_id).receivable_vnd == 207_000 + made.total_vnd
    assert ledger.verify().problems == []


def test_what_a_decrease_frees_of_a_paid_bill_pays_the_next_one(world, bill):
    pay(world, bill, 207_000)
    made = corrections.approve(ask(world, bill), by=world.leader, now=LATER)
    assert ledger.owed_by_bill(made) == -51_750

    world.read(bill.connection, AUGUST, 135)
    run = bill_all(world, AUGUST)
    payments.apply_advances([bill.connection_id], LATER, world.clerk)

    august = Bill.objects.get(run=run)
    assert ledger.owed_by_bill(made) == 0
    assert ledger.owed_by_bill(august) == august.total_vnd - 51_750
    assert ledger.verify().problems == []


def test_a_replacement_takes_the_place_of_the_bill_and_what_was_paid_for_it(world, bill):
    pay(world, bill, 207_000)

    made = corrections.approve(ask(world, bill, 20, "REPLACE"), by=world.leader, now=LATER)

    bill.refresh_from_db()
    assert (bill.state, bill.total_vnd) == (Bill.State.REPLACED, 207_000)
    assert (made.kind, made.corrects, made.total_vnd) == (Bill.Kind.REPLACEMENT, bill, 155_250)
    assert ledger.owed_by_bill(made) == 0
    assert ledger.balance_of(bill.connection_id) == ledger.Balance(0, 51_750)
    assert ledger.verify().problems == []
    with pytest.raises(AlreadyCorrected, match="đã bị thay thế"):
        ask(world, bill, 18)


def test_a_correction_is_priced_at_the_tariff_of_the_days_of_the_bill(world, bill):
    Tariff.objects.filter(pk=world.tariff.pk).update(valid_to=AUGUST)
    make_tariff(world.operator.subject, "gia-moi", AUGUST, raise_pct=100)

    made = corrections.approve(ask(world, bill, 26), by=world.leader, now=LATER)

    assert made.net_vnd == 9_000


def test_a_second_adjustment_goes_from_what_the_first_left(world, bill):
    corrections.approve(ask(world, bill, 20), by=world.leader, now=LATER)
    second = corrections.approve(ask(world, bill, 22), by=world.leader, now=LATER)

    assert (second.kind, second.net_vnd, second.volume_l) == (Bill.Kind.ADJUSTMENT_UP, 18_000, 2_000)
    assert corrections.facts_of(bill).volume_l == 22_000
    with pytest.raises(BillingError, match="không thay thế được nữa"):
        ask(world, bill, 10, "REPLACE")


def test_the_second_of_two_clerks_on_one_bill_is_told(world, bill):
    other = make_person("lap-hai", "DEPARTMENT", world.operator.subject)
    wish = ask(world, bill, 20)

    with pytest.raises(AlreadyCorrected, match="vừa có người khác đề nghị sửa"):
        corrections.ask(bill, way="ADJUST", facts=Facts(18_000, "SH", 1, 0), reason="Khác", by=other, now=NOW)
    corrections.approve(wish, by=world.leader, now=LATER)
    with pytest.raises(AlreadyCorrected, match="đã được xử lý"):
        corrections.approve(wish, by=world.leader, now=LATER)
    assert bill.corrections.count() == 1


def test_whoever_asks_does_not_decide_while_somebody_else_could(world, bill):
    wish = ask(world, bill)

    with pytest.raises(BillingError, match="quyền duyệt"):
        corrections.approve(wish, by=world.clerk, now=LATER)
    make_person("pho-duyet", "LEADER", world.operator.subject)
    own = corrections.refuse(wish, by=world.leader, now=LATER, note="Số cũ đúng")
    assert own.state == "REFUSED"
    wish = corrections.ask(
        bill, way="ADJUST", facts=Facts(20_000, "SH", 1, 0), reason="Đọc nhầm", by=world.leader, now=NOW
    )
    with pytest.raises(BillingError, match="không tự duyệt"):
        corrections.approve(wish, by=world.leader, now=LATER)


def test_a_correction_without_a_reason_or_without_a_change_is_refused(world, bill):
    with pytest.raises(BillingError, match="Ghi lý do"):
        corrections.ask(bill, way="ADJUST", facts=Facts(20_000, "SH", 1, 0), reason="  ", by=world.clerk, now=NOW)
    with pytest.raises(BillingError, match="đã đúng với số liệu"):
        ask(world, bill, 25)


def test_a_connection_of_the_wrong_group_is_corrected_to_the_right_one(world, bill):
    made = corrections.approve(ask(world, bill, 25, group="SH_NGHEO"), by=world.leader, now=LATER)

    assert made.net_vnd == -18_000  # a tenth less
    assert made.group == "SH_NGHEO"
    assert bill.from_date == date(2026, 6, 30)


def test_a_norm_that_changed_within_the_period_is_followed_by_a_correction_too(world):
    home = world.connection({JUNE: 100, JULY: 131})
    world.tariff.prices.filter(group="SH").update(structure="BLOCK_PER_PERSON")
    NormPersons.objects.create(connection=home, persons=1, valid_from=JUNE, valid_to=date(2026, 7, 16))
    NormPersons.objects.create(connection=home, persons=4, valid_from=date(2026, 7, 16))
    bill_all(world)
    bill = Bill.objects.select_related("connection", "series").get(connection=home)

    same = corrections.charge_for(home, bill.from_date, bill.to_date, corrections.facts_of(bill))
    told = corrections.charge_for(home, bill.from_date, bill.to_date, Facts(bill.volume_l, "SH", 1, 3))

    assert (same.net_vnd, same.total_vnd) == (bill.net_vnd, bill.total_vnd)
    assert {line.upto_l for line in told.lines if line.block == 1} == {15_484, 14_516}  # 30 m3, by days


def test_the_money_of_the_connection_is_held_before_a_bill_is_corrected(world, bill):
    wish = ask(world, bill)

    with CaptureQueriesContext(connection) as asked:
        corrections.approve(wish, by=world.leader, now=LATER)

    read = [query["sql"] for query in asked if query["sql"].startswith("SELECT")]
    assert 'FROM "customers_connection"' in read[0]
    assert connection.vendor != "postgresql" or "FOR NO KEY UPDATE" in read[0]


def close(home):
    home.fittings.update(removed_at=NOW, removed_index_l=125_000)
    connection_operations.close(home, on_date=NOW.date(), reason="Chuyển đi", by=None, now=LATER)


def test_a_decrease_on_a_closed_connection_goes_back_to_the_customer(world, bill):
    pay(world, bill, 207_000)
    close(bill.connection)
    made = corrections.approve(ask(world, bill), by=world.leader, now=LATER)

    asked = refunds.request_credit_refund(made, amount_vnd=51_750, reason="Đã chấm dứt", now=LATER, by=world.clerk)
    assert ledger.balance_of(bill.connection_id) == ledger.Balance(0, 51_750)
    assert ledger.verify().problems == []
    refunds.decide_refund(asked, is_approved=True, now=LATER, by=world.leader)
    refunds.pay_refund(asked, how="Chuyển khoản", till=None, now=LATER, by=world.clerk)

    assert ledger.owed_by_bill(made) == 0
    assert ledger.balance_of(bill.connection_id) == ledger.Balance(0, 0)
    assert (account_vnd(Account.BANK), account_vnd(Account.REFUND)) == (207_000 - 51_750, 0)
    assert ledger.verify().problems == []
    with pytest.raises(NotPossible, match="không hoàn được"):
        refunds.request_credit_refund(made, amount_vnd=1, reason="Lần nữa", now=LATER, by=world.clerk)


def test_a_refused_refund_of_a_decrease_lowers_the_next_bill_again(world, bill):
    pay(world, bill, 207_000)
    made = corrections.approve(ask(world, bill), by=world.leader, now=LATER)
    asked = refunds.request_credit_refund(made, amount_vnd=50_000, reason="Khách muốn", now=LATER, by=world.clerk)
    world.read(bill.connection, AUGUST, 135)
    august = Bill.objects.get(run=bill_all(world, AUGUST))
    payments.apply_advances([bill.connection_id], LATER, world.clerk)
    assert ledger.owed_by_bill(august) == august.total_vnd - 1_750

    refunds.decide_refund(asked, is_approved=False, now=LATER, by=world.leader)

    assert ledger.owed_by_bill(august) == august.total_vnd - 51_750
    assert ledger.verify().problems == []


def test_what_is_owed_is_paid_with_a_decrease_before_any_of_it_goes_back(world, bill):
    pay(world, bill, 207_000)
    world.read(bill.connection, AUGUST, 130)
    august = Bill.objects.get(run=bill_all(world, AUGUST))
    made = corrections.approve(ask(world, bill), by=world.leader, now=LATER)

    with pytest.raises(NotPossible):
        refunds.request_credit_refund(made, amount_vnd=51_750, reason="Hoàn hết", now=LATER, by=world.clerk)
    left_vnd = max(0, 51_750 - august.total_vnd)
    assert refunds.returnable(made) == left_vnd


def test_who_is_owed_a_refund_is_not_erased_before_it_is_paid(world, bill):
    pay(world, bill, 207_000)
    close(bill.connection)
    made = corrections.approve(ask(world, bill), by=world.leader, now=LATER)
    refunds.request_credit_refund(made, amount_vnd=51_750, reason="Đã chấm dứt", now=LATER, by=world.clerk)

    with pytest.raises(CustomersError):
        privacy.erase(bill.customer, reason="đơn", by=None, now=LATER)


def test_the_refund_of_a_decrease_is_asked_for_on_its_page_by_who_takes_money_there(world, bill):
    pay(world, bill, 207_000)
    made = corrections.approve(ask(world, bill), by=world.leader, now=LATER)
    stranger = make_world("khac")
    address = reverse("billing:credit_refund_request", args=[made.pk])

    def client_of(person):
        client = Client()
        client.force_login(person)
        return client

    shown = client_of(world.clerk).get(reverse("billing:bill_detail", args=[made.pk])).content.decode()
    assert address in shown
    assert client_of(stranger.clerk).get(address).status_code == 404
    assert client_of(world.clerk).post(address, {"amount_vnd": "60000", "reason": "x"}).status_code == 422
    assert client_of(world.clerk).post(address, {"amount_vnd": "51750", "reason": "Khách muốn"}).status_code == 302
    listed = client_of(world.leader).get(reverse("billing:refund_list")).content.decode()
    assert "hóa đơn giảm" in listed


def test_a_replacement_and_a_decrease_keep_the_day_on_which_the_bill_was_due(world, bill):
    late = NOW + timedelta(days=40)
    lower = corrections.approve(ask(world, bill, 24), by=world.leader, now=late)
    assert lower.due_date == bill.due_date

    other = world.connection({JUNE: 10, JULY: 20})
    bill_all(world)
    first = Bill.objects.select_related("connection", "series").get(connection=other)
    made = corrections.approve(ask(world, first, 9, "REPLACE"), by=world.leader, now=late)
    more = corrections.approve(ask(world, made, 11), by=world.leader, now=late)

    assert made.due_date == first.due_date
    assert more.due_date == local_date(late) + timedelta(days=world.profile.due_days)


def test_the_clock_of_the_law_goes_on_when_a_bill_is_replaced(world, bill):
    late = NOW + timedelta(days=40)
    case = debts.open_case(bill.connection, now=late, by=world.clerk)
    notice = debts.give_notice(case, document="Số 1", now=late, by=world.clerk)

    corrections.approve(ask(world, bill, 24, "REPLACE"), by=world.leader, now=late + timedelta(days=10))

    again = debt_queries.running_notice(type(case).objects.get(pk=case.pk), local_date(late + timedelta(days=11)))
    assert again == notice


def test_a_decrease_that_leaves_nothing_owed_ends_the_case_of_the_debt(world, bill):
    late = NOW + timedelta(days=40)
    case = debts.open_case(bill.connection, now=late, by=world.clerk)

    corrections.approve(ask(world, bill, 0), by=world.leader, now=late)

    case.refresh_from_db()
    assert ledger.owed_by_bill(bill) == 0
    assert case.state == "SETTLED"


def test_who_asked_is_told_what_another_decided(world, bill):
    corrections.refuse(ask(world, bill), by=world.leader, now=LATER, note="Ảnh cho thấy số đúng")
    made = corrections.approve(ask(world, bill), by=world.leader, now=LATER)
    paid = pay(world, bill, 500_000)
    asked = refunds.request_refund(paid, amount_vnd=10_000, reason="Đóng thừa", now=LATER, by=world.cashier)
    refunds.decide_refund(asked, is_approved=True, now=LATER, by=world.leader)

    refused, approved = Notice.objects.filter(person=world.clerk).order_by("pk")
    assert "không được duyệt: Ảnh cho thấy số đúng" in refused.text
    assert made.name in approved.text and approved.url == f"/hoa-don/{made.pk}/"
    told = Notice.objects.get(person=world.cashier)
    assert told.text.endswith("10.000\xa0đ, đã được duyệt, chờ trả.")
    assert not Notice.objects.filter(person=world.leader).exists()
