"""What was written of money stays as it was written, whoever asks the database, and by whatever way."""

import pytest
from django.db import DatabaseError, connection, transaction

from machnuoc.billing import ledger, payments, refunds
from machnuoc.billing.models import Allocation, Bill, BillLine, Payment, PaymentReversal, Refund
from machnuoc.billing.tests.fixtures_money import pay
from machnuoc.billing.tests.test_runs import bill_all
from machnuoc.billing.tests.world import JULY, JUNE, NOW

pytestmark = pytest.mark.django_db
GUARDED = {
    "billing_posting": 2, "billing_bill": 3, "billing_billline": 2, "billing_allocation": 2, "billing_payment": 2,
    "billing_paymentreversal": 2, "billing_refund": 2, "billing_gatewaysettlement": 2, "billing_settlementitem": 2,
    "billing_settlementreversal": 2,
}  # fmt: skip


@pytest.fixture
def paid(world) -> Payment:
    home = world.connection({JUNE: 100, JULY: 125})
    bill_all(world)
    return pay(home, 250_000, external_id="FT1")


def test_every_table_of_money_has_its_triggers_after_all_migrations(db):
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT event_object_table, COUNT(DISTINCT trigger_name || event_manipulation) "
                "FROM information_schema.triggers WHERE trigger_name LIKE '%append_only%' GROUP BY 1"
            )
        else:
            cursor.execute(
                "SELECT tbl_name, COUNT(*) FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%append_only%' "
                "GROUP BY tbl_name"
            )
        found = dict(cursor.fetchall())

    assert {table: found.get(table) for table in GUARDED} == GUARDED


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE billing_billline SET amount_vnd = amount_vnd + 1",
        "DELETE FROM billing_billline",
        "UPDATE billing_allocation SET amount_vnd = amount_vnd - 1",
        "DELETE FROM billing_allocation",
        "UPDATE billing_payment SET amount_vnd = amount_vnd - 1",
        "UPDATE billing_payment SET external_id = 'FT2'",
        "UPDATE billing_payment SET customer_id = NULL",
        "DELETE FROM billing_payment",
        "UPDATE billing_bill SET due_date = '2030-01-01'",
        "UPDATE billing_bill SET is_estimated = NOT is_estimated",
        "UPDATE billing_refund SET amount_vnd = 1",
        "DELETE FROM billing_refund",
        "DELETE FROM billing_paymentreversal",
    ],
)
def test_no_statement_changes_or_removes_what_was_written_of_money(world, paid, sql):
    refunds.request_refund(paid, amount_vnd=3_000, reason="Trả thừa", now=NOW, by=world.clerk)
    other = pay(paid.connection, 1_000, external_id="FT9")
    payments.reverse_payment(other, reason="Nhầm", now=NOW, by=world.clerk)

    with pytest.raises(DatabaseError, match=r"không được sửa|chỉ được ghi thêm"), transaction.atomic():
        connection.cursor().execute(sql)

    assert ledger.verify().problems == []


def test_a_replaced_bill_does_not_come_back_to_life(world, paid):
    Bill.objects.update(state=Bill.State.REPLACED)

    with pytest.raises(DatabaseError, match="không được sửa"), transaction.atomic():
        Bill.objects.update(state=Bill.State.ISSUED)


def test_what_operations_change_stays_open(world, paid):
    asked = refunds.request_refund(paid, amount_vnd=3_000, reason="Trả thừa", now=NOW, by=world.clerk)
    refunds.decide_refund(asked, is_approved=True, now=NOW, by=world.leader)
    refunds.pay_refund(asked, how="Chuyển khoản", till=None, now=NOW, by=world.clerk)
    payments.reverse_payment(pay(paid.connection, 5_000), reason="Nhầm", now=NOW, by=world.clerk)

    Payment.objects.update(payer="", note="")
    Refund.objects.update(reason="")
    PaymentReversal.objects.update(reason="")

    assert BillLine.objects.exists()
    assert Allocation.objects.exists()
