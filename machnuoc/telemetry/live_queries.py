"""What the live screens show: stations with their key figures, channels with what they are held against."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet

from machnuoc.core import folding, units, vietnamese
from machnuoc.core.models import Person
from machnuoc.core.periods import LOCAL_ZONE
from machnuoc.indicators.queries import list_places_of
from machnuoc.places import access
from machnuoc.telemetry import alarm_queries, device_queries, quality_limits, store
from machnuoc.telemetry.alarm_rules import EMPTY_SHARE
from machnuoc.telemetry.models import Alarm, AlarmRule, Channel, QualityLimit
from machnuoc.telemetry.quantities import QUANTITIES, ChannelKind, Quantity
from machnuoc.works.models import Work

STALE_INTERVALS = 3  # a figure is old after so many expected intervals
LEAST_STALE_MS = 120_000
AHEAD_MS = 60_000  # a reading from so much later than now tells that the clock of its device is wrong
SPARK_HOURS = 24
TONES = {
    "urgent": ("danger", "Khẩn cấp"), "attention": ("warning", "Có cảnh báo"),
    "partial": ("warning", "Có số cũ"), "stale": ("neutral", "Mất số liệu"),
    "none": ("neutral", "Chưa có số liệu"), "good": ("good", "Bình thường"),
}  # fmt: skip
STATES = ("urgent", "attention", "partial", "stale", "none", "good")
OPERATING = "mức vận hành của trạm"
STATE_WORDS = {"pump": ("dừng", "chạy"), "power": ("mất điện", "có điện")}
# What a tile shows: (title, quantity, points in order of preference).
_KEY_FIGURES = (
    ("Lưu lượng ra", "flow", ("OUTLET", "NETWORK", "STATION", "TREATMENT", "SOURCE")),
    ("Áp lực điểm bất lợi", "pressure", ("CRITICAL",)),
    ("Clo dư", "chlorine", ("OUTLET", "TREATMENT", "TANK", "STATION", "NETWORK", "CRITICAL")),
    ("Mực bể", "level", ("TANK", "STATION")),
)
ONLINE = ("pressure", "chlorine", "turbidity", "ph")


@dataclass(frozen=True)
class Band:
    """Between what the station runs by its own rule. name: whence the edges are; priority: of the rule's alarm."""

    low: float | None
    high: float | None
    name: str
    priority: int

    def holds(self, value: float) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass
class Figure:
    """A channel with its latest reading and what it is held against."""

    channel: Channel
    title: str
    at_ms: int | None = None
    value: float | None = None
    quality: int = 0
    limit: QualityLimit | None = None
    rule_bands: tuple[Band, ...] = ()  # most urgent first
    spark: str = ""
    spark_last: str = ""
    stale_after_ms: int = 0
    is_stale: bool = False
    is_drifting: bool = False  # the clock of its device is off, or it tells of the future

    @property
    def quantity(self) -> Quantity:
        return QUANTITIES[self.channel.quantity]

    @property
    def unit(self) -> str:
        return units.label(self.quantity.unit)

    @property
    def words(self) -> tuple[str, str] | None:
        return STATE_WORDS.get(self.channel.quantity)

    @property
    def text(self) -> str:
        if self.value is None:
            return "—"
        if self.words is not None:
            return self.words[1 if self.value >= 0.5 else 0]
        return vietnamese.format_number(self.value, self.quantity.decimals)

    @property
    def at(self) -> datetime | None:
        return None if self.at_ms is None else datetime.fromtimestamp(self.at_ms / 1000, UTC)

    @property
    def is_doubtful(self) -> bool:
        return bool(self.quality & store.OUT_OF_RANGE)

    @property
    def is_beyond(self) -> bool:
        """Whether the latest reading is outside the limit that holds."""
        if self.value is None or self.is_doubtful:
            return False
        if self.channel.role == Channel.Role.CONTINUITY and self.channel.minimum is not None:
            return self.value < self.channel.minimum
        low, high = (None, None) if self.limit is None else (self.limit.low, self.limit.high)
        return (low is not None and self.value < low) or (high is not None and self.value > high)

    @property
    def bands(self) -> tuple[Band, ...]:
        """Return what it runs by where no limit is known."""
        return () if self.limit_text else self.rule_bands

    @property
    def off_band(self) -> Band | None:
        """Return the most urgent band that the latest reading is out of."""
        if self.value is None or self.is_doubtful:
            return None
        return next((band for band in self.bands if not band.holds(self.value)), None)

    @property
    def tone(self) -> str:
        """Return the colour of its value: that of the alarm it is worth, empty where there is nothing to see."""
        if self.is_beyond:
            return "danger"
        if self.off_band is not None:
            return alarm_queries.TONES[self.off_band.priority][0]
        if self.value is None or self.is_doubtful:
            return ""
        if self.channel.quantity == "power" and self.value < 0.5:
            return "warning"
        return "danger" if self.fill_pct is not None and self.fill_pct <= 100 * EMPTY_SHARE else ""

    @property
    def band_text(self) -> str:
        return "; ".join(self._span(band.low, band.high) for band in self.bands)

    @property
    def band_name(self) -> str:
        return "; ".join(dict.fromkeys(band.name for band in self.bands))

    @property
    def limit_text(self) -> str:
        """Return what it is held against, empty where nobody knows."""
        if self.channel.role == Channel.Role.CONTINUITY and self.channel.minimum is not None:
            return f"tối thiểu {self._number(self.channel.minimum)} {self.unit}".strip()
        if self.limit is None:
            return ""
        return self._span(self.limit.low, self.limit.high)

    def _span(self, low: float | None, high: float | None) -> str:
        if low is not None and high is not None:
            return f"{self._number(low)} đến {self._number(high)} {self.unit}".strip()
        if low is not None:
            return f"không nhỏ hơn {self._number(low)} {self.unit}".strip()
        return f"không lớn hơn {self._number(high or 0.0)} {self.unit}".strip()

    def _number(self, value: float) -> str:
        return vietnamese.format_number(value, self.quantity.decimals)

    @property
    def fill_pct(self) -> int | None:
        """How full the tank is, 0 to 100, where its full level is known."""
        if self.value is None or self.channel.quantity != "level" or not self.channel.full_at:
            return None
        return round(max(0.0, min(1.0, self.value / self.channel.full_at)) * 100)


@dataclass
class Station:
    """One work with devices, as the wall shows it."""

    work: Work
    place: str
    figures: list[Figure] = field(default_factory=list)  # of the tile
    every: list[Figure] = field(default_factory=list)
    alarms: int = 0  # as the list of alarms counts them
    folded: int = 0  # that burn too and follow one of those
    returned: int = 0  # of `alarms`, over but nobody has taken note
    worst: Alarm | None = None  # of those that burn
    newest_ms: int | None = None
    is_stale: bool = False
    is_drifting: bool = False
    is_simulated: bool = False
    stale_after_ms: int = 0

    @property
    def key(self) -> str:
        return self.work.subject.key

    @property
    def name(self) -> str:
        return self.work.subject.name

    @property
    def state(self) -> str:
        if self.worst is not None and self.worst.priority == AlarmRule.Priority.URGENT:
            return "urgent"
        if self.worst is not None or self.returned:
            return "attention"
        if self.newest_ms is None:
            return "none"
        if self.is_stale:
            return "stale"
        return "partial" if any(figure.is_stale for figure in self.figures) else "good"

    @property
    def key_cells(self) -> list[tuple[str, "Figure | None"]]:
        """Return each key figure by its title, None where the station has none."""
        by_title = {figure.title: figure for figure in self.figures}
        return [(title, by_title.get(title)) for title in list_key_titles()]

    @property
    def tone(self) -> str:
        return TONES[self.state][0]

    @property
    def label(self) -> str:
        return TONES[self.state][1]

    @property
    def shown_from(self) -> datetime | None:
        """Return of when the oldest figure of the tile is; of a tile without figures the newest reading."""
        return min((figure.at for figure in self.figures if figure.at is not None), default=self._newest_at)

    @property
    def shown_to(self) -> datetime | None:
        return max((figure.at for figure in self.figures if figure.at is not None), default=self._newest_at)

    @property
    def _newest_at(self) -> datetime | None:
        return None if self.newest_ms is None else datetime.fromtimestamp(self.newest_ms / 1000, UTC)


def list_channels(person: Person) -> QuerySet[Channel]:
    """Return the channels in use of works in the person's scope, with device and work."""
    rows = Channel.objects.filter(is_active=True, device__removed_at__isnull=True).select_related(
        "device__work__subject"
    )
    if not access.sees_everything(person):
        rows = rows.filter(device__work_id__in=access.visible_subject_ids(person))
    return rows.order_by("device__work__subject__name", "device_id", "pk")


def dress(
    channels: Iterable[Channel], now_ms: int, *, with_limits: bool = True, with_marks: bool = True
) -> list[Figure]:
    """Return the channels with their latest readings and limits; with_marks: what they run by and whose clock is off.

    Two questions to the store, three to the database.
    """
    rows = list(channels)
    bands = _list_bands(rows) if with_marks else {}
    drifts = _read_drifts() if with_marks and rows else {}
    latest = store.latest([row.pk for row in rows])
    limits = {}
    if with_limits and any(row.role == Channel.Role.QUALITY for row in rows):
        day = datetime.fromtimestamp(now_ms / 1000, LOCAL_ZONE).date()
        limits = quality_limits.list_limits({row.device.work_id for row in rows}, on_date=day)
    found = []
    for row in rows:
        figure = Figure(row, row.name, stale_after_ms=_stale_after(row))
        if row.role == Channel.Role.QUALITY:
            figure.limit = limits.get((row.device.work_id, row.quantity))
        if row.pk in latest:
            figure.at_ms, figure.value, figure.quality = latest[row.pk]
        figure.is_stale = figure.at_ms is None or now_ms - figure.at_ms > figure.stale_after_ms
        figure.rule_bands = bands.get(row.pk, ())
        figure.is_drifting = with_marks and (
            device_queries.is_off(drifts.get(row.device_id, 0), row.expected_interval_s)
            or (figure.at_ms is not None and figure.at_ms - now_ms > AHEAD_MS)
        )
        found.append(figure)
    return found


def _list_bands(channels: Sequence[Channel]) -> dict[int, tuple[Band, ...]]:
    """Return what rules in use hold the readings between, most urgent first."""
    rules = AlarmRule.objects.filter(
        channel__in=[row.pk for row in channels], kind=AlarmRule.Kind.THRESHOLD, is_enabled=True,
        out_of_service_reason="",
    ).order_by("priority", "pk")  # fmt: skip
    found: dict[int, tuple[Band, ...]] = {}
    for channel, parameters, priority in rules.values_list("channel_id", "parameters", "priority"):
        band = Band(parameters.get("low"), parameters.get("high"), parameters.get("basis") or OPERATING, priority)
        found[channel] = (*found.get(channel, ()), band)
    return found


def _read_drifts() -> dict[int, int]:
    """Return how far behind the clock of each device is, in ms; ahead is negative."""
    return dict(store.query("SELECT device, drift_ms FROM telemetry_device_state"))


def _stale_after(channel: Channel) -> int:
    return max(LEAST_STALE_MS, STALE_INTERVALS * 1000 * channel.expected_interval_s)


def list_stations(person: Person, now_ms: int, *, with_sparks: bool = True) -> list[Station]:
    """Return every station in the person's scope that has devices, worst first, then by name."""
    figures = dress(list_channels(person), now_ms, with_limits=False)
    found: dict[int, Station] = {}
    places = list_places_of([figure.channel.device.work_id for figure in figures], "COMMUNE")
    for figure in figures:
        work = figure.channel.device.work
        station = found.setdefault(work.pk, Station(work, places.get(work.pk, "")))
        station.every.append(figure)
        station.is_simulated |= figure.channel.device.is_simulated
    for station in found.values():
        told = [figure for figure in station.every if figure.at_ms is not None]
        if told:
            newest = max(told, key=lambda figure: figure.at_ms or 0)
            station.newest_ms, station.is_stale = newest.at_ms, newest.is_stale
        station.stale_after_ms = min(figure.stale_after_ms for figure in station.every)
        station.figures = _key_figures(station.every)
        station.is_drifting = any(figure.is_drifting for figure in station.every)
    for row in alarm_queries.list_standing(person):
        alarm: Any = row
        if alarm.work_id not in found or alarm.is_shelved or alarm.is_in_maintenance:
            continue
        station, is_over = found[alarm.work_id], alarm.ended_at is not None
        if not alarm.is_explained:
            station.alarms += 1
            station.returned += is_over
        elif not is_over:
            station.folded += 1
        if not is_over and (station.worst is None or _weight(alarm) < _weight(station.worst)):
            station.worst = alarm
    if with_sparks:
        add_sparks([figure for station in found.values() for figure in station.figures], now_ms)
    return sorted(
        found.values(),
        key=lambda one: (STATES.index(one.state), one.worst.priority if one.worst else 9, folding.sort_key(one.name)),
    )


def _weight(alarm: Any) -> tuple[int, bool]:
    return alarm.priority, alarm.is_explained


def list_key_titles() -> list[str]:
    """Return the titles of the key figures, in their order."""
    return [title for title, _, _ in _KEY_FIGURES]


def _key_figures(figures: Sequence[Figure]) -> list[Figure]:
    found = []
    for title, quantity, points in _KEY_FIGURES:
        fitting = [one for one in figures if one.channel.quantity == quantity and one.channel.point in points]
        if fitting:
            best = min(fitting, key=lambda one: points.index(one.channel.point))
            best.title = title
            found.append(best)
    return found


def add_sparks(figures: Sequence[Figure], now_ms: int) -> None:
    """Draw the hourly means of the last day into each figure, as the points of a line of 100 × 28."""
    wanted = {one.channel.pk: one for one in figures if one.quantity.kind == ChannelKind.INSTANT}
    if not wanted:
        return
    from_ms = (now_ms // store.HOUR_MS - SPARK_HOURS + 1) * store.HOUR_MS
    marks = ",".join("?" * len(wanted))
    rows = store.query(
        "SELECT channel, hour, total, readings - out_of_range FROM telemetry_rollup_hour "  # noqa: S608 - only marks
        f"WHERE channel IN ({marks}) AND hour >= ? AND readings > out_of_range ORDER BY channel, hour",
        [*wanted, from_ms],
    )
    by_channel: dict[int, list[tuple[int, float]]] = {}
    for channel, hour, total, count in rows:
        by_channel.setdefault(channel, []).append(((hour - from_ms) // store.HOUR_MS, total / count))
    for channel, points in by_channel.items():
        wanted[channel].spark = draw_spark(points)


def draw_spark(points: Sequence[tuple[int, float]]) -> str:
    """Return an SVG path through (hour, value), broken where an hour is missing.

    >>> draw_spark([(0, 1.0), (1, 3.0), (3, 2.0)])
    'M0 26L4.3 2M13 14'
    """
    low, high = min(value for _, value in points), max(value for _, value in points)
    span = high - low
    parts, before = [], None
    for hour, value in points:
        y = 26 - 24 * (value - low) / span if span > 0 else 14
        letter = "L" if before == hour - 1 else "M"
        parts.append(f"{letter}{round(hour * 100 / (SPARK_HOURS - 1), 1):g} {round(y, 1):g}")
        before = hour
    return "".join(parts)


@dataclass(frozen=True)
class Wall:
    """What is left of the stations after the filter, and how many there are of each state."""

    stations: list[Station]
    counts: dict[str, int]
    total: int
    places: list[str]
    is_simulated: bool


def filter_wall(stations: Sequence[Station], *, query: str = "", state: str = "", place: str = "") -> Wall:
    """Return the stations that fit; the counts by state are of those that fit but for the state."""
    wanted = folding.fold(query)
    fitting = [
        one
        for one in stations
        if (not wanted or wanted in folding.fold(f"{one.name} {one.place}")) and (not place or one.place == place)
    ]
    counts = {key: sum(one.state == key for one in fitting) for key in STATES}
    return Wall(
        [one for one in fitting if not state or one.state == state],
        counts, len(stations), sorted({one.place for one in stations if one.place}, key=folding.sort_key),
        any(one.is_simulated for one in stations),
    )  # fmt: skip


def snapshot(person: Person, now_ms: int) -> dict[str, Any]:
    """Return everything that stands, as a stream begins with it."""
    rows = list(list_channels(person).values_list("pk", flat=True))
    latest = store.latest(rows)
    return {"at": now_ms, "rows": [[channel, *reading] for channel, reading in latest.items()]}


@dataclass(frozen=True)
class Share:
    """How much of a span was within its limit: hours counted by readings. within_pct None: nothing was judged.

    readings: that came in the span.
    """

    within_pct: float | None
    data_pct: float | None
    readings: int = 0


def shares(channels: Collection[int], from_ms: int, to_ms: int) -> dict[int, Share]:
    """Return for each channel the share of judged readings within limits and of expected readings that came."""
    if not channels:
        return {}
    marks = ",".join("?" * len(channels))
    rows = store.query(
        "SELECT channel, SUM(CASE WHEN within IS NULL THEN 0 ELSE readings - out_of_range END), SUM(within), "  # noqa: S608
        f"SUM(readings), SUM(expected) FROM telemetry_rollup_hour "
        f"WHERE channel IN ({marks}) AND hour >= ? AND hour < ? GROUP BY channel",
        [*channels, from_ms, to_ms],
    )
    return {
        channel: Share(
            100 * within / judged if judged and within is not None else None,
            min(100.0, 100 * readings / expected) if expected else None,
            readings,
        )
        for channel, judged, within, readings, expected in rows
    }
