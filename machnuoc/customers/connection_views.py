"""Pages of customers and connections: the list, one connection, what is done to it, personal data."""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from machnuoc.core import audit, export, files
from machnuoc.core.models import Person
from machnuoc.core.vietnamese import format_date
from machnuoc.customers import (
    connection_forms,
    connection_operations,
    connection_panels,
    connection_queries,
    privacy,
    request_queries,
    visibility,
)
from machnuoc.customers.connection_operations import ChangedMeanwhile
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Connection, Consent, Contract, Customer, DataAccess
from machnuoc.places import access

_get_or_post = require_http_methods(["GET", "HEAD", "POST"])
STATUS_TONES = {
    "PENDING": ("neutral", "circle-dashed"), "ACTIVE": ("good", "circle-check"),
    "SUSPENDED": ("warning", "player-stop"), "CUT_OFF": ("danger", "ban"), "CLOSED": ("neutral", "x"),
}  # fmt: skip
EXPORT_AT_ONCE = 2_000


def _person(request: HttpRequest) -> Person:
    return request.user  # type: ignore[return-value]


def _is_filtered(request: HttpRequest) -> bool:
    return any(value for key, value in request.GET.items() if key not in {"after", "export"})


def form_page(request: HttpRequest, form: Any, *, title: str, back: str, **more: Any) -> HttpResponse:
    """Show a form on a page of its own: 409 if somebody else saved first, 422 if it says what cannot be."""
    is_stale = bool(more.pop("is_stale", False))
    context = {"form": form, "title": title, "back_url": back, "is_stale": is_stale, "button": "Lưu", **more}
    status = 409 if is_stale else 422 if form.is_bound and form.errors else 200
    return render(request, "customers/connections/form.html", context, status=status)


# --- the list


@never_cache
@require_safe
def connection_list(request: HttpRequest) -> HttpResponseBase:
    person = _person(request)
    if not access.may(person, connection_queries.action_of(person)):
        raise PermissionDenied("Tài khoản của bạn không xem được danh sách đấu nối.")
    form = connection_forms.ConnectionFilter(request.GET, person)
    filters = form.read()
    if export.format_of(request):
        return _export(request, form, filters)
    page = connection_queries.list_page(person, filters, after=request.GET.get("after", ""))
    shown = privacy.show_all(page.rows, page.served)
    if page.served:
        privacy.log_access(person, DataAccess.What.LIST, now=timezone.now(), count=len(page.served))
    rows = [(one, shown[one.pk], STATUS_TONES[one.status]) for one in page.rows]
    context = {
        "form": form, "page": page, "rows": rows, "is_filtered": _is_filtered(request),
        "may_serve": access.may(person, "serve"),
    }  # fmt: skip
    return render(request, "customers/connections/list.html", context)


def _export(
    request: HttpRequest, form: connection_forms.ConnectionFilter, filters: connection_queries.Filters
) -> HttpResponseBase:
    """Write the whole list into a file, read as it is written; the look at personal data is logged with its count."""
    person = _person(request)
    access.require(person, "export")
    rows = connection_queries.select(person, filters)
    is_unmasked = connection_queries.action_of(person) == "serve"
    count = rows.order_by().count()
    with transaction.atomic():
        if is_unmasked:
            privacy.log_access(person, DataAccess.What.EXPORT, now=timezone.now(), count=count)
        audit.record("customers.connections.exported", actor=person, count=count)
    is_simulated = rows.filter(is_simulated=True).exists()
    return export.export(
        request, name="Khách hàng, đấu nối", columns=_COLUMNS, filters=form.describe(), simulated=is_simulated,
        rows=_shown(rows.iterator(chunk_size=EXPORT_AT_ONCE), is_unmasked=is_unmasked),
        source_note="Hồ sơ khách hàng, đấu nối",
    )  # fmt: skip


def _shown(rows: Iterable[Connection], *, is_unmasked: bool) -> Iterator[tuple[Connection, privacy.Shown]]:
    for one in rows:
        yield one, privacy.show(one.customer, one, unmasked=is_unmasked)


_COLUMNS: list[export.Column] = [
    ("Mã đấu nối", lambda row: row[0].code, "text"), ("Mã khách hàng", lambda row: row[0].customer.code, "text"),
    ("Họ tên, tên đơn vị", lambda row: row[1].name, "text"),
    ("Loại khách hàng", lambda row: row[0].customer.get_kind_display(), "text"),
    ("Điện thoại", lambda row: row[1].phone, "text"), ("Địa chỉ đấu nối", lambda row: row[1].address, "text"),
    ("Xã, phường", lambda row: row[0].place.name if row[0].place else "", "text"),
    ("Công trình", lambda row: row[0].work.subject.name, "text"),
    ("Đối tượng", lambda row: row[0].get_group_display(), "text"),
    ("Số hộ", lambda row: row[0].households, "number"), ("Số người", lambda row: row[0].persons, "number"),
    ("Tình trạng", lambda row: row[0].get_status_display(), "text"),
    ("Nguồn gốc", lambda row: row[0].get_origin_display(), "text"),
    ("Ngày đấu nối", lambda row: row[0].connected_date, "date"),
    ("Ngày chấm dứt", lambda row: row[0].closed_date, "date"),
    ("Tuyến", lambda row: row[0].route.code if row[0].route else "", "text"),
    ("Thứ tự", lambda row: row[0].route_order or None, "number"),
    ("Mô phỏng", lambda row: "mô phỏng" if row[0].is_simulated else "", "text"),
]  # fmt: skip
audit.describe("customers.connections.exported", "xuất {count} đấu nối ra tệp")


# --- one connection


def _get(request: HttpRequest, code: str, action: str = "") -> Connection:
    """Return a connection that the person sees. action: what they must also be allowed to do to it."""
    try:
        one = connection_queries.get_connection(_person(request), code)
    except Connection.DoesNotExist:
        raise Http404("no such connection in sight") from None
    if action:
        visibility.require_connection(_person(request), action, one)
    return one


@never_cache
@require_safe
def connection_detail(request: HttpRequest, code: str) -> HttpResponse:
    person, now = _person(request), timezone.now()
    one = _get(request, code)
    is_served = visibility.may(person, "serve", one)
    shown = privacy.show(one.customer, one, unmasked=is_served)
    if is_served:
        privacy.log_access(person, DataAccess.What.PAGE, now=now, customer=one.customer)
    contracts = list(one.contracts.select_related("customer", "paper"))
    context = {
        "one": one, "customer": one.customer, "shown": shown, "may_serve": is_served,
        "may_classify": is_served and visibility.may(person, "classify", one),
        "tone": STATUS_TONES[one.status], "facts": _facts(one, shown), "party": _party(one.customer, shown),
        "contracts": [
            (row, privacy.show(row.customer, unmasked=is_served and row.customer_id == one.customer_id).name)
            for row in contracts
        ],
        "has_contract": any(row.ended_date is None for row in contracts),
        "norms": one.norms.select_related("paper").order_by("-valid_from")[:8],
        "shares": one.shares.order_by("-valid_from", "group")[:10],
        "events": [_event(row, is_served=is_served) for row in one.events.select_related("by")[:20]],
        "poverty": one.customer.poverty_years.order_by("-year")[:5] if is_served else [],
        "panels": connection_panels.list_for_connection(person, one),
        "moves": _moves(one) if is_served else [],
    }  # fmt: skip
    return render(request, "customers/connections/connection.html", context)


@never_cache
@require_safe
def connection_later(request: HttpRequest, code: str) -> HttpResponse:
    """Show bills, payments and requests after the page has come, or as a page where there is no JavaScript."""
    person, one = _person(request), _get(request, code)
    panels = connection_panels.list_later_for_connection(person, one)
    if panels and visibility.may(person, "serve", one):
        privacy.log_access(
            person, DataAccess.What.PAGE, now=timezone.now(), customer=one.customer, purpose="hóa đơn, thu tiền"
        )
    template = "core/parts/later_panels.html" if request.htmx else "core/later_panels.html"  # type: ignore[attr-defined]
    return render(request, template, {"panels": panels, "title": one.code})


def _facts(one: Connection, shown: privacy.Shown) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = [
        ("Địa chỉ đấu nối", shown.address), ("Xã, phường", one.place.name if one.place else None),
        ("Đối tượng", one.get_group_display()), ("Số hộ dùng chung", one.households),
        ("Số người tính định mức", one.persons), ("Nguồn gốc", one.get_origin_display()),
        ("Ngày đấu nối", format_date(one.connected_date) if one.connected_date else None),
        ("Tuyến ghi chỉ số", f"{one.route.code} · {one.route.name}, thứ tự {one.route_order}" if one.route else None),
    ]  # fmt: skip
    if one.closed_date:
        rows.append(("Chấm dứt", format_date(one.closed_date)))
    if one.latitude is not None and not shown.is_masked:
        rows.append(("Vị trí", f"{one.latitude:.6f}, {one.longitude:.6f}"))
    if one.note and not shown.is_masked:
        rows.append(("Ghi chú", one.note))
    return rows


def _party(customer: Customer, shown: privacy.Shown) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = [
        ("Mã khách hàng", customer.code), ("Họ tên, tên đơn vị", shown.name), ("Loại", customer.get_kind_display()),
        ("Điện thoại", shown.phone), ("Thư điện tử", shown.email),
    ]  # fmt: skip
    if customer.kind == Customer.Kind.HOUSEHOLD:
        rows.append(("Số định danh cá nhân", shown.identity_number))
    if customer.kind != Customer.Kind.HOUSEHOLD or shown.tax_code:
        rows.append(("Mã số thuế", shown.tax_code))
    if shown.contact_address:
        rows.append(("Địa chỉ liên hệ", shown.contact_address))
    if customer.priority:
        rows.append(("Khách hàng ưu tiên", customer.get_priority_display()))
    return rows


_EVENT_ICONS = {
    "CREATED": "file-plus", "INSTALLED": "droplet", "TRANSFERRED": "transfer", "SUSPENDED": "player-stop",
    "REOPENED": "player-play", "CUT_OFF": "ban", "CLOSED": "x", "METER": "gauge", "CHANGED": "pencil",
}  # fmt: skip


def _event(row: Any, *, is_served: bool) -> dict[str, Any]:
    """Return what the timeline shows. Reasons are people's words and may name somebody: for those who serve."""
    text = f"{row.get_kind_display()}: {row.text}" if row.text and is_served else row.get_kind_display()
    return {
        "text": text, "at": row.on_date, "icon": _EVENT_ICONS.get(row.kind, "point"), "tone": "",
        "person": row.by.full_name if row.by else "Hệ thống", "url": "",
    }  # fmt: skip


_ACTS: dict[str, tuple[str, str, Callable[..., Connection], frozenset[str]]] = {
    "tam-ngung": ("Tạm ngừng cấp nước", "player-stop", connection_operations.suspend, frozenset({"ACTIVE"})),
    "mo-lai": ("Mở nước lại", "player-play", connection_operations.reopen, frozenset({"SUSPENDED", "CUT_OFF"})),
    "cham-dut": (
        "Chấm dứt đấu nối", "x", connection_operations.close, frozenset({"ACTIVE", "SUSPENDED", "CUT_OFF"}),
    ),
}  # fmt: skip


def _moves(one: Connection) -> list[tuple[str, str, str]]:
    return [
        (reverse("customers:connection_move", args=[one.code, key]), title, icon)
        for key, (title, icon, _, allowed) in _ACTS.items()
        if one.status in allowed
    ]


# --- writing


def _home(one: Connection) -> str:
    return reverse("customers:connection_detail", args=[one.code])


def _write(
    request: HttpRequest, form: Any, one: Connection, act: Callable[[], Any], *, title: str, done: str, **more: Any
) -> HttpResponse:
    """Do the act that a form asks for and go back to the connection, or show the form with what is wrong."""
    is_stale = False
    if form.is_bound and form.is_valid():
        try:
            act()
        except (CustomersError, files.RefusedFile) as reason:
            form.add_error(None, str(reason))
            is_stale = isinstance(reason, ChangedMeanwhile)
        else:
            messages.success(request, done)
            return redirect(_home(one))
    return form_page(request, form, title=title, back=_home(one), one=one, is_stale=is_stale, **more)


def _posted(request: HttpRequest) -> Any:
    return request.POST if request.method == "POST" else None


@_get_or_post
def connection_add(request: HttpRequest) -> HttpResponse:
    """Enter a connection that is in use already. A new one comes by way of an application."""
    person, now = _person(request), timezone.now()
    access.require(person, "serve")
    form = connection_forms.NewConnectionForm(_posted(request), person=person)
    if form.is_bound and form.is_valid():
        said = form.cleaned_data
        try:
            with transaction.atomic():
                made = connection_operations.create_connection(
                    work=said["work"], customer=form.facts(), facts=form.connection_facts(), by=person, now=now,
                    code=said["code"], origin=said["origin"], connected_date=said["connected_date"],
                    contract_number=said["contract_number"], signed_date=said["signed_date"],
                    persons=said["persons"] or 0,
                )  # fmt: skip
                if said["consent"]:
                    how = f"hợp đồng số {said['contract_number']}" if said["contract_number"] else "phiếu tại quầy"
                    privacy.give_consent(made.customer, Consent.Purpose.CONTRACT, how=how, by=person, now=now)
        except CustomersError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã lập đấu nối {made.code}.")
            return redirect(_home(made))
    return form_page(
        request, form, title="Thêm đấu nối có sẵn", back=reverse("customers:connection_list"),
        lead="Dùng cho đấu nối đang dùng mà hệ thống chưa có. Đấu nối mới: lập đề nghị đấu nối để theo dõi từng bước.",
    )  # fmt: skip


@_get_or_post
def connection_edit(request: HttpRequest, code: str) -> HttpResponse:
    one = _get(request, code, "serve")
    form = connection_forms.ConnectionForm(_posted(request), one=one)
    if not form.is_bound:
        privacy.log_access(_person(request), DataAccess.What.PAGE, now=timezone.now(), customer=one.customer)

    def act() -> None:
        connection_operations.edit_connection(
            one, form.connection_facts(), version=form.cleaned_data["version"], by=_person(request), now=timezone.now()
        )

    return _write(request, form, one, act, title="Sửa đấu nối", done=f"Đã lưu đấu nối {one.code}.")


@_get_or_post
def connection_customer(request: HttpRequest, code: str) -> HttpResponse:
    one = _get(request, code, "serve")
    form = connection_forms.CustomerForm(_posted(request), customer=one.customer)
    if not form.is_bound:
        privacy.log_access(_person(request), DataAccess.What.PAGE, now=timezone.now(), customer=one.customer)

    def act() -> None:
        connection_operations.edit_customer(
            one.customer, form.facts(), version=form.cleaned_data["version"], by=_person(request), now=timezone.now()
        )

    return _write(request, form, one, act, title="Sửa thông tin khách hàng", done="Đã lưu thông tin khách hàng.")


@_get_or_post
def connection_transfer(request: HttpRequest, code: str) -> HttpResponse:
    one = _get(request, code, "serve")
    form = connection_forms.TransferForm(_posted(request), one=one)

    def act() -> None:
        said = form.cleaned_data
        connection_operations.transfer(
            one, to=form.facts(), number=said["number"], signed_date=said["signed_date"], version=said["version"],
            reason=said["reason"], by=_person(request), now=timezone.now(),
        )  # fmt: skip

    return _write(
        request, form, one, act, title="Chuyển tên hợp đồng", done=f"Đã chuyển tên đấu nối {one.code}.",
        lead="Hợp đồng cũ chấm dứt vào ngày ký hợp đồng mới. Hóa đơn đã phát hành vẫn đứng tên khách hàng cũ. "
        "Số người tính định mức ghi lại từ đầu.",
    )  # fmt: skip


@_get_or_post
def connection_move(request: HttpRequest, code: str, act: str) -> HttpResponse:
    """Suspend, reopen or close."""
    if act not in _ACTS:
        raise Http404("no such act")
    one = _get(request, code, "serve")
    title, _, operation, _ = _ACTS[act]
    form = connection_forms.MoveForm(_posted(request), one=one)

    def do() -> None:
        said = form.cleaned_data
        operation(
            one, on_date=said["on_date"], reason=said["reason"], version=said["version"], by=_person(request),
            now=timezone.now(),
        )  # fmt: skip

    return _write(request, form, one, do, title=title, done=f"Đã ghi: {title.lower()} {one.code}.", button=title)


@_get_or_post
def connection_norm(request: HttpRequest, code: str) -> HttpResponse:
    one = _get(request, code, "classify")
    is_post = request.method == "POST"
    wished = request_queries.find_wished_norm(one)
    lead = f"Điền theo đề nghị {wished.code} của khách hàng: xem giấy tờ ở đó trước khi lưu." if wished else ""
    form = connection_forms.NormForm(_posted(request), request.FILES if is_post else None, one=one, wished=wished)

    def act() -> None:
        said, person = form.cleaned_data, _person(request)
        paper = None
        if said["paper"]:
            kinds = connection_operations.PAPER_KINDS
            paper = files.store(said["paper"], name=said["paper"].name, by=person, kinds=kinds)
        connection_operations.set_norm(
            one, persons=said["persons"], valid_from=said["valid_from"], paper=paper, by=person, now=timezone.now()
        )

    return _write(
        request, form, one, act, title="Định mức theo số người", done="Đã ghi định mức.", lead=lead, has_files=True
    )


@_get_or_post
def connection_shares(request: HttpRequest, code: str) -> HttpResponse:
    one = _get(request, code, "classify")
    form = connection_forms.SharesForm(_posted(request), one=one)

    def act() -> None:
        connection_operations.set_shares(
            one, form.shares(), valid_from=form.cleaned_data["valid_from"], by=_person(request), now=timezone.now()
        )

    return _write(
        request, form, one, act, title="Mục đích sử dụng", done="Đã ghi tỷ lệ các mục đích.",
        lead="Tỷ lệ lượng nước theo từng đối tượng, cộng lại 100 %. "
        "Để trống tất cả: toàn bộ theo đối tượng của đấu nối.",
    )  # fmt: skip


@_get_or_post
def connection_contract(request: HttpRequest, code: str) -> HttpResponse:
    one = _get(request, code, "serve")
    form = connection_forms.ContractForm(_posted(request))

    def act() -> None:
        connection_operations.sign_contract(one, **form.cleaned_data, by=_person(request), now=timezone.now())

    return _write(request, form, one, act, title="Ghi hợp đồng", done="Đã ghi hợp đồng.")


@_get_or_post
def contract_paper(request: HttpRequest, code: str, pk: int) -> HttpResponseBase:
    """Give the scan of a contract, or take one in. Only for those who serve the connection."""
    one = _get(request, code, "serve")
    contract = get_object_or_404(Contract.objects.select_related("connection", "paper"), pk=pk, connection=one)
    if request.method != "POST" and "tai" in request.GET:
        if contract.paper is None:
            raise Http404("no paper yet")
        privacy.log_access(
            _person(request), DataAccess.What.PAGE, now=timezone.now(), customer=one.customer, purpose="bản hợp đồng"
        )
        return files.as_download(contract.paper)
    is_post = request.method == "POST"
    form = connection_forms.PaperForm(_posted(request), request.FILES if is_post else None)

    def act() -> None:
        upload = form.cleaned_data["paper"]
        connection_operations.keep_paper(contract, upload, name=upload.name, by=_person(request))

    return _write(
        request, form, one, act, title=f"Bản chụp hợp đồng {contract.number}", done="Đã lưu bản chụp.", has_files=True
    )


@_get_or_post
def connection_poverty(request: HttpRequest, code: str) -> HttpResponse:
    one = _get(request, code, "classify")
    form = connection_forms.PovertyForm(_posted(request), today=timezone.localdate())

    def act() -> None:
        connection_operations.set_poverty(one.customer, **form.cleaned_data, by=_person(request))

    return _write(request, form, one, act, title="Diện hộ nghèo, cận nghèo", done="Đã ghi diện của năm.")


# --- personal data


@never_cache
@_get_or_post
def connection_privacy(request: HttpRequest, code: str) -> HttpResponse:
    """Show what the customer allowed and who looked at their data; take a consent in or back."""
    person, now = _person(request), timezone.now()
    one = _get(request, code, "serve")
    customer = one.customer
    form = connection_forms.ConsentForm(_posted(request) if request.POST.get("act") == "give" else None)
    if request.method == "POST":
        try:
            if request.POST.get("act") == "withdraw":
                privacy.withdraw_consent(customer, request.POST.get("purpose", ""), by=person, now=now)
                messages.success(request, "Đã ghi việc rút lại đồng ý.")
                return redirect("customers:connection_privacy", code)
            if form.is_valid():
                privacy.give_consent(customer, **form.cleaned_data, by=person, now=now)
                messages.success(request, "Đã ghi sự đồng ý.")
                return redirect("customers:connection_privacy", code)
        except CustomersError as reason:
            messages.error(request, str(reason))
    looks = customer.accesses.select_related("person")
    if export.format_of(request) and request.method != "POST":
        return export.export(  # type: ignore[return-value]
            request, name=f"Lượt xem dữ liệu {customer.code}", rows=looks.iterator(), columns=_LOOK_COLUMNS
        )
    privacy.log_access(person, DataAccess.What.PAGE, now=now, customer=customer)
    context = {
        "one": one, "customer": customer, "form": form, "page": Paginator(looks, 50).get_page(request.GET.get("page")),
        "consents": customer.consents.select_related("recorded_by"),
        "may_erase": access.may(person, "manage", one.work_id), "back_url": _home(one),
        "shown": privacy.show(customer, one, unmasked=True),
    }  # fmt: skip
    return render(request, "customers/connections/privacy.html", context, status=422 if form.errors else 200)


_LOOK_COLUMNS: list[export.Column] = [
    ("Lúc", lambda row: row.at, "datetime"),
    ("Người xem", lambda row: row.person.full_name if row.person else "Hệ thống", "text"),
    ("Việc", lambda row: row.get_what_display(), "text"), ("Mục đích", lambda row: row.purpose, "text"),
]  # fmt: skip


@require_safe
def customer_copy(request: HttpRequest, code: str) -> HttpResponse:
    """Give everything kept about the customer as JSON, for the customer to take along."""
    person, now = _person(request), timezone.now()
    one = _get(request, code, "serve")
    with transaction.atomic():
        privacy.log_access(
            person, DataAccess.What.EXPORT, now=now, customer=one.customer, purpose="bản sao cho khách hàng"
        )
        audit.record("customers.customer.copied", actor=person, target=one.customer)
    return copy_file(one.customer)


def copy_file(customer: Customer, *, hides_identity: bool = False) -> HttpResponse:
    """Return everything kept about a customer as a file to download. Rights and the log of looks are the caller's."""
    copy = privacy.copy_of(customer, hides_identity=hides_identity)
    body = json.dumps(copy, ensure_ascii=False, indent=2, default=_plain_json)
    answer = HttpResponse(body, content_type="application/json; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="khach-hang-{customer.code}.json"'
    answer["Cache-Control"] = "private, no-store"
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


def _plain_json(value: object) -> str:
    if isinstance(value, datetime):
        return timezone.localtime(value).isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)


audit.describe("customers.customer.copied", "xuất bản sao dữ liệu của khách hàng {target}")


@_get_or_post
def customer_erase(request: HttpRequest, code: str) -> HttpResponse:
    """Erase the personal data of a customer whose connections are closed and paid. By who manages the work."""
    one = _get(request, code, "serve")
    access.require(_person(request), "manage", one.work_id)
    form = connection_forms.EraseForm(_posted(request))

    def act() -> None:
        privacy.erase(one.customer, reason=form.cleaned_data["reason"], by=_person(request), now=timezone.now())

    return _write(
        request, form, one, act, title="Xóa dữ liệu cá nhân", done="Đã xóa dữ liệu cá nhân của khách hàng.",
        button="Xóa dữ liệu", is_danger=True,
        lead="Họ tên, điện thoại, địa chỉ, giấy tờ bị xóa hẳn; mã, lượng nước và số tiền được giữ. "
        "Chỉ xóa được khi mọi đấu nối đã chấm dứt và không còn nợ.",
    )  # fmt: skip
