"""What the search box knows of reports: those on their way for the people who make and sign them, issued ones for all
who see the organisation that reports.
"""

from collections.abc import Sequence

from django.db.models import Q
from django.urls import reverse

from machnuoc.core import search
from machnuoc.core.models import Person
from machnuoc.core.vietnamese import format_date
from machnuoc.places import access, search_kinds
from machnuoc.places.models import Subject
from machnuoc.reports import kinds
from machnuoc.reports.models import Report

ISSUED, UNDER_WAY = "report", "report_draft"
OUT = (Report.State.ISSUED, Report.State.SENT, Report.State.RECEIVED)
MAKING = ("enter", "approve", "manage")


def put_reports(reports: Sequence[Report]) -> None:
    """Index reports under title, number, kind, organisation and receiver; an issued one leaves those under way."""
    names = {kind.key: kind.name for kind in kinds.list_kinds()}
    for report in reports:
        is_out = report.state in OUT
        day = f"ngày {format_date(report.issued_on)}" if report.issued_on else ""
        search.remove(UNDER_WAY if is_out else ISSUED, report.pk)
        search.put(
            ISSUED if is_out else UNDER_WAY,
            report.pk,
            title=report.title,
            subtitle=" · ".join(filter(None, [report.organisation.subject.name, report.number, day])),
            url=reverse("reports:detail", args=[report.pk]),
            text=" ".join(
                [names.get(report.kind, ""), report.number, report.organisation.subject.name, report.to_as_printed]
            ),
            subject_id=report.organisation_id,
            weight=8,
        )


def remove_report(report: Report) -> None:
    for kind in (ISSUED, UNDER_WAY):
        search.remove(kind, report.pk)


def put_all() -> None:
    """Index every report anew, as after an upgrade."""
    put_reports(list(Report.objects.select_related("organisation__subject")))


def _makers(person: Person) -> object:
    """Return the organisations whose reports the person writes, signs or manages."""
    inside = Q(pk__in=[])
    for action in MAKING:
        if access.list_scopes(person, action):
            inside |= Q(pk__in=access.visible_subject_ids(person, action))
    return Subject.objects.filter(inside).values("pk")


def register_kinds() -> None:
    """Let the search page show reports."""
    search_kinds.register(ISSUED, "Báo cáo", "file-text", access.visible_subject_ids)
    search_kinds.register(UNDER_WAY, "Báo cáo đang lập", "edit", _makers)
