"""Background work of meters that send their own readings."""

from datetime import time

from django.utils import timezone

from machnuoc.billing import telemetry_readings
from machnuoc.core import jobs
from machnuoc.core.models import Job

_WORDS = {
    "STORED": "đã nhận", "SUSPECT": "chờ xem lại", "CONFLICT": "khác số đã có", "DUPLICATE": "đã có",
    "REFUSED": "không nhận được", "MISSING": "không có số", "ENDED": "đã tháo đồng hồ",
}  # fmt: skip


@jobs.every(
    "billing.take_remote_readings", days=1, at=time(0, 40), timeout_s=1800, title="Lấy chỉ số của đồng hồ truyền xa"
)
def take_remote_readings(job: Job) -> str:
    counts = telemetry_readings.take_due(timezone.now())
    said = ", ".join(f"{_WORDS.get(fate, fate)} {count}" for fate, count in sorted(counts.items()))
    return f"Đồng hồ đến ngày chốt: {said}." if said else "Không có đồng hồ nào đến ngày chốt."
