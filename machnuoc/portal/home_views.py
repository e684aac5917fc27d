"""The first page of a customer, and the page of one connection."""

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from machnuoc.portal import pieces, queries
from machnuoc.portal.sessions import CustomerRequest, require_customer


@require_safe
@require_customer
def home(request: CustomerRequest) -> HttpResponse:
    now = timezone.now()
    connections = list(queries.list_connections(request.customer_account))
    context = {
        "connections": connections, "panels": pieces.list_for_home(request.customer_account, connections, now),
    }  # fmt: skip
    return render(request, "portal/home.html", context)
