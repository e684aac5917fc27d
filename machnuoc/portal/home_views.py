"""The first page of a customer, and the page of one connection."""

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from machnuoc.core import files
from machnuoc.core.periods import local_date
from machnuoc.customers.models import Application
from machnuoc.portal import links, money_queries, pieces, queries, service_forms
from machnuoc.portal.sessions import CustomerRequest, require_customer

_APPLICATIONS_SHOWN = 3


@never_cache
@require_safe
@require_customer
def home(request: CustomerRequest) -> HttpResponse:
    """Show what is owed and until when, what was used, and what customers should know today."""
    now = timezone.now()
    account = request.customer_account
    applications = links.list_applications(account.address, now)
    connections = queries.read_connections(account)
    if {one.connection_id for one in applications} - {None, *(one.pk for one in connections)}:  # installed just now
        links.refresh(account, now)
        connections = queries.read_connections(account)
    standings, former = money_queries.standings_and_former(account, connections, local_date(now))
    context = {
        "standings": standings,
        "panels": pieces.list_for_home(request.customer_account, connections, now),
        "is_applicant": bool(applications),
        "rows": _still_running(applications),
        "former": former,
        "waiting": list(money_queries.list_waiting_orders(request.customer_account, now)[:3]),
    }
    return render(request, "portal/home.html", context)


def _still_running(applications: list[Application]) -> list[tuple[Application, str]]:
    """Return the applications that have not come to their end, each with the tone of its tag."""
    ended = {Application.Stage.REFUSED, Application.Stage.WITHDRAWN, Application.Stage.BILLED}
    return [(one, service_forms.tone_of(one)) for one in applications if one.stage not in ended][:_APPLICATIONS_SHOWN]


@never_cache
@require_safe
@require_customer
def connection(request: CustomerRequest, pk: int) -> HttpResponse:
    """Show one connection: what it owes, the use of twelve months, the meter and its last reading."""
    account, now = request.customer_account, timezone.now()
    one = queries.require_connection(account, pk)
    (standing,) = money_queries.standings(account, [one], local_date(now))
    context = {
        "connection": one, "standing": standing, "bars": _bars(standing.months),
        "fitting": money_queries.find_fitting(one), "reading": money_queries.find_last_reading(one),
        "panels": pieces.list_for_connection_page(account, one, now),
    }  # fmt: skip
    return render(request, "portal/connection.html", context)


_WIDTH, _HEIGHT, _GAP = 360, 120, 6


def _bars(months: list[money_queries.MonthUse]) -> list[dict[str, object]]:
    """Return the rectangles of the chart, in the units of its picture."""
    if not months:
        return []
    width = (_WIDTH - _GAP * (len(months) - 1)) / len(months)
    width = min(width, 44)
    return [
        {
            "x": round(number * (width + _GAP), 1), "width": round(width, 1), "height": max(2, one.bar_pct),
            "y": _HEIGHT - 20 - max(2, one.bar_pct) * 0.86, "bar": max(2, one.bar_pct) * 0.86,
            "middle": round(number * (width + _GAP) + width / 2, 1), "month": one,
        }
        for number, one in enumerate(months)
    ]  # fmt: skip


@never_cache
@require_safe
@require_customer
def reading_photo(request: CustomerRequest, pk: int, reading: int) -> HttpResponseBase:
    one, _ = queries.require_billed(request.customer_account, pk)
    return files.as_download(money_queries.require_photo(request.customer_account, one, reading))
