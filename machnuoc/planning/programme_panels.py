"""What programmes add to pages that are not theirs."""

from django.utils import timezone

from machnuoc.core.models import Person
from machnuoc.core.panels import Panel
from machnuoc.places import access
from machnuoc.places.models import Subject
from machnuoc.planning import programme_places
from machnuoc.planning import programme_queries as queries


def later_overview(person: Person, region: str) -> list[Panel]:
    """Show who manages or appraises where a programme stands."""
    if region != "standing":
        return []
    rows = []
    for programme in queries.list_programmes(person)[:3]:
        if queries.visible_units(person, programme) is None:
            rows.append((programme, queries.sum_tiers(programme)))
    if not rows:
        return []
    return [Panel("Nông thôn mới", "planning/programme/panels/tiers.html", {"rows": rows}, order=60)]


def for_subject(person: Person, subject: Subject) -> list[Panel]:
    """Show on the page of a place where it stands, or where the former communes that it took in stand."""
    if subject.kind == Subject.Kind.ORGANISATION:
        return _for_agency(person, subject)
    found = []
    if subject.kind == Subject.Kind.UNIT and access.may(person, "manage", subject):
        said = [queries.profile_text(one) for one in queries.list_profiles(subject)]
        context = {"subject": subject, "said": said}
        found.append(Panel("Vùng, nhóm xã", "planning/programme/panels/profile.html", context, order=70))
    for programme in queries.list_programmes_of(person, subject):
        visible = queries.visible_units(person, programme)
        own = programme_places.list_within([subject.pk]) if subject.valid_to is None else {subject.pk}
        units = own if visible is None else own & visible
        rows = queries.list_places_of(programme, units)
        if rows:
            context = {"programme": programme, "rows": rows}
            found.append(Panel(programme.plan.short_name, "planning/programme/panels/place.html", context, order=45))
    return found


def _for_agency(person: Person, subject: Subject) -> list[Panel]:
    today = timezone.localdate()
    found = []
    for programme in queries.list_programmes(person).filter(responsibilities__organisation_id=subject.pk).distinct():
        years = queries.list_years(programme)
        if not years:
            continue
        units = queries.visible_units(person, programme)
        lines = [line for line in queries.list_agencies(programme, units, years[0], today)
                 if line.organisation and line.organisation.pk == subject.pk]  # fmt: skip
        context = {"programme": programme, "lines": lines, "year": years[0]}
        found.append(Panel("Phải thẩm định", "planning/programme/panels/agency.html", context, order=45))
    return found
