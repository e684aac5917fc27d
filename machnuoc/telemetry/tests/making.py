"""Works, devices and channels for tests of this room."""

from typing import Any

from machnuoc.places.models import Subject
from machnuoc.telemetry.models import Channel, Device
from machnuoc.telemetry.quantities import QUANTITIES
from machnuoc.works.models import Work


def make_work(key: str = "work.test") -> Work:
    subject, _ = Subject.objects.get_or_create(
        key=key, defaults={"kind": Subject.Kind.WORK, "name": "Trạm cấp nước Bình Chánh"}
    )
    work, _ = Work.objects.get_or_create(subject=subject, defaults={"kind": Work.Kind.STATION, "sector": "RURAL"})
    return work


def make_device(code: str, work: Work | None = None, **fields: Any) -> Device:
    fields = {"name": code, "kind": Device.Kind.LOGGER, "protocol": Device.Protocol.MQTT, **fields}
    return Device.objects.create(code=code, work=work or make_work(), **fields)


def make_channel(device: Device, key: str, quantity: str = "pressure", **fields: Any) -> Channel:
    about = QUANTITIES[quantity]
    fields = {"name": key, "sent_unit": about.unit, "low": about.low, "high": about.high, **fields}
    return Channel.objects.create(device=device, key=key, quantity=quantity, **fields)
