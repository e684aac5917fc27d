"""Bills for programs: pages by cursor, one with its lines. Names are masked unless the token may `serve`."""

from datetime import date, datetime

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Field, Query, Schema

from machnuoc.billing import bill_queries, ledger, reference
from machnuoc.billing.api import router
from machnuoc.billing.models import Bill
from machnuoc.core.api import DEFAULT_PAGE, MAX_PAGE, Page, person_of, take_page
from machnuoc.core.models import Person
from machnuoc.customers import privacy, visibility
from machnuoc.customers.models import DataAccess, Group
from machnuoc.places import access

_BIGGEST_ID = 2**63 - 1


class BillsFilter(Schema):
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)
    period: str = Field("", pattern=r"^([0-9]{4}-(0[1-9]|1[0-2]))?$", description="billing month, as 2026-07")
    connection_code: str = Field("", max_length=24)
    work_key: str = Field("", max_length=120)
    kind: str = Field("", pattern="^(NORMAL|ADJUSTMENT_UP|ADJUSTMENT_DOWN|REPLACEMENT)?$")
    group: str = Field("", pattern=f"^({'|'.join(Group.values)})?$")


class BillOut(Schema):
    """Money in đồng, volume in litres; of a decrease both are negative. open_vnd: not paid yet."""

    id: int
    number: str = Field(description="form, series and number of the invoice")
    reference: str = Field(description="what a bank transfer names it by")
    kind: str
    state: str
    corrects_id: int | None
    connection_code: str
    work_key: str
    customer_code: str
    name: str = Field(description="masked unless is_masked is false")
    is_masked: bool
    period: str
    from_date: date
    to_date: date = Field(description="the day after the last")
    group: str
    volume_l: int
    is_estimated: bool
    net_vnd: int
    vat_vnd: int
    fee_vnd: int
    total_vnd: int
    open_vnd: int
    due_date: date
    issued_at: datetime
    is_simulated: bool


class BillLineOut(Schema):
    order: int
    tariff_key: str
    group: str
    block: int
    days: int
    volume_l: int
    price_vnd: int
    amount_vnd: int


class BillDetailOut(BillOut):
    lines: list[BillLineOut]


def _out(bill: Bill, open_vnd: int, *, unmasked: bool) -> dict[str, object]:
    shown = privacy.show(bill.customer, bill.connection, unmasked=unmasked)
    return {
        "id": bill.pk, "number": bill.name, "reference": reference.make(bill.pk), "kind": bill.kind,
        "state": bill.state, "corrects_id": bill.corrects_id, "connection_code": bill.connection.code,
        "work_key": bill.connection.work.subject.key, "customer_code": bill.customer.code, "name": shown.name,
        "is_masked": shown.is_masked, "period": f"{bill.period_start_date:%Y-%m}", "from_date": bill.from_date,
        "to_date": bill.to_date, "group": bill.group, "volume_l": bill.volume_l, "is_estimated": bill.is_estimated,
        "net_vnd": bill.net_vnd, "vat_vnd": bill.vat_vnd, "fee_vnd": bill.fee_vnd, "total_vnd": bill.total_vnd,
        "open_vnd": open_vnd, "due_date": bill.due_date, "issued_at": bill.issued_at,
        "is_simulated": bill.is_simulated,
    }  # fmt: skip


@router.get("/bills", response=Page[BillOut], summary="Bills that the token's person sees")
def list_bills(request: HttpRequest, asked: Query[BillsFilter]) -> dict[str, object]:
    """In the order of their issue. Each look at unmasked names is logged."""
    person: Person = person_of(request)
    if not (access.may(person, "serve") or access.may(person, "view")):
        raise PermissionDenied("Tài khoản của bạn không xem hóa đơn.")
    rows = bill_queries.list_bills(person, bill_queries.Filters(period=asked.period, group=asked.group))
    if asked.connection_code:
        rows = rows.filter(connection__code=asked.connection_code)
    if asked.work_key:
        rows = rows.filter(connection__work__subject__key=asked.work_key)
    if asked.kind:
        rows = rows.filter(kind=asked.kind)
    found, cursor = take_page(rows, cursor=asked.cursor, limit=asked.limit)
    open_vnd = ledger.open_of(found)
    served = visibility.served_among(person, [bill.connection for bill in found])
    unmasked = {bill.customer_id for bill in found if bill.connection_id in served}
    privacy.log_access(person, DataAccess.What.LIST, now=timezone.now(), count=len(unmasked), purpose="API")
    items = [_out(bill, open_vnd[bill.pk], unmasked=bill.connection_id in served) for bill in found]
    return {"items": items, "next_cursor": cursor}


@router.get("/bills/{bill_id}", response=BillDetailOut, summary="One bill with its lines")
def get_bill(request: HttpRequest, bill_id: int) -> dict[str, object]:
    """The lines are block by block: volume × price, rounded by the written rule."""
    person: Person = person_of(request)
    bill = bill_queries.find_bill(person, bill_id) if 0 < bill_id <= _BIGGEST_ID else None
    if bill is None:
        raise Http404(f"no bill {bill_id} in scope")
    is_served = visibility.may(person, "serve", bill.connection)
    if is_served:
        privacy.log_access(person, DataAccess.What.PAGE, now=timezone.now(), customer=bill.customer, purpose="API")
    lines = [
        {
            "order": line.order, "tariff_key": line.tariff.key, "group": line.group, "block": line.block,
            "days": line.days, "volume_l": line.volume_l, "price_vnd": line.price_vnd, "amount_vnd": line.amount_vnd,
        }
        for line in bill.lines.select_related("tariff").order_by("order")
    ]  # fmt: skip
    return {**_out(bill, ledger.open_of([bill])[bill.pk], unmasked=is_served), "lines": lines}
