"""Pages that belong to no other room: sign-in, account, overview, notices, documents, errors."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView, LogoutView
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.csrf import requires_csrf_token
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe
from django_htmx.middleware import HtmxDetails

from machnuoc.core import api, audit, folding, forms, panels, tokens
from machnuoc.core import notices as inbox
from machnuoc.core.models import ApiToken, Document, Notice, Person

DEMO_PASSWORD = "mach-nuoc-2026"  # noqa: S105 - printed on the sign-in page where demo accounts exist
_PAGE_SIZE = 50
_API = "/api/"
_API_ERRORS = {400: "Yêu cầu không hợp lệ", 403: "Không có quyền", 404: "Không có địa chỉ này"}

audit.describe("core.password.changed", "đổi mật khẩu của mình")


class SignedIn(HttpRequest):
    """A request as the views below see it: the sign-in middleware lets no stranger pass."""

    user: Person
    htmx: HtmxDetails


# --- coming and going


@method_decorator(login_not_required, name="dispatch")
class SignInView(LoginView):
    template_name = "core/sign_in.html"
    authentication_form = forms.SignIn
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        demo_persons = Person.objects.filter(is_demo=True, is_active=True).order_by("id")
        return super().get_context_data(demo_persons=demo_persons, demo_password=DEMO_PASSWORD, **kwargs)


sign_in = SignInView.as_view()
sign_out = LogoutView.as_view()


@requires_csrf_token
def signed_out_for_now(request: HttpRequest, response: HttpResponse, credentials: dict[str, Any]) -> HttpResponse:
    """Answer a sign-in that is refused because too many went wrong before (called by django-axes)."""
    return render(request, "core/errors/locked_out.html", status=429)


@login_not_required
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok", content_type="text/plain")


# --- the account


@sensitive_post_parameters()
def account(request: SignedIn) -> HttpResponse:
    form = forms.ChangePassword(request.user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            form.save()
            audit.record("core.password.changed", actor=request.user, target=request.user)
        update_session_auth_hash(request, form.user)
        messages.success(request, "Đã đổi mật khẩu. Các phiên đăng nhập khác của bạn đã kết thúc.")
        return redirect("core:account")
    return _render_account(request, password_form=form)


def _render_account(request: SignedIn, **extra: Any) -> HttpResponse:
    context = {
        "password_form": forms.ChangePassword(request.user),
        "token_form": forms.NewToken(),
        "tokens": ApiToken.objects.filter(person=request.user),
        "now": timezone.now(),
        **extra,
    }
    return render(request, "core/account.html", context)


@require_POST
def create_token(request: SignedIn) -> HttpResponse:
    form = forms.NewToken(request.POST)
    if not form.is_valid():
        return _render_account(request, token_form=form)
    now = timezone.now()
    try:
        token, raw = tokens.create_token(
            person=request.user,
            name=form.cleaned_data["name"],
            now=now,
            can_write=form.cleaned_data["can_write"],
            expires_at=now + timedelta(days=form.cleaned_data["days"]),
        )
    except tokens.TooManyTokens as reason:
        form.add_error(None, str(reason))
        return _render_account(request, token_form=form)
    # Shown in this answer alone, which no cache may keep: the text is stored nowhere.
    response = _render_account(request, new_token=token, new_token_text=raw)
    response["Cache-Control"] = "no-store"
    return response


@require_POST
def revoke_token(request: SignedIn, pk: int) -> HttpResponse:
    token = get_object_or_404(ApiToken, pk=pk, person=request.user)
    tokens.revoke_token(token, by=request.user, now=timezone.now())
    messages.success(request, f"Đã thu hồi mã «{token.name}». Chương trình dùng mã này không vào được nữa.")
    return redirect("core:account")


# --- overview


@require_safe
def overview(request: SignedIn) -> HttpResponse:
    regions: dict[str, list[panels.Panel]] = {region: [] for region in panels.list_regions(request.user)}
    for panel in panels.list_overview(request.user):
        if panel.region in regions:
            regions[panel.region].append(panel)
    return render(request, "core/overview.html", {"regions": regions})


_NOTHING_THERE = {  # said by what comes later, once it is known that nothing else stands in the region
    "now": (
        "circle-check", "Không có việc nào đang chờ bạn",
        "Việc cần nhập, cần duyệt và cần xem lại sẽ hiện ở đây khi đến hạn.",
    ),
    "standing": (
        "chart-bar", "Chưa có số liệu để so sánh",
        "Khi có số liệu được duyệt hoặc kế hoạch được nạp, các chỉ tiêu chính sẽ hiện ở đây.",
    ),
    "changes": (
        "history", "Chưa có thay đổi nào gần đây",
        "Số liệu mới, công trình đổi tình trạng và biểu vừa duyệt sẽ hiện ở đây.",
    ),
}  # fmt: skip


@require_safe
def later_overview(request: SignedIn, region: str) -> HttpResponse:
    """Show what follows after «Tổng quan» has come: as a part of it, or as a page where there is no JavaScript."""
    if region not in panels.REGIONS:
        raise Http404
    context = {
        "panels": panels.list_later_overview(request.user, region), "title": panels.REGIONS[region],
        "nothing": _NOTHING_THERE[region] if request.GET.get("alone") == "1" else None,
    }  # fmt: skip
    return render(request, "core/parts/later_panels.html" if request.htmx else "core/later_panels.html", context)


# --- notices


@require_safe
def notices(request: SignedIn) -> HttpResponse:
    rows = Notice.objects.filter(person=request.user)
    unread_only = request.GET.get("unread") == "1"
    counts = {"all": rows.count(), "unread": rows.filter(read_at=None).count()}
    page = Paginator(rows.filter(read_at=None) if unread_only else rows, _PAGE_SIZE).get_page(request.GET.get("page"))
    tabs = [("all", "Tất cả", "?", counts["all"]), ("unread", "Chưa đọc", "?unread=1", counts["unread"])]
    context = {"page": page, "tabs": tabs, "current_tab": "unread" if unread_only else "all", "counts": counts}
    return render(request, "core/notices.html", context)


@require_POST
def open_notice(request: SignedIn, pk: int) -> HttpResponse:
    """Mark one notice as read and go to what it speaks of."""
    notice = get_object_or_404(Notice, pk=pk, person=request.user)
    inbox.mark_read(request.user, timezone.now(), notice_id=pk)
    is_ours = url_has_allowed_host_and_scheme(notice.url, allowed_hosts={request.get_host()})
    return redirect(notice.url if notice.url and is_ours else "core:notices")


@require_POST
def read_all_notices(request: SignedIn) -> HttpResponse:
    inbox.mark_read(request.user, timezone.now())
    return redirect("core:notices")


# --- documents


@require_safe
def documents(request: SignedIn) -> HttpResponse:
    form = forms.DocumentFilter(request.GET)
    wanted = form.cleaned_data if form.is_valid() else {}
    rows = Document.objects.annotate(passage_count=Count("passages"))
    if wanted.get("confidence"):
        rows = rows.filter(confidence=wanted["confidence"])
    words = folding.fold(wanted.get("q", "")).split()
    # A province keeps dozens of documents, not thousands: folding them here spares a second index.
    found = [
        document
        for document in rows
        if all(
            word in folding.fold(f"{document.kind} {document.number} {document.title} {document.issuer}")
            for word in words
        )
    ]
    found.sort(key=lambda document: folding.sort_key(document.title))
    page = Paginator(found, _PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "core/documents.html", {"form": form, "page": page, "has_documents": rows.exists()})


@require_safe
def document(request: SignedIn, key: str) -> HttpResponse:
    shown = get_object_or_404(Document.objects.select_related("file"), key=key)
    facts = [
        ("Loại văn bản", shown.kind),
        ("Số, ký hiệu", shown.number or "để trống trên bản in"),
        ("Trích yếu", shown.title),
        ("Cơ quan ban hành", shown.issuer),
        ("Ngày ban hành", shown.issue_date and f"{shown.issue_date:%d/%m/%Y}"),
        ("Người ký", shown.signer),
    ]
    if shown.issue_date_as_printed:
        facts.insert(5, ("Ngày như in", shown.issue_date_as_printed))
    if shown.note:
        facts.append(("Ghi chú", shown.note))
    context = {"document": shown, "facts": facts, "passages": shown.passages.order_by("order", "id")}
    return render(request, "core/document.html", context)


# --- errors


_TOO_BIG = (
    "Nội dung gửi lên quá lớn nên chưa có gì được lưu. Quay lại trang trước để lấy lại phần đã viết, rút gọn rồi gửi "
    "lại; nội dung dài thì gửi kèm bằng tệp."
)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    too_big = isinstance(exception, RequestDataTooBig | TooManyFieldsSent | TooManyFilesSent)
    return _render_error(request, 400, reason=_TOO_BIG if too_big else "")


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _render_error(request, 403, reason=str(exception) if exception else "")


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _render_error(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    if request.path.startswith(_API):
        return api.problem(500, "Lỗi của chương trình", "Lỗi đã được ghi lại. Thử lại sau, hoặc báo quản trị hệ thống.")
    # Without the context processors: the database may be what failed.
    return HttpResponse(_render_plain("core/errors/500.html"), status=500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return HttpResponse(_render_plain("core/errors/csrf.html"), status=403)


@requires_csrf_token
def _render_error(request: HttpRequest, status: int, **context: Any) -> HttpResponse:
    if request.path.startswith(_API):  # a program asks
        return api.problem(status, _API_ERRORS[status], context.get("reason") or "Xem /api/v1/openapi.json.")
    return render(request, f"core/errors/{status}.html", context, status=status)


def _render_plain(template: str) -> str:
    return render_to_string(template)
