"""Forms of requests: filters, the desk's own form, the public form, what handlers do, settings."""

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import QueryDict
from django.utils import timezone

from machnuoc.core.choices import DayField, InAlphabet, MomentField, OneOf
from machnuoc.core.models import Person
from machnuoc.core.number_fields import WholeField
from machnuoc.core.periods import LOCAL_ZONE
from machnuoc.customers import counting, request_queries, request_routing, visibility
from machnuoc.customers.connection_operations import read_phone
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import AnswerTemplate, Category, Connection, Request, WorkOrder
from machnuoc.customers.request_operations import PHOTOS_MAX, TEXT_MAX
from machnuoc.places import access
from machnuoc.places.models import Organisation, Subject
from machnuoc.works.models import Work

_ROWS = {"rows": 4, "maxlength": TEXT_MAX}
_PICTURES = "image/jpeg,image/png"


class Degrees(forms.DecimalField):
    """A coordinate as a browser or a map gives it, with a decimal point: 15.1234; a comma is understood too."""

    def __init__(self, most: int, **kwargs: Any) -> None:
        super().__init__(
            min_value=Decimal(-most), max_value=Decimal(most), required=False,
            widget=forms.TextInput({"inputmode": "decimal", "maxlength": 20}), **kwargs,
        )  # fmt: skip

    def to_python(self, value: Any) -> Any:
        return super().to_python(str(value).strip().replace(",", ".") if value else value)


class Photos(forms.FileField):
    """Several files of one field."""

    class Several(forms.ClearableFileInput):
        allow_multiple_selected = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            required=False, widget=Photos.Several({"accept": _PICTURES, "multiple": True}),
            label=f"Ảnh (tối đa {PHOTOS_MAX})", **kwargs,
        )  # fmt: skip

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        given = data if isinstance(data, list | tuple) else [data] if data else []
        return [super(Photos, self).clean(one, initial) for one in given]


class _WorkChoice(OneOf):
    def label_from_instance(self, obj: Work) -> str:
        return obj.subject.name


class _UnitChoice(OneOf):
    def label_from_instance(self, obj: Organisation) -> str:
        return obj.subject.name


class _PersonChoice(OneOf):
    def label_from_instance(self, obj: Person) -> str:
        return f"{obj.full_name}{f' · {obj.title}' if obj.title and obj.title not in obj.full_name else ''}"


class PlaceChoice(OneOf):
    """A commune of `request_routing.list_communes`."""

    iterator = InAlphabet

    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.name} ({obj.province_name})" if getattr(obj, "province_name", None) else obj.name


def works_of(person: Person, action: str = "serve") -> QuerySet[Work]:
    ids = visibility.list_work_ids(person, action)
    works = Work.objects.filter(operator__isnull=False).select_related("subject").order_by("subject__name")
    return works if ids is None else works.filter(pk__in=ids)


def operators_of(person: Person, action: str) -> QuerySet[Organisation]:
    """Return the operators of works on which the person may do the action."""
    rows = Organisation.objects.filter(works__isnull=False).distinct().select_related("subject")
    rows = rows.order_by("subject__name")
    if access.sees_everything(person, action):
        return rows
    return rows.filter(pk__in=access.visible_subject_ids(person, action))


# --- filters


class RequestFilter(forms.Form):
    """Filters of the list, the map and the exports."""

    q = forms.CharField(
        label="Tìm", required=False, max_length=100,
        widget=forms.TextInput({"type": "search", "placeholder": "Mã, nội dung, tên, điện thoại"}),
    )  # fmt: skip
    state = forms.ChoiceField(
        label="Tình trạng", required=False,
        choices=[("", "Chưa trả lời"), ("all", "Tất cả"), *Request.State.choices],
    )  # fmt: skip
    clock = forms.ChoiceField(
        label="Thời hạn", required=False,
        choices=[("", "Mọi thời hạn"), ("overdue", "Quá hạn"), ("soon", "Đến hạn trong 24 giờ"),
                 ("none", "Không có hạn")],
    )  # fmt: skip
    category = forms.ChoiceField(label="Loại", required=False)
    work = forms.ChoiceField(label="Công trình", required=False)
    channel = forms.ChoiceField(label="Kênh", required=False, choices=[("", "Mọi kênh"), *Request.Channel.choices])
    urgency = forms.ChoiceField(label="Mức độ", required=False, choices=[("", "Mọi mức"), *Request.Urgency.choices])
    from_date = DayField(label="Nhận từ ngày", required=False)
    to_date = DayField(label="Đến hết ngày", required=False)
    mine = forms.BooleanField(label="Giao cho tôi", required=False)

    def __init__(self, data: QueryDict, person: Person) -> None:
        super().__init__(data)
        categories = [("", "Mọi loại"), *((str(pk), name) for pk, name in Category.objects.values_list("pk", "name"))]
        self.fields["category"].choices = categories  # type: ignore[attr-defined]
        named = request_queries.visible(person).values("work_id")
        works = Work.objects.filter(pk__in=named).order_by("subject__name")
        rows = [(str(pk), name) for pk, name in works.values_list("pk", "subject__name")]
        rows += [
            (f"{counting.OUTSIDE}{pk}", f"{request_queries.UNCLEAR} ({name})")
            for pk, name in request_queries.list_without_work(person)
        ]
        self.fields["work"].choices = [("", "Mọi công trình"), *rows]  # type: ignore[attr-defined]

    def read(self) -> request_queries.Filters:
        """Return what is asked for; what makes no sense asks for nothing."""
        self.is_valid()
        said = {name: self.cleaned_data.get(name) for name in self.fields}
        state = str(said["state"] or "open")
        work = str(said["work"] or "")
        outside = work.removeprefix(counting.OUTSIDE) if work.startswith(counting.OUTSIDE) else ""
        return request_queries.Filters(
            q=str(said["q"] or ""), state="" if state == "all" else state, clock=str(said["clock"] or ""),
            category=int(said["category"]) if said["category"] else None,
            work=int(work) if work.isdecimal() else None, outside=int(outside) if outside else None,
            channel=str(said["channel"] or ""), urgency=str(said["urgency"] or ""), mine=bool(said["mine"]),
            from_at=_start_of(said["from_date"]) if said["from_date"] else None,
            until=_start_of(said["to_date"] + timedelta(days=1)) if said["to_date"] else None,
        )  # fmt: skip

    def describe(self) -> list[tuple[str, str]]:
        self.is_valid()
        rows = []
        for name in self.fields:
            value = self.cleaned_data.get(name)
            if value:
                text = value.strftime("%d/%m/%Y") if hasattr(value, "strftime") else str(value)
                shown = dict(getattr(self.fields[name], "choices", [])).get(text, text)
                rows.append((str(self.fields[name].label), "có" if value is True else str(shown)))
        return rows


def _start_of(day: Any) -> datetime:
    return datetime.combine(day, time.min, tzinfo=LOCAL_ZONE)


class OrderFilter(forms.Form):
    """Filters of the list of work orders."""

    q = forms.CharField(
        label="Tìm", required=False, max_length=100,
        widget=forms.TextInput({"type": "search", "placeholder": "Mã phiếu, nội dung, đấu nối"}),
    )  # fmt: skip
    state = forms.ChoiceField(
        label="Tình trạng", required=False,
        choices=[("", "Chưa xong"), ("all", "Tất cả"), ("overdue", "Quá hạn"), *WorkOrder.State.choices],
    )  # fmt: skip
    kind = forms.ChoiceField(label="Loại việc", required=False, choices=[("", "Mọi loại"), *WorkOrder.Kind.choices])
    mine = forms.BooleanField(label="Giao cho tôi", required=False)

    def read(self) -> dict[str, Any]:
        self.is_valid()
        return {name: self.cleaned_data.get(name) or "" for name in self.fields}


# --- taking a request down


class _Request(forms.Form):
    """What every way of reporting asks."""

    category = OneOf(Category.objects.none(), label="Loại phản ánh")
    text = forms.CharField(label="Nội dung", min_length=5, max_length=TEXT_MAX, widget=forms.Textarea(_ROWS))
    address = forms.CharField(
        label="Địa điểm", max_length=300, required=False, help_text="Số nhà, thôn, xóm, gần nơi nào."
    )  # fmt: skip
    place = PlaceChoice(
        Subject.objects.none(), label="Xã, phường", required=False, empty_label="Chọn, hoặc đánh dấu trên bản đồ"
    )
    latitude = Degrees(90, label="Vĩ độ")
    longitude = Degrees(180, label="Kinh độ")
    photos = Photos(help_text="Ảnh JPEG hoặc PNG. Vị trí và tên máy ghi trong ảnh được xóa khi nhận.")
    name = forms.CharField(label="Họ tên", max_length=160, required=False)
    phone = forms.CharField(
        label="Điện thoại", max_length=20, required=False,
        widget=forms.TextInput({"inputmode": "tel", "autocomplete": "tel"}),
    )  # fmt: skip
    email = forms.EmailField(label="Thư điện tử", required=False, widget=forms.EmailInput({"autocomplete": "email"}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["place"].queryset = request_routing.list_communes()  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        if (said.get("latitude") is None) != (said.get("longitude") is None):
            raise forms.ValidationError("Nhập cả vĩ độ và kinh độ, hoặc bỏ trống cả hai.")
        return said

    def details(self) -> dict[str, Any]:
        """Return what request_operations.receive takes, but for photos."""
        said = self.cleaned_data
        point = {name: float(said[name]) if said[name] is not None else None for name in ("latitude", "longitude")}
        return {
            **{name: said[name] for name in ("category", "text", "address", "place", "name", "phone", "email")}, **point
        }  # fmt: skip


class PublicForm(_Request):
    """The page without sign-in."""

    account = forms.CharField(
        label="Số hóa đơn hoặc mã đấu nối", max_length=40, required=False,
        help_text="Cho khiếu nại hóa đơn, không bắt buộc: in trên hóa đơn, ví dụ 1K26TAA 00000012, nội dung chuyển "
        "khoản MN0001234520 hoặc mã đấu nối DN0000123. Ghi kèm số điện thoại đã đăng ký để hồ sơ được gắn ngay.",
    )  # fmt: skip
    website = forms.CharField(required=False, max_length=200)  # a trap: people do not see it
    stamp = forms.CharField(required=False, max_length=300, widget=forms.HiddenInput)
    sum_answer = forms.CharField(required=False, max_length=10)
    sum_stamp = forms.CharField(required=False, max_length=300, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["category"].queryset = Category.objects.filter(is_active=True, is_public=True)  # type: ignore[attr-defined]
        self.fields["phone"].help_text = "Không bắt buộc. Để nhận trả lời và tra cứu lại bằng mã."
        self.fields["email"].help_text = "Không bắt buộc."

    def clean_phone(self) -> str:
        try:
            return read_phone(self.cleaned_data["phone"])
        except CustomersError as reason:
            raise forms.ValidationError(str(reason)) from None

    def clean(self) -> dict[str, Any]:
        said = super().clean()
        has_place = "place" in self.errors or said.get("place") is not None
        has_point = {"latitude", "longitude"} & set(self.errors) or said.get("latitude") is not None
        if not has_place and not has_point:
            self.add_error("place", "Chọn xã, phường, hoặc đánh dấu vị trí trên bản đồ, để chúng tôi biết nơi cần đến.")
        return said

    def details(self) -> dict[str, Any]:
        """Return what the request is, tied to the connection if a complaint about a bill names it and its phone.

        Who does not know the phone learns nothing: the answer is the same whether the connection exists.
        """
        said = self.cleaned_data
        details = super().details()
        if said["account"] and said["category"].is_bill_dispute:
            details["text"] = f"{details['text']}\n\nNgười gửi ghi mã: {said['account']}"[:TEXT_MAX]
            details["address"] = said["address"] or " "  # not that of the connection: the follow page shows it
            details["connection"] = request_queries.connection_of(said["account"], said["phone"])
        return details


class DeskForm(_Request):
    """A request that somebody takes down: by phone, at the counter, in the field."""

    channel = forms.ChoiceField(
        label="Kênh", choices=[(one.value, one.label) for one in (
            Request.Channel.PHONE, Request.Channel.COUNTER, Request.Channel.FIELD)],
    )  # fmt: skip
    connection = forms.CharField(
        label="Mã đấu nối", max_length=24, required=False, help_text="Nếu có, công trình và địa điểm lấy theo đấu nối."
    )
    work = _WorkChoice(Work.objects.none(), label="Công trình", required=False, empty_label="Chưa rõ")
    urgency = forms.ChoiceField(label="Mức độ", choices=Request.Urgency.choices, initial=Request.Urgency.NORMAL)
    nonce = forms.CharField(max_length=32, widget=forms.HiddenInput)

    def __init__(self, *args: Any, person: Person, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._person = person
        self.fields["category"].queryset = Category.objects.filter(is_active=True)  # type: ignore[attr-defined]
        self.fields["work"].queryset = works_of(person)  # type: ignore[attr-defined]
        self.order_fields(["channel", "phone", "name", "email", "connection", "category", "urgency", "text", "work"])

    def clean_connection(self) -> Connection | None:
        return find_connection(self._person, self.cleaned_data["connection"])

    def details(self) -> dict[str, Any]:
        names = ("channel", "connection", "work", "urgency")
        return {**super().details(), **{name: self.cleaned_data[name] for name in names}}


def _works_of_operator(request: Request) -> QuerySet[Work]:
    rows = Work.objects.filter(operator__isnull=False, operator_id=request.operator_id)
    return rows.select_related("subject").order_by("subject__name")


def find_connection(person: Person, code: str) -> Connection | None:
    """Return the connection of a code within the person's scope; None for no code. Raises ValidationError."""
    code = code.strip()
    if not code:
        return None
    found = visibility.list_connections(person, "serve").filter(code__iexact=code)
    connection = found.select_related("customer", "work__operator__subject", "work__subject").first()
    if connection is None:
        raise forms.ValidationError(f"Không có đấu nối {code} trong phạm vi của bạn. Kiểm tra lại mã.")
    return connection


# --- handling


class _Versioned(forms.Form):
    version = forms.IntegerField(min_value=1, max_value=2_000_000_000, widget=forms.HiddenInput)


class AssignForm(_Versioned):
    unit = _UnitChoice(Organisation.objects.none(), label="Đơn vị xử lý")
    handler = _PersonChoice(Person.objects.none(), label="Người xử lý", required=False, empty_label="Cả đơn vị")
    note = forms.CharField(label="Ghi chú cho người nhận", required=False, max_length=500)

    def __init__(self, *args: Any, request: Request, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if request.operator is not None:
            self.fields["unit"].queryset = request_routing.list_units(request.operator)  # type: ignore[attr-defined]
        self.fields["handler"].queryset = request_routing.list_handlers(request)  # type: ignore[attr-defined]


class ChangeForm(_Versioned):
    category = OneOf(Category.objects.filter(is_active=True), label="Loại phản ánh")
    urgency = forms.ChoiceField(label="Mức độ", choices=Request.Urgency.choices)
    connection = forms.CharField(label="Mã đấu nối", max_length=24, required=False)
    work = _WorkChoice(
        Work.objects.none(), label="Công trình", required=False, empty_label="Chưa rõ",
        help_text="Có đấu nối thì lấy theo đấu nối.",
    )  # fmt: skip

    def __init__(self, *args: Any, person: Person, request: Request, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._person = person
        self.fields["work"].queryset = _works_of_operator(request)  # type: ignore[attr-defined]

    def clean_connection(self) -> Connection | None:
        return find_connection(self._person, self.cleaned_data["connection"])


class AnswerForm(_Versioned):
    text = forms.CharField(label="Câu trả lời", min_length=5, max_length=TEXT_MAX, widget=forms.Textarea(_ROWS))
    photos = Photos()


class NoteForm(forms.Form):
    text = forms.CharField(
        label="Ghi chú nội bộ", min_length=3, max_length=TEXT_MAX, widget=forms.Textarea({**_ROWS, "rows": 2})
    )


class ReasonForm(_Versioned):
    text = forms.CharField(label="Lý do", min_length=3, max_length=1_000, widget=forms.Textarea({"rows": 2}))


class MergeForm(_Versioned):
    into = forms.CharField(label="Gộp vào phản ánh mã", max_length=24)


class OrderForm(forms.Form):
    """A work order from a request. Where the work of the request is not known yet, it is asked for."""

    kind = forms.ChoiceField(label="Loại việc", choices=WorkOrder.Kind.choices)
    text = forms.CharField(label="Việc cần làm", max_length=500, widget=forms.Textarea({"rows": 2}))
    work = _WorkChoice(Work.objects.none(), label="Công trình")
    unit = _UnitChoice(Organisation.objects.none(), label="Đơn vị", required=False, empty_label="Đơn vị đang xử lý")
    assignee = _PersonChoice(Person.objects.none(), label="Người làm", required=False, empty_label="Cả đơn vị")
    due_at = MomentField(label="Hạn", required=False)

    def __init__(self, *args: Any, request: Request, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if request.work_id is None:
            self.fields["work"].queryset = _works_of_operator(request)  # type: ignore[attr-defined]
        else:
            del self.fields["work"]
        if request.operator is not None:
            self.fields["unit"].queryset = request_routing.list_units(request.operator)  # type: ignore[attr-defined]
        self.fields["assignee"].queryset = request_routing.list_handlers(request)  # type: ignore[attr-defined]

    def clean_due_at(self) -> datetime | None:
        return _aware(self.cleaned_data["due_at"])


class FreeOrderForm(forms.Form):
    """A work order without a request."""

    kind = forms.ChoiceField(label="Loại việc", choices=WorkOrder.Kind.choices)
    text = forms.CharField(label="Việc cần làm", max_length=500, widget=forms.Textarea({"rows": 2}))
    connection = forms.CharField(label="Mã đấu nối", max_length=24, required=False)
    work = _WorkChoice(Work.objects.none(), label="Công trình", required=False, empty_label="Theo đấu nối")
    due_at = MomentField(label="Hạn", required=False)

    def __init__(self, *args: Any, person: Person, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._person = person
        self.fields["work"].queryset = works_of(person)  # type: ignore[attr-defined]

    def clean_connection(self) -> Connection | None:
        return find_connection(self._person, self.cleaned_data["connection"])

    def clean_due_at(self) -> datetime | None:
        return _aware(self.cleaned_data["due_at"])

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        if not self.errors and said.get("connection") is None and said.get("work") is None:
            raise forms.ValidationError("Nhập mã đấu nối hoặc chọn công trình của việc này.")
        return said


def _aware(moment: datetime | None) -> datetime | None:
    return timezone.make_aware(moment) if moment is not None and timezone.is_naive(moment) else moment


# --- the sender


class ReplyForm(forms.Form):
    text = forms.CharField(
        label="Phản hồi của bạn", min_length=3, max_length=TEXT_MAX, widget=forms.Textarea({**_ROWS, "rows": 3})
    )


class RateForm(forms.Form):
    stars = forms.TypedChoiceField(
        label="Bạn hài lòng đến mức nào?", coerce=int,
        choices=[("", "Chọn số sao"), ("5", "5 sao, rất hài lòng"), ("4", "4 sao, hài lòng"), ("3", "3 sao, tạm được"),
                 ("2", "2 sao, chưa hài lòng"), ("1", "1 sao, rất không hài lòng")],
    )  # fmt: skip
    note = forms.CharField(label="Ý kiến thêm", required=False, max_length=300)


class LookUpForm(forms.Form):
    code = forms.CharField(
        label="Mã phản ánh", max_length=24, widget=forms.TextInput({"placeholder": "PA-2026-000123"})
    )
    phone = forms.CharField(
        label="Điện thoại đã ghi khi gửi", max_length=20, widget=forms.TextInput({"inputmode": "tel"})
    )


# --- settings


class CategoryForm(forms.Form):
    clock_unit = forms.ChoiceField(
        label="Tính theo", required=False, choices=[("", "Chưa có quy định"), *Category.Clock.choices]
    )
    allowed = WholeField(label="Hạn trả lời", required=False, min_value=1, max_value=999)
    document = forms.CharField(label="Căn cứ", required=False, max_length=300)
    is_verified = forms.BooleanField(label="Đã đối chiếu văn bản", required=False)
    is_public = forms.BooleanField(label="Người dân gửi được", required=False)
    is_active = forms.BooleanField(label="Đang dùng", required=False)


class _OfOperator(forms.Form):
    operator = _UnitChoice(Organisation.objects.none(), label="Đơn vị cấp nước")

    def __init__(self, *args: Any, operators: Iterable[Organisation], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.operators = operators
        self.fields["operator"].queryset = operators  # type: ignore[attr-defined]


class RoutingForm(_OfOperator):
    work = _WorkChoice(Work.objects.none(), label="Công trình", required=False, empty_label="Mọi công trình")
    category = OneOf(Category.objects.all(), label="Loại phản ánh", required=False, empty_label="Mọi loại")
    unit = _UnitChoice(Organisation.objects.none(), label="Chuyển đến")

    def __init__(self, *args: Any, person: Person, operators: Any, **kwargs: Any) -> None:
        super().__init__(*args, operators=operators, **kwargs)
        self.fields["work"].queryset = works_of(person, "manage")  # type: ignore[attr-defined]
        units = Organisation.objects.filter(subject__contained_in__ancestor_id__in=operators.values("pk"))
        self.fields["unit"].queryset = (  # type: ignore[attr-defined]
            units.distinct().select_related("subject").order_by("subject__name")
        )


class HoursForm(_OfOperator):
    weekdays = forms.CharField(
        label="Ngày làm việc", max_length=7, initial="12345", help_text="1 là thứ hai, 7 chủ nhật."
    )
    spans = forms.CharField(label="Giờ làm việc", max_length=60, initial="07:30-11:30,13:30-17:00")
    hotline = forms.CharField(label="Đường dây nóng", max_length=40, required=False)


class TemplateForm(_OfOperator):
    category = OneOf(Category.objects.all(), label="Loại phản ánh", required=False, empty_label="Mọi loại")
    name = forms.CharField(label="Tên mẫu", max_length=80)
    text = forms.CharField(label="Nội dung", max_length=2_000, widget=forms.Textarea({"rows": 3}))

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        taken = AnswerTemplate.objects.filter(operator=said.get("operator"), name=said.get("name"))
        if not self.errors and taken.exists():
            self.add_error("name", "Đã có mẫu cùng tên. Đặt tên khác, hoặc bỏ mẫu cũ trước.")
        return said


class EndpointForm(_OfOperator):
    name = forms.CharField(label="Nơi nhận", max_length=120)
    url = forms.CharField(
        label="Địa chỉ Open311",
        max_length=300,
        help_text="Phần trước /services.json, ví dụ https://vi-du.vn/open311/v2.",
    )
    category = OneOf(Category.objects.all(), label="Loại phản ánh", required=False, empty_label="Mọi loại")
    service_code = forms.CharField(label="service_code bên nhận", max_length=80, required=False)
    jurisdiction = forms.CharField(label="jurisdiction_id", max_length=120, required=False)
    api_key = forms.CharField(
        label="api_key", max_length=200, required=False, widget=forms.PasswordInput({"autocomplete": "off"})
    )
    is_automatic = forms.BooleanField(label="Chuyển ngay khi tiếp nhận", required=False)
