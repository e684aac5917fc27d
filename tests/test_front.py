"""The front as it runs: pages, long answers and uploads through it, and streams of events beside them."""

import contextlib
import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.db import connection

WORLD = """
import json, sys, django
django.setup()
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
call_command("migrate", verbosity=0, interactive=False)
from machnuoc.core.models import Person
from machnuoc.places.models import Grant, Subject
from machnuoc.telemetry.tests import world
Subject.objects.create(key="vn", kind=Subject.Kind.COUNTRY, name="Việt Nam")
said = {"keys": []}
for key in ("tram-a", "tram-b"):
    work = world.make_work(key, key)
    channel = world.make_channel(world.make_device(work, key), "flow", "flow", point="OUTLET")
    person = Person.objects.create(username=key, full_name=key)
    person.set_password("mot-mat-khau-dai")
    person.save()
    Grant.objects.create(person=person, role="DEPARTMENT", scope=work.subject, valid_from="2026-01-01")
    session = SessionStore()
    session[SESSION_KEY] = str(person.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = person.get_session_auth_hash()
    session.save()
    said["keys"].append(session.session_key)
    said.setdefault("channels", []).append([channel.pk, channel.device_id])
print(json.dumps(said))
"""


@dataclass
class Served:
    port: int
    data: Path
    keys: list[str]
    channels: list[list[int]]

    def ask(self, method: str, path: str, key: str = "", body: bytes | None = None, **headers: str):
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        if key:
            headers["Cookie"] = f"machnuoc_session={key}"
        asked.request(method, path, body=body, headers=headers)
        return asked.getresponse()

    def put(self, number: int, value: float) -> None:
        channel, device = self.channels[number]
        now_ms = time.time_ns() // 1_000_000
        with sqlite3.connect(self.data / "telemetry.sqlite3", timeout=20) as store:
            store.execute("INSERT INTO telemetry_reading VALUES (?, ?, ?, 0)", (channel, now_ms, value))
            store.execute(
                "INSERT INTO telemetry_device_state (device, received_at, measured_at, drift_ms, messages) "
                "VALUES (?, ?, ?, 0, 1) ON CONFLICT (device) DO UPDATE SET received_at = excluded.received_at",
                (device, now_ms, now_ms),
            )


@pytest.fixture(scope="module")
def served(tmp_path_factory, django_db_setup):
    """Return the running web server of two stations of two people, embedded."""
    tmp_path = tmp_path_factory.mktemp("front")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free_port = int(probe.getsockname()[1])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MACHNUOC_")}
    environment = kept | {
        "MACHNUOC_DATA_DIR": str(tmp_path / "data"),
        "DJANGO_SETTINGS_MODULE": "machnuoc.config.settings", "MACHNUOC_PORT": str(free_port),
        "MACHNUOC_WEB_PROCESSES": "1",
    }  # fmt: skip
    (tmp_path / "data").mkdir()
    if connection.vendor == "sqlite":  # tables that are there need not be made
        places = (connection.settings_dict["NAME"], tmp_path / "data" / "machnuoc.sqlite3")
        source, target = (sqlite3.connect(place) for place in places)
        with contextlib.closing(source), contextlib.closing(target):
            source.backup(target)
    made = subprocess.run(
        [sys.executable, "-c", WORLD], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    said = json.loads(made.stdout.splitlines()[-1])
    with (tmp_path / "web.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "machnuoc", "web"], env=environment, cwd=tmp_path, stdout=log,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "web.log").read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", free_port)) == 0:
                    break
            time.sleep(0.1)
        data = next(tmp_path.rglob("telemetry.sqlite3")).parent
        yield Served(free_port, data, said["keys"], said["channels"])
        said_log = (tmp_path / "web.log").read_text()
        assert "ended in an error" not in said_log and "could not look" not in said_log
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def _read_event(answer: http.client.HTTPResponse) -> tuple[str, dict]:
    name, data = "", ""
    while True:
        line = answer.readline().decode().rstrip("\n")
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            data = line[6:]
        elif not line and name:
            return name, json.loads(data)


def test_readings_reach_those_who_may_see_them_within_two_seconds_and_nobody_else(served):
    mine, other = (served.ask("GET", "/giam-sat/dong", key) for key in served.keys)
    assert mine.status == other.status == 200
    assert mine.headers["Content-Type"].startswith("text/event-stream")
    assert [_read_event(one)[0] for one in (mine, other)] == ["toan-canh", "toan-canh"]
    time.sleep(0.5)

    began_s = time.monotonic()
    served.put(0, 41.5)
    name, data = _read_event(mine)
    took_s = time.monotonic() - began_s
    served.put(1, 7.0)
    of_other = _read_event(other)

    assert name == "so-do" and [row[2] for row in data["rows"]] == [41.5]
    assert took_s < 2
    assert [row[0] for row in of_other[1]["rows"]] == [served.channels[1][0]]
    again = served.ask("GET", "/giam-sat/dong", served.keys[0], **{"Last-Event-ID": "1"})
    assert [row[2] for row in _read_event(again)[1]["rows"]] == [41.5]


def test_streams_are_for_people_who_are_signed_in_and_not_without_number(served):
    assert served.ask("GET", "/giam-sat/dong").status == 401
    assert served.ask("POST", "/giam-sat/dong", served.keys[0]).status in {403, 405}
    assert served.ask("GET", "/giam-sat/dong", served.keys[0], Host="evil.example").status == 400

    kept = [served.ask("GET", "/giam-sat/dong", served.keys[0]) for _ in range(6)]
    refused = served.ask("GET", "/giam-sat/dong", served.keys[0])

    assert [one.status for one in kept] == [200] * 6 and refused.status == 429
    assert served.ask("GET", "/giam-sat/", served.keys[0]).status == 200  # open streams hold no thread


def test_pages_come_whole_with_their_headers(served):
    page = served.ask("GET", "/giam-sat/", served.keys[0], **{"Accept-Encoding": "gzip"})
    assert page.status == 200 and page.headers["Content-Encoding"] == "gzip" and page.read()
    head = served.ask("HEAD", "/dang-nhap/")
    assert head.status == 200 and head.read() == b""
    assert served.ask("GET", "/khong-co/%ff%20x", served.keys[0]).status in {400, 404}
    assert served.ask("GET", "/dang-nhap/", Host="evil.example").status == 400
    away = served.ask("GET", "/giam-sat/")
    assert away.status == 302 and "/dang-nhap/" in away.headers["Location"]


def test_a_long_export_comes_to_its_end(served):
    channel = served.channels[0][0]
    now_ms = time.time_ns() // 1_000_000
    with sqlite3.connect(served.data / "telemetry.sqlite3", timeout=20) as store:
        store.executemany(
            "INSERT INTO telemetry_reading VALUES (?, ?, ?, 0)",
            [(channel, now_ms - 1_000 * row, float(row)) for row in range(40_000)],
        )

    answer = served.ask("GET", f"/giam-sat/kenh/{channel}/?span=24h&export=csv", served.keys[0])

    assert answer.status == 200
    assert len(answer.read().decode().splitlines()) > 40_000


def test_a_body_of_twenty_megabytes_is_taken_in(served):
    page = served.ask("GET", "/dang-nhap/")
    cookie = page.headers["Set-Cookie"].split(";")[0]
    token = page.read().decode().split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    edge = "----mach"
    parts = [("csrfmiddlewaretoken", token), ("username", "tram-a"), ("password", "mot-mat-khau-dai")]
    body = "".join(
        f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in parts
    )
    file = f'--{edge}\r\nContent-Disposition: form-data; name="f"; filename="a.bin"\r\n\r\n'
    whole = body.encode() + file.encode() + b"x" * 19_000_000 + f"\r\n--{edge}--\r\n".encode()

    answer = served.ask(
        "POST", "/dang-nhap/", body=whole, Cookie=cookie, **{"Content-Type": f"multipart/form-data; boundary={edge}"}
    )

    assert answer.status == 302, answer.read()[:500]


def test_a_body_that_is_never_finished_holds_up_nobody_for_long(served):
    with socket.create_connection(("127.0.0.1", served.port)) as cut:
        cut.sendall(b"POST /dang-nhap/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\nabc")
        time.sleep(0.2)
    for _ in range(4):
        assert served.ask("GET", "/dang-nhap/").status == 200


def test_a_crowd_is_answered_and_told_to_come_anew_a_single_visitor_stays(served):
    def visit(_: int) -> tuple[int, str]:
        answer = served.ask("GET", "/giam-sat/", served.keys[0])
        return answer.status, answer.headers.get("Connection", "")

    assert visit(0) == (200, "")
    with ThreadPoolExecutor(40) as crowd:
        told = list(crowd.map(visit, range(80)))

    assert {status for status, _ in told} == {200}
    assert "close" in {said for _, said in told}
    assert visit(0) == (200, "")
