"""Own quantities: entered, changed and deleted by who administers the program; read into quantities.QUANTITIES."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction

from machnuoc.core import audit, folding, units
from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.telemetry.models import Channel, OwnQuantity, QualityLimit
from machnuoc.telemetry.quantities import BUILT_IN, QUANTITIES, ChannelKind, Quantity

LARGEST = 1e12
DECIMALS_MOST = 6
_KEY = re.compile(r"[a-z][a-z0-9_]{1,15}", re.ASCII)
_DEFINITION = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+", re.ASCII)


class QuantityError(ValueError):
    """A quantity that cannot be kept so; the text says why and what to do."""


class InUse(QuantityError):
    """A quantity that cannot be changed so, or deleted, since something is built on it."""


def load() -> Iterable[Quantity]:
    """Return the own quantities as stored."""
    return [
        Quantity(
            row.key, row.name, row.unit, ChannelKind(row.kind), row.low, row.high, row.decimals,
            tuple(row.accepted_units), is_own=True, definition=row.definition, description=row.description,
        )
        for row in OwnQuantity.objects.all()
    ]  # fmt: skip


def may_change(person: Person) -> bool:
    """Return whether the person keeps the catalogue, which is one for the whole country, as that of indicators is."""
    return access.sees_everything(person, "administer")


def hold(key: str) -> bool:
    """Return whether the quantity is there, and keep an own one from being deleted until the transaction ends."""
    if key in BUILT_IN:
        return True
    return bool(OwnQuantity.objects.select_for_update().filter(key=key).values_list("pk", flat=True))


@transaction.atomic
def put_quantity(
    *,
    key: str,
    name: str,
    unit: str,
    low: float,
    high: float,
    by: Person,
    kind: str = ChannelKind.INSTANT,
    decimals: int = 2,
    definition: str = "",
    description: str = "",
    accepted_units: Sequence[str] = (),
    row: OwnQuantity | None = None,
) -> OwnQuantity:
    """Enter an own quantity, or bring the given one to what is said. Its key stays.

    low, high: believable span in the stored unit. Raises QuantityError, PermissionDenied.
    """
    _require(by)
    values: dict[str, Any] = {
        "name": " ".join(name.split()), "unit": unit, "kind": kind, "low": low, "high": high, "decimals": decimals,
        "definition": definition.strip(), "description": description.strip(), "accepted_units": list(accepted_units),
    }  # fmt: skip
    if row is None:
        if not _KEY.fullmatch(key):
            raise QuantityError(
                f"Khóa «{key[:40]}» không dùng được: chữ thường không dấu, số và «_», bắt đầu bằng chữ, 2 đến 16 ký tự."
            )
        if key in BUILT_IN or OwnQuantity.objects.filter(key=key).exists():
            raise QuantityError(f"Khóa «{key}» đã có. Chọn khóa khác, hoặc dùng đại lượng sẵn có.")
        made = OwnQuantity(key=key)
    else:
        made = OwnQuantity.objects.select_for_update().get(pk=row.pk)
        _require_unused(made, values)
    QUANTITIES.forget()  # names and definitions are compared with those that are there now
    _check(made, **values)
    if made.pk is not None and all(getattr(made, field) == value for field, value in values.items()):
        return made
    is_new = made.pk is None
    for field, value in values.items():
        setattr(made, field, value)
    made.save()
    audit.record("telemetry.quantity.saved", actor=by, target=made, key=made.key, created=is_new)
    QUANTITIES.forget()
    return made


@transaction.atomic
def delete_quantity(row: OwnQuantity, *, by: Person) -> None:
    """Delete an own quantity that nothing uses. Raises QuantityError, PermissionDenied."""
    _require(by)
    row = OwnQuantity.objects.select_for_update().get(pk=row.pk)
    if (used := is_used(row.key)) is not None:
        raise InUse(f"Đại lượng «{row}» đang có {used}, nên không xóa được. Sửa tên, mô tả thì được.")
    audit.record("telemetry.quantity.deleted", actor=by, target=row, key=row.key)
    row.delete()
    QUANTITIES.forget()


def is_used(key: str) -> str | None:
    """Return by what a quantity is used, None if by nothing."""
    if Channel.objects.filter(quantity=key).exists():
        return "kênh đo"
    return "giới hạn chất lượng" if QualityLimit.objects.filter(quantity=key).exists() else None


def _require(by: Person) -> None:
    if not may_change(by):
        raise PermissionDenied("Danh mục đại lượng do quản trị viên của cả hệ thống thêm, sửa.")


def _require_unused(row: OwnQuantity, values: dict[str, Any]) -> None:
    sent = set(Channel.objects.filter(quantity=row.key).values_list("sent_unit", flat=True)) - {row.unit}
    lost = sent - set(values["accepted_units"])
    if lost:
        raise InUse(f"Đang có kênh của «{row}» gửi theo {units.label(lost.pop())}: giữ đơn vị này trong danh sách.")
    if (row.unit, row.kind) != (values["unit"], values["kind"]) and (used := is_used(row.key)) is not None:
        raise InUse(
            f"Đại lượng «{row}» đang có {used}: không đổi được đơn vị và loại, số cũ sẽ sai nghĩa. Thêm đại lượng mới."
        )


def _check(
    made: OwnQuantity,
    *,
    name: str,
    unit: str,
    kind: str,
    low: float,
    high: float,
    decimals: int,
    definition: str,
    description: str,
    accepted_units: list[str],
) -> None:
    if not name or len(name) > 80 or not name.isprintable():
        raise QuantityError("Tên đại lượng cần từ 1 đến 80 ký tự.")
    others = [each for each in QUANTITIES.values() if each.key != made.key]
    twin = next((each for each in others if folding.fold(name) in (folding.fold(each.name), each.key)), None)
    if twin is not None:
        raise QuantityError(f"Đã có đại lượng «{twin.name}» (khóa {twin.key}). Đặt tên khác hẳn để không nhầm.")
    if unit not in units.UNITS:
        raise QuantityError(f"Không có đơn vị «{unit[:20]}». Các đơn vị dùng được: {', '.join(units.UNITS)}.")
    for each in accepted_units:
        if each not in units.UNITS or each == unit or not units.same_dimension(each, unit):
            raise QuantityError(
                f"Thiết bị không gửi được theo «{each[:20]}»: phải là đơn vị khác, đổi được ra «{unit}»."
            )
    if len(set(accepted_units)) < len(accepted_units):
        raise QuantityError("Một đơn vị được kể hai lần. Bỏ bớt một.")
    if kind not in OwnQuantity.Kind.values:
        raise QuantityError(f"Loại đại lượng là một trong: {', '.join(OwnQuantity.Kind.values)}.")
    if not all(math.isfinite(edge) and abs(edge) <= LARGEST for edge in (low, high)) or low >= high:
        raise QuantityError("Khoảng tin được phải có mức dưới nhỏ hơn mức trên.")
    if not 0 <= decimals <= DECIMALS_MOST:
        raise QuantityError(f"Số chữ số lẻ từ 0 đến {DECIMALS_MOST}.")
    if len(description) > 300:
        raise QuantityError("Mô tả dài quá 300 ký tự.")
    if definition and (len(definition) > 300 or not _DEFINITION.fullmatch(definition)):
        raise QuantityError(
            "Định nghĩa phải là một địa chỉ (URI), ví dụ http://qudt.org/… hoặc urn:…, tối đa 300 ký tự."
        )
    if definition and any(definition in (each.definition, f"urn:machnuoc:quantity:{each.key}") for each in others):
        raise QuantityError("Định nghĩa này đã là của một đại lượng khác. Dùng đại lượng ấy.")


audit.describe("telemetry.quantity.saved", "lưu đại lượng {key}")
audit.describe("telemetry.quantity.deleted", "xóa đại lượng {key}")
