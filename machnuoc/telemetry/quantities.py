"""What a channel can measure: one stored unit per quantity, and the span outside which a number cannot be true.

Spans are those of instruments in drinking water, wide on purpose: a reading outside is kept and marked, never dropped.
They are not limits of quality; those are dated records with a document (models.QualityLimit).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class ChannelKind(StrEnum):
    """How the numbers of a channel behave in time."""

    INSTANT = "INSTANT"  # a level of the moment: flow, pressure, chlorine
    TOTAL = "TOTAL"  # a counter that only grows: totaliser, energy meter
    STATE = "STATE"  # one of few whole numbers that holds until the next: pump on or off, mains there or not


@dataclass(frozen=True)
class Quantity:
    """key: as stored. unit: key of core.units of stored readings. low, high: believable span, in that unit."""

    key: str
    name: str
    unit: str
    kind: ChannelKind
    low: float
    high: float
    decimals: int  # shown on screen
    accepted_units: tuple[str, ...] = ()  # what devices may send besides the stored unit


_ALL = (
    Quantity("flow", "Lưu lượng", "m3/h", ChannelKind.INSTANT, -5_000, 20_000, 1, ("L/s", "m3/d")),
    Quantity("volume", "Số tổng đồng hồ", "m3", ChannelKind.TOTAL, 0, 1e10, 1, ("L",)),
    Quantity("pressure", "Áp lực", "mH2O", ChannelKind.INSTANT, -10, 250, 1, ("bar", "kPa")),
    Quantity("level", "Mực nước", "m", ChannelKind.INSTANT, -1, 200, 2, ("cm",)),
    Quantity("chlorine", "Clo dư tự do", "mg/L", ChannelKind.INSTANT, 0, 10, 2),
    Quantity("turbidity", "Độ đục", "NTU", ChannelKind.INSTANT, 0, 4_000, 2),
    Quantity("ph", "pH", "1", ChannelKind.INSTANT, 0, 14, 2),
    Quantity("conductivity", "Độ dẫn điện", "uS/cm", ChannelKind.INSTANT, 0, 100_000, 0, ("mS/cm",)),
    Quantity("temperature", "Nhiệt độ", "degC", ChannelKind.INSTANT, -5, 80, 1),
    Quantity("energy", "Điện năng", "kWh", ChannelKind.TOTAL, 0, 1e9, 1),
    Quantity("pump", "Trạng thái bơm", "1", ChannelKind.STATE, 0, 1, 0),
    Quantity("valve", "Độ mở van", "pct", ChannelKind.STATE, 0, 100, 0),
    Quantity("power", "Nguồn điện", "1", ChannelKind.STATE, 0, 1, 0),
    Quantity("battery", "Điện áp pin", "V", ChannelKind.INSTANT, 0, 60, 2),
)
QUANTITIES: Mapping[str, Quantity] = MappingProxyType({quantity.key: quantity for quantity in _ALL})
