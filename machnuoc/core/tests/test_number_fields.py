from decimal import Decimal

import pytest
from django import forms

from machnuoc.core.number_fields import NumberField, WholeField


@pytest.mark.parametrize(("text", "number"), [("2.000", 2000), ("1.288", 1288), ("1288", 1288), ("0", 0), ("", None)])
def test_households_written_with_a_dot_are_thousands(text: str, number: int | None) -> None:
    assert WholeField(required=False).clean(text) == number


@pytest.mark.parametrize(("text", "number"), [("1.288,5", "1288.5"), ("1.288", "1288"), ("63,6", "63.6"), ("20", "20")])
def test_a_comma_begins_the_fraction(text: str, number: str) -> None:
    assert NumberField(max_digits=16, decimal_places=4).clean(text) == Decimal(number)


@pytest.mark.parametrize("text", ["hai", "1.288,5", "1,5"])
def test_what_is_no_whole_number_is_refused_in_words(text: str) -> None:
    with pytest.raises(forms.ValidationError, match="không phải số"):
        WholeField().clean(text)


def test_bounds_still_hold_and_what_is_kept_is_shown_as_written() -> None:
    with pytest.raises(forms.ValidationError, match="không nhỏ hơn 0"):
        WholeField(min_value=0).clean("-5")

    assert NumberField().prepare_value(Decimal("1288.5000")) == "1.288,5"
    assert WholeField().prepare_value(25330) == "25.330"
