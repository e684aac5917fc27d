"""Receiving and watching for minutes on end: does memory grow, does the ledger close?

A real broker, one receiver and the watcher as processes of their own; simulated devices publish with QoS 1 at a steady
rate, every channel has an alarm rule. Memory is sampled every few seconds; its growth is the slope of a straight line
through the samples after a warm-up of minutes with the same load: so long it takes what has a limit to reach it, above
all the pages that SQLite keeps of each file for each thread, and the memory in which it sorts the hour that runs, of
ever more readings. Beside the slope of each process stands that of the last half of its samples: what fills slows down,
what leaks does not.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gmqtt
import numpy as np
from gmqtt.mqtt.constants import MQTTv50, MQTTv311

from machnuoc.bench import common
from machnuoc.bench.common import Result

SAMPLE_EVERY_S = 2.0
DRAIN_WITHIN_S = 60.0
MOST_GROWTH_MB_H = 30.0


@dataclass(frozen=True)
class Size:
    """seconds: after the warm-up. rate: messages a second, each with one reading of every channel of a device."""

    seconds: int
    devices: int
    channels: int
    rate: int
    warm_up_s: int = 0


SIZES = {"full": Size(600, 100, 10, 200, warm_up_s=600), "small": Size(20, 10, 5, 50, warm_up_s=5)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--database",
        choices=[*common.DATABASES, "both"],
        default="both",
        help="cơ sở dữ liệu để đo (mặc định: both, đo cả hai)",
    )
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Return the report. --size: small, full (10 minutes after 10 of warm-up) or seconds=3600,rate=1000."""
    if not args.here:
        return common.run_on_each("soak", args.size, args.database)
    from machnuoc.config import process

    process.migrate()
    size = common.read_size(args.size, SIZES)
    fill(size)
    return measure(size)


def fill(size: Size) -> None:
    """Make simulated devices, their channels, and a threshold on each channel."""
    from django.db import transaction

    from machnuoc.places.models import Subject
    from machnuoc.telemetry.models import AlarmRule, Channel, Device
    from machnuoc.works.models import Work

    with transaction.atomic():
        subject = Subject.objects.create(key="work.soak", kind=Subject.Kind.WORK, name="Trạm đo")
        work = Work.objects.create(subject=subject, kind=Work.Kind.STATION, sector="RURAL")
        devices = Device.objects.bulk_create(
            Device(
                code=f"soak-{number}", name=f"Bộ ghi {number}", kind=Device.Kind.LOGGER,
                protocol=Device.Protocol.MQTT, work=work, is_simulated=True,
            )
            for number in range(size.devices)
        )  # fmt: skip
        channels = Channel.objects.bulk_create(
            Channel(
                device=device, key=f"c{number}", name=f"Kênh {number}", quantity="pressure", sent_unit="mH2O",
                low=0, high=100, expected_interval_s=60,
            )
            for device in devices
            for number in range(size.channels)
        )  # fmt: skip
        AlarmRule.objects.bulk_create(
            AlarmRule(
                key=f"soak.{channel.pk}", name="Áp lực cao", kind=AlarmRule.Kind.THRESHOLD, channel=channel,
                parameters={"high": 90, "deadband": 2}, priority=AlarmRule.Priority.MEDIUM,
            )
            for channel in channels
        )  # fmt: skip


def measure(size: Size) -> dict[str, Any]:
    """Let everything run for the time, and return the report."""
    from django.db import connection, connections

    from machnuoc.telemetry import broker, metrics, store

    vendor = connection.vendor
    connections.close_all()
    watched = ["ingest", *(["watch"] if importlib.util.find_spec("machnuoc.telemetry.watching") else [])]
    with contextlib.ExitStack() as stack:
        stack.enter_context(_running("broker"))
        deadline = time.monotonic() + 60
        while not _is_up(broker):
            if time.monotonic() > deadline:
                raise common.BenchFailed("Máy chủ MQTT không chạy; xem lỗi ở trên.")
            time.sleep(0.2)
        pids = {name: stack.enter_context(_running(name)) for name in watched}
        _wait_for_session(broker)
        stop = threading.Event()
        samples: list[tuple[float, dict[str, float]]] = []
        sampler = threading.Thread(target=_sample, args=(pids, samples, stop))
        sampler.start()
        published = asyncio.run(_publish(size, broker.address(broker.SIMULATOR)))
        stop.set()
        sampler.join()
        wanted = published * size.channels
        deadline = time.monotonic() + DRAIN_WITHIN_S
        while (ledger := metrics.count_ledger(0))["received"] < wanted and time.monotonic() < deadline:
            time.sleep(0.5)
    store.close()
    results = []
    whole = 0.0
    for name in pids:
        growth_mb_h, most_mb = grown(samples, name, size.warm_up_s)
        late_mb_h, _ = grown(samples, name, size.warm_up_s + size.seconds / 2)
        whole += growth_mb_h
        results += [
            Result(f"memory_growth_{name}_mb_h_{vendor}", growth_mb_h, "MB/h"),
            Result(f"memory_growth_last_half_{name}_mb_h_{vendor}", late_mb_h, "MB/h"),
            Result(f"memory_{name}_mb_{vendor}", most_mb, "MB"),
        ]
    lost = wanted - ledger["stored"] - ledger["duplicate"] - ledger["corrected"]
    note = "" if len(watched) == 2 else "chưa có machnuoc watch"
    head = [
        Result(
            f"memory_growth_mb_h_{vendor}", whole, "MB/h", "giới hạn", max(0.0, whole) / MOST_GROWTH_MB_H,
            MOST_GROWTH_MB_H, note,
        ),
        Result(f"ledger_open_{vendor}", ledger["open"], "số đọc", limit=0),
        Result(f"readings_lost_{vendor}", lost, "số đọc", limit=0),
        Result(f"readings_{vendor}", wanted, "số đọc"),
    ]  # fmt: skip
    return common.report("soak", asdict(size), head + results)


def grown(samples: list[tuple[float, dict[str, float]]], name: str, after_s: float) -> tuple[float, float]:
    """Return (slope in MB an hour, most MB) of one process, of the samples that many seconds after the first and later.

    samples: (seconds, {name: MB}). Raises BenchFailed where there are fewer than three.
    """
    from_s = samples[0][0] + after_s if samples else 0.0
    rows = np.array([(at_s, memory[name]) for at_s, memory in samples if at_s >= from_s and name in memory])
    if len(rows) < 3:
        raise common.BenchFailed(f"Tiến trình {name} không sống đủ lâu để đo bộ nhớ.")
    slope = np.polynomial.polynomial.polyfit(rows[:, 0], rows[:, 1], 1)[1]
    return float(slope) * 3600, float(rows[:, 1].max())


@contextlib.contextmanager
def _running(name: str) -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-m", "machnuoc", name], start_new_session=True)  # noqa: S603
    try:
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _is_up(broker: Any) -> bool:
    try:
        return bool(broker.answers())
    except broker.NoBroker:
        return False


def _wait_for_session(broker: Any) -> None:
    """Wait until the receiver holds its slot and has subscribed: from then on the broker keeps everything for it."""
    deadline = time.monotonic() + 60
    while not (broker.folder() / "ingest-0.lock").exists():
        if time.monotonic() > deadline:
            raise common.BenchFailed("Tiến trình nhận số đo không chạy; xem lỗi ở trên.")
        time.sleep(0.2)
    time.sleep(3)


def _sample(pids: dict[str, int], samples: list[tuple[float, dict[str, float]]], stop: threading.Event) -> None:
    while not stop.wait(SAMPLE_EVERY_S):
        memory = {}
        for name, pid in pids.items():
            with contextlib.suppress(OSError, StopIteration):
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                memory[name] = int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024
        samples.append((time.monotonic(), memory))


async def _publish(size: Size, where: Any) -> int:
    """Publish at the rate for the time; return the messages, when every one is acknowledged."""
    client = gmqtt.Client("soak", clean_session=True)
    client.set_auth_credentials(where.user, where.password)
    await client.connect(where.host, where.port, version=MQTTv50 if where.is_mqtt5 else MQTTv311)
    rng = np.random.default_rng(7)
    whole_s = size.warm_up_s + size.seconds
    begun_s, sent = time.monotonic(), 0
    while (passed_s := time.monotonic() - begun_s) < whole_s:
        due = int(passed_s * size.rate)
        for number in range(sent, due):
            # Within the thresholds but for one reading in thirty thousand: alarms come and go, and are no flood.
            values = ",".join(f'"c{each}":{value:.2f}' for each, value in enumerate(rng.normal(50, 10, size.channels)))
            # One message of a device each millisecond at most: no two of its readings share an instant.
            at_ms = int(datetime.now(UTC).timestamp() * 1000) - whole_s * 1000 + number // size.devices
            client.publish(
                f"machnuoc/v1/soak-{number % size.devices}/up", f'{{"t":{at_ms},"v":{{{values}}}}}'.encode(), qos=1
            )
        sent = due
        await asyncio.sleep(0.05)
    deadline = time.monotonic() + DRAIN_WITHIN_S
    while not client._persistent_storage.is_empty and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    await client.disconnect()
    return sent
