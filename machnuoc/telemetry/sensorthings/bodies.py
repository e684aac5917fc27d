"""What the body of a request says of an entity: objects, texts, references, properties. Pure; QueryError for the rest.

Secrets are not made through SensorThings: they are shown once, to a person, on the page of the device.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from machnuoc.core import folding
from machnuoc.telemetry.sensorthings.options import QueryError

DEVICES = "trang Giám sát › Thiết bị (/giam-sat/thiet-bi/)"
WORKS = "trang Công trình (/cong-trinh/)"
NAME_MAX, DESCRIPTION_MAX = 120, 300
_SECRET = re.compile(r"passw|secret|token|credential|apikey|api_key|mat_?khau", re.IGNORECASE)


def object_of(body: Any, name: str) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise QueryError(f"Nội dung của {name} phải là một đối tượng JSON.")
    return body


def list_of(said: Mapping[str, Any], key: str, name: str) -> list[dict[str, Any]]:
    """Return the entities inside another one, none where nothing is said."""
    inside = said.get(key)
    if inside is None:
        return []
    if not isinstance(inside, list):
        raise QueryError(f"{name}: {key} kèm theo phải là một danh sách.")
    return [object_of(each, key) for each in inside]


def refuse_others(said: Mapping[str, Any], known: Collection[str], name: str) -> None:
    for key, value in said.items():
        if key not in known and "@iot." not in key and value is not None:
            raise QueryError(f"{name}: «{key[:40]}» không lưu được qua SensorThings. Bỏ mục này rồi gửi lại.")


def properties(said: Mapping[str, Any], known: Collection[str], name: str) -> dict[str, Any]:
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


def reference(said: Any, name: str, of: str = "Datastream") -> int | None:
    """Return the number of an entity that is there already, None where nothing is said."""
    if said is None:
        return None
    id_ = said.get("@iot.id") if isinstance(said, dict) else None
    if isinstance(id_, bool) or not isinstance(id_, int) or not 0 < id_ < 2**31:
        raise QueryError(
            f'{of}: {name} phải là {{"@iot.id": số}} của đối tượng đã có'
            + (", hoặc tạo bằng POST Things trước." if name == "Thing" else ".")
        )
    return id_


def text(said: Mapping[str, Any], key: str, most: int, *, is_needed: bool = False) -> str:
    value = said.get(key)
    clean = " ".join(value.split()) if isinstance(value, str) else ""
    if (value is not None and not isinstance(value, str)) or len(clean) > most or not clean.isprintable():
        raise QueryError(f"«{key}» phải là chữ, tối đa {most} ký tự.")
    if is_needed and not clean:
        raise QueryError(f"Thiếu «{key}».")
    return clean


def slug(name: str, between: str) -> str:
    return folding.fold(name).replace(" ", between)[:48].strip(between)
