"""The filters of the lists and the forms of plans, targets, judgements and proposals."""

import hashlib
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import groupby, zip_longest
from typing import Any

from django import forms
from django.db.models import Q
from django.http import QueryDict

from machnuoc.core import units, vietnamese
from machnuoc.core.choices import DayField, OneOf, SomeOf
from machnuoc.core.models import Document, Person
from machnuoc.core.periods import BadPeriod, Period
from machnuoc.indicators.models import Metric
from machnuoc.places import access
from machnuoc.places.models import AdministrativeUnit, Grant, Organisation, Subject
from machnuoc.planning import plan_operations, plan_queries, plan_standings, visibility
from machnuoc.planning.models import Plan, PlanAmendment, Proposal, Target, TargetUnit
from machnuoc.planning.models.plans import Status

_MOST_SUBJECTS = 400
_EMPTY_ROWS = 3  # of a path: to write on without a script
_MOST_STEPS = 60
_MOST_AMOUNT = Decimal(10) ** 16  # what the table holds


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
    territory = forms.ModelChoiceField(Subject.objects.none(), label="Địa bàn", empty_label="Chọn địa bàn")
    document = forms.ModelChoiceField(
        Document.objects.none(), label="Văn bản", required=False, empty_label="Chưa có trong kho văn bản"
    )
    field = forms.ChoiceField(label="Lĩnh vực", choices=Grant.Field.choices)
    valid_from = DayField(label="Thực hiện từ ngày", required=False)
    last_day = DayField(label="Đến hết ngày", required=False)
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
        # A plan speaks to all below its territory: not to those of a province that its author does not belong to.
        provinces = AdministrativeUnit.objects.filter(
            visibility.readable(person, "pk"), level=AdministrativeUnit.Level.PROVINCE, is_in_force=True
        )
        territories = Subject.objects.filter(Q(unit__in=provinces) | Q(pk__in=[plan.territory_id] if plan else []))
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
    effective_on = DayField(label="Hiệu lực từ ngày")
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
        "commune",
        "task",
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
    managed = (
        Subject.objects.filter(
            pk__in=access.visible_subject_ids(person), kind__in=[Subject.Kind.ORGANISATION, Subject.Kind.WORK]
        )
        .exclude(pk=plan.territory_id)
        .order_by("kind", "name")[:_MOST_SUBJECTS]
    )
    choices: list[tuple[str, Any]] = [(str(plan.territory_id), plan.territory.name)]
    for kind, rows in groupby(managed, key=lambda row: row.kind):
        choices.append((str(Subject.Kind(kind).label), [(str(row.pk), row.name) for row in rows]))
    return choices


@dataclass
class PathRow:
    """A row of the path as it is typed: what should be reached by the end of a period."""

    period: str = ""
    amount: str = ""
    error: str = ""
    step: Period | None = None
    value: Decimal | None = None


def _last_day(period: Period) -> date:
    return date.fromordinal(period.end_date.toordinal() - 1)


def _path_of(target: Target | None) -> list[PathRow]:
    """Return the rows of a target's path, with some empty ones to write on."""
    points = target.path.order_by("period_start", "period_kind") if target is not None else []
    rows = [
        PathRow(
            Period(point.period_kind, point.period_start).key,  # type: ignore[arg-type]
            vietnamese.format_number(point.amount.normalize() + 0),
        )
        for point in points
    ]
    return [*rows, *(PathRow() for _ in range(_EMPTY_ROWS))]


def _read_path(data: QueryDict) -> list[PathRow]:
    """Return the rows as they were typed, what they say and what is wrong with each. None at all: the form had none."""
    periods, amounts = data.getlist("path_period"), data.getlist("path_amount")
    rows = []
    for period, amount in list(zip_longest(periods, amounts, fillvalue=""))[:_MOST_STEPS]:
        row = PathRow(period.strip()[:10], amount.strip()[:30])
        if row.period or row.amount:
            try:
                row.step = Period.parse(row.period) if row.period else None
                row.value = vietnamese.parse_number(row.amount) if row.amount else None
            except (BadPeriod, vietnamese.NotANumber) as reason:
                row.error = str(reason)
        rows.append(row)
    return rows


def _check_path(rows: list[PathRow], due: date | None) -> None:
    """Write beside each row what is wrong with it."""
    seen: set[str] = set()
    for row in rows:
        if row.error or not (row.period or row.amount):
            continue
        if row.step is None:
            row.error = "Chưa ghi kỳ. Ghi 2026-06, 2026-Q2 hoặc 2026, hoặc xóa cả dòng."
        elif row.value is None:
            row.error = "Chưa ghi mức của kỳ. Ghi một số, hoặc xóa cả dòng."
        elif abs(row.value) >= _MOST_AMOUNT:
            row.error = "Số quá lớn. Kiểm tra lại."
        elif row.step.key in seen:
            row.error = "Kỳ này đã có ở dòng trên. Giữ một dòng."
        elif due is not None and _last_day(row.step) > due:
            row.error = f"Kỳ kết thúc sau hạn của chỉ tiêu ({vietnamese.format_date(due)}). Chọn kỳ sớm hơn."
        if row.step is not None:
            seen.add(row.step.key)


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
    baseline_period = PeriodField(
        label="Kỳ gốc", required=False,
        help_text="Năm của mức gốc: 2025. Để trống mức gốc thì lấy số liệu của kỳ này.",
    )  # fmt: skip
    baseline_text = forms.CharField(label="Mức gốc như in", required=False, max_length=200)
    period = PeriodField(label="Kỳ phải đạt", required=False, help_text="2026, 2026-Q3 hoặc 2026-06.")
    due_on = DayField(label="Ngày phải đạt", required=False, help_text="Để trống: ngày cuối của kỳ.")
    leads = SomeOf(
        Organisation.objects.none(), label="Đơn vị chủ trì", required=False, widget=forms.CheckboxSelectMultiple
    )
    helpers = SomeOf(
        Organisation.objects.none(), label="Đơn vị phối hợp", required=False, widget=forms.CheckboxSelectMultiple
    )
    helpers_printed = forms.CharField(
        label="Đơn vị phối hợp khác", required=False, max_length=1000, widget=forms.Textarea({"rows": 2}),
        help_text="Đơn vị chưa có trong hệ thống, ghi như in; mỗi dòng một đơn vị.",
    )  # fmt: skip
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
                    "baseline", "baseline_text", "due_on", "section", "text", "note", "parts_check",
                    "accountable_text", "version",
                )
            }  # fmt: skip
            if source.baseline_period_start:
                initial["baseline_period"] = str(source.baseline_period_start.year)
            initial["metric"], initial["subject"] = source.metric_id, source.subject_id
            if source.period_start:
                initial["period"] = Period(source.period_kind, source.period_start).key  # type: ignore[arg-type]
        if parent is not None:
            initial |= {"name": f"{parent.name}: ", "parts_check": "NONE", "amount": None, "text": "", "note": ""}
            initial |= {"baseline": None, "baseline_text": "", "version": None}
        self.held = list(target.units.select_related("organisation").order_by("id")) if target is not None else []
        for name, role in (("leads", TargetUnit.Role.LEAD), ("helpers", TargetUnit.Role.COOPERATE)):
            initial[name] = [one.organisation_id for one in self.held if one.role == role and one.organisation_id]
        initial["helpers_printed"] = "\n".join(
            one.name_as_printed for one in self.held if one.role != TargetUnit.Role.LEAD and not one.organisation_id
        )
        super().__init__(data, initial=initial)
        self.target = target
        self.path_rows = _read_path(data) if data is not None else _path_of(target)
        subjects = list_subjects(person, plan)
        if source is not None:
            said = str(source.subject_id)
            if not any(said in (value, *dict(more if isinstance(more, list) else ())) for value, more in subjects):
                subjects = [(said, source.subject.name), *subjects]
        self.fields["subject"].choices = subjects  # type: ignore[attr-defined]
        organisations = Organisation.objects.filter(pk__in=access.visible_subject_ids(person))
        if target is not None:
            held = [one.organisation_id for one in self.held if one.organisation_id]
            organisations = organisations | Organisation.objects.filter(pk__in=held)
        for name in ("leads", "helpers"):
            self.fields[name].queryset = organisations.select_related("subject").order_by("subject__name").distinct()  # type: ignore[attr-defined]
        if target is None:
            del self.fields["amendment"], self.fields["reason"]
        else:
            self.fields["amendment"].queryset = PlanAmendment.objects.filter(plan=plan)  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        metric = said.get("metric")
        is_share = said.get("unit") == "pct" and said.get("measured_as") == Target.MeasuredAs.GROWTH
        if metric is not None and not is_share and not plan_standings.is_same_unit(said.get("unit", ""), metric.unit):
            self.add_error(
                "unit", f"Số liệu đã chọn tính theo «{units.label(metric.unit) or metric.unit}». Chọn cùng đơn vị tính."
            )
        year = said.get("baseline_period")
        if year is not None and year.kind != "Y":
            self.add_error("baseline_period", "Kỳ gốc là một năm. Ghi năm bằng bốn chữ số, ví dụ 2025.")
        both = {one.pk for one in said.get("leads") or ()} & {one.pk for one in said.get("helpers") or ()}
        if both:
            self.add_error("helpers", "Một đơn vị không vừa chủ trì vừa phối hợp. Bỏ chọn ở một trong hai nơi.")
        due, period = said.get("due_on"), said.get("period")
        if due is None and period is not None:
            due = _last_day(period)
        _check_path(self.path_rows, due)
        if any(row.error for row in self.path_rows):
            self.add_error(None, "Tiến độ phải đạt có dòng cần sửa; xem lời nhắc ở từng dòng.")
        return said

    def units(self) -> list[plan_operations.Unit]:
        """Return the units chosen, with what is printed of them; those that are only printed stay."""
        said = self.cleaned_data
        printed = {(one.role, one.organisation_id): one.name_as_printed for one in self.held}
        found = []
        for name, role in (("leads", TargetUnit.Role.LEAD), ("helpers", TargetUnit.Role.COOPERATE)):
            found += [plan_operations.Unit(role, one, printed.get((role, one.pk), "")) for one in said[name]]
            if role == TargetUnit.Role.LEAD:
                found += [
                    plan_operations.lead(None, one.name_as_printed)
                    for one in self.held
                    if one.role == role and one.organisation_id is None
                ]
        names = [line.strip()[:200] for line in said["helpers_printed"].splitlines() if line.strip()]
        return found + [plan_operations.cooperate(None, name) for name in names]

    def path(self) -> list[plan_operations.Point] | None:
        """Return the steps typed, with the passages of those that were there; None if the form had no rows."""
        if not self.path_rows:
            return None
        passages = {}
        if self.target is not None:
            points = self.target.path.select_related("passage")
            passages = {(point.period_kind, point.period_start): point.passage for point in points}
        return [
            plan_operations.Point(row.step, row.value, passages.get((row.step.kind, row.step.start_date)))
            for row in self.path_rows
            if row.step is not None and row.value is not None
        ]

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
                    "decimals", "baseline", "baseline_text", "accountable_text", "section", "text", "parts_check",
                    "note",
                )
            },
            "subject": Subject.objects.get(pk=said["subject"]), "due_on": due,
        }  # fmt: skip


@dataclass
class ShareRow:
    """A row of the form that gives parts of a target to several at once."""

    candidate: plan_queries.Candidate
    typed: str
    amount: Decimal | None = None
    error: str = ""


class SharesForm(forms.Form):
    """Parts of one target for many subjects: an amount each, empty for none. Checked against the whole, then saved."""

    parts_check = forms.ChoiceField(label="Đối chiếu các phần", choices=Target.PartsCheck.choices)
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(
        self, data: QueryDict | None, *, target: Target, candidates: list[plan_queries.Candidate]
    ) -> None:  # fmt: skip
        check = target.parts_check
        if check == Target.PartsCheck.NONE and target.measured_as != Target.MeasuredAs.LEVEL and target.unit != "pct":
            check = Target.PartsCheck.SUM
        super().__init__(data, initial={"parts_check": check, "version": target.version})
        self.rows = [ShareRow(one, self._typed(data, one)) for one in candidates]

    @staticmethod
    def _typed(data: QueryDict | None, one: plan_queries.Candidate) -> str:
        if data is not None:
            return data.get(f"amount_{one.subject.pk}", "").strip()[:30]
        return vietnamese.format_number(one.given.normalize() + 0) if one.given is not None else ""

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        for row in self.rows:
            try:
                row.amount = vietnamese.parse_number(row.typed) if row.typed else None
            except vietnamese.NotANumber as reason:
                row.error = str(reason)
            else:
                if row.amount is not None and not 0 <= row.amount < _MOST_AMOUNT:
                    row.error = "Mức giao từ 0 trở lên và không quá lớn. Sửa số này."
        if any(row.error for row in self.rows):
            self.add_error(None, "Có mức giao chưa đọc được; xem lời nhắc ở từng dòng.")
        return said

    @property
    def digest(self) -> str:
        """What was typed, as one word: parts are saved only as they were checked."""
        said = repr([(row.candidate.subject.pk, row.typed) for row in self.rows] + [self.data.get("parts_check")])
        return hashlib.sha256(said.encode()).hexdigest()[:32]

    def shares(self) -> list[plan_operations.Share]:
        return [
            plan_operations.Share(row.candidate.subject, row.amount, row.candidate.lead) for row in self.rows
        ]  # fmt: skip


class JudgeForm(forms.Form):
    is_met = forms.TypedChoiceField(
        label="Kết quả", choices=[("1", "Đạt"), ("0", "Chưa đạt")], coerce=lambda text: text == "1",
        widget=forms.RadioSelect,
    )  # fmt: skip
    judged_on = DayField(label="Ngày đánh giá")
    text = forms.CharField(label="Nhận xét, căn cứ", max_length=600, widget=forms.Textarea({"rows": 3}))


class ProposalForm(forms.Form):
    organisation = forms.TypedChoiceField(label="Đơn vị đề xuất", coerce=int)
    cause_kind = forms.ChoiceField(label="Loại nguyên nhân", choices=Proposal.Cause.choices, widget=forms.RadioSelect)
    cause = forms.CharField(label="Nguyên nhân", max_length=4000, widget=forms.Textarea({"rows": 3}))
    solution = forms.CharField(label="Giải pháp", max_length=4000, widget=forms.Textarea({"rows": 4}))
    new_date = DayField(label="Thời hạn mới", required=False, help_text="Để trống nếu giữ nguyên hạn của chỉ tiêu.")
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
