"""Reports for programs: what was reported, the frozen content, and the receiver's confirmation."""

from datetime import date, datetime
from typing import Any

from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Field, Query, Router, Schema

from machnuoc.core.api import DEFAULT_PAGE, MAX_PAGE, Page, answer_json, idempotent, person_of, take_page
from machnuoc.reports import operations, queries, snapshot
from machnuoc.reports.errors import NotNow
from machnuoc.reports.models import Delivery, Report

router = Router(tags=["Báo cáo"])


class ReportOut(Schema):
    id: int
    kind: str
    title: str
    organisation_key: str
    recipient_key: str | None
    period: str
    state: str = Field(description="DRAFT, SUBMITTED, RETURNED, APPROVED, ISSUED, SENT or RECEIVED")
    number: str
    issued_on: date | None
    corrects_id: int | None
    is_simulated: bool = Field(description="whether any figure of it is simulated")
    content_sha256: str | None = Field(description="of the newest frozen content; null while nothing is frozen")


class ReportFigureOut(Schema):
    key: str
    label: str
    raw: str = Field(description="exact number with a point; empty where there is none")
    display: str
    source: str


class SectionOut(Schema):
    key: str
    title: str
    text: str
    is_read: bool


class ReportDetail(ReportOut):
    figures: list[ReportFigureOut]
    sections: list[SectionOut]


class SnapshotOut(Schema):
    taken_at: datetime
    content_sha256: str
    content: dict[str, Any] = Field(description="figures with the facts, formulas and bands they rest on, as hashed")


class ReportFilter(Schema):
    kind: str = Field("", max_length=60)
    organisation_key: str = Field("", max_length=120)
    state: str = Field("", pattern="^(DRAFT|SUBMITTED|RETURNED|APPROVED|ISSUED|SENT|RECEIVED)?$")
    year: int | None = Field(None, ge=1990, le=2199)
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)


class ReceiptIn(Schema):
    receipt: str = Field(min_length=1, max_length=300, description="number in the receiver's book, day, who took it")
    delivery_id: int | None = Field(None, description="which sending; the newest one that was sent if not given")


class ReceiptOut(Schema):
    report_id: int
    delivery_id: int
    state: str
    receipt: str
    received_at: datetime


_RELATED = ("organisation__subject", "to_organisation__subject")


@router.get("/reports", response=Page[ReportOut], summary="Reports that the token may read")
def list_reports(request: HttpRequest, wanted: Query[ReportFilter]):  # type: ignore[no-untyped-def]
    reports = queries.list_readable(person_of(request)).select_related(*_RELATED).prefetch_related("snapshots")
    if wanted.kind:
        reports = reports.filter(kind=wanted.kind)
    if wanted.organisation_key:
        reports = reports.filter(organisation__subject__key=wanted.organisation_key)
    if wanted.state:
        reports = reports.filter(state=wanted.state)
    if wanted.year is not None:
        reports = reports.filter(period_start__year=wanted.year)
    rows, cursor = take_page(reports, cursor=wanted.cursor, limit=wanted.limit)
    return answer_json(200, {"items": [_describe(row) for row in rows], "next_cursor": cursor})


def _describe(row: Report) -> dict[str, Any]:
    taken = next(iter(row.snapshots.all()), None)
    return {
        "id": row.pk,
        "kind": row.kind,
        "title": row.title,
        "organisation_key": row.organisation.subject.key,
        "recipient_key": row.to_organisation.subject.key if row.to_organisation else None,
        "period": operations.period_of(row).key,
        "state": row.state,
        "number": row.number,
        "issued_on": row.issued_on,
        "corrects_id": row.corrects_id,
        "is_simulated": row.is_simulated,
        "content_sha256": taken.content_hash if taken else None,
    }


def _get(request: HttpRequest, report_id: int) -> Report:
    report = queries.list_readable(person_of(request)).select_related(*_RELATED).filter(pk=report_id).first()
    if report is None:
        raise Http404("no such report in scope")
    return report


@router.get("/reports/{report_id}", response=ReportDetail, summary="One report with its figures and text")
def get_report(request: HttpRequest, report_id: int):  # type: ignore[no-untyped-def]
    report = _get(request, report_id)
    figures = report.figures.values("key", "label", "raw", "display", "source")
    sections = [
        {"key": row.key, "title": row.title, "text": row.text or row.suggestion, "is_read": row.read_at is not None}
        for row in report.sections.all()
    ]
    return answer_json(200, _describe(report) | {"figures": list(figures), "sections": sections})


@router.get("/reports/{report_id}/snapshot", response=SnapshotOut, summary="What was signed, frozen")
def get_report_snapshot(request: HttpRequest, report_id: int):  # type: ignore[no-untyped-def]
    taken = _get(request, report_id).snapshots.select_related("content").first()
    if taken is None:
        raise Http404("nothing was frozen yet")
    return answer_json(
        200, {"taken_at": taken.taken_at, "content_sha256": taken.content_hash, "content": snapshot.read(taken)}
    )


@router.post("/reports/{report_id}/receipts", response=ReceiptOut, summary="Confirm that a report was received")
@idempotent
def confirm_report(request: HttpRequest, report_id: int, body: ReceiptIn):  # type: ignore[no-untyped-def]
    report = _get(request, report_id)
    operations.require_enter(report, by=person_of(request))
    sent = report.deliveries.filter(state__in=[Delivery.State.SENT, Delivery.State.RECEIVED])
    row = (sent.filter(pk=body.delivery_id) if body.delivery_id is not None else sent).first()
    if row is None:
        raise NotNow(f"«{report.title}» chưa có lần gửi nào để xác nhận.")
    operations.receive(row, body.receipt, by=person_of(request), now=timezone.now())
    row.refresh_from_db()
    return 200, {
        "report_id": report.pk, "delivery_id": row.pk, "state": row.state, "receipt": row.receipt,
        "received_at": row.received_at,
    }  # fmt: skip
