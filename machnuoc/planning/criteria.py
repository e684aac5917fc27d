"""Criteria of a programme as numbers: which threshold holds for a place, whether it is met, and what is missing.

Pure: no database, no clock. docs/algorithms/criteria.md tells the rules in words.
"""

import calendar
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from fractions import Fraction

# How numbers are kept (Assessment.measured): four decimals, rounded half up. Judging uses the unrounded fraction.
_KEPT = Decimal("0.0001")


class Result(StrEnum):
    MET = "MET"
    NOT_MET = "NOT_MET"
    NOT_ASSESSED = "NOT_ASSESSED"
    NOT_APPLICABLE = "NOT_APPLICABLE"


@dataclass(frozen=True)
class Requirement:
    """What a sub-indicator asks, of whom and when. Empty region, group and territory: of every place.

    valid_from in, valid_to out; None is open. amount None: said in words only, a person judges.
    """

    id: int
    comparator: str  # GE, GT, LE, LT, EQ
    amount: Decimal | None
    text: str = ""
    territory_id: int | None = None
    commune_group: int | None = None
    region: str = ""
    valid_from: date | None = None
    valid_to: date | None = None


@dataclass(frozen=True)
class Place:
    """What decides which threshold holds. territory_ids: the place itself, then what it lies in, nearest first."""

    territory_ids: Sequence[int] = ()
    commune_group: int | None = None
    region: str = ""


def choose(requirements: Iterable[Requirement], place: Place, year: int) -> Requirement | None:
    """Return the requirement that holds for the place at the end of the year; None if none is known.

    The nearest territory first (what a district or province decided), then the commune group, then the region, then
    what is asked of every place. Among equals the latest begun, then the latest entered. One that names several of
    them must fit in all.

    >>> national = Requirement(1, "GE", Decimal(40), region="DHNTB")
    >>> local = Requirement(2, "GE", Decimal(20), territory_id=7)
    >>> choose([national, local], Place((9, 7), None, "DHNTB"), 2024).id
    2
    >>> choose([national], Place((9, 7), None, "TN"), 2024) is None
    True
    """
    last_day = date(year, 12, 31)
    distance = {territory_id: steps for steps, territory_id in reversed(list(enumerate(place.territory_ids)))}
    far = len(place.territory_ids)
    fitting = [one for one in requirements if _fits(one, place, last_day, distance)]
    if not fitting:
        return None
    return min(
        fitting,
        key=lambda one: (
            distance[one.territory_id] if one.territory_id is not None else far,
            one.commune_group is None,
            not one.region,
            -(one.valid_from or date.min).toordinal(),
            -one.id,
        ),
    )


def _fits(one: Requirement, place: Place, day: date, distance: dict[int, int]) -> bool:
    if (one.valid_from is not None and one.valid_from > day) or (one.valid_to is not None and one.valid_to <= day):
        return False
    if one.territory_id is not None and one.territory_id not in distance:
        return False
    if one.commune_group is not None and one.commune_group != place.commune_group:
        return False
    return not one.region or one.region == place.region


def ratio(numerator: Decimal, denominator: Decimal, factor: int = 100) -> Fraction:
    """Return factor × numerator / denominator, exactly. Raises ZeroDivisionError."""
    return factor * Fraction(numerator) / Fraction(denominator)


def kept(number: Fraction) -> Decimal:
    """Return the number with four decimals, half away from zero, as it is stored and shown.

    >>> kept(ratio(Decimal(3474), Decimal(10000)))
    Decimal('34.7400')
    """
    scaled = number * 10_000
    whole = (abs(scaled.numerator) * 2 + scaled.denominator) // (2 * scaled.denominator)
    return (Decimal(whole if number >= 0 else -whole) * _KEPT).quantize(_KEPT, ROUND_HALF_UP)


def is_met(measured: Fraction | Decimal, comparator: str, amount: Decimal) -> bool:
    """Return whether the number does what is asked. Raises ValueError for an unknown comparator.

    >>> is_met(Decimal("34.74"), "GE", Decimal(50)), is_met(Decimal("6.54"), "LT", Decimal(5))
    (False, False)
    """
    number, wanted = Fraction(measured), Fraction(amount)
    match comparator:
        case "GE":
            return number >= wanted
        case "GT":
            return number > wanted
        case "LE":
            return number <= wanted
        case "LT":
            return number < wanted
        case "EQ":
            return number == wanted
    raise ValueError(f"unknown comparator {comparator!r}")


def judge(measured: Fraction | Decimal | None, requirement: Requirement | None) -> Result:
    """Return the result that the numbers give: not assessed where the number or the required number is missing."""
    if measured is None or requirement is None or requirement.amount is None:
        return Result.NOT_ASSESSED
    return Result.MET if is_met(measured, requirement.comparator, requirement.amount) else Result.NOT_MET


def gap(measured: Decimal | None, comparator: str, amount: Decimal | None) -> Decimal | None:
    """Return how far the number is from what is asked, never negative; None where one of the two is missing.

    Of «dưới 5», 5 itself is not met although its distance is 0: the result says so, not the gap.

    >>> gap(Decimal("34.74"), "GE", Decimal(50)), gap(Decimal("6.54"), "LT", Decimal(5)), gap(None, "GE", Decimal(1))
    (Decimal('15.26'), Decimal('1.54'), None)
    """
    if measured is None or amount is None:
        return None
    if is_met(measured, comparator, amount):
        return Decimal(0)
    return abs(amount - measured)


def of_criterion(results: Iterable[Result], stated: Result | None = None) -> Result:
    """Return the result of a criterion from those of its sub-indicators, or what was stated of it as a whole.

    One that is not met fails it, whatever the whole was said to be; it is met when all that apply are met.
    """
    known = list(results)
    if Result.NOT_MET in known:
        return Result.NOT_MET
    if stated is not None and stated != Result.NOT_ASSESSED:
        return stated
    applying = [one for one in known if one != Result.NOT_APPLICABLE]
    if known and not applying:
        return Result.NOT_APPLICABLE
    if applying and all(one == Result.MET for one in applying):
        return Result.MET
    return Result.NOT_ASSESSED


def last_lawful_day(year: int, month: int, day: int | None, *, is_exclusive: bool) -> date:
    """Return the last day of the year that still keeps a deadline; no day: the last day of the month.

    >>> last_lawful_day(2024, 9, 25, is_exclusive=True), last_lawful_day(2024, 12, None, is_exclusive=False)
    (datetime.date(2024, 9, 24), datetime.date(2024, 12, 31))
    """
    last = calendar.monthrange(year, month)[1]
    edge = date(year, month, min(day or last, last))
    return edge - timedelta(days=1) if is_exclusive else edge


@dataclass(frozen=True)
class YearOfRoadmap:
    """A year of a roadmap: what its rows add up to beside what the document prints."""

    year: int
    count: int
    cumulative: int
    printed_count: int | None = None
    printed_cumulative: int | None = None
    printed_share: str = ""

    @property
    def differs(self) -> bool:
        return (self.printed_count is not None and self.printed_count != self.count) or (
            self.printed_cumulative is not None and self.printed_cumulative != self.cumulative
        )

    @property
    def base(self) -> int | None:
        """How many places the printed share was taken of, if only one number gives it."""
        found = implied_bases(self.printed_cumulative or 0, self.printed_share)
        return found[0] if len(found) == 1 else None

    @property
    def share_pct(self) -> Decimal | None:
        """The share of what the rows add up to, of the places that the printed share was taken of; one decimal."""
        base = self.base
        return (Decimal(100 * self.cumulative) / base).quantize(Decimal("0.1"), ROUND_HALF_UP) if base else None


def implied_bases(count: int, share_printed: str) -> list[int]:
    """Return the whole numbers of which `count` makes the share as printed, rounded to its decimals.

    A document that changes what it divides by in mid-table is found out so.

    >>> implied_bases(10, "10.6%"), implied_bases(56, "60,9%"), implied_bases(56, "")
    ([94], [92], [])
    """
    text = share_printed.replace("%", "").replace(",", ".").strip()
    whole, _, decimals = text.partition(".")
    if not count or not whole.isdigit() or (decimals and not decimals.isdigit()) or not Decimal(text):
        return []
    unit = Decimal(1).scaleb(-len(decimals))
    share = Decimal(text)
    lowest = int(100 * count / (share + unit))
    highest = int(100 * count / max(share - unit, unit / 2)) + 1
    return [
        base
        for base in range(max(lowest, count), min(highest, 100_000) + 1)
        if (Decimal(100 * count) / base).quantize(unit, ROUND_HALF_UP) == share
    ]


def roadmap(years: Iterable[int], printed: dict[int, tuple[int | None, int | None, str]]) -> list[YearOfRoadmap]:
    """Return the years of a roadmap in order. years: one item a place.

    >>> rows = roadmap([2014, 2015, 2014], {2014: (3, 3, "")})
    >>> [(row.year, row.count, row.cumulative, row.differs) for row in rows]
    [(2014, 2, 2, True), (2015, 1, 3, False)]
    """
    counts: dict[int, int] = {}
    for year in years:
        counts[year] = counts.get(year, 0) + 1
    rows, total = [], 0
    for year in sorted(counts.keys() | printed.keys()):
        total += counts.get(year, 0)
        rows.append(YearOfRoadmap(year, counts.get(year, 0), total, *printed.get(year, (None, None, ""))))
    return rows
