"""Background work of reports."""

from datetime import time, timedelta

from django.utils import timezone

from machnuoc.core import audit, files, jobs, periods
from machnuoc.core.jobs import GiveUp
from machnuoc.core.models import Job
from machnuoc.core.periods import Period
from machnuoc.planning.models import DutyInstance
from machnuoc.reports import delivery, kinds, operations, pdf, signing
from machnuoc.reports.models import Delivery, Report, Snapshot

# A report that is late is still owed; one that nobody has asked for in two months is made by hand.
LATE = timedelta(days=60)

audit.describe("reports.pdf.made", "tạo PDF có chữ ký số của báo cáo {target}")


@jobs.task("reports.prepare", timeout_s=300, title="Lập dự thảo báo cáo")
def prepare(job: Job, *, instance_id: int) -> str:
    """Prepare the report that a duty asks for. Whole or not at all: it may be killed and run again."""
    instance = DutyInstance.objects.select_related("duty__plan", "organisation__subject").get(pk=instance_id)
    if not instance.period_kind or instance.period_start is None:
        raise GiveUp(f"«{instance.duty}» không theo kỳ nên không lập sẵn được báo cáo. Lập báo cáo bằng tay.")
    report = operations.prepare(
        instance.duty.report_kind, instance.organisation,
        Period(instance.period_kind, instance.period_start),  # type: ignore[arg-type]
        by=job.enqueued_by, now=timezone.now(), instance=instance,
    )  # fmt: skip
    return f"Đã lập «{report.title}»"


@jobs.every("reports.prepare_due", days=1, at=time(5, 30), title="Lập dự thảo báo cáo đến kỳ")
def prepare_due(job: Job) -> str:
    """Queue the preparation of every report whose duty has opened and that nobody has prepared yet."""
    today = periods.local_date(timezone.now())
    known = {kind.key: kind for kind in kinds.list_kinds()}
    waiting = DutyInstance.objects.filter(
        opens_on__lte=today, last_day__gte=today - LATE, submitted_on__isnull=True, waived_by__isnull=True,
        reports=None, duty__is_active=True, duty__report_kind__in=known, period_start__isnull=False,
    ).select_related("duty")  # fmt: skip
    count = 0
    for instance in waiting:
        if known[instance.duty.report_kind].period_kind == instance.period_kind:
            jobs.enqueue("reports.prepare", schedule=f"reports.prepare.{instance.pk}", instance_id=instance.pk)
            count += 1
    return f"{count} báo cáo đến kỳ"


@jobs.task("reports.make_pdf", timeout_s=300, title="Tạo PDF và ký số báo cáo")
def make_pdf(job: Job, *, snapshot_id: int) -> str:
    """Make the PDF of a snapshot outside of any transaction, sign it once the report has its number, and keep both."""
    taken = Snapshot.objects.select_related("report__organisation__subject", "docx").get(pk=snapshot_id)
    if taken.docx is None:
        raise GiveUp("Bản đóng băng này không có tệp Word.")
    report = taken.report
    if report.snapshots.filter(pk__gt=taken.pk).exists():
        # The report got its number meanwhile: the files of the later snapshot bear it, these would not.
        return "Báo cáo đã có bản mới hơn; PDF được tạo từ bản đó"
    try:
        with files.open_file(taken.docx) as stream:
            content = pdf.convert(stream.read())
    except pdf.NoConverter as reason:
        raise GiveUp(str(reason)) from None
    name = operations.file_name(report, "pdf")
    taken.pdf = files.store(content, name=name, by=job.enqueued_by, kinds=frozenset({"pdf"}))
    said = "Đã tạo PDF"
    if report.state not in {Report.State.APPROVED, *operations.OPEN, Report.State.SUBMITTED}:
        signed = signing.sign(
            content, signer_name=report.organisation.subject.name, reason=f"Ban hành báo cáo số {report.number}",
            now=timezone.now(),
        )  # fmt: skip
        taken.signed_pdf = files.store(
            signed.content, name=name.replace(".pdf", " (ký số).pdf"), by=job.enqueued_by, kinds=frozenset({"pdf"})
        )
        said = "Đã tạo PDF và ký số" + (" bằng chứng thư thử nghiệm" if signed.is_test else "")
    taken.save(update_fields=["pdf", "signed_pdf"])
    audit.record("reports.pdf.made", actor=job.enqueued_by, target=report)
    return said


@jobs.task("reports.deliver", timeout_s=120, max_attempts=4, title="Gửi báo cáo")
def deliver(job: Job, *, delivery_id: int) -> str:
    """Send by e-mail or push. A failure is written down and tried again; what has gone out is not sent twice."""
    row = Delivery.objects.select_related("report__organisation__subject").get(pk=delivery_id)
    if row.state in {Delivery.State.SENT, Delivery.State.RECEIVED}:
        return "Đã gửi từ trước"
    taken = delivery.final_snapshot(row.report)
    now = timezone.now()
    try:
        if row.channel == Delivery.Channel.PUSH:
            receipt = delivery.push(row, taken)
            operations.mark_sent(row, now=now)
            operations.receive(row, f"{receipt.text}, lúc {receipt.received_at}", by=None, now=now)
            return f"Nơi nhận đã xác nhận: {receipt.text}"
        delivery.send_email(row, taken)
    except delivery.NotDelivered as reason:
        operations.mark_failed(row, str(reason), now=now)
        raise
    operations.mark_sent(row, now=now)
    return f"Đã gửi đến {row.to}"
