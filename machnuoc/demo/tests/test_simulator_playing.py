"""Simulated devices on the real road: a real broker, each device with its own secret; what was typed; what is kept."""

import argparse
import asyncio
import itertools
import shutil
import socket
import subprocess
import time
from datetime import UTC, datetime

import gmqtt
import pytest

from machnuoc.demo import telemetry
from machnuoc.demo.simulator import command, events, playing
from machnuoc.demo.simulator.playing import Order, Player, Progress
from machnuoc.demo.tests.simulated import DAY, HOUR, STATION
from machnuoc.telemetry import broker, receive, store
from machnuoc.telemetry.models import Device
from machnuoc.telemetry.payloads import Message

pytestmark = pytest.mark.usefixtures("demo_data", "db", "clean_store")
OTHER = "work.qn.tri-binh"  # whose logger speaks another protocol


@pytest.fixture(autouse=True)
def _data_of_its_own(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    store.close()
    store.prepare()
    yield
    store.close()


@pytest.fixture
def now():
    return datetime.now(UTC)


@pytest.fixture
def stations(now):
    telemetry.load_telemetry(now, only=[STATION, OTHER])
    return now


@pytest.fixture
def mosquitto(stations):
    program = broker.find_mosquitto() or shutil.which("mosquitto")
    assert program, "install Mosquitto: scripts/install_test_system.sh"
    broker.write_files(broker.folder(), stations)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = broker.folder() / "mosquitto.conf"
    config.write_text(broker.mosquitto_text("127.0.0.1", port, broker.folder()))
    process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
    broker.announce("127.0.0.1", port, is_mqtt5=True)
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.05)
    yield port
    process.terminate()
    process.wait(5)


async def play_and_listen(player: Player) -> list[Message]:
    """Return what arrives at the receiver while the player plays."""
    where = broker.address()
    heard: list[Message] = []
    client = gmqtt.Client("listener")
    client.set_auth_credentials(where.user, where.password)

    def on_message(_, topic, payload, qos, properties):
        heard.append(Message(topic, payload, int(time.time() * 1000)))

    client.on_message = on_message
    await client.connect(where.host, where.port)
    for topic in broker.receiver_filters():
        client.subscribe(topic, qos=1)
    await asyncio.sleep(0.2)
    await player.run()
    await asyncio.sleep(0.3)
    await client.disconnect()
    return heard


def test_every_device_sends_once_over_the_broker_with_its_own_secret(mosquitto):
    now_ms = int(time.time() * 1000)
    player = Player(Order(from_ms=now_ms, is_once=True), now_ms)  # from an instant on: nothing happens by itself

    heard = asyncio.run(play_and_listen(player))
    receipt = receive.take(heard, int(time.time() * 1000))

    assert {message.topic for message in heard} == {unit.topic for unit in player.units}
    assert receipt.total.received == receipt.total.stored > 0
    assert set(receipt.by_device) == set(Device.objects.values_list("pk", flat=True))


def test_a_past_span_is_played_fast_to_the_last_reading(mosquitto):
    now_ms = int(time.time() * 1000)
    order = Order(speed=10_000.0, from_ms=now_ms - 3 * HOUR, to_ms=now_ms - HOUR, stations=(STATION,))
    player = Player(order, now_ms)
    begun_s = time.monotonic()

    heard = asyncio.run(play_and_listen(player))
    receipt = receive.take(heard, now_ms)

    assert time.monotonic() - begun_s < 15
    assert receipt.total.received == receipt.total.stored
    assert receipt.total.stored == pytest.approx(24 * 6 + 8 * 6 + 2, abs=16)
    newest = store.query("SELECT max(at) FROM telemetry_reading")[0][0]
    assert now_ms - HOUR - 300_000 <= newest < now_ms - HOUR


def test_a_device_without_its_secret_is_not_let_in(mosquitto):
    units = [unit for unit in playing.list_units((STATION,)) if unit.protocol == "MQTT"]

    async def try_it(secrets: dict[str, str]) -> bool:
        road = playing.Road(secrets)
        for unit in units:
            road.send(unit, iter([b'{"t": 1795305600000, "v": {"q": 1}}']))
        is_sent = await road.drain(2.0)
        await road.close()
        return is_sent

    assert not asyncio.run(try_it(dict.fromkeys([unit.code for unit in units], "sai")))
    assert asyncio.run(try_it(dict(telemetry.read_simulation().secrets)))


def test_the_past_is_filled_in_newest_day_first_and_only_once(stations):
    now_ms = round(stations.timestamp() * 1000)
    player = Player(Order(), now_ms)

    blocks = player.list_blocks()

    assert blocks[0][1] == now_ms and blocks[-1][0] == player.begin_ms
    assert all(later[0] == earlier[1] for later, earlier in itertools.pairwise(blocks))
    assert len(blocks) == telemetry.HISTORY_DAYS + 1 - telemetry.RULES_FROM.days
    assert blocks[0][0] < now_ms - telemetry.RULES_FROM.days * DAY
    receipts = [receive.take(player.messages_of(*block, now_ms), now_ms) for block in blocks[:3]]
    assert all(one.total.received == one.total.stored > 0 for one in receipts)

    playing.write_progress(Progress(now_ms, blocks[2][0]))
    assert player.list_blocks() == blocks[3:]


def test_after_a_stop_what_is_missing_comes_first(stations):
    now_ms = round(stations.timestamp() * 1000)
    playing.write_progress(Progress(now_ms - 3 * HOUR, now_ms - 2 * DAY))

    blocks = Player(Order(), now_ms).list_blocks()

    assert blocks[0] == (now_ms - 3 * HOUR, now_ms)
    assert blocks[1][1] == now_ms - 2 * DAY


def test_a_start_after_a_pause_first_fills_in_what_is_missing(stations):
    now_ms = round(stations.timestamp() * 1000)
    assert playing.catch_up(now_ms) == 0  # never played: the past is filled in behind the running program
    playing.write_progress(Progress(now_ms - 2 * HOUR, now_ms - DAY))

    stored = playing.catch_up(now_ms)

    assert stored == pytest.approx(2 * 2 * 97, abs=60)
    assert playing.read_progress() == Progress(now_ms, now_ms - DAY)
    assert playing.catch_up(now_ms) == 0


def test_what_is_filled_in_and_what_is_played_later_are_the_same_readings(stations):
    now_ms = round(stations.timestamp() * 1000)
    first = Player(Order(), now_ms)
    filled = receive.take(first.messages_of(now_ms - HOUR, now_ms, now_ms), now_ms)

    again = Player(Order(), now_ms + 20 * 60_000)
    receipt = receive.take(again.messages_of(now_ms - HOUR, now_ms, now_ms), now_ms)

    assert receipt.total.duplicate == filled.total.stored > 0
    assert receipt.total.corrected == 0


def test_after_a_long_pause_something_happens_in_the_first_minutes(stations):
    now_ms = round(stations.timestamp() * 1000)
    playing.write_progress(Progress(now_ms - DAY, now_ms - DAY))

    Player(Order(), now_ms)

    ordered = playing.list_ordered()
    assert {one.kind for one in ordered} == {events.Kind.POWER_CUT, events.Kind.BREAK, events.Kind.SILENCE}
    assert all(0 < one.at_ms - now_ms <= 5 * 60_000 for one in ordered)


def options(**given):
    told = {"speed": "1", "seed": None, "since": None, "until": None, "stations": "", "event": None, "station": None,
            "at": None, "lasts": None, "size": None, "once": False}  # fmt: skip
    return argparse.Namespace(**{**told, **given})


def test_an_event_is_ordered_from_another_process_and_seen_by_the_one_that_plays(stations):
    now_ms = round(stations.timestamp() * 1000)
    said: list[str] = []
    with playing.hold():
        player = Player(Order(), now_ms)
        command.run(options(event="leak", station="binh-thoi", lasts="60"), said.append)
        player._look_for_orders(now_ms)

    (leak,) = playing.list_ordered()
    assert leak in player.world.events(events.Kind.LEAK)
    assert leak.station == STATION and leak.until_ms - leak.at_ms == HOUR
    assert said[0].startswith("Đã đặt: rò rỉ ngầm tại work.qn.binh-thoi")


def test_two_processes_do_not_play_the_same_devices(stations):
    with playing.hold():
        assert playing.is_playing()
        with pytest.raises(playing.AlreadyPlaying, match="Đã có tiến trình mô phỏng"):
            playing.play(Order())
    assert not playing.is_playing()


def test_without_devices_it_says_what_to_do():
    with pytest.raises(playing.CannotPlay, match="machnuoc demo load"):
        Player(Order(), int(time.time() * 1000))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"speed": "0"}, "--speed"),
        ({"speed": "nhanh"}, "không phải là số"),
        ({"since": "hôm qua"}, "không hiểu"),
        ({"since": "2999-01-01"}, "tương lai"),
        ({"since": "2026-01-02", "until": "2026-01-01"}, "--to"),
        ({"event": "lũ", "station": "binh-thoi"}, "không có sự kiện"),
        ({"event": "leak"}, "--station"),
        ({"station": "binh-thoi"}, "chỉ dùng cùng"),
        ({"event": "leak", "station": "binh-thoi", "size": "nan"}, "không phải là số"),
        ({"event": "leak", "station": "binh-thoi", "size": "-1"}, "--size"),
        ({"event": "leak", "station": "binh-thoi", "lasts": "-5"}, "--lasts"),
        ({"event": "leak", "station": "binh-thoi", "lasts": "inf"}, "không phải là số"),
        ({"event": "leak", "station": "binh-thoi", "at": "2999-01-01"}, "--at"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_option(given, told):
    with pytest.raises(command.BadArgument, match=told):
        command.read_order(options(**given), int(time.time() * 1000))


def test_an_unknown_station_is_refused_with_those_that_there_are():
    with pytest.raises(playing.CannotPlay, match="binh-thoi"):
        command.read_order(options(stations="ha-noi"), int(time.time() * 1000))
