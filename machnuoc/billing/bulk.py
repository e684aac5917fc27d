"""Read and write many rows as columns: PostgreSQL gives and takes them by binary COPY, SQLite by executemany.

The ORM makes an object a row, which is many times slower; a million bills are a million rows with four million lines.
Everything here runs in the transaction of whoever calls it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from django.db import connection, models
from numpy.typing import NDArray

_POSTGRES_DAY_ZERO = date(2000, 1, 1)
_UNIX_TO_POSTGRES_DAYS = (_POSTGRES_DAY_ZERO - date(1970, 1, 1)).days
_POSTGRES_ZERO = datetime(2000, 1, 1, tzinfo=UTC)
_COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + b"\x00" * 8
_COPY_TRAILER = b"\xff\xff"
_KINDS = {
    "BigAutoField": ">i8", "BigIntegerField": ">i8", "PositiveBigIntegerField": ">i8", "IntegerField": ">i4",
    "PositiveIntegerField": ">i4", "PositiveSmallIntegerField": ">i2", "SmallIntegerField": ">i2",
    "BooleanField": "u1", "DateField": ">i4", "DateTimeField": ">i8", "CharField": "S",
    "TextField": "S", "EmailField": "S", "JSONField": "S",
}  # fmt: skip


@dataclass(frozen=True, eq=False, slots=True)
class Coded:
    """A column of few different texts: codes, shape (n,), are positions in texts."""

    codes: NDArray[np.integer[Any]]
    texts: tuple[str, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Optional:
    """A column of numbers in which 0 stands for none (NULL): ids of rows that need not be there. Shape (n,)."""

    numbers: NDArray[np.int64]


# An array of shape (n,) of integers, booleans, days (datetime64[D]) or texts of one width (bytes, S); or one value
# for all rows. JSON is given as one text.
Column = NDArray[Any] | Coded | Optional | str | int | bool | date | datetime | None
Columns = Mapping[str, Column]


def insert(model: type[models.Model], columns: Columns, count: int) -> None:
    """Insert that many rows. columns: by the name of the database column. Columns that are not named are left out.

    Ids that are not given are the database's own.
    """
    if count == 0:
        return
    if connection.vendor == "postgresql":
        _insert_postgresql(model, columns, count)
    else:
        _insert_sqlite(model, columns, count)


def _quoted(names: Iterable[str]) -> str:
    return ",".join(connection.ops.quote_name(name) for name in names)


def take_ids(model: type[models.Model], count: int) -> NDArray[np.int64]:
    """Return that many ids, ascending, that nobody else gets. SQLite: the caller's transaction holds the write lock."""
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)", [table, count]
            )
            return np.sort(np.fromiter((row[0] for row in cursor.fetchall()), np.int64, count))
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
        row = cursor.fetchone()
        return np.arange(1, count + 1, dtype=np.int64) + (row[0] if row else 0)


def fetch(sql: str, parameters: Sequence[Any], width: int) -> list[NDArray[np.int64]]:
    """Return the columns of a query as arrays, shape (rows,). Each of its `width` columns is a whole number, no NULL.

    On PostgreSQL each must be a bigint: write `x::bigint` by `big(x)`, a day by `day(x)`.
    """
    if connection.vendor == "postgresql":
        layout = np.dtype([("count", ">i2"), *((f"{part}{n}", kind) for n in range(width) for part, kind in
                                               (("size", ">i4"), ("column", ">i8")))])  # fmt: skip
        with connection.cursor() as cursor, cursor.cursor.copy(
            f"COPY ({sql}) TO STDOUT (FORMAT BINARY)", parameters
        ) as copy:  # fmt: skip
            data = b"".join(bytes(block) for block in copy)
        rows = np.frombuffer(data, layout, (len(data) - len(_COPY_HEADER) - 2) // layout.itemsize, len(_COPY_HEADER))
        return [rows[f"column{number}"].astype(np.int64) for number in range(width)]
    with connection.cursor() as cursor:
        found = cursor.execute(sql, list(parameters)).fetchall()
    table = np.array(found, np.int64).reshape(-1, width)
    return [np.ascontiguousarray(table[:, number]) for number in range(width)]


def big(expression: str) -> str:
    """Return the expression as `fetch` wants a number."""
    return f"({expression})::bigint" if connection.vendor == "postgresql" else expression


def day(column: str) -> str:
    """Return a column of days as `fetch` wants it: days since 1 January 1970."""
    if connection.vendor == "postgresql":
        return f"({column} - DATE '1970-01-01')::bigint"
    return f"CAST(julianday({column}) - 2440587.5 AS INTEGER)"


# --- SQLite -----------------------------------------------------------------------------------------------------------


def _insert_sqlite(model: type[models.Model], columns: Columns, count: int) -> None:
    names = list(columns)
    lists = [_as_list(columns[name], count) for name in names]
    marks = ",".join("?" * len(names))
    sql = f'INSERT INTO "{model._meta.db_table}" ({_quoted(names)}) VALUES ({marks})'  # noqa: S608 - our own names
    with connection.cursor() as cursor:
        # Past Django's wrapper: it would walk through all parameters once more to adapt what is plain already.
        cursor.cursor.connection.executemany(sql, zip(*lists, strict=True))


def _as_list(column: Column, count: int) -> list[Any]:
    if isinstance(column, Coded):
        texts = column.texts
        return [texts[code] for code in column.codes.tolist()]
    if isinstance(column, Optional):
        return [number or None for number in column.numbers.tolist()]
    if isinstance(column, np.ndarray):
        if column.dtype.kind == "M":
            days, which = np.unique(column.astype("datetime64[D]"), return_inverse=True)
            texts = tuple(np.datetime_as_string(days).tolist())
            return [texts[code] for code in which.tolist()]
        if column.dtype.kind == "S":
            return [text.decode() for text in column.tolist()]
        return column.tolist()  # type: ignore[no-any-return]
    if isinstance(column, datetime):
        column = connection.ops.adapt_datetimefield_value(column)  # as the ORM writes it, so that instants compare
    elif isinstance(column, date):
        column = column.isoformat()
    return [column] * count


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


def _insert_postgresql(model: type[models.Model], columns: Columns, count: int) -> None:
    """Send rows whose texts and NULLs are alike together: they are equally wide, so one NumPy array holds them."""
    kinds = {str(field.column): _kind(field) for field in model._meta.concrete_fields}
    for field in model._meta.concrete_fields:
        name = str(field.column)
        if isinstance(field, models.JSONField) and isinstance(text := columns.get(name), str):
            columns = {**columns, name: f"\x01{text}"}  # the version of the binary form
    pattern = np.zeros(count, np.int64)
    for column in columns.values():
        if isinstance(column, Coded):
            pattern = pattern * len(column.texts) + column.codes
        elif isinstance(column, Optional):
            pattern = pattern * 2 + (column.numbers != 0)
    sql = f'COPY "{model._meta.db_table}" ({_quoted(columns)}) FROM STDIN (FORMAT BINARY)'
    with connection.cursor() as cursor, cursor.cursor.copy(sql) as copy:
        copy.write(_COPY_HEADER)
        found = np.unique(pattern)
        for number in found:
            rows: Any = np.flatnonzero(pattern == number) if len(found) > 1 else slice(None)
            copy.write(_rows_alike(columns, kinds, rows, count if len(found) == 1 else len(rows)))
        copy.write(_COPY_TRAILER)


def _kind(field: Any) -> str:
    while field.is_relation:
        field = field.target_field
    return _KINDS.get(field.get_internal_type(), "")


def _rows_alike(columns: Columns, kinds: Mapping[str, str], rows: Any, count: int) -> bytes:
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    values: dict[str, Any] = {}
    for name, column in columns.items():
        value = _value(column, rows)
        fields.append((f"size {name}", ">i4"))
        values[f"size {name}"] = -1
        if value is None:
            continue
        kind = kinds[name]
        if kind == "S":
            kind = value.dtype.str if isinstance(value, np.ndarray) else f"S{len(value)}"
        width = np.dtype(kind).itemsize
        if width:
            fields.append((name, kind))
            values[name] = value
        values[f"size {name}"] = width
    table = np.empty(count, np.dtype(fields))
    table["fields"] = len(columns)
    for name, value in values.items():
        table[name] = value
    return table.tobytes()


def _value(column: Column, rows: Any) -> Any:
    """Return what the rows hold: an array or one value as PostgreSQL's binary form has it; None for NULL."""
    if isinstance(column, Coded):
        return column.texts[int(column.codes[rows][0])].encode()
    if isinstance(column, Optional):
        numbers = column.numbers[rows]
        return numbers if numbers[0] else None
    if isinstance(column, np.ndarray):
        if column.dtype.kind == "M":
            return column[rows].astype("datetime64[D]").astype(np.int64) - _UNIX_TO_POSTGRES_DAYS
        return column[rows]
    if isinstance(column, datetime):
        return round((column - _POSTGRES_ZERO).total_seconds() * 1_000_000)
    if isinstance(column, date):
        return (column - _POSTGRES_DAY_ZERO).days
    if isinstance(column, str):
        return column.encode()
    return column
