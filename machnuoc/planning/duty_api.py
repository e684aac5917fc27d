"""Report duties for programs: what is owed when, and that it was sent."""

from datetime import date
from typing import Any

from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Field, Query, Router, Schema

from machnuoc.core.api import DEFAULT_PAGE, MAX_PAGE, Page, answer_json, idempotent, person_of, take_page
from machnuoc.planning import duty_operations as operations
from machnuoc.planning import duty_queries as queries
from machnuoc.planning.models import Duty, DutyInstance

router = Router(tags=["Lịch báo cáo"])


class DutyOut(Schema):
    key: str
    name: str
    plan_key: str | None
    territory_key: str
    timing: str
    rule: str = Field(description="RFC 5545; empty for ad hoc duties")
    edge: str = Field(
        description="INCLUSIVE, EXCLUSIVE (the day of the rule is too late) or WITHIN (to the month's end)"
    )
    words: str = Field(description="the rule in Vietnamese words")
    starts_on: date | None
    ends_on: date | None
    period_kind: str
    recipient_key: str | None
    recipient_ended_on: date | None
    unit_keys: list[str]
    is_active: bool
    source: str | None


class InstanceOut(Schema):
    id: int
    duty_key: str
    organisation_key: str
    organisation: str
    last_day: date = Field(description="the last day on time")
    grace_until: date
    period: str | None
    state: str = Field(description="NOT_OPEN, UPCOMING, DUE, OVERDUE, ON_TIME, LATE or WAIVED, as of today")
    reason: str = Field(description="why it was asked for, of ad hoc reports")
    submitted_on: date | None
    submitted_note: str


class DutyFilter(Schema):
    plan_key: str = Field("", max_length=60)
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)


class InstanceFilter(Schema):
    duty_key: str = Field("", max_length=80)
    organisation_key: str = Field("", max_length=120)
    state: str = Field("", pattern="^(NOT_OPEN|UPCOMING|DUE|OVERDUE|ON_TIME|LATE|WAIVED)?$")
    from_date: date | None = Field(None, description="last_day from")
    to_date: date | None = Field(None, description="last_day before")
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)


class SubmitIn(Schema):
    submitted_on: date
    note: str = Field(min_length=1, max_length=300, description="number of the document, address or way of sending")


@router.get("/duties", response=Page[DutyOut], summary="Report duties that the token may read")
def list_duties(request: HttpRequest, wanted: Query[DutyFilter]):  # type: ignore[no-untyped-def]
    duties = queries.list_readable(person_of(request)).select_related(
        "plan", "subject", "to_organisation__subject", "passage__document"
    )
    if wanted.plan_key:
        duties = duties.filter(plan__key=wanted.plan_key)
    rows, cursor = take_page(
        duties.prefetch_related("units__organisation__subject"), cursor=wanted.cursor, limit=wanted.limit
    )
    today = timezone.localdate()
    return answer_json(200, {"items": [_describe_duty(row, today) for row in rows], "next_cursor": cursor})


def _describe_duty(duty: Duty, today: date) -> dict[str, Any]:
    recipient = duty.to_organisation
    return {
        "key": duty.key,
        "name": duty.name,
        "plan_key": duty.plan.key if duty.plan else None,
        "territory_key": duty.subject.key,
        "timing": duty.timing,
        "rule": duty.rule,
        "edge": duty.edge,
        "words": queries.describe(duty),
        "starts_on": duty.starts_on,
        "ends_on": duty.ends_on,
        "period_kind": duty.period_kind,
        "recipient_key": recipient.subject.key if recipient else None,
        "recipient_ended_on": queries.ended_on(recipient, today),
        "unit_keys": sorted(unit.organisation.subject.key for unit in duty.units.all()),
        "is_active": duty.is_active,
        "source": str(duty.passage) if duty.passage else None,
    }


_RELATED = ("duty", "organisation__subject")


@router.get("/duty-instances", response=Page[InstanceOut], summary="Each time that a report is owed")
def list_duty_instances(request: HttpRequest, wanted: Query[InstanceFilter]):  # type: ignore[no-untyped-def]
    today = timezone.localdate()
    instances = queries.list_instances(person_of(request)).select_related(*_RELATED)
    if wanted.duty_key:
        instances = instances.filter(duty__key=wanted.duty_key)
    if wanted.organisation_key:
        instances = instances.filter(organisation__subject__key=wanted.organisation_key)
    if wanted.state:
        instances = instances.filter(queries.in_state(wanted.state, today))
    if wanted.from_date:
        instances = instances.filter(last_day__gte=wanted.from_date)
    if wanted.to_date:
        instances = instances.filter(last_day__lt=wanted.to_date)
    rows, cursor = take_page(instances, cursor=wanted.cursor, limit=wanted.limit)
    return answer_json(200, {"items": [_describe_instance(row, today) for row in rows], "next_cursor": cursor})


def _describe_instance(row: DutyInstance, today: date) -> dict[str, Any]:
    period = queries.period_of(row)
    return {
        "id": row.pk,
        "duty_key": row.duty.key,
        "organisation_key": row.organisation.subject.key,
        "organisation": row.organisation.subject.name,
        "last_day": row.last_day,
        "grace_until": row.grace_until,
        "period": period.key if period else None,
        "state": queries.standing_of(row, today).state.value,
        "reason": row.reason,
        "submitted_on": row.submitted_on,
        "submitted_note": row.submitted_note,
    }


@router.post("/duty-instances/{instance_id}/submit", response=InstanceOut, summary="Record that a report was sent")
@idempotent
def submit_duty_instance(request: HttpRequest, instance_id: int, body: SubmitIn):  # type: ignore[no-untyped-def]
    person, today = person_of(request), timezone.localdate()
    found = queries.list_instances(person).select_related(*_RELATED).filter(pk=instance_id).first()
    if found is None:
        raise Http404(f"no instance {instance_id} in scope")
    sent = operations.submit(found, submitted_on=body.submitted_on, note=body.note, today=today, by=person)
    return 200, _describe_instance(sent, today)
