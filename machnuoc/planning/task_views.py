"""Pages of tasks, inspections and campaigns."""

from collections.abc import Callable, Sequence
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
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from machnuoc.core import export, files, jobs
from machnuoc.core.models import Person, StoredFile
from machnuoc.core.vietnamese import format_date
from machnuoc.indicators.sheets import SheetError
from machnuoc.places import access
from machnuoc.planning import task_forms, task_operations, task_queries, task_rules, task_sheets
from machnuoc.planning.errors import ChangedMeanwhile, PlanningError
from machnuoc.planning.models import Campaign, Conclusion, Meeting, Plan, Task, TaskImport, TaskUnit

_ROWS_A_PAGE = 30
_get_or_post = require_http_methods(["GET", "HEAD", "POST"])


def _person(request: HttpRequest) -> Person:
    return request.user  # type: ignore[return-value]


def _page_of(rows: Any, request: HttpRequest, size: int = _ROWS_A_PAGE, count: int | None = None) -> Any:
    """Return the page asked for. count: how many rows there are, where that is known already."""
    paginator = Paginator(rows, size)
    if count is not None:
        paginator.count = count
    return paginator.get_page(request.GET.get("page"))


def _tabs(request: HttpRequest) -> list[tuple[str, str, str]]:
    kept = request.GET.copy()
    for name in ("page", "sort", "year", "export"):
        kept.pop(name, None)
    query = f"?{kept.urlencode()}" if kept else ""
    names = (
        ("task_list", "Danh sách"), ("task_board", "Bảng"), ("task_by_unit", "Đơn vị nào nợ gì"),
        ("task_timeline", "Dòng thời gian"),
    )  # fmt: skip
    return [(name, title, reverse(f"planning:{name}") + query) for name, title in names]


def _render_list(request: HttpRequest, name: str, tasks: Any, context: dict[str, Any], **form: Any) -> HttpResponse:
    """Show one of the four views of a selection of tasks, with its filters and counts."""
    person = _person(request)
    today = timezone.localdate()
    return render(
        request,
        f"planning/task/{name.removeprefix('task_')}.html",
        {
            "form": context.pop("form", None) or task_forms.TaskFilter(request.GET, person, **form),
            "counts": context.pop("counts", None) or task_queries.count(tasks, today), "tabs": _tabs(request),
            "view": name,
            "may_manage": access.may(person, "manage"), "all_url": reverse(f"planning:{name}"),
            "is_filtered": any(value for key, value in request.GET.items() if key not in {"page", "sort", "year"}),
            **context,
        },
    )  # fmt: skip


@require_safe
def task_list(request: HttpRequest) -> HttpResponseBase:
    person, today = _person(request), timezone.localdate()
    filters = task_forms.read_filters(request.GET)
    tasks = task_queries.select(person, filters, today=today).select_related("plan")
    sort = request.GET.get("sort", "")
    if sort in task_queries.SORTS:
        tasks = tasks.order_by(*task_queries.SORTS[sort])
    form = task_forms.TaskFilter(request.GET, person)
    if export.format_of(request):
        rows = task_queries.dress(tasks, person, today=today)
        return export.export(
            request, name="Nhiệm vụ", columns=_COLUMNS, rows=rows, filters=form.describe(filters),
            source_note="Nhiệm vụ của các kế hoạch; tình trạng theo báo cáo của đơn vị chủ trì",
        )  # fmt: skip
    counts = task_queries.count(tasks, today)
    page = _page_of(tasks, request, count=counts.total)
    rows = task_queries.dress(page.object_list, person, today=today)
    return _render_list(request, "task_list", tasks, {"page": page, "rows": rows, "form": form, "counts": counts})


def _names(lines: Sequence[task_queries.UnitLine]) -> str:
    return "; ".join(f"{line.text} ({line.members} đơn vị)" if line.members else line.text for line in lines)


_COLUMNS: Sequence[export.Column] = [
    ("Mã", lambda row: row.task.key, "text"),
    ("Kế hoạch", lambda row: str(row.task.plan or ""), "text"),
    ("Mục", lambda row: row.task.section, "text"),
    ("Số", lambda row: row.task.number, "text"),
    ("Nội dung", lambda row: row.task.content, "text"),
    ("Đơn vị chủ trì", lambda row: _names(row.leads), "text"),
    ("Đơn vị phối hợp", lambda row: _names(row.cooperating), "text"),
    ("Thời gian", lambda row: row.timing_text, "text"),
    ("Hạn", lambda row: row.task.due_on, "date"),
    ("Sản phẩm, kết quả", lambda row: row.task.product, "text"),
    ("Tình trạng", lambda row: "Chưa có báo cáo" if row.is_silent else row.task.get_state_display(), "text"),
    ("Mức hoàn thành (%)", lambda row: row.task.share_pct, "number"),
    ("Quá hạn", lambda row: "quá hạn" if row.is_overdue else "", "text"),
    ("Báo cáo gần nhất", lambda row: row.task.state_at, "datetime"),
]


@require_safe
def task_board(request: HttpRequest) -> HttpResponse:
    person, today = _person(request), timezone.localdate()
    tasks = task_queries.select(person, task_forms.read_filters(request.GET), today=today)
    counts = task_queries.count(tasks, today)
    columns = task_queries.board(tasks, counts.states, person, today=today)
    context = {"columns": columns, "counts": counts, "here": request.get_full_path()}
    return _render_list(request, "task_board", tasks, context, without=["state"])


@require_safe
def task_by_unit(request: HttpRequest) -> HttpResponseBase:
    person, today = _person(request), timezone.localdate()
    filters = task_forms.read_filters(request.GET)
    form = task_forms.TaskFilter(request.GET, person)
    rows = task_queries.list_owing(person, filters, today=today)
    if export.format_of(request):
        columns: Sequence[export.Column] = [
            ("Đơn vị", lambda row: row.name, "text"), ("Thuộc", lambda row: row.parent, "text"),
            ("Đang mở", lambda row: row.open, "number"), ("Quá hạn", lambda row: row.overdue, "number"),
            ("Đến hạn trong 30 ngày", lambda row: row.soon, "number"),
            ("Chưa có báo cáo", lambda row: row.silent, "number"), ("Hoàn thành", lambda row: row.done, "number"),
        ]  # fmt: skip
        described = form.describe(filters)
        return export.export(request, name="Nhiệm vụ theo đơn vị", columns=columns, rows=rows, filters=described)
    tasks = task_queries.select(person, filters, today=today)
    context = {"rows": rows, "without_lead": task_queries.count_without_lead(tasks), "form": form}
    return _render_list(request, "task_by_unit", tasks, context)


@require_safe
def task_timeline(request: HttpRequest) -> HttpResponse:
    person, today = _person(request), timezone.localdate()
    tasks = task_queries.select(person, task_forms.read_filters(request.GET), today=today).select_related("plan")
    by_year = task_queries.count_by_year(tasks)
    years = list(by_year)
    wanted = request.GET.get("year", "")
    default = today.year if today.year in years or not years else years[0]
    year = next((one for one in years if str(one) == wanted), default)
    dated = tasks.filter(due_on__year=year)
    counts = task_queries.count(tasks, today)
    page = _page_of(dated, request, 40, by_year.get(year, 0))
    rows = task_queries.dress(page.object_list, person, today=today)
    context = {
        "page": page, "timeline": task_queries.timeline(rows, year=year, today=today), "year": year, "years": years,
        "undated": counts.undated, "counts": counts,
    }  # fmt: skip
    return _render_list(request, "task_timeline", tasks, context)


# --- one task


def _get_task(request: HttpRequest, key: str) -> Task:
    try:
        return task_queries.get_task(key, _person(request))
    except Task.DoesNotExist:
        raise Http404(f"no task {key} in scope") from None


@require_safe
def task_detail(request: HttpRequest, key: str) -> HttpResponse:
    shown = _get_task(request, key)
    person, today = _person(request), timezone.localdate()
    acting = _acting(person, shown)
    page = task_queries.read_task(shown, person, today=today)
    is_closed = task_operations.is_decided(shown)
    may_manage = task_operations.may_manage(person, shown)
    context: dict[str, Any] = {
        "task": shown, "page": page, "row": page.row, "acting": acting, "is_closed": is_closed,
        "may_manage": may_manage, "may_report": bool(acting) and not is_closed,
        "form": task_forms.ProgressForm(None, None, units=acting) if acting and not is_closed else None,
        "comment_form": task_forms.CommentForm(), "comments": shown.comments.select_related("by"),
        "handovers": shown.handovers.select_related("from_organisation__subject", "to_organisation__subject", "by"),
        "here": shown.section or shown.key, "is_colleague": task_operations.is_colleague(person),
        "plan_tasks_url": f"{reverse('planning:task_list')}?plan={shown.plan_id}",
        "plan_url": task_queries.link("plan_detail", shown.plan.key) if shown.plan else "",
        "meeting_of": page.meeting_of,
        "facts": _facts(shown, page), "simulated": any(entry.is_simulated for entry in page.progress),
        "target_url": task_queries.link("target_detail", shown.target.plan.key, shown.target.key)
        if shown.target else "",
    }  # fmt: skip
    return render(request, "planning/task/detail.html", context)


def _acting(person: Person, task: Task) -> list[TaskUnit]:
    """Return the units for which the person may report, each once, leads first."""
    found: dict[int, TaskUnit] = {}
    for unit in task_operations.list_acting(person, task):
        found.setdefault(unit.organisation_id or 0, unit)
    return list(found.values())


def _facts(task: Task, page: task_queries.TaskPage) -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = [("Thời gian", page.row.timing_text)]
    if task.timing_as_printed and task.timing_as_printed != task.get_timing_display():
        facts.append(("Loại thời gian", task.get_timing_display()))
    if task.starts_on:
        facts.append(("Bắt đầu", format_date(task.starts_on)))
    facts.append(("Hạn", format_date(task.due_on) if task.due_on else "Văn bản không ghi ngày"))
    if task.accountable:
        facts.append(("Người chịu trách nhiệm", task.accountable.full_name))
    facts.append(("Phạm vi", task.subject.name))
    facts.append(("Mã trong hệ thống", task.key))
    return facts


def _back(request: HttpRequest, task: Task) -> HttpResponse:
    """Return to the page that the form was on (the board), else to the task's page."""
    wanted = request.POST.get("back", "")
    if url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        return redirect(wanted)
    return redirect("planning:task_detail", task.key)


def _store(request: HttpRequest, uploads: Sequence[Any]) -> list[StoredFile]:
    return [files.store(one, name=one.name, by=_person(request), kinds=task_forms.EVIDENCE) for one in uploads]


@_get_or_post
def task_progress(request: HttpRequest, key: str) -> HttpResponse:
    """The form of one progress entry on a page of its own: what a phone shows, and where errors are told."""
    shown = _get_task(request, key)
    person = _person(request)
    acting = _acting(person, shown)
    if not acting:
        raise PermissionDenied("Chỉ người của đơn vị thực hiện báo được tiến độ nhiệm vụ này.")
    data = request.POST if request.method == "POST" else None
    form = task_forms.ProgressForm(data, request.FILES if data is not None else None, units=acting)
    if data is not None and form.is_valid():
        said = form.cleaned_data
        try:
            with transaction.atomic():
                task_operations.add_progress(
                    shown, organisation=form.organisation(), state=said["state"],
                    share_pct=said["share_pct"], text=said["text"], files=_store(request, said["evidence"]),
                    by=person, now=timezone.now(),
                )  # fmt: skip
        except (PlanningError, files.RefusedFile) as reason:
            form.add_error("evidence" if isinstance(reason, files.RefusedFile) else None, str(reason))
        else:
            messages.success(request, "Đã ghi tiến độ.")
            return redirect("planning:task_detail", shown.key)
    return _render_form(request, form, shown, title="Báo tiến độ", button="Ghi tiến độ", uploads=True)


def _render_form(
    request: HttpRequest,
    form: Any,
    task: Task | None,
    *,
    title: str,
    button: str = "Lưu",
    lead: str = "",
    uploads: bool = False,
    is_stale: bool = False,
    **more: Any,
) -> HttpResponse:
    is_bad = form.is_bound and form.errors
    context = {
        "form": form, "task": task, "title": title, "button": button, "lead": lead, "uploads": uploads,
        "is_stale": is_stale, "list_url": reverse("planning:task_list"), "list_title": "Nhiệm vụ",
        "name": str(task) if task else "", "back_url": reverse("planning:task_detail", args=[task.key]) if task
        else reverse("planning:task_list"), **more,
    }  # fmt: skip
    return render(request, "planning/task/form.html", context, status=409 if is_stale else 422 if is_bad else 200)


@require_POST
def task_move(request: HttpRequest, key: str) -> HttpResponse:
    """Move a unit's part on the board: one button, no text to type. htmx gets the board again."""
    shown = _get_task(request, key)
    person = _person(request)
    state = request.POST.get("state", "")
    acting = [unit for unit in _acting(person, shown) if unit.role == TaskUnit.Role.LEAD]
    wanted = request.POST.get("unit", "")
    if wanted:
        acting = [unit for unit in acting if str(unit.organisation_id) == wanted]
    if not acting:
        raise PermissionDenied("Bạn không báo tiến độ được cho đơn vị chủ trì của nhiệm vụ này.")
    if len(acting) > 1:
        messages.info(request, "Bạn báo được cho nhiều đơn vị của nhiệm vụ này. Chọn đơn vị rồi ghi tiến độ.")
        return _go(request, reverse("planning:task_progress", args=[shown.key]))
    if state not in task_rules.UNIT_STATES:
        raise Http404("no such state")
    organisation = acting[0].organisation
    label = Task.State(state).label.lower()
    try:
        if organisation is not None:
            task_operations.add_progress(
                shown, organisation=organisation, state=state, text=f"Chuyển sang «{label}» trên bảng.", by=person,
                now=timezone.now(),
            )  # fmt: skip
    except PlanningError as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, f"«{organisation}»: {label}.")
    return _back(request, shown)


def _go(request: HttpRequest, address: str) -> HttpResponse:
    """Lead the browser to another page, also where htmx asked for a part of this one."""
    if request.htmx:  # type: ignore[attr-defined]
        answer = HttpResponse(status=204)
        answer["HX-Redirect"] = address
        return answer
    return redirect(address)


@require_POST
def task_comment(request: HttpRequest, key: str) -> HttpResponse:
    shown = _get_task(request, key)
    form = task_forms.CommentForm(request.POST)
    if form.is_valid():
        try:
            task_operations.comment(shown, form.cleaned_data["text"], by=_person(request), now=timezone.now())
        except PlanningError as reason:
            form.add_error("text", str(reason))
        else:
            messages.success(request, "Đã gửi ý kiến.")
            return redirect("planning:task_detail", shown.key)
    return _render_form(request, form, shown, title="Ý kiến", button="Gửi ý kiến")


def _managed(request: HttpRequest, key: str) -> Task:
    shown = _get_task(request, key)
    access.require(_person(request), "manage", shown.subject_id)
    return shown


@_get_or_post
def task_decide(request: HttpRequest, key: str) -> HttpResponse:
    shown = _managed(request, key)
    is_closed = task_operations.is_decided(shown) or shown.state == Task.State.DONE
    form = task_forms.DecideForm(request.POST if request.method == "POST" else None, is_closed=is_closed)
    if form.is_bound and form.is_valid():
        said = form.cleaned_data
        try:
            task_operations.decide(
                shown, state=said["state"], reason=said["reason"], by=_person(request), now=timezone.now()
            )
        except PlanningError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã ghi quyết định về nhiệm vụ.")
            return redirect("planning:task_detail", shown.key)
    lead = (
        "Nhiệm vụ có nhiều đơn vị chủ trì hoàn thành khi từng đơn vị đã báo hoàn thành. "
        "Người quản lý có thể kết thúc, tạm dừng hoặc thôi thực hiện, kèm lý do; khi đó đơn vị không báo thêm."
    )
    title = "Mở lại nhiệm vụ" if is_closed else "Kết thúc, tạm dừng"
    return _render_form(request, form, shown, title=title, button="Ghi quyết định", lead=lead)


@_get_or_post
def task_hand_over(request: HttpRequest, key: str) -> HttpResponse:
    shown = _managed(request, key)
    person = _person(request)
    data = request.POST if request.method == "POST" else None
    form = task_forms.HandOverForm(data, task=shown, person=person, today=timezone.localdate())
    is_stale = False
    if data is not None and form.is_valid():
        said = form.cleaned_data
        try:
            task_operations.hand_over(
                shown, from_organisation=said["former"], to_organisation=said["to"], reason=said["reason"],
                on_date=said["on_date"], version=said["version"], by=person, now=timezone.now(),
            )  # fmt: skip
        except PlanningError as reason:
            is_stale = isinstance(reason, ChangedMeanwhile)
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã chuyển nhiệm vụ cho «{said['to']}» và báo cho hai đơn vị.")
            return redirect("planning:task_detail", shown.key)
    lead = "Đơn vị mới chủ trì từ ngày này; kết quả đơn vị cũ đã báo vẫn nằm trong lịch sử."
    return _render_form(request, form, shown, title="Chuyển đơn vị chủ trì", button="Chuyển", lead=lead,
                        is_stale=is_stale)  # fmt: skip


@_get_or_post
def task_edit(request: HttpRequest, key: str) -> HttpResponse:
    return _save_task(request, _managed(request, key))


@_get_or_post
def task_add(request: HttpRequest) -> HttpResponse:
    access.require(_person(request), "manage")
    return _save_task(request, None)


def _wanted_plan(request: HttpRequest) -> Plan | None:
    key = request.GET.get("plan", "")
    return Plan.objects.select_related("territory").filter(key=key).first() if key else None


def _save_task(request: HttpRequest, shown: Task | None) -> HttpResponse:
    person = _person(request)
    data = request.POST if request.method == "POST" else None
    form = task_forms.TaskForm(data, person=person, task=shown, plan=_wanted_plan(request))
    is_stale = False
    if data is not None and form.is_valid():
        said = form.cleaned_data
        names = (
            "plan", "subject", "number", "section", "content", "product", "timing", "timing_as_printed", "starts_on",
            "due_on",
        )  # fmt: skip
        about: dict[str, Any] = {name: said[name] for name in names} | {"units": form.units(), "by": person}
        try:
            if shown is None:
                made = task_operations.add_task(**about)
            else:
                made = task_operations.put_task(
                    key=shown.key, version=said["version"], accountable=shown.accountable, target=shown.target,
                    passage=shown.passage, **about,
                )  # fmt: skip
        except PlanningError as reason:
            is_stale = isinstance(reason, ChangedMeanwhile)
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã lưu nhiệm vụ.")
            return redirect("planning:task_detail", made.key)
    title = "Sửa nhiệm vụ" if shown else "Thêm nhiệm vụ"
    return _render_form(request, form, shown, title=title, is_stale=is_stale)


@require_safe
def task_file(request: HttpRequest, key: str, pk: int) -> HttpResponseBase:
    """The evidence of a progress entry, for those who may read the entry."""
    shown = _get_task(request, key)
    page = task_queries.read_task(shown, _person(request), today=timezone.localdate())
    for entry in page.progress:
        for stored in entry.files.all():
            if stored.pk == pk:
                return files.as_download(stored)
    raise Http404("no such file")


# --- tasks as sheets


@_get_or_post
def task_imports(request: HttpRequest) -> HttpResponse:
    person = _person(request)
    access.require(person, "manage")
    data = request.POST if request.method == "POST" else None
    form = task_forms.UploadTasks(data, request.FILES if data is not None else None, person=person)
    if data is not None and form.is_valid():
        upload = form.cleaned_data["file"]
        try:
            batch = task_sheets.receive(
                upload, name=upload.name, plan=form.cleaned_data["plan"], subject=form.cleaned_data["subject"],
                by=person, now=timezone.now(),
            )  # fmt: skip
        except (SheetError, files.RefusedFile) as reason:
            form.add_error("file", str(reason))
        else:
            return redirect("planning:task_import", batch.pk)
    context = {"form": form, "page": _page_of(task_sheets.list_batches(person), request, 20)}
    return render(request, "planning/task/imports.html", context, status=422 if data is not None else 200)


@require_safe
def task_template(request: HttpRequest) -> HttpResponse:
    person = _person(request)
    access.require(person, "manage")
    answer = HttpResponse(task_sheets.template(person), content_type=export.XLSX)
    answer["Content-Disposition"] = 'attachment; filename="mau-nhiem-vu.xlsx"'
    return answer


@_get_or_post
def task_import(request: HttpRequest, pk: int) -> HttpResponse:
    person = _person(request)
    batch = get_object_or_404(
        TaskImport.objects.select_related("plan", "subject", "file", "job", "undone_by"), pk=pk, uploaded_by=person
    )
    refusal = ""
    if request.method == "POST":
        try:
            if request.POST.get("action") == "undo":
                removed, restored, kept = task_sheets.undo(batch, by=person, now=timezone.now())
                messages.success(
                    request,
                    f"Đã hoàn tác: bỏ {removed} nhiệm vụ, trả lại {restored}, giữ {kept} đã có người sửa sau đó.",
                )
            else:
                _take(request, batch, person)
        except (SheetError, PlanningError) as reason:
            refusal = str(reason)
        else:
            return redirect("planning:task_import", batch.pk)
    is_waiting = batch.applied_at is None and batch.job is not None and batch.job.state in {"QUEUED", "RUNNING"}
    context = {
        "batch": batch, "refusal": refusal, "is_waiting": is_waiting,
        "is_long": batch.received >= task_sheets.LONG_ROWS,
        "added": batch.stored - batch.found.get("changed", 0),
    }  # fmt: skip
    template = "planning/task/import.html#state" if request.htmx else "planning/task/import.html"  # type: ignore[attr-defined]
    return render(request, template, context, status=409 if refusal else 200)


def _take(request: HttpRequest, batch: TaskImport, person: Person) -> None:
    mode = request.POST.get("mode", "")
    if mode not in TaskImport.Mode.values:
        raise SheetError("Chọn nhập tất cả, hoặc chỉ các dòng hợp lệ.")
    if batch.received < task_sheets.LONG_ROWS:
        task_sheets.apply(batch, mode=mode, by=person, now=timezone.now())
        return
    access.require(person, "manage", batch.subject_id)
    if mode == TaskImport.Mode.ALL and batch.rejected:
        raise SheetError(f"{batch.rejected} dòng còn lỗi. Sửa tệp, hoặc chọn chỉ nhập các dòng hợp lệ.")
    with transaction.atomic():
        batch.job = jobs.enqueue(
            "planning.import_tasks", by=person, schedule=f"task-import-{batch.pk}", batch_id=batch.pk, mode=mode,
            person_id=person.pk,
        )  # fmt: skip
        batch.save(update_fields=["job"])


# --- inspections, meetings


def _filtered(request: HttpRequest, rows: Any, kinds: type[Any], day: str, text: Sequence[str]) -> tuple[Any, Any]:
    """Return the rows that the filters of meetings and campaigns ask for, and their form."""
    form = task_forms.KindFilter(request.GET, _person(request), kinds.choices)
    form.is_valid()
    said = getattr(form, "cleaned_data", {})
    if said.get("kind"):
        rows = rows.filter(kind=said["kind"])
    if said.get("plan"):
        rows = rows.filter(plan=said["plan"])
    if said.get("from_date"):
        rows = rows.filter(**{f"{day}__gte": said["from_date"]})
    if said.get("to_date"):
        rows = rows.filter(**{f"{day}__lte": said["to_date"]})
    if said.get("q", "").strip():
        rows = rows.filter(pk__in=task_queries.matching(rows, said["q"], text))
    return rows, form


@require_safe
def meeting_list(request: HttpRequest) -> HttpResponseBase:
    person = _person(request)
    rows, form = _filtered(
        request, task_queries.list_meetings(person), Meeting.Kind, "held_on", ("title", "place", "minutes")
    )
    rows = task_queries.with_conclusions(rows)
    if export.format_of(request):
        columns: Sequence[export.Column] = [
            ("Ngày", lambda row: row.held_on, "date"), ("Loại", lambda row: row.get_kind_display(), "text"),
            ("Tên", lambda row: row.title, "text"), ("Đơn vị chủ trì", lambda row: str(row.host), "text"),
            ("Địa điểm", lambda row: row.place, "text"), ("Kết luận", lambda row: row.conclusion_count, "number"),
            ("Đã giao thành nhiệm vụ", lambda row: row.given_out, "number"),
            ("Nhiệm vụ đã xong", lambda row: row.task_done, "number"),
        ]  # fmt: skip
        return export.export(request, name="Họp, kiểm tra", columns=columns, rows=rows)
    context = {"form": form, "page": _page_of(rows, request), "may_add": access.may(person, "manage")}
    return render(request, "planning/task/meetings.html", context)


def _get_meeting(request: HttpRequest, pk: int) -> Meeting:
    return get_object_or_404(task_queries.list_meetings(_person(request)).select_related("task", "made_by"), pk=pk)


@require_safe
def meeting_detail(request: HttpRequest, pk: int) -> HttpResponse:
    shown = _get_meeting(request, pk)
    conclusions = list(shown.conclusions.select_related("task"))
    given = [row.task for row in conclusions if row.task is not None]
    rows = task_queries.dress(given, _person(request), today=timezone.localdate())
    context = {
        "meeting": shown, "conclusions": [(row, next((r for r in rows if r.task.pk == row.task_id), None))
                                          for row in conclusions],
        "may_manage": access.may(_person(request), "manage", shown.subject_id), "files": shown.files.all(),
    }  # fmt: skip
    return render(request, "planning/task/meeting.html", context)


@_get_or_post
def meeting_add(request: HttpRequest) -> HttpResponse:
    access.require(_person(request), "manage")
    return _save_meeting(request, None)


@_get_or_post
def meeting_edit(request: HttpRequest, pk: int) -> HttpResponse:
    shown = _get_meeting(request, pk)
    access.require(_person(request), "manage", shown.subject_id)
    return _save_meeting(request, shown)


def _save_meeting(request: HttpRequest, shown: Meeting | None) -> HttpResponse:
    person = _person(request)
    data = request.POST if request.method == "POST" else None
    form = task_forms.MeetingForm(
        data, request.FILES if data is not None else None, person=person, meeting=shown, plan=_wanted_plan(request)
    )
    names = ("kind", "title", "host", "subject", "held_on", "plan", "task", "place", "attendance", "minutes")

    def act(said: dict[str, Any]) -> Meeting:
        return task_operations.put_meeting(
            meeting=shown, conclusions=form.conclusions(), files=_store(request, said["evidence"]),
            version=said["version"], by=person, **{name: said[name] for name in names},
        )  # fmt: skip

    return _save(request, form, act, shown, "meeting", "Họp, kiểm tra", "cuộc họp, kiểm tra")


def _save(
    request: HttpRequest, form: Any, act: Callable[[dict[str, Any]], Any], shown: Any, name: str, title: str, what: str
) -> HttpResponse:
    """Do what a form of a meeting or a campaign says, or show it with what is wrong."""
    is_stale = False
    if form.is_bound and form.is_valid():
        try:
            with transaction.atomic():
                made = act(form.cleaned_data)
        except (PlanningError, files.RefusedFile) as reason:
            is_stale = isinstance(reason, ChangedMeanwhile)
            form.add_error("evidence" if isinstance(reason, files.RefusedFile) else None, str(reason))
        else:
            messages.success(request, f"Đã lưu {what}.")
            return redirect(f"planning:{name}_detail", made.pk)
    list_url = reverse(f"planning:{name}_list")
    return _render_form(
        request, form, None, title=f"{'Sửa' if shown else 'Thêm'} {what}", uploads=True, is_stale=is_stale,
        list_url=list_url, list_title=title, name=str(shown or ""),
        back_url=reverse(f"planning:{name}_detail", args=[shown.pk]) if shown else list_url,
    )  # fmt: skip


@_get_or_post
def conclusion_task(request: HttpRequest, pk: int, conclusion: int) -> HttpResponse:
    shown = _get_meeting(request, pk)
    person = _person(request)
    access.require(person, "manage", shown.subject_id)
    row = get_object_or_404(Conclusion, pk=conclusion, meeting=shown)
    data = request.POST if request.method == "POST" else None
    form = task_forms.GiveOutForm(data, person=person, conclusion=row)
    if data is not None and form.is_valid():
        said = form.cleaned_data
        try:
            made = task_operations.make_task(
                row, leads=list(said["leads"]), due_on=said["due_on"], content=said["content"], by=person
            )
        except PlanningError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã giao kết luận thành nhiệm vụ và báo cho đơn vị chủ trì.")
            return redirect("planning:task_detail", made.key)
    return _render_form(
        request, form, None, title="Giao kết luận thành nhiệm vụ", button="Giao nhiệm vụ", name=str(shown),
        list_url=reverse("planning:meeting_list"), list_title="Họp, kiểm tra",
        back_url=reverse("planning:meeting_detail", args=[shown.pk]),
    )  # fmt: skip


@require_safe
def meeting_file(request: HttpRequest, pk: int, file: int) -> HttpResponseBase:
    return files.as_download(get_object_or_404(_get_meeting(request, pk).files.all(), pk=file))


# --- campaigns


@require_safe
def campaign_list(request: HttpRequest) -> HttpResponseBase:
    person = _person(request)
    rows, form = _filtered(
        request, task_queries.list_campaigns(person), Campaign.Kind, "from_date",
        ("title", "place", "audience", "result"),
    )  # fmt: skip
    if export.format_of(request):
        columns: Sequence[export.Column] = [
            ("Từ ngày", lambda row: row.from_date, "date"), ("Đến hết ngày", lambda row: row.to_date, "date"),
            ("Loại", lambda row: row.get_kind_display(), "text"), ("Tên", lambda row: row.title, "text"),
            ("Đơn vị tổ chức", lambda row: str(row.organisation), "text"),
            ("Địa điểm", lambda row: row.place, "text"), ("Đối tượng", lambda row: row.audience, "text"),
            ("Số người dự kiến", lambda row: row.expected_count, "number"),
            ("Số người tham gia", lambda row: row.reached_count, "number"),
            ("Kết quả", lambda row: row.result, "text"),
        ]  # fmt: skip
        return export.export(request, name="Tuyên truyền, tập huấn", columns=columns, rows=rows)
    context = {
        "form": form, "page": _page_of(rows, request), "sums": task_queries.sum_campaigns(rows),
        "may_add": access.may(person, "enter") or access.may(person, "manage"),
    }  # fmt: skip
    return render(request, "planning/task/campaigns.html", context)


def _get_campaign(request: HttpRequest, pk: int) -> Campaign:
    return get_object_or_404(task_queries.list_campaigns(_person(request)).select_related("task", "made_by"), pk=pk)


@require_safe
def campaign_detail(request: HttpRequest, pk: int) -> HttpResponse:
    shown = _get_campaign(request, pk)
    context = {
        "campaign": shown, "may_edit": task_operations.may_run_campaign(_person(request), shown.organisation_id),
        "files": shown.files.all(), "sums": task_queries.sum_campaigns(Campaign.objects.filter(pk=shown.pk)),
    }  # fmt: skip
    return render(request, "planning/task/campaign.html", context)


@_get_or_post
def campaign_add(request: HttpRequest) -> HttpResponse:
    person = _person(request)
    if not (access.may(person, "enter") or access.may(person, "manage")):
        raise PermissionDenied("Tài khoản của bạn không ghi được đợt tuyên truyền, tập huấn.")
    return _save_campaign(request, None)


@_get_or_post
def campaign_edit(request: HttpRequest, pk: int) -> HttpResponse:
    shown = _get_campaign(request, pk)
    if not task_operations.may_run_campaign(_person(request), shown.organisation_id):
        raise PermissionDenied("Chỉ đơn vị tổ chức sửa được đợt tuyên truyền, tập huấn này.")
    return _save_campaign(request, shown)


def _save_campaign(request: HttpRequest, shown: Campaign | None) -> HttpResponse:
    person = _person(request)
    data = request.POST if request.method == "POST" else None
    form = task_forms.CampaignForm(
        data, request.FILES if data is not None else None, person=person, campaign=shown, plan=_wanted_plan(request)
    )
    names = (
        "kind", "title", "organisation", "subject", "from_date", "to_date", "audience", "plan", "task", "place",
        "expected_count", "reached_count", "result",
    )  # fmt: skip

    def act(said: dict[str, Any]) -> Campaign:
        return task_operations.put_campaign(
            campaign=shown, files=_store(request, said["evidence"]), version=said["version"], by=person,
            **{name: said[name] for name in names},
        )  # fmt: skip

    return _save(request, form, act, shown, "campaign", "Tuyên truyền, tập huấn", "đợt tuyên truyền, tập huấn")


@require_safe
def campaign_file(request: HttpRequest, pk: int, file: int) -> HttpResponseBase:
    return files.as_download(get_object_or_404(_get_campaign(request, pk).files.all(), pk=file))
