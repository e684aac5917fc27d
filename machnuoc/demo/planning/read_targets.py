"""Read the targets that the plans print (data/<plan>/targets.csv), and what appendix 1 asks of each station."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from machnuoc.core.vietnamese import parse_number
from machnuoc.demo import plans

# Plans whose targets stand in a file of this form. Cẩm Tân's promises no number; Khánh Hòa's has its own reader.
PLANS: tuple[plans.Plan, ...] = ("quang_ngai", "cao_bang", "lai_chau")


@dataclass(frozen=True)
class PlanTarget:
    """One promise of a plan. Numbers as machine numbers beside the printed words; empty where nothing is printed."""

    key: str
    order: int
    name: str
    subject_key: str
    metric_key: str
    measured_as: str
    comparator: str
    comparator_printed: str
    amount: Decimal | None
    amount_printed: str
    upper: Decimal | None
    unit: str
    decimals: int
    period: str
    due_on: date | None
    baseline: Decimal | None
    baseline_period: str
    baseline_printed: str
    parent_key: str
    parts_check: str
    section: str
    passage_key: str
    lead_keys: tuple[str, ...]
    cooperating_keys: tuple[str, ...]
    cooperating_printed: str
    accountable_printed: str
    note: str


@dataclass(frozen=True)
class StationShare:
    """What appendix 1 asks of one station: households more than in 2025, as printed «338» or «-» (none)."""

    station: plans.PlanStation
    households: int


def _decimal(text: str) -> Decimal | None:
    return Decimal(text) if text else None


def list_targets(plan: plans.Plan) -> list[PlanTarget]:
    """Return the plan's targets in the order of its text."""
    return [
        PlanTarget(
            key=row["key"], order=int(row["order"]), name=row["name"], subject_key=row["subject_key"],
            metric_key=row["metric_key"], measured_as=row["measured_as"], comparator=row["comparator"],
            comparator_printed=row["comparator_printed"], amount=_decimal(row["amount"]),
            amount_printed=row["amount_printed"], upper=_decimal(row["upper"]), unit=row["unit"],
            decimals=int(row["decimals"] or 0), period=row["period"],
            due_on=date.fromisoformat(row["due_on"]) if row["due_on"] else None, baseline=_decimal(row["baseline"]),
            baseline_period=row["baseline_period"], baseline_printed=row["baseline_printed"],
            parent_key=row["parent_key"], parts_check=row["parts_check"], section=row["section"],
            passage_key=row["passage_key"], lead_keys=tuple(filter(None, row["lead_keys"].split(";"))),
            cooperating_keys=tuple(filter(None, row["cooperating_keys"].split(";"))),
            cooperating_printed=row["cooperating_printed"], accountable_printed=row["accountable_printed"],
            note=row["note"],
        )
        for row in plans.read_rows(plan, "targets.csv")
    ]  # fmt: skip


def list_station_shares() -> list[StationShare]:
    """Return the 30 rows of appendix 1 with the growth that each prints."""
    return [
        StationShare(station, 0 if (printed := station.growth_households_printed) == "-" else int(_count(printed)))
        for station in plans.list_stations()
    ]


def _count(printed: str) -> Decimal:
    return parse_number(printed) or Decimal(0)
