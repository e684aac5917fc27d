"""VietQR: the text that a banking application scans to fill in a transfer. EMVCo TLV with NAPAS' account template.

Source: NAPAS, Tài liệu quy định định dạng mã VietQR, version 1.0 (09/2021). Both the checksum and every inner length
are checked on reading: a misprint of the specification itself passes the first and fails the second.
"""

import re
import unicodedata
from dataclasses import dataclass

from machnuoc.billing import reference

NAPAS_AID = "A000000727"
TO_ACCOUNT = "QRIBFTTA"
TO_CARD = "QRIBFTTC"
CURRENCY_VND = "704"
AMOUNT_BELOW_VND = 500_000_000  # of one NAPAS247 transfer
NAME_MAX = 25
CITY_MAX = 15
_FIELD_MAX = 99
_TEXT_MAX = 25  # of each field of 62

_D_WITH_STROKE = str.maketrans("đĐðÐ", "dDdD")
_LENGTHS = {"52": 4, "53": 3, "54": 13, "55": 2, "56": 13, "57": 5, "58": 2, "59": NAME_MAX, "60": CITY_MAX, "61": 10}


class NotVietQR(ValueError):
    """A text that is no VietQR code, or a transfer that cannot be one; the text says which part and why."""


class AmountTooLarge(NotVietQR):
    """The amount is not below what one NAPAS247 transfer carries."""


@dataclass(frozen=True)
class Transfer:
    """What a code says. bank_bin: 6 digits; account: account or card number, at most 19 letters and digits.

    amount_vnd: whole đồng, None where the payer types it. is_dynamic: for one payment. Texts are ASCII.
    """

    bank_bin: str
    account: str
    amount_vnd: int | None = None
    bill_number: str = ""
    purpose: str = ""
    name: str = ""
    city: str = ""
    is_card: bool = False
    is_dynamic: bool = True


def to_ascii(text: str, limit: int) -> str:
    """Return the text without diacritics and other signs that banks differ on, cut to so many characters.

    >>> to_ascii("Trung tâm Nước sạch và Vệ sinh môi trường nông thôn", 25)
    'Trung tam Nuoc sach va Ve'
    """
    letters = unicodedata.normalize("NFKD", text.translate(_D_WITH_STROKE))
    kept = "".join(char if " " <= char <= "~" else "" if unicodedata.combining(char) else " " for char in letters)
    return " ".join(kept.split())[:limit].rstrip()


def for_bill(
    *, bank_bin: str, account: str, account_name: str, amount_vnd: int, bill_id: int, city: str = ""
) -> Transfer:
    """Return the transfer that pays so much of a bill; its reference stands as bill number and as message.

    Raises NotVietQR if nothing is owed or the account is not one, AmountTooLarge.
    """
    named = reference.make(bill_id)
    made = Transfer(
        bank_bin, account, amount_vnd, named, named, to_ascii(account_name, NAME_MAX), to_ascii(city, CITY_MAX)
    )
    _check(made)
    return made


# --- writing --------------------------------------------------------------------------------------------------------


def encode(transfer: Transfer) -> str:
    """Return the text of the code. Raises NotVietQR, AmountTooLarge.

    >>> encode(Transfer("970415", "0011001932418", 120_000, purpose="ung ho lu lut"))[-25:]
    '0813ung ho lu lut6304C15C'
    """
    _check(transfer)
    service = TO_CARD if transfer.is_card else TO_ACCOUNT
    beneficiary = _field("00", transfer.bank_bin) + _field("01", transfer.account)
    additional = "".join(
        _field(number, text) for number, text in (("01", transfer.bill_number), ("08", transfer.purpose)) if text
    )
    parts = [
        ("00", "01"),
        ("01", "12" if transfer.is_dynamic else "11"),
        ("38", _field("00", NAPAS_AID) + _field("01", beneficiary) + _field("02", service)),
        ("53", CURRENCY_VND),
        ("54", "" if transfer.amount_vnd is None else str(transfer.amount_vnd)),
        ("58", "VN"),
        ("59", transfer.name),
        ("60", transfer.city),
        ("62", additional),
    ]
    body = "".join(_field(number, text) for number, text in parts if text) + "6304"
    return f"{body}{crc16(body.encode('ascii')):04X}"


def crc16(content: bytes) -> int:
    """Return CRC16-CCITT-FALSE: polynomial 0x1021, begun with 0xFFFF, not reflected.

    >>> hex(crc16(b"123456789"))
    '0x29b1'
    """
    crc = 0xFFFF
    for byte in content:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def _field(number: str, text: str) -> str:
    return f"{number}{len(text):02d}{text}"


def _check(transfer: Transfer) -> None:
    if not re.fullmatch("[0-9]{6}", transfer.bank_bin, re.ASCII):
        raise NotVietQR(f"Mã ngân hàng «{transfer.bank_bin}» không phải 6 chữ số (BIN do NAPAS cấp).")
    if not re.fullmatch("[0-9A-Za-z]{1,19}", transfer.account, re.ASCII):
        raise NotVietQR(f"Số tài khoản «{transfer.account}» phải gồm 1–19 chữ số, chữ cái không dấu.")
    if transfer.amount_vnd is not None:
        if transfer.amount_vnd <= 0:
            raise NotVietQR(f"Số tiền {transfer.amount_vnd} đồng không chuyển khoản được: phải lớn hơn 0.")
        if transfer.amount_vnd >= AMOUNT_BELOW_VND:
            raise AmountTooLarge(
                f"Số tiền {transfer.amount_vnd} đồng vượt mức một lần chuyển nhanh (dưới {AMOUNT_BELOW_VND} đồng). "
                "Chuyển khoản thường hoặc chia nhiều lần."
            )
    limits = (
        ("Tên tài khoản", transfer.name, NAME_MAX),
        ("Nơi nhận", transfer.city, CITY_MAX),
        ("Số hóa đơn", transfer.bill_number, _TEXT_MAX),
        ("Nội dung chuyển khoản", transfer.purpose, _TEXT_MAX),
    )
    for label, text, limit in limits:
        if len(text) > limit or not all(" " <= char <= "~" for char in text):
            raise NotVietQR(f"{label} «{text[:40]}» phải là chữ không dấu, tối đa {limit} ký tự.")


# --- reading --------------------------------------------------------------------------------------------------------


def decode(payload: str) -> Transfer:
    """Return what a code says. Raises NotVietQR, also where the checksum is right but an inner length is not."""
    fields = _split(payload, "mã")
    numbers = list(fields)
    if numbers[:1] != ["00"] or fields["00"] != "01":
        raise NotVietQR("Mã không bắt đầu bằng phiên bản 01 của EMVCo.")
    if numbers[-1] != "63" or len(fields["63"]) != 4:
        raise NotVietQR("Mã không kết thúc bằng 4 ký tự kiểm tra (trường 63).")
    expected = f"{crc16(payload[:-4].encode('utf-8', 'surrogatepass')):04X}"
    if fields["63"] != expected:
        raise NotVietQR(f"Ký tự kiểm tra là {fields['63']}, đúng ra phải là {expected}: mã bị sửa hoặc đọc sai.")
    for number, most in _LENGTHS.items():
        if len(fields.get(number, "")) > most:
            raise NotVietQR(f"Trường {number} dài quá {most} ký tự.")
    for number, wanted in (("53", CURRENCY_VND), ("58", "VN")):
        if fields.get(number) != wanted:
            raise NotVietQR(f"Trường {number} phải là {wanted}, không phải «{fields.get(number, '')}».")
    if fields.get("01") not in {"11", "12"}:
        raise NotVietQR("Trường 01 phải là 11 (dùng nhiều lần) hoặc 12 (một lần).")
    account = _split(_get(fields, "38", "mã"), "trường 38")
    if account.get("00") != NAPAS_AID:
        raise NotVietQR("Trường 38 không phải tài khoản nhận qua NAPAS.")
    service = account.get("02", TO_ACCOUNT)
    if service not in {TO_ACCOUNT, TO_CARD}:
        raise NotVietQR(f"Không hiểu dịch vụ «{service}» ở trường 38.02.")
    beneficiary = _split(_get(account, "01", "trường 38"), "trường 38.01")
    additional = _split(fields["62"], "trường 62") if "62" in fields else {}
    for number, text in additional.items():
        if len(text) > _TEXT_MAX:
            raise NotVietQR(f"Trường 62.{number} dài quá {_TEXT_MAX} ký tự.")
    made = Transfer(
        bank_bin=_get(beneficiary, "00", "trường 38.01"),
        account=_get(beneficiary, "01", "trường 38.01"),
        amount_vnd=_read_amount(fields["54"]) if "54" in fields else None,
        bill_number=additional.get("01", ""),
        purpose=additional.get("08", ""),
        name=fields.get("59", ""),
        city=fields.get("60", ""),
        is_card=service == TO_CARD,
        is_dynamic=fields["01"] == "12",
    )
    _check(made)
    return made


def _split(text: str, where: str) -> dict[str, str]:
    """Return the fields of a text in their order. Raises NotVietQR unless they fill it exactly, each there once."""
    fields: dict[str, str] = {}
    at = 0
    while at < len(text):
        head = text[at : at + 4]
        if not re.fullmatch("[0-9]{4}", head, re.ASCII):
            raise NotVietQR(f"Không đọc được {where} từ ký tự thứ {at + 1}: cần 2 chữ số mã trường và 2 chữ số độ dài.")
        number, length = head[:2], int(head[2:])
        value = text[at + 4 : at + 4 + length]
        if not length or len(value) < length:
            raise NotVietQR(f"Trường {number} của {where} ghi dài {length} ký tự nhưng có {len(value)}.")
        if number in fields:
            raise NotVietQR(f"Trường {number} của {where} lặp lại.")
        fields[number] = value
        at += 4 + length
    return fields


def _get(fields: dict[str, str], number: str, where: str) -> str:
    try:
        return fields[number]
    except KeyError:
        raise NotVietQR(f"Thiếu trường {number} của {where}.") from None


def _read_amount(text: str) -> int:
    if not re.fullmatch("[0-9]{1,13}", text, re.ASCII):
        raise NotVietQR(f"Số tiền «{text}» không phải số đồng chẵn.")
    return int(text)
