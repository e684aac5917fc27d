"""What the pages of the ledger read: balances of accounts by month, the journal, and what each posting rests on."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date

from django.db.models import Exists, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import TruncMonth

from machnuoc.billing import ledger
from machnuoc.billing.ledger import Verification
from machnuoc.billing.models import Account, Posting
from machnuoc.core.models import Person
from machnuoc.core.periods import Period
from machnuoc.places import access
from machnuoc.places.models import Organisation
from machnuoc.works.models import Work


def list_postings(person: Person) -> QuerySet[Posting]:
    """Return the postings of the operators that the person may bill for."""
    if access.sees_everything(person, "bill"):
        return Posting.objects.all()
    # Their numbers, not a subquery: of one operator, the newest are read from the index.
    own = list(_bookkeepers(person).values_list("pk", flat=True))
    return Posting.objects.filter(operator_id=own[0]) if len(own) == 1 else Posting.objects.filter(operator_id__in=own)


def _bookkeepers(person: Person) -> QuerySet[Organisation]:
    """Return the operators with works, or with a way to bill, that the person may bill for."""
    has_works = Exists(Work.objects.filter(operator=OuterRef("pk")))
    reached = access.visible_subject_ids(person, "bill")
    return Organisation.objects.filter(has_works | Q(billing_profile__isnull=False), pk__in=reached).order_by("pk")


def verify(person: Person) -> Verification:
    """Check the ledger of the operators that the person may bill for: what others keep is not told of."""
    if access.sees_everything(person, "bill"):
        return ledger.verify()
    found = [ledger.verify(pk) for pk in _bookkeepers(person).values_list("pk", flat=True)]
    return Verification(
        postings=sum(one.postings for one in found), bills=sum(one.bills for one in found),
        problems=[problem for one in found for problem in one.problems],
        debit_vnd=sum(one.debit_vnd for one in found), receivable_vnd=sum(one.receivable_vnd for one in found),
        advance_vnd=sum(one.advance_vnd for one in found),
    )  # fmt: skip


@dataclass(frozen=True)
class AccountRow:
    """Of one account in one month, đồng. A positive balance stands on the debit side."""

    key: str
    label: str
    opening_vnd: int
    debit_vnd: int
    credit_vnd: int

    @property
    def closing_vnd(self) -> int:
        return self.opening_vnd + self.debit_vnd - self.credit_vnd


def list_balances(person: Person, month: Period) -> list[AccountRow]:
    """Return opening balance, movements and closing balance of each account in a month."""
    opening: dict[str, int] = defaultdict(int)
    moved: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    rows = (
        list_postings(person).filter(date__lt=month.end_date)
        .annotate(month=TruncMonth("date")).values_list("month", "debit", "credit").annotate(amount=Sum("amount_vnd"))
    ).order_by()  # fmt: skip
    for began, debit, credit, amount in rows:
        if began < month.start_date:
            opening[debit] += amount
            opening[credit] -= amount
        else:
            moved[debit][0] += amount
            moved[credit][1] += amount
    return [
        AccountRow(account.value, account.label, opening[account], *moved[account])
        for account in Account
        if account in opening or account in moved
    ]


@dataclass(frozen=True)
class MonthRow:
    """What was billed and what came in, of one month."""

    month: date
    billed_vnd: int
    received_vnd: int


def list_months(person: Person, months: int = 12) -> list[MonthRow]:
    """Return the last months with postings, oldest first: what was billed and what came in."""
    sums: dict[date, list[int]] = defaultdict(lambda: [0, 0])
    rows = (
        list_postings(person).annotate(month=TruncMonth("date"))
        .values_list("month", "debit", "credit", "source").annotate(amount=Sum("amount_vnd"))
    ).order_by()  # fmt: skip
    for month, debit, credit, source, amount in rows:
        if source == Posting.Source.BILL or (
            source == Posting.Source.REVERSAL and Account.RECEIVABLE in (debit, credit)
        ):
            sums[month][0] += amount if debit == Account.RECEIVABLE else -amount
        elif source == Posting.Source.PAYMENT or (
            source == Posting.Source.REVERSAL and Account.ADVANCE in (debit, credit)
        ):
            sums[month][1] += amount if credit == Account.ADVANCE else -amount
    return [MonthRow(month, *sums[month]) for month in sorted(sums)[-months:]]


def list_journal(
    person: Person, *, day: date | None = None, month: Period | None = None, account: str = "", source: str = "",
    connection_code: str = "",
) -> QuerySet[Posting]:  # fmt: skip
    """Return postings, newest first, as the filters leave them."""
    rows = list_postings(person).select_related("connection").order_by("-date", "-id")
    if day is not None:
        rows = rows.filter(date=day)
    elif month is not None:
        rows = rows.filter(date__gte=month.start_date, date__lt=month.end_date)
    if account in Account.values:
        rows = rows.filter(debit=account) | rows.filter(credit=account)
    if source in Posting.Source.values:
        rows = rows.filter(source=source)
    if connection_code:
        rows = rows.filter(connection__code=connection_code.strip().upper())
    return rows
