"""The sheet by which a commune gives the figures of the rural clean-water indicator set (QĐ 1893/QĐ-BNN-TL)."""

from collections.abc import Iterable

from django.db import transaction

from machnuoc.core.models import Passage
from machnuoc.indicators.models import EntryForm, EntryFormLine, Metric, PeriodKind
from machnuoc.places.models import Grant, Organisation, Subject

FORM_KEY = "bo-chi-so-nuoc-sach-nong-thon"
# In the order of the six indicators: what a commune enters, never the percentage.
ENTERED = (
    "rural.households", "rural.households_hygienic", "rural.households_clean_piped", "rural.households_clean_own",
    "rural.poor_households", "rural.poor_households_hygienic", "rural.poor_households_clean_piped",
    "rural.poor_households_clean_own", "rural.water_supplied_m3", "rural.people_supplied", "rural.days_supplied",
    "rural.schemes", "rural.schemes_sustainable",
)  # fmt: skip
# The six indicators with their parts, as the decision numbers them.
INDICATORS = {
    "1": "rural.hygienic_pct", "2": "rural.clean_pct", "2a": "rural.clean_piped_pct", "2b": "rural.clean_own_pct",
    "3": "rural.poor_hygienic_pct", "4": "rural.poor_clean_pct", "4a": "rural.poor_clean_piped_pct",
    "4b": "rural.poor_clean_own_pct", "5": "rural.litres_per_person_day", "6": "rural.schemes_sustainable_pct",
}  # fmt: skip


@transaction.atomic
def put_entry_form(organisations: Iterable[Organisation] = (), *, passage: Passage | None = None) -> EntryForm:
    """Keep the yearly sheet and let these organisations fill it in too. Idempotent; nobody is taken off it."""
    form, _ = EntryForm.objects.get_or_create(
        key=FORM_KEY,
        defaults={
            "name": "Bộ chỉ số theo dõi - đánh giá nước sạch nông thôn (năm)", "period_kind": PeriodKind.YEAR,
            "subject_kind": Subject.Kind.UNIT, "field": Grant.Field.RURAL,
        },
    )  # fmt: skip
    if passage is not None and form.passage_id is None:
        form.passage = passage
        form.save(update_fields=["passage"])
    metrics = {metric.key: metric for metric in Metric.objects.filter(key__in=ENTERED)}
    have = set(form.lines.values_list("metric__key", flat=True))
    EntryFormLine.objects.bulk_create(
        EntryFormLine(form=form, metric=metrics[key], order=order)
        for order, key in enumerate(ENTERED)
        if key not in have
    )
    form.organisations.add(*organisations)
    return form
