"""Where places of a programme lie, what asks what of them, and what the mergers made of them. Few queries for many."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise

from django.db.models import Q, QuerySet

from machnuoc.places.models import AdministrativeUnit, Containment, Succession
from machnuoc.planning import criteria
from machnuoc.planning.models import Threshold, UnitProfile


def list_territories(unit_ids: Iterable[int]) -> dict[int, tuple[int, ...]]:
    """Return each unit's own id, then what it lies in (former districts and provinces too), nearest first.

    A former unit has no place in today's containment: its chain is that of its own time, followed by the chain of
    what its provinces became, so that a decision of the province of today reaches it too. Two queries.
    """
    wanted = set(unit_ids)
    parents: dict[int, int | None] = {}
    frontier = set(wanted)
    while frontier:
        rows = AdministrativeUnit.objects.filter(pk__in=frontier).values_list(
            "pk", "parent_id", "parent__parent_id", "parent__parent__parent_id"
        )
        frontier = set()
        for chain in rows:  # a commune, its district and province at once
            parents |= {one: above for one, above in pairwise(chain) if one is not None}
            if chain[-1] is not None and chain[-1] not in parents:
                frontier.add(chain[-1])
    tops = {pk for pk, parent in parents.items() if parent is None}
    became: dict[int, list[int]] = {}
    whole = Succession.objects.filter(predecessor_id__in=tops, relation=Succession.Relation.WHOLE)
    for former, later in whole.values_list("predecessor_id", "successor_id"):
        became.setdefault(former, []).append(later)
    found = {}
    for unit_id in wanted:
        line, now = [unit_id], parents.get(unit_id)
        while now is not None:
            line.append(now)
            now = parents.get(now)
        found[unit_id] = (*line, *became.get(line[-1], ()))
    return found


def list_places(unit_ids: Iterable[int], year: int) -> dict[int, criteria.Place]:
    """Return what decides the thresholds of each unit at the end of the year: territories, group, region."""
    return _describe(list_territories(unit_ids), year)


def get_place(unit: AdministrativeUnit, year: int) -> criteria.Place:
    """Return the same of one unit, whose parents are loaded. One query, or two for a unit that is no more."""
    line = [unit]
    while (parent := line[-1].parent) is not None:
        line.append(parent)
    became: list[int] = []
    if not unit.is_in_force:
        whole = Succession.objects.filter(predecessor=line[-1], relation=Succession.Relation.WHOLE)
        became = list(whole.values_list("successor_id", flat=True))
    return _describe({unit.pk: (*(one.pk for one in line), *became)}, year)[unit.pk]


def _describe(territories: dict[int, tuple[int, ...]], year: int) -> dict[int, criteria.Place]:
    day = date(year, 12, 31)
    profiles: dict[int, list[UnitProfile]] = {}
    everything = {pk for chain in territories.values() for pk in chain}
    for profile in UnitProfile.objects.filter(subject_id__in=everything):
        if (profile.valid_from is None or profile.valid_from <= day) and (
            profile.valid_to is None or profile.valid_to > day
        ):
            profiles.setdefault(profile.subject_id, []).append(profile)
    found = {}
    for unit_id, chain in territories.items():
        along = [profile for pk in chain for profile in profiles.get(pk, ())]
        found[unit_id] = criteria.Place(
            chain,
            # The group is the commune's own; the region is that of the nearest territory that has one.
            next((one.commune_group for one in profiles.get(unit_id, ()) if one.commune_group is not None), None),
            next((one.region for one in along if one.region), ""),
        )
    return found


def as_requirement(row: Threshold) -> criteria.Requirement:
    return criteria.Requirement(
        row.pk, row.comparator, row.amount, row.text, row.territory_id, row.commune_group, row.region,
        row.valid_from, row.valid_to,
    )  # fmt: skip


@dataclass
class Requirements:
    """The thresholds of some sub-indicators, read once."""

    rows: dict[int, Threshold] = field(default_factory=dict)
    by_sub: dict[int, list[criteria.Requirement]] = field(default_factory=dict)

    def choose(self, sub_indicator_id: int, place: criteria.Place, year: int) -> Threshold | None:
        found = criteria.choose(self.by_sub.get(sub_indicator_id, ()), place, year)
        return self.rows[found.id] if found else None


def read_requirements(sub_indicator_ids: Iterable[int]) -> Requirements:
    found = Requirements()
    for row in Threshold.objects.filter(sub_indicator_id__in=set(sub_indicator_ids)):
        found.rows[row.pk] = row
        found.by_sub.setdefault(row.sub_indicator_id, []).append(as_requirement(row))
    return found


@dataclass(frozen=True)
class Became:
    """What one unit became: which of today's communes took it in, wholly or in part."""

    unit_id: int
    unit_name: str
    key: str
    relation: str
    label: str
    on_date: date


def list_successors(unit_ids: Iterable[int]) -> dict[int, list[Became]]:
    """Return what each former unit became (only units that are no longer what they were). One query."""
    found: dict[int, list[Became]] = {}
    rows = (
        Succession.objects.filter(predecessor_id__in=set(unit_ids))
        .exclude(relation=Succession.Relation.UNCHANGED)
        .select_related("successor__subject")
        .order_by("on_date", "successor__full_name")
    )
    for row in rows:
        found.setdefault(row.predecessor_id, []).append(
            Became(
                row.successor_id, row.successor.full_name, row.successor.subject.key, row.relation,
                row.get_relation_display(), row.on_date,
            )
        )  # fmt: skip
    return found


def list_within(territory_ids: Iterable[int]) -> set[int]:
    """Return the units in the territories today, with the former units that these took in. One query."""
    now, former = within(Q(ancestor_id__in=set(territory_ids)))
    return set(now.values_list("descendant_id", flat=True).union(former.values_list("predecessor_id", flat=True)))


def within(ancestors: Q) -> tuple[QuerySet[Containment], QuerySet[Succession]]:
    """Return the rows of what lies in the territories that the filter of `Containment` names, and of what it took in.

    The units are `descendant_id` of the former, `predecessor_id` of the latter.
    """
    now = Containment.objects.filter(ancestors, descendant__kind="UNIT").order_by()
    return now, Succession.objects.filter(successor_id__in=now.values("descendant_id")).order_by()
