"""Entities made, changed and deleted by a person's token: works and where they stand, devices, channels.

Everything goes through the operations of the pages, so rights, rules and audit are theirs.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction

from machnuoc.core import units
from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.telemetry import device_operations, measuring_places, quantity_operations
from machnuoc.telemetry.models import Channel, Device
from machnuoc.telemetry.quantities import QUANTITIES
from machnuoc.telemetry.sensorthings import bodies, features, observed, things
from machnuoc.telemetry.sensorthings.bodies import DESCRIPTION_MAX, DEVICES, NAME_MAX
from machnuoc.telemetry.sensorthings.model import KINDS, Entity, Id
from machnuoc.telemetry.sensorthings.options import QueryError
from machnuoc.telemetry.sensorthings.world import MEASUREMENT, SPANS, Viewer
from machnuoc.telemetry.sensorthings.writing import NotAllowed
from machnuoc.works.models import Work
from machnuoc.works.operations import WorksError

ELSEWHERE: Mapping[str, str] = {
    "Things": "Things là công trình, không xóa được vì số liệu và sổ sách gắn với nó. Công trình không còn dùng thì "
    'cho dừng: PATCH {"properties": {"status": "STOPPED"}}, hoặc ở trang Công trình (/cong-trinh/).',
    "Locations": "Locations là vị trí của công trình: tạo bằng POST Locations hoặc POST Things(số)/Locations, sửa bằng "
    "PATCH, xóa bằng DELETE Locations(số).",
    "HistoricalLocations": "HistoricalLocations do chương trình ghi khi lắp thiết bị, không tạo hay sửa được.",
    "ObservedProperties": "ObservedProperties là danh mục đại lượng: thêm bằng POST ObservedProperties, sửa bằng "
    "PATCH, xóa bằng DELETE ObservedProperties('khóa').",
    "FeaturesOfInterest": "FeaturesOfInterest là nơi đo của công trình: thêm bằng POST FeaturesOfInterest, sửa bằng "
    "PATCH, xóa bằng DELETE FeaturesOfInterest('mã').",
}
"""Why a kind is not made or deleted here, and where it is."""

_OURS = SPANS | {"observedArea"}  # what the service itself says of a Datastream; clients send back what they read
_OF_SENSORS = frozenset({"code", "kind", "protocol", "serial", "place", "senderId", "thing"})
_OF_DATASTREAMS = {
    "key": "key", "point": "point", "role": "role", "expectedInterval_s": "expected_interval_s", "low": "low",
    "high": "high", "resolution": "resolution", "isPublic": "is_public", "minimum": "minimum", "sentUnit": "sent_unit",
}  # fmt: skip
_NUMBERS = frozenset({"low", "high", "resolution", "minimum"})


_FAULTS = (device_operations.DeviceError, quantity_operations.QuantityError, WorksError)
_NOT_YOURS = (
    "Tài khoản của mã này không quản lý công trình của đối tượng (đại lượng: không quản trị cả hệ thống), nên không {} "
    "được."
)


class Conflict(Exception):
    """What stands in the way of an act is there already; says in Vietnamese what and what to do instead."""


def create(viewer: Viewer, name: str, body: Any, above: Entity | None, now: datetime) -> Id:
    """Make a Sensor or Datastream, with those inside it, and return its id. above: the entity whose link was posted to.

    Raises NotAllowed, QueryError.
    """
    person = _require_person(viewer)
    said = bodies.object_of(body, name)
    try:
        with transaction.atomic():
            return _create(person, name, said, above, now)
    except PermissionDenied:
        raise NotAllowed(
            "Tài khoản của mã này không quản lý công trình, địa bàn nêu trong yêu cầu, hoặc không có nơi này. Danh mục "
            "đại lượng do quản trị viên của cả hệ thống thêm."
        ) from None
    except _FAULTS as error:
        raise QueryError(str(error)) from None


def _create(person: Person, name: str, said: Mapping[str, Any], above: Entity | None, now: datetime) -> Id:
    match name:
        case "Things":
            work = things.create(person, said)
            thing = Entity(KINDS["Things"], work.pk, {})
            for each in bodies.list_of(said, "Datastreams", "Thing"):
                _create_datastream(person, each, thing, now)
            return int(work.pk)
        case "ObservedProperties":
            return observed.create(person, said)
        case "FeaturesOfInterest":
            return features.create(person, said)
        case "Locations":
            return int(things.create_location(person, said, None if above is None else int(above.id)).pk)
        case "Sensors":
            return _create_sensor(person, said, None, now).pk
    return _create_datastream(person, said, above, now).pk


def change(viewer: Viewer, entity: Entity, body: Any, shown: Mapping[str, Any]) -> None:
    """Change what may be: name and description, metadata of Sensors, status of Things, location of Locations.

    shown: the entity as it is answered; what is said of anything else must be as it is. Raises NotAllowed, QueryError.
    """
    said = bodies.object_of(body, entity.kind.name)
    person = _require_person(viewer)
    try:
        with transaction.atomic():
            _change(person, entity, said, shown)
    except PermissionDenied:
        raise NotAllowed(_NOT_YOURS.format("sửa")) from None
    except quantity_operations.InUse as error:
        raise Conflict(str(error)) from None
    except _FAULTS as error:
        raise QueryError(str(error)) from None


_MAY_CHANGE = {"Datastreams": {"name", "description", "properties"}, "Sensors": {"name", "description", "metadata"}}


def _change(person: Person, entity: Entity, said: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
    if entity.kind.name == "ObservedProperties":
        observed.change(person, str(entity.id), said, shown)
        return
    if entity.kind.name == "FeaturesOfInterest":
        features.change(person, entity.id, said, shown)
        return
    if entity.kind.name in ("Things", "Locations"):
        work = Work.objects.select_related("subject").get(pk=entity.about["work"])
        change_it = things.change if entity.kind.name == "Things" else things.change_location
        change_it(person, work, said, shown)
        return
    may = _MAY_CHANGE[entity.kind.name]
    wanted = {}
    for key, value in said.items():
        if "@iot." in key or key in _OURS or shown.get(key) == value:
            continue
        if key not in may:
            raise QueryError(
                f"Chỉ đổi được {', '.join(sorted(may))}; «{key[:40]}» khác với số hiện có. Sửa ở {DEVICES}."
            )
        if key != "properties":
            wanted[key] = bodies.text(said, key, NAME_MAX if key != "description" else DESCRIPTION_MAX)
    if not said.keys() & may:
        raise QueryError(f"Nội dung phải có ít nhất một trong: {', '.join(sorted(may))}.")
    if entity.kind.name == "Datastreams":
        channel = Channel.objects.get(pk=entity.id)
        is_moved = _is_moved(said, shown)
        if is_moved:
            access.require(person, "manage", entity.about["work"])
            place = features.find(said["properties"]["featureOfInterest"], entity.about["work"])
            measuring_places.assign(channel, place, by=person)
        if wanted or not is_moved:
            device_operations.describe_channel(channel, by=person, **wanted)
    else:
        words = {{"description": "note", "metadata": "make"}.get(key, key): text for key, text in wanted.items()}
        device_operations.describe_device(Device.objects.get(pk=entity.id), by=person, **words)


def _is_moved(said: Mapping[str, Any], shown: Mapping[str, Any]) -> bool:
    """Return whether a Datastream shall measure elsewhere; the rest of its properties must be as it is."""
    about = bodies.properties(said, shown["properties"], "Datastream")
    for key, value in about.items():
        if key != "featureOfInterest" and shown["properties"][key] != value:
            raise QueryError(
                f"Trong properties chỉ đổi được featureOfInterest; «{key[:40]}» khác với số hiện có. Sửa ở {DEVICES}."
            )
    return "featureOfInterest" in about and about["featureOfInterest"] != shown["properties"]["featureOfInterest"]


def delete(viewer: Viewer, entity: Entity) -> None:
    """Delete a Sensor or Datastream that nothing was ever received of; forget where a work stands.

    Raises NotAllowed, Conflict.
    """
    person = _require_person(viewer)
    try:
        if entity.kind.name == "ObservedProperties":
            observed.delete(person, str(entity.id))
            return
        if entity.kind.name == "FeaturesOfInterest":
            with transaction.atomic():
                features.delete(person, entity.id)
            return
        if entity.kind.name == "Locations":
            things.put_position(person, Work.objects.select_related("subject").get(pk=entity.about["work"]), None)
            return
        if entity.kind.name == "Datastreams":
            device_operations.delete_channel(Channel.objects.get(pk=entity.id), by=person)
        else:
            device_operations.delete_device(Device.objects.get(pk=entity.id), by=person)
    except PermissionDenied:
        raise NotAllowed(_NOT_YOURS.format("xóa")) from None
    except (device_operations.DeviceError, quantity_operations.QuantityError) as error:
        raise Conflict(str(error)) from None


def _require_person(viewer: Viewer) -> Person:
    if viewer.person is None:
        raise NotAllowed("Khai báo cần mã API của người quản lý công trình; mã của thiết bị chỉ gửi số đọc.")
    return viewer.person


# --- what is made -----------------------------------------------------------------------------------------------------


def _create_sensor(person: Person, said: Mapping[str, Any], work_id: int | None, now: datetime) -> Device:
    bodies.refuse_others(
        said, {"name", "description", "encodingType", "metadata", "properties", "Datastreams"}, "Sensor"
    )
    about = bodies.properties(said, _OF_SENSORS, "Sensor")
    work = things.find(person, work_id if work_id is not None else about.get("thing"), _THING_OF_SENSOR)
    if said.get("encodingType", "text/plain") != "text/plain":
        raise QueryError("Sensor: encodingType chỉ nhận text/plain; metadata là hãng và kiểu, viết bằng chữ.")
    name = bodies.text(said, "name", NAME_MAX, is_needed=True)
    kind, protocol = about.get("kind", Device.Kind.LOGGER), about.get("protocol", Device.Protocol.HTTP)
    if kind not in Device.Kind.values or protocol not in Device.Protocol.values:
        raise QueryError(
            f"Sensor: properties.kind là một trong {', '.join(Device.Kind.values)}; "
            f"properties.protocol là một trong {', '.join(Device.Protocol.values)}."
        )
    made, _ = device_operations.put_device(
        code=bodies.text(about, "code", 48) or bodies.slug(name, "-"), name=name, kind=kind, protocol=protocol,
        work=work, by=person, now=now, sender_id=bodies.text(about, "senderId", 64),
        place_note=bodies.text(about, "place", 200), make=bodies.text(said, "metadata", NAME_MAX),
        serial=bodies.text(about, "serial", 60), installed_at=now,
        note=bodies.text(said, "description", DESCRIPTION_MAX),
    )  # fmt: skip
    for each in bodies.list_of(said, "Datastreams", "Sensor"):
        _create_datastream(person, each, None, now, device=made)
    return made


_THING_OF_SENSOR = (
    'Sensor: nêu công trình có thiết bị ở properties.thing ({"thing": @iot.id hoặc key của Thing}), '
    "hoặc tạo Sensor kèm trong Datastream."
)


def _create_datastream(
    person: Person, said: Mapping[str, Any], above: Entity | None, now: datetime, device: Device | None = None
) -> Channel:
    links = {"Thing", "Sensor", "ObservedProperty"}
    own = {"name", "description", "observationType", "unitOfMeasurement", "properties"}
    bodies.refuse_others(said, own | links, "Datastream")
    about = bodies.properties(said, {*_OF_DATASTREAMS, "featureOfInterest"}, "Datastream")
    if said.get("observationType", MEASUREMENT) != MEASUREMENT:
        raise QueryError(f"Datastream: observationType chỉ nhận {MEASUREMENT}.")
    from_above = {} if above is None else {above.kind.singular: above.id}
    quantity = QUANTITIES[_find_quantity(said.get("ObservedProperty"), from_above.get("ObservedProperty"))]
    _check_unit(said.get("unitOfMeasurement"), quantity.unit, quantity.name)
    thing = int(from_above["Thing"]) if "Thing" in from_above else bodies.reference(said.get("Thing"), "Thing")
    if device is None:
        device = _find_device(person, said.get("Sensor"), from_above.get("Sensor"), thing, now)
    if thing is not None and device.work_id != thing:
        raise QueryError(f"Datastream: thiết bị {device.code} không thuộc công trình (Thing) {thing}.")
    name = bodies.text(said, "name", NAME_MAX, is_needed=True)
    fields: dict[str, Any] = {field: about[sent] for sent, field in _OF_DATASTREAMS.items() if sent in about}
    _check_fields(fields)
    made, _ = device_operations.put_channel(
        device, key=fields.pop("key", "") or bodies.slug(name, "_"), name=name, quantity=quantity.key, by=person,
        now=now, description=bodies.text(said, "description", DESCRIPTION_MAX), **fields,
    )  # fmt: skip
    if "featureOfInterest" in about:
        measuring_places.assign(made, features.find(about["featureOfInterest"], device.work_id), by=person)
    return made


def _find_device(person: Person, said: Any, above: Id | None, thing: int | None, now: datetime) -> Device:
    if above is None and isinstance(said, dict) and "@iot.id" not in said:
        if thing is None:
            raise QueryError('Datastream: nêu công trình của thiết bị mới: "Thing": {"@iot.id": số}.')
        return _create_sensor(person, bodies.object_of(said, "Sensors"), thing, now)
    id_ = above if above is not None else bodies.reference(said, "Sensor")
    if id_ is None:
        raise QueryError('Datastream: thiếu Sensor: {"@iot.id": số} của thiết bị, hoặc thiết bị mới kèm theo.')
    device = Device.objects.filter(pk=id_).first()
    if device is None or not access.may(person, "manage", device.work_id):
        raise PermissionDenied
    if device.removed_at is not None:
        raise QueryError(f"Datastream: thiết bị {device.code} đã tháo, không thêm kênh được.")
    return device


def _find_quantity(said: Any, above: Id | None) -> str:
    """Return the key of the quantity that is meant: by id, by our definition, or by name."""
    if above is not None:
        return str(above)
    said = said if isinstance(said, dict) else {}
    definition = said.get("definition")
    by_name = {quantity.name: quantity.key for quantity in QUANTITIES.values()}
    of_definition = definition.removeprefix(observed.URN) if isinstance(definition, str) else None
    by_definition = {each.definition: key for key, each in QUANTITIES.own().items() if each.definition}
    for key in (
        said.get("@iot.id"), of_definition, by_definition.get(str(definition)), by_name.get(str(said.get("name")))
    ):  # fmt: skip
        if isinstance(key, str) and key in QUANTITIES:
            return key
    raise QueryError(
        'Datastream: ObservedProperty phải là một đại lượng của chương trình: {"@iot.id": "…"}, một trong: '
        f"{', '.join(QUANTITIES)}."
    )


def _check_unit(said: Any, unit: str, name: str) -> None:
    if said is None:
        return
    label = units.get_unit(unit).label_vi
    known = {f"urn:machnuoc:unit:{unit}", unit, *([label] if label else [])}
    words = [said.get(key) for key in ("definition", "symbol")] if isinstance(said, dict) else ["?"]
    if not any(word in known for word in words if isinstance(word, str)) and not (
        unit == "1" and words == [None, None]
    ):
        raise QueryError(
            f"Datastream: {name.lower()} được lưu theo {label or 'số không đơn vị'} "
            f'({{"definition": "urn:machnuoc:unit:{unit}"}}). Thiết bị gửi đơn vị khác thì ghi properties.sentUnit.'
        )


def _check_fields(fields: Mapping[str, Any]) -> None:
    wrong = None
    for field, value in fields.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12
        if field in _NUMBERS:
            is_good = is_number or (value is None and field == "minimum")
        elif field == "expected_interval_s":
            is_good = is_number and isinstance(value, int)
        elif field == "is_public":
            is_good = isinstance(value, bool)
        else:
            is_good = isinstance(value, str)
        wrong = wrong or (None if is_good else field)
    sent = next((name for name, field in _OF_DATASTREAMS.items() if field == wrong), None)
    if sent:
        raise QueryError(f"Datastream: giá trị của properties.{sent} không đúng kiểu.")
    if fields.get("point", Channel.Point.STATION) not in Channel.Point.values:
        raise QueryError(f"Datastream: properties.point là một trong {', '.join(Channel.Point.values)}.")
    if fields.get("role", "") not in Channel.Role.values:
        raise QueryError(f"Datastream: properties.role là một trong {', '.join(filter(None, Channel.Role.values))}.")
