import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.telemetry import payloads
from machnuoc.telemetry.decoders import chirpstack, csv_lines, machnuoc_json
from machnuoc.telemetry.payloads import DecodeError, Refused

AT = 1_795_305_600_000  # 2026-11-22 00:00 UTC
BOMB = b"[" * 200_000 + b"]" * 200_000
ALL = list(payloads.decoders().values())


def columns(decoded: payloads.Decoded) -> list[tuple[str, int, float]]:
    return list(zip(decoded.keys, decoded.at, decoded.value, strict=True))


# --- JSON of our own ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        b'{"t": 1795305600000, "v": {"p": 3, "q": 12.5}, "seq": 7}',
        b'{"t": 1795305600000.0, "v": {"p": 3, "q": 12.5}}',
        b'{"t": "2026-11-22T07:00:00+07:00", "v": {"p": 3, "q": 12.5}}',
        b'[{"t": "2026-11-22T00:00:00Z", "v": {"p": 3}}, {"t": 1795305600000, "v": {"q": 12.5}}]',
        b'{"batch": [{"t": "2026-11-21T23:59:60Z", "v": {"p": 3}}, {"t": 1795305600000, "v": {"q": 12.5}}]}',
        b' [{"t": 1795305600000, "v": {"p": 3, "q": 1.25e1}, "more": [null, {"x": true}]}]',
    ],
)
def test_a_sample_an_array_and_a_batch_say_the_same(payload):
    decoded = machnuoc_json.decode(payload, 0)

    assert columns(decoded) == [("p", AT, 3.0), ("q", AT, 12.5)]
    assert decoded.refused == []


def test_a_sample_tells_how_the_device_is():
    decoded = machnuoc_json.decode(b'[{"t": 1795305600000, "v": {}, "rssi": -71, "snr": 9.5, "battery": 88}]', 0)

    assert (decoded.rssi, decoded.snr, decoded.battery_pct) == (-71, 9.5, 88)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [('"12,5"', "12,5"), ('"12.5"', "12.5"), ("true", "True"), ("null", "None"), ("[1]", "[…]"), ("1e400", "inf"),
     ("-1e400", "-inf")],
)  # fmt: skip
def test_what_is_not_a_number_is_refused_alone(sent, shown):
    decoded = machnuoc_json.decode(f'{{"t": {AT}, "v": {{"p": {sent}, "q": 1}}}}'.encode(), 0)

    assert columns(decoded) == [("q", AT, 1.0)]
    assert decoded.refused == [Refused("not_a_number", f"p={shown} @ {AT}")]


@pytest.mark.parametrize(
    ("t", "reason"),
    [
        ("1795305600", "epoch_seconds"),
        ("1795305600.5", "bad_time"),
        ('"2026-11-22T07:00:00"', "time_without_offset"),
        ('"1795305600000"', "bad_time"),
        ('"22/11/2026 07:00"', "bad_time"),
        ('"2026-02-30T07:00:00Z"', "bad_time"),
        ('"0001-01-01T00:00:00+07:00"', "before_2000"),
        ("-5", "before_2000"),
        ("99999999999999", "future_clock"),
        ("true", "bad_time"),
        ("null", "bad_time"),
        ("[]", "bad_time"),
    ],
)
def test_a_doubtful_time_is_refused_with_its_reason_and_never_guessed(t, reason):
    decoded = machnuoc_json.decode(
        f'[{{"t": {t}, "v": {{"p": 1, "q": 2}}}}, {{"t": {AT}, "v": {{"p": 3}}}}]'.encode(), 0
    )

    assert columns(decoded) == [("p", AT, 3.0)]
    assert [(refused.reason, refused.readings) for refused in decoded.refused] == [(reason, 2)]


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"{", b"null", b'"x"', b"5", b"[1]", b"{}", b'{"t": 1795305600000}', b'{"v": {"p": 1}}', b"\x00\xff",
        b'{"t": 1795305600000, "v": [1]}', b'{"t": 1795305600000, "v": {"p": NaN}}', BOMB, b'{"a":' * 100_000,
        b'{"t": 1795305600000, "v": {"p": 1}, "x": ' + BOMB + b"}", b'{"t": 1795305600000, "v": {"\xff": 1}}',
        b'{"t": 1795305600000, "v": {"p": 1}} {"t": 1, "v": {}}',
        b'{"t": 1795305600000, "v": {"p": 1' + b"0" * 5000 + b"}}",
    ],
)  # fmt: skip
def test_json_that_is_not_ours_cannot_be_decoded(payload):
    with pytest.raises(DecodeError):
        machnuoc_json.decode(payload, 0)


# --- ChirpStack -----------------------------------------------------------------------------------------------------


def uplink(**changes: object) -> bytes:
    body = {
        "deduplicationId": "3ac7e3c4-4401-4b8d-9386-a5c902f9202d",
        "time": "2026-11-22T00:00:00.123456789+00:00",
        "deviceInfo": {"tenantId": "52f14cd4", "applicationName": "binh-chanh", "devEui": "0101010101010101"},
        "fCnt": 12,
        "data": "AXJh",
        "object": {"pressure": 31.5, "pump": True, "probe": {"ph": 7}, "firmware": "1.2", "missing": None},
        "rxInfo": [
            {"gatewayId": "0016c001f153a14c", "rssi": -111, "snr": -3.2},
            {"gatewayId": "0016c001f153a14d", "rssi": -57, "snr": 10},
        ],
        "batteryLevel": 78.5,
        **changes,
    }
    return json.dumps(body).encode()


def test_an_uplink_gives_its_numbers_and_the_best_gateway():
    decoded = chirpstack.decode(uplink(), 0)

    assert columns(decoded) == [("pressure", AT + 123, 31.5), ("pump", AT + 123, 1.0), ("probe.ph", AT + 123, 7.0)]
    assert decoded.sender == "0101010101010101"
    assert (decoded.rssi, decoded.snr, decoded.battery_pct) == (-57, 10, 78.5)


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"[]", b"{}", BOMB, uplink(object=None), uplink(deviceInfo={}), uplink(object=[1]), uplink(rxInfo=5),
        uplink(object={"a": {"b": {"c": {"d": {"e": 1}}}}}),
    ],
)  # fmt: skip
def test_what_is_no_uplink_cannot_be_decoded(payload):
    with pytest.raises(DecodeError):
        chirpstack.decode(payload, 0)


def test_an_uplink_without_a_time_of_our_kind_is_refused_whole():
    assert chirpstack.decode(uplink(time="2026-11-22"), 0).refused[0][::2] == ("bad_time", 3)


# --- CSV ------------------------------------------------------------------------------------------------------------


def test_lines_of_one_reading_each():
    payload = "﻿time;key;value\r\n# bộ ghi số 3\r\n2026-11-22 00:00;p;3\r\n2026-11-22 07:00:00.500+07:00;q;-1.5e1\r\n"

    assert columns(csv_lines.decode(payload.encode(), 0)) == [("p", AT, 3.0), ("q", AT + 500, -15.0)]


def test_lines_of_one_instant_each_leave_out_empty_cells():
    payload = b"Time,p,q\n2026-11-22 07:00,3,12.5\n1795305600000,,4\n2026/11/22 07:00,1,\n"

    decoded = csv_lines.decode(payload, 420)

    assert columns(decoded) == [("p", AT, 3.0), ("q", AT, 12.5), ("q", AT, 4.0), ("p", AT, 1.0)]
    assert decoded.refused == []


def test_a_clock_in_local_time_and_one_in_utc_meet():
    local = csv_lines.decode(b"2026-11-22 07:00:00;p;3", 420)
    utc = csv_lines.decode(b"2026-11-22 00:00:00;p;3", 0)

    assert local.at == utc.at == [AT]


@pytest.mark.parametrize("cell", ["12,5", "nan", "inf", "1_000", "0x10", "--5", "1 2", "٣", "true"])
def test_a_cell_that_is_no_plain_number_is_refused(cell):
    decoded = csv_lines.decode(f"2026-11-22 00:00:00;p;{cell}".encode(), 0)

    assert [refused.reason for refused in decoded.refused] == ["not_a_number"]


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"\n\n# x\n", b"\xff\xfe", b"a\0b;c;d", b"2026-11-22 00:00;p", b"p,q\n1,2", b"time\n1", b"time,p,p\n1,2,3",
        b"time,p\n2026-11-22 00:00,1,2", b"2026-11-22 00:00;p;1\n2026-11-22 00:00;1",
        b"time," + b",".join(b"k%d" % number for number in range(300)),
    ],
)  # fmt: skip
def test_text_of_another_form_cannot_be_decoded(payload):
    with pytest.raises(DecodeError):
        csv_lines.decode(payload, 0)


# --- all of them ----------------------------------------------------------------------------------------------------


def test_a_decoder_is_found_by_topic():
    assert {name: payloads.find_decoder(topic) for name, topic in {
        "own": "machnuoc/v1/binh-chanh-1/up", "csv": "machnuoc/v1/binh-chanh-1/csv",
        "lora": "application/a1/device/0101AB0101010101/event/up", "join": "application/a1/device/01/event/join",
        "other": "machnuoc/v2/a/up", "short": "machnuoc/v1/up",
    }.items()} == {
        "own": (machnuoc_json, "binh-chanh-1"), "csv": (csv_lines, "binh-chanh-1"),
        "lora": (chirpstack, "0101ab0101010101"), "join": None, "other": None, "short": None,
    }  # fmt: skip


def test_a_message_of_too_many_readings_cannot_be_decoded(monkeypatch):
    monkeypatch.setattr(payloads, "MAX_READINGS", 2)

    with pytest.raises(DecodeError, match="3 số đọc"):
        payloads.read_decoded(machnuoc_json, b'{"t": 1795305600000, "v": {"a": 1, "b": 2, "c": 3}}', 0)


def check(decoder: payloads.Decoder, payload: bytes, clock_offset_min: int) -> None:
    """Nothing but DecodeError comes out, and what comes out is in order."""
    try:
        decoded = payloads.read_decoded(decoder, payload, clock_offset_min)
    except DecodeError as reason:
        assert str(reason)
        return
    assert len(decoded.keys) == len(decoded.at) == len(decoded.value)
    assert all(isinstance(at, int) and 0 <= at <= payloads.MAX_AT_MS for at in decoded.at)
    assert all(isinstance(value, float) for value in decoded.value)
    assert all(refused.readings > 0 and refused.sample.isprintable() for refused in decoded.refused)


offsets = st.integers(-1440, 1440)
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([AT, AT / 1000, "2026-11-22"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
times = junk | st.datetimes().map(str) | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
samples = st.fixed_dictionaries({"t": times, "v": junk}, optional={"rssi": junk, "battery": junk, "seq": junk})
uplinks = st.fixed_dictionaries(
    {"time": times, "deviceInfo": st.just({"devEui": "01"}) | junk, "object": junk}, optional={"rxInfo": junk}
)


@pytest.mark.parametrize("decoder", ALL, ids=lambda decoder: decoder.KEY)
@given(payload=st.binary(), clock_offset_min=offsets)
def test_any_bytes_are_decoded_or_refused(decoder, payload, clock_offset_min):
    check(decoder, payload, clock_offset_min)


@pytest.mark.parametrize("decoder", ALL, ids=lambda decoder: decoder.KEY)
@given(body=junk | samples | st.lists(samples) | st.fixed_dictionaries({"batch": junk | st.lists(samples)}) | uplinks,
       clock_offset_min=offsets)  # fmt: skip
def test_any_json_is_decoded_or_refused(decoder, body, clock_offset_min):
    check(decoder, json.dumps(body, ensure_ascii=False).encode(errors="surrogatepass"), clock_offset_min)


cells = st.text() | st.floats().map(str) | st.datetimes().map(str) | st.integers().map(str) | st.just("time")


@given(lines=st.lists(st.lists(cells, min_size=1, max_size=4)), mark=st.sampled_from(",;"), clock_offset_min=offsets)
def test_any_lines_are_decoded_or_refused(lines, mark, clock_offset_min):
    text = "\n".join(mark.join(line) for line in lines)
    check(csv_lines, text.encode(errors="surrogatepass"), clock_offset_min)


@given(
    readings=st.lists(
        st.tuples(
            st.datetimes(datetime(2000, 1, 2), datetime(2100, 1, 1)),  # noqa: DTZ001 - zoned below
            st.integers(-720, 840),
            st.dictionaries(st.text(min_size=1), st.floats(allow_nan=False, allow_infinity=False), max_size=5),
        )
    )
)
def test_what_a_device_writes_is_what_we_read(readings):
    zoned = [(at.replace(tzinfo=timezone(timedelta(minutes=offset))), values) for at, offset, values in readings]
    body = [{"t": at.isoformat(), "v": values} for at, values in zoned]

    decoded = machnuoc_json.decode(json.dumps(body).encode(), 0)

    assert columns(decoded) == [
        (key, (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1), value)
        for at, values in zoned
        for key, value in values.items()
    ]


@pytest.mark.parametrize(
    ("payload", "told"),
    [(b"abc", "ký tự không hợp lệ ở ký tự thứ 1"), (b'{"t": 1', "bị cắt giữa chừng"), (b"{} x", "thừa ký tự"),
     (b"", "bị cắt giữa chừng")],
)  # fmt: skip
def test_what_is_wrong_with_json_is_said_in_vietnamese(payload, told):
    with pytest.raises(DecodeError, match=told) as reason:
        payloads.decoders()["MQTT"].decode(payload, 0)

    assert "JSON is" not in str(reason.value) and "byte" not in str(reason.value)


def test_what_a_network_server_left_out_is_named():
    with pytest.raises(DecodeError, match="thiếu trường «deviceInfo»"):
        payloads.decoders()["CHIRPSTACK"].decode(b"{}", 0)
