"""What a rule says, in words; and how often it would have called: for people who set rules, not for the engine."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from machnuoc.core import units
from machnuoc.telemetry import alarm_rules, history
from machnuoc.telemetry.models import AlarmRule, Channel
from machnuoc.telemetry.quantities import QUANTITIES
from machnuoc.telemetry.store import OUT_OF_RANGE

PREVIEW_DAYS = 30
_MOST_LOOK_BACK_MS = 190 * alarm_rules.DAY_MS  # the most weeks that a pattern may compare with
_AT_MOST = 12  # episodes of a preview that are listed


def unit_of(channel: Channel) -> str:
    """Return the label of the unit in which the channel's readings are stored."""
    return units.label(QUANTITIES[channel.quantity].unit)


def describe(rule: AlarmRule) -> str:
    """Return when the rule calls, such as «thấp hơn 0,2 mg/L, kéo dài 10 phút»."""
    return describe_parameters(
        rule.kind, rule.parameters, rule.channel, on_delay_s=rule.on_delay_s, off_delay_s=rule.off_delay_s
    )


def describe_parameters(
    kind: str, parameters: dict[str, Any], channel: Channel, *, on_delay_s: int = 0, off_delay_s: int = 0
) -> str:
    """As `describe`, of a rule that is not stored yet."""
    parts = [*_condition(kind, parameters, channel)]
    if on_delay_s:
        parts.append(f"kéo dài {alarm_rules.duration_text(on_delay_s)}")
    if off_delay_s:
        parts.append(f"hết khi yên {alarm_rules.duration_text(off_delay_s)}")
    if parameters.get("basis"):
        unread = " (chưa đối chiếu văn bản)" if parameters.get("is_unverified") else ""
        parts.append(f"căn cứ: {parameters['basis']}{unread}")
    return ", ".join(parts)


def _condition(kind: str, parameters: dict[str, Any], channel: Channel) -> Iterator[str]:
    decimals, unit = QUANTITIES[channel.quantity].decimals, unit_of(channel)

    def said(key: str) -> Any:
        if parameters.get(key) is not None:
            return parameters[key]
        return next((one.default for one in alarm_rules.PARAMETERS[kind] if one.key == key), None)

    def amount(number: float) -> str:
        return alarm_rules.shown(number, decimals, unit)

    def lasting(key: str) -> str:
        return alarm_rules.duration_text(said(key) or 0)

    if kind == "THRESHOLD":
        low, high = said("low"), said("high")
        edges = (("thấp hơn", low), ("cao hơn", high))
        yield " hoặc ".join(f"{way} {amount(edge)}" for way, edge in edges if edge is not None)
        if said("deadband"):
            yield f"vùng trễ {amount(said('deadband'))}"
    elif kind == "RATE":
        way = {1: "tăng", -1: "giảm"}.get(round(said("direction") or 0), "thay đổi")
        yield f"{way} {amount(said('change'))} trong {lasting('window_s')}"
    elif kind == "PATTERN":
        yield f"khác quá {said('k'):g} lần độ lệch của cùng giờ trong {said('weeks'):g} tuần trước"
    elif kind == "SILENCE":
        grace = said("grace_s")
        yield f"không có số liệu {alarm_rules.duration_text(grace)}" if grace else "mất ba chu kỳ gửi, ít nhất 10 phút"
    elif kind == "STUCK":
        yield f"không đổi trong {lasting('hold_s')}"
        if said("except_value") is not None:
            yield f"trừ khi đứng ở {amount(said('except_value'))}"
    elif kind == "NIGHT_FLOW":
        yield f"lưu lượng nhỏ nhất ban đêm gấp {said('ratio'):g} lần {said('nights'):g} đêm trước"
    elif kind == "LOW_CHLORINE":
        yield f"thấp hơn {amount(said('low'))} trong {said('share_pct'):g} % của {lasting('window_s')}"
    elif kind == "TANK_HOURS":
        yield f"nước trong bể còn đủ cấp dưới {said('hours'):g} giờ"
    elif kind == "PUMP_CYCLING":
        yield f"khởi động từ {said('starts'):g} lần trong {lasting('window_s')}"
    elif kind == "POWER_LOSS":
        yield "nguồn điện báo mất"
    else:
        joined = " và " if parameters.get("together", "all") == "all" else " hoặc "
        named = [one["channel"] for one in parameters.get("conditions", [])]
        names = dict(Channel.objects.filter(pk__in=named).values_list("pk", "name"))
        yield joined.join(
            f"{names.get(one['channel'], one['channel'])} "
            + (f"> {one['above']:g}" if "above" in one else f"< {one['below']:g}")
            for one in parameters.get("conditions", [])
        )


@dataclass(frozen=True)
class Preview:
    """What a rule would have said of the last days. episodes: (began, ended or None, text), newest first."""

    days: int
    count: int
    readings: int
    episodes: list[tuple[datetime, datetime | None, str]]
    note: str


def preview(
    channel: Channel,
    kind: str,
    parameters: dict[str, Any],
    *,
    now: datetime,
    others: list[Channel] | None = None,
    on_delay_s: int = 0,
    off_delay_s: int = 0,
    days: int = PREVIEW_DAYS,
) -> Preview:
    """Return how often such a rule would have called in the last days, judged as the engine judges.

    Raises alarm_rules.BadParameters.
    """
    read = [channel, *(others or [])]
    clean = alarm_rules.check_parameters(kind, parameters, channels={one.pk for one in read})
    to_ms = _to_ms(now)
    from_ms = _to_ms(now - timedelta(days=days))
    rule = alarm_rules.Rule(kind, channel.pk, clean, on_delay_s, off_delay_s)
    windows = alarm_rules.list_windows(rule, channel.expected_interval_s, from_ms, to_ms)
    first_ms = max(windows[0][0] if windows else from_ms, from_ms - _MOST_LOOK_BACK_MS)
    tracks = {one.pk: read_track(one, first_ms, to_ms) for one in read}
    verdict = alarm_rules.judge(rule, tracks, from_ms=from_ms, until_ms=to_ms)
    found = list(reversed(verdict.episodes))
    listed = [
        (_moment(one.began_ms), None if one.ended_ms is None else _moment(one.ended_ms), one.text)
        for one in found[:_AT_MOST]
    ]
    inside = int(np.count_nonzero(tracks[channel.pk].at >= from_ms))
    return Preview(days, len(found), inside, listed, verdict.note)


def read_track(channel: Channel, from_ms: int, to_ms: int) -> alarm_rules.Track:
    """Return the readings of a channel in [from_ms, to_ms) as rules judge them."""
    found = history.read_raw(channel.pk, from_ms, to_ms)
    return alarm_rules.Track(
        found.at, found.value, (found.quality & OUT_OF_RANGE) == 0, interval_s=float(channel.expected_interval_s),
        label=channel.name, unit=unit_of(channel), decimals=QUANTITIES[channel.quantity].decimals,
        capacity_m3=channel.capacity_m3, full_at=channel.full_at,
    )  # fmt: skip


def _to_ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC)
