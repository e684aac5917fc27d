"""The recurring work of the room."""

from datetime import time

from django.utils import timezone

from machnuoc.core import jobs
from machnuoc.core.models import Job
from machnuoc.telemetry import archive
from machnuoc.telemetry import device_jobs as device_jobs


@jobs.every("telemetry.archive", days=1, at=time(3, 10), timeout_s=3600, title="Lưu trữ số đo của tháng cũ")
def archive_closed_months(job: Job) -> str:
    now_ms = int(timezone.now().timestamp() * 1000)
    try:
        done = archive.archive_closed(now_ms)
    except archive.ArchiveFailed as reason:
        raise jobs.GiveUp(str(reason)) from None
    gone = archive.expire(now_ms)
    said = [f"tháng {month.key}: {month.readings} số đo" for month in done]
    said += [f"tháng {key}: đã xóa vì quá thời hạn lưu" for key in gone]
    return f"Đã lưu trữ {'; '.join(said)}." if said else "Không có tháng nào cần lưu trữ."
