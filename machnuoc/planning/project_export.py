"""Gives projects to `oc4ids`. Simulated money is left out: what is published must be real.

Rows are read as tuples, some hundred projects at a time: a package of all projects is written as it is read.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any

from machnuoc.places.models import ParentLink
from machnuoc.planning import oc4ids
from machnuoc.planning.models import Disbursement, FundingSource, Milestone, Project, YearlyPlan

PUBLISHER = "Mạch Nước"
_AT_A_TIME = 200


def make_package(ids: Sequence[int], *, uri: str, now: datetime, today: date) -> dict[str, Any]:
    """Return the OC4IDS package of the projects, in the order of the ids. Six queries."""
    return oc4ids.make_package(_read(ids, today), uri=uri, published_at=now, publisher=PUBLISHER)


def write_package(ids: Sequence[int], *, uri: str, now: datetime, today: date) -> Iterator[str]:
    """Yield the text of the package of any number of projects, in the order of the ids, a project a line.

    Six queries for each 200 projects, asked while the text is taken.
    """
    head = oc4ids.make_package([], uri=uri, published_at=now, publisher=PUBLISHER)
    head.pop("projects")
    yield json.dumps(head, ensure_ascii=False)[:-1] + ', "projects": [\n'
    for first in range(0, len(ids), _AT_A_TIME):
        found = _read(ids[first : first + _AT_A_TIME], today)
        lines = ",\n".join(json.dumps(oc4ids.make_project(project), ensure_ascii=False) for project in found)
        yield f",\n{lines}" if first and lines else lines
    yield "\n]}\n"


_COLUMNS = (
    "pk", "subject__key", "subject__name", "outcome", "status", "starts_on", "due_on", "finished_on", "total_vnd",
    "people_expected", "owner__subject__key", "owner__subject__name", "owner_as_printed", "contractor",
)  # fmt: skip


def _read(ids: Sequence[int], today: date) -> list[oc4ids.ProjectOf]:
    """Return the projects with these ids that are still there, in the order of the ids."""
    projects = {found[0]: found[1:] for found in Project.objects.filter(pk__in=ids).values_list(*_COLUMNS)}
    places: dict[int, list[oc4ids.Place]] = defaultdict(list)
    links = ParentLink.objects.filter(
        child_id__in=ids, reason=ParentLink.Reason.TERRITORY, valid_to__isnull=True
    ).values_list(
        "child_id", "parent__key", "parent__name", "parent__unit__full_name", "parent__latitude", "parent__longitude"
    )
    for pk, place_key, place_name, official, latitude, longitude in links:
        places[pk].append(oc4ids.Place(place_key, official or place_name, latitude, longitude))
    budgets: dict[int, list[oc4ids.Budget]] = defaultdict(list)
    for pk, year, amount, carried, printed in YearlyPlan.objects.filter(
        project_id__in=ids, is_simulated=False
    ).values_list("project_id", "year", "amount_vnd", "carried_over_vnd", "document_as_printed"):
        budgets[pk].append(oc4ids.Budget(year, amount + carried, printed))
    funding: dict[int, list[oc4ids.Funding]] = defaultdict(list)
    for pk, source_id, source, source_vnd in FundingSource.objects.filter(project_id__in=ids).values_list(
        "project_id", "pk", "name", "amount_vnd"
    ):
        funding[pk].append(oc4ids.Funding(str(source_id), source, source_vnd))
    transactions: dict[int, list[oc4ids.Transaction]] = defaultdict(list)
    for pk, entry_id, on_date, paid_vnd in Disbursement.objects.filter(
        project_id__in=ids, is_simulated=False, on_date__lte=today
    ).values_list("project_id", "pk", "on_date", "amount_vnd"):
        transactions[pk].append(oc4ids.Transaction(str(entry_id), on_date, paid_vnd))
    milestones: dict[int, list[oc4ids.MilestoneOf]] = defaultdict(list)
    for pk, milestone_id, title, planned_on, reached_on in Milestone.objects.filter(project_id__in=ids).values_list(
        "project_id", "pk", "name", "planned_on", "reached_on"
    ):
        milestones[pk].append(oc4ids.MilestoneOf(str(milestone_id), title, planned_on, reached_on))
    return [
        _describe(
            *projects[pk], places=tuple(places[pk]), budgets=tuple(budgets[pk]), funding=tuple(funding[pk]),
            transactions=tuple(transactions[pk]), milestones=tuple(milestones[pk]),
        )
        for pk in ids
        if pk in projects
    ]  # fmt: skip


def _describe(
    key: str, title: str, outcome: str, status: str, starts_on: date | None, due_on: date | None,
    finished_on: date | None, total_vnd: int | None, people_expected: int | None, owner_key: str | None,
    owner_name: str | None, owner_as_printed: str, contractor: str, **books: Any,
) -> oc4ids.ProjectOf:  # fmt: skip
    owner = None
    if owner_key:
        owner = oc4ids.Party(owner_key, owner_name or owner_as_printed, ("publicAuthority", "payer"))
    elif owner_as_printed:
        owner = oc4ids.Party(f"{key}.owner", owner_as_printed, ("publicAuthority", "payer"))
    parties = [owner] if owner else []
    if contractor:
        parties.append(oc4ids.Party(f"{key}.contractor", contractor, ("supplier",)))
    return oc4ids.ProjectOf(
        id=key, title=title, description=outcome, status=status, starts_on=starts_on, due_on=due_on,
        finished_on=finished_on, total_vnd=total_vnd, public_authority=owner, parties=tuple(parties),
        people_expected=people_expected, **books,
    )  # fmt: skip
