"""When a rule's condition held: readings in, episodes out. Nothing else is known here, so nothing else can matter.

Each kind of rule turns readings into a *signal*: instants at which the condition is on (1), off (-1) or as before (0),
with how bad it is. One machine turns every signal into episodes, with the delays of the rule. A signal looks back a
bounded time, so the engine may start anywhere after `start_of` says and gets what a look at all readings would give:
order of arrival, batches, a crash and late data make no difference (tests hold this against random histories).

An episode begins at the first reading that made it, once the condition lasted `on_delay_s` up to a *reading*, and ends
at the first reading of a calm that lasted `off_delay_s`. Silence between readings neither confirms nor ends it.

Readings marked as outside what their channel can measure count for silence alone. Times are ms since 1970, UTC.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from machnuoc.core import vietnamese

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Signs = NDArray[np.int8]
Bools = NDArray[np.bool_]

SECOND_MS = 1_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WEEK_H = 168
LOCAL_OFFSET_MS = 7 * HOUR_MS
NEVER = -(2**62)
_LOCAL = timezone(timedelta(hours=7))

LEAST_WEEKS = 3  # of the same hour, for a pattern to be one
MAD_TO_DEVIATION = 1.4826  # of a normal distribution
GRACE_INTERVALS = 3.0  # a channel without a grace of its own is silent after so many missed readings
GRACE_LEAST_S = 600
MAX_LOOK_BACK_S = 400 * 86_400


class BadParameters(ValueError):
    """A rule's parameters cannot be meant; the text says which and why."""


@dataclass(frozen=True, eq=False, slots=True)
class Track:
    """Readings of one channel by time, shapes (n,), and what the words about them need.

    value: stored unit. is_believable: inside what the channel can measure. interval_s: between readings, as expected.
    capacity_m3, full_at: of a tank whose level this is, where known. earlier: its last reading before an instant, for
    words about what lies before the track; None where there is none.
    """

    at: Ints
    value: Floats
    is_believable: Bools
    interval_s: float = 300.0
    label: str = ""
    unit: str = ""
    decimals: int = 1
    capacity_m3: float | None = None
    full_at: float | None = None
    earlier: Callable[[int], int | None] | None = None

    def believable(self) -> "Track":
        """Return the track without readings that cannot be true."""
        if self.is_believable.all():
            return self
        keep = self.is_believable
        return replace(self, at=self.at[keep], value=self.value[keep], is_believable=keep[keep])


@dataclass(frozen=True)
class Rule:
    """What is judged. kind: of AlarmRule.Kind. channel: whose readings are its clock. since_ms: earlier is ignored."""

    kind: str
    channel: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    on_delay_s: int = 0
    off_delay_s: int = 0
    since_ms: int = NEVER

    @property
    def on_delay_ms(self) -> int:
        return 0 if self.kind in _OWN_DELAYS else self.on_delay_s * SECOND_MS

    @property
    def off_delay_ms(self) -> int:
        return 0 if self.kind == "NIGHT_FLOW" else self.off_delay_s * SECOND_MS


_OWN_DELAYS = {"SILENCE", "NIGHT_FLOW"}  # silence adds its delay to the grace; a night is one instant


@dataclass(frozen=True)
class Episode:
    """One time that the condition held. ended_ms None: it still does. peak: the worst value, at peak_ms.

    confirmed_ms: the instant at which the delay was over, so at which the alarm could first be known.
    """

    began_ms: int
    ended_ms: int | None
    peak: float
    peak_ms: int
    severity: float
    confirmed_ms: int
    text: str


@dataclass(frozen=True)
class Verdict:
    """episodes by time. next_check_ms: when the verdict may change without a new reading. note: why nothing is said."""

    episodes: tuple[Episode, ...]
    next_check_ms: int | None = None
    note: str = ""


@dataclass(frozen=True)
class State:
    """What the machine knows where it starts: whether an episode runs, since when, and its worst so far."""

    began_ms: int
    peak: float
    peak_ms: int
    severity: float
    confirmed_ms: int


@dataclass(frozen=True, eq=False)
class _Signal:
    at: Ints
    sign: Signs
    severity: Floats
    value: Floats
    say: Callable[[float, int], str]  # (worst value, its instant) → text
    next_check_ms: int | None = None
    note: str = ""


# --- parameters -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parameter:
    """One field of a rule's form. default None: may be left out."""

    key: str
    label: str
    default: float | None = None
    least: float | None = None
    most: float | None = None
    is_required: bool = False
    help: str = ""


PARAMETERS: Mapping[str, tuple[Parameter, ...]] = {
    "THRESHOLD": (
        Parameter("low", "Ngưỡng dưới"),
        Parameter("high", "Ngưỡng trên"),
        Parameter("deadband", "Vùng trễ", 0.0, least=0.0, help="phải vào trong ngưỡng chừng này mới coi là đã hết"),
    ),
    "RATE": (
        Parameter("change", "Mức thay đổi", least=0.0, is_required=True),
        Parameter("window_s", "Trong (giây)", 900.0, least=1.0, most=7 * 86_400.0),
        Parameter("direction", "Chiều (1: tăng, -1: giảm, 0: cả hai)", 0.0, least=-1.0, most=1.0),
    ),
    "PATTERN": (
        Parameter("k", "Số lần độ lệch thường ngày", 4.0, least=1.0, most=50.0),
        Parameter("weeks", "Số tuần trước để so", 6.0, least=float(LEAST_WEEKS), most=26.0),
        Parameter("least_difference", "Chênh ít nhất", 0.0, least=0.0),
        Parameter("least_pct", "Chênh ít nhất (%)", 20.0, least=0.0, most=1_000.0),
    ),
    "SILENCE": (
        Parameter(
            "grace_s", "Cho phép chậm (giây)", least=1.0, most=60 * 86_400.0,
            help="để trống: ba chu kỳ gửi, ít nhất 10 phút",
        ),
    ),
    "STUCK": (
        Parameter("hold_s", "Đứng yên trong (giây)", 14_400.0, least=60.0, most=30 * 86_400.0),
        Parameter("tolerance", "Dao động không quá", 0.0, least=0.0),
        Parameter("except_value", "Trừ khi đứng ở", help="ví dụ 0: lưu lượng bằng 0 khi bơm nghỉ"),
    ),
    "NIGHT_FLOW": (
        Parameter("ratio", "Gấp mấy lần các đêm trước", 1.3, least=1.0, most=100.0),
        Parameter("least_increase_m3h", "Tăng ít nhất (m³/giờ)", 0.0, least=0.0),
        Parameter("nights", "Số đêm trước để so", 14.0, least=3.0, most=60.0),
        Parameter("least_nights", "Cần ít nhất số đêm", 5.0, least=3.0, most=60.0),
    ),
    "LOW_CHLORINE": (
        Parameter("low", "Thấp hơn", least=0.0, is_required=True),
        Parameter("window_s", "Trong khoảng (giây)", 21_600.0, least=600.0, most=7 * 86_400.0),
        Parameter("share_pct", "Chiếm từ (% thời gian)", 50.0, least=1.0, most=100.0),
    ),
    "TANK_HOURS": (
        Parameter("hours", "Còn đủ cấp ít hơn (giờ)", 4.0, least=0.0, most=240.0),
        Parameter("outflow_m3h", "Lượng ra khi không có kênh đo (m³/giờ)", least=0.0),
        Parameter("averaging_s", "Lấy trung bình lượng ra trong (giây)", 3_600.0, least=60.0, most=86_400.0),
    ),
    "PUMP_CYCLING": (
        Parameter("starts", "Số lần khởi động từ", 6.0, least=2.0, most=600.0, is_required=False),
        Parameter("window_s", "Trong (giây)", 3_600.0, least=60.0, most=86_400.0),
    ),
    "POWER_LOSS": (),
    "COMBINATION": (Parameter("valid_s", "Số liệu còn giá trị (giây)", least=1.0, most=30 * 86_400.0),),
}  # fmt: skip
_NOT_NUMBERS = {"basis", "conditions", "together", "limit", "is_unverified"}


def check_parameters(kind: str, parameters: Mapping[str, Any], *, channels: Iterable[int] = ()) -> dict[str, Any]:
    """Return the parameters as they are stored. Raises BadParameters.

    channels: ids that a COMBINATION may name: conditions = [{"channel": id, "above" | "below": number}, …] held
    together = "all" or "any". `basis`: the document that a threshold comes from, shown with it.
    """
    if kind not in PARAMETERS:
        raise BadParameters(f"Không có loại quy tắc «{kind}».")
    known = {one.key: one for one in PARAMETERS[kind]}
    unknown = set(parameters) - set(known) - _NOT_NUMBERS
    if unknown:
        raise BadParameters(f"Quy tắc loại này không có tham số {', '.join(sorted(unknown))}.")
    clean: dict[str, Any] = {key: parameters[key] for key in _NOT_NUMBERS if parameters.get(key) not in (None, "")}
    for key, one in known.items():
        given = parameters.get(key)
        if given is None or given == "":
            if one.is_required:
                raise BadParameters(f"Thiếu «{one.label}».")
            continue
        try:
            number = float(given)
        except (TypeError, ValueError):
            raise BadParameters(f"«{one.label}»: cần một số.") from None
        if not np.isfinite(number):
            raise BadParameters(f"«{one.label}»: cần một số hữu hạn.")
        if (one.least is not None and number < one.least) or (one.most is not None and number > one.most):
            raise BadParameters(f"«{one.label}»: phải từ {_plain(one.least)} đến {_plain(one.most)}.")
        clean[key] = number
    low, high = clean.get("low"), clean.get("high")
    if kind == "THRESHOLD":
        if low is None and high is None:
            raise BadParameters("Quy tắc vượt ngưỡng cần ngưỡng dưới, ngưỡng trên, hoặc cả hai.")
        if low is not None and high is not None and low + 2 * clean.get("deadband", 0.0) >= high:
            raise BadParameters(
                "Ngưỡng dưới cộng hai lần vùng trễ phải nhỏ hơn ngưỡng trên, nếu không sẽ không bao giờ hết."
            )
    if kind == "COMBINATION":
        _check_conditions(clean, set(channels))
    return clean


def _check_conditions(clean: dict[str, Any], channels: set[int]) -> None:
    conditions = clean.get("conditions")
    if not isinstance(conditions, list) or len(conditions) < 2:
        raise BadParameters("Quy tắc kết hợp cần ít nhất hai điều kiện.")
    if len(conditions) > 12:
        raise BadParameters("Quy tắc kết hợp có nhiều nhất 12 điều kiện.")
    clean["together"] = clean.get("together", "all")
    if clean["together"] not in {"all", "any"}:
        raise BadParameters("Các điều kiện phải đúng «all» (tất cả) hoặc «any» (một trong số đó).")
    for one in conditions:
        if not isinstance(one, dict) or not isinstance(one.get("channel"), int):
            raise BadParameters("Mỗi điều kiện phải chỉ ra một kênh.")
        if channels and one["channel"] not in channels:
            raise BadParameters(f"Điều kiện dùng kênh {one['channel']}, không nằm trong các kênh của quy tắc.")
        sides = [key for key in ("above", "below") if isinstance(one.get(key), int | float)]
        if len(sides) != 1 or not np.isfinite(one[sides[0]]):
            raise BadParameters("Mỗi điều kiện có đúng một vế: lớn hơn (above) hoặc nhỏ hơn (below) một số.")


def _plain(number: float | None) -> str:
    return "…" if number is None else vietnamese.format_number(number)


def number_of(rule: Rule, key: str) -> float:
    """Return a parameter of a rule, its default where nothing is given, 0 where it has none."""
    given = rule.parameters.get(key)
    if given is not None:
        return float(given)
    default = next(one.default for one in PARAMETERS[rule.kind] if one.key == key)
    return 0.0 if default is None else default


# --- what has to be read --------------------------------------------------------------------------------------------


def grace_ms(rule: Rule, interval_s: float) -> int:
    """Return how long a channel may say nothing, the rule's delay included."""
    given = rule.parameters.get("grace_s")
    grace_s = float(given) if given else max(GRACE_INTERVALS * interval_s, GRACE_LEAST_S)
    return int((grace_s + rule.on_delay_s) * SECOND_MS)


def look_back_ms(rule: Rule, interval_s: float) -> int:
    """Return how far before an instant its signal may look, apart from the windows of PATTERN and NIGHT_FLOW."""
    match rule.kind:
        case "SILENCE":
            return grace_ms(rule, interval_s)
        case "RATE" | "LOW_CHLORINE":
            return int(number_of(rule, "window_s") * SECOND_MS)
        case "STUCK":
            return int(number_of(rule, "hold_s") * SECOND_MS)
        case "PUMP_CYCLING":
            return int(2 * number_of(rule, "window_s") * SECOND_MS)
        case "TANK_HOURS":
            return int(number_of(rule, "averaging_s") * SECOND_MS)
        case "COMBINATION":
            return valid_ms(rule, interval_s)
    return 0


def valid_ms(rule: Rule, interval_s: float) -> int:
    """Return how long a reading stands for its channel in a combination."""
    given = rule.parameters.get("valid_s")
    return int((float(given) if given else max(GRACE_INTERVALS * interval_s, GRACE_LEAST_S)) * SECOND_MS)


def list_windows(rule: Rule, interval_s: float, from_ms: int, until_ms: int) -> list[tuple[int, int]]:
    """Return the half-open spans that must be read to judge [from_ms, until_ms], by time, apart from each other."""
    first = from_ms - look_back_ms(rule, interval_s)
    if rule.kind == "PATTERN":
        start, end = _floor(from_ms, HOUR_MS), _floor(until_ms, HOUR_MS) + HOUR_MS
        back = [
            (start - w * WEEK_H * HOUR_MS, end - w * WEEK_H * HOUR_MS)
            for w in range(int(number_of(rule, "weeks")), 0, -1)
        ]
        return _joined([*back, (start, until_ms + 1)])
    if rule.kind == "NIGHT_FLOW":
        days = _night_days(from_ms, until_ms)
        if not days:
            return []
        nights = range(days[0] - int(number_of(rule, "nights")) * DAY_MS, days[-1] + 1, DAY_MS)
        return [(day + 2 * HOUR_MS, day + 4 * HOUR_MS) for day in nights]
    return [(first, until_ms + 1)]


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _floor(at_ms: int, step_ms: int) -> int:
    return at_ms // step_ms * step_ms


def _local_day(at_ms: int) -> int:
    return _floor(at_ms + LOCAL_OFFSET_MS, DAY_MS) - LOCAL_OFFSET_MS


def _night_days(from_ms: int, until_ms: int) -> list[int]:
    """Return the local days whose 04:00 lies in [from_ms, until_ms]."""
    first = _local_day(from_ms)
    if first + 4 * HOUR_MS < from_ms:
        first += DAY_MS
    return list(range(first, until_ms - 4 * HOUR_MS + 1, DAY_MS))


# --- where to start -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Known:
    """An episode that was found before: what a stored alarm knows."""

    began_ms: int
    ended_ms: int | None
    peak: float = 0.0


@dataclass(frozen=True)
class Start:
    """Judge instants from `from_ms` on; episodes that are settled before `settled_ms` stay as they are.

    keep: the episode, if any, at whose beginning judging starts again. is_from_state: do not start there but at
    from_ms, inside it (only new readings came, so its worst so far stays true).
    """

    from_ms: int
    settled_ms: int
    keep: Known | None = None
    is_from_state: bool = False


def start_of(
    rule: Rule, known: Sequence[Known], *, changed_ms: int, before_ms: int | None, is_append: bool = False
) -> Start:
    """Return where to begin so that the result is that of judging everything.

    changed_ms: the earliest reading that is new or different. before_ms: the last believable reading of rule.channel
    before it, None if there is none. known: episodes found earlier, by time. is_append: everything up to before_ms was
    judged and nothing earlier changed.

    At a reading where no episode runs, whatever is pending began less than on_delay before it; where one runs, a calm
    that is pending began less than off_delay before it. Started that much earlier, either assumption of what came
    before leads to the same state. An episode whose calm was not over by then is judged again from its beginning,
    where the machine was at rest.
    """
    if before_ms is None or before_ms < rule.since_ms:
        first_ms = changed_ms if rule.kind in {"PATTERN", "NIGHT_FLOW"} else NEVER  # nothing to judge earlier
        return Start(max(rule.since_ms, first_ms), NEVER)
    latest = None
    for one in known:
        if one.began_ms <= before_ms:
            latest = one
    if latest is None or (latest.ended_ms is not None and latest.ended_ms + rule.off_delay_ms <= before_ms):
        return Start(max(before_ms - rule.on_delay_ms, rule.since_ms), before_ms)
    if is_append and latest.ended_ms is None:
        return Start(max(before_ms - rule.off_delay_ms, latest.began_ms), before_ms, latest, is_from_state=True)
    return Start(latest.began_ms, before_ms, latest)


# --- judging --------------------------------------------------------------------------------------------------------


def judge(
    rule: Rule, tracks: Mapping[int, Track], *, from_ms: int = NEVER, until_ms: int, state: State | None = None
) -> Verdict:
    """Return the episodes of [from_ms, until_ms]. tracks: by channel; rule.channel must be among them.

    state: the episode that runs at from_ms, if judging starts inside one.
    """
    from_ms = max(from_ms, rule.since_ms)
    signal = _SIGNALS[rule.kind](rule, tracks, from_ms, until_ms)
    keep = (signal.at >= from_ms) & (signal.at <= until_ms)
    if not keep.all():
        signal = replace(
            signal, at=signal.at[keep], sign=signal.sign[keep], severity=signal.severity[keep], value=signal.value[keep]
        )
    return Verdict(tuple(_episodes(signal, rule, state)), signal.next_check_ms, signal.note)


def settled_out(rule: Rule, start: Start, episodes: Sequence[Episode]) -> list[Episode]:
    """Return the episodes without those that were over before `start`, which are only seen in part from there."""
    if start.keep is not None:
        return list(episodes)
    return [
        one
        for one in episodes
        if one.ended_ms is None
        or one.ended_ms + rule.off_delay_ms > start.settled_ms
        or one.began_ms > start.settled_ms
    ]


def open_to_change(rule: Rule, start: Start, known: Sequence[Known]) -> list[Known]:
    """Return the known episodes that judging from `start` may change."""
    if start.keep is not None:
        return [one for one in known if one.began_ms >= start.keep.began_ms]
    return [
        one
        for one in known
        if one.began_ms >= rule.since_ms
        and (
            one.ended_ms is None
            or one.ended_ms + rule.off_delay_ms > start.settled_ms
            or one.began_ms > start.settled_ms
        )
    ]


def _episodes(signal: _Signal, rule: Rule, state: State | None) -> list[Episode]:
    if state is None and not (signal.sign == 1).any():
        return []
    at, sign = signal.at, signal.sign
    count = len(at)
    if count == 0:
        return [] if state is None else [_from_state(state, signal)]
    spoken = np.where(sign != 0, np.arange(count), -1)
    np.maximum.accumulate(spoken, out=spoken)
    before = 1 if state is not None else -1
    is_on = np.where(spoken >= 0, sign[spoken], before) == 1
    edges = np.flatnonzero(np.diff(is_on)) + 1
    starts = [0, *edges.tolist()]
    ends = [*edges.tolist(), count]
    found: list[Episode] = []
    active: list[int] | None = None  # [first index, index that confirmed it]
    carried = state
    for start, end in zip(starts, ends, strict=True):
        if is_on[start]:
            if active is None and carried is None:
                confirmed = start + int(np.searchsorted(at[start:end], at[start] + rule.on_delay_ms))
                if confirmed < end:
                    active = [start, confirmed]
        elif active is not None or carried is not None:
            calm = start + int(np.searchsorted(at[start:end], at[start] + rule.off_delay_ms))
            if calm < end:
                found.append(_episode(signal, active, carried, start))
                active = carried = None
    if active is not None or carried is not None:
        found.append(_episode(signal, active, carried, None))
    return found


def _from_state(state: State, signal: _Signal) -> Episode:
    text = signal.say(state.peak, state.peak_ms)
    return Episode(state.began_ms, None, state.peak, state.peak_ms, state.severity, state.confirmed_ms, text)


def _episode(signal: _Signal, active: list[int] | None, carried: State | None, end: int | None) -> Episode:
    first = 0 if active is None else active[0]
    severity = signal.severity[first:end]
    ended_ms = None if end is None else int(signal.at[end])
    worst = first + int(np.argmax(severity)) if len(severity) else None
    if carried is not None and (worst is None or signal.severity[worst] <= carried.severity):
        text = signal.say(carried.peak, carried.peak_ms)
        return Episode(
            carried.began_ms, ended_ms, carried.peak, carried.peak_ms, carried.severity, carried.confirmed_ms, text
        )
    assert worst is not None  # noqa: S101 - an active episode has at least its first instant
    peak, peak_ms = float(signal.value[worst]), int(signal.at[worst])
    began_ms = carried.began_ms if carried is not None else int(signal.at[first])
    confirmed_ms = carried.confirmed_ms if carried is not None else int(signal.at[active[1]] if active else began_ms)
    return Episode(
        began_ms, ended_ms, peak, peak_ms, float(signal.severity[worst]), confirmed_ms, signal.say(peak, peak_ms)
    )


# --- the words ------------------------------------------------------------------------------------------------------


def shown(value: float, decimals: int, unit: str = "") -> str:
    """Return a number as people read it.

    >>> shown(1.25, 2, "mg/L")
    '1,25 mg/L'
    """
    text = vietnamese.format_number(value, decimals)
    return f"{text} {unit}".rstrip()


def _edge(value: float, decimals: int) -> str:
    """Return a limit with as many digits as it has: 0,2 and 1,0, not 0,20."""
    fewest = next((n for n in range(1, decimals + 3) if abs(round(value, n) - value) < 1e-9), decimals)
    return vietnamese.format_number(value, min(fewest, 6) if decimals else (0 if value == int(value) else fewest))


def limits_text(low: float | None, high: float | None, decimals: int) -> str:
    """Return a span of limits in words.

    >>> limits_text(0.2, 1.0, 2), limits_text(None, 2.0, 2), limits_text(10, None, 0)
    ('ngưỡng 0,2–1,0', 'ngưỡng ≤ 2,0', 'ngưỡng ≥ 10')
    """
    if low is not None and high is not None:
        return f"ngưỡng {_edge(low, decimals)}–{_edge(high, decimals)}"
    if high is not None:
        return f"ngưỡng ≤ {_edge(high, decimals)}"
    return f"ngưỡng ≥ {_edge(low, decimals)}" if low is not None else ""


def duration_text(seconds: float) -> str:
    """Return a span of time in words.

    >>> duration_text(900), duration_text(14_400), duration_text(5_400), duration_text(45)
    ('15 phút', '4 giờ', '1,5 giờ', '45 giây')
    """
    if seconds < 120 and seconds != 60:
        return f"{seconds:.0f} giây"
    if seconds < 5_400:
        return f"{vietnamese.format_number(round(seconds / 60, 1))} phút"
    if seconds < 2 * 86_400:
        return f"{vietnamese.format_number(round(seconds / 3_600, 1))} giờ"
    return f"{vietnamese.format_number(round(seconds / 86_400, 1))} ngày"


def moment_text(at_ms: int) -> str:
    """Return an instant in local words.

    >>> moment_text(1_767_200_400_000)
    '00:00 01/01/2026'
    """
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(_LOCAL):%H:%M %d/%m/%Y}"


def _with_basis(rule: Rule, text: str) -> str:
    basis = str(rule.parameters.get("basis", ""))
    if not basis:
        return text
    unread = ", chưa đối chiếu văn bản" if rule.parameters.get("is_unverified") else ""
    return f"{text}; {basis}{unread}"


# --- the kinds ------------------------------------------------------------------------------------------------------


def _silent(say: str = "", *, next_check_ms: int | None = None) -> _Signal:
    none = np.empty(0)
    return _Signal(
        np.empty(0, np.int64), np.empty(0, np.int8), none, none, lambda value, at: "", next_check_ms, note=say
    )


def _threshold(rule: Rule, tracks: Mapping[int, Track], from_ms: int, until_ms: int) -> _Signal:
    track = tracks[rule.channel].believable()
    low, high = rule.parameters.get("low"), rule.parameters.get("high")
    return _against_limits(rule, track, low, high, float(rule.parameters.get("deadband") or 0.0))


def _against_limits(rule: Rule, track: Track, low: float | None, high: float | None, deadband: float) -> _Signal:
    value = track.value
    severity = np.full(len(value), -np.inf)
    if low is not None:
        severity = low - value
    if high is not None:
        severity = np.maximum(severity, value - high)
    sign = np.where(severity > 0, 1, np.where(severity <= -deadband, -1, 0)).astype(np.int8)

    def say(worst: float, at: int) -> str:
        limits = _with_basis(rule, limits_text(low, high, track.decimals))
        return f"{track.label} {shown(worst, track.decimals, track.unit)} ({limits})"

    return _Signal(track.at, sign, severity, value, say)


def _first_index(track: Track, from_ms: int) -> int:
    return int(np.searchsorted(track.at, from_ms))


def _rate(rule: Rule, tracks: Mapping[int, Track], from_ms: int, until_ms: int) -> _Signal:
    track = tracks[rule.channel].believable()
    window_ms = int(number_of(rule, "window_s") * SECOND_MS)
    direction, change = number_of(rule, "direction"), number_of(rule, "change")
    first = _first_index(track, from_ms)
    opened = np.searchsorted(track.at, track.at[first:] - window_ms)
    steps = np.zeros(len(track.at) - first)
    for index, begin in enumerate(opened.tolist()):
        seen = track.value[begin : first + index + 1]
        rise, fall = seen[-1] - seen.min(), seen.max() - seen[-1]
        if direction > 0:
            steps[index] = rise
        elif direction < 0:
            steps[index] = -fall
        else:
            steps[index] = rise if rise >= fall else -fall
    severity = np.abs(steps) - change

    def say(worst: float, at: int) -> str:
        verb = "tăng" if worst > 0 else "giảm"
        size, most = shown(abs(worst), track.decimals, track.unit), shown(change, track.decimals, track.unit)
        return f"{track.label} {verb} {size} trong {duration_text(window_ms / 1000)} (ngưỡng {most})"

    sign = np.where(severity >= 0, 1, -1).astype(np.int8)
    return _Signal(track.at[first:], sign, severity, steps, say)


def _pattern(rule: Rule, tracks: Mapping[int, Track], from_ms: int, until_ms: int) -> _Signal:
    track = tracks[rule.channel].believable()
    weeks, k = int(number_of(rule, "weeks")), number_of(rule, "k")
    hour = track.at // HOUR_MS
    first = _first_index(track, from_ms)
    sign = np.zeros(len(track.at) - first, np.int8)
    severity = np.full(len(sign), -np.inf)
    usual: dict[int, tuple[float, float]] = {}
    fewest = weeks
    for one in np.unique(hour[first:]).tolist():
        pieces = [
            track.value[np.searchsorted(hour, one - w * WEEK_H) : np.searchsorted(hour, one - w * WEEK_H + 1)]
            for w in range(1, weeks + 1)
        ]
        pieces = [piece for piece in pieces if len(piece)]
        inside = slice(int(np.searchsorted(hour[first:], one)), int(np.searchsorted(hour[first:], one + 1)))
        fewest = min(fewest, len(pieces))
        if len(pieces) < LEAST_WEEKS:
            continue
        pool = np.concatenate(pieces)
        median = float(np.median(pool))
        deviation = MAD_TO_DEVIATION * float(np.median(np.abs(pool - median)))
        allowed = max(
            k * deviation, number_of(rule, "least_difference"), number_of(rule, "least_pct") / 100 * abs(median)
        )
        usual[one] = median, allowed
        severity[inside] = np.abs(track.value[first:][inside] - median) - allowed
        sign[inside] = np.where(severity[inside] > 0, 1, -1)

    def say(worst: float, at: int) -> str:
        if at // HOUR_MS not in usual:
            return f"{track.label} {shown(worst, track.decimals, track.unit)} khác nhịp thường ngày"
        median, allowed = usual[at // HOUR_MS]
        return (
            f"{track.label} {shown(worst, track.decimals, track.unit)}, thường ngày cùng giờ "
            f"{shown(median, track.decimals, track.unit)} ± {shown(allowed, track.decimals)}"
        )

    note = ""
    if fewest < LEAST_WEEKS and len(sign):
        note = f"Chưa đủ số liệu để so: cần cùng giờ của ít nhất {LEAST_WEEKS} tuần trước, mới có {fewest}."
    return _Signal(track.at[first:], sign, severity, track.value[first:], say, note=note)


def _silence(rule: Rule, tracks: Mapping[int, Track], from_ms: int, until_ms: int) -> _Signal:
    track = tracks[rule.channel]
    grace = grace_ms(rule, track.interval_s)
    at = track.at[track.at >= rule.since_ms]
    is_new = rule.since_ms > NEVER and (len(at) == 0 or bool(at[0] > rule.since_ms))
    if is_new:
        at = np.concatenate([np.array([rule.since_ms], np.int64), at])  # silent from its first day, if need be
    if len(at) == 0:
        return _silent()
    last = int(at[-1])
    gaps = np.diff(np.append(at, max(until_ms, last)))
    long = gaps > grace
    if not long.any():
        zeros = np.zeros(len(at))
        return _Signal(at, np.full(len(at), -1, np.int8), zeros, zeros, lambda value, when: "", last + grace + 1)
    quiet_from = at[long] + grace
    instants = np.concatenate([at, quiet_from])
    sign = np.concatenate([np.full(len(at), -1, np.int8), np.ones(len(quiet_from), np.int8)])
    order = np.argsort(instants, kind="stable")
    missed_s = np.concatenate([np.zeros(len(at)), np.full(len(quiet_from), grace / SECOND_MS)])

    def say(worst: float, when: int) -> str:
        spell = duration_text(grace / SECOND_MS)
        if is_new and when - grace == rule.since_ms:
            watched = f"theo dõi từ {moment_text(rule.since_ms)}"
            before = track.at[track.at < rule.since_ms]
            heard = int(before[-1]) if len(before) else track.earlier(rule.since_ms) if track.earlier else None
            if heard is None:
                return f"{track.label}: chưa nhận được số liệu lần nào, {watched}"
            return f"{track.label}: số liệu cuối cùng lúc {moment_text(heard)}, {watched} (cho phép {spell})"
        return f"{track.label}: không có số liệu từ {moment_text(when - grace)} (cho phép {spell})"

    next_check_ms = None if long[-1] else last + grace + 1
    return _Signal(instants[order], sign[order], missed_s[order], missed_s[order], say, next_check_ms)


def _stuck(rule: Rule, tracks: Mapping[int, Track], from_ms: int, until_ms: int) -> _Signal:
    track = tracks[rule.channel].believable()
    hold_ms, tolerance = int(number_of(rule, "hold_s") * SECOND_MS), number_of(rule, "tolerance")
    except_value = rule.parameters.get("except_value")
    slack_ms = min(int(2 * track.interval_s * SECOND_MS), hold_ms // 2)
    first = _first_index(track, from_ms)
    opened = np.searchsorted(track.at, track.at[first:] - hold_ms)
    sign = np.full(len(opened), -1, np.int8)
    for index, begin in enumerate(opened.tolist()):
        here = first + index
        if here - begin < 2 or track.at[begin] > track.at[here] - hold_ms + slack_ms:
            continue
        seen = track.value[begin : here + 1]
        if seen.max() - seen.min() <= tolerance and (except_value is None or abs(seen[-1] - except_value) > tolerance):
            sign[index] = 1

    def say(worst: float, at: int) -> str:
        value = shown(worst, track.decimals, track.unit)
        return f"{track.label} đứng ở {value} suốt {duration_text(hold_ms / 1000)}"

    return _Signal(track.at[first:], sign, np.zeros(len(sign)), track.value[first:], say)


def night_minimum_m3h(at: Ints, flow_m3h: Floats, day_ms: int, interval_s: float) -> float | None:
    """Return the lowest one-hour mean flow between 02:00 and 04:00 of a local day; None without half an hour's worth.

    at: shape (n,), ms. flow_m3h: shape (n,). day_ms: start of the local day.
    Source: IWA Water Loss Task Force, District Metered Areas: Guidance Notes (2007).
    """
    start, end = np.searchsorted(at, [day_ms + 2 * HOUR_MS, day_ms + 4 * HOUR_MS])
    when, flow = at[start:end], flow_m3h[start:end]
    hours = np.searchsorted(when, when + HOUR_MS)
    sums = np.concatenate([[0.0], np.cumsum(flow)])
    counts = hours - np.arange(len(when))
    enough = (counts >= max(2.0, 1_800 / interval_s)) & (when <= day_ms + 3 * HOUR_MS + interval_s * SECOND_MS)
    if not enough.any():
        return None
    means = (sums[hours] - sums[: len(when)])[enough] / counts[enough]
    return float(means.min())


def _night_flow(rule: Rule, tracks: Mapping[int, Track], from_ms: int, until_ms: int) -> _Signal:
    track = tracks[rule.channel].believable()
    if from_ms == NEVER and len(track.at):
        from_ms = int(track.at[0])
    next_check_ms = _local_day(until_ms) + 4 * HOUR_MS
    if next_check_ms <= until_ms:
        next_check_ms += DAY_MS
    days = _night_days(from_ms, until_ms) if from_ms > NEVER else []
    if not days:
        return _silent(next_check_ms=next_check_ms)
    nights, least = int(number_of(rule, "nights")), int(number_of(rule, "least_nights"))
    minima = {
        day: night_minimum_m3h(track.at, track.value, day, track.interval_s)
        for day in range(days[0] - nights * DAY_MS, days[-1] + 1, DAY_MS)
    }
    sign, severity, value = np.zeros(len(days), np.int8), np.full(len(days), -np.inf), np.zeros(len(days))
    usual: dict[int, float] = {}
    note = ""
    for index, day in enumerate(days):
        past = [one for one in (minima[day - n * DAY_MS] for n in range(1, nights + 1)) if one is not None]
        lowest = minima[day]
        if lowest is None or len(past) < least:
            if lowest is not None:
                note = f"Chưa đủ số liệu để so: cần ít nhất {least} đêm trước, mới có {len(past)}."
            continue
        median = float(np.median(past))
        usual[day + 4 * HOUR_MS] = median
        value[index] = lowest
        limit = max(number_of(rule, "ratio") * median, median + number_of(rule, "least_increase_m3h"))
        severity[index] = lowest - limit
        sign[index] = 1 if lowest > limit else -1

    def say(worst: float, when: int) -> str:
        usual_text = f", các đêm trước {shown(usual[when], track.decimals, track.unit)}" if when in usual else ""
        return f"{track.label}: thấp nhất ban đêm {shown(worst, track.decimals, track.unit)}{usual_text}"

    instants = np.array([day + 4 * HOUR_MS for day in days], np.int64)
    return _Signal(instants, sign, severity, value, say, next_check_ms, note)


def _low_chlorine(rule: Rule, tracks: Mapping[int, Track], from_ms: int, until_ms: int) -> _Signal:
    track = tracks[rule.channel].believable()
    low, share = number_of(rule, "low"), number_of(rule, "share_pct") / 100
    window_ms = int(number_of(rule, "window_s") * SECOND_MS)
    first = _first_index(track, from_ms)
    if first == len(track.at):
        return _silent()
    # Each reading stands until the next, at most two intervals; what the last one stands for is not known yet.
    stands_ms = np.minimum(np.diff(track.at), int(2 * track.interval_s * SECOND_MS)).astype(np.float64)
    known = np.concatenate([[0.0], np.cumsum(stands_ms)])
    below = np.concatenate([[0.0], np.cumsum(stands_ms * (track.value[:-1] < low))])
    here = np.arange(first, len(track.at))
    opened = np.searchsorted(track.at, track.at[first:] - window_ms)
    known_ms, below_ms = known[here] - known[opened], below[here] - below[opened]
    is_enough = known_ms >= window_ms / 2
    ratio = np.divide(below_ms, known_ms, out=np.zeros_like(known_ms), where=known_ms > 0)
    sign = np.where(is_enough, np.where(ratio >= share, 1, np.where(ratio <= share / 2, -1, 0)), 0).astype(np.int8)

    def say(worst: float, at: int) -> str:
        limit = _with_basis(rule, f"ngưỡng {_edge(low, track.decimals)}")
        part = vietnamese.format_number(round(worst * 100))
        span = duration_text(window_ms / 1000)
        return f"{track.label} thấp hơn {shown(low, track.decimals, track.unit)} trong {part} % của {span} ({limit})"

    return _Signal(track.at[first:], sign, ratio, ratio, say)


EMPTY_SHARE = 0.05  # of the capacity: what the outlet of a tank does not reach


@dataclass(frozen=True, eq=False)
class TankReckoning:
    """How long a tank lasts, at each reading of its level: arrays of shape (n,), by time.

    outflow_m3h: mean of the outlets over the averaging span, or the estimate of the rule; NaN where nothing was read.
    hours: inf where nothing flows out, 0 where the tank is as good as empty, NaN where it is not known.
    """

    at: Ints
    level: Floats
    volume_m3: Floats
    outflow_m3h: Floats
    hours: Floats
    is_empty: Bools


def reckon_tank(rule: Rule, tracks: Mapping[int, Track], from_ms: int) -> TankReckoning | str:
    """Return the reckoning of a TANK_HOURS rule from an instant on, or in words why there is none."""
    level = tracks[rule.channel].believable()
    if not level.capacity_m3 or not level.full_at:
        return "Chưa tính được: kênh mực nước chưa khai dung tích và mức đầy bể."
    first = _first_index(level, from_ms)
    at = level.at[first:]
    volume_m3 = np.maximum(level.value[first:], 0.0) / level.full_at * level.capacity_m3
    outlets = [track.believable() for channel, track in tracks.items() if channel != rule.channel]
    averaging_ms = int(number_of(rule, "averaging_s") * SECOND_MS)
    given = rule.parameters.get("outflow_m3h")
    if outlets:
        outflow = np.zeros(len(at))
        for outlet in outlets:
            sums = np.concatenate([[0.0], np.cumsum(outlet.value)])
            begin = np.searchsorted(outlet.at, at - averaging_ms, side="right")
            end = np.searchsorted(outlet.at, at, side="right")
            outflow = outflow + np.where(end > begin, (sums[end] - sums[begin]) / np.maximum(end - begin, 1), np.nan)
    elif given:
        outflow = np.full(len(at), float(given))
    else:
        return "Chưa tính được: quy tắc chưa có kênh lưu lượng ra, cũng chưa có lượng ra ước tính."
    hours = np.where(
        outflow > 0, volume_m3 / np.where(outflow > 0, outflow, 1.0), np.where(outflow <= 0, np.inf, np.nan)
    )
    # Nothing flows out of an empty tank: that is no reason to be calm.
    is_empty = volume_m3 <= EMPTY_SHARE * level.capacity_m3
    hours = np.where(is_empty, 0.0, hours)
    return TankReckoning(at, level.value[first:], volume_m3, outflow, hours, is_empty)


def _tank_hours(rule: Rule, tracks: Mapping[int, Track], from_ms: int, until_ms: int) -> _Signal:
    found = reckon_tank(rule, tracks, from_ms)
    if isinstance(found, str):
        return _silent(found)
    label, hours, least = tracks[rule.channel].label, found.hours, number_of(rule, "hours")
    sign = np.where(np.isnan(hours), 0, np.where(hours < least, 1, np.where(hours >= 1.1 * least, -1, 0)))
    severity = np.where(np.isfinite(hours), least - hours, -np.inf)

    def say(worst: float, when: int) -> str:
        return f"{label}: bể còn đủ cấp {shown(worst, 1, 'giờ')} (ngưỡng {shown(least, 1, 'giờ')})"

    return _Signal(found.at, sign.astype(np.int8), severity, np.where(np.isfinite(hours), hours, 0.0), say)


def _pump_cycling(rule: Rule, tracks: Mapping[int, Track], from_ms: int, until_ms: int) -> _Signal:
    track = tracks[rule.channel].believable()
    window_ms, most = int(number_of(rule, "window_s") * SECOND_MS), number_of(rule, "starts")
    runs = track.value >= 0.5
    is_start = runs[1:] & ~runs[:-1] & (np.diff(track.at) <= window_ms)
    starts = track.at[1:][is_start]
    instants = np.unique(np.concatenate([track.at, starts + window_ms]))
    instants = instants[instants <= until_ms]
    counts = np.searchsorted(starts, instants, side="right") - np.searchsorted(
        starts, instants - window_ms, side="right"
    )
    severity = counts.astype(np.float64)
    later = (starts + window_ms)[starts + window_ms > until_ms]

    def say(worst: float, at: int) -> str:
        return (
            f"{track.label} khởi động {worst:.0f} lần trong {duration_text(window_ms / 1000)} (ngưỡng {_plain(most)})"
        )

    sign = np.where(counts >= most, 1, -1).astype(np.int8)
    return _Signal(instants, sign, severity, severity, say, int(later[0]) if len(later) else None)


def _power_loss(rule: Rule, tracks: Mapping[int, Track], from_ms: int, until_ms: int) -> _Signal:
    track = tracks[rule.channel].believable()
    sign = np.where(track.value < 0.5, 1, -1).astype(np.int8)

    def say(worst: float, at: int) -> str:
        return f"{track.label}: mất điện từ {moment_text(at)}"

    return _Signal(track.at, sign, np.zeros(len(sign)), track.value, say)


def _combination(rule: Rule, tracks: Mapping[int, Track], from_ms: int, until_ms: int) -> _Signal:
    conditions: list[dict[str, Any]] = list(rule.parameters.get("conditions", ()))
    believed = {channel: track.believable() for channel, track in tracks.items()}
    used = [one for one in conditions if one["channel"] in believed]
    if len(used) < len(conditions) or not used:
        return _silent("Chưa tính được: có điều kiện chỉ vào kênh không còn trong quy tắc.")
    instants = np.unique(np.concatenate([believed[one["channel"]].at for one in used]))
    instants = instants[instants >= from_ms]
    votes = np.zeros((len(used), len(instants)), np.int8)
    for row, one in enumerate(used):
        track = believed[one["channel"]]
        if not len(track.at):
            continue
        last = np.searchsorted(track.at, instants, side="right") - 1
        is_known = (last >= 0) & (instants - track.at[last] <= valid_ms(rule, track.interval_s))
        value = track.value[last]
        holds = value > one["above"] if one.get("above") is not None else value < one["below"]
        votes[row] = np.where(is_known, np.where(holds, 1, -1), 0)
    if rule.parameters.get("together", "all") == "all":
        sign = votes.min(axis=0)
        sign = np.where((votes == -1).any(axis=0), -1, np.where((votes == 1).all(axis=0), 1, 0))
    else:
        sign = np.where((votes == 1).any(axis=0), 1, np.where((votes == -1).all(axis=0), -1, 0))
    count = (votes == 1).sum(axis=0).astype(np.float64)

    def say(worst: float, at: int) -> str:
        parts = []
        for one in used:
            track = believed[one["channel"]]
            last = int(np.searchsorted(track.at, at, side="right")) - 1
            side, edge = (">", one["above"]) if one.get("above") is not None else ("<", one["below"])
            value = shown(float(track.value[last]), track.decimals, track.unit) if last >= 0 else "chưa có"
            parts.append(f"{track.label} {value} ({side} {_edge(float(edge), track.decimals)})")
        return (" và " if rule.parameters.get("together", "all") == "all" else "; ").join(parts)

    return _Signal(instants, sign.astype(np.int8), count, count, say)


Kind = Literal[
    "THRESHOLD", "RATE", "PATTERN", "SILENCE", "STUCK", "NIGHT_FLOW", "LOW_CHLORINE", "TANK_HOURS", "PUMP_CYCLING",
    "POWER_LOSS", "COMBINATION",
]  # fmt: skip
_SIGNALS: Mapping[str, Callable[[Rule, Mapping[int, Track], int, int], _Signal]] = {
    "THRESHOLD": _threshold,
    "RATE": _rate,
    "PATTERN": _pattern,
    "SILENCE": _silence,
    "STUCK": _stuck,
    "NIGHT_FLOW": _night_flow,
    "LOW_CHLORINE": _low_chlorine,
    "TANK_HOURS": _tank_hours,
    "PUMP_CYCLING": _pump_cycling,
    "POWER_LOSS": _power_loss,
    "COMBINATION": _combination,
}
