"""Paying: a VietQR code with the numbers beside it, the gateways that are set up, and what was paid."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from machnuoc.billing import bill_pdf, gateway_orders
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import GatewayOrder
from machnuoc.core.middleware import client_address
from machnuoc.core.periods import local_date
from machnuoc.portal import money_queries, queries
from machnuoc.portal.sessions import CustomerRequest, require_customer

_ROWS = 24


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@require_customer
def pay(request: CustomerRequest, pk: int) -> HttpResponse:
    """Show how to pay what one connection owes; POST makes an order at a gateway and gives the way to it."""
    account, now = request.customer_account, timezone.now()
    connection, is_former = queries.require_billed(account, pk)
    found = money_queries.open_bills(account, [pk], local_date(now))
    owed = [one for one in found if one.open_vnd > 0]
    credit_vnd = -sum(one.open_vnd for one in found if one.open_vnd < 0)
    if request.method == "POST":
        return _begin(request, pk, owed)
    chosen = next((one for one in owed if str(one.bill.pk) == request.GET.get("hoa-don")), owed[0] if owed else None)
    transfer = money_queries.transfer_of(chosen.bill, chosen.open_vnd) if chosen else None
    context = {
        "connection": connection, "is_former": is_former, "owed": owed, "chosen": chosen,
        "total_vnd": sum(one.open_vnd for one in owed),
        "credit_vnd": credit_vnd, "transfer": transfer,
        "gateways": [(key, GatewayOrder.Gateway(key).label) for key in gateway_orders.list_configured()],
        "waiting": [one for one in money_queries.list_waiting_orders(account, now) if one.connection_id == pk],
    }  # fmt: skip
    return render(request, "portal/pay.html", context)


def _begin(request: CustomerRequest, pk: int, owed: list[money_queries.OpenBill]) -> HttpResponse:
    gateway = request.POST.get("gateway", "")
    if gateway not in GatewayOrder.Gateway.values:
        messages.error(request, "Chọn cách trả tiền trong danh sách.")
        return redirect("portal:pay", pk)
    wanted = request.POST.get("bill", "")
    chosen = [one for one in owed if str(one.bill.pk) == wanted] if wanted else owed
    if not chosen:
        messages.info(request, "Không còn hóa đơn nào phải trả.")
        return redirect("portal:pay", pk)
    try:
        order, address = gateway_orders.begin(
            chosen[0].bill.connection, gateway=gateway, now=timezone.now(), by=None, client_ip=client_address(request),
            site_url=gateway_orders.site_url_of(request.build_absolute_uri("/")),
            bill_ids=[one.bill.pk for one in chosen],
        )  # fmt: skip
    except BillingError as reason:
        messages.error(request, str(reason))
        return redirect("portal:pay", pk)
    # A link and not a redirect: our pages let no form lead to another host.
    context = {"order": order, "address": address, "pk": pk}
    return render(request, "portal/leave.html", context)


@never_cache
@require_safe
@require_customer
def paid(request: CustomerRequest) -> HttpResponse:
    account = request.customer_account
    page = Paginator(money_queries.payments_of(account), _ROWS).get_page(request.GET.get("page"))
    waiting = list(money_queries.list_waiting_orders(account, timezone.now())[:5])
    return render(request, "portal/payments.html", {"page": page, "waiting": waiting})


@never_cache
@require_safe
@require_customer
def receipt(request: CustomerRequest, pk: int) -> HttpResponseBase:
    payment = get_object_or_404(money_queries.payments_of(request.customer_account), pk=pk)
    response = HttpResponse(bill_pdf.receipt(payment), content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="bien-lai-{payment.receipt_number or payment.pk}.pdf"'
    response["X-Content-Type-Options"] = "nosniff"
    return response
