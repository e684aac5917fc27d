"""Pages of money: the counter, receipts, drawers, payments, refunds, collectors' sheets, gateway orders."""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from machnuoc.billing import (
    bill_pdf,
    callbacks,
    collectors,
    gateway_orders,
    ledger,
    payment_forms,
    payment_queries,
    payments,
    reference,
    refunds,
    till,
    words,
)
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import (
    Bill,
    BillingProfile,
    CollectionSheet,
    GatewayOrder,
    Payment,
    Posting,
    Refund,
    TillSession,
)
from machnuoc.core import export
from machnuoc.core.middleware import client_address
from machnuoc.core.models import Person
from machnuoc.core.periods import LOCAL_ZONE
from machnuoc.core.vietnamese import format_datetime, format_money_vnd
from machnuoc.customers import connection_queries, privacy, visibility
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Connection, DataAccess
from machnuoc.places import access

ROWS_A_PAGE = 50
FOUND_MOST = 20
get_or_post = require_http_methods(["GET", "HEAD", "POST"])
EXPECTED = (BillingError, CustomersError)


def person_of(request: HttpRequest) -> Person:
    return request.user  # type: ignore[return-value]


def page_of(rows: Any, request: HttpRequest) -> Any:
    return Paginator(rows, ROWS_A_PAGE).get_page(request.GET.get("page"))


def is_filtered(request: HttpRequest) -> bool:
    return any(value for key, value in request.GET.items() if key not in {"page", "sort", "export"})


def start_of(day: date) -> datetime:
    return datetime.combine(day, time(), LOCAL_ZONE)


def require_any(person: Person, *actions: str) -> None:
    if not any(access.may(person, action) for action in actions):
        raise PermissionDenied("Tài khoản của bạn không có quyền thực hiện việc này.")


def form_page(request: HttpRequest, form: Any, *, title: str, back: str, **more: Any) -> HttpResponse:
    """Show a form on a page of its own; 422 if it says what cannot be."""
    context = {"form": form, "title": title, "back_url": back, "button": "Lưu", **more}
    status = 422 if form.is_bound and form.errors else 200
    return render(request, "billing/payments/form.html", context, status=status)


def tabs(person: Person) -> list[tuple[str, str, str]]:
    names = [("payment_list", "Khoản thu"), ("refund_list", "Hoàn tiền")]
    if access.may(person, "collect"):
        names = [("counter", "Quầy thu"), ("till_list", "Quỹ thu"), *names, ("sheet_list", "Thu theo tuyến")]
    elif access.may(person, "bill"):
        names = [("till_list", "Quỹ thu"), *names]
    if access.may(person, "collect") or access.may(person, "bill"):
        names.append(("gateway_list", "Cổng thanh toán"))
    if access.may(person, "bill"):
        names.append(("settlement_list", "Cổng chuyển tiền về"))
    return [(name, title, reverse(f"billing:{name}")) for name, title in names]


# --- the counter ----------------------------------------------------------------------------------------------------


@require_safe
def counter(request: HttpRequest) -> HttpResponse:
    """Find who pays: by any piece of code, name, address or phone, or by the reference printed on a bill."""
    person, now = person_of(request), timezone.now()
    require_any(person, "collect")
    form = payment_forms.CounterSearch(request.GET)
    form.is_valid()
    q = str(form.cleaned_data.get("q") or "").strip()
    found: list[Connection] = []
    if q:
        named = Bill.objects.filter(pk__in=reference.find(q)).values("connection_id")
        found = list(connection_queries.with_names(visibility.list_connections(person, "collect").filter(pk__in=named)))
        if not found:
            filters = connection_queries.Filters(q=q)
            found = list(connection_queries.list_page(person, filters, size=FOUND_MOST).rows)
            allowed = visibility.list_connections(person, "collect").filter(pk__in=[one.pk for one in found])
            ids = set(allowed.values_list("pk", flat=True))
            found = [one for one in found if one.pk in ids]
        privacy.log_access(person, DataAccess.What.LIST, now=now, count=len(found), purpose="Thu tiền tại quầy")
        exact = [one for one in found if one.code.lower() == q.lower()] or found
        if len(exact) == 1:
            return redirect("billing:counter_connection", exact[0].code)
    owed = payments_owed([one.pk for one in found])
    context = {
        "form": form, "q": q, "rows": [(one, owed.get(one.pk, 0)) for one in found], "tabs": tabs(person),
        "till": till.open_till_of(person), "more": len(found) == FOUND_MOST,
    }  # fmt: skip
    return render(request, "billing/payments/counter.html", context)


def payments_owed(connection_ids: list[int]) -> dict[int, int]:
    """Return what who holds each connection now has open in all, đồng."""
    sums: dict[int, int] = dict.fromkeys(connection_ids, 0)
    holders = dict(Connection.objects.filter(pk__in=connection_ids).values_list("pk", "customer_id"))
    for bill in ledger.list_open_bills(connection_ids):
        if bill.customer_id == holders[bill.connection_id]:
            sums[bill.connection_id] += bill.open_vnd
    return {pk: max(0, amount_vnd) for pk, amount_vnd in sums.items()}


def get_connection(request: HttpRequest, code: str, action: str) -> Connection:
    """Return a connection of those on which the person may do the action; 404 for others."""
    rows = visibility.list_connections(person_of(request), action)
    return get_object_or_404(connection_queries.with_names(rows), code=code)


@get_or_post
def counter_connection(request: HttpRequest, code: str) -> HttpResponse:
    """Show what a connection owes and take cash: Enter takes what is shown, and shows the receipt."""
    person, now = person_of(request), timezone.now()
    require_any(person, "collect")
    connection = get_connection(request, code, "collect")
    drawer = till.open_till_of(person)
    account = payment_queries.account_of(connection, timezone.localdate(now))
    form = payment_forms.CashForm(
        request.POST if request.method == "POST" else None,
        initial={"amount_vnd": account.owed_vnd or None, "payer": "", "seen_vnd": account.owed_vnd},
        former=account.former,
    )  # fmt: skip
    said = form.cleaned_data if form.is_bound and form.is_valid() else {}
    is_repeated = bool(said.get("key")) and Payment.objects.filter(idempotency_key=said["key"]).exists()
    if said and (is_repeated or not form.owed_has_changed(account.owed_vnd)):
        holder = next((one for one, _ in account.former if str(one.pk) == said.get("holder")), connection.customer)
        try:
            paid = payments.record_payment(
                connection=connection, amount_vnd=said["amount_vnd"], method=payments.Method.CASH, received_at=now,
                now=now, by=person, till=drawer, payer=said["payer"] or holder.name, note=said["note"],
                idempotency_key=said["key"] or None, customer=holder,
            )  # fmt: skip
        except BillingError as reason:
            form.add_error(None, str(reason))
        else:
            return redirect("billing:receipt", paid.pk)
    privacy.log_access(person, DataAccess.What.PAGE, now=now, customer=connection.customer, purpose="Thu tiền tại quầy")
    recent = payment_queries.with_reversals(connection.payments.order_by("-pk"))[:6]
    context = {
        "connection": connection, "shown": privacy.show(connection.customer, connection, unmasked=True),
        "account": account, "form": form, "till": drawer, "recent": recent, "tabs": tabs(person),
        "bills": [(row, row.bill.name) for row in account.bills],
        "gateways": [(name, GatewayOrder.Gateway(name).label) for name in gateway_orders.list_configured()],
    }  # fmt: skip
    status = 422 if form.is_bound else 200
    return render(request, "billing/payments/counter_connection.html", context, status=status)


def get_payment(request: HttpRequest, pk: int) -> Any:
    return get_object_or_404(payment_queries.list_payments(person_of(request)), pk=pk)


@require_safe
def receipt(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the receipt of a payment, to be printed; a reversed one says so."""
    person = person_of(request)
    payment = get_payment(request, pk)
    privacy.log_access(
        person, DataAccess.What.PAGE, now=timezone.now(), customer=payment.connection.customer, purpose="In biên lai"
    )
    if request.GET.get("pdf"):
        answer = HttpResponse(bill_pdf.receipt(payment), content_type="application/pdf")
        answer["Content-Disposition"] = f'inline; filename="bien-lai-{payment.receipt_number or payment.pk}.pdf"'
        answer["Cache-Control"] = "private, no-store"
        return answer
    account = payment_queries.account_of(payment.connection, timezone.localdate())
    context = {
        "payment": payment, "profile": BillingProfile.objects.filter(operator=payment.operator_id).first(),
        "in_words": words.amount_in_words(payment.amount_vnd), "account": account,
        "paid": [(bill.name, bill, amount) for bill, amount in payment_queries.paid_bills(payment)],
        "left_vnd": payments.unallocated([payment.pk])[payment.pk], "today": timezone.localdate(),
        "may_collect": access.may(person, "collect"),
    }  # fmt: skip
    return render(request, "billing/payments/receipt.html", context)


# --- drawers --------------------------------------------------------------------------------------------------------


@get_or_post
def till_list(request: HttpRequest) -> HttpResponseBase:
    """Show one's own drawer and those of before; open one."""
    person, now = person_of(request), timezone.now()
    require_any(person, "collect", "bill")
    rows = payment_queries.list_tills(person)
    if export.format_of(request):
        return export.export(
            request, name="Quỹ thu", columns=_TILL_COLUMNS, rows=rows.iterator(chunk_size=1_000),
            source_note="Quỹ thu tiền mặt",
        )  # fmt: skip
    mine = till.open_till_of(person)
    operators = payment_queries.list_operators(person)
    form = None
    if mine is None and access.may(person, "collect"):
        form = payment_forms.OpenTillForm(request.POST if request.method == "POST" else None, operators=operators)
    elif request.method == "POST":
        raise PermissionDenied("Bạn không mở quỹ được: đã có quỹ chưa chốt, hoặc không có quyền thu tiền.")
    if form is not None and form.is_bound and form.is_valid():
        said = form.cleaned_data
        try:
            till.open_till(said["operator"], person=person, opening_vnd=said["opening_vnd"], now=now)
        except BillingError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã mở quỹ. Bắt đầu thu tiền.")
            return redirect("billing:counter")
    context = {
        "page": page_of(rows, request), "mine": mine, "sums": till.sums_of(mine) if mine else None, "form": form,
        "tabs": tabs(person),
    }  # fmt: skip
    return render(request, "billing/payments/tills.html", context, status=422 if form and form.errors else 200)


_TILL_COLUMNS: list[export.Column] = [
    ("Quỹ", lambda row: row.pk, "number"), ("Người giữ", lambda row: row.person.full_name, "text"),
    ("Đơn vị", lambda row: row.operator.subject.name, "text"), ("Mở lúc", lambda row: row.opened_at, "datetime"),
    ("Chốt lúc", lambda row: row.closed_at, "datetime"), ("Tiền đầu ca (đồng)", lambda row: row.opening_vnd, "number"),
    ("Số khoản thu", lambda row: row.count, "number"), ("Đã thu (đồng)", lambda row: row.taken_vnd or 0, "number"),
    ("Theo sổ (đồng)", lambda row: row.expected_vnd, "number"),
    ("Đếm được (đồng)", lambda row: row.counted_vnd, "number"),
    ("Chênh lệch (đồng)",
     lambda row: None if row.counted_vnd is None else row.counted_vnd - (row.expected_vnd or 0), "number"),
    ("Ghi chú", lambda row: row.note, "text"),
]  # fmt: skip


@get_or_post
def till_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what a drawer holds; close it with a count."""
    person, now = person_of(request), timezone.now()
    drawer = get_object_or_404(payment_queries.list_tills(person), pk=pk)
    is_mine = drawer.person_id == person.pk and drawer.state == TillSession.State.OPEN
    if request.method == "POST" and not is_mine:
        raise PermissionDenied("Chỉ người giữ quỹ mới chốt quỹ đang mở.")
    form = payment_forms.CloseTillForm(request.POST if request.method == "POST" else None) if is_mine else None
    if form is not None and form.is_bound and form.is_valid():
        said = form.cleaned_data
        try:
            till.close_till(drawer, counted_vnd=said["counted_vnd"], note=said["note"], now=now, by=person)
        except BillingError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã chốt quỹ #{drawer.pk}.")
            return redirect("billing:till_detail", drawer.pk)
    rows = payment_queries.list_payments(person).filter(till=drawer)
    context = {
        "drawer": drawer, "sums": till.sums_of(drawer), "form": form, "page": page_of(rows, request),
        "difference_vnd": None if drawer.counted_vnd is None else drawer.counted_vnd - (drawer.expected_vnd or 0),
        "may_confirm": drawer.state == TillSession.State.CLOSED and drawer.confirmed_by_id is None
        and drawer.person_id != person.pk and access.may(person, "bill", drawer.operator_id),
    }  # fmt: skip
    return render(request, "billing/payments/till.html", context, status=422 if form and form.errors else 200)


@require_POST
def till_confirm(request: HttpRequest, pk: int) -> HttpResponse:
    person = person_of(request)
    drawer = get_object_or_404(payment_queries.list_tills(person), pk=pk)
    access.require(person, "bill", drawer.operator_id)
    return act(
        request, lambda: till.confirm_till(drawer, by=person, now=timezone.now()), f"Đã xác nhận quỹ #{drawer.pk}.",
        reverse("billing:till_detail", args=[drawer.pk]),
    )  # fmt: skip


def act(request: HttpRequest, run: Callable[[], Any], done: str, back: str) -> HttpResponse:
    """Run an act and go back with its outcome in words."""
    try:
        run()
    except EXPECTED as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, done)
    return redirect(back)


# --- payments -------------------------------------------------------------------------------------------------------


@require_safe
def payment_list(request: HttpRequest) -> HttpResponseBase:
    person = person_of(request)
    require_any(person, "serve")
    form = payment_forms.PaymentFilter(request.GET)
    rows = payment_queries.narrow(payment_queries.list_payments(person), form.read(), start_of)
    if export.format_of(request):
        privacy.log_access(
            person, DataAccess.What.EXPORT, now=timezone.now(), count=rows.count(), purpose="Xuất khoản thu"
        )
        return export.export(
            request, name="Khoản thu", columns=_PAYMENT_COLUMNS, rows=rows.iterator(chunk_size=1_000),
            filters=form.describe(), source_note="Các khoản thu đã ghi nhận",
            simulated=rows.filter(is_simulated=True).exists(),
        )  # fmt: skip
    page = page_of(rows, request)
    left = payments.unallocated([row.pk for row in page.object_list])
    context = {
        "form": form, "page": page, "rows": [(row, left[row.pk]) for row in page.object_list],
        "is_filtered": is_filtered(request), "tabs": tabs(person),
    }  # fmt: skip
    return render(request, "billing/payments/list.html", context)


_PAYMENT_COLUMNS: list[export.Column] = [
    ("Số", lambda row: row.pk, "number"), ("Nhận lúc", lambda row: row.received_at, "datetime"),
    ("Đấu nối", lambda row: row.connection.code, "text"),
    ("Khách hàng", lambda row: row.connection.customer.name, "text"),
    ("Hình thức", lambda row: row.get_method_display(), "text"),
    ("Số tiền (đồng)", lambda row: row.amount_vnd, "number"),
    ("Số biên lai", lambda row: row.receipt_number, "number"), ("Mã giao dịch", lambda row: row.external_id, "text"),
    ("Người nộp", lambda row: row.payer, "text"),
    ("Người ghi", lambda row: row.recorded_by.full_name if row.recorded_by else "", "text"),
    ("Tình trạng", lambda row: "đã đảo" if row.is_reversed else "", "text"),
    ("Mô phỏng", lambda row: "mô phỏng" if row.is_simulated else "", "text"),
]  # fmt: skip


@require_safe
def payment_detail(request: HttpRequest, pk: int) -> HttpResponse:
    person = person_of(request)
    payment = get_payment(request, pk)
    may_bill = visibility.may(person, "bill", payment.connection)
    privacy.log_access(
        person, DataAccess.What.PAGE, now=timezone.now(), customer=payment.connection.customer, purpose="Xem khoản thu"
    )
    postings = Posting.objects.filter(
        source__in=[Posting.Source.PAYMENT, Posting.Source.ALLOCATION, Posting.Source.REVERSAL], source_id=payment.pk,
        connection_id=payment.connection_id,
    ).order_by("pk")  # fmt: skip
    reversal = getattr(payment, "reversal", None) if payment.is_reversed else None
    left_vnd = payments.unallocated([payment.pk])[payment.pk]
    context = {
        "payment": payment, "reversal": reversal, "left_vnd": left_vnd, "postings": postings,
        "paid": [(bill.name, bill, amount) for bill, amount in payment_queries.paid_bills(payment)],
        "refunds": payment.refunds.select_related("requested_by"), "may_bill": may_bill,
        "may_ask": left_vnd > 0 and (may_bill or visibility.may(person, "collect", payment.connection)),
        "callbacks": payment.order.callbacks.order_by("pk") if payment.order else [],
        "facts": _facts(payment),
    }  # fmt: skip
    return render(request, "billing/payments/payment.html", context)


def _facts(payment: Payment) -> list[tuple[str, Any]]:
    rows = [
        ("Hình thức", payment.get_method_display()), ("Nhận lúc", format_datetime(payment.received_at)),
        ("Ghi nhận lúc", format_datetime(payment.recorded_at)),
        ("Người ghi", payment.recorded_by.full_name if payment.recorded_by else "Hệ thống"),
        ("Người nộp", payment.payer), ("Số biên lai", str(payment.receipt_number or "")),
        ("Mã giao dịch", payment.external_id or ""), ("Ghi chú", payment.note),
    ]  # fmt: skip
    return [(label, text) for label, text in rows if text]


@get_or_post
def payment_reverse(request: HttpRequest, pk: int) -> HttpResponse:
    person = person_of(request)
    payment = get_payment(request, pk)
    visibility.require_connection(person, "bill", payment.connection)
    form = payment_forms.ReasonForm(request.POST if request.method == "POST" else None)
    back = reverse("billing:payment_detail", args=[pk])
    if form.is_bound and form.is_valid():
        try:
            payments.reverse_payment(payment, reason=form.cleaned_data["reason"], now=timezone.now(), by=person)
        except BillingError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã đảo khoản thu số {pk}. Hóa đơn liên quan trở lại chưa trả.")
            return redirect(back)
    return form_page(
        request, form, title=f"Đảo khoản thu số {pk}", back=back, button="Đảo khoản thu",
        lead=f"{format_money_vnd(payment.amount_vnd)} của {payment.connection.code} được trả lại bằng bút toán đảo; "
        "khoản thu vẫn còn trong sổ.",
    )  # fmt: skip


# --- refunds --------------------------------------------------------------------------------------------------------


@get_or_post
def refund_request(request: HttpRequest, pk: int) -> HttpResponse:
    person = person_of(request)
    payment = get_payment(request, pk)
    if not visibility.may(person, "bill", payment.connection):
        visibility.require_connection(person, "collect", payment.connection)
    left_vnd = payments.unallocated([pk])[pk]
    form = payment_forms.RefundForm(
        request.POST if request.method == "POST" else None, initial={"amount_vnd": left_vnd or None}
    )
    if form.is_bound and form.is_valid():
        said = form.cleaned_data
        try:
            refunds.request_refund(
                payment, amount_vnd=said["amount_vnd"], reason=said["reason"], now=timezone.now(), by=person
            )
        except BillingError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã gửi yêu cầu hoàn tiền, chờ người khác duyệt.")
            return redirect("billing:refund_list")
    return form_page(
        request, form, title="Yêu cầu hoàn tiền", back=reverse("billing:payment_detail", args=[pk]),
        button="Gửi yêu cầu",
        lead=f"Khoản thu số {pk} còn {format_money_vnd(left_vnd)} chưa dùng để trả hóa đơn.",
    )  # fmt: skip


@get_or_post
def credit_refund_request(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for what a decrease leaves to go back to its customer."""
    person = person_of(request)
    rows = Bill.objects.filter(visibility.within(person, "serve", "connection__"), kind=Bill.Kind.ADJUSTMENT_DOWN)
    bill = get_object_or_404(rows.select_related("connection", "series"), pk=pk)
    if not visibility.may(person, "bill", bill.connection):
        visibility.require_connection(person, "collect", bill.connection)
    left_vnd = refunds.returnable(bill)
    form = payment_forms.RefundForm(
        request.POST if request.method == "POST" else None, initial={"amount_vnd": left_vnd or None}
    )
    if form.is_bound and form.is_valid():
        said = form.cleaned_data
        try:
            refunds.request_credit_refund(
                bill, amount_vnd=said["amount_vnd"], reason=said["reason"], now=timezone.now(), by=person
            )
        except BillingError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã gửi yêu cầu hoàn tiền, chờ người khác duyệt.")
            return redirect("billing:refund_list")
    return form_page(
        request, form, title="Yêu cầu hoàn tiền", back=reverse("billing:bill_detail", args=[pk]), button="Gửi yêu cầu",
        lead=f"Hóa đơn giảm {bill.name} còn {format_money_vnd(left_vnd)}. Hóa đơn chưa trả của khách hàng này "
        "được cấn trừ trước; phần còn lại mới hoàn.",
    )  # fmt: skip


@require_safe
def refund_list(request: HttpRequest) -> HttpResponseBase:
    person = person_of(request)
    require_any(person, "serve")
    form = payment_forms.RefundFilter(request.GET)
    state = form.said()["state"]
    rows = payment_queries.list_refunds(person)
    if state:
        rows = rows.filter(state=state)
    if export.format_of(request):
        return export.export(
            request, name="Hoàn tiền", columns=_REFUND_COLUMNS, rows=rows.iterator(chunk_size=1_000),
            filters=form.describe(), source_note="Yêu cầu hoàn tiền",
        )  # fmt: skip
    context = {
        "form": form, "page": page_of(rows, request), "is_filtered": is_filtered(request), "tabs": tabs(person),
        "may_approve": access.may(person, "approve"),
        "may_pay": access.may(person, "bill") or access.may(person, "collect"), "me": person.pk,
        "State": Refund.State,
    }  # fmt: skip
    return render(request, "billing/payments/refunds.html", context)


_REFUND_COLUMNS: list[export.Column] = [
    ("Số", lambda row: row.pk, "number"), ("Đấu nối", lambda row: row.connection.code, "text"),
    ("Số tiền (đồng)", lambda row: row.amount_vnd, "number"), ("Lý do", lambda row: row.reason, "text"),
    ("Tình trạng", lambda row: row.get_state_display(), "text"),
    ("Yêu cầu lúc", lambda row: row.requested_at, "datetime"),
    ("Quyết định lúc", lambda row: row.decided_at, "datetime"),
    ("Trả lúc", lambda row: row.paid_at, "datetime"), ("Trả bằng", lambda row: row.paid_how, "text"),
]  # fmt: skip


@require_POST
def refund_act(request: HttpRequest, pk: int, act_name: str) -> HttpResponse:
    """Approve, refuse or pay a refund."""
    person, now = person_of(request), timezone.now()
    refund = get_object_or_404(payment_queries.list_refunds(person), pk=pk)
    back = reverse("billing:refund_list")
    if act_name in {"duyet", "tu-choi"}:
        visibility.require_connection(person, "approve", refund.connection)
        is_approved = act_name == "duyet"
        done = "Đã duyệt hoàn tiền." if is_approved else "Đã từ chối hoàn tiền."
        return act(
            request, lambda: refunds.decide_refund(refund, is_approved=is_approved, now=now, by=person), done, back
        )
    if act_name not in {"tra-tien-mat", "tra-chuyen-khoan"}:
        raise Http404
    is_cash = act_name == "tra-tien-mat"
    visibility.require_connection(person, "collect" if is_cash else "bill", refund.connection)
    drawer = till.open_till_of(person) if is_cash else None
    if is_cash and drawer is None:
        messages.error(request, "Chưa mở quỹ: mở quỹ ở trang «Quỹ thu» rồi trả tiền mặt.")
        return redirect(back)
    how = "Tiền mặt" if is_cash else "Chuyển khoản"
    return act(
        request, lambda: refunds.pay_refund(refund, how=how, till=drawer, now=now, by=person),
        f"Đã trả {format_money_vnd(refund.amount_vnd)}.", back,
    )  # fmt: skip


# --- collectors -----------------------------------------------------------------------------------------------------


@get_or_post
def sheet_list(request: HttpRequest) -> HttpResponse:
    person = person_of(request)
    require_any(person, "collect")
    form = payment_forms.SheetForm(
        request.POST if request.method == "POST" else None, routes=payment_queries.list_routes(person)
    )
    if form.is_bound and form.is_valid():
        route = form.cleaned_data["route"]
        try:
            made = collectors.make_sheet(route, collector=route.collector or person, now=timezone.now(), by=person)
        except BillingError as reason:
            form.add_error(None, str(reason))
        else:
            return redirect("billing:sheet_detail", made.pk)
    context = {"form": form, "page": page_of(payment_queries.list_sheets(person), request), "tabs": tabs(person)}
    return render(request, "billing/payments/sheets.html", context, status=422 if form.errors else 200)


@get_or_post
def sheet_detail(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Show a collector's sheet in walking order; record what was taken at a door."""
    person, now = person_of(request), timezone.now()
    require_any(person, "collect")
    sheet: CollectionSheet = get_object_or_404(payment_queries.list_sheets(person), pk=pk)
    if request.method == "POST":
        return _sheet_act(request, sheet, now)
    rows = payment_queries.sheet_rows(sheet)
    if export.format_of(request):
        privacy.log_access(person, DataAccess.What.EXPORT, now=now, count=len(rows), purpose="Phiếu thu theo tuyến")
        return export.export(
            request, name=f"Phiếu thu {sheet.route.code}", columns=_SHEET_COLUMNS, rows=rows,
            source_note=f"Phiếu thu #{sheet.pk}", simulated=sheet.route.is_simulated,
        )  # fmt: skip
    privacy.log_access(person, DataAccess.What.LIST, now=now, count=len(rows), purpose="Phiếu thu theo tuyến")
    context = {
        "sheet": sheet, "rows": rows, "is_mine": sheet.collector_id == person.pk and sheet.closed_at is None,
        "open_vnd": sum(row.open_vnd for row in rows), "paid_vnd": sum(row.paid_vnd for row in rows),
        "till": till.open_till_of(person), "key": payment_forms.new_key(),
    }  # fmt: skip
    return render(request, "billing/payments/sheet.html", context)


def _sheet_act(request: HttpRequest, sheet: CollectionSheet, now: datetime) -> HttpResponse:
    person, back = person_of(request), reverse("billing:sheet_detail", args=[sheet.pk])
    if request.POST.get("act") == "close":
        return act(
            request, lambda: collectors.close_sheet(sheet, now=now, by=person), f"Đã đóng phiếu thu #{sheet.pk}.", back
        )
    form = payment_forms.CashForm(request.POST)
    connection = get_object_or_404(
        visibility.list_connections(person, "collect").select_related("customer"),
        code=request.POST.get("connection", ""),
    )
    if not form.is_valid():
        messages.error(request, f"{connection.code}: nhập số tiền là số nguyên lớn hơn 0.")
        return redirect(back)
    said = form.cleaned_data
    return act(
        request,
        lambda: collectors.take(
            sheet, connection, amount_vnd=said["amount_vnd"], key=said["key"], now=now, by=person
        ),
        f"Đã ghi {format_money_vnd(said['amount_vnd'])} của {connection.code}.", back,
    )  # fmt: skip


_SHEET_COLUMNS: list[export.Column] = [
    ("Đấu nối", lambda row: row.connection.code, "text"),
    ("Khách hàng", lambda row: row.connection.customer.name, "text"),
    ("Địa chỉ", lambda row: row.connection.address, "text"), ("Số hóa đơn", lambda row: row.bills, "number"),
    ("Còn phải thu (đồng)", lambda row: row.open_vnd, "number"), ("Đã thu (đồng)", lambda row: row.paid_vnd, "number"),
]  # fmt: skip


# --- gateways -------------------------------------------------------------------------------------------------------


@require_safe
def gateway_list(request: HttpRequest) -> HttpResponseBase:
    person, now = person_of(request), timezone.now()
    require_any(person, "collect", "bill")
    form = payment_forms.OrderFilter(request.GET)
    said = form.said()
    rows = payment_queries.list_orders(person, "collect" if access.may(person, "collect") else "bill")
    if said["gateway"]:
        rows = rows.filter(gateway=said["gateway"])
    if said["state"]:
        rows = rows.filter(state=said["state"])
    if said["q"]:
        q = str(said["q"]).strip()
        rows = rows.filter(connection__code__icontains=q) | rows.filter(reference__icontains=q)
    if export.format_of(request):
        return export.export(
            request, name="Giao dịch qua cổng", columns=_ORDER_COLUMNS, rows=rows.iterator(chunk_size=1_000),
            filters=form.describe(), source_note="Giao dịch qua cổng thanh toán",
        )  # fmt: skip
    verdicts = callbacks.Verdict
    bad = payment_queries.bad_callbacks(now - timedelta(days=7)) if access.may(person, "bill") else {}
    context = {
        "form": form, "page": page_of(rows, request), "is_filtered": is_filtered(request), "tabs": tabs(person),
        "gateways": [(label, gateway_orders.is_configured(name)) for name, label in GatewayOrder.Gateway.choices],
        "bad": [(verdicts(name).label, count) for name, count in sorted(bad.items())],
    }  # fmt: skip
    return render(request, "billing/payments/gateways.html", context)


_ORDER_COLUMNS: list[export.Column] = [
    ("Cổng", lambda row: row.get_gateway_display(), "text"), ("Mã giao dịch", lambda row: row.reference, "text"),
    ("Đấu nối", lambda row: row.connection.code, "text"), ("Số tiền (đồng)", lambda row: row.amount_vnd, "number"),
    ("Tình trạng", lambda row: row.get_state_display(), "text"), ("Tạo lúc", lambda row: row.created_at, "datetime"),
    ("Xong lúc", lambda row: row.settled_at, "datetime"),
]  # fmt: skip


@require_POST
def gateway_begin(request: HttpRequest, code: str) -> HttpResponse:
    """Make a gateway order for what a connection owes, and show its address to hand to the customer."""
    person, now = person_of(request), timezone.now()
    connection = get_connection(request, code, "collect")
    gateway = request.POST.get("gateway", "")
    if gateway not in GatewayOrder.Gateway.values:
        messages.error(request, "Chọn cổng thanh toán.")
        return redirect("billing:counter_connection", code)
    try:
        order, address = gateway_orders.begin(
            connection, gateway=gateway, now=now, by=person, client_ip=client_address(request),
            site_url=gateway_orders.site_url_of(request.build_absolute_uri("/")),
        )  # fmt: skip
    except BillingError as reason:
        messages.error(request, str(reason))
        return redirect("billing:counter_connection", code)
    return _show_order(request, order, address)


@get_or_post
def gateway_order(request: HttpRequest, pk: int) -> HttpResponse:
    """Show an order with what the gateway said of it; POST asks the gateway."""
    person = person_of(request)
    require_any(person, "collect", "bill")
    rows = payment_queries.list_orders(person, "collect" if access.may(person, "collect") else "bill")
    order = get_object_or_404(rows, pk=pk)
    if request.method == "POST":
        return act(
            request, lambda: gateway_orders.ask(order, now=timezone.now()), "Đã hỏi cổng thanh toán.",
            reverse("billing:gateway_order", args=[pk]),
        )  # fmt: skip
    return _show_order(request, order, "")


def _show_order(request: HttpRequest, order: GatewayOrder, address: str) -> HttpResponse:
    context = {
        "order": order, "address": address, "callbacks": order.callbacks.order_by("pk"),
        "payment": Payment.objects.filter(order=order).first(), "State": GatewayOrder.State,
    }  # fmt: skip
    return render(request, "billing/payments/order.html", context)
