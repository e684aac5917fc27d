"""Pages of reports: the list, one report with its sections, figures, checks and comparison, its acts, the templates."""

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from machnuoc.core import export, files
from machnuoc.core.models import Person, StoredFile
from machnuoc.core.periods import Period
from machnuoc.places import access
from machnuoc.places.models import Organisation
from machnuoc.planning import duty_operations
from machnuoc.planning.errors import PlanningError
from machnuoc.planning.models import DutyInstance
from machnuoc.reports import docx_writer, forms, kinds, operations, pdf, queries, replay, snapshot, word_templates
from machnuoc.reports.errors import BadTemplate, ChangedMeanwhile, ReportsError
from machnuoc.reports.models import Delivery, Report, ReportSection, ReportTemplate

_ROWS_A_PAGE = 50
_PREVIEW_TIMEOUT_S = 60
_get_or_post = require_http_methods(["GET", "HEAD", "POST"])
_MEDIA_TYPES = {
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
}
_EVENTS = {
    "prepared": ("Lập bản nháp", "plus", ""),
    "refreshed": ("Làm mới số liệu", "refresh", ""),
    "submitted": ("Trình ký", "send", "info"),
    "returned": ("Trả lại", "arrow-back-up", "warning"),
    "approved": ("Ký duyệt, đóng băng số liệu", "lock", "good"),
    "issued": ("Vào sổ", "book", "info"),
    "sent": ("Gửi", "send", "good"),
    "failed": ("Gửi không được", "alert-triangle", "danger"),
    "received": ("Nơi nhận xác nhận", "circle-check", "good"),
    "corrected": ("Lập báo cáo đính chính", "edit", "warning"),
}


def _person(request: HttpRequest) -> Person:
    return request.user  # type: ignore[return-value]


def _get_report(request: HttpRequest, pk: int) -> Report:
    """Return the report. Raises Http404 where it lies out of the person's sight."""
    rows = queries.list_readable(_person(request)).select_related(
        "organisation__subject", "organisation__parent__subject", "to_organisation__subject", "instance__duty",
        "corrects", "plan", "template",
    )  # fmt: skip
    return get_object_or_404(rows, pk=pk)


# --- the list ---------------------------------------------------------------------------------------------------


@require_safe
def report_list(request: HttpRequest) -> HttpResponseBase:
    person = _person(request)
    filters = forms.read_filters(request.GET)
    choices = queries.list_choices(person)
    chosen = queries.select(person, filters)
    if export.format_of(request):
        return _export(request, filters, choices)
    page = Paginator(chosen, _ROWS_A_PAGE).get_page(request.GET.get("page"))
    context = {
        "form": forms.ReportFilter(request.GET, choices),
        "page": page,
        "rows": list(queries.dress(page.object_list)),
        "states": queries.count_states(chosen),
        "has_any": bool(choices["kind"]),
        "may_add": queries.may_write(person),
        "may_manage": access.may(person, "manage"),
    }
    return render(request, "reports/list.html", context)


def _export(request: HttpRequest, filters: queries.Filters, choices: dict[str, Any]) -> HttpResponseBase:
    def of(name: str) -> Callable[[queries.Row], Any]:
        return lambda row: getattr(row.report, name) or None

    columns: Sequence[export.Column] = [
        ("Báo cáo", of("title"), "text"),
        ("Loại", lambda row: row.kind, "text"),
        ("Kỳ", lambda row: row.period.label_vi, "text"),
        ("Đơn vị báo cáo", lambda row: row.report.organisation.subject.name, "text"),
        ("Gửi đến", of("to_as_printed"), "text"),
        ("Hạn cuối", lambda row: row.last_day, "date"),
        ("Bước", lambda row: row.report.get_state_display(), "text"),
        ("Số, ký hiệu", of("number"), "text"),
        ("Ngày ban hành", of("issued_on"), "date"),
        ("Số liệu mô phỏng", lambda row: "có" if row.report.is_simulated else None, "text"),
    ]
    return export.export(
        request,
        name="Báo cáo",
        columns=columns,
        rows=queries.dress(queries.select(_person(request), filters)),
        filters=forms.describe_filters(filters, choices),
        source_note="Báo cáo lập trong hệ thống.",
    )


@_get_or_post
def add(request: HttpRequest) -> HttpResponse:
    """Make a draft: for an instance of a duty (?ky=), or of a kind for a unit and period that are chosen here."""
    person = _person(request)
    if not queries.may_write(person):
        raise PermissionDenied("Chỉ người nhập liệu của một đơn vị mới lập được báo cáo.")
    if request.GET.get("ky", ""):
        return _add_for_duty(request, request.GET["ky"])
    offered = queries.list_kinds_for(person)
    kind = next((kind for kind in offered if kind.key == request.GET.get("kind", "")), None)
    if kind is None:
        return render(request, "reports/add.html", {"kinds": offered})
    units = queries.list_units_for(person)
    today = timezone.localdate()
    periods = queries.list_periods(kind, today)
    form = forms.PrepareForm(
        request.POST if request.method == "POST" else None, units, periods, initial={"period": periods[1].key}
    )
    if request.method == "POST" and form.is_valid():
        organisation = Organisation.objects.select_related("subject", "parent__subject").get(
            pk=form.cleaned_data["organisation"]
        )
        try:
            report = operations.prepare(
                kind.key, organisation, Period.parse(form.cleaned_data["period"]), by=person, now=timezone.now()
            )
        except ReportsError as reason:
            form.add_error(None, str(reason))
        else:
            return redirect("reports:detail", report.pk)
    context = {"kind": kind, "form": form, "kinds": offered}
    return render(request, "reports/add.html", context, status=422 if form.errors else 200)


def _add_for_duty(request: HttpRequest, text: str) -> HttpResponse:
    person = _person(request)
    rows = DutyInstance.objects.select_related("duty__plan", "duty__to_organisation", "organisation__subject")
    instance = get_object_or_404(rows, pk=int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0)
    if not duty_operations.may_submit(person, instance):
        raise PermissionDenied("Chỉ người của đơn vị nợ báo cáo mới lập được báo cáo này.")
    if not instance.duty.report_kind or instance.period_start is None:
        raise Http404("the duty asks for no kind of report")
    kind = kinds.get_kind(instance.duty.report_kind)
    period = Period(instance.period_kind, instance.period_start)  # type: ignore[arg-type]
    if request.method == "POST":
        try:
            report = operations.prepare(
                kind.key, instance.organisation, period, by=person, now=timezone.now(), instance=instance
            )
        except ReportsError as reason:
            messages.error(request, str(reason))
        else:
            return redirect("reports:detail", report.pk)
    return render(request, "reports/add.html", {"kind": kind, "instance": instance, "period": period})


# --- one report -------------------------------------------------------------------------------------------------


@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    report = _get_report(request, pk)
    sections = list(report.sections.select_related("read_by"))
    return render(request, "reports/detail.html", _frame(request, report, "text") | {"sections": sections})


def _frame(request: HttpRequest, report: Report, view: str, **forms_of_acts: Any) -> dict[str, Any]:
    """Return what the pages of one report share: rights, acts, files, history, tabs."""
    person = _person(request)
    rights = queries.rights_of(person, report)
    taken = report.snapshots.select_related("docx", "xlsx", "pdf", "signed_pdf").first()
    pages = [
        ("text", "Nội dung", reverse("reports:detail", args=[report.pk])),
        ("figures", "Số liệu", reverse("reports:figures", args=[report.pk])),
    ]
    if taken is not None:
        pages.append(("compare", "Đối chiếu, dựng lại", reverse("reports:compare", args=[report.pk])))
    events = [
        {
            "text": f"{_EVENTS.get(event.what, (event.what, '', ''))[0]}{f': {event.text}' if event.text else ''}",
            "at": event.at,
            "person": event.person.full_name if event.person else "",
            "icon": _EVENTS.get(event.what, ("", "point", ""))[1],
            "tone": _EVENTS.get(event.what, ("", "", ""))[2],
        }
        for event in report.events.select_related("person").order_by("-id")
    ]
    return {
        "report": report,
        "kind": kinds.get_kind(report.kind),
        "period": operations.period_of(report),
        "tone": queries.TONES[Report.State(report.state)],
        "rights": rights,
        "taken": taken,
        "tabs": pages,
        "view": view,
        "events": events,
        "deliveries": list(report.deliveries.all()),
        "corrections": list(report.corrected_by.all()),
        "issue_form": forms_of_acts.get("issue") or forms.IssueForm(initial={"issued_on": timezone.localdate()}),
        "send_form": forms_of_acts.get("send") or forms.SendForm(initial={"to": report.to_as_printed}),
    }


@require_safe
def figures(request: HttpRequest, pk: int) -> HttpResponse:
    report = _get_report(request, pk)
    rows = queries.list_figures(report, _person(request))
    context = {"tables": queries.as_tables(kinds.get_kind(report.kind), rows), "count": len(rows)}
    return render(request, "reports/figures.html", _frame(request, report, "figures") | context)


@require_safe
def checks(request: HttpRequest, pk: int) -> HttpResponse:
    """What holds the report back or should be known: asked for once the page of the report has come."""
    report = _get_report(request, pk)
    found = operations.checks(report, now=timezone.now())
    context = {
        "report": report,
        "errors": [check for check in found if check.severity == "error"],
        "warnings": [check for check in found if check.severity == "warning"],
        "notes": [check for check in found if check.severity == "info"],
    }
    template = "reports/parts/checks.html" if request.htmx else "reports/checks.html"  # type: ignore[attr-defined]
    return render(request, template, context)


@require_safe
def compare(request: HttpRequest, pk: int) -> HttpResponse:
    """Compute the report anew from its frozen leaves, and say what is other today and why."""
    report = _get_report(request, pk)
    frame = _frame(request, report, "compare")
    taken = frame["taken"]
    if taken is None:
        raise Http404("nothing was frozen")
    context: dict[str, Any] = {"hash": taken.content_hash}
    try:
        content = snapshot.read(taken)
        replayed = replay.replay(content)
    except ReportsError as reason:
        context["damaged"] = str(reason)
    else:
        labels = {figure["key"]: figure["label"] for figure in content["figures"]}
        context |= {
            "replayed": replayed,
            "figure_count": len(content["figures"]),
            "fact_count": sum(1 for node in content["nodes"].values() if node["how"] == "fact"),
            "differences": [(labels.get(one.key, one.key), one) for one in replayed.differences],
            "comparison": snapshot.compare(content, snapshot.gather_today(report, timezone.localdate())),
            "snapshots": list(report.snapshots.all()),
        }
    return render(request, "reports/compare.html", frame | context)


@_get_or_post
def section(request: HttpRequest, pk: int, section_pk: int) -> HttpResponse:
    """Keep or write one section. Two people at once: the second sees both texts and decides."""
    report = _get_report(request, pk)
    row = get_object_or_404(report.sections.select_related("read_by"), pk=section_pk)
    rights = queries.rights_of(_person(request), report)
    address = f"{reverse('reports:detail', args=[pk])}#muc-{row.key}"
    if not rights.enters:
        raise PermissionDenied("Chỉ người nhập liệu của đơn vị báo cáo mới viết được báo cáo này.")
    if request.method != "POST":
        return redirect(address)
    said, conflict, text = "", False, request.POST.get("text", "")
    version = request.POST.get("version", "")
    changes: dict[str, Any] = {
        "version": int(version) if version.isascii() and version.isdigit() and len(version) < 10 else 0,
        "by": _person(request), "now": timezone.now(),
    }  # fmt: skip
    try:
        if request.POST.get("act") == "keep":
            row = operations.mark_read(row, **changes)
        else:
            row = operations.save_section(row, text, **changes)
        said = "Đã lưu."
    except ChangedMeanwhile as reason:
        conflict, said = True, str(reason)
        row = ReportSection.objects.select_related("read_by").get(pk=row.pk)
    except ReportsError as reason:
        said = str(reason)
    context = {
        "report": report, "section": row, "rights": rights, "said": said, "conflict": conflict, "mine": text,
        "is_saved": said == "Đã lưu.",
    }  # fmt: skip
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "reports/parts/section.html", context)
    if conflict:
        return render(request, "reports/conflict.html", context, status=409)
    (messages.success if context["is_saved"] else messages.error)(request, said)
    return redirect(address)


@_get_or_post
def details(request: HttpRequest, pk: int) -> HttpResponse:
    """The lines above and below the body."""
    report = _get_report(request, pk)
    person = _person(request)
    if not queries.rights_of(person, report).enters:
        raise PermissionDenied("Chỉ người nhập liệu của đơn vị báo cáo mới sửa được phần này.")
    data = request.POST if request.method == "POST" else None
    # A form of its own copy: what is refused must not show in the page's title.
    shown = Report.objects.get(pk=report.pk)
    form = forms.DetailsForm(data, instance=shown, initial={"version": report.version})
    if data is not None and form.is_valid():
        version = form.cleaned_data.pop("version")
        try:
            operations.save_details(report, version=version, by=person, now=timezone.now(), **form.cleaned_data)
        except ReportsError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã lưu phần đầu và cuối báo cáo.")
            return redirect("reports:detail", pk)
    return render(request, "reports/details.html", {"report": report, "form": form}, status=422 if form.errors else 200)


# --- files ------------------------------------------------------------------------------------------------------


@require_safe
def file(request: HttpRequest, pk: int, what: str) -> HttpResponseBase:
    """The report as docx, xlsx, pdf; signed: the signed PDF; json: the frozen content."""
    report = _get_report(request, pk)
    taken = report.snapshots.select_related("content", "docx", "xlsx", "pdf", "signed_pdf").first()
    frozen = report.state in operations.FROZEN and taken is not None
    if frozen and taken is not None:
        kept: dict[str, StoredFile | None] = {
            "docx": taken.docx, "xlsx": taken.xlsx, "pdf": taken.signed_pdf or taken.pdf, "signed": taken.signed_pdf,
            "json": taken.content,
        }  # fmt: skip
        stored = kept.get(what)
        if stored is not None and what == "pdf":
            return _inline(files.open_file(stored).read(), stored.name)
        if stored is not None:
            return files.as_download(stored)
    if what not in _MEDIA_TYPES:
        raise Http404("no such file")
    try:
        written = operations.write_files(report, operations.document_of(report))
        if what != "pdf":
            response = HttpResponse(written[what], content_type=_MEDIA_TYPES[what])
            response["Content-Disposition"] = _attachment(operations.file_name(report, what))
            response["Cache-Control"] = "private, no-store"
            return response
        return _inline(pdf.convert(written["docx"], timeout_s=_PREVIEW_TIMEOUT_S), operations.file_name(report, "pdf"))
    except ReportsError as reason:
        messages.error(request, str(reason))
        return redirect("reports:detail", pk)


def _inline(content: bytes, name: str) -> HttpResponse:
    response = HttpResponse(content, content_type=_MEDIA_TYPES["pdf"])
    response["Content-Disposition"] = _attachment(name).replace("attachment", "inline", 1)
    response["Cache-Control"] = "private, no-store"
    return response


def _attachment(name: str) -> str:
    from django.utils.http import content_disposition_header

    return content_disposition_header(True, name) or "attachment"


# --- acts -------------------------------------------------------------------------------------------------------


@require_POST
def act(request: HttpRequest, pk: int, act: str) -> HttpResponse:
    """One step of the flow. What cannot be done is told on the report's page."""
    report = _get_report(request, pk)
    if act not in _ACTS:
        raise Http404("no such act")
    try:
        said, target = _ACTS[act](request, report)
    except (ReportsError, PlanningError) as reason:
        messages.error(request, str(reason))
        return redirect("reports:detail", pk)
    messages.success(request, said)
    return redirect(target)


def _done(report: Report, said: str) -> tuple[str, str]:
    return said, reverse("reports:detail", args=[report.pk])


def _refresh(request: HttpRequest, report: Report) -> tuple[str, str]:
    operations.refresh_figures(report, by=_person(request), now=timezone.now())
    return _done(report, "Đã làm mới số liệu. Mục có gợi ý đổi cần đọc lại.")


def _submit(request: HttpRequest, report: Report) -> tuple[str, str]:
    operations.submit(report, by=_person(request), now=timezone.now())
    return _done(report, "Đã trình ký.")


def _return(request: HttpRequest, report: Report) -> tuple[str, str]:
    operations.return_report(report, request.POST.get("reason", ""), by=_person(request), now=timezone.now())
    return _done(report, "Đã trả lại báo cáo cho người soạn.")


def _approve(request: HttpRequest, report: Report) -> tuple[str, str]:
    operations.approve(report, by=_person(request), now=timezone.now())
    return _done(report, "Đã ký duyệt. Số liệu và nội dung được đóng băng từ bây giờ.")


def _issue(request: HttpRequest, report: Report) -> tuple[str, str]:
    form = forms.IssueForm(request.POST)
    if not form.is_valid():
        operations.require_enter(report, by=_person(request))
        raise ReportsError("Nhập số, ký hiệu và ngày ban hành như trong sổ văn thư.")
    operations.issue(report, by=_person(request), now=timezone.now(), **form.cleaned_data)
    return _done(report, "Đã vào sổ. Tệp Word, Excel có số và ngày; PDF đang được tạo và ký số.")


def _send(request: HttpRequest, report: Report) -> tuple[str, str]:
    form = forms.SendForm(request.POST)
    if not form.is_valid():
        operations.require_enter(report, by=_person(request))
        raise ReportsError("Chọn cách gửi và nơi nhận.")
    row = operations.send(report, by=_person(request), now=timezone.now(), **form.cleaned_data)
    return _done(report, "Đã ghi nhận gửi." if row.channel == Delivery.Channel.FILE else "Đang gửi; xem ở mục Gửi đi.")


def _receive(request: HttpRequest, report: Report) -> tuple[str, str]:
    number = request.POST.get("delivery", "")
    operations.require_enter(report, by=_person(request))
    row = report.deliveries.filter(
        pk=int(number) if number.isascii() and number.isdigit() and len(number) < 19 else 0
    ).first()
    if row is None:
        raise ReportsError("Chọn lần gửi mà nơi nhận đã xác nhận.")
    operations.receive(row, request.POST.get("receipt", ""), by=_person(request), now=timezone.now())
    return _done(report, "Đã ghi xác nhận của nơi nhận.")


def _correct(request: HttpRequest, report: Report) -> tuple[str, str]:
    new = operations.correct(report, request.POST.get("reason", ""), by=_person(request), now=timezone.now())
    return _done(new, "Đã lập báo cáo đính chính. Bản đã gửi giữ nguyên.")


def _discard(request: HttpRequest, report: Report) -> tuple[str, str]:
    operations.discard(report, by=_person(request), now=timezone.now())
    return "Đã xóa bản nháp.", reverse("reports:list")


_ACTS: dict[str, Callable[[HttpRequest, Report], tuple[str, str]]] = {
    "lam-moi": _refresh,
    "trinh": _submit,
    "tra-lai": _return,
    "ky-duyet": _approve,
    "vao-so": _issue,
    "gui": _send,
    "xac-nhan": _receive,
    "dinh-chinh": _correct,
    "xoa": _discard,
}


# --- templates --------------------------------------------------------------------------------------------------


@require_safe
def templates(request: HttpRequest) -> HttpResponse:
    access.require(_person(request), "manage")
    used = {row.kind: row for row in ReportTemplate.objects.filter(is_active=True).select_related("uploaded_by")}
    rows = [(kind, used.get(kind.key)) for kind in queries.list_kinds_managed(_person(request))]
    return render(request, "reports/templates.html", {"rows": rows})


@_get_or_post
def template_kind(request: HttpRequest, kind_key: str) -> HttpResponse:
    """The versions of a kind's template, its fields, and a new upload, which is tried before it is taken."""
    person = _person(request)
    kind = _get_managed(person, kind_key)
    form = forms.TemplateForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        upload = form.cleaned_data["file"]
        try:
            stored = files.store(upload, name=upload.name, by=person, kinds=frozenset({"docx"}))
            row = operations.upload_template(
                kind.key, stored, note=form.cleaned_data["note"], by=person, now=timezone.now()
            )
        except (files.RefusedFile, BadTemplate) as reason:
            form.add_error("file", str(reason))
        else:
            messages.success(request, f"Đã dùng mẫu phiên bản {row.version} cho các báo cáo lập từ bây giờ.")
            return redirect("reports:template", kind.key)
    fields = docx_writer.fields_of(operations.sample_of(kind, _sample(_person(request), kind)))
    context = {
        "kind": kind,
        "form": form,
        "versions": list(ReportTemplate.objects.filter(kind=kind.key).select_related("file", "uploaded_by")),
        "texts": list(fields.texts),
        "lists": list(fields.lists),
        "tables": [(spec.key, spec.title) for spec in kind.tables],
        "singles": [key for key in fields.figures or {} if "/" not in key],
    }
    return render(request, "reports/template.html", context, status=422 if form.errors else 200)


@require_safe
def template_try(request: HttpRequest, kind_key: str) -> HttpResponse:
    """The kind's sample in its present template (or the shipped one, ?goc=1: unfilled, to start one's own from)."""
    kind = _get_managed(_person(request), kind_key)
    if request.GET.get("goc"):
        content, name = word_templates.shipped(kind.key), f"Mẫu gốc {kind.key}.docx"
    else:
        row = ReportTemplate.objects.filter(kind=kind.key, is_active=True).select_related("file").first()
        content = docx_writer.write(
            operations.sample_of(kind, _sample(_person(request), kind)), word_templates.read(kind.key, row)
        )
        name = f"Thử mẫu {kind.key}.docx"
    response = HttpResponse(content, content_type=_MEDIA_TYPES["docx"])
    response["Content-Disposition"] = _attachment(name)
    response["Cache-Control"] = "private, no-store"
    return response


def _get_managed(person: Person, kind_key: str) -> kinds.Kind:
    access.require(person, "manage")
    try:
        kind = kinds.get_kind(kind_key)
    except ReportsError as reason:
        raise Http404(str(reason)) from None
    if kind not in queries.list_kinds_managed(person):
        raise PermissionDenied("Chỉ người quản lý địa bàn của kế hoạch mới sửa được mẫu báo cáo này.")
    return kind


def _sample(person: Person, kind: kinds.Kind) -> Report | None:
    return queries.list_readable(person).filter(kind=kind.key).last()
