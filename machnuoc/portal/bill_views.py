"""Bills as their customers see them: the list, why it is this much, the PDF and the signed e-invoice."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from machnuoc.billing import bill_pdf, bill_queries, ledger
from machnuoc.billing.models import Bill, EInvoice
from machnuoc.core import files
from machnuoc.core.periods import local_date
from machnuoc.portal import queries
from machnuoc.portal.models import PortalAccount
from machnuoc.portal.sessions import CustomerRequest, require_customer

_ROWS = 24


@never_cache
@require_safe
@require_customer
def bills(request: CustomerRequest) -> HttpResponse:
    """List the bills of a year, of one connection or of all."""
    account = request.customer_account
    connections = list(queries.list_connections(account))
    rows = queries.bills_of(account)
    chosen = next((one for one in connections if str(one.pk) == request.GET.get("dau-noi")), None)
    if chosen is not None:
        rows = rows.filter(connection=chosen)
    years = sorted({day.year for day in rows.order_by().values_list("period_start_date", flat=True)}, reverse=True)
    wanted = request.GET.get("nam", "")
    year = next((one for one in years if str(one) == wanted), years[0] if years else None)
    if year is not None:
        rows = rows.filter(period_start_date__year=year)
    page = Paginator(rows, _ROWS).get_page(request.GET.get("page"))
    shown = list(page.object_list)
    open_vnd = ledger.open_of(shown)
    today = local_date(timezone.now())
    nicknames = {one.pk: one.nickname or one.code for one in connections}  # type: ignore[attr-defined]
    context = {
        "rows": [
            {
                "bill": bill, "name": bill.name, "open_vnd": open_vnd[bill.pk],
                "is_overdue": open_vnd[bill.pk] > 0 and bill.due_date < today,
                "is_former": bill.customer_id != bill.connection.customer_id,
                "connection": nicknames.get(bill.connection_id, bill.connection.code),
            }
            for bill in shown
        ],
        "page": page, "years": years, "year": year, "connections": connections, "chosen": chosen,
    }  # fmt: skip
    return render(request, "portal/bills.html", context)


def _get(account: PortalAccount, pk: int) -> Bill:
    bill = (
        queries.bills_of(account)
        .filter(pk=pk)
        .select_related(
            "series", "operator__subject", "connection__work__subject", "connection__customer", "customer", "tariff",
            "corrects__series", "from_reading__photo", "to_reading__photo", "einvoice",
        )
        .first()
    )  # fmt: skip
    if bill is None:
        raise Http404("not a bill of this customer")
    return bill


@never_cache
@require_safe
@require_customer
def bill_detail(request: CustomerRequest, pk: int) -> HttpResponse:
    """Why this amount: readings with photos, days, blocks and prices, fees, what came before, what was paid."""
    bill = _get(request.customer_account, pk)
    page = bill_queries.get_bill_page(bill, None)
    context = {
        "bill": bill, "page": page, "einvoice": _einvoice(bill),
        "is_overdue": page.open_vnd > 0 and bill.due_date < local_date(timezone.now()),
        "change_size_pct": None if page.change_pct is None else abs(page.change_pct),
        "past": page.history[-6:], "most_m3": max((volume_m3 for _, volume_m3, _ in page.history), default=0),
        "tariffs": list({row.line.tariff_id: row.line.tariff for row in page.lines}.values()),
    }  # fmt: skip
    return render(request, "portal/bill.html", context)


def _einvoice(bill: Bill) -> EInvoice | None:
    try:
        return bill.einvoice
    except EInvoice.DoesNotExist:
        return None


@never_cache
@require_safe
@require_customer
def bill_pdf_file(request: CustomerRequest, pk: int) -> HttpResponseBase:
    bill = _get(request.customer_account, pk)
    try:
        content = bill_pdf.render([bill.pk], served=None)
    except bill_pdf.CannotPrint as reason:
        messages.error(request, str(reason))
        return redirect("portal:bill_detail", bill.pk)
    response = HttpResponse(content, content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="hoa-don-{bill.series}-{bill.number:08d}.pdf"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


@never_cache
@require_safe
@require_customer
def bill_xml(request: CustomerRequest, pk: int) -> HttpResponseBase:
    bill = queries.require_bill(request.customer_account, pk)
    signed = EInvoice.objects.filter(bill=bill).select_related("xml").first()
    if signed is None:
        raise Http404("not signed yet")
    return files.as_download(signed.xml)
