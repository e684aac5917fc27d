"""Addresses and query options of SensorThings as plain objects. Pure: text in, objects out, QueryError for the rest.

Source: OGC 18-088 (SensorThings API Part 1: Sensing, version 1.1), 9.2 and 9.3.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import unquote_plus

from machnuoc.telemetry.sensorthings import filters
from machnuoc.telemetry.sensorthings.filters import Expression
from machnuoc.telemetry.sensorthings.model import KINDS, Id, Kind

PAGE = 100
PAGE_MAX = 1_000
SKIP_MAX = 1_000_000
EXPAND_DEPTH = 5
EXPAND_MAX = 30  # in one request, at all levels
PARTS_MAX = 12  # of an address
QUERY_MAX = 8_000
ID_NAMES = frozenset({"id", "@iot.id"})


class QueryError(ValueError):
    """A request that asks for something impossible; says in Vietnamese what."""


class NotThere(Exception):
    """An address that leads nowhere."""


@dataclass(frozen=True, slots=True)
class Expand:
    link: str
    options: "Options"


@dataclass(frozen=True, slots=True)
class Options:
    """What a request asks of one set.

    select: None for everything. orderby: (path, whether descending).
    """

    filter: Expression | None = None
    expand: tuple[Expand, ...] = ()
    select: tuple[str, ...] | None = None
    orderby: tuple[tuple[tuple[str, ...], bool], ...] = ()
    top: int | None = None
    skip: int = 0
    count: bool = False
    data_array: bool = False
    after: str = ""  # $skiptoken: where the page before ended
    said: tuple[tuple[str, str], ...] = ()  # the options as they were written, for the link to the next page

    @property
    def page(self) -> int:
        return PAGE if self.top is None else min(self.top, PAGE_MAX)


@dataclass(frozen=True, slots=True)
class Step:
    """One part of an address: a set, a link or a property, and the id behind it."""

    name: str
    id: Id | None = None


_STEP = re.compile(r"([^()']+)(?:\((?:(-?\d{1,18})|'((?:[^']|'')*)')\))?")


def read_path(path: str) -> tuple[Step, ...]:
    """Return the parts of an address below the root. Raises NotThere.

    >>> read_path("Datastreams(5)/Observations('5:1700')/$ref")
    (Step(name='Datastreams', id=5), Step(name='Observations', id='5:1700'), Step(name='$ref', id=None))
    """
    parts = [part for part in _split(path.strip("/"), "/") if part]
    if len(parts) > PARTS_MAX:
        raise NotThere
    steps = []
    for part in parts:
        found = _STEP.fullmatch(part)
        if found is None:
            raise NotThere
        name, number, text = found.groups()
        steps.append(Step(name, int(number) if number else text.replace("''", "'") if text is not None else None))
    return tuple(steps)


def read_options(query: str, kind: Kind) -> Options:
    """Return what a query string asks of a set of this kind. Raises QueryError, and nothing else."""
    if len(query) > QUERY_MAX:
        raise QueryError(f"Câu hỏi dài {len(query)} ký tự, nhiều hơn {QUERY_MAX}.")
    pairs = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if part:
            pairs.append((unquote_plus(name), unquote_plus(value)))
    return _Reader().read(pairs, kind, 0)


class _Reader:
    def __init__(self) -> None:
        self.expanded = 0

    def read(self, pairs: list[tuple[str, str]], kind: Kind, depth: int) -> Options:
        options = Options()
        seen = set()
        for name, text in pairs:
            if not name.startswith("$"):
                continue  # not of this standard: a token in the address, a mark against caches
            if name in seen:
                raise QueryError(f"{name} có hai lần.")
            seen.add(name)
            options = self._take(options, name, text.strip(), kind, depth)
        return replace(options, said=tuple(pair for pair in pairs if pair[0].startswith("$")))

    def _take(self, options: Options, name: str, text: str, kind: Kind, depth: int) -> Options:
        match name:
            case "$filter":
                try:
                    return replace(options, filter=check_paths(filters.parse(text), kind))
                except filters.FilterError as error:
                    raise QueryError(str(error)) from None
            case "$expand":
                return replace(options, expand=self._read_expand(text, kind, depth))
            case "$select":
                return replace(options, select=_read_select(text, kind))
            case "$orderby":
                return replace(options, orderby=_read_orderby(text, kind))
            case "$top":
                return replace(options, top=_read_whole(name, text))
            case "$skip":
                return replace(options, skip=_read_whole(name, text))
            case "$count":
                if text not in {"true", "false"}:
                    raise QueryError(f"$count phải là true hoặc false, không phải «{text[:40]}».")
                return replace(options, count=text == "true")
            case "$resultFormat":
                if text != "dataArray" or kind.name != "Observations" or depth:
                    raise QueryError("$resultFormat chỉ nhận dataArray, khi hỏi Observations.")
                return replace(options, data_array=True)
            case "$skiptoken":
                return replace(options, after=text)
        raise QueryError(f"Không có tùy chọn «{name[:40]}».")

    def _read_expand(self, text: str, kind: Kind, depth: int) -> tuple[Expand, ...]:
        if depth >= EXPAND_DEPTH:
            raise QueryError(f"$expand lồng nhau quá {EXPAND_DEPTH} tầng.")
        found: dict[str, Options] = {}
        for part in _split(text, ","):
            head, bracket, inner = part.strip().partition("(")
            if bracket and not inner.endswith(")"):
                raise QueryError("$expand thiếu dấu đóng ngoặc.")
            names = head.strip().split("/")
            if len(names) + depth > EXPAND_DEPTH:
                raise QueryError(f"$expand lồng nhau quá {EXPAND_DEPTH} tầng.")
            first, pairs = names[0], []
            for option in _split(inner[:-1], ";"):
                name, _, value = option.partition("=")
                if option.strip():
                    pairs.append((name.strip(), value))
            self.expanded += 1
            if self.expanded > EXPAND_MAX:
                raise QueryError(f"$expand mở nhiều hơn {EXPAND_MAX} nhánh.")
            if first not in kind.links:
                known = ", ".join(kind.links)
                raise QueryError(f"$expand: {kind.singular} không có «{first[:40]}». Có: {known}.")
            target = KINDS[kind.links[first].target]
            if len(names) > 1:  # Datastreams/Sensor: the options are of the last name
                tail = "/".join(names[1:]) + (f"({inner}" if bracket else "")
                options = Options(expand=self._read_expand(tail, target, depth + 1))
            else:
                options = self.read(pairs, target, depth + 1)
            if first in found:  # Datastreams/Sensor,Datastreams/ObservedProperty
                options = replace(options, expand=(*found[first].expand, *options.expand))
            found[first] = options
        return tuple(Expand(link, options) for link, options in found.items())


def _read_whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 9 or int(text) > SKIP_MAX:
        raise QueryError(f"{name} phải là số nguyên từ 0 đến {SKIP_MAX}, không phải «{text[:40]}».")
    return int(text)


def _read_select(text: str, kind: Kind) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in ID_NAMES and name not in kind.properties and name not in kind.links:
            raise QueryError(f"$select: {kind.singular} không có «{name[:40]}».")
    return names


def _read_orderby(text: str, kind: Kind) -> tuple[tuple[tuple[str, ...], bool], ...]:
    found = []
    for part in text.split(","):
        words = part.split()
        if len(words) not in (1, 2) or (len(words) == 2 and words[1].lower() not in ("asc", "desc")):
            raise QueryError(f"$orderby không hiểu «{part.strip()[:40]}». Viết: tên asc hoặc tên desc.")
        names = tuple(words[0].split("/"))
        _check_path(names, kind, "$orderby")
        found.append((names, len(words) == 2 and words[1].lower() == "desc"))
    if len(found) > 5:
        raise QueryError("$orderby nhận nhiều nhất 5 tên.")
    return tuple(found)


def check_paths(expression: Expression, kind: Kind) -> Expression:
    """Return the filter if everything it speaks of can be there. Raises QueryError."""
    for names in filters.paths(expression):
        _check_path(names, kind, "$filter")
    return expression


def _check_path(names: tuple[str, ...], kind: Kind, where: str) -> None:
    if len(names) > 8:
        raise QueryError(f"{where}: đường dẫn «{'/'.join(names)[:40]}…» quá dài.")
    for place, name in enumerate(names):
        if name in ID_NAMES or name in kind.properties:
            if name in ID_NAMES and place + 1 < len(names):
                break
            return  # what follows is inside an object, whose keys anybody may choose
        if name not in kind.links:
            break
        if kind.links[name].target == "Observations":
            raise QueryError(f"{where}: không lọc hay sắp theo Observations được; hỏi thẳng Observations.")
        kind = KINDS[kind.links[name].target]
    else:
        raise QueryError(f"{where}: «{'/'.join(names)[:80]}» là một đối tượng; nêu một thuộc tính của nó.")
    raise QueryError(f"{where}: {kind.singular} không có «{name[:40]}».")


def _split(text: str, mark: str) -> Iterator[str]:
    """Give the parts between marks that stand in no parentheses and in no quotes."""
    depth, start, is_quoted = 0, 0, False
    for place, char in enumerate(text):
        if char == "'":
            is_quoted = not is_quoted
        elif is_quoted:
            continue
        elif char == mark and depth == 0:
            yield text[start:place]
            start = place + 1
        else:
            depth += (char == "(") - (char == ")")
    yield text[start:]
