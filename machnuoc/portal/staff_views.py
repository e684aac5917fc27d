"""What the staff do about the customers' pages: link a connection to an account, take it off again."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from machnuoc.customers import connection_queries, visibility
from machnuoc.customers.models import Connection
from machnuoc.portal import account_operations
from machnuoc.portal.errors import PortalError


def _get(request: HttpRequest, code: str) -> Connection:
    person: Any = request.user
    try:
        one = connection_queries.get_connection(person, code)
    except Connection.DoesNotExist:
        raise Http404("no such connection in sight") from None
    visibility.require_connection(person, "serve", one)
    return one


@require_POST
def link(request: HttpRequest, code: str) -> HttpResponse:
    one = _get(request, code)
    said = request.POST
    person: Any = request.user
    try:
        account_operations.link(
            one, said.get("address", ""), reason=said.get("reason", ""), by=person, now=timezone.now()
        )
    except PortalError as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, "Đã liên kết. Người đó thấy đấu nối này khi đăng nhập cổng khách hàng.")
    return redirect("customers:connection_detail", one.code)


@require_POST
def unlink(request: HttpRequest, code: str, pk: int) -> HttpResponse:
    one = _get(request, code)
    person: Any = request.user
    try:
        account_operations.unlink(one, pk, reason=request.POST.get("reason", ""), by=person, now=timezone.now())
    except PortalError as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, "Đã gỡ. Tài khoản đó không còn thấy đấu nối này.")
    return redirect("customers:connection_detail", one.code)
