"""The pages of reports: what each person sees and may do, from a draft to the comparison with today."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from machnuoc.core.models import Person
from machnuoc.planning.models import DutyInstance
from machnuoc.reports import operations, panels
from machnuoc.reports.models import Report, ReportSection
from machnuoc.reports.tests.conftest import NOW

pytestmark = pytest.mark.usefixtures("demo_data", "db")


def client_of(username: str) -> Client:
    client = Client()
    client.force_login(Person.objects.get(username=username), backend="django.contrib.auth.backends.ModelBackend")
    return client


def page(username: str, name: str, *args: object, **query: str) -> str:
    response = client_of(username).get(reverse(f"reports:{name}", args=args), query)
    assert response.status_code == 200, response.status_code
    return response.content.decode()


def do(username: str, report: Report, act: str, **data: str):
    return client_of(username).post(reverse("reports:act", args=[report.pk, act]), data, follow=True)


def test_the_list_shows_a_draft_to_its_unit_and_to_nobody_else(report):
    assert report.title in page("qn.khkt", "list")
    assert report.title in page("qn.lanhdao", "list")
    for username in ("qn.binhchanh", "cb.capnuoc", "doitac"):
        assert report.title not in page(username, "list")
        assert client_of(username).get(reverse("reports:detail", args=[report.pk])).status_code == 404


def test_the_list_is_filtered_by_the_address(report):
    assert report.title in page("qn.khkt", "list", state="DRAFT", year="2026", q="79/KH")
    assert "Không có báo cáo nào khớp" in page("qn.khkt", "list", state="SENT")


def test_the_page_shows_the_suggestion_beside_the_text(report):
    text = page("qn.khkt", "detail", report.pk)

    assert "25.330 hộ đấu nối" in text
    assert "Đã đọc, giữ nguyên" in text
    assert "Trình ký" in text
    assert "Ký duyệt</button>" not in text


def test_a_suggestion_is_read_and_kept(report):
    section = report.sections.get(key="growth")

    client_of("qn.khkt").post(
        reverse("reports:section", args=[report.pk, section.pk]), {"act": "keep", "version": section.version}
    )

    section.refresh_from_db()
    assert section.text == section.suggestion
    assert section.read_by.username == "qn.khkt"


def test_the_second_of_two_writers_sees_both_texts_and_decides(report):
    section = report.sections.get(key="obstacles")
    address = reverse("reports:section", args=[report.pk, section.pk])
    opened = {"version": str(section.version), "act": "save"}
    client_of("qn.khkt").post(address, opened | {"text": "Thiếu vốn đối ứng."})

    response = client_of("qn.hcth").post(address, opened | {"text": "Thiếu nhân lực."})

    text = response.content.decode()
    assert response.status_code == 409
    assert "Thiếu vốn đối ứng." in text
    assert "Thiếu nhân lực." in text
    version = re.search(r'name="version" value="(\d+)"', text)[1]
    client_of("qn.hcth").post(address, {"version": version, "act": "save", "text": "Thiếu vốn và nhân lực."})
    assert ReportSection.objects.get(pk=section.pk).text == "Thiếu vốn và nhân lực."


def test_a_part_of_the_page_comes_back_to_a_script_that_saves(report):
    section = report.sections.get(key="obstacles")

    response = client_of("qn.khkt").post(
        reverse("reports:section", args=[report.pk, section.pk]),
        {"version": section.version, "act": "save", "text": "Không có."}, headers={"HX-Request": "true"},
    )  # fmt: skip

    text = response.content.decode()
    assert text.lstrip().startswith("<section")
    assert "Đã lưu." in text


def test_figures_lead_to_where_they_come_from(report):
    text = page("qn.khkt", "figures", report.pk)
    value = report.figures.get(key="growth/total/base").value_id

    assert f"/so-lieu/{value}/" in text
    assert "Phát triển khách hàng theo trạm cấp nước" in text


def test_the_checks_say_what_holds_the_report_back(report):
    text = page("qn.khkt", "checks", report.pk)

    assert "gợi ý chưa có ai đọc" in text
    assert "số liệu mô phỏng" in text


def read_all(report: Report, writer: Person) -> None:
    for section in report.sections.all():
        operations.save_section(section, section.suggestion or "Không có.", version=section.version, by=writer, now=NOW)


def test_the_flow_goes_from_draft_to_receipt_on_the_pages(report, writer):
    assert "Chưa trình ký được" in do("qn.khkt", report, "trinh").content.decode()
    read_all(report, writer)
    assert "Đã trình ký" in do("qn.khkt", report, "trinh").content.decode()
    assert do("qn.khkt", report, "ky-duyet").status_code == 403
    assert "Đã ký duyệt" in do("qn.lanhdao", report, "ky-duyet").content.decode()
    assert "chưa đúng" in do("qn.khkt", report, "vao-so", number="5", issued_on="2026-11-12").content.decode()
    number = {"number": "5/BC-TTNS", "issued_on": "2026-06-01"}
    assert "Đã vào sổ" in do("qn.khkt", report, "vao-so", **number).content.decode()
    assert "Đã ghi nhận gửi" in do("qn.khkt", report, "gui", channel="FILE", to="Sở").content.decode()
    delivery = report.deliveries.get()
    sent = do("qn.khkt", report, "xac-nhan", delivery=str(delivery.pk), receipt="Văn bản đến số 12")
    assert "Đã ghi xác nhận" in sent.content.decode()
    assert Report.objects.get(pk=report.pk).state == Report.State.RECEIVED


def test_a_report_is_returned_with_its_reason_on_the_page(report, writer):
    read_all(report, writer)
    do("qn.khkt", report, "trinh")

    text = do("qn.lanhdao", report, "tra-lai", reason="Bổ sung số liệu trạm.").content.decode()

    assert "Bị trả lại" in text
    assert "Bổ sung số liệu trạm." in text


def test_the_comparison_says_that_the_replay_is_equal(issued):
    text = page("qn.khkt", "compare", issued.pk)

    assert "Dựng lại bằng nhau" in text
    assert issued.snapshots.first().content_hash in text


def test_an_issued_report_is_read_by_whom_it_is_addressed_to(issued):
    text = page("qn.sonnmt", "detail", issued.pk)

    assert "05/BC-TTNS" in text
    assert "Lưu nội dung" not in text


def test_a_correction_is_linked_both_ways(issued):
    do("qn.khkt", issued, "dinh-chinh", reason="Trạm gửi lại số liệu.")

    new = Report.objects.get(corrects=issued)
    assert reverse("reports:detail", args=[new.pk]) in page("qn.khkt", "detail", issued.pk)
    assert "Thay thế" in page("qn.khkt", "detail", new.pk)


@pytest.mark.parametrize(("what", "head"), [("docx", b"PK"), ("xlsx", b"PK")])
def test_a_draft_is_downloaded(report, what, head):
    response = client_of("qn.khkt").get(reverse("reports:file", args=[report.pk, what]))

    assert response.content.startswith(head)
    assert "attachment" in response["Content-Disposition"]


def test_the_frozen_files_are_downloaded(issued):
    for what in ("docx", "xlsx", "json"):
        response = client_of("qn.khkt").get(reverse("reports:file", args=[issued.pk, what]))
        assert response.status_code == 200, what


def test_a_report_is_made_by_hand(writer, centre):
    text = page("qn.khkt", "add", kind="qn_monthly")
    assert "Lập bản nháp" in text

    response = client_of("qn.khkt").post(
        f"{reverse('reports:add')}?kind=qn_monthly",
        {"organisation": centre.pk, "period": re.search(r'value="(\d{4}-\d{2})"', text)[1]},
    )

    assert response.url == reverse("reports:detail", args=[Report.objects.get().pk])


def test_a_report_is_made_from_the_page_of_its_duty():
    instance = DutyInstance.objects.filter(duty__key="duty.qn.thang", submitted_on=None).order_by("-last_day").first()
    address = reverse("planning:duty_instance", args=[instance.pk])
    link = f"{reverse('reports:add')}?ky={instance.pk}"

    assert link in client_of("qn.khkt").get(address).content.decode()
    made = client_of("qn.khkt").post(link, follow=True)

    report = Report.objects.get()
    assert report.instance == instance
    assert report.title in made.content.decode()
    assert "Mở báo cáo" in client_of("qn.khkt").get(address).content.decode()
    assert client_of("qn.binhchanh").post(link).status_code == 403


def test_the_overview_says_what_waits_for_whom(report, writer, director):
    def waits(person: Person) -> list[Report]:
        return [row.report for panel in panels.later_overview(person, "now") for row in panel.context["rows"]]

    assert waits(writer) == [report]
    assert waits(director) == []
    read_all(report, writer)
    operations.submit(report, by=writer, now=NOW)
    assert waits(Person.objects.get(pk=writer.pk)) == []
    assert waits(Person.objects.get(pk=director.pk)) == [report]


def test_the_side_bar_asks_the_database_nothing_of_reports(writer, django_assert_num_queries):
    writer = Person.objects.get(pk=writer.pk)
    panels.navigation(writer)  # the person's grants are read once

    with django_assert_num_queries(0):
        assert [item.title for item in panels.navigation(writer)] == ["Báo cáo"]


def test_the_page_of_the_templates_lists_the_fields_and_names_a_wrong_one(report):
    import io

    from django.core.files.uploadedfile import SimpleUploadedFile
    from docx import Document

    text = page("qn.lanhdao", "template", "qn_monthly")
    assert "co_quan_ban_hanh" in text
    assert "bang.growth" in text
    word = Document()
    word.add_paragraph("{{ trich_yeu }} {{ truong_la }}")
    raw = io.BytesIO()
    word.save(raw)

    response = client_of("qn.lanhdao").post(
        reverse("reports:template", args=["qn_monthly"]), {"file": SimpleUploadedFile("mau.docx", raw.getvalue())}
    )

    assert response.status_code == 422
    assert "truong_la" in response.content.decode()
    assert client_of("cb.soxaydung").get(reverse("reports:template", args=["qn_monthly"])).status_code == 403


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_of_two_first_templates_that_come_at_once_both_find_a_place(report, monkeypatch, lost):
    import io

    from django.core.files.uploadedfile import SimpleUploadedFile
    from django.db import IntegrityError
    from docx import Document

    word, raw, take, left = Document(), io.BytesIO(), operations._take_template, [lost]
    word.add_paragraph("{{ trich_yeu }}")
    word.save(raw)

    def come_late(*arguments, **said):
        if left[0]:
            left[0] -= 1
            raise IntegrityError("template_version_once")
        return take(*arguments, **said)

    monkeypatch.setattr(operations, "_take_template", come_late)
    answer = client_of("qn.lanhdao").post(
        reverse("reports:template", args=["qn_monthly"]), {"file": SimpleUploadedFile("mau.docx", raw.getvalue())}
    )

    assert answer.status_code == (302 if lost < 3 else 422)
    assert "cùng lúc" in answer.content.decode() or lost < 3


def test_pages_of_a_report_ask_the_database_seldom(issued, django_assert_max_num_queries):
    client = client_of("qn.khkt")
    for name in ("detail", "figures"):
        address = reverse(f"reports:{name}", args=[issued.pk])
        client.get(address)
        with django_assert_max_num_queries(15):
            assert client.get(address).status_code == 200


def test_who_signs_and_who_writes_are_told_when_it_is_their_turn(report, writer, director):
    read_all(report, writer)

    do("qn.khkt", report, "trinh")
    assert "đang chờ ký duyệt" in director.notices.get().text
    do("qn.lanhdao", report, "tra-lai", reason="Bổ sung số liệu trạm.")

    assert "bị trả lại: Bổ sung số liệu trạm." in writer.notices.get().text
    assert not Person.objects.get(username="qn.binhchanh").notices.exists()
