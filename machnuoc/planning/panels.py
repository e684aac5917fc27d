"""What planning adds to the side bar, to «Tổng quan» and to the pages of places, organisations and works."""

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from machnuoc.core.models import Person
from machnuoc.core.panels import NavigationItem, Panel
from machnuoc.places.models import Subject
from machnuoc.planning import duty_panels, plan_panels, programme_panels, project_panels, task_panels

_AREAS: tuple[ModuleType, ...] = (plan_panels, task_panels, programme_panels, project_panels, duty_panels)


def _collect(function: str, *arguments: object) -> Iterable[Any]:
    for area in _AREAS:
        if hasattr(area, function):
            yield from getattr(area, function)(*arguments)


def navigation(person: Person) -> list[NavigationItem]:
    return list(_collect("navigation", person))


def later_overview(person: Person, region: str) -> list[Panel]:
    return [panel for panel in _collect("overview", person) if panel.region == region]


def later_for_subject(person: Person, subject: Subject) -> list[Panel]:
    return list(_collect("for_subject", person, subject))
