"""Fields of forms that choose rows by their id or name a day, whatever somebody writes in its place."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from django import forms
from django.forms.models import ModelChoiceIterator

from machnuoc.core import folding
from machnuoc.core.periods import BadPeriod, Period

_DIGITS_MOST = 18  # of what a database holds as an id
FIRST_YEAR, LAST_YEAR = 1900, 2200


def month_choices(today: date, asked: str = "", *, back: int = 36) -> list[tuple[str, str]]:
    """Return (key, label) of this month and those before it, newest first, and of the one asked for if it is another.

    A list, since the browsers' own boxes for months speak the language of the browser, and some have none.

    >>> month_choices(date(2026, 1, 5), "2019-07", back=1)
    [('2026-01', 'Tháng 01/2026'), ('2025-12', 'Tháng 12/2025'), ('2019-07', 'Tháng 07/2019')]
    """
    this = Period.containing(today, "M")
    months = [this.shift(-number) for number in range(back + 1)]
    try:
        wanted = Period.parse(asked)
    except BadPeriod:
        wanted = this
    if wanted.kind == "M" and wanted not in months:
        months.append(wanted)
    return [(month.key, f"Tháng {month.start_date:%m/%Y}") for month in months]


class DayField(forms.DateField):
    """A day in a year that people plan in: a day after the last one that there is would be no day."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"), **kwargs)

    def to_python(self, value: Any) -> date | None:
        day = super().to_python(value)
        if day is not None and not FIRST_YEAR <= day.year <= LAST_YEAR:
            raise forms.ValidationError(f"Năm phải từ {FIRST_YEAR} đến {LAST_YEAR}. Nhập lại ngày.", code="invalid")
        return day


class MomentField(forms.DateTimeField):
    """A minute of local time, in the years that people plan in."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.DateTimeInput({"type": "datetime-local"}, "%Y-%m-%dT%H:%M")
        super().__init__(**{"widget": widget, **kwargs})

    def to_python(self, value: Any) -> datetime | None:
        moment = super().to_python(value)
        if moment is not None and not FIRST_YEAR <= moment.year <= LAST_YEAR:
            raise forms.ValidationError(f"Năm phải từ {FIRST_YEAR} đến {LAST_YEAR}. Nhập lại ngày giờ.", code="invalid")
        return moment


class OneOf(forms.ModelChoiceField):  # type: ignore[type-arg]
    """One row. An id that no database can hold is nobody's, where the key is another table's too."""

    def __init__(self, queryset: Any, *, empty_label: str | None = "Chọn trong danh sách", **kwargs: Any) -> None:
        super().__init__(queryset, empty_label=empty_label, **kwargs)

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and len(value) > _DIGITS_MOST:
            raise forms.ValidationError(self.error_messages["invalid_choice"], code="invalid_choice")
        return super().to_python(value)


class InAlphabet(ModelChoiceIterator):  # type: ignore[type-arg]
    """Choices in the order of the Vietnamese alphabet, which databases do not know, after the one for none."""

    def __iter__(self) -> Iterator[Any]:
        choices = list(super().__iter__())
        begin = 0 if self.field.empty_label is None else 1
        yield from choices[:begin]
        yield from sorted(choices[begin:], key=lambda choice: folding.sort_key(str(choice[1])))


class SomeOf(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Several rows, checked likewise."""

    def clean(self, value: Any) -> Any:
        for one in value if isinstance(value, list | tuple) else ():
            if len(str(one)) > _DIGITS_MOST:
                raise forms.ValidationError(
                    self.error_messages["invalid_choice"], code="invalid_choice", params={"value": str(one)[:20]}
                )
        return super().clean(value)
