"""The nightly work on figures: count what customers' records say, and compute the indicators anew."""

from datetime import time

from django.utils import timezone

from machnuoc.core import jobs
from machnuoc.core.models import Job
from machnuoc.customers import figures
from machnuoc.indicators import operations, providers


@jobs.every("customers.measure", days=1, at=time(0, 40), timeout_s=3_600, title="Tính số liệu từ hồ sơ khách hàng")
def measure(job: Job) -> str:
    """Run twice it finds everything as it is."""
    now = timezone.now()
    with providers.reading_once():
        marked = figures.mark_measures(now)
        figures.read_ahead(marked)
        stated = figures.state_households(now)
        outcome = operations.recompute_dirty_in_steps(now)
    text = f"{outcome.inserted + outcome.changed} số liệu mới hoặc đổi; ghi số hộ của {stated.facts} công trình, tháng."
    if stated.doubts:
        text += f" Chưa ghi vì hồ sơ có thể chưa nhập đủ: {'; '.join(stated.doubts[:5])}."
    return text
