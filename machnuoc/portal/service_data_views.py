"""«Dữ liệu của tôi»: what a customer allows, a copy of what is kept, who looked at it, asking for its erasure."""

from collections import defaultdict
from datetime import date
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from machnuoc.core import audit
from machnuoc.customers import privacy
from machnuoc.customers.connection_views import copy_file
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Consent, Customer, DataAccess
from machnuoc.places.models import Grant
from machnuoc.portal import queries, service_forms, service_operations, service_queries
from machnuoc.portal.errors import PortalError
from machnuoc.portal.models import PortalAccount
from machnuoc.portal.sessions import CustomerRequest, require_customer

_get_or_post = require_http_methods(["GET", "HEAD", "POST"])
_LOOKS = 50
HOW = "trang khách hàng"
PURPOSES = {
    Consent.Purpose.CONTRACT: "Lập hợp đồng, ghi nước, tính tiền. Cần cho hợp đồng nên không rút riêng được.",
    Consent.Purpose.NOTICES: "Tin nhắn về hóa đơn, ngừng cấp nước, nước dùng khác thường.",
    Consent.Purpose.SURVEY: "Hỏi ý kiến về chất lượng dịch vụ.",
    Consent.Purpose.SHARING: "Đưa dữ liệu của bạn cho cơ quan quản lý nhà nước khi họ cần.",
}  # fmt: skip


@never_cache
@_get_or_post
@require_customer
def my_data(request: CustomerRequest) -> HttpResponse:
    """Show what is kept of the customers of this account; give a consent or take it back."""
    account, now = request.customer_account, timezone.now()
    if request.method == "POST":
        raw = request.POST.get("customer", "")
        pk = int(raw) if raw.isdecimal() and len(raw) < 18 else 0
        customer = service_queries.require_customer(account, pk)
        purpose = request.POST.get("purpose", "")
        try:
            if purpose == Consent.Purpose.CONTRACT:
                raise PortalError("Sự đồng ý này cần cho hợp đồng cấp nước nên không đổi riêng được.")
            if request.POST.get("act") == "give":
                privacy.give_consent(customer, purpose, how=HOW, by=None, now=now)
                messages.success(request, "Đã ghi sự đồng ý của bạn.")
            else:
                privacy.withdraw_consent(customer, purpose, by=None, now=now)
                messages.success(request, "Đã ghi việc rút lại đồng ý.")
        except (CustomersError, PortalError) as reason:
            messages.error(request, str(reason))
        return redirect("portal:my_data")
    customers = list(service_queries.own_customers(account))
    context = {
        "cards": _cards(customers), "looks": _looks(customers), "has_names": bool(customers),
        "waiting": service_operations.open_about(account, service_operations.PERSONAL_DATA).first(),
    }  # fmt: skip
    return render(request, "portal/services/my_data.html", context)


def _cards(customers: list[Customer]) -> list[dict[str, Any]]:
    given: dict[int, dict[str, Consent]] = defaultdict(dict)
    for row in Consent.objects.filter(customer__in=customers, withdrawn_at__isnull=True):
        given[row.customer_id][row.purpose] = row
    return [
        {
            "customer": one,
            "facts": [(term, text) for term, text in _facts(one) if text],
            "consents": [
                (Consent.Purpose(key), text, given[one.pk].get(key), key != Consent.Purpose.CONTRACT)
                for key, text in PURPOSES.items()
            ],
        }
        for one in customers
    ]  # fmt: skip


def _facts(one: Customer) -> list[tuple[str, str]]:
    return [
        ("Mã khách hàng", one.code), ("Họ tên", one.name), ("Điện thoại", privacy.show_phone(one.phone)),
        ("Thư điện tử", one.email), ("Số định danh", privacy.mask_number(one.identity_number)),
        ("Mã số thuế", one.tax_code), ("Địa chỉ liên hệ", one.address),
    ]  # fmt: skip


def _looks(customers: list[Customer]) -> list[dict[str, Any]]:
    """Return the last looks at the customers' data: when, by which role, what for. Nobody's name."""
    rows = list(DataAccess.objects.filter(customer__in=customers).order_by("-pk")[:_LOOKS])
    grants: dict[int, list[tuple[date, date | None, str]]] = defaultdict(list)
    people = {row.person_id for row in rows if row.person_id}
    for person_id, start, end, role in (
        Grant.objects.filter(person_id__in=people)
        .order_by("pk")
        .values_list("person_id", "valid_from", "valid_to", "role")
    ):
        grants[person_id].append((start, end, str(Grant.Role(role).label)))
    found = []
    for row in rows:
        day = timezone.localdate(row.at)
        held = [role for start, end, role in grants.get(row.person_id or 0, []) if start <= day < (end or date.max)]
        who = "Chính bạn hoặc hệ thống" if row.person_id is None else ", ".join(dict.fromkeys(held)) or "Nhân viên"
        found.append({"at": row.at, "who": who, "what": row.get_what_display(), "purpose": row.purpose})
    return found


@require_safe
@require_customer
def my_copy(request: CustomerRequest, pk: int) -> HttpResponse:
    """Give everything kept about oneself as a file; the identity number masked where others sign in alike."""
    is_shared = service_queries.own_customers(request.customer_account).count() > 1
    customer = service_queries.require_customer(request.customer_account, pk)
    with transaction.atomic():
        privacy.log_access(
            None, DataAccess.What.EXPORT, now=timezone.now(), customer=customer,
            purpose="khách hàng tự tải bản sao trên trang khách hàng",
        )  # fmt: skip
        audit.record("customers.customer.copied", actor=None, target=customer)
    return copy_file(customer, hides_identity=is_shared)


@_get_or_post
@require_customer
def my_erasure(request: CustomerRequest) -> HttpResponse:
    """Ask for the erasure of one's data: a request that the staff answer."""
    account, now = request.customer_account, timezone.now()
    connection = _own_connection(account)
    form = service_forms.ErasureForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            if connection is None:
                raise PortalError(
                    "Không hợp đồng nào của bạn ghi số điện thoại hoặc thư này. Gửi phản ánh, hoặc đến quầy giao dịch."
                )
            made = service_operations.ask_for_erasure(account, connection, now=now, **form.cleaned_data)
        except (CustomersError, PortalError) as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã nhận đề nghị {made.code}. Kết quả báo ở trang này.")
            return redirect("portal:request_detail", made.code)
    context = {"form": form}
    return render(request, "portal/services/my_erasure.html", context, status=422 if form.errors else 200)


def _own_connection(account: PortalAccount) -> Any:
    own = service_queries.own_customers(account).order_by().values("pk")
    return queries.list_connections(account).filter(customer__in=own).first()
