"""Read and write values by columns: whole slices of the value table as NumPy arrays, on SQLite and PostgreSQL.

The ORM makes an object a row, which is twenty times slower (docs/adr/0005). Everything here is plain SQL over one
table with fixed column types; on PostgreSQL rows travel in the binary COPY format, whose rows of a fixed width are
one NumPy array.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from django.db import connection
from numpy.typing import NDArray

_POSTGRES_DAY_ZERO = date(2000, 1, 1)
_POSTGRES_ZERO = datetime(2000, 1, 1, tzinfo=UTC)
_COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + b"\x00" * 8
_COPY_TRAILER = b"\xff\xff"
_FETCH_ROWS = 50_000

Array = NDArray[Any]


@dataclass(frozen=True, eq=False, slots=True)
class Slice:
    """The numbers of one metric in one period: arrays of shape (n,), ordered by subject_id."""

    subject_ids: NDArray[np.int64]
    numbers: NDArray[np.int64]
    states: NDArray[np.int16]


EMPTY = Slice(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int16))


def _fetch(sql: str, parameters: Sequence[object], kinds: Sequence[str]) -> list[Array]:
    """Return the columns of a query whose columns are integers without NULL. kinds: numpy types, big-endian sizes."""
    if connection.vendor == "postgresql":
        return _fetch_postgresql(sql, parameters, kinds)
    with connection.cursor() as cursor:
        cursor.execute(sql, list(parameters))  # type: ignore[arg-type]
        chunks: list[list[Array]] = []
        while rows := cursor.fetchmany(_FETCH_ROWS):
            table = np.array(rows, np.int64)
            chunks.append([table[:, number] for number in range(len(kinds))])
    if not chunks:
        return [np.zeros(0, kind) for kind in kinds]
    return [np.concatenate([chunk[number] for chunk in chunks]).astype(kind) for number, kind in enumerate(kinds)]


def _fetch_postgresql(sql: str, parameters: Sequence[object], kinds: Sequence[str]) -> list[Array]:
    fields: list[tuple[str, str]] = [("count", ">i2")]
    for number, kind in enumerate(kinds):
        fields += [(f"size{number}", ">i4"), (f"column{number}", ">" + kind)]
    layout = np.dtype(fields)
    with connection.cursor() as cursor:
        copied = cursor.cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT BINARY)", parameters)
        with copied as copy:
            data = b"".join(bytes(block) for block in copy)
    body = data[len(_COPY_HEADER) : -len(_COPY_TRAILER)]
    rows = np.frombuffer(body, layout)
    return [rows[f"column{number}"].astype(kind) for number, kind in enumerate(kinds)]


def read_slices(metric_ids: Sequence[int], period_kind: str, period_start: date, scenario: str) -> dict[int, Slice]:
    """Return the numbers of the metrics in one period by metric id. Missing numbers are left out."""
    if not metric_ids:
        return {}
    marks = ",".join(str(int(metric_id)) for metric_id in metric_ids)
    metric, subject, number, state = _fetch(
        f"SELECT metric_id, subject_id, number, state FROM indicators_value WHERE metric_id IN ({marks}) "  # noqa: S608
        "AND period_kind = %s AND period_start = %s AND scenario = %s AND number IS NOT NULL "
        "ORDER BY metric_id, subject_id",
        [period_kind, period_start, scenario],
        ["i8", "i8", "i8", "i2"],
    )
    edges = np.flatnonzero(np.diff(metric)) + 1
    starts = np.concatenate([[0], edges]) if len(metric) else np.zeros(0, np.int64)
    ends = np.concatenate([edges, [len(metric)]]) if len(metric) else np.zeros(0, np.int64)
    return {
        int(metric[start]): Slice(subject[start:end], number[start:end], state[start:end])
        for start, end in zip(starts, ends, strict=True)
    }


@dataclass(frozen=True, eq=False, slots=True)
class Stored:
    """What stands in the table for one metric, period and scenario; -1 or the mark stands for NULL."""

    ids: NDArray[np.int64]
    subject_ids: NDArray[np.int64]
    numbers: NDArray[np.int64]
    has_number: NDArray[np.bool_]
    states: NDArray[np.int16]
    band_ids: NDArray[np.int64]
    numerators: NDArray[np.int64]
    denominators: NDArray[np.int64]
    parts_present: NDArray[np.int64]
    parts_total: NDArray[np.int64]
    fact_ids: NDArray[np.int64]
    formula_ids: NDArray[np.int64]


def read_stored(metric_id: int, period_kind: str, period_start: date, scenario: str) -> Stored:
    """Return all rows of one metric in one period, ordered by subject."""
    columns = _fetch(
        "SELECT id, subject_id, COALESCE(number, 0), CASE WHEN number IS NULL THEN 0 ELSE 1 END, state, "
        "COALESCE(band_id, -1), COALESCE(numerator, -1), COALESCE(denominator, -1), parts_present, parts_total, "
        "COALESCE(fact_id, -1), COALESCE(formula_id, -1) FROM indicators_value "
        "WHERE metric_id = %s AND period_kind = %s AND period_start = %s AND scenario = %s ORDER BY subject_id",
        [metric_id, period_kind, period_start, scenario],
        ["i8", "i8", "i8", "i4", "i2", "i8", "i8", "i8", "i4", "i4", "i8", "i8"],
    )
    ids, subjects, numbers, has, states, bands, numerators, denominators, present, total, facts, formulas = columns
    return Stored(
        ids, subjects, numbers, has.astype(bool), states, bands, numerators, denominators, present, total, facts,
        formulas,
    )  # fmt: skip


# The type of each column that computed values fill, as PostgreSQL's binary COPY wants it.
_TYPES = {
    "metric_id": ">i8", "subject_id": ">i8", "period_kind": "S1", "period_start": ">i4", "scenario": "S1",
    "number": ">i8", "low_open": "u1", "high_open": "u1", "band_id": ">i8", "state": ">i2", "numerator": ">i8",
    "denominator": ">i8", "parts_present": ">i4", "parts_total": ">i4", "formula_id": ">i8", "fact_id": ">i8",
    "version": ">i4", "computed_at": ">i8",
}  # fmt: skip


def insert_values(columns: Mapping[str, object], row_count: int) -> None:
    """Insert rows of the value table. columns: name → array of shape (row_count,) or one value for all; no NULLs.

    Columns that are not named stay NULL. Dates and instants are single values.
    """
    if row_count == 0:
        return
    names = list(columns)
    if connection.vendor == "postgresql":
        _insert_postgresql(columns, names, row_count)
        return
    lists = [_python_column(columns[name], row_count) for name in names]
    marks = ",".join(["%s"] * len(names))
    sql = f"INSERT INTO indicators_value ({','.join(names)}) VALUES ({marks})"  # noqa: S608
    with connection.cursor() as cursor:
        # Past Django's wrapper: it would walk through all parameters once more to adapt what is plain already.
        cursor.cursor.connection.executemany(sql.replace("%s", "?"), zip(*lists, strict=True))


def _python_column(value: object, row_count: int) -> list[Any]:
    if isinstance(value, np.ndarray):
        return value.tolist()  # type: ignore[no-any-return]
    if isinstance(value, datetime):
        value = connection.ops.adapt_datetimefield_value(value)  # as the ORM writes it, so that instants compare
    elif isinstance(value, date):
        value = value.isoformat()
    return [value] * row_count


def _insert_postgresql(columns: Mapping[str, object], names: list[str], row_count: int) -> None:
    fields: list[tuple[str, str]] = [("count", ">i2")]
    for name in names:
        fields += [(f"size_{name}", ">i4"), (name, _TYPES[name])]
    layout = np.dtype(fields)
    table = np.zeros(row_count, layout)
    table["count"] = len(names)
    for name in names:
        value = columns[name]
        if isinstance(value, datetime):
            value = round((value - _POSTGRES_ZERO).total_seconds() * 1_000_000)
        elif isinstance(value, date):
            value = (value - _POSTGRES_DAY_ZERO).days
        elif isinstance(value, str):
            value = value.encode("ascii")
        table[f"size_{name}"] = layout[name].itemsize
        table[name] = value
    with (
        connection.cursor() as cursor,
        cursor.cursor.copy(f"COPY indicators_value ({','.join(names)}) FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.write(_COPY_HEADER)
        copy.write(table.tobytes())
        copy.write(_COPY_TRAILER)
