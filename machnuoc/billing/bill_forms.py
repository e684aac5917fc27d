"""The filters of the list of bills, and the form of a correction."""

from typing import Any

from django import forms
from django.utils import timezone

from machnuoc.billing import bill_queries, corrections
from machnuoc.billing.models import Correction
from machnuoc.core.choices import month_choices
from machnuoc.core.number_fields import NumberField, WholeField
from machnuoc.customers.models import Group

_SEARCH = forms.TextInput({"type": "search", "placeholder": "Mã, tên, địa chỉ, số hóa đơn"})


class BillFilter(forms.Form):
    """Shows what the list is filtered by. What the address asks for is read by `read_filters`."""

    q = forms.CharField(label="Tìm", required=False, max_length=100, widget=_SEARCH)
    period = forms.CharField(label="Kỳ", required=False, max_length=7, widget=forms.Select())
    state = forms.ChoiceField(label="Loại", required=False, choices=[("", "Mọi loại"), *bill_queries.STATES])
    group = forms.ChoiceField(label="Đối tượng", required=False, choices=[("", "Mọi đối tượng"), *Group.choices])
    run = forms.CharField(required=False, widget=forms.HiddenInput)
    work = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        months = month_choices(timezone.localdate(), data.get("period", ""))
        self.fields["period"].widget.choices = [("", "Mọi kỳ"), *months]


def read_filters(asked: Any) -> bill_queries.Filters:
    """Return what the address asks for; what cannot be read asks for nothing."""

    def whole(name: str) -> int:
        text = asked.get(name, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0

    return bill_queries.Filters(
        q=asked.get("q", "").replace("\x00", "")[:100], period=asked.get("period", ""), state=asked.get("state", ""),
        group=asked.get("group", ""), run=whole("run"), work=whole("work"),
    )  # fmt: skip


class CorrectionForm(forms.Form):
    """What the bill should have rested on, and why."""

    way = forms.ChoiceField(label="Hình thức", choices=Correction.Way.choices)
    volume_m3 = NumberField(label="Lượng nước đúng (m³)", min_value=0, max_value=10_000_000, decimal_places=3,
                            max_digits=12)  # fmt: skip
    group = forms.ChoiceField(label="Đối tượng đúng", choices=Group.choices)
    households = WholeField(label="Số hộ dùng chung", min_value=1, max_value=5_000)
    persons = WholeField(label="Số người tính định mức", min_value=0, max_value=50_000)
    reason = forms.CharField(
        label="Lý do", max_length=300, widget=forms.Textarea({"rows": 3}),
        help_text="Khách hàng đọc lý do này trên hóa đơn điều chỉnh hoặc thay thế.",
    )  # fmt: skip

    def facts(self) -> corrections.Facts:
        said = self.cleaned_data
        return corrections.Facts(int(said["volume_m3"] * 1000), said["group"], said["households"], said["persons"])


class DecisionForm(forms.Form):
    note = forms.CharField(label="Ý kiến", max_length=300, required=False)
