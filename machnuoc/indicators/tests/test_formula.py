"""The formula language: what it reads, what it refuses and how clearly it says so."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machnuoc.core import units
from machnuoc.indicators import formula
from machnuoc.indicators.formula import MeasureType, Reference
from machnuoc.indicators.tests.test_columns import CONDITIONS, NUMBERS, Tree, write

MEASURES = {
    "works.households_connected": MeasureType("household", 0),
    "works.households_design": MeasureType("household", 0),
    "works.persons_served": MeasureType("person", 0),
    "works.capacity_m3d": MeasureType("m3/d", 1),
    "works.output_m3h": MeasureType("m3/h", 2),
    "works.output_m3": MeasureType("m3", 3),
    "works.loss_pct": MeasureType("pct", 2),
}


def check(text: str) -> formula.ResultType:
    return formula.check(formula.parse(text), MEASURES)


def fault(text: str) -> formula.FormulaError:
    with pytest.raises(formula.FormulaError) as caught:
        check(text)
    return caught.value


def test_products_bind_tighter_than_sums_and_rows_read_from_the_left() -> None:
    assert formula.parse("a.a - b.b - c.c * 2") == formula.parse("(a.a - b.b) - (c.c * 2)")
    assert formula.parse("a.a - b.b - c.c") != formula.parse("a.a - (b.b - c.c)")
    assert formula.parse("a.a / b.b / c.c") == formula.parse("(a.a / b.b) / c.c")
    assert formula.parse("-a.a * b.b") == formula.parse("(-a.a) * b.b")


def test_not_binds_tighter_than_and_and_and_tighter_than_or() -> None:
    assert formula.parse("not a.a > 1 and b.b > 1 or c.c > 1") == formula.parse(
        "((not (a.a > 1)) and (b.b > 1)) or (c.c > 1)"
    )


def test_the_references_of_a_formula_say_which_period_and_scenario() -> None:
    expression = formula.parse(
        "works.a + previous(works.a) + baseline(works.a, 2025) + planned(works.b) + baseline(works.a, 2025-H1)"
    )

    assert formula.references(expression) == {
        Reference("works.a"),
        Reference("works.a", shift=-1),
        Reference("works.a", baseline="2025"),
        Reference("works.a", baseline="2025-H1"),
        Reference("works.b", scenario="PLAN"),
    }


@pytest.mark.parametrize("period", ["2025", "2025-H1", "2025-Q3", "2025-02", "2025-W07", "2025-02-10"])
def test_every_kind_of_period_may_be_a_baseline(period: str) -> None:
    assert formula.references(formula.parse(f"baseline(works.a, {period})")) == {Reference("works.a", baseline=period)}


def test_years_outside_a_baseline_are_numbers_to_subtract() -> None:
    assert formula.parse("2025-02") == formula.parse("2025 - 2")


@pytest.mark.parametrize("text", ["and.x", "count.where", "min.max", "previous.a", "or_a.not_b"])
def test_a_measure_may_begin_like_a_keyword(text: str) -> None:
    assert formula.references(formula.parse(text)) == {Reference(text)}


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("", 0, "trống"),
        ("   ", 0, "trống"),
        ("works.a +", 9, "chưa kết thúc"),
        ("(works.a", 8, "chưa kết thúc"),
        ("works.a)", 7, "Không hiểu “\\)”"),
        ("works.a * 63,6", 12, "dấu chấm, ví dụ 63.6"),
        ("works.a > 1 > 0", 12, "chỉ so sánh hai vế"),
        ("works.a == 1", 9, "một dấu ="),
        ("households / 2", 0, "phòng.tên"),
        ("works.A", 0, "Không hiểu “works.A”"),
        ("works.a andworks.b", 8, "Không hiểu “andworks.b”"),
        ("3d", 0, "Không hiểu “3d”"),
        ("1.2.3", 0, "Không hiểu “1.2.3”"),
        ("12٣", 2, "Không hiểu “٣”"),
        ("min(works.a)", 11, "Không hiểu “\\)”"),
        ("previous(works.a + 1)", 17, "Không hiểu “\\+”"),
        ("previous(previous(works.a))", 9, "Không hiểu “previous”"),
        ("baseline(works.a, 2025-13)", 18, "Kỳ gốc"),
        ("baseline(works.a, 2025-Q5)", 18, "Kỳ gốc"),
        ("sum where works.a > 1", 0, "Không hiểu “sum”"),
        ("count where works.a > 1 / 2 where", 28, "Không hiểu “where”"),
        ("__import__('os')", 0, "Không hiểu “_”"),
        ("works.a; drop", 7, "Không hiểu “;”"),
        ("1234567890123456", 0, "quá dài"),
        ("0.1234567890", 0, "quá dài"),
    ],
)
def test_text_that_is_no_formula_is_refused_at_its_place(text: str, position: int, says: str) -> None:
    with pytest.raises(formula.FormulaSyntaxError, match=says) as caught:
        formula.parse(text)

    assert caught.value.position == position


def test_the_place_is_told_counting_from_one() -> None:
    with pytest.raises(formula.FormulaSyntaxError, match=r"\(ký tự thứ 8 của công thức\)"):
        formula.parse("works.a)")


def test_a_long_formula_is_refused() -> None:
    with pytest.raises(formula.FormulaSyntaxError, match="dài 2001 ký tự, tối đa 2000"):
        formula.parse("1" * 2001)


@pytest.mark.parametrize(
    "text",
    [
        "-" * 1_000 + "1",
        "not " * 400 + "works.a > 1",
        "+".join("1" * 900),
        "min(1," * 250 + "1" + ")" * 250,
    ],
)
def test_a_deep_formula_is_refused_before_anything_recurses(text: str) -> None:
    with pytest.raises(formula.FormulaSyntaxError, match="quá 100 tầng"):
        formula.parse(text)


def test_parentheses_alone_are_no_depth() -> None:
    assert formula.parse("(" * 900 + "works.a" + ")" * 900) == formula.parse("works.a")


def test_a_sum_of_a_hundred_measures_is_not_too_deep() -> None:
    expression = formula.parse(" + ".join(["works.a"] * 100))

    assert formula.references(expression) == {Reference("works.a")}
    assert formula.parse(formula.to_text(expression)) == expression


WORDS = (
    *("+", "-", "*", "/", "(", ")", ",", ">", "<", "=", ">=", "<=", "!="),
    *("and", "or", "not", "min", "max", "count", "where", "previous", "baseline", "planned"),
    *("works.a", "works.b", "2025", "2025-Q1", "1.5", "0"),
)


@settings(deadline=None, max_examples=400)
@given(
    st.one_of(
        st.text(max_size=60),
        st.text(alphabet=string.printable, max_size=60),
        st.lists(st.sampled_from(WORDS), max_size=15).map(" ".join),
        st.lists(st.sampled_from(WORDS), max_size=15).map("".join),
    )
)
def test_whatever_is_typed_is_a_formula_or_a_clear_refusal(text: str) -> None:
    known = {"works.a": MeasureType("m3", 1), "works.b": MeasureType("m3", 1)}
    try:
        expression = formula.parse(text)
        formula.check(expression, known)
    except formula.FormulaError as refusal:
        assert str(refusal)
        assert refusal.position is None or 0 <= refusal.position <= len(text)
    else:
        assert formula.parse(formula.to_text(expression)) == expression


@settings(deadline=None)
@given(st.one_of(NUMBERS, CONDITIONS, CONDITIONS.map(lambda tree: ("count", tree))))
def test_a_formula_written_out_reads_back_the_same(tree: Tree) -> None:
    text = f"count where {write(tree[1])}" if tree[0] == "count" else write(tree)
    expression = formula.parse(text)

    assert formula.parse(formula.to_text(expression)) == expression


def test_households_over_households_have_no_unit() -> None:
    found = check("works.households_connected / works.households_design")

    assert found == formula.ResultType(units.DIMENSIONLESS, formula.QUOTIENT_DECIMALS)


def test_products_and_quotients_make_new_units() -> None:
    assert check("works.output_m3 / works.households_connected").dimension == units.divide("m3", "household")
    assert check("works.output_m3h * 24").dimension == units.get_dimension("m3/h")
    assert check("works.output_m3 * works.capacity_m3d").decimals == 4


@pytest.mark.parametrize(
    "text",
    [
        "works.households_connected + works.output_m3",
        "works.households_connected - works.persons_served",
        "works.households_connected > works.persons_served",
        "max(works.households_connected, 0, works.persons_served)",
        "works.households_connected / works.households_design + works.output_m3",
    ],
)
def test_different_things_do_not_add_or_compare(text: str) -> None:
    assert isinstance(fault(text), formula.UnitMismatch)


def test_the_same_thing_on_two_scales_does_not_add() -> None:
    found = fault("works.capacity_m3d + works.output_m3h")

    assert isinstance(found, formula.UnitMismatch)
    assert "“works.capacity_m3d” tính bằng m³/ngày, “works.output_m3h” tính bằng m³/giờ" in str(found)
    assert found.position == 19


def test_a_share_and_a_percentage_do_not_add() -> None:
    assert isinstance(
        fault("works.loss_pct + works.households_connected / works.households_design"), formula.UnitMismatch
    )


def test_a_bare_number_has_the_unit_of_what_stands_beside_it() -> None:
    assert check("100 - works.loss_pct").dimension == units.get_dimension("pct")
    assert check("max(works.output_m3, 0)").dimension == units.get_dimension("m3")
    assert check("works.capacity_m3d >= 2 * 500").is_condition
    assert check("2 * 3") == formula.ResultType(units.DIMENSIONLESS, 0)


def test_a_measure_keeps_its_unit_in_other_periods_and_in_the_plan() -> None:
    growth = check("works.households_connected - previous(works.households_connected)")
    ahead = check("planned(works.households_connected) - baseline(works.households_connected, 2025)")

    assert growth.dimension == ahead.dimension == units.get_dimension("household")


def test_counting_gives_a_number_without_unit() -> None:
    condition = "works.households_connected > works.households_design and not works.loss_pct > 15"

    assert check(condition).is_condition
    assert check(f"count where {condition}") == formula.ResultType(units.DIMENSIONLESS, 0)
    assert check(f"(count where {condition}) / 14").decimals == formula.QUOTIENT_DECIMALS


@pytest.mark.parametrize(
    "text", ["(works.loss_pct > 15) + 1", "-(works.loss_pct > 15)", "min(1 > 0, 1)", "(1 > 0) > 0"]
)
def test_a_condition_is_no_number(text: str) -> None:
    found = fault(text)

    assert isinstance(found, formula.UnitMismatch)
    assert "là điều kiện, không phải số" in str(found)


@pytest.mark.parametrize("text", ["count where works.loss_pct", "not works.loss_pct", "works.loss_pct and 1 > 0"])
def test_a_number_is_no_condition(text: str) -> None:
    found = fault(text)

    assert isinstance(found, formula.UnitMismatch)
    assert "là số, không phải điều kiện" in str(found)


def test_an_unknown_measure_is_named_with_its_neighbours() -> None:
    found = fault("1 + works.housholds_connected")

    assert isinstance(found, formula.UnknownMeasure)
    assert "Không có số liệu “works.housholds_connected”. Có phải “works.households_connected”" in str(found)
    assert found.position == 4


def test_an_unknown_measure_like_no_other_points_to_the_list() -> None:
    assert "Xem danh mục số liệu" in str(fault("quality.zzz"))


@pytest.mark.parametrize(
    "divisor", ["0", "0.00", "(1 - 1)", "(-0)", "(0 * works.loss_pct)", "min(0, 1)", "(2 * 0.5 - 1)"]
)
def test_dividing_by_a_written_zero_is_an_error_before_any_figure_is_there(divisor: str) -> None:
    assert isinstance(fault(f"works.output_m3 / {divisor}"), formula.DivisionByZero)


def test_dividing_by_a_measure_is_no_error_even_if_it_may_be_zero() -> None:
    check("works.output_m3 / (works.households_connected - works.households_design)")


def test_indicators_come_after_those_they_need() -> None:
    definitions = {
        "loss.rank": frozenset({"loss.rate", "works.count"}),
        "loss.rate": frozenset({"loss.volume", "works.input"}),
        "loss.volume": frozenset({"works.input"}),
        "a.alone": frozenset[str](),
    }

    assert formula.order(definitions) == ["a.alone", "loss.volume", "loss.rate", "loss.rank"]


@pytest.mark.parametrize(
    ("definitions", "circle"),
    [
        ({"a": {"b"}, "b": {"a"}}, "a → b → a"),
        ({"b": {"a"}, "a": {"c"}, "c": {"b"}, "d": {"a"}}, "a → c → b → a"),
        ({"a": {"a"}}, "a → a"),
    ],
)
def test_a_circle_is_named_from_the_one_that_needs_to_the_one_needed(
    definitions: dict[str, set[str]], circle: str
) -> None:
    with pytest.raises(formula.CyclicFormula, match=f"quay vòng: {circle}\\."):
        formula.order({key: frozenset(needed) for key, needed in definitions.items()})


def test_a_long_chain_of_indicators_does_not_recurse() -> None:
    definitions = {f"k{number:05}": frozenset({f"k{number + 1:05}"}) for number in range(5_000)}

    assert formula.order(definitions)[-1] == "k00000"
