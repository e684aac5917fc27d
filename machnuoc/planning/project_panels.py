"""What projects and handovers add to pages that are not theirs."""

from django.urls import reverse
from django.utils import timezone

from machnuoc.core.models import Person
from machnuoc.core.panels import Panel
from machnuoc.places import access
from machnuoc.places.models import Subject
from machnuoc.planning import handover_queries, project_queries
from machnuoc.planning.models import Handover, Obstacle

_SHOWN = 5


def later_overview(person: Person, region: str) -> list[Panel]:
    """Show projects that are late or behind, and the obstacles that the person's own units must clear."""
    today = timezone.localdate()
    found = []
    rows, count = project_queries.list_slow(person, today=today, limit=_SHOWN) if region == "standing" else ([], 0)
    if rows:
        context = {"rows": rows, "more": count - len(rows), "year": today.year, "today": today}
        found.append(Panel("Dự án chậm tiến độ", "planning/project/panels/slow.html", context, order=45))
    if region == "now" and not access.sees_everything(person):
        obstacles = list(
            Obstacle.objects.filter(
                resolved_on__isnull=True, owner_id__in=access.visible_subject_ids(person, "enter")
            )
            .select_related("project__subject", "owner__subject")
            .order_by("due_on", "pk")[:_SHOWN]
        )  # fmt: skip
        if obstacles:
            context = {"obstacles": obstacles, "today": today}
            found.append(
                Panel(
                    "Vướng mắc đơn vị tôi phải gỡ",
                    "planning/project/panels/obstacles.html",
                    context,
                    order=28,
                    region="now",
                )
            )
    return found


def for_subject(person: Person, subject: Subject) -> list[Panel]:
    """Show the projects of an organisation, unit or work, and the handovers under way there."""
    today = timezone.localdate()
    found = []
    projects = project_queries.list_readable(person)
    if subject.kind == Subject.Kind.WORK:
        projects = projects.filter(work_id=subject.pk)
    elif subject.kind in {Subject.Kind.ORGANISATION, Subject.Kind.UNIT}:
        projects = projects.filter(subject__contained_in__ancestor=subject.pk)
    else:
        return []
    rows = project_queries.read_rows(projects, year=today.year, today=today) if projects.exists() else []
    if rows:
        more_url = reverse("planning:project_list")
        if subject.kind != Subject.Kind.WORK:
            more_url += f"?within={subject.pk}"
        context = {
            "rows": rows[:_SHOWN], "more": max(len(rows) - _SHOWN, 0), "more_url": more_url, "year": today.year,
            "totals": project_queries.add_up(rows),
        }  # fmt: skip
        found.append(Panel("Dự án", "planning/project/panels/projects.html", context, order=60))
    handovers = handover_queries.list_readable(person).exclude(step=Handover.Step.STOPPED)
    if subject.kind == Subject.Kind.WORK:
        handovers = handovers.filter(work_id=subject.pk)
    elif subject.kind == Subject.Kind.UNIT:
        handovers = handovers.filter(subject_id=subject.pk)
    else:
        handovers = handovers.filter(receiver_id=subject.pk) | handovers.filter(giver_id=subject.pk)
    listed = list(handovers.select_related("receiver__subject", "giver__subject")[:_SHOWN])
    if listed:
        found.append(Panel("Bàn giao công trình", "planning/handover/panels/list.html", {"rows": listed}, order=62))
    return found
