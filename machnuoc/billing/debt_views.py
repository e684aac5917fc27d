"""Pages of debts: who owes and how long, by station; one case and its lawful steps."""

from collections.abc import Callable
from datetime import date
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from machnuoc.billing import cutoff_clock, debt_queries, debts, payment_forms, payment_queries
from machnuoc.billing.debt_queries import BUCKETS, Debt
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import DebtCase, DebtStep
from machnuoc.billing.payment_views import (
    EXPECTED,
    get_connection,
    is_filtered,
    person_of,
    require_any,
)
from machnuoc.core import export, files
from machnuoc.core.models import Person, StoredFile
from machnuoc.core.vietnamese import format_date, format_number
from machnuoc.customers import connection_queries, privacy, request_queries, visibility
from machnuoc.customers.models import Connection, Customer, DataAccess
from machnuoc.places import access
from machnuoc.works.models import Work

_PROOFS = frozenset({"pdf", "jpeg", "png"})
_AGES = {"overdue": 0, "30": 1, "60": 2, "90": 3}
REMIND_MOST = 200
ROWS_A_PAGE = 20  # each of them tall on a phone; the sums of all stand above


# --- the list


@require_safe
def debt_list(request: HttpRequest) -> HttpResponseBase:
    """Show who owes, the most first; by station; filters in the address."""
    person, now = person_of(request), timezone.now()
    require_any(person, "serve")
    ids = visibility.list_work_ids(person, "serve")
    works = _works(ids)
    form = payment_forms.DebtFilter(request.GET, works=sorted(works.items(), key=lambda pair: pair[1]))
    said = form.said()
    today = timezone.localdate(now)
    filters = debt_queries.DebtFilters(
        {int(said["work"])} if said["work"] else None if ids is None else set(ids), str(said["q"] or ""),
        _AGES[str(said["age"])] if said["age"] else None, str(said["case"] or ""),
    )  # fmt: skip
    if export.format_of(request):
        return _export(request, debt_queries.list_all(filters, today), form, person)
    page, found = _page(request, filters, today)
    shown, owing = _shown(found.rows), _owing(found.rows)
    cases = debt_queries.live_cases([debt.connection_id for debt in found.rows])
    privacy.log_access(person, DataAccess.What.LIST, now=now, count=len(found.rows), purpose="Danh sách nợ")
    totals = found.totals
    stations = [
        (works.get(pk, ""), pk, sums, list(zip(BUCKETS, sums.buckets, strict=True)))
        for pk, sums in sorted(found.works.items(), key=lambda pair: -pair[1].overdue_vnd)
    ]
    context = {
        "form": form, "page": page, "totals": totals, "ageing": list(zip(BUCKETS, totals.buckets, strict=True)),
        "rows": [
            (
                debt, shown[debt.connection_id], cases.get((debt.connection_id, debt.customer_id)),
                owing[debt.customer_id], debt.customer_id != shown[debt.connection_id].customer_id,
            )
            for debt in found.rows
        ],
        "stations": stations if len(stations) > 1 else [], "is_filtered": is_filtered(request),
        "may_bill": access.may(person, "bill"), "next": request.get_full_path(),
        "has_simulated": Connection.objects.filter(work__in=list(found.works), is_simulated=True).exists(),
    }  # fmt: skip
    return render(request, "billing/debts/list.html", context)


def _works(ids: list[int] | None) -> dict[int, str]:
    rows = Work.objects.filter(operator__isnull=False) if ids is None else Work.objects.filter(pk__in=ids)
    return dict(rows.values_list("pk", "subject__name"))


def _page(
    request: HttpRequest, filters: debt_queries.DebtFilters, today: date
) -> tuple[Any, debt_queries.DebtPage]:  # fmt: skip
    """Return the page of the list that the address asks for; past the end, the last one."""
    asked = request.GET.get("page", "1")
    number = max(1, int(asked)) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 1
    found = debt_queries.get_page(filters, today, offset=(number - 1) * ROWS_A_PAGE, limit=ROWS_A_PAGE)
    page = Paginator(range(found.totals.connections), ROWS_A_PAGE).get_page(number)
    if page.number != number:
        offset = (page.number - 1) * ROWS_A_PAGE
        found = debt_queries.get_page(filters, today, offset=offset, limit=ROWS_A_PAGE)
    return page, found


def _owing(found: list[Debt]) -> dict[int, Customer]:
    return Customer.objects.in_bulk({debt.customer_id for debt in found})


def _shown(found: list[Debt]) -> dict[int, Connection]:
    rows = Connection.objects.filter(pk__in=[debt.connection_id for debt in found])
    return {one.pk: one for one in connection_queries.with_names(rows)}


def _export(request: HttpRequest, found: list[Debt], form: Any, person: Person) -> HttpResponseBase:
    privacy.log_access(person, DataAccess.What.EXPORT, now=timezone.now(), count=len(found), purpose="Xuất công nợ")
    shown: dict[int, Connection] = {}
    owing: dict[int, Customer] = {}
    for start in range(0, len(found), 500):
        shown |= _shown(found[start : start + 500])
        owing |= _owing(found[start : start + 500])
    columns: list[export.Column] = [
        ("Đấu nối", lambda row: shown[row.connection_id].code, "text"),
        ("Khách hàng", lambda row: owing[row.customer_id].name, "text"),
        ("Chủ cũ", lambda row: "có" if row.customer_id != shown[row.connection_id].customer_id else "", "text"),
        ("Địa chỉ", lambda row: shown[row.connection_id].address, "text"),
        ("Trạm", lambda row: shown[row.connection_id].work.subject.name, "text"),
        ("Tổng nợ (đồng)", lambda row: row.total_vnd, "number"),
        ("Chưa đến hạn (đồng)", lambda row: row.not_due_vnd, "number"),
        *((f"Quá hạn {name} (đồng)", _bucket(place), "number") for place, name in enumerate(BUCKETS)),
        ("Hạn cũ nhất", lambda row: row.oldest_due_date, "date"),
        ("Mô phỏng", lambda row: "mô phỏng" if shown[row.connection_id].is_simulated else "", "text"),
    ]
    return export.export(
        request, name="Công nợ", columns=columns, rows=found, filters=form.describe(),
        source_note="Hóa đơn chưa trả theo tuổi nợ",
        simulated=any(one.is_simulated for one in shown.values()),
    )  # fmt: skip


def _bucket(place: int) -> Callable[[Debt], int]:
    return lambda row: row.buckets[place]


# --- cases


@require_POST
def debt_open(request: HttpRequest, code: str) -> HttpResponse:
    """Begin to follow a connection."""
    person = person_of(request)
    connection = get_connection(request, code, "serve")
    visibility.require_connection(person, "bill", connection)
    try:
        case = debts.open_case(connection, now=timezone.now(), by=person)
    except BillingError as reason:
        messages.error(request, str(reason))
        return redirect("billing:debt_list")
    return redirect("billing:debt_case", case.pk)


@require_POST
def debt_remind(request: HttpRequest) -> HttpResponse:
    """Remind several at once: those that were ticked; each gets a case if it has none."""
    person, now = person_of(request), timezone.now()
    require_any(person, "bill")
    codes = request.POST.getlist("code")[:REMIND_MOST]
    connections = list(visibility.list_connections(person, "bill").filter(code__in=codes).select_related("customer"))
    if not connections:
        messages.error(request, "Chưa chọn đấu nối nào. Đánh dấu các dòng cần nhắc rồi bấm lại.")
        return redirect("billing:debt_list")
    done, refused = 0, []
    for connection in connections:
        try:
            debts.remind(debts.open_case(connection, now=now, by=person), now=now, by=person)
            done += 1
        except EXPECTED as reason:
            refused.append(str(reason))
    messages.success(request, f"Đã ghi nhắc nợ {format_number(done)} đấu nối.")
    for text in refused[:5]:
        messages.error(request, text)
    return redirect("billing:debt_list")


def _get_case(request: HttpRequest, pk: int) -> DebtCase:
    case: DebtCase = get_object_or_404(debt_queries.list_cases(person_of(request)), pk=pk)
    return case


@require_safe
def debt_case(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one case: what is owed, the steps taken, what may come next and from which day."""
    return _show_case(request, _get_case(request, pk))


def _show_case(
    request: HttpRequest, case: DebtCase, *, form: Any = None, act_name: str = "", status: int = 200
) -> HttpResponse:
    person, now = person_of(request), timezone.now()
    connection, today = case.connection, timezone.localdate(now)
    standing = debt_queries.standing_of(case, today)
    notice = debt_queries.running_notice(case, today)
    rule = cutoff_clock.rule_on(debt_queries.cutoff_rules(), notice.date if notice else today)
    account = payment_queries.account_of(connection, today, case.customer_id)
    privacy.log_access(person, DataAccess.What.PAGE, now=now, customer=case.customer, purpose="Hồ sơ nợ")
    is_household = case.customer.kind == Customer.Kind.HOUSEHOLD
    allowed = (
        f"{rule.household_weeks} tuần, {rule.household_weeks_with_reason} tuần nếu báo lý do khách quan"
        if is_household else f"{rule.other_working_days} ngày làm việc"
    )  # fmt: skip
    facts = [
        ("Thời hạn luật định", f"{allowed} từ thông báo bằng văn bản ({rule.document})"),
        ("Sớm nhất được ngừng cấp",
         format_date(standing.earliest_date) if standing.earliest_date else "chưa tính được"),
        ("Lý do khách quan", f"{case.objective_reason} ({format_date(case.objective_reason_date)})"
         if case.objective_reason else "không có"),
    ]  # fmt: skip
    context = {
        "case": case, "connection": connection, "standing": standing, "account": account, "facts": facts,
        "bills": [(row, row.bill.name) for row in account.bills], "State": DebtCase.State,
        "disputes": request_queries.list_open_disputes(connection.pk),
        "shown": privacy.show(case.customer, connection, unmasked=True), "steps": list(case.steps.all()),
        "may_bill": visibility.may(person, "bill", connection), "notice": notice,
        "may_approve": visibility.may(person, "approve", connection), "is_household": is_household,
        "form": form or payment_forms.StepForm(), "failed": act_name,
        "is_off": connection.status == Connection.Status.CUT_OFF,
        "has_order": case.work_order is not None and case.work_order.state in {"OPEN", "STARTED", "DONE"},
    }  # fmt: skip
    return render(request, "billing/debts/case.html", context, status=status)


_ACTS = {
    "nhac": "Đã ghi nhắc nợ.", "thong-bao": "Đã ghi thông báo bằng văn bản: thời hạn luật định bắt đầu tính.",
    "ly-do": "Đã ghi lý do khách quan.", "thong-bao-cuoi": "Đã ghi thông báo lần cuối.",
    "tam-dung": "Đã tạm dừng hồ sơ.", "tiep-tuc": "Hồ sơ tiếp tục.", "lap-phieu": "Đã lập phiếu ngừng cấp nước.",
    "da-ngung": "Đã ghi ngừng cấp nước.", "da-mo": "Đã ghi mở nước lại.", "huy": "Đã hủy hồ sơ nợ.",
}  # fmt: skip
_APPROVED = frozenset({"lap-phieu", "huy"})  # of whoever may approve; the other steps of whoever prepares bills


@require_POST
def debt_act(request: HttpRequest, pk: int, act_name: str) -> HttpResponse:
    """Take a step of a case. Whatever somebody's rights are, the clock of the law decides over the cut-off."""
    if act_name not in _ACTS:
        raise Http404
    person, now = person_of(request), timezone.now()
    case = _get_case(request, pk)
    if not visibility.may(person, "approve" if act_name in _APPROVED else "bill", case.connection):
        raise PermissionDenied("Tài khoản của bạn không có quyền làm bước này của hồ sơ nợ.")
    form = payment_forms.StepForm(request.POST, request.FILES)
    if not form.is_valid():
        return _show_case(request, case, form=form, act_name=act_name, status=422)
    text = form.cleaned_data["text"]
    try:
        proof = _keep_proof(form.cleaned_data["proof"], person)
        match act_name:
            case "nhac":
                debts.remind(case, how=text, now=now, by=person)
            case "thong-bao":
                debts.give_notice(case, document=text, proof=proof, now=now, by=person)
            case "ly-do":
                debts.tell_reason(case, reason=text, now=now, by=person)
            case "thong-bao-cuoi":
                debts.give_final_notice(case, document=text, proof=proof, now=now, by=person)
            case "tam-dung":
                debts.pause(case, reason=text, now=now, by=person)
            case "tiep-tuc":
                debts.resume(case, now=now, by=person)
            case "lap-phieu":
                debts.order_cut_off(case, now=now, by=person)
            case "da-ngung":
                debts.record_cut_off(case, note=text, now=now, by=person)
            case "da-mo":
                debts.record_reopened(case, note=text, now=now, by=person)
            case "huy":
                debts.cancel_case(case, reason=text, now=now, by=person)
    except (*EXPECTED, files.RefusedFile) as reason:
        form.add_error(None, str(reason))
        return _show_case(request, _get_case(request, pk), form=form, act_name=act_name, status=422)
    messages.success(request, _ACTS[act_name])
    return redirect(reverse("billing:debt_case", args=[pk]))


def _keep_proof(upload: Any, by: Person) -> StoredFile | None:
    return files.store(upload, name=upload.name, by=by, kinds=_PROOFS) if upload else None


@require_safe
def debt_proof(request: HttpRequest, pk: int, step: int) -> HttpResponseBase:
    """Give the scan of a notice to whoever sees the case: it names the customer, so the look is logged."""
    case = _get_case(request, pk)
    found = get_object_or_404(DebtStep, pk=step, case=case, proof__isnull=False)
    privacy.log_access(
        person_of(request), DataAccess.What.PAGE, now=timezone.now(), customer=case.customer, purpose="văn bản nợ"
    )
    return files.as_download(found.proof)  # type: ignore[arg-type]
