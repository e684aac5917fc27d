"""What the API's rooms share: tokens, problem+json errors, cursor paging, ETags, idempotent writes.

Rooms define a `Router` in their `api.py`; `config.api_urls` puts them together.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, Generic, TypeVar

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from ninja import NinjaAPI, Schema
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.security import APIKeyCookie, HttpBearer

from machnuoc.core import tokens
from machnuoc.core.models import ApiToken, IdempotentWrite, Person

MAX_PAGE = 500
DEFAULT_PAGE = 100
T = TypeVar("T")


class BadQuery(ValueError):
    """A query of the API that asks for something impossible; the text says which parameter and why."""


class NotChanged(Exception):
    """Raised inside a write to answer what was answered before."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__()
        self.response = response


# --- who asks ---------------------------------------------------------------------------------------------------


class Token(HttpBearer):
    """A token of `core.ApiToken` in the Authorization header. It carries its person's grants."""

    def authenticate(self, request: HttpRequest, token: str) -> Person | None:
        now = timezone.now()
        found = tokens.find_token(token, now=now)
        if found is None:
            return None
        if found.last_used_at is None or now - found.last_used_at > timedelta(minutes=10):
            ApiToken.objects.filter(pk=found.pk).update(last_used_at=now)
        if request.method not in {"GET", "HEAD", "OPTIONS"} and not found.can_write:
            raise PermissionDenied("Mã truy cập này chỉ được đọc. Tạo mã có quyền ghi ở trang Tài khoản.")
        request.person = found.person  # type: ignore[attr-defined]
        return found.person


class Session(APIKeyCookie):
    """The signed-in browser, for reading the API from the pages; writes need the CSRF header as everywhere."""

    param_name = "machnuoc_session"

    def __init__(self) -> None:
        super().__init__(csrf=True)

    def authenticate(self, request: HttpRequest, key: str | None) -> Person | None:
        person = getattr(request, "user", None)
        if not isinstance(person, Person):
            return None
        request.person = person  # type: ignore[attr-defined]
        return person


def person_of(request: HttpRequest) -> Person:
    return request.person  # type: ignore[attr-defined, no-any-return]


# --- errors -----------------------------------------------------------------------------------------------------


class Problem(Schema):
    """An error as RFC 9457 wants it."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = None


def problem(status: int, title: str, detail: str, errors: list[dict[str, str]] | None = None) -> HttpResponse:
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if errors:
        body["errors"] = errors
    response = HttpResponse(
        json.dumps(body, ensure_ascii=False), status=status, content_type="application/problem+json; charset=utf-8"
    )
    if status == 401:
        response["WWW-Authenticate"] = "Bearer"
    return response


def add_error_answers(api: NinjaAPI, expected: tuple[type[Exception], ...]) -> None:
    """Let the API answer every error as problem+json. expected: failures of the rooms, shown with their text as 409."""

    @api.exception_handler(ValidationError)
    def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
        errors = [
            {"where": ".".join(str(part) for part in row["loc"]), "reason": str(row["msg"])} for row in error.errors
        ]
        return problem(422, "Yêu cầu không hợp lệ", "Xem lại các tham số nêu trong «errors».", errors)

    @api.exception_handler(AuthenticationError)
    def stranger(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
        return problem(401, "Cần xác thực", "Gửi tiêu đề Authorization: Bearer <mã truy cập> còn hiệu lực.")

    @api.exception_handler(PermissionDenied)
    def forbidden(request: HttpRequest, error: PermissionDenied) -> HttpResponse:
        return problem(403, "Không có quyền", str(error) or "Tài khoản không có quyền thực hiện việc này.")

    @api.exception_handler(Http404)
    def missing(request: HttpRequest, error: Http404) -> HttpResponse:
        return problem(404, "Không tìm thấy", "Không có đối tượng này, hoặc nó nằm ngoài phạm vi của tài khoản.")

    @api.exception_handler(HttpError)
    def other(request: HttpRequest, error: HttpError) -> HttpResponse:
        return problem(error.status_code, "Yêu cầu không thực hiện được", str(error))

    @api.exception_handler(BadQuery)
    def bad_query(request: HttpRequest, error: BadQuery) -> HttpResponse:
        return problem(422, "Yêu cầu không hợp lệ", str(error))

    @api.exception_handler(NotChanged)
    def said_before(request: HttpRequest, error: NotChanged) -> HttpResponse:
        return error.response

    for kind in expected:

        @api.exception_handler(kind)
        def refused(request: HttpRequest, error: Exception) -> HttpResponse:
            return problem(409, "Không thực hiện được", str(error))


_PROBLEMS = {
    "400": "The body is not JSON, or there is a NUL character",
    "401": "No token, or one that has ended",
    "403": "The token or its person may not do this",
    "404": "Not there, or outside the token's scope",
    "409": "Refused by a rule of the subject; the detail says which",
    "422": "A parameter, the body or the Idempotency-Key is not as described",
}


_IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "the same key with the same request answers what was answered before, and acts only once",
    "schema": {"type": "string", "maxLength": 120},
    "required": False,
}


def describe_problems(schema: dict[str, Any]) -> None:
    """Write into an OpenAPI document what all operations share: their errors, ETags, Idempotency-Key."""
    schema["components"]["schemas"]["Problem"] = Problem.model_json_schema()
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for operations in schema["paths"].values():
        for method, operation in operations.items():
            answers = operation["responses"]
            for status, text in _PROBLEMS.items():
                if method != "get" or status != "409":
                    answers.setdefault(status, {"description": text, "content": content})
            if method == "get":
                answers["304"] = {"description": "As at the time of the ETag in If-None-Match"}
            else:
                operation["parameters"].append(_IDEMPOTENCY_KEY)


def answer_wrong_method(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Let a method that an address does not know be answered with 405 as problem+json."""

    @wraps(view)
    def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        if response.status_code != 405:
            return response
        refused = problem(405, "Phương thức không dùng được", f"Địa chỉ này nhận: {response['Allow']}.")
        refused["Allow"] = response["Allow"]
        return refused

    return answered


# --- paging -----------------------------------------------------------------------------------------------------


class Page(Schema, Generic[T]):
    items: list[T]
    next_cursor: str | None = None


def take_page(rows: QuerySet[Any], *, cursor: str, limit: int) -> tuple[list[Any], str | None]:
    """Return one page in the order of the primary key, and the cursor of the next page (None at the end).

    rows: objects, or tuples that begin with the primary key.
    Raises BadQuery for a cursor that this API did not give.
    """
    if cursor:
        rows = rows.filter(pk__gt=_read_cursor(cursor))
    found = list(rows.order_by("pk")[: limit + 1])
    if len(found) <= limit:
        return found, None
    last: Model | tuple[Any, ...] = found[limit - 1]
    pk = last[0] if isinstance(last, tuple) else last.pk
    return found[:limit], base64.urlsafe_b64encode(f"v1:{pk}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        version, _, key = text.partition(":")
        if version != "v1" or not key.isdecimal() or int(key) >= 2**63:
            raise ValueError
    except (binascii.Error, ValueError):
        raise BadQuery("cursor: không phải con trỏ trang mà API này đã cấp. Bắt đầu lại không có cursor.") from None
    return int(key)


# --- writes -----------------------------------------------------------------------------------------------------


def idempotent(view: Callable[..., tuple[int, Any]]) -> Callable[..., HttpResponse]:
    """Let a write under the same Idempotency-Key answer what it answered the first time, and act only once.

    The view returns (status, plain data). The act and its answer are stored in one transaction.
    """

    @wraps(view)
    def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        key = request.headers.get("Idempotency-Key", "")
        if len(key) > 120:
            raise BadQuery("Idempotency-Key: dài quá 120 ký tự.")
        if not key:
            with transaction.atomic():
                status, data = view(request, *args, **kwargs)
            return answer_json(status, data)
        person = person_of(request)
        wanted = hashlib.sha256(
            b"\n".join([request.method.encode(), request.path.encode(), request.body])  # type: ignore[union-attr]
        ).hexdigest()
        _answer_again(person, key, wanted)
        try:
            with transaction.atomic():
                status, data = view(request, *args, **kwargs)
                response = answer_json(status, data)
                IdempotentWrite.objects.create(
                    person=person, key=key, request_hash=wanted, status=status, body=response.content.decode()
                )
        except IntegrityError:  # the same key at the same moment: the other one acted
            _answer_again(person, key, wanted)
            raise
        return response

    return answered


def _answer_again(person: Person, key: str, wanted: str) -> None:
    before = IdempotentWrite.objects.filter(person=person, key=key).first()
    if before is None:
        return
    if before.request_hash != wanted:
        raise BadQuery("Idempotency-Key: khóa này đã dùng cho một yêu cầu khác. Dùng khóa mới.")
    raise NotChanged(HttpResponse(before.body, status=before.status, content_type="application/json; charset=utf-8"))


def answer_json(status: int, data: Any) -> HttpResponse:
    """Answer plain data as they are: for long lists, which pydantic would check and copy member by member."""
    return HttpResponse(
        json.dumps(data, ensure_ascii=False, default=str), status=status, content_type="application/json; charset=utf-8"
    )
