"""Background work: the adjustments of estimated months that somebody ticked."""

from datetime import date

from django.utils import timezone

from machnuoc.billing import estimates
from machnuoc.core import jobs, notices
from machnuoc.core.models import Job, Person
from machnuoc.core.vietnamese import format_number

URL = "/hoa-don/tam-tinh/"


@jobs.task(estimates.TASK, timeout_s=4 * 3_600, max_attempts=20, title="Điều chỉnh các kỳ đã ước tính")
def adjust_estimates(job: Job, *, month: str, ordered: list[list[int]], person_id: int) -> str:
    """Adjust what was ticked. Run twice, or after a kill, it leaves alone what is adjusted already."""
    person = Person.objects.get(pk=person_id)
    done = estimates.adjust(
        date.fromisoformat(month), [(pk, total_vnd) for pk, total_vnd in ordered], by=person, now=timezone.now(),
        progress=lambda count, total: jobs.report_progress(job, count, total),
    )  # fmt: skip
    text = f"Đã lập {format_number(done.made)} hóa đơn điều chỉnh kỳ tạm tính"
    if done.waiting:
        text += f", {format_number(done.waiting)} đề nghị chờ người khác duyệt"
    if done.left:
        text += f"; để lại {format_number(done.left)}: {done.why_left}"
    text = text.removesuffix(".") + "."
    if done.made:
        jobs.enqueue("billing.sign_einvoices", schedule="billing.sign_einvoices")
    notices.notify([person], kind="billing.estimates", text=text[:300], url=URL)
    return text
