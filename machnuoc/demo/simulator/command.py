"""`machnuoc simulate`: what was typed becomes an order to play, or an event for the process that plays already."""

import argparse
import time
from collections.abc import Callable
from datetime import datetime

from machnuoc.core.periods import LOCAL_ZONE
from machnuoc.core.vietnamese import format_datetime
from machnuoc.demo.simulator import events, playing
from machnuoc.demo.simulator.events import Event, Kind
from machnuoc.demo.simulator.playing import CannotPlay, Order

FASTEST = 10_000.0


class BadArgument(ValueError):
    """An option has a value that it cannot have; the text says which."""


def run(args: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Play, or order an event. Raises BadArgument, CannotPlay."""
    now_ms = int(time.time() * 1000)
    order = read_order(args, now_ms)
    if order.from_ms is None and not order.is_once:
        for event in order.events:
            playing.order_event(event)
            began_at = datetime.fromtimestamp(event.at_ms / 1000, LOCAL_ZONE)
            say(f"Đã đặt: {events.USUAL[event.kind].label.lower()} tại {event.station} từ {format_datetime(began_at)}.")
        if order.events and playing.is_playing():
            return
    playing.play(order)


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
    lasts_min = None if args.lasts is None else _number(args.lasts, "--lasts")
    event = events.make(
        args.event, playing.full_key(args.station), from_ms if at_ms is None else at_ms,
        lasts_ms=None if lasts_min is None else int(lasts_min * events.MINUTE_MS),
        size=None if args.size is None else _number(args.size, "--size"),
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
        return float(text)
    except ValueError:
        raise BadArgument(f"{option}: «{text}» không phải là số.") from None
