"""Which money pays which bill: oldest bill first, each source used up before the next. Numbers in, numbers out."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """Money that is there: what is left of a payment, or of a bill that lowers what was owed. left_vnd: đồng, ≥ 0."""

    key: int
    left_vnd: int


@dataclass(frozen=True)
class Owed:
    """A bill and what is open of it, đồng, ≥ 0."""

    key: int
    open_vnd: int


@dataclass(frozen=True)
class Share:
    source: int
    bill: int
    amount_vnd: int


def share_out(sources: Sequence[Source], bills: Sequence[Owed]) -> list[Share]:
    """Return the shares, in the order of the bills: as much as there is, nothing above what is open.

    Either every bill is paid in full or every source is used up. sources, bills: in the order in which to use them.

    >>> [(one.source, one.bill, one.amount_vnd) for one in share_out([Source(1, 100), Source(2, 50)], [Owed(7, 120)])]
    [(1, 7, 100), (2, 7, 20)]
    """
    shares: list[Share] = []
    left = [source.left_vnd for source in sources]
    if min(left, default=0) < 0 or min((bill.open_vnd for bill in bills), default=0) < 0:
        raise ValueError("money that is there and money that is owed are never negative")
    at = 0
    for bill in bills:
        owed_vnd = bill.open_vnd
        while owed_vnd and at < len(sources):
            taken_vnd = min(owed_vnd, left[at])
            if taken_vnd:
                shares.append(Share(sources[at].key, bill.key, taken_vnd))
            left[at] -= taken_vnd
            owed_vnd -= taken_vnd
            if not left[at]:
                at += 1
    return shares
