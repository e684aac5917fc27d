import argparse

import pytest

from machnuoc.bench import telemetry


def test_a_length_is_written_as_mqtt_writes_it():
    # MQTT 3.1.1, table 2.4: the edges between one, two and three bytes
    assert [telemetry._length(number).hex() for number in (0, 127, 128, 16_383, 16_384)] == [
        "00", "7f", "8001", "ff7f", "808001"
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.sqlite
def test_a_small_run_gives_every_figure():
    report = telemetry.run(argparse.Namespace(here=False, size="small", database="sqlite"))

    found = {row["metric"]: row for row in report["results"]}
    assert {
        "mqtt_single_sqlite", "mqtt_batch_sqlite", "http_batch_sqlite", "publish_to_alarm_p99_ms_sqlite"
    } <= set(found)  # fmt: skip
    assert all(row["value"] and row["value"] > 0 for row in found.values())
    assert all(found[name]["ratio"] for name in ("mqtt_single_sqlite", "mqtt_batch_sqlite", "http_batch_sqlite"))
