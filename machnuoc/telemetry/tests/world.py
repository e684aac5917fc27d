"""A station with devices, for the tests of this room."""

from datetime import UTC, datetime
from typing import Any

from machnuoc.core.models import Person
from machnuoc.places.models import Containment, Subject
from machnuoc.telemetry.models import Channel, Device
from machnuoc.telemetry.quantities import QUANTITIES
from machnuoc.works.models import Work

INSTALLED = datetime(2026, 1, 1, tzinfo=UTC)


def make_work(key: str = "tram-thu", name: str = "Trạm thử") -> Work:
    subject = Subject.objects.create(key=key, kind=Subject.Kind.WORK, name=name)
    Containment.objects.create(ancestor=subject, descendant=subject)
    return Work.objects.create(subject=subject, kind=Work.Kind.STATION, sector=Work.Sector.RURAL)


def make_device(work: Work, code: str = "log-1", **fields: Any) -> Device:
    about: dict[str, Any] = {
        "name": f"Bộ ghi {code}", "kind": Device.Kind.LOGGER, "protocol": Device.Protocol.MQTT,
        "installed_at": INSTALLED,
    }  # fmt: skip
    return Device.objects.create(code=code, work=work, **{**about, **fields})


def make_channel(device: Device, key: str, quantity: str, **fields: Any) -> Channel:
    about = QUANTITIES[quantity]
    given: dict[str, Any] = {
        "name": f"{about.name} {key}", "sent_unit": about.unit, "low": about.low, "high": about.high,
        "expected_interval_s": 300,
    }  # fmt: skip
    return Channel.objects.create(device=device, key=key, quantity=quantity, **{**given, **fields})


def make_person(username: str = "nguoi-quyet") -> Person:
    return Person.objects.create(username=username, full_name="Người quyết định")
