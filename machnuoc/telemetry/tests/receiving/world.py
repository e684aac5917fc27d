"""An installation of its own with a running broker, as the tests of receiving use it."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection

from machnuoc.telemetry.tests.receiving.publisher import Publisher

BASE_MS = int(time.time() * 1000) // 3_600_000 * 3_600_000 - 30 * 3_600_000  # the first reading of each test
CHANNELS = 10


@dataclass
class World:
    """`devices`: {code: {"id", "channels", "secret"}}. Every process that it starts ends with it."""

    environment: dict[str, str]
    helper: "subprocess.Popen[str]"
    devices: dict[str, dict[str, Any]] = field(default_factory=dict)
    pids: list[int] = field(default_factory=list)

    @property
    def data_dir(self) -> Path:
        return Path(self.environment["MACHNUOC_DATA_DIR"])

    def do(self, what: str, **order: object) -> Any:
        """Have the helper do something (processes.act) and return its answer."""
        self.helper.stdin.write(json.dumps({"do": what, **order}) + "\n")
        self.helper.stdin.flush()
        line = self.helper.stdout.readline()
        assert line, f"the helper ended at {what}: {(self.data_dir / 'log').read_text()[-3000:]}"
        return json.loads(line)

    def start(self, what: str, **order: object) -> int:
        pid = self.do(what, **order)
        self.pids.append(pid)
        return pid

    def kill(self, pid: int, number: signal.Signals = signal.SIGKILL, *, within_s: float = 10) -> None:
        """Send the signal and wait until the process is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), within_s)

    def start_broker(self) -> int:
        """Start the program's own broker; return the process id of `machnuoc broker` when it takes connections."""
        address = self.data_dir / "broker" / "address.json"
        address.unlink(missing_ok=True)
        pid = self.start("broker")
        wait_for(address.exists, 20)
        return pid

    def publisher(self, code: str, **options: Any) -> Publisher:
        where = json.loads((self.data_dir / "broker" / "address.json").read_text())
        return Publisher(where["host"], where["port"], code, self.devices[code]["secret"], **options)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        if "MACHNUOC_DATABASE_URL" in self.environment:
            with psycopg.connect(self.environment["MACHNUOC_DATABASE_URL"]) as link:
                return link.execute(sql).fetchall()
        with contextlib.closing(sqlite3.connect(self.data_dir / "telemetry.sqlite3", timeout=30)) as link:
            return link.execute(sql).fetchall()

    def ledger(self, *codes: str) -> dict[str, int]:
        """Return the sums of the ledger of the devices; of an unknown sender without any."""
        ids = ", ".join(str(self.devices[code]["id"]) for code in codes) or "0"
        heads = ("received", "stored", "corrected", "duplicate", "rejected", "quarantined")
        sums = ", ".join(f"coalesce(sum({head}), 0)" for head in heads)
        row = self.query(f"SELECT {sums} FROM telemetry_ledger WHERE device IN ({ids})")[0]  # noqa: S608 - ids of ours
        return {head: int(value) for head, value in zip(heads, row, strict=True)}

    def count_stored(self, code: str) -> int:
        channels = ", ".join(str(each) for each in self.devices[code]["channels"])
        return int(self.query(f"SELECT count(*) FROM telemetry_reading WHERE channel IN ({channels})")[0][0])  # noqa: S608


def wait_for(what: Callable[[], Any], within_s: float) -> Any:
    deadline = time.monotonic() + within_s
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.05)


def is_closed(ledger: dict[str, int]) -> bool:
    return ledger["received"] == sum(value for head, value in ledger.items() if head != "received")


def messages_of(code: str, count: int, *, first: int = 0) -> list[tuple[str, bytes]]:
    """Return messages of one reading each, no two of one channel and instant."""
    return [
        (
            f"machnuoc/v1/{code}/up",
            b'{"t":%d,"v":{"c%d":%d},"seq":%d}'
            % (BASE_MS + number // CHANNELS * 500, number % CHANNELS, number % 50, number),
        )
        for number in range(first, first + count)
    ]


@contextlib.contextmanager
def make_world(folder: Path, *, devices: int, **variables: str) -> Iterator[World]:
    """Give an installation whose tables are a copy of the tests' own, which are migrated already."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MACHNUOC_")}
    data_dir = folder / "data"
    data_dir.mkdir(mode=0o700)
    root = Path(__file__).resolve().parents[4]
    environment |= {
        "MACHNUOC_DATA_DIR": str(data_dir),
        "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]),
    }
    with contextlib.ExitStack() as stack:
        if "MACHNUOC_DATABASE_URL" not in variables:
            environment |= _copy_tables(data_dir, stack)
        environment |= variables
        with (data_dir / "log").open("wb") as log:
            helper = subprocess.Popen(
                [sys.executable, "-m", "machnuoc.telemetry.tests.receiving.processes"],
                env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        world = World(environment, helper)
        try:
            world.devices = world.do("prepare", devices=devices, channels=CHANNELS)
            yield world
        finally:
            for pid in world.pids:
                with contextlib.suppress(ProcessLookupError, AssertionError):
                    world.kill(pid, signal.SIGTERM, within_s=6)
            helper.stdin.close()
            helper.wait(10)
            helper.stdout.close()
            for pid in _left_behind(data_dir):
                os.kill(pid, signal.SIGKILL)


def _left_behind(data_dir: Path) -> Iterator[int]:
    """Yield processes that still use the folder: a broker whose parent was killed."""
    for found in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(data_dir).encode() in found.read_bytes():
                yield int(found.parent.name)


def _copy_tables(data_dir: Path, stack: contextlib.ExitStack) -> dict[str, str]:
    name = str(connection.settings_dict["NAME"])
    connection.close()
    if connection.vendor == "sqlite":
        with (
            contextlib.closing(sqlite3.connect(name)) as source,
            contextlib.closing(sqlite3.connect(data_dir / "machnuoc.sqlite3")) as target,
        ):
            source.backup(target)
        return {}
    server = connection.settings_dict
    copy = f"machnuoc_{uuid.uuid4().hex[:12]}"
    admin = stack.enter_context(
        psycopg.connect(host=server["HOST"], user=server["USER"], dbname="postgres", autocommit=True)
    )
    admin.execute(f'CREATE DATABASE {copy} TEMPLATE "{name}"')
    stack.callback(admin.execute, f"DROP DATABASE {copy} WITH (FORCE)")
    return {"MACHNUOC_DATABASE_URL": f"postgresql://{server['USER']}@/{copy}?host={server['HOST']}"}
