"""Filters and forms of connections and customers."""

from datetime import date
from decimal import Decimal
from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.utils import timezone

from machnuoc.core.choices import DayField, OneOf
from machnuoc.core.models import Person
from machnuoc.core.number_fields import NumberField, WholeField
from machnuoc.customers import visibility
from machnuoc.customers.connection_operations import ConnectionFacts, CustomerFacts
from machnuoc.customers.connection_queries import Filters, action_of
from machnuoc.customers.models import Connection, Consent, Customer, Group, PovertyYear, Route
from machnuoc.customers.request_queries import WishedNorm
from machnuoc.places.models import AdministrativeUnit, Containment, Subject
from machnuoc.works.models import Work

_ID_DIGITS = 18


def works_of(person: Person, action: str) -> QuerySet[Work]:
    """Return the works whose connections the person reaches by the action, by name."""
    rows = Work.objects.select_related("subject").order_by("subject__name")
    ids = visibility.list_work_ids(person, action)
    return rows if ids is None else rows.filter(pk__in=ids)


class WorkField(OneOf):
    def label_from_instance(self, obj: Work) -> str:
        return obj.subject.name


class RouteField(OneOf):
    def label_from_instance(self, obj: Route) -> str:
        return f"{obj.code} · {obj.name}"


class PlaceField(OneOf):
    """A commune in force, or a village of one."""

    def label_from_instance(self, obj: Subject) -> str:
        return obj.name


class ConnectionFilter(forms.Form):
    q = forms.CharField(
        label="Tìm", required=False, max_length=100,
        widget=forms.TextInput({"type": "search", "placeholder": "Mã, tên, địa chỉ, điện thoại"}),
    )  # fmt: skip
    work = forms.ChoiceField(label="Công trình", required=False)
    status = forms.ChoiceField(
        label="Tình trạng", required=False, choices=[("", "Mọi tình trạng"), *Connection.Status.choices]
    )
    group = forms.ChoiceField(label="Đối tượng", required=False, choices=[("", "Mọi đối tượng"), *Group.choices])
    origin = forms.ChoiceField(
        label="Nguồn gốc", required=False, choices=[("", "Mọi nguồn gốc"), *Connection.Origin.choices]
    )
    route = forms.ChoiceField(label="Tuyến", required=False)

    def __init__(self, data: QueryDict, person: Person) -> None:
        super().__init__(data)
        action = action_of(person)
        names = visibility.list_work_names(person, action)
        if names is None:
            names = dict(works_of(person, action).values_list("pk", "subject__name")[:500])
        works = [(str(pk), name) for pk, name in sorted(names.items(), key=lambda pair: pair[1])[:500]]
        self.fields["work"].choices = [("", "Mọi công trình"), *works]  # type: ignore[attr-defined]
        if action != "serve":
            self.fields["q"].label = "Tìm theo mã"
            self.fields["q"].widget.attrs["placeholder"] = "Mã đấu nối"
        routes = Route.objects.order_by("code")
        ids = visibility.list_work_ids(person, action)
        if action == "read_meters" and not ids and ids is not None:
            routes = routes.filter(reader=person)
        elif ids is not None:
            routes = routes.filter(work_id__in=ids)
        work = str(data.get("work") or "")
        if work.isdecimal() and len(work) <= _ID_DIGITS:
            routes = routes.filter(work_id=int(work))
        shown = [(str(pk), f"{code} · {name}") for pk, code, name in routes.values_list("pk", "code", "name")[:300]]
        self.fields["route"].choices = [("", "Mọi tuyến"), *shown]  # type: ignore[attr-defined]

    def read(self) -> Filters:
        """Return what is asked for; what makes no sense asks for nothing."""
        self.is_valid()
        given = self.cleaned_data
        return Filters(
            q=str(given.get("q") or "").replace("\0", ""), work=int(given.get("work") or 0),
            status=str(given.get("status") or ""), group=str(given.get("group") or ""),
            origin=str(given.get("origin") or ""), route=int(given.get("route") or 0),
        )  # fmt: skip

    def describe(self) -> list[tuple[str, str]]:
        """Return the filters as words, for a file. What was searched for may be personal and is not repeated."""
        rows = []
        for name, field in self.fields.items():
            text = str(self.cleaned_data.get(name) or "")
            if text:
                shown = "(có tìm kiếm)" if name == "q" else str(dict(getattr(field, "choices", [])).get(text, text))
                rows.append((str(field.label), shown))
        return rows


class CustomerForm(forms.Form):
    name = forms.CharField(label="Họ tên, tên đơn vị", max_length=160)
    kind = forms.ChoiceField(label="Loại khách hàng", choices=Customer.Kind.choices)
    priority = forms.ChoiceField(label="Khách hàng ưu tiên", choices=Customer.Priority.choices, required=False)
    phone = forms.CharField(label="Điện thoại", max_length=24, required=False)
    email = forms.EmailField(label="Thư điện tử", required=False)
    identity_number = forms.CharField(label="Số định danh cá nhân", max_length=20, required=False)
    tax_code = forms.CharField(label="Mã số thuế", max_length=20, required=False)
    contact_address = forms.CharField(
        label="Địa chỉ liên hệ", max_length=300, required=False, help_text="Nếu khác địa chỉ đấu nối."
    )
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, data: QueryDict | None, *, customer: Customer | None = None) -> None:
        initial: dict[str, Any] = {}
        if customer is not None:
            initial = {name: getattr(customer, name) for name in self.base_fields if name != "contact_address"}
            initial["contact_address"] = customer.address
        super().__init__(data, initial=initial)

    def facts(self) -> CustomerFacts:
        given = self.cleaned_data
        return CustomerFacts(
            given["name"], given["kind"], given["priority"], given["phone"], given["email"], given["identity_number"],
            given["tax_code"], given["contact_address"],
        )  # fmt: skip


class _WhereForm(forms.Form):
    """Where a connection is and how it is used: a part of two forms."""

    address = forms.CharField(label="Địa chỉ đấu nối", max_length=300)
    place = PlaceField(Subject.objects.none(), label="Xã, phường", required=False)
    latitude = NumberField(
        label="Vĩ độ", required=False, max_digits=9, decimal_places=6, min_value=Decimal(-90), max_value=Decimal(90)
    )
    longitude = NumberField(
        label="Kinh độ", required=False, max_digits=9, decimal_places=6, min_value=Decimal(-180), max_value=Decimal(180)
    )
    group = forms.ChoiceField(label="Đối tượng sử dụng nước", choices=Group.choices)
    households = WholeField(
        label="Số hộ dùng chung", min_value=1, max_value=100_000, initial=1, help_text="Đồng hồ dùng chung: số hộ."
    )
    route = RouteField(Route.objects.none(), label="Tuyến ghi chỉ số", required=False, empty_label="Chưa xếp tuyến")
    route_order = WholeField(label="Thứ tự trên tuyến", min_value=0, max_value=1_000_000, required=False)
    note = forms.CharField(label="Ghi chú", max_length=300, required=False)

    def connection_facts(self) -> ConnectionFacts:
        given = self.cleaned_data
        return ConnectionFacts(
            given["address"], given["place"],
            None if given["latitude"] is None else float(given["latitude"]),
            None if given["longitude"] is None else float(given["longitude"]),
            given["group"], given["households"], given["route"], given["route_order"] or 0, given["note"],
        )  # fmt: skip


def communes(works: QuerySet[Work], besides: int | None = None) -> QuerySet[Subject]:
    """Return the communes in force of the provinces in which these works lie, by name, and one more subject."""
    provinces = Subject.objects.filter(contains__descendant__in=works.values("pk"), unit__level="PROVINCE")
    inside = Containment.objects.filter(ancestor__in=provinces).values("descendant_id")
    is_commune = Q(unit__level=AdministrativeUnit.Level.COMMUNE, unit__is_in_force=True, pk__in=inside)
    return Subject.objects.filter(is_commune | Q(pk=besides or 0)).order_by("name")


class ConnectionForm(_WhereForm):
    """What may be changed of a connection that exists."""

    version = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, data: QueryDict | None, *, one: Connection) -> None:
        initial: dict[str, Any] = {name: getattr(one, name) for name in ("address", "group", "households", "note")}
        for name in ("latitude", "longitude"):
            value = getattr(one, name)
            initial[name] = None if value is None else Decimal(repr(value)).normalize()
        initial |= {"place": one.place_id, "route": one.route_id, "route_order": one.route_order}
        super().__init__(data, initial={**initial, "version": one.version})
        works = Work.objects.filter(pk=one.work_id)
        self.fields["place"].queryset = communes(works, one.place_id)  # type: ignore[attr-defined]
        self.fields["route"].queryset = Route.objects.filter(work_id=one.work_id)  # type: ignore[attr-defined]


class NewConnectionForm(_WhereForm, CustomerForm):
    """A connection that exists in the world but not in the system yet, with its customer and contract."""

    work = WorkField(Work.objects.none(), label="Công trình")
    code = forms.CharField(label="Mã đấu nối", max_length=24, required=False, help_text="Để trống: hệ thống đánh mã.")
    origin = forms.ChoiceField(
        label="Nguồn gốc", choices=Connection.Origin.choices, initial=Connection.Origin.EXISTING,
        help_text="Khách hàng tiếp nhận cùng công trình không tính vào chỉ tiêu phát triển.",
    )  # fmt: skip
    connected_date = DayField(label="Ngày đấu nối")
    persons = WholeField(label="Số người tính định mức", min_value=0, max_value=999, required=False)
    contract_number = forms.CharField(label="Số hợp đồng", max_length=60, required=False)
    signed_date = DayField(label="Ngày ký hợp đồng", required=False)
    consent = forms.BooleanField(
        label="Khách hàng đồng ý cho xử lý dữ liệu cá nhân để thực hiện hợp đồng", required=False,
        help_text="Đã ghi trong hợp đồng hoặc phiếu đồng ý.",
    )  # fmt: skip

    field_order = (
        "work", "code", "origin", "connected_date", "name", "kind", "priority", "phone", "email", "identity_number",
        "tax_code", "contact_address", "address", "place", "latitude", "longitude", "group", "households", "persons",
        "route", "route_order", "contract_number", "signed_date", "consent", "note",
    )  # fmt: skip

    def __init__(self, data: QueryDict | None, *, person: Person) -> None:
        super().__init__(data)
        works = works_of(person, "serve")
        self.fields["work"].queryset = works  # type: ignore[attr-defined]
        self.fields["place"].queryset = communes(works)  # type: ignore[attr-defined]
        self.fields["route"].queryset = Route.objects.filter(work__in=works).order_by("code")  # type: ignore[attr-defined]


class TransferForm(CustomerForm):
    number = forms.CharField(label="Số hợp đồng mới", max_length=60)
    signed_date = DayField(label="Ngày ký hợp đồng mới")
    reason = forms.CharField(label="Lý do", max_length=200, required=False)
    field_order = ("number", "signed_date", "name", "kind", "phone", "email", "identity_number", "tax_code")

    def __init__(self, data: QueryDict | None, *, one: Connection) -> None:
        super().__init__(data)
        self.fields["version"].initial = one.version
        self.fields["signed_date"].initial = timezone.localdate()


class MoveForm(forms.Form):
    """Suspend, reopen, close."""

    on_date = DayField(label="Ngày")
    reason = forms.CharField(label="Lý do", max_length=300, required=False)
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, data: QueryDict | None, *, one: Connection) -> None:
        super().__init__(data, initial={"on_date": timezone.localdate(), "version": one.version})


class NormForm(forms.Form):
    persons = WholeField(label="Số người", min_value=0, max_value=999)
    valid_from = DayField(label="Tính từ ngày")
    paper = forms.FileField(
        label="Giấy tờ (PDF hoặc ảnh)", required=False,
        widget=forms.ClearableFileInput({"accept": ".pdf,.png,.jpg,.jpeg"}),
    )  # fmt: skip

    def __init__(
        self, data: QueryDict | None, uploads: Any, *, one: Connection, wished: WishedNorm | None = None
    ) -> None:
        initial = {"persons": one.persons, "valid_from": timezone.localdate().replace(day=1)}
        if wished is not None:
            initial = {"persons": wished.persons, "valid_from": wished.from_date}
        super().__init__(data, uploads, initial=initial)


class SharesForm(forms.Form):
    valid_from = DayField(label="Tính từ ngày")

    def __init__(self, data: QueryDict | None, *, one: Connection) -> None:
        super().__init__(data, initial={"valid_from": timezone.localdate().replace(day=1)})
        live = dict(one.shares.filter(valid_to__isnull=True).values_list("group", "share_pct"))
        for key, label in Group.choices:
            self.fields[f"share_{key}"] = WholeField(
                label=f"{label} (%)", min_value=0, max_value=100, required=False, initial=live.get(key)
            )

    def shares(self) -> dict[str, int]:
        return {key: self.cleaned_data.get(f"share_{key}") or 0 for key in Group.values}


class ContractForm(forms.Form):
    number = forms.CharField(label="Số hợp đồng", max_length=60)
    signed_date = DayField(label="Ngày ký")


class PaperForm(forms.Form):
    paper = forms.FileField(
        label="Bản chụp hợp đồng (PDF hoặc ảnh)", widget=forms.ClearableFileInput({"accept": ".pdf,.png,.jpg,.jpeg"})
    )


class PovertyForm(forms.Form):
    year = WholeField(label="Năm", min_value=2000, max_value=2100)
    kind = forms.ChoiceField(
        label="Diện", choices=[("", "Không thuộc diện nào"), *PovertyYear.Kind.choices], required=False
    )
    decision = forms.CharField(label="Quyết định", max_length=120, required=False)

    def __init__(self, data: QueryDict | None, *, today: date) -> None:
        super().__init__(data, initial={"year": today.year})


class ConsentForm(forms.Form):
    purpose = forms.ChoiceField(label="Mục đích", choices=Consent.Purpose.choices)
    how = forms.CharField(label="Hình thức", max_length=120, help_text="Ví dụ: hợp đồng số …, phiếu đồng ý ngày ….")


class EraseForm(forms.Form):
    reason = forms.CharField(label="Căn cứ xóa", max_length=120, help_text="Ví dụ: yêu cầu của khách hàng ngày ….")
    confirmed = forms.BooleanField(label="Tôi hiểu rằng dữ liệu đã xóa không khôi phục được")
