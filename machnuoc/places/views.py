"""Pages of places: search, administrative units, organisations, the map, people and their grants."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.middleware import HtmxDetails

from machnuoc.core import export, folding, panels
from machnuoc.core import search as search_index
from machnuoc.core.models import Document, Person
from machnuoc.places import access, forms, operations, queries, search_kinds
from machnuoc.places.highlight import mark_matches
from machnuoc.places.models import AdministrativeUnit, Grant, Organisation, PrintedName, Subject, UrbanArea

_PAGE_SIZE = 50
_ENDING_DAYS = 14
_DOCUMENT = "document"
# Kinds of the search index in the order of the page: key → heading, icon.
_KINDS: dict[str, tuple[str, str]] = {
    "work": ("Công trình", "building-factory-2"),
    "unit": ("Đơn vị hành chính", "map-pin"),
    "urban_area": ("Khu vực đô thị", "building-community"),
    "organisation": ("Tổ chức", "sitemap"),
    "metric": ("Chỉ tiêu, số liệu", "chart-bar"),
    _DOCUMENT: ("Văn bản", "files"),
}


_OPEN_KINDS = {
    Subject.Kind.COUNTRY,
    Subject.Kind.UNIT,
    Subject.Kind.URBAN_AREA,
}  # pages that all may open


class SignedInRequest(HttpRequest):
    """A request of somebody: LoginRequiredMiddleware sends everyone else to sign in."""

    user: Person
    htmx: HtmxDetails


# --- search


@dataclass(frozen=True)
class Found:
    title: SafeString
    subtitle: SafeString
    url: str


@dataclass(frozen=True)
class FoundGroup:
    key: str
    title: str
    icon: str
    rows: list[Found]
    has_more: bool


@require_safe
def search(request: SignedInRequest) -> HttpResponse:
    """Everything that a name finds, by kind. The top bar asks for a short list of it while one types."""
    query = request.GET.get("q", "").strip()[: search_index.QUERY_AT_MOST]
    kind = request.GET.get("kind", "")
    is_live = bool(request.htmx) and request.htmx.target == "search-live"
    known = _list_kinds()
    limit = 4 if is_live else 100 if kind in known else 8
    kinds = [kind] if kind in known and not is_live else list(known)
    groups = _find_groups(request.user, kinds, query, limit) if query else []
    context = {
        "query": query,
        "groups": groups,
        "kind": kind if kind in known else "",
        "count": sum(len(group.rows) for group in groups),
        "kind_tabs": [("", "Tất cả", _address_with(request, kind="", page=""))]
        + [(key, title, _address_with(request, kind=key, page="")) for key, (title, _) in known.items()],
    }
    return render(request, "places/search.html#live" if is_live else "places/search.html", context)


def _list_kinds() -> dict[str, tuple[str, str]]:
    """Return heading and icon of every kind in the order of the page; documents last."""
    more = {key: (kind.title, kind.icon) for key, kind in search_kinds.list_kinds().items()}
    places = {key: said for key, said in _KINDS.items() if key != _DOCUMENT}
    return places | more | {_DOCUMENT: _KINDS[_DOCUMENT]}


def _find_groups(person: Any, kinds: list[str], query: str, limit: int) -> list[FoundGroup]:
    """Return what is found of each kind, in one query for all kinds of which the same is visible."""
    more, known = search_kinds.list_kinds(), _list_kinds()
    asked: dict[Any, list[str]] = {}
    for kind in kinds:
        if kind != _DOCUMENT:
            asked.setdefault(more[kind].within if kind in more else access.visible_subject_ids, []).append(kind)
    rows: dict[str, list[tuple[str, str, str]]] = {}
    for visible, its_kinds in asked.items():
        within = None if access.sees_everything(person) else visible(person)
        found = search_index.find_each(query, kinds=its_kinds, within=within, limit=limit + 1)
        rows |= {kind: [(one.title, one.subtitle, one.url) for one in entries] for kind, entries in found.items()}
    if _DOCUMENT in kinds:
        rows[_DOCUMENT] = _find_documents(query, limit + 1)
    return [
        FoundGroup(
            kind, *known[kind], has_more=len(rows[kind]) > limit,
            rows=[Found(mark_matches(title, query), mark_matches(subtitle, query), url)
                  for title, subtitle, url in rows[kind][:limit]],
        )
        for kind in kinds
        if rows.get(kind)
    ]  # fmt: skip


def _find_documents(query: str, limit: int) -> list[tuple[str, str, str]]:
    # Dozens of documents, not thousands: folding them here spares a second index.
    words = folding.fold(query).split()
    found = []
    for document in Document.objects.defer("note"):
        text = folding.fold(f"{document.number} {document.title} {document.issuer}")
        if words and all(word in text for word in words):
            subtitle = " · ".join(filter(None, [document.number, document.issuer]))
            found.append((document.title, subtitle, reverse("core:document", args=[document.key])))
    return found[:limit]


def _address_with(request: SignedInRequest, **changes: str) -> str:
    parameters = request.GET.copy()
    for name, value in changes.items():
        parameters.pop(name, None)
        if value:
            parameters[name] = value
    return f"?{parameters.urlencode()}"


# --- administrative units

_UNIT_ORDERS: dict[str, Callable[[tuple[int, str, str, str]], Any]] = {
    "name": lambda row: (queries.sort_key(row[2]), row[1]),
    "code": lambda row: (row[1], queries.sort_key(row[2])),
    "parent": lambda row: (queries.sort_key(row[3] or ""), queries.sort_key(row[2])),
}


@require_safe
def units(request: SignedInRequest) -> HttpResponseBase:
    """The tree of provinces and communes, or a list as soon as somebody filters or sorts."""
    form = forms.UnitFilter(request.GET)
    wanted = form.cleaned_data if form.is_valid() else {}
    province = _unit_or_none(wanted.get("province", ""))
    rows = queries.list_units(
        query=wanted.get("q", ""),
        level=wanted.get("level", ""),
        parent=province,
        in_force={"former": False, "all": None}.get(wanted.get("status", ""), True),
    )
    if export.format_of(request):
        return export.export(
            request,
            name="Đơn vị hành chính",
            columns=[
                ("Tên", lambda row: row.full_name, "text"),
                ("Cấp", lambda row: row.get_level_display(), "text"),
                ("Mã", lambda row: row.code, "text"),
                ("Thuộc", lambda row: row.parent.full_name if row.parent else None, "text"),
                ("Hiệu lực từ", lambda row: row.subject.valid_from, "date"),
                ("Hết hiệu lực", lambda row: row.subject.valid_to, "date"),
                ("Vĩ độ", lambda row: row.subject.latitude, "number"),
                ("Kinh độ", lambda row: row.subject.longitude, "number"),
            ],
            rows=_in_order(rows, request, _UNIT_ORDERS, "code", ("code", "subject__name", "parent__subject__name")),
            source_note="Danh mục đơn vị hành chính kèm theo chương trình (machnuoc/places/data).",
        )
    is_list = any(wanted.values()) or request.GET.get("view") == "list" or "sort" in request.GET
    context: dict[str, Any] = {
        "form": form,
        "is_list": is_list,
        "query": wanted.get("q", ""),
        "views": [("tree", "Theo cây", "?"), ("list", "Danh sách", "?view=list")],
    }
    if is_list:
        order = _order_ids(rows, request, _UNIT_ORDERS, "code", ("code", "subject__name", "parent__subject__name"))
        context["page"] = _page_of(order, rows, request)
        for row in context["page"]:
            row.title_html = mark_matches(row.full_name, context["query"])
    else:
        context["provinces"] = queries.with_commune_counts(queries.list_provinces())
        context["commune_count"] = sum(row.commune_count for row in context["provinces"])
    return render(request, "places/units.html", context)


def _unit_or_none(key: str) -> AdministrativeUnit | None:
    return AdministrativeUnit.objects.filter(subject__key=key).select_related("subject").first() if key else None


def _order_ids(
    rows: QuerySet[Any],
    request: SignedInRequest,
    orders: dict[str, Callable[[Any], Any]],
    default: str,
    fields: tuple[str, ...],
) -> list[int]:
    """Return the primary keys in the order that the address asks for: names as the Vietnamese alphabet has them."""
    wanted = request.GET.get("sort", default)
    name = wanted.removeprefix("-")
    if name not in orders:
        wanted = name = default
    light = list(rows.order_by().values_list("pk", *fields))
    light.sort(key=orders[name], reverse=wanted.startswith("-"))
    return [row[0] for row in light]


def _page_of(ids: list[int], rows: QuerySet[Any], request: SignedInRequest) -> Any:
    """Return one page of the rows, in the order of the ids; only its rows are read whole."""
    page = Paginator(ids, _PAGE_SIZE).get_page(request.GET.get("page"))
    found = {row.pk: row for row in rows.filter(pk__in=list(page.object_list)).order_by()}
    page.object_list = [found[pk] for pk in page.object_list if pk in found]
    return page


def _in_order(
    rows: QuerySet[Any],
    request: SignedInRequest,
    orders: dict[str, Callable[[Any], Any]],
    default: str,
    fields: tuple[str, ...],
) -> Iterable[Any]:
    ids = _order_ids(rows, request, orders, default, fields)
    for start in range(0, len(ids), 500):
        chunk = ids[start : start + 500]
        found = {row.pk: row for row in rows.filter(pk__in=chunk).order_by()}
        yield from (found[pk] for pk in chunk if pk in found)


@require_safe
def unit_children(request: SignedInRequest, key: str) -> HttpResponse:
    """The communes of one province, for its branch of the tree."""
    parent = _get_unit(key)
    children = AdministrativeUnit.objects.filter(parent=parent, is_in_force=True).select_related("subject")
    rows = sorted(children, key=lambda row: queries.sort_key(row.subject.name))
    return render(request, "places/units.html#branch", {"children": rows, "unit": parent})


def _get_unit(key: str) -> AdministrativeUnit:
    try:
        return queries.get_unit(key)
    except AdministrativeUnit.DoesNotExist:
        raise Http404(key) from None


@require_safe
def unit(request: SignedInRequest, key: str) -> HttpResponse:
    shown: Any = _get_unit(key)  # with what queries.get_unit adds
    subject = shown.subject
    children: list[queries.Child] = []
    if shown.level != AdministrativeUnit.Level.COMMUNE:  # nothing lies below a commune
        children = queries.list_children(shown)
    current = [row for row in children if row.is_in_force] if shown.is_in_force else children
    page = Paginator(current, _PAGE_SIZE).get_page(request.GET.get("page"))
    former = [row for row in children if not row.is_in_force] if shown.is_in_force else []
    organisations = queries.list_organisations(request.user).filter(territory__subject__contained_in__ancestor=subject)
    context = {
        "unit": shown,
        "subject": subject,
        "facts": _unit_facts(shown),
        "crumbs": _unit_crumbs(shown),
        "same_code": queries.list_same_code(shown) if shown.has_same_code else [],
        "history": [_history_event(row) for row in queries.list_history(shown)] if shown.has_history else [],
        "page": page,
        "child_links": _draw_children(page.object_list),
        "former_count": len(former),
        "former_links": _draw_children(former),
        "printed_names": list_printed_names(subject) if shown.has_printed_names else [],
        "urban_areas": sorted(queries.list_urban_areas(shown), key=lambda area: queries.sort_key(area.subject.name)),
        "organisations": list(organisations[:21]),
        "panels": panels.list_for_subject(request.user, subject),
        "map": _unit_map(shown),
    }
    return render(request, "places/unit.html", context)


@require_safe
def later_panels(request: SignedInRequest, pk: int) -> HttpResponse:
    """Show what rooms add to the page of a subject after it has come, or as a page where there is no JavaScript."""
    subject = get_object_or_404(Subject, pk=pk)
    if subject.kind not in _OPEN_KINDS and not access.may(request.user, "view", subject):
        raise Http404
    context = {"panels": panels.list_later_for_subject(request.user, subject), "title": subject.name}
    return render(request, "core/parts/later_panels.html" if request.htmx else "core/later_panels.html", context)


def _draw_children(rows: Iterable[queries.Child]) -> SafeString:
    """Return a list item for each: a province has a hundred, and a template takes ten times as long."""
    before, _, after = reverse("places:unit", args=["-key-"]).partition("-key-")
    return format_html_join(
        "\n",
        '<li><a href="{}{}{}"><span class="link-list-title">{}</span><span class="is-code is-quiet">{}</span></a></li>',
        ((before, quote(row.key), after, row.full_name, row.code) for row in rows),
    )


def _unit_facts(shown: AdministrativeUnit) -> list[tuple[str, Any]]:
    subject = shown.subject
    start = f"{subject.valid_from:%d/%m/%Y}" if subject.valid_from else "chưa rõ từ ngày nào"
    if shown.is_in_force:
        validity = f"từ {start}, đang có hiệu lực" if subject.valid_from else "đang có hiệu lực; chưa rõ từ ngày nào"
    else:
        ended = f"hết hiệu lực ngày {subject.valid_to:%d/%m/%Y}" if subject.valid_to else "đã hết hiệu lực"
        validity = f"{'từ ' if subject.valid_from else ''}{start}; {ended}"
    code = format_html(
        '<span class="is-code">{}</span> <span class="is-quiet">mã chỉ có nghĩa trong thời gian hiệu lực</span>',
        shown.code,
    )
    facts: list[tuple[str, Any]] = [
        ("Loại", shown.unit_type),
        ("Cấp", shown.get_level_display()),
        ("Mã", code),
        ("Hiệu lực", validity),
    ]
    if shown.parent:
        facts.append(("Thuộc", _link("places:unit", shown.parent.subject.key, shown.parent.full_name)))
    if shown.name_en:
        facts.append(("Tên tiếng Anh", shown.name_en))
    if subject.latitude is not None and subject.longitude is not None:
        facts.append(
            (
                "Tọa độ tâm gần đúng",
                f"{subject.latitude:.5f}, {subject.longitude:.5f}".replace(".", ",").replace(", ", "; "),
            )
        )
    return facts


def _link(name: str, key: str, text: str) -> SafeString:
    return format_html('<a href="{}">{}</a>', reverse(name, args=[key]), text)


def _unit_crumbs(shown: AdministrativeUnit) -> list[tuple[str, str]]:
    chain: list[AdministrativeUnit] = []
    above = shown.parent
    while above is not None:
        chain.insert(0, above)
        above = above.parent if len(chain) < 2 else None
    links = [(row.full_name, reverse("places:unit", args=[row.subject.key])) for row in chain]
    return [("Địa bàn", reverse("places:units")), *links]


def _history_event(row: Any) -> dict[str, Any]:
    return {
        "at": row.on_date,
        "before": queries.name_before(row),
        "before_url": reverse("places:unit", args=[row.predecessor.subject.key]),
        "after": queries.name_after(row),
        "after_url": reverse("places:unit", args=[row.successor.subject.key]),
        "relation": row.get_relation_display(),
        "note": row.note_as_printed if row.note_as_printed.casefold() != row.get_relation_display() else "",
        "remark": row.remark,
    }


def list_printed_names(subject: Subject) -> list[PrintedName]:
    return list(subject.printed_names.select_related("passage__document").order_by("text", "pk"))


def _unit_point(row: AdministrativeUnit, tone: str = "info") -> dict[str, Any]:
    return {
        "lat": row.subject.latitude,
        "lon": row.subject.longitude,
        "title": row.full_name,
        "url": reverse("places:unit", args=[row.subject.key]),
        "text": f"Mã {row.code}",
        "tone": tone,
    }


def _unit_map(shown: AdministrativeUnit) -> dict[str, Any] | None:
    if shown.subject.latitude is None:
        return None
    return {"points": [_unit_point(shown)]}


@require_safe
def suggest_units(request: SignedInRequest) -> HttpResponse:
    """Options for a territory box."""
    among = Subject.objects.filter(kind=Subject.Kind.UNIT, unit__is_in_force=True)
    return _render_offers(request, among)


def _render_offers(request: SignedInRequest, among: QuerySet[Subject]) -> HttpResponse:
    text = request.GET.get(request.GET.get("box", ""), "")
    rows = queries.find_subjects(text, among) if text.strip() else []
    return render(request, "places/parts/offers.html", {"options": [forms.option_text(row) for row in rows]})


# --- urban areas


@require_safe
def urban_area(request: SignedInRequest, key: str) -> HttpResponse:
    area = get_object_or_404(
        UrbanArea.objects.select_related(
            "subject",
            "commune__subject",
            "commune__parent__subject",
            "former_unit__subject",
            "former_unit__parent",
            "passage__document",
        ),
        subject__key=key,
    )
    facts: list[tuple[str, Any]] = [
        ("Thuộc xã, phường hiện nay", _link("places:unit", area.commune.subject.key, area.commune.full_name))
    ]
    if area.commune.parent:
        facts.append(("Tỉnh", _link("places:unit", area.commune.parent.subject.key, area.commune.parent.full_name)))
    if area.former_unit:
        district = f", {queries.lower_type(area.former_unit.parent.full_name)}" if area.former_unit.parent else ""
        facts.append(
            (
                "Đơn vị cũ",
                format_html(
                    "{}{}", _link("places:unit", area.former_unit.subject.key, area.former_unit.full_name), district
                ),
            )
        )
    if area.note:
        facts.append(("Ghi chú", area.note))
    point = None
    if area.subject.latitude is not None:
        point = {
            "points": [
                {
                    "lat": area.subject.latitude,
                    "lon": area.subject.longitude,
                    "title": area.subject.name,
                    "tone": "info",
                }
            ]
        }
    context = {
        "area": area,
        "subject": area.subject,
        "facts": facts,
        "printed_names": list_printed_names(area.subject),
        "panels": panels.list_for_subject(request.user, area.subject),
        "map": point,
    }
    return render(request, "places/urban_area.html", context)


# --- the map


@require_safe
def point_map(request: SignedInRequest) -> HttpResponse:
    """Points of provinces, or of one province's communes, with the layers that other rooms add."""
    province = _unit_or_none(request.GET.get("province", ""))
    if province and province.level != AdministrativeUnit.Level.PROVINCE:
        province = None
    layers = [
        *_own_layers(request.user, province),
        *panels.list_map_layers(request.user, province.subject if province else None),
    ]
    layers = [layer for layer in layers if layer.points]
    asked = request.GET.copy()
    if "layer" not in asked:
        asked.setlist("layer", [layer.key for layer in layers])  # nothing chosen yet: everything
    form = forms.MapFilter(asked, layers=[(layer.key, f"{layer.title} ({len(layer.points)})") for layer in layers])
    chosen = form.cleaned_data["layer"] if form.is_valid() else [layer.key for layer in layers]
    shown = [layer for layer in layers if layer.key in chosen]
    context = {
        "form": form,
        "province": province,
        "layers": shown,
        "map": {"points": [point for layer in shown for point in layer.points]},
    }
    return render(request, "places/map.html", context)


def _own_layers(person: Any, province: AdministrativeUnit | None) -> list[panels.MapLayer]:
    if province is None:
        title, rows = "Tỉnh, thành phố", list(queries.list_provinces())
    else:
        title = "Xã, phường, đặc khu"
        rows = list(queries.list_units(level=AdministrativeUnit.Level.COMMUNE, parent=province))
    placed = [_unit_point(row, "neutral") for row in rows if row.subject.latitude is not None]
    areas = UrbanArea.objects.select_related("subject", "commune").filter(subject__latitude__isnull=False)
    bodies = queries.list_organisations(person).filter(subject__latitude__isnull=False)
    if province is not None:
        areas = areas.filter(subject__contained_in__ancestor=province.subject)
        bodies = bodies.filter(subject__contained_in__ancestor=province.subject)
    return [
        panels.MapLayer("units", title, placed, order=10),
        panels.MapLayer(
            "urban_areas",
            "Khu vực đô thị",
            [
                {
                    "lat": row.subject.latitude, "lon": row.subject.longitude, "title": row.subject.name,
                    "url": reverse("places:urban_area", args=[row.subject.key]), "text": row.commune.full_name,
                    "tone": "warning",
                }
                for row in areas
            ],
            order=20,
        ),
        panels.MapLayer(
            "organisations",
            "Tổ chức",
            [
                {
                    "lat": row.subject.latitude, "lon": row.subject.longitude, "title": row.subject.name,
                    "url": reverse("places:organisation", args=[row.subject.key]), "text": row.get_kind_display(),
                    "tone": "good",
                }
                for row in bodies
            ],
            order=30,
        ),
    ]  # fmt: skip


# --- organisations

_ORGANISATION_ORDERS: dict[str, Callable[[tuple[int, str, str, str, str]], Any]] = {
    "name": lambda row: queries.sort_key(row[1]),
    "kind": lambda row: (list(Organisation.Kind.values).index(row[2]), queries.sort_key(row[1])),
    "parent": lambda row: (queries.sort_key(row[3] or ""), queries.sort_key(row[1])),
    "territory": lambda row: (queries.sort_key(row[4] or ""), queries.sort_key(row[1])),
}
_ORGANISATION_FIELDS = ("subject__name", "kind", "parent__subject__name", "territory__subject__name")


@require_safe
def organisations(request: SignedInRequest) -> HttpResponseBase:
    form = forms.OrganisationFilter(request.GET)
    wanted = form.cleaned_data if form.is_valid() else {}
    visible = queries.list_organisations(request.user)
    rows = visible
    if wanted.get("q", "").strip():
        rows = rows.filter(pk__in=search_index.matching_ids("organisation", wanted["q"]))
    if wanted.get("kind"):
        rows = rows.filter(kind=wanted["kind"])
    if wanted.get("territory"):
        rows = rows.filter(subject__contained_in__ancestor__key=wanted["territory"])
    if export.format_of(request):
        return export.export(
            request,
            name="Tổ chức",
            columns=[
                ("Tên", lambda row: row.subject.name, "text"),
                ("Loại", lambda row: row.get_kind_display(), "text"),
                ("Trực thuộc", lambda row: row.parent.subject.name if row.parent else None, "text"),
                ("Địa bàn", lambda row: row.territory.full_name if row.territory else None, "text"),
                ("Địa chỉ", lambda row: row.address, "text"),
                ("Điện thoại", lambda row: row.phone, "text"),
                ("Thư điện tử", lambda row: row.email, "text"),
                ("Trang thông tin", lambda row: row.website, "text"),
            ],
            rows=_in_order(rows, request, _ORGANISATION_ORDERS, "name", _ORGANISATION_FIELDS),
        )
    is_list = any(wanted.values()) or request.GET.get("view") == "list" or "sort" in request.GET
    context: dict[str, Any] = {
        "form": form,
        "is_list": is_list,
        "query": wanted.get("q", ""),
        "views": [("tree", "Theo cây", "?"), ("list", "Danh sách", "?view=list")],
        "may_add": access.may(request.user, "manage"),
    }
    if is_list:
        order = _order_ids(rows, request, _ORGANISATION_ORDERS, "name", _ORGANISATION_FIELDS)
        context["page"] = _page_of(order, rows, request)
        shown = set(visible.filter(pk__in=[row.parent_id for row in context["page"]]).values_list("pk", flat=True))
        for row in context["page"]:
            row.title_html = mark_matches(row.subject.name, context["query"])
            row.parent_is_shown = row.parent_id in shown
    else:
        found = list(visible)
        context["branches"] = queries.organisation_tree(found)
        context["count"] = len(found)
    return render(request, "places/organisations.html", context)


def _get_organisation(request: SignedInRequest, key: str) -> Organisation:
    # What lies out of scope is answered as if it did not exist.
    rows = queries.list_organisations(request.user).select_related(
        "subject", "parent__subject", "territory__subject", "passage__document"
    )
    found = get_object_or_404(rows, subject__key=key)
    access.remember_visible(request.user, found.pk)
    return found


@require_safe
def organisation(request: SignedInRequest, key: str) -> HttpResponse:
    shown = _get_organisation(request, key)
    visible = queries.list_organisations(request.user)
    parent: Any = None
    if shown.parent:
        is_visible = visible.filter(pk=shown.parent_id).exists()
        name = shown.parent.subject.name
        parent = _link("places:organisation", shown.parent.subject.key, name) if is_visible else name
    facts: list[tuple[str, Any]] = [
        ("Loại", shown.get_kind_display()),
        ("Trực thuộc", parent or "không"),
        (
            "Địa bàn",
            _link("places:unit", shown.territory.subject.key, shown.territory.full_name) if shown.territory else None,
        ),
        ("Địa chỉ", shown.address),
        (
            "Điện thoại",
            format_html('<a href="tel:{}">{}</a>', _dial(shown.phone), shown.phone) if shown.phone else None,
        ),
        ("Thư điện tử", format_html('<a href="mailto:{0}">{0}</a>', shown.email) if shown.email else None),
        (
            "Trang thông tin",
            format_html('<a href="{0}" rel="external noopener">{0}</a>', shown.website) if shown.website else None,
        ),
    ]
    if shown.note:
        facts.append(("Ghi chú", shown.note))
    children = sorted(visible.filter(parent=shown), key=lambda row: queries.sort_key(row.subject.name))
    context = {
        "organisation": shown,
        "subject": shown.subject,
        "facts": facts,
        "children": children,
        "printed_names": list_printed_names(shown.subject),
        "panels": panels.list_for_subject(request.user, shown.subject),
        "may_edit": access.may(request.user, "manage", shown.subject),
    }
    return render(request, "places/organisation.html", context)


def _dial(phone: str) -> str:
    return "".join(char for char in phone if char.isdigit() or char == "+")


def edit_organisation(request: SignedInRequest, key: str) -> HttpResponse:
    shown = _get_organisation(request, key)
    access.require(request.user, "manage", shown.subject)
    # Who may move it: those above it. Its own managers change what it says of itself.
    above = (
        shown.parent.subject if shown.parent else shown.territory.subject if shown.territory else queries.get_country()
    )
    can_move = access.may(request.user, "manage", above)
    inside = set(
        Organisation.objects.filter(subject__contained_in__ancestor=shown.subject).values_list("pk", flat=True)
    )
    parents = [row for row in _list_managed(request.user) if row.pk not in inside]
    if shown.parent and shown.parent_id not in {row.pk for row in parents}:
        parents.append(shown.parent)
    initial = {
        "name": shown.subject.name, "kind": shown.kind, "parent": shown.parent_id or "",
        "territory": forms.option_text(shown.territory.subject) if shown.territory else "", "address": shown.address,
        "phone": shown.phone, "email": shown.email, "website": shown.website, "note": shown.note,
        "version": shown.subject.version,
    }  # fmt: skip
    form = forms.OrganisationForm(request.POST or None, initial=initial, parents=parents, can_move=can_move)
    if request.method == "POST" and form.is_valid():
        wanted = form.cleaned_data
        territory = wanted.pop("territory", shown.territory.subject if shown.territory else None)
        wanted.setdefault("parent", shown.parent)
        try:
            operations.put_organisation(
                key=key,
                territory=territory.unit if territory else None,
                passage=shown.passage,
                by=request.user,
                **wanted,
            )
        except operations.PlacesError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã lưu «{wanted['name']}».")
            return redirect("places:organisation", key=key)
    context = {"form": form, "organisation": shown, "can_move": can_move}
    return render(request, "places/organisation_form.html", context)


def _list_managed(person: Any) -> list[Organisation]:
    within = access.visible_subject_ids(person, "manage")
    return list(Organisation.objects.filter(pk__in=within).select_related("subject"))


def add_organisation(request: SignedInRequest) -> HttpResponse:
    access.require(request.user, "manage")
    form = forms.OrganisationForm(request.POST or None, parents=_list_managed(request.user), can_move=True)
    if request.method == "POST" and form.is_valid():
        wanted = form.cleaned_data
        wanted.pop("version")
        territory = wanted.pop("territory")
        home = wanted["parent"].subject if wanted["parent"] else territory or queries.get_country()
        if not access.may(request.user, "manage", home):
            form.add_error("parent", "Chọn một tổ chức cấp trên hoặc một địa bàn mà bạn quản lý.")
        else:
            key = _free_key(wanted["name"])
            try:
                operations.put_organisation(
                    key=key, territory=territory.unit if territory else None, by=request.user, **wanted
                )
            except operations.PlacesError as reason:
                form.add_error(None, str(reason))
            else:
                messages.success(request, f"Đã thêm «{wanted['name']}».")
                return redirect("places:organisation", key=key)
    return render(request, "places/organisation_form.html", {"form": form, "can_move": True})


def _free_key(name: str) -> str:
    """Return a key of our own made of the name, with a number if another subject has it."""
    base = "org." + ("-".join(folding.fold(name).split())[:90] or "to-chuc")
    key, number = base, 2
    while Subject.objects.filter(key=key).exists():
        key, number = f"{base}-{number}", number + 1
    return key


# --- people and grants


@require_safe
def people(request: SignedInRequest) -> HttpResponseBase:
    access.require(request.user, "administer")
    form = forms.PeopleFilter(request.GET)
    wanted = form.cleaned_data if form.is_valid() else {}
    rows = _filter_people(queries.list_people(request.user), wanted)
    words = folding.fold(wanted.get("q", "")).split()
    light = [
        (pk, full_name, username)
        for pk, full_name, username, title in rows.order_by().values_list("pk", "full_name", "username", "title")
        if all(word in folding.fold(f"{full_name} {username} {title}") for word in words)
    ]
    light.sort(key=lambda row: (queries.sort_key(row[1]), row[0]))
    if request.GET.get("sort") == "-name":
        light.reverse()
    ids = [row[0] for row in light]
    if export.format_of(request):
        return export.export(
            request,
            name="Người dùng",
            columns=[
                ("Họ và tên", lambda row: row.full_name, "text"),
                ("Tên đăng nhập", lambda row: row.username, "text"),
                ("Chức vụ", lambda row: row.title, "text"),
                ("Quyền đang có hiệu lực", lambda row: "; ".join(text for text, _ in row.live_grants), "text"),
                ("Còn hoạt động", lambda row: row.is_active, "text"),
            ],
            rows=_with_live_grants(rows.filter(pk__in=ids)),
        )
    page = _page_of(ids, rows, request)
    _with_live_grants(page.object_list)
    return render(request, "places/people.html", {"form": form, "page": page})


def _filter_people(rows: QuerySet[Person], wanted: dict[str, Any]) -> QuerySet[Person]:
    today = timezone.localdate()
    live = Grant.objects.filter(valid_from__lte=today).exclude(valid_to__lte=today)
    if wanted.get("role"):
        rows = rows.filter(pk__in=live.filter(role=wanted["role"]).values("person_id"))
    state = wanted.get("state")
    if state in {"active", "inactive"}:
        rows = rows.filter(is_active=state == "active")
    elif state == "without":
        rows = rows.filter(is_active=True).exclude(pk__in=live.values("person_id"))
    elif state == "ending":
        soon = live.filter(valid_to__lte=today + timedelta(days=_ENDING_DAYS))
        rows = rows.filter(pk__in=soon.values("person_id"))
    return rows


def _with_live_grants(rows: Iterable[Any]) -> list[Any]:
    """Give each person the words for the grants of today, with whether they end soon."""
    today = timezone.localdate()
    rows = list(rows)
    for row in rows:
        row.live_grants = [
            (
                f"{grant.get_role_display()}, {_scope_name(grant.scope)}",
                grant.valid_to is not None and grant.valid_to <= today + timedelta(days=_ENDING_DAYS),
            )
            for grant in row.shown_grants
            if grant.valid_from <= today and (grant.valid_to is None or grant.valid_to > today)
        ]
    return rows


def _scope_name(scope: Subject) -> str:
    return scope.unit.full_name if scope.kind == Subject.Kind.UNIT else queries.subject_label(scope)


@never_cache
def add_person(request: SignedInRequest) -> HttpResponse:
    access.require(request.user, "administer")
    needs_grant = not access.sees_everything(request.user, "administer")
    form = forms.PersonForm(request.POST or None, by=request.user, needs_grant=needs_grant)
    if request.method == "POST" and form.is_valid():
        try:
            person, password = operations.add_person(**form.cleaned_data, by=request.user)
        except (operations.PlacesError, PermissionDenied) as reason:
            form.add_error(None, str(reason))
        else:
            return _show_password(request, person, password, is_new=True)
    return render(request, "places/person_form.html", {"form": form, "needs_grant": needs_grant})


def _show_password(request: SignedInRequest, person: Person, password: str, *, is_new: bool) -> HttpResponse:
    # In this answer alone, which no cache may keep: only the hash is stored.
    response = render(request, "places/password.html", {"person": person, "password": password, "is_new": is_new})
    response["Cache-Control"] = "no-store"
    return response


def _get_person(request: SignedInRequest, pk: int) -> Person:
    access.require(request.user, "administer")
    return get_object_or_404(queries.list_people(request.user), pk=pk)


def person(request: SignedInRequest, pk: int) -> HttpResponse:
    """One person with their grants; POST gives one more."""
    shown: Any = _get_person(request, pk)
    form = forms.GrantForm(request.POST or None, by=request.user)
    if request.method == "POST" and form.is_valid():
        try:
            grant = operations.give_grant(person=shown, by=request.user, **form.cleaned_data)
        except (operations.PlacesError, PermissionDenied) as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã giao quyền «{grant.get_role_display()}» tại {grant.scope.name}.")
            return redirect("places:person", pk=pk)
    today = timezone.localdate()
    for grant in shown.shown_grants:
        grant.scope_label = _scope_name(grant.scope)
        grant.is_over = grant.valid_to is not None and grant.valid_to <= today
        grant.is_to_come = grant.valid_from > today
        grant.may_end = not grant.is_over and access.may_give(request.user, grant.scope, grant.field)
    context = {
        "person": shown,
        "form": form,
        "grants": sorted(shown.shown_grants, key=lambda grant: grant.is_over),
        "is_over": access.is_over(request.user, shown),
        "is_self": shown.pk == request.user.pk,
        "facts": [
            ("Tên đăng nhập", format_html('<span class="is-code">{}</span>', shown.username)),
            ("Chức vụ", shown.title),
            ("Thư điện tử", shown.email),
            ("Điện thoại", shown.phone),
            (
                "Đăng nhập gần nhất",
                f"{timezone.localtime(shown.last_login):%d/%m/%Y %H:%M}" if shown.last_login else "chưa lần nào",
            ),
        ],
    }
    return render(request, "places/person.html", context)


@require_POST
def end_grant(request: SignedInRequest, pk: int) -> HttpResponse:
    access.require(request.user, "administer")
    within = queries.list_administered(request.user)
    grant = get_object_or_404(Grant.objects.select_related("scope", "person"), pk=pk, scope__in=within)
    try:
        operations.end_grant(grant, on_date=timezone.localdate(), by=request.user)
    except operations.PlacesError as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, f"Đã kết thúc quyền «{grant.get_role_display()}» của {grant.person.full_name}.")
    still_shown = queries.list_people(request.user).filter(pk=grant.person_id).exists()
    return redirect("places:person", pk=grant.person_id) if still_shown else redirect("places:people")


@require_POST
@never_cache
def reset_password(request: SignedInRequest, pk: int) -> HttpResponse:
    shown = _get_person(request, pk)
    password = operations.reset_password(shown, by=request.user)
    return _show_password(request, shown, password, is_new=False)


@require_POST
def set_active(request: SignedInRequest, pk: int) -> HttpResponse:
    shown = _get_person(request, pk)
    is_active = request.POST.get("active") == "1"
    try:
        operations.set_active(shown, is_active, by=request.user)
    except operations.PlacesError as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, f"Đã {'mở lại' if is_active else 'ngừng'} tài khoản «{shown.username}».")
    return redirect("places:person", pk=pk)


@require_safe
def suggest_scopes(request: SignedInRequest) -> HttpResponse:
    """Options for the scope of a grant: only what the reader administers."""
    access.require(request.user, "administer")
    return _render_offers(request, queries.list_administered(request.user))


# --- lending


def loans(request: SignedInRequest) -> HttpResponse:
    """What the person may do, what they lent and what was lent to them; POST lends."""
    today = timezone.localdate()
    mine = access.list_grants(request.user).select_related("scope__unit__parent", "lent_from__person")
    own = mine.filter(lent_from__isnull=True)
    initial = {"valid_from": today, "valid_to": today + timedelta(days=7)}
    form = forms.LoanForm(request.POST or None, grants=own, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            loan = operations.lend_grant(by=request.user, **form.cleaned_data)
        except operations.PlacesError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã ủy quyền «{loan.get_role_display()}» cho {loan.person.full_name}.")
            return redirect("places:loans")
    lent = (
        Grant.objects.filter(lent_from__person=request.user)
        .filter(Q(valid_to__isnull=True) | Q(valid_to__gt=today))
        .select_related("person", "scope__unit__parent")
    )
    context = {
        "form": form,
        "grants": [(grant, queries.subject_label(grant.scope)) for grant in mine],
        "lent": [(grant, queries.subject_label(grant.scope)) for grant in lent],
        "can_lend": own.exists(),
    }
    return render(request, "places/loans.html", context)


@require_POST
def end_loan(request: SignedInRequest, pk: int) -> HttpResponse:
    loan = get_object_or_404(
        Grant.objects.select_related("lent_from", "person", "scope"), pk=pk, lent_from__person=request.user
    )
    operations.end_loan(loan, on_date=timezone.localdate(), by=request.user)
    messages.success(request, f"Đã kết thúc ủy quyền cho {loan.person.full_name}.")
    return redirect("places:loans")
