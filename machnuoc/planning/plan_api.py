"""Plans and targets with their standing, for programs."""

from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from ninja import Field, Query, Router, Schema

from machnuoc.core.api import DEFAULT_PAGE, MAX_PAGE, Page, answer_json, person_of, take_page
from machnuoc.core.models import Person
from machnuoc.planning import plan_queries
from machnuoc.planning.models import Plan, Target

router = Router(tags=["Kế hoạch"])


class PlanOut(Schema):
    key: str
    name: str
    short_name: str
    number: str | None
    issuer_key: str | None
    territory_key: str
    valid_from: date | None
    valid_to: date | None
    status: str


class TargetOut(Schema):
    """A target and where it stands. reached and forecast are in `unit`; null where the token may not read figures."""

    id: int
    plan_key: str
    key: str
    name: str
    subject_key: str
    metric_key: str | None
    measured_as: str
    comparator: str
    comparator_as_printed: str
    amount: Decimal | None
    upper: Decimal | None
    unit: str
    due_on: date | None
    section: str
    parent_key: str | None
    status: str
    reached: Decimal | None
    forecast: Decimal | None
    forecast_low: Decimal | None
    forecast_high: Decimal | None
    reason: str | None
    value_id: int | None
    computed_on: date | None


class PlanFilter(Schema):
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)


class TargetFilter(Schema):
    plan_key: str = Field("", max_length=60)
    status: str = Field("", pattern="^(MET|ON_TRACK|AT_RISK|MISSED|EXPIRED|NO_DATA)?$")
    subject_key: str = Field("", max_length=120)
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "key": plan.key, "name": plan.name, "short_name": plan.short_name,
        "number": plan.document.number or None if plan.document else None,
        "issuer_key": plan.issuer.subject.key if plan.issuer else None, "territory_key": plan.territory.key,
        "valid_from": plan.valid_from, "valid_to": plan.valid_to, "status": plan.status,
    }  # fmt: skip


def _targets(person: Person) -> QuerySet[Target]:
    return plan_queries.visible_targets(person).select_related("plan", "subject", "metric", "parent", "standing")


def _describe(person: Person, targets: list[Target]) -> list[dict[str, Any]]:
    seen = plan_queries.readable_subject_ids(person, {target.subject_id for target in targets})
    rows = []
    for target in targets:
        stood = getattr(target, "standing", None)
        shows = stood is not None and target.subject_id in seen
        figures = ("reached", "forecast", "forecast_low", "forecast_high", "reason", "value_id")
        rows.append(
            {
                "id": target.pk, "plan_key": target.plan.key, "key": target.key, "name": target.name,
                "subject_key": target.subject.key, "metric_key": target.metric.key if target.metric else None,
                **{
                    name: getattr(target, name)
                    for name in (
                        "measured_as", "comparator", "comparator_as_printed", "amount", "upper", "unit", "due_on",
                        "section",
                    )
                },
                "parent_key": target.parent.key if target.parent else None,
                "status": plan_queries.status_of(target),
                **{name: getattr(stood, name) if shows else None for name in figures},
                "computed_on": stood.computed_on if stood else None,
            }
        )  # fmt: skip
    return rows


@router.get("/plans", response=Page[PlanOut], summary="Plans in the token's scope")
def list_plans(request: HttpRequest, wanted: Query[PlanFilter]):  # type: ignore[no-untyped-def]
    plans = plan_queries.visible_plans(person_of(request)).select_related("document", "issuer__subject", "territory")
    rows, cursor = take_page(plans, cursor=wanted.cursor, limit=wanted.limit)
    return answer_json(200, {"items": [_plan(plan) for plan in rows], "next_cursor": cursor})


@router.get("/plans/{key}", response=PlanOut, summary="One plan")
def get_plan(request: HttpRequest, key: str):  # type: ignore[no-untyped-def]
    try:
        return answer_json(200, _plan(plan_queries.get_plan(key, person_of(request))))
    except Plan.DoesNotExist:
        raise Http404(f"no plan {key} in scope") from None


@router.get("/targets", response=Page[TargetOut], summary="Targets of plans with where they stand")
def list_targets(request: HttpRequest, wanted: Query[TargetFilter]):  # type: ignore[no-untyped-def]
    person = person_of(request)
    targets = _targets(person)
    if wanted.plan_key:
        targets = targets.filter(plan__key=wanted.plan_key)
    if wanted.status:
        targets = targets.filter(standing__status=wanted.status)
    if wanted.subject_key:
        targets = targets.filter(subject__key=wanted.subject_key)
    rows, cursor = take_page(targets, cursor=wanted.cursor, limit=wanted.limit)
    return answer_json(200, {"items": _describe(person, rows), "next_cursor": cursor})


@router.get("/targets/{target_id}", response=TargetOut, summary="One target with where it stands")
def get_target(request: HttpRequest, target_id: int):  # type: ignore[no-untyped-def]
    person = person_of(request)
    found = _targets(person).filter(pk=target_id).first()
    if found is None:
        raise Http404(f"no target {target_id} in scope")
    return answer_json(200, _describe(person, [found])[0])
