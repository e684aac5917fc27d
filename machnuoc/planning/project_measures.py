"""Figures that the books of projects give: capital of the year, what was paid of it; and works taken over."""

from collections.abc import Sequence
from datetime import date

import numpy as np
from django.db.models import Count, Q, Sum
from django.urls import reverse
from django.utils import timezone

from machnuoc.core.periods import Period
from machnuoc.core.vietnamese import format_date
from machnuoc.indicators import providers
from machnuoc.indicators.aggregation import StateRank
from machnuoc.planning.models import Disbursement, Handover, YearlyPlan
from machnuoc.planning.money import format_amount


def _provided(rows: Sequence[tuple[int, int, bool]]) -> providers.Provided:
    """Return (subject, whole đồng, is simulated) as the arrays that the indicators take."""
    ordered = sorted(rows)
    return providers.Provided(
        np.array([row[0] for row in ordered], np.int64),
        np.array([row[1] for row in ordered], np.int64),
        np.array([StateRank.SIMULATED if row[2] else StateRank.ENTERED for row in ordered], np.int16),
    )


def _has_begun(period: Period) -> bool:
    return period.start_date <= timezone.localdate()


def _provide_planned(period: Period) -> providers.Provided:
    if not _has_begun(period):
        return _provided([])
    plans = YearlyPlan.objects.filter(year=period.start_date.year)
    return _provided(
        [
            (project_id, amount + carried, simulated)
            for project_id, amount, carried, simulated in plans.values_list(
                "project_id", "amount_vnd", "carried_over_vnd", "is_simulated"
            )
        ]
    )


def _explain_planned(subject_id: int, period: Period) -> list[providers.Source]:
    plans = YearlyPlan.objects.filter(project_id=subject_id, year=period.start_date.year)
    found = []
    for plan in plans.select_related("project__subject", "made_by"):
        carried = f", vốn kéo dài {format_amount(plan.carried_over_vnd)}" if plan.carried_over_vnd else ""
        stated = f" ({plan.document_as_printed})" if plan.document_as_printed else ""
        found.append(
            providers.Source(
                text=f"Kế hoạch vốn năm {plan.year}: {format_amount(plan.amount_vnd)}{carried}{stated}"
                + (", mô phỏng" if plan.is_simulated else ""),
                url=reverse("planning:project_detail", args=[plan.project.subject.key]),
                person=plan.made_by.full_name if plan.made_by else "",
            )
        )
    return found


def _provide_disbursed(period: Period) -> providers.Provided:
    """Give what was paid from 1 January to the end of the period.

    The book of payments is the one place where payments stand: of a project with capital for the year, no entry is 0.
    """
    if not _has_begun(period):
        return _provided([])
    year = period.start_date.year
    found = {
        project_id: (0, simulated)
        for project_id, simulated in YearlyPlan.objects.filter(year=year).values_list("project_id", "is_simulated")
    }
    entries = Disbursement.objects.filter(on_date__gte=date(year, 1, 1), on_date__lt=period.end_date)
    sums = (
        entries.order_by()
        .values_list("project_id")
        .annotate(total=Sum("amount_vnd"), simulated=Count("pk", filter=Q(is_simulated=True)))
    )
    for project_id, total, simulated in sums:
        found[project_id] = (total, bool(simulated) or found.get(project_id, (0, False))[1])
    return _provided([(project_id, total, simulated) for project_id, (total, simulated) in found.items()])


def _explain_disbursed(subject_id: int, period: Period) -> list[providers.Source]:
    entries = Disbursement.objects.filter(
        project_id=subject_id, on_date__gte=date(period.start_date.year, 1, 1), on_date__lt=period.end_date
    ).select_related("project__subject", "recorded_by")
    return [
        providers.Source(
            text=f"{'Đảo bút toán' if entry.reverses_id else 'Giải ngân'} ngày {format_date(entry.on_date)}: "
            f"{format_amount(entry.amount_vnd)}"
            + (f", {entry.voucher}" if entry.voucher else "")
            + (", mô phỏng" if entry.is_simulated else ""),
            url=reverse("planning:project_detail", args=[entry.project.subject.key]),
            person=entry.recorded_by.full_name if entry.recorded_by else "",
        )
        for entry in entries
    ]


def _provide_handed_over(period: Period) -> providers.Provided:
    """Give each receiver how many works it took over in the period; 0 while requests are under way or were stopped."""
    if not _has_begun(period):
        return _provided([])
    found: dict[int, int] = {}
    rows = Handover.objects.values_list("receiver_id", "step", "requested_on", "effective_on")
    for receiver_id, step, requested_on, effective_on in rows:
        if step == Handover.Step.EFFECTIVE and effective_on and period.contains(effective_on):
            found[receiver_id] = found.get(receiver_id, 0) + 1
        elif (
            requested_on
            and requested_on < period.end_date
            and (step != Handover.Step.EFFECTIVE or (effective_on and effective_on >= period.start_date))
        ):
            found.setdefault(receiver_id, 0)
    return _provided([(receiver_id, count, False) for receiver_id, count in found.items()])


def _explain_handed_over(subject_id: int, period: Period) -> list[providers.Source]:
    rows = Handover.objects.filter(receiver_id=subject_id).select_related("passage__document")
    return [
        providers.Source(
            text=f"{row.name}: {row.get_step_display().lower()}"
            + (f" từ ngày {format_date(row.effective_on)}" if row.effective_on else ""),
            url=reverse("planning:handover_detail", args=[row.pk]),
            passage=row.passage,
        )
        for row in rows
        if row.effective_on is None or period.contains(row.effective_on)
    ]


providers.register("investment.planned_vnd", _provide_planned, _explain_planned)
providers.register("investment.disbursed_vnd", _provide_disbursed, _explain_disbursed)
providers.register("works.handed_over", _provide_handed_over, _explain_handed_over)
