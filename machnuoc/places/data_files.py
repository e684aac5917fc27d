"""Read the administrative units that ship with the program (`places/data/`): rows in, frozen dataclasses out.

Nothing here touches the database. Source, licence, confidence and what is unknown: `places/data/README.md`.
All periods are half-open: a unit is valid from `valid_from_date` (in) to `valid_to_date` (out). A date of None is
unknown, never "always". Official codes are reused, so a code names a unit only together with a date; `key` is ours,
unique over all four files and stable.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib import resources
from typing import Literal, cast, get_args

FormerLevel = Literal["province", "district", "commune"]
Relation = Literal["whole", "partial", "unchanged", "type_changed", "district_to_special_zone"]


class BadDataFile(ValueError):
    """A data file of the program cannot be read as it should; the text names the file, the line and the column."""


@dataclass(frozen=True)
class ProvinceRow:
    """A province or centrally run city in force (34).

    `type_from_date`: since when `unit_type` holds, where it changed after `valid_from_date` (Đồng Nai).
    `merged_from`: the predecessors as the source prints them, with their codes. Coordinates: approximate centre, WGS84.
    """

    key: str
    code: str
    name: str
    full_name: str
    name_alt_tone: str
    name_en: str
    unit_type: str
    commune_level_units: int
    merged_from: str
    lat_deg: float
    lon_deg: float
    valid_from_date: date | None
    type_from_date: date | None
    note: str

    @property
    def is_merged(self) -> bool:
        """Whether the province is a new unit made of several old ones."""
        return ";" in self.merged_from


@dataclass(frozen=True)
class CommuneRow:
    """A commune, ward or special zone in force (3,321). Coordinates: centre of its largest polygon, WGS84."""

    key: str
    code: str
    province_key: str
    name: str
    full_name: str
    name_alt_tone: str
    name_en: str
    unit_type: str
    lat_deg: float
    lon_deg: float
    valid_from_date: date | None
    note: str


@dataclass(frozen=True)
class FormerUnitRow:
    """A unit of the five provinces' predecessors that ended on 01/07/2025; since when it was valid is unknown.

    `full_name_other`: the spelling of the conversion table where it differs («Xã Đăk Cấm» beside «Xã Đắk Cấm»).
    `parent_key`: the district of a commune, the province of a district, empty for a province.
    """

    key: str
    level: FormerLevel
    code: str
    name: str
    full_name: str
    full_name_other: str
    unit_type: str
    parent_key: str
    valid_to_date: date
    note: str


@dataclass(frozen=True)
class SuccessionRow:
    """One predecessor passed into one successor on `effective_date`, wholly or in part."""

    predecessor_key: str
    successor_key: str
    relation: Relation
    effective_date: date
    note_printed: str
    remark: str


def list_provinces() -> list[ProvinceRow]:
    """Return the 34 provinces in the order of their official codes."""
    return [
        ProvinceRow(
            key=row["key"],
            code=row["code"],
            name=row["name"],
            full_name=row["full_name"],
            name_alt_tone=row["name_alt_tone"],
            name_en=row["name_en"],
            unit_type=row["unit_type"],
            commune_level_units=int(row["commune_level_units"]),
            merged_from=row["merged_from"],
            lat_deg=float(row["lat_deg"]),
            lon_deg=float(row["lon_deg"]),
            valid_from_date=_optional_date(row["valid_from_date"]),
            type_from_date=_optional_date(row["type_from_date"]),
            note=row["note"],
        )
        for row in _rows("provinces.csv")
    ]


def list_communes() -> list[CommuneRow]:
    """Return the 3,321 communes, wards and special zones in force, by province."""
    return [
        CommuneRow(
            key=row["key"],
            code=row["code"],
            province_key=row["province_key"],
            name=row["name"],
            full_name=row["full_name"],
            name_alt_tone=row["name_alt_tone"],
            name_en=row["name_en"],
            unit_type=row["unit_type"],
            lat_deg=float(row["lat_deg"]),
            lon_deg=float(row["lon_deg"]),
            valid_from_date=_optional_date(row["valid_from_date"]),
            note=row["note"],
        )
        for row in _rows("communes.csv")
    ]


def list_former_units() -> list[FormerUnitRow]:
    """Return the units that ended on 01/07/2025, parents before children."""
    return [
        FormerUnitRow(
            key=row["key"],
            level=_former_level(row["level"]),
            code=row["code"],
            name=row["name"],
            full_name=row["full_name"],
            full_name_other=row["full_name_other"],
            unit_type=row["unit_type"],
            parent_key=row["parent_key"],
            valid_to_date=date.fromisoformat(row["valid_to_date"]),
            note=row["note"],
        )
        for row in _rows("former_units.csv")
    ]


def list_successions() -> list[SuccessionRow]:
    """Return who became what: provinces first, then communes (and the one district that became a special zone)."""
    return [
        SuccessionRow(
            predecessor_key=row["predecessor_key"],
            successor_key=row["successor_key"],
            relation=_relation(row["relation"]),
            effective_date=date.fromisoformat(row["effective_date"]),
            note_printed=row["note_printed"],
            remark=row["remark"],
        )
        for row in _rows("successions.csv")
    ]


def _rows(name: str) -> Iterator[dict[str, str]]:
    text = resources.files("machnuoc.places").joinpath("data", name).read_text(encoding="utf-8")
    for number, row in enumerate(csv.DictReader(text.splitlines(), strict=True), start=2):
        if None in row or None in row.values():
            raise BadDataFile(
                f"Tệp {name}, dòng {number}: số cột không khớp dòng tiêu đề. Khôi phục tệp gốc của bản cài."
            )
        yield row


def _optional_date(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def _former_level(text: str) -> FormerLevel:
    if text not in get_args(FormerLevel):
        raise BadDataFile(f"Cột level: không có cấp “{text}”. Khôi phục tệp gốc của bản cài.")
    return cast(FormerLevel, text)


def _relation(text: str) -> Relation:
    if text not in get_args(Relation):
        raise BadDataFile(f"Cột relation: không có quan hệ “{text}”. Khôi phục tệp gốc của bản cài.")
    return cast(Relation, text)
