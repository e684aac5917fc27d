"""The filters of the pages below /quan-tri/."""

import re
from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from machnuoc.core import audit, jobs
from machnuoc.core.models import Job, Person, Sending


class JobFilter(forms.Form):
    state = forms.ChoiceField(label="Trạng thái", required=False)
    task = forms.ChoiceField(label="Tác vụ", required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["state"].choices = [("", "Mọi trạng thái"), *Job.State.choices]  # type: ignore[attr-defined]
        self.fields["task"].choices = [("", "Mọi tác vụ"), *jobs.list_titles().items()]  # type: ignore[attr-defined]


class SendingFilter(forms.Form):
    state = forms.ChoiceField(
        label="Trạng thái", required=False, choices=[("", "Mọi trạng thái"), *Sending.State.choices]
    )
    channel = forms.ChoiceField(label="Kênh", required=False, choices=[("", "Mọi kênh"), *Sending.Channel.choices])


class AuditFilter(forms.Form):
    person = forms.ModelChoiceField(
        Person.objects.all(), label="Người thực hiện", required=False, empty_label="Mọi người"
    )
    action = forms.ChoiceField(label="Hành động", required=False)
    start_date = forms.DateField(label="Từ ngày", required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"))
    end_date = forms.DateField(
        label="Đến hết ngày", required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d")
    )

    def __init__(self, *args: Any, within: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.within = within
        if within is not None:
            self.fields["person"].queryset = Person.objects.filter(pk__in=within)  # type: ignore[attr-defined]
        described = [
            (action, _as_title(text)) for action, text in sorted(audit.list_described().items(), key=lambda row: row[1])
        ]
        self.fields["action"].choices = [("", "Mọi hành động"), *described]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        start, end = cleaned.get("start_date"), cleaned.get("end_date")
        if start and end and start > end:
            self.add_error("end_date", "Ngày cuối phải từ ngày đầu trở đi.")
        return cleaned

    def criteria(self) -> dict[str, Any]:
        """Return what audit.list_entries takes, of the fields that were filled in well."""
        good = getattr(self, "cleaned_data", {})
        person, start, end = good.get("person"), good.get("start_date"), good.get("end_date")
        return {
            "actor_id": person.pk if person else None,
            "within": self.within,
            "action": good.get("action", ""),
            "start_at": _midnight(start) if start else None,
            "end_at": _midnight(end + timedelta(days=1)) if end else None,
        }


def _as_title(text: str) -> str:
    """«ghi công suất của {target}» → «Ghi công suất của …»."""
    filled = re.sub(r"\{\w+\}", "…", text)
    return filled[:1].upper() + filled[1:]


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
