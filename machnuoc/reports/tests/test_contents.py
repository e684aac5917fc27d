"""What reports say of money, tasks and works: by the end of their period, and of the unit that reports alone."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from machnuoc.core import files
from machnuoc.core.figures import NO_FIGURE
from machnuoc.core.models import Job, Person
from machnuoc.core.periods import LOCAL_ZONE, Period
from machnuoc.customers import figures
from machnuoc.customers.models import Category, Request
from machnuoc.indicators import operations as indicators
from machnuoc.indicators.models import Metric, State
from machnuoc.places import access, search_kinds
from machnuoc.places.models import Organisation
from machnuoc.planning.models import Disbursement, Plan, Project, Target, Task, YearlyPlan
from machnuoc.reports import operations, replay, report_search, snapshot, tasks
from machnuoc.reports.contents import common
from machnuoc.reports.errors import ReportsError
from machnuoc.reports.models import Report
from machnuoc.reports.tests.conftest import NOW
from machnuoc.reports.tests.test_kinds import prepare, sign
from machnuoc.works.models import Work

pytestmark = pytest.mark.usefixtures("demo_data", "db")


def shown(report: Report) -> dict[str, str]:
    return {figure.key: figure.display for figure in report.figures.all()}


def texts(report: Report) -> dict[str, str]:
    return {section.key: section.suggestion for section in report.sections.all()}


# --- of the period, not of today ----------------------------------------------------------------------------------


@pytest.fixture
def paid_project() -> Project:
    project = Project.objects.get(subject__key="project.qn.duc-chanh")
    YearlyPlan.objects.create(project=project, year=2026, amount_vnd=4_000_000_000)
    for day, amount_vnd in ((date(2026, 10, 5), 1_000_000_000), (date(2026, 11, 5), 2_000_000_000)):
        Disbursement.objects.create(project=project, on_date=day, amount_vnd=amount_vnd)
    return project


def test_money_paid_after_the_month_is_not_in_its_report(paid_project):
    october = prepare("qn_monthly", "org.qn.trung-tam", "2026-10")
    november = prepare("qn_monthly", "org.qn.trung-tam", "2026-11")

    assert shown(october)[f"projects/{paid_project.subject.key}/paid"] == "1.000"
    assert "Đến 31/10/2026 đã giải ngân 1.000/4.000 triệu đồng" in texts(october)["investment"]
    assert shown(october)["targets/giai-ngan/reached"] == "25,0\u00a0%"
    assert "Đến 12/11/2026 đã giải ngân 3.000/4.000 triệu đồng" in texts(november)["investment"]
    assert shown(november)["targets/giai-ngan/reached"] == "75,0\u00a0%"
    assert replay.replay(snapshot.read(sign(october))).is_same


def test_money_entered_late_is_told_by_the_comparison(paid_project):
    taken = sign(prepare("qn_monthly", "org.qn.trung-tam", "2026-10"))

    Disbursement.objects.create(project=paid_project, on_date=date(2026, 10, 30), amount_vnd=500_000_000)

    comparison = snapshot.compare_with_today(taken, today=NOW.date())
    changes = {change.key: change.sentence for change in comparison.changes}
    assert "1.000 → 1.500" in changes["projects/total/paid"]
    assert "sổ nguồn đã được cập nhật (Sổ theo dõi dự án" in changes["projects/total/paid"]


def test_a_figure_that_was_missing_when_signed_is_told_when_it_has_come():
    report = prepare("commune_indicators", "org.ct.ubnd-xa-cam-tan", "2026")
    assert set(shown(report).values()) == {NO_FIGURE}
    taken = sign(report)

    for key, number in (("rural.households", 1000), ("rural.households_hygienic", 960)):
        indicators.state_fact(
            metric=Metric.objects.get(key=key), subject=report.subject, period=Period.parse("2026"),
            number=Decimal(number), state=State.APPROVED, now=NOW.replace(day=20),
        )  # fmt: skip
    indicators.recompute_dirty(NOW)

    assert replay.replay(snapshot.read(taken)).is_same
    comparison = snapshot.compare_with_today(taken, today=NOW.date())
    changes = {change.key: change for change in comparison.changes}
    told = changes["indicators/rural.hygienic_pct/now"]
    assert (told.before, told.after) == (NO_FIGURE, "96,0\u00a0%")
    assert "số liệu đến muộn ngày 20/11/2026" in told.sentence
    assert "(năm báo cáo)" in told.sentence


# --- service to customers -----------------------------------------------------------------------------------------


def ask(number: int, hours: int | None, work: Work | None = None) -> None:
    """Store a request to the centre on 5 October, answered after so many hours, with a limit of a day."""
    at = datetime(2026, 10, 5, 8, tzinfo=LOCAL_ZONE)
    Request.objects.create(
        code=f"PA{number}", token=f"t{number}", category=Category.objects.order_by("pk").first(), channel="PHONE",
        operator=Organisation.objects.get(subject__key="org.qn.trung-tam"), work=work, text="Nước yếu",
        received_at=at, clock_from_at=at, due_at=at + timedelta(days=1), state="ANSWERED" if hours else "NEW",
        answered_at=at + timedelta(hours=hours) if hours else None, is_simulated=number == 2,
    )  # fmt: skip


def test_the_month_tells_what_customers_told_and_how_they_were_answered(monkeypatch):
    monkeypatch.setattr(figures, "FIRST_MONTHS", 2)
    before = texts(prepare("qn_monthly", "org.qn.trung-tam", "2026-09"))["service"]
    assert before == "Phản ánh, yêu cầu của khách hàng: chưa có số liệu.\nNước theo hóa đơn: chưa có số liệu."
    assert "tính khi hết kỳ" in texts(prepare("qn_monthly", "org.qn.trung-tam", "2026-11"))["service"]
    work = Work.objects.filter(operator__subject__key="org.qn.trung-tam", parent=None).first()
    for number, (hours, its_work) in enumerate([(2, work), (3, None), (40, None), (None, work)]):
        ask(number, hours, its_work)
    figures.mark_measures(NOW)
    indicators.recompute_dirty(NOW)

    report = prepare("qn_monthly", "org.qn.trung-tam", "2026-10")

    assert texts(report)["service"].splitlines() == [
        "Tiếp nhận 4 phản ánh, yêu cầu của khách hàng; đã trả lời 3 (66,7\u00a0% trong hạn, bình quân 15,0\u00a0giờ); "
        "còn 1 chưa trả lời khi hết kỳ (số liệu mô phỏng).",
        "Nước theo hóa đơn: chưa có số liệu.",
    ]
    assert shown(report)["requests_received"] == "4 (mô phỏng)"
    assert replay.replay(snapshot.read(sign(report))).is_same


def test_a_draft_made_before_its_kind_had_a_section_gets_it_when_its_figures_are_read_again():
    report = prepare("qn_monthly", "org.qn.trung-tam", "2026-10")
    report.sections.get(key="service").delete()
    assert "Phục vụ khách hàng" not in str(operations.document_of(report).blocks)

    operations.refresh_figures(report, by=Person.objects.get(username="qn.khkt"), now=NOW)

    order = list(report.sections.order_by("order").values_list("key", flat=True))
    assert order[order.index("service") - 1 :][:3] == ["operation", "service", "investment"]
    assert "Phục vụ khách hàng" in str(operations.document_of(report).blocks)


# --- of the unit that reports -------------------------------------------------------------------------------------


def test_a_unit_reports_on_its_own_tasks_works_and_projects_and_the_gatherer_on_all():
    whole = prepare("cb_annual", "org.cb.so-xay-dung", "2026")
    company = prepare("cb_annual", "org.cb.cap-nuoc-cao-bang", "2026")
    finance = prepare("cb_annual", "org.cb.so-tai-chinh", "2026")

    everything = Task.objects.filter(plan__key="cb.cap-nuoc-2026").count()
    counts = [int(report.figures.get(key="tasks_total").raw) for report in (whole, company, finance)]
    assert counts[0] == everything > counts[1] > counts[2] > 0
    assert "capacity/work.cb.tra-linh/now" not in shown(company)
    assert any(key.startswith("losses/work.cb.song-bang/") for key in shown(company))
    assert not any(key.startswith(("capacity/", "losses/", "coverage/")) for key in shown(finance))
    assert "không thuộc phạm vi" in texts(finance)["losses"]
    titles = [annex.title for annex in operations.document_of(finance).annexes]
    assert not [title for title in titles if title.startswith("Biểu")]


def test_a_communes_table_ends_with_the_commune_and_not_with_the_province():
    report = prepare("cb_annual", "org.cb.ubnd-xa-phuc-hoa", "2026")

    labels = set(report.figures.filter(key__startswith="losses/total/").values_list("label", flat=True))
    assert labels == {"Toàn xã"}


# --- words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "organisation", "period"),
    [
        ("qn_quarterly", "org.qn.trung-tam", "2026-Q3"), ("cb_annual", "org.cb.so-xay-dung", "2026"),
        ("safe_water_half", "org.lc.so-xay-dung", "2026-H1"), ("ntm_quarterly", "org.kh.so-xay-dung", "2025-Q3"),
    ],
)  # fmt: skip
def test_suggestions_read_as_sentences_without_keys_or_empty_counts(kind, organisation, period):
    for key, text in texts(prepare(kind, organisation, period)).items():
        for fault in ("None", " 0 nhiệm vụ", " 0 công trình", " 0 hộ", " 0 xã", "works.", "_", "  ", "…"):
            assert fault not in text, f"{key}: {text}"


def test_goals_have_a_unit_and_the_whole_has_no_sign():
    goals = {target.key: common.goal(target) for target in Target.objects.filter(plan__key="qn.79-2026", parent=None)}

    assert goals["chuyen-doi-so"] == "hoàn thành 2\u00a0nhiệm vụ"
    assert goals["mau-nuoc"] == "100\u00a0%"
    assert goals["tiep-nhan"] == "ít nhất 3\u00a0công trình"


def test_a_long_task_stands_whole_in_its_table():
    report = prepare("safe_water_half", "org.lc.so-xay-dung", "2026-H1")

    labels = report.figures.filter(key__startswith="tasks/").values_list("label", flat=True)
    assert max(map(len, labels)) > 300
    assert not [label for label in labels if label.endswith("…")]


# --- who signs, which PDF, who finds ------------------------------------------------------------------------------


def test_who_submitted_a_report_does_not_sign_it(report, writer, director):
    for section in report.sections.all():
        operations.save_section(section, section.suggestion or "Không có.", version=section.version, by=writer, now=NOW)
    operations.submit(report, by=writer, now=NOW)
    report.events.filter(what="submitted").update(person=director)

    with pytest.raises(ReportsError, match="không tự ký duyệt được"):
        operations.approve(Report.objects.get(pk=report.pk), by=director, now=NOW)


def test_no_pdf_is_made_of_the_pages_without_number_once_the_report_has_its_number(issued):
    first = Job.objects.filter(task="reports.make_pdf").earliest("pk")
    before = issued.snapshots.get(pk=first.arguments["snapshot_id"])

    said = tasks.make_pdf(first, **first.arguments)

    before.refresh_from_db()
    assert "bản mới hơn" in said
    assert before.pdf is None and before.signed_pdf is None
    with files.open_file(issued.snapshots.first().docx) as stream:
        assert stream.read()


def find(person: Person, query: str) -> set[tuple[str, int]]:
    from machnuoc.core import search

    found = set()
    for kind in (report_search.ISSUED, report_search.UNDER_WAY):
        within = None if access.sees_everything(person) else search_kinds.list_kinds()[kind].within(person)
        found |= {(kind, entry.object_id) for entry in search.find(query, kinds=[kind], within=within)}
    return found


def test_a_draft_is_found_by_those_who_make_it_and_an_issued_report_by_those_who_see_the_unit(report, writer, director):
    agency, station = (Person.objects.get(username=name) for name in ("qn.sonnmt", "qn.binhchanh"))
    query, draft = "79/KH-TTNS tháng 10 năm 2026", (report_search.UNDER_WAY, report.pk)
    assert draft in find(writer, query) and draft in find(director, query)
    assert find(station, query) == find(Person.objects.get(username="cb.soxaydung"), query) == set()

    for section in report.sections.all():
        operations.save_section(section, section.suggestion or "Không có.", version=section.version, by=writer, now=NOW)
    operations.submit(report, by=writer, now=NOW)
    operations.approve(report, by=director, now=NOW)
    operations.issue(report, number="5/BC-TTNS", issued_on=date(2026, 11, 12), by=writer, now=NOW)

    assert find(agency, "05/BC-TTNS") == {(report_search.ISSUED, report.pk)}
    assert find(Person.objects.get(username="cb.soxaydung"), "05/BC-TTNS") == set()
    assert draft not in find(writer, query)


def test_an_agency_writes_what_its_own_organisation_owes():
    agency = Person.objects.get(username="cb.soxaydung")
    own, other = (prepare("cb_annual", key, "2026") for key in ("org.cb.so-xay-dung", "org.cb.so-tai-chinh"))

    operations.mark_read(own.sections.get(key="opening"), version=1, by=agency, now=NOW)

    assert own.sections.get(key="opening").read_by == agency
    with pytest.raises(Exception, match="không có quyền"):
        operations.mark_read(other.sections.get(key="opening"), version=1, by=agency, now=NOW)


def test_the_plan_of_another_issuer_is_not_spoken_for_by_a_unit():
    plan = Plan.objects.get(key="kh.1355-2024")
    report = prepare("ntm_quarterly", "org.kh.so-xay-dung", "2025-Q3")

    assert not common.speaks_for_all(operations.context_of(report, NOW.date()))
    assert report.figures.get(key="tasks_total").raw != str(plan.tasks.count())
