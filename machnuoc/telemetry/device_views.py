"""Pages of devices, channels and limits; of what arrived from devices and what became of it."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from machnuoc.core import audit, export, units
from machnuoc.core.models import Person
from machnuoc.core.periods import LOCAL_ZONE
from machnuoc.core.vietnamese import format_datetime, format_number
from machnuoc.places import access
from machnuoc.telemetry import (
    alarm_queries,
    broker,
    counter_steps,
    credentials,
    device_forms,
    device_operations,
    device_queries,
    measuring_places,
    receive,
)
from machnuoc.telemetry.device_operations import ChangedMeanwhile, DeviceError
from machnuoc.telemetry.models import Channel, Credential, Device, QualityLimit, TotaliserMark
from machnuoc.telemetry.quantities import QUANTITIES, ChannelKind

_ROWS_A_PAGE = 50
_STEPS_OFFERED = 12
_get_or_post = require_http_methods(["GET", "HEAD", "POST"])


def _person(request: HttpRequest) -> Person:
    return request.user  # type: ignore[return-value]


def _page_of(rows: Any, request: HttpRequest, size: int = _ROWS_A_PAGE) -> Any:
    return Paginator(rows, size).get_page(request.GET.get("page"))


def _is_filtered(request: HttpRequest) -> bool:
    return any(value for key, value in request.GET.items() if key not in {"page", "sort", "export"})


def tabs() -> list[tuple[str, str, str]]:
    names = (
        ("device_list", "Thiết bị"), ("device_health", "Sức khỏe"), ("ledger", "Sổ nhận"),
        ("quarantine_list", "Cách ly"), ("limit_list", "Giới hạn"), ("quantity_list", "Đại lượng"),
    )  # fmt: skip
    return [(name, title, reverse(f"telemetry:{name}")) for name, title in names]


def _now_ms(now: datetime) -> int:
    return round(now.timestamp() * 1000)


def form_page(request: HttpRequest, form: Any, *, title: str, back: str, **more: Any) -> HttpResponse:
    is_stale = bool(more.pop("is_stale", False))
    context = {
        "form": form, "title": title, "back_url": back, "is_stale": is_stale, "button": "Lưu",
        "list_url": reverse("telemetry:device_list"), **more,
    }  # fmt: skip
    status = 409 if is_stale else 422 if form.is_bound and form.errors else 200
    return render(request, "telemetry/devices/form.html", context, status=status)


# --- devices


@require_safe
def device_list(request: HttpRequest) -> HttpResponseBase:
    person, now = _person(request), timezone.now()
    form = device_forms.DeviceFilter(request.GET, person)
    rows = device_queries.select(person, form.read(), now=now)
    if export.format_of(request):
        listed = list(rows)
        health = device_queries.read_health(listed, now=now, with_share=True)
        return export.export(
            request, name="Thiết bị", columns=_columns(health), rows=listed, filters=form.describe(),
            source_note="Khai báo thiết bị và số liệu nhận được", simulated=any(one.is_simulated for one in listed),
        )  # fmt: skip
    page = _page_of(rows, request)
    health = device_queries.read_health(list(page.object_list), now=now, with_share=True)
    context = {
        "form": form, "page": page, "rows": [(device, health[device.pk]) for device in page.object_list],
        "tabs": tabs(), "is_filtered": _is_filtered(request),
        "may_bring": access.may(person, "enter") or access.may(person, "manage"),
        "may_manage": access.may(person, "manage"),
    }  # fmt: skip
    return render(request, "telemetry/devices/list.html", context)


def _columns(health: Mapping[int, device_queries.Health]) -> Sequence[export.Column]:
    return [
        ("Mã thiết bị", lambda row: row.code, "text"), ("Tên", lambda row: row.name, "text"),
        ("Công trình", lambda row: row.work.subject.name, "text"), ("Loại", lambda row: row.get_kind_display(), "text"),
        ("Đường truyền", lambda row: row.get_protocol_display(), "text"),
        ("Mã trên mạng gửi", lambda row: row.sender_id, "text"), ("Hãng, kiểu", lambda row: row.make, "text"),
        ("Số sê-ri", lambda row: row.serial, "text"), ("Vị trí", lambda row: row.place_note, "text"),
        ("Lắp lúc", lambda row: row.installed_at, "datetime"), ("Tháo lúc", lambda row: row.removed_at, "datetime"),
        ("Số kênh", lambda row: row.n_channels, "number"),
        ("Tình trạng", lambda row: health[row.pk].label, "text"),
        ("Nhận lần cuối", lambda row: health[row.pk].received_at, "datetime"),
        ("Đo lần cuối", lambda row: health[row.pk].measured_at, "datetime"),
        ("Đồng hồ thiết bị", lambda row: health[row.pk].drift_text, "text"),
        ("Pin (%)", lambda row: health[row.pk].battery_pct, "number"),
        ("RSSI (dBm)", lambda row: health[row.pk].rssi_dbm, "number"),
        ("Đủ số liệu 24 giờ (%)", lambda row: health[row.pk].share_pct, "number"),
        ("Mô phỏng", lambda row: "mô phỏng" if row.is_simulated else "", "text"),
    ]  # fmt: skip


@require_safe
def device_health(request: HttpRequest) -> HttpResponse:
    """Show which devices need somebody, the worst first."""
    found = device_queries.overview(_person(request), now=timezone.now())
    tiles = [
        (device_queries.HEALTH[key], found.counts.get(key, 0), f"{reverse('telemetry:device_list')}?health={key}")
        for key in ("silent", "never", "battery", "drift", "ok")
    ]
    page = _page_of(found.worst, request)
    context = {"found": found, "tiles": tiles, "page": page, "tabs": tabs()}
    return render(request, "telemetry/devices/health.html", context)


def _get_device(request: HttpRequest, code: str) -> Device:
    return get_object_or_404(device_queries.list_devices(_person(request)), code=code)


def _managed(request: HttpRequest, code: str) -> Device:
    device = _get_device(request, code)
    access.require(_person(request), "manage", device.work_id)
    return device


@require_safe
def device_detail(request: HttpRequest, code: str) -> HttpResponse:
    return _show_device(request, _get_device(request, code))


def _show_device(
    request: HttpRequest, device: Device, *, secret: str = "", form: Any = None, status: int = 200
) -> HttpResponse:
    person, now = _person(request), timezone.now()
    full: Any = device_queries.with_intervals(Device.objects.select_related("work__subject")).get(pk=device.pk)
    health = device_queries.read_health([full], now=now, with_share=True)[device.pk]
    channels = list(device.channels.prefetch_related("calibrations"))
    may_manage = access.may(person, "manage", device.work_id)
    names = {channel.pk: channel for channel in channels}
    corrections = [
        {"channel": names[one.channel], "about": QUANTITIES[names[one.channel].quantity], "one": one}
        for one in device_queries.list_corrections(list(names))
    ]
    is_open = device.removed_at is None
    alarms = alarm_queries.list_open(person, now=now, work_id=device.work_id).filter(rule__channel__device=device)
    shown = device_queries.latest_of(channels, now)
    for row in shown:
        row["calibrations"] = [
            (device_queries.line_text(one), one.valid_from) for one in list(row["channel"].calibrations.all())[-1:]
        ]
    context = {
        "device": full, "health": health, "facts": _facts(full), "signs": _signs(health),
        "channels": shown, "may_manage": may_manage and is_open,
        "credentials": device.credentials.select_related("made_by") if may_manage else None, "now": now,
        "secret": secret, "settings_text": _settings_text(request, device, channels, secret) if may_manage else "",
        "rejections": device_queries.list_rejections(device, since=now - timedelta(days=14)),
        "corrections": corrections, "secret_form": form or device_forms.SecretForm(), "alarms": alarms[:8],
        "has_totals": any(QUANTITIES[one.quantity].kind == ChannelKind.TOTAL for one in channels),
    }  # fmt: skip
    return render(request, "telemetry/devices/device.html", context, status=status)


def _facts(device: Any) -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = [
        ("Loại", device.get_kind_display()), ("Đường truyền", device.get_protocol_display()),
        ("Hãng, kiểu", device.make), ("Số sê-ri", device.serial), ("Vị trí lắp đặt", device.place_note),
        ("Lắp lúc", format_datetime(device.installed_at) if device.installed_at else ""),
    ]  # fmt: skip
    if device.sender_id:
        facts.append(("Mã trên mạng gửi", device.sender_id))
    if device.clock_offset_min:
        facts.append(("Đồng hồ lệch so với UTC", f"{device.clock_offset_min} phút"))
    if device.removed_at:
        facts.append(("Tháo lúc", format_datetime(device.removed_at)))
    if device.note:
        facts.append(("Ghi chú", device.note))
    return facts


def _signs(health: device_queries.Health) -> list[tuple[str, Any]]:
    def number(value: float | None, decimals: int, unit: str) -> str | None:
        return None if value is None else f"{format_number(value, decimals)} {unit}"

    return [
        ("Nhận lần cuối", f"{format_datetime(health.received_at)} (cách đây {health.silence_text})"
         if health.received_at else None),
        ("Số đo mới nhất", format_datetime(health.measured_at) if health.measured_at else None),
        ("Đủ số liệu 24 giờ qua", number(health.share_pct, 1, "%")),
        ("Đồng hồ thiết bị", health.drift_text or None),
        ("Pin", number(health.battery_pct, 0, "%")), ("Cường độ tín hiệu (RSSI)", number(health.rssi_dbm, 0, "dBm")),
        ("Tỷ số tín hiệu trên nhiễu (SNR)", number(health.snr_db, 1, "dB")),
        ("Bản tin đã nhận", number(health.messages, 0, "")),
    ]  # fmt: skip


def _settings_text(request: HttpRequest, device: Device, channels: Sequence[Channel], secret: str) -> str:
    """Return what an installer copies into the device: address, name, topic, and a message as it should look."""
    password = secret or "<mã truy cập, chỉ hiện một lần khi cấp>"
    keys = [channel.key for channel in channels if channel.is_active][:4] or ["flow"]
    sample = {"t": timezone.localtime().replace(microsecond=0).isoformat(), "v": dict.fromkeys(keys, 12.5), "seq": 1}
    host, port, tls = _broker_address(request)
    header = [f"Máy chủ MQTT: {host}", f"Cổng: {port}{' (TLS)' if tls else ''}", f"Tên đăng nhập: {device.code}",
              f"Mật khẩu: {password}", f"Mã khách (client id): {device.code}", "QoS: 1"]  # fmt: skip
    match device.protocol:
        case Device.Protocol.HTTP:
            url = request.build_absolute_uri(reverse("telemetry:readings"))
            body = json.dumps({"batch": [sample]}, ensure_ascii=False)
            return "\n".join([
                f"POST {url}", f"Authorization: Bearer {password}", "Idempotency-Key: <mã riêng của mỗi lô>",
                "Content-Type: application/json", "", body,
            ])  # fmt: skip
        case Device.Protocol.CSV:
            line = f"{timezone.localtime():%Y-%m-%d %H:%M:%S};{keys[0]};12.5"
            return "\n".join([*header, f"Chủ đề: machnuoc/v1/{device.code}/csv", "", line])
        case Device.Protocol.CHIRPSTACK:
            return "\n".join([
                "ChirpStack v4 gửi về máy chủ MQTT này (tích hợp MQTT, JSON):", *header[:2],
                f"Chủ đề: application/+/device/{device.sender_id}/event/up",
                f"Bộ giải mã của ChirpStack trả về: {json.dumps(dict.fromkeys(keys, 12.5))}",
            ])  # fmt: skip
        case Device.Protocol.FILE:
            return "Thiết bị này nạp bằng tệp: Giám sát › Thiết bị › Nhập từ tệp."
    return "\n".join([*header, f"Chủ đề: machnuoc/v1/{device.code}/up", "", json.dumps(sample, ensure_ascii=False)])


def _broker_address(request: HttpRequest) -> tuple[str, int, bool]:
    """Return host, port and whether by TLS, as a device must reach it."""
    if settings.MQTT_URL:
        parts = urlsplit(settings.MQTT_URL)
        tls = parts.scheme == "mqtts"
        return str(parts.hostname), parts.port or (8883 if tls else 1883), tls
    host = request.get_host().rpartition(":")[0] or request.get_host()
    try:
        port = broker.address().port  # where 1883 was taken, the next free one
    except broker.NoBroker:
        port = settings.MQTT_PORT or 1883
    return host, port, False


@_get_or_post
def device_add(request: HttpRequest) -> HttpResponse:
    person = _person(request)
    if not access.may(person, "manage"):
        raise PermissionDenied("Chỉ người quản lý công trình khai được thiết bị.")
    return _save_device(request, None)


@_get_or_post
def device_edit(request: HttpRequest, code: str) -> HttpResponse:
    return _save_device(request, _managed(request, code))


def _save_device(request: HttpRequest, device: Device | None) -> HttpResponse:
    person = _person(request)
    form = device_forms.DeviceForm(
        request.POST if request.method == "POST" else None, person=person, device=device,
        work=request.GET.get("work", "") if request.GET.get("work", "").isdigit() else "",
    )  # fmt: skip
    is_stale = False
    if form.is_bound and form.is_valid():
        try:
            saved, _ = device_operations.put_device(
                **form.said(), device=device, version=form.cleaned_data["version"] if device else None, by=person,
                now=timezone.now(),
            )  # fmt: skip
        except DeviceError as reason:
            form.add_error(None, str(reason))
            is_stale = isinstance(reason, ChangedMeanwhile)
        else:
            messages.success(request, f"Đã lưu thiết bị {saved.code}.")
            return redirect("telemetry:device_detail", saved.code)
    back = reverse("telemetry:device_detail", args=[device.code]) if device else reverse("telemetry:device_list")
    title = "Sửa thiết bị" if device else "Thêm thiết bị"
    return form_page(request, form, title=title, back=back, device=device, is_stale=is_stale)


@_get_or_post
def device_remove(request: HttpRequest, code: str) -> HttpResponse:
    device = _managed(request, code)
    form = device_forms.RemoveForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        said = form.cleaned_data
        try:
            device_operations.remove_device(
                device, at=said["at"], reason=said["reason"], by=_person(request), now=timezone.now()
            )
        except DeviceError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã ghi tháo thiết bị {device.code}; mã truy cập của nó hết hiệu lực.")
            return redirect("telemetry:device_detail", device.code)
    return form_page(
        request, form, title="Tháo thiết bị", back=reverse("telemetry:device_detail", args=[code]), device=device,
        button="Ghi tháo thiết bị",
        lead="Số đọc sau lúc tháo bị từ chối, mã truy cập hết hiệu lực. Số liệu cũ và lịch sử giữ nguyên.",
    )  # fmt: skip


# --- secrets


@never_cache
@_get_or_post
def credential_issue(request: HttpRequest, code: str) -> HttpResponse:
    """Make a secret and show it, this once; a GET leads back to the device."""
    device = _managed(request, code)
    if request.method != "POST":
        return redirect("telemetry:device_detail", device.code)
    form = device_forms.SecretForm(request.POST)
    if not form.is_valid():
        return _show_device(request, device, form=form, status=422)
    now, person = timezone.now(), _person(request)
    make = credentials.rotate if form.cleaned_data["replaces"] else credentials.make
    try:
        _, secret = make(device, person, now, expires_at=form.expires_at(now))
    except credentials.CannotMakeCredential as reason:
        form.add_error(None, str(reason))
        return _show_device(request, device, form=form, status=422)
    return _show_device(request, device, secret=secret)


@require_POST
def credential_revoke(request: HttpRequest, code: str, pk: int) -> HttpResponse:
    device = _managed(request, code)
    credential = get_object_or_404(Credential, pk=pk, device=device)
    credentials.revoke(credential, _person(request), timezone.now())
    messages.success(request, "Đã thu hồi mã truy cập. Máy chủ MQTT ngừng nhận trong vài giây.")
    return redirect("telemetry:device_detail", device.code)


# --- channels


def _get_channel(device: Device, pk: int) -> Channel:
    return get_object_or_404(Channel.objects.select_related("device__work__subject"), pk=pk, device=device)


@_get_or_post
def channel_add(request: HttpRequest, code: str) -> HttpResponse:
    return _save_channel(request, _managed(request, code), None)


@_get_or_post
def channel_edit(request: HttpRequest, code: str, pk: int) -> HttpResponse:
    device = _managed(request, code)
    return _save_channel(request, device, _get_channel(device, pk))


def _save_channel(request: HttpRequest, device: Device, channel: Channel | None) -> HttpResponse:
    form = device_forms.ChannelForm(
        request.POST if request.method == "POST" else None, channel=channel, work=device.work_id
    )
    if form.is_bound and form.is_valid():
        try:
            with transaction.atomic():
                saved, _ = device_operations.put_channel(
                    device, channel=channel, by=_person(request), now=timezone.now(), **form.said()
                )
                measuring_places.assign(saved, form.cleaned_data.get("feature"), by=_person(request))
        except DeviceError as reason:
            form.add_error(None, str(reason))
        else:
            done = "Đã lưu kênh" if channel else "Đã thêm kênh, kèm các quy tắc cảnh báo thường dùng:"
            messages.success(request, f"{done} «{saved.name}».")
            return redirect("telemetry:device_detail", device.code)
    title = f"Sửa kênh {channel.key}" if channel else "Thêm kênh"
    return form_page(
        request, form, title=title, back=reverse("telemetry:device_detail", args=[device.code]), device=device
    )


@_get_or_post
def channel_calibrate(request: HttpRequest, code: str, pk: int) -> HttpResponse:
    device = _managed(request, code)
    channel = _get_channel(device, pk)
    form = device_forms.CalibrationForm(request.POST if request.method == "POST" else None, channel=channel)
    if form.is_bound and form.is_valid():
        said = form.cleaned_data
        try:
            _, is_recomputed = device_operations.calibrate(
                channel, valid_from=said["valid_from"], factor=float(said["factor"]), offset=float(said["offset"]),
                note=said["note"], by=_person(request), now=timezone.now(),
            )  # fmt: skip
        except DeviceError as reason:
            form.add_error(None, str(reason))
        else:
            more = " Số đọc từ lúc đó đang được tính lại ở chế độ nền." if is_recomputed else ""
            messages.success(request, f"Đã ghi hiệu chuẩn của kênh «{channel.name}».{more}")
            return redirect("telemetry:device_detail", device.code)
    facts = [
        (format_datetime(one.valid_from), f"{device_queries.line_text(one)}; {one.note or 'không ghi căn cứ'}")
        for one in channel.calibrations.all()
    ]
    return form_page(
        request, form, title=f"Hiệu chuẩn kênh {channel.key}", facts=facts, facts_title="Các lần hiệu chuẩn",
        back=reverse("telemetry:device_detail", args=[code]), device=device,
    )  # fmt: skip


def _decided(mark: TotaliserMark) -> str:
    said = f"{mark.get_what_display()}: {mark.reason} ({mark.decided_by.full_name}, {format_datetime(mark.decided_at)})"
    if counter_steps.has_step(mark.channel_id, round(mark.at.timestamp() * 1000)):
        return said
    return f"{said}. Không có hiệu lực: không có số đọc nào đúng lúc ấy. Ghi lại với số đọc ngay sau sự kiện."


@_get_or_post
def channel_totaliser(request: HttpRequest, code: str, pk: int) -> HttpResponse:
    device = _managed(request, code)
    channel = _get_channel(device, pk)
    if QUANTITIES[channel.quantity].kind != ChannelKind.TOTAL:
        raise Http404("no counter")
    chosen = request.GET.get("step", "")
    steps = list(counter_steps.list_steps(channel, 0, _now_ms(timezone.now()) + 1, most=_STEPS_OFFERED).rows)
    for given in {chosen, request.POST.get("step", "")} - {str(step.at_ms) for step in steps}:
        named = counter_steps.find_step(channel, int(given)) if given.isdecimal() and len(given) < 14 else None
        steps += [named] if named else []
    steps.sort(key=lambda step: -step.at_ms)
    form = device_forms.MarkForm(
        request.POST if request.method == "POST" else None, channel=channel, steps=steps,
        chosen=chosen if chosen in {str(step.at_ms) for step in steps} else "",
    )  # fmt: skip
    if form.is_bound and form.is_valid():
        said = form.cleaned_data
        try:
            device_operations.overrule_totaliser(
                channel, at=datetime.fromtimestamp(form.at_ms() / 1000, LOCAL_ZONE), what=said["what"],
                reason=said["reason"], by=_person(request),
                step_m3=None if said["step_m3"] is None else float(said["step_m3"]), now=timezone.now(),
            )  # fmt: skip
        except DeviceError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã ghi quyết định; lượng nước của các giờ đó đang được tính lại.")
            at = datetime.fromtimestamp(form.at_ms() / 1000, LOCAL_ZONE)
            span = "&".join(
                f"{name}={at + timedelta(hours=hours):%Y-%m-%dT%H:%M}" for name, hours in (("from", -12), ("to", 12))
            )
            return redirect(f"{reverse('telemetry:channel', args=[channel.pk])}?{span}")
    facts = [
        (f"{timezone.localtime(one.at):%H:%M:%S %d/%m/%Y}", _decided(one)) for one in
        channel.marks.select_related("decided_by").order_by("-at")[:_STEPS_OFFERED]
    ]  # fmt: skip
    return form_page(
        request, form, title=f"Quyết định về đồng hồ {channel.key}", facts=facts, facts_title="Đã quyết định",
        back=reverse("telemetry:device_detail", args=[code]), device=device,
        lead="Khi chương trình nhận sai một bước nhảy (về 0, quay vòng, thay đồng hồ, chảy ngược), ghi điều đã xảy ra.",
    )  # fmt: skip


# --- limits


@require_safe
def limit_list(request: HttpRequest) -> HttpResponseBase:
    person = _person(request)
    rows = QualityLimit.objects.select_related("subject", "document").order_by(
        "quantity", "subject__name", "-valid_from"
    )
    if not access.sees_everything(person):
        visible = rows.filter(subject__in=access.visible_subject_ids(person))
        rows = visible | rows.filter(subject__kind="COUNTRY")
    if export.format_of(request):
        columns: Sequence[export.Column] = [
            ("Đại lượng", lambda row: row.get_quantity_display(), "text"),
            ("Áp dụng cho", lambda row: row.subject.name, "text"), ("Không nhỏ hơn", lambda row: row.low, "number"),
            ("Không lớn hơn", lambda row: row.high, "number"),
            ("Đơn vị", lambda row: units.label(QUANTITIES[row.quantity].unit), "text"),
            ("Từ ngày", lambda row: row.valid_from, "date"), ("Đến trước ngày", lambda row: row.valid_to, "date"),
            ("Quy chuẩn", lambda row: row.standard, "text"), ("Nguồn", lambda row: row.source, "text"),
            ("Mức tin cậy", lambda row: row.get_confidence_display(), "text"),
        ]  # fmt: skip
        return export.export(request, name="Giới hạn chất lượng nước", columns=columns, rows=rows)
    page = _page_of(rows, request)
    may_manage = access.may(person, "manage")
    managed = set()
    if may_manage:
        ids = [row.subject_id for row in page.object_list]
        everything = access.sees_everything(person, "manage")
        managed = set(ids) if everything else set(
            access.visible_subject_ids(person, "manage").filter(descendant_id__in=ids)
        )  # fmt: skip
    listed = [
        {"row": row, "unit": units.label(QUANTITIES[row.quantity].unit), "may_edit": row.subject_id in managed}
        for row in page.object_list
    ]
    context = {"page": page, "rows": listed, "tabs": tabs(), "may_manage": may_manage}
    return render(request, "telemetry/devices/limits.html", context)


@_get_or_post
def limit_add(request: HttpRequest) -> HttpResponse:
    if not access.may(_person(request), "manage"):
        raise PermissionDenied("Chỉ người quản lý công trình đặt được giới hạn.")
    return _save_limit(request, None)


@_get_or_post
def limit_edit(request: HttpRequest, pk: int) -> HttpResponse:
    limit = get_object_or_404(QualityLimit, pk=pk)
    access.require(_person(request), "manage", limit.subject_id)
    return _save_limit(request, limit)


def _save_limit(request: HttpRequest, limit: QualityLimit | None) -> HttpResponse:
    person = _person(request)
    form = device_forms.LimitForm(request.POST if request.method == "POST" else None, person=person, limit=limit)
    if form.is_bound and form.is_valid():
        try:
            device_operations.put_limit(**form.said(), limit=limit, by=person, now=timezone.now())
        except DeviceError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã lưu giới hạn.")
            return redirect("telemetry:limit_list")
    return form_page(
        request, form, title="Sửa giới hạn" if limit else "Thêm giới hạn", back=reverse("telemetry:limit_list"),
        lead="Chỉ ghi giới hạn có văn bản. Giới hạn của trạm đứng trước giới hạn của tỉnh và cả nước.",
    )  # fmt: skip


# --- what arrived


@require_safe
def ledger(request: HttpRequest) -> HttpResponseBase:
    """Show the ledger: what arrived, and what became of it, by device and day or hour."""
    person, today = _person(request), timezone.localdate()
    form = device_forms.LedgerFilter(request.GET or None)
    said = form.cleaned_data if form.is_valid() else {}
    by_hour = said.get("unit") == "hour"
    last = said.get("to_date") or today
    first = said.get("from_date") or last - timedelta(days=1 if by_hour else 6)
    code = str(said.get("device") or "").strip()
    device = device_queries.list_devices(person).filter(code=code).first() if code else None
    is_missing = bool(code) and device is None
    if is_missing:
        found = device_queries.Ledger((), device_queries.LedgerRow(-1, timezone.now()), ())
    else:
        found = device_queries.read_ledger(
            person, from_at=datetime.combine(first, time.min, tzinfo=LOCAL_ZONE),
            until=datetime.combine(last + timedelta(days=1), time.min, tzinfo=LOCAL_ZONE), by_hour=by_hour,
            device=device, only_open=bool(said.get("only")),
        )  # fmt: skip
    if export.format_of(request):
        columns: Sequence[export.Column] = [
            ("Thiết bị", lambda row: row.name, "text"),
            ("Công trình", lambda row: row.device.work.subject.name if row.device else "", "text"),
            ("Giờ" if by_hour else "Ngày", lambda row: row.start if by_hour else row.start.date(),
             "datetime" if by_hour else "date"),
            ("Nhận", lambda row: row.received, "number"), ("Lưu", lambda row: row.stored, "number"),
            ("Sửa", lambda row: row.corrected, "number"), ("Trùng", lambda row: row.duplicate, "number"),
            ("Từ chối", lambda row: row.rejected, "number"), ("Cách ly", lambda row: row.quarantined, "number"),
            ("Khép", lambda row: "khép" if row.is_closed else "KHÔNG KHÉP", "text"),
            ("Lý do từ chối", lambda row: "; ".join(f"{words}: {count}" for words, count, _ in row.reasons), "text"),
        ]  # fmt: skip
        return export.export(request, name="Sổ nhận số liệu", columns=columns, rows=found.rows)
    context = {
        "form": form, "found": found, "page": _page_of(found.rows, request), "by_hour": by_hour, "tabs": tabs(),
        "first": first, "last": last, "is_missing": is_missing, "code": code,
    }  # fmt: skip
    return render(request, "telemetry/devices/ledger.html", context)


@require_safe
def quarantine_list(request: HttpRequest) -> HttpResponse:
    person = _person(request)
    form = device_forms.QuarantineFilter(request.GET or None)
    said = form.cleaned_data if form.is_valid() else {}
    code = str(said.get("device") or "").strip()
    device = device_queries.list_devices(person).filter(code=code).first() if code else None
    state = {"": "NEW", "ALL": ""}.get(said.get("state", ""), said.get("state", ""))
    found = [] if code and device is None else device_queries.list_quarantine(person, state=state, device=device)
    context = {"form": form, "page": _page_of(found, request), "tabs": tabs(), "is_filtered": _is_filtered(request)}
    return render(request, "telemetry/devices/quarantine.html", context)


def _get_quarantined(request: HttpRequest, pk: int) -> device_queries.Quarantined:
    try:
        return device_queries.get_quarantined(_person(request), pk)
    except LookupError:
        raise Http404(f"no quarantined message {pk} in scope") from None


def _may_decide(person: Person, found: device_queries.Quarantined) -> bool:
    if found.device is None:
        return device_queries.sees_unknown(person)
    return access.may(person, "manage", found.device.work_id)


@require_safe
def quarantine_item(request: HttpRequest, pk: int) -> HttpResponse:
    return _show_quarantined(request, _get_quarantined(request, pk), device_forms.DismissForm())


def _show_quarantined(request: HttpRequest, found: device_queries.Quarantined, form: Any) -> HttpResponse:
    text, is_text = device_queries.show_payload(found.payload or b"")
    by = Person.objects.filter(pk=found.decided_by).first() if found.decided_by else None
    facts = [
        ("Nhận lúc", format_datetime(found.received_at)), ("Người gửi", found.name), ("Đến bằng", found.road),
        ("Cỡ", f"{found.size:,} byte".replace(",", ".")), ("Vì sao", found.reason),
    ]  # fmt: skip
    if found.decided_at:
        facts.append(("Đã xử lý", f"{format_datetime(found.decided_at)}, {by.full_name if by else 'hệ thống'}"))
        facts.append(("Kết quả", found.outcome))
    context = {
        "found": found, "text": text, "is_text": is_text, "facts": facts, "form": form,
        "is_cut": found.size > len(text.encode()) and is_text,
        "may_decide": found.state == "NEW" and _may_decide(_person(request), found),
    }  # fmt: skip
    status = 422 if form.is_bound and form.errors else 200
    return render(request, "telemetry/devices/quarantined.html", context, status=status)


@require_POST
def quarantine_replay(request: HttpRequest, pk: int) -> HttpResponse:
    found = _get_quarantined(request, pk)
    person, now = _person(request), timezone.now()
    if not _may_decide(person, found):
        raise PermissionDenied("Chỉ người quản lý công trình nạp lại được bản tin này.")
    try:
        with transaction.atomic():
            audit.record("telemetry.quarantine.replayed", actor=person, target=found.device, number=pk)
            total = receive.replay(pk, person, _now_ms(now)).total
    except receive.CannotDecide as reason:
        messages.error(request, str(reason))
    else:
        messages.success(
            request,
            f"Đã nạp lại: {total.received} số đọc, {total.stored} lưu, {total.corrected} sửa, {total.duplicate} trùng, "
            f"{total.rejected} bị từ chối.",
        )
    return redirect("telemetry:quarantine_item", pk)


@_get_or_post
def quarantine_dismiss(request: HttpRequest, pk: int) -> HttpResponse:
    found = _get_quarantined(request, pk)
    person, now = _person(request), timezone.now()
    if not _may_decide(person, found):
        raise PermissionDenied("Chỉ người quản lý công trình bỏ được bản tin này.")
    form = device_forms.DismissForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            with transaction.atomic():
                audit.record("telemetry.quarantine.dismissed", actor=person, target=found.device, number=pk)
                receive.dismiss(pk, person, form.cleaned_data["reason"], _now_ms(now))
        except receive.CannotDecide as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã bỏ bản tin; nó vẫn được đếm ở cột cách ly của sổ nhận.")
            return redirect("telemetry:quarantine_list")
    return _show_quarantined(request, found, form)
