"""Water works for programs."""

from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from ninja import Field, Query, Router, Schema

from machnuoc.core import search
from machnuoc.core.api import DEFAULT_PAGE, MAX_PAGE, Page, answer_json, person_of, take_page
from machnuoc.core.models import Passage, Person
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


class WorkFilter(Schema):
    q: str = Field("", max_length=100, description="any part of the name, with or without diacritics")
    sector: str = Field("", pattern="^(RURAL|URBAN)?$")
    status: str = Field("", pattern="^(RUNNING|STOPPED|BUILDING|HANDOVER|UNKNOWN)?$")
    within_key: str = Field("", max_length=120, description="key of a unit or organisation")
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)


# The primary key, then the fields of WorkOut up to its lists.
_COLUMNS = (
    "pk", "subject__key", "subject__name", "kind", "sector", "status", "parent__subject__key",
    "operator__subject__key", "subject__latitude", "subject__longitude",
)  # fmt: skip
_FIELDS = tuple(WorkOut.model_fields)[: len(_COLUMNS) - 1]


def _visible(person: Person) -> QuerySet[Work]:
    works = Work.objects.all()
    return works if access.sees_everything(person) else works.filter(pk__in=access.visible_subject_ids(person))


def _describe(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Return works (their _COLUMNS) as WorkOut says, in plain data. Three queries."""
    capacities: dict[int, list[dict[str, Any]]] = {row[0]: [] for row in rows}
    serves: dict[int, list[str]] = {row[0]: [] for row in rows}
    found = list(
        Capacity.objects.filter(work_id__in=capacities).values_list(
            "work_id", "kind", "basis", "amount", "valid_from", "valid_to", "passage_id"
        )
    )
    sources: dict[int | None, str] = {
        passage.pk: str(passage)
        for passage in Passage.objects.filter(pk__in={row[-1] for row in found}).select_related("document")
    }
    for work_id, kind, basis, amount, valid_from, valid_to, passage_id in found:
        capacities[work_id].append(
            {
                "kind": kind,
                "basis": basis,
                "amount": amount,
                "valid_from": valid_from,
                "valid_to": valid_to,
                "source": sources.get(passage_id),
            }
        )
    areas = ServiceArea.objects.filter(work_id__in=serves, valid_to__isnull=True)
    for work_id, key in areas.values_list("work_id", "place__key"):
        serves[work_id].append(key)
    return [
        {**dict(zip(_FIELDS, row[1:], strict=True)), "capacities": capacities[row[0]], "serves": serves[row[0]]}
        for row in rows
    ]


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
    rows, cursor = take_page(works.values_list(*_COLUMNS), cursor=wanted.cursor, limit=wanted.limit)
    return answer_json(200, {"items": _describe(rows), "next_cursor": cursor})


@router.get("/works/{key}", response=WorkOut, summary="One water work")
def get_work(request: HttpRequest, key: str):  # type: ignore[no-untyped-def]
    found = list(_visible(person_of(request)).filter(subject__key=key).values_list(*_COLUMNS))
    if not found:
        raise Http404(f"no work {key} in scope")
    return answer_json(200, _describe(found)[0])
