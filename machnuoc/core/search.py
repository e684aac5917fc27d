"""The search box: one row an object, its text folded, found by any piece of three characters or the start of a word.

`folded` holds " title | text ", both folded: blanks at both ends let " ha" find words that begin so, and the bar keeps
the title apart. The trigram indexes of both databases count blanks as characters, so short words use them too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Case, F, IntegerField, Q, QuerySet, Value, When, Window
from django.db.models.expressions import RawSQL
from django.db.models.functions import Length, RowNumber, StrIndex

from machnuoc.core.folding import fold
from machnuoc.core.models import SearchEntry

QUERY_AT_MOST = 100  # characters of a query that are looked at


@dataclass(frozen=True)
class Entry:
    """What the search shows of one object. text: what else finds it; the title always does."""

    kind: str
    object_id: int
    title: str
    url: str
    text: str = ""
    subtitle: str = ""
    subject_id: int | None = None
    weight: int = 0


def put(
    kind: str,
    object_id: int,
    *,
    title: str,
    subtitle: str = "",
    url: str,
    text: str,
    subject_id: int | None = None,
    weight: int = 0,
) -> None:
    """Make an object findable, or renew how it is found. subject_id decides who may find it; None: everyone."""
    put_many([Entry(kind, object_id, title, url, text, subtitle, subject_id, weight)])


def put_many(entries: Iterable[Entry]) -> None:
    """Make objects findable, 1,000 rows a statement. Of two entries for one object the later one counts."""
    unique = {(entry.kind, entry.object_id): entry for entry in entries}
    SearchEntry.objects.bulk_create(
        [
            SearchEntry(
                kind=entry.kind,
                object_id=entry.object_id,
                subject_id=entry.subject_id,
                title=entry.title[:300],
                subtitle=entry.subtitle[:300],
                url=entry.url,
                weight=entry.weight,
                folded=f" {fold(entry.title)} | {fold(entry.text)} ",
            )
            for entry in unique.values()
        ],
        batch_size=1_000,
        update_conflicts=True,
        unique_fields=["kind", "object_id"],
        update_fields=["subject_id", "title", "subtitle", "url", "weight", "folded"],
    )


def remove(kind: str, object_id: int) -> None:
    SearchEntry.objects.filter(kind=kind, object_id=object_id).delete()


def find(query: str, *, kinds: Iterable[str] | None = None, within: Any = None, limit: int = 20) -> list[SearchEntry]:
    """Return entries in which every word of the query occurs, the likeliest first.

    Words of three characters or more may stand anywhere in a word, shorter ones at its start. Order: the title itself;
    a title that begins with the query; one with the query at the start of a word; the rest.
    Then by weight and shorter title.

    within: subject ids (a queryset or a collection) of what the person may see; None: no limit. Entries without a
    subject are always found.
    """
    return list(_ranked(query, kinds, within).order_by(*_ORDER)[:limit])


def find_each(query: str, *, kinds: Iterable[str], within: Any = None, limit: int = 20) -> dict[str, list[SearchEntry]]:
    """Return for each kind that has any up to `limit` entries as `find` orders them, in one query for all kinds."""
    place_in_kind = Window(RowNumber(), partition_by="kind", order_by=list(_ORDER))
    rows = _ranked(query, kinds, within).annotate(place_in_kind=place_in_kind).filter(place_in_kind__lte=limit)
    found: dict[str, list[SearchEntry]] = {}
    for row in rows.order_by("kind", "place_in_kind"):
        found.setdefault(row.kind, []).append(row)
    return found


_ORDER = ("rank", "-weight", Length("title").asc(), "title", "id")


def _ranked(query: str, kinds: Iterable[str] | None, within: Any) -> QuerySet[SearchEntry]:
    words = _words(query)
    found = _matching(words)
    if kinds is not None:
        found = found.filter(kind__in=list(kinds))
    if within is not None:
        found = found.filter(Q(subject_id__isnull=True) | Q(subject_id__in=within))
    phrase = " ".join(words)
    found = found.alias(place=StrIndex("folded", Value(f" {phrase}")), title_end=StrIndex("folded", Value("|")))
    rank = Case(
        When(folded__startswith=f" {phrase} |", then=Value(0)),
        When(place=1, then=Value(1)),
        When(place__gt=0, place__lt=F("title_end"), then=Value(2)),
        default=Value(3),
        output_field=IntegerField(),
    )
    return found.annotate(rank=rank)


def matching_ids(kind: str, query: str) -> QuerySet[SearchEntry, int]:
    """Return the object ids of one kind that a query finds, for `filter(pk__in=…)` in a list. No words: no ids."""
    return _matching(_words(query)).filter(kind=kind).values_list("object_id", flat=True)


def _words(query: str) -> list[str]:
    return fold(query[:QUERY_AT_MOST]).split()


def _matching(words: list[str]) -> QuerySet[SearchEntry]:
    if not words:
        return SearchEntry.objects.none()
    pieces = [word if len(word) >= 3 else f" {word}" for word in dict.fromkeys(words)]
    found = SearchEntry.objects.all()
    if connection.vendor == "sqlite":
        indexed = [piece for piece in pieces if len(piece) >= 3]  # a trigram index cannot look up less
        pieces = [piece for piece in pieces if len(piece) < 3]
        if indexed:
            match = " AND ".join(f'"{piece}"' for piece in indexed)  # folded: letters, digits and blanks alone
            found = found.filter(
                id__in=RawSQL(
                    "SELECT rowid FROM core_searchentry_trigram WHERE core_searchentry_trigram MATCH %s", [match]
                )
            )
    for piece in pieces:
        found = found.filter(folded__contains=piece)
    return found
