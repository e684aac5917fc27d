"""What rooms show on pages that are not theirs, discovered at start-up as Django discovers admin.py.

A room's `panels.py` may define
    navigation(person) -> list[NavigationItem]    entries of the side bar
    overview(person) -> list[Panel]               what it adds to «Tổng quan»
    hidden_regions(person) -> list[str]           regions of it that are not about what the person does
    for_subject(person, subject) -> list[Panel]   what it adds to the page of a work, place or organisation
    map_layers(person, province) -> list[MapLayer]   its points on /ban-do/; province: a Subject, or None for all
    later_overview(person, region), later_for_subject(person, subject)
                                                  as above, fetched after the page has come: it costs the page nothing
What else a room asks of the others by `collect` it describes itself (customers/connection_panels.py); billing asks for
    run_issued(run) -> list                       after all bills of a run are issued: the portal tells the customers
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from django.apps import apps

REGIONS = {"now": "Cần làm hôm nay", "standing": "Hiện trạng", "changes": "Vừa thay đổi"}


@dataclass(frozen=True)
class NavigationItem:
    title: str
    url: str
    icon: str  # a Tabler icon name of the vendored sprite
    order: int
    group: str = ""  # heading above it, e.g. «Quản trị»
    badge: int = 0  # how many things wait there
    daily: int = 0  # the daily work of who sees it, 1 first: it comes to the bottom bar of a phone; 0: by its order


@dataclass(frozen=True)
class Panel:
    title: str
    template: str
    context: dict[str, Any] = field(default_factory=dict)
    order: int = 50
    region: str = "standing"  # overview: one of REGIONS


@dataclass(frozen=True)
class MapLayer:
    """Points that a reader may switch on. points: dicts with lat, lon, title, url, text, tone (see core/maps.js)."""

    key: str
    title: str
    points: list[dict[str, Any]]
    order: int = 50


@cache
def _modules() -> tuple[ModuleType, ...]:
    names = [f"{config.name}.panels" for config in apps.get_app_configs() if config.name.startswith("machnuoc.")]
    return tuple(import_module(name) for name in names if name != __name__ and find_spec(name))


def collect(function: str, *arguments: object) -> Iterable[Any]:
    """Give one by one what every room's `panels.py` answers under this name; a room without it gives nothing."""
    for module in _modules():
        if hasattr(module, function):
            yield from getattr(module, function)(*arguments)


def list_navigation(person: object) -> list[NavigationItem]:
    return sorted(collect("navigation", person), key=lambda item: item.order)


def list_overview(person: object) -> list[Panel]:
    return sorted(collect("overview", person), key=lambda panel: panel.order)


def list_regions(person: object) -> list[str]:
    """Return the regions of «Tổng quan» that the person gets."""
    hidden = set(collect("hidden_regions", person))
    return [region for region in REGIONS if region not in hidden]


def list_for_subject(person: object, subject: object) -> list[Panel]:
    return sorted(collect("for_subject", person, subject), key=lambda panel: panel.order)


def list_later_overview(person: object, region: str) -> list[Panel]:
    """Return what follows after «Tổng quan» has come, in one region of it."""
    return sorted(collect("later_overview", person, region), key=lambda panel: panel.order)


def list_later_for_subject(person: object, subject: object) -> list[Panel]:
    return sorted(collect("later_for_subject", person, subject), key=lambda panel: panel.order)


def list_map_layers(person: object, province: object | None) -> list[MapLayer]:
    return sorted(collect("map_layers", person, province), key=lambda layer: layer.order)
