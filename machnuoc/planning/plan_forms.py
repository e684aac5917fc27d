"""The filters of the lists and the forms of plans, targets, judgements and proposals."""

from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any

from django import forms
from django.http import QueryDict

from machnuoc.core import units, vietnamese
from machnuoc.core.choices import OneOf, SomeOf
from machnuoc.core.models import Document, Person
from machnuoc.core.periods import BadPeriod, Period
from machnuoc.indicators.models import Metric
from machnuoc.places import access
from machnuoc.places.models import AdministrativeUnit, Grant, Organisation, Subject
from machnuoc.planning import plan_operations, plan_queries
from machnuoc.planning.models import Plan, PlanAmendment, Proposal, Target, TargetUnit
from machnuoc.planning.models.plans import Status

_MOST_SUBJECTS = 400


class Day(forms.DateField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"), **kwargs)


class Amount(forms.CharField):
    """A number as Vietnamese write it; cleaned to a Decimal, or None if empty."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=30, widget=forms.TextInput({"inputmode": "decimal"}), **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return vietnamese.format_number(value.normalize() + 0) if isinstance(value, Decimal) else value

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            return vietnamese.parse_number(text) if text else None
        except vietnamese.NotANumber as reason:
            raise forms.ValidationError(str(reason)) from None


class PeriodField(forms.CharField):
    """2026, 2026-Q3, 2026-02; cleaned to a Period, or None."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=10, **kwargs)

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            return Period.parse(text) if text else None
        except BadPeriod as reason:
            raise forms.ValidationError(str(reason)) from None


# --- filters


class TargetFilter(forms.Form):
    """Shows what the list is filtered by. What the address asks for is read by `read_filters`."""

    q = forms.CharField(
        label="Tìm", required=False, max_length=100,
        widget=forms.TextInput({"type": "search", "placeholder": "Tên chỉ tiêu, có dấu hay không dấu…"}),
    )  # fmt: skip
    plan = forms.ChoiceField(label="Kế hoạch", required=False)
    status = forms.ChoiceField(label="Tình trạng", required=False, choices=[("", "Mọi tình trạng"), *Status.choices])
    unit = forms.ChoiceField(label="Đơn vị", required=False)
    due = forms.ChoiceField(label="Hạn", required=False, choices=[("", "Mọi hạn"), *plan_queries.DUE.items()])
    level = forms.ChoiceField(label="Cấp", required=False, choices=list(plan_queries.LEVELS.items()))

    def __init__(self, data: QueryDict, plans: list[Plan], unit_choices: list[tuple[int, str]]) -> None:
        super().__init__(data)
        self.fields["plan"].choices = [("", "Mọi kế hoạch"), *((one.key, one.short_name) for one in plans)]  # type: ignore[attr-defined]
        self.fields["unit"].choices = [("", "Mọi đơn vị"), *((str(pk), name) for pk, name in unit_choices)]  # type: ignore[attr-defined]


def read_filters(data: QueryDict) -> plan_queries.Filters:
    """Return what the address asks for; what makes no sense asks for nothing."""

    def one_of(name: str, allowed: Any) -> str:
        return data.get(name, "") if data.get(name, "") in allowed else ""

    unit = data.get("unit", "")
    return plan_queries.Filters(
        q=data.get("q", "")[:100], plan=data.get("plan", "")[:60], status=one_of("status", Status.values),
        unit=int(unit) if unit.isascii() and unit.isdigit() and len(unit) < 18 else 0,
        due=one_of("due", plan_queries.DUE), level=one_of("level", plan_queries.LEVELS),
    )  # fmt: skip


class GrowthFilter(forms.Form):
    q = forms.CharField(
        label="Tìm", required=False, max_length=100,
        widget=forms.TextInput({"type": "search", "placeholder": "Tên trạm, nơi cấp…"}),
    )  # fmt: skip


class ScoreFilter(forms.Form):
    period = forms.ChoiceField(label="Kỳ", required=False)
    plan = forms.ChoiceField(label="Kế hoạch", required=False)

    def __init__(self, data: QueryDict, periods: list[Period], plans: list[Plan]) -> None:
        super().__init__(data)
        self.fields["period"].choices = [(one.key, one.label_vi) for one in periods]  # type: ignore[attr-defined]
        self.fields["plan"].choices = [("", "Mọi kế hoạch"), *((one.key, one.short_name) for one in plans)]  # type: ignore[attr-defined]


# --- plans


class PlanForm(forms.Form):
    """A plan. When it is new, its key is made of its short name."""

    name = forms.CharField(label="Tên kế hoạch", max_length=400)
    short_name = forms.CharField(label="Tên ngắn", max_length=120, help_text="Hiện trong danh sách và bộ lọc.")
    issuer = OneOf(Organisation.objects.none(), label="Cơ quan ban hành", required=False)
    territory = forms.ModelChoiceField(Subject.objects.none(), label="Địa bàn")
    document = forms.ModelChoiceField(
        Document.objects.none(), label="Văn bản", required=False, empty_label="Chưa có trong kho văn bản"
    )
    field = forms.ChoiceField(label="Lĩnh vực", choices=Grant.Field.choices)
    valid_from = Day(label="Thực hiện từ ngày", required=False)
    last_day = Day(label="Đến hết ngày", required=False)
    status = forms.ChoiceField(label="Tình trạng", choices=Plan.Status.choices)
    carries_out = SomeOf(
        Plan.objects.none(), label="Triển khai kế hoạch", required=False, widget=forms.CheckboxSelectMultiple
    )
    bases = forms.CharField(
        label="Căn cứ", required=False, max_length=6000, widget=forms.Textarea({"rows": 4}),
        help_text="Mỗi dòng một căn cứ, ghi như in.",
    )  # fmt: skip
    note = forms.CharField(label="Ghi chú", required=False, max_length=2000, widget=forms.Textarea({"rows": 2}))
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, data: QueryDict | None, *, person: Person, plan: Plan | None = None) -> None:
        initial: dict[str, Any] = {"status": Plan.Status.IN_FORCE, "field": Grant.Field.ALL}
        if plan is not None:
            initial = {
                "name": plan.name, "short_name": plan.short_name, "issuer": plan.issuer_id, "field": plan.field,
                "territory": plan.territory_id, "document": plan.document_id, "valid_from": plan.valid_from,
                "last_day": date.fromordinal(plan.valid_to.toordinal() - 1) if plan.valid_to else None,
                "status": plan.status, "carries_out": list(plan.carries_out.values_list("pk", flat=True)),
                "bases": "\n".join(basis.text for basis in plan.bases.all()), "note": plan.note,
                "version": plan.version,
            }  # fmt: skip
        super().__init__(data, initial=initial)
        self.person, self.plan = person, plan
        managed = access.visible_subject_ids(person, "manage")
        organisations = Organisation.objects.filter(pk__in=managed).select_related("subject").order_by("subject__name")
        if plan is not None and plan.issuer_id:
            organisations = organisations | Organisation.objects.filter(pk=plan.issuer_id).select_related("subject")
        territories = Subject.objects.filter(
            unit__in=AdministrativeUnit.objects.filter(level__in=["PROVINCE"], is_in_force=True)
        ) | Subject.objects.filter(pk__in=[plan.territory_id] if plan else [])
        self.fields["issuer"].queryset = organisations  # type: ignore[attr-defined]
        self.fields["territory"].queryset = territories.order_by("name")  # type: ignore[attr-defined]
        self.fields["document"].queryset = Document.objects.order_by("title")  # type: ignore[attr-defined]
        others = plan_queries.visible_plans(person)
        self.fields["carries_out"].queryset = others.exclude(pk=plan.pk) if plan else others  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        start, end = said.get("valid_from"), said.get("last_day")
        if start and end and end < start:
            self.add_error("last_day", "Ngày kết thúc ở trước ngày bắt đầu. Sửa lại một trong hai ngày.")
        issuer, territory = said.get("issuer"), said.get("territory")
        allowed = (issuer and access.may(self.person, "manage", issuer.pk)) or (
            territory and access.may(self.person, "manage", territory)
        )
        if territory is not None and not allowed:
            self.add_error(
                "issuer", "Bạn chỉ lập được kế hoạch của cơ quan, địa bàn mà bạn quản lý. Chọn cơ quan ban hành."
            )
        return said

    def arguments(self) -> dict[str, Any]:
        """Return what plan_operations.put_plan takes, apart from the key."""
        said = self.cleaned_data
        held = {basis.text: basis for basis in self.plan.bases.all()} if self.plan else {}
        bases = [line.strip()[:600] for line in said["bases"].splitlines() if line.strip()]
        return {
            "name": said["name"], "short_name": said["short_name"], "territory": said["territory"],
            "document": said["document"], "issuer": said["issuer"], "field": said["field"],
            "valid_from": said["valid_from"],
            "valid_to": date.fromordinal(said["last_day"].toordinal() + 1) if said["last_day"] else None,
            "status": said["status"], "carries_out": list(said["carries_out"]), "note": said["note"],
            "version": said["version"],
            "bases": [
                plan_operations.Basis(text, held[text].document, held[text].passage)
                if text in held
                else plan_operations.Basis(text)
                for text in bases
            ],
        }  # fmt: skip


class AmendForm(forms.Form):
    reference = forms.CharField(label="Văn bản điều chỉnh", max_length=200, help_text="Số, ký hiệu và ngày như in.")
    effective_on = Day(label="Hiệu lực từ ngày")
    summary = forms.CharField(label="Nội dung điều chỉnh", max_length=600, widget=forms.Textarea({"rows": 3}))
    version = forms.IntegerField(widget=forms.HiddenInput)


# --- targets


def _unit_choices() -> list[tuple[str, str]]:
    found = [("", "không ghi")]
    for key in (
        "pct",
        "household",
        "customer",
        "connection",
        "person",
        "work",
        "count",
        "sample",
        "h/d",
        "m3",
        "m3/d",
        "vnd",
    ):
        found.append((key, units.label(key) or "đơn vị đếm"))
    return found


def list_subjects(person: Person, plan: Plan) -> list[tuple[str, Any]]:
    """Return what a target of the plan may be about: its territory, organisations and works in the person's scope."""
    managed = Subject.objects.filter(
        pk__in=access.visible_subject_ids(person), kind__in=[Subject.Kind.ORGANISATION, Subject.Kind.WORK]
    ).order_by("kind", "name")[:_MOST_SUBJECTS]
    choices: list[tuple[str, Any]] = [(str(plan.territory_id), plan.territory.name)]
    for kind, rows in groupby(managed, key=lambda row: row.kind):
        choices.append((str(Subject.Kind(kind).label), [(str(row.pk), row.name) for row in rows]))
    return choices


class TargetForm(forms.Form):
    """A target: what, of whom, compared how with which number, by when, led by whom."""

    name = forms.CharField(label="Chỉ tiêu", max_length=300)
    subject = forms.TypedChoiceField(label="Tính cho", coerce=int)
    metric = forms.ModelChoiceField(
        Metric.objects.order_by("order"), label="Đo bằng số liệu", required=False, empty_label="Chưa có số liệu đo",
        help_text="Tình trạng được tính từ số liệu này. Để trống thì ghi bằng đánh giá.",
    )  # fmt: skip
    measured_as = forms.ChoiceField(label="Cách đo", choices=Target.MeasuredAs.choices)
    comparator = forms.ChoiceField(label="So sánh", choices=Target.Comparator.choices)
    comparator_as_printed = forms.CharField(
        label="Chữ như in", required=False, max_length=60, help_text="«ít nhất», «phấn đấu đạt khoảng»…"
    )
    amount = Amount(label="Mức phải đạt", required=False)
    upper = Amount(label="Đến (nếu là khoảng)", required=False)
    unit = forms.ChoiceField(label="Đơn vị tính", required=False, choices=_unit_choices)
    decimals = forms.IntegerField(
        label="Số lẻ như in",
        min_value=0,
        max_value=4,
        initial=0,
        help_text="«khoảng 15 %» là số nào làm tròn thành 15.",
    )
    baseline = Amount(label="Mức gốc", required=False)
    period = PeriodField(label="Kỳ phải đạt", required=False, help_text="2026, 2026-Q3 hoặc 2026-06.")
    due_on = Day(label="Ngày phải đạt", required=False, help_text="Để trống: ngày cuối của kỳ.")
    leads = SomeOf(
        Organisation.objects.none(), label="Đơn vị chủ trì", required=False, widget=forms.CheckboxSelectMultiple
    )
    accountable_text = forms.CharField(label="Người chịu trách nhiệm", required=False, max_length=200)
    section = forms.CharField(label="Mục trong văn bản", required=False, max_length=120)
    text = forms.CharField(label="Nguyên văn", required=False, max_length=4000, widget=forms.Textarea({"rows": 3}))
    parts_check = forms.ChoiceField(label="Đối chiếu các phần", choices=Target.PartsCheck.choices)
    note = forms.CharField(label="Ghi chú", required=False, max_length=2000, widget=forms.Textarea({"rows": 2}))
    amendment = forms.ModelChoiceField(
        PlanAmendment.objects.none(), label="Theo văn bản điều chỉnh", required=False, empty_label="Không"
    )
    reason = forms.CharField(label="Lý do thay đổi", max_length=300)
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(
        self, data: QueryDict | None, *, person: Person, plan: Plan, target: Target | None = None,
        parent: Target | None = None,
    ) -> None:  # fmt: skip
        source = target or parent
        initial: dict[str, Any] = {"subject": plan.territory_id, "parts_check": "NONE"}
        if source is not None:
            initial = {
                name: getattr(source, name)
                for name in (
                    "name", "measured_as", "comparator", "comparator_as_printed", "amount", "upper", "unit", "decimals",
                    "baseline", "due_on", "section", "text", "note", "parts_check", "accountable_text", "version",
                )
            }  # fmt: skip
            initial["metric"], initial["subject"] = source.metric_id, source.subject_id
            if source.period_start:
                initial["period"] = Period(source.period_kind, source.period_start).key  # type: ignore[arg-type]
        if parent is not None:
            initial |= {"name": f"{parent.name}: ", "parts_check": "NONE", "amount": None, "text": "", "note": ""}
            initial |= {"baseline": None, "version": None}
        if target is not None:
            initial["leads"] = list(
                target.units.filter(role=TargetUnit.Role.LEAD).values_list("organisation_id", flat=True)
            )
        super().__init__(data, initial=initial)
        self.target = target
        subjects = list_subjects(person, plan)
        if source is not None:
            subjects = [(str(source.subject_id), source.subject.name), *subjects]
        self.fields["subject"].choices = subjects  # type: ignore[attr-defined]
        organisations = Organisation.objects.filter(pk__in=access.visible_subject_ids(person))
        if target is not None:
            organisations = organisations | Organisation.objects.filter(pk__in=initial["leads"])
        self.fields["leads"].queryset = organisations.select_related("subject").order_by("subject__name").distinct()  # type: ignore[attr-defined]
        if target is None:
            del self.fields["amendment"], self.fields["reason"]
        else:
            self.fields["amendment"].queryset = PlanAmendment.objects.filter(plan=plan)  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        metric = said.get("metric")
        if metric is not None and said.get("unit") != metric.unit:
            self.add_error(
                "unit", f"Số liệu đã chọn tính theo «{units.label(metric.unit) or metric.unit}». Chọn cùng đơn vị tính."
            )
        return said

    def units(self) -> list[plan_operations.Unit]:
        """Return the leads chosen, and whoever helps as before."""
        found = [plan_operations.lead(one) for one in self.cleaned_data["leads"]]
        if self.target is not None:
            found += [
                plan_operations.Unit(row.role, row.organisation, row.name_as_printed)
                for row in self.target.units.select_related("organisation")
                if row.role != TargetUnit.Role.LEAD or row.organisation_id is None
            ]
        return found

    def promise(self) -> dict[str, Any]:
        """Return the fields of the target as they are typed."""
        said = self.cleaned_data
        period, due = said["period"], said["due_on"]
        if due is None and period is not None:
            due = date.fromordinal(period.end_date.toordinal() - 1)
        return {
            **{
                name: said[name]
                for name in (
                    "name", "metric", "measured_as", "comparator", "comparator_as_printed", "amount", "upper", "unit",
                    "decimals", "baseline", "accountable_text", "section", "text", "parts_check", "note",
                )
            },
            "subject": Subject.objects.get(pk=said["subject"]), "due_on": due,
        }  # fmt: skip


class JudgeForm(forms.Form):
    is_met = forms.TypedChoiceField(
        label="Kết quả", choices=[("1", "Đạt"), ("0", "Chưa đạt")], coerce=lambda text: text == "1",
        widget=forms.RadioSelect,
    )  # fmt: skip
    judged_on = Day(label="Ngày đánh giá")
    text = forms.CharField(label="Nhận xét, căn cứ", max_length=600, widget=forms.Textarea({"rows": 3}))


class ProposalForm(forms.Form):
    organisation = forms.TypedChoiceField(label="Đơn vị đề xuất", coerce=int)
    cause_kind = forms.ChoiceField(label="Loại nguyên nhân", choices=Proposal.Cause.choices, widget=forms.RadioSelect)
    cause = forms.CharField(label="Nguyên nhân", max_length=4000, widget=forms.Textarea({"rows": 3}))
    solution = forms.CharField(label="Giải pháp", max_length=4000, widget=forms.Textarea({"rows": 4}))
    new_date = Day(label="Thời hạn mới", required=False, help_text="Để trống nếu giữ nguyên hạn của chỉ tiêu.")
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(
        self, data: QueryDict | None, *, organisations: list[Organisation], proposal: Proposal | None = None
    ) -> None:
        initial = (
            {name: getattr(proposal, name) for name in ("cause_kind", "cause", "solution", "new_date", "version")}
            | {"organisation": proposal.organisation_id}
            if proposal
            else {}
        )
        super().__init__(data, initial=initial)
        self.fields["organisation"].choices = [(str(one.pk), str(one)) for one in organisations]  # type: ignore[attr-defined]


class DecideForm(forms.Form):
    approve = forms.TypedChoiceField(
        label="Ý kiến", choices=[("1", "Duyệt"), ("0", "Trả lại")], coerce=lambda text: text == "1",
        widget=forms.RadioSelect,
    )  # fmt: skip
    text = forms.CharField(label="Nội dung", required=False, max_length=500, widget=forms.Textarea({"rows": 2}))
