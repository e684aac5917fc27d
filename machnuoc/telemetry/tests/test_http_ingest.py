import json
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from machnuoc.core import tokens
from machnuoc.telemetry import payloads, store
from machnuoc.telemetry.models import Credential
from machnuoc.telemetry.tests.making import make_channel, make_device

pytestmark = pytest.mark.usefixtures("clean_store")

ADDRESS = "/api/v1/telemetry/readings"
AT = "2026-01-05T00:00:00Z"


@pytest.fixture
def device(db):
    made = make_device("binh-chanh-1", clock_offset_min=420)
    make_channel(made, "p")
    return made


@pytest.fixture
def credential(device):
    return Credential.objects.create(
        device=device, broker_hash="", token_sha256=tokens.hash_token("mn-token"), made_at=timezone.now()
    )


def post(body: bytes | object, *, token: str, key: str = "lo-1", content_type: str = "application/json"):
    headers = {"Authorization": f"Bearer {token}", **({"Idempotency-Key": key} if key else {})}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Client(enforce_csrf_checks=True).post(ADDRESS, data, content_type=content_type, headers=headers)


@pytest.fixture
def token(credential):
    return "mn-token"


def rows(what: str) -> list[tuple[object, ...]]:
    return store.query(f"SELECT {what} FROM telemetry_reading ORDER BY channel, at")  # noqa: S608 - our own words


def test_a_batch_is_answered_with_its_counts_after_it_is_stored(token):
    response = post([{"t": AT, "v": {"p": 3}}, {"t": AT, "v": {"p": 4, "x": 1}}], token=token)

    assert response.status_code == 200
    assert response.json() == {
        "received": 3, "stored": 1, "corrected": 1, "duplicate": 0, "rejected": 1, "quarantined": 0,
        "reasons": [{"key": "unknown_channel", "text": "Thiết bị không có kênh mang khóa này", "readings": 1}],
    }  # fmt: skip
    assert rows("value") == [(4.0,)]


def test_lines_of_a_logger_are_taken_too(token):
    response = post(b"2026-01-05 07:00:00;p;3", token=token, content_type="text/csv; charset=utf-8")

    assert response.json()["stored"] == 1
    assert rows("at") == [(payloads.to_ms(datetime(2026, 1, 5, tzinfo=UTC)),)]


def test_a_batch_that_is_sent_again_is_stored_once_and_answered_the_same(token):
    first = post({"t": AT, "v": {"p": 3}}, token=token)
    again = post({"t": AT, "v": {"p": 3}}, token=token)
    other = post({"t": AT, "v": {"p": 5}}, token=token)
    next_one = post({"t": AT, "v": {"p": 3}}, token=token, key="lo-2")

    assert again.json() == first.json()
    assert again["Idempotency-Replayed"] == "true"
    assert other.status_code == 422
    assert next_one.json()["duplicate"] == 1
    assert store.query("SELECT received, stored, duplicate FROM telemetry_ledger") == [(2, 1, 1)]


def test_a_key_belongs_to_its_device(token, device):
    other = make_device("nghia-phu-1", device.work)
    make_channel(other, "p")
    Credential.objects.create(
        device=other, broker_hash="", token_sha256=tokens.hash_token("kia"), made_at=timezone.now()
    )

    post({"t": AT, "v": {"p": 3}}, token=token)
    response = post({"t": AT, "v": {"p": 4}}, token="kia")

    assert response.json()["stored"] == 1
    assert rows("value") == [(3.0,), (4.0,)]


@pytest.mark.parametrize("change", ["expires_at", "revoked_at"])
def test_a_token_that_is_over_opens_nothing_and_is_counted(token, credential, device, change):
    setattr(credential, change, timezone.now() - timedelta(seconds=1))
    credential.save()

    response = post({"t": AT, "v": {"p": 3}}, token=token)

    assert response.status_code == 401
    assert "hết hạn hoặc bị thu hồi" in response.json()["detail"]
    assert rows("value") == []
    assert store.query("SELECT device, reason, readings FROM telemetry_rejection") == [(device.pk, "expired", 1)]
    assert store.query("SELECT received, rejected FROM telemetry_ledger") == [(1, 1)]


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"token": "sai"}, 401), ({"token": ""}, 401), ({"key": ""}, 400), ({"key": "x" * 201}, 400),
     ({"content_type": "application/xml"}, 415)],
)  # fmt: skip
def test_what_is_wrong_with_the_request_is_said(token, changes, status):
    response = post({"t": AT, "v": {"p": 3}}, **{"token": token, **changes})

    assert response.status_code == status
    assert response["Content-Type"].startswith("application/problem+json")
    assert response.json()["detail"]
    assert rows("value") == []


def test_only_posts_are_taken(db):
    response = Client().get(ADDRESS)

    assert (response.status_code, response["Allow"]) == (405, "POST")


@pytest.mark.parametrize(("size", "status"), [(payloads.MAX_PAYLOAD_BYTES + 1, 413), (10 * 1024 * 1024, 400)])
def test_a_batch_beyond_the_limit_is_refused(token, size, status):
    response = post(b" " * size, token=token)

    assert response.status_code == status  # 400: beyond what the program takes of anyone, so that nobody reads it
    assert "quá lớn" in response.json()["detail"] + response.json()["title"]
    assert rows("value") == []


def test_a_body_that_nobody_can_read_waits_in_quarantine_under_the_device(token, device):
    response = post(b'{"t": NaN}', token=token)

    assert (response.status_code, response.json()["quarantined"]) == (200, 1)
    assert store.query("SELECT device, topic FROM telemetry_quarantine") == [(device.pk, "http:MQTT:binh-chanh-1")]


def test_a_store_that_is_busy_asks_the_device_to_come_again(token, monkeypatch):
    def busy():
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(store, "transaction", busy)

    response = post({"t": AT, "v": {"p": 3}}, token=token)

    assert (response.status_code, response["Retry-After"]) == (503, "5")
