"""Forms of the customers' services."""

import secrets
from decimal import Decimal
from typing import Any

from django import forms
from django.http import QueryDict

from machnuoc.core.choices import DayField, OneOf
from machnuoc.core.number_fields import NumberField, WholeField
from machnuoc.customers import request_routing
from machnuoc.customers.application_operations import ApplicationFacts
from machnuoc.customers.models import Application, Category, Connection, Customer, Group, Request
from machnuoc.customers.request_forms import Photos, PlaceChoice
from machnuoc.customers.request_operations import PHOTOS_MAX, TEXT_MAX
from machnuoc.places.models import Subject
from machnuoc.portal import codes
from machnuoc.works.models import Work


class _Once(forms.Form):
    """A form that is taken once, however often it is sent."""

    nonce = forms.RegexField(r"^[0-9a-f]{32}$", widget=forms.HiddenInput)

    def __init__(self, data: QueryDict | None = None, files: Any = None, **kwargs: Any) -> None:
        kwargs["initial"] = {"nonce": secrets.token_hex(16), **kwargs.get("initial", {})}
        super().__init__(data, files, **kwargs)


class _ConnectionField(OneOf):
    def label_from_instance(self, obj: Connection) -> str:
        nickname = getattr(obj, "nickname", "")
        return f"{nickname} ({obj.code})" if nickname else f"{obj.code} · {obj.address}"


class _WorkField(OneOf):
    def label_from_instance(self, obj: Work) -> str:
        return obj.subject.name


class RequestForm(_Once):
    category = OneOf(Category.objects.none(), label="Việc gì?")
    text = forms.CharField(
        label="Nội dung", min_length=5, max_length=TEXT_MAX, widget=forms.Textarea({"rows": 5}),
        help_text="Chuyện gì xảy ra, từ bao giờ.",
    )  # fmt: skip
    connection = _ConnectionField(
        Connection.objects.none(), label="Ở đâu?", required=False, empty_label="Nơi khác (ghi địa điểm bên dưới)"
    )
    place = PlaceChoice(Subject.objects.none(), label="Xã, phường (nếu là nơi khác)", required=False)
    address = forms.CharField(
        label="Địa điểm (nếu là nơi khác)", max_length=300, required=False, help_text="Số nhà, thôn, gần nơi nào."
    )
    urgency = forms.ChoiceField(label="Mức độ", choices=Request.Urgency.choices, initial=Request.Urgency.NORMAL)
    photos = Photos(help_text="Ảnh JPEG hoặc PNG. Vị trí và tên máy ghi trong ảnh được xóa khi nhận.")

    def __init__(self, data: QueryDict | None, files: Any = None, *, connections: Any, **kwargs: Any) -> None:
        super().__init__(data, files, **kwargs)
        categories = Category.objects.filter(is_active=True, is_public=True)
        self.fields["category"].queryset = categories  # type: ignore[attr-defined]
        self.fields["connection"].queryset = connections  # type: ignore[attr-defined]
        self.fields["place"].queryset = request_routing.list_communes()  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        if not self.errors and said.get("connection") is None and said.get("place") is None:
            self.add_error("place", "Chọn đấu nối của bạn, hoặc xã, phường của nơi khác.")
        category = said.get("category")
        if category is not None and category.is_bill_dispute and not self.errors and said.get("connection") is None:
            self.add_error("connection", "Khiếu nại hóa đơn phải chọn đấu nối nào.")
        return said


class ApplicationForm(forms.Form):
    name = forms.CharField(label="Họ tên, tên đơn vị", max_length=160)
    kind = forms.ChoiceField(label="Bạn là", choices=Customer.Kind.choices)
    place = PlaceChoice(Subject.objects.none(), label="Xã, phường lắp đặt")
    work = _WorkField(
        Work.objects.none(), label="Công trình cấp nước", required=False, empty_label="Chọn công trình gần nhà nhất"
    )
    address = forms.CharField(label="Địa chỉ lắp đặt", max_length=300, help_text="Số nhà, thôn, gần nơi nào.")
    group = forms.ChoiceField(label="Dùng nước để", choices=Group.choices)
    households = WholeField(label="Số hộ dùng chung đồng hồ", min_value=1, max_value=1_000, initial=1)
    persons = WholeField(label="Số người trong hộ", min_value=0, max_value=999, required=False)
    note = forms.CharField(label="Ghi thêm", max_length=300, required=False, widget=forms.Textarea({"rows": 3}))

    def __init__(self, data: QueryDict | None, *, contact: dict[str, str], **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self._contact = contact
        self.fields["place"].queryset = request_routing.list_communes()  # type: ignore[attr-defined]
        works = self._works()
        if len(works) > 1:  # only where the commune does not say which
            found = Work.objects.filter(pk__in=[one.pk for one in works]).select_related("subject")
            self.fields["work"].queryset = found.order_by("subject__name")  # type: ignore[attr-defined]
        else:
            del self.fields["work"]

    def _works(self) -> list[Work]:
        """Return the works that serve the commune chosen, none as long as none is."""
        if not self.is_bound:
            return []
        try:
            place = self.fields["place"].clean(self.data.get("place"))
        except forms.ValidationError:
            return []
        return request_routing.works_serving(place)

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        if self.errors:
            return said
        works = self._works()
        if not works:
            self.add_error("place", "Chưa có công trình nào cấp nước ở xã này. Gọi đơn vị cấp nước để hỏi.")
        elif len(works) == 1:
            said["work"] = works[0]
        elif said.get("work") is None:
            self.add_error("work", "Nhiều công trình cấp nước ở xã này: chọn công trình gần nhà nhất.")
        return said

    def facts(self) -> ApplicationFacts:
        said = self.cleaned_data
        return ApplicationFacts(
            said["name"], said["address"], kind=said["kind"], group=said["group"], households=said["households"],
            persons=said["persons"] or 0, place=said["place"], phone=self._contact.get("phone", ""),
            email=self._contact.get("email", ""),
        )  # fmt: skip


class PublicApplicationForm(ApplicationForm):
    """The same, of who is not signed in: with a phone, by which they follow it, and what keeps machines off."""

    phone = forms.CharField(
        label="Điện thoại di động", max_length=20, widget=forms.TextInput({"inputmode": "tel", "autocomplete": "tel"}),
        help_text="Đơn vị cấp nước gọi số này; bạn đăng nhập bằng số này để theo dõi.",
    )  # fmt: skip
    email = forms.EmailField(
        label="Thư điện tử", required=False, max_length=254, widget=forms.EmailInput({"autocomplete": "email"}),
        help_text="Không bắt buộc. Cũng dùng để đăng nhập được.",
    )  # fmt: skip
    website = forms.CharField(required=False, max_length=200)  # a trap: people do not see it
    stamp = forms.CharField(required=False, max_length=300, widget=forms.HiddenInput)
    sum_answer = forms.CharField(required=False, max_length=10)
    sum_stamp = forms.CharField(required=False, max_length=300, widget=forms.HiddenInput)
    asked = ("name", "kind", "phone", "email", "place", "work", "address", "group", "households", "persons", "note")

    def __init__(self, data: QueryDict | None, **kwargs: Any) -> None:
        super().__init__(data, contact={}, **kwargs)

    def shown(self) -> list[Any]:
        """Return the fields that people see, in order."""
        return [self[name] for name in self.asked if name in self.fields]

    def clean_phone(self) -> str:
        try:
            phone = codes.read_address(self.cleaned_data["phone"])
        except codes.BadAddress:
            phone = ""
        if not phone or "@" in phone or phone.startswith(codes.SIMULATED_PHONES):
            raise forms.ValidationError("Ghi số điện thoại di động gồm 10 chữ số, ví dụ 0905123456.")
        return phone

    def clean(self) -> dict[str, Any]:
        said = super().clean()
        self._contact = {"phone": said.get("phone") or "", "email": said.get("email") or ""}
        return said


class ReadingForm(_Once):
    index_m3 = NumberField(
        label="Chỉ số trên đồng hồ (m³)", min_value=0, max_value=Decimal(99_999_999), max_digits=11, decimal_places=3,
        help_text="Ghi các chữ số màu đen; bỏ chữ số màu đỏ.",
    )  # fmt: skip
    photo = forms.FileField(
        label="Ảnh mặt đồng hồ", widget=forms.FileInput({"accept": "image/jpeg,image/png", "capture": "environment"}),
        help_text="Thấy rõ chữ số và số sê-ri. Vị trí ghi trong ảnh được xóa khi nhận.",
    )  # fmt: skip
    is_rolled_over = forms.BooleanField(label="Đúng, đồng hồ đã chạy hết số và quay về 0", required=False)

    def __init__(self, data: QueryDict | None, files: Any = None, **kwargs: Any) -> None:
        super().__init__(data, files, **kwargs)
        self.ask_rolled_over(self.is_bound and bool(self.data.get("is_rolled_over")))

    def ask_rolled_over(self, asks: bool) -> None:
        widget = forms.CheckboxInput() if asks else forms.HiddenInput()
        self.fields["is_rolled_over"].widget = widget

    @property
    def index_l(self) -> int:
        return int(self.cleaned_data["index_m3"] * 1_000)


class NormForm(_Once):
    persons = WholeField(label="Số người xin tính định mức", min_value=1, max_value=99)
    from_date = DayField(label="Từ ngày")
    note = forms.CharField(
        label="Giải thích", max_length=1_000, required=False, widget=forms.Textarea({"rows": 3}),
        help_text="Ai chuyển đến, chuyển đi. Giấy tờ chỉ người xử lý xem được.",
    )  # fmt: skip
    papers = Photos(help_text="Xác nhận thông tin cư trú hoặc giấy tờ tương đương: ảnh JPEG, PNG hoặc PDF.")

    def __init__(self, data: QueryDict | None, files: Any = None, **kwargs: Any) -> None:
        super().__init__(data, files, **kwargs)
        papers = self.fields["papers"]
        papers.label, papers.required = f"Giấy tờ (tối đa {PHOTOS_MAX} tệp)", True
        papers.widget.attrs["accept"] = "image/jpeg,image/png,application/pdf"


class ErasureForm(_Once):
    note = forms.CharField(label="Lời nhắn", max_length=1_000, required=False, widget=forms.Textarea({"rows": 3}))


STAGE_TONES = {
    Application.Stage.INSTALLED: "good", Application.Stage.BILLED: "good", Application.Stage.REFUSED: "danger",
    Application.Stage.WITHDRAWN: "neutral",
}  # fmt: skip


def tone_of(application: Application) -> str:
    return STAGE_TONES.get(Application.Stage(application.stage), "info")
