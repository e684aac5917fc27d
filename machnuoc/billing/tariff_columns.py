"""What water costs for many usages at once: the answers of `tariff.charge`, in columns of 64-bit integers.

The same rule (docs/algorithms/tariff.md) over three tables in each other's order: usages, their parts (days with one
tariff and norm), and the shares of each part. A usage that cannot be charged gets a problem instead of an exception.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from machnuoc.billing import tariff
from machnuoc.billing.tariff import Prices, Usage

Ints = NDArray[np.int64]

# What stands in `ChargeColumns.problem`: an index into this. 0 is none; the others are reasons of RunSkip.
PROBLEMS: Final = ("", "NEGATIVE", "NO_TARIFF", "SUSPECT", "BAD_SHARES", "NO_PERSONS")
_NEGATIVE, _NO_TARIFF, _SUSPECT, _BAD_SHARES, _NO_PERSONS = 1, 2, 3, 4, 5
_ENDLESS: Final = 2 * tariff.MOST_EDGE_L  # above any volume that can be charged


@dataclass(frozen=True, slots=True)
class UsageColumns:
    """Usages (U), their parts (P) and the parts' shares (S): all int64, parts ordered by usage, shares by part.

    A part with tariff_id 0 has no tariff in force. `group` is an index into `group_names`.
    """

    volume_l: Ints  # (U,)
    part_usage: Ints  # (P,) index of the usage, never falling
    part_days: Ints  # (P,)
    part_tariff_id: Ints  # (P,)
    part_households: Ints  # (P,)
    part_persons: Ints  # (P,)
    share_part: Ints  # (S,) index of the part, never falling
    share_group: Ints  # (S,)
    share_pct: Ints  # (S,)
    share_fee_basis_points: Ints  # (S,)
    group_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LineColumns:
    """Lines of bills (L), ordered by usage, part, share and block. All int64."""

    usage: Ints
    order: Ints  # from 1 within the usage
    part: Ints  # from 0 within the usage
    tariff_id: Ints
    group: Ints  # index into group_names
    block: Ints  # 1 is the lowest
    days: Ints
    volume_l: Ints
    price_vnd: Ints
    amount_vnd: Ints


@dataclass(frozen=True, slots=True)
class ChargeColumns:
    """What each usage costs (U,). Where `problem` is not 0 the money is 0 and there are no lines."""

    billed_l: Ints
    net_vnd: Ints
    vat_vnd: Ints
    fee_vnd: Ints
    total_vnd: Ints
    problem: Ints  # index into PROBLEMS
    lines: LineColumns


def columns_of(usages: Sequence[Usage], group_names: tuple[str, ...]) -> UsageColumns:
    """Return the usages as columns; for tests and small numbers."""
    parts = [(index, part) for index, usage in enumerate(usages) for part in usage.parts]
    shares = [(index, share) for index, (_, part) in enumerate(parts) for share in part.shares]

    def column(values: list[int]) -> Ints:
        return np.array(values, dtype=np.int64)

    return UsageColumns(
        volume_l=column([usage.volume_l for usage in usages]),
        part_usage=column([index for index, _ in parts]),
        part_days=column([part.days for _, part in parts]),
        part_tariff_id=column([part.tariff_id for _, part in parts]),
        part_households=column([part.households for _, part in parts]),
        part_persons=column([part.persons for _, part in parts]),
        share_part=column([index for index, _ in shares]),
        share_group=column([group_names.index(share.group) for _, share in shares]),
        share_pct=column([share.share_pct for _, share in shares]),
        share_fee_basis_points=column([share.fee_basis_points for _, share in shares]),
        group_names=group_names,
    )


def charge_columns(usages: UsageColumns, prices: Mapping[int, Prices]) -> ChargeColumns:
    """Return what each usage costs: `tariff.charge` of each, and its problem where that raises.

    prices: by tariff id. Raises ValueError if parts or shares are not in the order of what they belong to.
    """
    count = usages.volume_l.size
    part_usage, share_part = usages.part_usage, usages.share_part
    if (np.diff(part_usage) < 0).any() or (np.diff(share_part) < 0).any():
        raise ValueError("parts must be ordered by usage, shares by part")
    problem = _problems_of_usages(usages)
    # What is wrong already is charged as nothing, so that no product leaves 64 bits.
    volume_l = np.where(problem == 0, usages.volume_l, 0)
    part_first, part_last = _ends(part_usage)
    share_first, share_last = _ends(share_part)
    day_heads = _heads(np.clip(usages.part_days, 1, tariff.MOST_DAYS), part_first)
    pct_heads = _heads(np.clip(usages.share_pct, 1, 100), share_first)

    table = _PriceTable(prices, usages.group_names)
    known = table.find(usages.part_tariff_id)  # (P,) row of the tariff, -1 where there is none
    every_part = np.arange(part_usage.size)
    used_l = _portion(volume_l[part_usage], every_part, part_first, part_last, day_heads)
    whole_l = np.where(usages.part_households > 1, table.minimum_l[known] * usages.part_households, 0)
    too_much = whole_l > tariff.MOST_VOLUME_L
    minimum_l = _portion(np.where(too_much, 0, whole_l), every_part, part_first, part_last, day_heads)
    billed_part_l = np.maximum(used_l, minimum_l)

    every_share = np.arange(share_part.size)
    share_l = _portion(billed_part_l[share_part], every_share, share_first, share_last, pct_heads)
    tariff_row = known[share_part]
    cell = tariff_row * len(usages.group_names) + usages.share_group
    structure = np.where(tariff_row < 0, 0, table.structure[cell])
    persons = usages.part_persons[share_part]
    times = np.where(structure == _BY_PERSON, persons, 1)
    times = np.where(structure == _BY_HOUSEHOLD, usages.part_households[share_part], times)

    row_problem = np.zeros(share_part.size, dtype=np.int64)
    row_problem[(structure == _BY_PERSON) & (persons < 1)] = _NO_PERSONS
    row_problem[structure == 0] = _NO_TARIFF
    row_problem[(tariff_row >= 0) & too_much[share_part]] = _SUSPECT
    inside_l = np.zeros((share_part.size, table.most_blocks), dtype=np.int64)
    lower_l = np.zeros(share_part.size, dtype=np.int64)
    for number in range(table.most_blocks):
        edge_l = np.where(row_problem == 0, table.edge_l[number][cell], -1)  # -1: the group has no such block
        beyond = (edge_l > 0) & (times > tariff.MOST_EDGE_L // np.maximum(edge_l, 1))
        row_problem[beyond & (edge_l < _ENDLESS)] = _SUSPECT
        bounded = (edge_l >= 0) & (edge_l < _ENDLESS) & ~beyond
        whole = np.where(bounded, edge_l * np.where(bounded, times, 0), 0)
        upto_l = _portion(whole, share_part, part_first[share_part], part_last[share_part], day_heads)
        upto_l = np.where(edge_l == _ENDLESS, _ENDLESS, upto_l)
        inside_l[:, number] = np.maximum(np.minimum(share_l, upto_l) - lower_l, 0)
        lower_l += inside_l[:, number]
    row_problem[(row_problem == 0) & (lower_l < share_l)] = _NO_TARIFF
    share_usage = part_usage[share_part]
    troubled = np.flatnonzero(row_problem)
    firsts, at = np.unique(share_usage[troubled], return_index=True)
    fresh = problem[firsts] == 0
    problem[firsts[fresh]] = row_problem[troubled[at[fresh]]]

    inside_l[problem[share_usage] != 0] = 0
    price_vnd = table.price_vnd[:, cell].T
    amount_vnd = _divide(inside_l * price_vnd, 1_000)
    vat_row = tariff_row
    net_vnd, vat_vnd, fee_vnd = _tax(
        count, share_usage, amount_vnd.sum(axis=1), table.includes_vat[vat_row], table.vat_basis_points[vat_row],
        usages.share_fee_basis_points,
    )  # fmt: skip
    good = problem == 0
    net_vnd, vat_vnd, fee_vnd = (np.where(good, money, 0) for money in (net_vnd, vat_vnd, fee_vnd))
    billed_l = np.where(good, _sum_by(part_usage, billed_part_l, count), 0)
    row, block = np.nonzero(inside_l)
    line_usage, line_part = share_usage[row], share_part[row]
    lines = LineColumns(
        usage=line_usage,
        order=np.arange(row.size) - _ends(line_usage)[0] + 1,
        part=line_part - part_first[line_part],
        tariff_id=usages.part_tariff_id[line_part],
        group=usages.share_group[row],
        block=block + 1,
        days=usages.part_days[line_part],
        volume_l=inside_l[row, block],
        price_vnd=price_vnd[row, block],
        amount_vnd=amount_vnd[row, block],
    )
    return ChargeColumns(billed_l, net_vnd, vat_vnd, fee_vnd, net_vnd + vat_vnd + fee_vnd, problem, lines)


_BY_HOUSEHOLD, _BY_PERSON, _AT_ONE_PRICE = 1, 2, 3
_STRUCTURES: Final = {
    tariff.PER_CONNECTION: _BY_HOUSEHOLD, tariff.PER_PERSON: _BY_PERSON, tariff.FLAT: _AT_ONE_PRICE
}  # fmt: skip


class _PriceTable:
    """Tariffs × groups as arrays; a cell is tariff row × number of groups + group. The last row is «no tariff»."""

    def __init__(self, prices: Mapping[int, Prices], group_names: tuple[str, ...]) -> None:
        self.ids = np.array(sorted(prices), dtype=np.int64)
        ordered = [prices[int(key)] for key in self.ids]
        self.most_blocks = max((len(g.blocks) for one in ordered for g in one.groups.values()), default=1)
        cells = (len(ordered) + 1) * len(group_names)  # row -1 reads the last one, which is empty
        self.structure = np.zeros(cells, dtype=np.int64)
        self.edge_l = np.full((self.most_blocks, cells), -1, dtype=np.int64)
        self.price_vnd = np.zeros((self.most_blocks, cells), dtype=np.int64)
        self.minimum_l = np.array([*(one.minimum_l_per_household for one in ordered), 0], dtype=np.int64)
        self.includes_vat = np.array([*(one.includes_vat for one in ordered), False], dtype=bool)
        self.vat_basis_points = np.array([*(one.vat_basis_points for one in ordered), 0], dtype=np.int64)
        for row, one in enumerate(ordered):
            for index, name in enumerate(group_names):
                found = one.groups.get(name)
                if found is None or not found.blocks:
                    continue
                cell = row * len(group_names) + index
                self.structure[cell] = _STRUCTURES.get(found.structure, _AT_ONE_PRICE)
                for number, block in enumerate(found.blocks):
                    self.edge_l[number, cell] = _ENDLESS if block.to_l is None else block.to_l
                    self.price_vnd[number, cell] = block.price_vnd

    def find(self, tariff_id: Ints) -> Ints:
        """Return the row of each tariff, -1 for one that is not among the prices."""
        if not self.ids.size:
            return np.full(tariff_id.size, -1, dtype=np.int64)
        row = np.minimum(np.searchsorted(self.ids, tariff_id), self.ids.size - 1)
        return np.where(self.ids[row] == tariff_id, row, -1)


def _problems_of_usages(usages: UsageColumns) -> Ints:
    """Return what can be said before any price is looked at, in the order in which `tariff.charge` says it."""
    count = usages.volume_l.size
    problem = np.zeros(count, dtype=np.int64)
    parts = usages.part_usage.size
    bad_share = (usages.share_pct < 1) | (usages.share_pct > 100)
    bad_part = _sum_by(usages.share_part, np.where(bad_share, 10_000, usages.share_pct), parts) != 100
    twice = np.zeros(parts, dtype=bool)
    order = np.lexsort((usages.share_group, usages.share_part))
    part, group = usages.share_part[order], usages.share_group[order]
    twice[part[1:][(part[1:] == part[:-1]) & (group[1:] == group[:-1])]] = True
    problem[usages.part_usage[bad_part | twice]] = _BAD_SHARES
    days = np.clip(usages.part_days, -1, tariff.MOST_DAYS + 1)
    problem[usages.part_usage[days < 1]] = _SUSPECT
    problem[_sum_by(usages.part_usage, days, count) > tariff.MOST_DAYS] = _SUSPECT
    problem[usages.volume_l > tariff.MOST_VOLUME_L] = _SUSPECT
    has_part = np.zeros(count, dtype=bool)
    has_part[usages.part_usage] = True
    problem[~has_part] = _NO_TARIFF
    problem[usages.volume_l < 0] = _NEGATIVE
    return problem


def _ends(owner: Ints) -> tuple[Ints, Ints]:
    """Return, for each row of an ordered column, the first and the last row with the same owner."""
    if not owner.size:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    begins = np.flatnonzero(np.concatenate(([True], owner[1:] != owner[:-1])))
    lengths = np.diff(np.append(begins, owner.size))
    first = np.repeat(begins, lengths)
    return first, np.repeat(begins + lengths - 1, lengths)


def _heads(weights: Ints, first: Ints) -> Ints:
    """Return the running sums of weights, begun anew at each owner's first row."""
    running = np.cumsum(weights)
    return running - running[first] + weights[first]


def _portion(total: Ints, at: Ints, first: Ints, last: Ints, heads: Ints) -> Ints:
    """Return which part of each total falls to row `at` of the rows first … last: `tariff.split` there."""
    found = total.copy()
    many = np.flatnonzero(first < last)
    if not many.size:
        return found
    rest, place, here, begin = total[many], at[many], last[many].copy(), first[many]
    while (moving := np.flatnonzero(here > place)).size:
        step = here[moving]
        rest[moving] = _divide(rest[moving] * heads[step - 1], heads[step])
        here[moving] -= 1
    found[many] = rest
    behind = np.flatnonzero(place > begin)
    step = place[behind]
    found[many[behind]] -= _divide(rest[behind] * heads[step - 1], heads[step])
    return found


def _tax(
    count: int, usage: Ints, amount_vnd: Ints, includes_vat: NDArray[np.bool_], vat: Ints, fee: Ints
) -> tuple[Ints, Ints, Ints]:
    """Return net, VAT and fee (U,): rounded once for each treatment (VAT within or not, VAT, fee) of a usage."""
    same = (usage[1:] == usage[:-1]) & (includes_vat[1:] == includes_vat[:-1])
    same &= (vat[1:] == vat[:-1]) & (fee[1:] == fee[:-1])
    if usage.size and (usage[1:] == usage[:-1])[~same].any():  # treatments of one usage differ: bring alike together
        order = np.lexsort((fee, vat, includes_vat, usage))
        usage, amount_vnd = usage[order], amount_vnd[order]
        includes_vat, vat, fee = includes_vat[order], vat[order], fee[order]
        same = (usage[1:] == usage[:-1]) & (includes_vat[1:] == includes_vat[:-1])
        same &= (vat[1:] == vat[:-1]) & (fee[1:] == fee[:-1])
    if not usage.size:
        nothing = np.zeros(count, dtype=np.int64)
        return nothing, nothing, nothing
    begins = np.flatnonzero(np.concatenate(([True], ~same)))
    amount_vnd = np.add.reduceat(amount_vnd, begins)
    usage, includes_vat, vat, fee = usage[begins], includes_vat[begins], vat[begins], fee[begins]
    net_vnd = np.where(includes_vat, _divide(amount_vnd * 10_000, 10_000 + vat), amount_vnd)
    vat_vnd = np.where(includes_vat, amount_vnd - net_vnd, _divide(net_vnd * vat, 10_000))
    fee_vnd = _divide(net_vnd * fee, 10_000)
    return _sum_by(usage, net_vnd, count), _sum_by(usage, vat_vnd, count), _sum_by(usage, fee_vnd, count)


def _sum_by(owner: Ints, values: Ints, count: int) -> Ints:
    """Return the sums of values by owner (an ordered column), 0 where an owner has none."""
    found = np.zeros(count, dtype=np.int64)
    if owner.size:
        begins = np.flatnonzero(np.concatenate(([True], owner[1:] != owner[:-1])))
        found[owner[begins]] = np.add.reduceat(values, begins)
    return found


def _divide(numerator: Ints, denominator: Ints | int) -> Ints:
    """Return quotients rounded to the nearest whole number, halves up; numerators from 0."""
    return (2 * numerator + denominator) // (2 * denominator)
