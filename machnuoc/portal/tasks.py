"""Background work of the customers' pages."""

from django.utils import timezone

from machnuoc.core import jobs
from machnuoc.core.models import Job
from machnuoc.portal import codes


@jobs.task(codes.TASK, timeout_s=60, title="Gửi mã đăng nhập cho khách hàng")
def send_code(job: Job, *, code_id: int) -> str:
    return codes.send(code_id, timezone.now())
