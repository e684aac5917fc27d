"""The way from stored readings to what each connection owes, for thousands of connections at once, as columns.

connections → usages (customers.reading_queries) → parts of one tariff, norm and share each → `tariff_columns`.
Days are numbers since 1 January 1970, volumes litres, money đồng.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from machnuoc.billing import bulk, tariff_columns, tariff_queries
from machnuoc.billing.models import RunSkip
from machnuoc.billing.price_columns import PriceColumns
from machnuoc.customers import reading_queries
from machnuoc.customers.models import Connection

Ints = NDArray[np.int64]
GROUPS = tariff_queries.GROUP_NAMES
REASONS: tuple[str, ...] = ("", *RunSkip.Reason.values)
_EPOCH = date(1970, 1, 1)
# Without a reading these are nobody's fault: nothing was to be read.
_QUIET_STATUSES = (Connection.Status.SUSPENDED, Connection.Status.CUT_OFF, Connection.Status.CLOSED)


def as_day(number: int) -> date:
    return _EPOCH + timedelta(days=int(number))


def as_number(day: date) -> int:
    return (day - _EPOCH).days


@dataclass(frozen=True, eq=False, slots=True)
class Connections:
    """Connections by columns, ordered by id; group is a position in GROUPS."""

    id: Ints
    work_id: Ints
    customer_id: Ints
    group: Ints
    households: Ints
    persons: Ints
    is_quiet: Ints
    is_simulated: Ints


@dataclass(frozen=True, eq=False, slots=True)
class Priced:
    """What the connections of a chunk owe. All arrays (n,), one row a bill; lines.usage is a row. Skips beside them."""

    connection_id: Ints
    work_id: Ints
    customer_id: Ints
    group: Ints
    households: Ints
    persons: Ints
    is_simulated: Ints
    from_reading: Ints  # 0: none (the index at installation)
    to_reading: Ints
    from_day: Ints
    to_day: Ints
    volume_l: Ints
    is_estimated: Ints
    tariff_id: Ints  # the last one, of several
    net_vnd: Ints
    vat_vnd: Ints
    fee_vnd: Ints
    total_vnd: Ints
    lines: tariff_columns.LineColumns
    skipped: Ints  # ids of connections without a bill
    reason: Ints  # position in REASONS
    true_ups: reading_queries.TrueUps
    seen: int  # connections looked at
    last_id: int  # the last of them

    def digest(self) -> bytes:
        """Return a hash of everything that a bill of the chunk says: what was approved is what is issued."""
        hashed = hashlib.sha256()
        for name in (
            "connection_id", "customer_id", "group", "households", "persons", "from_reading", "to_reading", "from_day",
            "to_day", "volume_l", "is_estimated", "tariff_id", "net_vnd", "vat_vnd", "fee_vnd",
        ):  # fmt: skip
            hashed.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        for name in ("usage", "tariff_id", "group", "block", "days", "volume_l", "price_vnd"):
            hashed.update(np.ascontiguousarray(getattr(self.lines, name)).tobytes())
        return hashed.digest()


def list_connections(work_ids: Sequence[int], after_id: int, limit: int, upto_id: int = 2**62) -> Connections:
    """Return the next connections of the works that were ever installed, by id."""
    if not work_ids:
        return Connections(*(np.zeros(0, np.int64) for _ in range(8)))
    works = ",".join(str(int(pk)) for pk in work_ids)
    groups = " ".join(f"WHEN '{group}' THEN {number}" for number, group in enumerate(GROUPS))
    quiet = ",".join(f"'{status}'" for status in _QUIET_STATUSES)
    columns = (
        "c.id", "c.work_id", "c.customer_id", f'CASE c."group" {groups} ELSE -1 END', "c.households", "c.persons",
        f"CASE WHEN c.status IN ({quiet}) THEN 1 ELSE 0 END", "CASE WHEN c.is_simulated THEN 1 ELSE 0 END",
    )  # fmt: skip
    sql = (
        f"SELECT {', '.join(bulk.big(column) for column in columns)} FROM customers_connection c "  # noqa: S608
        f"WHERE c.id > %s AND c.id <= %s AND c.work_id IN ({works}) AND c.status <> 'PENDING' "
        f"ORDER BY c.id LIMIT {int(limit)}"
    )
    return Connections(*bulk.fetch(sql, [after_id, upto_id], 8))


def count_connections(work_ids: Sequence[int]) -> int:
    """Return how many connections of the works a run looks at."""
    return Connection.objects.filter(work_id__in=work_ids).exclude(status=Connection.Status.PENDING).count()


def price(period_start: date, rows: Connections, prices: PriceColumns, billed: Ints | None = None) -> Priced:
    """Return what the connections owe for the month. billed: ids that have their bill, left out."""
    seen, last_id = len(rows.id), int(rows.id[-1]) if len(rows.id) else 0
    if billed is not None and len(billed):
        rows = _take(rows, ~np.isin(rows.id, billed))
    usages = reading_queries.usages(period_start, rows.id)  # type: ignore[arg-type]
    at = np.searchsorted(rows.id, usages.connection_id)  # row of each usage
    reason = _codes(usages.problem)
    from_day, to_day = usages.from_date.astype(np.int64), usages.to_date.astype(np.int64)
    reason[(reason == 0) & (to_day <= from_day)] = REASONS.index(RunSkip.Reason.NO_START)
    covered = to_day > _first_day_billed_later(period_start, rows.id)[at]
    reason[(reason == 0) & covered] = REASONS.index(RunSkip.Reason.COVERED)
    nothing_to_read = (reason == REASONS.index(RunSkip.Reason.NO_READING)) & (rows.is_quiet[at] == 1)
    good = np.flatnonzero(reason == 0)
    asked = _parts(at[good], rows, from_day[good], to_day[good], usages.volume_l[good], prices)
    charged = tariff_columns.charge_columns(asked.columns, prices.prices)
    codes = np.array([REASONS.index(name) if name in REASONS else -1 for name in tariff_columns.PROBLEMS], np.int64)
    reason[good] = codes[charged.problem]
    paid = np.flatnonzero(charged.problem == 0)  # rows of `good` that become bills
    kept = good[paid]
    row = at[kept]
    renumbered = np.full(len(good), -1, np.int64)
    renumbered[paid] = np.arange(len(paid))
    lines = charged.lines
    lines = tariff_columns.LineColumns(
        renumbered[lines.usage], lines.order, lines.part, lines.tariff_id, lines.group, lines.block, lines.days,
        lines.volume_l, lines.price_vnd, lines.amount_vnd,
    )  # fmt: skip
    skipped = np.flatnonzero((reason != 0) & ~nothing_to_read)
    return Priced(
        rows.id[row], rows.work_id[row], rows.customer_id[row], rows.group[row], rows.households[row],
        asked.persons[paid], rows.is_simulated[row], usages.from_reading_id[kept], usages.to_reading_id[kept],
        from_day[kept], to_day[kept], usages.volume_l[kept], usages.is_estimated[kept].astype(np.int64),
        asked.tariff_id[paid], charged.net_vnd[paid], charged.vat_vnd[paid], charged.fee_vnd[paid],
        charged.total_vnd[paid], lines, usages.connection_id[skipped], reason[skipped],
        usages.true_ups, seen, last_id,
    )  # fmt: skip


def _codes(problems: NDArray[np.str_]) -> Ints:
    """Return the positions in REASONS of the reasons that readings give."""
    found, which = np.unique(problems, return_inverse=True)
    suspect = REASONS.index(RunSkip.Reason.SUSPECT)
    return np.array([REASONS.index(one) if one in REASONS else suspect for one in found.tolist()], np.int64)[which]


def _take(rows: Connections, which: NDArray[np.bool_]) -> Connections:
    return Connections(*(getattr(rows, name)[which] for name in Connections.__slots__))


# --- parts ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class _Asked:
    """Usages as the calculation wants them; tariff and persons of the last part of each, (U,)."""

    columns: tariff_columns.UsageColumns
    tariff_id: Ints
    persons: Ints


def _parts(row: Ints, rows: Connections, from_day: Ints, to_day: Ints, volume_l: Ints, prices: PriceColumns) -> _Asked:
    """Cut each usage where its tariff, fee, norm or shares change. row: of each usage in `rows`; others (U,)."""
    count = len(row)
    ids = rows.id[row]
    norms = _read_spans("customers_normpersons", "persons", ids)
    shares = _read_spans("customers_useshare", _group_code(), ids, ", " + bulk.big("x.share_pct"))
    cuts_usage, cuts_day = [np.arange(count)], [from_day]
    work = prices.row_of(rows.work_id[row])
    for number in np.unique(work):
        days = prices.starts[number]
        mine = np.flatnonzero(work == number)
        for cut in days[1:]:
            inside = mine[(from_day[mine] < cut) & (cut < to_day[mine])]
            cuts_usage.append(inside)
            cuts_day.append(np.full(len(inside), cut, np.int64))
    for spans in (norms, shares):
        for edge in (spans[1], spans[2]):
            owner = np.searchsorted(ids, spans[0])
            inside_edge = (from_day[owner] < edge) & (edge < to_day[owner]) if len(owner) else np.zeros(0, bool)
            cuts_usage.append(owner[inside_edge])
            cuts_day.append(edge[inside_edge])
    usage, start = np.concatenate(cuts_usage), np.concatenate(cuts_day)
    if len(usage) > count:
        order = np.lexsort((start, usage))
        usage, start = usage[order], start[order]
        fresh = np.ones(len(usage), bool)
        fresh[1:] = (usage[1:] != usage[:-1]) | (start[1:] != start[:-1])
        usage, start = usage[fresh], start[fresh]
    end = np.append(start[1:], 0)
    is_last = np.append(usage[1:] != usage[:-1], True) if len(usage) else np.zeros(0, bool)
    end[is_last] = to_day[usage[is_last]]
    segment = prices.segment(work[usage], start)
    persons = rows.persons[row][usage]
    _write_in_force(persons, norms, ids, usage, start)
    part, group, pct = _shares_of_parts(shares, ids, rows.group[row], usage, start)
    fee = prices.fee(work[usage][part], segment[part], group)
    columns = tariff_columns.UsageColumns(
        volume_l=volume_l, part_usage=usage, part_days=end - start,
        part_tariff_id=prices.tariff(work[usage], segment), part_households=rows.households[row][usage],
        part_persons=persons, share_part=part, share_group=group, share_pct=pct, share_fee_basis_points=fee,
        group_names=GROUPS,
    )  # fmt: skip
    return _Asked(columns, columns.part_tariff_id[is_last], persons[is_last])


def _group_code() -> str:
    groups = " ".join(f"WHEN '{group}' THEN {number}" for number, group in enumerate(GROUPS))
    return f'CASE x."group" {groups} ELSE -1 END'


def _read_spans(table: str, value: str, ids: Ints, more: str = "") -> list[Ints]:
    """Return connection, first day, day after the last, value (and more) of rows with dates, of these connections."""
    width = 4 + (1 if more else 0)
    if not len(ids):
        return [np.zeros(0, np.int64) for _ in range(width)]
    value = value if "x." in value else f"x.{value}"
    found = bulk.fetch(
        f"SELECT x.connection_id, {bulk.day('x.valid_from')}, COALESCE({bulk.day('x.valid_to')}, 1000000), "  # noqa: S608
        f"{bulk.big(value)}{more} FROM {table} x WHERE x.connection_id BETWEEN %s AND %s "
        "ORDER BY x.connection_id, x.valid_from",
        [int(ids[0]), int(ids[-1])],
        width,
    )
    mine = np.isin(found[0], ids)
    return [column[mine] for column in found]


def _write_in_force(persons: Ints, norms: list[Ints], ids: Ints, usage: Ints, start: Ints) -> None:
    """Put the number of persons of the norm in force at the start of each part, for connections that have norms."""
    if not len(norms[0]):
        return
    has = np.isin(ids[usage], norms[0])
    persons[has] = 0
    begin = np.searchsorted(ids[usage], norms[0])  # parts are in the order of ids
    end = np.searchsorted(ids[usage], norms[0], side="right")
    for first, last, from_day, to_day, number in zip(begin, end, norms[1], norms[2], norms[3], strict=True):
        mine = slice(first, last)
        inside = (start[mine] >= from_day) & (start[mine] < to_day)
        persons[mine][inside] = number


def _shares_of_parts(shares: list[Ints], ids: Ints, group: Ints, usage: Ints, start: Ints) -> tuple[Ints, Ints, Ints]:
    """Return part, group and per cent of each share; a connection without shares gives all to its group."""
    part, found_group, pct = np.arange(len(usage)), group[usage], np.full(len(usage), 100, np.int64)
    if not len(shares[0]):
        return part, found_group, pct
    begin = np.searchsorted(ids[usage], shares[0])
    end = np.searchsorted(ids[usage], shares[0], side="right")
    more: list[tuple[int, int, int]] = []
    for first, last, from_day, to_day, code, share in zip(
        begin, end, shares[1], shares[2], shares[3], shares[4], strict=True
    ):
        more += [(number, int(code), int(share)) for number in range(first, last) if from_day <= start[number] < to_day]
    if not more:
        return part, found_group, pct
    table = np.array(more, np.int64)
    plain = ~np.isin(part, table[:, 0])
    part = np.concatenate([part[plain], table[:, 0]])
    found_group = np.concatenate([found_group[plain], table[:, 1]])
    pct = np.concatenate([pct[plain], table[:, 2]])
    order = np.lexsort((found_group, part))
    return part[order], found_group[order], pct[order]


def _first_day_billed_later(period_start: date, ids: Ints) -> Ints:
    """Return the first day of what live bills of later months cover, of each connection; far away where there are none.

    A month without a reading is in the bill of the next one: read afterwards, its water must not be billed again.
    """
    found = np.full(len(ids), np.iinfo(np.int64).max, np.int64)
    if not len(ids):
        return found
    connection_id, from_day = bulk.fetch(
        f"SELECT {bulk.big('connection_id')}, {bulk.day('from_date')} FROM billing_bill "  # noqa: S608 - our own names
        "WHERE connection_id BETWEEN %s AND %s AND period_start_date > %s "
        "AND state = 'ISSUED' AND kind IN ('NORMAL', 'REPLACEMENT')",
        [int(ids[0]), int(ids[-1]), period_start],
        2,
    )
    mine = np.isin(connection_id, ids)
    np.minimum.at(found, np.searchsorted(ids, connection_id[mine]), from_day[mine])
    return found


def list_billed(period_start: date, first_id: int, last_id: int) -> Ints:
    """Return the connections in this range of ids that have their bill of the month, ascending."""
    return list_bills(period_start, first_id, last_id)[0]


def list_bills(period_start: date, first_id: int, last_id: int) -> tuple[Ints, Ints, Ints]:
    """Return connection, volume and total of the live bills of a month in this range of connections."""
    columns = ", ".join(bulk.big(name) for name in ("connection_id", "volume_l", "total_vnd"))
    connection_id, volume_l, total_vnd = bulk.fetch(
        f"SELECT {columns} FROM billing_bill WHERE connection_id BETWEEN %s AND %s AND period_start_date = %s "  # noqa: S608
        "AND state = 'ISSUED' AND kind IN ('NORMAL', 'REPLACEMENT') ORDER BY connection_id",
        [first_id, last_id, period_start],
        3,
    )
    return connection_id, volume_l, total_vnd
