"""What is read of notices to customers: those in force, those of some connections, those of one of the staff."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from machnuoc.core.models import Person
from machnuoc.customers import visibility
from machnuoc.customers.models import Connection, ServiceNotice
from machnuoc.places.models import Containment

SHOWN_BEFORE = timedelta(days=30)  # a stop in two weeks is told today
SHOWN_AFTER = timedelta(days=2)  # what is over, and what was withdrawn, stays in sight for a while
INFO_FOR = timedelta(days=60)  # news without an end


def is_live(now: datetime) -> Q:
    """Return the condition of notices that hold now or will: neither over nor withdrawn."""
    lasting = Q(ends_at__gt=now) | Q(ends_at__isnull=True) & (
        ~Q(kind=ServiceNotice.Kind.INFO) | Q(starts_at__gt=now - INFO_FOR)
    )
    return lasting & Q(withdrawn_at__isnull=True, starts_at__lt=now + SHOWN_BEFORE, published_at__lte=now)


def is_fresh(now: datetime) -> Q:
    """Return the condition of notices that were over or withdrawn only just now."""
    return Q(withdrawn_at__gt=now - SHOWN_AFTER, withdrawn_at__lte=now) | Q(
        withdrawn_at__isnull=True, ends_at__gt=now - SHOWN_AFTER, ends_at__lte=now
    )


def connections_of(notice: ServiceNotice) -> QuerySet[Connection]:
    """Return the connections in use that a notice is about: of its works, within its communes and routes if named."""
    rows = Connection.objects.filter(work__in=notice.works.all()).exclude(
        status__in=[Connection.Status.CLOSED, Connection.Status.PENDING]
    )
    places, routes = list(notice.places.values_list("pk", flat=True)), list(notice.routes.values_list("pk", flat=True))
    if not places and not routes:
        return rows
    inside = Containment.objects.filter(ancestor_id__in=places).values("descendant_id")
    return rows.filter(Q(place_id__in=inside) | Q(route_id__in=routes))


def of_connections(connections: Iterable[Connection], now: datetime) -> QuerySet[ServiceNotice]:
    """Return the notices, in force or over just now, that are about at least one of the connections."""
    rows = list(connections)
    if not rows:
        return ServiceNotice.objects.none()
    concerned = Q()
    for work_id, place_id, route_id in sorted(
        {(one.work_id, one.place_id or 0, one.route_id or 0) for one in rows}
    ):  # a customer's connections mostly lie together
        narrow = Q(has_places=False, has_routes=False)
        if place_id:
            above = Containment.objects.filter(descendant_id=place_id).values("ancestor_id")
            narrow |= Q(pk__in=_through("places", "subject_id", above))
        if route_id:
            narrow |= Q(pk__in=_through("routes", "route_id", {route_id}))
        concerned |= Q(pk__in=_through("works", "work_id", {work_id})) & narrow
    found = ServiceNotice.objects.filter(is_live(now) | is_fresh(now)).annotate(
        has_places=Exists(ServiceNotice.places.through.objects.filter(servicenotice_id=OuterRef("pk"))),
        has_routes=Exists(ServiceNotice.routes.through.objects.filter(servicenotice_id=OuterRef("pk"))),
    )
    return found.filter(concerned).select_related("operator__subject").order_by("starts_at", "pk")


def _through(field: str, column: str, ids: Any) -> QuerySet[ServiceNotice]:
    table = getattr(ServiceNotice, field).through.objects.filter(**{f"{column}__in": ids})
    return table.values("servicenotice_id")  # type: ignore[no-any-return]


def list_public(now: datetime) -> QuerySet[ServiceNotice]:
    """Return the notices that everybody may read: in force, coming, or over just now."""
    return ServiceNotice.objects.filter(is_live(now) | is_fresh(now)).select_related("operator__subject")


def visible(person: Person) -> QuerySet[ServiceNotice]:
    """Return the notices about at least one work that the person serves, newest first."""
    rows = ServiceNotice.objects.select_related("operator__subject", "published_by", "withdrawn_by")
    ids = visibility.list_work_ids(person, "serve")
    if ids is not None:
        rows = rows.filter(pk__in=_through("works", "work_id", set(ids)))
    return rows.order_by("-published_at", "-pk")


def state_of(notice: ServiceNotice, now: datetime) -> tuple[str, str]:
    """Return how a notice stands, in words, and the tone of it."""
    if notice.withdrawn_at is not None:
        return "đã rút", "neutral"
    if notice.ends_at is not None and notice.ends_at <= now:
        return "đã qua", "neutral"
    if notice.starts_at > now:
        return "sắp tới", "info"
    return "đang diễn ra" if notice.kind != ServiceNotice.Kind.INFO else "đang đăng", "warning"
