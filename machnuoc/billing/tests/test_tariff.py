"""What water costs: tariffs of real decisions, the written rule by example, and what must hold for every usage."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machnuoc.billing import tariff, tariff_columns
from machnuoc.billing.tariff import Block, GroupPrices, Part, Prices, Share, Usage

EXAMPLES_FILE = Path(tariff.__file__).parent / "data" / "tariff_examples.toml"
GROUPS = ("SH", "SH_NGHEO", "HCSN", "SX", "KDDV")


def read_examples() -> dict[str, Prices]:
    found = {}
    for number, table in enumerate(tomllib.loads(EXAMPLES_FILE.read_text(encoding="utf-8"))["tariff"], start=1):
        groups = {}
        for group in table["group"]:
            lower_l, blocks = 0, []
            for to_m3, price_vnd in group["blocks"]:
                upper_l = None if to_m3 == "" else to_m3 * 1_000
                blocks.append(Block(lower_l, upper_l, price_vnd))
                lower_l = upper_l or 0
            groups[group["group"]] = GroupPrices(group["structure"], tuple(blocks))
        found[table["id"]] = Prices(number, groups, includes_vat=table.get("includes_vat", False))
    return found


EXAMPLES = read_examples()


def charge(prices: Prices, volume_m3: int, group: str = "SH", *, fee_bp: int = 0, days: int = 30, **fields: int):
    part = Part(days, prices.tariff_id, (Share(group, 100, fee_bp),), **fields)
    return tariff.charge(Usage(volume_m3 * 1_000, (part,)), {prices.tariff_id: prices})


def sums(charged: tariff.Charge) -> list[tuple[int, int]]:
    """Volume in m³ and amount of each line."""
    return [(line.volume_l // 1_000, line.amount_vnd) for line in charged.lines]


# --- tariffs of real decisions (data/tariff_examples.toml); where VAT was not read, the sums of blocks alone


def test_ha_noi_2023_bills_a_household_by_four_blocks():
    assert sums(charge(EXAMPLES["HN_2023"], 32)) == [(10, 85_000), (10, 99_000), (10, 160_000), (2, 54_000)]
    assert sums(charge(EXAMPLES["HN_2023"], 12, "SH_NGHEO")) == [(10, 59_730), (2, 19_800)]
    assert sums(charge(EXAMPLES["HN_2023"], 100, "KDDV")) == [(100, 2_900_000)]


def test_ho_chi_minh_2019_bills_by_registered_person():
    hcm = EXAMPLES["HCM_2019"]

    assert sums(charge(hcm, 30, persons=4)) == [(16, 107_200), (8, 103_200), (6, 86_400)]
    assert sums(charge(hcm, 30, persons=8)) == [(30, 201_000)]
    assert sums(charge(hcm, 5, "SH_NGHEO", persons=1)) == [(4, 25_200), (1, 12_900)]
    assert sums(charge(hcm, 30, "SX")) == [(30, 363_000)]


def test_rural_can_tho_2024_has_prices_with_vat_and_no_environment_fee_within():
    charged = charge(EXAMPLES["CT_RURAL_2024"], 15)

    assert sums(charged) == [(15, 111_750)]
    assert (charged.net_vnd, charged.vat_vnd, charged.fee_vnd) == (106_429, 5_321, 0)  # 111,750 / 1.05 = 106,428.57
    assert charged.total_vnd == 111_750
    assert charge(EXAMPLES["CT_RURAL_2024"], 15, fee_bp=1_000).total_vnd == 111_750 + 10_643
    assert sums(charge(EXAMPLES["CT_RURAL_2024"], 15, "SH_NGHEO")) == [(15, 60_000)]


def test_rural_blocks_of_an_unnamed_utility():
    assert sums(charge(EXAMPLES["RURAL_BLOCKS_SAMPLE"], 25)) == [(10, 90_000), (10, 115_000), (5, 75_000)]


# --- the rule by example


def test_the_upper_edge_belongs_to_the_lower_block():
    assert sums(charge(EXAMPLES["HN_2023"], 10)) == [(10, 85_000)]
    assert sums(charge(EXAMPLES["HN_2023"], 20)) == [(10, 85_000), (10, 99_000)]
    assert sums(charge(EXAMPLES["HN_2023"], 0)) == []


def test_a_shared_meter_has_the_blocks_of_all_its_households():
    assert sums(charge(EXAMPLES["HN_2023"], 45, households=3)) == [(30, 255_000), (15, 148_500)]


def test_vat_and_fee_are_rounded_once_for_the_whole_bill():
    prices = Prices(1, {"SH": GroupPrices(tariff.FLAT, (Block(0, None, 7_333),))}, vat_basis_points=500)

    charged = charge(prices, 3, fee_bp=1_000)  # 21,999: VAT 1,099.95, fee 2,199.9

    assert (charged.net_vnd, charged.vat_vnd, charged.fee_vnd, charged.total_vnd) == (21_999, 1_100, 2_200, 25_299)


def test_a_change_of_tariff_inside_a_period_splits_water_and_blocks_by_days():
    old = EXAMPLES["RURAL_BLOCKS_SAMPLE"]
    dearer = tuple(replace(block, price_vnd=block.price_vnd + 1_000) for block in old.groups["SH"].blocks)
    new = Prices(99, {"SH": GroupPrices(tariff.PER_CONNECTION, dearer)})
    share = (Share("SH"),)

    charged = tariff.charge(
        Usage(31_000, (Part(10, old.tariff_id, share), Part(21, 99, share))), {old.tariff_id: old, 99: new}
    )

    told = [(line.tariff_id, line.block, line.days, line.volume_l, line.amount_vnd) for line in charged.lines]
    assert told == [
        (old.tariff_id, 1, 10, 3_226, 29_034),  # 10 m³ × 10/31 at 9,000
        (old.tariff_id, 2, 10, 3_226, 37_099),
        (old.tariff_id, 3, 10, 3_225, 48_375),
        (old.tariff_id, 4, 10, 323, 5_814),
        (99, 1, 21, 6_774, 67_740),
        (99, 2, 21, 6_774, 84_675),
        (99, 3, 21, 6_775, 108_400),
        (99, 4, 21, 677, 12_863),
    ]


def test_water_of_two_uses_is_split_by_percent_and_each_use_keeps_its_own_blocks():
    hn = EXAMPLES["HN_2023"]
    part = Part(30, hn.tariff_id, (Share("SH", 30), Share("KDDV", 70)))

    charged = tariff.charge(Usage(41_001, (part,)), {hn.tariff_id: hn})

    told = [(line.group, line.block, line.volume_l, line.amount_vnd) for line in charged.lines]
    assert told == [("SH", 1, 10_000, 85_000), ("SH", 2, 2_300, 22_770), ("KDDV", 1, 28_701, 832_329)]


def test_groups_with_and_without_the_environment_fee_are_taxed_apart():
    prices = Prices(1, {group: GroupPrices(tariff.FLAT, (Block(0, None, 10_000),)) for group in ("SH", "SX")})
    part = Part(30, 1, (Share("SH", 50, 0), Share("SX", 50, 1_000)))

    charged = tariff.charge(Usage(20_000, (part,)), {1: prices})

    assert (charged.net_vnd, charged.vat_vnd, charged.fee_vnd) == (200_000, 10_000, 10_000)


def test_a_minimum_counts_for_shared_meters_alone_and_only_where_the_tariff_has_one():
    prices = replace(EXAMPLES["CT_RURAL_2024"], minimum_l_per_household=4_000)

    shared = charge(prices, 5, households=3)

    assert (shared.volume_l, shared.billed_l) == (5_000, 12_000)
    assert sums(shared) == [(12, 89_400)]
    assert charge(prices, 1).billed_l == 1_000
    assert charge(EXAMPLES["CT_RURAL_2024"], 5, households=3).billed_l == 5_000


@pytest.mark.parametrize(
    ("usage", "refusal", "words"),
    [
        (Usage(-1, (Part(30, 1, (Share("SH"),)),)), tariff.NegativeVolume, "Lượng nước âm"),
        (Usage(1, ()), tariff.NoTariff, "không có ngày nào"),
        (Usage(1, (Part(30, 7, (Share("SH"),)),)), tariff.NoTariff, "Chưa có biểu giá"),
        (Usage(1, (Part(30, 1, (Share("SX"),)),)), tariff.NoTariff, "chưa có đơn giá cho đối tượng SX"),
        (Usage(9_000, (Part(30, 1, (Share("HCSN"),)),)), tariff.NoTariff, "vượt bậc cao nhất"),
        (Usage(1, (Part(30, 1, (Share("SH_NGHEO"),)),)), tariff.NoPersons, "chưa có số người"),
        (Usage(1, (Part(30, 1, (Share("SH", 60), Share("SX", 30))),)), tariff.BadShares, "không đủ 100"),
        (Usage(1, (Part(30, 1, (Share("SH", 50), Share("SH", 50))),)), tariff.BadShares, "không đủ 100"),
        (Usage(1, (Part(30, 1, ()),)), tariff.BadShares, "không đủ 100"),
        (Usage(tariff.MOST_VOLUME_L + 1, (Part(30, 1, (Share("SH"),)),)), tariff.OutOfBounds, "Lượng nước lớn"),
        (Usage(1, (Part(0, 1, (Share("SH"),)),)), tariff.OutOfBounds, "Số ngày"),
        (Usage(1, (Part(30, 1, (Share("SH"),), households=10**9),)), tariff.OutOfBounds, "Số hộ"),
    ],
)
def test_what_cannot_be_charged_says_why_and_the_columns_agree(usage, refusal, words):
    prices = Prices(
        1,
        {
            "SH": GroupPrices(tariff.PER_CONNECTION, (Block(0, 10_000, 9_000), Block(10_000, None, 11_000))),
            "SH_NGHEO": GroupPrices(tariff.PER_PERSON, (Block(0, 4_000, 6_000), Block(4_000, None, 9_000))),
            "HCSN": GroupPrices(tariff.PER_CONNECTION, (Block(0, 8_000, 9_000),)),
        },
    )

    with pytest.raises(refusal, match=words):
        tariff.charge(usage, {1: prices})

    charged = tariff_columns.charge_columns(tariff_columns.columns_of([usage], GROUPS), {1: prices})
    assert tariff_columns.PROBLEMS[charged.problem[0]] == refusal.problem
    assert (charged.total_vnd[0], charged.lines.usage.size) == (0, 0)


def test_no_usages_cost_nothing():
    charged = tariff_columns.charge_columns(tariff_columns.columns_of([], GROUPS), {})

    assert (charged.total_vnd.size, charged.lines.usage.size) == (0, 0)


# --- what must hold for every usage


@st.composite
def price_lists(draw, tariff_id: int = 1) -> Prices:
    """A tariff without gaps: every group up to five blocks (rising and falling prices), a minimum or not."""
    groups = {}
    for group in GROUPS:
        structure = draw(st.sampled_from([tariff.PER_CONNECTION, tariff.PER_PERSON, tariff.FLAT]))
        widths = draw(st.lists(st.integers(1, 20_000), max_size=0 if structure == tariff.FLAT else 4))
        lower_l, blocks = 0, []
        for width in widths:
            blocks.append(Block(lower_l, lower_l + width, draw(st.integers(0, 40_000))))
            lower_l += width
        blocks.append(Block(lower_l, None, draw(st.integers(0, 40_000))))
        groups[group] = GroupPrices(structure, tuple(blocks))
    return Prices(
        tariff_id, groups, draw(st.sampled_from([0, 500, 800, 1_000])), draw(st.booleans()),
        draw(st.sampled_from([0, 0, 4_000])),
    )  # fmt: skip


@st.composite
def parts(draw, tariffs: int = 2) -> Part:
    groups = draw(st.lists(st.sampled_from(GROUPS), min_size=1, max_size=3, unique=True))
    cuts = sorted(draw(st.lists(st.integers(1, 99), min_size=len(groups) - 1, max_size=len(groups) - 1, unique=True)))
    pcts = [high - low for low, high in zip([0, *cuts], [*cuts, 100], strict=True)]
    shares = tuple(
        Share(group, pct, draw(st.sampled_from([0, 1_000, 1_500]))) for group, pct in zip(groups, pcts, strict=True)
    )
    return Part(
        draw(st.integers(1, 62)), draw(st.integers(1, tariffs)), shares, draw(st.integers(1, 40)),
        draw(st.integers(1, 12)),
    )  # fmt: skip


PRICES = st.tuples(price_lists(1), price_lists(2)).map(lambda two: {one.tariff_id: one for one in two})
PARTS = st.lists(parts(), min_size=1, max_size=4).map(tuple)
VOLUMES = st.integers(0, 200_000)


@given(PRICES, PARTS, VOLUMES, st.integers(0, 2_000))
def test_more_water_never_costs_less(prices, in_parts, volume_l, more_l):
    less = tariff.charge(Usage(volume_l, in_parts), prices)
    more = tariff.charge(Usage(volume_l + more_l, in_parts), prices)

    assert more.total_vnd >= less.total_vnd
    assert more.net_vnd >= less.net_vnd
    assert more.fee_vnd >= less.fee_vnd


@given(PRICES, PARTS, VOLUMES)
def test_lines_add_up_to_the_water_and_the_total_to_its_parts(prices, in_parts, volume_l):
    charged = tariff.charge(Usage(volume_l, in_parts), prices)

    assert sum(line.volume_l for line in charged.lines) == charged.billed_l >= volume_l
    assert charged.total_vnd == charged.net_vnd + charged.vat_vnd + charged.fee_vnd
    assert min(charged.net_vnd, charged.vat_vnd, charged.fee_vnd) >= 0
    for line in charged.lines:
        assert line.volume_l > 0
        assert line.amount_vnd == (2 * line.volume_l * line.price_vnd + 1_000) // 2_000


@given(PRICES, parts(1), st.lists(st.integers(1, 31), min_size=2, max_size=5), VOLUMES)
def test_splitting_a_period_at_a_change_that_changes_nothing_gives_the_same_volume_in_every_block(
    prices, part, days, volume_l
):
    """Exactly, for one group: volumes and edges are split by one rule, which never takes from one part for another."""
    whole = replace(part, days=sum(days), shares=(replace(part.shares[0], share_pct=100),))
    split = tuple(replace(whole, days=one) for one in days)

    at_once = tariff.charge(Usage(volume_l, (whole,)), prices)
    in_parts = tariff.charge(Usage(volume_l, split), prices)

    volumes: dict[int, int] = {}
    for line in in_parts.lines:
        volumes[line.block] = volumes.get(line.block, 0) + line.volume_l
    assert volumes == {line.block: line.volume_l for line in at_once.lines}
    assert abs(in_parts.net_vnd - at_once.net_vnd) <= len(in_parts.lines)  # each line is rounded once


@given(st.integers(0, 10**9), st.lists(st.integers(1, 366), min_size=1, max_size=6), st.integers(1, 1_000))
def test_a_split_adds_up_is_fair_and_takes_from_nobody_when_the_total_grows(total, weights, more):
    found = tariff.split(total, weights)
    grown = tariff.split(total + more, weights)

    assert sum(found) == total
    assert all(small <= large for small, large in zip(found, grown, strict=True))
    for got, weight in zip(found, weights, strict=True):
        assert abs(got - total * weight / sum(weights)) <= len(weights)


@given(price_lists(), st.integers(1, 9), st.integers(1, 9))
def test_blocks_join_without_a_gap(prices, households, persons):
    """At an edge the water is all in the block and those below; a litre more is in the next."""
    for group, priced in prices.groups.items():
        part = Part(30, 1, (Share(group),), households, persons)
        times = {tariff.PER_CONNECTION: households, tariff.PER_PERSON: persons}.get(priced.structure, 1)
        plain = {1: replace(prices, minimum_l_per_household=0)}
        for number, block in enumerate(priced.blocks[:-1], start=1):
            at_edge = tariff.charge(Usage(block.to_l * times, (part,)), plain)
            above = tariff.charge(Usage(block.to_l * times + 1, (part,)), plain)
            assert [line.block for line in at_edge.lines] == list(range(1, number + 1))
            assert (above.lines[-1].block, above.lines[-1].volume_l) == (number + 1, 1)


@settings(max_examples=60)
@given(PRICES, st.lists(st.tuples(VOLUMES, PARTS), min_size=1, max_size=20))
def test_the_columns_say_what_one_usage_alone_is_told(prices, usages):
    usages = [Usage(volume_l, in_parts) for volume_l, in_parts in usages]

    charged = tariff_columns.charge_columns(tariff_columns.columns_of(usages, GROUPS), prices)

    for number, usage in enumerate(usages):
        alone = tariff.charge(usage, prices)
        columns = (charged.net_vnd, charged.vat_vnd, charged.fee_vnd, charged.total_vnd, charged.billed_l)
        assert tuple(int(column[number]) for column in columns) == (
            alone.net_vnd, alone.vat_vnd, alone.fee_vnd, alone.total_vnd, alone.billed_l
        )  # fmt: skip
        mine = charged.lines.usage == number
        assert charged.lines.amount_vnd[mine].tolist() == [line.amount_vnd for line in alone.lines]
        assert charged.lines.block[mine].tolist() == [line.block for line in alone.lines]
