"""Pages of notices to customers: those of the staff, and the one that everybody may read."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.paginator import Paginator
from django.db.models import Prefetch, Q
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from machnuoc.core import export
from machnuoc.core.models import Person
from machnuoc.customers import notice_forms, notice_operations, notice_queries
from machnuoc.customers.connection_views import form_page
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import ServiceNotice
from machnuoc.places import access
from machnuoc.works.models import Work

_get_or_post = require_http_methods(["GET", "HEAD", "POST"])
_ROWS_A_PAGE = 50
ICONS = {"OUTAGE": ("droplet", "danger"), "QUALITY": ("flask", "warning"), "INFO": ("info-circle", "info")}


def _person(request: HttpRequest) -> Person:
    return request.user  # type: ignore[return-value]


def dress(rows: list[Any], now: Any, *, says_where: bool = True) -> list[Any]:
    """Give notices what a page shows of them; where they hold of those read with their works, places and routes."""
    for row in rows:
        shown: Any = row
        shown.icon, shown.tone = ICONS[row.kind]
        shown.state, shown.state_tone = notice_queries.state_of(row, now)
        shown.when = notice_operations.when_text(row)
        shown.where = notice_operations.where_text(row) if says_where else ""
    return rows


def with_where(rows: Any) -> Any:
    return rows.prefetch_related(
        Prefetch("works", queryset=Work.objects.select_related("subject")), "places", "routes"
    )  # fmt: skip


_COLUMNS: list[export.Column] = [
    ("Loại", lambda row: row.get_kind_display(), "text"), ("Tiêu đề", lambda row: row.title, "text"),
    ("Nội dung", lambda row: row.text, "text"), ("Nơi", lambda row: row.where, "text"),
    ("Từ lúc", lambda row: row.starts_at, "datetime"), ("Đến lúc", lambda row: row.ends_at, "datetime"),
    ("Đăng lúc", lambda row: row.published_at, "datetime"),
    ("Người đăng", lambda row: row.published_by.full_name if row.published_by else "", "text"),
    ("Rút lúc", lambda row: row.withdrawn_at, "datetime"), ("Lý do rút", lambda row: row.withdrawn_reason, "text"),
    ("Số tin đã đưa vào hàng gửi", lambda row: row.sent_count, "number"),
    ("Mô phỏng", lambda row: "mô phỏng" if row.is_simulated else "", "text"),
]  # fmt: skip


@require_safe
def notice_list(request: HttpRequest) -> HttpResponseBase:
    person, now = _person(request), timezone.now()
    access.require(person, "serve")
    form = notice_forms.NoticeFilter(request.GET)
    rows = with_where(notice_queries.visible(person))
    if form.value("q"):
        rows = rows.filter(Q(title__icontains=form.value("q")) | Q(text__icontains=form.value("q")))
    if form.value("kind"):
        rows = rows.filter(kind=form.value("kind"))
    if form.value("state") == "live":
        rows = rows.filter(notice_queries.is_live(now))
    elif form.value("state") == "withdrawn":
        rows = rows.filter(withdrawn_at__isnull=False)
    if export.format_of(request):
        found = list(rows[:20_000])
        return export.export(
            request, name="Thông báo tới khách hàng", columns=_COLUMNS, rows=dress(found, now),
            simulated=any(one.is_simulated for one in found),
        )  # fmt: skip
    page = Paginator(rows, _ROWS_A_PAGE).get_page(request.GET.get("page"))
    context = {
        "form": form, "page": page, "rows": dress(list(page.object_list), now),
        "is_filtered": any(form.value(name) for name in form.fields),
    }  # fmt: skip
    return render(request, "customers/notices/list.html", context)


@_get_or_post
def notice_add(request: HttpRequest) -> HttpResponse:
    person = _person(request)
    access.require(person, "serve")
    form = notice_forms.NoticeForm(request.POST if request.method == "POST" else None, person=person)
    if form.is_bound and form.is_valid():
        try:
            made = notice_operations.publish(
                form.facts(),
                by=person,
                now=timezone.now(),
                is_to_be_sent=form.cleaned_data["is_to_be_sent"],
                is_simulated=person.is_demo,
            )
        except CustomersError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã đăng thông báo. Khách hàng thấy ngay ở trang khách hàng và trang công khai.")
            return redirect("customers:notice_detail", made.pk)
    return form_page(
        request, form, title="Thông báo mới", back=reverse("customers:notice_list"), parent="Thông báo khách hàng",
        button="Đăng thông báo",
        lead="Đăng rồi không sửa được: sai thì rút, ghi lý do, rồi đăng thông báo mới.",
    )  # fmt: skip


@_get_or_post
def notice_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a notice; take it back, for who serves all of its works."""
    person, now = _person(request), timezone.now()
    access.require(person, "serve")
    one = get_object_or_404(with_where(notice_queries.visible(person)), pk=pk)
    form = notice_forms.WithdrawForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            notice_operations.withdraw(one, reason=form.cleaned_data["reason"], by=person, now=now)
        except CustomersError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã rút thông báo.")
            return redirect("customers:notice_detail", pk)
    dress([one], now)
    context = {
        "one": one, "form": form, "concerned": notice_operations.count_concerned(one),
        "facts": [
            ("Đơn vị cấp nước", one.operator.subject.name),
            ("Công trình", ", ".join(work.subject.name for work in one.works.all())),
            ("Nơi", one.where), ("Thời gian", one.when),
            ("Người đăng", one.published_by.full_name if one.published_by else "hệ thống"),
        ],
    }  # fmt: skip
    return render(request, "customers/notices/detail.html", context, status=422 if form.errors else 200)


@login_not_required
@require_safe
def public_notices(request: HttpRequest) -> HttpResponse:
    """Show what every operator tells its customers now. Nothing of it is about a single customer."""
    now = timezone.now()
    rows = dress(list(with_where(notice_queries.list_public(now))[:200]), now)
    names = {row.pk: _names_of(row) for row in rows}
    places = sorted(set().union(*names.values()))
    wanted = request.GET.get("noi", "")[:200]
    shown = [row for row in rows if not wanted or wanted in names[row.pk]]
    context = {
        "live": [row for row in shown if row.state_tone != "neutral"],
        "over": [row for row in shown if row.state_tone == "neutral"], "places": places, "wanted": wanted,
    }  # fmt: skip
    return render(request, "customers/public/notices.html", context)


def _names_of(row: ServiceNotice) -> set[str]:
    """Return the names of the places of a notice, by which people look for theirs."""
    return {place.name for place in row.places.all()} | {work.subject.name for work in row.works.all()}
