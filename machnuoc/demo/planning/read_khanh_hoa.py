"""Read what plan 1355/KH-UBND of Khánh Hòa says (`demo/data/khanh_hoa/`): files in, frozen dataclasses out.

The plan is a noisy scan. A row is here only where its place and its criterion are certain or follow from the lists of
the plan itself; `certainty` says which: `stated` as printed, `spelling` (an abbreviation or a wrong tone mark, one
fitting name in that district), `apparent` (by elimination or by the lists; a note says how), `not_held` (readable, but
the unit is in no list that we hold). What could not be read is in unread.csv and nowhere else.
Conventions: `demo/data/README.md`.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from importlib import resources
from typing import Literal, get_args

from machnuoc.core.periods import Period
from machnuoc.demo import plans

PLAN_KEY = "kh.1355-2024"
DOCUMENT_KEY = "doc.kh.1355"

Certainty = Literal["stated", "spelling", "apparent", "not_held"]
Tier = Literal["BASIC", "ADVANCED", "MODEL"]
Result = Literal["MET", "NOT_MET", "NOT_ASSESSED"]

COMMUNE_CRITERIA = 19  # of the sets «xã nông thôn mới» and «nâng cao» of 2021-2025


@dataclass(frozen=True)
class NamedUnit:
    """A commune that the plan names. unit_key: a former unit of places; empty where it is not held."""

    name_printed: str
    district_key: str
    unit_key: str
    certainty: Certainty
    note: str
    passage_key: str


@dataclass(frozen=True)
class RoadmapRow:
    """A commune in a year of appendices 07-09. column_scanned: the column in which the scan shows it."""

    tier: Tier
    year: int
    order: int
    name_printed: str
    column_scanned: str
    district_key: str
    unit_key: str
    certainty: Certainty
    note: str
    is_recognised: bool
    passage_key: str


@dataclass(frozen=True)
class RoadmapTotalRow:
    """What appendices 07-09 print for a year (None: the line «TỔNG CỘNG»)."""

    tier: Tier
    year: int | None
    count: int
    cumulative: int | None
    share_printed: str
    passage_key: str


@dataclass(frozen=True)
class DistrictTotalRow:
    """What the line «TỔNG CỘNG» prints for a district."""

    tier: Tier
    district_key: str
    count: int
    passage_key: str


@dataclass(frozen=True)
class CriterionGoalRow:
    """Appendix 01: the share of places (percent) that is to meet a criterion by the end of the year."""

    set_key: str
    criterion: str
    year: int
    share_pct: Decimal
    name_printed: str
    number_printed: str
    share_printed: str
    passage_key: str

    @property
    def as_printed(self) -> str:
        return f"TT {self.number_printed}: {self.name_printed}: {self.share_printed}"


@dataclass(frozen=True)
class ResponsibilityRow:
    """Appendix 06: an agency and a criterion or sub-indicator that it appraises; neither: «nợ đọng xây dựng cơ bản»."""

    order: int
    agency_printed: str
    agency_key: str
    set_key: str
    criterion: str
    sub_indicator: str
    text_printed: str
    note: str
    passage_key: str


@dataclass(frozen=True)
class PositionRow:
    """«NTM đạt 14/19 TC, 05 TC chưa đạt gồm: …»."""

    unit_key: str
    name_printed: str
    set_key: str
    year: int
    met_count: int
    criteria_count: int
    not_met: tuple[str, ...]
    text_printed: str
    note: str
    passage_key: str

    @property
    def is_whole(self) -> bool:
        """Whether the printed numbers add up to all criteria, so that those not named are met."""
        return self.met_count + len(self.not_met) == self.criteria_count == COMMUNE_CRITERIA


@dataclass(frozen=True)
class AssessmentRow:
    """A place and a sub-indicator (or whole criterion): what was measured, what is asked, who helps, by when."""

    unit_key: str
    name_printed: str
    set_key: str
    criterion: str
    sub_indicator: str
    year: int
    result: Result
    text_printed: str
    numerator: Decimal | None
    denominator: Decimal | None
    measured: Decimal | None
    measured_printed: str
    comparator: str
    required: Decimal | None
    required_printed: str
    agency_printed: str
    agency_key: str
    solution_printed: str
    target_quarter_start: date | None
    target_printed: str
    certainty: Certainty
    note: str
    passage_key: str


@dataclass(frozen=True)
class DiscrepancyRow:
    """Two places of the plan that say different things of the same."""

    about: str
    first: str
    first_passage_key: str
    second: str
    second_passage_key: str
    note: str


@dataclass(frozen=True)
class UnreadRow:
    """A row of the scan that is left out, with the reason. scan_line: its line in the recognised text."""

    order: int
    section: str
    scan_line: int
    text_printed: str
    reason: str


@dataclass(frozen=True)
class TargetRow:
    """A promise. amount None: in words only. due_on: the last day that still counts; None: not printed."""

    key: str
    order: int
    name: str
    text_printed: str
    section: str
    passage_key: str
    subject_key: str
    comparator: str
    comparator_printed: str
    amount: Decimal | None
    unit: str
    due_on: date | None
    lead_keys: tuple[str, ...]
    lead_printed: str
    parent_key: str
    parts_check: str
    path: tuple[tuple[int, Decimal], ...]
    baseline: Decimal | None
    baseline_printed: str
    note: str
    metric_key: str  # empty: nothing in the system measures it


@dataclass(frozen=True)
class StatedRow:
    """A figure that the plan itself prints, of a month or year. qualifier: «tính đến tháng 02/2024», as printed."""

    metric_key: str
    subject_key: str
    period: Period
    number: Decimal
    number_printed: str
    qualifier: str
    note: str
    passage_key: str


@dataclass(frozen=True)
class FundRow:
    """Section V: money of the programme, in đồng. year None: the whole period."""

    order: int
    name: str
    kind: str
    year: int | None
    amount_vnd: int
    amount_printed: str
    qualifier: str
    passage_key: str


@dataclass(frozen=True)
class DeadlineRow:
    """VII.2: by when a step of every dossier is to be done. step: Dossier.Step that is reached by it."""

    step: str
    opens_month: int | None
    month: int
    day: int | None
    is_exclusive: bool
    text_printed: str
    passage_key: str


def list_units() -> list[NamedUnit]:
    """Return the communes named in I.2 and in the roadmaps, as each passage spells them."""
    return [
        NamedUnit(
            name_printed=row["name_printed"], district_key=row["district_key"], unit_key=row["unit_key"],
            certainty=_certainty(row["certainty"]), note=row["note"], passage_key=row["passage_key"],
        )
        for row in _rows("units.csv")
    ]  # fmt: skip


def list_roadmap() -> list[RoadmapRow]:
    """Return the communes of appendices 07-09, by tier and year."""
    return [
        RoadmapRow(
            tier=_tier(row["tier"]), year=int(row["year"]), order=int(row["order"]), name_printed=row["name_printed"],
            column_scanned=row["column_scanned"], district_key=row["district_key"], unit_key=row["unit_key"],
            certainty=_certainty(row["certainty"]), note=row["note"], is_recognised=_bool(row["is_recognised"]),
            passage_key=row["passage_key"],
        )
        for row in _rows("roadmap.csv")
    ]  # fmt: skip


def list_roadmap_totals() -> list[RoadmapTotalRow]:
    """Return what appendices 07-09 print for each year and in total."""
    return [
        RoadmapTotalRow(
            tier=_tier(row["tier"]), year=_int(row["year"]), count=int(row["count_printed"]),
            cumulative=_int(row["cumulative_printed"]), share_printed=row["share_printed"],
            passage_key=row["passage_key"],
        )
        for row in _rows("roadmap_totals.csv")
    ]  # fmt: skip


def list_district_totals() -> list[DistrictTotalRow]:
    """Return the district cells of the lines «TỔNG CỘNG»."""
    return [
        DistrictTotalRow(
            tier=_tier(row["tier"]), district_key=row["district_key"], count=int(row["count_printed"]),
            passage_key=row["passage_key"],
        )
        for row in _rows("roadmap_district_totals.csv")
    ]  # fmt: skip


def list_criterion_goals() -> list[CriterionGoalRow]:
    """Return appendix 01."""
    return [
        CriterionGoalRow(
            set_key=row["set_key"], criterion=row["criterion"], year=int(row["year"]),
            share_pct=Decimal(row["share_pct"]), name_printed=row["name_printed"],
            number_printed=row["number_printed"], share_printed=row["share_printed"], passage_key=row["passage_key"],
        )
        for row in _rows("criterion_goals.csv")
    ]  # fmt: skip


def list_responsibilities() -> list[ResponsibilityRow]:
    """Return appendix 06, one row for each criterion or sub-indicator of each agency."""
    return [
        ResponsibilityRow(
            order=int(row["order"]), agency_printed=row["agency_printed"], agency_key=row["agency_key"],
            set_key=row["set_key"], criterion=row["criterion"], sub_indicator=row["sub_indicator"],
            text_printed=row["text_printed"], note=row["note"], passage_key=row["passage_key"],
        )
        for row in _rows("responsibilities.csv")
    ]  # fmt: skip


def list_positions() -> list[PositionRow]:
    """Return how many criteria each legible commune of appendix 02 meets, as it is stated."""
    return [
        PositionRow(
            unit_key=row["unit_key"], name_printed=row["name_printed"], set_key=row["set_key"], year=int(row["year"]),
            met_count=int(row["met_count"]), criteria_count=int(row["criteria_count"]),
            not_met=_split(row["not_met_printed"]), text_printed=row["text_printed"], note=row["note"],
            passage_key=row["passage_key"],
        )
        for row in _rows("positions.csv")
    ]  # fmt: skip


def list_assessments() -> list[AssessmentRow]:
    """Return the legible rows of appendices 02-05."""
    return [
        AssessmentRow(
            unit_key=row["unit_key"], name_printed=row["name_printed"], set_key=row["set_key"],
            criterion=row["criterion"], sub_indicator=row["sub_indicator"], year=int(row["year"]),
            result=_result(row["result"]), text_printed=row["text_printed"], numerator=_decimal(row["numerator"]),
            denominator=_decimal(row["denominator"]), measured=_decimal(row["measured"]),
            measured_printed=row["measured_printed"], comparator=row["comparator"],
            required=_decimal(row["required"]), required_printed=row["required_printed"],
            agency_printed=row["agency_printed"], agency_key=row["agency_key"],
            solution_printed=row["solution_printed"], target_quarter_start=_date(row["target_quarter_start"]),
            target_printed=row["target_printed"], certainty=_certainty(row["certainty"]), note=row["note"],
            passage_key=row["passage_key"],
        )
        for row in _rows("assessments.csv")
    ]  # fmt: skip


def list_discrepancies() -> list[DiscrepancyRow]:
    """Return where text, tables and percentages of the plan disagree."""
    return [DiscrepancyRow(**row) for row in _rows("discrepancies.csv")]


def list_unread() -> list[UnreadRow]:
    """Return what of the scan could not be read with certainty, in the order of the text."""
    return [
        UnreadRow(
            order=int(row["order"]), section=row["section"], scan_line=int(row["scan_line"]),
            text_printed=row["text_printed"], reason=row["reason"],
        )
        for row in _rows("unread.csv")
    ]  # fmt: skip


def list_targets() -> list[TargetRow]:
    """Return the promises of I.2, of appendices 07-09 and of the conditions of three districts, parents first."""
    return [
        TargetRow(
            key=row["key"], order=int(row["order"]), name=row["name"], text_printed=row["text_printed"],
            section=row["section"], passage_key=row["passage_key"], subject_key=row["subject_key"],
            comparator=row["comparator"], comparator_printed=row["comparator_printed"],
            amount=_decimal(row["amount"]), unit=row["unit"], due_on=_date(row["due_on"]),
            lead_keys=_split(row["lead_keys"]), lead_printed=row["lead_printed"], parent_key=row["parent_key"],
            parts_check=row["parts_check"], path=tuple(_step(step) for step in _split(row["path"])),
            baseline=_decimal(row["baseline"]), baseline_printed=row["baseline_printed"], note=row["note"],
            metric_key=row["metric_key"],
        )
        for row in _rows("targets.csv")
    ]  # fmt: skip


def list_stated() -> list[StatedRow]:
    """Return what the plan says of the communes that were recognised before it, and of how many there were."""
    return [
        StatedRow(
            metric_key=row["metric_key"], subject_key=row["subject_key"], period=Period.parse(row["period"]),
            number=Decimal(row["number"]), number_printed=row["number_printed"], qualifier=row["qualifier"],
            note=row["note"], passage_key=row["passage_key"],
        )
        for row in _rows("stated.csv")
    ]  # fmt: skip


def list_funds() -> list[FundRow]:
    """Return section V."""
    return [
        FundRow(
            order=int(row["order"]), name=row["name"], kind=row["kind"], year=_int(row["year"]),
            amount_vnd=int(row["amount_vnd"]), amount_printed=row["amount_printed"], qualifier=row["qualifier"],
            passage_key=row["passage_key"],
        )
        for row in _rows("funds.csv")
    ]  # fmt: skip


def list_deadlines() -> list[DeadlineRow]:
    """Return the days of recognition."""
    return [
        DeadlineRow(
            step=row["step"], opens_month=_int(row["opens_month"]), month=int(row["month"]), day=_int(row["day"]),
            is_exclusive=_bool(row["is_exclusive"]), text_printed=row["text_printed"], passage_key=row["passage_key"],
        )
        for row in _rows("deadlines.csv")
    ]  # fmt: skip


def _rows(name: str) -> Iterator[dict[str, str]]:
    text = (resources.files("machnuoc.demo") / "data" / "khanh_hoa" / name).read_text(encoding="utf-8")
    for number, row in enumerate(csv.DictReader(io.StringIO(text, newline=""), strict=True), start=2):
        if None in row or None in row.values():
            raise plans.BadPlanFile(
                f"Tệp khanh_hoa/{name}, dòng {number}: số cột không khớp dòng tiêu đề. Khôi phục tệp gốc của bản cài."
            )
        yield row


def _one_of(text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise plans.BadPlanFile(
            f"“{text}” không thuộc các giá trị {', '.join(choices)}. Khôi phục tệp gốc của bản cài."
        )
    return text


def _certainty(text: str) -> Certainty:
    return _one_of(text, get_args(Certainty))  # type: ignore[return-value]


def _tier(text: str) -> Tier:
    return _one_of(text, get_args(Tier))  # type: ignore[return-value]


def _result(text: str) -> Result:
    return _one_of(text, get_args(Result))  # type: ignore[return-value]


def _bool(text: str) -> bool:
    return _one_of(text, ("true", "false")) == "true"


def _int(text: str) -> int | None:
    return int(text) if text else None


def _decimal(text: str) -> Decimal | None:
    return Decimal(text) if text else None


def _date(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split(";")) if text else ()


def _step(text: str) -> tuple[int, Decimal]:
    year, _, amount = text.partition("=")
    return int(year), Decimal(amount)
