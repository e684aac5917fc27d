"""Money that goes back to a customer: one person asks, another approves, then it is paid out and posted.

It comes from a payment that no bill took, or from a decrease that no bill is left to be set against, as when the
connection is closed: that becomes money paid ahead (131 to 131U) when it is asked for, and goes back from there.
"""

from datetime import datetime

from django.db import transaction

from machnuoc.billing import ledger, payments
from machnuoc.billing.ledger import Move
from machnuoc.billing.models import Account, Bill, Payment, Posting, Refund, TillSession
from machnuoc.billing.payments import NotPossible
from machnuoc.core import audit, notices
from machnuoc.core.models import Person
from machnuoc.core.vietnamese import format_money_vnd


@transaction.atomic
def request_refund(payment: Payment, *, amount_vnd: int, reason: str, now: datetime, by: Person | None) -> Refund:
    """Ask for money of a payment to go back; from now on it pays no bill. Raises NotPossible."""
    payments.lock_money([payment.connection_id])
    left_vnd = payments.unallocated([payment.pk])[payment.pk]
    reason = " ".join(reason.split())[:300]
    if not reason:
        raise NotPossible("Ghi lý do hoàn tiền.")
    if not 0 < amount_vnd <= left_vnd:
        raise NotPossible(
            f"Khoản thu số {payment.pk} còn {format_money_vnd(left_vnd)} chưa dùng để trả hóa đơn; "
            f"không hoàn được {format_money_vnd(amount_vnd)}."
        )
    made = Refund.objects.create(
        connection=payment.connection, payment=payment, amount_vnd=amount_vnd, reason=reason, requested_at=now,
        requested_by=by,
    )  # fmt: skip
    audit.record("billing.refund.requested", actor=by, target=made, amount_vnd=amount_vnd)
    return made


def returnable(bill: Bill) -> int:
    """Return what is left of a decrease, đồng: what no bill of its customer has taken and nobody has asked back."""
    return max(0, -ledger.owed_by_bill(bill)) if bill.total_vnd < 0 else 0


@transaction.atomic
def request_credit_refund(bill: Bill, *, amount_vnd: int, reason: str, now: datetime, by: Person | None) -> Refund:
    """Ask for what a decrease leaves to go back; open bills of its customer are paid with it first. Raises NotPossible.

    bill: of kind ADJUSTMENT_DOWN. From now on it lowers no other bill.
    """
    payments.lock_money([bill.connection_id])
    payments.apply_advances([bill.connection_id], now, by)
    left_vnd = returnable(bill)
    reason = " ".join(reason.split())[:300]
    if not reason:
        raise NotPossible("Ghi lý do hoàn tiền.")
    if not 0 < amount_vnd <= left_vnd:
        raise NotPossible(
            f"Hóa đơn giảm #{bill.pk} còn {format_money_vnd(left_vnd)} sau khi cấn trừ các hóa đơn chưa trả; "
            f"không hoàn được {format_money_vnd(amount_vnd)}."
        )
    made = Refund.objects.create(
        connection=bill.connection, credit_bill=bill, amount_vnd=amount_vnd, reason=reason, requested_at=now,
        requested_by=by,
    )  # fmt: skip
    ledger.post([_move(made, now, Account.RECEIVABLE, Account.ADVANCE)])
    audit.record("billing.refund.requested", actor=by, target=made, amount_vnd=amount_vnd, bill=bill.pk)
    return made


@transaction.atomic
def decide_refund(refund: Refund, *, is_approved: bool, now: datetime, by: Person) -> Refund:
    """Approve or refuse what somebody else asked for. Raises NotPossible."""
    payments.lock_money([refund.connection_id])
    held = Refund.objects.select_for_update().get(pk=refund.pk)
    if held.state != Refund.State.REQUESTED:
        raise NotPossible(f"Yêu cầu hoàn tiền #{held.pk} {held.get_state_display().lower()} rồi.")
    if held.requested_by_id == by.pk:
        raise NotPossible("Người yêu cầu hoàn tiền không tự duyệt. Nhờ người khác có quyền duyệt.")
    held.state = Refund.State.APPROVED if is_approved else Refund.State.REFUSED
    held.decided_at, held.decided_by = now, by
    held.save(update_fields=["state", "decided_at", "decided_by"])
    if is_approved:
        ledger.post([_move(held, now, Account.ADVANCE, Account.REFUND)])
    else:
        if held.credit_bill_id is not None:
            ledger.post([_move(held, now, Account.ADVANCE, Account.RECEIVABLE)])
        payments.apply_advances([held.connection_id], now, by)
    audit.record("billing.refund.decided", actor=by, target=held, state=held.state)
    if held.requested_by is not None:
        said = "đã được duyệt, chờ trả" if is_approved else "không được duyệt"
        text = f"Yêu cầu hoàn tiền #{held.pk}, {format_money_vnd(held.amount_vnd)}, {said}."
        notices.notify([held.requested_by], kind="billing.refund", text=text, url="/thu-tien/hoan-tien/")
    return held


@transaction.atomic
def pay_refund(refund: Refund, *, how: str, till: TillSession | None, now: datetime, by: Person) -> Refund:
    """Pay an approved refund: in cash out of one's open till, or by the bank (till None). Raises NotPossible."""
    held = Refund.objects.select_for_update().get(pk=refund.pk)
    if held.state != Refund.State.APPROVED:
        raise NotPossible(f"Yêu cầu hoàn tiền #{held.pk} chưa được duyệt hoặc đã trả.")
    operator_id = held.connection.customer.operator_id
    if till is not None:
        till = TillSession.objects.select_for_update().get(pk=till.pk)
        if till.state != TillSession.State.OPEN or till.person_id != by.pk or till.operator_id != operator_id:
            raise NotPossible("Hoàn tiền mặt cần quỹ đang mở của chính bạn, thuộc cùng đơn vị cấp nước.")
    held.state = Refund.State.PAID
    held.paid_at, held.paid_how, held.till = now, " ".join(how.split())[:120], till
    held.save(update_fields=["state", "paid_at", "paid_how", "till"])
    ledger.post([_move(held, now, Account.REFUND, Account.CASH if till is not None else Account.BANK)])
    audit.record("billing.refund.paid", actor=by, target=held, amount_vnd=held.amount_vnd)
    return held


def _move(refund: Refund, at: datetime, debit: str, credit: str) -> Move:
    return Move(
        refund.connection.customer.operator_id, at, debit, credit, refund.amount_vnd, refund.connection_id,
        Posting.Source.REFUND, refund.pk, refund.connection.is_simulated,
    )  # fmt: skip


audit.describe("billing.refund.requested", "đề nghị hoàn tiền {target}")
audit.describe("billing.refund.decided", "quyết định hoàn tiền {target}")
audit.describe("billing.refund.paid", "trả tiền hoàn {target}")
