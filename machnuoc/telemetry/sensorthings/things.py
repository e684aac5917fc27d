"""Things (works) and Locations (where they stand) made and changed, by the rules of the pages of works.

Raises PermissionDenied for what is not the person's to do, WorksError and QueryError for what cannot be kept.
"""

import math
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import QueryDict
from django.utils import timezone

from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.places.models import AdministrativeUnit
from machnuoc.telemetry.sensorthings import bodies
from machnuoc.telemetry.sensorthings.options import QueryError
from machnuoc.telemetry.sensorthings.world import GEOJSON
from machnuoc.works import operations, queries
from machnuoc.works.forms import AddWork
from machnuoc.works.models import Work

NAME_MAX, NOTE_MAX = 200, 2000  # as on the pages
PLACES_MAX = 50
_OF_THINGS = frozenset({"kind", "sector", "operator", "territory", "status", "key"})
_GEOJSON_TYPES = (GEOJSON, "application/vnd.geo+json", "application/geojson", "application/json")
_SAID_AS = {"note": "description"}  # field of the page: what it is called here, where not properties.<field>


def create(person: Person, said: Mapping[str, Any]) -> Work:
    """Make a work, with where it stands if that is said. Datastreams inside are the caller's."""
    bodies.refuse_others(said, {"name", "description", "properties", "Locations", "Datastreams"}, "Thing")
    about = bodies.properties(said, _OF_THINGS, "Thing")
    for key in _OF_THINGS - {"territory"}:
        bodies.text(about, key, 120)
    inside = bodies.list_of(said, "Locations", "Thing")
    if len(inside) > 1:
        raise QueryError("Thing: mỗi công trình có một vị trí, nên Locations kèm theo có nhiều nhất một.")
    position = _position_said(inside[0]) if inside else None
    access.require(person, "manage")
    units = _find_units(about.get("territory"))
    provinces = {unit.pk if unit.level == AdministrativeUnit.Level.PROVINCE else unit.parent_id for unit in units}
    province = queries.list_provinces_managed(person).filter(pk__in=provinces).first()
    if province is None or len(provinces) > 1:
        raise PermissionDenied
    filled = QueryDict(mutable=True)
    filled.update(
        {
            "name": bodies.text(said, "name", NAME_MAX, is_needed=True),
            "note": bodies.text(said, "description", NOTE_MAX),
            "kind": about.get("kind") or "", "sector": about.get("sector") or "",
            "status": about.get("status") or Work.Status.UNKNOWN,
            "operator": _find_operator(person, about.get("operator")),
        }
    )  # fmt: skip
    filled.setlist("territories", [str(unit.pk) for unit in units if unit.level == AdministrativeUnit.Level.COMMUNE])
    form = AddWork(filled, province=province, person=person, today=timezone.localdate())
    if not form.is_valid():
        raise QueryError(f"Thing: {_fault(form)}")
    checked = form.cleaned_data
    work = operations.add_work(
        name=checked["name"], kind=checked["kind"], sector=checked["sector"], operator=checked["operator"],
        territories=form.units(), status=checked["status"], note=checked["note"], key=about.get("key") or "",
        by=person,
    )  # fmt: skip
    if position is not None:
        operations.put_position(work, position, by=person)
    return work


def find(person: Person, thing: Any, told: str) -> Work:
    """Return the work of an id or key. One that is not the person's to manage looks like one that is not there.

    told: what to say where neither is given. Raises PermissionDenied, QueryError.
    """
    asked: dict[str, Any] = {}
    if isinstance(thing, int) and not isinstance(thing, bool) and 0 < thing < 2**31:
        asked = {"pk": thing}
    elif isinstance(thing, str) and thing and thing.isprintable():
        asked = {"subject__key": thing[:120]}
    else:
        raise QueryError(told)
    work = Work.objects.select_related("subject").filter(**asked).first()
    if work is None or not access.may(person, "manage", work.pk):
        raise PermissionDenied
    return work


def _fault(form: AddWork) -> str:
    field, messages = next(iter(form.errors.items()))
    allowed = getattr(form.fields.get(field), "choices", None) if field in ("kind", "sector", "status") else None
    one_of = f" Một trong: {', '.join(key for key, _ in allowed if key)}." if allowed else ""
    name = _SAID_AS.get(field, f"properties.{'territory' if field == 'territories' else field}")
    return f"{name if field != 'name' else 'name'}: {messages[0]}{one_of}"


def _find_units(said: Any) -> list[AdministrativeUnit]:
    """Return the province or the communes that the work lies in. Unknown and former ones are told."""
    keys = said if isinstance(said, list) else [said]
    are_keys = all(isinstance(key, str) and 0 < len(key) <= 120 and key.isprintable() for key in keys)
    if not keys or len(keys) > PLACES_MAX or not are_keys:
        raise QueryError(
            "Thing: nêu công trình nằm ở đâu tại properties.territory: mã của xã, phường (hay danh sách mã), "
            "hoặc mã của tỉnh khi chưa rõ xã. Mã ở trang Địa bàn hoặc GET /api/v1/units."
        )
    found = list(AdministrativeUnit.objects.filter(subject__key__in=keys, is_in_force=True).exclude(level=_DISTRICT))
    missing = set(keys) - {unit.subject.key for unit in found}
    if missing:
        raise QueryError(f"Thing: không có xã, phường, tỉnh «{sorted(missing)[0][:60]}» đang tồn tại.")
    return found


_DISTRICT = AdministrativeUnit.Level.DISTRICT


def _find_operator(person: Person, key: str | None) -> str:
    """Return what the page would send for the organisation of a key. Raises QueryError for one out of scope."""
    if not key:
        return ""
    found = queries.list_possible_operators(person).filter(subject__key=key).values_list("pk", flat=True).first()
    if found is None:
        raise QueryError(
            f"Thing: properties.operator «{key[:60]}» không phải là mã của đơn vị vận hành trong phạm vi của bạn."
        )
    return str(found)


# --- where it stands --------------------------------------------------------------------------------------------------


def create_location(person: Person, said: Mapping[str, Any], thing: int | None) -> Work:
    """Say where a work stands; it stands nowhere else from now on. thing: of the address, if it names one."""
    position = _position_said(said)
    named = bodies.list_of(said, "Things", "Location")
    if thing is not None and not named:
        named = [{"@iot.id": thing}]
    ids = {bodies.reference(each, "Thing", "Location") for each in named}
    if len(ids) != 1 or (thing is not None and ids != {thing}):
        raise QueryError(
            'Location: nêu đúng một công trình: "Things": [{"@iot.id": số}], hoặc POST Things(số)/Locations.'
        )
    work = Work.objects.select_related("subject").filter(pk=ids.pop()).first()
    if work is None:
        raise PermissionDenied
    put_position(person, work, position)
    return work


def put_position(person: Person, work: Work, position: tuple[float, float] | None) -> None:
    access.require(person, "manage", work.subject, work.sector)
    operations.put_position(work, position, by=person)


def _position_said(said: Mapping[str, Any]) -> tuple[float, float]:
    bodies.refuse_others(said, {"name", "description", "encodingType", "location", "Things", "properties"}, "Location")
    bodies.properties(said, (), "Location")
    for key, most in (("name", NAME_MAX), ("description", NOTE_MAX)):
        bodies.text(said, key, most)
    check_encoding(said, "Location")
    return position_of(said.get("location"), "Location: location")


def check_encoding(said: Mapping[str, Any], name: str) -> None:
    if said.get("encodingType", GEOJSON) not in _GEOJSON_TYPES:
        raise QueryError(f"{name}: encodingType chỉ nhận {GEOJSON}.")


def position_of(said: Any, name: str) -> tuple[float, float]:
    """Return (latitude, longitude) of a GeoJSON Point, also in a Feature. Raises QueryError for anything else."""
    point = said.get("geometry") if isinstance(said, dict) and said.get("type") == "Feature" else said
    kind = point.get("type") if isinstance(point, dict) else None
    numbers = point.get("coordinates") if isinstance(point, dict) else None
    if kind != "Point" or not isinstance(numbers, list) or len(numbers) not in (2, 3):
        other = (
            f" Hình «{kind[:20]}» không được: vị trí là một điểm." if isinstance(kind, str) and kind != "Point" else ""
        )
        raise QueryError(
            f'{name} phải là một điểm GeoJSON: {{"type": "Point", "coordinates": [kinh độ, vĩ độ]}}.{other}'
        )
    for number in numbers:
        is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
        if not is_number or abs(number) > 1e6 or not math.isfinite(number):
            raise QueryError(f"{name}: tọa độ phải là số độ, kinh độ trước, vĩ độ sau.")
    return float(numbers[1]), float(numbers[0])


# --- what is changed --------------------------------------------------------------------------------------------------


def change(person: Person, work: Work, said: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
    """Change name, description and properties.status. shown: the Thing as it is answered; the rest must be as it is."""
    wanted: dict[str, str] = {}
    status = None
    for key, value in said.items():
        if "@iot." in key or shown.get(key) == value:
            continue
        if key == "name":
            wanted["name"] = bodies.text(said, "name", NAME_MAX, is_needed=True)
        elif key == "description":
            wanted["note"] = bodies.text(said, "description", NOTE_MAX)
        elif key == "properties":
            status = _status_said(said, shown)
        else:
            raise QueryError(_ONLY.format(key[:40]))
    if not said.keys() & {"name", "description", "properties"}:
        raise QueryError("Nội dung phải có ít nhất một trong: name, description, properties.")
    access.require(person, "manage", work.subject, work.sector)
    if wanted:
        operations.describe(work, by=person, **wanted)
    if status is not None and status != work.status:
        operations.set_status(work, status, by=person)


_ONLY = (
    "Qua SensorThings chỉ đổi được name, description và properties.status của công trình; «{}» khác với số hiện có. "
    f"Sửa ở {bodies.WORKS}."
)


def _status_said(said: Mapping[str, Any], shown: Mapping[str, Any]) -> str | None:
    about = bodies.properties(said, {*_OF_THINGS, *shown["properties"]}, "Thing")
    for key, value in about.items():
        if key not in ("status", "statusName") and shown["properties"].get(key) != value:
            raise QueryError(_ONLY.format(f"properties.{key[:40]}"))
    status = about.get("status")
    if status is None:
        return None
    if status not in Work.Status.values:
        raise QueryError(f"Thing: properties.status là một trong {', '.join(Work.Status.values)}.")
    return str(status)


def change_location(person: Person, work: Work, said: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
    """Move the work. shown: the Location as it is answered; what is said of the rest must be as it is."""
    for key, value in said.items():
        if key not in ("location", "encodingType") and "@iot." not in key and shown.get(key) != value:
            raise QueryError(f"Locations chỉ đổi được location; «{key[:40]}» khác với số hiện có.")
    if "location" not in said:
        raise QueryError("Nội dung phải có location.")
    put_position(person, work, _position_said({key: said.get(key, GEOJSON) for key in ("location", "encodingType")}))
