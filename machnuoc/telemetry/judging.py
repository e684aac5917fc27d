"""What messages say, held against what can be: each reading goes on to the store, or is refused with its reason.

The first half of the road; receive.py writes what comes out of here. Nothing is written here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from machnuoc.telemetry import directory, payloads
from machnuoc.telemetry.directory import Sender, Snapshot
from machnuoc.telemetry.payloads import Decoded, DecodeError, Decoder, Message
from machnuoc.telemetry.store import HOUR_MS, OUT_OF_RANGE, Floats, Ints, Readings

FUTURE_MS = 5 * 60_000  # how far ahead of ours a device's clock may be
YEAR_2000_MS = 946_684_800_000
LARGEST = 1e300  # beyond, sums overflow; no instrument of ours comes near
UNKNOWN = 0  # the device of the ledger for what comes from nobody we know
_SAMPLE_BYTES = 60

REASONS: Mapping[str, str] = MappingProxyType({
    payloads.FUTURE_CLOCK: "Thời điểm đo ở tương lai (đồng hồ thiết bị chạy nhanh hơn 5 phút)",
    payloads.BEFORE_2000: "Thời điểm đo trước năm 2000 (đồng hồ thiết bị chưa được đặt)",
    payloads.EPOCH_SECONDS: "Thời điểm là số giây; phải gửi số mili giây kể từ 1970",
    payloads.TIME_WITHOUT_OFFSET: "Thời điểm không có múi giờ",
    payloads.BAD_TIME: "Không hiểu thời điểm đo",
    payloads.NOT_A_NUMBER: "Giá trị không phải là số",
    "number_too_large": "Giá trị lớn quá mức biểu diễn được",
    "unknown_device": "Không có thiết bị nào mang mã này",
    "unknown_channel": "Thiết bị không có kênh mang khóa này",
    "channel_inactive": "Kênh đã ngừng dùng",
    "foreign_topic": "Gửi vào chủ đề của thiết bị khác",
    "foreign_device": "Bản tin ghi tên một thiết bị khác: mỗi thiết bị chỉ gửi số đọc của chính nó",
    "device_removed": "Thiết bị đã tháo trước thời điểm đo",
    "expired": "Mã truy cập của thiết bị đã hết hạn hoặc bị thu hồi",
    "too_large": "Bản tin quá lớn",
    "overruled": "Số đọc đã được người có trách nhiệm sửa",
    "quarantine_full": "Ngăn cách ly của thiết bị đã đầy",
})  # fmt: skip
_FUTURE, _BEFORE_2000, _TOO_LARGE, _REMOVED, _INACTIVE, _UNKNOWN_CHANNEL = range(1, 7)
_CHECKS = (
    "", payloads.FUTURE_CLOCK, payloads.BEFORE_2000, "number_too_large", "device_removed", "channel_inactive",
    "unknown_channel",
)  # fmt: skip

Fault = tuple[int, int, str]  # device, hour of receipt, reason
Signal = tuple[float | None, float | None, float | None]  # rssi dBm, snr dB, battery %


@dataclass(slots=True)
class Rejections:
    """Refused readings by (device, hour of receipt, reason): how many, when last, how the last of them read."""

    rows: dict[Fault, list[Any]] = field(default_factory=dict)

    def add(self, device: int, received_ms: int, reason: str, readings: int, sample: str) -> None:
        key = (device, received_ms - received_ms % HOUR_MS, reason)
        row = self.rows.setdefault(key, [0, received_ms, sample])
        row[0] += readings
        row[1], row[2] = max(row[1], received_ms), sample


@dataclass(slots=True)
class Quarantined:
    """A message that nobody can read, kept for a person to look at."""

    device: int
    message: Message
    reason: str


@dataclass(slots=True)
class Batch:
    """Messages taken apart. The arrays: shape (n,) by reading that passed; or by message, shape (m,).

    rows: what to write, in order of arrival. which: their places among all readings. message: which message each is of.
    device, received: by message. newest: newest instant that its readings claim, -1 if there is none. is_single: it is
    the only one.
    """

    rows: Readings
    which: Ints
    message: Ints
    device: Ints
    received: Ints
    newest: Ints
    is_single: NDArray[np.bool_]
    signals: dict[int, Signal]
    rejections: Rejections
    quarantined: list[Quarantined]


_Route = tuple[Decoder, Sender | None, str]
_ROUTES_MAX = 50_000


def _find_route(message: Message, snapshot: Snapshot) -> _Route | None:
    name = (message.topic, message.device_claimed, message.protocol)
    route: _Route | None = snapshot.routes.get(name)
    if route is not None:
        return route
    if message.topic:
        by_topic = payloads.find_decoder(message.topic)
        route = None if by_topic is None else (by_topic[0], snapshot.find(by_topic[1]), by_topic[1])
    elif message.protocol in payloads.decoders():
        claimed = message.device_claimed
        route = (payloads.decoders()[message.protocol], snapshot.find(claimed), claimed)
    # Of strangers there may be any number, and of topics that are nobody's.
    if route is not None and route[1] is not None and len(snapshot.routes) < _ROUTES_MAX:
        snapshot.routes[name] = route
    return route


def take_apart(messages: Sequence[Message], now_ms: int) -> Batch:
    snapshot = directory.current(now_ms)
    place: list[int] = []
    at: list[int] = []
    value: list[float] = []
    counts: list[int] = []
    device: list[int] = []
    received: list[int] = []
    keys: list[list[str]] = []
    signals: dict[int, Signal] = {}
    rejections = Rejections()
    quarantined: list[Quarantined] = []
    for message in messages:
        route = _find_route(message, snapshot)
        if route is None:
            owner = _owner_of(message.topic, snapshot)
            quarantined.append(Quarantined(owner, message, "không có bộ giải mã cho chủ đề này"))
            continue
        decoder, sender, name = route
        if sender is None:
            renewed = directory.look_again(now_ms)
            if renewed is not None and renewed.find(name) is not None:
                return take_apart(messages, now_ms)  # known by now: the whole batch with the fresh snapshot
        if len(message.payload) > payloads.MAX_PAYLOAD_BYTES:
            sample = f"{len(message.payload)} byte: {message.payload[:_SAMPLE_BYTES]!r}"
            rejections.add(sender.id if sender else UNKNOWN, message.received_ms, "too_large", 1, sample)
            continue
        try:
            decoded = payloads.read_decoded(decoder, message.payload, sender.clock_offset_min if sender else 0)
        except DecodeError as reason:
            quarantined.append(Quarantined(sender.id if sender else UNKNOWN, message, str(reason)))
            continue
        fault = _fault_of_sender(message, sender, decoded, snapshot)
        if fault:
            readings = len(decoded.keys) + sum(refused.readings for refused in decoded.refused)
            sample = ", ".join(decoded.names) if fault == "foreign_device" else message.topic or message.device_claimed
            rejections.add(sender.id if sender else UNKNOWN, message.received_ms, fault, readings, sample)
            continue
        if sender is None:  # said above; told again for the type checker
            continue
        for refused in decoded.refused:
            rejections.add(sender.id, message.received_ms, refused.reason, refused.readings, refused.sample)
        place.extend(map(sender.keys.__getitem__, decoded.keys))
        at.extend(decoded.at)
        value.extend(decoded.value)
        counts.append(len(decoded.keys))
        device.append(sender.id)
        received.append(message.received_ms)
        keys.append(decoded.keys)
        if decoded.rssi is not None or decoded.battery_pct is not None:
            signals[sender.id] = (decoded.rssi, decoded.snr, decoded.battery_pct)
    parts = Parts(
        np.array(place, np.int64), np.array(at, np.int64), np.array(value, np.float64), np.array(counts, np.int64),
        np.array(device, np.int64), np.array(received, np.int64), keys,
    )  # fmt: skip
    return judge(parts, snapshot, signals, rejections, quarantined)


def _owner_of(topic: str, snapshot: Snapshot) -> int:
    """Return the device whose topic this is, although no decoder reads it."""
    parts = topic.split("/")
    sender = snapshot.by_code.get(parts[2]) if len(parts) > 2 and parts[:2] == ["machnuoc", "v1"] else None
    return sender.id if sender else UNKNOWN


def _fault_of_sender(message: Message, sender: Sender | None, decoded: Decoded, snapshot: Snapshot) -> str:
    if sender is None:
        return "unknown_device"
    if message.device_claimed and sender.code != message.device_claimed:
        return "foreign_topic"
    if decoded.sender and snapshot.find(decoded.sender) is not sender:
        return "foreign_topic"
    if any(snapshot.find(each) not in (None, sender) for each in decoded.names):
        return "foreign_device"
    return ""


@dataclass(slots=True)
class Parts:
    """Readings in order of arrival, shape (n,), -1 the place of an unknown channel; messages, shape (m,)."""

    place: Ints
    at: Ints
    value: Floats
    counts: Ints
    device: Ints
    received: Ints
    keys: list[list[str]]


def judge(
    parts: Parts,
    snapshot: Snapshot,
    signals: dict[int, Signal],
    rejections: Rejections,
    quarantined: list[Quarantined],
    *,
    is_sent: bool = True,
) -> Batch:
    """Hold every reading against what cannot be, and give the rest as rows to write.

    is_sent: by a device now, in its own unit; else in the stored unit, by a person, who may also speak of a channel
    that is not in use any more.
    """
    place, at, stored = parts.place, parts.at, parts.value
    message = np.repeat(np.arange(len(parts.counts)), parts.counts)
    newest, is_single = _newest_by_message(at, parts.counts)
    check = np.zeros(len(place), np.int8)
    is_known = place >= 0
    if not is_known.all():
        check[~is_known] = _UNKNOWN_CHANNEL
    place_or_any = np.where(is_known, place, 0)
    with np.errstate(over="ignore", invalid="ignore"):
        if is_sent and len(snapshot.channel):
            check[is_known & ~snapshot.is_active[place_or_any]] = _INACTIVE
            check[is_known & (at >= snapshot.removed_ms[place_or_any])] = _REMOVED
            stored = snapshot.to_stored(place_or_any, at, parts.value)
        is_number = (np.abs(parts.value) <= LARGEST) & (np.abs(stored) <= LARGEST)
    check[is_known & ~is_number] = _TOO_LARGE
    check[is_known & (at < YEAR_2000_MS)] = _BEFORE_2000
    check[is_known & (at > parts.received[message] + FUTURE_MS)] = _FUTURE
    which = np.flatnonzero(check == 0)
    if len(which) < len(place):
        for number in np.unique(check[check != 0]).tolist():
            _reject(parts, check == number, message, _CHECKS[number], rejections)
        place, at, stored, message = place[which], at[which], stored[which], message[which]
    if len(place):
        outside = (stored < snapshot.low[place]) | (stored > snapshot.high[place])
        rows = Readings(snapshot.channel[place], at, stored, outside * OUT_OF_RANGE)
    else:  # also where there are no channels at all
        rows = Readings(place, at, stored, place)
    return Batch(
        rows, which, message, parts.device, parts.received, newest, is_single, signals, rejections, quarantined
    )


def _newest_by_message(at: Ints, counts: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the newest instant of each message, -1 without any, and whether it is the only one."""
    newest = np.full(len(counts), -1, np.int64)
    is_single = np.zeros(len(counts), np.bool_)
    has_some = counts > 0
    if has_some.any():
        starts = (np.cumsum(counts) - counts)[has_some]
        newest[has_some] = np.maximum.reduceat(at, starts)
        is_single[has_some] = np.minimum.reduceat(at, starts) == newest[has_some]
    return newest, is_single


def _reject(parts: Parts, which: NDArray[np.bool_], message: Ints, reason: str, rejections: Rejections) -> None:
    """Count readings under a reason, by device and hour of receipt, with the last of each as a sample."""
    rows = np.flatnonzero(which)
    if not len(rows):
        return
    hour = parts.received - parts.received % HOUR_MS
    owners, last, counts = np.unique(
        np.stack([parts.device[message[rows]], hour[message[rows]]])[:, ::-1], axis=1, return_index=True,
        return_counts=True,
    )  # fmt: skip
    starts = np.cumsum(parts.counts) - parts.counts
    for (device, _), index, count in zip(owners.T.tolist(), last.tolist(), counts.tolist(), strict=True):
        row = int(rows[len(rows) - 1 - index])
        of = int(message[row])
        key = parts.keys[of][row - int(starts[of])]
        sample = payloads.shown(key, f"{parts.value[row]:g}", written(int(parts.at[row])))
        rejections.add(device, int(parts.received[of]), reason, count, sample)


def written(at_ms: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).isoformat().replace("+00:00", "Z")
