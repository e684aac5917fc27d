"""The ledger: every đồng moves from one account to another; what moved is never changed, only moved back.

A posting has both sides, so the ledger balances by construction. What must hold beyond that:
RECEIVABLE (131) of a connection = the sum of its open bills; ADVANCE (131U) = what it paid and no bill has taken yet.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from django.db import connection
from django.db.models import F, Q, Sum

from machnuoc.billing.models import Account, Allocation, Bill, Payment, Posting, Refund
from machnuoc.core.periods import local_date

_SHOWN_PROBLEMS = 20


@dataclass(frozen=True)
class Move:
    """An amount (đồng, > 0) that the debit account receives and the credit account gives."""

    operator_id: int
    at: datetime
    debit: str
    credit: str
    amount_vnd: int
    connection_id: int | None
    source: str
    source_id: int
    is_simulated: bool = False

    def back(self, at: datetime, source: str = Posting.Source.REVERSAL) -> "Move":
        """Return the move that undoes this one."""
        return Move(
            self.operator_id, at, self.credit, self.debit, self.amount_vnd, self.connection_id, source, self.source_id,
            self.is_simulated,
        )  # fmt: skip


def post(moves: Iterable[Move]) -> list[Posting]:
    """Write the moves into the ledger, in the transaction of what causes them. Amounts of 0 are left out."""
    return Posting.objects.bulk_create(
        [
            Posting(
                operator_id=move.operator_id, at=move.at, date=local_date(move.at), debit=move.debit,
                credit=move.credit, amount_vnd=move.amount_vnd, connection_id=move.connection_id, source=move.source,
                source_id=move.source_id, is_simulated=move.is_simulated,
            )
            for move in moves
            if move.amount_vnd
        ],
        batch_size=1_000,
    )  # fmt: skip


def bill_moves(bill: Bill, at: datetime) -> list[Move]:
    """Return the moves of a bill: what the customer owes, to revenue, VAT and fee; of a decrease the other way."""
    moves = []
    for account, amount_vnd in (
        (Account.REVENUE, bill.net_vnd), (Account.VAT, bill.vat_vnd), (Account.FEE, bill.fee_vnd),
    ):  # fmt: skip
        sides = (Account.RECEIVABLE, account) if amount_vnd > 0 else (account, Account.RECEIVABLE)
        moves.append(
            Move(
                bill.operator_id, at, *sides, abs(amount_vnd), bill.connection_id, Posting.Source.BILL, bill.pk,
                bill.is_simulated,
            )
        )  # fmt: skip
    return [move for move in moves if move.amount_vnd]


def allocation_move(
    *, operator_id: int, connection_id: int, payment_id: int, amount_vnd: int, at: datetime, is_simulated: bool = False
) -> Move:
    """Return the move of a payment's share to a bill; a negative amount takes it back to the advance."""
    sides = (Account.ADVANCE, Account.RECEIVABLE) if amount_vnd > 0 else (Account.RECEIVABLE, Account.ADVANCE)
    return Move(
        operator_id, at, *sides, abs(amount_vnd), connection_id, Posting.Source.ALLOCATION, payment_id, is_simulated
    )


# --- what is owed ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Balance:
    """Of one connection, đồng. receivable: its open bills (negative: it has credit bills); advance: paid ahead."""

    receivable_vnd: int
    advance_vnd: int

    @property
    def owed_vnd(self) -> int:
        return self.receivable_vnd - self.advance_vnd


def balances_of(connection_ids: Iterable[int]) -> dict[int, Balance]:
    """Return the balance of each connection, from the ledger alone."""
    ids = list(connection_ids)
    found = {pk: [0, 0] for pk in ids}
    rows = Posting.objects.filter(connection_id__in=ids).values_list("connection_id", "debit", "credit")
    for pk, debit, credit, amount_vnd in rows.annotate(amount=Sum("amount_vnd")).order_by():
        sums = found[pk or 0]
        sums[0] += amount_vnd * ((debit == Account.RECEIVABLE) - (credit == Account.RECEIVABLE))
        sums[1] += amount_vnd * ((credit == Account.ADVANCE) - (debit == Account.ADVANCE))
    return {pk: Balance(*sums) for pk, sums in found.items()}


def balance_of(connection_id: int) -> Balance:
    return balances_of([connection_id])[connection_id]


def open_amounts(bill_ids: Sequence[int]) -> dict[int, int]:
    """Return what is open of each bill, đồng: total less what was allocated to it.

    A decrease has a negative total; what it gave to other bills, or back to the customer, brings it to zero. A replaced
    bill has nothing open.
    """
    rows = Bill.objects.filter(pk__in=list(bill_ids)).values_list("pk", "total_vnd", "state")
    return _less_what_was_allocated(
        {pk: 0 if state == Bill.State.REPLACED else total_vnd for pk, total_vnd, state in rows}
    )


def open_of(bills: Iterable[Bill]) -> dict[int, int]:
    """Return the same for bills that have been read already."""
    return _less_what_was_allocated(
        {bill.pk: 0 if bill.state == Bill.State.REPLACED else bill.total_vnd for bill in bills}
    )


def _less_what_was_allocated(open_vnd: dict[int, int]) -> dict[int, int]:
    live = [pk for pk in open_vnd if open_vnd[pk]]
    paid = Allocation.objects.filter(bill_id__in=live).values_list("bill_id").annotate(amount=Sum("amount_vnd"))
    for pk, amount_vnd in paid.order_by():
        open_vnd[pk] -= amount_vnd
    lowering = [pk for pk in live if open_vnd[pk] < 0]
    given = Allocation.objects.filter(credit_bill_id__in=lowering).values_list("credit_bill_id")
    refunds = Refund.objects.filter(credit_bill_id__in=lowering).exclude(state=Refund.State.REFUSED)
    back = refunds.values_list("credit_bill_id").annotate(amount=Sum("amount_vnd")).order_by()
    for pk, amount_vnd in given.annotate(amount=Sum("amount_vnd")).order_by().union(back, all=True):
        open_vnd[pk or 0] += amount_vnd
    return open_vnd


def open_of_one(bill: Bill, allocations: Iterable[Allocation]) -> int:
    """Return the same for one bill whose allocations, from it and to it, have been read already."""
    if bill.state == Bill.State.REPLACED or not bill.total_vnd:
        return 0
    rows = list(allocations)
    open_vnd = bill.total_vnd - sum(row.amount_vnd for row in rows if row.bill_id == bill.pk)
    if open_vnd < 0:
        back = Refund.objects.filter(credit_bill=bill).exclude(state=Refund.State.REFUSED)
        open_vnd += sum(row.amount_vnd for row in rows if row.credit_bill_id == bill.pk)
        open_vnd += back.aggregate(amount=Sum("amount_vnd"))["amount"] or 0
    return open_vnd


def owed_by_bill(bill: Bill) -> int:
    return open_amounts([bill.pk])[bill.pk]


@dataclass(frozen=True)
class OpenBill:
    """A bill that is not settled, with what is open (negative: credit that can be set against another bill).

    customer_id: who owes it, though the connection may be another's by now.
    """

    pk: int
    connection_id: int
    customer_id: int
    period_start_date: date
    due_date: date
    open_vnd: int


def list_open_bills(connection_ids: Iterable[int]) -> list[OpenBill]:
    """Return the unsettled bills of the connections, oldest first (as money is allocated)."""
    rows = list(
        Bill.objects.filter(connection_id__in=list(connection_ids), state=Bill.State.ISSUED)
        .order_by("connection_id", "due_date", "id")
        .values_list("pk", "connection_id", "customer_id", "period_start_date", "due_date")
    )
    open_vnd = open_amounts([row[0] for row in rows])
    return [OpenBill(*row, open_vnd[row[0]]) for row in rows if open_vnd[row[0]]]


# --- does it hold -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verification:
    """What a check of the whole ledger found. problems: sentences; empty when everything holds. sums: by account."""

    postings: int
    bills: int
    problems: list[str] = field(default_factory=list)
    debit_vnd: int = 0
    receivable_vnd: int = 0
    advance_vnd: int = 0

    @property
    def is_sound(self) -> bool:
        return not self.problems


def verify(operator_id: int | None = None) -> Verification:
    """Check the ledger against what it stands for: bills, payments, allocations, balances of connections.

    operator_id: of one operator; None: of all. Reads sums, never rows: minutes at most with millions of postings.
    """
    postings = Posting.objects.all() if operator_id is None else Posting.objects.filter(operator_id=operator_id)
    bills = Bill.objects.all() if operator_id is None else Bill.objects.filter(operator_id=operator_id)
    payments = Payment.objects.all() if operator_id is None else Payment.objects.filter(operator_id=operator_id)
    problems: list[str] = []
    sums: dict[tuple[str, str, str], int] = {}
    for debit, credit, source, amount_vnd in (
        postings.values_list("debit", "credit", "source").annotate(amount=Sum("amount_vnd")).order_by()
    ):
        sums[(debit, credit, source)] = amount_vnd or 0

    def net(account: str, source: str | None = None) -> int:
        """What the account received less what it gave."""
        return sum(
            amount * ((debit == account) - (credit == account))
            for (debit, credit, of), amount in sums.items()
            if source is None or of == source
        )

    parts = bills.aggregate(net=Sum("net_vnd"), vat=Sum("vat_vnd"), fee=Sum("fee_vnd"), total=Sum("total_vnd"))
    for name, account, expected in (
        ("Doanh thu tiền nước", Account.REVENUE, -(parts["net"] or 0)),
        ("Thuế GTGT", Account.VAT, -(parts["vat"] or 0)),
        ("Phí bảo vệ môi trường", Account.FEE, -(parts["fee"] or 0)),
        ("Phải thu", Account.RECEIVABLE, parts["total"] or 0),
    ):
        found = net(account, Posting.Source.BILL)
        if found != expected:
            problems.append(
                f"{name} theo bút toán hóa đơn là {abs(found)} đồng, theo hóa đơn là {abs(expected)} đồng: "
                f"lệch {abs(found - expected)} đồng."
            )
    problems += _bills_out_of_step(operator_id)
    live = bills.filter(state=Bill.State.ISSUED)
    allocated = Allocation.objects.filter(payment__isnull=False, bill__in=live).aggregate(a=Sum("amount_vnd"))["a"] or 0
    returned = Refund.objects.filter(credit_bill__in=bills).exclude(state=Refund.State.REFUSED)
    expected = (live.aggregate(t=Sum("total_vnd"))["t"] or 0) - allocated
    expected += returned.aggregate(a=Sum("amount_vnd"))["a"] or 0
    if net(Account.RECEIVABLE) != expected:
        problems.append(
            f"Số dư phải thu (131) là {net(Account.RECEIVABLE)} đồng, tổng các hóa đơn chưa trả là {expected} đồng."
        )
    received = payments.aggregate(a=Sum("amount_vnd"))["a"] or 0
    posted = -net(Account.ADVANCE, Posting.Source.PAYMENT)
    if posted != received:
        problems.append(f"Bút toán thu tiền là {posted} đồng, các khoản thu là {received} đồng.")
    moved = net(Account.ADVANCE, Posting.Source.ALLOCATION)
    allocations = Allocation.objects.filter(payment__in=payments).aggregate(a=Sum("amount_vnd"))["a"] or 0
    if moved != allocations:
        problems.append(f"Bút toán cấn trừ là {moved} đồng, các lần cấn trừ là {allocations} đồng.")
    problems += _overpaid(operator_id)
    return Verification(
        postings=postings.count(), bills=bills.count(), problems=problems, debit_vnd=sum(sums.values()),
        receivable_vnd=net(Account.RECEIVABLE), advance_vnd=-net(Account.ADVANCE),
    )  # fmt: skip


def _bills_out_of_step(operator_id: int | None) -> list[str]:
    """Return a sentence for each of the first bills whose postings do not come to its total."""
    where = "" if operator_id is None else "AND b.operator_id = %s"
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT b.id, b.total_vnd, COALESCE(p.amount, 0) FROM billing_bill b LEFT JOIN ("  # noqa: S608 - our own
            "SELECT source_id, SUM(CASE WHEN debit = '131' THEN amount_vnd ELSE -amount_vnd END) AS amount "
            "FROM billing_posting WHERE source = 'BILL' GROUP BY source_id) p ON p.source_id = b.id "
            f"WHERE COALESCE(p.amount, 0) <> b.total_vnd {where} ORDER BY b.id LIMIT {_SHOWN_PROBLEMS}",
            [] if operator_id is None else [operator_id],
        )
        return [
            f"Hóa đơn #{pk} là {total} đồng nhưng bút toán của nó là {posted} đồng."
            for pk, total, posted in cursor.fetchall()
        ]


def _overpaid(operator_id: int | None) -> list[str]:
    """Return a sentence for each of the first bills that took more than they ask, or gave back more than they took."""
    paid = Allocation.objects.all() if operator_id is None else Allocation.objects.filter(
        bill__operator_id=operator_id
    )  # fmt: skip
    rows = (
        paid.values_list("bill_id", "bill__total_vnd", "bill__state")
        .annotate(amount=Sum("amount_vnd"))
        .filter(Q(amount__gt=F("bill__total_vnd")) | Q(amount__lt=0) | Q(bill__state=Bill.State.REPLACED, amount__gt=0))
        .order_by("bill_id")[:_SHOWN_PROBLEMS]
    )
    return [
        f"Hóa đơn #{pk} ({total} đồng, {Bill.State(state).label.lower()}) đã được cấn trừ {amount} đồng."
        for pk, total, state, amount in rows
    ]
