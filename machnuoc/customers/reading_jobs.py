"""Background work of readings: long sheets are read, taken and told of in jobs."""

from django.utils import timezone

from machnuoc.core import jobs, notices
from machnuoc.core.files import RefusedFile
from machnuoc.core.models import Job
from machnuoc.customers import reading_sheets
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import ReadingImport


@jobs.task("customers.reading_sheet", timeout_s=3_600, title="Nạp tệp chỉ số")
def reading_sheet(job: Job, *, batch_id: int, act: str) -> str:
    """Preview or take a sheet of readings. Run again after a kill it goes on where rows are the same items."""
    batch = ReadingImport.objects.select_related("file", "uploaded_by").get(pk=batch_id)
    total = batch.received

    def progress(done: int) -> None:
        jobs.report_progress(job, min(done, total) if total else done, total or done + 1, "Đang đọc tệp")

    try:
        if act == "preview":
            if batch.previewed_at is not None:
                return "Đã xem trước."
            reading_sheets.preview(batch, now=timezone.now(), progress=progress)
            text = f"Đã đọc tệp {batch.file_name}: {batch.received} dòng, {batch.rejected} dòng lỗi."
        else:
            if batch.applied_at is not None:
                return "Tệp đã được nạp."
            reading_sheets.apply(batch, now=timezone.now(), progress=progress)
            text = f"Đã nạp tệp {batch.file_name}: {batch.received} dòng, {batch.rejected} dòng bị loại."
    except (CustomersError, RefusedFile) as reason:
        raise jobs.GiveUp(str(reason)) from None
    notices.notify([batch.uploaded_by], kind="import", text=text, url=f"/ghi-chi-so/nap-tep/{batch.pk}/")
    return text
