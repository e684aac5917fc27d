"""Screens of figures: the catalogue, an indicator, where a figure comes from, and the editors of what is computed."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from machnuoc.core import export, figures, folding, units, vietnamese
from machnuoc.core.models import Person
from machnuoc.core.periods import BadPeriod, Period
from machnuoc.indicators import bands, computing, forms, formula, lineage, operations, queries
from machnuoc.indicators.models import (
    Band,
    BandScheme,
    FormulaVersion,
    Metric,
    PeriodKind,
    Scenario,
    Value,
    ValueChange,
)
from machnuoc.indicators.shown import read as read_shown
from machnuoc.places import access
from machnuoc.places.models import AdministrativeUnit, Subject

_PAGE_SIZE = 30
_SERIES_POINTS = 60


# --- the catalogue ----------------------------------------------------------------------------------------------


@require_safe
def list_metrics(request: HttpRequest) -> HttpResponseBase:
    form = forms.CatalogueFilter(request.GET)
    wanted = form.cleaned_data if form.is_valid() else {}
    groups = queries.list_catalogue(
        request.user,  # type: ignore[arg-type]
        query=wanted.get("q", ""), kind=wanted.get("kind", ""), field=wanted.get("field", ""),
    )  # fmt: skip
    if export.format_of(request):
        return export.export(
            request,
            name="Chỉ tiêu",
            columns=[
                ("Tên", lambda row: row.metric.name, "text"),
                ("Khóa", lambda row: row.metric.key, "text"),
                ("Loại", lambda row: row.metric.get_kind_display(), "text"),
                ("Đơn vị", lambda row: units.label(row.metric.unit), "text"),
                ("Số liệu mới nhất", lambda row: row.latest and queries.as_text(row.latest, row.metric), "text"),
                ("Của", lambda row: row.latest and row.latest.subject.name, "text"),
                ("Kỳ", lambda row: row.latest and queries.period_of(row.latest).label_vi, "text"),
                (
                    "Tính trên",
                    lambda row: (
                        queries.coverage_text(row.latest) if row.latest and row.latest.parts_total > 1 else None
                    ),
                    "text",
                ),
            ],
            rows=[row for group in groups for row in group.rows],
        )
    context = {"form": form, "groups": groups, "may_edit": _may_edit(request.user)}
    return render(request, "indicators/list.html", context)


def _may_edit(person: Any) -> bool:
    """Return whether the person may change what is computed for everyone: the country's administrators."""
    return access.sees_everything(person, "administer")


def _require_editor(request: HttpRequest) -> Person:
    if not _may_edit(request.user):
        raise PermissionDenied(
            "Công thức, bộ mức và chỉ tiêu dùng chung cho mọi đơn vị: chỉ quản trị hệ thống của toàn quốc được sửa."
        )
    return request.user  # type: ignore[return-value]


def _get_metric(key: str) -> Metric:
    try:
        return queries.get_metric(key)
    except Metric.DoesNotExist:
        raise Http404(key) from None


# --- one metric -------------------------------------------------------------------------------------------------

_TABS = {"ranking": "Xếp hạng", "map": "Bản đồ", "time": "Theo thời gian", "source": "Định nghĩa và nguồn"}


@require_safe
def metric(request: HttpRequest, key: str) -> HttpResponseBase:
    """One metric in one period: its figures as a ranking, on the map and through time, and what it is."""
    shown = _get_metric(key)
    person: Any = request.user
    slices = queries.list_slices(shown, person)
    chosen = _choose_slice(request, shown, slices, person)
    tab = request.GET.get("tab", "ranking")
    tab = tab if tab in _TABS else "ranking"
    context: dict[str, Any] = {
        "metric": shown,
        "tab": tab,
        "tabs": [(name, title, _address(request, tab=name, page="")) for name, title in _TABS.items()],
        "slices": slices,
        "chosen": chosen,
        "periods": _period_links(request, slices, chosen),
        "scenarios": _scenario_links(request, slices, chosen),
        "may_edit": _may_edit(person),
        "unit": units.label(shown.unit),
    }
    schemes = queries.list_band_schemes(shown)
    context["schemes"] = [_scheme_rows(scheme, rows, shown) for scheme, rows in schemes]
    if chosen is not None:
        context |= _headline(shown, chosen, person)
    if tab == "source":
        context |= _source(shown)
    elif tab == "time":
        context |= _through_time(request, shown, chosen, person)
    elif chosen is not None:
        ranked = _ranking(request, shown, chosen, person, schemes)
        if isinstance(ranked, HttpResponseBase):
            return ranked
        context |= ranked
    return render(request, "indicators/metric.html", context)


def _address(request: HttpRequest, **changes: str) -> str:
    parameters = request.GET.copy()
    parameters.pop("export", None)
    for name, value in changes.items():
        parameters.pop(name, None)
        if value:
            parameters[name] = value
    return f"?{parameters.urlencode()}"


def _choose_slice(
    request: HttpRequest, shown: Metric, slices: list[queries.Slice], person: Person
) -> queries.Slice | None:
    """Return the slice that the address asks for, else the newest of what is done, else the newest plan.

    Newest means: of those with at least half as many figures as the fullest one of its kind.
    """
    if not slices:
        return None
    period, scenario = request.GET.get("period", ""), request.GET.get("scenario", "")
    if period:
        try:
            Period.parse(period)
        except BadPeriod as reason:
            raise Http404(str(reason)) from None
    found = [row for row in slices if (not period or row.period.key == period)]
    found = [row for row in found if row.scenario == scenario] or found if scenario else found
    if not found:
        return None
    if scenario:
        return found[0]
    done = [row for row in found if row.scenario == Scenario.ACTUAL] or found
    kind = done[0].period.kind
    done = [row for row in done if row.period.kind == kind]
    if len(done) == 1:
        return done[0]
    counts = {row.period.start_date: row.count for row in done if row.count is not None}
    if len(counts) < len(done):
        counts = queries.count_figures(shown, kind, done[0].scenario, person)
    fullest = max(counts.values(), default=0)
    full = [row for row in done if counts.get(row.period.start_date, 0) * 2 >= fullest] or done
    if len(full) == 1:
        return full[0]
    real = queries.newest_real(shown, full)
    return next((row for row in full if row.period.start_date == real), full[0])


def _period_links(
    request: HttpRequest, slices: list[queries.Slice], chosen: queries.Slice | None
) -> list[tuple[str, str, bool]]:
    periods = list(dict.fromkeys(row.period for row in slices))
    return [
        (
            period.label_vi,
            _address(request, period=period.key, page="", scenario=""),
            chosen is not None and period == chosen.period,
        )
        for period in periods[:36]
    ]  # fmt: skip


def _scenario_links(
    request: HttpRequest, slices: list[queries.Slice], chosen: queries.Slice | None
) -> list[tuple[str, str, bool]]:
    if chosen is None:
        return []
    found = [row.scenario for row in slices if row.period == chosen.period]
    return [
        (Scenario(scenario).label, _address(request, scenario=scenario, page=""), scenario == chosen.scenario)
        for scenario in found
    ]


def _scheme_rows(scheme: BandScheme, levels: list[Band], shown: Metric) -> dict[str, Any]:
    unit = units.label(shown.unit)
    return {
        "scheme": scheme,
        "rows": [(band, bands.describe_edges(computing.as_pure_band(band), unit)) for band in levels],
    }


def _headline(shown: Metric, chosen: queries.Slice, person: Person) -> dict[str, Any]:
    """Return the figure of the reader's own scope in the period, with its plan and coverage."""
    home = queries.list_home_subject_ids(person)
    rank = {subject_id: number for number, subject_id in enumerate(home)}
    chosen_period = Q(period_kind=chosen.period.kind, period_start=chosen.period.start_date)
    around = chosen_period | Q(period_kind=chosen.period.kind, scenario=Scenario.PLAN)
    found = read_shown(Value.objects.filter(around, metric=shown, subject_id__in=home, parts_present__gt=0))
    found.sort(key=lambda value: (rank[value.subject_id], abs((value.period_start - chosen.period.start_date).days)))
    actual = next(
        (
            value
            for value in found
            if value.scenario == chosen.scenario and value.period_start == chosen.period.start_date
        ),
        None,
    )
    if actual is None:
        return {"headline": None}
    plan = next(
        (
            value
            for value in found
            if value.scenario == Scenario.PLAN
            and value.subject_id == actual.subject_id
            and value.pk != actual.pk
            and value.period_start >= chosen.period.start_date
        ),
        None,
    )
    return {
        "headline": actual,
        "headline_plan": plan,
        "headline_plan_text": queries.period_of(plan).label_vi if plan else "",
        "headline_coverage": queries.coverage_text(actual) if actual.parts_total > 1 else "",
    }


def figure_words(value: Value) -> str:
    """Return the figure as printed: «khoảng 15 %»."""
    qualifier = value.fact.qualifier if value.fact is not None else ""
    text = queries.as_text(value, value.metric)
    return f"{qualifier} {text}" if qualifier and value.number is not None else text


_ORDERS: dict[str, Callable[[queries.RankRow], Any]] = {
    "name": lambda row: folding.sort_key(row.name),
    "number": lambda row: (row.number is None, row.number or 0),
    "plan": lambda row: (row.plan_number is None, row.plan_number or 0),
    "change": lambda row: (row.change is None, row.change or 0),
}


def _ranking(
    request: HttpRequest, shown: Metric, chosen: queries.Slice, person: Person, schemes: queries.Schemes
) -> dict[str, Any] | HttpResponseBase:
    form = forms.RankingFilter(
        {
            **request.GET.dict(),
            "period": chosen.period.key,
            "scenario": chosen.scenario,
            "tab": request.GET.get("tab", ""),
        }
    )
    provinces, organisations = queries.list_ancestor_choices(shown, chosen.period, chosen.scenario, person)
    level_choices = list(queries.LEVELS.items())
    level_choices[0] = ("part", f"Từng {queries.part_name(shown)}")
    band_choices = [
        (str(band.pk), f"{band.label} ({scheme.scope.name if scheme.scope else 'chung'})")
        for scheme, levels in schemes
        if scheme.valid_to is None
        for band in levels
    ]
    form.offer(
        level_choices, provinces, organisations, [*band_choices, ("none", "Chưa xếp mức")] if band_choices else []
    )
    wanted = form.cleaned_data if form.is_valid() else {}
    level = wanted.get("level", "")
    within = {
        "province": _subject(wanted.get("province", "")),
        "organisation": _subject(wanted.get("organisation", "")),
        "band": wanted.get("band", ""),
        "query": wanted.get("q", ""),
    }
    rows = queries.order_ranking(shown, chosen.period, chosen.scenario, person, level=level, **within)
    if "level" not in request.GET and (parts := queries.single_places(shown, rows)):
        # Different levels in one ranking say little: begin with the single places, where there are any.
        rows = parts
        form.data = {**form.data, "level": "part"}
    sort = request.GET.get("sort", "")
    if sort.removeprefix("-") in _ORDERS:
        name = sort.removeprefix("-")
        if name in {"plan", "change"}:
            queries.compare_ranking(shown, chosen.period, chosen.scenario, rows)
        rows.sort(key=_ORDERS[name], reverse=sort.startswith("-"))
        if sort.startswith("-") and name != "name":  # what is missing stays last either way
            rows.sort(key=lambda row: _ORDERS[name](row)[0])
    if export.format_of(request):
        rows = queries.dress_ranking(shown, chosen.period, chosen.scenario, rows)
        places = queries.list_places_of([row.subject_id for row in rows])
        return export.export(
            request,
            name=f"{shown.short_name} {chosen.period.key}",
            columns=_export_columns(shown, places),
            rows=rows,
            source_note=f"{shown.name}, {chosen.period.label_vi}, {Scenario(chosen.scenario).label.lower()}",
            simulated=any(row.value.state == 5 for row in rows),
        )
    if request.GET.get("tab") == "map":
        rows = queries.dress_ranking(shown, chosen.period, chosen.scenario, rows)
        return {"filter": form, "map": _map_data(shown, rows), "rows": rows[:0], "row_count": len(rows)}
    page = Paginator(rows, _PAGE_SIZE).get_page(request.GET.get("page"))
    page.object_list = queries.dress_ranking(shown, chosen.period, chosen.scenario, list(page.object_list))
    places = queries.list_places_of([row.subject_id for row in page.object_list])
    for row in page.object_list:
        row.province = places.get(row.subject_id, "")
        row.coverage = queries.coverage_text(row.value) if row.value.parts_total > 1 else ""
        row.url = subject_url(row.value.subject)
    return {
        "filter": form,
        "page": page,
        "has_plan": any(row.plan for row in page.object_list),
        "has_previous": any(row.previous for row in page.object_list),
        "has_band": bool(band_choices),
    }


def _subject(key: str) -> Subject | None:
    return Subject.objects.filter(key=key).first() if key else None


def _export_columns(shown: Metric, places: dict[int, str]) -> list[export.Column]:
    unit = f" ({units.label(shown.unit)})" if units.label(shown.unit) else ""

    def scaled(value: Value | None) -> Decimal | None:
        return None if value is None or value.number is None else figures.scale(value.number, shown.decimals)

    return [
        ("Nơi", lambda row: row.value.subject.name, "text"),
        ("Loại", lambda row: row.value.subject.get_kind_display(), "text"),
        ("Tỉnh, thành phố", lambda row: places.get(row.value.subject_id, ""), "text"),
        ("Hạng", lambda row: row.place, "number"),
        (f"Số liệu{unit}", lambda row: scaled(row.value), "number"),
        ("Như hiển thị", lambda row: figure_words(row.value), "text"),
        ("Mức", lambda row: row.value.band.label if row.value.band else "", "text"),
        (f"Kế hoạch{unit}", lambda row: scaled(row.plan), "number"),
        (f"Kỳ trước{unit}", lambda row: scaled(row.previous), "number"),
        ("Có số liệu", lambda row: f"{row.value.parts_present}/{row.value.parts_total}", "text"),
        ("Tình trạng", lambda row: row.value.get_state_display(), "text"),
    ]


def _map_data(shown: Metric, rows: list[queries.RankRow]) -> dict[str, Any]:
    points = [
        {
            "lat": row.value.subject.latitude,
            "lon": row.value.subject.longitude,
            "title": row.value.subject.name,
            "url": reverse("indicators:value", args=[row.value.pk]),
            "text": figure_words(row.value) + (f" · {row.value.band.label}" if row.value.band else ""),
            "tone": row.value.band.severity if row.value.band else "neutral",
        }
        for row in rows
        if row.value.subject.latitude is not None and row.value.subject.longitude is not None
    ]
    return {"points": points, "missing": len(rows) - len(points)}


def subject_url(subject: Subject) -> str:
    """Return the address of a subject's own page, or "" where it has none."""
    names = {
        Subject.Kind.UNIT: "places:unit", Subject.Kind.ORGANISATION: "places:organisation",
        Subject.Kind.WORK: "works:detail", Subject.Kind.URBAN_AREA: "places:urban_area",
    }  # fmt: skip
    name = names.get(Subject.Kind(subject.kind))
    if name is None:
        return ""
    try:
        return reverse(name, args=[subject.key])
    except NoReverseMatch:
        return ""


def _through_time(request: HttpRequest, shown: Metric, chosen: queries.Slice | None, person: Person) -> dict[str, Any]:
    """Return the series of one subject: that of the address, else of the reader's own scope."""
    subject = _subject(request.GET.get("subject", ""))
    if subject is not None and not queries.may_read(person, subject):
        raise Http404(subject.key)
    candidates = queries.list_home_subject_ids(person)
    known = list(Subject.objects.filter(pk__in=candidates, values__metric=shown).distinct().select_related("unit"))
    known.sort(key=lambda row: candidates.index(row.pk))
    if subject is None:
        subject = known[0] if known else None
    if subject is None and chosen is not None:
        first = queries.list_values(shown, chosen.period, chosen.scenario, person).order_by("subject__name").first()
        subject = first.subject if first else None
    if subject is None:
        return {"series": [], "series_subject": None}
    values = queries.series(shown, subject, person)
    kinds = list(dict.fromkeys(value.period_kind for value in values))
    kind = request.GET.get("kind", "")
    kind = kind if kind in kinds else (kinds[0] if kinds else "")
    values = [value for value in values if value.period_kind == kind]
    return {
        "series": [(queries.period_of(value), value) for value in reversed(values)],
        "series_subject": subject,
        "series_choices": [(row.name, _address(request, subject=row.key), row == subject) for row in known[:12]],
        "series_kinds": [
            (PeriodKind(name).label, _address(request, kind=name), name == kind) for name in kinds
        ],
        "chart": series_chart(shown, values),
    }  # fmt: skip


def series_chart(shown: Metric, values: list[Value]) -> dict[str, Any] | None:
    """Return what the chart of a series draws: what was done and what was planned, by period; None without numbers."""
    values = [value for value in values if value.number is not None][-_SERIES_POINTS:]
    if not values:
        return None
    starts = sorted({queries.period_of(value) for value in values}, key=lambda period: period.start_date)
    drawn = []
    for scenario in Scenario:
        found = {queries.period_of(value): value for value in values if value.scenario == scenario}
        if found:
            numbers = [
                float(figures.scale(found[period].number or 0, shown.decimals)) if period in found else None
                for period in starts
            ]
            drawn.append({"name": scenario.label, "values": numbers, "dashed": scenario == Scenario.PLAN})
    return {
        "type": "line" if len(starts) > 3 else "bar",
        "unit": units.label(shown.unit),
        "decimals": shown.decimals,
        "categories": [period.label_vi for period in starts],
        "series": drawn,
    }


def _source(shown: Metric) -> dict[str, Any]:
    versions = queries.list_formulas(shown)
    names = dict(Metric.objects.values_list("key", "short_name")) if versions else {}
    return {
        "facts": [
            ("Khóa", shown.key),
            ("Đơn vị", units.label(shown.unit) or "số đếm"),
            ("Số lẻ", str(shown.decimals)),
            ("Tính cho", shown.get_subject_kind_display()),
            ("Nguồn số", shown.get_source_display()),
            ("Gộp theo thời gian", shown.get_time_how_display()),
            (
                "Gộp theo nơi",
                "tổng tử số chia tổng mẫu số"
                if versions and versions[0].denominator
                else shown.get_parts_how_display(),
            ),
            ("Chiều", shown.get_direction_display()),
        ],
        "versions": [
            {
                "version": version,
                "words": lineage.formula_in_words(version, names),
                "text": lineage.formula_as_text(version),
                "inputs": [
                    (names.get(key, key), reverse("indicators:detail", args=[key]))
                    for key in dict.fromkeys(reference.key for reference in lineage.list_references(version))
                ],
            }
            for version in versions
        ],
        "rounding": lineage.rounding_rule(shown),
    }  # fmt: skip


# --- where a figure comes from ----------------------------------------------------------------------------------


def _get_value(request: HttpRequest, pk: int) -> Value:
    try:
        return lineage.get_value(pk, request.user)  # type: ignore[arg-type]
    except Value.DoesNotExist:
        raise Http404("Không có số liệu này, hoặc nằm ngoài phạm vi của bạn.") from None


def _group(request: HttpRequest) -> Subject | None:
    text = request.GET.get("group", "")
    if not text:
        return None
    found = Subject.objects.filter(pk=_whole(text), unit__level=AdministrativeUnit.Level.PROVINCE).first()
    if found is None:
        raise Http404("Không có tỉnh này.")
    return found


def _page_number(request: HttpRequest) -> int:
    return min(max(_whole(request.GET.get("page", "")), 1), 10_000)


def _whole(text: str) -> int:
    """Return the whole number that an address names, 0 where it names none or one that no row can have."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


@require_safe
def value(request: HttpRequest, pk: int) -> HttpResponse:
    """«Nguồn gốc số liệu»: the tree of one figure, its header and its history."""
    person: Any = request.user
    shown = _get_value(request, pk)
    period = queries.period_of(shown)
    version = _whole(request.GET.get("version", ""))
    former = None
    if version and version != shown.version:
        try:
            former = lineage.former_version(shown, version, person)
        except ValueChange.DoesNotExist:
            raise Http404("Số liệu này không có phiên bản đó.") from None
    root = lineage.lineage(shown, person, group=_group(request), page=_page_number(request))
    history = queries.list_history(shown)
    same = queries.list_other_periods(shown)
    context = {
        "value": shown,
        "metric": shown.metric,
        "subject": shown.subject,
        "subject_url": subject_url(shown.subject),
        "period": period,
        "root": root,
        "check": lineage.recheck(shown),
        "former": former,
        "coverage": queries.coverage_text(shown) if shown.parts_total > 1 else "",
        "history": [(row, queries.as_text(row, shown.metric)) for row in history],
        "neighbours": [(queries.period_of(row), row) for row in same],
        "api_url": _api_url(shown),
        "details": root.details,
    }
    return render(request, "indicators/value.html", context)


def _api_url(shown: Value) -> str:
    try:
        return reverse("api:get_figure", args=[shown.pk])
    except NoReverseMatch:
        return f"/api/v1/figures/{shown.pk}"


@require_safe
def value_branch(request: HttpRequest, pk: int) -> HttpResponse:
    """A branch of a tree, read when it is opened: what a part rests on, or a page of the parts of a sum."""
    shown = _get_value(request, pk)
    person: Any = request.user
    group = _group(request)
    if group is not None or request.GET.get("parts"):
        nodes = lineage.more_parts(shown, person, group=group, page=_page_number(request))
    else:
        nodes = lineage.lineage(shown, person, page=_page_number(request)).children
    if request.headers.get("HX-Request") != "true":  # opened without JavaScript: as a page of its own
        root = lineage.lineage(shown, person, group=group, page=_page_number(request))
        if request.GET.get("parts"):
            root.children = nodes
        context = {"value": shown, "metric": shown.metric, "subject": shown.subject, "root": root, "is_branch": True,
                   "period": queries.period_of(shown), "details": root.details, "group": group}  # fmt: skip
        return render(request, "indicators/value.html", context)
    return render(request, "indicators/parts/branch.html", {"nodes": nodes})


# --- editors ----------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
def edit_formula(request: HttpRequest, key: str) -> HttpResponse:
    person = _require_editor(request)
    shown = _get_metric(key)
    if shown.kind != Metric.Kind.INDICATOR:
        raise Http404("Chỉ chỉ tiêu mới có công thức.")
    live = FormulaVersion.objects.filter(metric=shown, valid_to__isnull=True).first()
    initial = {"numerator": live.numerator, "denominator": live.denominator, "factor": live.factor} if live else {}
    form = forms.NewFormula(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        now = timezone.now()
        try:
            version = operations.put_formula(
                shown,
                **form.cleaned_data,
                by=person,
                now=now,  # numerator, denominator, factor, from_date
            )
        except formula.FormulaError as reason:
            form.add_error(_field_of(shown, form), str(reason))
        except operations.IndicatorsError as reason:
            form.add_error("from_date", str(reason))
        else:
            return _recomputed(request, shown, f"Đã lưu công thức phiên bản {version.version} của «{shown.name}».", now)
    context = {
        "metric": shown,
        "form": form,
        "live": live,
        "measures": Metric.objects.filter(subject_kind=shown.subject_kind).exclude(pk=shown.pk),
        "checked": None,
        "unit": units.label(shown.unit),
    }
    return render(request, "indicators/formula.html", context)


def _field_of(shown: Metric, form: forms.NewFormula) -> str | None:
    """Return the box that an error belongs to: the one that fails when it is read alone."""
    for name in ("numerator", "denominator"):
        text = form.cleaned_data.get(name)
        if not text:
            continue
        try:
            formula.check(formula.parse(text), operations.list_measure_types())
        except formula.FormulaError:
            return name
    return None


@require_POST
def check_formula(request: HttpRequest, key: str) -> HttpResponse:
    """Say while somebody types whether the formula may be used, and how it reads."""
    _require_editor(request)
    shown = _get_metric(key)
    form = forms.NewFormula(request.POST)
    context: dict[str, Any] = {"metric": shown}
    form.is_valid()
    numerator, denominator = form.cleaned_data.get("numerator", ""), form.cleaned_data.get("denominator", "")
    factor = form.cleaned_data.get("factor") or 1
    try:
        checked = operations.check_formula(shown, numerator=numerator, denominator=denominator, factor=factor)
    except (formula.FormulaError, units.UnknownUnit) as reason:
        context["error"] = str(reason)
    else:
        draft = FormulaVersion(metric=shown, numerator=numerator, denominator=denominator, factor=factor)
        names = dict(
            Metric.objects.filter(key__in={ref.key for ref in checked.references}).values_list("key", "short_name")
        )
        context["words"] = lineage.formula_in_words(draft, names)
        context["rounding"] = lineage.rounding_rule(shown)
    return render(request, "indicators/parts/formula_check.html", context)


def _recomputed(request: HttpRequest, shown: Metric, text: str, now: datetime) -> HttpResponse:
    outcome = operations.recompute_dirty(now)
    count = outcome.inserted + outcome.changed
    told = (
        f" Đã tính lại: {vietnamese.format_number(count)} số liệu thay đổi."
        if count
        else " Không số liệu nào thay đổi."
    )
    messages.success(request, text + told)
    return redirect(f"{reverse('indicators:detail', args=[shown.key])}?{urlencode({'tab': 'source'})}")


@require_http_methods(["GET", "POST"])
def edit_bands(request: HttpRequest, key: str) -> HttpResponse:
    """Give a metric bands from a day on, for a province or for all."""
    person = _require_editor(request)
    shown = _get_metric(key)
    schemes = [(scheme, rows) for scheme, rows in queries.list_band_schemes(shown) if scheme.valid_to is None]
    wanted = request.GET.get("scope", "")
    standing, standing_rows = next(
        (pair for pair in schemes if str(pair[0].scope_id or "") == wanted), schemes[0] if schemes else (None, [])
    )
    provinces = AdministrativeUnit.objects.filter(level="PROVINCE", is_in_force=True).order_by("code")
    scopes = [("", "Mọi nơi"), *[(str(unit.pk), unit.full_name) for unit in provinces]]
    form = forms.NewBands(
        request.POST or None,
        initial={"name": standing.name, "scope": str(standing.scope_id or "")} if standing else {"scope": ""},
    )
    form.offer(scopes)
    form.fields["scope"].required = False
    levels = forms.BandLevels(request.POST or None, initial=forms.levels_of(standing_rows), prefix="level")
    if request.method == "POST" and form.is_valid() and levels.is_valid():
        now = timezone.now()
        rows = [row.as_band() for row in levels if not row.is_empty]
        scope = Subject.objects.get(pk=form.cleaned_data["scope"]) if form.cleaned_data["scope"] else None
        try:
            operations.put_band_scheme(
                shown, name=form.cleaned_data["name"], levels=rows, scope=scope,
                valid_from=form.cleaned_data["valid_from"], by=person,
            )  # fmt: skip
        except bands.BandError as reason:
            form.add_error(None, str(reason))
        except operations.IndicatorsError as reason:
            form.add_error("valid_from", str(reason))
        else:
            return _recomputed(request, shown, f"Đã lưu bộ mức của «{shown.name}».", now)
    context = {
        "metric": shown,
        "form": form,
        "levels": levels,
        "schemes": [_scheme_rows(scheme, rows, shown) for scheme, rows in schemes],
        "unit": units.label(shown.unit),
    }  # fmt: skip
    return render(request, "indicators/bands.html", context)


@require_http_methods(["GET", "POST"])
def add_metric(request: HttpRequest) -> HttpResponse:
    person = _require_editor(request)
    form = forms.NewMetric(request.POST or None)
    if request.method == "POST" and form.is_valid():
        data = dict(form.cleaned_data)
        is_indicator = data["kind"] == Metric.Kind.INDICATOR
        source = Metric.Source.COMPUTED if is_indicator else Metric.Source.ENTERED
        last = Metric.objects.order_by("-order").values_list("order", flat=True).first() or 0
        shown = operations.put_metric(key=data.pop("key"), by=person, source=source, order=last + 1, **data)
        messages.success(request, f"Đã thêm «{shown.name}» với khóa {shown.key}.")
        return redirect("indicators:formula" if is_indicator else "indicators:detail", shown.key)
    return render(request, "indicators/add_metric.html", {"form": form})
