"""What devices send to a real broker arrives once, whatever is killed, full, locked or doubled on the way."""

import contextlib
import random
import re
import resource
import signal
import sqlite3
import threading
import time
from pathlib import Path

import psycopg
import pytest

from machnuoc.telemetry import broker
from machnuoc.telemetry.tests.receiving.publisher import Refused
from machnuoc.telemetry.tests.receiving.world import BASE_MS, is_closed, make_world, messages_of, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db]
ROUNDS = 15  # of killing the receiver
LOCKED_S = 5.0  # how long the database takes nothing; a receiver waits the same way for a minute or a day


@pytest.fixture(scope="module")
def installation(tmp_path_factory, django_db_setup, django_db_blocker):
    """Return an installation with devices d00 to d13 and its own Mosquitto; each test takes devices of its own."""
    if broker.find_mosquitto() is None:
        pytest.skip("no Mosquitto: scripts/install_test_system.sh installs it")
    with django_db_blocker.unblock(), make_world(tmp_path_factory.mktemp("ingest"), devices=14) as made:
        made.start_broker()
        yield made


@pytest.fixture
def world(installation):
    """Return the installation with no receiver running, before and after."""
    yield installation
    for pid in installation.pids[1:]:
        installation.kill(pid)
    del installation.pids[1:]


def _mosquitto_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def test_no_reading_is_lost_or_doubled_when_the_receiver_is_killed_again_and_again(world):
    chance = random.Random(4)
    messages = messages_of("d00", 6_000)
    ended = threading.Event()

    def publish() -> None:
        world.publisher("d00", window=100).publish(messages, pause_s=0.001, within_s=120)
        ended.set()

    thread = threading.Thread(target=publish)
    thread.start()
    killed = 0
    while killed < ROUNDS or not ended.is_set():
        pid = world.start("ingest")
        time.sleep(chance.uniform(0.05, 0.9))
        world.kill(pid)
        killed += 1
    thread.join()
    world.start("ingest")

    wait_for(lambda: world.count_stored("d00") == len(messages), 60)
    ledger = world.ledger("d00")
    assert is_closed(ledger)
    assert ledger["stored"] == len(messages)
    assert ledger["corrected"] == ledger["rejected"] == ledger["quarantined"] == 0


def test_a_receiver_that_is_asked_to_end_stores_and_acknowledges_what_it_has(world):
    pid = world.start("ingest")
    world.publisher("d01").publish(messages_of("d01", 2_000))

    world.kill(pid, signal.SIGTERM)
    world.start("ingest")

    wait_for(lambda: world.count_stored("d01") == 2_000, 30)
    assert is_closed(world.ledger("d01"))


def test_a_hundred_thousand_messages_that_waited_at_the_broker_are_all_stored(world):
    world.publisher("d02", window=5_000).publish(messages_of("d02", 100_000), within_s=120)
    assert world.count_stored("d02") == 0

    world.start("ingest")

    wait_for(lambda: world.count_stored("d02") == 100_000, 90)
    assert world.ledger("d02") | {"duplicate": 0} == {
        "received": 100_000, "stored": 100_000, "corrected": 0, "duplicate": 0, "rejected": 0, "quarantined": 0,
    }  # fmt: skip


def test_two_receivers_share_the_messages_and_the_second_hands_its_share_back(world):
    first, second = world.start("ingest", shared=True), world.start("ingest", shared=True)
    wait_for(lambda: (world.data_dir / "log").read_text().count("receiving from") >= 2, 20)
    wait_for(lambda: len(list((world.data_dir / "broker").glob("ingest-*.lock"))) >= 2, 20)
    publisher = world.publisher("d03")

    publisher.publish(messages_of("d03", 4_000))
    wait_for(lambda: world.count_stored("d03") == 4_000, 40)
    before = len(_stored_by_each(world))
    for pid in (second, first):  # one of them has number 1; both end in order
        world.kill(pid, signal.SIGTERM)
    publisher.publish(messages_of("d03", 500, first=4_000))
    world.start("ingest")

    wait_for(lambda: world.count_stored("d03") == 4_500, 40)
    assert is_closed(world.ledger("d03"))
    shares = _stored_by_each(world)[before:]
    assert len(shares) == 2
    assert min(shares) > 200, "one receiver had no share"


def _stored_by_each(world) -> list[int]:
    """Return how many messages each receiver stored that ended in order so far."""
    return [int(found) for found in re.findall(r"stored (\d+) messages in", (world.data_dir / "log").read_text())]


def test_repeats_and_disorder_change_nothing(world):
    world.start("ingest")
    messages = messages_of("d04", 1_000)
    shuffled = [*messages, *messages[::3], *messages[::5]]
    random.Random(5).shuffle(shuffled)

    world.publisher("d04").publish(shuffled)

    wait_for(lambda: world.ledger("d04")["received"] >= len(shuffled), 30)
    ledger = world.ledger("d04")
    assert is_closed(ledger)
    assert (ledger["stored"], ledger["duplicate"]) == (1_000, len(shuffled) - 1_000)


def test_a_device_whose_clock_runs_backwards_loses_nothing(world):
    world.start("ingest")

    world.publisher("d04").publish(messages_of("d04", 500, first=5_000)[::-1])

    wait_for(lambda: world.count_stored("d04") >= 500, 30)
    wait_for(lambda: world.query(
        f"SELECT max(at) FROM telemetry_reading WHERE channel = {world.devices['d04']['channels'][9]}"  # noqa: S608
    )[0][0] == BASE_MS + 549 * 500, 10)  # fmt: skip
    assert is_closed(world.ledger("d04"))


NESTED = b'{"t":' + b"[" * 200_000 + b"]" * 200_000 + b"}"


def test_a_machine_whose_clock_is_set_back_and_forth_loses_nothing(world):
    before = world.ledger("d01")["received"]
    for number, shift_s in enumerate((0, -7_200, 3_600, -60)):
        pid = world.start("ingest", clock_s=shift_s)
        world.publisher("d01").publish(messages_of("d01", 200, first=3_000 + 200 * number))
        wait_for(lambda wanted=before + 200 * (number + 1): world.ledger("d01")["received"] >= wanted, 30)
        world.kill(pid, signal.SIGTERM)

    assert is_closed(world.ledger("d01"))
    assert world.ledger("d01")["rejected"] == 0
    assert world.count_stored("d01") >= 800


@pytest.mark.parametrize(
    ("what", "payload"),
    [
        ("ten megabytes", b'{"t":1,"v":{"c0":' + b"1" * 10_000_000 + b"}}"),
        ("a nest of arrays", NESTED),
        ("not a number", b'{"t":%d,"v":{"c0":NaN}}' % BASE_MS),
        ("infinity", b'{"t":%d,"v":{"c0":1e999}}' % BASE_MS),
        ("binary rubbish", bytes(range(256)) * 40),
        ("nothing", b""),
        ("a text with NUL", b'{"t":%d,"v":{"c\\u0000":1}}' % BASE_MS),
    ],
)
def test_a_payload_that_is_no_reading_is_counted_and_stops_nobody(world, what, payload):
    world.start("ingest")
    before = world.ledger("d05")
    good = messages_of("d05", 1)[0]

    world.publisher("d05").publish([(good[0], payload), good])

    wait_for(lambda: world.ledger("d05")["received"] >= before["received"] + 2, 30)
    after = world.ledger("d05")
    assert is_closed(after), what
    assert after["rejected"] + after["quarantined"] == before["rejected"] + before["quarantined"] + 1, what


def test_nobody_writes_for_another_device_or_reads_what_devices_write(world):
    world.start("ingest")
    publisher = world.publisher("d06")

    publisher.publish([*messages_of("d07", 20), ("machnuoc/v1/d06/up/../../d07/up", b"{}"), *messages_of("d06", 10)])

    wait_for(lambda: world.count_stored("d06") == 10, 20)
    assert world.ledger("d07")["received"] == 0
    with publisher.connect() as link:
        link.sendall(b"\x82\x12\x00\x01\x00\x0dmachnuoc/v1/#\x01")  # SUBSCRIBE: granted or not, nothing comes
        link.settimeout(1.5)
        world.publisher("d07").publish(messages_of("d07", 3))
        heard = b""
        with contextlib.suppress(TimeoutError):
            while part := link.recv(4096):
                heard += part
    assert b"seq" not in heard


def test_a_wrong_revoked_or_expired_secret_opens_nothing_and_a_live_connection_ends(world):
    publisher = world.publisher("d08")
    world.publisher("d09").publish(messages_of("d09", 1))
    link = publisher.connect()

    world.do("revoke", device="d08")
    world.do("expire", device="d09", in_s=1.5)

    link.settimeout(15)
    assert link.recv(16) in {b"", b"\xe0\x00"}, "the connection of a revoked secret stays"
    for code in ("d08", "d09"):
        wait_for(lambda code=code: _is_refused(world.publisher(code)), 15)
    wrong = world.publisher("d10")
    wrong.secret += "x"
    assert _is_refused(wrong)
    world.devices["d08"]["secret"] = world.do("rotate", device="d08")
    wait_for(lambda: not _is_refused(world.publisher("d08")), 15)


def _is_refused(publisher) -> bool:
    try:
        publisher.connect().close()
    except Refused:
        return True
    except ConnectionResetError:
        return False
    return False


def test_a_store_that_is_locked_loses_nothing_and_acknowledges_nothing_meanwhile(world):
    world.start("ingest", busy_within_s=0.5)
    world.publisher("d10").publish(messages_of("d10", 100))
    wait_for(lambda: world.count_stored("d10") == 100, 20)

    with _locked(world):
        begun_s = time.monotonic()
        world.publisher("d10").publish(messages_of("d10", 3_000, first=100))
        time.sleep(max(0.0, LOCKED_S - (time.monotonic() - begun_s)))

    wait_for(lambda: world.count_stored("d10") == 3_100, 40)
    ledger = world.ledger("d10")
    assert is_closed(ledger)
    assert ledger["stored"] == 3_100


def test_a_receiver_that_cannot_store_stops_reading_before_its_memory_is_full(world):
    pid = world.start("ingest", busy_within_s=0.5)
    wait_for(lambda: _status_mb(pid, "VmRSS") > 20, 10)
    ballast = b"x" * 3_500_000
    messages = [(topic, payload[:-1] + b',"note":"' + ballast + b'"}') for topic, payload in messages_of("d13", 60)]

    with _locked(world):
        world.publisher("d13").publish(messages)
        time.sleep(2)
    wait_for(lambda: world.count_stored("d13") == 60, 60)

    assert is_closed(world.ledger("d13"))
    assert _status_mb(pid, "VmHWM") < 350, "210 MB of messages were held in memory"
    world.publisher("d13").publish(messages_of("d13", 10, first=60))  # and it reads again
    wait_for(lambda: world.count_stored("d13") == 70, 20)


def _status_mb(pid: int, name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) / 1024 if found else 0.0


@contextlib.contextmanager
def _locked(world):
    if "MACHNUOC_DATABASE_URL" in world.environment:
        with psycopg.connect(world.environment["MACHNUOC_DATABASE_URL"]) as link:
            link.execute("LOCK TABLE telemetry_reading, telemetry_ledger IN ACCESS EXCLUSIVE MODE")
            yield
        return
    with contextlib.closing(sqlite3.connect(world.data_dir / "telemetry.sqlite3", isolation_level=None)) as link:
        link.execute("BEGIN IMMEDIATE")
        yield
        link.execute("ROLLBACK")


@pytest.mark.sqlite
def test_a_full_disk_loses_nothing(world):
    size = (world.data_dir / "telemetry.sqlite3-wal").stat().st_size
    pid = world.start("ingest", most_bytes=max(size, 200_000))
    messages = messages_of("d11", 20_000)

    world.publisher("d11").publish(messages, within_s=60)
    wait_for(lambda: "readings cannot be stored" in (world.data_dir / "log").read_text()[-20_000:], 30)
    assert world.count_stored("d11") < len(messages)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    wait_for(lambda: world.count_stored("d11") == len(messages), 60)
    assert is_closed(world.ledger("d11"))
    assert "readings are stored again" in (world.data_dir / "log").read_text()


def test_what_a_killed_broker_had_acknowledged_is_stored(installation):
    world = installation
    seen = _connections(world)
    receiver = world.start("ingest")
    messages = messages_of("d12", 6_000)
    thread = threading.Thread(
        target=lambda: world.publisher("d12", window=50).publish(messages, pause_s=0.001, within_s=120)
    )
    thread.start()
    for _ in range(3):  # killed with the receiver connected, while messages pass
        wait_for(lambda seen=seen: _connections(world) > seen, 20)
        time.sleep(1.0)
        seen = _connections(world)
        world.kill(_mosquitto_of(world.pids[0]))
        world.kill(world.pids[0], signal.SIGTERM)
        world.pids[0] = _restart_broker(world)
    thread.join()
    wait_for(lambda: world.count_stored("d12") == len(messages), 60)

    world.kill(receiver)
    world.publisher("d12").publish(messages_of("d12", 500, first=6_000))
    time.sleep(6.5)  # Mosquitto writes its state every 5 seconds
    world.kill(_mosquitto_of(world.pids[0]))
    world.kill(world.pids[0], signal.SIGTERM)
    world.pids[0] = _restart_broker(world)
    world.start("ingest")

    wait_for(lambda: world.count_stored("d12") == 6_500, 60)
    ledger = world.ledger("d12")
    assert is_closed(ledger)
    assert ledger["stored"] == 6_500


def _connections(world) -> int:
    return (world.data_dir / "log").read_text().count("receiving from")


def _restart_broker(world) -> int:
    pid = world.start_broker()
    world.pids.remove(pid)
    return pid
