"""The filters of the list of projects, and the forms of one."""

from collections.abc import Iterable
from datetime import date
from itertools import groupby
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.html import format_html
from django.utils.safestring import SafeString

from machnuoc.core.choices import DayField, OneOf
from machnuoc.core.models import Person
from machnuoc.core.number_fields import WholeField
from machnuoc.places import access
from machnuoc.places.forms import SubjectField
from machnuoc.places.models import AdministrativeUnit, Organisation, Subject
from machnuoc.planning import money, project_queries
from machnuoc.planning.models import FundingSource, Plan, Project
from machnuoc.planning.project_operations import Source
from machnuoc.works.models import Work

_SEARCH = forms.TextInput({"type": "search", "placeholder": "Tên dự án, chủ đầu tư…"})
_AMOUNT_HINT = "Viết như 42,43 tỷ, 1.500 triệu hoặc 75.000.000 đồng."
_BOXES = 3  # communes that one may add at a time
_ABSENT = "Chưa ghi trong văn bản thì để trống."


class Amount(forms.CharField):
    """Money as people write it, cleaned to whole đồng (None for an empty box)."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("help_text", _AMOUNT_HINT)
        super().__init__(max_length=60, widget=forms.TextInput({"autocomplete": "off"}), **kwargs)

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            amount = money.parse_amount(text)
        except money.BadAmount as reason:
            raise forms.ValidationError(str(reason)) from None
        if amount is None and self.required:
            raise forms.ValidationError(f"Chưa có số tiền. {_AMOUNT_HINT}")
        if amount is not None and not 0 <= amount < 2**62:
            raise forms.ValidationError("Số tiền không âm và không quá lớn. Kiểm tra lại đơn vị.")
        return amount


def _written(amount_vnd: int | None) -> str:
    return "" if amount_vnd is None else money.format_amount(amount_vnd).replace("\xa0", " ")


# --- filters --------------------------------------------------------------------------------------------------------


class ProjectFilter(forms.Form):
    """Shows what the list is filtered by. What the address asks for is read by `read_filters`."""

    q = forms.CharField(label="Tìm", required=False, max_length=100, widget=_SEARCH)
    plan = forms.ChoiceField(label="Kế hoạch", required=False)
    owner = forms.ChoiceField(label="Chủ đầu tư", required=False)
    status = forms.ChoiceField(
        label="Tình trạng", required=False, choices=[("", "Mọi tình trạng"), *Project.Status.choices]
    )
    warning = forms.ChoiceField(
        label="Cảnh báo", required=False, choices=[("", "Không lọc"), *project_queries.WARNINGS.items()]
    )
    year = forms.ChoiceField(label="Năm vốn", required=False)

    def __init__(self, data: QueryDict, selection: project_queries.Selection) -> None:
        super().__init__(data)
        choices: dict[str, list[tuple[str, str]]] = {
            "plan": [("", "Mọi kế hoạch"), *((str(pk), name) for pk, name in selection.plans)],
            "owner": [("", "Mọi chủ đầu tư"), *((str(pk), name) for pk, name in selection.owners)],
            "year": [("", f"Năm nay ({selection.year})") if not data.get("year") else ("", "Năm nay"),
                     *((str(year), str(year)) for year in selection.years)],
        }  # fmt: skip
        for name, options in choices.items():
            self.fields[name].choices = options  # type: ignore[attr-defined]
            if name != "year" and len(options) == 2 and not data.get(name):
                del self.fields[name]  # the one and only: nothing to choose


def read_filters(data: QueryDict) -> project_queries.Filters:
    """Return what the address asks for; what makes no sense asks for nothing."""

    def number(name: str, most: int = 2**62) -> int:
        text = data.get(name, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 and int(text) <= most else 0

    year = number("year", 2200)
    status, warning = data.get("status", ""), data.get("warning", "")
    return project_queries.Filters(
        q=data.get("q", "")[:100],
        plan=number("plan"),
        owner=number("owner"),
        within=number("within"),
        status=status if status in Project.Status.values else "",
        warning=warning if warning in project_queries.WARNINGS else "",
        year=year if year >= 1990 else 0,
    )


def describe_filters(selection: project_queries.Selection) -> list[tuple[str, str]]:
    """Return the filters in words, for the sheet that the list is exported to."""
    filters = selection.filters
    rows = [
        ("Tìm", filters.q),
        ("Kế hoạch", dict(selection.plans).get(filters.plan, "")),
        ("Chủ đầu tư", dict(selection.owners).get(filters.owner, "")),
        ("Tình trạng", dict(Project.Status.choices).get(filters.status, "")),
        ("Cảnh báo", project_queries.WARNINGS.get(filters.warning, "")),
        ("Năm vốn", str(selection.year)),
    ]
    return [(label, str(text)) for label, text in rows if text]


# --- the project ----------------------------------------------------------------------------------------------------


class _Named(OneOf):
    def label_from_instance(self, obj: Any) -> str:
        return str(obj.subject.name if hasattr(obj, "subject") else obj)


class _Offering(forms.TextInput):
    """A box with the list of names that the server offers while one types."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        return format_html('{}<datalist id="{}-offers"></datalist>', super().render(name, value, attrs, renderer), name)


class CommuneBox(SubjectField):
    """A commune typed by name: for who reaches more communes than a list can show."""

    def __init__(self, name: str, communes: QuerySet[AdministrativeUnit], **kwargs: Any) -> None:
        super().__init__(suggest="places:suggest_units", widget=_Offering(), **kwargs)
        self.communes = communes
        self.among = Subject.objects.filter(pk__in=communes.order_by().values("pk"))
        self.offer(name)

    def clean(self, value: Any) -> AdministrativeUnit | None:  # type: ignore[override]
        text = str(value or "").strip()
        if text.isascii() and text.isdigit() and len(text) < 19:  # an id, as the list of a smaller reach sends it
            found = self.communes.filter(pk=int(text)).first()
            if found is None:
                raise forms.ValidationError("Không có xã, phường này trong phạm vi của bạn. Gõ tên rồi chọn.")
            return found
        subject = super().clean(value)
        return None if subject is None else self.communes.get(pk=subject.pk)


class _Communes(forms.TypedMultipleChoiceField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(coerce=int, required=False, widget=forms.SelectMultiple({"size": "8"}), **kwargs)

    def offer(self, units: Iterable[AdministrativeUnit]) -> None:
        self.found = {unit.pk: unit for unit in units}
        self.choices = [
            (str(province), [(str(unit.pk), unit.full_name) for unit in group])
            for province, group in groupby(
                self.found.values(), key=lambda unit: unit.parent.subject.name if unit.parent else ""
            )
        ]


class EditProject(forms.Form):
    """Identity of a project, as the document gives it. Money and progress have forms of their own."""

    version = forms.IntegerField(widget=forms.HiddenInput, required=False)
    name = forms.CharField(label="Tên dự án", max_length=200, widget=forms.Textarea({"rows": 2}))
    plan = forms.ModelChoiceField(
        Plan.objects.none(), label="Thuộc kế hoạch", required=False, empty_label="Không thuộc kế hoạch nào"
    )
    number = forms.CharField(label="TT trong kế hoạch", max_length=8, required=False)
    owner = _Named(
        Organisation.objects.none(), label="Chủ đầu tư", required=False, empty_label="Không ghi",
        help_text="Không có trong danh sách thì để trống và ghi như in ở ô dưới.",
    )  # fmt: skip
    owner_as_printed = forms.CharField(label="Chủ đầu tư như in", max_length=200, required=False)
    contractor = forms.CharField(label="Nhà thầu", max_length=200, required=False)
    total = Amount(label="Tổng mức", required=False, help_text=f"{_AMOUNT_HINT} {_ABSENT}")
    total_as_printed = forms.CharField(label="Tổng mức như in", max_length=60, required=False)
    sources = forms.CharField(
        label="Nguồn vốn", required=False, max_length=4000, widget=forms.Textarea({"rows": 3}),
        help_text="Mỗi dòng một nguồn. Có số tiền thì ghi sau dấu |, ví dụ: Ngân sách nhà nước | 10 tỷ.",
    )  # fmt: skip
    territories = _Communes(label="Nằm ở", help_text="Giữ Ctrl để chọn nhiều xã, phường.")
    work = _Named(Work.objects.none(), label="Công trình liên quan", required=False, empty_label="Chưa gắn")
    starts_on = DayField(label="Khởi công", required=False)
    due_on = DayField(label="Phải hoàn thành, chậm nhất ngày", required=False)
    completion_as_printed = forms.CharField(label="Thời gian hoàn thành như in", max_length=120, required=False)
    people_expected = WholeField(
        label="Số người dự kiến được cấp nước", required=False, min_value=0, max_value=2**31 - 1
    )
    outcome = forms.CharField(
        label="Hiệu quả dự kiến", required=False, max_length=2000, widget=forms.Textarea({"rows": 3})
    )
    note = forms.CharField(label="Ghi chú", required=False, max_length=2000, widget=forms.Textarea({"rows": 2}))

    def __init__(
        self, data: QueryDict | None, *, person: Person, page: project_queries.ProjectPage | None = None
    ) -> None:
        super().__init__(data, initial=_initial(page) if page else None)
        self.fields["plan"].queryset = project_queries.list_plans(person)  # type: ignore[attr-defined]
        self.fields["owner"].queryset = project_queries.list_owners(person)  # type: ignore[attr-defined]
        self.fields["work"].queryset = project_queries.list_works(person)  # type: ignore[attr-defined]
        communes = project_queries.list_communes(person)
        if not access.sees_everything(person):
            self.fields["territories"].offer(communes)  # type: ignore[attr-defined]
            return
        # The whole country's communes are no list to choose from: those held stand in it, others are typed.
        held = [one.pk for one in page.territories] if page else []
        sent = data.getlist("territories") if data is not None else []
        held += [int(text) for text in sent if text.isascii() and text.isdigit() and len(text) < 19]
        if held:
            self.fields["territories"].offer(communes.filter(pk__in=held))  # type: ignore[attr-defined]
            self.fields["territories"].help_text = "Giữ Ctrl để bỏ hoặc chọn lại từng xã, phường."
        else:
            del self.fields["territories"]
        after = list(self.fields)
        place = after.index("work")
        for number in range(1, _BOXES + 1):
            name = f"territory_{number}"
            label = "Nằm ở xã, phường" if number == 1 else f"Xã, phường thứ {number}"
            self.fields[name] = CommuneBox(name, communes, label=label, required=False)
            after.insert(place + number - 1, name)
        self.order_fields(after)

    def clean_sources(self) -> list[Source]:
        found = []
        for line in self.cleaned_data["sources"].splitlines():
            name, _, amount = (part.strip() for part in line.partition("|"))
            if not name and not amount:
                continue
            if not name or len(name) > 300:
                raise forms.ValidationError(f"Dòng «{line.strip()[:60]}»: cần tên nguồn vốn, dài nhất 300 ký tự.")
            try:
                found.append(Source(name, money.parse_amount(amount)))
            except money.BadAmount as reason:
                raise forms.ValidationError(f"Dòng «{name[:60]}»: {reason}") from None
        return found

    def units(self) -> list[AdministrativeUnit]:
        chosen = []
        if "territories" in self.fields:
            found = self.fields["territories"].found  # type: ignore[attr-defined]
            chosen = [found[pk] for pk in self.cleaned_data["territories"]]
        typed = [self.cleaned_data.get(f"territory_{number}") for number in range(1, _BOXES + 1)]
        return list({unit.pk: unit for unit in (*chosen, *typed) if unit is not None}.values())


def _initial(page: project_queries.ProjectPage) -> dict[str, Any]:
    project = page.project
    lines = [f"{one.name} | {_written(one.amount_vnd)}" if one.amount_vnd else one.name for one in page.sources]
    same = ("number", "owner_as_printed", "contractor", "total_as_printed", "starts_on", "due_on", "outcome", "note",
            "completion_as_printed", "people_expected")  # fmt: skip
    return {
        "version": project.subject.version, "name": project.subject.name, "plan": project.plan_id,
        "owner": project.owner_id, "total": _written(project.total_vnd), "sources": "\n".join(lines),
        "territories": [place.pk for place in page.territories], "work": project.work_id,
        **{name: getattr(project, name) for name in same},
    }  # fmt: skip


# --- money ----------------------------------------------------------------------------------------------------------


class YearlyPlanForm(forms.Form):
    year = forms.IntegerField(label="Năm", min_value=1990, max_value=2200)
    amount = Amount(label="Vốn được giao trong năm")
    carried_over = Amount(
        label="Vốn năm trước được kéo dài sang", required=False, help_text=f"Không có thì để trống. {_AMOUNT_HINT}"
    )
    carry_over_until = DayField(
        label="Vốn kéo dài giải ngân đến hết ngày", required=False,
        help_text="Theo văn bản cho phép kéo dài. Để trống thì tính đến hết ngày 31/12 của năm này.",
    )  # fmt: skip
    document_as_printed = forms.CharField(label="Văn bản giao vốn, cho phép kéo dài", max_length=200, required=False)
    months = forms.CharField(
        label="Dự kiến giải ngân từng tháng", required=False, max_length=1000, widget=forms.Textarea({"rows": 4}),
        help_text="Mỗi dòng một tháng, ví dụ: 3: 1,5 tỷ. Cộng lại phải bằng tổng vốn của năm. "
        "Để trống nếu không chia theo tháng: khi đó chương trình không vẽ đường dự kiến.",
    )  # fmt: skip

    def clean_months(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for line in self.cleaned_data["months"].splitlines():
            if not line.strip():
                continue
            month, colon, amount = (part.strip() for part in line.partition(":"))
            if not colon or not month.isdecimal() or not 1 <= int(month) <= 12 or int(month) in found:
                raise forms.ValidationError(
                    f"Dòng «{line.strip()[:40]}»: viết tháng (1–12, mỗi tháng một dòng): số tiền."
                )
            try:
                found[int(month)] = money.parse_amount(amount) or 0
            except money.BadAmount as reason:
                raise forms.ValidationError(f"Tháng {month}: {reason}") from None
        return found


def initial_of_year(year: project_queries.Year) -> dict[str, Any]:
    plan, capital = year.plan, year.capital
    if plan is None or capital is None:
        return {"year": year.year}
    return {
        "year": year.year, "amount": _written(plan.amount_vnd),
        "carried_over": _written(plan.carried_over_vnd) if plan.carried_over_vnd else "",
        "carry_over_until": plan.carry_over_until, "document_as_printed": plan.document_as_printed,
        "months": "\n".join(f"{month}: {_written(amount)}" for month, amount in sorted(capital.months.items())),
    }  # fmt: skip


class DisburseForm(forms.Form):
    on_date = DayField(label="Ngày giải ngân")
    amount = Amount(label="Số tiền")
    source = forms.ModelChoiceField(
        FundingSource.objects.none(), label="Nguồn vốn", required=False, empty_label="Không ghi"
    )
    from_carry_over = forms.BooleanField(label="Từ vốn kéo dài", required=False)
    voucher = forms.CharField(label="Số chứng từ", max_length=120, required=False)
    note = forms.CharField(label="Ghi chú", max_length=300, required=False)

    def __init__(self, data: QueryDict | None, *, project: Project, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial=initial)
        self.fields["source"].queryset = FundingSource.objects.filter(project=project)  # type: ignore[attr-defined]


class AcceptForm(forms.Form):
    on_date = DayField(label="Ngày nghiệm thu")
    amount = Amount(label="Giá trị nghiệm thu")
    note = forms.CharField(label="Khối lượng, biên bản", max_length=300, required=False)


class ReasonForm(forms.Form):
    reason = forms.CharField(label="Lý do", max_length=300, widget=forms.Textarea({"rows": 2}))


# --- progress -------------------------------------------------------------------------------------------------------


class ProgressForm(forms.Form):
    version = forms.IntegerField(widget=forms.HiddenInput)
    status = forms.ChoiceField(label="Tình trạng", choices=Project.Status.choices)
    finished_on = DayField(label="Ngày hoàn thành", required=False)
    people_reached = WholeField(label="Số người đã được cấp nước", required=False, min_value=0, max_value=2**31 - 1)


class MilestoneForm(forms.Form):
    name = forms.CharField(label="Mốc", max_length=200)
    planned_on = DayField(label="Theo kế hoạch", required=False)
    reached_on = DayField(label="Thực tế", required=False)
    note = forms.CharField(label="Ghi chú", max_length=300, required=False)


class ObstacleForm(forms.Form):
    text = forms.CharField(label="Vướng mắc", max_length=2000, widget=forms.Textarea({"rows": 3}))
    owner = _Named(
        Organisation.objects.none(), label="Đơn vị phải gỡ", required=False, empty_label="Chưa rõ",
        help_text="Người của đơn vị này nhận được thông báo.",
    )  # fmt: skip
    raised_on = DayField(label="Nêu ngày")
    due_on = DayField(label="Phải gỡ trước hết ngày", required=False)

    def __init__(self, data: QueryDict | None, *, person: Person, today: date) -> None:
        super().__init__(data, initial={"raised_on": today})
        self.fields["owner"].queryset = project_queries.list_owners(person)  # type: ignore[attr-defined]


class ResolveForm(forms.Form):
    resolved_on = DayField(label="Gỡ ngày")
    resolution = forms.CharField(label="Cách gỡ", max_length=2000, widget=forms.Textarea({"rows": 3}))
