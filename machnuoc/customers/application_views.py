"""Pages of applications for a connection: board, list, one application and its steps."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from machnuoc.core import audit, export, files
from machnuoc.core.models import Person
from machnuoc.core.periods import local_date
from machnuoc.core.vietnamese import format_date
from machnuoc.customers import (
    application_forms,
    application_messages,
    application_operations,
    application_queries,
    application_talk,
    privacy,
    visibility,
)
from machnuoc.customers.application_operations import STAGES
from machnuoc.customers.connection_operations import ChangedMeanwhile
from machnuoc.customers.connection_views import form_page
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Application, ApplicationStep, Customer, DataAccess
from machnuoc.places import access

_get_or_post = require_http_methods(["GET", "HEAD", "POST"])
_ROWS_A_PAGE = 50
STAGE_TONES = {
    "SURVEYED": ("neutral", "clipboard-list"), "REQUESTED": ("info", "file-plus"), "QUOTED": ("info", "calculator"),
    "CONTRACTED": ("info", "file-text"), "INSTALLED": ("good", "droplet"), "BILLED": ("good", "receipt"),
    "REFUSED": ("danger", "ban"), "WITHDRAWN": ("neutral", "x"),
}  # fmt: skip


def _person(request: HttpRequest) -> Person:
    return request.user  # type: ignore[return-value]


def show(application: Application, *, unmasked: bool) -> privacy.Shown:
    """Return what a reader sees of who applies."""
    erased = application.name == privacy.ERASED_NAME
    party = Customer(
        name=application.name, phone=application.phone, email=application.email, kind=application.kind,
        address=application.address,
    )  # fmt: skip
    return privacy.show(party, unmasked=unmasked or erased)


def _tabs() -> list[tuple[str, str, str]]:
    names = (("application_list", "Danh sách"), ("application_board", "Bảng theo bước"))
    return [(name, title, reverse(f"customers:{name}")) for name, title in names]


@never_cache
@require_safe
def application_list(request: HttpRequest) -> HttpResponseBase:
    person = _person(request)
    if not access.may(person, application_queries.action_of(person)):
        raise PermissionDenied("Tài khoản của bạn không xem được hồ sơ đề nghị đấu nối.")
    form = application_forms.ApplicationFilter(request.GET, person)
    rows = application_queries.select(person, form.read())
    is_served = application_queries.action_of(person) == "serve"
    if export.format_of(request):
        access.require(person, "export")
        count = rows.count()
        if is_served:
            privacy.log_access(person, DataAccess.What.EXPORT, now=timezone.now(), count=count)
        audit.record("customers.applications.exported", actor=person, count=count)
        listed = ((one, show(one, unmasked=is_served)) for one in rows.iterator(chunk_size=1_000))
        return export.export(
            request, name="Đề nghị đấu nối", columns=_COLUMNS, rows=listed, filters=form.describe(),
            simulated=rows.filter(is_simulated=True).exists(),
        )  # fmt: skip
    page = Paginator(rows, _ROWS_A_PAGE).get_page(request.GET.get("page"))
    if is_served:
        privacy.log_access(person, DataAccess.What.LIST, now=timezone.now(), count=len(page.object_list))
    context = {
        "form": form, "page": page, "tabs": _tabs(), "may_serve": is_served,
        "rows": [(one, show(one, unmasked=is_served), STAGE_TONES[one.stage]) for one in page.object_list],
        "is_filtered": any(value for key, value in request.GET.items() if key not in {"page", "export"}),
    }  # fmt: skip
    return render(request, "customers/applications/list.html", context)


_COLUMNS: list[export.Column] = [
    ("Mã hồ sơ", lambda row: row[0].code, "text"), ("Bước", lambda row: row[0].get_stage_display(), "text"),
    ("Họ tên, tên đơn vị", lambda row: row[1].name, "text"), ("Điện thoại", lambda row: row[1].phone, "text"),
    ("Địa chỉ lắp đặt", lambda row: row[1].address, "text"),
    ("Xã, phường", lambda row: row[0].place.name if row[0].place else "", "text"),
    ("Công trình", lambda row: row[0].work.subject.name, "text"),
    ("Đối tượng", lambda row: row[0].get_group_display(), "text"), ("Số hộ", lambda row: row[0].households, "number"),
    ("Chi phí lắp đặt (đồng)", lambda row: row[0].quote_vnd, "number"),
    ("Ngày tiếp nhận", lambda row: local_date(row[0].created_at), "date"),
    ("Đấu nối", lambda row: row[0].connection.code if row[0].connection else "", "text"),
    ("Mô phỏng", lambda row: "mô phỏng" if row[0].is_simulated else "", "text"),
]  # fmt: skip
audit.describe("customers.applications.exported", "xuất {count} hồ sơ đề nghị đấu nối ra tệp")


@never_cache
@require_safe
def application_board(request: HttpRequest) -> HttpResponse:
    person = _person(request)
    if not access.may(person, application_queries.action_of(person)):
        raise PermissionDenied("Tài khoản của bạn không xem được hồ sơ đề nghị đấu nối.")
    form = application_forms.ApplicationFilter(request.GET, person)
    del form.fields["stage"]
    columns = application_queries.board(person, form.read())
    is_served = application_queries.action_of(person) == "serve"
    shown = sum(len(column.rows) for column in columns)
    if is_served:
        privacy.log_access(person, DataAccess.What.LIST, now=timezone.now(), count=shown)
    context = {
        "form": form, "tabs": _tabs(), "may_serve": is_served,
        "columns": [
            (column, [(one, show(one, unmasked=is_served)) for one in column.rows]) for column in columns
        ],
    }  # fmt: skip
    return render(request, "customers/applications/board.html", context)


def _get(request: HttpRequest, code: str, action: str = "") -> Application:
    try:
        one = application_queries.get_application(_person(request), code)
    except Application.DoesNotExist:
        raise Http404("no such application in sight") from None
    if action:
        visibility.require_work(_person(request), action, one.work_id)
    return one


def _home(one: Application) -> str:
    return reverse("customers:application_detail", args=[one.code])


@never_cache
@require_safe
def application_detail(request: HttpRequest, code: str) -> HttpResponse:
    person, now = _person(request), timezone.now()
    one = _get(request, code)
    is_served = visibility.may_work(person, "serve", one.work_id)
    shown = show(one, unmasked=is_served)
    if is_served:
        privacy.log_access(person, DataAccess.What.PAGE, now=now, purpose=f"hồ sơ {one.code}")
    steps: list[Any] = list(one.steps.select_related("by", "paper"))
    talk: list[Any] = list(one.messages.select_related("by")) if is_served else []
    told = application_messages.told_of([*steps, *talk]) if is_served else {}
    for row in (*steps, *talk):
        row.told = told.get(application_messages.key_of(row))
    reached = STAGES.index(application_operations.Stage(one.stage)) if one.stage in STAGES else -1
    done = {step.stage for step in steps}  # those who asked by themselves were not surveyed
    upcoming = application_operations.next_stage(one)
    context = {
        "one": one, "shown": shown, "may_serve": is_served, "tone": STAGE_TONES[one.stage],
        "stages": [
            (stage.label, "is-here" if number == reached else "is-done" if stage in done else "")
            for number, stage in enumerate(STAGES)
        ],
        "steps": steps, "facts": _facts(one, shown),
        "next_title": application_operations.Stage(upcoming).label if upcoming and is_served else "",
        "may_stop": is_served and one.stage in application_operations.OPEN,
        "may_undo": len(steps) > 1 and one.stage != "BILLED" and visibility.may_work(person, "manage", one.work_id),
        "may_edit": is_served and one.stage in application_operations.OPEN,
        "items": list(one.quote_items.all()), "is_accepted": application_talk.is_accepted(one),
        "talk": talk, "is_reached": application_messages.is_reached(one),
        "answer": application_forms.AnswerForm() if is_served else None,
    }  # fmt: skip
    return render(request, "customers/applications/application.html", context)


def _facts(one: Application, shown: privacy.Shown) -> list[tuple[str, Any]]:
    return [
        ("Người đề nghị", shown.name), ("Loại", one.get_kind_display()), ("Điện thoại", shown.phone),
        ("Thư điện tử", shown.email), ("Địa chỉ lắp đặt", shown.address),
        ("Xã, phường", one.place.name if one.place else None),
        ("Đối tượng", f"{one.get_group_display()}{'' if one.is_group_confirmed else ' (tự khai, chờ xác nhận)'}"),
        ("Số hộ", one.households), ("Số người", one.persons),
        ("Hẹn khảo sát", format_date(one.survey_date) if one.survey_date else None),
        ("Hẹn xong bước tiếp", format_date(one.due_date) if one.due_date else None),
        ("Nguồn", application_forms.SOURCES.get(one.source, one.source)),
    ]  # fmt: skip


def _posted(request: HttpRequest) -> Any:
    return request.POST if request.method == "POST" else None


def _page(request: HttpRequest, form: Any, one: Application | None, *, title: str, **more: Any) -> HttpResponse:
    back = _home(one) if one else reverse("customers:application_list")
    parent = f"Hồ sơ {one.code}" if one else "Đề nghị đấu nối"
    subtitle = f"{one.code} · {one.work.subject.name}" if one else ""
    return form_page(request, form, title=title, back=back, parent=parent, subtitle=subtitle, **more)


@_get_or_post
def application_add(request: HttpRequest) -> HttpResponse:
    person = _person(request)
    access.require(person, "serve")
    form = application_forms.ApplicationForm(_posted(request), person=person)
    if form.is_bound and form.is_valid():
        said = form.cleaned_data
        try:
            made = application_operations.open_application(
                work=said["work"], facts=form.facts(), by=person, now=timezone.now(), stage=said["stage"],
                source=said["source"], note=said["note"], received_date=said["received_date"],
            )  # fmt: skip
        except CustomersError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã lập hồ sơ {made.code}.{_place_note(form)}")
            return redirect(_home(made))
    return _page(request, form, None, title="Lập đề nghị đấu nối")


def _place_note(form: application_forms.ApplicationForm) -> str:
    return f" Xã, phường lấy theo địa chỉ: {form.cleaned_data['place']}." if form.is_place_found else ""


@_get_or_post
def application_edit(request: HttpRequest, code: str) -> HttpResponse:
    one = _get(request, code, "serve")
    form = application_forms.ApplicationForm(_posted(request), person=_person(request), application=one)
    if not form.is_bound:
        privacy.log_access(_person(request), DataAccess.What.PAGE, now=timezone.now(), purpose=f"hồ sơ {one.code}")
    is_stale = False
    if form.is_bound and form.is_valid():
        try:
            application_operations.edit_application(
                one, form.facts(), version=form.cleaned_data["version"], by=_person(request), now=timezone.now()
            )
        except CustomersError as reason:
            form.add_error(None, str(reason))
            is_stale = isinstance(reason, ChangedMeanwhile)
        else:
            messages.success(request, f"Đã lưu hồ sơ {one.code}.{_place_note(form)}")
            return redirect(_home(one))
    return _page(request, form, one, title="Sửa hồ sơ đề nghị", is_stale=is_stale)


@_get_or_post
def application_step(request: HttpRequest, code: str) -> HttpResponse:
    """Write down the next step; installation asks for the meter."""
    one, person = _get(request, code, "serve"), _person(request)
    upcoming = application_operations.next_stage(one)
    if not upcoming:
        messages.info(request, f"Hồ sơ {one.code} {one.get_stage_display().lower()}, không còn bước nào để ghi.")
        return redirect(_home(one))
    is_installation = upcoming == Application.Stage.INSTALLED
    uploads = request.FILES if request.method == "POST" else None
    form: Any
    if is_installation:
        form = application_forms.InstallForm(_posted(request), application=one)
    else:
        form = application_forms.StepForm(_posted(request), uploads, application=one, stage=upcoming)
    is_stale = False
    if form.is_bound and form.is_valid():
        try:
            if is_installation:
                made = application_operations.install(one, by=person, now=timezone.now(), **form.said())
                messages.success(request, f"Đã lắp đặt: đấu nối {made.code} bắt đầu dùng nước.")
            else:
                said = dict(form.cleaned_data)
                upload = said.pop("paper")
                paper = application_operations.keep_paper(upload, name=upload.name, by=person) if upload else None
                application_operations.advance(one, by=person, now=timezone.now(), paper=paper, **said)
                messages.success(request, f"Đã ghi bước tiếp theo của hồ sơ {one.code}.")
        except (CustomersError, files.RefusedFile) as reason:
            form.add_error(None, str(reason))
            is_stale = isinstance(reason, ChangedMeanwhile)
        else:
            return redirect(_home(one))
    title = application_operations.Stage(upcoming).label
    return _page(request, form, one, title=title, is_stale=is_stale, has_files=not is_installation)


@_get_or_post
def application_promise(request: HttpRequest, code: str) -> HttpResponse:
    """Keep the days that who applies was promised."""
    one = _get(request, code, "serve")
    form = application_forms.PromiseForm(_posted(request), application=one)
    is_stale = False
    if form.is_bound and form.is_valid():
        try:
            application_operations.promise(one, by=_person(request), now=timezone.now(), **form.cleaned_data)
        except CustomersError as reason:
            form.add_error(None, str(reason))
            is_stale = isinstance(reason, ChangedMeanwhile)
        else:
            messages.success(request, f"Đã ghi ngày hẹn của hồ sơ {one.code}.")
            return redirect(_home(one))
    lead = "Người đề nghị thấy các ngày này khi đăng nhập trang khách hàng. Để trống nếu chưa hẹn."
    return _page(request, form, one, title="Hẹn ngày", is_stale=is_stale, lead=lead)


@_get_or_post
def application_answer(request: HttpRequest, code: str) -> HttpResponse:
    """Answer who applies, on their page."""
    one = _get(request, code, "serve")
    form = application_forms.AnswerForm(_posted(request))
    if form.is_bound and form.is_valid():
        try:
            application_operations.answer(one, text=form.cleaned_data["text"], by=_person(request), now=timezone.now())
        except CustomersError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã trả lời; người đề nghị đọc được trên trang khách hàng.")
            return redirect(_home(one))
    return _page(request, form, one, title="Trả lời người đề nghị", button="Gửi trả lời")


@_get_or_post
def application_stop(request: HttpRequest, code: str) -> HttpResponse:
    one = _get(request, code, "serve")
    form = application_forms.StopForm(_posted(request), application=one)
    is_stale = False
    if form.is_bound and form.is_valid():
        said = form.cleaned_data
        try:
            application_operations.stop(
                one, said["stage"], reason=said["reason"], version=said["version"], by=_person(request),
                now=timezone.now(),
            )  # fmt: skip
        except CustomersError as reason:
            form.add_error(None, str(reason))
            is_stale = isinstance(reason, ChangedMeanwhile)
        else:
            messages.success(request, f"Đã dừng hồ sơ {one.code}.")
            return redirect(_home(one))
    return _page(request, form, one, title="Dừng hồ sơ", is_stale=is_stale, button="Dừng hồ sơ", is_danger=True)


@require_POST
def application_undo(request: HttpRequest, code: str) -> HttpResponse:
    """Take back the last step: by who manages the work."""
    one = _get(request, code, "manage")
    try:
        version = request.POST.get("version", "")
        application_operations.undo(
            one, by=_person(request), now=timezone.now(),
            version=int(version) if version.isdecimal() and len(version) < 10 else None,
        )  # fmt: skip
    except CustomersError as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, f"Đã lùi một bước hồ sơ {one.code}.")
    return redirect(_home(one))


@require_safe
def application_paper(request: HttpRequest, code: str, pk: int) -> HttpResponseBase:
    """Give the paper of a step to who serves the work."""
    one = _get(request, code, "serve")
    step = get_object_or_404(
        ApplicationStep.objects.select_related("paper"), pk=pk, application=one, paper__isnull=False
    )
    assert step.paper is not None  # noqa: S101 - asked for above
    privacy.log_access(_person(request), DataAccess.What.PAGE, now=timezone.now(), purpose=f"giấy tờ {one.code}")
    return files.as_download(step.paper)
