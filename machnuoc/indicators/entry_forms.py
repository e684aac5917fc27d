"""Forms of entry, approval and sheets."""

from collections.abc import Iterable
from typing import Any

from django import forms

from machnuoc.core.periods import BadPeriod, Period
from machnuoc.indicators import entry_queries
from machnuoc.indicators.models import EntryForm
from machnuoc.places.models import Organisation


class PeriodField(forms.CharField):
    """A period by its key: 2026-07, 2026-Q3, 2026."""

    def clean(self, value: Any) -> Period | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            return Period.parse(text.strip())
        except BadPeriod as reason:
            raise forms.ValidationError(str(reason)) from None


def recent_periods(kind: str, today: Any, count: int = 13) -> list[tuple[str, str]]:
    """Return choices: the current period of the kind and those before it, the newest first."""
    current = Period.containing(today, kind)  # type: ignore[arg-type]
    return [(period.key, period.label_vi) for period in (current.shift(-back) for back in range(count))]


def last_whole_period(kinds: Iterable[str], today: Any) -> str:
    """Return the key of what is usually reported: the last period that has ended, of the first kind; empty without."""
    return next((Period.containing(today, kind).previous.key for kind in kinds), "")  # type: ignore[arg-type]


class OpenSheet(forms.Form):
    """Which sheet to fill in. `target` is «form:organisation», both ids."""

    target = forms.ChoiceField(label="Biểu và đơn vị")
    period = PeriodField(label="Kỳ", max_length=10, widget=forms.Select)

    def __init__(self, fillable: entry_queries.Fillable, today: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fillable = fillable
        self.fields["target"].choices = [  # type: ignore[attr-defined]
            (f"{form.pk}:{organisation.pk}", f"{form.name} · {organisation}")
            for form, organisations in self.fillable
            for organisation in organisations
        ]
        kinds = {form.period_kind: form.get_period_kind_display() for form, _ in self.fillable}
        self.fields["period"].widget.choices = [(label, recent_periods(kind, today)) for kind, label in kinds.items()]
        self.fields["period"].initial = last_whole_period(kinds, today)

    def clean_target(self) -> tuple[EntryForm, Organisation]:
        form_id, _, organisation_id = self.cleaned_data["target"].partition(":")
        for form, organisations in self.fillable:
            for organisation in organisations:
                if (str(form.pk), str(organisation.pk)) == (form_id, organisation_id):
                    return form, organisation
        raise forms.ValidationError("Biểu này không có trong danh sách bạn được nhập. Chọn lại.")


class UploadSheet(forms.Form):
    form = forms.ModelChoiceField(label="Biểu", queryset=EntryForm.objects.none(), empty_label=None)
    period = PeriodField(label="Kỳ", max_length=10, widget=forms.Select)
    file = forms.FileField(
        label="Tệp số liệu",
        help_text="Tệp .xlsx hoặc .csv theo mẫu.",
        widget=forms.ClearableFileInput(attrs={"accept": ".xlsx,.csv"}),
        allow_empty_file=True,  # core.files says it better
        error_messages={"required": "Chọn tệp cần nhập."},
    )

    def __init__(self, fillable: entry_queries.Fillable, today: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["form"].queryset = EntryForm.objects.filter(pk__in=[form.pk for form, _ in fillable])  # type: ignore[attr-defined]
        kinds = {form.period_kind: form.get_period_kind_display() for form, _ in fillable}
        self.fields["period"].widget.choices = [(label, recent_periods(kind, today)) for kind, label in kinds.items()]
        self.fields["period"].initial = last_whole_period(kinds, today)


class QueueFilter(forms.Form):
    q = forms.CharField(label="Đơn vị", required=False, max_length=100, widget=forms.TextInput({"type": "search"}))
    form = forms.ModelChoiceField(
        label="Biểu", queryset=EntryForm.objects.order_by("name"), required=False, empty_label="Mọi biểu"
    )
    look = forms.ChoiceField(
        label="Cảnh báo",
        required=False,
        choices=[("", "Tất cả"), ("none", "Không có cảnh báo"), ("some", "Có điểm cần xem"), ("late", "Nộp trễ")],
    )


class GiveLateException(forms.Form):
    target = forms.ChoiceField(label="Biểu và đơn vị")
    period = PeriodField(label="Kỳ", max_length=10, widget=forms.Select)
    until_date = forms.DateField(
        label="Mở đến hết ngày",
        input_formats=["%Y-%m-%d", "%d/%m/%Y"],
        widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"),
        error_messages={"invalid": "Ngày chưa đúng. Viết như 14/02/2026."},
    )
    reason = forms.CharField(label="Lý do", max_length=300, widget=forms.Textarea({"rows": 2}))

    def __init__(self, pairs: list[tuple[EntryForm, Organisation]], today: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pairs = {f"{form.pk}:{organisation.pk}": (form, organisation) for form, organisation in pairs}
        self.fields["target"].choices = [  # type: ignore[attr-defined]
            (key, f"{form.name} · {organisation}") for key, (form, organisation) in self.pairs.items()
        ]
        kinds = {form.period_kind: form.get_period_kind_display() for form, _ in pairs}
        self.fields["period"].widget.choices = [
            (label, recent_periods(kind, today, 25)) for kind, label in kinds.items()
        ]

    def clean_target(self) -> tuple[EntryForm, Organisation]:
        return self.pairs[self.cleaned_data["target"]]
