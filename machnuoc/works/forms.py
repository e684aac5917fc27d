"""The filters of the list and the forms of one work."""

from collections.abc import Iterable
from datetime import date
from itertools import groupby
from typing import Any

from django import forms
from django.http import QueryDict

from machnuoc.core import vietnamese
from machnuoc.core.choices import OneOf
from machnuoc.core.models import Passage, Person
from machnuoc.places import access
from machnuoc.places.models import AdministrativeUnit, Organisation, PrintedName, Subject
from machnuoc.works import queries
from machnuoc.works.models import Capacity, TreatmentTrain, Work
from machnuoc.works.operations import LATITUDES, LONGITUDES

_SEARCH = forms.TextInput({"type": "search", "placeholder": "Tên công trình, nơi cấp, tên như in…"})


def _list(choices: Iterable[queries.Choice], everything: str) -> list[tuple[str, Any]]:
    """Return choices for a select, under the heading of their group where they have one."""
    found: list[tuple[str, Any]] = [("", everything)]
    for group, rows in groupby(choices, key=lambda choice: choice.group):
        options = [(str(row.pk), row.name) for row in rows]
        found += [(group, options)] if group else options
    return found


class WorkFilter(forms.Form):
    """Shows what the list is filtered by. What the address asks for is read by `read_filters`."""

    q = forms.CharField(label="Tìm", required=False, max_length=100, widget=_SEARCH)
    province = forms.ChoiceField(label="Tỉnh, thành phố", required=False)
    commune = forms.ChoiceField(label="Xã, phường", required=False)
    operator = forms.ChoiceField(label="Đơn vị vận hành", required=False)
    sector = forms.ChoiceField(label="Khu vực", required=False, choices=[("", "Mọi khu vực"), *Work.Sector.choices])
    kind = forms.ChoiceField(label="Loại", required=False, choices=[("", "Mọi loại"), *Work.Kind.choices])
    status = forms.ChoiceField(
        label="Tình trạng", required=False, choices=[("", "Mọi tình trạng"), *Work.Status.choices]
    )
    warning = forms.ChoiceField(
        label="Cảnh báo", required=False, choices=[("", "Không lọc"), *queries.WARNINGS.items()]
    )
    plan_year = forms.ChoiceField(label="Năm kế hoạch", required=False)

    def __init__(self, data: QueryDict, selection: queries.Selection) -> None:
        super().__init__(data)
        choices = {
            "province": _list(selection.provinces, "Mọi tỉnh, thành phố"),
            "commune": _list(selection.communes, "Mọi xã, phường"),
            "operator": _list(selection.operators, "Mọi đơn vị"),
            "plan_year": [("", "Mới nhất"), *((str(year), str(year)) for year in selection.plan_years)],
        }
        for name, options in choices.items():
            self.fields[name].choices = options  # type: ignore[attr-defined]
        for name in ("province", "operator"):
            if len(choices[name]) == 2 and not data.get(name):  # the one and only: nothing to choose
                del self.fields[name]


def read_filters(data: QueryDict) -> queries.Filters:
    """Return what the address asks for; what makes no sense asks for nothing (the filter form says so)."""

    def number(name: str, most: int = 2**62) -> int:
        text = data.get(name, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 and int(text) <= most else 0

    def one_of(name: str, allowed: Iterable[str]) -> str:
        return data.get(name, "") if data.get(name, "") in allowed else ""

    plan_year = number("plan_year", 2200)
    return queries.Filters(
        q=data.get("q", "")[:100],
        province=number("province"),
        commune=number("commune"),
        operator=number("operator"),
        sector=one_of("sector", Work.Sector.values),
        kind=one_of("kind", Work.Kind.values),
        status=one_of("status", Work.Status.values),
        warning=one_of("warning", queries.WARNINGS),
        plan_year=plan_year if plan_year >= 1990 else 0,
    )


def describe_filters(filters: queries.Filters, selection: queries.Selection) -> list[tuple[str, str]]:
    """Return the filters in words, for the sheet that the list is exported to."""

    def name(choices: Iterable[queries.Choice], pk: int) -> str:
        return next((choice.name for choice in choices if choice.pk == pk), "")

    rows = [
        ("Tìm", filters.q),
        ("Tỉnh, thành phố", name(selection.provinces, filters.province)),
        ("Xã, phường", name(selection.communes, filters.commune)),
        ("Đơn vị vận hành", name(selection.operators, filters.operator)),
        ("Khu vực", dict(Work.Sector.choices).get(filters.sector, "")),
        ("Loại", dict(Work.Kind.choices).get(filters.kind, "")),
        ("Tình trạng", dict(Work.Status.choices).get(filters.status, "")),
        ("Cảnh báo", queries.WARNINGS.get(filters.warning, "")),
        ("Năm kế hoạch", str(selection.plan_year)),
    ]
    return [(label, str(text)) for label, text in rows if text]


# --- fields that several forms have


class _Day(forms.DateField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"), **kwargs)


class _Source(forms.TypedChoiceField):
    """Where the fact stands: a passage of a recorded document."""

    def __init__(self) -> None:
        super().__init__(
            label="Căn cứ", required=False, coerce=int, empty_value=None,
            help_text="Văn bản và mục ghi điều này, nếu có. Không có căn cứ thì trang công trình ghi người cập nhật.",
        )  # fmt: skip

    def fill(self) -> None:
        passages = Passage.objects.select_related("document").order_by("document__title", "document_id", "order", "pk")
        rows: list[tuple[str, Any]] = [("", "Không có văn bản")]
        for document, group in groupby(passages, key=lambda passage: passage.document):
            rows.append((document.short_name, [(str(passage.pk), passage.section) for passage in group]))
        self.choices = rows


class _WorkForm(forms.Form):
    """A form about one work. `version` says which edition the person is looking at."""

    version = forms.IntegerField(widget=forms.HiddenInput)
    work: Work

    def __init__(self, data: QueryDict | None, *, work: Work, person: Person, today: date) -> None:
        initial = {"version": work.subject.version, **self.initial_of(work)}
        super().__init__(data, initial=initial)
        self.work, self.person, self.today = work, person, today
        for field in self.fields.values():
            if isinstance(field, _Source):
                field.fill()
        self.prepare()

    def initial_of(self, work: Work) -> dict[str, Any]:
        return {}

    def prepare(self) -> None:
        """Fill in the choices that depend on the work and the person."""

    @property
    def source(self) -> Passage | None:
        pk = self.cleaned_data.get("passage")
        return Passage.objects.get(pk=pk) if pk else None

    def refuse_future(self, day: date | None) -> date | None:
        if day and day > self.today:
            raise forms.ValidationError(
                "Ngày này chưa tới. Ghi khi việc đã diễn ra, để số liệu và phạm vi quản lý không đổi trước hạn."
            )
        return day


class _Places(forms.TypedMultipleChoiceField):
    """Communes and urban areas, by province."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(coerce=int, widget=forms.CheckboxSelectMultiple, required=False, **kwargs)

    def offer(self, places: Iterable[Subject]) -> None:
        self.found = {place.pk: place for place in places}
        self.choices = [
            (
                str(place.pk),
                queries.place_name(place) + ("" if place.kind == Subject.Kind.UNIT else " (khu vực đô thị)"),
            )
            for place in self.found.values()
        ]


def _provinces_of(work: Work, person: Person) -> set[int]:
    """Return the provinces whose communes are offered for a work: those it lies in, else those the person manages."""
    found: set[int | None] = set()
    for place in queries.list_territories(work):
        if place.kind == Subject.Kind.URBAN_AREA:
            found.add(place.urban_area.commune.parent_id)
        elif place.unit.level == AdministrativeUnit.Level.PROVINCE:
            found.add(place.pk)
        else:
            found.add(place.unit.parent_id)
    known = {pk for pk in found if pk is not None}
    return known or {unit.pk for unit in queries.list_provinces_managed(person)[:1]}


def _require_operator_of_team(form: forms.Form) -> None:
    operator, team = form.cleaned_data.get("operator"), form.cleaned_data.get("team")
    if operator and team and team.parent_id != operator.pk:
        form.add_error(
            "team", f"«{team}» không trực thuộc «{operator}». Chọn tổ, trạm của đơn vị vận hành, hoặc để trống."
        )


class _Organisations(OneOf):
    def label_from_instance(self, obj: Organisation) -> str:
        return f"{obj.subject.name} ({obj.parent.subject.name})" if obj.parent else obj.subject.name


# --- forms of one work


class EditWork(_WorkForm):
    name = forms.CharField(label="Tên công trình", max_length=200)
    kind = forms.ChoiceField(label="Loại")
    sector = forms.ChoiceField(label="Khu vực", choices=Work.Sector.choices)
    source_kind = forms.ChoiceField(
        label="Nguồn nước", required=False, choices=[("", "Chưa rõ"), *TreatmentTrain.Source.choices]
    )
    treatment = OneOf(TreatmentTrain.objects.all(), label="Dây chuyền xử lý", required=False, empty_label="Chưa rõ")
    territories = _Places(
        label="Nằm ở", help_text="Nơi đặt công trình. Cấp nước cho nơi nào thì ghi ở «Phạm vi cấp nước»."
    )
    latitude = forms.FloatField(
        label="Vĩ độ (độ)", required=False, min_value=LATITUDES[0], max_value=LATITUDES[1], localize=True,
        help_text="Tọa độ của chính công trình, ví dụ 15,1234. Chưa biết thì để trống.",
    )  # fmt: skip
    longitude = forms.FloatField(
        label="Kinh độ (độ)", required=False, min_value=LONGITUDES[0], max_value=LONGITUDES[1], localize=True
    )
    contact_name = forms.CharField(label="Người liên hệ", max_length=120, required=False)
    contact_phone = forms.CharField(
        label="Điện thoại", max_length=40, required=False, widget=forms.TextInput({"type": "tel"})
    )
    note = forms.CharField(label="Ghi chú", required=False, max_length=2000, widget=forms.Textarea({"rows": 3}))

    def initial_of(self, work: Work) -> dict[str, Any]:
        return {
            "name": work.subject.name, "kind": work.kind, "sector": work.sector, "source_kind": work.source_kind,
            "treatment": work.treatment_id, "latitude": work.subject.latitude, "longitude": work.subject.longitude,
            "contact_name": work.contact_name, "contact_phone": work.contact_phone, "note": work.note,
            "territories": [place.pk for place in queries.list_territories(work)],
        }  # fmt: skip

    def prepare(self) -> None:
        is_part = self.work.parent_id is not None
        kinds = [pair for pair in Work.Kind.choices if (pair[0] == Work.Kind.SUBSCHEME) == is_part]
        self.fields["kind"].choices = kinds  # type: ignore[attr-defined]
        here = queries.list_territories(self.work)
        others = queries.list_places_in(_provinces_of(self.work, self.person))
        known = {place.pk for place in here}
        self.fields["territories"].offer([*here, *(place for place in others if place.pk not in known)])  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if (cleaned.get("latitude") is None) != (cleaned.get("longitude") is None) and not self.errors:
            self.add_error("longitude", "Cần cả vĩ độ và kinh độ, hoặc để trống cả hai.")
        areas = [place for place in self.chosen_places() if place.kind == Subject.Kind.URBAN_AREA]
        if len(areas) > 1:
            self.add_error("territories", "Một công trình chỉ nằm ở một khu vực đô thị. Bỏ bớt khu vực đã chọn.")
        return cleaned

    def chosen_places(self) -> list[Subject]:
        found = self.fields["territories"].found  # type: ignore[attr-defined]
        return [found[pk] for pk in self.cleaned_data.get("territories", [])]


class HandOver(_WorkForm):
    operator = _Organisations(Organisation.objects.none(), label="Đơn vị vận hành")
    team = _Organisations(
        Organisation.objects.none(), label="Tổ, trạm trực tiếp", required=False, empty_label="Không ghi",
        help_text="Đơn vị trực thuộc vận hành hằng ngày.",
    )  # fmt: skip
    from_date = _Day(label="Từ ngày", required=False, help_text="Đơn vị đang vận hành kết thúc vào ngày này.")
    passage = _Source()

    def initial_of(self, work: Work) -> dict[str, Any]:
        return {"operator": work.operator_id, "team": work.team_id}

    def prepare(self) -> None:
        found = queries.list_possible_operators(self.person)
        self.fields["operator"].queryset = found  # type: ignore[attr-defined]
        self.fields["team"].queryset = found.filter(kind=Organisation.Kind.STATION)  # type: ignore[attr-defined]

    def clean_from_date(self) -> date | None:
        return self.refuse_future(self.cleaned_data["from_date"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        _require_operator_of_team(self)
        operator = cleaned.get("operator")
        is_other = operator is not None and self.work.operator_id not in {None, operator.pk}
        if is_other and "from_date" in cleaned and not cleaned["from_date"]:
            self.add_error("from_date", f"Cần ngày «{self.work.operator}» bàn giao cho đơn vị mới.")
        return cleaned


class SetStatus(_WorkForm):
    status = forms.ChoiceField(label="Tình trạng", choices=Work.Status.choices)
    from_date = _Day(label="Từ ngày", required=False, help_text="Để trống nếu không rõ ngày.")
    reason = forms.CharField(label="Lý do", max_length=300, required=False)
    passage = _Source()

    def initial_of(self, work: Work) -> dict[str, Any]:
        return {"status": work.status}

    def clean_from_date(self) -> date | None:
        return self.refuse_future(self.cleaned_data["from_date"])


class RecordCapacity(_WorkForm):
    kind = forms.ChoiceField(label="Loại công suất", choices=Capacity.Kind.choices)
    basis = forms.ChoiceField(label="Tính theo", choices=Capacity.Basis.choices)
    amount = forms.CharField(
        label="Công suất", max_length=20, widget=forms.TextInput({"inputmode": "decimal", "autocomplete": "off"}),
        help_text="Viết như trong văn bản, ví dụ 1.600 hoặc 250,5.",
    )  # fmt: skip
    from_date = _Day(
        label="Có hiệu lực từ ngày", required=False,
        help_text="Công suất trước đó kết thúc vào ngày này. Lần đầu ghi nhận có thể để trống.",
    )  # fmt: skip
    passage = _Source()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "amount" not in cleaned or "basis" not in cleaned:
            return cleaned
        try:
            amount = vietnamese.parse_number(cleaned["amount"], integer=cleaned["basis"] == Capacity.Basis.HOUSEHOLDS)
        except vietnamese.NotANumber as reason:
            self.add_error("amount", str(reason))
            return cleaned
        if amount is None:
            self.add_error("amount", "Chưa có số. Viết công suất bằng số.")
        elif amount >= 10**10 or amount != vietnamese.round_half_up(amount, 2):
            self.add_error("amount", "Nhiều nhất 10 chữ số và 2 số lẻ. Kiểm tra lại đơn vị.")
        else:
            cleaned["amount"] = amount
        return cleaned


class SetServiceAreas(_WorkForm):
    served = _Places(label="Đang cấp nước cho")
    planned = _Places(label="Dự kiến cấp thêm")
    from_date = _Day(
        label="Thay đổi từ ngày", required=False,
        help_text="Ghi ngày để giữ lịch sử. Để trống thì nơi bỏ chọn được xóa như ghi nhầm.",
    )  # fmt: skip
    passage = _Source()

    def initial_of(self, work: Work) -> dict[str, Any]:
        live = work.service_areas.filter(valid_to__isnull=True)
        return {
            "served": [area.place_id for area in live if not area.is_planned],
            "planned": [area.place_id for area in live if area.is_planned],
        }

    def prepare(self) -> None:
        self.printed = {
            (area.place_id, area.is_planned): area.as_printed
            for area in self.work.service_areas.filter(valid_to__isnull=True)
        }
        here = {place_id for place_id, _ in self.printed}
        places = {
            place.pk: place
            for place in Subject.objects.filter(pk__in=here).select_related("unit__parent", "urban_area__commune")
        }
        places |= {place.pk: place for place in queries.list_places_in(_provinces_of(self.work, self.person))}
        for name in ("served", "planned"):
            self.fields[name].offer(places.values())  # type: ignore[attr-defined]

    def chosen(self, name: str) -> list[tuple[Subject, str]]:
        """Return the places of one list, each with the name as printed that is already recorded."""
        found = self.fields[name].found  # type: ignore[attr-defined]
        return [(found[pk], self.printed.get((pk, name == "planned"), "")) for pk in self.cleaned_data[name]]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        twice = set(cleaned.get("served", [])) & set(cleaned.get("planned", []))
        if twice:
            self.add_error(
                "planned", "Nơi đã được cấp nước thì không ghi là dự kiến. Bỏ chọn ở một trong hai danh sách."
            )
        return cleaned


class AddAlias(_WorkForm):
    text = forms.CharField(label="Tên như in", max_length=300, help_text="Chép nguyên văn, kể cả chỗ in nhầm.")
    certainty = forms.ChoiceField(label="Mức chắc chắn", choices=PrintedName.Certainty.choices)
    note = forms.CharField(label="Vì sao là công trình này", max_length=500, required=False)
    passage = _Source()


class AddPart(_WorkForm):
    name = forms.CharField(label="Tên phân hệ", max_length=200)
    status = forms.ChoiceField(label="Tình trạng", choices=Work.Status.choices, initial=Work.Status.RUNNING)
    from_date = _Day(label="Từ ngày", required=False, help_text="Ngày bắt đầu vận hành, nếu biết.")
    note = forms.CharField(label="Ghi chú", required=False, max_length=2000, widget=forms.Textarea({"rows": 3}))
    passage = _Source()

    def clean_from_date(self) -> date | None:
        return self.refuse_future(self.cleaned_data["from_date"])


class AddWork(forms.Form):
    """A new work in one province."""

    name = forms.CharField(label="Tên công trình", max_length=200)
    kind = forms.ChoiceField(
        label="Loại", choices=[pair for pair in Work.Kind.choices if pair[0] != Work.Kind.SUBSCHEME]
    )
    sector = forms.ChoiceField(label="Khu vực", choices=Work.Sector.choices)
    operator = _Organisations(
        Organisation.objects.none(), label="Đơn vị vận hành", required=False, empty_label="Chưa có"
    )
    team = _Organisations(
        Organisation.objects.none(), label="Tổ, trạm trực tiếp", required=False, empty_label="Không ghi"
    )
    status = forms.ChoiceField(label="Tình trạng", choices=Work.Status.choices, initial=Work.Status.RUNNING)
    from_date = _Day(label="Từ ngày", required=False, help_text="Ngày đơn vị bắt đầu vận hành, nếu biết.")
    territories = _Places(label="Nằm ở", help_text="Chưa rõ xã, phường thì để trống: công trình được ghi ở cấp tỉnh.")
    source_kind = forms.ChoiceField(
        label="Nguồn nước", required=False, choices=[("", "Chưa rõ"), *TreatmentTrain.Source.choices]
    )
    note = forms.CharField(label="Ghi chú", required=False, max_length=2000, widget=forms.Textarea({"rows": 3}))
    passage = _Source()

    def __init__(self, data: QueryDict | None, *, province: AdministrativeUnit, person: Person, today: date) -> None:
        super().__init__(data)
        self.province, self.person, self.today = province, person, today
        found = queries.list_possible_operators(person)
        self.fields["operator"].queryset = found  # type: ignore[attr-defined]
        self.fields["team"].queryset = found.filter(kind=Organisation.Kind.STATION)  # type: ignore[attr-defined]
        communes = [place for place in queries.list_places_in([province.pk]) if place.kind == Subject.Kind.UNIT]
        self.fields["territories"].offer(communes)  # type: ignore[attr-defined]
        self.fields["passage"].fill()  # type: ignore[attr-defined]

    def clean_from_date(self) -> date | None:
        day: date | None = self.cleaned_data["from_date"]
        if day and day > self.today:
            raise forms.ValidationError("Ngày này chưa tới. Để trống, và ghi đơn vị vận hành khi đã bắt đầu.")
        return day

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        _require_operator_of_team(self)
        if self.errors:
            return cleaned
        # The work must stay within reach of whoever enters it, and not be put into the hands of others.
        operator, sector = cleaned.get("operator"), cleaned["sector"]
        if operator is not None:
            is_mine = access.may(self.person, "manage", operator.pk, sector)
            told = f"Bạn không quản lý «{operator}» trong lĩnh vực này."
        else:
            is_mine = all(access.may(self.person, "manage", unit.pk, sector) for unit in self.units())
            told = "Bạn chưa quản lý địa bàn này."
        if not is_mine:
            self.add_error("operator", f"{told} Chọn đơn vị vận hành trong phạm vi của bạn.")
        return cleaned

    def units(self) -> list[AdministrativeUnit]:
        found = self.fields["territories"].found  # type: ignore[attr-defined]
        return [found[pk].unit for pk in self.cleaned_data["territories"]] or [self.province]

    @property
    def source(self) -> Passage | None:
        pk = self.cleaned_data.get("passage")
        return Passage.objects.get(pk=pk) if pk else None


class ProvinceChoice(forms.Form):
    province = forms.ChoiceField(label="Tỉnh, thành phố")

    def __init__(self, data: QueryDict | None, provinces: Iterable[AdministrativeUnit]) -> None:
        super().__init__(data)
        self.fields["province"].choices = [(unit.subject.key, unit.full_name) for unit in provinces]  # type: ignore[attr-defined]
