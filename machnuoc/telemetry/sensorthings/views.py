"""The door: who asks, what address, which answer. Everything goes through `serve`.

Source: OGC 18-088 (SensorThings API Part 1: Sensing, version 1.1), 9 and 10.
"""

import base64
import binascii
import itertools
import sqlite3
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import psycopg
from django import db
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import conditional_page

from machnuoc.core import tokens
from machnuoc.core.models import ApiToken, Person
from machnuoc.telemetry import payloads
from machnuoc.telemetry.models import Credential
from machnuoc.telemetry.quantities import QUANTITIES
from machnuoc.telemetry.sensorthings import answers, batches, bodies, entities, observations, world, writing
from machnuoc.telemetry.sensorthings.answers import Place, Writer
from machnuoc.telemetry.sensorthings.model import KINDS, Entity, in_path
from machnuoc.telemetry.sensorthings.options import NotThere, Options, QueryError, Step, read_options, read_path
from machnuoc.telemetry.sensorthings.world import Viewer, World

_DATABASE_AWAY = (sqlite3.OperationalError, psycopg.OperationalError, db.OperationalError, db.InterfaceError)
_USED_EVERY = timedelta(minutes=10)  # how exactly the last use of a token is kept
_SPEC = "http://www.opengis.net/spec/iot_sensing/1.1/req/"
CONFORMANCE = [
    _SPEC + part
    for part in (
        "datamodel", "resource-path/resource-path-to-entities", "request-data/status-code",
        "request-data/query-status-code", "request-data/order", "request-data/expand", "request-data/select",
        "request-data/orderby", "request-data/top", "request-data/skip", "request-data/count", "request-data/filter",
        "request-data/built-in-filter-operations", "request-data/pagination", "data-array/data-array",
        "batch-request/batch-request",
    )
]  # fmt: skip
PROVISIONING = (
    "Ở địa chỉ này không ghi được. Things, Locations, Sensors, Datastreams, ObservedProperties, FeaturesOfInterest "
    "(công trình, vị trí, thiết bị, kênh, đại lượng, nơi đo) tạo bằng POST vào tập của chúng, sửa tên "
    f"và mô tả bằng PATCH; phần còn lại và mã bí mật ở {bodies.DEVICES}."
)
# What a client must not look for, in the answer of the root: plainly, instead of by a missing line above.
NOT_THERE = [
    "PATCH và PUT chỉ đổi name, description của Things, Datastreams, Sensors và FeaturesOfInterest, properties.status "
    "của Things, metadata của Sensors, location của Locations, feature của FeaturesOfInterest, "
    "properties.featureOfInterest của Datastreams; phần còn lại, và mã bí mật của thiết bị, ở các trang của chương "
    "trình.",
    "Không xóa Things (cho dừng bằng properties.status); mỗi Thing có một Location, name và description của Location "
    "do chương trình đặt.",
    "ObservedProperties có sẵn của chương trình không sửa, xóa được; đại lượng đã có kênh thì giữ đơn vị và loại.",
    "FeatureOfInterest là của kênh (properties.featureOfInterest của Datastreams): mỗi Observation chỉ về nơi đo hiện "
    "nay của kênh, không tạo kèm Observation; hình là một điểm.",
    "DELETE chỉ xóa Sensors và Datastreams chưa từng có số đọc, ObservedProperties chưa dùng, FeaturesOfInterest không "
    "kênh nào dùng, vị trí của công trình.",
    "Không sửa, xóa Observations: gửi số khác cho cùng thời điểm là đính chính.",
    "$filter theo không gian chỉ có geo.distance, st_distance (mét) và st_within, cho điểm và đa giác; "
    "không có các hàm st_ và geo. khác.",
    "$batch: Observations và GET không đi trong changeset.",
    "Không có MultiDatastreams, mở rộng MQTT, không lọc hay sắp theo Observations từ tập khác.",
]
NO_CHANGE = (
    "Số đọc không sửa, không xóa qua SensorThings. Gửi (POST) số khác cho cùng thời điểm là đính chính; "
    "số cũ được giữ lại."
)


class Stranger(Exception):
    """A token that opens nothing; the text says so."""


class Refused(Exception):
    """An answer that is an error. allow: methods that are taken there, where another was used."""

    def __init__(self, status: int, message: str, allow: str = "") -> None:
        super().__init__(message)
        self.status, self.allow = status, allow


@csrf_exempt
@login_not_required
@conditional_page
def serve(request: HttpRequest, path: str = "") -> HttpResponse:
    """Answer a request of SensorThings; every error is JSON with a sentence."""
    root, now = request.build_absolute_uri("/sta/v1.1/"), timezone.now()
    if path.strip("/") == "$batch":
        return _answer(partial(_batch, request, root, now))
    return _answer(partial(_serve, request, path, root, now))


def _answer(act: Callable[[], HttpResponse]) -> HttpResponse:
    try:
        return act()
    except QueryError as error:
        return _error(400, str(error))
    except Stranger as error:
        response = _error(401, str(error))
        response["WWW-Authenticate"] = 'Bearer, Basic realm="SensorThings"'
        return response
    except writing.NotAllowed as error:
        return _error(403, str(error))
    except entities.Conflict as error:
        return _error(409, str(error))
    except NotThere:
        return _error(404, "Không có đối tượng này, hoặc nó nằm ngoài phạm vi của mã truy cập.")
    except Refused as error:
        response = _error(error.status, str(error))
        if error.allow:
            response["Allow"] = error.allow
        return response
    except (writing.NotYet, *_DATABASE_AWAY) as error:
        is_ours = isinstance(error, writing.NotYet)
        response = _error(503, str(error) if is_ours else "Cơ sở dữ liệu đang bận hoặc không sẵn sàng. Thử lại sau.")
        response["Retry-After"] = "5"
        return response


def _serve(request: HttpRequest, path: str, root: str, now: datetime) -> HttpResponse:
    steps = read_path(path)
    if request.method in ("GET", "HEAD", "OPTIONS"):
        viewer = _find_viewer(request, now)
        if request.method == "OPTIONS":
            response = HttpResponse(status=204)
            response["Allow"] = "GET, HEAD, OPTIONS, POST, PATCH, PUT, DELETE"
            return response
        return _read(request, steps, root, viewer, now)
    return _write(request, steps, root, now)


# --- who asks -------------------------------------------------------------------------------------------------------


def _find_viewer(request: HttpRequest, now: datetime) -> Viewer:
    """Return who asks: by token (Bearer, or as password of Basic), by the signed-in browser, or nobody."""
    secret = _secret(request)
    if secret is not None:
        return _find_by_secret(secret, now)
    person = getattr(request, "user", None)
    return Viewer(person=person) if isinstance(person, Person) else Viewer()


def _secret(request: HttpRequest) -> str | None:
    raw = request.headers.get("Authorization", "")
    scheme, _, value = raw.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _find_by_secret(secret: str, now: datetime) -> Viewer:
    token = tokens.find_token(secret, now=now) if secret.startswith(tokens.MARK) else None
    if token is not None:
        if token.last_used_at is None or now - token.last_used_at > _USED_EVERY:
            ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
        return Viewer(person=token.person, can_write=token.can_write)
    live = Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=now))
    found = Credential.objects.filter(live, token_sha256=tokens.hash_token(secret)).select_related("device").first()
    if found is None:
        raise Stranger(
            "Mã truy cập không đúng, đã hết hạn hoặc bị thu hồi. Gửi Authorization: Bearer <mã> (mã API của tài khoản, "
            "hoặc mã của thiết bị), hay bỏ tiêu đề này để chỉ đọc số liệu công bố."
        )
    return Viewer(device=found.device, can_write=True)


# --- reading --------------------------------------------------------------------------------------------------------


def _read(request: HttpRequest, steps: tuple[Step, ...], root: str, viewer: Viewer, now: datetime) -> HttpResponse:
    if not steps:
        return _json(_root_answer(root))
    # The gateway hands on the bytes of the address as Latin-1; who did not encode «ạ» sent it as UTF-8.
    query = request.META.get("QUERY_STRING", "").encode("latin-1", "replace").decode("utf-8", "replace")
    seen = world.load(viewer, observations.spans, _narrow(steps, query))
    is_links = steps[-1].name == "$ref"
    place = answers.follow(seen, steps[:-1] if is_links else steps)
    if place.rest:
        if is_links or query.lstrip("?").startswith("$"):
            raise QueryError("Địa chỉ của một thuộc tính không nhận tùy chọn nào.")
        return _property_answer(seen, place)
    options = read_options(query, place.kind)
    writer = Writer(seen, root, now)
    if place.entity is None:
        return _json(writer.set_answer(place, options, only_links=is_links))
    if is_links:
        return _json({"@iot.selfLink": writer.address(place.entity)})
    alone = {"$select", "$expand"}
    if any(name not in alone for name, _ in options.said):
        raise QueryError("Một đối tượng chỉ nhận $select và $expand.")
    return _json(writer.write_all([place.entity], options)[0])


def _narrow(steps: tuple[Step, ...], query: str) -> Q | None:
    """Return the condition on channels that a request below one thing stays within, None if it may leave it."""
    first = steps[0]
    is_wide = "ObservedPropert" in query or any(step.name.startswith("ObservedPropert") for step in steps)
    if first.id is None or is_wide:
        return None
    id_ = first.id
    place = world.read_place_id(id_) if first.name == "FeaturesOfInterest" else None
    if place is not None:
        return Q(device__work__measuring_places=place)
    if first.name == "Observations":
        key = observations.read_id(id_)
        id_ = key[0] if key else 0
    if not isinstance(id_, int) or not 0 < id_ < 2**31:
        return Q(pk__in=[])
    if first.name in ("Datastreams", "Observations"):
        return Q(device__work__devices__channels=id_)
    return Q(device__work__devices=id_) if first.name == "Sensors" else Q(device__work=id_)


def _root_answer(root: str) -> dict[str, Any]:
    return {
        "value": [{"name": name, "url": root + name} for name in KINDS],
        "serverSettings": {"conformance": CONFORMANCE, "urn:machnuoc:notThere": NOT_THERE},
    }


def _property_answer(seen: World, place: Place) -> HttpResponse:
    """Return one property of an entity, or with $value its bare text."""
    names = [step.name for step in place.rest]
    is_bare = names[-1] == "$value"
    if is_bare:
        names.pop()
    if place.entity is None or not names or any(step.id is not None for step in place.rest) or len(names) > 5:
        raise NotThere
    if names[0] not in place.kind.properties and names[0] not in ("id", "@iot.id"):
        raise NotThere
    value = answers.plain(seen.look_up(place.entity, tuple(names)))
    if value is None:
        return HttpResponse(status=204)
    if not is_bare:
        return _json({names[-1]: value})
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return HttpResponse(text, content_type="text/plain; charset=utf-8")


# --- writing --------------------------------------------------------------------------------------------------------


def _write(request: HttpRequest, steps: tuple[Step, ...], root: str, now: datetime) -> HttpResponse:
    names = [step.name for step in steps]
    is_arrays = names == ["CreateObservations"]
    is_set = names[-1:] == ["Observations"] and steps[-1].id is None
    if len(steps) == 1 and steps[0].id is not None:
        if request.method in ("PATCH", "PUT") and names[0] in _MADE:
            return _change(request, steps[0], root, now)
        if request.method == "DELETE" and names[0] in _DELETED:
            return _delete(request, steps[0], now)
    if request.method == "POST" and _is_to_create(steps):
        return _create(request, steps, root, now)
    if not is_arrays and not is_set:
        raise _not_here(steps)
    if request.method != "POST":
        raise Refused(405, NO_CHANGE, "POST" if is_arrays else "GET, HEAD, POST")
    channel = None if is_arrays else _channel_of(steps)
    secret = _secret(request)
    if secret is None:
        raise Stranger("Ghi cần mã truy cập: Authorization: Bearer <mã của thiết bị, hoặc mã API có quyền ghi>.")
    viewer = _find_writer(secret, now)
    body = _read_body(request)
    now_ms = payloads.to_ms(now)
    if is_arrays:
        return _create_many(viewer, writing.read_arrays(body, now_ms), root, now)
    sent = writing.read_one(body, channel, now_ms)
    found = writing.write(viewer, [sent], now)[0]
    if isinstance(found, str):
        raise QueryError(f"Observation không được nhận: {found}.")
    return _created(viewer, found, root, now)


def _find_writer(secret: str, now: datetime) -> Viewer:
    viewer = _find_by_secret(secret, now)
    if not viewer.can_write:
        raise writing.NotAllowed("Mã truy cập này chỉ được đọc. Tạo mã có quyền ghi ở trang Tài khoản.")
    return viewer


def _refuse_large(request: HttpRequest) -> None:
    if int(request.META.get("CONTENT_LENGTH") or 0) > payloads.MAX_PAYLOAD_BYTES:
        raise Refused(
            413, f"Một lần gửi không quá {payloads.MAX_PAYLOAD_BYTES // 1024 // 1024} MB. Chia nhỏ rồi gửi lại."
        )


def _read_body(request: HttpRequest) -> Any:
    _refuse_large(request)
    try:
        return msgspec.json.decode(request.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise QueryError("Nội dung không phải là JSON đọc được.") from None


def _person_viewer(request: HttpRequest, now: datetime) -> Viewer:
    secret = _secret(request)
    if secret is None:
        raise Stranger("Khai báo cần mã API có quyền ghi của người quản lý công trình: Authorization: Bearer <mã>.")
    return _find_writer(secret, now)


def _create(request: HttpRequest, steps: tuple[Step, ...], root: str, now: datetime) -> HttpResponse:
    """Make an entity; below another one, its link to that one is said by the address."""
    viewer = _person_viewer(request, now)
    body = _read_body(request)
    above = None
    if len(steps) == 2:
        is_quantity = steps[0].name == "ObservedProperties" and steps[0].id in QUANTITIES
        seen = world.load(viewer, observations.spans, None)
        above = Entity(KINDS["ObservedProperties"], steps[0].id or "", {}) if is_quantity else (
            answers.follow(seen, steps[:1]).entity
        )  # fmt: skip
    name = steps[-1].name
    id_ = entities.create(viewer, name, body, above, now)
    response = _json(_written(viewer, Step(name, id_), root, now), 201)
    response["Location"] = f"{root}{name}({in_path(id_)})"
    return response


def _change(request: HttpRequest, step: Step, root: str, now: datetime) -> HttpResponse:
    """Change what may be changed; what else is said must be as it is already."""
    viewer = _person_viewer(request, now)
    body = _read_body(request)
    entities.change(viewer, _find(viewer, step), body, _written(viewer, step, root, now))
    return _json(_written(viewer, step, root, now))


def _delete(request: HttpRequest, step: Step, now: datetime) -> HttpResponse:
    viewer = _person_viewer(request, now)
    entities.delete(viewer, _find(viewer, step))
    return HttpResponse(status=200)


def _find(viewer: Viewer, step: Step) -> Entity:
    entity = answers.follow(world.load(viewer, observations.spans, None), (step,)).entity
    if entity is None:
        raise NotThere
    return entity


def _written(viewer: Viewer, step: Step, root: str, now: datetime) -> dict[str, Any]:
    """Return an entity as it is answered now."""
    seen = world.load(viewer, observations.spans, None)
    entity = answers.follow(seen, (step,)).entity
    if entity is None:
        raise NotThere
    return Writer(seen, root, now).write_all([entity], Options())[0]


_MADE = ("Things", "Locations", "Datastreams", "Sensors", "ObservedProperties", "FeaturesOfInterest")
_DELETED = ("Locations", "Datastreams", "Sensors", "ObservedProperties", "FeaturesOfInterest")
_ABOVE = {"Datastreams": ("Things", "Sensors", "ObservedProperties"), "Locations": ("Things",)}


def _is_to_create(steps: tuple[Step, ...]) -> bool:
    if not steps or steps[-1].name not in _MADE or steps[-1].id is not None:
        return False
    below = steps[0].name in _ABOVE.get(steps[-1].name, ()) and steps[0].id is not None
    return len(steps) == 1 or (len(steps) == 2 and below)


def _not_here(steps: tuple[Step, ...]) -> Refused:
    """Return why nothing of this kind is written here and where it is, with what may be done instead."""
    names = [step.name for step in steps]
    if names[:1] == ["Observations"]:
        return Refused(405, NO_CHANGE, "GET, HEAD")
    name = names[-1] if names else ""
    allow = "GET, HEAD"
    if name in _MADE and len(steps) == 1:
        allow += ", POST" if steps[0].id is None else ", PATCH, PUT"
        allow += ", DELETE" if steps[0].id is not None and name in _DELETED else ""
    return Refused(405, entities.ELSEWHERE.get(name, PROVISIONING), allow)


def _channel_of(steps: tuple[Step, ...]) -> int | None:
    """Return the Datastream below which is written, None at Observations itself. Raises Refused."""
    if len(steps) == 1:
        return None
    if len(steps) == 2 and steps[0].name == "Datastreams" and isinstance(steps[0].id, int):
        return steps[0].id
    raise Refused(
        405, "Ghi Observation vào /Observations, /Datastreams(số)/Observations hoặc /CreateObservations.", "GET, HEAD"
    )


def _created(viewer: Viewer, key: tuple[int, int], root: str, now: datetime) -> HttpResponse:
    steps = (Step("Observations", f"{key[0]}:{key[1]}"),)
    seen = world.load(viewer, observations.spans, _narrow(steps, ""))
    writer = Writer(seen, root, now)
    place = answers.follow(seen, steps)
    if place.entity is None:
        raise NotThere
    response = _json(writer.write_all([place.entity], Options())[0], 201)
    response["Location"] = writer.address(place.entity)
    return response


def _create_many(viewer: Viewer, sent: list[writing.Sent], root: str, now: datetime) -> HttpResponse:
    """Store rows of values; answer with the address of each, or with «error: » and why, in the order they came."""
    found = writing.write(viewer, sent, now) if sent else []
    return _json(
        [
            f"error: {each}" if isinstance(each, str) else f"{root}Observations({in_path(f'{each[0]}:{each[1]}')})"
            for each in found
        ],
        201,
    )


# --- many requests in one -------------------------------------------------------------------------------------------

BATCH_WITHIN_S = 10.0
"""After so long no further request of a batch is begun."""
_NO_READINGS_IN_GROUPS = (
    "Observations không đi trong changeset: mỗi số đọc được nhận hoặc từ chối riêng và đều vào sổ, nên không có "
    "«tất cả hoặc không gì cả». Gửi thành yêu cầu riêng trong lô, hoặc dùng CreateObservations."
)
Made = dict[str, tuple[str, Any]]


class _Undo(Exception):
    """A request of a group failed: what the others did is taken back."""


def _batch(request: HttpRequest, root: str, now: datetime) -> HttpResponse:
    """Answer the requests of a batch one after the other, by the rights of who sent it; groups wholly or not at all."""
    if request.method != "POST":
        raise Refused(405, "$batch chỉ nhận POST.", "POST")
    content_type = request.headers.get("Content-Type", "")
    _refuse_large(request)
    asked = batches.read(content_type, request.body)
    prefers = request.headers.get("Prefer", "").replace(" ", "").lower()
    goes_on = "continue-on-error" in prefers and "continue-on-error=false" not in prefers
    until_s = time.monotonic() + BATCH_WITHIN_S
    found: list[batches.Answer] = []
    made: Made = {}
    for group, several in itertools.groupby(enumerate(asked), key=lambda pair: pair[1].group or pair[0]):
        if time.monotonic() > until_s:
            found.append(_as_part(next(several)[1], _error(503, "Lô quá lâu. Gửi lại các yêu cầu còn lại.")))
            break
        requests = [each for _, each in several]
        found += _do_together(request, requests, root, now, made) if isinstance(group, str) else [
            _do(request, requests[0], root, now, made)
        ]  # fmt: skip
        if found[-1].status >= 400 and not goes_on:
            break
    boundary = None if content_type.lower().startswith("application/json") else f"batch_{uuid.uuid4().hex}"
    body, written_as = batches.write(found, boundary)
    response = HttpResponse(body, content_type=written_as)
    response["Cache-Control"] = "private, no-store"
    return response


def _do_together(
    request: HttpRequest, asked: list[batches.Request], root: str, now: datetime, made: Made
) -> list[batches.Answer]:
    """Do requests of one group; return their answers, or the one of the first that failed, with nothing done."""
    found: list[batches.Answer] = []
    own = dict(made)
    try:
        with transaction.atomic():
            for each in asked:
                is_reading = "Observations" in unquote(each.url.partition("?")[0])
                found.append(
                    _as_part(each, _error(400, _NO_READINGS_IN_GROUPS))
                    if is_reading
                    else _do(request, each, root, now, own)
                )
                if found[-1].status >= 400:
                    raise _Undo
    except _Undo:
        return found[-1:]
    made.update(own)
    return found


def _do(request: HttpRequest, asked: batches.Request, root: str, now: datetime, made: Made) -> batches.Answer:
    response = _answer(partial(_do_inside, request, asked, root, now, made))
    location = response.get("Location", "")
    if response.status_code == 201 and asked.id and location.startswith(root):
        made[asked.id] = (location.removeprefix(root), msgspec.json.decode(response.content).get("@iot.id"))
    return _as_part(asked, response)


def _do_inside(request: HttpRequest, asked: batches.Request, root: str, now: datetime, made: Made) -> HttpResponse:
    url, body = batches.resolve(asked, made)
    parts = urlsplit(url)
    path = parts.path.removeprefix(urlsplit(root).path)
    if path.startswith("/") or path.strip("/") == "$batch" or (parts.netloc and not url.startswith(root)):
        raise QueryError(
            f"«{url[:80]}» không phải là địa chỉ của dịch vụ này. Dùng địa chỉ tương đối, ví dụ Things(1)."
        )
    inside = HttpRequest()
    inside.method = asked.method
    inside.META = {
        **{name: value for name, value in request.META.items() if name in _OF_THE_BATCH},
        "QUERY_STRING": parts.query.encode().decode("latin-1"), "CONTENT_LENGTH": str(len(body)),
    }  # fmt: skip
    inside._body = body
    inside.user = getattr(request, "user", None)  # type: ignore[assignment]
    return _serve(inside, unquote(path), root, now)


_OF_THE_BATCH = frozenset({"HTTP_AUTHORIZATION", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT"})


def _as_part(asked: batches.Request, response: HttpResponse) -> batches.Answer:
    headers = {name: response[name] for name in ("Content-Type", "Location", "Allow") if name in response}
    if not response.content:
        headers.pop("Content-Type", None)
    status, reason = response.status_code, response.reason_phrase
    return batches.Answer(asked.id, asked.group, status, reason, headers, response.content)


# --- answers --------------------------------------------------------------------------------------------------------


def _json(data: Any, status: int = 200) -> HttpResponse:
    response = HttpResponse(msgspec.json.encode(data), status=status, content_type="application/json; charset=utf-8")
    response["Cache-Control"] = "private, no-cache"  # to be kept by who asks, and asked for again by ETag
    return response


def _error(status: int, message: str) -> HttpResponse:
    return _json({"code": status, "type": "error", "message": message}, status)
