"""Starts and ends processes of the program on order, one line of JSON each way. Run as a program of its own.

Django is loaded once; each receiver and each broker is a fork of this process, so that a test can kill dozens of them.
"""

import json
import os
import resource
import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import django


def prepare(devices: int, channels: int) -> dict[str, object]:
    """Make devices d00, d01, … with channels c0, c1, …; return ids and secrets by code."""
    from machnuoc.telemetry import credentials, store
    from machnuoc.telemetry.tests import making

    store.prepare()
    store.close()
    made = {}
    for number in range(devices):
        device = making.make_device(f"d{number:02}")
        ids = [making.make_channel(device, f"c{each}").pk for each in range(channels)]
        _, secret = credentials.make(device, None, datetime.now(UTC))
        made[device.code] = {"id": device.pk, "channels": ids, "secret": secret}
    return made


def act(order: dict[str, object]) -> object:
    from django.utils import timezone

    from machnuoc.telemetry import broker, credentials
    from machnuoc.telemetry.models import Credential, Device

    match order["do"]:
        case "prepare":
            return prepare(int(str(order["devices"])), int(str(order["channels"])))
        case "ingest" | "broker" as what:
            return fork(str(what), order)
        case "files":
            return broker.write_files(broker.folder(), timezone.now())
        case "secret":
            return broker.own_secret(str(order["user"]))
        case "revoke":
            device = Device.objects.get(code=order["device"])
            for credential in device.credentials.all():
                credentials.revoke(credential, None, timezone.now())
        case "expire":
            Credential.objects.filter(device__code=order["device"]).update(
                expires_at=timezone.now() + timedelta(seconds=float(str(order["in_s"])))
            )
        case "rotate":
            return credentials.rotate(Device.objects.get(code=order["device"]), None, timezone.now())[1]
        case unknown:
            raise ValueError(unknown)
    return None


def fork(what: str, order: dict[str, object]) -> int:
    from django.conf import settings
    from django.db import connections

    from machnuoc.telemetry import broker, ingest, store

    connections.close_all()
    store.close()
    pid = os.fork()
    if pid:
        return pid
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    code = 1
    try:
        if "most_bytes" in order:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does, and mends by an error of the write
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(str(order["most_bytes"])), resource.RLIM_INFINITY))
        if "clock_s" in order:  # somebody has set the clock of the machine
            real, shift_s = time.time, float(str(order["clock_s"]))
            time.time = lambda: real() + shift_s
        if "shared" in order:
            settings.MQTT_SHARED = bool(order["shared"])
        if "busy_within_s" in order:
            store.BUSY_WITHIN_S = float(str(order["busy_within_s"]))
        if what == "ingest":
            ingest.run()
        else:
            stop = threading.Event()
            signal.signal(signal.SIGTERM, lambda *_: stop.set())
            os.environ.update({key: str(value) for key, value in dict(order.get("env") or {}).items()})
            broker.run(stop, print)
        code = 0
    finally:
        os._exit(code)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "machnuoc.config.settings")
    django.setup()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for who was killed
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        answers.write(json.dumps(act(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
