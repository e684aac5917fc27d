"""Pages of alarms, rules, maintenance: what they show, what they do, and for whom."""

from datetime import time, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from machnuoc.core.models import AuditEntry, Person, Roster, Shift
from machnuoc.telemetry import device_operations, payloads
from machnuoc.telemetry.models import Alarm, AlarmRule, Channel, Maintenance
from machnuoc.telemetry.tests.desk import make_alarm, send, sign_in
from machnuoc.telemetry.tests.desk import station as station

pytestmark = pytest.mark.django_db


@pytest.fixture
def alarm(station):
    return make_alarm(station, timezone.now())


def at(name: str, *args: object) -> str:
    return reverse(f"telemetry:{name}", args=args)


def test_the_list_tells_priority_in_words_and_folds_what_follows_from_a_cause(station, alarm):
    silence = AlarmRule.objects.get(key=f"{Channel.objects.get(key='flow').pk}.default.silence")
    follows = Alarm.objects.create(
        rule=silence, work=station.work, began_at=alarm.began_at, raised_at=alarm.raised_at, priority=3,
        state="ACTIVE_UNACKED", text="Lưu lượng ra mất tín hiệu", cause=alarm, changed_at=alarm.changed_at,
    )  # fmt: skip

    page = sign_in("qn.binhchanh").get(at("alarm_list")).content.decode()

    assert "Khẩn cấp" in page
    assert "Kéo theo 1 cảnh báo" in page
    assert page.index(alarm.text) < page.index(follows.text)
    assert f'data-alarm="{follows.pk}"' not in page


def test_htmx_gets_the_list_alone(alarm):
    page = sign_in("qn.binhchanh").get(at("alarm_list"), headers={"HX-Request": "true"}).content.decode()

    assert page.lstrip().startswith('<div id="alarms"')
    assert alarm.text in page


def test_whoever_enters_figures_of_the_work_acknowledges_with_a_note(alarm):
    client = sign_in("qn.binhchanh")

    answer = client.post(at("alarm_acknowledge"), {"alarm": [alarm.pk], "note": "Đang mở van xả"})

    alarm.refresh_from_db()
    assert answer.status_code == 302
    assert (alarm.state, alarm.acked_by.username) == ("ACTIVE_ACKED", "qn.binhchanh")
    assert "Đang mở van xả" in client.get(at("alarm_detail", alarm.pk)).content.decode()


def test_nobody_outside_sees_or_acknowledges_an_alarm(alarm):
    stranger = sign_in("cb.capnuoc")

    assert alarm.text not in stranger.get(at("alarm_list")).content.decode()
    assert stranger.get(at("alarm_detail", alarm.pk)).status_code == 404
    stranger.post(at("alarm_acknowledge"), {"alarm": [alarm.pk]})
    alarm.refresh_from_db()
    assert alarm.state == "ACTIVE_UNACKED"
    assert sign_in("qn.sonnmt").post(at("alarm_acknowledge"), {"alarm": [alarm.pk]}).status_code == 403


def test_an_alarm_shows_the_readings_that_made_it_and_what_was_done(alarm):
    client = sign_in("qn.binhchanh")

    client.post(at("alarm_note", alarm.pk), {"text": "Đã thay bơm số 2"})
    page = client.get(at("alarm_detail", alarm.pk)).content.decode()

    assert "Đã thay bơm số 2" in page
    assert "Số đọc quanh lúc bắt đầu" in page
    assert "4,2" in page
    assert "trong cảnh báo" in page
    assert client.post(at("alarm_note", alarm.pk), {"text": " "}).status_code == 422


def test_a_rule_is_previewed_on_thirty_days_then_saved(station):
    client = sign_in("qn.khkt")
    channel = Channel.objects.get(key="pressure")
    address = f"{at('rule_add')}?channel={channel.pk}&kind=THRESHOLD"
    said = {
        "name": "Áp lực quá thấp", "priority": 2, "p_low": "5", "on_delay_min": "5", "reminder_after_min": "240",
        "is_enabled": "on",
    }  # fmt: skip

    shown = client.post(address, {**said, "preview": "1"}).content.decode()
    assert "30 ngày qua quy tắc này sẽ báo 1 lần" in shown
    assert not AlarmRule.objects.filter(name="Áp lực quá thấp").exists()

    assert client.post(address, said).status_code == 302
    rule = AlarmRule.objects.get(name="Áp lực quá thấp")
    assert (rule.parameters, rule.on_delay_s) == ({"low": 5.0}, 300)
    assert "thấp hơn 5,0" in client.get(at("rule_detail", rule.pk)).content.decode()
    stale = client.post(at("rule_edit", rule.pk), {**said, "p_low": "4", "version": rule.version + 5})
    assert stale.status_code == 409


def test_a_threshold_without_any_edge_is_told_in_words(station):
    channel = Channel.objects.get(key="pressure")

    answer = sign_in("qn.khkt").post(
        f"{at('rule_add')}?channel={channel.pk}&kind=THRESHOLD",
        {"name": "x", "priority": 2, "reminder_after_min": "0"},
    )

    assert answer.status_code == 422
    assert "cần ngưỡng dưới, ngưỡng trên" in answer.content.decode()


@pytest.mark.parametrize("kind", AlarmRule.Kind.values)
def test_every_kind_of_rule_has_a_form(station, kind):
    channel = Channel.objects.get(key="pressure")

    answer = sign_in("qn.khkt").get(f"{at('rule_add')}?channel={channel.pk}&kind={kind}")

    assert answer.status_code == 200
    assert "Xem trước 30 ngày" in answer.content.decode()


def test_a_rule_is_shelved_taken_out_of_service_and_returned(alarm):
    client, rule = sign_in("qn.khkt"), alarm.rule

    client.post(at("rule_shelve", rule.pk), {"hours": "4", "reason": "Đang súc xả"})
    assert "Tạm gác" in client.get(at("rule_list")).content.decode()
    client.post(at("rule_unshelve", rule.pk))
    client.post(at("rule_out_of_service", rule.pk), {"reason": "Đầu đo hỏng"})
    assert "Đầu đo hỏng" in client.get(at("rule_detail", rule.pk)).content.decode()
    client.post(at("rule_in_service", rule.pk))

    rule.refresh_from_db()
    assert rule.out_of_service_reason == ""
    told = set(AuditEntry.objects.values_list("action", flat=True))
    assert {"telemetry.rule.shelved", "telemetry.rule.out_of_service", "telemetry.rule.in_service"} <= told
    assert sign_in("qn.binhchanh").get(at("rule_shelve", rule.pk)).status_code == 403


def test_maintenance_is_planned_and_ended(alarm):
    client, now = sign_in("qn.khkt"), timezone.localtime()
    said = {
        "work": alarm.work_id, "from_at": f"{now:%Y-%m-%dT%H:%M}",
        "until": f"{now + timedelta(hours=3):%Y-%m-%dT%H:%M}", "reason": "Rửa bể",
    }  # fmt: skip

    assert client.post(at("maintenance_add"), said).status_code == 302
    row = Maintenance.objects.get()
    assert "Rửa bể" in client.get(at("maintenance_list")).content.decode()
    client.post(at("maintenance_end", row.pk))

    assert not Maintenance.objects.filter(until__gt=timezone.now()).exists()
    assert client.post(at("maintenance_add"), {**said, "until": said["from_at"]}).status_code == 422


def test_statistics_and_lists_go_out_as_files(alarm):
    client = sign_in("qn.lanhdao")

    page = client.get(at("alarm_statistics")).content.decode()
    assert "Mỗi giờ trực" in page
    assert alarm.rule.name in page
    for name in ("alarm_list", "alarm_history", "alarm_statistics", "rule_list"):
        answer = client.get(at(name) + "?export=csv")
        text = b"".join(answer.streaming_content).decode()
        assert alarm.rule.name in text or alarm.text in text


def test_an_operator_hour_is_one_of_the_roster_unless_somebody_says_otherwise(alarm):
    client = sign_in("qn.lanhdao")
    assert "1,0 người trực cùng lúc, vì chưa có lịch trực" in client.get(at("alarm_statistics")).content.decode()
    roster = Roster.objects.create(subject_id=alarm.work_id, name="Trực trạm")
    for username, hours in (("qn.binhchanh", 24), ("qn.khkt", 12)):
        for day in range(7):
            Shift.objects.create(
                roster=roster, person=Person.objects.get(username=username), weekday=day, start=time(6),
                end=time(6 if hours == 24 else 18),
            )  # fmt: skip

    page = client.get(at("alarm_statistics")).content.decode()
    said = client.get(at("alarm_statistics") + "?operators=3").content.decode()

    assert "1,5 người trực cùng lúc, theo lịch trực" in page
    assert "3,0 người trực cùng lúc, đã nhập" in said


def test_the_list_listens_to_the_stream(alarm):
    page = sign_in("qn.binhchanh").get(at("alarm_list")).content.decode()

    assert f'data-live="{at("stream")}"' in page
    assert "telemetry/live.js" in page


@pytest.mark.parametrize("query", ["?q=binh+chanh", "?priority=1", "?state=ACTIVE_UNACKED", "?q=khong-co", "?work=x"])
def test_filters_are_in_the_address_and_nonsense_asks_for_nothing(alarm, query):
    page = sign_in("qn.lanhdao").get(at("alarm_list") + query).content.decode()

    assert (f'data-alarm="{alarm.pk}"' in page) == (query != "?q=khong-co")


def test_what_burns_untaken_comes_first_then_what_is_taken_then_what_is_over(station):
    now = timezone.now()
    pressure = make_alarm(station, now, state="RETURNED_UNACKED", priority=1, ended_at=now, text="Hết từ hôm qua")
    rules = list(AlarmRule.objects.filter(channel__device=station).exclude(pk=pressure.rule_id)[:3])
    for rule, state, priority, text in zip(
        rules, ("ACTIVE_ACKED", "ACTIVE_UNACKED", "ACTIVE_UNACKED"), (1, 3, 2),
        ("Đã có người nhận", "Đang báo mức trung bình", "Đang báo mức cao"), strict=True,
    ):  # fmt: skip
        make_alarm(station, now, rule=rule, state=state, priority=priority, text=text)

    page = sign_in("qn.binhchanh").get(at("alarm_list")).content.decode()

    places = [
        page.index(text)
        for text in ("Đang báo mức cao", "Đang báo mức trung bình", "Đã có người nhận", "Hết từ hôm qua")
    ]
    assert places == sorted(places)


def test_readings_after_the_end_are_not_marked_as_in_the_alarm(station):
    now = timezone.now()
    alarm = make_alarm(station, now, ended_at=now - timedelta(minutes=12), state="RETURNED_UNACKED")

    rows = sign_in("qn.binhchanh").get(at("alarm_detail", alarm.pk)).context["evidence"]["rows"]

    assert {row["is_inside"] for row in rows if row["at"] >= alarm.ended_at} == {False}
    assert {row["is_after"] for row in rows if row["at"] >= alarm.ended_at} == {True}
    assert any(row["is_inside"] for row in rows)


def test_states_are_written_in_words_in_the_evidence(station):
    now = timezone.now()
    device_operations.put_channel(station, key="power", name="Nguồn điện", quantity="power", by=None, now=now)
    channel = Channel.objects.get(device=station, key="power")
    for minutes, value in ((30, 1), (20, 0)):
        moment = now - timedelta(minutes=minutes)
        send(station, f'{{"t": {payloads.to_ms(moment)}, "v": {{"power": {value}}}}}', now)
    rule = AlarmRule.objects.get(key=f"{channel.pk}.default.power")
    alarm = make_alarm(station, now, rule=rule, text="Mất điện", began_at=now - timedelta(minutes=20))

    page = sign_in("qn.binhchanh").get(at("alarm_detail", alarm.pk)).content.decode()

    assert '<td class="num">mất điện</td>' in page and '<td class="num">có điện</td>' in page


def test_an_alarm_of_a_tank_shows_level_capacity_outflow_and_hours_of_when_it_began(station):
    now = timezone.now()
    device_operations.put_channel(
        station, key="level", name="Mực bể", quantity="level", point="TANK", capacity_m3=100.0, full_at=4.0, by=None,
        now=now,
    )  # fmt: skip
    channel = Channel.objects.get(device=station, key="level")
    began = now - timedelta(minutes=25)
    for moment, level in ((began, 1.0), (now - timedelta(minutes=10), 0.1)):
        send(station, f'{{"t": {payloads.to_ms(moment)}, "v": {{"level": {level}}}}}', now)
    began = timezone.datetime.fromtimestamp(payloads.to_ms(began) / 1000, tz=timezone.get_default_timezone())
    rule = AlarmRule.objects.get(key=f"{channel.pk}.default.hours")
    alarm = make_alarm(station, now, rule=rule, text="Mực bể: bể còn đủ cấp 2,0 giờ", began_at=began)

    page = sign_in("qn.binhchanh").get(at("alarm_detail", alarm.pk)).content.decode()

    assert "mức đầy 4,00 m × dung tích 100,00 m³" in page and "trung bình 60 phút của Lưu lượng ra" in page
    assert "mực nước 1,00 m, trong bể 25,0 m³, lượng ra 12,5 m³/giờ → 2,0 giờ" in page
    assert "mực nước 0,10 m, trong bể 2,5 m³, lượng ra 12,5 m³/giờ → 0,0 giờ, vì không quá 5 %" in page
