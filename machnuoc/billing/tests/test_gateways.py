"""Signatures, messages and answers of the three gateways, against computations of their own."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote_plus, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.billing import gateways
from machnuoc.billing.gateways import Outcome, Refusal, Unreadable, WrongSignature, momo, vnpay, zalopay

VNPAY = vnpay.Account("TMN00001", "bi-mat-cua-vnpay", "https://sandbox.vnpayment.vn")
MOMO = momo.Account("MOMOTHU", "khoa-truy-cap", "bi-mat-cua-momo", "https://test-payment.momo.vn")
ZALOPAY = zalopay.Account("2553", "khoa-mot", "khoa-hai", "https://sb-openapi.zalopay.vn")
NOW = datetime(2026, 8, 1, 2, 0, tzinfo=UTC)


def _hmac(algorithm, key, text):
    return hmac.new(key.encode(), text.encode(), algorithm).hexdigest()


def vnpay_callback(reference="7-ab", amount_vnd=105_000, *, response="00", status="00", transaction="14226112", **more):
    """Sign a callback as VNPAY's documentation tells it, by other means than the program's."""
    fields = {
        "vnp_TmnCode": VNPAY.tmn_code, "vnp_Amount": str(amount_vnd * 100), "vnp_BankCode": "NCB",
        "vnp_BankTranNo": "VNP14226112", "vnp_CardType": "ATM", "vnp_PayDate": "20260801090312",
        "vnp_OrderInfo": "Thanh toan tien nuoc DN000001", "vnp_TransactionNo": transaction,
        "vnp_ResponseCode": response, "vnp_TransactionStatus": status, "vnp_TxnRef": reference,
    } | more  # fmt: skip
    text = ""
    for key in sorted(fields):
        if fields[key]:
            text += f"{'&' if text else ''}{quote_plus(key)}={quote_plus(fields[key])}"
    return fields | {"vnp_SecureHashType": "HMACSHA512", "vnp_SecureHash": _hmac("sha512", VNPAY.secret, text)}


def momo_callback(reference="7-ab", amount_vnd=105_000, *, code=0, transaction=4088878653, **more):
    said = {
        "partnerCode": MOMO.partner_code, "orderId": reference, "requestId": reference, "amount": amount_vnd,
        "orderInfo": "Thanh toán tiền nước", "orderType": "momo_wallet", "transId": transaction, "resultCode": code,
        "message": "Thành công.", "payType": "qr", "responseTime": 1785549792000, "extraData": "",
    } | more  # fmt: skip
    text = (
        f"accessKey={MOMO.access_key}&amount={said['amount']}&extraData={said['extraData']}&message={said['message']}"
        f"&orderId={said['orderId']}&orderInfo={said['orderInfo']}&orderType={said['orderType']}"
        f"&partnerCode={said['partnerCode']}&payType={said['payType']}&requestId={said['requestId']}"
        f"&responseTime={said['responseTime']}&resultCode={said['resultCode']}&transId={said['transId']}"
    )
    return json.dumps(said | {"signature": _hmac("sha256", MOMO.secret, text)}, ensure_ascii=False).encode()


def zalopay_callback(reference="260801_7ab", amount_vnd=105_000, *, transaction=260801000000123, **more):
    inside = {
        "app_id": int(ZALOPAY.app_id), "app_trans_id": reference, "app_time": 1785549780000, "app_user": "machnuoc",
        "amount": amount_vnd, "embed_data": "{}", "item": "[]", "zp_trans_id": transaction,
        "server_time": 1785549792000, "channel": 38,
    } | more  # fmt: skip
    data = json.dumps(inside)
    return json.dumps({"data": data, "mac": _hmac("sha256", ZALOPAY.key2, data), "type": 1}).encode()


# --- VNPAY ----------------------------------------------------------------------------------------------------------


def test_the_address_to_pay_at_is_signed_and_tells_a_hundredfold_amount():
    address = vnpay.payment_url(
        VNPAY, reference="7-ab", amount_vnd=105_021, info="Thanh toan tien nuoc", return_url="https://nuoc.vn/tro-lai/",
        client_ip="10.0.0.1", now=NOW, expires_at=NOW,
    )  # fmt: skip

    query = urlsplit(address).query
    fields = dict(parse_qsl(query))
    signed = query.partition("&vnp_SecureHash=")[0]
    assert address.startswith("https://sandbox.vnpayment.vn/paymentv2/vpcpay.html?")
    assert fields["vnp_Amount"] == "10502100"
    assert fields["vnp_CreateDate"] == "20260801090000"  # 9 o'clock in Viet Nam
    assert "vnp_OrderInfo=Thanh+toan+tien+nuoc" in signed
    assert fields["vnp_SecureHash"] == _hmac("sha512", VNPAY.secret, signed)
    assert [part.partition("=")[0] for part in signed.split("&")] == sorted(set(fields) - {"vnp_SecureHash"})


def test_a_true_callback_of_vnpay_is_read():
    told = vnpay.read_callback(VNPAY, vnpay_callback())

    assert (told.reference, told.amount_vnd, told.transaction) == ("7-ab", 105_000, "14226112")
    assert told.outcome is Outcome.PAID
    assert told.paid_at_ms == 1785549792000


@pytest.mark.parametrize(
    ("response", "status", "outcome"),
    [("24", "02", Outcome.FAILED), ("00", "02", Outcome.FAILED), ("07", "07", Outcome.PENDING),
     ("00", "01", Outcome.PENDING), ("99", "", Outcome.FAILED)],
)  # fmt: skip
def test_only_both_codes_nought_are_a_payment(response, status, outcome):
    assert vnpay.read_callback(VNPAY, vnpay_callback(response=response, status=status)).outcome is outcome


@given(st.sampled_from(sorted(vnpay_callback())), st.text(min_size=1, max_size=6))
def test_no_field_of_a_callback_can_be_changed(name, text):
    said = vnpay_callback()
    changed = said | {name: text}

    if name == "vnp_SecureHashType" or (
        vnpay.signed_text(changed) == vnpay.signed_text(said) and name != "vnp_SecureHash"
    ):
        assert vnpay.read_callback(VNPAY, changed)
    else:
        with pytest.raises((WrongSignature, Unreadable)):
            vnpay.read_callback(VNPAY, changed)


def test_a_callback_of_another_merchant_is_forged_even_if_it_is_signed():
    with pytest.raises(WrongSignature):
        vnpay.read_callback(VNPAY, vnpay_callback(vnp_TmnCode="KHAC0001"))


def test_a_fraction_of_a_dong_is_no_amount():
    assert vnpay.read_callback(VNPAY, vnpay_callback(vnp_Amount="10500050")).amount_vnd == -1


@pytest.mark.parametrize(
    ("refusal", "code"),
    [(None, "00"), (Refusal.UNKNOWN_ORDER, "01"), (Refusal.REPEATED, "02"), (Refusal.WRONG_AMOUNT, "04"),
     (Refusal.FORGED, "97"), (Refusal.OUR_FAULT, "99"), (Refusal.MALFORMED, "99")],
)  # fmt: skip
def test_vnpay_is_answered_by_its_own_codes(refusal, code):
    reply = vnpay.reply(refusal)

    assert reply.status == 200
    assert json.loads(reply.body)["RspCode"] == code


def test_the_question_to_vnpay_is_signed_in_its_order_and_its_answer_read():
    asked = json.loads(vnpay.question(VNPAY, request_id="q1", reference="7-ab", created_at=NOW, now=NOW))
    text = "|".join([
        "q1", "2.1.0", "querydr", "TMN00001", "7-ab", "20260801090000", "20260801090000", "127.0.0.1",
        "Hoi giao dich 7-ab",
    ])  # fmt: skip
    answer = {
        "vnp_ResponseId": "r1", "vnp_Command": "querydr", "vnp_ResponseCode": "00", "vnp_Message": "OK",
        "vnp_TmnCode": "TMN00001", "vnp_TxnRef": "7-ab", "vnp_Amount": "10500000", "vnp_BankCode": "NCB",
        "vnp_PayDate": "20260801090312", "vnp_TransactionNo": "14226112", "vnp_TransactionType": "01",
        "vnp_TransactionStatus": "00", "vnp_OrderInfo": "x",
    }  # fmt: skip
    signed = "|".join([*answer.values(), "", ""])
    body = json.dumps(answer | {"vnp_SecureHash": _hmac("sha512", VNPAY.secret, signed)}).encode()

    assert asked["vnp_SecureHash"] == _hmac("sha512", VNPAY.secret, text)
    told = vnpay.read_answer(VNPAY, body)
    assert told is not None and told.outcome is Outcome.PAID and told.amount_vnd == 105_000
    with pytest.raises(WrongSignature):
        vnpay.read_answer(VNPAY, body.replace(b"10500000", b"10500100"))
    assert vnpay.read_answer(VNPAY, b'{"vnp_ResponseCode": "91"}') is None


# --- MoMo -----------------------------------------------------------------------------------------------------------


def test_an_order_at_momo_is_signed_over_its_raw_text():
    said = json.loads(momo.order(
        MOMO, reference="7-ab", amount_vnd=105_000, info="Tiền nước", return_url="https://nuoc.vn/r/",
        callback_url="https://nuoc.vn/c/",
    ))  # fmt: skip
    text = (
        "accessKey=khoa-truy-cap&amount=105000&extraData=&ipnUrl=https://nuoc.vn/c/&orderId=7-ab&orderInfo=Tiền nước"
        "&partnerCode=MOMOTHU&redirectUrl=https://nuoc.vn/r/&requestId=7-ab&requestType=captureWallet"
    )

    assert said["signature"] == _hmac("sha256", MOMO.secret, text)


def test_a_true_callback_of_momo_is_read_and_a_changed_one_refused():
    told = momo.read_callback(MOMO, momo_callback())

    assert (told.reference, told.amount_vnd, told.transaction) == ("7-ab", 105_000, "4088878653")
    assert told.outcome is Outcome.PAID
    assert momo.read_callback(MOMO, momo_callback(code=1006)).outcome is Outcome.FAILED
    assert momo.read_callback(MOMO, momo_callback(code=9000)).outcome is Outcome.PENDING
    with pytest.raises(WrongSignature):
        momo.read_callback(MOMO, momo_callback().replace(b"105000", b"105001"))


def test_momo_is_answered_204_for_what_was_taken_before_too():
    assert momo.reply(None).status == momo.reply(Refusal.REPEATED).status == 204
    assert momo.reply(Refusal.OUR_FAULT).status == 503
    assert momo.reply(Refusal.FORGED).status == 400


# --- ZaloPay --------------------------------------------------------------------------------------------------------


def test_an_order_at_zalopay_is_signed_and_named_by_the_day_in_viet_nam():
    reference = zalopay.make_reference("7ab", datetime(2026, 7, 31, 18, 0, tzinfo=UTC))
    fields = dict(parse_qsl(
        zalopay.order(ZALOPAY, reference=reference, amount_vnd=105_000, info="Tiền nước", return_url="https://n.vn/r/",
                      callback_url="https://n.vn/c/", now=NOW).decode()
    ))  # fmt: skip
    text = f"2553|260801_7ab|machnuoc|105000|{fields['app_time']}|{fields['embed_data']}|[]"

    assert fields["mac"] == _hmac("sha256", ZALOPAY.key1, text)


def test_the_mac_of_zalopay_is_over_the_data_as_received():
    told = zalopay.read_callback(ZALOPAY, zalopay_callback())

    assert (told.reference, told.amount_vnd, told.transaction) == ("260801_7ab", 105_000, "260801000000123")
    with pytest.raises(WrongSignature):
        zalopay.read_callback(ZALOPAY, zalopay_callback().replace(b"105000", b"105001"))
    with pytest.raises(WrongSignature):  # signed with the key of what we ask
        data = json.loads(zalopay_callback())["data"]
        mac = hmac.new(b"khoa-mot", data.encode(), hashlib.sha256).hexdigest()
        zalopay.read_callback(ZALOPAY, json.dumps({"data": data, "mac": mac}).encode())


def test_zalopay_is_answered_by_its_own_codes():
    codes = {refusal: json.loads(zalopay.reply(refusal).body)["return_code"] for refusal in (None, *Refusal)}

    assert codes[None] == 1 and codes[Refusal.REPEATED] == 2 and codes[Refusal.FORGED] == -1
    assert codes[Refusal.OUR_FAULT] == 0


# --- all ------------------------------------------------------------------------------------------------------------


@given(st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
            st.sampled_from(["data", "mac", "signature", "amount", "orderId", "resultCode", "partnerCode"]), inner,
            max_size=5,
        ),
    ).map(lambda said: json.dumps(said).encode()),
))  # fmt: skip
def test_whatever_comes_is_read_or_refused_and_nothing_breaks(body):
    for read, account in ((momo.read_callback, MOMO), (zalopay.read_callback, ZALOPAY)):
        with pytest.raises((Unreadable, WrongSignature)):
            read(account, body)  # type: ignore[operator]


@given(st.dictionaries(st.sampled_from(sorted(vnpay_callback())), st.text(max_size=12)))
def test_whatever_comes_by_address_is_refused(fields):
    with pytest.raises((Unreadable, WrongSignature)):
        vnpay.read_callback(VNPAY, fields)


@pytest.mark.parametrize("body", [
    b'{"signature": "ab", "message": "\\ud800"}', b'{"signature": "\\ud800"}', b'{"data": "\\udfff", "mac": "ab"}',
    b'{"data": "{}", "mac": "\\ud800"}',
])  # fmt: skip
def test_half_a_character_is_refused_like_anything_else(body):
    for read, account in ((momo.read_callback, MOMO), (zalopay.read_callback, ZALOPAY)):
        with pytest.raises((Unreadable, WrongSignature)):
            read(account, body)  # type: ignore[operator]


def test_a_payment_without_the_number_of_its_transaction_is_not_taken():
    # The second of them would look like the first come again.
    with pytest.raises(Unreadable, match="without a number"):
        momo.read_callback(MOMO, momo_callback(transaction=0))
    with pytest.raises(Unreadable, match="without a number"):
        zalopay.read_callback(ZALOPAY, zalopay_callback(transaction=0))
    with pytest.raises(Unreadable, match="without a number"):
        zalopay.read_answer(ZALOPAY, b'{"return_code": 1, "amount": 105000}', reference="260801_7ab")


def test_signatures_are_compared_whole_and_in_any_case():
    assert gateways.is_signature("ab12", "AB12")
    assert not gateways.is_signature("ab12", "ab1")
    assert not gateways.is_signature("ab12", None)
    assert not gateways.is_signature("ab12", "ab1é")
