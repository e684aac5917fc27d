"""What is done about requests: received, passed on, answered, reopened, merged, closed, rated, escalated, erased.

Each act locks the request's row. Handlers say which version they saw: of two who answer at once, one answers.
"""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError, Q

from machnuoc.core import audit, files
from machnuoc.core.models import Person, StoredFile
from machnuoc.customers import clock, open311_client, pictures, request_categories, request_messages, request_routing
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import (
    Category,
    Connection,
    Customer,
    PublicPost,
    Request,
    RequestEvent,
    RequestPhoto,
    Routing,
)  # fmt: skip
from machnuoc.customers.request_queries import OPEN_STATES, of_customer
from machnuoc.places.models import Organisation, Subject
from machnuoc.works.models import Work

TEXT_MAX = 4_000
PHOTOS_MAX = 3
REPLIES_MAX = 20  # of the sender, to one request
REOPEN_WITHIN = timedelta(days=30)  # after it was closed; later it is a new matter
CLOSES_AFTER = timedelta(days=7)  # answered and nobody replied
ESCALATES_AT_PCT = (80, 100)
ERASED = "(đã xóa theo yêu cầu)"

State, Kind, Channel = Request.State, RequestEvent.Kind, Request.Channel

for _action, _sentence in {
    "received": "tiếp nhận phản ánh {target}", "assigned": "chuyển xử lý phản ánh {target}",
    "changed": "sửa thông tin phản ánh {target}", "noted": "ghi chú phản ánh {target}",
    "answered": "trả lời phản ánh {target}", "rejected": "trả lời phản ánh {target} là không thuộc phạm vi",
    "replied": "nhận phản hồi của người gửi về {target}", "reopened": "mở lại phản ánh {target}",
    "merged": "gộp phản ánh {target}", "closed": "đóng phản ánh {target}", "rated": "nhận đánh giá phản ánh {target}",
    "escalated": "báo lãnh đạo phản ánh {target}", "erased": "xóa dữ liệu cá nhân của phản ánh {target}",
}.items():  # fmt: skip
    audit.describe(f"customers.request.{_action}", _sentence)
audit.describe("customers.routing.set", "đặt tuyến chuyển phản ánh của {target}")
audit.describe("customers.routing.removed", "bỏ tuyến chuyển phản ánh của {target}")


class RequestError(CustomersError):
    """An act on a request that cannot be done."""


class ChangedMeanwhile(RequestError):
    """Somebody else acted on the request first."""


def _lock(request: Request, version: int | None = None) -> Request:
    row = Request.objects.select_for_update(of=("self",)).select_related("category").get(pk=request.pk)
    if version is not None and row.version != version:
        raise ChangedMeanwhile(
            f"Phản ánh {row.code} vừa có người khác xử lý ({row.get_state_display().lower()}). "
            "Tải lại trang, xem việc đã làm rồi làm tiếp nếu vẫn cần."
        )
    return row


def _save(row: Request) -> None:
    row.version += 1
    row.save()


def _tell(
    row: Request, kind: str, *, at: datetime, by: Person | None, text: str = "", public: bool = False
) -> RequestEvent:
    return RequestEvent.objects.create(request=row, kind=kind, at=at, by=by, text=text, is_public=public)


def _text(text: str, what: str, *, at_least: int = 3) -> str:
    cleaned = text.replace("\0", "").strip()
    if len(cleaned) < at_least:
        raise RequestError(f"{what} chưa có nội dung. Viết ít nhất vài chữ.")
    if len(cleaned) > TEXT_MAX:
        raise RequestError(f"{what} dài {len(cleaned)} ký tự, tối đa {TEXT_MAX}. Rút gọn rồi gửi lại.")
    return cleaned


def plain_phone(phone: str) -> str:
    """Return a number as it is kept, digits alone in national form.

    >>> plain_phone("+84 905.123 456"), plain_phone("0255 3822111"), plain_phone("")
    ('0905123456', '02553822111', '')
    """
    digits = re.sub(r"\D", "", phone)
    return "0" + digits[2:] if digits.startswith("84") and len(digits) >= 11 else digits[:15]


# --- photos


def keep_photos(uploads: Sequence[Any], *, by: Person | None) -> list[StoredFile]:
    """Check, clean and keep pictures that came with a form. Raises RequestError."""
    if len(uploads) > PHOTOS_MAX:
        raise RequestError(f"Gửi tối đa {PHOTOS_MAX} ảnh. Bỏ bớt {len(uploads) - PHOTOS_MAX} ảnh.")
    kept = []
    for number, upload in enumerate(uploads, start=1):
        try:
            content, kind = pictures.clean(upload.read(pictures.BYTES_MAX + 1))
            kept.append(
                files.store(content, name=f"anh-{number}.{kind}", by=by, kinds=frozenset({"png", "jpeg"}))
            )  # fmt: skip
        except (pictures.BadPicture, files.RefusedFile) as reason:
            raise RequestError(f"Ảnh thứ {number} ({files.clean_name(str(upload.name))[:60]}): {reason}") from None
    return kept


def keep_papers(uploads: Sequence[Any], *, by: Person | None) -> list[StoredFile]:
    """Check and keep papers that came with a form: pictures, cleaned, or PDF. Raises RequestError."""
    if len(uploads) > PHOTOS_MAX:
        raise RequestError(f"Gửi tối đa {PHOTOS_MAX} tệp. Bỏ bớt {len(uploads) - PHOTOS_MAX} tệp.")
    kept = []
    for number, upload in enumerate(uploads, start=1):
        if not str(upload.name).lower().endswith(".pdf"):
            kept += keep_photos([upload], by=by)
            continue
        try:  # under a name of ours: people name files after people
            kept.append(files.store(upload, name=f"giay-to-{number}.pdf", by=by, kinds=frozenset({"pdf"})))
        except files.RefusedFile as reason:
            raise RequestError(str(reason)) from None
    return kept


# --- from the sender


@transaction.atomic
def receive(
    *,
    category: Category,
    channel: str,
    text: str,
    now: datetime,
    by: Person | None = None,
    connection: Connection | None = None,
    work: Work | None = None,
    place: Subject | None = None,
    operator: Organisation | None = None,
    latitude: float | None = None,
    longitude: float | None = None,
    address: str = "",
    urgency: str = Request.Urgency.NORMAL,
    name: str = "",
    phone: str = "",
    email: str = "",
    photos: Sequence[StoredFile] = (),
    is_simulated: bool = False,
) -> Request:
    """Take a request down, start its clock, pass it to its unit and tell that unit's people.

    by: who took it down; None where the sender wrote it. operator: where the sender says whose it is. The place
    is taken from the connection where one is given.
    Raises RequestError, request_routing.NoOperator.
    """
    text = _text(text, "Phản ánh", at_least=5)
    if not category.is_active:
        raise RequestError(f"Loại phản ánh «{category.name}» không còn dùng. Chọn loại khác.")
    where = request_routing.locate(
        connection=connection, work=work, place=place, latitude=latitude, longitude=longitude, operator=operator
    )  # fmt: skip
    if connection is not None and latitude is None:
        latitude, longitude = connection.latitude, connection.longitude
    token = secrets.token_urlsafe(32)
    row = Request.objects.create(
        code=f"~{token[:20]}", category=category, channel=channel, operator=where.operator, work=where.work,
        connection=connection, place=where.place, latitude=latitude, longitude=longitude,
        address=(address or (connection.address if connection else "")).strip()[:300], text=text, urgency=urgency,
        name=" ".join(name.split())[:160], phone=plain_phone(phone), email=email.strip()[:254],
        unit=request_routing.route(where.operator, where.work, category), received_at=now, clock_from_at=now,
        due_at=request_categories.due_of(category, where.operator.pk, now), token=token, is_simulated=is_simulated,
    )  # fmt: skip
    row.code = code_of(row.pk, now)
    row.save(update_fields=["code"])
    RequestPhoto.objects.bulk_create([RequestPhoto(request=row, file=photo, at=now) for photo in photos[:PHOTOS_MAX]])
    _tell(row, Kind.RECEIVED, at=now, by=by, text=f"Tiếp nhận qua {row.get_channel_display().lower()}.", public=True)
    audit.record("customers.request.received", actor=by, target=row, category=category.key, channel=channel)
    open311_client.queue_automatic(row, now=now)
    people = request_routing.list_people(row.unit_id) if row.unit_id else []
    if category.is_violation and row.unit_id:
        people = [*people, *request_routing.list_leaders(row.unit_id)]
    request_messages.tell_people(row, people, f"{category.name}, mới tiếp nhận")
    return row


def code_of(pk: int, at: datetime) -> str:
    """Return what people call the request.

    >>> code_of(123, datetime(2026, 7, 6, tzinfo=clock.ZONE))
    'PA-2026-000123'
    """
    return f"PA-{at.astimezone(clock.ZONE).year}-{pk:06d}"


def receive_once(nonce: str, *, address_hash: str = "", now: datetime, **details: Any) -> tuple[Request, bool]:
    """Take down what a form sent, once however often it is sent; return the request and whether it is new.

    nonce: of the form. Raises what `receive` raises; the form may then be sent again.
    """
    try:
        with transaction.atomic():
            post = PublicPost.objects.create(nonce=nonce[:32], address_hash=address_hash, at=now)
            row = receive(now=now, **details)
            post.request = row
            post.save(update_fields=["request"])
            return row, True
    except IntegrityError:
        earlier = PublicPost.objects.select_related("request").filter(nonce=nonce[:32], request__isnull=False).first()
        if earlier is None or earlier.request is None:
            raise
        return earlier.request, False


@transaction.atomic
def reply(request: Request, *, text: str, now: datetime) -> Request:
    """Add what the sender says. After an answer it opens the request again, with a new clock. Raises RequestError."""
    row = _lock(request)
    said = _text(text, "Phản hồi")
    if row.events.filter(kind=Kind.REPLY).count() >= REPLIES_MAX:
        raise RequestError(f"Phản ánh {row.code} đã có {REPLIES_MAX} phản hồi. Gọi đường dây nóng của đơn vị cấp nước.")
    if row.closed_at is not None and now - row.closed_at > REOPEN_WITHIN:
        raise RequestError(
            f"Phản ánh {row.code} đã đóng quá {REOPEN_WITHIN.days} ngày nên không mở lại được. Gửi một phản ánh mới."
        )
    _tell(row, Kind.REPLY, at=now, by=None, text=said, public=True)
    audit.record("customers.request.replied", actor=None, target=row)
    main = row
    if row.state == State.MERGED and row.merged_into_id:
        main = Request.objects.select_for_update(of=("self",)).select_related("category").get(pk=row.merged_into_id)
        _tell(main, Kind.REPLY, at=now, by=None, text=f"Người gửi {row.code}: {said}"[:TEXT_MAX])
        _save(row)
    if main.state in OPEN_STATES:
        _save(main)
        request_messages.tell_people(main, _own_people(main), "người gửi phản hồi")
    else:
        _reopen(main, now=now, by=None, why="Người gửi phản hồi sau khi được trả lời; tính lại thời hạn.")
    return main if main.pk == request.pk else row


@transaction.atomic
def rate(request: Request, *, stars: int, note: str, now: datetime) -> None:
    """Keep what the sender thinks of the answer, 1 to 5; once for each answer. Raises RequestError."""
    row = _lock(request)
    if stars not in range(1, 6):
        raise RequestError("Chọn từ 1 đến 5 sao.")
    reached = row.merged_into.state if row.state == State.MERGED and row.merged_into else row.state
    if reached not in {State.ANSWERED, State.CLOSED}:
        raise RequestError(f"Phản ánh {row.code} chưa được trả lời nên chưa đánh giá được.")
    if row.rating is not None:
        raise RequestError(f"Bạn đã đánh giá phản ánh {row.code}. Cảm ơn bạn.")
    row.rating, row.rating_note = stars, note.replace("\0", "").strip()[:300]
    _save(row)
    _tell(row, Kind.RATED, at=now, by=None, text=f"{stars}/5 sao")
    audit.record("customers.request.rated", actor=None, target=row, stars=stars)


# --- from those who handle it


@transaction.atomic
def assign(
    request: Request, *, unit: Organisation, handler: Person | None, by: Person, now: datetime, version: int,
    note: str = "",
) -> Request:  # fmt: skip
    """Give a request to a unit and, if named, to a person. Raises RequestError, ChangedMeanwhile."""
    row = _lock(request, version)
    _require_open(row, "chuyển")
    if row.operator_id and not request_routing.list_units(_get_operator(row)).filter(pk=unit.pk).exists():
        raise RequestError(
            f"{unit.subject.name} không thuộc đơn vị cấp nước của phản ánh {row.code}. Chọn đơn vị khác."
        )
    row.unit, row.handler, row.state = unit, handler, State.ASSIGNED
    if handler is not None and not request_routing.list_handlers(row).filter(pk=handler.pk).exists():
        raise RequestError(
            f"{handler.full_name} không được giao tiếp nhận phản ánh ở {unit.subject.name}. Chọn người khác."
        )
    _save(row)
    _tell(row, Kind.ASSIGNED, at=now, by=by, text=f"{unit.subject.name} đang xử lý.", public=True)
    if note.strip():
        _tell(row, Kind.NOTE, at=now, by=by, text=_text(note, "Ghi chú"))
    audit.record(
        "customers.request.assigned", actor=by, target=row, unit=unit.pk, handler=handler.pk if handler else None
    )
    told = [handler] if handler else request_routing.list_people(unit.pk)
    request_messages.tell_people(row, [one for one in told if one.pk != by.pk], f"{row.category.name}, giao cho bạn")
    return row


@transaction.atomic
def change(
    request: Request, *, category: Category, urgency: str, connection: Connection | None, work: Work | None, by: Person,
    now: datetime, version: int,
) -> Request:  # fmt: skip
    """Correct what a request is about. Another category has another clock, from the same moment on.

    work: of the same operator, as the connection is; where there is a connection, its work. Raises RequestError,
    ChangedMeanwhile.
    """
    row = _lock(request, version)
    _require_open(row, "sửa")
    if connection is not None and connection.work.operator_id != row.operator_id:
        raise RequestError(f"Đấu nối {connection.code} thuộc đơn vị cấp nước khác. Nhập mã đấu nối khác.")
    work = connection.work if connection is not None else work
    if work is not None and work.operator_id != row.operator_id:
        raise RequestError(f"{work.subject.name} thuộc đơn vị cấp nước khác. Chọn công trình khác.")
    said = []
    if category.pk != row.category_id:
        said.append(f"Loại: {row.category.name} → {category.name}.")
        row.category = category
        row.due_at = request_categories.due_of(category, row.operator_id, row.clock_from_at)
        row.escalated_pct, row.escalated_at = 0, None
    if urgency != row.urgency:
        said.append(f"Mức độ: {Request.Urgency(urgency).label.lower()}.")
        row.urgency = urgency
    if (connection.pk if connection else None) != row.connection_id:
        said.append(f"Đấu nối: {connection.code}." if connection else "Bỏ liên kết đấu nối.")
        row.connection = connection
        if connection is not None:
            row.place = connection.place or row.place
    if (work.pk if work else None) != row.work_id:
        said.append(f"Công trình: {work.subject.name}." if work else "Chưa rõ công trình.")
        row.work = work
    if not said:
        return row
    _save(row)
    _tell(row, Kind.NOTE, at=now, by=by, text=" ".join(said))
    audit.record("customers.request.changed", actor=by, target=row, category=category.key, connection=row.connection_id)
    return row


@transaction.atomic
def note(request: Request, *, text: str, by: Person, now: datetime) -> None:
    """Add what only the handlers read. Raises RequestError."""
    row = _lock(request)
    _tell(row, Kind.NOTE, at=now, by=by, text=_text(text, "Ghi chú"))
    audit.record("customers.request.noted", actor=by, target=row)


@transaction.atomic
def answer(
    request: Request, *, text: str, by: Person, now: datetime, version: int, photos: Sequence[StoredFile] = ()
) -> Request:  # fmt: skip
    """Answer the sender, and those whose requests were merged into this one. Raises RequestError, ChangedMeanwhile."""
    return _answer(request, text=text, by=by, now=now, version=version, photos=photos, state=State.ANSWERED)


@transaction.atomic
def reject(request: Request, *, text: str, by: Person, now: datetime, version: int) -> Request:
    """Tell the sender that this is nothing for the operator, and why. Raises RequestError, ChangedMeanwhile."""
    return _answer(request, text=text, by=by, now=now, version=version, photos=(), state=State.REJECTED)


def _answer(
    request: Request, *, text: str, by: Person, now: datetime, version: int, photos: Sequence[StoredFile], state: str
) -> Request:  # fmt: skip
    row = _lock(request, version)
    _require_open(row, "trả lời")
    said = _text(text, "Câu trả lời", at_least=5)
    row.state, row.answered_at = state, now
    row.closed_at = now if state == State.REJECTED else None
    row.handler = row.handler or by
    row.rating, row.rating_note = None, ""
    _save(row)
    row.merged.update(rating=None, rating_note="")
    RequestPhoto.objects.bulk_create([RequestPhoto(request=row, file=photo, at=now) for photo in photos[:PHOTOS_MAX]])
    event = _tell(row, Kind.ANSWER, at=now, by=by, text=said, public=True)
    action = "rejected" if state == State.REJECTED else "answered"
    audit.record(f"customers.request.{action}", actor=by, target=row, in_time=row.due_at is None or now <= row.due_at)
    request_messages.tell_sender(row, event, now=now)
    return row


@transaction.atomic
def close(request: Request, *, by: Person | None, now: datetime, version: int | None = None) -> Request:
    """Close what has been answered. Raises RequestError, ChangedMeanwhile."""
    row = _lock(request, version)
    if row.state != State.ANSWERED:
        raise RequestError(
            f"Phản ánh {row.code} {row.get_state_display().lower()} nên không đóng được: chỉ đóng phản ánh đã trả lời."
        )
    row.state, row.closed_at = State.CLOSED, now
    _save(row)
    _tell(row, Kind.CLOSED, at=now, by=by, public=True)
    audit.record("customers.request.closed", actor=by, target=row)
    return row


@transaction.atomic
def reopen(request: Request, *, why: str, by: Person, now: datetime, version: int) -> Request:
    """Open what was answered, closed or rejected again, with a new clock. Raises RequestError, ChangedMeanwhile."""
    row = _lock(request, version)
    if row.state in OPEN_STATES or row.state == State.MERGED:
        raise RequestError(f"Phản ánh {row.code} {row.get_state_display().lower()} nên không cần mở lại.")
    _reopen(row, now=now, by=by, why=_text(why, "Lý do mở lại"))
    return row


def _reopen(row: Request, *, now: datetime, by: Person | None, why: str) -> None:
    row.state, row.clock_from_at, row.answered_at, row.closed_at = State.ASSIGNED, now, None, None
    row.due_at = request_categories.due_of(row.category, row.operator_id, now)
    row.escalated_pct, row.escalated_at = 0, None
    _save(row)
    _tell(row, Kind.REOPENED, at=now, by=by, text="Mở lại để xử lý tiếp.", public=True)
    _tell(row, Kind.NOTE, at=now, by=by, text=why)
    audit.record("customers.request.reopened", actor=by, target=row)
    told = [one for one in _own_people(row) if by is None or one.pk != by.pk]
    request_messages.tell_people(row, told, "mở lại, tính lại thời hạn")


@transaction.atomic
def merge(request: Request, into: Request, *, by: Person, now: datetime, version: int) -> Request:
    """Merge a request into another one, which from then on is answered for both. Raises RequestError, ChangedMeanwhile.

    What was merged into it before goes along. A complaint about a bill is never merged into one of another connection:
    no cut-off depends on it.
    """
    if request.pk == into.pk:
        raise RequestError(f"Không gộp phản ánh {request.code} vào chính nó. Chọn phản ánh khác.")
    # Two who merge crosswise take the rows in the same order.
    first, second = sorted([request.pk, into.pk])
    list(Request.objects.select_for_update(of=("self",)).filter(pk__in=[first, second]).order_by("pk"))
    row, main = _lock(request, version), _lock(into)
    _require_open(row, "gộp")
    _require_open(main, "nhận gộp")
    if row.operator_id != main.operator_id:
        raise RequestError(f"{row.code} và {main.code} thuộc hai đơn vị cấp nước khác nhau nên không gộp được.")
    if row.category.is_bill_dispute and row.connection_id != main.connection_id:
        raise RequestError(f"{row.code} là khiếu nại hóa đơn của một đấu nối khác, phải trả lời riêng.")
    row.state, row.merged_into = State.MERGED, main
    _save(row)
    Request.objects.filter(merged_into=row).update(merged_into=main)
    _save(main)
    text = f"Cùng một việc với phản ánh {main.code}; câu trả lời sẽ gửi chung cho mọi người phản ánh."
    event = _tell(row, Kind.MERGED, at=now, by=by, text=text, public=True)
    _tell(main, Kind.MERGED, at=now, by=by, text=f"Gộp {row.code} vào phản ánh này.")
    audit.record("customers.request.merged", actor=by, target=row, into=main.pk)
    request_messages.tell_sender(row, event, now=now)
    return main


def _require_open(row: Request, act: str) -> None:
    if row.state not in OPEN_STATES:
        raise RequestError(
            f"Phản ánh {row.code} {row.get_state_display().lower()} nên không {act} được. "
            "Mở lại phản ánh trước, nếu việc chưa xong."
        )


def _get_operator(row: Request) -> Organisation:
    return Organisation.objects.get(pk=row.operator_id)


def _own_people(row: Request) -> list[Person]:
    if row.handler_id:
        return list(Person.objects.filter(pk=row.handler_id))
    return request_routing.list_people(row.unit_id) if row.unit_id else []


# --- from the clock


def escalate_due(now: datetime) -> int:
    """Tell those above of requests whose clock is used to 80 % and to 100 %, each once a clock; return how many."""
    candidates = Request.objects.filter(state__in=OPEN_STATES, due_at__isnull=False, escalated_pct__lt=100)
    count = 0
    for pk, start_at, due, told_pct in candidates.values_list("pk", "clock_from_at", "due_at", "escalated_pct"):
        if due is not None and _reached(start_at, due, now) > told_pct:
            count += _escalate(pk, now)
    return count


def _reached(start_at: datetime, due: datetime, now: datetime) -> int:
    used = clock.used_pct(start_at, due, now)
    return max((pct for pct in ESCALATES_AT_PCT if used >= pct), default=0)


@transaction.atomic
def _escalate(pk: int, now: datetime) -> int:
    row = Request.objects.select_for_update(of=("self",)).select_related("category").get(pk=pk)
    if row.state not in OPEN_STATES or row.due_at is None:
        return 0  # answered meanwhile
    pct = _reached(row.clock_from_at, row.due_at, now)
    if pct <= row.escalated_pct:
        return 0  # another worker was first
    row.escalated_pct, row.escalated_at = pct, now
    row.save(update_fields=["escalated_pct", "escalated_at"])  # no new version: who writes an answer goes on
    _tell(row, Kind.ESCALATED, at=now, by=None, text=f"Đã dùng {pct} % thời hạn ({clock.left_text(row.due_at, now)}).")
    audit.record("customers.request.escalated", actor=None, target=row, pct=pct)
    people = [*_own_people(row), *(request_routing.list_people(row.unit_id) if row.unit_id else [])]
    if pct >= 100 and row.unit_id:
        people += request_routing.list_leaders(row.unit_id)
    request_messages.warn_people(row, people, pct=pct, now=now)
    return 1


def close_answered(now: datetime) -> int:
    """Close what was answered a while ago and nobody replied to; return how many."""
    waiting = Request.objects.filter(state=State.ANSWERED, answered_at__lt=now - CLOSES_AFTER).order_by("pk")
    count = 0
    for row in waiting[:1_000]:
        try:
            close(row, by=None, now=now)
        except RequestError:  # somebody reopened or closed it just now
            continue
        count += 1
    return count


def forget_addresses(now: datetime) -> int:
    """Delete the counts of public posts of more than two days ago; return how many."""
    return PublicPost.objects.filter(at__lt=now - timedelta(days=2)).delete()[0]


# --- routing


@transaction.atomic
def set_routing(
    operator: Organisation, *, work: Work | None, category: Category | None, unit: Organisation, by: Person
) -> Routing:  # fmt: skip
    """Say which unit gets the requests of a work and category, of all where None. Raises RequestError."""
    if not request_routing.list_units(operator).filter(pk=unit.pk).exists():
        raise RequestError(f"{unit.subject.name} không thuộc {operator.subject.name}. Chọn đơn vị bên trong.")
    if work is not None and work.operator_id != operator.pk:
        raise RequestError(f"{work.subject.name} không do {operator.subject.name} vận hành. Chọn công trình khác.")
    row, _ = Routing.objects.update_or_create(
        operator=operator, work=work, category=category, defaults={"unit": unit}
    )  # fmt: skip
    audit.record("customers.routing.set", actor=by, target=operator.subject, unit=unit.pk,
                 work=work.pk if work else None, category=category.key if category else None)  # fmt: skip
    return row


@transaction.atomic
def remove_routing(routing: Routing, *, by: Person) -> None:
    audit.record("customers.routing.removed", actor=by, target=routing.operator.subject, unit=routing.unit_id)
    routing.delete()


# --- erasure


@transaction.atomic
def erase_customer(customer: Customer, *, by: Person | None, now: datetime) -> int:
    """Empty the personal data in the requests of a customer, known by connection, phone or address; return how many.

    What was said may name people: the words of the sender go too, with the photos. Category, clock and place of the
    commune stay for statistics.
    """
    same = of_customer(customer)
    if customer.phone:
        same |= Q(phone=customer.phone, operator=customer.operator)
    if customer.email:
        same |= Q(email__iexact=customer.email, operator=customer.operator)
    rows = list(Request.objects.select_for_update(of=("self",)).filter(same))
    for row in rows:
        row.name = row.phone = row.email = row.address = row.rating_note = ""
        row.text = ERASED
        row.latitude = row.longitude = None
        _save(row)
        spoken = Q(kind__in=[Kind.REPLY, Kind.ANSWER, Kind.NOTE])
        row.events.filter(spoken).exclude(text="").update(text=ERASED)
        RequestEvent.objects.filter(
            kind=Kind.REPLY, request_id=row.merged_into_id or 0, text__startswith=f"Người gửi {row.code}:"
        ).update(text=f"Người gửi {row.code}: {ERASED}")  # fmt: skip
        _throw_away_photos(row)
        row.copies.update(status_notes="")
        row.work_orders.update(text=ERASED, done_note="")
        request_messages.forget_addresses(row)
        audit.record("customers.request.erased", actor=by, target=row)
    return len(rows)


def _throw_away_photos(row: Request) -> None:
    """Delete a request's photos, and their bytes once this is committed, unless the same picture is kept elsewhere."""
    stored = [photo.file for photo in row.photos.select_related("file")]
    row.photos.all().delete()
    for file in stored:
        try:
            with transaction.atomic():
                file.delete()
        except ProtectedError:
            continue
        transaction.on_commit(partial(files.path_of(file).unlink, missing_ok=True))
