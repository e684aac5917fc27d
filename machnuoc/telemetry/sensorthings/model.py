"""The kinds of things of SensorThings and how they hang together. Pure.

Source: OGC 18-088 (SensorThings API Part 1: Sensing, version 1.1), 8.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Link:
    """From one kind to another. target: name of the set of the other kind."""

    target: str
    is_many: bool


@dataclass(frozen=True, slots=True)
class Kind:
    """One entity set. properties: in the order in which they are shown."""

    name: str  # of the set: Things
    singular: str
    properties: tuple[str, ...]
    links: Mapping[str, Link]


def _kind(name: str, singular: str, properties: str, **links: str) -> Kind:
    """links: name of the target set, with a star behind it if it leads to many."""
    found = {link: Link(target.rstrip("*"), target.endswith("*")) for link, target in links.items()}
    return Kind(name, singular, tuple(properties.split()), MappingProxyType(found))


_ALL = (
    _kind(
        "Things", "Thing", "name description properties",
        Locations="Locations*", HistoricalLocations="HistoricalLocations*", Datastreams="Datastreams*",
    ),
    _kind(
        "Locations", "Location", "name description encodingType location properties",
        Things="Things*", HistoricalLocations="HistoricalLocations*",
    ),
    _kind("HistoricalLocations", "HistoricalLocation", "time", Thing="Things", Locations="Locations*"),
    _kind(
        "Datastreams", "Datastream",
        "name description observationType unitOfMeasurement phenomenonTime resultTime properties",
        Thing="Things", Sensor="Sensors", ObservedProperty="ObservedProperties", Observations="Observations*",
    ),
    _kind(
        "Sensors", "Sensor", "name description encodingType metadata properties", Datastreams="Datastreams*",
    ),
    _kind(
        "ObservedProperties", "ObservedProperty", "name definition description properties",
        Datastreams="Datastreams*",
    ),
    _kind(
        "Observations", "Observation", "phenomenonTime result resultTime resultQuality",
        Datastream="Datastreams", FeatureOfInterest="FeaturesOfInterest",
    ),
    _kind(
        "FeaturesOfInterest", "FeatureOfInterest", "name description encodingType feature properties",
        Observations="Observations*",
    ),
)  # fmt: skip
KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _ALL})

Id = int | str


@dataclass(slots=True)
class Entity:
    """One thing, with what is shown of it. Times are datetime or filters.Interval.

    about: what its links are found by: the id of its work, device, channel or quantity.
    """

    kind: Kind
    id: Id
    properties: dict[str, Any]
    about: dict[str, Any] = field(default_factory=dict)


def in_path(id_: Id) -> str:
    """Return the id as it stands in an address.

    >>> in_path(5), in_path("flow")
    ('5', "'flow'")
    """
    return str(id_) if isinstance(id_, int) else "'" + id_.replace("'", "''") + "'"
