"""What is read about meters: where each hangs, which must be verified again, what happened to each."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from machnuoc.core.models import Person
from machnuoc.customers import visibility
from machnuoc.customers.models import Connection, Fitting, Meter
from machnuoc.places import access

SOON_DAYS = 60
DUE = {
    "past": "Đã quá hạn",
    "soon": f"Đến hạn trong {SOON_DAYS} ngày",
    "unknown": "Chưa rõ ngày kiểm định",
}  # fmt: skip


@dataclass(frozen=True)
class Filters:
    q: str = ""
    work: int = 0
    due: str = ""
    kind: str = ""
    place: str = ""  # "hung", "store"


def list_meters(person: Person, action: str = "serve") -> QuerySet[Meter]:
    """Return the meters that hang (or hung) at connections on which the person may do the action, and those in store
    of the operators within their scope.
    """
    if access.sees_everything(person, action):
        return Meter.objects.all()
    here = Fitting.objects.filter(visibility.within(person, action, "connection__"), meter_id=OuterRef("pk"))
    ever = Fitting.objects.filter(meter_id=OuterRef("pk"))
    own = access.visible_subject_ids(person, action)
    return Meter.objects.filter(Exists(here) | (Q(operator_id__in=own) & ~Exists(ever)))


def with_place(rows: QuerySet[Meter]) -> QuerySet[Meter]:
    """Return the meters with the code of the connection where each hangs now, its work, and since when."""
    live = Fitting.objects.filter(meter_id=OuterRef("pk"), removed_at__isnull=True)
    return rows.annotate(
        connection_code=Subquery(live.values("connection__code")[:1]),
        work_name=Subquery(live.values("connection__work__subject__name")[:1]),
        hung_at=Subquery(live.values("installed_at")[:1]),
    )


def select(person: Person, filters: Filters, *, today: date) -> QuerySet[Meter]:
    """Return the meters that a list asks for; those that are due first come first where the list is about them."""
    rows = list_meters(person)
    if filters.q:
        text = filters.q.strip()
        connections = Connection.objects.filter(code__istartswith=text).values("pk")
        live = Fitting.objects.filter(removed_at__isnull=True, connection__in=connections)
        rows = rows.filter(Q(serial__istartswith=text.upper()) | Q(pk__in=live.values("meter_id")))
    if filters.kind:
        rows = rows.filter(kind=filters.kind)
    hung = Fitting.objects.filter(meter_id=OuterRef("pk"), removed_at__isnull=True)
    if filters.work:
        rows = rows.filter(Exists(hung.filter(connection__work_id=filters.work)))
    if filters.place:
        rows = rows.filter(Exists(hung)) if filters.place == "hung" else rows.filter(~Exists(hung))
    match filters.due:
        case "past":
            return rows.filter(Exists(hung), verification_due_date__lt=today).order_by("verification_due_date", "pk")
        case "soon":
            until = today + timedelta(days=SOON_DAYS)
            return rows.filter(Exists(hung), verification_due_date__range=(today, until)).order_by(
                "verification_due_date", "pk"
            )
        case "unknown":
            return rows.filter(Exists(hung), verification_due_date__isnull=True).order_by("serial")
    return rows.order_by("serial", "pk")


def count_due(person: Person, *, today: date, work_ids: Any = None) -> dict[str, int]:
    """Return how many hanging meters are past their verification, due soon, or of unknown date."""
    hung = Fitting.objects.filter(visibility.within(person, "serve", "connection__"), removed_at__isnull=True)
    if work_ids is not None:
        hung = hung.filter(connection__work_id__in=work_ids)
    until = today + timedelta(days=SOON_DAYS)
    return {
        "past": hung.filter(meter__verification_due_date__lt=today).count(),
        "soon": hung.filter(meter__verification_due_date__range=(today, until)).count(),
        "unknown": hung.filter(meter__verification_due_date__isnull=True).count(),
    }


def past_due_by_work(on_date: date) -> list[tuple[int, int, int]]:
    """Return (work, hanging meters, those past their verification on the day) of every work: for measures."""
    from django.db.models import Count

    rows = Fitting.objects.filter(removed_at__isnull=True).order_by().values_list("connection__work_id")
    return list(rows.annotate(n=Count("pk"), past=Count("pk", filter=Q(meter__verification_due_date__lt=on_date))))


def due_tone(meter: Meter, today: date) -> tuple[str, str, str]:
    """Return (words, tone, icon) of the verification of a meter."""
    due = meter.verification_due_date
    if due is None:
        return "chưa rõ", "neutral", "alert-circle"
    if due < today:
        return "quá hạn", "danger", "alert-triangle"
    if due <= today + timedelta(days=SOON_DAYS):
        return "sắp đến hạn", "warning", "clock"
    return "còn hạn", "good", "circle-check"
