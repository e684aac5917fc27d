"""JSON of our own: one sample, an array of samples, or a batch.

    {"t": "2026-11-22T07:00:00+07:00" or 1795305600000, "v": {"flow": 12.5, "pressure": 31}, "seq": 7}
    [{"t": …, "v": {…}}, …]
    {"batch": [{"t": …, "v": {…}}, …]}

t: RFC 3339 with offset, or milliseconds since 1970 UTC. v: number by channel key, in the channel's sent unit. A sample
may also say how the device is: "rssi" (dBm), "snr" (dB), "battery" (per cent). "device" of a sample or of a batch must
not name another device than the one that sends. Other fields are not looked at.
"""

from datetime import datetime
from itertools import repeat
from typing import Annotated, Any

import msgspec

from machnuoc.telemetry import payloads
from machnuoc.telemetry.payloads import Decoded, DecodeError, Refused

KEY = "MQTT"
TOPIC = "machnuoc/v1/+/up"

_Milliseconds = Annotated[int, msgspec.Meta(ge=payloads.SECONDS_UNTIL, le=payloads.MAX_AT_MS)]
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class _Sample(msgspec.Struct, gc=False):
    t: _Milliseconds | _Instant
    v: dict[str, float]
    rssi: float | None = None
    snr: float | None = None
    battery: float | None = None
    device: Any = None


class _Batch(msgspec.Struct, gc=False):
    batch: list[_Sample]
    device: Any = None


_one = msgspec.json.Decoder(_Sample)
_many = msgspec.json.Decoder(list[_Sample])
_batch = msgspec.json.Decoder(_Batch)
_anything = msgspec.json.Decoder(float_hook=float)  # 1e400 is infinity here, and refused below, alone


def find_sender(topic: str) -> str | None:
    parts = topic.split("/")
    return parts[2] if len(parts) == 4 and parts[:2] == ["machnuoc", "v1"] and parts[3] == "up" else None


def decode(payload: bytes, clock_offset_min: int) -> Decoded:
    try:
        # The first byte tells an array from an object; a batch is an object without "t".
        if payload[:1] == b"[":
            return _columns(_many.decode(payload))
        return _column(_one.decode(payload))
    except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError):
        pass  # as a whole it is not what we hope for: look at it piece by piece
    try:
        batch = _batch.decode(payload)
        return _columns(batch.batch, batch.device)
    except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError):
        return _piece_by_piece(payload)


def _column(sample: _Sample) -> Decoded:
    values = sample.v
    at = sample.t if isinstance(sample.t, int) else _checked(sample.t)
    return Decoded(
        list(values), [at] * len(values), list(values.values()), [], "", sample.rssi, sample.snr, sample.battery,
        _names(sample.device),
    )  # fmt: skip


def _names(*named: object) -> tuple[str, ...]:
    """Return the devices that are named, each once; what is no text names none."""
    return tuple(dict.fromkeys(each for each in named if isinstance(each, str)))


def _columns(samples: list[_Sample], device: object = None) -> Decoded:
    found = Decoded([], [], [], [])
    found.names = _names(device, *(sample.device for sample in samples if sample.device is not None))
    for sample in samples:
        values = sample.v
        at = sample.t if isinstance(sample.t, int) else _checked(sample.t)
        found.keys.extend(values)
        found.value.extend(values.values())
        found.at.extend(repeat(at, len(values)))
        if sample.rssi is not None:
            found.rssi = sample.rssi
        if sample.snr is not None:
            found.snr = sample.snr
        if sample.battery is not None:
            found.battery_pct = sample.battery
    return found


def _checked(instant: datetime) -> int:
    at = payloads.to_ms(instant)
    if not 0 <= at <= payloads.MAX_AT_MS:
        raise ValueError("an instant far from our time")  # caught in decode: this reading alone is refused there
    return at


def _piece_by_piece(payload: bytes) -> Decoded:
    try:
        whole: Any = _anything.decode(payload)
    except RecursionError:
        raise DecodeError("JSON lồng nhau quá sâu") from None
    except (msgspec.MsgspecError, ValueError, OverflowError) as reason:
        raise DecodeError(f"không phải JSON hợp lệ: {payloads.in_words(str(reason))[:160]}") from None
    device = whole.get("device") if isinstance(whole, dict) else None
    if isinstance(whole, dict) and isinstance(whole.get("batch"), list):
        whole = whole["batch"]
    samples = whole if isinstance(whole, list) else [whole]
    found = Decoded([], [], [], [])
    for number, sample in enumerate(samples, 1):
        if not isinstance(sample, dict) or not isinstance(sample.get("v"), dict) or "t" not in sample:
            raise DecodeError(f"mẫu thứ {number} không có dạng {{«t»: thời điểm, «v»: {{khóa: số}}}}")
        _add_sample(found, sample)
    found.names = _names(device, *(sample.get("device") for sample in samples))
    return found


def _add_sample(found: Decoded, sample: dict[str, Any]) -> None:
    values = sample["v"]
    at = payloads.instant_of(sample["t"])
    for name, field in (("rssi", "rssi"), ("snr", "snr"), ("battery", "battery_pct")):
        number = payloads.number_of(sample.get(name))
        if number is not None:
            setattr(found, field, number)
    if isinstance(at, str):
        if values:
            key = next(iter(values))
            found.refused.append(Refused(at, payloads.shown(key, values[key], sample["t"]), len(values)))
        return
    for key, sent in values.items():
        value = payloads.number_of(sent)
        if value is None:
            found.refused.append(Refused(payloads.NOT_A_NUMBER, payloads.shown(key, sent, sample["t"])))
            continue
        found.keys.append(key)
        found.at.append(at)
        found.value.append(value)
