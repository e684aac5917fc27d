"""What is owed, how old it is, and how far each case has come."""

import tomllib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from django.db import connection as database
from django.db.models import Prefetch, QuerySet

from machnuoc.billing import cutoff_clock, ledger
from machnuoc.billing.cutoff_clock import Rule, Standing
from machnuoc.billing.models import DebtCase, DebtStep
from machnuoc.core import folding
from machnuoc.core.models import Person
from machnuoc.customers import request_queries, visibility
from machnuoc.customers.models import Customer

BUCKETS = ("0–30 ngày", "31–60 ngày", "61–90 ngày", "trên 90 ngày")  # past the day it was due
LIVE = (DebtCase.State.OPEN, DebtCase.State.PAUSED)


# --- the law ----------------------------------------------------------------------------------------------------------


@cache
def cutoff_rules() -> list[Rule]:
    """Return the dated lengths that the program is delivered with (data/cutoff_rules.toml)."""
    text = (Path(__file__).parent / "data" / "cutoff_rules.toml").read_text(encoding="utf-8")
    return [Rule(**row) for row in tomllib.loads(text)["rules"]]


@cache
def _holidays_of(year: int) -> Any:
    import holidays  # slow to import, and only asked where a clock runs

    return holidays.country_holidays("VN", years=(year - 1, year, year + 1))


def is_working_day(day: date) -> bool:
    """Return whether offices work on a day: not on Saturdays, Sundays and Vietnamese holidays."""
    return bool(_holidays_of(day.year).is_working_day(day))


# --- what is owed -----------------------------------------------------------------------------------------------------


def overdue_of(connection_ids: Iterable[int], today: date) -> dict[int, int]:
    """Return what each connection owes past its due day, đồng (0 if nothing)."""
    ids = list(connection_ids)
    sums = dict.fromkeys(ids, 0)
    lowering: dict[int, int] = defaultdict(int)
    for bill in ledger.list_open_bills(ids):
        if bill.open_vnd < 0:
            lowering[bill.connection_id] += bill.open_vnd
        elif bill.due_date < today:
            sums[bill.connection_id] += bill.open_vnd
    return {pk: max(0, amount_vnd + lowering[pk]) for pk, amount_vnd in sums.items()}


@dataclass(frozen=True)
class Debt:
    """Of one connection, đồng. buckets: past due by age, as BUCKETS; not_due: open, not due yet."""

    connection_id: int
    work_id: int
    total_vnd: int
    not_due_vnd: int
    buckets: tuple[int, int, int, int]
    oldest_due_date: date | None

    @property
    def overdue_vnd(self) -> int:
        return sum(self.buckets)


_AGEING = """
WITH open_bill AS (
    SELECT b.connection_id, c.work_id, b.due_date,
        b.total_vnd
        - COALESCE((SELECT SUM(a.amount_vnd) FROM billing_allocation a WHERE a.bill_id = b.id), 0)
        + COALESCE((SELECT SUM(a.amount_vnd) FROM billing_allocation a WHERE a.credit_bill_id = b.id), 0) AS open_vnd
    FROM billing_bill b JOIN customers_connection c ON c.id = b.connection_id
    WHERE b.state = 'ISSUED' {where}
)
SELECT connection_id, work_id, SUM(open_vnd),
    SUM(CASE WHEN due_date >= %s THEN open_vnd ELSE 0 END),
    SUM(CASE WHEN due_date < %s AND due_date >= %s THEN open_vnd ELSE 0 END),
    SUM(CASE WHEN due_date < %s AND due_date >= %s THEN open_vnd ELSE 0 END),
    SUM(CASE WHEN due_date < %s AND due_date >= %s THEN open_vnd ELSE 0 END),
    SUM(CASE WHEN due_date < %s THEN open_vnd ELSE 0 END),
    MIN(CASE WHEN open_vnd > 0 THEN due_date END)
FROM open_bill WHERE open_vnd <> 0 GROUP BY connection_id, work_id HAVING SUM(open_vnd) > 0
"""


def list_debts(work_ids: Collection[int] | None, *, today: date, q: str = "") -> list[Debt]:
    """Return who owes, the most first, in one query. work_ids: None for all works. q: part of code, name or address."""
    where: list[str] = []
    values: list[int | str] = []
    if work_ids is not None:
        if not work_ids:
            return []
        where.append(f"AND c.work_id IN ({', '.join(['%s'] * len(work_ids))})")
        values += sorted(work_ids)
    for word in folding.fold(q).split()[:6]:
        where.append("AND c.folded LIKE %s")
        values.append(f"%{word}%")
    edges = [today - timedelta(days=days) for days in (30, 60, 90)]
    days = [today, today, edges[0], edges[0], edges[1], edges[1], edges[2], edges[2]]
    with database.cursor() as cursor:
        # Only placeholders are put together; every value is bound.
        cursor.execute(_AGEING.format(where=" ".join(where)), [*values, *days])
        rows = cursor.fetchall()
    found = [
        Debt(row[0], row[1], int(row[2]), int(row[3]), tuple(int(part) for part in row[4:8]), _day(row[8]))  # type: ignore[arg-type]
        for row in rows
    ]
    return sorted(found, key=lambda debt: (-debt.overdue_vnd, -debt.total_vnd, debt.connection_id))


def _day(value: Any) -> date | None:
    return date.fromisoformat(value) if isinstance(value, str) else value


@dataclass(frozen=True)
class Totals:
    connections: int
    total_vnd: int
    not_due_vnd: int
    buckets: tuple[int, ...]

    @property
    def overdue_vnd(self) -> int:
        return sum(self.buckets)


def sum_up(debts: Sequence[Debt]) -> Totals:
    return Totals(
        len(debts), sum(debt.total_vnd for debt in debts), sum(debt.not_due_vnd for debt in debts),
        tuple(sum(debt.buckets[place] for debt in debts) for place in range(len(BUCKETS))),
    )  # fmt: skip


def by_work(debts: Sequence[Debt]) -> dict[int, Totals]:
    """Return the sums of each work."""
    parts: dict[int, list[Debt]] = defaultdict(list)
    for debt in debts:
        parts[debt.work_id].append(debt)
    return {work_id: sum_up(rows) for work_id, rows in parts.items()}


# --- cases ------------------------------------------------------------------------------------------------------------


def list_cases(person: Person, action: str = "serve") -> QuerySet[DebtCase]:
    """Return the cases of connections on which the person may do the action, with what a page shows of them."""
    steps = DebtStep.objects.select_related("by", "proof")
    return (
        DebtCase.objects.filter(visibility.within(person, action, "connection__"))
        .select_related("connection__customer", "connection__work__subject", "customer", "work_order")
        .prefetch_related(Prefetch("steps", steps))
    )


def live_cases(connection_ids: Iterable[int]) -> dict[int, DebtCase]:
    """Return the case of each connection that is being followed, or whose water is off for a debt."""
    states = [*LIVE, DebtCase.State.CUT_OFF]
    rows = DebtCase.objects.filter(connection_id__in=list(connection_ids), state__in=states).prefetch_related("steps")
    return {case.connection_id: case for case in rows}


def last_step(case: DebtCase, kind: str) -> DebtStep | None:
    """Return the last step of a kind. steps: as they are prefetched, in their order."""
    return next((step for step in reversed(case.steps.all()) if step.kind == kind), None)


def running_notice(case: DebtCase, today: date) -> DebtStep | None:
    """Return the written notice whose clock runs: the last one, while any of what was overdue on its day is unpaid.

    A bill that became overdue after it needs a notice of its own.
    """
    last = last_step(case, DebtStep.Kind.NOTICE)
    if last is None or overdue_of([case.connection_id], last.date)[case.connection_id]:
        return last
    return None if overdue_of([case.connection_id], today)[case.connection_id] else last


def standing_of(case: DebtCase, today: date) -> Standing:
    """Return whether water may be cut off today, from what is stored: nobody's word counts."""
    if case.customer_id != case.connection.customer_id:
        why_not = "Đấu nối đã chuyển tên sau khi mở hồ sơ: người đang dùng nước không phải người được thông báo."
        return Standing(False, None, why_not)
    notice = running_notice(case, today)
    final = last_step(case, DebtStep.Kind.FINAL_NOTICE)
    if notice and final and final.pk < notice.pk:
        final = None  # of an earlier notice
    found = cutoff_clock.judge(
        today, notice_date=notice.date if notice else None, final_notice_date=final.date if final else None,
        is_household=case.customer.kind == Customer.Kind.HOUSEHOLD, told_reason=bool(case.objective_reason),
        has_open_dispute=request_queries.has_open_dispute(case.connection_id),
        owed_vnd=overdue_of([case.connection_id], today)[case.connection_id],
        rule=cutoff_clock.rule_on(cutoff_rules(), notice.date if notice else today), is_working_day=is_working_day,
    )  # fmt: skip
    if found.may_cut_off and case.state == DebtCase.State.PAUSED:
        return Standing(False, found.earliest_date, "Hồ sơ đang tạm dừng. Bấm «Tiếp tục» trước.")
    return found
