"""Who may read what is owed: a plan speaks to all below its territory, though not of one another."""

from django.db.models import Q

from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.places.models import Containment, Subject


def readable(person: Person, path: str = "subject_id") -> Q:
    """Return the filter for rows whose subject the person may see, or that lies above a scope of the person.

    `path` names the field that holds the subject's id, seen from the filtered table.
    """
    if access.sees_everything(person):
        return Q()
    above = Containment.objects.filter(descendant__in=access.list_scopes(person, "view")).values("ancestor_id")
    return Q(**{f"{path}__in": access.visible_subject_ids(person)}) | Q(**{f"{path}__in": above})


def may_read(person: Person, subject: Subject | int) -> bool:
    """Return whether the person may read what is owed about the subject."""
    subject_id = subject if isinstance(subject, int) else subject.pk
    return Subject.objects.filter(readable(person, "pk"), pk=subject_id).exists()


def is_of(person: Person, action: str, organisation_id: int | None) -> bool:
    """Return whether the person holds the action on the organisation: it acts for it (enters, approves, manages)."""
    return organisation_id is not None and access.may(person, action, organisation_id)
