"""Pages of work orders: the list, one order, one without a request."""

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Case, F, Q, Value, When
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from machnuoc.core import export
from machnuoc.core.models import Person
from machnuoc.customers import clock, privacy, request_forms, request_queries, work_orders
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import DataAccess, WorkOrder
from machnuoc.places import access

_ROWS_A_PAGE = 50
_get_or_post = require_http_methods(["GET", "HEAD", "POST"])
# Their words name people, places and phones of customers; each look is written down.
_ABOUT_CUSTOMERS = Q(connection__isnull=False) | Q(request__isnull=False)
_TONES = {
    WorkOrder.State.OPEN: ("warning", "inbox"), WorkOrder.State.STARTED: ("info", "player-play"),
    WorkOrder.State.DONE: ("good", "circle-check"), WorkOrder.State.CANCELLED: ("neutral", "circle-x"),
}  # fmt: skip


def _person(request: HttpRequest) -> Person:
    return request.user  # type: ignore[return-value]


def _dress(rows: Sequence[WorkOrder], now: Any) -> Sequence[WorkOrder]:
    for row in rows:
        shown: Any = row
        shown.tone, shown.icon = _TONES[WorkOrder.State(row.state)]
        shown.is_late = work_orders.is_overdue(row, now)
        is_open = row.state in work_orders.OPEN_STATES
        shown.left = clock.left_text(row.due_at, now) if row.due_at and is_open else ""
    return rows


_COLUMNS: Sequence[export.Column] = [
    ("Mã phiếu", lambda row: row.code, "text"),
    ("Loại việc", lambda row: row.get_kind_display(), "text"),
    ("Việc cần làm", lambda row: row.text, "text"),
    ("Tình trạng", lambda row: row.get_state_display(), "text"),
    ("Công trình", lambda row: row.work.subject.name, "text"),
    ("Đấu nối", lambda row: row.connection.code if row.connection else None, "text"),
    ("Phản ánh", lambda row: row.request.code if row.request else None, "text"),
    ("Đơn vị", lambda row: row.unit.subject.name if row.unit else None, "text"),
    ("Người làm", lambda row: row.assignee.full_name if row.assignee else None, "text"),
    ("Lập lúc", lambda row: row.created_at, "datetime"),
    ("Hạn", lambda row: row.due_at, "datetime"),
    ("Xong lúc", lambda row: row.done_at, "datetime"),
    ("Kết quả", lambda row: row.done_note, "text"),
]


@require_safe
def work_order_list(request: HttpRequest) -> HttpResponseBase:
    person, now = _person(request), timezone.now()
    access.require(person, "serve")
    form = request_forms.OrderFilter(request.GET)
    wanted = form.read()
    rows = work_orders.visible(person)
    if wanted["q"].strip():
        text = wanted["q"].strip()
        rows = rows.filter(Q(code__icontains=text) | Q(text__icontains=text) | Q(connection__code__iexact=text))
    if wanted["kind"]:
        rows = rows.filter(kind=wanted["kind"])
    if wanted["mine"]:
        rows = rows.filter(assignee=person)
    if wanted["state"] == "overdue":
        rows = rows.filter(state__in=work_orders.OPEN_STATES, due_at__lt=now)
    elif wanted["state"] in WorkOrder.State.values:
        rows = rows.filter(state=wanted["state"])
    elif wanted["state"] != "all":
        rows = rows.filter(state__in=work_orders.OPEN_STATES)
    is_open = Case(When(state__in=work_orders.OPEN_STATES, then=Value(0)), default=Value(1))
    rows = rows.annotate(_open=is_open).order_by("_open", F("due_at").asc(nulls_last=True), "-pk")
    rows = rows.select_related("work__subject", "connection", "request", "unit__subject", "assignee")
    if export.format_of(request):
        access.require(person, "export")
        count = rows.filter(_ABOUT_CUSTOMERS).count()
        privacy.log_access(person, DataAccess.What.EXPORT, now=now, count=count, purpose="Xuất phiếu công việc")
        return export.export(
            request, name="Phiếu công việc", columns=_COLUMNS, rows=rows.iterator(chunk_size=500),
            simulated=rows.filter(Q(request__is_simulated=True) | Q(connection__is_simulated=True)).exists(),
        )  # fmt: skip
    page = Paginator(rows, _ROWS_A_PAGE).get_page(request.GET.get("page"))
    count = sum(row.connection_id is not None or row.request_id is not None for row in page.object_list)
    privacy.log_access(person, DataAccess.What.LIST, now=now, count=count, purpose="Danh sách phiếu công việc")
    context = {
        "form": form, "page": page, "rows": _dress(list(page.object_list), now),
        "is_filtered": any(value for key, value in request.GET.items() if key != "page"),
    }  # fmt: skip
    part = "#orders" if request.htmx else ""  # type: ignore[attr-defined]
    return render(request, f"customers/work_orders/list.html{part}", context)


@_get_or_post
def work_order_add(request: HttpRequest) -> HttpResponse:
    person = _person(request)
    access.require(person, "serve")
    initial = {"connection": request.GET.get("connection", "")[:24], "kind": request.GET.get("kind", "")[:12]}
    form = request_forms.FreeOrderForm(request.POST or None, person=person, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            made = work_orders.create(by=person, now=timezone.now(), **form.cleaned_data)
        except CustomersError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã lập phiếu {made.code}.")
            return redirect("customers:work_order_detail", made.code)
    return render(request, "customers/work_orders/add.html", {"form": form}, status=422 if form.errors else 200)


def _get(request: HttpRequest, code: str) -> WorkOrder:
    rows = work_orders.visible(_person(request)).select_related(
        "work__subject",
        "connection__customer",
        "request__category",
        "request__connection__customer",
        "request__place",
        "connection__place",
        "unit__subject",
        "assignee",
        "created_by",
    )
    return get_object_or_404(rows, code=code)


@require_safe
def work_order_detail(request: HttpRequest, code: str) -> HttpResponse:
    return _show(request, _get(request, code), "")


def _show(request: HttpRequest, row: WorkOrder, error: str) -> HttpResponse:
    person, now = _person(request), timezone.now()
    _dress([row], now)
    if row.connection_id is not None or row.request_id is not None:
        about = row.connection or (row.request.connection if row.request else None)
        privacy.log_access(
            person, DataAccess.What.PAGE, now=now, customer=about.customer if about else None,
            purpose=f"Xem phiếu {row.code}",
        )  # fmt: skip
    where: Any = row.request or row.connection
    whom = row.request if row.request and row.request.phone else row.connection.customer if row.connection else None
    facts = [
        ("Loại việc", row.get_kind_display()),
        ("Công trình", row.work.subject.name),
        ("Nơi", ", ".join(filter(None, [where.address, where.place.name if where.place else ""])) if where else ""),
        ("Điện thoại", privacy.show_phone(whom.phone) if whom else ""),
        ("Đơn vị", row.unit.subject.name if row.unit else ""),
        ("Người làm", row.assignee.full_name if row.assignee else ""),
        ("Lập lúc", timezone.localtime(row.created_at).strftime("%H:%M ngày %d/%m/%Y")),
        ("Người lập", row.created_by.full_name if row.created_by else "Hệ thống"),
        ("Hạn", clock.due_text(row.due_at) if row.due_at else ""),
        ("Xong lúc", timezone.localtime(row.done_at).strftime("%H:%M ngày %d/%m/%Y") if row.done_at else ""),
        ("Kết quả", row.done_note),
    ]
    context = {
        "order": row, "facts": [(term, text) for term, text in facts if text], "error": error,
        "may_act": _may_act(person, row) and row.state in work_orders.OPEN_STATES,
        "said": request.POST.get("note", "")[:500],
        "point": f"{where.latitude:.6f},{where.longitude:.6f}" if where and where.latitude is not None else "",
        "may_read": row.request is not None
        and request_queries.visible(person, "view").filter(pk=row.request.pk).exists(),
    }  # fmt: skip
    return render(request, "customers/work_orders/detail.html", context, status=422 if error else 200)


def _may_act(person: Person, row: WorkOrder) -> bool:
    return row.assignee_id == person.pk or work_orders.may(person, "serve", row)


@require_POST
def work_order_act(request: HttpRequest, code: str, act: str) -> HttpResponse:
    row, person, now = _get(request, code), _person(request), timezone.now()
    if not _may_act(person, row):
        raise PermissionDenied("Chỉ người được giao hoặc đơn vị của phiếu mới làm được việc này.")
    said = request.POST.get("note", "")
    try:
        if act == "bat-dau":
            work_orders.start(row, by=person, now=now)
        elif act == "xong":
            work_orders.finish(row, note=said, by=person, now=now)
        elif act == "huy":
            work_orders.cancel(row, why=said, by=person, now=now)
        else:
            raise Http404(f"no act {act}")
    except CustomersError as reason:
        return _show(request, _get(request, code), str(reason))
    messages.success(request, f"Đã ghi vào phiếu {row.code}.")
    return redirect("customers:work_order_detail", row.code)
