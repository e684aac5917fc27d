"""Who may do what, as far as `core` has to know. The rules live in `places`, which hands its judge over at start-up."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied

from machnuoc.core.models import Person

_judge: Callable[..., bool] | None = None


def set_judge(judge: Callable[..., bool]) -> None:
    """Take `judge(person, action) -> bool` as the one that decides from now on."""
    global _judge
    _judge = judge


def may(person: Any, action: str) -> bool:
    """Return whether the person may do the action anywhere at all. Without a judge nobody may do anything."""
    return _judge is not None and bool(getattr(person, "is_authenticated", False)) and _judge(person, action)


def require(person: Person | AnonymousUser, action: str) -> Person:
    """Return the person. Raises PermissionDenied unless the person may do the action."""
    if isinstance(person, AnonymousUser) or not may(person, action):
        raise PermissionDenied(
            "Tài khoản của bạn chưa được giao quyền làm việc này. Nhờ quản trị hệ thống giao quyền nếu bạn cần."
        )
    return person
