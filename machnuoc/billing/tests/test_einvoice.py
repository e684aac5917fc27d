from datetime import date, timedelta
from decimal import Decimal

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from machnuoc.billing import einvoice_certificate, einvoice_operations, einvoice_provider, einvoice_xml
from machnuoc.billing.models import Bill, EInvoice, EInvoiceDay, Tariff
from machnuoc.billing.tests.einvoice_stand_in import KEY, StandIn, running
from machnuoc.billing.tests.fixtures_documents import make_bill
from machnuoc.billing.tests.world import JULY, JUNE, NOW
from machnuoc.core import files, outgoing
from machnuoc.core.models import AuditEntry, Job

pytestmark = pytest.mark.django_db


@pytest.fixture
def bill(world) -> Bill:
    return make_bill(world, world.connection({JUNE: 100, JULY: 112}))


@pytest.fixture
def provider(settings):
    with running() as stand_in:
        settings.EINVOICE_URL, settings.EINVOICE_KEY = stand_in.url, KEY
        yield stand_in


def signed_xml(bill: Bill) -> bytes:
    einvoice_operations.sign_bills([bill.pk], NOW)
    with files.open_file(EInvoice.objects.get(bill=bill).xml) as file:
        return file.read()


# --- the file -------------------------------------------------------------------------------------------------------


def test_a_bill_becomes_an_invoice_of_the_given_structure(bill):
    root = etree.fromstring(signed_xml(bill))

    assert root.tag == "HDon"
    assert [child.tag for child in root] == ["DLHDon", "DSCKS"]
    assert [child.tag for child in root.find("DLHDon")] == ["TTChung", "NDHDon", "TTKhac"]
    general = {child.tag: child.text for child in root.find("DLHDon/TTChung")}
    assert general == {
        "PBan": "2.0.0", "THDon": "Hóa đơn giá trị gia tăng", "KHMSHDon": "1", "KHHDon": "K26TAA", "SHDon": "1",
        "NLap": "2026-08-01", "DVTTe": "VND", "TGia": "1", "HTTToan": "TM/CK",
    }  # fmt: skip
    lines = root.findall("DLHDon/NDHDon/DSHHDVu/HHDVu")
    assert [[line.findtext(tag) for tag in ("STT", "SLuong", "DGia", "ThTien", "TSuat")] for line in lines] == [
        ["1", "10", "6000", "60000", "5%"],
        ["2", "2", "7500", "15000", "5%"],
    ]
    totals = root.find("DLHDon/NDHDon/TToan")
    assert [child.tag for child in totals] == ["THTTLTSuat", "TgTCThue", "TgTThue", "DSLPhi", "TgTTTBSo", "TgTTTBChu"]
    assert totals.findtext("TgTTTBSo") == "86250"
    assert totals.findtext("TgTTTBChu") == "Tám mươi sáu nghìn hai trăm năm mươi đồng"
    assert totals.findtext("DSLPhi/LPhi/TPhi") == "7500"


def test_what_was_signed_is_read_back_with_meter_readings_and_period(bill):
    read = einvoice_xml.read(signed_xml(bill))

    assert (read.form, read.series, read.number, read.issued_date) == ("1", "K26TAA", 1, date(2026, 8, 1))
    assert (read.net_vnd, read.vat_vnd, read.fee_vnd, read.total_vnd) == (75_000, 3_750, 7_500, 86_250)
    assert read.extras["Mã khách hàng"] == "KH000001"
    assert read.extras["Số đồng hồ"] == "S00000001"
    assert (read.extras["Chỉ số cũ"], read.extras["Chỉ số mới"]) == ("100", "112")
    assert read.extras["Kỳ hóa đơn"] == "07/2026"
    assert read.signed_at == "2026-08-01T09:00:00"
    assert einvoice_certificate.TEST_NAME in read.signer
    assert read.related is None


def test_prices_that_include_vat_are_written_without_it_and_add_up(world):
    Tariff.objects.filter(pk=world.tariff.pk).update(includes_vat=True)
    amounts_vnd = {"net_vnd": 71_429, "vat_vnd": 3_571, "fee_vnd": 7_143, "total_vnd": 82_143}
    bill = make_bill(world, world.connection({JUNE: 100, JULY: 112}), **amounts_vnd)

    root = etree.fromstring(signed_xml(bill))

    amounts = [int(text) for text in root.xpath("//HHDVu/ThTien/text()")]
    assert amounts == [57_143, 14_286]
    assert root.findtext(".//HHDVu/DGia") == "5714.2857"


@given(st.lists(st.integers(0, 10**9), max_size=12), st.integers(0, 10**10))
def test_shares_of_a_net_amount_add_up_to_it(amounts, net_vnd):
    shares = einvoice_xml.net_shares(amounts, net_vnd)

    assert sum(shares) == (net_vnd if sum(amounts) else 0)
    assert all(abs(share * sum(amounts) - amount * net_vnd) <= sum(amounts) * 1 for share, amount in
               zip(shares, amounts, strict=True))  # fmt: skip


@given(st.decimals(-(10**9), 10**9, allow_nan=False, places=4))
def test_numbers_are_written_plainly(number):
    text = einvoice_xml.plain(number)

    assert Decimal(text) == number
    assert "E" not in text


@pytest.mark.parametrize(
    ("kind", "nature"), [(Bill.Kind.ADJUSTMENT_DOWN, "2"), (Bill.Kind.ADJUSTMENT_UP, "2"), (Bill.Kind.REPLACEMENT, "1")]
)
def test_a_correction_names_the_invoice_it_corrects(world, bill, kind, nature):
    if kind == Bill.Kind.REPLACEMENT:
        Bill.objects.filter(pk=bill.pk).update(state=Bill.State.REPLACED)
    newer = make_bill(world, bill.connection, volumes_l=(2_000,), kind=kind, corrects=bill, reason="đọc nhầm chỉ số")

    xml = signed_xml(newer)

    assert einvoice_xml.read(xml).related == (nature, "1", "K26TAA", 1)
    related = etree.fromstring(xml).find("DLHDon/TTChung/TTHDLQuan")
    assert related.findtext("GChu") == "đọc nhầm chỉ số"
    assert related.findtext("NLHDCLQuan") == "2026-08-01"
    sign = -1 if kind == Bill.Kind.ADJUSTMENT_DOWN else 1
    assert einvoice_xml.read(xml).total_vnd == sign * 13_800


def test_markup_and_control_characters_in_names_do_no_harm(world, bill):
    bill.customer.name = 'Nguyễn <b>&amp; "Văn" ]]> \x07\x0b A'
    bill.customer.save()

    assert einvoice_xml.read(signed_xml(bill)).buyer_name == 'Nguyễn <b>&amp; "Văn" ]]>  A'


# --- what does not hold -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<TgTTTBSo>86250", b"<TgTTTBSo>16250"),
        (b"<SHDon>1", b"<SHDon>2"),
        (b"T\xc3\xa1m m\xc6\xb0\xc6\xa1i", b"M\xc6\xb0\xe1\xbb\x9di"),
        (b"2026-08-01T09:00:00", b"2027-08-01T09:00:00"),
        (b"<TTKhac>", b"<TTKhac><TTin><TTruong>x</TTruong></TTin>"),
    ],
)
def test_any_change_after_signing_is_noticed(bill, old, new):
    xml = signed_xml(bill)
    assert xml.count(old) == 1

    with pytest.raises(einvoice_xml.BadInvoice, match="Chữ ký số không đúng"):
        einvoice_xml.read(xml.replace(old, new))


def test_a_second_invoice_wrapped_around_the_signed_one_is_refused(bill):
    root = etree.fromstring(signed_xml(bill))
    data = root.find("DLHDon")
    forged = etree.fromstring(etree.tostring(data))
    forged.find("NDHDon/TToan/TgTTTBSo").text = "1"
    for change in ("same id", "other id", "no id"):
        wrapped = etree.fromstring(etree.tostring(root))
        copy = etree.fromstring(etree.tostring(forged))
        if change == "other id":
            copy.set("Id", "khac")
        if change == "no id":
            del copy.attrib["Id"]
        wrapped.insert(0, copy)
        try:
            read = einvoice_xml.read(etree.tostring(wrapped))
        except einvoice_xml.BadInvoice:
            continue
        assert read.total_vnd == 86_250, change  # only what is signed is read


@pytest.mark.parametrize(
    "hostile",
    [
        b'<?xml version="1.0"?><!DOCTYPE HDon [<!ENTITY x SYSTEM "file:///etc/passwd">]><HDon>&x;</HDon>',
        b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><HDon>&b;</HDon>',
        b'<!DOCTYPE HDon SYSTEM "http://127.0.0.1:9/x.dtd"><HDon/>',
        "<!DOCTYPE HDon [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><HDon>&x;</HDon>".encode("utf-16"),
        b"<HDon>" + b"<a>" * 5_000 + b"</a>" * 5_000 + b"</HDon>",
        b"<HDon>" + b"x" * 600_000 + b"</HDon>",
        b"<HDon/>",
        b"<TDiep><DLieu><HDon/></DLieu></TDiep>",
        b"<html/>",
        b"",
        b"\x00\x01",
        b"<HDon><DSCKS><NBan><Signature xmlns='http://www.w3.org/2000/09/xmldsig#'/></NBan></DSCKS></HDon>",
    ],
)
def test_a_hostile_or_foreign_file_is_refused(hostile):
    with pytest.raises(einvoice_xml.BadInvoice):
        einvoice_xml.read(hostile)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_words(content):
    with pytest.raises(einvoice_xml.BadInvoice):
        einvoice_xml.read(content)


def test_an_invoice_in_the_envelope_of_the_tax_office_is_read(bill):
    body = etree.fromstring(signed_xml(bill))
    etree.SubElement(body, "MCCQT").text = "M1-26-00000000001"
    envelope = etree.Element("TDiep")
    etree.SubElement(envelope, "DLieu").append(body)

    read = einvoice_xml.read(etree.tostring(envelope))

    assert (read.total_vnd, read.authority_code) == (86_250, "M1-26-00000000001")


# --- the certificate --------------------------------------------------------------------------------------------------


def test_the_certificate_for_trying_is_made_once_and_is_nobodys_else_to_read(settings, tmp_path):
    settings.DATA_DIR = tmp_path

    first, second = einvoice_certificate.load(NOW), einvoice_certificate.load(NOW + timedelta(days=30))

    assert first.is_test
    assert first.fingerprint == second.fingerprint
    (made,) = (tmp_path / "signing").iterdir()
    assert made.stat().st_mode & 0o077 == 0


def make_p12(folder, signer: einvoice_certificate.Signer, password: bytes) -> None:
    content = pkcs12.serialize_key_and_certificates(
        b"x", signer.key, signer.certificate, None, serialization.BestAvailableEncryption(password)
    )
    (folder / "einvoice.p12").write_bytes(content)
    (folder / "password").write_bytes(password + b"\n")


def test_a_certificate_of_the_settings_signs_without_being_called_a_trial(settings, tmp_path, bill):
    make_p12(tmp_path, einvoice_certificate.load_test(NOW), b"mat-khau")
    settings.EINVOICE_P12, settings.EINVOICE_PASSWORD_FILE = str(tmp_path / "einvoice.p12"), str(tmp_path / "password")

    signed_xml(bill)

    assert not EInvoice.objects.get().is_test_certificate


def test_a_wrong_password_a_missing_file_and_a_certificate_out_of_time_are_told(settings, tmp_path):
    make_p12(tmp_path, einvoice_certificate.load_test(NOW), b"mat-khau")
    settings.EINVOICE_P12, settings.EINVOICE_PASSWORD_FILE = str(tmp_path / "einvoice.p12"), str(tmp_path / "password")
    with pytest.raises(einvoice_certificate.CannotSign, match="chỉ có giá trị từ"):
        einvoice_certificate.load(NOW + timedelta(days=9_000))
    (tmp_path / "other").write_text("sai")
    settings.EINVOICE_PASSWORD_FILE = str(tmp_path / "other")
    with pytest.raises(einvoice_certificate.CannotSign, match="sai mật khẩu"):
        einvoice_certificate.load(NOW)
    settings.EINVOICE_PASSWORD_FILE = str(tmp_path / "none")
    with pytest.raises(einvoice_certificate.CannotSign, match="Không đọc được"):
        einvoice_certificate.load(NOW)


def test_a_simulated_bill_is_signed_for_trying_whatever_certificate_there_is(settings, tmp_path, world):
    make_p12(tmp_path, einvoice_certificate.load_test(NOW), b"mat-khau")
    settings.EINVOICE_P12, settings.EINVOICE_PASSWORD_FILE = str(tmp_path / "einvoice.p12"), str(tmp_path / "password")
    bill = make_bill(world, world.connection({JUNE: 100, JULY: 112}), is_simulated=True)

    read = einvoice_xml.read(signed_xml(bill))

    assert EInvoice.objects.get().is_test_certificate
    assert read.extras["Mô phỏng"] == "có"


# --- signing in chunks ------------------------------------------------------------------------------------------------


def test_every_bill_is_signed_once(world, monkeypatch):
    monkeypatch.setattr(einvoice_operations, "CHUNK", 3)
    bills = [make_bill(world, world.connection({JUNE: 100, JULY: 112})) for _ in range(8)]

    assert einvoice_operations.sign_waiting(NOW) == 8
    assert einvoice_operations.sign_waiting(NOW) == 0

    assert EInvoice.objects.count() == 8
    for bill in bills:
        assert einvoice_xml.read(signed_xml(bill)).number == bill.number
    signed = AuditEntry.objects.filter(action="billing.einvoices.signed")
    assert [entry.count for entry in signed.order_by("pk")] == [3, 3, 2]
    assert all("Nguyễn" not in str(entry.detail) for entry in signed)


def test_bills_of_an_operator_without_tax_code_wait(world, bill):
    world.profile.tax_code = ""
    world.profile.save()

    assert einvoice_operations.sign_waiting(NOW) == 0


def test_a_gap_behind_the_last_signed_bill_is_found_at_night(world, bill, monkeypatch):
    monkeypatch.setattr(einvoice_operations, "_LOOK_BACK", 0)
    newer = make_bill(world, world.connection({JUNE: 100, JULY: 112}))
    einvoice_operations.sign_bills([newer.pk], NOW)

    assert einvoice_operations.sign_waiting(NOW) == 0
    assert einvoice_operations.sign_waiting(NOW, all_of_them=True) == 1


# --- sending ----------------------------------------------------------------------------------------------------------


def test_a_signed_invoice_is_taken_and_gets_the_code_of_the_tax_office(bill, provider: StandIn):
    signed_xml(bill)

    assert einvoice_operations.send_due(NOW) == (1, 0)

    row = EInvoice.objects.get()
    assert (row.state, row.authority_code, row.provider_reference) == ("ACCEPTED", "M1-26-00000000001", "R1")
    assert einvoice_operations.send_due(NOW) == (0, 0)


def test_a_provider_that_fails_is_asked_again_later_and_has_the_invoice_once(bill, provider: StandIn):
    signed_xml(bill)
    provider.fail = [503, 500]

    assert einvoice_operations.send_due(NOW) == (0, 1)
    assert einvoice_operations.send_due(NOW + timedelta(seconds=30)) == (0, 0)
    assert einvoice_operations.send_due(NOW + timedelta(seconds=61)) == (0, 1)
    assert "HTTP 500" in EInvoice.objects.get().error
    assert einvoice_operations.send_due(NOW + timedelta(minutes=10)) == (1, 0)

    row = EInvoice.objects.get()
    assert (row.state, row.attempts, row.error) == ("ACCEPTED", 3, "")
    assert len(provider.invoices) == 1


def test_an_answer_that_was_lost_does_not_make_two_invoices(bill, provider: StandIn):
    xml = signed_xml(bill)
    provider.take(einvoice_operations.key_of(bill), xml)  # it got there, the answer did not come back

    einvoice_operations.send_due(NOW)

    assert len(provider.invoices) == 1
    assert EInvoice.objects.get().state == "ACCEPTED"


@pytest.mark.parametrize("garbage", [b"", b"[]", b"not json", b'{"state": "MAYBE"}', b"[" * 2_000])
def test_an_answer_that_makes_no_sense_leaves_the_invoice_waiting(bill, provider: StandIn, garbage):
    signed_xml(bill)
    provider.garbage = [garbage]

    assert einvoice_operations.send_due(NOW) == (0, 1)
    assert EInvoice.objects.get().state == "SIGNED"


def test_a_refusal_is_kept_with_its_reason_and_can_be_sent_again(world, bill, provider: StandIn):
    signed_xml(bill)
    key = einvoice_operations.key_of(bill)
    provider.refuse[key] = "Sai mã số thuế người bán"
    assert einvoice_operations.send_due(NOW) == (0, 1)
    row = EInvoice.objects.get()
    assert (row.state, row.error) == ("REFUSED", "Sai mã số thuế người bán")

    provider.refuse.clear()
    provider.invoices.clear()
    einvoice_operations.send_again(row, by=world.clerk, now=NOW)

    assert Job.objects.filter(task=einvoice_operations.SEND_TASK).exists()
    assert einvoice_operations.send_due(NOW) == (1, 0)
    with pytest.raises(einvoice_operations.CannotSendAgain, match="không cần gửi lại"):
        einvoice_operations.send_again(row, by=world.clerk, now=NOW)


def test_what_became_of_an_invoice_is_asked_after(bill, provider: StandIn):
    signed_xml(bill)
    provider.accept_at_once = False
    einvoice_operations.send_due(NOW)
    assert EInvoice.objects.get().state == "SENT"

    (held,) = provider.invoices.values()
    held |= {"state": "ACCEPTED", "authority_code": "M1"}
    assert einvoice_operations.ask_after(NOW + timedelta(minutes=1)) == 0
    assert einvoice_operations.ask_after(NOW + timedelta(minutes=11)) == 1

    assert EInvoice.objects.get().authority_code == "M1"


def test_simulated_invoices_and_trial_signatures_never_leave_the_machine(world, bill, provider: StandIn, settings):
    simulated = make_bill(world, world.connection({JUNE: 100, JULY: 112}), is_simulated=True)
    signed_xml(bill), signed_xml(simulated)
    settings.EINVOICE_URL = "https://nha-cung-cap.vi-du.vn"

    assert einvoice_operations.send_due(NOW) == (0, 0)
    for row in EInvoice.objects.all():
        with pytest.raises(einvoice_operations.CannotSendAgain, match="chữ ký thử nghiệm"):
            einvoice_operations.send_again(row, by=world.clerk, now=NOW)

    settings.EINVOICE_URL = provider.url
    assert einvoice_operations.send_due(NOW) == (1, 0)
    assert EInvoice.objects.get(bill=simulated).state == "SIGNED"


def test_without_a_provider_invoices_are_kept_and_it_is_said(bill):
    signed_xml(bill)

    with pytest.raises(einvoice_provider.NoProvider, match="Chưa nối nhà cung cấp"):
        einvoice_operations.send_due(NOW)


# --- comparing --------------------------------------------------------------------------------------------------------


def test_a_day_is_compared_number_by_number(world, provider: StandIn):
    bills = [make_bill(world, world.connection({JUNE: 100, JULY: 112})) for _ in range(6)]
    einvoice_operations.sign_waiting(NOW)
    keys = [einvoice_operations.key_of(bill) for bill in bills]
    provider.refuse[keys[1]] = "trùng"
    einvoice_operations.send_due(NOW)
    EInvoice.objects.filter(bill=bills[0]).update(state="SENT", authority_code="")  # the answer was lost
    del provider.invoices[keys[2]]
    provider.invoices[keys[3]]["total_vnd"] = 1
    provider.invoices["khac"] = provider.invoices[keys[4]] | {"number": 99}

    made = einvoice_operations.compare_day(world.operator, date(2026, 8, 1), NOW)

    assert (made.ours, made.theirs, made.accepted) == (6, 6, 4)
    assert made.missing == ["1K26TAA 00000003"]
    assert made.extra == ["1K26TAA 00000099"]
    assert made.refused == ["1K26TAA 00000002"]
    assert made.differing == ["1K26TAA 00000004: 1\xa0đ ≠ 86.250\xa0đ"]
    assert not made.is_agreed
    assert EInvoice.objects.get(bill=bills[0]).state == "ACCEPTED"


def test_a_day_without_difference_agrees_and_is_kept_once(world, bill, provider: StandIn):
    signed_xml(bill)
    einvoice_operations.send_due(NOW)

    for _ in range(2):
        made = einvoice_operations.compare_day(world.operator, date(2026, 8, 1), NOW)

    assert made.is_agreed
    assert EInvoiceDay.objects.count() == 1


def test_a_comparison_that_cannot_be_made_changes_nothing(world, bill, provider: StandIn):
    signed_xml(bill)
    provider.garbage = [b'{"invoices": [{"number": "x"}]}']

    with pytest.raises(outgoing.CannotCall, match="không đúng mẫu"):
        einvoice_operations.compare_day(world.operator, date(2026, 8, 1), NOW)

    assert not EInvoiceDay.objects.exists()
