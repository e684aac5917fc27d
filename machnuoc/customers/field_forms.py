"""The filter of items that phones sent."""

from django import forms

from machnuoc.customers.models import FieldItem
from machnuoc.customers.reading_forms import DescribedFilter


class ItemFilter(DescribedFilter):
    fate = forms.ChoiceField(label="Kết quả", required=False, choices=[("", "Mọi kết quả"), *FieldItem.Fate.choices])
    days = forms.ChoiceField(
        label="Nhận trong", required=False,
        choices=[("", "31 ngày qua"), ("1", "24 giờ qua"), ("7", "7 ngày qua"), ("92", "92 ngày qua"),
                 ("3660", "Tất cả")],
    )  # fmt: skip
    q = forms.CharField(
        label="Đấu nối, người gửi", required=False, max_length=60,
        widget=forms.TextInput({"type": "search", "placeholder": "Mã đấu nối, tên người gửi"}),
    )  # fmt: skip
