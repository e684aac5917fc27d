"""Pages of what a customer asks for or tells: an index, another norm, a new connection; contract papers, notices."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from machnuoc.core import files
from machnuoc.customers import notice_queries, reading_queries, request_operations
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Reading
from machnuoc.customers.notice_views import dress, with_where
from machnuoc.portal import queries, service_forms, service_operations, service_queries
from machnuoc.portal.errors import PortalError
from machnuoc.portal.sessions import CustomerRequest, require_customer

_get_or_post = require_http_methods(["GET", "HEAD", "POST"])
_TONES = {
    Reading.State.ACCEPTED: "good", Reading.State.SUSPECT: "warning", Reading.State.CONFLICT: "warning",
    Reading.State.REFUSED: "danger", Reading.State.SUPERSEDED: "neutral",
}  # fmt: skip


def told_rows(rows: list[Reading]) -> list[Reading]:
    """Give readings what a row shows of them."""
    for row in rows:
        shown: Any = row
        shown.tone = _TONES[Reading.State(row.state)]
        shown.use = f"kỳ {row.period_start_date:%m/%Y}" if row.period_start_date else "tham khảo"
    return rows


@never_cache
@_get_or_post
@require_customer
def self_reading(request: CustomerRequest, pk: int) -> HttpResponse:
    """Take an index that a customer reads off their meter, with its photo; show what became of earlier ones."""
    account, now = request.customer_account, timezone.now()
    connection = queries.require_connection(account, pk)
    turn = service_operations.turn_of(connection, now)
    is_post = request.method == "POST"
    form = service_forms.ReadingForm(request.POST if is_post else None, request.FILES if is_post else None)
    asks = False
    if is_post and form.is_valid():
        said = form.cleaned_data
        try:
            told = service_operations.tell_index(
                account, connection, index_l=form.index_l, upload=said["photo"],
                is_rolled_over=said["is_rolled_over"], nonce=said["nonce"], now=now,
            )  # fmt: skip
        except (CustomersError, PortalError) as reason:
            form.add_error(None, str(reason))
        else:
            if told.outcome is not None:
                title, _ = service_operations.FATES[told.outcome.fate]  # type: ignore[index]
                tone = messages.success if told.outcome.fate == "STORED" else messages.warning
                tone(request, f"{title}. {service_operations.what_next(told)}")
                return redirect("portal:self_reading", pk)
            asks = True
            form.ask_rolled_over(True)
    facts = reading_queries.meter_facts([connection.pk]).get(connection.pk)
    context = {
        "connection": connection, "form": form, "turn": turn, "asks": asks, "facts": facts,
        "window": (turn.reading_day - timedelta(days=service_operations.WINDOW_DAYS),
                   turn.reading_day + timedelta(days=service_operations.WINDOW_DAYS)),
        "rows": told_rows(list(service_queries.list_told_readings(connection)[:6])),
    }  # fmt: skip
    return render(request, "portal/services/self_reading.html", context, status=422 if form.errors or asks else 200)


@_get_or_post
@require_customer
def norm_change(request: CustomerRequest, pk: int) -> HttpResponse:
    """Ask for another number of registered persons, with papers: it becomes a request that the staff decide on."""
    account, now = request.customer_account, timezone.now()
    connection = queries.require_connection(account, pk)
    is_post = request.method == "POST"
    form = service_forms.NormForm(
        request.POST if is_post else None, request.FILES if is_post else None,
        initial={"from_date": timezone.localdate(now)},
    )  # fmt: skip
    if is_post and form.is_valid():
        said = dict(form.cleaned_data)
        try:
            service_operations.check_requests_left(account, now)
            papers = request_operations.keep_papers(said.pop("papers"), by=None)
            made = service_operations.ask_for_norm(account, connection, papers=papers, now=now, **said)
        except (CustomersError, PortalError) as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã nhận đề nghị {made.code}. Kết quả báo ở trang này.")
            return redirect("portal:request_detail", made.code)
    waiting = service_operations.open_about(account, service_operations.NORM).filter(connection=connection).first()
    context = {"connection": connection, "form": form, "waiting": waiting}
    return render(request, "portal/services/norm.html", context, status=422 if form.errors else 200)


@require_safe
@require_customer
def contract_paper(request: CustomerRequest, pk: int) -> HttpResponseBase:
    """Give the scan of one's own contract."""
    contract = service_queries.require_contract(request.customer_account, pk)
    assert contract.paper is not None  # noqa: S101 - asked for
    return files.as_download(contract.paper)


# --- notices


@never_cache
@require_safe
@require_customer
def notices(request: CustomerRequest) -> HttpResponse:
    """Show what concerns the customer's own area."""
    now = timezone.now()
    connections = list(queries.list_connections(request.customer_account))
    rows = dress(list(with_where(notice_queries.of_connections(connections, now))), now)
    context = {
        "live": [row for row in rows if row.state_tone != "neutral"],
        "over": [row for row in rows if row.state_tone == "neutral"],
    }
    return render(request, "portal/services/notices.html", context)
