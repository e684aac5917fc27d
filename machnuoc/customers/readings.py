"""Readings: taken one by one or many at once, judged, chosen between, estimated; rounds opened and closed.

One way in for all of them (`_take`), so that what arrives from a phone, a sheet or a remote meter is judged alike.
Nothing is overwritten: a reading that differs from one already there is kept beside it until a person chooses.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import islice
from math import cos, hypot, radians
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from machnuoc.core import audit, periods
from machnuoc.core.models import Person, StoredFile
from machnuoc.core.vietnamese import format_date, format_datetime, format_number
from machnuoc.customers import consumption, plausibility
from machnuoc.customers.consumption import Point
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Connection, FieldItem, Fitting, Reading, Round, Route

audit.describe("customers.reading.taken", "ghi {count} chỉ số ({source})")
audit.describe("customers.reading.accepted", "nhận chỉ số {target}")
audit.describe("customers.reading.refused", "loại chỉ số {target}")
audit.describe("customers.reading.chosen", "chọn chỉ số {target} trong các chỉ số khác nhau")
audit.describe("customers.reading.corrected", "thay chỉ số #{replaced} bằng {target}")
audit.describe("customers.reading.estimated", "tạm tính {count} chỉ số kỳ {period}")
audit.describe("customers.route.saved", "lưu tuyến ghi {target}")
audit.describe("customers.route.filled", "đưa {count} đấu nối vào tuyến {target}")
audit.describe("customers.reading.warned", "báo khách hàng dùng nước bất thường của {count} chỉ số")
audit.describe("customers.round.opened", "mở đợt ghi {count} tuyến kỳ {period}")
audit.describe("customers.round.closed", "chốt đợt ghi {target}")
audit.describe("customers.round.reopened", "mở lại đợt ghi {target}: {note}")

Fate = FieldItem.Fate
Kind, State, Source = Reading.Kind, Reading.State, Reading.Source

CHUNK = 1_000  # rows of one transaction: the one writer of SQLite is held well below a second
HISTORY_DAYS = 220
NEIGHBOURS = 5  # on either side, along the route
AHEAD = timedelta(minutes=15)  # a phone's clock may run ahead by so much
_PENDING = (State.SUSPECT, State.CONFLICT)
REPLACED, CORRECTED = "Có chỉ số mới thay.", "Người ghi ghi lại số khác."  # said of readings that gave way


@dataclass(frozen=True)
class Incoming:
    """One reading as it comes. index_l None: not seen, for the reason no_access.

    period_start_date None: the month whose reading day is nearest (`plausibility.closing_month`). closes False: it only
    informs, and closes no month. replaces: the id of the reading that the person saw and corrects.
    """

    connection_id: int
    read_at: datetime
    index_l: int | None = None
    no_access: str = ""
    kind: str = Kind.ACTUAL
    source: str = Source.OFFICE
    client_id: uuid.UUID | None = None
    photo_id: int | None = None
    position: tuple[float, float] | None = None
    note: str = ""
    confirmed_flags: frozenset[str] = frozenset()
    period_start_date: date | None = None
    closes: bool = True
    replaces: int | None = None
    batch_id: int | None = None
    is_simulated: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a reading. reading: as stored (of a duplicate, the one already there; None if refused)."""

    reading: Reading | None
    fate: str
    flags: tuple[str, ...] = ()
    reason: str = ""
    volume_l: int | None = None


# --- what must be known to judge


@dataclass
class _Fit:
    pk: int
    meter_id: int
    serial: str
    digits: int
    kind: str
    installed_at: datetime
    installed_index_l: int
    removed_at: datetime | None

    @property
    def capacity_l(self) -> int:
        return consumption.capacity_l(self.digits)


@dataclass
class _Known:
    """A reading already there. made: the one that this very chunk is about to store."""

    pk: int
    read_at: datetime
    index_l: int
    kind: str
    fitting_id: int | None
    rolled_over: bool
    period: date | None
    state: str
    made: Reading | None = None
    read_by_id: int | None = None
    source: str = ""
    is_judged: bool = False

    @property
    def order(self) -> tuple[datetime, int, int]:
        # Of a change of meter the last reading of the old one comes before the first of the new one.
        return (self.read_at, {Kind.FINAL: 0, Kind.INITIAL: 1}.get(self.kind, 2), self.pk)  # type: ignore[call-overload]


@dataclass
class _File:
    """What is known of one connection."""

    pk: int
    code: str
    status: str
    households: int
    connected_date: date | None
    closed_date: date | None
    route_id: int | None
    route_order: int
    read_day: int
    position: tuple[float, float] | None
    is_simulated: bool
    fittings: list[_Fit] = field(default_factory=list)
    accepted: list[_Known] = field(default_factory=list)
    pending: list[_Known] = field(default_factory=list)

    def fitting_at(self, moment: datetime) -> _Fit | None:
        """Return the meter that hung there then; of the day that it was hung, also before the minute."""
        found = None
        for one in self.fittings:
            if one.installed_at <= moment and (one.removed_at is None or moment <= one.removed_at):
                found = one
        if found is None and self.fittings:
            first = self.fittings[0]
            if periods.local_date(first.installed_at) == periods.local_date(moment):
                return first
        return found

    def points(self, before: datetime | None = None) -> list[Point]:
        """Return the accepted readings in the order of time, up to the moment."""
        capacity = {one.pk: one.capacity_l for one in self.fittings}
        default = self.fittings[-1].capacity_l if self.fittings else consumption.capacity_l(5)
        return [
            Point(
                known.pk, periods.local_date(known.read_at), known.index_l, known.fitting_id or 0,
                capacity.get(known.fitting_id or 0, default), known.rolled_over, known.kind == Kind.ESTIMATED,
                known.kind == Kind.INITIAL, known.period,
            )
            for known in sorted(self.accepted, key=lambda one: one.order)
            if before is None or known.read_at < before
        ]  # fmt: skip

    def series(self, moment: datetime, fitting: _Fit, without: Sequence[_Known] = ()) -> plausibility.Series:
        """Return what is known of the meter before the moment, but for readings that are being corrected."""
        known = [one for one in self.accepted if not any(one is other for other in without)]
        own = sorted(
            (k for k in known if k.kind != Kind.ESTIMATED and k.fitting_id in (fitting.pk, None)),
            key=lambda one: one.order,
        )
        before = [one for one in own if one.read_at < moment and one.read_at >= fitting.installed_at]
        after = [one for one in own if one.read_at > moment]
        if before:
            before_l, before_at = before[-1].index_l, before[-1].read_at
        else:
            before_l, before_at = fitting.installed_index_l, fitting.installed_at
        return plausibility.Series(
            before_l, periods.local_date(before_at), fitting.capacity_l,
            consumption.mean_daily(self.points(min([moment, *(one.read_at for one in without)]))), self.households,
            after[0].index_l if after and not after[0].rolled_over else None,
        )  # fmt: skip


def _read_files(ids: Iterable[int], since: datetime) -> dict[int, _File]:
    """Return what is known of the connections: four queries, and one more for those without a reading since then."""
    wanted = sorted(set(ids))
    rows = Connection.objects.filter(pk__in=wanted).values_list(
        "pk", "code", "status", "households", "connected_date", "closed_date", "route_id", "route_order",
        "route__read_day", "latitude", "longitude", "is_simulated",
    )  # fmt: skip
    files = {}
    for pk, code, status, households, connected, closed, route, order, day, lat, lon, simulated in rows:
        position = (lat, lon) if lat is not None and lon is not None else None
        files[pk] = _File(
            pk, code, status, households, connected, closed, route, order, day or 20, position, simulated
        )  # fmt: skip
    hung = (
        Fitting.objects.filter(connection_id__in=wanted)
        .order_by("connection_id", "installed_at", "pk")
        .values_list(
            "connection_id", "pk", "meter_id", "meter__serial", "meter__digits", "meter__kind", "installed_at",
            "installed_index_l", "removed_at",
        )
    )  # fmt: skip
    for row in hung:
        files[row[0]].fittings.append(_Fit(*row[1:]))
    recent = Reading.objects.filter(connection_id__in=wanted, read_at__gte=since)
    _put_known(files, recent)
    without = [pk for pk, one in files.items() if not any(k.kind != Kind.ESTIMATED for k in one.accepted)]
    if without:
        for pk in without:
            files[pk].accepted.clear()
            files[pk].pending.clear()
        _put_known(files, Reading.objects.filter(connection_id__in=without))
    return files


def _put_known(files: Mapping[int, _File], rows: Any) -> None:
    found = rows.filter(index_l__isnull=False, state__in=(State.ACCEPTED, *_PENDING)).values_list(
        "connection_id", "pk", "read_at", "index_l", "kind", "fitting_id", "rolled_over", "period_start_date", "state",
        "read_by_id", "source", "judged_at",
    )  # fmt: skip
    for connection_id, pk, read_at, index_l, kind, fitting_id, rolled, period, state, read_by, source, judged in found:
        known = _Known(
            pk, read_at, index_l, kind, fitting_id, rolled, period, state, None, read_by, source, judged is not None
        )
        file = files[connection_id]
        (file.accepted if state == State.ACCEPTED else file.pending).append(known)


# --- taking


def take_reading(
    connection: Connection,
    *,
    read_at: datetime,
    source: str,
    person: Person | None,
    index_l: int | None = None,
    no_access: str = "",
    kind: str = Kind.ACTUAL,
    client_id: uuid.UUID | None = None,
    photo: StoredFile | None = None,
    position: tuple[float, float] | None = None,
    note: str = "",
    confirmed_flags: Iterable[str] = (),
    period_start_date: date | None = None,
    closes: bool = True,
    replaces: Reading | None = None,
    now: datetime | None = None,
    is_simulated: bool = False,
) -> Outcome:
    """Store what a meter stood at (litres), or why it could not be seen, and say what became of it.

    fate: STORED; SUSPECT (something is odd that was not confirmed: it waits for a person); CONFLICT (another value is
    there for the month: both are kept until a person chooses); DUPLICATE (the same item, or the same value, before).
    confirmed_flags: keys of plausibility.WARNINGS that the reader says are so (a roll-over is counted only then).
    Raises CustomersError where nothing can be stored: no meter, no such index on it, a moment to come.
    """
    row = Incoming(
        connection.pk, read_at, index_l, no_access, kind, source, client_id, photo.pk if photo else None, position,
        note, frozenset(confirmed_flags), period_start_date, closes, replaces.pk if replaces else None, None,
        is_simulated,
    )  # fmt: skip
    outcome = take_many([row], person=person, now=now or timezone.now())[0]
    if outcome.fate == Fate.REFUSED:
        raise CustomersError(outcome.reason)
    return outcome


def take_many(
    rows: Sequence[Incoming], *, person: Person | None, now: datetime, dry: bool = False, audited: bool = True
) -> list[Outcome]:
    """Take readings in chunks of one transaction each; return the outcome of each, in order. None raises.

    dry: only say what would become of them. A row that cannot be stored is REFUSED, with the reason.
    """
    return [
        outcome
        for first in range(0, len(rows), CHUNK)
        for outcome in _take_chunk(rows[first : first + CHUNK], person, now, dry, audited)
    ]


def stream(
    rows: Iterable[Incoming], *, person: Person | None, now: datetime, dry: bool = False
) -> Iterator[tuple[Incoming, Outcome]]:
    """Take any number of readings, a chunk in memory at a time."""
    source = iter(rows)
    while chunk := list(islice(source, CHUNK)):
        yield from zip(chunk, _take_chunk(chunk, person, now, dry, False), strict=True)


def take_from_telemetry(rows: Iterable[tuple[int, datetime, int]], *, now: datetime | None = None) -> dict[str, int]:
    """Take (connection id, read_at, index in litres) from remote meters; return how many met each fate.

    The same moment of the same meter is one item, however often it comes.
    """
    counts: dict[str, int] = defaultdict(int)
    space = uuid.UUID("5b0c4d0e-4c4d-5a51-9c5e-0d9f6d1f2a11")
    incoming = (
        Incoming(pk, at, index_l, source=Source.TELEMETRY, client_id=uuid.uuid5(space, f"{pk}:{at.timestamp():.0f}"))
        for pk, at, index_l in rows
    )
    for _, outcome in stream(incoming, person=None, now=now or timezone.now()):
        counts[outcome.fate] += 1
    return dict(counts)


def _take_chunk(
    rows: Sequence[Incoming], person: Person | None, now: datetime, dry: bool, audited: bool
) -> list[Outcome]:
    with nullcontext() if dry else transaction.atomic():
        if not dry:  # the second of two who send for one connection waits here, and sees what the first stored
            list(
                Connection.objects.select_for_update()
                .filter(pk__in={row.connection_id for row in rows})
                .order_by("pk")
                .values_list("pk")
            )
        taking = _Taking(rows, person, now)
        outcomes = [taking.take(row) for row in rows]
        if not dry:
            taking.store()
            stored = sum(one.fate != Fate.REFUSED for one in outcomes)
            if audited and stored:
                audit.record(
                    "customers.reading.taken", actor=person, count=stored, source=str(Source(rows[0].source).label),
                    readings=[one.reading.pk for one in outcomes[:20] if one.reading is not None],
                )  # fmt: skip
    return outcomes


class _Taking:
    """One chunk: what is known, what is to be stored, what gives way."""

    def __init__(self, rows: Sequence[Incoming], person: Person | None, now: datetime) -> None:
        self.person, self.now = person, now
        since = min((row.read_at for row in rows), default=now) - timedelta(days=HISTORY_DAYS)
        self.files = _read_files((row.connection_id for row in rows), since)
        ids = [row.client_id for row in rows if row.client_id is not None]
        self.seen: dict[uuid.UUID, Reading] = (
            {one.client_id: one for one in Reading.objects.filter(client_id__in=ids) if one.client_id} if ids else {}
        )
        routes = {one.route_id for one in self.files.values() if one.route_id is not None}
        self.closed = set(
            Round.objects.filter(route_id__in=routes, state=Round.State.CLOSED).values_list(
                "route_id", "period_start_date"
            )
        )
        self.made: list[Reading] = []
        self.gives_way: list[tuple[_Known, Reading]] = []  # an estimate, and the reading in its place
        self.corrected: list[tuple[_Known, Reading]] = []  # what a reader sent before, and what they read again
        self.same_as: list[tuple[Reading, _Known]] = []
        self.swapped: set[int] = set()
        self.is_single = len(rows) <= 50  # neighbours of a whole sheet are looked at in the review, not one by one

    def take(self, row: Incoming) -> Outcome:
        try:
            return self._take(row)
        except CustomersError as reason:
            return Outcome(None, Fate.REFUSED, reason=str(reason))

    def _take(self, row: Incoming) -> Outcome:
        if row.client_id is not None and row.client_id in self.seen:
            return Outcome(self.seen[row.client_id], Fate.DUPLICATE, reason="Mục này đã gửi trước đó.")
        file = self.files.get(row.connection_id)
        if file is None:
            raise CustomersError("Không có đấu nối này. Tải lại tuyến rồi ghi lại.")
        self._check_moment(row, file)
        on_date = periods.local_date(row.read_at)
        period = row.period_start_date or plausibility.closing_month(on_date, file.read_day)
        if period.day != 1:
            raise CustomersError(f"Đấu nối {file.code}: kỳ phải là ngày đầu tháng.")
        if row.index_l is None:
            return self._no_access(row, file, period)
        fitting = file.fitting_at(row.read_at)
        if fitting is None:
            raise CustomersError(
                f"Đấu nối {file.code} không có đồng hồ vào lúc {format_datetime(row.read_at)}. "
                "Lắp đồng hồ (ghi ngày lắp) rồi ghi lại chỉ số."
            )
        if not 0 <= row.index_l < fitting.capacity_l:
            raise CustomersError(
                f"Đấu nối {file.code}: chỉ số {format_number(row.index_l // 1000)} m³ không có trên đồng hồ "
                f"{fitting.serial} ({fitting.digits} chữ số). Đọc lại."
            )
        own = self._own_earlier(row, file, period)
        judgement = plausibility.judge(file.series(row.read_at, fitting, own), row.index_l, on_date)
        flags = list(judgement.flags)
        rolled_over = "ROLLOVER" in flags and "ROLLOVER" in row.confirmed_flags
        if row.closes and (file.route_id, period) in self.closed and row.source != Source.RULE:
            flags.append("LATE")
        if row.position and file.position and _far_m(row.position, file.position) > plausibility.FAR_M:
            flags.append("FAR")
        if self.is_single and row.closes:
            swapped = _swapped_with(file, fitting, row.index_l, row.read_at, period)
            if swapped:
                flags.append("SWAPPED")
            if "SWAPPED" not in row.confirmed_flags:
                self.swapped |= swapped
        held = any(
            plausibility.WARNINGS[key].holds
            and not (plausibility.WARNINGS[key].confirmable and key in row.confirmed_flags)
            for key in flags
        )
        reading = Reading(
            connection_id=file.pk, fitting_id=fitting.pk, period_start_date=period if row.closes else None,
            kind=row.kind, source=row.source, state=State.SUSPECT if held else State.ACCEPTED, read_at=row.read_at,
            index_l=row.index_l, rolled_over=rolled_over, flags=flags, photo_id=row.photo_id,
            latitude=row.position[0] if row.position else None, longitude=row.position[1] if row.position else None,
            note=row.note[:300], read_by=self.person, received_at=self.now, client_id=row.client_id,
            batch_id=row.batch_id, is_simulated=row.is_simulated or file.is_simulated,
        )  # fmt: skip
        volume = judgement.rolled_l if rolled_over else judgement.volume_l
        return self._place(reading, row, file, tuple(flags), volume, own)

    def _check_moment(self, row: Incoming, file: _File) -> None:
        if row.read_at > self.now + AHEAD:
            raise CustomersError(
                f"Đấu nối {file.code}: lúc đọc {format_datetime(row.read_at)} ở tương lai. Chỉnh đồng hồ của máy."
            )
        on_date = periods.local_date(row.read_at)
        if file.status == Connection.Status.PENDING:
            raise CustomersError(f"Đấu nối {file.code} chưa lắp đặt. Ghi lắp đặt trước khi ghi chỉ số.")
        if file.closed_date is not None and on_date > file.closed_date:
            raise CustomersError(f"Đấu nối {file.code} đã chấm dứt ngày {format_date(file.closed_date)}.")

    def _no_access(self, row: Incoming, file: _File, period: date) -> Outcome:
        if row.no_access not in Reading.NoAccess.values or not row.no_access:
            raise CustomersError(f"Đấu nối {file.code}: chưa có chỉ số, cũng chưa có lý do không đọc được.")
        reading = Reading(
            connection_id=file.pk, period_start_date=period if row.closes else None, kind=Kind.NO_ACCESS,
            source=row.source, read_at=row.read_at, no_access=row.no_access, photo_id=row.photo_id,
            latitude=row.position[0] if row.position else None, longitude=row.position[1] if row.position else None,
            note=row.note[:300], read_by=self.person, received_at=self.now, client_id=row.client_id,
            batch_id=row.batch_id, is_simulated=row.is_simulated or file.is_simulated,
        )  # fmt: skip
        return self._keep(reading, Fate.STORED)

    def _place(
        self, reading: Reading, row: Incoming, file: _File, flags: tuple[str, ...], volume: int | None,
        own: list[_Known],
    ) -> Outcome:  # fmt: skip
        """Put the reading beside what is there for its month. own: what it corrects."""
        if not row.closes:
            fate = Fate.SUSPECT if reading.state == State.SUSPECT else Fate.STORED
            outcome = self._keep(reading, fate, flags, volume)
            self._remember(reading, file)
            return outcome
        there = [one for one in file.accepted if one.period == reading.period_start_date]
        waiting = [one for one in file.pending if one.period == reading.period_start_date]
        if row.replaces is not None:
            return self._replace(reading, row, file, [*there, *waiting], flags, volume)
        real = [one for one in there if one.kind != Kind.ESTIMATED] + waiting
        for one in real:
            if one.index_l == reading.index_l:
                said = "Đã có cùng chỉ số cho kỳ này."
                if row.photo_id is None:
                    return Outcome(one.made or _shown(one, file), Fate.DUPLICATE, flags, said, volume)
                reading.state = State.SUPERSEDED  # kept for its photo
                self.same_as.append((reading, one))
                return self._keep(reading, Fate.DUPLICATE, flags, volume, said)
        if own:
            return self._correct_own(reading, file, own, flags, volume)
        if real:
            reading.state = State.CONFLICT
            shown = ", ".join(format_number(one.index_l // 1000) for one in real)
            outcome = self._keep(
                reading, Fate.CONFLICT, flags, volume,
                f"Đấu nối {file.code} kỳ {reading.period_start_date:%m/%Y} đã có chỉ số {shown} m³. "
                "Giữ cả hai, chờ người xem lại chọn.",
            )  # fmt: skip
        else:
            for one in there:  # an estimate gives way to what was truly read, if nothing is odd about it
                if reading.state == State.ACCEPTED:
                    self.gives_way.append((one, reading))
                    file.accepted.remove(one)
            outcome = self._keep(
                reading, Fate.SUSPECT if reading.state == State.SUSPECT else Fate.STORED, flags, volume
            )
        self._remember(reading, file)
        return outcome

    def _own_earlier(self, row: Incoming, file: _File, period: date) -> list[_Known]:
        """Return what a reader corrects by reading a house again: all there is, if they sent it in this open round.

        Nothing of what the office has judged or anybody else read: that is not theirs to put aside.
        """
        is_open = row.closes and (file.route_id, period) not in self.closed
        if self.person is None or row.source != Source.FIELD or row.replaces is not None or not is_open:
            return []
        there = [one for one in file.accepted if one.period == period and one.kind != Kind.ESTIMATED]
        there += [one for one in file.pending if one.period == period]
        is_own = all(
            one.read_by_id == self.person.pk and one.source == Source.FIELD and not one.is_judged for one in there
        )
        return there if is_own else []

    def _correct_own(
        self, reading: Reading, file: _File, real: list[_Known], flags: tuple[str, ...], volume: int | None
    ) -> Outcome:
        """Keep what a reader read twice, the later of them to be used: phones send late, and not in order."""
        latest = max(real, key=lambda one: one.read_at)
        if latest.read_at > reading.read_at:
            reading.state = State.SUPERSEDED
            self.same_as.append((reading, latest))
            return self._keep(
                reading, Fate.STORED, flags, volume,
                f"Sau đó bạn đã ghi lại {format_number(latest.index_l // 1000)} m³. Giữ cả hai, dùng số ghi sau.",
            )  # fmt: skip
        for one in real:
            self.corrected.append((one, reading))
            (file.accepted if one in file.accepted else file.pending).remove(one)
        fate = Fate.SUSPECT if reading.state == State.SUSPECT else Fate.STORED
        titles = [plausibility.WARNINGS[key].title for key in flags] if fate == Fate.SUSPECT else []
        said = f"Thay số {format_number(latest.index_l // 1000)} m³ bạn đã ghi lúc {format_datetime(latest.read_at)}."
        outcome = self._keep(reading, fate, flags, volume, ". ".join([*titles, said]))
        self._remember(reading, file)
        return outcome

    def _replace(
        self, reading: Reading, row: Incoming, file: _File, there: list[_Known], flags: tuple[str, ...],
        volume: int | None,
    ) -> Outcome:  # fmt: skip
        """A person saw the reading that is there, and corrects it."""
        seen = next((one for one in there if one.pk == row.replaces), None)
        if seen is None or len(there) > 1:
            raise CustomersError(
                f"Đấu nối {file.code}: chỉ số vừa được người khác sửa. Tải lại trang để xem trước khi ghi."
            )
        if "LATE" in flags:
            raise CustomersError(
                f"Đấu nối {file.code}: kỳ {reading.period_start_date:%m/%Y} đã chốt. Mở lại đợt ghi, hoặc điều chỉnh "
                "bằng hóa đơn điều chỉnh."
            )
        if seen.index_l == reading.index_l:
            return Outcome(Reading.objects.get(pk=seen.pk), Fate.DUPLICATE, flags, "Chỉ số không đổi.", volume)
        self.gives_way.append((seen, reading))
        (file.accepted if seen in file.accepted else file.pending).remove(seen)
        fate = Fate.SUSPECT if reading.state == State.SUSPECT else Fate.STORED
        outcome = self._keep(reading, fate, flags, volume)
        self._remember(reading, file)
        return outcome

    def _keep(
        self, reading: Reading, fate: str, flags: tuple[str, ...] = (), volume: int | None = None, reason: str = ""
    ) -> Outcome:
        self.made.append(reading)
        if reading.client_id is not None:
            self.seen[reading.client_id] = reading
        if not reason and fate == Fate.SUSPECT:
            reason = "; ".join(plausibility.WARNINGS[key].title for key in flags)
        return Outcome(reading, fate, flags, reason, volume)

    def _remember(self, reading: Reading, file: _File) -> None:
        known = _Known(
            0, reading.read_at, reading.index_l or 0, reading.kind, reading.fitting_id, reading.rolled_over,
            reading.period_start_date, reading.state, reading, reading.read_by_id, reading.source,
        )  # fmt: skip
        (file.accepted if reading.state == State.ACCEPTED else file.pending).append(known)

    def store(self) -> None:
        """Write what was decided. Estimates give way first: a month has one accepted closing reading."""
        ways = ((self.gives_way, REPLACED), (self.corrected, CORRECTED))
        for pairs, note in ways:
            gone = [one.pk for one, _ in pairs if one.pk]
            if gone:
                Reading.objects.filter(pk__in=gone).update(
                    state=State.SUPERSEDED, judged_by=self.person, judged_at=self.now, judged_note=note
                )
        everything = [*self.gives_way, *self.corrected]
        for one, _ in everything:
            if one.made is not None:
                one.made.state = State.SUPERSEDED
        Reading.objects.bulk_create(self.made, batch_size=500)
        for one, reading in everything:
            Reading.objects.filter(pk=one.pk or (one.made.pk if one.made else 0)).update(superseded_by=reading)
        for reading, one in self.same_as:
            Reading.objects.filter(pk=reading.pk).update(superseded_by=one.pk or (one.made.pk if one.made else None))
        _flag_swapped(self.swapped)


def _is_closed(reading: Reading) -> bool:
    month: Any = reading.period_start_date
    return Round.objects.filter(
        route__connections=reading.connection_id, period_start_date=month, state=Round.State.CLOSED
    ).exists()


def _flag_swapped(ids: Iterable[int]) -> None:
    """Let readings that are likely a neighbour's wait for a person, but for those of closed months."""
    wanted = list(ids)
    if not wanted:
        return
    for reading in Reading.objects.select_for_update().filter(pk__in=wanted):
        if "SWAPPED" not in reading.flags:
            reading.flags = [*reading.flags, "SWAPPED"]
        if reading.state == State.ACCEPTED and not _is_closed(reading):
            reading.state = State.SUSPECT
        reading.save(update_fields=["flags", "state"])


def _swapped_with(file: _File, fitting: _Fit, index_l: int, read_at: datetime, period: date) -> set[int]:
    """Return the readings of neighbours on the route, of the same day, that are likely exchanged with this one."""
    if file.route_id is None:
        return set()
    on_date = periods.local_date(read_at)
    along = Connection.objects.filter(route_id=file.route_id).values_list("pk", flat=True)
    here = Q(route_order=file.route_order, pk__lt=file.pk) | Q(route_order__lt=file.route_order)
    there = Q(route_order=file.route_order, pk__gt=file.pk) | Q(route_order__gt=file.route_order)
    beside = [
        *along.filter(here).order_by("-route_order", "-pk")[:NEIGHBOURS],
        *along.filter(there).order_by("route_order", "pk")[:NEIGHBOURS],
    ]
    read_there = Reading.objects.filter(
        connection_id__in=beside, period_start_date=period, index_l__isnull=False, kind=Kind.ACTUAL,
        state__in=(State.ACCEPTED, *_PENDING),
    )  # fmt: skip
    rows = [one for one in read_there if periods.local_date(one.read_at) == on_date]
    if not rows:
        return set()
    own = file.series(read_at, fitting)
    files = _read_files({one.connection_id for one in rows}, read_at - timedelta(days=HISTORY_DAYS))
    found = set()
    for one in rows:
        other = files[one.connection_id]
        hung = other.fitting_at(one.read_at)
        other.accepted = [known for known in other.accepted if known.pk != one.pk]
        if hung is None or one.index_l is None:
            continue
        if plausibility.are_swapped(own, index_l, other.series(one.read_at, hung), one.index_l, on_date):
            found.add(one.pk)
    return found


def look_for_swapped(rows: Iterable[Reading]) -> int:
    """Look among held readings of a sheet for those that are likely a neighbour's; return how many were flagged."""
    flagged: set[int] = set()
    for reading in rows:
        if reading.pk in flagged or reading.index_l is None or reading.period_start_date is None:
            continue
        with transaction.atomic():
            since = reading.read_at - timedelta(days=HISTORY_DAYS)
            file = _read_files([reading.connection_id], since)[reading.connection_id]
            fitting = file.fitting_at(reading.read_at)
            if fitting is None:
                continue
            others = _swapped_with(file, fitting, reading.index_l, reading.read_at, reading.period_start_date)
            if others:
                _flag_swapped({*others, reading.pk})
                flagged |= {*others, reading.pk}
    return len(flagged)


def _shown(known: _Known, file: _File) -> Reading:
    """Return a reading already there, without asking the database again."""
    return Reading(
        pk=known.pk, connection_id=file.pk, fitting_id=known.fitting_id, period_start_date=known.period,
        kind=known.kind, state=known.state, read_at=known.read_at, index_l=known.index_l,
        rolled_over=known.rolled_over, read_by_id=known.read_by_id,
    )  # fmt: skip


def _far_m(one: tuple[float, float], other: tuple[float, float]) -> float:
    north = (one[0] - other[0]) * 111_320
    east = (one[1] - other[1]) * 111_320 * cos(radians(one[0]))
    return hypot(north, east)


# --- judging what waits


def _locked(reading: Reading) -> Reading:
    """Return the reading as it is now. Raises CustomersError if somebody was faster."""
    Connection.objects.select_for_update().get(pk=reading.connection_id)
    now = Reading.objects.select_for_update(of=("self",)).select_related("connection").get(pk=reading.pk)
    if now.state != reading.state:
        raise CustomersError(
            f"Chỉ số của đấu nối {now.connection.code} vừa được người khác xử lý: {now.get_state_display()}. "
            "Tải lại trang."
        )
    return now


def _reason(note: str) -> str:
    note = " ".join(note.split())
    if not note:
        raise CustomersError("Ghi lý do, để người sau hiểu vì sao.")
    return note[:300]


def _others_of_month(reading: Reading) -> Any:
    month: Any = reading.period_start_date
    return Reading.objects.filter(
        connection_id=reading.connection_id, period_start_date=month, index_l__isnull=False,
        state__in=(State.ACCEPTED, *_PENDING),
    ).exclude(pk=reading.pk)  # fmt: skip


@transaction.atomic
def accept(
    reading: Reading, *, note: str, by: Person | None, rolled_over: bool = False, now: datetime | None = None
) -> Reading:
    """Take a reading that waited. rolled_over: its meter went through zero since the reading before.

    An estimate of the month gives way. Raises CustomersError if another reading of the month is there (choose one), or
    if the index went back and neither a roll-over nor a change of meter explains it.
    """
    now, note = now or timezone.now(), _reason(note)
    row = _locked(reading)
    if row.state not in _PENDING:
        raise CustomersError(f"Chỉ số này không chờ xem lại: {row.get_state_display()}.")
    others = list(_others_of_month(row)) if row.period_start_date else []
    if any(one.kind != Kind.ESTIMATED for one in others):
        raise CustomersError(
            f"Đấu nối {row.connection.code} có nhiều chỉ số khác nhau cho kỳ {row.period_start_date:%m/%Y}. "
            "Chọn một trong số đó."
        )
    _take_in(row, rolled_over=rolled_over, note=note, by=by, now=now)
    audit.record("customers.reading.accepted", actor=by, target=row, connection=row.connection_id)
    return row


def _take_in(row: Reading, *, rolled_over: bool, note: str, by: Person | None, now: datetime) -> None:
    """Accept a reading; what stood for its month until then is superseded."""
    file = _read_files([row.connection_id], row.read_at - timedelta(days=HISTORY_DAYS))[row.connection_id]
    fitting = file.fitting_at(row.read_at)
    if fitting is None or row.index_l is None:
        raise CustomersError(f"Đấu nối {row.connection.code} không có đồng hồ vào lúc đọc.")
    file.accepted = [one for one in file.accepted if one.period is None or one.period != row.period_start_date]
    series = file.series(row.read_at, fitting)
    row.fitting_id = fitting.pk
    if row.index_l < series.before_l and not rolled_over:
        raise CustomersError(
            f"Đấu nối {row.connection.code}: chỉ số lùi, từ {format_number(series.before_l // 1000)} về "
            f"{format_number(row.index_l // 1000)} m³. Xác nhận quay vòng, ghi thay đồng hồ, hoặc loại chỉ số này."
        )
    if series.after_l is not None and row.index_l > series.after_l:
        raise CustomersError(
            f"Đấu nối {row.connection.code}: lần đọc sau chỉ có {format_number(series.after_l // 1000)} m³, thấp hơn. "
            "Loại một trong hai chỉ số."
        )
    if row.period_start_date is not None:
        _others_of_month(row).update(
            state=State.SUPERSEDED, superseded_by=row, judged_by=by, judged_at=now, judged_note="Có chỉ số mới thay."
        )
    row.rolled_over = rolled_over and row.index_l < series.before_l
    row.state, row.judged_by, row.judged_at, row.judged_note = State.ACCEPTED, by, now, note
    row.save(update_fields=["state", "rolled_over", "fitting", "judged_by", "judged_at", "judged_note"])


@transaction.atomic
def refuse(reading: Reading, *, note: str, by: Person | None, now: datetime | None = None) -> Reading:
    """Put a reading that waited aside: it is kept, and counts for nothing."""
    now, note = now or timezone.now(), _reason(note)
    row = _locked(reading)
    if row.state not in _PENDING:
        raise CustomersError(f"Chỉ số này không chờ xem lại: {row.get_state_display()}.")
    row.state, row.judged_by, row.judged_at, row.judged_note = State.REFUSED, by, now, note
    row.save(update_fields=["state", "judged_by", "judged_at", "judged_note"])
    audit.record("customers.reading.refused", actor=by, target=row, connection=row.connection_id)
    return row


@transaction.atomic
def choose(
    reading: Reading, *, note: str, by: Person | None, rolled_over: bool = False, now: datetime | None = None
) -> Reading:
    """Take one of several readings of a month; the others are refused, and kept."""
    now, note = now or timezone.now(), _reason(note)
    row = _locked(reading)
    if row.state not in (State.ACCEPTED, *_PENDING):
        raise CustomersError(f"Chỉ số này không còn để chọn: {row.get_state_display()}.")
    others = _others_of_month(row)
    if not others.exists():
        raise CustomersError("Kỳ này chỉ có một chỉ số. Nhận hoặc loại chỉ số đó.")
    refused = list(others.exclude(kind=Kind.ESTIMATED).values_list("pk", flat=True))
    Reading.objects.filter(pk__in=refused).update(
        state=State.REFUSED, judged_by=by, judged_at=now, judged_note=note, superseded_by=row
    )
    if row.state != State.ACCEPTED:
        _take_in(row, rolled_over=rolled_over, note=note, by=by, now=now)
    audit.record("customers.reading.chosen", actor=by, target=row, refused=refused)
    return row


@transaction.atomic
def exchange(
    one: Reading, other: Reading, *, note: str, by: Person | None, now: datetime | None = None
) -> tuple[Reading, Reading]:
    """Give each of two neighbours the index that was written down for the other; what was sent is kept as refused."""
    now, note = now or timezone.now(), _reason(note)
    first, second = sorted((one, other), key=lambda row: row.connection_id)
    first, second = _locked(first), _locked(second)
    if first.period_start_date != second.period_start_date or first.connection_id == second.connection_id:
        raise CustomersError("Chỉ đổi được chỉ số của hai đấu nối khác nhau trong cùng một kỳ.")
    made = []
    for row, index_l in ((first, second.index_l), (second, first.index_l)):
        if row.state not in (State.ACCEPTED, *_PENDING):
            raise CustomersError(f"Chỉ số của {row.connection.code} không còn để đổi: {row.get_state_display()}.")
        others = _others_of_month(row).exclude(kind=Kind.ESTIMATED)
        if others.exists():
            raise CustomersError(f"Đấu nối {row.connection.code} còn chỉ số khác cho kỳ này. Chọn một trước.")
        Reading.objects.filter(pk=row.pk).update(state=State.REFUSED, judged_by=by, judged_at=now, judged_note=note)
        new = Reading.objects.create(
            connection_id=row.connection_id, fitting_id=row.fitting_id, period_start_date=row.period_start_date,
            kind=row.kind, source=row.source, state=State.SUSPECT, read_at=row.read_at, index_l=index_l,
            photo_id=None, read_by=row.read_by, received_at=now, is_simulated=row.is_simulated,
            note=f"Đổi với nhà bên: {note}"[:300],
        )  # fmt: skip
        new.connection = row.connection
        _take_in(new, rolled_over=False, note=note, by=by, now=now)
        Reading.objects.filter(pk=row.pk).update(superseded_by=new)
        audit.record("customers.reading.corrected", actor=by, target=new, replaced=row.pk)
        made.append(new)
    return made[0], made[1]


# --- estimating


@dataclass(frozen=True)
class Estimate:
    """What the rule gives for one connection; index_l None: nothing, for the reason."""

    connection_id: int
    code: str
    before_l: int
    before_date: date | None
    days: int
    mean: tuple[int, int] | None
    volume_l: int
    index_l: int | None
    rolled_over: bool = False
    fitting_id: int = 0
    reason: str = ""
    is_simulated: bool = False

    @property
    def mean_l(self) -> int | None:
        """Litres a day."""
        return None if self.mean is None else round(self.mean[0] / self.mean[1])


@dataclass(frozen=True)
class Estimated:
    """What an estimate did. rows: each connection asked for; made: how many readings were stored."""

    rows: list[Estimate]
    made: int = 0


def preview_estimates(connection_ids: Iterable[int], *, period: date, on_date: date) -> list[Estimate]:
    """Return what the rule gives for a month (docs/algorithms/readings.md): the mean daily use of the last three real
    spans × the days since the reading before; nothing without one real span.
    """
    moment = noon(on_date)
    files = _read_files(connection_ids, moment - timedelta(days=400))
    return [_estimate(file, period, on_date, moment) for file in sorted(files.values(), key=lambda one: one.code)]


def noon(day: date) -> datetime:
    """Return noon of a local day: when a reading was taken of which only the day is known."""
    return datetime.combine(day, time(12), periods.LOCAL_ZONE)


def _estimate(file: _File, period: date, on_date: date, moment: datetime) -> Estimate:
    def none(reason: str) -> Estimate:
        return Estimate(file.pk, file.code, 0, None, 0, None, 0, None, reason=reason)

    fitting = file.fitting_at(moment)
    if file.status in (Connection.Status.PENDING, Connection.Status.CLOSED):
        return none("Đấu nối không còn hoặc chưa dùng nước.")
    if fitting is None:
        return none("Không có đồng hồ.")
    if any(one.period == period for one in (*file.accepted, *file.pending)):
        return none("Kỳ này đã có chỉ số.")
    points = file.points(moment)
    mean = consumption.mean_daily(points)
    if mean is None:
        return none("Chưa có kỳ nào đọc thực tế.")
    closing = [point for point in points if point.period_start_date is not None]
    start = closing[-1] if closing else points[0]
    days = (on_date - start.on_date).days
    whole_m3 = fitting.kind == "MECHANICAL"
    volume_l = consumption.estimate_l(mean, days, whole_m3=whole_m3)
    since = points[points.index(start) :]
    try:
        used_l = consumption.span_l(since)
    except consumption.Unexplained:
        return none("Chỉ số lùi chưa có giải thích.")
    last = since[-1]
    rest_l = max(volume_l - used_l, 0)
    rolled, index_l = divmod(last.index_l + rest_l, last.capacity_l)
    if whole_m3:
        index_l -= index_l % consumption.LITRES_A_M3
    return Estimate(
        file.pk, file.code, start.index_l, start.on_date, days, mean, max(volume_l, used_l), index_l, rolled > 0,
        fitting.pk, is_simulated=file.is_simulated,
    )  # fmt: skip


def estimate(
    connection_ids: Iterable[int], *, period: date, on_date: date, by: Person | None, now: datetime | None = None
) -> Estimated:
    """Store an estimated closing reading for each connection that has none for the month, by the rule; all marked."""
    now, done, made = now or timezone.now(), [], 0
    source = iter(sorted(set(connection_ids)))
    moment = min(noon(on_date), now)
    while ids := list(islice(source, CHUNK)):
        with transaction.atomic():
            list(Connection.objects.select_for_update().filter(pk__in=ids).order_by("pk").values_list("pk"))
            rows = preview_estimates(ids, period=period, on_date=on_date)
            Reading.objects.bulk_create(
                [
                    Reading(
                        connection_id=row.connection_id, fitting_id=row.fitting_id, period_start_date=period,
                        kind=Kind.ESTIMATED, source=Source.RULE, read_at=moment, index_l=row.index_l,
                        rolled_over=row.rolled_over, read_by=by, received_at=now, is_simulated=row.is_simulated,
                    )
                    for row in rows
                    if row.index_l is not None
                ],
                batch_size=500,
            )  # fmt: skip
            stored = sum(row.index_l is not None for row in rows)
            if stored:
                audit.record(
                    "customers.reading.estimated", actor=by, count=stored, period=f"{period:%m/%Y}",
                    connections=[row.connection_id for row in rows if row.index_l is not None][:50],
                )  # fmt: skip
            made += stored
            done += rows
    return Estimated(done, made)


# --- rounds and routes


def open_rounds(
    routes: Iterable[Route], *, period: date, by: Person | None, now: datetime | None = None
) -> tuple[int, int]:
    """Open the round of a month on each route; return how many are new and how many were there."""
    found = list(routes)
    with transaction.atomic():
        before = set(Round.objects.filter(route__in=found, period_start_date=period).values_list("route_id", flat=True))
        new = [route for route in found if route.pk not in before]
        Round.objects.bulk_create(
            [Round(route=r, period_start_date=period, opened_at=now or timezone.now(), opened_by=by) for r in new],
            ignore_conflicts=True,
        )
        if new:
            audit.record(
                "customers.round.opened", actor=by, count=len(new), period=f"{period:%m/%Y}",
                routes=[route.pk for route in new][:200],
            )  # fmt: skip
    return len(new), len(before)


@transaction.atomic
def close_round(shown: Round, *, by: Person | None, leave_missing: bool = False, now: datetime | None = None) -> Round:
    """Close a round: what comes later waits for a person. leave_missing: close although some have no reading.

    Raises CustomersError while readings of the round wait for a person, or some connection has none.
    """
    row = Round.objects.select_for_update(of=("self",)).select_related("route").get(pk=shown.pk)
    if row.state != Round.State.OPEN:
        raise CustomersError(f"Đợt ghi {row.route.code} kỳ {row.period_start_date:%m/%Y} đã chốt. Tải lại trang.")
    on_route = Connection.objects.filter(route=row.route)
    waiting = Reading.objects.filter(
        connection__in=on_route, period_start_date=row.period_start_date, state__in=_PENDING
    ).count()
    if waiting:
        raise CustomersError(f"Còn {waiting} chỉ số chờ xem lại. Nhận, loại hoặc chọn từng chỉ số rồi chốt.")
    missing = list_missing(row)
    if missing and not leave_missing:
        raise CustomersError(
            f"Còn {len(missing)} đấu nối chưa có chỉ số. Tạm tính theo quy tắc, hoặc chọn chốt mà để trống."
        )
    row.state, row.closed_at, row.closed_by = Round.State.CLOSED, now or timezone.now(), by
    row.save(update_fields=["state", "closed_at", "closed_by"])
    audit.record("customers.round.closed", actor=by, target=row, missing=len(missing))
    return row


@transaction.atomic
def reopen_round(shown: Round, *, note: str, by: Person | None) -> Round:
    """Open a closed round again, for a reason."""
    note = _reason(note)
    row = Round.objects.select_for_update(of=("self",)).get(pk=shown.pk)
    if row.state != Round.State.CLOSED:
        raise CustomersError("Đợt ghi này đang mở.")
    row.state, row.closed_at, row.closed_by = Round.State.OPEN, None, None
    row.save(update_fields=["state", "closed_at", "closed_by"])
    audit.record("customers.round.reopened", actor=by, target=row, note=note)
    return row


def on_routes(route_ids: Iterable[int], period: date) -> Any:
    """Return the connections of the routes that rounds of the month must read: in use before its end, not closed."""
    end = periods.Period("M", period).end_date
    return Connection.objects.filter(
        Q(closed_date__isnull=True) | Q(closed_date__gte=end), route_id__in=list(route_ids), connected_date__lt=end
    ).exclude(status=Connection.Status.PENDING)


def to_read(route_id: int, period: date) -> Any:
    """Return the connections of a route that a round of the month must read, in walking order."""
    return on_routes([route_id], period).order_by("route_order", "code")


def list_missing(shown: Round) -> list[Connection]:
    """Return the connections of the round without a reading that counts for its month (and none that waits)."""
    read = Reading.objects.filter(
        period_start_date=shown.period_start_date, index_l__isnull=False, state__in=(State.ACCEPTED, *_PENDING)
    )
    return list(
        to_read(shown.route_id, shown.period_start_date)
        .exclude(pk__in=read.filter(connection__route_id=shown.route_id).values("connection_id"))
        .select_related("customer")
    )


@transaction.atomic
def put_route(
    route: Route | None, *, by: Person | None, version: int | None = None, order: Sequence[int] | None = None,
    **said: Any,
) -> Route:  # fmt: skip
    """Make or change a route (code, name, work, reader, read_day). order: ids of its connections as they are walked.

    Raises CustomersError if somebody else changed it meanwhile, or if a connection is of another work.
    """
    if route is None:
        route = Route(code=said["code"])
        if Route.objects.filter(code=route.code).exists():
            raise CustomersError(f"Đã có tuyến {route.code}. Chọn mã khác.")
    else:
        route = Route.objects.select_for_update(of=("self",)).get(pk=route.pk)
        if version is not None and version != route.version:
            raise CustomersError(f"Tuyến {route.code} vừa được người khác sửa. Tải lại trang để xem bản mới.")
        route.version += 1
    for key, value in said.items():
        setattr(route, key, value)
    if route.pk is not None and Connection.objects.filter(route=route).exclude(work_id=route.work_id).exists():
        raise CustomersError(f"Tuyến {route.code} còn đấu nối của công trình khác. Chuyển các đấu nối đó trước.")
    route.save()
    if order is not None:
        _put_order(route, order)
    audit.record("customers.route.saved", actor=by, target=route, fields=sorted(said), count=len(order) if order else 1)
    return route


def _put_order(route: Route, order: Sequence[int]) -> None:
    own = list(Connection.objects.filter(route=route).order_by("route_order", "code").values_list("pk", flat=True))
    place = {pk: number for number, pk in enumerate(order)}
    own.sort(key=lambda pk: place.get(pk, len(place)))
    changed = [Connection(pk=pk, route_order=number) for number, pk in enumerate(own, start=1)]
    Connection.objects.bulk_update(changed, ["route_order"], batch_size=500)


@transaction.atomic
def move_to_route(route: Route, connection_ids: Iterable[int], *, by: Person | None, allowed: Any = None) -> int:
    """Put connections of the route's work at its end; return how many moved. allowed: the only ones that may."""
    rows = Connection.objects.select_for_update().filter(pk__in=list(connection_ids), work_id=route.work_id)
    if allowed is not None:
        rows = rows.filter(pk__in=allowed.values("pk"))
    moving = list(rows.exclude(route=route).order_by("code").values_list("pk", flat=True))
    last = Connection.objects.filter(route=route).order_by("-route_order").values_list("route_order", flat=True).first()
    changed = [
        Connection(pk=pk, route=route, route_order=number) for number, pk in enumerate(moving, start=(last or 0) + 1)
    ]
    Connection.objects.bulk_update(changed, ["route", "route_order"], batch_size=500)
    if moving:
        audit.record("customers.route.filled", actor=by, target=route, count=len(moving), connections=moving[:50])
    return len(moving)
