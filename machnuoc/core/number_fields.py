"""Form fields of numbers as Vietnamese write them: «1.288» is a thousand and more, «1.288,5» has a fraction.

Django's own fields would read «2.000» as 2 and «1.288» as 1,288.
"""

from decimal import Decimal
from typing import Any

from django import forms
from django.core import validators

from machnuoc.core import vietnamese


def _shown(value: Any) -> Any:
    return vietnamese.format_number(value.normalize() + 0) if isinstance(value, Decimal) else value


def _tell_limits(field: forms.Field) -> None:
    """Let the messages of the least and the most value show them as they are typed: 10.000.000."""
    for one in field.validators:
        if isinstance(one, validators.MaxValueValidator | validators.MinValueValidator):
            one.message = str(one.message).replace("%(limit_value)s", vietnamese.format_number(one.limit_value))


class NumberField(forms.DecimalField):
    """A number with or without a fraction; cleaned to a Decimal, or None if empty."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"widget": forms.TextInput({"inputmode": "decimal"}), **kwargs})
        _tell_limits(self)

    def prepare_value(self, value: Any) -> Any:
        return _shown(value)

    def to_python(self, value: Any) -> Decimal | None:  # type: ignore[override]
        if value in self.empty_values:
            return None
        try:
            number = vietnamese.parse_number(str(value)[:60])
        except vietnamese.NotANumber as reason:
            raise forms.ValidationError(str(reason), code="invalid") from None
        return super().to_python(number)


class WholeField(forms.IntegerField):
    """A whole number, such as of households; cleaned to an int, or None if empty."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"widget": forms.TextInput({"inputmode": "numeric"}), **kwargs})
        _tell_limits(self)

    def prepare_value(self, value: Any) -> Any:
        return _shown(Decimal(value)) if isinstance(value, int) and not isinstance(value, bool) else value

    def to_python(self, value: Any) -> int | None:
        if value in self.empty_values:
            return None
        try:
            number = vietnamese.parse_number(str(value)[:60], integer=True)
        except vietnamese.NotANumber as reason:
            raise forms.ValidationError(str(reason), code="invalid") from None
        return None if number is None else int(number)
