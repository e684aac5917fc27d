"""Pages of bills: the list, «Vì sao số tiền này», and corrections asked for and decided."""

from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from machnuoc.billing import bill_forms, bill_queries, corrections, ledger
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import Bill, Correction
from machnuoc.core import audit, export, vietnamese
from machnuoc.customers import privacy, visibility
from machnuoc.customers.models import Connection, DataAccess
from machnuoc.places import access

_get_or_post = require_http_methods(["GET", "HEAD", "POST"])
_EXPORT_AT_ONCE = 2_000


@require_safe
def bill_list(request: HttpRequest) -> HttpResponseBase:
    person: Any = request.user
    if not (access.may(person, "serve") or access.may(person, "view")):
        raise PermissionDenied("Tài khoản của bạn không xem hóa đơn. Nhờ quản trị viên cấp quyền nếu công việc cần.")
    filters = bill_forms.read_filters(request.GET)
    if export.format_of(request):
        return _export(request, filters)
    after = request.GET.get("after", "")
    is_id = after.isascii() and after.isdigit() and len(after) < 19
    page = bill_queries.get_page(person, filters, int(after) if is_id else 0)
    privacy.log_access(
        person, DataAccess.What.LIST, now=timezone.now(), count=page.unmasked, purpose="xem danh sách hóa đơn"
    )
    context = {
        "form": bill_forms.BillFilter(request.GET), "page": page, "is_first": not after,
        "rows": [
            (bill, page.names[bill.pk], page.open_vnd[bill.pk], bill.volume_l / 1000) for bill in page.rows
        ],
        "is_filtered": not filters.is_empty, "may_bill": access.may(person, "bill"),
        "waiting": bill_queries.list_waiting(person)[:20] if filters.is_empty and access.may(person, "bill") else [],
        "run": page.rows[0].run if filters.run and page.rows else None,  # named through a bill that is in sight
    }  # fmt: skip
    return render(request, "billing/bills/list.html", context)


def _export(request: HttpRequest, filters: bill_queries.Filters) -> HttpResponseBase:
    person: Any = request.user
    access.require(person, "export")
    rows = bill_queries.list_bills(person, filters)
    may_serve = access.may(person, "serve")
    now = timezone.now()

    def with_figures() -> Any:
        chunk: list[Bill] = []
        for bill in rows.iterator(chunk_size=_EXPORT_AT_ONCE):
            chunk.append(bill)
            if len(chunk) == _EXPORT_AT_ONCE:
                yield from _dressed(chunk)
                chunk = []
        yield from _dressed(chunk)

    def _dressed(chunk: list[Bill]) -> Any:
        served = visibility.served_among(person, [bill.connection for bill in chunk]) if may_serve else frozenset()
        open_vnd = ledger.open_of(chunk)
        privacy.log_access(
            person, DataAccess.What.EXPORT, now=now,
            count=len({bill.customer_id for bill in chunk if bill.connection_id in served}), purpose="xuất hóa đơn",
        )  # fmt: skip
        for bill in chunk:
            name = privacy.show(bill.customer, bill.connection, unmasked=bill.connection_id in served).name
            yield bill, name, open_vnd[bill.pk]

    columns: list[export.Column] = [
        ("Số hóa đơn", lambda row: row[0].name, "text"),
        ("Kỳ", lambda row: f"{row[0].period_start_date:%m/%Y}", "text"),
        ("Loại", lambda row: row[0].get_kind_display(), "text"),
        ("Tình trạng", lambda row: row[0].get_state_display(), "text"),
        ("Mã đấu nối", lambda row: row[0].connection.code, "text"),
        ("Khách hàng", lambda row: row[1], "text"),
        ("Công trình", lambda row: row[0].connection.work.subject.name, "text"),
        ("Đối tượng", lambda row: row[0].get_group_display(), "text"),
        ("Từ ngày", lambda row: row[0].from_date, "date"),
        ("Đến trước ngày", lambda row: row[0].to_date, "date"),
        ("Lượng nước (m³)", lambda row: row[0].volume_l / 1000, "number"),
        ("Tạm tính", lambda row: "có" if row[0].is_estimated else None, "text"),
        ("Tiền nước (đồng)", lambda row: row[0].net_vnd, "number"),
        ("Thuế GTGT (đồng)", lambda row: row[0].vat_vnd, "number"),
        ("Phí BVMT (đồng)", lambda row: row[0].fee_vnd, "number"),
        ("Tổng (đồng)", lambda row: row[0].total_vnd, "number"),
        ("Còn nợ (đồng)", lambda row: row[2], "number"),
        ("Hạn thanh toán", lambda row: row[0].due_date, "date"),
        ("Mô phỏng", lambda row: "có" if row[0].is_simulated else None, "text"),
    ]
    return export.export(
        request, name="Hóa đơn", columns=columns, rows=with_figures(), simulated=rows.filter(is_simulated=True).exists()
    )


def _get(request: HttpRequest, pk: int) -> Bill:
    bill = bill_queries.find_bill(request.user, pk)  # type: ignore[arg-type]
    if bill is None:
        raise Http404(f"no bill {pk} in scope")
    return bill


def _link(name: str, *arguments: object) -> str:
    try:
        return reverse(name, args=arguments)
    except NoReverseMatch:
        return ""


@require_safe
def bill_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Why this amount: readings, days, blocks and prices, fees, what came before, corrections, payments."""
    person: Any = request.user
    bill = _get(request, pk)
    page = bill_queries.get_bill_page(bill, person)
    if page.is_served:
        privacy.log_access(
            person, DataAccess.What.PAGE, now=timezone.now(), customer=bill.customer, purpose=f"xem hóa đơn #{bill.pk}"
        )
    may_bill = access.may(person, "bill", bill.connection.work_id)
    chart = {
        "type": "bar", "unit": "m³", "decimals": 0, "category_title": "Kỳ",
        "categories": [f"{month:%m/%Y}" for month, _, _ in page.history],
        "series": [{"name": "Lượng nước", "values": [volume_m3 for _, volume_m3, _ in page.history]}],
    }  # fmt: skip
    may_correct = (
        may_bill and bill.state == Bill.State.ISSUED and bill.kind in (Bill.Kind.NORMAL, Bill.Kind.REPLACEMENT)
    )
    known = [row for row in (bill, bill.run, *page.wishes) if row is not None]
    context = {
        "bill": bill, "page": page, "chart_data": chart, "has_chart": len(page.history) > 1,
        "audit": list(zip(page.audit, audit.sentences(page.audit, known), strict=True)) if may_bill else [],
        "may_correct": may_correct and not any(one.state == Correction.State.REQUESTED for one in page.wishes),
        "may_refund": bill.kind == Bill.Kind.ADJUSTMENT_DOWN and page.open_vnd < 0
        and (may_bill or visibility.may(person, "collect", bill.connection)),
        "may_bill": may_bill, "wishes": [(wish, corrections.may_decide(person, wish)) for wish in page.wishes],
        "fee_pct": round(100 * bill.fee_vnd / bill.net_vnd, 1) if bill.net_vnd else None,
        "vat_pct": round(100 * bill.vat_vnd / bill.net_vnd, 1) if bill.net_vnd else None,
        "pdf_url": _link("billing:bill_pdf", bill.pk),
        "tariffs": list({line.line.tariff_id: line.line.tariff for line in page.lines}.values()), **_words(bill, page),
    }  # fmt: skip
    return render(request, "billing/bills/detail.html", context)


def _words(bill: Bill, page: bill_queries.BillPage) -> dict[str, str]:
    """Return the words of the tiles."""
    change = ""
    if page.change_pct is not None:
        sign = "+" if page.change_pct > 0 else ""
        change = f"{sign}{vietnamese.format_percent(page.change_pct, 0)} so với {page.mean_of} kỳ trước"
    return {
        "open_text": vietnamese.format_money_vnd(page.open_vnd),
        "due_note": f"hạn {vietnamese.format_date(bill.due_date)}" if page.open_vnd > 0 else "",
        "volume_text": f"{vietnamese.format_number(page.volume_m3)} m³", "change_note": change,
        "days_text": vietnamese.format_number(page.days),
        "dates_note": f"từ {vietnamese.format_date(bill.from_date)} đến {vietnamese.format_date(bill.to_date)}",
    }  # fmt: skip


@_get_or_post
def bill_correct(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for an adjustment or a replacement; it is shown what the bill would become before it is sent."""
    person: Any = request.user
    bill = _get(request, pk)
    access.require(person, "bill", bill.connection.work_id)
    facts = corrections.facts_of(bill)
    initial = {
        "way": Correction.Way.ADJUST, "volume_m3": Decimal(facts.volume_l) / 1000, "group": facts.group,
        "households": facts.households, "persons": facts.persons,
    }  # fmt: skip
    form = bill_forms.CorrectionForm(request.POST or None, initial=initial)
    becomes = None
    is_stale = False
    form.fields["reason"].required = "send" in request.POST  # not to see what the bill would become
    is_read = request.method == "POST" and form.is_valid()
    form.fields["reason"].required = True
    if is_read:
        said = form.facts()
        try:
            becomes = corrections.charge_for(bill.connection, bill.from_date, bill.to_date, said)
            if "send" in request.POST:
                corrections.ask(
                    bill, way=form.cleaned_data["way"], facts=said, reason=form.cleaned_data["reason"], by=person,
                    now=timezone.now(),
                )  # fmt: skip
                messages.success(request, "Đã gửi đề nghị sửa hóa đơn; người có quyền duyệt sẽ quyết định.")
                return redirect("billing:bill_detail", bill.pk)
        except corrections.AlreadyCorrected as reason:
            is_stale = True
            form.add_error(None, str(reason))
        except BillingError as reason:
            form.add_error(None, str(reason))
    money = corrections.money_of(bill)
    context = {
        "bill": bill, "form": form, "becomes": becomes, "money": money, "name": bill.name,
        "difference": becomes.total_vnd - money.total_vnd if becomes else None,
    }  # fmt: skip
    status = 409 if is_stale else 422 if form.errors else 200
    return render(request, "billing/bills/correct.html", context, status=status)


def _get_wish(request: HttpRequest, pk: int) -> Correction:
    person: Any = request.user
    wish = (
        Correction.objects.filter(bill_queries.within(person, "bill__connection__"), pk=pk)
        .select_related("bill__series", "bill__connection", "decided_by")
        .first()
    )
    if wish is None:
        raise Http404(f"no correction {pk} in scope")
    if not access.may(person, "bill", wish.bill.connection.work_id):
        raise PermissionDenied("Tài khoản của bạn không được sửa hóa đơn ở công trình này.")
    return wish


@require_POST
def correction_approve(request: HttpRequest, pk: int) -> HttpResponse:
    wish = _get_wish(request, pk)
    try:
        made = corrections.approve(wish, by=request.user, now=timezone.now())  # type: ignore[arg-type]
    except BillingError as reason:
        messages.error(request, str(reason))
        return redirect("billing:bill_detail", wish.bill_id)
    messages.success(request, f"Đã duyệt và phát hành hóa đơn {made.name}.")
    return redirect("billing:bill_detail", made.pk)


@require_POST
def correction_refuse(request: HttpRequest, pk: int) -> HttpResponse:
    wish = _get_wish(request, pk)
    try:
        corrections.refuse(wish, by=request.user, now=timezone.now(), note=request.POST.get("note", ""))  # type: ignore[arg-type]
    except BillingError as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, "Đã ghi không duyệt; hóa đơn giữ nguyên.")
    return redirect("billing:bill_detail", wish.bill_id)


def connection_bills(person: Any, connection: Connection) -> dict[str, Any]:
    """Return what the panel on the page of a connection shows: its newest bills and what it owes."""
    rows = bill_queries.list_of_connection(connection)
    open_vnd = ledger.open_of(rows)
    return {
        "bills": [(bill, open_vnd[bill.pk]) for bill in rows], "balance": ledger.balance_of(connection.pk),
        "connection": connection,
    }  # fmt: skip
