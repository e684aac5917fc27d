"""What templates say of figures: {% load indicators %}."""

from collections.abc import Iterable
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe

from machnuoc.core import units, vietnamese
from machnuoc.core.templatetags.machnuoc import band_badge, figure, state_badge
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
    if number is None:
        return ""
    return f"+{vietnamese.format_number(number)}" if number > 0 else vietnamese.format_number(number).replace("-", "−")


# --- lines of tables, written in Python: a page shows up to 50, and a template takes several times as long ----------


@register.simple_tag
def latest_rows(rows: Iterable[queries.LatestRow], has_band: bool, has_previous: bool, has_plan: bool) -> SafeString:
    """Return the lines of the panel «Số liệu»: the newest figure of each metric with what stands beside it."""
    before, _, after = reverse("indicators:detail", args=["-key-"]).partition("-key-")
    parts: list[str] = []
    for row in rows:
        value, plan = row.value, row.plan
        label = period_label(value) if value else ""
        name = conditional_escape(row.metric.short_name)
        parts += [
            f'<tr>\n<th scope="row"><a href="{before}{conditional_escape(row.metric.key)}{after}">{name}</a></th>\n',
            f'<td data-label="Kỳ">{conditional_escape(label[:1].upper() + label[1:])}</td>\n',
            f'<td class="num" data-label="Số liệu">{figure(value)}</td>\n',
        ]
        if has_band:
            parts.append(f'<td data-label="Mức">{band_badge(value.band if value else None)}</td>\n')
        if has_previous:
            parts.append(_figure_cell("Kỳ trước", row.previous))
        if has_plan:
            told = (
                f'{figure(plan)}<small class="quiet">{conditional_escape(period_label(plan))}</small>' if plan else ""
            )
            parts.append(f'<td class="num" data-label="Kế hoạch">{told}</td>\n')
        parts.append(_state_cell(value, coverage(value) if value and value.parts_total > 1 else ""))
    return mark_safe("".join(parts))  # noqa: S308 - every part was escaped


@register.simple_tag
def ranking_rows(rows: Iterable[queries.RankRow], has_band: bool, has_previous: bool, has_plan: bool) -> SafeString:
    """Return the lines of a ranking."""
    parts: list[str] = []
    for row in rows:
        name = conditional_escape(row.value.subject.name)
        link = f'<a href="{conditional_escape(row.url)}">{name}</a>' if row.url else name
        place = "" if row.place is None else row.place
        parts += [
            f'<tr>\n<td class="num" data-label="Hạng">{place}</td>\n<th scope="row">{link}</th>\n',
            f'<td data-label="Tỉnh, thành phố">{conditional_escape(row.province)}</td>\n',
            f'<td class="num" data-label="Số liệu">{figure(row.value)}</td>\n',
        ]
        if has_band:
            parts.append(f'<td data-label="Mức">{band_badge(row.value.band)}</td>\n')
        if has_plan:
            parts.append(_figure_cell("Kế hoạch", row.plan))
        if has_previous:
            parts.append(_figure_cell("Kỳ trước", row.previous))
            parts.append(f'<td class="num" data-label="Thay đổi">{signed(row.change)}</td>\n')
        parts.append(_state_cell(row.value, row.coverage))
    return mark_safe("".join(parts))  # noqa: S308 - every part was escaped


def _figure_cell(label: str, value: Any) -> str:
    return f'<td class="num" data-label="{label}">{figure(value) if value else ""}</td>\n'


def _state_cell(value: Any, covered: str) -> str:
    beside = f' <span class="quiet">{conditional_escape(covered)}</span>' if covered else ""
    return f'<td data-label="Tình trạng">{state_badge(value)}{beside}</td>\n</tr>\n'
