"""The outbox: what is told once, what goes, what waits, what says that it cannot."""

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.core import mail

from machnuoc.core import outgoing, sending
from machnuoc.core.models import Job, Notice, Person, Sending

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 6, 2, 5, 0, tzinfo=UTC)


@pytest.fixture
def person() -> Person:
    return Person.objects.create_user("truc", full_name="Trực", email="truc@vi-du.vn", phone="0912 345 678")


@pytest.fixture
def gateway():
    """A message gateway on this machine that keeps what it got and answers as told."""
    taken: list[tuple[str, dict, dict]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            taken.append((self.path, dict(self.headers), body))
            status, answer = server.answers.pop(0) if server.answers else (200, {"error": 0})
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *ignored: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.answers, server.taken = [], taken
    server.url = f"http://127.0.0.1:{server.server_port}/gui"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def put(channel: str, person: Person, key: str = "alarm:1", **changes) -> Sending | None:
    order = {"title": "Khẩn cấp", "text": "Clo dư thấp", "now": NOW, "url": "/giam-sat/canh-bao/1/"}
    return sending.queue(key=f"{key}:{channel}", channel=channel, person=person, **{**order, **changes})


def test_the_same_thing_is_told_once(person):
    assert put("IN_APP", person).state == "SENT"
    assert put("IN_APP", person) is None

    assert Notice.objects.get().text == "Khẩn cấp: Clo dư thấp"


def test_a_channel_nobody_configured_says_so_and_sends_nothing(person):
    for channel in ("EMAIL", "SMS", "ZALO"):
        row = put(channel, person)
        assert (row.state, row.next_try_at) == ("UNCONFIGURED", None)
        assert "Chưa cấu hình: máy chủ chưa đặt MACHNUOC_" in row.error

    assert sending.send_due(NOW) == (0, 0)
    assert not Job.objects.exists()


def test_a_person_without_an_address_is_said_to_have_none(person, settings):
    settings.SMS_URL = "http://127.0.0.1:1/"
    person.phone = "113"

    assert put("SMS", person).error == "Người nhận chưa khai địa chỉ của kênh này."


def test_mail_goes_and_the_worker_is_woken(person, settings):
    settings.EMAIL_HOST = "may-chu-thu"
    settings.SITE_URL = "https://nuoc.vi-du.vn"

    row = put("EMAIL", person)
    assert Job.objects.get().task == "core.send_waiting"
    assert sending.send_due(NOW) == (1, 0)

    row.refresh_from_db()
    assert row.state == "SENT"
    assert mail.outbox[0].to == ["truc@vi-du.vn"]
    assert "https://nuoc.vi-du.vn/giam-sat/canh-bao/1/" in mail.outbox[0].body


def test_sms_goes_to_the_gateway_and_a_failure_is_tried_again(person, settings, gateway):
    settings.SMS_URL, settings.SMS_KEY = gateway.url, "khoa"
    gateway.answers = [(503, {})]
    row = put("SMS", person)

    assert sending.send_due(NOW) == (0, 1)
    assert sending.send_due(NOW + timedelta(seconds=5)) == (0, 0)  # not yet
    assert sending.send_due(NOW + timedelta(seconds=21)) == (1, 0)

    row.refresh_from_db()
    assert (row.state, row.attempts) == ("SENT", 2)
    _, headers, body = gateway.taken[-1]
    assert body == {"to": "84912345678", "text": "Khẩn cấp: Clo dư thấp", "id": "alarm:1:SMS"}
    assert headers["Authorization"] == "Bearer khoa"


def test_a_message_that_is_of_no_use_any_more_is_not_sent(person, settings, gateway):
    settings.SMS_URL, settings.SMS_KEY = gateway.url, "khoa"
    gateway.answers = [(503, {})]
    row = sending.queue(
        key="code:1", channel="SMS", title="Mã", text="123456", now=NOW, address="84912345678", is_secret=True,
        expires_at=NOW + timedelta(seconds=20),
    )  # fmt: skip
    assert sending.send_due(NOW) == (0, 1)
    assert sending.send_due(NOW + timedelta(seconds=21)) == (0, 1)

    row.refresh_from_db()
    assert (row.state, row.error, row.text) == ("FAILED", sending.TOO_LATE, sending.NOT_KEPT)
    assert len(gateway.taken) == 1


@pytest.mark.parametrize(
    ("phone", "email", "configured", "expected"),
    [
        ("0912 345 678", "a@vi-du.vn", {"SMS_URL"}, ("SMS", "84912345678")),
        ("0912 345 678", "a@vi-du.vn", {"ZALO_TOKEN", "ZALO_TEMPLATE"}, ("ZALO", "84912345678")),
        ("0912 345 678", "a@vi-du.vn", {"EMAIL_HOST"}, ("EMAIL", "a@vi-du.vn")),
        ("0912 345 678", "a@vi-du.vn", set(), ("SMS", "84912345678")),
        ("0912 345 678", "", {"EMAIL_HOST"}, ("SMS", "84912345678")),
        ("0255 382 213", "a@vi-du.vn", {"SMS_URL"}, ("EMAIL", "a@vi-du.vn")),
        ("", "", {"SMS_URL", "EMAIL_HOST"}, ("SMS", "")),
    ],
)  # fmt: skip
def test_people_are_told_by_what_can_reach_them(phone, email, configured, expected, settings):
    for name in ("SMS_URL", "ZALO_TOKEN", "ZALO_TEMPLATE", "EMAIL_HOST"):
        setattr(settings, name, "x" if name in configured else "")

    assert sending.reach(phone, email) == expected


def test_a_refusal_is_final_and_says_why(person, settings, gateway):
    settings.ZALO_URL, settings.ZALO_TOKEN, settings.ZALO_TEMPLATE = gateway.url, "t", "7895"
    gateway.answers = [(200, {"error": -124})]
    row = put("ZALO", person)

    assert sending.send_due(NOW) == (0, 1)

    row.refresh_from_db()
    assert (row.state, row.error) == ("FAILED", "Zalo không nhận tin (mã lỗi -124).")
    assert gateway.taken[0][2]["phone"] == "84912345678"


def test_a_webhook_is_signed_and_never_goes_into_our_own_network(person, gateway):
    row = put("WEBHOOK", None, address=gateway.url.replace("http:", "https:"), secret="s" * 32)

    sending.send_due(NOW)

    row.refresh_from_db()
    assert gateway.taken == []
    assert "cổng" in row.error or "mạng nội bộ" in row.error
    body = b'{"a":1}'
    outgoing.post(gateway.url, body, {outgoing.SIGNATURE: outgoing.sign(body, "k")}, may_be_local=True)
    assert gateway.taken[0][1]["X-Machnuoc-Signature"] == outgoing.sign(body, "k")


def test_a_name_that_leads_into_our_own_network_is_refused_at_the_door(monkeypatch, gateway):
    import socket

    real = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: real(("127.0.0.1", gateway.server_port)))

    with pytest.raises(outgoing.CannotCall, match="mạng nội bộ"):
        outgoing.post("https://vi-du.vn/nhan", b"{}", {})

    assert gateway.taken == []


def test_a_gateway_that_never_answers_is_given_up_in_the_end(person, settings):
    settings.SMS_URL = "http://127.0.0.1:1/"
    row = put("SMS", person)

    now = NOW
    for _ in range(sending.MOST_ATTEMPTS):
        sending.send_due(now)
        now += timedelta(hours=1)

    row.refresh_from_db()
    assert (row.state, row.attempts) == ("FAILED", sending.MOST_ATTEMPTS)


def test_a_message_that_did_not_go_is_sent_again_once_its_channel_is_set_up(person, settings, gateway):
    row = put("SMS", person)
    with pytest.raises(sending.CannotSendAgain, match="MACHNUOC_SMS_URL"):
        sending.send_again(row, by=person, now=NOW)
    settings.SMS_URL = gateway.url

    sending.send_again(row, by=person, now=NOW)

    assert sending.send_due(NOW) == (1, 0)
    with pytest.raises(sending.CannotSendAgain, match="đã gửi"):
        sending.send_again(row, by=person, now=NOW)
