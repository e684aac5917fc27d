"""Pages of projects: the list with its sums, debts, funds of programmes; one project; what changes it."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from machnuoc.core import export
from machnuoc.indicators import operations as indicator_operations
from machnuoc.places import access
from machnuoc.places import operations as place_operations
from machnuoc.places.models import Organisation
from machnuoc.planning import project_export, project_forms, project_operations, project_queries
from machnuoc.planning.errors import PlanningError
from machnuoc.planning.models import AcceptedVolume, Disbursement, Milestone, Obstacle, Project, YearlyPlan
from machnuoc.planning.money import format_amount

_ROWS_A_PAGE = 30
_BARS = 30
_get_or_post = require_http_methods(["GET", "HEAD", "POST"])


# --- lists ----------------------------------------------------------------------------------------------------------


def _select(request: HttpRequest, **changes: Any) -> project_queries.Selection:
    sort = request.GET.get("sort", "")
    filters = project_forms.read_filters(request.GET)
    for name, value in changes.items():
        filters = project_queries.Filters(**{**filters.__dict__, name: value})
    return project_queries.select(
        request.user,  # type: ignore[arg-type]
        filters,
        sort if sort.removeprefix("-") in project_queries.SORTS else "",
        today=timezone.localdate(),
    )


def _render(
    request: HttpRequest, view: str, selection: project_queries.Selection, context: dict[str, Any]
) -> HttpResponse:
    kept = request.GET.copy()
    kept.pop("page", None)
    query = f"?{kept.urlencode()}" if kept else ""
    tabs = [
        ("list", "Danh sách", reverse("planning:project_list") + query),
        ("chart", "Biểu đồ", reverse("planning:project_chart") + query),
        ("debts", "Nợ đọng", reverse("planning:project_debts"), selection.totals.in_debt),
        ("funds", "Nguồn vốn chương trình", reverse("planning:project_funds")),
    ]
    return render(
        request,
        f"planning/project/{view}.html",
        {
            "selection": selection, "totals": selection.totals, "tabs": tabs, "view": view,
            "form": project_forms.ProjectFilter(request.GET, selection),
            "may_add": access.may(request.user, "manage"),  # type: ignore[arg-type]
            "all_url": reverse("planning:project_list"), "today": timezone.localdate(), **context,
        },
    )  # fmt: skip


@require_safe
def project_list(request: HttpRequest) -> HttpResponseBase:
    selection = _select(request)
    if export.format_of(request):
        return _export(request, selection, "Dự án cấp nước")
    page = Paginator(selection.rows, _ROWS_A_PAGE).get_page(request.GET.get("page"))
    return _render(request, "list", selection, {"page": page})


@require_safe
def project_chart(request: HttpRequest) -> HttpResponseBase:
    selection = _select(request)
    if export.format_of(request):
        return _export(request, selection, "Dự án cấp nước")
    known = [row for row in selection.rows if row.total_vnd is not None]
    drawn = sorted(known, key=lambda row: -(row.total_vnd or 0))[:_BARS]
    data = {
        "type": "bar", "unit": "triệu đồng", "decimals": 0, "category_title": "Dự án",
        "categories": [_short(row) for row in drawn],
        "series": [
            {"name": "Tổng mức", "values": [_millions(row.total_vnd) for row in drawn]},
            {"name": f"Kế hoạch vốn {selection.year}", "values": [_millions(row.planned_vnd) for row in drawn]},
            {"name": f"Giải ngân {selection.year}", "values": [_millions(row.paid_vnd) for row in drawn]},
        ],
    }  # fmt: skip
    return _render(
        request, "chart", selection,
        {
            "chart_data": data, "drawn": drawn, "left_out": len(known) - len(drawn),
            "without": len(selection.rows) - len(known),
        },
    )  # fmt: skip


def _short(row: project_queries.Row) -> str:
    """Return what fits under a bar: the number in the plan, and the name as far as it fits."""
    name = row.name if len(row.name) <= 28 else row.name[:27].rstrip() + "…"
    return f"{row.number}. {name}" if row.number else name


def _millions(amount_vnd: int | None) -> float | None:
    return None if amount_vnd is None else round(amount_vnd / 10**6, 3)


@require_safe
def project_debts(request: HttpRequest) -> HttpResponseBase:
    """What is accepted and not paid («nợ đọng xây dựng cơ bản»), the largest first."""
    selection = _select(request, warning=project_queries.DEBT)
    rows = sorted(selection.rows, key=lambda row: -row.debt_vnd)
    if export.format_of(request):
        return _export(request, selection, "Nợ đọng xây dựng cơ bản")
    page = Paginator(rows, _ROWS_A_PAGE).get_page(request.GET.get("page"))
    return _render(request, "debts", selection, {"page": page})


def _export(request: HttpRequest, selection: project_queries.Selection, name: str) -> HttpResponseBase:
    year = selection.year

    def of(field: str) -> Callable[[Any], Any]:
        return lambda row: getattr(row, field, None)

    def text_of(field: str) -> Callable[[Any], Any]:
        return lambda row: getattr(row, field) if isinstance(row, project_queries.Row) else None

    columns: list[export.Column] = [
        ("TT", text_of("number"), "text"),
        ("Dự án", lambda row: row.name if isinstance(row, project_queries.Row) else "Cộng", "text"),
        ("Kế hoạch", text_of("plan"), "text"),
        ("Chủ đầu tư", text_of("owner"), "text"),
        ("Tình trạng", text_of("status_label"), "text"),
        ("Tổng mức (đồng)", of("total_vnd"), "number"),
        ("Tổng mức như in", text_of("total_as_printed"), "text"),
        ("Thời gian hoàn thành như in", text_of("completion_as_printed"), "text"),
        ("Phải hoàn thành", text_of("due_on"), "date"),
        (f"Kế hoạch vốn {year}, gồm kéo dài (đồng)", of("planned_vnd"), "number"),
        (f"Giải ngân {year} (đồng)", of("paid_vnd"), "number"),
        ("Giải ngân (%)", of("rate_pct"), "number"),
        ("Nghiệm thu lũy kế (đồng)", of("accepted_vnd"), "number"),
        ("Nợ đọng (đồng)", of("debt_vnd"), "number"),
        ("Người dự kiến", of("people_expected"), "number"),
        ("Người đã được cấp", text_of("people_reached"), "number"),
        (
            "Cảnh báo",
            lambda row: "; ".join(row.warning_texts) if isinstance(row, project_queries.Row) else None,
            "text",
        ),
        ("Mô phỏng", lambda row: "có" if getattr(row, "is_simulated", False) else None, "text"),
    ]
    return export.export(
        request,
        name=name,
        columns=columns,
        rows=[*selection.rows, selection.totals] if selection.rows else [],
        filters=project_forms.describe_filters(selection),
        source_note="Danh mục dự án như văn bản và sổ vốn của Mạch Nước. Tỷ lệ ở dòng «Cộng» là tổng chia tổng.",
        simulated=selection.totals.is_simulated,
    )


@require_safe
def project_funds(request: HttpRequest) -> HttpResponse:
    plans = list(project_queries.list_fund_plans(request.user))  # type: ignore[arg-type]
    return _render(request, "funds", _select(request), {"plans": plans})


@require_safe
def project_fund(request: HttpRequest, key: str) -> HttpResponseBase:
    """Money of one programme, as its plan states it."""
    plan = project_queries.list_fund_plans(request.user).filter(key=key).first()  # type: ignore[arg-type]
    if plan is None:
        raise Http404(f"no funds of plan {key} in scope")
    funds = project_queries.list_funds(plan)
    if export.format_of(request):
        columns: list[export.Column] = [
            ("Khoản", lambda row: row.name, "text"),
            ("Loại vốn", lambda row: row.kind or None, "text"),
            ("Năm", lambda row: row.year, "number"),
            ("Số tiền (đồng)", lambda row: row.amount_vnd, "number"),
            ("Như in", lambda row: f"{row.qualifier} {row.amount_as_printed}".strip(), "text"),
            ("Mục", lambda row: row.passage.section if row.passage else None, "text"),
        ]
        return export.export(request, name=f"Nguồn vốn {plan.short_name}", columns=columns, rows=funds)
    return render(request, "planning/project/fund.html", {"plan": plan, "funds": funds})


@require_safe
def project_oc4ids(request: HttpRequest) -> StreamingHttpResponse:
    """The projects that the filters leave, all of them, as an OC4IDS package written while it is read."""
    selection = _select(request)
    text = project_export.write_package(
        [row.pk for row in sorted(selection.rows, key=lambda row: row.key)],
        uri=request.build_absolute_uri(request.path), now=timezone.now(), today=timezone.localdate(),
    )  # fmt: skip
    answer = StreamingHttpResponse(text, content_type="application/json; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="du-an-oc4ids.json"'
    answer["Cache-Control"] = "private, no-store"
    return answer


# --- one project ----------------------------------------------------------------------------------------------------


def _get(request: HttpRequest, key: str) -> Any:
    try:
        return project_queries.get_project(key, request.user)  # type: ignore[arg-type]
    except Project.DoesNotExist:
        raise Http404(f"no project {key} in scope") from None


@require_safe
def project_detail(request: HttpRequest, key: str) -> HttpResponse:
    project = _get(request, key)
    person: Any = request.user
    today = timezone.localdate()
    page = project_queries.get_page(project, today=today, person=person)
    return render(
        request,
        "planning/project/detail.html",
        {
            "project": project, "page": page, "row": page.row, "today": today,
            "due": project_queries.describe_due(project, today), "may_manage": project.manages,
            "may_enter": project_queries.may_enter(project), "linked": page.linked,
            "rate": project_queries.get_rate(project, today),
            "warnings": project_queries.describe_warnings(page, today),
            "carried": project_queries.describe_carry_over(page),
        },
    )  # fmt: skip


_Act = Callable[[Project, Any], None]


def _form(
    request: HttpRequest,
    project: Project,
    form: Any,
    act: _Act,
    *,
    title: str,
    done: str,
    lead: str = "",
    icon: str = "check",
    anchor: str = "",
    label: str = "Lưu",
) -> HttpResponse:
    """Show a form about one project and do its act; what cannot be done is said above the form."""
    is_stale = False
    if request.method == "POST" and form.is_valid():
        try:
            act(project, form.cleaned_data)
        except place_operations.ChangedMeanwhile as reason:
            is_stale = True
            form.add_error(None, str(reason))
        except (PlanningError, place_operations.PlacesError) as reason:
            form.add_error(None, str(reason))
        else:
            indicator_operations.recompute_dirty(timezone.now())
            messages.success(request, done)
            address = reverse("planning:project_detail", args=[project.subject.key])
            return redirect(f"{address}#{anchor}" if anchor else address)
    status = 409 if is_stale else 422 if request.method == "POST" else 200
    context = {
        "project": project, "form": form, "title": title, "lead": lead, "icon_name": icon, "label": label,
        "is_stale": is_stale,
    }  # fmt: skip
    return render(request, "planning/project/form.html", context, status=status)


def _data(request: HttpRequest) -> Any:
    return request.POST if request.method == "POST" else None


def _to_manage(request: HttpRequest, key: str) -> Any:
    project = _get(request, key)
    access.require(request.user, "manage", project.pk)  # type: ignore[arg-type]
    return project


def _to_enter(request: HttpRequest, key: str) -> Any:
    project = _get(request, key)
    if not project_queries.may_enter(project):
        raise PermissionDenied("Người của chủ đầu tư hoặc đơn vị thực hiện dự án mới ghi được mục này.")
    return project


def _fields(form: project_forms.EditProject) -> dict[str, Any]:
    said = {name: value for name, value in form.cleaned_data.items() if not name.startswith("territor")}
    said.pop("version")
    total = said.pop("total")
    return {**said, "total_vnd": total, "territories": form.units()}


def _require_reach(
    person: Any, form: project_forms.EditProject, page: project_queries.ProjectPage | None = None
) -> bool:
    """Return whether the person manages the owner, or every unit named where no owner is; else say so on the form.

    A project must not be put into hands that its author does not manage. page: of one that is there already, whose
    owner and places may stay as they are.
    """
    owner, units = form.cleaned_data.get("owner"), form.units()
    held = {page.project.owner_id, *(place.pk for place in page.territories)} if page is not None else set()
    if owner is not None and access.may(person, "manage", owner.pk):
        return True
    if (owner is None or owner.pk in held) and (units or page is not None):
        fresh = [unit.pk for unit in units if unit.pk not in held]
        if all(access.may(person, "manage", pk) for pk in fresh):
            return True
    if access.sees_everything(person, "manage"):
        return True
    form.add_error("owner", "Bạn không quản lý chủ đầu tư hoặc địa bàn này. Chọn đơn vị trong phạm vi của bạn.")
    return False


@_get_or_post
def project_add(request: HttpRequest) -> HttpResponse:
    person: Any = request.user
    access.require(person, "manage")
    form = project_forms.EditProject(_data(request), person=person)
    if request.method == "POST" and form.is_valid() and _require_reach(person, form):
        try:
            made = project_operations.add_project(by=person, **_fields(form))
        except (PlanningError, place_operations.PlacesError) as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã thêm dự án «{made}». Ghi tiếp kế hoạch vốn và các mốc.")
            return redirect("planning:project_detail", made.subject.key)
    context = {"form": form, "title": "Thêm dự án", "icon_name": "plus", "label": "Thêm", "lead": "Ghi như văn bản in."}
    return render(request, "planning/project/form.html", context, status=422 if request.method == "POST" else 200)


@_get_or_post
def project_edit(request: HttpRequest, key: str) -> HttpResponse:
    project = _to_manage(request, key)
    page = project_queries.get_page(project, today=timezone.localdate())
    form = project_forms.EditProject(_data(request), person=request.user, page=page)  # type: ignore[arg-type]
    if request.method == "POST" and form.is_valid():
        _require_reach(request.user, form, page)

    def act(project: Project, said: dict[str, Any]) -> None:
        carried = Organisation.objects.filter(pk__in=[one.pk for one in page.carried_out_by]).first()
        project_operations.put_project(
            key=project.subject.key, carried_out_by=carried, passage=project.passage, version=said["version"],
            by=request.user, **_fields(form),  # type: ignore[arg-type]
        )  # fmt: skip

    return _form(
        request, project, form, act, title="Sửa hồ sơ dự án", icon="edit", done=f"Đã lưu dự án «{project}».",
        lead="Tên, chủ đầu tư, tổng mức, nguồn vốn, thời hạn như văn bản in.",
    )  # fmt: skip


@_get_or_post
def project_yearly_plan(request: HttpRequest, key: str) -> HttpResponse:
    project = _to_manage(request, key)
    today = timezone.localdate()
    asked = request.GET.get("year", "")
    year = int(asked) if asked.isascii() and asked.isdigit() and len(asked) == 4 else today.year
    page = project_queries.get_page(project, today=today)
    held = next((one for one in page.years if one.year == year), None)
    initial = project_forms.initial_of_year(held) if held else {"year": year}
    form = project_forms.YearlyPlanForm(_data(request), initial=initial)

    def act(project: Project, said: dict[str, Any]) -> None:
        simulated = YearlyPlan.objects.filter(project=project, year=said["year"], is_simulated=True).exists()
        project_operations.put_yearly_plan(
            project, year=said["year"], amount_vnd=said["amount"], carried_over_vnd=said["carried_over"] or 0,
            carry_over_until=said["carry_over_until"], document_as_printed=said["document_as_printed"],
            months=said["months"], is_simulated=simulated, by=request.user,  # type: ignore[arg-type]
        )  # fmt: skip

    return _form(
        request, project, form, act, title="Kế hoạch vốn năm", icon="calendar", anchor="von",
        done=f"Đã ghi kế hoạch vốn của «{project}».",
        lead="Vốn được giao và vốn được kéo dài sang năm. Ghi lại cùng một năm thì thay số cũ; nhật ký giữ lần ghi.",
    )  # fmt: skip


@_get_or_post
def project_disburse(request: HttpRequest, key: str) -> HttpResponse:
    project = _to_enter(request, key)
    today = timezone.localdate()
    form = project_forms.DisburseForm(_data(request), project=project, initial={"on_date": today})

    def act(project: Project, said: dict[str, Any]) -> None:
        amount = said.pop("amount")
        project_operations.disburse(project, amount_vnd=amount, today=today, by=request.user, **said)  # type: ignore[arg-type]

    return _form(
        request, project, form, act, title="Ghi giải ngân", icon="plus", anchor="giai-ngan",
        done="Đã ghi giải ngân.", lead="Bút toán không sửa được. Ghi nhầm thì đảo bút toán kèm lý do rồi ghi lại.",
    )  # fmt: skip


@_get_or_post
def project_reverse_disbursement(request: HttpRequest, key: str, pk: int) -> HttpResponse:
    project = _to_enter(request, key)
    entry = _one(Disbursement.objects.filter(project=project), pk)

    def act(project: Project, said: dict[str, Any]) -> None:
        project_operations.reverse_disbursement(entry, reason=said["reason"], by=request.user)  # type: ignore[arg-type]

    return _form(
        request, project, project_forms.ReasonForm(_data(request)), act,
        title="Đảo bút toán giải ngân", icon="arrow-back-up", label="Đảo bút toán", anchor="giai-ngan",
        done="Đã đảo bút toán.", lead=_describe_entry(entry),
    )  # fmt: skip


def _describe_entry(entry: Disbursement | AcceptedVolume) -> str:
    day = entry.on_date.strftime("%d/%m/%Y")
    amount = format_amount(entry.amount_vnd)
    return f"Bút toán {amount} ngày {day} được giữ nguyên; một bút toán âm cùng ngày, kèm lý do, bù lại nó."


def _one(rows: Any, pk: int) -> Any:
    found = rows.filter(pk=pk).first() if pk < 2**63 else None
    if found is None:
        raise Http404(f"no row {pk} of this project")
    return found


@_get_or_post
def project_accept(request: HttpRequest, key: str) -> HttpResponse:
    project = _to_enter(request, key)
    today = timezone.localdate()
    form = project_forms.AcceptForm(_data(request), initial={"on_date": today})

    def act(project: Project, said: dict[str, Any]) -> None:
        project_operations.accept_volume(
            project, on_date=said["on_date"], amount_vnd=said["amount"], note=said["note"], today=today,
            by=request.user,  # type: ignore[arg-type]
        )  # fmt: skip

    return _form(
        request, project, form, act, title="Ghi khối lượng nghiệm thu", icon="plus", anchor="nghiem-thu",
        done="Đã ghi giá trị nghiệm thu.", lead="Phần nghiệm thu chưa thanh toán là nợ đọng xây dựng cơ bản.",
    )  # fmt: skip


@_get_or_post
def project_reverse_volume(request: HttpRequest, key: str, pk: int) -> HttpResponse:
    project = _to_enter(request, key)
    entry = _one(AcceptedVolume.objects.filter(project=project), pk)

    def act(project: Project, said: dict[str, Any]) -> None:
        project_operations.reverse_volume(entry, reason=said["reason"], by=request.user)  # type: ignore[arg-type]

    return _form(
        request, project, project_forms.ReasonForm(_data(request)), act,
        title="Đảo dòng nghiệm thu", icon="arrow-back-up", label="Đảo bút toán", anchor="nghiem-thu",
        done="Đã đảo dòng nghiệm thu.", lead=_describe_entry(entry),
    )  # fmt: skip


@_get_or_post
def project_progress(request: HttpRequest, key: str) -> HttpResponse:
    project = _to_enter(request, key)
    today = timezone.localdate()
    form = project_forms.ProgressForm(
        _data(request),
        initial={
            "version": project.subject.version, "status": project.status, "finished_on": project.finished_on,
            "people_reached": project.people_reached,
        },
    )  # fmt: skip

    def act(project: Project, said: dict[str, Any]) -> None:
        project_operations.set_progress(project, today=today, by=request.user, **said)  # type: ignore[arg-type]

    return _form(
        request, project, form, act, title="Tình trạng và người được cấp nước", icon="activity-heartbeat",
        done=f"Đã ghi tình trạng của «{project}».", lead="Dự án hoàn thành cần ngày hoàn thành.",
    )  # fmt: skip


@_get_or_post
def project_milestone(request: HttpRequest, key: str, pk: int | None = None) -> HttpResponse:
    project = _to_enter(request, key)
    milestone = _one(Milestone.objects.filter(project=project), pk) if pk is not None else None
    names = ("name", "planned_on", "reached_on", "note")
    form = project_forms.MilestoneForm(
        _data(request), initial={name: getattr(milestone, name) for name in names} if milestone else None
    )

    def act(project: Project, said: dict[str, Any]) -> None:
        project_operations.put_milestone(
            project, milestone=milestone, today=timezone.localdate(), by=request.user, **said  # type: ignore[arg-type]
        )  # fmt: skip

    return _form(
        request, project, form, act, title="Sửa mốc" if milestone else "Thêm mốc", icon="calendar-event",
        anchor="moc", done="Đã ghi mốc.",
    )  # fmt: skip


@require_http_methods(["POST"])
def project_remove_milestone(request: HttpRequest, key: str, pk: int) -> HttpResponse:
    project = _to_manage(request, key)
    project_operations.remove_milestone(_one(Milestone.objects.filter(project=project), pk), by=request.user)  # type: ignore[arg-type]
    messages.success(request, "Đã xóa mốc.")
    return redirect(reverse("planning:project_detail", args=[key]) + "#moc")


@_get_or_post
def project_obstacle(request: HttpRequest, key: str) -> HttpResponse:
    project = _to_enter(request, key)
    today = timezone.localdate()
    form = project_forms.ObstacleForm(_data(request), person=request.user, today=today)  # type: ignore[arg-type]

    def act(project: Project, said: dict[str, Any]) -> None:
        project_operations.raise_obstacle(project, today=today, by=request.user, **said)  # type: ignore[arg-type]

    return _form(
        request, project, form, act, title="Nêu vướng mắc", icon="alert-triangle", anchor="vuong-mac",
        done="Đã ghi vướng mắc.", lead="Ai phải gỡ và trước hết ngày nào. Quá ngày đó, vướng mắc hiện ở Tổng quan.",
    )  # fmt: skip


@_get_or_post
def project_resolve(request: HttpRequest, key: str, pk: int) -> HttpResponse:
    project = _get(request, key)
    obstacle = _one(Obstacle.objects.filter(project=project), pk)
    person: Any = request.user
    owns = obstacle.owner_id is not None and access.may(person, "enter", obstacle.owner_id)
    if not owns and not project_queries.may_enter(project):
        raise PermissionDenied("Người của đơn vị phải gỡ hoặc của chủ đầu tư mới ghi được cách gỡ.")
    form = project_forms.ResolveForm(_data(request), initial={"resolved_on": timezone.localdate()})

    def act(project: Project, said: dict[str, Any]) -> None:
        project_operations.resolve_obstacle(obstacle, today=timezone.localdate(), by=person, **said)

    return _form(
        request, project, form, act, title="Ghi cách gỡ vướng mắc", icon="circle-check", anchor="vuong-mac",
        done="Đã ghi cách gỡ.", lead=obstacle.text,
    )  # fmt: skip
