"""`machnuoc simulate`: what was typed becomes an order to play, or an event for the process that plays already."""

import argparse
import math
import time
from collections.abc import Callable
from datetime import datetime

from machnuoc.core.periods import LOCAL_ZONE
from machnuoc.core.vietnamese import format_datetime, format_number
from machnuoc.demo.simulator import events, playing
from machnuoc.demo.simulator.events import Event, Kind
from machnuoc.demo.simulator.playing import CannotPlay, Order

FASTEST = 10_000.0
LONGEST_MIN, LARGEST = 90 * 24 * 60, 1_000.0
LATEST_MS = 30 * events.DAY_MS  # ahead of now: what is ordered for later would be forgotten by who ordered it


class BadArgument(ValueError):
    """An option has a value that it cannot have; the text says which."""


def run(args: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Play, or order an event. Raises BadArgument, CannotPlay."""
    now_ms = int(time.time() * 1000)
    order = read_order(args, now_ms)
    if order.from_ms is None and not order.is_once:
        for event in order.events:
            playing.order_event(event)
            say(f"Đã đặt: {events.USUAL[event.kind].label.lower()} tại {event.station} từ {_local(event.at_ms)}.")
        if order.events and playing.is_playing():
            return
    if order.from_ms is None and not order.is_once:
        playing.play(order)
        return
    played = playing.play(order)
    say(
        f"Đã phát {format_number(played.readings)} số đọc của {format_number(played.devices)} thiết bị, "
        f"{_local(played.from_ms)} đến {_local(played.to_ms)}"
        + (f"; còn {format_number(played.unsent)} bản tin bộ trung chuyển chưa nhận." if played.unsent else ".")
        + " Xem ở Giám sát › Cảnh báo và Sổ nhận số liệu."
    )


def _local(at_ms: int) -> str:
    return format_datetime(datetime.fromtimestamp(at_ms / 1000, LOCAL_ZONE))


def read_order(args: argparse.Namespace, now_ms: int) -> Order:
    """Return what the options say. Raises BadArgument, CannotPlay."""
    since, until = _instant(args.since, "--from"), _instant(args.until, "--to")
    if since is not None and since > now_ms:
        raise BadArgument("--from: ở tương lai. Mô phỏng không chạy trước hiện tại.")
    if until is not None and until <= (now_ms if since is None else since):
        raise BadArgument("--to: phải sau lúc bắt đầu.")
    speed = _number(args.speed, "--speed")
    if not 1 <= speed <= FASTEST:
        raise BadArgument("--speed: từ 1 đến 10000.")
    seed = None if args.seed is None else int(_number(args.seed, "--seed"))
    return Order(
        speed=speed, seed=seed, from_ms=since, to_ms=until,
        stations=tuple(playing.full_key(part.strip()) for part in args.stations.split(",") if part.strip()),
        events=_read_event(args, now_ms if since is None else since, is_live=since is None), is_once=args.once,
    )  # fmt: skip


def _read_event(args: argparse.Namespace, from_ms: int, *, is_live: bool) -> tuple[Event, ...]:
    if args.event is None:
        if args.station or args.at or args.lasts or args.size:
            raise BadArgument("--station, --at, --lasts, --size: chỉ dùng cùng --event.")
        return ()
    if args.event not in set(Kind):
        raise BadArgument(f"--event: không có sự kiện «{args.event}». Có: {', '.join(Kind)}.")
    if not args.station:
        raise BadArgument("--event: cần --station.")
    if is_live and args.event == Kind.ROLLOVER:
        raise CannotPlay("Quay vòng phải đặt từ đầu một lần chơi: thêm --from (số trên đồng hồ được chọn cho khớp).")
    at_ms = _instant(args.at, "--at")
    if at_ms is not None and at_ms > from_ms + LATEST_MS:
        raise BadArgument("--at: không quá 30 ngày sau lúc bắt đầu.")
    lasts_min = None if args.lasts is None else _number(args.lasts, "--lasts")
    if lasts_min is not None and not 0 < lasts_min <= LONGEST_MIN:
        raise BadArgument(f"--lasts: từ 1 đến {format_number(LONGEST_MIN)} phút.")
    size = None if args.size is None else _number(args.size, "--size")
    if size is not None and not 0 <= size <= LARGEST:
        raise BadArgument(f"--size: từ 0 đến {format_number(LARGEST)}.")
    event = events.make(
        args.event, playing.full_key(args.station), from_ms if at_ms is None else at_ms,
        lasts_ms=None if lasts_min is None else int(lasts_min * events.MINUTE_MS),
        size=size,
    )  # fmt: skip
    return (event,)


def _instant(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadArgument(f"{option}: không hiểu «{text}». Viết như 2026-11-20T07:00.") from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=LOCAL_ZONE)
    return round(at.timestamp() * 1000)


def _number(text: str, option: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadArgument(f"{option}: «{text}» không phải là số.")
    return number
