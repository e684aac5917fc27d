"""What duties add to pages that are not theirs."""

from django.utils import timezone

from machnuoc.core.models import Person
from machnuoc.core.panels import Panel
from machnuoc.places.models import Subject
from machnuoc.planning import duty_queries as queries

_SHOWN = 6


def later_overview(person: Person, region: str) -> list[Panel]:
    """Show what the person's units owe now."""
    if region != "now":
        return []
    entries = queries.list_soon(person, timezone.localdate())
    if not entries:
        return []
    context = {"entries": entries[:_SHOWN], "more": max(0, len(entries) - _SHOWN)}
    return [Panel("Sắp đến hạn báo cáo", "planning/duty/panels/soon.html", context, order=15, region="now")]


def for_subject(person: Person, subject: Subject) -> list[Panel]:
    """Show on an organisation's page what it owes next."""
    if subject.kind != Subject.Kind.ORGANISATION:
        return []
    rows, timeliness = queries.get_unit_summary(person, subject.pk, timezone.localdate(), limit=_SHOWN)
    if not rows and not timeliness.past:
        return []
    context = {"rows": rows, "timeliness": timeliness, "key": subject.key}
    return [Panel("Báo cáo phải gửi", "planning/duty/panels/unit.html", context, order=45)]
