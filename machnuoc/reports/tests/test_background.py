"""What runs behind a report: drafts of duties, PDF and signature, e-mail, push with receipt, kills in the middle."""

import http.server
import io
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from django.core import mail

from machnuoc.core import files, jobs, outgoing
from machnuoc.core.models import Job
from machnuoc.planning.models import Duty, DutyInstance
from machnuoc.reports import delivery, operations, signing, tasks
from machnuoc.reports.errors import BadTemplate, ReportsError
from machnuoc.reports.models import Delivery, Report
from machnuoc.reports.tests.conftest import NOW
from machnuoc.reports.tests.test_templates import make_template

pytestmark = pytest.mark.usefixtures("demo_data", "db")
KEY = "khoa-chung-giua-hai-ben-dai-hon-32-ky-tu"


def run(task: str) -> None:
    """Run the newest waiting job of a task, as the worker does."""
    job = Job.objects.filter(task=task, state=Job.State.QUEUED).latest("pk")
    jobs.get_task(task).function(job, **job.arguments)


def make_instance(centre) -> DutyInstance:
    duty = Duty.objects.create(
        key="duty.test.monthly", name="Báo cáo tháng", subject=centre.territory.subject,
        rule="FREQ=MONTHLY;BYMONTHDAY=14", period_kind="M", report_kind="qn_monthly", to_as_printed="Sở NNMT",
    )  # fmt: skip
    return DutyInstance.objects.create(
        duty=duty, organisation=centre, rule_date=date(2026, 11, 14), last_day=date(2199, 1, 1),
        grace_until=date(2199, 1, 1),        opens_on=date(2026, 1, 1), period_kind="M", period_start=date(2026, 10, 1),
    )  # fmt: skip


def test_the_pdf_of_an_issued_report_is_made_and_signed(issued):
    run("reports.make_pdf")

    taken = issued.snapshots.first()
    assert taken.pdf.media_type == "application/pdf"
    with files.open_file(taken.signed_pdf) as stream:
        signed = stream.read()
    found = check_signature(signed)
    assert found.intact and found.valid and found.bottom_line
    text = subprocess.run(["pdftotext", "-layout", "-", "-"], input=signed, capture_output=True, check=True).stdout
    assert signing.TEST_NAME in text.decode()
    assert "Thời gian ký: 20" in text.decode()


def check_signature(content: bytes):
    from pyhanko.keys import load_cert_from_pemder
    from pyhanko.pdf_utils.reader import PdfFileReader
    from pyhanko.sign.validation import validate_pdf_signature
    from pyhanko_certvalidator import ValidationContext

    _, certificate = signing.test_certificate(NOW)
    trusted = ValidationContext(trust_roots=[load_cert_from_pemder(str(certificate))])
    signature = PdfFileReader(io.BytesIO(content)).embedded_signatures[0]
    assert signature.sig_object["/SubFilter"] == "/ETSI.CAdES.detached"  # PAdES
    return validate_pdf_signature(signature, trusted)


def test_a_signed_pdf_that_was_changed_is_not_valid():
    from machnuoc.reports.tests import test_pages

    content = test_pages.pdf.convert(
        test_pages.docx_writer.write(test_pages.make_document(), test_pages.word_templates.shipped("any"))
    )
    signed = signing.sign(content, signer_name="Trung tâm", reason="Ban hành", now=datetime.now(UTC))
    assert signed.is_test

    place = signed.content.index(b"stream") + 40
    changed = signed.content[:place] + bytes([signed.content[place] ^ 1]) + signed.content[place + 1 :]

    assert not check_signature(changed).intact


def test_a_certificate_that_does_not_open_is_named(settings, tmp_path):
    settings.SIGNING_P12 = str(tmp_path / "x.p12")
    Path(settings.SIGNING_P12).write_bytes(b"no certificate")

    with pytest.raises(signing.CannotSign, match=r"x\.p12"):
        signing.sign(b"%PDF-1.7", signer_name="A", reason="B", now=NOW)


def test_a_report_is_sent_by_email_with_its_files_and_closes_its_duty(issued, writer, centre, settings):
    settings.EMAIL_HOST = "localhost"
    issued.instance = make_instance(centre)
    issued.save()
    run("reports.make_pdf")
    operations.send(issued, channel=Delivery.Channel.EMAIL, to="vanthu@sonnmt.gov.vn", by=writer, now=NOW)

    run("reports.deliver")

    (message,) = mail.outbox
    assert message.to == ["vanthu@sonnmt.gov.vn"]
    assert message.subject.startswith("[MÔ PHỎNG] Báo cáo số 05/BC-TTNS")
    assert [name.rpartition(".")[2] for name, _, _ in message.attachments] == ["pdf", "docx", "xlsx"]
    assert Report.objects.get(pk=issued.pk).state == Report.State.SENT
    instance = DutyInstance.objects.get(duty__key="duty.test.monthly")
    assert instance.submitted_on is not None
    assert "05/BC-TTNS" in instance.submitted_note


def test_an_address_that_is_none_and_a_channel_that_is_not_set_up_are_refused(issued, writer, settings):
    settings.EMAIL_HOST = "localhost"
    with pytest.raises(ReportsError, match="không phải địa chỉ"):
        operations.send(issued, channel=Delivery.Channel.EMAIL, to="Sở", by=writer, now=NOW)
    with pytest.raises(ReportsError, match="MACHNUOC_REPORT_PUSH_URL"):
        operations.send(issued, channel=Delivery.Channel.PUSH, by=writer, now=NOW)


class Receiver(http.server.BaseHTTPRequestHandler):
    """A receiving body: checks the signature and answers with a receipt, or wrongly where told so."""

    received: list[bytes] = []
    answer_key = KEY

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if not delivery.is_signed(content, KEY, self.headers[outgoing.SIGNATURE]):
            self.send_error(403)
            return
        self.received.append(content)
        answer = delivery.make_receipt(content, number="VBĐ 1234", key=self.answer_key, now=NOW)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *ignored: object) -> None:
        return


@pytest.fixture
def receiver(settings):
    Receiver.received, Receiver.answer_key = [], KEY
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.REPORT_PUSH_URL, settings.REPORT_PUSH_KEY = f"http://127.0.0.1:{server.server_port}/nhan", KEY
    yield Receiver
    server.shutdown()
    server.server_close()


def test_a_push_brings_back_a_signed_receipt(issued, writer, receiver):
    row = operations.send(issued, channel=Delivery.Channel.PUSH, by=writer, now=NOW)

    run("reports.deliver")

    with files.open_file(issued.snapshots.first().content) as stream:
        assert receiver.received == [stream.read()]
    row.refresh_from_db()
    assert row.state == Delivery.State.RECEIVED
    assert row.receipt.startswith("VBĐ 1234")
    assert Report.objects.get(pk=issued.pk).state == Report.State.RECEIVED


def test_a_receipt_that_others_signed_is_none(issued, writer, receiver):
    receiver.answer_key = "x" * 40
    row = operations.send(issued, channel=Delivery.Channel.PUSH, by=writer, now=NOW)

    with pytest.raises(delivery.NotDelivered, match="không đúng chữ ký"):
        run("reports.deliver")

    row.refresh_from_db()
    assert row.state == Delivery.State.FAILED
    assert "chữ ký" in row.error
    assert Report.objects.get(pk=issued.pk).state == Report.State.ISSUED


def test_a_report_is_prepared_when_its_duty_has_opened(centre):
    instance = make_instance(centre)
    waiting = Job(task="reports.prepare_due")

    assert "báo cáo đến kỳ" in tasks.prepare_due(waiting)
    tasks.prepare_due(waiting)  # the second round finds the job of the first
    assert Job.objects.filter(task="reports.prepare", arguments={"instance_id": instance.pk}).count() == 1
    tasks.prepare(Job(task="reports.prepare"), instance_id=instance.pk)

    report = Report.objects.get(instance=instance)
    assert report.kind == "qn_monthly"
    assert report.state == Report.State.DRAFT


def test_a_template_with_an_unknown_field_is_not_taken_into_use(issued, director):
    good = files.store(make_template("{{p noi_dung }}"), name="mau.docx", by=director, kinds=frozenset({"docx"}))
    bad = files.store(make_template("{{ ho_ngheo }}"), name="mau.docx", by=director, kinds=frozenset({"docx"}))

    with pytest.raises(BadTemplate, match="«ho_ngheo»"):
        operations.upload_template("qn_monthly", bad, by=director, now=NOW)
    row = operations.upload_template("qn_monthly", good, by=director, now=NOW)

    assert (row.version, row.is_active) == (1, True)


KILLED = """
import sys, time
import django
django.setup()
from dataclasses import replace
from django.utils import timezone
from machnuoc.core.periods import Period
from machnuoc.places.models import Organisation
from machnuoc.reports import kinds, operations

monthly = kinds.get_kind("qn_monthly")

def gather_slowly(context):
    gathered = monthly.gather(context)
    print("half-way", flush=True)
    time.sleep(float(sys.argv[1]))
    return gathered

kinds.register(replace(monthly, gather=gather_slowly))
centre = Organisation.objects.get(subject__key="org.qn.trung-tam")
operations.prepare("qn_monthly", centre, Period.parse("2026-10"), by=None, now=timezone.now())
print("done", flush=True)
"""


@pytest.mark.sqlite
def test_a_process_killed_while_it_prepares_a_report_leaves_no_half_report(demo_data_database, tmp_path):
    with sqlite3.connect(demo_data_database) as source, sqlite3.connect(tmp_path / "machnuoc.sqlite3") as target:
        source.backup(target)
    environment = {
        **os.environ, "MACHNUOC_DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "machnuoc.config.settings",
    }  # fmt: skip

    def start(pause: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", KILLED, pause], env=environment, stdout=subprocess.PIPE, text=True
        )

    killed = start("60")
    assert killed.stdout is not None
    assert killed.stdout.readline() == "half-way\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait(timeout=20)
    with sqlite3.connect(tmp_path / "machnuoc.sqlite3") as database:
        count = database.execute("SELECT COUNT(*) FROM reports_report").fetchone()[0]
    again = start("0")
    output, _ = again.communicate(timeout=120)

    assert count == 0
    assert "done" in output
    with sqlite3.connect(tmp_path / "machnuoc.sqlite3") as database:
        figures, sections = (
            database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]  # noqa: S608 our own tables
            for table in ("reports_reportfigure", "reports_reportsection")
        )
    assert figures > 200
    assert sections == 11
