"""Who sees which connections, and whose personal data unmasked. Billing and the portal ask here too.

A connection lies where its work lies: a grant for the work, its operator or its territory reaches it. Who only has the
role «Ghi chỉ số» there reaches the connections of their own routes alone, within that grant.
"""

from collections.abc import Iterable
from functools import reduce
from operator import or_

from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet

from machnuoc.core.models import Person
from machnuoc.customers.models import Connection
from machnuoc.places import access
from machnuoc.places.models import Containment, Grant
from machnuoc.works.models import Work

_OWN_ROUTES_ONLY = frozenset({str(Grant.Role.READER)})


def works_with_customers() -> QuerySet[Work]:
    """Return the works that have connections, asked work by work: joined, a million connections would be read."""
    return Work.objects.filter(Exists(Connection.objects.filter(work=OuterRef("pk"))))


def list_connections(person: Person, action: str = "serve") -> QuerySet[Connection]:
    """Return the connections on which the person may do the action."""
    return Connection.objects.filter(within(person, action))


def within(person: Person, action: str = "serve", prefix: str = "") -> Q:
    """Return the condition of `list_connections` for a table that points to connections.

    prefix: the way from that table to the connection, such as "connection__".
    """
    scopes = access.list_scopes(person, action, without=_OWN_ROUTES_ONLY)
    if access.sees_everything(person, action, without=_OWN_ROUTES_ONLY):
        return Q()
    works = Containment.objects.filter(ancestor_id__in=scopes).values("descendant_id")
    inside = Q(**{f"{prefix}work_id__in": works})
    if not _reads_own_routes(person, action):
        return inside
    # A route that still names somebody who went to another operator opens nothing there.
    reads = Containment.objects.filter(ancestor_id__in=access.list_scopes(person, "read_meters"))
    return inside | Q(**{f"{prefix}route__reader": person, f"{prefix}work_id__in": reads.values("descendant_id")})


def within_any(person: Person, actions: Iterable[str], prefix: str = "") -> Q:
    """Return the condition that the person may do at least one of the actions."""
    conditions = [within(person, action, prefix) for action in actions]
    if any(condition == Q() for condition in conditions):  # an empty condition holds for all, and is lost by «or»
        return Q()
    return reduce(or_, conditions)


def list_work_ids(person: Person, action: str = "serve") -> list[int] | None:
    """Return the works whose connections the person reaches by the action, in order; None: all of them.

    Own routes of a reader are not counted: they reach single connections, not a work.
    """
    names = list_work_names(person, action)
    return None if names is None else list(names)


def list_work_names(person: Person, action: str = "serve") -> dict[int, str] | None:
    """Return the same works with their names."""
    scopes = access.list_scopes(person, action, without=_OWN_ROUTES_ONLY)
    if access.sees_everything(person, action, without=_OWN_ROUTES_ONLY):
        return None
    # Kept on the person object, as access keeps grants: a page asks for it in its filter, its list and its search.
    known: dict[tuple[int, ...], dict[int, str]] = person.__dict__.setdefault("_works_in_scopes", {})
    key = tuple(scopes)
    if key not in known:
        inside = Containment.objects.filter(ancestor_id__in=scopes).values("descendant_id")
        known[key] = dict(Work.objects.filter(pk__in=inside).order_by("pk").values_list("pk", "subject__name"))
    return known[key]


def may(person: Person, action: str, connection: Connection) -> bool:
    """Return whether the person may do the action on the connection."""
    if _reads_own_routes(person, action) and connection.route_id is not None:
        route = connection.route
        if route is not None and route.reader_id == person.pk:
            return access.may(person, "read_meters", connection.work_id) or may_work(person, action, connection.work_id)
    return may_work(person, action, connection.work_id)


def may_work(person: Person, action: str, work_id: int) -> bool:
    """Return whether the person may do the action on all connections of a work."""
    scopes = access.list_scopes(person, action, without=_OWN_ROUTES_ONLY)
    if not scopes:
        return False
    if work_id in scopes or access.sees_everything(person, action, without=_OWN_ROUTES_ONLY):
        return True
    return access.reaches(person, scopes, work_id)


def require_connection(person: Person, action: str, connection: Connection) -> None:
    """Raise PermissionDenied unless the person may do the action on the connection."""
    if not may(person, action, connection):
        raise PermissionDenied(
            f"Tài khoản của bạn không được làm việc này với đấu nối {connection.code}. "
            "Nhờ đơn vị quản lý công trình hoặc quản trị viên cấp quyền."
        )


def require_work(person: Person, action: str, work_id: int) -> None:
    """Raise PermissionDenied unless the person may do the action on all connections of the work."""
    if not may_work(person, action, work_id):
        raise PermissionDenied("Tài khoản của bạn không có quyền thực hiện việc này ở công trình này.")


def served_among(person: Person, connections: Iterable[Connection]) -> frozenset[int]:
    """Return the ids of those connections whose personal data the person sees unmasked (action serve)."""
    found = list(connections)
    scopes = access.list_scopes(person, "serve")
    if not scopes:
        return frozenset()
    if access.sees_everything(person, "serve"):
        return frozenset(one.pk for one in found)
    works = {one.work_id for one in found}
    if len(works) == 1:
        (work_id,) = works
        return frozenset(one.pk for one in found if access.reaches(person, scopes, work_id))
    served = set(
        Containment.objects.filter(ancestor_id__in=scopes, descendant_id__in=works).values_list(
            "descendant_id", flat=True
        )
    )
    return frozenset(one.pk for one in found if one.work_id in served)


def _reads_own_routes(person: Person, action: str) -> bool:
    return action in {"view", "read_meters"} and bool(_OWN_ROUTES_ONLY & access.roles(person))
