"""What every template may use (the library is a builtin: no {% load %}).

Filters
    {{ 63.6|number:1 }} {{ 63.6|percent }} {{ 75000|vnd }} {{ day|vn_date }} {{ moment|vn_datetime }}
    {{ "m3/d"|unit_label }}          label of a unit key
    {{ value|figure }}               an indicators.Value (or None) as a link to its provenance, with unit and state.
                                     Lists: select_related("metric", "fact", "band"), so that no figure asks again.
    {{ value|figure_plain }}         the same words without link and badge (sheets, titles, aria labels)
Marks
    {% icon "droplet" %}             a drawing of scripts/icons.txt; {% icon "bell" "Thông báo" %} speaks its name
    {% state_badge value %}          a Value, Job, Submission, Work…: whatever has `state` or `status` with choices
    {% band_badge band %}            an indicators.Band (or None: nothing); colour, shape and label
    {% tag "Mô phỏng" "info" %}      a small label; tones: good info warning danger neutral
Page parts
    {% breadcrumbs "Công trình" list_url "Trạm A" %}        title, address, …, title of this page
    {% tabs items current %}                                items: (key, title, address) or (…, count)
    {% callout "warning" "Tiêu đề" "Nội dung" %}            tones as above
    {% empty_state "inbox" "Chưa có gì" "Việc cần làm" address "Nút" %}
    {% stat_tile "Hộ được cấp" value icon="users" plan=plan_value band=band note="29 trạm" url=address %}
                                                            value, plan: a Value, None or text; several: .stat-grid
    {% definition_list pairs %}                             pairs: (term, text or safe HTML)
    {% timeline events %}                                   objects or dicts: at, text; maybe person, icon, tone, url
    {% show_panel panel %}                                  a panels.Panel as a card: its title, then its template
    {% provenance passage %}                                «Nguồn: …» linking to the passage (or nothing)
    {% progress_bar done total "Đang tính" %}
Lists
    {% filter_bar form target="#list" %}                    a GET form; with `target` htmx swaps that element
    {% sort_head "Số hộ" "households" numeric=True %}       a column head that sets ?sort=households or -households
    {% pagination page %}                                   a paginator's Page; keeps the other query parameters
    {% export_menu %}                                       this very address with ?export=xlsx and ?export=csv
    {% public_links %}                                      the pages for everybody, at the foot of each of them
    {% querystring_with page=2 q=None %}                    "?…" of this address with changes; None or "" drops
    Tables: <div class="table-wrap"><table class="table is-stacking">, numbers in <td class="num" data-label="Số hộ">,
    the name in <th scope="row">, buttons in <td class="row-actions">.
Forms
    {% field form.name %}  {% form_fields form %}           label, control, help and errors, tied together
    {% confirm_dialog "remove" "Xóa mã?" "Không lấy lại được." address "Xóa" danger=True %}
                                                            opened by <a href="#remove" data-dialog="remove">
Charts and maps (core/charts.js and core/maps.js draw them; the same data stand beside them in words)
    {% chart "by-year" data "Hộ được cấp theo năm" %}       data: {"type": "bar" or "line", "unit", "decimals",
        "category_title", "categories": […], "series": [{"name", "values": [number or None], "dashed": bool}],
        "lines": [{"value", "label"}], "stacked", "from_zero"}, or {"type": "scatter", "x_title", "x_unit", "y_title",
        "unit", "decimals", "series": [{"name", "values": [(x, y, label)]}]}
    {% point_map "stations" data "Bản đồ công trình" %}     data: {"points": [{"lat", "lon", "title", "url", "text",
        "tone"}], "labels": [{"lat", "lon", "text"}]}; of very many points: {"packed", "words", "url"} (core/maps.js)
        and page=…, the page of them (dicts as above) that is listed beside the map
"""

import secrets
from collections.abc import Iterable, Mapping
from functools import lru_cache
from html import escape
from typing import Any

import msgspec
from django import template
from django.conf import settings
from django.core.paginator import Page
from django.db.models import Model
from django.forms import BoundField, CheckboxInput, CheckboxSelectMultiple, Form, RadioSelect, Select
from django.forms.utils import flatatt
from django.http import QueryDict
from django.template.base import FilterExpression, Parser, Token
from django.templatetags.static import static
from django.urls import NoReverseMatch, get_urlconf, reverse
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

from machnuoc.core import figures, panels, units, vietnamese

register = template.Library()

_SIMULATED = 5  # indicators.State.SIMULATED; this room does not import that one
_BAND_ICONS = {"good": "circle-check", "info": "info-circle", "warning": "alert-triangle", "danger": "alert-circle"}
_TONES = {"good", "info", "warning", "danger", "neutral"}
# State or status code → tone and icon. Codes of all rooms stand here together, since a page mixes them.
_STATES: dict[object, tuple[str, str]] = {
    0: ("good", "gauge"),
    1: ("good", "circle-check"),
    2: ("info", "file-text"),
    3: ("neutral", "pencil"),
    4: ("warning", "math-function"),
    5: ("warning", "flask"),
    "DRAFT": ("neutral", "pencil"),
    "SUBMITTED": ("info", "hourglass"),
    "RETURNED": ("warning", "arrow-back-up"),
    "APPROVED": ("good", "circle-check"),
    "QUEUED": ("neutral", "clock"),
    "RUNNING": ("info", "player-play"),
    "NOT_STARTED": ("neutral", "circle-dashed"),
    "DOING": ("info", "player-play"),
    "PAUSED": ("warning", "player-stop"),
    "DONE": ("good", "circle-check"),
    "FAILED": ("danger", "alert-circle"),
    "CANCELLED": ("neutral", "ban"),
    "STOPPED": ("danger", "player-stop"),
    "BUILDING": ("info", "tool"),
    "HANDOVER": ("warning", "git-merge"),
    "UNKNOWN": ("neutral", "help-circle"),
}


# --- filters


@register.filter
def number(value: Any, decimals: int | None = None) -> str:
    return vietnamese.format_number(value if value != "" else None, decimals)


@register.filter
def percent(value: Any, decimals: int | None = None) -> str:
    return vietnamese.format_percent(value if value != "" else None, decimals)


@register.filter
def vnd(value: Any) -> str:
    return vietnamese.format_money_vnd(value if value != "" else None)


@register.filter
def vn_date(value: Any) -> str:
    return vietnamese.format_date(value or None)


@register.filter
def vn_datetime(value: Any) -> str:
    return vietnamese.format_datetime(value or None)


@register.filter
def unit_label(key: str) -> str:
    return units.label(key)


@register.filter
def figure_plain(value: Any) -> str:
    """Return a Value in words («khoảng 63,6 %»), or «chưa có số liệu» for None."""
    if not value:
        return figures.NO_FIGURE
    qualifier = value.fact.qualifier if value.fact_id and value.fact else ""
    has_edges = value.number is not None or value.low is not None or value.high is not None
    text = figures.figure_text(
        value.number,
        value.low,
        value.low_open,
        value.high,
        value.high_open,
        value.metric.decimals,
        units.label(value.metric.unit),
        "" if has_edges or not value.band_id else value.band.label,
    )
    # An edge says «≤» or «trên» itself, and a class is its own word: the qualifier would say it twice.
    return f"{qualifier} {text}" if qualifier and value.number is not None else text


@register.filter
def figure(value: Any) -> SafeString:
    """Return a Value as a link to its provenance page; one without any number, edge or class has no link."""
    if not value:
        return format_html('<span class="figure is-missing">{}</span>', figures.NO_FIGURE)
    # The badge stands before the number, so that the numbers of a column end at one line.
    badge = format_html("{} ", tag("mô phỏng", "warning", "flask")) if value.state == _SIMULATED else ""
    return format_html("{}{}", badge, _figure_link(value))


def _figure_link(value: Any) -> SafeString:
    text = figure_plain(value)
    return figure_link(value.pk, text)


def figure_link(pk: int, text: str) -> SafeString:
    """Return words that lead to the provenance page of a Value; the words alone where the site has none."""
    before, after = _address_around(str(get_urlconf() or settings.ROOT_URLCONF))
    if not before:
        return format_html('<span class="figure">{}</span>', text)
    link = f'<a class="figure" href="{before}{int(pk)}{after}" title="Xem nguồn gốc số liệu">{escape(text)}</a>'
    return mark_safe(link)  # noqa: S308 - escaped; a page shows hundreds, and format_html takes five times as long


@lru_cache
def _address_around(urlconf: str) -> tuple[str, str]:
    """Return what stands before and behind the number in the address of a Value; a page may show hundreds."""
    try:
        before, _, after = reverse("indicators:value", urlconf, args=[0]).rpartition("0")
    except NoReverseMatch:
        return "", ""
    return before, after


# --- marks


def icon(name: str, label: str = "", css: str = "") -> SafeString:
    return _draw_icon(static("core/icons.svg"), str(name), str(label), str(css))


class _IconNode(template.Node):
    """A page draws up to 200 icons, nearly all by names that stand in the template."""

    def __init__(self, arguments: list[FilterExpression]) -> None:
        self.arguments = arguments
        self.words = [str(one.var) for one in arguments] if all(map(_is_literal, arguments)) else None

    def render(self, context: template.Context) -> SafeString:
        return icon(*(self.words or [one.resolve(context) for one in self.arguments]))


def _is_literal(argument: FilterExpression) -> bool:
    return isinstance(argument.var, str) and not argument.filters


@register.tag(name="icon")
def _parse_icon(parser: Parser, token: Token) -> _IconNode:
    arguments = token.split_contents()[1:]
    if not 1 <= len(arguments) <= 3:
        raise template.TemplateSyntaxError("icon takes a name and maybe a label and CSS classes")
    return _IconNode([parser.compile_filter(one) for one in arguments])


@lru_cache(maxsize=1_000, typed=True)
def _draw_icon(sprite: str, name: str, label: str, css: str) -> SafeString:
    says = format_html('role="img" aria-label="{}"', label) if label else mark_safe('aria-hidden="true"')
    return format_html(
        '<svg class="icon {}" {} focusable="false"><use href="{}#{}"></use></svg>', css, says, sprite, name
    )


@register.simple_tag(name="tag")
def tag(text: str, tone: str = "neutral", icon_name: str = "") -> SafeString:
    tone = tone if tone in _TONES else "neutral"
    return _draw_tag(text, tone, icon(icon_name) if icon_name else SafeString(""))


@lru_cache(maxsize=1_000, typed=True)  # the same words may be safe once and not the other time
def _draw_tag(text: str, tone: str, drawn: SafeString) -> SafeString:
    return format_html('<span class="tag is-{}">{}{}</span>', tone, drawn, text)


@register.simple_tag
def band_badge(band: Any) -> SafeString:
    if not band:
        return SafeString("")
    return tag(band.label, band.severity, _BAND_ICONS.get(band.severity, "point"))


@register.simple_tag
def state_badge(thing: Any) -> SafeString:
    """Return the badge of whatever has a field `state` or `status` with choices; nothing for None."""
    if not thing:
        return SafeString("")
    name = "state" if hasattr(thing, "state") else "status"
    code = getattr(thing, name)
    tone, icon_name = _STATES.get(code, ("neutral", "point"))
    label = _state_label(type(thing), name, code) if isinstance(thing, Model) else None
    return tag(label or getattr(thing, f"get_{name}_display")(), tone, icon_name)


@lru_cache(maxsize=1_000)
def _state_label(model: type[Model], name: str, code: object) -> str:
    """Return the label among the choices of the field; Django looks through all of them each time."""
    choices: Any = model._meta.get_field(name)
    return str(dict(choices.flatchoices).get(code, ""))


# --- page parts


@register.inclusion_tag("core/parts/breadcrumbs.html")
def breadcrumbs(*parts: str) -> dict[str, Any]:
    links = [(parts[i], parts[i + 1]) for i in range(0, len(parts) - 1, 2)]
    return {"links": links, "here": parts[-1]}


@register.inclusion_tag("core/parts/tabs.html")
def tabs(items: Iterable[tuple[Any, ...]], current: str) -> dict[str, Any]:
    rows = [
        {
            "title": item[1],
            "url": item[2],
            "count": item[3] if len(item) > 3 else None,
            "is_current": item[0] == current,
        }
        for item in items
    ]
    return {"items": rows}


@register.inclusion_tag("core/parts/callout.html")
def callout(tone: str, title: str, text: str = "") -> dict[str, Any]:
    icons = {**_BAND_ICONS, "neutral": "info-circle"}
    return {"tone": tone, "title": title, "text": text, "icon_name": icons.get(tone, "info-circle")}


@register.inclusion_tag("core/parts/empty_state.html")
def empty_state(icon_name: str, title: str, text: str = "", url: str = "", label: str = "") -> dict[str, Any]:
    return {"icon_name": icon_name, "title": title, "text": text, "url": url, "label": label}


@register.inclusion_tag("core/parts/stat_tile.html")
def stat_tile(
    label: str,
    value: Any = None,
    *,
    icon: str = "",
    plan: Any = None,
    band: Any = None,
    note: str = "",
    url: str = "",
) -> dict[str, Any]:
    """Show one figure large. value, plan: a Value, or text; None says «chưa có số liệu»."""
    is_figure = hasattr(value, "metric_id")
    return {
        "label": label,
        "value": _figure_link(value) if is_figure else figures.NO_FIGURE if value is None else value,
        "is_missing": value is None,
        "state_of": value if is_figure else None,
        "icon_name": icon,
        "plan": figure(plan) if hasattr(plan, "metric_id") else plan,
        "band": band,
        "note": note,
        "url": url,
    }


@register.inclusion_tag("core/parts/definition_list.html")
def definition_list(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {"pairs": list(pairs)}


@register.inclusion_tag("core/parts/timeline.html")
def timeline(events: Iterable[Any]) -> dict[str, Any]:
    return {"events": events}


@register.inclusion_tag("core/parts/panel.html", takes_context=True)
def show_panel(context: template.RequestContext, panel: panels.Panel) -> dict[str, Any]:
    with context.push(**panel.context):
        body = _get_template(context, panel.template).render(context)
    return {"title": panel.title, "body": body}


def _get_template(context: template.RequestContext, name: str) -> template.Template:
    assert context.template is not None  # noqa: S101 - a context that renders has its template
    return context.template.engine.get_template(name)


@register.inclusion_tag("core/parts/provenance.html")
def provenance(passage: Any) -> dict[str, Any]:
    return {"passage": passage}


@register.inclusion_tag("core/parts/progress.html")
def progress_bar(done: int, total: int, label: str = "") -> dict[str, Any]:
    return {"done": min(done, total), "total": total, "label": label, "pct": done * 100 // total if total else None}


# --- lists


@register.simple_tag(takes_context=True)
def querystring_with(context: Mapping[str, Any], **changes: Any) -> str:
    query = _query(context)
    for name, value in changes.items():
        query.pop(name, None)
        if value not in (None, ""):
            query[name] = str(value)
    return f"?{query.urlencode()}" if query else "?"


def _query(context: Mapping[str, Any]) -> QueryDict:
    return context["request"].GET.copy() if "request" in context else QueryDict(mutable=True)


@register.inclusion_tag("core/parts/filter_bar.html", takes_context=True)
def filter_bar(context: Mapping[str, Any], form: Form, *, target: str = "", label: str = "Lọc") -> dict[str, Any]:
    query = _query(context)
    kept = [(name, query[name]) for name in ("sort",) if name in query]
    names = [form.add_prefix(name) for name in form.fields]
    return {
        "form": form,
        "fields": [_dress(field) for field in form if not field.is_hidden],
        "hidden": form.hidden_fields(),
        "target": target,
        "label": label,
        "kept": kept,
        "is_filtered": any(query.getlist(name) not in ([], [""]) for name in names),
        "path": context["request"].path if "request" in context else "",
    }


@register.inclusion_tag("core/parts/sort_head.html", takes_context=True)
def sort_head(context: Mapping[str, Any], title: str, key: str, *, numeric: bool = False) -> dict[str, Any]:
    current = _query(context).get("sort", "")
    is_up, is_down = current == key, current == f"-{key}"
    return {
        "title": title,
        "numeric": numeric,
        "order": "ascending" if is_up else "descending" if is_down else "",
        "url": querystring_with(context, sort=f"-{key}" if is_up else key, page=None),
    }


@register.inclusion_tag("core/parts/pagination.html", takes_context=True)
def pagination(context: Mapping[str, Any], page: Page[Any]) -> dict[str, Any]:
    def link(number: int) -> str:
        return querystring_with(context, page=number if number > 1 else None)

    shown = page.paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1)
    return {
        "page": page,
        "links": [(n, link(n) if isinstance(n, int) else "") for n in shown],
        "previous": link(page.previous_page_number()) if page.has_previous() else "",
        "next": link(page.next_page_number()) if page.has_next() else "",
    }


@register.inclusion_tag("core/parts/export_menu.html", takes_context=True)
def export_menu(context: Mapping[str, Any]) -> dict[str, Any]:
    kinds = [("xlsx", "Bảng tính Excel (.xlsx)", "file-spreadsheet"), ("csv", "Văn bản CSV (.csv)", "file-type-csv")]
    return {
        "links": [(querystring_with(context, export=key, page=None), title, name) for key, title, name in kinds],
    }


_PUBLIC_PAGES = (
    ("customers:public_notices", "Thông báo cấp nước"), ("billing:public_trial", "Tính tiền nước"),
    ("telemetry:public_quality", "Chất lượng nước"),
)  # fmt: skip
_STRANGERS_PAGES = (  # customers who are signed in have their own
    ("portal:home", "Xem hóa đơn, trả tiền"), ("customers:public_form", "Gửi phản ánh"),
    ("customers:public_lookup", "Tra cứu phản ánh"), ("portal:apply", "Đề nghị lắp nước"),
)  # fmt: skip


@register.inclusion_tag("core/parts/public_links.html", takes_context=True)
def public_links(context: Mapping[str, Any], is_customer: bool = False) -> dict[str, Any]:
    pages = _PUBLIC_PAGES if is_customer else (*_STRANGERS_PAGES, *_PUBLIC_PAGES)
    here = getattr(context.get("request"), "path", "")  # pages of errors come without a request
    links = [(reverse(name), title) for name, title in pages]
    return {"links": [(url, title) for url, title in links if url != here]}


# --- forms


def _dress(bound: BoundField) -> dict[str, Any]:
    """Return a form field with the classes and the ties to its help and errors that the page gives it."""
    widget = bound.field.widget
    is_check = isinstance(widget, CheckboxInput)
    is_group = isinstance(widget, RadioSelect | CheckboxSelectMultiple)
    if is_check or is_group:
        css = "form-check-input"
    else:
        css = "form-select" if isinstance(widget, Select) else "form-control"
    attributes: dict[str, str | bool] = {"class": f"{css} is-invalid" if bound.errors else css}
    # Django ties the help text itself (aria-describedby, aria-invalid); the id of the errors is ours to add.
    described = [f"{bound.auto_id}_helptext"] if bound.help_text else []
    described += [f"{bound.auto_id}_error"] if bound.errors else []
    if described and not is_group:
        attributes["aria-describedby"] = " ".join(described)
    return {"bound": bound, "control": _draw(bound, attributes), "is_check": is_check, "is_group": is_group}


def _draw(bound: BoundField, attributes: dict[str, str | bool]) -> str:
    """Return the control. A plain select is written here: Django renders a template for each of its options."""
    widget = bound.field.widget
    if type(widget) is not Select:
        return bound.as_widget(attrs=attributes)
    if bound.auto_id:
        attributes = {"id": bound.auto_id, **attributes}
    all_attributes = widget.build_attrs(widget.attrs, bound.build_widget_attrs(attributes, widget))
    chosen = set(widget.format_value(bound.value()) or [])
    parts: list[str] = [format_html("<select{}>", flatatt({"name": bound.html_name} | all_attributes))]
    for value, label in widget.choices:
        if isinstance(label, list | tuple):
            parts += [format_html('<optgroup label="{}">', value), _draw_options(label, chosen), "</optgroup>"]
        else:
            parts.append(_draw_options([(value, label)], chosen))
    return mark_safe("".join([*parts, "</select>"]))  # noqa: S308 - every part was escaped


def _draw_options(options: Iterable[tuple[Any, Any]], chosen: set[str]) -> str:
    found = []
    for value, label in options:
        text = "" if value is None else str(value)
        mark = " selected" if text in chosen else ""
        found.append(f'<option value="{conditional_escape(text)}"{mark}>{conditional_escape(label)}</option>')
    return "".join(found)


@register.inclusion_tag("core/parts/field.html")
def field(bound: BoundField) -> dict[str, Any]:
    return {"field": _dress(bound)}


@register.inclusion_tag("core/parts/form_fields.html")
def form_fields(form: Form, *, once: bool = True) -> dict[str, Any]:
    """once: False for forms whose answers stand in the address (see core/once.py)."""
    return {
        "form": form,
        "number": secrets.token_urlsafe(12) if once else "",
        "fields": [_dress(bound) for bound in form.visible_fields()],
        "hidden": form.hidden_fields(),
    }


@register.inclusion_tag("core/parts/confirm_dialog.html", takes_context=True)
def confirm_dialog(
    context: Mapping[str, Any], id: str, title: str, text: str, url: str, label: str, *, danger: bool = False
) -> dict[str, Any]:
    return {
        "id": id,
        "title": title,
        "text": text,
        "url": url,
        "label": label,
        "danger": danger,
        "csrf_token": context.get("csrf_token"),
    }


# --- charts and maps

_OUT_OF_SCRIPTS = {"<": "\\u003C", ">": "\\u003E", "&": "\\u0026"}  # as Django's json_script


def _plain(value: object) -> str:
    """Return the text of what JSON does not know: translated and escaped texts, whose own str() is not plain."""
    return str.__str__(value) if isinstance(value, str) else str(value)


@register.filter
def data_script(data: Mapping[str, Any], id: str) -> SafeString:
    """Return data as a JSON script, as json_script does, but letters as they are: half as much to send and compress."""
    text = msgspec.json.encode(data, enc_hook=_plain).decode()
    for char, escaped in _OUT_OF_SCRIPTS.items():
        text = text.replace(char, escaped)
    return mark_safe(f'<script id="{escape(id)}" type="application/json">{text}</script>')  # noqa: S308 - escaped


@register.inclusion_tag("core/parts/chart.html")
def chart(id: str, data: Mapping[str, Any], title: str, *, note: str = "") -> dict[str, Any]:
    decimals = data.get("decimals")
    if data["type"] == "scatter":
        heads = [data.get("x_title", "Trục ngang"), data.get("y_title", "Trục dọc")]
        rows = [
            (label, [vietnamese.format_number(x), vietnamese.format_number(y, decimals)])
            for series in data["series"]
            for x, y, label in series["values"]
        ]
    else:
        heads = [series["name"] for series in data["series"]]
        columns = zip(*(series["values"] for series in data["series"]), strict=True)
        rows = [
            (category, [vietnamese.format_number(value, decimals) for value in values])
            for category, values in zip(data["categories"], columns, strict=True)
        ]
    return {
        "data_id": f"{id}-data",
        "data": {**data, "title": title},
        "title": title,
        "note": note,
        "heads": heads,
        "rows": rows,
        "unit": data.get("unit", ""),
        "first_head": data.get("category_title", "Điểm" if data["type"] == "scatter" else "Kỳ"),
    }


@register.inclusion_tag("core/parts/point_map.html", takes_context=True)
def point_map(
    context: Mapping[str, Any], id: str, data: Mapping[str, Any], title: str, *, page: Page[Any] | None = None
) -> dict[str, Any]:
    points = list(data.get("points", [])) if page is None else page.object_list
    return {
        "data_id": f"{id}-data",
        "data": data,
        "title": title,
        "points": points,
        "count": len(points) if page is None else page.paginator.count,
        "page": page,
        "request": context.get("request"),
    }
