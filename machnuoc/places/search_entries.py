"""What the search box knows of places and organisations."""

from django.urls import reverse

from machnuoc.core import search
from machnuoc.places.models import AdministrativeUnit, Organisation, PrintedName, Subject, UrbanArea

UNIT, ORGANISATION, URBAN_AREA = "unit", "organisation", "urban_area"


def unit_entry(unit: AdministrativeUnit, printed_names: str = "") -> search.Entry:
    """Return the entry of a unit; everybody signed in may find it, so it has no subject of scope.

    Asks for the unit's subject and the chain of its parents.
    """
    above = [unit.parent, unit.parent.parent if unit.parent else None]
    parents = ", ".join(parent.full_name for parent in above if parent)
    former = "" if unit.is_in_force else " (trước 01/07/2025)"
    weight = {"PROVINCE": 30, "DISTRICT": 10, "COMMUNE": 20}[unit.level] - (0 if unit.is_in_force else 8)
    return search.Entry(
        kind=UNIT,
        object_id=unit.pk,
        title=unit.full_name + former,
        subtitle=parents,
        url=reverse("places:unit", args=[unit.subject.key]),
        text=f"{unit.subject.name} {unit.full_name} {unit.code} {printed_names} {parents}",
        weight=weight,
    )


def put_organisation(organisation: Organisation) -> None:
    subject = organisation.subject
    parent = organisation.parent.subject.name if organisation.parent else ""
    search.put(
        ORGANISATION,
        subject.pk,
        title=subject.name,
        subtitle=" · ".join(filter(None, [organisation.get_kind_display(), parent])),
        url=reverse("places:organisation", args=[subject.key]),
        text=f"{subject.name} {_printed_names(subject)} {parent}",
        subject_id=subject.pk,
        weight=25,
    )


def put_urban_area(area: UrbanArea) -> None:
    subject = area.subject
    former = area.former_unit.full_name if area.former_unit else ""
    search.put(
        URBAN_AREA,
        subject.pk,
        title=subject.name,
        subtitle=f"Khu vực đô thị · {area.commune.full_name}",
        url=reverse("places:urban_area", args=[subject.key]),
        text=f"{subject.name} {_printed_names(subject)} {area.commune.full_name} {former}",
        weight=22,
    )


def refresh(subject: Subject) -> None:
    """Renew the entry of a unit, an organisation or an urban area; other rooms renew their own subjects."""
    if subject.kind == Subject.Kind.UNIT:
        search.put_many([unit_entry(subject.unit, _printed_names(subject))])
    elif subject.kind == Subject.Kind.ORGANISATION and Organisation.objects.filter(subject=subject).exists():
        put_organisation(subject.organisation)
    elif subject.kind == Subject.Kind.URBAN_AREA and UrbanArea.objects.filter(subject=subject).exists():
        put_urban_area(subject.urban_area)


def _printed_names(subject: Subject) -> str:
    return " ".join(PrintedName.objects.filter(subject=subject).values_list("text", flat=True))
