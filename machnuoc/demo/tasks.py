"""What the demonstration fills in behind the running page."""

from django.utils import timezone

from machnuoc.core import jobs
from machnuoc.core.models import Job
from machnuoc.demo import customers

CUSTOMERS_TASK = "demo.customers"


@jobs.task(CUSTOMERS_TASK, timeout_s=3_600, title="Lập khách hàng mô phỏng")
def load_customers(job: Job) -> str:
    """Put the simulated customers with their bills; what is there already stays."""
    made = customers.load_customers(
        timezone.now(), tell=lambda done, total: jobs.report_progress(job, done, total, "Đang lập khách hàng mô phỏng")
    )
    return f"{made} khách hàng mô phỏng mới"
