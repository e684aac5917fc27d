"""Pages of the catalogue of quantities: the built-in ones, and the own ones that people add."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from machnuoc.core import export, units
from machnuoc.core.models import Person
from machnuoc.core.number_fields import NumberField, WholeField
from machnuoc.telemetry import quantity_operations
from machnuoc.telemetry.device_forms import shown
from machnuoc.telemetry.device_views import form_page, tabs
from machnuoc.telemetry.models import Channel, OwnQuantity
from machnuoc.telemetry.quantities import QUANTITIES, Quantity
from machnuoc.telemetry.quantity_operations import QuantityError

_get_or_post = require_http_methods(["GET", "HEAD", "POST"])


def _units() -> list[tuple[str, str]]:
    """Return units that a device can measure in: not those of people, works and money."""
    counted = {"household", "person", "customer", "connection", "work", "commune", "sample", "money"}
    return [
        (key, unit.label_vi if unit.label_vi == key else f"{unit.label_vi or 'không đơn vị'} ({key})")
        for key, unit in units.UNITS.items()
        if key not in ("count", "task", "ratio") and not counted & {name for name, _ in unit.dimension.powers}
    ]


class QuantityForm(forms.Form):
    name = forms.CharField(label="Tên", max_length=80, help_text="Như sẽ hiện trên màn hình, ví dụ Nitrat.")
    key = forms.CharField(
        label="Khóa", max_length=16, help_text="Chữ thường không dấu, số, «_»; không đổi được về sau. Ví dụ nitrate."
    )
    unit = forms.ChoiceField(label="Đơn vị lưu", choices=_units, help_text="Đã có kênh thì không đổi được nữa.")
    accepted_units = forms.MultipleChoiceField(
        label="Đơn vị khác mà thiết bị được gửi", choices=_units, required=False,
        widget=forms.SelectMultiple({"size": "6"}), help_text="Phải đổi được ra đơn vị lưu.",
    )  # fmt: skip
    kind = forms.ChoiceField(label="Loại", choices=OwnQuantity.Kind.choices, initial=OwnQuantity.Kind.INSTANT)
    low = NumberField(label="Tin được từ", help_text="Theo đơn vị lưu. Số ngoài khoảng vẫn giữ, mang dấu.")
    high = NumberField(label="Tin được đến")
    decimals = WholeField(label="Số chữ số lẻ", min_value=0, max_value=quantity_operations.DECIMALS_MOST, initial=2)
    definition = forms.CharField(label="Định nghĩa (URI)", max_length=300, required=False)
    description = forms.CharField(label="Mô tả", max_length=300, required=False)

    def __init__(self, data: QueryDict | None, *, row: OwnQuantity | None = None) -> None:
        initial: dict[str, Any] = {}
        if row is not None:
            initial = {name: getattr(row, name) for name in self.base_fields}
            initial |= {"low": shown(row.low), "high": shown(row.high)}
        super().__init__(data, initial=initial)
        if row is not None:
            del self.fields["key"]

    def said(self) -> dict[str, Any]:
        given = dict(self.cleaned_data)
        return {**given, "low": float(given["low"]), "high": float(given["high"])}


def _person(request: HttpRequest) -> Person:
    return request.user  # type: ignore[return-value]


@require_safe
def quantity_list(request: HttpRequest) -> HttpResponseBase:
    rows = list(QUANTITIES.values())
    used = set(Channel.objects.filter(quantity__in=QUANTITIES.own()).values_list("quantity", flat=True).distinct())
    if export.format_of(request):
        columns: Sequence[export.Column] = [
            ("Khóa", lambda row: row.key, "text"), ("Đại lượng", lambda row: row.name, "text"),
            ("Đơn vị lưu", lambda row: units.label(row.unit), "text"),
            ("Đơn vị khác được gửi", lambda row: ", ".join(map(units.label, row.accepted_units)), "text"),
            ("Loại", _kind_of, "text"), ("Tin được từ", lambda row: row.low, "number"),
            ("Tin được đến", lambda row: row.high, "number"), ("Số chữ số lẻ", lambda row: row.decimals, "number"),
            ("Nguồn", lambda row: "tự thêm" if row.is_own else "có sẵn", "text"),
            ("Định nghĩa", lambda row: row.definition, "text"), ("Mô tả", lambda row: row.description, "text"),
        ]  # fmt: skip
        return export.export(request, name="Đại lượng", columns=columns, rows=rows)
    listed = [
        {
            "row": row, "unit": units.label(row.unit), "others": ", ".join(map(units.label, row.accepted_units)),
            "kind": _kind_of(row), "is_used": row.key in used,
        }
        for row in rows
    ]  # fmt: skip
    context = {
        "rows": listed, "tabs": tabs(), "own": len(QUANTITIES.own()),
        "may_change": quantity_operations.may_change(_person(request)),
    }  # fmt: skip
    return render(request, "telemetry/devices/quantities.html", context)


def _kind_of(row: Quantity) -> str:
    return str(OwnQuantity.Kind(row.kind).label)


@_get_or_post
def quantity_add(request: HttpRequest) -> HttpResponse:
    return _save(request, None)


@_get_or_post
def quantity_edit(request: HttpRequest, key: str) -> HttpResponse:
    _require(request)
    return _save(request, get_object_or_404(OwnQuantity, key=key))


@_get_or_post
def quantity_delete(request: HttpRequest, key: str) -> HttpResponse:
    _require(request)
    row = get_object_or_404(OwnQuantity, key=key)
    form = forms.Form(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            quantity_operations.delete_quantity(row, by=_person(request))
        except QuantityError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã xóa đại lượng «{row}».")
            return redirect("telemetry:quantity_list")
    return form_page(
        request, form, title=f"Xóa đại lượng «{row}»", back=reverse("telemetry:quantity_list"), button="Xóa",
        lead="Chỉ xóa được đại lượng chưa có kênh đo và giới hạn nào dùng.",
    )  # fmt: skip


def _require(request: HttpRequest) -> None:
    if not quantity_operations.may_change(_person(request)):
        raise PermissionDenied("Danh mục đại lượng do quản trị viên của cả hệ thống thêm, sửa.")


def _save(request: HttpRequest, row: OwnQuantity | None) -> HttpResponse:
    _require(request)
    form = QuantityForm(request.POST if request.method == "POST" else None, row=row)
    if form.is_bound and form.is_valid():
        try:
            saved = quantity_operations.put_quantity(
                **{"key": row.key if row else "", **form.said()}, row=row, by=_person(request)
            )
        except QuantityError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã lưu đại lượng «{saved}». Kênh mới chọn được ngay.")
            return redirect("telemetry:quantity_list")
    return form_page(
        request, form, title=f"Sửa đại lượng «{row}»" if row else "Thêm đại lượng",
        back=reverse("telemetry:quantity_list"),
        lead="Mỗi đại lượng có một đơn vị lưu. Xem danh sách trước: hai đại lượng cùng nghĩa làm số liệu rời nhau.",
    )  # fmt: skip
