"""Coming, going and the account."""

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from machnuoc.portal import pieces, queries, sessions
from machnuoc.portal.sessions import CustomerRequest, require_customer


@login_not_required
@require_safe
def sign_in(request: HttpRequest) -> HttpResponse:
    return render(request, "portal/sign_in.html")


@require_POST
@require_customer
def sign_out(request: CustomerRequest) -> HttpResponse:
    """End this session, or every session of the account."""
    if request.POST.get("everywhere"):
        sessions.sign_out_everywhere(request, request.customer_account, timezone.now())
    else:
        sessions.sign_out(request)
    return redirect("portal:sign_in")


@require_safe
@require_customer
def account(request: CustomerRequest) -> HttpResponse:
    connections = list(queries.list_connections(request.customer_account))
    panels = pieces.list_for_account_page(request.customer_account, connections, timezone.now())
    return render(request, "portal/account.html", {"connections": connections, "panels": panels})
