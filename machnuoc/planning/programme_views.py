"""Pages of criteria programmes: programme, matrix, place, agency, roadmap, mergers, criteria sets."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from machnuoc.core import export, files
from machnuoc.core.models import Person, StoredFile
from machnuoc.indicators import operations as indicators
from machnuoc.places import access
from machnuoc.places.models import Subject
from machnuoc.planning import criteria, programme_places
from machnuoc.planning import programme_forms as forms
from machnuoc.planning import programme_operations as operations
from machnuoc.planning import programme_queries as queries
from machnuoc.planning.errors import ChangedMeanwhile, PlanningError
from machnuoc.planning.models import (
    Assessment,
    CriteriaSet,
    Criterion,
    Dossier,
    Programme,
    SubIndicator,
    Threshold,
)

_ROWS_A_PAGE = 40
_NOTHING: list[Any] = [None]  # a line of an export whose second half is empty
_get_or_post = require_http_methods(["GET", "HEAD", "POST"])


def _person(request: HttpRequest) -> Person:
    return request.user  # type: ignore[return-value]


def _programme(request: HttpRequest, key: str) -> Programme:
    try:
        return queries.get_programme(key, _person(request))
    except Programme.DoesNotExist:
        raise Http404(f"no programme {key} in scope") from None


def _unit(request: HttpRequest, programme: Programme, key: str) -> Any:
    try:
        return queries.get_unit(_person(request), programme, key)
    except Subject.DoesNotExist:
        raise Http404(f"no place {key} of the programme in scope") from None


def _year(request: HttpRequest, programme: Programme, years: list[int] | None = None) -> int:
    text = request.GET.get("year", request.POST.get("year", ""))
    if len(text) == 4 and text.isascii() and text.isdigit() and 2000 <= int(text) <= 2100:
        return int(text)
    known = queries.list_years(programme) if years is None else years
    return known[0] if known else timezone.localdate().year


def _id(text: str) -> int:
    """Return the id that an address or a form names; 0, nobody's, for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _tabs(programme: Programme) -> list[tuple[str, str, str]]:
    key = programme.plan.key
    return [
        ("detail", "Tổng quan", reverse("planning:programme_detail", args=[key])),
        ("matrix", "Ma trận tiêu chí", reverse("planning:programme_matrix", args=[key])),
        ("agencies", "Cơ quan thẩm định", reverse("planning:programme_agencies", args=[key])),
        ("roadmap", "Lộ trình", reverse("planning:programme_roadmap", args=[key])),
        ("mergers", "Sau sắp xếp 2025", reverse("planning:programme_mergers", args=[key])),
    ]


def _answer(request: HttpRequest, template: str, programme: Programme, view: str, **context: Any) -> HttpResponse:
    context |= {"programme": programme, "plan": programme.plan, "tabs": _tabs(programme), "view": view}
    if "may_manage" not in context:
        context["may_manage"] = queries.may_manage(_person(request), programme)
    return render(request, template, context)


# --- programmes -------------------------------------------------------------------------------------------------


@require_safe
def programme_list(request: HttpRequest) -> HttpResponse:
    rows = [(programme, queries.sum_tiers(programme)) for programme in queries.list_programmes(_person(request))[:20]]
    return render(request, "planning/programme/list.html", {"rows": rows, "sets": queries.list_sets()})


@require_safe
def programme_detail(request: HttpRequest, key: str) -> HttpResponse:
    programme = _programme(request, key)
    person = _person(request)
    year = _year(request, programme)
    may_manage = queries.may_manage(person, programme)
    return _answer(
        request, "planning/programme/detail.html", programme, "detail",
        year=year, may_manage=may_manage,
        tiers=queries.sum_tiers(programme),
        goals=queries.list_goals(programme, year),
        discrepancies=queries.list_discrepancies(programme),
        unread=queries.list_unread(programme),
        deadlines=_deadlines(programme, year),
        sets=programme.sets.all(),
        may_fill=may_manage,
        this_year=timezone.localdate().year,
    )  # fmt: skip


def _deadlines(programme: Programme, year: int) -> list[tuple[Any, Any]]:
    """Return the deadlines of recognition with the last day of the year that keeps each."""
    return [
        (one, criteria.last_lawful_day(year, one.month, one.day, is_exclusive=one.is_exclusive))
        for one in programme.deadlines.all()
    ]


@require_POST
def programme_fill(request: HttpRequest, key: str) -> HttpResponse:
    """Take the results of bound sub-indicators from the figures of the year."""
    programme = _programme(request, key)
    if not queries.may_manage(_person(request), programme):
        raise PermissionDenied("Chỉ người quản lý chương trình lấy số liệu vào ma trận.")
    year = _year(request, programme)
    count = operations.assess_bound(programme, year, by=_person(request), now=timezone.now())
    if count:
        messages.success(request, f"Đã lấy {count} kết quả năm {year} từ số liệu.")
    else:
        messages.info(request, f"Không có số liệu mới của năm {year} cho các chỉ tiêu đã nối với số liệu.")
    return redirect(f"{reverse('planning:programme_matrix', args=[key])}?year={year}")


@require_safe
def programme_matrix(request: HttpRequest, key: str) -> HttpResponseBase:
    programme = _programme(request, key)
    sees_all = queries.sees_all(_person(request), programme)
    seen = None if sees_all else queries.is_own(_person(request), "view")
    matrix = queries.read_matrix(programme, forms.read_filters(request.GET), seen)
    if export.format_of(request):
        return _export_matrix(request, programme, matrix)
    page = Paginator(matrix.rows, _ROWS_A_PAGE).get_page(request.GET.get("page"))
    return _answer(
        request, "planning/programme/matrix.html", programme, "matrix",
        matrix=matrix, page=page, form=forms.MatrixFilterForm(request.GET, matrix),
        sums=_sum_columns(matrix), is_partial=not sees_all,
    )  # fmt: skip


def _sum_columns(matrix: queries.Matrix) -> list[tuple[int, int]]:
    """Return for each criterion how many of the shown places meet it and how many do not."""
    return [
        (
            sum(row.cells[index].result == Assessment.Result.MET for row in matrix.rows),
            sum(row.cells[index].result == Assessment.Result.NOT_MET for row in matrix.rows),
        )
        for index in range(len(matrix.criteria))
    ]


def _export_matrix(request: HttpRequest, programme: Programme, matrix: queries.Matrix) -> HttpResponseBase:
    def of_cell(index: int) -> Callable[[queries.MatrixRow], str]:
        return lambda row: row.cells[index].label

    columns: list[export.Column] = [
        ("Xã, huyện", lambda row: row.unit.name, "text"),
        ("Huyện, thị xã, thành phố", lambda row: row.district, "text"),
        ("Theo văn bản", lambda row: row.position.text if row.position else None, "text"),
        ("Năm trong lộ trình", lambda row: row.roadmap_year, "number"),
        ("Đạt", lambda row: row.met, "number"),
        ("Chưa đạt", lambda row: row.not_met, "number"),
        ("Chưa đánh giá", lambda row: row.unknown, "number"),
        *(
            (f"{one.number}. {one.name}", of_cell(index), "text")
            for index, one in enumerate(matrix.criteria)
        ),
    ]  # fmt: skip
    filters = [("Bộ tiêu chí", matrix.chosen.name if matrix.chosen else ""), ("Năm", str(matrix.filters.year))]
    districts, agencies = dict(matrix.districts), dict(matrix.agencies)
    filters += [
        ("Huyện", districts.get(matrix.filters.district, "")), ("Cơ quan", agencies.get(matrix.filters.agency, "")),
        ("Tìm", matrix.filters.q),
    ]  # fmt: skip
    return export.export(
        request, name=f"Ma trận tiêu chí {matrix.filters.year}", columns=columns, rows=matrix.rows,
        filters=[(label, text) for label, text in filters if text],
        source_note=f"{programme.plan.name}. Kết quả theo văn bản và theo người đánh giá trong Mạch Nước.",
    )  # fmt: skip


# --- a place ----------------------------------------------------------------------------------------------------


@require_safe
def programme_unit(request: HttpRequest, key: str, unit_key: str) -> HttpResponse:
    programme = _programme(request, key)
    unit = _unit(request, programme, unit_key)
    years = queries.list_years(programme)
    year = _year(request, programme, years)
    may_manage = queries.may_manage(_person(request), programme)
    return _answer(
        request, "planning/programme/unit.html", programme, "matrix",
        unit=unit, year=year, years=years, may_manage=may_manage, sets=queries.read_unit(programme, unit, year),
        is_own=may_manage or unit.is_own,
    )  # fmt: skip


@require_safe
def programme_unit_course(request: HttpRequest, key: str, unit_key: str) -> HttpResponse:
    """Roadmap and dossiers of a place: fetched after its page has come, or a page where there is no JavaScript."""
    programme = _programme(request, key)
    unit = _unit(request, programme, unit_key)
    became = programme_places.list_successors([unit.pk]).get(unit.pk, []) if unit.valid_to else []
    template = "course" if request.htmx else "course_page"  # type: ignore[attr-defined]
    return _answer(
        request, f"planning/programme/{template}.html", programme, "matrix",
        unit=unit, became=became, roadmap=queries.list_roadmap_of(programme, unit),
        dossiers=_dressed(queries.list_dossiers_of(programme, unit)),
        is_own=unit.is_own or queries.may_manage(_person(request), programme),
    )  # fmt: skip


def _dressed(dossiers: list[Dossier]) -> list[dict[str, Any]]:
    tones = {Dossier.Step.RECOGNISED: "good", Dossier.Step.RETURNED: "warning"}
    found = []
    for dossier in dossiers:
        events = []
        for event in dossier.events.all():
            late = (event.on_date - event.due_on).days if event.due_on and event.on_date > event.due_on else 0
            said = Dossier.Step(event.step).label
            if event.due_on and event.step != Dossier.Step.PREPARING:
                said += f", trễ {late} ngày" if late else ", đúng hạn"
            if event.due_on:
                said += f" (hạn {event.due_on:%d/%m/%Y})"
            if event.text:
                said += f". {event.text}"
            events.append(
                {
                    "text": said, "at": event.on_date, "person": event.by.full_name if event.by else "",
                    "tone": "danger" if late else tones.get(Dossier.Step(event.step), "info"), "icon": "",
                }
            )  # fmt: skip
        found.append({"dossier": dossier, "events": events, "can_move": bool(operations.next_steps(dossier))})
    return found


def _cell_rows(
    request: HttpRequest, programme: Programme, unit_key: str, criterion_id: int
) -> tuple[Subject, Criterion, int, list[queries.PartRow]]:
    unit = _unit(request, programme, unit_key)
    criterion = (
        Criterion.objects.filter(pk=criterion_id, criteria_set__programmes=programme)
        .select_related("criteria_set")
        .first()
    )
    if criterion is None:
        raise Http404(f"no criterion {criterion_id} in the programme")
    year = _year(request, programme)
    return unit, criterion, year, queries.list_part_rows(programme, unit, year, criterion=criterion)


@require_safe
def programme_cell(request: HttpRequest, key: str, unit_key: str, pk: int) -> HttpResponse:
    """One place against one criterion: a page of its own, and the panel beside the matrix."""
    programme = _programme(request, key)
    person = _person(request)
    unit, criterion, year, rows = _cell_rows(request, programme, unit_key, pk)
    may = queries.may_assess(person, programme, unit, criterion) or any(
        queries.may_assess(person, programme, unit, criterion, row.part) for row in rows if row.part
    )
    template = "planning/programme/cell.html"
    if request.htmx:  # type: ignore[attr-defined]
        template += "#panel"
    position = programme.positions.filter(unit=unit, year=year, criteria_set=criterion.criteria_set).first()
    return _answer(
        request, template, programme, "matrix", unit=unit, criterion=criterion, year=year, rows=rows, may_assess=may,
        position=position,
    )  # fmt: skip


@_get_or_post
def programme_assess(request: HttpRequest, key: str, unit_key: str, pk: int) -> HttpResponse:
    """The form of one assessment. ?part= names the sub-indicator; without it the criterion as a whole."""
    programme = _programme(request, key)
    person = _person(request)
    unit, criterion, year, rows = _cell_rows(request, programme, unit_key, pk)
    wanted = request.GET.get("part", "")
    row = next((one for one in rows if one.part and str(one.part.pk) == wanted), None)
    if row is None:
        if wanted:
            raise Http404(f"no sub-indicator {wanted} in the criterion")
        row = next((one for one in rows if one.part is None), queries.PartRow(None, criterion, None))
    if not queries.may_assess(person, programme, unit, criterion, row.part):
        raise PermissionDenied("Chỉ xã, cơ quan phụ trách tiêu chí và người quản lý chương trình đánh giá được ô này.")
    is_post = request.method == "POST"
    form = forms.AssessmentForm(
        request.POST if is_post else None, request.FILES if is_post else None, row=row, today=timezone.localdate()
    )
    status = 200
    if is_post and form.is_valid():
        said = form.cleaned_data
        found = row.assessment
        try:
            with transaction.atomic():
                uploads = [files.store(one, name=one.name, by=person, kinds=forms.EVIDENCE) for one in said["evidence"]]
                operations.assess(
                    programme, unit, year=year, criterion=criterion, sub_indicator=row.part,
                    numerator=said.get("numerator"), denominator=said.get("denominator"),
                    measured=said.get("measured"), result=said["result"],
                    agency_as_printed=found.agency_as_printed if found else "; ".join(row.agencies)[:300],
                    agency=found.agency if found else None,
                    solution=said["solution"], target_quarter_start=said["target_quarter_start"],
                    objective_cause=said["objective_cause"], files=uploads, version=said["version"],
                    reason=said.get("reason", ""), by=person, now=timezone.now(),
                    **_kept_requirement(found),
                )  # fmt: skip
        except ChangedMeanwhile as reason:
            form.add_error(None, str(reason))
            status = 409
        except files.RefusedFile as reason:
            form.add_error("evidence", str(reason))
        except PlanningError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã ghi đánh giá {row.number} của «{unit.name}».")
            return redirect(f"{reverse('planning:programme_cell', args=[key, unit_key, pk])}?year={year}")
    if is_post and form.errors and status == 200:
        status = 422
    context = {
        "programme": programme, "plan": programme.plan, "unit": unit, "criterion": criterion, "year": year, "row": row,
        "form": form, "is_stale": status == 409,
    }  # fmt: skip
    return render(request, "planning/programme/assess.html", context, status=status)


def _kept_requirement(found: Assessment | None) -> dict[str, Any]:
    """Keep what a document asked of this place where it did, instead of the threshold of the set."""
    if found is None or found.passage_id is None or not (found.required is not None or found.required_as_printed):
        return {}
    return {
        "required": found.required, "required_comparator": found.required_comparator,
        "required_as_printed": found.required_as_printed,
    }  # fmt: skip


@require_safe
def programme_history(request: HttpRequest, key: str, pk: int) -> HttpResponse:
    """What an assessment said before, and who changed it."""
    programme = _programme(request, key)
    row = (
        programme.assessments.filter(pk=pk)
        .select_related("unit", "criterion", "sub_indicator", "assessed_by", "passage__document")
        .first()
    )
    units = queries.visible_units(_person(request), programme)
    if row is None or (units is not None and row.unit_id not in units):
        raise Http404(f"no assessment {pk} in scope")
    return _answer(
        request, "planning/programme/history.html", programme, "matrix", assessment=row,
        changes=[_change(change) for change in row.changes.select_related("by")], files=row.files.all(),
    )  # fmt: skip


_SPOKEN = {
    "result": "kết quả", "numerator": "tử số", "denominator": "mẫu số", "measured": "hiện trạng",
    "measured_as_printed": "hiện trạng như in", "required": "yêu cầu", "required_as_printed": "yêu cầu như in",
    "solution": "giải pháp", "target_quarter_start": "dự kiến đạt", "objective_cause": "nguyên nhân khách quan",
    "agency_as_printed": "cơ quan phụ trách",
}  # fmt: skip


def _change(change: Any) -> dict[str, Any]:
    before = dict(change.before)
    if before.get("result") in Assessment.Result.values:
        before["result"] = Assessment.Result(before["result"]).label
    said = [(label, before.get(name)) for name, label in _SPOKEN.items() if before.get(name) not in (None, "")]
    return {"change": change, "before": said}


@_get_or_post
def programme_dossier(request: HttpRequest, key: str, unit_key: str) -> HttpResponse:
    """Begin the dossier of a place, or take it a step on (?ho-so= names it)."""
    programme = _programme(request, key)
    person = _person(request)
    unit = _unit(request, programme, unit_key)
    if not (unit.is_own or queries.may_manage(person, programme)):
        raise PermissionDenied("Chỉ xã và người quản lý chương trình cập nhật hồ sơ công nhận.")
    today = timezone.localdate()
    wanted = request.GET.get("dossier", "")
    dossier = None
    if wanted:
        dossier = programme.dossiers.filter(unit=unit, pk=_id(wanted)).first()
        if dossier is None:
            raise Http404(f"no dossier {wanted} of the place")
    is_post = request.method == "POST"
    steps = operations.next_steps(dossier) if dossier else ()
    if dossier and not queries.may_manage(person, programme):
        steps = tuple(step for step in steps if step == Dossier.Step.DISTRICT)  # the rest is done above the commune
        if not steps:
            raise PermissionDenied("Bước tiếp theo của hồ sơ do cấp trên cập nhật.")
    form: Any
    if dossier is None:
        form = forms.OpenDossierForm(request.POST or None, initial={"year": today.year, "on_date": today})
    else:
        form = forms.AdvanceDossierForm(
            request.POST if is_post else None, request.FILES if is_post else None, dossier=dossier, steps=steps,
            today=today,
        )  # fmt: skip
    status = 422 if is_post else 200
    if is_post and form.is_valid():
        said = form.cleaned_data
        try:
            with transaction.atomic():
                if dossier is None:
                    operations.open_dossier(programme, unit, by=person, **said)
                else:
                    uploads = [
                        files.store(f, name=f.name, by=person, kinds=forms.EVIDENCE) for f in said.pop("evidence")
                    ]
                    operations.advance_dossier(dossier, said.pop("step"), today=today, files=uploads, by=person, **said)
                    indicators.recompute_dirty(timezone.now())
        except ChangedMeanwhile as reason:
            form.add_error(None, str(reason))
            status = 409
        except (PlanningError, files.RefusedFile) as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã cập nhật hồ sơ công nhận.")
            return redirect("planning:programme_unit", key, unit_key)
    title = "Cập nhật hồ sơ công nhận" if dossier else "Lập hồ sơ công nhận"
    return _form(request, form, title=title, subject=unit.name, back=("planning:programme_unit", key, unit_key),
                 programme=programme, status=status)  # fmt: skip


@_get_or_post
def unit_profile(request: HttpRequest, unit_key: str) -> HttpResponse:
    """Say which region or commune group a place is of: it decides what the criteria ask of it."""
    person = _person(request)
    unit = Subject.objects.filter(key=unit_key, kind=Subject.Kind.UNIT).select_related("unit").first()
    if unit is None:
        raise Http404(f"no unit {unit_key}")
    if not (access.may(person, "manage", unit) or unit.pk in queries.list_own_units(person, "manage")):
        raise PermissionDenied("Chỉ người quản lý địa bàn đặt vùng và nhóm xã.")
    profiles = queries.list_profiles(unit)
    now = next((one for one in profiles if one.valid_to is None), None)
    form = forms.ProfileForm(
        request.POST or None, has_group=unit.unit.level == "COMMUNE",
        initial={
            "region": now.region if now else "", "commune_group": now.commune_group if now else None,
            "valid_from": now.valid_from if now and now.valid_from else timezone.localdate(), "is_verified": True,
        },
    )  # fmt: skip
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        try:
            operations.put_profile(
                unit, region=said["region"], commune_group=said.get("commune_group"), valid_from=said["valid_from"],
                confidence="verified" if said["is_verified"] else "recalled", by=person,
            )  # fmt: skip
        except PlanningError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã ghi vùng, nhóm xã của «{unit.name}».")
            return redirect("places:unit", unit.key)
    held = "; ".join(queries.profile_text(one) for one in profiles)
    return _form(
        request, form, title="Vùng, nhóm xã", subject=unit.unit.full_name, back=("places:unit", unit.key),
        lead=f"Đang ghi: {held}." if held else "Nơi này chưa có vùng, nhóm xã riêng; mức phải đạt theo vùng cấp trên.",
        status=422 if form.errors else 200,
    )  # fmt: skip


def _form(
    request: HttpRequest, form: Any, *, title: str, subject: str, back: tuple[str, ...],
    programme: Programme | None = None, lead: str = "", status: int = 200,
) -> HttpResponse:  # fmt: skip
    name, *args = back
    context = {
        "form": form, "title": title, "subject": subject, "back_url": reverse(name, args=args), "lead": lead,
        "programme": programme, "plan": programme.plan if programme else None, "is_stale": status == 409,
        "has_files": any(getattr(bound.field.widget, "needs_multipart_form", False) for bound in form),
    }  # fmt: skip
    return render(request, "planning/programme/form.html", context, status=status)


@require_safe
def programme_file(request: HttpRequest, key: str, pk: int) -> HttpResponseBase:
    """A file of evidence, for those who may read the assessment or dossier that it belongs to."""
    programme = _programme(request, key)
    units = queries.visible_units(_person(request), programme)
    stored = StoredFile.objects.filter(pk=pk).first()
    if stored is None:
        raise Http404(f"no file {pk}")
    owners = set(programme.assessments.filter(files=stored).values_list("unit_id", flat=True))
    owners |= set(programme.dossiers.filter(events__files=stored).values_list("unit_id", flat=True))
    if not owners or (units is not None and not units & owners):
        raise Http404(f"no file {pk} in scope")
    return files.as_download(stored)


# --- agencies, roadmap, mergers ---------------------------------------------------------------------------------


@require_safe
def programme_agencies(request: HttpRequest, key: str) -> HttpResponse:
    programme = _programme(request, key)
    year = _year(request, programme)
    units = queries.visible_units(_person(request), programme)
    lines = queries.list_agencies(programme, units, year, timezone.localdate())
    return _answer(
        request, "planning/programme/agencies.html", programme, "agencies", lines=lines, year=year,
        years=queries.list_years(programme),
    )  # fmt: skip


@require_safe
def programme_agency(request: HttpRequest, key: str, order: int) -> HttpResponseBase:
    programme = _programme(request, key)
    year = _year(request, programme)
    units = queries.visible_units(_person(request), programme)
    duties = list(
        programme.responsibilities.filter(order=order).select_related(
            "organisation__subject", "criterion__criteria_set", "sub_indicator__criterion__criteria_set",
            "passage__document",
        )
    )  # fmt: skip
    if not duties:
        raise Http404(f"no agency {order} in the programme")
    tasks = queries.list_agency_tasks(programme, duties, units, year)
    if export.format_of(request):
        columns: list[export.Column] = [
            ("Xã, huyện", lambda task: task.unit.name, "text"),
            ("Huyện, thị xã, thành phố", lambda task: task.district, "text"),
            ("Bộ tiêu chí", lambda task: task.row.criterion.criteria_set.name, "text"),
            ("Chỉ tiêu, tiêu chí", lambda task: f"{task.row.number}. {task.row.name}", "text"),
            ("Hiện trạng", lambda task: task.row.measured, "text"),
            ("Yêu cầu", lambda task: task.row.required, "text"),
            ("Còn thiếu", lambda task: task.row.gap_text, "text"),
            ("Giải pháp", lambda task: task.row.assessment.solution, "text"),
            ("Dự kiến đạt (như in)", lambda task: task.row.assessment.target_as_printed, "text"),
            ("Đầu quý dự kiến đạt", lambda task: task.row.assessment.target_quarter_start, "date"),
        ]
        return export.export(
            request, name=f"Việc thẩm định {duties[0].agency_as_printed}", columns=columns, rows=tasks,
            source_note=programme.plan.name,
        )  # fmt: skip
    return _answer(
        request, "planning/programme/agency.html", programme, "agencies", duties=duties, tasks=tasks, year=year,
        years=queries.list_years(programme), deadlines=_deadlines(programme, year), today=timezone.localdate(),
    )  # fmt: skip


@require_safe
def programme_roadmap(request: HttpRequest, key: str) -> HttpResponseBase:
    programme = _programme(request, key)
    tier = request.GET.get("tier", "")
    roadmap = queries.read_roadmap(programme, tier if tier in CriteriaSet.Tier.values else CriteriaSet.Tier.BASIC)
    if export.format_of(request):
        rows = [(year, entry) for year in roadmap.years for entry in year.entries]
        columns: list[export.Column] = [
            ("Năm", lambda row: row[1].year, "number"),
            ("Xã như in", lambda row: row[1].name_as_printed, "text"),
            ("Huyện như in", lambda row: row[1].district_as_printed, "text"),
            ("Đơn vị hành chính", lambda row: row[1].unit.unit.full_name if row[1].unit else None, "text"),
            ("Đã công nhận", lambda row: row[1].is_recognised, "text"),
            ("Quyết định", lambda row: row[1].recognised_by, "text"),
            ("Số xã của năm (các dòng)", lambda row: row[0].figures.count, "number"),
            ("Lũy kế (các dòng)", lambda row: row[0].figures.cumulative, "number"),
            ("Lũy kế in", lambda row: row[0].figures.printed_cumulative, "number"),
            ("Tỷ lệ in", lambda row: row[0].figures.printed_share, "text"),
        ]
        name = f"Lộ trình {CriteriaSet.Tier(roadmap.tier).label}"
        return export.export(request, name=name, columns=columns, rows=rows, source_note=programme.plan.name)
    ids = [entry.unit_id for year in roadmap.years for entry in year.entries if entry.unit_id]
    became = programme_places.list_successors(ids)
    address = reverse("planning:programme_roadmap", args=[key])
    return _answer(
        request, "planning/programme/roadmap.html", programme, "roadmap", roadmap=roadmap,
        tier_tabs=[(code, label, f"{address}?tier={code}", count) for code, label, count in roadmap.tiers],
        merged=set(became) if len(became) < len(set(ids)) else set(), merged_count=len(became),
        chart=_roadmap_chart(roadmap),
    )  # fmt: skip


def _roadmap_chart(roadmap: queries.Roadmap) -> dict[str, Any]:
    return {
        "type": "line", "unit": "xã", "decimals": 0, "category_title": "Năm",
        "categories": [str(year.figures.year) for year in roadmap.years],
        "series": [
            {"name": "Lũy kế theo các dòng", "values": [year.figures.cumulative for year in roadmap.years]},
            {"name": "Lũy kế như in", "values": [year.figures.printed_cumulative for year in roadmap.years]},
        ],
    }  # fmt: skip


@_get_or_post
def programme_freeze(request: HttpRequest, key: str) -> HttpResponse:
    programme = _programme(request, key)
    if not queries.may_manage(_person(request), programme):
        raise PermissionDenied("Chỉ người quản lý chương trình chốt lộ trình.")
    form = forms.FreezeForm(request.POST or None, initial={"on_date": timezone.localdate()})
    if request.method == "POST" and form.is_valid():
        operations.freeze_roadmap(programme, by=_person(request), **form.cleaned_data)
        messages.success(request, "Đã chốt lộ trình. Từ nay chỉ điều chỉnh khi có văn bản cho phép.")
        return redirect("planning:programme_roadmap", key)
    return _form(
        request, form, title="Chốt lộ trình", subject=programme.plan.name, back=("planning:programme_roadmap", key),
        programme=programme, lead="Sau khi chốt, mỗi điều chỉnh phải ghi văn bản cho phép; bản đã chốt vẫn xem được.",
        status=422 if form.errors else 200,
    )  # fmt: skip


@_get_or_post
def programme_roadmap_entry(request: HttpRequest, key: str, pk: int) -> HttpResponse:
    """Move a place to another year of the roadmap."""
    programme = _programme(request, key)
    entry = programme.roadmap.filter(pk=pk).select_related("unit").first()
    if entry is None:
        raise Http404(f"no entry {pk} of the roadmap")
    if not queries.may_manage(_person(request), programme):
        raise PermissionDenied("Chỉ người quản lý chương trình điều chỉnh lộ trình.")
    form = forms.RoadmapChangeForm(request.POST or None, initial={"version": entry.version, "to_year": entry.year})
    status = 422 if request.method == "POST" else 200
    if request.method == "POST" and form.is_valid():
        try:
            operations.change_roadmap(entry, by=_person(request), **form.cleaned_data)
        except ChangedMeanwhile as reason:
            form.add_error(None, str(reason))
            status = 409
        except PlanningError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã chuyển «{entry.name_as_printed}» sang năm {form.cleaned_data['to_year']}.")
            return redirect(f"{reverse('planning:programme_roadmap', args=[key])}?tier={entry.tier}")
    lead = f"Hiện ở năm {entry.year} của lộ trình {entry.get_tier_display().lower()}."
    if programme.roadmap_frozen_on:
        lead += f" Lộ trình đã chốt ngày {programme.roadmap_frozen_on:%d/%m/%Y}: phải ghi văn bản cho phép."
    return _form(
        request, form, title="Điều chỉnh lộ trình", subject=entry.name_as_printed, lead=lead, programme=programme,
        back=("planning:programme_roadmap", key), status=status,
    )  # fmt: skip


@require_safe
def programme_mergers(request: HttpRequest, key: str) -> HttpResponseBase:
    programme = _programme(request, key)
    units = queries.visible_units(_person(request), programme)
    rows = queries.list_mergers(programme, units)
    if export.format_of(request):
        lines = [(row, one) for row in rows for one in (row.became or _NOTHING)]
        columns: list[export.Column] = [
            ("Xã cũ", lambda line: line[0].unit.unit.full_name, "text"),
            ("Huyện cũ", lambda line: line[0].district, "text"),
            ("Kết thúc ngày", lambda line: line[0].unit.valid_to, "date"),
            ("Đơn vị hiện nay", lambda line: line[1].unit_name if line[1] else None, "text"),
            ("Hình thức", lambda line: line[1].label if line[1] else None, "text"),
            (
                "Lộ trình",
                lambda line: "; ".join(f"{entry.get_tier_display()} {entry.year}" for entry in line[0].entries),
                "text",
            ),
        ]
        return export.export(request, name="Sau sắp xếp 2025", columns=columns, rows=lines,
                             source_note=programme.plan.name)  # fmt: skip
    page = Paginator(rows, _ROWS_A_PAGE).get_page(request.GET.get("page"))
    return _answer(
        request, "planning/programme/mergers.html", programme, "mergers", page=page, total=len(rows),
        split=sum(row.is_split for row in rows), unknown=sum(not row.became for row in rows),
        with_roadmap=sum(bool(row.entries) for row in rows),
    )  # fmt: skip


# --- criteria sets ----------------------------------------------------------------------------------------------


def _set(key: str) -> CriteriaSet:
    found = CriteriaSet.objects.filter(key=key).select_related("document").first()
    if found is None:
        raise Http404(f"no criteria set {key}")
    return found


@require_safe
def criteria_sets(request: HttpRequest) -> HttpResponse:
    return render(request, "planning/programme/sets.html", {"sets": queries.list_sets()})


@require_safe
def criteria_set(request: HttpRequest, key: str) -> HttpResponseBase:
    chosen = _set(key)
    lines = queries.read_set(chosen)
    if export.format_of(request):
        rows = [(line, part, one) for line in lines for part in (line.parts or _NOTHING)
                for one in (part.thresholds if part and part.thresholds else _NOTHING)]  # fmt: skip
        columns: list[export.Column] = [
            ("Tiêu chí", lambda row: f"{row[0].criterion.number}. {row[0].criterion.name}", "text"),
            ("Chỉ tiêu", lambda row: row[1].part.number if row[1] else None, "text"),
            ("Tên chỉ tiêu", lambda row: row[1].part.name if row[1] else None, "text"),
            ("Đơn vị", lambda row: row[1].part.unit if row[1] else None, "text"),
            ("Phạm vi của mức", lambda row: _scope_text(row[2]) if row[2] else None, "text"),
            ("Mức", lambda row: row[2].amount if row[2] else None, "number"),
            ("Yêu cầu như in", lambda row: row[2].text if row[2] else None, "text"),
            ("Nguồn của mức", lambda row: row[2].source if row[2] else None, "text"),
            ("Độ tin cậy", lambda row: row[1].part.confidence if row[1] else row[0].criterion.confidence, "text"),
        ]
        return export.export(request, name=chosen.name, columns=columns, rows=rows,
                             source_note=chosen.document_as_printed)  # fmt: skip
    person = _person(request)
    return render(
        request, "planning/programme/set.html",
        {
            "chosen": chosen, "lines": lines, "may_edit": queries.may_manage_sets(person),
            "may_set": access.may(person, "manage"), "known_parts": sum(len(line.parts) for line in lines),
        },
    )  # fmt: skip


def _scope_text(row: Threshold) -> str:
    said = [row.territory.name if row.territory else "", row.region,
            f"nhóm {row.commune_group}" if row.commune_group else ""]  # fmt: skip
    return ", ".join(filter(None, said)) or "mọi nơi"


def _require_sets(request: HttpRequest) -> None:
    if not queries.may_manage_sets(_person(request)):
        raise PermissionDenied("Chỉ người quản lý cả nước sửa bộ tiêu chí chung.")


@_get_or_post
def criterion_form(request: HttpRequest, key: str) -> HttpResponse:
    """Enter a criterion of the set, or correct its name."""
    chosen = _set(key)
    _require_sets(request)
    form = forms.CriterionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        operations.put_criterion(chosen, by=_person(request), **form.cleaned_data)
        messages.success(request, "Đã ghi tiêu chí.")
        return redirect("planning:criteria_set", key)
    return _form(
        request, form, title="Ghi tiêu chí", subject=chosen.name, back=("planning:criteria_set", key),
        lead="Số đã có thì sửa tên; số mới thì thêm.", status=422 if form.errors else 200,
    )  # fmt: skip


@_get_or_post
def sub_indicator_form(request: HttpRequest, pk: int) -> HttpResponse:
    """Enter a sub-indicator of a criterion (?part= corrects one)."""
    criterion = Criterion.objects.filter(pk=pk).select_related("criteria_set").first()
    if criterion is None:
        raise Http404(f"no criterion {pk}")
    _require_sets(request)
    wanted = request.GET.get("part", "")
    part = criterion.sub_indicators.filter(pk=_id(wanted)).first()
    initial = {"number": f"{criterion.number}.{criterion.sub_indicators.count() + 1}", "is_verified": True}
    if part is not None:
        initial = {
            "number": part.number, "name": part.name, "unit": part.unit, "entry": part.entry,
            "numerator_label": part.numerator_label, "denominator_label": part.denominator_label,
            "metric": part.metric_id, "is_verified": part.confidence == "verified",
        }  # fmt: skip
    form = forms.SubIndicatorForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        said = dict(form.cleaned_data)
        confidence = "verified" if said.pop("is_verified") else "recalled"
        try:
            operations.put_sub_indicator(criterion, confidence=confidence, by=_person(request), **said)
        except PlanningError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã ghi chỉ tiêu {said['number']}.")
            return redirect("planning:criteria_set", criterion.criteria_set.key)
    return _form(
        request, form, title="Ghi chỉ tiêu", subject=str(criterion), status=422 if form.errors else 200,
        back=("planning:criteria_set", criterion.criteria_set.key),
    )  # fmt: skip


@_get_or_post
def threshold_form(request: HttpRequest, pk: int) -> HttpResponse:
    """Say what a sub-indicator requires. A territory's own by who manages it, the country's by who keeps the sets."""
    part = SubIndicator.objects.filter(pk=pk).select_related("criterion__criteria_set").first()
    if part is None:
        raise Http404(f"no sub-indicator {pk}")
    person = _person(request)
    if not access.may(person, "manage"):
        raise PermissionDenied("Chỉ người quản lý đặt mức phải đạt.")
    of_country = queries.may_manage_sets(person)
    territories = Subject.objects.filter(unit__level__in=["PROVINCE", "DISTRICT"]).select_related("unit")
    if not of_country:
        territories = territories.filter(pk__in=queries.list_own_units(person, "manage"))
    chosen = part.criterion.criteria_set
    form = forms.ThresholdForm(
        request.POST or None, territories=territories.order_by("name"), needs_territory=not of_country,
        initial={"valid_from": chosen.valid_from, "valid_to": chosen.valid_to, "is_verified": True},
    )  # fmt: skip
    if request.method == "POST" and form.is_valid():
        said = dict(form.cleaned_data)
        confidence = "verified" if said.pop("is_verified") else "recalled"
        try:
            operations.put_threshold(
                part, territory=said.pop("territory_key"), confidence=confidence, by=person, **said
            )
        except PlanningError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã đặt mức của chỉ tiêu {part.number}; các đánh giá liên quan được xét lại.")
            return redirect("planning:criteria_set", chosen.key)
    return _form(
        request, form, title="Đặt mức phải đạt", subject=str(part), back=("planning:criteria_set", chosen.key),
        lead="Mức của tỉnh, huyện được dùng trước; rồi đến mức theo nhóm xã, theo vùng và mức chung.",
        status=422 if form.errors else 200,
    )  # fmt: skip


@require_POST
def threshold_end(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a threshold hold no longer from today on."""
    row = Threshold.objects.filter(pk=pk).select_related("sub_indicator__criterion__criteria_set").first()
    if row is None:
        raise Http404(f"no threshold {pk}")
    person = _person(request)
    allowed = (
        queries.may_manage_sets(person)
        if row.territory_id is None
        else row.territory_id in queries.list_own_units(person, "manage") or queries.may_manage_sets(person)
    )
    if not allowed:
        raise PermissionDenied("Mức này do người quản lý của phạm vi đó đặt.")
    try:
        operations.end_threshold(row, on_date=timezone.localdate(), by=person)
    except PlanningError as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, "Đã kết thúc mức này từ hôm nay.")
    return redirect("planning:criteria_set", row.sub_indicator.criterion.criteria_set.key)
