"""What is checked while a person types a figure: what cannot be, and what must be confirmed."""

from dataclasses import dataclass
from decimal import Decimal

from machnuoc.core import vietnamese


@dataclass(frozen=True, slots=True)
class EntryWarning:
    """One finding. blocking: the figure cannot be sent; otherwise the person confirms it."""

    code: str
    text_vi: str
    blocking: bool


def check_entry(
    value: Decimal | int | None,
    *,
    minimum: Decimal | int | None = None,
    maximum: Decimal | int | None = None,
    previous: Decimal | int | None = None,
    max_change_pct: Decimal | int | None = None,
    name_vi: str = "Giá trị",
    unit_vi: str = "",
) -> list[EntryWarning]:
    """Return what is odd about one typed figure; an empty list when nothing is.

    minimum, maximum: the hard limits, both included; beyond them the finding blocks. previous: the figure of the
    period before. max_change_pct (0-100 and more): the largest change, in percent of the previous figure, that needs
    no confirmation; from 0 any change needs one. A missing value, limit or previous figure is not checked.
    """
    if value is None:
        return []
    value = Decimal(value)
    shown = _figure(value, unit_vi)
    found = []
    if minimum is not None and value < minimum:
        text = f"{name_vi} {shown} nhỏ hơn mức tối thiểu {_figure(minimum, unit_vi)}. Kiểm tra và nhập lại."
        found.append(EntryWarning("below_minimum", text, blocking=True))
    if maximum is not None and value > maximum:
        text = f"{name_vi} {shown} lớn hơn mức tối đa {_figure(maximum, unit_vi)}. Kiểm tra và nhập lại."
        found.append(EntryWarning("above_maximum", text, blocking=True))
    if previous is not None and max_change_pct is not None:
        previous = Decimal(previous)
        change = value - previous
        # |change| / |previous| > max_change_pct / 100, without a division that would round or fail on 0
        if abs(change) * 100 > abs(previous) * Decimal(max_change_pct):
            found.append(EntryWarning("large_change", _change_text(name_vi, shown, change, previous, unit_vi), False))
    return found


def check_cumulative(
    value: Decimal | int | None, previous: Decimal | int | None, *, name_vi: str = "Số lũy kế", unit_vi: str = ""
) -> list[EntryWarning]:
    """Return a finding to confirm when a figure that only grows (total so far) has become smaller."""
    if value is None or previous is None or value >= previous:
        return []
    text = (
        f"{name_vi} {_figure(value, unit_vi)} nhỏ hơn kỳ trước {_figure(previous, unit_vi)}, trong khi số lũy kế không "
        "thể giảm. Kiểm tra lại; nếu đúng thì xác nhận và ghi lý do."
    )
    return [EntryWarning("cumulative_decreased", text, blocking=False)]


def check_parts(
    numerator: Decimal | int | None,
    denominator: Decimal | int | None,
    *,
    numerator_vi: str = "Tử số",
    denominator_vi: str = "mẫu số",
    unit_vi: str = "",
) -> list[EntryWarning]:
    """Return a finding to confirm when a part is larger than its whole (households connected above design)."""
    if numerator is None or denominator is None or numerator <= denominator:
        return []
    text = (
        f"{numerator_vi} {_figure(numerator, unit_vi)} lớn hơn {denominator_vi} {_figure(denominator, unit_vi)}. "
        "Kiểm tra lại; nếu đúng thì xác nhận và ghi lý do."
    )
    return [EntryWarning("numerator_above_denominator", text, blocking=False)]


def _change_text(name_vi: str, shown: str, change: Decimal, previous: Decimal, unit_vi: str) -> str:
    verb = "tăng" if change > 0 else "giảm"
    if previous == 0:
        how_much = f"kỳ trước là {_figure(previous, unit_vi)}"
    else:
        change_pct = vietnamese.round_half_up(abs(change) * 100 / abs(previous), 1)
        how_much = f"{verb} {vietnamese.format_percent(change_pct)} so với kỳ trước ({_figure(previous, unit_vi)})"
    return f"{name_vi} {shown}: {how_much}. Kiểm tra lại; nếu đúng thì xác nhận và ghi lý do."


def _figure(number: Decimal | int, unit_vi: str) -> str:
    text = vietnamese.format_number(number)
    return f"{text}\u00a0{unit_vi}" if unit_vi else text
