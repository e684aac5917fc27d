"""How figures of parts become the figure of a whole: over subjects, over time, and for their states.

A rate of a larger place is sum over sum, never a mean of rates. Parts that are missing are left out and counted, so
that every aggregated figure says how much of its whole it stands on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from machnuoc.core.periods import Period, PeriodKind
from machnuoc.indicators.columns import (
    INT64_LIMIT,
    Column,
    Flags,
    Integers,
    as_objects,
    compact,
    largest,
    multiply,
    ratio,
)

Counts = NDArray[np.int64]
Groups = NDArray[np.integer]
"""For each row the number of its group, 0 to group_count - 1."""


class StateRank(IntEnum):
    """Where a figure comes from, the strongest first. A whole is as weak as the weakest of its parts."""

    MEASURED = 0
    APPROVED = 1
    STATED = 2
    ENTERED = 3
    ESTIMATED = 4
    SIMULATED = 5


NO_STATE = -1
"""The state of a group in which no part is present: it is missing."""


@dataclass(frozen=True, eq=False, slots=True)
class Grouped:
    """A figure for each group, the parts it stands on, and the parts there should be. Arrays of shape (groups,)."""

    column: Column
    parts_present: Counts
    parts_total: Counts


@dataclass(frozen=True, eq=False, slots=True)
class GroupedRatio:
    """Numerator and denominator for each group, summed over the same parts. Arrays of shape (groups,)."""

    num: Column
    den: Column
    parts_present: Counts
    parts_total: Counts


@dataclass(frozen=True, eq=False, slots=True)
class PeriodGroups:
    """Finer periods put into coarser ones.

    periods: the coarser periods, in order. group: for each finer period the index of its coarser one.
    parts_expected: how many finer periods each coarser one has.
    """

    periods: tuple[Period, ...]
    group: NDArray[np.int64]
    parts_expected: Counts


def sum_over_sum(num: Column, den: Column, group: Groups, group_count: int) -> GroupedRatio:
    """Return numerator and denominator of each group, over the parts that have both.

    num, den: shape (n,); group: shape (n,), integers in 0 to group_count - 1. `columns.ratio` makes the rate of it.
    A group without a single complete part is missing.

    >>> from machnuoc.indicators.columns import column_of
    >>> connected, designed = column_of([425, None], 0), column_of([950, 600], 0)
    >>> whole = sum_over_sum(connected, designed, np.array([0, 0]), 1)
    >>> whole.num.to_list(), whole.den.to_list(), whole.parts_present.tolist(), whole.parts_total.tolist()
    ([Decimal('425')], [Decimal('950')], [1], [2])
    """
    _check_groups(group, group_count, len(num), len(den))
    counted = num.present & den.present
    parts_present = _count(group, group_count, counted)
    return GroupedRatio(
        num=_sum(num, counted, group, parts_present),
        den=_sum(den, counted, group, parts_present),
        parts_present=parts_present,
        parts_total=_count(group, group_count),
    )


def aggregate(column: Column, group: Groups, group_count: int, how: Literal["sum", "count", "min", "max"]) -> Grouped:
    """Return one figure for each group: the sum, smallest or largest of its parts, or how many are present.

    column: shape (n,); group: shape (n,), integers in 0 to group_count - 1. Missing parts are left out; a group with no
    part present is missing, for "count" too.
    """
    _check_groups(group, group_count, len(column))
    parts_present = _count(group, group_count, column.present)
    match how:
        case "sum":
            result = _sum(column, column.present, group, parts_present)
        case "count":
            result = Column(parts_present.copy(), parts_present > 0, 0)
        case "min" | "max":
            result = _extreme(column, group, parts_present, how)
    return Grouped(result, parts_present, _count(group, group_count))


def over_time(
    column: Column,
    group: Groups,
    parts_expected: Counts,
    how: Literal["sum", "last", "weighted_mean"],
    *,
    start: NDArray[np.int64] | None = None,
    weight: Column | None = None,
) -> Grouped:
    """Return the figure of each coarser period from the finer ones in it.

    column: shape (n,), one row a subject and finer period. group: shape (n,), the number of (subject, coarser period).
    parts_expected: shape (groups,), how many finer periods each group should have; it becomes `parts_total`.

    "sum" adds what is there (volumes). "last" takes the latest finer period that is there (stocks such as households
    connected) and needs start, shape (n,), any integers that grow with time. "weighted_mean" (rates stated without
    their parts, levels) is sum(value * weight) / sum(weight) over the rows that have both, rounded half up to the
    column's decimals, and needs weight, shape (n,), not negative; a weight that sums to 0 gives missing.

    Raises ValueError for a missing start or weight, a negative weight, two rows of a group that start together where
    the last is asked for, and more parts than expected.
    """
    group_count = len(parts_expected)
    _check_groups(group, group_count, len(column))
    if (_count(group, group_count) > parts_expected).any():
        raise ValueError("a group has more finer periods than its coarser period holds")
    counted = column.present
    match how:
        case "sum":
            parts_present = _count(group, group_count, counted)
            result = _sum(column, counted, group, parts_present)
        case "last":
            if start is None:
                raise ValueError("the last of several periods needs their starts")
            parts_present = _count(group, group_count, counted)
            result = _last(column, group, group_count, start)
        case "weighted_mean":
            if weight is None:
                raise ValueError("a weighted mean needs weights")
            if (weight.present & np.asarray(weight.values < 0, np.bool_)).any():
                raise ValueError("a weight is negative")
            sums = sum_over_sum(multiply(column, weight), weight, group, group_count)
            parts_present = sums.parts_present
            result = ratio(sums.num, sums.den, factor=1, decimals=column.decimals)
    return Grouped(result, parts_present, np.asarray(parts_expected, np.int64))


def group_periods(periods: Sequence[Period], kind: PeriodKind) -> PeriodGroups:
    """Return the coarser periods of a kind ("Y", "Q", …) that the finer ones lie in.

    periods: all of one kind that divides the coarser kind exactly. Raises BadPeriod where it does not (weeks in a
    month).
    """
    fine_kinds = {period.kind for period in periods}
    if len(fine_kinds) > 1:
        raise ValueError(f"periods of several kinds: {sorted(fine_kinds)}")
    coarse = [Period.containing(period.start_date, kind) for period in periods]
    ordered = tuple(sorted(set(coarse)))
    index = {period: number for number, period in enumerate(ordered)}
    return PeriodGroups(
        periods=ordered,
        group=np.array([index[period] for period in coarse], np.int64),
        parts_expected=np.array([len(period.split(periods[0].kind)) for period in ordered], np.int64),
    )


def combine_states(
    states: NDArray[np.integer], group: Groups, group_count: int, present: Flags | None = None
) -> NDArray[np.int8]:
    """Return the state of each group: the weakest of its parts; one simulated part makes the whole simulated.

    states: shape (n,), values of StateRank. present: shape (n,), which parts count (all if None). The result has shape
    (groups,) and is NO_STATE where no part counts.

    >>> parts = np.array([StateRank.APPROVED, StateRank.ESTIMATED, StateRank.STATED])
    >>> [StateRank(state).name for state in combine_states(parts, np.array([0, 0, 1]), 2)]
    ['ESTIMATED', 'STATED']
    """
    _check_groups(group, group_count, len(states))
    if len(states) and not (int(states.min()) >= min(StateRank) and int(states.max()) <= max(StateRank)):
        raise ValueError("a state is not one of StateRank")
    weakest = np.full(group_count, NO_STATE, np.int64)
    counted = slice(None) if present is None else present
    np.maximum.at(weakest, group[counted], states[counted].astype(np.int64))
    return weakest.astype(np.int8)


def _check_groups(group: Groups, group_count: int, *lengths: int) -> None:
    if any(length != len(group) for length in lengths):
        raise ValueError(f"{len(group)} groups for columns of {lengths} rows")
    if len(group) and not (int(group.min()) >= 0 and int(group.max()) < group_count):
        raise ValueError(f"a group lies outside 0 to {group_count - 1}")


def _count(group: Groups, group_count: int, counted: Flags | None = None) -> Counts:
    rows = group if counted is None else group[counted]
    return np.bincount(rows, minlength=group_count).astype(np.int64)


def _sum(column: Column, counted: Flags, group: Groups, parts: Counts) -> Column:
    """Add the counted rows of each group, on int64 where even the largest group cannot overflow."""
    values = np.where(counted, column.values, np.int64(0) if column.is_fast else 0)
    totals: Integers
    if column.is_fast and largest(values) * max(1, largest(parts)) <= INT64_LIMIT:
        totals = np.zeros(len(parts), np.int64)
        np.add.at(totals, group, values)
    else:
        exact = [0] * len(parts)
        for number, value in zip(group.tolist(), as_objects(values).tolist(), strict=True):
            exact[number] += value
        totals = compact(np.array(exact, object))
    return Column(totals, parts > 0, column.decimals)


def _extreme(column: Column, group: Groups, parts: Counts, how: Literal["min", "max"]) -> Column:
    values, groups = column.values[column.present], group[column.present]
    present = parts > 0
    if column.is_fast:
        start, take = (INT64_LIMIT, np.minimum) if how == "min" else (-INT64_LIMIT - 1, np.maximum)
        result = np.full(len(parts), start, np.int64)
        take.at(result, groups, values)
        return Column(np.where(present, result, np.int64(0)), present, column.decimals)
    pick = min if how == "min" else max
    best: dict[int, int] = {}
    for number, value in zip(groups.tolist(), values.tolist(), strict=True):
        best[number] = pick(value, best.get(number, value))
    exact = np.array([best.get(number, 0) for number in range(len(parts))], object)
    return Column(compact(exact), present, column.decimals)


def _last(column: Column, group: Groups, group_count: int, start: NDArray[np.int64]) -> Column:
    rows = np.flatnonzero(column.present)
    rows = rows[np.lexsort((start[rows], group[rows]))]
    if len(rows) > 1:
        same = (group[rows[1:]] == group[rows[:-1]]) & (start[rows[1:]] == start[rows[:-1]])
        if same.any():
            raise ValueError("two rows of one group start together, so neither is the last")
    chosen = np.full(group_count, -1, np.int64)
    chosen[group[rows]] = rows  # in order of time, so that the latest row of a group is the one that stays
    present = chosen >= 0
    values = np.zeros(group_count, np.int64) if column.is_fast else np.array([0] * group_count, object)
    values[present] = column.values[chosen[present]]
    return Column(compact(values), present, column.decimals)
