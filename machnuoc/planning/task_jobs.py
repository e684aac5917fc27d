"""Background work of tasks: reminders, and sheets too long to wait for."""

from datetime import time

from django.core.exceptions import PermissionDenied
from django.utils import timezone

from machnuoc.core import jobs, notices
from machnuoc.core.models import Job, Person
from machnuoc.indicators.sheets import SheetError
from machnuoc.planning import task_operations, task_sheets
from machnuoc.planning.models import TaskImport


@jobs.every("planning.remind_tasks", days=1, at=time(7, 0), title="Nhắc hạn nhiệm vụ")
def remind_tasks(job: Job) -> str:
    count = task_operations.remind(now=timezone.now())
    return f"Đã nhắc {count} nhiệm vụ." if count else "Không có nhiệm vụ nào cần nhắc."


@jobs.task("planning.import_tasks", timeout_s=900, title="Nhập tệp nhiệm vụ")
def import_tasks(job: Job, *, batch_id: int, mode: str, person_id: int) -> str:
    """Take a sheet of tasks. Run twice it finds the sheet taken, and does nothing more."""
    batch = TaskImport.objects.select_related("plan", "subject", "file").get(pk=batch_id)
    person = Person.objects.get(pk=person_id)
    if batch.applied_at is not None:
        return "Tệp đã được nhập."
    jobs.report_progress(job, 0, batch.received, "Đang đọc tệp")
    try:
        batch = task_sheets.apply(batch, mode=mode, by=person, now=timezone.now())
    except (SheetError, PermissionDenied) as reason:
        raise jobs.GiveUp(str(reason)) from None
    text = f"Đã nhập {batch.stored} nhiệm vụ từ tệp {batch.file_name}; {batch.rejected} dòng bị loại."
    notices.notify([person], kind=task_operations.NOTICE, text=text, url=f"/nhiem-vu/nhap-tep/{batch.pk}/")
    jobs.report_progress(job, batch.received, batch.received)
    return text
