"""What a channel's readings are held against and counted by: interval, dates, minimum, limits of quality, counter."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise

from django.db.models import Count, QuerySet

from machnuoc.core.periods import LOCAL_ZONE
from machnuoc.places.models import Containment, Subject
from machnuoc.telemetry.models import Channel, QualityLimit, TotaliserMark
from machnuoc.telemetry.quantities import QUANTITIES, ChannelKind
from machnuoc.telemetry.store import HOUR_MS
from machnuoc.telemetry.totalisers import Counter, Decision, What

FOREVER_MS = 2**53
GAP_INTERVALS = 3  # a pause of more than so many expected intervals is a gap
NO_LIMIT = 1e300
# Where nobody has said what an hour can bring: far above what a provincial work does, so that only nonsense is refused.
_LARGEST_STEP_PER_H = {"volume": 20_000.0, "energy": 20_000.0}


@dataclass(frozen=True, slots=True)
class Held:
    """Within which a reading is good, from an instant to another. limit: id of the QualityLimit, 0 for a minimum."""

    from_ms: int
    to_ms: int
    low: float
    high: float
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """One channel. installed_ms: None where nobody wrote it down. held: in order of time, not overlapping."""

    channel: int
    work: int
    quantity: str
    kind: ChannelKind
    role: str
    interval_ms: int
    installed_ms: int | None
    removed_ms: int
    is_active: bool
    is_simulated: bool
    counter: Counter
    held: tuple[Held, ...] = field(default=())

    @property
    def gap_ms(self) -> int:
        return GAP_INTERVALS * self.interval_ms

    def expected(self, from_ms: int, to_ms: int) -> float:
        """Return how many readings there should be in [from_ms, to_ms): while the device was there."""
        start = from_ms if self.installed_ms is None else max(from_ms, self.installed_ms)
        return max(0, min(to_ms, self.removed_ms) - start) / self.interval_ms

    def held_at(self, at_ms: int) -> Held | None:
        return next((one for one in self.held if one.from_ms <= at_ms < one.to_ms), None)


def to_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def day_ms(day: date) -> int:
    """Return the start of a local day, ms UTC."""
    return to_ms(datetime(day.year, day.month, day.day, tzinfo=LOCAL_ZONE))


def day_of(start_ms: int) -> date:
    """Return the local day that starts at the instant (or holds it)."""
    return datetime.fromtimestamp(start_ms / 1000, LOCAL_ZONE).date()


def load(channels: Iterable[int] | None = None) -> dict[int, Terms]:
    """Return the terms of these channels, of all without an argument. Channels that are gone are left out."""
    rows: QuerySet[Channel] = Channel.objects.select_related("device")
    if channels is not None:
        rows = rows.filter(pk__in=list(channels))
    found = list(rows)
    limits = _limits({row.device.work_id for row in found}, {row.quantity for row in found})
    return {row.pk: _terms(row, limits) for row in found}


def without_limits(row: Channel) -> Terms:
    """Return the terms of a channel that is at hand with its device, without asking for its limits."""
    return _terms(row, {})


def load_of_works(works: Iterable[int]) -> dict[int, Terms]:
    """Return the terms of every channel of these works."""
    return load(Channel.objects.filter(device__work__in=list(works)).values_list("pk", flat=True))


def _terms(row: Channel, limits: Mapping[tuple[int, str], Sequence[QualityLimit]]) -> Terms:
    interval_ms = max(1, row.expected_interval_s) * 1000
    largest = row.largest_step_per_h or _LARGEST_STEP_PER_H.get(row.quantity, NO_LIMIT)
    return Terms(
        channel=row.pk,
        work=row.device.work_id,
        quantity=row.quantity,
        kind=QUANTITIES[row.quantity].kind,
        role=row.role,
        interval_ms=interval_ms,
        installed_ms=None if row.device.installed_at is None else to_ms(row.device.installed_at),
        removed_ms=FOREVER_MS if row.device.removed_at is None else to_ms(row.device.removed_at),
        is_active=row.is_active,
        is_simulated=row.device.is_simulated,
        counter=Counter(largest, row.rolls_over_at, row.resolution, max(GAP_INTERVALS * interval_ms, HOUR_MS // 4)),
        held=_held(row, limits.get((row.device.work_id, row.quantity), ())),
    )


def _held(row: Channel, limits: Sequence[QualityLimit]) -> tuple[Held, ...]:
    if row.role == Channel.Role.CONTINUITY:
        return (Held(0, FOREVER_MS, row.minimum, NO_LIMIT),) if row.minimum is not None else ()
    if row.role != Channel.Role.QUALITY:
        return ()
    edges = sorted(
        {0, FOREVER_MS}
        | {day_ms(day) for limit in limits for day in (limit.valid_from, limit.valid_to) if day is not None}
    )
    found = []
    for start, end in pairwise(edges):
        for limit in limits:  # the nearest comes first
            begins = 0 if limit.valid_from is None else day_ms(limit.valid_from)
            ends = FOREVER_MS if limit.valid_to is None else day_ms(limit.valid_to)
            if begins <= start and end <= ends:
                low = -NO_LIMIT if limit.low is None else limit.low
                high = NO_LIMIT if limit.high is None else limit.high
                found.append(Held(start, end, low, high, limit.pk))
                break
    return tuple(found)


def _limits(works: set[int], quantities: set[str]) -> dict[tuple[int, str], list[QualityLimit]]:
    """Return the limits that may hold at each work, the nearest first: its own, then those of ever larger places."""
    limits = list(QualityLimit.objects.filter(quantity__in=quantities))
    subjects = {limit.subject_id for limit in limits}
    if not subjects:
        return {}
    size = dict(
        Containment.objects.filter(ancestor__in=subjects)
        .order_by()
        .values_list("ancestor_id")
        .annotate(Count("descendant"))
    )
    above: dict[int, set[int]] = {}
    pairs = Containment.objects.filter(ancestor__in=subjects, descendant__in=works)
    for ancestor, work in pairs.values_list("ancestor_id", "descendant_id"):
        above.setdefault(work, set()).add(ancestor)
    country = set(Subject.objects.filter(pk__in=subjects, kind=Subject.Kind.COUNTRY).values_list("pk", flat=True))
    found: dict[tuple[int, str], list[QualityLimit]] = {}
    for work, its in ((work, above.get(work, set()) | country) for work in works):
        for limit in limits:
            if limit.subject_id in its:
                found.setdefault((work, limit.quantity), []).append(limit)
    for (work, _), its_limits in found.items():
        its_limits.sort(
            key=lambda limit: (
                limit.subject_id != work,
                limit.subject_id in country,
                size.get(limit.subject_id, 0),
                -(limit.valid_from or date.min).toordinal(),
            )
        )
    return found


def load_decisions(channel: int, since_ms: int, until_ms: int) -> dict[int, Decision]:
    """Return what persons said of the steps of a counter that end in [since_ms, until_ms), by that instant."""
    since, until = (datetime.fromtimestamp(at / 1000, LOCAL_ZONE) for at in (since_ms, until_ms))
    marks = TotaliserMark.objects.filter(channel_id=channel, at__gte=since, at__lt=until)
    return {to_ms(at): Decision(What(what), step) for at, what, step in marks.values_list("at", "what", "step_m3")}
