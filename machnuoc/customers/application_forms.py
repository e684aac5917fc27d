"""Filters and forms of applications for a connection."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils import timezone

from machnuoc.core.choices import DayField, MomentField
from machnuoc.core.folding import fold
from machnuoc.core.models import Person
from machnuoc.core.number_fields import NumberField, WholeField
from machnuoc.core.periods import local_date
from machnuoc.customers import application_queries, application_talk
from machnuoc.customers.application_operations import RECEIVED_MOST, STAGES, ApplicationFacts
from machnuoc.customers.application_queries import ApplicationFilters
from machnuoc.customers.application_talk import QuoteLine
from machnuoc.customers.connection_forms import PlaceField, RouteField, WorkField, communes, works_of
from machnuoc.customers.connection_operations import RecordError, read_phone
from machnuoc.customers.models import Application, Customer, Group, Meter, Route
from machnuoc.places.models import Subject
from machnuoc.works.models import Work

SOURCES = {
    "counter": "Tại quầy", "portal": "Trang khách hàng", "public": "Trang công khai", "field": "Tại hiện trường",
    "campaign": "Đợt khảo sát, vận động",
}  # fmt: skip


class ApplicationFilter(forms.Form):
    q = forms.CharField(
        label="Tìm", required=False, max_length=100,
        widget=forms.TextInput({"type": "search", "placeholder": "Mã, tên, địa chỉ, điện thoại"}),
    )  # fmt: skip
    work = forms.ChoiceField(label="Công trình", required=False)
    stage = forms.ChoiceField(
        label="Bước", required=False,
        choices=[
            ("", "Mọi bước"), ("OPEN", "Đang chờ bước tiếp"), ("ASKED", "Chờ trả lời câu hỏi"),
            *Application.Stage.choices,
        ],
    )  # fmt: skip

    def __init__(self, data: QueryDict, person: Person) -> None:
        super().__init__(data)
        works = works_of(person, application_queries.action_of(person)).values_list("pk", "subject__name")[:500]
        choices = [("", "Mọi công trình"), *((str(pk), name) for pk, name in works)]
        self.fields["work"].choices = choices  # type: ignore[attr-defined]

    def read(self) -> ApplicationFilters:
        """Return what is asked for; what makes no sense asks for nothing."""
        self.is_valid()
        given = self.cleaned_data
        return ApplicationFilters(
            str(given.get("q") or "").replace("\0", ""), int(given.get("work") or 0), str(given.get("stage") or "")
        )

    def describe(self) -> list[tuple[str, str]]:
        rows = []
        for name, field in self.fields.items():
            text = str(self.cleaned_data.get(name) or "")
            if text:
                shown = "(có tìm kiếm)" if name == "q" else str(dict(getattr(field, "choices", [])).get(text, text))
                rows.append((str(field.label), shown))
        return rows


def named_in(address: str, places: Iterable[Subject]) -> Subject | None:
    """Return the place that an address names, of several the one with the longest name; None if that is not clear."""
    text = f" {fold(address)} "
    named = [one for one in places if f" {fold(one.name)} " in text]
    most = max((len(one.name) for one in named), default=0)
    longest = [one for one in named if len(one.name) == most]
    return longest[0] if len(longest) == 1 else None


class ApplicationForm(forms.Form):
    work = WorkField(Work.objects.none(), label="Công trình")
    stage = forms.ChoiceField(label="Bắt đầu từ", choices=[(one.value, one.label) for one in STAGES[1::-1]])
    source = forms.ChoiceField(label="Nguồn", choices=list(SOURCES.items()))
    name = forms.CharField(label="Họ tên, tên đơn vị", max_length=160)
    kind = forms.ChoiceField(label="Loại khách hàng", choices=Customer.Kind.choices)
    phone = forms.CharField(label="Điện thoại", max_length=24, required=False)
    email = forms.EmailField(label="Thư điện tử", required=False)
    address = forms.CharField(label="Địa chỉ lắp đặt", max_length=300)
    place = PlaceField(
        Subject.objects.none(), label="Xã, phường", required=False,
        help_text="Để trống được nếu địa chỉ đã ghi rõ tên xã, phường.",
    )  # fmt: skip
    latitude = NumberField(
        label="Vĩ độ", required=False, max_digits=9, decimal_places=6, min_value=Decimal(-90), max_value=Decimal(90)
    )
    longitude = NumberField(
        label="Kinh độ", required=False, max_digits=9, decimal_places=6, min_value=Decimal(-180), max_value=Decimal(180)
    )
    group = forms.ChoiceField(label="Đối tượng sử dụng nước", choices=Group.choices)
    households = WholeField(label="Số hộ", min_value=1, max_value=100_000, initial=1)
    persons = WholeField(label="Số người", min_value=0, max_value=999, required=False)
    note = forms.CharField(label="Ghi chú", max_length=300, required=False)
    received_date = DayField(
        label="Ngày tiếp nhận", required=False,
        help_text="Ngày nhận đơn. Các bước sau ghi được từ ngày này; để trống là hôm nay.",
    )  # fmt: skip
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)
    field_order = ("work", "received_date", "stage", "source")

    def __init__(self, data: QueryDict | None, *, person: Person, application: Application | None = None) -> None:
        initial: dict[str, Any] = {"received_date": local_date(timezone.now())}
        self.is_place_found = False
        if application is not None:
            names = ("name", "kind", "phone", "email", "address", "group", "households", "persons", "version")
            initial = {name: getattr(application, name) for name in names} | {"place": application.place_id}
            for name in ("latitude", "longitude"):
                value = getattr(application, name)
                initial[name] = None if value is None else Decimal(repr(value)).normalize()
        super().__init__(data, initial=initial)
        works = works_of(person, "serve")
        self.fields["work"].queryset = works  # type: ignore[attr-defined]
        besides = application.place_id if application else None
        self.fields["place"].queryset = communes(works, besides)  # type: ignore[attr-defined]
        if application is not None:
            for name in ("work", "received_date", "stage", "source", "note"):
                del self.fields[name]

    def clean_phone(self) -> str:
        try:
            return read_phone(self.cleaned_data["phone"])
        except RecordError as reason:
            raise forms.ValidationError(str(reason)) from None

    def clean_received_date(self) -> date | None:
        day: date | None = self.cleaned_data["received_date"]
        today = local_date(timezone.now())
        if day is not None and not today - RECEIVED_MOST <= day <= today:
            raise forms.ValidationError("Ngày tiếp nhận không ở tương lai, không quá một năm trước. Nhập lại ngày.")
        return day

    def clean(self) -> dict[str, Any]:
        """Take the commune from the address if it names just one; `is_place_found` says so."""
        said = super().clean() or {}
        if "place" in self.errors or said.get("place") is not None or not said.get("address"):
            return said
        queryset = self.fields["place"].queryset  # type: ignore[attr-defined]
        known = list(queryset)
        found = named_in(said["address"], known)
        if found is not None:
            said["place"], self.is_place_found = found, True
        elif known:
            self.add_error("place", "Chọn xã, phường: địa chỉ chưa nêu rõ tên một xã, phường trong danh sách.")
        return said

    def facts(self) -> ApplicationFacts:
        said = self.cleaned_data
        return ApplicationFacts(
            said["name"], said["address"], said["phone"], said["email"], said["kind"], said["group"],
            said["households"], said["persons"] or 0, said["place"],
            None if said["latitude"] is None else float(said["latitude"]),
            None if said["longitude"] is None else float(said["longitude"]),
        )  # fmt: skip


class StepForm(forms.Form):
    """The next step, with what this step needs."""

    at = MomentField(label="Thời điểm")
    items = forms.CharField(
        label="Các khoản mục của báo giá", required=False, max_length=12_000,
        widget=forms.Textarea(
            {"rows": 5, "placeholder": "Ống HDPE DN25; 12,5; m; 18.000\nCông lắp đặt; 1; lần; 350.000"}
        ),
        help_text="Mỗi dòng một khoản: tên; số lượng; đơn vị; đơn giá. Người đề nghị xem được.",
    )  # fmt: skip
    quote_vnd = WholeField(
        label="Chi phí lắp đặt (đồng)", min_value=0, max_value=10**12, required=False,
        help_text="Để trống nếu đã ghi khoản mục: lấy tổng của chúng. 0 nếu miễn phí.",
    )  # fmt: skip
    contract_number = forms.CharField(label="Số hợp đồng", max_length=60, required=False)
    note = forms.CharField(label="Ghi chú", max_length=300, required=False)
    paper = forms.FileField(
        label="Giấy tờ (PDF hoặc ảnh)", required=False,
        widget=forms.ClearableFileInput({"accept": ".pdf,.png,.jpg,.jpeg"}),
    )  # fmt: skip
    due_date = DayField(
        label="Hẹn xong bước sau trước hết ngày",
        required=False,
        help_text="Người đề nghị thấy ngày này trên trang của họ.",
    )
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, data: QueryDict | None, uploads: Any, *, application: Application, stage: str) -> None:
        super().__init__(data, uploads, initial={"at": timezone.now(), "version": application.version})
        if stage != Application.Stage.QUOTED:
            del self.fields["quote_vnd"], self.fields["items"]
        if stage != Application.Stage.CONTRACTED:
            del self.fields["contract_number"]
        else:
            self.fields["contract_number"].required = True
            del self.fields["note"]

    def clean_items(self) -> list[QuoteLine]:
        try:
            return application_talk.parse_lines(self.cleaned_data["items"])
        except RecordError as reason:
            raise forms.ValidationError(str(reason)) from None


class PromiseForm(forms.Form):
    """What who applies is promised."""

    survey_date = DayField(label="Đến khảo sát ngày", required=False)
    due_date = DayField(label="Xong bước tiếp theo trước hết ngày", required=False)
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, data: QueryDict | None, *, application: Application) -> None:
        names = ("survey_date", "due_date", "version")
        super().__init__(data, initial={name: getattr(application, name) for name in names})


class AnswerForm(forms.Form):
    text = forms.CharField(
        label="Trả lời người đề nghị", min_length=application_talk.TEXT_LEAST, max_length=application_talk.TEXT_MOST,
        widget=forms.Textarea({"rows": 3}), help_text="Hiện trên trang khách hàng của người đề nghị.",
    )  # fmt: skip


class InstallForm(forms.Form):
    at = MomentField(label="Lắp đặt, mở nước lúc")
    serial = forms.CharField(label="Số sê-ri đồng hồ", max_length=40)
    kind = forms.ChoiceField(label="Loại đồng hồ", choices=Meter.Kind.choices)
    make = forms.CharField(label="Hãng, kiểu", max_length=80, required=False)
    accuracy_class = forms.CharField(label="Cấp chính xác", max_length=12, required=False)
    diameter_mm = WholeField(label="Đường kính (mm)", min_value=8, max_value=2000, initial=15)
    digits = WholeField(label="Số chữ số đen (m³)", min_value=3, max_value=9, initial=5)
    verified_date = DayField(label="Kiểm định ngày", required=False)
    index_m3 = WholeField(label="Chỉ số khi lắp (m³)", min_value=0, max_value=10**9, initial=0)
    seal = forms.CharField(label="Số chì niêm phong", max_length=40, required=False)
    route = RouteField(Route.objects.none(), label="Tuyến ghi chỉ số", required=False, empty_label="Chưa xếp tuyến")
    code = forms.CharField(label="Mã đấu nối", max_length=24, required=False, help_text="Để trống: hệ thống đánh mã.")
    note = forms.CharField(label="Ghi chú", max_length=300, required=False)
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, data: QueryDict | None, *, application: Application) -> None:
        super().__init__(data, initial={"at": timezone.now(), "version": application.version})
        self.fields["route"].queryset = Route.objects.filter(work_id=application.work_id)  # type: ignore[attr-defined]

    def said(self) -> dict[str, Any]:
        given = dict(self.cleaned_data)
        given["index_l"] = given.pop("index_m3") * 1_000
        return given


class StopForm(forms.Form):
    stage = forms.ChoiceField(
        label="Kết quả",
        choices=[(one.value, one.label) for one in (Application.Stage.WITHDRAWN, Application.Stage.REFUSED)],
    )
    reason = forms.CharField(label="Lý do", max_length=300)
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, data: QueryDict | None, *, application: Application) -> None:
        super().__init__(data, initial={"version": application.version})
