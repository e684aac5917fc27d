"""Pages of a customer's requests: their list, a new one, one with its clock, answers, reply and rating."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from machnuoc.customers import clock, request_categories, request_forms, request_operations, request_queries
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Category, Request, RequestPhoto, ServiceHours
from machnuoc.customers.request_public_views import public_timeline, show_photo
from machnuoc.portal import queries, service_forms, service_operations, service_queries
from machnuoc.portal.errors import PortalError
from machnuoc.portal.sessions import CustomerRequest, require_customer
from machnuoc.portal.templatetags.portal import month_name

_get_or_post = require_http_methods(["GET", "HEAD", "POST"])
_ROWS_A_PAGE = 20
TONES = {
    Request.State.NEW: "warning", Request.State.ASSIGNED: "info", Request.State.ANSWERED: "good",
    Request.State.CLOSED: "good", Request.State.MERGED: "neutral", Request.State.REJECTED: "neutral",
}  # fmt: skip


def dress(rows: list[Request], now: Any) -> list[Request]:
    """Give requests what a row of the list shows: how it stands, and how long the answer may take yet."""
    for row in rows:
        shown: Any = row
        standing = request_queries.standing_of(row)
        shown.shown_state = standing.get_state_display()
        shown.tone = TONES[Request.State(standing.state)]
        is_open = standing.state in request_queries.OPEN_STATES
        shown.left = clock.left_text(standing.due_at, now) if is_open and standing.due_at else ""
        shown.is_late = is_open and standing.due_at is not None and standing.due_at < now
    return rows


@never_cache
@require_safe
@require_customer
def requests(request: CustomerRequest) -> HttpResponse:
    rows = service_queries.list_requests(request.customer_account)
    page = Paginator(rows, _ROWS_A_PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "rows": dress(list(page.object_list), timezone.now())}
    return render(request, "portal/services/requests.html", context)


@_get_or_post
@require_customer
def request_add(request: CustomerRequest) -> HttpResponse:
    account, now = request.customer_account, timezone.now()
    connections = queries.list_connections(account)
    is_post = request.method == "POST"
    initial: dict[str, Any] = {}
    if not is_post:
        wanted = request.GET.get("loai", "")[:40]
        initial["category"] = Category.objects.filter(key=wanted, is_active=True, is_public=True).first()
        named = request.GET.get("dau-noi", "")
        initial["connection"] = int(named) if named.isdecimal() and len(named) < 18 else connections.first()
        asked = request.GET.get("hoa-don", "")
        bill = (
            queries.bills_of(account).filter(pk=int(asked)).first() if asked.isdecimal() and len(asked) < 18 else None
        )
        if bill is not None:
            initial["category"] = Category.objects.filter(is_bill_dispute=True, is_active=True, is_public=True).first()
            initial["connection"] = bill.connection_id
            initial["text"] = f"Hóa đơn {bill.name}, {month_name(bill.period_start_date)}: "
    form = service_forms.RequestForm(
        request.POST if is_post else None, request.FILES if is_post else None, connections=connections, initial=initial
    )
    if is_post and form.is_valid():
        said = dict(form.cleaned_data)
        try:
            service_operations.check_requests_left(account, now)
            said["photos"] = request_operations.keep_photos(said["photos"], by=None)
            made = service_operations.send_request(account, now=now, **said)
        except (CustomersError, PortalError) as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã nhận phản ánh {made.code}. Theo dõi ở trang này.")
            return redirect("portal:request_detail", made.code)
    limits = [(one, request_categories.limit_text(one)) for one in form.fields["category"].queryset]  # type: ignore[attr-defined]
    context = {"form": form, "limits": limits, "has_files": True}
    return render(request, "portal/services/request_add.html", context, status=422 if form.errors else 200)


@never_cache
@_get_or_post
@require_customer
def request_detail(request: CustomerRequest, code: str) -> HttpResponse:
    account, now = request.customer_account, timezone.now()
    row = service_queries.require_request(account, code)
    is_rating = request.POST.get("act") == "rate"
    is_post = request.method == "POST"
    reply = request_forms.ReplyForm(request.POST if is_post and not is_rating else None)
    rate = request_forms.RateForm(request.POST if is_post and is_rating else None)
    form: Any = rate if is_rating else reply
    if is_post and form.is_valid():
        try:
            if is_rating:
                said = form.cleaned_data
                request_operations.rate(row, stars=said["stars"], note=said["note"], now=now)
                messages.success(request, "Cảm ơn bạn đã đánh giá.")
            else:
                request_operations.reply(row, text=form.cleaned_data["text"], now=now)
                messages.success(request, "Đã gửi phản hồi của bạn.")
        except request_operations.RequestError as reason:
            form.add_error(None, str(reason))
            if is_rating:  # the form of a rating is there only where one may be given
                messages.error(request, str(reason))
                return redirect("portal:request_detail", code)
        else:
            return redirect("portal:request_detail", code)
    standing = request_queries.standing_of(row)
    context = {
        "one": row, "standing": standing, "reply": reply, "rate": rate, "tone": TONES[Request.State(standing.state)],
        "is_open": standing.state in request_queries.OPEN_STATES,
        "may_rate": standing.state in {Request.State.ANSWERED, Request.State.CLOSED} and row.rating is None,
        "clock_left": clock.left_text(standing.due_at, now) if standing.due_at else "",
        "clock_until": clock.due_text(standing.due_at) if standing.due_at else "",
        "is_late": standing.due_at is not None and standing.due_at < now,
        "limit": request_categories.limit_text(standing.category), "events": public_timeline(row),
        "photos": row.photos.select_related("file").order_by("pk"),
        "hotline": ServiceHours.objects.filter(operator=row.operator_id).values_list("hotline", flat=True).first(),
        "facts": [
            ("Mã phản ánh", row.code), ("Đấu nối", row.connection.code if row.connection else None),
            ("Nơi", row.address or (row.place.name if row.place else "")),
            ("Gửi lúc", timezone.localtime(row.received_at).strftime("%H:%M ngày %d/%m/%Y")),
            ("Qua", row.get_channel_display()), ("Mức độ", row.get_urgency_display()),
            ("Đơn vị cấp nước", row.operator.subject.name if row.operator else ""),
        ],
    }  # fmt: skip
    status = 422 if reply.errors or rate.errors else 200
    return render(request, "portal/services/request.html", context, status=status)


@require_safe
@require_customer
def request_photo(request: CustomerRequest, code: str, pk: int) -> HttpResponse:
    """Give a picture or paper of one's own request."""
    row = service_queries.require_request(request.customer_account, code)
    photo = RequestPhoto.objects.select_related("file").filter(request=row, pk=pk).first()
    if photo is None:
        raise Http404("no such photo of the request")
    return show_photo(photo)
