"""Pages of e-invoices: the list, one invoice with its signature checked, files, days compared, how it is set up."""

import tempfile
import zipfile
from datetime import date
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from machnuoc.billing import einvoice_certificate, einvoice_operations, einvoice_queries, einvoice_xml
from machnuoc.billing.einvoice_forms import EInvoiceFilter
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import Bill, EInvoice
from machnuoc.core import audit, export, files, jobs
from machnuoc.core.models import Person
from machnuoc.core.periods import local_date
from machnuoc.core.vietnamese import format_number
from machnuoc.customers import privacy, visibility
from machnuoc.customers.models import DataAccess
from machnuoc.places import access

TONES = {
    "SIGNED": ("neutral", "pencil"), "SENT": ("info", "send"), "ACCEPTED": ("good", "circle-check"),
    "REFUSED": ("danger", "alert-circle"),
}  # fmt: skip
ZIP_MOST = 5_000
_TABS = (("list", "Hóa đơn"), ("days", "Đối chiếu"), ("setup", "Thiết lập"))
_ID_DIGITS = 18
_SEEN = ("view", "serve")

audit.describe("billing.einvoices.taken", "tải {count} tệp XML hóa đơn điện tử")
audit.describe("billing.einvoices.exported", "xuất danh sách {count} hóa đơn điện tử")


def _person(request: HttpRequest) -> Person:
    return request.user  # type: ignore[return-value]


def _require_bill(request: HttpRequest) -> Person:
    person = _person(request)
    if not access.may(person, "bill"):
        raise PermissionDenied("Tài khoản của bạn không làm việc với hóa đơn điện tử.")
    return person


def _tabs() -> list[tuple[str, str, str]]:
    names = {"list": "einvoice_list", "days": "einvoice_days", "setup": "einvoice_setup"}
    return [(key, title, reverse(f"billing:{names[key]}")) for key, title in _TABS]


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= _ID_DIGITS else None


# --- the list ---------------------------------------------------------------------------------------------------------


@never_cache
@require_safe
def einvoice_list(request: HttpRequest) -> HttpResponseBase:
    person = _require_bill(request)
    form = EInvoiceFilter(request.GET, person=person, today=local_date(timezone.now()))
    filters = form.read()
    rows = einvoice_queries.select(person, filters)
    if export.format_of(request):
        return _export(request, rows)
    page = einvoice_queries.list_page(
        rows, _number(request.GET.get("before", "")), _number(request.GET.get("after", ""))
    )
    context = {
        "tabs": _tabs(),
        "form": form,
        "page": page,
        "rows": [(one, TONES[one.state], one.bill.name) for one in page.rows],
        "counts": {state: _count(found) for state, found in einvoice_queries.count_by_state(person, filters).items()},
        "unsigned": _count(einvoice_queries.count_unsigned(person, filters)),
        "has_provider": bool(settings.EINVOICE_URL),
        "has_certificate": bool(settings.EINVOICE_P12),
        "is_filtered": any(request.GET.get(name) for name in ("state", "month", "number", "operator")),
        "zip_most": ZIP_MOST,
    }
    return render(request, "billing/einvoices/list.html", context)


def _count(found: int) -> str:
    """Return a count that stops somewhere as people say it: «hơn 10.000»."""
    most = einvoice_queries.COUNTED_MOST
    return format_number(found) if found <= most else f"hơn {format_number(most)}"


def _export(request: HttpRequest, rows: Any) -> HttpResponseBase:
    person = _person(request)
    access.require(person, "export")
    audit.record("billing.einvoices.exported", actor=person, count=rows.order_by().count())
    return export.export(
        request, name="Hóa đơn điện tử", columns=_COLUMNS, rows=rows.iterator(chunk_size=2_000),
        source_note="Hóa đơn điện tử đã ký", simulated=rows.filter(bill__is_simulated=True).exists(),
    )  # fmt: skip


_COLUMNS: list[export.Column] = [
    ("Ký hiệu", lambda row: str(row.bill.series), "text"), ("Số", lambda row: row.bill.number, "number"),
    ("Ngày lập", lambda row: local_date(row.bill.issued_at), "date"),
    ("Kỳ", lambda row: f"{row.bill.period_start_date:%m/%Y}", "text"),
    ("Loại", lambda row: row.bill.get_kind_display(), "text"),
    ("Mã đấu nối", lambda row: row.bill.connection.code, "text"),
    ("Tổng tiền (đồng)", lambda row: row.bill.total_vnd, "number"),
    ("Tình trạng", lambda row: row.get_state_display(), "text"),
    ("Ký lúc", lambda row: row.signed_at, "datetime"),
    ("Chữ ký thử nghiệm", lambda row: row.is_test_certificate, "text"),
    ("Gửi lúc", lambda row: row.sent_at, "datetime"),
    ("Mã của cơ quan thuế", lambda row: row.authority_code, "text"),
    ("Lỗi", lambda row: row.error, "text"),
    ("Mô phỏng", lambda row: "mô phỏng" if row.bill.is_simulated else "", "text"),
]  # fmt: skip


@never_cache
@require_safe
def einvoice_zip(request: HttpRequest) -> FileResponse:
    """Give the signed files of the filtered list as one archive; they hold names and addresses, so it is logged."""
    person = _require_bill(request)
    access.require(person, "export")
    form = EInvoiceFilter(request.GET, person=person, today=local_date(timezone.now()))
    rows = einvoice_queries.select(person, form.read(), action="serve").select_related("xml")
    found = list(rows[: ZIP_MOST + 1])
    if len(found) > ZIP_MOST:
        raise PermissionDenied(f"Danh sách có hơn {ZIP_MOST} hóa đơn. Lọc theo kỳ hoặc số rồi tải từng phần.")
    now = timezone.now()
    if found:
        privacy.log_access(person, DataAccess.What.EXPORT, now=now, count=len(found), purpose="Tải XML hóa đơn")
        audit.record("billing.einvoices.taken", actor=person, count=len(found))
    archive = tempfile.TemporaryFile()  # noqa: SIM115 FileResponse closes it, and closing removes it
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for one in found:
            with files.open_file(one.xml) as file:
                packed.writestr(f"{one.bill.series}-{one.bill.number:08d}.xml", file.read())
    archive.seek(0)
    name = f"hoa-don-dien-tu-{local_date(now):%Y%m%d}.zip"
    response = FileResponse(archive, as_attachment=True, filename=name, content_type="application/zip")
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response


# --- one invoice ------------------------------------------------------------------------------------------------------


def _get(request: HttpRequest, pk: int, action: str) -> EInvoice:
    rows = EInvoice.objects.select_related(
        "bill__series", "bill__connection", "bill__customer", "bill__operator__subject", "bill__corrects__series", "xml"
    )
    one = rows.filter(visibility.within_any(_person(request), _SEEN, prefix="bill__connection__"), pk=pk).first()
    if one is None:
        raise Http404("no such e-invoice in sight")
    visibility.require_connection(_person(request), action, one.bill.connection)
    return one


@never_cache
@require_safe
def einvoice_detail(request: HttpRequest, pk: int) -> HttpResponse:
    one = _get(request, pk, "bill")
    read: einvoice_xml.Signed | None = None
    problem = ""
    try:
        with files.open_file(one.xml) as file:
            read = einvoice_xml.read(file.read())
    except (einvoice_xml.BadInvoice, files.LostFile) as reason:
        problem = str(reason)
    if read is not None:
        problem = _compare(one.bill, read)
    context = {
        "one": one,
        "tone": TONES[one.state],
        "shown": one.bill.name,
        "read": read,
        "problem": problem,
        "is_own_signature": read is not None and read.fingerprint in _own_fingerprints(),
        "may_serve": visibility.may(_person(request), "serve", one.bill.connection),
        "may_send": one.state in {"SIGNED", "REFUSED"} and not one.bill.is_simulated and bool(settings.EINVOICE_URL),
    }
    return render(request, "billing/einvoices/detail.html", context)


def _compare(bill: Bill, read: einvoice_xml.Signed) -> str:
    """Return what the signed file says otherwise than the bill, "" if nothing."""
    pairs = (
        ("ký hiệu, số", (read.form, read.series, read.number), (bill.series.form, bill.series.code, bill.number)),
        ("tổng tiền", read.total_vnd, bill.total_vnd),
        ("thuế", read.vat_vnd, bill.vat_vnd),
        ("phí", read.fee_vnd, bill.fee_vnd),
    )
    differing = [name for name, said, stored in pairs if said != stored]
    return f"Tệp đã ký khác hóa đơn đang lưu ở: {', '.join(differing)}." if differing else ""


def _own_fingerprints() -> frozenset[str]:
    """Return the certificates that this installation signs with today."""
    found = set()
    now = timezone.now()
    for load in (einvoice_certificate.load, einvoice_certificate.load_test):
        try:
            found.add(load(now).fingerprint)
        except einvoice_certificate.CannotSign:
            continue  # told on the page of the setup
    return frozenset(found)


@never_cache
@require_safe
def einvoice_xml_file(request: HttpRequest, pk: int) -> FileResponse:
    one = _get(request, pk, "serve")
    privacy.log_access(
        _person(request), DataAccess.What.EXPORT, now=timezone.now(), customer=one.bill.customer,
        purpose="Tải XML hóa đơn",
    )  # fmt: skip
    return files.as_download(one.xml)


@require_POST
def einvoice_again(request: HttpRequest, pk: int) -> HttpResponse:
    one = _get(request, pk, "bill")
    try:
        einvoice_operations.send_again(one, by=_person(request), now=timezone.now())
    except BillingError as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, f"Đã xếp hàng gửi lại hóa đơn {one.bill.name}.")
    back = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}):
        back = reverse("billing:einvoice_detail", args=[one.pk])
    return redirect(back)


# --- days, setup ------------------------------------------------------------------------------------------------------


@never_cache
@require_safe
def einvoice_days(request: HttpRequest) -> HttpResponseBase:
    person = _require_bill(request)
    rows = einvoice_queries.list_days(person)
    if request.GET.get("differing"):
        rows = rows.exclude(missing=[], extra=[], refused=[], differing=[])
    if export.format_of(request):
        return export.export(
            request, name="Đối chiếu hóa đơn điện tử", columns=_DAY_COLUMNS, rows=rows.iterator(chunk_size=2_000)
        )
    page = Paginator(rows, 31).get_page(request.GET.get("page"))
    context = {
        "tabs": _tabs(),
        "page": page,
        "operators": einvoice_queries.list_operators(person),
        "has_provider": bool(settings.EINVOICE_URL),
        "today": local_date(timezone.now()),
        "only_differing": bool(request.GET.get("differing")),
    }
    return render(request, "billing/einvoices/days.html", context)


_DAY_COLUMNS: list[export.Column] = [
    ("Ngày", lambda row: row.day, "date"), ("Đơn vị", lambda row: str(row.operator), "text"),
    ("Đã ký", lambda row: row.ours, "number"), ("Nhà cung cấp có", lambda row: row.theirs, "number"),
    ("Đã được nhận", lambda row: row.accepted, "number"), ("Thiếu", lambda row: ", ".join(row.missing), "text"),
    ("Thừa", lambda row: ", ".join(row.extra), "text"), ("Bị từ chối", lambda row: ", ".join(row.refused), "text"),
    ("Khác số tiền", lambda row: ", ".join(row.differing), "text"),
    ("Đối chiếu lúc", lambda row: row.checked_at, "datetime"),
]  # fmt: skip


@require_POST
def einvoice_compare(request: HttpRequest) -> HttpResponse:
    """Queue the comparison of one day of one operator."""
    person = _require_bill(request)
    operator_id = _number(request.POST.get("operator", ""))
    operator = next((one for one in einvoice_queries.list_operators(person) if one.pk == operator_id), None)
    if operator is None:
        messages.error(request, "Chưa đối chiếu: chưa chọn đơn vị phát hành.")
        return redirect("billing:einvoice_days")
    try:
        day = date.fromisoformat(request.POST.get("day", ""))
    except ValueError:
        messages.error(request, "Chưa đối chiếu: ngày không đúng. Chọn lại ngày trên lịch.")
        return redirect("billing:einvoice_days")
    if not settings.EINVOICE_URL:
        messages.error(request, "Chưa nối nhà cung cấp hóa đơn điện tử nên không có gì để đối chiếu.")
        return redirect("billing:einvoice_days")
    jobs.enqueue(
        einvoice_operations.COMPARE_TASK, by=person, schedule=f"{einvoice_operations.COMPARE_TASK}:{operator.pk}:{day}",
        operator_id=operator.pk, day=day.isoformat(),
    )  # fmt: skip
    messages.success(request, f"Đã xếp hàng đối chiếu ngày {day:%d/%m/%Y} của {operator}.")
    return redirect("billing:einvoice_days")


@never_cache
@require_safe
def einvoice_setup(request: HttpRequest) -> HttpResponse:
    person = _require_bill(request)
    problem = ""
    signer = None
    try:
        signer = einvoice_certificate.load(timezone.now())
    except einvoice_certificate.CannotSign as reason:
        problem = str(reason)
    context = {
        "tabs": _tabs(),
        "signer": signer,
        "problem": problem,
        "has_provider": bool(settings.EINVOICE_URL),
        "provider_tax_code": settings.EINVOICE_TAX_CODE,
        "operators": einvoice_queries.list_operators(person),
        "laws": LAWS,
    }
    return render(request, "billing/einvoices/setup.html", context)


# Topic, document, whether it was checked against the document.
LAWS: tuple[tuple[str, str, bool], ...] = (
    ("Hóa đơn, chứng từ", "NĐ 123/2020/NĐ-CP ngày 19/10/2020", True),
    ("Sửa đổi NĐ 123/2020", "NĐ 70/2025/NĐ-CP ngày 20/03/2025, hiệu lực 01/06/2025", False),
    ("Hướng dẫn, thay TT 78/2021", "TT 32/2025/TT-BTC ngày 31/05/2025", True),
    ("Định dạng dữ liệu", "QĐ 1450/QĐ-TCT ngày 07/10/2021, sửa đổi bởi QĐ 1510/QĐ-TCT ngày 21/09/2022", False),
    ("Cấu trúc HDon, DLHDon, TTHDLQuan", "đối chiếu với các chương trình công khai đọc, viết hóa đơn thật", True),
    ("Phí bảo vệ môi trường trong DSLPhi", "QĐ 1450/QĐ-TCT", False),
    ("DLQRCode: chưa ghi, vì nguồn công khai không nói nội dung của mã", "QĐ 1450/QĐ-TCT", False),
    ("Mã TCHDon 1 (thay thế), 2 (điều chỉnh); LHDCLQuan 1", "QĐ 1450/QĐ-TCT", False),
    ("Chữ ký tham chiếu #Id của DLHDon, kèm thời điểm ký", "QĐ 1450/QĐ-TCT", False),
    ("Gửi qua tổ chức cung cấp giải pháp hóa đơn điện tử", "NĐ 123/2020/NĐ-CP", False),
)
