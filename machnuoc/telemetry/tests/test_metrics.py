"""Figures for the monitoring: right, and not for everybody."""

import re

import pytest
from django.utils import timezone

from machnuoc.telemetry import metrics, receive
from machnuoc.telemetry.payloads import Message
from machnuoc.telemetry.tests import making

TOKEN = "mot-chuoi-bi-mat-dai-hon-ba-muoi-hai-ky-tu"


def _figures(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^(machnuoc\S+) (\S+)$", text, re.MULTILINE)}


@pytest.mark.django_db
def test_what_was_received_is_told_under_its_outcome_and_the_ledger_closes(clean_store, client):
    now_ms = int(timezone.now().timestamp() * 1000)
    making.make_channel(making.make_device("a1"), "p")
    good = Message("machnuoc/v1/a1/up", b'{"t":%d,"v":{"p":30}}' % (now_ms - 5_000), now_ms)
    stranger = Message("machnuoc/v1/nobody/up", b'{"t":%d,"v":{"p":30}}' % now_ms, now_ms)
    rubbish = Message("machnuoc/v1/a1/up", b"\xff\xfe", now_ms)

    receive.take([good, good, stranger, rubbish], now_ms)
    answer = client.get("/metrics")
    found = _figures(answer.content.decode())

    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    assert found["machnuoc_readings_received_24h"] == 4
    assert found['machnuoc_readings_24h{outcome="stored"}'] == 1
    assert found['machnuoc_readings_24h{outcome="duplicate"}'] == 1
    assert found['machnuoc_readings_24h{outcome="rejected"}'] == 1
    assert found['machnuoc_readings_24h{outcome="quarantined"}'] == 1
    assert found["machnuoc_ledger_open_24h"] == 0
    assert found['machnuoc_waiting{queue="hours"}'] == 1
    assert found["machnuoc_quarantine_new"] == 1
    assert 0 <= found["machnuoc_last_received_age_seconds"] < 60


@pytest.mark.django_db
def test_a_ledger_that_does_not_close_shows(clean_store):
    hour = int(timezone.now().timestamp() * 1000) // clean_store.HOUR_MS * clean_store.HOUR_MS
    with clean_store.transaction() as cursor:
        for device, received in ((1, 5), (2, 1)):  # one short, one over: they must not hide each other
            cursor.execute(
                clean_store.adapt("INSERT INTO telemetry_ledger (device, hour, received, stored) VALUES (?, ?, ?, 3)"),
                (device, hour, received),
            )

    assert metrics.count_ledger(hour)["open"] == 4


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"REMOTE_ADDR": "127.0.0.1"}, 200),
        ({"REMOTE_ADDR": "::1"}, 200),
        ({"REMOTE_ADDR": "10.0.0.7"}, 403),
        ({"REMOTE_ADDR": "10.0.0.7", "HTTP_AUTHORIZATION": f"Bearer {TOKEN}"}, 200),
        ({"REMOTE_ADDR": "10.0.0.7", "HTTP_AUTHORIZATION": f"Bearer {TOKEN}x"}, 403),
        ({"REMOTE_ADDR": "10.0.0.7", "HTTP_AUTHORIZATION": "Bearer "}, 403),
        ({"REMOTE_ADDR": "10.0.0.7", "HTTP_AUTHORIZATION": "Bearer khóa"}, 403),
    ],
)
def test_strangers_need_the_token(clean_store, client, settings, options, status):
    settings.METRICS_TOKEN = TOKEN

    assert client.get("/metrics", **options).status_code == status


@pytest.mark.django_db
def test_behind_a_front_server_who_asks_from_elsewhere_is_not_this_machine(clean_store, client, settings):
    settings.IS_BEHIND_PROXY = True

    asked = client.get("/metrics", REMOTE_ADDR="127.0.0.1", HTTP_X_FORWARDED_FOR="127.0.0.1, 203.0.113.9")

    assert asked.status_code == 403
