"""Bills without a run, and money of customers, for the tests of payments, statements and debts."""

from datetime import date, datetime, timedelta
from typing import Any

from machnuoc.billing import debt_queries, ledger, payments
from machnuoc.billing.models import Account, Bill, Posting, Refund
from machnuoc.billing.tests.world import AUGUST, NOW, World
from machnuoc.core.periods import local_date
from machnuoc.customers.models import Connection

GATEWAYS = {
    "VNPAY": ("https://sandbox.vnpayment.vn", "TMN00001", "bi-mat-cua-vnpay"),
    "MOMO": ("https://test-payment.momo.vn", "MOMOTHU", "khoa-truy-cap", "bi-mat-cua-momo"),
    "ZALOPAY": ("https://sb-openapi.zalopay.vn", "2553", "khoa-mot", "khoa-hai"),
}


def issue(
    world: World, connection: Connection, total_vnd: int, *, month: date = AUGUST, due: date | None = None,
    corrects: Bill | None = None, at: datetime = NOW, **fields: Any,
) -> Bill:  # fmt: skip
    """Store an issued bill and post it. total_vnd: negative for a decrease (then it corrects another)."""
    world.series.refresh_from_db()
    number = world.series.next_number
    world.series.next_number += 1
    world.series.save()
    net_vnd = total_vnd * 100 // 115 if total_vnd > 0 else -(-total_vnd * 100 // 115)
    vat_vnd = net_vnd * 5 // 100 if net_vnd > 0 else -(-net_vnd * 5 // 100)
    bill = Bill.objects.create(
        series=world.series, number=number, operator=world.operator, connection=connection,
        period_start_date=month, from_date=month, to_date=month + timedelta(days=30), group=connection.group,
        tariff=world.tariff, net_vnd=net_vnd, vat_vnd=vat_vnd, fee_vnd=total_vnd - net_vnd - vat_vnd,
        total_vnd=total_vnd, due_date=due or month + timedelta(days=45), issued_at=at, corrects=corrects,
        **{
            "customer": connection.customer, "kind": "ADJUSTMENT_DOWN" if corrects else "NORMAL", "volume_l": 10_000,
            **fields,
        },
    )  # fmt: skip
    ledger.post(ledger.bill_moves(bill, at))
    return bill


def pay(connection: Connection, amount_vnd: int, **about: Any) -> Any:
    now = about.pop("now", NOW)
    return payments.record_payment(
        connection=connection, amount_vnd=amount_vnd, received_at=now, now=now,
        **{"method": "BANK", "by": None, **about},
    )  # fmt: skip


def assert_every_dong_has_its_place(*connections: Connection) -> None:
    """Hold the ledger against bills, payments and refunds; nothing may be negative that cannot be."""
    for connection in connections:
        balance = ledger.balance_of(connection.pk)
        bills = Bill.objects.filter(connection=connection)
        open_vnd = ledger.open_amounts([bill.pk for bill in bills])
        assert balance.receivable_vnd == sum(open_vnd.values())
        assert all(open_vnd[bill.pk] >= 0 if bill.total_vnd > 0 else open_vnd[bill.pk] <= 0 for bill in bills)
        left = payments.unallocated(connection.payments.values_list("pk", flat=True))
        whose = dict(connection.payments.values_list("pk", "customer_id"))
        asked = sum(
            Refund.objects.filter(connection=connection, state="REQUESTED").values_list("amount_vnd", flat=True)
        )
        assert balance.advance_vnd == sum(left.values()) + asked
        assert all(amount >= 0 for amount in left.values())
        for holder in {whose[pk] for pk, amount in left.items() if amount}:
            own = [open_vnd[bill.pk] for bill in bills if bill.customer_id == holder]
            assert not any(amount > 0 for amount in own), "money lies idle beside an open bill"
        now = Connection.objects.get(pk=connection.pk).customer_id
        own_vnd = sum(open_vnd[bill.pk] for bill in bills if bill.customer_id == now)
        assert debt_queries.overdue_of([connection.pk], local_date(NOW))[connection.pk] <= max(0, own_vnd)
    assert ledger.verify().problems == []


def account_vnd(account: str) -> int:
    """Return what an account received less what it gave, over everything."""
    rows = Posting.objects.values_list("debit", "credit", "amount_vnd")
    return sum(amount * ((debit == account) - (credit == account)) for debit, credit, amount in rows)


__all__ = ["GATEWAYS", "Account", "account_vnd", "assert_every_dong_has_its_place", "issue", "pay"]
