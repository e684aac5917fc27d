"""Pages of the desk: the list, the map, taking down, one request and what is done about it, statistics, settings."""

import secrets
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from machnuoc.core import audit, export, outgoing, permissions
from machnuoc.core.models import Person
from machnuoc.core.periods import BadPeriod, Period, PeriodKind
from machnuoc.customers import (
    clock,
    open311_client,
    privacy,
    request_categories,
    request_forms,
    request_operations,
    request_queries,
    work_orders,
)
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import (
    AnswerTemplate,
    Category,
    DataAccess,
    Open311Endpoint,
    Request,
    RequestEvent,
    RequestPhoto,
    Routing,
    ServiceHours,
    WorkOrder,
)
from machnuoc.customers.request_public_views import ICONS, show_photo
from machnuoc.places import access

_ROWS_A_PAGE = 50
_ON_THE_MAP = 500
_get_or_post = require_http_methods(["GET", "HEAD", "POST"])

audit.describe("customers.answer_template.added", "thêm mẫu trả lời {target}")
audit.describe("customers.answer_template.removed", "bỏ mẫu trả lời {target}")

STATE_TONES = {
    Request.State.NEW: ("warning", "inbox"), Request.State.ASSIGNED: ("info", "user-circle"),
    Request.State.ANSWERED: ("good", "message"), Request.State.CLOSED: ("good", "circle-check"),
    Request.State.MERGED: ("neutral", "git-merge"), Request.State.REJECTED: ("neutral", "circle-x"),
}  # fmt: skip
_URGENCY_TONES = {
    Request.Urgency.EMERGENCY: "danger", Request.Urgency.HIGH: "warning", Request.Urgency.NORMAL: "neutral",
    Request.Urgency.LOW: "neutral",
}  # fmt: skip


def _person(request: HttpRequest) -> Person:
    return request.user  # type: ignore[return-value]


def _require_reader(person: Person) -> None:
    if not request_queries.reads(person):
        raise PermissionDenied("Tài khoản của bạn chưa được giao quyền xem phản ánh. Nhờ quản trị hệ thống giao quyền.")


def _tabs(person: Person) -> list[tuple[str, str, str]]:
    rows = [
        ("request_list", "Danh sách", reverse("customers:request_list")),
        ("request_map", "Bản đồ", reverse("customers:request_map")),
        ("request_statistics", "Thống kê", reverse("customers:request_statistics")),
    ]
    if access.may(person, "manage"):
        rows.append(("request_settings", "Cài đặt", reverse("customers:request_settings")))
    rows.append(("category_list", "Loại và thời hạn", reverse("customers:category_list")))
    return rows


# --- the list


def dress(rows: Sequence[Request], served: frozenset[int], now: datetime) -> Sequence[Request]:
    """Give requests what a row shows. What was said and by whom is for those who serve; others see •••."""
    for row in rows:
        shown: Any = row
        shown.state_tone, shown.state_icon = STATE_TONES[Request.State(row.state)]
        shown.urgency_tone = _URGENCY_TONES[Request.Urgency(row.urgency)]
        is_open = row.state in request_queries.OPEN_STATES
        shown.is_late = is_open and row.due_at is not None and row.due_at < now
        shown.is_soon = is_open and row.due_at is not None and not shown.is_late and _is_soon(row, now)
        shown.left = clock.left_text(row.due_at, now) if row.due_at and is_open else ""
        shown.due_words = clock.due_text(row.due_at) if row.due_at else request_categories.NO_LIMIT
        shown.is_served = row.pk in served
        shown.shown_name = row.name if shown.is_served else privacy.mask_name(row.name)
        shown.shown_phone = privacy.show_phone(row.phone) if shown.is_served else privacy.mask_phone(row.phone)
        shown.shown_email = row.email if shown.is_served else privacy.mask_email(row.email)
        shown.shown_text = row.text if shown.is_served else privacy.HIDDEN
        shown.shown_address = row.address if shown.is_served else privacy.mask_address(row.address)
    return rows


def _is_soon(row: Request, now: datetime) -> bool:
    return row.due_at is not None and clock.used_pct(row.clock_from_at, row.due_at, now) >= 80


_COLUMNS: Sequence[export.Column] = [
    ("Mã", lambda row: row.code, "text"),
    ("Loại", lambda row: row.category.name, "text"),
    ("Nhận lúc", lambda row: row.received_at, "datetime"),
    ("Kênh", lambda row: row.get_channel_display(), "text"),
    ("Mức độ", lambda row: row.get_urgency_display(), "text"),
    ("Tình trạng", lambda row: row.get_state_display(), "text"),
    ("Hạn trả lời", lambda row: row.due_words, "text"),
    ("Đồng hồ", lambda row: row.left, "text"),
    ("Trả lời lúc", lambda row: row.answered_at, "datetime"),
    ("Công trình", lambda row: row.work.subject.name if row.work else None, "text"),
    ("Đơn vị xử lý", lambda row: row.unit.subject.name if row.unit else None, "text"),
    ("Người xử lý", lambda row: row.handler.full_name if row.handler else None, "text"),
    ("Địa bàn", lambda row: row.place.name if row.place else None, "text"),
    ("Địa điểm", lambda row: row.shown_address, "text"),
    ("Nội dung", lambda row: row.shown_text, "text"),
    ("Người phản ánh", lambda row: row.shown_name, "text"),
    ("Điện thoại", lambda row: row.shown_phone, "text"),
    ("Thư điện tử", lambda row: row.shown_email, "text"),
    ("Đánh giá", lambda row: row.rating, "number"),
    ("Ghi chú", lambda row: "mô phỏng" if row.is_simulated else "", "text"),
]


def _all_dressed(rows: Any, person: Person, now: datetime) -> Any:
    """Give the rows dressed, some at a time."""
    batch: list[Request] = []
    for row in rows.iterator(chunk_size=500):
        batch.append(row)
        if len(batch) == 500:
            yield from dress(batch, request_queries.served_among(person, batch), now)
            batch = []
    yield from dress(batch, request_queries.served_among(person, batch), now)


@require_safe
def request_list(request: HttpRequest) -> HttpResponseBase:
    """Show requests, late ones first. Whoever serves reads senders; the look is written down."""
    person, now = _person(request), timezone.now()
    _require_reader(person)
    form = request_forms.RequestFilter(request.GET, person)
    rows = request_queries.select(person, form.read(), now)
    if export.format_of(request):
        access.require(person, "export")
        served = rows.filter(request_queries.within(person, "serve")).count() if access.may(person, "serve") else 0
        privacy.log_access(person, DataAccess.What.EXPORT, now=now, count=served, purpose="Xuất danh sách phản ánh")
        return export.export(
            request, name="Phản ánh, khiếu nại", columns=_COLUMNS, rows=_all_dressed(rows, person, now),
            filters=form.describe(), simulated=request_queries.has_simulated(rows),
        )  # fmt: skip
    page = Paginator(rows, _ROWS_A_PAGE).get_page(request.GET.get("page"))
    found = list(page.object_list)
    served_ids = request_queries.served_among(person, found)
    privacy.log_access(person, DataAccess.What.LIST, now=now, count=len(served_ids), purpose="Danh sách phản ánh")
    kept = request.GET.copy()
    kept.pop("page", None)
    context = {
        "form": form, "page": page, "rows": dress(found, served_ids, now), "tabs": _tabs(person),
        "counts": request_queries.count_open(request_queries.visible(person), now),
        "may_serve": access.may(person, "serve"), "is_filtered": any(kept.values()),
        "map_url": f"{reverse('customers:request_map')}?{kept.urlencode()}",
    }  # fmt: skip
    part = "#requests" if request.htmx else ""  # type: ignore[attr-defined]
    return render(request, f"customers/requests/list.html{part}", context)


@require_safe
def request_map(request: HttpRequest) -> HttpResponse:
    """Show the same selection as points."""
    person, now = _person(request), timezone.now()
    _require_reader(person)
    form = request_forms.RequestFilter(request.GET, person)
    rows = request_queries.select(person, form.read(), now)
    placed = rows.filter(latitude__isnull=False, longitude__isnull=False)
    found = list(placed[: _ON_THE_MAP + 1])
    dress(found, frozenset(), now)
    points = [_point(row) for row in found[:_ON_THE_MAP]]
    context = {
        "form": form, "data": {"points": points}, "tabs": _tabs(person), "count": len(points),
        "is_cut": len(found) > _ON_THE_MAP, "most": _ON_THE_MAP, "without_place": rows.count() - placed.count(),
    }  # fmt: skip
    return render(request, "customers/requests/map.html", context)


def _point(row: Any) -> dict[str, Any]:
    tone = "danger" if row.is_late else "warning" if row.is_soon or row.urgency == "EMERGENCY" else "info"
    return {
        # Whoever does not serve sees about where: three decimals are a hundred metres.
        "lat": round(row.latitude, 3), "lon": round(row.longitude, 3), "title": f"{row.code} · {row.category.name}",
        "text": " · ".join(filter(None, [row.get_state_display(), row.left])),
        "tone": tone if row.state in request_queries.OPEN_STATES else "good",
        "url": reverse("customers:request_detail", args=[row.code]),
    }  # fmt: skip


# --- taking down


@_get_or_post
def request_add(request: HttpRequest) -> HttpResponse:
    """Take a request down at the telephone or counter."""
    person, now = _person(request), timezone.now()
    access.require(person, "serve")
    initial = {"nonce": secrets.token_hex(16), "connection": request.GET.get("connection", "")[:24]}
    form = request_forms.DeskForm(request.POST or None, request.FILES or None, person=person, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            photos = request_operations.keep_photos(form.cleaned_data["photos"], by=person)
            made, is_new = request_operations.receive_once(
                form.cleaned_data["nonce"], now=now, by=person, photos=photos, **form.details()
            )
        except CustomersError as reason:
            form.add_error(None, str(reason))
        else:
            if not request_queries.may(person, "serve", made):
                text = f"Đã tiếp nhận {made.code} và chuyển cho {made.operator.subject.name if made.operator else ''}."
                messages.success(request, text)
                return redirect("customers:request_list")
            messages.success(request, f"Đã tiếp nhận {made.code}." if is_new else f"{made.code} đã tiếp nhận từ trước.")
            return redirect("customers:request_detail", made.code)
    context = {"form": form, "callers": [], "near": []}
    return render(request, "customers/requests/add.html", context, status=422 if form.errors else 200)


@require_POST
def request_hints(request: HttpRequest) -> HttpResponse:
    """Show who calls and what is known already, while the form is filled in. A phone does not belong in an address."""
    person, now = _person(request), timezone.now()
    access.require(person, "serve")
    phone = request_operations.plain_phone(request.POST.get("phone", ""))
    callers = request_queries.find_callers(person, phone)
    known = callers[0] if len(callers) == 1 else None
    code = request.POST.get("connection", "").strip()
    try:
        chosen = request_forms.find_connection(person, code[:24]) or known
    except ValidationError:
        chosen = known
    category = _number(request, "category")
    near: list[request_queries.Near] = []
    if category is not None:
        near = request_queries.find_duplicates(
            category_id=category, now=now, latitude=_degrees(request, "latitude", 90),
            longitude=_degrees(request, "longitude", 180), connection_id=chosen.pk if chosen else None,
            place_id=chosen.place_id if chosen else _number(request, "place"),
            among=request_queries.visible(person, "serve"),
        )  # fmt: skip
    earlier = (
        request_queries.visible(person, "serve").filter(phone=phone).select_related("category").order_by("-pk")[:5]
        if len(phone) >= 8
        else []
    )
    count = len(callers) + len(near)  # of near ones the words are shown
    privacy.log_access(person, DataAccess.What.LIST, now=now, count=count, purpose="Tra người gọi theo số máy")
    context = {"callers": callers, "near": near, "earlier": earlier, "phone": phone}
    return render(request, "customers/requests/hints.html", context)


def _number(request: HttpRequest, name: str) -> int | None:
    text = request.POST.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _degrees(request: HttpRequest, name: str, most: int) -> float | None:
    try:
        value = float(request.POST.get(name, "")[:20].replace(",", "."))
    except ValueError:
        return None
    return value if -most <= value <= most else None


# --- one request


def _get(request: HttpRequest, code: str, action: str = "view") -> Request:
    rows = request_queries.visible(_person(request), action).select_related(
        "category", "operator__subject", "work__subject", "unit__subject", "handler", "place", "connection__customer",
        "merged_into",
    )  # fmt: skip
    return get_object_or_404(rows, code=code)


@require_safe
def request_detail(request: HttpRequest, code: str) -> HttpResponse:
    return _show(request, _get(request, code), {})


def _show(request: HttpRequest, row: Request, failed: dict[str, Any]) -> HttpResponse:
    person, now = _person(request), timezone.now()
    serves = request_queries.may(person, "serve", row)
    served = frozenset({row.pk}) if serves else frozenset()
    dress([row], served, now)
    if serves:
        customer = row.connection.customer if row.connection else None
        privacy.log_access(
            person, DataAccess.What.PAGE, now=now, customer=customer, purpose=f"Xem phản ánh {row.code}"
        )  # fmt: skip
    is_open = row.state in request_queries.OPEN_STATES
    near = (
        request_queries.find_duplicates(
            category_id=row.category_id, now=now, latitude=row.latitude, longitude=row.longitude,
            connection_id=row.connection_id, place_id=row.place_id, without=row.pk,
            among=request_queries.visible(person, "serve"),
        )
        if serves and is_open
        else []
    )  # fmt: skip
    context: dict[str, Any] = {
        "one": row, "now": now, "serves": serves, "is_open": is_open, "near": near, "timeline": _timeline(row, serves),
        "facts": _facts(row, serves), "limit": request_categories.limit_text(row.category), "shown": row,
        "photos": list(row.photos.select_related("file").order_by("pk")) if serves else [],
        "orders": list(row.work_orders.select_related("assignee", "unit__subject").order_by("pk")) if serves else [],
        "merged": list(row.merged.order_by("pk")) if serves else [],
        "copies": list(row.copies.select_related("endpoint")) if serves else [],
        "used": min(clock.used_pct(row.clock_from_at, row.due_at, now), 100) if row.due_at else 0,
        "failed": next(iter(failed.values()), None), "draft": _draft(failed),
        "point": {"points": [_point(row)]} if row.latitude is not None and row.longitude is not None else None,
    }  # fmt: skip
    if serves:
        context |= _forms(person, row, failed)
        if row.operator_id:
            templates = AnswerTemplate.objects.filter(Q(category=row.category_id) | Q(category__isnull=True))
            context["templates"] = list(templates.filter(operator=row.operator_id)[:30])
            context["endpoints"] = open311_client.list_endpoints(row) if is_open else []
    return render(request, "customers/requests/detail.html", context, status=422 if failed else 200)


def _draft(failed: dict[str, Any]) -> str:
    """Return the words of a form that was not taken."""
    return next((str(form.data.get(form.add_prefix("text"), "")) for form in failed.values()), "")


def _forms(person: Person, row: Request, failed: dict[str, Any]) -> dict[str, Any]:
    version = {"version": row.version}
    initial: dict[str, Any] = {"unit": row.unit_id, "handler": row.handler_id, **version}
    made: dict[str, Any] = {
        "answer_form": request_forms.AnswerForm(initial=version, prefix="answer"),
        "assign_form": request_forms.AssignForm(request=row, initial=initial, prefix="assign"),
        "change_form": request_forms.ChangeForm(
            person=person, request=row, prefix="change",
            initial={"category": row.category_id, "urgency": row.urgency, "work": row.work_id, **version,
                     "connection": row.connection.code if row.connection else ""},
        ),
        "note_form": request_forms.NoteForm(prefix="note"),
        "reject_form": request_forms.ReasonForm(initial=version, prefix="reject"),
        "reopen_form": request_forms.ReasonForm(initial=version, prefix="reopen"),
        "merge_form": request_forms.MergeForm(initial=version, prefix="merge"),
        "order_form": request_forms.OrderForm(request=row, prefix="order", initial={"kind": WorkOrder.Kind.REPAIR}),
    }  # fmt: skip
    return made | failed


def _timeline(row: Request, serves: bool) -> list[dict[str, Any]]:
    """Return what happened, newest first; whoever does not serve reads that it did, not what was said."""
    found = []
    for event in row.events.select_related("by").order_by("-pk"):
        if not serves and not event.is_public:
            continue
        icon, tone = ICONS.get(RequestEvent.Kind(event.kind), ("point", ""))
        is_sender = event.by is None and event.kind in {RequestEvent.Kind.REPLY, RequestEvent.Kind.RATED}
        found.append({
            "at": event.at, "icon": icon, "tone": tone, "title": event.get_kind_display(), "is_public": event.is_public,
            "text": event.text if serves else "",
            "person": event.by.full_name if event.by else "Người gửi" if is_sender else "",
        })  # fmt: skip
    return found


def _facts(row: Any, serves: bool) -> list[tuple[str, Any]]:
    facts = [
        ("Nhận lúc", timezone.localtime(row.received_at).strftime("%H:%M ngày %d/%m/%Y")),
        ("Kênh", row.get_channel_display()),
        ("Người phản ánh", row.shown_name or "không để lại tên"),
        ("Điện thoại", row.shown_phone),
        ("Thư điện tử", row.shown_email),
        ("Công trình", row.work.subject.name if row.work else ""),
        ("Địa bàn", row.place.name if row.place else ""),
        ("Địa điểm", row.shown_address),
        ("Đơn vị xử lý", row.unit.subject.name if row.unit else ""),
        ("Người xử lý", row.handler.full_name if row.handler else ""),
    ]
    if row.rating is not None:
        facts.append(("Đánh giá", f"{row.rating}/5{f' · {row.rating_note}' if serves and row.rating_note else ''}"))
    return [(term, text) for term, text in facts if text]


@require_POST
def request_act(request: HttpRequest, code: str, act: str) -> HttpResponse:
    """Do one thing about a request."""
    row = _get(request, code)
    person, now = _person(request), timezone.now()
    if act not in _ACTS:
        raise Http404(f"no act {act}")
    if not request_queries.may(person, "serve", row):
        raise PermissionDenied("Chỉ người tiếp nhận và xử lý phản ánh ở đơn vị này mới làm được việc này.")
    name, make, do = _ACTS[act]
    form = make(request, row)
    if form.is_valid():
        try:
            said = do(row, form.cleaned_data, person, now)
        except request_operations.ChangedMeanwhile as reason:
            # What was written stays, on top of what the other one did: sent again, it is meant so.
            row = _get(request, code)
            said_again = request.POST.copy()
            said_again[f"{name}-version"] = str(row.version)
            request.POST = said_again  # type: ignore[assignment]
            form = make(request, row)
            form.is_valid()
            form.add_error(None, str(reason))
        except (CustomersError, outgoing.CannotCall) as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, said)
            return redirect("customers:request_detail", row.code)
    row = _get(request, code)
    return _show(request, row, {f"{name}_form": form})


def _do_assign(row: Request, said: dict[str, Any], by: Person, now: datetime) -> str:
    request_operations.assign(
        row, unit=said["unit"], handler=said["handler"], note=said["note"], version=said["version"], by=by, now=now
    )
    return f"Đã chuyển {row.code} cho {said['unit'].subject.name}."


def _do_change(row: Request, said: dict[str, Any], by: Person, now: datetime) -> str:
    request_operations.change(row, by=by, now=now, **said)
    return f"Đã sửa {row.code}."


def _do_note(row: Request, said: dict[str, Any], by: Person, now: datetime) -> str:
    request_operations.note(row, text=said["text"], by=by, now=now)
    return "Đã thêm ghi chú nội bộ."


def _do_answer(row: Request, said: dict[str, Any], by: Person, now: datetime) -> str:
    photos = request_operations.keep_photos(said["photos"], by=by)
    request_operations.answer(row, text=said["text"], photos=photos, version=said["version"], by=by, now=now)
    return f"Đã trả lời {row.code}. Người gửi đọc được ở trang theo dõi."


def _do_reject(row: Request, said: dict[str, Any], by: Person, now: datetime) -> str:
    request_operations.reject(row, text=said["text"], version=said["version"], by=by, now=now)
    return f"Đã trả lời {row.code} là không thuộc phạm vi."


def _do_close(row: Request, said: dict[str, Any], by: Person, now: datetime) -> str:
    request_operations.close(row, version=said["version"], by=by, now=now)
    return f"Đã đóng {row.code}."


def _do_reopen(row: Request, said: dict[str, Any], by: Person, now: datetime) -> str:
    request_operations.reopen(row, why=said["text"], version=said["version"], by=by, now=now)
    return f"Đã mở lại {row.code}; thời hạn tính lại từ bây giờ."


def _do_merge(row: Request, said: dict[str, Any], by: Person, now: datetime) -> str:
    into = request_queries.visible(by, "serve").filter(code__iexact=said["into"].strip()).first()
    if into is None:
        raise request_operations.RequestError(
            f"Không có phản ánh {said['into']} trong phạm vi của bạn. Kiểm tra lại mã."
        )
    request_operations.merge(row, into, version=said["version"], by=by, now=now)
    return f"Đã gộp {row.code} vào {into.code}; người gửi được báo."


def _do_order(row: Request, said: dict[str, Any], by: Person, now: datetime) -> str:
    made = work_orders.create(request=row, by=by, now=now, **said)
    return f"Đã lập phiếu {made.code}."


def _do_open311(row: Request, said: dict[str, Any], by: Person, now: datetime) -> str:
    endpoint = next((one for one in open311_client.list_endpoints(row) if one.pk == said["endpoint"]), None)
    if endpoint is None:
        raise request_operations.RequestError("Nơi nhận này không còn dùng cho loại phản ánh này. Chọn nơi nhận khác.")
    open311_client.queue_copy(row, endpoint, by=by, now=now)
    return f"Đã xếp {row.code} chờ gửi đến {endpoint.name}."


class _EndpointChoice(forms.Form):
    endpoint = forms.IntegerField(min_value=1, max_value=2_000_000_000)


def _data(request: HttpRequest) -> tuple[Any, Any]:
    return request.POST, request.FILES


_Make = Callable[[HttpRequest, Request], Any]
_Do = Callable[[Request, dict[str, Any], Person, datetime], str]
_ACTS: dict[str, tuple[str, _Make, _Do]] = {
    "giao": ("assign", lambda r, row: request_forms.AssignForm(r.POST, request=row, prefix="assign"), _do_assign),
    "sua": (
        "change",
        lambda r, row: request_forms.ChangeForm(r.POST, person=_person(r), request=row, prefix="change"),
        _do_change,
    ),
    "ghi-chu": ("note", lambda r, row: request_forms.NoteForm(r.POST, prefix="note"), _do_note),
    "tra-loi": ("answer", lambda r, row: request_forms.AnswerForm(*_data(r), prefix="answer"), _do_answer),
    "tu-choi": ("reject", lambda r, row: request_forms.ReasonForm(r.POST, prefix="reject"), _do_reject),
    "dong": ("close", lambda r, row: request_forms._Versioned(r.POST, prefix="close"), _do_close),
    "mo-lai": ("reopen", lambda r, row: request_forms.ReasonForm(r.POST, prefix="reopen"), _do_reopen),
    "gop": ("merge", lambda r, row: request_forms.MergeForm(r.POST, prefix="merge"), _do_merge),
    "phieu": ("order", lambda r, row: request_forms.OrderForm(r.POST, request=row, prefix="order"), _do_order),
    "open311": ("open311", lambda r, row: _EndpointChoice(r.POST), _do_open311),
}


@require_safe
def request_photo(request: HttpRequest, code: str, pk: int) -> HttpResponse:
    row = _get(request, code, "serve")
    photo = RequestPhoto.objects.select_related("file").filter(request=row, pk=pk).first()
    if photo is None:
        raise Http404("no such photo of the request")
    return show_photo(photo)


# --- statistics


@require_safe
def request_statistics(request: HttpRequest) -> HttpResponseBase:
    """Show a month, a quarter or a year: what came, what was answered in time, how long it took."""
    person, now = _person(request), timezone.now()
    _require_reader(person)
    asked = request.GET.get("period", "")[:10]
    try:
        period = Period.parse(asked) if asked else Period.containing(timezone.localdate(), "M")
    except BadPeriod:
        period = Period.containing(timezone.localdate(), "M")
    rows = request_queries.visible(person)
    report = request_queries.statistics(period, rows=rows, now=now)
    lines = [
        ("Loại", name, found) for name, found in report.by_category.items()
    ] + [("Công trình", line.name, line.found) for line in report.by_place]  # fmt: skip
    if export.format_of(request):
        return export.export(
            request, name=f"Thống kê phản ánh {period.label_vi}", columns=_STATISTICS,
            rows=[("Tổng", "Tất cả", report.total), *lines], simulated=request_queries.has_simulated(rows),
        )  # fmt: skip
    today = timezone.localdate()
    context = {
        "period": period, "report": report, "tabs": _tabs(person), "lines": lines,
        "simulated": request_queries.has_simulated(rows),
        "previous": f"?period={period.previous.key}" if period.start_date > date(2000, 1, 1) else "",
        "next": f"?period={period.next.key}" if period.end_date <= today else "",
        "kinds": [(Period.containing(period.start_date, kind).key, label) for kind, label in _PERIOD_KINDS],
    }  # fmt: skip
    return render(request, "customers/requests/statistics.html", context)


_PERIOD_KINDS: tuple[tuple[PeriodKind, str], ...] = (("M", "Tháng"), ("Q", "Quý"), ("Y", "Năm"))
_STATISTICS: Sequence[export.Column] = [
    ("Theo", lambda row: row[0], "text"),
    ("Tên", lambda row: row[1], "text"),
    ("Tiếp nhận", lambda row: row[2].received, "number"),
    ("Đã trả lời", lambda row: row[2].answered, "number"),
    ("Có hạn", lambda row: row[2].with_limit, "number"),
    ("Đúng hạn", lambda row: row[2].in_time, "number"),
    ("Đúng hạn (%)", lambda row: row[2].in_time_pct, "number"),
    ("Trung vị (giờ)", lambda row: row[2].median_hours, "number"),
    ("P90 (giờ)", lambda row: row[2].p90_hours, "number"),
    ("Còn mở", lambda row: row[2].open, "number"),
    ("Quá hạn", lambda row: row[2].overdue, "number"),
    ("Lượt đánh giá", lambda row: row[2].ratings, "number"),
    ("Điểm trung bình", lambda row: row[2].rating_mean, "number"),
]


# --- settings


@require_safe
def request_settings(request: HttpRequest) -> HttpResponse:
    return _show_settings(request, {})


def _setting_forms(person: Person, data: Any = None, bound: str = "") -> dict[str, Any]:
    operators = request_forms.operators_of(person, "manage")
    alone = operators.first() if operators.count() == 1 else None
    initial = {"operator": alone.pk} if alone else {}

    def about(name: str) -> dict[str, Any]:
        return {"data": data if name == bound else None, "operators": operators, "prefix": name}

    return {
        "routing": request_forms.RoutingForm(person=person, initial=initial, **about("routing")),
        "hours": request_forms.HoursForm(initial=_hours(alone, initial), **about("hours")),
        "template": request_forms.TemplateForm(initial=initial, **about("template")),
        "endpoint": request_forms.EndpointForm(initial=initial, **about("endpoint")),
    }


def _hours(operator: Any, initial: dict[str, Any]) -> dict[str, Any]:
    row = ServiceHours.objects.filter(operator=operator).first() if operator else None
    if row is None:
        return initial
    return {**initial, "weekdays": row.weekdays, "spans": row.spans, "hotline": row.hotline}


def _show_settings(request: HttpRequest, failed: dict[str, Any]) -> HttpResponse:
    person = _person(request)
    access.require(person, "manage")
    operators = request_forms.operators_of(person, "manage")
    made = _setting_forms(person) | failed
    context = {
        "forms": made, "tabs": _tabs(person),
        "routings": Routing.objects.filter(operator__in=operators).select_related(
            "operator__subject", "work__subject", "category", "unit__subject"
        ).order_by("operator__subject__name", "work__subject__name", "category__order"),
        "hours": ServiceHours.objects.filter(operator__in=operators).select_related("operator__subject"),
        "templates": AnswerTemplate.objects.filter(operator__in=operators).select_related(
            "operator__subject", "category"
        ),
        "endpoints": Open311Endpoint.objects.filter(operator__in=operators, is_active=True)
        .select_related("operator__subject", "category").annotate(sent=Count("copies")),
    }  # fmt: skip
    return render(request, "customers/requests/settings.html", context, status=422 if failed else 200)


@require_POST
def request_setting_add(request: HttpRequest, what: str) -> HttpResponse:
    """Add a rule of routing, a template, a server, or set hours."""
    person = _person(request)
    access.require(person, "manage")
    if what not in _SETTINGS:
        raise Http404(f"no setting {what}")
    form = _setting_forms(person, request.POST, what)[what]
    if form.is_valid():
        try:
            said = _SETTINGS[what](form.cleaned_data, person)
        except (CustomersError, outgoing.CannotCall) as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, said)
            return redirect("customers:request_settings")
    return _show_settings(request, {what: form})


def _set_routing(said: dict[str, Any], by: Person) -> str:
    request_operations.set_routing(
        said["operator"], work=said["work"], category=said["category"], unit=said["unit"], by=by
    )  # fmt: skip
    return f"Từ nay phản ánh được chuyển đến {said['unit'].subject.name}."


def _set_hours(said: dict[str, Any], by: Person) -> str:
    request_categories.set_hours(
        said["operator"], weekdays=said["weekdays"], spans=said["spans"], hotline=said["hotline"], by=by
    )
    return "Đã lưu giờ làm việc; áp dụng cho phản ánh nhận từ bây giờ."


def _set_template(said: dict[str, Any], by: Person) -> str:
    made = AnswerTemplate.objects.create(**said)
    audit.record("customers.answer_template.added", actor=by, target=made)
    return f"Đã thêm mẫu «{made.name}»."


def _set_endpoint(said: dict[str, Any], by: Person) -> str:
    made = open311_client.add_endpoint(by=by, **said)
    return f"Đã thêm nơi nhận «{made.name}»."


_SETTINGS: dict[str, Callable[[dict[str, Any], Person], str]] = {
    "routing": _set_routing, "hours": _set_hours, "template": _set_template, "endpoint": _set_endpoint,
}  # fmt: skip


@require_POST
def request_setting_remove(request: HttpRequest, what: str, pk: int) -> HttpResponse:
    person = _person(request)
    access.require(person, "manage")
    operators = request_forms.operators_of(person, "manage")
    if what == "routing":
        request_operations.remove_routing(get_object_or_404(Routing, pk=pk, operator__in=operators), by=person)
    elif what == "template":
        row = get_object_or_404(AnswerTemplate, pk=pk, operator__in=operators)
        audit.record("customers.answer_template.removed", actor=person, target=row)
        row.delete()
    elif what == "endpoint":
        open311_client.retire_endpoint(get_object_or_404(Open311Endpoint, pk=pk, operator__in=operators), by=person)
    else:
        raise Http404(f"no setting {what}")
    messages.success(request, "Đã bỏ.")
    return redirect("customers:request_settings")


@require_safe
def category_list(request: HttpRequest) -> HttpResponse:
    """Show what may be reported, with limits and where they stand."""
    person = _person(request)
    _require_reader(person)
    rows = [(one, request_categories.limit_text(one)) for one in Category.objects.all()]
    context = {
        "rows": rows, "tabs": _tabs(person), "may_change": permissions.may_everywhere(person, "manage"),
        "public_url": reverse("customers:public_form"),
    }  # fmt: skip
    return render(request, "customers/requests/categories.html", context)


@_get_or_post
def category_edit(request: HttpRequest, key: str) -> HttpResponse:
    """Change a limit: categories belong to the whole program."""
    person = permissions.require_everywhere(request.user, "manage")
    category = get_object_or_404(Category, key=key)
    initial = {
        "clock_unit": category.clock, "allowed": category.allowed, "document": category.document,
        "is_verified": category.is_verified, "is_public": category.is_public, "is_active": category.is_active,
    }  # fmt: skip
    form = request_forms.CategoryForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            request_categories.change_category(category, by=person, **form.cleaned_data)
        except CustomersError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã lưu loại «{category.name}»; áp dụng cho phản ánh nhận từ bây giờ.")
            return redirect("customers:category_list")
    context = {"form": form, "category": category}
    return render(request, "customers/requests/category.html", context, status=422 if form.errors else 200)
