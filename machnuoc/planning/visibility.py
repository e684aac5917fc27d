"""Who may read what is owed: a plan speaks to all below its territory, though not of one another.

What a plan of before the mergers asks of a commune, district or province that is no more, those may read in whose
territory it lay: today's closure does not hold it.
"""

from django.db.models import BooleanField, Exists, ExpressionWrapper, OuterRef, Q, QuerySet

from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.places.models import AdministrativeUnit, Containment, Subject, Succession


def readable(person: Person, path: str = "subject_id") -> Q:
    """Return the filter for rows whose subject the person may see, or that lies above a scope of the person.

    `path` names the field that holds the subject's id, seen from the filtered table.
    """
    if access.sees_everything(person):
        return Q()
    visible = access.visible_subject_ids(person)
    above = Containment.objects.filter(descendant__in=access.list_scopes(person, "view")).values("ancestor_id")
    return Q(**{f"{path}__in": visible}) | Q(**{f"{path}__in": above}) | Q(**{f"{path}__in": _former(visible)})


def _former(visible: QuerySet[Containment, int]) -> QuerySet[AdministrativeUnit, int]:
    """Return the ended units that visible ones took in, with what lay in those (commune, district, province)."""
    taken_in = Succession.objects.filter(successor_id__in=visible).values("predecessor_id")
    return AdministrativeUnit.objects.filter(
        Q(pk__in=taken_in)
        | Q(parent__in=taken_in)
        | Q(parent__parent__in=taken_in)
        | Q(parent__in=visible)
        | Q(parent__parent__in=visible),
        is_in_force=False,
    ).values_list("pk", flat=True)


def may_read(person: Person, subject: Subject | int) -> bool:
    """Return whether the person may read what is owed about the subject."""
    subject_id = subject if isinstance(subject, int) else subject.pk
    return Subject.objects.filter(readable(person, "pk"), pk=subject_id).exists()


def is_of(person: Person, action: str, organisation_id: int | None) -> bool:
    """Return whether the person holds the action on the organisation: it acts for it (enters, approves, manages)."""
    return organisation_id is not None and access.may(person, action, organisation_id)


def holds(person: Person, action: str, path: str) -> "Exists | ExpressionWrapper[Q]":
    """Return, for a query, whether the person holds the action on the subject that `path` names (not where empty)."""
    if access.sees_everything(person, action):
        return ExpressionWrapper(Q(**{f"{path}__isnull": False}), BooleanField())
    scopes = access.list_scopes(person, action)
    return Exists(Containment.objects.filter(ancestor_id__in=scopes, descendant_id=OuterRef(path)))
