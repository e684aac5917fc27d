"""What phones send: each item is taken by itself, once, and kept with what became of it.

The row of an item and its reading are written in one transaction, and the phone is told after it: what it was not told
it sends again, and gets the same answer. Received = stored + duplicate + refused, whatever the network does.
"""

import base64
import binascii
import json
import logging
import math
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F

from machnuoc.core import files
from machnuoc.core.models import Person, StoredFile
from machnuoc.core.vietnamese import format_datetime
from machnuoc.customers import pictures, plausibility, readings, visibility
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Connection, FieldItem, Fitting, Reading, Round

log = logging.getLogger(__name__)

Fate = FieldItem.Fate
_NOT_READABLE = "Mục gửi lên không đúng dạng. Tải lại trang ghi chỉ số rồi ghi lại."

ITEMS_MOST = 20  # of one batch
PHOTO_MOST = 2 * 1024 * 1024  # bytes; the page makes them at most 200 kB
OLDEST = timedelta(days=92)
SKEW_LEAST = timedelta(minutes=5)  # a clock that is off by less is believed
SKEW_MOST = timedelta(days=400)
_BODY_MOST = 4_000  # characters kept of a body that is no item of the page
_INDEX_MOST_L = 10**12
_NO_ONES = uuid.UUID("8c1b3f7a-7e0b-5d52-9a38-0d9f6d1f2a11")
# What PostgreSQL refuses in JSON, and marks that nobody sees.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufffe\uffff\ud800-\udfff]"
)
_MONTH = re.compile(r"\d{4}-\d{2}-01")


class BadBatch(CustomersError):
    """A batch that is none: nothing of it was taken."""


@dataclass(frozen=True)
class Receipt:
    """What the phone is told of one item. is_repeat: it had arrived before; the fate is that of the first time."""

    client_id: str
    fate: str
    reason: str
    is_repeat: bool = False


@dataclass(frozen=True)
class _Item:
    row: readings.Incoming
    photo: str  # base64, empty without one


def receive(
    items: Sequence[object], *, person: Person, now: datetime, sent_at: datetime | None = None
) -> list[Receipt]:
    """Take the items of one batch, each in its own transaction; return what became of each, in order.

    sent_at: the clock of the phone when it sent. If it is off by more than five minutes the moments of the readings
    are put right by as much; the body keeps what the phone said. Raises BadBatch if there are too many.
    """
    if len(items) > ITEMS_MOST:
        raise BadBatch(f"Mỗi lần gửi tối đa {ITEMS_MOST} mục; lần này có {len(items)}. Gửi lại từng phần.")
    skew = now - sent_at if sent_at is not None else timedelta(0)
    if not SKEW_LEAST < abs(skew) < SKEW_MOST:
        skew = timedelta(0)
    return [_receive(one, person, now, skew) for one in items]


def _receive(raw: object, person: Person, now: datetime, skew: timedelta) -> Receipt:
    body = _body(raw)
    client_id = _client_id(raw, body, person)
    if FieldItem.objects.filter(client_id=client_id).exists():
        return _again(client_id, body, person)
    item: _Item | None = None
    photo, lost = None, ""
    try:
        item = _read(raw, client_id, person, now, skew)
        photo, lost = _keep_photo(item.photo, person)
        outcome = readings.Outcome(None, Fate.REFUSED)
    except CustomersError as reason:
        outcome = readings.Outcome(None, Fate.REFUSED, reason=str(reason))
    except (OverflowError, RecursionError, ValueError) as reason:
        log.warning("an item of person %s cannot be read: %s", person.pk, type(reason).__name__)
        outcome = readings.Outcome(None, Fate.REFUSED, reason=_NOT_READABLE)
    try:
        with transaction.atomic():
            if item is not None:
                row = readings.Incoming(**{**item.row.__dict__, "photo_id": photo.pk if photo else None})
                outcome = readings.take_many([row], person=person, now=now)[0]
            told = " ".join(part for part in (outcome.reason, lost) if part)[:300]
            FieldItem.objects.create(
                client_id=client_id, person=person, received_at=now, body=body, fate=outcome.fate, reason=told,
                reading_id=outcome.reading.pk if outcome.reading else None,
            )  # fmt: skip
    except IntegrityError:
        # The same item by another way at the same moment: that one stands.
        if not FieldItem.objects.filter(client_id=client_id).exists():
            raise
        return _again(client_id, body, person)
    return Receipt(str(client_id), outcome.fate, told)


def _again(client_id: uuid.UUID, body: dict[str, Any], person: Person) -> Receipt:
    """Answer an item that arrived before as then, and count it."""
    FieldItem.objects.filter(client_id=client_id).update(repeats=F("repeats") + 1)
    item = FieldItem.objects.get(client_id=client_id)
    if item.person_id != person.pk:
        return Receipt(str(client_id), Fate.REFUSED, "Mã mục này đã được tài khoản khác dùng. Ghi lại mục này.", True)
    if item.body != body:
        return Receipt(
            str(client_id), Fate.REFUSED,
            f"Mục này đã gửi lúc {format_datetime(item.received_at)} với nội dung khác; bản đầu được giữ. "
            "Muốn sửa thì ghi lại thành mục mới.", True,
        )  # fmt: skip
    return Receipt(str(client_id), item.fate, item.reason, True)


# --- reading what came


def _body(raw: object) -> dict[str, Any]:
    """Return the item as it came, without its photo and without what a database refuses."""
    if not isinstance(raw, Mapping):
        return {"?": _clean(repr(raw))[:_BODY_MOST]}
    kept = {_clean(str(key)): _plain(value) for key, value in raw.items() if key != "photo"}
    kept["has_photo"] = bool(raw.get("photo"))
    text = json.dumps(kept, ensure_ascii=False)
    return kept if len(text) <= _BODY_MOST else {"?": text[:_BODY_MOST]}


def _plain(value: object, depth: int = 0) -> Any:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) < 10**18 else str(value)[:40]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth >= 4:
        return _clean(repr(value))[:200]
    if isinstance(value, Mapping):
        return {_clean(str(key)): _plain(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one, depth + 1) for one in value]
    return _clean(repr(value))[:200]


def _clean(text: str) -> str:
    return _UNSEEN.sub("", text)


def _client_id(raw: object, body: dict[str, Any], person: Person) -> uuid.UUID:
    """Return the id that the phone made; of an item without one, an id of what it says: it is counted once too."""
    said = raw.get("client_id") if isinstance(raw, Mapping) else None
    if isinstance(said, str) and len(said) == 36:
        try:
            return uuid.UUID(said)
        except ValueError:
            pass  # an id of its own, below, and refused with the reason
    return uuid.uuid5(_NO_ONES, f"{person.pk}:{json.dumps(body, sort_keys=True)}")


def _read(raw: object, client_id: uuid.UUID, person: Person, now: datetime, skew: timedelta) -> _Item:
    """Return the item as a reading to take. Raises CustomersError, with what to do."""
    if not isinstance(raw, Mapping):
        raise CustomersError(_NOT_READABLE)
    if str(raw.get("client_id", "")).lower() != str(client_id):
        raise CustomersError("Mục gửi lên không có mã riêng. Tải lại trang ghi chỉ số rồi ghi lại.")
    connection = _connection(raw.get("connection"), person)
    period = _period(raw.get("period"), connection)
    read_at = _moment(raw.get("read_at"), connection, now, skew)
    no_access = raw.get("no_access") or ""
    index_l = raw.get("index_l")
    if no_access and (index_l is not None or no_access not in Reading.NoAccess.values):
        raise CustomersError(f"Đấu nối {connection.code}: lý do không đọc được không hợp lệ. Ghi lại.")
    if index_l is not None and (type(index_l) is not int or not 0 <= index_l < _INDEX_MOST_L):
        raise CustomersError(f"Đấu nối {connection.code}: chỉ số không phải số lít nguyên. Ghi lại.")
    if index_l is None and not no_access:
        raise CustomersError(f"Đấu nối {connection.code}: chưa có chỉ số, cũng chưa có lý do không đọc được.")
    confirmed = raw.get("confirmed") or []
    flags = {one for one in confirmed if isinstance(one, str)} if isinstance(confirmed, list) else set()
    photo = raw.get("photo") or ""
    return _Item(
        readings.Incoming(
            connection.pk, read_at, index_l, no_access, source=Reading.Source.FIELD, client_id=client_id,
            position=_position(raw.get("position")), note=_note(raw, connection, read_at),
            confirmed_flags=frozenset(flags & plausibility.WARNINGS.keys()), period_start_date=period,
        ),
        photo if isinstance(photo, str) else "",
    )  # fmt: skip


def _connection(said: object, person: Person) -> Connection:
    found = None
    if type(said) is int and 0 < said < 2**63:
        found = visibility.list_connections(person, "read_meters").filter(pk=said).first()
    if found is None:
        raise CustomersError(
            "Đấu nối này không thuộc tuyến của bạn (tuyến có thể vừa được chia lại). Tải lại tuyến; số đã ghi vẫn được "
            "giữ để văn phòng xem."
        )
    return found


def _period(said: object, connection: Connection) -> date:
    if not isinstance(said, str) or not _MONTH.fullmatch(said):
        raise CustomersError(f"Đấu nối {connection.code}: mục gửi lên không nói kỳ nào. Tải lại tuyến rồi ghi lại.")
    try:
        period = date.fromisoformat(said)
    except ValueError:
        raise CustomersError(f"Đấu nối {connection.code}: kỳ {said} không có. Tải lại tuyến rồi ghi lại.") from None
    if not Round.objects.filter(route__connections=connection, period_start_date=period).exists():
        raise CustomersError(
            f"Đấu nối {connection.code}: tuyến chưa mở đợt ghi kỳ {period:%m/%Y}. Nhờ văn phòng mở đợt rồi ghi lại."
        )
    return period


def is_moment(moment: datetime) -> bool:
    """Return whether a phone may have meant it: with its zone, and far enough from the ends of the calendar."""
    return moment.tzinfo is not None and 2000 <= moment.year < 2100


def _moment(said: object, connection: Connection, now: datetime, skew: timedelta) -> datetime:
    try:
        moment = datetime.fromisoformat(said) if isinstance(said, str) and len(said) < 40 else None
        if moment is None or not is_moment(moment):
            raise ValueError
        moment += skew
        if moment > now + OLDEST:
            raise ValueError
    except (ValueError, OverflowError):
        raise CustomersError(f"Đấu nối {connection.code}: không rõ ghi lúc nào. Ghi lại.") from None
    if moment < now - OLDEST:
        raise CustomersError(
            f"Đấu nối {connection.code}: lúc ghi {format_datetime(moment)} đã quá lâu. Chỉnh đồng hồ của máy, ghi lại."
        )
    return moment


def _position(said: object) -> tuple[float, float] | None:
    if not isinstance(said, Mapping):
        return None
    lat, lon = said.get("lat"), said.get("lon")
    if isinstance(lat, bool) or isinstance(lon, bool):
        return None
    if not isinstance(lat, int | float) or not isinstance(lon, int | float):
        return None
    return (float(lat), float(lon)) if abs(lat) <= 90 and abs(lon) <= 180 else None  # nan and infinity are not


def _note(raw: Mapping[str, Any], connection: Connection, read_at: datetime) -> str:
    """Return the reader's words; with the serial that the phone showed, if another meter hung there then."""
    said = raw.get("note")
    note = " ".join(_clean(said).split()) if isinstance(said, str) else ""
    serial = raw.get("serial")
    if isinstance(serial, str) and serial:
        hung = Fitting.objects.filter(connection=connection, installed_at__lte=read_at).order_by("-installed_at")
        now_there = hung.values_list("meter__serial", flat=True).first()
        if now_there is not None and now_there != serial:
            note = f"{note} (máy ghi đồng hồ {_clean(serial)[:40]})".strip()
    return note[:300]


def _keep_photo(said: str, person: Person) -> tuple[StoredFile | None, str]:
    """Return the picture as kept, or why not: a reading is not lost for its picture."""
    if not said:
        return None, ""
    if len(said) > PHOTO_MOST * 4 // 3 + 4:
        return None, "Ảnh quá lớn nên không nhận; chỉ số vẫn được lưu."
    try:
        content, kind = pictures.clean(base64.b64decode(said, validate=True))
        return files.store(content, name=f"dong-ho.{kind}", by=person, kinds=frozenset({"png", "jpeg"})), ""
    except (binascii.Error, ValueError):  # BadPicture and RefusedFile are such
        return None, "Ảnh hỏng nên không nhận; chỉ số vẫn được lưu."
