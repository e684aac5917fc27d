"""Background work of e-invoices: signing after issuing, sending, asking after, the comparison of every day."""

from datetime import date, time, timedelta

from django.utils import timezone

from machnuoc.billing import einvoice_operations as operations
from machnuoc.billing import einvoice_provider, einvoice_queries
from machnuoc.billing.errors import BillingError
from machnuoc.core import jobs, outgoing
from machnuoc.core.models import Job
from machnuoc.core.periods import local_date
from machnuoc.core.vietnamese import format_number
from machnuoc.places.models import Organisation

COMPARE_DAYS = 7  # days back that are compared again until they agree


@jobs.every(operations.SIGN_TASK, minutes=15)
@jobs.task(operations.SIGN_TASK, timeout_s=2 * 3_600, title="Ký hóa đơn điện tử")
def sign_einvoices(job: Job) -> str:
    return _sign(job, all_of_them=False)


def _sign(job: Job, *, all_of_them: bool) -> str:
    try:
        signed = operations.sign_waiting(
            timezone.now(), all_of_them=all_of_them, progress=lambda done: jobs.report_progress(job, done, done)
        )
    except BillingError as reason:
        raise jobs.GiveUp(str(reason)) from None
    if signed:
        jobs.enqueue(operations.SEND_TASK, schedule=operations.SEND_TASK)
    return f"Đã ký {format_number(signed)} hóa đơn." if signed else "Không có hóa đơn chờ ký."


@jobs.every("billing.sign_missed_einvoices", days=1, at=time(3, 10), timeout_s=2 * 3_600, title="Ký hóa đơn còn sót")
def sign_missed_einvoices(job: Job) -> str:
    return _sign(job, all_of_them=True)


@jobs.every(operations.SEND_TASK, minutes=5)
@jobs.task(operations.SEND_TASK, timeout_s=3_600, title="Gửi hóa đơn điện tử")
def send_einvoices(job: Job) -> str:
    taken = failed = 0
    try:
        while True:
            gone, stayed = operations.send_due(timezone.now())
            taken, failed = taken + gone, failed + stayed
            if not gone and not stayed:
                break
            jobs.report_progress(job, taken, taken + failed)
        answered = operations.ask_after(timezone.now())
    except einvoice_provider.NoProvider:
        return "Chưa nối nhà cung cấp hóa đơn điện tử."
    if not (taken or failed or answered):
        return "Không có hóa đơn chờ gửi."
    return (
        f"Đã gửi {format_number(taken)}, không gửi được {format_number(failed)}, có trả lời {format_number(answered)}."
    )


@jobs.task(operations.COMPARE_TASK, timeout_s=1_800, title="Đối chiếu hóa đơn điện tử một ngày")
def compare_einvoice_day(job: Job, *, operator_id: int, day: str) -> str:
    operator = Organisation.objects.get(pk=operator_id)
    try:
        made = operations.compare_day(operator, date.fromisoformat(day), timezone.now(), by=job.enqueued_by)
    except BillingError as reason:
        raise jobs.GiveUp(str(reason)) from None
    return "Khớp." if made.is_agreed else "Lệch: xem trang Đối chiếu."


@jobs.every("billing.compare_einvoices", days=1, at=time(5), timeout_s=3_600, title="Đối chiếu hóa đơn điện tử")
def compare_einvoices(job: Job) -> str:
    """Compare yesterday, and the days before it that did not agree, of every operator that issues invoices."""
    now = timezone.now()
    today = local_date(now)
    agreed = differ = 0
    failed = []
    try:
        einvoice_provider.get()
    except einvoice_provider.NoProvider:
        return "Chưa nối nhà cung cấp hóa đơn điện tử."
    for operator, day in einvoice_queries.list_days_to_compare(today - timedelta(days=COMPARE_DAYS), today):
        try:
            made = operations.compare_day(operator, day, now)
        except outgoing.CannotCall as reason:
            failed.append(f"{operator} {day:%d/%m}: {reason}")
            continue
        agreed, differ = agreed + made.is_agreed, differ + (not made.is_agreed)
    text = f"Khớp {agreed} ngày, lệch {differ} ngày." if agreed or differ else "Không có ngày nào cần đối chiếu."
    return f"{text} Chưa đối chiếu được: {'; '.join(failed)}"[:500] if failed else text
