"""What places adds to the side bar, to «Tổng quan» and to the page of an organisation."""

from datetime import timedelta

from django.db.models import Exists, OuterRef
from django.urls import reverse
from django.utils import timezone

from machnuoc.core.models import Person
from machnuoc.core.panels import NavigationItem, Panel
from machnuoc.places import access, queries
from machnuoc.places.models import Grant, Subject

_ENDING_DAYS = 14


def navigation(person: Person) -> list[NavigationItem]:
    items = [
        NavigationItem("Địa bàn", reverse("places:units"), "map-pin", 50),
        NavigationItem("Tổ chức", reverse("places:organisations"), "sitemap", 55),
        NavigationItem("Bản đồ", reverse("places:map"), "map-2", 60),
        NavigationItem("Lịch trực", reverse("core:rosters"), "users-group", 26, "Giám sát"),
    ]
    if access.may(person, "administer"):
        items.append(NavigationItem("Người dùng", reverse("places:people"), "users", 94, "Quản trị"))
    return items


def overview(person: Person) -> list[Panel]:
    """Tell administrators of people without rights and of rights that end soon."""
    if not access.may(person, "administer"):
        return []
    today = timezone.localdate()
    live = Grant.objects.filter(valid_from__lte=today).exclude(valid_to__lte=today)
    soon = live.filter(valid_to__lte=today + timedelta(days=_ENDING_DAYS), person__is_active=True)
    without = 0
    if access.sees_everything(person, "administer"):
        mine = live.filter(person=OuterRef("pk"))
        without = Person.objects.filter(is_active=True).exclude(Exists(mine)).count()
    else:
        soon = soon.filter(scope_id__in=access.visible_subject_ids(person, "administer"))
    ending = list(soon.select_related("person", "scope").order_by("valid_to", "person__full_name")[:6])
    if not without and not ending:
        return []
    context = {"without_grants": without, "ending": ending[:5], "has_more": len(ending) > 5, "days": _ENDING_DAYS}
    return [Panel("Hệ thống", "places/panels/system.html", context, order=80, region="now")]


def hidden_regions(person: Person) -> list[str]:
    """Leave cashiers and readers with what they do: they view neither figures nor what changes them."""
    return ["standing", "changes"] if access.roles(person) and not access.may(person, "view") else []


def for_subject(person: Person, subject: Subject) -> list[Panel]:
    """Show administrators of an organisation who holds rights there."""
    if subject.kind != Subject.Kind.ORGANISATION or not access.may(person, "administer", subject):
        return []
    today = timezone.localdate()
    grants = (
        Grant.objects.filter(scope=subject, valid_from__lte=today, person__is_active=True)
        .exclude(valid_to__lte=today)
        .select_related("person")
    )
    rows = sorted(grants, key=lambda grant: queries.sort_key(grant.person.full_name))
    return [Panel("Người có quyền tại đây", "places/panels/people.html", {"grants": rows}, order=90)]
