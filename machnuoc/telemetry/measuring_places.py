"""Places of a work at which its channels measure: made, changed, deleted, given to channels.

Each act with its audit row. Rights: who manages the work.
"""

from django.db import IntegrityError, transaction

from machnuoc.core import audit
from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.telemetry.device_operations import DeviceError
from machnuoc.telemetry.models import Channel, MeasuringPlace
from machnuoc.works.models import Work
from machnuoc.works.operations import LATITUDES, LONGITUDES

NAME_MAX, DESCRIPTION_MAX = 120, 300


@transaction.atomic
def put_place(
    work: Work,
    *,
    name: str,
    description: str,
    position: tuple[float, float],
    by: Person,
    place: MeasuringPlace | None = None,
) -> MeasuringPlace:
    """Enter a place of the work, or bring the given one to what is said here. position: (latitude, longitude), degrees.

    Raises DeviceError, PermissionDenied.
    """
    access.require(by, "manage", work.pk)
    name = " ".join(name.split())
    if not name or len(name) > NAME_MAX or not name.isprintable():
        raise DeviceError(f"Nơi đo của «{work}»: tên phải có từ 1 đến {NAME_MAX} ký tự.")
    latitude, longitude = position
    if not (LATITUDES[0] <= latitude <= LATITUDES[1] and LONGITUDES[0] <= longitude <= LONGITUDES[1]):
        raise DeviceError(
            f"Nơi đo «{name}» ở ngoài Việt Nam: vĩ độ từ {LATITUDES[0]} đến {LATITUDES[1]}, kinh độ từ "
            f"{LONGITUDES[0]} đến {LONGITUDES[1]}. Kiểm tra thứ tự kinh độ, vĩ độ."
        )
    is_new = place is None
    place = MeasuringPlace(work=work) if place is None else MeasuringPlace.objects.select_for_update().get(pk=place.pk)
    place.name, place.description, place.latitude, place.longitude = name, description, latitude, longitude
    try:
        with transaction.atomic():
            place.save()
    except IntegrityError:
        raise DeviceError(
            f"Công trình «{work}» đã có nơi đo tên «{name}». Dùng nơi đã có, hoặc chọn tên khác."
        ) from None
    audit.record("telemetry.place.saved", actor=by, target=place, work=str(work), created=is_new)
    return place


@transaction.atomic
def delete_place(place: MeasuringPlace, *, by: Person) -> None:
    """Delete a place at which no channel measures. Raises DeviceError, PermissionDenied."""
    access.require(by, "manage", place.work_id)
    place = MeasuringPlace.objects.select_for_update(of=("self",)).select_related("work__subject").get(pk=place.pk)
    used = [f"{each.key} của {each.device.code}" for each in place.channels.select_related("device")]
    if used:
        more = f" và {len(used) - 1} kênh khác" if len(used) > 1 else ""
        raise DeviceError(
            f"Nơi đo «{place}» đang dùng cho kênh {used[0]}{more}, nên không xóa được. Chuyển các kênh ấy sang nơi đo "
            "khác rồi xóa."
        )
    audit.record("telemetry.place.deleted", actor=by, target=place, name=place.name, work=str(place.work))
    place.delete()


@transaction.atomic
def assign(channel: Channel, place: MeasuringPlace | None, *, by: Person) -> None:
    """Say at which place of its work a channel measures, None for the work itself. Idempotent.

    Raises DeviceError, PermissionDenied.
    """
    channel = Channel.objects.select_for_update(of=("self",)).select_related("device").get(pk=channel.pk)
    access.require(by, "manage", channel.device.work_id)
    if place is not None:
        place = MeasuringPlace.objects.select_for_update().filter(pk=place.pk).first()
        if place is None or place.work_id != channel.device.work_id:
            raise DeviceError(f"Kênh {channel.key}: nơi đo này không có ở công trình của kênh. Chọn nơi khác.")
    if channel.feature_id == (None if place is None else place.pk):
        return
    channel.feature = place
    channel.save(update_fields=["feature"])
    audit.record(
        "telemetry.channel.placed", actor=by, target=channel, device=channel.device.code,
        place="công trình" if place is None else place.name,
    )  # fmt: skip


audit.describe("telemetry.place.saved", "lưu nơi đo {target} của {work}")
audit.describe("telemetry.place.deleted", "xóa nơi đo {name} của {work}")
audit.describe("telemetry.channel.placed", "đặt nơi đo của kênh {target} (thiết bị {device}): {place}")
