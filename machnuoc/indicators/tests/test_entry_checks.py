"""What is said while a figure is typed."""

from decimal import Decimal

import pytest

from machnuoc.indicators import entry_checks
from machnuoc.indicators.entry_checks import check_cumulative, check_entry, check_parts


def codes(found: list[entry_checks.EntryWarning]) -> list[str]:
    return [warning.code for warning in found]


def test_an_ordinary_figure_raises_nothing() -> None:
    assert check_entry(1_620, minimum=0, maximum=2_000, previous=1_600, max_change_pct=20) == []


def test_the_limits_themselves_are_allowed() -> None:
    assert check_entry(0, minimum=0, maximum=100, previous=None, max_change_pct=None) == []
    assert check_entry(100, minimum=0, maximum=100, previous=None, max_change_pct=None) == []


def test_a_figure_below_the_minimum_blocks() -> None:
    found = check_entry(-1, minimum=0, name_vi="Số hộ đấu nối", unit_vi="hộ")

    assert codes(found) == ["below_minimum"]
    assert found[0].blocking
    assert found[0].text_vi.replace("\u00a0", " ") == (
        "Số hộ đấu nối -1 hộ nhỏ hơn mức tối thiểu 0 hộ. Kiểm tra và nhập lại."
    )


def test_a_figure_above_the_maximum_blocks() -> None:
    found = check_entry(Decimal("100.5"), maximum=100, unit_vi="%")

    assert codes(found) == ["above_maximum"]
    assert found[0].blocking
    assert found[0].text_vi.replace("\u00a0", " ") == (
        "Giá trị 100,5 % lớn hơn mức tối đa 100 %. Kiểm tra và nhập lại."
    )


@pytest.mark.parametrize(("value", "verb"), [(25_330, "tăng 20,6"), (16_000, "giảm 23,8")])
def test_a_large_change_is_confirmed_not_blocked(value: int, verb: str) -> None:
    found = check_entry(value, minimum=0, maximum=30_000, previous=21_000, max_change_pct=20, unit_vi="hộ")

    assert codes(found) == ["large_change"]
    assert not found[0].blocking
    assert f"{verb} % so với kỳ trước (21.000 hộ)" in found[0].text_vi.replace("\u00a0", " ")


def test_a_change_just_at_the_limit_needs_no_confirmation() -> None:
    assert check_entry(120, previous=100, max_change_pct=20) == []
    assert check_entry(80, previous=100, max_change_pct=20) == []
    assert codes(check_entry(Decimal("120.01"), previous=100, max_change_pct=20)) == ["large_change"]


def test_any_change_from_zero_is_confirmed_without_dividing_by_it() -> None:
    found = check_entry(5, previous=0, max_change_pct=20)

    assert codes(found) == ["large_change"]
    assert "kỳ trước là 0" in found[0].text_vi
    assert check_entry(0, previous=0, max_change_pct=20) == []


def test_a_figure_may_be_odd_in_two_ways() -> None:
    assert codes(check_entry(500, maximum=400, previous=100, max_change_pct=20)) == ["above_maximum", "large_change"]


def test_a_missing_figure_is_not_checked_and_not_taken_for_zero() -> None:
    assert check_entry(None, minimum=1, maximum=2, previous=100, max_change_pct=20) == []
    assert check_cumulative(None, 5) == []
    assert check_parts(None, 5) == check_parts(5, None) == []


def test_a_total_so_far_that_shrinks_is_confirmed() -> None:
    found = check_cumulative(1_500, 1_600, unit_vi="hộ")

    assert codes(found) == ["cumulative_decreased"]
    assert not found[0].blocking
    assert "Số lũy kế 1.500 hộ nhỏ hơn kỳ trước 1.600 hộ" in found[0].text_vi.replace("\u00a0", " ")
    assert check_cumulative(1_600, 1_600) == []


def test_more_connected_than_designed_is_confirmed() -> None:
    found = check_parts(712, 700, numerator_vi="Số hộ đấu nối", denominator_vi="số hộ thiết kế", unit_vi="hộ")

    assert codes(found) == ["numerator_above_denominator"]
    assert not found[0].blocking
    assert found[0].text_vi.replace("\u00a0", " ").startswith("Số hộ đấu nối 712 hộ lớn hơn số hộ thiết kế 700 hộ.")
    assert check_parts(700, 700) == []
