"""What somebody tries against plans, tasks, projects, duties and reports who wants more, or wants them to fall over."""

import http.client
import io
import json
import time
import zipfile
from datetime import UTC, date, datetime

import pytest
from django.test import Client
from django.urls import reverse
from docx import Document as Word

from machnuoc.core import files, outgoing, tokens
from machnuoc.core.models import Person
from machnuoc.core.periods import Period
from machnuoc.places import access
from machnuoc.places.models import Organisation, Subject
from machnuoc.planning import duty_rules
from machnuoc.planning.models import Criterion, Project
from machnuoc.reports import delivery, operations, word_templates
from machnuoc.reports.errors import BadTemplate, ReportsError
from machnuoc.reports.models import Delivery, Report, Snapshot

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("demo")]
BACKEND = "django.contrib.auth.backends.ModelBackend"
NOW = datetime(2026, 11, 12, 3, 0, tzinfo=UTC)
QN_TASK = "qn.79-2026.phu-luc-2.1"


def person(username: str) -> Person:
    return Person.objects.get(username=username)


def browser_of(username: str) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(person(username), backend=BACKEND)
    return client


# --- numbers and days ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("year", ["020269999", "02026" + "9" * 9, "02026" + "9" * 5000, "²", "-1", "0"])
def test_a_strange_year_draws_the_year_of_today(year):
    client = browser_of("quantri")
    programme = "kh.1355-2024"

    for address in (
        reverse("planning:task_timeline"), reverse("planning:programme_detail", args=[programme]),
        reverse("planning:programme_matrix", args=[programme]), reverse("planning:project_list"),
    ):  # fmt: skip
        assert client.get(address, {"year": year}).status_code == 200, address


@pytest.mark.parametrize("number", ["²", "٣", "9" * 5000, "9" * 30, "-1", "x"])
def test_a_dossier_or_a_part_that_is_no_number_is_not_there(number):
    client = browser_of("quantri")
    unit = "vn.khanh-hoa-cu.khanh-son-huyen.son-binh-xa"
    criterion = Criterion.objects.filter(criteria_set__key="xa-ntm-2026-2030")[0]
    dossier = reverse("planning:programme_dossier", args=["kh.1355-2024", unit])
    part = reverse("planning:sub_indicator_form", args=[criterion.pk])

    assert client.get(dossier, {"dossier": number}).status_code == 404
    assert client.get(part, {"part": number}).status_code == 200


@pytest.mark.parametrize("pk", ["9223372036854775808", "9" * 400, "-" + "9" * 30, "²", "NaN"])
def test_an_id_that_no_database_holds_is_no_error_of_the_program(pk):
    client = browser_of("quantri")
    forms = {
        "task_add": (reverse("planning:task_add"), ["leads", "cooperating", "plan", "subject"]),
        "task_hand_over": (reverse("planning:task_hand_over", args=[QN_TASK]), ["former", "to"]),
        "campaign_add": (reverse("planning:campaign_add"), ["organisation", "task", "plan", "subject"]),
        "project_add": (reverse("planning:project_add"), ["owner", "plan", "work", "territories"]),
        "handover_add": (reverse("planning:handover_add"), ["giver", "receiver", "work", "place"]),
        "plan_add": (reverse("planning:plan_add"), ["issuer", "territory", "document", "carries_out"]),
        "works_add": (reverse("works:add"), ["operator", "team", "territories", "treatment"]),
    }

    for name, (address, fields) in forms.items():
        assert client.post(address, dict.fromkeys(fields, pk)).status_code in {200, 422}, name


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "2026-02-29", "10000-01-01", "1.288,5", "Infinity"])
def test_a_day_that_nobody_plans_for_is_refused(day):
    client = browser_of("quantri")
    project, duty = "project.qn.duc-chanh", "duty.qn.tram-dot-xuat"
    forms = {
        reverse("planning:plan_add"): ["valid_from", "last_day"],
        reverse("planning:task_add"): ["starts_on", "due_on"],
        reverse("planning:project_disburse", args=[project]): ["on_date"],
        reverse("planning:project_obstacle", args=[project]): ["raised_on", "due_on"],
        reverse("planning:duty_ad_hoc", args=[duty]): ["due_on"],
        reverse("planning:handover_add"): ["requested_on"],
    }

    for address, names in forms.items():
        answer = client.post(address, dict.fromkeys(names, day))
        assert answer.status_code in {200, 422}, address
        assert set(names) <= answer.context["form"].errors.keys(), address


def test_the_api_takes_no_payment_of_another_age():
    _, raw = tokens.create_token(person=person("quantri"), name="x", now=NOW, can_write=True)
    address = "/api/v1/projects/project.qn.duc-chanh/disbursements"

    def status(**said: object) -> int:
        body = json.dumps({"on_date": "2026-01-05", "amount_vnd": 1} | said)
        return Client().post(
            address, body, content_type="application/json", headers={"Authorization": f"Bearer {raw}"}
        ).status_code  # fmt: skip

    assert status(on_date="0001-01-01") == status(on_date="1989-12-31") == 409
    for amount in (10**30, 2**62, -1, 0, 1.5, "1e9", "NaN", None):
        assert status(amount_vnd=amount) == 422, amount


# --- what is in other hands ---------------------------------------------------------------------------------------


def test_a_plan_is_not_laid_upon_another_province():
    client = browser_of("qn.khkt")
    said = {
        "name": "Kế hoạch của tôi", "short_name": "Của tôi", "field": "ALL", "status": "IN_FORCE",
        "issuer": Organisation.objects.get(subject__key="org.qn.trung-tam").pk,
    }  # fmt: skip

    def status(key: str) -> int:
        territory = Subject.objects.get(key=key).pk
        return client.post(reverse("planning:plan_add"), said | {"territory": territory}).status_code

    assert status("vn.cao-bang") == 422
    assert status("vn.quang-ngai") == 302


def test_a_project_is_not_given_into_hands_that_its_author_does_not_manage():
    client = browser_of("qn.khkt")
    project = Project.objects.get(subject__key="project.qn.duc-chanh")
    other = Organisation.objects.exclude(pk__in=access.visible_subject_ids(person("qn.khkt"), "manage"))
    said = {"name": project.subject.name, "version": project.subject.version, "total": "1 tỷ"}
    address = reverse("planning:project_edit", args=[project.subject.key])

    for owner in [*other.filter(subject__key__contains=".qn.")[:3], *other.filter(subject__key__contains=".cb.")[:1]]:
        assert client.post(address, said | {"owner": owner.pk}).status_code == 422, owner
    assert client.post(address, said | {"owner": project.owner_id or ""}).status_code == 302


# --- rules of dates -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "starts_on"),
    [
        ("FREQ=SECONDLY", None),
        ("FREQ=MONTHLY;BYMONTHDAY=14;COUNT=1000000000", date(2026, 1, 1)),
        ("FREQ=MONTHLY;BYMONTHDAY=14;INTERVAL=0", date(2026, 1, 1)),
        ("FREQ=DAILY", date(1, 1, 1)),
        ("FREQ=DAILY", date(9999, 12, 31)),
        ("FREQ=DAILY;BYDAY=MO;BYSETPOS=366;COUNT=2", date(2026, 1, 1)),
        ("FREQ=DAILY;BYDAY=MO;BYSETPOS=5", date(2026, 1, 1)),
        ("FREQ=DAILY;BYDAY=MO;INTERVAL=7", date(2026, 1, 6)),
        ("FREQ=WEEKLY;BYDAY=MO;BYSETPOS=9;COUNT=2", date(2026, 1, 1)),
        ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=300;COUNT=2", date(2026, 1, 1)),
        ("FREQ=MONTHLY;BYDAY=1MO;BYSETPOS=-2", date(2026, 1, 1)),
        ("FREQ=MONTHLY;BYDAY=2MO;BYMONTHDAY=1", date(2026, 1, 1)),
        ("FREQ=YEARLY;BYMONTH=2;BYDAY=MO;BYSETPOS=200;COUNT=1", date(2026, 1, 1)),
    ],
)
def test_a_rule_that_would_search_for_ages_is_refused_at_once(rule, starts_on):
    began = time.monotonic()

    with pytest.raises(duty_rules.BadRule):
        duty_rules.next_due(duty_rules.Terms(rule, starts_on=starts_on), date(2026, 11, 22))
    with pytest.raises(duty_rules.BadRule):
        duty_rules.words(duty_rules.Terms(rule, starts_on=starts_on))
    assert time.monotonic() - began < 0.5


def test_the_last_day_of_work_in_a_month_is_still_a_rule():
    terms = duty_rules.Terms("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1")

    assert duty_rules.next_due(terms, date(2026, 11, 22), 1)[0].last_day == date(2026, 11, 30)


# --- templates of reports -----------------------------------------------------------------------------------------

RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
IMAGE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/image"
LINK = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/hyperlink"


def with_part(name: str, part: bytes) -> bytes:
    raw, plain = io.BytesIO(), io.BytesIO()
    Word().save(plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(raw, "w") as target:
        for entry in source.namelist():
            target.writestr(entry, source.read(entry))
        target.writestr(name, part)
    return raw.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        f'<r:Relationships xmlns:r="{RELATIONS}"><r:Relationship Type="{IMAGE}" Target="file:///etc/passwd" '
        'TargetMode="External"/></r:Relationships>',
        f'<Relationships xmlns="{RELATIONS}"><Relationship Type="{IMAGE}" Target="http://10.0.0.1/" '
        'TargetMode="&#69;xternal"/></Relationships>',
        f'<Relationships xmlns="{RELATIONS}"><Relationship Id="a>b" Type="{IMAGE}" Target="http://10.0.0.1/" '
        'TargetMode="External"/></Relationships>',
        f'<Relationships xmlns="{RELATIONS}"><Relationship Type="{IMAGE}" Target="http://10.0.0.1/"/></Relationships>',
        f'<Relationships xmlns="{RELATIONS}"><Relationship Type="{LINK}" TargetMode="External" Target="javascript:a" '
        'X="https:"/></Relationships>',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_template_hides_no_way_outside(text, encoding):
    part = f'<?xml version="1.0" encoding="{encoding}"?>{text}'.encode(encoding)

    with pytest.raises(BadTemplate, match="bên ngoài"):
        word_templates.check(with_part("word/_rels/header9.xml.rels", part))


WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


@pytest.mark.parametrize("name", ["word/header9.xml", "word/header9.dat"])
@pytest.mark.parametrize(
    "body",
    [
        '<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText> INCLUDE</w:instrText></w:r><w:r><w:instrText>'
        'PICTURE "file:///etc/passwd"</w:instrText></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r>',
        '<q:r xmlns:q="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        '<q:instrText>INCLUDETEXT "c:/a"</q:instrText></q:r>',
        "<w:r><w:instrText>INCLUDE&#84;EXT</w:instrText></w:r>",
        '<w:r><w:instrText><w:x/>LI</w:instrText></w:r><w:fldSimple w:instr="L&#73;NK a"/>',
    ],
)
def test_a_template_hides_no_field_that_fetches(name, body):
    part = f'<w:hdr xmlns:w="{WORD}"><w:p>{body}</w:p></w:hdr>'.encode()

    with pytest.raises(BadTemplate, match="lấy nội dung từ nơi khác"):
        word_templates.check(with_part(name, part))


def test_a_template_loops_out_no_library():
    word, raw = Word(), io.BytesIO()
    for text in ("{%p for a in noi_nhan %}", "{%p for b in noi_nhan %}", "x" * 5_000, "{%p endfor %}", "{%p endfor %}"):
        word.add_paragraph(text)
    word.save(raw)
    few, many = (word_templates.Fields({}, {"noi_nhan": ("Lưu: VT",) * count}) for count in (3, 2_000))

    word_templates.render(raw.getvalue(), few)
    with pytest.raises(BadTemplate, match="quá nhiều"):
        word_templates.render(raw.getvalue(), many)


def test_pages_and_dates_in_a_template_are_let_be():
    part = (
        f'<w:hdr xmlns:w="{WORD}"><w:p><w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText> PAGE '
        '</w:instrText></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r><w:fldSimple w:instr=" HYPERLINK a "/></w:p>'
        "</w:hdr>"
    )

    word_templates.check(with_part("word/header9.xml", part.encode()))


# --- words of reports ---------------------------------------------------------------------------------------------


@pytest.fixture
def report() -> Report:
    centre = Organisation.objects.get(subject__key="org.qn.trung-tam")
    return operations.prepare("qn_monthly", centre, Period.parse("2026-10"), by=person("qn.khkt"), now=NOW)


def test_characters_that_no_page_can_hold_stop_no_report(report):
    client = browser_of("qn.khkt")
    section = report.sections.first()
    section_at = reverse("reports:section", args=[report.pk, section.pk])
    client.post(section_at, {"act": "save", "text": "Đã \x01xong\x0b.\x1f", "version": section.version})
    report.refresh_from_db()
    details = {"title": "Kết quả\r\x02\x08 tháng\ufffe 10", "version": report.version, "to_as_printed": "Sở\x01"}
    assert client.post(reverse("reports:details", args=[report.pk]), details).status_code == 302

    for what in ("docx", "xlsx"):
        answer = client.get(reverse("reports:file", args=[report.pk, what]))
        assert answer.status_code == 200 and answer.content.startswith(b"PK"), what
    assert client.get(reverse("planning:task_list"), {"export": "xlsx"}).status_code == 200


def test_a_report_takes_no_book_for_a_section(report):
    client = browser_of("qn.khkt")
    section = report.sections.first()
    address = reverse("reports:section", args=[report.pk, section.pk])
    client.post(address, {"act": "save", "text": "dài " * 200_000, "version": section.version})
    section.refresh_from_db()
    assert section.text == ""
    lines = {"title": "Kết quả", "recipients": "Lưu: VT\n" * 50_000, "version": report.version}
    assert client.post(reverse("reports:details", args=[report.pk]), lines).status_code == 422
    report.refresh_from_db()
    assert len(report.recipients) < 4_000


@pytest.mark.parametrize("number", ["9" * 5000, "9" * 25, "²", "-1"])
def test_a_receipt_names_a_delivery_that_is_there(report, number):
    answer = browser_of("qn.khkt").post(
        reverse("reports:act", args=[report.pk, "xac-nhan"]), {"delivery": number, "receipt": "x"}
    )

    assert answer.status_code == 302


def test_a_title_adds_no_header_to_a_letter(report, settings, mailoutbox):
    settings.EMAIL_HOST = "localhost"
    report.title, report.number, report.issued_on = "Kết quả\rBcc: ai@do.vn\nX: y", "05/BC-TTNS", date(2026, 11, 12)
    report.is_simulated = False
    content = files.store(b"{}", name="a.json", by=None, kinds=frozenset({"json"}))
    taken = Snapshot(report=report, content=content, content_hash="0" * 64)

    delivery.send_email(Delivery(report=report, to="a@tinh.gov.vn"), taken)

    assert mailoutbox[0].subject == "Báo cáo số 05/BC-TTNS: Kết quả Bcc: ai@do.vn X: y"
    assert mailoutbox[0].recipients() == ["a@tinh.gov.vn"]
    for address in ("a@tinh.gov.vn\nBcc: b@c.vn", "a@tinh.gov.vn, b@c.vn", "a@tinh.gov.vn\r\n\r\nx"):
        with pytest.raises(ReportsError):
            delivery.clean_address("EMAIL", address)


@pytest.mark.parametrize(
    "answer", [b"[" * 60_000, b"null", b"{}", b'{"signature": 1}', b"\xff", b'{"signature":"x","receipt":{},"a":1e999}']
)
def test_an_answer_that_is_no_receipt_is_none(answer):
    with pytest.raises(delivery.NotDelivered):
        delivery.read_receipt(answer, b"{}", "khoa")


def test_a_receipt_of_another_content_or_changed_is_none():
    receipt = delivery.make_receipt(b"{}", number="1", key="khoa", now=NOW)

    assert delivery.read_receipt(receipt, b"{}", "khoa").text == "1"
    for answer, content in ((receipt, b"[]"), (receipt.replace(b'"1"', b'"2"'), b"{}")):
        with pytest.raises(delivery.NotDelivered):
            delivery.read_receipt(answer, content, "khoa")


def test_a_receiver_that_speaks_no_http_is_told_as_not_reached(settings, monkeypatch, report):
    class Opener:
        def open(self, *ignored: object, **more: object) -> None:
            raise http.client.BadStatusLine("SSH-2.0-OpenSSH")

    settings.REPORT_PUSH_URL, settings.REPORT_PUSH_KEY = "http://127.0.0.1:22/", "k" * 40
    monkeypatch.setattr(outgoing, "opener", lambda **ignored: Opener())
    content = files.store(b"{}", name="a.json", by=None, kinds=frozenset({"json"}))

    with pytest.raises(delivery.NotDelivered, match="Không kết nối"):
        delivery.push(Delivery(pk=1, report=report), Snapshot(content=content, content_hash="0" * 64))
