"""The road of a reading: from what arrived to rows in the store, with everything that it causes, in one transaction.

`take` is the only door for devices, whatever they speak; what it returns stands on a commit. Nothing is dropped in
silence: the ledger counts each reading under exactly one of stored, corrected, duplicate, rejected, quarantined.
The rules are told in docs/algorithms/telemetry-receiving.md.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import psycopg
from numpy.typing import NDArray

from machnuoc.telemetry import directory, payloads, store, store_writing
from machnuoc.telemetry.directory import Sender, Snapshot
from machnuoc.telemetry.payloads import Decoded, DecodeError, Decoder, Message
from machnuoc.telemetry.store import HOUR_MS, OUT_OF_RANGE, Floats, Ints, Readings

FUTURE_MS = 5 * 60_000  # how far ahead of ours a device's clock may be
YEAR_2000_MS = 946_684_800_000
LARGEST = 1e300  # beyond, sums overflow; no instrument of ours comes near
QUARANTINE_MAX = 1_000  # undecided messages of one device; its next ones are rejected until a person has looked
QUARANTINE_MAX_BYTES = 64 * 1024 * 1024
BATCH_KEPT_MS = 7 * store.DAY_MS  # how long a repeated HTTP batch is recognised
UNKNOWN = 0  # the device of the ledger for what comes from nobody we know
_SAMPLE_BYTES = 60
_ATTEMPTS = 4

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
    "device_removed": "Thiết bị đã tháo trước thời điểm đo",
    "expired": "Mã truy cập của thiết bị đã hết hạn hoặc bị thu hồi",
    "too_large": "Bản tin quá lớn",
    "overruled": "Số đọc đã được người có trách nhiệm sửa",
    "quarantine_full": "Ngăn cách ly của thiết bị đã đầy",
})  # fmt: skip
_CHECKS = ("", payloads.FUTURE_CLOCK, payloads.BEFORE_2000, "number_too_large", "device_removed", "channel_inactive")
_UNKNOWN_CHANNEL, _OVERRULED = "unknown_channel", "overruled"

Fault = tuple[int, int, str]  # device, hour of receipt, reason
T = TypeVar("T")


class CannotReplay(Exception):
    """A message in quarantine cannot be replayed or dismissed; the text says why."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Readings by what became of them; received is the sum of the others."""

    received: int = 0
    stored: int = 0
    corrected: int = 0
    duplicate: int = 0
    rejected: int = 0
    quarantined: int = 0

    @property
    def is_closed(self) -> bool:
        return self.received == self.stored + self.corrected + self.duplicate + self.rejected + self.quarantined

    def plus(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Counts)))


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of messages. by_device: {device id, 0 unknown: counts}. reasons: {key of REASONS: readings}."""

    total: Counts
    by_device: Mapping[int, Counts]
    reasons: Mapping[str, int]


@dataclass(slots=True)
class _Rejections:
    """Refused readings by (device, hour of receipt, reason): how many, when last, how the last of them read."""

    rows: dict[Fault, list[Any]] = field(default_factory=dict)

    def add(self, device: int, received_ms: int, reason: str, readings: int, sample: str) -> None:
        key = (device, received_ms - received_ms % HOUR_MS, reason)
        row = self.rows.setdefault(key, [0, received_ms, sample])
        row[0] += readings
        row[1], row[2] = max(row[1], received_ms), sample


@dataclass(slots=True)
class _Quarantined:
    device: int
    message: Message
    reason: str


@dataclass(slots=True)
class _Batch:
    """Messages taken apart. The arrays: shape (n,) by reading that passed; or by message, shape (m,).

    rows: what to write, in order of arrival. message: which message a reading is of.
    device, received: by message. newest: newest instant that its readings claim, -1 if there is none.
    """

    rows: Readings
    message: Ints
    device: Ints
    received: Ints
    newest: Ints
    signals: dict[int, tuple[float | None, float | None, float | None]]
    rejections: _Rejections
    quarantined: list[_Quarantined]


def take(messages: Sequence[Message], now_ms: int) -> Receipt:
    """Store what messages say, in one transaction, and return what became of their readings.

    Whatever the messages are, this raises only what the database raises; then nothing of them is stored, and the same
    messages can be given again.
    """
    return _again_if_in_vain(_take_apart(messages, now_ms), now_ms)


def take_once(message: Message, key: str, digest: str, now_ms: int) -> tuple[dict[str, Any], bool]:
    """Store one message under the sender's own key, once; return (answer, whether it was answered before).

    digest: of the payload. A key that came with another payload gives the answer {"conflict": True}.
    The key is of the device in message.device_claimed, which must be known.
    """
    sender = directory.current(now_ms).find(message.device_claimed)
    device = sender.id if sender else UNKNOWN
    apart = _take_apart([message], now_ms)

    def answered_before(cursor: Any) -> dict[str, Any] | None:
        sql = "SELECT answer FROM telemetry_batch WHERE device = ? AND idempotency_key = ?"
        row = cursor.execute(store.adapt(sql), (device, key)).fetchone()
        if row is None:
            return None
        kept: dict[str, Any] = json.loads(row[0])
        return {**kept["answer"], "repeated": True} if kept["digest"] == digest else {"conflict": True}

    def keep_answer(cursor: Any, receipt: Receipt) -> None:
        kept = json.dumps({"digest": digest, "answer": as_answer(receipt)})
        _forget_old_batches(cursor, device, now_ms)
        sql = "INSERT INTO telemetry_batch (device, idempotency_key, answer, received_at) VALUES (?, ?, ?, ?)"
        cursor.execute(store.adapt(sql), (device, key, kept, now_ms))

    found = _again_if_in_vain(apart, now_ms, before=answered_before, after=keep_answer)
    return (as_answer(found), False) if isinstance(found, Receipt) else (found, True)


def as_answer(receipt: Receipt) -> dict[str, Any]:
    """Return the receipt as the HTTP door tells it."""
    total = receipt.total
    return {
        **{each.name: getattr(total, each.name) for each in fields(Counts)},
        "reasons": [{"key": key, "text": REASONS[key], "readings": count} for key, count in receipt.reasons.items()],
    }


_last_forgotten: dict[int, int] = {}


def _forget_old_batches(cursor: Any, device: int, now_ms: int) -> None:
    if 0 <= now_ms - _last_forgotten.get(device, -HOUR_MS) < HOUR_MS:
        return
    _last_forgotten[device] = now_ms
    sql = "DELETE FROM telemetry_batch WHERE device = ? AND received_at < ?"
    cursor.execute(store.adapt(sql), (device, now_ms - BATCH_KEPT_MS))


def refuse(device: int, reason: str, sample: str, now_ms: int) -> None:
    """Count one message that was turned away at the door unread, under a reason of REASONS."""
    rejections = _Rejections()
    rejections.add(device, now_ms, reason, 1, sample)
    with store.transaction() as cursor:
        _write_ledger(cursor, {(device, now_ms - now_ms % HOUR_MS): [1, 0, 0, 0, 1, 0]})
        _write_rejections(cursor, rejections)


# --- taking apart ---------------------------------------------------------------------------------------------------

_Route = tuple[Decoder, Sender | None, str]
_routes: dict[tuple[str, str, str], _Route | None] = {}
_routes_of: Snapshot | None = None
_ROUTES_MAX = 50_000


def _find_route(message: Message, snapshot: Snapshot) -> _Route | None:
    global _routes_of
    if _routes_of is not snapshot or len(_routes) > _ROUTES_MAX:
        _routes.clear()
        _routes_of = snapshot
    name = (message.topic, message.device_claimed, message.protocol)
    if name in _routes:
        return _routes[name]
    route: _Route | None = None
    if message.topic:
        by_topic = payloads.find_decoder(message.topic)
        route = None if by_topic is None else (by_topic[0], snapshot.find(by_topic[1]), by_topic[1])
    elif message.protocol in payloads.decoders():
        claimed = message.device_claimed
        route = (payloads.decoders()[message.protocol], snapshot.find(claimed), claimed)
    if route is None or route[1] is not None:  # of strangers there may be any number
        _routes[name] = route
    return route


def _take_apart(messages: Sequence[Message], now_ms: int) -> _Batch:
    snapshot = directory.current(now_ms)
    place: list[int] = []
    at: list[int] = []
    value: list[float] = []
    counts: list[int] = []
    device: list[int] = []
    received: list[int] = []
    keys: list[list[str]] = []
    signals: dict[int, tuple[float | None, float | None, float | None]] = {}
    rejections = _Rejections()
    quarantined: list[_Quarantined] = []
    for message in messages:
        route = _find_route(message, snapshot)
        if route is None:
            quarantined.append(_Quarantined(UNKNOWN, message, "không có bộ giải mã cho chủ đề này"))
            continue
        decoder, sender, name = route
        if sender is None:
            renewed = directory.look_again(now_ms)
            if renewed is not None and renewed.find(name) is not None:
                return _take_apart(messages, now_ms)  # known by now: the whole batch with the fresh snapshot
        if len(message.payload) > payloads.MAX_PAYLOAD_BYTES:
            sample = f"{len(message.payload)} byte: {message.payload[:_SAMPLE_BYTES]!r}"
            rejections.add(sender.id if sender else UNKNOWN, message.received_ms, "too_large", 1, sample)
            continue
        try:
            decoded = payloads.read_decoded(decoder, message.payload, sender.clock_offset_min if sender else 0)
        except DecodeError as reason:
            quarantined.append(_Quarantined(sender.id if sender else UNKNOWN, message, str(reason)))
            continue
        fault = _fault_of_sender(message, sender, decoded, snapshot)
        if fault:
            readings = len(decoded.keys) + sum(refused.readings for refused in decoded.refused)
            sample = f"{message.topic or message.device_claimed}"
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
    parts = _Parts(
        np.array(place, np.int64), np.array(at, np.int64), np.array(value, np.float64), np.array(counts, np.int64),
        np.array(device, np.int64), np.array(received, np.int64), keys,
    )  # fmt: skip
    return _judge(parts, snapshot, signals, rejections, quarantined)


def _fault_of_sender(message: Message, sender: Sender | None, decoded: Decoded, snapshot: Snapshot) -> str:
    if sender is None:
        return "unknown_device"
    if message.device_claimed and sender.code != message.device_claimed:
        return "foreign_topic"
    if decoded.sender and snapshot.find(decoded.sender) is not sender:
        return "foreign_topic"
    return ""


@dataclass(slots=True)
class _Parts:
    """Readings in order of arrival, shape (n,), -1 the place of an unknown channel; messages, shape (m,)."""

    place: Ints
    at: Ints
    value: Floats
    counts: Ints
    device: Ints
    received: Ints
    keys: list[list[str]]


def _judge(
    parts: _Parts, snapshot: Snapshot, signals: dict[int, Any], rejections: _Rejections, quarantined: list[_Quarantined]
) -> _Batch:
    """Hold every reading against what cannot be, and give the rest as rows to write."""
    place, at, value = parts.place, parts.at, parts.value
    message = np.repeat(np.arange(len(parts.counts)), parts.counts)
    newest = _newest_by_message(at, parts.counts)
    is_known = place >= 0
    if not is_known.all():
        _reject(parts, ~is_known, message, _UNKNOWN_CHANNEL, rejections)
    check = np.zeros(len(place), np.int8)
    place_or_any = np.where(is_known, place, 0)
    with np.errstate(over="ignore", invalid="ignore"):
        if len(snapshot.channel):
            check[~snapshot.is_active[place_or_any]] = 5
            check[at >= snapshot.removed_ms[place_or_any]] = 4
            stored = snapshot.to_stored(place_or_any, at, value)
        else:
            stored = value
        check[~(np.abs(value) <= LARGEST) | ~(np.abs(stored) <= LARGEST)] = 3
    check[at < YEAR_2000_MS] = 2
    check[at > parts.received[message] + FUTURE_MS] = 1
    is_good = is_known & (check == 0)
    if not is_good.all():
        for number in range(1, len(_CHECKS)):
            _reject(parts, is_known & (check == number), message, _CHECKS[number], rejections)
        place, at, stored, message = place[is_good], at[is_good], stored[is_good], message[is_good]
    if not len(place):  # also where there are no channels at all
        empty = np.empty(0, np.int64)
        rows = Readings(empty, empty, np.empty(0), empty)
    else:
        outside = (stored < snapshot.low[place]) | (stored > snapshot.high[place])
        rows = Readings(snapshot.channel[place], at, stored, outside * OUT_OF_RANGE)
    return _Batch(rows, message, parts.device, parts.received, newest, signals, rejections, quarantined)


def _newest_by_message(at: Ints, counts: Ints) -> Ints:
    newest = np.full(len(counts), -1, np.int64)
    has_some = counts > 0
    if has_some.any():
        starts = (np.cumsum(counts) - counts)[has_some]
        newest[has_some] = np.maximum.reduceat(at, starts)
    return newest


def _reject(parts: _Parts, which: NDArray[np.bool_], message: Ints, reason: str, rejections: _Rejections) -> None:
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
        sample = payloads.shown(key, f"{parts.value[row]:g}", _written(int(parts.at[row])))
        rejections.add(device, int(parts.received[of]), reason, count, sample)


def _written(at_ms: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).isoformat().replace("+00:00", "Z")


# --- writing --------------------------------------------------------------------------------------------------------

_is_quick = True  # whether the last batch was all new: the next one will most likely be, too


def _again_if_in_vain(
    batch: _Batch,
    now_ms: int,
    before: Callable[[Any], T | None] = lambda cursor: None,
    after: Callable[[Any, Receipt], None] = lambda cursor, receipt: None,
) -> Receipt | T:
    """Write the batch in one transaction; once more where a second try goes another way or meets another moment.

    before: asked inside the transaction; what it returns, if not None, is the result and nothing is written.
    """
    global _is_quick
    is_quick = _is_quick
    store_writing.ensure_partitions(batch.rows.at)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with store.transaction() as cursor:
                found = before(cursor)
                if found is not None:
                    return found
                receipt = _write(cursor, batch, now_ms, is_quick)
                after(cursor, receipt)
        except store_writing.NotAllNew:
            _is_quick = is_quick = False
            continue
        except psycopg.errors.CheckViolation as error:
            if attempt == _ATTEMPTS or not store_writing.is_partition_missing(error):
                raise
            store_writing.ensure_partitions(batch.rows.at, again=True)
            continue
        except (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
            # Another process wrote the same in this moment; what it committed is seen at the next attempt.
            if attempt == _ATTEMPTS:
                raise
            time.sleep(0.01 * attempt)
            continue
        if not receipt.total.duplicate and not receipt.total.corrected:
            _is_quick = True
        return receipt
    raise RuntimeError("no attempt came to an end")  # the last one returns or raises


def _write(cursor: Any, batch: _Batch, now_ms: int, is_quick: bool) -> Receipt:
    rows = batch.rows
    fate = store_writing.write(
        cursor, rows, now_ms=now_ms, reason="thiết bị gửi lại số khác", archived=_archive_of(cursor, rows.at, now_ms),
        is_quick=is_quick,
    )  # fmt: skip
    is_changed = fate <= store_writing.CORRECTED
    if is_changed.all():
        store_writing.mark_dirty(cursor, rows.channel, rows.at, now_ms)
    elif is_changed.any():
        store_writing.mark_dirty(cursor, rows.channel[is_changed], rows.at[is_changed], now_ms)
    rejections = _with_kept(batch, fate)
    _write_device_state(cursor, batch)
    ledger = _count(batch, fate, rejections)
    _write_quarantine(cursor, batch.quarantined, ledger, rejections)
    _write_ledger(cursor, ledger)
    _write_rejections(cursor, rejections)
    return _receipt(ledger, rejections)


def _receipt(ledger: dict[tuple[int, int], list[int]], rejections: _Rejections) -> Receipt:
    by_device: dict[int, list[int]] = {}
    for (device, _), counts in ledger.items():
        so_far = by_device.setdefault(device, [0] * 6)
        for index, count in enumerate(counts):
            so_far[index] += count
    reasons: dict[str, int] = {}
    for (_, _, reason), row in rejections.rows.items():
        reasons[reason] = reasons.get(reason, 0) + row[0]
    total = Counts(*(sum(column) for column in zip(*by_device.values(), strict=True))) if by_device else Counts()
    return Receipt(total, {device: Counts(*counts) for device, counts in by_device.items()}, reasons)


def _archive_of(cursor: Any, at: Ints, now_ms: int) -> Callable[[Ints, Ints], Floats] | None:
    """Return how to ask the archive what it has, or None where all instants are of months that are not archived."""
    recent = store_writing.month_of(store_writing.month_of(now_ms)[0] - 1)[0]
    if not len(at) or int(at.min()) >= recent:
        return None
    months = {row[0] for row in cursor.execute("SELECT month FROM telemetry_archive").fetchall()}
    if not months:
        return None
    from machnuoc.telemetry import archive

    return archive.read_points


def _with_kept(batch: _Batch, fate: store_writing.Fates) -> _Rejections:
    """Return the rejections with those readings that a person's own value keeps out. The batch stays as it is."""
    kept = _Rejections({key: list(row) for key, row in batch.rejections.rows.items()})
    for row in np.flatnonzero(fate == store_writing.KEPT).tolist():
        of = int(batch.message[row])
        sample = f"{batch.rows.value[row]:g} @ {_written(int(batch.rows.at[row]))}"
        kept.add(int(batch.device[of]), int(batch.received[of]), _OVERRULED, 1, sample)
    return kept


def _count(batch: _Batch, fate: store_writing.Fates, rejections: _Rejections) -> dict[tuple[int, int], list[int]]:
    """Return the rows of the ledger: {(device, hour): counts in the order of the fields of Counts}."""
    ledger: dict[tuple[int, int], list[int]] = {}
    if len(batch.device):
        hour = batch.received // HOUR_MS
        owner, group = np.unique((batch.device << 24) | hour, return_inverse=True)  # hours since 1970 fit 24 bits
        group_of_row = group[batch.message]
        columns = [
            np.bincount(group_of_row[fate == which], minlength=len(owner))
            for which in (store_writing.STORED, store_writing.CORRECTED, store_writing.DUPLICATE)
        ]
        for key, stored, corrected, duplicate in zip(owner.tolist(), *(each.tolist() for each in columns), strict=True):
            if stored or corrected or duplicate:
                received = stored + corrected + duplicate
                ledger[key >> 24, (key & 0xFFFFFF) * HOUR_MS] = [received, stored, corrected, duplicate, 0, 0]
    for (device, of_hour, _), row in rejections.rows.items():
        counts = ledger.setdefault((device, of_hour), [0] * 6)
        counts[0] += row[0]
        counts[4] += row[0]
    return ledger


_STATE = "telemetry_device_state (device, received_at, measured_at, drift_ms, messages, rssi, snr, battery)"
_STATE_TYPES = ("int", "bigint", "bigint", "bigint", "bigint", "float8", "float8", "float8")
_SEEN = """ON CONFLICT (device) DO UPDATE SET
    received_at = CASE WHEN excluded.received_at > telemetry_device_state.received_at
        THEN excluded.received_at ELSE telemetry_device_state.received_at END,
    measured_at = CASE WHEN excluded.measured_at > telemetry_device_state.measured_at
        THEN excluded.measured_at ELSE telemetry_device_state.measured_at END,
    messages = telemetry_device_state.messages + excluded.messages,
    rssi = COALESCE(excluded.rssi, telemetry_device_state.rssi),
    snr = COALESCE(excluded.snr, telemetry_device_state.snr),
    battery = COALESCE(excluded.battery, telemetry_device_state.battery)"""
# The newest instant that the device claims is received_at - drift_ms. What is older than what we have (a backlog that
# is sent late) says nothing of the clock now; what is newer does, even where it lies in the future and was rejected.
_DRIFTED = """,
    drift_ms = CASE WHEN excluded.received_at - excluded.drift_ms >= telemetry_device_state.measured_at
        THEN excluded.drift_ms ELSE telemetry_device_state.drift_ms END"""


def _write_device_state(cursor: Any, batch: _Batch) -> None:
    if not len(batch.device):
        return
    accepted = np.zeros(len(batch.device), np.int64)
    np.maximum.at(accepted, batch.message, batch.rows.at)
    order = np.lexsort((batch.newest, batch.device))
    device = batch.device[order]
    starts = np.flatnonzero(store_writing.begins_of(device))
    last = np.append(starts[1:], len(order)) - 1
    newest = batch.newest[order][last]
    received = batch.received[order]
    said = [batch.signals.get(each, (None, None, None)) for each in device[starts].tolist()]
    columns = [
        device[starts], np.maximum.reduceat(received, starts), np.maximum.reduceat(accepted[order], starts),
        received[last] - newest, np.diff(starts, append=len(order)),
    ]  # fmt: skip
    for has_readings, tail in ((True, _SEEN + _DRIFTED), (False, _SEEN)):
        which = np.flatnonzero((newest >= 0) == has_readings)
        if len(which):
            numbers = [column[which].tolist() for column in columns]
            if not has_readings:
                numbers[3] = [0] * len(which)
            signs = [[said[row][index] for row in which.tolist()] for index in range(3)]
            store_writing.upsert(cursor, _STATE, _STATE_TYPES, [*numbers, *signs], tail)


def _write_quarantine(
    cursor: Any, quarantined: list[_Quarantined], ledger: dict[tuple[int, int], list[int]], rejections: _Rejections
) -> None:
    """Keep messages for a person to look at, as long as there is room for their device."""
    room: dict[int, list[int]] = {}
    for each in quarantined:
        if each.device not in room:
            sql = "SELECT count(*), coalesce(sum(length(payload)), 0) FROM telemetry_quarantine "
            sql += "WHERE state = 'NEW' AND device = ?"
            room[each.device] = list(cursor.execute(store.adapt(sql), (each.device,)).fetchone())
        message, size = each.message, len(each.message.payload)
        counts = ledger.setdefault((each.device, message.received_ms - message.received_ms % HOUR_MS), [0] * 6)
        counts[0] += 1
        used = room[each.device]
        if used[0] >= QUARANTINE_MAX or used[1] + size > QUARANTINE_MAX_BYTES:
            counts[4] += 1
            rejections.add(each.device, message.received_ms, "quarantine_full", 1, each.reason)
            continue
        counts[5] += 1
        used[0] += 1
        used[1] += size
        sql = "INSERT INTO telemetry_quarantine (device, topic, payload, received_at, reason) VALUES (?, ?, ?, ?, ?)"
        topic = message.topic or f"{message.protocol}:{message.device_claimed}"
        cursor.execute(
            store.adapt(sql),
            (
                each.device,
                topic.replace("\0", "·"),
                message.payload,
                message.received_ms,
                each.reason.replace("\0", "·"),
            ),
        )


def _write_ledger(cursor: Any, ledger: dict[tuple[int, int], list[int]]) -> None:
    keys = sorted(ledger)
    store_writing.upsert(
        cursor,
        "telemetry_ledger (device, hour, received, stored, corrected, duplicate, rejected, quarantined)",
        ("int", "bigint", "bigint", "bigint", "bigint", "bigint", "bigint", "bigint"),
        [
            [key[0] for key in keys],
            [key[1] for key in keys],
            *([ledger[key][index] for key in keys] for index in range(6)),
        ],
        "ON CONFLICT (device, hour) DO UPDATE SET "
        + ", ".join(f"{each.name} = telemetry_ledger.{each.name} + excluded.{each.name}" for each in fields(Counts)),
    )


def _write_rejections(cursor: Any, rejections: _Rejections) -> None:
    keys = sorted(rejections.rows)
    rows = [rejections.rows[key] for key in keys]
    store_writing.upsert(
        cursor,
        "telemetry_rejection (device, hour, reason, readings, last_at, sample)",
        ("int", "bigint", "text", "bigint", "bigint", "text"),
        [[key[0] for key in keys], [key[1] for key in keys], [key[2] for key in keys],
         [row[0] for row in rows], [row[1] for row in rows], [row[2].replace("\0", "·") for row in rows]],
        "ON CONFLICT (device, hour, reason) DO UPDATE SET readings = telemetry_rejection.readings + excluded.readings, "
        "last_at = excluded.last_at, sample = excluded.sample",
    )  # fmt: skip
