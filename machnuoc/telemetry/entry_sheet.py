"""The monthly sheet by which stations without sensors give what others measure."""

from collections.abc import Iterable

from django.db import transaction

from machnuoc.indicators.models import EntryForm, EntryFormLine, Metric, PeriodKind
from machnuoc.places.models import Grant, Organisation, Subject

FORM_KEY = "van-hanh-thang"
# Numerators and denominators, never the rate; a station leaves empty what it does not know.
ENTERED = (
    "telemetry.volume_produced_m3", "telemetry.produced_days", "telemetry.volume_supplied_m3",
    "telemetry.supplied_days", "service.supply_hours", "service.supply_days", "telemetry.interruptions",
    "telemetry.quality_readings", "telemetry.quality_within", "telemetry.energy_kwh", "telemetry.peak_hour_m3h",
    "telemetry.mean_hour_m3h",
)  # fmt: skip


@transaction.atomic
def put_entry_form(organisations: Iterable[Organisation] = ()) -> EntryForm:
    """Keep the sheet and let these organisations fill it in too. Idempotent; nobody is taken off it."""
    form, _ = EntryForm.objects.get_or_create(
        key=FORM_KEY,
        defaults={
            "name": "Vận hành trạm trong tháng (nơi chưa có cảm biến)", "period_kind": PeriodKind.MONTH,
            "subject_kind": Subject.Kind.WORK, "field": Grant.Field.RURAL,
        },
    )  # fmt: skip
    metrics = {metric.key: metric for metric in Metric.objects.filter(key__in=ENTERED)}
    have = set(form.lines.values_list("metric__key", flat=True))
    EntryFormLine.objects.bulk_create(
        EntryFormLine(form=form, metric=metrics[key], order=order, is_required=False)
        for order, key in enumerate(ENTERED)
        if key not in have
    )
    form.organisations.add(*organisations)
    return form
