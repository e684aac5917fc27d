"""Metrics, figures with their lineage, and submissions for programs."""

import contextlib
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.utils import timezone
from ninja import Field, Query, Router, Schema

from machnuoc.core import figures, units
from machnuoc.core.api import DEFAULT_PAGE, MAX_PAGE, BadQuery, Page, idempotent, person_of, take_page
from machnuoc.core.periods import BadPeriod, Period
from machnuoc.indicators import entry, entry_queries, lineage, queries
from machnuoc.indicators.models import EntryForm, Metric, Scenario, State, Submission, Value
from machnuoc.places import access
from machnuoc.places.models import Organisation

router = Router(tags=["Chỉ tiêu và số liệu"])
_LINEAGE_ROWS = 200
_MAX_CELLS = 20_000


class FormulaOut(Schema):
    version: int
    numerator: str
    denominator: str
    factor: int
    valid_from: date | None
    valid_to: date | None


class BandOut(Schema):
    code: str
    label: str
    severity: str
    lower: Decimal | None
    lower_inclusive: bool
    upper: Decimal | None
    upper_inclusive: bool


class BandSchemeOut(Schema):
    name: str
    scope_key: str | None
    bands: list[BandOut]


class MetricOut(Schema):
    """A measure or an indicator. confidence «recalled»: the definition has not been read in a legal text."""

    key: str
    kind: str
    name: str
    definition: str
    unit: str
    unit_label: str
    decimals: int
    subject_kind: str
    period_kinds: str
    direction: str
    confidence: str

    @staticmethod
    def of(metric: Metric) -> "MetricOut":
        return MetricOut(
            key=metric.key, kind=metric.kind, name=metric.name, definition=metric.definition, unit=metric.unit,
            unit_label=units.label(metric.unit), decimals=metric.decimals, subject_kind=metric.subject_kind,
            period_kinds=metric.period_kinds, direction=metric.direction, confidence=metric.confidence,
        )  # fmt: skip


class MetricDetailOut(MetricOut):
    formulas: list[FormulaOut]
    band_schemes: list[BandSchemeOut]


class ValueOut(Schema):
    """A figure: a number, a bound (low, high) or a class (band). text: as the screens show it."""

    id: int
    metric_key: str
    subject_key: str
    subject_name: str
    period: str
    scenario: str
    number: Decimal | None
    low: Decimal | None
    low_is_open: bool
    high: Decimal | None
    high_is_open: bool
    text: str
    unit: str
    band_code: str | None
    band_label: str | None
    state: str
    is_simulated: bool
    numerator: Decimal | None
    denominator: Decimal | None
    parts_present: int
    parts_total: int
    version: int
    computed_at: datetime

    @staticmethod
    def of(value: Value) -> "ValueOut":
        metric, formula = value.metric, value.formula

        def scaled(number: int | None, decimals: int = metric.decimals) -> Decimal | None:
            return None if number is None else figures.scale(number, decimals)

        return ValueOut(
            id=value.pk, metric_key=metric.key, subject_key=value.subject.key, subject_name=value.subject.name,
            period=queries.period_of(value).key, scenario=Scenario(value.scenario).name,
            number=scaled(value.number), low=scaled(value.low), low_is_open=value.low_open, high=scaled(value.high),
            high_is_open=value.high_open, text=queries.as_text(value, metric), unit=metric.unit,
            band_code=value.band.code if value.band else None, band_label=value.band.label if value.band else None,
            state=State(value.state).name, is_simulated=value.state == State.SIMULATED,
            numerator=scaled(value.numerator, formula.numerator_decimals) if formula else None,
            denominator=scaled(value.denominator, formula.denominator_decimals) if formula else None,
            parts_present=value.parts_present, parts_total=value.parts_total, version=value.version,
            computed_at=value.computed_at,
        )  # fmt: skip


class FigureOut(ValueOut):
    lineage: dict[str, Any]


class PageFilter(Schema):
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)


class MetricFilter(PageFilter):
    kind: str = Field("", pattern="^(MEASURE|INDICATOR)?$")


class ValueFilter(PageFilter):
    metric_key: str = Field("", max_length=60)
    subject_key: str = Field("", max_length=120)
    within_key: str = Field("", max_length=120, description="all subjects inside this one")
    period: str = Field("", max_length=12, description="2026, 2026-Q3, 2026-02 …")
    scenario: str = Field("ACTUAL", pattern="^(ACTUAL|PLAN)$")


@router.get("/metrics", response=Page[MetricOut], summary="Measures and indicators")
def list_metrics(request: HttpRequest, wanted: Query[MetricFilter]):  # type: ignore[no-untyped-def]
    metrics = Metric.objects.filter(kind=wanted.kind) if wanted.kind else Metric.objects.all()
    rows, cursor = take_page(metrics, cursor=wanted.cursor, limit=wanted.limit)
    return {"items": [MetricOut.of(metric) for metric in rows], "next_cursor": cursor}


@router.get("/metrics/{key}", response=MetricDetailOut, summary="One metric with its formulas and bands")
def get_metric(request: HttpRequest, key: str):  # type: ignore[no-untyped-def]
    metric = get_object_or_404(Metric, key=key)
    return MetricDetailOut(
        **MetricOut.of(metric).dict(),
        formulas=[
            FormulaOut(
                version=row.version, numerator=row.numerator, denominator=row.denominator, factor=row.factor,
                valid_from=row.valid_from, valid_to=row.valid_to,
            )
            for row in queries.list_formulas(metric)
        ],
        band_schemes=[
            BandSchemeOut(
                name=scheme.name, scope_key=scheme.scope.key if scheme.scope else None,
                bands=[
                    BandOut(
                        code=band.code, label=band.label, severity=band.severity, lower=band.lower,
                        lower_inclusive=band.lower_inclusive, upper=band.upper, upper_inclusive=band.upper_inclusive,
                    )
                    for band in levels
                ],
            )
            for scheme, levels in queries.list_band_schemes(metric)
        ],
    )  # fmt: skip


def _readable(request: HttpRequest) -> QuerySet[Value]:
    return Value.objects.filter(queries.readable(person_of(request))).select_related(
        "metric", "subject", "band", "formula", "fact"
    )


@router.get("/values", response=Page[ValueOut], summary="Figures that the token may read")
def list_values(request: HttpRequest, wanted: Query[ValueFilter]):  # type: ignore[no-untyped-def]
    values = _readable(request).filter(scenario=Scenario[wanted.scenario])
    if wanted.metric_key:
        values = values.filter(metric__key=wanted.metric_key)
    if wanted.subject_key:
        values = values.filter(subject__key=wanted.subject_key)
    if wanted.within_key:
        values = values.filter(subject__contained_in__ancestor__key=wanted.within_key)
    if wanted.period:
        period = _period(wanted.period)
        values = values.filter(period_kind=period.kind, period_start=period.start_date)
    rows, cursor = take_page(values, cursor=wanted.cursor, limit=wanted.limit)
    return {"items": [ValueOut.of(value) for value in rows], "next_cursor": cursor}


@router.get(
    "/figures/{value_id}", response=FigureOut, summary="One figure with its lineage down to facts and documents"
)
def get_figure(request: HttpRequest, value_id: int):  # type: ignore[no-untyped-def]
    value = get_object_or_404(_readable(request), pk=_id(value_id))
    tree = lineage.as_data(lineage.lineage(value, person_of(request)))
    return FigureOut(**ValueOut.of(value).dict(), lineage=tree)


def _period(text: str) -> Period:
    try:
        return Period.parse(text)
    except BadPeriod as reason:
        raise BadQuery(f"period: {reason}") from None


def _id(number: int) -> int:
    """Return the id; one that no row can have is simply not there."""
    if not 0 < number < 2**63:
        raise Http404
    return number


# --- submissions ------------------------------------------------------------------------------------------------


class FormOut(Schema):
    key: str
    name: str
    period_kind: str
    metric_keys: list[str]


class CellOut(Schema):
    metric_key: str
    subject_key: str
    number: Decimal | None
    note: str
    is_estimated: bool


class SubmissionOut(Schema):
    id: int
    form_key: str
    organisation_key: str
    period: str
    status: str
    version: int
    is_late: bool
    is_simulated: bool
    submitted_at: datetime | None
    decided_at: datetime | None

    @staticmethod
    def of(row: Submission) -> "SubmissionOut":
        return SubmissionOut(
            id=row.pk, form_key=row.form.key, organisation_key=row.organisation.subject.key,
            period=entry_queries.period_of(row).key, status=row.status, version=row.version, is_late=row.is_late,
            is_simulated=row.is_simulated, submitted_at=row.submitted_at, decided_at=row.decided_at,
        )  # fmt: skip


class SubmissionDetailOut(SubmissionOut):
    cells: list[CellOut]


class SubmissionIn(Schema):
    form_key: str = Field(max_length=60)
    organisation_key: str = Field(max_length=120)
    period: str = Field(max_length=12)


class CellIn(Schema):
    metric_key: str = Field(max_length=60)
    subject_key: str = Field(max_length=120)
    text: str = Field("", max_length=40, description="as a person would type it: 1.288 or 63,6; empty is missing")
    note: str = Field("", max_length=300)
    is_estimated: bool = False
    is_confirmed: bool = False


class CellsIn(Schema):
    version: int = Field(ge=1, description="of the submission as last read; a newer one refuses the write")
    cells: list[CellIn] = Field(max_length=_MAX_CELLS)


class VersionIn(Schema):
    version: int = Field(ge=1)


class CellProblem(Schema):
    metric_key: str
    subject_key: str
    reason: str


@router.get("/forms", response=list[FormOut], summary="Entry forms")
def list_forms(request: HttpRequest):  # type: ignore[no-untyped-def]
    forms = EntryForm.objects.order_by("key").prefetch_related("lines__metric")
    return [
        FormOut(
            key=form.key, name=form.name, period_kind=form.period_kind,
            metric_keys=[line.metric.key for line in form.lines.all()],
        )
        for form in forms
    ]  # fmt: skip


@router.get("/submissions", response=Page[SubmissionOut], summary="Submissions in the token's scope")
def list_submissions(request: HttpRequest, wanted: Query[PageFilter]):  # type: ignore[no-untyped-def]
    rows, cursor = take_page(entry_queries.list_visible(person_of(request)), cursor=wanted.cursor, limit=wanted.limit)
    return {"items": [SubmissionOut.of(row) for row in rows], "next_cursor": cursor}


@router.get("/submissions/{submission_id}", response=SubmissionDetailOut, summary="One submission with its cells")
def get_submission(request: HttpRequest, submission_id: int):  # type: ignore[no-untyped-def]
    return _detail(_visible(request, submission_id))


@router.post("/submissions", response={200: SubmissionDetailOut}, summary="Open a submission, or get the open one")
@idempotent
def open_submission(request: HttpRequest, wanted: SubmissionIn) -> tuple[int, Any]:
    person = person_of(request)
    form = get_object_or_404(EntryForm, key=wanted.form_key)
    visible = Organisation.objects.filter(pk__in=access.visible_subject_ids(person)).select_related("subject")
    organisation = get_object_or_404(visible, subject__key=wanted.organisation_key)
    submission = entry.open_submission(form, organisation, _period(wanted.period), person, timezone.now())
    return 200, _detail(submission).model_dump(mode="json")


@router.put("/submissions/{submission_id}/cells", response={200: dict[str, Any]}, summary="Write cells; good ones stay")
@idempotent
def write_cells(request: HttpRequest, submission_id: int, wanted: CellsIn) -> tuple[int, Any]:
    person = person_of(request)
    submission = _visible(request, submission_id)
    names = {
        (cell.metric.key, cell.subject.key): key for key, cell in entry_queries.list_cells(submission).cells().items()
    }
    keys = {
        (cell.metric_key, cell.subject_key): names.get((cell.metric_key, cell.subject_key)) for cell in wanted.cells
    }
    known = [(keys[cell.metric_key, cell.subject_key], cell) for cell in wanted.cells]
    result = entry.save_cells(
        submission,
        {key: cell.text for key, cell in known if key},
        notes={key: cell.note for key, cell in known if key},
        estimated=[key for key, cell in known if key and cell.is_estimated],
        confirmed=[key for key, cell in known if key and cell.is_confirmed],
        version=wanted.version, by=person, now=timezone.now(),
    )  # fmt: skip
    back = {key: name for name, key in keys.items() if key}
    rejected = [
        {"metric_key": metric_key, "subject_key": subject_key, "reason": "Ô này không có trong biểu của đơn vị."}
        for (metric_key, subject_key), key in keys.items()
        if key is None
    ]
    rejected += [
        {"metric_key": back[key][0], "subject_key": back[key][1], "reason": text} for key, text in result.errors.items()
    ]
    warnings = [
        {"metric_key": back[key][0], "subject_key": back[key][1], "reason": " ".join(texts)}
        for key, texts in result.warnings.items()
        if key in back
    ]
    return 200, {
        "received": len(wanted.cells), "changed": result.saved, "rejected": rejected, "warnings": warnings,
        "version": result.submission.version,
    }  # fmt: skip


@router.post("/submissions/{submission_id}/submit", response={200: SubmissionOut}, summary="Send it to be approved")
@idempotent
def submit(request: HttpRequest, submission_id: int, wanted: VersionIn) -> tuple[int, Any]:
    with _problems():
        sent = entry.submit(
            _visible(request, submission_id), version=wanted.version, by=person_of(request), now=timezone.now()
        )
    return 200, SubmissionOut.of(sent).model_dump(mode="json")


@contextlib.contextmanager
def _problems() -> Iterator[None]:
    """Let the answer name each cell that keeps the sheet from being sent."""
    try:
        yield
    except entry.NotReady as reason:
        raise entry.EntryError(" ".join([str(reason), *reason.problems[:20]])) from None


def _visible(request: HttpRequest, submission_id: int) -> Submission:
    return get_object_or_404(entry_queries.list_visible(person_of(request)), pk=_id(submission_id))


def _detail(submission: Submission) -> SubmissionDetailOut:
    cells = [
        CellOut(
            metric_key=cell.metric.key, subject_key=cell.subject.key, number=cell.number, note=cell.note,
            is_estimated=cell.is_estimated,
        )
        for cell in entry_queries.list_cells(submission).cells().values()
    ]  # fmt: skip
    return SubmissionDetailOut(**SubmissionOut.of(submission).dict(), cells=cells)
