"""What somebody may see through SensorThings: works, devices, channels and quantities, read once a request.

Things are works (beyond one's scope only those with a device that may be seen), Sensors devices, Datastreams channels,
ObservedProperties quantities, Locations the places of works, FeaturesOfInterest works (by their number) and places at
which channels measure (p and a number). Readings are not here: observations.py reads them.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from time import monotonic
from typing import Any

from django.db.models import Q, QuerySet

from machnuoc.core import units
from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.places.models import ParentLink, Subject
from machnuoc.telemetry.models import Channel, Device, MeasuringPlace
from machnuoc.telemetry.quantities import QUANTITIES
from machnuoc.telemetry.sensorthings.filters import Interval, Many
from machnuoc.telemetry.sensorthings.model import KINDS, Entity, Id
from machnuoc.telemetry.sensorthings.options import ID_NAMES, QueryError
from machnuoc.works.models import Work

MEASUREMENT = "http://www.opengis.net/def/observationType/OGC-OM/2.0/OM_Measurement"
GEOJSON = "application/geo+json"
SIMULATED = "mô phỏng"
WITHIN_S = 5.0
"""How long one request may think about what it has read."""
SPANS = frozenset({"phenomenonTime", "resultTime"})
"""Properties of Datastreams that are read from the store."""

_CHANNEL = (
    "id", "device_id", "device__work_id", "key", "name", "quantity", "low", "high", "resolution",
    "expected_interval_s", "point", "role", "is_active", "is_public", "description", "feature_id",
    "device__is_simulated", "device__code",
)  # fmt: skip
_DEVICE = (
    "id", "code", "name", "kind", "protocol", "make", "serial", "place_note", "latitude", "longitude", "installed_at",
    "removed_at", "is_simulated", "work_id", "work__kind", "work__status", "work__sector", "work__subject__key",
    "work__subject__name", "work__subject__latitude", "work__subject__longitude", "note", "work__note",
)  # fmt: skip
_PLACE = ("id", "work_id", "name", "description", "latitude", "longitude")
_OWN_WORK = (
    "pk", "kind", "status", "sector", "note", "subject__key", "subject__name", "subject__latitude",
    "subject__longitude", "operator__subject__key",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks: a person, a device, or nobody, who sees what is published."""

    person: Person | None = None
    device: Device | None = None
    can_write: bool = False


@dataclass
class World:
    """Entities by set and id, made when asked for. spans: fills in from when to when channels have readings."""

    channels: dict[int, dict[str, Any]]
    devices: dict[int, dict[str, Any]]
    spans: Callable[[Iterable[int]], Mapping[int, tuple[int, int]]]
    own_works: QuerySet[Work]
    sees_catalogue: bool  # also own quantities that no channel of theirs has
    until: float = field(default_factory=lambda: monotonic() + WITHIN_S)
    _made: dict[tuple[str, Id], Entity] = field(default_factory=dict)
    _spans: dict[int, tuple[int, int] | None] = field(default_factory=dict)

    @cached_property
    def works(self) -> dict[int, dict[str, Any]]:
        """Every work by its id, and since when it has a device.

        Works of the viewer's scope are read as they are; of others one of their devices says what is known.
        """
        found: dict[int, dict[str, Any]] = {}
        for row in self.own_works.values(*_OWN_WORK):
            about = {f"work__{key}": value for key, value in row.items()}
            found[row["pk"]] = {**about, "since": None, "is_simulated": False, "is_own": True}
        for device in self.devices.values():
            work = found.setdefault(device["work_id"], {**device, "since": None, "is_simulated": False})
            work["is_simulated"] |= device["is_simulated"]
            since = device["installed_at"]
            if since is not None and (work["since"] is None or since < work["since"]):
                work["since"] = since
        return dict(sorted(found.items()))

    @cached_property
    def places(self) -> dict[str, dict[str, Any]]:
        """The measuring places by their ids here: of the viewer's works, and those of other channels in sight."""
        used = {row["feature_id"] for row in self.channels.values()} - {None}
        seen = MeasuringPlace.objects.filter(Q(work__in=self.own_works) | Q(pk__in=used)).order_by("pk")
        return {id_of_place(row["id"]): row for row in seen.values(*_PLACE) if row["work_id"] in self.works}

    @cached_property
    def _territories(self) -> dict[int, list[str]]:
        """The keys of the units that each work of the viewer's scope lies in, as recorded."""
        links = ParentLink.objects.filter(
            child_id__in=self.own_works.values("pk"), reason=ParentLink.Reason.TERRITORY, valid_to__isnull=True,
            parent__kind=Subject.Kind.UNIT,
        )  # fmt: skip
        found: dict[int, list[str]] = {}
        for child, key in links.order_by("parent__key").values_list("child_id", "parent__key"):
            found.setdefault(child, []).append(key)
        return found

    @cached_property
    def _channels_by(self) -> dict[tuple[str, Id], list[int]]:
        found: dict[tuple[str, Id], list[int]] = {}
        for id_, channel in self.channels.items():
            owners = {
                "work": channel["device__work_id"],
                "device": channel["device_id"],
                "quantity": channel["quantity"],
                "feature": self._feature_of(id_),
            }
            for name, key in owners.items():
                found.setdefault((name, key), []).append(id_)
        return found

    def _feature_of(self, channel: int) -> Id:
        row = self.channels[channel]
        return id_of_feature(row["device__work_id"], row["feature_id"])

    def ids(self, name: str) -> list[Id]:
        """Return the ids of a set that is not Observations, in order."""
        match name:
            case "Datastreams":
                return list(self.channels)
            case "Sensors":
                return list(self.devices)
            case "ObservedProperties":
                used = {channel["quantity"] for channel in self.channels.values()}
                own = QUANTITIES.own().keys() if self.sees_catalogue else ()
                return [key for key in QUANTITIES if key in used or key in own]
            case "Locations":
                return [id_ for id_ in self.works if self._has_place(id_)]
            case "HistoricalLocations":
                return [id_ for id_ in self.works if self._has_history(id_)]
            case "FeaturesOfInterest":
                return [*self.works, *self.places]
        return list(self.works)  # Things

    def _has_place(self, work: int) -> bool:
        about = self.works[work]
        return about["work__subject__latitude"] is not None and about["work__subject__longitude"] is not None

    def _has_history(self, work: int) -> bool:
        return self._has_place(work) and self.works[work]["since"] is not None

    def find(self, name: str, id_: Id) -> Entity | None:
        """Return one entity of a set that is not Observations, or None if it is not there or out of sight."""
        if (name, id_) not in self._made:
            if not self._is_there(name, id_):
                return None
            self._made[name, id_] = getattr(self, _MAKERS[name])(id_)
        return self._made[name, id_]

    def _is_there(self, name: str, id_: Id) -> bool:
        if name == "ObservedProperties":
            is_used = isinstance(id_, str) and ("quantity", id_) in self._channels_by
            return is_used or (self.sees_catalogue and id_ in QUANTITIES.own())
        if name == "FeaturesOfInterest" and isinstance(id_, str):
            return id_ in self.places
        if not isinstance(id_, int):
            return False
        if name == "Datastreams":
            return id_ in self.channels
        if name == "Sensors":
            return id_ in self.devices
        if id_ not in self.works:
            return False
        return {"Locations": self._has_place, "HistoricalLocations": self._has_history}.get(name, lambda _: True)(id_)

    def related_ids(self, entity: Entity, link: str) -> list[Id]:
        """Return the ids behind a link that does not lead to Observations."""
        target, about = entity.kind.links[link].target, entity.about
        if target == "Datastreams":
            if "channel" in about:  # of an Observation
                return [about["channel"]]
            name, key = next(iter(about.items()))
            return list(self._channels_by.get((name, key), ()))
        if target == "Sensors":
            return [about["device"]]
        if target == "ObservedProperties":
            return [about["quantity"]]
        if target == "FeaturesOfInterest":
            return [self._feature_of(about["channel"])]
        return [about["work"]] if self._is_there(target, about["work"]) else []

    def channels_of(self, entity: Entity) -> list[int]:
        """Return the channels whose readings are the Observations of a Datastream or FeatureOfInterest."""
        if entity.kind.name == "Datastreams":
            return [int(entity.id)]
        return self._channels_by.get(("feature", entity.id), [])

    def look_up(self, entity: Entity, names: tuple[str, ...]) -> Any:
        """Return what a path from the entity says: a value, or several (filters.Many) where it leads over many."""
        self.check_time()
        name, rest = names[0], names[1:]
        if name in ID_NAMES:
            return entity.id
        if name not in entity.kind.links:
            if name in SPANS and entity.kind.name == "Datastreams":
                self.fill_spans([entity])
            value = entity.properties.get(name)
            for key in rest:
                value = value.get(key) if isinstance(value, dict) else None
            return value
        link = entity.kind.links[name]
        others = [self.find(link.target, id_) for id_ in self.related_ids(entity, name)]
        found = [self.look_up(other, rest) for other in others if other is not None]
        if not link.is_many:
            return found[0] if found else None
        return Many(value for each in found for value in (each if isinstance(each, Many) else [each]))

    def check_time(self) -> None:
        """Let nobody keep a process busy: paths over many things over many things grow fast. Raises QueryError."""
        if monotonic() > self.until:
            raise QueryError("Câu hỏi phải xét quá nhiều đối tượng. Thu hẹp $filter và $orderby, hoặc hỏi từng Thing.")

    def all_datastreams(self) -> list[Entity]:
        return [each for id_ in self.channels if (each := self.find("Datastreams", id_)) is not None]

    def fill_spans(self, entities: Iterable[Entity]) -> None:
        """Give Datastreams the time from their first to their last reading, read for all of them at once."""
        entities = [each for each in entities if each.kind.name == "Datastreams" and each.id not in self._spans]
        if not entities:
            return
        found = self.spans([int(each.id) for each in entities])
        for each in entities:
            span = self._spans[int(each.id)] = found.get(int(each.id))
            if span is not None:
                interval = Interval(instant_of(span[0]), instant_of(span[1]))
                each.properties["phenomenonTime"] = each.properties["resultTime"] = interval

    # --- how each kind is made --------------------------------------------------------------------------------------

    def _make_thing(self, id_: int) -> Entity:
        work = self.works[id_]
        kind = Work.Kind(work["work__kind"]).label
        properties = {
            "key": work["work__subject__key"], "kind": work["work__kind"], "kindName": kind,
            "status": work["work__status"], "statusName": Work.Status(work["work__status"]).label,
            "sector": work["work__sector"], **_simulated(work["is_simulated"]),
        }  # fmt: skip
        if "is_own" in work:
            places = self._territories.get(id_, [])
            if work["work__operator__subject__key"]:
                properties["operator"] = work["work__operator__subject__key"]
            if places:
                properties["territory"] = places[0] if len(places) == 1 else places
        name = work["work__subject__name"]
        return Entity(
            KINDS["Things"], id_,
            {"name": name, "description": work["work__note"] or f"{kind} {name}", "properties": properties},
            {"work": id_},
        )  # fmt: skip

    def _make_location(self, id_: int) -> Entity:
        work = self.works[id_]
        name = work["work__subject__name"]
        properties = {
            "name": name, "description": f"Vị trí của {name}", "encodingType": GEOJSON, "location": _point(work),
            "properties": {},
        }  # fmt: skip
        return Entity(KINDS["Locations"], id_, properties, {"work": id_})

    def _make_historical_location(self, id_: int) -> Entity:
        return Entity(KINDS["HistoricalLocations"], id_, {"time": self.works[id_]["since"]}, {"work": id_})

    def _make_feature(self, id_: Id) -> Entity:
        feature: dict[str, Any]
        if isinstance(id_, int):
            work_id, description = id_, ""
            name = self.works[id_]["work__subject__name"]
            is_known = self._has_place(id_)
            feature = _point(self.works[id_]) if is_known else {"type": "Feature", "geometry": None, "properties": {}}
        else:
            place = self.places[id_]
            work_id, name, description = place["work_id"], place["name"], place["description"]
            feature = {"type": "Point", "coordinates": [place["longitude"], place["latitude"]]}
        properties = {
            "name": name, "description": description or f"Nơi đo: {name}", "encodingType": GEOJSON, "feature": feature,
            "properties": {"thing": work_id, **_simulated(self.works[work_id]["is_simulated"])},
        }  # fmt: skip
        return Entity(KINDS["FeaturesOfInterest"], id_, properties, {"work": work_id})

    def _make_sensor(self, id_: int) -> Entity:
        device = self.devices[id_]
        kind = Device.Kind(device["kind"]).label
        about = {
            "code": device["code"], "kind": device["kind"], "kindName": kind, "protocol": device["protocol"],
            "make": device["make"], "serial": device["serial"], "place": device["place_note"],
            "installedAt": device["installed_at"], "removedAt": device["removed_at"],
        }  # fmt: skip
        if device["latitude"] is not None and device["longitude"] is not None:
            about["location"] = {
                "type": "Point",
                "coordinates": [float(device["longitude"]), float(device["latitude"])],
            }
        properties = {
            "name": device["name"],
            "description": device["note"] or kind + (f", {device['make']}" if device["make"] else ""),
            "encodingType": "text/plain", "metadata": device["make"] or kind,
            "properties": {
                **{key: value for key, value in about.items() if value not in ("", None)},
                **_simulated(device["is_simulated"]),
            },
        }  # fmt: skip
        return Entity(KINDS["Sensors"], id_, properties, {"device": id_, "work": device["work_id"]})

    def _make_observed_property(self, id_: str) -> Entity:
        quantity = QUANTITIES[id_]
        about: dict[str, Any] = {"key": id_, "unit": quantity.unit, "kind": str(quantity.kind)}
        properties = {
            "name": quantity.name, "definition": quantity.definition or f"urn:machnuoc:quantity:{id_}",
            "description": quantity.description or quantity.name, "properties": about,
        }  # fmt: skip
        if quantity.is_own:
            about |= {
                "low": quantity.low, "high": quantity.high, "decimals": quantity.decimals,
                "acceptedUnits": list(quantity.accepted_units),
            }  # fmt: skip
        return Entity(KINDS["ObservedProperties"], id_, properties, {"quantity": id_})

    def _make_datastream(self, id_: int) -> Entity:
        channel = self.channels[id_]
        quantity = QUANTITIES[channel["quantity"]]
        point = Channel.Point(channel["point"]).label
        label = units.get_unit(quantity.unit).label_vi
        unit = {"name": label or None, "symbol": label or None, "definition": f"urn:machnuoc:unit:{quantity.unit}"}
        if quantity.unit == "1":
            unit["definition"] = None  # a bare number: pH, on or off
        properties = {
            "name": channel["name"],
            "description": channel["description"]
            or f"{quantity.name}, {point.lower()}, thiết bị {channel['device__code']}",
            "observationType": MEASUREMENT, "unitOfMeasurement": unit,
            "properties": {
                "key": channel["key"], "device": channel["device__code"], "point": channel["point"],
                "pointName": point, "role": channel["role"], "expectedInterval_s": channel["expected_interval_s"],
                "low": channel["low"], "high": channel["high"], "resolution": channel["resolution"],
                "isActive": channel["is_active"], "isPublic": channel["is_public"],
                "featureOfInterest": self._feature_of(id_),
                **_simulated(channel["device__is_simulated"]),
            },
        }  # fmt: skip
        about = {
            "channel": id_, "device": channel["device_id"], "quantity": channel["quantity"],
            "work": channel["device__work_id"],
        }  # fmt: skip
        return Entity(KINDS["Datastreams"], id_, properties, about)


_MAKERS = {
    "Things": "_make_thing", "Locations": "_make_location", "HistoricalLocations": "_make_historical_location",
    "Sensors": "_make_sensor", "ObservedProperties": "_make_observed_property", "Datastreams": "_make_datastream",
    "FeaturesOfInterest": "_make_feature",
}  # fmt: skip


def load(viewer: Viewer, spans: Callable[[Iterable[int]], Mapping[int, tuple[int, int]]], narrow: Q | None) -> World:
    """Return what the viewer may see. narrow: a condition on channels beyond which the request does not look."""
    own: frozenset[int] = frozenset()
    own_works = Work.objects.none()
    if viewer.person is not None:
        works = access.visible_subject_ids(viewer.person, "view")
        own_works = Work.objects.filter(pk__in=works)
        channels, devices = Q(device__work_id__in=works) | Q(is_public=True), Q(work_id__in=works)
        own = frozenset(works)
    elif viewer.device is not None:
        channels, devices = Q(device_id=viewer.device.pk) | Q(is_public=True), Q(pk=viewer.device.pk)
    else:
        channels, devices = Q(is_public=True), Q(pk__in=[])
    seen = Channel.objects.filter(channels)
    if narrow is not None:
        seen = seen.filter(narrow)
    rows = {row["id"]: row for row in seen.order_by("id").values(*_CHANNEL)}
    found = Device.objects.filter(devices | Q(channels__is_public=True)).distinct().order_by("id").values(*_DEVICE)
    known = {row["id"]: row for row in found}
    for row in known.values():
        is_own = row["work_id"] in own or (viewer.device is not None and row["id"] == viewer.device.pk)
        if not is_own:  # nobody outside needs to know which instrument it is, nor where it hangs
            row["serial"] = row["place_note"] = row["note"] = row["work__note"] = ""
            row["latitude"] = row["longitude"] = None
    return World(
        {id_: row for id_, row in rows.items() if row["device_id"] in known},
        known,
        spans,
        own_works,
        viewer.person is not None,
    )


def id_of_place(place: int) -> str:
    return f"p{place}"


def id_of_feature(work: int, place: int | None) -> Id:
    """Return the id of the FeatureOfInterest of a channel of a work: its place, or the work where it has none."""
    return work if place is None else id_of_place(place)


def read_place_id(id_: object) -> int | None:
    """Return the number of a measuring place of its id, None for anything else.

    >>> read_place_id("p5"), read_place_id("p05"), read_place_id(5)
    (5, None, None)
    """
    is_id = isinstance(id_, str) and re.fullmatch(r"p[1-9][0-9]{0,8}", id_) is not None
    return int(str(id_)[1:]) if is_id else None


def _point(work: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [work["work__subject__longitude"], work["work__subject__latitude"]]}


def _simulated(is_simulated: bool) -> dict[str, Any]:
    return {"isSimulated": True, "simulation": SIMULATED} if is_simulated else {"isSimulated": False}


def instant_of(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
