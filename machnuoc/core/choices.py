"""Fields of forms that choose rows by their id, whatever somebody writes in its place."""

from typing import Any

from django import forms

_DIGITS_MOST = 18  # of what a database holds as an id


class OneOf(forms.ModelChoiceField):  # type: ignore[type-arg]
    """One row. An id that no database can hold is nobody's, where the key is another table's too."""

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and len(value) > _DIGITS_MOST:
            raise forms.ValidationError(self.error_messages["invalid_choice"], code="invalid_choice")
        return super().to_python(value)


class SomeOf(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Several rows, checked likewise."""

    def clean(self, value: Any) -> Any:
        for one in value if isinstance(value, list | tuple) else ():
            if len(str(one)) > _DIGITS_MOST:
                raise forms.ValidationError(
                    self.error_messages["invalid_choice"], code="invalid_choice", params={"value": str(one)[:20]}
                )
        return super().clean(value)
