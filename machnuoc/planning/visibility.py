"""Who may read what is owed: a plan speaks to all below its territory, though not of one another.

What a plan of before the mergers asks of a commune, district or province that is no more, those may read in whose
territory it lay: today's closure does not hold it.
"""

from django.db.models import BooleanField, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet

from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.places.models import Containment, Subject


def overseen(person: Person, path: str = "subject_id") -> Q:
    """Return the filter for rows whose subject the person sees, or that lay in what it sees before the mergers."""
    if access.sees_everything(person):
        return Q()
    visible = access.visible_subject_ids(person)
    return Q(**{f"{path}__in": visible}) | Q(**{f"{path}__in": access.former_unit_ids(person)})


def readable(person: Person, path: str = "subject_id") -> Q:
    """Return the filter for rows whose subject the person may see, or that lies above a scope of the person.

    `path` names the field that holds the subject's id, seen from the filtered table.
    """
    if access.sees_everything(person):
        return Q()
    above = Containment.objects.filter(descendant__in=access.list_scopes(person, "view")).values("ancestor_id")
    return overseen(person, path) | Q(**{f"{path}__in": above})


def may_read(person: Person, subject: Subject | int) -> bool:
    """Return whether the person may read what is owed about the subject."""
    subject_id = subject if isinstance(subject, int) else subject.pk
    return Subject.objects.filter(readable(person, "pk"), pk=subject_id).exists()


def is_of(person: Person, action: str, organisation_id: int | None) -> bool:
    """Return whether the person holds the action on the organisation: it acts for it (enters, approves, manages)."""
    return organisation_id is not None and access.may(person, action, organisation_id)


def answering_ids(person: Person) -> QuerySet[Containment, int]:
    """Return the ids of what the person answers for in tasks and duties.

    All inside where it enters; of an agency that oversees a territory its own organisation alone.
    """
    reach = Q(ancestor_id__in=access.list_scopes(person, "enter"))
    if own := access.list_own_agencies(person):
        reach |= Q(ancestor_id__in=own, descendant_id=F("ancestor_id"))
    return Containment.objects.filter(reach).values_list("descendant_id", flat=True)


def answers_for(person: Person, organisation_id: int) -> bool:
    """Return whether the person may say how far the organisation is with its tasks and duties."""
    if organisation_id in access.list_own_agencies(person):
        return True
    return access.may(person, "enter", organisation_id)


def holds(person: Person, action: str, path: str) -> "Exists | ExpressionWrapper[Q]":
    """Return, for a query, whether the person holds the action on the subject that `path` names (not where empty)."""
    if access.sees_everything(person, action):
        return ExpressionWrapper(Q(**{f"{path}__isnull": False}), BooleanField())
    scopes = access.list_scopes(person, action)
    return Exists(Containment.objects.filter(ancestor_id__in=scopes, descendant_id=OuterRef(path)))
