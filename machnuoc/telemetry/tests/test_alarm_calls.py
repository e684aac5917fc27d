"""Who is called, who is called next, what keeps an alarm quiet, and that the watching process does it all."""

import threading
import time as clock
from datetime import date, datetime, time, timedelta

import pytest
from django.utils import timezone

from machnuoc.core import roster as duty
from machnuoc.core.models import Notice, Person, Roster, Sending
from machnuoc.places import operations as places
from machnuoc.places.models import Grant
from machnuoc.telemetry import alarm_calls, alarm_engine, alarm_operations, store, watching
from machnuoc.telemetry.models import Alarm, AlarmRule, AlarmStep, Device
from machnuoc.telemetry.tests.alarm_world import NOON, NOON_MS, arrive, look, make_channel, make_rule, make_work

pytestmark = pytest.mark.usefixtures("clean_store")


@pytest.fixture(autouse=True)
def _fresh_engine():
    alarm_engine.forget()
    yield
    alarm_engine.forget()


def make_person(username: str) -> Person:
    return Person.objects.create_user(username, full_name=username, phone="0912345678")


@pytest.fixture
def roster(db) -> Roster:
    made = duty.put_roster(subject_id=make_work().pk, name="Trạm Nghĩa Phú", by=None)
    duty.add_shifts(made, weekdays=range(7), start=time(6), end=time(6), person=make_person("truc"), by=None)
    duty.put_level(made, level=2, after_min=10, people=[make_person("to-truong")], by=None)
    duty.put_level(made, level=3, after_min=20, people=[make_person("giam-doc")], by=None)
    return made


def raise_alarm(priority: int = AlarmRule.Priority.URGENT, **changes) -> Alarm:
    channel = make_channel()
    make_rule(channel, "THRESHOLD", {"high": 1.0}, priority=priority, **changes)
    arrive(channel, (0, 2.0))
    look(0)
    return Alarm.objects.get()


def call(minute: float) -> int:
    return alarm_calls.run_once(NOON + timedelta(minutes=minute))


def called() -> list[str]:
    return list(Notice.objects.order_by("pk").values_list("person__username", flat=True))


def test_who_is_on_duty_is_called_once_and_the_steps_say_by_what(roster):
    alarm = raise_alarm()

    assert call(0) == 1
    assert call(0.1) == 0

    assert called() == ["truc"]
    step = alarm.steps.get(what=AlarmStep.What.SENT)
    assert step.text == (
        "Cấp 1: truc – Trong chương trình. Không gửi được qua Thư điện tử, Tin nhắn SMS, Zalo ZNS: "
        "chưa cấu hình hoặc chưa khai địa chỉ."
    )
    assert Notice.objects.get().text.startswith("Khẩn cấp: Trạm Nghĩa Phú: Clo dư tự do 2,00 mg/L")


def test_an_urgent_alarm_nobody_takes_goes_up_level_by_level(roster):
    raise_alarm()
    call(0)

    for minute in (5, 9.9, 10, 25, 29.9, 30, 500):
        call(minute)

    assert called() == ["truc", "to-truong", "giam-doc"]
    assert Alarm.objects.get().level == 3


def test_acknowledging_stops_the_escalation(roster):
    alarm = raise_alarm()
    call(0)
    person = Person.objects.get(username="truc")
    places.give_grant(person=person, role=Grant.Role.STATION, scope=alarm.work.subject, by=None)
    alarm_operations.acknowledge([alarm], by=person, now=NOON)

    call(60)

    assert called() == ["truc"]


def test_only_urgent_alarms_escalate_and_low_ones_call_nobody(roster):
    raise_alarm(AlarmRule.Priority.HIGH)
    call(0)
    call(120)
    assert called() == ["truc"]

    Alarm.objects.update(priority=AlarmRule.Priority.LOW, level=0)
    call(130)
    assert called() == ["truc"]


def test_a_forgotten_alarm_comes_back_and_calls_again(roster):
    alarm = raise_alarm(AlarmRule.Priority.HIGH, reminder_after_min=60)
    call(0)
    Alarm.objects.update(state="ACTIVE_ACKED", acked_at=NOON)

    call(59)
    assert called() == ["truc"]
    call(60)
    call(60)

    alarm.refresh_from_db()
    assert (alarm.state, called()) == ("ACTIVE_UNACKED", ["truc", "truc"])
    assert "cần người nhận lại" in alarm.steps.get(what="REMINDED").text


def test_twelve_silences_of_a_lost_supply_make_one_call(roster):
    power = make_channel("dien", "power", device="tu-dien")
    make_rule(power, "POWER_LOSS", priority=AlarmRule.Priority.HIGH)
    for n in range(12):
        channel = make_channel(f"k{n}", "pressure", device=f"td-{n % 3}")
        make_rule(channel, "SILENCE", {"grace_s": 300})
        arrive(channel, (0, 30))
    arrive(power, (0, 1), (1, 0))
    look(6)

    call(6)

    assert called() == ["truc"]
    assert "kèm 12 cảnh báo do cùng nguyên nhân" in Notice.objects.get().text


def test_a_flapping_rule_calls_until_it_is_known_to_flap_and_no_more(roster):
    channel = make_channel()
    make_rule(channel, "THRESHOLD", {"high": 1.0})
    for minute in range(0, 30, 2):
        arrive(channel, (minute, 2.0))
        look(minute)
        call(minute)
        arrive(channel, (minute + 1, 0.5))
        look(minute + 1)

    assert len(called()) == alarm_engine.FLAPPING_RAISES


def test_maintenance_keeps_quiet_and_what_is_left_after_it_calls(roster):
    alarm = raise_alarm()
    manager = make_person("ky-thuat")
    places.give_grant(person=manager, role=Grant.Role.DEPARTMENT, scope=alarm.work.subject, by=None)
    alarm_operations.plan_maintenance(
        alarm.work, from_at=NOON, until=NOON + timedelta(hours=1), reason="Súc rửa", by=manager, now=NOON
    )

    assert call(0) == call(59) == 0
    assert call(60) == 1


def test_without_a_roster_those_who_run_the_work_are_called(db):
    alarm = raise_alarm()
    person = make_person("nguoi-tram")
    places.give_grant(person=person, role=Grant.Role.STATION, scope=alarm.work.subject, by=None)
    Grant.objects.update(valid_from=date(2026, 1, 1))

    call(0)

    assert called() == ["nguoi-tram"]


def test_an_alarm_that_finds_nobody_says_so(db):
    alarm = raise_alarm()

    call(0)

    assert "không có ai trực" in alarm.steps.get(what="SENT").text


def test_a_simulated_alarm_stays_inside_the_program(roster, settings):
    settings.SMS_URL = "http://127.0.0.1:1/"
    raise_alarm()
    Device.objects.update(is_simulated=True)

    call(0)

    assert set(Sending.objects.values_list("channel", flat=True)) == {"IN_APP"}
    assert Notice.objects.get().text.startswith("[Mô phỏng] Khẩn cấp")


def test_a_task_that_fails_does_not_hold_up_the_others():
    done = []

    def fails(now: datetime) -> int:
        raise ValueError("broken on purpose")

    tasks = [watching._Task("one", fails), watching._Task("two", lambda now: done.append(now) or 0)]

    assert watching.run_round(tasks, 0.0) is False
    assert len(done) == 1


@pytest.mark.django_db(transaction=True)
def test_the_watching_process_raises_calls_and_ends(clean_store):
    work = make_work()
    made = duty.put_roster(subject_id=work.pk, name="Tổ", by=None)
    duty.add_shifts(made, weekdays=range(7), start=time(0), end=time(0), person=make_person("truc"), by=None)
    channel = make_channel()
    now_min = (alarm_engine.to_ms(timezone.now()) - NOON_MS) / 60_000
    make_rule(channel, "THRESHOLD", {"high": 1.0}, applies_from=timezone.now() - timedelta(hours=1))
    stop = threading.Event()
    thread = threading.Thread(target=watching.run, args=(stop,))
    thread.start()
    try:
        arrive(channel, (now_min, 2.0))
        deadline = clock.monotonic() + 15
        while clock.monotonic() < deadline and not Notice.objects.exists():
            clock.sleep(0.05)
    finally:
        stop.set()
        thread.join(20)

    assert not thread.is_alive()
    assert called() == ["truc"]
    assert store.query("SELECT count(*) FROM telemetry_dirty_alarm") == [(0,)]


def test_a_second_watching_process_waits(settings):
    with watching._alone() as first, watching._alone() as second:
        assert (first, second) == (True, False)
    with watching._alone() as again:
        assert again
