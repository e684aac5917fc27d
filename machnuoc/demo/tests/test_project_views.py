"""Pages of projects and handovers on the loaded plans: what they show, who may act, how a work changes hands."""

import json
import re
from datetime import date, timedelta
from decimal import Decimal

import jsonschema_rs
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from machnuoc.core import panels, tokens
from machnuoc.core.models import AuditEntry, Notice, Person
from machnuoc.core.periods import Period
from machnuoc.demo.planning import projects as demo_projects
from machnuoc.demo.planning import read_projects
from machnuoc.demo.tests.oc4ids_schema import PACKAGE
from machnuoc.indicators import lineage
from machnuoc.indicators import operations as indicators
from machnuoc.indicators.models import State, Value
from machnuoc.places.forms import option_text
from machnuoc.places.models import AdministrativeUnit, Organisation, Subject
from machnuoc.planning import handover_operations, handover_queries, project_operations, project_panels, project_queries
from machnuoc.planning.errors import ChangedMeanwhile
from machnuoc.planning.models import Disbursement, Handover, Obstacle, Plan, Project, YearlyPlan
from machnuoc.planning.project_operations import ProjectError
from machnuoc.works.models import Work

pytestmark = pytest.mark.usefixtures("demo_data", "db")
HOA_AN, TAN_GIANG, QN_PROJECT = "project.cb.hoa-an", "project.cb.tan-giang", "project.qn.duc-chanh"
TODAY = date(2026, 11, 22)
MILLION = 10**6


def sign_in(username: str) -> Client:
    client = Client()
    client.force_login(Person.objects.get(username=username), backend="django.contrib.auth.backends.ModelBackend")
    return client


def project(key: str = TAN_GIANG) -> Project:
    return Project.objects.select_related("subject").get(subject__key=key)


def handover() -> Handover:
    return Handover.objects.get(name__startswith="Hệ thống nước sinh hoạt 3 thôn")


def figure(metric: str, subject: str, period: str) -> Value | None:
    wanted = Period.parse(period)
    return Value.objects.filter(
        metric__key=metric, subject__key=subject, period_kind=wanted.kind, period_start=wanted.start_date
    ).first()


@pytest.fixture
def simulated(demo_data, db) -> None:
    """Put the made-up books of two projects, as the demonstration does for visitors."""
    demo_projects.simulate_money(timezone.now())


# --- what is loaded


def test_the_projects_stand_as_printed_and_add_up():
    rows = project_queries.read_rows(Project.objects.filter(plan__key="cb.cap-nuoc-2026"), year=2026, today=TODAY)

    assert [row.number for row in rows] == [str(number) for number in range(1, 9)]
    assert project_queries.add_up(rows).total_vnd == 108_159_000_000
    assert [row.total_as_printed for row in rows][6] == "0.169"
    assert project_queries.add_up(rows).people_expected == 2600 + 4000 + 3100 + 3134


def test_every_project_and_handover_quotes_its_passage():
    for one in Project.objects.select_related("passage", "subject"):
        assert one.passage is not None
        printed = " ".join(one.passage.text.split())
        assert one.total_as_printed in printed and one.subject.name.removeprefix("Nâng cấp ") in printed
        assert one.outcome in printed and one.owner_as_printed in printed
    assert "21/TTr-UBND ngày 02/02/2026" in handover().passage.text


def test_loading_again_changes_nothing(simulated):
    before = (
        Project.objects.count(),
        Disbursement.objects.count(),
        Handover.objects.count(),
        AuditEntry.objects.count(),
    )

    demo_projects.load_projects(timezone.now())
    demo_projects.simulate_money(timezone.now())

    assert before == (
        Project.objects.count(), Disbursement.objects.count(), Handover.objects.count(), AuditEntry.objects.count()
    )  # fmt: skip


def test_what_no_plan_prints_is_marked_as_simulated(simulated):
    assert not Disbursement.objects.filter(is_simulated=False).exists()
    assert not YearlyPlan.objects.filter(is_simulated=False).exists()
    assert {row.project_key for row in read_projects.list_simulated("cao_bang")} == {HOA_AN, "project.cb.ong-song-bang"}
    assert figure("investment.disbursement_pct", "vn.cao-bang", "2026").state == State.SIMULATED
    assert figure("investment.disbursement_pct", "org.qn.trung-tam", "2026") is None


# --- figures


def test_the_rate_of_a_province_is_sum_over_sum(simulated):
    rate = figure("investment.disbursement_pct", "vn.cao-bang", "2026")

    assert (rate.numerator, rate.denominator) == (15_800 * MILLION, 21_000 * MILLION)
    assert rate.number == 752  # 75,2 %


def test_a_payment_moves_the_rate_of_the_unit_that_carries_the_project_out_and_can_be_explained():
    one = project(QN_PROJECT)
    project_operations.put_yearly_plan(one, year=2026, amount_vnd=400 * MILLION, carried_over_vnd=600 * MILLION)
    project_operations.disburse(
        one, on_date=date(2026, 5, 4), amount_vnd=250 * MILLION, from_carry_over=True, today=TODAY
    )

    indicators.recompute_dirty(timezone.now())

    rate = figure("investment.disbursement_pct", "org.qn.trung-tam", "2026")
    assert (rate.number, rate.state) == (250, State.ENTERED)
    assert figure("investment.disbursed_vnd", QN_PROJECT, "2026-04").number == 0
    assert figure("investment.disbursed_vnd", QN_PROJECT, "2026-05").number == 250 * MILLION
    paid = figure("investment.disbursed_vnd", QN_PROJECT, "2026")
    answer = sign_in("quantri").get(reverse("indicators:value", args=[paid.pk]))
    assert "Giải ngân ngày 04/05/2026: 250\xa0triệu\xa0đồng" in answer.content.decode()
    assert lineage is not None


def test_only_handovers_that_took_effect_count_toward_the_target():
    indicators.recompute_dirty(timezone.now())

    assert figure("works.handed_over", "org.qn.trung-tam", "2026").number == 0


# --- money


def test_a_payment_beyond_the_capital_of_the_year_is_refused_with_what_is_left():
    one = project()
    project_operations.put_yearly_plan(one, year=2026, amount_vnd=100 * MILLION)
    project_operations.disburse(one, on_date=TODAY, amount_vnd=70 * MILLION, today=TODAY)

    with pytest.raises(ProjectError, match="còn 30\xa0triệu\xa0đồng"):
        project_operations.disburse(one, on_date=TODAY, amount_vnd=31 * MILLION, today=TODAY)


def test_carried_capital_is_not_paid_after_its_last_lawful_day():
    one = project()
    project_operations.put_yearly_plan(
        one, year=2026, amount_vnd=0, carried_over_vnd=100 * MILLION, carry_over_until=date(2026, 6, 30)
    )
    last, after = date(2026, 6, 30), date(2026, 7, 1)

    project_operations.disburse(one, on_date=last, amount_vnd=MILLION, from_carry_over=True, today=TODAY)

    with pytest.raises(ProjectError, match="chỉ được giải ngân đến hết ngày 30/06/2026"):
        project_operations.disburse(one, on_date=after, amount_vnd=MILLION, from_carry_over=True, today=TODAY)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"amount_vnd": 0}, "lớn hơn 0"),
        ({"amount_vnd": 201 * MILLION}, "vượt tổng mức 200\xa0triệu\xa0đồng"),
        ({"amount_vnd": 1, "on_date": TODAY + timedelta(days=1)}, "chưa tới"),
        ({"amount_vnd": 1, "from_carry_over": True}, "không có vốn kéo dài"),
    ],
)
def test_a_payment_that_cannot_be_is_refused(said, complaint):
    with pytest.raises(ProjectError, match=complaint):
        project_operations.disburse(project(), **{"on_date": TODAY, "today": TODAY, **said})


def test_a_payment_is_reversed_once_with_a_reason_and_never_edited():
    one = project()
    wrong = project_operations.disburse(one, on_date=TODAY, amount_vnd=5 * MILLION, today=TODAY)

    with pytest.raises(ProjectError, match="lý do"):
        project_operations.reverse_disbursement(wrong, reason=" ")
    undone = project_operations.reverse_disbursement(wrong, reason="Ghi nhầm dự án")

    assert undone.amount_vnd == -5 * MILLION and undone.note == "Ghi nhầm dự án"
    assert sum(one.disbursements.values_list("amount_vnd", flat=True)) == 0
    for entry in (wrong, undone):
        with pytest.raises(ProjectError, match="đảo"):
            project_operations.reverse_disbursement(entry, reason="Lần nữa")
    with pytest.raises(IntegrityError), transaction.atomic():
        Disbursement.objects.create(project=one, on_date=TODAY, amount_vnd=-1)


def test_what_is_accepted_and_not_paid_is_a_debt_until_it_is_paid():
    one = project()
    project_operations.accept_volume(one, on_date=TODAY, amount_vnd=80 * MILLION, today=TODAY)
    project_operations.disburse(one, on_date=TODAY, amount_vnd=30 * MILLION, today=TODAY)

    page = sign_in("cb.soxaydung").get("/du-an/no-dong/").content.decode()

    assert project_queries.get_page(project(), today=TODAY).debt_vnd == 50 * MILLION
    assert "50\xa0triệu\xa0đồng" in page and "Tân Giang" in page
    project_operations.disburse(one, on_date=TODAY, amount_vnd=50 * MILLION, today=TODAY)
    assert project_queries.get_page(project(), today=TODAY).debt_vnd == 0


def test_months_that_do_not_add_up_to_the_capital_are_refused():
    with pytest.raises(ProjectError, match="các tháng cộng lại 7\xa0triệu\xa0đồng"):
        project_operations.put_yearly_plan(project(), year=2026, amount_vnd=8 * MILLION, months={3: 7 * MILLION})


def test_a_finished_project_needs_its_day_and_a_second_editor_is_told():
    one = project()
    with pytest.raises(ProjectError, match="cần ngày hoàn thành"):
        project_operations.set_progress(one, status="FINISHED", today=TODAY)
    version = one.subject.version
    project_operations.set_progress(one, status="FINISHED", finished_on=TODAY, today=TODAY, version=version)

    answer = sign_in("quantri").post(
        reverse("planning:project_progress", args=[TAN_GIANG]), {"version": version, "status": "BUILDING"}
    )

    assert answer.status_code == 409 and "vừa được người khác sửa" in answer.content.decode()
    assert project().status == "FINISHED"


def test_an_obstacle_tells_the_people_who_must_clear_it_and_shows_on_their_overview():
    operator = Organisation.objects.get(subject__key="org.cb.cap-nuoc-cao-bang")
    today = timezone.localdate()

    made = project_operations.raise_obstacle(
        project(), text="Chưa có mặt bằng đặt bể", owner=operator, raised_on=today - timedelta(days=9),
        due_on=today - timedelta(days=1), today=today,
    )  # fmt: skip

    assert Notice.objects.filter(person__username="cb.capnuoc", text__contains="mặt bằng").exists()
    operators = Person.objects.get(username="cb.capnuoc")
    shown = {
        panel.title: panel for region in panels.REGIONS for panel in project_panels.later_overview(operators, region)
    }
    assert shown["Vướng mắc đơn vị tôi phải gỡ"].context["obstacles"] == [made]
    assert "Dự án chậm tiến độ" in shown
    assert project_queries.OBSTACLE in project_queries.get_page(project(), today=today).row.warnings
    answer = sign_in("cb.capnuoc").post(
        reverse("planning:project_resolve", args=[TAN_GIANG, made.pk]),
        {"resolved_on": today.isoformat(), "resolution": "Đã bàn giao mặt bằng"},
    )
    assert answer.status_code == 302 and Obstacle.objects.get(pk=made.pk).resolved_on == today


# --- pages


def test_the_list_shows_sums_and_keeps_its_filters_in_the_address():
    page = sign_in("cb.soxaydung").get("/du-an/", {"q": "nung tri cao"}).content.decode()

    assert "Nùng Trí Cao" in page and "169\xa0triệu\xa0đồng" in page and "Tân Giang" not in page
    assert "108,159\xa0tỷ\xa0đồng" in sign_in("cb.soxaydung").get("/du-an/").content.decode()


def test_a_project_page_says_what_its_document_prints_and_what_is_simulated(simulated):
    page = sign_in("cb.capnuoc").get(reverse("planning:project_detail", args=[HOA_AN])).content.decode()

    assert "18,8\xa0tỷ\xa0đồng" in page and "mô phỏng" in page and "3.134" in page
    assert "project-curve" in page and "Kế hoạch vốn" in page


def test_what_a_plan_does_not_print_is_said_to_be_missing():
    page = sign_in("qn.khkt").get(reverse("planning:project_detail", args=[QN_PROJECT])).content.decode()

    assert "văn bản không in" in page and "Trung tâm Nước sạch" in page


def test_a_payment_is_entered_as_people_write_money():
    address = reverse("planning:project_disburse", args=[TAN_GIANG])
    client = sign_in("cb.capnuoc")

    bad = client.post(address, {"on_date": timezone.localdate().isoformat(), "amount": "mười triệu"})
    good = client.post(address, {"on_date": timezone.localdate().isoformat(), "amount": "12,5 triệu"})

    assert bad.status_code == 422 and "Viết như 42,43 tỷ" in bad.content.decode()
    assert good.status_code == 302
    assert Disbursement.objects.get(project=project()).amount_vnd == 12_500_000


@pytest.mark.parametrize(
    ("username", "name", "status"),
    [
        ("cb.baolac", "project_detail", 200),  # the plan speaks to its territory: read, but not act
        ("cb.baolac", "project_disburse", 403),
        ("cb.soxaydung", "project_disburse", 403),
        ("cb.capnuoc", "project_disburse", 200),
        ("cb.capnuoc", "project_yearly_plan", 403),
        ("quantri", "project_yearly_plan", 200),
        ("qn.khkt", "project_detail", 404),
        ("qn.khkt", "project_disburse", 404),
    ],
)
def test_each_act_is_for_those_whose_it_is(username, name, status):
    found = sign_in(username).get(reverse(f"planning:{name}", args=[TAN_GIANG])).status_code

    if username == "cb.baolac":
        assert found in {status, 404}  # a project of another owner may be out of its sight altogether
    else:
        assert found == status


def test_a_project_is_not_put_into_hands_that_its_author_does_not_manage():
    client = sign_in("qn.khkt")
    foreign = Organisation.objects.get(subject__key="org.qn.so-nnmt")

    answer = client.post(reverse("planning:project_add"), {"name": "Dự án thử", "owner": foreign.pk})

    assert answer.status_code == 422 and not Project.objects.filter(subject__name="Dự án thử").exists()


def test_a_project_is_entered_edited_and_found():
    client = sign_in("qn.khkt")
    own = Organisation.objects.get(subject__key="org.qn.trung-tam")
    said = {
        "name": "Mở rộng tuyến ống Trạm Bình Chánh", "owner": own.pk, "total": "1,25 tỷ",
        "sources": "Ngân sách tỉnh | 1 tỷ\nVốn của Trung tâm | 250 triệu",
    }  # fmt: skip

    answer = client.post(reverse("planning:project_add"), said)
    made = Project.objects.select_related("subject").get(subject__name=said["name"])
    edited = client.post(
        reverse("planning:project_edit", args=[made.subject.key]),
        {**said, "total": "1.300 triệu", "version": made.subject.version},
    )

    assert (answer.status_code, edited.status_code) == (302, 302)
    made.refresh_from_db()
    assert made.total_vnd == 1_300 * MILLION
    assert sum(source.amount_vnd for source in made.sources.all()) == 1_250 * MILLION
    assert said["name"] in client.get("/du-an/", {"q": "tuyen ong binh chanh"}).content.decode()


@pytest.mark.parametrize("path", ["/du-an/", "/du-an/bieu-do/", "/du-an/no-dong/", "/ban-giao/"])
@pytest.mark.parametrize("username", ["quantri", "qn.lanhdao", "cb.capnuoc"])
def test_a_list_asks_the_database_seldom(simulated, path, username):
    client = sign_in(username)
    assert client.get(path).status_code == 200
    with CaptureQueriesContext(connection) as asked:
        client.get(path)

    assert len(asked) <= 15, "\n".join(query["sql"][:160] for query in asked)


@pytest.mark.parametrize("name", ["project", "handover"])
def test_a_page_asks_the_database_seldom(simulated, name):
    client = sign_in("quantri")
    args = [HOA_AN] if name == "project" else [handover().pk]
    address = reverse(f"planning:{name}_detail", args=args)
    assert client.get(address).status_code == 200
    with CaptureQueriesContext(connection) as asked:
        client.get(address)

    assert len(asked) <= (20 if name == "project" else 15), "\n".join(query["sql"][:160] for query in asked)


def test_lists_go_out_as_sheets():
    answer = sign_in("cb.soxaydung").get("/du-an/", {"export": "csv"})
    text = b"".join(answer.streaming_content).decode("utf-8-sig")

    assert "42430000000" in re.sub(r"[.\s]", "", text) and "0.169" in text


# --- OC4IDS, API


def test_the_export_is_a_package_of_the_standard_without_simulated_money(simulated):
    one = project()
    project_operations.put_yearly_plan(one, year=2026, amount_vnd=100 * MILLION)
    project_operations.disburse(one, on_date=TODAY, amount_vnd=MILLION, today=TODAY)
    project_operations.put_milestone(one, name="Khởi công", planned_on=TODAY, today=TODAY)

    package = json.loads(sign_in("quantri").get("/du-an/oc4ids.json").getvalue())

    jsonschema_rs.validator_for(PACKAGE).validate(package)
    found = {row["id"]: row for row in package["projects"]}
    assert len(found) == Project.objects.count()
    assert found[TAN_GIANG]["budget"]["amount"] == {"amount": 200_000_000, "currency": "VND"}
    assert [row["value"]["amount"] for row in found[TAN_GIANG]["transactions"]] == [MILLION]
    assert "transactions" not in found[HOA_AN] and "budget" not in found[QN_PROJECT]


def test_a_program_reads_all_projects_package_by_package():
    client, address, packages = sign_in("quantri"), "/api/v1/projects/oc4ids?limit=7", []

    while address:
        answer = client.get(address)
        packages.append(answer.json())
        address = answer.get("Link", "").partition(">")[0].removeprefix("<http://testserver")

    for package in packages:
        jsonschema_rs.validator_for(PACKAGE).validate(package)
    found = [row["id"] for package in packages for row in package["projects"]]
    assert len(packages) > 1 and {len(package["projects"]) for package in packages[:-1]} == {7}
    assert sorted(found) == sorted(Project.objects.values_list("subject__key", flat=True))


def test_a_program_records_a_payment_once_under_one_key():
    person = Person.objects.get(username="cb.capnuoc")
    _, raw = tokens.create_token(person=person, name="kế toán", now=timezone.now(), can_write=True)
    headers = {"Authorization": f"Bearer {raw}", "Idempotency-Key": "uy-nhiem-chi-17"}
    body = {"on_date": "2026-03-02", "amount_vnd": 7 * MILLION, "voucher": "UNC 17"}

    answers = [
        Client().post(f"/api/v1/projects/{TAN_GIANG}/disbursements", body, "application/json", headers=headers)
        for _ in range(2)
    ]
    refused = Client().post(
        f"/api/v1/projects/{TAN_GIANG}/disbursements", {**body, "amount_vnd": 10**12}, "application/json",
        headers={"Authorization": f"Bearer {raw}"},
    )  # fmt: skip

    assert [answer.status_code for answer in answers] == [200, 200]
    assert Disbursement.objects.filter(project=project()).count() == 1
    assert refused.status_code in {400, 409, 422} and "vượt tổng mức" in refused.json()["detail"]
    listed = Client().get("/api/v1/projects", headers={"Authorization": f"Bearer {raw}"}).json()["items"]
    assert next(row for row in listed if row["key"] == TAN_GIANG)["paid_vnd"] == 7 * MILLION


# --- funds of a programme


def test_money_of_a_programme_is_shown_as_printed():
    plan = Plan.objects.get(key="kh.1355-2024")
    project_operations.put_fund(
        plan=plan, order=90, name="Tổng nhu cầu vốn thử", amount_vnd=1_489_867 * MILLION, amount_as_printed="1.489.867"
    )
    count = AuditEntry.objects.count()
    project_operations.put_fund(
        plan=plan, order=90, name="Tổng nhu cầu vốn thử", amount_vnd=1_489_867 * MILLION, amount_as_printed="1.489.867"
    )

    page = sign_in("quantri").get(reverse("planning:project_fund", args=[plan.key])).content.decode()

    assert AuditEntry.objects.count() == count
    assert "1.489,867\xa0tỷ\xa0đồng" in page and "«1.489.867»" in page


# --- handover


def walk(one: Handover, to: str, by: Person) -> Handover:
    """Take the handover forward until the step, with the least that each step asks for."""
    day = {"version": None, "today": TODAY, "by": by}
    for step in ("INVENTORIED", "SCORED", "PAPERS", "DECIDED"):
        one.refresh_from_db()
        if one.step == to:
            break
        if step == "INVENTORIED":
            items = [
                handover_operations.Item("Giếng khoan", weight=3),
                handover_operations.Item("Tuyến ống", "m", Decimal(900)),
            ]
            handover_operations.record_inventory(one, items, on_date=date(2026, 3, 2), **day)
        elif step == "SCORED":
            conditions = dict(zip(one.items.values_list("pk", flat=True), (4, 2), strict=True))
            handover_operations.record_condition(one, conditions, on_date=date(2026, 3, 3), **day)
        elif step == "PAPERS":
            papers = [handover_operations.Paper("Hồ sơ hoàn công"), handover_operations.Paper("Sổ tài sản", True)]
            handover_operations.check_papers(one, papers, on_date=date(2026, 3, 4), **day)
        else:
            handover_operations.decide(one, decision_as_printed="QĐ thử", decided_on=date(2026, 3, 5), **day)
    one.refresh_from_db()
    return one


def test_a_work_that_is_taken_over_is_entered_with_its_households_and_counts_toward_the_target():
    leader = Person.objects.get(username="qn.lanhdao")
    one = walk(handover(), "DECIDED", leader)
    now = timezone.now()

    handover_operations.take_over(
        one, effective_on=date(2026, 4, 1), opening_households=312, version=one.version, by=leader, now=now
    )
    indicators.recompute_dirty(now)

    one.refresh_from_db()
    work = Work.objects.select_related("subject", "operator__subject").get(pk=one.work_id)
    assert (one.step, work.operator.subject.key, work.status) == ("EFFECTIVE", "org.qn.trung-tam", "RUNNING")
    assert figure("works.households_connected", work.subject.key, "2026-04").number == 312
    assert figure("works.handed_over", "org.qn.trung-tam", "2026").number == 1
    assert work.subject.contained_in.filter(ancestor__key="vn.quang-ngai.long-phung-xa").exists()
    with pytest.raises(ProjectError, match="đã tiếp nhận nên không quay lại"):
        handover_operations.go_back(one, to="PAPERS", reason="Thử", version=None)


def test_a_paper_is_handed_in_as_a_file_and_stays_when_the_papers_are_checked_again():
    one = walk(handover(), "PAPERS", Person.objects.get(username="qn.lanhdao"))
    paper = one.papers.get(name="Hồ sơ hoàn công")
    address = reverse("planning:handover_paper", args=[one.pk, paper.pk])
    browser = sign_in("qn.lanhdao")

    answer = browser.post(address, {"file": SimpleUploadedFile("hoan-cong.pdf", b"%PDF-1.4 hoan cong")})

    assert answer.status_code == 302
    paper.refresh_from_db()
    assert paper.is_there and paper.file is not None and paper.file.name == "hoan-cong.pdf"
    sent = browser.get(reverse("planning:handover_paper_file", args=[one.pk, paper.pk]))
    assert b"".join(sent.streaming_content) == b"%PDF-1.4 hoan cong"
    again = [handover_operations.Paper("Hồ sơ hoàn công"), handover_operations.Paper("Sổ tài sản", True)]
    day = {"on_date": date(2026, 3, 4), "version": None, "today": TODAY}
    handover_operations.check_papers(one, again, **day)
    assert one.papers.get(name="Hồ sơ hoàn công").file == paper.file
    with pytest.raises(ProjectError, match="đã có tệp đính kèm"):
        handover_operations.check_papers(one, again[1:], **day)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("hoan-cong.exe", b"MZ", "hoan-cong.exe"),
        ("hoan-cong.pdf", b"<html>", "hoan-cong.pdf"),
        ("hoan-cong.pdf", b"", "rỗng"),
        ("hoan-cong.pdf", b"%PDF-" + b"0" * 3_000, "quá lớn"),
    ],
)
def test_a_paper_that_is_no_document_is_refused_with_the_reason(settings, name, content, reason):
    settings.UPLOAD_MAX_BYTES = 2_000
    one = walk(handover(), "PAPERS", Person.objects.get(username="qn.lanhdao"))
    paper = one.papers.get(name="Hồ sơ hoàn công")

    answer = sign_in("qn.lanhdao").post(
        reverse("planning:handover_paper", args=[one.pk, paper.pk]), {"file": SimpleUploadedFile(name, content)}
    )

    assert answer.status_code == 422
    assert reason in answer.content.decode()
    paper.refresh_from_db()
    assert paper.file is None and not paper.is_there


def test_the_page_of_a_plan_counts_the_handovers_that_its_list_shows():
    browser = sign_in("qn.lanhdao")
    plan = Plan.objects.get(key="qn.79-2026")

    page = browser.get(reverse("planning:plan_detail", args=[plan.key])).content.decode()
    shown = browser.get(reverse("planning:handover_list"), {"plan": plan.pk}).content.decode()
    none = browser.get(reverse("planning:handover_list"), {"plan": plan.pk, "step": "STOPPED"}).content.decode()

    assert f'{reverse("planning:handover_list")}?plan={plan.pk}">Công trình bàn giao</a> 1' in page
    assert handover().name in shown and handover().name not in none


def test_a_step_cannot_be_jumped_over():
    with pytest.raises(ProjectError, match="đang ở bước «Có đề nghị bàn giao»"):
        handover_operations.decide(handover(), decision_as_printed="QĐ", decided_on=TODAY, version=None, today=TODAY)


def test_going_back_takes_a_reason_keeps_the_history_and_drops_what_no_longer_holds():
    leader = Person.objects.get(username="qn.lanhdao")
    one = walk(handover(), "DECIDED", leader)

    with pytest.raises(ProjectError, match="lý do"):
        handover_operations.go_back(one, to="INVENTORIED", reason="", version=one.version)
    handover_operations.go_back(one, to="INVENTORIED", reason="Thiếu hạng mục bể chứa", version=one.version, by=leader)

    one.refresh_from_db()
    assert (one.step, one.scored_on, one.decided_on, one.decision_as_printed) == ("INVENTORIED", None, None, "")
    assert one.moves.count() == 6 and one.moves.last().reason == "Thiếu hạng mục bể chứa"


def test_days_of_steps_follow_one_another():
    leader = Person.objects.get(username="qn.lanhdao")
    one = walk(handover(), "INVENTORIED", leader)

    with pytest.raises(ProjectError, match="đứng trước bước liền trước"):
        handover_operations.record_condition(
            one, dict.fromkeys(one.items.values_list("pk", flat=True), 3), on_date=date(2026, 3, 1), version=None,
            today=TODAY,
        )  # fmt: skip


def test_every_line_must_be_judged_before_there_is_a_score():
    one = walk(handover(), "INVENTORIED", Person.objects.get(username="qn.lanhdao"))
    first = one.items.first()

    with pytest.raises(ProjectError, match="Còn 1 dòng chưa đánh giá: Tuyến ống"):
        handover_operations.record_condition(one, {first.pk: 4}, on_date=TODAY, version=None, today=TODAY)


def test_two_people_do_not_overwrite_each_other():
    one = handover()
    seen = one.version
    walk(one, "INVENTORIED", Person.objects.get(username="qn.lanhdao"))

    with pytest.raises(ChangedMeanwhile):
        handover_operations.stop(handover(), reason="Không đủ điều kiện", version=seen)


def test_the_steps_are_walked_on_the_screens():
    client = sign_in("qn.khkt")
    one = handover()

    def post(act: str, data: dict[str, str]) -> int:
        one.refresh_from_db()
        return client.post(
            reverse("planning:handover_step", args=[one.pk, act]),
            {"version": one.version, "on_date": "2026-03-10", **data},
        ).status_code  # fmt: skip

    grid = {"item-TOTAL_FORMS": "2", "item-INITIAL_FORMS": "0"}
    assert post("kiem-ke", {**grid, "item-0-name": "Bể chứa", "item-0-weight": "2", "item-1-name": ""}) == 302
    item = one.items.get()
    grid = {"item-TOTAL_FORMS": "1", "item-INITIAL_FORMS": "1"}
    assert post("hien-trang", {**grid, "item-0-pk": str(item.pk), "item-0-condition": "4"}) == 302
    grid = {"paper-TOTAL_FORMS": "1", "paper-INITIAL_FORMS": "0"}
    assert post("ho-so", {**grid, "paper-0-name": "Hồ sơ hoàn công"}) == 302
    assert post("quyet-dinh", {"decision_as_printed": "Quyết định thử"}) == 302
    assert post("tiep-nhan", {"opening_households": "210", "kind": "SCHEME", "sector": "RURAL"}) == 302
    page = client.get(reverse("planning:handover_detail", args=[one.pk])).content.decode()
    assert "4,00/5" in page and "còn thiếu" in page and "210" in page


@pytest.mark.parametrize("act", ["kiem-ke", "hien-trang", "ho-so", "quyet-dinh", "tiep-nhan"])
def test_every_form_of_a_step_opens_even_out_of_turn(act):
    client = sign_in("qn.lanhdao")

    assert client.get(reverse("planning:handover_step", args=[handover().pk, act])).status_code == 200


def test_strangers_to_both_sides_do_not_see_a_handover():
    pk = handover().pk
    address = reverse("planning:handover_detail", args=[pk])

    assert sign_in("cb.capnuoc").get(address).status_code == 404
    assert sign_in("qn.khkt").get(address).status_code == 200
    assert sign_in("qn.sonnmt").get(address).status_code == 200
    assert sign_in("qn.sonnmt").get(reverse("planning:handover_step", args=[pk, "kiem-ke"])).status_code == 403


def test_a_handover_is_requested_on_the_screen():
    client = sign_in("qn.khkt")
    unit = Subject.objects.get(key="vn.quang-ngai.long-phung-xa")
    own = Organisation.objects.get(subject__key="org.qn.trung-tam")

    answer = client.post(
        reverse("planning:handover_add"),
        {"name": "Công trình thử", "place": unit.pk, "receiver": own.pk, "giver_as_printed": "UBND xã"},
    )

    assert answer.status_code == 302
    assert Handover.objects.get(name="Công trình thử").step == "REQUESTED"
    assert handover_queries.list_readable(Person.objects.get(username="qn.khkt")).filter(name="Công trình thử").exists()


def test_a_project_that_is_sent_twice_is_added_once():
    client, address = sign_in("qn.khkt"), reverse("planning:project_add")
    number = re.search(r'name="_once" value="([^"]+)"', client.get(address).content.decode())[1]
    said = {
        "_once": number,
        "name": "Bể chứa thử",
        "owner": Organisation.objects.get(subject__key="org.qn.trung-tam").pk,
    }

    answers = [client.post(address, said) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [302, 302]
    assert answers[0]["Location"] == answers[1]["Location"]
    assert Project.objects.filter(subject__name="Bể chứa thử").count() == 1


def test_who_sees_the_whole_country_types_a_commune_instead_of_choosing_among_thousands():
    client, address = sign_in("quantri"), reverse("planning:project_add")
    for page in (address, reverse("planning:handover_add")):
        assert client.get(page).content.decode().count("<option") < 1_000
    owner = Organisation.objects.get(subject__key="org.qn.trung-tam").pk
    first, second = AdministrativeUnit.objects.filter(
        parent__subject__key="vn.quang-ngai", is_in_force=True, level="COMMUNE"
    ).select_related("subject", "parent__subject")[:2]
    said = {"name": "Bể chứa ở hai xã", "owner": owner, "territory_1": option_text(first.subject)}

    answer = client.post(address, said | {"territory_2": option_text(second.subject), "territory_3": str(first.pk)})

    assert answer.status_code == 302
    project = Project.objects.get(subject__name="Bể chứa ở hai xã")
    held = client.get(reverse("planning:project_edit", args=[project.subject.key])).context["form"]
    assert len(held.initial["territories"]) == 2
    assert client.post(address, said | {"territory_1": "999999999"}).status_code == 422
    assert client.post(address, said | {"territory_1": "không có xã nào tên vậy"}).status_code == 422
