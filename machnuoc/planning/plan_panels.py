"""What plans add to pages that are not theirs."""

from django.urls import reverse

from machnuoc.core.models import Person
from machnuoc.core.panels import Panel
from machnuoc.places import access
from machnuoc.places.models import Grant, Subject
from machnuoc.planning import plan_queries as queries

_SHOWN = 6
_PROPOSING = {
    Grant.Role.DEPARTMENT,
    Grant.Role.STATION,
    Grant.Role.COMMUNE,
    Grant.Role.AGENCY,
}  # who may write a proposal
_OVERSEEING = {Grant.Role.LEADER, Grant.Role.DEPARTMENT, Grant.Role.AGENCY, Grant.Role.ADMIN}


def later_overview(person: Person, region: str) -> list[Panel]:
    """Show what is at risk and what waits for a decision; show a station what it was given itself."""
    return {"now": _list_to_do, "standing": _list_standing}.get(region, lambda _: [])(person)


def _list_to_do(person: Person) -> list[Panel]:
    roles = access.roles(person)
    found = []
    waiting = list(queries.list_waiting(person)[:_SHOWN])
    if waiting:
        found.append(
            Panel("Đề xuất giải pháp chờ duyệt", "planning/plan/panels/proposals.html", {"rows": waiting}, 22, "now")
        )
    if roles & _PROPOSING and (owed := queries.list_owed(person)):
        context = {"rows": owed[:_SHOWN], "is_owed": True, "more": max(0, len(owed) - _SHOWN)}
        found.append(Panel("Đề xuất giải pháp phải lập", "planning/plan/panels/targets.html", context, 21, "now"))
    return found


def _list_standing(person: Person) -> list[Panel]:
    if access.roles(person) & _OVERSEEING:
        late = queries.visible_targets(person).filter(standing__status__in=queries.LATE, parent__isnull=True)
        rows = queries.dress(person, queries.order_targets(late)[:_SHOWN])
        title, more = "Chỉ tiêu có nguy cơ, không đạt", reverse("planning:target_list") + "?status=AT_RISK&level=all"
    else:
        own = queries.visible_targets(person).filter(
            units__role="LEAD", units__organisation_id__in=access.list_scopes(person, "enter")
        )
        rows = queries.dress(person, queries.order_targets(own)[:_SHOWN])
        title, more = "Chỉ tiêu của đơn vị tôi", reverse("planning:target_list") + "?level=all"
    if not rows:
        return []
    return [Panel(title, "planning/plan/panels/targets.html", {"rows": rows, "more_url": more}, 23, "standing")]


def for_subject(person: Person, subject: Subject) -> list[Panel]:
    """Show the targets about a work, a place, an organisation."""
    rows = queries.dress(
        person, queries.order_targets(queries.visible_targets(person).filter(subject=subject))[:_SHOWN]
    )
    if not rows:
        return []
    context = {"rows": rows, "more_url": reverse("planning:target_list") + "?level=all" if len(rows) == _SHOWN else ""}
    return [Panel("Chỉ tiêu kế hoạch", "planning/plan/panels/targets.html", context, 25)]
