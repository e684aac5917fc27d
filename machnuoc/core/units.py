"""Units of measurement: the keys we store, their Vietnamese labels, their dimensions and conversions between them.

A quantity is stored in one unit; conversion happens only at the border (device, file, form, chart). What people count
(households, persons, customers, connections) are dimensions of their own: the plans count in different bases, and a
formula that adds households to persons must not pass for a number. Scales are exact fractions, so the only rounding is
that of a result that no finite decimal can hold (1 m³/day in m³/hour).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from types import MappingProxyType

import pint

# Digits kept when a converted figure has no finite decimal form. Far beyond what any meter or plan gives.
_CONVERSION = Context(prec=28)

# Own definitions instead of the library's file: only what we store, with the counted things beside the physical ones.
_DEFINITIONS = (
    "household = [household]",
    "person = [person]",
    "customer = [customer]",
    "connection = [connection]",
    "work = [work]",
    "commune = [commune]",
    "sample = [sample]",
    "vnd = [money]",
    "meter = [length]",
    "hour = [time]",
    "day = 24 * hour",
    "liter = 0.001 * meter ** 3",
    "deciliter = 0.1 * liter",
    "milligram = [mass]",
    "microgram = 0.001 * milligram",
    "milligram_as_nitrogen = [nitrogen]",  # of the nitrogen in a compound, not of the compound: no factor between them
    "colony = [colony]",
    "probable_number = [probable_number]",
    "colour_unit = [colour]",
    "meter_of_water = [pressure]",
    "kilowatt_hour = [energy]",
    "ntu = [turbidity]",
    "centimeter = 0.01 * meter",
    "millimeter = 0.001 * meter",
    "bar = 10.19716212977928 * meter_of_water",  # 100 kPa of water of 4 °C (1,000 kg/m³) at 9.80665 m/s²
    "kilopascal = 0.01 * bar",
    "microsiemens = [conductance]",
    "millisiemens = 1000 * microsiemens",
    "degree = [temperature]",
    "volt = [potential]",
    "millivolt = 0.001 * volt",
    "second = hour / 3600",
    "percent = 0.01",
)

# key: (Vietnamese label, expression in the definitions above)
_UNITS = {
    "1": ("", ""),
    "count": ("", ""),
    "task": ("nhiệm vụ", ""),  # a count with a name
    "ratio": ("lần", ""),
    "pct": ("%", "percent"),
    "household": ("hộ", "household"),
    "person": ("người", "person"),
    "customer": ("khách hàng", "customer"),
    "connection": ("đấu nối", "connection"),
    "work": ("công trình", "work"),
    "commune": ("xã", "commune"),
    "sample": ("mẫu", "sample"),
    "vnd": ("đồng", "vnd"),
    "m3": ("m³", "meter ** 3"),
    "m3/d": ("m³/ngày", "meter ** 3 / day"),
    "m3/h": ("m³/giờ", "meter ** 3 / hour"),
    "L/person/d": ("lít/người/ngày", "liter / person / day"),
    "h": ("giờ", "hour"),
    "d": ("ngày", "day"),
    "h/d": ("giờ/ngày", "hour / day"),
    "mg/L": ("mg/L", "milligram / liter"),
    "ug/L": ("µg/L", "microgram / liter"),
    "mgN/L": ("mg/L (tính theo N)", "milligram_as_nitrogen / liter"),
    "CFU/100mL": ("CFU/100 mL", "colony / deciliter"),
    "MPN/100mL": ("MPN/100 mL", "probable_number / deciliter"),
    "TCU": ("TCU", "colour_unit"),
    "NTU": ("NTU", "ntu"),
    "L": ("lít", "liter"),
    "L/s": ("L/s", "liter / second"),
    "m": ("m", "meter"),
    "cm": ("cm", "centimeter"),
    "mm": ("mm", "millimeter"),
    "uS/cm": ("µS/cm", "microsiemens / centimeter"),
    "mS/cm": ("mS/cm", "millisiemens / centimeter"),
    "degC": ("°C", "degree"),
    "V": ("V", "volt"),
    "mV": ("mV", "millivolt"),
    "bar": ("bar", "bar"),
    "kPa": ("kPa", "kilopascal"),
    "mH2O": ("m cột nước", "meter_of_water"),
    "kWh": ("kWh", "kilowatt_hour"),
    "kWh/m3": ("kWh/m³", "kilowatt_hour / meter ** 3"),
}


class UnknownUnit(ValueError):
    """A unit key that is not in the fixed list."""


class IncompatibleUnits(ValueError):
    """A conversion between units that measure different things."""


@dataclass(frozen=True)
class Dimension:
    """What a unit, or a product or quotient of units, measures, and on which scale.

    powers: base dimension and exponent, sorted by name, none of them 0: (("length", 3), ("time", -1)).
    scale: size in base units (metre, hour, milligram, one household, ...); 1 % has no powers and the scale 1/100.
    Two dimensions are equal if numbers in them can be added as they are: m³/day and m³/hour are not.
    """

    powers: tuple[tuple[str, int], ...]
    scale: Fraction

    @property
    def is_dimensionless(self) -> bool:
        """Whether it is a pure number, on whatever scale (1, per cent, hours per day)."""
        return not self.powers


@dataclass(frozen=True)
class Unit:
    """A unit that figures are stored in. key: as stored; label_vi: what a screen shows, empty for a bare number."""

    key: str
    label_vi: str
    dimension: Dimension

    @property
    def is_dimensionless(self) -> bool:
        """Whether the unit is that of a pure number, on whatever scale."""
        return self.dimension.is_dimensionless


DIMENSIONLESS = Dimension((), Fraction(1))

UnitLike = str | Unit | Dimension


def _build_units() -> Mapping[str, Unit]:
    registry: pint.UnitRegistry[Fraction] = pint.UnitRegistry(None, non_int_type=Fraction)
    for definition in _DEFINITIONS:
        registry.define(definition)
    units = {}
    for key, (label_vi, expression) in _UNITS.items():
        one = registry.Quantity(Fraction(1), expression).to_base_units()
        powers = sorted((name.strip("[]"), int(str(power))) for name, power in one.dimensionality.items())
        units[key] = Unit(key, label_vi, Dimension(tuple(powers), Fraction(one.magnitude)))
    return MappingProxyType(units)


UNITS = _build_units()


def get_unit(key: str) -> Unit:
    """Return the unit with this key. Raises UnknownUnit.

    >>> get_unit("m3/d").label_vi
    'm³/ngày'
    """
    if key not in UNITS:
        known = ", ".join(UNITS)
        raise UnknownUnit(f"Không có đơn vị đo “{key}”. Các đơn vị dùng được: {known}.")
    return UNITS[key]


def label(key: str) -> str:
    """Return the unit's Vietnamese label, empty for bare numbers ("1", "count"). Raises UnknownUnit.

    >>> label("household"), label("pct"), label("vnd")
    ('hộ', '%', 'đồng')
    """
    return get_unit(key).label_vi


def get_dimension(unit: UnitLike) -> Dimension:
    """Return the dimension of a unit given by key, as a Unit or as a Dimension already. Raises UnknownUnit."""
    if isinstance(unit, Dimension):
        return unit
    return (unit if isinstance(unit, Unit) else get_unit(unit)).dimension


def is_dimensionless(unit: UnitLike) -> bool:
    """Return whether the unit is that of a pure number, on whatever scale. Raises UnknownUnit.

    >>> is_dimensionless(divide("household", "household")), is_dimensionless("pct"), is_dimensionless("m3")
    (True, True, False)
    """
    return get_dimension(unit).is_dimensionless


def same_dimension(a: UnitLike, b: UnitLike) -> bool:
    """Return whether both measure the same thing, whatever their scales, so that one converts to the other.

    Numbers may be added, compared or put into one column only if the dimensions are equal, scale included:
    get_dimension(a) == get_dimension(b). Raises UnknownUnit.

    >>> same_dimension("m3/d", "m3/h"), same_dimension("household", "m3")
    (True, False)
    >>> get_dimension("m3/d") == get_dimension("m3/h")
    False
    """
    return get_dimension(a).powers == get_dimension(b).powers


def multiply(a: UnitLike, b: UnitLike) -> Dimension:
    """Return the dimension of a product. Raises UnknownUnit.

    >>> multiply("kWh/m3", "m3") == get_dimension("kWh")
    True
    """
    left, right = get_dimension(a), get_dimension(b)
    return _combine(left, right, sign=1, scale=left.scale * right.scale)


def divide(a: UnitLike, b: UnitLike) -> Dimension:
    """Return the dimension of a quotient. Raises UnknownUnit.

    >>> divide("household", "household") == DIMENSIONLESS
    True
    >>> divide("m3", "d") == get_dimension("m3/d")
    True
    """
    left, right = get_dimension(a), get_dimension(b)
    return _combine(left, right, sign=-1, scale=left.scale / right.scale)


def _combine(left: Dimension, right: Dimension, *, sign: int, scale: Fraction) -> Dimension:
    powers = dict(left.powers)
    for name, power in right.powers:
        powers[name] = powers.get(name, 0) + sign * power
    return Dimension(tuple(sorted((name, power) for name, power in powers.items() if power)), scale)


def find_unit(dimension: Dimension) -> Unit | None:
    """Return the first listed unit of exactly this dimension and scale, or None. Pure numbers give the unit "1".

    >>> find_unit(divide("m3", "h")).key
    'm3/h'
    """
    return next((unit for unit in UNITS.values() if unit.dimension == dimension), None)


def convert(value: Decimal, from_key: str, to_key: str) -> Decimal:
    """Return the value, given in one unit, in another of the same dimension; exact where a finite decimal is.

    A figure without finite decimal form is rounded to 28 significant digits. Raises UnknownUnit, or IncompatibleUnits
    if the two measure different things.

    >>> convert(Decimal(10), "m3/h", "m3/d")
    Decimal('240')
    >>> convert(Decimal("0.636"), "ratio", "pct")
    Decimal('63.6')
    """
    source, target = get_unit(from_key), get_unit(to_key)
    if not same_dimension(source, target):
        raise IncompatibleUnits(
            f"Không đổi được “{from_key}” ({source.label_vi or 'số'}) sang “{to_key}” ({target.label_vi or 'số'}): "
            "hai đơn vị đo hai đại lượng khác nhau. Chọn đơn vị cùng đại lượng."
        )
    return _to_decimal(Fraction(value) * source.dimension.scale / target.dimension.scale)


def _to_decimal(value: Fraction) -> Decimal:
    """Return the fraction as a decimal: exactly if its denominator is a product of 2s and 5s, else to 28 digits."""
    twos = (value.denominator & -value.denominator).bit_length() - 1
    rest, fives = value.denominator >> twos, 0
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return _CONVERSION.divide(Decimal(value.numerator), Decimal(value.denominator))
    places = max(twos, fives)
    digits = value.numerator * 2 ** (places - twos) * 5 ** (places - fives)
    return Decimal((int(digits < 0), tuple(int(digit) for digit in str(abs(digits))), -places))
