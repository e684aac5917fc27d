"""Exact columns of figures: scaled integers, a mark for what is missing, no float anywhere.

A figure of 63.6 with two decimals is the integer 6360. Sums are then the same to the last digit on every database, and
a missing figure is a mark beside the number, never a zero. The fast path is int64; where a result might not fit, the
same rule runs on Python integers instead, so nothing ever wraps.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import gcd
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from machnuoc.indicators import formula

Integers = NDArray[Any]
"""int64, or dtype object holding Python ints where int64 is too small."""
Flags = NDArray[np.bool_]

INT64_LIMIT = 2**63 - 1
"""The largest absolute value of the fast path."""


@dataclass(frozen=True, eq=False, slots=True)
class Column:
    """Figures of many rows: row i is `values[i] / 10**decimals`, or missing where `present[i]` is False.

    values: shape (n,), int64, or object holding Python ints. present: shape (n,), bool. A missing row holds 0.
    """

    values: Integers
    present: Flags
    decimals: int

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or self.values.shape != self.present.shape:
            raise ValueError(f"values {self.values.shape} and present {self.present.shape} are not one row each")
        if self.values.dtype not in (np.dtype(np.int64), np.dtype(object)):
            raise TypeError(f"values are {self.values.dtype}, not int64 or Python integers")
        if self.present.dtype != np.dtype(np.bool_):
            raise TypeError(f"present is {self.present.dtype}, not bool")
        if self.decimals < 0:
            raise ValueError(f"decimals is {self.decimals}")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def is_fast(self) -> bool:
        """Whether the numbers are int64 and not Python integers."""
        return self.values.dtype != np.dtype(object)

    def to_list(self) -> list[Decimal | None]:
        """Return the rows as Decimals with `decimals` places, missing as None.

        >>> column_of(["63.6", None], 2).to_list()
        [Decimal('63.60'), None]
        """
        pairs = zip(self.values.tolist(), self.present.tolist(), strict=True)
        return [_decimal(value, self.decimals) if there else None for value, there in pairs]


def column_of(numbers: Iterable[Decimal | int | str | None], decimals: int) -> Column:
    """Return a column of the numbers with the given decimals; None is missing.

    Raises ValueError for a number that has more decimals than the column: rounding is someone's decision, not ours.
    """
    rows = list(numbers)
    scaled = [0 if row is None else _scaled(row, decimals) for row in rows]
    present = np.fromiter((row is not None for row in rows), np.bool_, len(rows))
    return _column(_integers(scaled), present, decimals)


def constant(number: Decimal | int, row_count: int) -> Column:
    """Return the same number in every row, with as many decimals as it is written with.

    >>> constant(Decimal("0.50"), 2).to_list()
    [Decimal('0.50'), Decimal('0.50')]
    """
    decimals = max(0, -_exponent(Decimal(number)))
    scaled = _scaled(number, decimals)
    present = np.broadcast_to(np.True_, row_count)
    if abs(scaled) <= INT64_LIMIT:
        return Column(np.broadcast_to(np.int64(scaled), row_count), present, decimals)
    return Column(_integers([scaled] * row_count), present, decimals)


def rescale(column: Column, decimals: int) -> Column:
    """Return the column with other decimals; fewer decimals round half up (ties away from zero)."""
    if decimals == column.decimals:
        return column
    if decimals > column.decimals:
        values = _multiply(column.values, 10 ** (decimals - column.decimals))
    else:
        values = _divide(column.values, 1, _filled(10 ** (column.decimals - decimals), len(column)))
    return _column(values, column.present, decimals)


def add(left: Column, right: Column) -> Column:
    """Return left + right, with the larger decimals; missing where either is missing."""
    return _sum(left, right, 1)


def subtract(left: Column, right: Column) -> Column:
    """Return left - right, with the larger decimals; missing where either is missing."""
    return _sum(left, right, -1)


def negative(column: Column) -> Column:
    """Return -column."""
    return _column(_multiply(column.values, -1), column.present, column.decimals)


def multiply(left: Column, right: Column) -> Column:
    """Return left * right, exact, with the decimals of both; missing where either is missing."""
    values = _multiply(left.values, right.values)
    return _column(values, _both(left, right), left.decimals + right.decimals)


def divide(left: Column, right: Column) -> Column:
    """Return left / right rounded half up to nine decimals; missing where either is missing or right is 0.

    This is the division inside a formula; that of an indicator's numerator by its denominator is `ratio`.
    """
    return ratio(left, right, factor=1, decimals=formula.QUOTIENT_DECIMALS)


def ratio(num: Column, den: Column, factor: int | Decimal, decimals: int) -> Column:
    """Return factor * num / den, rounded once, half up (a tie goes away from zero).

    Missing where either is missing or the denominator is 0. factor: 100 for a percentage.

    >>> ratio(column_of([25_330], 0), column_of([34_657], 0), factor=100, decimals=2).to_list()
    [Decimal('73.09')]
    """
    factor_decimals = max(0, -_exponent(Decimal(factor)))
    multiplier = _scaled(factor, factor_decimals) * 10 ** (den.decimals + decimals)
    divisor = 10 ** (num.decimals + factor_decimals)
    common = gcd(multiplier, divisor)
    multiplier, divisor = multiplier // common, divisor // common

    present = _both(num, den)
    present &= np.asarray(den.values != 0, np.bool_)
    denominators = _multiply(den.values, divisor)
    # A row without a denominator divides by 1 and is then marked missing: no warning, no special value.
    denominators = np.where(present, denominators, _one(denominators))
    numerators = np.where(present, num.values, _zero(num.values))
    return _column(_divide(numerators, multiplier, denominators), present, decimals)


def extreme(which: Literal["min", "max"], parts: list[Column]) -> Column:
    """Return the smallest or largest of the columns row by row; missing where any of them is missing."""
    result = parts[0]
    for part in parts[1:]:
        left, right = _aligned(result, part)
        take_left = left.values <= right.values if which == "min" else left.values >= right.values
        values = np.where(np.asarray(take_left, np.bool_), left.values, right.values)
        result = _column(values, _both(left, right), left.decimals)
    return result


def compare(operator: formula.Comparator, left: Column, right: Column) -> Column:
    """Return 1 where the comparison holds and 0 where not; missing where either side is missing."""
    left, right = _aligned(left, right)
    a, b = left.values, right.values
    match operator:
        case ">":
            holds = a > b
        case ">=":
            holds = a >= b
        case "<":
            holds = a < b
        case "<=":
            holds = a <= b
        case "=":
            holds = a == b
        case "!=":
            holds = a != b
    return _truth(np.asarray(holds, np.bool_), _both(left, right))


def both_hold(left: Column, right: Column) -> Column:
    """Return three-valued and: 0 as soon as one side is 0, missing where it cannot be said."""
    left_true, left_false = _true(left), _false(left)
    right_true, right_false = _true(right), _false(right)
    holds = left_true & right_true
    return _truth(holds, holds | left_false | right_false)


def either_holds(left: Column, right: Column) -> Column:
    """Return three-valued or: 1 as soon as one side is 1, missing where it cannot be said."""
    holds = _true(left) | _true(right)
    return _truth(holds, holds | (_false(left) & _false(right)))


def does_not_hold(column: Column) -> Column:
    """Return not: 1 for 0, 0 for 1, missing for missing."""
    return _truth(_false(column), column.present)


def evaluate(
    expression: formula.Expression, columns: Mapping[formula.Reference, Column], *, row_count: int | None = None
) -> Column:
    """Return the formula's figure for every row.

    expression: as `formula.parse` gives it and `formula.check` accepts it. columns: one column for each of
    `formula.references(expression)`, all of one length. row_count: the length; needed only when there is no column.
    Raises KeyError for a reference without a column, ValueError for columns of different lengths.
    """
    lengths = {len(column) for column in columns.values()}
    if row_count is not None:
        lengths.add(row_count)
    if len(lengths) != 1:
        raise ValueError(f"the columns of one formula need one length, got {sorted(lengths)}")
    return _evaluate(expression, columns, lengths.pop())


def _evaluate(node: formula.Expression, columns: Mapping[formula.Reference, Column], row_count: int) -> Column:
    match node:
        case formula.Number():
            return constant(node.value, row_count)
        case formula.Measure():
            return columns[node.reference]
        case formula.Negative():
            return negative(_evaluate(node.operand, columns, row_count))
        case formula.Extreme():
            return extreme(node.which, [_evaluate(part, columns, row_count) for part in node.parts])
        case formula.CountWhere():
            return _evaluate(node.condition, columns, row_count)
        case formula.Not():
            return does_not_hold(_evaluate(node.operand, columns, row_count))
    left = _evaluate(node.left, columns, row_count)
    right = _evaluate(node.right, columns, row_count)
    match node:
        case formula.Compare():
            return compare(node.operator, left, right)
        case formula.Logic():
            return both_hold(left, right) if node.operator == "and" else either_holds(left, right)
        case formula.Arithmetic():
            return _ARITHMETIC[node.operator](left, right)


_ARITHMETIC = {"+": add, "-": subtract, "*": multiply, "/": divide}


def largest(values: Integers) -> int:
    """Return the largest absolute value, as a Python integer; 0 for no rows."""
    if len(values) == 0:
        return 0
    return max(abs(int(values.max())), abs(int(values.min())))


def compact(values: Integers) -> Integers:
    """Return Python integers as int64 where all of them fit."""
    if values.dtype == np.dtype(object) and largest(values) <= INT64_LIMIT:
        return values.astype(np.int64)
    return values


def as_objects(values: Integers) -> Integers:
    """Return the values as Python integers, which never overflow."""
    return values if values.dtype == np.dtype(object) else values.astype(object)


def _column(values: Integers, present: Flags, decimals: int) -> Column:
    """Make a column whose missing rows hold 0, as int64 where that holds."""
    if not present.all():
        values = np.where(present, values, _zero(values))
    return Column(compact(values), present, decimals)


def _sum(left: Column, right: Column, sign: int) -> Column:
    left, right = _aligned(left, right)
    a, b = left.values, right.values
    if not _fast(a, b) or largest(a) + largest(b) > INT64_LIMIT:
        a, b = as_objects(a), as_objects(b)
    return _column(a + b if sign > 0 else a - b, _both(left, right), left.decimals)


def _aligned(left: Column, right: Column) -> tuple[Column, Column]:
    decimals = max(left.decimals, right.decimals)
    return rescale(left, decimals), rescale(right, decimals)


def _both(left: Column, right: Column) -> Flags:
    if len(left) != len(right):
        raise ValueError(f"columns of {len(left)} and {len(right)} rows cannot be joined")
    return left.present & right.present


def _truth(holds: Flags, present: Flags) -> Column:
    return Column((holds & present).astype(np.int64), present, 0)


def _true(column: Column) -> Flags:
    return column.present & np.asarray(column.values != 0, np.bool_)


def _false(column: Column) -> Flags:
    return column.present & np.asarray(column.values == 0, np.bool_)


def _multiply(values: Integers, by: Integers | int) -> Integers:
    bound = largest(values) * (abs(by) if isinstance(by, int) else largest(by))
    if isinstance(by, int):
        if by == 1:
            return values
        if _fast(values) and bound <= INT64_LIMIT and abs(by) <= INT64_LIMIT:
            return values * np.int64(by)
        return as_objects(values) * by
    if _fast(values, by) and bound <= INT64_LIMIT:
        return values * by
    return as_objects(values) * as_objects(by)


def _divide(values: Integers, multiplier: int, divisors: Integers) -> Integers:
    """Return values * multiplier / divisors (no divisor is 0), rounded half away from zero.

    Long division: the remainder is carried through factors of the multiplier small enough for int64, so that
    17,000,000.000 m3 over 20,000,000.000 m3 to nine decimals still takes the fast path.
    """
    positive = (values >= 0) == ((divisors > 0) == (multiplier >= 0))
    multiplier = abs(multiplier)
    largest_divisor = largest(divisors)
    steps: list[int] | None = None
    if _fast(values, divisors) and largest(values) <= INT64_LIMIT and 0 < largest_divisor <= INT64_LIMIT:
        steps = _factors(multiplier, INT64_LIMIT // largest_divisor)
    numerators, denominators = (values, divisors) if steps is not None else (as_objects(values), as_objects(divisors))
    numerators, denominators = abs(numerators), abs(denominators)
    quotients = numerators // denominators
    if steps is None or (largest(quotients) + 1) * multiplier > INT64_LIMIT:
        numerators, denominators = as_objects(numerators), as_objects(denominators)
        quotients = numerators * multiplier // denominators
        remainders = numerators * multiplier - quotients * denominators
    else:
        remainders = numerators - quotients * denominators
        for step in steps:
            carried = remainders * np.int64(step)
            part = carried // denominators
            quotients = quotients * np.int64(step) + part
            remainders = carried - part * denominators
    # remainder >= denominator - remainder is 2 * remainder >= denominator, without the doubling that could overflow.
    quotients = quotients + np.asarray(remainders >= denominators - remainders, np.bool_)
    return np.where(np.asarray(positive, np.bool_), quotients, -quotients)


def _factors(multiplier: int, limit: int) -> list[int] | None:
    """Return factors of the multiplier, each at most the limit; None if powers of ten cannot do it."""
    steps: list[int] = []
    while multiplier > limit:
        step = 1
        while step * 10 <= limit and multiplier % (step * 10) == 0:
            step *= 10
        if step == 1:
            return None
        steps.append(step)
        multiplier //= step
    return [*steps, multiplier]


def _fast(*arrays: Integers) -> bool:
    return all(array.dtype != np.dtype(object) for array in arrays)


def _zero(values: Integers) -> Any:
    return np.int64(0) if _fast(values) else 0


def _one(values: Integers) -> Any:
    return np.int64(1) if _fast(values) else 1


def _filled(number: int, row_count: int) -> Integers:
    if number <= INT64_LIMIT:
        return np.broadcast_to(np.int64(number), row_count)
    return _integers([number] * row_count)


def _integers(numbers: list[int]) -> Integers:
    if all(abs(number) <= INT64_LIMIT for number in numbers):
        return np.array(numbers, np.int64)
    return np.array(numbers, object)


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"{number} is not a number")
    return exponent


def _scaled(number: Decimal | int | str, decimals: int) -> int:
    """Return number * 10**decimals as an integer, independent of the decimal context."""
    sign, digits, exponent = Decimal(number).as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(f"{number} is not a number")
    magnitude = int("".join(map(str, digits)))
    shift = exponent + decimals
    power = int(10 ** abs(shift))
    if shift >= 0:
        magnitude *= power
    else:
        magnitude, rest = divmod(magnitude, power)
        if rest:
            raise ValueError(f"{number} has more than {decimals} decimals")
    return -magnitude if sign else magnitude


def _decimal(value: int, decimals: int) -> Decimal:
    digits = tuple(map(int, str(abs(value))))
    return Decimal((int(value < 0), digits, -decimals))
