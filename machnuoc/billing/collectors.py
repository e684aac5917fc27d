"""What a collector takes along on a route, and the money that comes back; a bag is a drawer like any other."""

from datetime import datetime

from django.db import transaction

from machnuoc.billing import ledger, payments, till
from machnuoc.billing.models import CollectionSheet, Payment
from machnuoc.billing.payments import NotPossible
from machnuoc.core import audit
from machnuoc.core.models import Person
from machnuoc.customers.models import Connection, Route


@transaction.atomic
def make_sheet(route: Route, *, collector: Person, now: datetime, by: Person) -> CollectionSheet:
    """Put the open bills of a route on a sheet for its collector. Raises NotPossible if there is nothing to collect."""
    Route.objects.select_for_update(no_key=True).get(pk=route.pk)
    if CollectionSheet.objects.filter(route=route, closed_at__isnull=True).exists():
        raise NotPossible(f"Tuyến {route.code} đang có phiếu thu chưa đóng. Đóng phiếu đó trước khi lập phiếu mới.")
    holders = dict(Connection.objects.filter(route=route).values_list("pk", "customer_id"))
    bills = [  # of who lives there now: what a former holder left unpaid is not collected at this door
        bill.pk for bill in ledger.list_open_bills(holders)
        if bill.open_vnd > 0 and bill.customer_id == holders[bill.connection_id]
    ]  # fmt: skip
    if not bills:
        raise NotPossible(f"Tuyến {route.code} không có hóa đơn nào chưa trả.")
    made = CollectionSheet.objects.create(
        route=route, collector=collector, made_at=now, made_by=by, till=till.open_till_of(collector)
    )
    made.bills.set(bills)
    audit.record("billing.sheet.made", actor=by, target=made, count=len(bills))
    return made


@transaction.atomic
def take(
    sheet: CollectionSheet, connection: Connection, *, amount_vnd: int, key: str, now: datetime, by: Person
) -> Payment:
    """Record what the collector took at a door: the bills of the sheet first. Raises BillingError."""
    held = CollectionSheet.objects.select_for_update().get(pk=sheet.pk)
    if held.closed_at is not None:
        raise NotPossible(f"Phiếu thu #{held.pk} đã đóng. Lập phiếu mới cho tuyến này.")
    if held.collector_id != by.pk:
        raise NotPossible("Chỉ người thu của phiếu mới ghi tiền vào phiếu.")
    own = list(held.bills.filter(connection=connection).order_by("due_date", "pk").values_list("pk", flat=True))
    if not own:
        raise NotPossible(f"Đấu nối {connection.code} không có trong phiếu thu này.")
    bag = till.open_till_of(by)
    paid = payments.record_payment(
        connection=connection, amount_vnd=amount_vnd, method=payments.Method.COLLECTOR, received_at=now, now=now, by=by,
        till=bag, bill_ids=own, idempotency_key=key or None,
    )  # fmt: skip
    if held.till_id is None and bag is not None:
        held.till = bag
        held.save(update_fields=["till"])
    return paid


@transaction.atomic
def close_sheet(sheet: CollectionSheet, *, now: datetime, by: Person) -> CollectionSheet:
    """Close a sheet: what is still open of it is collected on another. Raises NotPossible."""
    held = CollectionSheet.objects.select_for_update().get(pk=sheet.pk)
    if held.closed_at is not None:
        raise NotPossible(f"Phiếu thu #{held.pk} đã đóng trước đó.")
    held.closed_at = now
    held.save(update_fields=["closed_at"])
    audit.record("billing.sheet.closed", actor=by, target=held)
    return held


audit.describe("billing.sheet.made", "lập phiếu thu {target} với {count} hóa đơn")
audit.describe("billing.sheet.closed", "đóng phiếu thu {target}")
