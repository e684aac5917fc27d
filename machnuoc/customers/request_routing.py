"""Whose a request is: the operator and work of a place, the unit that gets it, the people of that unit."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from machnuoc.core.models import Person
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Category, Connection, Request, Routing
from machnuoc.places.models import Containment, Grant, Organisation, Subject
from machnuoc.works.models import ServiceArea, Work

NEAR_WORK_KM = 30  # a point farther from every work than this belongs to nobody we know
EARTH_RADIUS_M = 6_371_000
# Roles that hold `serve` in places.access: they get notices of requests and may be asked to handle them.
SERVING = (Grant.Role.LEADER, Grant.Role.DEPARTMENT, Grant.Role.STATION, Grant.Role.CASHIER)
MOST_TOLD = 30  # people whom one event tells


class NoOperator(CustomersError):
    """Nobody who uses the program supplies water there."""


@dataclass(frozen=True)
class Where:
    """Where a request belongs."""

    operator: Organisation
    work: Work | None
    place: Subject | None


def distance_m(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Return the distance of two points (degrees, WGS84) in metres, on a sphere: within 0.5 % of the true one.

    >>> round(distance_m(15.0, 108.0, 15.0, 108.001))
    107
    """
    north, south = math.radians(lat), math.radians(other_lat)
    half = (
        math.sin((south - north) / 2) ** 2
        + math.cos(north) * math.cos(south) * math.sin(math.radians(other_lon - lon) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(half)))


def locate(
    *,
    connection: Connection | None = None,
    work: Work | None = None,
    place: Subject | None = None,
    latitude: float | None = None,
    longitude: float | None = None,
    operator: Organisation | None = None,
) -> Where:
    """Return whose a request is, by the closest that is known of its place. Raises NoOperator.

    operator: the sender says whose it is; then the place only tells which of its works.
    """
    if connection is not None:
        work, place = connection.work, connection.place or place
    if work is not None and work.operator is not None:
        return Where(work.operator, work, place)
    has_point = latitude is not None and longitude is not None
    if operator is not None:
        nearest = _nearest_work(latitude, longitude, operator)
        return Where(operator, nearest, place)
    if place is not None:
        works = works_serving(place)
        if works:
            if has_point:
                works.sort(key=lambda one: _distance_to(one, latitude, longitude))
                return Where(_operator(works[0]), works[0], place)
            operators = {one.operator_id for one in works}
            if len(works) == 1 or len(operators) == 1:
                return Where(_operator(works[0]), works[0] if len(works) == 1 else None, place)
            # Several operators serve the place: the one with most works there looks first, and may pass it on.
            most = max(operators, key=lambda pk: sum(one.operator_id == pk for one in works))
            return Where(_operator(next(one for one in works if one.operator_id == most)), None, place)
    if has_point:
        nearest = _nearest_work(latitude, longitude)
        if nearest is not None:
            return Where(_operator(nearest), nearest, place)
    if place is not None and (of_territory := _operator_of_territory(place)) is not None:
        return Where(of_territory, None, place)
    raise NoOperator(
        "Chưa có đơn vị cấp nước nào dùng hệ thống phục vụ nơi này. Chọn đúng xã, phường hoặc đánh dấu vị trí trên "
        "bản đồ; nếu vẫn không được, hãy gọi đơn vị cấp nước ghi trên hóa đơn."
    )


def _operator(work: Work) -> Organisation:
    assert work.operator is not None  # noqa: S101 - all that are asked for have one
    return work.operator


def works_serving(place: Subject) -> list[Work]:
    """Return the works, with an operator, that serve a place or lie in it."""
    inside = Containment.objects.filter(ancestor=place).values("descendant_id")
    holding = Containment.objects.filter(descendant=place, ancestor__kind__in=["UNIT", "URBAN_AREA"])
    around = holding.exclude(ancestor__unit__level="PROVINCE").values("ancestor_id")
    served = ServiceArea.objects.filter(
        Q(place_id__in=inside) | Q(place_id__in=around), is_planned=False, valid_to__isnull=True
    ).values("work_id")
    works = Work.objects.filter(Q(pk__in=served) | Q(pk__in=inside), operator__isnull=False)
    return list(works.select_related("operator__subject", "subject").order_by("pk")[:200])


def _distance_to(work: Work, latitude: float | None, longitude: float | None) -> float:
    subject = work.subject
    if subject.latitude is None or subject.longitude is None or latitude is None or longitude is None:
        return math.inf
    return distance_m(latitude, longitude, subject.latitude, subject.longitude)


def _nearest_work(latitude: float | None, longitude: float | None, operator: Organisation | None = None) -> Work | None:
    if latitude is None or longitude is None:
        return None
    reach = NEAR_WORK_KM / 111  # degrees; wider in longitude, which the distance then cuts
    works = Work.objects.filter(
        operator__isnull=False,
        subject__latitude__range=(latitude - reach, latitude + reach),
        subject__longitude__range=(longitude - 1.2 * reach, longitude + 1.2 * reach),
    ).select_related("operator__subject", "subject")
    if operator is not None:
        works = works.filter(operator=operator)
    found = min(works, key=lambda one: _distance_to(one, latitude, longitude), default=None)
    return found if found and _distance_to(found, latitude, longitude) <= NEAR_WORK_KM * 1_000 else None


def _operator_of_territory(place: Subject) -> Organisation | None:
    above = Containment.objects.filter(descendant=place).values("ancestor_id")
    return (
        Organisation.objects.filter(territory_id__in=above, works__isnull=False)
        .select_related("subject")
        .order_by("pk")
        .first()
    )


def route(operator: Organisation, work: Work | None, category: Category) -> Organisation:
    """Return the unit that gets requests of a work and category: by the closest rule, else the work's own team."""
    rows = Routing.objects.filter(operator=operator).filter(
        Q(work=work) | Q(work__isnull=True), Q(category=category) | Q(category__isnull=True)
    )
    closest = max(
        rows.select_related("unit__subject"),
        key=lambda row: (row.work_id is not None) * 2 + (row.category_id is not None),
        default=None,
    )
    if closest is not None:
        return closest.unit
    return work.team if work is not None and work.team is not None else operator


def list_communes() -> QuerySet[Subject]:
    """Return the communes in force that a work with an operator serves, or of whose province an operator cares."""
    served = ServiceArea.objects.filter(valid_to__isnull=True, is_planned=False, work__operator__isnull=False)
    around = Containment.objects.filter(descendant_id__in=served.values("place_id")).values("ancestor_id")
    holding = Containment.objects.filter(
        descendant_id__in=Work.objects.filter(operator__isnull=False).values("pk")
    ).values("ancestor_id")  # fmt: skip
    return (
        Subject.objects.filter(Q(pk__in=around) | Q(pk__in=holding), unit__level="COMMUNE", unit__is_in_force=True)
        .annotate(province_name=F("unit__parent__subject__name"))
        .order_by("province_name", "name")
    )


def list_units(operator: Organisation) -> QuerySet[Organisation]:
    """Return the operator and what belongs to it."""
    inside = Containment.objects.filter(ancestor_id=operator.pk).values("descendant_id")
    return Organisation.objects.filter(pk__in=inside).select_related("subject").order_by("subject__name")


# --- people


def _in_force(day: date) -> Q:
    return Q(valid_from__lte=day) & (Q(valid_to__isnull=True) | Q(valid_to__gt=day)) & Q(person__is_active=True)


def list_people(unit_id: int, roles: Iterable[str] = SERVING, *, on_date: date | None = None) -> list[Person]:
    """Return those who hold a role at the unit itself, in the order of their names."""
    day = on_date or timezone.localdate()
    grants = Grant.objects.filter(_in_force(day), scope_id=unit_id, role__in=list(roles))
    people = Person.objects.filter(pk__in=grants.values("person_id"))
    return list(people.order_by("full_name")[:MOST_TOLD])


def list_handlers(request: Request) -> QuerySet[Person]:
    """Return whom a request may be given to: who serves customers at its unit, its operator or in between."""
    day = timezone.localdate()
    reached = [pk for pk in (request.unit_id, request.work_id, request.operator_id) if pk is not None]
    above = Containment.objects.filter(descendant_id__in=reached).values("ancestor_id")
    grants = Grant.objects.filter(
        _in_force(day), role__in=SERVING, scope_id__in=above, scope__kind=Subject.Kind.ORGANISATION
    )
    return Person.objects.filter(pk__in=grants.values("person_id")).order_by("full_name")


def list_leaders(unit_id: int) -> list[Person]:
    """Return who leads the unit or an organisation that it belongs to, the closest first."""
    day = timezone.localdate()
    above = Containment.objects.filter(descendant_id=unit_id, ancestor__kind=Subject.Kind.ORGANISATION)
    grants = Grant.objects.filter(
        _in_force(day), scope_id__in=above.values("ancestor_id"), role=Grant.Role.LEADER
    ).values("person_id")  # fmt: skip
    return list(Person.objects.filter(pk__in=grants).order_by("full_name")[:MOST_TOLD])
