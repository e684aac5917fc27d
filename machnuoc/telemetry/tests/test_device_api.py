"""Devices, readings, alarms and the ledger for programs."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from machnuoc.core import tokens
from machnuoc.telemetry.models import Channel
from machnuoc.telemetry.tests.desk import make_alarm, person
from machnuoc.telemetry.tests.desk import station as station

pytestmark = pytest.mark.django_db
ROOT = "/api/v1/telemetry"


def program(username: str) -> Client:
    _, raw = tokens.create_token(person=person(username), name="thử", now=timezone.now(), can_write=True)
    return Client(headers={"Authorization": f"Bearer {raw}"})


def test_a_program_reads_devices_channels_and_what_they_measured_last(station):
    client = program("qn.binhchanh")

    devices = client.get(f"{ROOT}/devices").json()["items"]
    channels = client.get(f"{ROOT}/channels?limit=2").json()
    rest = client.get(f"{ROOT}/channels?limit=2&cursor={channels['next_cursor']}").json()
    latest = {row["key"]: row for row in client.get(f"{ROOT}/latest?device_code=bc-01").json()["items"]}

    assert [(row["code"], row["state"], row["battery_pct"]) for row in devices] == [("bc-01", "ok", 61.0)]
    assert [row["key"] for row in channels["items"] + rest["items"]] == ["flow", "pressure", "total"]
    assert (latest["pressure"]["value"], latest["pressure"]["unit"], latest["total"]["at"]) == (4.2, "mH2O", None)
    assert program("cb.capnuoc").get(f"{ROOT}/devices").json()["items"] == []


def test_a_series_has_an_etag_and_its_span_must_run_forward(station):
    client, channel = program("qn.binhchanh"), Channel.objects.get(key="flow")
    now = timezone.now()
    span = {"from_at": (now - timedelta(hours=4)).isoformat(), "to_at": now.isoformat()}
    address = f"{ROOT}/channels/{channel.pk}/series"

    answer = client.get(address, span)
    again = client.get(address, span, headers={"If-None-Match": answer["ETag"]})

    assert len(answer.json()["at"]) == 36
    assert again.status_code == 304
    assert client.get(address, {"from_at": span["to_at"], "to_at": span["from_at"]}).status_code == 422
    assert client.get(f"{ROOT}/channels/{'9' * 30}/series", span).status_code == 404
    assert program("cb.capnuoc").get(address, span).status_code == 404


def test_an_alarm_is_acknowledged_once(station):
    alarm = make_alarm(station, timezone.now())
    client = program("qn.binhchanh")

    assert [row["id"] for row in client.get(f"{ROOT}/alarms").json()["items"]] == [alarm.pk]
    first = client.post(f"{ROOT}/alarms/{alarm.pk}/ack", {"note": "Đang đi"}, content_type="application/json")
    second = client.post(f"{ROOT}/alarms/{alarm.pk}/ack", {}, content_type="application/json")

    assert first.json() == {"acknowledged": 1, "state": "ACTIVE_ACKED"}
    assert second.status_code == 409
    assert "đã có người nhận" in second.json()["detail"]
    denied = program("qn.lanhdao").post(f"{ROOT}/alarms/{alarm.pk}/ack", {}, content_type="application/json")
    assert denied.status_code == 403


def test_the_ledger_closes(station):
    today = timezone.localdate()
    span = {"from_date": str(today - timedelta(days=1)), "to_date": str(today)}

    found = program("qn.binhchanh").get(f"{ROOT}/ledger", span).json()

    assert found["is_closed"]
    assert sum(row["received"] for row in found["rows"]) == 72
    wrong = program("qn.binhchanh").get(f"{ROOT}/ledger", {"from_date": span["to_date"], "to_date": span["from_date"]})
    assert wrong.status_code == 422
