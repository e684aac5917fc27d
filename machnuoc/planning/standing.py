"""Where a target stands: from what was promised, what is known, the path, a forecast and the day. One sentence why.

The rules are told in docs/algorithms/standing.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Literal

from machnuoc.core.vietnamese import format_date, format_number, round_half_up
from machnuoc.planning.comparison import Interval, NotComparable, Promise, accepted, is_met, is_met_within, missing

StatusCode = Literal["MET", "ON_TRACK", "AT_RISK", "MISSED", "EXPIRED", "NO_DATA"]
Series = Sequence[tuple[date, Decimal]]  # (last day of a period, what is reached by then), the oldest first

RECENT_MONTHS = 3
_WORDS = {"GE": "đạt", "GT": ">", "LE": "≤", "LT": "<", "EQ": "", "ABOUT": "khoảng"}


@dataclass(frozen=True)
class Outlook:
    """What is to be expected on the due day; low and high are an 80 % interval where the method gives one."""

    point: Decimal
    low: Decimal | None = None
    high: Decimal | None = None
    method: str = "pace"


@dataclass(frozen=True)
class Verdict:
    """What the judge of a target said: on which day, whether it is met, in words."""

    on_date: date
    is_met: bool
    text: str


@dataclass(frozen=True)
class Question:
    """All that a target's standing depends on, apart from the day on which it is asked and the forecast.

    history: in the target's own measure. is_counted: it grows from zero (more households, works taken over).
    final: the figure of the very period in which it is due, complete. bounds: a figure known only by its edges.
    before: the newest figure from before the plan, in words. obstacle: why no comparison is possible, in words.
    """

    promise: Promise
    unit: str = ""  # label
    printed: str = ""  # the comparator as printed: «ít nhất», «phấn đấu … khoảng»
    starts_on: date | None = None
    due_on: date | None = None
    is_counted: bool = False
    history: Series = ()
    path: Series = ()
    final: Decimal | None = None
    bounds: Interval | None = None
    bounds_text: str = ""
    before: str = ""
    verdict: Verdict | None = None
    is_judged: bool = False
    obstacle: str = ""
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Judgement:
    status: StatusCode
    reason: str
    reached: Decimal | None = None
    as_of: date | None = None
    outlook: Outlook | None = None


def words(promise: Promise, unit: str = "", printed: str = "") -> str:
    """Return what is promised, in words.

    >>> words(Promise("ABOUT", Decimal(15)), "%"), words(Promise("RANGE", Decimal(20), Decimal(24)), "giờ/ngày")
    ('khoảng 15 %', '20–24 giờ/ngày')
    >>> words(Promise("GE", Decimal(3)), "công trình", "ít nhất")
    'ít nhất 3 công trình'
    >>> words(Promise("GE", Decimal(0)), "hộ", "phát triển thêm")
    'không giao phát triển thêm'
    """
    if promise.amount == 0 and printed.endswith("thêm"):
        return f"không giao {printed}"
    if promise.comparator == "JUDGED":
        return printed or "đánh giá định tính"
    if promise.comparator == "NONE_LEFT":
        return printed or "không còn"
    amount = promise.amount if promise.amount is not None else promise.baseline
    number = "" if amount is None else _number(amount, promise.decimals)
    if promise.comparator == "RANGE" and promise.upper is not None:
        number = f"{number}–{_number(promise.upper, promise.decimals)}"
    sign = "giữ vững" if promise.comparator == "KEEP" else _WORDS.get(promise.comparator, "")
    return " ".join(filter(None, [printed or sign, number, unit]))


def _number(amount: Decimal, decimals: int) -> str:
    plain = amount.normalize()
    exponent = plain.as_tuple().exponent
    kept = max(decimals, -exponent) if isinstance(exponent, int) and exponent < 0 else decimals
    return format_number(plain, min(kept, 4))


def say(amount: Decimal, promise: Promise, unit: str, *, bare: bool = False) -> str:
    """Return a figure as exact as the promise is printed, shares with one decimal at least. bare: without the unit."""
    decimals = promise.decimals if unit not in {"%", "giờ/ngày"} else max(promise.decimals, 1)
    shown = round_half_up(amount, decimals)
    return " ".join(filter(None, [format_number(shown, decimals), "" if bare else unit]))


def months_between(earlier: date, later: date) -> int:
    """Return the months from one day to the other, a begun one counted: 31/07 → 31/12 is 5."""
    months = (later.year - earlier.year) * 12 + later.month - earlier.month
    return max(0, months)


def recent_speed(history: Series, months: int = RECENT_MONTHS) -> tuple[Decimal, int] | None:
    """Return how much is added a month lately, and over how many months that was seen; None with fewer than 2 points.

    >>> recent_speed([(date(2026, 3, 31), Decimal(40)), (date(2026, 6, 30), Decimal(100))])
    (Decimal('20'), 3)
    """
    if len(history) < 2:
        return None
    last_day, last = history[-1]
    earlier = [(day, amount) for day, amount in history[:-1] if months_between(day, last_day) >= 1]
    if not earlier:
        return None
    far_enough = [pair for pair in earlier if months_between(pair[0], last_day) >= months]
    day, amount = far_enough[-1] if far_enough else earlier[0]
    seen = months_between(day, last_day)
    return (last - amount) / seen, seen


def expected_at(day: date, path: Series) -> Decimal | None:
    """Return what the path asks for on a day, straight between its steps; None before the first one.

    >>> expected_at(date(2026, 5, 16), [(date(2026, 5, 1), Decimal(0)), (date(2026, 5, 31), Decimal(30))])
    Decimal('15')
    """
    if not path or day < path[0][0]:
        return None
    for (start, low), (end, high) in pairwise(path):
        if start <= day <= end:
            return low + (high - low) * (day - start).days / (end - start).days
    return path[-1][1]


def whole_path(question: Question) -> list[tuple[date, Decimal]]:
    """Return the path with its beginning and its end: the baseline, the printed steps, the promise.

    Without a beginning that is known there is no path. Empty for promises that ask for no number.
    """
    promise = question.promise
    goal = promise.amount
    if goal is None or question.due_on is None:
        return []
    steps = [pair for pair in question.path if pair[0] < question.due_on]
    start = Decimal(0) if question.is_counted else promise.baseline
    if question.starts_on is not None and start is not None and question.starts_on < question.due_on:
        begun = date.fromordinal(question.starts_on.toordinal() - 1)
        steps = [(begun, start), *[pair for pair in steps if pair[0] > begun]]
    if not steps:
        return []
    at_due = [pair for pair in question.path if pair[0] == question.due_on]
    return [*steps, *(at_due or [(question.due_on, goal)])]


def by_pace(question: Question) -> Outlook | None:
    """Return the outlook where there is too little history to forecast: the recent speed goes on; else the path does.

    A share or another level is not carried on by its speed: it follows the path from where it stands.
    """
    history = _within(question)
    if not history or question.due_on is None:
        return None
    as_of, reached = history[-1]
    left = months_between(as_of, question.due_on)
    if question.is_counted:
        points = history
        if question.starts_on is not None:
            begun = date.fromordinal(question.starts_on.toordinal() - 1)
            points = [(begun, Decimal(0)), *[pair for pair in history if pair[0] > begun]]
        speed = recent_speed(points)
        return Outlook(reached + speed[0] * left, method="pace") if speed else None
    path = whole_path(question)
    now, then = expected_at(as_of, path), expected_at(question.due_on, path)
    if now is None or then is None or not question.path:
        return None
    return Outlook(reached + then - now, method="path")


def _within(question: Question) -> list[tuple[date, Decimal]]:
    """Return the part of the history that lies in the plan's time."""
    start = question.starts_on
    return [pair for pair in question.history if start is None or pair[0] >= start]


def judge(question: Question, today: date, outlook: Outlook | None = None) -> Judgement:
    """Return where the target stands on a day, and why in one Vietnamese sentence."""
    if question.obstacle:
        return Judgement("NO_DATA", question.obstacle)
    passed = question.due_on is not None and today > question.due_on
    if question.is_judged:
        return _by_verdict(question, passed)
    try:
        accepted(question.promise)
    except NotComparable:
        return Judgement("NO_DATA", "Chưa so sánh được: chỉ tiêu thiếu mức phải đạt hoặc mức gốc. Bổ sung rồi xem lại.")
    if question.final is not None:
        return _by_final(question, question.final, passed)
    seen = _within(question)
    if not seen:
        return _without_figure(question, passed)
    as_of, reached = seen[-1]
    met = is_met(question.promise, reached)
    if met and question.is_counted and question.promise.is_rising:  # what was added stays added
        text = f"Đã đạt {say(reached, question.promise, question.unit)} (đến {format_date(as_of)})"
        text += f", {_goal(question)}"
        return Judgement("MET", _sentence(question, text), reached, as_of, outlook)
    if passed:
        if question.due_on is not None and as_of >= question.due_on:
            return Judgement("MET" if met else "MISSED", _sentence(question, _ended(question, reached)), reached, as_of)
        text = (
            f"Đã hết kỳ ngày {format_date(question.due_on)}, chưa có số liệu của kỳ cuối; "
            f"đến {format_date(as_of)}: {say(reached, question.promise, question.unit)}, {_goal(question)}"
        )
        if question.before:
            text += f"; trước đó: {question.before}"
        return Judgement("EXPIRED", _sentence(question, text), reached, as_of)
    return _under_way(question, as_of, reached, met, outlook)


def _under_way(question: Question, as_of: date, reached: Decimal, met: bool, outlook: Outlook | None) -> Judgement:
    promise = question.promise
    due = question.due_on
    if due is None:
        text = f"Đến {format_date(as_of)}: {say(reached, promise, question.unit)}, {_goal(question)}"
        return Judgement("MET" if met else "AT_RISK", _sentence(question, text), reached, as_of)
    parts = []
    if question.is_counted and promise.amount is not None:
        left = months_between(as_of, due)
        total = say(promise.amount, promise, question.unit)
        parts.append(f"còn {say(missing(promise, reached), promise, question.unit, bare=True)}/{total}, {left} tháng")
        begun = date.fromordinal(question.starts_on.toordinal() - 1) if question.starts_on else None
        points = [*([(begun, Decimal(0))] if begun else []), *[pair for pair in _within(question) if pair[0] != begun]]
        speed = recent_speed(points)
        if speed:
            parts.append(f"tốc độ {speed[1]} tháng gần nhất {say(speed[0], promise, question.unit)}/tháng")
    else:
        parts.append(f"đến {format_date(as_of)}: {say(reached, promise, question.unit)}, {_goal(question)}")
    if outlook is not None:
        on_track = is_met(promise, round_half_up(outlook.point, promise.decimals))
        parts.append(f"dự kiến {due:%d/%m/%Y} đạt {say(outlook.point, promise, question.unit)}")
        if outlook.low is not None and outlook.high is not None:
            low, high = (say(edge, promise, question.unit, bare=True) for edge in (outlook.low, outlook.high))
            parts[-1] += f" (khả năng 80 %: {low} đến {high})"
        return Judgement("ON_TRACK" if on_track else "AT_RISK", _sentence(question, "; ".join(parts)), reached, as_of,
                         outlook)  # fmt: skip
    asked = expected_at(as_of, whole_path(question))
    if met:
        parts.append("đã ở mức phải đạt, cần giữ đến hạn")
        return Judgement("ON_TRACK", _sentence(question, "; ".join(parts)), reached, as_of)
    if asked is None:
        parts.append("chưa đủ số liệu để dự báo")
        return Judgement("AT_RISK", _sentence(question, "; ".join(parts)), reached, as_of)
    rising = promise.is_rising or (promise.amount is not None and (promise.baseline or 0) < promise.amount)
    on_path = reached >= asked if rising else reached <= asked
    parts.append(f"theo tiến độ phải {say(asked, promise, question.unit)}")
    return Judgement("ON_TRACK" if on_path else "AT_RISK", _sentence(question, "; ".join(parts)), reached, as_of)


def _by_verdict(question: Question, passed: bool) -> Judgement:
    said = question.verdict
    if said is None:
        if passed:
            return Judgement("EXPIRED", f"Đã hết kỳ ngày {format_date(question.due_on)}, chưa có đánh giá.")
        return Judgement("NO_DATA", "Chờ người có trách nhiệm đánh giá.")
    text = f"Đánh giá ngày {format_date(said.on_date)}: {'đạt' if said.is_met else 'chưa đạt'}. {said.text}".strip()
    if said.is_met:
        return Judgement("MET", text)
    return Judgement("MISSED" if passed else "AT_RISK", text)


def _by_final(question: Question, final: Decimal, passed: bool) -> Judgement:
    met = is_met(question.promise, final)
    status: StatusCode = "MET" if met else "MISSED" if passed else "AT_RISK"
    return Judgement(status, _sentence(question, _ended(question, final)), final, question.due_on)


def _without_figure(question: Question, passed: bool) -> Judgement:
    if question.bounds is not None:
        told = is_met_within(question.promise, question.bounds)
        text = f"Mới biết {question.bounds_text}, {_goal(question)}"
        if told is None or passed:
            more = "chưa đủ để kết luận" if told is None else "chưa có số liệu của kỳ cuối"
            return Judgement("EXPIRED" if passed else "NO_DATA", _sentence(question, f"{text}; {more}"))
        return Judgement("ON_TRACK" if told else "AT_RISK", _sentence(question, text))
    if passed:
        text = f"Đã hết kỳ ngày {format_date(question.due_on)}, hệ thống không có số liệu của kỳ"
    else:
        text = "Chưa có số liệu trong kỳ"
    if question.before:
        text += f"; gần nhất: {question.before}"
    return Judgement("EXPIRED" if passed else "NO_DATA", _sentence(question, text))


def _ended(question: Question, reached: Decimal) -> str:
    return f"Kết quả {say(reached, question.promise, question.unit)}, {_goal(question)}"


def _goal(question: Question) -> str:
    goal = words(question.promise, question.unit, question.printed)
    if question.printed:
        return f"kế hoạch: {goal}"
    return f"phải {goal}" if goal.startswith("đạt ") else f"phải đạt {goal}"


def _sentence(question: Question, text: str) -> str:
    whole = "; ".join([text, *question.notes])
    return f"{whole[0].upper()}{whole[1:]}."
