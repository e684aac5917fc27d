"""Pages of tariffs: the list, one tariff, its draft as a grid, the day of force; fees, frames, the calculator."""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from machnuoc.billing import tariff, tariff_checks, tariff_sheets, tariff_trial
from machnuoc.billing import tariff_forms as forms
from machnuoc.billing import tariff_operations as operations
from machnuoc.billing import tariff_queries as queries
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import Tariff, TariffPrice
from machnuoc.billing.tariff_checks import Row
from machnuoc.core import audit, export, files, folding, permissions
from machnuoc.core.models import AuditEntry, Person
from machnuoc.customers.models import Group
from machnuoc.indicators.sheets import SheetError
from machnuoc.places import access

_ROWS_A_PAGE = 50
_get_or_post = require_http_methods(["GET", "HEAD", "POST"])
_CHART_TO_M3 = 40
_STRUCTURE_UNITS = {
    tariff.PER_CONNECTION: "m³ một tháng, mỗi hộ",
    tariff.PER_PERSON: "m³ một tháng, mỗi người",
    tariff.FLAT: "mọi mức dùng",
}


def _person(request: HttpRequest) -> Person:
    return request.user  # type: ignore[return-value]


def _tabs() -> list[tuple[str, str, str]]:
    return [
        ("tariffs", "Biểu giá", reverse("billing:tariff_list")),
        ("fees", "Phí bảo vệ môi trường", reverse("billing:fee_rule_list")),
        ("frames", "Khung giá", reverse("billing:price_frame_list")),
        ("trial", "Tính thử", reverse("billing:tariff_trial")),
    ]


def standing(row: Tariff, today: date) -> tuple[str, str]:
    """Return in a word how a tariff stands today, and the tone of its tag."""
    if row.state == Tariff.State.DRAFT:
        return "đang soạn", "warning"
    if row.state == Tariff.State.WITHDRAWN:
        return "đã hủy", "neutral"
    if row.valid_from > today:
        return "sắp áp dụng", "info"
    if row.valid_to is not None and row.valid_to <= today:
        return "đã kết thúc", "neutral"
    return "đang áp dụng", "good"


# --- the list


@require_safe
def tariff_list(request: HttpRequest) -> HttpResponseBase:
    """What is in force today, by scope; by the filter also what was and what will be."""
    person, today = _person(request), timezone.localdate()
    wanted = request.GET.get("show", "")
    shown = wanted if wanted in forms.SHOWS else "now"
    mine = queries.list_tariffs(person)
    words = folding.fold(request.GET.get("q", "")[:100]).split()
    found = [
        row
        for row in queries.with_prices(_of_show(mine, shown, today)).order_by("scope__name", "scope_id", "-valid_from")
        if all(word in folding.fold(f"{row.name} {row.scope.name} {row.decision}") for word in words)
    ]
    if export.format_of(request):
        return _export_list(request, found, today)
    page = Paginator(found, _ROWS_A_PAGE).get_page(request.GET.get("page"))
    rows = [{"tariff": row, "standing": standing(row, today), "prices": _in_short(row)} for row in page.object_list]
    context = {
        "page": page, "rows": rows, "show": shown, "form": forms.TariffFilter({**request.GET.dict(), "show": shown}),
        "tabs": _tabs(), "has_any": bool(found) or mine.exists(), "may_add": access.may(person, "bill"),
        "drafts": mine.filter(state=Tariff.State.DRAFT).count() if shown == "now" else 0,
    }  # fmt: skip
    return render(request, "billing/tariffs/list.html", context)


def _of_show(tariffs: Any, show: str, today: date) -> Any:
    in_force = Q(state=Tariff.State.IN_FORCE)
    return tariffs.filter({
        "now": in_force & Q(valid_from__lte=today) & (Q(valid_to__isnull=True) | Q(valid_to__gt=today)),
        "later": in_force & Q(valid_from__gt=today),
        "draft": Q(state=Tariff.State.DRAFT),
        "past": Q(state=Tariff.State.WITHDRAWN) | in_force & Q(valid_to__lte=today),
        "all": Q(),
    }[show])  # fmt: skip


def _in_short(row: Tariff) -> list[tuple[str, int, int, int]]:
    """Return (group, blocks, lowest, highest price) of the groups of a tariff."""
    found = []
    for code, label in Group.choices:
        prices = [one.price_vnd for one in row.prices.all() if one.group == code]
        if prices:
            found.append((str(label), len(prices), min(prices), max(prices)))
    return found


def _export_list(request: HttpRequest, rows: list[Tariff], today: date) -> HttpResponseBase:
    structures = dict(TariffPrice.Structure.choices)
    columns: Sequence[export.Column] = [
        ("Áp dụng cho", lambda pair: pair[0].scope.name, "text"),
        ("Biểu giá", lambda pair: pair[0].name, "text"),
        ("Tình trạng", lambda pair: standing(pair[0], today)[0], "text"),
        ("Quyết định", lambda pair: pair[0].decision, "text"),
        ("Đối chiếu văn bản", lambda pair: "đã đối chiếu" if pair[0].is_verified else "chưa đối chiếu", "text"),
        ("Từ ngày", lambda pair: pair[0].valid_from, "date"),
        ("Đến trước ngày", lambda pair: pair[0].valid_to, "date"),
        ("Thuế GTGT (%)", lambda pair: pair[0].vat_basis_points / 100, "number"),
        ("Giá đã gồm thuế", lambda pair: "có" if pair[0].includes_vat else "không", "text"),
        ("Đối tượng", lambda pair: str(Group(pair[1].group).label), "text"),
        ("Cách tính", lambda pair: str(structures[pair[1].structure]), "text"),
        ("Từ (m³)", lambda pair: pair[1].from_l / 1_000, "number"),
        ("Đến (m³)", lambda pair: None if pair[1].to_l is None else pair[1].to_l / 1_000, "number"),
        ("Đơn giá (đồng/m³)", lambda pair: pair[1].price_vnd, "number"),
    ]
    return export.export(
        request,
        name="Biểu giá nước",
        columns=columns,
        rows=((row, one) for row in rows for one in queries.rows_of(row)),
        source_note="Biểu giá trong hệ thống, theo quyết định ghi ở từng biểu.",
        simulated=any(row.is_simulated for row in rows),
    )


# --- one tariff


def _get(request: HttpRequest, key: str) -> Tariff:
    return get_object_or_404(queries.with_prices(queries.list_tariffs(_person(request))), key=key)


@require_safe
def tariff_detail(request: HttpRequest, key: str) -> HttpResponseBase:
    row, person, today = _get(request, key), _person(request), timezone.localdate()
    rows = queries.rows_of(row)
    if export.format_of(request) == "xlsx":
        answer = HttpResponse(tariff_sheets.write(rows), content_type=export.XLSX)
        answer["Content-Disposition"] = f'attachment; filename="{row.key}.xlsx"'
        return answer
    problems = queries.find_problems(row, rows)
    may_bill, may_approve = access.may(person, "bill", row.scope_id), access.may(person, "approve", row.scope_id)
    uses = queries.get_uses(row)
    is_draft = row.state == Tariff.State.DRAFT
    siblings = queries.list_tariffs(person).filter(scope_id=row.scope_id).order_by("-valid_from", "-pk")
    context = {
        "tariff": row,
        "standing": standing(row, today),
        "groups": _groups(row, rows),
        "chart": _chart(row),
        "facts": _facts(row),
        "fatal": [one.text for one in problems if one.is_fatal],
        "odd": [one.text for one in problems if not one.is_fatal],
        "uses": uses,
        "history": _history(row),
        "siblings": [(one, standing(one, today)) for one in siblings],
        "is_draft": is_draft,
        "may_edit": may_bill and is_draft,
        "may_copy": may_bill,
        "may_force": may_approve and is_draft,
        "may_withdraw": may_approve and row.state == Tariff.State.IN_FORCE and uses.until is None,
        "may_verify": may_approve and not row.is_verified,
        "trial_url": f"{reverse('billing:tariff_trial')}?tariff={row.key}",
    }
    return render(request, "billing/tariffs/detail.html", context)


def _groups(row: Tariff, rows: list[Row]) -> list[dict[str, Any]]:
    highest = max((one.price_vnd for one in rows), default=1) or 1
    found = []
    for code, label in Group.choices:
        mine = [one for one in rows if one.group == code]
        if not mine:
            continue
        blocks = [
            {
                "number": number,
                "edges": tariff_checks.say_edges(one.from_l, one.to_l),
                "price_vnd": one.price_vnd,
                "with_vat_vnd": tariff_checks.with_vat(one.price_vnd, row.vat_basis_points, row.includes_vat),
                "share": round(20 * one.price_vnd / highest),  # of the bar, in twentieths
            }
            for number, one in enumerate(mine, start=1)
        ]
        found.append({"name": str(label), "unit": _STRUCTURE_UNITS[mine[0].structure], "blocks": blocks})
    return found


def _chart(row: Tariff) -> dict[str, Any] | None:
    """What each further m³ costs, for the groups with blocks."""
    prices = queries.prices_of(row)
    series = []
    for code, label in Group.choices:
        found = prices.groups.get(code)
        if found is None or len(found.blocks) < 2:
            continue
        values = []
        for m3 in range(1, _CHART_TO_M3 + 1):
            block = next((one for one in found.blocks if one.to_l is None or m3 * 1_000 <= one.to_l), None)
            values.append(block.price_vnd if block else None)
        per = " (mỗi người)" if found.structure == tariff.PER_PERSON else ""
        series.append({"name": f"{label}{per}", "values": values})
    if not series:
        return None
    return {
        "type": "line", "unit": "đồng/m³", "decimals": 0, "category_title": "Mét khối thứ", "from_zero": True,
        "categories": [str(m3) for m3 in range(1, _CHART_TO_M3 + 1)], "series": series,
    }  # fmt: skip


def _facts(row: Tariff) -> list[tuple[str, Any]]:
    vat = f"{forms.percent_text(row.vat_basis_points)}, " + (
        "đã gồm trong đơn giá" if row.includes_vat else "tính thêm"
    )
    minimum_l = row.minimum_l_per_household
    facts: list[tuple[str, Any]] = [
        ("Áp dụng cho", row.scope.name),
        ("Quyết định", row.decision),
        ("Ngày quyết định", f"{row.decision_date:%d/%m/%Y}" if row.decision_date else ""),
        ("Khu vực", row.get_area_display()),
        ("Từ ngày", f"{row.valid_from:%d/%m/%Y}"),
        ("Đến trước ngày", f"{row.valid_to:%d/%m/%Y}" if row.valid_to else "đến khi có biểu giá mới"),
        ("Thuế GTGT", vat),
    ]
    if minimum_l:
        text = (
            f"{minimum_l / 1000:g} m³/hộ/tháng với đồng hồ dùng chung. NĐ 124/2011/NĐ-CP đã bỏ mức sử dụng tối thiểu."
        )
        facts.append(("Mức tối thiểu", text))
    if row.note:
        facts.append(("Ghi chú", row.note))
    return facts


def _history(row: Tariff) -> list[dict[str, Any]]:
    entries = list(
        AuditEntry.objects.filter(target_kind="billing.tariff", target_id=str(row.pk))
        .select_related("actor")
        .order_by("-id")[:20]
    )
    texts = audit.sentences(entries)
    return [
        {"text": text, "at": timezone.localtime(entry.at), "icon": "history", "tone": ""}
        for entry, text in zip(entries, texts, strict=True)
    ]


# --- drafts


@_get_or_post
def tariff_add(request: HttpRequest) -> HttpResponse:
    person, today = _person(request), timezone.localdate()
    access.require(person, "bill")
    example = next((one for one in queries.list_examples() if one.key == request.GET.get("mau")), None)
    initial: dict[str, Any] = {"valid_from": today.replace(day=1)}
    rows: Sequence[Row] = ()
    if example is not None:
        rows = example.rows
        initial |= {
            "name": example.name, "area": example.area, "decision": example.decision, "note": example.note,
            "decision_date": example.decision_date,
            "includes_vat": "" if example.includes_vat is None else str(int(example.includes_vat)),
        }  # fmt: skip
    if request.method != "POST":
        form = forms.TariffForm(initial=initial, person=person)
        return _render_editor(request, form, forms.PriceGrid.of_rows(rows), None)
    form, grid = forms.TariffForm(request.POST, person=person), forms.PriceGrid.of_data(request.POST)
    if form.is_valid() and not grid.problems:
        try:
            made = operations.add_draft(rows=grid.rows, by=person, **form.said())
        except BillingError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã lưu bản soạn «{made.name}». Người có quyền duyệt đưa vào áp dụng.")
            return redirect("billing:tariff_detail", made.key)
    return _render_editor(request, form, grid, None, status=422)


@_get_or_post
def tariff_edit(request: HttpRequest, key: str) -> HttpResponse:
    row, person = _get_own(request, key, "bill"), _person(request)
    if request.method != "POST":
        if row.state != Tariff.State.DRAFT:
            messages.error(request, "Biểu giá đã áp dụng thì không sửa: sao chép thành bản soạn mới rồi sửa.")
            return redirect("billing:tariff_detail", key)
        form = forms.TariffForm(initial=forms.TariffForm.initial_of(row), person=person)
        return _render_editor(request, form, forms.PriceGrid.of_rows(queries.rows_of(row)), row)
    form, grid = forms.TariffForm(request.POST, person=person), forms.PriceGrid.of_data(request.POST)
    if form.is_valid() and not grid.problems:
        try:
            operations.edit_draft(
                row, version=form.cleaned_data["version"] or 0, rows=grid.rows, by=person, **form.said()
            )
        except BillingError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã lưu bản soạn.")
            return redirect("billing:tariff_detail", key)
    return _render_editor(request, form, grid, row, status=422)


def _get_own(request: HttpRequest, key: str, action: str) -> Tariff:
    row = _get(request, key)
    if not access.may(_person(request), action, row.scope_id):
        what = "lập hóa đơn" if action == "bill" else "duyệt"
        raise PermissionDenied(f"Chỉ người có quyền {what} ở {row.scope.name} mới làm được việc này.")
    return row


def _render_editor(
    request: HttpRequest, form: forms.TariffForm, grid: forms.PriceGrid, row: Tariff | None, status: int = 200
) -> HttpResponse:
    context = {
        "form": form, "grid": grid, "tariff": row, "examples": [] if row else queries.list_examples(),
        "sheet_form": forms.SheetForm() if row else None,
        "title": "Sửa bản soạn biểu giá" if row else "Soạn biểu giá",
    }  # fmt: skip
    return render(request, "billing/tariffs/editor.html", context, status=status)


@require_safe
def tariff_template(request: HttpRequest) -> HttpResponse:
    access.require(_person(request), "bill")
    answer = HttpResponse(tariff_sheets.write([]), content_type=export.XLSX)
    answer["Content-Disposition"] = 'attachment; filename="bieu-gia.xlsx"'
    return answer


@require_POST
def tariff_import(request: HttpRequest, key: str) -> HttpResponse:
    """Read a sheet into the grid, to be looked at and saved; nothing is written yet."""
    row, person = _get_own(request, key, "bill"), _person(request)
    if row.state != Tariff.State.DRAFT:
        messages.error(request, "Chỉ nạp được đơn giá vào bản đang soạn: sao chép thành bản soạn mới rồi nạp.")
        return redirect("billing:tariff_detail", key)
    form = forms.SheetForm(request.POST, request.FILES)
    if not form.is_valid():
        messages.error(request, "Chọn tệp .xlsx hoặc .csv rồi nạp lại.")
        return redirect("billing:tariff_edit", key)
    file = form.cleaned_data["file"]
    try:
        stored = files.store(file, name=file.name, by=person, kinds=frozenset({"xlsx", "csv"}))
        rows, problems = tariff_sheets.read(stored, file.name)
    except (files.RefusedFile, SheetError) as reason:
        messages.error(request, str(reason))
        return redirect("billing:tariff_edit", key)
    for problem in problems[:20]:
        messages.error(request, f"{file.name}, {str(problem)[0].lower()}{str(problem)[1:]}")
    editor = forms.TariffForm(initial=forms.TariffForm.initial_of(row), person=person)
    if problems:
        messages.error(request, "Các dòng có lỗi chưa được đưa vào bảng. Sửa tệp rồi nạp lại, hoặc nhập tay.")
    else:
        messages.info(
            request, f"Đã đọc {len(rows)} bậc giá từ {file.name}. Xem lại bảng rồi bấm Lưu; chưa có gì thay đổi."
        )
    return _render_editor(request, editor, forms.PriceGrid.of_rows(rows), row, status=422 if problems else 200)


@require_POST
def tariff_copy(request: HttpRequest, key: str) -> HttpResponse:
    row = _get_own(request, key, "bill")
    made = operations.copy(row, valid_from=timezone.localdate().replace(day=1), by=_person(request))
    messages.success(request, "Đã sao chép thành bản soạn mới.")
    return redirect("billing:tariff_edit", made.key)


@require_POST
def tariff_delete(request: HttpRequest, key: str) -> HttpResponse:
    row = _get_own(request, key, "bill")
    return _act(
        request, key, lambda: operations.delete_draft(row, by=_person(request)), "Đã xóa bản soạn.", is_gone=True
    )


# --- in force


@_get_or_post
def tariff_force(request: HttpRequest, key: str) -> HttpResponse:
    """Choose the day and read what is odd before it applies."""
    row, person = _get_own(request, key, "approve"), _person(request)
    if row.state != Tariff.State.DRAFT:
        messages.error(request, f"Biểu giá này đang ở tình trạng «{row.get_state_display()}», không phải bản soạn.")
        return redirect("billing:tariff_detail", key)
    form = forms.ForceForm(request.POST or None, initial={"valid_from": row.valid_from})
    odd: list[str] = []
    if request.method == "POST" and form.is_valid():
        try:
            operations.put_in_force(row, by=person, **form.cleaned_data)
        except operations.NeedsConfirmation as reason:
            odd = reason.texts
        except BillingError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Biểu giá «{row.name}» áp dụng từ {form.cleaned_data['valid_from']:%d/%m/%Y}.")
            return redirect("billing:tariff_detail", key)
    others = queries.list_tariffs(person).filter(scope_id=row.scope_id, state=Tariff.State.IN_FORCE)
    current = queries.in_force_on(others, row.valid_from)
    context = {"tariff": row, "form": form, "odd": odd, "current": current[0] if current else None}
    return render(request, "billing/tariffs/force.html", context, status=422 if request.method == "POST" else 200)


@require_POST
def tariff_withdraw(request: HttpRequest, key: str) -> HttpResponse:
    row = _get_own(request, key, "approve")
    return _act(request, key, lambda: operations.withdraw(row, by=_person(request)), "Đã hủy biểu giá.")


@require_POST
def tariff_verify(request: HttpRequest, key: str) -> HttpResponse:
    row = _get_own(request, key, "approve")
    return _act(
        request, key, lambda: operations.set_verified(row, by=_person(request)), "Đã ghi nhận đối chiếu văn bản."
    )


def _act(request: HttpRequest, key: str, act: Callable[[], Any], done: str, *, is_gone: bool = False) -> HttpResponse:
    try:
        act()
    except BillingError as reason:
        messages.error(request, str(reason))
        return redirect("billing:tariff_detail", key)
    messages.success(request, done)
    return redirect("billing:tariff_list") if is_gone else redirect("billing:tariff_detail", key)


# --- fees and frames


@_get_or_post
def fee_rule_list(request: HttpRequest) -> HttpResponseBase:
    """Where and for whom the environment fee is collected; who may approve sets it."""
    person, today = _person(request), timezone.localdate()
    rules = list(queries.list_fee_rules(person))
    if export.format_of(request):
        columns: Sequence[export.Column] = [
            ("Áp dụng cho", lambda rule: rule.scope.name, "text"),
            ("Đối tượng", lambda rule: rule.get_group_display() if rule.group else "Mọi đối tượng", "text"),
            ("Mức phí (%)", lambda rule: rule.basis_points / 100, "number"),
            ("Từ ngày", lambda rule: rule.valid_from, "date"),
            ("Đến trước ngày", lambda rule: rule.valid_to, "date"),
            ("Căn cứ", lambda rule: rule.document, "text"),
            ("Đối chiếu văn bản", lambda rule: "đã đối chiếu" if rule.is_verified else "chưa đối chiếu", "text"),
        ]
        return export.export(request, name="Phí bảo vệ môi trường", columns=columns, rows=rules)
    may_set = access.may(person, "approve")
    if request.method == "POST" and not may_set:
        raise PermissionDenied("Chỉ người có quyền duyệt mới đặt được mức phí.")
    initial = {"valid_from": today, "document": "Nghị định 346/2025/NĐ-CP"}
    form = forms.FeeRuleForm(request.POST or None, person=person, initial=initial) if may_set else None
    odd: list[str] = []
    if request.method == "POST" and form is not None and form.is_valid():
        try:
            operations.add_fee_rule(by=person, **form.said())
        except operations.NeedsConfirmation as reason:
            odd = reason.texts
        except BillingError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã đặt mức phí bảo vệ môi trường.")
            return redirect("billing:fee_rule_list")
    if form is not None and not odd:
        del form.fields["is_confirmed"]
    own = set(access.visible_subject_ids(person, "approve").filter(descendant_id__in={rule.scope_id for rule in rules}))
    rows = [
        {
            "rule": rule, "rate": forms.describe_fee(rule), "may_remove": rule.scope_id in own and not rule.valid_to,
            "is_now": rule.valid_from <= today and (rule.valid_to is None or today < rule.valid_to),
        }
        for rule in rules
    ]  # fmt: skip
    context = {"rows": rows, "form": form, "odd": odd, "tabs": _tabs(), "today": today}
    return render(
        request, "billing/tariffs/fees.html", context, status=422 if request.method == "POST" else 200
    )  # fmt: skip


@require_POST
def fee_rule_remove(request: HttpRequest, pk: int) -> HttpResponse:
    person = _person(request)
    rule = get_object_or_404(queries.list_fee_rules(person), pk=pk)
    if not access.may(person, "approve", rule.scope_id):
        raise PermissionDenied("Chỉ người có quyền duyệt mới bỏ được mức phí.")
    try:
        operations.remove_fee_rule(rule, by=person)
        messages.success(request, "Đã bỏ mức phí.")
    except BillingError as reason:
        messages.error(request, str(reason))
    return redirect("billing:fee_rule_list")


@_get_or_post
def price_frame_list(request: HttpRequest) -> HttpResponseBase:
    """The frames of prices; they are the country's, so who administers all of it adds one."""
    person, today = _person(request), timezone.localdate()
    frames = queries.list_frames()
    if export.format_of(request):
        columns: Sequence[export.Column] = [
            ("Khu vực", lambda frame: frame.get_area_display(), "text"),
            ("Tối thiểu (đồng/m³, gồm thuế)", lambda frame: frame.low_vnd, "number"),
            ("Tối đa (đồng/m³, gồm thuế)", lambda frame: frame.high_vnd, "number"),
            ("Từ ngày", lambda frame: frame.valid_from, "date"),
            ("Đến trước ngày", lambda frame: frame.valid_to, "date"),
            ("Văn bản", lambda frame: frame.document, "text"),
        ]
        return export.export(request, name="Khung giá nước sạch", columns=columns, rows=frames)
    may_add = permissions.may_everywhere(person, "administer")
    if request.method == "POST" and not may_add:
        raise PermissionDenied("Khung giá là của cả nước: chỉ quản trị viên toàn quốc thêm được.")
    form = forms.FrameForm(request.POST or None, initial={"valid_from": today}) if may_add else None
    if request.method == "POST" and form is not None and form.is_valid():
        try:
            operations.add_frame(by=person, **form.cleaned_data)
        except BillingError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã thêm khung giá.")
            return redirect("billing:price_frame_list")
    rows = [(one, one.valid_from <= today and (one.valid_to is None or today < one.valid_to)) for one in frames]
    context = {"rows": rows, "form": form, "tabs": _tabs()}
    return render(
        request, "billing/tariffs/frames.html", context, status=422 if request.method == "POST" else 200
    )  # fmt: skip


# --- the calculator


@require_safe
def tariff_trial_page(request: HttpRequest) -> HttpResponse:
    person, today = _person(request), timezone.localdate()
    mine = queries.list_tariffs(person)
    tariffs = list(_of_show(mine, "now", today).order_by("scope__name", "pk"))
    asked = request.GET.get("tariff", "")
    if asked and asked not in {row.key for row in tariffs}:
        tariffs += list(mine.filter(key=asked).exclude(state=Tariff.State.WITHDRAWN))
    context = {**_try(request, tariffs, today), "tabs": _tabs()}
    return render(request, "billing/tariffs/trial.html", context)


@login_not_required
@require_safe
def public_trial(request: HttpRequest) -> HttpResponse:
    """Anybody may see what their water costs: prices are public, nothing else is read."""
    today = timezone.localdate()
    tariffs = list(_of_show(Tariff.objects.select_related("scope"), "now", today).order_by("scope__name", "pk"))
    return render(request, "billing/tariffs/public_trial.html", _try(request, tariffs, today))


def _try(request: HttpRequest, tariffs: list[Tariff], today: date) -> dict[str, Any]:
    given = {**forms.TrialForm.initial_for(today, tariffs), **request.GET.dict()}
    form = forms.TrialForm(given, tariffs=tariffs)
    trial = None
    if tariffs and form.is_valid():
        try:
            trial = tariff_trial.try_out(**form.said())
        except tariff.CannotCharge as reason:
            form.add_error(None, str(reason))
    return {
        "form": form, "trial": trial, "has_any": bool(tariffs),
        "fee_rates": ", ".join(forms.percent_text(bp) for bp in trial.fees if bp) if trial else "",
    }  # fmt: skip
