"""What works add to the side bar, to «Tổng quan» and to the pages of places and organisations."""

from typing import Any

from django.urls import reverse
from django.utils import timezone

from machnuoc.core.models import Person
from machnuoc.core.panels import MapLayer, NavigationItem, Panel
from machnuoc.places import access
from machnuoc.places.models import Grant, Subject
from machnuoc.works import queries
from machnuoc.works.models import Work

_OWN_WORKS = 12
_TOP = 5
_ON_A_MAP = 500
_OF_A_PLACE = 10
_OVERSEEING = {Grant.Role.LEADER, Grant.Role.DEPARTMENT, Grant.Role.AGENCY, Grant.Role.ADMIN}


def navigation(person: Person) -> list[NavigationItem]:
    return [NavigationItem("Công trình", reverse("works:list"), "building-factory-2", 10)]


def later_overview(person: Person, region: str) -> list[Panel]:
    """Show a station its works; show those who oversee many where growth is planned and where design is exceeded."""
    roles = access.roles(person)
    if region != "standing" or not roles & (_OVERSEEING | {Grant.Role.STATION}):
        return []
    today = timezone.localdate()
    if not roles & _OVERSEEING:
        first = queries.list_first(queries.list_works(person), limit=_OWN_WORKS, today=today)
        if not first.rows:
            return []
        return [Panel("Công trình của tôi", "works/panels/table.html", _table(first, reverse("works:list")), order=20)]
    notable = queries.find_notable(person, today=today, growing=_TOP, above=2 * _TOP)
    plan_year = notable.plan_year
    context: dict[str, Any] = {"plan_year": plan_year, "year": plan_year - 1}
    found = []
    if notable.above:
        found.append(
            Panel(
                "Vượt công suất thiết kế",
                "works/panels/above_design.html",
                {
                    **context,
                    "rows": notable.above,
                    "above": notable.above_design,
                    "planned_above": notable.planned_above_design,
                },
                order=30,
            )
        )
    if notable.growing:
        found.append(
            Panel(
                f"Tăng khách hàng nhiều nhất theo kế hoạch {plan_year}",
                "works/panels/growing.html",
                {**context, "rows": notable.growing},
                order=35,
            )
        )
    return found


def later_for_subject(person: Person, subject: Subject) -> list[Panel]:
    """Show on the page of a place which works lie there or serve it, and on an organisation's which it runs."""
    titles = {
        Subject.Kind.UNIT: "Công trình cấp nước ở đây",
        Subject.Kind.URBAN_AREA: "Công trình cấp nước ở đây",
        Subject.Kind.ORGANISATION: "Công trình vận hành",
    }
    if subject.kind not in titles:
        return []
    works = queries.list_works_of(subject, person)
    first = queries.list_first(works, limit=_OF_A_PLACE, today=timezone.localdate())
    if not first.rows:
        return []
    context = _table(first, _list_address(subject))
    return [Panel(titles[subject.kind], "works/panels/table.html", context, order=30)]  # type: ignore[index]


def _table(first: queries.FirstRows, more_url: str) -> dict[str, Any]:
    plan_year = first.plan_year
    return {
        **_columns(first.rows),
        "rows": first.rows,
        "plan_year": plan_year,
        "year": plan_year - 1,
        "more": first.more,
        "more_url": more_url,
    }


def _columns(rows: list[queries.Row]) -> dict[str, bool]:
    """Urban works are told by their losses, rural ones by their households; no column is empty all the way down."""
    has_urban = any(row.sector == Work.Sector.URBAN for row in rows)
    counted = any((row.design, row.connected, row.planned) != (None, None, None) for row in rows)
    return {"has_urban": has_urban, "has_households": counted or not has_urban}


def map_layers(person: Person, province: Subject | None) -> list[MapLayer]:
    """Draw the works in the person's scope. Of very many only those of one province: the map lists its points too."""
    works = queries.list_works(person).filter(subject__latitude__isnull=False)
    if province is not None:
        works = works.filter(subject__contained_in__ancestor=province)
    rows = list(
        works.order_by("subject__name").values_list(
            "subject__key", "subject__name", "subject__latitude", "subject__longitude", "kind", "status"
        )[: _ON_A_MAP + 1]
    )
    if len(rows) > _ON_A_MAP:
        return []
    points = [
        {
            "lat": latitude, "lon": longitude, "title": name, "url": reverse("works:detail", args=[key]),
            "text": str(Work.Kind(kind).label if status == Work.Status.RUNNING else Work.Status(status).label),
            "tone": "neutral" if status == Work.Status.STOPPED else "info",
        }
        for key, name, latitude, longitude, kind, status in rows
    ]  # fmt: skip
    return [MapLayer("works", "Công trình cấp nước", points, order=15)]


def _list_address(subject: Subject) -> str:
    name = ""
    if subject.kind == Subject.Kind.ORGANISATION:
        name = "operator"
    elif subject.kind == Subject.Kind.UNIT:
        name = {"PROVINCE": "province", "COMMUNE": "commune"}.get(subject.unit.level, "")
    return reverse("works:list") + (f"?{name}={subject.pk}" if name else "")
