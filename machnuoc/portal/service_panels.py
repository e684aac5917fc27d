"""What services add to the customer's first page, to the page of a connection and to that of the account.

Their titles stand in their templates, as headings of the second rank: here a panel stands right below the title.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef

from machnuoc.billing.models import Bill
from machnuoc.core import periods
from machnuoc.core.panels import Panel
from machnuoc.customers import notice_queries, notice_views, plausibility, reading_queries, request_queries
from machnuoc.customers.models import Connection, Reading
from machnuoc.customers.reading_desk import WARNED
from machnuoc.portal import service_queries
from machnuoc.portal.models import PortalAccount
from machnuoc.portal.service_request_views import dress

_WARNINGS_MOST = 5  # on one page
_WARNED_FOR = timedelta(days=62)  # after that the bill is there, or the office has seen to it
_OPEN_ROWS = 3


@dataclass(frozen=True)
class OddUse:
    """A reading with odd use that is in no bill yet. volume_l, usual_l: since the reading before; None if unknown."""

    reading: Reading
    name: str
    title: str
    volume_l: int | None
    usual_l: int | None
    is_waiting: bool
    is_zero: bool


def warnings_of(connections: list[Connection], now: datetime) -> list[OddUse]:
    """Return the odd readings of the connections before their bills are out: in three queries, in one if none is."""
    named = {one.pk: one for one in connections}
    billed = Bill.objects.filter(connection=OuterRef("connection"), period_start_date=OuterRef("period_start_date"))
    rows = Reading.objects.filter(
        ~Exists(billed), ~request_queries.passed_on("read_at"), connection_id__in=list(named),
        read_at__gte=now - _WARNED_FOR, period_start_date__isnull=False, index_l__isnull=False,
        state__in=[Reading.State.ACCEPTED, Reading.State.SUSPECT],
    ).order_by("connection_id", "-read_at")  # fmt: skip
    odd = [one for one in rows if set(WARNED) & set(one.flags)][:_WARNINGS_MOST]
    known = reading_queries.meter_facts_before([(one.connection_id, one.period_start_date) for one in odd])
    found = []
    for one in odd:
        connection = named[one.connection_id]
        facts = known.get((one.connection_id, one.period_start_date))
        volume = usual = None
        if facts is not None and one.index_l is not None and one.index_l >= facts.before_l:
            volume = one.index_l - facts.before_l
            if facts.mean is not None:
                days = max((periods.local_date(one.read_at) - facts.before_date).days, 1)
                usual = round(facts.mean[0] * days / facts.mean[1] / 1000) * 1000
        title = next(plausibility.WARNINGS[key].title for key in one.flags if key in WARNED)
        found.append(
            OddUse(
                one, getattr(connection, "nickname", "") or connection.code, title, volume, usual,
                one.state == Reading.State.SUSPECT, "ZERO" in one.flags,
            )
        )  # fmt: skip
    return found


def for_home(account: PortalAccount, connections: list[Connection], now: datetime) -> list[Panel]:
    found = []
    told = notice_views.dress(list(notice_queries.of_connections(connections, now)), now, says_where=False)
    live = [one for one in told if one.state_tone != "neutral"]
    if live:
        context = {"notices": live[:3]}
        found.append(Panel("", "portal/services/panel_notices.html", context, order=10))
    odd = warnings_of(connections, now)
    if odd:
        context = {"warnings": odd}
        found.append(Panel("", "portal/services/panel_warnings.html", context, order=20))
    waiting = service_queries.list_requests(account).filter(state__in=["NEW", "ASSIGNED", "ANSWERED"])
    rows = list(waiting[:_OPEN_ROWS])
    if rows:
        context = {"rows": dress(rows, now)}
        found.append(Panel("", "portal/services/panel_requests.html", context, order=30))
    return found


def for_connection_page(account: PortalAccount, connection: Connection, now: datetime) -> list[Panel]:
    found = []
    odd = warnings_of([connection], now)
    if odd:
        found.append(
            Panel("", "portal/services/panel_warnings.html", {"warnings": odd}, order=10)
        )  # fmt: skip
    contracts = list(service_queries.list_contracts(account).filter(connection=connection))
    context = {"connection": connection, "contracts": contracts}
    found.append(Panel("", "portal/services/panel_services.html", context, order=60))
    return found


def for_account_page(account: PortalAccount, connections: list[Connection], now: datetime) -> list[Panel]:
    return [Panel("", "portal/services/panel_account.html", {}, order=50)]
