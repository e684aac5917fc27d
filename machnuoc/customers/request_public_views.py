"""Pages of requests without signing in: the form, the page to follow one by its secret link, looking one up."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from machnuoc.core import files
from machnuoc.customers import (
    clock,
    request_categories,
    request_forms,
    request_operations,
    request_queries,
    request_spam,
)
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Category, PublicPost, Request, RequestEvent, RequestPhoto, ServiceHours
from machnuoc.works.models import Work

_get_or_post = require_http_methods(["GET", "HEAD", "POST"])
_TOO_MANY = (
    "Từ nơi bạn đang dùng mạng đã có nhiều phản ánh trong thời gian ngắn nên tạm thời chưa nhận thêm. "
    "Thử lại sau một giờ, hoặc gọi đường dây nóng của đơn vị cấp nước."
)
_HOTLINES_SHOWN = 10
ICONS = {
    RequestEvent.Kind.RECEIVED: ("inbox", "info"), RequestEvent.Kind.ASSIGNED: ("user-circle", "info"),
    RequestEvent.Kind.ANSWER: ("message", "good"), RequestEvent.Kind.REPLY: ("messages", ""),
    RequestEvent.Kind.REOPENED: ("arrow-back-up", "warning"), RequestEvent.Kind.CLOSED: ("circle-check", "good"),
    RequestEvent.Kind.MERGED: ("git-merge", "info"), RequestEvent.Kind.WORK_ORDER: ("tool", "info"),
    RequestEvent.Kind.NOTE: ("pencil", ""), RequestEvent.Kind.ESCALATED: ("arrow-up", "warning"),
    RequestEvent.Kind.RATED: ("star", "good"),
}  # fmt: skip


@login_not_required
@_get_or_post
def public_form(request: HttpRequest) -> HttpResponse:
    """Take a report of anybody. Works without JavaScript, also the map: an address or a commune does."""
    now = timezone.now()
    wanted = request.GET.get("category", "")[:40]
    chosen = Category.objects.filter(key=wanted, is_active=True, is_public=True).first() if wanted else None
    if request.method != "POST":
        form = request_forms.PublicForm(initial={"stamp": request_spam.make_stamp(now), "category": chosen})
        return _render_form(request, form)
    form = request_forms.PublicForm(request.POST, request.FILES)
    address = request_spam.address_hash(request)
    stamp = request_spam.read_stamp(request.POST.get("stamp", ""), now)
    if not form.is_valid():
        return _render_form(request, form, status=422)
    if request_spam.is_over(address, now) and not _was_taken(stamp):
        form.add_error(None, _TOO_MANY)
        return _render_form(request, form, status=429)
    said = form.cleaned_data
    if request_spam.needs_sum(stamp, trap=said["website"], address=address, now=now):
        if not request_spam.is_right(said["sum_answer"], said["sum_stamp"]):
            return _render_form(request, form, status=422, ask_sum=True)
        if stamp is None:  # a form that is not ours has no number of its own: its sum has, and is good for one
            stamp = request_spam.Stamp(said["sum_stamp"].partition(".")[0], 0)
    assert stamp is not None  # noqa: S101 - without one the sum was asked, and gave one
    try:
        photos = request_operations.keep_photos(said["photos"], by=None)
    except CustomersError as reason:
        request_spam.count_try(address, now)  # a picture that fails costs as much as one that is taken
        form.add_error(None, str(reason))
        return _render_form(request, form, status=422)
    try:
        made, _ = request_operations.receive_once(
            stamp.nonce, address_hash=address, now=now, channel=Request.Channel.PUBLIC, photos=photos, **form.details()
        )
    except CustomersError as reason:
        form.add_error(None, str(reason))
        return _render_form(request, form, status=422)
    messages.success(request, f"Đã tiếp nhận phản ánh {made.code}. Lưu lại địa chỉ của trang này để theo dõi.")
    return redirect("customers:public_request", made.token)


def _was_taken(stamp: request_spam.Stamp | None) -> bool:
    return stamp is not None and PublicPost.objects.filter(nonce=stamp.nonce, request__isnull=False).exists()


def _render_form(
    request: HttpRequest, form: request_forms.PublicForm, *, status: int = 200, ask_sum: bool = False
) -> HttpResponse:
    works = Work.objects.filter(operator__isnull=False, subject__latitude__isnull=False).select_related("subject")
    # About where works are, to find one's way: to a kilometre. Their exact places are not for everybody.
    points = [
        {
            "lat": round(one.subject.latitude or 0, 2), "lon": round(one.subject.longitude or 0, 2),
            "title": one.subject.name, "tone": "neutral",
        }
        for one in works.order_by("subject__name")[:300]
    ]  # fmt: skip
    communes = {
        one.pk: {"lat": one.latitude, "lon": one.longitude, "name": one.name}
        for one in form.fields["place"].queryset  # type: ignore[attr-defined]
        if one.latitude is not None and one.longitude is not None
    }
    categories = [
        (one, request_categories.limit_text(one)) for one in request_categories.list_active() if one.is_public
    ]
    context = {
        "form": form, "lost_photos": len(request.FILES.getlist("photos")),
        "places": {"points": points}, "communes": communes, "hotlines": _hotlines(),
        "sum": request_spam.make_sum() if ask_sum else None,
        "categories": categories,
    }  # fmt: skip
    return render(request, "customers/public/form.html", context, status=status)


def _hotlines() -> list[tuple[str, str]]:
    """Return the operators that name a hot line, with its number."""
    rows = ServiceHours.objects.exclude(hotline="").order_by("operator__subject__name")
    return list(rows.values_list("operator__subject__name", "hotline")[:_HOTLINES_SHOWN])


def _get(token: str) -> Request:
    rows = Request.objects.select_related(
        "category", "operator__subject", "work__subject", "merged_into__category", "place"
    )  # fmt: skip
    found = rows.filter(token=token).first() if 20 <= len(token) <= 43 else None
    if found is None:
        raise Http404("no request of this token")
    return found


@login_not_required
@_get_or_post
def public_request(request: HttpRequest, token: str) -> HttpResponse:
    """Show a request to who holds its secret link; take their reply and their rating."""
    row, now = _get(token), timezone.now()
    reply, rate = request_forms.ReplyForm(), request_forms.RateForm()
    if request.method == "POST":
        is_rating = request.POST.get("act") == "rate"
        form: Any = request_forms.RateForm(request.POST) if is_rating else request_forms.ReplyForm(request.POST)
        reply, rate = (reply, form) if is_rating else (form, rate)
        if form.is_valid():
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
            else:
                return redirect("customers:public_request", token)
    standing = request_queries.standing_of(row)
    context = {
        "one": row, "standing": standing, "reply": reply, "rate": rate, "now": now,
        "is_open": standing.state in request_queries.OPEN_STATES,
        "may_rate": standing.state in {Request.State.ANSWERED, Request.State.CLOSED} and row.rating is None,
        "clock_left": clock.left_text(standing.due_at, now) if standing.due_at else "",
        "clock_until": clock.due_text(standing.due_at) if standing.due_at else "",
        "is_late": standing.due_at is not None and standing.due_at < now,
        "limit": request_categories.limit_text(standing.category), "events": public_timeline(row),
        "photos": row.photos.select_related("file").order_by("pk"), "others": _count_others(row, now),
        "hotline": ServiceHours.objects.filter(operator=row.operator_id).values_list("hotline", flat=True).first(),
        "facts": [
            ("Mã phản ánh", row.code), ("Loại", row.category.name),
            ("Nơi", _where(row)),
            ("Gửi lúc", timezone.localtime(row.received_at).strftime("%H:%M ngày %d/%m/%Y")),
            ("Đơn vị cấp nước", row.operator.subject.name if row.operator else ""),
        ],
    }  # fmt: skip
    failed = reply.errors or rate.errors
    answer = render(request, "customers/public/request.html", context, status=422 if failed else 200)
    answer["X-Robots-Tag"] = "noindex, nofollow"
    return answer


def _where(row: Request) -> str:
    """Return where it is in the sender's words; of a connection that they named nothing that they did not say."""
    place = row.place.name if row.place and (row.connection_id is None or not row.address) else ""
    said = ", ".join(filter(None, [row.address, place]))
    return said or ("vị trí đã đánh dấu trên bản đồ" if row.latitude is not None else "")


def public_timeline(row: Request) -> list[dict[str, Any]]:
    """Return what the sender reads, newest first."""
    rows = []
    for event in reversed(request_queries.public_events(row)):
        icon, tone = ICONS.get(RequestEvent.Kind(event.kind), ("point", ""))
        who = {RequestEvent.Kind.REPLY: "Bạn", RequestEvent.Kind.ANSWER: "Đơn vị cấp nước"}.get(
            RequestEvent.Kind(event.kind), ""
        )
        rows.append({
            "at": event.at, "icon": icon, "tone": tone, "title": event.get_kind_display(), "text": event.text,
            "person": who,
        })  # fmt: skip
    return rows


def _count_others(row: Request, now: Any) -> int:
    """Count what others reported close by; neither who nor where is told."""
    if row.state not in request_queries.OPEN_STATES or row.category.is_bill_dispute:
        return 0
    return len(
        request_queries.find_duplicates(
            category_id=row.category_id, now=now, latitude=row.latitude, longitude=row.longitude, without=row.pk,
            among=Request.objects.filter(operator=row.operator_id),
        )
    )  # fmt: skip


@login_not_required
@require_safe
def public_photo(request: HttpRequest, token: str, pk: int) -> HttpResponse:
    row = _get(token)
    photo = RequestPhoto.objects.select_related("file").filter(request=row, pk=pk).first()
    if photo is None:
        raise Http404("no such photo of the request")
    return show_photo(photo)


def show_photo(photo: RequestPhoto) -> HttpResponse:
    """Return a picture to look at: what we keep was taken apart and put together again, so it is one.

    A paper that is no picture is only given to be saved: nobody took it apart.
    """
    if not photo.is_picture:
        return files.as_download(photo.file)  # type: ignore[return-value]
    with files.open_file(photo.file) as file:
        answer = HttpResponse(file.read(), content_type=photo.file.media_type)
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Content-Disposition"] = "inline"
    answer["Cache-Control"] = "private, no-store"
    return answer


@login_not_required
@_get_or_post
def public_lookup(request: HttpRequest) -> HttpResponse:
    """Lead who knows the code and the phone number of a request to its page. Wrong guesses count as posts do."""
    now = timezone.now()
    form = request_forms.LookUpForm(request.POST or None)
    status = 200
    if request.method == "POST" and form.is_valid():
        address = request_spam.address_hash(request)
        if request_spam.has_guessed_enough(address, now):
            form.add_error(None, _TOO_MANY)
            status = 429
        else:
            phone = request_operations.plain_phone(form.cleaned_data["phone"])
            row = Request.objects.filter(code__iexact=form.cleaned_data["code"].strip()).exclude(phone="").first()
            if row is not None and row.phone == phone:
                return redirect("customers:public_request", row.token)
            request_spam.count_try(address, now)
            form.add_error(None, "Không có phản ánh nào khớp cả mã và số điện thoại. Kiểm tra lại rồi thử lại.")
            status = 422
    elif request.method == "POST":
        status = 422
    return render(request, "customers/public/lookup.html", {"form": form}, status=status)
