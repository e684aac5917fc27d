"""The one front of the program: granian's RSGI, which hands every page to Django and keeps live streams itself.

A page is made by a thread of the pool, which writes its answer straight to the connection: one hop between the event
loop and the thread, instead of three (docs/adr/0008-one-front.md). A stream of events holds no thread: Django decides
who may have it and says what is first on it, then it lies on the event loop (telemetry/live.py).
"""

import asyncio
import io
import logging
import queue
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings

from machnuoc.config.wsgi import application as django
from machnuoc.telemetry import live

logger = logging.getLogger(__name__)

SMALL_BODY_BYTES = 256 * 1024  # read before a thread is asked for
CROWDED = 3  # requests that wait for a thread of this process
STREAM_BYTES = 64 * 1024  # how much of a streamed answer goes at once
_STREAM = "/giam-sat/dong"

Headers = list[tuple[str, str]]
Task = tuple[dict[str, Any], Any, asyncio.AbstractEventLoop, "asyncio.Future[Any]"]

_tasks: "queue.SimpleQueue[Task]" = queue.SimpleQueue()
_started = threading.Event()


class _Body(io.RawIOBase):
    """A long body, read from the connection as Django asks for it: it is never held in memory whole."""

    def __init__(self, proto: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._chunks = proto.__aiter__()
        self._loop = loop
        self._left = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left and not self._ended:
            self._left = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
        taken = self._left[: len(buffer)]
        self._left = self._left[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)

    async def _next(self) -> bytes:
        while not self._ended:
            try:
                chunk = bytes(await self._chunks.__anext__())
            except StopAsyncIteration:
                self._ended = True
                return b""
            if chunk:
                return chunk
        return b""


async def _serve(scope: Any, proto: Any) -> None:
    if not _started.is_set():
        _start_threads()
    loop = asyncio.get_running_loop()
    environ = _environ(scope)
    length = environ.get("CONTENT_LENGTH", "")
    if not length.isdigit() or length == "0":
        environ["wsgi.input"] = io.BytesIO()
    elif len(length) < 10 and int(length) <= SMALL_BODY_BYTES:
        environ["wsgi.input"] = io.BytesIO(bytes(await proto()))
    else:
        environ["wsgi.input"] = io.BufferedReader(_Body(proto, loop), 64 * 1024)
    is_stream = scope.path == _STREAM
    if is_stream:
        environ.pop("HTTP_ACCEPT_ENCODING", None)
    done: asyncio.Future[Any] = loop.create_future()
    _tasks.put((environ, proto, loop, done))
    listener = await done
    if listener is not None:
        await live.hub(loop).serve(listener, proto)


def application(scope: Any, proto: Any) -> Any:
    """Answer one request (RSGI 1.5)."""
    return _serve(scope, proto)


def _environ(scope: Any) -> dict[str, Any]:
    """Return the request as WSGI says it. A header with an underscore is dropped: it would pass for another."""
    host, _, port = scope.server.rpartition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "SERVER_NAME": host.strip("[]"),
        "SERVER_PORT": port,
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        if key not in {"CONTENT_TYPE", "CONTENT_LENGTH"}:
            key = f"HTTP_{key}"
        if key in environ:
            value = environ[key] + ("; " if key == "HTTP_COOKIE" else ",") + value
        environ[key] = value
    return environ


def _start_threads() -> None:
    _started.set()
    for number in range(settings.WEB_THREADS):
        threading.Thread(target=_work, name=f"pages-{number}", daemon=True).start()


def _work() -> None:
    while True:
        environ, proto, loop, done = _tasks.get()
        listener = None
        try:
            listener = _answer(environ, proto, loop)
        except Exception:
            logger.exception("a request ended in an error: %s", environ["PATH_INFO"])
            _last_resort(proto)
        finally:
            loop.call_soon_threadsafe(_finish, done, listener)


def _finish(done: "asyncio.Future[Any]", listener: Any) -> None:
    if not done.done():
        done.set_result(listener)


def _last_resort(proto: Any) -> None:
    try:
        proto.response_str(500, [("content-type", "text/plain; charset=utf-8")], "Máy chủ gặp lỗi.")
    except Exception as reason:  # the answer has begun, or nobody is there any more
        logger.info("no answer could be given: %s", reason)


def _answer(environ: dict[str, Any], proto: Any, loop: asyncio.AbstractEventLoop) -> "live.Listener | None":
    """Have Django answer. Returns the listener of a stream that is to be kept open, with its first words in it."""
    said: list[tuple[int, Headers]] = []

    def start(status: str, headers: Headers, exc_info: object = None) -> Callable[[bytes], object]:
        said.append((int(status[:3]), headers))
        return lambda data: None

    response: Any = django(environ, start)
    try:
        status, headers = said[-1]
        listener: live.Listener | None = getattr(response, "listener", None)
        if listener is not None:
            listener.headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
            listener.first = b"".join(response).decode()
        elif getattr(response, "streaming", False):
            _stream(proto, loop, status, headers, response)
        else:
            if _tasks.qsize() >= CROWDED:
                # A kept-alive connection stays with its process, however long the queue there: a new one may fall on
                # another that is idle.
                headers.append(("connection", "close"))
            proto.response_bytes(status, headers, b"".join(response))
        return listener
    finally:
        response.close()


def _stream(
    proto: Any, loop: asyncio.AbstractEventLoop, status: int, headers: Headers, chunks: Iterable[bytes]
) -> None:
    """Send an answer piece by piece, no faster than it is taken."""
    from granian._granian import RSGIProtocolClosed

    transport = proto.response_stream(status, headers)

    def send(piece: bytes) -> None:
        asyncio.run_coroutine_threadsafe(_send(transport, piece), loop).result()

    held = bytearray()
    try:
        for chunk in chunks:
            held += chunk
            if len(held) >= STREAM_BYTES:
                send(bytes(held))
                held.clear()
        if held:
            send(bytes(held))
    except RSGIProtocolClosed:
        logger.info("the reader of a long answer went away")


async def _send(transport: Any, piece: bytes) -> None:
    await transport.send_bytes(piece)
