"""Background work of printing."""

from datetime import time

from django.utils import timezone

from machnuoc.billing import bill_pdf, print_batches
from machnuoc.billing.models import PrintBatch
from machnuoc.core import jobs, notices
from machnuoc.core.models import Job
from machnuoc.core.vietnamese import format_number


@jobs.task(print_batches.TASK, timeout_s=900, title="In hóa đơn")
def print_bills(job: Job, *, batch_id: int) -> str:
    batch = PrintBatch.objects.select_related("made_by").get(pk=batch_id)
    count = len(batch.bill_ids)
    jobs.report_progress(job, 0, count)
    try:
        print_batches.make(batch)
    except bill_pdf.CannotPrint as reason:
        raise jobs.GiveUp(str(reason)) from None
    jobs.report_progress(job, count, count)
    text = f"Đã in xong {format_number(count)} hóa đơn: {batch.title}."
    notices.notify([batch.made_by], kind="billing.printed", text=text, url="/in-hoa-don/")
    return text


@jobs.every("billing.prune_prints", days=1, at=time(3), title="Xóa tệp in cũ")
def prune_prints(job: Job) -> str:
    return f"Đã xóa {print_batches.prune(timezone.now())} tệp in cũ."
