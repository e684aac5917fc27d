"""Water works for programs."""

from datetime import date
from decimal import Decimal

from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Field, Query, Router, Schema

from machnuoc.core import search
from machnuoc.core.api import DEFAULT_PAGE, MAX_PAGE, Page, person_of, take_page
from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.works import search_entries
from machnuoc.works.models import Capacity, ServiceArea, Work

router = Router(tags=["Công trình"])


class CapacityOut(Schema):
    kind: str
    basis: str
    amount: Decimal
    valid_from: date | None
    valid_to: date | None
    source: str | None


class WorkOut(Schema):
    key: str
    name: str
    kind: str
    sector: str
    status: str
    parent_key: str | None
    operator_key: str | None
    latitude: float | None
    longitude: float | None
    capacities: list[CapacityOut]
    serves: list[str]

    @staticmethod
    def of(work: Work) -> "WorkOut":
        subject = work.subject
        return WorkOut(
            key=subject.key, name=subject.name, kind=work.kind, sector=work.sector, status=work.status,
            parent_key=work.parent.subject.key if work.parent else None,
            operator_key=work.operator.subject.key if work.operator else None,
            latitude=subject.latitude, longitude=subject.longitude,
            capacities=[
                CapacityOut(
                    kind=row.kind, basis=row.basis, amount=row.amount, valid_from=row.valid_from,
                    valid_to=row.valid_to, source=str(row.passage) if row.passage else None,
                )
                for row in work.capacities.all()
            ],
            serves=[area.place.key for area in work.service_areas.all()],
        )  # fmt: skip


class WorkFilter(Schema):
    q: str = Field("", max_length=100, description="any part of the name, with or without diacritics")
    sector: str = Field("", pattern="^(RURAL|URBAN)?$")
    status: str = Field("", pattern="^(RUNNING|STOPPED|BUILDING|HANDOVER|UNKNOWN)?$")
    within_key: str = Field("", max_length=120, description="key of a unit or organisation")
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)


def _visible(person: Person) -> QuerySet[Work]:
    works = Work.objects.filter(pk__in=access.visible_subject_ids(person))
    return works.select_related("subject", "parent__subject", "operator__subject").prefetch_related(
        Prefetch("capacities", Capacity.objects.select_related("passage__document")),
        Prefetch("service_areas", ServiceArea.objects.filter(valid_to__isnull=True).select_related("place")),
    )


@router.get("/works", response=Page[WorkOut], summary="Water works in the token's scope")
def list_works(request: HttpRequest, wanted: Query[WorkFilter]):  # type: ignore[no-untyped-def]
    works = _visible(person_of(request))
    if wanted.q.strip():
        works = works.filter(pk__in=search.matching_ids(search_entries.WORK, wanted.q))
    if wanted.sector:
        works = works.filter(sector=wanted.sector)
    if wanted.status:
        works = works.filter(status=wanted.status)
    if wanted.within_key:
        works = works.filter(subject__contained_in__ancestor__key=wanted.within_key)
    rows, cursor = take_page(works, cursor=wanted.cursor, limit=wanted.limit)
    return {"items": [WorkOut.of(work) for work in rows], "next_cursor": cursor}


@router.get("/works/{key}", response=WorkOut, summary="One water work")
def get_work(request: HttpRequest, key: str):  # type: ignore[no-untyped-def]
    return WorkOut.of(get_object_or_404(_visible(person_of(request)), subject__key=key))
