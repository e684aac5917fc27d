"""Sensors (devices) and Datastreams (channels) made, described and deleted by a person's token; Things described.

Everything goes through device_operations, so rights, rules and audit are those of the pages. Secrets are not made here:
they are shown once, to a person, on the page of the device.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction

from machnuoc.core import folding, units
from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.telemetry import device_operations
from machnuoc.telemetry.models import Channel, Device
from machnuoc.telemetry.quantities import QUANTITIES
from machnuoc.telemetry.sensorthings.model import Entity, Id
from machnuoc.telemetry.sensorthings.options import QueryError
from machnuoc.telemetry.sensorthings.world import MEASUREMENT, SPANS, Viewer
from machnuoc.telemetry.sensorthings.writing import NotAllowed
from machnuoc.works import operations as work_operations
from machnuoc.works.models import Work

DEVICES = "trang Giám sát › Thiết bị (/giam-sat/thiet-bi/)"
ELSEWHERE: Mapping[str, str] = {
    "Things": "Things là công trình: khai báo, đổi tên, cho dừng ở trang Công trình (/cong-trinh/). "
    "Qua SensorThings chỉ đổi được description của công trình đã có thiết bị.",
    "Locations": "Locations là vị trí của công trình: sửa ở trang Công trình (/cong-trinh/).",
    "HistoricalLocations": "HistoricalLocations do chương trình ghi khi lắp thiết bị, không tạo hay sửa được.",
    "ObservedProperties": "ObservedProperties là danh mục đại lượng của chương trình, mỗi đại lượng một đơn vị, không "
    "thêm hay sửa được. Chọn một đại lượng có sẵn (GET ObservedProperties, hoặc xem tài liệu).",
    "FeaturesOfInterest": "FeaturesOfInterest là nơi đặt công trình: sửa ở trang Công trình (/cong-trinh/).",
}
"""Why a kind is not made or deleted here, and where it is."""

NAME_MAX, DESCRIPTION_MAX = 120, 300
_OURS = SPANS | {"observedArea"}  # what the service itself says of a Datastream; clients send back what they read
_SECRET = re.compile(r"passw|secret|token|credential|apikey|api_key|mat_?khau", re.IGNORECASE)
_OF_SENSORS = frozenset({"code", "kind", "protocol", "serial", "place", "senderId", "thing"})
_OF_DATASTREAMS = {
    "key": "key", "point": "point", "role": "role", "expectedInterval_s": "expected_interval_s", "low": "low",
    "high": "high", "resolution": "resolution", "isPublic": "is_public", "minimum": "minimum", "sentUnit": "sent_unit",
}  # fmt: skip
_NUMBERS = frozenset({"low", "high", "resolution", "minimum"})


class Conflict(Exception):
    """What stands in the way of an act is there already; says in Vietnamese what and what to do instead."""


def create(viewer: Viewer, name: str, body: Any, above: Entity | None, now: datetime) -> Id:
    """Make a Sensor or Datastream, with those inside it, and return its id. above: the entity whose link was posted to.

    Raises NotAllowed, QueryError.
    """
    person = _require_person(viewer)
    said = _object(body, name)
    try:
        with transaction.atomic():
            if name == "Sensors":
                return _create_sensor(person, said, None, now).pk
            return _create_datastream(person, said, above, now).pk
    except PermissionDenied:
        raise NotAllowed(
            "Tài khoản của mã này không quản lý công trình nêu trong yêu cầu, hoặc không có công trình này."
        ) from None
    except device_operations.DeviceError as error:
        raise QueryError(str(error)) from None


def change(viewer: Viewer, entity: Entity, body: Any, shown: Mapping[str, Any]) -> None:
    """Change what may be: name and description of Datastreams and Sensors, metadata of Sensors, description of Things.

    shown: the entity as it is answered; what is said of anything else must be as it is. Raises NotAllowed, QueryError.
    """
    said = _object(body, entity.kind.name)
    may = {
        "Datastreams": {"name", "description"}, "Sensors": {"name", "description", "metadata"},
        "Things": {"description"},
    }[entity.kind.name]  # fmt: skip
    person = _require_person(viewer)
    wanted = {}
    for key, value in said.items():
        if "@iot." in key or key in _OURS or shown.get(key) == value:
            continue
        if key not in may:
            raise QueryError(
                f"Chỉ đổi được {', '.join(sorted(may))}; «{key[:40]}» khác với số hiện có. "
                + (ELSEWHERE["Things"] if entity.kind.name == "Things" else f"Sửa ở {DEVICES}.")
            )
        wanted[key] = _text(said, key, NAME_MAX if key != "description" else DESCRIPTION_MAX)
    if not said.keys() & may:
        raise QueryError(f"Nội dung phải có ít nhất một trong: {', '.join(sorted(may))}.")
    try:
        if entity.kind.name == "Things":
            work = Work.objects.select_related("subject").get(pk=int(entity.id))
            access.require(person, "manage", work.subject, work.sector)
            if wanted:
                work_operations.describe(work, note=wanted["description"], by=person)
        elif entity.kind.name == "Datastreams":
            device_operations.describe_channel(Channel.objects.get(pk=entity.id), by=person, **wanted)
        else:
            words = {{"description": "note", "metadata": "make"}.get(key, key): text for key, text in wanted.items()}
            device_operations.describe_device(Device.objects.get(pk=entity.id), by=person, **words)
    except PermissionDenied:
        raise NotAllowed("Tài khoản của mã này không quản lý công trình của đối tượng, nên không sửa được.") from None
    except device_operations.DeviceError as error:
        raise QueryError(str(error)) from None


def delete(viewer: Viewer, entity: Entity) -> None:
    """Delete a Sensor or Datastream that nothing was ever received of. Raises NotAllowed, Conflict."""
    person = _require_person(viewer)
    try:
        if entity.kind.name == "Datastreams":
            device_operations.delete_channel(Channel.objects.get(pk=entity.id), by=person)
        else:
            device_operations.delete_device(Device.objects.get(pk=entity.id), by=person)
    except PermissionDenied:
        raise NotAllowed("Tài khoản của mã này không quản lý công trình của đối tượng, nên không xóa được.") from None
    except device_operations.DeviceError as error:
        raise Conflict(str(error)) from None


def _require_person(viewer: Viewer) -> Person:
    if viewer.person is None:
        raise NotAllowed("Khai báo cần mã API của người quản lý công trình; mã của thiết bị chỉ gửi số đọc.")
    return viewer.person


# --- what is made -----------------------------------------------------------------------------------------------------


def _create_sensor(person: Person, said: Mapping[str, Any], work_id: int | None, now: datetime) -> Device:
    _refuse_others(said, {"name", "description", "encodingType", "metadata", "properties", "Datastreams"}, "Sensor")
    about = _properties(said, _OF_SENSORS, "Sensor")
    work = _find_work(person, work_id if work_id is not None else about.get("thing"))
    if said.get("encodingType", "text/plain") != "text/plain":
        raise QueryError("Sensor: encodingType chỉ nhận text/plain; metadata là hãng và kiểu, viết bằng chữ.")
    name = _text(said, "name", NAME_MAX, is_needed=True)
    kind, protocol = about.get("kind", Device.Kind.LOGGER), about.get("protocol", Device.Protocol.HTTP)
    if kind not in Device.Kind.values or protocol not in Device.Protocol.values:
        raise QueryError(
            f"Sensor: properties.kind là một trong {', '.join(Device.Kind.values)}; "
            f"properties.protocol là một trong {', '.join(Device.Protocol.values)}."
        )
    made, _ = device_operations.put_device(
        code=_text(about, "code", 48) or _slug(name, "-"), name=name, kind=kind, protocol=protocol, work=work,
        by=person, now=now, sender_id=_text(about, "senderId", 64), place_note=_text(about, "place", 200),
        make=_text(said, "metadata", NAME_MAX), serial=_text(about, "serial", 60), installed_at=now,
        note=_text(said, "description", DESCRIPTION_MAX),
    )  # fmt: skip
    inside = said.get("Datastreams", [])
    if not isinstance(inside, list):
        raise QueryError("Sensor: Datastreams kèm theo phải là một danh sách.")
    for each in inside:
        _create_datastream(person, _object(each, "Datastreams"), None, now, device=made)
    return made


def _create_datastream(
    person: Person, said: Mapping[str, Any], above: Entity | None, now: datetime, device: Device | None = None
) -> Channel:
    links = {"Thing", "Sensor", "ObservedProperty"}
    own = {"name", "description", "observationType", "unitOfMeasurement", "properties"}
    _refuse_others(said, own | links, "Datastream")
    about = _properties(said, frozenset(_OF_DATASTREAMS), "Datastream")
    if said.get("observationType", MEASUREMENT) != MEASUREMENT:
        raise QueryError(f"Datastream: observationType chỉ nhận {MEASUREMENT}.")
    from_above = {} if above is None else {above.kind.singular: above.id}
    quantity = QUANTITIES[_find_quantity(said.get("ObservedProperty"), from_above.get("ObservedProperty"))]
    _check_unit(said.get("unitOfMeasurement"), quantity.unit, quantity.name)
    thing = int(from_above["Thing"]) if "Thing" in from_above else _reference(said.get("Thing"), "Thing")
    if device is None:
        device = _find_device(person, said.get("Sensor"), from_above.get("Sensor"), thing, now)
    if thing is not None and device.work_id != thing:
        raise QueryError(f"Datastream: thiết bị {device.code} không thuộc công trình (Thing) {thing}.")
    name = _text(said, "name", NAME_MAX, is_needed=True)
    fields: dict[str, Any] = {field: about[sent] for sent, field in _OF_DATASTREAMS.items() if sent in about}
    _check_fields(fields)
    made, _ = device_operations.put_channel(
        device, key=fields.pop("key", "") or _slug(name, "_"), name=name, quantity=quantity.key, by=person, now=now,
        description=_text(said, "description", DESCRIPTION_MAX), **fields,
    )  # fmt: skip
    return made


def _find_work(person: Person, thing: Any) -> Work:
    """Return the work of an id or key. One that is not the person's to manage looks like one that is not there."""
    asked: dict[str, Any] = {}
    if isinstance(thing, int) and not isinstance(thing, bool) and 0 < thing < 2**31:
        asked = {"pk": thing}
    elif isinstance(thing, str) and thing:
        asked = {"subject__key": thing[:120]}
    else:
        raise QueryError(
            'Sensor: nêu công trình có thiết bị ở properties.thing ({"thing": @iot.id hoặc key của Thing}), '
            "hoặc tạo Sensor kèm trong Datastream."
        )
    work = Work.objects.select_related("subject").filter(**asked).first()
    if work is None or not access.may(person, "manage", work.pk):
        raise PermissionDenied
    return work


def _find_device(person: Person, said: Any, above: Id | None, thing: int | None, now: datetime) -> Device:
    if above is None and isinstance(said, dict) and "@iot.id" not in said:
        if thing is None:
            raise QueryError('Datastream: nêu công trình của thiết bị mới: "Thing": {"@iot.id": số}.')
        return _create_sensor(person, _object(said, "Sensors"), thing, now)
    id_ = above if above is not None else _reference(said, "Sensor")
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
    of_definition = definition.removeprefix("urn:machnuoc:quantity:") if isinstance(definition, str) else None
    for key in (said.get("@iot.id"), of_definition, by_name.get(str(said.get("name")))):
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


# --- what was said ----------------------------------------------------------------------------------------------------


def _object(body: Any, name: str) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise QueryError(f"Nội dung của {name} phải là một đối tượng JSON.")
    return body


def _refuse_others(said: Mapping[str, Any], known: set[str], name: str) -> None:
    for key, value in said.items():
        if key not in known and "@iot." not in key and value is not None:
            raise QueryError(f"{name}: «{key[:40]}» không lưu được qua SensorThings. Bỏ mục này rồi gửi lại.")


def _properties(said: Mapping[str, Any], known: frozenset[str], name: str) -> dict[str, Any]:
    about = said.get("properties") or {}
    if not isinstance(about, dict):
        raise QueryError(f"{name}: properties phải là một đối tượng JSON.")
    for key in about:
        if _SECRET.search(key):
            raise QueryError(
                f"{name}: mật khẩu và mã truy cập không đặt qua SensorThings («{key[:40]}»). Tạo thiết bị rồi cấp mã ở "
                f"{DEVICES}; mã hiện một lần cho người cấp."
            )
        if key not in known:
            raise QueryError(f"{name}: không có properties.{key[:40]}. Chỉ nhận: {', '.join(sorted(known))}.")
    return about


def _reference(said: Any, name: str) -> int | None:
    if said is None:
        return None
    id_ = said.get("@iot.id") if isinstance(said, dict) else None
    if isinstance(id_, bool) or not isinstance(id_, int) or not 0 < id_ < 2**31:
        why = f" {ELSEWHERE['Things']}" if name == "Thing" else ""
        raise QueryError(f'Datastream: {name} phải là {{"@iot.id": số}} của đối tượng đã có.{why}')
    return id_


def _text(said: Mapping[str, Any], key: str, most: int, *, is_needed: bool = False) -> str:
    value = said.get(key)
    clean = " ".join(value.split()) if isinstance(value, str) else ""
    if (value is not None and not isinstance(value, str)) or len(clean) > most or not clean.isprintable():
        raise QueryError(f"«{key}» phải là chữ, tối đa {most} ký tự.")
    if is_needed and not clean:
        raise QueryError(f"Thiếu «{key}».")
    return clean


def _slug(name: str, between: str) -> str:
    return folding.fold(name).replace(" ", between)[:48].strip(between)
