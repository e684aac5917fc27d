"""Two implementations of the rule of tariffs and its columns agree to the đồng on a million random usages."""

import numpy as np
import pytest

from machnuoc.billing import tariff
from machnuoc.billing.tariff import Block, GroupPrices, Part, Prices, Share, Usage
from machnuoc.billing.tariff_columns import PROBLEMS, UsageColumns, charge_columns
from machnuoc.billing.tests import second_tariff

CASES = 1_000_000
SCALAR_SAMPLE = 20_000
GROUPS = ("SH", "SH_NGHEO", "HCSN", "SX", "KDDV")


def make_tariffs(random: np.random.Generator, count: int) -> dict[int, Prices]:
    """Tariffs of all structures, with and without VAT within, some lacking a group, an end or having a minimum."""
    tariffs = {}
    for key in range(1, count + 1):
        groups = {}
        for group in GROUPS:
            structure = ("BLOCK_PER_CONNECTION", "BLOCK_PER_PERSON", "FLAT")[random.choice(3, p=(0.6, 0.25, 0.15))]
            blocks = 1 if structure == "FLAT" else int(random.integers(1, 7))
            edges = np.cumsum(random.integers(1, 15_000, blocks)).tolist()
            prices = random.integers(0, 30_000, blocks).tolist()
            uppers = [*edges[:-1], None if random.random() < 0.97 else edges[-1]]
            made = [Block(low, high, price) for low, high, price in zip([0, *edges[:-1]], uppers, prices, strict=True)]
            if random.random() < 0.97:
                groups[group] = GroupPrices(structure, tuple(made))
        tariffs[key] = Prices(
            key,
            groups,
            vat_basis_points=int(random.choice([500, 500, 800, 1000, 0])),
            includes_vat=bool(random.random() < 0.5),
            minimum_l_per_household=int(random.choice([0, 0, 0, 4_000])),
        )
    return tariffs


def make_usages(random: np.random.Generator, count: int, tariffs: int) -> UsageColumns:
    """Mostly one part and one group, as in life; up to four parts and three groups; some of what cannot be charged."""
    volume_l = np.where(
        random.random(count) < 0.5, random.integers(0, 80, count) * 1_000, random.integers(0, 90_000, count)
    )
    volume_l[random.random(count) < 0.002] *= -1
    parts = random.choice([1, 2, 3, 4], count, p=(0.86, 0.1, 0.03, 0.01))
    part_usage = np.repeat(np.arange(count), parts)
    total_parts = part_usage.size
    households = random.choice([1, 1, 1, 1, 2, 7, 130], total_parts)
    shares = random.choice([1, 2, 3], total_parts, p=(0.93, 0.05, 0.02))
    share_part = np.repeat(np.arange(total_parts), shares)
    within = np.arange(share_part.size) - np.searchsorted(share_part, share_part)
    share_pct = np.select(
        [shares[share_part] == 1, within == shares[share_part] - 1], [100, 0], random.integers(1, 49, share_part.size)
    )
    last = within == shares[share_part] - 1
    share_pct[last] = 100 - (np.bincount(share_part, share_pct, total_parts)[share_part[last]] * (share_pct[last] == 0))
    share_pct[random.random(share_part.size) < 0.001] = 99
    return UsageColumns(
        volume_l=volume_l,
        part_usage=part_usage,
        part_days=random.integers(1, 32, total_parts),
        part_tariff_id=random.integers(0 if tariffs > 30 else 1, tariffs + 1, total_parts),
        part_households=households,
        part_persons=random.integers(0, 9, total_parts),
        share_part=share_part,
        share_group=(random.integers(0, len(GROUPS), total_parts)[share_part] + within) % len(GROUPS),
        share_pct=share_pct,
        share_fee_basis_points=random.choice([0, 1000, 1000, 1500], total_parts)[share_part],
        group_names=GROUPS,
    )


def list_parts(usages: UsageColumns) -> list[list[tuple[int, int, int, int, list[tuple[str, int, int]]]]]:
    """The parts of each usage as plain tuples, for the implementations that take one at a time."""
    shares: list[list[tuple[str, int, int]]] = [[] for _ in range(usages.part_usage.size)]
    for part, group, pct, fee in zip(
        usages.share_part.tolist(), usages.share_group.tolist(), usages.share_pct.tolist(),
        usages.share_fee_basis_points.tolist(), strict=True,
    ):  # fmt: skip
        shares[part].append((GROUPS[group], pct, fee))
    parts: list[list[tuple[int, int, int, int, list[tuple[str, int, int]]]]] = [[] for _ in range(usages.volume_l.size)]
    for owner, *part in zip(
        usages.part_usage.tolist(), usages.part_days.tolist(), usages.part_tariff_id.tolist(),
        usages.part_households.tolist(), usages.part_persons.tolist(), shares, strict=True,
    ):  # fmt: skip
        parts[owner].append(tuple(part))
    return parts


def plain(tariffs: dict[int, Prices]) -> dict[int, tuple]:
    return {
        key: (
            one.includes_vat,
            one.vat_basis_points,
            one.minimum_l_per_household,
            {
                group: (found.structure, [(block.to_l, block.price_vnd) for block in found.blocks])
                for group, found in one.groups.items()
            },
        )
        for key, one in tariffs.items()
    }


@pytest.mark.sqlite  # no database in it: once is enough
@pytest.mark.slow
def test_two_implementations_and_the_columns_agree_to_the_dong_on_a_million_random_usages():
    random = np.random.default_rng(20_260_101)
    tariffs = make_tariffs(random, 40)
    usages = make_usages(random, CASES, 40)

    charged = charge_columns(usages, tariffs)

    lines = charged.lines
    begins = np.searchsorted(lines.usage, np.arange(CASES + 1)).tolist()
    listed = list(
        zip(
            lines.tariff_id.tolist(), [GROUPS[code] for code in lines.group.tolist()], lines.block.tolist(),
            lines.volume_l.tolist(), lines.amount_vnd.tolist(), strict=True,
        )
    )  # fmt: skip
    money = zip(charged.net_vnd.tolist(), charged.vat_vnd.tolist(), charged.fee_vnd.tolist(), strict=True)
    second = plain(tariffs)
    seen = dict.fromkeys(PROBLEMS, 0)
    parts_of = list_parts(usages)
    volumes = usages.volume_l.tolist()
    for case, (net_vat_fee, problem) in enumerate(zip(money, charged.problem.tolist(), strict=True)):
        expected = second_tariff.bill(volumes[case], parts_of[case], second)
        seen[PROBLEMS[problem]] += 1
        if isinstance(expected, str):
            assert PROBLEMS[problem] == expected, case
            assert net_vat_fee == (0, 0, 0)
        else:
            got = (*net_vat_fee, listed[begins[case] : begins[case + 1]])
            assert (problem, got) == (0, expected), case
    assert seen[""] > CASES * 0.8
    assert all(seen[name] for name in ("NEGATIVE", "NO_TARIFF", "BAD_SHARES", "NO_PERSONS"))
    _compare_scalar(random.choice(CASES, SCALAR_SAMPLE, replace=False).tolist(), volumes, parts_of, tariffs, charged)


def _compare_scalar(sample, volumes, parts_of, tariffs, charged):
    lines = charged.lines
    for case in sample:
        parts = tuple(
            Part(days, tariff_id, tuple(Share(*share) for share in shares), households, persons)
            for days, tariff_id, households, persons, shares in parts_of[case]
        )
        problem = PROBLEMS[charged.problem[case]]
        try:
            got = tariff.charge(Usage(volumes[case], parts), tariffs)
        except tariff.CannotCharge as reason:
            assert reason.problem == problem
            continue
        assert problem == ""
        assert (got.net_vnd, got.vat_vnd, got.fee_vnd) == (
            charged.net_vnd[case], charged.vat_vnd[case], charged.fee_vnd[case]
        )  # fmt: skip
        assert (got.total_vnd, got.billed_l) == (charged.total_vnd[case], charged.billed_l[case])
        rows = slice(*np.searchsorted(lines.usage, [case, case + 1]))
        assert [line.order for line in _rows(lines, rows)] == list(range(1, len(got.lines) + 1))
        assert [
            (
                line.part,
                line.tariff_id,
                line.group,
                line.block,
                line.days,
                line.volume_l,
                line.price_vnd,
                line.amount_vnd,
            )
            for line in got.lines
        ] == [
            (
                row.part,
                row.tariff_id,
                GROUPS[row.group],
                row.block,
                row.days,
                row.volume_l,
                row.price_vnd,
                row.amount_vnd,
            )
            for row in _rows(lines, rows)
        ]


class _Row:
    def __init__(self, **values):
        self.__dict__.update(values)


def _rows(lines, rows):
    names = [name for name in lines.__slots__ if name != "usage"]
    columns = [getattr(lines, name)[rows].tolist() for name in names]
    return [_Row(**dict(zip(names, values, strict=True))) for values in zip(*columns, strict=True)]
