"""What other pages show of money: payments and the debt case of a connection, what waits for the reader's decision, the
cashier's till; and a customer's copy of payments."""

from datetime import datetime, time
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from machnuoc.billing import bill_queries, debt_queries, payment_queries, payments, run_queries, till
from machnuoc.billing.models import (
    Allocation,
    BankLine,
    BillingRun,
    DebtCase,
    DebtStep,
    Payment,
    PaymentReversal,
    Refund,
    TillSession,
)
from machnuoc.core.models import Person, Sending
from machnuoc.core.panels import Panel
from machnuoc.core.periods import LOCAL_ZONE, local_date
from machnuoc.customers import personal_copy, visibility
from machnuoc.customers.models import Connection, Customer
from machnuoc.places import access
from machnuoc.places.models import Grant

_SHOWN = 8


def for_connection(person: Person, connection: Connection) -> list[Panel]:
    """Give the latest payments and the debt case to who may see the connection's data."""
    if not visibility.may(person, "serve", connection):
        return []
    rows = connection.payments.select_related("reversal").order_by("-received_at", "-pk")[:_SHOWN]
    case = DebtCase.objects.filter(
        connection=connection, state__in=[*debt_queries.LIVE, DebtCase.State.CUT_OFF]
    ).first()  # fmt: skip
    context = {
        "connection": connection, "payments": list(rows), "case": case,
        "may_collect": visibility.may(person, "collect", connection),
    }  # fmt: skip
    return [Panel("Thu tiền, nợ", "billing/payments/connection_panel.html", context, order=42)]


def later_overview(person: Person, region: str) -> list[Panel]:
    """Show what of bills and money waits for the person; who takes money also sees their till and its day."""
    if region != "now":
        return []
    return [*_waiting(person), *_till_today(person)]


def _waiting(person: Person) -> list[Panel]:
    """Give what somebody else asked for and the person may decide, and runs that were approved but not issued."""
    may_bill, may_approve = access.may(person, "bill"), access.may(person, "approve")
    context: dict[str, Any] = {}
    if may_bill:
        runs = run_queries.list_runs(person).defer("previewed")
        context["to_issue"] = list(runs.filter(state=BillingRun.State.APPROVED)[:_SHOWN])
        tills = payment_queries.list_tills(person).exclude(person=person)
        context["tills"] = list(tills.filter(state=TillSession.State.CLOSED, confirmed_by=None)[:_SHOWN])
    if may_bill and may_approve:
        previewed = runs.filter(state=BillingRun.State.PREVIEW, previewed__has_key="hash").exclude(created_by=person)
        context["to_approve"] = list(
            previewed.filter(scope_id__in=access.visible_subject_ids(person, "approve"))[:_SHOWN]
        )
        wishes = bill_queries.list_waiting(person).filter(visibility.within(person, "approve", "bill__connection__"))
        context["corrections"] = wishes.exclude(requested_by=person).count()
    if may_approve:
        asked = payment_queries.list_refunds(person).filter(visibility.within(person, "approve", "connection__"))
        sums = asked.filter(state=Refund.State.REQUESTED).exclude(requested_by=person).aggregate(
            count=Count("pk"), amount_vnd=Sum("amount_vnd")
        )  # fmt: skip
        context["refunds"] = sums if sums["count"] else None
    if not any(context.values()):
        return []
    return [Panel("Hóa đơn, tiền chờ bạn", "billing/payments/waiting_panel.html", context, order=9, region="now")]


def _till_today(person: Person) -> list[Panel]:
    if Grant.Role.CASHIER not in access.roles(person):
        return []
    now = timezone.now()
    start = datetime.combine(local_date(now), time.min, tzinfo=LOCAL_ZONE)
    taken = Payment.objects.filter(recorded_by=person, received_at__gte=start, reversal__isnull=True)
    sums = taken.aggregate(count=Count("pk"), amount=Sum("amount_vnd"))
    cases = DebtCase.objects.filter(visibility.within(person, "serve", "connection__"), state__in=debt_queries.LIVE)
    context = {
        "till": till.open_till_of(person), "count": sums["count"], "amount_vnd": sums["amount"] or 0,
        "cases": cases.count(),
    }  # fmt: skip
    return [Panel("Quầy thu của bạn", "billing/payments/today_panel.html", context, order=10, region="now")]


def advances_vnd(customer_ids: list[int]) -> list[tuple[int, int]]:
    """Give per customer what was paid ahead: a customer whose money we hold is not erased."""
    owners = dict(Payment.objects.filter(customer_id__in=customer_ids).values_list("pk", "customer_id"))
    return [(owners[pk], amount) for pk, amount in payments.unallocated(list(owners)).items() if amount]


def refunds_vnd(customer_ids: list[int]) -> list[tuple[int, int]]:
    """Give per customer what is to go back to them and was not paid out yet."""
    owner = Coalesce("payment__customer_id", "credit_bill__customer_id")
    rows = Refund.objects.filter(state__in=[Refund.State.REQUESTED, Refund.State.APPROVED]).annotate(owner=owner)
    return list(rows.filter(owner__in=customer_ids).values_list("owner", "amount_vnd"))


def customer_data(customer: Customer) -> list[tuple[str, list[dict[str, Any]]]]:
    """Give the payments of a customer, for the copy that they ask for."""
    names = ("connection__code", "received_at", "method", "amount_vnd", "payer", "receipt_number")
    return [("Khoản thu", personal_copy.list_rows(_payments_of(customer).order_by("pk"), names))]


def erase_customer(customer: Customer) -> list[int]:
    """Empty who paid, what banks wrote, and the reasons of debts. Amounts, dates and numbers stay: books must add up.

    The files of bank statements stay as they came: they are the bank's documents, and hold other people's transfers.
    """
    ids = list(_payments_of(customer).values_list("pk", flat=True))
    cases = DebtCase.objects.filter(customer=customer)
    steps = DebtStep.objects.filter(case__in=cases)
    reminders = [f"debt:{pk}:{way}" for pk in steps.values_list("pk", flat=True) for way in Sending.Channel.values]
    return [
        Sending.objects.filter(key__in=reminders).update(address="(đã xóa)"),
        Payment.objects.filter(pk__in=ids).update(payer="", note=""),
        BankLine.objects.filter(payment_id__in=ids).update(text="", proposed_why=""),
        Refund.objects.filter(Q(payment_id__in=ids) | Q(credit_bill__customer=customer)).update(reason=""),
        PaymentReversal.objects.filter(payment_id__in=ids).update(reason=""),
        steps.update(how="", proof=None),
        cases.update(objective_reason=""),
    ]


def _payments_of(customer: Customer) -> QuerySet[Payment]:
    """Return the payments that a customer made, or that paid a customer's bills."""
    paid = Allocation.objects.filter(bill__customer=customer, payment__isnull=False).values("payment_id")
    return Payment.objects.filter(Q(pk__in=paid) | Q(customer=customer))
