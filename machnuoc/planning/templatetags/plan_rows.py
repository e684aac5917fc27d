"""Lines of tables of targets and of growth, written in Python: a template takes many times longer for each."""

from collections.abc import Iterable
from html import escape
from typing import Any

from django import template
from django.utils.safestring import SafeString

from machnuoc.core import addresses
from machnuoc.core.templatetags.machnuoc import figure_link, tag
from machnuoc.core.vietnamese import format_date, format_number
from machnuoc.planning import plan_queries as queries

register = template.Library()

_NOT_YET = '<span class="is-missing">chưa có</span>'


@register.simple_tag
def target_rows(rows: Iterable[Any], *, with_plan: bool = False) -> SafeString:
    """Return the lines of a table of dressed targets; its columns are those of planning/plan/parts/rows.html."""
    return SafeString("\n".join(_target(row, with_plan) for row in rows))


def _target(row: Any, with_plan: bool) -> str:
    standing = row.standing if row.shows_figures and hasattr(row, "standing") else None
    leads = escape(", ".join(row.lead_names)) or '<span class="is-missing">chưa rõ</span>'
    below = [f"Chủ trì: {leads}"]
    if standing is not None:
        below.append(escape(standing.reason))
    if row.owes:
        since = f", từ ngày {format_date(row.late_since)}" if row.late_since else ""
        below.append(f"Chưa có đề xuất giải pháp{since}")
    if row.parts_count:
        below.append(f"{format_number(row.parts_count)} phần giao xuống đơn vị, công trình")
    address = escape(addresses.of("planning:target_detail", row.plan.key, row.key))
    name = f'<a class="plan-name" href="{address}">{escape(row.name)}</a>'
    under = "".join(f'<small class="under">{text}</small>' for text in below)
    cells = [f'<th scope="row">{name}{under}</th>']
    if with_plan:
        plan_url = escape(addresses.of("planning:plan_detail", row.plan.key))
        cells.append(f'<td data-label="Kế hoạch"><a href="{plan_url}">{escape(row.plan.short_name)}</a></td>')
    due = format_date(row.due_on) if row.due_on else '<span class="is-missing">không ghi</span>'
    cells += [
        f'<td data-label="Phải đạt">{escape(row.promised)}</td>',
        f'<td data-label="Hạn" class="plan-date">{due}</td>',
        f'<td class="num" data-label="Đã đạt">{_reached(row, standing)}</td>',
        f'<td class="num" data-label="Dự báo">{escape(row.forecast_text) or _none()}</td>',
        f'<td data-label="Tình trạng">{tag(row.status_label, row.tone, row.icon)}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _reached(row: Any, standing: Any) -> str:
    if not row.shows_figures:
        return '<span class="is-missing">ngoài phạm vi</span>'
    if standing is None or not row.reached_text:
        return _NOT_YET
    text = figure_link(standing.value_id, row.reached_text) if standing.value_id else escape(row.reached_text)
    return f"{text} {tag('Mô phỏng', 'info')}" if "mô phỏng" in standing.reason else text


def _none() -> str:
    return '<span class="is-missing">–</span>'


@register.simple_tag
def growth_rows(rows: Iterable[queries.Growth], last_year: str) -> SafeString:
    """Return the lines of the table of growth; its columns are those of planning/plan/growth.html."""
    return SafeString("\n".join(_growth(row, last_year) for row in rows))


def _growth(row: queries.Growth, last_year: str) -> str:
    mark = ' class="plan-depth"' if row.depth else ""
    operator = f'<small class="under">{escape(row.operator)}</small>' if row.operator != row.name else ""
    added = _NOT_YET
    if row.value_id is not None:
        added = figure_link(row.value_id, format_number(row.added))
        if row.is_simulated:
            added += " " + tag("Mô phỏng", "info")
    is_over = row.spare is not None and row.spare < 0
    address = escape(addresses.of("works:detail", row.key))
    return (
        f'<tr><th scope="row"{mark}><a href="{address}">{escape(row.name)}</a>{operator}</th>'
        f"{_number('Thiết kế', row.design)}{_number(f'Đấu nối {last_year}', row.connected)}"
        f"{_number('Kế hoạch', row.planned)}{_number('Phải tăng', row.asked)}"
        f'<td class="num" data-label="Đã tăng">{added}</td>'
        f"{_number('Còn lại', row.left)}{_number('Còn dư', row.spare, is_over)}"
        f"{_number('Vượt thiết kế', row.above, bool(row.above))}{_number('Thứ tự', row.rank)}</tr>"
    )


def _number(title: str, number: int | None, is_late: bool = False) -> str:
    mark = " is-late" if is_late else ""
    return f'<td class="num{mark}" data-label="{title}">{format_number(number)}</td>'
