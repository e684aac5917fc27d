"""What the sensors of a work say of a day: volumes, hours of supply, interruptions, quality, energy, availability.

Made from day and hour rollups once a day is over, kept as MeasureFact, and given to the indicators by measures.py. A
day that late data changes is made anew, and its reason goes on into the history of every figure that rests on it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from django.db import transaction
from django.db.models import Q

from machnuoc.core.periods import LOCAL_ZONE, Period
from machnuoc.core.vietnamese import format_date
from machnuoc.indicators import operations as indicator_operations
from machnuoc.indicators.models import DirtyRange, Metric
from machnuoc.telemetry import channel_terms, history, rollups, store
from machnuoc.telemetry.channel_terms import Terms, day_of
from machnuoc.telemetry.models import Channel, MeasureFact
from machnuoc.telemetry.store import DAY_MS, HOUR_MS, OUT_OF_RANGE

Role = Channel.Role

INTERRUPTION_MS = 15 * 60_000  # a dip shorter than this is no interruption of supply
LEAST_HOURS = 12  # a day whose pressure is known for fewer hours gives no hours of supply
LEAST_PEAK_HOURS = 20  # a day with fewer hours measured gives no peak
LEFT_BEHIND = timedelta(minutes=1)  # a mark older than this was left by a request that ended before its figures
FULL_SHARE = 0.9  # with fewer of its expected readings, a day's figure is an estimate

PRODUCED = "telemetry.volume_produced_m3"
SUPPLIED = "telemetry.volume_supplied_m3"
SUPPLY_HOURS = "service.supply_hours"
INTERRUPTIONS = "telemetry.interruptions"
QUALITY_READINGS = "telemetry.quality_readings"
QUALITY_WITHIN = "telemetry.quality_within"
ENERGY = "telemetry.energy_kwh"
PEAK = "telemetry.peak_hour_m3h"
MEAN = "telemetry.mean_hour_m3h"
RECEIVED = "telemetry.readings_received"
EXPECTED = "telemetry.readings_expected"
DECIMALS = {  # of MeasureFact.number
    PRODUCED: 1, SUPPLIED: 1, SUPPLY_HOURS: 2, INTERRUPTIONS: 0, QUALITY_READINGS: 0, QUALITY_WITHIN: 0, ENERGY: 1,
    PEAK: 2, MEAN: 2, RECEIVED: 0, EXPECTED: 0,
}  # fmt: skip
# Metrics made of the facts of another: how many days it has.
DAYS_OF = {
    "telemetry.produced_days": PRODUCED,
    "telemetry.supplied_days": SUPPLIED,
    "service.supply_days": SUPPLY_HOURS,
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of one work and day. weight: of MEAN the hours that its volume (number) was counted in, else 1."""

    number: int
    weight: int = 1
    is_estimated: bool = False
    is_simulated: bool = False
    coverage_pct: int = 100


@dataclass(frozen=True, slots=True)
class Rolled:
    """A rollup of an hour or a day."""

    readings: int
    expected: float
    total: float
    volume: float | None
    within: int | None
    out_of_range: int

    @property
    def true(self) -> int:
        return self.readings - self.out_of_range


Rollups = Mapping[tuple[int, int], Rolled]


def update(days: Sequence[rollups.Day], now_ms: int) -> int:
    """Make the figures of the works of these channel days anew; return how many facts changed.

    Marks the months that changed dirty, with the reason; call recompute_what_waits afterwards.
    """
    terms = channel_terms.load({day.channel for day in days})
    late: dict[int, dict[int, bool]] = defaultdict(dict)
    for day in days:
        its = terms.get(day.channel)
        if its is None:
            continue
        wanted = [day.day]
        if its.role == Role.CONTINUITY and rollups.is_over(day.day + DAY_MS, now_ms):
            wanted.append(day.day + DAY_MS)  # an interruption that began at its end counts in the next day
        for start in wanted:
            late[its.work][start] = late[its.work].get(start, False) or day.is_late
    changed = 0
    all_terms = channel_terms.load_of_works(late)
    for work, its_days in late.items():
        of_work = [one for one in all_terms.values() if one.work == work]
        changed += _update_work(work, of_work, its_days, now_ms)
    return changed


def recompute_what_waits(now_ms: int) -> None:
    """Compute the indicators anew whose days changed, here or in a run that was killed before it came to this.

    What a person's request marked and did not come to compute is done, too, a minute later.
    """
    now = datetime.fromtimestamp(now_ms / 1000, LOCAL_ZONE)
    if DirtyRange.objects.filter(Q(can_wait=True) | Q(marked_at__lt=now - LEFT_BEHIND)).exists():
        indicator_operations.recompute_dirty_in_steps(now)


def _update_work(work: int, terms: Sequence[Terms], days: Mapping[int, bool], now_ms: int) -> int:
    by_day = _read("day", [one.channel for one in terms], days)
    hourly = [one.channel for one in terms if one.role in {Role.CONTINUITY, Role.SUPPLIED}]
    by_hour = _read("hour", hourly, days)
    wanted: dict[tuple[str, date], Figure] = {}
    for day in days:
        for key, figure in figures_of(terms, day, by_day, by_hour).items():
            wanted[key, day_of(day)] = figure
    now = datetime.fromtimestamp(now_ms / 1000, LOCAL_ZONE)
    with transaction.atomic():
        stored = {
            (fact.key, fact.day): fact
            for fact in MeasureFact.objects.select_for_update().filter(
                work_id=work, day__in=[day_of(day) for day in days]
            )
        }
        late_days = {day_of(day) for day, is_late in days.items() if is_late}
        changed = {place for place, figure in wanted.items() if _differs(stored.get(place), figure)}
        gone = {place for place in stored if place not in wanted}
        MeasureFact.objects.filter(pk__in=[stored[place].pk for place in gone | (changed & stored.keys())]).delete()
        MeasureFact.objects.bulk_create(
            [
                MeasureFact(
                    work_id=work, key=key, day=day, number=figure.number, weight=figure.weight,
                    is_estimated=figure.is_estimated, is_simulated=figure.is_simulated,
                    coverage_pct=figure.coverage_pct, computed_at=now,
                    reason=_reason([day], late_days, now) if (key, day) in stored else "",
                )
                for (key, day) in sorted(changed)
                for figure in [wanted[key, day]]
            ]
        )  # fmt: skip
        _mark(changed | gone, stored.keys(), late_days, now)
    return len(changed) + len(gone)


def _differs(fact: MeasureFact | None, figure: Figure) -> bool:
    return fact is None or (
        (fact.number, fact.weight, fact.is_estimated, fact.is_simulated, fact.coverage_pct)
        != (figure.number, figure.weight, figure.is_estimated, figure.is_simulated, figure.coverage_pct)
    )


def _reason(days: Sequence[date], late_days: set[date], now: datetime) -> str:
    late = sorted(set(days) & late_days)
    if not late:
        return "đã tính lại vì giới hạn, hiệu chuẩn hoặc quyết định về số đọc thay đổi"
    which = f"ngày {format_date(late[0])}" + (f" đến {format_date(late[-1])}" if len(late) > 1 else "")
    return f"đã tính lại vì số liệu {which} đến muộn lúc {now:%H:%M} ngày {format_date(now.date())}"


def _mark(
    changed: Iterable[tuple[str, date]], stored: Iterable[tuple[str, date]], late_days: set[date], now: datetime
) -> None:
    """Mark the months of what changed, once each, with the reason that weighs most: late data, then other changes."""
    before = set(stored)
    months: dict[tuple[str, Period], list[date]] = defaultdict(list)
    anew: set[tuple[str, Period]] = set()
    for key, day in changed:
        its_keys = [key, *(days for days, counted in DAYS_OF.items() if counted == key)]
        for metric_key in its_keys:
            place = (metric_key, Period.containing(day, "M"))
            months[place].append(day)
            if (key, day) in before or day in late_days:
                anew.add(place)
    metrics = {metric.key: metric for metric in Metric.objects.filter(key__in={key for key, _ in months})}
    for (metric_key, month), days in sorted(months.items()):
        if metric_key not in metrics:
            continue
        if (metric_key, month) in anew:
            reason = _reason(days, late_days, now)
        else:
            reason = f"số liệu giám sát đến ngày {format_date(max(days))}"
        indicator_operations.mark_dirty(metrics[metric_key], period=month, reason=reason, can_wait=True)


def _read(what: str, channels: Sequence[int], days: Iterable[int]) -> dict[tuple[int, int], Rolled]:
    """Return {(channel, start): rollup} of the hours or days of these days."""
    found: dict[tuple[int, int], Rolled] = {}
    if not channels:
        return found
    marks = ", ".join("?" * len(channels))
    for first, last in _spans(sorted(days)):
        rows = store.query(
            f"SELECT channel, {what}, readings, expected, total, volume, within, out_of_range "  # noqa: S608
            f"FROM telemetry_rollup_{what} WHERE channel IN ({marks}) AND {what} >= ? AND {what} < ?",
            [*channels, first, last + DAY_MS],
        )
        found |= {(row[0], row[1]): Rolled(*row[2:]) for row in rows}
    return found


def _spans(days: Sequence[int]) -> list[tuple[int, int]]:
    """Return the days as spans (first, last) of days in a row."""
    spans: list[tuple[int, int]] = []
    for day in days:
        if spans and spans[-1][1] + DAY_MS == day:
            spans[-1] = (spans[-1][0], day)
        else:
            spans.append((day, day))
    return spans


# --- the figures ------------------------------------------------------------------------------------------------


def figures_of(terms: Sequence[Terms], day: int, by_day: Rollups, by_hour: Rollups) -> dict[str, Figure]:
    """Return {metric key: figure} of one work and day; what cannot be said has no entry.

    terms: of every channel of the work. day: its start, ms UTC.
    """
    found: dict[str, Figure] = {}
    for key, role in ((PRODUCED, Role.PRODUCED), (SUPPLIED, Role.SUPPLIED), (ENERGY, Role.ENERGY)):
        figure = _volume(_with_role(terms, role), day, by_day, DECIMALS[key])
        if figure is not None:
            found[key] = figure
    found |= _peak(_with_role(terms, Role.SUPPLIED), day, by_hour)
    found |= _continuity(_with_role(terms, Role.CONTINUITY), day, by_hour)
    found |= _quality(_with_role(terms, Role.QUALITY), day, by_day)
    found |= _availability([one for one in terms if one.is_active], day, by_day)
    return found


def _with_role(terms: Sequence[Terms], role: str) -> list[Terms]:
    return [one for one in terms if one.role == role]


def _is_simulated(terms: Iterable[Terms]) -> bool:
    return any(one.is_simulated for one in terms)


def _coverage(rows: Iterable[tuple[Terms, Rolled]]) -> float:
    """Return the share of a whole day's readings that came, of the worst channel."""
    return min((min(1.0, row.readings * one.interval_ms / DAY_MS) for one, row in rows), default=0.0)


def _volume(terms: Sequence[Terms], day: int, by_day: Rollups, decimals: int) -> Figure | None:
    """Return the sum of the channels, if every one that was there that day says something."""
    there = [one for one in terms if one.expected(day, day + DAY_MS) > 0]
    rows = [
        (one, row) for one in there if (row := by_day.get((one.channel, day))) is not None and row.volume is not None
    ]
    if not rows or len(rows) < len(there):
        return None
    coverage = _coverage(rows)
    # Of a counter, `within` counts the readings whose step is neither an event nor a gap.
    has_events = any(row.within is not None and row.within < row.true for _, row in rows)
    return Figure(
        round(sum(row.volume or 0.0 for _, row in rows) * 10**decimals),
        is_estimated=coverage < FULL_SHARE or has_events,
        is_simulated=_is_simulated(there),
        coverage_pct=round(100 * coverage),
    )


def _peak(terms: Sequence[Terms], day: int, by_hour: Rollups) -> dict[str, Figure]:
    """Return the largest hour, and the mean hour as volume over hours, from hours in which every channel measured."""
    there = [one for one in terms if one.expected(day, day + DAY_MS) > 0]
    volumes = []
    for hour in range(day, day + DAY_MS, HOUR_MS):
        rows = [by_hour.get((one.channel, hour)) for one in there]
        if rows and all(row is not None and row.true > 0 and row.volume is not None for row in rows):
            volumes.append(sum(row.volume or 0.0 for row in rows if row is not None))
    if len(volumes) < LEAST_PEAK_HOURS:
        return {}
    about = {
        "is_estimated": len(volumes) < 24,
        "is_simulated": _is_simulated(there),
        "coverage_pct": round(100 * len(volumes) / 24),
    }
    scale = 10 ** DECIMALS[PEAK]
    return {
        PEAK: Figure(round(max(volumes) * scale), 1, **about),  # type: ignore[arg-type]
        MEAN: Figure(round(sum(volumes) * scale), len(volumes), **about),  # type: ignore[arg-type]
    }


def _continuity(terms: Sequence[Terms], day: int, by_hour: Rollups) -> dict[str, Figure]:
    """Return hours of supply and interruptions, at the point that is worst off in each hour."""
    there = [one for one in terms if one.held and one.expected(day, day + DAY_MS) > 0]
    shares = []
    for hour in range(day, day + DAY_MS, HOUR_MS):
        rows = [by_hour.get((one.channel, hour)) for one in there]
        known = [(row.within or 0) / row.true for row in rows if row is not None and row.true > 0]
        if known:
            shares.append(min(known))
    if len(shares) < LEAST_HOURS:
        return {}
    about = {
        "is_estimated": len(shares) < 24,
        "is_simulated": _is_simulated(there),
        "coverage_pct": round(100 * len(shares) / 24),
    }
    hours = 24 * sum(shares) / len(shares)
    count = max(count_interruptions(one, day) for one in there)
    return {
        SUPPLY_HOURS: Figure(round(hours * 10 ** DECIMALS[SUPPLY_HOURS]), 1, **about),  # type: ignore[arg-type]
        INTERRUPTIONS: Figure(count, 1, **about),  # type: ignore[arg-type]
    }


def count_interruptions(terms: Terms, day: int) -> int:
    """Return how often the readings stayed below the minimum for INTERRUPTION_MS, counted where that time was up."""
    found = history.read_raw(terms.channel, day - 4 * INTERRUPTION_MS, day + DAY_MS)
    true = (found.quality & OUT_OF_RANGE) == 0
    at, value = found.at[true], found.value[true]
    held = terms.held_at(day)
    if not len(at) or held is None:
        return 0
    is_low = value < held.low
    breaks = np.diff(at, prepend=at[0]) > max(terms.gap_ms, INTERRUPTION_MS)  # of what lies in a gap nothing is known
    starts = np.flatnonzero(is_low & (np.r_[True, ~is_low[:-1]] | breaks))
    count = 0
    for start in starts.tolist():
        after = np.flatnonzero(~is_low[start:] | np.r_[False, breaks[start + 1 :]])
        end = start + int(after[0]) if len(after) else len(at) - 1
        lasted = at[end] - at[start] if not breaks[end] else at[end - 1] - at[start]
        if (
            lasted >= INTERRUPTION_MS
            and day <= at[start] + INTERRUPTION_MS < day + DAY_MS
            and (start > 0 or at[start] >= day)
        ):
            count += 1
    return count


def _quality(terms: Sequence[Terms], day: int, by_day: Rollups) -> dict[str, Figure]:
    """Return how many readings were held against a limit, and how many kept it."""
    rows = [(one, row) for one in terms if (row := by_day.get((one.channel, day))) is not None]
    judged = [(one, row) for one, row in rows if row.within is not None and row.true > 0]
    if not judged:
        return {}
    coverage = _coverage(judged)
    about = {
        "is_estimated": coverage < FULL_SHARE,
        "is_simulated": _is_simulated(one for one, _ in judged),
        "coverage_pct": round(100 * coverage),
    }
    return {
        QUALITY_READINGS: Figure(sum(row.true for _, row in judged), 1, **about),  # type: ignore[arg-type]
        QUALITY_WITHIN: Figure(sum(row.within or 0 for _, row in judged), 1, **about),  # type: ignore[arg-type]
    }


def _availability(terms: Sequence[Terms], day: int, by_day: Rollups) -> dict[str, Figure]:
    """Return how many readings came and should have come; a channel that sends more than it should counts as full."""
    received = expected = 0.0
    for one in terms:
        wanted = one.expected(day, day + DAY_MS)
        row = by_day.get((one.channel, day))
        expected += wanted
        received += min(wanted, row.readings if row is not None else 0)
    if expected < 1:
        return {}
    simulated = _is_simulated(terms)
    return {
        RECEIVED: Figure(round(received), is_simulated=simulated),
        EXPECTED: Figure(round(expected), is_simulated=simulated),
    }
