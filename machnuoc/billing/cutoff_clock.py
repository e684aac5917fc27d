"""When water may be cut off for an unpaid bill: a clock from the written notice, that nobody can jump.

Source: NĐ 117/2007/NĐ-CP, Điều 45: a household five weeks after the notice, ten if it told an objective reason; others
fifteen working days. How the days are counted (the day of the notice not, a last day off moves to the next working day)
follows Bộ luật Dân sự 2015, Điều 147–148, recalled. The lengths come as a dated rule (see data/cutoff_rules.toml).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

IsWorkingDay = Callable[[date], bool]


@dataclass(frozen=True)
class Rule:
    """Lengths of the law, from valid_from on."""

    valid_from: date
    household_weeks: int
    household_weeks_with_reason: int
    other_working_days: int
    document: str
    is_verified: bool


def rule_on(rules: list[Rule], day: date) -> Rule:
    """Return the rule in force on a day: the last that began. Raises ValueError if none had."""
    begun = [rule for rule in rules if rule.valid_from <= day]
    if not begun:
        raise ValueError(f"no rule on {day}")
    return max(begun, key=lambda rule: rule.valid_from)


def earliest_cutoff_date(
    notice_date: date, *, is_household: bool, told_reason: bool, rule: Rule, is_working_day: IsWorkingDay
) -> date:
    """Return the first day on which water may be cut off: the day after the last day that the law gives.

    told_reason: the customer has told an objective reason; it counts for households alone.
    """
    if is_household:
        weeks = rule.household_weeks_with_reason if told_reason else rule.household_weeks
        last = notice_date + timedelta(weeks=weeks)
    else:
        last = notice_date
        for _ in range(rule.other_working_days):
            last = _next_working_day(last + timedelta(days=1), is_working_day)
    return _next_working_day(last, is_working_day) + timedelta(days=1)


def _next_working_day(day: date, is_working_day: IsWorkingDay) -> date:
    while not is_working_day(day):
        day += timedelta(days=1)
    return day


@dataclass(frozen=True)
class Standing:
    """Of a case on a day. may_cut_off: whether an order may be written; why_not: else the reason, in Vietnamese."""

    may_cut_off: bool
    earliest_date: date | None
    why_not: str = ""


def judge(
    today: date,
    *,
    notice_date: date | None,
    final_notice_date: date | None,
    is_household: bool,
    told_reason: bool,
    has_open_dispute: bool,
    owed_vnd: int,
    rule: Rule,
    is_working_day: IsWorkingDay,
) -> Standing:
    """Return whether water may be cut off today. Every condition holds for everybody, whoever asks."""
    if notice_date is None:
        return Standing(False, None, "Chưa gửi thông báo bằng văn bản: thời hạn luật định chưa bắt đầu.")
    earliest = earliest_cutoff_date(
        notice_date, is_household=is_household, told_reason=told_reason, rule=rule, is_working_day=is_working_day
    )
    if owed_vnd <= 0:
        return Standing(False, earliest, "Khách hàng không còn nợ quá hạn.")
    if has_open_dispute:
        return Standing(
            False, earliest, "Có khiếu nại hóa đơn chưa trả lời: không được ngừng cấp nước trong thời gian xem xét."
        )
    if today < earliest:
        return Standing(False, earliest, f"Chưa hết thời hạn luật định: sớm nhất ngày {earliest:%d/%m/%Y}.")
    if final_notice_date is None:
        return Standing(False, earliest, "Chưa gửi thông báo ngừng cấp nước lần cuối.")
    if final_notice_date >= today:
        return Standing(False, earliest, "Thông báo lần cuối gửi hôm nay: sớm nhất từ ngày mai.")
    return Standing(True, earliest)
