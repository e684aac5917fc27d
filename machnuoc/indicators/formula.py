"""The formula language of indicators: small, typed, and with no way into Python.

A formula speaks of measures by their keys, `works.households_connected / works.households_design`, and is read, checked
for units and turned into columns; `columns.evaluate` computes it. The rules are told in docs/algorithms/formulas.md.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from fractions import Fraction
from graphlib import CycleError, TopologicalSorter
from typing import Literal, NamedTuple, cast

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from machnuoc.core import units
from machnuoc.core.periods import BadPeriod, Period

MAX_LENGTH = 2_000
"""Characters of a formula."""
MAX_DEPTH = 100
"""Levels of a formula: parentheses, functions and each further operator of a row add one."""
MAX_NUMBER_DIGITS = 15
MAX_NUMBER_DECIMALS = 9
QUOTIENT_DECIMALS = 9
"""Decimals to which a division inside a formula is rounded, half up."""

ArithmeticOperator = Literal["+", "-", "*", "/"]
Comparator = Literal[">", ">=", "<", "<=", "=", "!="]


class FormulaError(ValueError):
    """A formula that cannot be used. position: where, in characters from 0; None if nowhere in particular."""

    def __init__(self, text_vi: str, position: int | None = None) -> None:
        super().__init__(text_vi if position is None else f"{text_vi} (ký tự thứ {position + 1} của công thức)")
        self.position = position


class FormulaSyntaxError(FormulaError):
    """Text that is not a formula."""


class UnknownMeasure(FormulaError):
    """A formula that speaks of a measure that does not exist."""


class UnitMismatch(FormulaError):
    """Households added to cubic metres, m3/d compared with m3/h, a condition used as a number."""


class DivisionByZero(FormulaError):
    """A division by a number that is 0 in every row."""


class CyclicFormula(FormulaError):
    """Indicators that need one another."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One column that a formula needs: a measure, in which period and which scenario.

    shift: 0 for the figure's own period, -1 for the period of the same kind before it. baseline: key of a fixed period
    instead. scenario: "PLAN" for the planned figure, "SAME" for the one that is being computed.
    """

    key: str
    shift: Literal[0, -1] = 0
    baseline: str | None = None
    scenario: Literal["SAME", "PLAN"] = "SAME"


@dataclass(frozen=True, slots=True)
class MeasureType:
    """What a formula must know of a measure: unit as keyed in core.units, and how many decimals it is stored with."""

    unit: str
    decimals: int


@dataclass(frozen=True, slots=True)
class ResultType:
    """What a formula gives: its dimension, the decimals of its column, and whether it is a condition (0 or 1)."""

    dimension: units.Dimension
    decimals: int
    is_condition: bool = False


@dataclass(frozen=True, slots=True)
class Number:
    value: Decimal
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Measure:
    reference: Reference
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Negative:
    operand: "Expression"
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    operator: ArithmeticOperator
    left: "Expression"
    right: "Expression"
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Extreme:
    which: Literal["min", "max"]
    parts: tuple["Expression", ...]
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Compare:
    operator: Comparator
    left: "Expression"
    right: "Expression"
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Logic:
    operator: Literal["and", "or"]
    left: "Expression"
    right: "Expression"
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    operand: "Expression"
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class CountWhere:
    condition: "Expression"
    position: int = field(default=0, compare=False)


Expression = Number | Measure | Negative | Arithmetic | Extreme | Compare | Logic | Not | CountWhere

# A keyword or number that runs into further letters is not one: "andworks.a", "12.5.1", "3d".
_GRAMMAR = r"""
    ?start: expression
    ?expression: disjunction
        | COUNT WHERE disjunction -> count_where
    ?disjunction: conjunction
        | disjunction OR conjunction -> logic
    ?conjunction: negation
        | conjunction AND negation -> logic
    ?negation: comparison
        | NOT negation -> negate
    ?comparison: sum
        | sum COMPARATOR sum -> compare
    ?sum: product
        | sum SIGN product -> arithmetic
    ?product: unary
        | product SCALE unary -> arithmetic
    ?unary: atom
        | SIGN unary -> signed
    ?atom: "(" expression ")"
        | NUMBER -> number
        | KEY -> measure
        | EXTREME "(" expression ("," expression)+ ")" -> extreme
        | PREVIOUS "(" KEY ")" -> previous
        | BASELINE "(" KEY "," PERIOD ")" -> baseline
        | PLANNED "(" KEY ")" -> planned

    COUNT: /count(?![A-Za-z0-9_.])/
    WHERE: /where(?![A-Za-z0-9_.])/
    OR: /or(?![A-Za-z0-9_.])/
    AND: /and(?![A-Za-z0-9_.])/
    NOT: /not(?![A-Za-z0-9_.])/
    EXTREME: /(min|max)(?![A-Za-z0-9_.])/
    PREVIOUS: /previous(?![A-Za-z0-9_.])/
    BASELINE: /baseline(?![A-Za-z0-9_.])/
    PLANNED: /planned(?![A-Za-z0-9_.])/
    KEY: /[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+(?![A-Za-z0-9_.])/
    NUMBER: /[0-9]+(\.[0-9]+)?(?![A-Za-z0-9_.])/
    PERIOD: /[0-9]{4}(-[A-Z0-9]+)*(?![A-Za-z0-9_.-])/
    COMPARATOR: />=|<=|!=|>|<|=/
    SIGN: /[+-]/
    SCALE: /[*\/]/
    %ignore /[ \t\r\n\u00a0]+/
"""


class _Builder(Transformer[Token, Expression]):
    """Makes the expression while the text is read; each method gets the children of its rule."""

    def number(self, children: list[Token]) -> Number:
        token = children[0]
        whole, _, decimals = token.partition(".")
        if len(whole) > MAX_NUMBER_DIGITS or len(decimals) > MAX_NUMBER_DECIMALS:
            raise FormulaSyntaxError(
                f"Số “{_short(token)}” quá dài: tối đa {MAX_NUMBER_DIGITS} chữ số trước và {MAX_NUMBER_DECIMALS} "
                "chữ số sau dấu chấm.",
                token.start_pos,
            )
        return Number(Decimal(token), _at(token))

    def measure(self, children: list[Token]) -> Measure:
        return Measure(Reference(str(children[0])), _at(children[0]))

    def previous(self, children: list[Token]) -> Measure:
        return Measure(Reference(str(children[1]), shift=-1), _at(children[0]))

    def planned(self, children: list[Token]) -> Measure:
        return Measure(Reference(str(children[1]), scenario="PLAN"), _at(children[0]))

    def baseline(self, children: list[Token]) -> Measure:
        token, key, period = children
        try:
            return Measure(Reference(str(key), baseline=Period.parse(period).key), _at(token))
        except BadPeriod as reason:
            raise FormulaSyntaxError(f"Kỳ gốc trong baseline(…) không đúng: {reason}", period.start_pos) from reason

    def signed(self, children: list["Token | Expression"]) -> Expression:
        sign, operand = cast(tuple[Token, Expression], children)
        return Negative(operand, _at(sign)) if sign == "-" else operand

    def arithmetic(self, children: list["Token | Expression"]) -> Arithmetic:
        left, operator, right = cast(tuple[Expression, Token, Expression], children)
        return Arithmetic(cast(ArithmeticOperator, str(operator)), left, right, _at(operator))

    def compare(self, children: list["Token | Expression"]) -> Compare:
        left, operator, right = cast(tuple[Expression, Token, Expression], children)
        return Compare(cast(Comparator, str(operator)), left, right, _at(operator))

    def logic(self, children: list["Token | Expression"]) -> Logic:
        left, operator, right = cast(tuple[Expression, Token, Expression], children)
        return Logic("and" if operator == "and" else "or", left, right, _at(operator))

    def negate(self, children: list["Token | Expression"]) -> Not:
        token, operand = cast(tuple[Token, Expression], children)
        return Not(operand, _at(token))

    def extreme(self, children: list["Token | Expression"]) -> Extreme:
        name, parts = cast(Token, children[0]), cast(list[Expression], children[1:])
        return Extreme("min" if name == "min" else "max", tuple(parts), _at(name))

    def count_where(self, children: list["Token | Expression"]) -> CountWhere:
        token, _, condition = cast(tuple[Token, Token, Expression], children)
        return CountWhere(condition, _at(token))


_PARSER = Lark(_GRAMMAR, parser="lalr", lexer="contextual", transformer=_Builder(), maybe_placeholders=False)


def parse(text: str) -> Expression:
    """Return the formula that the text says. Raises FormulaSyntaxError, with the position.

    >>> parse("works.households_connected / works.households_design").operator
    '/'
    >>> references(parse("planned(works.a)"))
    frozenset({Reference(key='works.a', shift=0, baseline=None, scenario='PLAN')})
    """
    if len(text) > MAX_LENGTH:
        raise FormulaSyntaxError(f"Công thức dài {len(text)} ký tự, tối đa {MAX_LENGTH}. Rút ngắn công thức.")
    if not text.strip():
        raise FormulaSyntaxError("Công thức trống. Nhập công thức.", 0)
    try:
        expression = cast(Expression, _PARSER.parse(text))
    except UnexpectedInput as reason:
        raise _syntax_error(text, reason) from None
    for node, depth in _walk(expression):
        if depth > MAX_DEPTH:
            raise FormulaSyntaxError(
                f"Công thức lồng nhau quá {MAX_DEPTH} tầng. Chia công thức thành nhiều chỉ tiêu nhỏ hơn.", node.position
            )
    return expression


def references(expression: Expression) -> frozenset[Reference]:
    """Return the columns that the formula needs."""
    return frozenset(node.reference for node, _ in _walk(expression) if isinstance(node, Measure))


def check(expression: Expression, measures: Mapping[str, MeasureType]) -> ResultType:
    """Return what the formula gives, after checking that it may be computed at all.

    measures: all that a formula may speak of, by key. Adding, comparing, min and max need one dimension on one scale; a
    bare number has that of what stands beside it, and is a pure number in a product or quotient. Raises UnknownMeasure,
    UnitMismatch or DivisionByZero.

    >>> households = MeasureType("household", 0)
    >>> known = {"works.connected": households, "works.design": households}
    >>> check(parse("works.connected / works.design"), known).dimension.is_dimensionless
    True
    """
    found = _check(expression, measures)
    return ResultType(found.dimension or units.DIMENSIONLESS, found.decimals, found.is_condition)


def order(definitions: Mapping[str, frozenset[str]]) -> list[str]:
    """Return the indicators so that each comes after those it needs; equal choices in alphabetical order.

    definitions: for each indicator the keys its formulas speak of; keys that are not indicators are left aside.
    Raises CyclicFormula, which names the circle.

    >>> order({"a": frozenset({"b", "works.design"}), "b": frozenset()})
    ['b', 'a']
    """
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for key in sorted(definitions):
        sorter.add(key, *sorted(needed for needed in definitions[key] if needed in definitions))
    try:
        sorter.prepare()
    except CycleError as reason:
        # The sorter tells the circle from what is needed to what needs it, its first and last key being the same.
        circle = cast(list[str], reason.args[1])[:0:-1]
        first = circle.index(min(circle))
        circle = [*circle[first:], *circle[:first], circle[first]]
        raise CyclicFormula(
            f"Công thức quay vòng: {' → '.join(circle)}. Bỏ một trong các tham chiếu này rồi lưu lại."
        ) from None
    ordered: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        ordered += ready
        sorter.done(*ready)
    return ordered


def to_text(expression: Expression) -> str:
    """Return the formula as text that `parse` reads back to an equal expression.

    >>> to_text(parse("(works.a+works.b)*-2"))
    '(works.a + works.b) * -2'
    """
    return _text(expression, 0)


class _Checked(NamedTuple):
    """dimension: None for a bare number, which fits any."""

    dimension: units.Dimension | None
    decimals: int
    is_condition: bool = False


def _check(node: Expression, measures: Mapping[str, MeasureType]) -> _Checked:
    match node:
        case Number():
            return _Checked(None, _decimals(node.value))
        case Measure():
            return _check_measure(node, measures)
        case Negative():
            return _check_number(node.operand, measures)
        case Arithmetic():
            return _check_arithmetic(node, measures)
        case Extreme():
            parts = [_check_number(part, measures) for part in node.parts]
            return _Checked(_common(node, node.parts, parts), max(part.decimals for part in parts))
        case Compare():
            sides = (node.left, node.right)
            _common(node, sides, [_check_number(side, measures) for side in sides])
            return _Checked(units.DIMENSIONLESS, 0, is_condition=True)
        case Logic():
            for side in (node.left, node.right):
                _check_condition(side, measures)
            return _Checked(units.DIMENSIONLESS, 0, is_condition=True)
        case Not():
            return _check_condition(node.operand, measures)
        case CountWhere():
            _check_condition(node.condition, measures)
            return _Checked(units.DIMENSIONLESS, 0)


def _check_measure(node: Measure, measures: Mapping[str, MeasureType]) -> _Checked:
    key = node.reference.key
    if key not in measures:
        near = get_close_matches(key, measures, n=3)
        advice = f" Có phải {_list_vi([f'“{name}”' for name in near])}?" if near else " Xem danh mục số liệu."
        raise UnknownMeasure(f"Không có số liệu “{key}”.{advice}", node.position)
    measure = measures[key]
    return _Checked(units.get_unit(measure.unit).dimension, measure.decimals)


def _check_number(node: Expression, measures: Mapping[str, MeasureType]) -> _Checked:
    found = _check(node, measures)
    if found.is_condition:
        raise UnitMismatch(
            f"“{_short(to_text(node))}” là điều kiện, không phải số. Dùng (count where …) để đếm nơi thỏa điều kiện.",
            node.position,
        )
    return found


def _check_condition(node: Expression, measures: Mapping[str, MeasureType]) -> _Checked:
    found = _check(node, measures)
    if not found.is_condition:
        raise UnitMismatch(
            f"“{_short(to_text(node))}” là số, không phải điều kiện. Thêm phép so sánh, ví dụ > 0.", node.position
        )
    return found


def _check_arithmetic(node: Arithmetic, measures: Mapping[str, MeasureType]) -> _Checked:
    left, right = _check_number(node.left, measures), _check_number(node.right, measures)
    match node.operator:
        case "+" | "-":
            dimension = _common(node, (node.left, node.right), [left, right])
            return _Checked(dimension, max(left.decimals, right.decimals))
        case "*":
            return _Checked(_product(left, right, units.multiply), left.decimals + right.decimals)
        case "/":
            if _constant(node.right) == 0:
                raise DivisionByZero("Công thức chia cho 0. Sửa mẫu số.", node.position)
            return _Checked(_product(left, right, units.divide), QUOTIENT_DECIMALS)


def _product(
    left: _Checked, right: _Checked, combine: Callable[[units.Dimension, units.Dimension], units.Dimension]
) -> units.Dimension | None:
    if left.dimension is None and right.dimension is None:
        return None
    return combine(left.dimension or units.DIMENSIONLESS, right.dimension or units.DIMENSIONLESS)


def _common(node: Expression, parts: Iterable[Expression], found: Iterable[_Checked]) -> units.Dimension | None:
    """Return the one dimension of the parts; bare numbers take that of the others."""
    first: tuple[Expression, units.Dimension] | None = None
    for part, checked in zip(parts, found, strict=True):
        if checked.dimension is None:
            continue
        if first is None:
            first = (part, checked.dimension)
        elif checked.dimension != first[1]:
            raise UnitMismatch(
                f"Không cộng, trừ hay so sánh được hai đơn vị khác nhau: “{_short(to_text(first[0]))}” tính bằng "
                f"{_unit_vi(first[1])}, “{_short(to_text(part))}” tính bằng {_unit_vi(checked.dimension)}.",
                node.position,
            )
    return None if first is None else first[1]


def _constant(node: Expression) -> Fraction | None:
    """Return the value of a part without measures; None where it has one, or divides by zero itself."""
    match node:
        case Number():
            return Fraction(node.value)
        case Negative():
            operand = _constant(node.operand)
            return None if operand is None else -operand
        case Extreme():
            parts = [_constant(part) for part in node.parts]
            known = [part for part in parts if part is not None]
            if len(known) < len(parts):
                return None
            return min(known) if node.which == "min" else max(known)
        case Arithmetic():
            left, right = _constant(node.left), _constant(node.right)
            if left is None or right is None:
                # Nothing times zero is anything but zero: a divisor such as 0 * works.a is a slip as well.
                return Fraction(0) if node.operator == "*" and 0 in (left, right) else None
            match node.operator:
                case "+":
                    return left + right
                case "-":
                    return left - right
                case "*":
                    return left * right
                case "/":
                    return left / right if right else None
        case _:
            return None


def _walk(expression: Expression) -> Iterator[tuple[Expression, int]]:
    """Give every node with its level, without recursion: the depth is checked here before anything recurses."""
    waiting = [(expression, 1)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        waiting.extend((child, depth + 1) for child in _children(node))


def _children(node: Expression) -> tuple[Expression, ...]:
    match node:
        case Number() | Measure():
            return ()
        case Negative() | Not():
            return (node.operand,)
        case CountWhere():
            return (node.condition,)
        case Extreme():
            return node.parts
        case Arithmetic() | Compare() | Logic():
            return (node.left, node.right)


# How tightly each kind binds; a looser part inside a tighter place is written in parentheses.
_COUNT, _OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _UNARY = range(8)


def _text(node: Expression, place: int) -> str:
    match node:
        case Number():
            return f"{node.value:f}"
        case Measure():
            return _reference_text(node.reference)
        case Extreme():
            return f"{node.which}({', '.join(_text(part, _COUNT) for part in node.parts)})"
        case Negative():
            binds, text = _UNARY, f"-{_text(node.operand, _UNARY)}"
        case Arithmetic():
            binds = _SUM if node.operator in ("+", "-") else _PRODUCT
            text = f"{_text(node.left, binds)} {node.operator} {_text(node.right, binds + 1)}"
        case Compare():
            binds, text = _COMPARE, f"{_text(node.left, _SUM)} {node.operator} {_text(node.right, _SUM)}"
        case Logic():
            binds = _AND if node.operator == "and" else _OR
            text = f"{_text(node.left, binds)} {node.operator} {_text(node.right, binds + 1)}"
        case Not():
            binds, text = _NOT, f"not {_text(node.operand, _NOT)}"
        case CountWhere():
            binds, text = _COUNT, f"count where {_text(node.condition, _OR)}"
    return text if binds >= place else f"({text})"


def _reference_text(reference: Reference) -> str:
    if reference.baseline is not None:
        return f"baseline({reference.key}, {reference.baseline})"
    if reference.shift:
        return f"previous({reference.key})"
    return f"planned({reference.key})" if reference.scenario == "PLAN" else reference.key


def _syntax_error(text: str, reason: UnexpectedInput) -> FormulaSyntaxError:
    if isinstance(reason, UnexpectedToken) and reason.token.type != "$END":
        position, found = _at(reason.token), str(reason.token)
    elif isinstance(reason, UnexpectedCharacters):
        position = reason.pos_in_stream or 0
        found = _word_at(text, position)
    else:
        return FormulaSyntaxError("Công thức chưa kết thúc. Viết tiếp hoặc đóng ngoặc.", len(text))
    return FormulaSyntaxError(
        f"Không hiểu “{_short(found)}” trong công thức.{_advice(text, position, found)}", position
    )


def _advice(text: str, position: int, found: str) -> str:
    if found == "," and text[position - 1 : position].isdigit():
        return " Số thập phân trong công thức viết bằng dấu chấm, ví dụ 63.6."
    if found == "=" and text[position - 1 : position] == "=":
        return " So sánh bằng viết là một dấu =."
    if found in (">", ">=", "<", "<=", "=", "!="):
        return " Mỗi lần chỉ so sánh hai vế; nối các phép so sánh bằng and, or."
    if found.isidentifier():
        return " Mã số liệu có dạng phòng.tên, ví dụ works.households_connected; mọi chữ đều viết thường."
    return ""


def _word_at(text: str, position: int) -> str:
    end = position + 1
    while end < len(text) and (text[end].isalnum() or text[end] in "_.") and text[position].isalnum():
        end += 1
    return text[position:end]


def _unit_vi(dimension: units.Dimension) -> str:
    unit = units.find_unit(dimension)
    if unit is None:
        return "một đơn vị ghép"
    return unit.label_vi or "số không có đơn vị"


def _decimals(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _list_vi(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} hoặc {names[-1]}"


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "…"


def _at(token: Token) -> int:
    return token.start_pos or 0
