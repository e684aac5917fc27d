"""Readings for programs: what was read, by connection or month; one reading sent in, judged as any other."""

import uuid
from datetime import date, datetime
from typing import Any

from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Field, Query, Schema

from machnuoc.core.api import DEFAULT_PAGE, MAX_PAGE, BadQuery, Page, idempotent, person_of, take_page
from machnuoc.core.periods import BadPeriod, Period
from machnuoc.customers import readings, visibility
from machnuoc.customers.api import router
from machnuoc.customers.models import Connection, Reading
from machnuoc.places import access


class MeterReadingOut(Schema):
    id: int
    connection_code: str
    period: str | None = Field(description="the month that it closes, such as 2026-08")
    read_at: datetime
    index_l: int | None = Field(description="litres; null: not seen, for the reason no_access")
    no_access: str
    kind: str
    source: str
    state: str
    rolled_over: bool
    flags: list[str]
    is_simulated: bool


class MeterReadingFilter(Schema):
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)
    connection_code: str = Field("", max_length=24)
    period: str = Field("", max_length=10)
    state: str = Field("", pattern="^(ACCEPTED|SUSPECT|CONFLICT|REFUSED|SUPERSEDED)?$")


class MeterReadingIn(Schema):
    connection_code: str = Field(max_length=24)
    read_at: datetime
    index_l: int | None = Field(None, ge=0, description="litres")
    no_access: str = Field("", pattern="^(LOCKED|DOG|BURIED|FOGGED|BROKEN|FLOODED|REFUSED|OTHER)?$")
    period: str = Field("", max_length=10, description="empty: the month whose reading day is nearest")
    confirmed_flags: list[str] = Field(default_factory=list, max_length=20)
    client_id: uuid.UUID | None = None
    note: str = Field("", max_length=300)


class MeterReadingFateOut(Schema):
    fate: str = Field(description="STORED, SUSPECT, CONFLICT or DUPLICATE")
    reason: str
    flags: list[str]
    volume_l: int | None
    reading_id: int | None


def _month(text: str) -> date | None:
    if not text:
        return None
    try:
        period = Period.parse(text)
    except BadPeriod as reason:
        raise BadQuery(f"period: {reason}") from None
    if period.kind != "M":
        raise BadQuery("period: chỉ nhận tháng, ví dụ 2026-08.")
    return period.start_date


@router.get("/readings", response=Page[MeterReadingOut], summary="Chỉ số đồng hồ")
def list_readings(request: HttpRequest, asked: Query[MeterReadingFilter]) -> dict[str, Any]:
    """Readings in scope, in the order of their arrival. No personal data."""
    person = person_of(request)
    action = "serve" if access.may(person, "serve") else "read_meters" if access.may(person, "read_meters") else "view"
    rows = Reading.objects.filter(visibility.within(person, action, "connection__")).select_related("connection")
    if asked.connection_code:
        rows = rows.filter(connection__code=asked.connection_code)
    if (month := _month(asked.period)) is not None:
        rows = rows.filter(period_start_date=month)
    if asked.state:
        rows = rows.filter(state=asked.state)
    found, cursor = take_page(rows, cursor=asked.cursor, limit=asked.limit)
    items = [
        {
            "id": one.pk, "connection_code": one.connection.code,
            "period": f"{one.period_start_date:%Y-%m}" if one.period_start_date else None, "read_at": one.read_at,
            "index_l": one.index_l, "no_access": one.no_access, "kind": one.kind, "source": one.source,
            "state": one.state, "rolled_over": one.rolled_over, "flags": one.flags, "is_simulated": one.is_simulated,
        }
        for one in found
    ]  # fmt: skip
    return {"items": items, "next_cursor": cursor}


@router.post("/readings", response={200: MeterReadingFateOut}, summary="Gửi một chỉ số")
@idempotent
def send_reading(request: HttpRequest, said: MeterReadingIn) -> tuple[int, Any]:
    """Take one reading. What is odd is kept and waits for a person; nothing is overwritten."""
    person = person_of(request)
    access.require(person, "read_meters")
    connection = visibility.list_connections(person, "read_meters").filter(code=said.connection_code).first()
    if not isinstance(connection, Connection):
        raise Http404("no such connection")
    outcome = readings.take_reading(
        connection, read_at=said.read_at, index_l=said.index_l, no_access=said.no_access, person=person,
        source=Reading.Source.OFFICE, client_id=said.client_id, note=said.note, confirmed_flags=said.confirmed_flags,
        period_start_date=_month(said.period), now=timezone.now(),
    )  # fmt: skip
    return 200, MeterReadingFateOut(
        fate=outcome.fate, reason=outcome.reason, flags=list(outcome.flags), volume_l=outcome.volume_l,
        reading_id=outcome.reading.pk if outcome.reading else None,
    )  # fmt: skip
