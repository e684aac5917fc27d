"""Figures that programmes give: how many communes of a district or province are followed and recognised, by year.

Counted from the roadmap (`is_recognised`), which the recognition of a dossier marks. A year is told up to the last one
in which the programme records a recognition: of later years nothing is known, which is not the same as nothing new.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
from django.urls import reverse

from machnuoc.core import folding
from machnuoc.core.models import Passage
from machnuoc.core.periods import Period
from machnuoc.core.vietnamese import format_number
from machnuoc.indicators import operations as indicator_operations
from machnuoc.indicators import providers
from machnuoc.indicators.aggregation import StateRank
from machnuoc.indicators.models import Metric
from machnuoc.places.models import AdministrativeUnit
from machnuoc.planning.models import CriteriaSet, Dossier, Programme, RoadmapEntry

FOLLOWED = "ntm.communes_followed"
COMMUNES = "ntm.communes"
BY_TIER = {
    CriteriaSet.Tier.BASIC.value: "ntm.communes_basic",
    CriteriaSet.Tier.ADVANCED.value: "ntm.communes_advanced",
    CriteriaSet.Tier.MODEL.value: "ntm.communes_model",
}


@dataclass
class Recognised:
    """The communes of one programme. followed: territory → names; by_tier: recognised, (year, name, passage).

    A territory is the district or province that a former commune lay in, or a commune of today; a place that the
    roadmap names without a unit counts in the district that is printed with it.
    """

    programme: Programme
    last_year: int = 0  # of which a recognition is recorded; 0: of none
    first_year: int = 0
    followed: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    by_tier: dict[tuple[int, str], list[tuple[int, str, int | None]]] = field(default_factory=lambda: defaultdict(list))

    def count(self, territory_id: int, tier: str, year: int) -> int:
        return sum(recognised <= year for recognised, *_ in self.by_tier.get((territory_id, tier), ()))


def read_recognised(programme: Programme) -> Recognised:
    """Return who is followed and recognised in the programme, by place and by what it lay in. Six queries."""
    found = Recognised(programme)
    communes = programme.units.filter(unit__level=AdministrativeUnit.Level.COMMUNE)
    names = dict(communes.values_list("pk", "name"))
    chains = _list_chains(names)
    for pk, name in names.items():
        for territory_id in chains[pk]:
            found.followed[territory_id].add(f"{pk} {name}")
    districts = _districts_by_name({pk for chain in chains.values() for pk in chain})
    decided: dict[tuple[int | None, str], int] = {
        (unit_id, tier): on_date.year
        for unit_id, tier, on_date in Dossier.objects.filter(
            programme=programme, step=Dossier.Step.RECOGNISED, decided_on__isnull=False
        ).values_list("unit_id", "tier", "decided_on")
        if on_date is not None
    }
    entries = list(
        RoadmapEntry.objects.filter(programme=programme, level=CriteriaSet.Level.COMMUNE).values_list(
            "unit_id", "name_as_printed", "district_as_printed", "tier", "year", "is_recognised", "passage_id"
        )
    )
    for unit_id, name, district, tier, year, is_recognised, passage_id in entries:
        chain = chains.get(unit_id, ()) if unit_id else districts.get(folding.fold(district), ())
        if unit_id is None:
            for territory_id in chain:
                found.followed[territory_id].add(f"{district} {name}")
        if is_recognised:
            _note(found, chain, tier, decided.pop((unit_id, tier), year), name, passage_id)
    for (place_id, tier), year in decided.items():  # recognised without a place in the roadmap
        if place_id in chains:
            _note(found, chains[place_id], tier, year, names[place_id], None)
    return found


def _note(found: Recognised, chain: Sequence[int], tier: str, year: int, name: str, passage_id: int | None) -> None:
    for territory_id in chain:
        found.by_tier[territory_id, tier].append((year, name, passage_id))
    found.last_year = max(found.last_year, year)
    found.first_year = min(found.first_year or year, year)


def _list_chains(commune_ids: Iterable[int]) -> dict[int, tuple[int, ...]]:
    """Return what holds the count of each commune: a former one its district and province of its time; one that is,
    itself, for the sums of today are made of such parts.
    """
    rows = AdministrativeUnit.objects.filter(pk__in=list(commune_ids)).values_list(
        "pk", "is_in_force", "parent_id", "parent__parent_id"
    )
    return {
        pk: (pk,) if is_in_force else tuple(one for one in above if one is not None) for pk, is_in_force, *above in rows
    }


def _districts_by_name(unit_ids: Iterable[int]) -> dict[str, tuple[int, ...]]:
    """Return the districts among the units by folded name, each with the province it lies in, itself first."""
    rows = AdministrativeUnit.objects.filter(pk__in=set(unit_ids), level=AdministrativeUnit.Level.DISTRICT)
    return {
        folding.fold(name): tuple(one for one in (pk, parent_id) if one is not None)
        for name, pk, parent_id in rows.values_list("subject__name", "pk", "parent_id")
    }


def _year_of(period: Period) -> int:
    """Return the year of a yearly period; 0 for others: recognitions are recorded by year."""
    return period.start_date.year if period.kind == "Y" else 0


def _provided(numbers: dict[int, int]) -> providers.Provided:
    ordered = sorted(numbers.items())
    return providers.Provided(
        np.array([subject_id for subject_id, _ in ordered], np.int64),
        np.array([number for _, number in ordered], np.int64),
        np.full(len(ordered), StateRank.ENTERED, np.int16),
    )


def _told(period: Period) -> list[Recognised]:
    """Return the programmes that tell of the year."""
    year = _year_of(period)
    programmes = Programme.objects.select_related("plan", "passage__document").order_by("pk")
    every = [read_recognised(one) for one in (programmes if year else ())]
    return [one for one in every if one.first_year <= year <= one.last_year]


def _provide_followed(period: Period) -> providers.Provided:
    numbers: dict[int, int] = {}
    for one in _told(period):
        for territory_id, names in one.followed.items():
            numbers[territory_id] = max(numbers.get(territory_id, 0), len(names))  # programmes may follow the same ones
    return _provided(numbers)


def _explain_followed(subject_id: int, period: Period) -> list[providers.Source]:
    return [
        providers.Source(
            text=f"{one.programme.plan.short_name}: {format_number(len(one.followed[subject_id]))} xã có tên trong "
            "lộ trình hoặc phần đánh giá",
            url=reverse("planning:programme_matrix", args=[one.programme.plan.key]),
            passage=one.programme.passage,
        )
        for one in _told(period)
        if subject_id in one.followed
    ]


def _provide(tier: str) -> Callable[[Period], providers.Provided]:
    def provide(period: Period) -> providers.Provided:
        numbers: dict[int, int] = {}
        for one in _told(period):
            for territory_id in one.followed:
                count = one.count(territory_id, tier, _year_of(period))
                numbers[territory_id] = max(numbers.get(territory_id, 0), count)
        return _provided(numbers)

    return provide


def _explain(tier: str) -> Callable[[int, Period], Sequence[providers.Source]]:
    label = str(CriteriaSet.Tier(tier).label).lower()

    def explain(subject_id: int, period: Period) -> list[providers.Source]:
        year = _year_of(period)
        sources: list[providers.Source] = []
        for one in _told(period):
            if subject_id not in one.followed:
                continue
            by_year: dict[tuple[int, int | None], list[str]] = defaultdict(list)
            for its_year, name, passage_id in one.by_tier.get((subject_id, tier), ()):
                if its_year <= year:
                    by_year[its_year, passage_id].append(name)
            plan = one.programme.plan
            url = f"{reverse('planning:programme_roadmap', args=[plan.key])}?tier={tier}"
            passages = Passage.objects.select_related("document").in_bulk([pk for _, pk in by_year if pk is not None])
            for (its_year, passage_id), names in sorted(by_year.items(), key=lambda item: item[0][0]):
                text = (
                    f"{plan.short_name}: năm {its_year} công nhận {len(names)} xã đạt chuẩn {label}: {', '.join(names)}"
                )
                sources.append(providers.Source(text=text, url=url, passage=passages.get(passage_id or 0)))
            if not by_year:
                text = f"{plan.short_name}: đến hết năm {year} chưa ghi xã nào được công nhận đạt chuẩn {label}"
                sources.append(providers.Source(text=text, url=url, passage=one.programme.passage))
        return sources

    return explain


def mark_dirty(programme: Programme, *, reason: str) -> None:
    """Let the counts of every year that the programme tells of be computed again. Call recompute_dirty afterwards."""
    found = read_recognised(programme)
    if not found.last_year:
        return
    for metric in Metric.objects.filter(key__in=[FOLLOWED, *BY_TIER.values()]):
        for year in range(found.first_year, found.last_year + 1):
            indicator_operations.mark_dirty(metric, period=Period("Y", date(year, 1, 1)), reason=reason)


providers.register(FOLLOWED, _provide_followed, _explain_followed)
for _tier, _key in BY_TIER.items():
    providers.register(_key, _provide(_tier), _explain(_tier))
