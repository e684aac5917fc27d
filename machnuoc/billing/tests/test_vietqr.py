"""Vectors: NAPAS, Tài liệu quy định định dạng mã VietQR 1.0 (09/2021), and github.com/subiz/vietqr (MIT)."""

import dataclasses

import pytest
import zxingcpp
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from machnuoc.billing import qr_images, reference, vietqr
from machnuoc.billing.vietqr import Transfer

DYNAMIC = (
    "00020101021238570010A00000072701270006970403011300110123456780208QRIBFTTA530370454061800005802VN"
    "62340107NPS68690819thanh toan don hang63042E2E"
)
CARD = "00020101021138600010A00000072701300006970403011697040311012345670208QRIBFTTC53037045802VN63044F52"
GIVEN_TO_FLOODED = (
    "00020101021238570010A00000072701270006970415011300110019324180208QRIBFTTA530370454061200005802VN"
    "62170813ung ho lu lut6304C15C"
)
MISPRINT = "00020101021138570010A00000072701270006970403011200110123456780208QRIBFTTA53037045802VN6304F4E5"
CORRECTED = "00020101021138570010A00000072701270006970403011300110123456780208QRIBFTTA53037045802VN63049E6F"

VECTORS = [
    (
        DYNAMIC,
        Transfer("970403", "0011012345678", 180_000, bill_number="NPS6869", purpose="thanh toan don hang"),
    ),
    (CARD, Transfer("970403", "9704031101234567", is_card=True, is_dynamic=False)),
    (GIVEN_TO_FLOODED, Transfer("970415", "0011001932418", 120_000, purpose="ung ho lu lut")),
    (CORRECTED, Transfer("970403", "0011012345678", is_dynamic=False)),
]

ascii_text = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=25)
transfers = st.builds(
    Transfer,
    bank_bin=st.from_regex("[0-9]{6}", fullmatch=True),
    account=st.from_regex("[0-9A-Za-z]{1,19}", fullmatch=True),
    amount_vnd=st.none() | st.integers(1, vietqr.AMOUNT_BELOW_VND - 1),
    bill_number=ascii_text,
    purpose=ascii_text,
    name=ascii_text,
    city=ascii_text.map(lambda text: text[:15]),
    is_card=st.booleans(),
    is_dynamic=st.booleans(),
)


@pytest.mark.parametrize(("payload", "transfer"), VECTORS)
def test_a_published_code_is_read_and_written_as_printed(payload, transfer):
    assert vietqr.decode(payload) == transfer
    assert vietqr.encode(transfer) == payload


def test_the_misprint_of_the_specification_has_a_right_checksum_and_is_refused_all_the_same():
    assert f"{vietqr.crc16(MISPRINT[:-4].encode()):04X}" == MISPRINT[-4:]

    with pytest.raises(vietqr.NotVietQR, match=r"trường 38\.01"):
        vietqr.decode(MISPRINT)


@given(transfers)
def test_what_is_written_is_read_back(transfer):
    assert vietqr.decode(vietqr.encode(transfer)) == transfer


@given(transfers, st.data())
def test_one_changed_character_is_noticed(transfer, data):
    payload = vietqr.encode(transfer)
    at = data.draw(st.integers(0, len(payload) - 1))
    other = data.draw(st.characters(min_codepoint=32, max_codepoint=126).filter(lambda char: char != payload[at]))

    with pytest.raises(vietqr.NotVietQR):
        vietqr.decode(payload[:at] + other + payload[at + 1 :])


@given(st.text() | st.from_regex(r"000201010212(38[0-9]{2}[0-9A-Z]*)?.*6304[0-9A-F]{4}"))
def test_any_text_is_read_or_refused(text):
    try:
        vietqr.decode(text)
    except vietqr.NotVietQR as reason:
        assert str(reason)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("01021200020138570010A00000072701270006970403011300110123456780208QRIBFTTA53037045802VN", "phiên bản"),
        (CORRECTED[:-8].replace("5303704", "5303840"), "Trường 53"),
        (CORRECTED[:-8].replace("5802VN", "5802US"), "Trường 58"),
        (CORRECTED[:-8].replace("A000000727", "A000000001"), "NAPAS"),
        (CORRECTED[:-8].replace("5303704", "53037045303704"), "lặp lại"),
        (CORRECTED[:-8] + "5406180.50", "không phải số đồng chẵn"),
        (CORRECTED[:-8] + "5409500000000", "vượt mức"),
        (CORRECTED[:-8] + "54010", "lớn hơn 0"),
        (CORRECTED[:-8] + "5926" + "A" * 26, "Trường 59"),
        (CORRECTED[:-8].replace("010211", "010213"), "Trường 01"),
    ],
)
def test_a_code_with_a_right_checksum_and_a_wrong_field_is_refused(body, why):
    payload = f"{body}6304"

    with pytest.raises(vietqr.NotVietQR, match=why):
        vietqr.decode(f"{payload}{vietqr.crc16(payload.encode()):04X}")


def test_the_code_of_a_bill_carries_its_reference_as_number_and_as_message():
    transfer = vietqr.for_bill(
        bank_bin="970415",
        account="0011001932418",
        account_name="Trung tâm Nước sạch và Vệ sinh môi trường nông thôn Quảng Ngãi",
        amount_vnd=78_375,
        bill_id=4_711,
    )

    read = vietqr.decode(vietqr.encode(transfer))
    assert read.bill_number == read.purpose == reference.make(4_711)
    assert reference.find(read.purpose) == [4_711]
    assert read.name == "Trung tam Nuoc sach va Ve"
    assert read.amount_vnd == 78_375
    assert read.is_dynamic


@pytest.mark.parametrize("amount_vnd", [vietqr.AMOUNT_BELOW_VND, 10**12])
def test_an_amount_beyond_one_transfer_has_no_code(amount_vnd):
    with pytest.raises(vietqr.AmountTooLarge, match="vượt mức một lần chuyển nhanh"):
        vietqr.for_bill(bank_bin="970415", account="0011", account_name="", amount_vnd=amount_vnd, bill_id=1)


def test_the_largest_amount_has_a_code():
    transfer = vietqr.for_bill(bank_bin="970415", account="0011", account_name="", amount_vnd=499_999_999, bill_id=1)

    assert vietqr.decode(vietqr.encode(transfer)).amount_vnd == 499_999_999


@pytest.mark.parametrize(
    "change",
    [
        {"bank_bin": "97041"},
        {"bank_bin": "٩٧٠٤١٥"},
        {"account": "0011 0019"},
        {"account": "1" * 20},
        {"amount_vnd": 0},
        {"amount_vnd": -1},
        {"name": "Nước sạch"},
        {"name": "A" * 26},
        {"purpose": "A" * 26},
    ],
)
def test_a_transfer_that_no_bank_would_take_is_not_written(change):
    good = Transfer("970415", "0011001932418", 1_000)

    with pytest.raises(vietqr.NotVietQR):
        vietqr.encode(dataclasses.replace(good, **change))


@pytest.mark.parametrize(
    ("text", "limit", "plain"),
    [
        ("Đường Nguyễn Huệ", 25, "Duong Nguyen Hue"),
        ("ĐẮK LẮK – Buôn Ma Thuột", 25, "DAK LAK Buon Ma Thuot"),
        ("Hoà\u0300", 25, "Hoa"),
        ("Ð\u1ee9c", 25, "Duc"),
        ("  a  \t b ", 25, "a b"),
        ("abcde fghij", 6, "abcde"),
        ("💧", 25, ""),
    ],
)
def test_names_lose_their_diacritics(text, limit, plain):
    assert vietqr.to_ascii(text, limit) == plain


@given(st.text(), st.integers(1, 25))
def test_any_name_becomes_short_plain_text(text, limit):
    plain = vietqr.to_ascii(text, limit)

    assert len(plain) <= limit
    assert plain.isascii()
    assert vietqr.to_ascii(plain, limit) == plain


@pytest.mark.parametrize("payload", [payload for payload, _ in VECTORS])
def test_a_decoder_of_others_reads_our_picture(payload, tmp_path):
    path = tmp_path / "code.png"
    path.write_bytes(qr_images.as_png(payload, scale=4))

    with Image.open(path) as picture:
        (read,) = zxingcpp.read_barcodes(picture.convert("L"))

    assert read.text == payload
    assert read.format == zxingcpp.BarcodeFormat.QRCode


def test_the_picture_for_pages_brings_no_style_of_its_own():
    svg = qr_images.as_svg(DYNAMIC, title="VietQR")

    assert svg.startswith("<svg")
    assert "style" not in svg
    assert "<title>VietQR</title>" in svg
