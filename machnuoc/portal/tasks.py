"""Background work of the customers' pages."""

from datetime import time

from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone

from machnuoc.core import jobs
from machnuoc.core.models import Job
from machnuoc.core.vietnamese import format_number
from machnuoc.portal import bill_notices, codes


@jobs.task(codes.TASK, timeout_s=60, title="Gửi mã đăng nhập cho khách hàng")
def send_code(job: Job, *, code_id: int) -> str:
    return codes.send(code_id, timezone.now())


@jobs.task(bill_notices.TASK, timeout_s=3_600, max_attempts=20, title="Báo hóa đơn mới cho khách hàng")
def tell_bills(job: Job, *, run_id: int) -> str:
    told = bill_notices.tell(
        run_id, timezone.now(), progress=lambda done, total: jobs.report_progress(job, done, total)
    )
    text = f"Đã xếp {format_number(told.sent)} tin hóa đơn"
    if told.unconfigured:
        text += f", {format_number(told.unconfigured)} tin chưa đi được vì máy chủ chưa cấu hình kênh gửi"
    return f"{text}; {format_number(told.silent)} hóa đơn của khách chưa đồng ý nhận tin hoặc không có địa chỉ."


@jobs.every("portal.prune", days=1, at=time(3, 10), timeout_s=600, title="Xóa phiên đăng nhập và mã đã hết hạn")
def prune(job: Job) -> str:
    """Delete sessions that are over, of the staff too, and requests for codes of days ago."""
    SessionStore.clear_expired()
    return f"Đã xóa {codes.prune(timezone.now())} yêu cầu mã cũ và các phiên đã hết hạn."
