"""A device: MQTT 3.1.1 over a plain socket, QoS 1, many messages under way, sends again what was not acknowledged."""

import contextlib
import itertools
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterable

_numbers = itertools.count()


class Refused(Exception):
    """The broker does not let us in; the text is its code."""


class Publisher:
    """acked: how many of the messages given so far the broker has acknowledged, from the first on without a gap."""

    def __init__(
        self, host: str, port: int, user: str, secret: str, *, tls: ssl.SSLContext | None = None, window: int = 500
    ) -> None:
        self.host, self.port, self.user, self.secret, self.tls, self.window = host, port, user, secret, tls, window
        self.name = f"test-{user}-{next(_numbers)}"
        self.connections = 0

    def connect(self) -> socket.socket:
        plain = socket.create_connection((self.host, self.port), timeout=10)
        link = self.tls.wrap_socket(plain, server_hostname=self.host) if self.tls else plain
        body = _text("MQTT") + bytes([4, 0xC2 if self.user else 2]) + struct.pack("!H", 60) + _text(self.name)
        if self.user:
            body += _text(self.user) + _text(self.secret)
        link.sendall(b"\x10" + _length(len(body)) + body)
        answer = _exactly(link, 4)
        if answer[3]:
            link.close()
            raise Refused(str(answer[3]))
        self.connections += 1
        return link

    def publish(self, messages: Iterable[tuple[str, bytes]], *, within_s: float = 60, pause_s: float = 0.0) -> None:
        """Return when every message is acknowledged; connect as often as it takes. Raises TimeoutError, Refused."""
        waiting = list(enumerate(messages))
        acked: set[int] = set()
        deadline = time.monotonic() + within_s
        while len(acked) < len(waiting):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(acked)} of {len(waiting)} messages acknowledged")
            try:
                with self.connect() as link:
                    self._send([each for each in waiting if each[0] not in acked], link, acked, pause_s, deadline)
            except OSError:
                time.sleep(0.1)

    def _send(self, waiting, link, acked: set[int], pause_s: float, deadline: float) -> None:
        """Send; return or raise OSError when the connection is at its end."""
        under_way: dict[int, int] = {}
        lock, room = threading.Lock(), threading.Semaphore(self.window)
        ended = threading.Event()

        def read() -> None:
            left = len(waiting)
            with contextlib.suppress(OSError):
                while left:
                    kind, _, mid = struct.unpack("!BBH", _exactly(link, 4))
                    assert kind == 0x40
                    with lock:
                        acked.add(under_way.pop(mid))
                    left -= 1
                    room.release()
            ended.set()
            room.release()

        link.settimeout(max(1.0, deadline - time.monotonic()))
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        mids = itertools.cycle(range(1, 65_536))
        for number, (topic, payload) in waiting:
            room.acquire()
            if ended.is_set():
                break
            mid = next(mids)
            with lock:
                under_way[mid] = number
            body = _text(topic) + struct.pack("!H", mid) + payload
            link.sendall(b"\x32" + _length(len(body)) + body)
            if pause_s:
                time.sleep(pause_s)
        reader.join(max(0.1, deadline - time.monotonic()))
        if not ended.is_set():
            raise TimeoutError(f"{len(acked)} messages acknowledged")
        with contextlib.suppress(OSError):
            link.sendall(b"\xe0\x00")


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("!H", len(raw)) + raw


def _length(number: int) -> bytes:
    parts = b""
    while True:
        number, low = divmod(number, 128)
        parts += bytes([low | (128 if number else 0)])
        if not number:
            return parts


def _exactly(link: socket.socket, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = link.recv(size - len(parts))
        if not part:
            raise ConnectionResetError("closed by the broker")
        parts += part
    return parts
