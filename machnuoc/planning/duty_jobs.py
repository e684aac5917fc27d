"""Background work of duties: opening what falls due, reminding."""

from datetime import time

from django.utils import timezone

from machnuoc.core import jobs
from machnuoc.core.models import Job
from machnuoc.planning import duty_operations


@jobs.every("planning.open_duties", days=1, at=time(0, 10), title="Mở các kỳ báo cáo")
def open_duties(job: Job) -> str:
    return f"Đã mở hoặc chỉnh {duty_operations.open_instances(timezone.localdate())} kỳ báo cáo."


@jobs.every("planning.remind_duties", days=1, at=time(6, 30), title="Nhắc báo cáo đến hạn")
def remind_duties(job: Job) -> str:
    return f"Đã nhắc {duty_operations.remind(timezone.localdate(), timezone.now())} kỳ báo cáo."
