"""Two people in the same moment: what one does is done once, and the other is told or finds it done."""

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
from django.db import connection

from machnuoc.core.models import AuditEntry, Person
from machnuoc.core.periods import Period
from machnuoc.places import operations as places
from machnuoc.places.models import AdministrativeUnit, Grant, Organisation, Subject
from machnuoc.planning import (
    duty_operations,
    handover_operations,
    plan_operations,
    programme_operations,
    project_operations,
    task_operations,
)
from machnuoc.planning.errors import ChangedMeanwhile, PlanningError
from machnuoc.planning.models import (
    Assessment,
    CriteriaSet,
    Criterion,
    Disbursement,
    Dossier,
    Duty,
    DutyInstance,
    Handover,
    HandoverMove,
    Plan,
    Programme,
    Project,
    Proposal,
    SubIndicator,
    Task,
    UnitProfile,
)
from machnuoc.reports import errors as report_errors
from machnuoc.reports import operations as reports
from machnuoc.reports.models import Delivery, Report, Snapshot
from machnuoc.works.models import Work

pytestmark = pytest.mark.django_db(transaction=True)
TODAY = date(2026, 11, 22)
NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


def together(*acts: Callable[[], object], times: int = 4) -> list[Exception]:
    """Run the act `times` times at once, or several acts once each; return what went wrong."""
    errors: list[Exception] = []
    chosen = list(acts) if len(acts) > 1 else list(acts) * times
    start = threading.Barrier(len(chosen))

    def run(act: Callable[[], object]) -> None:
        try:
            start.wait(10)
            act()
        except Exception as reason:
            errors.append(reason)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[act]) for act in chosen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


@pytest.fixture
def place() -> Subject:
    subject = Subject.objects.create(key="vn.thu", kind=Subject.Kind.UNIT, name="Tỉnh Thử")
    AdministrativeUnit.objects.create(
        subject=subject, level=AdministrativeUnit.Level.PROVINCE, full_name="Tỉnh Thử", is_in_force=True
    )
    return subject


def make_organisation(name: str) -> Organisation:
    subject = Subject.objects.create(key=f"org.{name}", kind=Subject.Kind.ORGANISATION, name=name)
    return Organisation.objects.create(subject=subject, kind=Organisation.Kind.STATION)


def test_the_dates_of_a_duty_are_opened_once(place):
    duty_operations.put_duty(
        key="duty.thu", name="Báo cáo tháng", subject=place, rule="FREQ=MONTHLY;BYMONTHDAY=14",
        units=[make_organisation(name) for name in ("a", "b", "c")],
    )  # fmt: skip

    assert together(lambda: duty_operations.open_instances(TODAY)) == []
    rows = DutyInstance.objects.filter(duty=Duty.objects.get())
    assert rows.count() == rows.values("organisation", "rule_date").distinct().count() >= 36


def test_a_work_is_in_one_open_handover(place):
    receiver = make_organisation("nhan")
    subject = Subject.objects.create(key="work.thu", kind=Subject.Kind.WORK, name="Công trình Thử")
    work = Work.objects.create(subject=subject, kind=Work.Kind.SCHEME, sector=Work.Sector.RURAL)

    errors = together(
        lambda: handover_operations.request_handover(
            name="Công trình Thử", place=place, receiver=receiver, work=work, today=TODAY
        )
    )

    assert {type(error) for error in errors} == {handover_operations.HandoverError} and len(errors) == 3
    assert Handover.objects.count() == 1


# --- money ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(place) -> Project:
    return project_operations.put_project(key="project.thu", name="Dự án Thử", total_vnd=1_000)


def test_payments_at_once_do_not_exceed_the_total(project):
    errors = together(
        lambda: project_operations.disburse(project, on_date=TODAY, amount_vnd=600, today=TODAY, voucher="1")
    )

    assert [type(error) for error in errors] == [project_operations.ProjectError] * 3
    assert Disbursement.objects.get().amount_vnd == 600
    assert AuditEntry.objects.filter(action="planning.project.disbursed").count() == 1


def test_a_payment_is_reversed_once(project):
    entry = project_operations.disburse(project, on_date=TODAY, amount_vnd=600, today=TODAY)

    errors = together(lambda: project_operations.reverse_disbursement(entry, reason="Ghi nhầm"))

    assert [type(error) for error in errors] == [project_operations.ProjectError] * 3
    assert sorted(Disbursement.objects.values_list("amount_vnd", flat=True)) == [-600, 600]


# --- works ----------------------------------------------------------------------------------------------------------


def test_a_handover_is_decided_and_taken_over_once(place, person):
    handover = handover_operations.request_handover(
        name="Công trình Thử", place=place, receiver=make_organisation("nhan"), today=TODAY
    )
    said = {"on_date": TODAY, "version": None, "today": TODAY}
    handover_operations.record_inventory(handover, [handover_operations.Item("Bể", condition=4)], **said)
    handover_operations.record_condition(handover, {}, **said)
    handover = handover_operations.check_papers(handover, [handover_operations.Paper("Bản vẽ")], **said)

    errors = together(
        lambda: handover_operations.decide(
            handover, decision_as_printed="Quyết định số 1", decided_on=TODAY, version=handover.version, today=TODAY
        )
    )
    assert [type(error) for error in errors] == [ChangedMeanwhile] * 3
    assert HandoverMove.objects.filter(to_step=Handover.Step.DECIDED).count() == 1

    errors = together(
        lambda: handover_operations.take_over(
            handover, effective_on=TODAY, opening_households=10, version=None, by=person, now=NOW
        )
    )
    assert [type(error) for error in errors] == [handover_operations.HandoverError] * 3
    assert Work.objects.count() == HandoverMove.objects.filter(to_step=Handover.Step.EFFECTIVE).count() == 1


# --- plans and criteria ---------------------------------------------------------------------------------------------


@pytest.fixture
def person(place) -> Person:
    made = Person.objects.create_user("nguoi-thu", "mot-mat-khau-dai", full_name="Người Thử")
    places.rebuild_containment([place.pk])
    places.give_grant(person=made, role=Grant.Role.ADMIN, scope=place, by=None)
    return made


@pytest.fixture
def plan(place) -> Plan:
    return plan_operations.put_plan(key="ke-hoach-thu", name="Kế hoạch Thử", short_name="Thử", territory=place)


def test_a_proposal_is_decided_once(plan, place, person):
    unit = make_organisation("chu-tri")
    target = plan_operations.put_target(
        plan=plan, key="mot", name="Một", subject=place, comparator="GE", amount=1, units=[plan_operations.lead(unit)]
    )
    decider = Person.objects.create_user("nguoi-duyet", "mot-mat-khau-dai", full_name="Người Duyệt")
    proposal = plan_operations.save_proposal(
        target, unit, cause_kind="OBJECTIVE", cause="Mưa", solution="Chờ", by=person
    )
    errors = together(lambda: plan_operations.submit_proposal(proposal, by=person, now=NOW))
    assert [type(error) for error in errors] == [PlanningError] * 3

    errors = together(
        lambda: plan_operations.decide_proposal(proposal, approve=True, text="", by=decider, now=NOW),
        lambda: plan_operations.decide_proposal(proposal, approve=False, text="Chưa rõ", by=decider, now=NOW),
    )
    assert [type(error) for error in errors] == [PlanningError]
    assert Proposal.objects.get().state in {Proposal.State.APPROVED, Proposal.State.RETURNED}
    assert AuditEntry.objects.filter(action="planning.proposal.decided").count() == 1


def test_the_same_new_task_or_plan_twice_at_once_is_no_error_of_the_program(plan, place, person):
    errors = together(
        lambda: task_operations.add_task(
            content="Sửa ống", plan=plan, subject=place, timing=Task.Timing.CONTINUOUS, units=[], by=person
        )
    )
    assert errors == []
    assert Task.objects.count() == len(set(Task.objects.values_list("key", flat=True))) == 4


def test_a_new_plan_target_or_project_sent_twice_at_once_is_one_and_the_second_is_told(plan, place, person):
    said = {"name": "Kế hoạch mới", "short_name": "Kế hoạch mới", "territory": place, "by": person}
    target = {"plan": plan, "name": "Số hộ", "subject": place, "comparator": "GE", "amount": 1, "by": person}

    twice = [
        (together(lambda: plan_operations.add_plan(**said), times=2), Plan.objects.filter(short_name="Kế hoạch mới")),
        (together(lambda: plan_operations.add_target(**target), times=2), plan.targets.filter(name="Số hộ")),
        (
            together(lambda: project_operations.add_project(name="Tuyến ống", plan=plan, by=person), times=2),
            Project.objects.filter(subject__name="Tuyến ống"),
        ),
    ]

    for errors, rows in twice:
        assert rows.count() == 1
        (error,) = errors
        assert isinstance(error, PlanningError | places.ChangedMeanwhile)
        assert "vừa được" in str(error)


@pytest.fixture
def programme(plan, place) -> Programme:
    criteria_set = CriteriaSet.objects.create(key="bo-thu", name="Bộ Thử", level="COMMUNE", tier="BASIC")
    criterion = Criterion.objects.create(criteria_set=criteria_set, number="1", name="Nước", order=1)
    SubIndicator.objects.create(criterion=criterion, number="1.1", name="Nước sạch", entry="JUDGED", order=1)
    made = programme_operations.put_programme(plan=plan, sets=[criteria_set], units=[place])
    return made


def test_two_people_at_an_empty_cell_make_one_assessment_and_the_second_is_told(programme, place, person):
    part = SubIndicator.objects.get()

    errors = together(
        lambda: programme_operations.assess(
            programme, place, year=2026, sub_indicator=part, result="MET", version=0, by=person, now=NOW
        )
    )

    assert [type(error) for error in errors] == [ChangedMeanwhile] * 3
    assert Assessment.objects.get().version == 1


def test_a_dossier_is_opened_once_and_a_place_has_one_region_a_day(programme, place, person):
    def open_it() -> Dossier:
        return programme_operations.open_dossier(programme, place, tier="BASIC", year=2026, on_date=TODAY, by=person)

    assert together(open_it) == []
    assert Dossier.objects.get().events.count() == 1
    assert together(lambda: programme_operations.put_profile(place, commune_group=1, valid_from=TODAY, by=person)) == []
    assert UnitProfile.objects.count() == 1


# --- reports --------------------------------------------------------------------------------------------------------


@pytest.fixture
def writer(place) -> Person:
    return Person.objects.create_user("nguoi-viet", "mot-mat-khau-dai", full_name="Người Viết")


@pytest.fixture
def director(place) -> Person:
    return Person.objects.create_user("nguoi-ky", "mot-mat-khau-dai", full_name="Người Ký")


@pytest.fixture
def report(place, writer, director) -> Report:
    centre = make_organisation("trung-tam")
    centre.territory = place.unit
    centre.save()
    places.rebuild_containment([centre.pk])
    places.give_grant(person=writer, role=Grant.Role.DEPARTMENT, scope=centre.subject, by=None)
    places.give_grant(person=director, role=Grant.Role.LEADER, scope=centre.subject, by=None)
    made = reports.prepare("qn_monthly", centre, Period.parse("2026-10"), by=writer, now=NOW)
    for section in made.sections.all():
        reports.save_section(section, "Không có.", version=section.version, by=writer, now=NOW)
    return made


def test_two_who_sign_at_once_make_one_snapshot(report, writer, director):
    reports.submit(report, by=writer, now=NOW)

    errors = together(lambda: reports.approve(report, by=director, now=NOW))

    assert [type(error) for error in errors] == [report_errors.NotNow] * 3
    assert Snapshot.objects.count() == report.events.filter(what="approved").count() == 1


def test_a_report_that_is_signed_and_returned_at_once_is_one_of_both(report, writer, director):
    reports.submit(report, by=writer, now=NOW)

    errors = together(
        lambda: reports.approve(report, by=director, now=NOW),
        lambda: reports.return_report(report, "Thiếu số liệu", by=director, now=NOW),
    )

    assert [type(error) for error in errors] == [report_errors.NotNow]
    report.refresh_from_db()
    assert (report.state == Report.State.APPROVED) == Snapshot.objects.exists()


def test_what_is_signed_is_what_was_submitted_though_somebody_writes_at_the_same_moment(report, writer, director):
    section = report.sections.first()

    def sign() -> None:
        reports.submit(report, by=writer, now=NOW)
        reports.approve(report, by=director, now=NOW)

    errors = together(
        sign,
        lambda: reports.save_section(section, "Viết thêm.", version=section.version, by=writer, now=NOW),
    )

    assert {type(error) for error in errors} <= {report_errors.NotNow}
    section.refresh_from_db()
    content = reports.snapshot.read(Snapshot.objects.get())
    frozen = next(one["text"] for one in content["sections"] if one["key"] == section.key)
    assert frozen == section.text == ("Không có." if errors else "Viết thêm.")


def test_a_report_gets_its_number_once_and_goes_to_one_address_once(report, writer, director):
    reports.submit(report, by=writer, now=NOW)
    reports.approve(report, by=director, now=NOW)

    errors = together(lambda: reports.issue(report, number="5/BC-TTNS", issued_on=TODAY, by=writer, now=NOW))
    assert [type(error) for error in errors] == [report_errors.NotNow] * 3
    assert Snapshot.objects.count() == 2

    errors = together(lambda: reports.send(report, channel="FILE", to="Sở", by=writer, now=NOW))
    assert [type(error) for error in errors] == [report_errors.NotNow] * 3
    assert Delivery.objects.count() == report.events.filter(what="sent").count() == 1
    errors = together(lambda: reports.correct(report, "Sai số hộ", by=writer, now=NOW))
    assert [type(error) for error in errors] == [report_errors.NotNow] * 3
    assert Report.objects.count() == 2
