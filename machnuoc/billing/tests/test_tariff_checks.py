"""What is wrong with typed prices is said by group and block; only what cannot be billed keeps a tariff back."""

import pytest

from machnuoc.billing import tariff_checks
from machnuoc.billing.tariff_checks import Frame, Row

NAMES = {"SH": "Sinh hoạt hộ dân cư", "SX": "Sản xuất"}
RURAL = Frame("Khu vực nông thôn", 2_000, 11_000, "Thông tư 44/2021/TT-BTC")
CONNECTION, FLAT = "BLOCK_PER_CONNECTION", "FLAT"
OTHERS = Row("SX", FLAT, 0, None, 12_000)


def find(*rows: Row, frame: Frame | None = None, includes_vat: bool = False):
    return tariff_checks.find_problems(
        rows, group_names=NAMES, vat_basis_points=500, includes_vat=includes_vat, frame=frame
    )


def test_a_tariff_without_gaps_has_no_problem():
    rows = (Row("SH", CONNECTION, 0, 10_000, 6_000), Row("SH", CONNECTION, 10_000, None, 8_000), OTHERS)

    assert find(*rows, frame=RURAL) == []


@pytest.mark.parametrize(
    ("rows", "kind", "block", "words"),
    [
        ([(0, 10, 6), (12, None, 8)], "gap", 2, "khoảng hở giữa bậc 1 (đến 10 m³) và bậc 2 (từ 12 m³)"),
        ([(0, 10, 6), (9, None, 8)], "overlap", 2, "bậc 1 (đến 10 m³) và bậc 2 (từ 9 m³) chồng lên nhau"),
        ([(0, 10, 6), (10, 20, 8)], "ends", 2, "bậc 2: chỉ đến 20 m³, phần dùng vượt mức này chưa có giá"),
        ([(0, None, 6), (10, None, 8)], "endless", 1, "bậc 1: chưa có mức cuối nhưng sau đó còn bậc 2 từ 10 m³"),
        ([(5, None, 6)], "start", 1, "bậc 1: bắt đầu từ 5 m³ nên 5 m³ đầu chưa có giá"),
        ([(0, None, 1_001)], "price", 1, "1.001.000 đồng/m³ quá lớn"),
    ],
)
def test_a_fault_that_cannot_be_billed_names_group_and_block_and_is_fatal(rows, kind, block, words):
    typed = [
        Row("SH", CONNECTION, low * 1_000, None if high is None else high * 1_000, price * 1_000)
        for low, high, price in rows
    ]

    (problem,) = [one for one in find(*typed, OTHERS) if one.is_fatal]

    assert (problem.kind, problem.group, problem.block) == (kind, "SH", block)
    assert problem.text.startswith("Sinh hoạt hộ dân cư")
    assert words in problem.text


def test_two_ways_of_counting_in_one_group_and_blocks_of_one_price_are_fatal():
    mixed = find(Row("SH", CONNECTION, 0, 10_000, 6_000), Row("SH", "BLOCK_PER_PERSON", 10_000, None, 8_000), OTHERS)
    flat = find(Row("SH", FLAT, 0, 10_000, 6_000), Row("SH", FLAT, 10_000, None, 8_000), OTHERS)

    assert [(one.kind, one.is_fatal) for one in mixed] == [("structure", True)]
    assert [(one.kind, one.is_fatal) for one in flat] == [("flat", True)]


def test_a_price_outside_the_frame_is_told_with_its_vat_and_left_to_a_person():
    found = find(
        Row("SH", CONNECTION, 0, 10_000, 6_000), Row("SH", CONNECTION, 10_000, None, 10_500), OTHERS, frame=RURAL
    )

    assert [(one.kind, one.block, one.is_fatal) for one in found] == [("frame", 2, False)]
    assert "11.025 đồng/m³ (gồm thuế GTGT) cao hơn khung 2.000–11.000 đồng/m³" in found[0].text
    assert find(Row("SH", FLAT, 0, None, 11_000), OTHERS, frame=RURAL, includes_vat=True) == []
    assert [one.kind for one in find(Row("SH", FLAT, 0, None, 1_900), OTHERS, frame=RURAL)] == ["frame"]


def test_groups_without_a_price_and_odd_prices_are_told_without_stopping():
    found = find(Row("SH", CONNECTION, 0, 10_000, 6_000), Row("SH", CONNECTION, 10_000, None, 0))

    assert [(one.kind, one.group, one.is_fatal) for one in found] == [
        ("zero", "SH", False), ("falling", "SH", False), ("missing", "SX", False),
    ]  # fmt: skip
    assert [(one.kind, one.is_fatal) for one in find()] == [("empty", True)]
