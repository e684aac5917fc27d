"""Filters and forms of routes, rounds, readings and their sheets."""

from datetime import date
from typing import Any

from django import forms
from django.http import QueryDict

from machnuoc.core.choices import DayField, OneOf
from machnuoc.core.models import Person
from machnuoc.core.number_fields import WholeField
from machnuoc.customers import plausibility, reading_desk, visibility
from machnuoc.customers.models import Route
from machnuoc.places.models import Grant
from machnuoc.works.models import Work


class _Work(OneOf):
    def label_from_instance(self, obj: Work) -> str:
        return obj.subject.name


class _Person(OneOf):
    def label_from_instance(self, obj: Person) -> str:
        return obj.full_name


def month_label(month: date) -> str:
    return f"Tháng {month:%m/%Y}"


class DescribedFilter(forms.Form):
    def value(self, name: str) -> str:
        self.is_valid()
        return str(self.cleaned_data.get(name) or "")

    def describe(self) -> list[tuple[str, str]]:
        rows = []
        for name, field in self.fields.items():
            text = self.value(name)
            if text:
                rows.append((str(field.label), str(dict(getattr(field, "choices", [])).get(text, text))))
        return rows


def _work_choices(person: Person) -> list[tuple[str, str]]:
    return [("", "Mọi công trình"), *((str(pk), name) for pk, name in reading_desk.list_works(person))]


class RoundFilter(DescribedFilter):
    period = forms.ChoiceField(label="Kỳ", required=False)
    work = forms.ChoiceField(label="Công trình", required=False)
    state = forms.ChoiceField(
        label="Tình trạng", required=False,
        choices=[("", "Mọi tình trạng"), ("NONE", "Chưa mở"), ("OPEN", "Đang ghi"), ("CLOSED", "Đã chốt")],
    )  # fmt: skip
    q = forms.CharField(
        label="Tuyến", required=False, max_length=60,
        widget=forms.TextInput({"type": "search", "placeholder": "Mã, tên tuyến, người ghi"}),
    )  # fmt: skip

    def __init__(self, data: QueryDict, person: Person, today: date) -> None:
        super().__init__(data)
        months = reading_desk.recent_months(today)
        self.fields["period"].choices = [("", "Kỳ đang ghi")] + [  # type: ignore[attr-defined]
            (f"{month:%Y-%m}", month_label(month)) for month in months
        ]
        self.fields["work"].choices = _work_choices(person)  # type: ignore[attr-defined]


class ReviewFilter(DescribedFilter):
    state = forms.ChoiceField(
        label="Vì sao chờ", required=False,
        choices=[("", "Mọi lý do"), ("CONFLICT", "Hai chỉ số khác nhau"),
                 *((key, one.title) for key, one in plausibility.WARNINGS.items() if one.holds)],
    )  # fmt: skip
    work = forms.ChoiceField(label="Công trình", required=False)
    q = forms.CharField(
        label="Đấu nối", required=False, max_length=60,
        widget=forms.TextInput({"type": "search", "placeholder": "Mã, tên, địa chỉ"}),
    )  # fmt: skip

    def __init__(self, data: QueryDict, person: Person) -> None:
        super().__init__(data)
        self.fields["work"].choices = _work_choices(person)  # type: ignore[attr-defined]


class RouteForm(forms.Form):
    code = forms.RegexField(
        r"^[A-Za-z0-9][A-Za-z0-9.\-]{0,23}$", label="Mã tuyến", max_length=24,
        error_messages={"invalid": "Chỉ dùng chữ không dấu, số, dấu chấm và gạch nối."},
    )  # fmt: skip
    name = forms.CharField(label="Tên tuyến", max_length=120)
    work = _Work(Work.objects.none(), label="Công trình")
    reader = _Person(
        Person.objects.none(), label="Người ghi", required=False, empty_label="Chưa giao",
        help_text="Người có vai trò «Ghi chỉ số», trạm hoặc phòng chuyên môn trong phạm vi công trình.",
    )  # fmt: skip
    read_day = WholeField(
        label="Ghi vào ngày", min_value=1, max_value=28, initial=20,
        help_text="Từ ngày 11: ghi trong tháng của kỳ. Ngày 1–10: ghi đầu tháng sau.",
    )  # fmt: skip
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, data: QueryDict | None, *, person: Person, route: Route | None = None) -> None:
        initial: dict[str, Any] = {}
        if route is not None:
            initial = {
                "code": route.code, "name": route.name, "work": route.work_id, "reader": route.reader_id,
                "read_day": route.read_day, "version": route.version,
            }  # fmt: skip
        super().__init__(data, initial=initial)
        works = visibility.list_work_ids(person, "read_meters")
        rows = Work.objects.select_related("subject").order_by("subject__name")
        if works is not None:
            rows = rows.filter(pk__in=works)
        self.fields["work"].queryset = rows  # type: ignore[attr-defined]
        readers = Grant.objects.filter(role__in=[Grant.Role.READER, Grant.Role.STATION, Grant.Role.DEPARTMENT])
        people = Person.objects.filter(pk__in=_reachable(readers, person).values("person_id"), is_active=True)
        if route is not None and route.reader_id:
            people = people | Person.objects.filter(pk=route.reader_id)
        self.fields["reader"].queryset = people.order_by("full_name")  # type: ignore[attr-defined]
        if route is not None:
            self.fields["code"].disabled = True


def _reachable(grants: Any, person: Person) -> Any:
    """Return the grants whose scope lies in what the person reads meters in."""
    from machnuoc.places import access

    if access.sees_everything(person, "read_meters"):
        return grants
    return grants.filter(scope_id__in=access.visible_subject_ids(person, "read_meters"))


class JudgeForm(forms.Form):
    note = forms.CharField(
        label="Lý do", max_length=300, widget=forms.TextInput({"placeholder": "Ví dụ: ảnh chụp rõ 1.288"})
    )
    rolled_over = forms.BooleanField(label="Đồng hồ đã quay vòng qua 0", required=False)


class EstimateForm(forms.Form):
    on_date = DayField(label="Tính đến ngày")


class UploadReadings(forms.Form):
    period = forms.ChoiceField(
        label="Kỳ", required=False,
        help_text="Để trống: kỳ của từng dòng theo ngày đọc và ngày ghi của tuyến.",
    )  # fmt: skip
    file = forms.FileField(
        label="Tệp chỉ số", allow_empty_file=True,
        help_text="Tệp .xlsx (tối đa 50.000 dòng) hoặc .csv (đến 1.000.000 dòng) theo mẫu.",
        widget=forms.ClearableFileInput({"accept": ".xlsx,.csv"}), error_messages={"required": "Chọn tệp cần nạp."},
    )  # fmt: skip

    def __init__(self, data: QueryDict | None, uploaded: Any, *, today: date) -> None:
        super().__init__(data, uploaded)
        months = reading_desk.recent_months(today)
        self.fields["period"].choices = [("", "Theo ngày đọc")] + [  # type: ignore[attr-defined]
            (f"{month:%Y-%m}", month_label(month)) for month in months
        ]
