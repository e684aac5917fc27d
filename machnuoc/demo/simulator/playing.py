"""Plays the simulated devices over the real road: each with its own secret to the broker, one over HTTP.

`machnuoc simulate`, and a child of `up --demo`. First the past is filled in, the newest day first and in the background
(receive.take, the messages that the devices would have sent); then every device sends when its time has come. The
clock of the simulation never goes beyond ours: at a higher speed it catches up, and goes on at 1 × from there.
"""

import asyncio
import contextlib
import fcntl
import heapq
import json
import logging
import math
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import gmqtt
from django.conf import settings
from django.db import connections
from gmqtt.mqtt.constants import MQTTv50, MQTTv311
from gmqtt.mqtt.handler import MQTTConnectError

from machnuoc.demo import telemetry
from machnuoc.demo.simulator import events, sensors, station_model
from machnuoc.demo.simulator.events import DAY_MS, HOUR_MS, LOCAL_OFFSET_MS, Event, Kind
from machnuoc.demo.simulator.sensors import BASE_MS, LIVE_MS, Part, Sample, Sender, Unit
from machnuoc.demo.simulator.world import World
from machnuoc.telemetry import broker, receive, store
from machnuoc.telemetry.models import Device
from machnuoc.telemetry.payloads import Message

logger = logging.getLogger(__name__)

LIVE_SPEED = 10.0  # up to this speed cabinets also send in between
TICK_S = 0.5
SAVE_EVERY_S = 30.0
OPENING_AGAIN_MS = 6 * HOUR_MS  # a demonstration that was off for longer begins with something to see
MOST_WAITING = 2_000  # messages of all devices that the broker has not taken yet: beyond that time stands still
FINISH_WITHIN_S = 1.0
KEEP_ALIVE_S = 120
_CHIRPSTACK = broker.CHIRPSTACK


class CannotPlay(Exception):
    """The simulation cannot run; the text says why and what to do."""


class AlreadyPlaying(CannotPlay):
    """Another process plays the devices of this data folder."""


@dataclass(frozen=True)
class Order:
    """What to play. from_ms None: now, after filling in the past. to_ms None: without end. stations: empty for all."""

    speed: float = 1.0
    seed: int | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    stations: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    is_once: bool = False


@dataclass
class Played:
    """What was sent: readings of devices, of [from_ms, to_ms]. unsent: messages that the broker did not take."""

    devices: int
    from_ms: int
    to_ms: int
    readings: int = 0
    unsent: int = 0


# --- the world of this installation -----------------------------------------------------------------------------------


def full_key(station: str) -> str:
    """Return the key of a simulated station, given with or without its beginning. Raises CannotPlay."""
    keys = [one.key for one in telemetry.list_stations()]
    found = [key for key in keys if station in {key, key.rpartition(".")[2]}]
    if not found:
        names = ", ".join(key.rpartition(".")[2] for key in keys)
        raise CannotPlay(f"Không có trạm mô phỏng «{station}». Có: {names}.")
    return found[0]


def list_units(stations: Sequence[str] = ()) -> list[Unit]:
    """Return the simulated devices that are loaded and in use. Raises CannotPlay if there is none."""
    there = set(Device.objects.filter(is_simulated=True, removed_at__isnull=True).values_list("code", flat=True))
    units = [unit for unit in telemetry.list_units() if unit.code in there]
    if stations:
        units = [unit for unit in units if unit.station in stations]
    if not units:
        raise CannotPlay("Chưa có thiết bị mô phỏng nào. Chạy: machnuoc demo load")
    return units


def make_world(
    stations: Sequence[station_model.Station], seed: int, begin_ms: int, planned: Sequence[Event], *,
    live_ms: int | None = None,
) -> World:  # fmt: skip
    """Return the world from an instant on. live_ms: from when on the days have events of their own; None: never."""
    tables = _get_tables(stations, seed)
    keys = [one.key for one in stations]

    def of_day(day_ms: int) -> list[Event]:
        if live_ms is None:
            return []
        if day_ms + DAY_MS <= live_ms:
            past = events.of_day(keys, day_ms, seed, count=1)
            return [one for one in past if one.until_ms < live_ms - DAY_MS]
        return [one for one in events.of_day(keys, day_ms, seed) if one.at_ms > live_ms + 2 * HOUR_MS]

    world = World(stations, tables, seed, begin_ms, planned, of_day=of_day)
    world.exchange(planned, sensors.settle_rollovers(world, planned))
    return world


def _get_tables(stations: Sequence[station_model.Station], seed: int) -> list[station_model.Tables]:
    """Return the tables, solved in a process of its own where they are not kept yet: WNTR would stay in our memory."""
    folder = Path(settings.DATA_DIR) / "simulation"
    if "wntr" not in sys.modules and not station_model.kept_file(stations, seed, folder).exists():
        solving = multiprocessing.get_context("spawn").Process(
            target=station_model.get_tables, args=(list(stations), seed, folder)
        )
        solving.start()
        solving.join()
    return station_model.get_tables(stations, seed, folder)


def begin_of_history() -> int:
    """Return the instant from which the simulated devices have readings."""
    first = (
        Device.objects.filter(is_simulated=True, installed_at__isnull=False)
        .order_by("installed_at")
        .values_list("installed_at", flat=True)
        .first()
    )
    if first is None:
        raise CannotPlay("Chưa có thiết bị mô phỏng nào. Chạy: machnuoc demo load")
    return round(first.timestamp() * 1000)


# --- what is kept between runs ------------------------------------------------------------------------------------


@dataclass
class Progress:
    """played_to_ms: everything to here was sent, back to filled_from_ms; what is older is still to be filled in."""

    played_to_ms: int
    filled_from_ms: int


def _file(name: str) -> Path:
    return Path(settings.DATA_DIR) / name


def read_progress() -> Progress | None:
    try:
        return Progress(**json.loads(_file("simulator_progress.json").read_text(encoding="ascii")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def write_progress(progress: Progress) -> None:
    handle, draft = tempfile.mkstemp(dir=settings.DATA_DIR, prefix=".simulator-")
    with os.fdopen(handle, "w", encoding="ascii") as file:
        json.dump({"played_to_ms": progress.played_to_ms, "filled_from_ms": progress.filled_from_ms}, file)
    os.replace(draft, _file("simulator_progress.json"))


def order_event(event: Event) -> None:
    """Let something happen: the process that plays sees it within a second, and again after a restart."""
    with _file("simulator_events.jsonl").open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(event.as_row()) + "\n")


def list_ordered() -> list[Event]:
    """Return what was ordered, in that order; a line that cannot be read is left out."""
    try:
        lines = _file("simulator_events.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            row = json.loads(line)
            event = Event(Kind(row["kind"]), row["station"], row["at_ms"], row["until_ms"], row["size"])
            if not math.isfinite(event.size) or event.until_ms < event.at_ms:
                raise ValueError(event)
            found.append(event)
        except (ValueError, KeyError, TypeError):
            logger.warning("an ordered event cannot be read: %.100s", line)
    return found


@contextlib.contextmanager
def hold() -> Iterator[None]:
    """Be the one process that plays. Raises AlreadyPlaying."""
    file: IO[bytes] = _file("simulator.lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise AlreadyPlaying(
            "Đã có tiến trình mô phỏng chạy trên thư mục dữ liệu này. Dừng nó, hoặc chỉ đặt sự kiện: "
            "machnuoc simulate --event LOẠI --station TRẠM"
        ) from None
    try:
        yield
    finally:
        file.close()


def is_playing() -> bool:
    """Return whether a process plays the devices of this data folder."""
    try:
        with hold():
            return False
    except AlreadyPlaying:
        return True


# --- how messages get there ---------------------------------------------------------------------------------------


@dataclass
class Link:
    """The connection of one user of the broker: a device, or ChirpStack for its nodes."""

    user: str
    secret: str
    waiting: deque[tuple[str, bytes]] = field(default_factory=deque)
    client: gmqtt.Client | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    sent: deque[tuple[str, bytes]] = field(default_factory=deque)  # not yet acknowledged, the oldest first

    @property
    def unsent(self) -> int:
        return len(self.waiting) + self._held()

    def _held(self) -> int:
        """Return how many messages the broker has not acknowledged, and forget those that it has."""
        held = 0 if self.client is None else len(self.client._persistent_storage.get_all())
        while len(self.sent) > held:
            self.sent.popleft()  # it acknowledges in order
        return held

    async def run(self) -> None:
        """Send what waits, over a connection that is made anew as often as need be."""
        wait_s = 0.3
        while True:
            await self.arrived.wait()
            try:
                if self.client is None:
                    await self._connect()
                await self._send()
                wait_s = 0.3
            except (OSError, MQTTConnectError, broker.NoBroker, TimeoutError) as reason:
                logger.debug("%s cannot send yet: %s", self.user, reason)
                await self._drop()
                await asyncio.sleep(wait_s)
                wait_s = min(10.0, 2 * wait_s)

    async def _connect(self) -> None:
        where = await asyncio.get_running_loop().run_in_executor(None, broker.address, self.user)
        client = gmqtt.Client(f"mo-phong-{self.user}", clean_session=True)
        client.set_config({"reconnect_retries": -2})
        client.set_auth_credentials(self.user, self.secret)
        connecting = client.connect(
            where.host, where.port, ssl=broker.tls_context() if where.is_tls else False, keepalive=KEEP_ALIVE_S,
            version=MQTTv50 if where.is_mqtt5 else MQTTv311,
        )  # fmt: skip
        await asyncio.wait_for(connecting, 10)
        self.client = client

    async def _send(self) -> None:
        while self.waiting:
            client = self.client
            if client is None or not client.is_connected:
                raise OSError("the broker closed the connection")
            topic, payload = self.waiting.popleft()
            client.publish(topic, payload, qos=1)
            self.sent.append((topic, payload))
            if self._held() > 100:
                await asyncio.wait_for(client._persistent_storage.wait_empty(), 30)
        if self.client is not None and not self.client.is_connected:
            raise OSError("the broker closed the connection")
        self.arrived.clear()

    async def _drop(self) -> None:
        """Leave the connection; what it had not been told is taken waits again (a repeat is a duplicate)."""
        self._held()
        client, self.client = self.client, None
        self.waiting.extendleft(reversed(self.sent))
        self.sent.clear()
        if client is not None:
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(client.disconnect(), 2)

    async def close(self) -> None:
        await self._drop()


class Road:
    """Sends messages of devices as those devices would."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = secrets
        self._links: dict[str, Link] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._posts: set[asyncio.Task[None]] = set()

    @property
    def unsent(self) -> int:
        return sum(link.unsent for link in self._links.values()) + len(self._posts)

    def send(self, unit: Unit, payloads: Iterator[bytes]) -> None:
        for payload in payloads:
            if unit.protocol == "HTTP":
                task = asyncio.get_running_loop().create_task(self._post(unit, payload))
                self._posts.add(task)
                task.add_done_callback(self._posts.discard)
                continue
            link = self._link(unit)
            link.waiting.append((unit.topic, payload))
            link.arrived.set()

    def _link(self, unit: Unit) -> Link:
        user = _CHIRPSTACK if unit.protocol == "CHIRPSTACK" else unit.code
        if user not in self._links:
            secret = broker.own_secret(user) if user == _CHIRPSTACK else self._secrets.get(user, "")
            link = Link(user, secret)
            self._links[user] = link
            self._tasks.append(asyncio.get_running_loop().create_task(link.run()))
        return self._links[user]

    async def _post(self, unit: Unit, payload: bytes) -> None:
        host = "127.0.0.1" if settings.HOST in {"0.0.0.0", "::"} else settings.HOST  # noqa: S104 - only compared
        address = f"http://{f'[{host}]' if ':' in host else host}:{settings.PORT}/api/v1/telemetry/readings"
        headers = {
            "Authorization": f"Bearer {self._secrets.get(unit.code, '')}", "Content-Type": "application/json",
            "Idempotency-Key": f"{unit.code}-{hash(payload) & 0xFFFFFFFFFFFF:x}-{time.time_ns()}",
        }  # fmt: skip
        request = urllib.request.Request(address, payload, headers)

        def post() -> int:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own address
                return int(answer.status)

        for wait_s in (1, 5, 15, 30, 60):
            try:
                await asyncio.get_running_loop().run_in_executor(None, post)
                return
            except urllib.error.HTTPError as reason:
                if reason.code < 500:
                    logger.warning("the web refuses the readings of %s: %s", unit.code, reason)
                    return
            except OSError as reason:
                logger.debug("%s cannot send yet: %s", unit.code, reason)
            await asyncio.sleep(wait_s)
        logger.warning("readings of %s could not be sent over HTTP", unit.code)

    async def drain(self, within_s: float) -> bool:
        """Wait until the broker has taken everything; return whether it has."""
        until_s = time.monotonic() + within_s
        while self.unsent and time.monotonic() < until_s:
            await asyncio.sleep(0.05)
        return not self.unsent

    async def close(self) -> None:
        for task in [*self._tasks, *self._posts]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._posts, return_exceptions=True)
        for link in self._links.values():
            await link.close()


def as_messages(unit: Unit, samples: Sequence[Sample], received_ms: int) -> list[Message]:
    """Return what arrives when the device sends the samples, as receive.take wants it."""
    if not samples:
        return []
    if unit.protocol == "HTTP":
        return [Message("", body, received_ms, unit.code, "MQTT") for body in sensors.encode(unit, samples)]
    return [Message(unit.topic, body, received_ms) for body in sensors.encode(unit, samples)]


# --- time -------------------------------------------------------------------------------------------------------------


class Player:
    """Plays devices until the end of the order, or until told to stop."""

    def __init__(self, order: Order, now_ms: int, *, clock: Callable[[], float] = time.time) -> None:
        simulation = telemetry.read_simulation()
        self.order = order
        self._clock = clock
        self.seed = simulation.seed if order.seed is None else order.seed
        wanted = tuple(full_key(one) for one in order.stations)
        self.units = list_units(wanted)
        keys = {unit.station for unit in self.units}
        stations = [one for one in telemetry.list_stations() if one.key in keys]
        self.is_live = order.from_ms is None and not order.is_once
        self.begin_ms = begin_of_history()
        self.live_ms = now_ms if simulation.live_at is None else round(simulation.live_at.timestamp() * 1000)
        self.start_ms = now_ms if order.from_ms is None else order.from_ms
        if order.from_ms is not None:
            self.begin_ms = min(self.begin_ms, order.from_ms)
        planned = [*order.events]
        self._ordered: list[Event] = []
        if order.from_ms is None:
            self._open_again(now_ms)
            self._ordered = list_ordered()
            planned += [*events.opening([one.key for one in stations], self.live_ms, self.seed), *self._ordered]
        self.world = make_world(
            stations, self.seed, self.begin_ms, planned, live_ms=None if order.from_ms is not None else self.live_ms
        )
        self.world.run_to(self.start_ms)
        self.senders = [self._sender(unit) for unit in self.units]
        self.road = Road(simulation.secrets)
        self.stopping = asyncio.Event()
        self.played = Played(len(self.units), self.start_ms, self.start_ms)
        self._begun_s = clock()

    def _open_again(self, now_ms: int) -> None:
        """After a longer pause, let something happen soon: people look at the first minutes."""
        progress = read_progress()
        if progress is None or now_ms - progress.played_to_ms < OPENING_AGAIN_MS:
            return
        keys = sorted({unit.station for unit in self.units})
        for event in events.soon(keys, now_ms, self.seed):
            order_event(event)

    def _sender(self, unit: Unit) -> Sender:
        sender = Sender(unit, self.start_ms)
        for one in self.world.events(Kind.LATE_BATCH):
            if one.station == unit.station and unit.part == Part.LOGGER and one.is_on(self.start_ms):
                sender.waiting = sensors.measure(self.world, unit, max(one.at_ms, int(self.world.at[0])), self.start_ms)
        return sender

    def now_ms(self) -> int:
        """Return the instant of the simulation: never beyond ours."""
        clock_s = self._clock()
        reached = self.start_ms + (clock_s - self._begun_s) * self.order.speed * 1000
        return int(min(reached, clock_s * 1000))

    # --- the past ---------------------------------------------------------------------------------------------------

    def list_blocks(self) -> list[tuple[int, int]]:
        """Return what of the past is to be filled in, the most wanted first: since we stopped, then day by day back."""
        progress = read_progress()
        if progress is None:
            progress = Progress(self.start_ms, self.start_ms)
        found = []
        begin = progress.played_to_ms
        while begin < self.start_ms:
            end = min(self.start_ms, begin + DAY_MS)
            found.append((begin, end))
            begin = end
        end = progress.filled_from_ms
        while end > self.begin_ms:
            start = (end - 1 + LOCAL_OFFSET_MS) // DAY_MS * DAY_MS - LOCAL_OFFSET_MS
            if end == self.start_ms:  # all that rules judge at once: a gap would be told as silence
                start -= telemetry.RULES_FROM.days * DAY_MS
            start = max(self.begin_ms, start)
            found.append((start, end))
            end = start
        return found

    def messages_of(self, from_ms: int, to_ms: int, received_ms: int) -> list[Message]:
        """Return what the devices would have sent of [from_ms, to_ms), as far as it is not waiting in a device."""
        late = self.world.events(Kind.LATE_BATCH)
        found = []
        for unit in self.units:
            samples = sensors.measure(self.world, unit, from_ms, to_ms)
            held = [one for one in late if one.station == unit.station and unit.part == Part.LOGGER]
            held = [one for one in held if one.until_ms > self.start_ms]
            found += as_messages(
                unit, [one for one in samples if not any(event.is_on(one.at_ms) for event in held)], received_ms
            )
        return found

    async def fill_in(self) -> int:
        """Fill in the past, block by block; return how many readings are new."""
        loop = asyncio.get_running_loop()
        stored = 0
        progress = read_progress() or Progress(self.start_ms, self.start_ms)
        for from_ms, to_ms in self.list_blocks():
            if self.stopping.is_set():
                return stored
            received_ms = int(self._clock() * 1000)
            messages = self.messages_of(from_ms, to_ms, received_ms)
            receipt = await loop.run_in_executor(None, _take, messages, received_ms)
            stored += receipt.total.stored
            if to_ms > progress.played_to_ms:
                progress.played_to_ms = to_ms
            else:
                progress.filled_from_ms = from_ms
            write_progress(progress)
            await asyncio.sleep(0.02)
        self._filled_from_ms = self.begin_ms
        return stored

    # --- the present --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        filling = None
        self._filled_from_ms = self.start_ms
        if self.is_live:
            filling = asyncio.get_running_loop().create_task(self.fill_in())
        elif self.order.is_once:
            for sender in self.senders:
                sender.next_ms = self.start_ms - BASE_MS * 12
        try:
            await self._play(filling)
        finally:
            self.stopping.set()
            if filling is not None:
                await filling
            is_sent = await self.road.drain(60.0 if self._is_at_end() else FINISH_WITHIN_S)
            self.played.unsent = self.road.unsent
            if not is_sent:
                logger.warning("%s messages of simulated devices were not taken by the broker", self.road.unsent)
            if self.is_live:
                self._save(self.now_ms())
            await self.road.close()

    def _is_at_end(self) -> bool:
        return self.order.is_once or (self.order.to_ms is not None and self.now_ms() >= self.order.to_ms)

    async def _play(self, filling: "asyncio.Task[int] | None") -> None:
        is_dense = self.is_live or self.order.speed <= LIVE_SPEED
        heap = [(self._due(sender, is_dense), number) for number, sender in enumerate(self.senders)]
        heapq.heapify(heap)
        saved_s = self._clock()
        while not self.stopping.is_set():
            until_ms = self.now_ms()
            if self.order.to_ms is not None:
                until_ms = min(until_ms, self.order.to_ms)
            self._look_for_orders(until_ms)
            if self.road.unsent <= MOST_WAITING:
                self.world.run_to(until_ms)
                self._send_due(heap, until_ms, is_dense)
            if self._is_at_end():
                return
            if filling is not None and filling.done():
                if filling.exception() is not None:
                    filling.result()
                self.world.forget_before(until_ms - DAY_MS)
            if self.is_live and self._clock() - saved_s > SAVE_EVERY_S and not self.road.unsent:
                self._save(until_ms)
                saved_s = self._clock()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), TICK_S)

    def _due(self, sender: Sender, is_dense: bool) -> int:
        every_ms = LIVE_MS if is_dense and sender.unit.part == Part.CABINET else BASE_MS
        return sender.next_ms + (sender.unit.phase_ms - sender.next_ms) % every_ms

    def _send_due(self, heap: list[tuple[int, int]], until_ms: int, is_dense: bool) -> None:
        while heap and heap[0][0] <= until_ms:
            _, number = heapq.heappop(heap)
            sender = self.senders[number]
            samples = sensors.collect(self.world, sender, until_ms + 1, is_live=is_dense)
            if self.order.is_once:
                samples = samples[-1:]
            self.played.readings += sum(len(sample.values) for sample in samples)
            self.played.to_ms = max([self.played.to_ms, *(sample.at_ms for sample in samples)])
            self.road.send(sender.unit, sensors.encode(sender.unit, samples))
            heapq.heappush(heap, (self._due(sender, is_dense), number))

    def _look_for_orders(self, now_ms: int) -> None:
        """Let happen what somebody has ordered since."""
        if self.order.from_ms is not None:
            return
        path = _file("simulator_events.jsonl")
        size = path.stat().st_size if path.exists() else 0
        if size == getattr(self, "_orders_size", -1):
            return
        self._orders_size = size
        fresh = [one for one in list_ordered() if one not in self._ordered]
        if fresh:
            self._ordered += fresh
            self.world.take_back(max(now_ms, min(one.at_ms for one in fresh)))
            self.world.add(fresh)
            for one in fresh:
                logger.info("%s at %s from %s", one.kind, one.station, one.at_ms)

    def _save(self, played_to_ms: int) -> None:
        progress = read_progress()
        if progress is None or progress.played_to_ms < self.start_ms:
            return  # the gap before our start is not filled in yet
        write_progress(Progress(played_to_ms, progress.filled_from_ms))


def _take(messages: list[Message], now_ms: int) -> receive.Receipt:
    try:
        return receive.take(messages, now_ms)
    finally:
        store.close()
        connections.close_all()


def catch_up(now_ms: int) -> int:
    """Fill in what the devices would have sent since they were last played; return how many readings are new.

    Before the program comes up again: who watches for silence would else call people for the time it was off.
    """
    progress = read_progress()
    if progress is None or now_ms - progress.played_to_ms < BASE_MS:
        return 0
    stored = 0
    try:
        with hold():
            player = Player(Order(), now_ms)
            for from_ms, to_ms in player.list_blocks():
                if to_ms <= progress.played_to_ms:
                    break
                stored += receive.take(player.messages_of(from_ms, to_ms, now_ms), now_ms).total.stored
                write_progress(Progress(to_ms, progress.filled_from_ms))
    except CannotPlay as reason:
        logger.info("nothing is filled in: %s", reason)
    finally:
        store.close()
    return stored


def play(order: Order) -> Played:
    """Play until the end of the order, SIGTERM or SIGINT, and return what was sent. Raises CannotPlay."""
    logging.getLogger("gmqtt").setLevel(logging.CRITICAL)

    async def run() -> Played:
        loop = asyncio.get_running_loop()
        player = await loop.run_in_executor(None, _make_player, order)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, player.stopping.set)
        await player.run()
        return player.played

    if order.from_ms is not None or order.is_once:
        return asyncio.run(run())
    with hold():
        os.nice(5)  # who looks at the pages goes first
        return asyncio.run(run())


def _make_player(order: Order) -> Player:
    try:
        return Player(order, int(time.time() * 1000))
    finally:
        connections.close_all()
