"""The ledger: two sides, nothing changed afterwards, and a check that finds what does not fit."""

from datetime import date

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import Q
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from machnuoc.billing import ledger
from machnuoc.billing.models import Account, Allocation, Bill, Payment, Posting
from machnuoc.billing.tests import fixtures_money
from machnuoc.billing.tests.world import JULY, NOW, TODAY, World


def make_bill(world: World, connection, net_vnd: int = 100_000, **fields) -> Bill:
    """Store a bill with its postings, as the runs do it for many at once."""
    vat_vnd, fee_vnd = net_vnd * 5 // 100, net_vnd // 10
    kind = Bill.Kind.NORMAL if net_vnd > 0 else Bill.Kind.ADJUSTMENT_DOWN
    bill = Bill.objects.create(
        series=world.series, number=Bill.objects.count() + 1, operator=world.operator, connection=connection,
        customer=connection.customer, from_date=JULY, to_date=TODAY, kind=kind, group="SH",
        tariff=world.tariff, volume_l=10_000, net_vnd=net_vnd, vat_vnd=vat_vnd, fee_vnd=fee_vnd,
        total_vnd=net_vnd + vat_vnd + fee_vnd, due_date=TODAY, issued_at=NOW, **{"period_start_date": JULY, **fields},
    )  # fmt: skip
    ledger.post(ledger.bill_moves(bill, NOW))
    return bill


def pay(world: World, connection, amount_vnd: int, shares: dict[Bill, int]) -> Payment:
    payment = Payment.objects.create(
        operator=world.operator, connection=connection, method="CASH", amount_vnd=amount_vnd, received_at=NOW,
        recorded_at=NOW,
    )  # fmt: skip
    moves = [
        ledger.Move(world.operator.pk, NOW, Account.CASH, Account.ADVANCE, amount_vnd, connection.pk, "PAYMENT",
                    payment.pk)
    ]  # fmt: skip
    for bill, share_vnd in shares.items():
        Allocation.objects.create(payment=payment, bill=bill, amount_vnd=share_vnd, at=NOW)
        moves.append(
            ledger.allocation_move(
                operator_id=world.operator.pk, connection_id=connection.pk, payment_id=payment.pk,
                amount_vnd=share_vnd, at=NOW,
            )
        )  # fmt: skip
    ledger.post(moves)
    return payment


def test_a_bill_makes_the_connection_owe_its_total_and_a_payment_settles_it(world):
    household = world.connection()
    bill = make_bill(world, household)

    assert ledger.balance_of(household.pk) == ledger.Balance(115_000, 0)
    pay(world, household, 120_000, {bill: 115_000})

    assert ledger.balance_of(household.pk) == ledger.Balance(0, 5_000)
    assert ledger.owed_by_bill(bill) == 0
    assert ledger.list_open_bills([household.pk]) == []
    assert ledger.verify().problems == []


def test_a_posting_is_never_changed_and_an_issued_bill_keeps_its_figures(world):
    bill = make_bill(world, world.connection())

    for act in (
        lambda: Posting.objects.update(amount_vnd=1),
        lambda: Posting.objects.all().delete(),
        lambda: Bill.objects.filter(pk=bill.pk).update(total_vnd=1, net_vnd=1, vat_vnd=0, fee_vnd=0),
        lambda: connection.cursor().execute("DELETE FROM billing_bill"),
    ):
        with pytest.raises(DatabaseError, match=r"chỉ được ghi thêm|không được sửa"), transaction.atomic():
            act()


def test_verifying_names_the_bill_whose_postings_do_not_come_to_its_total(world):
    household = world.connection()
    bill = make_bill(world, household)
    ledger.post([ledger.Move(world.operator.pk, NOW, Account.RECEIVABLE, Account.REVENUE, 1, household.pk, "BILL",
                             bill.pk)])  # fmt: skip

    found = ledger.verify()

    assert not found.is_sound
    assert any(f"#{bill.pk} là 115000 đồng nhưng bút toán của nó là 115001" in text for text in found.problems)


def test_verifying_finds_a_bill_that_was_paid_more_than_it_asks(world):
    household = world.connection()
    bill = make_bill(world, household)
    pay(world, household, 200_000, {bill: 116_000})

    assert any("đã được cấn trừ 116000 đồng" in text for text in ledger.verify().problems)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["bill", "credit", "pay"]), st.integers(1_000, 500_000)), max_size=8))
def test_the_receivable_is_always_the_sum_of_open_bills_and_the_advance_what_nothing_took(world, acts):
    with transaction.atomic():
        household = world.connection()
        paid = 0
        first: Bill | None = None
        for number, (act, amount_vnd) in enumerate(acts):
            if act == "bill":
                made = make_bill(world, household, amount_vnd, period_start_date=date(2026 + number, 1, 1))
                first = first or made
            elif act == "credit" and first is not None:
                make_bill(world, household, -amount_vnd, corrects=first)
            elif act == "pay":
                due = [bill for bill in ledger.list_open_bills([household.pk]) if bill.open_vnd > 0]
                shares, left = {}, amount_vnd
                for bill in due:
                    share = min(left, bill.open_vnd)
                    if share:
                        shares[Bill.objects.get(pk=bill.pk)] = share
                        left -= share
                pay(world, household, amount_vnd, shares)
                paid += left
            balance = ledger.balance_of(household.pk)
            open_bills = ledger.list_open_bills([household.pk])
            assert balance.receivable_vnd == sum(bill.open_vnd for bill in open_bills)
            assert balance.advance_vnd == paid
        assert ledger.verify().problems == []
        transaction.set_rollback(True)


@pytest.mark.parametrize("paid_vnd", [0, 30_000, 90_000])
@pytest.mark.parametrize("less_vnd", [0, -20_000, -150_000])
def test_what_is_open_of_one_bill_is_the_same_from_allocations_read_already(world, paid_vnd, less_vnd):
    home = world.connection({})
    first = fixtures_money.issue(world, home, 90_000)
    if paid_vnd:
        fixtures_money.pay(home, paid_vnd)
    if less_vnd:
        fixtures_money.issue(world, home, less_vnd, corrects=first)
        fixtures_money.issue(world, home, 10_000, month=JULY)
        fixtures_money.pay(home, 5_000)

    for bill in Bill.objects.filter(connection=home):
        rows = list(Allocation.objects.filter(Q(bill=bill) | Q(credit_bill=bill)))
        assert ledger.open_of_one(bill, rows) == ledger.owed_by_bill(bill)
