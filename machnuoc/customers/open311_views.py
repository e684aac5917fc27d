"""Open311 GeoReport v2: services, requests and tokens, as JSON and XML, with a key (a token of the API) or without.

Without a key the public rules hold: what citizens may report is taken, few of it from one address; what is told of a
request is its kind, its state and about where it is (a hundred metres), never its words, and complaints about bills and
reports of violations are not listed. A key of a person who serves there reads the words, and the look is written down.
jurisdiction_id is the key of an operator; without one, the place decides whose a request is.
"""

import re
import secrets
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.csrf import csrf_exempt
from lxml import etree

from machnuoc.core import tokens
from machnuoc.core.models import Person
from machnuoc.core.periods import LOCAL_ZONE
from machnuoc.customers import (
    privacy,
    request_categories,
    request_operations,
    request_queries,
    request_spam,
    visibility,
)
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Category, DataAccess, Request, RequestEvent
from machnuoc.places.models import Organisation

MOST = 1_000
LONGEST = timedelta(days=90)
_ITEM = {
    "services": "service", "service_requests": "request", "errors": "error", "attributes": "attribute",
    "values": "value",
}  # fmt: skip


_ILLEGAL_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class Refused(Exception):
    """A request of Open311 that is answered with an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


# --- answering


def _answer(kind: str, root: str, found: Any, status: int = 200) -> HttpResponse:
    if kind == "json":
        answer: HttpResponse = JsonResponse(found, safe=False, status=status, json_dumps_params={"ensure_ascii": False})
        answer["Content-Type"] = "application/json; charset=utf-8"
    else:
        content = etree.tostring(_element(root, found), xml_declaration=True, encoding="utf-8")
        answer = HttpResponse(content, status=status, content_type="text/xml; charset=utf-8")
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Cache-Control"] = "private, no-store"
    return answer


def _element(name: str, found: Any) -> etree._Element:
    made = etree.Element(name)
    if isinstance(found, dict):
        for key, value in found.items():
            made.append(_element(key, value))
    elif isinstance(found, list | tuple):
        for value in found:
            made.append(_element(_ITEM.get(name, "item"), value))
    elif found is not None:
        text = str(found).lower() if isinstance(found, bool) else str(found)
        made.text = _ILLEGAL_XML.sub("", text)
    return made


def _open(*methods: str) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """Let everybody in, answer failures as the standard has it, and refuse other methods."""

    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @csrf_exempt
        @login_not_required
        @wraps(view)
        def answered(request: HttpRequest, kind: str, **kwargs: Any) -> HttpResponse:
            if request.method not in methods:
                response = _fail(kind, 405, f"Địa chỉ này nhận: {', '.join(methods)}.")
                response["Allow"] = ", ".join(methods)
                return response
            try:
                return view(request, kind, **kwargs)
            except Refused as reason:
                return _fail(kind, reason.status, str(reason))
            except CustomersError as reason:
                return _fail(kind, 400, str(reason))

        return answered

    return decorate


def _fail(kind: str, status: int, text: str) -> HttpResponse:
    return _answer(kind, "errors", [{"code": status, "description": text}], status)


# --- who asks, where


def _person(request: HttpRequest, *, writing: bool = False) -> Person | None:
    """Return whose key was given, None without one. Raises Refused for a key that opens nothing."""
    key = request.POST.get("api_key") or request.GET.get("api_key") or ""
    if not key:
        return None
    found = tokens.find_token(key[:200], now=timezone.now())
    if found is None:
        raise Refused(403, "api_key không đúng hoặc đã hết hạn.")
    if writing and not found.can_write:
        raise Refused(403, "api_key này chỉ được đọc. Tạo mã có quyền ghi ở trang Tài khoản.")
    return found.person


def _operator(request: HttpRequest) -> Organisation | None:
    """Return the operator that jurisdiction_id names, None without one. Raises Refused."""
    wanted = request.POST.get("jurisdiction_id") or request.GET.get("jurisdiction_id") or ""
    if not wanted:
        return None
    found = (
        Organisation.objects.filter(subject__key=wanted[:120], works__isnull=False).select_related("subject").first()
    )
    if found is None:
        raise Refused(404, "jurisdiction_id không phải khóa của một đơn vị cấp nước trong hệ thống.")
    return found


# --- services


def _service(category: Category) -> dict[str, Any]:
    limit = request_categories.limit_text(category)
    return {
        "service_code": category.key, "service_name": category.name,
        "description": f"{category.description} Hạn trả lời: {limit}.".strip(), "metadata": True, "type": "realtime",
        "keywords": "cấp nước", "group": "Vi phạm" if category.is_violation else "Dịch vụ cấp nước",
    }  # fmt: skip


@_open("GET", "HEAD")
def services(request: HttpRequest, kind: str) -> HttpResponse:
    _operator(request)
    found = [_service(one) for one in request_categories.list_active() if one.is_public]
    return _answer(kind, "services", found)


@_open("GET", "HEAD")
def service(request: HttpRequest, kind: str, code: str) -> HttpResponse:
    """Give what may be said beside the standard's own arguments."""
    _operator(request)
    category = Category.objects.filter(key=code, is_active=True, is_public=True).first()
    if category is None:
        raise Refused(404, f"Không có service_code {code[:40]}.")
    attributes = [
        {
            "variable": True, "code": "connection_code", "datatype": "string", "required": False, "order": 1,
            "datatype_description": "Chữ và số, như trên hóa đơn", "description": "Mã đấu nối", "values": [],
        },
        {
            "variable": True, "code": "urgency", "datatype": "singlevaluelist", "required": False, "order": 2,
            "datatype_description": "", "description": "Mức độ",
            "values": [{"key": value, "name": label} for value, label in Request.Urgency.choices],
        },
    ]  # fmt: skip
    return _answer(kind, "service_definition", {"service_code": category.key, "attributes": attributes})


# --- requests


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(LOCAL_ZONE).isoformat(timespec="seconds")


def _status(row: Request) -> str:
    standing = request_queries.standing_of(row)
    return "open" if standing.state in request_queries.OPEN_STATES else "closed"


def _describe(row: Request, *, unmasked: bool) -> dict[str, Any]:
    """Return a request as the standard has it. unmasked: its words and exact place too."""
    standing = request_queries.standing_of(row)
    answers = [one.text for one in row.events.all() if one.kind == RequestEvent.Kind.ANSWER and one.is_public]
    if standing.pk != row.pk and unmasked:
        shared = RequestEvent.objects.filter(request=standing, kind=RequestEvent.Kind.ANSWER, is_public=True)
        answers += list(shared.values_list("text", flat=True))
    point: dict[str, Any] = {"lat": row.latitude, "long": row.longitude}
    if not unmasked:
        point = {key: round(value, 3) if value is not None else None for key, value in point.items()}
    updated = max(filter(None, [row.received_at, row.clock_from_at, standing.answered_at, standing.closed_at]))
    return {
        "service_request_id": row.code, "status": _status(row),
        "status_notes": answers[-1] if answers and unmasked else standing.get_state_display(),
        "service_name": row.category.name, "service_code": row.category.key,
        "description": row.text if unmasked else None,
        "agency_responsible": row.unit.subject.name if row.unit else None,
        "service_notice": "Số liệu mô phỏng." if row.is_simulated else None,
        "requested_datetime": _moment(row.received_at), "updated_datetime": _moment(updated),
        "expected_datetime": _moment(standing.due_at),
        "address": (row.address if unmasked else None) or (row.place.name if row.place else None),
        "address_id": None, "zipcode": None, **point, "media_url": None,
    }  # fmt: skip


@_open("GET", "HEAD", "POST")
def requests(request: HttpRequest, kind: str) -> HttpResponse:
    return _take(request, kind) if request.method == "POST" else _list(request, kind)


def _rows(person: Person | None, operator: Organisation | None) -> Any:
    rows = Request.objects.select_related("category", "unit__subject", "place", "merged_into").prefetch_related(
        "events"
    )
    if operator is not None:
        rows = rows.filter(operator=operator)
    if person is not None:
        return rows.filter(request_queries.within(person, "view"))
    return rows.filter(category__is_public=True, category__is_bill_dispute=False, category__is_violation=False)


def _shown(rows: Iterable[Request], person: Person | None) -> list[dict[str, Any]]:
    found = list(rows)
    served = request_queries.served_among(person, found) if person else frozenset()
    privacy.log_access(
        person, DataAccess.What.LIST, now=timezone.now(), count=len(served), purpose="Đọc phản ánh qua Open311"
    )
    return [_describe(one, unmasked=one.pk in served) for one in found]


def _list(request: HttpRequest, kind: str) -> HttpResponse:
    person, operator, now = _person(request), _operator(request), timezone.now()
    rows = _rows(person, operator)
    asked = request.GET
    ids = [one for one in asked.get("service_request_id", "").split(",") if one][:100]
    if ids:  # the other arguments then say nothing, says the standard
        return _answer(kind, "service_requests", _shown(rows.filter(code__in=ids).order_by("pk"), person))
    start, end = _read_moment(asked.get("start_date", "")), _read_moment(asked.get("end_date", ""))
    end = end or (start + LONGEST if start else now)
    start = start or end - LONGEST
    if end < start or end - start > LONGEST:
        raise Refused(400, f"start_date và end_date cách nhau tối đa {LONGEST.days} ngày.")
    rows = rows.filter(received_at__gte=start, received_at__lte=end)
    codes = [one for one in asked.get("service_code", "").split(",") if one][:50]
    if codes:
        rows = rows.filter(category__key__in=codes)
    wanted = {one for one in asked.get("status", "").lower().split(",") if one}
    if not wanted <= {"open", "closed"}:
        raise Refused(400, "status chỉ nhận open, closed.")
    if wanted == {"open"}:
        rows = rows.filter(request_queries.is_open())
    elif wanted == {"closed"}:
        rows = rows.exclude(request_queries.is_open())
    return _answer(kind, "service_requests", _shown(rows.order_by("-received_at", "-pk")[:MOST], person))


def _read_moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = parse_datetime(text[:40].replace(" ", "+"))
    except ValueError:
        moment = None
    if moment is None or not 1900 <= moment.year <= 2200:
        raise Refused(400, f"«{text[:40]}» không phải thời điểm W3C như 2026-07-06T08:00:00+07:00.")
    return moment if moment.tzinfo else moment.replace(tzinfo=LOCAL_ZONE)


@_open("GET", "HEAD")
def one_request(request: HttpRequest, kind: str, code: str) -> HttpResponse:
    """Give one request, by its code, or by its secret token, which tells what its sender is told."""
    person, operator = _person(request), _operator(request)
    by_token = Request.objects.select_related("category", "unit__subject", "place", "merged_into").prefetch_related(
        "events"
    )
    row = by_token.filter(token=code).first() if len(code) == 43 else None
    if row is not None:
        return _answer(kind, "service_requests", [_describe(row, unmasked=True)])
    found = _rows(person, operator).filter(code__iexact=code).first()
    if found is None:
        raise Refused(404, f"Không có phản ánh {code[:30]}, hoặc phản ánh không công khai.")
    return _answer(kind, "service_requests", _shown([found], person))


@_open("GET", "HEAD")
def token(request: HttpRequest, kind: str, token: str) -> HttpResponse:
    """Give the id that a token stands for: here at once, since ids are given at receipt."""
    row = Request.objects.filter(token=token).first()
    if row is None:
        raise Refused(404, "Không có phản ánh nào của token này.")
    return _answer(kind, "service_requests", [{"service_request_id": row.code, "token": token}])


def _take(request: HttpRequest, kind: str) -> HttpResponse:
    """Take a request of another program down."""
    now = timezone.now()
    person, operator = _person(request, writing=True), _operator(request)
    said = request.POST
    category = Category.objects.filter(key=said.get("service_code", "")[:40], is_active=True).first()
    if category is None or (person is None and not category.is_public):
        raise Refused(404 if said.get("service_code") else 400, "service_code thiếu hoặc không có.")
    address_hash = "" if person else request_spam.address_hash(request)
    if person is None and request_spam.is_over(address_hash, now):
        raise Refused(429, "Quá nhiều phản ánh từ địa chỉ mạng này. Thử lại sau, hoặc dùng api_key.")
    latitude, longitude = _degrees(said.get("lat", ""), 90, "lat"), _degrees(said.get("long", ""), 180, "long")
    if (latitude is None) != (longitude is None):
        raise Refused(400, "Gửi cả lat và long.")
    connection = None
    if code := said.get("attribute[connection_code]", "").strip()[:24]:
        if person is None:  # a stranger may name a connection; whether there is one is not told
            said_too = f"\n(Mã đấu nối người gửi nêu: {code})"
        else:
            found = visibility.list_connections(person, "serve").filter(code__iexact=code)
            connection = found.select_related("work__operator__subject", "work__team__subject", "place").first()
            if connection is None:
                raise Refused(400, f"Không có đấu nối {code} trong phạm vi của api_key.")
            said_too = ""
    else:
        said_too = ""
    urgency = said.get("attribute[urgency]", "") or Request.Urgency.NORMAL
    if urgency not in Request.Urgency.values:
        raise Refused(400, f"attribute[urgency] chỉ nhận {', '.join(Request.Urgency.values)}.")
    media = said.get("media_url", "").strip()[:300]
    if media and urlsplit(media).scheme in {"http", "https"}:
        said_too += f"\n(Ảnh người gửi nêu: {media})"  # it is not fetched: the address is a stranger's
    name = " ".join(filter(None, [said.get("last_name", "").strip(), said.get("first_name", "").strip()]))
    details = {
        "category": category, "text": f"{said.get('description', '').strip()}{said_too}", "connection": connection,
        "operator": operator, "latitude": latitude, "longitude": longitude,
        "address": said.get("address_string", "")[:300],
        "urgency": urgency, "name": name[:160], "phone": said.get("phone", "")[:20],
        "email": _email(said.get("email", "")),
    }  # fmt: skip
    if person is None and latitude is None and connection is None and operator is None:
        raise Refused(400, "Gửi lat và long, hoặc jurisdiction_id, để biết đơn vị nào xử lý.")
    made, _ = request_operations.receive_once(
        secrets.token_hex(16), address_hash=address_hash, now=now, by=person, channel=Request.Channel.OPEN311, **details
    )  # fmt: skip
    found_out: dict[str, Any] = {
        "service_request_id": made.code, "service_notice": f"Hạn trả lời: {request_categories.limit_text(category)}.",
        "account_id": None, "token": made.token,
    }  # fmt: skip
    return _answer(kind, "service_requests", [found_out], 201)


def _email(text: str) -> str:
    text = text.strip()[:254]
    return text if "@" in text and " " not in text else ""


def _degrees(text: str, most: int, name: str) -> float | None:
    if not text.strip():
        return None
    try:
        value = float(text[:30])
    except ValueError:
        value = float("nan")
    if not -most <= value <= most:
        raise Refused(400, f"{name} phải là độ thập phân từ -{most} đến {most}.")
    return value
