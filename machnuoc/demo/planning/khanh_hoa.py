"""Load what plan 1355/KH-UBND of Khánh Hòa promises and what it is to cost."""

from datetime import date, datetime

from django.db import transaction

from machnuoc.core import audit
from machnuoc.core.models import AuditEntry, Passage
from machnuoc.core.periods import Period
from machnuoc.demo.planning import read_khanh_hoa as read
from machnuoc.indicators import operations as indicators
from machnuoc.indicators.models import Metric, State
from machnuoc.places.models import Organisation, Subject
from machnuoc.planning import plan_operations, programme_measures, project_operations
from machnuoc.planning.models import Plan, Programme, Target

_TARGETS = "demo.khanh_hoa.targets"
_FUNDS = "demo.khanh_hoa.funds"
_FIGURES = "demo.khanh_hoa.figures"
audit.describe(_TARGETS, "nạp {count} chỉ tiêu của kế hoạch {target}")
audit.describe(_FIGURES, "nạp {count} số liệu mà kế hoạch của {target} nêu")
audit.describe(_FUNDS, "nạp {count} khoản vốn của kế hoạch {target}")


@transaction.atomic
def load_khanh_hoa_targets(now: datetime) -> None:
    """Put the promises of the plan; those of districts are the parts of the province's. Idempotent."""
    del now
    plan = Plan.objects.get(key=read.PLAN_KEY)
    passages = {row.key: row for row in Passage.objects.filter(document__key=read.DOCUMENT_KEY)}
    organisations = {
        row.subject.key: row
        for row in Organisation.objects.filter(subject__key__startswith="org.kh.").select_related("subject")
    }
    rows = read.list_targets()
    subjects = {row.key: row for row in Subject.objects.filter(key__in={row.subject_key for row in rows})}
    metrics = {row.key: row for row in Metric.objects.filter(key__in={row.metric_key for row in rows})}
    put: dict[str, Target] = {}
    for row in rows:
        leads = [plan_operations.lead(organisations[key], row.lead_printed) for key in row.lead_keys]
        if row.lead_printed and not leads:
            leads = [plan_operations.lead(None, row.lead_printed)]
        put[row.key] = plan_operations.put_target(
            plan=plan, key=row.key, order=row.order, name=row.name, text=row.text_printed, section=row.section,
            passage=passages[row.passage_key], subject=subjects[row.subject_key], comparator=row.comparator,
            comparator_as_printed=row.comparator_printed, amount=row.amount, unit=row.unit,
            metric=metrics[row.metric_key] if row.metric_key else None, period=_period(row.due_on),
            due_on=row.due_on, baseline=row.baseline, baseline_text=row.baseline_printed,
            parent=put.get(row.parent_key), parts_check=row.parts_check or Target.PartsCheck.NONE, units=leads,
            path=[plan_operations.Point(Period("Y", date(year, 1, 1)), amount) for year, amount in row.path],
            note=row.note, recorded_in_bulk=True,
        )  # fmt: skip
    if not AuditEntry.objects.filter(action=_TARGETS).exists():
        audit.record(_TARGETS, actor=None, target=plan, count=len(rows))


@transaction.atomic
def load_khanh_hoa_figures(now: datetime) -> None:
    """State what the plan prints of its communes, and count those that its programme holds. Idempotent."""
    rows = read.list_stated()
    passages = {row.key: row for row in Passage.objects.filter(document__key=read.DOCUMENT_KEY)}
    subjects = {row.key: row for row in Subject.objects.filter(key__in={row.subject_key for row in rows})}
    metrics = {row.key: row for row in Metric.objects.filter(key__in={row.metric_key for row in rows})}
    for row in rows:
        indicators.state_fact(
            metric=metrics[row.metric_key], subject=subjects[row.subject_key], period=row.period, number=row.number,
            state=State.STATED, qualifier=row.qualifier, note=f"In: {row.number_printed}. {row.note}".strip(),
            passage=passages[row.passage_key], now=now, recorded_in_bulk=True,
        )  # fmt: skip
    if not AuditEntry.objects.filter(action=_FIGURES).exists():
        programme = Programme.objects.get(plan__key=read.PLAN_KEY)
        programme_measures.mark_dirty(programme, reason="nạp chương trình nông thôn mới của Khánh Hòa")
        audit.record(_FIGURES, actor=None, target=programme, count=len(rows))
    indicators.recompute_dirty(now)


@transaction.atomic
def load_khanh_hoa_funds(now: datetime) -> None:
    """Put the sums of section V. Idempotent."""
    del now
    plan = Plan.objects.get(key=read.PLAN_KEY)
    passages = {row.key: row for row in Passage.objects.filter(document__key=read.DOCUMENT_KEY, key__startswith="v.")}
    rows = read.list_funds()
    for row in rows:
        project_operations.put_fund(
            plan=plan, order=row.order, name=row.name, kind=row.kind, year=row.year, amount_vnd=row.amount_vnd,
            amount_as_printed=row.amount_printed, qualifier=row.qualifier, passage=passages[row.passage_key],
            recorded_in_bulk=True,
        )  # fmt: skip
    if not AuditEntry.objects.filter(action=_FUNDS).exists():
        audit.record(_FUNDS, actor=None, target=plan, count=len(rows))


def _period(due_on: date | None) -> Period | None:
    """Return the period at whose end it is due: the year, or the quarter where the plan prints one."""
    if due_on is None:
        return None
    if due_on.month == 12:
        return Period("Y", date(due_on.year, 1, 1))
    return Period("Q", date(due_on.year, due_on.month - 2, 1))
