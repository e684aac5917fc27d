"""What is new, told to browsers while it happens: one poller a process, server-sent events, scope held to each reader.

Django decides who may listen and says what stands at that moment (live_views.stream); after that a listener lies on
the event loop and costs no thread. The poller reads only while somebody listens. Whoever comes back gets everything
that stands first, so nothing has to be kept for those who are away.
"""

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.utils.crypto import constant_time_compare

from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.telemetry import store
from machnuoc.telemetry.models import Alarm, Channel

logger = logging.getLogger(__name__)

POLL_EVERY_S = 0.5
HEARTBEAT_S = 15.0
EVERYTHING_EVERY_S = 60.0  # what no device said: back-fill, a mended calibration, a removed alarm
OVERLAP_MS = 5_000  # receivers do not commit in the order in which they take
PER_PERSON = 6  # of one process
TOTAL = 300
RECENT_S = 10.0
QUEUE = 64  # events that a slow reader may be behind


Rows = list[tuple[int, Any]]  # (work, what is said)


@dataclass(eq=False)
class Listener:
    """One open stream. works: what the person may see, None is everything. first: what it begins with."""

    person_id: int
    session_key: str
    works: frozenset[int] | None
    first: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    events: "asyncio.Queue[str | None]" = field(default_factory=lambda: asyncio.Queue(QUEUE))


def format_event(name: str, data: Any, number: int) -> str:
    """Return one event as it goes over the wire."""
    return f"event: {name}\nid: {number}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


def scope_of(person: Person) -> frozenset[int] | None:
    """Return the works that the person may see, None for everything."""
    return None if access.sees_everything(person) else frozenset(access.visible_subject_ids(person))


def _drop_dead_connection() -> None:
    """Let a thread that lives for long outlive a restart of the database."""
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()


def still_listens(session_key: str, person_id: int) -> bool | frozenset[int]:
    """Return False if the session is over or the person gone, True for who sees everything, else the works seen."""
    _drop_dead_connection()
    session = SessionStore(session_key)
    person = Person.objects.filter(pk=person_id, is_active=True).first()
    if person is None or session.get(SESSION_KEY) != str(person_id):
        return False
    if not constant_time_compare(session.get(HASH_SESSION_KEY, ""), person.get_session_auth_hash()):
        return False
    works = scope_of(person)
    return True if works is None else works


def alarm_data(alarm: Alarm) -> dict[str, Any]:
    """Return an alarm as the stream says it."""
    return {
        "id": alarm.pk, "station": alarm.work.subject.key, "channel": alarm.rule.channel_id, "state": alarm.state,
        "priority": alarm.priority, "text": alarm.text, "is_withdrawn": alarm.is_withdrawn,
        "began_at": store_ms(alarm.began_at), "ended_at": None if alarm.ended_at is None else store_ms(alarm.ended_at),
    }  # fmt: skip


def store_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


class Poller:
    """What has changed since the last look. Works in one thread of its own."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, float, int]] = {}
        self._works: dict[int, tuple[int, int]] = {}  # channel: (device, work)
        self._received_ms = 0
        self._alarms_from_ms = 0
        self._told: dict[int, int] = {}  # alarm: changed_at that was told
        self._everything_at_s = 0.0

    def look(self, now_ms: int) -> tuple[Rows, Rows]:
        """Return ([(work, [channel, at, value, quality])], [(work, alarm)]) that are new, at first all that stand."""
        _drop_dead_connection()
        now_s = time.monotonic()
        is_first = not self._everything_at_s
        asked: Collection[int]
        if is_first or now_s - self._everything_at_s > EVERYTHING_EVERY_S:
            self._everything_at_s = now_s
            rows = Channel.objects.filter(is_active=True).values_list("pk", "device_id", "device__work_id")
            self._works = {channel: (device, work) for channel, device, work in rows}
            asked = list(self._works)
            if is_first:
                self._received_ms = self._alarms_from_ms = now_ms
        else:
            changed = store.query(
                "SELECT device, received_at FROM telemetry_device_state WHERE received_at >= ?",
                [self._received_ms - OVERLAP_MS],
            )
            devices = {device for device, _ in changed}
            self._received_ms = max([self._received_ms, *(at for _, at in changed)])
            asked = [channel for channel, (device, _) in self._works.items() if device in devices]
        found = []
        for channel, reading in store.latest(list(asked)).items():
            if self._known.get(channel) != reading:
                self._known[channel] = reading
                found.append((self._works[channel][1], [channel, *reading]))
        return found, self._look_at_alarms()

    def _look_at_alarms(self) -> Rows:
        since = datetime.fromtimestamp((self._alarms_from_ms - OVERLAP_MS) / 1000, UTC)
        rows = Alarm.objects.filter(changed_at__gt=since).select_related("rule", "work__subject").order_by("changed_at")
        found = []
        told = {}
        for alarm in rows[:500]:
            changed_ms = told[alarm.pk] = store_ms(alarm.changed_at)
            self._alarms_from_ms = max(self._alarms_from_ms, changed_ms)
            if self._told.get(alarm.pk) != changed_ms:
                found.append((alarm.work_id, alarm_data(alarm)))
        self._told = told
        return found


class Hub:
    """Everybody who listens to this process."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="live")
        self._recent: deque[tuple[float, str, Rows]] = deque()  # told while a newcomer's first words were being made

    async def serve(self, listener: Listener, proto: Any) -> None:
        """Keep one stream open until the reader goes, the session ends or the reader is too far behind."""
        from granian._granian import RSGIProtocolClosed

        of_person = sum(one.person_id == listener.person_id for one in self._listeners)
        if of_person >= PER_PERSON or len(self._listeners) >= TOTAL:
            text = "Quá nhiều trang giám sát đang mở. Đóng bớt rồi tải lại."
            proto.response_str(429, [("content-type", "text/plain; charset=utf-8"), ("retry-after", "30")], text)
            return
        self._listeners.add(listener)
        for _, name, rows in self._recent:
            listener.first += _write(name, rows, listener.works)
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._poll())
        transport = proto.response_stream(200, listener.headers)
        gone = asyncio.ensure_future(proto.client_disconnect())
        try:
            await transport.send_str(listener.first)
            checked_s = self._loop.time()
            while not gone.done():
                if self._loop.time() - checked_s >= HEARTBEAT_S:
                    checked_s = self._loop.time()
                    if not await self._check(listener):
                        return
                    await transport.send_str(format_event("nhip", {"at": _now_ms()}, _now_ms()))
                waited = asyncio.ensure_future(listener.events.get())
                await asyncio.wait(
                    {waited, gone},
                    timeout=max(0.05, HEARTBEAT_S - (self._loop.time() - checked_s)),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not waited.done():
                    waited.cancel()
                    continue
                said = waited.result()
                if said is None:
                    return
                await transport.send_str(said)
        except RSGIProtocolClosed:
            logger.debug("a listener went away")
        finally:
            gone.cancel()
            self._listeners.discard(listener)

    async def _check(self, listener: Listener) -> bool:
        found = await self._loop.run_in_executor(self._thread, still_listens, listener.session_key, listener.person_id)
        if found is False:
            return False
        listener.works = None if found is True else found
        return True

    async def _poll(self) -> None:
        poller = Poller()
        while self._listeners:
            began_s = self._loop.time()
            try:
                readings, alarms = await self._loop.run_in_executor(self._thread, poller.look, _now_ms())
                self._tell(readings, alarms)
            except Exception:
                logger.exception("the poller of live readings could not look; it looks again in five seconds")
                await asyncio.sleep(5)
            await asyncio.sleep(max(0.05, POLL_EVERY_S - (self._loop.time() - began_s)))

    def _tell(self, readings: Rows, alarms: Rows) -> None:
        now_s = self._loop.time()
        while self._recent and self._recent[0][0] < now_s - RECENT_S:
            self._recent.popleft()
        for name, rows in (("so-do", readings), ("bao-dong", alarms)):
            if not rows:
                continue
            self._recent.append((now_s, name, rows))
            kept: dict[frozenset[int] | None, str] = {}  # many listeners share a scope: write it once
            for listener in list(self._listeners):
                text = kept.get(listener.works)
                if text is None:
                    text = kept[listener.works] = _write(name, rows, listener.works)
                if text:
                    self._put(listener, text)

    def _put(self, listener: Listener, text: str) -> None:
        if listener.events.full():  # too far behind: it comes back and gets what stands
            while not listener.events.empty():
                listener.events.get_nowait()
            listener.events.put_nowait(None)
            self._listeners.discard(listener)
            return
        listener.events.put_nowait(text)


def _write(name: str, rows: Rows, works: frozenset[int] | None) -> str:
    seen = [row for work, row in rows if works is None or work in works]
    number = _now_ms()
    return format_event(name, {"at": number, "rows": seen}, number) if seen else ""


_hubs: dict[int, Hub] = {}


def hub(loop: asyncio.AbstractEventLoop) -> Hub:
    """Return the hub of this event loop."""
    if id(loop) not in _hubs:
        _hubs[id(loop)] = Hub(loop)
    return _hubs[id(loop)]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
