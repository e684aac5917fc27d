"""Exact columns: against Python's own fractions, on both the fast path and the one of Python integers."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machnuoc.indicators import columns, formula
from machnuoc.indicators.columns import INT64_LIMIT, Column, column_of

SCALED = st.one_of(
    st.none(),
    st.integers(-100, 100),
    st.integers(-(10**7), 10**7),
    st.integers(-INT64_LIMIT, INT64_LIMIT),
    st.integers(-(10**24), 10**24),
)
DECIMALS = st.integers(0, 4)


def make_column(scaled: list[int | None], decimals: int, *, python_integers: bool = False) -> Column:
    values = [value or 0 for value in scaled]
    fits = all(abs(value) <= INT64_LIMIT for value in values) and not python_integers
    return Column(
        np.array(values, np.int64 if fits else object),
        np.array([value is not None for value in scaled], bool),
        decimals,
    )


def to_fractions(column: Column) -> list[Fraction | None]:
    return [None if number is None else Fraction(number) for number in column.to_list()]


def half_up(number: Fraction, decimals: int) -> Fraction:
    whole, rest = divmod(abs(number) * 10**decimals, 1)
    rounded = Fraction(whole + (rest >= Fraction(1, 2)), 10**decimals)
    return rounded if number >= 0 else -rounded


@st.composite
def two_columns(draw: st.DrawFn) -> tuple[Column, Column]:
    rows = draw(st.lists(st.tuples(SCALED, SCALED), max_size=6))
    objects = draw(st.booleans())
    left = make_column([row[0] for row in rows], draw(DECIMALS), python_integers=objects)
    right = make_column([row[1] for row in rows], draw(DECIMALS), python_integers=draw(st.booleans()))
    return left, right


@settings(deadline=None)
@given(two_columns())
def test_sums_differences_and_products_are_exact(pair: tuple[Column, Column]) -> None:
    left, right = pair

    for operation, exact in (
        (columns.add, lambda a, b: a + b),
        (columns.subtract, lambda a, b: a - b),
        (columns.multiply, lambda a, b: a * b),
    ):
        expected = [
            None if a is None or b is None else exact(a, b)
            for a, b in zip(to_fractions(left), to_fractions(right), strict=True)
        ]
        assert to_fractions(operation(left, right)) == expected


@settings(deadline=None, max_examples=300)
@given(two_columns(), st.sampled_from([1, 100, 1000, Decimal("0.01"), Decimal("2.5"), -100, 0]), st.integers(0, 9))
def test_a_ratio_is_the_exact_quotient_rounded_once_half_away_from_zero(
    pair: tuple[Column, Column], factor: int | Decimal, decimals: int
) -> None:
    num, den = pair

    found = columns.ratio(num, den, factor, decimals)

    expected = [
        None if a is None or not b else half_up(a * Fraction(factor) / b, decimals)
        for a, b in zip(to_fractions(num), to_fractions(den), strict=True)
    ]
    assert to_fractions(found) == expected
    assert found.decimals == decimals


@settings(deadline=None)
@given(st.lists(SCALED, max_size=6), DECIMALS, st.integers(0, 6))
def test_fewer_decimals_round_half_up_and_more_change_nothing(
    scaled: list[int | None], decimals: int, wanted: int
) -> None:
    column = make_column(scaled, decimals)

    found = to_fractions(columns.rescale(column, wanted))

    assert found == [None if number is None else half_up(number, wanted) for number in to_fractions(column)]


@settings(deadline=None)
@given(two_columns())
def test_comparisons_and_extremes_agree_with_fractions(pair: tuple[Column, Column]) -> None:
    left, right = pair
    rows = list(zip(to_fractions(left), to_fractions(right), strict=True))

    for operator, exact in (
        (">", Fraction.__gt__),
        (">=", Fraction.__ge__),
        ("<", Fraction.__lt__),
        ("<=", Fraction.__le__),
        ("=", Fraction.__eq__),
        ("!=", lambda a, b: a != b),
    ):
        expected = [None if a is None or b is None else int(exact(a, b)) for a, b in rows]
        assert columns.compare(operator, left, right).to_list() == expected
    for which, pick in (("min", min), ("max", max)):
        expected = [None if a is None or b is None else pick(a, b) for a, b in rows]
        assert to_fractions(columns.extreme(which, [left, right])) == expected


@settings(deadline=None)
@given(two_columns())
def test_the_fast_path_and_python_integers_give_the_same(pair: tuple[Column, Column]) -> None:
    slow = [Column(column.values.astype(object), column.present, column.decimals) for column in pair]

    for operation in (columns.add, columns.subtract, columns.multiply, columns.divide):
        assert operation(*pair).to_list() == operation(*slow).to_list()
        assert operation(*slow).is_fast == operation(*pair).is_fast


def test_a_result_too_large_for_64_bits_does_not_wrap() -> None:
    large = column_of([INT64_LIMIT, -INT64_LIMIT], 0)

    assert columns.add(large, large).to_list() == [2 * INT64_LIMIT, -2 * INT64_LIMIT]
    assert columns.multiply(large, large).to_list() == [INT64_LIMIT**2, INT64_LIMIT**2]
    assert columns.rescale(large, 3).to_list() == [INT64_LIMIT, -INT64_LIMIT]


def test_the_smallest_64_bit_number_can_be_negated() -> None:
    column = Column(np.array([-(2**63)], np.int64), np.array([True]), 0)

    assert columns.negative(column).to_list() == [2**63]
    assert columns.divide(column, column_of([-1], 0)).to_list() == [2**63]


def test_dividing_by_nothing_is_missing_and_dividing_nothing_is_zero() -> None:
    num, den = column_of([5, 0, None, 5, 0], 0), column_of([0, 7, 7, None, 0], 0)

    assert columns.divide(num, den).to_list() == [None, 0, None, None, None]


def test_a_tie_goes_away_from_zero_on_both_sides() -> None:
    num, den = column_of([1, -1, 1, -1, 3, -3], 0), column_of([8, 8, -8, -8, 8, 8], 0)

    percents = columns.ratio(num, den, factor=100, decimals=0)

    assert percents.to_list() == [13, -13, -13, 13, 38, -38]


def test_the_growth_rates_that_a_plan_prints_come_out_of_its_households() -> None:
    # Plan 79/KH-TTNS of 10/02/2026 (Quảng Ngãi), appendix 1: connected in 2025, planned for 2026, growth as printed.
    printed = [
        (25_330, 26_930, "6.32"),
        (85, 300, "252.94"),
        (462, 800, "73.16"),
        (277, 300, "8.30"),
        (566, 600, "6.01"),
        (962, 1_000, "3.95"),
        (312, 400, "28.21"),
        (123, 160, "30.08"),
        (837, 1_000, "19.47"),
        (959, 1_200, "25.13"),
        (909, 1_000, "10.01"),
        (530, 600, "13.21"),
        (551, 600, "8.89"),
        (378, 500, "32.28"),
        (1_135, 1_200, "5.73"),
        (674, 700, "3.86"),
        (1_997, 1_997, "0.00"),
    ]
    connected, planned = formula.Reference("works.connected"), formula.Reference("works.connected", scenario="PLAN")
    figures = {
        connected: column_of([row[0] for row in printed], 0),
        planned: column_of([row[1] for row in printed], 0),
    }

    growth = columns.evaluate(formula.parse("planned(works.connected) - works.connected"), figures)
    rate_pct = columns.ratio(growth, figures[connected], factor=100, decimals=2)

    assert [str(rate) for rate in rate_pct.to_list()] == [row[2] for row in printed]


def test_a_missing_row_does_not_push_a_column_off_the_fast_path() -> None:
    column = Column(np.array([10**25, 5], object), np.array([False, True]), 0)

    assert columns.add(column, column_of([1, 1], 0)).is_fast


def test_large_volumes_are_divided_on_the_fast_path() -> None:
    volume = column_of(["17000000.123"], 3)

    assert columns._factors(10**9, INT64_LIMIT // 20_000_000_000) == [10**8, 10]
    assert columns.divide(volume, column_of(["20000000.001"], 3)).to_list() == [Decimal("0.850000006")]


@pytest.mark.parametrize(
    ("left", "right", "both", "either"),
    [
        (1, 1, 1, 1),
        (1, 0, 0, 1),
        (1, None, None, 1),
        (0, 0, 0, 0),
        (0, None, 0, None),
        (None, None, None, None),
    ],
)
def test_and_or_say_as_much_as_can_be_said(
    left: int | None, right: int | None, both: int | None, either: int | None
) -> None:
    a, b = column_of([left], 0), column_of([right], 0)

    assert columns.both_hold(a, b).to_list() == columns.both_hold(b, a).to_list() == [both]
    assert columns.either_holds(a, b).to_list() == columns.either_holds(b, a).to_list() == [either]
    assert columns.does_not_hold(a).to_list() == [None if left is None else 1 - left]


def test_a_number_with_more_decimals_than_its_column_is_refused_not_rounded() -> None:
    with pytest.raises(ValueError, match="more than 1 decimals"):
        column_of([Decimal("63.65")], 1)


def test_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not a number"):
        column_of([Decimal("NaN")], 1)


def test_a_float_column_is_refused() -> None:
    with pytest.raises(TypeError, match="float64"):
        Column(np.array([0.1]), np.array([True]), 1)


def test_columns_of_different_lengths_are_not_stretched() -> None:
    a, b = formula.Reference("works.a"), formula.Reference("works.b")
    lengths = {a: column_of([1, 2], 0), b: column_of([1], 0)}

    with pytest.raises(ValueError, match="one length"):
        columns.evaluate(formula.parse("works.a + works.b"), lengths)


def test_a_formula_without_measures_needs_the_number_of_rows() -> None:
    assert columns.evaluate(formula.parse("1"), {}, row_count=3).to_list() == [1, 1, 1]
    with pytest.raises(ValueError, match="one length"):
        columns.evaluate(formula.parse("1"), {})


def test_counting_leaves_open_what_cannot_be_said() -> None:
    connected, design = formula.Reference("works.connected"), formula.Reference("works.design")
    figures = {connected: column_of([425, 700, None], 0), design: column_of([950, 600, 600], 0)}

    counted = columns.evaluate(formula.parse("count where works.connected > works.design"), figures)

    assert counted.to_list() == [0, 1, None]


# Random formulas against an evaluator that shares nothing with the program: nested tuples and fractions.

KEYS = ("works.a", "works.b", "works.c_d")
Tree = tuple[object, ...]


def numbers(children: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    return st.one_of(
        st.tuples(st.sampled_from("+-*/"), children, children),
        st.tuples(st.sampled_from(["min", "max"]), children, children),
        st.tuples(st.just("negative"), children),
    )


LEAVES = st.one_of(
    st.tuples(st.just("key"), st.sampled_from(KEYS)),
    st.tuples(st.just("number"), st.sampled_from(["0", "1", "2.50", "100", "0.001"])),
)
NUMBERS = st.recursive(LEAVES, numbers, max_leaves=8)
COMPARISONS = st.tuples(st.sampled_from([">", ">=", "<", "<=", "=", "!="]), NUMBERS, NUMBERS)
CONDITIONS = st.recursive(
    COMPARISONS,
    lambda children: st.one_of(
        st.tuples(st.sampled_from(["and", "or"]), children, children), st.tuples(st.just("not"), children)
    ),
    max_leaves=4,
)


def write(tree: Tree) -> str:
    match tree:
        case ("key" | "number", text):
            return str(text)
        case ("negative", operand):
            return f"-({write(operand)})"
        case ("not", operand):
            return f"not ({write(operand)})"
        case ("min" | "max" as name, left, right):
            return f"{name}({write(left)}, {write(right)})"
        case (operator, left, right):
            return f"({write(left)}) {operator} ({write(right)})"
    raise AssertionError(tree)


def work_out(tree: Tree, row: dict[str, Fraction | None]) -> Fraction | bool | None:
    match tree:
        case ("key", key):
            return row[str(key)]
        case ("number", text):
            return Fraction(str(text))
    parts = [work_out(part, row) for part in tree[1:]]
    match tree[0]:
        case "and":
            return False if False in parts else None if None in parts else True
        case "or":
            return True if True in parts else None if None in parts else False
    if None in parts:
        return None
    match tree[0], parts:
        case "negative", [operand]:
            return -operand
        case "not", [operand]:
            return not operand
        case "/", [left, right]:
            return half_up(left / right, 9) if right else None
        case name, [left, right]:
            rules = {
                "+": lambda: left + right,
                "-": lambda: left - right,
                "*": lambda: left * right,
                "min": lambda: min(left, right),
                "max": lambda: max(left, right),
                ">": lambda: left > right,
                ">=": lambda: left >= right,
                "<": lambda: left < right,
                "<=": lambda: left <= right,
                "=": lambda: left == right,
                "!=": lambda: left != right,
            }
            return rules[str(name)]()
    raise AssertionError(tree)


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(NUMBERS, CONDITIONS),
    st.lists(st.tuples(SCALED, SCALED, SCALED), min_size=1, max_size=4),
    st.tuples(DECIMALS, DECIMALS, DECIMALS),
)
def test_a_formula_gives_what_an_independent_evaluator_gives(
    tree: Tree, rows: list[tuple[int | None, ...]], decimals: tuple[int, ...]
) -> None:
    given_columns = {
        formula.Reference(key): make_column([row[at] for row in rows], decimals[at]) for at, key in enumerate(KEYS)
    }
    by_row = [
        {key: None if row[at] is None else Fraction(row[at], 10 ** decimals[at]) for at, key in enumerate(KEYS)}
        for row in rows
    ]
    expression = formula.parse(write(tree))

    found = columns.evaluate(expression, given_columns)

    assert to_fractions(found) == [work_out(tree, row) for row in by_row]


@settings(deadline=None)
@given(NUMBERS, st.tuples(DECIMALS, DECIMALS, DECIMALS))
def test_the_checked_decimals_are_those_of_the_computed_column(tree: Tree, decimals: tuple[int, ...]) -> None:
    expression = formula.parse(write(tree))
    known = {key: formula.MeasureType("1", decimals[at]) for at, key in enumerate(KEYS)}
    given_columns = {formula.Reference(key): column_of([1], decimals[at]) for at, key in enumerate(KEYS)}

    try:
        expected = formula.check(expression, known).decimals
    except formula.DivisionByZero:
        return

    assert columns.evaluate(expression, given_columns).decimals == expected
