"""ObservedProperties: own quantities made, changed and deleted by who keeps the catalogue; built-in ones stand.

Raises PermissionDenied, QuantityError (InUse for what stands in the way), QueryError.
"""

from collections.abc import Mapping
from typing import Any

from machnuoc.core.models import Person
from machnuoc.telemetry import quantity_operations
from machnuoc.telemetry.models import OwnQuantity
from machnuoc.telemetry.quantities import BUILT_IN
from machnuoc.telemetry.sensorthings import bodies
from machnuoc.telemetry.sensorthings.options import QueryError

URN = "urn:machnuoc:quantity:"
_FIELDS = {
    "unit": "unit", "kind": "kind", "low": "low", "high": "high", "decimals": "decimals",
    "acceptedUnits": "accepted_units",
}  # fmt: skip


def create(person: Person, said: Mapping[str, Any]) -> str:
    """Make an own quantity and return its key."""
    bodies.refuse_others(said, {"name", "definition", "description", "properties"}, "ObservedProperty")
    about = bodies.properties(said, {*_FIELDS, "key"}, "ObservedProperty")
    name = bodies.text(said, "name", 80, is_needed=True)
    key = bodies.text(about, "key", 40) or bodies.slug(name, "_")[:16].strip("_")
    values = _values(about)
    missing = [name for name, field in _FIELDS.items() if field in ("unit", "low", "high") and field not in values]
    if missing:
        raise QueryError(
            f"ObservedProperty: thiếu properties.{missing[0]}. Đại lượng mới cần đơn vị lưu (unit) và khoảng tin được "
            "của đầu đo (low, high) theo đơn vị ấy."
        )
    definition = bodies.text(said, "definition", 300)
    made = quantity_operations.put_quantity(
        key=key, name=name, definition="" if definition == URN + key else definition,
        description=bodies.text(said, "description", 300), by=person, **values,
    )  # fmt: skip
    return made.key


def change(person: Person, key: str, said: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
    """Change an own quantity. shown: the ObservedProperty as it is answered; its key must be as it is."""
    bodies.refuse_others(said, {"name", "definition", "description", "properties", "Datastreams"}, "ObservedProperty")
    row = _find_own(key)
    about = bodies.properties(said, {*_FIELDS, "key"}, "ObservedProperty")
    if about.get("key", key) != key or "Datastreams" in said:
        raise QueryError("ObservedProperty: key và Datastreams không đổi được.")
    if not said.keys() & {"name", "definition", "description", "properties"}:
        raise QueryError("Nội dung phải có ít nhất một trong: name, definition, description, properties.")
    values: dict[str, Any] = {
        field: getattr(row, field)
        for field in (*_FIELDS.values(), "name", "definition", "description")
    }  # fmt: skip
    values |= _values(about)
    for field, most in (("name", 80), ("definition", 300), ("description", 300)):
        if field in said and said[field] != shown.get(field):
            values[field] = bodies.text(said, field, most, is_needed=field == "name")
    quantity_operations.put_quantity(key=key, row=row, by=person, **values)


def delete(person: Person, key: str) -> None:
    quantity_operations.delete_quantity(_find_own(key), by=person)


def _find_own(key: str) -> OwnQuantity:
    row = OwnQuantity.objects.filter(key=key).first()
    if row is None:
        why = "có sẵn trong chương trình" if key in BUILT_IN else "không còn trong danh mục"
        raise quantity_operations.InUse(
            f"Đại lượng «{key}» {why}, nên không sửa, không xóa được. Cần khác thì tạo đại lượng mới bằng POST "
            "ObservedProperties."
        )
    return row


def _values(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that properties say. Raises QueryError for a value of another kind."""
    found: dict[str, Any] = {}
    for name, field in _FIELDS.items():
        if name not in about:
            continue
        value = about[name]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15
        if field in ("low", "high"):
            is_good, value = is_number, float(value) if is_number else value
        elif field == "decimals":
            is_good = is_number and isinstance(value, int)
        elif field == "accepted_units":
            is_good = isinstance(value, list) and all(isinstance(each, str) for each in value)
        else:
            is_good = isinstance(value, str)
        if not is_good:
            raise QueryError(f"ObservedProperty: giá trị của properties.{name} không đúng kiểu.")
        found[field] = value
    return found
