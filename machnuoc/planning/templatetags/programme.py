"""The body of the matrix, drawn in Python: a template would cost most of the page's time."""

from collections.abc import Iterable
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from machnuoc.planning import programme_queries as queries

register = template.Library()


@register.simple_tag
def matrix_rows(rows: Iterable[queries.MatrixRow], plan_key: str, year: int) -> SafeString:
    """Draw one line a place: its name, what the document states, a cell a criterion."""
    drawn = []
    for row in rows:
        page = reverse("planning:programme_unit", args=[plan_key, row.unit.key])
        stated = "" if row.position is None else _position(row.position)
        ended = "<small>nay thuộc xã khác</small>" if row.unit.valid_to else ""
        cells = "".join(
            _cell(cell, row.unit.name, f"{page}tieu-chi/{cell.criterion.pk}/?year={year}") for cell in row.cells
        )
        drawn.append(
            f'<tr><th scope="row"><a href="{escape(page)}?year={year}">{escape(row.unit.name)}</a>'
            f"<small>{escape(row.district)}</small>{ended}</th>"
            f'<td class="num">{stated}</td><td class="num">{row.roadmap_year or ""}</td>{cells}</tr>'
        )
    return mark_safe("".join(drawn))  # noqa: S308 every text is escaped above


def _position(position: Any) -> str:
    counts = "" if position.met_count is None else f"{position.met_count}/{position.criteria_count or '?'}"
    return f'<span title="{escape(position.text)}">{counts or "như in"}</span>'


def _cell(cell: queries.Cell, place: str, url: str) -> str:
    stated = ", theo văn bản" if cell.stated else ""
    label = f"{place}, tiêu chí {cell.criterion.number}: {cell.label.lower()}{stated}"
    address = escape(url)
    return (
        f'<td class="matrix-cell"><a class="is-{cell.tone}{" is-stated" if cell.stated else ""}" href="{address}" '
        f'hx-get="{address}" aria-label="{escape(label)}" title="{escape(label)}">{cell.symbol}</a></td>'
    )


@register.filter
def required_of(threshold: Any, unit: str) -> str:
    """Say what a threshold asks."""
    return queries.required_text(threshold.comparator, threshold.amount, threshold.text, unit)


@register.filter
def confidence_words(confidence: str) -> str:
    return "" if confidence == "verified" else "chưa đối chiếu văn bản"
