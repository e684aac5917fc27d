"""Projects and handovers for programs."""

from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Field, Query, Router, Schema

from machnuoc.core import search
from machnuoc.core.api import DEFAULT_PAGE, MAX_PAGE, Page, answer_json, idempotent, person_of, take_page
from machnuoc.indicators import operations as indicator_operations
from machnuoc.planning import project_export, project_operations, project_queries
from machnuoc.planning.models import Project

router = Router(tags=["Dự án"])


class ProjectOut(Schema):
    key: str
    name: str
    plan: str
    owner: str
    status: str
    total_vnd: int | None
    total_as_printed: str
    due_on: date | None
    year: int
    planned_vnd: int | None
    paid_vnd: int | None
    rate_pct: str | None
    accepted_vnd: int
    debt_vnd: int
    people_expected: int | None
    people_reached: int | None
    warnings: list[str]
    is_simulated: bool


class ProjectFilter(Schema):
    q: str = Field("", max_length=100, description="any part of the name, with or without diacritics")
    status: str = Field("", pattern="^(PREPARING|BUILDING|FINISHED|SETTLED|STOPPED|UNKNOWN)?$")
    year: int = Field(0, ge=0, le=2200, description="year of the money; 0 is this year")
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)


class DisbursementIn(Schema):
    on_date: date
    amount_vnd: int = Field(ge=1, lt=2**62)
    from_carry_over: bool = False
    voucher: str = Field("", max_length=120)
    note: str = Field("", max_length=300)


class DisbursementOut(Schema):
    id: int
    project_key: str
    on_date: date
    amount_vnd: int


def _describe(ids: list[int], year: int) -> list[dict[str, Any]]:
    today = timezone.localdate()
    year = year if year >= 1990 else today.year
    rows = project_queries.read_rows(Project.objects.filter(pk__in=ids), year=year, today=today)
    return [
        {
            "key": row.key, "name": row.name, "plan": row.plan, "owner": row.owner, "status": row.status,
            "total_vnd": row.total_vnd, "total_as_printed": row.total_as_printed, "due_on": row.due_on, "year": year,
            "planned_vnd": row.planned_vnd, "paid_vnd": row.paid_vnd,
            "rate_pct": None if row.rate_pct is None else str(row.rate_pct), "accepted_vnd": row.accepted_vnd,
            "debt_vnd": row.debt_vnd, "people_expected": row.people_expected, "people_reached": row.people_reached,
            "warnings": row.warnings, "is_simulated": row.is_simulated,
        }
        for row in sorted(rows, key=lambda row: row.pk)
    ]  # fmt: skip


@router.get("/projects", response=Page[ProjectOut], summary="Projects in the token's reach, with their money")
def list_projects(request: HttpRequest, wanted: Query[ProjectFilter]):  # type: ignore[no-untyped-def]
    projects = project_queries.list_readable(person_of(request))
    if wanted.q.strip():
        projects = projects.filter(pk__in=search.matching_ids(project_operations.PROJECT, wanted.q))
    if wanted.status:
        projects = projects.filter(status=wanted.status)
    found, cursor = take_page(projects.values_list("pk"), cursor=wanted.cursor, limit=wanted.limit)
    return answer_json(200, {"items": _describe([row[0] for row in found], wanted.year), "next_cursor": cursor})


class PackageFilter(Schema):
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)


@router.get(
    "/projects/oc4ids",
    response=dict[str, Any],
    summary="Projects in the token's reach, as packages of OC4IDS 0.9",
    description="A package has no room for the address of the next one: it stands in the header `Link` (rel=next) "
    "until there is no more. All projects in one file: «OC4IDS (JSON)» on the page of projects.",
)
def export_oc4ids(request: HttpRequest, wanted: Query[PackageFilter]):  # type: ignore[no-untyped-def]
    found, cursor = take_page(
        project_queries.list_readable(person_of(request)).values_list("pk"), cursor=wanted.cursor, limit=wanted.limit
    )
    address = request.build_absolute_uri(request.path)
    package = project_export.make_package(
        [row[0] for row in found], uri=request.build_absolute_uri(), now=timezone.now(), today=timezone.localdate()
    )
    answer = answer_json(200, package)
    if cursor:
        answer["Link"] = f'<{address}?{urlencode({"cursor": cursor, "limit": wanted.limit})}>; rel="next"'
    return answer


def _get(request: HttpRequest, key: str) -> Any:
    try:
        return project_queries.get_project(key, person_of(request))
    except Project.DoesNotExist:
        raise Http404(f"no project {key} in reach") from None


@router.get("/projects/{key}", response=ProjectOut, summary="One project")
def get_project(request: HttpRequest, key: str):  # type: ignore[no-untyped-def]
    return answer_json(200, _describe([_get(request, key).pk], 0)[0])


@router.post("/projects/{key}/disbursements", response={200: DisbursementOut}, summary="Record money paid out")
@idempotent
def disburse(request: HttpRequest, key: str, wanted: DisbursementIn) -> tuple[int, Any]:
    project = _get(request, key)
    person = person_of(request)
    if not project_queries.may_enter(project):
        raise PermissionDenied("Người của chủ đầu tư hoặc đơn vị thực hiện dự án mới ghi được giải ngân.")
    made = project_operations.disburse(
        project, on_date=wanted.on_date, amount_vnd=wanted.amount_vnd, from_carry_over=wanted.from_carry_over,
        voucher=wanted.voucher, note=wanted.note, today=timezone.localdate(), by=person,
    )  # fmt: skip
    indicator_operations.recompute_dirty(timezone.now())
    return 200, {"id": made.pk, "project_key": key, "on_date": made.on_date, "amount_vnd": made.amount_vnd}
