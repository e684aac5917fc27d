"""Who may read what is owed: a plan speaks to all below its territory, though not of one another.

What a plan of before the mergers asks of a commune, district or province that is no more, those may read in whose
territory it lay: today's closure does not hold it.
"""

from typing import Any

from django.db.models import BooleanField, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet
from django.db.models.expressions import RawSQL

from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.places.models import Containment, Subject


def overseen(person: Person, path: str = "subject_id") -> Q:
    """Return the filter for rows whose subject the person sees, or that lay in what it sees before the mergers."""
    if access.sees_everything(person):
        return Q()
    visible, former, _ = _write(person)
    return _one_of(path, visible) | _one_of(path, former)


def readable(person: Person, path: str = "subject_id") -> Q:
    """Return the filter for rows whose subject the person may see, or that lies above a scope of the person.

    `path` names the field that holds the subject's id, seen from the filtered table.
    """
    if access.sees_everything(person):
        return Q()
    visible, former, above = _write(person)
    return _one_of(path, visible) | _one_of(path, former) | _one_of(path, above)


_Written = tuple[str, tuple[Any, ...]] | None  # SQL and its parameters; None: no ids at all
_WRITTEN: dict[tuple[int, ...], tuple[_Written, _Written, _Written]] = {}
_MOST_WRITTEN = 1_000


def _write(person: Person) -> tuple[_Written, _Written, _Written]:
    """Return the subqueries of what the person sees, of what lay in that before the mergers, of what lies above.

    As SQL, written once in a process for a set of scopes: a page filters by them up to ten times, and for Django to
    put them together again each time takes longer than the database to answer. Only the ids of the scopes stand in
    them; what these contain the database says each time.
    """
    scopes = tuple(access.list_scopes(person, "view"))
    if not scopes:
        return None, None, None
    found = _WRITTEN.get(scopes)
    if found is None:
        if len(_WRITTEN) >= _MOST_WRITTEN:
            _WRITTEN.clear()
        above = Containment.objects.filter(descendant__in=scopes).values_list("ancestor_id", flat=True)
        visible, former = access.visible_subject_ids(person), access.former_unit_ids(person)
        found = visible.query.sql_with_params(), former.query.sql_with_params(), above.query.sql_with_params()
        _WRITTEN[scopes] = found
    return found


def _one_of(path: str, written: _Written) -> Q:
    if written is None:
        return Q(**{f"{path}__in": []})
    return Q(**{f"{path}__in": RawSQL(*written)})  # noqa: S611 - Django wrote it, values are parameters


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
    return Containment.objects.filter(_answering(person)).values_list("descendant_id", flat=True)


def _answering(person: Person) -> Q:
    reach = Q(ancestor_id__in=access.list_scopes(person, "enter"))
    if own := access.list_own_agencies(person):
        reach |= Q(ancestor_id__in=own, descendant_id=F("ancestor_id"))
    return reach


def answers_for(person: Person, organisation_id: int) -> bool:
    """Return whether the person may say how far the organisation is with its tasks and duties."""
    if organisation_id in access.list_own_agencies(person):
        return True
    return access.may(person, "enter", organisation_id)


def answers(person: Person, path: str) -> Exists:
    """Return, for a query, whether the person answers for the organisation that `path` names (see answering_ids)."""
    return Exists(Containment.objects.filter(_answering(person), descendant_id=OuterRef(path)))


def holds(person: Person, action: str, path: str) -> "Exists | ExpressionWrapper[Q]":
    """Return, for a query, whether the person holds the action on the subject that `path` names (not where empty)."""
    if access.sees_everything(person, action):
        return ExpressionWrapper(Q(**{f"{path}__isnull": False}), BooleanField())
    scopes = access.list_scopes(person, action)
    return Exists(Containment.objects.filter(ancestor_id__in=scopes, descendant_id=OuterRef(path)))
