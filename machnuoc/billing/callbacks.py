"""What a gateway's server says: verified, judged in the order its documents give, stored with the payment it makes.

One transaction stores the message, the payment, its postings and what it pays; the gateway is answered after that has
committed, so a server killed at any moment has either taken the payment or lets the gateway call again. One order is
one payment, whatever comes twice, late, in parallel or in the wrong order. A success after a failure is still money.
"""

import logging
import sqlite3
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from threading import Lock
from types import ModuleType

import psycopg
from django import db
from django.conf import settings
from django.db import transaction

from machnuoc.billing import payments
from machnuoc.billing.gateways import (
    BODY_MAX_BYTES,
    Outcome,
    Refusal,
    Reply,
    Told,
    Unreadable,
    WrongSignature,
    momo,
    vnpay,
    zalopay,
)
from machnuoc.billing.models import Callback, GatewayOrder, Payment
from machnuoc.core import audit
from machnuoc.core.vietnamese import format_money_vnd

log = logging.getLogger(__name__)

Verdict, State, Gateway = Callback.Verdict, GatewayOrder.State, GatewayOrder.Gateway
MODULES: Mapping[str, ModuleType] = {Gateway.VNPAY: vnpay, Gateway.MOMO: momo, Gateway.ZALOPAY: zalopay}
_AWAY = (sqlite3.OperationalError, psycopg.OperationalError, db.OperationalError, db.InterfaceError)
_REFUSED_AS = {
    Verdict.FORGED: Refusal.FORGED, Verdict.MALFORMED: Refusal.MALFORMED, Verdict.REPEATED: Refusal.REPEATED,
    Verdict.UNKNOWN_ORDER: Refusal.UNKNOWN_ORDER, Verdict.WRONG_AMOUNT: Refusal.WRONG_AMOUNT,
}  # fmt: skip
_CLOCK_SLACK = timedelta(minutes=5)
BAD_MOST, BAD_WINDOW_S = 30, 60.0  # of one address: what is beyond is answered and not stored


Account = vnpay.Account | momo.Account | zalopay.Account


def account_of(gateway: str) -> Account | None:
    """Return our account at the gateway, None where the operator of the server has set none."""
    if gateway == Gateway.VNPAY and settings.VNPAY:
        url, code, secret = settings.VNPAY
        return vnpay.Account(code, secret, url)
    if gateway == Gateway.MOMO and settings.MOMO:
        url, partner, access, secret = settings.MOMO
        return momo.Account(partner, access, secret, url)
    if gateway == Gateway.ZALOPAY and settings.ZALOPAY:
        url, app_id, key1, key2 = settings.ZALOPAY
        return zalopay.Account(app_id, key1, key2, url)
    return None


def receive(gateway: str, *, fields: Mapping[str, str], body: bytes, text: str, address: str, now: datetime) -> Reply:
    """Judge and store one server callback and return the answer, which is sent after the commit.

    fields: of the address (VNPAY); body: as posted (MoMo, ZaloPay); text: what is kept. address: who called; only what
    is badly signed is counted against it, never a true callback.
    """
    module = MODULES[gateway]
    account = account_of(gateway)
    if account is None:
        return Reply(404, '{"message": "not configured"}')
    try:
        told = module.read_callback(account, fields if gateway == Gateway.VNPAY else body)
    except (Unreadable, WrongSignature) as reason:
        verdict = Verdict.FORGED if isinstance(reason, WrongSignature) else Verdict.MALFORMED
        reply: Reply = module.reply(_REFUSED_AS[verdict])
        if not _bad_ones.is_too_many(address):
            _keep(gateway, text, None, verdict, reply, now)
        return reply
    try:
        _, reply = settle(gateway, told, body=text, now=now)
    except _AWAY:
        log.warning("a callback of %s could not be stored: the database is away", gateway)
        return module.reply(Refusal.OUR_FAULT)  # type: ignore[no-any-return]
    return reply


@transaction.atomic
def settle(gateway: str, told: Told, *, body: str, now: datetime, was_asked: bool = False) -> tuple[str, Reply]:
    """Settle an order by what the gateway told (verified), once; return the verdict and the answer.

    Order of checks: order known, amount, settled before; then record.
    """
    order = (
        GatewayOrder.objects.select_for_update(of=("self",))
        .select_related("connection__customer")
        .filter(gateway=gateway, reference=told.reference)
        .first()
    )
    verdict, note = _judge(order, told)
    if order is not None and verdict == Verdict.ACCEPTED:
        try:
            payments.record_payment(
                connection=order.connection, amount_vnd=told.amount_vnd, method=gateway,
                received_at=_paid_at(told, order, now), now=now, by=None, external_id=told.transaction, order=order,
                bill_ids=list(order.bills.order_by("due_date", "pk").values_list("pk", flat=True)),
            )  # fmt: skip
        except payments.AlreadyRecorded as reason:
            verdict, note = Verdict.REPEATED, str(reason)
        else:
            order.state, order.settled_at = State.PAID, now
            order.save(update_fields=["state", "settled_at"])
    elif order is not None and verdict == Verdict.FAILED_PAYMENT:
        order.state, order.settled_at = State.FAILED, now
        order.save(update_fields=["state", "settled_at"])
    reply = MODULES[gateway].reply(_REFUSED_AS.get(Verdict(verdict)))
    _keep(gateway, body, order, verdict, reply, now, note=note, was_asked=was_asked)
    return verdict, reply


def _judge(order: GatewayOrder | None, told: Told) -> tuple[str, str]:
    if order is None:
        return Verdict.UNKNOWN_ORDER, ""
    if told.amount_vnd != order.amount_vnd and (told.outcome is Outcome.PAID or told.amount_vnd):
        return Verdict.WRONG_AMOUNT, (
            f"báo {format_money_vnd(told.amount_vnd) if told.amount_vnd >= 0 else 'số tiền có phần lẻ'}, "
            f"chờ {format_money_vnd(order.amount_vnd)}"
        )
    if order.state == State.PAID:
        known = Payment.objects.filter(order=order).values_list("external_id", flat=True).first()
        is_other = told.outcome is Outcome.PAID and known is not None and known != told.transaction
        return Verdict.REPEATED, f"mã giao dịch khác {known}: đối chiếu với cổng" if is_other else ""
    if told.outcome is Outcome.PAID:
        return Verdict.ACCEPTED, ""
    return (Verdict.NOT_YET if told.outcome is Outcome.PENDING else Verdict.FAILED_PAYMENT), f"mã {told.detail}"


def _paid_at(told: Told, order: GatewayOrder, now: datetime) -> datetime:
    """Return when the payer paid as the gateway tells, if that can be: after the order was made, not in the future."""
    if told.paid_at_ms is None or not 0 < told.paid_at_ms < 10**14:
        return now
    at = datetime.fromtimestamp(told.paid_at_ms / 1000, UTC)
    return min(at, now) if order.created_at - _CLOCK_SLACK <= at <= now + _CLOCK_SLACK else now


def _keep(
    gateway: str, text: str, order: GatewayOrder | None, verdict: str, reply: Reply, now: datetime, *, note: str = "",
    was_asked: bool = False,
) -> None:  # fmt: skip
    answered = "(hỏi cổng)" if was_asked else f"{reply.status} {reply.body}".strip()
    # NUL is no text to PostgreSQL; what was posted as bytes may hold it.
    Callback.objects.create(
        gateway=gateway, received_at=now, body=text[:BODY_MAX_BYTES].replace("\0", "\ufffd"), order=order,
        verdict=verdict, reply=f"{answered} {note}".strip()[:200],
    )  # fmt: skip


class _BadOnes:
    """How many bad callbacks each address sent lately, to this process: enough to keep the table small."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[float]] = {}
        self._lock = Lock()

    def is_too_many(self, address: str) -> bool:
        """Count one more, and return whether there were too many already."""
        now = time.monotonic()
        with self._lock:
            if len(self._seen) > 10_000:
                self._seen.clear()
            seen = self._seen.setdefault(address, deque())
            while seen and seen[0] < now - BAD_WINDOW_S:
                seen.popleft()
            if len(seen) >= BAD_MOST:
                return True
            seen.append(now)
            return False

    def forget(self) -> None:
        with self._lock:
            self._seen.clear()


_bad_ones = _BadOnes()


def forget_bad_ones() -> None:
    """Begin to count anew (for tests)."""
    _bad_ones.forget()


audit.describe("billing.gateway.settled", "nhận kết quả giao dịch {target}")
