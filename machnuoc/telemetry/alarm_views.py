"""Pages of alarms, their rules, shelving and maintenance."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import numpy as np
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, Exists, OuterRef, Prefetch, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from machnuoc.core import export, search, vietnamese
from machnuoc.core.models import Person
from machnuoc.core.periods import LOCAL_ZONE
from machnuoc.places import access
from machnuoc.telemetry import (
    alarm_calls,
    alarm_forms,
    alarm_operations,
    alarm_queries,
    alarm_rules,
    history,
    live_queries,
    rule_words,
    store,
)
from machnuoc.telemetry.alarm_operations import AlarmError, ChangedMeanwhile
from machnuoc.telemetry.models import Alarm, AlarmRule, Channel, Maintenance, Shelving
from machnuoc.telemetry.quantities import QUANTITIES
from machnuoc.works import search_entries

_ROWS_A_PAGE = 50
_READINGS_SHOWN = 24
_CHART_POINTS = 240
_AT_ONCE = 500  # alarms that one press of a button acknowledges
_get_or_post = require_http_methods(["GET", "HEAD", "POST"])

TONES = alarm_queries.TONES
_STATE_TONES = {
    Alarm.State.ACTIVE_UNACKED: ("danger", "bell"),
    Alarm.State.ACTIVE_ACKED: ("warning", "user-circle"),
    Alarm.State.RETURNED_UNACKED: ("info", "circle-dashed"),
    Alarm.State.NORMAL: ("good", "circle-check"),
}
_STEP_ICONS = {
    "RAISED": ("bell", "danger"), "RETURNED": ("circle-check", "good"), "ACKED": ("user-circle", "info"),
    "NOTED": ("pencil", ""), "REMINDED": ("clock", "warning"), "ESCALATED": ("arrow-up", "warning"),
    "SENT": ("send", ""), "RECOMPUTED": ("refresh", "info"), "SHELVED": ("bookmark", ""), "UNSHELVED": ("bookmark", ""),
}  # fmt: skip


def _person(request: HttpRequest) -> Person:
    return request.user  # type: ignore[return-value]


def _page_of(rows: Any, request: HttpRequest, size: int = _ROWS_A_PAGE) -> Any:
    return Paginator(rows, size).get_page(request.GET.get("page"))


def _is_filtered(request: HttpRequest) -> bool:
    return any(value for key, value in request.GET.items() if key not in {"page", "sort", "export"})


def _back(request: HttpRequest, otherwise: str) -> HttpResponse:
    wanted = request.POST.get("back", "")
    if url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        return redirect(wanted)
    return redirect(otherwise)


def _tabs() -> list[tuple[str, str, str]]:
    names = (
        ("alarm_list", "Đang mở"), ("alarm_history", "Đã qua"), ("alarm_statistics", "Thống kê"),
        ("rule_list", "Quy tắc"), ("maintenance_list", "Bảo trì"),
    )  # fmt: skip
    return [(name, title, reverse(f"telemetry:{name}")) for name, title in names]


def _narrow(rows: QuerySet[Alarm], wanted: dict[str, str]) -> QuerySet[Alarm]:
    if wanted["q"].strip():
        words = Q(work_id__in=search.matching_ids(search_entries.WORK, wanted["q"]))
        rows = rows.filter(words | Q(text__icontains=wanted["q"]) | Q(rule__name__icontains=wanted["q"]))
    if wanted["work"]:
        rows = rows.filter(work_id=int(wanted["work"]))
    if wanted["priority"]:
        rows = rows.filter(priority=int(wanted["priority"]))
    if wanted.get("state"):
        rows = rows.filter(state=wanted["state"])
    return rows


def dress(alarms: Sequence[Alarm], now: datetime) -> Sequence[Alarm]:
    """Give alarms what a row shows: tones, how long they last, why nobody is called."""
    for alarm in alarms:
        shown: Any = alarm
        shown.tone, shown.icon = TONES[alarm.priority]
        shown.state_tone, shown.state_icon = _STATE_TONES[Alarm.State(alarm.state)]
        shown.lasted = alarm_rules.duration_text(((alarm.ended_at or now) - alarm.began_at).total_seconds())
        shown.is_open = alarm.ended_at is None
        shown.is_waiting = alarm.state in {Alarm.State.ACTIVE_UNACKED, Alarm.State.RETURNED_UNACKED}
    return alarms


# --- lists


@require_safe
def alarm_list(request: HttpRequest) -> HttpResponseBase:
    """Show what is open, urgent first. htmx asks for the list alone, every few seconds."""
    person, now = _person(request), timezone.now()
    form = alarm_forms.AlarmFilter(request.GET, person)
    wanted = form.read()
    folded = Alarm.objects.filter(is_withdrawn=False).exclude(state=Alarm.State.NORMAL)
    folded = folded.select_related("rule__channel").order_by("priority", "-raised_at")
    rows = _narrow(alarm_queries.list_open(person, now=now), wanted)
    if export.format_of(request):
        return export.export(
            request, name="Cảnh báo đang mở", columns=_COLUMNS, rows=dress(list(rows), now), filters=form.describe(),
            simulated=rows.filter(rule__channel__device__is_simulated=True).exists(),
        )  # fmt: skip
    page = _page_of(rows.prefetch_related(Prefetch("consequences", folded, to_attr="folded")), request)
    context = {
        "form": form, "page": page, "alarms": dress(page.object_list, now), "now": now, "tabs": _tabs(),
        "is_filtered": _is_filtered(request), "may_enter": access.may(person, "enter"),
        "may_manage": access.may(person, "manage"), "here": request.get_full_path(),
        "counts": alarm_queries.count_open(person),
    }  # fmt: skip
    part = "#alarms" if request.htmx else ""  # type: ignore[attr-defined]
    return render(request, f"telemetry/alarms/list.html{part}", context)


_COLUMNS: Sequence[export.Column] = [
    ("Mức ưu tiên", lambda row: row.get_priority_display(), "text"),
    ("Trạm", lambda row: row.work.subject.name, "text"),
    ("Kênh", lambda row: row.rule.channel.name, "text"),
    ("Nội dung", lambda row: row.text, "text"),
    ("Bắt đầu", lambda row: row.began_at, "datetime"),
    ("Báo lúc", lambda row: row.raised_at, "datetime"),
    ("Kết thúc", lambda row: row.ended_at, "datetime"),
    ("Tình trạng", lambda row: row.get_state_display(), "text"),
    ("Người nhận", lambda row: row.acked_by.full_name if row.acked_by else "", "text"),
    ("Nhận lúc", lambda row: row.acked_at, "datetime"),
    ("Ghi chú", lambda row: "; ".join(_marks(row)), "text"),
]


def _marks(alarm: Any) -> list[str]:
    marks = (
        ("is_late", "phát hiện từ số liệu đến muộn"), ("is_withdrawn", "đã rút lại"), ("is_flapping", "chập chờn"),
        ("is_in_maintenance", "trạm đang bảo trì"), ("is_shelved", "quy tắc đang tạm gác"),
    )  # fmt: skip
    return [text for name, text in marks if getattr(alarm, name, False)]


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=LOCAL_ZONE)


@require_safe
def alarm_history(request: HttpRequest) -> HttpResponseBase:
    person, now = _person(request), timezone.now()
    form = alarm_forms.HistoryFilter(request.GET, person)
    wanted = form.read()
    days = form.cleaned_data
    to_date = days.get("to_date")
    rows = alarm_queries.history(
        person, from_at=_start_of(days["from_date"]) if days.get("from_date") else None,
        until=_start_of(to_date + timedelta(days=1)) if to_date else None,
        with_withdrawn=bool(days.get("withdrawn")),
    )  # fmt: skip
    rows = _narrow(rows, wanted)
    if export.format_of(request):
        return export.export(
            request, name="Cảnh báo đã qua", columns=_COLUMNS, rows=rows.iterator(1_000), filters=form.describe(),
            simulated=rows.filter(rule__channel__device__is_simulated=True).exists(),
        )  # fmt: skip
    page = _page_of(rows, request)
    context = {
        "form": form, "page": page, "alarms": dress(page.object_list, now), "tabs": _tabs(),
        "is_filtered": _is_filtered(request),
    }  # fmt: skip
    return render(request, "telemetry/alarms/history.html", context)


@require_POST
def alarm_acknowledge(request: HttpRequest) -> HttpResponse:
    """Acknowledge the alarms that are ticked, with what is being done about them."""
    person = _person(request)
    ids = [int(text) for text in request.POST.getlist("alarm") if text.isascii() and text.isdigit() and len(text) < 19]
    found = list(alarm_queries.list_visible(person).filter(pk__in=ids[:_AT_ONCE]))
    try:
        if not found:
            raise AlarmError("Chưa chọn cảnh báo nào để nhận. Đánh dấu ít nhất một dòng.")
        count = alarm_operations.acknowledge(found, by=person, now=timezone.now(), note=request.POST.get("note", ""))
    except AlarmError as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, f"Đã nhận {count} cảnh báo.")
    return _back(request, reverse("telemetry:alarm_list"))


# --- one alarm


def _get_alarm(request: HttpRequest, pk: int) -> Alarm:
    try:
        return alarm_queries.get_alarm(_person(request), pk)
    except Alarm.DoesNotExist:
        raise Http404(f"no alarm {pk} in scope") from None


@require_safe
def alarm_detail(request: HttpRequest, pk: int) -> HttpResponse:
    return _show_alarm(request, _get_alarm(request, pk), alarm_forms.NoteForm())


def _show_alarm(request: HttpRequest, alarm: Alarm, form: alarm_forms.NoteForm) -> HttpResponse:
    person, now = _person(request), timezone.now()
    dress([alarm, *alarm.consequences.all()], now)
    rule, channel = alarm.rule, alarm.rule.channel
    around = dress(
        list(
            alarm_queries.history(
                person, work_id=alarm.work_id, from_at=alarm.began_at - timedelta(hours=1),
                until=alarm.began_at + timedelta(hours=1),
            ).exclude(pk=alarm.pk).exclude(cause_id=alarm.pk)[:8]
        ), now,
    )  # fmt: skip
    before = alarm_queries.history(person, rule_id=rule.pk, from_at=alarm.began_at - timedelta(days=30)).exclude(
        pk=alarm.pk
    )
    may_enter = access.may(person, "enter", alarm.work_id)
    context = {
        "alarm": alarm, "channel": channel, "device": channel.device, "rule_text": rule_words.describe(rule),
        "steps": [_step(one) for one in alarm.steps.all()], "around": around, "marks": _marks(alarm),
        "earlier": dress(list(before[:5]), now), "earlier_count": before.count(), "form": form,
        "may_enter": may_enter, "may_manage": access.may(person, "manage", alarm.work_id),
        "evidence": _evidence(alarm, now), "unit": rule_words.unit_of(channel), "here": request.path,
        "facts": _facts(alarm),
    }  # fmt: skip
    return render(request, "telemetry/alarms/alarm.html", context, status=422 if form.errors else 200)


def _facts(alarm: Any) -> list[tuple[str, Any]]:
    decimals, unit = QUANTITIES[alarm.rule.channel.quantity].decimals, rule_words.unit_of(alarm.rule.channel)
    peak = (
        alarm_rules.shown(alarm.peak, decimals, unit)
        if alarm.peak is not None and alarm.rule.kind in _IN_UNIT
        else None
    )
    facts = [
        ("Bắt đầu", timezone.localtime(alarm.began_at).strftime("%H:%M:%S %d/%m/%Y")),
        ("Báo lúc", timezone.localtime(alarm.raised_at).strftime("%H:%M:%S %d/%m/%Y")),
        ("Kết thúc", timezone.localtime(alarm.ended_at).strftime("%H:%M:%S %d/%m/%Y") if alarm.ended_at else "chưa"),
        ("Kéo dài", alarm.lasted),
    ]
    if peak is not None:
        facts.append(("Trị số nặng nhất", peak))
    if alarm.acked_by:
        facts.append(("Người nhận", f"{alarm.acked_by.full_name}, {timezone.localtime(alarm.acked_at):%H:%M %d/%m/%Y}"))
    if alarm.level:
        facts.append(("Đã gọi đến cấp", str(alarm.level)))
    return facts


_IN_UNIT = {"THRESHOLD", "PATTERN", "STUCK", "NIGHT_FLOW"}


def _step(step: Any) -> dict[str, Any]:
    icon, tone = _STEP_ICONS.get(step.what, ("point", ""))
    text = step.get_what_display() + (f": {step.text}" if step.text else "")
    return {"at": step.at, "text": text, "person": step.by.full_name if step.by else "", "icon": icon, "tone": tone}


def _evidence(alarm: Alarm, now: datetime) -> dict[str, Any]:
    """Return the readings that made the alarm: for a small chart with its limits, and the first of them as a table."""
    channel, parameters = alarm.rule.channel, alarm.rule.parameters
    start, end = alarm_queries.evidence_span(alarm, now)
    from_ms, to_ms = (round(at.timestamp() * 1000) for at in (start, end))
    series = history.read(channel.pk, from_ms, max(to_ms, from_ms + 1), _CHART_POINTS)
    shown: dict[str, Any] = {
        "type": "line", "unit": rule_words.unit_of(channel), "decimals": QUANTITIES[channel.quantity].decimals,
        "category_title": "Thời điểm", "from_zero": False,
        "categories": [_moment(at).strftime("%H:%M %d/%m") for at in series.at.tolist()],
        "series": [{"name": channel.name, "values": series.as_data(4)["value"]}],
        "lines": [
            {"value": parameters[key], "label": label}
            for key, label in (("low", "Ngưỡng dưới"), ("high", "Ngưỡng trên"))
            if parameters.get(key) is not None
        ],
    }  # fmt: skip
    began_ms = round(alarm.began_at.timestamp() * 1000)
    ended_ms = None if alarm.ended_at is None else round(alarm.ended_at.timestamp() * 1000)
    words = live_queries.STATE_WORDS.get(channel.quantity)
    before = history.instants_before(channel.pk, began_ms, 4)
    first_ms = min([began_ms, *before])
    raw = history.read_raw(channel.pk, first_ms, to_ms) if to_ms - first_ms < 7 * store.DAY_MS else None
    rows = [
        {
            "at": _moment(int(at)), "value": float(value),
            "words": words[1 if value >= 0.5 else 0] if words else "",
            "is_inside": int(at) >= began_ms and (ended_ms is None or int(at) < ended_ms),
            "is_after": ended_ms is not None and int(at) >= ended_ms,
            "is_doubtful": bool(quality & store.OUT_OF_RANGE), "is_overruled": bool(quality & store.OVERRULED),
        }
        for at, value, quality in zip(raw.at[:_READINGS_SHOWN], raw.value, raw.quality, strict=False)
    ] if raw is not None else []  # fmt: skip
    return {
        "chart": shown if len(series.at) else None, "rows": rows, "from": start, "to": end,
        "more": max(0, (len(raw) if raw is not None else series.readings) - len(rows)),
        "decimals": QUANTITIES[channel.quantity].decimals,
        "tank": _tank(alarm, began_ms, to_ms if ended_ms is None else ended_ms),
    }  # fmt: skip


def _tank(alarm: Alarm, began_ms: int, to_ms: int) -> list[tuple[str, str]]:
    """Return how the hours that a tank lasts were reckoned: at the beginning, and when least was left."""
    if alarm.rule.kind != AlarmRule.Kind.TANK_HOURS:
        return []
    level, outlets = alarm.rule.channel, list(alarm.rule.others.all())
    rule = alarm_rules.Rule(alarm.rule.kind, level.pk, alarm.rule.parameters)
    back_ms = began_ms - alarm_rules.look_back_ms(rule, float(level.expected_interval_s))
    to_ms = min(to_ms, began_ms + 7 * store.DAY_MS)
    tracks = {one.pk: rule_words.read_track(one, back_ms, to_ms) for one in (level, *outlets)}
    found = alarm_rules.reckon_tank(rule, tracks, began_ms)
    if isinstance(found, str) or not len(found.at):
        return [("Cách tính", found if isinstance(found, str) else "số đo lúc bắt đầu không còn lưu")]
    averaging = alarm_rules.duration_text(alarm_rules.number_of(rule, "averaging_s"))
    source = f"trung bình {averaging} của {', '.join(one.name for one in outlets)}" if outlets else "ước tính đã khai"
    worst = int(np.argmin(np.where(np.isnan(found.hours), np.inf, found.hours)))
    full, capacity = (alarm_rules.shown(size or 0.0, 2) for size in (level.full_at, level.capacity_m3))
    facts = [
        ("Cách tính", f"nước trong bể = mực nước / mức đầy {full} m × dung tích {capacity} m³; giờ = nước / lượng ra"),
        ("Lượng ra", source),
        ("Lúc bắt đầu", _tank_at(found, 0)),
    ]
    return [*facts, ("Lúc còn ít nhất", _tank_at(found, worst))] if worst else facts


def _tank_at(found: alarm_rules.TankReckoning, index: int) -> str:
    shown = alarm_rules.shown
    level, volume_m3, outflow_m3h, hours = (
        float(column[index]) for column in (found.level, found.volume_m3, found.outflow_m3h, found.hours)
    )
    if found.is_empty[index]:
        said = f"0,0 giờ, vì không quá {shown(100 * alarm_rules.EMPTY_SHARE, 0, '%')} dung tích thì coi như cạn"
    elif np.isnan(hours):
        said = "chưa biết số giờ"
    else:
        said = shown(hours, 1, "giờ") if np.isfinite(hours) else "không có nước ra"
    flow = "chưa có số đo lượng ra" if np.isnan(outflow_m3h) else f"lượng ra {shown(outflow_m3h, 1, 'm³/giờ')}"
    when = alarm_rules.moment_text(int(found.at[index]))
    return f"{when}: mực nước {shown(level, 2, 'm')}, trong bể {shown(volume_m3, 1, 'm³')}, {flow} → {said}"


def _moment(at_ms: int) -> datetime:
    return timezone.localtime(datetime.fromtimestamp(at_ms / 1000, tz=timezone.get_default_timezone()))


@_get_or_post
def alarm_note(request: HttpRequest, pk: int) -> HttpResponse:
    """Write under an alarm what was done. A GET shows the alarm with its form: what errors and the key n lead to."""
    alarm = _get_alarm(request, pk)
    access.require(_person(request), "enter", alarm.work_id)
    form = alarm_forms.NoteForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            alarm_operations.add_note(alarm, text=form.cleaned_data["text"], by=_person(request), now=timezone.now())
        except AlarmError as reason:
            form.add_error("text", str(reason))
        else:
            messages.success(request, "Đã ghi việc đã làm.")
            return redirect("telemetry:alarm_detail", alarm.pk)
    return _show_alarm(request, alarm, form)


# --- how good the rules are


@require_safe
def alarm_statistics(request: HttpRequest) -> HttpResponseBase:
    person, now = _person(request), timezone.now()
    form = alarm_forms.StatisticsFilter(request.GET or None)
    given = form.cleaned_data if form.is_valid() else {}
    days = given.get("days") or 30
    from_at = now - timedelta(days=days)
    operators = float(given["operators"]) if given.get("operators") else None
    is_by_roster = operators is None
    if operators is None:
        operators = alarm_calls.operators_on_duty(alarm_queries.list_work_ids(person), from_at, now)
        is_by_roster = bool(operators)
    found = alarm_queries.statistics(person, from_at=from_at, until=now, now=now, operators=operators or 1.0)
    duty = f"{vietnamese.format_number(found.operators, 1)} người trực cùng lúc, "
    duty += "theo lịch trực" if is_by_roster else "đã nhập" if given.get("operators") else "vì chưa có lịch trực"
    if export.format_of(request):
        lists = [("Báo nhiều nhất", found.top), ("Chập chờn", found.chattering)]
        rows = [(title, one) for title, listed in lists for one in listed]
        columns: Sequence[export.Column] = [
            ("Nhóm", lambda row: row[0], "text"), ("Quy tắc", lambda row: row[1].rule.name, "text"),
            ("Trạm", lambda row: row[1].rule.channel.device.work.subject.name, "text"),
            ("Loại", lambda row: row[1].rule.get_kind_display(), "text"),
            ("Số lần báo", lambda row: row[1].alarms, "number"),
            ("Tỷ lệ (%)", lambda row: round(row[1].share_pct, 1), "number"),
        ]  # fmt: skip
        about = [
            ("Khoảng", f"{days} ngày qua"), ("Số cảnh báo", str(found.alarms)),
            ("Cảnh báo mỗi giờ trực", f"{found.rate_per_h:.2f}"), ("Tính với", duty),
        ]  # fmt: skip
        return export.export(request, name="Thống kê cảnh báo", columns=columns, rows=rows, filters=about)
    context = {
        "form": form, "found": found, "days": days, "duty": duty, "tabs": _tabs(),
        "standing": dress(found.standing, now),
        "is_flood": found.busiest_10min > 10,
        "acked": alarm_rules.duration_text(found.acked_median_s) if found.acked_median_s is not None else None,
    }  # fmt: skip
    return render(request, "telemetry/alarms/statistics.html", context)


# --- rules


@require_safe
def rule_list(request: HttpRequest) -> HttpResponseBase:
    person, now = _person(request), timezone.now()
    form = alarm_forms.RuleFilter(request.GET, person)
    wanted = form.read()
    shelved = Shelving.objects.filter(rule=OuterRef("pk"), from_at__lte=now, until__gt=now, ended_at__isnull=True)
    rows = alarm_queries.list_rules(person).annotate(is_shelved=Exists(shelved))
    rows = _narrow_rules(rows, wanted).order_by("channel__device__work__subject__name", "channel__name", "name", "pk")
    if export.format_of(request):
        columns: Sequence[export.Column] = [
            ("Trạm", lambda row: row.channel.device.work.subject.name, "text"),
            ("Kênh", lambda row: row.channel.name, "text"), ("Quy tắc", lambda row: row.name, "text"),
            ("Loại", lambda row: row.get_kind_display(), "text"),
            ("Mức ưu tiên", lambda row: row.get_priority_display(), "text"),
            ("Báo khi", rule_words.describe, "text"),
            ("Tình trạng", lambda row: rule_state(row)[0], "text"), ("Việc cần làm", lambda row: row.advice, "text"),
        ]  # fmt: skip
        described = form.describe()
        return export.export(
            request, name="Quy tắc cảnh báo", columns=columns, rows=rows.iterator(500), filters=described
        )
    page = _page_of(rows, request)
    recent = Alarm.objects.filter(
        rule__in=[rule.pk for rule in page.object_list], is_withdrawn=False, raised_at__gt=now - timedelta(days=30)
    )
    counts = dict(recent.order_by().values_list("rule_id").annotate(Count("pk")))
    listed = [
        {"rule": rule, "text": rule_words.describe(rule), "state": rule_state(rule), "count": counts.get(rule.pk, 0),
         "tone": TONES[rule.priority]}
        for rule in page.object_list
    ]  # fmt: skip
    context = {
        "form": form, "page": page, "rules": listed, "tabs": _tabs(), "is_filtered": _is_filtered(request),
        "may_manage": access.may(person, "manage"),
    }  # fmt: skip
    return render(request, "telemetry/alarms/rules.html", context)


def _narrow_rules(rows: Any, wanted: dict[str, str]) -> Any:
    if wanted["q"].strip():
        words = Q(channel__device__work_id__in=search.matching_ids(search_entries.WORK, wanted["q"]))
        rows = rows.filter(words | Q(name__icontains=wanted["q"]) | Q(channel__device__code__icontains=wanted["q"]))
    for name, path in (("work", "channel__device__work_id"), ("priority", "priority"), ("kind", "kind")):
        if wanted[name]:
            rows = rows.filter(**{path: wanted[name]})
    match wanted["state"]:
        case "on":
            rows = rows.filter(is_enabled=True, out_of_service_reason="", is_shelved=False)
        case "shelved":
            rows = rows.filter(is_shelved=True)
        case "out":
            rows = rows.exclude(out_of_service_reason="")
        case "off":
            rows = rows.filter(is_enabled=False)
        case "blind":
            rows = rows.exclude(Q(progress__isnull=True) | Q(progress__note=""))
    return rows


def rule_state(rule: Any) -> tuple[str, str, str]:
    """Return (text, tone, icon) of a rule with `is_shelved`."""
    if rule.out_of_service_reason:
        return "Ngừng dùng", "warning", "tool"
    if not rule.is_enabled:
        return "Đã tắt", "neutral", "ban"
    if rule.is_shelved:
        return "Tạm gác", "warning", "bookmark"
    if getattr(rule, "progress", None) is not None and rule.progress.note:
        return "Chưa đủ số liệu", "neutral", "hourglass"
    return "Đang dùng", "good", "circle-check"


def _get_rule(request: HttpRequest, pk: int) -> AlarmRule:
    return get_object_or_404(alarm_queries.list_rules(_person(request)), pk=pk)


def _require_manage(request: HttpRequest, rule: AlarmRule) -> None:
    access.require(_person(request), "manage", rule.channel.device.work_id)


@require_safe
def rule_detail(request: HttpRequest, pk: int) -> HttpResponse:
    person, now = _person(request), timezone.now()
    rule = _get_rule(request, pk)
    shelving = (
        rule.shelvings.filter(from_at__lte=now, until__gt=now, ended_at__isnull=True).select_related("by").first()
    )
    shown: Any = rule
    shown.is_shelved = shelving is not None
    rows = alarm_queries.history(person, rule_id=rule.pk, with_withdrawn=True)
    context = {
        "rule": rule, "text": rule_words.describe(rule), "state": rule_state(rule), "shelving": shelving,
        "tone": TONES[rule.priority], "alarms": dress(list(rows[:20]), now), "count": rows.count(),
        "may_manage": access.may(person, "manage", rule.channel.device.work_id), "channel": rule.channel,
        "others": rule.others.select_related("device"), "progress": getattr(rule, "progress", None),
    }  # fmt: skip
    return render(request, "telemetry/alarms/rule.html", context)


@_get_or_post
def rule_add(request: HttpRequest) -> HttpResponse:
    """Ask for channel and kind; then for the rule itself."""
    person = _person(request)
    if not access.may(person, "manage"):
        raise PermissionDenied("Chỉ người quản lý trạm đặt được quy tắc cảnh báo.")
    start = alarm_forms.RuleStart(request.GET if "kind" in request.GET else None, person=person)
    if not (start.is_bound and start.is_valid()):
        if not start.is_bound and request.GET.get("channel", "").isdigit():
            start.initial["channel"] = request.GET["channel"]
        context = {"form": start, "tabs": _tabs()}
        return render(request, "telemetry/alarms/rule_start.html", context, status=422 if start.errors else 200)
    return _save_rule(request, start.cleaned_data["channel"], start.cleaned_data["kind"], None)


@_get_or_post
def rule_edit(request: HttpRequest, pk: int) -> HttpResponse:
    rule = _get_rule(request, pk)
    _require_manage(request, rule)
    return _save_rule(request, rule.channel, rule.kind, rule)


def _save_rule(request: HttpRequest, channel: Channel, kind: str, rule: AlarmRule | None) -> HttpResponse:
    person, now = _person(request), timezone.now()
    data = request.POST if request.method == "POST" else None
    form = alarm_forms.RuleForm(data, person=person, channel=channel, kind=kind, rule=rule)
    preview, is_stale = None, False
    if form.is_bound and form.is_valid():
        said = form.said()
        try:
            if "preview" in request.POST:
                names = ("parameters", "others", "on_delay_s", "off_delay_s")
                preview = rule_words.preview(channel, kind, now=now, **{name: said[name] for name in names})
            else:
                saved = alarm_operations.put_rule(
                    channel=channel, kind=kind, key=rule.key if rule else "", now=now, by=person,
                    version=form.cleaned_data["version"] if rule else None, **said,
                )  # fmt: skip
                messages.success(request, f"Đã lưu quy tắc «{saved.name}».")
                return redirect("telemetry:rule_detail", saved.pk)
        except (AlarmError, alarm_rules.BadParameters) as reason:
            form.add_error(None, str(reason))
            is_stale = isinstance(reason, ChangedMeanwhile)
    context = {
        "form": form, "rule": rule, "channel": channel, "kind": AlarmRule.Kind(kind), "preview": preview,
        "is_stale": is_stale, "title": "Sửa quy tắc" if rule else "Thêm quy tắc",
        "said": rule_words.describe_parameters(kind, form.said()["parameters"], channel) if preview else "",
    }  # fmt: skip
    status = 409 if is_stale else 422 if form.is_bound and form.errors else 200
    return render(request, "telemetry/alarms/rule_form.html", context, status=status)


def _ask(request: HttpRequest, rule: AlarmRule, form: Any, title: str, button: str, lead: str) -> HttpResponse:
    context = {"form": form, "rule": rule, "title": title, "button": button, "lead": lead}
    return render(request, "telemetry/alarms/ask.html", context, status=422 if form.is_bound and form.errors else 200)


@_get_or_post
def rule_shelve(request: HttpRequest, pk: int) -> HttpResponse:
    rule, now = _get_rule(request, pk), timezone.now()
    _require_manage(request, rule)
    form = alarm_forms.ShelveForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            made = alarm_operations.shelve(
                rule, until=form.until(now), reason=form.cleaned_data["reason"], by=_person(request), now=now
            )
        except AlarmError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã tạm gác đến {timezone.localtime(made.until):%H:%M %d/%m/%Y}.")
            return redirect("telemetry:rule_detail", rule.pk)
    lead = "Quy tắc vẫn được xét và ghi lại, nhưng không gọi ai cho đến khi hết hạn."
    return _ask(request, rule, form, "Tạm gác quy tắc", "Tạm gác", lead)


@require_POST
def rule_unshelve(request: HttpRequest, pk: int) -> HttpResponse:
    return _act(request, pk, alarm_operations.unshelve, "Đã thôi tạm gác.")


@_get_or_post
def rule_out_of_service(request: HttpRequest, pk: int) -> HttpResponse:
    rule = _get_rule(request, pk)
    _require_manage(request, rule)
    form = alarm_forms.ReasonForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            alarm_operations.take_out_of_service(
                rule, reason=form.cleaned_data["reason"], by=_person(request), now=timezone.now()
            )
        except AlarmError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã ngừng dùng quy tắc.")
            return redirect("telemetry:rule_detail", rule.pk)
    lead = "Quy tắc không được xét nữa cho đến khi có người dùng lại; cảnh báo đang mở của nó kết thúc."
    return _ask(request, rule, form, "Ngừng dùng quy tắc", "Ngừng dùng", lead)


@require_POST
def rule_in_service(request: HttpRequest, pk: int) -> HttpResponse:
    return _act(request, pk, alarm_operations.return_to_service, "Quy tắc được dùng lại từ bây giờ.")


def _act(request: HttpRequest, pk: int, act: Any, done: str) -> HttpResponse:
    rule = _get_rule(request, pk)
    _require_manage(request, rule)
    try:
        act(rule, by=_person(request), now=timezone.now())
    except AlarmError as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, done)
    return redirect("telemetry:rule_detail", rule.pk)


# --- maintenance


def _list_maintenances(person: Person, action: str = "view") -> QuerySet[Maintenance]:
    rows = Maintenance.objects.select_related("work__subject", "device", "by")
    if access.sees_everything(person, action):
        return rows
    return rows.filter(work_id__in=access.visible_subject_ids(person, action))


@require_safe
def maintenance_list(request: HttpRequest) -> HttpResponse:
    person, now = _person(request), timezone.now()
    page = _page_of(_list_maintenances(person), request)
    managed = set(
        _list_maintenances(person, "manage").filter(pk__in=[row.pk for row in page]).values_list("pk", flat=True)
    ) if access.may(person, "manage") else set()  # fmt: skip
    rows = [
        {"row": row, "may_end": row.pk in managed and row.until > now,
         "state": ("Đang bảo trì", "warning", "tool") if row.from_at <= now < row.until
         else ("Sắp tới", "info", "calendar") if row.from_at > now else ("Đã xong", "neutral", "check")}
        for row in page
    ]  # fmt: skip
    context = {"page": page, "rows": rows, "tabs": _tabs(), "may_manage": access.may(person, "manage")}
    return render(request, "telemetry/alarms/maintenances.html", context)


@_get_or_post
def maintenance_add(request: HttpRequest) -> HttpResponse:
    person = _person(request)
    if not access.may(person, "manage"):
        raise PermissionDenied("Chỉ người quản lý trạm lên được lịch bảo trì.")
    initial = {name: request.GET[name] for name in ("work", "device") if request.GET.get(name, "").isdigit()}
    form = alarm_forms.MaintenanceForm(
        request.POST if request.method == "POST" else None, person=person, initial=initial
    )
    if form.is_bound and form.is_valid():
        said = form.cleaned_data
        try:
            alarm_operations.plan_maintenance(
                said["work"], from_at=said["from_at"], until=said["until"], reason=said["reason"],
                device=said["device"], by=person, now=timezone.now(),
            )  # fmt: skip
        except AlarmError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã lên lịch bảo trì. Cảnh báo của trạm trong khoảng này không gọi ai.")
            return redirect("telemetry:maintenance_list")
    context = {"form": form}
    return render(request, "telemetry/alarms/maintenance_form.html", context, status=422 if form.errors else 200)


@require_POST
def maintenance_end(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(_list_maintenances(_person(request)), pk=pk)
    access.require(_person(request), "manage", row.work_id)
    try:
        alarm_operations.end_maintenance(row, by=_person(request), now=timezone.now())
    except AlarmError as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, "Đã kết thúc đợt bảo trì.")
    return redirect("telemetry:maintenance_list")
