"""Several requests in one: what a body of $batch says, and how the answers are written. Pure.

Source: OGC 18-088 (SensorThings API Part 1: Sensing, version 1.1), 11: multipart/mixed, adapted from OData 4.0 Part 1,
11.7. JSON as of OData 4.01 (JSON Format 19), which clients of FROST send, is read too.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from machnuoc.telemetry.sensorthings.options import QueryError

PARTS_MAX = 200
GROUP_MAX = 20  # written in one transaction, while others wait
_METHODS = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE"})
_BOUNDARY = re.compile(r'boundary=(?:"([^"\r\n]{1,70})"|([0-9A-Za-z\'()+_,./:=?-]{1,70}))', re.IGNORECASE)
_LINE = re.compile(r"([A-Z]+) (\S+)(?: HTTP/1\.[01])?", re.ASCII)
_REFERENCE = re.compile(r"[A-Za-z0-9_.:,;-]{1,60}", re.ASCII)

Headers = dict[str, str]


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a batch. url: as sent. id: by which its answer is known, and what it made.

    group: requests of one group are done together or not at all; empty for a request of its own.
    """

    method: str
    url: str
    body: bytes
    id: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request. body: as it would stand in an answer of its own."""

    id: str
    group: str
    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


def read(content_type: str, body: bytes) -> list[Request]:
    """Return the requests of a batch in their order. Raises QueryError."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        found = _read_json(body)
    elif kind == "multipart/mixed":
        found = _read_multipart(content_type, body)
    else:
        raise QueryError("$batch nhận Content-Type multipart/mixed; boundary=… hoặc application/json.")
    if not found:
        raise QueryError("Lô $batch không có yêu cầu nào.")
    for group, count in Counter(each.group for each in found if each.group).items():
        if count > GROUP_MAX:
            raise QueryError(f"Changeset «{group[:40]}» có {count} yêu cầu; mỗi changeset có nhiều nhất {GROUP_MAX}.")
    if any(each.group and each.method == "GET" for each in found):
        raise QueryError("GET không đi trong changeset: đặt thành yêu cầu riêng trong lô.")
    named = [each.id for each in found if each.id]
    if len(set(named)) < len(named):
        raise QueryError("Hai yêu cầu trong lô $batch mang cùng một mã (Content-ID, id).")
    return found


def write(answers: Sequence[Answer], boundary: str | None) -> tuple[bytes, str]:
    """Return body and content type of the answer. boundary: None for JSON; no answer may hold it."""
    if boundary is None:
        return msgspec.json.encode({"responses": [_as_json(each) for each in answers]}), "application/json"
    written = b""
    place = 0
    while place < len(answers):
        group = answers[place].group
        end = place + 1
        while group and end < len(answers) and answers[end].group == group:
            end += 1
        # A group that failed has one answer, which stands alone.
        if group and answers[place].status < 400:
            inner = f"{boundary}-{place}"
            parts = b"".join(_as_part(each, inner) for each in answers[place:end]) + f"--{inner}--\r\n".encode()
            head = f"--{boundary}\r\nContent-Type: multipart/mixed; boundary={inner}\r\n\r\n"
            written += head.encode() + parts
        else:
            written += b"".join(_as_part(each, boundary) for each in answers[place:end])
        place = end
    return written + f"--{boundary}--\r\n".encode(), f"multipart/mixed; boundary={boundary}"


# --- JSON -----------------------------------------------------------------------------------------------------------


def _read_json(body: bytes) -> list[Request]:
    try:
        said = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise QueryError("Nội dung của $batch không phải là JSON đọc được.") from None
    wanted = said.get("requests") if isinstance(said, dict) else None
    if not isinstance(wanted, list):
        raise QueryError('$batch dạng JSON là {"requests": [{"id", "method", "url", "body"}, …]}.')
    _refuse_many(len(wanted))
    found: list[Request] = []
    for number, each in enumerate(wanted, 1):
        texts = (
            [each.get(name, "") for name in ("method", "url", "id", "atomicityGroup")] if isinstance(each, dict) else []
        )
        if not texts or not all(isinstance(text, str) for text in texts) or not texts[1] or not texts[2]:
            raise QueryError(f"Yêu cầu thứ {number} của lô $batch cần «id», «method» và «url» là chữ.")
        method, url, id_, group = texts
        before = {one.group for one in found[:-1]} if found and found[-1].group != group else set()
        if group and group in before:
            raise QueryError(f"Các yêu cầu của nhóm «{group[:40]}» phải đứng liền nhau.")
        sent = msgspec.json.encode(each["body"]) if each.get("body") is not None else b""
        found.append(Request(_method(method, number), url, sent, _id(id_, number), group))
    return found


def _as_json(answer: Answer) -> dict[str, Any]:
    written: dict[str, Any] = {"id": answer.id, "status": answer.status}
    if answer.group:
        written["atomicityGroup"] = answer.group
    if "Location" in answer.headers:
        written["location"] = answer.headers["Location"]
    if answer.body:
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        written["body"] = msgspec.Raw(answer.body) if is_json else answer.body.decode("utf-8", "replace")
    return written


# --- multipart ------------------------------------------------------------------------------------------------------


def _read_multipart(content_type: str, body: bytes) -> list[Request]:
    found: list[Request] = []
    for number, (headers, content) in enumerate(_split(content_type, body), 1):
        kind = headers.get("content-type", "")
        if kind.lower().startswith("multipart/mixed"):
            for inner, part in _split(kind, content):
                found.append(_read_part(inner, part, len(found) + 1, f"changeset-{number}"))
        else:
            found.append(_read_part(headers, content, len(found) + 1, ""))
        _refuse_many(len(found))
    return found


def _split(content_type: str, body: bytes) -> list[tuple[Headers, bytes]]:
    named = _BOUNDARY.search(content_type)
    if named is None:
        raise QueryError("Content-Type multipart/mixed của $batch thiếu boundary.")
    mark = b"--" + (named[1] or named[2]).encode()
    pieces = re.split(
        rb"(?:\A|\r?\n)" + re.escape(mark) + rb"(--)?[ \t]*(?:\r?\n|\Z)", body, maxsplit=2 * PARTS_MAX + 3
    )
    if len(pieces) < 3 or b"--" not in pieces[1::2]:
        raise QueryError("Lô $batch không khép lại bằng boundary của nó, hoặc có quá nhiều phần.")
    end = pieces[1::2].index(b"--")
    return [_split_head(piece) for piece in pieces[2 : 2 * end + 2 : 2]]


def _split_head(piece: bytes) -> tuple[Headers, bytes]:
    head, found, content = piece.partition(b"\r\n\r\n")
    if not found or b"\n\n" in head:
        head, _, content = piece.partition(b"\n\n")
    headers = {}
    for line in head.decode("latin-1").splitlines():
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return headers, content


def _read_part(headers: Headers, content: bytes, number: int, group: str) -> Request:
    if not headers.get("content-type", "").lower().startswith("application/http"):
        raise QueryError(f"Phần thứ {number} của lô $batch phải có Content-Type: application/http.")
    line, _, rest = content.lstrip(b"\r\n").partition(b"\n")
    asked = _LINE.fullmatch(line.decode("utf-8", "replace").strip())
    if asked is None:
        raise QueryError(f"Phần thứ {number} của lô $batch phải bắt đầu bằng «PHƯƠNG-THỨC địa-chỉ HTTP/1.1».")
    _, body = _split_head(rest) if rest.strip() else ({}, b"")
    if rest[:1] in (b"\r", b"\n"):  # no headers of its own
        body = rest.removeprefix(b"\r").removeprefix(b"\n")
    id_ = headers.get("content-id", "")
    return Request(_method(asked[1], number), asked[2], body.strip(), _id(id_, number) if id_ else "", group)


def _as_part(answer: Answer, boundary: str) -> bytes:
    lines = [f"--{boundary}", "Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    if answer.id:
        lines.append(f"Content-ID: {answer.id}")
    lines += ["", f"HTTP/1.1 {answer.status} {answer.reason}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + answer.body + b"\r\n"


# --- what both share ------------------------------------------------------------------------------------------------


def _refuse_many(count: int) -> None:
    if count > PARTS_MAX:
        raise QueryError(f"Một lô $batch có nhiều nhất {PARTS_MAX} yêu cầu. Chia nhỏ rồi gửi lại.")


def _method(text: str, number: int) -> str:
    if text.upper() not in _METHODS:
        raise QueryError(f"Yêu cầu thứ {number} của lô $batch: phương thức phải là {', '.join(sorted(_METHODS))}.")
    return text.upper()


def _id(text: str, number: int) -> str:
    clean = text.strip().removeprefix("<").removesuffix(">")
    if not _REFERENCE.fullmatch(clean):
        raise QueryError(f"Mã của yêu cầu thứ {number} trong lô $batch chỉ gồm chữ không dấu, số và «_ . : , ; -».")
    return clean


def resolve(request: Request, made: Mapping[str, tuple[str, Any]]) -> tuple[str, bytes]:
    """Return address and body of a request with «$id» of what earlier ones of the batch made put in its place.

    made: {id: (address of the entity below the root, its @iot.id)}. Raises QueryError for an id that made nothing.
    """
    url, body = request.url, request.body
    if url.startswith("$") and not url.startswith("$batch"):
        name, slash, rest = url[1:].partition("/")
        name, mark, query = name.partition("?")
        if name not in made:
            raise QueryError(f"«${name[:60]}» không phải là đối tượng do một yêu cầu trước trong lô tạo ra.")
        url = made[name][0] + mark + query + slash + rest
    if b'"$' in body:
        body = msgspec.json.encode(_put_ids(_decode(body), made))
    return url, body


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise QueryError("Nội dung không phải là JSON đọc được.") from None


def _put_ids(said: Any, made: Mapping[str, tuple[str, Any]], depth: int = 0) -> Any:
    if depth > 20:
        raise QueryError("Nội dung lồng nhau quá sâu.")
    if isinstance(said, list):
        return [_put_ids(each, made, depth + 1) for each in said]
    if not isinstance(said, dict):
        return said
    found = {}
    for key, value in said.items():
        if key == "@iot.id" and isinstance(value, str) and value.startswith("$"):
            if value[1:] not in made:
                raise QueryError(f"«{value[:60]}» không phải là đối tượng do một yêu cầu trước trong lô tạo ra.")
            found[key] = made[value[1:]][1]
        else:
            found[key] = _put_ids(value, made, depth + 1)
    return found
