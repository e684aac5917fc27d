"""An agency reports on what is given to its own organisation, and on nothing else."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import PermissionDenied
from django.urls import reverse

from machnuoc.core.models import Notice, Person
from machnuoc.places import access
from machnuoc.places import operations as places
from machnuoc.places.models import Organisation, Subject
from machnuoc.planning import duty_operations, programme_queries, task_operations, task_queries
from machnuoc.planning.models import Criterion, Duty, Programme, SubIndicator, Task, TaskUnit

pytestmark = pytest.mark.usefixtures("demo_data", "db")
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=ZoneInfo("Asia/Ho_Chi_Minh"))
TODAY = NOW.date()


def person(username: str) -> Person:
    return Person.objects.get(username=username)


def organisation(key: str) -> Organisation:
    return Organisation.objects.select_related("subject").get(subject__key=key)


@pytest.fixture
def construction_of_khanh_hoa() -> Person:
    """Someone of Sở Xây dựng Khánh Hòa, whose one grant names the agency."""
    made = Person.objects.create_user(username="kh.xaydung", password="một mật khẩu dài 2026")
    places.give_grant(
        person=made, role="AGENCY", scope=organisation("org.kh.so-xay-dung").subject, valid_from=date(2026, 1, 1),
        by=None,
    )  # fmt: skip
    return made


def test_an_agency_reports_on_its_own_task_and_not_on_that_of_a_supplier():
    agency, own = person("cb.soxaydung"), organisation("org.cb.so-xay-dung")
    task = Task.objects.get(key="cb.cap-nuoc-2026.vii.1.1")
    supplier = organisation("org.cb.cap-nuoc-cao-bang")
    TaskUnit.objects.create(task=task, organisation=supplier, role="LEAD")

    task_operations.add_progress(task, organisation=own, state="DOING", text="Đã hướng dẫn", by=agency, now=NOW)

    assert [unit.organisation_id for unit in task_operations.list_acting(agency, task)] == [own.pk]
    with pytest.raises(PermissionDenied):
        task_operations.add_progress(task, organisation=supplier, state="DONE", text="Xong", by=agency, now=NOW)


def test_an_agency_finds_its_tasks_among_its_own_and_on_its_overview(client):
    agency = person("cb.soxaydung")
    mine = Task.objects.filter(task_queries.list_mine(agency))
    client.force_login(agency)

    page = client.get(reverse("planning:task_detail", args=["cb.cap-nuoc-2026.vii.1.1"]))

    led = TaskUnit.objects.filter(role="LEAD", organisation=organisation("org.cb.so-xay-dung")).values("task")
    assert set(mine) == set(Task.objects.filter(pk__in=led)) and len(mine) >= 4
    assert "Ghi tiến độ" in page.content.decode()


def test_an_agency_answers_for_no_organisation_that_lies_in_it():
    department, centre = organisation("org.qn.so-nnmt"), organisation("org.qn.trung-tam")

    assert centre.parent_id == department.pk
    assert access.list_own_agencies(person("qn.sonnmt")) == [department.pk]
    task = Task.objects.filter(units__organisation=centre, units__role="LEAD").first()
    assert task is not None
    with pytest.raises(PermissionDenied):
        task_operations.add_progress(
            task, organisation=centre, state="DONE", text="Xong", by=person("qn.sonnmt"), now=NOW
        )


def test_an_agency_of_a_territory_without_an_organisation_of_its_own_reports_on_nothing():
    made = Person.objects.create_user(username="cb.khac", password="một mật khẩu dài 2026")
    places.give_grant(
        person=made, role="AGENCY", scope=Subject.objects.get(key="vn.cao-bang"), valid_from=date(2026, 1, 1), by=None
    )

    assert not task_operations.list_acting(made, Task.objects.get(key="cb.cap-nuoc-2026.vii.1.1"))


def test_an_agency_marks_its_own_report_as_sent_and_no_other():
    agency = person("cb.soxaydung")
    duty = Duty.objects.get(key="duty.cb.tong-hop")
    own, other = organisation("org.cb.so-xay-dung"), organisation("org.cb.so-nnmt")
    asked = duty_operations.add_ad_hoc(
        duty, organisations=[own], due_on=date(2026, 12, 15), reason="Công văn thử", today=TODAY
    )[0]

    duty_operations.submit(asked, submitted_on=TODAY, note="12/BC-SXD", today=TODAY, by=agency)

    asked.refresh_from_db()
    assert asked.submitted_by == agency
    assert Notice.objects.filter(person=agency, text__startswith="Báo cáo đột xuất").exists()
    asked.organisation = other
    assert not duty_operations.may_submit(agency, asked)


def test_an_agency_named_by_its_grant_alone_reviews_its_criteria_and_no_others(construction_of_khanh_hoa):
    programme = programme_queries.get_programme("kh.1355-2024", construction_of_khanh_hoa)
    place = Subject.objects.get(key="vn.khanh-hoa-cu.khanh-son-huyen.son-binh-xa")
    own = Criterion.objects.get(criteria_set__key="xa-ntm-2021-2025", number="9")
    part = SubIndicator.objects.get(criterion__criteria_set__key="xa-ntm-2021-2025", number="17.5")
    others = SubIndicator.objects.get(criterion__criteria_set__key="xa-ntm-2021-2025", number="17.1")

    assert isinstance(programme, Programme)
    assert programme_queries.may_assess(construction_of_khanh_hoa, programme, place, own)
    assert programme_queries.may_assess(construction_of_khanh_hoa, programme, place, part.criterion, part)
    assert not programme_queries.may_assess(construction_of_khanh_hoa, programme, place, others.criterion, others)
    assert programme_queries.visible_units(construction_of_khanh_hoa, programme) is None
