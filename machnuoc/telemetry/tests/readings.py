"""Readings put straight into the store, as the road puts them: rows and dirty hours in one transaction."""

from collections.abc import Iterable, Sequence

from machnuoc.telemetry import store

Row = tuple[int, int, float] | tuple[int, int, float, int]


def put(rows: Iterable[Row], *, mark: bool = True) -> None:
    """Store (channel, at, value[, quality]) and mark their hours; a row of the same instant is replaced."""
    full = [(row[0], row[1], float(row[2]), row[3] if len(row) > 3 else 0) for row in rows]
    if not full:
        return
    with store.transaction() as cursor:
        store.ensure_months(cursor, min(row[1] for row in full), max(row[1] for row in full))
        cursor.executemany(
            store.adapt(
                "INSERT INTO telemetry_reading (channel, at, value, quality) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (channel, at) DO UPDATE SET value = excluded.value, quality = excluded.quality"
            ),
            full,
        )
        if mark:
            mark_hours(cursor, sorted({(row[0], row[1] // store.HOUR_MS * store.HOUR_MS) for row in full}))


def mark_hours(cursor: object, hours: Sequence[tuple[int, int]]) -> None:
    cursor.executemany(  # type: ignore[attr-defined]
        store.adapt(
            "INSERT INTO telemetry_dirty_hour (channel, hour) VALUES (?, ?) "
            "ON CONFLICT (channel, hour) DO UPDATE SET version = telemetry_dirty_hour.version + 1"
        ),
        hours,
    )
