"""An amount of money in Vietnamese words, as invoices state it beside the figures."""

_DIGITS = ("không", "một", "hai", "ba", "bốn", "năm", "sáu", "bảy", "tám", "chín")
_SCALES = ("", "nghìn", "triệu")
_BILLION = 10**9


def read_number(number: int) -> str:
    """Return a whole number in words, without capitals.

    Hundreds and tens are said out in full after a larger group («không trăm lẻ một»); a ten's one is «mốt», its four
    «tư», its five «lăm»; ten is «mười», and from 10⁹ on everything counts in «tỷ» («nghìn tỷ», «triệu tỷ», «tỷ tỷ»).

    >>> read_number(105_021)
    'một trăm lẻ năm nghìn không trăm hai mươi mốt'
    >>> read_number(24_015), read_number(-1_000_000_004)
    ('hai mươi tư nghìn không trăm mười lăm', 'âm một tỷ không trăm lẻ bốn')
    """
    if number < 0:
        return f"âm {read_number(-number)}"
    return _read(number, is_first=True) or _DIGITS[0]


def amount_in_words(amount_vnd: int) -> str:
    """Return an amount as an invoice states it, with a capital and its unit.

    >>> amount_in_words(75_000), amount_in_words(0)
    ('Bảy mươi lăm nghìn đồng', 'Không đồng')
    """
    text = f"{read_number(amount_vnd)} đồng"
    return text[0].upper() + text[1:]


def _read(number: int, *, is_first: bool) -> str:
    """Return the words of a number, "" of zero. is_first: nothing was said before, so leading zeros are left out."""
    words: list[str] = []
    if number >= _BILLION:
        billions, number = divmod(number, _BILLION)
        words.append(f"{_read(billions, is_first=is_first)} tỷ")
        is_first = False
    for scale in (2, 1, 0):
        group, number = divmod(number, 1000**scale)
        if group:
            said = f"{_read_group(group, is_first=is_first)} {_SCALES[scale]}"
            words.append(said.strip())
            is_first = False
    return " ".join(words)


def _read_group(group: int, *, is_first: bool) -> str:
    """Return the words of 1 to 999."""
    hundreds, rest = divmod(group, 100)
    tens, ones = divmod(rest, 10)
    words: list[str] = []
    if hundreds or not is_first:
        words.append(f"{_DIGITS[hundreds]} trăm")
    if tens > 1:
        words.append(f"{_DIGITS[tens]} mươi")
    elif tens == 1:
        words.append("mười")
    elif ones and words:
        words.append("lẻ")
    if ones:
        words.append(_say_ones(ones, tens))
    return " ".join(words)


def _say_ones(ones: int, tens: int) -> str:
    if ones == 1 and tens > 1:
        return "mốt"
    if ones == 4 and tens > 1:
        return "tư"
    if ones == 5 and tens:
        return "lăm"
    return _DIGITS[ones]
