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
from machnuoc.customers.models import Connection, Customer

Holder = tuple[int, int]  # connection, customer
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


def overdue_by_holder(connection_ids: Iterable[int], today: date) -> dict[Holder, int]:
    """Return what each holder of the connections owes past its due day, đồng; who owes nothing is not named.

    A connection may have passed to another: what its former holder left unpaid is not the new one's debt.
    """
    sums: dict[Holder, int] = defaultdict(int)
    lowering: dict[Holder, int] = defaultdict(int)
    for bill in ledger.list_open_bills(list(connection_ids)):
        holder = bill.connection_id, bill.customer_id
        if bill.open_vnd < 0:
            lowering[holder] += bill.open_vnd
        elif bill.due_date < today:
            sums[holder] += bill.open_vnd
    return {holder: left for holder, amount in sums.items() if (left := amount + lowering[holder]) > 0}


def overdue_of(connection_ids: Iterable[int], today: date) -> dict[int, int]:
    """Return what who holds each connection now owes past its due day, đồng (0 if nothing)."""
    holders = Connection.objects.filter(pk__in=list(connection_ids)).values_list("pk", "customer_id")
    owed = overdue_by_holder(connection_ids, today)
    return {pk: owed.get((pk, customer_id), 0) for pk, customer_id in holders}


def overdue_of_case(case: DebtCase, today: date) -> int:
    """Return what the customer of a case owes past its due day, đồng."""
    return overdue_by_holder([case.connection_id], today).get((case.connection_id, case.customer_id), 0)


@dataclass(frozen=True)
class Debt:
    """Of one holder of a connection, đồng. buckets: past due by age, as BUCKETS; not_due: open, not due yet.

    customer_id: who owes it; another than who holds the connection now, if it passed to another.
    """

    connection_id: int
    customer_id: int
    work_id: int
    total_vnd: int
    not_due_vnd: int
    buckets: tuple[int, int, int, int]
    oldest_due_date: date | None

    @property
    def overdue_vnd(self) -> int:
        return sum(self.buckets)


@dataclass(frozen=True)
class DebtFilters:
    """Which debts: of these works (None: all), with these words in code, name or address.

    from_bucket: position in BUCKETS from which on something must be owed. case: "none", or the state of its case.
    """

    work_ids: Collection[int] | None = None
    q: str = ""
    from_bucket: int | None = None
    case: str = ""


# What a bill has open: one look at its allocations; only decreases give to other bills, or back to the customer.
_AGEING = """
WITH open_bill AS (
    SELECT b.connection_id, b.customer_id, c.work_id, b.due_date,
        b.total_vnd - COALESCE((SELECT SUM(a.amount_vnd) FROM billing_allocation a WHERE a.bill_id = b.id), 0)
        + CASE WHEN b.total_vnd >= 0 THEN 0 ELSE
            COALESCE((SELECT SUM(a.amount_vnd) FROM billing_allocation a WHERE a.credit_bill_id = b.id), 0)
            + COALESCE((SELECT SUM(r.amount_vnd) FROM billing_refund r
                        WHERE r.credit_bill_id = b.id AND r.state <> 'REFUSED'), 0) END AS open_vnd
    FROM billing_bill b JOIN customers_connection c ON c.id = b.connection_id
    WHERE b.state = 'ISSUED' {where}
), aged AS (
    SELECT connection_id, customer_id, work_id, SUM(open_vnd) AS total,
        SUM(CASE WHEN due_date >= %s THEN open_vnd ELSE 0 END) AS not_due,
        SUM(CASE WHEN due_date < %s AND due_date >= %s THEN open_vnd ELSE 0 END) AS age0,
        SUM(CASE WHEN due_date < %s AND due_date >= %s THEN open_vnd ELSE 0 END) AS age1,
        SUM(CASE WHEN due_date < %s AND due_date >= %s THEN open_vnd ELSE 0 END) AS age2,
        SUM(CASE WHEN due_date < %s THEN open_vnd ELSE 0 END) AS age3,
        MIN(CASE WHEN open_vnd > 0 THEN due_date END) AS oldest
    FROM open_bill WHERE open_vnd <> 0 GROUP BY connection_id, customer_id, work_id HAVING SUM(open_vnd) > 0
), debt AS (SELECT * FROM aged {having})
"""
_ROWS = """
SELECT connection_id, customer_id, work_id, total, not_due, age0, age1, age2, age3, oldest FROM debt
ORDER BY age0 + age1 + age2 + age3 DESC, total DESC, connection_id, customer_id
"""
# Both at once: what is open of every bill is asked for once a page.
_PAGE = """
, shown AS ({rows} LIMIT %s OFFSET %s)
SELECT 0 AS part, work_id, 0 AS c, 0 AS h, n, a, b, d, e, f, g, NULL AS oldest FROM (
    SELECT work_id, COUNT(*) AS n, SUM(total) AS a, SUM(not_due) AS b, SUM(age0) AS d, SUM(age1) AS e, SUM(age2) AS f,
        SUM(age3) AS g FROM debt GROUP BY work_id
) s
UNION ALL
SELECT 1, work_id, connection_id, customer_id, 0, total, not_due, age0, age1, age2, age3, oldest FROM shown
"""


def _ageing(filters: DebtFilters, today: date) -> tuple[str, list[int | str | date]]:
    """Return the parts of the question up to `debt`, with its values: only placeholders are put together."""
    where: list[str] = []
    having: list[str] = []
    values: list[int | str | date] = []
    if filters.work_ids is not None:
        where.append(f"AND c.work_id IN ({', '.join(['%s'] * len(filters.work_ids))})")
        values += sorted(filters.work_ids)
    for word in folding.fold(filters.q).split()[:6]:
        where.append("AND c.folded LIKE %s")
        values.append(f"%{word}%")
    edges = [today - timedelta(days=days) for days in (30, 60, 90)]
    values += [today, today, edges[0], edges[0], edges[1], edges[1], edges[2], edges[2]]
    if filters.from_bucket is not None:
        having.append(" + ".join(f"age{place}" for place in range(filters.from_bucket, len(BUCKETS))) + " > 0")
    if filters.case:
        cases = (
            "EXISTS (SELECT 1 FROM billing_debtcase k WHERE k.connection_id = aged.connection_id "
            "AND k.customer_id = aged.customer_id AND k.state IN ({states}))"
        )
        states = [*LIVE, DebtCase.State.CUT_OFF] if filters.case == "none" else [filters.case]
        marks = ", ".join(["%s"] * len(states))
        having.append(f"{'NOT ' if filters.case == 'none' else ''}{cases.format(states=marks)}")
        values += [str(state) for state in states]
    said = f"WHERE {' AND '.join(having)}" if having else ""
    return _AGEING.format(where=" ".join(where), having=said), values


def list_debts(work_ids: Collection[int] | None, *, today: date, q: str = "") -> list[Debt]:
    """Return who owes, the most first, in one query. work_ids: None for all works. q: part of code, name or address."""
    return list_all(DebtFilters(work_ids, q), today)


def list_all(filters: DebtFilters, today: date) -> list[Debt]:
    """Return all debts that the filters leave, the most overdue first."""
    if filters.work_ids is not None and not filters.work_ids:
        return []
    sql, values = _ageing(filters, today)
    with database.cursor() as cursor:
        cursor.execute(sql + _ROWS, values)
        return [_debt(row) for row in cursor.fetchall()]


def _debt(row: Sequence[Any]) -> Debt:
    buckets = (int(row[5]), int(row[6]), int(row[7]), int(row[8]))
    return Debt(row[0], row[1], row[2], int(row[3]), int(row[4]), buckets, _day(row[9]))


@dataclass(frozen=True)
class DebtPage:
    """rows: of the page asked for; works: the sums of each work over all that the filters leave."""

    rows: list[Debt]
    works: dict[int, "Totals"]

    @property
    def totals(self) -> "Totals":
        return Totals(
            sum(one.connections for one in self.works.values()), sum(one.total_vnd for one in self.works.values()),
            sum(one.not_due_vnd for one in self.works.values()),
            tuple(sum(one.buckets[place] for one in self.works.values()) for place in range(len(BUCKETS))),
        )  # fmt: skip


def get_page(filters: DebtFilters, today: date, *, offset: int, limit: int) -> DebtPage:
    """Return one page of the debts with the sums of all of them, summed up and cut to the page by the database."""
    if filters.work_ids is not None and not filters.work_ids:
        return DebtPage([], {})
    sql, values = _ageing(filters, today)
    with database.cursor() as cursor:
        cursor.execute(sql + _PAGE.format(rows=_ROWS), [*values, limit, offset])
        found = cursor.fetchall()
    rows = [_debt((row[2], row[3], row[1], *row[5:])) for row in found if row[0] == 1]
    works = {
        row[1]: Totals(int(row[4]), int(row[5]), int(row[6]), tuple(int(part) for part in row[7:11]))
        for row in found
        if row[0] == 0
    }
    return DebtPage(sorted(rows, key=lambda one: (-one.overdue_vnd, -one.total_vnd, one.connection_id)), works)


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


def live_cases(connection_ids: Iterable[int]) -> dict[Holder, DebtCase]:
    """Return the case of each holder of the connections who is followed, or whose water is off for a debt."""
    states = [*LIVE, DebtCase.State.CUT_OFF]
    rows = DebtCase.objects.filter(connection_id__in=list(connection_ids), state__in=states).prefetch_related("steps")
    return {(case.connection_id, case.customer_id): case for case in rows}


def last_step(case: DebtCase, kind: str) -> DebtStep | None:
    """Return the last step of a kind. steps: as they are prefetched, in their order."""
    return next((step for step in reversed(case.steps.all()) if step.kind == kind), None)


def running_notice(case: DebtCase, today: date) -> DebtStep | None:
    """Return the written notice whose clock runs: the last one, while any of what was overdue on its day is unpaid.

    A bill that became overdue after it needs a notice of its own.
    """
    last = last_step(case, DebtStep.Kind.NOTICE)
    if last is None or overdue_of_case(case, last.date):
        return last
    return None if overdue_of_case(case, today) else last


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
        owed_vnd=overdue_of_case(case, today),
        rule=cutoff_clock.rule_on(cutoff_rules(), notice.date if notice else today), is_working_day=is_working_day,
    )  # fmt: skip
    if found.may_cut_off and case.state == DebtCase.State.PAUSED:
        return Standing(False, found.earliest_date, "Hồ sơ đang tạm dừng. Bấm «Tiếp tục» trước.")
    return found
