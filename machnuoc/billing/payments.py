"""Money that comes in: recorded once, set against the oldest bills, the rest kept as an advance; taken back by
opposite rows.

Always, and checked by tests with random histories: the RECEIVABLE balance of a connection is the sum of its open bills,
its ADVANCE balance what its payments have left.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Max, Sum

from machnuoc.billing import allocation, debts, ledger
from machnuoc.billing.allocation import Owed, Source
from machnuoc.billing.errors import BillingError
from machnuoc.billing.ledger import Move
from machnuoc.billing.models import (
    Account,
    Allocation,
    Bill,
    GatewayOrder,
    Payment,
    PaymentReversal,
    Posting,
    Refund,
    TillSession,
)
from machnuoc.core import audit
from machnuoc.core.models import Person
from machnuoc.core.vietnamese import format_money_vnd
from machnuoc.customers.models import Connection, Customer
from machnuoc.places.models import Organisation

AMOUNT_MOST_VND = 100_000_000_000  # a slip of the keyboard rather than a bill
Method = Payment.Method
_IN_HAND = frozenset({Method.CASH, Method.COLLECTOR})
# Where the money lies once it is recorded: a gateway and a collector hand it over later.
MONEY_ACCOUNT = {
    Method.CASH: Account.CASH, Method.COLLECTOR: Account.TRANSIT, Method.BANK: Account.BANK,
    Method.VNPAY: Account.TRANSIT, Method.MOMO: Account.TRANSIT, Method.ZALOPAY: Account.TRANSIT,
}  # fmt: skip


class AlreadyRecorded(BillingError):
    """The same transfer was recorded before. payment: that one."""

    def __init__(self, text: str, payment: Payment) -> None:
        super().__init__(text)
        self.payment = payment


class NotPossible(BillingError):
    """What the payment, refund or drawer is in does not allow the act."""


# --- taking money -----------------------------------------------------------------------------------------------------


@transaction.atomic
def record_payment(
    *,
    connection: Connection,
    amount_vnd: int,
    method: str,
    received_at: datetime,
    now: datetime,
    by: Person | None,
    external_id: str | None = None,
    order: GatewayOrder | None = None,
    till: TillSession | None = None,
    payer: str = "",
    note: str = "",
    idempotency_key: str | None = None,
    bill_ids: Sequence[int] = (),
    is_simulated: bool = False,
    customer: Customer | None = None,
) -> Payment:
    """Record a payment, post it, set it against open bills (bill_ids first, then the oldest) and return it.

    It pays the bills of one holder of the connection: customer, else whom the first of bill_ids was issued to, else who
    holds it now. What it names of another holder's is paid too; what is left never goes there.
    external_id: the bank's or gateway's own; a second payment of it raises AlreadyRecorded. idempotency_key: of the
    form; sent twice, the first payment is returned. Cash and collectors' money gets a receipt number without gaps and
    needs an open till. What is left pays the next bills. Raises BillingError.
    """
    lock_money([connection.pk])
    if idempotency_key:
        earlier = Payment.objects.filter(idempotency_key=idempotency_key).first()
        if earlier is not None:
            said = (earlier.connection_id, earlier.amount_vnd, earlier.method)
            if said != (connection.pk, amount_vnd, method):
                raise NotPossible(
                    f"Biểu này đã ghi khoản thu {format_money_vnd(earlier.amount_vnd)} trước đó. "
                    "Mở lại trang thu tiền để ghi khoản khác."
                )
            return earlier
    if not 0 < amount_vnd <= AMOUNT_MOST_VND:
        raise NotPossible(
            f"Số tiền thu của {connection.code} phải từ 1 đến {format_money_vnd(AMOUNT_MOST_VND)}. Nhập lại số tiền."
        )
    operator_id = connection.customer.operator_id
    if external_id is not None:
        known = _known_transfer(operator_id, method, external_id)
        if known is not None:
            raise AlreadyRecorded(f"Giao dịch {external_id} đã được ghi nhận: khoản thu số {known.pk}.", known)
    number = None
    if method in _IN_HAND:
        _require_open(till, operator_id, by)
        number = _next_receipt(operator_id)
    holder_id = customer.pk if customer is not None else _holder_of(connection, bill_ids)
    payment = Payment(
        operator_id=operator_id, connection=connection, customer_id=holder_id, method=method, amount_vnd=amount_vnd,
        received_at=received_at, recorded_at=now, external_id=external_id, order=order, till=till,
        receipt_number=number, payer=payer.strip()[:160], note=note.strip()[:300], recorded_by=by,
        idempotency_key=idempotency_key or None, is_simulated=is_simulated or connection.is_simulated,
    )  # fmt: skip
    try:
        with transaction.atomic():
            payment.save(force_insert=True)
    except IntegrityError:
        # Somebody recorded the same transfer of another connection at the same moment.
        first = _known_transfer(operator_id, method, external_id) if external_id else None
        if first is None:
            raise
        raise AlreadyRecorded(f"Giao dịch {external_id} đã được ghi nhận: khoản thu số {first.pk}.", first) from None
    ledger.post([_money_move(payment, now)])
    if bill_ids:
        _pay_named_of_others(payment, bill_ids, now, by)
    _allocate([connection.pk], now, by, first_bills=bill_ids)
    audit.record("billing.payment.recorded", actor=by, target=payment, amount_vnd=amount_vnd, method=method)
    debts.settle_if_paid([connection.pk], now=now, by=by)
    return payment


def _known_transfer(operator_id: int, method: str, external_id: str) -> Payment | None:
    """Return the payment that has this number: of a bank among the operator's own, of a gateway among all."""
    rows = Payment.objects.filter(method=method, external_id=external_id)
    return (rows.filter(operator_id=operator_id) if method == Method.BANK else rows).first()


def _holder_of(connection: Connection, bill_ids: Sequence[int]) -> int:
    """Return whose bills are paid: of those that are named, whom the first was issued to; else who holds it now."""
    owners = dict(Bill.objects.filter(pk__in=bill_ids, connection=connection).values_list("pk", "customer_id"))
    return next((owners[pk] for pk in bill_ids if pk in owners), connection.customer_id)


def _pay_named_of_others(payment: Payment, bill_ids: Sequence[int], now: datetime, by: Person | None) -> None:
    """Pay what a transfer names of another holder's bills, with what the named bills of its own leave."""
    place = {pk: number for number, pk in enumerate(bill_ids)}
    named = [bill for bill in ledger.list_open_bills([payment.connection_id]) if bill.pk in place and bill.open_vnd > 0]
    named.sort(key=lambda bill: place[bill.pk])
    others = [Owed(bill.pk, bill.open_vnd) for bill in named if bill.customer_id != payment.customer_id]
    left_vnd = payment.amount_vnd - sum(bill.open_vnd for bill in named if bill.customer_id == payment.customer_id)
    if not others or left_vnd <= 0:
        return
    _store([
        Allocation(payment=payment, bill_id=share.bill, amount_vnd=share.amount_vnd, at=now, by=by)
        for share in allocation.share_out([Source(payment.pk, left_vnd)], others)
    ])  # fmt: skip


def lock_money(connection_ids: Collection[int]) -> None:
    """Let nobody else move money of these connections until the transaction ends (SQLite has one writer anyway)."""
    rows = Connection.objects.select_for_update(no_key=True).filter(pk__in=connection_ids)
    list(rows.order_by("pk").values_list("pk", flat=True))


def _money_move(payment: Payment, at: datetime) -> Move:
    return Move(
        payment.operator_id, at, MONEY_ACCOUNT[Method(payment.method)], Account.ADVANCE, payment.amount_vnd,
        payment.connection_id, Posting.Source.PAYMENT, payment.pk, payment.is_simulated,
    )  # fmt: skip


def _require_open(till: TillSession | None, operator_id: int, by: Person | None) -> None:
    held = TillSession.objects.select_for_update().filter(pk=till.pk).first() if till is not None else None
    if held is None or held.state != TillSession.State.OPEN:
        raise NotPossible("Chưa mở quỹ: mở quỹ ở trang «Quỹ thu» rồi thu tiền mặt.")
    if held.operator_id != operator_id:
        raise NotPossible("Quỹ đang mở thuộc đơn vị cấp nước khác. Chốt quỹ đó rồi mở quỹ của đơn vị này.")
    if by is None or held.person_id != by.pk:
        raise NotPossible("Chỉ người giữ quỹ mới thu tiền vào quỹ đó.")


def _next_receipt(operator_id: int) -> int:
    """Return the next receipt number: taken under a lock, so a payment that fails leaves no gap."""
    Organisation.objects.select_for_update(no_key=True).get(pk=operator_id)
    last = Payment.objects.filter(operator_id=operator_id).aggregate(last=Max("receipt_number"))["last"]
    return (last or 0) + 1


# --- what pays what ---------------------------------------------------------------------------------------------------


def unallocated(payment_ids: Iterable[int]) -> dict[int, int]:
    """Return what is left of each payment, đồng: less what it paid, what was or is to be refunded; 0 if reversed."""
    ids = list(payment_ids)
    gone = set(PaymentReversal.objects.filter(payment_id__in=ids).values_list("payment_id", flat=True))
    left = {
        pk: 0 if pk in gone else amount_vnd
        for pk, amount_vnd in Payment.objects.filter(pk__in=ids).values_list("pk", "amount_vnd")
    }
    for rows in (
        Allocation.objects.filter(payment_id__in=ids),
        Refund.objects.filter(payment_id__in=ids).exclude(state=Refund.State.REFUSED),
    ):
        sums = rows.values_list("payment_id").annotate(amount=Sum("amount_vnd")).order_by()
        for pk, amount_vnd in sums:
            if pk not in gone:
                left[pk] -= amount_vnd
    return left


Holder = tuple[int, int]  # connection, customer: whose money and whose bills


def advances(connection_ids: Collection[int]) -> dict[Holder, list[Source]]:
    """Return what the payments of each holder of the connections have left, oldest first; who has none is not named."""
    rows = list(
        Payment.objects.filter(connection_id__in=connection_ids, reversal__isnull=True)
        .order_by("received_at", "id")
        .values_list("pk", "connection_id", "customer_id", "connection__customer_id")
    )
    left = unallocated(row[0] for row in rows)
    found: dict[Holder, list[Source]] = defaultdict(list)
    for pk, connection_id, customer_id, holds_it_now in rows:
        if left[pk] > 0:
            found[connection_id, customer_id or holds_it_now].append(Source(pk, left[pk]))
    return dict(found)


def _allocate(
    connection_ids: Collection[int], now: datetime, by: Person | None, first_bills: Sequence[int] = ()
) -> int:
    """Set credit bills, then advances, against the open bills of their holder; return how many allocations."""
    bills = ledger.list_open_bills(connection_ids)
    by_holder: dict[Holder, list[ledger.OpenBill]] = defaultdict(list)
    for bill in bills:
        by_holder[bill.connection_id, bill.customer_id].append(bill)
    owing = {holder for holder, own in by_holder.items() if any(bill.open_vnd > 0 for bill in own)}
    if not owing:
        return 0
    money = advances({connection_id for connection_id, _ in owing})
    rank = {pk: place for place, pk in enumerate(first_bills)}
    rows: list[Allocation] = []
    for holder in sorted(owing):
        own = by_holder[holder]
        owed = sorted(  # stable: the oldest first among those that were not chosen
            (bill for bill in own if bill.open_vnd > 0), key=lambda bill: rank.get(bill.pk, len(rank))
        )
        lowering = [Source(bill.pk, -bill.open_vnd) for bill in own if bill.open_vnd < 0]
        covered: dict[int, int] = defaultdict(int)
        for share in allocation.share_out(lowering, [Owed(bill.pk, bill.open_vnd) for bill in owed]):
            covered[share.bill] += share.amount_vnd
            rows.append(
                Allocation(credit_bill_id=share.source, bill_id=share.bill, amount_vnd=share.amount_vnd, at=now, by=by)
            )
        rest = [Owed(bill.pk, bill.open_vnd - covered[bill.pk]) for bill in owed]
        for share in allocation.share_out(money.get(holder, []), rest):
            rows.append(
                Allocation(payment_id=share.source, bill_id=share.bill, amount_vnd=share.amount_vnd, at=now, by=by)
            )
    _store(rows)
    return len(rows)


def _store(rows: Sequence[Allocation]) -> None:
    """Store allocations with the moves of those that come from payments (a credit bill moves no money)."""
    payments = Payment.objects.in_bulk({row.payment_id for row in rows if row.payment_id is not None})
    Allocation.objects.bulk_create(rows, batch_size=1_000)
    moves = []
    for row in rows:
        if row.payment_id is not None:
            payment = payments[row.payment_id]
            moves.append(
                ledger.allocation_move(
                    operator_id=payment.operator_id, connection_id=payment.connection_id, payment_id=payment.pk,
                    amount_vnd=row.amount_vnd, at=row.at, is_simulated=payment.is_simulated,
                )
            )  # fmt: skip
    ledger.post(moves)


@transaction.atomic
def apply_advances(connection_ids: Iterable[int], now: datetime, by: Person | None) -> int:
    """Set what was paid ahead, and bills that lower, against open bills: called after bills were issued, in chunks.

    Returns how many allocations were made; doing it twice makes none.
    """
    ids = list(connection_ids)
    candidates = sorted(_with_something_left(ids))
    if not candidates:
        return 0
    lock_money(candidates)
    made = _allocate(candidates, now, by)
    if made:
        debts.settle_if_paid(candidates, now=now, by=by)
    return made


def _with_something_left(ids: Sequence[int]) -> set[int]:
    """Return the connections that may have money ahead or a credit bill: by sums, without reading payments."""
    paid: dict[int, int] = defaultdict(int)
    rows = Payment.objects.filter(connection_id__in=ids, reversal__isnull=True).values_list("connection_id")
    for pk, amount_vnd in rows.annotate(amount=Sum("amount_vnd")).order_by():
        paid[pk] += amount_vnd
    if paid:
        used = Allocation.objects.filter(payment__connection_id__in=list(paid), payment__reversal__isnull=True)
        for pk, amount_vnd in used.values_list("payment__connection_id").annotate(amount=Sum("amount_vnd")).order_by():
            paid[pk] -= amount_vnd
    lowering = Bill.objects.filter(connection_id__in=ids, total_vnd__lt=0, state=Bill.State.ISSUED)
    return {pk for pk, amount_vnd in paid.items() if amount_vnd > 0} | set(
        lowering.values_list("connection_id", flat=True)
    )


@transaction.atomic
def release_bill(bill: Bill, *, now: datetime, by: Person | None) -> list[Source]:
    """Take back what was set against a bill (it is being replaced); return the payments that are free again by it."""
    lock_money([bill.connection_id])
    rows = []
    sums = Allocation.objects.filter(bill=bill).values_list("payment_id", "credit_bill_id")
    for payment_id, credit_bill_id, amount_vnd in sums.annotate(amount=Sum("amount_vnd")).order_by():
        if amount_vnd:
            rows.append(
                Allocation(
                    payment_id=payment_id, credit_bill_id=credit_bill_id, bill=bill, amount_vnd=-amount_vnd, at=now,
                    by=by,
                )
            )  # fmt: skip
    _store(rows)
    return [Source(row.payment_id, -row.amount_vnd) for row in rows if row.payment_id is not None]


def pay_again(bill: Bill, sources: Sequence[Source], *, now: datetime, by: Person | None) -> None:
    """Set payments that were released against the bill in whose place it stands: whoever made them meant this debt."""
    if bill.total_vnd > 0:
        _store([
            Allocation(payment_id=share.source, bill=bill, amount_vnd=share.amount_vnd, at=now, by=by)
            for share in allocation.share_out(sources, [Owed(bill.pk, bill.total_vnd)])
        ])  # fmt: skip


# --- taking a payment back --------------------------------------------------------------------------------------------


@transaction.atomic
def reverse_payment(payment: Payment, *, reason: str, now: datetime, by: Person | None) -> PaymentReversal:
    """Take a payment back, whole, by opposite rows: its bills are open again. Raises NotPossible."""
    lock_money([payment.connection_id])
    reason = " ".join(reason.split())[:300]
    if not reason:
        raise NotPossible("Ghi lý do đảo khoản thu.")
    if PaymentReversal.objects.filter(payment=payment).exists():
        raise NotPossible(f"Khoản thu số {payment.pk} đã được đảo trước đó.")
    if payment.refunds.exclude(state=Refund.State.REFUSED).exists():
        raise NotPossible(f"Khoản thu số {payment.pk} đã có yêu cầu hoàn tiền. Xử lý yêu cầu đó trước.")
    sums = Allocation.objects.filter(payment=payment).values_list("bill_id").annotate(amount=Sum("amount_vnd"))
    _store([
        Allocation(payment=payment, bill_id=bill_id, amount_vnd=-amount_vnd, at=now, by=by)
        for bill_id, amount_vnd in sums.order_by()
        if amount_vnd
    ])  # fmt: skip
    till = TillSession.objects.select_for_update().get(pk=payment.till_id) if payment.till_id else None
    is_open = till is not None and till.state == TillSession.State.OPEN
    move = _money_move(payment, now)
    if payment.method == Method.COLLECTOR and not is_open:  # handed over meanwhile
        move = Move(
            move.operator_id, now, Account.CASH, move.credit, move.amount_vnd, move.connection_id, move.source,
            move.source_id, move.is_simulated,
        )  # fmt: skip
    ledger.post([move.back(now)])
    made = PaymentReversal.objects.create(payment=payment, reason=reason, at=now, by=by, till=till if is_open else None)
    _allocate([payment.connection_id], now, by)
    audit.record("billing.payment.reversed", actor=by, target=payment, amount_vnd=payment.amount_vnd)
    return made


audit.describe("billing.payment.recorded", "ghi khoản thu {target}")
audit.describe("billing.payment.reversed", "đảo khoản thu {target}")
