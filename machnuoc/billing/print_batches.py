"""Bills printed a thousand at a time: asked for on a page, made in the background, fetched, removed after some days.

The files hold names and addresses, so they lie outside the store of kept files and do not stay.
"""

import os
import secrets
import tempfile
from datetime import date, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from machnuoc.billing import bill_pdf
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import Bill, BillingRun, PrintBatch
from machnuoc.core import audit, jobs
from machnuoc.core.models import Person
from machnuoc.customers import privacy, visibility
from machnuoc.customers.models import DataAccess, Route

TASK = "billing.print_bills"
KEEP_DAYS = 7
MOST_BATCHES = 100  # of one request

audit.describe("billing.bills.printed", "cho in {count} hóa đơn thành tệp PDF")


class NothingToPrint(BillingError):
    """No bill fits what was asked for."""


def folder() -> Path:
    path: Path = settings.DATA_DIR / "prints"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def select(
    person: Person, *, month: date | None = None, run: BillingRun | None = None, route: Route | None = None,
    work_id: int | None = None,
) -> QuerySet[Bill]:  # fmt: skip
    """Return the live bills that the person may print, as they are handed out: by route and its order."""
    rows = Bill.objects.filter(visibility.within(person, "serve", prefix="connection__"), state=Bill.State.ISSUED)
    if run is not None:
        rows = rows.filter(run=run)
    if month is not None:
        rows = rows.filter(period_start_date=month)
    if route is not None:
        rows = rows.filter(connection__route=route)
    if work_id is not None:
        rows = rows.filter(connection__work_id=work_id)
    return rows.order_by("connection__route__code", "connection__route_order", "connection__code", "pk")


def order(bills: QuerySet[Bill], *, title: str, paper: str, by: Person, now: datetime) -> list[PrintBatch]:
    """Queue the printing of the bills in batches of a thousand. The look at names and addresses is logged.

    Raises NothingToPrint, bill_pdf.CannotPrint for an unknown paper.
    """
    if paper not in bill_pdf.PAPERS:
        raise bill_pdf.CannotPrint(f"Không có khổ giấy «{paper}». Chọn A5 hoặc A4.")
    most = bill_pdf.MOST_BILLS * MOST_BATCHES
    rows = list(bills.values_list("pk", "run_id", "is_simulated")[: most + 1])
    if not rows:
        raise NothingToPrint(f"Không có hóa đơn nào để in cho «{title}». Đổi kỳ, tuyến hoặc đợt rồi thử lại.")
    if len(rows) > most:
        raise NothingToPrint(f"«{title}» có hơn {most} hóa đơn. Chọn từng công trình hoặc từng tuyến.")
    size = bill_pdf.MOST_BILLS
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    made = []
    with transaction.atomic():
        for number, part in enumerate(parts, start=1):
            runs = {run_id for _, run_id, _ in part}
            batch = PrintBatch.objects.create(
                title=(f"{title} ({number}/{len(parts)})" if len(parts) > 1 else title)[:200],
                run_id=runs.pop() if len(runs) == 1 else None, bill_ids=[pk for pk, _, _ in part], paper=paper,
                made_at=now, made_by=by, is_simulated=any(is_simulated for _, _, is_simulated in part),
            )  # fmt: skip
            batch.job = jobs.enqueue(TASK, by=by, batch_id=batch.pk)
            batch.save(update_fields=["job"])
            made.append(batch)
        privacy.log_access(by, DataAccess.What.EXPORT, now=now, count=len(rows), purpose="In hóa đơn")
        audit.record("billing.bills.printed", actor=by, count=len(rows), batches=[batch.pk for batch in made])
    return made


def make(batch: PrintBatch) -> Path:
    """Typeset a batch into its file and return it; one that is there already stays. Raises bill_pdf.CannotPrint."""
    if batch.file_name and path_of(batch).exists():
        return path_of(batch)
    content = bill_pdf.render(batch.bill_ids, served=None, paper=batch.paper, is_tagged=False)
    handle, draft = tempfile.mkstemp(dir=folder(), prefix=".printing-")  # mode 600
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    name = f"{batch.pk}-{secrets.token_hex(8)}.pdf"
    Path(draft).replace(folder() / name)
    PrintBatch.objects.filter(pk=batch.pk).update(file_name=name, size_bytes=len(content), removed_at=None)
    batch.file_name, batch.size_bytes = name, len(content)
    return folder() / name


def path_of(batch: PrintBatch) -> Path:
    return folder() / batch.file_name


def prune(now: datetime, *, keep_days: int = KEEP_DAYS) -> int:
    """Remove files older than keep_days and return how many; the rows stay and say so."""
    old = PrintBatch.objects.filter(made_at__lt=now - timedelta(days=keep_days)).exclude(file_name="")
    count = 0
    for batch in old:
        path_of(batch).unlink(missing_ok=True)
        PrintBatch.objects.filter(pk=batch.pk).update(file_name="", removed_at=now)
        count += 1
    return count


def list_batches(person: Person) -> QuerySet[PrintBatch]:
    """Return the batches that the person asked for: nobody else's names and addresses."""
    return PrintBatch.objects.filter(made_by=person).select_related("job", "run")
