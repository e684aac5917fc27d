"""The page of a connection's remote reading: which channel tells its index, and what was taken from it."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from machnuoc.billing import telemetry_readings
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import RemoteMeter
from machnuoc.core.choices import OneOf
from machnuoc.core.models import Person
from machnuoc.core.number_fields import WholeField
from machnuoc.core.panels import Panel
from machnuoc.customers import visibility
from machnuoc.customers.models import Connection
from machnuoc.telemetry.models import Channel


class LinkForm(forms.Form):
    channel = OneOf(Channel.objects.none(), label="Kênh số tổng")
    dial_m3 = WholeField(
        label="Mặt số đang chỉ (m³)", required=False, min_value=0, max_value=10**9,
        help_text="Chỉ nhập khi mặt số khác số tổng thiết bị gửi.",
    )  # fmt: skip

    def __init__(self, *args: Any, connection: Connection, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["channel"]
        field.queryset = telemetry_readings.list_channels(connection)
        field.label_from_instance = lambda channel: f"{channel.device.name} ({channel.device.code}): {channel.name}"


def _get(request: HttpRequest, code: str) -> Connection:
    person: Person = request.user  # type: ignore[assignment]
    return get_object_or_404(visibility.list_connections(person, "serve").select_related("work__subject"), code=code)


@require_http_methods(["GET", "HEAD", "POST"])
def remote_meter(request: HttpRequest, code: str) -> HttpResponse:
    connection, now = _get(request, code), timezone.now()
    person: Person = request.user  # type: ignore[assignment]
    form = LinkForm(request.POST or None, connection=connection)
    if request.method == "POST" and form.is_valid():
        try:
            telemetry_readings.link(connection, by=person, now=now, **form.cleaned_data)
        except BillingError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã nối. Từ ngày chốt tới, chỉ số lấy từ kênh này.")
            return redirect("billing:remote_meter", code)
    links = list(
        RemoteMeter.objects.filter(fitting__connection=connection).select_related("fitting__meter", "channel__device")
    )
    live = next((row for row in links if row.ended_at is None), None)
    context = {
        "connection": connection, "live": live, "latest": telemetry_readings.latest(live, now) if live else None,
        "former": [row for row in links if row.ended_at is not None], "form": form,
        "has_channels": form.fields["channel"].queryset.exists(),  # type: ignore[attr-defined]
    }  # fmt: skip
    status = 422 if request.method == "POST" else 200
    return render(request, "billing/remote/meter.html", context, status=status)


@require_POST
def remote_meter_end(request: HttpRequest, code: str) -> HttpResponse:
    connection = _get(request, code)
    person: Person = request.user  # type: ignore[assignment]
    live = RemoteMeter.objects.filter(fitting__connection=connection, ended_at__isnull=True).first()
    if live is None:
        messages.info(request, "Đấu nối này không còn kênh nào đang nối.")
    else:
        telemetry_readings.end(live, by=person, now=timezone.now())
        messages.success(request, "Đã ngừng đọc từ xa. Từ nay ghi chỉ số tại chỗ.")
    return redirect("billing:remote_meter", code)


def for_connection(person: Person, connection: Connection) -> list[Panel]:
    """Give the page of a connection its remote meter, where there is one or could be one."""
    if not visibility.may(person, "serve", connection):
        return []
    live = (
        RemoteMeter.objects.filter(fitting__connection=connection, ended_at__isnull=True)
        .select_related("channel__device")
        .first()
    )
    if live is None and not telemetry_readings.list_channels(connection).exists():
        return []
    context = {"connection": connection, "live": live}
    return [Panel("Đọc từ xa", "billing/remote/panel.html", context, order=25)]
