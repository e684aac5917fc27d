"""Figures of a report that follow from other figures of it: «= a - b», «= sum growth/*/added», «= 100 * a / b».

A rule is kept as the source of the figure, so that a replay can follow it without the program that made it.
"""

from collections.abc import Mapping
from decimal import Decimal
from fnmatch import fnmatchcase

from machnuoc.core.vietnamese import round_half_up

MARK = "= "


class BadRule(ValueError):
    """A rule that cannot be read."""


def is_rule(source: str) -> bool:
    return source.startswith(MARK)


def difference(minuend: str, *subtrahends: str) -> str:
    return MARK + " - ".join((minuend, *subtrahends))


def total(table: str, column: str) -> str:
    return f"{MARK}sum {table}/*/{column}"


def share_pct(part: str, whole: str) -> str:
    return f"{MARK}100 * {part} / {whole}"


def evaluate(rule: str, raws: Mapping[str, str], *, own_key: str = "", decimals: int | None = None) -> Decimal | None:
    """Return what a rule gives for the exact numbers of the other figures (`raws`: by key, empty where missing).

    None where a number that it needs is missing; a sum adds what is there and is None only where nothing is.
    own_key: the figure itself, left out of sums. decimals: to which a share is rounded, half up. Raises BadRule.

    >>> evaluate("= a - b", {"a": "26193", "b": "25330"})
    Decimal('863')
    >>> evaluate("= a - b - c", {"a": "9", "b": "3", "c": "2"})
    Decimal('4')
    >>> evaluate("= 100 * a / b", {"a": "863", "b": "1600"}, decimals=1)
    Decimal('53.9')
    >>> evaluate("= sum t/*/x", {"t/1/x": "2", "t/2/x": "", "t/total/x": "2"}, own_key="t/total/x")
    Decimal('2')
    """
    if not is_rule(rule):
        raise BadRule(f"not a rule: {rule}")
    match rule.removeprefix(MARK).split(" "):
        case ["sum", pattern]:
            found = [Decimal(raw) for key, raw in raws.items() if raw and key != own_key and fnmatchcase(key, pattern)]
            return sum(found, Decimal(0)) if found else None
        case ["100", "*", part, "/", whole]:
            pair = _pair(raws, part, whole)
            if pair is None or not pair[1]:
                return None
            return round_half_up(100 * pair[0] / pair[1], 2 if decimals is None else decimals)
        case [first, "-", *rest] if all(sign == "-" for sign in rest[1::2]) and len(rest) % 2:
            pairs = [_pair(raws, first, key) for key in rest[::2]]
            if any(pair is None for pair in pairs):
                return None
            return Decimal(raws[first]) - sum((Decimal(raws[key]) for key in rest[::2]), Decimal(0))
    raise BadRule(f"not a rule: {rule}")


def _pair(raws: Mapping[str, str], left: str, right: str) -> tuple[Decimal, Decimal] | None:
    for key in (left, right):
        if key not in raws:
            raise BadRule(f"no figure has the key {key}")
    return (Decimal(raws[left]), Decimal(raws[right])) if raws[left] and raws[right] else None
