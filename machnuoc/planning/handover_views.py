"""Pages of handovers: the list, one with its stepper, a form for each step."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from machnuoc.core import export, files
from machnuoc.indicators import operations as indicator_operations
from machnuoc.places import access
from machnuoc.places import operations as place_operations
from machnuoc.planning import handover_forms as forms
from machnuoc.planning import handover_operations as operations
from machnuoc.planning import handover_queries as queries
from machnuoc.planning import project_queries
from machnuoc.planning.errors import ChangedMeanwhile, PlanningError
from machnuoc.planning.models import Handover, HandoverPaper
from machnuoc.works.operations import WorksError

_ROWS_A_PAGE = 30
_get_or_post = require_http_methods(["GET", "HEAD", "POST"])
Step = Handover.Step


@require_safe
def handover_list(request: HttpRequest) -> HttpResponseBase:
    person: Any = request.user
    step = request.GET.get("step", "")
    step = step if step in Step.values else ""
    plans = queries.list_plans(person)
    plan = next((pk for pk, _ in plans if str(pk) == request.GET.get("plan")), 0)
    rows = queries.select(person, q=request.GET.get("q", "")[:100], step=step, plan=plan)
    today = timezone.localdate()
    if export.format_of(request):
        columns: list[export.Column] = [
            ("Công trình", lambda row: row.name, "text"),
            (
                "Nằm ở",
                lambda row: row.subject.unit.full_name if hasattr(row.subject, "unit") else row.subject.name,
                "text",
            ),
            ("Bên giao", lambda row: str(row.giver) if row.giver else row.giver_as_printed, "text"),
            ("Bên nhận", lambda row: str(row.receiver), "text"),
            ("Bước", lambda row: row.get_step_display(), "text"),
            ("Văn bản đề nghị", lambda row: row.request_as_printed, "text"),
            ("Ngày đề nghị", lambda row: row.requested_on, "date"),
            ("Ngày tiếp nhận", lambda row: row.effective_on, "date"),
            ("Số hộ khi tiếp nhận", lambda row: row.opening_households, "number"),
            ("Hồ sơ còn thiếu", lambda row: row.missing_count, "number"),
        ]
        return export.export(request, name="Bàn giao công trình", columns=columns, rows=rows)
    context = {
        "form": forms.HandoverFilter(request.GET, plans),
        "page": Paginator(rows, _ROWS_A_PAGE).get_page(request.GET.get("page")),
        "count": len(rows), "taken": queries.count_taken_over(rows, today.year), "year": today.year,
        "open": sum(row.step not in {Step.EFFECTIVE, Step.STOPPED} for row in rows),
        "is_filtered": bool(request.GET.get("q") or step or plan), "may_add": access.may(person, "manage"),
    }  # fmt: skip
    return render(request, "planning/handover/list.html", context)


def _get(request: HttpRequest, pk: int) -> Handover:
    try:
        return queries.get_handover(pk, request.user)  # type: ignore[arg-type]
    except Handover.DoesNotExist:
        raise Http404(f"no handover {pk} in scope") from None


def _to_manage(request: HttpRequest, pk: int) -> Handover:
    handover = _get(request, pk)
    if not queries.may_manage(request.user, handover):  # type: ignore[arg-type]
        raise PermissionDenied("Người quản lý của bên nhận hoặc của địa bàn mới làm được các bước bàn giao.")
    return handover


@require_safe
def handover_detail(request: HttpRequest, pk: int) -> HttpResponse:
    handover = _get(request, pk)
    person: Any = request.user
    context = {
        "handover": handover, "page": queries.get_page(handover), "may_manage": queries.may_manage(person, handover),
        "linked": project_queries.linked_ids(person, [handover.work_id, handover.giver_id, handover.receiver_id]),
    }  # fmt: skip
    return render(request, "planning/handover/detail.html", context)


def _answer(
    request: HttpRequest,
    act: Callable[[], Handover],
    forms_valid: bool,
    form: Any,
    context: dict[str, Any],
    *,
    done: str,
    template: str = "planning/handover/form.html",
) -> HttpResponse:
    """Do the act if its forms are whole; else, or where it cannot be done, show the form with the reason."""
    is_stale = False
    if request.method == "POST" and forms_valid:
        try:
            made = act()
        except (ChangedMeanwhile, place_operations.ChangedMeanwhile) as reason:
            is_stale = True
            form.add_error(None, str(reason))
        except files.RefusedFile as reason:
            form.add_error("file", str(reason))
        except (PlanningError, WorksError, place_operations.PlacesError) as reason:
            form.add_error(None, str(reason))
        else:
            indicator_operations.recompute_dirty(timezone.now())
            messages.success(request, done)
            return redirect("planning:handover_detail", made.pk)
    status = 409 if is_stale else 422 if request.method == "POST" else 200
    return render(
        request, template, {"form": form, "is_stale": is_stale, "icon_name": "check", **context}, status=status
    )


def _data(request: HttpRequest) -> Any:
    return request.POST if request.method == "POST" else None


@_get_or_post
def handover_add(request: HttpRequest) -> HttpResponse:
    person: Any = request.user
    access.require(person, "manage")
    form = forms.RequestForm(_data(request), person=person)

    def act() -> Handover:
        said = {name: value for name, value in form.cleaned_data.items() if name != "version"}
        place = said.pop("place").subject
        return operations.request_handover(place=place, today=timezone.localdate(), by=person, **said)

    context = {"title": "Ghi đề nghị bàn giao", "lead": "Ghi như văn bản đề nghị. Các bước sau làm ở trang của hồ sơ."}
    return _answer(request, act, form.is_valid(), form, context, done="Đã ghi đề nghị bàn giao.")


@_get_or_post
def handover_edit(request: HttpRequest, pk: int) -> HttpResponse:
    handover = _to_manage(request, pk)
    form = forms.RequestForm(_data(request), person=request.user, handover=handover)  # type: ignore[arg-type]

    def act() -> Handover:
        return operations.change_handover(
            handover, today=timezone.localdate(), by=request.user, **form.cleaned_data  # type: ignore[arg-type]
        )  # fmt: skip

    context = {"title": "Sửa đề nghị bàn giao", "handover": handover}
    return _answer(request, act, form.is_valid(), form, context, done="Đã lưu đề nghị bàn giao.")


@_get_or_post
def handover_step(request: HttpRequest, pk: int, act: str) -> HttpResponse:
    """The form of one step: the next one, or the present one to correct it."""
    step = next((code for code, (name, _) in queries.ACTS.items() if name == act), None)
    if step is None:
        raise Http404(f"no step {act}")
    handover = _to_manage(request, pk)
    show = {
        Step.INVENTORIED: _inventory, Step.SCORED: _condition, Step.PAPERS: _papers, Step.DECIDED: _decision,
        Step.EFFECTIVE: _take_over,
    }[Step(step)]  # fmt: skip
    return show(request, handover, {"title": queries.ACTS[step][1], "handover": handover, "step": step})


def _inventory(request: HttpRequest, handover: Handover, context: dict[str, Any]) -> HttpResponse:
    form = forms.StepForm(
        _data(request), initial=forms.day_initial(handover, handover.inventoried_on, timezone.localdate())
    )
    names = ("name", "unit", "quantity", "weight", "note")
    held = [{name: getattr(item, name) for name in names} for item in handover.items.all()]
    conditions = {item.name: item.condition for item in handover.items.all()}
    lines = forms.Items(_data(request), initial=held, prefix="item")

    def act() -> Handover:
        items = [
            operations.Item(
                line["name"],
                line["unit"],
                line["quantity"],
                conditions.get(line["name"]),
                line["weight"] or 1,
                line["note"],
            )
            for line in lines.cleaned_data
            if line.get("name")
        ]
        return operations.record_inventory(
            handover, items, on_date=form.cleaned_data["on_date"], version=form.cleaned_data["version"],
            today=timezone.localdate(), by=request.user,  # type: ignore[arg-type]
        )  # fmt: skip

    lead = "Mỗi dòng một tài sản hoặc hạng mục. Trọng số lớn hơn thì tình trạng của dòng ảnh hưởng nhiều hơn đến điểm."
    valid = form.is_valid() and lines.is_valid()
    return _answer(
        request, act, valid, form, {**context, "lines": lines, "lead": lead}, done="Đã ghi bảng kiểm kê.",
        template="planning/handover/lines.html",
    )  # fmt: skip


def _condition(request: HttpRequest, handover: Handover, context: dict[str, Any]) -> HttpResponse:
    form = forms.StepForm(_data(request), initial=forms.day_initial(handover, handover.scored_on, timezone.localdate()))
    items = list(handover.items.all())
    lines = forms.Conditions(
        _data(request), initial=[{"pk": item.pk, "condition": item.condition} for item in items], prefix="item"
    )

    def act() -> Handover:
        return operations.record_condition(
            handover, {line["pk"]: line["condition"] for line in lines.cleaned_data if "pk" in line},
            on_date=form.cleaned_data["on_date"], version=form.cleaned_data["version"], today=timezone.localdate(),
            by=request.user,  # type: ignore[arg-type]
        )  # fmt: skip

    lead = "Mỗi dòng từ 1 (hỏng) đến 5 (tốt). Điểm hiện trạng là trung bình theo trọng số."
    pairs = list(zip(items, lines.forms, strict=False))
    valid = form.is_valid() and lines.is_valid()
    return _answer(
        request, act, valid, form, {**context, "lines": lines, "pairs": pairs, "lead": lead},
        done="Đã ghi điểm hiện trạng.", template="planning/handover/condition.html",
    )  # fmt: skip


def _papers(request: HttpRequest, handover: Handover, context: dict[str, Any]) -> HttpResponse:
    form = forms.StepForm(
        _data(request), initial=forms.day_initial(handover, handover.papers_checked_on, timezone.localdate())
    )
    held: list[dict[str, Any]] = [
        {"name": paper.name, "is_there": paper.is_there, "note": paper.note} for paper in handover.papers.all()
    ]
    lines = forms.Papers(
        _data(request), initial=held or [{"name": name} for name in forms.SUGGESTED_PAPERS], prefix="paper"
    )

    def act() -> Handover:
        papers = [
            operations.Paper(line["name"], line["is_there"], line["note"])
            for line in lines.cleaned_data
            if line.get("name")
        ]
        return operations.check_papers(
            handover, papers, on_date=form.cleaned_data["on_date"], version=form.cleaned_data["version"],
            today=timezone.localdate(), by=request.user,  # type: ignore[arg-type]
        )  # fmt: skip

    lead = "Đánh dấu hồ sơ đã có. Danh mục là gợi ý: bỏ trống dòng thừa, thêm dòng khác. Thiếu vẫn đi tiếp được."
    valid = form.is_valid() and lines.is_valid()
    return _answer(
        request, act, valid, form, {**context, "lines": lines, "lead": lead, "is_papers": True},
        done="Đã ghi kết quả rà soát hồ sơ.", template="planning/handover/lines.html",
    )  # fmt: skip


def _paper(handover: Handover, paper: int) -> HandoverPaper:
    if paper >= 2**63:
        raise Http404("no such paper")
    return get_object_or_404(handover.papers.select_related("file"), pk=paper)


@_get_or_post
def handover_paper(request: HttpRequest, pk: int, paper: int) -> HttpResponse:
    """Take in one paper of the handover as a file."""
    handover = _to_manage(request, pk)
    found = _paper(handover, paper)
    person: Any = request.user
    form = forms.PaperFileForm(_data(request), request.FILES if request.method == "POST" else None)

    def act() -> Handover:
        upload = form.cleaned_data["file"]
        stored = files.store(upload, name=upload.name, by=person, kinds=forms.PAPERS)
        return operations.keep_paper(found, stored, by=person).handover

    context = {"title": "Nộp hồ sơ", "handover": handover, "lead": f"Hồ sơ: {found.name}.", "has_file": True}
    return _answer(request, act, form.is_valid(), form, context, done=f"Đã nhận hồ sơ «{found.name}».")


@require_safe
def handover_paper_file(request: HttpRequest, pk: int, paper: int) -> HttpResponseBase:
    found = _paper(_get(request, pk), paper)
    if found.file is None:
        raise Http404("no file of this paper")
    return files.as_download(found.file)


def _decision(request: HttpRequest, handover: Handover, context: dict[str, Any]) -> HttpResponse:
    initial = forms.day_initial(handover, handover.decided_on, timezone.localdate())
    form = forms.DecideForm(_data(request), initial={**initial, "decision_as_printed": handover.decision_as_printed})
    form.fields["on_date"].label = "Ngày quyết định"

    def act() -> Handover:
        said = form.cleaned_data
        return operations.decide(
            handover, decision_as_printed=said["decision_as_printed"], decided_on=said["on_date"],
            version=said["version"], today=timezone.localdate(), by=request.user,  # type: ignore[arg-type]
        )  # fmt: skip

    return _answer(request, act, form.is_valid(), form, context, done="Đã ghi quyết định giao.")


def _take_over(request: HttpRequest, handover: Handover, context: dict[str, Any]) -> HttpResponse:
    today = timezone.localdate()
    form = forms.TakeOverForm(_data(request), handover=handover, initial=forms.day_initial(handover, None, today))

    def act() -> Handover:
        said = form.cleaned_data
        new = {name: said[name] for name in ("kind", "sector") if name in said}
        return operations.take_over(
            handover, effective_on=said["on_date"], opening_households=said["opening_households"],
            opening_meter_m3=said["opening_meter_m3"], opening_debt_vnd=said["opening_debt"], team=said["team"],
            version=said["version"], by=request.user, now=timezone.now(), **new,  # type: ignore[arg-type]
        )  # fmt: skip

    what = f"«{handover.work}» chuyển sang" if handover.work else "Hồ sơ công trình mới được lập cho"
    lead = f"{what} «{handover.receiver}» từ ngày tiếp nhận. Sau bước này hồ sơ bàn giao không quay lại được."
    return _answer(
        request,
        act,
        form.is_valid(),
        form,
        {**context, "lead": lead},
        done=f"«{handover.receiver}» đã tiếp nhận công trình.",
    )


@_get_or_post
def handover_back(request: HttpRequest, pk: int) -> HttpResponse:
    handover = _to_manage(request, pk)
    choices = queries.get_page(handover).back_to
    form = forms.BackForm(_data(request), choices=choices, version=handover.version)

    def act() -> Handover:
        said = form.cleaned_data
        return operations.go_back(
            handover, to=said["to"], reason=said["reason"], version=said["version"], by=request.user  # type: ignore[arg-type]
        )  # fmt: skip

    lead = "Nội dung các bước sau bước được chọn không còn hiệu lực; lịch sử vẫn giữ ngày đã làm."
    context = {"title": "Đưa về bước trước", "handover": handover, "lead": lead}
    return _answer(request, act, form.is_valid(), form, context, done="Đã đưa hồ sơ về bước trước.")


@_get_or_post
def handover_stop(request: HttpRequest, pk: int) -> HttpResponse:
    handover = _to_manage(request, pk)
    form = forms.StopForm(_data(request), initial={"version": handover.version})

    def act() -> Handover:
        said = form.cleaned_data
        return operations.stop(handover, reason=said["reason"], version=said["version"], by=request.user)  # type: ignore[arg-type]

    context = {
        "title": "Không tiếp nhận",
        "handover": handover,
        "lead": "Dừng hồ sơ này. Có thể mở lại từ một bước trước.",
    }
    return _answer(request, act, form.is_valid(), form, context, done="Đã ghi không tiếp nhận.")
