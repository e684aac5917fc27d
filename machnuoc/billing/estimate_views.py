"""The page of estimated months that were read by now: old and new volume, what it makes in money, adjusting many."""

from datetime import date
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone

from machnuoc.billing import estimates
from machnuoc.billing.errors import BillingError
from machnuoc.billing.estimates import Proposal
from machnuoc.billing.payment_views import get_or_post, page_of, person_of
from machnuoc.core import export, jobs
from machnuoc.core.choices import month_choices
from machnuoc.core.models import Job
from machnuoc.core.periods import BadPeriod, Period
from machnuoc.core.vietnamese import format_number
from machnuoc.customers import visibility
from machnuoc.places import access
from machnuoc.works.models import Work


@get_or_post
def estimate_list(request: HttpRequest) -> HttpResponseBase:
    """Show what is to be adjusted; POST orders it for the ticked rows, or for all."""
    person = person_of(request)
    access.require(person, "bill")
    month = _month(request)
    works, work = _works(person), _whole(request.GET.get("work", ""))
    found: list[Proposal] = []
    problem = ""
    try:
        found = estimates.list_proposals(month.start_date, [work] if work in works else list(works))
    except BillingError as reason:
        problem = str(reason)
    if request.method == "POST":
        return _order(request, month.start_date, found)
    if export.format_of(request):
        return export.export(
            request, name=f"Kỳ tạm tính cần điều chỉnh {month.key}", columns=_COLUMNS, rows=found,
            source_note="Hóa đơn tạm tính có chỉ số thực tế sau đó; tiền theo giá của kỳ tạm tính",
            simulated=any(one.bill.is_simulated for one in found),
        )  # fmt: skip
    job = Job.objects.filter(task=estimates.TASK, enqueued_by=person).order_by("-pk").first()
    context = {
        "page": page_of(found, request), "month": month, "months": month_choices(timezone.localdate(), month.key),
        "works": works.items(), "work": work, "problem": problem, "job": job, "most": estimates.MOST,
        "is_working": job is not None and job.state in (Job.State.QUEUED, Job.State.RUNNING),
        "more_vnd": sum(max(0, one.due.total_vnd) for one in found),
        "less_vnd": -sum(min(0, one.due.total_vnd) for one in found), "next": request.get_full_path(),
        "waiting": sum(one.wish is not None for one in found),
        "has_simulated": any(one.bill.is_simulated for one in found),
    }  # fmt: skip
    return render(request, "billing/bills/estimates.html", context, status=422 if problem else 200)


def _month(request: HttpRequest) -> Period:
    """Return the month whose readings count: as asked, else the last one that is over."""
    over = Period.containing(timezone.localdate(), "M").previous
    try:
        found = Period.parse(request.GET.get("month", "")[:7])
    except BadPeriod:
        return over
    return found if found.kind == "M" else over


def _works(person: Any) -> dict[int, str]:
    names = visibility.list_work_names(person, "bill")
    if names is None:
        names = dict(Work.objects.filter(operator__isnull=False).values_list("pk", "subject__name"))
    return dict(sorted(names.items(), key=lambda pair: pair[1]))


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _order(request: HttpRequest, month: date, found: list[Proposal]) -> HttpResponse:
    """Queue the adjustment of the rows that were ticked, as they were shown."""
    person = person_of(request)
    if "all" in request.POST:
        ordered = [(one.bill.pk, one.due.total_vnd) for one in found]
    else:
        shown = {(one.bill.pk, one.due.total_vnd) for one in found}
        said = [text.partition(":") for text in request.POST.getlist("bill")]
        ordered = [(_whole(pk), int(vnd)) for pk, _, vnd in said if vnd.removeprefix("-").isdecimal() and len(vnd) < 16]
        ordered = [one for one in ordered if one in shown]  # of others, or changed meanwhile: not what was looked at
        if len(ordered) < len(said):
            messages.warning(request, "Một số dòng vừa thay đổi và không được điều chỉnh. Xem lại rồi chọn lại.")
    back = redirect(request.get_full_path())
    if not ordered:
        messages.error(request, "Chưa chọn dòng nào để điều chỉnh.")
    elif len(ordered) > estimates.MOST:
        messages.error(request, f"Mỗi lần điều chỉnh nhiều nhất {format_number(estimates.MOST)} dòng. Chọn một trạm.")
    else:
        jobs.enqueue(estimates.TASK, by=person, month=month.isoformat(), ordered=ordered, person_id=person.pk)
        messages.success(request, f"Đang điều chỉnh {format_number(len(ordered))} hóa đơn ở chế độ nền.")
    return back


def _m3(litres: int) -> float:
    return litres / 1_000


_COLUMNS: list[export.Column] = [
    ("Đấu nối", lambda row: row.bill.connection.code, "text"),
    ("Hóa đơn", lambda row: row.bill.name, "text"),
    ("Kỳ", lambda row: f"{row.bill.period_start_date:%m/%Y}", "text"),
    ("Đã tính (m³)", lambda row: _m3(row.was_l), "number"),
    ("Theo chỉ số thực (m³)", lambda row: _m3(row.due.volume_l), "number"),
    ("Chênh (m³)", lambda row: _m3(row.due.difference_l), "number"),
    ("Chênh tiền (đồng)", lambda row: row.due.total_vnd, "number"),
    ("Tình trạng", lambda row: "chờ duyệt" if row.wish else "", "text"),
    ("Mô phỏng", lambda row: "mô phỏng" if row.bill.is_simulated else "", "text"),
]  # fmt: skip
