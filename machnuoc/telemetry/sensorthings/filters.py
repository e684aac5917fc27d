"""The filters of SensorThings: text in, a tree of plain objects out; and what a tree says of one thing.

Pure. Whatever the text is, reading it ends soon and raises only FilterError; whatever the thing is, judging it raises
nothing: what cannot be compared is not equal, a sum with what is no number is null, and null is only equal to null.
Source: OGC 18-088 (SensorThings API Part 1: Sensing, version 1.1), 9.3.3.5.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from lark import Lark, Token, Transformer
from lark.exceptions import LarkError, UnexpectedInput, UnexpectedToken, VisitError

from machnuoc.telemetry.sensorthings import geometry

MAX_LENGTH = 4_000
"""Characters of a filter."""
MAX_DEPTH = 40
"""Levels of parentheses, functions and negations."""
MAX_VALUES = 10_000
"""Values that one expression may have of one thing: of a path over many (Datastreams/name) each counts."""

_SOME_INSTANT = datetime(2000, 1, 1, tzinfo=UTC)
LOCAL_OFFSET = timedelta(hours=7)  # what a time says without an offset: Asia/Ho_Chi_Minh


class FilterError(ValueError):
    """Text that is no filter of ours; says in Vietnamese what and where."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A span of time, both ends in it."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Literal:
    value: Any  # float, int, str, bool, None, datetime, date, time, timedelta


@dataclass(frozen=True, slots=True)
class Named:
    """Names from the thing on: a property, through links and into objects."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Row:
    """Operands with operators between them, from left to right: add, sub, mul, div, mod."""

    first: "Expression"
    rest: tuple[tuple[str, "Expression"], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    operator: str
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, slots=True)
class OneOf:
    value: "Expression"
    among: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Every:
    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Some:
    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Negation:
    part: "Expression"


Expression = Literal | Named | Call | Row | Comparison | OneOf | Every | Some | Negation
Lookup = Callable[[tuple[str, ...]], Any]
"""What a path means of the thing at hand: a value, or a list of values where it leads over many."""


# --- reading --------------------------------------------------------------------------------------------------------


def parse(text: str) -> Expression:
    """Return the tree of a filter. Raises FilterError, and nothing else.

    >>> parse("result gt 3 and not startswith(Datastream/name, 'Clo')").parts[0]
    Comparison(operator='gt', left=Named(names=('result',)), right=Literal(value=3))
    """
    if len(text) > MAX_LENGTH:
        raise FilterError(f"$filter dài {len(text)} ký tự, nhiều hơn {MAX_LENGTH}.")
    deepest = depth = 0
    for char in _STRINGS.sub("", text):
        depth += (char == "(") - (char == ")")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH or len(_NOTS.findall(text)) > MAX_DEPTH:
        raise FilterError(f"$filter lồng nhau quá {MAX_DEPTH} tầng.")
    try:
        return cast(Expression, _parser().parse(text))
    except FilterError:
        raise
    except VisitError as error:
        if isinstance(error.orig_exc, FilterError):
            raise error.orig_exc from None
        raise FilterError("$filter có một giá trị không hiểu được.") from error
    except UnexpectedInput as error:
        raise FilterError(_told(text, error)) from None
    except (LarkError, ValueError, ArithmeticError) as error:
        raise FilterError("$filter có một giá trị không hiểu được.") from error


_STRINGS = re.compile(r"'[^']*'")
_NOTS = re.compile(r"\bnot\b")


def _told(text: str, error: UnexpectedInput) -> str:
    is_over = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    place = error.pos_in_stream if isinstance(error.pos_in_stream, int) and error.pos_in_stream >= 0 else len(text)
    if is_over or place >= len(text.rstrip()):
        return "$filter chưa hết câu: còn thiếu một vế, một dấu nháy hoặc một dấu ngoặc."
    rest = text[place : place + 20]
    return f"$filter không hiểu được từ ký tự thứ {place + 1}: «{rest}»."


@cache
def _parser() -> Lark:
    grammar = (Path(__file__).parent / "filter.lark").read_text(encoding="utf-8")
    # LALR with the builder inside: no recursion over what was written.
    return Lark(grammar, parser="lalr", lexer="contextual", transformer=_Builder())


class _Builder(Transformer[Token, Expression]):
    def any_of(self, parts: list[Expression]) -> Expression:
        return Some(tuple(parts))

    def all_of(self, parts: list[Expression]) -> Expression:
        return Every(tuple(parts))

    def negate(self, parts: list[Expression]) -> Expression:
        return Negation(parts[0])

    def group(self, parts: list[Expression]) -> Expression:
        return parts[0]

    def comparison(self, parts: list[Any]) -> Expression:
        return Comparison(str(parts[1]), parts[0], parts[2])

    def one_of(self, parts: list[Any]) -> Expression:
        return OneOf(parts[0], tuple(parts[1:]))

    def sum(self, parts: list[Any]) -> Expression:
        operators, operands = parts[1::2], parts[2::2]
        return Row(parts[0], tuple((str(sign), operand) for sign, operand in zip(operators, operands, strict=True)))

    product = sum

    def call(self, parts: list[Any]) -> Expression:
        name = str(parts[0]).lower()
        if name not in FUNCTIONS:
            raise FilterError(f"$filter: không có hàm «{parts[0]}». Các hàm dùng được: {', '.join(sorted(FUNCTIONS))}.")
        counts, _ = FUNCTIONS[name]
        if len(parts) - 1 not in counts:
            raise FilterError(f"$filter: hàm {name} nhận {' hoặc '.join(map(str, counts))} đối số.")
        return Call(name, tuple(parts[1:]))

    def path(self, parts: list[Any]) -> Expression:
        return Named(tuple(str(part) for part in parts))

    def number(self, parts: list[Token]) -> Expression:
        text = str(parts[0])
        if text.lstrip("-").isdigit() and len(text) < 18:
            return Literal(int(text))
        value = float(text)
        if not math.isfinite(value):
            raise FilterError(f"$filter: số «{text[:20]}» quá lớn.")
        return Literal(value)

    def text(self, parts: list[Token]) -> Expression:
        return Literal(str(parts[0])[1:-1].replace("''", "'"))

    def instant(self, parts: list[Token]) -> Expression:
        return Literal(read_instant(str(parts[0])))

    def day(self, parts: list[Token]) -> Expression:
        try:
            return Literal(date.fromisoformat(str(parts[0])))
        except ValueError:
            raise FilterError(f"$filter: không có ngày «{parts[0]}».") from None

    def time_of_day(self, parts: list[Token]) -> Expression:
        try:
            return Literal(time.fromisoformat(_six_decimals(str(parts[0]))))
        except ValueError:
            raise FilterError(f"$filter: không có giờ «{parts[0]}».") from None

    def duration(self, parts: list[Token]) -> Expression:
        return Literal(read_duration(str(parts[0])[len("duration'") : -1]))

    def geography(self, parts: list[Token]) -> Expression:
        try:
            return Literal(geometry.read_wkt(str(parts[0]).partition("'")[2][:-1]))
        except geometry.GeometryError as error:
            raise FilterError(f"$filter: {error}") from None

    def truth(self, parts: list[Token]) -> Expression:
        return Literal(str(parts[0]) == "true")

    def null(self, parts: list[Token]) -> Expression:
        return Literal(None)


def read_instant(text: str) -> datetime:
    """Return an aware instant of ISO text; without an offset it is local time. Raises FilterError.

    >>> read_instant("2026-01-01T00:00:00+07:00").isoformat(), read_instant("2026-01-01T00:00").isoformat()
    ('2025-12-31T17:00:00+00:00', '2025-12-31T17:00:00+00:00')
    """
    try:
        found = datetime.fromisoformat(_six_decimals(text))
        if found.tzinfo is None:
            return (found - LOCAL_OFFSET).replace(tzinfo=UTC)
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise FilterError(f"Không có thời điểm «{text[:40]}». Viết như 2026-01-31T07:00:00+07:00.") from None


_FRACTION = re.compile(r"\.(\d+)")


def _six_decimals(text: str) -> str:
    return _FRACTION.sub(lambda found: "." + found.group(1)[:6].ljust(6, "0"), text)


_DURATION = re.compile(
    r"-?P(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,6}(?:\.\d{1,6})?)S)?)?", re.ASCII
)  # fmt: skip


def read_duration(text: str) -> timedelta:
    """Return a span of ISO text in days, hours, minutes and seconds. Raises FilterError.

    >>> read_duration("P1DT2H30M")
    datetime.timedelta(days=1, seconds=9000)
    """
    found = _DURATION.fullmatch(text)
    if found is None or not any(found.groups()):
        raise FilterError(f"$filter: không hiểu khoảng thời gian «{text[:40]}». Viết như duration'P1DT2H30M'.")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    return -span if text.startswith("-") else span


# --- judging --------------------------------------------------------------------------------------------------------


class Many(list[Any]):
    """Values of a path that leads over many things. A comparison holds if it holds for one of them."""


def holds(expression: Expression, lookup: Lookup, now: datetime) -> bool:
    """Return whether the filter holds for the thing whose paths `lookup` knows."""
    return _is_true(value_of(expression, lookup, now))


def _is_true(value: Any) -> bool:
    return any(each is True for each in value) if isinstance(value, Many) else value is True


def value_of(expression: Expression, lookup: Lookup, now: datetime) -> Any:
    """Return what the expression comes to: a value, several (Many), or None."""
    match expression:
        case Literal(value):
            return value
        case Named(names):
            return lookup(names)
        case Every(parts):
            return all(_is_true(value_of(part, lookup, now)) for part in parts)
        case Some(parts):
            return any(_is_true(value_of(part, lookup, now)) for part in parts)
        case Negation(part):
            return not _is_true(value_of(part, lookup, now))
        case Comparison(operator, left, right):
            return _spread(
                lambda a, b: _compare(operator, a, b), [value_of(left, lookup, now), value_of(right, lookup, now)]
            )
        case OneOf(value, among):
            found = value_of(value, lookup, now)
            return any(_is_true(_spread(lambda a, b: _compare("eq", a, b), [found, each.value])) for each in among)
        case Row(first, rest):
            total = value_of(first, lookup, now)
            for operator, operand in rest:
                total = _spread(_ARITHMETIC[operator], [total, value_of(operand, lookup, now)])
            return total
        case Call("now", _):
            return now
        case Call(name, arguments):
            return _spread(FUNCTIONS[name][1], [value_of(each, lookup, now) for each in arguments])


def _spread(function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    if not any(isinstance(each, Many) for each in arguments):
        return _safely(function, arguments)
    sides = [each if isinstance(each, Many) else [each] for each in arguments]
    found = Many()
    for chosen in product(*sides):
        if len(found) >= MAX_VALUES:
            break
        found.append(_safely(function, chosen))
    return found


def _safely(function: Callable[..., Any], arguments: Iterable[Any]) -> Any:
    try:
        return function(*arguments)
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return None  # of another kind than the function takes: null, as the standard has it


def _compare(operator: str, left: Any, right: Any) -> bool:
    if left is None or right is None:
        same = left is None and right is None
        return same if operator == "eq" else not same if operator == "ne" else False
    if isinstance(left, Interval) or isinstance(right, Interval):
        return _compare_spans(operator, _as_interval(left), _as_interval(right))
    left, right = _alike(left, right), _alike(right, left)
    if type(left) is not type(right):
        return operator == "ne"
    match operator:
        case "eq":
            return bool(left == right)
        case "ne":
            return bool(left != right)
        case "lt":
            return bool(left < right)
        case "le":
            return bool(left <= right)
        case "gt":
            return bool(left > right)
    return bool(left >= right)


def _as_interval(value: Any) -> Interval:
    if isinstance(value, Interval):
        return value
    instant = _alike(value, _SOME_INSTANT) if not isinstance(value, datetime) else value
    if not isinstance(instant, datetime):
        raise TypeError("no time")
    return Interval(instant, instant)


def _compare_spans(operator: str, left: Interval, right: Interval) -> bool:
    """Compare as the standard has it: a span is before another if it ends before the other begins."""
    match operator:
        case "eq":
            return left == right
        case "ne":
            return left != right
        case "lt":
            return left.end < right.start
        case "le":
            return left.end <= right.start or left == right
        case "gt":
            return left.start > right.end
    return left.start >= right.end or left == right


def _alike(value: Any, other: Any) -> Any:
    """Return the value in the kind of the other where it can be: a whole number as number, a text as instant."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return float(value)
    if isinstance(other, datetime):
        if isinstance(value, str):
            return read_instant(value)
        if isinstance(value, date) and not isinstance(value, datetime):
            return (datetime(value.year, value.month, value.day) - LOCAL_OFFSET).replace(tzinfo=UTC)  # noqa: DTZ001
    if isinstance(value, datetime) and isinstance(other, date) and not isinstance(other, datetime):
        return value  # the other becomes its first instant
    return value


def _number(value: Any) -> float | int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError("no number")
    return value


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, (datetime, timedelta)) or isinstance(right, (datetime, timedelta)):
        return left + right
    return _number(left) + _number(right)


def _subtract(left: Any, right: Any) -> Any:
    if isinstance(left, (datetime, timedelta)):
        return left - right
    return _number(left) - _number(right)


def _modulo(left: Any, right: Any) -> Any:
    return math.fmod(_number(left), _number(right))  # of the sign of the dividend


_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType({
    "add": _add,
    "sub": _subtract,
    "mul": lambda left, right: _number(left) * _number(right),
    "div": lambda left, right: _number(left) / _number(right),
    "mod": _modulo,
})  # fmt: skip


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _substring(text: Any, start: Any, length: Any = None) -> str:
    first = max(0, int(_number(start)))
    return _text(text)[first:] if length is None else _text(text)[first : first + max(0, int(_number(length)))]


def _round(value: Any) -> float:
    return float(math.floor(abs(_number(value)) + 0.5)) * (-1 if value < 0 else 1)


def _instant(value: Any) -> datetime:
    """Return local time: parts of an instant are those on the clocks here."""
    if isinstance(value, Interval):
        value = value.start
    if isinstance(value, str):
        value = read_instant(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC) + LOCAL_OFFSET
    raise TypeError("no instant")


def _day(value: Any) -> date:
    return value if isinstance(value, date) and not isinstance(value, datetime) else _instant(value).date()


def _clock(value: Any) -> time:
    return value if isinstance(value, time) else _instant(value).time()


def _total_seconds(value: Any) -> float:
    if not isinstance(value, timedelta):
        raise TypeError("no duration")
    return value.total_seconds()


FUNCTIONS: Mapping[str, tuple[tuple[int, ...], Callable[..., Any]]] = MappingProxyType({
    # (how many arguments, what it does)
    "contains": ((2,), lambda text, part: _text(part) in _text(text)),
    "substringof": ((2,), lambda part, text: _text(part) in _text(text)),
    "startswith": ((2,), lambda text, part: _text(text).startswith(_text(part))),
    "endswith": ((2,), lambda text, part: _text(text).endswith(_text(part))),
    "length": ((1,), lambda text: len(_text(text))),
    "indexof": ((2,), lambda text, part: _text(text).find(_text(part))),
    "substring": ((2, 3), _substring),
    "tolower": ((1,), lambda text: _text(text).lower()),
    "toupper": ((1,), lambda text: _text(text).upper()),
    "trim": ((1,), lambda text: _text(text).strip()),
    "concat": ((2,), lambda left, right: _text(left) + _text(right)),
    "round": ((1,), _round),
    "floor": ((1,), lambda value: float(math.floor(_number(value)))),
    "ceiling": ((1,), lambda value: float(math.ceil(_number(value)))),
    "year": ((1,), lambda value: _day(value).year),
    "month": ((1,), lambda value: _day(value).month),
    "day": ((1,), lambda value: _day(value).day),
    "hour": ((1,), lambda value: _clock(value).hour),
    "minute": ((1,), lambda value: _clock(value).minute),
    "second": ((1,), lambda value: _clock(value).second),
    "fractionalseconds": ((1,), lambda value: _clock(value).microsecond / 1_000_000),
    "date": ((1,), _day),
    "time": ((1,), _clock),
    "totaloffsetminutes": ((1,), lambda value: 420 if _instant(value) else None),
    "totalseconds": ((1,), _total_seconds),
    "geo.distance": ((2,), geometry.distance_m),
    "st_distance": ((2,), geometry.distance_m),
    "st_within": ((2,), geometry.is_within),
    "now": ((0,), lambda: None),
    "mindatetime": ((0,), lambda: datetime(1, 1, 1, tzinfo=UTC)),
    "maxdatetime": ((0,), lambda: datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
})  # fmt: skip


# --- taking apart ---------------------------------------------------------------------------------------------------


def paths(expression: Expression | None) -> Iterator[tuple[str, ...]]:
    """Give every path that the filter speaks of."""
    match expression:
        case Named(names):
            yield names
        case Every(parts) | Some(parts) | Call(_, parts):
            for part in parts:
                yield from paths(part)
        case Negation(part) | OneOf(part, _):
            yield from paths(part)
        case Comparison(_, left, right):
            yield from paths(left)
            yield from paths(right)
        case Row(first, rest):
            yield from paths(first)
            for _, operand in rest:
                yield from paths(operand)


def conjuncts(expression: Expression | None) -> tuple[Expression, ...]:
    """Return conditions that must all hold, instead of the filter."""
    match expression:
        case None:
            return ()
        case Every(parts):
            return tuple(one for part in parts for one in conjuncts(part))
    return (expression,)
