"""Filters and forms of indicators: the catalogue, a ranking, formulas, bands, own measures."""

import re
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.text import slugify

from machnuoc.core import folding, units, vietnamese
from machnuoc.indicators import bands
from machnuoc.indicators.models import Band, Metric, PeriodKind
from machnuoc.places.models import Grant, Subject

_SEARCH = {"type": "search"}
_ANY = ("", "Tất cả")


class CatalogueFilter(forms.Form):
    q = forms.CharField(
        label="Tìm", required=False, max_length=100,
        widget=forms.TextInput(attrs={**_SEARCH, "placeholder": "Tên chỉ tiêu, có dấu hoặc không"}),
    )  # fmt: skip
    kind = forms.ChoiceField(label="Loại", required=False, choices=[_ANY, *Metric.Kind.choices])
    field = forms.ChoiceField(
        label="Lĩnh vực", required=False,
        choices=[_ANY, *[choice for choice in Grant.Field.choices if choice[0] != Grant.Field.ALL]],
    )  # fmt: skip


class RankingFilter(forms.Form):
    """Filters of a ranking. Period, scenario and tab travel along as hidden fields."""

    tab = forms.CharField(required=False, widget=forms.HiddenInput)
    period = forms.CharField(required=False, widget=forms.HiddenInput)
    scenario = forms.CharField(required=False, widget=forms.HiddenInput)
    q = forms.CharField(
        label="Tìm nơi", required=False, max_length=100, widget=forms.TextInput(attrs={**_SEARCH, "placeholder": "Tên"})
    )
    level = forms.ChoiceField(label="Cấp", required=False)
    province = forms.ChoiceField(label="Tỉnh, thành phố", required=False)
    organisation = forms.ChoiceField(label="Tổ chức", required=False)
    band = forms.ChoiceField(label="Mức", required=False)

    def offer(
        self,
        levels: list[tuple[str, str]],
        provinces: list[tuple[str, str]],
        organisations: list[tuple[str, str]],
        band_choices: list[tuple[str, str]],
    ) -> None:
        for name, choices in (
            ("level", levels), ("province", provinces), ("organisation", organisations), ("band", band_choices),
        ):  # fmt: skip
            if choices:
                self.fields[name].choices = [_ANY, *choices]  # type: ignore[attr-defined]
            else:
                del self.fields[name]


class NewFormula(forms.Form):
    """A formula version: live-checked while it is typed, saved with the day from which it holds."""

    numerator = forms.CharField(
        label="Tử số", max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "class": "is-code"}),
        help_text="Ví dụ: <code>losses.system_input_m3 - losses.billed_m3</code>",
    )  # fmt: skip
    denominator = forms.CharField(
        label="Mẫu số", max_length=2000, required=False,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text="Để trống nếu chỉ tiêu không phải là tỷ lệ.",
    )  # fmt: skip
    factor = forms.TypedChoiceField(
        label="Nhân với", coerce=int, choices=[(1, "1"), (100, "100 (phần trăm)"), (1000, "1.000")], initial=100
    )
    from_date = forms.DateField(
        label="Áp dụng từ ngày", required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text="Kỳ bắt đầu từ ngày này trở đi tính theo công thức mới; kỳ trước giữ công thức cũ.",
    )  # fmt: skip

    def clean_numerator(self) -> str:
        return " ".join(str(self.cleaned_data["numerator"]).split())

    def clean_denominator(self) -> str:
        return " ".join(str(self.cleaned_data["denominator"]).split())


class NewBands(forms.Form):
    name = forms.CharField(
        label="Tên bộ mức", max_length=200, help_text="Kèm căn cứ, ví dụ «Mức thất thoát (Biểu 02)»."
    )
    scope = forms.ChoiceField(label="Áp dụng cho")
    valid_from = forms.DateField(
        label="Từ ngày", required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text="Bắt buộc khi thay bộ mức đang áp dụng.",
    )  # fmt: skip

    def offer(self, scopes: list[tuple[str, str]]) -> None:
        self.fields["scope"].choices = scopes  # type: ignore[attr-defined]


class BandLevel(forms.Form):
    """One level of a band scheme; a row left wholly empty is no level."""

    label = forms.CharField(label="Tên mức", max_length=60, required=False)
    lower = forms.CharField(
        label="Cận dưới", max_length=20, required=False, widget=forms.TextInput({"inputmode": "decimal"})
    )
    lower_inclusive = forms.BooleanField(label="gồm cận dưới", required=False)
    upper = forms.CharField(
        label="Cận trên", max_length=20, required=False, widget=forms.TextInput({"inputmode": "decimal"})
    )
    upper_inclusive = forms.BooleanField(label="gồm cận trên", required=False)
    severity = forms.ChoiceField(label="Ý nghĩa", choices=Band.Severity.choices, initial=Band.Severity.INFO)

    def _edge(self, name: str) -> Decimal | None:
        text = self.cleaned_data.get(name, "")
        if not text.strip():
            return None
        try:
            return vietnamese.parse_number(text)
        except ValueError as reason:
            raise forms.ValidationError(str(reason)) from None

    def clean_lower(self) -> Decimal | None:
        return self._edge("lower")

    def clean_upper(self) -> Decimal | None:
        return self._edge("upper")

    def as_band(self) -> bands.Band:
        data = self.cleaned_data
        code = slugify(folding.fold(data["label"])).replace("-", "_")[:20]
        return bands.Band(
            code, data["label"].strip(), data["lower"], data["lower_inclusive"], data["upper"], data["upper_inclusive"],
            data["severity"],
        )  # fmt: skip

    @property
    def is_empty(self) -> bool:
        data = self.cleaned_data
        return not data.get("label") and data.get("lower") is None and data.get("upper") is None


BandLevels = forms.formset_factory(BandLevel, extra=2, max_num=12)


def levels_of(levels: list[Band]) -> list[dict[str, Any]]:
    """Return what the rows of the band editor begin with."""
    return [
        {
            "label": band.label, "lower": _plain(band.lower), "lower_inclusive": band.lower_inclusive,
            "upper": _plain(band.upper), "upper_inclusive": band.upper_inclusive, "severity": band.severity,
        }
        for band in levels
    ]  # fmt: skip


def _plain(number: Decimal | None) -> str:
    return "" if number is None else vietnamese.format_number(number.normalize() + 0)


class NewMetric(forms.Form):
    """An own measure, or an own indicator that gets its formula on the next page."""

    name = forms.CharField(label="Tên", max_length=200)
    short_name = forms.CharField(label="Tên ngắn", max_length=60, help_text="Dùng ở đầu cột và trên thẻ số.")
    key = forms.CharField(
        label="Khóa", max_length=50, required=False,
        help_text="Chữ thường không dấu, số và gạch dưới; để trống thì đặt theo tên ngắn. Khóa có tiền tố «own.».",
    )  # fmt: skip
    definition = forms.CharField(label="Định nghĩa", required=False, widget=forms.Textarea(attrs={"rows": 3}))
    kind = forms.ChoiceField(label="Loại", choices=Metric.Kind.choices, initial=Metric.Kind.MEASURE)
    unit = forms.ChoiceField(label="Đơn vị")
    decimals = forms.IntegerField(label="Số lẻ", min_value=0, max_value=4, initial=0)
    subject_kind = forms.ChoiceField(
        label="Tính cho",
        choices=[(kind.value, kind.label) for kind in Subject.Kind if kind.value not in {"COUNTRY", "OUTSIDE"}],
        initial=Subject.Kind.WORK,
    )
    period_kinds = forms.MultipleChoiceField(
        label="Kỳ", choices=[choice for choice in PeriodKind.choices if choice[0] in "MQHY"], initial=["Y"],
        widget=forms.CheckboxSelectMultiple,
    )  # fmt: skip
    time_how = forms.ChoiceField(
        label="Gộp theo thời gian", choices=Metric.TimeHow.choices, initial=Metric.TimeHow.LAST
    )
    parts_how = forms.ChoiceField(label="Gộp theo nơi", choices=Metric.PartsHow.choices, initial=Metric.PartsHow.SUM)
    direction = forms.ChoiceField(label="Chiều", choices=Metric.Direction.choices, initial=Metric.Direction.NEUTRAL)
    field = forms.ChoiceField(label="Lĩnh vực", choices=Grant.Field.choices, initial=Grant.Field.ALL)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["unit"].choices = [  # type: ignore[attr-defined]
            (unit.key, unit.label_vi or "số đếm, không đơn vị") for unit in units.UNITS.values()
        ]

    def clean_key(self) -> str:
        text = str(self.cleaned_data["key"]).removeprefix("own.")
        text = text or slugify(folding.fold(self.cleaned_data.get("short_name", ""))).replace("-", "_")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", text):
            raise forms.ValidationError(
                "Khóa bắt đầu bằng chữ cái, chỉ gồm chữ thường không dấu, số và gạch dưới, ví dụ «ho_ngheo_duoc_cap»."
            )
        key = f"own.{text}"[:60]
        if Metric.objects.filter(key=key).exists():
            raise forms.ValidationError(f"Khóa «{key}» đã được dùng. Đặt khóa khác.")
        return key

    def clean_period_kinds(self) -> str:
        return "".join(kind for kind in "MQHY" if kind in self.cleaned_data["period_kinds"])
