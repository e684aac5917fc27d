"""Numbers, money and dates as Vietnamese documents write them: parse and format.

Dots group thousands and a comma marks decimals: 1.288,5. The plans now and then print a decimal point instead (0.169,
10.6%). Each text is therefore read in both styles. What only one style can read has that one value; what both read
differently (1.288 is 1288 or 1.288) goes by a stated rule or is asked about, never guessed.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Literal

from machnuoc.core import periods

NBSP = "\u00a0"
NO_FIGURE = "–"

MoneyUnit = Literal["đồng", "nghìn đồng", "triệu đồng", "tỷ đồng"]
Cell = str | int | float | Decimal | None

_MAX_LENGTH = 40
_EXACT = Context(prec=2 * _MAX_LENGTH + 20, rounding=ROUND_HALF_UP)

_MISSING = frozenset({"", "-", "−", "‐", "‑", "–", "—", "…", "..."})
_INVISIBLE = "\u200b\u200e\u200f\ufeff"

_NUMBER = re.compile(r"([+\-−]?)([0-9][0-9.,]*)\s?%?")
_VIETNAMESE = re.compile(r"(?P<whole>[0-9]+|[1-9][0-9]{0,2}(?:\.[0-9]{3})+)(?:,(?P<fraction>[0-9]+))?")
# With a decimal point the whole part has no leading zeros: "05.123" could be 5123 as well and is refused.
_POINT = re.compile(
    r"(?P<whole>[1-9][0-9]{0,2}(?:,[0-9]{3})+|(?:0|[1-9][0-9]*)(?=\.)|[0-9]+(?!\.))(?:\.(?P<fraction>[0-9]+))?"
)

_MONEY_SCALES: dict[MoneyUnit, int] = {"đồng": 0, "nghìn đồng": 3, "triệu đồng": 6, "tỷ đồng": 9}
_MONEY_SUFFIXES: dict[MoneyUnit, tuple[str, ...]] = {
    "đồng": ("đồng", "VNĐ", "VND", "đ"),
    "nghìn đồng": ("nghìn đồng", "nghìn"),
    "triệu đồng": ("triệu đồng", "triệu"),
    "tỷ đồng": ("tỷ đồng", "tỷ"),
}

_DAY_FIRST = re.compile(r"([0-9]{1,2})([/.\-])([0-9]{1,2})\2([0-9]{4})")
_YEAR_FIRST = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})")
_SHORT_YEAR = re.compile(r"([0-9]{1,2})([/.\-])([0-9]{1,2})\2([0-9]{2})")


class NotANumber(ValueError):
    """A text or cell that is no number in Vietnamese style. text: as given, cut to 40 characters."""

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.text = text


class AmbiguousNumber(NotANumber):
    """A text that two styles read differently. candidates: the values it may have, the larger first."""

    def __init__(self, message: str, text: str = "", candidates: tuple[Decimal, ...] = ()) -> None:
        super().__init__(message, text)
        self.candidates = candidates


class NotWholeDong(NotANumber):
    """An amount of money that is no whole number of đồng."""


class NotADate(ValueError):
    """A text or cell that is no day of the calendar. text: as given, cut to 40 characters."""

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.text = text


@dataclass(frozen=True)
class _Readings:
    """What one text says in each style; None where the style cannot read it. text: as given."""

    text: str
    vietnamese: Decimal | None
    point: Decimal | None

    @property
    def only_vietnamese(self) -> bool:
        return self.vietnamese is not None and self.point is None

    @property
    def only_point(self) -> bool:
        return self.point is not None and self.vietnamese is None


@dataclass(frozen=True)
class _Evidence:
    """Which styles the cells of a column show. Only cells that one style alone can read count.

    point: a decimal point (0.169). point_groups: commas that group thousands (1,288.5), as part of point.
    vietnamese: grouping dots or a decimal comma (1.489.867; 42,43). vietnamese_comma: the latter.
    """

    point: bool = False
    point_groups: bool = False
    vietnamese: bool = False
    vietnamese_comma: bool = False


def _clean(text: str) -> str:
    return text.strip().strip(_INVISIBLE).strip()


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_LENGTH else text[:_MAX_LENGTH] + "…"


def is_missing(cell: object) -> bool:
    """Return whether a cell says that there is no figure: None, blank, or one of - – — … as the plans print them.

    >>> is_missing("–"), is_missing("0")
    (True, False)
    """
    return cell is None or (isinstance(cell, str) and _clean(cell) in _MISSING)


def _read(text: str) -> _Readings:
    """Return what a text says in each style."""
    cleaned = _clean(text)
    match = _NUMBER.fullmatch(cleaned) if len(cleaned) <= _MAX_LENGTH else None
    if match is None:
        return _Readings(cleaned, None, None)
    sign, body = match.groups()
    return _Readings(
        cleaned,
        vietnamese=_to_decimal(sign, _VIETNAMESE.fullmatch(body), group="."),
        point=_to_decimal(sign, _POINT.fullmatch(body), group=","),
    )


def _to_decimal(sign: str, match: re.Match[str] | None, *, group: str) -> Decimal | None:
    if match is None:
        return None
    fraction = f".{match['fraction']}" if match["fraction"] else ""
    value = Decimal(match["whole"].replace(group, "") + fraction)
    return value.copy_negate() if sign in ("-", "−") else value


def parse_number(
    text: Cell,
    *,
    integer: bool = False,
    dot_is_decimal: bool = False,
) -> Decimal | None:
    """Return the number that a cell says, exactly; None if it says that there is none (see is_missing).

    text: numbers from spreadsheets are taken as they are (1288.0 is 1288). Text is read in Vietnamese style: 1.600 is
    1600, 63,6 is 63.6; a sign and a closing % are accepted, the % changes nothing. A decimal point is understood where
    the dot cannot group thousands: 0.169, 10.6%, 14.5.
    integer: the number must be whole. Then 1,288 (1288 in English style, or a fraction?) is ambiguous.
    dot_is_decimal: the source is known to print decimal points (detect_dot_decimal). Then 1.288 is 1.288 instead of
    1288, and 1,288 is ambiguous.

    Raises AmbiguousNumber if the rules above leave two values, else NotANumber: English grouping (1,288.5), letters,
    exponents, digits other than 0-9, NaN, infinity, truth values, more than 40 characters.

    >>> parse_number("1.288,5"), parse_number("−5 %"), parse_number("0.169"), parse_number("–")
    (Decimal('1288.5'), Decimal('-5'), Decimal('0.169'), None)
    >>> parse_number("1.288"), parse_number("1.288", dot_is_decimal=True)
    (Decimal('1288'), Decimal('1.288'))
    >>> parse_number("1,288", integer=True)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    machnuoc.core.vietnamese.AmbiguousNumber: “1,288” có hai cách đọc: 1288 (số nguyên) hoặc 1,288 (số thập phân)...
    """
    evidence = _Evidence(point=True, point_groups=True) if dot_is_decimal else _Evidence()
    return _parse(text, integer=integer, evidence=evidence)


def _parse(cell: Cell, *, integer: bool, evidence: _Evidence) -> Decimal | None:
    if is_missing(cell):
        return None
    if not isinstance(cell, str):
        return _check_whole(_take_number(cell), format_cell(cell), integer=integer)
    readings = _read(cell)
    value = _choose(readings, integer=integer, evidence=evidence)
    return _check_whole(value, readings.text, integer=integer)


def _choose(readings: _Readings, *, integer: bool, evidence: _Evidence) -> Decimal:
    """Return the one value of a text. Raises AmbiguousNumber, or NotANumber."""
    text, vietnamese, point = readings.text, readings.vietnamese, readings.point
    if vietnamese is None:
        if point is None:
            raise _not_a_number(text)
        if "," in text:
            _check_whole(point, text, integer=integer)
            advised = format_number(point)
            if _POINT.fullmatch(advised.lstrip("-")):
                advised = advised.replace(".", "")  # 1.288 would be read as a fraction among decimal points
            raise NotANumber(f"“{text}” không phải số theo kiểu Việt Nam; viết {advised}", text)
        return point
    if point is None or point == vietnamese:
        return vietnamese
    if "," in text:
        # 1,288: a decimal comma, unless a whole number is wanted or the source may group with commas.
        may_group = evidence.point_groups or (evidence.point and not evidence.vietnamese_comma)
        if integer or may_group:
            raise _ambiguous(text, vietnamese, point, integer=integer, evidence=evidence)
        return vietnamese
    # 1.288: grouping dots, unless the source prints decimal points.
    if not evidence.point:
        return vietnamese
    if integer or evidence.vietnamese:
        raise _ambiguous(text, vietnamese, point, integer=integer, evidence=evidence)
    return point


def _not_a_number(text: str) -> NotANumber:
    if len(text) > _MAX_LENGTH:
        return NotANumber(f"“{_cut(text)}” không phải số: dài quá {_MAX_LENGTH} ký tự", _cut(text))
    return NotANumber(f"“{text}” không phải số; viết như 1.600 hoặc 63,6", text)


def _ambiguous(
    text: str, vietnamese: Decimal, point: Decimal, *, integer: bool, evidence: _Evidence
) -> AmbiguousNumber:
    larger, smaller = max(vietnamese, point, key=abs), min(vietnamese, point, key=abs)
    advice = f"Viết {larger:f} nếu là số nguyên"
    if not integer:
        # Four decimals, which no style takes for thousands; and the cell written anew must not turn a column of decimal
        # points into one of both styles.
        only_points = evidence.point and not evidence.vietnamese
        advice += f", {f'{smaller:.4f}' if only_points else format_number(smaller, 4)} nếu là số thập phân"
    readings = f"{larger:f} (số nguyên) hoặc {format_number(smaller, 3)} (số thập phân)"
    message = f"“{text}” có hai cách đọc: {readings}. {advice}."
    return AmbiguousNumber(message, text, (larger, smaller))


def _check_whole(value: Decimal, text: str, *, integer: bool) -> Decimal:
    """Return the value, without needless decimals if it is whole. Raises NotANumber if it should be and is not."""
    if value == value.to_integral_value():
        return Decimal(int(value))
    if integer:
        raise NotANumber(f"“{text}” không phải số nguyên", text)
    return value


def _take_number(cell: object) -> Decimal:
    """Return a number cell as an exact decimal: a float by its shortest text. Raises NotANumber."""
    if isinstance(cell, bool) or not isinstance(cell, int | float | Decimal):
        raise _not_a_number(format_cell(cell))
    value = _to_exact(cell)
    if not value.is_finite():
        raise _not_a_number(str(cell))
    if value and not -_MAX_LENGTH <= value.adjusted() < _MAX_LENGTH:
        raise NotANumber(f"Số có quá {_MAX_LENGTH} chữ số; kiểm tra lại ô")
    return value


def _to_exact(value: Decimal | int | float) -> Decimal:
    # A float by its shortest text, as a person typed it; subclasses such as NumPy's have a repr of their own.
    return Decimal(float.__repr__(value)) if isinstance(value, float) else Decimal(value)


def format_cell(cell: object) -> str:
    """Return a cell's content as an error message shows it, at most 40 characters and …"""
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float | Decimal) and math.isfinite(cell):
        return format_number(cell)
    if isinstance(cell, datetime):
        return f"{cell:%d/%m/%Y %H:%M}"
    if isinstance(cell, date):
        return f"{cell:%d/%m/%Y}"
    return _cut(str(cell))


def _gather_evidence(texts: Iterable[Cell]) -> _Evidence:
    cells = [_read(text) for text in texts if isinstance(text, str)]
    point = [readings for readings in cells if readings.only_point]
    vietnamese = [readings for readings in cells if readings.only_vietnamese]
    return _Evidence(
        point=bool(point),
        point_groups=any("," in readings.text for readings in point),
        vietnamese=bool(vietnamese),
        vietnamese_comma=any("," in readings.text for readings in vietnamese),
    )


def detect_dot_decimal(texts: Iterable[Cell]) -> bool | None:
    """Return whether the cells of one column print decimals with a point; None if they do not tell or disagree.

    True if some cell makes sense only so (0.169, 14.5) and none only in Vietnamese style (1.489.867, 42,43); False the
    other way round. Cells that both styles read (600, 1.288, 1,288), number cells and non-numbers tell nothing.

    >>> detect_dot_decimal(["14.5", "1.288"]), detect_dot_decimal(["42,43", "1.288"]), detect_dot_decimal(["1.288"])
    (True, False, None)
    """
    evidence = _gather_evidence(texts)
    return None if evidence.point == evidence.vietnamese else evidence.point


def parse_column(texts: Iterable[Cell], *, integer: bool = False) -> list[Decimal | NotANumber | None]:
    """Return, for each cell of one column, its number, None if missing, or the exception that says what is wrong.

    Cells are read as by parse_number, with the column as context: where other cells show decimal points alone, 1.288
    is 1.288; where they show both styles, it is an AmbiguousNumber; else it is 1288. Likewise 1,288 is ambiguous where
    other cells group with commas, or show decimal points and no decimal comma.

    >>> parse_column(["42,43", "14,5", "0.169", "–"])
    [Decimal('42.43'), Decimal('14.5'), Decimal('0.169'), None]
    >>> parse_column(["42,43", "0.169", "1.288"])[2].candidates
    (Decimal('1288'), Decimal('1.288'))
    """
    cells = list(texts)
    evidence = _gather_evidence(cells)
    results: list[Decimal | NotANumber | None] = []
    for cell in cells:
        try:
            results.append(_parse(cell, integer=integer, evidence=evidence))
        except NotANumber as reason:
            results.append(reason)
    return results


def round_half_up(value: Decimal, decimals: int) -> Decimal:
    """Return the value rounded to so many decimals, halves away from zero, as people round by hand.

    >>> round_half_up(Decimal("6.315"), 2), round_half_up(Decimal("-0.5"), 0)
    (Decimal('6.32'), Decimal('-1'))
    """
    # The precision must hold all digits of the result, however many there are.
    context = Context(prec=max(1, value.adjusted() + decimals + 2), rounding=ROUND_HALF_UP)
    return value.quantize(Decimal(1).scaleb(-decimals), context=context)


def format_number(value: Decimal | int | float | None, decimals: int | None = None) -> str:
    """Return a number in Vietnamese style, rounded half up to so many decimals; «–» for None.

    decimals: None keeps the digits that the value has, without closing zeros; then parse_number reads the text back to
    the same value. Raises ValueError for NaN and infinity.

    >>> format_number(1600), format_number(Decimal("63.60")), format_number(Decimal("1288.5"), 2), format_number(None)
    ('1.600', '63,6', '1.288,50', '–')
    """
    if value is None:
        return NO_FIGURE
    if type(value) is int and not decimals:  # most figures are, and pages show hundreds
        return f"{value:,}".replace(",", ".")
    exact = _to_exact(value)
    if not exact.is_finite():
        raise ValueError(f"cannot format {exact}")
    if decimals is not None:
        exact = round_half_up(exact, decimals)
    whole, _, fraction = f"{exact.copy_abs():f}".partition(".")
    if decimals is None:
        fraction = fraction.rstrip("0")
    sign = "-" if exact < 0 else ""
    return sign + f"{int(whole):,}".replace(",", ".") + ("," + fraction if fraction else "")


def format_percent(value_pct: Decimal | int | float | None, decimals: int | None = None) -> str:
    """Return a percentage (0-100) with its sign after a no-break space; «–» for None.

    >>> format_percent(63.6)
    '63,6\\xa0%'
    """
    return NO_FIGURE if value_pct is None else f"{format_number(value_pct, decimals)}{NBSP}%"


def format_money_vnd(amount_vnd: int | None) -> str:
    """Return whole đồng with their sign after a no-break space; «–» for None. Raises TypeError for other than int.

    >>> format_money_vnd(75000)
    '75.000\\xa0đ'
    """
    return NO_FIGURE if amount_vnd is None else f"{format_number(_check_vnd(amount_vnd))}{NBSP}đ"


def format_money_in(amount_vnd: int | None, unit: MoneyUnit) -> str:
    """Return whole đồng in the unit, with all their digits and the unit's name; «–» for None.

    parse_money_vnd(text, unit) reads it back to the same amount. Raises TypeError for other than int.

    >>> format_money_in(108_159_000_000, "tỷ đồng")
    '108,159\\xa0tỷ\\xa0đồng'
    """
    if amount_vnd is None:
        return NO_FIGURE
    amount = Decimal(_check_vnd(amount_vnd)).scaleb(-_MONEY_SCALES[unit], _EXACT)
    return f"{format_number(amount)}{NBSP}{unit.replace(' ', NBSP)}"


def _check_vnd(amount_vnd: int) -> int:
    if isinstance(amount_vnd, bool) or not isinstance(amount_vnd, int):
        raise TypeError(f"money is whole đồng in an int, not {type(amount_vnd).__name__}")
    return amount_vnd


def parse_money_vnd(text: Cell, unit: MoneyUnit, *, dot_is_decimal: bool = False) -> int | None:
    """Return the whole đồng of an amount given in the unit, exactly; None if missing (see is_missing).

    text: as in parse_number; the unit's own name may follow (108,159 tỷ đồng; 75.000 đ). dot_is_decimal: as there.
    Raises NotWholeDong if đồng would have to be rounded, AmbiguousNumber or NotANumber as parse_number does.

    >>> parse_money_vnd("108,159", "tỷ đồng"), parse_money_vnd("0.169", "tỷ đồng"), parse_money_vnd("75.000 đ", "đồng")
    (108159000000, 169000000, 75000)
    """
    amount = text
    if isinstance(text, str):
        if "%" in text:
            raise NotANumber(f"“{_cut(text)}” là tỷ lệ phần trăm, không phải số tiền", _cut(text))
        amount = _without_unit(text, unit)
    value = parse_number(amount, integer=unit == "đồng" and isinstance(text, str), dot_is_decimal=dot_is_decimal)
    if value is None:
        return None
    amount_vnd = value.scaleb(_MONEY_SCALES[unit], _EXACT)
    if amount_vnd != amount_vnd.to_integral_value():
        shown = format_cell(text)
        raise NotWholeDong(
            f"“{shown}” tính theo {unit} không ra số đồng chẵn; kiểm tra lại số tiền và đơn vị tính", shown
        )
    return int(amount_vnd)


def _without_unit(text: str, unit: MoneyUnit) -> str:
    if len(text) > 4 * _MAX_LENGTH:
        return text
    cleaned = " ".join(text.split())
    for suffix in _MONEY_SUFFIXES[unit]:
        if cleaned.endswith(suffix):
            return cleaned[: -len(suffix)]
    return text


def format_date(day: date | None) -> str:
    """Return a day as dd/mm/yyyy; «–» for None. A moment with a time zone gives its day in Viet Nam.

    >>> format_date(date(2026, 2, 14))
    '14/02/2026'
    """
    if day is None:
        return NO_FIGURE
    return f"{periods.local_date(day) if isinstance(day, datetime) else day:%d/%m/%Y}"


def format_datetime(moment: datetime | None) -> str:
    """Return a moment as dd/mm/yyyy hh:mm in Viet Nam; «–» for None. Raises ValueError without time zone.

    >>> from datetime import UTC
    >>> format_datetime(datetime(2026, 2, 14, 0, 5, tzinfo=UTC))
    '14/02/2026 07:05'
    """
    if moment is None:
        return NO_FIGURE
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError(f"a moment needs a time zone: {moment.isoformat()}")
    return f"{moment.astimezone(periods.LOCAL_ZONE):%d/%m/%Y %H:%M}"


def parse_date(text: object) -> date | None:
    """Return the day that a cell says; None if missing (see is_missing).

    text: 14/02/2026, 14-2-2026, 14.2.2026 (the day always first) or 2026-02-14; or a day or moment from a spreadsheet.
    A moment without time zone is taken as local, one with a time zone gives its day in Viet Nam. Raises NotADate for
    anything else, bare numbers included, and outside of the years 1900-2200.

    >>> parse_date("14-2-2026"), parse_date("")
    (datetime.date(2026, 2, 14), None)
    >>> parse_date("02/14/2026")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    machnuoc.core.vietnamese.NotADate: “02/14/2026” không phải ngày: tháng không thể là 14; viết ngày trước, ...
    """
    if is_missing(text):
        return None
    if isinstance(text, datetime):
        return _check_year(text.date() if text.tzinfo is None else periods.local_date(text), format_cell(text))
    if isinstance(text, date):
        return _check_year(text, format_cell(text))
    shown = format_cell(text)
    if not isinstance(text, str):
        raise NotADate(f"“{shown}” không phải ngày; viết như 14/02/2026 hoặc định dạng ô thành ngày", shown)
    cleaned = _clean(text)
    if match := _YEAR_FIRST.fullmatch(cleaned):
        year, month, day = (int(part) for part in match.groups())
        return _build_date(year, month, day, cleaned)
    if match := _DAY_FIRST.fullmatch(cleaned):
        return _build_date(int(match[4]), int(match[3]), int(match[1]), cleaned)
    if _SHORT_YEAR.fullmatch(cleaned):
        raise NotADate(f"“{cleaned}” không phải ngày: viết năm đủ bốn chữ số, như 14/02/2026", cleaned)
    raise NotADate(f"“{shown}” không phải ngày; viết như 14/02/2026", shown)


def _build_date(year: int, month: int, day: int, text: str) -> date:
    if not 1 <= month <= 12:
        swapped = _find_date(year, day, month)
        hint = f"; viết ngày trước, tháng sau: {swapped:%d/%m/%Y}" if swapped else ""
        raise NotADate(f"“{text}” không phải ngày: tháng không thể là {month}{hint}", text)
    found = _find_date(year, month, day)
    if found is None:
        if not periods.FIRST_YEAR <= year <= periods.LAST_YEAR:
            raise _year_out_of_range(text)
        days = periods.Period("M", date(year, month, 1)).split("D")
        raise NotADate(f"“{text}” không có trong lịch: tháng {month:02}/{year} có {len(days)} ngày", text)
    return _check_year(found, text)


def _find_date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _check_year(day: date, text: str) -> date:
    if not periods.FIRST_YEAR <= day.year <= periods.LAST_YEAR:
        raise _year_out_of_range(text)
    return day


def _year_out_of_range(text: str) -> NotADate:
    return NotADate(
        f"“{text}” không nhận được: năm phải trong khoảng từ {periods.FIRST_YEAR} đến {periods.LAST_YEAR}", text
    )
