"""Filters and forms of places, organisations, people and grants."""

import re
from datetime import date
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from machnuoc.core import folding
from machnuoc.core.models import Person
from machnuoc.places import queries
from machnuoc.places.models import AdministrativeUnit, Grant, Organisation, Subject

_KEY_IN_BRACKETS = re.compile(r"\[([\w.-]+)\]\s*$")
_SEARCH = {"type": "search"}


def option_text(subject: Subject) -> str:
    """Return what stands in a subject box: a name for the reader, the key for the program."""
    return f"{queries.subject_label(subject)} [{subject.key}]"


class SubjectField(forms.CharField):
    """A box for one subject: typed by name, offered from `suggest_url` while typing, decided on the server.

    `among` says which subjects may be chosen at all; others are as if they did not exist.
    """

    among: QuerySet[Subject]

    def __init__(self, *, suggest: str, **kwargs: Any) -> None:
        super().__init__(max_length=300, **kwargs)
        self.suggest = suggest
        self.among = Subject.objects.none()

    def offer(self, name: str) -> None:
        """Let the browser offer names from the list that stands beside the box (see places/parts/subject_box.html)."""
        self.widget.attrs.update(
            {
                "list": f"{name}-offers",
                "autocomplete": "off",
                "hx-get": reverse(self.suggest),
                "hx-trigger": "input changed delay:250ms",
                "hx-target": f"#{name}-offers",
                "hx-vals": f'{{"box": "{name}"}}',
            }
        )

    def clean(self, value: Any) -> Subject | None:
        text = super().clean(value)
        if not text:
            return None
        among = self.among.select_related("unit__parent", "organisation__parent__subject")
        found = _KEY_IN_BRACKETS.search(text)
        if found:
            subject = among.filter(key=found[1]).first()
            if subject is None:
                raise forms.ValidationError(f"Không có nơi nào «{text}» trong phạm vi của bạn. Gõ lại tên rồi chọn.")
            return subject
        rows = queries.find_subjects(text, self.among)
        if not rows:
            raise forms.ValidationError(f"Không tìm thấy «{text}». Gõ một phần tên, có dấu hay không đều được.")
        named = [row for row in rows if folding.fold(text) in _names(row)]
        if len(named) == 1:
            return named[0]
        # Even a single likely one is asked about: a right given in the wrong place is worse than one more click.
        names = "; ".join(option_text(row) for row in (named or rows)[:6])
        raise forms.ValidationError(f"Chưa rõ «{text}» là nơi nào. Chép một trong các dòng này vào ô: {names}.")


def _names(subject: Subject) -> set[str]:
    own = {subject.name, queries.subject_label(subject)}
    if subject.kind == Subject.Kind.UNIT:
        own.add(subject.unit.full_name)
    return {folding.fold(name) for name in own}


def _province_choices() -> list[tuple[str, str]]:
    rows = queries.list_provinces().values_list("subject__key", "full_name")
    return [("", "Cả nước"), *sorted(rows, key=lambda row: queries.sort_key(row[1]))]


class UnitFilter(forms.Form):
    q = forms.CharField(
        label="Tìm",
        required=False,
        max_length=100,
        widget=forms.TextInput(attrs={**_SEARCH, "placeholder": "Tên hoặc mã, có dấu hay không dấu"}),
    )
    level = forms.ChoiceField(label="Cấp", required=False, choices=[("", "Mọi cấp"), *AdministrativeUnit.Level.choices])
    province = forms.ChoiceField(label="Tỉnh, thành phố", required=False)
    status = forms.ChoiceField(
        label="Hiệu lực",
        required=False,
        choices=[("", "Đang có hiệu lực"), ("former", "Đơn vị cũ"), ("all", "Tất cả")],
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["province"].choices = _province_choices()  # type: ignore[attr-defined]


class MapFilter(forms.Form):
    province = forms.ChoiceField(label="Tỉnh, thành phố", required=False)
    layer = forms.MultipleChoiceField(label="Vẽ", required=False, widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: Any, layers: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["province"].choices = _province_choices()  # type: ignore[attr-defined]
        self.fields["layer"].choices = layers  # type: ignore[attr-defined]


class OrganisationFilter(forms.Form):
    q = forms.CharField(
        label="Tìm",
        required=False,
        max_length=100,
        widget=forms.TextInput(attrs={**_SEARCH, "placeholder": "Tên tổ chức"}),
    )
    kind = forms.ChoiceField(label="Loại", required=False, choices=[("", "Mọi loại"), *Organisation.Kind.choices])
    territory = forms.ChoiceField(label="Địa bàn", required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["territory"].choices = _province_choices()  # type: ignore[attr-defined]


class OrganisationForm(forms.Form):
    name = forms.CharField(label="Tên", max_length=200)
    kind = forms.ChoiceField(label="Loại", choices=Organisation.Kind.choices)
    parent = forms.ChoiceField(label="Trực thuộc", required=False)
    territory = SubjectField(
        label="Địa bàn",
        required=False,
        suggest="places:suggest_units",
        help_text="Gõ tên xã, phường hoặc tỉnh rồi chọn trong danh sách hiện ra.",
    )
    address = forms.CharField(label="Địa chỉ", max_length=300, required=False)
    phone = forms.CharField(label="Điện thoại", max_length=40, required=False)
    email = forms.EmailField(label="Thư điện tử", required=False)
    website = forms.URLField(label="Trang thông tin", required=False, assume_scheme="https")
    note = forms.CharField(label="Ghi chú", max_length=500, required=False, widget=forms.Textarea(attrs={"rows": 3}))
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(
        self, *args: Any, parents: list[Organisation], can_move: bool, needs_place: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        choices = [(str(row.pk), row.subject.name) for row in parents]
        choices.sort(key=lambda row: queries.sort_key(row[1]))
        self.fields["parent"].choices = [("", "Không trực thuộc tổ chức nào"), *choices]  # type: ignore[attr-defined]
        territory = self.fields["territory"]
        territory.among = Subject.objects.filter(kind=Subject.Kind.UNIT, unit__is_in_force=True)  # type: ignore[attr-defined]
        territory.offer("territory")  # type: ignore[attr-defined]
        self.needs_place = needs_place
        self.parents = {row.pk: row for row in parents}
        if not can_move:
            del self.fields["parent"], self.fields["territory"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "parent" in cleaned:
            cleaned["parent"] = self.parents[int(cleaned["parent"])] if cleaned["parent"] else None
        return cleaned


class PeopleFilter(forms.Form):
    q = forms.CharField(
        label="Tìm",
        required=False,
        max_length=100,
        widget=forms.TextInput(attrs={**_SEARCH, "placeholder": "Họ tên, tên đăng nhập, chức vụ"}),
    )
    role = forms.ChoiceField(label="Vai trò", required=False, choices=[("", "Mọi vai trò"), *Grant.Role.choices])
    state = forms.ChoiceField(
        label="Tình trạng",
        required=False,
        choices=[
            ("", "Tất cả"),
            ("active", "Còn hoạt động"),
            ("inactive", "Đã ngừng"),
            ("without", "Chưa có quyền"),
            ("ending", "Quyền hết trong 14 ngày"),
        ],
    )


def _day(label: str, *, required: bool = False, help_text: str = "", initial: Any = None) -> forms.DateField:
    widget = forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})
    return forms.DateField(label=label, required=required, help_text=help_text, widget=widget, initial=initial)


class GrantForm(forms.Form):
    role = forms.ChoiceField(label="Vai trò", choices=[("", "Chọn vai trò"), *Grant.Role.choices])
    scope = SubjectField(
        label="Phạm vi",
        suggest="places:suggest_scopes",
        help_text="Địa bàn, tổ chức hoặc công trình: quyền có hiệu lực với mọi thứ nằm trong đó. "
        "Sở, ngành: giao thêm quyền ở chính tổ chức của sở để báo cáo nhiệm vụ, nghĩa vụ của mình.",
    )
    field = forms.ChoiceField(label="Lĩnh vực", choices=Grant.Field.choices, initial=Grant.Field.ALL)
    valid_from = _day("Từ ngày", help_text="Để trống: từ hôm nay.")
    valid_to = _day("Đến trước ngày", help_text="Để trống: không thời hạn.")

    def __init__(self, *args: Any, by: Person, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["scope"].among = queries.list_administered(by)  # type: ignore[attr-defined]
        self.fields["scope"].offer("scope")  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        start: date = cleaned.get("valid_from") or timezone.localdate()
        if cleaned.get("valid_to") and cleaned["valid_to"] <= start:
            self.add_error("valid_to", "Ngày kết thúc phải sau ngày bắt đầu.")
        return cleaned


class PersonForm(GrantForm):
    username = forms.RegexField(
        label="Tên đăng nhập",
        regex=r"^[a-z0-9][a-z0-9._-]{2,59}$",
        help_text="Chữ thường không dấu, số, dấu chấm, gạch; từ 3 ký tự.",
        error_messages={"invalid": "Tên đăng nhập chỉ gồm chữ thường không dấu, số, dấu chấm, gạch; từ 3 ký tự."},
        widget=forms.TextInput(attrs={"autocapitalize": "none", "spellcheck": "false", "autocomplete": "off"}),
    )
    full_name = forms.CharField(label="Họ và tên", max_length=120)
    title = forms.CharField(label="Chức vụ", max_length=120, required=False)
    email = forms.EmailField(label="Thư điện tử", required=False)
    phone = forms.CharField(label="Điện thoại", max_length=20, required=False)
    field_order = ["full_name", "username", "title", "email", "phone"]

    def __init__(self, *args: Any, needs_grant: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.needs_grant = needs_grant
        self.fields["role"].required = self.fields["scope"].required = needs_grant

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if "scope" in cleaned and bool(cleaned.get("role")) != bool(cleaned.get("scope")):
            missing = "scope" if cleaned.get("role") else "role"
            self.add_error(missing, "Điền cả vai trò và phạm vi, hoặc để trống cả hai.")
        return cleaned


class LoanForm(forms.Form):
    grant = forms.ModelChoiceField(label="Quyền của bạn", queryset=Grant.objects.none(), empty_label="Chọn quyền")
    to = forms.CharField(
        label="Người được ủy quyền",
        max_length=60,
        help_text="Tên đăng nhập của người thay bạn.",
        widget=forms.TextInput(attrs={"autocapitalize": "none", "spellcheck": "false", "autocomplete": "off"}),
    )
    valid_from = _day("Từ ngày", required=True)
    valid_to = _day("Đến trước ngày", required=True)

    def __init__(self, *args: Any, grants: QuerySet[Grant], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        box = self.fields["grant"]
        box.queryset = grants  # type: ignore[attr-defined]
        box.label_from_instance = lambda grant: (  # type: ignore[attr-defined]
            f"{grant.get_role_display()}, {queries.subject_label(grant.scope)} ({grant.get_field_display().lower()})"
        )

    def clean_to(self) -> Person:
        name = self.cleaned_data["to"].strip()
        person = Person.objects.filter(username__iexact=name, is_active=True).first()
        if person is None:
            raise forms.ValidationError(
                f"Không có tài khoản đang hoạt động nào tên «{name}». Hỏi người đó tên đăng nhập."
            )
        return person
