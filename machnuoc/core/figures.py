"""The words of a figure: a number, a bound or a class, as a screen and a sheet show it."""

from decimal import Decimal

from machnuoc.core import vietnamese

NO_FIGURE = "chưa có số liệu"
_NBSP = "\u00a0"


def scale(number: int, decimals: int) -> Decimal:
    """Return the quantity behind a stored whole number (`number` = quantity × 10^decimals).

    >>> scale(636, 1)
    Decimal('63.6')
    """
    return Decimal(number).scaleb(-decimals)


def _format_scaled(number: int, decimals: int) -> str:
    """Return format_number(scale(number, decimals), decimals), without a Decimal: pages show a thousand figures.

    >>> _format_scaled(-1234567, 2), _format_scaled(-5, 1), _format_scaled(12, 0)
    ('-12.345,67', '-0,5', '12')
    """
    whole, fraction = divmod(abs(number), 10**decimals)
    text = f"{whole:,}".replace(",", ".")
    return ("-" if number < 0 else "") + text + (f",{fraction:0{decimals}d}" if decimals else "")


def figure_text(
    number: int | None,
    low: int | None,
    low_open: bool,
    high: int | None,
    high_open: bool,
    decimals: int,
    unit_label: str,
    band_label: str,
) -> str:
    """Return a figure in words, with its unit behind a no-break space.

    number, low, high: whole numbers of the last decimal, or None; decimals: their scale. An open edge is left out of
    the range («trên 15 %»), a closed one belongs to it («≤ 15 %»). A number shows all its decimals, so that columns
    line up; an edge shows those it needs. Without number and edges the class speaks (band_label); without that either
    the text is NO_FIGURE.

    >>> figure_text(636, None, False, None, False, 1, "%", "")
    '63,6\\xa0%'
    >>> figure_text(None, 120, False, 725, False, 1, "%", "")
    '12–72,5\\xa0%'
    >>> figure_text(None, None, False, 150, False, 1, "%", "")
    '≤\\xa015\\xa0%'
    >>> figure_text(None, 150, True, None, False, 1, "%", "")
    'trên 15\\xa0%'
    >>> figure_text(None, None, False, None, False, 0, "hộ", "Thấp")
    'Thấp'
    """
    unit = f"{_NBSP}{unit_label}" if unit_label else ""
    if number is not None:
        return _format_scaled(number, decimals) + unit
    lower = None if low is None else vietnamese.format_number(scale(low, decimals))
    upper = None if high is None else vietnamese.format_number(scale(high, decimals))
    if lower is not None and upper is not None:
        if not low_open and not high_open:
            return f"{lower}–{upper}{unit}"
        start, end = ("trên" if low_open else "từ"), ("dưới" if high_open else "")
        return " ".join(part for part in (start, lower, "đến", end, upper) if part) + unit
    if upper is not None:
        return f"dưới {upper}{unit}" if high_open else f"≤{_NBSP}{upper}{unit}"
    if lower is not None:
        return f"trên {lower}{unit}" if low_open else f"≥{_NBSP}{lower}{unit}"
    return band_label or NO_FIGURE
