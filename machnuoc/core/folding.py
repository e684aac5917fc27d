"""Vietnamese text for search and for sorting: spelling variants that a reader takes for the same become the same."""

import unicodedata
from functools import lru_cache

# đ has no decomposition in Unicode. Eth, African d and d with a bar through it look the same and do turn up: keyboards
# and scans give Ð (U+00D0) where Đ (U+0110) is meant.
_D_WITH_STROKE = str.maketrans(dict.fromkeys("đðɖ", "d"))

# Order of the tones in Vietnamese dictionaries: ngang (no mark), huyền, hỏi, ngã, sắc, nặng.
_TONES = {"\u0300": 1, "\u0309": 2, "\u0303": 3, "\u0301": 4, "\u0323": 5}

# Letters that follow their plain one in the alphabet: a ă â, d đ, e ê, o ô ơ, u ư.
_LETTER_MARKS = {
    ("a", "\u0306"): "a1",
    ("a", "\u0302"): "a2",
    ("e", "\u0302"): "e1",
    ("o", "\u0302"): "o1",
    ("o", "\u031b"): "o2",
    ("u", "\u031b"): "u1",
}
_KEY_END = "00"
_WORD_END = "01"


def _decompose(text: str) -> str:
    """Return lower-case text with every letter taken apart from its marks, whatever form it came in."""
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())


def fold(text: str) -> str:
    """Return the text as it is searched: lower case, no diacritics, đ as d, words parted by single spaces.

    Anything that is neither letter nor digit parts words. fold(fold(text)) == fold(text).

    >>> fold("Hoà Bình") == fold("Hòa  bình") == "hoa binh"
    True
    >>> fold("Đăk Cấm"), fold("Thành Công – Khê-Kỳ"), fold("1.600 m³")
    ('dak cam', 'thanh cong khe ky', '1 600 m3')
    """
    letters = [char for char in _decompose(text) if unicodedata.category(char) != "Mn"]
    return " ".join("".join(char if char.isalnum() else " " for char in letters).translate(_D_WITH_STROKE).split())


@lru_cache(maxsize=20_000)
def sort_key(text: str) -> str:
    """Return an ASCII key by which names sort in the order of the Vietnamese alphabet.

    Letters decide first: a ă â b c d đ e ê … o ô ơ … u ư … y, with f, j, w, z in their Latin places; digits come before
    letters, a word before longer words that begin with it. Where letters are equal, tones decide: ngang, huyền, hỏi,
    ngã, sắc, nặng. A tone counts for its whole word, so Hoà and Hòa sort together. Case and punctuation do not count.
    The key has lower-case letters and digits alone: every database collation orders it alike.

    >>> sorted(["Đà", "Dương", "Ấn", "Ăn", "An", "Ân"], key=sort_key)
    ['An', 'Ăn', 'Ân', 'Ấn', 'Dương', 'Đà']
    >>> sorted(["mạ", "mã", "ma", "má", "mả", "mà"], key=sort_key)
    ['ma', 'mà', 'mả', 'mã', 'má', 'mạ']
    """
    words: list[list[str]] = [[]]
    tones = [0]
    base = ""
    for char in _decompose(text):
        if unicodedata.category(char) == "Mn":
            tones[-1] = max(tones[-1], _TONES.get(char, 0))
            if words[-1] and (base, char) in _LETTER_MARKS:
                words[-1][-1] = _LETTER_MARKS[base, char]
        elif char.isalnum():
            base = char
            words[-1].append(_letter_key(char))
        elif words[-1]:
            base = ""
            words.append([])
            tones.append(0)
        else:
            base = ""
    letters = _WORD_END.join("".join(word) for word in words if word)
    return letters + _KEY_END + "".join(str(tone) for tone in tones).rstrip("0")


def _letter_key(char: str) -> str:
    """Return two characters for a letter or digit of the alphabet, eight for any other, which sorts after them."""
    if "0" <= char <= "9":
        return "1" + char
    if "a" <= char <= "z":
        return char + "0"
    if char in "đðɖ":
        return "d1"
    return f"z9{ord(char):06x}"
