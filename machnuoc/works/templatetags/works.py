"""Cells of tables of works, written in Python: a page shows hundreds, and an included template costs far more."""

from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from machnuoc.core.templatetags.machnuoc import figure_link, tag
from machnuoc.core.vietnamese import NO_FIGURE
from machnuoc.indicators.models import State

register = template.Library()

_MISSING = SafeString(
    '<span class="is-missing" title="chưa có số liệu" aria-label="chưa có số liệu" role="img">–</span>'
)


@register.simple_tag
def work_figure(value: Any, text: str) -> SafeString:
    """Return a number of a row as link to its provenance. value: the stored Value, None where only the sum is known."""
    if value:
        badge = tag("mô phỏng", "warning", "flask") if value.state == State.SIMULATED else ""
        return format_html("{}{}", figure_link(value.pk, text), badge)
    if text and text != NO_FIGURE:
        return format_html('<span class="figure">{}</span>', text)
    return _MISSING
