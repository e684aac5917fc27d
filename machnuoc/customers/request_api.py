"""Requests and complaints for programs. Words and senders are told to whoever serves there; each look is logged."""

from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Field, Query, Schema

from machnuoc.core.api import DEFAULT_PAGE, MAX_PAGE, BadQuery, Page, answer_json, idempotent, person_of, take_page
from machnuoc.core.periods import BadPeriod, Period
from machnuoc.customers import privacy, request_operations, request_queries, visibility
from machnuoc.customers.api import router
from machnuoc.customers.models import Category, DataAccess, Request
from machnuoc.places import access
from machnuoc.works.models import Work


class ComplaintOut(Schema):
    code: str
    category: str = Field(description="its key; see /open311/v2/services.json")
    channel: str
    urgency: str
    state: str
    work_key: str | None
    unit_key: str | None
    connection_code: str | None = Field(description="under serve only")
    received_at: datetime
    due_at: datetime | None = Field(description="empty where no limit is known; a midnight ends the day before")
    answered_at: datetime | None
    text: str | None = Field(description="under serve only")
    name: str = Field(description="masked without serve")
    phone: str = Field(description="masked without serve")
    rating: int | None
    is_simulated: bool
    version: int


class ComplaintFilter(Schema):
    state: str = Field("", pattern="^(open|NEW|ASSIGNED|ANSWERED|CLOSED|MERGED|REJECTED)?$")
    category: str = Field("", max_length=40)
    work_key: str = Field("", max_length=120)
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)


class ComplaintIn(Schema):
    category: str = Field(max_length=40)
    channel: str = Field("PHONE", pattern="^(PHONE|COUNTER|FIELD)$")
    text: str = Field(min_length=5, max_length=request_operations.TEXT_MAX)
    connection_code: str = Field("", max_length=24)
    work_key: str = Field("", max_length=120)
    latitude: float | None = Field(None, ge=-90, le=90)
    longitude: float | None = Field(None, ge=-180, le=180)
    address: str = Field("", max_length=300)
    urgency: str = Field("NORMAL", pattern="^(LOW|NORMAL|HIGH|EMERGENCY)$")
    name: str = Field("", max_length=160)
    phone: str = Field("", max_length=20)


class ComplaintPeriod(Schema):
    period: str = Field(max_length=10, description="2026-07, 2026-Q3, 2026")


class AnswerIn(Schema):
    text: str = Field(min_length=5, max_length=request_operations.TEXT_MAX)
    version: int = Field(ge=1, description="as read: of two who answer at once one is refused")


class ComplaintStatistics(Schema):
    period: str
    received: int
    answered: int
    with_limit: int
    in_time: int
    median_hours: float | None
    p90_hours: float | None
    open: int
    overdue: int
    ratings: int
    rating_mean: float | None


def _describe(row: Request, served: frozenset[int]) -> dict[str, Any]:
    unmasked = row.pk in served
    return {
        "code": row.code,
        "category": row.category.key,
        "channel": row.channel,
        "urgency": row.urgency,
        "state": row.state,
        "work_key": row.work.subject.key if row.work else None,
        "unit_key": row.unit.subject.key if row.unit else None,
        "connection_code": row.connection.code if unmasked and row.connection else None,
        "received_at": row.received_at.isoformat(),
        "due_at": row.due_at.isoformat() if row.due_at else None,
        "answered_at": row.answered_at.isoformat() if row.answered_at else None,
        "text": row.text if unmasked else None,
        "name": row.name if unmasked else privacy.mask_name(row.name),
        "phone": row.phone if unmasked else privacy.mask_phone(row.phone),
        "rating": row.rating,
        "is_simulated": row.is_simulated,
        "version": row.version,
    }


def _rows(request: HttpRequest) -> Any:
    rows = request_queries.visible(person_of(request))
    return rows.select_related("category", "work__subject", "unit__subject", "connection")


def _described(request: HttpRequest, rows: list[Request]) -> list[dict[str, Any]]:
    person = person_of(request)
    served = request_queries.served_among(person, rows)
    privacy.log_access(
        person, DataAccess.What.LIST, now=timezone.now(), count=len(served), purpose="Đọc phản ánh qua API"
    )
    return [_describe(row, served) for row in rows]


@router.get("/complaints", response=Page[ComplaintOut], summary="Requests and complaints")
def list_complaints(request: HttpRequest, wanted: Query[ComplaintFilter]):  # type: ignore[no-untyped-def]
    rows = _rows(request)
    if wanted.state == "open":
        rows = rows.filter(state__in=request_queries.OPEN_STATES)
    elif wanted.state:
        rows = rows.filter(state=wanted.state)
    if wanted.category:
        rows = rows.filter(category__key=wanted.category)
    if wanted.work_key:
        rows = rows.filter(work__subject__key=wanted.work_key)
    found, cursor = take_page(rows, cursor=wanted.cursor, limit=wanted.limit)
    return answer_json(200, {"items": _described(request, found), "next_cursor": cursor})


@router.get("/complaints/statistics", response=ComplaintStatistics, summary="Received, answered in time, hours")
def complaint_statistics(request: HttpRequest, wanted: Query[ComplaintPeriod]):  # type: ignore[no-untyped-def]
    try:
        chosen = Period.parse(wanted.period)
    except BadPeriod as reason:
        raise BadQuery(f"period: {reason}") from None
    total = request_queries.statistics(chosen, rows=request_queries.visible(person_of(request))).total
    names = ComplaintStatistics.model_fields.keys() - {"period"}
    return answer_json(200, {"period": chosen.key, **{name: getattr(total, name) for name in names}})


@router.get("/complaints/{code}", response=ComplaintOut, summary="One request")
def get_complaint(request: HttpRequest, code: str):  # type: ignore[no-untyped-def]
    return answer_json(200, _described(request, [_get(request, code)])[0])


def _get(request: HttpRequest, code: str) -> Request:
    found: Request | None = _rows(request).filter(code=code).first()
    if found is None:
        raise Http404(f"no request {code[:30]} in scope")
    return found


@router.post("/complaints", response={201: ComplaintOut}, summary="Take a request down")
@idempotent
def add_complaint(request: HttpRequest, body: ComplaintIn):  # type: ignore[no-untyped-def]
    person = person_of(request)
    access.require(person, "serve")
    category = Category.objects.filter(key=body.category, is_active=True).first()
    if category is None:
        raise BadQuery(f"category: không có loại phản ánh {body.category}.")
    connection = work = None
    if body.connection_code:
        found = visibility.list_connections(person, "serve").filter(code=body.connection_code)
        connection = found.select_related("work__operator__subject", "work__team__subject", "place").first()
        if connection is None:
            raise Http404("no such connection in scope")
    elif body.work_key:
        works = Work.objects.filter(subject__key=body.work_key)
        work = works.select_related("operator__subject", "team__subject", "subject").first()
        if work is None:
            raise Http404("no such work")
        visibility.require_work(person, "serve", work.pk)
    if (body.latitude is None) != (body.longitude is None):
        raise BadQuery("latitude, longitude: gửi cả hai.")
    made = request_operations.receive(
        category=category, channel=body.channel, text=body.text, now=timezone.now(), by=person, connection=connection,
        work=work, latitude=body.latitude, longitude=body.longitude, address=body.address, urgency=body.urgency,
        name=body.name, phone=body.phone,
    )  # fmt: skip
    return 201, _describe(made, frozenset({made.pk}))


@router.post("/complaints/{code}/answer", response=ComplaintOut, summary="Answer a request")
@idempotent
def answer_complaint(request: HttpRequest, code: str, body: AnswerIn):  # type: ignore[no-untyped-def]
    person, row = person_of(request), _get(request, code)
    if not request_queries.may(person, "serve", row):
        raise PermissionDenied("Chỉ người tiếp nhận và xử lý phản ánh ở đơn vị này mới trả lời được.")
    done = request_operations.answer(row, text=body.text, by=person, now=timezone.now(), version=body.version)
    return 200, _describe(done, frozenset({done.pk}))
