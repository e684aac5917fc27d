"""Keeps the alarms equal to what the rules say of the stored readings.

Driven by `telemetry_dirty_alarm` (written in the transaction that stores readings) and, for rules that time alone can
trip, by the clock. A round first takes the marks that wait, into `telemetry_judged_alarm`: a channel that never rests
is marked again from its next reading, not from the first of all. For each rule concerned it reads no more than
alarm_rules.list_windows asks for, judges, and brings the rows of Alarm in line in one transaction of the main database;
only then are the marks that it took deleted. A crash between the two costs a second look that finds nothing to change.

One process runs this at a time (watching.py holds a lock). What it keeps in memory only saves work: a process that
starts afresh judges the same.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
from django.db import transaction
from django.db.models import Count, Max, Q, Sum

from machnuoc.core import units
from machnuoc.telemetry import alarm_rules as rules
from machnuoc.telemetry import archive, history, store
from machnuoc.telemetry.models import Alarm, AlarmRule, AlarmStep, Channel, RuleProgress
from machnuoc.telemetry.quantities import QUANTITIES

RELOAD_AFTER_MS = 30_000  # channels may change without their rules; rules themselves are looked at in every round
ROWS_AT_ONCE = 4_000
RULES_AT_ONCE = 500
PROGRESS_EVERY_MS = 60_000
LATE_AFTER_S = 900
FLAPPING_RAISES = 5
FLAPPING_WINDOW = timedelta(minutes=60)
CAUSE_SLACK = timedelta(minutes=10)
STATION_SLACK = timedelta(minutes=30)
_AHEAD_MS = 600_000  # clocks of devices may be five minutes ahead
_CLOCKED = {"SILENCE", "PUMP_CYCLING", "NIGHT_FLOW"}
_WINDOWED = {"PATTERN", "NIGHT_FLOW"}


@dataclass(frozen=True)
class Watched:
    """A rule in use, with what is needed of its channels."""

    id: int
    version: int
    rule: rules.Rule
    channels: tuple[int, ...]
    words: Mapping[int, Mapping[str, Any]]
    interval_s: float
    device_id: int
    work_id: int
    priority: int


@dataclass
class _Memory:
    watched: dict[int, Watched] = field(default_factory=dict)
    by_channel: dict[int, list[Watched]] = field(default_factory=dict)
    stamp: tuple[Any, ...] = ()
    archived_ms: int = rules.NEVER  # readings before it may be in the archive
    loaded_ms: int = -RELOAD_AFTER_MS
    judged_ms: dict[int, int] = field(default_factory=dict)  # rule → its newest reading that was judged
    states: dict[int, rules.State] = field(default_factory=dict)  # rule → the episode that runs
    due_ms: dict[int, int] = field(default_factory=dict)  # rule → when the clock may change its verdict
    progress: dict[int, tuple[int, int, str]] = field(default_factory=dict)  # rule → version, written at, note
    unread: set[int] = field(default_factory=set)  # rules that were never judged in this version


_memory = _Memory()


def forget() -> None:
    """Drop what this process remembers."""
    global _memory
    _memory = _Memory()


def to_ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def to_datetime(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


# --- one round ------------------------------------------------------------------------------------------------------


def run_once(now: datetime, *, limit: int = ROWS_AT_ONCE) -> int:
    """Judge what readings or the clock have touched, and return how many alarms changed.

    limit: dirty channels taken in this round; the others keep waiting.
    """
    try:
        return _round(now, limit)
    except BaseException:
        forget()  # what is remembered may be ahead of what was written
        raise


def _round(now: datetime, limit: int) -> int:
    now_ms = to_ms(now)
    _refresh(now, now_ms)
    dirty = _take_marks(limit)
    changed_ms: dict[int, int] = {}
    for channel, from_at in dirty:
        for one in _memory.by_channel.get(channel, ()):
            changed_ms[one.id] = min(from_at, changed_ms.get(one.id, from_at))
    due = [rule_id for rule_id, at in _memory.due_ms.items() if at <= now_ms and rule_id not in changed_ms]
    unread = [rule_id for rule_id in _memory.unread if rule_id in _memory.watched]
    waiting = list(dict.fromkeys([*changed_ms, *due, *unread]))
    changes = 0
    for begin in range(0, len(waiting), RULES_AT_ONCE):
        batch = [_memory.watched[rule_id] for rule_id in waiting[begin : begin + RULES_AT_ONCE]]
        changes += _judge_batch(batch, changed_ms, now, now_ms)
    if dirty:
        with store.transaction() as cursor:
            cursor.execute("DELETE FROM telemetry_judged_alarm")
    return changes


def _refresh(now: datetime, now_ms: int) -> None:
    """Load the rules again if one of them changed, or their channels may have."""
    memory = _memory
    found = AlarmRule.objects.aggregate(
        n=Count("pk"), top=Max("pk"), versions=Sum("version"), on=Count("pk", filter=Q(is_enabled=True))
    )
    stamp = tuple(found.values())
    if stamp == memory.stamp and now_ms - memory.loaded_ms < RELOAD_AFTER_MS:
        return
    watched = {one.id: one for one in load_rules()}
    progress = dict(RuleProgress.objects.values_list("rule_id", "rule_version"))
    for rule_id, one in watched.items():
        before = memory.watched.get(rule_id)
        if progress.get(rule_id) != one.version:
            memory.unread.add(rule_id)
        if before is None or before != one:
            for kept in (memory.judged_ms, memory.states, memory.due_ms):
                kept.pop(rule_id, None)
            if one.rule.kind in _CLOCKED:
                memory.due_ms[rule_id] = 0
    for gone in memory.watched.keys() - watched.keys():
        for kept in (memory.judged_ms, memory.states, memory.due_ms):
            kept.pop(gone, None)
        memory.unread.discard(gone)
    memory.watched = watched
    memory.by_channel = defaultdict(list)
    for one in watched.values():
        for channel in one.channels:
            memory.by_channel[channel].append(one)
    memory.stamp, memory.loaded_ms = stamp, now_ms
    memory.archived_ms = max((month.to_ms for month in archive.list_months()), default=rules.NEVER)
    _close_unwatched(now)


def load_rules(rule_ids: Iterable[int] | None = None) -> list[Watched]:
    """Return the rules in use (of those ids): enabled, in service, on a channel and device in use."""
    chosen = AlarmRule.objects.filter(
        is_enabled=True, out_of_service_reason="", channel__is_active=True, channel__device__removed_at__isnull=True
    ).select_related("channel__device")
    if rule_ids is not None:
        chosen = chosen.filter(pk__in=rule_ids)
    others: dict[int, list[Channel]] = defaultdict(list)
    links = (
        AlarmRule.others.through.objects.filter(alarmrule__in=chosen).select_related("channel").order_by("channel_id")
    )
    for link in links:
        others[link.alarmrule_id].append(link.channel)
    found = []
    for row in chosen:
        channels = {row.channel_id: row.channel} | {one.pk: one for one in others.get(row.pk, ())}
        found.append(
            Watched(
                row.pk,
                row.version,
                rules.Rule(
                    row.kind,
                    row.channel_id,
                    row.parameters,
                    row.on_delay_s,
                    row.off_delay_s,
                    rules.NEVER if row.applies_from is None else to_ms(row.applies_from),
                ),
                tuple(channels),
                {key: _words(one) for key, one in channels.items()},
                float(row.channel.expected_interval_s),
                row.channel.device_id,
                row.channel.device.work_id,
                row.priority,
            )
        )
    return found


def _close_unwatched(now: datetime) -> None:
    """End the alarms of rules that are no longer in use: nobody would ever see them return."""
    open_rules = set(Alarm.objects.filter(ended_at__isnull=True, is_withdrawn=False).values_list("rule_id", flat=True))
    gone = open_rules - _memory.watched.keys()
    if not gone:
        return
    with transaction.atomic():
        rows = Alarm.objects.select_for_update().filter(rule_id__in=gone, ended_at__isnull=True, is_withdrawn=False)
        for alarm in rows:
            is_acked = alarm.state == Alarm.State.ACTIVE_ACKED
            alarm.state = Alarm.State.NORMAL if is_acked else Alarm.State.RETURNED_UNACKED
            alarm.ended_at = alarm.changed_at = max(now, alarm.began_at)
            alarm.save(update_fields=["state", "ended_at", "changed_at"])
            _step(alarm, AlarmStep.What.RETURNED, now, "Thôi báo vì quy tắc, kênh hoặc thiết bị không còn dùng.")


def _words(channel: Channel) -> dict[str, Any]:
    quantity = QUANTITIES[channel.quantity]
    return {
        "interval_s": float(channel.expected_interval_s),
        "label": channel.name,
        "unit": units.label(quantity.unit),
        "decimals": quantity.decimals,
        "capacity_m3": channel.capacity_m3,
        "full_at": channel.full_at,
    }


def _take_marks(limit: int) -> list[tuple[int, int]]:
    """Take so many marks, and return them as (channel, earliest instant), with those that a dead process had taken."""
    if store.query("SELECT 1 FROM telemetry_dirty_alarm LIMIT 1"):
        which = "SELECT channel FROM telemetry_dirty_alarm ORDER BY channel LIMIT ?"
        if store.is_postgresql():
            which += " FOR UPDATE"  # who stores readings raises marks in this order, too
        with store.transaction() as cursor:
            cursor.execute(
                store.adapt(
                    f"DELETE FROM telemetry_dirty_alarm WHERE channel IN ({which}) RETURNING channel, from_at"  # noqa: S608
                ),
                (limit,),
            )
            cursor.executemany(
                store.adapt(
                    "INSERT INTO telemetry_judged_alarm (channel, from_at) VALUES (?, ?) "
                    "ON CONFLICT (channel) DO UPDATE SET from_at = "
                    "CASE WHEN excluded.from_at < telemetry_judged_alarm.from_at THEN excluded.from_at "
                    "ELSE telemetry_judged_alarm.from_at END"
                ),
                cursor.fetchall(),
            )
    return [(row[0], row[1]) for row in store.query("SELECT channel, from_at FROM telemetry_judged_alarm")]


# --- reading --------------------------------------------------------------------------------------------------------


def _last_before(pairs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Return {(channel, instant): its last believable reading before}, without those that have none."""
    found = _last_hot_before(pairs)
    if _memory.archived_ms > rules.NEVER:
        for pair in pairs:
            if found.get(pair, rules.NEVER) < _memory.archived_ms:  # a later one may be in the archive
                earlier = history.instants_before(*pair, 1)
                if earlier:
                    found[pair] = earlier[0]
    return found


def _last_hot_before(pairs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
    if not pairs:
        return {}
    sql = "SELECT at FROM telemetry_reading WHERE channel = ? AND at < ? AND (quality & 1) = 0 ORDER BY at DESC LIMIT 1"
    if store.is_postgresql():
        rows = store.query(
            "SELECT w.c, w.t, r.at FROM unnest(?::int[], ?::bigint[]) AS w(c, t) CROSS JOIN LATERAL (SELECT at FROM "
            "telemetry_reading WHERE channel = w.c AND at < w.t AND (quality & 1) = 0 ORDER BY at DESC LIMIT 1) r",
            [[pair[0] for pair in pairs], [pair[1] for pair in pairs]],
        )
        return {(row[0], row[1]): row[2] for row in rows}
    cursor = store.connect().cursor()
    found = {}
    for pair in pairs:
        row = cursor.execute(sql, pair).fetchone()
        if row is not None:
            found[pair] = row[0]
    cursor.close()
    return found


_Columns = tuple[rules.Ints, rules.Floats, rules.Bools]
_EMPTY: _Columns = (np.empty(0, np.int64), np.empty(0), np.empty(0, np.bool_))


def _read(spans: Sequence[tuple[int, int, int]]) -> dict[tuple[int, int, int], _Columns]:
    """Return the readings of each (channel, from, to), half-open, by time; spans without readings are left out."""
    found: dict[tuple[int, int, int], _Columns] = {}
    for span in [span for span in spans if span[1] < _memory.archived_ms]:
        raw = history.read_raw(*span)
        if len(raw):
            found[span] = raw.at, raw.value, (raw.quality & store.OUT_OF_RANGE) == 0
    return found | _read_hot([span for span in spans if span[1] >= _memory.archived_ms])


def _read_hot(spans: Sequence[tuple[int, int, int]]) -> dict[tuple[int, int, int], _Columns]:
    found: dict[tuple[int, int, int], _Columns] = {}
    if not spans:
        return found
    if store.is_postgresql():
        grouped: dict[int, list[tuple[int, float, int]]] = defaultdict(list)
        for number, at, value, quality in store.query(
            "SELECT w.n, r.at, r.value, r.quality FROM unnest(?::int[], ?::int[], ?::bigint[], ?::bigint[]) "
            "AS w(n, c, f, t) CROSS JOIN LATERAL (SELECT at, value, quality FROM telemetry_reading "
            "WHERE channel = w.c AND at >= w.f AND at < w.t ORDER BY at) r",
            [list(range(len(spans))), *([span[n] for span in spans] for n in range(3))],
        ):
            grouped[number].append((at, value, quality))
        return {spans[number]: _columns(rows) for number, rows in grouped.items()}
    cursor = store.connect().cursor()
    sql = "SELECT at, value, quality FROM telemetry_reading WHERE channel = ? AND at >= ? AND at < ? ORDER BY at"
    for span in spans:
        rows = cursor.execute(sql, span).fetchall()
        if rows:
            found[span] = _columns(rows)
    cursor.close()
    return found


def _columns(rows: Sequence[tuple[int, float, int]]) -> _Columns:
    at, value, quality = zip(*rows, strict=True)
    return np.array(at, np.int64), np.array(value), (np.array(quality, np.int64) & store.OUT_OF_RANGE) == 0


def _joined(parts: Sequence[_Columns]) -> _Columns:
    if len(parts) == 1:
        return parts[0]
    return (
        np.concatenate([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]),
        np.concatenate([part[2] for part in parts]),
    )


# --- judging a batch ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Finding:
    one: Watched
    known: list[Alarm]
    found: list[rules.Episode]


def _judge_batch(batch: Sequence[Watched], changed_ms: Mapping[int, int], now: datetime, now_ms: int) -> int:
    memory = _memory
    end_ms = now_ms + _AHEAD_MS
    from_ms = {one.id: changed_ms.get(one.id, end_ms) for one in batch}
    for one in batch:
        if one.id in memory.unread:
            from_ms[one.id] = one.rule.since_ms
    pairs = list({(one.rule.channel, from_ms[one.id]) for one in batch if from_ms[one.id] > rules.NEVER})
    before = _last_before(pairs)
    alarms = _known_alarms(batch, from_ms, before, now_ms)
    starts: dict[int, rules.Start] = {}
    spans: dict[int, dict[int, list[tuple[int, int, int]]]] = {}
    wanted: dict[tuple[int, int, int], None] = {}
    for one in batch:
        known = [_known(alarm) for alarm in alarms.get(one.id, ())]
        is_unread = one.id in memory.unread
        start = rules.start_of(
            one.rule,
            known,
            changed_ms=from_ms[one.id],
            before_ms=None if is_unread else before.get((one.rule.channel, from_ms[one.id])),
            is_append=one.id in memory.states and from_ms[one.id] > memory.judged_ms.get(one.id, end_ms),
        )
        if start.from_ms == rules.NEVER and one.rule.kind in _WINDOWED:
            start = rules.Start(_first_reading_ms(one.rule.channel, end_ms), rules.NEVER)
        starts[one.id] = start
        windows = rules.list_windows(one.rule, one.interval_s, start.from_ms, now_ms)
        last = windows[-1][1] if one.rule.kind == "NIGHT_FLOW" and windows else end_ms
        spans[one.id] = {
            channel: [
                (channel, begin, last if index == len(windows) - 1 else end)
                for index, (begin, end) in enumerate(windows)
            ]
            for channel in one.channels
        }
        for listed in spans[one.id].values():
            wanted.update(dict.fromkeys(listed))
    readings = _read(list(wanted))
    findings: list[_Finding] = []
    progress: list[RuleProgress] = []
    for one in batch:
        tracks = {}
        newest = memory.judged_ms.get(one.id, rules.NEVER)
        for channel, listed in spans[one.id].items():
            parts = [readings[span] for span in listed if span in readings]
            at, value, is_believable = _joined(parts) if parts else _EMPTY
            if len(at):
                newest = max(newest, int(at[-1]))
            tracks[channel] = rules.Track(
                at, value, is_believable, **one.words[channel], earlier=partial(_last_reading_ms, channel)
            )
        start = starts[one.id]
        verdict = rules.judge(
            one.rule,
            tracks,
            from_ms=start.from_ms,
            until_ms=max(now_ms, newest),
            state=memory.states.get(one.id) if start.is_from_state else None,
        )
        found = rules.settled_out(one.rule, start, verdict.episodes)
        known_rows = {to_ms(alarm.began_at): alarm for alarm in alarms.get(one.id, ())}
        concerned = rules.open_to_change(one.rule, start, [_known(alarm) for alarm in known_rows.values()])
        known_concerned = [known_rows[known.began_ms] for known in concerned]
        if found or known_concerned:
            findings.append(_Finding(one, known_concerned, found))
        _remember(one, verdict, found, newest, now_ms)
        written = memory.progress.get(one.id)
        if one.id in memory.unread or written is None or now_ms - written[1] >= PROGRESS_EVERY_MS:
            progress.append(
                RuleProgress(rule_id=one.id, judged_to=now, rule_version=one.version, note=verdict.note[:200])
            )
    changes = _write(findings, progress, now, now_ms)
    for row in progress:
        memory.progress[row.rule_id] = row.rule_version, now_ms, row.note
        memory.unread.discard(row.rule_id)
    return changes


def _remember(one: Watched, verdict: rules.Verdict, found: Sequence[rules.Episode], newest: int, now_ms: int) -> None:
    memory = _memory
    if newest > rules.NEVER:
        memory.judged_ms[one.id] = newest
    running = found[-1] if found and found[-1].ended_ms is None else None
    if running is None:
        memory.states.pop(one.id, None)
    else:
        memory.states[one.id] = rules.State(
            running.began_ms, running.peak, running.peak_ms, running.severity, running.confirmed_ms
        )
    if one.rule.kind in _CLOCKED:
        if verdict.next_check_ms is None:
            memory.due_ms.pop(one.id, None)
        else:
            memory.due_ms[one.id] = max(verdict.next_check_ms, now_ms + 1)


def _first_reading_ms(channel: int, otherwise_ms: int) -> int:
    found = history.instants_from(channel, 0, 1)
    return found[0] if found else otherwise_ms


def _last_reading_ms(channel: int, before_ms: int) -> int | None:
    found = history.instants_before(channel, before_ms, 1)
    return found[0] if found else None


def _known(alarm: Alarm) -> rules.Known:
    ended_ms = None if alarm.ended_at is None else to_ms(alarm.ended_at)
    return rules.Known(to_ms(alarm.began_at), ended_ms, alarm.peak or 0.0)


def _known_alarms(
    batch: Sequence[Watched],
    from_ms: Mapping[int, int],
    before: Mapping[tuple[int, int], int],
    now_ms: int,
) -> dict[int, list[Alarm]]:
    """Return the alarms of each rule that judging may touch, by beginning: those not over well before the change."""
    bounds: dict[int, int] = {}
    for one in batch:
        at = before.get((one.rule.channel, from_ms[one.id]), rules.NEVER)
        if one.id in _memory.unread:
            at = rules.NEVER
        bounds[one.id] = max(at - one.rule.off_delay_ms, one.rule.since_ms) if at > rules.NEVER else one.rule.since_ms
    found: dict[int, list[Alarm]] = defaultdict(list)
    recent_ms = now_ms - 6 * store.HOUR_MS
    groups = (
        [rule_id for rule_id, bound in bounds.items() if bound >= recent_ms],
        [rule_id for rule_id, bound in bounds.items() if bound < recent_ms],
    )
    for group in groups:
        if not group:
            continue
        earliest = min(bounds[rule_id] for rule_id in group)
        rows = Alarm.objects.filter(rule_id__in=group, is_withdrawn=False)
        if earliest > 0:
            rows = rows.filter(Q(ended_at__isnull=True) | Q(ended_at__gte=to_datetime(earliest)))
        for alarm in rows.order_by("rule_id", "began_at"):
            if to_ms(alarm.began_at) >= _memory.watched[alarm.rule_id].rule.since_ms:
                found[alarm.rule_id].append(alarm)
    return found


# --- bringing the rows in line --------------------------------------------------------------------------------------


@dataclass
class _Plan:
    withdraw: list[Alarm] = field(default_factory=list)
    update: list[tuple[Alarm, rules.Episode]] = field(default_factory=list)
    make: list[rules.Episode] = field(default_factory=list)


def match(known: Sequence[Alarm], found: Sequence[rules.Episode]) -> _Plan:
    """Return which stored alarm each episode is: by its beginning, else by overlap; the rest are new or withdrawn."""
    plan = _Plan()
    by_beginning = {to_ms(alarm.began_at): alarm for alarm in known}
    taken: set[int] = set()
    loose = []
    for episode in found:
        alarm = by_beginning.get(episode.began_ms)
        if alarm is None:
            loose.append(episode)
        else:
            taken.add(alarm.pk)
            plan.update.append((alarm, episode))
    for episode in loose:
        alarm = next((one for one in known if one.pk not in taken and _overlap(one, episode)), None)
        if alarm is None:
            plan.make.append(episode)
        else:
            taken.add(alarm.pk)
            plan.update.append((alarm, episode))
    plan.withdraw = [alarm for alarm in known if alarm.pk not in taken]
    plan.update = [(alarm, episode) for alarm, episode in plan.update if _differs(alarm, episode)]
    plan.update.sort(key=lambda pair: pair[1].ended_ms is None)  # one may be open a rule: close before opening
    return plan


def _overlap(alarm: Alarm, episode: rules.Episode) -> bool:
    known = _known(alarm)
    return (known.ended_ms is None or episode.began_ms <= known.ended_ms) and (
        episode.ended_ms is None or known.began_ms <= episode.ended_ms
    )


def _differs(alarm: Alarm, episode: rules.Episode) -> bool:
    known = _known(alarm)
    return (known.began_ms, known.ended_ms) != (episode.began_ms, episode.ended_ms) or alarm.peak != episode.peak


def _write(findings: Sequence[_Finding], progress: Sequence[RuleProgress], now: datetime, now_ms: int) -> int:
    plans = [(finding.one, match(finding.known, finding.found)) for finding in findings]
    plans = [(one, plan) for one, plan in plans if plan.withdraw or plan.update or plan.make]
    if not plans and not progress:
        return 0
    changes = 0
    raised: list[tuple[Watched, Alarm]] = []
    with transaction.atomic():
        for one, plan in plans:
            touched = [*plan.withdraw, *(alarm for alarm, _ in plan.update)]
            # Somebody may be acknowledging one of these at this moment: their state is read again under the lock.
            fresh = {
                row.pk: row for row in Alarm.objects.select_for_update().filter(pk__in=[row.pk for row in touched])
            }
            for alarm in plan.withdraw:
                _withdraw(fresh[alarm.pk], one, now)
            for alarm, episode in plan.update:
                _update(fresh[alarm.pk], episode, one, now, now_ms)
            for episode in plan.make:
                raised.append((one, _raise(episode, one, now, now_ms)))
            changes += len(touched) + len(plan.make)
        if raised:
            _mark_flapping(raised, now)
            find_causes({one.work_id for one, _ in raised})
        if progress:
            RuleProgress.objects.bulk_create(
                progress,
                update_conflicts=True,
                unique_fields=["rule"],
                update_fields=["judged_to", "rule_version", "note"],
            )
    return changes


def _step(alarm: Alarm, what: str, now: datetime, text: str = "") -> None:
    AlarmStep.objects.create(alarm=alarm, what=what, at=now, text=text[:500])


def _moment(at_ms: int) -> str:
    return rules.moment_text(at_ms)


def _raise(episode: rules.Episode, one: Watched, now: datetime, now_ms: int) -> Alarm:
    late_after_ms = max(2 * one.interval_s, LATE_AFTER_S) * 1000
    is_late = now_ms - episode.confirmed_ms > late_after_ms
    state = Alarm.State.ACTIVE_UNACKED
    if episode.ended_ms is not None:
        is_old_news = is_late and one.priority > AlarmRule.Priority.HIGH
        state = Alarm.State.NORMAL if is_old_news else Alarm.State.RETURNED_UNACKED
    values = {
        "work_id": one.work_id,
        "raised_at": now,
        "ended_at": None if episode.ended_ms is None else to_datetime(episode.ended_ms),
        "state": state,
        "priority": one.priority,
        "peak": episode.peak,
        "text": episode.text[:300],
        "is_late": is_late,
        "changed_at": now,
    }
    began_at = to_datetime(episode.began_ms)
    alarm = Alarm.objects.filter(rule_id=one.id, began_at=began_at, is_withdrawn=True).order_by("-pk").first()
    late_text = "Phát hiện từ số liệu đến muộn. " if is_late else ""
    if alarm is not None:  # withdrawn before: the same occurrence, found again
        for key, value in values.items():
            if key != "raised_at":
                setattr(alarm, key, value)
        alarm.is_withdrawn = False
        if alarm.acked_at is not None:
            alarm.state = Alarm.State.ACTIVE_ACKED if episode.ended_ms is None else Alarm.State.NORMAL
        alarm.save()
        _step(alarm, AlarmStep.What.RECOMPUTED, now, f"Đã tính lại vì số liệu đến muộn: có thật. {episode.text}")
        return alarm
    alarm = Alarm.objects.create(rule_id=one.id, began_at=began_at, **values)
    _step(alarm, AlarmStep.What.RAISED, now, f"{late_text}{episode.text}")
    if episode.ended_ms is not None:
        _step(alarm, AlarmStep.What.RETURNED, now, f"Trở lại bình thường lúc {_moment(episode.ended_ms)}.")
    return alarm


def _withdraw(alarm: Alarm, one: Watched, now: datetime) -> None:
    is_new_version = one.id in _memory.unread
    why = "quy tắc đã đổi" if is_new_version else "số liệu đến muộn"
    alarm.is_withdrawn = True
    alarm.state = Alarm.State.NORMAL
    alarm.ended_at = alarm.ended_at or now
    alarm.changed_at = now
    alarm.save(update_fields=["is_withdrawn", "state", "ended_at", "changed_at"])
    _step(alarm, AlarmStep.What.RECOMPUTED, now, f"Đã tính lại vì {why}: không còn là cảnh báo, rút lại.")


def _update(alarm: Alarm, episode: rules.Episode, one: Watched, now: datetime, now_ms: int) -> None:
    before = _known(alarm)
    ended_at = None if episode.ended_ms is None else to_datetime(episode.ended_ms)
    recomputed = []
    if before.began_ms != episode.began_ms:
        recomputed.append(f"bắt đầu {_moment(episode.began_ms)} thay cho {_moment(before.began_ms)}")
    if before.ended_ms is not None and before.ended_ms != episode.ended_ms:
        now_ends = "vẫn đang báo" if episode.ended_ms is None else f"kết thúc {_moment(episode.ended_ms)}"
        recomputed.append(f"{now_ends} thay cho kết thúc {_moment(before.ended_ms)}")
    alarm.began_at, alarm.ended_at = to_datetime(episode.began_ms), ended_at
    alarm.peak, alarm.text = episode.peak, (episode.text or alarm.text)[:300]
    alarm.changed_at = now
    states = Alarm.State
    if ended_at is not None:
        if alarm.state == states.ACTIVE_UNACKED:
            alarm.state = states.RETURNED_UNACKED
        elif alarm.state == states.ACTIVE_ACKED:
            alarm.state = states.NORMAL
    elif alarm.state in {states.RETURNED_UNACKED, states.NORMAL}:
        alarm.state = states.ACTIVE_UNACKED if alarm.acked_at is None else states.ACTIVE_ACKED
    alarm.save(update_fields=["began_at", "ended_at", "peak", "text", "changed_at", "state"])
    if recomputed:
        _step(alarm, AlarmStep.What.RECOMPUTED, now, f"Đã tính lại vì số liệu đến muộn: {'; '.join(recomputed)}.")
    if before.ended_ms is None and episode.ended_ms is not None:
        _step(alarm, AlarmStep.What.RETURNED, now, f"Trở lại bình thường lúc {_moment(episode.ended_ms)}.")


# --- one alarm instead of many --------------------------------------------------------------------------------------


def _mark_flapping(raised: Sequence[tuple[Watched, Alarm]], now: datetime) -> None:
    """Say of a rule that goes on and off that it does: one alarm speaks for its raises of the hour."""
    for one, alarm in raised:
        recent = list(
            Alarm.objects.filter(
                rule_id=one.id,
                is_withdrawn=False,
                began_at__gt=alarm.began_at - FLAPPING_WINDOW,
                began_at__lte=alarm.began_at,
            ).order_by("began_at")
        )
        if len(recent) < FLAPPING_RAISES:
            continue
        leader = next((row for row in recent if row.is_flapping and row.cause_id is None and row.pk != alarm.pk), None)
        Alarm.objects.filter(pk=alarm.pk).update(is_flapping=True, cause=leader, changed_at=now)
        if leader is None:
            text = (
                f"Chập chờn: {len(recent)} lần trong {FLAPPING_WINDOW.seconds // 60} phút; không gọi thêm cho từng lần."
            )
            _step(alarm, AlarmStep.What.NOTED, now, text)
            earlier = [row.pk for row in recent if row.pk != alarm.pk and row.cause_id is None]
            Alarm.objects.filter(pk__in=earlier).update(cause=alarm, changed_at=now)


@dataclass(frozen=True)
class _Silence:
    alarm: Alarm
    silent_since: datetime
    interval: timedelta
    device_id: int


def find_causes(work_ids: Iterable[int]) -> int:
    """Make silences consequences of what explains them, and return how many: power lost, or their device's silence.

    The silence of a channel is explained by power lost at its work; otherwise the first silence of its device speaks
    for those that began together; otherwise, where every device of a work is silent, the first of them speaks for all.
    """
    silent = [one for one in _memory.watched.values() if one.rule.kind == "SILENCE" and one.work_id in set(work_ids)]
    by_rule = {one.id: one for one in silent}
    if not by_rule:
        return 0
    rows = list(
        Alarm.objects.filter(rule_id__in=by_rule, is_withdrawn=False, ended_at__isnull=True, is_flapping=False)
        .select_related("cause__rule")
        .order_by("began_at", "pk")
    )
    if not rows:
        return 0
    since = min(row.began_at for row in rows) - timedelta(days=1)
    lost: dict[int, list[Alarm]] = defaultdict(list)
    power = Alarm.objects.filter(
        rule__kind=AlarmRule.Kind.POWER_LOSS, work_id__in=set(work_ids), is_withdrawn=False
    ).filter(Q(ended_at__isnull=True) | Q(ended_at__gte=since))
    for alarm in power.order_by("began_at"):
        lost[alarm.work_id].append(alarm)
    changes: dict[int, int] = {}
    leaders: dict[int, list[_Silence]] = defaultdict(list)  # device → who speaks for a spell
    for row in rows:
        one = by_rule[row.rule_id]
        grace = timedelta(milliseconds=rules.grace_ms(one.rule, one.interval_s))
        this = _Silence(row, row.began_at - grace, timedelta(seconds=one.interval_s), one.device_id)
        cause = next(
            (
                alarm
                for alarm in lost[row.work_id]
                if alarm.began_at <= row.began_at
                and (alarm.ended_at is None or alarm.ended_at >= this.silent_since - CAUSE_SLACK)
            ),
            None,
        )
        if cause is None:
            first = next((lead for lead in leaders[one.device_id] if _together(lead, this)), None)
            if first is None:
                leaders[one.device_id].append(this)
            else:
                cause = first.alarm
        if cause is not None and row.cause_id != cause.pk:
            changes[row.pk] = cause.pk
    for work_id in set(work_ids):
        changes |= _silent_station(work_id, silent, {row.rule_id for row in rows}, leaders)
    # What follows an alarm that itself follows another follows that one: causes are never two deep.
    for consequence, cause_id in list(changes.items()):
        changes[consequence] = changes.get(cause_id, cause_id)
    for consequence, cause_id in changes.items():
        Alarm.objects.filter(pk=consequence).update(cause_id=cause_id)
        Alarm.objects.filter(cause_id=consequence).exclude(pk=cause_id).update(cause_id=cause_id)
    return len(changes)


def _together(lead: _Silence, other: _Silence) -> bool:
    return abs(lead.silent_since - other.silent_since) <= 1.5 * max(lead.interval, other.interval)


def _silent_station(
    work_id: int, silent: Sequence[Watched], quiet: set[int], leaders: Mapping[int, Sequence[_Silence]]
) -> dict[int, int]:
    """Return {alarm: cause} where all channels of all devices of the work fell silent together. quiet: rules."""
    ruled: dict[int, set[int]] = defaultdict(set)
    for one in silent:
        if one.work_id == work_id:
            ruled[one.device_id].add(one.id)
    whole = [device for device, rule_ids in ruled.items() if rule_ids <= quiet]
    if len(ruled) < 2 or len(whole) < len(ruled):
        return {}
    spells = [spell for device in whole for spell in leaders.get(device, ())]
    last = max((one.silent_since for one in spells), default=None)
    spells = [one for one in spells if last is not None and one.silent_since >= last - STATION_SLACK]
    if {one.device_id for one in spells} != set(whole):
        return {}
    spells.sort(key=lambda one: (one.alarm.began_at, one.alarm.pk))
    return {one.alarm.pk: spells[0].alarm.pk for one in spells[1:] if one.alarm.cause_id != spells[0].alarm.pk}
