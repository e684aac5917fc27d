"""What every page may show of the reader's roles."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest

from machnuoc.places import access
from machnuoc.places.models import Grant


def roles(request: HttpRequest) -> dict[str, Any]:
    """Return the names of the roles that the signed-in person holds today; read only when a template shows them."""
    person = getattr(request, "user", None)
    if person is None or not person.is_authenticated:
        return {"role_names": []}
    names: Callable[[], list[str]] = lambda: sorted(Grant.Role(role).label for role in access.roles(person))  # noqa: E731
    return {"role_names": names}
