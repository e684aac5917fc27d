"""What a channel can measure: one stored unit per quantity, and the span outside which a number cannot be true.

Spans are those of instruments in drinking water, wide on purpose: a reading outside is kept and marked, never dropped.
They are not limits of quality; those are dated records with a document (models.QualityLimit).

The quantities here are built in: other parts reckon with them. Own ones (models.OwnQuantity) join them through a
loader, which is asked for a key that is not known and for a list that is older than REREAD_S. So every process learns
of a new quantity with the first channel that has it, and of a changed one within seconds.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from types import MappingProxyType


class ChannelKind(StrEnum):
    """How the numbers of a channel behave in time."""

    INSTANT = "INSTANT"  # a level of the moment: flow, pressure, chlorine
    TOTAL = "TOTAL"  # a counter that only grows: totaliser, energy meter
    STATE = "STATE"  # one of few whole numbers that holds until the next: pump on or off, mains there or not


@dataclass(frozen=True)
class Quantity:
    """key: as stored. unit: key of core.units of stored readings. low, high: believable span, in that unit.

    definition: the address that defines an own quantity, empty if it has none.
    """

    key: str
    name: str
    unit: str
    kind: ChannelKind
    low: float
    high: float
    decimals: int  # shown on screen
    accepted_units: tuple[str, ...] = ()  # what devices may send besides the stored unit
    is_own: bool = False
    definition: str = ""
    description: str = ""


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
BUILT_IN: Mapping[str, Quantity] = MappingProxyType({quantity.key: quantity for quantity in _ALL})
REREAD_S = 5.0
_LIMITED = ("chlorine", "turbidity", "ph", "conductivity", "temperature")


class Catalogue(Mapping[str, Quantity]):
    """All quantities by key: the built-in ones, then the own ones by name. See the head of the module."""

    def __init__(self) -> None:
        self._loader: Callable[[], Iterable[Quantity]] | None = None
        self._own: Mapping[str, Quantity] = {}
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def extend(self, loader: Callable[[], Iterable[Quantity]]) -> None:
        """Let own quantities be read by this function from now on."""
        self._loader = loader
        self.forget()

    def forget(self) -> None:
        """Read the own quantities anew when they are next asked for."""
        self._read_at = float("-inf")

    def own(self) -> Mapping[str, Quantity]:
        if monotonic() - self._read_at > REREAD_S:
            self._read()
        return self._own

    def _read(self) -> None:
        if self._loader is None:
            return
        with self._lock:
            found = {each.key: each for each in self._loader() if each.key not in BUILT_IN}
            self._own, self._read_at = found, monotonic()

    def __getitem__(self, key: str) -> Quantity:
        if key in BUILT_IN:
            return BUILT_IN[key]
        if key not in self.own():
            self._read()
        return self._own[key]

    def __iter__(self) -> Iterator[str]:
        yield from BUILT_IN
        yield from self.own()

    def __len__(self) -> int:
        return len(BUILT_IN) + len(self.own())


QUANTITIES = Catalogue()


def list_limited() -> list[Quantity]:
    """Return the quantities that a limit of quality can be set for: own ones only if they are levels of the moment."""
    own = (each for each in QUANTITIES.own().values() if each.kind == ChannelKind.INSTANT)
    return [*(BUILT_IN[key] for key in _LIMITED), *own]
