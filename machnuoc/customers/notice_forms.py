"""Forms of notices to customers: filters, writing one, withdrawing it."""

from datetime import datetime
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils import timezone

from machnuoc.core.choices import MomentField, SomeOf
from machnuoc.core.models import Person
from machnuoc.customers import connection_forms
from machnuoc.customers.models import Route, ServiceNotice
from machnuoc.customers.notice_operations import NoticeFacts
from machnuoc.places.models import Subject
from machnuoc.works.models import Work

_SEVERAL = "Giữ Ctrl (hoặc Cmd) để chọn nhiều."


class _Works(SomeOf):
    def label_from_instance(self, obj: Work) -> str:
        return obj.subject.name


class _Places(SomeOf):
    def label_from_instance(self, obj: Subject) -> str:
        return obj.name


class _Routes(SomeOf):
    def label_from_instance(self, obj: Route) -> str:
        return f"{obj.code} · {obj.name}"


class NoticeFilter(forms.Form):
    q = forms.CharField(
        label="Tìm", required=False, max_length=100,
        widget=forms.TextInput({"type": "search", "placeholder": "Tiêu đề, nội dung"}),
    )  # fmt: skip
    kind = forms.ChoiceField(label="Loại", required=False, choices=[("", "Mọi loại"), *ServiceNotice.Kind.choices])
    state = forms.ChoiceField(
        label="Tình trạng", required=False,
        choices=[("", "Tất cả"), ("live", "Đang và sắp tới"), ("withdrawn", "Đã rút")],
    )  # fmt: skip

    def value(self, name: str) -> str:
        self.is_valid()
        return str(self.cleaned_data.get(name) or "").replace("\0", "")


class NoticeForm(forms.Form):
    kind = forms.ChoiceField(label="Loại", choices=ServiceNotice.Kind.choices)
    title = forms.CharField(label="Tiêu đề", min_length=5, max_length=160)
    text = forms.CharField(
        label="Nội dung", min_length=10, max_length=2_000, widget=forms.Textarea({"rows": 4}),
        help_text="Việc gì, vì sao, khách hàng nên làm gì. Không ghi tên, điện thoại của khách hàng nào.",
    )  # fmt: skip
    starts_at = MomentField(label="Từ lúc")
    ends_at = MomentField(label="Đến lúc", required=False, help_text="Ngừng cấp nước: bắt buộc, lúc dự kiến có lại.")
    works = _Works(Work.objects.none(), label="Công trình", help_text=_SEVERAL)
    places = _Places(
        Subject.objects.none(), label="Chỉ ở xã, phường", required=False,
        help_text=f"Để trống: mọi khách hàng của công trình. {_SEVERAL}",
    )  # fmt: skip
    routes = _Routes(Route.objects.none(), label="Chỉ ở tuyến", required=False, help_text=_SEVERAL)
    is_to_be_sent = forms.BooleanField(label="Nhắn tin cho khách hàng đã đồng ý nhận tin", required=False)

    def __init__(self, data: QueryDict | None, *, person: Person) -> None:
        super().__init__(data)
        works = connection_forms.works_of(person, "serve").filter(operator__isnull=False)
        self.fields["works"].queryset = works  # type: ignore[attr-defined]
        self.fields["places"].queryset = connection_forms.communes(works)  # type: ignore[attr-defined]
        routes = Route.objects.filter(work__in=works).order_by("code")
        self.fields["routes"].queryset = routes  # type: ignore[attr-defined]

    def facts(self) -> NoticeFacts:
        said = self.cleaned_data
        return NoticeFacts(
            said["kind"], said["title"], said["text"], list(said["works"]), _aware(said["starts_at"]),
            _aware(said["ends_at"]) if said["ends_at"] else None, list(said["places"]), list(said["routes"]),
        )  # fmt: skip


def _aware(moment: Any) -> datetime:
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment


class WithdrawForm(forms.Form):
    reason = forms.CharField(
        label="Lý do rút", min_length=3, max_length=300, help_text="Khách hàng đọc được lý do này."
    )
