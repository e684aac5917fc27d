"""Filters and forms of meters: their file, verification, hanging and swapping."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.http import QueryDict

from machnuoc.core.choices import DayField, MomentField
from machnuoc.core.models import Person
from machnuoc.core.number_fields import NumberField, WholeField
from machnuoc.customers import meter_queries, reading_desk, reading_queries, visibility
from machnuoc.customers.models import Connection, Meter
from machnuoc.places.models import Subject


def litres(index_m3: Decimal) -> int:
    return int((index_m3 * 1000).to_integral_value())


class _Index(NumberField):
    def __init__(self, label: str, **kwargs: Any) -> None:
        super().__init__(label=label, min_value=0, max_value=Decimal(999_999_999), decimal_places=3, **kwargs)


class MeterFilter(forms.Form):
    q = forms.CharField(
        label="Tìm", required=False, max_length=40,
        widget=forms.TextInput({"type": "search", "placeholder": "Số sê-ri, mã đấu nối"}),
    )  # fmt: skip
    work = forms.ChoiceField(label="Công trình", required=False)
    due = forms.ChoiceField(label="Kiểm định", required=False, choices=[("", "Mọi hạn"), *meter_queries.DUE.items()])
    kind = forms.ChoiceField(label="Loại", required=False, choices=[("", "Mọi loại"), *Meter.Kind.choices])
    place = forms.ChoiceField(
        label="Nơi", required=False, choices=[("", "Tất cả"), ("hung", "Đang lắp"), ("store", "Chưa lắp, đã tháo")]
    )

    def __init__(self, data: QueryDict, person: Person) -> None:
        super().__init__(data)
        ids = visibility.list_work_ids(person)
        names = Subject.objects.filter(pk__in=visibility.works_with_customers().values("pk"))
        if ids is not None:
            names = Subject.objects.filter(pk__in=ids)
        rows = [(str(pk), name) for pk, name in names.order_by("name").values_list("pk", "name")[:500]]
        self.fields["work"].choices = [("", "Mọi công trình"), *rows]  # type: ignore[attr-defined]

    def read(self) -> meter_queries.Filters:
        self.is_valid()
        given = self.cleaned_data
        return meter_queries.Filters(
            q=str(given.get("q") or ""), work=int(given.get("work") or 0), due=str(given.get("due") or ""),
            kind=str(given.get("kind") or ""), place=str(given.get("place") or ""),
        )  # fmt: skip

    def describe(self) -> list[tuple[str, str]]:
        rows = []
        for name, field in self.fields.items():
            text = str(self.cleaned_data.get(name) or "")
            if text:
                rows.append((str(field.label), str(dict(getattr(field, "choices", [])).get(text, text))))
        return rows


class MeterForm(forms.Form):
    kind = forms.ChoiceField(label="Loại", choices=Meter.Kind.choices)
    make = forms.CharField(label="Hãng, kiểu", max_length=80, required=False)
    accuracy_class = forms.CharField(label="Cấp chính xác", max_length=12, required=False)
    diameter_mm = WholeField(label="Đường kính (mm)", min_value=10, max_value=2_000, initial=15)
    digits = WholeField(
        label="Số chữ số (m³)", min_value=3, max_value=9, initial=5, help_text="Đếm các chữ số đen trên mặt đồng hồ."
    )
    verified_date = DayField(
        label="Kiểm định ngày", required=False, help_text="Hạn kiểm định lại tính theo quy định của ngày đó."
    )
    note = forms.CharField(label="Ghi chú", max_length=200, required=False)

    def __init__(self, data: QueryDict | None, *, meter: Meter | None = None) -> None:
        initial = {name: getattr(meter, name) for name in self.base_fields} if meter is not None else {}
        super().__init__(data, initial=initial)


class VerifyForm(forms.Form):
    on_date = DayField(label="Ngày kiểm định")

    def __init__(self, data: QueryDict | None, *, today: date) -> None:
        super().__init__(data, initial={"on_date": today})


class FitForm(forms.Form):
    """A meter that is hung. The serial finds one that is known; what is said of a new one is kept."""

    at = MomentField(label="Lắp lúc")
    serial = forms.CharField(label="Số sê-ri", max_length=40)
    index_m3 = _Index("Chỉ số khi lắp (m³)", initial=Decimal(0))
    kind = forms.ChoiceField(label="Loại", choices=Meter.Kind.choices)
    make = forms.CharField(label="Hãng, kiểu", max_length=80, required=False)
    diameter_mm = WholeField(label="Đường kính (mm)", min_value=10, max_value=2_000, initial=15)
    digits = WholeField(label="Số chữ số (m³)", min_value=3, max_value=9, initial=5)
    verified_date = DayField(label="Kiểm định ngày", required=False)
    seal = forms.CharField(label="Số chì niêm phong", max_length=40, required=False)

    def __init__(self, data: QueryDict | None, *, now: datetime) -> None:
        super().__init__(data, initial={"at": now})

    def said(self) -> dict[str, Any]:
        given = self.cleaned_data
        return {
            "at": given["at"], "serial": given["serial"], "index_l": litres(given["index_m3"]), "seal": given["seal"],
            **{name: given[name] or None for name in ("kind", "make", "diameter_mm", "digits", "verified_date")},
        }  # fmt: skip


class SwapForm(FitForm):
    removed_index_m3 = _Index("Chỉ số đồng hồ cũ khi tháo (m³)")
    removed_rolled_over = forms.BooleanField(label="Đồng hồ cũ đã quay vòng qua 0", required=False)
    reason = forms.CharField(
        label="Lý do thay", max_length=200, widget=forms.TextInput({"placeholder": "Hết hạn kiểm định, kẹt, vỡ mặt…"})
    )
    seen = forms.IntegerField(widget=forms.HiddenInput, required=False)
    field_order = ["at", "removed_index_m3", "removed_rolled_over", "reason", "serial", "index_m3"]

    def __init__(self, data: QueryDict | None, *, now: datetime, connection: Connection) -> None:
        super().__init__(data, now=now)
        self.initial["seen"] = connection.fittings.filter(removed_at__isnull=True).values_list("pk", flat=True).first()
        self.fields["at"].label = "Thay lúc"
        self.fields["serial"].label = "Số sê-ri đồng hồ mới"
        self.fields["index_m3"].label = "Chỉ số đồng hồ mới khi lắp (m³)"
        facts = reading_queries.meter_facts([connection.pk]).get(connection.pk)
        if facts is not None:
            shown = reading_desk.show_m3(facts.before_l)
            self.fields[
                "removed_index_m3"
            ].help_text = f"Đồng hồ {facts.serial}, lần đọc trước {shown} m³ ngày {facts.before_date:%d/%m/%Y}."

    def said(self) -> dict[str, Any]:
        given = self.cleaned_data
        return {
            **super().said(), "removed_index_l": litres(given["removed_index_m3"]), "reason": given["reason"],
            "removed_rolled_over": given["removed_rolled_over"], "seen": given["seen"],
        }  # fmt: skip
