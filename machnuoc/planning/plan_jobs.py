"""Keep standings true: every night, and soon after figures or targets have changed."""

from datetime import time

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from machnuoc.core import jobs
from machnuoc.core.models import Job
from machnuoc.indicators.models import Value
from machnuoc.planning.models import Target
from machnuoc.planning.plan_operations import recompute_standings


@jobs.every(
    "planning.recompute_standings", days=1, at=time(1, 30), timeout_s=3600, title="Tính lại tình trạng chỉ tiêu"
)
def recompute_all(job: Job) -> str:
    outcome = recompute_standings(timezone.now())
    return f"{outcome.judged} chỉ tiêu, {outcome.forecast} dự báo mới, {outcome.changed} thay đổi."


@jobs.every(
    "planning.refresh_standings", minutes=5, timeout_s=900, title="Cập nhật tình trạng chỉ tiêu khi số liệu đổi"
)
def refresh_changed(job: Job) -> str:
    """Judge again the targets without a standing, and those with a figure that is newer than their standing."""
    newer = Value.objects.filter(
        metric_id=OuterRef("metric_id"), subject_id=OuterRef("subject_id"),
        computed_at__gt=OuterRef("standing__computed_at"),
    )  # fmt: skip
    waiting = Target.objects.filter(Q(standing__isnull=True) | Exists(newer), is_active=True)
    ids = list(waiting.values_list("pk", flat=True))
    if not ids:
        return "Không có số liệu mới."
    outcome = recompute_standings(timezone.now(), ids)
    return f"{outcome.judged} chỉ tiêu, {outcome.changed} thay đổi."
