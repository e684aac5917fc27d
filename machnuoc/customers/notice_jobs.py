"""Background work of notices to customers: messages, some at a time."""

from django.utils import timezone

from machnuoc.core import jobs
from machnuoc.core.models import Job
from machnuoc.customers import notice_operations
from machnuoc.customers.models import ServiceNotice


@jobs.task(notice_operations.TASK, timeout_s=3_600, title="Nhắn tin thông báo cho khách hàng")
def send_notice(job: Job, *, notice_id: int) -> str:
    while notice_operations.send_some(notice_id, timezone.now()):
        jobs.report_progress(job, 0, 0, "Đang nhắn tin")
    count = ServiceNotice.objects.values_list("sent_count", flat=True).get(pk=notice_id)
    return f"Đã đưa {count} tin vào hàng gửi."
