"""Cells of tables of works, written in Python: a page shows hundreds, and an included template costs far more."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from html import escape
from typing import Any
from urllib.parse import quote

from django import template
from django.conf import settings
from django.urls import get_urlconf, reverse
from django.utils.safestring import SafeString

from machnuoc.core.templatetags.machnuoc import band_badge, figure, figure_link, state_badge, tag
from machnuoc.core.vietnamese import NO_FIGURE, format_number
from machnuoc.indicators.models import State
from machnuoc.works import queries
from machnuoc.works.models import Work

register = template.Library()

_PLACES_SHOWN = 3
_MISSING = SafeString(
    '<span class="is-missing" title="chưa có số liệu" aria-label="chưa có số liệu" role="img">–</span>'
)


def work_url(key: str) -> str:
    """Return the address of the page of a work: what `reverse` says, looked up once for all of them."""
    before, after = _address_around(str(get_urlconf() or settings.ROOT_URLCONF))
    return before + quote(key, safe="!$&'()*+,;=/~:@") + after


@lru_cache
def _address_around(urlconf: str) -> tuple[str, str]:
    before, _, after = reverse("works:detail", urlconf, args=["0"]).rpartition("0")
    return before, after


@register.simple_tag
def work_figure(value: Any, text: str) -> SafeString:
    """Return a number of a row as link to its provenance. value: the stored figure; None: only the sum is known."""
    if value:
        badge = tag("mô phỏng", "warning", "flask") if value.state == State.SIMULATED else ""
        return SafeString(figure_link(value.pk, text) + badge)
    if text and text != NO_FIGURE:
        return SafeString(f'<span class="figure">{escape(text)}</span>')
    return _MISSING


@register.simple_tag
def work_name(row: queries.Row, *, with_status: bool = True) -> SafeString:
    """Return the name of a work as link to its page, with its warnings, its state and whom it belongs to."""
    found = '<span class="is-quiet" aria-hidden="true">↳</span> ' if row.depth else ""
    found = f'<span class="work-name"><span>{found}<a href="{escape(work_url(row.key))}">{escape(row.name)}</a></span>'
    warnings = row.warnings
    if queries.ABOVE_DESIGN in warnings:
        found += " " + tag("Vượt thiết kế", "danger", "alert-circle")
    elif warnings:
        found += " " + tag("Kế hoạch vượt", "warning", "alert-triangle")
    if with_status and row.status != Work.Status.RUNNING:
        found += " " + state_badge(row)
    if row.parent_name and not row.depth:
        found += f" <small>Phân hệ của {escape(row.parent_name)}</small>"
    elif row.team and row.team != row.name:
        found += f" <small>{escape(row.team)}</small>"
    return SafeString(found + "</span>")


@register.simple_tag
def work_rows(rows: Iterable[queries.Row], selection: queries.Selection) -> SafeString:
    """Return the lines of the list; its columns are those of works/list.html."""
    draw = _Lines(selection)
    return SafeString("\n".join(draw.line(row) for row in rows))


class _Lines:
    """Draws the lines of one list. What is the same in all of them is asked for once."""

    def __init__(self, selection: queries.Selection) -> None:
        self.has_operators = not selection.only_operator
        self.has_households = selection.has_households
        self.has_urban = selection.has_urban
        self.year, self.plan_year = selection.year_label, selection.plan_year_label

    def line(self, row: queries.Row) -> str:
        values = row.values
        cells = [f'<th scope="row">{work_name(row, with_status=not self.has_urban)}</th>']
        if self.has_operators:
            name = escape(row.operator)
            shown = f'<span class="clamp-2" title="{name}">{name}</span>' if name else _missing("chưa có")
            cells.append(f'<td class="operator-cell" data-label="Đơn vị vận hành">{shown}</td>')
        cells.append(f'<td class="places-cell" data-label="Nơi cấp nước">{_places(row.places)}</td>')
        if self.has_households:
            planned = self._own(row, row.planned, row.planned_own)
            cells += [
                self._number("Thiết kế (hộ)", values["design"], row.design, self._design_to_be(row)),
                self._number(
                    f"Đấu nối {self.year}", values["connected"], row.connected,
                    self._own(row, row.connected, row.connected_own),
                ),
                self._number(f"Kế hoạch {self.plan_year}", values["planned"], row.planned, planned),
                self._number("Tăng (hộ)", values["growth"], row.growth),
                f'<td class="num" data-label="Tăng (%)">'
                f"{work_figure(values['growth_pct'], format_number(row.growth_pct, 2))}</td>",
            ]  # fmt: skip
        if self.has_urban:
            cells.append(f'<td data-label="Tình trạng">{state_badge(row)}</td>')
        cells.append(f'<td class="num" data-label="Khai thác (%)">{_utilisation(row)}</td>')
        if self.has_urban:
            losses = values["losses_pct"]
            cells.append(f'<td class="num" data-label="Thất thoát {self.year}">{_figure(losses)}</td>')
            cells.append(f'<td data-label="Mức">{_band(losses)}</td>')
        mark = ' class="is-part"' if row.depth else ""
        return f"<tr{mark}>{''.join(cells)}</tr>"

    @staticmethod
    def _number(title: str, value: Any, number: int | None, below: str = "") -> str:
        return f'<td class="num" data-label="{title}">{work_figure(value, format_number(number))}{below}</td>'

    def _design_to_be(self, row: queries.Row) -> str:
        if row.design is None or row.design_planned is None or row.design_planned == row.design:
            return ""
        return f"<small>{self.plan_year}: {format_number(row.design_planned)}</small>"

    @staticmethod
    def _own(row: queries.Row, whole: int | None, own: int | None) -> str:
        return f"<small>riêng {format_number(own)}</small>" if row.parts and whole is not None else ""


def _places(places: Sequence[str]) -> str:
    if not places:
        return _missing("chưa rõ")
    rest = len(places) - _PLACES_SHOWN
    more = f' <span class="is-quiet">và {rest} nơi khác</span>' if rest > 0 else ""
    return escape(", ".join(places[:_PLACES_SHOWN])) + more


def _utilisation(row: queries.Row) -> str:
    by_households, by_volume = row.values["utilisation_pct"], row.values["utilisation_volume_pct"]
    used_pct = row.utilisation_pct
    if by_households or used_pct is not None:
        return work_figure(by_households, format_number(used_pct, 1)) + _band(by_households)
    if by_volume:
        return f"{_figure(by_volume)}<small>theo lượng nước</small>{_band(by_volume)}"
    return _MISSING


def _figure(value: Any) -> str:
    """Return a figure in its own words, as the filter `figure` draws a Value."""
    if not isinstance(value, queries.Stored):
        return figure(value) if value else _MISSING
    badge = tag("mô phỏng", "warning", "flask") + " " if value.state == State.SIMULATED else ""
    text = f"{value.qualifier} {value.text}" if value.qualifier else value.text
    return badge + figure_link(value.pk, text)


def _band(value: Any) -> str:
    return band_badge(value.band) if value else ""


def _missing(text: str) -> str:
    return f'<span class="is-missing">{text}</span>'
