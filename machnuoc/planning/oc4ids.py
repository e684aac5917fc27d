"""Projects as the Open Contracting for Infrastructure Data Standard (OC4IDS 0.9) writes them. Plain data in and out.

Source: OC4IDS project schema and project package schema 0.9.5, Open Contracting Partnership and CoST, read in
github.com/open-contracting/infrastructure. What is not known is left out: the schema takes no empty texts and no null.
Money is in đồng (VND), which has no smaller coin; days become the midnight with which they begin at Hà Nội.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

VERSION = "0.9"
SECTOR = "waterAndWaste"
# Our status → code of projectStatus.csv. «Văn bản không ghi» gives none.
STATUSES = {
    "PREPARING": "preparation",
    "BUILDING": "implementation",
    "FINISHED": "completion",
    "SETTLED": "maintenance",
    "STOPPED": "cancelled",
}


@dataclass(frozen=True)
class Party:
    """An organisation of a project. roles: codes of partyRole.csv."""

    id: str
    name: str
    roles: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    id: str
    name: str
    latitude: float | None = None
    longitude: float | None = None


@dataclass(frozen=True)
class Budget:
    """What was planned for a year, carried capital included."""

    year: int
    amount_vnd: int
    text: str = ""


@dataclass(frozen=True)
class Funding:
    id: str
    name: str
    amount_vnd: int | None = None


@dataclass(frozen=True)
class Transaction:
    id: str
    on_date: date
    amount_vnd: int


@dataclass(frozen=True)
class MilestoneOf:
    id: str
    title: str
    planned_on: date | None = None
    reached_on: date | None = None


@dataclass(frozen=True)
class ProjectOf:
    """What is said of one project."""

    id: str
    title: str
    description: str = ""
    status: str = ""  # of our model
    updated_at: datetime | None = None
    starts_on: date | None = None
    due_on: date | None = None
    finished_on: date | None = None
    total_vnd: int | None = None
    public_authority: Party | None = None
    parties: tuple[Party, ...] = ()
    places: tuple[Place, ...] = ()
    budgets: tuple[Budget, ...] = ()
    funding: tuple[Funding, ...] = ()
    transactions: tuple[Transaction, ...] = ()
    milestones: tuple[MilestoneOf, ...] = ()
    people_expected: int | None = None


def make_package(
    projects: Iterable[ProjectOf], *, uri: str, published_at: datetime, publisher: str, country_code: str = "VN"
) -> dict[str, Any]:
    """Return the project package. published_at: an aware instant."""
    return {
        "uri": uri,
        "publishedDate": published_at.isoformat(timespec="seconds"),
        "version": VERSION,
        "publisher": {"name": publisher},
        "projects": [make_project(project, country_code=country_code) for project in projects],
    }


def make_project(project: ProjectOf, *, country_code: str = "VN") -> dict[str, Any]:
    """Return one project; a field that nothing is known of is left out."""
    budget: dict[str, Any] = {}
    if project.total_vnd is not None:
        budget["amount"] = _money(project.total_vnd)
    breakdowns = []
    if project.budgets:
        breakdowns.append(
            {
                "id": "year",
                "description": "Kế hoạch vốn theo năm",
                "budgetBreakdown": [
                    _filled(
                        {
                            "id": str(one.year),
                            "description": one.text,
                            "amount": _money(one.amount_vnd),
                            "period": {
                                "startDate": _instant(date(one.year, 1, 1)),
                                "endDate": _instant(date(one.year, 12, 31)),
                            },
                        }
                    )
                    for one in project.budgets
                ],
            }
        )
    if project.funding:
        breakdowns.append(
            {
                "id": "source",
                "description": "Nguồn vốn",
                "budgetBreakdown": [
                    _filled(
                        {
                            "id": one.id,
                            "description": one.name,
                            "amount": None if one.amount_vnd is None else _money(one.amount_vnd),
                        }
                    )
                    for one in project.funding
                ],
            }
        )
    if breakdowns:
        budget["budgetBreakdowns"] = breakdowns
    people = [{"description": "Người dân dự kiến được cấp nước", "numberOfPeople": project.people_expected}]
    return _filled(
        {
            "id": project.id,
            "updated": project.updated_at.isoformat(timespec="seconds") if project.updated_at else None,
            "language": "vi",
            "title": project.title,
            "description": project.description,
            "status": STATUSES.get(project.status),
            "period": _filled({"startDate": _instant(project.starts_on), "endDate": _instant(project.due_on)}),
            "sector": [SECTOR],
            "publicAuthority": _reference(project.public_authority),
            "parties": [{"id": party.id, "name": party.name, "roles": list(party.roles)} for party in project.parties],
            "locations": [_place(place, country_code) for place in project.places],
            "budget": budget,
            "milestones": [_milestone(one) for one in project.milestones],
            "completion": _filled({"endDate": _instant(project.finished_on)}),
            "transactions": [
                _filled(
                    {
                        "id": one.id,
                        "date": _instant(one.on_date),
                        "value": _money(one.amount_vnd),
                        "payer": _reference(project.public_authority),
                    }
                )
                for one in project.transactions
            ],
            "benefits": [{"title": "Cấp nước sạch", "beneficiaries": people}] if project.people_expected else None,
        }
    )


def _filled(fields: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is not known: the schema takes no null, no empty text, list or object."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def _money(amount_vnd: int) -> dict[str, Any]:
    return {"amount": amount_vnd, "currency": "VND"}


def _instant(day: date | None) -> str | None:
    return None if day is None else f"{day.isoformat()}T00:00:00+07:00"


def _reference(party: Party | None) -> dict[str, Any] | None:
    return None if party is None else {"id": party.id, "name": party.name}


def _place(place: Place, country_code: str) -> dict[str, Any]:
    found: dict[str, Any] = {"id": place.id, "description": place.name}
    if place.latitude is not None and place.longitude is not None:
        found["geometry"] = {"type": "Point", "coordinates": [place.longitude, place.latitude]}
    found["address"] = {"locality": place.name, "countryName": "Việt Nam" if country_code == "VN" else country_code}
    return found


def _milestone(one: MilestoneOf) -> dict[str, Any]:
    return _filled(
        {
            "id": one.id,
            "title": one.title,
            "type": "delivery",
            "dueDate": _instant(one.planned_on),
            "dateMet": _instant(one.reached_on),
            "status": "met" if one.reached_on else "scheduled",
        }
    )
