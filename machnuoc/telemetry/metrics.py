"""`GET /metrics`: how receiving is doing, in the text format of Prometheus. Figures alone, no name of a station."""

import hmac
import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from machnuoc.core.middleware import client_address
from machnuoc.telemetry import store
from machnuoc.telemetry.models import Alarm, Device

OUTCOMES = ("stored", "corrected", "duplicate", "rejected", "quarantined")
_QUEUES = {"hours": "telemetry_dirty_hour", "days": "telemetry_dirty_day", "alarms": "telemetry_dirty_alarm"}

Sample = tuple[str, dict[str, str], float]


@login_not_required
@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer this machine, or whoever shows MACHNUOC_METRICS_TOKEN as a bearer token."""
    if not _may_read(request):
        return HttpResponse("forbidden\n", status=403, content_type="text/plain; charset=utf-8")
    text = as_text(collect(timezone.now()))
    return HttpResponse(text, content_type="text/plain; version=0.0.4; charset=utf-8")


def _may_read(request: HttpRequest) -> bool:
    kind, _, shown = request.headers.get("Authorization", "").partition(" ")
    if (
        settings.METRICS_TOKEN
        and kind == "Bearer"
        and hmac.compare_digest(shown.encode(), settings.METRICS_TOKEN.encode())
    ):
        return True
    try:
        return ipaddress.ip_address(client_address(request)).is_loopback
    except ValueError:
        return False


def count_ledger(since_ms: int) -> dict[str, int]:
    """Return readings received since the hour of this instant by outcome, with `received` and `open`, the difference.

    `open` is 0: the ledger closes.
    """
    heads = ("received", *OUTCOMES)
    sums = ", ".join(f"coalesce(sum({head}), 0)" for head in heads)
    open_ones = f"coalesce(sum(abs(received - {' - '.join(OUTCOMES)})), 0)"
    hour = since_ms // store.HOUR_MS * store.HOUR_MS
    row = store.query(f"SELECT {sums}, {open_ones} FROM telemetry_ledger WHERE hour >= ?", [hour])[0]  # noqa: S608
    return {name: int(value) for name, value in zip((*heads, "open"), row, strict=True)}


def collect(now: datetime) -> list[Sample]:
    """Return (name, labels, value) of every figure."""
    now_ms = int(now.astimezone(UTC).timestamp() * 1000)
    ledger = count_ledger(now_ms - store.DAY_MS)
    samples: list[Sample] = [
        ("machnuoc_readings_received_24h", {}, ledger["received"]),
        *(("machnuoc_readings_24h", {"outcome": outcome}, ledger[outcome]) for outcome in OUTCOMES),
        ("machnuoc_ledger_open_24h", {}, ledger["open"]),
    ]
    samples += [
        ("machnuoc_waiting", {"queue": queue}, store.query(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608
        for queue, table in _QUEUES.items()
    ]
    waiting = store.query("SELECT count(*) FROM telemetry_quarantine WHERE state = 'NEW'")[0][0]
    samples.append(("machnuoc_quarantine_new", {}, waiting))
    last_ms = store.query("SELECT max(received_at) FROM telemetry_device_state")[0][0]
    if last_ms is not None:
        samples.append(("machnuoc_last_received_age_seconds", {}, max(0.0, (now_ms - last_ms) / 1000)))
    alarms = Alarm.objects.filter(ended_at__isnull=True, is_withdrawn=False).order_by().values_list("priority")
    by_priority = dict(alarms.annotate(Count("id")))
    samples += [("machnuoc_alarms_active", {"priority": str(each)}, by_priority.get(each, 0)) for each in range(1, 5)]
    samples.append(("machnuoc_devices", {}, Device.objects.filter(removed_at__isnull=True).count()))
    return samples


_HELP = {
    "machnuoc_readings_received_24h": "readings received in the last 24 hours, from the start of the hour",
    "machnuoc_readings_24h": "what became of them",
    "machnuoc_ledger_open_24h": "readings that the ledger does not account for; anything but 0 is a defect",
    "machnuoc_waiting": "channels and hours that wait to be computed",
    "machnuoc_quarantine_new": "messages in quarantine that nobody has decided on",
    "machnuoc_last_received_age_seconds": "since the last message of any device",
    "machnuoc_alarms_active": "alarms whose condition holds; priority 1 is the most urgent",
    "machnuoc_devices": "devices that are installed",
}


def as_text(samples: Iterable[Sample]) -> str:
    """Return the text that a Prometheus server reads.

    >>> print(as_text([("machnuoc_devices", {}, 3)]), end="")
    # HELP machnuoc_devices devices that are installed
    # TYPE machnuoc_devices gauge
    machnuoc_devices 3
    """
    lines, said = [], ""
    for name, labels, value in samples:
        if name != said:
            lines += [f"# HELP {name} {_HELP[name]}", f"# TYPE {name} gauge"]
            said = name
        label = ",".join(f'{key}="{text}"' for key, text in labels.items())
        number = str(value) if isinstance(value, int) else f"{value:.3f}"
        lines.append(f"{name}{{{label}}} {number}" if label else f"{name} {number}")
    return "\n".join(lines) + "\n"
