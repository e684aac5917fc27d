"""Connections for programs: pages by cursor, one by its code. Personal data is masked unless the token may `serve`."""

from datetime import date

from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Field, Query, Schema

from machnuoc.core.api import DEFAULT_PAGE, MAX_PAGE, Page, person_of, take_page
from machnuoc.core.models import Person
from machnuoc.customers import connection_queries, privacy, visibility
from machnuoc.customers.api import router
from machnuoc.customers.models import Connection, DataAccess


class ConnectionsFilter(Schema):
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)
    work_key: str = Field("", max_length=120)
    status: str = Field("", pattern="^(PENDING|ACTIVE|SUSPENDED|CUT_OFF|CLOSED)?$")
    group: str = Field("", pattern="^(SH|SH_NGHEO|HCSN|SX|KDDV)?$")


class ConnectionOut(Schema):
    code: str
    work_key: str
    status: str
    group: str
    origin: str
    households: int
    persons: int
    connected_date: date | None
    closed_date: date | None
    place_key: str | None
    route_code: str | None
    customer_code: str
    customer_kind: str
    name: str = Field(description="masked unless is_masked is false")
    phone: str
    address: str
    is_masked: bool
    is_simulated: bool


class ConnectionContractOut(Schema):
    number: str
    signed_date: date
    ended_date: date | None


class ConnectionDetailOut(ConnectionOut):
    latitude: float | None = Field(description="null where personal data is masked")
    longitude: float | None
    contracts: list[ConnectionContractOut]


def _out(one: Connection, *, unmasked: bool) -> dict[str, object]:
    shown = privacy.show(one.customer, one, unmasked=unmasked)
    return {
        "code": one.code, "work_key": one.work.subject.key, "status": one.status, "group": one.group,
        "origin": one.origin, "households": one.households, "persons": one.persons,
        "connected_date": one.connected_date, "closed_date": one.closed_date,
        "place_key": one.place.key if one.place else None, "route_code": one.route.code if one.route else None,
        "customer_code": one.customer.code, "customer_kind": one.customer.kind, "name": shown.name,
        "phone": shown.phone if shown.is_masked else one.customer.phone, "address": shown.address,
        "is_masked": shown.is_masked, "is_simulated": one.is_simulated,
    }  # fmt: skip


@router.get("/connections", response=Page[ConnectionOut], summary="Đấu nối trong phạm vi")
def list_connections(request: HttpRequest, asked: Query[ConnectionsFilter]) -> dict[str, object]:
    """Connections in scope, in the order of their entry. Each look at unmasked data is logged."""
    person: Person = person_of(request)
    rows = visibility.list_connections(person, connection_queries.action_of(person))
    if asked.work_key:
        rows = rows.filter(work__subject__key=asked.work_key)
    for name in ("status", "group"):
        if getattr(asked, name):
            rows = rows.filter(**{name: getattr(asked, name)})
    found, cursor = take_page(connection_queries.with_names(rows), cursor=asked.cursor, limit=asked.limit)
    served = visibility.served_among(person, found)
    privacy.log_access(person, DataAccess.What.LIST, now=timezone.now(), count=len(served), purpose="API")
    return {"items": [_out(one, unmasked=one.pk in served) for one in found], "next_cursor": cursor}


@router.get("/connections/{code}", response=ConnectionDetailOut, summary="Một đấu nối")
def get_connection(request: HttpRequest, code: str) -> dict[str, object]:
    """One connection with its contracts."""
    person: Person = person_of(request)
    try:
        one = connection_queries.get_connection(person, code)
    except Connection.DoesNotExist:
        raise Http404 from None
    is_served = visibility.may(person, "serve", one)
    if is_served:
        privacy.log_access(person, DataAccess.What.PAGE, now=timezone.now(), customer=one.customer, purpose="API")
    contracts = [
        {"number": row.number, "signed_date": row.signed_date, "ended_date": row.ended_date}
        for row in one.contracts.all()
    ]
    where = (one.latitude, one.longitude) if is_served else (None, None)
    return {**_out(one, unmasked=is_served), "latitude": where[0], "longitude": where[1], "contracts": contracts}
