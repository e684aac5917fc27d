"""The work on figures of bills: every night, and after a billing run has been issued."""

from datetime import time

from django.utils import timezone

from machnuoc.billing import figures
from machnuoc.core import jobs
from machnuoc.core.models import Job
from machnuoc.indicators import operations


@jobs.every("billing.measure", days=1, at=time(1, 5), timeout_s=3_600, title="Tính số liệu từ hóa đơn, sổ cái")
def measure(job: Job) -> str:
    """Run twice it finds everything as it is."""
    now = timezone.now()
    done = figures.update(now)
    outcome = operations.recompute_dirty_in_steps(now)
    text = (
        f"{done.months} kỳ có hóa đơn, khoản thu mới; {outcome.inserted + outcome.changed} số liệu mới hoặc đổi; "
        f"ghi lượng nước ghi thu của {done.stated} công trình, tháng."
    )
    if done.doubts:
        text += f" Chưa ghi vì hóa đơn có thể chưa đủ: {'; '.join(done.doubts[:5])}."
    return text
