"""Pieces of the live screens: instants as a clock says them, and what the browser needs to keep a value fresh."""

from datetime import datetime

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from machnuoc.core import vietnamese
from machnuoc.core.templatetags.machnuoc import tag
from machnuoc.telemetry import alarm_queries
from machnuoc.telemetry.daily_figures import DECIMALS, SUPPLY_HOURS
from machnuoc.telemetry.live_queries import Figure, Station
from machnuoc.telemetry.models import Alarm, MeasureFact

register = template.Library()
LINE_LETTERS = 32


@register.filter
def clock(moment: datetime) -> str:
    """Return the local time, with the day where it is not today's."""
    local = timezone.localtime(moment)
    return f"{local:%H:%M}" if local.date() == timezone.localdate() else f"{local:%H:%M %d/%m/%Y}"


@register.filter
def shown_when(station: Station) -> str:
    """Return of when the figures of a tile are, such as «lúc 06:29» or «từ 06:01 đến 06:29»; empty without any."""
    if station.shown_from is None or station.shown_to is None:
        return ""
    first, last = clock(station.shown_from), clock(station.shown_to)
    return f"lúc {last}" if first == last else f"từ {first} đến {last}"


@register.filter
def clock_full(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%H:%M %d/%m/%Y}"


@register.filter
def for_input(moment: datetime) -> str:
    """Return the local time as an input of kind datetime-local holds it."""
    return f"{timezone.localtime(moment):%Y-%m-%dT%H:%M}"


@register.filter
def plain(number: float) -> str:
    """Return a number as SVG reads it."""
    return f"{number:g}"


@register.filter
def drawn_name(figure: Figure) -> str:
    """Return the name of a channel, cut to what fits on a line of the drawing beside its value."""
    unit = "" if figure.words or figure.value is None else figure.unit
    return Truncator(figure.channel.name).chars(LINE_LETTERS - len(f"{figure.text} {unit}"))


@register.filter
def line_y(counter: int) -> int:
    """Return where the nth line under a drawing stands."""
    return 182 + 24 * counter


@register.filter
def hours_of(fact: MeasureFact | None) -> str:
    """Return the newest hours of supply of a work, with its day."""
    if fact is None:
        return "chưa có số giờ"
    hours = fact.number / 10 ** DECIMALS[SUPPLY_HOURS] / max(1, fact.weight)
    return f"{vietnamese.format_number(hours, 1)} giờ ngày {fact.day:%d/%m}"


@register.simple_tag
def priority_tag(alarm: Alarm) -> SafeString:
    """Return the badge of an alarm's priority, of one word and colour on every page."""
    return tag(alarm.get_priority_display(), *alarm_queries.TONES[alarm.priority])


@register.simple_tag
def live_attributes(figure: Figure) -> SafeString:
    """Return what tells the browser which reading belongs here and how to write it."""
    words = figure.words
    said = format_html(' data-off="{}" data-on="{}"', *words) if words else ""
    return format_html(
        'data-channel="{}" data-decimals="{}" data-at="{}"{}',
        figure.channel.pk, figure.quantity.decimals, figure.at_ms or "", said,
    )  # fmt: skip


@register.simple_tag
def devices_address() -> str:
    """Return the page of devices, empty where the program has none."""
    try:
        return reverse("telemetry:device_list")
    except NoReverseMatch:
        return ""
