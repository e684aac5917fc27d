"""What the templates of the customers' pages use: {% load portal %}.

{% portal_navigation %}     the bar of four: at the bottom of a phone, in the head of a wide screen
{{ litres|m3 }}             «12 m³», «12,5 m³»
{{ day|month_name }}        «tháng 7/2026»
"""

from datetime import date
from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse

from machnuoc.core import vietnamese

register = template.Library()

_ENTRIES = (
    ("portal:home", "Trang chủ", "home"),
    ("portal:bills", "Hóa đơn", "receipt"),
    ("portal:requests", "Phản ánh", "messages"),
    ("portal:account", "Tài khoản", "user-circle"),
)


@register.inclusion_tag("portal/parts/navigation.html", takes_context=True)
def portal_navigation(context: template.RequestContext) -> dict[str, Any]:
    path = context["request"].path
    links = []
    for name, title, icon in _ENTRIES:
        try:
            url = reverse(name)
        except NoReverseMatch:
            continue
        is_here = path == url if name == "portal:home" else path.startswith(url)
        links.append({"title": title, "url": url, "icon": icon, "is_current": is_here})
    return {"links": links}


@register.filter
def m3(litres: int | None) -> str:
    if litres is None:
        return "chưa có"
    return f"{vietnamese.format_number(litres / 1000, 0 if litres % 1000 == 0 else 1)} m³"


@register.filter
def m3_short(litres: int) -> str:
    return vietnamese.format_number(litres / 1000, 0)


@register.filter
def above(y: float) -> str:
    """Return where the number of a bar stands in its picture: a little above the bar."""
    return f"{y - 4:.1f}"


@register.filter
def month_name(day: date) -> str:
    return f"tháng {day.month}/{day.year}"
