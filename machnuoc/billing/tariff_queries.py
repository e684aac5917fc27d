"""What reads tariffs: which prices and fees apply where and when, who sees which tariff, where each is used."""

import tomllib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from django.db.models import Count, Max, OuterRef, Prefetch, Q, QuerySet, Subquery

from machnuoc.billing import tariff, tariff_checks
from machnuoc.billing.models import Bill, BillLine, FeeRule, PriceFrame, Tariff, TariffPrice
from machnuoc.billing.tariff_checks import Frame, Problem, Row
from machnuoc.core.models import Person
from machnuoc.customers.models import Group
from machnuoc.places import access
from machnuoc.places.models import Containment, Subject

FRAMES_FILE = Path(__file__).parent / "data" / "price_frames.toml"
EXAMPLES_FILE = Path(__file__).parent / "data" / "tariff_examples.toml"
GROUP_NAMES: tuple[str, ...] = tuple(Group.values)  # the codes of `tariff_columns` are indices into it
# Of two scopes that hold a work, the closer one: a work before an organisation before a territory before the country.
_CLOSEST_LAST = (
    Subject.Kind.COUNTRY, Subject.Kind.UNIT, Subject.Kind.URBAN_AREA, Subject.Kind.VILLAGE,
    Subject.Kind.ORGANISATION, Subject.Kind.PROJECT, Subject.Kind.WORK,
)  # fmt: skip


# --- which prices and fees apply


@dataclass(frozen=True, slots=True)
class PriceSpan:
    """Days with one tariff and one set of fees: from a day, up to (not with) another. tariff_id 0: none in force."""

    from_date: date
    to_date: date
    tariff_id: int
    fee_basis_points: Mapping[str, int]  # by group


@dataclass(frozen=True)
class PriceBook:
    """The prices and fees of works in a span of time; made by `price_book` in a few queries for any number of works."""

    from_date: date
    to_date: date
    prices: Mapping[int, tariff.Prices]  # by tariff id, as `tariff.charge` and `charge_columns` take them
    by_work: Mapping[int, tuple[PriceSpan, ...]]  # cover from_date … to_date without a gap

    def spans(self, work_id: int, from_date: date, to_date: date) -> list[PriceSpan]:
        """Return the spans that cover these days, cut to them. Raises ValueError for days outside the book."""
        if not self.from_date <= from_date < to_date <= self.to_date:
            raise ValueError(f"{from_date} to {to_date} lies outside {self.from_date} to {self.to_date}")
        whole = self.by_work[work_id]
        first = bisect_right(whole, from_date, key=lambda span: span.from_date) - 1
        found = []
        for span in whole[first:]:
            if span.from_date >= to_date:
                break
            cut = (max(span.from_date, from_date), min(span.to_date, to_date))
            found.append(PriceSpan(*cut, span.tariff_id, span.fee_basis_points))
        return found


def price_book(work_ids: Iterable[int], from_date: date, to_date: date) -> PriceBook:
    """Return which tariff and fees apply at each work on each day from from_date up to (not with) to_date.

    On a day the tariff in force of the closest scope counts (the work, its organisation, its territory), and for each
    group the closest fee rule; of rules of one scope the one that names the group. No rule: no fee.
    """
    works = sorted(set(work_ids))
    in_time = Q(valid_from__lt=to_date) & (Q(valid_to__isnull=True) | Q(valid_to__gt=from_date))
    tariffs = list(_ranked(Tariff.objects.filter(in_time, state=Tariff.State.IN_FORCE)).prefetch_related("prices"))
    rules = list(_ranked(FeeRule.objects.filter(in_time)))
    rank = {row.scope_id: _rank(row) for row in (*tariffs, *rules)}
    reached = defaultdict(set)
    for scope_id, work_id in _pairs(rank, works):
        reached[work_id].add(scope_id)
    made: dict[frozenset[int], tuple[PriceSpan, ...]] = {}  # many works lie in the same scopes
    by_work = {}
    for work_id in works:
        key = frozenset(reached[work_id])
        if key not in made:
            mine = [row for row in tariffs if row.scope_id in key]
            fees = [row for row in rules if row.scope_id in key]
            made[key] = _spans(mine, fees, rank, from_date, to_date)
        by_work[work_id] = made[key]
    used = {span.tariff_id for spans in made.values() for span in spans}
    return PriceBook(from_date, to_date, {row.pk: prices_of(row) for row in tariffs if row.pk in used}, by_work)


def _pairs(scopes: Iterable[int], works: list[int]) -> Iterable[tuple[int, int]]:
    inside = Containment.objects.filter(ancestor_id__in=scopes)
    if len(works) < 500:  # a longer list is no condition for a database; its rows are picked out here
        inside = inside.filter(descendant_id__in=works)
        return inside.values_list("ancestor_id", "descendant_id")
    inside = inside.filter(descendant__kind=Subject.Kind.WORK)
    wanted = set(works)
    return [pair for pair in inside.values_list("ancestor_id", "descendant_id") if pair[1] in wanted]


def _ranked(rows: Any) -> Any:
    holders = Containment.objects.filter(descendant=OuterRef("scope")).order_by().values("descendant")
    return rows.select_related("scope").annotate(holders=Subquery(holders.annotate(count=Count("*")).values("count")))


def _rank(row: Any) -> tuple[int, int, int]:
    """Return how close the scope of a row is, larger is closer: by kind, then by how many hold it, then the newer."""
    return _CLOSEST_LAST.index(Subject.Kind(row.scope.kind)), row.holders or 0, row.scope_id


def _spans(
    tariffs: list[Tariff], rules: list[FeeRule], rank: Mapping[int, tuple[int, int, int]], start: date, end: date
) -> tuple[PriceSpan, ...]:
    edges = {start, end}
    for begin, finish in [*((t.valid_from, t.valid_to) for t in tariffs), *((r.valid_from, r.valid_to) for r in rules)]:
        edges |= {max(begin, start), min(finish or end, end)}
    spans: list[PriceSpan] = []
    days = sorted(edges)
    for day, following in pairwise(days):
        closest = max((row for row in tariffs if _covers(row, day)), key=lambda row: rank[row.scope_id], default=None)
        there = [row for row in rules if _covers(row, day)]
        fees = {}
        for group in GROUP_NAMES:
            mine = [row for row in there if row.group in ("", group)]
            rule = max(mine, key=lambda row: (rank[row.scope_id], row.group != "", row.valid_from), default=None)
            fees[group] = rule.basis_points if rule else 0
        span = PriceSpan(day, following, closest.pk if closest else 0, fees)
        last = spans[-1] if spans else None
        if last and (last.tariff_id, last.fee_basis_points) == (span.tariff_id, fees):
            spans[-1] = PriceSpan(last.from_date, following, span.tariff_id, fees)
        else:
            spans.append(span)
    return tuple(spans)


def _covers(row: Tariff | FeeRule, day: date) -> bool:
    return row.valid_from <= day and (row.valid_to is None or day < row.valid_to)


def prices_of(row: Tariff) -> tariff.Prices:
    """Return a tariff as the calculation takes it; its prices are read (prefetch them for many)."""
    blocks: dict[str, list[tariff.Block]] = defaultdict(list)
    structures = {}
    for price in sorted(row.prices.all(), key=lambda one: one.from_l):
        blocks[price.group].append(tariff.Block(price.from_l, price.to_l, price.price_vnd))
        structures[price.group] = price.structure
    return tariff.Prices(
        tariff_id=row.pk,
        groups={group: tariff.GroupPrices(structures[group], tuple(found)) for group, found in blocks.items()},
        vat_basis_points=row.vat_basis_points,
        includes_vat=row.includes_vat,
        minimum_l_per_household=row.minimum_l_per_household or 0,
    )


# --- frames, fees and examples


def load_frames() -> int:
    """Bring the frames of prices in step with the data file; return how many are new or changed."""
    with FRAMES_FILE.open("rb") as file:
        rows = tomllib.load(file)["frame"]
    changed = 0
    for row in rows:
        key = {"area": row["area"], "valid_from": row["valid_from"]}
        fields = {name: row.get(name) for name in ("low_vnd", "high_vnd", "valid_to", "document", "is_verified")}
        changed += not PriceFrame.objects.filter(**key, **fields).exists()
        PriceFrame.objects.update_or_create(**key, defaults=fields)
    return changed


def list_frames() -> list[PriceFrame]:
    """Return the frames, newest first within an area; the data file is read in the first time that somebody asks."""
    found = list(PriceFrame.objects.order_by("area", "-valid_from"))
    if not found:
        load_frames()
        found = list(PriceFrame.objects.order_by("area", "-valid_from"))
    return found


def get_frame(area: str, on_date: date) -> Frame | None:
    """Return the frame of an area on a day, None if there was none."""
    for row in list_frames():
        if row.area == area and row.valid_from <= on_date and (row.valid_to is None or on_date < row.valid_to):
            return Frame(row.get_area_display(), row.low_vnd, row.high_vnd, row.document, row.is_verified)
    return None


@dataclass(frozen=True)
class Example:
    """A tariff that was read somewhere: to begin a draft from. includes_vat None: not read."""

    key: str
    name: str
    place: str
    area: str
    decision: str
    decision_date: date | None
    includes_vat: bool | None
    is_verified: bool
    note: str
    rows: tuple[Row, ...]


def list_examples() -> list[Example]:
    with EXAMPLES_FILE.open("rb") as file:
        tables = tomllib.load(file)["tariff"]
    return [
        Example(
            key=table["id"], name=table["name"], place=table["place"], area=table["area"], decision=table["decision"],
            decision_date=table.get("decision_date"), includes_vat=table.get("includes_vat"),
            is_verified=table["confidence"] == "verified", note=table.get("note", ""),
            rows=tuple(row for group in table["group"] for row in _example_rows(group)),
        )
        for table in tables
    ]  # fmt: skip


def _example_rows(group: dict[str, Any]) -> Iterable[Row]:
    from_l = 0
    for to_m3, price_vnd in group["blocks"]:
        to_l = to_m3 * 1_000 if to_m3 != "" else None
        yield Row(group["group"], group["structure"], from_l, to_l, price_vnd)
        from_l = to_l or 0


def list_fee_rules(person: Person) -> QuerySet[FeeRule]:
    """Return the fee rules that reach something the person sees."""
    return FeeRule.objects.filter(_reaching(person)).select_related("scope").order_by("scope__name", "-valid_from")


# --- tariffs


def list_tariffs(person: Person) -> QuerySet[Tariff]:
    """Return the tariffs of what the person sees, and those of what holds it."""
    return Tariff.objects.filter(_reaching(person)).select_related("scope")


def _reaching(person: Person) -> Q:
    """Return the condition of scopes that lie in the person's, or hold them. Cashiers serve where they do not view."""
    if access.sees_everything(person) or access.sees_everything(person, "serve"):
        return Q()
    scopes = {*access.list_scopes(person, "view"), *access.list_scopes(person, "serve")}
    inside = Containment.objects.filter(ancestor_id__in=scopes).values("descendant_id")
    holding = Containment.objects.filter(descendant_id__in=scopes).values("ancestor_id")
    return Q(scope_id__in=inside) | Q(scope_id__in=holding)


def rows_of(row: Tariff) -> list[Row]:
    """Return the prices of a tariff as the checks take them, in the order of groups and blocks."""
    order = {group: number for number, group in enumerate(GROUP_NAMES)}
    found = [Row(one.group, one.structure, one.from_l, one.to_l, one.price_vnd) for one in row.prices.all()]
    return sorted(found, key=lambda one: (order[one.group], one.from_l))


def find_problems(row: Tariff, rows: Iterable[Row] | None = None, *, on_date: date | None = None) -> list[Problem]:
    """Return what is wrong with a tariff's prices, by the frame of the day it begins (or of on_date)."""
    return tariff_checks.find_problems(
        rows_of(row) if rows is None else rows,
        group_names=dict(Group.choices),
        vat_basis_points=row.vat_basis_points,
        includes_vat=row.includes_vat,
        frame=get_frame(row.area, on_date or row.valid_from),
    )


@dataclass(frozen=True)
class Uses:
    """bills: whose last tariff it is. until: the end (exclusive) of the last days billed with it; None: never used."""

    bills: int
    until: date | None


def get_uses(row: Tariff) -> Uses:
    found = Bill.objects.filter(tariff=row).aggregate(bills=Count("pk"), until=Max("to_date"))
    if found["until"] is None:  # perhaps for the first days of bills that end with a later one
        line = BillLine.objects.filter(tariff=row).select_related("bill").order_by("-bill__to_date").first()
        return Uses(0, line.bill.to_date if line else None)
    return Uses(found["bills"], found["until"])


def in_force_on(rows: Iterable[Tariff], day: date) -> list[Tariff]:
    return [row for row in rows if row.state == Tariff.State.IN_FORCE and _covers(row, day)]


def with_prices(tariffs: QuerySet[Tariff]) -> QuerySet[Tariff]:
    return tariffs.prefetch_related(Prefetch("prices", TariffPrice.objects.order_by("group", "from_l")))
