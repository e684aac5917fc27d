"""The drawer of a cashier and the bag of a collector: opened with an amount, closed with a count and its difference."""

from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q, Sum

from machnuoc.billing import ledger
from machnuoc.billing.ledger import Move
from machnuoc.billing.models import Account, CollectionSheet, Payment, Posting, TillSession
from machnuoc.billing.payments import AMOUNT_MOST_VND, NotPossible
from machnuoc.core import audit
from machnuoc.core.models import Person
from machnuoc.places.models import Organisation

State = TillSession.State


def open_till_of(person: Person) -> TillSession | None:
    return TillSession.objects.filter(person=person, state=State.OPEN).select_related("operator").first()


@transaction.atomic
def open_till(operator: Organisation, *, person: Person, opening_vnd: int, now: datetime) -> TillSession:
    """Open a drawer with the cash that lies in it. Raises NotPossible if the person has one open."""
    if not 0 <= opening_vnd <= AMOUNT_MOST_VND:
        raise NotPossible("Tiền đầu ca phải từ 0 đồng trở lên.")
    try:
        with transaction.atomic():
            made = TillSession.objects.create(operator=operator, person=person, opened_at=now, opening_vnd=opening_vnd)
    except IntegrityError:
        raise NotPossible("Bạn đang có một quỹ chưa chốt. Chốt quỹ đó trước khi mở quỹ mới.") from None
    audit.record("billing.till.opened", actor=person, target=made, opening_vnd=opening_vnd)
    return made


@dataclass(frozen=True)
class Sums:
    """Of one drawer, đồng. count: payments taken; collected: by a collector, part of taken."""

    opening_vnd: int
    count: int
    taken_vnd: int
    collected_vnd: int
    given_back_vnd: int  # payments that were reversed while it was open
    refunded_vnd: int

    @property
    def expected_vnd(self) -> int:
        return self.opening_vnd + self.taken_vnd - self.given_back_vnd - self.refunded_vnd


def sums_of(till: TillSession) -> Sums:
    rows = till.payments.aggregate(
        taken=Sum("amount_vnd"), collected=Sum("amount_vnd", filter=Q(method=Payment.Method.COLLECTOR))
    )
    back = till.reversals.aggregate(amount=Sum("payment__amount_vnd"))["amount"] or 0
    refunded = till.refunds.aggregate(amount=Sum("amount_vnd"))["amount"] or 0
    return Sums(till.opening_vnd, till.payments.count(), rows["taken"] or 0, rows["collected"] or 0, back, refunded)


@transaction.atomic
def close_till(till: TillSession, *, counted_vnd: int, note: str, now: datetime, by: Person) -> TillSession:
    """Close the drawer with what was counted; a difference is posted and needs a note. Raises NotPossible.

    What a collector brought moves from «tiền đang chuyển» to the cash of the house.
    """
    # Sheets first, as whoever collects on one holds it before the bag.
    list(CollectionSheet.objects.select_for_update().filter(till=till, closed_at__isnull=True).values_list("pk"))
    held = TillSession.objects.select_for_update().get(pk=till.pk)
    if held.state != State.OPEN:
        raise NotPossible(f"Quỹ #{held.pk} đã chốt rồi.")
    if held.person_id != by.pk:
        raise NotPossible("Chỉ người giữ quỹ mới chốt quỹ.")
    if not 0 <= counted_vnd <= AMOUNT_MOST_VND:
        raise NotPossible("Số tiền đếm được phải từ 0 đồng trở lên.")
    sums = sums_of(held)
    difference_vnd = counted_vnd - sums.expected_vnd
    note = " ".join(note.split())[:300]
    if difference_vnd and not note:
        raise NotPossible("Tiền đếm được lệch so với sổ: ghi lý do lệch vào ghi chú.")
    held.state, held.closed_at = State.CLOSED, now
    held.expected_vnd, held.counted_vnd, held.note = sums.expected_vnd, counted_vnd, note
    held.save(update_fields=["state", "closed_at", "expected_vnd", "counted_vnd", "note"])
    collected_back = held.reversals.filter(payment__method=Payment.Method.COLLECTOR)
    brought_vnd = sums.collected_vnd - (collected_back.aggregate(a=Sum("payment__amount_vnd"))["a"] or 0)
    is_simulated = held.payments.filter(is_simulated=True).exists()

    def move(debit: str, credit: str, amount_vnd: int) -> Move:
        return Move(held.operator_id, now, debit, credit, amount_vnd, None, Posting.Source.TILL, held.pk, is_simulated)

    moves = [move(Account.CASH, Account.TRANSIT, brought_vnd)]
    if difference_vnd > 0:
        moves.append(move(Account.CASH, Account.DIFFERENCE, difference_vnd))
    elif difference_vnd < 0:
        moves.append(move(Account.DIFFERENCE, Account.CASH, -difference_vnd))
    ledger.post(moves)
    CollectionSheet.objects.filter(till=held, closed_at__isnull=True).update(closed_at=now)
    audit.record("billing.till.closed", actor=by, target=held, difference_vnd=difference_vnd)
    return held


@transaction.atomic
def confirm_till(till: TillSession, *, by: Person, now: datetime) -> TillSession:
    """Confirm that the counted money was handed over: by another person than who held it. Raises NotPossible."""
    held = TillSession.objects.select_for_update().get(pk=till.pk)
    if held.state != State.CLOSED or held.confirmed_by_id is not None:
        raise NotPossible(f"Quỹ #{held.pk} chưa chốt, hoặc đã được xác nhận.")
    if held.person_id == by.pk:
        raise NotPossible("Người giữ quỹ không tự xác nhận. Nhờ kế toán hoặc người phụ trách.")
    held.confirmed_by = by
    held.save(update_fields=["confirmed_by"])
    audit.record("billing.till.confirmed", actor=by, target=held)
    return held


audit.describe("billing.till.opened", "mở quỹ {target}")
audit.describe("billing.till.closed", "chốt quỹ {target}")
audit.describe("billing.till.confirmed", "xác nhận quỹ {target}")
