"""What indicators add to the side bar, to «Tổng quan» and to the pages of works, places and organisations."""

from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from machnuoc.core import figures, units
from machnuoc.core.models import Person
from machnuoc.core.panels import NavigationItem, Panel
from machnuoc.indicators import entry_queries, queries
from machnuoc.indicators.models import Scenario, Submission, Value
from machnuoc.places import access
from machnuoc.places.models import Grant, Subject

_CHANGED_DAYS = 30
_WARNINGS_SHOWN = 8
_OWED_SHOWN = 6
# The figures that say where a scope stands, in the order of the tiles. Those without a figure are left out.
_KEY_FIGURES = (
    ("works.households_connected", "users"),
    ("works.households_design", "building-factory-2"),
    ("works.households_planned", "target"),
    ("works.utilisation_households_pct", "gauge"),
    ("works.customer_growth_planned", "trending-up"),
    ("works.customer_growth_planned_pct", "trending-up"),
    ("losses.nrw_pct", "droplet"),
    ("losses.nrw_pct_spread", "arrows-sort"),
    ("coverage.urban_pct", "building-community"),
    ("coverage.rural_pct", "home"),
)
_CHARTED = ("works.households_connected", "works.households_planned", "works.households_design")


def navigation(person: Person) -> list[NavigationItem]:
    items = [NavigationItem("Chỉ tiêu", reverse("indicators:list"), "chart-bar", 30)]
    if access.may(person, "enter"):
        # Every page asks: one count of what was begun or came back, not the whole list of what is owed.
        begun = Submission.objects.filter(
            status__in=[Submission.Status.DRAFT, Submission.Status.RETURNED],
            organisation_id__in=access.visible_subject_ids(person, "enter"),
        )
        items.append(
            NavigationItem("Nhập liệu", reverse("indicators:forms"), "clipboard-list", 20, badge=begun.count())
        )
    if access.may(person, "approve"):
        waiting = _count_waiting(person)
        items.append(NavigationItem("Duyệt", reverse("indicators:queue"), "clipboard-check", 25, badge=waiting))
    return items


def _count_waiting(person: Person) -> int:
    """Return how many submissions wait for the person's decision; every page asks, so it is one query."""
    mine = Q()
    for field in Grant.Field.values:
        scope = access.visible_subject_ids(person, "approve", field)
        mine |= Q(form__field=field, organisation_id__in=scope)
    return Submission.objects.filter(mine, status=Submission.Status.SUBMITTED).count()


def overview(person: Person) -> list[Panel]:
    panels = [*_entry_panels(person)]
    standing = _standing(person)
    if standing is not None:
        panels.append(Panel(standing["title"], "indicators/panels/standing.html", standing, order=10))
    return panels


def later_overview(person: Person, region: str) -> list[Panel]:
    if region == "now" and (warnings := queries.list_warnings(person)):
        lines = _join_by_work(warnings)
        context = {"warnings": lines[:_WARNINGS_SHOWN], "rest": lines[_WARNINGS_SHOWN:], "count": len(lines)}
        return [Panel("Cảnh báo từ số liệu", "indicators/panels/warnings.html", context, order=40, region="now")]
    if region == "changes":
        found: dict[str, queries.Change] = {}  # a work and the station that runs it have one name: said once
        for one in queries.changes_since(person, timezone.now() - timedelta(days=_CHANGED_DAYS), limit=16):
            found.setdefault(one.sentence, one)
        if found:
            title, context = "Số liệu vừa thay đổi", {"changes": list(found.values())[:8]}
            return [Panel(title, "indicators/panels/changes.html", context, order=20, region="changes")]
    return []


def _join_by_work(warnings: list[queries.Warning]) -> list[dict[str, Any]]:
    """Return a line for each warning; that a plan is above the design joins what is above it already."""
    lines: list[dict[str, Any]] = []
    over: dict[int, dict[str, Any]] = {}
    for warning in warnings:
        subject = warning.value.subject
        if warning.kind == "over_design_planned" and subject.pk in over:
            over[subject.pk]["also"].append(
                {"value": warning.value, "sentence": warning.sentence.removeprefix(f"{subject.name}: ")}
            )
            continue
        line = {"severity": warning.severity, "sentence": warning.sentence, "value": warning.value, "also": []}
        lines.append(line)
        if warning.kind == "over_design":
            over[subject.pk] = line
    return lines


def _entry_panels(person: Person) -> list[Panel]:
    """Return what the person has to fill in and to decide."""
    panels = []
    if access.may(person, "enter"):
        owed = [
            row
            for row in entry_queries.list_owed(person, timezone.now())
            if row.status in {"", Submission.Status.DRAFT, Submission.Status.RETURNED} and not row.is_locked
        ]
        if owed:
            context = {"owed": owed[:_OWED_SHOWN], "more": len(owed) - _OWED_SHOWN, "count": len(owed)}
            panels.append(Panel("Biểu cần nhập", "indicators/panels/owed.html", context, order=10, region="now"))
    if access.may(person, "approve"):
        waiting = list(entry_queries.list_queue(person)[: _OWED_SHOWN + 1])
        if waiting:
            context = {"waiting": waiting[:_OWED_SHOWN], "has_more": len(waiting) > _OWED_SHOWN}
            panels.append(Panel("Biểu chờ duyệt", "indicators/panels/waiting.html", context, order=5, region="now"))
    return panels


def _standing(person: Person) -> dict[str, Any] | None:
    """Return the key figures of the first subject of the reader's scope that has any, with plan and chart."""
    keys = [key for key, _ in _KEY_FIGURES]
    newest = queries.newest_of_first(keys, access.list_scopes(person, "view"))
    if not newest:  # those around the person's own scope
        newest = queries.newest_of_first(keys, queries.list_home_subject_ids(person))
    found = {(value.metric.key, value.scenario): value for value in newest}
    if not found:
        return None
    tiles = []
    for key, icon in _KEY_FIGURES:
        done, plan = found.get((key, Scenario.ACTUAL)), found.get((key, Scenario.PLAN))
        shown = done or plan
        if shown is None:
            continue
        tiles.append(
            {
                "label": shown.metric.short_name,
                "value": done,
                "plan": f"{_as_printed(plan)} ({queries.period_of(plan).label_inside_vi})" if plan else "",
                "band": done.band if done else None,
                "icon": icon,
                "note": _note(shown),
                "url": reverse("indicators:detail", args=[key]),
            }
        )
    subject = next(iter(found.values())).subject
    return {
        "title": f"{subject.name}",
        "tiles": tiles,
        "charts": _charts(subject, queries.list_years(_CHARTED, subject)),
        "subject": subject,
    }


def _as_printed(value: Value) -> str:
    qualifier = value.fact.qualifier if value.fact is not None else ""
    text = queries.as_text(value, value.metric)
    return f"{qualifier} {text}" if qualifier and value.number is not None else text


def _note(value: Value) -> str:
    period = queries.period_of(value).label_vi
    if value.parts_total > 1:
        return f"{period} · {queries.coverage_text(value)}"
    return period


def for_subject(person: Person, subject: Subject) -> list[Panel]:
    """Show the newest figures of a work, place or organisation, with plan, former period, band and a chart."""
    if not queries.may_read(person, subject):
        return []
    rows, years = queries.latest_and_years(subject)
    if not rows:
        return []
    context = {
        "rows": rows,
        "charts": _charts(subject, years),
        "has_plan": any(row.plan for row in rows),
        "has_previous": any(row.previous for row in rows),
        "has_band": any(row.value is not None and row.value.band_id for row in rows),
    }
    return [Panel("Số liệu", "indicators/panels/subject.html", context, order=20)]


def _charts(subject: Subject, values: list[Value]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return a chart a unit of these yearly numbers of a subject: (id, title, data). At most two."""
    charts: list[tuple[str, str, dict[str, Any]]] = []
    for unit in dict.fromkeys(value.metric.unit for value in values):
        chosen = [value for value in values if value.metric.unit == unit]
        periods = sorted({queries.period_of(value) for value in chosen}, key=lambda period: period.start_date)[-10:]
        if len(chosen) < 2:
            continue
        metrics = sorted({value.metric for value in chosen}, key=lambda metric: metric.order)[:6]
        series = []
        for metric in metrics:
            found = {queries.period_of(value): value for value in chosen if value.metric == metric}
            series.append(
                {
                    "name": metric.short_name,
                    "values": [
                        float(figures.scale(found[period].number or 0, metric.decimals)) if period in found else None
                        for period in periods
                    ],
                }
            )
        label = units.label(unit)
        charts.append(
            (
                f"figures-{subject.pk}-{len(charts)}",
                f"{', '.join(metric.short_name for metric in metrics)}",
                {
                    "type": "bar" if len(periods) <= 4 else "line",
                    "unit": label,
                    "decimals": max(metric.decimals for metric in metrics),
                    "categories": [period.label_vi for period in periods],
                    "series": series,
                },
            )
        )
    return charts[:2]
