"""Filters of the pages of readings."""

from django import template

from machnuoc.customers import reading_desk

register = template.Library()


@register.filter
def m3(volume_l: int | None) -> str:
    """Show litres as m3; a dash where there is none."""
    return "–" if volume_l is None else reading_desk.show_m3(volume_l)


@register.filter
def m3_since(index_l: int | None, before_l: int | None) -> str:
    """Show the m3 since an index before; nothing where it went back or is not known."""
    if index_l is None or before_l is None or index_l < before_l:
        return ""
    return reading_desk.show_m3(index_l - before_l)
