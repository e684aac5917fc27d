"""Payments for programs: pages by cursor, one with the bills it pays. For tokens that may `serve` where it was paid."""

from datetime import date, datetime, timedelta

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Field, Query, Schema

from machnuoc.billing import payment_queries, payments
from machnuoc.billing.api import router
from machnuoc.billing.models import Payment
from machnuoc.billing.payment_views import start_of
from machnuoc.core.api import DEFAULT_PAGE, MAX_PAGE, Page, person_of, take_page
from machnuoc.core.models import Person
from machnuoc.customers import privacy
from machnuoc.customers.models import DataAccess
from machnuoc.places import access

_BIGGEST_ID = 2**63 - 1
_FIRST_DAY, _LAST_DAY = date(2000, 1, 1), date(2999, 12, 31)
_METHODS = "|".join(Payment.Method.values)


class PaymentsFilter(Schema):
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)
    connection_code: str = Field("", max_length=24)
    method: str = Field("", pattern=f"^({_METHODS})?$")
    from_date: date | None = Field(None, ge=_FIRST_DAY, le=_LAST_DAY, description="received on this day or later")
    to_date: date | None = Field(None, ge=_FIRST_DAY, le=_LAST_DAY, description="received before this day ends")


class PaymentOut(Schema):
    """Money in đồng. left_vnd: paid no bill yet. is_reversed: taken back, whole. Who paid is not told."""

    id: int
    connection_code: str
    customer_code: str = Field(description="whose bills it pays")
    work_key: str
    method: str
    amount_vnd: int
    left_vnd: int
    received_at: datetime
    recorded_at: datetime
    external_id: str | None
    receipt_number: int | None
    is_reversed: bool
    is_simulated: bool


class PaymentShareOut(Schema):
    bill_id: int
    amount_vnd: int


class PaymentDetailOut(PaymentOut):
    bills: list[PaymentShareOut]


def _out(row: Payment, left_vnd: int) -> dict[str, object]:
    owner = row.customer or row.connection.customer
    return {
        "id": row.pk, "connection_code": row.connection.code, "customer_code": owner.code,
        "work_key": row.connection.work.subject.key, "method": row.method, "amount_vnd": row.amount_vnd,
        "left_vnd": left_vnd, "received_at": row.received_at, "recorded_at": row.recorded_at,
        "external_id": row.external_id, "receipt_number": row.receipt_number,
        "is_reversed": bool(getattr(row, "is_reversed", False)), "is_simulated": row.is_simulated,
    }  # fmt: skip


def _require_serve(person: Person) -> None:
    if not access.may(person, "serve"):
        raise PermissionDenied("Tài khoản của bạn không xem các khoản thu.")


@router.get("/payments", response=Page[PaymentOut], summary="Payments of connections that the token's person serves")
def list_payments(request: HttpRequest, asked: Query[PaymentsFilter]) -> dict[str, object]:
    """In the order of their entry."""
    person: Person = person_of(request)
    _require_serve(person)
    rows = payment_queries.list_payments(person).select_related("customer")
    if asked.connection_code:
        rows = rows.filter(connection__code=asked.connection_code)
    if asked.method:
        rows = rows.filter(method=asked.method)
    if asked.from_date is not None:
        rows = rows.filter(received_at__gte=start_of(asked.from_date))
    if asked.to_date is not None:
        rows = rows.filter(received_at__lt=start_of(asked.to_date + timedelta(days=1)))
    found, cursor = take_page(rows, cursor=asked.cursor, limit=asked.limit)
    left = payments.unallocated([row.pk for row in found])
    privacy.log_access(person, DataAccess.What.LIST, now=timezone.now(), count=len(found), purpose="API")
    return {"items": [_out(row, left[row.pk]) for row in found], "next_cursor": cursor}


@router.get("/payments/{payment_id}", response=PaymentDetailOut, summary="One payment with the bills it pays")
def get_payment(request: HttpRequest, payment_id: int) -> dict[str, object]:
    """What is left of it pays the next bill of the same customer."""
    person: Person = person_of(request)
    _require_serve(person)
    rows = payment_queries.list_payments(person).select_related("customer")
    row = rows.filter(pk=payment_id).first() if 0 < payment_id <= _BIGGEST_ID else None
    if row is None:
        raise Http404(f"no payment {payment_id} in scope")
    privacy.log_access(
        person, DataAccess.What.PAGE, now=timezone.now(), customer=row.customer or row.connection.customer,
        purpose="API",
    )  # fmt: skip
    bills = [{"bill_id": bill.pk, "amount_vnd": amount} for bill, amount in payment_queries.paid_bills(row)]
    return {**_out(row, payments.unallocated([row.pk])[row.pk]), "bills": bills}
