"""What planning adds to the side bar, to «Tổng quan» and to the pages of places, organisations and works."""

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from django.urls import reverse

from machnuoc.core.models import Person
from machnuoc.core.panels import NavigationItem, Panel
from machnuoc.places import access
from machnuoc.places.models import Grant, Subject
from machnuoc.planning import duty_panels, plan_panels, programme_panels, project_panels, task_panels

_AREAS: tuple[ModuleType, ...] = (plan_panels, task_panels, programme_panels, project_panels, duty_panels)


def _collect(function: str, *arguments: object) -> Iterable[Any]:
    for area in _AREAS:
        if hasattr(area, function):
            yield from getattr(area, function)(*arguments)


_OVERSEEING = frozenset({Grant.Role.ADMIN, Grant.Role.LEADER, Grant.Role.DEPARTMENT, Grant.Role.AGENCY})
_DOING = _OVERSEEING | {Grant.Role.STATION, Grant.Role.COMMUNE}
# Title, address, icon, order, whose. By role alone, for it stands on every page; each page says itself if it is empty.
_ENTRIES = (
    ("Kế hoạch", "planning:plan_list", "files", 40, _DOING | {Grant.Role.PARTNER}),
    ("Chỉ tiêu kế hoạch", "planning:target_list", "target", 41, _DOING | {Grant.Role.PARTNER}),
    ("Nhiệm vụ", "planning:task_list", "clipboard-list", 42, _DOING),
    ("Nông thôn mới", "planning:programme_list", "checklist", 43, _OVERSEEING | {Grant.Role.COMMUNE}),
    ("Dự án", "planning:project_list", "tool", 44, _OVERSEEING),
    ("Bàn giao", "planning:handover_list", "git-merge", 45, _OVERSEEING),
    ("Lịch báo cáo", "planning:duty_calendar", "calendar-event", 46, _DOING),
)


def navigation(person: Person) -> list[NavigationItem]:
    roles = access.roles(person)
    return [
        NavigationItem(title, reverse(address), icon, order, "Kế hoạch")
        for title, address, icon, order, whose in _ENTRIES
        if roles & whose
    ]


def later_overview(person: Person, region: str) -> list[Panel]:
    return list(_collect("later_overview", person, region))


def later_for_subject(person: Person, subject: Subject) -> list[Panel]:
    return list(_collect("for_subject", person, subject))
