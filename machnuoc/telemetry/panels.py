"""What live figures add to the side bar, to «Tổng quan», to the page of a work and to the map."""

import time
from typing import Any

from django.urls import NoReverseMatch, reverse

from machnuoc.core.models import Person
from machnuoc.core.panels import MapLayer, NavigationItem, Panel
from machnuoc.places import access
from machnuoc.places.models import Subject
from machnuoc.telemetry import alarm_queries, live_queries
from machnuoc.telemetry.models import Device

_GROUP = "Giám sát"
_PAGES = (
    ("Giám sát", "telemetry:wall", "activity-heartbeat", 20, "view"),
    ("Cảnh báo", "telemetry:alarm_list", "alert-triangle", 21, "view"),
    ("Thiết bị", "telemetry:device_list", "gauge", 22, "manage"),
    ("Chỉ số trực tuyến", "telemetry:online", "droplets", 23, "view"),
    ("Sổ nhận số liệu", "telemetry:ledger", "book", 24, "manage"),
    ("Quy tắc", "telemetry:rule_list", "adjustments", 25, "manage"),
)
_TOP = 6


def navigation(person: Person) -> list[NavigationItem]:
    """Give the pages of the room to those whose scope may hold devices; what is managed to those who manage."""
    if not access.may(person, "view"):
        return []
    found = []
    for title, name, icon, order, action in _PAGES:
        if action == "manage" and not access.may(person, "manage"):
            continue
        try:
            address = reverse(name)
        except NoReverseMatch:
            continue
        found.append(NavigationItem(title, address, icon, order, _GROUP))
    return found


def later_overview(person: Person, region: str) -> list[Panel]:
    """Show the alarms that are open, and how the stations stand."""
    if region == "now":
        alarms = list(alarm_queries.list_open(person)[: _TOP + 1])
        if not alarms:
            return []
        context: dict[str, Any] = {"alarms": alarms[:_TOP], "has_more": len(alarms) > _TOP}
        return [Panel("Cảnh báo đang mở", "telemetry/live/panel_alarms.html", context, order=5, region="now")]
    if region != "standing":
        return []
    stations = live_queries.list_stations(person, time.time_ns() // 1_000_000, with_sparks=False)
    if not stations:
        return []
    wall = live_queries.filter_wall(stations)
    counts = [(key, *live_queries.TONES[key], wall.counts[key]) for key in live_queries.STATES if wall.counts[key]]
    context = {"counts": counts, "total": wall.total, "is_simulated": wall.is_simulated}
    return [Panel("Giám sát trực tuyến", "telemetry/live/panel_wall.html", context, order=15, region="standing")]


def later_for_subject(person: Person, subject: Subject) -> list[Panel]:
    """Show on the page of a work what its devices say."""
    if subject.kind != Subject.Kind.WORK:
        return []
    channels = live_queries.list_channels(person).filter(device__work_id=subject.pk)
    figures = live_queries.dress(channels, time.time_ns() // 1_000_000)
    if not figures:
        return []
    context = {
        "subject": subject,
        "figures": [one for one in figures if one.channel.quantity != "battery"][:8],
        "is_simulated": any(one.channel.device.is_simulated for one in figures),
    }
    return [Panel("Số đo trực tuyến", "telemetry/live/panel_station.html", context, order=15)]


def map_layers(person: Person, province: Subject | None) -> list[MapLayer]:
    """Draw the devices whose own position is known."""
    devices = Device.objects.filter(latitude__isnull=False, longitude__isnull=False, removed_at__isnull=True)
    if not access.sees_everything(person):
        devices = devices.filter(work_id__in=access.visible_subject_ids(person))
    if province is not None:
        devices = devices.filter(work__subject__contained_in__ancestor=province)
    rows = devices.values_list("name", "latitude", "longitude", "work__subject__key", "is_simulated")[:501]
    points = [
        {
            "lat": latitude, "lon": longitude, "title": name, "url": reverse("telemetry:station", args=[key]),
            "text": "Thiết bị mô phỏng" if is_simulated else "Thiết bị đo", "tone": "info",
        }
        for name, latitude, longitude, key, is_simulated in rows
    ]  # fmt: skip
    return [MapLayer("devices", "Thiết bị đo", points, order=20)] if 0 < len(points) <= 500 else []
