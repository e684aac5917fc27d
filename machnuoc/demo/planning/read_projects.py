"""Read the projects and handovers of the plans (`demo/data/<plan>/projects.csv`, `handovers.csv`). No database.

What stands in `simulated_money.csv` is made up so that rate, curve and debts can be seen; nothing of it is in a plan.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib import resources
from typing import Literal

# Folder of the data → key of the plan and of its document.
PLANS: dict[str, tuple[str, str]] = {
    "cao_bang": ("cb.cap-nuoc-2026", "doc.cb.kh-ubnd-2026-05"),
    "quang_ngai": ("qn.79-2026", "doc.qn.79-kh-ttns-2026"),
}
Entry = Literal["plan", "month", "paid", "accepted"]


@dataclass(frozen=True)
class PlanProject:
    """One project as printed. total_vnd None: the plan prints no amount. commune_codes: of units in force."""

    key: str
    number: str
    name: str
    owner_key: str
    owner_printed: str
    carried_out_by_key: str
    total_printed: str
    total_vnd: int | None
    sources: tuple[str, ...]
    completion_printed: str
    due_on: date | None
    outcome: str
    people_expected: int | None
    commune_keys: tuple[str, ...]
    work_key: str
    passage_key: str
    note: str


@dataclass(frozen=True)
class PlanHandover:
    """One request as printed."""

    name: str
    place_key: str
    giver_printed: str
    receiver_key: str
    request_printed: str
    requested_on: date
    passage_key: str
    note: str


@dataclass(frozen=True)
class Simulated:
    """A made-up line of a project's books."""

    project_key: str
    entry: Entry
    on_date: date
    amount_vnd: int
    note: str


def _rows(folder: str, name: str) -> Iterator[dict[str, str]]:
    path = resources.files("machnuoc.demo").joinpath(f"data/{folder}/{name}")
    if path.is_file():
        yield from csv.DictReader(path.read_text(encoding="utf-8").splitlines())


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def list_projects(folder: str, province: str) -> list[PlanProject]:
    """Return the projects of a plan in the order printed. province: key of the unit whose communes the codes name."""
    return [
        PlanProject(
            key=row["key"],
            number=row["number"],
            name=row["name"],
            owner_key=row["owner_key"],
            owner_printed=row["owner_printed"],
            carried_out_by_key=row.get("carried_out_by_key", ""),
            total_printed=row["total_printed"],
            total_vnd=int(row["total_vnd"]) if row["total_vnd"] else None,
            sources=tuple(filter(None, row["sources"].split("|"))),
            completion_printed=row["completion_printed"],
            due_on=_day(row["due_on"]),
            outcome=row["outcome"],
            people_expected=int(row["people_expected"]) if row["people_expected"] else None,
            commune_keys=tuple(f"{province}/{code}" for code in filter(None, row["commune_codes"].split("|"))),
            work_key=row["work_key"],
            passage_key=row["passage_key"],
            note=row["note"],
        )
        for row in _rows(folder, "projects.csv")
    ]


def list_handovers(folder: str) -> list[PlanHandover]:
    return [
        PlanHandover(
            name=row["name"],
            place_key=row["place_key"],
            giver_printed=row["giver_printed"],
            receiver_key=row["receiver_key"],
            request_printed=row["request_printed"],
            requested_on=date.fromisoformat(row["requested_on"]),
            passage_key=row["passage_key"],
            note=row["note"],
        )
        for row in _rows(folder, "handovers.csv")
    ]


def list_simulated(folder: str) -> list[Simulated]:
    return [
        Simulated(
            project_key=row["project_key"],
            entry=row["entry"],  # type: ignore[arg-type]
            on_date=date.fromisoformat(row["on_date"]),
            amount_vnd=int(row["amount_vnd"]),
            note=row["note"],
        )
        for row in _rows(folder, "simulated_money.csv")
    ]
