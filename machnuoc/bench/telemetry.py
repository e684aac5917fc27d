"""Receiving: messages of one reading against a bare subscriber, batches against a bare insert; publish to alarm.

A real Mosquitto, the receiver and the watcher (rollups, alarms; a rule on every channel) as processes of their own.
Messages are queued at the broker first, while nobody receives: so that what is measured is receiving, not publishing.
"""

import argparse
import asyncio
import contextlib
import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import gmqtt
import msgspec
import numpy as np
from gmqtt.mqtt.constants import MQTTv50

from machnuoc.bench import common, soak
from machnuoc.bench.common import Result

WITHIN_S = 300.0
LEAST_SINGLE, LEAST_BATCH = 0.5, 0.25
LEAST_READINGS_S = 50_000
SAMPLES_A_MESSAGE = 10
HTTP_CLIENTS = 4
HTTP_SAMPLES = 100
ALARM_RATE = 1_000  # readings a second behind the probes
ALARM_EVERY_S = 0.5
_TOKEN = "machnuoc-bench"  # noqa: S105 - of a database that is gone after the run


@dataclass(frozen=True)
class Size:
    """singles: messages of one reading. batches: of 10 samples × channels. posts: of 100 samples × channels."""

    devices: int
    channels: int
    singles: int
    batches: int
    posts: int
    alarms: int
    repetitions: int


SIZES = {"full": Size(100, 10, 60_000, 4_000, 200, 40, 3), "small": Size(10, 5, 2_000, 100, 10, 4, 1)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--database",
        choices=[*common.DATABASES, "both"],
        default="both",
        help="cơ sở dữ liệu để đo (mặc định: both, đo cả hai)",
    )
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Return the report. --size: small, full, or singles=100000,repetitions=1."""
    if not args.here:
        return common.run_on_each("telemetry", args.size, args.database)
    from machnuoc.config import process

    process.migrate()
    size = common.read_size(args.size, SIZES)
    soak.fill(soak.Size(0, size.devices, size.channels, 0))
    return Bench(size).measure()


class Bench:
    """One run on the database that Django is connected to."""

    def __init__(self, size: Size) -> None:
        from django.db import connection

        from machnuoc.telemetry.models import Channel

        self.size, self.vendor = size, connection.vendor
        self.channels = list(Channel.objects.order_by("pk").values_list("pk", flat=True))
        self.from_ms = int(time.time() * 1000) - 40 * 86_400_000
        self.has_watch = importlib.util.find_spec("machnuoc.telemetry.watching") is not None
        self.port = _free_port()

    def measure(self) -> dict[str, Any]:
        from django.db import connections

        results: list[Result] = []
        connections.close_all()
        # Children find the broker by it.
        os.environ["MACHNUOC_MQTT_URL"] = f"mqtt://machnuoc-ingest:bench@127.0.0.1:{self.port}"
        with _mosquitto(self.port):
            with _running("ingest"):  # makes its session: from now on the broker keeps everything for it
                self._wait_for_session()
            results += self._measure_single()
            insert = common.median([self._insert_bare(turn) for turn in range(self.size.repetitions)])
            results.append(Result(f"insert_{self.vendor}", insert, "số đọc/s"))
            results += self._measure_batches(insert)
            results += self._measure_http(insert)
            results.append(self._measure_alarms())
            results.append(self._measure_screen())
        return common.report("telemetry", asdict(self.size), results)

    def _wait_for_session(self) -> None:
        """Wait until a probe comes through: the receiver has subscribed."""
        before = _received()
        deadline = time.monotonic() + 60
        while _received() == before:
            if time.monotonic() > deadline:
                raise common.BenchFailed("Tiến trình nhận số đo không chạy; xem lỗi ở trên.")
            _publish(self.port, self._write([("soak-0", [0])], samples=1))
            time.sleep(0.5)
        time.sleep(1)  # probes on their way

    # --- over MQTT ----------------------------------------------------------------------------------------------------

    def _measure_single(self) -> list[Result]:
        bare: list[float] = []
        rates: dict[bool, list[float]] = {}
        for _ in range(self.size.repetitions):
            bare.append(asyncio.run(self._subscribe_bare(self.size.singles)))
            for with_watch in self._ways():
                queue = self._write(self._singles(self.size.singles), samples=1)
                rates.setdefault(with_watch, []).append(self._receive(queue, self.size.singles, with_watch=with_watch))
        peer = common.median(bare)
        against = "máy nhận trần của cùng thư viện: giải mã rồi bỏ"
        return [
            *self._named("mqtt_single", rates, "bản tin/s", against, peer, LEAST_SINGLE),
            Result(f"mqtt_bare_{self.vendor}", peer, "bản tin/s"),
        ]

    def _measure_batches(self, insert: float) -> list[Result]:
        rates: dict[bool, list[float]] = {}
        for _ in range(self.size.repetitions):
            for with_watch in self._ways():
                keys = list(range(self.size.channels))
                messages = [(f"soak-{number % self.size.devices}", keys) for number in range(self.size.batches)]
                queue = self._write(messages, samples=SAMPLES_A_MESSAGE)
                readings = self.size.batches * SAMPLES_A_MESSAGE * self.size.channels
                rates.setdefault(with_watch, []).append(self._receive(queue, readings, with_watch=with_watch))
        against = "ghi trần không lặp vào cùng bảng"
        note = f"tối thiểu {LEAST_READINGS_S} số đọc/s"
        return list(self._named("mqtt_batch", rates, "số đọc/s", against, insert, LEAST_BATCH, note))

    def _ways(self) -> list[bool]:
        """Return with and without the watcher beside: with it, rollups and alarms are judged on the same cores."""
        return [True, False] if self.has_watch else [False]

    def _named(
        self,
        name: str,
        rates: dict[bool, list[float]],
        unit: str,
        against: str,
        peer: float,
        limit: float,
        note: str = "",
    ) -> Iterator[Result]:
        for with_watch, found in rates.items():
            part = "" if with_watch or not self.has_watch else "_unwatched"
            value = common.median(found)
            yield Result(f"{name}{part}_{self.vendor}", value, unit, against, value / peer, limit, note)

    def _write(self, messages: list[tuple[str, list[int]]], samples: int) -> list[tuple[bytes, bytes]]:
        """Return (topic, payload) of messages whose readings nobody has had yet, a second from sample to sample."""
        written = []
        round_s = 0
        for number, (device, keys) in enumerate(messages):
            if number % self.size.devices == 0:
                round_s += samples
            parts = []
            for step in range(samples):
                at = self.from_ms + (round_s + step) * 1000 + number % self.size.devices
                values = ",".join(f'"c{key}":{20 + (number + step + key) % 500 / 10:.1f}' for key in keys)
                parts.append(f'{{"t":{at},"v":{{{values}}}}}')
            body = ",".join(parts)
            written.append((f"machnuoc/v1/{device}/up".encode(), (f"[{body}]" if samples > 1 else body).encode()))
        self.from_ms += (round_s + samples) * 1000 + 1_000
        return written

    def _receive(self, queue: list[tuple[bytes, bytes]], readings: int, *, with_watch: bool) -> float:
        """Queue messages at the broker; return readings a second from the receiver's connection to its last commit."""
        from machnuoc.telemetry import store

        before = _received()
        _publish(self.port, queue)
        with contextlib.ExitStack() as stack:
            if with_watch:
                stack.enter_context(_running("watch"))
                time.sleep(3)
            stack.enter_context(_running("ingest"))
            _wait(lambda: _has_reader(self.port), "tiến trình nhận số đo", every_s=0.002)
            begun_s = time.monotonic()
            while (count := _received() - before) < readings:
                if time.monotonic() > begun_s + WITHIN_S:
                    raise common.BenchFailed(f"Mới nhận {count} trên {readings} số đọc sau {WITHIN_S:g} giây.")
                time.sleep(0.02)
            rate = readings / (time.monotonic() - begun_s)
        store.close()
        return rate

    async def _subscribe_bare(self, count: int) -> float:
        """Return messages a second, from connection to last, of a client that decodes, throws away and acknowledges."""
        decode = msgspec.json.Decoder(_Sample).decode
        seen, done = 0, asyncio.Event()

        def on_message(_: object, topic: str, payload: bytes, qos: int, properties: object) -> int:
            nonlocal seen
            decode(payload)
            seen += 1
            if seen == count:
                done.set()
            return 0

        async def connect() -> gmqtt.Client:
            client = gmqtt.Client("bare", clean_session=False, session_expiry_interval=600, receive_maximum=65_535)
            client.on_message = on_message
            await client.connect("127.0.0.1", self.port, version=MQTTv50)
            return client

        client = await connect()
        client.subscribe("bare/#", qos=1)
        await asyncio.sleep(1)
        await client.disconnect()
        messages = self._write(self._singles(count), samples=1)
        queue = [(b"bare/" + topic, payload) for topic, payload in messages]
        await asyncio.to_thread(_publish, self.port, queue)
        begun_s = time.monotonic()
        client = await connect()
        await asyncio.wait_for(done.wait(), WITHIN_S)
        rate = seen / (time.monotonic() - begun_s)
        await client.disconnect()
        return rate

    def _singles(self, count: int) -> list[tuple[str, list[int]]]:
        devices, channels = self.size.devices, self.size.channels
        return [(f"soak-{number % devices}", [number // devices % channels]) for number in range(count)]

    # --- bare insert --------------------------------------------------------------------------------------------------

    def _insert_bare(self, turn: int) -> float:
        """Return readings a second of nothing but an insert that may be repeated, in transactions of 10,000 rows.

        SQLite: one prepared statement. PostgreSQL: binary COPY into a temporary table, then INSERT ON CONFLICT.
        """
        from machnuoc.telemetry import store, store_writing

        samples = self.size.batches * SAMPLES_A_MESSAGE // self.size.devices
        channel = np.tile(np.array(self.channels, np.int64) + 1_000_000, samples)
        at = np.repeat(self.from_ms + np.arange(samples, dtype=np.int64) * 1000, len(self.channels))
        value = np.arange(len(at)) % 500 / 10.0
        self.from_ms += (samples + 1) * 1000
        zeros = np.zeros(len(at), np.int64)
        rows = store.Readings(channel, at, value, zeros)
        with store.transaction() as cursor:
            store.ensure_months(cursor, int(at[0]), int(at[-1]))
        begun_s = time.perf_counter()
        for start in range(0, len(at), 10_000):
            which = np.arange(start, min(start + 10_000, len(at)))
            with store.transaction() as cursor:
                if store.is_postgresql():
                    store_writing._insert_postgresql(cursor, rows, which)
                else:
                    cursor.executemany(store_writing._INSERT, store_writing._columns(rows, which))
        rate = len(at) / (time.perf_counter() - begun_s)
        with store.transaction() as cursor:
            cursor.execute("DELETE FROM telemetry_reading WHERE channel > 1000000")
        return rate

    # --- over HTTP ----------------------------------------------------------------------------------------------------

    def _measure_http(self, insert: float) -> list[Result]:
        from django.conf import settings

        from machnuoc.core import tokens
        from machnuoc.telemetry.models import Credential, Device

        made_at = datetime.now(UTC)
        devices = list(Device.objects.filter(code__startswith="soak-").order_by("pk"))[:HTTP_CLIENTS]
        Credential.objects.bulk_create(
            Credential(
                device=device, broker_hash="", made_at=made_at,
                token_sha256=tokens.hash_token(f"{_TOKEN}-{device.code}"),
            )
            for device in devices
        )  # fmt: skip
        port = _free_port()
        rates = []
        with _running("web", "--port", str(port)):
            _wait(lambda: _answers(port), "trang web")
            for _ in range(2 * settings.WEB_PROCESSES):  # each process has its first request behind it
                warm = self._write([(devices[0].code, [0])], samples=1)
                _post(port, str(self.from_ms), (devices[0].code, warm))
            for turn in range(self.size.repetitions):
                messages = [(device.code, list(range(self.size.channels))) for device in devices] * (
                    self.size.posts // len(devices)
                )
                posts = self._write(messages, samples=HTTP_SAMPLES)
                begun_s = time.perf_counter()
                with ThreadPoolExecutor(len(devices)) as pool:
                    shares = [(devices[index].code, posts[index :: len(devices)]) for index in range(len(devices))]
                    stored = sum(pool.map(partial(_post, port, str(turn)), shares))
                rates.append(stored / (time.perf_counter() - begun_s))
        value = common.median(rates)
        readings = HTTP_SAMPLES * self.size.channels
        against = "ghi trần không lặp vào cùng bảng"
        note = f"{readings} số đọc một lô, {HTTP_CLIENTS} máy gửi"
        name = f"http_batch_{self.vendor}"
        return [Result(name, value, "số đọc/s", against, value / insert, LEAST_BATCH, note)]

    # --- to the alarm -------------------------------------------------------------------------------------------------

    def _measure_alarms(self) -> Result:
        """Publish readings over a threshold among others that are not; how long until the alarm is in the table."""
        from machnuoc.telemetry.models import Alarm

        name = f"publish_to_alarm_p99_ms_{self.vendor}"
        if not self.has_watch:
            return Result(name, None, "ms", note="chưa có machnuoc watch")
        waits_ms: list[float] = []
        stop = threading.Event()
        with _running("ingest"), _running("watch"):
            self._wait_for_session()
            time.sleep(5)
            background = threading.Thread(target=self._publish_steadily, args=(stop,))
            background.start()
            try:
                for number in range(self.size.alarms):
                    # The last channels of the last devices: one for each probe.
                    device = self.size.devices - 1 - number % self.size.devices
                    key = self.size.channels - 1 - number // self.size.devices
                    channel = self.channels[device * self.size.channels + key]
                    now_ms = int(time.time() * 1000)
                    body = f'{{"t":{now_ms},"v":{{"c{key}":99}}}}'.encode()
                    begun_s = time.perf_counter()
                    _publish(self.port, [(f"machnuoc/v1/soak-{device}/up".encode(), body)])
                    deadline = begun_s + 30
                    while not Alarm.objects.filter(rule__channel_id=channel, ended_at=None).exists():
                        if time.perf_counter() > deadline:
                            raise common.BenchFailed("Cảnh báo không xuất hiện sau 30 giây.")
                        time.sleep(0.005)
                    waits_ms.append((time.perf_counter() - begun_s) * 1000)
                    time.sleep(ALARM_EVERY_S)
            finally:
                stop.set()
                background.join()
        note = f"trung vị {common.median(waits_ms):.0f} ms, {len(waits_ms)} lần, nền {ALARM_RATE} số đọc/s"
        return Result(name, common.percentile(waits_ms, 0.99), "ms", note=note)

    # --- to the browser -----------------------------------------------------------------------------------------------

    def _measure_screen(self) -> Result:
        """Publish readings among others; how long until the stream of the live pages has brought each to its reader."""
        name = f"publish_to_screen_p99_ms_{self.vendor}"
        if importlib.util.find_spec("machnuoc.telemetry.live") is None:
            return Result(name, None, "ms", note="chưa có trang trực tuyến")
        cookie, port = _sign_in(), _free_port()
        waits_ms: list[float] = []
        stop = threading.Event()
        watch = _running("watch") if self.has_watch else contextlib.nullcontext()
        with _running("ingest"), watch, _running("web", "--port", str(port)):
            _wait(lambda: _answers(port), "trang web")
            self._wait_for_session()
            seen: dict[tuple[int, int], float] = {}
            listening = threading.Event()
            threading.Thread(target=_listen, args=(port, cookie, seen, listening), daemon=True).start()
            # The port answers before its processes have loaded the program: on a busy machine long before.
            _wait(listening.is_set, "dòng sự kiện của trang giám sát")
            background = threading.Thread(target=self._publish_steadily, args=(stop,))
            background.start()
            time.sleep(5)
            try:
                for number in range(self.size.alarms):
                    device = self.size.devices - 1 - number % (self.size.devices // 2)
                    channel = self.channels[device * self.size.channels]
                    now_ms = int(time.time() * 1000)
                    body = f'{{"t":{now_ms},"v":{{"c0":50}}}}'.encode()
                    begun_s = time.perf_counter()
                    _publish(self.port, [(f"machnuoc/v1/soak-{device}/up".encode(), body)])
                    while (channel, now_ms) not in seen:
                        if time.perf_counter() > begun_s + 30:
                            raise common.BenchFailed("Số đo không đến trình duyệt sau 30 giây.")
                        time.sleep(0.002)
                    waits_ms.append((seen[channel, now_ms] - begun_s) * 1000)
                    time.sleep(ALARM_EVERY_S)
            finally:
                stop.set()
                background.join()
        note = f"trung vị {common.median(waits_ms):.0f} ms, {len(waits_ms)} lần, nền {ALARM_RATE} số đọc/s"
        return Result(name, common.percentile(waits_ms, 0.99), "ms", note=note)

    def _publish_steadily(self, stop: threading.Event) -> None:
        """Publish ALARM_RATE readings a second, of now, below every threshold, of the first channel of devices."""
        step = 0
        while not stop.wait(0.1):
            now_ms = int(time.time() * 1000)
            queue = [
                (
                    f"machnuoc/v1/soak-{(step * 100 + number) % (self.size.devices // 2)}/up".encode(),
                    f'{{"t":{now_ms + number},"v":{{"c0":{20 + number % 9}}}}}'.encode(),
                )
                for number in range(ALARM_RATE // 10)
            ]
            _publish(self.port, queue)
            step += 1


class _Sample(msgspec.Struct):
    t: int
    v: dict[str, float]


def _received() -> int:
    from machnuoc.telemetry import store

    return int(store.query("SELECT coalesce(sum(received), 0) FROM telemetry_ledger")[0][0])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _has_reader(port: int) -> bool:
    """Return whether anybody is connected to this port of ours (Linux)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


def _wait(is_there: Callable[[], bool], what: str, every_s: float = 0.2) -> None:
    deadline = time.monotonic() + 60
    while not is_there():
        if time.monotonic() > deadline:
            raise common.BenchFailed(f"Chờ quá lâu: {what}. Xem lỗi ở trên.")
        time.sleep(every_s)


@contextlib.contextmanager
def _running(*command: str) -> Iterator[None]:
    """Run a command of the program until the end of the block."""
    with _process([sys.executable, "-m", "machnuoc", *command]):
        yield


@contextlib.contextmanager
def _mosquitto(port: int) -> Iterator[None]:
    """Run a Mosquitto for this bench alone, with the limits that the program gives its own."""
    from machnuoc.telemetry import broker

    program = broker.find_mosquitto()
    if program is None:
        raise common.BenchFailed("Phép đo cần Mosquitto. Cài: apt-get install mosquitto")
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(
            f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_inflight_messages 0\n"
            "max_queued_messages 0\nset_tcp_nodelay true\nlog_type error\n" + ("user root\n" * (os.geteuid() == 0))
        )
        file.flush()
        with _process([program, "-c", file.name]):
            _wait(lambda: _answers(port), "Mosquitto")
            yield


@contextlib.contextmanager
def _process(command: list[str]) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _publish(port: int, queue: list[tuple[bytes, bytes]]) -> None:
    """Publish with QoS 1 and wait until all is acknowledged. By hand: no client library is fast enough for this."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.sendall(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00")  # CONNECT, MQTT 3.1.1, clean, no client id
        _read(link, 4)
        for start in range(0, len(queue), 5_000):
            part = queue[start : start + 5_000]
            packets = []
            for mid, (topic, payload) in enumerate(part, 1):
                rest = len(topic).to_bytes(2, "big") + topic + mid.to_bytes(2, "big") + payload
                packets.append(b"\x32" + _length(len(rest)) + rest)
            sending = threading.Thread(target=link.sendall, args=(b"".join(packets),))
            sending.start()
            _read(link, 4 * len(part))  # PUBACKs
            sending.join()
        link.sendall(b"\xe0\x00")


def _length(number: int) -> bytes:
    """Return a length as MQTT writes it: seven bits a byte, lowest first."""
    encoded = bytearray()
    while True:
        number, low = divmod(number, 128)
        encoded.append(low | (0x80 if number else 0))
        if not number:
            return bytes(encoded)


def _read(link: socket.socket, size: int) -> None:
    while size:
        read = link.recv(min(size, 65_536))
        if not read:
            raise common.BenchFailed("Mosquitto đã đóng kết nối.")
        size -= len(read)


def _sign_in() -> str:
    """Make a person who sees everything; return the cookie of their session."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    from machnuoc.core.models import Person
    from machnuoc.places import load_units, operations, queries
    from machnuoc.places.models import Grant

    load_units.load_units()
    person = Person.objects.create(username="bench", full_name="Phép đo")
    operations.give_grant(person=person, role=Grant.Role.ADMIN, scope=queries.get_country(), by=None)
    session = SessionStore()
    session[SESSION_KEY] = str(person.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[-1]
    session[HASH_SESSION_KEY] = person.get_session_auth_hash()
    session.save()
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}"


def _listen(port: int, cookie: str, seen: dict[tuple[int, int], float], listening: threading.Event) -> None:
    """Read the stream as a browser does; note when each (channel, at) came. listening: set once the stream is open."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    link.request("GET", "/giam-sat/dong", headers={"Cookie": cookie, "Accept": "text/event-stream"})
    answer = link.getresponse()
    if answer.status != 200:
        raise common.BenchFailed(f"Dòng sự kiện trả lời HTTP {answer.status}.")
    listening.set()
    name = b""
    with contextlib.suppress(OSError, http.client.HTTPException):  # the server ends before we do
        while line := answer.readline():
            if line.startswith(b"event: "):
                name = line[7:].strip()
            elif line.startswith(b"data: ") and name == b"so-do":
                now_s = time.perf_counter()
                seen.update({(row[0], row[1]): now_s for row in json.loads(line[6:])["rows"]})


def _post(port: int, turn: str, share: tuple[str, list[tuple[bytes, bytes]]]) -> int:
    """Post batches one after another over one connection; return the readings that were stored."""
    code, posts = share
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    stored = 0
    for number, (_, body) in enumerate(posts):
        headers = {
            "Authorization": f"Bearer {_TOKEN}-{code}",
            "Idempotency-Key": f"{turn}-{number}",
            "Content-Type": "application/json",
        }
        link.request("POST", "/api/v1/telemetry/readings", body, headers)
        answer = link.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise common.BenchFailed(f"HTTP {answer.status}: {text[:200]!r}")
        stored += json.loads(text)["stored"]
    link.close()
    return stored
