"""Who is called for an alarm, by what, and when somebody else is.

Level-triggered: each round looks at the alarms that wait and does what is due, in one transaction an alarm, so a crash
loses no call and repeats none (the outbox tells each alarm, level, person and channel once).

- An alarm that waits and that nothing keeps quiet calls level 1 of the nearest roster: who is on duty.
- An urgent one that nobody acknowledged calls the next level after its minutes.
- An acknowledged one that is still active comes back after the minutes of its rule.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, F, Q
from django.urls import NoReverseMatch, reverse

from machnuoc.core import roster as duty
from machnuoc.core import sending, vietnamese
from machnuoc.core.models import Person, Roster, Sending
from machnuoc.core.periods import local_date
from machnuoc.places.models import Containment, Grant
from machnuoc.telemetry import alarm_queries
from machnuoc.telemetry.models import Alarm, AlarmRule, AlarmStep

_C = Sending.Channel
CHANNELS: dict[int, tuple[str, ...]] = {
    AlarmRule.Priority.URGENT: (_C.IN_APP, _C.EMAIL, _C.SMS, _C.ZALO),
    AlarmRule.Priority.HIGH: (_C.IN_APP, _C.EMAIL),
    AlarmRule.Priority.MEDIUM: (_C.IN_APP,),
    AlarmRule.Priority.LOW: (),  # stays in the list; nobody is disturbed
}
CALLS_AT_ONCE = 200
FALLBACK_PEOPLE = 20


def run_once(now: datetime) -> int:
    """Call, escalate and remind what is due, and return how many alarms were told."""
    told = 0
    calling = alarm_queries.list_calling(now).filter(priority__lt=AlarmRule.Priority.LOW)
    escalating = Q(level__gte=1, priority=AlarmRule.Priority.URGENT)
    for alarm in calling.filter(Q(level=0) | escalating).order_by("priority", "raised_at")[:CALLS_AT_ONCE]:
        told += _call(alarm.pk, now)
    return told + _bring_back(now)


def _call(alarm_id: int, now: datetime) -> int:
    with transaction.atomic():
        alarm = (
            Alarm.objects.select_for_update(of=("self",))
            .select_related("rule__channel__device", "work__subject")
            .filter(pk=alarm_id, state=Alarm.State.ACTIVE_UNACKED)
            .first()
        )
        if alarm is None:  # acknowledged meanwhile
            return 0
        roster = nearest_roster(alarm.work_id)
        if alarm.level == 0:
            level, what = 1, AlarmStep.What.SENT
        else:
            following = None if roster is None else duty.next_level(roster, alarm.level)
            if following is None or alarm.called_at is None:
                return 0
            if now < alarm.called_at + timedelta(minutes=following.after_min):
                return 0
            level, what = following.level, AlarmStep.What.ESCALATED
        people = list_people(alarm, roster, now, level)
        tell(alarm, people, now, level=level, what=what, roster=roster)
        alarm.level, alarm.called_at = level, now
        alarm.save(update_fields=["level", "called_at"])
    return 1


def _bring_back(now: datetime) -> int:
    """Make alarms that were acknowledged long ago and are still active wait for somebody again."""
    candidates = (
        Alarm.objects.filter(
            state=Alarm.State.ACTIVE_ACKED, is_withdrawn=False, acked_at__isnull=False, rule__reminder_after_min__gt=0
        )
        .filter(acked_at__lte=now - timedelta(minutes=1))
        .annotate(after_min=F("rule__reminder_after_min"))
        .values_list("pk", "acked_at", "after_min")
    )
    forgotten = [
        pk for pk, acked_at, after_min in candidates if acked_at and acked_at + timedelta(minutes=after_min) <= now
    ]
    for pk in forgotten[:CALLS_AT_ONCE]:
        with transaction.atomic():
            alarm = Alarm.objects.select_for_update().filter(pk=pk, state=Alarm.State.ACTIVE_ACKED).first()
            if alarm is None:
                continue
            text = f"Đã nhận lúc {vietnamese.format_datetime(alarm.acked_at)} nhưng vẫn đang báo; cần người nhận lại."
            AlarmStep.objects.create(alarm=alarm, what=AlarmStep.What.REMINDED, at=now, text=text)
            alarm.state = Alarm.State.ACTIVE_UNACKED
            alarm.level, alarm.called_at, alarm.changed_at = 0, None, now
            alarm.save(update_fields=["state", "level", "called_at", "changed_at"])
    return len(forgotten[:CALLS_AT_ONCE])


# --- whom -----------------------------------------------------------------------------------------------------------


def nearest_roster(work_id: int) -> Roster | None:
    """Return the roster of the work itself, else of the smallest of what contains it (team, operator, place)."""
    above = Containment.objects.filter(descendant_id=work_id).values("ancestor_id")
    rosters = {row.subject_id: row for row in Roster.objects.filter(subject_id__in=above)}
    if not rosters:
        return None
    sizes = dict(
        Containment.objects.filter(ancestor_id__in=rosters)
        .values_list("ancestor_id")
        .annotate(n=Count("descendant_id"))
        .values_list("ancestor_id", "n")
    )
    return min(rosters.values(), key=lambda row: (row.subject_id != work_id, sizes.get(row.subject_id, 0), row.pk))


def operators_on_duty(works: Iterable[int], from_at: datetime, until: datetime) -> float | None:
    """Return how many people were on duty together for these works, on average over [from_at, until); None: no roster.

    Someone on duty for two rosters at once is one person.
    """
    above = Containment.objects.filter(descendant_id__in=list(works)).values("ancestor_id")
    rosters = Roster.objects.filter(subject_id__in=above).prefetch_related(
        "shifts__person", "overrides__person", "overrides__instead_of"
    )
    by_person: dict[int, list[tuple[datetime, datetime]]] = {}
    is_any = False
    for roster in rosters:
        is_any = True
        for span in duty.list_spans(roster, from_at, until):
            at = (max(span.start_at, from_at), min(span.end_at, until))
            by_person.setdefault(span.person.pk, []).append(at)
    if not is_any or until <= from_at:
        return None
    worked_s = 0.0
    for spans in by_person.values():
        reached = from_at
        for start, end in sorted(spans):
            if end > reached:
                worked_s += (end - max(start, reached)).total_seconds()
                reached = end
    return worked_s / (until - from_at).total_seconds()


def list_people(alarm: Alarm, roster: Roster | None, now: datetime, level: int) -> list[Person]:
    """Return who is called at a level; where nobody is on duty, those who run the work."""
    found = [] if roster is None else duty.who_is_on(roster, now, level=level)
    if found or level > 1:
        return found
    work = alarm.work
    scopes = [pk for pk in (work.pk, work.team_id, work.operator_id) if pk is not None]
    today = local_date(now)
    grants = (
        Grant.objects.filter(
            scope_id__in=scopes, role__in=[Grant.Role.STATION, Grant.Role.DEPARTMENT], person__is_active=True
        )
        .filter(Q(valid_from__lte=today) & (Q(valid_to__isnull=True) | Q(valid_to__gt=today)))
        .select_related("person")
        .order_by("pk")
    )
    people = {grant.person_id: grant.person for grant in grants}
    return list(people.values())[:FALLBACK_PEOPLE]


# --- telling --------------------------------------------------------------------------------------------------------


def alarm_url(alarm_id: int) -> str:
    """Return the page of an alarm within the site."""
    try:
        return reverse("telemetry:alarm_detail", args=[alarm_id])
    except NoReverseMatch:
        return f"/giam-sat/canh-bao/{alarm_id}/"


def tell(
    alarm: Alarm, people: Iterable[Person], now: datetime, *, level: int, what: str, roster: Roster | None = None
) -> list[Sending]:
    """Put an alarm into the outbox for these people, and write under it who is called by what."""
    is_simulated = alarm.rule.channel.device.is_simulated
    mark = "[Mô phỏng] " if is_simulated else ""
    title = f"{mark}{alarm.get_priority_display()}: {alarm.work.subject.name}"
    count = alarm.consequences.filter(is_withdrawn=False).count()
    follows = f" (kèm {count} cảnh báo do cùng nguyên nhân)" if count else ""
    text = f"{alarm.text}{follows}. {alarm.rule.advice}".strip()
    round_key = AlarmStep.objects.filter(alarm=alarm, what=AlarmStep.What.REMINDED).count()
    base = f"alarm:{alarm.pk}:{round_key}:{level}"
    called = list(people)
    rows = [
        sending.queue(
            key=f"{base}:{person.pk}:{channel}", channel=channel, person=person, title=title, text=text, now=now,
            url=alarm_url(alarm.pk),
        )
        for person in called
        for channel in _channels(alarm.priority, is_simulated)
    ]  # fmt: skip
    if roster is not None and roster.webhook_url and not is_simulated:
        rows.append(
            sending.queue(
                key=f"{base}:WEBHOOK", channel=_C.WEBHOOK, address=roster.webhook_url, secret=roster.webhook_key,
                title=title, text=text, now=now, url=alarm_url(alarm.pk),
            )
        )  # fmt: skip
    made = [row for row in rows if row is not None]
    AlarmStep.objects.create(alarm=alarm, what=what, at=now, text=_told_text(called, made, level)[:500])
    return made


def _channels(priority: int, is_simulated: bool) -> tuple[str, ...]:
    """Return how people are told. A simulated alarm stays inside the program: nobody's telephone rings for a play."""
    return tuple(one for one in CHANNELS[priority] if one == _C.IN_APP) if is_simulated else CHANNELS[priority]


def _told_text(people: list[Person], rows: list[Sending], level: int) -> str:
    if not people:
        return f"Cấp {level}: không có ai trực và không có người phụ trách công trình để gọi. Lập lịch trực."
    labels = dict(Sending.Channel.choices)
    going = sorted({str(labels[row.channel]) for row in rows if row.state != Sending.State.UNCONFIGURED})
    held = sorted({str(labels[row.channel]) for row in rows if row.state == Sending.State.UNCONFIGURED})
    names = ", ".join(person.full_name for person in people)
    text = f"Cấp {level}: {names}" + (f" – {', '.join(going)}" if going else "")
    return (
        f"{text}. Không gửi được qua {', '.join(held)}: chưa cấu hình hoặc chưa khai địa chỉ." if held else f"{text}."
    )
