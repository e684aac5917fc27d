"""Observations that come in: from a device, by the road of all devices; from a person who may enter for the work.

The result is in the unit that the Datastream names. What a device sends is then calibrated as always; what a person
enters stands as entered and is marked as filled in by hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from machnuoc.core import audit, units
from machnuoc.places import access
from machnuoc.telemetry import judging, payloads, receive, store
from machnuoc.telemetry.models import Channel, Device
from machnuoc.telemetry.payloads import Message
from machnuoc.telemetry.quantities import QUANTITIES
from machnuoc.telemetry.sensorthings import observations
from machnuoc.telemetry.sensorthings.model import in_path
from machnuoc.telemetry.sensorthings.options import QueryError
from machnuoc.telemetry.sensorthings.world import Viewer, id_of_feature

REASON = "nhập qua SensorThings"
NOT_STORED = "Kênh đã ngừng dùng, thiết bị đã tháo trước thời điểm đo, hoặc số đã được người có trách nhiệm sửa"


class NotAllowed(Exception):
    """The reading may not be written by whoever sends it; says in Vietnamese why."""


class NotYet(Exception):
    """A channel was made a moment ago and the receiver does not know it yet."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One Observation as it was sent. at: ms UTC, or the reason why it is none. feature: id of the place, if said."""

    channel: int
    at: int | str
    value: float | None
    sent_value: Any = None
    sent_at: Any = None
    feature: Any = None


def read_one(body: Any, channel: int | None, now_ms: int) -> Sent:
    """Return the Observation of a JSON body. channel: of the address, if it names one. Raises QueryError."""
    if not isinstance(body, dict):
        raise QueryError('Nội dung phải là một Observation: {"phenomenonTime": …, "result": …, "Datastream": …}.')
    if channel is None:
        channel = _id_of_datastream(body)
    if "result" not in body:
        raise QueryError("Observation thiếu «result».")
    sent = _sent(channel, body.get("phenomenonTime"), body["result"], now_ms)
    feature = body.get("FeatureOfInterest")
    if feature is None:
        return sent
    if not isinstance(feature, dict) or "@iot.id" not in feature:
        raise QueryError(
            "FeatureOfInterest mới không tạo kèm Observation được. Tạo nơi đo bằng POST FeaturesOfInterest, rồi đặt "
            f'cho kênh: PATCH Datastreams({channel}) {{"properties": {{"featureOfInterest": "mã"}}}}.'
        )
    return replace(sent, feature=feature["@iot.id"])


def read_arrays(body: Any, now_ms: int) -> list[Sent]:
    """Return the Observations of the body of CreateObservations, in order. Raises QueryError."""
    if not isinstance(body, list):
        raise QueryError("CreateObservations nhận một danh sách [{Datastream, components, dataArray}, …].")
    found: list[Sent] = []
    for group in body:
        if not isinstance(group, dict):
            raise QueryError("Mỗi phần của CreateObservations là {Datastream, components, dataArray}.")
        channel, components, rows = _id_of_datastream(group), group.get("components"), group.get("dataArray")
        if not isinstance(components, list) or "result" not in components or not isinstance(rows, list):
            raise QueryError(f"Phần của Datastream {channel}: cần «components» có result, và «dataArray».")
        of_result = components.index("result")
        of_time = components.index("phenomenonTime") if "phenomenonTime" in components else None
        of_feature = components.index("FeatureOfInterest/id") if "FeatureOfInterest/id" in components else None
        for row in rows:
            if not isinstance(row, list) or len(row) != len(components):
                raise QueryError(f"Phần của Datastream {channel}: mỗi dòng của dataArray có {len(components)} giá trị.")
            sent = _sent(channel, None if of_time is None else row[of_time], row[of_result], now_ms)
            found.append(sent if of_feature is None else replace(sent, feature=row[of_feature]))
        if len(found) > payloads.MAX_READINGS:
            raise QueryError(f"Một lần gửi không quá {payloads.MAX_READINGS} Observations. Chia nhỏ rồi gửi lại.")
    return found


def _id_of_datastream(body: dict[str, Any]) -> int:
    named = body.get("Datastream")
    found = named.get("@iot.id") if isinstance(named, dict) else None
    if isinstance(found, bool) or not isinstance(found, int):
        raise QueryError('Thiếu Datastream: {"Datastream": {"@iot.id": số của Datastream}}.')
    return found


def _sent(channel: int, at: Any, value: Any, now_ms: int) -> Sent:
    number = payloads.number_of(value)
    if at is None:
        return Sent(channel, now_ms, number, value, now_ms)
    if isinstance(at, str) and "/" in at:
        start, _, end = at.partition("/")
        if start.strip() != end.strip():
            return Sent(channel, payloads.BAD_TIME, number, value, at)
        at = start
    instant = payloads.instant_of(at) if isinstance(at, str) else payloads.BAD_TIME
    return Sent(channel, instant, number, value, at)


def write(viewer: Viewer, sent: Sequence[Sent], now: datetime) -> list[tuple[int, int] | str]:
    """Store Observations; return for each (channel, at) under which it stands now, or why it was not taken.

    Raises NotAllowed before anything is written if one of them is of a channel that is not the sender's to write.
    """
    ids = sorted({each.channel for each in sent if 0 < each.channel < 2**31})
    channels = {each.pk: each for each in Channel.objects.filter(pk__in=ids).select_related("device")}
    _check_rights(viewer, sent, channels)
    _check_features(sent, channels)
    now_ms = payloads.to_ms(now)
    if viewer.device is not None:
        reasons = _take(viewer.device, sent, channels, now_ms)
    else:
        reasons = _put(viewer, sent, channels, now_ms)
    there = observations.find_stored({(each.channel, each.at) for each in sent if isinstance(each.at, int)})
    found: list[tuple[int, int] | str] = []
    for each in sent:
        if each.value is None:
            found.append(receive.REASONS[payloads.NOT_A_NUMBER])
        elif isinstance(each.at, str):
            found.append(receive.REASONS[each.at])
        elif (fault := _fault(each.at, each.value, now_ms)) is not None:
            found.append(fault)
        elif (each.channel, each.at) in there and not (reasons and len(sent) == 1):
            found.append((each.channel, each.at))
        else:
            found.append("; ".join(reasons) or NOT_STORED)
    return found


def _fault(at: int, value: float, now_ms: int) -> str | None:
    """Return why a reading was refused that something older of the same instant may hide."""
    if at > now_ms + judging.FUTURE_MS:
        return receive.REASONS[payloads.FUTURE_CLOCK]
    if at < judging.YEAR_2000_MS:
        return receive.REASONS[payloads.BEFORE_2000]
    return receive.REASONS["number_too_large"] if abs(value) > judging.LARGEST else None


def _check_rights(viewer: Viewer, sent: Sequence[Sent], channels: dict[int, Channel]) -> None:
    may: dict[int, bool] = {}
    for each in sent:
        channel = channels.get(each.channel)
        if channel is not None and viewer.device is not None:
            is_allowed = channel.device_id == viewer.device.pk
        elif channel is not None and viewer.person is not None:
            work = channel.device.work_id
            if work not in may:
                may[work] = access.may(viewer.person, "enter", work)
            is_allowed = may[work]
        else:
            is_allowed = False
        if not is_allowed:
            raise NotAllowed(
                f"Không ghi được vào Datastream {each.channel}: không có Datastream này, hoặc mã truy cập không được "
                "ghi vào đó. Thiết bị chỉ ghi kênh của mình; tài khoản cần quyền nhập liệu ở công trình."
            )


def _check_features(sent: Sequence[Sent], channels: dict[int, Channel]) -> None:
    """A reading is of the place of its channel: one that names another is refused. Raises QueryError."""
    for each in sent:
        channel = channels[each.channel]
        place = id_of_feature(channel.device.work_id, channel.feature_id)
        if each.feature is not None and (isinstance(each.feature, bool) or each.feature != place):
            raise QueryError(
                f"Observation của Datastream {channel.pk}: nơi đo (FeatureOfInterest) của kênh là {in_path(place)}, "
                "không phải nơi được nêu. Bỏ FeatureOfInterest rồi gửi lại; kênh đã dời thì đổi nơi đo của kênh: "
                f"PATCH Datastreams({channel.pk})."
            )


def _take(device: Device, sent: Sequence[Sent], channels: dict[int, Channel], now_ms: int) -> Sequence[str]:
    """Give readings of a device to the road of all devices, which counts each of them; return its reasons."""
    batch = []
    for each in sent:
        channel = channels[each.channel]
        value: Any = each.sent_value if each.value is None else each.value
        unit = QUANTITIES[channel.quantity].unit
        if each.value is not None and channel.sent_unit != unit:  # the road reckons with the unit that devices send
            value = float(units.convert(Decimal(repr(each.value)), unit, channel.sent_unit))
        batch.append({"t": each.at if isinstance(each.at, int) else each.sent_at, "v": {channel.key: value}})
    payload = msgspec.json.encode(batch)
    receipt = receive.take([Message("", payload, now_ms, device.code, "MQTT")], now_ms)
    return [receive.REASONS[key] for key in receipt.reasons]


def _put(viewer: Viewer, sent: Sequence[Sent], channels: dict[int, Channel], now_ms: int) -> Sequence[str]:
    """Write what a person enters, channel by channel, with an audit row for each; return why some were refused."""
    by_channel: dict[int, list[tuple[int, float]]] = {}
    for each in sent:
        if isinstance(each.at, int) and each.value is not None:
            by_channel.setdefault(each.channel, []).append((each.at, each.value))
    refused = 0
    for channel, rows in by_channel.items():
        try:
            counts = receive.put_readings(
                channel, [at for at, _ in rows], [value for _, value in rows], store.FROM_FILE,
                reason=REASON, now_ms=now_ms, is_receipt=True,
            )  # fmt: skip
        except LookupError:
            raise NotYet(f"Datastream {channel} vừa được tạo nên chưa nhận số đọc. Gửi lại sau vài giây.") from None
        refused += counts.rejected
        audit.record(
            "telemetry.observations.entered", actor=viewer.person, target=channels[channel].device,
            channel=channel, received=counts.received, stored=counts.stored, corrected=counts.corrected,
            rejected=counts.rejected,
        )  # fmt: skip
    return [NOT_STORED] if refused else []


audit.describe("telemetry.observations.entered", "nhập số đọc của thiết bị {target} qua SensorThings")
