"""Doors of the payment gateways: their servers' callbacks, and the page that a customer comes back to."""

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from machnuoc.billing import callbacks, gateways
from machnuoc.billing.gateways import vnpay
from machnuoc.billing.models import GatewayOrder
from machnuoc.core.middleware import client_address

_METHODS = {
    GatewayOrder.Gateway.VNPAY: "GET", GatewayOrder.Gateway.MOMO: "POST", GatewayOrder.Gateway.ZALOPAY: "POST",
}  # fmt: skip


@csrf_exempt
@login_not_required
def gateway_callback(request: HttpRequest, gateway: str) -> HttpResponse:
    """Take a server callback: at most 8 kB, in the method that the gateway documents; answered after the commit."""
    if gateway not in _METHODS:
        raise Http404
    if request.method != _METHODS[GatewayOrder.Gateway(gateway)]:
        return HttpResponse(status=405, headers={"Allow": _METHODS[GatewayOrder.Gateway(gateway)]})
    query = request.META.get("QUERY_STRING", "")
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = 0
    if length > gateways.BODY_MAX_BYTES or len(query) > gateways.BODY_MAX_BYTES:
        return HttpResponse(status=413)
    body = request.read(gateways.BODY_MAX_BYTES + 1) if request.method == "POST" else b""
    if len(body) > gateways.BODY_MAX_BYTES:
        return HttpResponse(status=413)
    fields = {key: values[-1] for key, values in request.GET.lists() if len(values) == 1}
    reply = callbacks.receive(
        gateway, fields=fields, body=body, text=query if request.method == "GET" else body.decode(errors="replace"),
        address=client_address(request), now=timezone.now(),
    )  # fmt: skip
    return HttpResponse(reply.body, status=reply.status, content_type=reply.content_type)


@never_cache
@login_not_required
@require_safe
def gateway_return(request: HttpRequest, gateway: str) -> HttpResponse:
    """Show a customer who comes back what is known of the payment. Coming back never makes a payment."""
    if gateway not in _METHODS:
        raise Http404
    order = _find_order(gateway, {key: values[-1] for key, values in request.GET.lists()})
    context = {
        "order": order, "gateway": GatewayOrder.Gateway(gateway).label, "State": GatewayOrder.State,
        "is_configured": callbacks.account_of(gateway) is not None,
    }  # fmt: skip
    return render(request, "billing/payments/returned.html", context)


def _find_order(gateway: str, fields: dict[str, str]) -> GatewayOrder | None:
    """Return the order that the address names. Its reference holds 48 random bits, so it is not guessed."""
    account = callbacks.account_of(gateway)
    if account is None:
        return None
    name = {"vnpay": "vnp_TxnRef", "momo": "orderId", "zalopay": "apptransid"}[gateway]
    reference = fields.get(name, "")[:100]
    if isinstance(account, vnpay.Account):
        try:
            vnpay.verify(account, fields)
        except gateways.WrongSignature:
            return None
    return GatewayOrder.objects.filter(gateway=gateway, reference=reference).select_related("connection").first()
