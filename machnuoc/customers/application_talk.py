"""What who applies for a connection is told and says: the items of a quote, dates promised, questions and answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from machnuoc.core.models import Person
from machnuoc.core.periods import local_date
from machnuoc.core.vietnamese import NotANumber, format_date, format_number, parse_number, round_half_up
from machnuoc.customers.connection_operations import RecordError
from machnuoc.customers.models import Application, ApplicationMessage, ApplicationStep, QuoteItem

Kind = ApplicationMessage.Kind
ITEMS_MOST = 60
QUESTIONS_MOST = 20  # of one application that wait or were answered
TEXT_LEAST, TEXT_MOST = 3, 1_000
PROMISED_MOST = timedelta(days=730)
_QUANTITY_MOST = Decimal(1_000_000)
_PRICE_MOST = 10**11


@dataclass(frozen=True)
class QuoteLine:
    """One item of a quote. price_vnd: of one unit."""

    title: str
    quantity: Decimal
    unit: str
    price_vnd: int

    @property
    def amount_vnd(self) -> int:
        """Return quantity times price, rounded half up to whole đồng."""
        return int((self.quantity * self.price_vnd).quantize(Decimal(1), ROUND_HALF_UP))


def parse_lines(text: str) -> list[QuoteLine]:
    """Read the items of a quote: one a line, «name; quantity; unit; price». Raises RecordError naming the line.

    >>> [(one.title, one.unit, one.amount_vnd) for one in parse_lines("Ống HDPE DN25; 12,5; m; 18.000")]
    [('Ống HDPE DN25', 'm', 225000)]
    """
    found: list[QuoteLine] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        if len(found) == ITEMS_MOST:
            raise RecordError(f"Báo giá tối đa {ITEMS_MOST} khoản mục. Gộp bớt, hoặc kèm bảng chi tiết bằng tệp.")
        parts = [" ".join(part.split()) for part in line.split(";")]
        if len(parts) != 4 or not parts[0]:
            raise RecordError(
                f"Dòng {number} của báo giá chưa đúng: ghi «tên; số lượng; đơn vị; đơn giá», "
                "ví dụ «Ống HDPE DN25; 12,5; m; 18.000»."
            )
        title, quantity, unit, price = parts
        if len(title) > 160 or len(unit) > 20:
            raise RecordError(f"Dòng {number} của báo giá quá dài: tên tối đa 160 ký tự, đơn vị 20 ký tự.")
        found.append(QuoteLine(title, _quantity(quantity, number), unit, _price(price, number)))
    return found


def _quantity(text: str, line: int) -> Decimal:
    value = _number(text, integer=False)
    if value is None or not 0 < value <= _QUANTITY_MOST or value != round_half_up(value, 3):
        raise RecordError(f"Dòng {line} của báo giá: số lượng «{text[:20]}» chưa đúng. Ghi số dương như 1 hoặc 12,5.")
    return value


def _price(text: str, line: int) -> int:
    value = _number(text.removesuffix("đồng").removesuffix("đ"), integer=True)
    if value is None or not 0 <= value <= _PRICE_MOST or value != value.to_integral_value():
        raise RecordError(f"Dòng {line} của báo giá: đơn giá «{text[:20]}» chưa đúng. Ghi số đồng nguyên như 18.000.")
    return int(value)


def _number(text: str, *, integer: bool) -> Decimal | None:
    try:
        return parse_number(text, integer=integer)
    except NotANumber:
        return None


def quote_total(quote_vnd: int | None, items: Sequence[QuoteLine]) -> int:
    """Return what the quote comes to, đồng. Raises RecordError if nothing says it, or amount and items differ."""
    total = sum(one.amount_vnd for one in items)
    if quote_vnd is None and items:
        return total
    if quote_vnd is None or quote_vnd < 0:
        raise RecordError("Ghi chi phí lắp đặt (đồng), hoặc các khoản mục của báo giá; 0 nếu miễn phí.")
    if items and quote_vnd != total:
        raise RecordError(
            f"Các khoản mục cộng lại {format_number(total)} đồng, khác chi phí đã ghi {format_number(quote_vnd)} đồng. "
            "Sửa cho khớp, hoặc để trống chi phí để lấy tổng các khoản mục."
        )
    return quote_vnd


def keep_items(application: Application, items: Sequence[QuoteLine]) -> None:
    """Put the items of a quote in the place of those before."""
    application.quote_items.all().delete()
    QuoteItem.objects.bulk_create(
        QuoteItem(
            application=application, title=one.title, quantity=one.quantity, unit=one.unit, price_vnd=one.price_vnd,
            amount_vnd=one.amount_vnd,
        )
        for one in items
    )  # fmt: skip


def check_promise(application: Application, day: date | None, since: datetime) -> None:
    """Raise RecordError for a day that cannot be promised: before `since`, or years away."""
    if day is None:
        return
    first = local_date(since)
    if not first <= day <= first + PROMISED_MOST:
        raise RecordError(
            f"Hồ sơ {application.code}: ngày hẹn phải từ {format_date(first)} đến {format_date(first + PROMISED_MOST)}."
        )


def say(
    application: Application, kind: ApplicationMessage.Kind, text: str, *, by: Person | None, now: datetime
) -> ApplicationMessage:
    """Keep a question or an answer; a question sent twice is kept once. Raises RecordError."""
    said = text.strip()
    if not TEXT_LEAST <= len(said) <= TEXT_MOST:
        raise RecordError(f"Viết từ {TEXT_LEAST} đến {TEXT_MOST} ký tự.")
    last = application.messages.order_by("-id").first()
    if last is not None and (last.kind, last.text) == (kind, said):
        return last
    if by is None and application.messages.filter(kind=Kind.QUESTION).count() >= QUESTIONS_MOST:
        raise RecordError(
            f"Đề nghị {application.code} đã có {QUESTIONS_MOST} câu hỏi. Gọi đơn vị cấp nước để hỏi thêm."
        )
    step = application.steps.order_by("-id").first()
    return ApplicationMessage.objects.create(application=application, step=step, kind=kind, at=now, by=by, text=said)


def is_accepted(application: Application) -> bool:
    """Return whether who applies said yes to the last quote."""
    last = application.steps.filter(stage=Application.Stage.QUOTED).order_by("-id").values("pk")[:1]
    return application.messages.filter(kind=Kind.ACCEPTED, step_id=Subquery(last)).exists()


def with_talk(rows: QuerySet[Application]) -> QuerySet[Application]:
    """Add `is_asked` (a question waits for an answer) and `is_accepted` (of the quote that stands) to applications."""
    newest = ApplicationMessage.objects.filter(application=OuterRef("pk"), kind__in=[Kind.QUESTION, Kind.ANSWER])
    quote = ApplicationStep.objects.filter(application=OuterRef("application"), stage=Application.Stage.QUOTED)
    accepted = ApplicationMessage.objects.filter(
        application=OuterRef("pk"), kind=Kind.ACCEPTED, step_id=Subquery(quote.order_by("-id").values("pk")[:1])
    )
    return rows.annotate(
        last_said=Subquery(newest.order_by("-id").values("kind")[:1]),
        is_accepted=Exists(accepted),
    )


ASKED = Q(last_said=Kind.QUESTION)
