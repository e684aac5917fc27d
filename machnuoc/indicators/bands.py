"""Bands: the named levels that a plan or a law gives to a figure, with each edge on the side it is printed."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from machnuoc.core import vietnamese
from machnuoc.indicators.columns import Column, Flags

Severity = Literal["good", "info", "warning", "danger"]


class BandError(ValueError):
    """Bands that do not follow one another without gap and overlap; the text names the edge."""


@dataclass(frozen=True, slots=True)
class Band:
    """One level, from lower to upper; None is without end, and its inclusive mark then says nothing."""

    code: str
    label_vi: str
    lower: Decimal | None
    lower_inclusive: bool
    upper: Decimal | None
    upper_inclusive: bool
    severity: Severity


def validate(bands: Sequence[Band]) -> None:
    """Raise BandError unless the bands go upwards and each edge between two belongs to exactly one of them."""
    if not bands:
        raise BandError("Chưa có mức nào. Nhập ít nhất một mức.")
    for field, name_vi in (("code", "Mã mức"), ("label_vi", "Tên mức")):
        seen: set[str] = set()
        for band in bands:
            text: str = getattr(band, field)
            if not text.strip():
                raise BandError(f"{name_vi} bị bỏ trống. Mỗi mức cần có mã và tên.")
            if text in seen:
                raise BandError(f"{name_vi} “{text}” được dùng hai lần. Mỗi mức cần mã và tên riêng.")
            seen.add(text)
    for band in bands:
        _validate_one(band)
    for below, above in pairwise(bands):
        _validate_edge(below, above)


def classify(value: Decimal | int, bands: Sequence[Band]) -> Band | None:
    """Return the band the value lies in; None outside all of them.

    bands: as `validate` accepts them. The value is compared as it is: round it first to the decimals it is shown with,
    so that a figure shown as 15 % is never placed above 15 %.
    """
    for band in bands:
        if _is_in(Decimal(value), band):
            return band
    return None


def classify_column(column: Column, bands: Sequence[Band]) -> NDArray[np.int8]:
    """Return for each row the index of its band, -1 where missing or outside all bands. Shape (n,)."""
    result = np.full(len(column), -1, np.int8)
    for index, band in enumerate(bands):
        inside: Flags = column.present.copy()
        if band.lower is not None:
            below, exact = _floor(band.lower, column.decimals)
            # An edge between two numbers of the column is passed by the upper of them, on either side of the edge.
            inside &= _at_least(column, below if exact and band.lower_inclusive else below + 1)
        if band.upper is not None:
            below, exact = _floor(band.upper, column.decimals)
            inside &= ~_at_least(column, below if exact and not band.upper_inclusive else below + 1)
        result[inside] = index
    return result


def classify_range(
    low: Decimal | None, low_open: bool, high: Decimal | None, high_open: bool, bands: Sequence[Band]
) -> Band | None:
    """Return the band that holds the whole range, None if no single band does.

    low, high: the ends, None where the range has no end on that side; open: the end itself does not belong to it.
    Raises ValueError for an empty range.
    """
    if low is not None and high is not None and (low > high or (low == high and (low_open or high_open))):
        raise ValueError(f"the range from {low} to {high} is empty")
    for band in bands:
        starts_inside = band.lower is None or (
            low is not None and (low > band.lower or (low == band.lower and (band.lower_inclusive or low_open)))
        )
        ends_inside = band.upper is None or (
            high is not None and (high < band.upper or (high == band.upper and (band.upper_inclusive or high_open)))
        )
        if starts_inside and ends_inside:
            return band
    return None


def describe_edges(band: Band, unit_vi: str = "%") -> str:
    """Return the edges in words, as the plans print them; the unit after a no-break space.

    >>> describe_edges(Band("m", "Trung bình", Decimal(15), False, Decimal(25), False, "warning")).replace("\\xa0", " ")
    'từ trên 15 % đến dưới 25 %'
    """
    lower = None if band.lower is None else _edge(band.lower, unit_vi)
    upper = None if band.upper is None else _edge(band.upper, unit_vi)
    if lower is None and upper is None:
        return "mọi giá trị"
    if lower is None:
        return f"từ {upper} trở xuống" if band.upper_inclusive else f"dưới {upper}"
    if upper is None:
        return f"từ {lower} trở lên" if band.lower_inclusive else f"trên {lower}"
    if band.lower == band.upper:
        return lower
    start = f"từ {lower}" if band.lower_inclusive else f"từ trên {lower}"
    return f"{start} đến {upper}" if band.upper_inclusive else f"{start} đến dưới {upper}"


def _validate_one(band: Band) -> None:
    for edge in (band.lower, band.upper):
        if edge is not None and not edge.is_finite():
            raise BandError(f"Mức “{band.label_vi}” có cận không phải là số. Nhập lại cận.")
    if band.lower is None or band.upper is None:
        return
    lower, upper = _number(band.lower), _number(band.upper)
    if band.lower > band.upper:
        raise BandError(f"Mức “{band.label_vi}” có cận dưới {lower} lớn hơn cận trên {upper}. Đổi lại hai cận.")
    if band.lower == band.upper and not (band.lower_inclusive and band.upper_inclusive):
        raise BandError(
            f"Mức “{band.label_vi}” không nhận giá trị nào: hai cận cùng là {lower} nhưng {lower} không thuộc mức này."
        )


def _validate_edge(below: Band, above: Band) -> None:
    names = f"“{below.label_vi}” và “{above.label_vi}”"
    if below.upper is None:
        raise BandError(f"Hai mức {names} chồng nhau: “{below.label_vi}” không có cận trên. Nhập cận trên.")
    if above.lower is None:
        raise BandError(f"Hai mức {names} chồng nhau: “{above.label_vi}” không có cận dưới. Nhập cận dưới.")
    upper, lower = _number(below.upper), _number(above.lower)
    if above.upper is not None and above.upper < below.upper:
        raise BandError(f"Hai mức {names} không theo thứ tự tăng dần tại {upper}. Xếp các mức từ thấp đến cao.")
    if below.upper < above.lower:
        raise BandError(f"Giữa hai mức {names} có khoảng trống từ {upper} đến {lower}. Cho hai cận bằng nhau.")
    if below.upper > above.lower:
        raise BandError(f"Hai mức {names} chồng nhau từ {lower} đến {upper}. Cho hai cận bằng nhau.")
    if below.upper_inclusive and above.lower_inclusive:
        raise BandError(f"Hai mức {names} cùng nhận giá trị {upper}. Chỉ để một mức nhận giá trị này.")
    if not below.upper_inclusive and not above.lower_inclusive:
        raise BandError(f"Không mức nào trong hai mức {names} nhận giá trị {upper}. Cho một mức nhận giá trị này.")


def _is_in(value: Decimal, band: Band) -> bool:
    if band.lower is not None and not (value > band.lower or (value == band.lower and band.lower_inclusive)):
        return False
    return band.upper is None or value < band.upper or (value == band.upper and band.upper_inclusive)


def _at_least(column: Column, scaled: int) -> Flags:
    return np.asarray(column.values >= scaled, np.bool_)


def _floor(edge: Decimal, decimals: int) -> tuple[int, bool]:
    """Return the edge as a scaled integer rounded down, and whether that is the edge itself."""
    numerator, denominator = edge.as_integer_ratio()
    whole, rest = divmod(numerator * 10**decimals, denominator)
    return whole, rest == 0


def _edge(number: Decimal, unit_vi: str) -> str:
    return f"{_number(number)}\u00a0{unit_vi}" if unit_vi else _number(number)


def _number(number: Decimal) -> str:
    return vietnamese.format_number(number)
