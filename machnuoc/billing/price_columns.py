"""The price book of many works (`tariff_queries.price_book`) as arrays. Days since 1 January 1970."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from machnuoc.billing import tariff_queries
from machnuoc.billing.tariff import Prices

Ints = NDArray[np.int64]
_EPOCH = date(1970, 1, 1)
# A usage may begin long before its month (a house that nobody could read) and end some days after it.
_DAYS_BEFORE, _DAYS_AFTER = 3 * 366, 93


@dataclass(frozen=True, eq=False)
class PriceColumns:
    """Works with the same prices on the same days share a row. The spans of a row are counted from 0."""

    prices: Mapping[int, Prices]
    work_ids: Ints  # ascending
    row: Ints  # of each work
    starts: list[Ints]  # first day of each span of a row
    tariff_id: Ints  # (rows, spans)
    fee_basis_points: Ints  # (rows, spans, groups)

    def row_of(self, work_id: Ints) -> Ints:
        return self.row[np.searchsorted(self.work_ids, work_id)]

    def segment(self, row: Ints, day: Ints) -> Ints:
        """Return the span of each row that each day lies in."""
        found = np.zeros(len(row), np.int64)
        for number in np.unique(row).tolist():
            mine = np.flatnonzero(row == number)
            found[mine] = np.maximum(np.searchsorted(self.starts[number], day[mine], side="right") - 1, 0)
        return found

    def tariff(self, row: Ints, segment: Ints) -> Ints:
        return self.tariff_id[row, segment]

    def fee(self, row: Ints, segment: Ints, group: Ints) -> Ints:
        return self.fee_basis_points[row, segment, group]


def read_prices(work_ids: Sequence[int], period_start: date) -> PriceColumns:
    """Return the prices and fees of the works around a month: read once a run."""
    book = tariff_queries.price_book(
        work_ids, period_start - timedelta(days=_DAYS_BEFORE), period_start + timedelta(days=_DAYS_AFTER)
    )
    works = sorted(book.by_work)
    rows: dict[int, int] = {}  # identity of the spans (shared by works alike) → row
    patterns: list[tuple[tariff_queries.PriceSpan, ...]] = []
    for work in works:
        spans = book.by_work[work]
        if id(spans) not in rows:
            rows[id(spans)] = len(patterns)
            patterns.append(spans)
    most = max((len(spans) for spans in patterns), default=1)
    tariff_id = np.zeros((max(1, len(patterns)), most), np.int64)
    fees = np.zeros((max(1, len(patterns)), most, len(tariff_queries.GROUP_NAMES)), np.int64)
    for row, spans in enumerate(patterns):
        for number, span in enumerate(spans):
            tariff_id[row, number] = span.tariff_id
            fees[row, number] = [span.fee_basis_points.get(group, 0) for group in tariff_queries.GROUP_NAMES]
    return PriceColumns(
        book.prices, np.array(works, np.int64), np.array([rows[id(book.by_work[work])] for work in works], np.int64),
        [np.array([(span.from_date - _EPOCH).days for span in spans], np.int64) for spans in patterns], tariff_id, fees,
    )  # fmt: skip
