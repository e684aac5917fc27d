"""ZaloPay v2: an order is made at its server, which gives an address; a POST with a MAC tells that it was paid.

Source: github.com/zalopay-oss/zalopay-nodejs at 6e334cc (Apache-2.0); reply codes of the callback are recalled.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

from machnuoc.billing import gateways
from machnuoc.billing.gateways import Outcome, Refusal, Reply, Told, Unreadable, WrongSignature

SANDBOX_URL = "https://sb-openapi.zalopay.vn"
CREATE_PATH, QUERY_PATH = "/v2/create", "/v2/query"
_ZONE = timezone(timedelta(hours=7))
_PAID, _FAILED, _PROCESSING = 1, 2, 3


@dataclass(frozen=True)
class Account:
    app_id: str
    key1: str  # of what we ask
    key2: str  # of what we are told
    url: str = SANDBOX_URL


def make_reference(own: str, now: datetime) -> str:
    """Return app_trans_id: the day in Viet Nam, then our own part, at most 40 characters.

    >>> make_reference("12A", datetime(2026, 7, 31, 18, 0, tzinfo=timezone.utc))
    '260801_12A'
    """
    return f"{now.astimezone(_ZONE):%y%m%d}_{own}"[:40]


def order(
    account: Account, *, reference: str, amount_vnd: int, info: str, return_url: str, callback_url: str, now: datetime
) -> bytes:
    """Return the form of POST CREATE_PATH."""
    fields = {
        "app_id": account.app_id, "app_trans_id": reference, "app_user": "machnuoc", "amount": str(amount_vnd),
        "app_time": str(round(now.timestamp() * 1000)), "embed_data": json.dumps({"redirecturl": return_url}),
        "item": "[]",
    }  # fmt: skip
    mac = gateways.sign("sha256", account.key1, "|".join(fields.values()))
    more = {"description": info, "callback_url": callback_url, "bank_code": "", "mac": mac}
    return urlencode(fields | more).encode()


def read_order(body: bytes) -> str:
    """Return the address that the customer pays at. Raises Unreadable."""
    said = _object(body)
    if said.get("return_code") != _PAID or not str(said.get("order_url", "")).startswith("https://"):
        raise Unreadable(f"return_code {str(said.get('return_code'))[:20]}")
    return str(said["order_url"])


def read_callback(account: Account, body: bytes) -> Told:
    """Return what the server callback says: ZaloPay calls for a payment alone. Raises Unreadable, WrongSignature."""
    said = _object(body)
    data, mac = said.get("data"), said.get("mac")
    if not isinstance(data, str) or mac is None:
        raise Unreadable("no data")
    if not gateways.is_signature(gateways.sign("sha256", account.key2, data), mac):
        raise WrongSignature("mac")
    inside = _object(data.encode())
    if str(inside.get("app_id")) != account.app_id:
        raise WrongSignature("of another application")
    time_ms = inside.get("server_time")
    return Told(
        gateways.short(inside.get("app_trans_id"), 40), gateways.whole(inside.get("amount")),
        _transaction(inside.get("zp_trans_id"), Outcome.PAID), Outcome.PAID,
        time_ms if isinstance(time_ms, int) and not isinstance(time_ms, bool) else None, "1",
    )  # fmt: skip


def reply(refusal: Refusal | None, detail: str = "") -> Reply:
    """Return the answer: 1 taken, 2 taken before, -1 not taken, 0 call again (the last two recalled)."""
    code, text = {
        None: (1, "success"),
        Refusal.REPEATED: (2, "already handled"),
        Refusal.OUR_FAULT: (0, "try again"),
        Refusal.FORGED: (-1, "mac not equal"),
    }.get(refusal, (-1, refusal.value.lower() if refusal else ""))
    return Reply(200, json.dumps({"return_code": code, "return_message": text}))


def question(account: Account, *, reference: str) -> bytes:
    """Return the form of POST QUERY_PATH that asks what became of an order."""
    text = f"{account.app_id}|{reference}|{account.key1}"
    mac = gateways.sign("sha256", account.key1, text)
    return urlencode({"app_id": account.app_id, "app_trans_id": reference, "mac": mac}).encode()


def read_answer(account: Account, body: bytes, *, reference: str) -> Told | None:
    """Return what ZaloPay answers to a question; the answer carries no order, so it is the one asked for.

    Raises Unreadable for anything but paid, failed and in progress.
    """
    said: Mapping[str, Any] = _object(body)
    code = said.get("return_code")
    outcome = {_PAID: Outcome.PAID, _FAILED: Outcome.FAILED, _PROCESSING: Outcome.PENDING}.get(code)  # type: ignore[arg-type]
    if outcome is None or isinstance(code, bool):
        raise Unreadable(f"return_code {str(code)[:20]}")
    time_ms = said.get("server_time")
    return Told(
        reference, gateways.whole(said.get("amount", 0)), _transaction(said.get("zp_trans_id"), outcome), outcome,
        time_ms if isinstance(time_ms, int) and not isinstance(time_ms, bool) else None, str(code),
    )  # fmt: skip


def _transaction(number: object, outcome: Outcome) -> str:
    found = gateways.short(number or "0")
    if outcome is Outcome.PAID and found == "0":
        raise Unreadable("a payment without a number")
    return found


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise Unreadable("no JSON") from None
    if not isinstance(said, dict):
        raise Unreadable("no object")
    return said
