"""Filters and forms of criteria programmes."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from django import forms
from django.http import QueryDict

from machnuoc.core.choices import DayField
from machnuoc.core.number_fields import NumberField
from machnuoc.indicators.models import Metric
from machnuoc.places.models import Subject
from machnuoc.planning import criteria_files, programme_queries
from machnuoc.planning.models import Assessment, CriteriaSet, Dossier, SubIndicator

EVIDENCE = frozenset({"pdf", "jpeg", "png", "docx", "xlsx"})
_FILES_AT_MOST = 4
_COMPARATORS = [("GE", "≥ ít nhất"), ("GT", "> trên"), ("LE", "≤ nhiều nhất"), ("LT", "< dưới"), ("EQ", "= bằng")]


class _FilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Some files at once; cleaned to a list. What they hold is checked by core.files."""

    def __init__(self, *, label: str) -> None:
        accept = ".pdf,.jpg,.jpeg,.png,.docx,.xlsx"
        super().__init__(
            label=label, required=False, allow_empty_file=True, widget=_FilesInput({"accept": accept, "multiple": True})
        )

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        given = [one for one in (data if isinstance(data, list | tuple) else [data]) if one]
        if len(given) > _FILES_AT_MOST:
            raise forms.ValidationError(f"Mỗi lần gửi được {_FILES_AT_MOST} tệp. Gửi phần còn lại ở lần sau.")
        return [super(FilesField, self).clean(one, initial) for one in given]


class MatrixFilterForm(forms.Form):
    """Shows what the matrix is filtered by; the address is read by `read_filters`."""

    q = forms.CharField(
        label="Tìm xã", required=False, max_length=100,
        widget=forms.TextInput({"type": "search", "placeholder": "Tên xã, có dấu hay không dấu"}),
    )  # fmt: skip
    set = forms.ChoiceField(label="Bộ tiêu chí", required=False)
    year = forms.ChoiceField(label="Năm", required=False)
    district = forms.ChoiceField(label="Huyện, thị xã, thành phố", required=False)
    agency = forms.ChoiceField(label="Cơ quan phụ trách", required=False)
    show = forms.ChoiceField(
        label="Xã nào", required=False,
        choices=[("", "Xã đã có đánh giá"), ("gap", "Xã còn tiêu chí chưa đạt"), ("all", "Mọi xã của chương trình")],
    )  # fmt: skip
    roadmap = forms.ChoiceField(label="Năm trong lộ trình", required=False)
    order = forms.ChoiceField(
        label="Sắp xếp", required=False, choices=[("", "Theo huyện"), ("gap", "Thiếu nhiều nhất trước")]
    )

    def __init__(self, data: QueryDict, matrix: programme_queries.Matrix) -> None:
        shown = data.copy()
        if matrix.chosen is not None:
            shown["set"], shown["year"] = matrix.chosen.key, str(matrix.filters.year)
        super().__init__(shown)
        choices = {
            "set": [(one.key, one.name) for one in matrix.sets],
            "year": [(str(year), str(year)) for year in matrix.years] or [("", "Chưa có")],
            "district": [("", "Mọi huyện"), *((str(pk), name) for pk, name in matrix.districts)],
            "agency": [("", "Mọi cơ quan"), *((str(order), name) for order, name in matrix.agencies)],
            "roadmap": [("", "Mọi năm"), *((str(year), str(year)) for year in matrix.roadmap_years)],
        }
        for name, options in choices.items():
            self.fields[name].choices = options  # type: ignore[attr-defined]


def read_filters(data: QueryDict) -> programme_queries.MatrixFilter:
    """Return what the address asks for; what makes no sense asks for nothing."""

    def number(name: str, most: int) -> int:
        text = data.get(name, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 and int(text) <= most else 0

    return programme_queries.MatrixFilter(
        set_key=data.get("set", "")[:60],
        year=number("year", 2100),
        district=number("district", 2**62),
        agency=number("agency", 10_000),
        show=data.get("show", "") if data.get("show") in {"gap", "all"} else "",
        roadmap_year=number("roadmap", 2100),
        q=data.get("q", "")[:100],
        sort="gap" if data.get("order") == "gap" else "",
    )


def _quarters(today: date, chosen: date | None) -> list[tuple[str, str]]:
    starts = {date(year, month, 1) for year in range(today.year - 1, today.year + 6) for month in (1, 4, 7, 10)}
    if chosen is not None:
        starts.add(chosen)
    return [("", "Chưa định"), *((day.isoformat(), f"Quý {(day.month + 2) // 3}/{day.year}") for day in sorted(starts))]


class _Part(NumberField):
    """A part of a ratio: «12,5 %» is a ratio already."""

    def to_python(self, value: Any) -> Any:
        if "%" in str(value or ""):
            raise forms.ValidationError("Nhập số đếm được, không nhập tỷ lệ %; hệ thống tự tính tỷ lệ.", code="invalid")
        return super().to_python(value)


class AssessmentForm(forms.Form):
    """Where a place stands on one sub-indicator. A ratio is entered as its two parts, never as a percentage."""

    numerator = _Part(label="Tử số", required=False, min_value=0, max_digits=16, decimal_places=4)
    denominator = _Part(label="Mẫu số", required=False, min_value=0, max_digits=16, decimal_places=4)
    measured = NumberField(label="Hiện trạng", required=False, max_digits=16, decimal_places=4)
    result = forms.ChoiceField(label="Kết quả", required=False)
    solution = forms.CharField(label="Giải pháp", required=False, max_length=2000, widget=forms.Textarea({"rows": 3}))
    target_quarter_start = forms.ChoiceField(label="Dự kiến đạt", required=False)
    objective_cause = forms.CharField(
        label="Nguyên nhân khách quan", required=False, max_length=2000, widget=forms.Textarea({"rows": 2}),
        help_text="Chỉ ghi khi chưa đạt do nguyên nhân khách quan: hội đồng thẩm định xem xét phần này.",
    )  # fmt: skip
    evidence = FilesField(label="Minh chứng")
    reason = forms.CharField(label="Lý do sửa", required=False, max_length=300)
    version = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, data: Any, files: Any, *, row: programme_queries.PartRow, today: date) -> None:
        found = row.assessment
        initial: dict[str, Any] = {"version": found.version if found else 0}
        if found is not None:
            initial |= {
                "numerator": found.numerator, "denominator": found.denominator, "measured": found.measured,
                "solution": found.solution, "objective_cause": found.objective_cause,
                "result": found.result,
                "target_quarter_start": found.target_quarter_start.isoformat() if found.target_quarter_start else "",
            }  # fmt: skip
        super().__init__(data, files, initial=initial)
        entry = row.part.entry if row.part else SubIndicator.Entry.JUDGED
        if entry == SubIndicator.Entry.RATIO:
            del self.fields["measured"]
            assert row.part is not None  # noqa: S101 only sub-indicators are ratios
            for name, label in (("numerator", row.part.numerator_label), ("denominator", row.part.denominator_label)):
                if label:
                    self.fields[name].label = f"{self.fields[name].label}: {label}"
        else:
            del self.fields["numerator"], self.fields["denominator"]
            if entry == SubIndicator.Entry.NUMBER and row.part is not None:
                self.fields["measured"].label = f"Hiện trạng ({row.part.unit})" if row.part.unit else "Hiện trạng"
            else:
                del self.fields["measured"]
        if entry == SubIndicator.Entry.JUDGED:
            self.initial.setdefault("result", Assessment.Result.NOT_ASSESSED)
            self.fields["result"].choices = list(Assessment.Result.choices)  # type: ignore[attr-defined]
        else:
            choices = [("", "Xét theo số liệu và mức phải đạt"), *Assessment.Result.choices]
            self.fields["result"].choices = choices  # type: ignore[attr-defined]
            self.fields["result"].help_text = "Có số và mức phải đạt thì hệ thống tự xét; chỉ chọn khi không so được."
            if found is not None and found.measured is not None and found.required is not None:
                self.initial["result"] = found.result if found.result == Assessment.Result.NOT_APPLICABLE else ""
        chosen = found.target_quarter_start if found else None
        self.fields["target_quarter_start"].choices = _quarters(today, chosen)  # type: ignore[attr-defined]
        if found is None:
            del self.fields["reason"]

    def clean_target_quarter_start(self) -> date | None:
        text = self.cleaned_data["target_quarter_start"]
        return date.fromisoformat(text) if text else None


class RoadmapChangeForm(forms.Form):
    to_year = forms.IntegerField(label="Chuyển sang năm", min_value=2000, max_value=2100)
    reason = forms.CharField(label="Lý do", max_length=300, widget=forms.Textarea({"rows": 2}))
    decision = forms.CharField(
        label="Văn bản cho phép (số, ngày)", required=False, max_length=200,
        help_text="Bắt buộc khi lộ trình đã chốt.",
    )  # fmt: skip
    version = forms.IntegerField(widget=forms.HiddenInput)


class FreezeForm(forms.Form):
    on_date = DayField(label="Ngày chốt")
    text = forms.CharField(label="Căn cứ, nguyên văn", max_length=300, widget=forms.Textarea({"rows": 2}))


class OpenDossierForm(forms.Form):
    tier = forms.ChoiceField(label="Mức đề nghị công nhận", choices=CriteriaSet.Tier.choices)
    year = forms.IntegerField(label="Năm", min_value=2000, max_value=2100)
    on_date = DayField(label="Ngày bắt đầu")
    text = forms.CharField(label="Ghi chú", required=False, max_length=500)


class AdvanceDossierForm(forms.Form):
    step = forms.ChoiceField(label="Bước")
    on_date = DayField(label="Ngày làm xong")
    decision = forms.CharField(
        label="Quyết định công nhận (số, ngày)", required=False, max_length=200,
        help_text="Chỉ khi chuyển sang «Đã có quyết định công nhận».",
    )  # fmt: skip
    text = forms.CharField(
        label="Ghi chú", required=False, max_length=500, widget=forms.Textarea({"rows": 2}),
        help_text="Khi trả lại: ghi rõ cần bổ sung gì.",
    )  # fmt: skip
    evidence = FilesField(label="Hồ sơ kèm theo")
    version = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, data: Any, files: Any, *, dossier: Dossier, steps: Sequence[str], today: date) -> None:
        super().__init__(data, files, initial={"version": dossier.version, "on_date": today})
        labels = dict(Dossier.Step.choices)
        self.fields["step"].choices = [(step, labels[step]) for step in steps]  # type: ignore[attr-defined]


class CriterionForm(forms.Form):
    number = forms.RegexField(
        r"^\d{1,2}$", label="Số tiêu chí", max_length=2, error_messages={"invalid": "Nhập số, ví dụ 8."}
    )
    name = forms.CharField(label="Tên tiêu chí", max_length=300)


class SubIndicatorForm(forms.Form):
    number = forms.RegexField(
        r"^\d{1,2}(\.\d{1,2}[a-z]?)?$", label="Số chỉ tiêu", max_length=8,
        error_messages={"invalid": "Nhập số như trong văn bản, ví dụ 8.1."},
    )  # fmt: skip
    name = forms.CharField(label="Tên chỉ tiêu", max_length=500, widget=forms.Textarea({"rows": 2}))
    unit = forms.CharField(label="Đơn vị", required=False, max_length=20, help_text="% cho tỷ lệ.")
    entry = forms.ChoiceField(label="Cách nhập", choices=SubIndicator.Entry.choices)
    numerator_label = forms.CharField(label="Tử số là gì", required=False, max_length=200)
    denominator_label = forms.CharField(label="Mẫu số là gì", required=False, max_length=200)
    metric = forms.ModelChoiceField(
        label="Lấy từ chỉ tiêu của hệ thống", required=False,
        queryset=Metric.objects.filter(kind=Metric.Kind.INDICATOR, subject_kind=Subject.Kind.UNIT),
        empty_label="Không: người nhập",
    )  # fmt: skip
    is_verified = forms.BooleanField(label="Đã đối chiếu với văn bản", required=False)


class ThresholdForm(forms.Form):
    comparator = forms.ChoiceField(label="So sánh", choices=_COMPARATORS)
    amount = NumberField(label="Mức", required=False, max_digits=14, decimal_places=4)
    text = forms.CharField(
        label="Yêu cầu như trong văn bản", required=False, max_length=300,
        help_text="Ví dụ «≥20% (≥10% từ hệ thống cấp nước tập trung)». Không có con số thì người đánh giá tự xét.",
    )  # fmt: skip
    region = forms.ChoiceField(label="Vùng", required=False)
    commune_group = forms.TypedChoiceField(label="Nhóm xã", required=False, coerce=int, empty_value=None)
    territory_key = forms.ModelChoiceField(
        label="Tỉnh, huyện", required=False, to_field_name="key", queryset=Subject.objects.none(),
        empty_label="Mọi nơi",
    )  # fmt: skip
    valid_from = DayField(label="Áp dụng từ ngày", required=False)
    valid_to = DayField(label="Đến trước ngày", required=False)
    source = forms.CharField(label="Nguồn (văn bản, mục)", max_length=200)
    is_verified = forms.BooleanField(label="Đã đối chiếu với văn bản", required=False)

    def __init__(self, data: Any, *, territories: Any, initial: dict[str, Any], needs_territory: bool) -> None:
        super().__init__(data, initial=initial)
        regions = [("", "Mọi vùng"), *((one.code, one.name) for one in criteria_files.list_regions())]
        groups = [
            ("", "Mọi nhóm"),
            *((one.number, f"Nhóm {one.number}") for one in criteria_files.list_commune_groups()),
        ]
        self.fields["region"].choices = regions  # type: ignore[attr-defined]
        self.fields["commune_group"].choices = groups  # type: ignore[attr-defined]
        self.fields["territory_key"].queryset = territories  # type: ignore[attr-defined]
        self.fields["territory_key"].label_from_instance = lambda one: one.unit.full_name  # type: ignore[attr-defined]
        self.fields["territory_key"].required = needs_territory

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        if said.get("amount") is None and not said.get("text"):
            self.add_error("amount", "Nhập mức bằng số, hoặc ghi yêu cầu bằng lời.")
        return said


class ProfileForm(forms.Form):
    """What a place is for the thresholds, from a day on. The group is a commune's own."""

    region = forms.ChoiceField(
        label="Vùng", required=False, help_text="Để trống: theo vùng của tỉnh, huyện mà nơi này thuộc về."
    )  # fmt: skip
    commune_group = forms.TypedChoiceField(label="Nhóm xã", required=False, coerce=int, empty_value=None)
    valid_from = DayField(label="Áp dụng từ ngày")
    is_verified = forms.BooleanField(label="Đã đối chiếu với văn bản", required=False)

    def __init__(self, data: Any, *, has_group: bool, initial: dict[str, Any]) -> None:
        super().__init__(data, initial=initial)
        regions = [("", "Theo nơi cấp trên"), *((one.code, one.name) for one in criteria_files.list_regions())]
        groups = [("", "Chưa xếp nhóm"), *((one.number, one.name) for one in criteria_files.list_commune_groups())]
        self.fields["region"].choices = regions  # type: ignore[attr-defined]
        self.fields["commune_group"].choices = groups  # type: ignore[attr-defined]
        if not has_group:
            del self.fields["commune_group"]
