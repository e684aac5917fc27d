"""Read the criteria sets that ship with the program (`planning/data/`): rows in, frozen dataclasses out.

Nothing here touches the database. Source and confidence stand in each row; what is not known is empty.
"""

import csv
import tomllib
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class SetRow:
    key: str
    name: str
    level: str
    tier: str
    document: str
    valid_from: date | None
    valid_to: date | None  # exclusive
    criteria_stated: int | None
    sub_indicators_stated: int | None
    confidence: str
    note: str
    source: str


@dataclass(frozen=True)
class CriterionRow:
    """A criterion (sub_indicator empty) or a sub-indicator of a set."""

    set_key: str
    criterion: str
    sub_indicator: str
    name: str
    unit: str
    entry: str
    numerator: str
    denominator: str
    metric_key: str
    confidence: str
    source: str


@dataclass(frozen=True)
class ThresholdRow:
    set_key: str
    sub_indicator: str
    territory_key: str
    comparator: str
    amount: Decimal | None
    text: str
    source: str
    confidence: str


@dataclass(frozen=True)
class Region:
    code: str
    name: str
    province_keys: tuple[str, ...]


@dataclass(frozen=True)
class CommuneGroup:
    number: int
    name: str


@cache
def _contents() -> dict[str, Any]:
    text = resources.files("machnuoc.planning").joinpath("data", "criteria_sets.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def list_sets() -> list[SetRow]:
    return [
        SetRow(
            key=row["key"],
            name=row["name"],
            level=row["level"],
            tier=row["tier"],
            document=row["document"],
            valid_from=row.get("valid_from"),
            valid_to=row.get("valid_to"),
            criteria_stated=row.get("criteria_stated"),
            sub_indicators_stated=row.get("sub_indicators_stated"),
            confidence=row["confidence"],
            note=row.get("note", ""),
            source=row.get("source", ""),
        )
        for row in _contents()["set"]
    ]


def list_criteria() -> list[CriterionRow]:
    """Return criteria and sub-indicators in the order of their documents, each criterion before its parts."""
    text = resources.files("machnuoc.planning").joinpath("data", "criteria.csv").read_text(encoding="utf-8")
    return [
        CriterionRow(
            set_key=row["set"],
            criterion=row["criterion"],
            sub_indicator=row["sub_indicator"],
            name=row["name"],
            unit=row["unit"],
            entry=row["entry"],
            numerator=row["numerator"],
            denominator=row["denominator"],
            metric_key=row["metric"],
            confidence=row["confidence"],
            source=row["source"],
        )
        for row in csv.DictReader(text.splitlines(), strict=True)
    ]


def list_thresholds() -> list[ThresholdRow]:
    return [
        ThresholdRow(
            set_key=row["set"],
            sub_indicator=row["sub_indicator"],
            territory_key=row.get("territory", ""),
            comparator=row["comparator"],
            amount=Decimal(row["amount"]) if "amount" in row else None,
            text=row["text"],
            source=row.get("source", ""),
            confidence=row.get("confidence", "verified"),
        )
        for row in _contents()["threshold"]
    ]


@cache
def list_regions() -> tuple[Region, ...]:
    """Return the seven regions of the threshold tables, with the provinces known to lie in them."""
    return tuple(Region(row["code"], row["name"], tuple(row["provinces"])) for row in _contents()["region"])


@cache
def list_commune_groups() -> tuple[CommuneGroup, ...]:
    """Return the commune groups of the set of 2026-2030."""
    return tuple(CommuneGroup(row["number"], row["name"]) for row in _contents()["commune_group"])
