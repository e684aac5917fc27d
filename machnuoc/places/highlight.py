"""Mark what a query found in a name, also where it was typed without diacritics. No Django models here."""

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from machnuoc.core.folding import fold


def mark_matches(text: str, query: str) -> SafeString:
    """Return the text as safe HTML with <mark> around what the words of the query match, as the search matches them.

    Words of three characters and more match anywhere, shorter ones at the start of a word.

    >>> mark_matches("Xã Đông Khê", "dong")
    'Xã <mark>Đông</mark> Khê'
    >>> mark_matches("Hoà Bình & <b>", "hòa bi")
    '<mark>Hoà</mark> <mark>Bì</mark>nh &amp; &lt;b&gt;'
    """
    folded, origin = _fold_with_origin(text)
    is_marked = [False] * len(text)
    for word in fold(query).split():
        start = folded.find(word)
        while start >= 0:
            if len(word) >= 3 or start == 0 or folded[start - 1] == " ":
                for place in range(origin[start], origin[start + len(word) - 1] + 1):
                    is_marked[place] = True
            start = folded.find(word, start + 1)
    pieces: list[str] = []
    for place, char in enumerate(text):
        if is_marked[place] and not (place and is_marked[place - 1]):
            pieces.append("<mark>")
        pieces.append(str(escape(char)))
        if is_marked[place] and not (place + 1 < len(text) and is_marked[place + 1]):
            pieces.append("</mark>")
    return mark_safe("".join(pieces))  # noqa: S308 every character was escaped above


def _fold_with_origin(text: str) -> tuple[str, list[int]]:
    """Return the folded text and, for each of its characters, the place in the text it came from."""
    folded: list[str] = []
    origin: list[int] = []
    for place, char in enumerate(text):
        for letter in fold(char) or (" " if not char.isalnum() and not _is_mark(char) else ""):
            folded.append(letter)
            origin.append(place)
    return "".join(folded), origin


def _is_mark(char: str) -> bool:
    """Return whether the character is a tone mark of the letter before it (text that is not composed)."""
    return "\u0300" <= char <= "\u036f"
