"""Money on pages of projects."""

from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from machnuoc.planning.money import format_amount

register = template.Library()


@register.filter
def money(amount_vnd: Any) -> SafeString:
    """Write whole đồng in tỷ, triệu or đồng with all digits; «–» for None. The full sum stands in the title."""
    if amount_vnd is None or amount_vnd == "":
        return mark_safe('<span class="is-missing">–</span>')
    return format_html('<span class="project-money" title="{}">{}</span>', format_amount(amount_vnd, "đồng"),
                       format_amount(amount_vnd))  # fmt: skip
