"""FeaturesOfInterest: places of works at which channels measure, made, changed, deleted, given to channels.

Of a work itself (a number) the place is its Location. Raises PermissionDenied, DeviceError, WorksError, QueryError.
"""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied

from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.telemetry import measuring_places
from machnuoc.telemetry.device_operations import DeviceError
from machnuoc.telemetry.models import MeasuringPlace
from machnuoc.telemetry.sensorthings import bodies, things
from machnuoc.telemetry.sensorthings.bodies import DESCRIPTION_MAX, NAME_MAX
from machnuoc.telemetry.sensorthings.model import Id
from machnuoc.telemetry.sensorthings.options import QueryError
from machnuoc.telemetry.sensorthings.world import id_of_place, read_place_id
from machnuoc.works.models import Work

_NAME = "FeatureOfInterest"
_THING = f'{_NAME}: nêu công trình có nơi đo này ở properties.thing ({{"thing": @iot.id hoặc key của Thing}}).'
_OF_WORK = (
    "FeaturesOfInterest({0}) là công trình {0}: ở đây chỉ dời được feature; «{1}» khác với số hiện có. Sửa công trình "
    "bằng PATCH Things({0}), hoặc tạo nơi đo riêng bằng POST FeaturesOfInterest."
)


def create(person: Person, said: Mapping[str, Any]) -> str:
    """Make a place of a work and return its id."""
    bodies.refuse_others(said, {"name", "description", "encodingType", "feature", "properties"}, _NAME)
    about = bodies.properties(said, {"thing"}, _NAME)
    work = things.find(person, about.get("thing"), _THING)
    things.check_encoding(said, _NAME)
    made = measuring_places.put_place(
        work, name=bodies.text(said, "name", NAME_MAX, is_needed=True),
        description=bodies.text(said, "description", DESCRIPTION_MAX),
        position=things.position_of(said.get("feature"), f"{_NAME}: feature"), by=person,
    )  # fmt: skip
    return id_of_place(made.pk)


def change(person: Person, id_: Id, said: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
    """Change name, description and feature; of a work only the feature. shown: the entity as it is answered."""
    may = {"name", "description", "feature"} if isinstance(id_, str) else {"feature"}
    if not said.keys() & may:
        raise QueryError(f"Nội dung phải có ít nhất một trong: {', '.join(sorted(may))}.")
    things.check_encoding(said, _NAME)
    wanted = {
        key for key, value in said.items() if "@iot." not in key and key != "encodingType" and shown.get(key) != value
    }
    if "properties" in wanted:
        about = bodies.properties(said, shown["properties"], _NAME)
        if all(shown["properties"][key] == value for key, value in about.items()):
            wanted.remove("properties")
    if isinstance(id_, int):
        work = Work.objects.select_related("subject").get(pk=id_)
        access.require(person, "manage", work.subject, work.sector)
        if wanted - may:
            raise QueryError(_OF_WORK.format(id_, min(wanted - may)[:40]))
        if wanted:
            things.put_position(person, work, things.position_of(said["feature"], f"{_NAME}: feature"))
        return
    place = _get(id_)
    access.require(person, "manage", place.work_id)
    if wanted - may:
        raise QueryError(
            f"Chỉ đổi được {', '.join(sorted(may))}; «{min(wanted - may)[:40]}» khác với số hiện có. Nơi đo ở công "
            "trình khác thì tạo bằng POST FeaturesOfInterest."
        )
    measuring_places.put_place(
        place.work, place=place, by=person,
        name=bodies.text(said, "name", NAME_MAX, is_needed=True) if "name" in wanted else place.name,
        description=bodies.text(said, "description", DESCRIPTION_MAX) if "description" in wanted else place.description,
        position=things.position_of(said["feature"], f"{_NAME}: feature") if "feature" in wanted
        else (place.latitude, place.longitude),
    )  # fmt: skip


def delete(person: Person, id_: Id) -> None:
    """Delete a place that no channel uses. Raises DeviceError for what stands in the way."""
    if isinstance(id_, int):
        access.require(person, "manage", id_)
        raise DeviceError(
            f"FeaturesOfInterest({id_}) là công trình {id_}, không xóa được. Quên vị trí của công trình bằng DELETE "
            f"Locations({id_})."
        )
    measuring_places.delete_place(_get(id_), by=person)


def find(said: Any, work: int) -> MeasuringPlace | None:
    """Return the place of the work that an id means, None for the work itself. Raises QueryError for any other."""
    if said == work and isinstance(said, int) and not isinstance(said, bool):
        return None
    place = MeasuringPlace.objects.filter(pk=read_place_id(said) or 0, work=work).first()
    if place is None:
        there = [
            f"'{id_of_place(pk)}'" for pk in MeasuringPlace.objects.filter(work=work).values_list("pk", flat=True)[:20]
        ]
        raise QueryError(
            "Datastream: properties.featureOfInterest phải là nơi đo của cùng công trình: "
            f"{', '.join([str(work), *there])}. Thêm nơi đo bằng POST FeaturesOfInterest."
        )
    return place


def _get(id_: str) -> MeasuringPlace:
    place = MeasuringPlace.objects.select_related("work__subject").filter(pk=read_place_id(id_) or 0).first()
    if place is None:  # deleted between question and answer
        raise PermissionDenied
    return place
