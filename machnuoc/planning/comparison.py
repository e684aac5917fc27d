"""When a promise is kept: each comparator is the interval of the numbers that it accepts.

«khoảng 15 %» is kept by what rounds to the printed number, or is better in the direction of the figure; «không còn» by
zero; «giữ vững» by what is not worse than the baseline; «20–24 giờ» by both edges and what lies between.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Comparator = Literal["GE", "GT", "LE", "LT", "EQ", "ABOUT", "RANGE", "NONE_LEFT", "KEEP", "JUDGED"]
Direction = Literal["HIGHER", "LOWER", "NEUTRAL"]


class NotComparable(ValueError):
    """A promise that no number can keep or break: it is judged by a person, or lacks its amount or baseline."""


@dataclass(frozen=True)
class Interval:
    """The numbers from low to high; an edge that is None has no bound, an open edge does not belong to it."""

    low: Decimal | None = None
    low_open: bool = False
    high: Decimal | None = None
    high_open: bool = False

    def contains(self, number: Decimal) -> bool:
        above = self.low is None or number > self.low or (number == self.low and not self.low_open)
        below = self.high is None or number < self.high or (number == self.high and not self.high_open)
        return above and below

    def is_within(self, other: "Interval") -> bool:
        """Return whether every number of this interval belongs to the other one."""
        from_below = other.low is None or (
            self.low is not None
            and (self.low > other.low or (self.low == other.low and (self.low_open or not other.low_open)))
        )
        from_above = other.high is None or (
            self.high is not None
            and (self.high < other.high or (self.high == other.high and (self.high_open or not other.high_open)))
        )
        return from_below and from_above

    def is_apart(self, other: "Interval") -> bool:
        """Return whether the two intervals have no number in common."""
        return _is_below(self, other) or _is_below(other, self)


def _is_below(one: Interval, other: Interval) -> bool:
    if one.high is None or other.low is None:
        return False
    return one.high < other.low or (one.high == other.low and (one.high_open or other.low_open))


@dataclass(frozen=True)
class Promise:
    """What is promised. amount, upper, baseline: in one unit. decimals: as printed («khoảng» is what rounds to it)."""

    comparator: Comparator
    amount: Decimal | None = None
    upper: Decimal | None = None
    decimals: int = 0
    direction: Direction = "HIGHER"
    baseline: Decimal | None = None

    @property
    def is_rising(self) -> bool:
        """Whether more brings the promise nearer (it has no upper edge)."""
        if self.comparator == "JUDGED":
            return False
        return accepted(self).high is None


def accepted(promise: Promise) -> Interval:
    """Return the numbers that keep the promise. Raises NotComparable."""
    if promise.comparator == "NONE_LEFT":
        return Interval(high=Decimal(0))
    if promise.comparator == "KEEP":
        kept = promise.amount if promise.amount is not None else promise.baseline
        if kept is None:
            raise NotComparable("«giữ vững» needs a baseline")
        return Interval(high=kept) if promise.direction == "LOWER" else Interval(low=kept)
    if promise.comparator == "JUDGED" or promise.amount is None:
        raise NotComparable("no number can keep this promise")
    match promise.comparator:
        case "GE":
            return Interval(low=promise.amount)
        case "GT":
            return Interval(low=promise.amount, low_open=True)
        case "LE":
            return Interval(high=promise.amount)
        case "LT":
            return Interval(high=promise.amount, high_open=True)
        case "RANGE":
            if promise.upper is None:
                raise NotComparable("a range needs its upper edge")
            return Interval(low=promise.amount, high=promise.upper)
        case "ABOUT":
            half = Decimal(5).scaleb(-promise.decimals - 1)
            low = promise.amount - half
            high = promise.amount + half  # half up: the upper edge already rounds to the next number
            if promise.direction == "HIGHER":
                return Interval(low=low)
            if promise.direction == "LOWER":
                return Interval(high=high, high_open=True)
            return Interval(low=low, high=high, high_open=True)
        case _:
            return Interval(low=promise.amount, high=promise.amount)


def is_met(promise: Promise, reached: Decimal) -> bool:
    """Return whether the number keeps the promise. Raises NotComparable.

    >>> is_met(Promise("ABOUT", Decimal(15), decimals=0, direction="LOWER"), Decimal("15.4"))
    True
    >>> is_met(Promise("LE", Decimal(15)), Decimal("15.4"))
    False
    """
    return accepted(promise).contains(reached)


def is_met_within(promise: Promise, bounds: Interval) -> bool | None:
    """Return whether a figure known only by its bounds keeps the promise; None if it may or may not.

    Raises NotComparable.
    """
    wanted = accepted(promise)
    if bounds.is_within(wanted):
        return True
    if bounds.is_apart(wanted):
        return False
    return None


def missing(promise: Promise, reached: Decimal) -> Decimal:
    """Return how far the number is from the nearest one that keeps the promise: 0 if it does. Raises NotComparable."""
    wanted = accepted(promise)
    if wanted.contains(reached):
        return Decimal(0)
    nearest = [abs(edge - reached) for edge in (wanted.low, wanted.high) if edge is not None]
    if promise.comparator == "ABOUT" and promise.amount is not None:
        return abs(promise.amount - reached)
    return min(nearest)


@dataclass(frozen=True)
class PartsFinding:
    """How the parts stand against the whole. difference: their sum minus the whole; weaker: parts that ask less."""

    sum_of_parts: Decimal | None = None
    difference: Decimal | None = None
    without_amount: int = 0
    weaker: tuple[int, ...] = ()

    @property
    def agrees(self) -> bool:
        return not self.difference and not self.without_amount and not self.weaker


def check_parts(
    how: Literal["SUM", "EACH"], whole: Promise, parts: Sequence[tuple[int, Decimal | None]]
) -> PartsFinding:
    """Return how parts, as (id, amount), agree with the whole: they add up to it, or each asks at least as much.

    A difference is reported, never refused: plans are signed as they are.

    >>> check_parts("SUM", Promise("GE", Decimal(10)), [(1, Decimal(4)), (2, Decimal(5))]).difference
    Decimal('-1')
    """
    without = sum(amount is None for _, amount in parts)
    known = [(part, amount) for part, amount in parts if amount is not None]
    if how == "SUM":
        total = sum((amount for _, amount in known), Decimal(0))
        difference = None if whole.amount is None else total - whole.amount
        return PartsFinding(total, difference, without)
    weaker = tuple(part for part, amount in known if not accepted(whole).contains(amount))
    return PartsFinding(without_amount=without, weaker=weaker)
