"""The way of a work from one operator to another: steps in one order, and how good what is handed over is.

Request → inventory → condition → papers → decision → taken over. A step is taken forward one at a time; back to any
earlier one with a reason, as long as the work has not changed hands.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

STEPS = ("REQUESTED", "INVENTORIED", "SCORED", "PAPERS", "DECIDED", "EFFECTIVE")
STOPPED = "STOPPED"
WORST, BEST = 1, 5


@dataclass(frozen=True)
class Item:
    """A line of the inventory: condition 1 (hỏng) to 5 (tốt), None until somebody has looked; weight from 1."""

    condition: int | None
    weight: int = 1


@dataclass(frozen=True)
class Score:
    """How good the whole is. mean: weighted, 1–5, two decimals half up, None where nothing was looked at."""

    mean: Decimal | None
    rated: int
    total: int

    @property
    def is_complete(self) -> bool:
        return self.total > 0 and self.rated == self.total

    @property
    def pct(self) -> Decimal | None:
        """The mean on a scale where the worst is 0 and the best 100."""
        if self.mean is None:
            return None
        return ((self.mean - WORST) * 100 / (BEST - WORST)).quantize(Decimal("0.1"), ROUND_HALF_UP)


def score(items: Iterable[Item]) -> Score:
    """Return the weighted mean condition of what was looked at, and how much of the inventory that is.

    >>> score([Item(4, 3), Item(2, 1), Item(None, 5)])
    Score(mean=Decimal('3.50'), rated=2, total=3)
    """
    listed = list(items)
    rated = [item for item in listed if item.condition is not None and item.weight > 0]
    weight = sum(item.weight for item in rated)
    if not weight:
        return Score(None, len(rated), len(listed))
    mean = Fraction(sum(item.weight * (item.condition or 0) for item in rated), weight)
    exact = Decimal(mean.numerator) / Decimal(mean.denominator)
    return Score(exact.quantize(Decimal("0.01"), ROUND_HALF_UP), len(rated), len(listed))


def next_step(step: str) -> str | None:
    """Return the step that follows, or None at the end of the way.

    >>> next_step("REQUESTED"), next_step("EFFECTIVE"), next_step("STOPPED")
    ('INVENTORIED', None, None)
    """
    if step not in STEPS[:-1]:
        return None
    return STEPS[STEPS.index(step) + 1]


def may_go_back(step: str, to: str) -> bool:
    """Return whether a handover may be taken back: to an earlier step, or out of a stop; never out of the end."""
    if step == STEPS[-1] or to not in STEPS[:-1]:
        return False
    return step == STOPPED or STEPS.index(to) < STEPS.index(step)


def may_stop(step: str) -> bool:
    return step in STEPS[:-1]
