"""Who lay in whom on a day of the past: figures of a period are summed over the parts of that period.

`models.Containment` holds today's closure. Where no link differs between the day and today it serves for the day too;
otherwise the closure of the day is made from the dated links.
"""

from datetime import date

from django.db.models import Q, QuerySet

from machnuoc.places.models import Containment, ParentLink, Subject

_generation = 0


def generation() -> int:
    """Return a number that changes whenever this process makes the closure anew: what was read before is stale."""
    return _generation


def mark_changed() -> None:
    """Say that the closure was made anew."""
    global _generation
    _generation += 1


def valid_on(day: date) -> Q:
    """Return the condition on parent links that held on the day; an unknown start or end does not exclude."""
    return (Q(valid_from__isnull=True) | Q(valid_from__lte=day)) & (Q(valid_to__isnull=True) | Q(valid_to__gt=day))


def is_as_today(day: date) -> bool:
    """Return whether every link held on the day if and only if it holds today."""
    began_later = Q(valid_to__isnull=True, valid_from__gt=day)
    ended_since = Q(valid_to__gt=day) & (Q(valid_from__isnull=True) | Q(valid_from__lte=day))
    return not ParentLink.objects.filter(began_later | ended_since).exists()


def list_pairs(descendants: QuerySet[Subject], day: date) -> list[tuple[int, int]]:
    """Return the pairs (ancestor, descendant) of the day for these subjects, each subject in itself included.

    descendants: a queryset of subjects.
    """
    ids = descendants.values("pk")
    if is_as_today(day):
        return list(Containment.objects.filter(descendant__in=ids).values_list("ancestor_id", "descendant_id"))
    parents: dict[int, set[int]] = {}
    for child, parent in ParentLink.objects.filter(valid_on(day)).values_list("child_id", "parent_id"):
        parents.setdefault(child, set()).add(parent)
    pairs: list[tuple[int, int]] = []
    for subject_id in descendants.values_list("pk", flat=True):
        seen = {subject_id}
        frontier = [subject_id]
        while frontier:
            above = parents.get(frontier.pop(), set()) - seen
            seen |= above
            frontier.extend(above)
        pairs.extend((ancestor, subject_id) for ancestor in seen)
    return pairs


def list_descendants(
    ancestor_id: int, day: date, *, as_today: bool | None = None
) -> "QuerySet[Containment, int] | list[int]":
    """Return the ids of all that lay in the subject on the day, itself included, for `subject_id__in=`.

    as_today: what is_as_today said of the day, where the caller has asked already.
    """
    if is_as_today(day) if as_today is None else as_today:
        return Containment.objects.filter(ancestor_id=ancestor_id).values_list("descendant_id", flat=True)
    children: dict[int, set[int]] = {}
    for child, parent in ParentLink.objects.filter(valid_on(day)).values_list("child_id", "parent_id"):
        children.setdefault(parent, set()).add(child)
    seen = {ancestor_id}
    frontier = [ancestor_id]
    while frontier:
        below = children.get(frontier.pop(), set()) - seen
        seen |= below
        frontier.extend(below)
    return sorted(seen)
