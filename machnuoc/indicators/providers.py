"""Figures that rooms can give from their own records: a room's `measures.py` registers a function per measure."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

import numpy as np
from django.apps import apps
from numpy.typing import NDArray

from machnuoc.core.models import Passage
from machnuoc.core.periods import Period


@dataclass(frozen=True, eq=False, slots=True)
class Provided:
    """What a room gives for one measure and period: arrays of shape (n,), in whole last decimals of the measure."""

    subject_ids: NDArray[np.int64]
    numbers: NDArray[np.int64]
    states: NDArray[np.int16]


@dataclass(frozen=True)
class Source:
    """Where a provided number comes from, for the lineage page."""

    text: str
    url: str = ""
    passage: Passage | None = None
    person: str = ""


Provide = Callable[[Period], Provided]
Explain = Callable[[int, Period], Sequence[Source]]
_providers: dict[str, tuple[Provide, Explain]] = {}
_enterable: set[str] = set()
_T = TypeVar("_T")
_read: ContextVar[dict[Hashable, Any] | None] = ContextVar("machnuoc_read_by_providers", default=None)


def register(metric_key: str, provide: Provide, explain: Explain, *, takes_entries: bool = False) -> None:
    """Let a room answer for a measure: all its subjects in one query, and where one number comes from.

    takes_entries: people may enter it where the room gives nothing (a station without sensors). The room leaves out the
    subjects whose entered figure stands.
    """
    _providers[metric_key] = (provide, explain)
    if takes_entries:
        _enterable.add(metric_key)


def discover() -> None:
    """Import `measures.py` of every room. Called once when the program starts."""
    for config in apps.get_app_configs():
        if config.name.startswith("machnuoc.") and find_spec(f"{config.name}.measures"):
            import_module(f"{config.name}.measures")


def provide(metric_key: str, period: Period) -> Provided:
    return _providers[metric_key][0](period)


def explain(metric_key: str, subject_id: int, period: Period) -> Sequence[Source]:
    return _providers[metric_key][1](subject_id, period)


def is_provided(metric_key: str) -> bool:
    return metric_key in _providers


def takes_entries(metric_key: str) -> bool:
    return metric_key in _enterable


@contextmanager
def reading_once() -> Iterator[None]:
    """Let what a room reads for one measure serve its other measures too, until the block ends.

    For a background job that computes many measures of a period: what changes meanwhile counts in the next run.
    """
    token = _read.set({})
    try:
        yield
    finally:
        _read.reset(token)


def shared(key: Hashable, read: Callable[[], _T]) -> _T:
    """Return what `read` gives; within `reading_once`, what it gave when the key was first asked for."""
    found = _read.get()
    if found is None:
        return read()
    if key not in found:
        found[key] = read()
    return found[key]  # type: ignore[no-any-return]
