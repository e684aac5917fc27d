"""Pages of plans, targets, proposals, growth by station and the scorecard."""

from collections.abc import Callable, Sequence
from datetime import timedelta
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

from machnuoc.core import export
from machnuoc.core.models import Person
from machnuoc.core.periods import BadPeriod, Period
from machnuoc.core.vietnamese import format_date
from machnuoc.places import access
from machnuoc.planning import plan_forms as forms
from machnuoc.planning import plan_operations as operations
from machnuoc.planning import plan_queries as queries
from machnuoc.planning import plan_standings
from machnuoc.planning.errors import ChangedMeanwhile, PlanningError
from machnuoc.planning.models import Plan, Proposal, Target
from machnuoc.planning.models.plans import Status
from machnuoc.planning.visibility import answers_for, is_of

_ROWS_A_PAGE = 30
_TARGETS_OF_A_PLAN = 10  # on the page of the plan itself; the list has them all
_BARS = 40
_get_or_post = require_http_methods(["GET", "HEAD", "POST"])


def _person(request: HttpRequest) -> Person:
    return request.user  # type: ignore[return-value]


def _get_plan(request: HttpRequest, key: str) -> Plan:
    try:
        return queries.get_plan(key, _person(request))
    except Plan.DoesNotExist:
        raise Http404(f"no plan {key} in scope") from None


def _get_target(request: HttpRequest, key: str, target: str) -> Target:
    try:
        return queries.get_target(key, target, _person(request))
    except Target.DoesNotExist:
        raise Http404(f"no target {target} of {key} in scope") from None


def _require(allowed: bool) -> None:
    if not allowed:
        raise PermissionDenied("Tài khoản của bạn không có quyền thực hiện việc này ở đây.")


def _address(target: Target) -> str:
    return reverse("planning:target_detail", args=[target.plan.key, target.key])


# --- plans


@require_safe
def plan_list(request: HttpRequest) -> HttpResponseBase:
    rows = queries.list_plans(_person(request))
    if export.format_of(request):
        return export.export(
            request, name="Kế hoạch", rows=rows,
            columns=[
                ("Kế hoạch", lambda row: row.plan.name, "text"),
                ("Cơ quan ban hành", lambda row: str(row.plan.issuer or ""), "text"),
                ("Địa bàn", lambda row: row.plan.territory.name, "text"),
                ("Từ ngày", lambda row: row.plan.valid_from, "date"),
                ("Đến trước ngày", lambda row: row.plan.valid_to, "date"),
                ("Tình trạng", lambda row: row.plan.get_status_display(), "text"),
                ("Số chỉ tiêu", lambda row: row.total, "number"),
                *(
                    (str(Status(code).label), lambda row, code=code: row.counts.get(code, 0), "number")
                    for code in queries.STATUSES
                ),
            ],
        )  # fmt: skip
    return render(
        request, "planning/plan/list.html",
        {"rows": rows, "may_add": access.may(_person(request), "manage"), "today": timezone.localdate()},
    )  # fmt: skip


@require_safe
def plan_detail(request: HttpRequest, key: str) -> HttpResponse:
    plan = _get_plan(request, key)
    page = queries.get_plan_page(plan, _person(request), shown=_TARGETS_OF_A_PLAN)
    return render(
        request, "planning/plan/plan.html",
        {
            "plan": plan, "page": page, "facts": _plan_facts(plan), "links": _links(page),
            "may_manage": plan.manages_place or plan.manages_issuer,  # type: ignore[attr-defined]
        },
    )  # fmt: skip


def _links(page: queries.PlanPage) -> list[tuple[str, str, int]]:
    """Return (title, address, count) of what belongs to the plan: each list filtered by it."""
    plan, counts = page.row.plan, page.counts
    by_id = f"?plan={plan.pk}"
    return [
        ("Chỉ tiêu", reverse("planning:target_list") + f"?plan={plan.key}&level=all", page.row.total),
        ("Nhiệm vụ", reverse("planning:task_list") + by_id, counts["tasks"]),
        ("Dự án", reverse("planning:project_list") + by_id, counts["projects"]),
        ("Công trình bàn giao", reverse("planning:handover_list") + by_id, counts["handovers"]),
        ("Nghĩa vụ báo cáo", reverse("planning:duty_index") + by_id, counts["duties"]),
        ("Cuộc họp, kiểm tra", reverse("planning:meeting_list") + by_id, counts["meetings"]),
        ("Tuyên truyền, tập huấn", reverse("planning:campaign_list") + by_id, counts["campaigns"]),
    ]


def _plan_facts(plan: Plan) -> list[tuple[str, Any]]:
    document = plan.document
    number = (document.number or "để trống như in") if document else "chưa có văn bản trong kho"
    signed = ""
    if document:
        signed = (
            format_date(document.issue_date) if document.issue_date else document.issue_date_as_printed or "không in"
        )
    facts = [
        ("Số, ký hiệu", number),
        ("Ngày ban hành", signed),
        ("Cơ quan ban hành", str(plan.issuer) if plan.issuer else document.issuer if document else ""),
        ("Người ký", document.signer if document else ""),
        ("Địa bàn", plan.territory.name),
        ("Thực hiện", _span(plan)),
        ("Tình trạng", plan.get_status_display()),
    ]
    return facts + ([("Ghi chú", plan.note)] if plan.note else [])


def _span(plan: Plan) -> str:
    start = f"từ {format_date(plan.valid_from)}" if plan.valid_from else ""
    end = f"đến hết {format_date(plan.valid_to - timedelta(days=1))}" if plan.valid_to else ""
    return " ".join(filter(None, [start, end])) or "văn bản không ghi"


@_get_or_post
def plan_add(request: HttpRequest) -> HttpResponse:
    access.require(_person(request), "manage")

    def act(form: Any) -> str:
        made = operations.add_plan(by=_person(request), **form.arguments())
        return reverse("planning:plan_detail", args=[made.key])

    form = forms.PlanForm(request.POST if request.method == "POST" else None, person=_person(request))
    return _work(
        request, form, act, title="Thêm kế hoạch", subtitle="", back=reverse("planning:plan_list"),
        trail=[("Kế hoạch", reverse("planning:plan_list"))], done="Đã thêm kế hoạch.",
    )  # fmt: skip


@_get_or_post
def plan_edit(request: HttpRequest, key: str) -> HttpResponse:
    plan = _get_plan(request, key)
    _require(queries.may_manage(_person(request), plan))

    def act(form: Any) -> str:
        operations.put_plan(key=plan.key, by=_person(request), **form.arguments())
        return reverse("planning:plan_detail", args=[plan.key])

    form = forms.PlanForm(request.POST if request.method == "POST" else None, person=_person(request), plan=plan)
    return _work(request, form, act, title="Sửa kế hoạch", done="Đã lưu kế hoạch.", **_of_plan(plan))


@_get_or_post
def plan_amend(request: HttpRequest, key: str) -> HttpResponse:
    plan = _get_plan(request, key)
    _require(queries.may_manage(_person(request), plan))

    def act(form: Any) -> str:
        operations.amend_plan(plan, by=_person(request), **form.cleaned_data)
        return reverse("planning:plan_detail", args=[plan.key])

    form = forms.AmendForm(request.POST if request.method == "POST" else None, initial={"version": plan.version})
    return _work(
        request, form, act, title="Ghi văn bản điều chỉnh",
        lead="Sau khi ghi, mở từng chỉ tiêu bị điều chỉnh và sửa theo văn bản này: mức cũ được giữ trong lịch sử.",
        done="Đã ghi văn bản điều chỉnh.", **_of_plan(plan),
    )  # fmt: skip


def _of_plan(plan: Plan) -> dict[str, Any]:
    address = reverse("planning:plan_detail", args=[plan.key])
    return {
        "subtitle": plan.short_name, "back": address,
        "trail": [("Kế hoạch", reverse("planning:plan_list")), (plan.short_name, address)],
    }  # fmt: skip


def _of_target(target: Target) -> dict[str, Any]:
    around = _of_plan(target.plan)
    return {
        "subtitle": target.name, "back": _address(target), "trail": [*around["trail"], (target.name, _address(target))]
    }  # fmt: skip


def _work(
    request: HttpRequest, form: Any, act: Callable[[Any], str], *, title: str, subtitle: str, back: str, done: str,
    trail: Sequence[tuple[str, str]], lead: str = "", button: str = "Lưu",
) -> HttpResponse:  # fmt: skip
    """Show a form; do what it asks; two people who edit at once: the second is told, and nothing is overwritten."""
    is_stale = False
    if request.method == "POST" and form.is_valid():
        try:
            address = act(form)
        except ChangedMeanwhile as reason:
            is_stale = True
            form.add_error(None, str(reason))
        except PlanningError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, done)
            return redirect(address)
    context = {
        "form": form, "title": title, "subtitle": subtitle, "back": back, "lead": lead, "is_stale": is_stale,
        "trail": trail, "button": button,
    }  # fmt: skip
    status = 409 if is_stale else 422 if request.method == "POST" else 200
    return render(request, "planning/plan/form.html", context, status=status)


# --- targets


@require_safe
def target_list(request: HttpRequest) -> HttpResponseBase:
    person = _person(request)
    filters = forms.read_filters(request.GET)
    found = queries.select(person, filters, request.GET.get("sort", ""), timezone.localdate())
    if export.format_of(request):
        return _export_targets(request, list(queries.dress_all(person, found.ids)))
    page = Paginator(found.ids, _ROWS_A_PAGE).get_page(request.GET.get("page"))
    plans = list(queries.visible_plans(person))
    return render(
        request, "planning/plan/targets.html",
        {
            "page": page, "rows": queries.dress(person, list(page.object_list)), "total": len(found.ids),
            "form": forms.TargetFilter(request.GET, plans, queries.list_unit_choices(person)),
            "counts": found.counts, "has_any": bool(plans), "filters": filters,
        },
    )  # fmt: skip


def _export_targets(request: HttpRequest, rows: list[Any]) -> HttpResponseBase:
    def stood(name: str) -> Callable[[Any], Any]:
        return lambda row: getattr(row.standing, name) if row.shows_figures and hasattr(row, "standing") else None

    columns: Sequence[export.Column] = [
        ("Kế hoạch", lambda row: row.plan.short_name, "text"),
        ("Chỉ tiêu", lambda row: row.name, "text"),
        ("Tính cho", lambda row: row.subject.name, "text"),
        ("Phải đạt", lambda row: row.promised, "text"),
        ("Mức", lambda row: row.amount, "number"),
        ("Hạn", lambda row: row.due_on, "date"),
        ("Đơn vị chủ trì", lambda row: "; ".join(row.lead_names), "text"),
        ("Tình trạng", lambda row: row.status_label, "text"),
        ("Đã đạt", stood("reached"), "number"),
        ("Dự báo", stood("forecast"), "number"),
        ("Dự báo thấp (80 %)", stood("forecast_low"), "number"),
        ("Dự báo cao (80 %)", stood("forecast_high"), "number"),
        ("Lý do", stood("reason"), "text"),
        ("Mục trong văn bản", lambda row: row.section, "text"),
    ]
    return export.export(
        request, name="Chỉ tiêu kế hoạch", columns=columns, rows=rows,
        simulated=any("mô phỏng" in row.standing.reason for row in rows if hasattr(row, "standing")),
        source_note="Chỉ tiêu của các kế hoạch và số liệu của Mạch Nước; tình trạng tính theo ngày xuất.",
    )  # fmt: skip


@require_safe
def target_detail(request: HttpRequest, key: str, target: str) -> HttpResponseBase:
    found = _get_target(request, key, target)
    person = _person(request)
    page = queries.get_target_page(found, person, timezone.localdate())
    if export.format_of(request):
        return export.export(
            request, name=f"Diễn biến {found.name}"[:90], rows=page.points,
            columns=[
                ("Kỳ", lambda row: row.label, "text"),
                ("Ngày cuối kỳ", lambda row: row.day, "date"),
                ("Đã đạt", lambda row: row.reached, "number"),
                ("Theo tiến độ", lambda row: row.asked, "number"),
                ("Dự báo", lambda row: row.expected, "number"),
                ("Dự báo thấp (80 %)", lambda row: row.low, "number"),
                ("Dự báo cao (80 %)", lambda row: row.high, "number"),
            ],
            filters=[("Phải đạt", queries.promised(found)), ("Đơn vị tính", page.question.unit)],
            simulated="số liệu mô phỏng" in page.question.notes,
        )  # fmt: skip
    stood = getattr(found, "standing", None)
    status = queries.status_of(found)
    may_propose = any(unit.role == "LEAD" and unit.may_propose for unit in page.units)
    may_manage = found.manages_place or found.manages_issuer  # type: ignore[attr-defined]
    return render(
        request, "planning/plan/target.html",
        {
            "target": found, "plan": found.plan, "page": page, "standing": stood, "status": status,
            "status_label": Status(status).label, "tone": queries.TONES[status], "icon_name": queries.ICONS[status],
            "promised": queries.promised(found), "facts": _target_facts(found, page),
            "reached": queries.said(stood.reached, found) if stood and page.shows_figures else "",
            "expected": queries.said(stood.forecast, found) if stood and page.shows_figures else "",
            "low": queries.said(stood.forecast_low, found) if stood and page.shows_figures else "",
            "high": queries.said(stood.forecast_high, found) if stood and page.shows_figures else "",
            "chart_data": queries.chart_of(page), "is_simulated": "số liệu mô phỏng" in page.question.notes,
            "changes": [(change, queries.promised_before(change)) for change in page.changes],
            "proposals": [_proposal(one, person) for one in page.proposals],
            "owes": queries.owes(found), "owed_text": _say_owed(found, page),
            "may_propose": may_propose, "may_manage": may_manage,
            "may_judge": (found.metric_id is None or found.comparator == "JUDGED")
            and (may_manage or found.approves_for_issuer),  # type: ignore[attr-defined]
            "status_labels": dict(Status.choices),
        },
    )  # fmt: skip


def _say_owed(target: Any, page: queries.TargetPage) -> str:
    """Return who owes what is to be done about the target, since when; empty if nobody does."""
    if not queries.owes(target):
        return ""
    leads = ", ".join(str(unit) for unit in page.units if unit.role == "LEAD") or "Đơn vị chủ trì (văn bản không ghi)"
    since = f" từ ngày {format_date(target.late_since)}" if target.late_since else ""
    status = str(Status(queries.status_of(target)).label).lower()
    return (
        f"Chỉ tiêu {status}{since}. {leads} nêu nguyên nhân, giải pháp và thời hạn mới (nếu phải lùi), rồi gửi duyệt."
    )


def _proposal(proposal: Any, person: Person) -> dict[str, Any]:
    open_states = {Proposal.State.DRAFT, Proposal.State.RETURNED}
    return {
        "proposal": proposal,
        "may_edit": proposal.state in open_states and proposal.may_enter,
        "may_decide": proposal.state == Proposal.State.SUBMITTED
        and proposal.may_approve
        and proposal.made_by_id != person.pk,
    }


def _target_facts(target: Target, page: queries.TargetPage) -> list[tuple[str, Any]]:
    leads = [str(unit) for unit in page.units if unit.role == "LEAD"]
    helping = [str(unit) for unit in page.units if unit.role != "LEAD"]
    facts: list[tuple[str, Any]] = [
        ("Tính cho", target.subject.name),
        ("Đo bằng", target.metric.name if target.metric else "chưa có số liệu đo"),
        ("Cách đo", target.get_measured_as_display()),
        ("Mức gốc", target.baseline_text or queries.said(target.baseline, target) or "không ghi"),
        ("Hạn", format_date(target.due_on) if target.due_on else "văn bản không ghi"),
        ("Đơn vị chủ trì", ", ".join(leads)),
    ]
    if helping:
        facts.append(("Đơn vị phối hợp", ", ".join(helping)))
    if target.accountable or target.accountable_text:
        facts.append(("Người chịu trách nhiệm", str(target.accountable or target.accountable_text)))
    if target.note:
        facts.append(("Ghi chú", target.note))
    return facts


@_get_or_post
def target_add(request: HttpRequest, key: str) -> HttpResponse:
    plan = _get_plan(request, key)
    person = _person(request)
    _require(queries.may_manage(person, plan))
    parent = plan.targets.select_related("subject", "metric").filter(key=request.GET.get("parent", "")).first()

    def act(form: Any) -> str:
        made = operations.add_target(
            plan=plan, parent=parent, period=form.cleaned_data["period"], units=form.units(), by=person,
            baseline_period=form.cleaned_data["baseline_period"], path=form.path(), **form.promise(),
        )  # fmt: skip
        operations.recompute_standings(timezone.now(), [made.pk])
        return _address(made)

    form = forms.TargetForm(request.POST if request.method == "POST" else None, person=person, plan=plan, parent=parent)
    title = f"Giao một phần của «{parent.name}»" if parent else "Thêm chỉ tiêu"
    return _work(request, form, act, title=title, done="Đã thêm chỉ tiêu.", **_of_plan(plan))


@_get_or_post
def target_edit(request: HttpRequest, key: str, target: str) -> HttpResponse:
    found = _get_target(request, key, target)
    person = _person(request)
    _require(queries.may_manage(person, found.plan))

    def act(form: Any) -> str:
        said = form.cleaned_data
        period, base = said["period"], said["baseline_period"]
        operations.change_target(
            found, reason=said["reason"], amendment=said["amendment"], version=said["version"], units=form.units(),
            by=person, **form.promise(), period_kind=period.kind if period else "Y",
            period_start=period.start_date if period else None,
            baseline_period_start=base.start_date if base else None, path=form.path(),
        )  # fmt: skip
        operations.recompute_standings(timezone.now(), [found.pk])
        return _address(found)

    form = forms.TargetForm(
        request.POST if request.method == "POST" else None, person=person, plan=found.plan, target=found
    )
    return _work(
        request, form, act, title="Thay đổi chỉ tiêu", done="Đã lưu; mức trước đó được giữ trong lịch sử.",
        **_of_target(found),
    )  # fmt: skip


@_get_or_post
def target_carry_down(request: HttpRequest, key: str, target: str) -> HttpResponse:
    """Give parts of a target to several at once: first the sum is shown against the whole, then it is saved."""
    found = _get_target(request, key, target)
    person = _person(request)
    _require(queries.may_manage(person, found.plan))
    asked = request.GET.get("kind", "")
    if asked not in queries.PART_KINDS:
        asked = "WORK" if found.metric is not None and found.metric.subject_kind == "WORK" else "ORGANISATION"
    candidates = queries.list_candidates(person, found, asked)
    form = forms.SharesForm(request.POST if request.method == "POST" else None, target=found, candidates=candidates)
    finding, text, is_checked, is_stale = None, "", False, False
    if request.method == "POST" and form.is_valid():
        found.parts_check = form.cleaned_data["parts_check"]
        given = [(row.candidate.subject.pk, row.amount, row.candidate.subject.name) for row in form.rows]
        finding, text = queries.find_in_parts(found, [one for one in given if one[1] is not None])
        is_checked = True
        if request.POST.get("checked") == form.digest:
            try:
                count = operations.give_shares(
                    found, form.shares(), parts_check=found.parts_check, version=form.cleaned_data["version"], by=person
                )
            except ChangedMeanwhile as reason:
                is_stale = True
                form.add_error(None, str(reason))
            except PlanningError as reason:
                form.add_error(None, str(reason))
            else:
                operations.recompute_standings(timezone.now(), [found.pk, *found.parts.values_list("pk", flat=True)])
                messages.success(request, f"Đã giao {count} phần." if count else "Các phần không có gì thay đổi.")
                return redirect(_address(found))
    context = {
        "target": found, "form": form, "finding": finding, "finding_text": text, "is_checked": is_checked,
        "is_stale": is_stale, "promised": queries.promised(found), "kinds": queries.PART_KINDS, "kind": asked,
        "unit": plan_standings.unit_label(found), **_of_target(found),
    }  # fmt: skip
    status = 409 if is_stale else 422 if form.errors else 200
    return render(request, "planning/plan/shares.html", context, status=status)


@_get_or_post
def target_judge(request: HttpRequest, key: str, target: str) -> HttpResponse:
    found = _get_target(request, key, target)
    person = _person(request)
    _require(queries.may_judge(person, found.plan))

    def act(form: Any) -> str:
        operations.judge_target(found, by=person, now=timezone.now(), **form.cleaned_data)
        return _address(found)

    form = forms.JudgeForm(
        request.POST if request.method == "POST" else None, initial={"judged_on": timezone.localdate()}
    )
    return _work(request, form, act, title="Đánh giá chỉ tiêu", done="Đã ghi đánh giá.", **_of_target(found))


# --- proposals


@_get_or_post
def proposal_add(request: HttpRequest, key: str, target: str) -> HttpResponse:
    found = _get_target(request, key, target)
    units = queries.list_proposing_units(_person(request), found)
    _require(bool(units))
    form = forms.ProposalForm(request.POST if request.method == "POST" else None, organisations=units)
    return _propose(request, found, units, form, None)


@_get_or_post
def proposal_edit(request: HttpRequest, pk: int) -> HttpResponse:
    proposal = _get_proposal(request, pk)
    _require(answers_for(_person(request), proposal.organisation_id))
    form = forms.ProposalForm(
        request.POST if request.method == "POST" else None, organisations=[proposal.organisation], proposal=proposal
    )
    return _propose(request, proposal.target, [proposal.organisation], form, proposal)


def _propose(
    request: HttpRequest, target: Target, units: list[Any], form: Any, proposal: Proposal | None
) -> HttpResponse:
    def act(form: Any) -> str:
        said = dict(form.cleaned_data)
        unit = next(one for one in units if one.pk == said.pop("organisation"))
        operations.save_proposal(target, unit, proposal=proposal, by=_person(request), **said)
        return _address(target)

    return _work(
        request, form, act, title="Đề xuất giải pháp", done="Đã lưu đề xuất. Gửi duyệt khi hoàn chỉnh.",
        lead="Nêu nguyên nhân khách quan hoặc chủ quan, giải pháp và thời hạn mới nếu phải lùi.", **_of_target(target),
    )  # fmt: skip


def _get_proposal(request: HttpRequest, pk: int) -> Proposal:
    person = _person(request)
    return get_object_or_404(
        Proposal.objects.select_related("target__plan", "organisation__subject").filter(
            target__in=queries.visible_targets(person)
        ),
        pk=pk,
    )


@require_POST
def proposal_submit(request: HttpRequest, pk: int) -> HttpResponse:
    proposal = _get_proposal(request, pk)
    person = _person(request)
    _require(answers_for(person, proposal.organisation_id))
    try:
        operations.submit_proposal(proposal, by=person, now=timezone.now())
    except PlanningError as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, "Đã gửi đề xuất, chờ duyệt.")
    return redirect(_address(proposal.target))


@_get_or_post
def proposal_decide(request: HttpRequest, pk: int) -> HttpResponse:
    proposal = _get_proposal(request, pk)
    person = _person(request)
    _require(is_of(person, "approve", proposal.organisation_id))

    def act(form: Any) -> str:
        operations.decide_proposal(proposal, by=person, now=timezone.now(), **form.cleaned_data)
        return _address(proposal.target)

    form = forms.DecideForm(request.POST if request.method == "POST" else None)
    return _work(
        request, form, act, title="Xem xét đề xuất giải pháp", done="Đã ghi ý kiến.",
        lead=_said_by(proposal), **_of_target(proposal.target),
    )  # fmt: skip


def _said_by(proposal: Proposal) -> str:
    until = f" Thời hạn mới: {format_date(proposal.new_date)}." if proposal.new_date else ""
    cause = f"nguyên nhân {proposal.get_cause_kind_display().lower()}: {proposal.cause.rstrip('.')}"
    return f"{proposal.organisation}, {cause}. Giải pháp: {proposal.solution.rstrip('.')}.{until}"


# --- growth and scorecard


@require_safe
def growth(request: HttpRequest) -> HttpResponseBase:
    sort = request.GET.get("sort", "")
    table = queries.list_growth(_person(request), q=request.GET.get("q", ""), sort=sort, today=timezone.localdate())
    if export.format_of(request):
        return _export_growth(request, table)
    drawn = [row for row in table.shown if row.asked][:_BARS]
    data = {
        "type": "bar", "unit": "hộ", "decimals": 0, "category_title": "Công trình",
        "categories": [row.name for row in drawn],
        "series": [
            {"name": f"Kế hoạch tăng {table.year}", "values": [row.asked for row in drawn]},
            {"name": "Đã phát triển", "values": [row.added for row in drawn]},
        ],
    }  # fmt: skip
    return render(
        request, "planning/plan/growth.html",
        {
            "table": table, "page": Paginator(table.shown, _ROWS_A_PAGE).get_page(request.GET.get("page")),
            "form": forms.GrowthFilter(request.GET), "chart_data": data if drawn else None,
        },
    )  # fmt: skip


def _export_growth(request: HttpRequest, table: queries.GrowthTable) -> HttpResponseBase:
    def of(name: str) -> Callable[[Any], Any]:
        return lambda row: table.totals.get(name) if row is table else getattr(row, name)

    columns: Sequence[export.Column] = [
        ("Công trình", lambda row: "Cộng" if row is table else "  " * row.depth + row.name, "text"),
        ("Đơn vị", lambda row: None if row is table else row.operator, "text"),
        ("Thiết kế (hộ)", of("design"), "number"),
        (f"Đấu nối {table.year - 1} (hộ)", of("connected"), "number"),
        (f"Kế hoạch {table.year} (hộ)", of("planned"), "number"),
        ("Kế hoạch tăng (hộ)", of("asked"), "number"),
        ("Đã phát triển (hộ)", of("added"), "number"),
        ("Tiếp nhận cùng công trình, không tính (hộ)", of("handed"), "number"),
        ("Còn phải phát triển (hộ)", of("left"), "number"),
        ("Công suất còn dư (hộ)", of("spare"), "number"),
        ("Kế hoạch vượt thiết kế (hộ)", of("above"), "number"),
        ("Thứ tự theo công suất còn dư", lambda row: None if row is table else row.rank, "number"),
        ("Số liệu đến", lambda row: None if row is table or not row.as_of else Period("M", row.as_of).label_vi, "text"),
    ]
    return export.export(
        request, name="Phát triển khách hàng theo trạm", columns=columns, rows=[*table.shown, table],
        simulated=table.is_simulated,
        source_note="Dòng «Cộng» không cộng hai lần hộ của phân hệ. Công suất còn dư: thiết kế trừ số hộ mới nhất.",
    )  # fmt: skip


@require_safe
def scorecard(request: HttpRequest) -> HttpResponseBase:
    today = timezone.localdate()
    this_year = Period.containing(today, "Y")
    periods = [this_year, *reversed([one for one in this_year.split("Q") if one.start_date <= today])]
    periods += [*reversed([one for one in this_year.split("M") if one.start_date <= today]), this_year.previous]
    try:
        period = Period.parse(request.GET.get("period", "")) if request.GET.get("period") else this_year
    except BadPeriod:
        period = this_year
    units, people = queries.scorecard(_person(request), period, today, plan=request.GET.get("plan", "")[:60])
    if export.format_of(request):
        return _export_scores(request, period, units, people)
    plans = list(queries.visible_plans(_person(request)))
    return render(
        request, "planning/plan/scorecard.html",
        {
            "units": units, "people": people, "period": period,
            "form": forms.ScoreFilter(request.GET, periods, plans),
        },
    )  # fmt: skip


def _export_scores(request: HttpRequest, period: Period, units: list[Any], people: list[Any]) -> HttpResponseBase:
    columns: Sequence[export.Column] = [
        ("Đơn vị, người", lambda row: row.name, "text"),
        ("Chỉ tiêu", lambda row: row.targets_total, "number"),
        ("Đạt, đúng tiến độ", lambda row: row.good, "number"),
        ("Có nguy cơ, không đạt", lambda row: row.late, "number"),
        ("Chưa có số liệu, đã hết kỳ", lambda row: row.unknown, "number"),
        ("Chỉ tiêu đạt, đúng tiến độ (%)", lambda row: row.targets_pct, "number"),
        ("Nhiệm vụ", lambda row: row.tasks_total, "number"),
        ("Nhiệm vụ hoàn thành", lambda row: row.tasks["done"], "number"),
        ("Nhiệm vụ quá hạn", lambda row: row.tasks["overdue"], "number"),
        ("Nhiệm vụ hoàn thành (%)", lambda row: row.tasks_pct, "number"),
    ]
    return export.export(
        request, name="Mức độ hoàn thành", columns=columns, rows=[*units, *people], filters=[("Kỳ", period.label_vi)]
    )
