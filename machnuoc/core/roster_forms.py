"""Forms of duty rosters. People are offered only within what the one who fills them in oversees."""

from datetime import date
from typing import Any

from django import forms
from django.db.models import Q, QuerySet

from machnuoc.core import permissions, roster
from machnuoc.core.choices import DayField, MomentField, OneOf, SomeOf
from machnuoc.core.models import Person, Roster, SearchEntry, Shift
from machnuoc.core.number_fields import WholeField

ANSWERING = ("organisation", "work")  # kinds of the search entries of what may have a roster


def list_people(manager: Person) -> QuerySet[Person]:
    """Return whom the manager may put on duty: those with rights inside what the manager manages."""
    people = Person.objects.filter(is_active=True)
    overseen = permissions.list_overseen_ids(manager, "manage")
    return people if overseen is None else people.filter(Q(pk__in=overseen) | Q(pk=manager.pk))


class _Titled(OneOf):
    def label_from_instance(self, obj: SearchEntry) -> str:
        return obj.title


class _Named(OneOf):
    def label_from_instance(self, obj: Person) -> str:
        return _name(obj)


class _NamedSome(SomeOf):
    def label_from_instance(self, obj: Person) -> str:
        return _name(obj)


def _name(person: Person) -> str:
    return f"{person.full_name} ({person.title})" if person.title else person.full_name


class NewRoster(forms.Form):
    """What the roster answers for, and its name."""

    def __init__(self, *args: Any, manager: Person, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        subjects = SearchEntry.objects.filter(
            kind__in=ANSWERING, subject_id__in=permissions.list_subject_ids(manager, "manage")
        ).exclude(subject_id__in=Roster.objects.values("subject_id"))
        self.fields["subject"] = _Titled(
            subjects.order_by("title"),
            label="Trực cho",
            help_text="Trạm, công trình hoặc tổ chức. Cảnh báo của công trình gọi lịch trực gần nhất phía trên nó.",
        )
        self.fields["name"] = forms.CharField(label="Tên lịch trực", max_length=160)


class Settings(forms.Form):
    act = forms.CharField(widget=forms.HiddenInput, initial="settings")
    name = forms.CharField(label="Tên lịch trực", max_length=160)
    webhook_url = forms.CharField(
        label="Gửi cả đến địa chỉ web", max_length=300, required=False,
        help_text="Địa chỉ https:// công khai của hệ thống khác; mỗi tin kèm chữ ký HMAC.",
    )  # fmt: skip


class AddShift(forms.Form):
    act = forms.CharField(widget=forms.HiddenInput, initial="shift")

    def __init__(self, *args: Any, manager: Person, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["person"] = _Named(list_people(manager), label="Người trực")
        self.fields["weekdays"] = forms.TypedMultipleChoiceField(
            label="Các thứ", choices=Shift.Weekday.choices, coerce=int, widget=forms.CheckboxSelectMultiple
        )
        clock = forms.TimeInput({"type": "time"}, "%H:%M")
        self.fields["start"] = forms.TimeField(label="Từ giờ", widget=clock)
        self.fields["end"] = forms.TimeField(
            label="Đến giờ", widget=clock, help_text="Không sau giờ bắt đầu nghĩa là sang hôm sau."
        )
        self.fields["valid_from"] = DayField(label="Từ ngày", required=False)
        self.fields["valid_to"] = DayField(label="Đến trước ngày", required=False)


class AddOverride(forms.Form):
    act = forms.CharField(widget=forms.HiddenInput, initial="override")

    def __init__(self, *args: Any, manager: Person, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people = list_people(manager)
        self.fields["person"] = _Named(people, label="Người trực thay")
        self.fields["instead_of"] = _Named(
            people, label="Thay cho", required=False, empty_label="Tất cả người đang trực"
        )
        self.fields["from_at"] = MomentField(label="Từ lúc")
        self.fields["until"] = MomentField(label="Đến lúc")
        self.fields["reason"] = forms.CharField(label="Lý do", max_length=200, required=False)


class SetLevel(forms.Form):
    act = forms.CharField(widget=forms.HiddenInput, initial="level")

    def __init__(self, *args: Any, manager: Person, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        levels = [(level, f"Cấp {level}") for level in range(2, roster.LEVELS_AT_MOST + 1)]
        self.fields["level"] = forms.TypedChoiceField(label="Cấp", choices=levels, coerce=int)
        self.fields["after_min"] = WholeField(
            label="Gọi sau (phút)", min_value=1, max_value=1_440, initial=15,
            help_text="kể từ khi gọi cấp trước mà chưa ai nhận cảnh báo khẩn cấp",
        )  # fmt: skip
        self.fields["people"] = _NamedSome(
            list_people(manager), label="Người được gọi", required=False, help_text="Không chọn ai: bỏ cấp này."
        )


def read_week(text: str, today: date) -> date:
    """Return the Monday of the week that holds the day written in the address, or today."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = today
    if not 2000 <= day.year <= 2199:
        day = today
    return date.fromordinal(day.toordinal() - day.weekday())
