"""What templates say of figures: {% load indicators %}."""

from typing import Any

from django import template

from machnuoc.core import units
from machnuoc.indicators import queries

register = template.Library()


@register.filter
def period_label(value: Any) -> str:
    """Return «năm 2025» for a Value, as it stands within a sentence."""
    label = queries.period_of(value).label_vi
    return label[:1].lower() + label[1:]


@register.filter
def coverage(value: Any) -> str:
    """Return «29/43 công trình»: how many of the parts a Value is made of. Asks for metric and subject."""
    return queries.coverage_text(value)


@register.filter
def unit_label(unit: str) -> str:
    """Return how a unit is written: «m³»."""
    return units.label(unit)


@register.filter
def signed(number: Any) -> str:
    """Return a difference with its sign: +1,4 or −0,3."""
    from machnuoc.core import vietnamese

    if number is None:
        return ""
    return f"+{vietnamese.format_number(number)}" if number > 0 else vietnamese.format_number(number).replace("-", "−")
