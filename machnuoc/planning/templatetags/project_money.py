"""Money on pages of projects, and the lines of their list: written in Python, which a template takes longer for."""

from collections.abc import Iterable
from html import escape
from typing import Any

from django import template
from django.utils.safestring import SafeString, mark_safe

from machnuoc.core import addresses
from machnuoc.core.templatetags.machnuoc import tag
from machnuoc.core.vietnamese import format_date, format_percent
from machnuoc.planning.money import format_amount
from machnuoc.planning.project_queries import Row

register = template.Library()


@register.filter
def money(amount_vnd: Any) -> SafeString:
    """Write whole đồng in tỷ, triệu or đồng with all digits; «–» for None. The full sum stands in the title."""
    if amount_vnd is None or amount_vnd == "":
        return mark_safe('<span class="is-missing">–</span>')
    in_dong, said = escape(format_amount(amount_vnd, "đồng")), escape(format_amount(amount_vnd))
    return SafeString(f'<span class="project-money" title="{in_dong}">{said}</span>')


@register.simple_tag
def project_rows(rows: Iterable[Row], year: int) -> SafeString:
    """Return the lines of the list; its columns are those of planning/project/list.html."""
    return SafeString("\n".join(_line(row, year) for row in rows))


def _line(row: Row, year: int) -> str:
    address = escape(addresses.of("planning:project_detail", row.key))
    total = _missing("văn bản không in") if row.total_vnd is None else money(row.total_vnd)
    due = row.completion_as_printed or (format_date(row.due_on) if row.due_on else "")
    status = f"<small>{escape(row.status_label)}</small>" if row.status != "UNKNOWN" else ""
    return (
        f'<tr><td data-label="TT">{escape(row.number) or "–"}</td>'
        f'<th scope="row"><a class="project-name" href="{address}">{escape(row.name)}</a>{project_tags(row)}</th>'
        f'<td class="project-owner" data-label="Chủ đầu tư">{escape(row.owner) or _missing("văn bản không in")}</td>'
        f'<td class="num" data-label="Tổng mức">{total}</td>'
        f'<td class="num" data-label="Kế hoạch vốn {year}">{money(row.planned_vnd)}</td>'
        f'<td class="num" data-label="Giải ngân {year}">{money(row.paid_vnd)}</td>'
        f'<td class="num" data-label="Tỷ lệ">{format_percent(row.rate_pct, 1)}</td>'
        f'<td class="num" data-label="Nợ đọng">{money(row.debt_vnd) if row.debt_vnd else "–"}</td>'
        f'<td class="project-due" data-label="Hoàn thành">{escape(due)}{status}</td></tr>'
    )


def _missing(text: str) -> str:
    return f'<span class="is-missing">{text}</span>'


@register.simple_tag
def project_tags(row: Row) -> SafeString:
    """Return the warnings of a project, and whether its money is simulated."""
    if not row.warnings and not row.is_simulated:
        return SafeString("")
    drawn = [tag(text, "warning", "alert-triangle") for text in row.warning_texts]
    if row.is_simulated:
        drawn.append(tag("vốn mô phỏng", "warning", "flask"))
    return SafeString(f'<span class="project-tags">{"".join(drawn)}</span>')
