"""Pages of the ledger: accounts by month, the journal with its sources, and the check of the whole."""

from datetime import date
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from machnuoc.billing import ledger_queries
from machnuoc.billing.models import Account, Posting
from machnuoc.core import export
from machnuoc.core.choices import month_choices
from machnuoc.core.periods import BadPeriod, Period
from machnuoc.core.vietnamese import format_number
from machnuoc.places import access

_ROWS_A_PAGE = 50
_ASKED = ("day", "month", "account", "source", "q")


def _month(request: HttpRequest) -> Period:
    try:
        found = Period.parse(request.GET.get("month", "")[:7])
    except BadPeriod:
        found = Period.containing(timezone.localdate(), "M")
    return found if found.kind == "M" else Period.containing(timezone.localdate(), "M")


@require_safe
def balances(request: HttpRequest) -> HttpResponseBase:
    """Opening balance, movements and closing balance of each account in a month."""
    person: Any = request.user
    access.require(person, "bill")
    month = _month(request)
    rows = ledger_queries.list_balances(person, month)
    if export.format_of(request):
        columns: list[export.Column] = [
            ("Số hiệu", lambda row: row.key, "text"),
            ("Tài khoản", lambda row: row.label, "text"),
            ("Đầu kỳ (đồng, dương là dư nợ)", lambda row: row.opening_vnd, "number"),
            ("Phát sinh nợ (đồng)", lambda row: row.debit_vnd, "number"),
            ("Phát sinh có (đồng)", lambda row: row.credit_vnd, "number"),
            ("Cuối kỳ (đồng, dương là dư nợ)", lambda row: row.closing_vnd, "number"),
        ]
        return export.export(request, name=f"Số dư tài khoản {month.key}", columns=columns, rows=rows)
    months = ledger_queries.list_months(person)
    chart = {
        "type": "bar", "unit": "triệu đồng", "decimals": 1, "category_title": "Tháng",
        "categories": [f"{row.month:%m/%Y}" for row in months],
        "series": [
            {"name": "Hóa đơn phát hành", "values": [row.billed_vnd / 10**6 for row in months]},
            {"name": "Tiền thu", "values": [row.received_vnd / 10**6 for row in months]},
        ],
    }  # fmt: skip
    context = {
        "month": month, "months": month_choices(timezone.localdate(), month.key), "rows": rows,
        "chart_data": chart, "has_chart": len(months) > 0,
        "debit": sum(row.debit_vnd for row in rows), "credit": sum(row.credit_vnd for row in rows),
        "closing": sum(row.closing_vnd for row in rows), "checked": request.session.pop("ledger_checked", None),
        "has_simulated": ledger_queries.list_postings(person).filter(is_simulated=True).exists(),
    }  # fmt: skip
    return render(request, "billing/ledger/balances.html", context)


@require_safe
def journal(request: HttpRequest) -> HttpResponseBase:
    """Every posting, newest first, each with the way to what it rests on."""
    person: Any = request.user
    access.require(person, "bill")
    asked = request.GET
    try:
        day = date.fromisoformat(asked.get("day", ""))
    except ValueError:
        day = None
    try:
        month = Period.parse(asked.get("month", "")[:7])
    except BadPeriod:
        month = None
    rows = ledger_queries.list_journal(
        person, day=day, month=month, account=asked.get("account", ""), source=asked.get("source", ""),
        connection_code=asked.get("q", "")[:24],
    )  # fmt: skip
    if export.format_of(request):
        columns: list[export.Column] = [
            ("Số", lambda row: row.pk, "number"),
            ("Ngày", lambda row: row.date, "date"),
            ("Nợ", lambda row: row.debit, "text"),
            ("Có", lambda row: row.credit, "text"),
            ("Số tiền (đồng)", lambda row: row.amount_vnd, "number"),
            ("Đấu nối", lambda row: row.connection.code if row.connection else None, "text"),
            ("Chứng từ", lambda row: row.get_source_display(), "text"),
            ("Số chứng từ", lambda row: row.source_id, "number"),
            ("Ghi lúc", lambda row: row.at, "datetime"),
            ("Mô phỏng", lambda row: "có" if row.is_simulated else None, "text"),
        ]
        return export.export(
            request, name="Nhật ký sổ cái", columns=columns, rows=rows.iterator(chunk_size=2_000),
            simulated=rows.filter(is_simulated=True).exists(),
        )  # fmt: skip
    try:
        number = max(1, int(asked.get("page", "1")))
    except ValueError:
        number = 1
    number = min(number, 2_000)
    begin = (number - 1) * _ROWS_A_PAGE
    found = list(rows[begin : begin + _ROWS_A_PAGE + 1])  # one more, instead of counting millions
    context = {
        "rows": found[:_ROWS_A_PAGE], "number": number, "has_next": len(found) > _ROWS_A_PAGE,
        "previous": number - 1, "next": number + 1, "accounts": Account.choices, "sources": Posting.Source.choices,
        "months": month_choices(timezone.localdate(), month.key if month else ""),
        "asked": {name: asked.get(name, "") for name in _ASKED}, "is_filtered": any(map(asked.get, _ASKED)),
    }  # fmt: skip
    return render(request, "billing/ledger/journal.html", context)


@require_POST
def verify(request: HttpRequest) -> HttpResponse:
    """Check the ledger within the person's scope against bills, payments and allocations, now."""
    person: Any = request.user
    access.require(person, "bill")
    found = ledger_queries.verify(person)
    request.session["ledger_checked"] = {
        "at": timezone.now().isoformat(), "postings": found.postings, "bills": found.bills,
        "problems": found.problems[:20],
    }  # fmt: skip
    if found.is_sound:
        messages.success(
            request,
            f"Sổ cái cân: {format_number(found.postings)} bút toán khớp với {format_number(found.bills)} hóa đơn "
            "và mọi khoản thu.",
        )
    else:
        messages.error(request, f"Sổ cái có {len(found.problems)} điểm không khớp. Xem chi tiết bên dưới.")
    return redirect(reverse("billing:ledger"))
