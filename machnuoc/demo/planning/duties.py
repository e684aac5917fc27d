"""Load the report duties of the five plans and open what falls due."""

from datetime import datetime

from django.utils import timezone

from machnuoc.core.models import Passage
from machnuoc.demo.planning import people, read_duties
from machnuoc.places.models import Organisation, Subject
from machnuoc.planning import duty_operations
from machnuoc.planning.models import Duty, Plan


def load_duties(now: datetime) -> None:
    """Put every duty of the plans' files, then open the coming dates. Idempotent."""
    rows = [row for folder in read_duties.FOLDERS for row in read_duties.list_duties(folder)]
    organisations = {row.subject.key: row for row in Organisation.objects.select_related("subject")}
    plans = {plan.key: plan for plan in Plan.objects.filter(key__in={row.plan_key for row in rows})}
    territories = {row.key: row for row in Subject.objects.filter(key__in={row.territory_key for row in rows})}
    passages = {
        (passage.document_id, passage.key): passage
        for passage in Passage.objects.filter(
            document__plans__in=plans.values(), key__in={row.passage_key for row in rows}
        )
    }
    edited = people.list_edited(Duty.objects.all(), "planning.duty.saved")
    kept = set(Duty.objects.filter(pk__in=edited).values_list("key", flat=True))
    for row in rows:
        if row.key in kept:
            continue
        plan = plans[row.plan_key]
        if plan.document_id is None:  # its document is not taken in: nothing to quote
            continue
        duty_operations.put_duty(
            key=row.key, name=row.name, subject=territories[row.territory_key], plan=plan, order=row.order,
            units=[organisations[key] for pattern in row.from_keys for key in _expand(pattern, organisations)],
            to_organisation=organisations[row.to_key] if row.to_key else None, to_as_printed=row.to_as_printed,
            from_as_printed=row.from_as_printed, timing=row.timing, rule=row.rule, starts_on=row.starts_on,
            ends_on=row.ends_on, edge=row.edge, edge_as_printed=row.edge_as_printed, covers=row.covers,
            period_kind=row.period_kind, opens_days_before=row.opens_days_before, channel=row.channel,
            report_kind=row.report_kind, note=row.note,
            passage=passages[plan.document_id, row.passage_key] if row.passage_key else None,
        )  # fmt: skip
    duty_operations.open_instances(timezone.localdate(now))


def _expand(pattern: str, organisations: dict[str, Organisation]) -> list[str]:
    """Return the keys that a pattern names. Raises KeyError for one that names none."""
    if not pattern.endswith("*"):
        return [pattern]
    found = sorted(key for key in organisations if key.startswith(pattern[:-1]))
    if not found:
        raise KeyError(pattern)
    return found
