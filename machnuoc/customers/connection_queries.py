"""Reading of connections: pages of long lists, search by any piece of a code, name, address or phone, counts.

A list may hold a million rows, so a page is found by walking an index from where the former page ended, never by
counting or skipping. What the search looks in is `Connection.folded` (trigram index on both databases), the unique
code, and the phone of the customer (partial index). Who may not see personal data unmasked searches by code alone.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django.db import connection as database
from django.db.models import Count, Max, Q, QuerySet, Sum
from django.db.models.expressions import RawSQL
from django.db.models.functions import TruncMonth

from machnuoc.core.folding import fold
from machnuoc.core.models import Person
from machnuoc.core.periods import Period
from machnuoc.customers import visibility
from machnuoc.customers.models import Application, Connection, Customer
from machnuoc.places import access
from machnuoc.works.models import Work

PAGE_ROWS = 50
QUERY_AT_MOST = 100  # characters of a query that are looked at
WORKS_AT_MOST = 60  # up to so many works each is walked by its own index
SMALL_SCOPE_ROWS = 20_000  # up to so many connections a scope is read through instead of the whole search index
COUNT_AT_MOST = 1_000
PHONES_AT_MOST = 2_000  # of one beginning that are looked at
_PHONE_LEAST = 4  # digits


@dataclass(frozen=True)
class Filters:
    """What a list is asked for; empty asks for everything. route: its id."""

    q: str = ""
    work: int = 0
    status: str = ""
    group: str = ""
    origin: str = ""
    route: int = 0
    poverty_year: int = 0

    @property
    def is_empty(self) -> bool:
        return self == Filters()


@dataclass(frozen=True)
class ListPage:
    """One page of connections. after: where the next page begins, empty at the end. is_masked: see privacy."""

    rows: Sequence[Connection]
    after: str
    is_first: bool
    is_masked: bool
    served: frozenset[int] = field(default_factory=frozenset)


def action_of(person: Person) -> str:
    """Return by which right the person sees the list: serve (unmasked), own routes, or view (masked)."""
    for action in ("serve", "read_meters"):
        if access.may(person, action):
            return action
    return "view"


def list_page(person: Person, filters: Filters, *, after: str = "", size: int = PAGE_ROWS) -> ListPage:
    """Return one page of the connections that the person sees. after: of the former page; a wrong one begins anew."""
    action = action_of(person)
    ids = _found_ids(person, action, filters, after, size + 1)
    shown = ids[:size]
    by_id = {one.pk: one for one in with_names(Connection.objects.filter(pk__in=shown))}
    rows = [by_id[pk] for pk in shown if pk in by_id]
    served = visibility.served_among(person, rows) if action == "serve" else frozenset()
    more = ""
    if len(ids) > size and rows:
        more = _cursor_of(rows[-1], by_code=not _words(filters.q))
    return ListPage(rows, more, not after, action != "serve", served)


def find_ids(person: Person, filters: Filters, limit: int) -> list[int]:
    """Return the ids of the first connections of a list, where their rows are not needed."""
    return _found_ids(person, action_of(person), filters, "", limit)


def with_names(rows: QuerySet[Connection]) -> QuerySet[Connection]:
    """Return the rows with what every list shows: customer, work, place, route."""
    return rows.select_related("customer", "work__subject", "place", "route")


def select(person: Person, filters: Filters) -> QuerySet[Connection]:
    """Return all connections of a list, by code, for a file: to be read by iterator()."""
    action = action_of(person)
    rows = _narrow(visibility.list_connections(person, action), filters)
    words = _words(filters.q)
    if words:
        rows = rows.filter(_matches(filters.q, words, is_masked=action != "serve"))
    return with_names(rows).order_by("code")


def _narrow(rows: QuerySet[Connection], filters: Filters) -> QuerySet[Connection]:
    for name in ("status", "group", "origin"):
        if getattr(filters, name):
            rows = rows.filter(**{name: getattr(filters, name)})
    if filters.work:
        rows = rows.filter(work_id=filters.work)
    if filters.route:
        rows = rows.filter(route_id=filters.route)
    if filters.poverty_year:
        rows = rows.filter(customer__poverty_years__year=filters.poverty_year)
    return rows


# --- walking by code


def _found_ids(person: Person, action: str, filters: Filters, after: str, limit: int) -> list[int]:
    words = _words(filters.q)
    place = _read_cursor(after)
    if words:
        return _search(person, action, filters, words, int(place[1]) if place and place[0] == "i" else 0, limit)
    rows = _narrow(visibility.list_connections(person, action), filters)
    code = place[1] if place and place[0] == "c" else ""
    if code:
        rows = rows.filter(code__gt=code)
    works = [filters.work] if filters.work else visibility.list_work_ids(person, action)
    if works is None and (filters.status or filters.group):  # indexes by work help where few have it
        works = list(Work.objects.order_by("pk").values_list("pk", flat=True)[: WORKS_AT_MOST + 1])
    if filters.work or works is None or not 1 < len(works) <= WORKS_AT_MOST or action == "read_meters":
        return list(rows.order_by("code").values_list("pk", flat=True)[:limit])
    # Neither database walks one index in order over several works: each gives its own first rows, which are merged.
    base = _narrow(Connection.objects.all(), filters)
    base = base.filter(code__gt=code) if code else base
    parts: list[str] = []
    values: list[Any] = []
    for work in works:
        part = base.filter(work_id=work).order_by("code").values("id", "code")[:limit]
        sql, said = part.query.sql_with_params()
        parts.append(f"SELECT * FROM ({sql}) AS part")  # noqa: S608 - the ORM's own
        values += said
    whole = " UNION ALL ".join(parts)
    with database.cursor() as cursor:
        cursor.execute(f"SELECT * FROM ({whole}) AS whole ORDER BY 2 LIMIT {int(limit)}", values)  # noqa: S608 - ORM's own
        return [row[0] for row in cursor.fetchall()]


def _cursor_of(row: Connection, *, by_code: bool) -> str:
    text = f"c{row.code}" if by_code else f"i{row.pk}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(after: str) -> tuple[str, str] | None:
    """Return ("c", code) or ("i", id) of the last row shown; None for what this program did not give."""
    if not after or len(after) > 60:
        return None
    try:
        text = base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    kind, rest = text[:1], text[1:]
    if (kind == "i" and rest.isdecimal() and len(rest) <= 18) or (kind == "c" and rest and "\0" not in rest):
        return kind, rest
    return None


# --- searching


def folded_text(code: str, name: str, address: str) -> str:
    """Return what the search looks in, for `Connection.folded`: folded, parted by bars, blanks at both ends.

    >>> folded_text("DN-12", "Nguyễn Văn Đà", "Thôn 1")
    ' dn 12 | nguyen van da | thon 1 '
    """
    return f" {fold(code)} | {fold(name)} | {fold(address)} "[:400]


def _words(query: str) -> list[str]:
    return list(dict.fromkeys(fold(query[:QUERY_AT_MOST]).split()))


def _digits(query: str) -> str:
    """Return the phone number that a query may be, in national form; empty if it is none."""
    plain = "".join(char for char in query if char not in " .-()")
    if plain.startswith("+84"):
        plain = "0" + plain[3:]
    return plain if plain.isascii() and plain.isdigit() and len(plain) >= _PHONE_LEAST else ""


def _search(person: Person, action: str, filters: Filters, words: list[str], after_id: int, limit: int) -> list[int]:
    """Return ids: the very code first, then by phone, then by text in the order of entry."""
    rows = _narrow(visibility.list_connections(person, action), filters)
    is_masked = action != "serve"
    is_small = not is_masked and _is_small(person, action, filters)
    found: list[int] = []
    more: Any
    if after_id == 0:
        found += rows.filter(code=filters.q.strip().upper()).values_list("pk", flat=True)[:1]
        digits = "" if is_masked else _digits(filters.q)
        if digits:
            found += _by_phone(rows, digits, is_small=is_small)[:limit]
    rows = rows.filter(pk__gt=after_id) if after_id else rows
    if is_masked:
        more = rows.filter(code__istartswith=filters.q.strip()).order_by("pk").values_list("pk", flat=True)[:limit]
    elif database.vendor == "sqlite" and not is_small:
        more = _walk_trigrams(rows, words, after_id, limit)
    else:
        more = rows.filter(_like(words)).order_by("pk").values_list("pk", flat=True)[:limit]
    # The first page may begin with some that the text finds too; they are not shown twice on it.
    return list(dict.fromkeys([*found, *more]))[:limit] if not after_id else list(more)


def _by_phone(rows: QuerySet[Connection], digits: str, *, is_small: bool) -> list[int]:
    """Return the connections whose customer's phone begins so, by the index of phones, or in a small scope."""
    first, last = _phones(digits)
    if is_small:
        found = rows.filter(customer__phone__gte=first, customer__phone__lt=last)
        return sorted(found.order_by().values_list("pk", flat=True)[:PHONES_AT_MOST])
    # In two steps: asked in one, SQLite reads the whole scope.
    customers = customers_by_phone(digits).values("pk")[:PHONES_AT_MOST]
    theirs = list(Connection.objects.filter(customer_id__in=customers).values_list("pk", flat=True)[:PHONES_AT_MOST])
    return sorted(rows.filter(pk__in=theirs).order_by().values_list("pk", flat=True)) if theirs else []


def _phones(digits: str) -> tuple[str, str]:
    """Return the span of the numbers that begin with the digits."""
    return digits, digits[:-1] + chr(ord(digits[-1]) + 1)


def customers_by_phone(digits: str) -> QuerySet[Customer]:
    """Return the customers whose phone begins with these digits, by its index."""
    first, last = _phones(digits)
    return Customer.objects.filter(~Q(phone=""), phone__gte=first, phone__lt=last).order_by("phone")


def _is_small(person: Person, action: str, filters: Filters) -> bool:
    """Return whether so few connections are in reach that reading them all beats walking the whole search index."""
    works = [filters.work] if filters.work else visibility.list_work_ids(person, action)
    if works is None:
        return False
    rows = Connection.objects.filter(work_id__in=works).values("pk")[: SMALL_SCOPE_ROWS + 1]
    return rows.count() <= SMALL_SCOPE_ROWS


def _like(words: list[str]) -> Q:
    """Return the condition that all words occur: long ones anywhere, short ones at the start of a word."""
    found = Q()
    for word in words:
        found &= Q(folded__contains=word if len(word) >= 3 else f" {word}")
    return found


def _match_text(words: list[str]) -> tuple[str, list[str]]:
    """Return what to ask of the trigram index of SQLite, and the pieces that are too short for it."""
    pieces = [word if len(word) >= 3 else f" {word}" for word in words]
    indexed = [piece for piece in pieces if len(piece) >= 3]
    # Folded: letters, digits and blanks alone, so nothing in it is a sign of the index' own language.
    return " AND ".join(f'"{piece}"' for piece in indexed), [piece for piece in pieces if len(piece) < 3]


def _walk_trigrams(rows: QuerySet[Connection], words: list[str], after_id: int, limit: int) -> list[int]:
    """Return ids in order, reading the index only as far as the page needs."""
    match, short = _match_text(words)
    if not match:
        return list(rows.filter(_like(words)).order_by("pk").values_list("pk", flat=True)[:limit])
    rows = rows.filter(_like(short)) if short else rows
    # The index gives ids in their order and stops when the page is full; `pk IN (…)` would first gather them all.
    sql, values = rows.order_by().values("id").query.sql_with_params()
    inner = f"SELECT 1 FROM ({sql}) AS mine WHERE mine.id = t.rowid"  # noqa: S608 - the ORM's own
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT t.rowid FROM customers_connection_trigram AS t WHERE customers_connection_trigram MATCH %s "  # noqa: S608
            f"AND t.rowid > %s AND EXISTS ({inner}) ORDER BY t.rowid LIMIT {int(limit)}",
            [match, after_id, *values],
        )
        return [row[0] for row in cursor.fetchall()]


def _matches(query: str, words: list[str], *, is_masked: bool) -> Q:
    """Return the condition of a search, for files."""
    code = Q(code__iexact=query.strip())
    if is_masked:
        return code | Q(code__istartswith=query.strip())
    digits = _digits(query)
    if digits:
        code |= Q(customer_id__in=customers_by_phone(digits).order_by().values("pk"))
    match, short = _match_text(words)
    if database.vendor != "sqlite" or not match:
        return code | _like(words)
    sql = "SELECT rowid FROM customers_connection_trigram WHERE customers_connection_trigram MATCH %s"
    return code | (Q(pk__in=RawSQL(sql, [match])) & (_like(short) if short else Q()))  # noqa: S611 - no text of users


# --- single ones


def get_connection(person: Person, code: str) -> Connection:
    """Return a connection that the person may at least view (masked). Raises Connection.DoesNotExist."""
    seen = visibility.within_any(person, ("view", "serve", "read_meters"))
    rows = Connection.objects.select_related(
        "customer__operator__subject", "work__subject", "work__operator__subject", "place", "route"
    )
    return rows.filter(seen).get(code=code)


def sees_unmasked(person: Person, one: Connection) -> bool:
    """Return whether the person sees the connection's personal data in full."""
    return visibility.may(person, "serve", one)


# --- counts


def count_up_to(rows: QuerySet[Any], most: int = COUNT_AT_MOST) -> tuple[int, bool]:
    """Return how many rows there are, and whether there are more than that: a long list is not counted to its end."""
    found = rows.order_by().values("pk")[: most + 1].count()
    return min(found, most), found > most


def count_by_status(work_ids: Sequence[int] | None) -> dict[str, int]:
    """Return {status: connections} of works (None: all)."""
    rows = Connection.objects.all() if work_ids is None else Connection.objects.filter(work_id__in=work_ids)
    return dict(rows.order_by().values_list("status").annotate(Count("pk")))


@dataclass(frozen=True)
class NewConnections:
    """Columns of one length: work, month (its first day), connections put in, households these serve."""

    work_id: list[int]
    month: list[date]
    connections: list[int]
    households: list[int]


def new_connections(period: Period, work_ids: Sequence[int] | None = None) -> NewConnections:
    """Return the connections that came into use in a period, by work and month.

    Counted: newly developed ones (origin NEW) with a day of connection in the period, those closed since included: they
    did grow the station. Not counted: customers that came with a handed-over work, and those from before the system.
    """
    rows = Connection.objects.filter(
        origin=Connection.Origin.NEW, connected_date__gte=period.start_date, connected_date__lt=period.end_date
    )
    if work_ids is not None:
        rows = rows.filter(work_id__in=work_ids)
    found = list(
        rows.order_by()
        .annotate(month=TruncMonth("connected_date"))
        .values_list("work_id", "month")
        .annotate(Count("pk"), Sum("households"))
        .order_by("work_id", "month")
    )
    return NewConnections(
        [row[0] for row in found], [row[1] for row in found], [row[2] for row in found], [row[3] for row in found]
    )


def next_number(model: type[Connection] | type[Customer] | type[Application]) -> int:
    """Return a number that no row of the table has taken as its key yet; two at once may get the same."""
    return (model._default_manager.aggregate(last=Max("pk"))["last"] or 0) + 1
