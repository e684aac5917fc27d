"""Pages of the office: rounds by route and month, entry by keyboard, what waits for a person, routes."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from machnuoc.core import audit, export, files, sending, vietnamese
from machnuoc.core.choices import DayField
from machnuoc.core.models import Person
from machnuoc.customers import plausibility, privacy, reading_desk, reading_forms, readings, visibility
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Connection, DataAccess, Reading, Round, Route
from machnuoc.customers.reading_desk import Counts, Line, show_m3
from machnuoc.places import access

_ROUTES_A_PAGE = 40
_OPENED_AT_ONCE = 2_000
_LINES_A_PAGE = 60
_get_or_post = require_http_methods(["GET", "HEAD", "POST"])


def person_of(request: HttpRequest) -> Person:
    return request.user  # type: ignore[return-value]


def page_of(rows: Any, request: HttpRequest, size: int) -> Any:
    return Paginator(rows, size).get_page(request.GET.get("page"))


def tabs() -> list[tuple[str, str, str]]:
    names = (
        ("round_list", "Đợt ghi"), ("review_list", "Chờ xem lại"), ("route_list", "Tuyến"),
        ("field_item_list", "Phiếu từ máy"), ("reading_imports", "Nạp từ tệp"),
    )  # fmt: skip
    return [(name, title, reverse(f"customers:{name}")) for name, title in names]


def may_read_work(person: Person, work_id: int) -> bool:
    """Return whether the person writes readings of the work: not who only serves its customers at the counter."""
    return visibility.may_work(person, "read_meters", work_id)


def require_reading(person: Person, work_id: int) -> None:
    if not may_read_work(person, work_id):
        raise PermissionDenied(
            "Tài khoản của bạn xem được đợt ghi nhưng không ghi, duyệt chỉ số. Nhờ trạm hoặc phòng chuyên môn."
        )


def is_filtered(request: HttpRequest) -> bool:
    return any(value for key, value in request.GET.items() if key not in {"page", "export", "period"})


# --- rounds


@require_safe
def round_list(request: HttpRequest) -> HttpResponseBase:
    person, today = person_of(request), timezone.localdate()
    access.require(person, "serve")
    form = reading_forms.RoundFilter(request.GET, person, today)
    period = reading_desk.month_of(form.value("period"), today)
    routes = reading_desk.list_routes(person)
    if form.value("work"):
        routes = routes.filter(work_id=int(form.value("work")))
    if form.value("q"):
        text = form.value("q")
        routes = routes.filter(Q(code__icontains=text) | Q(name__icontains=text) | Q(reader__full_name__icontains=text))
    rounds = Round.objects.filter(period_start_date=period)
    match form.value("state"):
        case "NONE":
            routes = routes.exclude(pk__in=rounds.values("route_id"))
        case "OPEN" | "CLOSED" as state:
            routes = routes.filter(pk__in=rounds.filter(state=state).values("route_id"))
    if export.format_of(request):
        rows = list(_with_rounds(list(routes), period))
        return export.export(
            request, name=f"Đợt ghi chỉ số {period:%m-%Y}", columns=_ROUND_COLUMNS, rows=rows,
            filters=[("Kỳ", reading_forms.month_label(period)), *form.describe()],
            simulated=any(route.is_simulated for route, _, _ in rows),
        )  # fmt: skip
    page = page_of(routes, request, _ROUTES_A_PAGE)
    rows = list(_with_rounds(list(page.object_list), period))
    unopened = routes.exclude(pk__in=rounds.values("route_id")).count()
    sums = Counts()
    for _, _, counts in rows:
        for name in ("total", "read", "estimated", "waiting", "covered"):
            setattr(sums, name, getattr(sums, name) + getattr(counts, name))
    context = {
        "form": form, "page": page, "rows": rows, "tabs": tabs(), "period": period, "sums": sums,
        "unopened": unopened, "may_open": access.may(person, "read_meters"), "is_filtered": is_filtered(request),
        "waiting": reading_desk.list_waiting(person).count(), "query": request.GET.urlencode(),
    }  # fmt: skip
    return render(request, "customers/readings/rounds.html", context)


def _with_rounds(routes: Sequence[Route], period: date) -> list[tuple[Route, Round | None, Counts]]:
    ids = [route.pk for route in routes]
    rounds = {one.route_id: one for one in Round.objects.filter(period_start_date=period, route_id__in=ids)}
    counts = reading_desk.count_rounds(ids, period)
    return [(route, rounds.get(route.pk), counts[route.pk]) for route in routes]


_ROUND_COLUMNS: Sequence[export.Column] = [
    ("Mã tuyến", lambda row: row[0].code, "text"), ("Tên tuyến", lambda row: row[0].name, "text"),
    ("Công trình", lambda row: row[0].work.subject.name, "text"),
    ("Người ghi", lambda row: row[0].reader.full_name if row[0].reader else "", "text"),
    ("Tình trạng", lambda row: row[1].get_state_display() if row[1] else "Chưa mở", "text"),
    ("Đấu nối phải ghi", lambda row: row[2].total, "number"), ("Đọc thực tế", lambda row: row[2].read, "number"),
    ("Tạm tính", lambda row: row[2].estimated, "number"), ("Chờ xem lại", lambda row: row[2].waiting, "number"),
    ("Không đọc được", lambda row: row[2].no_access, "number"),
    ("Chưa có chỉ số", lambda row: row[2].missing, "number"),
    ("Mô phỏng", lambda row: "mô phỏng" if row[0].is_simulated else "", "text"),
]  # fmt: skip


@require_POST
def round_open(request: HttpRequest) -> HttpResponse:
    """Open the rounds of a month on the routes named (or on all that the filter of the list shows)."""
    person, today = person_of(request), timezone.localdate()
    access.require(person, "serve")
    access.require(person, "read_meters")
    period = reading_desk.month_of(request.POST.get("period", ""), today)
    routes = reading_desk.list_routes(person, "read_meters")
    back = f"{reverse('customers:round_list')}?period={period:%Y-%m}"
    # What was named and is no id opens nothing: leaving it out would open every route there is.
    for name, field in (("route", "pk__in"), ("work", "work_id__in")):
        named = [one for one in request.POST.getlist(name) if one][:_OPENED_AT_ONCE]
        ids = [int(one) for one in named if one.isascii() and one.isdecimal() and len(one) < 19]
        if len(ids) < len(named):
            messages.error(request, "Không mở đợt nào: tuyến hoặc công trình gửi lên không đúng. Chọn lại rồi mở.")
            return redirect(back)
        if ids:
            routes = routes.filter(**{field: ids})
    made, there = readings.open_rounds(routes, period=period, by=person, now=timezone.now())
    text = f"Đã mở {made} đợt ghi kỳ {period:%m/%Y}."
    messages.success(request, f"{text} {there} tuyến đã mở từ trước." if there else text)
    return redirect(back)


def _get_round(request: HttpRequest, pk: int, action: str = "serve") -> Round:
    person = person_of(request)
    shown = get_object_or_404(
        Round.objects.select_related("route__work__subject", "route__reader", "closed_by"),
        pk=pk, route__in=reading_desk.list_routes(person),
    )  # fmt: skip
    if action == "read_meters":
        require_reading(person, shown.route.work_id)
    return shown


def _on_date(request: HttpRequest, shown: Round, now: datetime) -> date:
    """Return the day of the readings that are typed in: as asked, else the reading day, never one to come."""
    today = timezone.localdate(now)
    text = request.POST.get("on") or request.GET.get("on") or ""
    try:
        day = DayField(required=False).clean(text)
    except Exception as reason:  # a day that is none
        raise Http404("no such day") from reason
    due = plausibility.reading_day(shown.period_start_date, shown.route.read_day)
    return min(day or due, today)


@_get_or_post
def round_detail(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The grid of a round. POST: what was typed in one row (htmx) or in many."""
    person, now = person_of(request), timezone.now()
    shown = _get_round(request, pk, "read_meters" if request.method == "POST" else "serve")
    on_date = _on_date(request, shown, now)
    rows = readings.to_read(shown.route_id, shown.period_start_date).select_related("customer")
    if request.method == "POST":
        return _enter(request, shown, rows, on_date, now)
    only = request.GET.get("only", "")
    read = Reading.objects.filter(
        period_start_date=shown.period_start_date, connection__route_id=shown.route_id, index_l__isnull=False
    )
    if only == "missing":
        rows = rows.exclude(pk__in=read.filter(state__in=reading_desk.COUNTS).values("connection_id"))
    elif only == "waiting":
        rows = rows.filter(pk__in=read.filter(state__in=reading_desk.WAITING).values("connection_id"))
    elif only == "estimated":
        rows = rows.filter(pk__in=read.filter(kind="ESTIMATED", state="ACCEPTED").values("connection_id"))
    served = None
    if export.format_of(request):
        found = list(rows)
        served = visibility.served_among(person, found)
        privacy.log_access(
            person, DataAccess.What.EXPORT, now=now, count=len(served), purpose=f"Đợt ghi {shown.route.code}"
        )
        return export.export(
            request, name=f"Chỉ số {shown.route.code} {shown.period_start_date:%m-%Y}", columns=_LINE_COLUMNS,
            rows=reading_desk.lines(found, shown.period_start_date, served), simulated=shown.route.is_simulated,
            filters=[("Tuyến", shown.route.name), ("Kỳ", reading_forms.month_label(shown.period_start_date))],
        )  # fmt: skip
    page = page_of(rows, request, _LINES_A_PAGE)
    connections = list(page.object_list)
    served = visibility.served_among(person, connections)
    privacy.log_access(person, DataAccess.What.LIST, now=now, count=len(served), purpose=f"Đợt ghi {shown.route.code}")
    counts = reading_desk.count_rounds([shown.route_id], shown.period_start_date)[shown.route_id]
    may_read = may_read_work(person, shown.route.work_id)
    context = {
        "round": shown, "counts": counts, "page": page, "on_date": on_date, "only": only,
        "lines": reading_desk.lines(connections, shown.period_start_date, served),
        "may_enter": may_read and shown.state == Round.State.OPEN, "may_read": may_read,
        "reasons": Reading.NoAccess.choices[1:],
        "choices": (("", "Tất cả"), ("missing", "Chưa có chỉ số"), ("waiting", "Chờ xem lại"),
                    ("estimated", "Tạm tính")),
    }  # fmt: skip
    return render(request, "customers/readings/round.html", context)


_LINE_COLUMNS: Sequence[export.Column] = [
    ("Thứ tự", lambda row: row.connection.route_order, "number"),
    ("Mã đấu nối", lambda row: row.connection.code, "text"),
    ("Khách hàng", lambda row: row.shown.name, "text"), ("Địa chỉ", lambda row: row.shown.address, "text"),
    ("Số đồng hồ", lambda row: row.facts.serial if row.facts else "", "text"),
    ("Chỉ số trước (m³)", lambda row: row.facts.before_l / 1000 if row.facts else None, "number"),
    ("Chỉ số (m³)", lambda row: row.reading.index_l / 1000 if row.reading else None, "number"),
    ("Dùng (m³)", lambda row: row.volume_l / 1000 if row.volume_l is not None else None, "number"),
    ("Đọc lúc", lambda row: row.reading.read_at if row.reading else None, "datetime"),
    ("Loại", lambda row: row.reading.get_kind_display() if row.reading else "", "text"),
    ("Tình trạng", lambda row: row.reading.get_state_display() if row.reading else "Chưa có", "text"),
    ("Lưu ý", lambda row: "; ".join(flag.title for flag in row.flags), "text"),
    ("Lý do không đọc được", lambda row: row.no_access.get_no_access_display() if row.no_access else "", "text"),
]  # fmt: skip


def _enter(request: HttpRequest, shown: Round, rows: Any, on_date: date, now: datetime) -> HttpResponse:
    person = person_of(request)
    only = request.POST.get("row", "")
    wanted = [only] if only else [key.removeprefix("index-") for key in request.POST if key.startswith("index-")]
    ids = [int(one) for one in wanted if one.isdecimal() and len(one) < 19][:500]
    connections = list(rows.filter(pk__in=ids))
    served = visibility.served_among(person, connections)
    lines = {one.connection.pk: one for one in reading_desk.lines(connections, shown.period_start_date, served)}
    results: list[tuple[Line, str, str, tuple[str, ...]]] = []
    for line in lines.values():
        said = _take_line(request, shown, line, on_date, now)
        if said is not None:
            results.append((line, *said))
    if only:
        if not lines:
            raise Http404("not on this round")
        line = next(iter(lines.values()))
        fresh = reading_desk.lines([line.connection], shown.period_start_date, served)[0]
        for _, tone, note, asks in results:
            fresh.tone, fresh.note, fresh.asks = tone, note, asks
        if results and results[0][1] == "danger":
            fresh.typed = request.POST.get(f"index-{line.connection.pk}", "")[:20]
        context = {
            "line": fresh, "round": shown, "on_date": on_date, "may_enter": shown.state == Round.State.OPEN,
            "reasons": Reading.NoAccess.choices[1:],
        }  # fmt: skip
        return render(request, "customers/readings/parts/line.html", context)
    for line, tone, note, _ in results:
        if tone in {"danger", "warning"}:
            messages.warning(request, f"{line.connection.code}: {note}")
    stored = sum(tone != "danger" for _, tone, _, _ in results)
    if stored:
        messages.success(request, f"Đã lưu {stored} chỉ số.")
    return redirect(f"{reverse('customers:round_detail', args=[shown.pk])}?on={on_date:%Y-%m-%d}")


def _take_line(
    request: HttpRequest, shown: Round, line: Line, on_date: date, now: datetime
) -> tuple[str, str, tuple[str, ...]] | None:
    """Take what was typed in one row; return (tone, what to say, flags to confirm), None where nothing was typed."""
    pk = line.connection.pk
    text = request.POST.get(f"index-{pk}", "").strip()
    reason = request.POST.get(f"why-{pk}", "")
    confirmed = frozenset(request.POST.get(f"confirmed-{pk}", "").split(",")) & frozenset(plausibility.WARNINGS)
    seen = request.POST.get(f"seen-{pk}", "")
    person = person_of(request)
    order: dict[str, Any] = {
        "read_at": reading_desk.default_read_at(on_date, now), "source": Reading.Source.OFFICE, "person": person,
        "now": now, "period_start_date": shown.period_start_date,
    }  # fmt: skip
    try:
        if not text:
            if not reason or (line.no_access is not None and line.no_access.no_access == reason):
                return None
            readings.take_reading(line.connection, no_access=reason, **order)
            return "info", "Đã ghi lý do không đọc được.", ()
        if text == line.entered and not confirmed:
            return None
        number = vietnamese.parse_number(text[:20])
        if number is None:
            return None
        index_l = int((number * 1000).to_integral_value())
        there = line.reading
        if there is not None and not line.is_estimate:
            if str(there.pk) != seen:
                raise CustomersError("Chỉ số vừa được người khác ghi. Tải lại trang để xem.")
            if there.index_l == index_l and confirmed and there.state == Reading.State.SUSPECT:
                rolled = "ROLLOVER" in confirmed
                readings.accept(there, note="Người nhập xác nhận.", rolled_over=rolled, by=person, now=now)
                return "good", "Đã xác nhận.", ()
            order["replaces"] = there
        outcome = readings.take_reading(line.connection, index_l=index_l, confirmed_flags=confirmed, **order)
    except (CustomersError, vietnamese.NotANumber) as reason_why:
        return "danger", str(reason_why), ()
    asks = tuple(key for key in outcome.flags if plausibility.WARNINGS[key].confirmable)
    match outcome.fate:
        case readings.Fate.SUSPECT:
            advice = " ".join(plausibility.WARNINGS[key].advice for key in outcome.flags)
            return "warning", f"{outcome.reason}. {advice}", asks
        case readings.Fate.CONFLICT:
            return "warning", outcome.reason, ()
        case readings.Fate.DUPLICATE:
            return "info", outcome.reason, ()
    soft = [plausibility.WARNINGS[key].title for key in outcome.flags if key not in confirmed]
    earlier_l = line.facts.earlier_l if line.facts else 0
    used = f"Dùng {show_m3(outcome.volume_l + earlier_l)} m³." if outcome.volume_l is not None else "Đã lưu."
    return "good", " ".join([used, *(f"{title}." for title in soft)]), ()


@_get_or_post
def round_estimate(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what the rule gives for those without a reading; POST stores it."""
    person, now = person_of(request), timezone.now()
    shown = _get_round(request, pk, "read_meters")
    due = plausibility.reading_day(shown.period_start_date, shown.route.read_day)
    default = min(due, timezone.localdate(now))
    data = request.POST if request.method == "POST" else request.GET if "on_date" in request.GET else None
    form = reading_forms.EstimateForm(data, initial={"on_date": default})
    on_date = form.cleaned_data["on_date"] if form.is_bound and form.is_valid() else default
    missing = [one.pk for one in readings.list_missing(shown)]
    refusal = ""
    if request.method == "POST" and form.is_valid():
        if shown.state != Round.State.OPEN:
            refusal = "Đợt ghi đã chốt. Mở lại đợt ghi trước khi tạm tính."
        elif on_date > timezone.localdate(now):
            refusal = "Ngày tạm tính ở tương lai. Chọn ngày từ hôm nay trở về trước."
        else:
            done = readings.estimate(missing, period=shown.period_start_date, on_date=on_date, by=person, now=now)
            messages.success(request, f"Đã tạm tính {done.made} đấu nối; {len(done.rows) - done.made} không tính được.")
            return redirect("customers:round_detail", shown.pk)
    rows = readings.preview_estimates(missing, period=shown.period_start_date, on_date=on_date)
    context = {
        "round": shown, "form": form, "rows": rows, "on_date": on_date, "refusal": refusal,
        "possible": sum(row.index_l is not None for row in rows),
        "sum_l": sum(row.volume_l for row in rows if row.index_l is not None),
    }  # fmt: skip
    return render(request, "customers/readings/estimate.html", context, status=409 if refusal else 200)


@_get_or_post
def round_close(request: HttpRequest, pk: int) -> HttpResponse:
    """Show who has no reading, and close (or open again)."""
    person, now = person_of(request), timezone.now()
    shown = _get_round(request, pk, "read_meters")
    refusal = ""
    if request.method == "POST":
        try:
            if request.POST.get("action") == "reopen":
                readings.reopen_round(shown, note=request.POST.get("note", ""), by=person)
                messages.success(request, "Đã mở lại đợt ghi.")
            else:
                readings.close_round(shown, by=person, leave_missing=bool(request.POST.get("leave_missing")), now=now)
                messages.success(request, f"Đã chốt đợt ghi {shown.route.code} kỳ {shown.period_start_date:%m/%Y}.")
        except CustomersError as reason:
            refusal = str(reason)
        else:
            return redirect("customers:round_detail", shown.pk)
    missing = readings.list_missing(shown)
    served = visibility.served_among(person, missing)
    privacy.log_access(
        person, DataAccess.What.LIST, now=now, count=len(served), purpose=f"Chốt đợt ghi {shown.route.code}"
    )
    why = {
        one.connection_id: one.get_no_access_display()
        for one in Reading.objects.filter(
            connection__in=[one.pk for one in missing], period_start_date=shown.period_start_date, kind="NO_ACCESS"
        ).order_by("pk")
    }
    people = privacy.show_all(missing, served)
    context = {
        "round": shown, "refusal": refusal,
        "counts": reading_desk.count_rounds([shown.route_id], shown.period_start_date)[shown.route_id],
        "missing": [(one, people[one.pk], why.get(one.pk, "")) for one in missing],
    }  # fmt: skip
    return render(request, "customers/readings/close.html", context, status=409 if refusal else 200)


@_get_or_post
def round_warn(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Who should hear of odd use before the bill, and who did."""
    person, now = person_of(request), timezone.now()
    shown = _get_round(request, pk)
    rows = reading_desk.list_abnormal(shown)
    if request.method == "POST":
        visibility.require_work(person, "serve", shown.route.work_id)
        wanted = set(request.POST.getlist("reading"))
        sent = warn([one for one in rows if str(one.reading.pk) in wanted and one.may_be_told], by=person, now=now)
        messages.success(request, f"Đã đưa {sent} tin vào hộp thư đi.")
        return redirect("customers:round_warn", shown.pk)
    connections = [one.reading.connection for one in rows]
    served = visibility.served_among(person, connections)
    people = privacy.show_all(connections, served)
    exports = export.format_of(request)
    privacy.log_access(
        person, DataAccess.What.EXPORT if exports else DataAccess.What.LIST, now=now, count=len(served),
        purpose=f"Báo dùng nước bất thường {shown.route.code}",
    )  # fmt: skip
    pairs = [(one, people[one.reading.connection_id]) for one in rows]
    if exports:
        columns: Sequence[export.Column] = [
            ("Mã đấu nối", lambda row: row[0].reading.connection.code, "text"),
            ("Khách hàng", lambda row: row[1].name, "text"), ("Điện thoại", lambda row: row[1].phone, "text"),
            ("Dùng (m³)", lambda row: row[0].volume_l / 1000 if row[0].volume_l is not None else None, "number"),
            ("Thường dùng (m³)", lambda row: row[0].usual_l / 1000 if row[0].usual_l is not None else None, "number"),
            ("Lưu ý", lambda row: "; ".join(row[0].titles), "text"),
            ("Đã báo", lambda row: "; ".join(f"{s.get_channel_display()} {s.get_state_display()}" for s in row[0].told),
             "text"),
        ]  # fmt: skip
        return export.export(
            request, name=f"Dùng nước bất thường {shown.route.code} {shown.period_start_date:%m-%Y}", columns=columns,
            rows=pairs, simulated=shown.route.is_simulated,
        )  # fmt: skip
    context = {
        "round": shown, "rows": pairs, "tellable": sum(one.may_be_told and not one.told for one in rows),
        "may_warn": visibility.may_work(person, "serve", shown.route.work_id),
    }  # fmt: skip
    return render(request, "customers/readings/warn.html", context)


@transaction.atomic
def warn(rows: Sequence[reading_desk.Abnormal], *, by: Person, now: datetime) -> int:
    """Put one message a reading into the outbox; told once, however often it is asked for and by whatever way."""
    sent = 0
    for one in rows:
        if one.told:
            continue
        connection = one.reading.connection
        used = f"{show_m3(one.volume_l)} m³" if one.volume_l is not None else "bất thường"
        usual = f", thường dùng khoảng {show_m3(one.usual_l // 1000 * 1000)} m³" if one.usual_l is not None else ""
        text = (
            f"Đấu nối {connection.code} kỳ {one.reading.period_start_date:%m/%Y} dùng {used}{usual}. "
            "Mời kiểm tra rò rỉ sau đồng hồ trước khi có hóa đơn. Thắc mắc: gọi đơn vị cấp nước."
        )
        message = sending.queue(
            key=reading_desk.warning_key(one.reading), channel=one.way, title="Nước dùng khác thường",
            text=text, now=now, address=one.address,
        )  # fmt: skip
        sent += message is not None
    if sent:
        audit.record("customers.reading.warned", actor=by, count=sent, readings=[one.reading.pk for one in rows][:100])
    return sent


# --- what waits


@require_safe
def review_list(request: HttpRequest) -> HttpResponseBase:
    person, now = person_of(request), timezone.now()
    access.require(person, "serve")
    form = reading_forms.ReviewFilter(request.GET, person)
    rows = reading_desk.list_waiting(person)
    wanted = form.value("state")
    if wanted == "CONFLICT":
        rows = rows.filter(state=Reading.State.CONFLICT)
    elif wanted:
        rows = rows.filter(flags__icontains=f'"{wanted}"')
    if form.value("work"):
        rows = rows.filter(connection__work_id=int(form.value("work")))
    if form.value("q"):
        rows = reading_desk.search(rows, form.value("q"))
    exports = bool(export.format_of(request))
    page = None if exports else page_of(rows, request, 50)
    found = list(rows[:20_000]) if page is None else list(page.object_list)
    connections = [one.connection for one in found]
    served = visibility.served_among(person, connections)
    people = privacy.show_all(connections, served)
    privacy.log_access(
        person, DataAccess.What.EXPORT if exports else DataAccess.What.LIST, now=now, count=len(served),
        purpose="Chỉ số chờ xem lại",
    )  # fmt: skip
    pairs = [(one, people[one.connection_id], [plausibility.WARNINGS[key] for key in one.flags]) for one in found]
    if exports:
        columns: Sequence[export.Column] = [
            ("Mã đấu nối", lambda row: row[0].connection.code, "text"), ("Khách hàng", lambda row: row[1].name, "text"),
            ("Công trình", lambda row: row[0].connection.work.subject.name, "text"),
            ("Kỳ", lambda row: row[0].period_start_date, "date"), ("Đọc lúc", lambda row: row[0].read_at, "datetime"),
            ("Chỉ số (m³)", lambda row: row[0].index_l / 1000, "number"),
            ("Tình trạng", lambda row: row[0].get_state_display(), "text"),
            ("Lưu ý", lambda row: "; ".join(one.title for one in row[2]), "text"),
            ("Người ghi", lambda row: row[0].read_by.full_name if row[0].read_by else "", "text"),
        ]  # fmt: skip
        return export.export(
            request, name="Chỉ số chờ xem lại", columns=columns, rows=pairs, filters=form.describe(),
            simulated=any(one.is_simulated for one in found),
        )  # fmt: skip
    context = {"form": form, "page": page, "rows": pairs, "tabs": tabs(), "is_filtered": is_filtered(request)}
    return render(request, "customers/readings/reviews.html", context)


@_get_or_post
def review_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One reading that waits (or waited), beside all that helps to judge it. POST: accept, refuse, choose, exchange."""
    person, now = person_of(request), timezone.now()
    access.require(person, "serve")
    reading = get_object_or_404(
        Reading.objects.filter(visibility.within(person, "serve", "connection__")).select_related(
            "connection__work__subject", "connection__customer", "connection__route", "read_by", "photo", "judged_by"
        ),
        pk=pk, index_l__isnull=False,
    )  # fmt: skip
    work_id = reading.connection.work_id
    form = reading_forms.JudgeForm(request.POST if request.method == "POST" else None)
    refusal = ""
    if request.method == "POST":
        require_reading(person, work_id)
        if form.is_valid():
            try:
                _judge(request, reading, form.cleaned_data, now)
            except CustomersError as reason:
                refusal = str(reason)
            else:
                messages.success(request, f"Đã xử lý chỉ số của đấu nối {reading.connection.code}.")
                following = reading_desk.list_waiting(person, "read_meters").exclude(pk=reading.pk).first()
                if following is not None:
                    return redirect("customers:review_detail", following.pk)
                return redirect("customers:review_list")
    served = visibility.served_among(person, [reading.connection])
    privacy.log_access(
        person, DataAccess.What.PAGE, now=now, customer=reading.connection.customer, count=len(served),
        purpose="Xem lại chỉ số",
    )  # fmt: skip
    case = reading_desk.read_case(reading)
    standing = [one for one in case.others if one.state in reading_desk.COUNTS and one.kind != Reading.Kind.ESTIMATED]
    context = {
        "reading": reading, "case": case, "form": form, "refusal": refusal,
        "shown": privacy.show(reading.connection.customer, reading.connection, unmasked=bool(served)),
        "may_judge": may_read_work(person, work_id) and reading.state in reading_desk.WAITING, "standing": standing,
        "warnings": [plausibility.WARNINGS[key] for key in reading.flags],
        "chart": _chart(case) if case.uses else None,
    }  # fmt: skip
    status = 409 if refusal else 422 if form.is_bound and form.errors else 200
    return render(request, "customers/readings/review.html", context, status=status)


def _chart(case: reading_desk.Case) -> dict[str, Any]:
    volumes = [None if one.volume_l is None else one.volume_l / 1000 for one in case.uses]
    return {
        "type": "bar", "unit": "m³", "categories": [f"{one.period_start_date:%m/%Y}" for one in case.uses],
        "series": [{"name": "Nước đã dùng", "values": volumes}],
    }  # fmt: skip


def _judge(request: HttpRequest, reading: Reading, said: dict[str, Any], now: datetime) -> None:
    person = person_of(request)
    order: dict[str, Any] = {"note": said["note"], "by": person, "now": now}
    act, _, wanted = request.POST.get("action", "").partition(":")
    match act:
        case "accept":
            readings.accept(reading, rolled_over=said["rolled_over"], **order)
        case "refuse":
            readings.refuse(reading, **order)
        case "choose":
            mine = Reading.objects.filter(
                connection_id=reading.connection_id, period_start_date=reading.period_start_date
            )
            chosen = mine.filter(pk=wanted).first() if wanted.isdecimal() and len(wanted) < 19 else None
            if chosen is None:
                raise CustomersError("Chọn một trong các chỉ số của kỳ này.")
            readings.choose(chosen, rolled_over=said["rolled_over"], **order)
        case "exchange":
            rows = Reading.objects.filter(visibility.within(person, "read_meters", "connection__"))
            other = rows.filter(pk=wanted).first() if wanted.isdecimal() and len(wanted) < 19 else None
            if other is None:
                raise CustomersError("Chọn chỉ số của nhà bên cần đổi.")
            readings.exchange(reading, other, **order)
        case _:
            raise CustomersError("Chọn nhận, loại, chọn một hoặc đổi với nhà bên.")


@require_safe
def reading_photo(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The photo of a reading, for those who serve the connection or read its route."""
    person = person_of(request)
    action = "serve" if access.may(person, "serve") else "read_meters"
    reading = get_object_or_404(
        Reading.objects.filter(visibility.within(person, action, "connection__")).select_related("photo"),
        pk=pk, photo__isnull=False,
    )  # fmt: skip
    assert reading.photo is not None  # noqa: S101 – asked for above
    return files.as_download(reading.photo)


# --- routes


@require_safe
def route_list(request: HttpRequest) -> HttpResponseBase:
    person = person_of(request)
    access.require(person, "serve")
    rows = reading_desk.list_routes(person)
    text = request.GET.get("q", "").strip()[:60]
    if text:
        rows = rows.filter(Q(code__icontains=text) | Q(name__icontains=text) | Q(reader__full_name__icontains=text))
    counted = rows.annotate(n=_count_connections())
    if export.format_of(request):
        columns: Sequence[export.Column] = [
            ("Mã tuyến", lambda row: row.code, "text"), ("Tên tuyến", lambda row: row.name, "text"),
            ("Công trình", lambda row: row.work.subject.name, "text"),
            ("Người ghi", lambda row: row.reader.full_name if row.reader else "", "text"),
            ("Ghi vào ngày", lambda row: row.read_day, "number"), ("Đấu nối", lambda row: row.n, "number"),
        ]  # fmt: skip
        found = list(counted)
        return export.export(
            request, name="Tuyến ghi chỉ số", columns=columns, rows=found,
            simulated=any(one.is_simulated for one in found),
        )  # fmt: skip
    context = {
        "page": page_of(counted, request, _ROUTES_A_PAGE), "tabs": tabs(), "q": text,
        "may_add": access.may(person, "read_meters"), "without": _without_route(person),
    }  # fmt: skip
    return render(request, "customers/readings/routes.html", context)


def _count_connections() -> Any:
    from django.db.models import Count, IntegerField, OuterRef, Subquery
    from django.db.models.functions import Coalesce

    own = Connection.objects.filter(route_id=OuterRef("pk")).order_by().values("route_id")
    return Coalesce(Subquery(own.annotate(n=Count("pk")).values("n"), output_field=IntegerField()), 0)


def _without_route(person: Person) -> int:
    """Return how many connections in use are on no route (counted up to a thousand)."""
    rows = visibility.list_connections(person).filter(
        route__isnull=True, status__in=(Connection.Status.ACTIVE, Connection.Status.SUSPENDED)
    )
    return rows[:1_000].count()


@_get_or_post
def route_add(request: HttpRequest) -> HttpResponse:
    person = person_of(request)
    if not visibility.list_work_ids(person, "read_meters") and not access.sees_everything(person, "read_meters"):
        raise PermissionDenied("Chỉ trạm hoặc phòng chuyên môn lập được tuyến ghi.")
    form = reading_forms.RouteForm(request.POST if request.method == "POST" else None, person=person)
    if form.is_bound and form.is_valid():
        said = {key: value for key, value in form.cleaned_data.items() if key != "version"}
        try:
            made = readings.put_route(None, by=person, **said)
        except CustomersError as reason:
            form.add_error("code", str(reason))
        else:
            messages.success(request, f"Đã lập tuyến {made.code}. Đưa đấu nối vào tuyến ở dưới.")
            return redirect("customers:route_detail", made.code)
    context = {
        "form": form, "title": "Lập tuyến ghi", "list_url": reverse("customers:route_list"), "list_title": "Tuyến",
        "back_url": reverse("customers:route_list"),
    }  # fmt: skip
    return render(request, "customers/readings/form.html", context, status=422 if form.errors else 200)


@_get_or_post
def route_detail(request: HttpRequest, code: str) -> HttpResponse:
    """A route: its reader, and its connections in walking order (numbers, or dragged)."""
    person, now = person_of(request), timezone.now()
    access.require(person, "serve")
    route = get_object_or_404(reading_desk.list_routes(person), code=code)
    may_edit = may_read_work(person, route.work_id)
    form = reading_forms.RouteForm(
        request.POST if request.POST.get("action") == "save" else None, person=person, route=route
    )
    refusal = ""
    if request.method == "POST":
        require_reading(person, route.work_id)
        try:
            done = _change_route(request, route, form)
        except CustomersError as reason:
            refusal, done = str(reason), ""
        if done:
            messages.success(request, done)
            return redirect("customers:route_detail", route.code)
    rows = Connection.objects.filter(route=route).select_related("customer").order_by("route_order", "code")
    page = page_of(rows, request, 500)
    connections = list(page.object_list)
    served = visibility.served_among(person, connections)
    privacy.log_access(person, DataAccess.What.LIST, now=now, count=len(served), purpose=f"Tuyến {route.code}")
    people = privacy.show_all(connections, served)
    query = request.GET.get("q", "").strip()[:60]
    found: list[tuple[Connection, privacy.Shown]] = []
    if may_edit and query:
        outside = visibility.list_connections(person, "read_meters").filter(work_id=route.work_id).exclude(route=route)
        outside = reading_desk.search(outside, query, "").select_related("customer", "route").order_by("code")[:30]
        listed = list(outside)
        shown = privacy.show_all(listed, visibility.served_among(person, listed))
        found = [(one, shown[one.pk]) for one in listed]
    context = {
        "route": route, "form": form, "may_edit": may_edit, "page": page, "q": query, "found": found,
        "rows": [(one, people[one.pk]) for one in connections], "refusal": refusal,
    }  # fmt: skip
    status = 409 if refusal else 422 if form.is_bound and form.errors else 200
    return render(request, "customers/readings/route.html", context, status=status)


def _change_route(request: HttpRequest, route: Route, form: reading_forms.RouteForm) -> str:
    person = person_of(request)
    match request.POST.get("action"):
        case "save":
            if not form.is_valid():
                return ""
            said = {key: form.cleaned_data[key] for key in ("name", "work", "reader", "read_day")}
            require_reading(person, said["work"].pk)
            readings.put_route(route, by=person, version=form.cleaned_data["version"], **said)
            return "Đã lưu tuyến."
        case "order":
            placed: list[tuple[int, int, int]] = []
            for key in request.POST:
                value = request.POST.get(key, "")
                pk = key.removeprefix("order-")
                if key.startswith("order-") and all(one.isdecimal() and len(one) < 19 for one in (pk, value)):
                    placed.append((int(value), len(placed), int(pk)))
            version = request.POST.get("version", "")
            readings.put_route(
                route, by=person, version=int(version) if version.isdecimal() and len(version) < 10 else None,
                order=[pk for _, _, pk in sorted(placed)],
            )  # fmt: skip
            return "Đã lưu thứ tự."
        case "add":
            ids = [int(one) for one in request.POST.getlist("connection") if one.isdecimal() and len(one) < 19][:500]
            allowed = visibility.list_connections(person, "read_meters")
            return f"Đã đưa {readings.move_to_route(route, ids, by=person, allowed=allowed)} đấu nối vào tuyến."
    raise CustomersError("Không rõ việc cần làm. Tải lại trang.")
