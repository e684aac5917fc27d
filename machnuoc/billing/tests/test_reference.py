import pytest
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.billing import reference

bill_ids = st.integers(1, 10**12)


@given(bill_ids)
def test_a_reference_is_found_in_what_a_bank_writes_around_it(bill_id):
    made = reference.make(bill_id)

    for text in (
        made,
        made.lower(),
        f"MBVCB.6789012345.{made}.CT tu 0011001932418 NGUYEN VAN AN toi 970415",
        f"TT tien nuoc {made}-150926-10:22:33 0123456",
    ):
        assert bill_id in reference.find(text), text


@given(st.integers(1, 9_999_999))
def test_a_reference_that_a_bank_broke_up_is_found_alone(bill_id):
    made = reference.make(bill_id)

    for text in (
        f"{made[:2]} {made[2:6]} {made[6:]} nop tien",
        f"CUSTOMER {made[:-3]}\n{made[-3:]} nuoc thang 9",
        f"{made} 20260915 0905123456",
    ):
        assert reference.find(text) == [bill_id], text


def test_digits_that_make_a_second_reference_leave_both_to_see():
    made = reference.make(51_790_487_360)

    assert reference.find(f"{made[:-3]} {made[-3:]}") == [51_790_487, 51_790_487_360]


@given(bill_ids, st.data())
def test_one_wrong_digit_is_noticed(bill_id, data):
    made = reference.make(bill_id)
    at = data.draw(st.integers(2, len(made) - 1))
    other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != made[at]]))

    assert reference.find(made[:at] + other + made[at + 1 :]) == []


@given(bill_ids, st.data())
def test_two_swapped_digits_are_noticed(bill_id, data):
    made = reference.make(bill_id)
    at = data.draw(st.integers(2, len(made) - 2))
    swapped = made[:at] + made[at + 1] + made[at] + made[at + 2 :]

    assert reference.find(swapped) == ([bill_id] if swapped == made else [])


@given(st.text())
def test_any_text_can_be_searched(text):
    assert all(found > 0 for found in reference.find(text))


def test_two_bills_in_one_text_are_both_found_and_a_repeated_one_once():
    first, second = reference.make(7), reference.make(123_456_789)

    assert reference.find(f"tra {first}, {second} va {first}") == [7, 123_456_789]


def test_words_and_account_numbers_are_no_references():
    for text in ("", "MN", "nop tien nuoc", "MN20260901", "0011001932418", "STMN 123 45", "MN0000000001"):
        assert reference.find(text) == []


def test_a_reference_fits_the_fields_of_vietqr():
    assert len(reference.make(10**18 - 1)) <= 25


@pytest.mark.parametrize("bill_id", [0, -1, 10**18, True])
def test_what_is_no_bill_has_no_reference(bill_id):
    with pytest.raises(ValueError, match="no number of a bill"):
        reference.make(bill_id)
