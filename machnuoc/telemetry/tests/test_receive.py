import json
from datetime import UTC, datetime

import pytest

from machnuoc.core.models import Person
from machnuoc.telemetry import directory, receive, store
from machnuoc.telemetry.models import Calibration
from machnuoc.telemetry.payloads import Message
from machnuoc.telemetry.receive import Counts
from machnuoc.telemetry.tests.making import make_channel, make_device

pytestmark = pytest.mark.usefixtures("clean_store")

NOW = 1_795_305_600_000  # 2026-11-22 00:00 UTC
MINUTE = 60_000


def up(device: str, *samples: tuple[int, dict[str, object]], at: int = NOW) -> Message:
    body = [{"t": when, "v": values} for when, values in samples]
    return Message(f"machnuoc/v1/{device}/up", json.dumps(body).encode(), at)


def readings() -> list[tuple[int, int, float, int]]:
    return store.query("SELECT channel, at, value, quality FROM telemetry_reading ORDER BY channel, at")


def ledger() -> Counts:
    rows = store.query("SELECT received, stored, corrected, duplicate, rejected, quarantined FROM telemetry_ledger")
    total = Counts()
    for row in rows:
        total = total.plus(Counts(*row))
    return total


@pytest.fixture
def logger(db):
    """A logger with pressure in bar and flow in L/s."""
    device = make_device("binh-chanh-1")
    pressure = make_channel(device, "p", sent_unit="bar")
    flow = make_channel(device, "q", "flow", sent_unit="L/s")
    return device, pressure, flow


def test_a_reading_is_stored_in_the_stored_unit_with_all_that_follows(logger):
    device, pressure, flow = logger

    receipt = receive.take([up("binh-chanh-1", (NOW - 1000, {"p": 3, "q": 10}))], NOW)

    assert receipt.total == Counts(received=2, stored=2)
    assert readings() == [
        (pressure.pk, NOW - 1000, pytest.approx(30.59148639), 0),
        (flow.pk, NOW - 1000, pytest.approx(36.0), 0),
    ]
    hour = (NOW - 1000) // store.HOUR_MS * store.HOUR_MS
    marks = store.query("SELECT channel, hour FROM telemetry_dirty_hour ORDER BY channel")
    assert marks == [(pressure.pk, hour), (flow.pk, hour)]
    assert store.query("SELECT channel, from_at FROM telemetry_dirty_alarm ORDER BY channel") == [
        (pressure.pk, NOW - 1000), (flow.pk, NOW - 1000)
    ]  # fmt: skip
    assert store.query("SELECT device, received_at, measured_at, drift_ms, messages FROM telemetry_device_state") == [
        (device.pk, NOW, NOW - 1000, 1000, 1)
    ]
    assert ledger() == receipt.total


def test_a_month_that_is_sent_late_says_nothing_of_the_clock_whichever_end_comes_first(logger):
    def drift_ms():
        return store.query("SELECT drift_ms FROM telemetry_device_state")[0][0]

    before = NOW - 30 * store.DAY_MS
    receive.take([up("binh-chanh-1", (before, {"p": 3}))._replace(received_ms=before + 2000)], before + 2000)
    for day in range(29, 0, -1):
        receive.take([up("binh-chanh-1", (NOW - day * store.DAY_MS - 1, {"p": 3}))], NOW)
    assert drift_ms() == 2000


@pytest.fixture
def told(logger):
    """Send one message a call, of one instant or more; return the drift that is believed after it."""

    def send(now_ms, *at):
        receive.take([up("binh-chanh-1", *((when, {"p": 3}) for when in at))._replace(received_ms=now_ms)], now_ms)
        return store.query("SELECT drift_ms FROM telemetry_device_state")[0][0]

    return send


def test_a_clock_without_its_time_zone_shows_after_its_second_message_and_is_forgotten_once_it_is_set(told):
    late = 7 * store.HOUR_MS

    drifts = [told(NOW + step * 5 * MINUTE, NOW + step * 5 * MINUTE - late) for step in range(3)]

    assert drifts == [0, late, late]
    assert told(NOW + 15 * MINUTE, NOW + 15 * MINUTE - 900) == 900


def test_a_backlog_sent_minutes_late_is_no_slow_clock_in_one_message_or_piece_by_piece(told):
    told(NOW, NOW - 1_000)
    in_one = told(NOW + 60 * MINUTE, *(NOW + step * 5 * MINUTE for step in range(9)))
    pieces = [told(NOW + 60 * MINUTE + step * 1_000, NOW + (9 + step) * 5 * MINUTE - 16 * MINUTE) for step in range(3)]
    single = told(NOW + 90 * MINUTE, NOW + 74 * MINUTE)

    assert (in_one, pieces, single) == (1_000, [1_000] * 3, 1_000)


def test_a_logger_that_sends_every_hour_what_it_measured_is_not_slow(told):
    drifts = [
        told(NOW + hour * store.HOUR_MS, *(NOW + hour * store.HOUR_MS - 7 * MINUTE - step * 15 * MINUTE
                                           for step in range(4)))
        for hour in range(4)
    ]  # fmt: skip

    assert drifts == [0] * 4


def test_one_reading_of_2030_says_nothing_of_the_clock(told):
    told(NOW, NOW - 1_000)

    assert told(NOW + MINUTE, 1_893_456_000_000) == 1_000
    assert told(NOW + 2 * MINUTE, NOW + 18 * MINUTE) == -16 * MINUTE  # a clock that runs ahead shows at once


def test_a_message_that_names_another_device_is_refused_whole_and_one_that_names_its_own_or_nobody_is_taken(logger):
    make_device("binh-chanh-2")

    def send(name, place):
        sample = {"t": NOW, "v": {"p": 3}}
        body = {"device": name, **sample} if place == "sample" else {"device": name, "batch": [sample]}
        return receive.take([Message("", json.dumps(body).encode(), NOW, "binh-chanh-1", "MQTT")], NOW)

    refused = [send("binh-chanh-2", place) for place in ("sample", "batch")]

    assert [one.total for one in refused] == [Counts(received=1, rejected=1)] * 2
    assert [one.reasons for one in refused] == [{"foreign_device": 1}] * 2
    assert readings() == []
    assert [send(name, "sample").total.rejected for name in ("binh-chanh-1", "Bộ ghi số 7", 12, None)] == [0] * 4


def test_the_first_message_of_a_device_may_be_old(logger):
    receive.take([up("binh-chanh-1", (NOW - 30 * store.DAY_MS, {"p": 3}))], NOW)

    assert store.query("SELECT drift_ms, measured_at FROM telemetry_device_state") == [(0, NOW - 30 * store.DAY_MS)]


def test_a_repeat_is_a_duplicate_and_a_different_value_a_correction_that_keeps_its_history(logger):
    make_channel(logger[0], "m")
    receive.take([up("binh-chanh-1", (NOW, {"m": 10.0}))], NOW)

    repeated = receive.take([up("binh-chanh-1", (NOW, {"m": 10.0000000001}))], NOW)
    corrected = receive.take([up("binh-chanh-1", (NOW, {"m": 10.5}))], NOW + 1)

    assert repeated.total == Counts(received=1, duplicate=1)
    assert corrected.total == Counts(received=1, corrected=1)
    assert readings()[0][2] == 10.5
    assert store.query("SELECT at, value, replaced_at FROM telemetry_reading_history") == [(NOW, 10.0, NOW + 1)]


def test_repeats_within_one_batch_are_told_apart_as_if_they_came_one_by_one(logger):
    batch = [up("binh-chanh-1", (NOW, {"p": value})) for value in (1, 1, 2, 2, 1)]

    receipt = receive.take(batch, NOW)

    assert receipt.total == Counts(received=5, stored=1, duplicate=2, corrected=2)
    assert readings()[0][2] == pytest.approx(10.19716213)


def test_what_is_out_of_range_is_stored_and_marked(logger):
    receive.take([up("binh-chanh-1", (NOW, {"p": 300}))], NOW)

    assert readings()[0][3] == store.OUT_OF_RANGE


def test_a_calibration_holds_from_its_instant_until_the_next(logger):
    _, pressure, _ = logger
    pressure.sent_unit = "mH2O"
    pressure.save()
    for hour, factor, offset in ((1, 2.0, 0.0), (2, 1.0, 5.0)):
        at = datetime.fromtimestamp(NOW / 1000 + hour * 3600, UTC)
        Calibration.objects.create(channel=pressure, valid_from=at, factor=factor, offset=offset)
    later = NOW + 3 * store.HOUR_MS

    samples = [(NOW + minutes * MINUTE, {"p": 10}) for minutes in (0, 59, 60, 119, 120, 150)]
    receive.take([up("binh-chanh-1", *samples, at=later)], later)

    assert [row[2] for row in readings()] == [10, 10, 20, 20, 15, 15]


def test_each_impossible_reading_is_refused_alone_with_its_reason(logger):
    device, _, _ = logger
    make_channel(device, "cu", is_active=False)
    sent = [
        up("binh-chanh-1", (NOW, {"p": 1, "la": 1, "cu": 1, "q": "12,5"})),
        up("binh-chanh-1", (NOW + 6 * MINUTE, {"p": 1}), (NOW + 4 * MINUTE, {"p": 2})),
        up("binh-chanh-1", (915_148_800_000, {"p": 1}), (NOW // 1000, {"p": 1})),
        up("binh-chanh-1", (NOW + 1, {"q": 1e301})),
        up("nguoi-la", (NOW, {"a": 1, "b": 2})),
        Message("machnuoc/v1/binh-chanh-1/up", b'{"t":"2026-11-22T00:00:00","v":{"p":1}}', NOW),
    ]

    receipt = receive.take(sent, NOW)

    assert receipt.reasons == {
        "unknown_channel": 1, "channel_inactive": 1, "not_a_number": 1, "future_clock": 1, "before_2000": 1,
        "epoch_seconds": 1, "number_too_large": 1, "unknown_device": 2, "time_without_offset": 1,
    }  # fmt: skip
    assert receipt.total == Counts(received=12, stored=2, rejected=10)
    assert receipt.by_device[receive.UNKNOWN] == Counts(received=2, rejected=2)
    assert ledger() == receipt.total
    assert ledger().is_closed
    samples = dict(store.query("SELECT reason, sample FROM telemetry_rejection"))
    assert samples["future_clock"] == "p=1 @ 2026-11-22T00:06:00Z"
    assert samples["unknown_channel"] == "la=1 @ 2026-11-22T00:00:00Z"
    assert samples["not_a_number"] == f"q=12,5 @ {NOW}"


def test_a_device_speaks_for_itself_alone(logger):
    make_device("nghia-phu-1")
    stolen = up("nghia-phu-1", (NOW, {"p": 1}))._replace(device_claimed="binh-chanh-1")

    receipt = receive.take([stolen], NOW)

    assert receipt.reasons == {"foreign_topic": 1}
    assert readings() == []


def test_an_unreadable_message_counts_one_and_waits_in_quarantine(logger):
    device, _, _ = logger
    own = Message("machnuoc/v1/binh-chanh-1/up", b"\x00\xff", NOW)
    garbage = [own, own._replace(topic="machnuoc/v1/binh-chanh-1/x/y", payload=b"1"), Message("a/b", b"{}", NOW)]

    receipt = receive.take(garbage, NOW)

    assert receipt.total == Counts(received=3, quarantined=3)
    kept = store.query("SELECT device, topic, payload, state FROM telemetry_quarantine ORDER BY id")
    assert [(row[0], row[1], bytes(row[2]), row[3]) for row in kept] == [
        (device.pk, "machnuoc/v1/binh-chanh-1/up", b"\x00\xff", "NEW"),
        (device.pk, "machnuoc/v1/binh-chanh-1/x/y", b"1", "NEW"), (0, "a/b", b"{}", "NEW"),
    ]  # fmt: skip


def test_a_device_made_a_moment_ago_is_heard_at_once(logger):
    receive.take([up("binh-chanh-1", (NOW, {"p": 1}))], NOW)
    make_channel(make_device("moi-lap"), "p")

    receipt = receive.take([up("moi-lap", (NOW, {"p": 1}))], NOW + 5)

    assert receipt.total == Counts(received=1, stored=1)


def test_a_change_of_a_channel_is_seen_when_the_device_says_that_it_changed(logger):
    device, pressure, _ = logger
    directory.current(NOW)
    pressure.is_active = False
    pressure.save()
    device.version += 1
    device.save()

    receipt = receive.take([up("binh-chanh-1", (NOW, {"p": 1}))], NOW + directory.CHECK_EVERY_MS)

    assert receipt.reasons == {"channel_inactive": 1}


# --- by hand --------------------------------------------------------------------------------------------------------


def quarantine_id() -> int:
    return store.query("SELECT id FROM telemetry_quarantine")[0][0]


@pytest.fixture
def operator(db):
    return Person.objects.create(username="khkt", full_name="Nguyễn Thị Hoa")


def test_a_replayed_message_counts_its_readings_in_the_hour_in_which_it_arrived(db, operator):
    receive.take([Message("machnuoc/v1/sap-lap/csv", b"2026-11-22 00:00:00;p;3", NOW), Message("x", b"", NOW)], NOW)
    receive.take([Message("machnuoc/v1/sap-lap/csv", b"\xff", NOW)], NOW)
    device = make_device("sap-lap")
    make_channel(device, "p")
    unread = store.query("SELECT id FROM telemetry_quarantine WHERE topic = 'machnuoc/v1/sap-lap/csv'")[0][0]
    with store.transaction() as cursor:  # as if the decoder had been mended
        cursor.execute("UPDATE telemetry_quarantine SET payload = CAST('2026-11-22 00:00;p;3' AS blob)"
                       if not store.is_postgresql() else
                       "UPDATE telemetry_quarantine SET payload = '2026-11-22 00:00;p;3'::bytea")  # fmt: skip

    receipt = receive.replay(unread, operator, NOW + store.HOUR_MS)

    assert receipt.total == Counts(received=1, stored=1)
    assert len(readings()) == 1
    rows = store.query(
        "SELECT device, hour, received, stored, rejected, quarantined FROM telemetry_ledger ORDER BY device"
    )
    hour = NOW - NOW % store.HOUR_MS
    assert rows == [(0, hour, 2, 0, 1, 1), (device.pk, hour, 1, 1, 0, 0)]
    assert store.query("SELECT state, decided_by FROM telemetry_quarantine WHERE id = ?", [unread]) == [
        ("REPLAYED", operator.pk)
    ]
    with pytest.raises(receive.CannotDecide, match="đã có người xử lý"):
        receive.replay(unread, operator, NOW + store.HOUR_MS)
    assert len(readings()) == 1
    assert ledger().is_closed


def test_what_is_still_unreadable_stays_in_quarantine_until_someone_dismisses_it(logger, operator):
    receive.take([Message("machnuoc/v1/binh-chanh-1/up", b"{", NOW)], NOW)

    with pytest.raises(receive.CannotDecide, match="vẫn chưa đọc được"):
        receive.replay(quarantine_id(), operator, NOW)
    with pytest.raises(receive.CannotDecide, match="thiếu lý do"):
        receive.dismiss(quarantine_id(), operator, " ", NOW)
    receive.dismiss(quarantine_id(), operator, "thợ thử máy", NOW)

    assert store.query("SELECT state, outcome FROM telemetry_quarantine") == [("DISMISSED", "thợ thử máy")]
    assert ledger() == Counts(received=1, quarantined=1)
    with pytest.raises(receive.CannotDecide, match="Không có bản tin"):
        receive.dismiss(-1, operator, "x", NOW)


def test_quarantine_holds_only_so_much_of_one_device(logger, monkeypatch):
    monkeypatch.setattr(receive, "QUARANTINE_MAX", 2)

    receipt = receive.take([Message("machnuoc/v1/binh-chanh-1/up", b"{", NOW)] * 3, NOW)

    assert receipt.total == Counts(received=3, quarantined=2, rejected=1)
    assert receipt.reasons == {"quarantine_full": 1}


def test_a_file_fills_gaps_and_counts_in_the_ledger(logger):
    _, pressure, _ = logger
    receive.take([up("binh-chanh-1", (NOW, {"p": 1}))], NOW)

    counts = receive.put_readings(
        pressure.pk, [NOW - 2, NOW - 1, NOW, NOW + store.DAY_MS], [1.0, 999.0, 1.0, 1.0], store.FROM_FILE,
        reason="bổ sung từ sổ", now_ms=NOW, is_receipt=True,
    )  # fmt: skip

    assert counts == Counts(received=4, stored=2, corrected=1, rejected=1)
    assert [(row[2], row[3]) for row in readings()] == [
        (1.0, store.FROM_FILE), (999.0, store.FROM_FILE | store.OUT_OF_RANGE), (1.0, store.FROM_FILE)
    ]  # fmt: skip
    assert ledger() == Counts(received=5, stored=3, corrected=1, rejected=1)


def test_what_a_person_overruled_stands_against_device_and_file(logger):
    _, pressure, _ = logger
    receive.take([up("binh-chanh-1", (NOW, {"p": 1}))], NOW)
    receive.put_readings(pressure.pk, [NOW], [25.0], store.OVERRULED, reason="đồng hồ kẹt", now_ms=NOW + 1)

    again = receive.take([up("binh-chanh-1", (NOW, {"p": 1}))], NOW + 2)
    file = receive.put_readings(
        pressure.pk, [NOW], [3.0], store.FROM_FILE, reason="sổ", now_ms=NOW + 3, is_receipt=True
    )

    assert again.reasons == {"overruled": 1}
    assert file.rejected == 1
    assert readings() == [(pressure.pk, NOW, 25.0, store.OVERRULED)]
    assert ledger() == Counts(received=3, stored=1, rejected=2)
    assert store.query("SELECT value, reason FROM telemetry_reading_history") == [
        (pytest.approx(10.19716213), "đồng hồ kẹt")
    ]


def test_writing_to_a_channel_that_is_not_there_is_refused(logger):
    with pytest.raises(LookupError):
        receive.put_readings(999_999, [NOW], [1.0], 0, reason="x", now_ms=NOW)
