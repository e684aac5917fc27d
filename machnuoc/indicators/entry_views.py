"""Screens of entry, approval and sheets: they translate between pages and `entry`, `entry_queries`, `sheets`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from machnuoc.core import export, files, folding, vietnamese
from machnuoc.core.periods import BadPeriod, Period
from machnuoc.indicators import entry, entry_forms, entry_queries, sheets
from machnuoc.indicators.entry_queries import CellKey, Grid, GridCell
from machnuoc.indicators.models import EntryForm, ImportBatch, LateException, Submission
from machnuoc.places import access
from machnuoc.places.models import Organisation

ROWS_A_PAGE = 100
_CELLS_A_PAGE = 800  # each sends up to five fields, and DATA_UPLOAD_MAX_NUMBER_FIELDS bounds them
_PROBLEM_ROWS_SHOWN = 200
_REFUSALS = (entry.EntryError, sheets.SheetError, files.RefusedFile)

_EVENTS: dict[str, tuple[str, str, str]] = {  # what → (how it begins, icon, tone)
    "opened": ("Mở biểu", "plus", "neutral"),
    "saved": ("Lưu", "pencil", "neutral"),
    "imported": ("Nhập tệp", "file-upload", "info"),
    "undone": ("Hoàn tác nhập tệp", "arrow-back-up", "warning"),
    "submitted": ("Nộp", "send", "info"),
    "withdrawn": ("Rút lại", "arrow-back-up", "neutral"),
    "returned": ("Trả lại", "arrow-back-up", "warning"),
    "approved": ("Duyệt", "circle-check", "good"),
    "reopened": ("Mở lại", "edit", "warning"),
    "commented": ("Ý kiến", "message", "neutral"),
}


def _clock() -> datetime:
    return timezone.now()


# --- what is owed ---------------------------------------------------------------------------------------------------


@require_GET
def forms(request: HttpRequest) -> HttpResponseBase:
    now = _clock()
    fillable = entry_queries.list_fillable(request.user)  # type: ignore[arg-type]
    owed = entry_queries.list_owed(request.user, now, fillable=fillable)  # type: ignore[arg-type]
    wanted = request.GET.get("status", "")
    shown = [one for one in owed if not wanted or _status_of(one) == wanted]
    if export.format_of(request):
        columns: list[export.Column] = [
            ("Biểu", lambda one: one.form.name, "text"),
            ("Đơn vị", lambda one: str(one.organisation), "text"),
            ("Kỳ", lambda one: one.period.label_vi, "text"),
            ("Trạng thái", lambda one: _STATUS_NAMES[_status_of(one)], "text"),
            ("Hạn nộp", lambda one: one.due_date, "date"),
            ("Khóa từ", lambda one: one.lock_date, "date"),
            ("Nộp trễ", lambda one: bool(one.submission and one.submission.is_late), "text"),
        ]
        return export.export(request, name="Biểu phải nhập", columns=columns, rows=shown)
    counts = {key: sum(_status_of(one) == key for one in owed) for key in _STATUS_NAMES}
    context = {
        "page": Paginator(shown, 50).get_page(request.GET.get("page")),
        "tabs": [("", "Tất cả", request.path, len(owed))]
        + [(key, name, f"?status={key}", counts[key]) for key, name in _STATUS_NAMES.items() if counts[key]],
        "current": wanted,
        "form": entry_forms.OpenSheet(fillable, timezone.localdate(now)),
        "may_decide": access.may(request.user, "approve"),  # type: ignore[arg-type]
        "has_owed": bool(owed),
    }
    return render(request, "indicators/entry/forms.html", context)


_STATUS_NAMES = {
    "late": "Quá hạn",
    "todo": "Cần nhập",
    "DRAFT": "Đang nhập",
    "RETURNED": "Bị trả lại",
    "SUBMITTED": "Chờ duyệt",
    "APPROVED": "Đã duyệt",
    "locked": "Đã khóa",
}


def _status_of(owed: entry_queries.Owed) -> str:
    if owed.is_locked:
        return "locked"
    if owed.is_late and owed.status != "RETURNED":
        return "late"
    return owed.status or "todo"


@require_POST
def open_form(request: HttpRequest) -> HttpResponse:
    now = _clock()
    fillable = entry_queries.list_fillable(request.user)  # type: ignore[arg-type]
    form = entry_forms.OpenSheet(fillable, timezone.localdate(now), request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(str(text) for texts in form.errors.values() for text in texts))
        return redirect("indicators:forms")
    chosen, organisation = form.cleaned_data["target"]
    try:
        opened = entry.open_submission(chosen, organisation, form.cleaned_data["period"], request.user, now)  # type: ignore[arg-type]
    except entry.EntryError as reason:
        messages.error(request, str(reason))
        return redirect("indicators:forms")
    return redirect("indicators:submission", opened.pk)


# --- one sheet ------------------------------------------------------------------------------------------------------


@dataclass
class ShownCell:
    """A cell as the page shows it: what is stored, or what the person typed where that was not taken."""

    cell: GridCell
    text: str
    note: str
    is_estimated: bool
    is_confirmed: bool
    error: str = ""
    other: str = ""  # what somebody else saved here meanwhile


def submission(request: HttpRequest, pk: int) -> HttpResponseBase:
    found = get_object_or_404(entry_queries.list_visible(request.user), pk=pk)  # type: ignore[arg-type]
    if request.method == "POST":
        return _act_on(request, found)
    if export.format_of(request):
        return _export_grid(request, found)
    return _show(request, found)


def _act_on(request: HttpRequest, found: Submission) -> HttpResponse:
    now, person, action = _clock(), request.user, request.POST.get("action", "save")
    version = _whole(request.POST.get("version"))
    reason = request.POST.get("reason", "")
    try:
        match action:
            case "save" | "submit":
                return _save(request, found, version, now, then_submit=action == "submit")
            case "withdraw":
                entry.withdraw(found, by=person, now=now)  # type: ignore[arg-type]
                done = "Đã rút lại. Sửa xong nhớ nộp lại."
            case "approve":
                entry.approve(found, version=version, by=person, now=now)  # type: ignore[arg-type]
                done = "Đã duyệt. Số liệu có hiệu lực từ bây giờ."
            case "return":
                entry.return_for_correction(found, reason=reason, version=version, by=person, now=now)  # type: ignore[arg-type]
                done = "Đã trả lại kèm lý do."
            case "reopen":
                entry.reopen(found, reason=reason, by=person, now=now)  # type: ignore[arg-type]
                done = "Đã mở lại. Số liệu cũ còn hiệu lực đến khi được duyệt lại."
            case "comment":
                entry.comment(found, request.POST.get("text", ""), by=person, now=now)  # type: ignore[arg-type]
                done = "Đã gửi ý kiến."
            case _:
                raise Http404
    except entry.EntryError as refusal:
        problems = refusal.problems if isinstance(refusal, entry.NotReady) else []
        return _show(request, found, refusal=str(refusal), problems=problems, status=409)
    messages.success(request, done)
    return redirect("indicators:submission", found.pk)


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 10 else None


@dataclass(frozen=True)
class _Typed:
    text: str
    note: str
    is_estimated: bool
    is_confirmed: bool


def _read_typed(request: HttpRequest) -> dict[CellKey, _Typed]:
    """Return the cells that the person changed: those that differ from what the page was sent with."""
    typed = {}
    for name, text in request.POST.items():
        if not name.startswith("v-"):
            continue
        metric_id, _, subject_id = name[2:].partition("-")
        key = (_whole(metric_id), _whole(subject_id))
        if key[0] is None or key[1] is None:
            continue
        tail = name[2:]
        cell = _Typed(
            str(text).strip(),
            request.POST.get(f"n-{tail}", "").strip(),
            f"e-{tail}" in request.POST,
            f"c-{tail}" in request.POST,
        )
        state = f"{cell.text}|{int(cell.is_estimated)}{int(cell.is_confirmed)}|{cell.note}"
        if state != request.POST.get(f"was-{tail}", "|00|"):
            typed[(key[0], key[1])] = cell
    return typed


def _save(
    request: HttpRequest, found: Submission, version: int | None, now: datetime, *, then_submit: bool
) -> HttpResponse:
    typed = _read_typed(request)
    try:
        result = entry.save_cells(
            found,
            {key: cell.text for key, cell in typed.items()},
            notes={key: cell.note for key, cell in typed.items()},
            estimated=[key for key, cell in typed.items() if cell.is_estimated],
            confirmed=[key for key, cell in typed.items() if cell.is_confirmed],
            version=version,
            by=request.user,  # type: ignore[arg-type]
            now=now,
        )
    except entry.EntryError as refusal:
        return _show(request, found, refusal=str(refusal), typed=typed, is_conflict=True, status=409)
    if result.errors:
        kept = {key: cell for key, cell in typed.items() if key in result.errors}
        refusal_text = (
            f"{len(result.errors)} ô chưa đúng nên chưa được lưu; {result.saved} ô khác đã lưu. "
            "Sửa các ô được đánh dấu."
        )
        return _show(request, found, refusal=refusal_text, typed=kept, errors=result.errors, status=422)
    if then_submit:
        try:
            entry.submit(found, version=result.submission.version, by=request.user, now=now)  # type: ignore[arg-type]
        except entry.NotReady as refusal:
            return _show(request, found, refusal=str(refusal), problems=refusal.problems, status=422)
        except entry.EntryError as refusal:
            return _show(request, found, refusal=str(refusal), status=409)
        messages.success(request, "Đã nộp, chờ duyệt.")
        return redirect("indicators:submission", found.pk)
    if result.saved:
        messages.success(request, f"Đã lưu {result.saved} ô.")
    else:
        messages.info(request, "Không có ô nào thay đổi.")
    if result.warnings:
        messages.warning(request, f"{len(result.warnings)} ô cần xem lại và đánh dấu «đã xem lại» trước khi nộp.")
    return redirect(f"{request.path}{_page_query(request)}")


def _page_query(request: HttpRequest) -> str:
    page = _whole(request.POST.get("page"))
    return f"?page={page}" if page and page > 1 else ""


def _show(
    request: HttpRequest,
    found: Submission,
    *,
    refusal: str = "",
    problems: list[str] | None = None,
    typed: dict[CellKey, _Typed] | None = None,
    errors: dict[CellKey, str] | None = None,
    is_conflict: bool = False,
    status: int = 200,
) -> HttpResponse:
    person: Any = request.user
    if request.method == "POST":  # it may have changed since it was read
        found = get_object_or_404(entry_queries.list_visible(person), pk=found.pk)
    grid = entry_queries.list_cells(found)
    today = timezone.localdate()
    exception = entry_queries.find_exception(found.form, found.organisation, grid.period, today)
    is_locked = today >= entry_queries.lock_date(found.form, grid.period) and exception is None
    is_open = found.status in {"DRAFT", "RETURNED"}
    may_enter = access.may(person, "enter", found.organisation_id, found.form.field)
    may_approve = access.may(person, "approve", found.organisation_id, found.form.field)
    rows_a_page = max(1, min(ROWS_A_PAGE, _CELLS_A_PAGE // max(1, len(grid.columns))))
    page = Paginator(grid.rows, rows_a_page).get_page(request.POST.get("page") or request.GET.get("page"))
    events = list(found.events.select_related("person"))
    returned = next((event for event in reversed(events) if event.what in {"returned", "reopened"}), None)
    context = {
        "submission": found,
        "grid": grid,
        "period": grid.period,
        "page": page,
        "rows": [(row, _shown(row.cells, typed or {}, errors or {}, is_conflict)) for row in page],
        "refusal": refusal,
        "problems": problems or [],
        "is_editable": may_enter and is_open and not is_locked,
        "is_locked": is_locked and is_open,
        "lock_date": entry_queries.lock_date(found.form, grid.period),
        "due_date": entry_queries.due_date(found.form, grid.period),
        "exception": exception,
        "returned": returned if found.status == "RETURNED" else None,
        "may_withdraw": may_enter and found.status == "SUBMITTED",
        "may_decide": may_approve and found.status == "SUBMITTED",
        "is_own": found.submitted_by_id == person.pk,
        "may_reopen": may_approve and found.status == "APPROVED",
        "events": [_event(event) for event in reversed(events)],
        "filled": sum(cell.number is not None for row in grid.rows for cell in row.cells),
        "all_cells": sum(len(row.cells) for row in grid.rows),
        "limits": {column.metric.pk: entry.describe_limits(column.metric) for column in grid.columns},
    }
    return render(request, "indicators/entry/submission.html", context, status=status)


def _shown(
    cells: list[GridCell], typed: dict[CellKey, _Typed], errors: dict[CellKey, str], is_conflict: bool
) -> list[ShownCell]:
    shown = []
    for cell in cells:
        mine = typed.get(cell.key)
        if mine is None:
            shown.append(ShownCell(cell, cell.text, cell.note, cell.is_estimated, cell.is_confirmed))
            continue
        other = "" if not is_conflict or mine.text == cell.text else (cell.text or "để trống")
        error = errors.get(cell.key, "")
        shown.append(ShownCell(cell, mine.text, mine.note, mine.is_estimated, mine.is_confirmed, error, other))
    return shown


def _event(event: Any) -> dict[str, Any]:
    head, icon, tone = _EVENTS.get(event.what, ("", "point", "neutral"))
    plain = {"opened", "submitted", "withdrawn", "approved"}
    text = event.text[:1].upper() + event.text[1:] if event.what in plain and event.text else f"{head}: {event.text}"
    return {"at": event.at, "text": text, "person": event.person, "icon": icon, "tone": tone}


def _export_grid(request: HttpRequest, found: Submission) -> HttpResponseBase:
    grid: Grid = entry_queries.list_cells(found)
    columns: list[export.Column] = [
        ("Mã", lambda row: row.subject.key, "text"),
        ("Tên", lambda row: row.subject.name, "text"),
    ]
    for position, column in enumerate(grid.columns):
        columns.append((column.title, lambda row, at=position: row.cells[at].number, "number"))  # type: ignore[misc]
    columns.append((sheets.NOTE_TITLE, lambda row: "; ".join(cell.note for cell in row.cells if cell.note), "text"))
    note = f"{found.form.name}, {grid.period.label_vi}, {found.organisation}, {found.get_status_display().lower()}"
    return export.export(
        request, name=found.form.name, columns=columns, rows=grid.rows, source_note=note, simulated=found.is_simulated
    )


# --- deciding -------------------------------------------------------------------------------------------------------


def queue(request: HttpRequest) -> HttpResponseBase:
    person: Any = request.user
    if not access.may(person, "approve"):
        raise PermissionDenied("Tài khoản của bạn không có quyền duyệt số liệu.")
    if request.method == "POST":
        return _approve_many(request)
    waiting: QuerySet[Any] = entry_queries.list_queue(person)
    form = entry_forms.QueueFilter(request.GET)
    if form.is_valid():
        if form.cleaned_data["form"]:
            waiting = waiting.filter(form=form.cleaned_data["form"])
        look = form.cleaned_data["look"]
        if look == "late":
            waiting = waiting.filter(is_late=True)
        elif look:
            waiting = waiting.filter(warnings=0) if look == "none" else waiting.filter(warnings__gt=0)
    rows = list(waiting)
    wanted = folding.fold(form.cleaned_data["q"]) if form.is_valid() else ""
    if wanted:
        rows = [row for row in rows if wanted in folding.fold(str(row.organisation))]
    if export.format_of(request):
        columns: list[export.Column] = [
            ("Đơn vị", lambda row: str(row.organisation), "text"),
            ("Biểu", lambda row: row.form.name, "text"),
            ("Kỳ", lambda row: entry_queries.period_of(row).label_vi, "text"),
            ("Người nộp", lambda row: str(row.submitted_by or ""), "text"),
            ("Nộp lúc", lambda row: row.submitted_at, "datetime"),
            ("Nộp trễ", lambda row: row.is_late, "text"),
            ("Số ô có số liệu", lambda row: row.figures, "number"),
            ("Điểm cần xem", lambda row: row.warnings, "number"),
        ]
        return export.export(request, name="Biểu chờ duyệt", columns=columns, rows=rows)
    page = Paginator(rows, 50).get_page(request.GET.get("page"))
    now = _clock()
    context = {
        "filter": form,
        "page": page,
        "rows": [
            {
                "submission": row,
                "period": entry_queries.period_of(row),
                "age_days": (now - row.submitted_at).days if row.submitted_at else 0,
                "may_tick": row.warnings == 0 and row.submitted_by_id != person.pk,
            }
            for row in page
        ],
    }
    return render(request, "indicators/entry/queue.html", context)


def _approve_many(request: HttpRequest) -> HttpResponse:
    """Approve the ticked sheets, each in a transaction of its own; those that ask for a look are left."""
    person: Any = request.user
    wanted = [pk for pk in map(_whole, request.POST.getlist("chosen")) if pk is not None]
    now, done = _clock(), 0
    chosen: QuerySet[Any] = entry_queries.list_queue(person).filter(pk__in=wanted)
    for waiting in chosen:
        version = _whole(request.POST.get(f"version-{waiting.pk}"))
        if waiting.warnings:
            messages.warning(request, f"{waiting} có điểm cần xem, chưa duyệt. Mở biểu để xem rồi duyệt.")
            continue
        try:
            entry.approve(waiting, version=version, by=person, now=now)
            done += 1
        except entry.EntryError as reason:
            messages.error(request, str(reason))
    if done:
        messages.success(request, f"Đã duyệt {done} biểu.")
    elif not wanted:
        messages.info(request, "Chưa chọn biểu nào. Đánh dấu các biểu cần duyệt.")
    return redirect("indicators:queue")


def late_exceptions(request: HttpRequest) -> HttpResponse:
    person: Any = request.user
    now = _clock()
    today = timezone.localdate(now)
    pairs = [
        (form, organisation)
        for form in EntryForm.objects.prefetch_related("organisations__subject").order_by("name")
        for organisation in _list_openable(form, person)
    ]
    if not pairs and not access.may(person, "enter"):
        raise PermissionDenied("Tài khoản của bạn không nhập và không duyệt số liệu.")
    form = entry_forms.GiveLateException(pairs, today, request.POST or None)
    if request.method == "POST" and form.is_valid():
        chosen, organisation = form.cleaned_data["target"]
        try:
            entry.give_late_exception(
                chosen,
                organisation,
                form.cleaned_data["period"],
                until_date=form.cleaned_data["until_date"],
                reason=form.cleaned_data["reason"],
                by=person,
                now=now,
            )
        except entry.EntryError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã mở nhập muộn và báo cho người nhập.")
            return redirect("indicators:late_exceptions")
    given = (
        LateException.objects.filter(organisation_id__in=access.visible_subject_ids(person))
        .select_related("form", "organisation__subject", "granted_by")
        .order_by("-granted_at")
    )
    page = Paginator(given, 50).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "may_give": bool(pairs),
        "page": page,
        "rows": [(row, Period(row.form.period_kind, row.period_start), row.until_date >= today) for row in page],  # type: ignore[arg-type]
    }
    return render(request, "indicators/entry/late_exceptions.html", context)


def _list_openable(form: EntryForm, person: Any) -> list[Organisation]:
    """Return the organisations of the form for which the person may open a locked period."""
    held = {*access.list_scopes(person, "approve", form.field), *access.list_scopes(person, "administer", form.field)}
    below = (
        set(form.organisations.filter(subject__contained_in__ancestor_id__in=held).values_list("pk", flat=True))
        if held
        else set()
    )
    return [
        organisation
        for organisation in sorted(form.organisations.all(), key=str)
        if organisation.pk in below
        and (organisation.pk not in held or entry.may_give_late_exception(form, organisation, person))
    ]


# --- sheets ---------------------------------------------------------------------------------------------------------


def imports(request: HttpRequest) -> HttpResponse:
    person: Any = request.user
    if not access.may(person, "enter"):
        raise PermissionDenied("Tài khoản của bạn không có quyền nhập số liệu.")
    now = _clock()
    fillable = entry_queries.list_fillable(person)
    form = entry_forms.UploadSheet(fillable, timezone.localdate(now), request.POST or None, request.FILES or None)
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            upload = form.cleaned_data["file"]
            try:
                batch = sheets.receive(
                    upload,
                    name=upload.name,
                    form=form.cleaned_data["form"],
                    period=form.cleaned_data["period"],
                    by=person,
                    now=now,
                )
            except _REFUSALS as reason:
                form.add_error("file", str(reason))
            else:
                return redirect("indicators:import_batch", batch.pk)
    page = Paginator(sheets.list_batches(person), 20).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "fillable": fillable,
        "page": page,
        "rows": [(batch, sheets.period_of(batch)) for batch in page],
        "default_period": request.GET.get("period", form.fields["period"].initial),
    }
    return render(request, "indicators/entry/imports.html", context, status=status)


@require_GET
def template(request: HttpRequest) -> HttpResponse:
    """Return the sheet to fill in: ?form=<key>&period=<key>[&organisation=<id>][&kind=csv]."""
    person: Any = request.user
    form = get_object_or_404(EntryForm, key=request.GET.get("form", ""))
    try:
        period = Period.parse(request.GET.get("period", ""))
    except BadPeriod as reason:
        messages.error(request, str(reason))
        return redirect("indicators:import")
    access.require(person, "enter", None, form.field)
    organisation = None
    if request.GET.get("organisation"):
        organisation_id = _whole(request.GET["organisation"])
        mine = form.organisations.filter(pk__in=access.visible_subject_ids(person, "enter", form.field))
        organisation = get_object_or_404(mine, pk=organisation_id)
    if period.kind != form.period_kind:
        messages.error(request, f"«{form.name}» nhập theo {form.get_period_kind_display().lower()}. Chọn lại kỳ.")
        return redirect("indicators:import")
    name = f"{form.key}-{period.key}"
    if request.GET.get("kind") == "csv":
        body = sheets.template_csv(form, organisation, period, person=person)
        answer = HttpResponse(body, content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    else:
        answer = HttpResponse(sheets.template(form, organisation, period, person=person), content_type=export.XLSX)
        answer["Content-Disposition"] = f'attachment; filename="{name}.xlsx"'
    answer["Cache-Control"] = "private, no-store"
    return answer


def import_batch(request: HttpRequest, pk: int) -> HttpResponse:
    person: Any = request.user
    batch = get_object_or_404(
        ImportBatch.objects.select_related("form", "file", "undone_by"), pk=pk, uploaded_by=person
    )
    now = _clock()
    refusal, found = "", None
    if request.method == "POST":
        try:
            if request.POST.get("action") == "undo":
                restored, kept = sheets.undo(batch, by=person, now=now)
                more = f"; {kept} ô đã được sửa tay sau đó nên giữ nguyên" if kept else ""
                messages.success(request, f"Đã hoàn tác: {restored} ô trở lại như trước{more}.")
            else:
                wanted = request.POST.get("mode", "")
                mode = wanted if wanted in ImportBatch.Mode.values else ImportBatch.Mode.ALL
                done = sheets.apply(batch, mode=mode, by=person, now=now)
                stored = vietnamese.format_number(done.stored)
                messages.success(request, f"Đã nhập {stored} dòng vào bản nháp. Mở từng biểu để xem lại rồi nộp.")
            return redirect("indicators:import_batch", batch.pk)
        except _REFUSALS as reason:
            refusal = str(reason)
    if batch.applied_at is None:
        try:
            found = sheets.preview(batch, by=person, now=now)
        except _REFUSALS as reason:
            refusal = refusal or str(reason)
    context: dict[str, Any] = {
        "batch": batch,
        "period": sheets.period_of(batch),
        "refusal": refusal,
        "preview": found,
        "submissions": _touched(batch, person),
        "is_done": batch.applied_at is not None and batch.undone_at is None,
    }
    if found is not None:
        context |= {
            "rejected": found.rejected[:_PROBLEM_ROWS_SHOWN],
            "good": [(row, _figures(row, found)) for row in found.storable[:_PROBLEM_ROWS_SHOWN]],
            "warned": [row for row in found.storable if row.warnings][:_PROBLEM_ROWS_SHOWN],
            "shown_at_most": _PROBLEM_ROWS_SHOWN,
        }
    return render(
        request,
        "indicators/entry/import_batch.html",
        context,
        status=409 if refusal and request.method == "POST" else 200,
    )


def _figures(row: sheets.Row, found: sheets.Preview) -> list[tuple[str, str]]:
    return [
        (
            sheets.column_title(metric),
            vietnamese.format_number(row.cells[metric.pk].number) if metric.pk in row.cells else "",
        )
        for metric in found.metrics
    ]


def _touched(batch: ImportBatch, person: Any) -> list[Submission]:
    ids = {row[0] for row in batch.previous_cells}
    return list(entry_queries.list_visible(person).filter(pk__in=ids)) if ids else []
