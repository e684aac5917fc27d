"""Forms of report duties: the filter, the rule editor, what is done with one instance."""

import re
from collections.abc import Iterable
from datetime import date
from typing import Any

from django import forms
from django.http import QueryDict

from machnuoc.core.choices import DayField
from machnuoc.core.models import Passage, Person
from machnuoc.core.periods import BadPeriod, Period
from machnuoc.indicators.models import PeriodKind
from machnuoc.places import access
from machnuoc.places.models import Organisation, Subject
from machnuoc.planning import duty_rules, visibility
from machnuoc.planning.duty_queries import Filters
from machnuoc.planning.duty_rules import STATE_LABELS, Terms
from machnuoc.planning.models import Duty, Plan

_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
REPORT_KINDS = (
    ("", "Không có mẫu"),
    ("qn_monthly", "Kết quả tháng (Kế hoạch 79/KH-TTNS)"),
    ("qn_quarterly", "Kết quả quý (Kế hoạch 79/KH-TTNS)"),
    ("cb_annual", "Cấp nước đô thị hằng năm"),
    ("commune_indicators", "Bộ chỉ số nước sạch nông thôn của xã"),
    ("safe_water_half", "Cấp nước an toàn 6 tháng"),
    ("safe_water_annual", "Cấp nước an toàn năm"),
    ("ntm_quarterly", "Nông thôn mới hằng quý"),
)


# What the rule editor proposes, each with its words beside it.
EXAMPLES = (
    Terms("FREQ=MONTHLY;BYMONTHDAY=14"),
    Terms("FREQ=MONTHLY;BYMONTH=3,6,9,12;BYMONTHDAY=14"),
    Terms("FREQ=MONTHLY;BYMONTHDAY=-1"),
    Terms("FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=15"),
    Terms("FREQ=MONTHLY;BYMONTH=6,12;BYMONTHDAY=-1"),
    Terms("FREQ=WEEKLY;BYDAY=MO"),
    Terms("FREQ=MONTHLY;BYDAY=-1FR"),
)


class DutyFilter(forms.Form):
    """Shows what list and calendar are filtered by. What the address asks for is read by `read_filters`."""

    q = forms.CharField(
        label="Tìm", required=False, max_length=100,
        widget=forms.TextInput({"type": "search", "placeholder": "Tên báo cáo, đơn vị…"}),
    )  # fmt: skip
    organisation = forms.ChoiceField(label="Đơn vị báo cáo", required=False)
    plan = forms.ChoiceField(label="Kế hoạch", required=False)
    duty = forms.ChoiceField(label="Nghĩa vụ", required=False)
    state = forms.ChoiceField(
        label="Tình trạng", required=False, choices=[("", "Mọi tình trạng"), *STATE_LABELS.items()]
    )
    month = forms.CharField(label="Tháng", required=False, widget=forms.TextInput({"type": "month"}))

    def __init__(self, data: QueryDict, choices: dict[str, list[tuple[int, str]]], *, view: str) -> None:
        super().__init__(data)
        everything = {"organisation": "Mọi đơn vị", "plan": "Mọi kế hoạch", "duty": "Mọi nghĩa vụ"}
        for name, title in everything.items():
            options = [(str(pk), text) for pk, text in choices[name]]
            self.fields[name].choices = [("", title), *options]  # type: ignore[attr-defined]
            if len(options) < 2 and not data.get(name):
                del self.fields[name]
        if view == "calendar":
            del self.fields["q"]
            self.fields["month"].widget = forms.HiddenInput()


def read_filters(data: QueryDict) -> Filters:
    """Return what the address asks for; what makes no sense asks for nothing."""

    def number(name: str) -> int:
        text = data.get(name, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0

    month = data.get("month", "")
    known = _MONTH.fullmatch(month) and 1990 <= int(month[:4]) <= 2199
    return Filters(
        q=data.get("q", "")[:100],
        organisation=number("organisation"),
        plan=number("plan"),
        duty=number("duty"),
        state=data.get("state", "") if data.get("state", "") in STATE_LABELS else "",
        month=date(int(month[:4]), int(month[5:]), 1) if known else None,
    )


def describe_filters(filters: Filters, choices: dict[str, list[tuple[int, str]]]) -> list[tuple[str, str]]:
    """Return the filters in words, for the sheet that the list is exported to."""
    rows = [
        ("Tìm", filters.q),
        ("Đơn vị báo cáo", dict(choices["organisation"]).get(filters.organisation, "")),
        ("Kế hoạch", dict(choices["plan"]).get(filters.plan, "")),
        ("Nghĩa vụ", dict(choices["duty"]).get(filters.duty, "")),
        ("Tình trạng", next((label for state, label in STATE_LABELS.items() if state == filters.state), "")),
        ("Tháng", f"{filters.month:%m/%Y}" if filters.month else ""),
    ]
    return [(label, text) for label, text in rows if text]


def _choose(rows: Iterable[Organisation], empty: str) -> list[tuple[str, str]]:
    return [("", empty), *((str(row.pk), row.subject.name) for row in rows)]


def list_organisations(person: Person, today: date, *, keep: Iterable[int] = ()) -> list[Organisation]:
    """Return the organisations that a manager may name: visible and not ended; `keep` stay in any case."""
    rows = Organisation.objects.select_related("subject").order_by("subject__name")
    if not access.sees_everything(person):
        rows = rows.filter(pk__in=[*access.visible_subject_ids(person), *keep])
    kept = set(keep)
    return [row for row in rows if row.pk in kept or row.subject.valid_to is None or row.subject.valid_to > today]


class DutyForm(forms.Form):
    """The rule editor. Its dates are shown in words before saving, see duty_preview."""

    name = forms.CharField(label="Tên báo cáo", max_length=300)
    plan = forms.TypedChoiceField(label="Kế hoạch", required=False, coerce=int, empty_value=None)
    subject = forms.TypedChoiceField(
        label="Địa bàn", coerce=int, empty_value=None, help_text="Người trong địa bàn này đọc được nghĩa vụ."
    )
    timing = forms.ChoiceField(label="Loại", choices=Duty.Timing.choices)
    rule = forms.CharField(
        label="Quy tắc ngày", max_length=200, required=False,
        help_text="Viết bằng chữ: «ngày 14 hằng tháng», «ngày 14 tháng cuối quý», «15/11 hằng năm», «ngày cuối tháng»; "
        "hoặc quy tắc RFC 5545: FREQ=MONTHLY;BYMONTHDAY=14. Một lần: FREQ=YEARLY;COUNT=1, ngày ghi ở «Áp dụng từ».",
        widget=forms.TextInput({"spellcheck": "false", "autocomplete": "off", "list": "rule-examples"}),
    )  # fmt: skip
    edge = forms.ChoiceField(label="Mốc như in", choices=Duty.Edge.choices)
    edge_as_printed = forms.CharField(label="Nguyên văn thời hạn", max_length=200, required=False)
    starts_on = DayField(label="Áp dụng từ", required=False)
    ends_on = DayField(label="Áp dụng đến hết", required=False)
    shift = forms.ChoiceField(label="Khi trùng ngày nghỉ", choices=Duty.Shift.choices)
    grace_days = forms.IntegerField(label="Số ngày châm chước", min_value=0, max_value=60, initial=0)
    opens_days_before = forms.IntegerField(label="Mở trước hạn (ngày)", min_value=0, max_value=365, initial=14)
    covers = forms.ChoiceField(label="Kỳ báo cáo", choices=Duty.Covers.choices)
    period_kind = forms.ChoiceField(
        label="Loại kỳ", required=False,
        choices=[("", "–"), *((value, label) for value, label in PeriodKind.choices if value in "MQHY")],
    )  # fmt: skip
    units = forms.TypedMultipleChoiceField(
        label="Đơn vị phải báo cáo", coerce=int, required=False, widget=forms.CheckboxSelectMultiple
    )
    from_as_printed = forms.CharField(label="Đơn vị báo cáo như in", max_length=300, required=False)
    to_organisation = forms.TypedChoiceField(label="Gửi đến", required=False, coerce=int, empty_value=None)
    to_as_printed = forms.CharField(label="Gửi đến như in", max_length=300, required=False)
    channel = forms.CharField(label="Hình thức gửi", max_length=120, required=False)
    report_kind = forms.ChoiceField(label="Mẫu báo cáo", required=False, choices=REPORT_KINDS)
    passage = forms.TypedChoiceField(label="Căn cứ", required=False, coerce=int, empty_value=None)
    is_active = forms.BooleanField(label="Đang áp dụng", required=False, initial=True)
    note = forms.CharField(label="Ghi chú", required=False, widget=forms.Textarea({"rows": 3}))
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, person: Person, today: date, duty: Duty | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        held = [row.organisation_id for row in duty.units.all()] if duty else []
        recipient = [duty.to_organisation_id] if duty and duty.to_organisation_id else []
        self._organisations = {row.pk: row for row in list_organisations(person, today, keep=[*held, *recipient])}
        plans = Plan.objects.filter(visibility.readable(person, "territory_id")).select_related("document")
        self._plans = {plan.pk: plan for plan in plans}
        wanted = {duty.subject_id} if duty else set()
        scopes = access.list_scopes(person, "manage")
        territories = Subject.objects.filter(
            pk__in={
                *scopes,
                *wanted,
                *(plan.territory_id for plan in plans if access.may(person, "manage", plan.territory_id)),
            }
        )
        self._subjects = {row.pk: row for row in territories}
        passages = Passage.objects.filter(document__plans__in=self._plans).select_related("document")
        if duty is not None and duty.plan_id:
            passages = passages.filter(document__plans=duty.plan_id)
        elif duty is not None:
            passages = passages.filter(pk=duty.passage_id or 0)
        self._passages = {row.pk: row for row in passages}
        self._set("plan", [("", "Không thuộc kế hoạch nào"), *((str(pk), str(row)) for pk, row in self._plans.items())])
        self._set("subject", [("", "Chọn địa bàn"), *((str(pk), row.name) for pk, row in self._subjects.items())])
        owing = sorted(self._organisations.values(), key=lambda row: row.pk not in held)  # those that owe stand first
        self._set("units", [(str(row.pk), row.subject.name) for row in owing])
        self._set("to_organisation", _choose(self._organisations.values(), "Chưa có trong danh mục"))
        self._set(
            "passage",
            [("", "Không có căn cứ"), *((str(pk), f"{row.document.short_name}, {row.section}"[:120])
                                        for pk, row in self._passages.items())],
        )  # fmt: skip

    def _set(self, name: str, choices: list[tuple[str, str]]) -> None:
        self.fields[name].choices = choices  # type: ignore[attr-defined]

    @staticmethod
    def initial_of(duty: Duty) -> dict[str, Any]:
        fields = (
            "name", "timing", "rule", "edge", "edge_as_printed", "starts_on", "ends_on", "shift", "grace_days",
            "opens_days_before", "covers", "period_kind", "from_as_printed", "to_as_printed", "channel", "report_kind",
            "is_active", "note", "version",
        )  # fmt: skip
        return {
            **{field: getattr(duty, field) for field in fields},
            "plan": duty.plan_id, "subject": duty.subject_id, "passage": duty.passage_id,
            "to_organisation": duty.to_organisation_id, "units": [row.organisation_id for row in duty.units.all()],
        }  # fmt: skip

    def clean_rule(self) -> str:
        return duty_rules.from_words(self.cleaned_data["rule"])

    def said(self) -> dict[str, Any]:
        """Return the arguments of put_duty."""
        data = self.cleaned_data
        plain = (
            "name", "timing", "rule", "edge", "edge_as_printed", "starts_on", "ends_on", "shift", "grace_days",
            "opens_days_before", "covers", "period_kind", "from_as_printed", "to_as_printed", "channel", "report_kind",
            "is_active", "note",
        )  # fmt: skip
        return {
            **{name: data[name] for name in plain},
            "plan": self._plans.get(data["plan"]),
            "subject": self._subjects[data["subject"]],
            "units": [self._organisations[pk] for pk in data["units"]],
            "to_organisation": self._organisations.get(data["to_organisation"]),
            "passage": self._passages.get(data["passage"]),
        }


def read_terms(data: QueryDict) -> Terms:
    """Return what a form that is still being filled in says about its dates; odd values say nothing."""

    def day(name: str) -> date | None:
        try:
            return date.fromisoformat(data.get(name, ""))
        except ValueError:
            return None

    def number(name: str, default: int, most: int) -> int:
        text = data.get(name, "")
        return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 6 else default

    def one_of(name: str, allowed: Iterable[str], default: str) -> Any:
        return data.get(name, "") if data.get(name, "") in allowed else default

    kind = one_of("period_kind", "MQHY", "")
    return Terms(
        rule=duty_rules.from_words(data.get("rule", "")[:200]),
        edge=one_of("edge", Duty.Edge.values, "INCLUSIVE"),
        shift=one_of("shift", Duty.Shift.values, "NONE"),
        grace_days=number("grace_days", 0, 60),
        starts_on=day("starts_on"),
        ends_on=day("ends_on"),
        covers=one_of("covers", Duty.Covers.values, "NONE"),
        period_kind=kind,
        opens_days_before=number("opens_days_before", 14, 365),
    )


class SubmitForm(forms.Form):
    submitted_on = DayField(label="Ngày gửi")
    note = forms.CharField(
        label="Số văn bản, cách gửi", max_length=300, help_text="Ví dụ: 118/BC-TTNS, gửi qua trục liên thông văn bản."
    )


class ReasonForm(forms.Form):
    reason = forms.CharField(label="Lý do", max_length=300, widget=forms.Textarea({"rows": 2}))


class AdHocForm(forms.Form):
    """A report out of turn."""

    due_on = DayField(label="Hạn (tính cả ngày này)")
    reason = forms.CharField(
        label="Lý do, văn bản yêu cầu", max_length=300, widget=forms.Textarea({"rows": 2}),
    )  # fmt: skip
    period = forms.CharField(
        label="Kỳ số liệu", required=False, max_length=10, help_text="Nếu có: 2026, 2026-Q3, 2026-10."
    )
    organisations = forms.TypedMultipleChoiceField(
        label="Đơn vị phải báo cáo", coerce=int, widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, *args: Any, duty: Duty, today: date, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        units = duty.units.select_related("organisation__subject").order_by("organisation__subject__name")
        self._organisations = {
            unit.organisation_id: unit.organisation
            for unit in units
            if unit.organisation.subject.valid_to is None or unit.organisation.subject.valid_to > today
        }
        self.fields["organisations"].choices = [  # type: ignore[attr-defined]
            (str(pk), row.subject.name) for pk, row in self._organisations.items()
        ]
        if not self.is_bound:
            self.initial.setdefault("organisations", list(map(str, self._organisations)))

    def clean_period(self) -> Period | None:
        text = self.cleaned_data["period"].strip()
        try:
            return Period.parse(text) if text else None
        except BadPeriod as reason:
            raise forms.ValidationError(str(reason)) from reason

    def chosen(self) -> list[Organisation]:
        return [self._organisations[pk] for pk in self.cleaned_data["organisations"]]


class RecipientForm(forms.Form):
    """Who takes the place of a recipient that is no more."""

    organisation = forms.TypedChoiceField(label="Nơi nhận thay thế", coerce=int)
    version = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, person: Person, today: date, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._organisations = {row.pk: row for row in list_organisations(person, today)}
        self.fields["organisation"].choices = _choose(  # type: ignore[attr-defined]
            self._organisations.values(), "Chọn đơn vị kế tục"
        )

    def chosen(self) -> Organisation:
        return self._organisations[self.cleaned_data["organisation"]]
