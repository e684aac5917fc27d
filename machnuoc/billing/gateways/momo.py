"""MoMo v2 (captureWallet): an order is made at its server, which gives an address; a signed POST tells the end.

Source: the public catalogue api-evangelist/momo; the raw texts that are signed are recalled, not read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from machnuoc.billing import gateways
from machnuoc.billing.gateways import Outcome, Refusal, Reply, Told, Unreadable, WrongSignature

SANDBOX_URL = "https://test-payment.momo.vn"
CREATE_PATH, QUERY_PATH = "/v2/gateway/api/create", "/v2/gateway/api/query"
REQUEST_TYPE = "captureWallet"
_CREATE = (
    "accessKey", "amount", "extraData", "ipnUrl", "orderId", "orderInfo", "partnerCode", "redirectUrl", "requestId",
    "requestType",
)  # fmt: skip
_CALLBACK = (
    "accessKey", "amount", "extraData", "message", "orderId", "orderInfo", "orderType", "partnerCode", "payType",
    "requestId", "responseTime", "resultCode", "transId",
)  # fmt: skip
_QUERY = ("accessKey", "orderId", "partnerCode", "requestId")
_SUCCESS = 0
_UNDECIDED = frozenset({9000, 1000, 7000, 7002})  # authorised; waiting for the customer; in progress (recalled)


@dataclass(frozen=True)
class Account:
    partner_code: str
    access_key: str
    secret: str
    url: str = SANDBOX_URL


def raw_text(account: Account, names: tuple[str, ...], fields: Mapping[str, Any]) -> str:
    """Return what is signed: key=value joined by &, in the order of the scheme (which is that of the alphabet)."""
    given = {**fields, "accessKey": account.access_key}
    return "&".join(f"{name}={given.get(name, '')}" for name in names)


def order(account: Account, *, reference: str, amount_vnd: int, info: str, return_url: str, callback_url: str) -> bytes:
    """Return the body of POST CREATE_PATH. reference: the order's id, also its request's."""
    fields: dict[str, Any] = {
        "partnerCode": account.partner_code, "requestId": reference, "amount": amount_vnd, "orderId": reference,
        "orderInfo": info, "redirectUrl": return_url, "ipnUrl": callback_url, "requestType": REQUEST_TYPE,
        "extraData": "", "lang": "vi",
    }  # fmt: skip
    text = raw_text(account, _CREATE, fields)
    return json.dumps(fields | {"signature": gateways.sign("sha256", account.secret, text)}).encode()


def read_order(body: bytes) -> str:
    """Return the address that the customer pays at. Raises Unreadable."""
    said = _object(body)
    if said.get("resultCode") != _SUCCESS or not str(said.get("payUrl", "")).startswith("https://"):
        raise Unreadable(f"resultCode {str(said.get('resultCode'))[:20]}")
    return str(said["payUrl"])


def read_callback(account: Account, body: bytes) -> Told:
    """Return what the server callback says. Raises Unreadable and WrongSignature."""
    said = _object(body)
    if "signature" not in said:
        raise Unreadable("no signature")
    expected = gateways.sign("sha256", account.secret, raw_text(account, _CALLBACK, said))
    if not gateways.is_signature(expected, said["signature"]) or said.get("partnerCode") != account.partner_code:
        raise WrongSignature("signature")
    return _told(said)


def _told(said: Mapping[str, Any]) -> Told:
    code = said.get("resultCode")
    if isinstance(code, bool) or not isinstance(code, int):
        raise Unreadable("no result")
    outcome = Outcome.PAID if code == _SUCCESS else Outcome.PENDING if code in _UNDECIDED else Outcome.FAILED
    time_ms = said.get("responseTime")
    transaction = gateways.short(said.get("transId", 0) or "0")
    if outcome is Outcome.PAID and transaction == "0":
        raise Unreadable("a payment without a number")
    return Told(
        gateways.short(said.get("orderId"), 100), gateways.whole(said.get("amount")), transaction, outcome,
        time_ms if isinstance(time_ms, int) and not isinstance(time_ms, bool) else None, str(code),
    )  # fmt: skip


def reply(refusal: Refusal | None, detail: str = "") -> Reply:
    """Return the answer: 204 for what was taken or had been; another status makes MoMo call again."""
    if refusal in {None, Refusal.REPEATED}:
        return Reply(204, "")
    status = 503 if refusal is Refusal.OUR_FAULT else 404 if refusal is Refusal.UNKNOWN_ORDER else 400
    return Reply(status, json.dumps({"message": refusal.value if refusal else ""}))


def question(account: Account, *, request_id: str, reference: str) -> bytes:
    """Return the body of POST QUERY_PATH that asks what became of an order. The signed text is recalled."""
    fields = {"partnerCode": account.partner_code, "requestId": request_id, "orderId": reference, "lang": "vi"}
    text = raw_text(account, _QUERY, fields)
    return json.dumps(fields | {"signature": gateways.sign("sha256", account.secret, text)}).encode()


def read_answer(account: Account, body: bytes) -> Told | None:
    """Return what MoMo answers to a question; None if it knows of no such order. Raises Unreadable."""
    said = _object(body)
    if said.get("resultCode") == 42:  # no such order
        return None
    if said.get("partnerCode") != account.partner_code:
        raise Unreadable("of another partner")
    return _told(said)


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise Unreadable("no JSON") from None
    if not isinstance(said, dict):
        raise Unreadable("no object")
    return said
