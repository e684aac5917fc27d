"""E-invoices for programs: where each stands on its way to the tax authority. The XML itself is taken from its page."""

from datetime import datetime

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from ninja import Field, Query, Schema

from machnuoc.billing import einvoice_queries
from machnuoc.billing.api import router
from machnuoc.billing.models import EInvoice
from machnuoc.core.api import DEFAULT_PAGE, MAX_PAGE, BadQuery, Page, person_of, take_page
from machnuoc.core.periods import BadPeriod, Period
from machnuoc.places import access

_BIGGEST_ID = 2**63 - 1


class EInvoicesFilter(Schema):
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)
    state: str = Field("", pattern=f"^({'|'.join(EInvoice.State.values)})?$")
    period: str = Field("", pattern=r"^([0-9]{4}-(0[1-9]|1[0-2]))?$", description="billing month, as 2026-07")


class EInvoiceOut(Schema):
    """bill_id names it. authority_code: of the tax authority (MCCQT), empty until it is given."""

    bill_id: int
    number: str
    connection_code: str
    period: str
    kind: str
    total_vnd: int
    state: str
    is_test_certificate: bool
    signed_at: datetime
    sent_at: datetime | None
    answered_at: datetime | None
    provider_reference: str
    authority_code: str
    error: str
    attempts: int
    xml_sha256: str
    is_simulated: bool


def _rows(request: HttpRequest) -> QuerySet[EInvoice]:
    """Return the e-invoices of where the token's person prepares bills. Raises PermissionDenied."""
    person = person_of(request)
    if not access.may(person, "bill"):
        raise PermissionDenied("Tài khoản của bạn không xem hóa đơn điện tử.")
    return einvoice_queries.select(person, einvoice_queries.Filters())


def _out(row: EInvoice) -> dict[str, object]:
    bill = row.bill
    return {
        "bill_id": bill.pk, "number": bill.name, "connection_code": bill.connection.code,
        "period": f"{bill.period_start_date:%Y-%m}", "kind": bill.kind, "total_vnd": bill.total_vnd,
        "state": row.state, "is_test_certificate": row.is_test_certificate, "signed_at": row.signed_at,
        "sent_at": row.sent_at, "answered_at": row.answered_at, "provider_reference": row.provider_reference,
        "authority_code": row.authority_code, "error": row.error, "attempts": row.attempts,
        "xml_sha256": row.xml.sha256, "is_simulated": bill.is_simulated,
    }  # fmt: skip


@router.get("/einvoices", response=Page[EInvoiceOut], summary="E-invoices where the token's person prepares bills")
def list_einvoices(request: HttpRequest, asked: Query[EInvoicesFilter]) -> dict[str, object]:
    """In the order of their signing."""
    rows = _rows(request)
    if asked.state:
        rows = rows.filter(state=asked.state)
    if asked.period:
        try:
            month = Period.parse(asked.period).start_date
        except BadPeriod as reason:
            raise BadQuery(f"period: {reason}") from None
        rows = rows.filter(bill__period_start_date=month)
    found, cursor = take_page(rows, cursor=asked.cursor, limit=asked.limit)
    return {"items": [_out(row) for row in found], "next_cursor": cursor}


@router.get("/einvoices/{bill_id}", response=EInvoiceOut, summary="The e-invoice of one bill")
def get_einvoice(request: HttpRequest, bill_id: int) -> dict[str, object]:
    """By the id of its bill."""
    row = _rows(request).filter(bill_id=bill_id).first() if 0 < bill_id <= _BIGGEST_ID else None
    if row is None:
        raise Http404(f"no e-invoice of bill {bill_id} in scope")
    return _out(row)
