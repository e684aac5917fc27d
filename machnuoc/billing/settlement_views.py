"""Pages of what gateways handed over: what they still hold, each hand-over with its payments, a new one."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from machnuoc.billing import payment_forms, payment_queries, settlements
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import BankLine, GatewayOrder
from machnuoc.billing.payment_views import form_page, get_or_post, page_of, person_of, require_any, tabs
from machnuoc.core import export
from machnuoc.core.periods import local_date
from machnuoc.core.vietnamese import format_date, format_money_vnd, format_number, format_percent


@require_safe
def settlement_list(request: HttpRequest) -> HttpResponseBase:
    """Show what each gateway still holds, and what it handed over."""
    person = person_of(request)
    require_any(person, "bill")
    operators = payment_queries.list_own_operators(person)
    rows = settlements.list_settlements(operators)
    if export.format_of(request):
        return export.export(
            request, name="Cổng chuyển tiền về", columns=_COLUMNS, rows=rows.iterator(chunk_size=1_000),
            source_note="Các lần cổng thanh toán chuyển tiền về",
            simulated=rows.filter(is_simulated=True).exists(),
        )  # fmt: skip
    context = {
        "held": settlements.sum_up_held(list(operators[:20])), "page": page_of(rows, request), "tabs": tabs(person),
    }  # fmt: skip
    return render(request, "billing/payments/settlements.html", context)


_COLUMNS: list[export.Column] = [
    ("Số bảng kê", lambda row: row.document, "text"), ("Cổng", lambda row: row.get_gateway_display(), "text"),
    ("Đơn vị", lambda row: row.operator.subject.name, "text"), ("Ngày tiền về", lambda row: row.paid_date, "date"),
    ("Giao dịch", lambda row: row.count, "number"), ("Tổng giao dịch (đồng)", lambda row: row.gross_vnd, "number"),
    ("Phí cổng (đồng)", lambda row: row.fee_vnd, "number"), ("Thực nhận (đồng)", lambda row: row.net_vnd, "number"),
    ("Người ghi", lambda row: row.by.full_name if row.by else "", "text"),
    ("Tình trạng", lambda row: "đã đảo" if row.is_reversed else "có hiệu lực", "text"),
    ("Lý do đảo", lambda row: row.reversal.reason if row.is_reversed else "", "text"),
    ("Mô phỏng", lambda row: "mô phỏng" if row.is_simulated else "", "text"),
]  # fmt: skip


@require_safe
def settlement_detail(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Show one hand-over with the payments it holds."""
    person = person_of(request)
    require_any(person, "bill")
    rows = settlements.list_settlements(payment_queries.list_own_operators(person))
    one = get_object_or_404(rows, pk=pk)
    items = one.items.select_related("payment__connection").order_by("pk")
    if export.format_of(request):
        return export.export(
            request, name=f"Cổng chuyển tiền {one.document}", columns=_ITEM_COLUMNS,
            rows=items.iterator(chunk_size=1_000), source_note=f"Bảng kê {one.document}", simulated=one.is_simulated,
        )  # fmt: skip
    context = {"one": one, "page": page_of(items, request), "postings": settlements.list_postings(one)}
    return render(request, "billing/payments/settlement.html", context)


_ITEM_COLUMNS: list[export.Column] = [
    ("Khoản thu", lambda row: row.payment_id, "number"), ("Mã giao dịch", lambda row: row.payment.external_id, "text"),
    ("Đấu nối", lambda row: row.payment.connection.code, "text"),
    ("Nhận lúc", lambda row: row.payment.received_at, "datetime"),
    ("Số tiền (đồng)", lambda row: row.amount_vnd, "number"),
]  # fmt: skip


@get_or_post
def settlement_reverse(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a hand-over back, with a reason."""
    person = person_of(request)
    require_any(person, "bill")
    one = get_object_or_404(settlements.list_settlements(payment_queries.list_own_operators(person)), pk=pk)
    form = payment_forms.ReasonForm(request.POST if request.method == "POST" else None)
    back = reverse("billing:settlement_detail", args=[pk])
    if form.is_bound and form.is_valid():
        try:
            settlements.reverse(one, reason=form.cleaned_data["reason"], now=timezone.now(), by=person)
        except BillingError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(
                request, f"Đã đảo bảng kê {one.document}. Cổng lại giữ {format_number(one.count)} khoản thu của nó."
            )
            return redirect(back)
    freed = "; giao dịch trên sao kê trở lại chờ khớp" if one.bank_line else ""
    return form_page(
        request, form, title=f"Đảo bảng kê {one.document}", back=back, button="Đảo lần chuyển tiền",
        lead=f"{format_money_vnd(one.gross_vnd)} của {format_number(one.count)} khoản thu trở về «tiền đang chuyển» "
        f"bằng bút toán đảo{freed}. Lần ghi này vẫn còn trong sổ.",
    )  # fmt: skip


@get_or_post
def settlement_add(request: HttpRequest) -> HttpResponse:
    """Record a hand-over: what it would be is shown first, and recorded when it is confirmed."""
    person, now = person_of(request), timezone.now()
    require_any(person, "bill")
    operators = payment_queries.list_own_operators(person)
    line = _find_line(request, operators)
    form = payment_forms.SettlementForm(
        request.POST if request.method == "POST" else None, operators=operators, line=line,
        initial={"until_date": local_date(line.booked_at) if line else timezone.localdate(now), "gateway": "vnpay"},
    )  # fmt: skip
    lead, button = "Chọn cổng và ngày; tổng, phí và số giao dịch hiện ra để xem trước khi ghi.", "Tính thử"
    if form.is_bound and form.is_valid():
        said = form.cleaned_data
        operator = line.statement.operator if line else said["operator"]
        net_vnd = line.amount_vnd if line else said["net_vnd"]
        try:
            words = _words(operator, said, net_vnd)
            if request.POST.get("confirmed") == words:
                made = settlements.record(
                    operator, gateway=said["gateway"], until_date=said["until_date"], net_vnd=net_vnd,
                    paid_date=local_date(line.booked_at) if line else said["paid_date"], document=said["document"],
                    now=now, by=person, bank_line=line, without=said["without"],
                )  # fmt: skip
                messages.success(request, f"Đã ghi bảng kê {made.document}.")
                return redirect("billing:settlement_detail", made.pk)
            lead, button = words, "Đúng, ghi vào sổ"
        except BillingError as reason:
            form.add_error(None, str(reason))
    elif line is not None:
        lead = (
            f"Giao dịch ngân hàng {format_money_vnd(line.amount_vnd)} ngày {format_date(local_date(line.booked_at))}."
        )
    return form_page(
        request, form, title="Ghi tiền cổng chuyển về", back=reverse("billing:settlement_list"), button=button,
        lead=lead, hidden=[("confirmed", lead)] if button != "Tính thử" else [],
    )  # fmt: skip


def _find_line(request: HttpRequest, operators: Any) -> BankLine | None:
    asked = request.GET.get("line", "")
    if not (asked.isascii() and asked.isdigit() and len(asked) < 19):
        return None
    rows = BankLine.objects.filter(statement__operator__in=operators).exclude(statement__layout={})
    return get_object_or_404(rows.select_related("statement__operator"), pk=int(asked))


def _words(operator: Any, said: dict[str, Any], net_vnd: int) -> str:
    """Return what the hand-over would be, in words: they are what is confirmed, so that nothing changes in between.

    Raises NotPossible if what lacks cannot be the gateway's price.
    """
    rows, back = settlements.choose(operator, said["gateway"], said["until_date"], said["without"])
    gross_vnd = sum(row.amount_vnd for row in rows) - sum(row.amount_vnd for row in back)
    settlements.require_plausible(said["gateway"], gross_vnd, net_vnd)
    fee_vnd = gross_vnd - net_vnd
    share = f" ({format_percent(fee_vnd * 100 / gross_vnd, 2)})"
    label = GatewayOrder.Gateway(said["gateway"]).label
    return (
        f"{label} đến hết {format_date(said['until_date'])}: {format_number(len(rows))} khoản thu"
        f"{f', trừ {len(back)} khoản đã đảo' if back else ''}, tổng {format_money_vnd(gross_vnd)}; thực nhận "
        f"{format_money_vnd(net_vnd)}, phí cổng {format_money_vnd(fee_vnd)}{share}."
    )
