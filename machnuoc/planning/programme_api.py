"""Criteria sets and assessments for programs."""

from datetime import date
from decimal import Decimal
from typing import Any

from django.http import Http404, HttpRequest
from ninja import Field, Query, Router, Schema

from machnuoc.core.api import DEFAULT_PAGE, MAX_PAGE, Page, answer_json, person_of, take_page
from machnuoc.planning import programme_queries as queries
from machnuoc.planning.models import Assessment, CriteriaSet, Programme

router = Router(tags=["Nông thôn mới"])


class ThresholdOut(Schema):
    comparator: str
    amount: Decimal | None
    text: str
    region: str
    commune_group: int | None
    territory_key: str | None
    valid_from: date | None
    valid_to: date | None
    confidence: str


class SubIndicatorOut(Schema):
    number: str
    name: str
    unit: str
    entry: str
    metric_key: str | None
    confidence: str
    thresholds: list[ThresholdOut]


class CriterionOut(Schema):
    number: str
    name: str
    confidence: str
    sub_indicators: list[SubIndicatorOut]


class SetOut(Schema):
    key: str
    name: str
    level: str
    tier: str
    document: str
    valid_from: date | None
    valid_to: date | None
    criteria_stated: int | None
    sub_indicators_stated: int | None
    confidence: str


class WholeSetOut(SetOut):
    criteria: list[CriterionOut]


class AssessmentOut(Schema):
    unit_key: str
    unit_name: str
    set_key: str
    criterion: str
    sub_indicator: str | None
    year: int
    result: str
    numerator: Decimal | None
    denominator: Decimal | None
    measured: Decimal | None
    measured_as_printed: str
    required_comparator: str
    required: Decimal | None
    required_as_printed: str
    agency: str
    solution: str
    target_quarter_start: date | None
    version: int


class AssessmentFilter(Schema):
    year: int = Field(0, ge=0, le=2100)
    unit_key: str = Field("", max_length=120)
    set_key: str = Field("", max_length=60)
    result: str = Field("", pattern="^(MET|NOT_MET|NOT_ASSESSED|NOT_APPLICABLE)?$")
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)


def _set(row: CriteriaSet) -> dict[str, Any]:
    return {
        "key": row.key, "name": row.name, "level": row.level, "tier": row.tier, "document": row.document_as_printed,
        "valid_from": row.valid_from, "valid_to": row.valid_to, "criteria_stated": row.criteria_stated,
        "sub_indicators_stated": row.sub_indicators_stated, "confidence": row.confidence,
    }  # fmt: skip


@router.get("/criteria-sets", response=list[SetOut], summary="Criteria sets, those in force first")
def list_criteria_sets(request: HttpRequest):  # type: ignore[no-untyped-def]
    return answer_json(200, [_set(row) for row in queries.list_sets()])


@router.get("/criteria-sets/{key}", response=WholeSetOut, summary="One criteria set with its thresholds")
def get_criteria_set(request: HttpRequest, key: str):  # type: ignore[no-untyped-def]
    row = CriteriaSet.objects.filter(key=key).first()
    if row is None:
        raise Http404(f"no criteria set {key}")
    lines = [
        {
            "number": line.criterion.number, "name": line.criterion.name, "confidence": line.criterion.confidence,
            "sub_indicators": [
                {
                    "number": one.part.number, "name": one.part.name, "unit": one.part.unit, "entry": one.part.entry,
                    "metric_key": one.part.metric.key if one.part.metric else None,
                    "confidence": one.part.confidence,
                    "thresholds": [
                        {
                            "comparator": limit.comparator, "amount": limit.amount, "text": limit.text,
                            "region": limit.region, "commune_group": limit.commune_group,
                            "territory_key": limit.territory.key if limit.territory else None,
                            "valid_from": limit.valid_from, "valid_to": limit.valid_to,
                            "confidence": limit.confidence,
                        }
                        for limit in one.thresholds
                    ],
                }
                for one in line.parts
            ],
        }
        for line in queries.read_set(row)
    ]  # fmt: skip
    return answer_json(200, {**_set(row), "criteria": lines})


@router.get(
    "/programmes/{key}/assessments", response=Page[AssessmentOut], summary="Assessments of a programme in scope"
)
def list_assessments(request: HttpRequest, key: str, wanted: Query[AssessmentFilter]):  # type: ignore[no-untyped-def]
    person = person_of(request)
    try:
        programme = queries.get_programme(key, person)
    except Programme.DoesNotExist:
        raise Http404(f"no programme {key} in scope") from None
    rows = Assessment.objects.filter(programme=programme)
    units = queries.visible_units(person, programme)
    if units is not None:
        rows = rows.filter(unit_id__in=units)
    if wanted.year:
        rows = rows.filter(year=wanted.year)
    if wanted.unit_key:
        rows = rows.filter(unit__key=wanted.unit_key)
    if wanted.set_key:
        rows = rows.filter(criterion__criteria_set__key=wanted.set_key)
    if wanted.result:
        rows = rows.filter(result=wanted.result)
    columns = (
        "pk", "unit__key", "unit__name", "criterion__criteria_set__key", "criterion__number", "sub_indicator__number",
        "year", "result", "numerator", "denominator", "measured", "measured_as_printed", "required_comparator",
        "required", "required_as_printed", "agency_as_printed", "solution", "target_quarter_start", "version",
    )  # fmt: skip
    page, cursor = take_page(rows.values_list(*columns), cursor=wanted.cursor, limit=wanted.limit)
    names = tuple(AssessmentOut.model_fields)
    return answer_json(200, {"items": [dict(zip(names, row[1:], strict=True)) for row in page], "next_cursor": cursor})
