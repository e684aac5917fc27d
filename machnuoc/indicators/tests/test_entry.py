import threading
import time
from datetime import date
from decimal import Decimal

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext

from machnuoc.core.models import AuditEntry, Notice
from machnuoc.core.periods import Period
from machnuoc.indicators import entry, entry_queries, operations
from machnuoc.indicators.models import (
    DirtyRange,
    EntryForm,
    EntryFormLine,
    Fact,
    FormulaVersion,
    LateException,
    State,
    Submission,
    Value,
)
from machnuoc.indicators.tests import entry_world
from machnuoc.indicators.tests.entry_world import AUGUST, JULY, at
from machnuoc.places.models import AdministrativeUnit, Grant, Organisation, Subject


@pytest.fixture
def world(db):
    return entry_world.make_world()


def open_july(world, by=None, now=None):
    return entry.open_submission(world.form, world.south, JULY, by or world.writer, now or at(5))


def save(world, submission, texts, *, by=None, version=None, now=None, **more):
    """texts: {(metric, subject): text}"""
    cells = {(metric.pk, subject.pk): text for (metric, subject), text in texts.items()}
    return entry.save_cells(submission, cells, version=version, by=by or world.writer, now=now or at(5), **more)


def fill(world, submission, first="425", second="277", **more):
    more = {"by": world.writer, **more}
    texts = {(world.households, world.nghia_phu): first, (world.households, world.duc_thang): second}
    return save(world, submission, texts, **more)


def submit(world, submission, by=None, now=None):
    return entry.submit(submission, version=None, by=by or world.writer, now=now or at(6))


def approved(world, first="425", second="277", month=JULY):
    submission = entry.open_submission(world.form, world.south, month, world.writer, at(5, 9))
    fill(world, submission, first, second, now=at(5, 9))
    submit(world, submission, now=at(6, 9))
    return entry.approve(submission, by=world.leader, now=at(7, 9))


# --- opening --------------------------------------------------------------------------------------------------------


def test_a_sheet_is_opened_once(world):
    first = open_july(world)
    second = open_july(world, by=world.colleague)

    assert first == second
    assert [event.what for event in first.events.all()] == ["opened"]


def test_the_rows_are_the_works_of_the_organisation(world):
    grid = entry_queries.list_cells(open_july(world))

    assert [row.subject.name for row in grid.rows] == ["Nghĩa Phú", "Đức Thắng"]
    assert [column.title for column in grid.columns] == ["Số hộ đấu nối (hộ)", "Sản lượng (m³)"]


def test_a_work_stands_in_the_sheet_of_the_lowest_organisation_that_fills_the_form(world):
    world.form.organisations.add(world.centre)
    own = entry_world.make_work("cong-trinh.trung-tam", "Bể chứa", world.centre)

    held = entry_queries.list_held_subjects(world.form, world.centre)

    assert list(held) == [own]


def test_a_commune_reports_on_its_own_territory(world):
    province = Subject.objects.create(kind=Subject.Kind.UNIT, key="dia-ban.tinh", name="Tỉnh")
    commune = Subject.objects.create(kind=Subject.Kind.UNIT, key="dia-ban.xa", name="Xã Phục Hòa")
    entry_world.contain(province, [])
    entry_world.contain(commune, [province])
    AdministrativeUnit.objects.create(
        subject=commune, level="COMMUNE", unit_type="Xã", code="1", full_name="Xã Phục Hòa"
    )
    office = entry_world.make_organisation("to-chuc.ubnd-xa", "UBND xã Phục Hòa", Organisation.Kind.AUTHORITY)
    Organisation.objects.filter(pk=office.pk).update(territory_id=commune.pk)
    office.refresh_from_db()
    form = EntryForm.objects.create(key="bieu-xa", name="Biểu xã", period_kind="Y", subject_kind=Subject.Kind.UNIT)
    form.organisations.add(office)

    assert list(entry_queries.list_held_subjects(form, office)) == [commune]


def test_a_period_that_has_not_begun_is_refused(world):
    with pytest.raises(entry.EntryError, match="Tháng 09/2026 chưa bắt đầu"):
        entry.open_submission(world.form, world.south, Period.parse("2026-09"), world.writer, at(31))


def test_the_current_period_may_be_entered(world):
    assert entry.open_submission(world.form, world.south, AUGUST, world.writer, at(1)).period_start == date(2026, 8, 1)


def test_another_kind_of_period_is_refused(world):
    with pytest.raises(entry.EntryError, match="nhập theo tháng"):
        entry.open_submission(world.form, world.south, Period.parse("2026"), world.writer, at(5))


def test_an_organisation_outside_of_the_form_is_refused(world):
    with pytest.raises(entry.EntryError, match="không được giao nhập"):
        entry.open_submission(world.form, world.centre, JULY, world.planner, at(5))


@pytest.mark.parametrize("who", ["northerner", "stranger", "leader"])
def test_only_those_who_enter_for_the_organisation_open_its_sheet(world, who):
    with pytest.raises(PermissionDenied):
        open_july(world, by=getattr(world, who))


def test_a_grant_in_another_field_does_not_reach_the_form(world):
    person = entry_world.make_person(
        "do-thi", "Người Đô Thị", Grant.Role.STATION, world.south.subject, field=Grant.Field.URBAN
    )

    with pytest.raises(PermissionDenied):
        open_july(world, by=person)


# --- saving ---------------------------------------------------------------------------------------------------------


def test_good_cells_are_saved_and_bad_ones_named_by_row_and_column(world):
    submission = open_july(world)

    result = fill(world, submission, first="1.288", second="1,288.5")

    assert result.saved == 1
    (error,) = result.errors.values()
    assert error == "Đức Thắng · Số hộ đấu nối: “1,288.5” không phải số nguyên"
    assert submission.lines.get().number == 1288


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-1", "nhỏ hơn mức tối thiểu"),
        ("100001", "lớn hơn mức tối đa"),
        ("1,288", "có hai cách đọc"),
        ("mười", "không phải số"),
        ("12,5", "không phải số nguyên"),
        ("14/02/2026", "không phải số"),
    ],
)
def test_a_figure_that_cannot_be_is_not_saved(world, text, words):
    submission = open_july(world)

    result = fill(world, submission, first=text, second="")

    assert words in result.errors[world.households.pk, world.nghia_phu.pk]
    assert not submission.lines.exists()


def test_too_many_decimals_are_refused(world):
    result = save(world, open_july(world), {(world.volume, world.nghia_phu): "63,65"})

    assert "1 chữ số thập phân" in next(iter(result.errors.values()))


def test_a_decimal_figure_is_kept_exactly(world):
    submission = open_july(world)

    save(world, submission, {(world.volume, world.nghia_phu): "1.288,5"})

    assert submission.lines.get().number == 12885


def test_an_empty_text_is_missing_not_zero(world):
    submission = open_july(world)
    fill(world, submission)

    fill(world, submission, second="")

    assert submission.lines.get().subject == world.nghia_phu


def test_saving_the_same_again_changes_nothing(world):
    submission = open_july(world)
    fill(world, submission)

    result = fill(world, submission)

    assert result.saved == 0 and result.submission.version == 2


def test_a_cell_of_somebody_elses_work_is_refused_without_naming_it(world):
    result = save(world, open_july(world), {(world.households, world.hoa_binh): "5"})

    (error,) = result.errors.values()
    assert "Hòa Bình" not in error and "không có trong biểu" in error


def test_two_people_cannot_overwrite_each_other(world):
    submission = open_july(world)
    fill(world, submission, by=world.colleague, version=1)

    with pytest.raises(entry.ChangedMeanwhile) as refused:
        fill(world, submission, first="999", by=world.writer, version=1)

    assert "Trần Văn Cùng" in str(refused.value)
    assert "Nghĩa Phú · Số hộ đấu nối: – → 425" in str(refused.value)
    assert submission.lines.get(subject=world.nghia_phu).number == 425


def test_a_comment_does_not_stand_in_the_way_of_a_save(world):
    submission = open_july(world)
    entry.comment(submission, "Nhớ xem lại số hộ", by=world.leader, now=at(5))

    assert fill(world, submission, version=1).saved == 2


def test_a_large_change_warns_and_must_be_confirmed(world):
    approved(world)
    submission = entry.open_submission(world.form, world.south, AUGUST, world.writer, at(8, 9))
    key = (world.households.pk, world.nghia_phu.pk)

    result = fill(world, submission, first="600", now=at(8, 9))
    with pytest.raises(entry.NotReady) as refused:
        submit(world, submission, now=at(8, 9))
    fill(world, submission, first="600", now=at(8, 9), confirmed=[key])
    sent = submit(world, submission, now=at(8, 9))

    assert "tăng 41,2" in result.warnings[key][0]
    assert "Chưa đánh dấu «đã xem lại»" in refused.value.problems[0]
    assert sent.status == Submission.Status.SUBMITTED


def test_a_part_above_its_whole_warns(world):
    design = entry_world.make_metric("thu.thiet-ke", "Thiết kế")
    EntryFormLine.objects.create(form=world.form, metric=design, order=3, is_required=False)
    rate = entry_world.make_metric("thu.ty-le", "Tỷ lệ", kind="INDICATOR", unit="pct", source="COMPUTED")
    FormulaVersion.objects.create(metric=rate, numerator="thu.ho", denominator="thu.thiet-ke", factor=100)

    result = save(
        world, open_july(world), {(world.households, world.nghia_phu): "500", (design, world.nghia_phu): "425"}
    )

    assert "lớn hơn thiết kế" in result.warnings[world.households.pk, world.nghia_phu.pk][0]


def test_more_water_billed_than_let_in_warns(world):
    billed = entry_world.make_metric("thu.ghi-thu", "Ghi thu")
    EntryFormLine.objects.create(form=world.form, metric=billed, order=3, is_required=False)
    rate = entry_world.make_metric("thu.that-thoat", "Thất thoát", kind="INDICATOR", unit="pct", source="COMPUTED")
    FormulaVersion.objects.create(metric=rate, numerator="thu.ho - thu.ghi-thu", denominator="thu.ho", factor=100)

    result = save(
        world, open_july(world), {(world.households, world.nghia_phu): "400", (billed, world.nghia_phu): "425"}
    )

    assert "lớn hơn" in result.warnings[billed.pk, world.nghia_phu.pk][0]


def test_the_total_adds_what_is_there(world):
    submission = open_july(world)
    fill(world, submission)

    grid = entry_queries.list_cells(submission)

    assert [column.total for column in grid.columns] == [Decimal(702), None]


def test_the_grid_takes_the_same_queries_for_any_number_of_rows(world, django_assert_max_num_queries):
    submission = open_july(world)
    for number in range(60):
        entry_world.make_work(f"cong-trinh.them-{number}", f"Thêm {number}", world.south)

    with django_assert_max_num_queries(12):
        entry_queries.list_cells(submission)


# --- sending and deciding -------------------------------------------------------------------------------------------


def test_a_required_cell_must_be_filled_or_explained(world):
    submission = open_july(world)
    fill(world, submission, second="")
    with pytest.raises(entry.NotReady) as refused:
        submit(world, submission)

    fill(world, submission, second="", notes={(world.households.pk, world.duc_thang.pk): "Đồng hồ tổng hỏng"})
    sent = submit(world, submission)

    assert refused.value.problems == ["Đức Thắng · Số hộ đấu nối: chưa có số. Nhập số, hoặc ghi chú vì sao thiếu."]
    assert sent.status == Submission.Status.SUBMITTED


def test_sending_tells_the_approvers_and_marks_a_late_one(world):
    submission = open_july(world)
    fill(world, submission)

    in_time = submit(world, submission, now=at(14))
    entry.withdraw(submission, by=world.writer, now=at(15))
    late = submit(world, submission, now=at(15))

    assert not in_time.is_late and late.is_late
    assert set(Notice.objects.values_list("person__username", flat=True)) == {"lanh-dao", "lanh-dao2"}


def test_a_sent_sheet_is_not_edited(world):
    submission = open_july(world)
    fill(world, submission)
    submit(world, submission)

    with pytest.raises(entry.EntryError, match=r"đang chờ duyệt\. Rút lại"):
        fill(world, submission, first="1")


def test_approval_makes_the_figures_count(world):
    submission = approved(world)

    facts = Fact.objects.filter(superseded_at__isnull=True)
    values = {value.subject: value for value in Value.objects.filter(metric=world.households, period_kind="M")}

    assert {fact.number for fact in facts} == {425, 277}
    assert {fact.state for fact in facts} == {State.APPROVED}
    assert facts.filter(submission=submission).count() == 2
    assert values[world.nghia_phu].number == 425
    assert Notice.objects.filter(person=world.writer, text__contains="đã được Đỗ Văn Duyệt duyệt").exists()


def test_estimated_and_simulated_figures_say_so(world):
    key = (world.households.pk, world.nghia_phu.pk)
    submission = open_july(world)
    fill(world, submission, estimated=[key])
    submit(world, submission)
    entry.approve(submission, by=world.leader, now=at(7))
    simulated = entry.open_submission(world.form, world.south, AUGUST, world.writer, at(7), is_simulated=True)
    fill(world, simulated)
    submit(world, simulated)
    entry.approve(simulated, by=world.leader, now=at(7))

    assert Fact.objects.get(submission=submission, subject=world.nghia_phu).state == State.ESTIMATED
    assert set(Fact.objects.filter(submission=simulated).values_list("state", flat=True)) == {State.SIMULATED}


def test_who_sent_a_sheet_does_not_approve_it(world):
    Grant.objects.create(
        person=world.leader, role=Grant.Role.DEPARTMENT, scope=world.south.subject, valid_from=date(2025, 1, 1)
    )
    submission = open_july(world)
    fill(world, submission)
    submit(world, submission, by=world.leader)

    with pytest.raises(entry.EntryError, match="không tự duyệt được"):
        entry.approve(submission, by=world.leader, now=at(7))
    assert entry.approve(submission, by=world.second_leader, now=at(7)).status == Submission.Status.APPROVED


@pytest.mark.parametrize("who", ["writer", "planner", "northerner", "stranger"])
def test_only_approvers_decide(world, who):
    submission = open_july(world)
    fill(world, submission)
    submit(world, submission)

    with pytest.raises(PermissionDenied):
        entry.approve(submission, by=getattr(world, who), now=at(7))
    with pytest.raises(PermissionDenied):
        entry.return_for_correction(submission, reason="Sai", by=getattr(world, who), now=at(7))


def test_a_sheet_is_returned_with_a_reason(world):
    submission = open_july(world)
    fill(world, submission)
    submit(world, submission)
    with pytest.raises(entry.EntryError, match="Cần ghi lý do"):
        entry.return_for_correction(submission, reason="  ", by=world.leader, now=at(7))

    returned = entry.return_for_correction(submission, reason="Số hộ Nghĩa Phú giảm lạ", by=world.leader, now=at(7))
    fill(world, submission, first="430")

    assert returned.status == Submission.Status.RETURNED
    assert Notice.objects.filter(person=world.writer, text__contains="bị trả lại: Số hộ Nghĩa Phú giảm lạ").exists()
    assert submission.lines.get(subject=world.nghia_phu).number == 430


def test_figures_hold_until_a_reopened_sheet_is_approved_anew(world):
    submission = approved(world)
    entry.reopen(submission, reason="Đếm lại", by=world.leader, now=at(8, 9))
    fill(world, submission, first="430", second="", now=at(8, 9))
    save(
        world, submission, {(world.households, world.duc_thang): ""}, now=at(8, 9),
        notes={(world.households.pk, world.duc_thang.pk): "Ngừng cấp"},
    )  # fmt: skip
    while_open = set(Fact.objects.filter(superseded_at__isnull=True).values_list("number", flat=True))

    submit(world, submission, now=at(9, 9))
    entry.approve(submission, by=world.leader, now=at(10, 9))

    live = Fact.objects.filter(superseded_at__isnull=True)
    assert while_open == {425, 277}
    assert [(fact.subject, fact.number) for fact in live] == [(world.nghia_phu, 430)]
    assert not Value.objects.filter(metric=world.households, subject=world.duc_thang, number__isnull=False).exists()


def test_a_change_after_the_approver_looked_is_not_approved_unseen(world):
    submission = open_july(world)
    fill(world, submission)
    seen = submit(world, submission).version
    entry.withdraw(submission, by=world.writer, now=at(6))
    fill(world, submission, first="9999")
    submit(world, submission)

    with pytest.raises(entry.ChangedMeanwhile, match=r"425 → 9\.999"):
        entry.approve(submission, version=seen, by=world.leader, now=at(7))


def test_every_act_leaves_an_event_and_an_audit_row(world):
    submission = approved(world)
    entry.reopen(submission, reason="Đếm lại", by=world.leader, now=at(8, 9))

    assert [event.what for event in submission.events.all()] == ["opened", "saved", "submitted", "approved", "reopened"]
    assert AuditEntry.objects.filter(action__startswith="indicators.submission").count() == 5


# --- locks ----------------------------------------------------------------------------------------------------------


def test_the_day_of_the_lock_is_the_first_that_is_closed(world):
    last_open, first_closed = at(14, 9), at(15, 9)  # 45 days after 01/08/2026

    submission = open_july(world, now=last_open)
    with pytest.raises(entry.Locked) as refused:
        fill(world, submission, now=first_closed)

    assert "khóa từ ngày 15/09/2026" in str(refused.value)
    assert "Đỗ Văn Duyệt" in str(refused.value)
    assert not submission.lines.exists()


def test_a_late_exception_opens_the_period_to_its_last_day(world):
    entry.give_late_exception(
        world.form, world.south, JULY, until_date=date(2026, 10, 1), reason="Lũ", by=world.leader, now=at(20, 9)
    )

    submission = open_july(world, now=at(1, 10))
    with pytest.raises(entry.Locked):
        fill(world, submission, now=at(2, 10))

    assert fill(world, submission, now=at(1, 10)).saved == 2


def test_an_exception_needs_somebody_above(world):
    own_leader = entry_world.make_person("tram-truong", "Trạm Trưởng", Grant.Role.LEADER, world.south.subject)

    for person in (own_leader, world.writer, world.northerner):
        with pytest.raises(entry.EntryError, match="cấp trên"):
            entry.give_late_exception(
                world.form, world.south, JULY, until_date=date(2026, 10, 1), reason="Lũ", by=person, now=at(20, 9)
            )
    assert not LateException.objects.exists()


def test_an_exception_that_has_run_out_already_is_refused(world):
    with pytest.raises(entry.EntryError, match="từ 20/09/2026 trở đi"):
        entry.give_late_exception(
            world.form, world.south, JULY, until_date=date(2026, 9, 19), reason="Lũ", by=world.leader, now=at(20, 9)
        )


def test_a_work_that_no_longer_exists_is_refused_by_name(world):
    submission = open_july(world)
    Subject.objects.filter(pk=world.duc_thang.pk).update(valid_to=date(2026, 7, 1))

    result = fill(world, submission)

    assert "«Đức Thắng» đã hết hiệu lực từ 01/07/2026" in result.errors[world.households.pk, world.duc_thang.pk]


def test_a_work_that_ended_within_the_period_still_reports(world):
    submission = open_july(world)
    Subject.objects.filter(pk=world.duc_thang.pk).update(valid_to=date(2026, 7, 20))

    assert fill(world, submission).saved == 2


def test_figures_of_a_work_that_ended_meanwhile_keep_the_sheet_from_being_sent(world):
    submission = open_july(world)
    fill(world, submission)
    Subject.objects.filter(pk=world.duc_thang.pk).update(valid_to=date(2026, 7, 1))

    with pytest.raises(entry.NotReady) as refused:
        submit(world, submission)

    assert "Đức Thắng" in refused.value.problems[0]


# --- what is owed ---------------------------------------------------------------------------------------------------


def test_late_sheets_come_first(world):
    owed = entry_queries.list_owed(world.writer, at(20))

    assert [one.period.key for one in owed] == ["2026-07", "2026-08", "2026-05", "2026-06"]
    assert [(one.is_late, one.is_locked) for one in owed] == [(True, False), (False, False), (True, True), (True, True)]
    assert {one.organisation for one in owed} == {world.south}


def test_a_stranger_owes_nothing(world):
    assert entry_queries.list_owed(world.stranger, at(20)) == []


def test_the_queue_shows_what_the_person_may_decide(world):
    submission = open_july(world)
    fill(world, submission)
    submit(world, submission)

    assert list(entry_queries.list_queue(world.leader)) == [submission]
    assert entry_queries.list_queue(world.leader)[0].figures == 2
    assert not entry_queries.list_queue(world.writer).exists()


# --- races ----------------------------------------------------------------------------------------------------------


def together(*acts):
    """Run the acts at the same time on connections of their own, and return the errors they ended with."""
    barrier, errors = threading.Barrier(len(acts)), []

    def run(act):
        try:
            barrier.wait(timeout=10)
            act()
        except Exception as reason:
            errors.append(reason)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[act]) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


@pytest.mark.django_db(transaction=True)
def test_two_approvals_at_once_make_one_set_of_facts():
    world = entry_world.make_world()
    submission = open_july(world)
    fill(world, submission)
    submit(world, submission)

    errors = together(
        lambda: entry.approve(Submission.objects.get(pk=submission.pk), by=world.leader, now=at(7)),
        lambda: entry.approve(Submission.objects.get(pk=submission.pk), by=world.second_leader, now=at(7)),
    )

    assert [type(error) for error in errors] == [entry.EntryError]
    assert "đã được" in str(errors[0])
    assert Fact.objects.count() == 2
    assert submission.events.filter(what="approved").count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_saves_at_once_one_is_told_of_the_other():
    world = entry_world.make_world()
    submission = open_july(world)

    errors = together(
        lambda: fill(world, submission, first="1", by=world.writer, version=1),
        lambda: fill(world, submission, first="2", by=world.colleague, version=1),
    )

    assert [type(error) for error in errors] == [entry.ChangedMeanwhile]
    assert submission.lines.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_sheet_opened_by_two_at_once_is_one_sheet():
    world = entry_world.make_world()

    errors = together(lambda: open_july(world), lambda: open_july(world, by=world.colleague))

    assert errors == []
    assert Submission.objects.count() == 1


# --- beside what processes have marked ------------------------------------------------------------------------------


def leave_waiting(world, count):
    """As sensors do that send late: marks of many months, that nobody stands before."""
    months = [Period("M", date(1950 + number // 12, 1 + number % 12, 1)) for number in range(count // 100)]
    DirtyRange.objects.bulk_create(
        DirtyRange(
            metric=world.households, period_kind="M", from_date=month.start_date, to_date=month.end_date,
            reason="đến muộn", can_wait=True,
        )
        for month in months
        for _ in range(100)
    )  # fmt: skip


def test_an_approval_does_not_compute_what_a_hundred_thousand_marks_of_sensors_wait_for(world):
    submission = open_july(world)
    fill(world, submission)
    submit(world, submission)
    leave_waiting(world, 100_000)

    with CaptureQueriesContext(connection) as asked:
        begun_s = time.monotonic()
        entry.approve(submission, by=world.leader, now=at(7))
        took_s = time.monotonic() - begun_s

    assert Value.objects.get(metric=world.households, subject=world.nghia_phu, period_kind="M").number == 425
    assert DirtyRange.objects.filter(can_wait=True).count() == 100_000
    assert not DirtyRange.objects.filter(can_wait=False).exists()
    assert len(asked) < 200
    assert took_s < 3


def test_marks_that_wait_are_computed_in_steps_and_then_gone(world):
    approved(world)
    leave_waiting(world, 1_000)

    operations.recompute_dirty_in_steps(at(8))

    assert not DirtyRange.objects.exists()
    assert Value.objects.get(metric=world.households, subject=world.nghia_phu, period_kind="M").number == 425
