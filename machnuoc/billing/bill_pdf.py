"""Bills and receipts as PDF: one page each, readable on a telephone, with the code that pays it.

Typeset from typst/bill.typ. The signed XML is the original of an invoice, this is a view of it.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.urls import NoReverseMatch, reverse

from machnuoc.billing import (
    banks,
    bill_queries,
    ledger,
    payments,
    pdf_fonts,
    qr_images,
    reference,
    typesetting,
    vietqr,
    words,
)
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import Bill, BillingProfile, EInvoice, Payment
from machnuoc.core import vietnamese
from machnuoc.core.periods import local_date
from machnuoc.customers import privacy
from machnuoc.customers.models import Connection, Customer, Fitting, Group

PAPERS = ("a5", "a4")
MOST_BILLS = 1_000  # of one file
PAST_MONTHS = 6
_APART_FROM_PAGES = 50
# Beyond these a page is measured before it is set: rows of readings and prices, letters of name and address.
_LONG_ROWS = 6
_LONG_TEXT = 150

_TITLES = {
    Bill.Kind.NORMAL: "Hóa đơn tiền nước",
    Bill.Kind.ADJUSTMENT_UP: "Hóa đơn điều chỉnh tăng",
    Bill.Kind.ADJUSTMENT_DOWN: "Hóa đơn điều chỉnh giảm",
    Bill.Kind.REPLACEMENT: "Hóa đơn thay thế",
}


class CannotPrint(BillingError):
    """Bills or a receipt that cannot be typeset, and why."""


# --- bills ------------------------------------------------------------------------------------------------------------


def render(
    bill_ids: Sequence[int], *, served: Collection[int] | None, paper: str = "a5", is_tagged: bool = True
) -> bytes:
    """Return the bills as one PDF, a page each, in the order given.

    served: connections whose customers the reader may see unmasked; None: all (the customer's own, or for printing).
    is_tagged: whether programs that read aloud find the structure; it triples the size.
    Raises CannotPrint if there are none or more than MOST_BILLS, or one does not exist.
    """
    if not 0 < len(bill_ids) <= MOST_BILLS:
        raise CannotPrint(
            f"In được 1–{vietnamese.format_number(MOST_BILLS)} hóa đơn trong một tệp, không phải "
            f"{vietnamese.format_number(len(bill_ids))}. Chọn lại hoặc chia nhỏ."
        )
    pages = gather(bill_ids, served=served)
    return compile_pdf(
        "bill.typ", {"bills": pages}, paper=paper, is_tagged=is_tagged, apart=len(pages) > _APART_FROM_PAGES
    )


def gather(bill_ids: Sequence[int], *, served: Collection[int] | None) -> list[dict[str, Any]]:
    """Return what a page says of each bill, all texts ready to print. The number of queries is fixed."""
    found = {
        bill.pk: bill
        for bill in Bill.objects.filter(pk__in=bill_ids)
        .select_related(
            "series", "operator__billing_profile", "operator__subject", "connection", "customer", "einvoice",
            "from_reading", "to_reading", "corrects__series",
        )
        .prefetch_related("lines__tariff", "corrections__series")
    }  # fmt: skip
    missing = [pk for pk in bill_ids if pk not in found]
    if missing:
        raise CannotPrint(f"Không có hóa đơn mang mã {missing[0]}. Tải lại danh sách rồi chọn lại.")
    bills = [found[pk] for pk in bill_ids]
    connections = {bill.connection_id for bill in bills}
    fittings: dict[int, list[Fitting]] = defaultdict(list)
    for fitting in Fitting.objects.filter(connection_id__in=connections).select_related("meter"):
        fittings[fitting.connection_id].append(fitting)
    open_vnd = ledger.open_amounts([bill.pk for bill in bills])
    owed_vnd = _owed_by_holder(connections)
    past = _past_volumes(bills)
    pages = []
    for bill in bills:
        unmasked = served is None or bill.connection_id in served
        other_vnd = owed_vnd[bill.connection_id, bill.customer_id] - open_vnd[bill.pk]
        pages.append(_page(bill, fittings[bill.connection_id], open_vnd[bill.pk], other_vnd, past, unmasked=unmasked))
    return pages


def _owed_by_holder(connection_ids: Collection[int]) -> dict[tuple[int, int], int]:
    """Return what each customer of the connections owes less what they paid ahead: never what a former one owes."""
    owed_vnd: dict[tuple[int, int], int] = defaultdict(int)
    for one in ledger.list_open_bills(connection_ids):
        owed_vnd[one.connection_id, one.customer_id] += one.open_vnd
    for holder, sources in payments.advances(connection_ids).items():
        owed_vnd[holder] -= sum(source.left_vnd for source in sources)
    return owed_vnd


def _past_volumes(bills: Sequence[Bill]) -> dict[tuple[int, int], dict[date, int]]:
    """Return {(connection, customer): {month: litres billed, with adjustments}} of the last months up to the bills'."""
    first = min(_add_months(bill.period_start_date, 1 - PAST_MONTHS) for bill in bills)
    last = max(bill.period_start_date for bill in bills)
    rows = Bill.objects.filter(
        connection_id__in={bill.connection_id for bill in bills},
        period_start_date__range=(first, last),
        state=Bill.State.ISSUED,
    )
    volumes: dict[tuple[int, int], dict[date, int]] = defaultdict(dict)
    for connection_id, customer_id, month, volume_l in rows.values_list(
        "connection_id", "customer_id", "period_start_date", "volume_l"
    ):
        held = volumes[connection_id, customer_id]
        held[month] = held.get(month, 0) + volume_l
    return volumes


def _add_months(month: date, count: int) -> date:
    at = month.year * 12 + month.month - 1 + count
    return date(at // 12, at % 12 + 1, 1)


def _page(
    bill: Bill,
    fittings: list[Fitting],
    open_vnd: int,
    other_vnd: int,
    past: dict[tuple[int, int], dict[date, int]],
    *,
    unmasked: bool,
) -> dict[str, Any]:
    profile = _profile_of(bill)
    readings = _readings(bill, fittings)
    lines, price_title = _lines(bill)
    qr, notes = _paying(bill, profile, open_vnd, other_vnd)
    is_owed = open_vnd > 0
    why_url = _why_url(bill)
    days = (bill.to_date - bill.from_date).days
    customer = _customer(bill.customer, bill.connection, bill, unmasked=unmasked)
    correction = _correction(bill)
    operator = _operator(bill, profile)
    is_long = (
        len(readings) + len(lines) > _LONG_ROWS
        or len(notes) > 1
        or bool(correction)
        or sum(map(len, (*customer.values(), operator["name"], *operator["lines"], *notes))) > 2 * _LONG_TEXT
        or len(customer["name"]) + len(customer["address"]) > _LONG_TEXT
    )
    return {
        "operator": operator,
        "simulated": bill.is_simulated,
        "title": _TITLES[Bill.Kind(bill.kind)],
        "series": str(bill.series),
        "number": f"{bill.number:08d}",
        "issued": vietnamese.format_date(local_date(bill.issued_at)),
        "period": f"Kỳ tháng {bill.period_start_date:%m/%Y}",
        "days": ""
        if days <= 0
        else (
            f"{vietnamese.format_date(bill.from_date)} – {vietnamese.format_date(bill.to_date - timedelta(days=1))}"
            f" ({days} ngày)"
        ),
        "correction": correction,
        "customer": customer,
        "readings": readings,
        "price_title": price_title,
        "lines": lines,
        "sums": _sums(bill),
        "total_label": "Tổng cộng phải trả" if bill.total_vnd >= 0 else "Tổng cộng giảm trừ",
        "total": vietnamese.format_money_vnd(bill.total_vnd),
        "words": words.amount_in_words(bill.total_vnd),
        "due": vietnamese.format_date(bill.due_date) if is_owed else "",
        "paid": _paid(bill, open_vnd),
        "notes": notes,
        "qr": qr,
        "bank": _bank(profile) if is_owed else [],
        "reference": reference.make(bill.pk),
        "hotline": profile.phone if profile is not None else "",
        "why": qr_images.as_svg(why_url) if why_url else "",
        "why_url": why_url,
        "why_shown": why_url.partition("//")[2],
        "legal": _legal(bill),
        "past": _past(bill, past[bill.connection_id, bill.customer_id]),
        "is_long": is_long,
    }


def _profile_of(bill: Bill) -> BillingProfile | None:
    try:
        return bill.operator.billing_profile
    except BillingProfile.DoesNotExist:
        return None


def _operator(bill: Bill, profile: BillingProfile | None) -> dict[str, Any]:
    if profile is None:
        return {"name": str(bill.operator), "lines": [""]}
    lines = [part for part in (profile.address, f"MST {profile.tax_code}" if profile.tax_code else "") if part]
    return {"name": profile.legal_name, "lines": lines or [""]}


def _customer(customer: Customer, connection: Connection, bill: Bill, *, unmasked: bool) -> dict[str, str]:
    shown = privacy.show(customer, connection, unmasked=unmasked)
    about = [Group(bill.group).label]
    if bill.households > 1:
        about.append(f"{bill.households} hộ dùng chung")
    if bill.persons:
        about.append(f"{bill.persons} người tính định mức")
    if shown.tax_code:
        about.append(f"MST {shown.tax_code}")
    return {
        "name": shown.name, "address": shown.address, "code": customer.code, "connection": connection.code,
        "about": " · ".join(about),
    }  # fmt: skip


def _m3(volume_l: int) -> str:
    return vietnamese.format_number(volume_l // 1000 if volume_l % 1000 == 0 else volume_l / 1000)


def meter_rows(bill: Bill, fittings: Iterable[Fitting]) -> list[tuple[str, int, int, str]]:
    """Return (serial, old index, new index, note) of each meter that measured the bill's water, indices in litres.

    One row as a rule; two where the meter was changed in between. Empty where the bill has no readings of its own.
    """
    start, end = bill.from_reading, bill.to_reading
    if start is None or end is None or start.index_l is None or end.index_l is None:
        return []
    rows = []
    for fitting in sorted(fittings, key=lambda one: one.installed_at):
        is_first, is_last = fitting.pk == start.fitting_id, fitting.pk == end.fitting_id
        between = fitting.installed_at > start.read_at and fitting.installed_at <= end.read_at
        if not (is_first or is_last or between):
            continue
        old_l = start.index_l if is_first else fitting.installed_index_l
        new_l = end.index_l if is_last else (fitting.removed_index_l or 0)
        note = "" if is_last else f"tháo {vietnamese.format_date(fitting.removed_at)}"
        if new_l < old_l:
            note = "quay vòng" if end.rolled_over else "xem lại"
        elif is_last and bill.is_estimated:
            note = "tạm tính"
        rows.append((fitting.meter.serial, old_l, new_l, note))
    return rows


def _readings(bill: Bill, fittings: Iterable[Fitting]) -> list[dict[str, str]]:
    is_difference = bill.kind in {Bill.Kind.ADJUSTMENT_UP, Bill.Kind.ADJUSTMENT_DOWN}
    rows = [] if is_difference else meter_rows(bill, fittings)
    if not rows:
        label = "Chênh lệch so với hóa đơn gốc" if is_difference else "Lượng nước tính tiền"
        note = "tạm tính" if bill.is_estimated else ""
        return [{"meter": label, "old": "", "new": "", "volume": _m3(bill.volume_l), "note": note}]
    shown = [
        {"meter": serial, "old": _m3(old_l), "new": _m3(new_l), "volume": _m3(new_l - old_l), "note": note}
        for serial, old_l, new_l, note in rows
    ]
    if len(shown) == 1:
        metered = bill_queries.metered_l(bill)
        shown[0]["volume"] = _m3(metered)
        if metered != bill.volume_l:
            label = "Tính tiền theo lý do thay thế"
            shown.append({"meter": label, "old": "", "new": "", "volume": _m3(bill.volume_l), "note": ""})
    elif sum(new_l - old_l for _, old_l, new_l, _ in rows) != bill.volume_l:
        shown.append({"meter": "Tính tiền", "old": "", "new": "", "volume": _m3(bill.volume_l), "note": ""})
    return shown


def _lines(bill: Bill) -> tuple[list[dict[str, str]], str]:
    """Return the rows of the price table, with a heading for each part where there are several, and its title."""
    lines = sorted(bill.lines.all(), key=lambda line: line.order)
    parts = {(line.tariff_id, line.days, line.group) for line in lines}
    blocks_of = defaultdict(set)
    for line in lines:
        blocks_of[line.tariff_id, line.group].add(line.block)
    rows: list[dict[str, str]] = []
    last = None
    for line in lines:
        part = (line.tariff_id, line.days, line.group)
        if len(parts) > 1 and part != last:
            label = Group(line.group).label
            rows.append({"heading": f"{line.tariff.name} · {label} · {line.days} ngày"})
        last = part
        is_flat = len(blocks_of[line.tariff_id, line.group]) == 1 and line.block == 1
        rows.append(
            {
                "label": "Một giá" if is_flat and _is_flat(line.group) else f"Bậc {line.block}",
                "volume": _m3(line.volume_l),
                "price": vietnamese.format_number(line.price_vnd),
                "amount": vietnamese.format_number(line.amount_vnd),
            }
        )
    title = "Tiền nước"
    if lines:
        title = f"{lines[-1].tariff.name}"[:60] if len(parts) == 1 else "Tiền nước theo từng giai đoạn"
        if any(line.tariff.includes_vat for line in lines):
            title += " (giá đã gồm thuế GTGT)"
    return rows, title


def _is_flat(group: str) -> bool:
    return group not in {Group.SH, Group.SH_NGHEO}


def _sums(bill: Bill) -> list[dict[str, str]]:
    rates = {line.tariff.vat_basis_points for line in bill.lines.all()} or {bill.tariff.vat_basis_points}
    rate = f" {_percent(rates.pop())}" if len(rates) == 1 else ""
    fee_rate = ""
    if bill.fee_vnd and bill.net_vnd:
        fee_rate = " (trên giá chưa thuế)"
    rows = [
        ("Tiền nước chưa thuế", bill.net_vnd),
        (f"Thuế GTGT{rate}", bill.vat_vnd),
        (f"Phí bảo vệ môi trường{fee_rate}", bill.fee_vnd),
    ]
    return [
        {"label": label, "amount": vietnamese.format_number(amount_vnd)}
        for label, amount_vnd in rows
        if amount_vnd or label.startswith("Tiền nước")
    ]


def _percent(basis_points: int) -> str:
    return vietnamese.format_percent(basis_points / 100)


def _correction(bill: Bill) -> str:
    said = []
    if bill.corrects is not None:
        old = bill.corrects
        verb = "Thay thế" if bill.kind == Bill.Kind.REPLACEMENT else Bill.Kind(bill.kind).label + " cho"
        said.append(f"{verb} hóa đơn {old.name} kỳ {old.period_start_date:%m/%Y}. Lý do: {bill.reason}")
    for newer in bill.corrections.all():
        verb = "thay thế" if newer.kind == Bill.Kind.REPLACEMENT else "điều chỉnh"
        said.append(f"Đã được {verb} bởi hóa đơn {newer.name}.")
    return " ".join(said)


def _paid(bill: Bill, open_vnd: int) -> str:
    if bill.state == Bill.State.REPLACED:
        return "Hóa đơn này đã bị thay thế, không thanh toán."
    if bill.total_vnd > 0 and open_vnd <= 0:
        return "Đã thanh toán đủ. Cảm ơn quý khách."
    if bill.total_vnd > open_vnd > 0:
        paid_vnd = bill.total_vnd - open_vnd
        left = vietnamese.format_money_vnd(open_vnd)
        return f"Đã trả, cấn trừ {vietnamese.format_money_vnd(paid_vnd)}; còn phải trả {left}."
    return ""


def _paying(bill: Bill, profile: BillingProfile | None, open_vnd: int, other_vnd: int) -> tuple[str, list[str]]:
    """Return the code that pays what is open, "" where there is none, and what the payer should know."""
    notes: list[str] = []
    if open_vnd <= 0:
        return "", notes
    if other_vnd > 0:
        notes.append(f"Còn nợ các kỳ khác {vietnamese.format_money_vnd(other_vnd)}, chưa gồm trong hóa đơn này.")
    elif other_vnd < 0:
        notes.append(f"Đang có tiền trả trước {vietnamese.format_money_vnd(-other_vnd)}, sẽ được cấn trừ.")
    if profile is None or not profile.bank_account:
        return "", notes
    try:
        payload = qr_images.payload_of(bill, profile, open_vnd)
    except vietqr.AmountTooLarge as reason:
        return "", [*notes, str(reason)]
    except vietqr.NotVietQR as reason:
        return "", [*notes, f"Chưa có mã VietQR: {reason}"]
    return qr_images.as_svg(payload), notes


def _bank(profile: BillingProfile | None) -> list[str]:
    if profile is None or not profile.bank_account:
        return []
    bank = banks.short_name(profile.bank_bin) or profile.bank_bin
    name = profile.bank_account_name or vietqr.to_ascii(profile.legal_name, vietqr.NAME_MAX).upper()
    return [f"Chuyển khoản: {bank}", f"Số tài khoản: {profile.bank_account}", name]


def _why_url(bill: Bill) -> str:
    """Return the address at which the customer reads why it is this much, "" where the site has none."""
    if not settings.SITE_URL:
        return ""
    try:
        return settings.SITE_URL.rstrip("/") + reverse("portal:bill_detail", args=[bill.pk])
    except NoReverseMatch:
        return ""


def _legal(bill: Bill) -> str:
    try:
        einvoice = bill.einvoice
    except EInvoice.DoesNotExist:
        return "Bản thể hiện của hóa đơn; hóa đơn điện tử chưa ký số."
    if einvoice.is_test_certificate:
        return "Bản thể hiện. Hóa đơn điện tử mang chữ ký thử nghiệm, không có giá trị pháp lý."
    code = f" Mã của cơ quan thuế: {einvoice.authority_code}." if einvoice.authority_code else ""
    return f"Bản thể hiện; bản gốc là tệp XML đã ký số.{code}"


def _past(bill: Bill, volumes: dict[date, int]) -> list[dict[str, Any]]:
    volumes = dict(volumes)
    if bill.kind in {Bill.Kind.NORMAL, Bill.Kind.REPLACEMENT}:
        volumes[bill.period_start_date] = bill.volume_l
    months = [_add_months(bill.period_start_date, back) for back in range(1 - PAST_MONTHS, 1)]
    shown = [(month, volumes[month]) for month in months if month in volumes]
    most = max((volume_l for _, volume_l in shown), default=0)
    return [
        {
            "label": f"{month:%m/%Y}",
            "volume": _m3(volume_l),
            "ratio": max(volume_l, 0) / most if most > 0 else 0,
            "is_this": month == bill.period_start_date,
        }
        for month, volume_l in shown
    ]


# --- receipts ---------------------------------------------------------------------------------------------------------


def receipt(payment: Payment, *, unmasked: bool = True) -> bytes:
    """Return the receipt of a payment as PDF, one A5 page: who paid how much for which bills, and by whom taken.

    unmasked: whether the reader may see the customer's name and address.
    """
    return compile_pdf("receipt.typ", {"receipts": [_receipt(payment, unmasked=unmasked)]}, paper="a5", is_tagged=True)


def _receipt(payment: Payment, *, unmasked: bool) -> dict[str, Any]:
    profile = BillingProfile.objects.filter(operator=payment.operator).first()
    connection = payment.connection
    owner = payment.customer or connection.customer  # who paid: the connection may be another's by now
    shown = privacy.show(owner, connection, unmasked=unmasked)
    paid: dict[int, int] = defaultdict(int)
    bills: dict[int, Bill] = {}
    for allocation in payment.allocations.select_related("bill__series").order_by("bill__period_start_date", "id"):
        paid[allocation.bill_id] += allocation.amount_vnd
        bills[allocation.bill_id] = allocation.bill
    rows = [
        {
            "bill": bills[pk].name,
            "period": f"{bills[pk].period_start_date:%m/%Y}",
            "amount": vietnamese.format_number(amount_vnd),
        }
        for pk, amount_vnd in paid.items()
        if amount_vnd
    ]
    advance_vnd = payment.amount_vnd - sum(paid.values())
    taker = payment.recorded_by.full_name if payment.recorded_by is not None else ""
    return {
        "operator": {
            "name": profile.legal_name if profile else str(payment.operator),
            "lines": [part for part in (profile.address, f"MST {profile.tax_code}") if part] if profile else [""],
        },
        "simulated": payment.is_simulated,
        "number": f"{payment.receipt_number:06d}" if payment.receipt_number else f"#{payment.pk}",
        "date": vietnamese.format_datetime(payment.received_at),
        "payer": payment.payer if payment.payer and unmasked else shown.name,
        "customer": shown.name,
        "code": owner.code,
        "connection": connection.code,
        "address": shown.address,
        "method": payment.get_method_display(),
        "external": payment.external_id or "",
        "rows": rows,
        "advance": vietnamese.format_number(advance_vnd) if advance_vnd > 0 else "",
        "total": vietnamese.format_money_vnd(payment.amount_vnd),
        "words": words.amount_in_words(payment.amount_vnd),
        "taker": taker,
        "hotline": profile.phone if profile else "",
        "note": payment.note,
    }


# --- typesetting ------------------------------------------------------------------------------------------------------


def compile_pdf(template: str, inputs: Mapping[str, Any], *, paper: str, is_tagged: bool, apart: bool = False) -> bytes:
    """Return a template of typst/ filled with the inputs (each handed over as JSON) as PDF. Raises CannotPrint.

    apart: in a process of its own, for many pages.
    """
    if paper not in PAPERS:
        raise CannotPrint(f"Không có khổ giấy «{paper}». Chọn A5 hoặc A4.")
    texts = {key: json.dumps(value, ensure_ascii=False) for key, value in inputs.items()}
    set_pages = typesetting.compile_apart if apart else typesetting.compile_here
    try:
        return set_pages(template, {**texts, "paper": paper}, str(pdf_fonts.folder()), is_tagged=is_tagged)
    except (typesetting.CannotTypeset, pdf_fonts.NoFonts) as reason:
        raise CannotPrint(f"Không dựng được trang in: {reason} Báo người quản trị hệ thống.") from reason
