"""On-line indices of each station against their limits: for those in charge, and the published part for everybody."""

import csv
import io
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from machnuoc.core import export, folding
from machnuoc.indicators.queries import list_places_of
from machnuoc.telemetry import live_queries as queries
from machnuoc.telemetry import store
from machnuoc.telemetry.daily_figures import SUPPLY_HOURS
from machnuoc.telemetry.models import Channel, MeasureFact
from machnuoc.telemetry.quantities import QUANTITIES

STATIONS_A_PAGE = 10
PUBLIC_FOR_S = 60  # how long the published figures are kept


@dataclass
class Row:
    """One index at one station. share_24h, share_30d: of judged readings within the limit, percent, or None.

    data_30d: of the readings that thirty days of the channel's interval make, how many came, percent.
    """

    figure: queries.Figure
    share_24h: float | None = None
    share_30d: float | None = None
    data_24h: float | None = None
    data_30d: float = 0.0

    @property
    def standard(self) -> str:
        limit = self.figure.limit
        return "" if limit is None else limit.standard

    @property
    def is_unverified(self) -> bool:
        limit = self.figure.limit
        return limit is not None and limit.confidence != "VERIFIED"

    @property
    def work(self) -> Any:
        return self.figure.channel.device.work


@dataclass
class Group:
    """The indices of one station."""

    work: Any
    place: str
    hours: MeasureFact | None
    rows: list[Row]

    @property
    def beyond(self) -> int:
        return sum(row.figure.is_beyond for row in self.rows)

    @property
    def is_simulated(self) -> bool:
        return any(row.figure.channel.device.is_simulated for row in self.rows)


def _rows(channels: Any, now_ms: int) -> list[Row]:
    order = {key: number for number, key in enumerate(queries.ONLINE)}
    rows = [Row(one) for one in queries.dress(channels.filter(quantity__in=queries.ONLINE), now_ms, with_marks=False)]
    return sorted(
        rows, key=lambda row: (folding.sort_key(row.work.subject.name), row.work.pk, order[row.figure.channel.quantity])
    )


def _add_shares(rows: list[Row], now_ms: int) -> list[Row]:
    """Give the rows what share of the last day and of the last 30 days was within the limit. Two questions."""
    ids = [row.figure.channel.pk for row in rows]
    hour = now_ms // store.HOUR_MS * store.HOUR_MS + store.HOUR_MS
    day, month = (queries.shares(ids, hour - days * store.DAY_MS, hour) for days in (1, 30))
    nothing = queries.Share(None, None)
    for row in rows:
        today = day.get(row.figure.channel.pk, nothing)
        row.share_24h, row.data_24h = today.within_pct, today.data_pct
        whole = month.get(row.figure.channel.pk, nothing)
        due = 30 * store.DAY_MS / 1_000 / row.figure.channel.expected_interval_s
        row.share_30d, row.data_30d = whole.within_pct, min(100.0, 100 * whole.readings / due)
    return rows


def _hours(works: set[int], now: datetime) -> dict[int, MeasureFact]:
    """Return the newest hours of supply of each work, of the last month."""
    facts = MeasureFact.objects.filter(
        work_id__in=works, key=SUPPLY_HOURS, day__gt=timezone.localdate(now) - timedelta(days=31)
    )
    found: dict[int, MeasureFact] = {}
    for fact in facts.order_by("-day"):
        found.setdefault(fact.work_id, fact)
    return found


@require_safe
def online(request: HttpRequest) -> HttpResponseBase:
    """Every station in scope: pressure, chlorine, turbidity, pH, with the limit that holds and its document."""
    person: Any = request.user
    now_ms = time.time_ns() // 1_000_000
    rows = _rows(queries.list_channels(person), now_ms)
    places = list_places_of(list({row.work.pk for row in rows}), "COMMUNE")
    names = sorted(set(places.values()), key=folding.sort_key)
    place = request.GET.get("place", "")
    if place in names:
        rows = [row for row in rows if places.get(row.work.pk) == place]
    quantity = request.GET.get("quantity", "")
    if quantity in queries.ONLINE:
        rows = [row for row in rows if row.figure.channel.quantity == quantity]
    beyond = request.GET.get("beyond") == "1"
    if beyond:
        rows = [row for row in rows if row.figure.is_beyond]
    is_simulated = any(row.figure.channel.device.is_simulated for row in rows)
    if export.format_of(request):
        return export.export(
            request,
            name="Chỉ số trực tuyến",
            columns=[
                ("Công trình", lambda row: row.work.subject.name, "text"),
                ("Xã, phường", lambda row: places.get(row.work.pk, ""), "text"),
                ("Chỉ số", lambda row: row.figure.quantity.name, "text"),
                ("Điểm đo", lambda row: row.figure.channel.get_point_display(), "text"),
                ("Trị số", lambda row: row.figure.value, "number"),
                ("Đơn vị", lambda row: row.figure.unit, "text"),
                ("Đo lúc", lambda row: row.figure.at, "datetime"),
                ("Giới hạn", lambda row: row.figure.limit_text, "text"),
                ("Văn bản", lambda row: _standard(row), "text"),
                ("Trong giới hạn 24 giờ (%)", lambda row: row.share_24h, "number"),
                ("Trong giới hạn 30 ngày (%)", lambda row: row.share_30d, "number"),
                ("Số đo có của 30 ngày (%)", lambda row: round(row.data_30d, 1), "number"),
                ("Mô phỏng", lambda row: "mô phỏng" if row.figure.channel.device.is_simulated else "", "text"),
            ],
            rows=_add_shares(rows, now_ms),
            simulated=is_simulated,
        )
    page = Paginator([list(its) for _, its in groupby(rows, key=lambda row: row.work.pk)], STATIONS_A_PAGE).get_page(
        request.GET.get("page")
    )
    _add_shares([row for its in page for row in its], now_ms)
    hours = _hours({its[0].work.pk for its in page}, timezone.now())
    context = {
        "page": page, "groups": [
            Group(its[0].work, places.get(its[0].work.pk, ""), hours.get(its[0].work.pk), its) for its in page
        ],
        "quantity": quantity, "beyond": beyond, "place": place, "places": names, "is_simulated": is_simulated,
        "is_filtered": bool(beyond or place or quantity),
        "quantities": [(key, QUANTITIES[key].name) for key in queries.ONLINE],
        "rows": len(rows), "beyond_count": sum(row.figure.is_beyond for row in rows),
    }  # fmt: skip
    return render(request, "telemetry/live/online.html", context)


def _standard(row: Row) -> str:
    return f"{row.standard} (chưa đối chiếu văn bản)" if row.is_unverified else row.standard


def _published(now_ms: int) -> dict[str, Any]:
    channels = Channel.objects.filter(is_active=True, is_public=True, device__removed_at__isnull=True).select_related(
        "device__work__subject"
    )
    return {
        "made_at": datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="seconds"),
        "figures": [
            {
                "station": row.work.subject.name, "quantity": row.figure.quantity.name,
                "point": row.figure.channel.get_point_display(), "value": row.figure.value, "text": row.figure.text,
                "unit": row.figure.unit,
                "at": None if row.figure.at is None else row.figure.at.isoformat(timespec="seconds"),
                "is_stale": row.figure.is_stale, "is_beyond": row.figure.is_beyond,
                "limit": row.figure.limit_text, "standard": _standard(row),
                "within_24h_pct": None if row.share_24h is None else round(row.share_24h, 1),
                "within_30d_pct": None if row.share_30d is None else round(row.share_30d, 1),
                "data_30d_pct": round(row.data_30d, 1),
                "is_simulated": row.figure.channel.device.is_simulated,
            }
            for row in _add_shares(_rows(channels, now_ms), now_ms)
        ],
    }  # fmt: skip


@login_not_required
@require_safe
def public(request: HttpRequest) -> HttpResponse:
    """What is published, without signing in; as a page, as JSON and as CSV."""
    now_ms = time.time_ns() // 1_000_000
    data = cache.get("telemetry.public")
    if data is None:
        data = _published(now_ms)
        cache.set("telemetry.public", data, PUBLIC_FOR_S)
    wanted = request.GET.get("format", "")
    answer: HttpResponse
    if wanted == "json":
        answer = JsonResponse(data, json_dumps_params={"ensure_ascii": False})
    elif wanted == "csv":
        answer = HttpResponse(_as_csv(data["figures"]), content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = 'attachment; filename="chat-luong-nuoc.csv"'
    else:
        query = request.GET.get("q", "")[:100]
        wanted_name = folding.fold(query)
        figures = [
            {**one, "at": None if one["at"] is None else datetime.fromisoformat(one["at"])}
            for one in data["figures"]
            if wanted_name in folding.fold(one["station"])
        ]
        stations = [(name, list(its)) for name, its in groupby(figures, key=lambda one: one["station"])]
        groups = [(name, its, all(one["is_simulated"] for one in its)) for name, its in stations]
        context = {
            "page": Paginator(groups, STATIONS_A_PAGE).get_page(request.GET.get("page")), "q": query,
            "has_any": bool(data["figures"]), "made_at": datetime.fromisoformat(data["made_at"]),
            "is_simulated": any(one["is_simulated"] for one in data["figures"]),
        }  # fmt: skip
        answer = render(request, "telemetry/live/public.html", context)
    if not request.user.is_authenticated:
        answer["Cache-Control"] = f"public, max-age={PUBLIC_FOR_S}"
    if wanted in {"json", "csv"}:
        answer["Access-Control-Allow-Origin"] = "*"  # open data, the same for everybody
    return answer


def _as_csv(figures: list[dict[str, Any]]) -> str:
    columns = (
        "station", "quantity", "point", "value", "unit", "at", "limit", "standard", "within_24h_pct", "within_30d_pct",
        "data_30d_pct", "is_simulated",
    )  # fmt: skip
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    for one in figures:
        writer.writerow([
            export.neutralise(one[key]) if isinstance(one[key], str) else one[key] for key in columns
        ])  # fmt: skip
    return "\ufeff" + file.getvalue()
