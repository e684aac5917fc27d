"""Filters of the alarm pages and the forms of what people do about alarms and rules."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils import timezone

from machnuoc.core import folding
from machnuoc.core.choices import DayField, MomentField, OneOf, SomeOf
from machnuoc.core.models import Person
from machnuoc.core.number_fields import NumberField, WholeField
from machnuoc.places import access
from machnuoc.telemetry import alarm_rules
from machnuoc.telemetry.models import Alarm, AlarmRule, Channel, Device
from machnuoc.telemetry.quantities import QUANTITIES
from machnuoc.works.models import Work

_SEARCH = {"type": "search", "placeholder": "Trạm, kênh, nội dung"}
_PRIORITIES = [("", "Mọi mức"), *((str(value), label) for value, label in AlarmRule.Priority.choices)]
_CONDITIONS = 4  # rows of a combination in the form


def visible_works(person: Person, action: str = "view") -> Any:
    """Return the works that the person may see (or act on) and that have a device."""
    works = Work.objects.filter(devices__isnull=False).distinct().select_related("subject").order_by("subject__name")
    if access.sees_everything(person, action):
        return works
    return works.filter(pk__in=access.visible_subject_ids(person, action))


def visible_channels(person: Person, action: str = "view") -> Any:
    """Return the channels of works that the person may see (or act on)."""
    rows = Channel.objects.select_related("device__work__subject").order_by("device__work__subject__name", "name")
    if access.sees_everything(person, action):
        return rows
    return rows.filter(device__work_id__in=access.visible_subject_ids(person, action))


class _Work(OneOf):
    def label_from_instance(self, obj: Work) -> str:
        return obj.subject.name


def channel_label(channel: Channel) -> str:
    return f"{channel.device.work.subject.name} · {channel.name} ({channel.device.code})"


class _Channel(OneOf):
    def label_from_instance(self, obj: Channel) -> str:
        return channel_label(obj)


class _Channels(SomeOf):
    def label_from_instance(self, obj: Channel) -> str:
        return channel_label(obj)


class _Device(OneOf):
    def label_from_instance(self, obj: Device) -> str:
        return f"{obj.code} · {obj.name}"


# --- filters


class AlarmFilter(forms.Form):
    """Filters of the list of open alarms."""

    q = forms.CharField(label="Tìm", required=False, max_length=100, widget=forms.TextInput(_SEARCH))
    work = forms.ChoiceField(label="Trạm", required=False)
    priority = forms.ChoiceField(label="Mức ưu tiên", required=False, choices=_PRIORITIES)
    state = forms.ChoiceField(
        label="Tình trạng", required=False,
        choices=[("", "Mọi tình trạng"), *(one for one in Alarm.State.choices if one[0] != Alarm.State.NORMAL)],
    )  # fmt: skip

    def __init__(self, data: QueryDict, person: Person) -> None:
        super().__init__(data)
        works = visible_works(person).values_list("pk", "subject__name")
        self.works = sorted(works, key=lambda row: folding.sort_key(row[1]))
        self.fields["work"].choices = [("", "Mọi trạm"), *((str(pk), name) for pk, name in self.works)]  # type: ignore[attr-defined]

    def read(self) -> dict[str, str]:
        """Return what is asked for; what makes no sense asks for nothing."""
        self.is_valid()
        return {name: str(self.cleaned_data.get(name) or "").replace("\0", "") for name in self.fields}

    def unread(self) -> list[tuple[str, str]]:
        """Return (filter, what was given) of each that makes no sense and so narrows nothing."""
        self.is_valid()
        return [(str(self.fields[name].label), str(self.data.get(name, ""))[:100]) for name in self.errors]

    def describe(self) -> list[tuple[str, str]]:
        wanted = self.read()
        rows = []
        for name, text in wanted.items():
            shown = dict(getattr(self.fields[name], "choices", [])).get(text, text)
            if text:
                rows.append((str(self.fields[name].label), str(shown)))
        return rows


class HistoryFilter(AlarmFilter):
    """Filters of the list of what was."""

    state = None  # type: ignore[assignment]
    from_date = DayField(label="Từ ngày", required=False)
    to_date = DayField(label="Đến hết ngày", required=False)
    withdrawn = forms.BooleanField(label="Cả cảnh báo đã rút lại", required=False)


class RuleFilter(AlarmFilter):
    """Filters of the list of rules."""

    state = forms.ChoiceField(
        label="Tình trạng", required=False,
        choices=[("", "Mọi tình trạng"), ("on", "Đang dùng"), ("shelved", "Đang tạm gác"),
                 ("out", "Ngừng dùng"), ("off", "Đã tắt"), ("blind", "Chưa đủ số liệu để xét")],
    )  # fmt: skip
    kind = forms.ChoiceField(label="Loại", required=False, choices=[("", "Mọi loại"), *AlarmRule.Kind.choices])


class StatisticsFilter(forms.Form):
    days = forms.TypedChoiceField(
        label="Khoảng", coerce=int, required=False, empty_value=None,
        choices=[(1, "24 giờ qua"), (7, "7 ngày qua"), (30, "30 ngày qua"), (90, "90 ngày qua")], initial=30,
    )  # fmt: skip
    operators = NumberField(
        label="Số người trực cùng lúc", required=False, min_value=Decimal("0.1"), max_value=Decimal(500),
        help_text="Để trống: trung bình theo lịch trực.",
    )  # fmt: skip


# --- acts on alarms


class NoteForm(forms.Form):
    text = forms.CharField(label="Việc đã làm", max_length=500, widget=forms.Textarea({"rows": 3}))


_SPANS = (
    ("1", "1 giờ"),
    ("4", "4 giờ"),
    ("8", "8 giờ (một ca)"),
    ("24", "1 ngày"),
    ("72", "3 ngày"),
    ("168", "7 ngày"),
)


class ShelveForm(forms.Form):
    hours = forms.TypedChoiceField(label="Tạm gác trong", coerce=int, choices=_SPANS, initial="4")
    reason = forms.CharField(label="Lý do", max_length=200, help_text="Mọi người cùng thấy lý do này.")

    def until(self, now: datetime) -> datetime:
        return now + timedelta(hours=self.cleaned_data["hours"])


class ReasonForm(forms.Form):
    reason = forms.CharField(label="Lý do", max_length=200)


class MaintenanceForm(forms.Form):
    work = _Work(Work.objects.none(), label="Trạm")
    device = _Device(
        Device.objects.none(), label="Chỉ thiết bị", required=False, empty_label="Cả trạm",
        help_text="Để «Cả trạm» nếu việc chạm đến mọi thiết bị.",
    )  # fmt: skip
    from_at = MomentField(label="Từ lúc")
    until = MomentField(label="Đến lúc")
    reason = forms.CharField(label="Nội dung", max_length=200)

    def __init__(self, data: QueryDict | None, *, person: Person, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial={"from_at": timezone.now(), **(initial or {})})
        works = visible_works(person, "manage")
        self.fields["work"].queryset = works  # type: ignore[attr-defined]
        devices = Device.objects.filter(work__in=works.values("pk"), removed_at__isnull=True).order_by("code")
        self.fields["device"].queryset = devices  # type: ignore[attr-defined]


# --- rules


class RuleStart(forms.Form):
    """Which channel a new rule watches, and for what."""

    channel = _Channel(Channel.objects.none(), label="Kênh")
    kind = forms.ChoiceField(label="Loại quy tắc", choices=AlarmRule.Kind.choices)

    def __init__(self, data: QueryDict | None, *, person: Person) -> None:
        super().__init__(data)
        channels = visible_channels(person, "manage").filter(is_active=True)
        self.fields["channel"].queryset = channels  # type: ignore[attr-defined]


def _shown(number: Any) -> Decimal | None:
    return None if number is None else Decimal(repr(float(number))).normalize()


class RuleForm(forms.Form):
    """A rule of one kind on one channel: its parameters as alarm_rules.PARAMETERS names them."""

    name = forms.CharField(label="Tên", max_length=160)
    priority = forms.TypedChoiceField(label="Mức ưu tiên", coerce=int, choices=AlarmRule.Priority.choices, initial=3)
    on_delay_min = NumberField(
        label="Phải kéo dài (phút)", required=False, min_value=Decimal(0), max_value=Decimal(43_200),
        help_text="Điều kiện phải giữ ngần này mới báo; để trống là báo ngay.",
    )  # fmt: skip
    off_delay_min = NumberField(
        label="Phải yên (phút)", required=False, min_value=Decimal(0), max_value=Decimal(43_200),
        help_text="Phải trở lại bình thường ngần này mới coi là đã hết.",
    )  # fmt: skip
    reminder_after_min = WholeField(
        label="Nhắc lại sau (phút)", min_value=0, max_value=43_200, initial=240,
        help_text="Cảnh báo đã nhận mà chưa hết thì nhắc lại; 0 là không nhắc.",
    )  # fmt: skip
    advice = forms.CharField(
        label="Việc cần làm", max_length=400, required=False, widget=forms.Textarea({"rows": 2}),
        help_text="Người trực đọc khi cảnh báo đến.",
    )  # fmt: skip
    is_enabled = forms.BooleanField(label="Đang dùng", required=False, initial=True)
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(
        self, data: QueryDict | None, *, person: Person, channel: Channel, kind: str, rule: AlarmRule | None = None
    ) -> None:
        self.channel, self.kind, self.rule = channel, kind, rule
        super().__init__(data, initial=self._initial(rule) if rule else {"name": self._name()})
        self._add_parameters()
        if kind in {"COMBINATION", "TANK_HOURS"}:
            self._add_channels(person)
        order = [name for name in self.fields if name.startswith(("p_", "c_", "others", "together"))]
        self.order_fields(["name", "priority", *order])

    def _name(self) -> str:
        return f"{self.channel.name}: {AlarmRule.Kind(self.kind).label.lower()}"

    def _initial(self, rule: AlarmRule) -> dict[str, Any]:
        found: dict[str, Any] = {
            "name": rule.name, "priority": rule.priority, "advice": rule.advice, "is_enabled": rule.is_enabled,
            "version": rule.version, "reminder_after_min": rule.reminder_after_min,
            "on_delay_min": _shown(rule.on_delay_s / 60), "off_delay_min": _shown(rule.off_delay_s / 60),
            "others": list(rule.others.values_list("pk", flat=True)),
            "together": rule.parameters.get("together", "all"), "p_basis": rule.parameters.get("basis", ""),
        }  # fmt: skip
        for one in alarm_rules.PARAMETERS[rule.kind]:
            found[f"p_{one.key}"] = _shown(rule.parameters.get(one.key))
        for index, condition in enumerate(rule.parameters.get("conditions", [])[:_CONDITIONS]):
            side = "above" if "above" in condition else "below"
            found |= {f"c_{index}_channel": condition["channel"], f"c_{index}_side": side}
            found[f"c_{index}_value"] = _shown(condition[side])
        return found

    def _add_parameters(self) -> None:
        from machnuoc.telemetry import rule_words

        unit = rule_words.unit_of(self.channel)
        in_unit = {"low", "high", "deadband", "change", "tolerance", "except_value", "least_difference"}
        for one in alarm_rules.PARAMETERS[self.kind]:
            label = f"{one.label} ({unit})" if one.key in in_unit and unit else one.label
            help_text = one.help
            if one.default is not None and not help_text:
                help_text = f"Để trống: {alarm_rules.shown(one.default, 2 if one.default % 1 else 0)}"
            self.fields[f"p_{one.key}"] = NumberField(label=label, required=one.is_required, help_text=help_text)
        if self.kind in {"THRESHOLD", "LOW_CHLORINE"}:
            self.fields["p_basis"] = forms.CharField(
                label="Căn cứ", max_length=200, required=False, help_text="Quy chuẩn hoặc quy trình mà ngưỡng dựa vào."
            )

    def _add_channels(self, person: Person) -> None:
        offered = visible_channels(person, "manage").filter(is_active=True)
        if self.kind == "TANK_HOURS":
            flows = offered.filter(device__work_id=self.channel.device.work_id, quantity="flow")
            self.fields["others"] = _Channels(
                flows, label="Kênh lưu lượng ra", required=False, widget=forms.CheckboxSelectMultiple
            )
            return
        self.fields["together"] = forms.ChoiceField(
            label="Báo khi", choices=[("all", "Mọi điều kiện cùng đúng"), ("any", "Một trong các điều kiện đúng")]
        )
        offered = offered.filter(device__work_id=self.channel.device.work_id)
        for index in range(_CONDITIONS):
            number = index + 1
            self.fields[f"c_{index}_channel"] = _Channel(
                offered, label=f"Điều kiện {number}: kênh", required=index < 2, empty_label="Không dùng",
                initial=self.channel.pk if index == 0 else None,
            )  # fmt: skip
            self.fields[f"c_{index}_side"] = forms.ChoiceField(
                label=f"Điều kiện {number}: là", choices=[("above", "lớn hơn"), ("below", "nhỏ hơn")]
            )
            self.fields[f"c_{index}_value"] = NumberField(label=f"Điều kiện {number}: số", required=index < 2)

    def said(self) -> dict[str, Any]:
        """Return what alarm_operations.put_rule takes, besides channel, kind, now and by. Call it once valid."""
        given = self.cleaned_data
        parameters: dict[str, Any] = {
            one.key: float(given[f"p_{one.key}"])
            for one in alarm_rules.PARAMETERS[self.kind]
            if given.get(f"p_{one.key}") is not None
        }
        basis = str(given.get("p_basis") or "").strip()
        if basis:
            parameters["basis"] = basis
            before = self.rule.parameters if self.rule else {}
            if before.get("basis") == basis:
                parameters |= {key: before[key] for key in ("is_unverified", "limit") if key in before}
        others: list[Channel] = list(given.get("others") or [])
        if self.kind == "COMBINATION":
            conditions = list(self._conditions())
            others = [channel for channel, _ in conditions]
            parameters |= {"together": given["together"], "conditions": [condition for _, condition in conditions]}
        return {
            "parameters": parameters, "others": others, "name": given["name"], "priority": given["priority"],
            "on_delay_s": _seconds(given["on_delay_min"]), "off_delay_s": _seconds(given["off_delay_min"]),
            "reminder_after_min": given["reminder_after_min"], "advice": given["advice"],
            "is_enabled": given["is_enabled"],
        }  # fmt: skip

    def _conditions(self) -> Iterable[tuple[Channel, dict[str, Any]]]:
        for index in range(_CONDITIONS):
            channel, number = self.cleaned_data[f"c_{index}_channel"], self.cleaned_data[f"c_{index}_value"]
            if channel is not None and number is not None:
                yield channel, {"channel": channel.pk, self.cleaned_data[f"c_{index}_side"]: float(number)}


def _seconds(minutes: Decimal | None) -> int:
    return int((minutes or Decimal(0)) * 60)


def quantity_decimals(channel: Channel) -> int:
    return QUANTITIES[channel.quantity].decimals
