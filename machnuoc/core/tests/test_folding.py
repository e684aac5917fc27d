"""Search and sort keys of Vietnamese names."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.core.folding import fold, sort_key

VIETNAMESE_LETTERS = "aàảãáạăằẳẵắặâầẩẫấậbcdđeèẻẽéẹêềểễếệghiìỉĩíịklmnoòỏõóọôồổỗốộơờởỡớợpqrstuùủũúụưừửữứựvxyỳỷỹýỵ"
vietnamese_text = st.text(alphabet=VIETNAMESE_LETTERS + VIETNAMESE_LETTERS.upper() + " -–", max_size=30)


@pytest.mark.parametrize(
    ("spellings", "folded"),
    [
        (("Hoà", "Hòa", "HOÀ", "hoa"), "hoa"),
        (("Đăk", "Đắk", "Dak", "Ðăk", "đắk", "ðăk"), "dak"),
        (("Khê - Kỳ", "Khê–Kỳ", "khê kỳ", "KHÊ  KỲ", "(Khê) Kỳ."), "khe ky"),
        (("Thuỷ", "Thủy"), "thuy"),
        (("Cổ Lũy Làng Cá", "Cổ Luỹ làng cá"), "co luy lang ca"),
        (("Ơ Ư ợ ự Ấ Ẵ",), "o u o u a a"),
        (("1.600 m³/ngày",), "1 600 m3 ngay"),
        (("", "  ", "–", "…"), ""),
    ],
)
def test_spellings_of_one_name_fold_to_one_text(spellings, folded):
    assert {fold(spelling) for spelling in spellings} == {folded}


@given(st.text())
def test_folding_twice_changes_nothing(text):
    assert fold(fold(text)) == fold(text)


@given(vietnamese_text)
def test_vietnamese_text_folds_to_plain_letters_and_single_spaces(text):
    folded = fold(text)

    assert folded.isascii()
    assert folded == folded.strip().lower()
    assert "  " not in folded


@given(vietnamese_text)
def test_composed_and_decomposed_text_are_the_same(text):
    composed, decomposed = unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)

    assert fold(composed) == fold(decomposed)
    assert sort_key(composed) == sort_key(decomposed)


@given(vietnamese_text, vietnamese_text)
def test_names_that_sort_together_are_found_together(left, right):
    if sort_key(left) == sort_key(right):
        assert fold(left) == fold(right)


@given(st.text())
def test_a_sort_key_has_letters_and_digits_alone(text):
    key = sort_key(text)

    assert key.isascii()
    assert key.isalnum()
    assert key == key.lower()


def test_letters_sort_as_in_the_alphabet():
    alphabet = list("aăâbcdđeêfghijklmnoôơpqrstuưvwxyz")
    in_reverse = alphabet[::-1]

    assert sorted(in_reverse, key=sort_key) == alphabet
    assert sorted((letter.upper() for letter in in_reverse), key=sort_key) == [letter.upper() for letter in alphabet]


def test_tones_sort_after_letters_in_dictionary_order():
    words = ["ma", "mà", "mả", "mã", "má", "mạ", "mai", "mài", "mă", "mằ", "mâ", "mậ"]
    in_reverse = words[::-1]

    assert sorted(in_reverse, key=sort_key) == words


@pytest.mark.parametrize(
    "names",
    [
        ["Bảo Lạc", "Bảo Lâm", "Cao Bằng", "Đông Khê", "Hạ Lang", "Hòa An", "Nùng Trí Cao", "Nước Hai"],
        ["An", "An Hải", "Anh"],
        ["Dung", "Duy", "Đa", "Đông"],
        ["Phường 2", "Phường A"],
        ["Ba Tô", "Ba Tơ", "Bà Tơ", "Ba Tơi"],
    ],
)
def test_names_sort_as_a_reader_expects(names):
    in_reverse = names[::-1]

    assert sorted(in_reverse, key=sort_key) == names


def test_tone_placement_case_and_punctuation_do_not_count():
    assert sort_key("Hoà-Bình") == sort_key("hòa  bình.")


@given(vietnamese_text, vietnamese_text)
def test_a_beginning_sorts_before_the_longer_name(name, rest):
    if fold(name) and fold(rest):
        assert sort_key(name) < sort_key(f"{name} {rest}")
