"""What the pages of e-invoices read: the list with its filters, counts by state, days compared."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db.models import Max, Q, QuerySet

from machnuoc.billing.models import Bill, BillingProfile, EInvoice, EInvoiceDay
from machnuoc.core.models import Person
from machnuoc.core.periods import LOCAL_ZONE
from machnuoc.customers import visibility
from machnuoc.places import access
from machnuoc.places.models import Organisation

PAGE_SIZE = 50
COUNTED_MOST = 10_000  # a page must not read a million rows to say how many there are
LOOK_BACK = 100_000


@dataclass(frozen=True)
class Filters:
    """state: of EInvoice.State. month: first day of the billing month. number: of the invoice. operator: its id."""

    state: str = ""
    month: date | None = None
    number: int | None = None
    operator: int | None = None
    is_failed: bool = False  # with an error


def within(person: Person, action: str) -> QuerySet[EInvoice]:
    """Return the e-invoices of connections on which the person may do the action."""
    return EInvoice.objects.filter(visibility.within(person, action, prefix="bill__connection__"))


def select(person: Person, filters: Filters, action: str = "bill") -> QuerySet[EInvoice]:
    """Return the e-invoices that the page shows, the newest bill first."""
    rows = within(person, action)
    if filters.state:
        rows = rows.filter(state=filters.state)
    if filters.is_failed:
        rows = rows.exclude(error="")
    if filters.month is not None:
        rows = rows.filter(bill__period_start_date=filters.month)
    if filters.number is not None:
        rows = rows.filter(bill__number=filters.number)
    if filters.operator is not None:
        rows = rows.filter(bill__operator_id=filters.operator)
    return rows.select_related(
        "bill__series", "bill__connection", "bill__customer", "bill__operator__subject", "xml"
    ).order_by("-bill_id")


@dataclass(frozen=True)
class Page:
    """rows: at most PAGE_SIZE. older, newer: what the address's `before` and `after` become, None at the ends."""

    rows: list[EInvoice]
    older: int | None
    newer: int | None


def list_page(rows: QuerySet[EInvoice], before: int | None, after: int | None) -> Page:
    """Return one page by the id of its neighbour: as quick at the end of a million as at its beginning."""
    if after is not None:
        found = list(rows.filter(bill_id__gt=after).order_by("bill_id")[: PAGE_SIZE + 1])
        has_newer = len(found) > PAGE_SIZE
        shown = found[:PAGE_SIZE][::-1]
        has_older = bool(shown)
    else:
        found = list((rows if before is None else rows.filter(bill_id__lt=before))[: PAGE_SIZE + 1])
        has_older, has_newer = len(found) > PAGE_SIZE, before is not None
        shown = found[:PAGE_SIZE]
    return Page(
        shown,
        shown[-1].bill_id if shown and has_older else None,
        shown[0].bill_id if shown and has_newer else None,
    )


def count_by_state(person: Person, filters: Filters, action: str = "bill") -> dict[str, int]:
    """Return how many of the month (or of all) are in each state, COUNTED_MOST + 1 for more than COUNTED_MOST."""
    rows = within(person, action)
    if filters.month is not None:
        rows = rows.filter(bill__period_start_date=filters.month)
    if filters.operator is not None:
        rows = rows.filter(bill__operator_id=filters.operator)
    return {state: rows.filter(state=state)[: COUNTED_MOST + 1].count() for state in EInvoice.State.values}


def count_unsigned(person: Person, filters: Filters, action: str = "bill") -> int:
    """Return how many of the newest hundred thousand bills wait to be signed, at most COUNTED_MOST + 1."""
    last = EInvoice.objects.aggregate(last=Max("bill_id"))["last"] or 0
    rows = Bill.objects.filter(
        visibility.within(person, action, prefix="connection__"), pk__gt=last - LOOK_BACK, einvoice__isnull=True
    )
    if filters.month is not None:
        rows = rows.filter(period_start_date=filters.month)
    if filters.operator is not None:
        rows = rows.filter(operator_id=filters.operator)
    return rows[: COUNTED_MOST + 1].count()


def list_operators(person: Person, action: str = "bill") -> list[Organisation]:
    """Return the operators with a billing profile that the person sees."""
    visible = access.visible_subject_ids(person, action)
    return list(
        Organisation.objects.filter(billing_profile__isnull=False, pk__in=visible)
        .select_related("subject", "billing_profile")
        .order_by("subject__name")
    )


def list_profiles_without_tax_code(person: Person) -> list[BillingProfile]:
    visible = access.visible_subject_ids(person, "bill")
    return list(BillingProfile.objects.filter(tax_code="", operator_id__in=visible).select_related("operator"))


def list_days(person: Person, action: str = "bill") -> QuerySet[EInvoiceDay]:
    visible = access.visible_subject_ids(person, action)
    return EInvoiceDay.objects.filter(operator_id__in=visible).select_related("operator__subject")


def list_days_to_compare(first: date, end: date) -> Iterator[tuple[Organisation, date]]:
    """Yield operators and days before end on which real invoices were issued that are not agreed on yet."""
    days = [first + timedelta(days=count) for count in range((end - first).days)]
    agreed = {
        (one.operator_id, one.day) for one in EInvoiceDay.objects.filter(day__gte=first, day__lt=end) if one.is_agreed
    }
    for operator in Organisation.objects.filter(billing_profile__is_simulated=False).exclude(
        billing_profile__tax_code=""
    ):
        for day in days:
            if (operator.pk, day) in agreed:
                continue
            start = datetime.combine(day, time(), LOCAL_ZONE)
            issued = Bill.objects.filter(
                Q(operator=operator, is_simulated=False), issued_at__gte=start, issued_at__lt=start + timedelta(days=1)
            )
            if issued.exists():
                yield operator, day
