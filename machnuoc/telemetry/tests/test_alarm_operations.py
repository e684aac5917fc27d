"""What people do about alarms, within their rights; which rules a channel gets; what the lists and counts say."""

from datetime import date, timedelta

import pytest
from django.core.exceptions import PermissionDenied

from machnuoc.core.models import AuditEntry, Person
from machnuoc.places import load_units
from machnuoc.places import operations as places
from machnuoc.places import queries as place_queries
from machnuoc.places.models import Grant
from machnuoc.telemetry import (
    alarm_defaults,
    alarm_engine,
    alarm_operations,
    alarm_queries,
    alarm_rules,
    quality_limits,
)
from machnuoc.telemetry.models import Alarm, AlarmRule, AlarmStep, Channel, QualityLimit
from machnuoc.telemetry.tests.alarm_world import NOON, arrive, look, make_channel, make_rule, make_work, told

pytestmark = pytest.mark.usefixtures("clean_store")


@pytest.fixture(autouse=True)
def _fresh_engine():
    alarm_engine.forget()
    yield
    alarm_engine.forget()


def make_person(username: str, role: str, work=None) -> Person:
    person = Person.objects.create_user(username, full_name=username)
    places.give_grant(person=person, role=role, scope=(work or make_work()).subject, by=None)
    return person


@pytest.fixture
def operator(db) -> Person:
    return make_person("truc", Grant.Role.STATION)


@pytest.fixture
def manager(db) -> Person:
    return make_person("ky-thuat", Grant.Role.DEPARTMENT)


@pytest.fixture
def alarm(db, clean_store) -> Alarm:
    channel = make_channel()
    make_rule(channel, "THRESHOLD", {"high": 1.0})
    arrive(channel, (0, 2.0))
    look(0)
    return Alarm.objects.get()


def put(channel: Channel, by: Person | None, **changes) -> AlarmRule:
    order = {
        "key": "r1", "kind": "THRESHOLD", "name": "Clo cao", "parameters": {"high": 1.0}, "priority": 2, "now": NOON,
    }  # fmt: skip
    return alarm_operations.put_rule(channel=channel, by=by, **{**order, **changes})


# --- rules


def test_the_same_rule_said_again_changes_nothing(manager):
    channel = make_channel()

    first = put(channel, manager)
    again = put(channel, manager)

    assert (first.pk, again.version) == (again.pk, 1)
    assert AuditEntry.objects.filter(action__startswith="telemetry.rule").count() == 1


def test_a_rule_that_judges_otherwise_applies_from_the_alarm_that_is_open(manager):
    channel = make_channel()
    put(channel, manager, applies_from=NOON - timedelta(days=1))
    arrive(channel, (-10, 1.2), (-9, 0.5), (0, 1.5))
    look(0)

    rule = put(channel, manager, parameters={"high": 1.4}, now=NOON + timedelta(minutes=1))
    look(1)

    assert rule.version == 2
    assert told(rule) == [(-10, -9, "RETURNED_UNACKED"), (0, None, "ACTIVE_UNACKED")]
    put(channel, manager, parameters={"high": 1.6}, now=NOON + timedelta(minutes=2))
    look(2)
    assert told(rule) == [(-10, -9, "RETURNED_UNACKED")]
    assert "quy tắc đã đổi" in AlarmStep.objects.latest("pk").text


def test_a_rule_told_otherwise_is_not_judged_again(manager):
    channel = make_channel()
    rule = put(channel, manager)
    look(0)
    alarm_engine.forget()

    changed = put(channel, manager, name="Clo quá cao", now=NOON + timedelta(minutes=5))

    assert (changed.version, changed.applies_from, changed.progress.rule_version) == (2, rule.applies_from, 2)


def test_somebody_else_saved_the_rule_first(manager):
    channel = make_channel()
    put(channel, manager)
    put(channel, manager, name="Khác")

    with pytest.raises(alarm_operations.ChangedMeanwhile, match="vừa được người khác sửa"):
        put(channel, manager, name="Nữa", version=1)


def test_rules_that_cannot_be_meant_or_are_not_ours_are_refused(manager, operator):
    channel = make_channel()
    far = make_channel(device="td-99", work=make_work("work.test.khac", "Trạm Khác"))

    with pytest.raises(alarm_rules.BadParameters):
        put(channel, manager, parameters={})
    with pytest.raises(alarm_operations.AlarmError, match="đọc thêm kênh"):
        put(channel, None, others=[far])
    with pytest.raises(PermissionDenied):
        put(channel, operator)
    with pytest.raises(PermissionDenied):
        put(channel, manager, kind="TANK_HOURS", parameters={}, others=[far])


def test_out_of_service_ends_the_alarm_and_back_in_service_judges_from_then(manager, alarm):
    rule = alarm_operations.take_out_of_service(
        alarm.rule, reason="Đầu đo gửi đi hiệu chuẩn", by=manager, now=NOON + timedelta(minutes=1)
    )
    look(1)
    assert told() == [(0, 1, "RETURNED_UNACKED")]

    alarm_operations.return_to_service(rule, by=manager, now=NOON + timedelta(minutes=10))
    arrive(rule.channel, (5, 3.0), (11, 0.5))
    look(11)

    assert told() == [(0, 1, "RETURNED_UNACKED")]


# --- alarms


def test_acknowledging_takes_the_consequences_along(alarm, operator):
    other = make_rule(alarm.rule.channel, "STUCK")
    follower = Alarm.objects.create(
        rule=other, work=alarm.work, began_at=NOON, raised_at=NOON, state="ACTIVE_UNACKED", priority=3, text="…",
        changed_at=NOON, cause=alarm,
    )  # fmt: skip

    count = alarm_operations.acknowledge([alarm], by=operator, now=NOON, note="Đang đến trạm")

    follower.refresh_from_db()
    assert (count, follower.state, follower.acked_by) == (2, "ACTIVE_ACKED", operator)
    assert alarm.steps.get(what="ACKED").text == "Đang đến trạm"
    with pytest.raises(alarm_operations.AlarmError, match="đã có người nhận"):
        alarm_operations.acknowledge([alarm], by=operator, now=NOON)


def test_only_who_enters_for_the_work_acknowledges(alarm):
    stranger = make_person("nguoi-la", Grant.Role.STATION, make_work("work.test.khac", "Trạm Khác"))
    partner = make_person("doi-tac", Grant.Role.PARTNER)

    for person in (stranger, partner):
        with pytest.raises(PermissionDenied):
            alarm_operations.acknowledge([alarm], by=person, now=NOON)
        with pytest.raises(PermissionDenied):
            alarm_operations.add_note(alarm, text="…", by=person, now=NOON)


def test_notes_need_words(alarm, operator):
    with pytest.raises(alarm_operations.AlarmError, match="Ghi việc đã làm"):
        alarm_operations.add_note(alarm, text="  ", by=operator, now=NOON)

    alarm_operations.add_note(alarm, text="Đã thay bình clo", by=operator, now=NOON)

    assert alarm.steps.get(what="NOTED").text == "Đã thay bình clo"


def test_a_shelved_rule_calls_nobody_until_its_time_is_over(alarm, manager, operator):
    with pytest.raises(PermissionDenied):
        alarm_operations.shelve(alarm.rule, until=NOON + timedelta(hours=2), reason="x", by=operator, now=NOON)
    with pytest.raises(alarm_operations.AlarmError, match="nhiều nhất 7 ngày"):
        alarm_operations.shelve(alarm.rule, until=NOON + timedelta(days=8), reason="x", by=manager, now=NOON)

    alarm_operations.shelve(alarm.rule, until=NOON + timedelta(hours=2), reason="Đang sửa", by=manager, now=NOON)

    assert not alarm_queries.list_calling(NOON + timedelta(hours=1)).exists()
    assert alarm_queries.list_calling(NOON + timedelta(hours=2)).get() == alarm
    row = alarm_queries.list_open(manager, now=NOON + timedelta(hours=1)).get()
    assert row.is_shelved and not row.is_in_maintenance
    alarm_operations.unshelve(alarm.rule, by=manager, now=NOON + timedelta(hours=1))
    assert alarm_queries.list_calling(NOON + timedelta(hours=1)).exists()


def test_maintenance_of_a_device_keeps_its_alarms_quiet(alarm, manager):
    other = make_channel("p", "pressure", device="td-02")
    make_rule(other, "THRESHOLD", {"high": 1.0})
    arrive(other, (0, 5.0))
    look(1)

    planned = alarm_operations.plan_maintenance(
        alarm.work, device=alarm.rule.channel.device, from_at=NOON, until=NOON + timedelta(hours=4), by=manager,
        reason="Súc rửa bể", now=NOON,
    )  # fmt: skip

    assert [row.rule.channel for row in alarm_queries.list_calling(NOON + timedelta(hours=1))] == [other]
    alarm_operations.end_maintenance(planned, by=manager, now=NOON + timedelta(hours=2))
    assert alarm_queries.list_calling(NOON + timedelta(hours=2)).count() == 2


# --- lists


def test_the_list_shows_causes_not_consequences_and_stays_within_scope(manager):
    power = make_channel("dien", "power", device="tu-dien")
    make_rule(power, "POWER_LOSS")
    for n in range(3):
        channel = make_channel(f"k{n}", "pressure")
        make_rule(channel, "SILENCE", {"grace_s": 300})
        arrive(channel, (0, 30))
    arrive(power, (0, 1), (1, 0))
    look(1)
    look(6)
    stranger = make_person("nguoi-la", Grant.Role.STATION, make_work("work.test.khac", "Trạm Khác"))

    rows = list(alarm_queries.list_open(manager, now=NOON + timedelta(minutes=6)))

    assert [(row.rule.kind, row.consequence_count) for row in rows] == [("POWER_LOSS", 3)]
    assert not alarm_queries.list_open(stranger).exists()
    assert alarm_queries.history(manager, from_at=NOON).count() == 4
    arrive(power, (7, 1))
    look(7)
    assert alarm_queries.list_calling(NOON + timedelta(minutes=18)).count() == 3  # power is back, they still are silent


def test_statistics_count_rates_standing_and_chattering(manager):
    channel = make_channel()
    rule = make_rule(channel, "THRESHOLD", {"high": 1.0})
    standing = make_rule(channel, "THRESHOLD", {"low": 9.0})
    for minute in range(0, 16, 2):
        arrive(channel, (minute, 2.0), (minute + 1, 0.5))
        look(minute + 1)

    found = alarm_queries.statistics(
        manager, from_at=NOON, until=NOON + timedelta(hours=30), now=NOON + timedelta(hours=30), operators=2
    )

    assert [(row.rule, row.alarms) for row in found.chattering] == [(rule, 8)]
    assert [alarm.rule for alarm in found.standing] == [standing]
    assert found.alarms == 2 and found.rate_per_h == pytest.approx(2 / 60)
    assert found.by_priority[1] == ("Cao", 2, 100.0)


# --- defaults and limits


def test_national_limits_are_dated_and_what_is_unknown_has_none(db):
    load_units.load_units()
    work = make_work()

    assert quality_limits.load_limits() == 5
    assert quality_limits.load_limits() == 0

    before = quality_limits.list_limits([work.pk], on_date=date(2024, 1, 1))
    now = quality_limits.list_limits([work.pk], on_date=date(2026, 6, 2))
    assert (before[work.pk, "chlorine"].low, before[work.pk, "chlorine"].high) == (0.2, 1.0)
    assert (work.pk, "chlorine") not in now
    assert now[work.pk, "turbidity"].confidence == QualityLimit.Confidence.RECALLED


def test_a_limit_of_the_work_stands_before_that_of_the_country(db):
    load_units.load_units()
    work = make_work()
    quality_limits.load_limits()
    QualityLimit.objects.create(
        subject=work.subject, quantity="turbidity", high=1.0, standard="Quy chuẩn địa phương", source="thử",
        confidence=QualityLimit.Confidence.VERIFIED,
    )  # fmt: skip

    assert quality_limits.get_limit(work.pk, "turbidity", on_date=date(2026, 6, 2)).high == 1.0
    assert place_queries.get_country() is not None


def test_a_channel_gets_rules_for_its_quantity_and_quality_only_from_documents(manager):
    load_units.load_units()
    quality_limits.load_limits()
    turbidity = make_channel("duc", "turbidity", point=Channel.Point.OUTLET)
    chlorine = make_channel("clo", "chlorine", point=Channel.Point.OUTLET)
    flow = make_channel("q", "flow", point=Channel.Point.OUTLET)
    tank = make_channel("muc", "level", point=Channel.Point.TANK, capacity_m3=300, full_at=3)

    def kinds(channel: Channel, **order) -> list[str]:
        return sorted(rule.kind for rule in alarm_defaults.put_rules(channel, now=NOON, by=manager, **order))

    assert kinds(turbidity) == kinds(turbidity) == ["SILENCE", "STUCK", "THRESHOLD"]
    assert kinds(chlorine) == ["SILENCE"]
    assert kinds(chlorine, operating={"chlorine": (0.3, 1.0)}) == ["LOW_CHLORINE", "SILENCE", "STUCK", "THRESHOLD"]
    assert kinds(flow) == ["NIGHT_FLOW", "PATTERN", "SILENCE"]
    assert kinds(tank) == ["SILENCE", "TANK_HOURS", "THRESHOLD"]
    arrive(turbidity, (0, 3.1), (11, 3.1))
    look(11)
    told_limit = Alarm.objects.get(rule__kind="THRESHOLD")
    assert told_limit.text == "Độ đục 3,10 NTU (ngưỡng ≤ 2,0; QCVN 01-1:2024/BYT, chưa đối chiếu văn bản)"
