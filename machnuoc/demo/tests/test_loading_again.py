"""Loading the demonstration once more leaves what people have made of it."""

from datetime import UTC, date, datetime

import pytest

from machnuoc.core.models import Person
from machnuoc.demo.planning import duties, plans, projects, tasks
from machnuoc.places.models import Organisation
from machnuoc.planning import (
    duty_operations,
    handover_operations,
    plan_operations,
    project_operations,
    task_operations,
)
from machnuoc.planning.models import Duty, Handover, Plan, Project, Task

pytestmark = pytest.mark.usefixtures("demo_data", "db")
NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
TODAY = date(2026, 11, 22)


@pytest.fixture
def leader() -> Person:
    return Person.objects.get(username="qn.lanhdao")


def test_a_task_that_people_edited_or_handed_over_stays(leader):
    edited = Task.objects.get(key="qn.79-2026.phu-luc-2.4")
    task_operations.put_task(
        key=edited.key, content="Tiếp nhận thêm công trình", subject=edited.subject, plan=edited.plan,
        order=edited.order, timing="BY_DATE", due_on=date(2026, 12, 20), by=leader,
    )  # fmt: skip
    given = Task.objects.get(key="qn.79-2026.phu-luc-2.6")
    office, other = (
        Organisation.objects.get(subject__key=f"org.qn.{key}") for key in ("phong-kh-kt-tt", "phong-hc-th")
    )
    task_operations.hand_over(
        given,
        from_organisation=office,
        to_organisation=other,
        reason="Phân công lại",
        on_date=TODAY,
        by=leader,
        now=NOW,
    )

    tasks.load_tasks(NOW)

    edited.refresh_from_db()
    assert (edited.content, edited.due_on, edited.target) == ("Tiếp nhận thêm công trình", date(2026, 12, 20), None)
    assert given.units.get(role="LEAD").organisation == other


def test_a_duty_that_people_changed_stays_and_the_others_are_as_printed(leader):
    edited, other = (Duty.objects.get(key=f"duty.qn.{key}") for key in ("thang", "quy"))
    duty_operations.put_duty(
        key=edited.key, name="Báo cáo tháng (đã sửa)", subject=edited.subject, plan=edited.plan, timing=edited.timing,
        rule=edited.rule, units=[unit.organisation for unit in edited.units.all()], by=leader,
    )  # fmt: skip
    Duty.objects.filter(pk=other.pk).update(name="Hỏng")

    duties.load_duties(NOW)

    edited.refresh_from_db()
    other.refresh_from_db()
    assert edited.name == "Báo cáo tháng (đã sửa)"
    assert other.name.startswith("Báo cáo quý")


def test_a_plan_that_people_edited_stays(leader):
    plan = Plan.objects.get(key="qn.79-2026")
    plan_operations.put_plan(
        key=plan.key, name=plan.name, short_name="Kế hoạch 79 đã sửa", territory=plan.territory, issuer=plan.issuer,
        document=plan.document, valid_from=plan.valid_from, valid_to=plan.valid_to, by=leader,
    )  # fmt: skip

    plans.load_plans(NOW)

    plan.refresh_from_db()
    assert plan.short_name == "Kế hoạch 79 đã sửa"


def test_a_project_and_a_handover_that_people_edited_stay_one_each(leader):
    project = Project.objects.select_related("subject").get(subject__key="project.qn.duc-chanh")
    project_operations.put_project(key=project.subject.key, name="Dự án đã đổi tên", total_vnd=5, by=leader)
    offered = Handover.objects.get()
    handover_operations.change_handover(
        offered, name="Công trình đã đổi tên", giver=None, giver_as_printed="", work=None, request_as_printed="",
        requested_on=None, note="", version=None, today=TODAY, by=leader,
    )  # fmt: skip
    count = Project.objects.count()

    projects.load_projects(NOW)

    project = Project.objects.select_related("subject").get(pk=project.pk)
    assert (project.subject.name, project.total_vnd, Project.objects.count()) == ("Dự án đã đổi tên", 5, count)
    assert Handover.objects.get().name == "Công trình đã đổi tên"


def test_payments_that_people_entered_get_no_made_up_ones_beside_them(leader):
    for project in Project.objects.all():
        project_operations.disburse(project, on_date=date(2026, 2, 3), amount_vnd=1_000, today=TODAY, by=leader)

    projects.simulate_money(NOW)

    assert not Project.objects.filter(disbursements__is_simulated=True).exists()
