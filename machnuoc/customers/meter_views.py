"""Pages of meters: list with the verification due, one meter with its history, hanging and swapping."""

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from machnuoc.core import export
from machnuoc.core.models import AuditEntry
from machnuoc.core.vietnamese import format_date
from machnuoc.customers import meter_forms, meter_queries, meters, visibility
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Connection, Meter, Reading
from machnuoc.customers.reading_views import is_filtered, may_read_work, page_of, person_of, require_reading
from machnuoc.places import access

_get_or_post = require_http_methods(["GET", "HEAD", "POST"])


@require_safe
def meter_list(request: HttpRequest) -> HttpResponseBase:
    person, today = person_of(request), timezone.localdate()
    access.require(person, "serve")
    form = meter_forms.MeterFilter(request.GET, person)
    rows = meter_queries.select(person, form.read(), today=today)
    if export.format_of(request):
        columns: Sequence[export.Column] = [
            ("Số sê-ri", lambda row: row.serial, "text"), ("Loại", lambda row: row.get_kind_display(), "text"),
            ("Hãng, kiểu", lambda row: row.make, "text"), ("Cấp chính xác", lambda row: row.accuracy_class, "text"),
            ("Đường kính (mm)", lambda row: row.diameter_mm, "number"),
            ("Đấu nối", lambda row: row.connection_code or "", "text"),
            ("Công trình", lambda row: row.work_name or "", "text"), ("Lắp lúc", lambda row: row.hung_at, "datetime"),
            ("Kiểm định ngày", lambda row: row.verified_date, "date"),
            ("Hạn kiểm định", lambda row: row.verification_due_date, "date"),
            ("Tình trạng", lambda row: meter_queries.due_tone(row, today)[0], "text"),
            ("Mô phỏng", lambda row: "mô phỏng" if row.is_simulated else "", "text"),
        ]  # fmt: skip
        listed = meter_queries.with_place(rows)
        return export.export(
            request, name="Đồng hồ nước", columns=columns, rows=listed.iterator(2_000), filters=form.describe(),
            simulated=rows.filter(is_simulated=True).exists(),
        )  # fmt: skip
    page = page_of(meter_queries.with_place(rows), request, 50)
    counts = meter_queries.count_due(person, today=today)
    address = reverse("customers:meter_list")
    context = {
        "form": form, "page": page, "is_filtered": is_filtered(request), "rules": meters.list_rules(),
        "rows": [(meter, meter_queries.due_tone(meter, today)) for meter in page.object_list],
        "tiles": [(meter_queries.DUE[key], number, f"{address}?due={key}") for key, number in counts.items()],
    }  # fmt: skip
    return render(request, "customers/meters/list.html", context)


def _get_meter(request: HttpRequest, pk: int) -> Meter:
    access.require(person_of(request), "serve")
    return get_object_or_404(meter_queries.list_meters(person_of(request)).select_related("operator__subject"), pk=pk)


def _may_change(request: HttpRequest, meter: Meter) -> bool:
    person = person_of(request)
    live = meter.fittings.filter(removed_at__isnull=True).select_related("connection").first()
    if live is not None:
        return may_read_work(person, live.connection.work_id)
    return access.may(person, "read_meters", meter.operator_id)


@_get_or_post
def meter_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One meter: where it hung, its readings, its verification. POST: verified on a day."""
    person, now = person_of(request), timezone.now()
    today = timezone.localdate(now)
    meter = _get_meter(request, pk)
    may_change = _may_change(request, meter)
    form = meter_forms.VerifyForm(request.POST if request.method == "POST" else None, today=today)
    if request.method == "POST":
        if not may_change:
            require_reading(person, 0)
        if form.is_valid():
            try:
                meters.record_verification(meter, on_date=form.cleaned_data["on_date"], by=person, today=today)
            except CustomersError as reason:
                form.add_error("on_date", str(reason))
            else:
                messages.success(request, "Đã ghi kiểm định.")
                return redirect("customers:meter_detail", meter.pk)
    fittings = list(
        meter.fittings.filter(visibility.within(person, "serve", "connection__"))
        .select_related("connection__work__subject", "fitted_by")
        .order_by("-installed_at")
    )
    readings_of = Reading.objects.filter(fitting__in=fittings, index_l__isnull=False).select_related(
        "connection", "read_by"
    )
    live = next((one for one in fittings if one.removed_at is None), None)
    rule = next((one for one in reversed(meters.list_rules()) if one.kind == meter.kind), None)
    context = {
        "meter": meter, "fittings": fittings, "live": live, "may_change": may_change, "form": form, "rule": rule,
        "due": meter_queries.due_tone(meter, today), "readings": readings_of.order_by("-read_at", "-pk")[:24],
        "facts": _facts(meter),
        "audit": AuditEntry.objects.filter(target_kind="customers.meter", target_id=str(meter.pk)).order_by("-id")[:5],
    }  # fmt: skip
    return render(request, "customers/meters/meter.html", context, status=422 if form.errors else 200)


def _facts(meter: Meter) -> list[tuple[str, Any]]:
    return [
        ("Đơn vị cấp nước", meter.operator.subject.name), ("Loại", meter.get_kind_display()),
        ("Hãng, kiểu", meter.make), ("Cấp chính xác", meter.accuracy_class),
        ("Đường kính", f"{meter.diameter_mm} mm"),
        ("Số chữ số", f"{meter.digits} (quay về 0 sau {'9' * meter.digits} m³)"),
        ("Kiểm định ngày", format_date(meter.verified_date) if meter.verified_date else "chưa rõ"),
        ("Hạn kiểm định", format_date(meter.verification_due_date) if meter.verification_due_date else "chưa rõ"),
        ("Ghi chú", meter.note),
    ]  # fmt: skip


@_get_or_post
def meter_edit(request: HttpRequest, pk: int) -> HttpResponse:
    person = person_of(request)
    meter = _get_meter(request, pk)
    if not _may_change(request, meter):
        require_reading(person, 0)
    form = meter_forms.MeterForm(request.POST if request.method == "POST" else None, meter=meter)
    if form.is_bound and form.is_valid():
        try:
            meters.change(meter, by=person, **form.cleaned_data)
        except CustomersError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã lưu đồng hồ {meter.serial}.")
            return redirect("customers:meter_detail", meter.pk)
    context = {
        "form": form, "title": f"Sửa đồng hồ {meter.serial}", "list_url": reverse("customers:meter_list"),
        "list_title": "Đồng hồ", "back_url": reverse("customers:meter_detail", args=[meter.pk]),
    }  # fmt: skip
    return render(request, "customers/readings/form.html", context, status=422 if form.errors else 200)


def _connection(request: HttpRequest, code: str) -> Connection:
    person = person_of(request)
    connection = get_object_or_404(
        visibility.list_connections(person).select_related("customer__operator", "work__subject"), code=code
    )
    require_reading(person, connection.work_id)
    return connection


def _back(connection: Connection) -> str:
    try:
        return reverse("customers:connection_detail", args=[connection.code])
    except NoReverseMatch:
        return reverse("customers:meter_list")


@_get_or_post
def meter_swap(request: HttpRequest, code: str) -> HttpResponse:
    """Take a meter down and hang another, as one act."""
    person, now = person_of(request), timezone.now()
    connection = _connection(request, code)
    live = connection.fittings.filter(removed_at__isnull=True).first()
    if live is None:
        messages.warning(request, f"Đấu nối {connection.code} chưa có đồng hồ. Ghi lắp đồng hồ.")
        return redirect("customers:meter_fit", connection.code)
    data = request.POST if request.method == "POST" else None
    form = meter_forms.SwapForm(data, now=now, connection=connection)
    if form.is_bound and form.is_valid():
        try:
            fitting = meters.swap(connection, by=person, now=now, **form.said())
        except CustomersError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã thay đồng hồ tại đấu nối {connection.code}.")
            return redirect("customers:meter_detail", fitting.meter_id)
    return _act_page(request, form, connection, "Thay đồng hồ", "Thay đồng hồ")


@_get_or_post
def meter_fit(request: HttpRequest, code: str) -> HttpResponse:
    """Hang a meter at a connection without one."""
    person, now = person_of(request), timezone.now()
    connection = _connection(request, code)
    form = meter_forms.FitForm(request.POST if request.method == "POST" else None, now=now)
    if form.is_bound and form.is_valid():
        try:
            fitting = meters.fit(connection, by=person, now=now, **form.said())
        except CustomersError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã lắp đồng hồ cho đấu nối {connection.code}.")
            return redirect("customers:meter_detail", fitting.meter_id)
    return _act_page(request, form, connection, "Lắp đồng hồ", "Lắp đồng hồ")


def _act_page(request: HttpRequest, form: Any, connection: Connection, title: str, button: str) -> HttpResponse:
    context = {
        "form": form, "title": f"{title}: {connection.code}", "button": button,
        "subtitle": connection.work.subject.name, "list_url": reverse("customers:meter_list"), "list_title": "Đồng hồ",
        "back_url": _back(connection),
    }  # fmt: skip
    return render(request, "customers/readings/form.html", context, status=422 if form.errors else 200)
