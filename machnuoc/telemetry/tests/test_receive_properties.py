"""Laws of the road: the ledger closes, and how messages fall into batches changes nothing."""

import itertools
import json
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from machnuoc.telemetry import archive, directory, payloads, receive, store
from machnuoc.telemetry.models import Device
from machnuoc.telemetry.payloads import Message
from machnuoc.telemetry.receive import Counts
from machnuoc.telemetry.tests.clean_store import empty_store
from machnuoc.telemetry.tests.making import make_channel, make_device, make_work

NOW = 1_795_305_600_000
HOUR = store.HOUR_MS
TOLD_APART = "channel, at, value, quality"


def fill_devices() -> None:
    """Two loggers of two channels, one of CSV, one that was taken away. The ids do not matter."""
    work = make_work()
    for code in ("a", "b"):
        device = make_device(code, work)
        make_channel(device, "p")
        make_channel(device, "q", "flow", sent_unit="L/s")
    make_channel(make_device("c", work, protocol=Device.Protocol.CSV), "p")


instants = st.sampled_from([NOW, NOW - 1, NOW - HOUR, NOW - 40 * 24 * HOUR]) | st.integers(NOW - 5, NOW + 5)
doubtful = st.sampled_from([NOW + HOUR, 0, NOW // 1000, "2026-11-22T00:00:00", "?", None, 900_000_000_000])
numbers = st.sampled_from([1.0, 1.0000000001, 2.0, 1e6]) | st.floats(-10, 10)
not_numbers = st.sampled_from(["12,5", True, None, [], 1e301, {"x": 1}])
values = st.dictionaries(st.sampled_from(["p", "q", "x"]), numbers | numbers | not_numbers, max_size=3)
samples = st.fixed_dictionaries({"t": instants | instants | doubtful, "v": values})
bodies = st.lists(samples, max_size=4).map(
    lambda body: (json.dumps(body).encode(), sum(len(each["v"]) for each in body))
)
garbage = st.tuples(st.sampled_from([b"", b"{", b"\xff", b"[1]", b'{"t": 1, "v": {"p": NaN}}']), st.just(1))
times_and_cells = st.tuples(
    st.sampled_from(["2026-11-22 00:00", "1795305600000", "x"]), st.sampled_from(["1", "2", "1,5"])
)
lines = st.lists(times_and_cells, min_size=1, max_size=3).map(
    lambda rows: ("\n".join(f"{time};p;{value}" for time, value in rows).encode(), len(rows))
)
messages = st.one_of(
    st.tuples(st.sampled_from(["machnuoc/v1/a/up", "machnuoc/v1/b/up", "machnuoc/v1/nobody/up"]), bodies),
    st.tuples(st.sampled_from(["machnuoc/v1/a/up", "machnuoc/v1/nobody/up", "elsewhere"]), garbage),
    st.tuples(st.just("machnuoc/v1/c/csv"), lines),
).map(lambda drawn: (Message(drawn[0], drawn[1][0], NOW), drawn[1][1]))


def counted() -> dict[tuple[int, int], Counts]:
    rows = store.query(
        "SELECT device, hour, received, stored, corrected, duplicate, rejected, quarantined FROM telemetry_ledger"
    )
    return {(row[0], row[1]): Counts(*row[2:]) for row in rows}


def all_that_is_stored() -> list[object]:
    return [
        store.query(f"SELECT {columns} FROM telemetry_{table} ORDER BY {columns}")  # noqa: S608 - names from below
        for table, columns in {
            "reading": TOLD_APART,
            "reading_history": TOLD_APART,
            "ledger": "device, hour, received, stored, corrected, duplicate, rejected, quarantined",
            "rejection": "device, hour, reason, readings",
            "quarantine": "device, topic, reason, state",
            "dirty_hour": "channel, hour",
            "dirty_alarm": "channel, from_at",
            "device_state": "device, received_at, measured_at, messages",
        }.items()
    ]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=st.lists(messages, max_size=12), cuts=st.sets(st.integers(0, 12)), again=st.sets(st.integers(0, 11)))
def test_any_messages_in_any_batches_give_the_same_store_and_a_closed_ledger(clean_store, sent, cuts, again):
    if not Device.objects.exists():
        fill_devices()
        directory.forget()
    sent = sent + [sent[index] for index in sorted(again) if index < len(sent)]  # the broker repeats some
    edges = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})

    empty_store()
    for message, _ in sent:
        receive.take([message], NOW)
    one_by_one = all_that_is_stored()
    empty_store()
    for start, end in itertools.pairwise(edges):
        receive.take([message for message, _ in sent[start:end]], NOW)

    assert all_that_is_stored() == one_by_one
    assert all(counts.is_closed for counts in counted().values())
    assert sum(counts.received for counts in counted().values()) == sum(
        readings if message.topic != "elsewhere" else 1 for message, readings in sent
    )
    assert sum(counts.stored for counts in counted().values()) == len(store.query("SELECT at FROM telemetry_reading"))


@pytest.mark.django_db(transaction=True)
def test_two_processes_that_store_the_same_at_once_lose_and_double_nothing(clean_store):
    fill_devices()
    sent = [
        Message("machnuoc/v1/a/up", json.dumps({"t": NOW - step, "v": {"p": 1, "q": step % 7}}).encode(), NOW)
        for step in range(400)
    ]
    totals: list[Counts] = []

    def run(order: int) -> None:
        try:
            for start in range(0, 400, 40):
                totals.append(receive.take(sent[start : start + 40][::order], NOW).total)
        finally:
            store.close()
            directory.connections.close_all()

    threads = [threading.Thread(target=run, args=(order,)) for order in (1, -1, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(totals) == 30
    assert sum(total.stored for total in totals) == 800 == len(store.query("SELECT at FROM telemetry_reading"))
    assert sum(total.duplicate for total in totals) == 1600
    assert all(counts.is_closed for counts in counted().values())


def test_what_an_archived_month_holds_is_a_duplicate_and_what_it_does_not_is_stored(clean_store, settings, tmp_path):
    settings.DATA_DIR = tmp_path
    if not store.is_postgresql():
        store.prepare()  # the file of this folder
    fill_devices()
    late = NOW - 200 * 24 * HOUR

    def take(device: str, value: float) -> Counts:
        body = json.dumps([{"t": late, "v": {"p": value}}]).encode()
        return receive.take([Message(f"machnuoc/v1/{device}/up", body, NOW)], NOW).total

    take("a", 3.0)
    assert [done.key for done in archive.archive_closed(NOW, keep_days=0)] == ["2026-05"]
    assert store.query("SELECT at FROM telemetry_reading") == []

    totals = [take("a", value) for value in (3.0, 4.0, 4.0)]
    fresh = take("b", 3.0)

    assert totals == [Counts(1, duplicate=1), Counts(1, corrected=1), Counts(1, duplicate=1)]
    assert fresh == Counts(1, stored=1)
    assert store.query("SELECT value FROM telemetry_reading_history") == [(3.0,)]
    assert store.query("SELECT value FROM telemetry_reading ORDER BY value") == [(3.0,), (4.0,)]


@pytest.mark.parametrize("size", [payloads.MAX_PAYLOAD_BYTES + 1, 10 * 1024 * 1024])
def test_a_payload_beyond_the_limit_is_rejected_and_not_kept(clean_store, size):
    fill_devices()

    receipt = receive.take([Message("machnuoc/v1/a/up", b"[" * size, NOW)], NOW)

    assert receipt.reasons == {"too_large": 1}
    assert receipt.total == Counts(received=1, rejected=1)
    assert len(store.query("SELECT sample FROM telemetry_rejection")[0][0]) < 200


def test_a_logger_that_was_silent_for_a_month_sends_it_all_and_its_clock_is_not_blamed(clean_store):
    fill_devices()
    receive.take([Message("machnuoc/v1/a/up", json.dumps({"t": NOW - 500, "v": {"p": 1}}).encode(), NOW)], NOW)
    backlog = [{"t": NOW - 30 * 24 * HOUR + step * 300_000, "v": {"p": step % 9}} for step in range(8_000)]

    receipt = receive.take([Message("machnuoc/v1/a/up", json.dumps(backlog[::-1]).encode(), NOW + 1)], NOW + 1)

    assert receipt.total == Counts(received=8_000, stored=8_000)
    assert store.query("SELECT measured_at, drift_ms FROM telemetry_device_state") == [(NOW - 500, 500)]


def test_a_clock_that_runs_ahead_shows_although_its_readings_are_rejected(clean_store):
    fill_devices()
    for at in (NOW, NOW + HOUR):
        receive.take([Message("machnuoc/v1/a/up", json.dumps({"t": at, "v": {"p": 1}}).encode(), NOW)], NOW)

    assert store.query("SELECT measured_at, drift_ms FROM telemetry_device_state") == [(NOW, -HOUR)]
