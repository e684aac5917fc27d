"""The process that watches: rollups, alarms, calls and daily figures, again and again until it is asked to stop.

One process at a time does the work; a second one waits and takes over when the first is gone.
"""

import fcntl
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection
from django.utils import timezone

from machnuoc.telemetry import alarm_calls, alarm_engine, rollups, store

log = logging.getLogger(__name__)

EVERY_S = 0.25
CALLS_EVERY_S = 2.0
STANDBY_EVERY_S = 2.0
PAUSE_AFTER_FAILURE_S = 2.0
SLOW_ROUND_S = 5.0
RUNNING_HOUR_EVERY_MS = 10_000  # every reading marks its hour again: not made up anew each time
_LOCK_KEY = 7_246_081  # of PostgreSQL's advisory locks; any number of ours


@dataclass
class _Task:
    """Something done again and again. call: takes now, returns how much it did."""

    name: str
    call: Callable[[datetime], int]
    every_s: float = 0.0
    due_s: float = field(default=0.0)


def _rollups(now: datetime) -> int:
    return rollups.run_once(alarm_engine.to_ms(now), running_every_ms=RUNNING_HOUR_EVERY_MS)


def list_tasks() -> list[list[_Task]]:
    """Return what a watching process does, a list a thread: alarms do not wait while figures are computed."""
    return [
        [_Task("alarms", alarm_engine.run_once), _Task("calls", alarm_calls.run_once, CALLS_EVERY_S)],
        [_Task("rollups and figures", _rollups)],
    ]


def run(stop_event: threading.Event) -> None:
    """Watch until the event is set. A database that does not answer is waited for; any other failure is logged and the
    other tasks go on."""
    while not stop_event.is_set():
        with _alone() as is_ours:
            if is_ours:
                log.info("watching")
                _watch(stop_event)
            else:
                stop_event.wait(STANDBY_EVERY_S)
    log.info("watching ended")


def _watch(stop_event: threading.Event) -> None:
    alarm_engine.forget()
    lost = threading.Event()  # the database went away, and the lock may have gone with it: take it anew
    first, *others = list_tasks()
    threads = [threading.Thread(target=_repeat, args=(tasks, stop_event, lost), daemon=True) for tasks in others]
    for thread in threads:
        thread.start()
    _repeat(first, stop_event, lost)
    for thread in threads:
        thread.join()


def _repeat(tasks: list[_Task], stop_event: threading.Event, lost: threading.Event) -> None:
    """Do the tasks again and again, in this thread, with connections of its own."""
    while not stop_event.is_set() and not lost.is_set():
        began_s = time.monotonic()
        close_old_connections()
        has_failed = run_round(tasks, began_s)
        took_s = time.monotonic() - began_s
        if took_s > SLOW_ROUND_S:
            log.warning("a round of %s took %.1f s", tasks[0].name, took_s)
        if has_failed:
            lost.set()
        stop_event.wait(PAUSE_AFTER_FAILURE_S if has_failed else max(0.0, EVERY_S - took_s))
    store.close()
    connection.close()


def run_round(tasks: list[_Task], clock_s: float) -> bool:
    """Do once what is due; return whether the database was lost. A task that fails does not hold up the others."""
    has_failed = False
    for task in tasks:
        if clock_s < task.due_s:
            continue
        task.due_s = clock_s + task.every_s
        try:
            done = task.call(timezone.now())
        except (OperationalError, InterfaceError, psycopg.OperationalError) as reason:
            log.warning("database is not available to %s (%s); it is tried again", task.name, reason)
            connection.close()
            store.close()
            has_failed = True
        except Exception:
            log.exception("%s failed", task.name)
            task.due_s = clock_s + max(task.every_s, PAUSE_AFTER_FAILURE_S)
        else:
            if task.name == "alarms" and done:
                _call_at_once(tasks)  # an alarm has just changed: its calls are made in this round
    return has_failed


def _call_at_once(tasks: list[_Task]) -> None:
    for task in tasks:
        if task.name == "calls":
            task.due_s = 0.0


@contextmanager
def _alone() -> Iterator[bool]:
    """Yield whether this process is the one that watches."""
    if store.is_postgresql():
        try:
            lock = psycopg.connect(**_connection_parameters(), autocommit=True)
        except psycopg.OperationalError:
            log.exception("database is not available")
            yield False
            return
        try:
            yield bool(lock.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK_KEY]).fetchone()[0])  # type: ignore[index]
        finally:
            lock.close()
        return
    with open(settings.DATA_DIR / "watch.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _connection_parameters() -> dict[str, Any]:
    options = connection.get_connection_params()
    return {key: options[key] for key in ("dbname", "user", "password", "host", "port") if options.get(key)}
