"""Readings of customers' meters that send their own: each closing day's last total becomes a reading like any other.

Telemetry and customers do not know each other; this room sees both. What a reading means, whether it is plausible and
which month it closes is for `customers.readings` to say.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import RemoteMeter
from machnuoc.core import audit, periods
from machnuoc.core.models import Person
from machnuoc.core.vietnamese import format_date, format_datetime, format_number
from machnuoc.customers import plausibility, readings, visibility
from machnuoc.customers.models import Connection, Fitting
from machnuoc.telemetry import history
from machnuoc.telemetry.models import Channel
from machnuoc.telemetry.store import OUT_OF_RANGE

audit.describe("billing.remote_meter.linked", "nối kênh {channel} với đồng hồ {serial} của đấu nối {code}")
audit.describe("billing.remote_meter.ended", "ngừng đọc từ xa đồng hồ {serial} của đấu nối {code}")

LOOK_BACK = timedelta(days=3)  # a total older than this at the end of the closing day says nothing about that day
_WITHOUT_ROUTE_DAY = 20  # as a route's default
_CHUNK = 500


class RemoteMeterError(BillingError):
    """A link of a meter and a channel that cannot be made."""


@dataclass(frozen=True)
class Total:
    """A counter's value: index in litres as the meter's dial would show it."""

    at: datetime
    index_l: int

    @property
    def index_m3(self) -> float:
        return self.index_l / 1_000


def list_channels(connection: Connection) -> QuerySet[Channel]:
    """Return the totals of the connection's work that speak for no meter yet."""
    taken = RemoteMeter.objects.filter(ended_at__isnull=True).values("channel_id")
    return (
        Channel.objects.filter(
            device__work_id=connection.work_id, device__removed_at__isnull=True, quantity="volume", is_active=True
        )
        .exclude(pk__in=taken)
        .select_related("device")
        .order_by("device__code", "pk")
    )


@transaction.atomic
def link(
    connection: Connection, channel: Channel, *, dial_m3: int | None = None, by: Person, now: datetime
) -> RemoteMeter:
    """Let a channel tell the index of the meter that hangs at a connection, from the next closing day on.

    dial_m3: what the meter's dial shows now, where it differs from the channel's total; None: it is the same.
    Raises RemoteMeterError; PermissionDenied for who does not serve the connection.
    """
    visibility.require_connection(by, "serve", connection)
    fitting = connection.fittings.select_related("meter").filter(removed_at__isnull=True).first()
    if fitting is None:
        raise RemoteMeterError(f"Đấu nối {connection.code} chưa có đồng hồ đang lắp. Lắp đồng hồ trước khi nối kênh.")
    if not list_channels(connection).filter(pk=channel.pk).exists():
        raise RemoteMeterError(
            f"Kênh «{channel.name}» không phải số tổng của công trình này, hoặc đã nối với đồng hồ khác. "
            "Chọn kênh khác."
        )
    offset_l = 0
    if dial_m3 is not None:
        latest = _read(channel.pk, now, 0, 0)
        if latest is None:
            raise RemoteMeterError(
                f"Kênh «{channel.name}» chưa có số nào trong {LOOK_BACK.days} ngày qua nên chưa đối chiếu được mặt số. "
                "Chờ thiết bị gửi số rồi nối."
            )
        offset_l = dial_m3 * 1_000 - latest.index_l
    try:
        with transaction.atomic():
            made = RemoteMeter.objects.create(
                fitting=fitting, channel=channel, offset_l=offset_l, linked_at=now, linked_by=by
            )
    except IntegrityError:
        raise RemoteMeterError(
            f"Đồng hồ {fitting.meter.serial} đã nối với một kênh. Ngừng kênh đó trước khi nối kênh khác."
        ) from None
    audit.record(
        "billing.remote_meter.linked", actor=by, target=made, channel=channel.pk, serial=fitting.meter.serial,
        code=connection.code,
    )  # fmt: skip
    return made


@transaction.atomic
def end(row: RemoteMeter, *, by: Person | None, now: datetime) -> None:
    """Stop reading a meter from afar; it is read by people again."""
    row = (
        RemoteMeter.objects.select_for_update(of=("self",))
        .select_related("fitting__meter", "fitting__connection")
        .get(pk=row.pk)
    )  # fmt: skip
    if by is not None:
        visibility.require_connection(by, "serve", row.fitting.connection)
    if row.ended_at is not None:
        return
    row.ended_at = now
    row.save(update_fields=["ended_at"])
    audit.record(
        "billing.remote_meter.ended", actor=by, target=row, serial=row.fitting.meter.serial,
        code=row.fitting.connection.code,
    )  # fmt: skip


def latest(row: RemoteMeter, now: datetime) -> Total | None:
    """Return the last total of a link within LOOK_BACK, as the dial would show it."""
    return _read(row.channel_id, now, row.offset_l, row.fitting.meter.digits)


def closing_day(read_day: int, on_date: date) -> date:
    """Return the last reading day up to the day.

    >>> closing_day(20, date(2026, 8, 19)), closing_day(20, date(2026, 8, 20))
    (datetime.date(2026, 7, 20), datetime.date(2026, 8, 20))
    """
    month = on_date.replace(day=1)
    found = []
    for _ in range(4):
        found.append(plausibility.reading_day(month, read_day))
        month = (month - timedelta(days=1)).replace(day=1)
    return max(day for day in found if day <= on_date)


def take_due(now: datetime) -> dict[str, int]:
    """Take the readings of all linked meters whose closing day is over; return how many met each fate.

    May run any number of times: a closing day is taken once. A meter without a total of that day is said so on its
    link (fate MISSING), and looked at again until the next closing day. Links of meters taken down are ended.
    """
    counts: dict[str, int] = {}
    yesterday = timezone.localdate(now, periods.LOCAL_ZONE) - timedelta(days=1)
    after = 0
    while True:
        rows = list(
            RemoteMeter.objects.filter(ended_at__isnull=True, pk__gt=after)
            .select_related("fitting__meter", "fitting__connection__route", "channel")
            .order_by("pk")[:_CHUNK]
        )
        if not rows:
            return counts
        after = rows[-1].pk
        for fate in _take_chunk(rows, yesterday, now):
            counts[fate] = counts.get(fate, 0) + 1


def _take_chunk(rows: Iterable[RemoteMeter], yesterday: date, now: datetime) -> list[str]:
    fates = []
    for row in rows:
        fitting = row.fitting
        if fitting.removed_at is not None:
            end(row, by=None, now=now)
            fates.append("ENDED")
            continue
        route = fitting.connection.route
        day = closing_day(route.read_day if route else _WITHOUT_ROUTE_DAY, yesterday)
        is_taken = row.taken_date is not None and row.taken_date >= day
        if is_taken or day < timezone.localdate(row.linked_at, periods.LOCAL_ZONE):
            continue
        fates.append(_take(row, fitting, day, now))
    return fates


def _take(row: RemoteMeter, fitting: Fitting, day: date, now: datetime) -> str:
    midnight = datetime.combine(day + timedelta(days=1), time(0), periods.LOCAL_ZONE)
    total = _read(row.channel_id, midnight, row.offset_l, fitting.meter.digits)
    if total is None:
        message = f"Ngày chốt {format_date(day)}: kênh không có số trong {LOOK_BACK.days} ngày. Đọc tại chỗ."
        RemoteMeter.objects.filter(pk=row.pk).update(message=message)
        return "MISSING"
    with transaction.atomic():  # the reading and that it was taken, or neither
        fates = readings.take_from_telemetry([(fitting.connection_id, total.at, total.index_l)], now=now)
        fate = next(iter(fates), "REFUSED")
        shown = f"{format_number(total.index_l // 1_000)} m³ lúc {format_datetime(total.at)}"
        row.message = f"Ngày chốt {format_date(day)}: {shown}, {_FATES.get(fate, fate)}."
        if fate != "REFUSED":  # what is refused today may be taken once the meter's file is put right
            row.taken_date = day
        row.save(update_fields=["taken_date", "message"])
    return fate


_FATES = {
    "STORED": "đã nhận", "SUSPECT": "đã nhận, chờ xem lại", "CONFLICT": "khác số đã có, chờ xem lại",
    "DUPLICATE": "đã có từ trước", "REFUSED": "không nhận được, xem lại đồng hồ và đấu nối",
}  # fmt: skip


def _read(channel_id: int, until: datetime, offset_l: int, digits: int) -> Total | None:
    """Return the last believable total before a moment, within LOOK_BACK. digits 0: not wrapped to a dial."""
    until_ms = int(until.timestamp() * 1_000)
    found = history.read_raw(channel_id, until_ms - int(LOOK_BACK.total_seconds() * 1_000), until_ms)
    for at_ms, value, quality in zip(
        reversed(found.at.tolist()), reversed(found.value.tolist()), reversed(found.quality.tolist()), strict=True
    ):
        if quality & OUT_OF_RANGE:
            continue
        index_l = round(value * 1_000) + offset_l
        if digits:
            index_l %= 10**digits * 1_000
        return Total(datetime.fromtimestamp(at_ms / 1_000, UTC), index_l)
    return None
