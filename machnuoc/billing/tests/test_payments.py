"""Payments, advances, refunds, drawers: every đồng has its place after any history."""

from datetime import date, timedelta

import pytest
from django.db import connection as database
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from machnuoc.billing import ledger, payments, refunds, till
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import Account, Allocation, Payment, Posting, Refund
from machnuoc.billing.payments import AlreadyRecorded, NotPossible
from machnuoc.billing.tests.fixtures_money import account_vnd, assert_every_dong_has_its_place, issue, pay
from machnuoc.billing.tests.world import AUGUST, JULY, JUNE, NOW

pytestmark = pytest.mark.django_db


def open_of(*bills):
    return [ledger.owed_by_bill(bill) for bill in bills]


def test_a_payment_pays_the_oldest_bill_first(world):
    home = world.connection()
    july, june = issue(world, home, 100_000, month=JULY), issue(world, home, 60_000, month=JUNE)

    pay(home, 90_000)

    assert open_of(june, july) == [0, 70_000]
    assert_every_dong_has_its_place(home)


def test_one_dong_short_leaves_one_dong_open_and_one_too_many_is_an_advance(world):
    home, next_door = world.connection(), world.connection()
    short, long = issue(world, home, 105_000), issue(world, next_door, 105_000)

    pay(home, 104_999)
    pay(next_door, 105_001)

    assert open_of(short, long) == [1, 0]
    assert ledger.balance_of(next_door.pk).advance_vnd == 1
    assert_every_dong_has_its_place(home, next_door)


def test_an_advance_pays_the_next_bill_once_it_is_issued(world):
    home = world.connection()
    pay(home, 150_000)
    bill = issue(world, home, 105_000)

    first = payments.apply_advances([home.pk], NOW, None)
    second = payments.apply_advances([home.pk], NOW, None)

    assert (first, second) == (1, 0)
    assert open_of(bill) == [0]
    assert ledger.balance_of(home.pk).advance_vnd == 45_000
    assert_every_dong_has_its_place(home)


def test_chosen_bills_are_paid_before_older_ones(world):
    home = world.connection()
    june, july = issue(world, home, 60_000, month=JUNE), issue(world, home, 100_000, month=JULY)

    pay(home, 110_000, bill_ids=[july.pk])

    assert open_of(june, july) == [50_000, 0]


def test_a_bill_that_lowers_is_used_before_money_and_moves_none(world):
    home = world.connection()
    june = issue(world, home, 60_000, month=JUNE)
    pay(home, 60_000)
    credit = issue(world, home, -20_000, month=JUNE, corrects=june)
    july = issue(world, home, 100_000, month=JULY)

    payments.apply_advances([home.pk], NOW, None)

    assert open_of(credit, july) == [0, 80_000]
    assert_every_dong_has_its_place(home)


def test_the_same_transfer_counts_once(world):
    home, next_door = world.connection(), world.connection()
    first = pay(home, 50_000, external_id="FT1")

    for connection in (home, next_door):
        with pytest.raises(AlreadyRecorded) as told:
            pay(connection, 50_000, external_id="FT1")
        assert told.value.payment == first

    assert Payment.objects.count() == 1
    assert_every_dong_has_its_place(home, next_door)


def test_a_button_pressed_twice_is_one_payment(world):
    home = world.connection()

    first = pay(home, 50_000, idempotency_key="a")
    second = pay(home, 50_000, idempotency_key="a")

    assert first == second
    assert Posting.objects.filter(source="PAYMENT").count() == 1
    with pytest.raises(NotPossible, match=r"đã ghi khoản thu 50\.000"):
        pay(home, 60_000, idempotency_key="a")


@pytest.mark.parametrize("amount_vnd", [0, -1, payments.AMOUNT_MOST_VND + 1])
def test_an_amount_that_cannot_be_is_refused(world, amount_vnd):
    with pytest.raises(NotPossible, match="Nhập lại số tiền"):
        pay(world.connection(), amount_vnd)


def test_a_payment_that_is_taken_back_opens_its_bills_again_and_other_money_steps_in(world):
    home = world.connection()
    bill = issue(world, home, 100_000)
    wrong, right = pay(home, 100_000), pay(home, 30_000)

    payments.reverse_payment(wrong, reason="Ghi nhầm khách hàng", now=NOW, by=world.clerk)

    assert open_of(bill) == [70_000]
    assert account_vnd(Account.BANK) == 30_000
    assert payments.unallocated([wrong.pk, right.pk]) == {wrong.pk: 0, right.pk: 0}
    assert_every_dong_has_its_place(home)
    with pytest.raises(NotPossible, match="đã được đảo"):
        payments.reverse_payment(wrong, reason="Lần nữa", now=NOW, by=world.clerk)


def test_what_a_replaced_bill_had_taken_is_free_again(world):
    home = world.connection()
    bill = issue(world, home, 100_000)
    pay(home, 40_000)

    assert [source.left_vnd for source in payments.release_bill(bill, now=NOW, by=world.clerk)] == [40_000]
    assert ledger.balance_of(home.pk).advance_vnd == 40_000
    assert Allocation.objects.count() == 2


# --- refunds ----------------------------------------------------------------------------------------------------------


def test_a_refund_is_asked_for_by_one_and_approved_by_another(world):
    home = world.connection()
    paid = pay(home, 150_000)
    asked = refunds.request_refund(paid, amount_vnd=50_000, reason="Trả thừa", now=NOW, by=world.clerk)

    with pytest.raises(NotPossible, match="không tự duyệt"):
        refunds.decide_refund(asked, is_approved=True, now=NOW, by=world.clerk)
    with pytest.raises(NotPossible, match="chưa được duyệt"):
        refunds.pay_refund(asked, how="Chuyển khoản", till=None, now=NOW, by=world.clerk)
    refunds.decide_refund(asked, is_approved=True, now=NOW, by=world.leader)
    refunds.pay_refund(asked, how="Chuyển khoản", till=None, now=NOW, by=world.clerk)

    assert account_vnd(Account.BANK) == 100_000
    assert account_vnd(Account.REFUND) == 0
    assert ledger.balance_of(home.pk).advance_vnd == 100_000
    assert_every_dong_has_its_place(home)
    with pytest.raises(NotPossible, match="đã trả"):
        refunds.pay_refund(asked, how="Lần nữa", till=None, now=NOW, by=world.clerk)


def test_what_is_asked_back_pays_no_bill_until_it_is_refused(world):
    home = world.connection()
    asked = refunds.request_refund(pay(home, 50_000), amount_vnd=50_000, reason="Trả thừa", now=NOW, by=world.clerk)
    bill = issue(world, home, 105_000)
    payments.apply_advances([home.pk], NOW, None)

    assert open_of(bill) == [105_000]
    refunds.decide_refund(asked, is_approved=False, now=NOW, by=world.leader)
    assert open_of(bill) == [55_000]
    assert_every_dong_has_its_place(home)


def test_money_that_paid_a_bill_is_not_refunded(world):
    home = world.connection()
    issue(world, home, 105_000)
    paid = pay(home, 105_000)

    with pytest.raises(NotPossible, match="còn 0"):
        refunds.request_refund(paid, amount_vnd=1, reason="Trả thừa", now=NOW, by=world.clerk)


# --- the drawer -------------------------------------------------------------------------------------------------------


def test_cash_needs_an_open_drawer_of_ones_own_and_gets_numbers_without_gaps(world):
    home = world.connection()
    with pytest.raises(NotPossible, match="Chưa mở quỹ"):
        pay(home, 1_000, method="CASH", by=world.cashier)
    drawer = till.open_till(world.operator, person=world.cashier, opening_vnd=200_000, now=NOW)
    with pytest.raises(NotPossible, match="Chỉ người giữ quỹ"):
        pay(home, 1_000, method="CASH", by=world.clerk, till=drawer)

    numbers = [pay(home, 1_000, method="CASH", by=world.cashier, till=drawer).receipt_number for _ in range(2)]
    with pytest.raises(NotPossible):
        pay(home, 0, method="CASH", by=world.cashier, till=drawer)
    with pytest.raises(RuntimeError, match="power"), transaction.atomic():
        pay(home, 1_000, method="CASH", by=world.cashier, till=drawer)
        raise RuntimeError("power cut")
    numbers.append(pay(home, 1_000, method="CASH", by=world.cashier, till=drawer).receipt_number)

    assert numbers == [1, 2, 3]


def test_closing_the_drawer_posts_the_difference_and_needs_a_reason_for_it(world):
    home = world.connection()
    drawer = till.open_till(world.operator, person=world.cashier, opening_vnd=200_000, now=NOW)
    pay(home, 100_000, method="CASH", by=world.cashier, till=drawer)
    wrong = pay(home, 30_000, method="CASH", by=world.cashier, till=drawer)
    payments.reverse_payment(wrong, reason="Gõ nhầm", now=NOW, by=world.clerk)

    assert till.sums_of(drawer).expected_vnd == 300_000
    with pytest.raises(NotPossible, match="lý do lệch"):
        till.close_till(drawer, counted_vnd=295_000, note=" ", now=NOW, by=world.cashier)
    closed = till.close_till(drawer, counted_vnd=295_000, note="Thối nhầm", now=NOW, by=world.cashier)

    assert (closed.expected_vnd, closed.counted_vnd) == (300_000, 295_000)
    assert account_vnd(Account.CASH) == 95_000  # what came in, less what is missing; the opening cash was there before
    assert account_vnd(Account.DIFFERENCE) == 5_000
    with pytest.raises(NotPossible, match="Chưa mở quỹ"):
        pay(home, 1_000, method="CASH", by=world.cashier, till=closed)
    with pytest.raises(NotPossible, match="không tự xác nhận"):
        till.confirm_till(closed, by=world.cashier, now=NOW)
    assert till.confirm_till(closed, by=world.clerk, now=NOW).confirmed_by == world.clerk
    assert_every_dong_has_its_place(home)


def test_what_a_collector_took_is_on_its_way_until_the_bag_is_closed(world):
    home = world.connection()
    bag = till.open_till(world.operator, person=world.station, opening_vnd=0, now=NOW)
    pay(home, 70_000, method="COLLECTOR", by=world.station, till=bag)

    assert (account_vnd(Account.TRANSIT), account_vnd(Account.CASH)) == (70_000, 0)
    till.close_till(bag, counted_vnd=70_000, note="", now=NOW, by=world.station)
    assert (account_vnd(Account.TRANSIT), account_vnd(Account.CASH)) == (0, 70_000)
    payments.reverse_payment(Payment.objects.get(), reason="Tiền giả", now=NOW, by=world.clerk)
    assert (account_vnd(Account.TRANSIT), account_vnd(Account.CASH)) == (0, 0)


def test_one_person_has_one_open_drawer(world):
    till.open_till(world.operator, person=world.cashier, opening_vnd=0, now=NOW)

    with pytest.raises(NotPossible, match="chưa chốt"):
        till.open_till(world.operator, person=world.cashier, opening_vnd=0, now=NOW)


def test_a_cash_refund_comes_out_of_the_drawer(world):
    home = world.connection()
    drawer = till.open_till(world.operator, person=world.cashier, opening_vnd=100_000, now=NOW)
    paid = pay(home, 50_000, method="CASH", by=world.cashier, till=drawer)
    asked = refunds.request_refund(paid, amount_vnd=20_000, reason="Trả thừa", now=NOW, by=world.clerk)
    refunds.decide_refund(asked, is_approved=True, now=NOW, by=world.leader)

    refunds.pay_refund(asked, how="Tiền mặt", till=drawer, now=NOW, by=world.cashier)

    assert till.sums_of(drawer).expected_vnd == 130_000
    assert account_vnd(Account.CASH) == 30_000


# --- any history ------------------------------------------------------------------------------------------------------

ACTS = st.lists(
    st.tuples(
        st.sampled_from(["issue", "lower", "pay", "reverse", "ask", "approve", "refuse", "refund", "release", "apply"]),
        st.integers(0, 5),
        st.integers(1, 300_000),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTS)
def test_every_dong_has_its_place_after_any_history(world, acts):
    with transaction.atomic():
        home = world.connection()
        for number, (act, which, amount_vnd) in enumerate(acts):
            try:
                _do(world, home, act, which, amount_vnd, number)
            except BillingError:
                continue  # refused: nothing may have changed
        payments.apply_advances([home.pk], NOW, None)
        assert_every_dong_has_its_place(home)
        transaction.set_rollback(True)


def _do(world, home, act, which, amount_vnd, number):
    def pick(rows):
        found = list(rows.order_by("pk"))
        return found[which % len(found)] if found else None

    issued = home.bills.filter(total_vnd__gt=0)
    if act == "issue":
        issue(world, home, amount_vnd, month=date(2020, 1, 1) + timedelta(days=31 * number))
    elif act == "lower" and (bill := pick(issued)):
        issue(world, home, -min(amount_vnd, bill.total_vnd), corrects=bill, month=bill.period_start_date)
    elif act == "pay":
        pay(home, amount_vnd)
    elif act == "reverse" and (paid := pick(home.payments)):
        payments.reverse_payment(paid, reason="thử", now=NOW, by=None)
    elif act == "ask" and (paid := pick(home.payments)):
        refunds.request_refund(paid, amount_vnd=amount_vnd, reason="thử", now=NOW, by=world.clerk)
    elif act in {"approve", "refuse"} and (asked := pick(home.refunds)):
        refunds.decide_refund(asked, is_approved=act == "approve", now=NOW, by=world.leader)
    elif act == "refund" and (asked := pick(home.refunds)):
        refunds.pay_refund(asked, how="thử", till=None, now=NOW, by=world.clerk)
    elif act == "release" and (bill := pick(issued)):
        payments.release_bill(bill, now=NOW, by=None)
    elif act == "apply":
        payments.apply_advances([home.pk], NOW, None)


def test_advances_of_many_connections_are_found_without_reading_their_payments(world, django_assert_max_num_queries):
    homes = [world.connection() for _ in range(30)]
    for home in homes:
        issue(world, home, 10_000, month=JUNE)
        pay(home, 10_000)
        issue(world, home, 10_000, month=AUGUST)

    with django_assert_max_num_queries(6):
        assert payments.apply_advances([home.pk for home in homes], NOW, None) == 0
    assert database.vendor in {"sqlite", "postgresql"}
    assert Refund.objects.count() == 0
