"""Background work of connections: reading, taking and taking back long sheets."""

from datetime import time

from django.core.exceptions import PermissionDenied
from django.utils import timezone

from machnuoc.core import jobs, notices
from machnuoc.core.models import Job, Person
from machnuoc.customers import connection_sheets
from machnuoc.customers.models import ConnectionImport
from machnuoc.indicators.sheets import SheetError

NOTICE = "customers"


def _load(batch_id: int, person_id: int) -> tuple[ConnectionImport, Person]:
    return ConnectionImport.objects.select_related("file").get(pk=batch_id), Person.objects.get(pk=person_id)


def _tell(person: Person, batch: ConnectionImport, text: str) -> str:
    notices.notify([person], kind=NOTICE, text=text, url=f"/khach-hang/nhap-tep/{batch.pk}/")
    return text


@jobs.task("customers.preview_sheet", timeout_s=3_600, title="Đọc tệp khách hàng, đấu nối")
def preview_sheet(job: Job, *, batch_id: int, person_id: int) -> str:
    """Read a long sheet for its preview. Run twice it writes the same."""
    batch, person = _load(batch_id, person_id)
    if batch.applied_at is not None:
        return "Tệp đã được nhập."
    try:
        connection_sheets.preview(
            batch, person, timezone.now(),
            lambda done, total: jobs.report_progress(job, done, max(done, total), "Đang đọc"),
        )  # fmt: skip
    except (SheetError, PermissionDenied) as reason:
        raise jobs.GiveUp(str(reason)) from None
    return _tell(person, batch, f"Đã đọc tệp {batch.file_name}: {batch.stored} dòng tốt, {batch.rejected} dòng lỗi.")


@jobs.task("customers.import_sheet", timeout_s=4 * 3_600, title="Nhập tệp khách hàng, đấu nối")
def import_sheet(job: Job, *, batch_id: int, mode: str, person_id: int) -> str:
    """Take a sheet. Run again it goes on where it stopped."""
    batch, person = _load(batch_id, person_id)
    if batch.applied_at is not None:
        return "Tệp đã được nhập."
    try:
        batch = connection_sheets.apply(
            batch, mode=mode, by=person, now=timezone.now(),
            progress=lambda done, total: jobs.report_progress(job, done, total, "Đang nhập"),
        )  # fmt: skip
    except (SheetError, PermissionDenied) as reason:
        raise jobs.GiveUp(str(reason)) from None
    return _tell(person, batch, f"Đã nhập tệp {batch.file_name}: {connection_sheets.outcome(batch)}.")


@jobs.task("customers.undo_sheet", timeout_s=4 * 3_600, title="Hoàn tác tệp khách hàng, đấu nối")
def undo_sheet(job: Job, *, batch_id: int, person_id: int) -> str:
    """Take a sheet back. Run again it goes on where it stopped."""
    batch, person = _load(batch_id, person_id)
    if batch.undone_at is not None:
        return "Tệp đã hoàn tác."
    try:
        batch = connection_sheets.undo(
            batch, by=person, now=timezone.now(),
            progress=lambda done, total: jobs.report_progress(job, done, max(done, total), "Đang hoàn tác"),
        )  # fmt: skip
    except (SheetError, PermissionDenied) as reason:
        raise jobs.GiveUp(str(reason)) from None
    return _tell(person, batch, f"Đã hoàn tác tệp {batch.file_name}.")


@jobs.every("customers.forget_sheets", days=1, at=time(2, 50), title="Xóa nội dung tệp khách hàng đã cũ")
def forget_sheets(job: Job) -> str:
    """Delete the bytes of lists of people that were uploaded more than 30 days ago."""
    return f"Đã xóa nội dung {connection_sheets.forget_files(timezone.now())} tệp."
