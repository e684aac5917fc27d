"""VNPAY 2.1.0: a signed address to send the customer to, a signed GET from its server, a signed question.

Source: the documentation at vnpay.js.org (MIT, github.com/lehuygiang28/vnpay at 4362779).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from urllib.parse import urlencode

from machnuoc.billing import gateways
from machnuoc.billing.gateways import Outcome, Refusal, Reply, Told, Unreadable, WrongSignature

SANDBOX_URL = "https://sandbox.vnpayment.vn"
VERSION = "2.1.0"
_ZONE = timezone(timedelta(hours=7))
_UNSIGNED = frozenset({"vnp_SecureHash", "vnp_SecureHashType"})
_REPLIES: dict[Refusal | None, tuple[str, str]] = {
    None: ("00", "Confirm Success"),
    Refusal.UNKNOWN_ORDER: ("01", "Order not found"),
    Refusal.REPEATED: ("02", "Order already confirmed"),
    Refusal.WRONG_AMOUNT: ("04", "Invalid amount"),
    Refusal.FORGED: ("97", "Fail checksum"),
    Refusal.MALFORMED: ("99", "Unknown error"),
    Refusal.OUR_FAULT: ("99", "Unknown error"),
}
# «07»: money was taken and the transaction is doubted. «01», «05», «06»: not over. All are asked for again later.
_UNDECIDED_RESPONSES = frozenset({"07"})
_UNDECIDED_STATES = frozenset({"01", "07"})
RESPONSES = {
    "00": "Giao dịch thành công",
    "01": "Giao dịch đã tồn tại",
    "02": "Merchant không hợp lệ (kiểm tra lại vnp_TmnCode)",
    "03": "Dữ liệu gửi sang không đúng định dạng",
    "04": "Website đang bị tạm khóa",
    "05": "Nhập sai mật khẩu thanh toán quá số lần quy định",
    "06": "Nhập sai mật khẩu xác thực giao dịch (OTP)",
    "07": "Trừ tiền thành công, giao dịch bị nghi ngờ",
    "08": "Hệ thống ngân hàng đang bảo trì",
    "09": "Thẻ, tài khoản chưa đăng ký Internet Banking",
    "10": "Xác thực thông tin thẻ, tài khoản không đúng quá 3 lần",
    "11": "Đã hết hạn chờ thanh toán",
    "24": "Khách hàng hủy giao dịch",
    "51": "Tài khoản không đủ số dư",
    "65": "Vượt quá hạn mức giao dịch trong ngày",
    "75": "Ngân hàng thanh toán đang bảo trì",
}


@dataclass(frozen=True)
class Account:
    tmn_code: str
    secret: str
    url: str = SANDBOX_URL


def signed_text(fields: Mapping[str, str]) -> str:
    """Return what is signed: the non-empty vnp_ fields but the signature, by name, form-url-encoded.

    >>> signed_text({"vnp_TxnRef": "A1", "vnp_OrderInfo": "nuoc thang 7", "vnp_SecureHash": "x", "vnp_BankCode": ""})
    'vnp_OrderInfo=nuoc+thang+7&vnp_TxnRef=A1'
    """
    kept = {key: value for key, value in fields.items() if key.startswith("vnp_") and value and key not in _UNSIGNED}
    return urlencode(sorted(kept.items()))


def payment_url(
    account: Account, *, reference: str, amount_vnd: int, info: str, return_url: str, client_ip: str, now: datetime,
    expires_at: datetime,
) -> str:  # fmt: skip
    """Return the address that the customer pays at. info: ASCII. now, expires_at: aware."""
    fields = {
        "vnp_Version": VERSION, "vnp_Command": "pay", "vnp_TmnCode": account.tmn_code,
        "vnp_Amount": str(amount_vnd * 100), "vnp_CreateDate": _moment(now), "vnp_ExpireDate": _moment(expires_at),
        "vnp_CurrCode": "VND", "vnp_IpAddr": client_ip, "vnp_Locale": "vn", "vnp_OrderInfo": info,
        "vnp_OrderType": "other", "vnp_ReturnUrl": return_url, "vnp_TxnRef": reference,
    }  # fmt: skip
    text = signed_text(fields)
    return f"{account.url}/paymentv2/vpcpay.html?{text}&vnp_SecureHash={gateways.sign('sha512', account.secret, text)}"


def verify(account: Account, fields: Mapping[str, str]) -> None:
    """Check the signature of fields that VNPAY sent (callback or return address). Raises WrongSignature."""
    expected = gateways.sign("sha512", account.secret, signed_text(fields))
    if not gateways.is_signature(expected, fields.get("vnp_SecureHash")):
        raise WrongSignature("vnp_SecureHash")


def read_callback(account: Account, fields: Mapping[str, str]) -> Told:
    """Return what the server callback says. Raises Unreadable and WrongSignature."""
    if "vnp_SecureHash" not in fields:
        raise Unreadable("no signature")
    verify(account, fields)
    if fields.get("vnp_TmnCode") != account.tmn_code:
        raise WrongSignature("of another merchant")
    return _told(fields, fields.get("vnp_ResponseCode", ""), fields.get("vnp_TransactionStatus", ""))


def _told(fields: Mapping[str, str], response: str, state: str) -> Told:
    hundredfold = gateways.whole(fields.get("vnp_Amount"))
    if response == "00" and state == "00":
        outcome = Outcome.PAID
    elif state in _UNDECIDED_STATES or response in _UNDECIDED_RESPONSES:
        outcome = Outcome.PENDING
    else:
        outcome = Outcome.FAILED
    transaction = fields.get("vnp_TransactionNo", "")
    if outcome is Outcome.PAID and transaction in {"", "0"}:
        raise Unreadable("a payment without a number")
    # An amount with a fraction of a đồng is no amount of ours: it is told as none, and answered as wrong.
    amount_vnd = hundredfold // 100 if hundredfold % 100 == 0 else -1
    return Told(
        gateways.short(fields.get("vnp_TxnRef"), 100), amount_vnd, gateways.short(transaction or "0"), outcome,
        _read_moment(fields.get("vnp_PayDate", "")), f"{response}/{state}",
    )  # fmt: skip


def reply(refusal: Refusal | None, detail: str = "") -> Reply:
    """Return the answer: None means taken. VNPAY reads the code, and calls again after 99."""
    code, message = _REPLIES[refusal]
    return Reply(200, json.dumps({"RspCode": code, "Message": message}))


def question(account: Account, *, request_id: str, reference: str, created_at: datetime, now: datetime) -> bytes:
    """Return the body of POST …/merchant_webapi/api/transaction that asks what became of an order."""
    fields = {
        "vnp_RequestId": request_id, "vnp_Version": VERSION, "vnp_Command": "querydr", "vnp_TmnCode": account.tmn_code,
        "vnp_TxnRef": reference, "vnp_TransactionDate": _moment(created_at), "vnp_CreateDate": _moment(now),
        "vnp_IpAddr": "127.0.0.1", "vnp_OrderInfo": f"Hoi giao dich {reference}",
    }  # fmt: skip
    return json.dumps(
        fields | {"vnp_SecureHash": gateways.sign("sha512", account.secret, "|".join(fields.values()))}
    ).encode()


_ANSWER_ORDER = (
    "vnp_ResponseId", "vnp_Command", "vnp_ResponseCode", "vnp_Message", "vnp_TmnCode", "vnp_TxnRef", "vnp_Amount",
    "vnp_BankCode", "vnp_PayDate", "vnp_TransactionNo", "vnp_TransactionType", "vnp_TransactionStatus",
    "vnp_OrderInfo", "vnp_PromotionCode", "vnp_PromotionAmount",
)  # fmt: skip


def read_answer(account: Account, body: bytes) -> Told | None:
    """Return what VNPAY answers to a question; None if it knows of no payment yet. Raises Unreadable, WrongSignature.

    The order of the signed fields of the answer is recalled, not read.
    """
    try:
        said = json.loads(body)
    except ValueError:
        raise Unreadable("no JSON") from None
    if not isinstance(said, dict):
        raise Unreadable("no object")
    fields = {str(key): str(value) for key, value in said.items() if value is not None}
    if fields.get("vnp_ResponseCode") == "91":
        return None
    text = "|".join(fields.get(key, "") for key in _ANSWER_ORDER)
    if not gateways.is_signature(gateways.sign("sha512", account.secret, text), fields.get("vnp_SecureHash")):
        raise WrongSignature("vnp_SecureHash")
    if fields.get("vnp_ResponseCode") != "00":
        raise Unreadable(f"answer {fields.get('vnp_ResponseCode', '')}")
    return _told(fields, "00", fields.get("vnp_TransactionStatus", ""))


def _moment(at: datetime) -> str:
    return f"{at.astimezone(_ZONE):%Y%m%d%H%M%S}"


def _read_moment(text: str) -> int | None:
    try:
        return round(datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=_ZONE).timestamp() * 1000)
    except ValueError:
        return None
