"""Units: what may be added, what cancels, and conversions that lose nothing."""

from decimal import Decimal
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.core import units

keys = st.sampled_from(sorted(units.UNITS))
values = st.decimals(min_value=-(10**12), max_value=10**12, allow_nan=False, allow_infinity=False, places=6)

STORED = (
    "household person customer connection work commune m3 m3/d m3/h pct ratio vnd L/person/d h/d mg/L NTU mH2O kWh "
    "kWh/m3 h d"
)
COUNTED = ("household", "person", "customer", "connection", "work", "commune", "sample", "vnd")


@pytest.mark.parametrize("key", [*STORED.split(), "count", "sample", "1"])
def test_every_stored_unit_is_known(key):
    assert units.get_unit(key).key == key


@pytest.mark.parametrize(
    ("key", "label_vi"),
    [
        ("household", "hộ"),
        ("person", "người"),
        ("connection", "đấu nối"),
        ("customer", "khách hàng"),
        ("work", "công trình"),
        ("sample", "mẫu"),
        ("m3/d", "m³/ngày"),
        ("pct", "%"),
        ("vnd", "đồng"),
        ("count", ""),
    ],
)
def test_a_unit_has_a_vietnamese_label(key, label_vi):
    assert units.label(key) == label_vi


@pytest.mark.parametrize("key", ["", "hộ", "m3/s", "M3", "__class__", "meter ** 9"])
def test_an_unknown_unit_is_refused_in_vietnamese(key):
    with pytest.raises(units.UnknownUnit, match="Không có đơn vị đo"):
        units.get_unit(key)


def test_what_people_count_in_different_bases_is_never_the_same():
    for a, b in product(COUNTED, COUNTED):
        assert units.same_dimension(a, b) == (a == b)
        assert not units.is_dimensionless(a)


def test_households_over_households_is_a_pure_number():
    share = units.divide("household", "household")

    assert share == units.DIMENSIONLESS
    assert units.is_dimensionless(share)
    assert share == units.get_dimension("ratio")


def test_households_and_cubic_metres_do_not_mix():
    assert not units.same_dimension("household", "m3")
    with pytest.raises(units.IncompatibleUnits, match="hai đại lượng khác nhau"):
        units.convert(Decimal(1), "household", "m3")


def test_units_of_one_dimension_and_two_scales_are_not_equal():
    assert units.same_dimension("m3/d", "m3/h")
    assert units.get_dimension("m3/d") != units.get_dimension("m3/h")
    assert units.get_dimension("pct") != units.get_dimension("ratio")


@pytest.mark.parametrize(
    ("dimension", "key"),
    [
        (units.divide("m3", "d"), "m3/d"),
        (units.divide("m3", "h"), "m3/h"),
        (units.multiply("m3/d", "d"), "m3"),
        (units.divide("kWh", "m3"), "kWh/m3"),
        (units.multiply("kWh/m3", "m3"), "kWh"),
        (units.divide("h", "d"), "h/d"),
        (units.multiply("L/person/d", units.multiply("person", "d")), "L"),
        (units.divide("vnd", "m3"), None),
    ],
)
def test_products_and_quotients_find_their_unit(dimension, key):
    unit = units.find_unit(dimension)

    assert (unit.key if unit else None) == key


@given(keys, keys)
def test_multiplying_undoes_dividing(a, b):
    assert units.multiply(units.divide(a, b), b) == units.get_dimension(a)
    assert units.multiply(a, b) == units.multiply(b, a)
    assert units.divide(a, a) == units.DIMENSIONLESS


@pytest.mark.parametrize(
    ("value", "from_key", "to_key", "expected"),
    [
        ("10", "m3/h", "m3/d", "240"),
        ("1200", "m3/d", "m3/h", "50"),
        ("0.636", "ratio", "pct", "63.6"),
        ("63.6", "pct", "ratio", "0.636"),
        ("24", "h/d", "pct", "100"),
        ("1.5", "d", "h", "36"),
        ("0", "m3/d", "m3/h", "0"),
        ("-7.5", "m3/h", "m3/d", "-180"),
        ("1234567890123456789012345678901234.5", "ratio", "pct", "123456789012345678901234567890123450"),
    ],
)
def test_a_conversion_is_exact_where_a_finite_decimal_is(value, from_key, to_key, expected):
    assert units.convert(Decimal(value), from_key, to_key) == Decimal(expected)


def test_a_conversion_without_finite_decimal_keeps_28_digits():
    assert units.convert(Decimal(1), "m3/d", "m3/h") == Decimal("0.04166666666666666666666666667")


@given(values, keys)
def test_converting_to_the_same_unit_changes_nothing(value, key):
    assert units.convert(value, key, key) == value


@given(values, keys, keys)
def test_a_conversion_and_back_gives_the_value_again(value, from_key, to_key):
    if units.same_dimension(from_key, to_key):
        there_and_back = units.convert(units.convert(value, from_key, to_key), to_key, from_key)

        assert abs(Fraction(there_and_back) - Fraction(value)) <= abs(Fraction(value)) * Fraction(1, 10**26)
