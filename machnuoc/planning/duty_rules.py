"""Dates of report duties: rules of RFC 5545 with the edge as printed, in dates and in words. No database here.

A rule gives days («FREQ=MONTHLY;BYMONTHDAY=14»). The edge says whether such a day still counts: «chậm nhất ngày 14»
includes it, «trước ngày 15/11» does not, «trong tháng 11» lasts to the end of the month. Then the last day may be moved
off a day without work, and days of grace may follow. Source: RFC 5545, 3.3.10; see docs/algorithms/duties.md.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from statistics import median
from typing import Any, Literal

from dateutil import rrule

from machnuoc.core.periods import BadPeriod, Period, PeriodKind

Edge = Literal["INCLUSIVE", "EXCLUSIVE", "WITHIN"]
Shift = Literal["NONE", "BEFORE", "AFTER"]
Covers = Literal["SAME", "PREVIOUS", "NONE"]

MOST_COUNT = 1000
MOST_INTERVAL = 120
FIRST_YEAR, LAST_YEAR = 1990, 2200  # of the days from when to when a duty holds
_FREQUENCIES = {"DAILY": rrule.DAILY, "WEEKLY": rrule.WEEKLY, "MONTHLY": rrule.MONTHLY, "YEARLY": rrule.YEARLY}
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
WEEKDAYS_VI = ("thứ Hai", "thứ Ba", "thứ Tư", "thứ Năm", "thứ Sáu", "thứ Bảy", "Chủ nhật")
_WEEKDAY = re.compile(r"([+-]?[1-5])?(MO|TU|WE|TH|FR|SA|SU)")
_SHORTEST = (28, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # 29/02 is lost in three years of four
_QUARTER_ENDS = (3, 6, 9, 12)
_MOST_SHIFT_DAYS = 30  # no holiday is that long
_YEARS_AHEAD = timedelta(days=366 * 12)  # ten yearly dates lie in it
_ONE = timedelta(days=1)
_ANCHOR = date(2000, 1, 1)  # a Saturday; only rules that count from a start (COUNT, INTERVAL) depend on where it lies


class BadRule(ValueError):
    """A rule of dates that cannot be kept; the text says what is wrong and how to write it."""


@dataclass(frozen=True)
class Recurrence:
    """A rule that was read. months, month_days: sorted; weekdays: (which of the month or None, 0 = Monday)."""

    frequency: str
    interval: int = 1
    months: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    weekdays: tuple[tuple[int | None, int], ...] = ()
    position: int | None = None
    count: int | None = None
    until: date | None = None


@dataclass(frozen=True)
class Terms:
    """What a duty says about its dates. starts_on and ends_on are both included; None: not said.

    covers: which period the report is about, seen from the day of the edge; period_kind: empty for none.
    """

    rule: str
    edge: Edge = "INCLUSIVE"
    shift: Shift = "NONE"
    grace_days: int = 0
    starts_on: date | None = None
    ends_on: date | None = None
    covers: Covers = "NONE"
    period_kind: PeriodKind | Literal[""] = ""
    opens_days_before: int = 14


@dataclass(frozen=True)
class DueDate:
    """One time that a duty falls due.

    rule_date: the day the rule gives; edge_date: the last day that the edge leaves; last_day: after moving it off days
    without work; grace_until: last_day and the days of grace; opens_on: from when it is shown as coming.
    """

    rule_date: date
    edge_date: date
    last_day: date
    grace_until: date
    opens_on: date
    period: Period | None


# --- reading a rule

_LEAD = r"(?:(?:chậm nhất|trước|vào) )?(?:ngày )?"
_EVERY = r"(?:hằng|hàng|mỗi) "
_SAID: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"{_LEAD}(\d{{1,2}}) {_EVERY}tháng"), "FREQ=MONTHLY;BYMONTHDAY={0}"),
    (re.compile(rf"{_LEAD}(\d{{1,2}}) (?:của )?tháng cuối (?:{_EVERY})?quý"),
     "FREQ=MONTHLY;BYMONTH=3,6,9,12;BYMONTHDAY={0}"),
    (re.compile(rf"{_LEAD}(\d{{1,2}})/(\d{{1,2}}) {_EVERY}năm"), "FREQ=YEARLY;BYMONTH={1};BYMONTHDAY={0}"),
    (re.compile(rf"{_LEAD}cuối (?:{_EVERY})?tháng"), "FREQ=MONTHLY;BYMONTHDAY=-1"),
)  # fmt: skip


def from_words(text: str) -> str:
    """Return the RRULE text of a rule said in Vietnamese; what is not said in one of the known ways stays as it is.

    >>> from_words("chậm nhất ngày 14 hằng tháng"), from_words("15/11 hàng năm")
    ('FREQ=MONTHLY;BYMONTHDAY=14', 'FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=15')
    >>> from_words("ngày 28 tháng cuối quý"), from_words("FREQ=WEEKLY;BYDAY=MO")
    ('FREQ=MONTHLY;BYMONTH=3,6,9,12;BYMONTHDAY=28', 'FREQ=WEEKLY;BYDAY=MO')
    """
    said = " ".join(unicodedata.normalize("NFC", text).lower().split())
    for pattern, rule in _SAID:
        if found := pattern.fullmatch(said):
            return rule.format(*(int(part) for part in found.groups()))
    return text


def parse(text: str) -> Recurrence:
    """Return the rule of an RRULE text (without «RRULE:»). Raises BadRule for what is not understood or loses days.

    >>> parse("FREQ=MONTHLY;BYMONTHDAY=28;BYMONTH=3,6,9,12").months
    (3, 6, 9, 12)
    """
    parts: dict[str, str] = {}
    for piece in filter(None, text.strip().upper().split(";")):
        name, separator, value = piece.partition("=")
        if not separator or not value or name in parts:
            raise BadRule(f"Quy tắc «{text}»: không đọc được «{piece}». Viết như FREQ=MONTHLY;BYMONTHDAY=14.")
        parts[name] = value
    frequency = parts.pop("FREQ", "")
    if frequency not in _FREQUENCIES:
        raise BadRule(f"Quy tắc «{text}»: cần FREQ là DAILY, WEEKLY, MONTHLY hoặc YEARLY.")
    unknown = parts.keys() - {"INTERVAL", "BYMONTH", "BYMONTHDAY", "BYDAY", "BYSETPOS", "COUNT", "UNTIL"}
    if unknown:
        raise BadRule(f"Quy tắc «{text}»: chưa hỗ trợ {', '.join(sorted(unknown))}. Bỏ phần đó hoặc viết cách khác.")
    position = _numbers(text, parts, "BYSETPOS", -366, 366)
    if len(position) > 1 or (position and "BYDAY" not in parts):
        raise BadRule(f"Quy tắc «{text}»: BYSETPOS nhận một số và đi cùng BYDAY.")
    rule = Recurrence(
        frequency=frequency,
        interval=_number(text, parts, "INTERVAL", MOST_INTERVAL) or 1,
        months=_numbers(text, parts, "BYMONTH", 1, 12),
        month_days=_numbers(text, parts, "BYMONTHDAY", -31, 31),
        weekdays=_read_weekdays(text, parts.get("BYDAY", "")),
        position=position[0] if position else None,
        count=_number(text, parts, "COUNT", MOST_COUNT),
        until=_read_until(text, parts.get("UNTIL", "")),
    )
    if rule.count is not None and rule.until is not None:
        raise BadRule(f"Quy tắc «{text}»: chỉ dùng một trong hai COUNT và UNTIL.")
    if frequency in ("DAILY", "WEEKLY") and (rule.month_days or any(which for which, _ in rule.weekdays)):
        raise BadRule(f"Quy tắc «{text}»: ngày trong tháng dùng với FREQ=MONTHLY hoặc YEARLY.")
    _refuse_empty(text, rule)
    for day in rule.month_days:
        lost = [month for month in rule.months or range(1, 13) if abs(day) > _SHORTEST[month - 1]]
        if lost:
            raise BadRule(
                f"Quy tắc «{text}»: ngày {abs(day)} không phải năm nào cũng có trong tháng "
                f"{', '.join(map(str, lost))}; kỳ đó sẽ bị mất. Dùng ngày cuối tháng (BYMONTHDAY=-1)."
            )
    return rule


def _refuse_empty(text: str, rule: Recurrence) -> None:
    """Raise BadRule for a rule that may never give a day: looking for its first one would go on to the year 9999."""
    if rule.frequency == "DAILY" and rule.weekdays and rule.interval > 1:
        raise BadRule(f"Quy tắc «{text}»: thứ trong tuần đi cùng INTERVAL thì dùng FREQ=WEEKLY.")
    if rule.month_days and (rule.position is not None or any(which for which, _ in rule.weekdays)):
        raise BadRule(f"Quy tắc «{text}»: BYMONTHDAY không đi cùng BYSETPOS hoặc thứ có số. Bỏ một trong hai.")
    if rule.position is None:
        return
    # Each weekday comes four times in every month, «1MO» once.
    in_month = sum(4 if which is None else 1 for which, _ in rule.weekdays)
    most = {"DAILY": 1, "WEEKLY": len(rule.weekdays), "MONTHLY": in_month}.get(
        rule.frequency, in_month * len(rule.months or range(12))
    )
    if abs(rule.position) > most:
        raise BadRule(f"Quy tắc «{text}»: BYSETPOS chỉ đến {most}; xa hơn thì có kỳ không có ngày nào.")


def _number(text: str, parts: dict[str, str], name: str, most: int) -> int | None:
    found = _numbers(text, parts, name, 1, most)
    if len(found) > 1:
        raise BadRule(f"Quy tắc «{text}»: {name} chỉ nhận một số.")
    return found[0] if found else None


def _numbers(text: str, parts: dict[str, str], name: str, least: int, most: int) -> tuple[int, ...]:
    if name not in parts:
        return ()
    found = set()
    for piece in parts[name].split(","):
        if not re.fullmatch(r"[+-]?[0-9]{1,4}", piece) or not least <= int(piece) <= most or int(piece) == 0:
            raise BadRule(f"Quy tắc «{text}»: {name} nhận số từ {least} đến {most}, không phải «{piece}».")
        found.add(int(piece))
    return tuple(sorted(found))


def _read_weekdays(text: str, value: str) -> tuple[tuple[int | None, int], ...]:
    found = []
    for piece in filter(None, value.split(",")):
        match = _WEEKDAY.fullmatch(piece)
        if match is None:
            raise BadRule(f"Quy tắc «{text}»: không hiểu thứ «{piece}». Viết MO, TU, WE, TH, FR, SA, SU, hoặc -1FR.")
        found.append((int(match[1]) if match[1] else None, _WEEKDAYS.index(match[2])))
    return tuple(found)


def _read_until(text: str, value: str) -> date | None:
    if not value:
        return None
    try:
        return datetime.strptime(value[:8], "%Y%m%d").date()  # noqa: DTZ007 a day, not a moment
    except ValueError:
        raise BadRule(f"Quy tắc «{text}»: UNTIL viết như 20261231.") from None


def check(terms: Terms) -> Recurrence:
    """Return the rule, read and completed by the edge. Raises BadRule if together they give no certain day."""
    rule = parse(terms.rule)
    for day in (terms.starts_on, terms.ends_on):
        if day is not None and not FIRST_YEAR <= day.year <= LAST_YEAR:
            raise BadRule(f"Ngày {day:%d/%m/%Y} nằm ngoài các năm {FIRST_YEAR}–{LAST_YEAR}. Sửa ngày áp dụng.")
    if terms.ends_on is not None and terms.starts_on is not None and terms.ends_on < terms.starts_on:
        raise BadRule("Ngày kết thúc áp dụng đứng trước ngày bắt đầu. Sửa một trong hai ngày.")
    if (rule.count is not None or rule.interval > 1) and terms.starts_on is None:
        raise BadRule(f"Quy tắc «{terms.rule}» đếm từ ngày bắt đầu: nhập «áp dụng từ».")
    is_once = rule.count == 1
    if rule.frequency in ("MONTHLY", "YEARLY") and not (rule.month_days or rule.weekdays):
        if terms.edge == "WITHIN":
            rule = replace(rule, month_days=(-1,))
        elif not is_once:
            raise BadRule(
                f"Quy tắc «{terms.rule}» chưa nói ngày nào trong tháng. Thêm BYMONTHDAY, ví dụ BYMONTHDAY=14."
            )
    if rule.frequency == "YEARLY" and not rule.months and not (is_once and not rule.month_days and not rule.weekdays):
        raise BadRule(f"Quy tắc «{terms.rule}» chưa nói tháng nào. Thêm BYMONTH, ví dụ BYMONTH=11.")
    if terms.edge == "WITHIN" and not is_once:
        several = len(rule.month_days) > 1 or (rule.weekdays and rule.position is None)
        if rule.frequency in ("DAILY", "WEEKLY") or several:
            raise BadRule("«Trong tháng» dùng với quy tắc một lần mỗi tháng. Bỏ ngày cụ thể hoặc chọn mốc khác.")
    if terms.covers != "NONE" and not terms.period_kind:
        raise BadRule("Chọn loại kỳ báo cáo (tháng, quý, nửa năm, năm), hoặc chọn «không theo kỳ».")
    return rule


# --- dates


def _days(rule: Recurrence, terms: Terms, not_before: date, not_after: date) -> Iterator[date]:
    """Give the days of the rule in not_before ≤ day ≤ not_after, in order."""
    begin = terms.starts_on or _ANCHOR
    weekdays: list[Any] = [rrule.weekdays[day](which) if which else rrule.weekdays[day] for which, day in rule.weekdays]
    last = min(day for day in (rule.until, terms.ends_on, not_after) if day is not None)
    days = rrule.rrule(
        _FREQUENCIES[rule.frequency],
        dtstart=_as_moment(begin),
        interval=rule.interval,
        bymonth=rule.months or None,
        bymonthday=rule.month_days or None,
        byweekday=weekdays or None,
        bysetpos=rule.position,
        count=rule.count,
        until=_as_moment(last) if rule.count is None else None,  # RFC 5545 knows one of both
    )
    for moment in days.xafter(_as_moment(max(not_before, begin)), inc=True):
        day = moment.date()
        if day > last:
            return
        yield day


def _as_moment(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)  # noqa: DTZ001 dateutil counts in moments; these are days


def between(terms: Terms, start: date, end: date) -> list[DueDate]:
    """Return what falls due by the rule in start ≤ rule_date < end: half-open, so that spans meet without loss.

    Raises BadRule.
    """
    rule = check(terms)
    return [_make(terms, day) for day in _days(rule, terms, start, end - _ONE)]


def next_due(terms: Terms, today: date, count: int = 10) -> list[DueDate]:
    """Return the next dates whose last day is today or later. Raises BadRule."""
    rule = check(terms)
    # The last day lies at most one month and a long holiday from the day of the rule.
    start = today - timedelta(days=31 + _MOST_SHIFT_DAYS)
    end = today + _YEARS_AHEAD * (rule.interval if rule.frequency == "YEARLY" else 1)
    coming = (due for due in (_make(terms, day) for day in _days(rule, terms, start, end)) if due.last_day >= today)
    return list(islice(coming, count))


def _make(terms: Terms, rule_date: date) -> DueDate:
    edge_date = apply_edge(rule_date, terms.edge)
    last_day = shift(edge_date, terms.shift)
    return DueDate(
        rule_date=rule_date,
        edge_date=edge_date,
        last_day=last_day,
        grace_until=last_day + timedelta(days=terms.grace_days),
        opens_on=last_day - timedelta(days=terms.opens_days_before),
        period=covered(edge_date, terms.covers, terms.period_kind),
    )


def apply_edge(rule_date: date, edge: Edge) -> date:
    """Return the last day that still counts.

    >>> apply_edge(date(2026, 11, 15), "EXCLUSIVE"), apply_edge(date(2024, 2, 1), "WITHIN")
    (datetime.date(2026, 11, 14), datetime.date(2024, 2, 29))
    """
    if edge == "EXCLUSIVE":
        return rule_date - _ONE
    if edge == "WITHIN":
        return (rule_date.replace(day=28) + timedelta(days=4)).replace(day=1) - _ONE
    return rule_date


def covered(edge_date: date, covers: Covers, kind: PeriodKind | Literal[""]) -> Period | None:
    """Return the period that a report due on that day is about; None if it is about none."""
    if covers == "NONE" or not kind:
        return None
    try:
        period = Period.containing(edge_date, kind)
        return period if covers == "SAME" else period.previous
    except BadPeriod:
        return None


# --- days of work


@lru_cache(maxsize=64)
def _holidays_of(year: int) -> Any:
    import holidays  # slow to import, and only asked where a duty moves its day

    return holidays.country_holidays("VN", years=(year - 1, year, year + 1), language="vi")


def is_working_day(day: date) -> bool:
    """Return whether people work that day: no weekend and no public holiday of Viet Nam as the library knows them."""
    return bool(_holidays_of(day.year).is_working_day(day))


def holiday_name(day: date) -> str:
    """Return the name of the public holiday, «thứ Bảy» or «Chủ nhật» for a weekend; empty for a day of work."""
    if is_working_day(day):
        return ""
    name = _holidays_of(day.year).get(day)
    return str(name) if name else WEEKDAYS_VI[day.weekday()]


def shift(day: date, how: Shift, is_working: Callable[[date], bool] = is_working_day) -> date:
    """Return the day, moved off days without work as the duty says."""
    if how == "NONE":
        return day
    step = -_ONE if how == "BEFORE" else _ONE
    for _ in range(_MOST_SHIFT_DAYS):
        if is_working(day):
            return day
        day += step
    raise BadRule(f"Không tìm được ngày làm việc quanh ngày {day:%d/%m/%Y}. Chọn «không dời».")


# --- standing of one instance


class State(StrEnum):
    """Where one instance stands on a day."""

    NOT_OPEN = "NOT_OPEN"
    UPCOMING = "UPCOMING"
    DUE = "DUE"
    OVERDUE = "OVERDUE"
    ON_TIME = "ON_TIME"
    LATE = "LATE"
    WAIVED = "WAIVED"


STATE_LABELS = {
    State.NOT_OPEN: "Chưa mở",
    State.UPCOMING: "Sắp đến hạn",
    State.DUE: "Đến hạn",
    State.OVERDUE: "Quá hạn",
    State.ON_TIME: "Đã gửi đúng hạn",
    State.LATE: "Gửi trễ",
    State.WAIVED: "Được miễn",
}
STATE_TONES = {
    State.NOT_OPEN: "neutral",
    State.UPCOMING: "info",
    State.DUE: "warning",
    State.OVERDUE: "danger",
    State.ON_TIME: "good",
    State.LATE: "warning",
    State.WAIVED: "neutral",
}


@dataclass(frozen=True)
class Standing:
    """State with its days: left to go, late, or (sent on time) early. text: in Vietnamese."""

    state: State
    days: int
    text: str

    @property
    def tone(self) -> str:
        return STATE_TONES[self.state]


def judge(
    *, opens_on: date, last_day: date, grace_until: date, submitted_on: date | None, is_waived: bool, today: date
) -> Standing:
    """Return where an instance stands today. Days of grace count as due, and what is sent in them as on time."""
    if submitted_on is not None:
        if submitted_on <= grace_until:
            early = (last_day - submitted_on).days
            said = f", sớm {early} ngày" if early > 0 else ", trong thời gian châm chước" if early < 0 else ""
            return Standing(State.ON_TIME, early, f"Đã gửi đúng hạn{said}")
        late = (submitted_on - last_day).days
        return Standing(State.LATE, late, f"Gửi trễ {late} ngày")
    if is_waived:
        return Standing(State.WAIVED, 0, "Được miễn")
    left = (last_day - today).days
    if today > grace_until:
        return Standing(State.OVERDUE, -left, f"Quá hạn {-left} ngày")
    if left <= 0:
        return Standing(
            State.DUE, -left, "Đến hạn hôm nay" if left == 0 else f"Đến hạn, châm chước đến {grace_until:%d/%m}"
        )
    if today < opens_on:
        return Standing(State.NOT_OPEN, left, f"Chưa mở, còn {left} ngày")
    return Standing(State.UPCOMING, left, "Còn 1 ngày (ngày mai)" if left == 1 else f"Còn {left} ngày")


STAGES = ("OPENED", "D7", "D3", "D1", "DUE", "LATE1", "LATE7")
ESCALATED = frozenset({"LATE1", "LATE7"})


def stage_of(*, opens_on: date, last_day: date, grace_until: date, today: date) -> str:
    """Return which reminder the day calls for; empty before opening.

    It stays until the next one, so that a job that missed days still reminds once, and of the right thing.
    """
    if today > grace_until:
        return "LATE7" if (today - grace_until).days >= 7 else "LATE1"
    left = (last_day - today).days
    if left <= 0:
        return "DUE"
    if today < opens_on:
        return ""
    return "D1" if left == 1 else "D3" if left <= 3 else "D7" if left <= 7 else "OPENED"


@dataclass(frozen=True)
class Timeliness:
    """How punctual a unit was. missed: past their day, not sent. median_days_early: of those sent; below 0 is late."""

    on_time: int
    late: int
    missed: int
    waived: int
    open: int
    median_days_early: float | None

    @property
    def past(self) -> int:
        """How many were owed by now."""
        return self.on_time + self.late + self.missed

    @property
    def on_time_pct(self) -> float | None:
        """Share on time of those owed by now, 0-100; None if nothing was owed yet."""
        return 100 * self.on_time / self.past if self.past else None


def summarise(standings: Iterable[Standing]) -> Timeliness:
    """Return the punctuality of instances."""
    counts = dict.fromkeys(State, 0)
    early: list[int] = []
    for standing in standings:
        counts[standing.state] += 1
        if standing.state in (State.ON_TIME, State.LATE):
            early.append(standing.days if standing.state == State.ON_TIME else -standing.days)
    return Timeliness(
        on_time=counts[State.ON_TIME], late=counts[State.LATE], missed=counts[State.OVERDUE],
        waived=counts[State.WAIVED], open=counts[State.NOT_OPEN] + counts[State.UPCOMING] + counts[State.DUE],
        median_days_early=float(median(early)) if early else None,
    )  # fmt: skip


# --- words


def words(terms: Terms) -> str:
    """Return the rule as a person says it. Raises BadRule.

    >>> words(Terms("FREQ=MONTHLY;BYMONTHDAY=14"))
    'chậm nhất ngày 14 hằng tháng'
    >>> words(Terms("FREQ=MONTHLY;BYMONTHDAY=28;BYMONTH=3,6,9,12", edge="EXCLUSIVE"))
    'trước ngày 28 tháng cuối quý'
    >>> words(Terms("FREQ=MONTHLY;BYMONTH=3,5,7,8", edge="WITHIN"))
    'trong các tháng 3, 5, 7, 8 hằng năm'
    >>> words(Terms("FREQ=YEARLY;COUNT=1", edge="EXCLUSIVE", starts_on=date(2026, 11, 15)))
    'trước ngày 15/11/2026, một lần'
    """
    rule = check(terms)
    if rule.count == 1:
        first = next(_days(rule, terms, _ANCHOR, date(2200, 12, 31)), None)
        if first is None:
            return "không có ngày nào"
        if terms.edge == "WITHIN":
            return f"trong tháng {first.month}/{first.year}, một lần"
        return f"{_edge_word(terms.edge)} ngày {first:%d/%m/%Y}, một lần"
    every = f", {rule.interval} {_UNITS_VI[rule.frequency]} một lần" if rule.interval > 1 else ""
    if every and terms.starts_on:
        every += f" tính từ {terms.starts_on:%m/%Y}"
    end = f", {rule.count} lần" if rule.count else f", đến hết {rule.until:%d/%m/%Y}" if rule.until else ""
    if terms.edge == "WITHIN":
        return _months_words(rule) + every + end
    return f"{_edge_word(terms.edge)} {_day_words(rule)}{every}{end}"


_UNITS_VI = {"DAILY": "ngày", "WEEKLY": "tuần", "MONTHLY": "tháng", "YEARLY": "năm"}


def _edge_word(edge: Edge) -> str:
    return "trước" if edge == "EXCLUSIVE" else "chậm nhất"


def _months_words(rule: Recurrence) -> str:
    months = rule.months
    if not months:
        return "trong mỗi tháng"
    if months == _QUARTER_ENDS:
        return "trong tháng cuối quý"
    if months == (6, 12):
        return "trong tháng 6 và tháng 12 (6 tháng và năm)"
    listed = ", ".join(map(str, months))
    return f"trong {'các ' if len(months) > 1 else ''}tháng {listed} hằng năm"


def _day_words(rule: Recurrence) -> str:
    if rule.frequency == "DAILY" and not rule.weekdays:
        return "hết mỗi ngày" + _in_months(rule.months)
    if rule.weekdays:
        named = ", ".join(_weekday_words(which, day) for which, day in rule.weekdays)
        if rule.frequency in ("DAILY", "WEEKLY"):
            return f"{named} hằng tuần{_in_months(rule.months)}"
        place = f" ({_position_words(rule.position)} trong số đó)" if rule.position is not None else ""
        among = f" rơi vào ngày {', '.join(map(_month_day, rule.month_days))}" if rule.month_days else ""
        return f"{named}{place}{among} {_month_words(rule.months)}"
    if rule.frequency == "WEEKLY":
        return f"cùng thứ với ngày bắt đầu, hằng tuần{_in_months(rule.months)}"
    plain = [day for day in rule.month_days if day > 0]
    if len(plain) == len(rule.month_days) and rule.months and rule.months != _QUARTER_ENDS:
        dates = [f"{day}/{month}" for month in rule.months for day in plain]
        return f"{'các ' if len(dates) > 1 else ''}ngày {', '.join(dates)} hằng năm"
    days = ", ".join(_month_day(day) for day in rule.month_days)
    return f"ngày {days} {_month_words(rule.months)}"


def _month_day(day: int) -> str:
    return str(day) if day > 0 else "cuối" if day == -1 else f"thứ {-day} tính từ cuối"


def _month_words(months: tuple[int, ...]) -> str:
    if not months:
        return "hằng tháng"
    if months == _QUARTER_ENDS:
        return "tháng cuối quý"
    return f"{'các ' if len(months) > 1 else ''}tháng {', '.join(map(str, months))} hằng năm"


def _in_months(months: tuple[int, ...]) -> str:
    return f" trong tháng {', '.join(map(str, months))}" if months else ""


def _weekday_words(which: int | None, day: int) -> str:
    name = WEEKDAYS_VI[day]
    return name if which is None else f"{name} {_position_words(which)}"


def _position_words(which: int) -> str:
    if which == -1:
        return "cuối cùng"
    if which == 1:
        return "đầu tiên"
    return f"thứ {which} tính từ đầu" if which > 0 else f"thứ {-which} tính từ cuối"


def date_words(day: date) -> str:
    """Return «thứ Hai, 14/12/2026»."""
    return f"{WEEKDAYS_VI[day.weekday()]}, {day:%d/%m/%Y}"


def explain(terms: Terms, due: DueDate) -> str:
    """Return why the last day is what it is, in one or two sentences."""
    rule_day = f"{due.rule_date:%d/%m/%Y}"
    edge_day = f"{due.edge_date:%d/%m/%Y}"
    if terms.edge == "EXCLUSIVE":
        said = f"«Trước ngày {rule_day}» không tính ngày đó: ngày cuối còn đúng hạn là {edge_day}."
    elif terms.edge == "WITHIN":
        said = f"«Trong tháng {due.rule_date:%m/%Y}» tính đến hết tháng: ngày cuối còn đúng hạn là {edge_day}."
    else:
        said = f"«Chậm nhất ngày {rule_day}» tính cả ngày đó."
    if due.last_day != due.edge_date:
        where = "về trước" if due.last_day < due.edge_date else "về sau"
        said += (
            f" {edge_day} là ngày nghỉ ({holiday_name(due.edge_date)}) nên dời {where}, đến {date_words(due.last_day)}."
        )
    elif terms.shift == "NONE" and not is_working_day(due.last_day):
        said += f" Ngày này là ngày nghỉ ({holiday_name(due.last_day)}); nghĩa vụ này không dời ngày."
    if terms.grace_days:
        said += f" Châm chước {terms.grace_days} ngày, đến hết {due.grace_until:%d/%m/%Y}."
    return said
