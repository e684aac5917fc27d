"""Payments that a customer begins at a gateway: the order is stored first, then the gateway is asked for its address.

Whether it was paid, only the gateway's server says (callbacks.py) or, when it kept silent, its answer to our question.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.urls import reverse

from machnuoc.billing import callbacks, ledger
from machnuoc.billing.errors import BillingError
from machnuoc.billing.gateways import Told, Unreadable, WrongSignature, momo, vnpay, zalopay
from machnuoc.billing.models import Bill, GatewayOrder
from machnuoc.core import audit, folding, outgoing
from machnuoc.core.models import Person
from machnuoc.core.vietnamese import format_money_vnd
from machnuoc.customers.models import Connection

Gateway, State = GatewayOrder.Gateway, GatewayOrder.State
LIFE = timedelta(minutes=15)
ASK_AFTER = timedelta(minutes=5)
ASK_EVERY = timedelta(minutes=5)
ASK_UNTIL = timedelta(hours=24)  # then it counts as expired; a callback is still taken
LEAST_VND, MOST_VND = 1_000, 500_000_000
_JSON, _FORM = "application/json; charset=UTF-8", "application/x-www-form-urlencoded"


class GatewayAway(BillingError):
    """The gateway is not set up here, or does not answer."""


def is_configured(gateway: str) -> bool:
    return callbacks.account_of(gateway) is not None


def list_configured() -> list[str]:
    return [gateway for gateway in Gateway.values if is_configured(gateway)]


def begin(
    connection: Connection, *, gateway: str, now: datetime, by: Person | None, client_ip: str, site_url: str,
    bill_ids: Sequence[int] = (), amount_vnd: int | None = None,
) -> tuple[GatewayOrder, str]:  # fmt: skip
    """Store an order for open bills (all of who holds the connection, if none is named) and return it with the address.

    amount_vnd: default what the bills have open. site_url: of this site, without a slash at its end, for the way back.
    Raises GatewayAway and BillingError. The gateway is called outside any transaction.
    """
    account = callbacks.account_of(gateway)
    if account is None:
        raise GatewayAway(
            f"Chưa kết nối cổng {Gateway(gateway).label}. Chọn cách trả khác, hoặc báo quản trị hệ thống."
        )
    if connection.is_simulated and not _is_trial(account.url):
        raise GatewayAway("Đấu nối mô phỏng không trả tiền thật qua cổng. Chọn đấu nối có thật.")
    open_bills = [
        bill for bill in ledger.list_open_bills([connection.pk])
        if bill.open_vnd > 0 and (bill.pk in set(bill_ids) if bill_ids else bill.customer_id == connection.customer_id)
    ]  # fmt: skip
    amount_vnd = sum(bill.open_vnd for bill in open_bills) if amount_vnd is None else amount_vnd
    if not LEAST_VND <= amount_vnd < MOST_VND:
        raise BillingError(
            f"Số tiền {format_money_vnd(amount_vnd)} không trả qua cổng được: "
            f"từ {format_money_vnd(LEAST_VND)} đến dưới {format_money_vnd(MOST_VND)}."
        )
    own = f"{connection.pk}-{secrets.token_hex(6)}"
    reference = zalopay.make_reference(own, now) if gateway == Gateway.ZALOPAY else own
    with transaction.atomic():
        order = GatewayOrder.objects.create(
            gateway=gateway, reference=reference, connection=connection, amount_vnd=amount_vnd, created_at=now,
            expires_at=now + LIFE,
        )  # fmt: skip
        order.bills.set(Bill.objects.filter(pk__in=[bill.pk for bill in open_bills]))
        audit.record("billing.gateway.begun", actor=by, target=order, amount_vnd=amount_vnd)
    info = f"Thanh toan tien nuoc {folding.fold(connection.code).upper().replace(' ', '')}"
    return_url = f"{site_url}{reverse('billing:gateway_return', args=[gateway])}"
    callback_url = f"{site_url}{reverse('billing:gateway_callback', args=[gateway])}"
    about: dict[str, Any] = {"reference": reference, "amount_vnd": amount_vnd, "info": info, "return_url": return_url}
    try:
        match account:
            case vnpay.Account():
                return order, vnpay.payment_url(
                    account,
                    **about,
                    client_ip=client_ip,
                    now=now,
                    expires_at=order.expires_at,
                )
            case momo.Account():
                body = momo.order(account, **about, callback_url=callback_url)
                return order, momo.read_order(_post(account.url + momo.CREATE_PATH, body, _JSON))
            case zalopay.Account():
                body = zalopay.order(account, **about, callback_url=callback_url, now=now)
                return order, zalopay.read_order(_post(account.url + zalopay.CREATE_PATH, body, _FORM))
    except (outgoing.CannotCall, Unreadable) as reason:
        GatewayOrder.objects.filter(pk=order.pk, state=State.PENDING).update(state=State.FAILED)
        raise GatewayAway(
            f"Cổng {Gateway(gateway).label} chưa nhận giao dịch ({reason}). Thử lại sau, hoặc chọn cách trả khác."
        ) from None
    raise GatewayAway(f"Không biết cổng {gateway}.")


def _is_trial(url: str) -> bool:
    """Return whether the gateway moves no money: its provider's own trial host, or one on this machine."""
    trials = {urlsplit(one).hostname for one in (vnpay.SANDBOX_URL, momo.SANDBOX_URL, zalopay.SANDBOX_URL)}
    return urlsplit(url).hostname in {*trials, "localhost", "127.0.0.1", "::1"}


def _post(url: str, body: bytes, content_type: str) -> bytes:
    headers: Mapping[str, str] = {"Content-Type": content_type, "Accept": "application/json"}
    return outgoing.post(url, body, headers, may_be_local=True).body


# --- when no callback came --------------------------------------------------------------------------------------------


def ask(order: GatewayOrder, *, now: datetime) -> str:
    """Ask the gateway what became of an order, and settle it as a callback would; return the verdict, empty if unknown.

    Raises GatewayAway. The gateway is called outside any transaction.
    """
    account = callbacks.account_of(order.gateway)
    if account is None:
        raise GatewayAway(f"Chưa kết nối cổng {order.get_gateway_display()} nên không hỏi được.")
    GatewayOrder.objects.filter(pk=order.pk).update(queried_at=now)
    request_id = secrets.token_hex(12)
    told: Told | None = None
    try:
        match account:
            case vnpay.Account():
                asked = vnpay.question(
                    account, request_id=request_id, reference=order.reference, created_at=order.created_at, now=now
                )
                body = _post(f"{account.url}/merchant_webapi/api/transaction", asked, _JSON)
                told = vnpay.read_answer(account, body)
            case momo.Account():
                asked = momo.question(account, request_id=request_id, reference=order.reference)
                body = _post(account.url + momo.QUERY_PATH, asked, _JSON)
                told = momo.read_answer(account, body)
            case zalopay.Account():
                body = _post(
                    account.url + zalopay.QUERY_PATH, zalopay.question(account, reference=order.reference), _FORM
                )
                told = zalopay.read_answer(account, body, reference=order.reference)
    except (outgoing.CannotCall, Unreadable, WrongSignature) as reason:
        raise GatewayAway(
            f"Cổng {order.get_gateway_display()} không trả lời được về {order.reference}: {reason}"
        ) from None
    if told is None or told.reference != order.reference:
        return ""
    verdict, _ = callbacks.settle(order.gateway, told, body=body.decode(errors="replace"), now=now, was_asked=True)
    return verdict


def ask_about_silent(now: datetime) -> tuple[int, int]:
    """Ask about orders of which nothing was heard; return how many were asked and how many turned out paid.

    What is not decided a day after counts as expired: no longer asked about, though a callback is still taken.
    """
    GatewayOrder.objects.filter(state=State.PENDING, created_at__lt=now - ASK_UNTIL).update(state=State.EXPIRED)
    waiting = GatewayOrder.objects.filter(
        Q(queried_at__isnull=True) | Q(queried_at__lt=now - ASK_EVERY), state=State.PENDING,
        created_at__lt=now - ASK_AFTER, gateway__in=list_configured(),
    )  # fmt: skip
    asked = paid = 0
    for order in waiting.order_by("created_at")[:200]:
        asked += 1
        try:
            paid += ask(order, now=now) == "ACCEPTED"
        except GatewayAway:
            continue  # asked again in the next round; the order's page tells when it was asked last
    return asked, paid


def site_url_of(absolute: str) -> str:
    """Return under which address the gateway and the customer reach this site: the operator's, else as it was asked."""
    return str(settings.SITE_URL or absolute).rstrip("/")


audit.describe("billing.gateway.begun", "tạo giao dịch qua cổng {target}")
