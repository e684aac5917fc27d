"""Who may do what where. One function decides; lists are filtered by the same grants."""

from collections.abc import Iterable
from datetime import date

from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.utils import timezone

from machnuoc.core.models import Person
from machnuoc.places import containment
from machnuoc.places.models import AdministrativeUnit, Containment, Grant, Subject, Succession

# What each role may do inside its scope. Reading reaches further for those who oversee a territory: their scope is
# the territory, while entering and approving follow the grants of the organisations that own the figures.
#
# Customers: `serve` reads and writes their files, requests and complaints (personal data unmasked, each look logged);
# `classify` sets what a price rests on: group, households, norm, shares of use, poverty; `read_meters` takes readings
# of one's own routes; `collect` takes money; `bill` prepares tariffs, runs and corrections, which whoever may `approve`
# issues. Who only views sees customers masked; cashiers and readers do their own work and view nothing else.
_ACTIONS: dict[str, frozenset[str]] = {
    Grant.Role.ADMIN: frozenset({"view", "manage", "administer", "read_audit", "export"}),
    Grant.Role.LEADER: frozenset({"view", "approve", "manage", "read_audit", "export", "serve", "classify", "bill"}),
    Grant.Role.DEPARTMENT: frozenset(
        {"view", "enter", "manage", "review", "export", "serve", "classify", "read_meters", "collect", "bill"}
    ),
    Grant.Role.STATION: frozenset({"view", "enter", "export", "serve", "classify", "read_meters", "collect"}),
    Grant.Role.COMMUNE: frozenset({"view", "enter", "export"}),
    Grant.Role.AGENCY: frozenset({"view", "approve", "review", "export"}),
    Grant.Role.CASHIER: frozenset({"export", "serve", "collect"}),
    Grant.Role.READER: frozenset({"read_meters"}),
    Grant.Role.PARTNER: frozenset({"view"}),
}
ACTIONS = frozenset().union(*_ACTIONS.values())


def list_grants(person: Person, *, on_date: date | None = None) -> QuerySet[Grant]:
    """Return the grants in force: of an active person, begun, not ended, lent ones only while the lender's lasts."""
    day = on_date or timezone.localdate()
    if not getattr(person, "is_active", False) or person.pk is None:
        return Grant.objects.none()
    in_force = Q(valid_from__lte=day) & (Q(valid_to__isnull=True) | Q(valid_to__gt=day))
    lender_lasts = Q(lent_from__isnull=True) | (
        Q(lent_from__valid_from__lte=day)
        & (Q(lent_from__valid_to__isnull=True) | Q(lent_from__valid_to__gt=day))
        & Q(lent_from__person__is_active=True)
    )
    return Grant.objects.filter(in_force, lender_lasts, person=person)


def _live_grants(person: Person) -> list[Grant]:
    """Return the grants of today, read once a request (kept on the person object, as Django keeps permissions)."""
    day = timezone.localdate()
    cached: tuple[date, list[Grant]] | None = getattr(person, "_live_grants", None)
    if cached is None or cached[0] != day:
        cached = (day, list(list_grants(person, on_date=day).select_related("scope")))
        person._live_grants = cached  # type: ignore[attr-defined]
    return cached[1]


def forget(person: Person) -> None:
    """Drop what was read for this person object: its grants have changed."""
    for name in ("_live_grants", "_found_visible", "_known_ancestors"):
        if hasattr(person, name):
            delattr(person, name)


def remember_visible(person: Person, subject_id: int) -> None:
    """Keep for the rest of the request that a query within the person's scope found the subject."""
    found: set[int] = getattr(person, "_found_visible", set())
    person._found_visible = found | {subject_id}  # type: ignore[attr-defined]


def list_scopes(person: Person, action: str, field: str = "ALL", *, without: frozenset[str] = frozenset()) -> list[int]:
    """Return the ids of the subjects on which the person holds the action (each reaches all it contains).

    without: roles that do not count.
    """
    if action not in ACTIONS:
        raise ValueError(f"unknown action {action!r}")
    return sorted(
        {
            grant.scope_id
            for grant in _live_grants(person)
            if action in _ACTIONS[grant.role]
            and grant.role not in without
            and (field == "ALL" or grant.field in {"ALL", field})
        }
    )


def roles(person: Person) -> frozenset[str]:
    return frozenset(grant.role for grant in _live_grants(person))


def sees_everything(person: Person, action: str = "view", *, without: frozenset[str] = frozenset()) -> bool:
    """Return whether a grant covers the whole country (the root contains all). without: roles that do not count."""
    return any(
        grant.scope.kind == Subject.Kind.COUNTRY and action in _ACTIONS[grant.role] and grant.role not in without
        for grant in _live_grants(person)
    )


def list_own_agencies(person: Person) -> list[int]:
    """Return the organisations that the person's grants as a «Sở, ngành» name themselves.

    Such a grant lets it answer for this organisation (report on its tasks and duties), not for what lies inside.
    """
    return sorted(
        {
            grant.scope_id
            for grant in _live_grants(person)
            if grant.role == Grant.Role.AGENCY and grant.scope.kind == Subject.Kind.ORGANISATION
        }
    )


def visible_subject_ids(person: Person, action: str = "view", field: str = "ALL") -> QuerySet[Containment, int]:
    """Return a subquery of the ids of all subjects on which the person holds the action."""
    scopes = list_scopes(person, action, field)
    return Containment.objects.filter(ancestor_id__in=scopes).values_list("descendant_id", flat=True)


def former_unit_ids(person: Person, action: str = "view") -> QuerySet[AdministrativeUnit, int]:
    """Return the ids of ended units that those in the person's scopes took in, with what lay in them.

    Communes, districts and provinces of before the mergers: today's closure does not hold them.
    """
    visible = visible_subject_ids(person, action)
    taken_in = Succession.objects.filter(successor_id__in=visible).values("predecessor_id")
    return AdministrativeUnit.objects.filter(
        Q(pk__in=taken_in)
        | Q(parent__in=taken_in)
        | Q(parent__parent__in=taken_in)
        | Q(parent__in=visible)
        | Q(parent__parent__in=visible),
        is_in_force=False,
    ).values_list("pk", flat=True)


def list_overseen_ids(person: Person, action: str) -> QuerySet[Grant, int] | None:
    """Return the ids of the people with a grant inside what the person's grants for the action cover; None for all."""
    if sees_everything(person, action):
        return None
    return Grant.objects.filter(scope_id__in=visible_subject_ids(person, action)).values_list("person_id", flat=True)


def may(person: Person, action: str, subject: Subject | int | None = None, field: str = "ALL") -> bool:
    """Return whether the person may do the action on the subject, or anywhere at all if no subject is given."""
    scopes = list_scopes(person, action, field)
    if not scopes or subject is None:
        return bool(scopes)
    if field == "ALL" and sees_everything(person, action):  # the country holds all there is
        return True
    subject_id = subject if isinstance(subject, int) else subject.pk
    if subject_id in scopes:
        return True
    if action == "view" and field == "ALL" and subject_id in getattr(person, "_found_visible", ()):
        return True
    return reaches(person, scopes, subject_id)


def reaches(person: Person, scopes: Iterable[int], subject_id: int) -> bool:
    """Return whether the subject lies in one of the scopes.

    Its ancestors are read once a request (kept on the person object): a page asks for one thing by several actions.
    """
    kept: tuple[int, dict[int, frozenset[int]]] = getattr(person, "_known_ancestors", (-1, {}))
    made_at, known = kept
    if made_at != containment.generation():
        known = {}
        person._known_ancestors = containment.generation(), known  # type: ignore[attr-defined]
    if subject_id not in known:
        rows = Containment.objects.filter(descendant_id=subject_id)
        known[subject_id] = frozenset(rows.values_list("ancestor_id", flat=True))
    return not known[subject_id].isdisjoint(scopes)


def require(person: Person, action: str, subject: Subject | int | None = None, field: str = "ALL") -> None:
    if not may(person, action, subject, field):
        raise PermissionDenied("Tài khoản của bạn không có quyền thực hiện việc này ở đây.")


def may_give(person: Person, scope: Subject, field: str = "ALL") -> bool:
    """Return whether the person may give or end grants there: who administers one field does not give all fields."""
    scopes = [grant.scope_id for grant in _administering(person) if grant.field in {Grant.Field.ALL, field}]
    return scope.pk in scopes or Containment.objects.filter(ancestor_id__in=scopes, descendant=scope).exists()


def is_over(person: Person, other: Person) -> bool:
    """Return whether the person administers everything the other may do: only then may they act on the account.

    Someone else's password must not be a way to rights that one does not have.
    """
    held: dict[str, set[int]] = {}
    for field, scope_id in other.grants.exclude(valid_to__lte=timezone.localdate()).values_list("field", "scope_id"):
        held.setdefault(field, set()).add(scope_id)
    if not held:  # nobody's: only who administers everything
        own = [grant.scope for grant in _administering(person) if grant.field == Grant.Field.ALL]
        return any(scope.kind == Subject.Kind.COUNTRY for scope in own)
    for field, scopes in held.items():
        within = [grant.scope_id for grant in _administering(person) if grant.field in {Grant.Field.ALL, field}]
        reached = Containment.objects.filter(ancestor_id__in=within, descendant_id__in=scopes)
        if reached.values("descendant_id").distinct().count() != len(scopes):
            return False
    return True


def _administering(person: Person) -> list[Grant]:
    return [grant for grant in _live_grants(person) if "administer" in _ACTIONS[grant.role]]


def borrowed_until(person: Person, scope: Subject, field: str = "ALL") -> date | None:
    """Return the day before which grants given there must end, if the person only stands in for who gives them."""
    ends = []
    for grant in _administering(person):
        reaches = grant.scope_id == scope.pk or (
            Containment.objects.filter(ancestor_id=grant.scope_id, descendant=scope).exists()
        )
        if reaches and grant.field in {Grant.Field.ALL, field}:
            if grant.lent_from_id is None:
                return None
            ends.append(grant.valid_to)
    return max((day for day in ends if day is not None), default=None)


def require_over(person: Person, other: Person) -> None:
    if not is_over(person, other):
        raise PermissionDenied(
            "Tài khoản này có quyền ngoài phạm vi bạn quản trị. Nhờ quản trị viên của phạm vi rộng hơn làm việc này."
        )
