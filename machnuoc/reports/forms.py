"""Forms of reports: the filter, the choice of unit and period, the frame, number and date, sending, a template."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.http import QueryDict

from machnuoc.core.choices import DayField
from machnuoc.core.periods import Period
from machnuoc.places.models import Organisation
from machnuoc.reports.models import Delivery, Report
from machnuoc.reports.queries import Filters


class ReportFilter(forms.Form):
    """Shows what the list is filtered by. What the address asks for is read by `read_filters`."""

    q = forms.CharField(
        label="Tìm", required=False, max_length=100,
        widget=forms.TextInput({"type": "search", "placeholder": "Trích yếu, số, đơn vị…"}),
    )  # fmt: skip
    organisation = forms.ChoiceField(label="Đơn vị báo cáo", required=False)
    kind = forms.ChoiceField(label="Loại báo cáo", required=False)
    state = forms.ChoiceField(label="Bước", required=False, choices=[("", "Mọi bước"), *Report.State.choices])
    year = forms.ChoiceField(label="Năm", required=False)

    def __init__(self, data: QueryDict, choices: dict[str, list[tuple[str, str]]]) -> None:
        super().__init__(data)
        everything = {"organisation": "Mọi đơn vị", "kind": "Mọi loại", "year": "Mọi năm"}
        for name, title in everything.items():
            self.fields[name].choices = [("", title), *choices[name]]  # type: ignore[attr-defined]


def read_filters(data: QueryDict) -> Filters:
    """Return what the address asks for; what makes no sense asks for nothing."""

    def number(name: str, digits: int) -> int:
        text = data.get(name, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else 0

    state = data.get("state", "")
    return Filters(
        q=data.get("q", "")[:100],
        organisation=number("organisation", 18),
        kind=data.get("kind", "")[:60],
        state=state if state in Report.State.values else "",
        year=number("year", 4),
    )


def describe_filters(filters: Filters, choices: dict[str, list[tuple[str, str]]]) -> list[tuple[str, str]]:
    """Return the filters in words, for the sheet that the list is exported to."""
    rows = [
        ("Tìm", filters.q),
        ("Đơn vị báo cáo", dict(choices["organisation"]).get(str(filters.organisation), "")),
        ("Loại báo cáo", dict(choices["kind"]).get(filters.kind, "")),
        ("Bước", Report.State(filters.state).label if filters.state else ""),
        ("Năm", str(filters.year or "")),
    ]
    return [(label, text) for label, text in rows if text]


class PrepareForm(forms.Form):
    """For whom and which period a report is made by hand."""

    organisation = forms.TypedChoiceField(label="Đơn vị báo cáo", coerce=int)
    period = forms.ChoiceField(label="Kỳ")

    def __init__(
        self, data: QueryDict | None, units: Sequence[Organisation], periods: Sequence[Period], **kwargs: Any
    ) -> None:
        super().__init__(data, **kwargs)
        self.fields["organisation"].choices = [(unit.pk, unit.subject.name) for unit in units]  # type: ignore[attr-defined]
        self.fields["period"].choices = [(period.key, period.label_vi) for period in periods]  # type: ignore[attr-defined]


class DetailsForm(forms.ModelForm):  # type: ignore[type-arg]
    """What stands above and below the body."""

    version = forms.IntegerField(widget=forms.HiddenInput)

    class Meta:
        model = Report
        fields = ("title", "to_as_printed", "place_name", "signer_capacity", "signer_name", "recipients")
        widgets = {
            "title": forms.Textarea({"rows": 2}),
            "to_as_printed": forms.Textarea({"rows": 2}),
            "signer_capacity": forms.Textarea({"rows": 2}),
            "recipients": forms.Textarea({"rows": 5}),
        }
        help_texts = {
            "to_as_printed": "Mỗi nơi một dòng.",
            "signer_capacity": "Mỗi dòng một cấp, như «KT. GIÁM ĐỐC» rồi «PHÓ GIÁM ĐỐC».",
            "recipients": "Mỗi nơi một dòng; dòng cuối «Lưu: VT, …».",
        }


class IssueForm(forms.Form):
    number = forms.CharField(
        label="Số, ký hiệu", max_length=60, widget=forms.TextInput({"placeholder": "15/BC-TTNS", "autocomplete": "off"})
    )
    issued_on = DayField(label="Ngày ban hành")


class SendForm(forms.Form):
    channel = forms.ChoiceField(label="Cách gửi", choices=Delivery.Channel.choices)
    to = forms.CharField(
        label="Nơi nhận", max_length=300, required=False,
        help_text="Tên cơ quan, hoặc địa chỉ thư điện tử. Để trống: như dòng «Kính gửi».",
    )  # fmt: skip


class TemplateForm(forms.Form):
    file = forms.FileField(label="Tệp Word (.docx)", widget=forms.ClearableFileInput({"accept": ".docx"}))
    note = forms.CharField(label="Ghi chú", max_length=300, required=False)
