"""What devices send: messages, what a decoder makes of one, and the list of decoders.

A decoder is one module in `decoders/` (see the Protocol `Decoder`): a further payload or protocol is one further file
there, found by itself. Pure: bytes in, columns out. Nothing but DecodeError may come out of a decoder, whatever the
bytes are; what a person may have to look at is then in quarantine.
"""

import importlib
import math
import pkgutil
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from types import MappingProxyType
from typing import NamedTuple, Protocol, cast

import msgspec

MAX_PAYLOAD_BYTES = 4 * 1024 * 1024  # a month of 12 channels each 5 minutes, as JSON
MAX_READINGS = 150_000  # in one message
MAX_AT_MS = 2**43 - 1  # the year 2248: an instant and the place of a channel fit one 64-bit integer
SECONDS_UNTIL = 10_000_000_000  # a smaller whole number is seconds: as milliseconds it is of 1970
_SAMPLE_CHARS = 80
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_MS = timedelta(milliseconds=1)

# Reasons by which a decoder refuses one reading. The sentences are in receive.REASONS.
NOT_A_NUMBER = "not_a_number"
BAD_TIME = "bad_time"
TIME_WITHOUT_OFFSET = "time_without_offset"
EPOCH_SECONDS = "epoch_seconds"
BEFORE_2000 = "before_2000"
FUTURE_CLOCK = "future_clock"


class DecodeError(ValueError):
    """These bytes cannot be read as this payload; the text says in Vietnamese what is wrong with them."""


class Message(NamedTuple):
    """What arrived: topic (empty for HTTP), bytes, our clock when it arrived.

    device_claimed: code of the device that the connection belongs to, where it is known (HTTP token); empty where the
    broker has already seen to it that a device writes to its own topics alone.
    protocol: key of a decoder, or empty: the topic says.
    """

    topic: str
    payload: bytes
    received_ms: int
    device_claimed: str = ""
    protocol: str = ""


class Refused(NamedTuple):
    """Readings of a message that are not taken: why, and how the first of them read."""

    reason: str
    sample: str
    readings: int = 1


class Decoded(msgspec.Struct, gc=False):
    """What a decoder found in one message: readings as columns of one length, and what it refused.

    keys: name of the channel as sent. at: ms UTC, 0 to MAX_AT_MS. value: in the sent unit, finite or not.
    sender: who the payload itself says it is from; empty where the topic alone says. rssi dBm, snr dB, battery_pct %.
    names: devices that samples name beside their readings; a device speaks only for itself.
    """

    keys: list[str]
    at: list[int]
    value: list[float]
    refused: list[Refused]
    sender: str = ""
    rssi: float | None = None
    snr: float | None = None
    battery_pct: float | None = None
    names: tuple[str, ...] = ()


class Decoder(Protocol):
    """What a module in `decoders/` defines."""

    KEY: str  # as in models.Device.Protocol
    TOPIC: str  # MQTT filter to subscribe to; empty: comes by HTTP alone

    def find_sender(self, topic: str) -> str | None:
        """Return the device's code or network id that the topic names, or None if the topic is not this decoder's."""

    def decode(self, payload: bytes, clock_offset_min: int) -> Decoded:
        """Read the payload. clock_offset_min: of device clocks that do not say their own. Raises DecodeError alone."""


@cache
def decoders() -> Mapping[str, Decoder]:
    """Return every decoder by its key, in the order of their file names."""
    from machnuoc.telemetry import decoders as folder

    found: dict[str, Decoder] = {}
    for module in sorted(pkgutil.iter_modules(folder.__path__), key=lambda each: each.name):
        decoder = cast(Decoder, importlib.import_module(f"{folder.__name__}.{module.name}"))
        if decoder.KEY in found:
            raise ValueError(f"two decoders are called {decoder.KEY}")
        found[decoder.KEY] = decoder
    return MappingProxyType(found)


def topics() -> list[str]:
    """Return the MQTT filters under which devices write.

    >>> topics()
    ['application/+/device/+/event/up', 'machnuoc/v1/+/csv', 'machnuoc/v1/+/up']
    """
    return sorted(decoder.TOPIC for decoder in decoders().values() if decoder.TOPIC)


def find_decoder(topic: str) -> tuple[Decoder, str] | None:
    """Return the decoder of a topic and the sender that the topic names, or None."""
    for decoder in decoders().values():
        sender = decoder.find_sender(topic)
        if sender is not None:
            return decoder, sender
    return None


def read_decoded(decoder: Decoder, payload: bytes, clock_offset_min: int) -> Decoded:
    """Decode within the limits of size. Raises DecodeError."""
    decoded = decoder.decode(payload, clock_offset_min)
    if len(decoded.keys) > MAX_READINGS:
        raise DecodeError(f"bản tin có {len(decoded.keys)} số đọc, nhiều hơn {MAX_READINGS}")
    return decoded


# --- what decoders share --------------------------------------------------------------------------------------------


def to_ms(instant: datetime) -> int:
    """Return milliseconds since 1970 of an aware instant, cut down to whole ones."""
    return (instant - _EPOCH) // _ONE_MS


def instant_of(sent: object, clock_offset_min: int | None = None) -> int | str:
    """Return the instant in ms UTC, or the reason why this is none.

    sent: RFC 3339 text, or whole milliseconds since 1970. Text without an offset is read with the device's own
    (minutes east of UTC), or refused where that is None. Seconds since 1970 are refused, not guessed.

    >>> instant_of("2026-01-01T07:00:00+07:00"), instant_of(1_767_225_600_000)
    (1767225600000, 1767225600000)
    >>> instant_of(1_767_225_600), instant_of("2026-01-01T07:00:00"), instant_of("hôm qua")
    ('epoch_seconds', 'time_without_offset', 'bad_time')
    """
    if isinstance(sent, bool):
        return BAD_TIME
    if isinstance(sent, float):
        if not math.isfinite(sent) or not sent.is_integer():
            return BAD_TIME
        sent = int(sent)
    if isinstance(sent, int):
        if 0 < sent < SECONDS_UNTIL:
            return EPOCH_SECONDS
        return _within(sent)
    if not isinstance(sent, str):
        return BAD_TIME
    return _read_text(sent.strip(), clock_offset_min)


_TIME = re.compile(
    r"(\d{4})[-/](\d{2})[-/](\d{2})[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?\s?([Zz]|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)


def _read_text(text: str, clock_offset_min: int | None) -> int | str:
    found = _TIME.fullmatch(text)
    if found is None:
        return BAD_TIME
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    if offset is None:
        if clock_offset_min is None:
            return TIME_WITHOUT_OFFSET
        zone_min = clock_offset_min
    elif offset in "Zz":
        zone_min = 0
    else:
        zone_min = (-1 if offset[0] == "-" else 1) * (int(offset[1:3]) * 60 + int(offset[-2:]))
    leap = second == "60"  # RFC 3339 has leap seconds; what follows is the same instant for us
    try:
        zone = timezone(timedelta(minutes=zone_min))
        micro = int((fraction or "0").ljust(6, "0")[:6])
        parts = (int(year), int(month), int(day), int(hour), int(minute), 59 if leap else int(second or 0), micro)
        instant = datetime(*parts, tzinfo=zone)
        return _within(to_ms(instant) + (1000 if leap else 0))
    except (ValueError, OverflowError):
        return BAD_TIME


def _within(at_ms: int) -> int | str:
    if at_ms < 0:
        return BEFORE_2000
    return FUTURE_CLOCK if at_ms > MAX_AT_MS else at_ms


def number_of(sent: object) -> float | None:
    """Return the number that was sent, or None for anything else: a truth, a text, nothing, or what no float can hold.

    >>> number_of(3), number_of(True), number_of("12,5"), number_of(10**400)
    (3.0, None, None, None)
    """
    if isinstance(sent, bool) or not isinstance(sent, (int, float)):
        return None
    try:
        number = float(sent)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


_WORDS = (
    (r"JSON is malformed: ", ""),
    (r"Input data was truncated", "bản tin bị cắt giữa chừng"),
    (r"invalid character", "ký tự không hợp lệ"), (r"trailing characters", "thừa ký tự sau khi bản tin đã hết"),
    (r"invalid utf-8 encoding|Invalid UTF-8 encoded string|Invalid UTF-8", "không phải chữ UTF-8"),
    (r"invalid number", "số viết sai"), (r"invalid escape character in string", "ký tự sau «\\\\» không hợp lệ"),
    (r"object keys must be strings", "tên trường phải là chữ trong dấu nháy"), (r"expected ", "thiếu "),
    (r"number out of range", "số quá lớn"),
    (r"Object missing required field `([^`]*)`", r"thiếu trường «\1»"),
    (r"Expected `([^`]*)`, got `([^`]*)`", r"phải là \1, đã gửi \2"),
    (r" - at `\$?\.?([^`]*)`", r", ở «\1»"),
)  # fmt: skip


def in_words(reason: str) -> str:
    """Return what the JSON reader complains of, in Vietnamese; what it never said before stays as it is.

    >>> in_words("JSON is malformed: invalid character (byte 0)")
    'ký tự không hợp lệ ở ký tự thứ 1'
    >>> in_words("Object missing required field `time` - at `$.object`")
    'thiếu trường «time», ở «object»'
    """
    for pattern, words in _WORDS:
        reason = re.sub(pattern, words, reason)
    return re.sub(r" ?\(byte (\d+)\)", lambda found: f" ở ký tự thứ {int(found[1]) + 1}", reason)


def shown(key: object, value: object, at: object = "") -> str:
    """Return how a refused reading read, short enough for a table and without characters that no screen shows."""
    text = f"{_cut(key)}={_cut(value)}" + (f" @ {_cut(at)}" if at != "" else "")
    return "".join(char if char.isprintable() else "·" for char in text)


def _cut(part: object) -> str:
    if isinstance(part, int) and not isinstance(part, bool) and part.bit_length() > 1000:
        return "(số quá dài)"  # Python refuses to write out integers of thousands of digits
    if isinstance(part, (list, dict)):
        return "[…]" if isinstance(part, list) else "{…}"
    text = str(part)
    return text if len(text) <= _SAMPLE_CHARS else text[:_SAMPLE_CHARS] + "…"
