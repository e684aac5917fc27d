"""Uplinks of LoRaWAN sensors, as the network server ChirpStack v4 publishes them over MQTT, JSON.

Topic application/{application}/device/{DevEUI}/event/up. The numbers are in `object`, what the codec of the device
profile made of the radio payload; nested objects give keys joined by dots ("probe1.temp"), true and false are 1 and 0
(a codec writes states so), texts and nulls are not readings and not counted. `time` is when a gateway heard it.
Source: ChirpStack v4 documentation, «Integrations», event type `up`.
"""

from typing import Any

import msgspec

from machnuoc.telemetry import payloads
from machnuoc.telemetry.payloads import Decoded, DecodeError, Refused

KEY = "CHIRPSTACK"
TOPIC = "application/+/device/+/event/up"
_MAX_DEPTH = 4


class _DeviceInfo(msgspec.Struct, gc=False):
    dev_eui: str = msgspec.field(name="devEui")


class _Gateway(msgspec.Struct, gc=False):
    rssi: float | None = None
    snr: float | None = None


class _Uplink(msgspec.Struct, gc=False):
    device_info: _DeviceInfo = msgspec.field(name="deviceInfo")
    time: Any
    object: dict[str, Any] | None = None
    rx_info: list[_Gateway] = msgspec.field(name="rxInfo", default_factory=list)
    battery_level: float | None = msgspec.field(name="batteryLevel", default=None)


_uplink = msgspec.json.Decoder(_Uplink, float_hook=float)


def find_sender(topic: str) -> str | None:
    parts = topic.split("/")
    is_ours = len(parts) == 6 and parts[0] == "application" and parts[2] == "device" and parts[4:] == ["event", "up"]
    return parts[3].lower() if is_ours else None


def decode(payload: bytes, clock_offset_min: int) -> Decoded:
    try:
        uplink = _uplink.decode(payload)
    except RecursionError:
        raise DecodeError("JSON lồng nhau quá sâu") from None
    except (msgspec.MsgspecError, ValueError, OverflowError) as reason:
        raise DecodeError(
            f"không phải bản tin «up» của ChirpStack v4: {payloads.in_words(str(reason))[:160]}"
        ) from None
    if uplink.object is None:
        raise DecodeError("không có «object»: hồ sơ thiết bị trên ChirpStack chưa có bộ giải mã (codec)")
    numbers: dict[str, float] = {}
    _flatten(uplink.object, "", numbers, 0)
    found = Decoded([], [], [], [], uplink.device_info.dev_eui.lower())
    heard = [gateway for gateway in uplink.rx_info if gateway.rssi is not None]
    if heard:
        best = max(heard, key=lambda gateway: gateway.rssi or 0.0)
        found.rssi, found.snr = best.rssi, best.snr
    found.battery_pct = uplink.battery_level
    at = payloads.instant_of(uplink.time)
    if isinstance(at, str):
        if numbers:
            key = next(iter(numbers))
            found.refused.append(Refused(at, payloads.shown(key, numbers[key], uplink.time), len(numbers)))
        return found
    found.keys.extend(numbers)
    found.value.extend(numbers.values())
    found.at.extend([at] * len(numbers))
    return found


def _flatten(part: dict[str, Any], prefix: str, numbers: dict[str, float], depth: int) -> None:
    if depth >= _MAX_DEPTH:
        raise DecodeError(f"«object» lồng nhau quá {_MAX_DEPTH} lớp")
    for name, sent in part.items():
        if isinstance(sent, dict):
            _flatten(sent, f"{prefix}{name}.", numbers, depth + 1)
        elif isinstance(sent, bool):
            numbers[prefix + name] = float(sent)
        else:
            value = payloads.number_of(sent)
            if value is not None:
                numbers[prefix + name] = value
