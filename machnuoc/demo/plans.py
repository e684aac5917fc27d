"""Read the provincial plans that ship with the program (`demo/data/`): files in, frozen dataclasses out.

Every row names the passage of its plan that it rests on, so a figure can be followed to document and section. What is
printed stays as printed (scan errors included) beside the corrected name. Nothing here touches the database.
Conventions, confidence and what the plans do not say: `demo/data/README.md`.
"""

import csv
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from importlib import resources
from typing import Any, Literal, TypeVar, get_args

Plan = Literal["quang_ngai", "cao_bang", "cam_tan", "lai_chau", "khanh_hoa"]
PLANS: tuple[Plan, ...] = get_args(Plan)

OrganisationKind = Literal[
    "people_committee",
    "department",
    "management_board",
    "service_centre",
    "office",
    "station_team",
    "company",
    "cooperative",
    "utility",
    "association",
    "steering_body",
]
WorkKind = Literal["plant", "station", "scheme"]
WorkStatus = Literal["running", "stopped"]
Certainty = Literal["stated", "apparent", "uncertain"]
ParentBasis = Literal["stated", "implied"]
CommuneBasis = Literal["stated", "urban_area", "mapping"]
FormerUnitBasis = Literal["stated", "same_name", "only_town"]
CitedRole = Literal["basis", "cited"]
Scenario = Literal["ACTUAL", "PLAN"]
ValueForm = Literal["number", "range", "upper_bound", "lower_bound", "class"]
SourceKind = Literal["groundwater", "surface"]

T = TypeVar("T", bound=str)


class BadPlanFile(ValueError):
    """A data file of a plan cannot be read as it should; the text names file, place and reason."""


class UnknownPassage(LookupError):
    """The plan has no passage with that key."""


@dataclass(frozen=True)
class Passage:
    """One quotation: `section` is where it stands («II.2, gạch đầu dòng thứ 2»), `text` what is printed there."""

    key: str
    section: str
    text: str


@dataclass(frozen=True)
class CitedDocument:
    """A document the plan rests on (role basis) or mentions (cited). Number or date None: not printed."""

    kind: str
    number: str | None
    issue_date: date | None
    issuer: str
    title: str
    role: CitedRole
    passage_key: str


@dataclass(frozen=True)
class PlanDocument:
    """A plan with its passages in the order of the text. `number` or `issue_date` None: blank in the document."""

    key: str
    number: str | None
    number_printed: str
    kind: str
    title: str
    issuer: str
    issuer_key: str
    territory_key: str
    place_date_printed: str
    issue_date: date | None
    number_date_note: str
    signer: str
    signer_title: str
    cited: tuple[CitedDocument, ...]
    passages: tuple[Passage, ...]

    def get_passage(self, key: str) -> Passage:
        """Return the passage with that key; raises UnknownPassage."""
        for passage in self.passages:
            if passage.key == key:
                return passage
        raise UnknownPassage(f"Văn bản {self.key} không có đoạn trích “{key}”. Xem các đoạn trích trong document.toml.")


@dataclass(frozen=True)
class PlanOrganisation:
    """An organisation a plan names. `parent_basis` says whether the text states the parent or only implies it.

    `valid_to`: the day from which it is no more (the authorities of before 2025); None where it is in force.
    """

    key: str
    name: str
    name_printed: str
    kind: OrganisationKind
    parent_key: str
    parent_basis: ParentBasis | None
    parent_passage_key: str
    territory_key: str
    passage_key: str
    note: str
    valid_to: date | None = None


@dataclass(frozen=True)
class PlanStation:
    """A row of appendix 1 of Quảng Ngãi's plan. Counts are households; None where the print is blank.

    `stt` is None for the sub-scheme, whose `parent_key` is a station; the parent's design serves both.
    `commune_names` are the official names beside `scope_printed`; growth is kept as printed («-», «252,94»).
    """

    stt: int | None
    key: str
    name_printed: str
    name: str
    name_reason: str
    scope_printed: str
    commune_codes: tuple[str, ...]
    commune_names: tuple[str, ...]
    scope_reason: str
    parent_key: str
    operator_key: str
    team_key: str
    design_households: int | None
    connected_2025: int
    planned_2026: int
    growth_households_printed: str
    growth_pct_printed: str
    passage_key: str

    @property
    def growth_households(self) -> int:
        """Households to be added in 2026: planned minus connected."""
        return self.planned_2026 - self.connected_2025


@dataclass(frozen=True)
class PlanWork:
    """A work of Cao Bằng's plan; one with a `parent_key` is a part of that work.

    `commune_basis`: stated by the text, through the urban area of the same name, or through the merger mapping.
    """

    key: str
    parent_key: str
    name_printed: str
    name: str
    kind: WorkKind
    operator_key: str
    commune_codes: tuple[str, ...]
    commune_basis: CommuneBasis | None
    urban_area_key: str
    urban_area_certainty: Certainty | None
    status: WorkStatus
    status_passage_key: str
    passage_key: str
    note: str


@dataclass(frozen=True)
class WorkAlias:
    """Another printed name of a work, with how sure it is that both are one work."""

    work_key: str
    name_printed: str
    passage_key: str
    certainty: Certainty
    note: str


@dataclass(frozen=True)
class UrbanArea:
    """An urban area (khu vực đô thị): a part of one commune of today, once a town of its own."""

    key: str
    name: str
    name_printed: str
    commune_code: str
    commune_basis: CommuneBasis
    former_unit_key: str
    former_unit_basis: FormerUnitBasis
    passage_key: str
    note: str


@dataclass(frozen=True)
class StatedValue:
    """A value in the form the plan gives it; what the form does not have is None. Percentages are 0-100.

    An open edge excludes its number («trên 70%»: low 70, low_open True).
    """

    subject_key: str
    metric_key: str
    period: str
    period_note: str
    scenario: Scenario
    form: ValueForm
    number: Decimal | None
    low: Decimal | None
    low_open: bool | None
    high: Decimal | None
    high_open: bool | None
    band_code: str
    unit: str
    qualifier: str
    passage_key: str
    note: str


@dataclass(frozen=True)
class TreatmentTrain:
    """A treatment train for one kind of source, its steps in order."""

    key: str
    name_vi: str
    source_kind: SourceKind
    steps: tuple[str, ...]
    passage_key: str


def get_document(plan: Plan) -> PlanDocument:
    """Return the plan's document with all its passages."""
    content = tomllib.loads(_read(plan, "document.toml"))
    document: dict[str, Any] = content["document"]
    return PlanDocument(
        key=document["key"],
        number=document.get("number"),
        number_printed=document["number_printed"],
        kind=document["kind"],
        title=document["title"],
        issuer=document["issuer"],
        issuer_key=document["issuer_key"],
        territory_key=document["territory_key"],
        place_date_printed=document["place_date_printed"],
        issue_date=document.get("issue_date"),
        number_date_note=document["number_date_note"],
        signer=document["signer"],
        signer_title=document["signer_title"],
        cited=tuple(
            CitedDocument(
                kind=cited["kind"],
                number=cited.get("number"),
                issue_date=cited.get("issue_date"),
                issuer=cited["issuer"],
                title=cited["title"],
                role=_one_of(cited["role"], get_args(CitedRole)),
                passage_key=cited["passage_key"],
            )
            for cited in content["cited"]
        ),
        passages=tuple(Passage(**passage) for passage in content["passage"]),
    )


def list_documents() -> list[PlanDocument]:
    """Return the documents of all plans."""
    return [get_document(plan) for plan in PLANS]


def list_organisations(plan: Plan) -> list[PlanOrganisation]:
    """Return the organisations the plan names, parents before children."""
    return [
        PlanOrganisation(
            key=row["key"],
            name=row["name"],
            name_printed=row["name_printed"],
            kind=_one_of(row["kind"], get_args(OrganisationKind)),
            parent_key=row["parent_key"],
            parent_basis=_optional_one_of(row["parent_basis"], get_args(ParentBasis)),
            parent_passage_key=row["parent_passage_key"],
            territory_key=row["territory_key"],
            passage_key=row["passage_key"],
            note=row["note"],
            valid_to=date.fromisoformat(row["valid_to"]) if row.get("valid_to") else None,
        )
        for row in read_rows(plan, "organisations.csv")
    ]


def list_stations() -> list[PlanStation]:
    """Return Quảng Ngãi's 29 stations and their one sub-scheme, in the order of appendix 1."""
    return [
        PlanStation(
            stt=_optional_int(row["stt"]),
            key=row["key"],
            name_printed=row["name_printed"],
            name=row["name"],
            name_reason=row["name_reason"],
            scope_printed=row["scope_printed"],
            commune_codes=_split(row["commune_codes"]),
            commune_names=_split(row["commune_names"]),
            scope_reason=row["scope_reason"],
            parent_key=row["parent_key"],
            operator_key=row["operator_key"],
            team_key=row["team_key"],
            design_households=_optional_int(row["design_households"]),
            connected_2025=int(row["connected_2025"]),
            planned_2026=int(row["planned_2026"]),
            growth_households_printed=row["growth_households_printed"],
            growth_pct_printed=row["growth_pct_printed"],
            passage_key=row["passage_key"],
        )
        for row in read_rows("quang_ngai", "stations.csv")
    ]


def list_works() -> list[PlanWork]:
    """Return Cao Bằng's 14 urban works and the two parts of Trùng Khánh, each after its parent."""
    return [
        PlanWork(
            key=row["key"],
            parent_key=row["parent_key"],
            name_printed=row["name_printed"],
            name=row["name"],
            kind=_one_of(row["kind"], get_args(WorkKind)),
            operator_key=row["operator_key"],
            commune_codes=_split(row["commune_codes"]),
            commune_basis=_optional_one_of(row["commune_basis"], get_args(CommuneBasis)),
            urban_area_key=row["urban_area_key"],
            urban_area_certainty=_optional_one_of(row["urban_area_certainty"], get_args(Certainty)),
            status=_one_of(row["status"], get_args(WorkStatus)),
            status_passage_key=row["status_passage_key"],
            passage_key=row["passage_key"],
            note=row["note"],
        )
        for row in read_rows("cao_bang", "works.csv")
    ]


def list_aliases() -> list[WorkAlias]:
    """Return the other printed names of Cao Bằng's works."""
    return [
        WorkAlias(
            work_key=row["work_key"],
            name_printed=row["name_printed"],
            passage_key=row["passage_key"],
            certainty=_one_of(row["certainty"], get_args(Certainty)),
            note=row["note"],
        )
        for row in read_rows("cao_bang", "aliases.csv")
    ]


def list_urban_areas() -> list[UrbanArea]:
    """Return the 14 urban areas that Cao Bằng's plan names."""
    return [
        UrbanArea(
            key=row["key"],
            name=row["name"],
            name_printed=row["name_printed"],
            commune_code=row["commune_code"],
            commune_basis=_one_of(row["commune_basis"], get_args(CommuneBasis)),
            former_unit_key=row["former_unit_key"],
            former_unit_basis=_one_of(row["former_unit_basis"], get_args(FormerUnitBasis)),
            passage_key=row["passage_key"],
            note=row["note"],
        )
        for row in read_rows("cao_bang", "urban_areas.csv")
    ]


def list_stated_values(plan: Plan) -> list[StatedValue]:
    """Return the values the plan gives, in the form it gives them; empty for the three plans that give none so."""
    if plan in ("cam_tan", "lai_chau", "khanh_hoa"):
        return []
    return [
        StatedValue(
            subject_key=row["subject_key"],
            metric_key=row["metric_key"],
            period=row["period"],
            period_note=row["period_note"],
            scenario=_one_of(row["scenario"], get_args(Scenario)),
            form=_one_of(row["form"], get_args(ValueForm)),
            number=_optional_decimal(row["number"]),
            low=_optional_decimal(row["low"]),
            low_open=_optional_bool(row["low_open"]),
            high=_optional_decimal(row["high"]),
            high_open=_optional_bool(row["high_open"]),
            band_code=row["band_code"],
            unit=row["unit"],
            qualifier=row["qualifier"],
            passage_key=row["passage_key"],
            note=row["note"],
        )
        for row in read_rows(plan, "stated_values.csv")
    ]


def list_treatment_trains() -> list[TreatmentTrain]:
    """Return the two treatment trains that Lai Châu's plan sets for new plants."""
    return [
        TreatmentTrain(
            key=row["key"],
            name_vi=row["name_vi"],
            source_kind=_one_of(row["source_kind"], get_args(SourceKind)),
            steps=_split(row["steps"]),
            passage_key=row["passage_key"],
        )
        for row in read_rows("lai_chau", "treatment_trains.csv")
    ]


def _read(plan: Plan, name: str) -> str:
    return resources.files("machnuoc.demo").joinpath("data", plan, name).read_text(encoding="utf-8")


def read_rows(plan: Plan, name: str) -> Iterator[dict[str, str]]:
    """Yield the rows of one of the plan's csv files. Raises BadPlanFile."""
    for number, row in enumerate(csv.DictReader(_read(plan, name).splitlines(), strict=True), start=2):
        if None in row or None in row.values():
            raise BadPlanFile(
                f"Tệp {plan}/{name}, dòng {number}: số cột không khớp dòng tiêu đề. Khôi phục tệp gốc của bản cài."
            )
        yield row


def _one_of(text: str, choices: tuple[T, ...]) -> T:
    for choice in choices:
        if text == choice:
            return choice
    raise BadPlanFile(f"“{text}” không thuộc các giá trị {', '.join(choices)}. Khôi phục tệp gốc của bản cài.")


def _optional_one_of(text: str, choices: tuple[T, ...]) -> T | None:
    return _one_of(text, choices) if text else None


def _optional_int(text: str) -> int | None:
    return int(text) if text else None


def _optional_decimal(text: str) -> Decimal | None:
    return Decimal(text) if text else None


def _optional_bool(text: str) -> bool | None:
    return _one_of(text, ("true", "false")) == "true" if text else None


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split(";")) if text else ()
