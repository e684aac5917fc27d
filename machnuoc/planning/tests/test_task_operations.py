"""Tasks, their progress, meetings and campaigns as people keep them."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from machnuoc.core import files
from machnuoc.core.models import AuditEntry, Notice, Person
from machnuoc.places import operations as places
from machnuoc.places.models import Organisation
from machnuoc.planning import task_operations, task_queries
from machnuoc.planning.errors import ChangedMeanwhile
from machnuoc.planning.models import Plan, Task, TaskReminder, TaskUnit
from machnuoc.planning.task_operations import TaskError

pytestmark = pytest.mark.usefixtures("demo_data", "db")
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=ZoneInfo("Asia/Ho_Chi_Minh"))
TODAY = NOW.date()


def person(username: str) -> Person:
    return Person.objects.get(username=username)


def organisation(key: str) -> Organisation:
    return Organisation.objects.select_related("subject").get(subject__key=f"org.qn.{key}")


@pytest.fixture
def shared_task() -> Task:
    """A task that two stations lead."""
    leads = [task_operations.lead(organisation(f"tram-{name}")) for name in ("binh-chanh", "nghia-phu")]
    return task_operations.put_task(
        key="qn.79-2026.thu", content="Súc rửa tuyến ống", subject=organisation("trung-tam").subject,
        plan=Plan.objects.get(key="qn.79-2026"), timing="BY_DATE", due_on=date(2026, 12, 15), by=person("qn.khkt"),
        units=leads,
    )  # fmt: skip


def report(task: Task, who: str, key: str, state: str, **said) -> None:
    task_operations.add_progress(
        task, organisation=organisation(key), state=state, text=said.pop("text", "Đã làm"), by=person(who), now=NOW,
        **said,
    )  # fmt: skip
    task.refresh_from_db()


def test_the_same_task_put_twice_is_one_and_unchanged(shared_task):
    again = task_operations.put_task(
        key=shared_task.key, content=shared_task.content, subject=shared_task.subject, plan=shared_task.plan,
        timing="BY_DATE", due_on=shared_task.due_on,
    )  # fmt: skip

    assert (again.pk, again.version) == (shared_task.pk, 1)
    assert AuditEntry.objects.filter(action="planning.task.saved", target_id=str(again.pk)).count() == 1


def test_a_task_of_two_leads_is_done_when_both_have_said_so(shared_task):
    report(shared_task, "qn.binhchanh", "tram-binh-chanh", "DONE")
    assert (shared_task.state, shared_task.share_pct) == ("DOING", 50)

    report(shared_task, "qn.nghiaphu", "tram-nghia-phu", "DONE")
    assert (shared_task.state, shared_task.share_pct) == ("DONE", 100)


def test_a_unit_that_cooperates_reports_but_does_not_move_the_task(shared_task):
    units = [
        task_operations.lead(organisation("tram-binh-chanh")),
        task_operations.cooperate(organisation("tram-nghia-phu")),
    ]
    task = task_operations.put_task(
        key="qn.79-2026.thu-2", content="Kiểm tra đồng hồ", subject=shared_task.subject, units=units
    )

    report(task, "qn.nghiaphu", "tram-nghia-phu", "DONE")

    assert task.state == "NOT_STARTED"
    assert task.progress.count() == 1


def test_a_manager_closes_with_a_reason_and_opens_again(shared_task):
    leader = person("qn.lanhdao")
    report(shared_task, "qn.binhchanh", "tram-binh-chanh", "DONE")

    task_operations.decide(shared_task, state="DONE", reason="Trạm kia đã bàn giao", by=leader, now=NOW)
    shared_task.refresh_from_db()
    assert shared_task.state == "DONE"
    with pytest.raises(TaskError, match="Đề nghị mở lại"):
        report(shared_task, "qn.nghiaphu", "tram-nghia-phu", "DOING")

    task_operations.decide(shared_task, state="DOING", reason="Chưa súc rửa hết", by=leader, now=NOW)
    shared_task.refresh_from_db()
    assert shared_task.state == "DOING"  # who had said «done» is at work again
    report(shared_task, "qn.nghiaphu", "tram-nghia-phu", "DONE")
    assert shared_task.state == "DOING"


def test_a_reason_and_a_result_must_be_written(shared_task):
    with pytest.raises(TaskError, match="lý do"):
        task_operations.decide(shared_task, state="DONE", reason="  ", by=person("qn.lanhdao"), now=NOW)
    with pytest.raises(TaskError, match="kết quả"):
        report(shared_task, "qn.binhchanh", "tram-binh-chanh", "DOING", text=" ")
    with pytest.raises(TaskError, match="0 đến 100"):
        report(shared_task, "qn.binhchanh", "tram-binh-chanh", "DOING", share_pct=101)


def test_only_a_manager_gives_a_task_up(shared_task):
    with pytest.raises(TaskError, match="quyết định của người quản lý"):
        report(shared_task, "qn.binhchanh", "tram-binh-chanh", "CANCELLED")


def test_a_station_reports_for_itself_alone(shared_task):
    with pytest.raises(PermissionDenied):
        report(shared_task, "qn.binhchanh", "tram-nghia-phu", "DONE")
    with pytest.raises(PermissionDenied):
        report(shared_task, "cb.capnuoc", "tram-nghia-phu", "DONE")
    with pytest.raises(TaskError, match="không có trong các đơn vị"):
        report(shared_task, "qn.khkt", "tram-binh-hai", "DONE")


def test_a_stranger_neither_reads_nor_comments(shared_task):
    stranger = person("cb.phuchoa")

    assert not task_operations.list_readable(stranger).filter(pk=shared_task.pk).exists()
    with pytest.raises(PermissionDenied):
        task_operations.comment(shared_task, "Ý kiến", by=stranger, now=NOW)


@pytest.mark.parametrize("username", ["qn.binhchanh", "qn.sonnmt", "doitac"])
def test_who_only_reads_cannot_change_close_or_hand_over(shared_task, username):
    by = person(username)
    with pytest.raises(PermissionDenied):
        task_operations.put_task(key=shared_task.key, content="Khác", subject=shared_task.subject, by=by)
    with pytest.raises(PermissionDenied):
        task_operations.decide(shared_task, state="DONE", reason="Xong", by=by, now=NOW)
    with pytest.raises(PermissionDenied):
        task_operations.hand_over(
            shared_task, from_organisation=organisation("tram-binh-chanh"), reason="Đổi", on_date=TODAY, by=by,
            to_organisation=organisation("tram-binh-hai"), now=NOW,
        )  # fmt: skip


def test_a_task_cannot_change_hands_on_a_day_to_come(shared_task):
    with pytest.raises(TaskError, match="chưa tới"):
        task_operations.hand_over(
            shared_task, from_organisation=organisation("tram-binh-chanh"), reason="Đổi", by=person("qn.khkt"),
            to_organisation=organisation("tram-binh-hai"), on_date=TODAY + timedelta(days=1), now=NOW,
        )  # fmt: skip


def test_of_two_who_edit_at_once_the_second_is_told(shared_task):
    said = {"subject": shared_task.subject, "plan": shared_task.plan, "by": person("qn.khkt"), "version": 1}
    task_operations.put_task(key=shared_task.key, content="Súc rửa tuyến ống chính", **said)

    with pytest.raises(ChangedMeanwhile, match="vừa được người khác sửa"):
        task_operations.put_task(key=shared_task.key, content="Súc rửa tuyến ống nhánh", **said)

    shared_task.refresh_from_db()
    assert (shared_task.content, shared_task.version) == ("Súc rửa tuyến ống chính", 2)


def test_the_lead_passes_to_another_unit_and_both_are_told(shared_task):
    report(shared_task, "qn.binhchanh", "tram-binh-chanh", "DONE")
    Notice.objects.all().delete()

    task_operations.hand_over(
        shared_task, from_organisation=organisation("tram-binh-chanh"), to_organisation=organisation("tram-binh-hai"),
        reason="Tuyến ống thuộc trạm Bình Hải", on_date=TODAY, by=person("qn.khkt"), now=NOW, version=1,
    )  # fmt: skip

    shared_task.refresh_from_db()
    leads = set(shared_task.units.filter(role="LEAD").values_list("organisation__subject__key", flat=True))
    assert leads == {"org.qn.tram-binh-hai", "org.qn.tram-nghia-phu"}
    assert shared_task.state == "NOT_STARTED"  # what the former unit said does not count for the new one
    assert shared_task.progress.count() == 1
    assert "qn.binhchanh" in Notice.objects.values_list("person__username", flat=True)


def test_a_unit_that_stays_keeps_what_it_said(shared_task):
    report(shared_task, "qn.binhchanh", "tram-binh-chanh", "DONE")
    units = [task_operations.lead(organisation("tram-binh-chanh")), task_operations.lead(organisation("tram-binh-hai"))]

    task_operations.put_task(
        key=shared_task.key, content=shared_task.content, subject=shared_task.subject, plan=shared_task.plan,
        units=units, by=person("qn.khkt"),
    )  # fmt: skip

    assert TaskUnit.objects.get(task=shared_task, organisation=organisation("tram-binh-chanh")).state == "DONE"


def test_a_day_before_the_first_is_refused(shared_task):
    with pytest.raises(TaskError, match="ngày bắt đầu sau hạn"):
        task_operations.put_task(
            key="x.1", content="Việc", subject=shared_task.subject, starts_on=date(2026, 5, 2), due_on=date(2026, 5, 1)
        )
    with pytest.raises(TaskError, match="chưa có hạn"):
        task_operations.put_task(key="x.1", content="Việc", subject=shared_task.subject, timing="BY_DATE")


def test_evidence_is_kept_with_its_entry(shared_task):
    station = person("qn.binhchanh")
    stored = files.store(b"%PDF-1.4 x", name="bien-ban.pdf", by=station, kinds=frozenset({"pdf"}))

    report(shared_task, "qn.binhchanh", "tram-binh-chanh", "DOING", files=[stored])

    assert shared_task.progress.get().files.get() == stored


# --- reminders


def remind_on(day: date) -> int:
    return task_operations.remind(now=datetime(day.year, day.month, day.day, 7, tzinfo=NOW.tzinfo))


@pytest.fixture
def only_shared_task(shared_task) -> Task:
    Task.objects.exclude(pk=shared_task.pk).update(due_on=None, timing="UNSTATED")
    return shared_task


def test_each_reminder_goes_out_once(only_shared_task):
    Notice.objects.all().delete()
    due = only_shared_task.due_on

    counts = [remind_on(due - timedelta(days=days)) for days in (8, 7, 7, 6, 3, 1, 0, 0)]

    assert counts == [0, 1, 0, 0, 1, 1, 1, 0]
    received = Notice.objects.filter(person__username="qn.binhchanh", kind="planning.task")
    assert [notice.text[:12] for notice in received.order_by("pk")] == [
        "Còn 7 ngày: ", "Còn 3 ngày: ", "Còn 1 ngày: ", "Đến hạn hôm ",
    ]  # fmt: skip
    assert TaskReminder.objects.count() == 4


def test_what_is_overdue_is_reminded_of_weekly_and_only_who_still_owes(only_shared_task):
    report(only_shared_task, "qn.binhchanh", "tram-binh-chanh", "DONE")
    Notice.objects.all().delete()
    due = only_shared_task.due_on

    counts = [remind_on(due + timedelta(days=days)) for days in (1, 2, 7, 8)]

    assert counts == [1, 0, 0, 1]
    told = set(Notice.objects.values_list("person__username", flat=True))
    assert "qn.nghiaphu" in told
    assert "qn.binhchanh" not in told
    assert "quantri" not in told


def test_a_new_due_date_is_reminded_of_anew_and_a_finished_task_not_at_all(only_shared_task):
    assert remind_on(only_shared_task.due_on) == 1
    Task.objects.update(due_on=date(2026, 12, 31))
    Task.objects.exclude(pk=only_shared_task.pk).update(due_on=None)
    assert remind_on(date(2026, 12, 31)) == 1

    Task.objects.filter(pk=only_shared_task.pk).update(state="DONE")
    assert remind_on(date(2027, 1, 10)) == 0


def test_tasks_of_a_plan_that_has_ended_are_left_in_peace(only_shared_task):
    Plan.objects.filter(pk=only_shared_task.plan_id).update(valid_from=date(2025, 1, 1), valid_to=date(2026, 12, 1))

    assert remind_on(only_shared_task.due_on) == 0


# --- meetings and campaigns


@pytest.fixture
def meeting():
    centre = organisation("trung-tam")
    return task_operations.put_meeting(
        kind="INSPECTION", title="Đoàn kiểm tra tháng 11", host=centre, subject=centre.subject, held_on=TODAY,
        plan=Plan.objects.get(key="qn.79-2026"), by=person("qn.lanhdao"),
        conclusions=[(None, "Trạm Bình Chánh thay van"), (None, "Rà soát hồ sơ"), (None, " ")],
    )  # fmt: skip


def test_a_conclusion_becomes_a_task_of_the_plan_once(meeting):
    first = meeting.conclusions.first()
    leads = [organisation("tram-binh-chanh")]

    task = task_operations.make_task(first, leads=leads, due_on=date(2026, 12, 1), by=person("qn.khkt"))

    assert (task.content, task.plan.key, task.timing) == ("Trạm Bình Chánh thay van", "qn.79-2026", "BY_DATE")
    assert Notice.objects.filter(person__username="qn.binhchanh", text__contains="thay van").exists()
    with pytest.raises(TaskError, match="đã được giao"):
        task_operations.make_task(first, leads=leads, due_on=None, by=person("qn.khkt"))
    shown = task_queries.with_conclusions(task_queries.list_meetings(person("qn.khkt"))).get()
    assert (shown.conclusion_count, shown.given_out, shown.task_done) == (2, 1, 0)


def test_a_conclusion_that_became_a_task_is_not_dropped(meeting):
    first, second = meeting.conclusions.all()
    task_operations.make_task(first, leads=[organisation("tram-binh-chanh")], due_on=None, by=person("qn.khkt"))
    said = {
        "kind": meeting.kind, "title": meeting.title, "host": meeting.host, "subject": meeting.subject,
        "held_on": meeting.held_on, "meeting": meeting, "by": person("qn.khkt"),
    }  # fmt: skip

    with pytest.raises(TaskError, match="không xóa được"):
        task_operations.put_meeting(**said, conclusions=[(second.pk, second.text)])
    task_operations.put_meeting(**said, version=1, conclusions=[(first.pk, first.text), (None, "Họp lại sau")])

    assert [row.text for row in meeting.conclusions.all()] == ["Trạm Bình Chánh thay van", "Họp lại sau"]
    with pytest.raises(ChangedMeanwhile):
        task_operations.put_meeting(**said, version=1)


def test_a_station_records_its_own_campaign_and_sums_add_up():
    station, team = person("qn.binhchanh"), organisation("tram-binh-chanh")
    said = {
        "kind": "COMMUNICATION", "organisation": team, "subject": team.subject, "from_date": TODAY, "to_date": TODAY,
        "audience": "hộ dân chưa đấu nối", "by": station,
    }  # fmt: skip
    task_operations.put_campaign(title="Đợt 1", expected_count=100, reached_count=80, **said)
    task_operations.put_campaign(title="Đợt 2", expected_count=100, **said)
    task_operations.put_campaign(title="Đợt 3", reached_count=50, **said)

    sums = task_queries.sum_campaigns(task_queries.list_campaigns(station))

    assert (sums.campaigns, sums.expected, sums.reached, sums.counted) == (3, 200, 130, 2)
    assert sums.share_pct == 80  # over the one campaign with both numbers
    with pytest.raises(PermissionDenied):
        task_operations.put_campaign(title="Đợt 4", **said | {"organisation": organisation("tram-nghia-phu")})
    with pytest.raises(TaskError, match="trước ngày bắt đầu"):
        task_operations.put_campaign(title="Đợt 5", **said | {"to_date": TODAY - timedelta(days=1)})


def test_a_grant_that_ended_gets_no_reminder(only_shared_task):
    grant = person("qn.binhchanh").grants.get()
    places.end_grant(grant, on_date=timezone.localdate(), by=person("quantri"))

    remind_on(only_shared_task.due_on)

    assert not Notice.objects.filter(person__username="qn.binhchanh", text__contains="Súc rửa").exists()
