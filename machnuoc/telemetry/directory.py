"""Devices and channels as the receiver needs them: dictionaries to find by, arrays to compute with.

A snapshot in memory, looked up for every message and read anew only when something changed. Whoever changes a channel,
a calibration or a device raises `Device.version` of the device in the same transaction (new rows are seen without it);
then every process sees the change within CHECK_EVERY_MS.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
from django.db import connections
from django.db.models import Count, Max, Sum

from machnuoc.core import units
from machnuoc.telemetry import payloads
from machnuoc.telemetry.models import Calibration, Channel, Device
from machnuoc.telemetry.quantities import QUANTITIES
from machnuoc.telemetry.store import Floats, Ints

CHECK_EVERY_MS = 2_000  # how long a change may go unseen
RELOAD_EVERY_MS = 60_000  # even if nothing says that something changed
FORCED_EVERY_MS = 1_000  # an unknown sender makes us look again at once, but a flood of them only this often
_AT_BITS = 43  # payloads.MAX_AT_MS
_FOREVER = payloads.MAX_AT_MS + 1

Version = tuple[object, ...]


class Keys(dict[str, int]):
    """Places of the channels of one device by key; -1 for any other key."""

    def __missing__(self, key: str) -> int:
        return -1


@dataclass(frozen=True, slots=True)
class Sender:
    """A device. keys: place of its channels in the arrays of the snapshot."""

    id: int
    code: str
    clock_offset_min: int
    keys: Keys


@dataclass(frozen=True, eq=False, slots=True)
class Snapshot:
    """Everything at one moment. Arrays by place of channel, shape (channels,), or by piece of calibration.

    channel: id. device: id of its device. low, high: believable span, stored unit. removed_ms: when the device was
    taken away, far in the future if it was not. is_active: whether readings are taken.
    piece_key: place of channel << 43 | ms from which the piece holds, sorted, each channel has one from 0 on.
    piece_factor, piece_offset: stored = sent × factor + offset, conversion of the unit included.
    """

    version: Version
    by_code: Mapping[str, Sender]
    by_sender_id: Mapping[str, Sender]
    by_id: Mapping[int, Sender]
    place: Mapping[int, int]  # of a channel by its id
    channel: Ints
    device: Ints
    low: Floats
    high: Floats
    removed_ms: Ints
    is_active: np.ndarray
    piece_key: Ints
    piece_factor: Floats
    piece_offset: Floats
    routes: dict[tuple[str, str, str], Any] = field(default_factory=dict)  # what judging.py found out so far

    def find(self, name: str) -> Sender | None:
        """Return the device of this code or network id."""
        return self.by_code.get(name) or self.by_sender_id.get(name)

    def to_stored(self, place: Ints, at: Ints, sent: Floats) -> Floats:
        """Return readings in stored units, calibrated. place: of the channel, at: ms UTC; all of one shape (n,)."""
        piece = np.searchsorted(self.piece_key, (place << _AT_BITS) | at, side="right") - 1
        return sent * self.piece_factor[piece] + self.piece_offset[piece]


_lock = threading.Lock()
_kept: Snapshot | None = None
_database = ""
_checked_ms = _loaded_ms = _forced_ms = 0


def current(now_ms: int) -> Snapshot:
    """Return the snapshot, at most CHECK_EVERY_MS old."""
    global _checked_ms
    kept = _kept
    if kept is not None and 0 <= now_ms - _checked_ms < CHECK_EVERY_MS and _database == _name_of_database():
        return kept
    with _lock:
        version = _read_version()
        is_old = not 0 <= now_ms - _loaded_ms < RELOAD_EVERY_MS or _database != _name_of_database()
        if _kept is None or is_old or version != _kept.version:
            return _load(version, now_ms)
        _checked_ms = now_ms
        return _kept


def look_again(now_ms: int) -> Snapshot | None:
    """Return a fresh snapshot because a sender was not found, or None if that was done a moment ago."""
    global _forced_ms
    with _lock:
        if 0 <= now_ms - _forced_ms < FORCED_EVERY_MS:
            return None
        _forced_ms = now_ms
        return _load(_read_version(), now_ms)


def forget() -> None:
    """Drop the snapshot: the next question reads the tables."""
    global _kept, _forced_ms
    with _lock:
        _kept, _forced_ms = None, 0


def _name_of_database() -> str:
    return str(connections["default"].settings_dict["NAME"])


def _read_version() -> Version:
    if not connections["default"].in_atomic_block:
        connections["default"].close_if_unusable_or_obsolete()  # a long-lived process outlives a restart of the server
    devices = Device.objects.aggregate(Count("id"), Max("id"), Sum("version"))
    channels = Channel.objects.aggregate(Count("id"), Max("id"))
    calibrations = Calibration.objects.aggregate(Count("id"), Max("id"))
    return (*devices.values(), *channels.values(), *calibrations.values())


def _load(version: Version, now_ms: int) -> Snapshot:
    global _kept, _database, _checked_ms, _loaded_ms
    by_code, by_sender_id, by_id = {}, {}, {}
    removed = {}
    for device_id, code, sender_id, removed_at, clock_offset_min in Device.objects.order_by("id").values_list(
        "id", "code", "sender_id", "removed_at", "clock_offset_min"
    ):
        sender = Sender(device_id, code, clock_offset_min, Keys())
        by_code[code], by_id[device_id] = sender, sender
        if sender_id:
            by_sender_id[sender_id.lower()] = sender
        removed[device_id] = _FOREVER if removed_at is None else payloads.to_ms(removed_at)
    pieces: dict[int, list[tuple[datetime, float, float]]] = {}
    calibrations = Calibration.objects.order_by("channel_id", "valid_from")
    for channel_id, valid_from, factor, offset in calibrations.values_list(
        "channel_id", "valid_from", "factor", "offset"
    ):
        pieces.setdefault(channel_id, []).append((valid_from, factor, offset))
    columns: list[tuple[int, int, float, float, int, bool]] = []
    piece_rows: list[tuple[int, float, float]] = []
    conversions: dict[tuple[str, str], float] = {}
    for channel_id, device_id, key, quantity, sent_unit, low, high, is_active in Channel.objects.order_by(
        "id"
    ).values_list("id", "device_id", "key", "quantity", "sent_unit", "low", "high", "is_active"):
        if device_id not in by_id:  # made after the devices were read: the next look finds both
            continue
        place = len(columns)
        by_id[device_id].keys[key] = place
        columns.append((channel_id, device_id, low, high, removed[device_id], is_active))
        pair = (sent_unit, QUANTITIES[quantity].unit)
        if pair not in conversions:
            conversions[pair] = float(units.convert(Decimal(1), *pair))
        piece_rows.append((place << _AT_BITS, conversions[pair], 0.0))
        for valid_from, factor, offset in pieces.get(channel_id, ()):
            from_ms = min(max(payloads.to_ms(valid_from), 0), payloads.MAX_AT_MS)
            piece_rows.append(((place << _AT_BITS) | from_ms, conversions[pair] * factor, offset))
    ids, device_ids, lows, highs, removed_ms, active = zip(*columns, strict=True) if columns else ((),) * 6
    keys, factors, offsets = zip(*piece_rows, strict=True) if piece_rows else ((),) * 3
    _kept = Snapshot(
        version, by_code, by_sender_id, by_id, {channel_id: place for place, channel_id in enumerate(ids)},
        np.array(ids, np.int64), np.array(device_ids, np.int64), np.array(lows, float), np.array(highs, float),
        np.array(removed_ms, np.int64), np.array(active, bool),
        np.array(keys, np.int64), np.array(factors, float), np.array(offsets, float),
    )  # fmt: skip
    _database = _name_of_database()
    _checked_ms = _loaded_ms = now_ms
    return _kept
