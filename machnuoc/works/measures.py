"""Figures that the records of works give: design capacity in households and in m³/day."""

from collections.abc import Sequence

import numpy as np
from django.db.models import Q, QuerySet
from django.urls import reverse

from machnuoc.core.periods import Period
from machnuoc.core.vietnamese import format_date, format_number
from machnuoc.indicators import providers
from machnuoc.indicators.aggregation import StateRank
from machnuoc.works.models import Capacity


def _in_force(kind: str, basis: str, period: Period) -> QuerySet[Capacity]:
    """Return the capacities that hold at the end of the period (its last day)."""
    last = period.end_date
    return Capacity.objects.filter(
        Q(valid_from__isnull=True) | Q(valid_from__lt=last),
        Q(valid_to__isnull=True) | Q(valid_to__gte=last),
        kind=kind,
        basis=basis,
    )


def _register(metric_key: str, basis: str, decimals: int) -> None:
    def provide(period: Period) -> providers.Provided:
        rows = list(_in_force(Capacity.Kind.DESIGN, basis, period).order_by("work_id").values_list("work_id", "amount"))
        return providers.Provided(
            np.array([work_id for work_id, _ in rows], np.int64),
            np.array([int(amount.scaleb(decimals)) for _, amount in rows], np.int64),
            np.full(len(rows), StateRank.STATED, np.int16),
        )

    def explain(subject_id: int, period: Period) -> Sequence[providers.Source]:
        found = _in_force(Capacity.Kind.DESIGN, basis, period).filter(work_id=subject_id)
        return [
            providers.Source(
                text=f"Hồ sơ công trình: {capacity.get_kind_display().lower()} "
                f"{format_number(capacity.amount.normalize() + 0)} {capacity.get_basis_display()}"
                + (f", từ ngày {format_date(capacity.valid_from)}" if capacity.valid_from else ""),
                url=reverse("works:detail", args=[capacity.work.subject.key]),
                passage=capacity.passage,
                person=capacity.recorded_by.full_name if capacity.recorded_by else "",
            )
            for capacity in found.select_related("work__subject", "passage__document", "recorded_by")
        ]

    providers.register(metric_key, provide, explain)


_register("works.households_design", Capacity.Basis.HOUSEHOLDS, 0)
_register("works.capacity_design_m3d", Capacity.Basis.M3D, 2)
