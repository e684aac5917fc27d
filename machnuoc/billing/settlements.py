"""What a gateway hands over: money in transit (113) becomes money at the bank (1121) and the gateway's price (6417).

A hand-over names its payments, each once, so that what a gateway still holds is known to the đồng. One that was taken
back after it had been handed over is deducted from a later one. A hand-over recorded by mistake is taken back by
opposite postings: its payments are the gateway's again, its transfer can be matched anew.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, F, Min, OuterRef, Q, QuerySet, Sum

from machnuoc.billing import ledger
from machnuoc.billing.ledger import Move
from machnuoc.billing.models import (
    Account,
    BankLine,
    GatewayOrder,
    GatewaySettlement,
    Payment,
    PaymentReversal,
    Posting,
    SettlementItem,
    SettlementReversal,
)
from machnuoc.billing.payments import NotPossible
from machnuoc.billing.statements import StatementError
from machnuoc.core import audit
from machnuoc.core.models import Person
from machnuoc.core.periods import LOCAL_ZONE, local_date
from machnuoc.core.vietnamese import format_money_vnd
from machnuoc.places.models import Organisation

Gateway = GatewayOrder.Gateway
FEE_MOST_PCT = 10  # a gateway that kept more was read wrongly
_WRITE_AT_ONCE = 1_000


_LIVE = SettlementItem.objects.filter(payment=OuterRef("pk"), is_reversed=False)
_HANDED_OVER = Exists(_LIVE.filter(amount_vnd__gt=0))
_DEDUCTED = Exists(_LIVE.filter(amount_vnd__lt=0))
_TAKEN_BACK = Exists(PaymentReversal.objects.filter(payment=OuterRef("pk")))


def list_held(**of: Any) -> QuerySet[Payment]:
    """Return the payments that gateways took and have not handed over, the oldest first; none that was taken back.

    of: conditions, such as operator and method (the gateway).
    """
    rows = Payment.objects.filter(~_HANDED_OVER, ~_TAKEN_BACK, method__in=Gateway.values).filter(**of)
    return rows.order_by("received_at", "pk")


def list_deductible(**of: Any) -> QuerySet[Payment]:
    """Return payments that were taken back after they had been handed over, and not deducted since."""
    rows = Payment.objects.filter(_HANDED_OVER, ~_DEDUCTED, _TAKEN_BACK, method__in=Gateway.values).filter(**of)
    return rows.order_by("received_at", "pk")


@dataclass(frozen=True)
class Held:
    """What one gateway owes an operator, đồng. back_vnd: to be deducted for payments taken back after a hand-over."""

    operator: Organisation
    gateway: str
    count: int
    amount_vnd: int
    back_vnd: int
    oldest: datetime | None
    simulated: int  # payments among them that are made up

    @property
    def label(self) -> str:
        return str(Gateway(self.gateway).label)


def sum_up_held(operators: Sequence[Organisation]) -> list[Held]:
    """Return what each gateway still holds of each operator; none of those that hold nothing."""
    own = {operator.pk: operator for operator in operators}
    sums: dict[tuple[int, str], list[Any]] = defaultdict(lambda: [0, 0, 0, None, 0])
    held = list_held(operator__in=own).order_by().values_list("operator_id", "method")
    for pk, gateway, count, amount_vnd, oldest, simulated in held.annotate(
        n=Count("pk"), a=Sum("amount_vnd"), o=Min("received_at"), s=Count("pk", filter=Q(is_simulated=True))
    ):
        sums[pk, gateway] = [count, amount_vnd, 0, oldest, simulated]
    back = list_deductible(operator__in=own).order_by().values_list("operator_id", "method")
    for pk, gateway, amount_vnd in back.annotate(a=Sum("amount_vnd")):
        sums[pk, gateway][2] = amount_vnd
    return [Held(own[pk], gateway, *row) for (pk, gateway), row in sorted(sums.items())]


def choose(
    operator: Organisation, gateway: str, until_date: date, without: Sequence[int] = ()
) -> tuple[list[Payment], list[Payment]]:
    """Return the payments up to a day that a hand-over holds, and those taken back that it deducts."""
    end = datetime.combine(until_date + timedelta(days=1), time(), LOCAL_ZONE)
    rows = list_held(operator=operator, method=gateway, received_at__lt=end).exclude(pk__in=without)
    back = list_deductible(operator=operator, method=gateway, reversal__at__lt=end).exclude(pk__in=without)
    return list(rows), list(back)


def require_plausible(gateway: str, gross_vnd: int, net_vnd: int) -> None:
    """Raise NotPossible if what lacks cannot be the gateway's price."""
    fee_vnd = gross_vnd - net_vnd
    if net_vnd <= 0 or not 0 <= fee_vnd * 100 <= gross_vnd * FEE_MOST_PCT:
        raise NotPossible(
            f"{Gateway(gateway).label} giữ {format_money_vnd(gross_vnd)} của các giao dịch đến hết ngày đã chọn, thực "
            f"nhận {format_money_vnd(net_vnd)}: chênh {format_money_vnd(fee_vnd)} không thể là phí cổng "
            f"(từ 0 đến {FEE_MOST_PCT} %). Kiểm tra ngày, số tiền, hoặc bỏ các giao dịch chưa có trong bảng kê."
        )


@transaction.atomic
def record(
    operator: Organisation,
    *,
    gateway: str,
    until_date: date,
    paid_date: date,
    net_vnd: int,
    document: str,
    now: datetime,
    by: Person,
    bank_line: BankLine | None = None,
    without: Sequence[int] = (),
) -> GatewaySettlement:
    """Record what a gateway handed over for all payments up to a day (included), but for those it left out.

    net_vnd: what came to the bank; of a bank line its own amount. What lacks is the gateway's price: never below zero,
    never above FEE_MOST_PCT. without: ids of payments that its statement does not hold. Raises NotPossible,
    StatementError.
    """
    Organisation.objects.select_for_update(no_key=True).get(pk=operator.pk)  # one hand-over of an operator at a time
    document = " ".join(document.split())[:80]
    label = Gateway(gateway).label
    if not document:
        raise NotPossible(f"Ghi số bảng kê đối soát của {label}, để tra lại được.")
    if paid_date > local_date(now) or until_date > paid_date:
        raise NotPossible("Ngày tiền về không ở tương lai, và giao dịch của bảng kê không sau ngày tiền về.")
    line = _take_line(bank_line, operator) if bank_line is not None else None
    if line is not None:
        net_vnd = line.amount_vnd
    rows, back = choose(operator, gateway, until_date, without)
    gross_vnd = sum(row.amount_vnd for row in rows) - sum(row.amount_vnd for row in back)
    fee_vnd = gross_vnd - net_vnd
    require_plausible(gateway, gross_vnd, net_vnd)
    try:
        with transaction.atomic():
            made = GatewaySettlement.objects.create(
                operator=operator, gateway=gateway, paid_date=paid_date, document=document, gross_vnd=gross_vnd,
                fee_vnd=fee_vnd, net_vnd=net_vnd, bank_line=line, at=now, by=by,
                is_simulated=any(row.is_simulated for row in rows),
            )  # fmt: skip
    except IntegrityError:
        raise NotPossible(f"Bảng kê {document} của {label} đã được ghi trước đó.") from None
    items = [SettlementItem(settlement=made, payment=row, amount_vnd=row.amount_vnd) for row in rows]
    items += [SettlementItem(settlement=made, payment=row, amount_vnd=-row.amount_vnd) for row in back]
    SettlementItem.objects.bulk_create(items, batch_size=_WRITE_AT_ONCE)
    ledger.post(_moves(made, now))
    audit.record(
        "billing.settlement.recorded", actor=by, target=made, gateway=label, count=len(items), net_vnd=net_vnd,
        fee_vnd=fee_vnd,
    )  # fmt: skip
    return made


def _take_line(line: BankLine, operator: Organisation) -> BankLine:
    """Return the transfer, marked as a gateway's: it is no payment of a customer. Raises StatementError."""
    held = BankLine.objects.select_for_update().select_related("statement").get(pk=line.pk)
    if held.statement.operator_id != operator.pk:
        raise StatementError("Giao dịch ngân hàng thuộc sao kê của đơn vị cấp nước khác.")
    if held.payment_id is not None or held.match == BankLine.Match.SETTLED:
        raise StatementError(f"Giao dịch dòng {held.row} đã được ghi nhận. Hoàn tác ghi nhận trước.")
    if held.amount_vnd <= 0:
        raise StatementError(f"Giao dịch dòng {held.row} là tiền ra, không phải tiền cổng chuyển về.")
    held.match, held.proposed, held.proposed_customer, held.proposed_why = BankLine.Match.SETTLED, None, None, ""
    held.save(update_fields=["match", "proposed", "proposed_customer", "proposed_why"])
    return held


def _moves(one: GatewaySettlement, at: datetime) -> list[Move]:
    """Return what a hand-over moves: money in transit that came to the bank, and what the gateway kept."""
    return [
        Move(one.operator_id, at, debit, Account.TRANSIT, amount_vnd, None, Posting.Source.SETTLEMENT, one.pk,
             one.is_simulated)
        for debit, amount_vnd in ((Account.BANK, one.net_vnd), (Account.GATEWAY_FEE, one.fee_vnd))
    ]  # fmt: skip


@transaction.atomic
def reverse(settlement: GatewaySettlement, *, reason: str, now: datetime, by: Person) -> SettlementReversal:
    """Take a hand-over back, whole: the gateway holds its payments again, its transfer waits to be matched.

    Raises NotPossible: without a reason, a second time, or while a later hand-over deducts one of its payments.
    """
    Organisation.objects.select_for_update(no_key=True).get(pk=settlement.operator_id)  # as `record` does
    held = GatewaySettlement.objects.select_for_update(of=("self",)).get(pk=settlement.pk)
    reason = " ".join(reason.split())[:300]
    if not reason:
        raise NotPossible("Ghi lý do đảo lần chuyển tiền.")
    if held.is_reversed:
        raise NotPossible(f"Bảng kê {held.document} đã được đảo trước đó.")
    handed_over = held.items.filter(amount_vnd__gt=0).values("payment")
    later = GatewaySettlement.objects.filter(
        items__payment__in=handed_over, items__amount_vnd__lt=0, is_reversed=False
    )  # fmt: skip
    deducting = later.order_by("-pk").first()
    if deducting is not None:
        raise NotPossible(
            f"Bảng kê {deducting.document} đã trừ lại khoản thu của bảng kê {held.document}. "
            f"Đảo bảng kê {deducting.document} trước."
        )
    made = SettlementReversal.objects.create(settlement=held, reason=reason, at=now, by=by)
    held.is_reversed = True
    held.save(update_fields=["is_reversed"])
    held.items.update(is_reversed=True)
    ledger.post(move.back(now, Posting.Source.SETTLEBACK) for move in _moves(held, now))
    if held.bank_line_id is not None:
        BankLine.objects.filter(pk=held.bank_line_id, match=BankLine.Match.SETTLED).update(match=BankLine.Match.NONE)
    audit.record(
        "billing.settlement.reversed", actor=by, target=held, gateway=held.get_gateway_display(), net_vnd=held.net_vnd,
        fee_vnd=held.fee_vnd,
    )  # fmt: skip
    return made


def list_postings(settlement: GatewaySettlement) -> QuerySet[Posting]:
    """Return the postings of a hand-over and those that undid them, the oldest first."""
    sources = [Posting.Source.SETTLEMENT, Posting.Source.SETTLEBACK]
    return Posting.objects.filter(source__in=sources, source_id=settlement.pk).order_by("pk")


def list_settlements(operators: QuerySet[Organisation]) -> Any:
    """Return the hand-overs of the operators, the newest first, with `count` of payments and `fee_share`, %."""
    return (
        GatewaySettlement.objects.filter(operator__in=operators)
        .select_related("operator__subject", "by", "bank_line", "reversal__by")
        .annotate(count=Count("items"), fee_share=F("fee_vnd") * 100.0 / F("gross_vnd"))
        .order_by("-pk")
    )


audit.describe("billing.settlement.recorded", "ghi tiền {gateway} chuyển về: {count} giao dịch")
audit.describe("billing.settlement.reversed", "đảo lần {gateway} chuyển tiền về {target}")
