"""The XML of a Vietnamese electronic invoice (HDon): built, signed (XMLDSig, by signxml), read and checked.

The structure follows QĐ 1450/QĐ-TCT (07/10/2021) as amended by QĐ 1510/QĐ-TCT (21/09/2022), as public programs write
and read it; codes marked «recalled» below were not checked against the documents (docs/algorithms/einvoice.md).
What is read is read from what the signature covers, never from anything else in the file.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from lxml import etree

MAX_BYTES = 512 * 1024
VERSION = "2.0.0"
TITLES = {"1": "Hóa đơn giá trị gia tăng", "2": "Hóa đơn bán hàng"}
REPLACES, ADJUSTS = "1", "2"  # TCHDon, recalled
GOODS = "1"  # TChat
_DECREE_123 = "1"  # LHDCLQuan: an electronic invoice by NĐ 123/2020/NĐ-CP; recalled
_TIME_NAMESPACE = "http://example.org/#signatureProperties"  # as invoices in use have it; recalled
_DS = "{http://www.w3.org/2000/09/xmldsig#}"


class BadInvoice(ValueError):
    """A file that is no such invoice, or whose signature does not hold; the text, in Vietnamese, says why."""


@dataclass(frozen=True)
class Party:
    name: str
    tax_code: str = ""
    address: str = ""


@dataclass(frozen=True)
class Line:
    """quantity: m³. price: đồng a unit without VAT. amount_vnd: without VAT. tax_rate: «5%»."""

    code: str
    name: str
    unit: str
    quantity: Decimal
    price: Decimal
    amount_vnd: int
    tax_rate: str


@dataclass(frozen=True)
class Related:
    """The invoice that this one corrects. nature: REPLACES or ADJUSTS."""

    nature: str
    form: str
    series: str
    number: int
    issued_date: date
    note: str


@dataclass(frozen=True)
class Invoice:
    """What an invoice says. extras: (field, text) pairs for what the format has no field for."""

    key: str  # id of the signed part, unique in all files: «MN-1-K26TAA-7»
    form: str
    series: str
    number: int
    issued_date: date
    seller: Party
    buyer: Party
    lines: Sequence[Line]
    net_vnd: int
    vat_vnd: int
    vat_rate: str
    fees: Sequence[tuple[str, int]]
    total_vnd: int
    total_words: str
    related: Related | None = None
    extras: Sequence[tuple[str, str]] = field(default_factory=tuple)
    provider_tax_code: str = ""


@dataclass(frozen=True)
class Signed:
    """What a checked invoice says, and who signed it. totals in đồng."""

    form: str
    series: str
    number: int
    issued_date: date
    seller_tax_code: str
    buyer_name: str
    net_vnd: int
    vat_vnd: int
    fee_vnd: int
    total_vnd: int
    total_words: str
    related: tuple[str, str, str, int] | None  # nature, form, series, number
    extras: dict[str, str]
    lines: int
    signer: str
    signed_at: str
    fingerprint: str  # SHA-256 of the certificate
    authority_code: str  # MCCQT, put in by the tax office after signing: not covered by this signature


# --- writing ----------------------------------------------------------------------------------------------------------


def build(invoice: Invoice) -> etree._Element:
    """Return the unsigned invoice: HDon with DLHDon and the place of the signatures."""
    root = etree.Element("HDon")
    data = etree.SubElement(root, "DLHDon", Id=invoice.key)
    _general(etree.SubElement(data, "TTChung"), invoice)
    content = etree.SubElement(data, "NDHDon")
    _party(content, "NBan", invoice.seller)
    _party(content, "NMua", invoice.buyer)
    _lines(etree.SubElement(content, "DSHHDVu"), invoice.lines)
    _totals(etree.SubElement(content, "TToan"), invoice)
    _extras(data, invoice.extras)
    etree.SubElement(etree.SubElement(root, "DSCKS"), "NBan")
    return root


def _put(parent: etree._Element, tag: str, text: str) -> None:
    if text:
        etree.SubElement(parent, tag).text = _legal(text)


def _legal(text: str) -> str:
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]", "", text)


def _general(general: etree._Element, invoice: Invoice) -> None:
    for tag, text in (
        ("PBan", VERSION), ("THDon", TITLES.get(invoice.form, TITLES["1"])), ("KHMSHDon", invoice.form),
        ("KHHDon", invoice.series), ("SHDon", str(invoice.number)), ("NLap", invoice.issued_date.isoformat()),
        ("DVTTe", "VND"), ("TGia", "1"), ("HTTToan", "TM/CK"), ("MSTTCGP", invoice.provider_tax_code),
    ):  # fmt: skip
        _put(general, tag, text)
    if invoice.related is not None:
        old = invoice.related
        related = etree.SubElement(general, "TTHDLQuan")
        for tag, text in (
            ("TCHDon", old.nature), ("LHDCLQuan", _DECREE_123), ("KHMSHDCLQuan", old.form),
            ("KHHDCLQuan", old.series), ("SHDCLQuan", str(old.number)),
            ("NLHDCLQuan", old.issued_date.isoformat()), ("GChu", old.note),
        ):  # fmt: skip
            _put(related, tag, text)


def _party(content: etree._Element, tag: str, party: Party) -> None:
    element = etree.SubElement(content, tag)
    _put(element, "Ten", party.name)
    _put(element, "MST", party.tax_code)
    _put(element, "DChi", party.address)


def _lines(goods: etree._Element, lines: Iterable[Line]) -> None:
    for number, line in enumerate(lines, start=1):
        item = etree.SubElement(goods, "HHDVu")
        for tag, text in (
            ("TChat", GOODS), ("STT", str(number)), ("MHHDVu", line.code), ("THHDVu", line.name),
            ("DVTinh", line.unit), ("SLuong", plain(line.quantity)), ("DGia", plain(line.price)),
            ("ThTien", str(line.amount_vnd)), ("TSuat", line.tax_rate),
        ):  # fmt: skip
            _put(item, tag, text)


def _totals(totals: etree._Element, invoice: Invoice) -> None:
    rate = etree.SubElement(etree.SubElement(totals, "THTTLTSuat"), "LTSuat")
    for tag, text in (
        ("TSuat", invoice.vat_rate), ("ThTien", str(invoice.net_vnd)), ("TThue", str(invoice.vat_vnd)),
    ):  # fmt: skip
        _put(rate, tag, text)
    _put(totals, "TgTCThue", str(invoice.net_vnd))
    _put(totals, "TgTThue", str(invoice.vat_vnd))
    if invoice.fees:
        fees = etree.SubElement(totals, "DSLPhi")
        for name, amount_vnd in invoice.fees:
            fee = etree.SubElement(fees, "LPhi")
            _put(fee, "TLPhi", name)
            _put(fee, "TPhi", str(amount_vnd))
    _put(totals, "TgTTTBSo", str(invoice.total_vnd))
    _put(totals, "TgTTTBChu", invoice.total_words)


def _extras(data: etree._Element, extras: Iterable[tuple[str, str]]) -> None:
    others = etree.SubElement(data, "TTKhac")
    for name, text in extras:
        if text:
            item = etree.SubElement(others, "TTin")
            _put(item, "TTruong", name)
            _put(item, "KDLieu", "string")
            _put(item, "DLieu", text)


def plain(number: Decimal) -> str:
    """Return a number without exponent and closing zeros.

    >>> plain(Decimal("10.500")), plain(Decimal("1E+1")), plain(Decimal(0))
    ('10.5', '10', '0')
    """
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def net_shares(amounts_vnd: Sequence[int], net_vnd: int) -> list[int]:
    """Return the lines' amounts without VAT where prices include it: in proportion, adding up to net_vnd.

    What rounding down leaves goes to the lines with the largest remainders, the first of equals first.

    >>> net_shares([60_000, 15_000], 71_429), net_shares([], 0)
    ([57143, 14286], [])
    """
    whole = sum(amounts_vnd)
    if not whole:
        return [0] * len(amounts_vnd)
    shares = [divmod(amount * net_vnd, whole) for amount in amounts_vnd]
    left = net_vnd - sum(share for share, _ in shares)
    order = sorted(range(len(shares)), key=lambda at: (-abs(shares[at][1]), at))
    return [share + (at in order[:left]) for at, (share, _) in enumerate(shares)]


def sign(root: etree._Element, *, key: Any, certificate: x509.Certificate, signed_at: datetime) -> bytes:
    """Return the file with the seller's signature over DLHDon and over the time of signing.

    key: RSA private key. signed_at: with a time zone; written in local time without it, as invoices in use do.
    """
    from signxml.algorithms import SignatureConstructionMethod
    from signxml.signer import XMLSigner

    data = root.find("DLHDon")
    place = root.find("DSCKS/NBan")
    if data is None or place is None:
        raise ValueError("not built by build()")
    moment = etree.Element(f"{{{_TIME_NAMESPACE}}}SigningTime", nsmap={None: _TIME_NAMESPACE})
    moment.text = signed_at.replace(tzinfo=None).isoformat(timespec="seconds")
    signer = XMLSigner(method=SignatureConstructionMethod.detached)
    place.append(
        signer.sign(data, key=key, cert=[certificate], reference_uri=f"#{data.get('Id')}", signature_properties=moment)
    )
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


# --- reading ----------------------------------------------------------------------------------------------------------


def parse(content: bytes) -> etree._Element:
    """Return the root of a file that a stranger may have made. Raises BadInvoice.

    Nothing is fetched, nothing is expanded, a DOCTYPE is refused, and what is too large or too deep too.
    """
    if len(content) > MAX_BYTES:
        raise BadInvoice(f"Tệp lớn hơn {MAX_BYTES // 1024} kB nên không phải một hóa đơn tiền nước.")
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content or b"\x00" in content:
        raise BadInvoice("Tệp có khai báo DOCTYPE hoặc thực thể nên không được đọc.")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError, LookupError) as reason:
        raise BadInvoice(f"Tệp không phải XML đọc được ({str(reason)[:120]}).") from None
    if root.getroottree().docinfo.doctype:
        raise BadInvoice("Tệp có khai báo DOCTYPE nên không được đọc.")
    if root.tag != "HDon":
        found = root.find("DLieu/HDon") if root.tag == "TDiep" else None
        if found is None:
            raise BadInvoice(f"Phần tử gốc là «{str(root.tag)[:40]}», không phải HDon.")
        # The signature is computed over the invoice as it stood alone.
        root = etree.fromstring(etree.tostring(found, with_tail=False), parser)
    return root


def read(content: bytes) -> Signed:
    """Return what an invoice says after checking the seller's signature. Raises BadInvoice.

    The certificate is the one in the file: who signed is the caller's to judge, by `fingerprint`.
    """
    from signxml.exceptions import SignXMLException
    from signxml.verifier import SignatureConfiguration, XMLVerifier

    root = parse(content)
    keys = [str(element.get("Id")) for element in root.iter() if element.get("Id")]
    if len(keys) != len(set(keys)):
        raise BadInvoice("Hai phần tử mang cùng Id: tệp đã bị ghép lại.")
    certificate = _certificate_of(root)
    expected = SignatureConfiguration(location="./DSCKS/NBan/", expect_references=2)
    try:
        covered = XMLVerifier().verify(
            root, x509_cert=certificate, id_attribute="Id", expect_config=expected, parser=None
        )
    except (SignXMLException, InvalidSignature, etree.LxmlError, ValueError, TypeError, KeyError) as reason:
        raise BadInvoice(f"Chữ ký số không đúng: {str(reason)[:160] or type(reason).__name__}.") from None
    results = covered if isinstance(covered, list) else [covered]
    parts = {str(one.signed_xml.tag): one.signed_xml for one in results if one.signed_xml is not None}
    data = parts.get("DLHDon")
    if data is None:
        raise BadInvoice("Chữ ký số không bao trùm nội dung hóa đơn (DLHDon).")
    moment = next((part.find(f".//{{{_TIME_NAMESPACE}}}SigningTime") for part in parts.values()
                   if part.tag == f"{_DS}Object"), None)  # fmt: skip
    return _told(data, root, certificate, "" if moment is None else (moment.text or ""))


def _certificate_of(root: etree._Element) -> x509.Certificate:
    found = root.findall(f"DSCKS/NBan/{_DS}Signature/{_DS}KeyInfo/{_DS}X509Data/{_DS}X509Certificate")
    if len(found) != 1:
        raise BadInvoice("Hóa đơn chưa ký số, hoặc không kèm đúng một chứng thư của người bán.")
    body = "".join((found[0].text or "").split())
    pem = f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        raise BadInvoice("Chứng thư trong hóa đơn không đọc được.") from None


def _told(data: etree._Element, root: etree._Element, certificate: x509.Certificate, signed_at: str) -> Signed:
    old = data.find("TTChung/TTHDLQuan")
    try:
        return Signed(
            form=_text(data, "TTChung/KHMSHDon"),
            series=_text(data, "TTChung/KHHDon"),
            number=int(_text(data, "TTChung/SHDon")),
            issued_date=date.fromisoformat(_text(data, "TTChung/NLap")),
            seller_tax_code=_text(data, "NDHDon/NBan/MST"),
            buyer_name=_text(data, "NDHDon/NMua/Ten"),
            net_vnd=_dong(data, "NDHDon/TToan/TgTCThue"),
            vat_vnd=_dong(data, "NDHDon/TToan/TgTThue"),
            fee_vnd=sum(int(fee.text or "") for fee in data.findall("NDHDon/TToan/DSLPhi/LPhi/TPhi")),
            total_vnd=_dong(data, "NDHDon/TToan/TgTTTBSo"),
            total_words=_text(data, "NDHDon/TToan/TgTTTBChu"),
            related=None
            if old is None
            else (
                _text(old, "TCHDon"), _text(old, "KHMSHDCLQuan"), _text(old, "KHHDCLQuan"),
                int(_text(old, "SHDCLQuan")),
            ),
            extras={_text(one, "TTruong"): _text(one, "DLieu") for one in data.findall("TTKhac/TTin")},
            lines=len(data.findall("NDHDon/DSHHDVu/HHDVu")),
            signer=certificate.subject.rfc4514_string(),
            signed_at=signed_at,
            fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
            authority_code=_text(root, "MCCQT"),
        )  # fmt: skip
    except ValueError as reason:
        raise BadInvoice(f"Nội dung hóa đơn sai kiểu: {reason}.") from None


def _text(element: etree._Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _dong(element: etree._Element, path: str) -> int:
    text = _text(element, path)
    if not re.fullmatch("-?[0-9]{1,15}", text, re.ASCII):
        raise ValueError(f"{path} = «{text[:30]}»")
    return int(text)
