"""Pages of a wish for a connection: sending one, signed in or not, and following it to the first bill."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from machnuoc.billing.models import Bill
from machnuoc.core import files, sending
from machnuoc.core.periods import LOCAL_ZONE, local_date
from machnuoc.core.vietnamese import format_date
from machnuoc.customers import application_operations, clock, request_spam
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Application, ApplicationStep
from machnuoc.portal import codes, links, queries, service_forms, service_operations, service_queries
from machnuoc.portal.errors import PortalError
from machnuoc.portal.models import PortalAccount
from machnuoc.portal.sessions import CustomerRequest, require_customer

_get_or_post = require_http_methods(["GET", "HEAD", "POST"])
Stage = Application.Stage
_TOO_MANY = (
    "Từ nơi bạn đang dùng mạng đã có nhiều biểu gửi trong thời gian ngắn nên tạm thời chưa nhận thêm. "
    "Thử lại sau một giờ, hoặc gọi đơn vị cấp nước."
)
_TITLES = {
    Stage.SURVEYED: "Khảo sát nhu cầu", Stage.REQUESTED: "Gửi đề nghị", Stage.QUOTED: "Khảo sát, báo giá",
    Stage.CONTRACTED: "Ký hợp đồng", Stage.INSTALLED: "Lắp đặt, mở nước", Stage.BILLED: "Hóa đơn đầu tiên",
}  # fmt: skip
_NEXT = {
    Stage.SURVEYED: "Bạn gửi đề nghị, hoặc đơn vị cấp nước ghi giúp khi bạn đồng ý.",
    Stage.REQUESTED: "Đơn vị cấp nước đến khảo sát rồi báo giá.",
    Stage.QUOTED: "Bạn trả lời báo giá; sau đó ký hợp đồng.",
    Stage.CONTRACTED: "Đơn vị cấp nước lắp đồng hồ và mở nước.",
    Stage.INSTALLED: "Nước đã mở. Hóa đơn đầu tiên có sau kỳ ghi chỉ số tới.",
}  # fmt: skip
_PAPERS = (Stage.QUOTED, Stage.CONTRACTED, Stage.INSTALLED)  # whose papers are for who applies


@dataclass(frozen=True)
class Step:
    """One line of the way from the wish to the first bill. step: None as long as it has not come."""

    title: str
    step: ApplicationStep | None
    is_next: bool
    took_days: int | None


@never_cache
@login_not_required
@_get_or_post
def apply(request: HttpRequest) -> HttpResponse:
    """Take the wish of anybody, with what keeps machines off as the public complaint form has it."""
    now = timezone.now()
    if request.method != "POST":
        form = service_forms.PublicApplicationForm(None, initial={"stamp": request_spam.make_stamp(now)})
        return _render_apply(request, form)
    form = service_forms.PublicApplicationForm(request.POST)
    address = request_spam.address_hash(request)
    stamp = request_spam.read_stamp(request.POST.get("stamp", ""), now)
    if not form.is_valid():
        return _render_apply(request, form, status=422)
    if request_spam.is_over(address, now):
        form.add_error(None, _TOO_MANY)
        return _render_apply(request, form, status=429)
    said = form.cleaned_data
    if request_spam.needs_sum(stamp, trap=said["website"], address=address, now=now):
        if not request_spam.is_right(said["sum_answer"], said["sum_stamp"]):
            return _render_apply(request, form, status=422, ask_sum=True)
        if stamp is None:
            stamp = request_spam.Stamp(said["sum_stamp"].partition(".")[0], 0)
    assert stamp is not None  # noqa: S101 - without one the sum was asked, and gave one
    try:
        made = service_operations.apply_publicly(
            work=said["work"], facts=form.facts(), note=said["note"], nonce=stamp.nonce, address_hash=address, now=now
        )
    except (CustomersError, PortalError) as reason:
        form.add_error(None, str(reason))
        return _render_apply(request, form, status=422)
    ways = [address for address in (said["phone"], said["email"]) if address]
    can_sign_in = any(sending.is_configured(codes.channel_of(address)) for address in ways)
    follow = "Đăng nhập bằng số đó để theo dõi." if can_sign_in else f"Muốn hỏi, gọi và đọc mã {made.code}."
    told = f"Đã nhận đề nghị {made.code}; đơn vị cấp nước sẽ gọi {said['phone']} để hẹn khảo sát. {follow}"
    messages.success(request, told)
    return redirect(f"{reverse('portal:sign_in')}?next={reverse('portal:applications')}")


def _render_apply(
    request: HttpRequest, form: service_forms.PublicApplicationForm, *, status: int = 200, ask_sum: bool = False
) -> HttpResponse:
    context = {"form": form, "sum": request_spam.make_sum() if ask_sum else None}
    return render(request, "portal/services/apply.html", context, status=status)


@never_cache
@_get_or_post
@require_customer
def applications(request: CustomerRequest) -> HttpResponse:
    """Show the applications of the account; take a new one."""
    account, now = request.customer_account, timezone.now()
    contact = service_operations.contact_of(account)
    is_post = request.method == "POST"
    form = service_forms.ApplicationForm(
        request.POST if is_post else None, contact=contact, initial={"name": service_operations.name_of(account)}
    )
    if is_post and form.is_valid():
        try:
            made = service_operations.apply_for_connection(
                account, work=form.cleaned_data["work"], facts=form.facts(), note=form.cleaned_data["note"], now=now
            )
        except (CustomersError, PortalError) as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã nhận đề nghị {made.code}. Đơn vị cấp nước sẽ gọi để khảo sát.")
            return redirect("portal:application_detail", made.code)
    rows = links.list_applications(account.address, now)
    context = {"form": form, "rows": [(row, service_forms.tone_of(row)) for row in rows]}
    return render(request, "portal/services/applications.html", context, status=422 if form.errors else 200)


@never_cache
@_get_or_post
@require_customer
def application_detail(request: CustomerRequest, code: str) -> HttpResponse:
    """Show how far an application is and what comes next; take the answer to its quote, a question, a withdrawal."""
    account, now = request.customer_account, timezone.now()
    one = service_queries.require_application(account, code, now)
    failure, asked = "", ""
    if request.method == "POST":
        act, asked = request.POST.get("act", "withdraw"), request.POST.get("text", "")
        try:
            done = _act(one, act, asked, now)
        except CustomersError as reason:
            failure = str(reason)
        else:
            messages.success(request, done)
            return redirect("portal:application_detail", code)
    steps = list(one.steps.select_related("paper").order_by("pk"))
    is_over = one.stage in {Stage.REFUSED, Stage.WITHDRAWN}
    quote = next((step for step in reversed(steps) if step.stage == Stage.QUOTED), None)
    contract = next((step for step in reversed(steps) if step.stage == Stage.CONTRACTED), None)
    talk = list(one.messages.order_by("pk"))
    accepted = next((said for said in talk if said.kind == "ACCEPTED" and quote and said.step_id == quote.pk), None)
    context = {
        "one": one, "failure": failure, "asked": asked, "tone": service_forms.tone_of(one),
        "stages": [] if is_over else _way(one, steps), "next_text": "" if is_over else _NEXT.get(Stage(one.stage), ""),
        "ending": next((step for step in reversed(steps) if step.stage == one.stage), None) if is_over else None,
        "is_open": one.stage in application_operations.OPEN, "due": _due(one.due_date, now),
        "is_survey_ahead": one.stage in {Stage.SURVEYED, Stage.REQUESTED}, "today": local_date(now),
        "waits_days": (local_date(now) - local_date(steps[-1].at)).days if steps else 0,
        "items": list(one.quote_items.all()), "quote": quote, "accepted": accepted, "contract": contract,
        "papers": [step for step in steps if step.paper_id and step.stage in _PAPERS],
        "talk": [said for said in talk if said.text], "bill": _first_bill(account, one, now),
        "opened": _opened(account, one, now),
        "facts": [
            ("Mã đề nghị", one.code), ("Người đề nghị", one.name), ("Địa chỉ lắp đặt", one.address),
            ("Xã, phường", one.place.name if one.place else None), ("Công trình", one.work.subject.name),
            ("Đơn vị cấp nước", one.work.operator.subject.name if one.work.operator else None),
            ("Gửi ngày", format_date(local_date(one.created_at))),
        ],
    }  # fmt: skip
    return render(request, "portal/services/application.html", context, status=422 if failure else 200)


def _act(one: Application, act: str, text: str, now: datetime) -> str:
    """Do what who applies asks for; return what is said to them. Raises CustomersError."""
    if act == "accept":
        application_operations.accept_quote(one, now=now)
        return "Đã ghi bạn đồng ý báo giá. Đơn vị cấp nước sẽ liên hệ ký hợp đồng."
    if act == "ask":
        application_operations.ask(one, text=text, now=now)
        return "Đã gửi câu hỏi. Câu trả lời hiện ở trang này."
    service_operations.withdraw_application(one, now=now)
    return f"Đã rút đề nghị {one.code}."


def _way(one: Application, steps: list[ApplicationStep]) -> list[Step]:
    """Return the steps in order, each with its day and how many days it took since the one before."""
    done = {step.stage: step for step in steps}
    order = [stage for stage in application_operations.STAGES if stage != Stage.SURVEYED or stage in done]
    here = order.index(Stage(one.stage))
    found: list[Step] = []
    before: ApplicationStep | None = None
    for number, stage in enumerate(order):
        step = done.get(stage)
        took = (local_date(step.at) - local_date(before.at)).days if step and before else None
        found.append(Step(_TITLES[stage], step, number == here + 1, took))
        before = step or before
    return found


def _due(day: date | None, now: datetime) -> tuple[date, str, bool] | None:
    """Return the promised day, the clock in words and whether it has run out; a day lasts until midnight."""
    if day is None:
        return None
    end = datetime.combine(day + timedelta(days=1), time.min, LOCAL_ZONE)
    return day, clock.left_text(end, now), end <= now


def _opened(account: PortalAccount, one: Application, now: datetime) -> bool:
    """Return whether the account sees the connection that came of the application; the link is made if it is new."""
    if one.connection_id is None:
        return False
    if not queries.list_connections(account).filter(pk=one.connection_id).exists():
        links.refresh(account, now)
    return queries.list_connections(account).filter(pk=one.connection_id).exists()


def _first_bill(account: PortalAccount, one: Application, now: datetime) -> Bill | None:
    if one.stage != Stage.BILLED or one.connection_id is None or not _opened(account, one, now):
        return None
    return queries.bills_of(account).filter(connection_id=one.connection_id).order_by("period_start_date", "pk").first()


@require_safe
@require_customer
def application_paper(request: CustomerRequest, code: str, pk: int) -> HttpResponseBase:
    """Give a paper of one's own application: its quote, its contract, the report of the installation."""
    one = service_queries.require_application(request.customer_account, code, timezone.now())
    step: Any = one.steps.select_related("paper").filter(pk=pk, stage__in=_PAPERS, paper__isnull=False).first()
    if step is None:
        raise Http404("no such paper of this application")
    return files.as_download(step.paper)
