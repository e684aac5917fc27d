"""What reads places and organisations."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from django.db.models import Count, Exists, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from machnuoc.core import folding, search
from machnuoc.core.models import Person
from machnuoc.places import access, search_entries
from machnuoc.places.models import (
    AdministrativeUnit,
    Grant,
    Organisation,
    ParentLink,
    PrintedName,
    Subject,
    Succession,
    UrbanArea,
)

# Subjects that can be searched for by name: what a grant can be about.
_SEARCHED_KINDS = (search_entries.UNIT, search_entries.ORGANISATION, search_entries.URBAN_AREA, "work")

sort_key = folding.sort_key


def get_country() -> Subject:
    return Subject.objects.get(kind=Subject.Kind.COUNTRY)


def list_units(
    *, query: str = "", level: str = "", parent: AdministrativeUnit | None = None, in_force: bool | None = True
) -> QuerySet[AdministrativeUnit]:
    """Return administrative units by filter. query is found anywhere in the name, whatever its diacritics.

    parent: only units below this one, through all levels (former units keep the parents they had).
    """
    units = AdministrativeUnit.objects.select_related("subject", "parent__subject", "parent__parent")
    if in_force is not None:
        units = units.filter(is_in_force=in_force)
    if level:
        units = units.filter(level=level)
    if parent is not None:
        units = units.filter(Q(parent=parent) | Q(parent__parent=parent))
    if query.strip():
        units = units.filter(pk__in=search.matching_ids(search_entries.UNIT, query))
    return units.order_by("code", "pk")


def list_provinces() -> QuerySet[AdministrativeUnit]:
    return (
        AdministrativeUnit.objects.filter(level=AdministrativeUnit.Level.PROVINCE, is_in_force=True)
        .select_related("subject")
        .order_by("code")
    )


def with_commune_counts(provinces: QuerySet[AdministrativeUnit]) -> QuerySet[AdministrativeUnit]:
    """Return them with commune_count, the communes in force (a join of all of them costs ten times as much)."""
    communes = AdministrativeUnit.objects.filter(parent=OuterRef("pk"), is_in_force=True)
    counted = communes.order_by().values("parent").annotate(number=Count("pk")).values("number")
    return provinces.annotate(commune_count=Coalesce(Subquery(counted), 0))


def get_unit(key: str) -> AdministrativeUnit:
    """Return the unit, and whether it has what not every unit has.

    has_same_code (list_same_code), has_printed_names, has_history (list_history).
    """
    twins = AdministrativeUnit.objects.filter(level=OuterRef("level"), code=OuterRef("code")).exclude(pk=OuterRef("pk"))
    return (
        AdministrativeUnit.objects.select_related("subject", "parent__subject", "parent__parent__subject")
        .annotate(
            has_same_code=Exists(twins),
            has_printed_names=Exists(PrintedName.objects.filter(subject=OuterRef("pk"))),
            has_history=Exists(Succession.objects.filter(Q(predecessor=OuterRef("pk")) | Q(successor=OuterRef("pk")))),
        )
        .get(subject__key=key)
    )


class Child(NamedTuple):
    """As much of a unit as the list of what lies below another one shows."""

    key: str
    full_name: str
    code: str
    is_in_force: bool


def list_children(unit: AdministrativeUnit) -> list[Child]:
    """Return the units below this one, those in force and the former ones, by code."""
    rows = AdministrativeUnit.objects.filter(parent=unit).order_by("code")
    return [Child(*row) for row in rows.values_list("subject__key", "full_name", "code", "is_in_force")]


def list_same_code(unit: AdministrativeUnit) -> list[AdministrativeUnit]:
    """Return the other units of the level that carry or carried the same official code."""
    return list(
        AdministrativeUnit.objects.filter(level=unit.level, code=unit.code)
        .exclude(pk=unit.pk)
        .select_related("subject", "parent")
    )


def list_history(unit: AdministrativeUnit) -> list[Succession]:
    """Return what the unit was made of and what became of it, the oldest first."""
    around = (
        "predecessor__subject",
        "predecessor__parent__subject",
        "successor__subject",
        "successor__parent__subject",
    )
    return list(
        Succession.objects.filter(Q(predecessor=unit) | Q(successor=unit))
        .select_related(*around)
        .order_by("on_date", "predecessor__code")
    )


def name_before(succession: Succession) -> str:
    """Return «thị trấn Đông Khê, huyện Thạch An»: a former commune is told apart by its district."""
    old = succession.predecessor
    parent = f", {lower_type(old.parent.full_name)}" if old.parent else ""
    return lower_type(old.full_name) + parent


def name_after(succession: Succession) -> str:
    return lower_type(succession.successor.full_name)


def history_sentence(succession: Succession) -> str:
    """Return «thị trấn Đông Khê, huyện Thạch An → xã Đông Khê từ 01/07/2025»."""
    return f"{name_before(succession)} → {name_after(succession)} từ {succession.on_date:%d/%m/%Y}"


def lower_type(full_name: str) -> str:
    """Return the name as it stands within a sentence: «Xã Đông Khê» becomes «xã Đông Khê»."""
    return full_name[:1].lower() + full_name[1:]


def list_organisations(visible_to: Person) -> QuerySet[Organisation]:
    """Return the organisations in the person's scope."""
    organisations = Organisation.objects.select_related("subject", "parent__subject", "territory__subject")
    if not access.sees_everything(visible_to):
        organisations = organisations.filter(pk__in=access.visible_subject_ids(visible_to))
    return organisations.order_by("subject__name")


def list_urban_areas(unit: AdministrativeUnit) -> QuerySet[UrbanArea]:
    return (
        UrbanArea.objects.filter(subject__contained_in__ancestor_id=unit.pk)
        .select_related("subject", "commune__subject", "former_unit")
        .order_by("subject__name")
    )


@dataclass
class Branch:
    """An organisation with those below it."""

    organisation: Organisation
    children: list["Branch"] = field(default_factory=list)


def organisation_tree(organisations: Iterable[Organisation]) -> list[Branch]:
    """Return the organisations as trees. One whose parent is not among them stands at the top."""
    rows = sorted(organisations, key=lambda row: sort_key(row.subject.name))
    branches = {row.pk: Branch(row) for row in rows}
    roots: list[Branch] = []
    for row in rows:
        above = branches.get(row.parent_id) if row.parent_id is not None else None
        (above.children if above else roots).append(branches[row.pk])
    return roots


def list_people(visible_to: Person) -> QuerySet[Person]:
    """Return the people who hold a grant inside what the reader administers, with those of their grants."""
    grants = Grant.objects.select_related("scope__unit", "lent_from__person").order_by("role", "pk")
    people = Person.objects.all()
    if not access.sees_everything(visible_to, "administer"):
        within = access.visible_subject_ids(visible_to, "administer")
        people = people.filter(pk__in=Grant.objects.filter(scope_id__in=within).values("person_id"))
        grants = grants.filter(scope_id__in=within)
    return people.prefetch_related(Prefetch("grants", grants, to_attr="shown_grants")).order_by("full_name", "pk")


def list_administered(person: Person) -> QuerySet[Subject]:
    """Return the subjects on which the person may give grants."""
    return Subject.objects.filter(pk__in=access.visible_subject_ids(person, "administer"))


def find_subjects(query: str, among: QuerySet[Subject], *, limit: int = 12) -> list[Subject]:
    """Return the subjects whose name matches, the likeliest first, from among those given."""
    words = folding.fold(query)
    found = [entry.object_id for entry in search.find(query, kinds=_SEARCHED_KINDS, limit=200)]
    rows = {
        row.pk: row
        for row in among.filter(pk__in=found).select_related("unit__parent", "organisation__parent__subject")
    }
    ranked = [rows[pk] for pk in found if pk in rows][:limit]
    if words and words in folding.fold("Việt Nam cả nước"):
        ranked = [*among.filter(kind=Subject.Kind.COUNTRY), *ranked]
    return ranked


def subject_label(subject: Subject) -> str:
    """Return a name that tells the subject apart: «Xã Đông Khê, Tỉnh Cao Bằng», «Trạm Nghĩa Phú (công trình)»."""
    if subject.kind == Subject.Kind.UNIT:
        unit = subject.unit
        former = "" if unit.is_in_force else " (trước 01/07/2025)"
        return f"{unit.full_name}{f', {unit.parent.full_name}' if unit.parent else ''}{former}"
    return f"{subject.name} ({subject.get_kind_display().lower()})"


def outside_works_key(subject_id: int) -> str:
    """Return the key of the subject of what belongs to this one but to none of its works."""
    return f"outside-works.{subject_id}"


def list_outside_works(subject_ids: Iterable[int]) -> dict[int, int]:
    """Return, of each of these subjects that has one, the subject of what belongs to none of its works."""
    wholes = {outside_works_key(pk): pk for pk in subject_ids}
    rows = Subject.objects.filter(kind=Subject.Kind.OUTSIDE, key__in=wholes).values_list("key", "pk")
    return {wholes[key]: pk for key, pk in rows}


@dataclass(frozen=True)
class Ancestor:
    subject: Subject
    reason: str


def list_ancestors(subject: Subject) -> list[Ancestor]:
    """Return the direct parents of the subject with the reason of each link."""
    links = ParentLink.objects.filter(child=subject, valid_to__isnull=True).select_related("parent")
    return [Ancestor(link.parent, link.get_reason_display()) for link in links]
