"""The filters of the lists and the forms of tasks, inspections and campaigns."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import QueryDict

from machnuoc.core.choices import DayField, OneOf, SomeOf
from machnuoc.core.models import Person
from machnuoc.core.number_fields import WholeField
from machnuoc.places import access
from machnuoc.places.models import Organisation, Subject
from machnuoc.planning import task_operations, task_queries, task_rules, visibility
from machnuoc.planning.models import Campaign, Conclusion, Meeting, Plan, Task, TaskUnit
from machnuoc.planning.task_operations import Unit

EVIDENCE = frozenset({"pdf", "png", "jpeg", "docx", "xlsx"})
_ACCEPT = ".pdf,.png,.jpg,.jpeg,.docx,.xlsx"
_FILES_AT_MOST = 4  # settings.DATA_UPLOAD_MAX_NUMBER_FILES
_SEARCH = {"type": "search"}


class _FilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class Files(forms.FileField):
    """Up to four files; cleaned to a list. What they hold is checked by core.files."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            required=False, allow_empty_file=True, widget=_FilesInput({"accept": _ACCEPT, "multiple": True}), **kwargs
        )

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        given = [one for one in (data if isinstance(data, list | tuple) else [data]) if one]
        if len(given) > _FILES_AT_MOST:
            raise forms.ValidationError(f"Mỗi lần gửi được {_FILES_AT_MOST} tệp. Gửi phần còn lại ở lần sau.")
        return [super(Files, self).clean(one, initial) for one in given]


class _Organisations(SomeOf):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(Organisation.objects.none(), widget=forms.CheckboxSelectMultiple, required=False, **kwargs)

    def label_from_instance(self, obj: Organisation) -> str:
        return obj.subject.name


class _Organisation(OneOf):
    def label_from_instance(self, obj: Organisation) -> str:
        return obj.subject.name


def _nameable(person: Person) -> QuerySet[Organisation]:
    """Return the organisations that the person may name: in its scope or above it, still in being."""
    rows = Organisation.objects.filter(visibility.readable(person, "pk"), subject__valid_to__isnull=True)
    return rows.select_related("subject").order_by("subject__name")


# --- filters


class TaskFilter(forms.Form):
    """Shows what the list is filtered by. What the address asks for is read by `read_filters`."""

    q = forms.CharField(
        label="Tìm", required=False, max_length=100,
        widget=forms.TextInput(_SEARCH | {"placeholder": "Nội dung, sản phẩm, đơn vị, mục"}),
    )  # fmt: skip
    plan = forms.ChoiceField(label="Kế hoạch", required=False)
    unit = forms.ChoiceField(label="Đơn vị", required=False)
    state = forms.ChoiceField(label="Tình trạng", required=False, choices=[("", "Mọi tình trạng"), *Task.State.choices])
    timing = forms.ChoiceField(label="Thời gian", required=False, choices=[("", "Mọi loại"), *Task.Timing.choices])
    due = forms.ChoiceField(label="Hạn", required=False, choices=[("", "Mọi hạn"), *task_queries.DUE.items()])
    mine = forms.BooleanField(label="Của đơn vị tôi", required=False)

    def __init__(self, data: QueryDict, person: Person, *, without: Iterable[str] = ()) -> None:
        super().__init__(data)
        self.plans, self.units = task_queries.list_choices(person)
        self.fields["plan"].choices = [("", "Mọi kế hoạch"), *self.plans]  # type: ignore[attr-defined]
        self.fields["unit"].choices = [("", "Mọi đơn vị"), *self.units]  # type: ignore[attr-defined]
        for name in without:
            del self.fields[name]

    def describe(self, filters: task_queries.Filters) -> list[tuple[str, str]]:
        """Return the filters in words, for the sheet that the list is exported to."""
        rows = [
            ("Tìm", filters.q),
            ("Kế hoạch", next((name for pk, name in self.plans if pk == filters.plan), "")),
            ("Đơn vị", next((name for pk, name in self.units if pk == filters.unit), "")),
            ("Tình trạng", dict(Task.State.choices).get(filters.state, "")),
            ("Thời gian", dict(Task.Timing.choices).get(filters.timing, "")),
            ("Hạn", task_queries.DUE.get(filters.due, "")),
            ("Của đơn vị tôi", "có" if filters.mine else ""),
        ]
        return [(label, str(text)) for label, text in rows if text]


def _number(data: QueryDict, name: str) -> int:
    text = data.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def read_filters(data: QueryDict) -> task_queries.Filters:
    """Return what the address asks for; what makes no sense asks for nothing."""

    def one_of(name: str, allowed: Iterable[str]) -> str:
        return data.get(name, "") if data.get(name, "") in allowed else ""

    return task_queries.Filters(
        q=data.get("q", "")[:100].replace("\0", ""),
        plan=_number(data, "plan"),
        unit=_number(data, "unit"),
        state=one_of("state", Task.State.values),
        timing=one_of("timing", Task.Timing.values),
        due=one_of("due", task_queries.DUE),
        mine=bool(data.get("mine")),
        is_open=bool(data.get("open")),
    )


class KindFilter(forms.Form):
    """Filters of meetings and campaigns: words, kind, plan."""

    q = forms.CharField(
        label="Tìm", required=False, max_length=100,
        widget=forms.TextInput(_SEARCH | {"placeholder": "Tên, địa điểm, nội dung"}),
    )  # fmt: skip
    kind = forms.ChoiceField(label="Loại", required=False)
    plan = forms.ModelChoiceField(Plan.objects.none(), label="Kế hoạch", required=False, empty_label="Mọi kế hoạch")
    from_date = DayField(label="Từ ngày", required=False)
    to_date = DayField(label="Đến hết ngày", required=False)

    def __init__(self, data: QueryDict, person: Person, kinds: Iterable[tuple[str, Any]]) -> None:
        super().__init__(data)
        self.fields["kind"].choices = [("", "Mọi loại"), *kinds]  # type: ignore[attr-defined]
        self.fields["plan"].queryset = _plans(person)  # type: ignore[attr-defined]


def _plans(person: Person) -> QuerySet[Plan]:
    return Plan.objects.filter(visibility.readable(person, "territory_id")).order_by("short_name")


# --- tasks


class _Scoped(forms.Form):
    """A form whose thing lies in a subject that the person manages."""

    subject = forms.ModelChoiceField(
        Subject.objects.none(), label="Phạm vi", empty_label=None,
        help_text="Người thấy phạm vi này, và các đơn vị bên dưới, đọc được.",
    )  # fmt: skip

    def offer_subjects(self, person: Person, *also: Subject | None) -> None:
        """Offer the scopes that the person manages, and those of the thing itself and its plan that it may manage."""
        ids = set(access.list_scopes(person, "manage"))
        ids |= {one.pk for one in also if one is not None and access.may(person, "manage", one)}
        field: Any = self.fields["subject"]
        field.queryset = Subject.objects.filter(pk__in=ids).order_by("name")
        if len(ids) == 1:
            field.initial = next(iter(ids))


class TaskForm(_Scoped):
    plan = forms.ModelChoiceField(
        Plan.objects.none(), label="Kế hoạch", required=False, empty_label="Không thuộc kế hoạch nào"
    )
    number = forms.CharField(label="Số", max_length=20, required=False)
    section = forms.CharField(label="Mục", max_length=160, required=False, help_text="Mục của văn bản, nếu có.")
    content = forms.CharField(label="Nội dung", max_length=4000, widget=forms.Textarea({"rows": 4}))
    product = forms.CharField(
        label="Sản phẩm, kết quả", max_length=4000, required=False, widget=forms.Textarea({"rows": 2})
    )
    leads = _Organisations(label="Đơn vị chủ trì")
    leads_printed = forms.CharField(
        label="Đơn vị chủ trì khác, như in", required=False, widget=forms.Textarea({"rows": 2}),
        help_text="Mỗi dòng một tên: đơn vị chưa có trong hệ thống, hoặc tên nhóm như «Các Trạm cấp nước».",
    )  # fmt: skip
    cooperating = _Organisations(label="Đơn vị phối hợp")
    cooperating_printed = forms.CharField(
        label="Đơn vị phối hợp khác, như in", required=False, widget=forms.Textarea({"rows": 2})
    )
    timing = forms.ChoiceField(label="Thời gian", choices=Task.Timing.choices, initial=Task.Timing.BY_DATE)
    timing_as_printed = forms.CharField(label="Thời gian như in", max_length=200, required=False)
    starts_on = DayField(label="Bắt đầu", required=False)
    due_on = DayField(
        label="Hạn", required=False,
        help_text="Ngày cuối cùng còn được tính: «trước ngày 15/11» là 14/11, «chậm nhất ngày 14» là ngày 14.",
    )  # fmt: skip
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)
    field_order = ["plan", "subject"]

    def __init__(self, data: QueryDict | None, *, person: Person, task: Task | None, plan: Plan | None = None) -> None:
        super().__init__(data, initial=self._initial(task) if task else {"plan": plan.pk if plan else None})
        self.task = task
        for name in ("leads", "cooperating"):
            self.fields[name].queryset = self._units_of(person, task)  # type: ignore[attr-defined]
        self.fields["plan"].queryset = _plans(person)  # type: ignore[attr-defined]
        self.offer_subjects(person, task.subject if task else None, plan.territory if plan else None)

    @staticmethod
    def _units_of(person: Person, task: Task | None) -> QuerySet[Organisation]:
        rows = _nameable(person)
        if task is not None:  # those that lead already stay, wherever they are
            held = Organisation.objects.filter(task_units__task=task).select_related("subject")
            rows = (rows | held).distinct()
        return rows.order_by("subject__name")

    @staticmethod
    def _initial(task: Task) -> dict[str, Any]:
        fields = (
            "plan_id", "subject_id", "number", "section", "content", "product", "timing", "timing_as_printed",
            "starts_on", "due_on", "version",
        )  # fmt: skip
        initial = {name.removesuffix("_id"): getattr(task, name) for name in fields}
        units = list(task.units.all())
        for name, role in (("leads", TaskUnit.Role.LEAD), ("cooperating", TaskUnit.Role.COOPERATE)):
            own = [unit for unit in units if unit.role == role]
            initial[name] = [unit.organisation_id for unit in own if unit.organisation_id is not None]
            initial[f"{name}_printed"] = "\n".join(unit.name_as_printed for unit in own if unit.organisation_id is None)
        return initial

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("timing") == Task.Timing.BY_DATE and not cleaned.get("due_on"):
            self.add_error("due_on", "Thời gian là «trước ngày» thì cần ngày hạn.")
        starts_on, due_on = cleaned.get("starts_on"), cleaned.get("due_on")
        if starts_on and due_on and starts_on > due_on:
            self.add_error("starts_on", "Ngày bắt đầu sau hạn. Sửa một trong hai ngày.")
        return cleaned

    def units(self) -> list[Unit]:
        """Return the units as chosen; an organisation that was there keeps the name that its plan prints."""
        printed = {}
        if self.task is not None:
            printed = {(unit.role, unit.organisation_id): unit.name_as_printed for unit in self.task.units.all()}
        found: list[Unit] = []
        for name, role in (("leads", TaskUnit.Role.LEAD), ("cooperating", TaskUnit.Role.COOPERATE)):
            lines = [line.strip()[:200] for line in self.cleaned_data[f"{name}_printed"].splitlines() if line.strip()]
            found += [Unit(role, None, line) for line in dict.fromkeys(lines)]
            found += [Unit(role, one, printed.get((role, one.pk), "")) for one in self.cleaned_data[name]]
        return found


class ProgressForm(forms.Form):
    """What a unit says of its part: short enough for a phone."""

    unit = forms.TypedChoiceField(label="Đơn vị báo", coerce=int)
    state = forms.ChoiceField(
        label="Tình trạng", widget=forms.RadioSelect,
        choices=[(state, Task.State(state).label) for state in task_rules.UNIT_STATES],
    )  # fmt: skip
    share_pct = forms.IntegerField(
        label="Mức hoàn thành (%)", required=False, min_value=0, max_value=100,
        widget=forms.NumberInput({"inputmode": "numeric", "step": 1}),
    )  # fmt: skip
    text = forms.CharField(label="Kết quả", max_length=4000, widget=forms.Textarea({"rows": 4}))
    evidence = Files(label="Minh chứng", help_text="PDF, ảnh, Word, Excel; tối đa 4 tệp.")

    def __init__(self, data: QueryDict | None, uploaded: Any, *, units: list[TaskUnit]) -> None:
        super().__init__(data, uploaded, initial={"state": Task.State.DOING})
        choices = {unit.organisation.pk: unit.organisation for unit in units if unit.organisation is not None}
        self.fields["unit"].choices = [(pk, str(one)) for pk, one in choices.items()]  # type: ignore[attr-defined]
        self.organisations = choices
        if len(choices) == 1:
            self.fields["unit"].initial = next(iter(choices))
            self.fields["unit"].widget = forms.HiddenInput()

    def organisation(self) -> Organisation:
        return self.organisations[self.cleaned_data["unit"]]


class CommentForm(forms.Form):
    text = forms.CharField(label="Ý kiến", max_length=4000, widget=forms.Textarea({"rows": 3}))


class DecideForm(forms.Form):
    """What the manager decides about the whole task."""

    state = forms.ChoiceField(label="Quyết định", widget=forms.RadioSelect)
    reason = forms.CharField(label="Lý do", max_length=4000, widget=forms.Textarea({"rows": 3}))

    def __init__(self, data: QueryDict | None, *, is_closed: bool) -> None:
        super().__init__(data)
        reopen = [(Task.State.DOING, "Mở lại để đơn vị tiếp tục báo tiến độ")]
        close = [
            (Task.State.DONE, "Kết thúc: đã hoàn thành"), (Task.State.PAUSED, "Tạm dừng"),
            (Task.State.CANCELLED, "Không thực hiện nữa"),
        ]  # fmt: skip
        self.fields["state"].choices = reopen if is_closed else close  # type: ignore[attr-defined]


class HandOverForm(forms.Form):
    former = _Organisation(
        Organisation.objects.none(), label="Đơn vị đang chủ trì", required=False, empty_label="Chưa có trong hệ thống"
    )
    to = _Organisation(Organisation.objects.none(), label="Chuyển cho")
    on_date = DayField(label="Từ ngày")
    reason = forms.CharField(label="Lý do", max_length=300, widget=forms.Textarea({"rows": 3}))
    version = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, data: QueryDict | None, *, task: Task, person: Person, today: date) -> None:
        super().__init__(data, initial={"on_date": today, "version": task.version})
        leads = Organisation.objects.filter(task_units__task=task, task_units__role=TaskUnit.Role.LEAD)
        former: Any = self.fields["former"]
        former.queryset = leads.select_related("subject").order_by("subject__name")
        ids = list(leads.values_list("pk", flat=True))
        if ids:
            former.required, former.empty_label = True, None
        if len(ids) == 1:
            former.initial = ids[0]
        self.fields["to"].queryset = _nameable(person).exclude(pk__in=ids)  # type: ignore[attr-defined]


class UploadTasks(_Scoped):
    plan = forms.ModelChoiceField(Plan.objects.none(), label="Kế hoạch", empty_label=None)
    file = forms.FileField(
        label="Tệp nhiệm vụ", help_text="Tệp .xlsx hoặc .csv theo mẫu, tối đa 20.000 dòng.", allow_empty_file=True,
        widget=forms.ClearableFileInput({"accept": ".xlsx,.csv"}), error_messages={"required": "Chọn tệp cần nhập."},
    )  # fmt: skip
    field_order = ["plan", "subject", "file"]

    def __init__(self, data: QueryDict | None, uploaded: Any, *, person: Person) -> None:
        super().__init__(data, uploaded)
        self.fields["plan"].queryset = _plans(person)  # type: ignore[attr-defined]
        self.offer_subjects(person)


# --- inspections and meetings


class MeetingForm(_Scoped):
    kind = forms.ChoiceField(label="Loại", choices=Meeting.Kind.choices)
    title = forms.CharField(label="Tên", max_length=300)
    host = _Organisation(Organisation.objects.none(), label="Đơn vị chủ trì")
    plan = forms.ModelChoiceField(Plan.objects.none(), label="Kế hoạch", required=False, empty_label="Không gắn")
    task = forms.ModelChoiceField(
        Task.objects.none(), label="Theo nhiệm vụ", required=False, empty_label="Không gắn",
        help_text="Nhiệm vụ yêu cầu cuộc kiểm tra, họp này.",
    )  # fmt: skip
    held_on = DayField(label="Ngày")
    place = forms.CharField(label="Địa điểm", max_length=200, required=False)
    attendance = forms.CharField(
        label="Thành phần", max_length=4000, required=False, widget=forms.Textarea({"rows": 2})
    )
    minutes = forms.CharField(label="Nội dung", max_length=20000, required=False, widget=forms.Textarea({"rows": 5}))
    new_conclusions = forms.CharField(
        label="Kết luận mới", max_length=20000, required=False, widget=forms.Textarea({"rows": 4}),
        help_text="Mỗi dòng một kết luận. Sau khi lưu, giao từng kết luận thành nhiệm vụ.",
    )  # fmt: skip
    evidence = Files(label="Tệp kèm theo", help_text="Biên bản, ảnh, bảng số liệu; tối đa 4 tệp một lần.")
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)
    field_order = ["kind", "title", "host", "held_on", "place", "plan", "task", "subject"]

    def __init__(
        self,
        data: QueryDict | None,
        uploaded: Any,
        *,
        person: Person,
        meeting: Meeting | None,
        plan: Plan | None = None,
    ) -> None:
        names = ("kind", "title", "host", "plan", "task", "subject", "held_on", "place", "attendance", "minutes")
        initial: dict[str, Any] = {"plan": plan}
        if meeting is not None:
            initial = {name: getattr(meeting, name) for name in names} | {"version": meeting.version}
        super().__init__(data, uploaded, initial=initial)
        self.meeting = meeting
        self.fields["host"].queryset = _nameable(person)  # type: ignore[attr-defined]
        self.fields["plan"].queryset = _plans(person)  # type: ignore[attr-defined]
        tasks = task_operations.list_readable(person)
        self.fields["task"].queryset = tasks.filter(state__in=task_queries.OPEN)[:200] if data is None else tasks  # type: ignore[attr-defined]
        self.offer_subjects(person, meeting.subject if meeting else None)
        self.held: list[Conclusion] = list(meeting.conclusions.select_related("task")) if meeting else []
        for row in self.held:
            self.fields[f"conclusion_{row.pk}"] = forms.CharField(
                label=f"Kết luận {row.order}", initial=row.text, max_length=4000, required=row.task_id is not None,
                widget=forms.Textarea({"rows": 2}),
                help_text="Đã giao thành nhiệm vụ." if row.task_id else "Để trống để bỏ kết luận này.",
            )  # fmt: skip
        self.order_fields([*self.field_order, *(f"conclusion_{row.pk}" for row in self.held), "new_conclusions"])

    def conclusions(self) -> list[tuple[int | None, str]]:
        kept: list[tuple[int | None, str]] = [(row.pk, self.cleaned_data[f"conclusion_{row.pk}"]) for row in self.held]
        fresh = [line.strip().lstrip("-+•").strip() for line in self.cleaned_data["new_conclusions"].splitlines()]
        return [*kept, *((None, line) for line in fresh if line)]


class GiveOutForm(forms.Form):
    """A conclusion becomes a task."""

    content = forms.CharField(label="Nội dung nhiệm vụ", max_length=4000, widget=forms.Textarea({"rows": 3}))
    leads = _Organisations(label="Đơn vị chủ trì")
    due_on = DayField(label="Hạn", required=False, help_text="Ngày cuối cùng còn được tính. Không có hạn thì để trống.")

    def __init__(self, data: QueryDict | None, *, person: Person, conclusion: Conclusion) -> None:
        super().__init__(data, initial={"content": conclusion.text})
        self.fields["leads"].queryset = _nameable(person)  # type: ignore[attr-defined]
        self.fields["leads"].required = True
        self.fields["leads"].error_messages["required"] = "Chọn ít nhất một đơn vị chủ trì."


# --- campaigns


class CampaignForm(forms.Form):
    kind = forms.ChoiceField(label="Loại", choices=Campaign.Kind.choices)
    title = forms.CharField(label="Tên", max_length=300)
    organisation = _Organisation(Organisation.objects.none(), label="Đơn vị tổ chức")
    subject = forms.ModelChoiceField(
        Subject.objects.none(), label="Nơi tổ chức", required=False, empty_label="Theo địa bàn của đơn vị"
    )
    place = forms.CharField(label="Địa điểm", max_length=200, required=False)
    from_date = DayField(label="Từ ngày")
    to_date = DayField(label="Đến hết ngày")
    audience = forms.CharField(label="Đối tượng", max_length=200)
    expected_count = WholeField(label="Số người dự kiến", required=False, min_value=0, max_value=10_000_000)
    reached_count = WholeField(label="Số người tham gia", required=False, min_value=0, max_value=10_000_000)
    result = forms.CharField(label="Kết quả", max_length=10000, required=False, widget=forms.Textarea({"rows": 4}))
    plan = forms.ModelChoiceField(Plan.objects.none(), label="Kế hoạch", required=False, empty_label="Không gắn")
    task = forms.ModelChoiceField(Task.objects.none(), label="Theo nhiệm vụ", required=False, empty_label="Không gắn")
    evidence = Files(label="Tệp kèm theo", help_text="Ảnh, danh sách, tài liệu; tối đa 4 tệp một lần.")
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(
        self,
        data: QueryDict | None,
        uploaded: Any,
        *,
        person: Person,
        campaign: Campaign | None,
        plan: Plan | None = None,
    ) -> None:
        names = (
            "kind", "title", "organisation", "subject", "place", "from_date", "to_date", "audience", "expected_count",
            "reached_count", "result", "plan", "task",
        )  # fmt: skip
        initial: dict[str, Any] = {"plan": plan}
        if campaign is not None:
            initial = {name: getattr(campaign, name) for name in names} | {"version": campaign.version}
        super().__init__(data, uploaded, initial=initial)
        mine = list_acting_organisations(person)
        self.fields["organisation"].queryset = mine  # type: ignore[attr-defined]
        ids = list(mine.values_list("pk", flat=True)[:2])
        if len(ids) == 1:
            self.fields["organisation"].initial = ids[0]
        self.fields["plan"].queryset = _plans(person)  # type: ignore[attr-defined]
        tasks = task_operations.list_readable(person)
        self.fields["task"].queryset = tasks.filter(state__in=task_queries.OPEN)[:200] if data is None else tasks  # type: ignore[attr-defined]
        scopes = set(access.list_scopes(person, "enter")) | set(access.list_scopes(person, "manage"))
        places = Subject.objects.filter(pk__in=scopes)
        if campaign is not None:
            places |= Subject.objects.filter(pk=campaign.subject_id)
        self.fields["subject"].queryset = places.order_by("name")  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("from_date") and cleaned.get("to_date") and cleaned["to_date"] < cleaned["from_date"]:
            self.add_error("to_date", "Ngày kết thúc trước ngày bắt đầu. Sửa một trong hai ngày.")
        if cleaned.get("subject") is None and cleaned.get("organisation") is not None:
            cleaned["subject"] = cleaned["organisation"].subject
        return cleaned


def list_acting_organisations(person: Person) -> QuerySet[Organisation]:
    """Return the organisations for which the person enters or which it manages."""
    scopes = access.visible_subject_ids(person, "enter") | access.visible_subject_ids(person, "manage")
    rows = Organisation.objects.filter(pk__in=scopes, subject__valid_to__isnull=True)
    return rows.select_related("subject").order_by("subject__name")
