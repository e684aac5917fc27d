"""The recurring work of the program itself."""

from datetime import time

from django.utils import timezone

from machnuoc.core import audit, jobs, notices, sending, statistics
from machnuoc.core.models import Job


@jobs.every("core.seal_audit", minutes=5, timeout_s=120, title="Niêm phong nhật ký")
def seal_audit(job: Job) -> str:
    count = 0
    while made := audit.seal(timezone.now()):
        count += made.entry_count
        jobs.report_progress(job, count, count)
    return f"Đã niêm phong {count} bản ghi nhật ký." if count else "Không có bản ghi mới."


@jobs.every("core.gather_statistics", days=1, at=time(2, 20), timeout_s=600, title="Đếm lại bảng dữ liệu")
def gather_statistics(job: Job) -> str:
    statistics.gather()
    return "Cơ sở dữ liệu đã biết lại cỡ của mọi bảng."


@jobs.every("core.prune_jobs", days=1, at=time(2, 30), title="Xóa tác vụ cũ")
def prune_jobs(job: Job) -> str:
    return f"Đã xóa {jobs.prune(timezone.now())} tác vụ cũ."


@jobs.every("core.prune_notices", days=1, at=time(2, 40), title="Xóa thông báo cũ")
def prune_notices(job: Job) -> str:
    return f"Đã xóa {notices.prune(timezone.now())} thông báo cũ."


@jobs.every("core.send_waiting", minutes=1, timeout_s=300, title="Gửi tin đi")
def send_waiting(job: Job) -> str:
    sent = failed = 0
    while True:
        gone, stayed = sending.send_due(timezone.now())
        sent, failed = sent + gone, failed + stayed
        if not gone and not stayed:
            break
        jobs.report_progress(job, sent, sent + failed)
    return f"Đã gửi {sent} tin, {failed} lần không gửi được." if sent or failed else "Không có tin chờ gửi."


@jobs.every("core.prune_sendings", days=1, at=time(2, 50), title="Xóa tin đã gửi từ lâu")
def prune_sendings(job: Job) -> str:
    return f"Đã xóa {sending.prune(timezone.now())} tin cũ."
