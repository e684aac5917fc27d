"""Printing: one bill as PDF, and thousands in the background."""

from datetime import date

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from machnuoc.billing import bill_pdf, bill_queries, print_batches
from machnuoc.billing.einvoice_forms import PrintForm
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import Bill
from machnuoc.core.models import Job, Person
from machnuoc.core.periods import local_date
from machnuoc.core.vietnamese import format_number
from machnuoc.customers import privacy, visibility
from machnuoc.customers.models import DataAccess
from machnuoc.places import access


def _person(request: HttpRequest) -> Person:
    return request.user  # type: ignore[return-value]


def _as_pdf(content: bytes, name: str) -> HttpResponse:
    response = HttpResponse(content, content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response


@never_cache
@require_safe
def bill_pdf_file(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Give one bill as PDF; name and address only to who serves the customer, and that look is logged."""
    person = _person(request)
    bill = (
        Bill.objects.select_related("series", "connection", "customer")
        .filter(bill_queries.within(person), pk=pk)
        .first()
    )
    if bill is None:
        raise Http404("no such bill in sight")
    is_served = visibility.may(person, "serve", bill.connection)
    paper = request.GET.get("paper", "a5")
    try:
        content = bill_pdf.render([bill.pk], served=[bill.connection_id] if is_served else [], paper=paper)
    except bill_pdf.CannotPrint as reason:
        messages.error(request, str(reason))
        return redirect("billing:print_list" if access.may(person, "serve") else "/")
    if is_served:
        privacy.log_access(
            person, DataAccess.What.PAGE, now=timezone.now(), customer=bill.customer, purpose="Xem PDF hóa đơn"
        )
    return _as_pdf(content, f"hoa-don-{bill.series}-{bill.number:08d}.pdf")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def print_list(request: HttpRequest) -> HttpResponse:
    person, now = _person(request), timezone.now()
    access.require(person, "serve")
    form = PrintForm(request.POST or None, person=person, today=local_date(now))
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        bills = print_batches.select(
            person, month=date.fromisoformat(said["month"]), route=said["route"],
            work_id=said["work"].pk if said["work"] is not None else None,
        )  # fmt: skip
        try:
            made = print_batches.order(bills, title=form.title(), paper=said["paper"], by=person, now=now)
        except BillingError as reason:
            form.add_error(None, str(reason))
        else:
            count = sum(len(batch.bill_ids) for batch in made)
            messages.success(
                request, f"Đang in {format_number(count)} hóa đơn thành {len(made)} tệp PDF. Xong sẽ có thông báo."
            )
            return redirect("billing:print_list")
    batches = print_batches.list_batches(person).defer("bill_ids")
    page = Paginator(batches, 30).get_page(request.GET.get("page"))
    is_moving = any(
        batch.job is not None and batch.job.state in {Job.State.QUEUED, Job.State.RUNNING} for batch in page
    )
    context = {"form": form, "page": page, "is_moving": is_moving, "keep_days": print_batches.KEEP_DAYS}
    return render(request, "billing/prints/list.html", context, status=422 if form.errors else 200)


@never_cache
@require_safe
def print_file(request: HttpRequest, pk: int) -> FileResponse:
    """Give a printed batch to who asked for it."""
    person = _person(request)
    access.require(person, "serve")
    batch = get_object_or_404(print_batches.list_batches(person).exclude(file_name=""), pk=pk)
    try:
        content = print_batches.path_of(batch).open("rb")
    except FileNotFoundError:
        raise Http404("the file was removed") from None
    response = FileResponse(
        content, as_attachment=True, filename=f"hoa-don-{batch.pk}.pdf", content_type="application/pdf"
    )
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response
