"""The process that takes what devices publish: `machnuoc ingest`.

One thread of the event loop speaks MQTT (gmqtt), one thread stores. Whatever arrived while the last commit ran is the
next batch, so batches grow with the load by themselves and a lone message waits for nobody. A message is acknowledged
after the commit that stores it, on the connection on which it came, and never otherwise: what a killed process had
taken but not stored, the broker sends again, and a repeat is a duplicate in the ledger.

While the database does not take anything (locked, full, gone), messages wait here unacknowledged, up to a bound; beyond
that we stop reading, and they wait at the broker.
"""

import asyncio
import contextlib
import fcntl
import logging
import random
import signal
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any

import gmqtt
import psycopg
from django import db
from django.conf import settings
from gmqtt.mqtt.connection import MQTTConnection
from gmqtt.mqtt.constants import MQTTv50, MQTTv311
from gmqtt.mqtt.handler import MQTTConnectError

from machnuoc.telemetry import broker, receive, store
from machnuoc.telemetry.payloads import Message

logger = logging.getLogger(__name__)

WINDOW = 65_535  # messages that the broker may send ahead of our acknowledgements
MOST_MESSAGES = 10_000  # in one transaction
MOST_BYTES = 8 * 1024 * 1024
HELD_BYTES = 64 * 1024 * 1024  # waiting here: beyond that we stop reading
SESSION_KEPT_S = 30 * 24 * 3600  # the broker queues for us so long while we are away
KEEP_ALIVE_S = 30
CONNECT_WITHIN_S = 10.0
LONGEST_WAIT_S = 15.0  # between two tries to connect
LONGEST_LOCAL_WAIT_S = 1.0  # our own broker is soon back, and what it queues meanwhile is in memory only
LONGEST_RETRY_S = 5.0  # between two tries to store
FINISH_WITHIN_S = 3.0
START_WITHIN_S = 15.0  # a broker that `up` starts beside us may take so long
MOST_SLOTS = 64
_DATABASE_AWAY = (sqlite3.OperationalError, psycopg.OperationalError, psycopg.InterfaceError, db.OperationalError,
                  db.InterfaceError)  # fmt: skip

Store = Callable[[Sequence[Message], int], object]  # receive.take
Arrived = tuple[MQTTConnection | None, int, Message]  # where and under which number to acknowledge; None: QoS 0


class NoSlot(Exception):
    """Too many of these processes run on this data folder."""


@dataclass
class Counts:
    """What this process has done since it started."""

    messages: int = 0
    commits: int = 0
    failures: int = 0  # commits that were tried in vain
    connections: int = 0


class Ingest:
    """Takes messages from the broker into the store until told to stop."""

    def __init__(self, *, slot: int = 0, take: Store = receive.take) -> None:
        self.slot = slot
        self.counts = Counts()
        self._take = take
        self._waiting: deque[Arrived] = deque()
        self._held_bytes = 0
        self._paused: MQTTConnection | None = None
        self._arrived = asyncio.Event()
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._said = ""
        self._begun_s = time.monotonic()
        self._version = MQTTv50

    def stop(self) -> None:
        """Ask for the end: what has arrived is stored and acknowledged first."""
        self._stopping.set()

    async def run(self) -> None:
        storing = asyncio.create_task(self._keep_storing())
        try:
            await self._keep_connected(storing)
        finally:
            storing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await storing
            self._thread.submit(_close_databases)
            self._thread.shutdown()
            logger.info("stored %s messages in %s commits", self.counts.messages, self.counts.commits)

    # --- from the broker ----------------------------------------------------------------------------------------------

    async def _keep_connected(self, storing: "asyncio.Task[None]") -> None:
        wait_s = 0.2
        while not self._stopping.is_set():
            try:
                if await self._serve(storing):
                    wait_s = 0.2
            except (OSError, MQTTConnectError, broker.NoBroker) as reason:
                self._say_once(str(reason))
            if storing.done():
                storing.result()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait_s * random.uniform(0.8, 1.2))  # noqa: S311
            wait_s = min(LONGEST_LOCAL_WAIT_S if broker.is_embedded() else LONGEST_WAIT_S, 2 * wait_s)

    async def _serve(self, storing: "asyncio.Task[None]") -> bool:
        """Hold one connection as long as it lasts; return whether it came to a subscription."""
        where = await asyncio.get_running_loop().run_in_executor(None, broker.address)
        client = gmqtt.Client(
            broker.client_id(self.slot),
            clean_session=False,
            optimistic_acknowledgement=False,
            session_expiry_interval=SESSION_KEPT_S,
            receive_maximum=WINDOW,
        )
        client.set_config({"reconnect_retries": -2})  # never by itself: each connection is a client of its own
        client.set_auth_credentials(where.user, where.password)
        lost, subscribed = asyncio.Event(), asyncio.get_running_loop().create_future()
        client.on_disconnect = lambda *_: lost.set()
        client.on_subscribe = lambda _, mid, granted, properties: _give(subscribed, granted)
        client.on_message = lambda _, topic, payload, qos, properties: self._on_message(None, 0, payload, topic)

        def on_qos_1(mid: int, payload: bytes, topic: str | bytes, properties: object) -> None:
            self._on_message(client._connection, mid, payload, topic)

        # gmqtt makes a task for each message and acknowledges each by itself. One entry in a list, and one write for
        # all acknowledgements of a commit, is five times as fast. The lock file holds gmqtt at the tested version.
        client._package_handler._handle_qos_1_publish_packet = on_qos_1
        version = self._version if where.is_mqtt5 else MQTTv311
        try:
            connecting = asyncio.ensure_future(
                client.connect(
                    where.host, where.port, ssl=broker.tls_context() if where.is_tls else False,
                    keepalive=KEEP_ALIVE_S, version=version,
                )
            )  # fmt: skip
            await self._first(connecting, lost, CONNECT_WITHIN_S)
            is_shared = bool(settings.MQTT_SHARED)
            filters = broker.subscriptions(is_shared=is_shared, is_mqtt5=where.is_mqtt5)
            # Retained messages only for a new subscription, not after every reconnection; 3.1.1 knows no options.
            options = {"retain_handling_options": 1} if client._connection_state.protocol_version >= MQTTv50 else {}
            client.subscribe([gmqtt.Subscription(topic, qos=1, **options) for topic in filters])
            granted = await self._first(subscribed, lost, CONNECT_WITHIN_S)
            if any(code >= 128 for code in granted):
                raise OSError(f"the broker refuses the subscription of {where.user}")
            client.unsubscribe(broker.subscriptions(is_shared=not is_shared))  # of a time with the other choice
            self.counts.connections += 1
            self._said = ""
            logger.info("receiving from %s as %s", where.shown(), broker.client_id(self.slot))
            ends = [asyncio.ensure_future(event.wait()) for event in (lost, self._stopping)]
            await asyncio.wait([*ends, storing], return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
            if lost.is_set() and not self._stopping.is_set():
                self._say_once("connection to the broker lost")
            elif self._stopping.is_set():
                await self._finish(client, filters)
            return True
        finally:
            # gmqtt falls back to MQTT 3.1.1 where a broker refuses 5: remember it for the next try.
            self._version = client._connection_state.protocol_version if where.is_mqtt5 else self._version
            if self._paused is client._connection:
                self._paused = None
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                await asyncio.wait_for(client.disconnect(), 2)

    async def _first(self, wanted: "asyncio.Future[Any]", lost: asyncio.Event, within_s: float) -> Any:
        """Return what comes. Raises OSError if the connection is lost before, or it takes too long."""
        losing = asyncio.ensure_future(lost.wait())
        try:
            await asyncio.wait([wanted, losing], timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            if not wanted.done():
                wanted.cancel()
                raise OSError("the broker closed the connection" if lost.is_set() else "the broker does not answer")
            return wanted.result()
        finally:
            losing.cancel()

    def _on_message(self, connection: MQTTConnection | None, mid: int, payload: bytes, topic: str | bytes) -> None:
        if isinstance(topic, bytes):  # not UTF-8
            topic = topic.decode(errors="replace")
        self._waiting.append((connection, mid, Message(topic, payload, int(time.time() * 1000))))
        self._held_bytes += len(payload) + 256
        if self._held_bytes > HELD_BYTES and self._paused is None and connection is not None:
            self._paused = connection
            connection._transport.pause_reading()
        self._arrived.set()
        self._idle.clear()

    async def _finish(self, client: gmqtt.Client, filters: list[str]) -> None:
        """Store and acknowledge what has arrived. A second process also leaves its share to the others."""
        if self.slot:
            client.unsubscribe(filters)
            await asyncio.sleep(0.2)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), FINISH_WITHIN_S)

    # --- into the store -----------------------------------------------------------------------------------------------

    async def _keep_storing(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            batch = self._next_batch()
            if not batch:
                self._arrived.clear()
                self._idle.set()
                continue
            retry_s = 0.1
            while True:
                try:
                    await loop.run_in_executor(self._thread, self._store, [entry[2] for entry in batch])
                    break
                except _DATABASE_AWAY as reason:
                    self.counts.failures += 1
                    if retry_s == 0.1:
                        logger.error("readings cannot be stored, keeping them and trying on: %s", str(reason).strip())
                    await loop.run_in_executor(self._thread, _close_databases)
                    await asyncio.sleep(retry_s)
                    retry_s = min(LONGEST_RETRY_S, 2 * retry_s)
            if retry_s > 0.1:
                logger.warning("readings are stored again")
            self.counts.messages += len(batch)
            self.counts.commits += 1
            self._acknowledge(batch)

    def _next_batch(self) -> list[Arrived]:
        batch: list[Arrived] = []
        size = 0
        while self._waiting and len(batch) < MOST_MESSAGES and size < MOST_BYTES:
            batch.append(self._waiting.popleft())
            size += len(batch[-1][2].payload)
        return batch

    def _store(self, messages: list[Message]) -> None:
        """Store in one transaction; what a defect of ours keeps out goes to quarantine by itself, not in a circle."""
        now_ms = int(time.time() * 1000)
        try:
            self._take(messages, now_ms)
        except _DATABASE_AWAY:
            raise
        except Exception:
            logger.exception("%s messages could not be taken together; taking each by itself", len(messages))
            for message in messages:
                try:
                    self._take([message], now_ms)
                except _DATABASE_AWAY:
                    raise
                except Exception as reason:
                    logger.exception("a message of %s on %s is put away", len(message.payload), message.topic)
                    put_away(message, type(reason).__name__, now_ms)

    def _acknowledge(self, batch: list[Arrived]) -> None:
        self._held_bytes -= sum(len(entry[2].payload) + 256 for entry in batch)
        answers: dict[MQTTConnection, list[bytes]] = {}
        for connection, mid, _ in batch:
            if connection is not None:
                answers.setdefault(connection, []).append(b"\x40\x02" + mid.to_bytes(2, "big"))  # PUBACK, success
        for connection, packets in answers.items():
            if not connection.is_closing():
                connection.send_package(b"".join(packets))
        if self._paused is not None and self._held_bytes < HELD_BYTES // 2:
            paused, self._paused = self._paused, None
            if not paused.is_closing():
                paused._transport.resume_reading()

    def _say_once(self, reason: str) -> None:
        if reason != self._said:
            is_start = not self.counts.connections and time.monotonic() - self._begun_s < START_WITHIN_S
            logger.log(logging.INFO if is_start else logging.WARNING, "no broker: %s", reason)
            self._said = reason


def _give(future: "asyncio.Future[Any]", result: object) -> None:
    if not future.done():
        future.set_result(result)


def put_away(message: Message, reason: str, now_ms: int) -> None:
    """Quarantine a message that our own defect keeps from being taken, as one of an unknown sender."""
    hour = now_ms // store.HOUR_MS * store.HOUR_MS
    with store.transaction() as cursor:
        cursor.execute(
            store.adapt(
                "INSERT INTO telemetry_quarantine (device, topic, payload, received_at, reason) VALUES (0, ?, ?, ?, ?)"
            ),
            (message.topic.replace("\0", ""), message.payload, message.received_ms, f"lỗi của chương trình: {reason}"),
        )
        cursor.execute(
            store.adapt(
                "INSERT INTO telemetry_ledger (device, hour, received, quarantined) VALUES (0, ?, 1, 1) "
                "ON CONFLICT (device, hour) DO UPDATE SET received = telemetry_ledger.received + 1, "
                "quarantined = telemetry_ledger.quarantined + 1"
            ),
            (hour,),
        )


def _close_databases() -> None:
    """Close this thread's connections: the next use opens new ones."""
    with contextlib.suppress(Exception):
        store.close()
    db.connections.close_all()


# --- which of several processes ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def hold_slot() -> Iterator[int]:
    """Give the lowest number that no other process on this data folder has. Raises NoSlot."""
    for slot in range(MOST_SLOTS):
        file: IO[bytes] = (broker.folder() / f"ingest-{slot}.lock").open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            continue
        try:
            if slot and not settings.MQTT_SHARED:
                raise NoSlot(
                    "Đã có một tiến trình nhận số đo chạy trên thư mục dữ liệu này. Muốn chạy nhiều, đặt "
                    "MACHNUOC_MQTT_SHARED=1 (xem docs/operations.md, Sensors)."
                )
            yield slot
        finally:
            file.close()
        return
    raise NoSlot(f"Đã có {MOST_SLOTS} tiến trình nhận số đo chạy trên thư mục dữ liệu này.")


def run() -> None:
    """Receive until SIGTERM or SIGINT. Raises NoSlot."""
    logging.getLogger("gmqtt").setLevel(logging.CRITICAL)  # we say ourselves what happened

    async def receive_all(slot: int) -> None:
        taking = Ingest(slot=slot)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, taking.stop)
        await taking.run()

    with hold_slot() as slot:
        asyncio.run(receive_all(slot))
