"""What requests add to «Tổng quan», to pages of works and organisations, to a connection's page, and to the map."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Count, Q, Window
from django.urls import reverse
from django.utils import timezone

from machnuoc.core.models import Person
from machnuoc.core.panels import MapLayer, Panel
from machnuoc.customers import clock, request_queries, visibility
from machnuoc.customers.models import Connection, Customer, Request
from machnuoc.places import access
from machnuoc.places.models import Subject

_FIRST = 5
_ON_THE_MAP = 300


def _rows(rows: Any, now: Any) -> list[dict[str, Any]]:
    found = []
    for row in request_queries.ordered(rows, now).select_related("category", "work__subject")[:_FIRST]:
        is_open = row.state in request_queries.OPEN_STATES
        found.append({
            "code": row.code, "category": row.category.name, "work": row.work.subject.name if row.work else "",
            "state": row.get_state_display(), "received_at": row.received_at, "is_simulated": row.is_simulated,
            "left": clock.left_text(row.due_at, now) if row.due_at and is_open else "",
            "is_late": bool(row.due_at and is_open and row.due_at < now), "count": getattr(row, "count", None),
        })  # fmt: skip
    return found


def later_overview(person: Person, region: str) -> list[Panel]:
    """Show what waits for an answer to whoever serves, after the page has come."""
    if region != "now" or not access.may(person, "serve"):
        return []
    now = timezone.now()
    rows = request_queries.visible(person, "serve")
    counts = request_queries.count_open(rows, now)
    if not counts.open:
        return []
    waiting = rows.filter(state__in=request_queries.OPEN_STATES)
    context = {"counts": counts, "rows": _rows(waiting, now), "url": reverse("customers:request_list"), "query": "?"}
    return [Panel("Phản ánh chờ trả lời", "customers/requests/panel.html", context, order=25, region="now")]


def later_for_subject(person: Person, subject: Subject) -> list[Panel]:
    """Show the open requests of a work, or of an organisation that answers for them."""
    now = timezone.now()
    if subject.kind == Subject.Kind.WORK:
        of, query = Q(work_id=subject.pk), f"?work={subject.pk}&"
    elif subject.kind == Subject.Kind.ORGANISATION:
        of, query = Q(unit_id=subject.pk) | Q(operator_id=subject.pk), "?"
    else:
        return []
    rows = request_queries.visible(person).filter(of)
    counts = request_queries.count_open(rows, now)
    if not counts.open:
        return []
    waiting = rows.filter(state__in=request_queries.OPEN_STATES)
    context = {"counts": counts, "rows": _rows(waiting, now), "url": reverse("customers:request_list"), "query": query}
    return [Panel("Phản ánh chờ trả lời", "customers/requests/panel.html", context, order=60)]


def map_layers(person: Person, province: Subject | None) -> list[MapLayer]:
    """Show open requests as points, to a hundred metres."""
    now = timezone.now()
    rows = request_queries.visible(person).filter(
        state__in=request_queries.OPEN_STATES, latitude__isnull=False, longitude__isnull=False
    )
    if province is not None:
        rows = rows.filter(
            Q(work__subject__contained_in__ancestor=province) | Q(place__contained_in__ancestor=province)
        )
        rows = rows.distinct()
    points = [
        {
            "lat": round(row.latitude or 0, 3), "lon": round(row.longitude or 0, 3), "title": row.category.name,
            "text": f"{row.code} · {clock.left_text(row.due_at, now) if row.due_at else 'không có hạn'}",
            "tone": "danger" if row.due_at and row.due_at < now else "warning",
            "url": reverse("customers:request_detail", args=[row.code]),
        }
        for row in rows.select_related("category").order_by("-received_at")[:_ON_THE_MAP]
    ]  # fmt: skip
    return [MapLayer("requests", "Phản ánh chờ trả lời", points, order=60)] if points else []


def later_for_connection(person: Person, connection: Connection) -> Sequence[Panel]:
    """Show on the page of a connection what was asked and complained about, open ones first."""
    now = timezone.now()
    serves = visibility.may(person, "serve", connection)
    rows = Request.objects.filter(connection=connection).annotate(count=Window(Count("pk")))
    found = _rows(rows, now)
    context = {
        "rows": found, "count": found[0]["count"] if found else 0, "serves": serves,
        "in_dispute": bool(found) and request_queries.has_open_dispute(connection.pk),
        "add_url": f"{reverse('customers:request_add')}?connection={connection.code}",
        "order_url": f"{reverse('customers:work_order_add')}?connection={connection.code}",
    }  # fmt: skip
    return [Panel("Phản ánh, khiếu nại", "customers/requests/panel_connection.html", context, order=70)]


def customer_data(customer: Customer) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return what is kept of a customer's requests, for the copy that they may ask for."""
    rows = Request.objects.filter(request_queries.of_customer(customer), request_queries.said_by(customer))
    rows = rows.select_related("category").prefetch_related("events")
    return [(
        "Phản ánh, khiếu nại",
        [
            {
                "Mã": row.code, "Loại": row.category.name, "Nhận lúc": timezone.localtime(row.received_at).isoformat(),
                "Tình trạng": row.get_state_display(), "Nội dung": row.text, "Họ tên": row.name,
                "Điện thoại": row.phone, "Thư điện tử": row.email, "Địa điểm": row.address,
                "Diễn biến": "; ".join(
                    f"{one.get_kind_display()}: {one.text}" for one in row.events.all() if one.is_public
                ),
            }
            for row in rows.order_by("pk")
        ],
    )]  # fmt: skip
