"""How long an answer may take: from the moment that a request comes to the moment by which it must be answered.

Four ways of counting:
    HOURS          hours on end, day and night
    WORKING_HOURS  hours in which the operator works
    DAYS           whole days after the day of receipt; a last day without work moves to the next working day
    WORKING_DAYS   working days after the day of receipt
Days end at midnight: the moment that is returned is the start of the day after the last one (half-open). The day of
receipt does not count. The clock never pauses: a reply to an answer begins a new one.
Source of the rules of days: Bộ luật Dân sự 2015, Điều 147–148 (written from memory, not compared with the text).
"""

import re
from collections.abc import Container
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal

from machnuoc.core.periods import LOCAL_ZONE

Unit = Literal["HOURS", "WORKING_HOURS", "DAYS", "WORKING_DAYS"]

ZONE = LOCAL_ZONE
LOOKS_AHEAD_DAYS = 3_660  # a clock that finds no working hour in ten years has hours that never come
_SPAN = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")


class BadHours(ValueError):
    """Working hours that cannot be; the text says which and how to write them."""


@dataclass(frozen=True)
class Hours:
    """When an operator works. weekdays: 0 is Monday. spans: of one day, in order, half-open, without overlap."""

    weekdays: frozenset[int]
    spans: tuple[tuple[time, time], ...]

    def __post_init__(self) -> None:
        if not self.weekdays or not self.weekdays <= set(range(7)):
            raise BadHours("Chọn ít nhất một ngày làm việc trong tuần, từ thứ hai (1) đến chủ nhật (7).")
        ends = time.min
        for begin, end in self.spans:
            if begin >= end or begin < ends:
                raise BadHours(
                    "Các khoảng giờ làm việc phải theo thứ tự, không chồng lên nhau: 07:30-11:30,13:30-17:00."
                )
            ends = end
        if not self.spans:
            raise BadHours("Khai ít nhất một khoảng giờ làm việc, ví dụ 07:30-11:30,13:30-17:00.")


OFFICE_HOURS = Hours(frozenset(range(5)), ((time(7, 30), time(11, 30)), (time(13, 30), time(17))))


def parse_hours(weekdays: str, spans: str) -> Hours:
    """Return hours from «12345» (1 is Monday) and «07:30-11:30,13:30-17:00». Raises BadHours.

    >>> parse_hours("12345", "07:30-11:30,13:30-17:00") == OFFICE_HOURS
    True
    """
    if not re.fullmatch(r"[1-7]{1,7}", weekdays):
        raise BadHours("Ngày làm việc viết bằng các số từ 1 (thứ hai) đến 7 (chủ nhật), ví dụ 12345.")
    found = []
    for part in spans.replace(" ", "").split(","):
        match = _SPAN.fullmatch(part)
        numbers = [int(text) for text in match.groups()] if match else []
        if not match or numbers[0] > 23 or numbers[2] > 23 or numbers[1] > 59 or numbers[3] > 59:
            raise BadHours(f"«{part[:20]}» không phải khoảng giờ. Viết như 07:30-11:30,13:30-17:00.")
        found.append((time(numbers[0], numbers[1]), time(numbers[2], numbers[3])))
    return Hours(frozenset(int(digit) - 1 for digit in weekdays), tuple(found))


def due_at(
    start_at: datetime, unit: Unit, amount: int, *, hours: Hours = OFFICE_HOURS, holidays: Container[date] = ()
) -> datetime:
    """Return the moment by which what came at start_at must be answered, in the zone ZONE.

    start_at: with a zone. amount: 1 or more, in the unit. holidays: days without work beside those of the week.
    Raises ValueError for an amount below 1 and BadHours if no working hour comes.
    """
    if amount < 1:
        raise ValueError(f"a clock of {amount} {unit}")
    start_at = start_at.astimezone(ZONE)
    if unit == "HOURS":
        return start_at + timedelta(hours=amount)
    if unit == "WORKING_HOURS":
        return _add_working_time(start_at, timedelta(hours=amount), hours, holidays)
    last = start_at.date()
    if unit == "DAYS":
        last += timedelta(days=amount)
        while not is_working_day(last, hours, holidays):
            last = _next_day(start_at, last)
    else:
        for _ in range(amount):
            last = _next_day(start_at, last)
            while not is_working_day(last, hours, holidays):
                last = _next_day(start_at, last)
    return _midnight(last + timedelta(days=1))


def is_working_day(day: date, hours: Hours = OFFICE_HOURS, holidays: Container[date] = ()) -> bool:
    return day.weekday() in hours.weekdays and day not in holidays


def working_time(
    from_at: datetime, until: datetime, *, hours: Hours = OFFICE_HOURS, holidays: Container[date] = ()
) -> timedelta:
    """Return how much of [from_at, until) the operator works."""
    from_at, until = from_at.astimezone(ZONE), until.astimezone(ZONE)
    total = timedelta()
    day = from_at.date()
    while day <= until.date():
        if is_working_day(day, hours, holidays):
            for begin, end in hours.spans:
                first = max(datetime.combine(day, begin, ZONE), from_at)
                last = min(datetime.combine(day, end, ZONE), until)
                total += max(last - first, timedelta())
        day += timedelta(days=1)
    return total


def used_pct(start_at: datetime, due: datetime, now: datetime) -> int:
    """Return how much of the time from start to due is gone, 0 and more; above 100 it is late.

    Plain time, also of clocks that count working hours: what matters is how soon the moment comes.

    >>> used_pct(datetime(2026, 7, 6, 8, tzinfo=ZONE), datetime(2026, 7, 6, 18, tzinfo=ZONE),
    ...          datetime(2026, 7, 6, 16, tzinfo=ZONE))
    80
    """
    whole_s = (due - start_at).total_seconds()
    gone_s = (now - start_at).total_seconds()
    return 0 if gone_s <= 0 else int(gone_s * 100 / whole_s) if whole_s > 0 else 100


def duration_text(span: timedelta) -> str:
    """Return a span in words, its two largest parts, cut down to whole minutes.

    >>> duration_text(timedelta(hours=6, minutes=20, seconds=50)), duration_text(timedelta(days=2, minutes=5))
    ('6 giờ 20 phút', '2 ngày')
    >>> duration_text(timedelta(seconds=30)), duration_text(timedelta(days=1, hours=3))
    ('dưới 1 phút', '1 ngày 3 giờ')
    """
    minutes = int(abs(span).total_seconds() // 60)
    days, rest = divmod(minutes, 1_440)
    hours, minutes = divmod(rest, 60)
    if days:
        return f"{days} ngày {hours} giờ" if hours else f"{days} ngày"
    if hours:
        return f"{hours} giờ {minutes} phút" if minutes else f"{hours} giờ"
    return f"{minutes} phút" if minutes else "dưới 1 phút"


def left_text(due: datetime, now: datetime) -> str:
    """Return what a clock shows.

    >>> due = datetime(2026, 7, 6, 18, tzinfo=ZONE)
    >>> left_text(due, datetime(2026, 7, 6, 11, 40, tzinfo=ZONE)), left_text(due, datetime(2026, 7, 8, 20, tzinfo=ZONE))
    ('còn 6 giờ 20 phút', 'quá hạn 2 ngày 2 giờ')
    """
    return f"còn {duration_text(due - now)}" if now <= due else f"quá hạn {duration_text(now - due)}"


def due_text(due: datetime) -> str:
    """Return the moment in words; midnight is the end of the day before.

    >>> due_text(datetime(2026, 7, 7, tzinfo=ZONE)), due_text(datetime(2026, 7, 7, 9, 5, tzinfo=ZONE))
    ('hết ngày 06/07/2026', '09:05 ngày 07/07/2026')
    """
    local = due.astimezone(ZONE)
    if local.time() == time.min:
        return f"hết ngày {local.date() - timedelta(days=1):%d/%m/%Y}"
    return f"{local:%H:%M} ngày {local:%d/%m/%Y}"


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, ZONE)


def _next_day(start_at: datetime, day: date) -> date:
    day += timedelta(days=1)
    if (day - start_at.date()).days > LOOKS_AHEAD_DAYS:
        raise BadHours("Không tìm thấy ngày làm việc nào trong mười năm tới. Xem lại ngày làm việc và ngày nghỉ.")
    return day


def _add_working_time(start_at: datetime, left: timedelta, hours: Hours, holidays: Container[date]) -> datetime:
    day = start_at.date()
    while True:
        if is_working_day(day, hours, holidays):
            for begin, end in hours.spans:
                first = max(datetime.combine(day, begin, ZONE), start_at)
                last = datetime.combine(day, end, ZONE)
                if last - first >= left:
                    return first + left
                left -= max(last - first, timedelta())
        day = _next_day(start_at, day)
