"""Bands: the edges that Cao Bằng's plan of May 2026 prints under Biểu 01, 02 and 03, and the laws of all bands."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.indicators import bands
from machnuoc.indicators.bands import Band, BandError
from machnuoc.indicators.columns import Column, column_of


def band(label_vi: str, lower: str | None, upper: str | None, sides: str = "[)") -> Band:
    return Band(
        code=label_vi,
        label_vi=label_vi,
        lower=None if lower is None else Decimal(lower),
        lower_inclusive=sides[0] == "[",
        upper=None if upper is None else Decimal(upper),
        upper_inclusive=sides[1] == "]",
        severity="info",
    )


LOSS = [
    band("Thấp", None, "15", "[]"),
    band("Trung bình", "15", "25", "()"),
    band("Cao", "25", "50", "[]"),
    band("Rất cao", "50", None, "()"),
]
UTILISATION = [
    band("Rất thấp", None, "50"),
    band("Thấp", "50", "70"),
    band("Trung bình", "70", "90"),
    band("Cao", "90", "100", "[]"),
    band("Vượt công suất", "100", None, "()"),
]
COVERAGE = [
    band("Chưa có dịch vụ", "0", "0", "[]"),
    band("Thấp", "0", "75", "()"),
    band("Trung bình", "75", "90"),
    band("Khá", "90", "95"),
    band("Cao", "95", None, "[)"),
]


@pytest.mark.parametrize(
    ("table", "value", "label_vi"),
    [
        (LOSS, "0", "Thấp"),
        (LOSS, "12", "Thấp"),
        (LOSS, "15", "Thấp"),
        (LOSS, "15.01", "Trung bình"),
        (LOSS, "17.9", "Trung bình"),
        (LOSS, "24.99", "Trung bình"),
        (LOSS, "25", "Cao"),
        (LOSS, "50", "Cao"),
        (LOSS, "50.1", "Rất cao"),
        (LOSS, "72.5", "Rất cao"),
        (UTILISATION, "49.99", "Rất thấp"),
        (UTILISATION, "50", "Thấp"),
        (UTILISATION, "70", "Trung bình"),
        (UTILISATION, "89.99", "Trung bình"),
        (UTILISATION, "90", "Cao"),
        (UTILISATION, "100", "Cao"),
        (UTILISATION, "100.1", "Vượt công suất"),
        (COVERAGE, "0", "Chưa có dịch vụ"),
        (COVERAGE, "0.1", "Thấp"),
        (COVERAGE, "74.99", "Thấp"),
        (COVERAGE, "75", "Trung bình"),
        (COVERAGE, "81.9", "Trung bình"),
        (COVERAGE, "90", "Khá"),
        (COVERAGE, "95", "Cao"),
        (COVERAGE, "100", "Cao"),
    ],
)
def test_a_figure_lies_in_the_band_that_the_plan_prints(table: list[Band], value: str, label_vi: str) -> None:
    bands.validate(table)

    found = bands.classify(Decimal(value), table)

    assert found is not None
    assert found.label_vi == label_vi
    assert table[bands.classify_column(column_of([value], 2), table)[0]] == found


def test_a_figure_outside_all_bands_and_a_missing_one_have_none() -> None:
    assert bands.classify(Decimal("-0.01"), COVERAGE) is None
    assert bands.classify_column(column_of(["-0.01", None, "0.00"], 2), COVERAGE).tolist() == [-1, -1, 0]


def test_an_edge_finer_than_the_column_still_falls_on_its_side() -> None:
    table = [band("thấp", None, "0.125", "[]"), band("cao", "0.125", None, "()")]

    assert bands.classify_column(column_of(["0.12", "0.13"], 2), table).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("table", "text_vi"),
    [
        (LOSS, ["từ 15 % trở xuống", "từ trên 15 % đến dưới 25 %", "từ 25 % đến 50 %", "trên 50 %"]),
        (
            UTILISATION,
            ["dưới 50 %", "từ 50 % đến dưới 70 %", "từ 70 % đến dưới 90 %", "từ 90 % đến 100 %", "trên 100 %"],
        ),
        (
            COVERAGE,
            ["0 %", "từ trên 0 % đến dưới 75 %", "từ 75 % đến dưới 90 %", "từ 90 % đến dưới 95 %", "từ 95 % trở lên"],
        ),
    ],
)
def test_edges_are_told_as_the_plan_prints_them(table: list[Band], text_vi: list[str]) -> None:
    assert [bands.describe_edges(one).replace("\u00a0", " ") for one in table] == text_vi


def test_edges_are_written_the_vietnamese_way_with_their_unit() -> None:
    assert bands.describe_edges(band("a", "1000.50", None), "m³/ngày") == "từ 1.000,5\u00a0m³/ngày trở lên"
    assert bands.describe_edges(band("a", None, None), "") == "mọi giá trị"


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ([], "Chưa có mức nào"),
        ([band("Thấp", None, "15", "[]"), band("Cao", "15", None)], "“Thấp” và “Cao” cùng nhận giá trị 15"),
        ([band("Thấp", None, "15"), band("Cao", "15", None, "()")], "Không mức nào .*“Thấp” và “Cao” nhận giá trị 15"),
        ([band("Thấp", None, "15"), band("Cao", "15.5", None)], "khoảng trống từ 15 đến 15,5"),
        ([band("Thấp", None, "25"), band("Cao", "15", None)], "chồng nhau từ 15 đến 25"),
        ([band("Cao", "15", "25"), band("Thấp", "0", "15")], "không theo thứ tự tăng dần tại 25"),
        ([band("Thấp", None, None), band("Cao", "15", None)], "“Thấp” không có cận trên"),
        ([band("Thấp", None, "15"), band("Cao", None, None)], "“Cao” không có cận dưới"),
        ([band("Thấp", "20", "15")], "cận dưới 20 lớn hơn cận trên 15"),
        ([band("Thấp", "15", "15")], "không nhận giá trị nào"),
        ([band("Thấp", None, "NaN")], "không phải là số"),
        ([band("Thấp", None, "15"), band("Thấp", "15", None)], "“Thấp” được dùng hai lần"),
        ([band(" ", None, "15")], "bị bỏ trống"),
    ],
)
def test_bands_with_a_slip_are_refused_naming_the_edge(table: list[Band], says: str) -> None:
    with pytest.raises(BandError, match=says):
        bands.validate(table)


@pytest.mark.parametrize(
    ("low", "low_open", "high", "high_open", "label_vi"),
    [
        (None, False, "15", False, "Thấp"),
        ("0", False, "15", False, "Thấp"),
        ("15", True, None, False, None),
        ("15", False, "20", False, None),
        ("15", True, "25", True, "Trung bình"),
        ("15", True, "25", False, None),
        ("25", False, "50", False, "Cao"),
        ("12", False, "72.5", False, None),
        ("50", True, None, False, "Rất cao"),
        ("20", False, "20", False, "Trung bình"),
        (None, False, None, False, None),
    ],
)
def test_a_range_has_a_band_only_when_it_lies_in_one(
    low: str | None, low_open: bool, high: str | None, high_open: bool, label_vi: str | None
) -> None:
    found = bands.classify_range(
        None if low is None else Decimal(low), low_open, None if high is None else Decimal(high), high_open, LOSS
    )

    assert (found.label_vi if found else None) == label_vi


@pytest.mark.parametrize(("low", "high"), [("20", "15"), ("15", "15")])
def test_an_empty_range_is_refused(low: str, high: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        bands.classify_range(Decimal(low), True, Decimal(high), False, LOSS)


EDGES = st.decimals(-1000, 1000, places=3)


@st.composite
def valid_bands(draw: st.DrawFn) -> list[Band]:
    """Bands over all numbers; each edge belongs to the band below, to the one above, or is a band of its own."""
    table: list[Band] = []
    lower, lower_inclusive = None, False
    for edge in sorted(draw(st.sets(EDGES, max_size=5))):
        belongs = draw(st.sampled_from(["below", "above", "alone"]))
        table.append(Band(f"{len(table)}", f"{len(table)}", lower, lower_inclusive, edge, belongs == "below", "info"))
        if belongs == "alone":
            table.append(Band(f"{len(table)}", f"{len(table)}", edge, True, edge, True, "info"))
        lower, lower_inclusive = edge, belongs == "above"
    table.append(Band(f"{len(table)}", f"{len(table)}", lower, lower_inclusive, None, False, "info"))
    return table


@given(valid_bands(), st.lists(st.decimals(-1100, 1100, places=2), max_size=8), st.booleans())
def test_valid_bands_give_each_figure_exactly_one_band(
    table: list[Band], values: list[Decimal], python_integers: bool
) -> None:
    bands.validate(table)
    column = column_of([*values, *[one.upper.quantize(Decimal("0.01")) for one in table if one.upper is not None]], 2)
    if python_integers:
        column = Column(column.values.astype(object), column.present, column.decimals)

    found = bands.classify_column(column, table)

    for number, index in zip(column.to_list(), found, strict=True):
        assert number is not None
        assert [bands.classify(number, [one]) is not None for one in table].count(True) == 1
        assert bands.classify(number, table) == table[index]
        assert bands.classify_range(number, False, number, False, table) == table[index]


def test_figures_beyond_64_bits_are_classified_too() -> None:
    column = Column(np.array([10**30, -(10**30)], object), np.array([True, True]), 0)

    assert bands.classify_column(column, LOSS).tolist() == [3, 0]
    assert bands.classify_column(column_of([1], 0), [band("a", None, "1e30"), band("b", "1e30", None)]).tolist() == [0]
