"""Alarms as people see them, within their scope: what stands open, what was, and how good the rules are."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, Count, Exists, F, IntegerField, Max, OuterRef, Q, QuerySet, Value, When
from django.utils import timezone

from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.telemetry.models import Alarm, AlarmRule, Maintenance, Shelving

LINGER = timedelta(minutes=10)  # a consequence speaks for itself so long after its cause is over
FLAPPING_QUIET = timedelta(minutes=60)
STANDING_AFTER = timedelta(hours=24)
CHATTERING_RAISES = 3  # in one hour
TONES = {1: ("danger", "alert-circle"), 2: ("warning", "alert-triangle"), 3: ("info", "bell"), 4: ("neutral", "point")}
_TURN = Case(  # what burns and nobody has taken comes before what somebody took, and that before what is over
    When(state=Alarm.State.ACTIVE_UNACKED, then=Value(0)),
    When(state=Alarm.State.ACTIVE_ACKED, then=Value(1)),
    default=Value(2),
    output_field=IntegerField(),
)


def list_visible(visible_to: Person) -> QuerySet[Alarm]:
    """Return the alarms of works in the person's scope."""
    alarms = Alarm.objects.all()
    if not access.sees_everything(visible_to):
        alarms = alarms.filter(work_id__in=access.visible_subject_ids(visible_to))
    return alarms


def list_work_ids(visible_to: Person) -> list[int]:
    """Return the works in the person's scope that have rules."""
    return list(list_rules(visible_to).order_by().values_list("channel__device__work_id", flat=True).distinct())


def list_rules(visible_to: Person) -> QuerySet[AlarmRule]:
    """Return the rules of works in the person's scope, with channel, device and work."""
    rules = AlarmRule.objects.select_related("channel__device__work__subject", "progress")
    if not access.sees_everything(visible_to):
        rules = rules.filter(channel__device__work_id__in=access.visible_subject_ids(visible_to))
    return rules


# --- why nobody is called -------------------------------------------------------------------------------------------


def _in_maintenance(now: datetime) -> Q:
    under_way = Maintenance.objects.filter(work_id=OuterRef("work_id"), from_at__lte=now, until__gt=now)
    return Q(Exists(under_way.filter(Q(device__isnull=True) | Q(device_id=OuterRef("rule__channel__device_id")))))


def _shelved(now: datetime) -> Q:
    return Q(
        Exists(
            Shelving.objects.filter(rule_id=OuterRef("rule_id"), from_at__lte=now, until__gt=now, ended_at__isnull=True)
        )
    )


def _explained(now: datetime) -> Q:
    still = Q(cause__ended_at__isnull=True) | Q(cause__ended_at__gt=now - LINGER)
    return Q(cause__isnull=False, cause__is_withdrawn=False) & (
        still & Q(is_flapping=False) | Q(cause__is_flapping=True, began_at__gt=now - FLAPPING_QUIET)
    )


def with_reasons(alarms: QuerySet[Alarm], now: datetime) -> QuerySet[Alarm]:
    """Add is_in_maintenance, is_shelved, is_explained (by its cause): each keeps an alarm from calling anybody."""
    return alarms.annotate(
        is_in_maintenance=_in_maintenance(now), is_shelved=_shelved(now), is_explained=_explained(now)
    )


def list_calling(now: datetime) -> QuerySet[Alarm]:
    """Return the alarms that wait for somebody to acknowledge them and that nothing keeps quiet, of all works."""
    return (
        Alarm.objects.filter(state=Alarm.State.ACTIVE_UNACKED, is_withdrawn=False)
        .exclude(_in_maintenance(now))
        .exclude(_shelved(now))
        .exclude(_explained(now))
    )


# --- the list -------------------------------------------------------------------------------------------------------


def list_open(person: Person, *, now: datetime | None = None, work_id: int | None = None) -> QuerySet[Alarm]:
    """Return the alarms that are not done: those that burn untaken, those taken, those over; each urgent, newest first.

    Those that follow a cause are left out: `consequence_count` says how many it speaks for. Each row carries
    is_in_maintenance and is_shelved; rule, channel, device, work and who acknowledged are loaded.
    """
    now = now or timezone.now()
    rows = with_reasons(list_visible(person).filter(is_withdrawn=False).exclude(state=Alarm.State.NORMAL), now)
    if work_id is not None:
        rows = rows.filter(work_id=work_id)
    return (
        rows.exclude(_explained(now))
        .annotate(
            consequence_count=Count(
                "consequences", filter=Q(consequences__is_withdrawn=False) & ~Q(consequences__state="NORMAL")
            ),
            is_unacked=Q(state__in=[Alarm.State.ACTIVE_UNACKED, Alarm.State.RETURNED_UNACKED]),
        )
        .select_related("rule__channel__device", "work__subject", "acked_by")
        .order_by(_TURN, "priority", "-raised_at", "-pk")
    )


def list_standing(person: Person, *, now: datetime | None = None) -> QuerySet[Alarm]:
    """Return the alarms that are not done, those that follow a cause too, with their reasons; most urgent first."""
    now = now or timezone.now()
    rows = list_visible(person).filter(is_withdrawn=False).exclude(state=Alarm.State.NORMAL)
    return with_reasons(rows, now).order_by("priority", "-raised_at", "-pk")


def history(
    person: Person,
    *,
    from_at: datetime | None = None,
    until: datetime | None = None,
    work_id: int | None = None,
    channel_id: int | None = None,
    rule_id: int | None = None,
    priorities: Collection[int] = (),
    with_withdrawn: bool = False,
) -> QuerySet[Alarm]:
    """Return alarms that were active at some time in [from_at, until), newest beginning first."""
    rows = list_visible(person)
    if not with_withdrawn:
        rows = rows.filter(is_withdrawn=False)
    if from_at is not None:
        rows = rows.filter(Q(ended_at__isnull=True) | Q(ended_at__gt=from_at))
    if until is not None:
        rows = rows.filter(began_at__lt=until)
    if work_id is not None:
        rows = rows.filter(work_id=work_id)
    if channel_id is not None:
        rows = rows.filter(rule__channel_id=channel_id)
    if rule_id is not None:
        rows = rows.filter(rule_id=rule_id)
    if priorities:
        rows = rows.filter(priority__in=priorities)
    return rows.select_related("rule__channel__device", "work__subject", "acked_by").order_by("-began_at", "-pk")


def get_alarm(person: Person, alarm_id: int, *, now: datetime | None = None) -> Alarm:
    """Return one alarm with its reasons. Raises Alarm.DoesNotExist if there is none or the person may not see it."""
    return (
        with_reasons(list_visible(person), now or timezone.now())
        .select_related("rule__channel__device", "work__subject", "acked_by", "cause__rule")
        .prefetch_related("steps__by", "consequences__rule__channel")
        .get(pk=alarm_id)
    )


def evidence_span(alarm: Alarm, now: datetime, *, margin: timedelta = timedelta(hours=1)) -> tuple[datetime, datetime]:
    """Return the span whose readings made the alarm, with a margin around it, for its chart."""
    before = timedelta(0)
    parameters = alarm.rule.parameters
    for key in ("window_s", "hold_s", "grace_s"):
        if parameters.get(key):
            before = max(before, timedelta(seconds=float(parameters[key])))
    before += timedelta(seconds=alarm.rule.on_delay_s)
    return alarm.began_at - before - margin, min((alarm.ended_at or now) + margin, now)


# --- how good the rules are -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RuleCount:
    """A rule with how often it called in the span."""

    rule: AlarmRule
    alarms: int
    share_pct: float


@dataclass(frozen=True)
class Statistics:
    """Figures of ISA-18.2 over [from_at, until). Consequences of one cause and withdrawn alarms are not counted.

    rate_per_h: alarms raised per operator-hour; operators: how many were on duty together, on average. busiest_10min:
    most alarms in ten minutes (more than 10 is a flood). standing: open for more than a day. chattering: rules that
    called three times or more within an hour. acked_median_s: from raised to acknowledged.
    """

    from_at: datetime
    until: datetime
    alarms: int
    operators: float
    rate_per_h: float
    busiest_10min: int
    top: Sequence[RuleCount]
    standing: Sequence[Alarm]
    chattering: Sequence[RuleCount]
    by_priority: Sequence[tuple[str, int, float]]
    acked_median_s: float | None


def statistics(
    person: Person, *, from_at: datetime, until: datetime, now: datetime, operators: float = 1.0
) -> Statistics:
    """Return how the alarms of the person's works behaved."""
    spoken = list_visible(person).filter(
        is_withdrawn=False, cause__isnull=True, raised_at__gte=from_at, raised_at__lt=until
    )
    rows = list(spoken.order_by("raised_at").values_list("rule_id", "raised_at", "priority", "acked_at"))
    total = len(rows)
    hours = max((min(until, now) - from_at).total_seconds() / 3_600, 1 / 60) * max(operators, 0.1)
    counts: dict[int, int] = {}
    raises: dict[int, list[datetime]] = {}
    priorities: dict[int, int] = {}
    # Of flapping rules every raise counts as chatter, also those that one alarm speaks for.
    every = list_visible(person).filter(is_withdrawn=False, raised_at__gte=from_at, raised_at__lt=until)
    for rule_id, began_at in every.order_by("began_at").values_list("rule_id", "began_at"):
        raises.setdefault(rule_id, []).append(began_at)
    for rule_id, _, priority, _ in rows:
        counts[rule_id] = counts.get(rule_id, 0) + 1
        priorities[priority] = priorities.get(priority, 0) + 1
    restless = {
        rule_id: len(at) for rule_id, at in raises.items() if _most_within(at, timedelta(hours=1)) >= CHATTERING_RAISES
    }
    ten = sorted(counts, key=lambda rule_id: (-counts[rule_id], rule_id))[:10]
    named: dict[int, AlarmRule] = {rule.pk: rule for rule in list_rules(person).filter(pk__in=[*ten, *restless])}
    waits = sorted((acked_at - raised_at).total_seconds() for _, raised_at, _, acked_at in rows if acked_at is not None)
    standing = list_open(person, now=now).filter(ended_at__isnull=True, began_at__lt=now - STANDING_AFTER)
    labels = dict(AlarmRule.Priority.choices)
    return Statistics(
        from_at=from_at,
        until=until,
        alarms=total,
        operators=operators,
        rate_per_h=total / hours,
        busiest_10min=_most_within([row[1] for row in rows], timedelta(minutes=10)),
        top=[RuleCount(named[key], counts[key], 100 * counts[key] / total) for key in ten if key in named],
        standing=list(standing.order_by("began_at")),
        chattering=[
            RuleCount(named[key], count, 100 * count / max(len(every), 1))
            for key, count in sorted(restless.items(), key=lambda item: -item[1])
            if key in named
        ],
        by_priority=[
            (str(labels[key]), priorities.get(key, 0), 100 * priorities.get(key, 0) / total if total else 0.0)
            for key in labels
        ],
        acked_median_s=waits[len(waits) // 2] if waits else None,
    )


def _most_within(instants: Sequence[datetime], span: timedelta) -> int:
    """Return the most instants in any half-open span of that length. instants: sorted."""
    most = first = 0
    for index, at in enumerate(instants):
        while at - instants[first] >= span:
            first += 1
        most = max(most, index - first + 1)
    return most


def count_open(person: Person) -> dict[str, Any]:
    """Return how many alarms wait for acknowledgement and how many are active, for a badge."""
    now = timezone.now()
    rows = list_visible(person).filter(is_withdrawn=False).exclude(state=Alarm.State.NORMAL).exclude(_explained(now))
    return rows.aggregate(
        unacked=Count("pk", filter=Q(state__in=[Alarm.State.ACTIVE_UNACKED, Alarm.State.RETURNED_UNACKED])),
        active=Count("pk", filter=Q(ended_at__isnull=True)),
        newest_at=Max(F("raised_at")),
    )
