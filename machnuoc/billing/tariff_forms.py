"""Forms of tariffs: the filter, the draft with its grid of blocks, the day of force, fees, frames, the calculator."""

import calendar
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.db.models import Q, QuerySet

from machnuoc.billing import tariff
from machnuoc.billing.models import Area, FeeRule, Tariff, TariffPrice
from machnuoc.billing.tariff_checks import Row
from machnuoc.core import vietnamese
from machnuoc.core.choices import DayField, OneOf
from machnuoc.core.models import Person
from machnuoc.core.number_fields import NumberField, WholeField
from machnuoc.customers.models import Group
from machnuoc.places import access
from machnuoc.places.models import Subject

SHOWS = {
    "now": "Áp dụng hôm nay",
    "later": "Sắp áp dụng",
    "draft": "Đang soạn",
    "past": "Đã kết thúc, đã hủy",
    "all": "Tất cả",
}
LEAST_ROWS = 4  # of a group with blocks in the grid
MOST_ROWS = 60
_LONGEST_TRIAL_DAYS = 366


def list_scopes(person: Person, action: str) -> QuerySet[Subject]:
    """Return what tariffs and fees of the person may be for: organisations, works, and territories of a grant."""
    own = access.list_scopes(person, action)
    inside = Subject.objects.filter(pk__in=access.visible_subject_ids(person, action), valid_to__isnull=True)
    kinds = Q(kind__in=[Subject.Kind.ORGANISATION, Subject.Kind.WORK]) | Q(pk__in=own) | Q(tariffs__isnull=False)
    return inside.filter(kinds).distinct().order_by("kind", "name")


class TariffFilter(forms.Form):
    q = forms.CharField(
        label="Tìm", required=False, max_length=100,
        widget=forms.TextInput({"type": "search", "placeholder": "Tên biểu giá, đơn vị, quyết định…"}),
    )  # fmt: skip
    show = forms.ChoiceField(label="Tình trạng", required=False, choices=list(SHOWS.items()))


class TariffForm(forms.Form):
    """What a tariff says beside its prices."""

    name = forms.CharField(label="Tên biểu giá", max_length=160)
    scope = OneOf(Subject.objects.none(), label="Áp dụng cho")
    area = forms.ChoiceField(label="Khu vực (theo khung giá)", choices=[("", "Chọn trong danh sách"), *Area.choices])
    decision = forms.CharField(label="Quyết định", max_length=200, help_text="Số, ký hiệu và cơ quan ban hành.")
    decision_date = DayField(label="Ngày quyết định", required=False)
    valid_from = DayField(label="Dự kiến áp dụng từ ngày")
    valid_to = DayField(label="Đến trước ngày", required=False, help_text="Để trống: đến khi có biểu giá mới.")
    vat_pct = NumberField(label="Thuế GTGT (%)", min_value=0, max_value=20, decimal_places=2, initial=Decimal(5))
    includes_vat = forms.ChoiceField(
        label="Đơn giá in trong quyết định",
        choices=[("", "Chọn trong danh sách"), ("0", "Chưa gồm thuế GTGT"), ("1", "Đã gồm thuế GTGT")],
    )  # fmt: skip
    minimum_m3 = NumberField(
        label="Mức tối thiểu của đồng hồ dùng chung (m³/hộ/tháng)", required=False, min_value=0, max_value=100,
        decimal_places=3,
        help_text="Để trống: không có. NĐ 124/2011/NĐ-CP đã bỏ mức sử dụng tối thiểu; chỉ nhập khi quyết định có.",
    )  # fmt: skip
    is_verified = forms.BooleanField(label="Đã đối chiếu với văn bản quyết định", required=False)
    note = forms.CharField(label="Ghi chú", required=False, max_length=300)
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, person: Person, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["scope"].queryset = list_scopes(person, "bill")  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        begins, ends = data.get("valid_from"), data.get("valid_to")
        if begins and ends and ends <= begins:
            self.add_error("valid_to", "Ngày kết thúc phải sau ngày bắt đầu.")
        return data

    def said(self) -> dict[str, Any]:
        """Return the fields of a draft."""
        data = self.cleaned_data
        names = (
            "name", "scope", "area", "decision", "decision_date", "valid_from", "valid_to", "is_verified", "note",
        )  # fmt: skip
        minimum = data["minimum_m3"]
        return {
            **{name: data[name] for name in names},
            "vat_basis_points": int(data["vat_pct"] * 100),
            "includes_vat": data["includes_vat"] == "1",
            "minimum_l_per_household": int(minimum * 1_000) if minimum else None,
        }

    @staticmethod
    def initial_of(row: Tariff) -> dict[str, Any]:
        minimum_l = row.minimum_l_per_household
        return {
            "name": row.name, "scope": row.scope_id, "area": row.area, "decision": row.decision,
            "decision_date": row.decision_date, "valid_from": row.valid_from, "valid_to": row.valid_to,
            "vat_pct": Decimal(row.vat_basis_points) / 100, "includes_vat": "1" if row.includes_vat else "0",
            "minimum_m3": Decimal(minimum_l) / 1_000 if minimum_l else None, "is_verified": row.is_verified,
            "note": row.note, "version": row.version,
        }  # fmt: skip


# --- the grid of blocks


@dataclass
class GridRow:
    """One line of the grid, as texts. problems: of its cells, by name."""

    number: int
    from_text: str = ""
    to_text: str = ""
    price_text: str = ""
    problems: list[str] = field(default_factory=list)


@dataclass
class GridGroup:
    code: str
    name: str
    structure: str
    rows: list[GridRow]


class PriceGrid:
    """The prices of all groups as typed. Names of inputs: `SH-structure`, `SH-0-from`, `SH-0-to`, `SH-0-price`."""

    def __init__(self, groups: list[GridGroup]) -> None:
        self.groups = groups
        self.rows: list[Row] = []

    @property
    def structures(self) -> list[tuple[str, str]]:
        return [(code, str(label)) for code, label in TariffPrice.Structure.choices]

    @property
    def problems(self) -> list[str]:
        return [
            f"{group.name}, dòng {row.number + 1}: {text}"
            for group in self.groups
            for row in group.rows
            for text in row.problems
        ]

    @classmethod
    def of_rows(cls, rows: Iterable[Row]) -> "PriceGrid":
        by_group: dict[str, list[Row]] = {}
        for row in rows:
            by_group.setdefault(row.group, []).append(row)
        groups = []
        for code, name in Group.choices:
            mine = by_group.get(code, [])
            lines = [
                GridRow(number, _m3(row.from_l), _m3(row.to_l), vietnamese.format_number(row.price_vnd))
                for number, row in enumerate(mine)
            ]
            structure = mine[0].structure if mine else tariff.FLAT
            spare = 0 if structure == tariff.FLAT else 1
            wanted = max(_least_rows(structure), len(lines) + spare)
            lines += [GridRow(number) for number in range(len(lines), wanted)]
            groups.append(GridGroup(code, str(name), structure, lines))
        return cls(groups)

    @classmethod
    def of_data(cls, data: Mapping[str, Any]) -> "PriceGrid":
        """Read what was typed; empty lines are left out, problems stay beside their line."""
        structures = set(TariffPrice.Structure.values)
        grid = cls([])
        for code, name in Group.choices:
            structure = str(data.get(f"{code}-structure", tariff.FLAT))
            group = GridGroup(code, str(name), structure if structure in structures else tariff.FLAT, [])
            for number in range(MOST_ROWS):
                texts = [str(data.get(f"{code}-{number}-{name}", ""))[:40].strip() for name in ("from", "to", "price")]
                row = GridRow(number, texts[0], texts[1], texts[2])
                group.rows.append(row)
                if row.to_text or row.price_text:  # a lone lower edge was filled in by the page
                    grid._read(group, row)
            least = _least_rows(group.structure)
            while len(group.rows) > least and not (group.rows[-1].price_text or group.rows[-1].to_text):
                group.rows.pop()
            if group.rows[-1].price_text and group.structure != tariff.FLAT:
                group.rows.append(GridRow(len(group.rows)))
            grid.groups.append(group)
        return grid

    def _read(self, group: GridGroup, row: GridRow) -> None:
        lower_l = _litres(row.from_text, "từ", row.problems) or 0
        upper_l = _litres(row.to_text, "đến", row.problems)
        price = None
        try:
            price = vietnamese.parse_number(row.price_text, integer=True)
        except vietnamese.NotANumber as reason:
            row.problems.append(str(reason))
        if not row.price_text:
            row.problems.append("chưa có đơn giá.")
        elif price is not None and not 0 <= price <= tariff.MOST_PRICE_VND:
            row.problems.append("đơn giá phải từ 0 đến 1.000.000 đồng/m³.")
        if upper_l is not None and upper_l <= lower_l and not row.problems:
            row.problems.append("mức «đến» phải lớn hơn mức «từ».")
        if any(one.group == group.code and one.from_l == lower_l for one in self.rows):
            row.problems.append("trùng mức «từ» với dòng trước.")
        if not row.problems and price is not None:
            self.rows.append(Row(group.code, group.structure, lower_l, upper_l, int(price)))


def _least_rows(structure: str) -> int:
    return 1 if structure == tariff.FLAT else LEAST_ROWS


def _m3(volume_l: int | None) -> str:
    return "" if volume_l is None else vietnamese.format_number((Decimal(volume_l) / 1_000).normalize() + 0)


def _litres(text: str, name: str, problems: list[str]) -> int | None:
    if not text:
        return None
    try:
        volume_m3 = vietnamese.parse_number(text)
    except vietnamese.NotANumber as reason:
        problems.append(str(reason))
        return None
    volume_l = (volume_m3 or Decimal(0)) * 1_000
    if volume_l < 0 or volume_l != int(volume_l) or volume_l > 10**8:
        problems.append(f"mức «{name}» phải từ 0 đến 100.000 m³, nhiều nhất ba số lẻ.")
        return None
    return int(volume_l)


# --- acts


class ForceForm(forms.Form):
    valid_from = DayField(label="Áp dụng từ ngày")
    is_confirmed = forms.BooleanField(label="Tôi đã đọc và đã đối chiếu các điểm trên với quyết định", required=False)


class SheetForm(forms.Form):
    file = forms.FileField(label="Tệp .xlsx hoặc .csv", widget=forms.ClearableFileInput({"accept": ".xlsx,.csv"}))


class FeeRuleForm(forms.Form):
    scope = OneOf(Subject.objects.none(), label="Áp dụng cho")
    group = forms.ChoiceField(label="Đối tượng", required=False, choices=[("", "Mọi đối tượng"), *Group.choices])
    rate_pct = NumberField(
        label="Mức phí (% giá chưa thuế)", min_value=0, max_value=100, decimal_places=2, initial=Decimal(10),
        help_text="0: không thu phí.",
    )  # fmt: skip
    valid_from = DayField(label="Từ ngày")
    document = forms.CharField(label="Căn cứ", max_length=300)
    is_verified = forms.BooleanField(label="Đã đối chiếu với văn bản", required=False)
    is_confirmed = forms.BooleanField(label="Vẫn đặt mức phí dù đã có hóa đơn của những ngày này", required=False)

    def __init__(self, *args: Any, person: Person, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["scope"].queryset = list_scopes(person, "approve")  # type: ignore[attr-defined]

    def said(self) -> dict[str, Any]:
        data = dict(self.cleaned_data)
        data["basis_points"] = int(data.pop("rate_pct") * 100)
        return data


class FrameForm(forms.Form):
    area = forms.ChoiceField(label="Khu vực", choices=Area.choices)
    low_vnd = WholeField(label="Giá tối thiểu (đồng/m³, gồm thuế)", min_value=0, max_value=tariff.MOST_PRICE_VND)
    high_vnd = WholeField(label="Giá tối đa (đồng/m³, gồm thuế)", min_value=1, max_value=tariff.MOST_PRICE_VND)
    valid_from = DayField(label="Từ ngày")
    document = forms.CharField(label="Văn bản", max_length=300)
    is_verified = forms.BooleanField(label="Đã đối chiếu với văn bản", required=False)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        low, high = data.get("low_vnd"), data.get("high_vnd")
        if low is not None and high is not None and low >= high:
            self.add_error("high_vnd", "Giá tối đa phải lớn hơn giá tối thiểu.")
        return data


class TrialForm(forms.Form):
    """The calculator. What is not given is the running month, one household, four persons."""

    tariff = forms.ChoiceField(label="Nơi cấp nước, biểu giá")
    group = forms.ChoiceField(label="Đối tượng", choices=Group.choices)
    volume_m3 = NumberField(label="Lượng nước (m³)", min_value=0, max_value=1_000_000, decimal_places=3)
    households = WholeField(label="Số hộ dùng chung đồng hồ", min_value=1, max_value=10_000)
    persons = WholeField(
        label="Số người tính định mức", min_value=0, max_value=100_000, required=False,
        help_text="Chỉ cần khi giá tính theo nhân khẩu.",
    )  # fmt: skip
    from_date = DayField(label="Dùng từ ngày")
    last_date = DayField(label="Đến hết ngày")
    second_group = forms.ChoiceField(
        label="Mục đích thứ hai", required=False, choices=[("", "Không có"), *Group.choices]
    )  # fmt: skip
    second_pct = WholeField(label="Tỷ lệ mục đích thứ hai (%)", min_value=1, max_value=99, required=False)

    def __init__(self, *args: Any, tariffs: Iterable[Tariff], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tariffs = {row.key: row for row in tariffs}
        self.fields["tariff"].choices = [  # type: ignore[attr-defined]
            (row.key, f"{row.scope.name}: {row.name}" + (" (đang soạn)" if row.state == Tariff.State.DRAFT else ""))
            for row in self.tariffs.values()
        ]

    @staticmethod
    def initial_for(today: date, tariffs: list[Tariff]) -> dict[str, Any]:
        last = calendar.monthrange(today.year, today.month)[1]
        return {
            "tariff": tariffs[0].key if tariffs else "", "group": Group.SH, "volume_m3": Decimal(15),
            "households": 1, "persons": 4, "from_date": today.replace(day=1), "last_date": today.replace(day=last),
        }  # fmt: skip

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        begins, ends = data.get("from_date"), data.get("last_date")
        if begins and ends and ends < begins:
            self.add_error("last_date", "Ngày cuối không được trước ngày đầu.")
        elif begins and ends and (ends - begins).days >= _LONGEST_TRIAL_DAYS:
            self.add_error("last_date", "Chỉ tính thử được nhiều nhất một năm.")
        second, pct = data.get("second_group"), data.get("second_pct")
        if second and second == data.get("group"):
            self.add_error("second_group", "Chọn mục đích khác mục đích thứ nhất.")
        if second and not pct and "second_pct" not in self.errors:
            self.add_error("second_pct", "Nhập tỷ lệ của mục đích thứ hai.")
        return data

    def said(self) -> dict[str, Any]:
        """Return the arguments of `tariff_trial.try_out`."""
        data = self.cleaned_data
        second = data["second_pct"] if data["second_group"] else 0
        shares = ((data["group"], 100 - second),) + (((data["second_group"], second),) if second else ())
        return {
            "chosen": self.tariffs[data["tariff"]],
            "from_date": data["from_date"],
            "to_date": data["last_date"] + timedelta(days=1),
            "volume_l": int(data["volume_m3"] * 1_000),
            "shares": shares,
            "households": data["households"],
            "persons": data["persons"] or 0,
        }


def describe_fee(rule: FeeRule) -> str:
    return percent_text(rule.basis_points) if rule.basis_points else "không thu"


def percent_text(basis_points: int) -> str:
    return f"{vietnamese.format_number((Decimal(basis_points) / 100).normalize() + 0)} %"
