"""The rules a channel gets when it is made: what operators of small stations ask for first. People change them later.

Edges that come from a document (quality) are taken from QualityLimit alone, with its name and whether it was read;
where no limit is known there is no rule. Other edges come from the channel itself (least pressure, size of the tank) or
from what the caller says the station runs by. The remaining numbers are those of alarm_rules.PARAMETERS.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from machnuoc.core.models import Person
from machnuoc.core.periods import local_date
from machnuoc.telemetry import alarm_operations, quality_limits
from machnuoc.telemetry.models import AlarmRule, Channel, QualityLimit
from machnuoc.telemetry.quantities import QUANTITIES, ChannelKind

Operating = Mapping[str, tuple[float | None, float | None]]

PRESSURE_DROP_MH2O = 10.0  # in a quarter of an hour: a burst main rather than a busy hour
NETWORK = {Channel.Point.OUTLET, Channel.Point.NETWORK, Channel.Point.CRITICAL}
_P = AlarmRule.Priority


@transaction.atomic
def put_rules(
    channel: Channel,
    *,
    now: datetime,
    by: Person | None,
    applies_from: datetime | None = None,
    operating: Operating | None = None,
) -> list[AlarmRule]:
    """Give a channel its default rules, and return them. Idempotent; a rule that is there is left as people made it.

    applies_from: from when readings are judged (default: now). operating: {quantity: (low, high)} that the station runs
    by, in the stored unit, for quantities without a known limit; shown as the station's own.
    """
    made = []
    for name, wanted in _wanted(channel, now, operating or {}).items():
        key = f"{channel.pk}.default.{name}"
        rule = AlarmRule.objects.filter(key=key).first()
        made.append(
            rule
            or alarm_operations.put_rule(
                key=key, channel=channel, now=now, by=by, applies_from=applies_from or now, **wanted
            )
        )
    return made


def _wanted(channel: Channel, now: datetime, operating: Operating) -> dict[str, dict[str, Any]]:
    wanted = {
        "silence": _rule("SILENCE", f"{channel.name}: mất tín hiệu", _P.MEDIUM, {}, "Kiểm tra nguồn, sóng và thiết bị.")
    }
    if channel.quantity in {"chlorine", "turbidity", "ph"}:
        wanted |= _quality(channel, now, operating)
    elif QUANTITIES[channel.quantity].is_own:
        if QUANTITIES[channel.quantity].kind == ChannelKind.INSTANT:
            wanted |= {"stuck": _stuck(channel), **_quality(channel, now, operating)}
    elif channel.quantity == "flow":
        wanted |= _flow(channel)
    elif channel.quantity == "pressure":
        wanted |= _pressure(channel, operating)
    elif channel.quantity == "level":
        wanted |= _level(channel)
    elif channel.quantity == "pump":
        wanted["cycling"] = _rule(
            "PUMP_CYCLING", f"{channel.name}: đóng ngắt liên tục", _P.MEDIUM, {"starts": 6, "window_s": 3_600},
            "Kiểm tra công tắc áp lực, phao và bình tích áp.",
        )  # fmt: skip
    elif channel.quantity == "power":
        wanted["power"] = _rule(
            "POWER_LOSS", f"{channel.name}: mất điện", _P.HIGH, {}, "Liên hệ điện lực; chạy máy phát nếu có.",
            on_delay_s=60,
        )  # fmt: skip
    return wanted


def _rule(
    kind: str, name: str, priority: int, parameters: dict[str, Any], advice: str = "", **delays: int
) -> dict[str, Any]:
    return {
        "kind": kind, "name": name[:160], "priority": priority, "parameters": parameters, "advice": advice, **delays,
    }  # fmt: skip


def limit_parameters(limit: QualityLimit) -> dict[str, Any]:
    """Return the parameters of a threshold that stands for a dated limit."""
    is_unverified = limit.confidence != QualityLimit.Confidence.VERIFIED
    edges = {"low": limit.low, "high": limit.high}
    return {key: edge for key, edge in edges.items() if edge is not None} | {
        "basis": limit.standard, "is_unverified": is_unverified, "limit": limit.pk,
    }  # fmt: skip


def _quality(channel: Channel, now: datetime, operating: Operating) -> dict[str, dict[str, Any]]:
    limit = quality_limits.get_limit(channel.device.work_id, channel.quantity, on_date=local_date(now))
    if limit is not None:
        edges = limit_parameters(limit)
    elif channel.quantity in operating:
        low, high = operating[channel.quantity]
        edges = {key: edge for key, edge in (("low", low), ("high", high)) if edge is not None}
        edges["basis"] = "mức vận hành của trạm"
    else:
        return {}
    advice = {
        "chlorine": "Kiểm tra bơm định lượng, bình clo; lấy mẫu đối chứng.",
        "turbidity": "Kiểm tra phèn, bể lắng, bể lọc; lấy mẫu đối chứng.",
        "ph": "Kiểm tra điện cực và châm hóa chất; lấy mẫu đối chứng.",
    }.get(channel.quantity, "Kiểm tra đầu đo; lấy mẫu đối chứng.")
    wanted = {
        "limit": _rule(
            "THRESHOLD", f"{channel.name}: ngoài giới hạn", _P.HIGH, edges, advice, on_delay_s=600, off_delay_s=600
        )
    }
    if channel.quantity == "chlorine" and edges.get("low"):
        long = {key: edge for key, edge in edges.items() if key != "high"}
        wanted["low_long"] = _rule("LOW_CHLORINE", f"{channel.name}: thấp kéo dài", _P.URGENT, long, advice)
    wanted["stuck"] = _stuck(channel)
    return wanted


def _stuck(channel: Channel) -> dict[str, Any]:
    return _rule("STUCK", f"{channel.name}: đứng số", _P.LOW, {"hold_s": 43_200}, "Vệ sinh, hiệu chuẩn đầu đo.")


def _flow(channel: Channel) -> dict[str, dict[str, Any]]:
    if channel.point not in NETWORK:
        return {}
    return {
        "night": _rule(
            "NIGHT_FLOW",
            f"{channel.name}: lưu lượng đêm tăng",
            _P.MEDIUM,
            {},
            "Tìm rò rỉ trên mạng; dò tuyến vào ban đêm.",
        ),
        "pattern": _rule(
            "PATTERN", f"{channel.name}: khác nhịp thường ngày", _P.LOW, {}, on_delay_s=3_600, off_delay_s=1_800
        ),
    }


def _pressure(channel: Channel, operating: Operating) -> dict[str, dict[str, Any]]:
    wanted = {}
    low, high = operating.get("pressure", (None, None))
    low = channel.minimum if channel.minimum is not None else low
    edges = {key: edge for key, edge in (("low", low), ("high", high)) if edge is not None}
    if edges:
        basis = "mức tối thiểu đã khai của kênh" if channel.minimum is not None else "mức vận hành của trạm"
        priority = _P.URGENT if channel.point == Channel.Point.CRITICAL else _P.HIGH
        wanted["limit"] = _rule(
            "THRESHOLD", f"{channel.name}: ngoài mức cho phép", priority, {**edges, "deadband": 1.0, "basis": basis},
            "Kiểm tra bơm, van và mạng; báo khách hàng nếu mất nước.", on_delay_s=300, off_delay_s=300,
        )  # fmt: skip
    if channel.point in NETWORK:
        wanted["drop"] = _rule(
            "RATE", f"{channel.name}: tụt đột ngột", _P.HIGH,
            {"change": PRESSURE_DROP_MH2O, "window_s": 900, "direction": -1},
            "Nghi vỡ ống: kiểm tra tuyến, khoanh vùng bằng van.", off_delay_s=900,
        )  # fmt: skip
    return wanted


def _level(channel: Channel) -> dict[str, dict[str, Any]]:
    if channel.point != Channel.Point.TANK or not channel.capacity_m3 or not channel.full_at:
        return {}
    outlets = list(
        Channel.objects.filter(
            device__work_id=channel.device.work_id, quantity="flow", point=Channel.Point.OUTLET, is_active=True
        ).select_related("device")
    )
    wanted = {
        "overflow": _rule(
            "THRESHOLD", f"{channel.name}: đầy tràn", _P.MEDIUM,
            {"high": channel.full_at, "deadband": 0.05 * channel.full_at, "basis": "mức đầy bể đã khai"},
            "Kiểm tra phao, van vào bể.", on_delay_s=300, off_delay_s=300,
        )
    }  # fmt: skip
    if outlets:
        wanted["hours"] = _rule(
            "TANK_HOURS", f"{channel.name}: bể sắp cạn", _P.HIGH, {"hours": 4.0},
            "Tăng bơm vào bể; chuẩn bị phương án cấp nước luân phiên.", on_delay_s=600, off_delay_s=600,
        ) | {"others": outlets}  # fmt: skip
    return wanted
