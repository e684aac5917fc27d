"""What reports add to the side bar, to «Tổng quan» and to the pages of organisations."""

from django.urls import reverse

from machnuoc.core.models import Person
from machnuoc.core.panels import NavigationItem, Panel
from machnuoc.places import access
from machnuoc.places.models import Subject
from machnuoc.reports import queries

_SHOWN = 6


def navigation(person: Person) -> list[NavigationItem]:
    """Show the entry to whoever has a role: what there is to read is asked on the page alone."""
    if not access.roles(person):
        return []
    return [NavigationItem("Báo cáo", reverse("reports:list"), "report", 47, group="Kế hoạch")]


def later_overview(person: Person, region: str) -> list[Panel]:
    """Show the reports that wait for the person."""
    if region != "now":
        return []
    rows = queries.list_waiting(person, _SHOWN)
    if not rows:
        return []
    return [Panel("Báo cáo đang chờ tôi", "reports/panels/list.html", {"rows": rows}, order=16, region="now")]


def later_for_subject(person: Person, subject: Subject) -> list[Panel]:
    """Show the newest reports of an organisation on its page."""
    if subject.kind != Subject.Kind.ORGANISATION:
        return []
    rows = queries.list_of_unit(person, subject.pk, _SHOWN)
    if not rows:
        return []
    more = f"{reverse('reports:list')}?organisation={subject.pk}"
    return [Panel("Báo cáo", "reports/panels/list.html", {"rows": rows, "more_url": more}, order=46)]
