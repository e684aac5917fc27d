"""Filters of the pages of readings."""

from django import template

from machnuoc.customers import reading_desk
from machnuoc.customers.models import Reading
from machnuoc.customers.reading_queries import MeterFacts

register = template.Library()


@register.filter
def m3(volume_l: int | None) -> str:
    """Show litres as m3; a dash where there is none."""
    return "–" if volume_l is None else reading_desk.show_m3(volume_l)


@register.filter
def m3_used(reading: Reading, facts: MeterFacts | None) -> str:
    """Show the m3 used since the last real reading; nothing where it went back or is not known."""
    used_l = reading_desk.used_l(reading, facts)
    return "" if used_l is None else reading_desk.show_m3(used_l)
