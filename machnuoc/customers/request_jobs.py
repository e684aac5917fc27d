"""Background work of requests: warning those above, closing what nobody replied to, other Open311 servers."""

from datetime import time

from django.utils import timezone

from machnuoc.core import jobs
from machnuoc.core.models import Job
from machnuoc.customers import open311_client, request_operations


@jobs.every("customers.escalate_requests", minutes=5, timeout_s=240, title="Báo lãnh đạo phản ánh sắp và đã quá hạn")
def escalate_requests(job: Job) -> str:
    return f"Đã báo {request_operations.escalate_due(timezone.now())} phản ánh."


@jobs.every("customers.close_answered", days=1, at=time(1, 20), title="Đóng phản ánh đã trả lời")
def close_answered(job: Job) -> str:
    now = timezone.now()
    closed, forgotten = request_operations.close_answered(now), request_operations.forget_addresses(now)
    return f"Đã đóng {closed} phản ánh; xóa {forgotten} dấu vết lượt gửi công khai."


@jobs.every("customers.open311", minutes=10, timeout_s=300, title="Trao đổi phản ánh qua Open311")
def exchange_open311(job: Job) -> str:
    sent, asked, failed = open311_client.exchange(timezone.now())
    return f"Đã gửi {sent}, hỏi lại {asked}, không được {failed}."
