"""The reference by which a bank transfer finds its bill: «MN», the bill's number and two check digits.

Banks hand on only the text of a transfer, in capitals, with words of their own around it and now and then a space
inside. So the reference is ASCII, has a fixed least length, and its check digits (ISO 7064 MOD 97-10, as in IBAN) find
every single wrong digit and every swap of neighbours.
"""

import re

PREFIX = "MN"
LEAST_DIGITS = 8  # of the bill's number, filled with zeros; longer numbers stand as they are
MOST_DIGITS = 18
_MODULUS = 97

_PARTS = re.compile(r"MN[\s._:-]{0,3}([0-9]+(?:[\s._-]{1,2}[0-9]+)*)", re.IGNORECASE | re.ASCII)


def name_of(series: str, number: int) -> str:
    """Return how people call an invoice, on paper and on every screen: form and series, then eight digits.

    >>> name_of("1K26TAA", 12)
    '1K26TAA 00000012'
    """
    return f"{series} {number:08d}"


def make(bill_id: int) -> str:
    """Return the reference of a bill, at most 22 characters. Raises ValueError if the number is none of a bill.

    >>> make(12345), make(123456789)
    ('MN0001234520', 'MN12345678978')
    """
    if isinstance(bill_id, bool) or not 0 < bill_id < 10**MOST_DIGITS:
        raise ValueError(f"no number of a bill: {bill_id}")
    return f"{PREFIX}{bill_id:0{LEAST_DIGITS}d}{_MODULUS + 1 - bill_id * 100 % _MODULUS:02d}"


def find(text: str) -> list[int]:
    """Return the numbers of the bills that a free text may name, each once, in the order of the text.

    Case does not matter; spaces, dots and hyphens between digits are overlooked. What fails its check digits is not
    returned. Where digits after a space make a second good reference (one in a hundred, of numbers of more than
    LEAST_DIGITS digits), both are returned: which of them is a bill is the caller's to see.

    >>> find("CT tu 0011 NGUYEN VAN A mn0001234520 nuoc thang 9"), find("MBVCB.99.MN 00012345 20.CT")
    ([12345], [12345])
    >>> find("MN0001234523")
    []
    """
    found: dict[int, None] = {}
    for match in _PARTS.finditer(text):
        digits = ""
        for group in re.findall("[0-9]+", match[1]):
            digits += group
            if len(digits) > MOST_DIGITS + 2:
                break
            bill_id = _check(digits)
            if bill_id is not None:
                found[bill_id] = None
    return list(found)


def _check(digits: str) -> int | None:
    number = digits[:-2]
    if not LEAST_DIGITS <= len(number) <= MOST_DIGITS or (len(number) > LEAST_DIGITS and number[0] == "0"):
        return None
    # Two check digits lie in 02–98; of 00, 01 and 99 the remainder would fit as well.
    is_right = int(digits) % _MODULUS == 1 and 2 <= int(digits[-2:]) <= _MODULUS + 1
    return int(number) if is_right and int(number) else None
