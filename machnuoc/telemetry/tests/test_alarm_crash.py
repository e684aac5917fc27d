"""The watching process is killed again and again while readings come; the alarms are as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from django.db import connection
from django.utils import timezone

from machnuoc.telemetry import alarm_engine, alarm_rules, store
from machnuoc.telemetry.models import Alarm
from machnuoc.telemetry.tests.alarm_world import MINUTE, NOON_MS, arrive, make_channel, make_rule

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[3]


def make_environment(folder: Path) -> dict[str, str]:
    """Return what a process needs to use the databases of this test."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("MACHNUOC_")}
    found |= {
        "MACHNUOC_DATA_DIR": str(folder), "MACHNUOC_SECRET_KEY": "x" * 40,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        (folder / "machnuoc.sqlite3").symlink_to(name)
        (folder / "telemetry.sqlite3").symlink_to(store.path())
    else:
        host = connection.settings_dict["HOST"]
        user = connection.settings_dict["USER"]
        found["MACHNUOC_DATABASE_URL"] = f"postgresql://{user}@/{name}?host={host}"
    return found


def test_alarms_survive_a_process_that_is_killed_at_any_moment(clean_store, tmp_path):
    random = np.random.default_rng(4)
    channel = make_channel()
    begin = (alarm_engine.to_ms(timezone.now()) - NOON_MS) // MINUTE - 400
    since = timezone.now() - timedelta(days=2)
    kinds = [
        make_rule(channel, "THRESHOLD", {"high": 6.0, "deadband": 1.0}, on_delay_s=120, off_delay_s=180),
        make_rule(channel, "THRESHOLD", {"low": 2.0}),
        make_rule(channel, "SILENCE", {"grace_s": 400}, applies_from=since),
    ]
    for rule in kinds:
        rule.applies_from = since
        rule.save()
    minutes = sorted(random.choice(390, 200, replace=False).tolist())
    rows = [(float(begin + minute), float(random.integers(0, 10))) for minute in minutes]
    order = [rows[index] for index in random.permutation(200)]
    log = (tmp_path / "log").open("wb")
    environment = make_environment(tmp_path)

    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-m", "machnuoc", "watch"], env=environment, stderr=log, stdout=log)

    process, kills = start(), 0
    try:
        for step in range(0, 200, 10):
            arrive(channel, *order[step : step + 10])
            time.sleep(float(random.uniform(0, 0.4)))
            if step % 30 == 20:
                deadline = time.monotonic() + 20  # let it come up and work before it dies
                while time.monotonic() < deadline and store.query("SELECT count(*) FROM telemetry_dirty_alarm") != [
                    (0,)
                ]:
                    time.sleep(0.05)
                arrive(channel, *order[step : step + 10])
                time.sleep(float(random.uniform(0, 0.3)))
                process.send_signal(signal.SIGKILL)
                process.wait(10)
                kills += 1
                process = start()
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline and store.query("SELECT count(*) FROM telemetry_dirty_alarm") != [(0,)]:
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        log.close()

    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert kills == 6 and "Traceback" not in said, said[-3000:]
    at = np.array([NOON_MS + int(row[0] * MINUTE) for row in rows], np.int64)
    track = alarm_rules.Track(at, np.array([row[1] for row in rows]), np.ones(len(at), bool), interval_s=60.0)
    now_ms = alarm_engine.to_ms(timezone.now())
    for rule in kinds:
        one = alarm_engine.load_rules([rule.pk])[0]
        whole = alarm_rules.judge(one.rule, {channel.pk: track}, until_ms=now_ms).episodes
        stored = Alarm.objects.filter(rule=rule, is_withdrawn=False).order_by("began_at")
        told = [(alarm_engine.to_ms(a.began_at), a.ended_at and alarm_engine.to_ms(a.ended_at), a.peak) for a in stored]
        assert told == [(one.began_ms, one.ended_ms, one.peak) for one in whole], rule.kind
