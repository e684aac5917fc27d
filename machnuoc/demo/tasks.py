"""What the demonstration fills in behind the running page."""

from django.utils import timezone

from machnuoc.core import jobs
from machnuoc.core.models import Job
from machnuoc.demo import customer_stories, customers

CUSTOMERS_TASK = "demo.customers"


@jobs.task(CUSTOMERS_TASK, timeout_s=3_600, title="Lập khách hàng mô phỏng")
def load_customers(job: Job) -> str:
    """Put the simulated customers with their bills; what is there already stays."""
    made = customers.load_customers(
        timezone.now(), tell=lambda done, total: jobs.report_progress(job, done, total, "Đang lập khách hàng mô phỏng")
    )
    told = customer_stories.load_stories(timezone.now())
    for task in ("customers.measure", "billing.measure"):  # tonight's work, done at once so that the figures are there
        jobs.enqueue(task, schedule=task)
    return f"{made} khách hàng mô phỏng mới, {told} việc mô phỏng (phản ánh, hồ sơ, công nợ…)"
