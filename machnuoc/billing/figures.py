"""Keep what bills come to by work and month, and state billed water for the water balance.

A month is made anew as a whole, in one reading of its bills, of what was paid for them and of the postings of its days;
months are found changed by the new rows of those tables, which are only ever added to.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Max, Q
from django.db.models.functions import TruncMonth

from machnuoc.billing.models import Allocation, Bill, BillingRun, Posting, ReadUpTo, WorkMonth
from machnuoc.core import audit
from machnuoc.core.periods import Period, local_date
from machnuoc.customers.figures import LATE_MONTHS, Stated, months_back, state_counted
from machnuoc.indicators import operations
from machnuoc.indicators.models import Metric
from machnuoc.places.models import Organisation

audit.describe("billing.volume.stated", "ghi lượng nước ghi thu {period} của {count} công trình từ hóa đơn")

BILLED = "losses.billed_m3"
NOTE = "Cộng từ hóa đơn nước đã phát hành của kỳ, kể cả điều chỉnh."
MEASURES = ("billing.volume_m3", "billing.volume_household_m3", "billing.volume_other_m3", "billing.billed_vnd",
            "billing.collected_vnd")  # fmt: skip
DEBT = "billing.debt_vnd"
_SURE_AFTER = timedelta(hours=1)
_SUMS = ("bills", "volume_l", "household_l", "billed_vnd", "collected_vnd", "receivable_vnd")


# --- which months have changed ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Changes:
    """First days of months whose bills or payments changed, and of those on whose days the ledger moved."""

    bills: frozenset[date]
    ledger: frozenset[date]

    @property
    def months(self) -> list[date]:
        return sorted(self.bills | self.ledger)


def find_changes() -> Changes:
    """Return the months that have new bills, payments or postings since they were last looked for."""
    begun = dict(ReadUpTo.objects.values_list("table", "sure_id"))
    bills = Bill.objects.filter(pk__gt=begun.get("bill", 0)).order_by()
    paid = Allocation.objects.filter(pk__gt=begun.get("allocation", 0)).order_by()
    moved = Posting.objects.filter(pk__gt=begun.get("posting", 0)).order_by()
    months = set(bills.values_list("period_start_date", flat=True).distinct())
    months |= set(paid.values_list("bill__period_start_date", flat=True).distinct())
    days = set(moved.annotate(month=TruncMonth("date")).values_list("month", flat=True).distinct())
    return Changes(frozenset(months), frozenset(days))


def _newest_ids() -> dict[str, int]:
    tables: dict[str, Any] = {"bill": Bill, "allocation": Allocation, "posting": Posting}
    return {name: model.objects.aggregate(pk=Max("pk"))["pk"] or 0 for name, model in tables.items()}


def _remember(newest: dict[str, int], now: datetime) -> None:
    known = {row.table: row for row in ReadUpTo.objects.all()}
    for name, pk in newest.items():
        row = known.get(name) or ReadUpTo(table=name, seen_at=now)
        if row.pk is None:
            row.seen_id = pk
        elif now - row.seen_at >= _SURE_AFTER:
            row.sure_id, row.seen_id, row.seen_at = row.seen_id, pk, now
        row.save()


# --- a month ----------------------------------------------------------------------------------------------------------

_BILLS = """
SELECT c.work_id, b.is_simulated, COUNT(*), SUM(b.volume_l),
    SUM(CASE WHEN b.{group} IN ('SH', 'SH_NGHEO') THEN b.volume_l ELSE 0 END), SUM(b.total_vnd)
FROM billing_bill b JOIN customers_connection c ON c.id = b.connection_id
WHERE b.operator_id IN ({operators}) AND b.period_start_date = %s AND b.state = 'ISSUED'
GROUP BY c.work_id, b.is_simulated
"""
_PAID = """
SELECT c.work_id, b.is_simulated, SUM(a.amount_vnd)
FROM billing_allocation a JOIN billing_bill b ON b.id = a.bill_id JOIN customers_connection c ON c.id = b.connection_id
WHERE b.operator_id IN ({operators}) AND b.period_start_date = %s AND b.state = 'ISSUED' AND a.payment_id IS NOT NULL
GROUP BY c.work_id, b.is_simulated
"""
_MOVED = """
SELECT c.work_id, p.is_simulated, SUM(CASE WHEN p.debit = '131' THEN p.amount_vnd ELSE -p.amount_vnd END)
FROM billing_posting p JOIN customers_connection c ON c.id = p.connection_id
WHERE p.operator_id IN ({operators}) AND p.date >= %s AND p.date < %s AND (p.debit = '131' OR p.credit = '131')
GROUP BY c.work_id, p.is_simulated
"""
Key = tuple[int, bool]


def read_month(month: Period) -> dict[Key, dict[str, int]]:
    """Return the sums of one month by work and whether simulated, in three readings."""
    operators = sorted(Organisation.objects.filter(billing_profile__isnull=False).values_list("pk", flat=True))
    if not operators:
        return {}
    found: dict[Key, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_SUMS, 0))
    start, end = month.start_date, month.end_date
    for work, simulated, count, volume, household, total in _rows(_BILLS, operators, start):
        found[work, bool(simulated)] |= {
            "bills": count, "volume_l": int(volume), "household_l": int(household), "billed_vnd": int(total),
        }  # fmt: skip
    for work, simulated, amount in _rows(_PAID, operators, start):
        found[work, bool(simulated)]["collected_vnd"] = int(amount)
    for work, simulated, amount in _rows(_MOVED, operators, start, end):
        found[work, bool(simulated)]["receivable_vnd"] = int(amount)
    return dict(found)


def _rows(query: str, operators: list[int], *days: date) -> list[Any]:
    marks = ", ".join(["%s"] * len(operators))
    with connection.cursor() as cursor:
        # Only placeholders and a quoted column are put together; every value is bound.
        cursor.execute(query.format(operators=marks, group=connection.ops.quote_name("group")), [*operators, *days])
        return list(cursor.fetchall())


def update_month(month: Period, now: datetime) -> bool:
    """Make the sums of one month anew; return whether any of them changed."""
    found = read_month(month)
    with transaction.atomic():
        stored = {
            (row.work_id, row.is_simulated): row
            for row in WorkMonth.objects.select_for_update().filter(period_start_date=month.start_date)
        }
        changed = [
            key
            for key, sums in found.items()
            if key not in stored or any(getattr(stored[key], name) != sums[name] for name in _SUMS)
        ]
        gone = [row.pk for key, row in stored.items() if key not in found]
        WorkMonth.objects.filter(pk__in=[*gone, *(stored[key].pk for key in changed if key in stored)]).delete()
        WorkMonth.objects.bulk_create(
            [
                WorkMonth(
                    work_id=key[0], is_simulated=key[1], period_start_date=month.start_date, computed_at=now,
                    **found[key],
                )
                for key in changed
            ]
        )  # fmt: skip
    return bool(changed or gone)


# --- all that has changed ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Updated:
    months: int
    stated: int
    doubts: tuple[str, ...]


def update(now: datetime) -> Updated:
    """Make every month anew that has changed, mark its measures, and state its billed water.

    Call operations.recompute_dirty_in_steps afterwards. Killed anywhere, the next call finds the same months again.
    """
    newest = _newest_ids()
    changes = find_changes()
    metrics = {metric.key: metric for metric in Metric.objects.filter(key__in=[*MEASURES, DEBT, BILLED])}
    *finished, running = months_back(local_date(now), LATE_MONTHS)
    for start in changes.months:
        month = Period("M", start)
        update_month(month, now)
        for key in MEASURES:
            if start in changes.bills and key in metrics:
                operations.mark_dirty(metrics[key], period=month, reason=f"hóa đơn kỳ {month.start_date:%m/%Y}")
    _mark_debts(metrics.get(DEBT), changes.ledger, running)
    stated, doubts = 0, list[str]()
    over = {month.start_date for month in finished} | {day for day in changes.bills if day < running.start_date}
    for start in sorted(over) if BILLED in metrics else ():
        done = _state_billed(metrics[BILLED], Period("M", start), now)
        stated, doubts = stated + done.facts, doubts + list(done.doubts)
    _remember(newest, now)
    return Updated(len(changes.months), stated, tuple(doubts))


def _mark_debts(metric: Metric | None, moved: Iterable[date], running: Period) -> None:
    """Mark the debt of every month from the first on whose days the ledger moved: each carries on the one before."""
    if metric is None:
        return
    month = Period("M", min([*moved, running.start_date]))
    while month.start_date <= running.start_date:
        operations.mark_dirty(metric, period=month, reason="sổ cái phải thu")
        month = month.next


def _state_billed(metric: Metric, month: Period, now: datetime) -> Stated:
    """State the billed water of a month of works with real bills, once no run of the month is being issued."""
    rows = WorkMonth.objects.filter(period_start_date=month.start_date, is_simulated=False, bills__gt=0)
    numbers = {work: (litres + 500) // 1_000 for work, litres in rows.values_list("work_id", "volume_l")}
    done = state_counted(metric, month, numbers, NOTE, leave=_being_issued(month), now=now)
    if done.facts:
        audit.record("billing.volume.stated", actor=None, period=month.key, count=done.facts)
    return done


def _being_issued(month: Period) -> set[int]:
    """Return the works whose bills of the month are half there: a run has issued some and has not ended."""
    runs = BillingRun.objects.filter(
        ~Q(state__in=[BillingRun.State.DONE, BillingRun.State.CANCELLED]), period_start_date=month.start_date,
        bills__gt=0,
    )  # fmt: skip
    return set(runs.values_list("scope__contains__descendant_id", flat=True))
