"""The wall of stations, one station, one channel, and the stream that keeps them fresh."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from machnuoc.core import audit, export, units, vietnamese
from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.telemetry import alarm_queries, channel_terms, counter_steps, history, live, quality_limits, store
from machnuoc.telemetry import live_queries as queries
from machnuoc.telemetry.models import Channel, ChannelNote
from machnuoc.telemetry.quantities import QUANTITIES
from machnuoc.works.models import Work

MOST_POINTS = 2_000
MOST_COMPARED = 4
_STEPS_EXPORTED = 1_000
SPANS = {
    "3h": ("3 giờ", 3), "24h": ("24 giờ", 24), "7d": ("7 ngày", 168), "30d": ("30 ngày", 720), "1y": ("1 năm", 8_784),
    "5y": ("5 năm", 43_848),
}  # fmt: skip


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@login_not_required
@require_safe
def stream(request: HttpRequest) -> HttpResponse:
    """Say what stands. The front keeps the stream open after that; any other server ends it and is asked again.

    A program asks here, not a person: who is not signed in is told so (401) instead of being sent to sign in.
    """
    person: Any = request.user
    if not person.is_authenticated:
        text = "Chưa đăng nhập, hoặc phiên làm việc đã hết. Đăng nhập rồi mở lại trang."
        return HttpResponse(text, status=401, content_type="text/plain; charset=utf-8")
    now_ms = _now_ms()
    first = "retry: 4000\n\n" + live.format_event("toan-canh", queries.snapshot(person, now_ms), now_ms)
    answer = HttpResponse(first, content_type="text/event-stream; charset=utf-8")
    answer["Cache-Control"] = "no-store"
    answer["X-Accel-Buffering"] = "no"
    if request.method == "GET":
        answer.listener = live.Listener(  # type: ignore[attr-defined]
            person.pk, request.session.session_key or "", live.scope_of(person)
        )
    return answer


# --- the wall -------------------------------------------------------------------------------------------------------


@require_safe
def wall(request: HttpRequest) -> HttpResponse:
    person: Any = request.user
    state = request.GET.get("state", "")
    shown = queries.filter_wall(
        queries.list_stations(person, _now_ms()),
        query=request.GET.get("q", "")[:100],
        state=state if state in queries.STATES else "",
        place=request.GET.get("place", ""),
    )
    context = {
        "wall": shown, "now": timezone.now(), "state": state, "q": request.GET.get("q", "")[:100],
        "place": request.GET.get("place", ""), "is_tv": request.GET.get("tv") == "1",
        "states": [(key, queries.TONES[key][1], queries.TONES[key][0], shown.counts[key]) for key in queries.STATES],
        "may_manage": access.may(person, "manage"), "key_titles": queries.list_key_titles(),
    }  # fmt: skip
    return render(request, "telemetry/live/wall.html", context)


# --- one station ----------------------------------------------------------------------------------------------------

_POINTS = (("SOURCE", "Nguồn nước"), ("TREATMENT", "Xử lý"), ("TANK", "Bể chứa"), ("OUTLET", "Mạng lưới"))
_DRAWN_AT = {"STATION": "TREATMENT", "NETWORK": "OUTLET", "CRITICAL": "OUTLET"}
_LINES = 6


@require_safe
def station(request: HttpRequest, key: str) -> HttpResponse:
    person: Any = request.user
    now_ms = _now_ms()
    figures = queries.dress(queries.list_channels(person).filter(device__work__subject__key=key), now_ms)
    if figures:
        work = figures[0].channel.device.work
    else:
        works = Work.objects.select_related("subject").filter(subject__key=key)
        if not access.sees_everything(person):
            works = works.filter(pk__in=access.visible_subject_ids(person))
        found = works.first()
        if found is None:
            raise Http404("Không có công trình này trong phạm vi của bạn.")
        work = found
    queries.add_sparks(figures, now_ms)
    told = [one.at_ms for one in figures if one.at_ms is not None]
    context = {
        "work": work, "subject": work.subject, "figures": figures, "stages": _stages(figures),
        "flowing": _flowing(figures),
        "alarms": list(alarm_queries.list_open(person, work_id=work.pk)[:20]),
        "is_simulated": any(one.channel.device.is_simulated for one in figures),
        "newest_at": datetime.fromtimestamp(max(told) / 1000, UTC) if told else None,
        "may_manage": access.may(person, "manage", work.pk),
    }  # fmt: skip
    return render(request, "telemetry/live/station.html", context)


def _stages(figures: list[queries.Figure]) -> list[dict[str, Any]]:
    """Return the four stages of the drawing with the channels measured there."""
    found = []
    for number, (point, title) in enumerate(_POINTS):
        its = [one for one in figures if _DRAWN_AT.get(one.channel.point, one.channel.point) == point]
        its = [one for one in its if one.channel.quantity not in {"battery", "energy", "volume"}]
        tank = next((one for one in its if one.fill_pct is not None), None)
        fill = None if tank is None else tank.fill_pct
        written = [one for one in its if one.channel.quantity != "pump"]
        values = [one for one in its if one.channel.quantity == "level"]
        found.append({
            "is_empty": any(one.value is not None and one.tone == "danger" for one in values),
            "point": point, "title": title, "x": 20 + number * 245, "figures": written[:_LINES], "fill": fill,
            "fill_y": 150 - (fill or 0) * 0.9, "fill_height": (fill or 0) * 0.9,
            "pump": next((one for one in its if one.channel.quantity == "pump"), None),
        })  # fmt: skip
    return found


_INTO_TANK, _OUT_OF_TANK = "M185 105H265M430 105H510", "M675 105H755"  # pipes of the drawing


def _flowing(figures: list[queries.Figure]) -> str:
    """Return the pipes in which the drawing lets water run: not where every pump stands, nor where nothing flows out.

    Empty where nothing is known of now.
    """
    fresh = [one for one in figures if not one.is_stale and one.value is not None]
    pumps = [one.value for one in fresh if one.channel.quantity == "pump"]
    flows = [one.value for one in fresh if one.channel.quantity == "flow" and one.channel.point == "OUTLET"]
    into = _INTO_TANK if fresh and (not pumps or any(pumps)) else ""
    out = _OUT_OF_TANK if fresh and (not flows or any(value and value > 0 for value in flows)) else ""
    return into + out


# --- one channel ----------------------------------------------------------------------------------------------------


def get_channel(person: Person, pk: int) -> Channel:
    """Return a channel of a work in the person's scope, in use or not; 404 otherwise."""
    rows = Channel.objects.select_related("device__work__subject", "feature")
    if not access.sees_everything(person):
        rows = rows.filter(device__work_id__in=access.visible_subject_ids(person))
    found = rows.filter(pk=pk).first()
    if found is None:
        raise Http404("Không có kênh đo này trong phạm vi của bạn.")
    return found


def _read_span(request: HttpRequest, now_ms: int) -> tuple[str, int, int]:
    """Return (key of the span or "", from, to), ms UTC. Raises BadRequest."""
    given_from, given_to = request.GET.get("from", ""), request.GET.get("to", "")
    if given_from and given_to:
        try:
            from_ms, to_ms = (_parse(text) for text in (given_from, given_to))
        except ValueError:
            raise BadRequest("Viết thời điểm như 2026-11-22T07:00.") from None
        if not 0 <= from_ms < to_ms:
            raise BadRequest("Thời điểm bắt đầu phải trước thời điểm kết thúc.")
        return "", from_ms, min(to_ms, from_ms + 20 * 366 * store.DAY_MS)
    key = request.GET.get("span", "24h")
    if key not in SPANS:
        key = "24h"
    return key, now_ms - SPANS[key][1] * store.HOUR_MS, now_ms


def _parse(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return live.store_ms(moment if moment.tzinfo else timezone.make_aware(moment))


def _compared(request: HttpRequest, person: Person, first: Channel) -> list[Channel]:
    wanted = [text for text in request.GET.getlist("with") if text.isdigit() and len(text) < 10][: MOST_COMPARED - 1]
    others = {row.pk: row for row in queries.list_channels(person).filter(pk__in=wanted)} if wanted else {}
    return [
        first,
        *(others[int(text)] for text in dict.fromkeys(wanted) if int(text) in others and int(text) != first.pk),
    ]


@require_safe
def channel(request: HttpRequest, pk: int) -> HttpResponseBase:
    """One channel through time, beside up to three others."""
    person: Any = request.user
    now_ms = _now_ms()
    shown = get_channel(person, pk)
    span, from_ms, to_ms = _read_span(request, now_ms)
    compared = _compared(request, person, shown)
    if export.format_of(request):
        return _export(request, compared, from_ms, to_ms)
    figure = queries.dress([shown], now_ms)[0]
    steps = counter_steps.list_steps(shown, from_ms, to_ms)
    main = counter_steps.break_line(_read_series(shown, compared, from_ms, to_ms), steps.rows)
    from_at, to_at = (datetime.fromtimestamp(at / 1000, UTC) for at in (from_ms, to_ms))
    siblings = queries.list_channels(person).filter(device__work_id=shown.device.work_id)
    context = {
        "channel": shown, "work": shown.device.work, "subject": shown.device.work.subject, "figure": figure,
        "series": main, "rows": _table(main, steps.rows), "steps": steps, "is_counter": counter_steps.is_counter(shown),
        "may_manage": access.may(person, "manage", shown.device.work_id),
        "span": span, "from_at": from_at, "to_at": to_at,
        "spans": [(key, title, f"?span={key}{_with(compared)}") for key, (title, _) in SPANS.items()],
        "compared": compared[1:], "data_url": _data_url(shown, compared, from_ms, to_ms),
        "others": [one for one in siblings if one.pk not in {row.pk for row in compared}],
        "notes": list(shown.notes.filter(at__gte=from_at, at__lt=to_at).select_related("made_by")[:50]),
        "alarms": list(
            alarm_queries.history(person, from_at=from_at, until=to_at, channel_id=shown.pk)[:20]
        ),
        "may_note": access.may(person, "enter", shown.device.work_id), "is_live": bool(span) and span in {"3h", "24h"},
        "gap_count": len(main.gaps), "drawn": name_source(main),
    }  # fmt: skip
    return render(request, "telemetry/live/channel.html", context)


def _with(compared: list[Channel]) -> str:
    return "".join(f"&with={row.pk}" for row in compared[1:])


def _data_url(shown: Channel, compared: list[Channel], from_ms: int, to_ms: int) -> str:
    span = "&".join(
        f"{name}={datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
        for name, at in (("from", from_ms), ("to", to_ms))
    )
    return f"{reverse('telemetry:channel_data', args=[shown.pk])}?{span}{_with(compared)}"


def _read_series(row: Channel, compared: list[Channel], from_ms: int, to_ms: int) -> history.Series:
    """Return what is drawn of a channel; the table beside the chart is of the same."""
    points = MOST_POINTS - 200 if len(compared) == 1 else 900
    return _finished(history.read(row.pk, from_ms, to_ms, points=points, terms=channel_terms.without_limits(row)))


def _finished(series: history.Series) -> history.Series:
    """Return a series of days or more without a last bucket that still runs: half a day beside whole ones looks low."""
    if series.bucket_ms < store.DAY_MS or len(series.at) < 2:
        return series
    local_ms = int(series.at[-1]) + 7 * store.HOUR_MS  # Việt Nam has no summer time
    if (local_ms // series.bucket_ms + 1) * series.bucket_ms - 7 * store.HOUR_MS <= series.to_ms:
        return series
    volume = None if series.volume is None else series.volume[:-1]
    return replace(
        series, at=series.at[:-1], value=series.value[:-1], low=series.low[:-1], high=series.high[:-1], volume=volume
    )


def name_source(series: history.Series) -> str:
    """Say what one point of a series is: a reading, or a summary of so long a step."""
    if not series.bucket_ms:
        return "từng số đo"
    sizes = ((store.DAY_MS, "ngày"), (store.HOUR_MS, "giờ"), (60_000, "phút"), (1_000, "giây"))
    unit_ms, name = next((size for size in sizes if series.bucket_ms >= size[0]), sizes[-1])
    count = round(series.bucket_ms / unit_ms, 1)
    step = name if count == 1 else f"{vietnamese.format_number(count, 0 if count.is_integer() else 1)} {name}"
    return f"số {'tổng hợp' if series.is_rollup else 'đo gộp'} mỗi {step}"


def _table(
    series: history.Series, steps: Sequence[counter_steps.CounterStep]
) -> list[tuple[datetime, float, float, float, list[counter_steps.CounterStep]]]:
    """Return the newest rows of the table beside the chart; with what happened to a counter in each."""
    known = np.flatnonzero(~np.isnan(series.value))[:-49:-1]
    columns = (series.at[known], series.value[known], series.low[known], series.high[known])
    width = max(series.bucket_ms, 1)
    return [
        (
            datetime.fromtimestamp(at / 1000, UTC), value, low, high,
            [step for step in steps if at <= step.at_ms < at + width],
        )
        for at, value, low, high in zip(*(column.tolist() for column in columns), strict=True)
    ]  # fmt: skip


@require_safe
def channel_data(request: HttpRequest, pk: int) -> HttpResponse:
    """The chart's data: at most MOST_POINTS points a channel, with limits, alarms and notes of the first."""
    person: Any = request.user
    shown = get_channel(person, pk)
    _, from_ms, to_ms = _read_span(request, _now_ms())
    compared = _compared(request, person, shown)
    steps = {row.pk: counter_steps.list_steps(row, from_ms, to_ms).rows for row in compared}
    read = [
        (row, counter_steps.break_line(_read_series(row, compared, from_ms, to_ms), steps[row.pk])) for row in compared
    ]
    from_at, to_at = (datetime.fromtimestamp(at / 1000, UTC) for at in (from_ms, to_ms))
    day = timezone.localdate(to_at)
    limit = (
        quality_limits.get_limit(shown.device.work_id, shown.quantity, on_date=day) if shown.role == "QUALITY" else None
    )
    doubt = "" if limit is None or limit.confidence == "VERIFIED" else " (chưa đối chiếu văn bản)"
    data = {
        "from": from_ms, "to": to_ms,
        "series": [
            {
                "name": row.name if row.device.work_id == shown.device.work_id
                else f"{row.name}, {row.device.work.subject.name}",
                "unit": units.label(QUANTITIES[row.quantity].unit), "decimals": QUANTITIES[row.quantity].decimals,
                "is_step": QUANTITIES[row.quantity].kind == "STATE",
                "drawn": name_source(series), **series.as_data(),
            }
            for row, series in read
        ],
        "limits": [] if limit is None else [
            {"value": value, "name": limit.standard + doubt}
            for value in (limit.low, limit.high) if value is not None
        ],
        "bands": [
            {"value": value, "name": band.name}
            for band in queries.dress([shown], to_ms)[0].bands for value in (band.low, band.high) if value is not None
        ],
        "minimum": shown.minimum if shown.role == "CONTINUITY" else None,
        "alarms": [
            {"from": live.store_ms(row.began_at), "to": live.store_ms(row.ended_at) if row.ended_at else None,
             "text": row.text, "priority": row.priority}
            for row in alarm_queries.history(person, from_at=from_at, until=to_at, channel_id=shown.pk)[:100]
        ],
        "notes": [
            {"at": live.store_ms(at), "text": text}
            for at, text in shown.notes.filter(at__gte=from_at, at__lt=to_at).values_list("at", "text")[:100]
        ],
        "steps": [{"at": step.at_ms, "text": step.label} for step in steps[shown.pk]],
    }  # fmt: skip
    body = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    answer: HttpResponse
    if request.headers.get("If-None-Match") == etag:
        answer = HttpResponseNotModified()
    else:
        answer = HttpResponse(body, content_type="application/json; charset=utf-8")
    answer["ETag"] = etag
    answer["Cache-Control"] = "private, no-cache"
    return answer


def _export(request: HttpRequest, channels: list[Channel], from_ms: int, to_ms: int) -> HttpResponseBase:
    by_id = {row.pk: row for row in channels}
    has_counter = any(counter_steps.is_counter(row) for row in channels)
    steps = {
        (row.pk, step.at_ms): step.sentence
        for row in channels for step in counter_steps.list_steps(row, from_ms, to_ms, most=_STEPS_EXPORTED).rows
    }  # fmt: skip

    told: list[export.Column] = []
    if has_counter:
        told.append(("Bước nhảy của đồng hồ", lambda row: steps.get((row[0].pk, row[1]), ""), "text"))

    def rows() -> Iterator[tuple[Channel, int, float, int]]:
        for one, at, value, quality in history.export_rows(list(by_id), from_ms, to_ms):
            yield by_id[one], at, value, quality

    return export.export(
        request,
        name=f"Số đo {channels[0].name}",
        columns=[
            ("Công trình", lambda row: row[0].device.work.subject.name, "text"),
            ("Kênh", lambda row: row[0].name, "text"),
            ("Thời điểm", lambda row: datetime.fromtimestamp(row[1] / 1000, UTC), "datetime"),
            ("Giá trị", lambda row: row[2], "number"),
            ("Đơn vị", lambda row: units.label(QUANTITIES[row[0].quantity].unit), "text"),
            ("Ghi chú", lambda row: "ngoài khoảng tin được" if row[3] & store.OUT_OF_RANGE else "", "text"),
            *told,
        ],
        rows=rows(),
        source_note="Số đo của thiết bị, đổi về đơn vị lưu và đã hiệu chuẩn.",
        simulated=any(row.device.is_simulated for row in channels),
    )


@require_POST
def add_note(request: HttpRequest, pk: int) -> HttpResponse:
    """Write a remark on the chart, at the instant given or now."""
    person: Any = request.user
    shown = get_channel(person, pk)
    access.require(person, "enter", shown.device.work_id)
    text = " ".join(request.POST.get("text", "").split())
    now = timezone.now()
    try:
        at = datetime.fromtimestamp(_parse(request.POST["at"]) / 1000, UTC) if request.POST.get("at") else now
    except (ValueError, OverflowError, OSError):
        at = None
    if not text or len(text) > 500:
        messages.error(request, "Ghi nội dung ghi chú, nhiều nhất 500 ký tự.")
    elif at is None or at > now + timedelta(days=1) or at.year < 2000:
        messages.error(request, "Thời điểm của ghi chú chưa đúng. Chọn một thời điểm đã qua.")
    else:
        ChannelNote.objects.create(channel=shown, at=at, text=text, made_by=person, made_at=now)
        audit.record("telemetry.note.made", actor=person, target=shown.device.work, channel=shown.name)
        messages.success(request, "Đã ghi chú lên biểu đồ.")
    return redirect("telemetry:channel", pk=shown.pk)


audit.describe("telemetry.note.made", "ghi chú lên biểu đồ {channel} của {target}")
