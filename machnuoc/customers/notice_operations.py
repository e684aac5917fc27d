"""What is done about notices to customers: put out, withdrawn, sent to those who agreed to messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef

from machnuoc.core import audit, jobs, sending
from machnuoc.core.models import Person, Sending
from machnuoc.core.periods import LOCAL_ZONE
from machnuoc.customers import notice_queries, visibility
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Consent, Customer, Route, ServiceNotice
from machnuoc.places.models import Subject
from machnuoc.works.models import Work

AT_ONCE = 200  # messages of one transaction: the one writer of SQLite is held well below a second
TASK = "customers.send_notice"
LONGEST = timedelta(days=366)
PAGE = "/cong-khai/thong-bao/"

audit.describe("customers.notice.published", "đăng thông báo tới khách hàng {target}")
audit.describe("customers.notice.withdrawn", "rút thông báo tới khách hàng {target}")
audit.describe("customers.notice.sent", "nhắn tin thông báo {target} cho {count} khách hàng đã đồng ý")


class NoticeError(CustomersError):
    """A notice that cannot be put out or withdrawn."""


@dataclass(frozen=True)
class NoticeFacts:
    """What a notice says, and whom it is for. No places and no routes: all customers of the works."""

    kind: str
    title: str
    text: str
    works: Sequence[Work]
    starts_at: datetime
    ends_at: datetime | None = None
    places: Sequence[Subject] = ()
    routes: Sequence[Route] = ()


@transaction.atomic
def publish(
    facts: NoticeFacts, *, by: Person, now: datetime, is_to_be_sent: bool = False, is_simulated: bool = False
) -> ServiceNotice:
    """Put a notice out; messages follow in a job where they are asked for. Raises NoticeError, PermissionDenied."""
    title, text = " ".join(facts.title.replace("\0", "").split()), facts.text.replace("\0", "").strip()
    if facts.kind not in ServiceNotice.Kind.values:
        raise NoticeError("Chọn loại thông báo trong danh sách.")
    if len(title) < 5 or len(text) < 10:
        raise NoticeError("Ghi tiêu đề và nội dung: khách hàng cần biết việc gì, ở đâu, đến bao giờ.")
    if not facts.works:
        raise NoticeError("Chọn ít nhất một công trình.")
    for work in facts.works:
        visibility.require_work(by, "serve", work.pk)
    operators = {work.operator_id for work in facts.works}
    if len(operators) > 1 or None in operators:
        raise NoticeError("Các công trình phải cùng một đơn vị cấp nước. Đăng riêng cho từng đơn vị.")
    if facts.ends_at is not None and facts.ends_at <= facts.starts_at:
        raise NoticeError("Lúc kết thúc phải sau lúc bắt đầu.")
    if facts.ends_at is not None and facts.ends_at <= now:
        raise NoticeError("Việc này đã qua. Chỉ đăng điều khách hàng còn cần biết.")
    if facts.kind == ServiceNotice.Kind.OUTAGE and facts.ends_at is None:
        raise NoticeError("Ghi lúc dự kiến có nước lại: khách hàng cần trữ nước đến bao giờ.")
    if facts.starts_at < now - notice_queries.SHOWN_BEFORE:
        raise NoticeError("Lúc bắt đầu đã quá lâu. Kiểm tra lại ngày.")
    if (facts.ends_at or facts.starts_at) > now + LONGEST:
        raise NoticeError("Thông báo quá xa: tối đa một năm tới.")
    works = {work.pk for work in facts.works}
    for route in facts.routes:
        if route.work_id not in works:
            raise NoticeError(f"Tuyến {route.code} không thuộc các công trình đã chọn. Bỏ tuyến, hoặc thêm công trình.")
    made = ServiceNotice.objects.create(
        operator_id=next(iter(operators)), kind=facts.kind, title=title[:160], text=text[:2_000],
        starts_at=facts.starts_at, ends_at=facts.ends_at, published_at=now, published_by=by,
        is_to_be_sent=is_to_be_sent, is_simulated=is_simulated,
    )  # fmt: skip
    made.works.set(facts.works)
    made.places.set(facts.places)
    made.routes.set(facts.routes)
    audit.record("customers.notice.published", actor=by, target=made, kind=made.kind, works=sorted(works))
    if is_to_be_sent:
        jobs.enqueue(TASK, by=by, notice_id=made.pk)
    return made


@transaction.atomic
def withdraw(notice: ServiceNotice, *, reason: str, by: Person, now: datetime) -> ServiceNotice:
    """Take a notice back: it stays readable for a while with the reason. Raises NoticeError, PermissionDenied."""
    row = ServiceNotice.objects.select_for_update(of=("self",)).get(pk=notice.pk)
    for work in row.works.all():
        visibility.require_work(by, "serve", work.pk)
    if row.withdrawn_at is not None:
        raise NoticeError("Thông báo này đã rút. Tải lại trang để xem.")
    if len(reason.strip()) < 3:
        raise NoticeError("Ghi lý do rút: người đã đọc thông báo cần biết.")
    row.withdrawn_at, row.withdrawn_by, row.withdrawn_reason = now, by, reason.strip()[:300]
    row.save(update_fields=["withdrawn_at", "withdrawn_by", "withdrawn_reason"])
    audit.record("customers.notice.withdrawn", actor=by, target=row)
    return row


def sending_key(customer_id: int, notice_id: int) -> str:
    return f"service-notice:{customer_id}:{notice_id}"


def send_some(notice_id: int, now: datetime) -> bool:
    """Put the next messages of a notice into the outbox; return whether there may be more.

    One message a customer, however many connections they have, to those who agreed to messages. Run again after a kill
    it goes on where it was. A withdrawn notice is not sent on.
    """
    with transaction.atomic():
        row = ServiceNotice.objects.select_for_update(of=("self",)).select_related("operator__subject").get(
            pk=notice_id
        )  # fmt: skip
        if row.sent_at is not None or row.withdrawn_at is not None or not row.is_to_be_sent:
            return False
        agreed = Consent.objects.filter(
            customer=OuterRef("pk"), purpose=Consent.Purpose.NOTICES, withdrawn_at__isnull=True
        )
        concerned = notice_queries.connections_of(row).filter(customer=OuterRef("pk"))
        customers = list(  # asked one by one from where it was: a set of all concerned would be made for each chunk
            Customer.objects.filter(
                Exists(agreed), Exists(concerned), pk__gt=row.sent_up_to, is_simulated=False, erased_at__isnull=True
            ).order_by("pk")[:AT_ONCE]
        )
        for customer in customers:
            channel, address = sending.reach(customer.phone, customer.email)
            if not address:
                continue
            sent = sending.queue(
                key=sending_key(customer.pk, row.pk), channel=channel, title=row.title, text=message_of(row), now=now,
                address=address, url=PAGE,
            )  # fmt: skip
            row.sent_count += sent is not None
        if customers:
            row.sent_up_to = customers[-1].pk
        is_done = len(customers) < AT_ONCE
        if is_done:
            row.sent_at = now
            audit.record("customers.notice.sent", actor=row.published_by, target=row, count=row.sent_count)
        row.save(update_fields=["sent_up_to", "sent_count", "sent_at"])
    return not is_done


def message_of(notice: ServiceNotice) -> str:
    """Return what a message says of a notice: who, when, and the text as far as it goes."""
    return f"{notice.operator.subject.name}: {when_text(notice)}. {notice.text}"[:600]


def when_text(notice: ServiceNotice) -> str:
    """Return from when to when a notice holds, as people say it."""
    start = notice.starts_at.astimezone(LOCAL_ZONE)
    if notice.ends_at is None:
        return f"từ {start:%H:%M ngày %d/%m/%Y}"
    end = notice.ends_at.astimezone(LOCAL_ZONE)
    if start.date() == end.date():
        return f"từ {start:%H:%M} đến {end:%H:%M ngày %d/%m/%Y}"
    return f"từ {start:%H:%M %d/%m/%Y} đến {end:%H:%M %d/%m/%Y}"


def count_concerned(notice: ServiceNotice) -> int:
    return notice_queries.connections_of(notice).count()


def where_text(notice: ServiceNotice) -> str:
    """Return where a notice holds: communes and routes if it names some, else its works."""
    places = [one.name for one in notice.places.all()]
    routes = [f"tuyến {one.name}" for one in notice.routes.all()]
    works = [one.subject.name for one in notice.works.all()]
    return ", ".join([*places, *routes]) or ", ".join(works)


def forget_addresses(customer: Customer) -> int:
    """Take a customer's address out of the messages about notices, part of the erasure of their data."""
    return Sending.objects.filter(key__startswith=f"service-notice:{customer.pk}:", person__isnull=True).update(
        address="(đã xóa)"
    )
