"""Coming, going and the account."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from machnuoc.core import sending
from machnuoc.core.models import Job, Person, Sending
from machnuoc.customers import request_spam
from machnuoc.portal import account_operations, codes, forms, pieces, queries, sessions
from machnuoc.portal.errors import PortalError
from machnuoc.portal.sessions import CustomerRequest, require_customer

_get_or_post = require_http_methods(["GET", "HEAD", "POST"])
_DEMO_TASK = "demo.customers"
_CODE, _NEXT, _SHOWN = "portal_code", "portal_next", "portal_shown_code"


@never_cache
@login_not_required
@_get_or_post
def sign_in(request: HttpRequest) -> HttpResponse:
    """Ask for a phone or an e-mail, and send a code there."""
    now = timezone.now()
    if request.method != "POST" and sessions.find_account(request, now) is not None:
        return redirect("portal:home")
    form = forms.Address(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            asked = codes.ask(form.cleaned_data["address"], caller=request_spam.address_hash(request), now=now)
        except codes.TooMany as reason:
            form.add_error(None, str(reason))
            return _render_sign_in(request, form, status=429)
        request.session[_CODE] = asked.row.pk
        request.session[_NEXT] = sessions.own_path(request.POST.get("next", ""))
        request.session[_SHOWN] = asked.shown
        return redirect("portal:sign_in_code")
    return _render_sign_in(request, form, status=422 if form.errors else 200)


def _render_sign_in(request: HttpRequest, form: forms.Address, *, status: int) -> HttpResponse:
    said = request.POST if request.method == "POST" else request.GET
    channels = {
        "phone": sending.is_configured(Sending.Channel.SMS) or sending.is_configured(Sending.Channel.ZALO),
        "email": sending.is_configured(Sending.Channel.EMAIL),
    }
    context = {
        "form": form, "next": sessions.own_path(said.get("next", "")), "channels": channels,
        "demo_phones": account_operations.list_demo_phones() if _holds_demo(channels) else [],
        "is_loading": _is_loading(),
    }  # fmt: skip
    return render(request, "portal/sign_in.html", context, status=status)


def _is_loading() -> bool:
    """Return whether the simulated customers of a demonstration are still on their way."""
    return Job.objects.filter(task=_DEMO_TASK, state__in=[Job.State.QUEUED, Job.State.RUNNING]).exists()


def _holds_demo(channels: dict[str, bool]) -> bool:
    return not channels["phone"] and Person.objects.filter(is_demo=True).exists()


@never_cache
@login_not_required
@sensitive_post_parameters("code")
@_get_or_post
def sign_in_code(request: HttpRequest) -> HttpResponse:
    """Take the code. Only the browser that asked for it gets here."""
    now = timezone.now()
    row = codes.find_live(request.session.get(_CODE), now)
    if row is None:
        messages.warning(request, "Mã đã hết hạn hoặc đã nhập sai quá năm lần. Yêu cầu mã mới.")
        return redirect("portal:sign_in")
    form = forms.Code(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            account = codes.redeem(row, form.cleaned_data["code"], now)
        except PortalError as reason:
            form.add_error("code", str(reason))
        else:
            back = sessions.own_path(str(request.session.get(_NEXT, "")))
            sessions.sign_in(request, account, now)
            return redirect(back or "portal:home")
    context = {
        "form": form, "address": row.address, "shown": request.session.get(_SHOWN, ""),
        "is_sent": sending.is_configured(codes.channel_of(row.address)), "next": request.session.get(_NEXT, ""),
        "is_loading": not request.session.get(_SHOWN) and _is_loading(),
    }  # fmt: skip
    return render(request, "portal/sign_in_code.html", context, status=422 if form.errors else 200)


@require_POST
@require_customer
def sign_out(request: CustomerRequest) -> HttpResponse:
    """End this session, or every session of the account."""
    if request.POST.get("everywhere"):
        sessions.sign_out_everywhere(request, request.customer_account, timezone.now())
        messages.success(request, "Đã đăng xuất trên mọi thiết bị.")
    else:
        sessions.sign_out(request)
        messages.success(request, "Đã đăng xuất.")
    return redirect("portal:sign_in")


@never_cache
@_get_or_post
@require_customer
def account(request: CustomerRequest) -> HttpResponse:
    """Show the account; take the size of letters and what connections are called."""
    one = request.customer_account
    connections = list(queries.list_connections(one))
    if request.method == "POST":
        if "large_type" in request.POST:
            account_operations.set_large_type(one, request.POST["large_type"] == "1")
        else:
            names = {
                connection.pk: request.POST[f"name-{connection.pk}"]
                for connection in connections
                if f"name-{connection.pk}" in request.POST
            }
            account_operations.set_nicknames(one, names)
            messages.success(request, "Đã lưu tên gọi.")
        return redirect("portal:account")
    panels = pieces.list_for_account_page(one, connections, timezone.now())
    context = {"connections": connections, "panels": panels, "days": settings.PORTAL_SESSION_DAYS}
    return render(request, "portal/account.html", context)
