"""Background work of devices: recomputing after a calibration, making rollups anew, files of readings."""

from datetime import UTC, datetime

import numpy as np
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from machnuoc.core import jobs, notices
from machnuoc.core.models import Job, Person
from machnuoc.indicators.sheets import SheetError
from machnuoc.telemetry import device_sheets, history, receive, rollups, store
from machnuoc.telemetry.models import DeviceImport

NOTICE = "telemetry"
_AT_ONCE = 20_000


@jobs.task("telemetry.recalibrate", timeout_s=3_600, title="Tính lại số đọc sau hiệu chuẩn")
def recalibrate(
    job: Job, *, channel_id: int, from_ms: int, to_ms: int, old: list[float], new: list[float], reason: str
) -> str:
    """Replace what was stored under the old calibration. Run twice it leaves alone what it has replaced.

    Readings of that span that arrive between the change and this job are stored under the new calibration already; a
    backlog sent in just those seconds would be calibrated twice. What a person overruled stays.
    """
    now_ms = round(timezone.now().timestamp() * 1000)
    sql = "SELECT at FROM telemetry_reading_history WHERE channel = ? AND at >= ? AND at < ? AND reason = ?"
    done = {row[0] for row in store.query(sql, [channel_id, from_ms, to_ms, reason])}
    changed = 0
    for _, start, end in store.local_months(from_ms, max(from_ms, to_ms - 1)):
        found = history.read_raw(channel_id, max(start, from_ms), min(end, to_ms))
        keep = (found.quality & store.OVERRULED) == 0
        if done:
            keep &= ~np.isin(found.at, np.fromiter(done, np.int64, len(done)))
        at, quality = found.at[keep], found.quality[keep]
        value = (found.value[keep] - old[1]) / old[0] * new[0] + new[1]
        for first in range(0, len(at), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            counts = receive.put_readings(
                channel_id, at[part], value[part], quality[part], reason=reason, now_ms=now_ms
            )
            changed += counts.corrected
        jobs.report_progress(job, min(end, to_ms) - from_ms, max(1, to_ms - from_ms))
    return f"Đã tính lại {changed} số đọc: {reason}."


@jobs.task("telemetry.remake_rollups", timeout_s=900, title="Tính lại số giờ, số ngày của kênh")
def remake_rollups(job: Job, *, channels: list[int], from_ms: int, to_ms: int, reason: str) -> str:
    """Mark the hours of channels whose meaning changed; the watching process makes them anew."""
    marked = rollups.mark(channels, from_ms, to_ms)
    since = datetime.fromtimestamp(from_ms / 1000, UTC)
    return f"Đã đánh dấu {marked} giờ từ {timezone.localtime(since):%d/%m/%Y}: {reason}."


@jobs.task("telemetry.preview_sheet", timeout_s=1_800, title="Đọc tệp số đọc để xem trước")
def preview_sheet(job: Job, *, batch_id: int, person_id: int) -> str:
    """Read a long file of readings for its preview. Nothing of it is taken."""
    batch = DeviceImport.objects.select_related("file").get(pk=batch_id)
    try:
        device_sheets.preview_readings(
            batch, by=Person.objects.get(pk=person_id), now=timezone.now(),
            progress=lambda done, total: jobs.report_progress(job, done, total, "Đang đọc"),
        )  # fmt: skip
    except (SheetError, PermissionDenied) as reason:
        raise jobs.GiveUp(str(reason)) from None
    return f"Đã đọc tệp {batch.file_name}: {batch.received} dòng, {batch.rejected} dòng có lỗi."


@jobs.task("telemetry.import_sheet", timeout_s=3_600, title="Nhập tệp thiết bị, kênh, số đọc")
def import_sheet(job: Job, *, batch_id: int, mode: str, person_id: int) -> str:
    """Take a sheet. Run twice it finds the sheet taken; readings sent twice are duplicates."""
    batch = DeviceImport.objects.select_related("file").get(pk=batch_id)
    person = Person.objects.get(pk=person_id)
    if batch.applied_at is not None:
        return "Tệp đã được nhập."
    try:
        batch = device_sheets.apply(
            batch, mode=mode, by=person, now=timezone.now(),
            progress=lambda done, total: jobs.report_progress(job, done, total, "Đang nhập"),
        )  # fmt: skip
    except (SheetError, PermissionDenied) as reason:
        raise jobs.GiveUp(str(reason)) from None
    text = f"Đã nhập tệp {batch.file_name}: {device_sheets.outcome(batch)}."
    notices.notify([person], kind=NOTICE, text=text, url=f"/giam-sat/nhap-tep/{batch.pk}/")
    return text
