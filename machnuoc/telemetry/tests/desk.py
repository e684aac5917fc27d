"""A station of the demonstration with devices, readings, alarms: for tests of the pages."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from machnuoc.core.models import Person
from machnuoc.telemetry import device_operations, payloads, receive
from machnuoc.telemetry.models import Alarm, AlarmRule, AlarmStep, Channel, Device
from machnuoc.works.models import Work

STATION = "Trạm Bình Chánh"


def sign_in(username: str) -> Client:
    client = Client()
    client.force_login(Person.objects.get(username=username), backend="django.contrib.auth.backends.ModelBackend")
    return client


def person(username: str) -> Person:
    return Person.objects.get(username=username)


def make_device(code: str = "bc-01", *, work: Work | None = None, now: datetime | None = None) -> Device:
    now = now or timezone.now()
    device, _ = device_operations.put_device(
        code=code, name="Bộ ghi Bình Chánh", kind="LOGGER", protocol="MQTT", by=None, now=now,
        work=work or Work.objects.get(subject__name=STATION, operator__isnull=False),
        installed_at=now - timedelta(days=90),
    )  # fmt: skip
    device_operations.put_channel(
        device, key="flow", name="Lưu lượng ra", quantity="flow", point="OUTLET", by=None, now=now
    )
    device_operations.put_channel(
        device, key="pressure", name="Áp lực bất lợi", quantity="pressure", point="CRITICAL", minimum=6.0,
        role="CONTINUITY", by=None, now=now,
    )  # fmt: skip
    device_operations.put_channel(device, key="total", name="Số tổng", quantity="volume", by=None, now=now)
    return device


def send(device: Device, text: str, now: datetime) -> receive.Receipt:
    topic = f"machnuoc/v1/{device.code}/up"
    return receive.take([payloads.Message(topic, text.encode(), payloads.to_ms(now), device.code)], payloads.to_ms(now))


def send_hours(device: Device, now: datetime, hours: int = 3) -> None:
    """Send a reading every five minutes; the pressure falls at the end."""
    for step in range(hours * 12, 0, -1):
        at = now - timedelta(minutes=5 * step)
        pressure = 4.2 if step < 6 else 15.5
        send(device, f'{{"t": {payloads.to_ms(at)}, "v": {{"flow": 12.5, "pressure": {pressure}}}, "battery": 61}}', at)


def make_alarm(device: Device, now: datetime, **changes: object) -> Alarm:
    """Raise an alarm by hand, as the engine would."""
    channel = Channel.objects.get(device=device, key="pressure")
    rule: Any = changes.get("rule") or AlarmRule.objects.get(key=f"{channel.pk}.default.limit")
    fields = {
        "work": device.work, "began_at": now - timedelta(minutes=25), "raised_at": now - timedelta(minutes=20),
        "state": Alarm.State.ACTIVE_UNACKED, "priority": rule.priority, "peak": 4.2, "changed_at": now,
        "text": "Áp lực bất lợi 4,2 mH₂O, ngưỡng ≥ 6,0",
    }  # fmt: skip
    alarm = Alarm.objects.create(**{"rule": rule, **fields, **changes})
    AlarmStep.objects.create(alarm=alarm, what="RAISED", at=alarm.raised_at)
    return alarm


@pytest.fixture
def station(demo_data, clean_store):
    """Give a device of Trạm Bình Chánh that has sent three hours of readings."""
    now = timezone.now()
    device = make_device(now=now)
    send_hours(device, now)
    return device


__all__ = ["make_alarm", "make_device", "person", "send", "send_hours", "sign_in", "station"]
