"""Pages of billing runs: the list, one run from preview to issue, who was left out, and how an operator bills."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from machnuoc.billing import profiles, run_forms, run_queries, runs
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import BillingRun, RunSkip
from machnuoc.core import export, jobs, vietnamese
from machnuoc.core.periods import BadPeriod, Period
from machnuoc.customers import privacy, visibility
from machnuoc.customers.models import DataAccess
from machnuoc.places import access
from machnuoc.places.models import Organisation

_ROWS_A_PAGE = 30
_get_or_post = require_http_methods(["GET", "HEAD", "POST"])


@require_safe
def run_list(request: HttpRequest) -> HttpResponseBase:
    person: Any = request.user
    access.require(person, "bill")
    rows = run_queries.list_runs(person)
    state, period = request.GET.get("state", ""), request.GET.get("period", "")
    if state in BillingRun.State.values:
        rows = rows.filter(state=state)
    problem = ""
    if period:
        try:
            rows = rows.filter(period_start_date=Period.parse(period[:7]).start_date)
        except BadPeriod as reason:
            problem = str(reason)
    if export.format_of(request):
        columns: list[export.Column] = [
            ("Đợt", lambda row: f"#{row.pk}", "text"),
            ("Kỳ", lambda row: f"{row.period_start_date:%m/%Y}", "text"),
            ("Phạm vi", lambda row: row.scope.name, "text"),
            ("Bước", lambda row: row.get_state_display(), "text"),
            ("Hóa đơn", lambda row: row.bills or row.previewed.get("bills"), "number"),
            ("Tổng tiền (đồng)", lambda row: row.total_vnd or row.previewed.get("total"), "number"),
            ("Người lập", lambda row: row.created_by.full_name if row.created_by else None, "text"),
            ("Người duyệt", lambda row: row.approved_by.full_name if row.approved_by else None, "text"),
            ("Phát hành xong", lambda row: row.finished_at, "datetime"),
            ("Mô phỏng", lambda row: "có" if row.has_simulated else None, "text"),
        ]
        return export.export(request, name="Đợt hóa đơn", columns=columns, rows=rows)
    context = {
        "form": run_forms.RunFilter(request.GET), "problem": problem,
        "page": Paginator(rows, _ROWS_A_PAGE).get_page(request.GET.get("page")),
        "is_filtered": bool(state or period), "operators": run_queries.list_operators(person),
    }  # fmt: skip
    return render(request, "billing/runs/list.html", context)


@_get_or_post
def run_open(request: HttpRequest) -> HttpResponse:
    person: Any = request.user
    access.require(person, "bill")
    form = run_forms.OpenForm(request.POST or None, person=person, today=timezone.localdate())
    if request.method == "POST" and form.is_valid():
        try:
            run = runs.open_run(
                scope=form.cleaned_data["scope"], period_start=form.cleaned_data["period"], now=timezone.now(),
                by=person,
            )  # fmt: skip
        except BillingError as reason:
            form.add_error(None, str(reason))
        else:
            _preview(request, run)
            return redirect("billing:run_detail", run.pk)
    status = 422 if request.method == "POST" else 200
    return render(request, "billing/runs/open.html", {"form": form}, status=status)


def _preview(request: HttpRequest, run: BillingRun) -> None:
    """Compute the totals now if that is quick, else in the background."""
    person: Any = request.user
    if runs.is_small(run):
        runs.preview(run, now=timezone.now(), by=person)
        return
    run.job = jobs.enqueue(
        runs.PREVIEW_TASK, by=person, schedule=f"{runs.PREVIEW_TASK}.{run.pk}", run_id=run.pk, person_id=person.pk
    )
    run.save(update_fields=["job"])


def _get(request: HttpRequest, pk: int) -> BillingRun:
    person: Any = request.user
    run = run_queries.list_runs(person).filter(pk=pk).first()
    if run is None:
        raise Http404(f"no billing run {pk} in scope")
    return run


@require_safe
def run_detail(request: HttpRequest, pk: int) -> HttpResponse:
    person: Any = request.user
    run = _get(request, pk)
    page = run_queries.get_run_page(run, person)
    privacy.log_access(
        person, DataAccess.What.LIST, now=timezone.now(), count=page.unmasked, purpose=f"xem đợt hóa đơn #{run.pk}"
    )
    is_working = run.job is not None and run.job.state in ("QUEUED", "RUNNING")
    context = {
        "run": run, "page": page, "said": run.previewed, "why_not": runs.may_approve(person, run),
        "is_working": is_working, "waiting": runs.count_waiting(run) if run.state == BillingRun.State.DONE else {},
        "steps": _steps(run), "run_number": str(run.pk), "skips_url": reverse("billing:run_skips", args=[run.pk]),
        **_notes(run, page),
    }  # fmt: skip
    answer = render(request, "billing/runs/detail.html", context)
    if request.htmx and not is_working and run.state != BillingRun.State.ISSUING:  # type: ignore[attr-defined]
        answer["HX-Refresh"] = "true"  # the work that was watched is over: state, buttons and totals too are others
    return answer


def _notes(run: BillingRun, page: run_queries.RunPage) -> dict[str, Any]:
    """Return the words under the tiles, and what adjustments of estimated months take off, đồng."""
    said = run.previewed
    if "hash" not in said:
        return {}

    def change(pct: float | None) -> str:
        return "" if pct is None else f"{'+' if pct > 0 else ''}{vietnamese.format_percent(pct, 1)}"

    volume_change, total_change = change(page.volume_change_pct), change(page.total_change_pct)

    parts = []
    if said["estimated"]:
        parts.append(f"{vietnamese.format_number(said['estimated'])} tạm tính")
    if said["zero"]:
        parts.append(f"{vietnamese.format_number(said['zero'])} không dùng nước")
    return {
        "true_up_down": -said.get("true_up", {}).get("down", 0),
        "estimated_note": ", ".join(parts), "volume_text": f"{vietnamese.format_number(page.volume_m3, 0)} m³",
        "volume_change": volume_change, "total_change": total_change,
        "volume_note": f"{volume_change} ở đấu nối có cả hai kỳ" if volume_change else "",
        "total_note": f"{total_change} ở đấu nối có cả hai kỳ" if total_change else "",
    }  # fmt: skip


def _steps(run: BillingRun) -> list[dict[str, Any]]:
    """Return the way of a run as steps: done, next or later."""
    place = {"PREVIEW": 1, "APPROVED": 2, "ISSUING": 2, "STOPPED": 2, "DONE": 3}.get(run.state, 0)
    titles = [
        ("Lập đợt", run.created_at, run.created_by), ("Duyệt", run.approved_at, run.approved_by),
        ("Phát hành", run.finished_at, None),
    ]  # fmt: skip
    return [
        {
            "title": title, "at": at if number < place else None, "by": by if number < place else None,
            "state": "done" if number < place else "next" if number == place else "later",
        }
        for number, (title, at, by) in enumerate(titles)
    ]  # fmt: skip


def _act(request: HttpRequest, pk: int, act: Callable[[BillingRun, Any], Any], done: str) -> HttpResponse:
    run = _get(request, pk)
    try:
        act(run, request.user)
    except BillingError as reason:
        messages.error(request, str(reason))
    else:
        if done:
            messages.success(request, done)
    return redirect("billing:run_detail", run.pk)


@require_POST
def run_preview(request: HttpRequest, pk: int) -> HttpResponse:
    return _act(request, pk, lambda run, person: _preview(request, run), "")


@require_POST
def run_approve(request: HttpRequest, pk: int) -> HttpResponse:
    def act(run: BillingRun, person: Any) -> None:
        runs.approve(run, by=person, now=timezone.now(), hash_seen=request.POST.get("hash", ""))

    return _act(request, pk, act, "Đã duyệt. Bấm «Phát hành» để lập hóa đơn.")


@require_POST
def run_start(request: HttpRequest, pk: int) -> HttpResponse:
    def act(run: BillingRun, person: Any) -> None:
        runs.start(run, by=person, now=timezone.now())

    return _act(request, pk, act, "Bắt đầu phát hành; trang này cho biết tiến độ.")


@require_POST
def run_stop(request: HttpRequest, pk: int) -> HttpResponse:
    def act(run: BillingRun, person: Any) -> None:
        runs.stop(run, by=person, now=timezone.now())

    return _act(request, pk, act, "Đã dừng sau nhóm hóa đơn đang ghi. Bấm «Phát hành tiếp» để làm tiếp.")


@require_POST
def run_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    def act(run: BillingRun, person: Any) -> None:
        runs.cancel(run, by=person, now=timezone.now())

    return _act(request, pk, act, "Đã hủy đợt; chưa có hóa đơn nào được lập.")


@require_safe
def run_skips(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The connections that the run left out, each with its reason, until it is billed."""
    person: Any = request.user
    run = _get(request, pk)
    reason = request.GET.get("reason", "")
    rows = run_queries.list_skips(
        run, reason if reason in RunSkip.Reason.values else "", waiting_only=bool(request.GET.get("waiting"))
    )
    if export.format_of(request):
        columns: list[export.Column] = [
            ("Mã đấu nối", lambda row: row.connection.code, "text"),
            ("Công trình", lambda row: row.connection.work.subject.name, "text"),
            ("Tuyến", lambda row: row.connection.route.code if row.connection.route else None, "text"),
            ("Lý do", lambda row: row.get_reason_display(), "text"),
            ("Cần làm", lambda row: run_queries.SKIP_ADVICE[row.reason], "text"),
            ("Đã có hóa đơn", lambda row: "có" if row.is_billed else None, "text"),
        ]
        return export.export(
            request, name=f"Đấu nối chưa lập hóa đơn kỳ {run.period_start_date:%m-%Y}", columns=columns,
            rows=rows.iterator(chunk_size=2_000), simulated=run.is_simulated,
        )  # fmt: skip
    page = Paginator(rows, _ROWS_A_PAGE).get_page(request.GET.get("page"))
    connections = [row.connection for row in page]
    served = visibility.served_among(person, connections)
    shown = privacy.show_all(connections, served)
    privacy.log_access(
        person, DataAccess.What.LIST, now=timezone.now(), count=len(served), purpose="xem đấu nối chưa lập hóa đơn"
    )
    context = {
        "run": run, "form": run_forms.SkipFilter(request.GET), "page": page, "is_filtered": bool(reason),
        "rows": [(row, shown[row.connection_id], run_queries.SKIP_ADVICE[row.reason]) for row in page],
        "previewed": run_queries.list_previewed_skips(run) if not run.bills else [],
    }  # fmt: skip
    return render(request, "billing/runs/skips.html", context)


@_get_or_post
def profile_edit(request: HttpRequest, key: str) -> HttpResponse:
    """Who the operator is on its bills, where money goes, and its series of numbers."""
    person: Any = request.user
    found = [row for row in run_queries.list_operators(person) if row[0].subject.key == key]
    if not found:
        raise Http404(f"no operator {key} in scope")
    operator, profile, series = found[0]
    initial = {
        "version": profile.version if profile else None, "series_form": series.form if series else "1",
        "series_code": series.code if series else "",
    }  # fmt: skip
    if profile is None:
        initial |= {"legal_name": operator.subject.name, "address": operator.address, "phone": operator.phone}
    form = run_forms.ProfileForm(request.POST or None, instance=profile, initial=initial)
    if request.method == "POST" and form.is_valid():
        fields = {name: form.cleaned_data[name] for name in form.Meta.fields}
        try:
            profiles.put_profile(
                Organisation.objects.get(pk=operator.pk), by=person, version=form.cleaned_data["version"],
                series_form=form.cleaned_data["series_form"], series_code=form.cleaned_data["series_code"], **fields,
            )  # fmt: skip
        except BillingError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã lưu thông tin phát hành hóa đơn.")
            return redirect("billing:run_list")
    status = 422 if request.method == "POST" else 200
    context = {"form": form, "operator": operator, "series": series}
    return render(request, "billing/runs/profile.html", context, status=status)
