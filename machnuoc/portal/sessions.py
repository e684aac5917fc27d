"""Who of the customers is signed in. Their session is theirs alone: that of the staff has another cookie."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import rotate_token
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from machnuoc.core import audit
from machnuoc.portal import links, middleware
from machnuoc.portal.models import PortalAccount

P = ParamSpec("P")
ACCOUNT = "portal_account"
_SINCE, _SEEN = "portal_since", "portal_seen"
_SEEN_EVERY = timedelta(days=1)  # how often a session writes that it is still in use

audit.describe("portal.sign_in", "đăng nhập cổng khách hàng (tài khoản {target})")
audit.describe("portal.sign_out_everywhere", "đăng xuất mọi thiết bị của tài khoản cổng khách hàng {target}")


class CustomerRequest(HttpRequest):
    """A request as the pages behind `require_customer` see it."""

    customer_account: PortalAccount


def sign_in(request: HttpRequest, account: PortalAccount, now: datetime) -> None:
    """Begin a session of the customer: under a new key, with nothing left of whoever used this browser before."""
    request.session.flush()
    rotate_token(request)
    begin(request.session, account, now)
    PortalAccount.objects.filter(pk=account.pk).update(last_seen_at=now)
    audit.record("portal.sign_in", actor=None, target=account)


def begin(session: Any, account: PortalAccount, now: datetime) -> None:
    """Write into an empty session whose it is."""
    session[ACCOUNT] = account.pk
    session[_SINCE] = session[_SEEN] = now.timestamp()
    session.set_expiry(settings.PORTAL_SESSION_DAYS * 24 * 3600)  # seconds: counted from the last time it was saved


def sign_out(request: HttpRequest) -> None:
    request.session.flush()


def sign_out_everywhere(request: HttpRequest, account: PortalAccount, now: datetime) -> None:
    """End this session and every other one of the account."""
    PortalAccount.objects.filter(pk=account.pk).update(sessions_from_at=now)
    audit.record("portal.sign_out_everywhere", actor=None, target=account)
    request.session.flush()


def find_account(request: HttpRequest, now: datetime) -> PortalAccount | None:
    """Return who is signed in, or None; note once a day that they are still there and what is theirs today."""
    session = request.session
    pk, since, seen = session.get(ACCOUNT), session.get(_SINCE), session.get(_SEEN)
    if not isinstance(pk, int) or not isinstance(since, float) or not isinstance(seen, float):
        return None
    if "_auth_user_id" in session:  # a session of the staff under the wrong name
        return None
    account = PortalAccount.objects.filter(pk=pk, is_active=True).first()
    if account is None:
        return None
    if account.sessions_from_at is not None and since <= account.sessions_from_at.timestamp():
        return None
    if now.timestamp() - seen > _SEEN_EVERY.total_seconds():
        session[_SEEN] = now.timestamp()  # a changed session is saved, and lasts from now on
        PortalAccount.objects.filter(pk=pk).update(last_seen_at=now)
        links.refresh(account, now)
    return account


def require_customer(
    view: Callable[Concatenate[CustomerRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Let only a signed-in customer in, as `request.customer_account`; others are sent to the sign-in page."""

    @wraps(view)
    def answered(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        account = find_account(request, timezone.now())
        if account is None:
            return to_sign_in(request)
        request.customer_account = account  # type: ignore[attr-defined]
        try:
            return view(request, *args, **kwargs)  # type: ignore[arg-type]
        except Http404:
            return render(request, "portal/not_found.html", status=404)

    return login_not_required(answered)  # type: ignore[return-value]


def to_sign_in(request: HttpRequest) -> HttpResponse:
    back = request.get_full_path() if request.method in {"GET", "HEAD"} else ""
    query = f"?{urlencode({'next': back})}" if own_path(back) and back != reverse("portal:home") else ""
    return redirect(reverse("portal:sign_in") + query)


def own_path(path: str) -> str:
    """Return the path if it lies within the customers' pages, else nothing: no way out of here by a link."""
    is_own = path.startswith(middleware.ROOT) and url_has_allowed_host_and_scheme(path, allowed_hosts=None)
    return path if is_own else ""
