"""Telling customers that a bill is there: one message a bill, to those who agreed to messages, after its run is issued.

Run again after a kill, it goes on: what a key was told for is not told again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.urls import reverse

from machnuoc.billing import ledger
from machnuoc.billing.models import Bill, BillingRun
from machnuoc.core import audit, jobs, sending
from machnuoc.core.models import Sending
from machnuoc.core.vietnamese import format_date, format_number
from machnuoc.customers.models import Consent, Customer

TASK = "portal.tell_bills"
AT_ONCE = 200  # messages in one transaction: SQLite's writer is held for a fraction of a second
_KEY = "portal-bill:"

audit.describe("portal.bills.told", "gửi tin hóa đơn của đợt {target}")


@dataclass(frozen=True)
class Told:
    """How many messages went into the outbox, how many of them no channel carries, of how many bills none was made.

    silent: customers who did not agree, gave no address, or are simulated.
    """

    sent: int = 0
    unconfigured: int = 0
    silent: int = 0

    def plus(self, other: "Told") -> "Told":
        return Told(self.sent + other.sent, self.unconfigured + other.unconfigured, self.silent + other.silent)


def order(run: BillingRun) -> None:
    """Have the customers of a run told, in the background."""
    jobs.enqueue(TASK, run_id=run.pk, schedule=f"{TASK}:{run.pk}")


def tell(run_id: int, now: datetime, *, progress: Callable[[int, int], None] = lambda done, total: None) -> Told:
    """Put a message into the outbox for each bill of an issued run whose customer agreed; return what came of it."""
    run = BillingRun.objects.get(pk=run_id)
    told, after_id, done = Told(), 0, 0
    if run.state != BillingRun.State.DONE:
        return told
    total = run.bills
    while chunk := _next(run, after_id):
        with transaction.atomic():
            told = told.plus(_tell_some(chunk, now))
        after_id, done = chunk[-1].pk, done + len(chunk)
        progress(done, max(total, done))
    if told.sent:
        audit.record("portal.bills.told", actor=None, target=run, count=told.sent)
    return told


def _next(run: BillingRun, after_id: int) -> list[Bill]:
    rows = run.issued.filter(pk__gt=after_id, kind=Bill.Kind.NORMAL, state=Bill.State.ISSUED, total_vnd__gt=0)
    return list(rows.select_related("customer", "connection", "operator__subject").order_by("pk")[:AT_ONCE])


def _tell_some(bills: Sequence[Bill], now: datetime) -> Told:
    agreed = set(
        Consent.objects.filter(
            customer_id__in={bill.customer_id for bill in bills}, purpose=Consent.Purpose.NOTICES,
            withdrawn_at__isnull=True,
        ).values_list("customer_id", flat=True)
    )  # fmt: skip
    before = set(Sending.objects.filter(key__in=[_key(bill) for bill in bills]).values_list("key", flat=True))
    open_vnd = ledger.open_of(bills)
    sent = unconfigured = silent = 0
    for bill in bills:
        if _key(bill) in before:
            continue
        channel, address = sending.reach(bill.customer.phone, bill.customer.email)
        if bill.customer_id not in agreed or not address or bill.is_simulated or bill.customer.is_simulated:
            silent += 1
            continue
        row = sending.queue(
            key=_key(bill), channel=channel, title=f"Tiền nước tháng {bill.period_start_date:%m/%Y}",
            text=words(bill, open_vnd[bill.pk], channel), now=now, address=address, url=page_of(bill),
        )  # fmt: skip
        sent += row is not None
        unconfigured += row is not None and row.state == Sending.State.UNCONFIGURED
    return Told(sent, unconfigured, silent)


def _key(bill: Bill) -> str:
    return f"{_KEY}{bill.customer_id}:{bill.pk}"


def page_of(bill: Bill) -> str:
    return reverse("portal:bill_detail", args=[bill.pk])


def words(bill: Bill, open_vnd: int, channel: str) -> str:
    """Return the message: whose water, how much, until when; an e-mail has the address of the page below its text."""
    said = f"{bill.operator.subject.name}: đấu nối {bill.connection.code} "
    if open_vnd > 0:
        said += f"phải trả {format_number(open_vnd)} đồng, hạn {format_date(bill.due_date)}."
    else:
        said += f"{format_number(bill.total_vnd)} đồng, đã trừ từ tiền trả trước, không phải trả thêm."
    return sending.with_link(said, page_of(bill), channel)


def forget_addresses(customer: Customer) -> int:
    """Take a customer's address out of the messages about their bills, part of the erasure of their data."""
    return Sending.objects.filter(key__startswith=f"{_KEY}{customer.pk}:").update(address="(đã xóa)")
