"""Forms of billing runs, and of how an operator bills."""

import re
from datetime import date
from typing import Any

from django import forms
from django.utils import timezone

from machnuoc.billing import run_queries
from machnuoc.billing.models import BillingProfile, BillingRun, RunSkip
from machnuoc.core.choices import OneOf, month_choices
from machnuoc.core.models import Person
from machnuoc.core.number_fields import WholeField
from machnuoc.places.models import Subject

_MONTHS_BACK = 13


class OpenForm(forms.Form):
    """Which month, for whom."""

    period = forms.TypedChoiceField(label="Kỳ hóa đơn", coerce=date.fromisoformat)
    scope = OneOf(
        Subject.objects.none(), label="Lập cho", empty_label="Chọn đơn vị hoặc công trình",
        help_text="Cả đơn vị thì một đợt gồm mọi công trình của đơn vị.",
    )  # fmt: skip

    def __init__(self, data: Any, *, person: Person, today: date) -> None:
        super().__init__(data)
        scopes = run_queries.list_scopes(person)
        self.fields["scope"].queryset = Subject.objects.filter(pk__in=[one.pk for one in scopes])  # type: ignore[attr-defined]
        if len(scopes) == 1:
            self.fields["scope"].initial = scopes[0].pk
        months = []
        month = today.replace(day=1)
        for _ in range(_MONTHS_BACK):
            months.append((month.isoformat(), f"Tháng {month:%m/%Y}"))
            month = run_queries.suggest_month(month)
        self.fields["period"].choices = months  # type: ignore[attr-defined]
        self.fields["period"].initial = run_queries.suggest_month(today).isoformat()


class RunFilter(forms.Form):
    state = forms.ChoiceField(label="Bước", required=False, choices=[("", "Mọi bước"), *BillingRun.State.choices])
    period = forms.CharField(label="Kỳ", required=False, max_length=7, widget=forms.Select())

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        months = month_choices(timezone.localdate(), data.get("period", ""))
        self.fields["period"].widget.choices = [("", "Mọi kỳ"), *months]


class SkipFilter(forms.Form):
    reason = forms.ChoiceField(label="Lý do", required=False, choices=[("", "Mọi lý do"), *RunSkip.Reason.choices])
    waiting = forms.BooleanField(label="Chỉ những đấu nối còn chưa có hóa đơn", required=False)


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """Who the operator is on its bills, where money goes, and the series of numbers."""

    version = forms.IntegerField(widget=forms.HiddenInput, required=False)
    due_days = WholeField(label="Hạn thanh toán (ngày sau khi phát hành)", min_value=1, max_value=90)
    series_form = forms.CharField(label="Mẫu số", max_length=1, initial="1")
    series_code = forms.CharField(
        label="Ký hiệu hóa đơn", max_length=6, min_length=6,
        help_text="Sáu ký tự như đã đăng ký, ví dụ K26TAA. Đổi ký hiệu thì số chạy lại từ 1; hóa đơn cũ giữ nguyên.",
    )  # fmt: skip

    class Meta:
        model = BillingProfile
        fields = (
            "legal_name", "tax_code", "address", "phone", "bank_bin", "bank_account", "bank_account_name", "due_days",
        )  # fmt: skip

    def clean_tax_code(self) -> str:
        text = str(self.cleaned_data["tax_code"]).strip()
        if not re.fullmatch(r"\d{10}(-\d{3})?|\d{12}", text):
            raise forms.ValidationError("Mã số thuế có 10 chữ số, 10 chữ số và -3 chữ số, hoặc 12 chữ số.")
        return text

    def clean_series_code(self) -> str:
        text = str(self.cleaned_data["series_code"]).strip().upper()
        if not re.fullmatch(r"[CK]\d{2}[A-Z]{3}", text):
            raise forms.ValidationError(
                "Ký hiệu gồm C hoặc K, hai số cuối của năm và ba chữ cái, ví dụ K26TAA. Nhập lại ký hiệu."
            )
        return text

    def clean_series_form(self) -> str:
        text = str(self.cleaned_data["series_form"]).strip()
        if text not in {"1", "2", "3", "4", "5", "6"}:
            raise forms.ValidationError("Mẫu số là một chữ số từ 1 đến 6; hóa đơn giá trị gia tăng là 1.")
        return text

    def clean_bank_bin(self) -> str:
        text = str(self.cleaned_data.get("bank_bin") or "").strip()
        if text and not re.fullmatch(r"\d{6}", text):
            raise forms.ValidationError("Mã ngân hàng (BIN) có 6 chữ số, ví dụ 970436.")
        return text

    def clean_bank_account_name(self) -> str:
        text = str(self.cleaned_data.get("bank_account_name") or "").strip().upper()
        if not text.isascii():
            raise forms.ValidationError("Viết tên tài khoản không dấu, như ngân hàng in.")
        return text
