"""What tasks add to pages that are not theirs."""

from django.urls import reverse
from django.utils import timezone

from machnuoc.core.models import Person
from machnuoc.core.panels import Panel
from machnuoc.places.models import Subject
from machnuoc.planning import task_queries

_SHOWN = 6


def later_overview(person: Person, region: str) -> list[Panel]:
    """Show the people of a unit what it owes soon or is late with."""
    if region != "now" or task_queries.own_unit_ids(person) is None:
        return []
    own = task_queries.list_own(person, today=timezone.localdate(), limit=_SHOWN)
    if not own.rows:
        return []
    context = {"rows": own.rows, "counts": own.counts, "more_url": reverse("planning:task_list") + "?mine=on&open=1"}
    return [Panel("Việc của đơn vị tôi", "planning/task/panels/list.html", context, order=25, region="now")]


def for_subject(person: Person, subject: Subject) -> list[Panel]:
    """Show on the page of an organisation the tasks that it leads."""
    if subject.kind != Subject.Kind.ORGANISATION:
        return []
    rows, counts = task_queries.of_organisation(subject.pk, person, today=timezone.localdate(), limit=_SHOWN)
    if not counts.total:
        return []
    context = {"rows": rows, "counts": counts, "more_url": reverse("planning:task_list") + f"?unit={subject.pk}"}
    return [Panel("Nhiệm vụ chủ trì", "planning/task/panels/list.html", context, order=40)]
