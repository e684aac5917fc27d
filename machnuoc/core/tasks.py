"""The recurring work of the program itself."""

from datetime import time

from django.utils import timezone

from machnuoc.core import audit, jobs, notices
from machnuoc.core.models import Job


@jobs.every("core.seal_audit", minutes=5, timeout_s=120, title="Niêm phong nhật ký")
def seal_audit(job: Job) -> str:
    count = 0
    while made := audit.seal(timezone.now()):
        count += made.entry_count
        jobs.report_progress(job, count, count)
    return f"Đã niêm phong {count} bản ghi nhật ký." if count else "Không có bản ghi mới."


@jobs.every("core.prune_jobs", days=1, at=time(2, 30), title="Xóa tác vụ cũ")
def prune_jobs(job: Job) -> str:
    return f"Đã xóa {jobs.prune(timezone.now())} tác vụ cũ."


@jobs.every("core.prune_notices", days=1, at=time(2, 40), title="Xóa thông báo cũ")
def prune_notices(job: Job) -> str:
    return f"Đã xóa {notices.prune(timezone.now())} thông báo cũ."
