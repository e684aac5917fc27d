"""The road of a reading: from what arrived to rows in the store, with everything that it causes, in one transaction.

`take` is the only door for devices, whatever they speak; what it returns stands on a commit. Nothing is dropped in
silence: the ledger counts each reading under exactly one of stored, corrected, duplicate, rejected, quarantined.
The rules are told in docs/algorithms/telemetry-receiving.md.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
import psycopg

from machnuoc.core.models import Person
from machnuoc.telemetry import directory, judging, store, store_writing
from machnuoc.telemetry.judging import REASONS, UNKNOWN, Batch, Quarantined, Rejections
from machnuoc.telemetry.payloads import Message
from machnuoc.telemetry.store import HOUR_MS, OUT_OF_RANGE, Floats, Ints, Readings

__all__ = [
    "BY_HTTP",
    "REASONS",
    "UNKNOWN",
    "CannotDecide",
    "Counts",
    "Receipt",
    "dismiss",
    "put_readings",
    "refuse",
    "replay",
    "take",
]

QUARANTINE_MAX = 1_000  # undecided messages of one device; its next ones are rejected until a person has looked
QUARANTINE_MAX_BYTES = 64 * 1024 * 1024
CLOCK_MOST_MS = store.DAY_MS  # no clock is a day off; time zones are within it. More is a backlog, or a false date
LATE_MS = 120_000  # what lags by more may come from a slow clock, or come late: one message does not tell
STEADY_MS = 60_000  # a clock that is slow lags alike from one message to the next; what comes late does not
BATCH_KEPT_MS = 7 * store.DAY_MS  # how long a repeated HTTP batch is recognised
_ATTEMPTS = 4
BY_HTTP = "http:"  # in the place of a topic, with protocol and device behind it

Ledger = dict[tuple[int, int], list[int]]  # (device, hour of receipt): counts in the order of the fields of Counts
T = TypeVar("T")


class CannotDecide(Exception):
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


def take(messages: Sequence[Message], now_ms: int) -> Receipt:
    """Store what messages say, in one transaction, and return what became of their readings.

    Whatever the messages are, this raises only what the database raises; then nothing of them is stored, and the same
    messages can be given again.
    """
    batch = judging.take_apart(messages, now_ms)
    return _in_transaction(batch.rows.at, lambda cursor, is_quick: _write(cursor, batch, now_ms, is_quick))


def take_once(message: Message, key: str, digest: str, now_ms: int, *, device: int) -> tuple[dict[str, Any], bool]:
    """Store one message under the sender's own key, once; return (answer, whether it was answered before).

    digest: of the payload. A key that came with another payload gives the answer {"conflict": True}.
    device: whose key it is; it sends the message. One made a moment ago may not be in the directory yet.
    """
    batch = judging.take_apart([message], now_ms)

    def act(cursor: Any, is_quick: bool) -> tuple[dict[str, Any], bool]:
        sql = "SELECT answer FROM telemetry_batch WHERE device = ? AND idempotency_key = ?"
        row = cursor.execute(store.adapt(sql), (device, key)).fetchone()
        if row is not None:
            kept = json.loads(row[0])
            return (kept["answer"] if kept["digest"] == digest else {"conflict": True}), True
        answer = as_answer(_write(cursor, batch, now_ms, is_quick))
        _forget_old_batches(cursor, device, now_ms)
        sql = "INSERT INTO telemetry_batch (device, idempotency_key, answer, received_at) VALUES (?, ?, ?, ?)"
        cursor.execute(store.adapt(sql), (device, key, json.dumps({"digest": digest, "answer": answer}), now_ms))
        return answer, False

    return _in_transaction(batch.rows.at, act)


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
    rejections = Rejections()
    rejections.add(device, now_ms, reason, 1, sample)
    with store.transaction() as cursor:
        _write_ledger(cursor, {(device, now_ms - now_ms % HOUR_MS): [1, 0, 0, 0, 1, 0]})
        _write_rejections(cursor, rejections)


# --- acts of a person, whose caller writes the audit row ------------------------------------------------------------


def replay(quarantine_id: int, by: Person, now_ms: int) -> Receipt:
    """Read a message in quarantine again, after its decoder or its device was mended, and store what it says.

    Its readings count in the hour in which it arrived, in the place of the one that it counted as unread.
    Raises CannotDecide.
    """
    device, topic, payload, received_ms = _get_quarantined(quarantine_id)
    message = Message(topic, bytes(payload), received_ms)
    if topic.startswith(BY_HTTP):
        _, protocol, code = topic.split(":", 2)
        message = Message("", bytes(payload), received_ms, code, protocol)
    batch = judging.take_apart([message], now_ms)
    if batch.quarantined:
        raise CannotDecide(
            f"Bản tin cách ly số {quarantine_id} vẫn chưa đọc được: {batch.quarantined[0].reason}. "
            "Sửa bộ giải mã rồi nạp lại, hoặc bỏ bản tin."
        )

    def act(cursor: Any, is_quick: bool) -> Receipt:
        receipt = _write(cursor, batch, now_ms, is_quick)
        total = receipt.total
        told = f"{total.received} số đọc: {total.stored} lưu, {total.corrected} sửa, {total.duplicate} trùng, "
        _decide(cursor, quarantine_id, "REPLAYED", by, now_ms, told + f"{total.rejected} bị từ chối")
        _write_ledger(cursor, {(device, received_ms - received_ms % HOUR_MS): [-1, 0, 0, 0, 0, -1]})
        return receipt

    return _in_transaction(batch.rows.at, act)


def dismiss(quarantine_id: int, by: Person, reason: str, now_ms: int) -> None:
    """Leave a message unread for good, for a reason; it stays counted as quarantined. Raises CannotDecide."""
    if not reason.strip():
        raise CannotDecide(f"Chưa bỏ được bản tin cách ly số {quarantine_id}: thiếu lý do. Ghi lý do rồi bỏ lại.")
    _get_quarantined(quarantine_id)
    with store.transaction() as cursor:
        _decide(cursor, quarantine_id, "DISMISSED", by, now_ms, reason.strip())


def _get_quarantined(quarantine_id: int) -> tuple[int, str, bytes, int]:
    sql = "SELECT device, topic, payload, received_at FROM telemetry_quarantine WHERE id = ?"
    rows = store.query(sql, [quarantine_id])
    if not rows:
        raise CannotDecide(f"Không có bản tin cách ly số {quarantine_id}.")
    device, topic, payload, received_ms = rows[0]
    return device, topic, payload, received_ms


def _decide(cursor: Any, quarantine_id: int, state: str, by: Person, now_ms: int, outcome: str) -> None:
    sql = "UPDATE telemetry_quarantine SET state = ?, decided_at = ?, decided_by = ?, outcome = ? "
    sql += "WHERE id = ? AND state = 'NEW'"
    cursor.execute(store.adapt(sql), (state, now_ms, by.pk, outcome, quarantine_id))
    if cursor.rowcount != 1:
        raise CannotDecide(f"Bản tin cách ly số {quarantine_id} đã có người xử lý. Tải lại trang để xem kết quả.")


def put_readings(
    channel_id: int,
    at: Sequence[int] | Ints,
    value: Sequence[float] | Floats,
    quality: int | Ints,
    *,
    reason: str,
    now_ms: int,
    is_receipt: bool = False,
) -> Counts:
    """Write readings of one channel by hand: a file filled in later, a recalibration, a value that a person overrules.

    at: ms UTC, shape (n,). value: stored unit, shape (n,). quality: bits of the store, one for all or shape (n,); the
    mark of range is set here. reason: kept with what is replaced. Instants in the future or before 2000 and numbers
    that are none are rejected.
    is_receipt: the readings are new to us (a file): they count in the ledger, and what a person overruled stands. Else
    they replace what is stored, whoever wrote it, and no ledger counts them.
    Raises LookupError if there is no such channel.
    """
    snapshot = directory.current(now_ms)
    if channel_id not in snapshot.place:
        snapshot = directory.look_again(now_ms) or snapshot
    place = snapshot.place[channel_id]
    parts = judging.Parts(
        np.full(len(at), place), np.asarray(at, np.int64), np.asarray(value, np.float64), np.array([len(at)]),
        snapshot.device[place : place + 1], np.array([now_ms]), [[str(channel_id)] * len(at)],
    )  # fmt: skip
    batch = judging.judge(parts, snapshot, {}, Rejections(), [], is_sent=False)
    # What is good keeps its own bits of quality: judge gives the mark of range alone.
    given = np.broadcast_to(np.asarray(quality, np.int64), (len(at),))[batch.which] & ~OUT_OF_RANGE
    rows = Readings(batch.rows.channel, batch.rows.at, batch.rows.value, batch.rows.quality | given)

    def act(cursor: Any, is_quick: bool) -> Counts:
        fate = _write_rows(cursor, rows, now_ms, reason, is_quick=is_quick and is_receipt, by_person=not is_receipt)
        if is_receipt:
            return _close_the_ledger(cursor, batch, fate).total
        stored, corrected, duplicate = np.bincount(fate, minlength=4)[:3].tolist()
        return Counts(len(at), stored, corrected, duplicate, len(at) - stored - corrected - duplicate)

    return _in_transaction(rows.at, act)


# --- writing --------------------------------------------------------------------------------------------------------

_is_quick = True  # whether the last batch was all new: the next one will most likely be, too


def _in_transaction(at: Ints, act: Callable[[Any, bool], T]) -> T:
    """Return what the act returns inside one transaction; tried again where another moment or way may do.

    at: instants for which there must be room. act: given a cursor and whether to go the quick way.
    """
    global _is_quick
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            store_writing.ensure_partitions(at)
            with store.transaction() as cursor:
                return act(cursor, _is_quick)
        except store_writing.NotAllNew:
            _is_quick = False
        except psycopg.errors.CheckViolation as error:
            # A month was archived in this moment; the store has forgotten which months it knows.
            if attempt == _ATTEMPTS or not store_writing.is_partition_missing(error):
                raise
        except (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
            # Another process wrote the same in this moment; what it committed is seen at the next attempt.
            if attempt == _ATTEMPTS:
                raise
            time.sleep(0.01 * attempt)
    raise RuntimeError("no attempt came to an end")  # only if other threads went the quick way each time between


def _write(cursor: Any, batch: Batch, now_ms: int, is_quick: bool) -> Receipt:
    global _is_quick
    fate = _write_rows(cursor, batch.rows, now_ms, "thiết bị gửi lại số khác", is_quick=is_quick)
    _write_device_state(cursor, batch)
    receipt = _close_the_ledger(cursor, batch, fate)
    if not receipt.total.duplicate and not receipt.total.corrected:
        _is_quick = True
    return receipt


def _write_rows(
    cursor: Any, rows: Readings, now_ms: int, reason: str, *, is_quick: bool = False, by_person: bool = False
) -> store_writing.Fates:
    """Write readings and mark what they change; return their fates."""
    fate = store_writing.write(
        cursor, rows, now_ms=now_ms, reason=reason, archived=_archive_of(cursor, rows.at, now_ms), is_quick=is_quick,
        by_person=by_person,
    )  # fmt: skip
    is_changed = fate <= store_writing.CORRECTED
    if is_changed.any():
        store_writing.mark_dirty(cursor, rows.channel[is_changed], rows.at[is_changed], now_ms)
    return fate


def _close_the_ledger(cursor: Any, batch: Batch, fate: store_writing.Fates) -> Receipt:
    """Count every reading of the batch under one heading, and keep what was refused and what nobody can read."""
    rejections = _with_kept(batch, fate)
    ledger = _count(batch, fate, rejections)
    _write_quarantine(cursor, batch.quarantined, ledger, rejections)
    _write_ledger(cursor, ledger)
    _write_rejections(cursor, rejections)
    return _receipt(ledger, rejections)


def _receipt(ledger: Ledger, rejections: Rejections) -> Receipt:
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


def _archive_of(cursor: Any, at: Ints, now_ms: int) -> store_writing.Archived | None:
    """Return how to ask the archive what it has, or None where all instants are of months that are not archived."""
    this_month = store.local_months(now_ms, now_ms)[0][1]
    if not len(at) or int(at.min()) >= this_month:
        return None
    months = {row[0] for row in cursor.execute("SELECT month FROM telemetry_archive").fetchall()}
    if not months:
        return None
    from machnuoc.telemetry import archive

    return archive.read_points


def _with_kept(batch: Batch, fate: store_writing.Fates) -> Rejections:
    """Return the rejections with those readings that a person's own value keeps out. The batch stays as it is."""
    kept = Rejections({key: list(row) for key, row in batch.rejections.rows.items()})
    for row in np.flatnonzero(fate == store_writing.KEPT).tolist():
        of = int(batch.message[row])
        sample = f"{batch.rows.value[row]:g} @ {judging.written(int(batch.rows.at[row]))}"
        kept.add(int(batch.device[of]), int(batch.received[of]), "overruled", 1, sample)
    return kept


def _count(batch: Batch, fate: store_writing.Fates, rejections: Rejections) -> Ledger:
    """Return the rows of the ledger: {(device, hour): counts in the order of the fields of Counts}."""
    ledger: Ledger = {}
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
# A message that lags: its clock is slow if the message before lagged as much, and as much time went by between the two
# at the device as here. A backlog that is sent in one go, or piece by piece, lags less and less.
_HERE = "(excluded.received_at - telemetry_device_state.received_at)"
_THERE = "(excluded.measured_at - telemetry_device_state.measured_at)"
_LAG = "(excluded.received_at - excluded.measured_at)"
_LAGGED = f""",
    drift_ms = CASE WHEN {_THERE} <= 0 THEN telemetry_device_state.drift_ms
        WHEN {_LAG} < telemetry_device_state.drift_ms THEN {_LAG}
        WHEN abs({_HERE} - {_THERE}) <= {STEADY_MS} AND 2 * {_HERE} >= {_THERE} AND 2 * {_THERE} >= {_HERE}
            AND telemetry_device_state.received_at - telemetry_device_state.measured_at > {LATE_MS} THEN {_LAG}
        ELSE telemetry_device_state.drift_ms END"""


def _write_device_state(cursor: Any, batch: Batch) -> None:
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
    lag = received[last] - newest
    columns = [
        device[starts], np.maximum.reduceat(received, starts), np.maximum.reduceat(accepted[order], starts),
        lag, np.diff(starts, append=len(order)),
    ]  # fmt: skip
    # Loggers measure often and send seldom: of several instants in a message, none lags because of the clock.
    is_single = batch.is_single[order][last] & (np.diff(starts, append=len(order)) == 1)
    tells = (newest >= 0) & (np.abs(lag) <= CLOCK_MOST_MS)
    tells_now, may_be_slow = tells & (lag <= LATE_MS), tells & (lag > LATE_MS) & is_single
    ways = ((tells_now, _SEEN + _DRIFTED), (may_be_slow, _SEEN + _LAGGED), (~tells_now & ~may_be_slow, _SEEN))
    for chosen, tail in ways:
        which = np.flatnonzero(chosen)
        if len(which):
            numbers = [column[which].tolist() for column in columns]
            if chosen is not tells_now:
                numbers[3] = [0] * len(which)
            signs = [[said[row][index] for row in which.tolist()] for index in range(3)]
            store_writing.upsert(cursor, _STATE, _STATE_TYPES, [*numbers, *signs], tail)


def _write_quarantine(cursor: Any, quarantined: list[Quarantined], ledger: Ledger, rejections: Rejections) -> None:
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
        topic = message.topic or f"{BY_HTTP}{message.protocol}:{message.device_claimed}"
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


def _write_ledger(cursor: Any, ledger: Ledger) -> None:
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


def _write_rejections(cursor: Any, rejections: Rejections) -> None:
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
