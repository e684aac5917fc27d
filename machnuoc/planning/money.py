"""Sums of money as plans print them and as people type them, into whole đồng and back, without losing one."""

import re
from typing import get_args

from machnuoc.core import vietnamese
from machnuoc.core.vietnamese import MoneyUnit

_BILLION: MoneyUnit = "tỷ đồng"
_MILLION: MoneyUnit = "triệu đồng"
_DONG: MoneyUnit = "đồng"
# What may follow a number, the longest first: «tỉ» is as good a spelling as «tỷ».
_WORDS: tuple[tuple[str, MoneyUnit], ...] = (
    ("nghìn đồng", "nghìn đồng"),
    ("ngàn đồng", "nghìn đồng"),
    ("triệu đồng", _MILLION),
    ("tỷ đồng", _BILLION),
    ("tỉ đồng", _BILLION),
    ("nghìn", "nghìn đồng"),
    ("ngàn", "nghìn đồng"),
    ("triệu", _MILLION),
    ("tr", _MILLION),
    ("tỷ", _BILLION),
    ("tỉ", _BILLION),
    ("đồng", _DONG),
    ("vnđ", _DONG),
    ("vnd", _DONG),
    ("đ", _DONG),
)
UNITS: tuple[MoneyUnit, ...] = get_args(MoneyUnit)


class BadAmount(ValueError):
    """The text is no sum of money in whole đồng; the message says why, in Vietnamese."""


def parse_amount(text: str, unit: MoneyUnit = _DONG) -> int | None:
    """Return the whole đồng of what is printed or typed, exactly; None for an empty text or a dash.

    unit: of a number that names none itself, as the head of a printed column does. A unit behind the number wins.
    A number below one may have a decimal point, as seed 001 VI prints it. Raises BadAmount.

    >>> parse_amount("42,43", "tỷ đồng"), parse_amount("0.169", "tỷ đồng"), parse_amount("1.489.867 triệu")
    (42430000000, 169000000, 1489867000000)
    >>> parse_amount("108,159 tỷ đồng"), parse_amount("75.000 đ"), parse_amount("–")
    (108159000000, 75000, None)
    """
    number, own_unit = split_unit(text)
    try:
        return vietnamese.parse_money_vnd(number, own_unit or unit)
    except ValueError as reason:
        raise BadAmount(
            f"{str(reason).rstrip('.')}. Viết như 42,43 tỷ, 1.489.867 triệu hoặc 75.000.000 đồng."
        ) from None


def split_unit(text: str) -> tuple[str, MoneyUnit | None]:
    """Return the number as written and the unit that stands behind it, or None where none does.

    >>> split_unit("1.489.867 triệu"), split_unit("42,43")
    (('1.489.867', 'triệu đồng'), ('42,43', None))
    """
    cleaned = " ".join(text.split())
    folded = cleaned.lower()
    for word, unit in _WORDS:
        if folded.endswith(word):
            number = cleaned[: -len(word)].rstrip()
            if re.search(r"\d$", number):
                return number, unit
    return cleaned, None


def natural_unit(amount_vnd: int) -> MoneyUnit:
    """Return the unit in which people say such a sum: tỷ from a billion on, triệu from a million on."""
    size = abs(amount_vnd)
    return _BILLION if size >= 10**9 else _MILLION if size >= 10**6 else _DONG


def format_amount(amount_vnd: int | None, unit: MoneyUnit | None = None) -> str:
    """Return the sum with all its digits and its unit; parse_amount reads the same đồng back. «–» for None.

    >>> format_amount(42_430_000_000), format_amount(169_000_000), format_amount(169_000_000, "tỷ đồng")
    ('42,43\\xa0tỷ\\xa0đồng', '169\\xa0triệu\\xa0đồng', '0,169\\xa0tỷ\\xa0đồng')
    """
    if amount_vnd is None:
        return vietnamese.NO_FIGURE
    return vietnamese.format_money_in(amount_vnd, unit or natural_unit(amount_vnd))
