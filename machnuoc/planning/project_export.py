"""Gives projects to `oc4ids`. Simulated money is left out: what is published must be real."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from django.db.models import Prefetch

from machnuoc.places.models import ParentLink, Subject
from machnuoc.planning import oc4ids
from machnuoc.planning.models import Disbursement, Project, YearlyPlan

PUBLISHER = "Mạch Nước"


def make_package(ids: Sequence[int], *, uri: str, now: datetime, today: date) -> dict[str, Any]:
    """Return the OC4IDS package of the projects, in the order of their keys. Six queries."""
    projects = (
        Project.objects.filter(pk__in=ids)
        .select_related("subject", "owner__subject")
        .prefetch_related(
            "sources",
            "milestones",
            Prefetch("yearly_plans", YearlyPlan.objects.filter(is_simulated=False)),
            Prefetch("disbursements", Disbursement.objects.filter(is_simulated=False, on_date__lte=today)),
        )
        .order_by("subject__key")
    )
    places: dict[int, list[Subject]] = defaultdict(list)
    links = ParentLink.objects.filter(
        child_id__in=ids, reason=ParentLink.Reason.TERRITORY, valid_to__isnull=True
    ).select_related("parent__unit")
    for link in links:
        places[link.child_id].append(link.parent)
    return oc4ids.make_package(
        [_describe(project, places[project.pk]) for project in projects], uri=uri, published_at=now,
        publisher=PUBLISHER,
    )  # fmt: skip


def _describe(project: Project, places: Sequence[Subject]) -> oc4ids.ProjectOf:
    key = project.subject.key
    owner = None
    if project.owner is not None:
        owner = oc4ids.Party(project.owner.subject.key, project.owner.subject.name, ("publicAuthority", "payer"))
    elif project.owner_as_printed:
        owner = oc4ids.Party(f"{key}.owner", project.owner_as_printed, ("publicAuthority", "payer"))
    parties = [owner] if owner else []
    if project.contractor:
        parties.append(oc4ids.Party(f"{key}.contractor", project.contractor, ("supplier",)))
    return oc4ids.ProjectOf(
        id=key,
        title=project.subject.name,
        description=project.outcome,
        status=project.status,
        starts_on=project.starts_on,
        due_on=project.due_on,
        finished_on=project.finished_on,
        total_vnd=project.total_vnd,
        public_authority=owner,
        parties=tuple(parties),
        places=tuple(
            oc4ids.Place(
                place.key,
                place.unit.full_name if hasattr(place, "unit") else place.name,
                place.latitude,
                place.longitude,
            )
            for place in places
        ),
        budgets=tuple(
            oc4ids.Budget(plan.year, plan.amount_vnd + plan.carried_over_vnd, plan.document_as_printed)
            for plan in project.yearly_plans.all()
        ),
        funding=tuple(
            oc4ids.Funding(str(source.pk), source.name, source.amount_vnd) for source in project.sources.all()
        ),
        transactions=tuple(
            oc4ids.Transaction(str(entry.pk), entry.on_date, entry.amount_vnd) for entry in project.disbursements.all()
        ),
        milestones=tuple(
            oc4ids.MilestoneOf(str(one.pk), one.name, one.planned_on, one.reached_on)
            for one in project.milestones.all()
        ),
        people_expected=project.people_expected,
    )
