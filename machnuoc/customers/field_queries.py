"""What a phone takes along: open rounds of a person, the package of one route, and the fate of what was sent."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from django.db.models import Q, QuerySet

from machnuoc.core.folding import fold
from machnuoc.core.models import Person
from machnuoc.core.vietnamese import format_date, format_number
from machnuoc.customers import plausibility, privacy, reading_desk, reading_queries, readings, visibility
from machnuoc.customers.models import Connection, DataAccess, FieldItem, Reading, Round, Route
from machnuoc.places import access

ROUNDS_A_PAGE = 50
FORMAT = 1  # of the package: the page takes no other

Fate, State, Kind = FieldItem.Fate, Reading.State, Reading.Kind


# --- what a person may take along


def list_routes(person: Person) -> QuerySet[Route]:
    """Return the routes that the person reads: all of works where they read meters, else those given to them."""
    reach = reading_desk.list_routes(person, "read_meters").values("pk")
    own = Q(reader=person, work_id__in=access.visible_subject_ids(person, "read_meters"))
    return Route.objects.filter(Q(pk__in=reach) | own)


def list_rounds(person: Person) -> QuerySet[Round]:
    """Return the open rounds of those routes, the newest month first."""
    rows = Round.objects.filter(state=Round.State.OPEN, route__in=list_routes(person).values("pk"))
    return rows.select_related("route__work__subject").order_by("-period_start_date", "route__code")


@dataclass(frozen=True)
class RoundPage:
    """One page of the open rounds of a person. open_ids: of all of them, whatever is asked for."""

    rounds: list[dict[str, Any]]
    page: int
    pages: int
    count: int
    open_ids: list[int]


def find_rounds(person: Person, text: str = "", page: int = 1) -> RoundPage:
    """Return what the first page shows of open rounds, own routes first; of those that match the words of the text.

    Words are looked for in code and name of the route and in the work's name, with or without marks. A page beyond the
    last is the last.
    """
    rows = list_rounds(person).values_list(
        "pk", "route__reader_id", "route__code", "route__name", "route__work__subject__name"
    )
    known = sorted(rows, key=lambda row: row[1] != person.pk)  # within that as they were, the newest month first
    words = fold(text).split()
    found = [row[0] for row in known if all(word in fold(" ".join(row[2:])) for word in words)] if words else [
        row[0] for row in known
    ]  # fmt: skip
    pages = max(1, -(-len(found) // ROUNDS_A_PAGE))
    page = min(max(page, 1), pages)
    shown = found[(page - 1) * ROUNDS_A_PAGE : page * ROUNDS_A_PAGE]
    return RoundPage(_describe(person, shown), page, pages, len(found), [row[0] for row in known])


def _describe(person: Person, ids: Sequence[int]) -> list[dict[str, Any]]:
    rounds = Round.objects.select_related("route__work__subject").in_bulk(ids)
    by_period: dict[date, list[int]] = defaultdict(list)
    for one in rounds.values():
        by_period[one.period_start_date].append(one.route_id)
    counts = {period: reading_desk.count_rounds(routes, period) for period, routes in by_period.items()}
    found = []
    for one in (rounds[pk] for pk in ids if pk in rounds):
        count = counts[one.period_start_date][one.route_id]
        found.append({
            **_head(one), "version": version_of(one.route, count.total), "total": count.total,
            "read": count.read + count.waiting, "is_own": one.route.reader_id == person.pk,
        })  # fmt: skip
    return found


def version_of(route: Route, total: int) -> str:
    """Return what changes when the route is saved, or connections come or go."""
    return f"{route.version}.{total}"


def _head(one: Round) -> dict[str, Any]:
    due = plausibility.reading_day(one.period_start_date, one.route.read_day)
    return {
        "round": one.pk, "period": f"{one.period_start_date:%Y-%m-%d}", "period_name": f"{one.period_start_date:%m/%Y}",
        "code": one.route.code, "name": one.route.name, "work": one.route.work.subject.name,
        "due": format_date(due), "is_simulated": one.route.is_simulated,
    }  # fmt: skip


# --- the package of a route


def rules() -> dict[str, Any]:
    """Return the rule of plausibility.py as the page applies it: thresholds, and what is said of each oddity."""
    return {
        "sudden_factor": plausibility.SUDDEN_FACTOR, "sudden_least_l": plausibility.SUDDEN_LEAST_L,
        "first_most_l": plausibility.FIRST_MOST_L, "zero_least_l": plausibility.ZERO_LEAST_L,
        "rollover_from_pct": plausibility.ROLLOVER_FROM_PCT, "rollover_most_pct": plausibility.ROLLOVER_MOST_PCT,
        "back_most_l": plausibility.BACK_MOST_L, "far_m": plausibility.FAR_M, "neighbours": readings.NEIGHBOURS,
        "warnings": {key: asdict(one) for key, one in plausibility.WARNINGS.items()},
        "unfit": sorted(plausibility.UNFIT),
    }  # fmt: skip


def make_package(one: Round, *, person: Person, now: datetime) -> dict[str, Any]:
    """Return all that the phone needs of a round, in walking order, and write down that it was taken along.

    Litres and ISO days. before_l, mean, uses: as of `reading_queries.meter_facts` before the month. read: what is there
    for the month, so that a house is not walked to twice.
    """
    period = one.period_start_date
    connections = list(readings.to_read(one.route_id, period).select_related("customer"))
    ids = [row.pk for row in connections]
    facts = reading_queries.meter_facts(ids, before=period)
    there = _read_already(ids, period, person)
    items = [_item(row, facts.get(row.pk), there.get(row.pk)) for row in connections]
    purpose = f"Tuyến {one.route.code} kỳ {period:%m/%Y}"
    privacy.log_access(person, DataAccess.What.FIELD, now=now, count=len(items), purpose=purpose)
    return {
        "format": FORMAT, **_head(one), "version": version_of(one.route, len(items)),
        "made_at": now.isoformat(timespec="seconds"), "rules": rules(),
        "reasons": [[key, label] for key, label in Reading.NoAccess.choices if key], "items": items,
    }  # fmt: skip


def _item(row: Connection, facts: reading_queries.MeterFacts | None, there: dict[str, Any] | None) -> dict[str, Any]:
    shown = privacy.show(row.customer, row, unmasked=True)  # a reader knocks at this very door
    found: dict[str, Any] = {
        "id": row.pk, "code": row.code, "name": shown.name, "address": shown.address, "households": row.households,
        "status": "" if row.status == Connection.Status.ACTIVE else row.get_status_display(),
        "lat": row.latitude, "lon": row.longitude, "meter": None, "read": there, "is_simulated": row.is_simulated,
    }  # fmt: skip
    if facts is not None:
        found["meter"] = {
            "serial": facts.serial, "digits": facts.digits, "whole_m3": facts.whole_m3, "before_l": facts.before_l,
            "before_date": facts.before_date.isoformat(), "mean": list(facts.mean) if facts.mean else None,
            "uses": [
                {"month": f"{use.period_start_date:%m/%Y}", "volume_l": use.volume_l, "is_estimated": use.is_estimated}
                for use in facts.uses
            ],
        }  # fmt: skip
    return found


def _read_already(ids: Collection[int], period: date, person: Person) -> dict[int, dict[str, Any]]:
    rows = Reading.objects.filter(
        connection_id__in=ids, period_start_date=period, state__in=reading_desk.COUNTS, index_l__isnull=False
    ).exclude(kind=Kind.ESTIMATED)
    found: dict[int, dict[str, Any]] = {}
    for connection_id, index_l, state, by, source in rows.order_by("received_at", "pk").values_list(
        "connection_id", "index_l", "state", "read_by_id", "source"
    ):
        is_own = by == person.pk and source == Reading.Source.FIELD
        found.setdefault(connection_id, {"index_l": index_l, "state": state, "is_own": is_own})
    return found


# --- what became of what was sent


@dataclass(frozen=True)
class Shown:
    """The fate of one item as it stands today: that of its arrival, or what the office and other phones made of it."""

    client_id: str
    fate: str
    reason: str


def list_fates(person: Person, client_ids: Iterable[uuid.UUID]) -> list[Shown]:
    """Return what became of the person's own items, in three queries. Ids that never arrived are left out."""
    items = list(FieldItem.objects.filter(person=person, client_id__in=list(client_ids)).select_related("reading"))
    live = [one.reading for one in items if one.reading is not None and one.reading.state in reading_desk.COUNTS]
    rivals = _rivals(live)
    return [_fate_now(one, rivals) for one in items]


def _rivals(live: Collection[Reading]) -> dict[tuple[int, date | None], list[Reading]]:
    """Return, by connection and month, the readings that a person must choose between."""
    keys = {(one.connection_id, one.period_start_date) for one in live if one.period_start_date is not None}
    rows = Reading.objects.filter(
        connection_id__in={pk for pk, _ in keys}, period_start_date__in={month for _, month in keys},
        index_l__isnull=False, state__in=reading_desk.COUNTS,
    ).exclude(kind=Kind.ESTIMATED)  # fmt: skip
    found: dict[tuple[int, date | None], list[Reading]] = defaultdict(list)
    for row in rows:
        found[row.connection_id, row.period_start_date].append(row)
    return {
        key: rows
        for key, rows in found.items()
        if key in keys and len(rows) > 1 and any(row.state == State.CONFLICT for row in rows)
    }


def _fate_now(item: FieldItem, rivals: dict[tuple[int, date | None], list[Reading]]) -> Shown:
    def say(fate: str, reason: str) -> Shown:
        return Shown(str(item.client_id), fate, reason)

    reading = item.reading
    if reading is None or item.fate == Fate.DUPLICATE:
        return say(item.fate, item.reason)
    if reading.state == State.REFUSED:
        return say(Fate.REFUSED, f"Văn phòng không dùng chỉ số này: {reading.judged_note or 'đã chọn chỉ số khác'}")
    if reading.state == State.SUPERSEDED:
        return say(Fate.STORED, f"Đã lưu, sau đó được thay: {reading.judged_note or 'có chỉ số mới'}")
    others = [one for one in rivals.get((reading.connection_id, reading.period_start_date), ()) if one.pk != reading.pk]
    if others:
        shown = ", ".join(format_number(one.index_l // 1000) for one in others if one.index_l is not None)
        return say(Fate.CONFLICT, f"Có chỉ số khác cho cùng kỳ: {shown} m³. Giữ cả hai, văn phòng sẽ chọn.")
    if reading.state == State.ACCEPTED and item.fate in (Fate.SUSPECT, Fate.CONFLICT):
        return say(Fate.STORED, "Văn phòng đã xem lại và nhận.")
    if reading.state == State.SUSPECT and item.fate == Fate.STORED:
        titles = "; ".join(plausibility.WARNINGS[key].title for key in reading.flags)
        return say(Fate.SUSPECT, titles)
    return say(item.fate, item.reason)


# --- what the office sees


def list_items(person: Person) -> QuerySet[FieldItem]:
    """Return the items on connections that the person serves, and those kept without a reading of people there."""
    overseen = access.list_overseen_ids(person, "serve")
    without = Q(reading__isnull=True) if overseen is None else Q(reading__isnull=True, person_id__in=overseen)
    within = visibility.within(person, "serve", "reading__connection__")
    # An empty condition holds for all, and would be lost by «or».
    rows = FieldItem.objects.all() if within == Q() else FieldItem.objects.filter(within | without)
    return rows.select_related("person", "reading__connection__work__subject")
