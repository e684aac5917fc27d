"""What a customer does by themselves: ask and complain, ask for a connection, tell an index, change their norm."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from machnuoc.billing.models import Bill
from machnuoc.core import files, periods
from machnuoc.core.models import StoredFile
from machnuoc.core.vietnamese import format_date, format_number
from machnuoc.customers import (
    application_operations,
    pictures,
    plausibility,
    readings,
    request_operations,
    request_queries,
)
from machnuoc.customers.application_operations import ApplicationFacts
from machnuoc.customers.models import (
    Application,
    Category,
    Connection,
    FieldItem,
    PublicPost,
    Reading,
    Request,
    Round,
)
from machnuoc.places.models import Subject
from machnuoc.portal import links, service_queries
from machnuoc.portal.errors import PortalError
from machnuoc.portal.models import PortalAccount
from machnuoc.works.models import Work

REQUESTS_A_DAY = 10
OPEN_APPLICATIONS = 3
READINGS_A_DAY = 5
WINDOW_DAYS = 7  # around the reading day: what is told then closes the month, at other times it only informs
NORM, PERSONAL_DATA = request_queries.NORM, "du-lieu-ca-nhan"  # categories that have a page of their own here


def nonce_of(account: PortalAccount, nonce: str) -> str:
    """Return what a form sent twice is known by: of this account alone."""
    return hashlib.sha256(f"portal:{account.pk}:{nonce[:64]}".encode()).hexdigest()[:32]


def contact_of(account: PortalAccount) -> dict[str, str]:
    """Return the sender's address as requests and applications keep it."""
    return {"phone": "", "email": account.address} if "@" in account.address else {"phone": account.address}


def name_of(account: PortalAccount, connection: Connection | None = None) -> str:
    """Return the customer's own name; nothing for who is only linked to the connection."""
    own = service_queries.own_customers(account)
    if connection is not None:
        own = own.filter(pk=connection.customer_id)
    return own.values_list("name", flat=True).first() or ""


def check_requests_left(account: PortalAccount, now: datetime) -> None:
    """Raise PortalError if the account has sent as many requests as one day takes."""
    today = service_queries.list_requests(account).filter(
        channel=Request.Channel.PORTAL, received_at__gt=now - timedelta(days=1)
    )
    if today.count() >= REQUESTS_A_DAY:
        raise PortalError(
            f"Hôm nay bạn đã gửi {REQUESTS_A_DAY} phản ánh. Bổ sung vào phản ánh đã gửi, hoặc gọi đường dây nóng."
        )


def send_request(
    account: PortalAccount, *, category: Category, text: str, nonce: str, now: datetime,
    connection: Connection | None = None, place: Subject | None = None, address: str = "",
    urgency: str = Request.Urgency.NORMAL, photos: Sequence[StoredFile] = (),
) -> Request:  # fmt: skip
    """Take a request of the customer down, once however often the form is sent. Raises PortalError, RequestError.

    Its answer goes to the address that proved itself, and to this page.
    """
    check_requests_left(account, now)
    said: dict[str, Any] = {
        "category": category, "channel": Request.Channel.PORTAL, "text": text, "connection": connection, "place": place,
        "address": address, "urgency": urgency, "photos": photos, "name": name_of(account, connection),
        "is_simulated": account.is_demo, **contact_of(account),
    }  # fmt: skip
    row, _ = request_operations.receive_once(nonce_of(account, nonce), now=now, **said)
    return row


def ask_for_norm(
    account: PortalAccount, connection: Connection, *, persons: int, from_date: date, note: str,
    papers: Sequence[StoredFile], nonce: str, now: datetime,
) -> Request:  # fmt: skip
    """Ask for another number of registered persons, with papers: a request that the staff decide on.

    Raises PortalError, RequestError.
    """
    if not papers:
        raise PortalError("Gửi kèm giấy tờ cư trú: ảnh hoặc tệp PDF.")
    if connection.persons == persons:
        raise PortalError(f"Đấu nối {connection.code} đang tính định mức cho {persons} người rồi.")
    waiting = open_about(account, NORM).filter(connection=connection).first()
    if waiting is not None:
        raise PortalError(f"Đề nghị {waiting.code} về định mức đang chờ trả lời. Bổ sung vào đề nghị đó.")
    now_for = f"đang tính {connection.persons} người"
    text = f"Đề nghị tính định mức cho {persons} người từ ngày {from_date:%d/%m/%Y} ({now_for})."
    return send_request(
        account, category=_category(NORM), text=f"{text}\n{note.strip()}".strip(), nonce=nonce, now=now,
        connection=connection, photos=papers,
    )  # fmt: skip


def ask_for_erasure(account: PortalAccount, connection: Connection, *, note: str, nonce: str, now: datetime) -> Request:
    """Ask for the erasure of one's data: a request, since the staff must see what is owed. Raises PortalError."""
    waiting = open_about(account, PERSONAL_DATA).filter(connection__customer=connection.customer_id).first()
    if waiting is not None:
        raise PortalError(f"Đề nghị {waiting.code} về dữ liệu cá nhân đang chờ trả lời.")
    text = f"Đề nghị xóa dữ liệu cá nhân của tôi.\n{note.strip()}".strip()
    return send_request(
        account, category=_category(PERSONAL_DATA), text=text, nonce=nonce, now=now, connection=connection
    )


def open_about(account: PortalAccount, key: str) -> Any:
    return service_queries.list_requests(account).filter(
        category__key=key, state__in=[Request.State.NEW, Request.State.ASSIGNED]
    )


def _category(key: str) -> Category:
    found = Category.objects.filter(key=key, is_active=True).first()
    if found is None:
        raise PortalError("Đơn vị cấp nước không nhận việc này qua mạng. Mời đến quầy giao dịch.")
    return found


# --- a new connection


def apply_for_connection(
    account: PortalAccount, *, work: Work, facts: ApplicationFacts, note: str, now: datetime
) -> Application:
    """Ask for a new connection; the staff take it through its steps. Raises PortalError, CustomersError."""
    live = [one for one in links.list_applications(account.address, now) if one.stage in application_operations.OPEN]
    if len(live) >= OPEN_APPLICATIONS:
        raise PortalError(
            f"Bạn đang có {OPEN_APPLICATIONS} đề nghị chưa xong. Chờ đơn vị cấp nước xử lý, hoặc rút bớt."
        )
    wanted = (work.pk, facts.address.strip().lower())
    twin = next((one for one in live if (one.work_id, one.address.lower()) == wanted), None)
    if twin is not None:
        return twin  # sent twice
    return application_operations.open_application(
        work=work, facts=facts, by=None, now=now, source="portal", note=note, is_simulated=account.is_demo
    )


def apply_publicly(
    *, work: Work, facts: ApplicationFacts, note: str, nonce: str, address_hash: str, now: datetime
) -> Application:
    """Take the wish of somebody who is not signed in, once however often the form is sent; who proves the phone that it
    names follows it. Raises PortalError, CustomersError.
    """
    named = {"phone": facts.phone, "stage__in": application_operations.OPEN}
    own = Application.objects.filter(source="public", **named)
    try:
        with transaction.atomic():
            PublicPost.objects.create(nonce=nonce[:32], address_hash=address_hash, at=now)
            twin = own.filter(work=work, address__iexact=facts.address.strip()).first()
            if twin is not None:
                return twin
            if own.count() >= OPEN_APPLICATIONS:
                raise PortalError(
                    f"Số điện thoại này đang có {OPEN_APPLICATIONS} đề nghị chưa xong. Đăng nhập bằng số đó để theo "
                    "dõi hoặc rút bớt."
                )
            return application_operations.open_application(
                work=work, facts=facts, by=None, now=now, source="public", note=note
            )
    except IntegrityError:
        twin = own.filter(work=work, address__iexact=facts.address.strip()).first()
        if twin is None:
            raise PortalError("Biểu này đã gửi rồi. Tải lại trang để gửi đề nghị khác.") from None
        return twin


def withdraw_application(application: Application, *, now: datetime) -> Application:
    """Take one's own application back. Raises CustomersError if it is over."""
    return application_operations.stop(
        application, Application.Stage.WITHDRAWN, reason="Người đề nghị rút trên trang khách hàng", by=None, now=now
    )


# --- a reading of one's own


@dataclass(frozen=True)
class Turn:
    """What an index told today would do. period: the month; is_due: near enough to its reading day to close it.

    refusal: why it cannot be taken for that month, empty if it can.
    """

    period: date
    reading_day: date
    is_due: bool
    refusal: str = ""


def turn_of(connection: Connection, now: datetime) -> Turn:
    today = periods.local_date(now)
    read_day = connection.route.read_day if connection.route else 20
    period = plausibility.closing_month(today, read_day)
    day = plausibility.reading_day(period, read_day)
    is_due = abs((today - day).days) <= WINDOW_DAYS
    refusal = ""
    if is_due:
        month = f"{period:%m/%Y}"
        closed = Round.objects.filter(
            route=connection.route_id, period_start_date=period, state=Round.State.CLOSED
        ).exists()
        if Bill.objects.filter(connection=connection, period_start_date=period).exists():
            refusal = (
                f"Hóa đơn kỳ {month} đã phát hành nên không nhận thêm chỉ số của kỳ này. Nếu hóa đơn không đúng, "
                "gửi phản ánh «Khiếu nại hóa đơn» kèm ảnh đồng hồ."
            )
        elif closed:
            refusal = (
                f"Kỳ {month} đã chốt chỉ số. Chỉ số của bạn sẽ được ghi vào kỳ sau; nếu hóa đơn sắp tới không đúng, "
                "gửi phản ánh «Khiếu nại hóa đơn» kèm ảnh đồng hồ."
            )
    return Turn(period, day, is_due, refusal)


@dataclass(frozen=True)
class Told:
    """What became of an index that a customer told. outcome None: a roll-over is to be confirmed first."""

    outcome: readings.Outcome | None
    turn: Turn
    rolled_l: int | None = None


def tell_index(
    account: PortalAccount, connection: Connection, *, index_l: int, upload: Any, is_rolled_over: bool,
    nonce: str, now: datetime,
) -> Told:  # fmt: skip
    """Take what the customer read off their own meter: judged as every reading is, and corrected by a second one.

    A customer confirms nothing that would be billed unseen: what is odd waits for the staff. Near a meter's end they
    are asked first whether it went through zero. upload: the photo as it came, decoded only if all else is well.
    Raises PortalError, CustomersError.
    """
    turn = turn_of(connection, now)
    if turn.refusal:
        raise PortalError(turn.refusal)
    own = Reading.objects.filter(connection=connection, source=Reading.Source.CUSTOMER)
    if own.filter(received_at__gt=now - timedelta(days=1)).count() >= READINGS_A_DAY:
        raise PortalError(f"Hôm nay đã báo {READINGS_A_DAY} lần. Gọi đơn vị cấp nước nếu chỉ số vẫn chưa đúng.")
    given: dict[str, Any] = {
        "read_at": now, "source": Reading.Source.CUSTOMER, "index_l": index_l, "closes": turn.is_due,
        "period_start_date": turn.period if turn.is_due else None,
    }  # fmt: skip
    asked = readings.take_many([readings.Incoming(connection.pk, **given)], person=None, now=now, dry=True)[0]
    if "ROLLOVER" in asked.flags and not is_rolled_over:
        return Told(None, turn)
    note = "Khách hàng nói đồng hồ đã quay vòng." if "ROLLOVER" in asked.flags else ""
    photo = keep_photo(upload)
    outcome = readings.take_reading(
        connection, person=None, photo=photo, note=note, now=now,
        confirmed_flags={"SWAPPED"},  # no neighbour's reading waits because of what a customer typed
        client_id=uuid.UUID(nonce_of(account, nonce)), replaces=_earlier(connection, turn, index_l),
        is_simulated=account.is_demo, **given,
    )  # fmt: skip
    told = outcome.reading
    if outcome.fate == FieldItem.Fate.DUPLICATE and told is not None and told.index_l != index_l:
        raise PortalError(
            f"Biểu này đã gửi chỉ số {format_number((told.index_l or 0) // 1000)} m³ trước đó. "
            "Mở lại trang để báo chỉ số khác."
        )
    return Told(outcome, turn)


def _earlier(connection: Connection, turn: Turn, index_l: int) -> Reading | None:
    """Return the customer's own earlier reading of the month if it is the only one there: the new one corrects it."""
    if not turn.is_due:
        return None
    there = list(
        Reading.objects.filter(
            connection=connection, period_start_date=turn.period, index_l__isnull=False,
            state__in=[Reading.State.ACCEPTED, Reading.State.SUSPECT, Reading.State.CONFLICT],
        ).exclude(kind=Reading.Kind.ESTIMATED)[:2]
    )  # fmt: skip
    is_own = len(there) == 1 and there[0].source == Reading.Source.CUSTOMER and there[0].judged_at is None
    return there[0] if is_own and there[0].index_l != index_l else None


def keep_photo(upload: Any) -> StoredFile:
    """Check, clean and keep the picture of a meter. Raises PortalError."""
    try:
        content, kind = pictures.clean(upload.read(pictures.BYTES_MAX + 1))
        return files.store(content, name=f"dong-ho.{kind}", by=None, kinds=frozenset({"png", "jpeg"}))
    except (pictures.BadPicture, files.RefusedFile) as reason:
        raise PortalError(str(reason)) from None


FATES = {
    FieldItem.Fate.STORED: ("Đã nhận", "good"), FieldItem.Fate.SUSPECT: ("Chờ nhân viên xem lại", "warning"),
    FieldItem.Fate.CONFLICT: ("Khác chỉ số đã có", "warning"), FieldItem.Fate.DUPLICATE: ("Trùng chỉ số đã có", "info"),
}  # fmt: skip


def what_next(told: Told) -> str:
    """Return, in words for the customer, what happens next with the index they told."""
    assert told.outcome is not None  # noqa: S101 - asked of what was taken
    month = f"{told.turn.period:%m/%Y}"
    if told.outcome.fate == FieldItem.Fate.CONFLICT:
        return (
            f"Kỳ {month} đã có chỉ số khác. Cả hai được giữ; nhân viên xem ảnh rồi chọn, bạn thấy kết quả ở trang này."
        )
    if told.outcome.fate == FieldItem.Fate.SUSPECT:
        odd = [plausibility.WARNINGS[key].title.lower() for key in told.outcome.flags if key != "SWAPPED"]
        why = f" ({', '.join(odd)})" if odd else ""
        return f"Chỉ số khác thường{why} nên nhân viên xem ảnh, có thể gọi hoặc đến đọc lại, trước khi dùng."
    if not told.turn.is_due:
        return (
            f"Ghi nhận để tham khảo: còn xa ngày ghi ({format_date(told.turn.reading_day)}). Báo trong vòng "
            f"{WINDOW_DAYS} ngày quanh ngày đó thì chỉ số được dùng tính hóa đơn."
        )
    return f"Chỉ số này dùng tính hóa đơn kỳ {month}, trừ khi nhân viên đến đọc thấy khác."
