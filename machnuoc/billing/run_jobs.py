"""Background work of billing runs: a preview too long to wait for, issuing, and what is paid ahead."""

from django.utils import timezone

from machnuoc.billing import payments, runs
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import BillingRun
from machnuoc.core import jobs, notices, panels
from machnuoc.core.models import Job, Person
from machnuoc.core.vietnamese import format_money_vnd, format_number

_AT_ONCE = 5_000  # connections whose advances are set against new bills in one transaction


@jobs.task(runs.PREVIEW_TASK, timeout_s=1_800, title="Tính thử đợt hóa đơn")
def preview_run(job: Job, *, run_id: int, person_id: int | None = None) -> str:
    run = BillingRun.objects.get(pk=run_id)
    person = Person.objects.get(pk=person_id) if person_id is not None else None
    try:
        run = runs.preview(
            run, now=timezone.now(), by=person, progress=lambda done, total: jobs.report_progress(job, done, total)
        )
    except BillingError as reason:
        raise jobs.GiveUp(str(reason)) from None
    text = (
        f"Đã tính thử đợt #{run.pk} kỳ {run.period_start_date:%m/%Y}: {format_number(run.previewed['bills'])} hóa đơn, "
        f"{format_money_vnd(run.previewed['total'])}."
    )
    if person is not None:
        notices.notify([person], kind=runs.NOTICE, text=text, url=f"/lap-hoa-don/{run.pk}/")
    return text


@jobs.task(runs.ISSUE_TASK, timeout_s=4 * 3_600, max_attempts=20, title="Phát hành hóa đơn")
def issue_run(job: Job, *, run_id: int) -> str:
    """Issue what is left. Run twice, or after a kill, it goes on after the last whole chunk."""
    try:
        done = runs.issue(
            run_id, now=timezone.now(), progress=lambda count, total: jobs.report_progress(job, count, total)
        )
    except runs.RunStopped as reason:
        done = runs.Issued(0, 0, False, str(reason))
    except BillingError as reason:
        raise jobs.GiveUp(str(reason)) from None
    run = BillingRun.objects.select_related("approved_by", "created_by").get(pk=run_id)
    if run.state != BillingRun.State.DONE:  # killed after the last chunk, what follows is done by the next attempt
        return done.message
    used = apply_advances(run)
    jobs.enqueue("billing.sign_einvoices", schedule="billing.sign_einvoices")
    jobs.enqueue("billing.measure", schedule="billing.measure")
    list(panels.collect("run_issued", run))  # a room above may tell the customers
    text = (
        f"Đã phát hành đợt #{run.pk} kỳ {run.period_start_date:%m/%Y}: {format_number(run.bills)} hóa đơn, "
        f"{format_money_vnd(run.total_vnd)}."
    )
    people = [person for person in {run.approved_by, run.created_by} if person is not None]
    notices.notify(people, kind=runs.NOTICE, text=text, url=f"/lap-hoa-don/{run.pk}/")
    return text + (f" Cấn trừ tiền trả trước cho {format_number(used)} hóa đơn." if used else "")


def apply_advances(run: BillingRun) -> int:
    """Set what customers paid ahead against the bills of the run, some thousand connections at a time."""
    used, after_id = 0, 0
    while True:
        ids = list(
            run.issued.filter(connection_id__gt=after_id)
            .order_by("connection_id")
            .values_list("connection_id", flat=True)[:_AT_ONCE]
        )
        if not ids:
            return used
        used += payments.apply_advances(ids, timezone.now(), run.approved_by)
        after_id = ids[-1]
