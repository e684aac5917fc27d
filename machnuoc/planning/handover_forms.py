"""The forms of a handover: the request, and one for each step."""

from datetime import date
from typing import Any

from django import forms
from django.http import QueryDict

from machnuoc.core.choices import DayField
from machnuoc.core.models import Person
from machnuoc.core.number_fields import NumberField, WholeField
from machnuoc.places import access
from machnuoc.places.models import AdministrativeUnit, Organisation
from machnuoc.planning import project_queries
from machnuoc.planning.models import Handover, Plan
from machnuoc.planning.project_forms import Amount, CommuneBox, _Named
from machnuoc.works.models import Work

_EMPTY_LINES = 6
PAPERS = frozenset({"pdf", "png", "jpeg", "docx", "xlsx"})
CONDITIONS = [
    ("", "chưa đánh giá"), ("1", "1 – hỏng"), ("2", "2 – kém"), ("3", "3 – trung bình"), ("4", "4 – khá"),
    ("5", "5 – tốt"),
]  # fmt: skip
# Where a list begins; people strike out and add. No regulation is claimed for it.
SUGGESTED_PAPERS = (
    "Quyết định đầu tư, hồ sơ thiết kế", "Biên bản nghiệm thu, hồ sơ hoàn công", "Hồ sơ đất đai của công trình",
    "Giấy phép khai thác nước", "Quy trình vận hành, bảo trì", "Sổ tài sản, giá trị còn lại",
    "Danh sách khách hàng, chỉ số đồng hồ", "Công nợ tiền nước", "Kết quả xét nghiệm nước gần nhất",
)  # fmt: skip


class HandoverFilter(forms.Form):
    q = forms.CharField(
        label="Tìm", required=False, max_length=100,
        widget=forms.TextInput({"type": "search", "placeholder": "Công trình, bên giao, bên nhận…"}),
    )  # fmt: skip
    plan = forms.ChoiceField(label="Kế hoạch", required=False)
    step = forms.ChoiceField(label="Bước", required=False, choices=[("", "Mọi bước"), *Handover.Step.choices])

    def __init__(self, data: QueryDict, plans: list[tuple[int, str]]) -> None:
        super().__init__(data)
        self.fields["plan"].choices = [("", "Mọi kế hoạch"), *((str(pk), name) for pk, name in plans)]  # type: ignore[attr-defined]


class PaperFileForm(forms.Form):
    file = forms.FileField(
        label="Tệp hồ sơ", allow_empty_file=True,
        widget=forms.FileInput({"accept": ".pdf,.png,.jpg,.jpeg,.docx,.xlsx"}),
        help_text="PDF, ảnh (PNG, JPEG), DOCX hoặc XLSX. Tệp mới thay tệp đã nộp.",
    )  # fmt: skip


class RequestForm(forms.Form):
    """What the request says."""

    version = forms.IntegerField(widget=forms.HiddenInput, required=False)
    name = forms.CharField(label="Công trình bàn giao", max_length=300)
    place = _Named(AdministrativeUnit.objects.none(), label="Nằm ở xã, phường")
    work = _Named(
        Work.objects.none(), label="Công trình trong hệ thống", required=False, empty_label="Chưa có trong hệ thống",
        help_text="Chưa có thì để trống: khi tiếp nhận, chương trình lập hồ sơ công trình mới.",
    )  # fmt: skip
    giver = _Named(
        Organisation.objects.none(), label="Bên giao", required=False, empty_label="Không có trong danh sách"
    )
    giver_as_printed = forms.CharField(label="Bên giao như in", max_length=200, required=False)
    receiver = _Named(Organisation.objects.none(), label="Bên nhận")
    plan = forms.ModelChoiceField(
        Plan.objects.none(), label="Thuộc kế hoạch", required=False, empty_label="Không thuộc kế hoạch nào"
    )
    request_as_printed = forms.CharField(label="Văn bản đề nghị", max_length=200, required=False)
    requested_on = DayField(label="Ngày đề nghị", required=False)
    note = forms.CharField(label="Ghi chú", required=False, max_length=2000, widget=forms.Textarea({"rows": 2}))

    def __init__(self, data: QueryDict | None, *, person: Person, handover: Handover | None = None) -> None:
        initial: dict[str, Any] = {}
        if handover is not None:
            same = ("name", "giver_as_printed", "request_as_printed", "requested_on", "note", "version")
            initial = {name: getattr(handover, name) for name in same}
            initial |= {"giver": handover.giver_id, "work": handover.work_id}
        super().__init__(data, initial=initial)
        fields: Any = self.fields
        fields["giver"].queryset = project_queries.list_owners(person)
        fields["work"].queryset = project_queries.list_works(person)
        if handover is None:
            communes = project_queries.list_communes(person)
            if access.sees_everything(person):
                fields["place"] = CommuneBox("place", communes, label="Nằm ở xã, phường")
            else:
                fields["place"].queryset = communes
            receivers = Organisation.objects.select_related("subject").order_by("subject__name")
            if not access.sees_everything(person, "manage"):
                receivers = receivers.filter(pk__in=access.visible_subject_ids(person, "manage"))
            fields["receiver"].queryset = receivers
            fields["plan"].queryset = project_queries.list_plans(person)
        else:  # where it lies and who receives it are what the way is about: another one is another handover
            for name in ("place", "receiver", "plan"):
                del fields[name]


class StepForm(forms.Form):
    version = forms.IntegerField(widget=forms.HiddenInput)
    on_date = DayField(label="Ngày thực hiện")


class _Line(forms.Form):
    """A row of a table of inputs."""

    def __init__(self, *arguments: Any, **kwargs: Any) -> None:
        super().__init__(*arguments, **kwargs)
        for field in self.fields.values():
            is_box = isinstance(field.widget, forms.CheckboxInput)
            field.widget.attrs["class"] = "form-check-input" if is_box else "form-control"


class ItemLine(_Line):
    name = forms.CharField(label="Tài sản", max_length=200, required=False)
    unit = forms.CharField(label="Đơn vị", max_length=20, required=False)
    quantity = NumberField(label="Số lượng", required=False, min_value=0, max_digits=12, decimal_places=2)
    weight = forms.IntegerField(label="Trọng số", required=False, min_value=1, max_value=100, initial=1)
    note = forms.CharField(label="Ghi chú", max_length=300, required=False)


class ConditionLine(_Line):
    pk = forms.IntegerField(widget=forms.HiddenInput)
    condition = forms.TypedChoiceField(
        label="Tình trạng", choices=CONDITIONS, coerce=int, empty_value=None, required=False
    )


class PaperLine(_Line):
    name = forms.CharField(label="Hồ sơ", max_length=200, required=False)
    is_there = forms.BooleanField(label="Đã có", required=False)
    note = forms.CharField(label="Ghi chú", max_length=300, required=False)


Items = forms.formset_factory(ItemLine, extra=_EMPTY_LINES, max_num=200)
Conditions = forms.formset_factory(ConditionLine, extra=0, max_num=200)
Papers = forms.formset_factory(PaperLine, extra=3, max_num=100)


class DecideForm(StepForm):
    decision_as_printed = forms.CharField(
        label="Số, ngày, cơ quan ban hành quyết định", max_length=200, help_text="Ghi như in trong văn bản."
    )


class TakeOverForm(StepForm):
    opening_households = WholeField(
        label="Số hộ khi tiếp nhận", min_value=0, max_value=2_000_000,
        help_text="Ghi thành số hộ đấu nối của tháng tiếp nhận. Hộ này không tính là khách hàng phát triển mới.",
    )  # fmt: skip
    opening_meter_m3 = NumberField(
        label="Chỉ số đồng hồ tổng (m³)", required=False, min_value=0, max_digits=14, decimal_places=3
    )
    opening_debt = Amount(label="Công nợ chuyển sang", required=False)
    team = _Named(
        Organisation.objects.none(), label="Tổ, trạm trực tiếp vận hành", required=False, empty_label="Chưa phân công"
    )
    kind = forms.ChoiceField(
        label="Loại công trình", choices=[pair for pair in Work.Kind.choices if pair[0] != Work.Kind.SUBSCHEME],
        initial=Work.Kind.SCHEME,
    )  # fmt: skip
    sector = forms.ChoiceField(label="Khu vực", choices=Work.Sector.choices, initial=Work.Sector.RURAL)

    def __init__(self, data: QueryDict | None, *, handover: Handover, initial: dict[str, Any]) -> None:
        super().__init__(data, initial=initial)
        fields: Any = self.fields
        fields["on_date"].label = "Ngày tiếp nhận"
        fields["team"].queryset = (
            Organisation.objects.filter(parent=handover.receiver_id, kind=Organisation.Kind.STATION)
            .select_related("subject")
            .order_by("subject__name")
        )
        if handover.work_id is not None:  # its record says what it is
            del fields["kind"], fields["sector"]


class BackForm(forms.Form):
    version = forms.IntegerField(widget=forms.HiddenInput)
    to = forms.ChoiceField(label="Đưa về bước")
    reason = forms.CharField(label="Lý do", max_length=300, widget=forms.Textarea({"rows": 2}))

    def __init__(self, data: QueryDict | None, *, choices: list[tuple[str, str]], version: int) -> None:
        super().__init__(data, initial={"version": version, "to": choices[-1][0] if choices else ""})
        self.fields["to"].choices = choices  # type: ignore[attr-defined]


class StopForm(forms.Form):
    version = forms.IntegerField(widget=forms.HiddenInput)
    reason = forms.CharField(label="Lý do không tiếp nhận", max_length=300, widget=forms.Textarea({"rows": 2}))


def day_initial(handover: Handover, held: date | None, today: date) -> dict[str, Any]:
    return {"version": handover.version, "on_date": held or today}
