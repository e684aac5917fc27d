"""Filters of the pages of devices, and the forms of devices, channels, calibrations, limits."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.db.models import Q
from django.http import QueryDict
from django.utils import timezone
from django.utils.html import format_html

from machnuoc.core import units
from machnuoc.core.choices import DayField, MomentField, OneOf
from machnuoc.core.models import Document, Person
from machnuoc.core.number_fields import NumberField, WholeField
from machnuoc.core.periods import LOCAL_ZONE
from machnuoc.core.vietnamese import format_number
from machnuoc.places import access
from machnuoc.places.models import Subject
from machnuoc.telemetry import alarm_forms, counter_steps, device_queries
from machnuoc.telemetry.models import Channel, Device, MeasuringPlace, QualityLimit, TotaliserMark
from machnuoc.telemetry.quantities import QUANTITIES, list_limited
from machnuoc.works.models import Work


def _units() -> list[tuple[str, str]]:
    """Return every unit that some quantity is stored or sent in."""
    found = sorted({unit for one in QUANTITIES.values() for unit in (one.unit, *one.accepted_units)})
    return [("", "Đơn vị lưu của đại lượng"), *((one, units.label(one) or "không đơn vị") for one in found)]


def _quantities() -> list[tuple[str, str]]:
    return [(one.key, one.name) for one in QUANTITIES.values()]


def shown(number: float | None) -> Decimal | None:
    """Return a stored number as a form shows it."""
    return None if number is None else Decimal(repr(float(number))).normalize()


class _Work(OneOf):
    def label_from_instance(self, obj: Work) -> str:
        return obj.subject.name


# --- filters


class DeviceFilter(forms.Form):
    q = forms.CharField(
        label="Tìm", required=False, max_length=100,
        widget=forms.TextInput({"type": "search", "placeholder": "Mã, tên, sê-ri, trạm"}),
    )  # fmt: skip
    work = forms.ChoiceField(label="Trạm", required=False)
    protocol = forms.ChoiceField(
        label="Đường truyền", required=False, choices=[("", "Mọi đường truyền"), *Device.Protocol.choices]
    )
    health = forms.ChoiceField(
        label="Sức khỏe", required=False, choices=[("", "Mọi tình trạng"), *device_queries.HEALTH.items()]
    )

    def __init__(self, data: QueryDict, person: Person) -> None:
        super().__init__(data)
        works = [(str(pk), name) for pk, name in alarm_forms.visible_works(person).values_list("pk", "subject__name")]
        self.fields["work"].choices = [("", "Mọi trạm"), *works]  # type: ignore[attr-defined]

    def read(self) -> device_queries.Filters:
        """Return what is asked for; what makes no sense asks for nothing."""
        self.is_valid()
        given = self.cleaned_data
        return device_queries.Filters(
            q=str(given.get("q") or ""), work=int(given.get("work") or 0), protocol=str(given.get("protocol") or ""),
            health=str(given.get("health") or ""),
        )  # fmt: skip

    def describe(self) -> list[tuple[str, str]]:
        rows = []
        for name, field in self.fields.items():
            text = str(self.cleaned_data.get(name) or "")
            if text:
                rows.append((str(field.label), str(dict(getattr(field, "choices", [])).get(text, text))))
        return rows


class LedgerFilter(forms.Form):
    device = forms.CharField(label="Mã thiết bị", required=False, max_length=48)
    from_date = DayField(label="Từ ngày", required=False)
    to_date = DayField(label="Đến hết ngày", required=False)
    unit = forms.ChoiceField(label="Theo", required=False, choices=[("", "ngày"), ("hour", "giờ")])
    only = forms.BooleanField(label="Chỉ dòng có từ chối, cách ly", required=False)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        first, last = given.get("from_date"), given.get("to_date")
        if first and last and first > last:
            self.add_error("to_date", "Ngày cuối phải sau ngày đầu.")
        elif first and last and (last - first).days > 400:
            self.add_error("to_date", "Xem nhiều nhất 400 ngày một lần.")
        return given


class QuarantineFilter(forms.Form):
    state = forms.ChoiceField(
        label="Tình trạng", required=False,
        choices=[("", "Chờ xem"), ("REPLAYED", "Đã nạp lại"), ("DISMISSED", "Đã bỏ"), ("ALL", "Tất cả")],
    )  # fmt: skip
    device = forms.CharField(label="Mã thiết bị", required=False, max_length=48)


# --- devices


class DeviceForm(forms.Form):
    code = forms.CharField(
        label="Mã thiết bị", max_length=48,
        help_text="Tên đăng nhập và chủ đề MQTT: chữ thường không dấu, số, «-», «_». Không đổi được về sau.",
    )  # fmt: skip
    name = forms.CharField(label="Tên", max_length=120)
    work = _Work(Work.objects.none(), label="Công trình")
    kind = forms.ChoiceField(label="Loại", choices=Device.Kind.choices)
    protocol = forms.ChoiceField(label="Đường truyền", choices=Device.Protocol.choices)
    sender_id = forms.CharField(
        label="Mã trên mạng gửi", max_length=64, required=False, help_text="DevEUI của LoRaWAN; để trống nếu không có."
    )
    clock_offset_min = WholeField(
        label="Đồng hồ lệch so với UTC (phút)", min_value=-840, max_value=840, initial=0,
        help_text="Chỉ dùng khi thiết bị gửi giờ không kèm múi giờ: 0 là UTC, 420 là giờ Việt Nam.",
    )  # fmt: skip
    place_note = forms.CharField(label="Vị trí lắp đặt", max_length=200, required=False)
    latitude = NumberField(
        label="Vĩ độ", required=False, max_digits=9, decimal_places=6, min_value=Decimal(-90), max_value=Decimal(90)
    )
    longitude = NumberField(
        label="Kinh độ", required=False, max_digits=9, decimal_places=6, min_value=Decimal(-180), max_value=Decimal(180)
    )
    make = forms.CharField(label="Hãng, kiểu", max_length=120, required=False)
    serial = forms.CharField(label="Số sê-ri", max_length=60, required=False)
    installed_at = MomentField(label="Lắp lúc", required=False)
    note = forms.CharField(label="Ghi chú", max_length=2000, required=False, widget=forms.Textarea({"rows": 2}))
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, data: QueryDict | None, *, person: Person, device: Device | None = None, work: str = "") -> None:
        names = [name for name in self.base_fields if name not in {"work"}]
        initial: dict[str, Any] = {name: getattr(device, name) for name in names} if device else {"work": work}
        if device:
            initial["work"] = device.work_id
        super().__init__(data, initial=initial)
        works = Work.objects.select_related("subject").order_by("subject__name")
        if not access.sees_everything(person, "manage"):
            works = works.filter(pk__in=access.visible_subject_ids(person, "manage"))
        self.fields["work"].queryset = works  # type: ignore[attr-defined]
        if device:
            self.fields["code"].widget.attrs["readonly"] = True

    def said(self) -> dict[str, Any]:
        given = dict(self.cleaned_data)
        given.pop("version")
        return given


class RemoveForm(forms.Form):
    at = MomentField(label="Tháo lúc")
    reason = forms.CharField(label="Lý do", max_length=200)

    def __init__(self, data: QueryDict | None) -> None:
        super().__init__(data, initial={"at": timezone.now()})


class SecretForm(forms.Form):
    """How long a new secret holds, and whether the former ones end at once."""

    days = forms.TypedChoiceField(
        label="Hiệu lực", coerce=int, initial=0,
        choices=[(0, "Không hết hạn"), (30, "30 ngày"), (365, "1 năm"), (1095, "3 năm")],
    )  # fmt: skip
    replaces = forms.BooleanField(
        label="Thay mọi mã đang dùng", required=False, help_text="Thiết bị đang dùng mã cũ sẽ bị ngắt."
    )

    def expires_at(self, now: datetime) -> datetime | None:
        days = self.cleaned_data["days"]
        return now + timedelta(days=days) if days else None


# --- channels


class ChannelForm(forms.Form):
    key = forms.CharField(label="Khóa trong bản tin", max_length=48, help_text="Đúng như thiết bị gửi, ví dụ flow.")
    name = forms.CharField(label="Tên", max_length=120)
    quantity = forms.ChoiceField(label="Đại lượng", choices=_quantities)
    sent_unit = forms.ChoiceField(label="Đơn vị thiết bị gửi", required=False, choices=_units)
    point = forms.ChoiceField(label="Điểm đo", choices=Channel.Point.choices, initial=Channel.Point.STATION)
    role = forms.ChoiceField(label="Dùng cho", choices=Channel.Role.choices, required=False)
    expected_interval_s = WholeField(label="Chu kỳ gửi (giây)", min_value=1, max_value=604_800, initial=300)
    low = NumberField(label="Tin được từ", required=False, help_text="Theo đơn vị lưu; để trống: khoảng của đại lượng.")
    high = NumberField(label="Tin được đến", required=False)
    resolution = NumberField(label="Độ phân giải", required=False, min_value=Decimal(0))
    minimum = NumberField(
        label="Mức tối thiểu coi là có nước (mH₂O)", required=False, help_text="Cho thời gian cấp nước."
    )
    capacity_m3 = NumberField(label="Dung tích đầy bể (m³)", required=False, min_value=Decimal(0))
    full_at = NumberField(label="Đầy bể tại (m)", required=False, min_value=Decimal(0))
    rolls_over_at = NumberField(
        label="Đồng hồ quay vòng tại", required=False, min_value=Decimal(0), help_text="Ví dụ 999.999 + 1 = 1.000.000."
    )
    largest_step_per_h = NumberField(label="Tăng nhiều nhất mỗi giờ", required=False, min_value=Decimal(0))
    is_active = forms.BooleanField(label="Đang dùng", required=False, initial=True)
    is_public = forms.BooleanField(label="Công bố trên trang công khai", required=False)
    description = forms.CharField(label="Mô tả", max_length=300, required=False)
    feature = OneOf(
        MeasuringPlace.objects.none(), label="Nơi đo", required=False, empty_label="Tại công trình",
        help_text="Đổi nơi thì số đọc cũ cũng thuộc nơi mới; đầu đo dời đi chỗ khác thì thêm kênh mới.",
    )  # fmt: skip

    _NUMBERS = ("low", "high", "resolution", "minimum", "capacity_m3", "full_at", "rolls_over_at", "largest_step_per_h")

    def __init__(self, data: QueryDict | None, *, work: int, channel: Channel | None = None) -> None:
        initial: dict[str, Any] = {}
        if channel:
            for name in self.base_fields:
                value = getattr(channel, name)
                initial[name] = shown(value) if name in self._NUMBERS else value
        super().__init__(data, initial=initial)
        if channel:
            about = QUANTITIES[channel.quantity]
            self.fields["quantity"].choices = [(about.key, about.name)]  # type: ignore[attr-defined]
        places = MeasuringPlace.objects.filter(work=work)
        if places.exists():
            self.fields["feature"].queryset = places  # type: ignore[attr-defined]
        else:
            del self.fields["feature"]

    def said(self) -> dict[str, Any]:
        """Return what is said of the channel itself; its place is given to it by itself."""
        given = {name: value for name, value in self.cleaned_data.items() if name != "feature"}
        for name in self._NUMBERS:
            given[name] = None if given[name] is None else float(given[name])
        given["resolution"] = given["resolution"] or 0.0
        return given


class CalibrationForm(forms.Form):
    valid_from = MomentField(
        label="Có hiệu lực từ", help_text="Lúc đã qua: số đọc từ lúc ấy được tính lại ở chế độ nền và ghi là sửa."
    )
    factor = NumberField(label="Hệ số", initial=Decimal(1))
    offset = NumberField(label="Độ lệch", initial=Decimal(0))
    note = forms.CharField(label="Căn cứ", max_length=200, help_text="Biên bản, số giấy hiệu chuẩn.")

    def __init__(self, data: QueryDict | None, *, channel: Channel) -> None:
        super().__init__(data, initial={"valid_from": timezone.now()})
        stored = QUANTITIES[channel.quantity].unit
        unit, sent = units.label(stored), units.label(channel.sent_unit)
        if unit:
            self.fields["offset"].label = f"Độ lệch ({unit})"
        of_sent = "giá trị gửi" if channel.sent_unit == stored else f"giá trị gửi ({sent}) đổi sang {unit}"
        self.fields["factor"].help_text = f"Giá trị lưu{f' ({unit})' if unit else ''} = {of_sent} × hệ số + độ lệch."


class MarkForm(forms.Form):
    """What a person says of one step of a counter: one that the program saw, or that of a reading named by its time."""

    OTHER = "other"

    step = forms.ChoiceField(label="Bước nhảy", widget=forms.RadioSelect)
    at = MomentField(
        label="Lúc của số đọc khác", required=False,
        widget=forms.DateTimeInput({"type": "datetime-local", "step": "1"}, "%Y-%m-%dT%H:%M:%S"),
        help_text="Chỉ khi chọn «Số đọc khác»: lúc đo của số đọc ngay sau sự kiện, đúng đến phút hoặc giây.",
    )  # fmt: skip
    what = forms.ChoiceField(label="Sự kiện", choices=TotaliserMark.What.choices)
    step_m3 = NumberField(
        label="Lượng nước tính cho bước này", required=False, min_value=Decimal(0),
        help_text="Để trống: theo loại sự kiện. Đơn vị của kênh.",
    )  # fmt: skip
    reason = forms.CharField(label="Lý do", max_length=200)

    def __init__(
        self, data: QueryDict | None, *, channel: Channel, steps: Sequence[counter_steps.CounterStep], chosen: str = ""
    ) -> None:
        super().__init__(data, initial={"step": chosen or (str(steps[0].at_ms) if steps else self.OTHER)})
        self.channel = channel
        choices = [(str(step.at_ms), _told(step)) for step in steps]
        given = self.fields["at"].widget.value_from_datadict(self.data, self.files, "at") if self.is_bound else None
        try:
            at = self.fields["at"].clean(given) if given else None
        except forms.ValidationError:
            at = None  # said again where the field is checked
        self.about = counter_steps.readings_about(channel, at) if at else []
        known = {value for value, _ in choices}
        unit, decimals = QUANTITIES[channel.quantity].unit, QUANTITIES[channel.quantity].decimals
        for at_ms, value in self.about:
            if str(at_ms) not in known:
                moment = datetime.fromtimestamp(at_ms / 1000, LOCAL_ZONE)
                said = f"Số đọc {format_number(value, decimals)} {units.label(unit)} lúc {moment:%H:%M:%S %d/%m/%Y}"
                choices.append((str(at_ms), said))
        self.fields["step"].choices = [*choices, (self.OTHER, "Số đọc khác, ghi lúc đo bên dưới")]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if given.get("step") != self.OTHER or self.errors.get("at"):
            return given
        at = given.get("at")
        if at is None:
            self.add_error("at", "Ghi lúc đo của số đọc ngay sau sự kiện, hoặc chọn một bước nhảy ở trên.")
        elif not self.about:
            self.add_error(
                "at", f"Kênh {self.channel.key} không có số đọc nào lúc {timezone.localtime(at):%H:%M %d/%m/%Y}. "
                "Xem các số đọc ở trang kênh rồi ghi lại.",
            )  # fmt: skip
        elif len(self.about) > 1:
            self.add_error("step", f"Lúc ấy có {len(self.about)} số đọc. Chọn một số đọc trong danh sách.")
        else:
            given["step"] = str(self.about[0][0])
        return given

    def at_ms(self) -> int:
        """Return the instant of the reading after the step."""
        return int(self.cleaned_data["step"])


def _told(step: counter_steps.CounterStep) -> str:
    by = f" Đã quyết định: {step.mark.decided_by.full_name}." if step.mark else ""
    return format_html(
        '<span><strong>{}</strong> {}, {} <span class="is-quiet">({})</span>; tính {}'
        '<small class="under">{}{}</small></span>',
        step.when, step.readings, step.label.lower(), step.confidence.lower(), step.counted, step.rule, by,
    )  # fmt: skip


class LimitForm(forms.Form):
    subject = OneOf(Subject.objects.none(), label="Áp dụng cho")
    quantity = forms.ChoiceField(label="Đại lượng", choices=lambda: [(one.key, one.name) for one in list_limited()])
    low = NumberField(label="Không nhỏ hơn", required=False)
    high = NumberField(label="Không lớn hơn", required=False)
    valid_from = DayField(label="Có hiệu lực từ", required=False)
    valid_to = DayField(label="Hết hiệu lực từ", required=False)
    standard = forms.CharField(label="Quy chuẩn", max_length=120, help_text="Số hiệu văn bản.")
    source = forms.CharField(label="Nguồn", max_length=300, help_text="Điều, mục, bảng của văn bản.")
    document = OneOf(Document.objects.none(), label="Văn bản", required=False, empty_label="Chưa có trong hệ thống")
    confidence = forms.ChoiceField(
        label="Mức tin cậy", choices=QualityLimit.Confidence.choices, initial=QualityLimit.Confidence.RECALLED
    )

    def __init__(self, data: QueryDict | None, *, person: Person, limit: QualityLimit | None = None) -> None:
        initial: dict[str, Any] = {}
        if limit:
            initial = {name: getattr(limit, name) for name in self.base_fields}
            initial |= {"low": shown(limit.low), "high": shown(limit.high), "document": limit.document_id}
            initial["subject"] = limit.subject_id
        super().__init__(data, initial=initial)
        subjects = Subject.objects.exclude(kind=Subject.Kind.ORGANISATION).order_by("kind", "name")
        if not access.sees_everything(person, "manage"):
            subjects = subjects.filter(pk__in=access.visible_subject_ids(person, "manage"))
        works = Work.objects.filter(devices__isnull=False).values("pk")
        scopes = access.list_scopes(person, "manage")
        here = Q(pk__in=works) | Q(pk__in=scopes) | Q(unit__level="PROVINCE", unit__is_in_force=True)
        self.fields["subject"].queryset = subjects.filter(here)  # type: ignore[attr-defined]
        self.fields["document"].queryset = Document.objects.order_by("number")  # type: ignore[attr-defined]

    def said(self) -> dict[str, Any]:
        given = dict(self.cleaned_data)
        for name in ("low", "high"):
            given[name] = None if given[name] is None else float(given[name])
        return given


class DismissForm(forms.Form):
    reason = forms.CharField(label="Lý do bỏ", max_length=200)
