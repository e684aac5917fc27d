"""A broker inside Python (amqtt, MQTT 3.1.1) for trying the program where Mosquitto is not installed.

Passwords and rights are the same files. It keeps nothing on disk, and forgets what a receiver that was killed had not
acknowledged: docs/adr/0007-broker.md. Not for a province.
"""

import asyncio
import logging
import threading
from dataclasses import dataclass
from pathlib import Path

from amqtt.broker import Broker
from amqtt.contexts import Action, BaseContext
from amqtt.errors import BrokerError
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session
from django.conf import settings

from machnuoc.telemetry import broker

logger = logging.getLogger(__name__)


class Passwords(BaseAuthPlugin):  # type: ignore[misc]
    """Lets in who knows a password of Mosquitto's password file."""

    @dataclass
    class Config:
        path: str = ""

    async def authenticate(self, *, session: Session) -> bool | None:
        lines = Path(self.config.path).read_text(encoding="utf-8").splitlines()
        known = dict(line.split(":", 1) for line in lines if ":" in line)
        return session.username in known and broker.is_password(session.password or "", known[session.username])


class Rights(BaseTopicPlugin):  # type: ignore[misc]
    """Lets each write and read what Mosquitto's acl file says."""

    @dataclass
    class Config:
        path: str = ""

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        self._read_at_ns = -1
        self._rights: dict[str, dict[str, list[str]]] = {}

    async def topic_filtering(
        self, *, session: Session | None = None, topic: str | None = None, action: Action | None = None
    ) -> bool | None:
        path = Path(self.config.path)
        changed_ns = path.stat().st_mtime_ns
        if changed_ns != self._read_at_ns:
            self._rights, self._read_at_ns = _read_rights(path.read_text(encoding="utf-8")), changed_ns
        if session is None or topic is None:
            return False
        kind = "write" if action == Action.PUBLISH else "read"
        allowed = self._rights.get(session.username or "", {}).get(kind, [])
        return any(is_within(topic, pattern) for pattern in allowed)


def _read_rights(text: str) -> dict[str, dict[str, list[str]]]:
    rights: dict[str, dict[str, list[str]]] = {}
    user = ""
    for line in text.splitlines():
        words = line.split(" ", 2)
        if words[0] == "user":
            user = words[1]
        elif words[0] == "topic":
            rights.setdefault(user, {}).setdefault(words[1], []).append(words[2])
    return rights


def is_within(topic: str, pattern: str) -> bool:
    """Return whether the topic, or every topic of a filter, is matched by the pattern.

    >>> is_within("machnuoc/v1/a/up", "machnuoc/v1/a/#"), is_within("machnuoc/v1/#", "machnuoc/v1/a/#")
    (True, False)
    """
    asked, allowed = topic.split("/"), pattern.split("/")
    for level, wanted in enumerate(allowed):
        if wanted == "#":
            return True
        if level >= len(asked) or asked[level] == "#" or wanted not in {"+", asked[level]}:
            return False
    return len(asked) == len(allowed)


def run(stop: threading.Event) -> int:
    """Be the broker until told to stop; return the exit code. Raises broker.NoBroker."""
    for name in ("amqtt", "transitions"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return asyncio.run(_run(stop))


async def _run(stop: threading.Event) -> int:
    host, place = settings.MQTT_HOST, broker.folder()
    port = broker.pick_port(host)
    served = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{host}:{port}", "max_connections": 0}},
            "plugins": {
                f"{__name__}.Passwords": {"path": str(place / "passwords")},
                f"{__name__}.Rights": {"path": str(place / "acl")},
            },
        }
    )
    try:
        await served.start()
    except BrokerError as reason:
        raise broker.NoBroker(f"Không mở được cổng {port} tại {host}: {reason}. Đặt MACHNUOC_MQTT_PORT.") from None
    broker.announce(host, port, is_mqtt5=False)
    loop = asyncio.get_running_loop()
    try:
        while not await loop.run_in_executor(None, stop.wait, broker.LOOK_EVERY_S):
            await loop.run_in_executor(None, broker.refresh, place)
        return 0
    finally:
        await served.shutdown()
