"""Checked by hand against how Vietnamese reads numbers on invoices."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.billing import words

CASES = {
    0: "không",
    1: "một",
    4: "bốn",
    5: "năm",
    10: "mười",
    11: "mười một",
    14: "mười bốn",
    15: "mười lăm",
    19: "mười chín",
    20: "hai mươi",
    21: "hai mươi mốt",
    24: "hai mươi tư",
    25: "hai mươi lăm",
    31: "ba mươi mốt",
    44: "bốn mươi tư",
    55: "năm mươi lăm",
    99: "chín mươi chín",
    100: "một trăm",
    101: "một trăm lẻ một",
    104: "một trăm lẻ bốn",
    105: "một trăm lẻ năm",
    110: "một trăm mười",
    111: "một trăm mười một",
    115: "một trăm mười lăm",
    121: "một trăm hai mươi mốt",
    554: "năm trăm năm mươi tư",
    555: "năm trăm năm mươi lăm",
    999: "chín trăm chín mươi chín",
    1_000: "một nghìn",
    1_001: "một nghìn không trăm lẻ một",
    1_010: "một nghìn không trăm mười",
    1_015: "một nghìn không trăm mười lăm",
    1_021: "một nghìn không trăm hai mươi mốt",
    1_100: "một nghìn một trăm",
    5_005: "năm nghìn không trăm lẻ năm",
    10_000: "mười nghìn",
    21_000: "hai mươi mốt nghìn",
    24_015: "hai mươi tư nghìn không trăm mười lăm",
    75_000: "bảy mươi lăm nghìn",
    78_375: "bảy mươi tám nghìn ba trăm bảy mươi lăm",
    100_000: "một trăm nghìn",
    105_021: "một trăm lẻ năm nghìn không trăm hai mươi mốt",
    115_115: "một trăm mười lăm nghìn một trăm mười lăm",
    500_001: "năm trăm nghìn không trăm lẻ một",
    1_000_000: "một triệu",
    1_000_001: "một triệu không trăm lẻ một",
    1_005_000: "một triệu không trăm lẻ năm nghìn",
    1_050_000: "một triệu không trăm năm mươi nghìn",
    1_234_567: "một triệu hai trăm ba mươi tư nghìn năm trăm sáu mươi bảy",
    15_000_000: "mười lăm triệu",
    101_010_101: "một trăm lẻ một triệu không trăm mười nghìn một trăm lẻ một",
    499_999_999: "bốn trăm chín mươi chín triệu chín trăm chín mươi chín nghìn chín trăm chín mươi chín",
    1_000_000_000: "một tỷ",
    1_000_000_004: "một tỷ không trăm lẻ bốn",
    2_005_000_000: "hai tỷ không trăm lẻ năm triệu",
    21_000_000_021: "hai mươi mốt tỷ không trăm hai mươi mốt",
    108_159_000_000: "một trăm lẻ tám tỷ một trăm năm mươi chín triệu",
    1_000_000_000_000: "một nghìn tỷ",
    1_005_000_000_000: "một nghìn không trăm lẻ năm tỷ",
    1_000_000_000_000_000: "một triệu tỷ",
    10**18: "một tỷ tỷ",
    -21: "âm hai mươi mốt",
    -105_021: "âm một trăm lẻ năm nghìn không trăm hai mươi mốt",
}


@pytest.mark.parametrize(("number", "said"), CASES.items())
def test_a_number_is_read_as_people_read_it(number, said):
    assert words.read_number(number) == said


@pytest.mark.parametrize(
    ("amount_vnd", "said"),
    [
        (0, "Không đồng"),
        (105_021, "Một trăm lẻ năm nghìn không trăm hai mươi mốt đồng"),
        (-4_000, "Âm bốn nghìn đồng"),
    ],
)
def test_an_amount_begins_with_a_capital_and_ends_with_its_unit(amount_vnd, said):
    assert words.amount_in_words(amount_vnd) == said


_VALUES = {"không": 0, "một": 1, "mốt": 1, "hai": 2, "ba": 3, "bốn": 4, "tư": 4, "năm": 5, "lăm": 5, "sáu": 6}
_VALUES |= {"bảy": 7, "tám": 8, "chín": 9}


def _understand(said: str) -> int:
    """Read words back to a number below 10¹⁸, as one who hears them."""
    if " tỷ" in f" {said}":
        whole, _, rest = said.rpartition("tỷ")
        return _understand(whole.strip()) * 10**9 + (_understand(rest.strip()) if rest.strip() else 0)
    total = group = 0
    for word in said.split():
        if word == "trăm":
            group *= 100
        elif word == "mười":
            group += 10
        elif word == "mươi":
            group = group - group % 10 + group % 10 * 10
        elif word in ("nghìn", "triệu"):
            total, group = total + group * (1_000 if word == "nghìn" else 1_000_000), 0
        elif word != "lẻ":
            group += _VALUES[word]
    return total + group


@given(st.integers(0, 10**18 - 1))
def test_what_is_read_aloud_is_understood_again(number):
    assert _understand(words.read_number(number)) == number


@given(st.integers(1, 10**30))
def test_words_are_single_spaced_and_never_empty(number):
    said = words.read_number(number)

    assert said == " ".join(said.split())
