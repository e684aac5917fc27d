"""Kinds of things that rooms above places let the search page show: heading, icon, and who may find them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from machnuoc.core.models import Person


@dataclass(frozen=True)
class SearchKind:
    """A kind with its heading and icon. within: gives the subject ids (a subquery) whose entries a person may find."""

    key: str
    title: str
    icon: str
    within: Callable[[Person], Any]


_kinds: dict[str, SearchKind] = {}


def register(key: str, title: str, icon: str, within: Callable[[Person], Any]) -> None:
    """Show entries of this kind after those of places. Called once when the program starts."""
    _kinds[key] = SearchKind(key, title, icon, within)


def list_kinds() -> dict[str, SearchKind]:
    return dict(_kinds)
