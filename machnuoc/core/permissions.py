"""Who may do what, as far as `core` has to know. The rules live in `places`, which hands its judge over at start-up."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied

from machnuoc.core.models import Person

_judge: Callable[..., bool] | None = None
_overseer: Callable[..., Any] | None = None
_scope: Callable[..., Any] | None = None


def set_judge(
    judge: Callable[..., bool],
    overseer: Callable[..., Any] | None = None,
    scope: Callable[..., Any] | None = None,
) -> None:
    """Take `judge(person, action[, subject_id]) -> bool` as the one that decides from now on.

    overseer: `overseer(person, action)` gives the ids of those over whom the person holds the action, None for all.
    scope: `scope(person, action)` gives the ids of the subjects on which the person holds it, as a subquery.
    """
    global _judge, _overseer, _scope
    _judge, _overseer, _scope = judge, overseer, scope


def may(person: Any, action: str) -> bool:
    """Return whether the person may do the action anywhere at all. Without a judge nobody may do anything."""
    return _judge is not None and bool(getattr(person, "is_authenticated", False)) and _judge(person, action)


def may_on(person: Any, action: str, subject_id: int) -> bool:
    """Return whether the person may do the action on this subject."""
    return (
        _judge is not None and bool(getattr(person, "is_authenticated", False)) and _judge(person, action, subject_id)
    )


def require_on(person: Person | AnonymousUser, action: str, subject_id: int) -> Person:
    """Return the person. Raises PermissionDenied unless the person may do the action on this subject."""
    if isinstance(person, AnonymousUser) or not may_on(person, action, subject_id):
        raise PermissionDenied("Tài khoản của bạn không có quyền thực hiện việc này ở đây.")
    return person


def list_subject_ids(person: Any, action: str) -> Any:
    """Return the ids of the subjects on which the person may do the action, as a subquery."""
    return _scope(person, action) if _scope is not None and may(person, action) else ()


def list_overseen_ids(person: Any, action: str) -> Any:
    """Return the ids of the people over whom the person holds the action, as a subquery; None for everybody."""
    return _overseer(person, action) if _overseer is not None and may(person, action) else ()


def may_everywhere(person: Any, action: str) -> bool:
    """Return whether the person may do the action to everybody's: for what belongs to the whole program."""
    return list_overseen_ids(person, action) is None


def require_everywhere(person: Person | AnonymousUser, action: str) -> Person:
    """Return the person. Raises PermissionDenied unless the person may do the action to everybody's."""
    if isinstance(person, AnonymousUser) or not may_everywhere(person, action):
        raise PermissionDenied("Việc này chạm đến cả hệ thống, nên chỉ dành cho quản trị hệ thống của toàn quốc.")
    return person


def require(person: Person | AnonymousUser, action: str) -> Person:
    """Return the person. Raises PermissionDenied unless the person may do the action."""
    if isinstance(person, AnonymousUser) or not may(person, action):
        raise PermissionDenied(
            "Tài khoản của bạn chưa được giao quyền làm việc này. Nhờ quản trị hệ thống giao quyền nếu bạn cần."
        )
    return person
