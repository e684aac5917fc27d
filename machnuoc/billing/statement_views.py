"""Pages of bank statements: bring a file, say which column is which, look at what was matched."""

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db.models import OuterRef, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from machnuoc.billing import payment_forms, payment_queries, statement_columns, statements
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import BankLine, BankStatement, GatewaySettlement
from machnuoc.billing.payment_views import act, form_page, get_or_post, is_filtered, page_of, person_of, require_any
from machnuoc.billing.statement_columns import CannotRead, ChangedColumns, Layout
from machnuoc.core import export, files, jobs
from machnuoc.core.models import Person
from machnuoc.core.vietnamese import format_number
from machnuoc.customers import privacy, visibility
from machnuoc.customers.models import DataAccess

AT_ONCE_MOST = 2_000  # lines that are matched while the person waits; more go to a job


def _statements(person: Person) -> Any:
    operators = payment_queries.list_own_operators(person)
    return BankStatement.objects.filter(operator__in=operators).select_related(
        "operator__subject", "file", "imported_by"
    )


def _lines(person: Person) -> Any:
    # An import that was broken off has no columns yet: its transfers are nobody's to look at until it is done.
    done = _statements(person).exclude(layout={})
    settled = GatewaySettlement.objects.filter(bank_line=OuterRef("pk"), is_reversed=False).values("pk")
    return (
        BankLine.objects.filter(statement__in=done)
        .select_related("statement", "proposed__customer", "proposed_customer", "payment__reversal", "confirmed_by")
        .annotate(settlement_id=Subquery(settled))
    )


@get_or_post
def statement_list(request: HttpRequest) -> HttpResponseBase:
    person, now = person_of(request), timezone.now()
    require_any(person, "bill")
    rows = _statements(person).order_by("-pk")
    if export.format_of(request):
        return export.export(
            request, name="Sao kê ngân hàng", columns=_STATEMENT_COLUMNS, rows=rows.iterator(chunk_size=1_000),
            source_note="Các tệp sao kê đã nạp",
        )  # fmt: skip
    form = payment_forms.StatementForm(
        request.POST if request.method == "POST" else None, request.FILES or None,
        operators=payment_queries.list_own_operators(person),
    )  # fmt: skip
    if form.is_bound and form.is_valid():
        said = form.cleaned_data
        try:
            made = statements.receive(
                said["file"], name=said["file"].name, bank=said["bank"], operator=said["operator"], by=person, now=now
            )
        except (files.RefusedFile, BillingError) as reason:
            form.add_error("file", str(reason))
        else:
            return _read_at_once(request, made, now)
    banks = rows.exclude(layout={}).values_list("bank", flat=True).order_by("bank").distinct()[:20]
    context = {
        "form": form, "page": page_of(rows, request), "banks": list(banks),
        "waiting": _lines(person).filter(match__in=statements.WAITING, payment__isnull=True, amount_vnd__gt=0).count(),
    }  # fmt: skip
    return render(request, "billing/statements/list.html", context, status=422 if form.errors else 200)


_STATEMENT_COLUMNS: list[export.Column] = [
    ("Số", lambda row: row.pk, "number"), ("Ngân hàng", lambda row: row.bank, "text"),
    ("Nạp lúc", lambda row: row.imported_at, "datetime"), ("Nhận (dòng)", lambda row: row.received, "number"),
    ("Lưu (dòng)", lambda row: row.stored, "number"), ("Trùng (dòng)", lambda row: row.duplicate, "number"),
    ("Từ chối (dòng)", lambda row: row.rejected, "number"),
]  # fmt: skip


def _read_at_once(request: HttpRequest, statement: BankStatement, now: datetime) -> HttpResponse:
    """Read a file by the columns that were confirmed for its bank; else ask for them."""
    layout = statements.remembered_layout(statement.operator, statement.bank)
    if layout is None:
        return redirect("billing:statement_columns", statement.pk)
    try:
        _import(request, statement, layout, now)
    except ChangedColumns as reason:
        messages.error(request, str(reason))
        return redirect("billing:statement_columns", statement.pk)
    except (CannotRead, BillingError) as reason:
        messages.error(request, str(reason))
    return redirect("billing:statement_detail", statement.pk)


def _import(request: HttpRequest, statement: BankStatement, layout: Layout, now: datetime) -> None:
    person = person_of(request)
    done = statements.import_lines(statement, layout, now=now, by=person)
    if done.stored > AT_ONCE_MOST:
        jobs.enqueue("billing.match_statement", by=person, statement_id=done.pk)
        messages.success(request, f"Đã lưu {format_number(done.stored)} giao dịch; đang khớp ở phía sau.")
        return
    counts = statements.match_lines(done, now=now, by=person)
    exact = counts.get("EXACT", 0)
    messages.success(
        request,
        f"Nhận {format_number(done.received)} dòng: lưu {format_number(done.stored)}, "
        f"trùng {format_number(done.duplicate)}, từ chối {format_number(done.rejected)}. "
        f"Khớp chắc chắn {format_number(exact)}; chờ xác nhận {format_number(sum(counts.values()) - exact)}.",
    )


@get_or_post
def columns(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask which column is which; the names of headings suggest, a person confirms."""
    person, now = person_of(request), timezone.now()
    statement = get_object_or_404(_statements(person), pk=pk)
    back = reverse("billing:statement_list")
    if statement.layout:
        return redirect("billing:statement_detail", pk)
    try:
        rows = statements.read_table(statement.file)
        place, headings = statement_columns.find_headings(rows)
    except (BillingError, CannotRead, files.LostFile) as reason:
        messages.error(request, str(reason))
        return redirect(back)
    form = payment_forms.ColumnsForm(
        request.POST if request.method == "POST" else None, headings=headings, roles=statement_columns.ROLES,
        optional=statement_columns.OPTIONAL, initial=statement_columns.propose(headings),
    )  # fmt: skip
    if form.is_bound and form.is_valid():
        try:
            _import(request, statement, Layout(**form.cleaned_data), now)
        except (CannotRead, BillingError) as reason:
            form.add_error(None, str(reason))
        else:
            return redirect("billing:statement_detail", pk)
    sample = [[statement_columns.heading(cell) for cell in cells] for cells in rows[place + 1 : place + 6]]
    return form_page(
        request, form, title="Cột nào là cột nào", back=back, button="Xác nhận và nạp", headings=headings,
        sample=sample,
        lead=f"Tệp {statement.file.name}, ngân hàng {statement.bank}. Chương trình không tự đoán: xem lại từng cột rồi "
        "xác nhận. Lần sau, tệp cùng ngân hàng được đọc theo cách này.",
    )  # fmt: skip


@get_or_post
def statement_detail(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Show the transfers of a statement and whose they are; POST matches again what has no match."""
    person, now = person_of(request), timezone.now()
    statement = get_object_or_404(_statements(person), pk=pk)
    if request.method == "POST":
        return act(
            request, lambda: statements.match_lines(statement, now=now, by=person), "Đã khớp lại các dòng chưa khớp.",
            reverse("billing:statement_detail", args=[pk]),
        )  # fmt: skip
    if not statement.layout:
        return redirect("billing:statement_columns", pk)
    form = payment_forms.LineFilter(request.GET)
    said = form.said()
    rows = _lines(person).filter(statement=statement).order_by("row")
    if said["match"] == "WAITING":
        rows = rows.filter(match__in=statements.WAITING, payment__isnull=True, amount_vnd__gt=0)
    elif said["match"]:
        rows = rows.filter(match=said["match"])
    if said["q"]:
        q = str(said["q"]).strip()
        rows = rows.filter(text__icontains=q) | rows.filter(bank_reference__icontains=q)
    if export.format_of(request):
        privacy.log_access(person, DataAccess.What.EXPORT, now=now, count=rows.count(), purpose=f"Sao kê {pk}")
        return export.export(
            request, name=f"Sao kê {statement.pk}", columns=_LINE_COLUMNS, rows=rows.iterator(chunk_size=1_000),
            filters=form.describe(), source_note=f"{statement.bank}, tệp {statement.file.name}",
        )  # fmt: skip
    page = page_of(rows, request)
    privacy.log_access(person, DataAccess.What.LIST, now=now, count=len(page.object_list), purpose=f"Sao kê {pk}")
    context = {
        "statement": statement, "form": form, "page": page, "is_filtered": is_filtered(request),
        "rows": [(row, row.bank_reference.partition(":")[2]) for row in page.object_list],
        "Match": BankLine.Match, "problems": sorted(statement.problems, key=lambda one: one["row"]),
    }  # fmt: skip
    return render(request, "billing/statements/statement.html", context)


_LINE_COLUMNS: list[export.Column] = [
    ("Dòng", lambda row: row.row, "number"), ("Giao dịch lúc", lambda row: row.booked_at, "datetime"),
    ("Số tiền (đồng)", lambda row: row.amount_vnd, "number"), ("Nội dung", lambda row: row.text, "text"),
    ("Số tham chiếu", lambda row: row.bank_reference, "text"), ("Khớp", lambda row: row.get_match_display(), "text"),
    ("Đấu nối", lambda row: row.proposed.code if row.proposed else "", "text"),
    ("Vì sao", lambda row: row.proposed_why, "text"), ("Khoản thu", lambda row: row.payment_id, "number"),
]  # fmt: skip


@require_POST
def line_act(request: HttpRequest, pk: int, act_name: str) -> HttpResponse:
    """Confirm a transfer for a connection (by its code), ignore it, or take a match back."""
    person, now = person_of(request), timezone.now()
    line = get_object_or_404(_lines(person), pk=pk)
    back = reverse("billing:statement_detail", args=[line.statement_id])
    if request.GET:
        back = f"{back}?{request.GET.urlencode()}"
    if act_name == "bo-qua":
        return act(request, lambda: statements.ignore_line(line, by=person), "Đã bỏ qua giao dịch.", back)
    if act_name == "hoan-tac":
        reason = " ".join(request.POST.get("reason", "").replace("\0", "").split())[:300]
        if line.payment_id is not None and not reason:
            messages.error(request, f"Ghi lý do hoàn tác dòng {line.row}: khoản thu số {line.payment_id} sẽ bị đảo.")
            return redirect(back)
        return act(
            request,
            lambda: statements.undo_line(line, reason=reason, now=now, by=person),
            "Đã hoàn tác ghi nhận.",
            back,
        )
    if act_name != "ghi":
        raise Http404
    code, _, holder_code = " ".join(request.POST.get("code", "").split())[:50].partition(" ")
    connection = (
        visibility.list_connections(person, "bill").select_related("customer").filter(code__iexact=code).first()
    )
    if connection is None:
        messages.error(request, f"Không có đấu nối «{code}» trong phạm vi của bạn. Kiểm tra lại mã đấu nối.")
        return redirect(back)
    holder = line.proposed_customer if line.proposed_id == connection.pk else None
    if holder_code:
        holder = payment_queries.holders_of(connection).filter(code__iexact=holder_code).first()
        if holder is None:
            messages.error(request, f"«{holder_code}» không phải khách hàng từng dùng đấu nối {connection.code}.")
            return redirect(back)
    return act(
        request, lambda: statements.confirm_line(line, connection, now=now, by=person, customer=holder),
        f"Đã ghi giao dịch cho {connection.code}{f', chủ cũ {holder.code}' if holder else ''}.", back,
    )  # fmt: skip
