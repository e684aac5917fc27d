"""What the shell around every page needs. Each part is asked for only when a template shows it."""

from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from machnuoc.core import notices, panels, permissions, vietnamese
from machnuoc.core.templatetags.machnuoc import icon

_OPEN_AT_MOST = 14  # links of a side bar that is not folded
_QUICK_COUNT = 4  # beside «Thêm» in the bottom bar of a phone


@dataclass(frozen=True)
class NavigationLink:
    title: str
    url: str
    icon: str
    badge: int
    group: str
    is_current: bool
    daily: int = 0


@dataclass(frozen=True)
class NavigationGroup:
    title: str
    items: list[NavigationLink]


def shell(request: HttpRequest) -> dict[str, Any]:
    person = getattr(request, "user", None)
    if person is None or not person.is_authenticated:
        return {"navigation": "", "quick_navigation": []}

    @cache
    def links() -> list[NavigationLink]:
        items = sorted([*_list_own_navigation(person), *panels.list_navigation(person)], key=lambda item: item.order)
        current = _find_current([item.url for item in items], request.path)
        return [
            NavigationLink(item.title, item.url, item.icon, item.badge, item.group, item.url == current, item.daily)
            for item in items
        ]

    return {
        "navigation": cache(lambda: _draw(_group(links()))),  # stands twice: in the side bar and on phones
        "quick_navigation": lambda: _quick(links()),
        "unread_notices": cache(lambda: notices.count_unread(person)),
        "initials": _initials(person.full_name),
        "search_url": _address("places:search"),
        "loans_url": _address("places:loans"),
    }


def _quick(links: list[NavigationLink]) -> list[NavigationLink]:
    """Return the bottom bar of a phone: daily work first, what is left as in the side bar; short names."""
    daily = sorted((link for link in links if link.daily), key=lambda link: link.daily)
    shown = [*daily, *(link for link in links if not link.daily)][:_QUICK_COUNT]
    return [replace(link, title=link.title.partition(",")[0]) for link in shown]


def _list_own_navigation(person: Any) -> list[panels.NavigationItem]:
    """Return the entries of this room. Those of the administration are for who may use them."""
    items = [
        panels.NavigationItem("Tổng quan", reverse("core:overview"), "dashboard", 0),
        panels.NavigationItem("Văn bản", reverse("core:documents"), "files", 70),
    ]
    for title, name, picture, order, is_open in (
        ("Tác vụ nền", "core:jobs", "activity-heartbeat", 95, permissions.may_everywhere(person, "administer")),
        ("Tin gửi đi", "core:sendings", "send", 96, permissions.may_everywhere(person, "administer")),
        ("Nhật ký", "core:audit", "shield-check", 96, permissions.may(person, "read_audit")),
    ):
        address = _address(name)
        if address and is_open:
            items.append(panels.NavigationItem(title, address, picture, order, "Quản trị"))
    return items


def _address(name: str) -> str:
    """Return the address of a page, or "" where its room is not part of the site."""
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""


def _find_current(urls: list[str], path: str) -> str:
    """Return the longest address that the path lies under; the overview only for itself."""
    under = [url for url in urls if path == url or (url != "/" and path.startswith(url))]
    return max(under, key=len, default="")


def _group(links: list[NavigationLink]) -> list[NavigationGroup]:
    """Return the links by heading, headings in the order of their first link, those without heading first."""
    order = list(dict.fromkeys(link.group for link in links))
    order.sort(key=bool)
    ranked = sorted(links, key=lambda link: order.index(link.group))
    return [NavigationGroup(title, list(items)) for title, items in groupby(ranked, key=lambda link: link.group)]


def _draw(groups: list[NavigationGroup]) -> SafeString:
    """Return the lists of links. Every page shows them, and a template takes many times longer to.

    Groups with a heading fold: the one of this page is open, and all where there are few links. What people open and
    close is kept in their browser (shell.js).
    """
    parts: list[str] = []
    are_few = sum(len(group.items) for group in groups) <= _OPEN_AT_MOST
    for group in groups:
        if group.title:
            is_open = are_few or any(link.is_current for link in group.items)
            parts.append(
                format_html(
                    '<details class="nav-fold" data-nav-group="{}"{}><summary class="nav-group">{}{}{}</summary>',
                    group.title, SafeString(" open") if is_open else "", group.title,
                    _badge(sum(link.badge for link in group.items)), icon("chevron-down"),
                )
            )  # fmt: skip
        parts.append("<ul>")
        for link in group.items:
            current = SafeString(' aria-current="page"') if link.is_current else ""
            parts.append(
                format_html(
                    '<li><a href="{}"{}>{}<span>{}</span>{}</a></li>',
                    link.url, current, icon(link.icon), link.title, _badge(link.badge),
                )
            )  # fmt: skip
        parts.append("</ul></details>" if group.title else "</ul>")
    return SafeString("".join(parts))


def _badge(count: int) -> str:
    if not count:
        return ""
    number = vietnamese.format_number(count)
    return format_html('<span class="nav-badge">{}<span class="visually-hidden"> việc đang chờ</span></span>', number)


def _initials(name: str) -> str:
    """Return the letters for the round mark: a Vietnamese given name stands last.

    >>> _initials("Nguyễn Thị Hoà"), _initials("An")
    ('NH', 'A')
    """
    words = name.split()
    return "".join(word[0] for word in ([words[0], words[-1]] if len(words) > 1 else words)).upper()
