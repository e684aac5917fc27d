"""Reading of applications: the list, the board by step, how long they wait."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, F, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from machnuoc.core.models import Person
from machnuoc.customers import application_talk, visibility
from machnuoc.customers.application_operations import STAGES
from machnuoc.customers.models import Application
from machnuoc.places import access

BOARD_ROWS = 12


@dataclass(frozen=True)
class ApplicationFilters:
    """What the list is asked for; empty asks for everything.

    stage «OPEN»: all that still wait for a step; «ASKED»: where a question waits for an answer.
    """

    q: str = ""
    work: int = 0
    stage: str = ""


def action_of(person: Person) -> str:
    """Return by which right the person sees applications: serve (unmasked) or view (masked)."""
    return "serve" if access.may(person, "serve") else "view"


def list_applications(person: Person) -> QuerySet[Application]:
    """Return the applications of works that the person serves, or else views (masked), the latest received first."""
    rows = Application.objects.select_related("work__subject", "place", "connection").order_by("-created_at", "-id")
    works = visibility.list_work_ids(person, action_of(person))
    return rows if works is None else rows.filter(work_id__in=works)


def select(person: Person, filters: ApplicationFilters) -> QuerySet[Application]:
    """Return the applications of a list. Who sees them masked finds them by code alone."""
    rows = application_talk.with_talk(list_applications(person))
    if filters.work:
        rows = rows.filter(work_id=filters.work)
    if filters.stage == "OPEN":
        rows = rows.filter(stage__in=STAGES[:4])
    elif filters.stage == "ASKED":
        rows = rows.filter(application_talk.ASKED)
    elif filters.stage:
        rows = rows.filter(stage=filters.stage)
    text = filters.q.strip()
    if text:
        found = Q(code__icontains=text)
        if action_of(person) == "serve":
            found |= Q(name__icontains=text) | Q(address__icontains=text)
            digits = "".join(char for char in text if char.isdigit())
            if len(digits) >= 4:
                found |= Q(phone__startswith=digits)
        rows = rows.filter(found)
    return rows


def get_application(person: Person, code: str) -> Application:
    """Raises Application.DoesNotExist if there is none in the person's sight."""
    return list_applications(person).get(code=code)


@dataclass(frozen=True)
class BoardColumn:
    """One step of the board: how many stand there and the newest of them."""

    stage: str
    title: str
    count: int
    rows: Sequence[Application]


def board(person: Person, filters: ApplicationFilters) -> list[BoardColumn]:
    """Return the steps with what stands there, each with its newest rows, in two queries."""
    rows = select(person, filters).filter(stage__in=STAGES)
    counts = dict(rows.order_by().values_list("stage").annotate(Count("pk")))
    number = Window(RowNumber(), partition_by="stage", order_by=[F("created_at").desc(), F("id").desc()])
    shown = list(rows.annotate(place_in_stage=number).filter(place_in_stage__lte=BOARD_ROWS))
    return [
        BoardColumn(stage, stage.label, counts.get(stage, 0), [one for one in shown if one.stage == stage])
        for stage in STAGES
    ]
