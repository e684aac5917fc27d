"""What the payments of a project say: rate, curve through the year, expectation for its end, debts, carried capital.

Money is whole đồng, days are dates in Asia/Ho_Chi_Minh. A rate is what was paid of what may be paid in the year (the
year's capital and what was carried over into it); of several projects it is sum over sum. Worked figures:
docs/algorithms/disbursement.md.
"""

from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Literal

PACE_MONTHS = 3  # the pace of the newest whole months; one payment must not make a year
WARN_DAYS = 60  # how long before its last lawful day carried capital is worth a warning
PaceBasis = Literal["recent", "year", "none"]


@dataclass(frozen=True)
class Payment:
    """Money paid on a day; a reversal is negative and takes the day of what it reverses."""

    on_date: date
    amount_vnd: int
    from_carry_over: bool = False


@dataclass(frozen=True)
class Capital:
    """What may be paid in a year. months: month → what is meant to be paid in it, empty where nobody divided the year.

    carry_over_until: the last lawful day of the carried capital as the document gives it, or None.
    """

    year: int
    amount_vnd: int
    carried_over_vnd: int = 0
    carry_over_until: date | None = None
    months: Mapping[int, int] = field(default_factory=dict)

    @property
    def total_vnd(self) -> int:
        return self.amount_vnd + self.carried_over_vnd


@dataclass(frozen=True)
class CurvePoint:
    """Where a year stands at the end of a month, from 1 January. paid_vnd: None for a month that has not begun."""

    month: int
    planned_vnd: int | None
    paid_vnd: int | None


@dataclass(frozen=True)
class Forecast:
    """What will be paid by 31 December if the pace holds; never more than may be paid."""

    paid_vnd: int
    expected_vnd: int
    pace_vnd_month: int
    basis: PaceBasis
    months_left: int


@dataclass(frozen=True)
class CarryOver:
    """What is left of the capital carried over into a year, and until when it may be spent."""

    left_vnd: int
    last_day: date
    days_left: int

    @property
    def is_lost(self) -> bool:
        return self.left_vnd > 0 and self.days_left < 0

    @property
    def is_urgent(self) -> bool:
        return self.left_vnd > 0 and 0 <= self.days_left <= WARN_DAYS


def sum_paid(payments: Iterable[Payment], *, year: int | None = None, until: date | None = None) -> int:
    """Return what was paid, in one calendar year or ever, up to and with a day."""
    return sum(
        payment.amount_vnd
        for payment in payments
        if (year is None or payment.on_date.year == year) and (until is None or payment.on_date <= until)
    )


def rate_pct(paid_vnd: int, planned_vnd: int) -> Fraction | None:
    """Return the exact disbursement rate in %, or None where nothing was planned.

    >>> rate_pct(8_200, 16_400)
    Fraction(50, 1)
    """
    return Fraction(100 * paid_vnd, planned_vnd) if planned_vnd > 0 else None


def debt_vnd(accepted_vnd: int, paid_vnd: int) -> int:
    """Return what is accepted and not paid («nợ đọng xây dựng cơ bản»); advances are no negative debt.

    >>> debt_vnd(10, 4), debt_vnd(4, 10)
    (6, 0)
    """
    return max(accepted_vnd - paid_vnd, 0)


def last_lawful_day(capital: Capital) -> date:
    """Return the last day on which carried capital may be spent: as the document says, else 31/12 of its new year."""
    return capital.carry_over_until or date(capital.year, 12, 31)


def carry_over(capital: Capital, payments: Iterable[Payment], today: date) -> CarryOver | None:
    """Return what is left of the carried capital and how long it lives; None where nothing was carried over."""
    if capital.carried_over_vnd <= 0:
        return None
    spent = sum(
        payment.amount_vnd
        for payment in payments
        if payment.from_carry_over and payment.on_date.year == capital.year and payment.on_date <= today
    )
    last = last_lawful_day(capital)
    return CarryOver(max(capital.carried_over_vnd - spent, 0), last, (last - today).days)


def curve(capital: Capital, payments: Sequence[Payment], today: date) -> list[CurvePoint]:
    """Return the S-curve of the year: planned and paid by the end of each month, both from 1 January.

    planned_vnd is None throughout where nobody divided the year into months.
    """
    planned, found = 0, []
    for month in range(1, 13):
        planned += capital.months.get(month, 0)
        begun = date(capital.year, month, 1) <= today
        end = min(_last_day(capital.year, month), today)
        found.append(
            CurvePoint(
                month,
                planned if capital.months else None,
                sum_paid(payments, year=capital.year, until=end) if begun else None,
            )
        )
    return found


def due_by_now_vnd(capital: Capital, today: date) -> int | None:
    """Return what should have been paid by the end of the last whole month; None where the year is not divided.

    A year that is over asks for everything, divided or not.
    """
    if today > date(capital.year, 12, 31):
        return capital.total_vnd
    if not capital.months:
        return None
    return sum(amount for month, amount in capital.months.items() if _last_day(capital.year, month) < today)


def forecast_year_end(capital: Capital, payments: Sequence[Payment], today: date) -> Forecast | None:
    """Return what will be paid by 31 December at the pace of the newest whole months; None outside the year.

    The straight rule: paid + pace × what is left of the year. The pace is that of the last three whole months of the
    year; before there are three, that of the year so far. Nothing is forecast beyond what may be paid.
    """
    if today.year != capital.year:
        return None
    paid = sum_paid(payments, year=capital.year, until=today)
    whole_months = today.month - 1 if today < _last_day(today.year, today.month) else today.month
    if whole_months >= PACE_MONTHS:
        first = date(today.year, whole_months - PACE_MONTHS + 1, 1)
        last = _last_day(today.year, whole_months)
        recent = sum(payment.amount_vnd for payment in payments if first <= payment.on_date <= last)
        pace, basis = Fraction(recent, PACE_MONTHS), "recent"
    else:
        elapsed = _months_elapsed(today)
        pace, basis = Fraction(paid) / elapsed, "year"
    left = 12 - _months_elapsed(today)
    expected = min(paid + max(round(pace * left), 0), max(capital.total_vnd, paid))
    return Forecast(
        paid, expected, round(pace), basis if paid else "none", 12 - whole_months  # type: ignore[arg-type]
    )  # fmt: skip


def _last_day(year: int, month: int) -> date:
    return date(year, month, monthrange(year, month)[1])


def _months_elapsed(today: date) -> Fraction:
    """Return how many months of the year are over at the end of the day, the current one in part."""
    return today.month - 1 + Fraction(today.day, monthrange(today.year, today.month)[1])
