"""Keeping duties, opening what falls due, saying that it was sent, reminding. On the loaded plans; days are given."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.exceptions import PermissionDenied

from machnuoc.core.models import AuditEntry, Notice, Person
from machnuoc.core.periods import Period
from machnuoc.places import operations as places
from machnuoc.places.models import Grant, Organisation
from machnuoc.planning import duty_operations, duty_queries
from machnuoc.planning.duty_operations import DutyError, Unit
from machnuoc.planning.errors import ChangedMeanwhile
from machnuoc.planning.models import Duty, DutyInstance

pytestmark = pytest.mark.usefixtures("demo_data", "db")
NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
TODAY = date(2026, 11, 22)


@pytest.fixture(autouse=True)
def clean_calendar():
    """Start from an empty calendar: what the demonstration opened depends on the day it was loaded."""
    DutyInstance.objects.all().delete()
    Notice.objects.all().delete()


@pytest.fixture
def centre() -> Organisation:
    return Organisation.objects.select_related("subject").get(subject__key="org.qn.trung-tam")


@pytest.fixture
def station() -> Organisation:
    return Organisation.objects.select_related("subject").get(subject__key="org.qn.tram-binh-chanh")


def put(centre, *, units=(), **said) -> Duty:
    terms = {"name": "Báo cáo tháng thử", "rule": "FREQ=MONTHLY;BYMONTHDAY=14", **said}
    return duty_operations.put_duty(key="duty.thu", subject=centre.subject, units=units or [centre], **terms)


def days(duty) -> list[date]:
    return list(duty.instances.order_by("last_day").values_list("last_day", flat=True))


# Keeping a duty


def test_putting_a_duty_twice_changes_nothing(centre):
    before = AuditEntry.objects.count()
    first = put(centre)
    second = put(centre)

    assert (first.pk, first.version) == (second.pk, second.version)
    assert AuditEntry.objects.count() == before + 1


def test_a_rule_that_loses_months_is_refused_and_nothing_is_written(centre):
    with pytest.raises(DutyError, match="kỳ đó sẽ bị mất"):
        put(centre, rule="FREQ=MONTHLY;BYMONTHDAY=31")

    assert not Duty.objects.filter(key="duty.thu").exists()


def test_an_ad_hoc_duty_takes_no_rule(centre):
    with pytest.raises(DutyError, match="không có lịch định kỳ"):
        put(centre, timing="AD_HOC")


def test_a_stale_edit_is_refused(centre):
    duty = put(centre)
    manager = Person.objects.get(username="quantri")
    said = {"name": "Tên khác", "subject": centre.subject, "units": [centre], "rule": duty.rule}

    duty_operations.edit_duty(duty, by=manager, today=TODAY, version=duty.version, **said)
    with pytest.raises(ChangedMeanwhile, match="vừa được người khác sửa"):
        duty_operations.edit_duty(duty, by=manager, today=TODAY, version=duty.version, **said)


def test_only_who_manages_the_territory_keeps_its_duties(centre):
    with pytest.raises(PermissionDenied):
        put(centre, by=Person.objects.get(username="cb.soxaydung"))


# Opening what falls due


def test_opening_reaches_from_just_before_today_over_a_year_and_runs_again_without_effect(centre):
    duty = put(centre)

    first = duty_operations.open_instances(TODAY, duties=[duty.pk])
    again = duty_operations.open_instances(TODAY, duties=[duty.pk])

    opened = days(duty)
    assert opened[0] == date(2026, 11, 14) and opened[-1] == date(2027, 12, 14)
    assert (first, again) == (len(opened), 0)


def test_opening_every_day_of_two_years_gives_each_month_once(centre):
    duty = put(centre)

    for offset in range(0, 730, 7):
        duty_operations.open_instances(TODAY + timedelta(days=offset), duties=[duty.pk])

    months = [(day.year, day.month) for day in days(duty)]
    assert len(months) == len(set(months))
    year, month = months[0]
    for found in months:
        assert found == (year, month)
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)


def test_a_changed_rule_moves_what_is_to_come_and_leaves_what_was(centre):
    duty = put(centre)
    duty_operations.open_instances(TODAY, duties=[duty.pk])
    december = duty.instances.get(last_day=date(2026, 12, 14))
    duty_operations.submit(december, submitted_on=TODAY, note="1/BC", today=TODAY)

    put(centre, rule="FREQ=MONTHLY;BYMONTHDAY=20")
    duty_operations.open_instances(TODAY, duties=[duty.pk])

    opened = days(duty)
    assert opened[:4] == [date(2026, 11, 14), date(2026, 11, 20), date(2026, 12, 14), date(2026, 12, 20)]
    assert {day.day for day in opened[3:]} == {20}


def test_grace_and_edge_of_an_open_instance_follow_the_duty(centre):
    duty = put(centre)
    duty_operations.open_instances(TODAY, duties=[duty.pk])
    put(centre, edge="EXCLUSIVE", grace_days=3)

    duty_operations.open_instances(TODAY, duties=[duty.pk])

    row = duty.instances.get(rule_date=date(2026, 12, 14))
    assert (row.last_day, row.grace_until) == (date(2026, 12, 13), date(2026, 12, 16))


def test_a_unit_owes_only_while_it_is_there(centre, station):
    duty = put(centre, units=[Unit(station, valid_from=date(2027, 3, 1), valid_to=date(2027, 6, 14))])

    duty_operations.open_instances(TODAY, duties=[duty.pk])

    assert days(duty) == [date(2027, 3, 14), date(2027, 4, 14), date(2027, 5, 14)]


def test_a_unit_that_ends_owes_nothing_afterwards(centre, station):
    duty = put(centre, units=[station])
    duty_operations.open_instances(TODAY, duties=[duty.pk])
    places.end_organisation(station, from_date=date(2027, 1, 1))

    duty_operations.open_instances(TODAY, duties=[duty.pk])

    assert days(duty) == [date(2026, 11, 14), date(2026, 12, 14)]


def test_a_duty_that_is_stopped_drops_what_is_to_come(centre):
    duty = put(centre)
    duty_operations.open_instances(TODAY, duties=[duty.pk])
    put(centre, is_active=False)

    duty_operations.open_instances(TODAY, duties=[duty.pk])

    assert days(duty) == [date(2026, 11, 14)]


def test_the_plans_open_their_last_lawful_days():
    duty_operations.open_instances(TODAY)

    def last(key):
        return set(
            DutyInstance.objects.filter(duty__key=key, last_day__lt="2027-01-01").values_list("last_day", flat=True)
        )

    assert last("duty.qn.thang") == {date(2026, 11, 14), date(2026, 12, 14)}
    assert last("duty.qn.quy") == {date(2026, 12, 14)}
    assert last("duty.cb.nam") == {date(2026, 11, 14)}
    assert last("duty.ct.bo-chi-so") == {date(2026, 11, 14)}
    assert last("duty.lc.ra-soat-nam") == {date(2026, 11, 19)}
    assert last("duty.lc.nam") == {date(2026, 12, 31)}


def test_units_that_ended_in_2025_owe_lai_chau_nothing_in_2026():
    duty_operations.open_instances(TODAY)

    owing = set(
        DutyInstance.objects.filter(duty__key="duty.lc.ra-soat-nam").values_list(
            "organisation__subject__key", flat=True
        )
    )
    assert "org.lc.so-y-te" in owing
    assert not owing & {"org.lc.so-gtvt", "org.lc.ubnd-tam-duong-huyen"}


def test_the_monthly_report_is_about_the_month_before():
    duty_operations.open_instances(TODAY)
    row = DutyInstance.objects.get(duty__key="duty.qn.thang", last_day=date(2026, 12, 14))

    assert duty_queries.period_of(row) == Period.parse("2026-11")


# Sending, taking back, waiving


@pytest.fixture
def instance(centre, station) -> DutyInstance:
    duty = put(centre, units=[station])
    duty_operations.open_instances(TODAY, duties=[duty.pk])
    return duty.instances.get(last_day=date(2026, 12, 14))


def test_a_report_is_sent_once(instance):
    duty_operations.submit(instance, submitted_on=TODAY, note="5/BC", today=TODAY)

    with pytest.raises(DutyError, match=r"đã ghi nhận gửi ngày 22/11/2026"):
        duty_operations.submit(instance, submitted_on=TODAY, note="6/BC", today=TODAY)


@pytest.mark.parametrize(
    ("submitted_on", "note", "reason"), [(TODAY + timedelta(days=1), "5/BC", "chưa tới"), (TODAY, "  ", "số văn bản")]
)
def test_a_submission_without_day_or_trace_is_refused(instance, submitted_on, note, reason):
    with pytest.raises(DutyError, match=reason):
        duty_operations.submit(instance, submitted_on=submitted_on, note=note, today=TODAY)


@pytest.mark.parametrize("username", ["qn.nghiaphu", "qn.sonnmt", "cb.capnuoc", "doitac"])
def test_nobody_sends_for_a_unit_that_is_not_theirs(instance, username):
    with pytest.raises(PermissionDenied):
        duty_operations.submit(
            instance, submitted_on=TODAY, note="5/BC", today=TODAY, by=Person.objects.get(username=username)
        )


def test_a_reopened_report_can_be_sent_again_and_its_people_know_why(instance):
    manager = Person.objects.get(username="qn.lanhdao")
    duty_operations.submit(instance, submitted_on=TODAY, note="5/BC", today=TODAY)

    duty_operations.reopen(instance, reason="Thiếu chữ ký", by=manager)
    duty_operations.submit(instance, submitted_on=TODAY, note="5a/BC", today=TODAY)

    assert [event.kind for event in instance.events.order_by("pk")] == ["SUBMITTED", "REOPENED", "SUBMITTED"]
    assert "Thiếu chữ ký" in Notice.objects.get(person__username="qn.binhchanh").text


def test_what_is_neither_sent_nor_waived_cannot_be_reopened(instance):
    with pytest.raises(DutyError, match="không có gì để mở lại"):
        duty_operations.reopen(instance, reason="x", by=None)


def test_a_waiver_needs_a_reason_and_is_not_for_what_was_sent(instance):
    manager = Person.objects.get(username="quantri")

    with pytest.raises(DutyError, match="Nêu lý do"):
        duty_operations.waive(instance, reason=" ", by=manager)
    duty_operations.submit(instance, submitted_on=TODAY, note="5/BC", today=TODAY)
    with pytest.raises(DutyError, match="không cần miễn"):
        duty_operations.waive(instance, reason="Công văn 7", by=manager)


# Ad hoc


def test_an_ad_hoc_report_is_asked_with_reason_and_day_and_told_at_once(station):
    duty = Duty.objects.get(key="duty.qn.tram-dot-xuat")

    made = duty_operations.add_ad_hoc(
        duty, organisations=[station], due_on=TODAY + timedelta(days=2), reason="Công văn 15/SNNMT", today=TODAY,
        period=Period.parse("2026-10"),
    )  # fmt: skip
    duty_operations.open_instances(TODAY)

    assert DutyInstance.objects.filter(pk=made[0].pk).exists()
    assert "Công văn 15/SNNMT" in Notice.objects.get(person__username="qn.binhchanh").text
    with pytest.raises(DutyError, match="đã có kỳ báo cáo này"):
        duty_operations.add_ad_hoc(
            duty, organisations=[station], due_on=TODAY + timedelta(days=2), reason="Nữa", today=TODAY
        )


@pytest.mark.parametrize(
    ("due_on", "reason", "said"),
    [(TODAY - timedelta(days=1), "x", "đã qua"), (TODAY, " ", "cần nêu lý do")],
)
def test_an_ad_hoc_report_without_reason_or_time_is_refused(station, due_on, reason, said):
    duty = Duty.objects.get(key="duty.qn.tram-dot-xuat")

    with pytest.raises(DutyError, match=said):
        duty_operations.add_ad_hoc(duty, organisations=[station], due_on=due_on, reason=reason, today=TODAY)


def test_a_unit_that_is_no_more_is_not_asked():
    duty = Duty.objects.get(key="duty.lc.nd-117")
    district = Organisation.objects.select_related("subject").get(subject__key="org.lc.ubnd-tam-duong-huyen")

    with pytest.raises(DutyError, match="đã kết thúc hoạt động"):
        duty_operations.add_ad_hoc(duty, organisations=[district], due_on=TODAY, reason="x", today=TODAY)


def test_a_successor_that_has_ended_too_is_refused():
    duty = Duty.objects.select_related("subject").get(key="duty.ct.bo-chi-so")
    ended = Organisation.objects.select_related("subject").get(subject__key="org.ct.ubnd-huyen-cam-thuy")

    with pytest.raises(DutyError, match="đã kết thúc hoạt động từ 01/07/2025"):
        duty_operations.set_recipient(
            duty, ended, version=duty.version, today=TODAY, by=Person.objects.get(username="quantri")
        )


# Reminders


def remind_through(first: date, last: date) -> None:
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        duty_operations.remind(day, datetime(day.year, day.month, day.day, 1, tzinfo=UTC))


def texts(username: str) -> list[str]:
    return list(Notice.objects.filter(person__username=username).order_by("pk").values_list("text", flat=True))


def test_each_stage_is_reminded_once_and_lateness_reaches_the_leader_above(instance):
    remind_through(date(2026, 12, 1), date(2027, 1, 10))

    stages = list(instance.reminders.order_by("pk").values_list("stage", flat=True))
    assert stages == ["OPENED", "D7", "D3", "D1", "DUE", "LATE1", "LATE7"]
    assert len([text for text in texts("qn.binhchanh") if "14/12/2026" in text]) == 7
    leader = [text for text in texts("qn.lanhdao") if "14/12/2026" in text]
    assert len(leader) == 2 and all("quá hạn" in text for text in leader)
    assert texts("qn.nghiaphu") == []


def test_a_job_that_missed_days_reminds_once_of_what_matters_now(instance):
    duty_operations.remind(date(2026, 12, 13), NOW)

    assert list(instance.reminders.values_list("stage", flat=True)) == ["D1"]


def test_what_was_sent_or_waived_is_not_reminded(instance):
    duty_operations.submit(instance, submitted_on=TODAY, note="5/BC", today=TODAY)

    remind_through(date(2026, 12, 1), date(2026, 12, 20))

    assert not any("14/12/2026" in text for text in texts("qn.binhchanh"))


def test_many_late_stations_are_one_message_to_their_leader(centre):
    stations = list(Organisation.objects.filter(parent=centre, kind="STATION").select_related("subject"))
    duty = put(centre, units=stations)
    duty_operations.open_instances(TODAY, duties=[duty.pk])

    duty_operations.remind(date(2026, 11, 15), NOW)

    assert len([text for text in texts("qn.lanhdao") if "29 đơn vị" in text]) == 1


def test_a_unit_without_people_reminds_those_of_the_unit_above(centre):
    lone = places.put_organisation(key="org.qn.thu", name="Trạm thử", kind="STATION", parent=centre)
    duty = put(centre, units=[lone])
    duty_operations.open_instances(TODAY, duties=[duty.pk])

    duty_operations.remind(date(2026, 12, 14), NOW)

    assert texts("qn.khkt") and "Trạm thử" in texts("qn.khkt")[0]


def test_a_grant_that_has_ended_brings_no_reminder(instance):
    Grant.objects.filter(person__username="qn.binhchanh").update(valid_to=date(2026, 12, 1))

    duty_operations.remind(date(2026, 12, 14), NOW)

    assert texts("qn.binhchanh") == []


def test_reading_follows_the_territory_of_the_duty():
    readable = duty_queries.list_readable(Person.objects.get(username="cb.phuchoa"))

    assert set(readable.values_list("key", flat=True)) == {"duty.cb.nam", "duty.cb.tong-hop"}
