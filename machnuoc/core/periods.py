"""Periods of time that figures belong to: year, half-year, quarter, month, ISO week, day.

This is the one place where time is cut: periods are half-open (start in, end out) and begin at midnight in
Asia/Ho_Chi_Minh. A period's key is its text in addresses, files and formulas: 2026, 2026-H1, 2026-Q3, 2026-02,
2026-W07, 2026-02-10.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal, Self, get_args
from zoneinfo import ZoneInfo

LOCAL_ZONE = ZoneInfo("Asia/Ho_Chi_Minh")

PeriodKind = Literal["Y", "H", "Q", "M", "W", "D"]
KINDS: tuple[PeriodKind, ...] = get_args(PeriodKind)

FIRST_YEAR = 1900
LAST_YEAR = 2200
_FIRST_DATE = date(FIRST_YEAR, 1, 1)
_END_DATE = date(LAST_YEAR + 1, 1, 1)

_MONTHS: dict[PeriodKind, int] = {"Y": 12, "H": 6, "Q": 3, "M": 1}
_DAYS: dict[PeriodKind, int] = {"W": 7, "D": 1}

# Kinds whose periods always tile a period of the kind on the left, and those that always lie around it. An ISO week
# may lie across two months, quarters or years, so it divides nothing larger and only days divide it.
_PARTS: dict[PeriodKind, tuple[PeriodKind, ...]] = {
    "Y": ("H", "Q", "M", "D"),
    "H": ("Q", "M", "D"),
    "Q": ("M", "D"),
    "M": ("D",),
    "W": ("D",),
    "D": (),
}
_ENCLOSING: dict[PeriodKind, tuple[PeriodKind, ...]] = {
    "Y": (),
    "H": ("Y",),
    "Q": ("H", "Y"),
    "M": ("Q", "H", "Y"),
    "W": (),
    "D": ("W", "M", "Q", "H", "Y"),
}
_KIND_NAMES_VI: dict[PeriodKind, str] = {
    "Y": "năm",
    "H": "nửa năm",
    "Q": "quý",
    "M": "tháng",
    "W": "tuần",
    "D": "ngày",
}
_QUARTERS_VI = ("I", "II", "III", "IV")

_KEY = re.compile(
    r"(?P<year>[0-9]{4})"
    r"(?:-H(?P<half>[12])|-Q(?P<quarter>[1-4])|-W(?P<week>[0-9]{2})|-(?P<month>[0-9]{2})(?:-(?P<day>[0-9]{2}))?)?"
)


class BadPeriod(ValueError):
    """Not a period: text that names none, a date that starts none, or a division that leaves a rest."""


def local_date(moment: datetime) -> date:
    """Return the day on which a moment falls in Viet Nam. Raises ValueError if the moment has no time zone.

    >>> from datetime import UTC
    >>> local_date(datetime(2026, 1, 31, 17, 0, tzinfo=UTC))
    datetime.date(2026, 2, 1)
    """
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError(f"a moment needs a time zone: {moment.isoformat()}")
    return moment.astimezone(LOCAL_ZONE).date()


def _as_local_date(day: date | datetime) -> date:
    return local_date(day) if isinstance(day, datetime) else day


def _add_months(day: date, months: int) -> date:
    """Return the first day of the month that lies so many months after that of the day. Raises BadPeriod."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if not FIRST_YEAR <= year <= LAST_YEAR + 1:
        raise _out_of_range()
    return date(year, month + 1, 1)


def _out_of_range() -> BadPeriod:
    return BadPeriod(f"Kỳ nằm ngoài khoảng từ năm {FIRST_YEAR} đến năm {LAST_YEAR}. Kiểm tra lại năm.")


def _start_of(day: date, kind: PeriodKind) -> date:
    if kind in _DAYS:
        return day - timedelta(days=day.weekday()) if kind == "W" else day
    months = _MONTHS[kind]
    return date(day.year, (day.month - 1) // months * months + 1, 1)


@dataclass(frozen=True, order=True)
class Period:
    """A calendar period, given by its kind and its first day. Periods of one kind sort by time.

    Raises BadPeriod if no period of the kind starts on that day, or if it starts outside of the years 1900-2200.
    """

    kind: PeriodKind
    start_date: date

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadPeriod(f"Không có loại kỳ “{self.kind}”. Các loại kỳ: {', '.join(KINDS)}.")
        if isinstance(self.start_date, datetime):
            raise TypeError("start_date is a day, not a moment; use Period.containing")
        if not _FIRST_DATE <= self.start_date < _END_DATE:
            raise _out_of_range()
        if _start_of(self.start_date, self.kind) != self.start_date:
            raise BadPeriod(
                f"Không có kỳ loại “{_KIND_NAMES_VI[self.kind]}” nào bắt đầu từ ngày {self.start_date:%d/%m/%Y}. "
                "Chọn ngày đầu tiên của kỳ."
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the period that a key names. Raises BadPeriod.

        >>> Period.parse("2026-Q3").start_date
        datetime.date(2026, 7, 1)
        >>> Period.parse("2026-W07").start_date
        datetime.date(2026, 2, 9)
        """
        match = _KEY.fullmatch(text)
        if match is None:
            shown = text if len(text) <= 40 else text[:40] + "…"
            raise BadPeriod(
                f"“{shown}” không phải một kỳ. Viết theo một trong các mẫu: 2026, 2026-H1, 2026-Q3, 2026-02, "
                "2026-W07, 2026-02-10."
            )
        year, half, quarter, week, month, day = (int(part) if part else None for part in match.groups())
        if year is None or not FIRST_YEAR <= year <= LAST_YEAR + (week is not None):
            raise _out_of_range()
        try:
            if half is not None:
                return cls("H", date(year, half * 6 - 5, 1))
            if quarter is not None:
                return cls("Q", date(year, quarter * 3 - 2, 1))
            if week is not None:
                return cls("W", date.fromisocalendar(year, week, 1))
            if month is not None:
                return cls("M" if day is None else "D", date(year, month, 1 if day is None else day))
        except BadPeriod:
            raise
        except ValueError as reason:
            raise BadPeriod(f"“{text}” không có trong lịch. Kiểm tra lại ngày, tháng hoặc số tuần.") from reason
        return cls("Y", date(year, 1, 1))

    @classmethod
    def containing(cls, day: date | datetime, kind: PeriodKind) -> Self:
        """Return the period of the kind in which a day, or a moment with a time zone, falls.

        Raises ValueError for a moment without time zone, BadPeriod outside of the years 1900-2200.

        >>> Period.containing(date(2026, 8, 20), "Q").key
        '2026-Q3'
        """
        if kind not in KINDS:
            raise BadPeriod(f"Không có loại kỳ “{kind}”. Các loại kỳ: {', '.join(KINDS)}.")
        local = _as_local_date(day)
        if not _FIRST_DATE <= local < _END_DATE:
            raise _out_of_range()
        return cls(kind, _start_of(local, kind))

    @property
    def key(self) -> str:
        """The text that Period.parse reads back."""
        start = self.start_date
        match self.kind:
            case "Y":
                return f"{start.year:04}"
            case "H":
                return f"{start.year:04}-H{start.month // 6 + 1}"
            case "Q":
                return f"{start.year:04}-Q{start.month // 3 + 1}"
            case "M":
                return f"{start.year:04}-{start.month:02}"
            case "W":
                year, week, _ = start.isocalendar()
                return f"{year:04}-W{week:02}"
            case "D":
                return start.isoformat()

    def __str__(self) -> str:
        return self.key

    @property
    def end_date(self) -> date:
        """The first day after the period."""
        if self.kind in _DAYS:
            return self.start_date + timedelta(days=_DAYS[self.kind])
        return _add_months(self.start_date, _MONTHS[self.kind])

    @property
    def start_at(self) -> datetime:
        """Local midnight at which the period begins."""
        return datetime.combine(self.start_date, time.min, tzinfo=LOCAL_ZONE)

    @property
    def end_at(self) -> datetime:
        """Local midnight at which the period is over; that moment belongs to the next period."""
        return datetime.combine(self.end_date, time.min, tzinfo=LOCAL_ZONE)

    @property
    def label_vi(self) -> str:
        """What a screen shows.

        >>> Period.parse("2026-Q3").label_vi, Period.parse("2026-H2").label_vi
        ('Quý III/2026', '6 tháng cuối năm 2026')
        """
        start = self.start_date
        match self.kind:
            case "Y":
                return f"Năm {start.year}"
            case "H":
                return f"6 tháng {'đầu' if start.month == 1 else 'cuối'} năm {start.year}"
            case "Q":
                return f"Quý {_QUARTERS_VI[start.month // 3]}/{start.year}"
            case "M":
                return f"Tháng {start:%m/%Y}"
            case "W":
                year, week, _ = start.isocalendar()
                return f"Tuần {week:02}/{year}"
            case "D":
                return f"Ngày {start:%d/%m/%Y}"

    @property
    def label_inside_vi(self) -> str:
        """The same inside a sentence: the Roman number of a quarter stays large.

        >>> Period.parse("2026-Q4").label_inside_vi
        'quý IV/2026'
        """
        return self.label_vi[:1].lower() + self.label_vi[1:]

    def contains(self, day: date | datetime) -> bool:
        """Return whether a day, or a moment with a time zone, falls in the period.

        Raises ValueError for a moment without time zone.
        """
        return self.start_date <= _as_local_date(day) < self.end_date

    def is_over(self, now: datetime) -> bool:
        """Return whether the period has ended at that moment. Raises ValueError if it has no time zone."""
        return local_date(now) >= self.end_date

    def shift(self, count: int) -> Self:
        """Return the period of the same kind that lies count periods later, or earlier if count is negative.

        Raises BadPeriod outside of the years 1900-2200.

        >>> Period.parse("2026-01").shift(-1).key
        '2025-12'
        """
        if self.kind not in _DAYS:
            return type(self)(self.kind, _add_months(self.start_date, count * _MONTHS[self.kind]))
        try:
            return type(self)(self.kind, self.start_date + timedelta(days=count * _DAYS[self.kind]))
        except OverflowError as reason:
            raise _out_of_range() from reason

    @property
    def previous(self) -> Self:
        """The period of the same kind just before. Raises BadPeriod before 1900."""
        return self.shift(-1)

    @property
    def next(self) -> Self:
        """The period of the same kind just after. Raises BadPeriod after 2200."""
        return self.shift(1)

    def split(self, kind: PeriodKind) -> list[Self]:
        """Return the periods of a finer kind that make up this one, in order; a period's own kind gives itself.

        Raises BadPeriod if they do not divide it exactly (a month into weeks).

        >>> [part.key for part in Period.parse("2026-H2").split("Q")]
        ['2026-Q3', '2026-Q4']
        """
        if kind != self.kind and kind not in _PARTS[self.kind]:
            raise BadPeriod(
                f"{self.label_vi} không chia được thành các kỳ loại “{_KIND_NAMES_VI.get(kind, kind)}” trọn vẹn. "
                "Chọn loại kỳ khác."
            )
        parts = []
        start_date = self.start_date
        while start_date < self.end_date:
            part = type(self)(kind, start_date)
            parts.append(part)
            start_date = part.end_date
        return parts


def list_enclosing(period: Period) -> list[Period]:
    """Return the larger periods in which this one wholly lies, smallest first. A week lies wholly in none for certain.

    >>> [larger.key for larger in list_enclosing(Period.parse("2026-08"))]
    ['2026-Q3', '2026-H2', '2026']
    """
    return [Period.containing(period.start_date, kind) for kind in _ENCLOSING[period.kind]]
