"""What rounds of reading add to «Tổng quan»: routes that are past their day, to who walks them."""

from collections import defaultdict
from datetime import date

from django.utils import timezone

from machnuoc.core.models import Person
from machnuoc.core.panels import Panel
from machnuoc.customers import field_queries, plausibility, reading_desk
from machnuoc.customers.models import Round
from machnuoc.places import access

_SHOWN = 20  # rounds of one person
_MONTHS = 2  # queries grow with the months


def later_overview(person: Person, region: str) -> list[Panel]:
    """Show a reader the own routes that have come to their reading day and miss houses."""
    if region != "now" or not access.may(person, "read_meters"):
        return []
    today = timezone.localdate()
    own = list(field_queries.list_rounds(person).filter(route__reader=person)[:_SHOWN])
    due = [one for one in own if _due(one) <= today]
    months = sorted({one.period_start_date for one in due}, reverse=True)[:_MONTHS]
    by_month: dict[date, list[Round]] = defaultdict(list)
    for one in due:
        by_month[one.period_start_date].append(one)
    rows = []
    for month in months:
        counts = reading_desk.count_rounds([one.route_id for one in by_month[month]], month)
        for one in by_month[month]:
            if missing := counts[one.route_id].missing:
                rows.append((one, missing, (today - _due(one)).days))
    if not rows:
        return []
    return [Panel("Tuyến cần ghi", "customers/readings/due_panel.html", {"rows": rows}, order=10, region="now")]


def _due(one: Round) -> date:
    return plausibility.reading_day(one.period_start_date, one.route.read_day)
