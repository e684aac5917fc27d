"""Sheets of readings: read a chunk at a time, so that a million rows need no more memory than a thousand.

The file is read twice: once to say what would become of each row, once to take it. What cannot be taken is counted,
told by cell (the first ones) and written into a file of the rejected rows; a whole import can be undone.
"""

import csv
import io
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any, BinaryIO

import openpyxl
import xlsxwriter
from django.db import transaction
from django.db.models import Q
from openpyxl.utils import get_column_letter

from machnuoc.core import audit, export, files, folding, jobs, vietnamese, workbooks
from machnuoc.core.models import Person, StoredFile
from machnuoc.customers import readings, visibility
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Connection, Reading, ReadingImport, Round
from machnuoc.customers.readings import Fate, Incoming
from machnuoc.indicators import sheets

audit.describe("customers.reading_import.taken", "nạp tệp chỉ số {target}: {count} dòng")
audit.describe("customers.reading_import.undone", "hoàn tác tệp chỉ số {target}: {count} chỉ số")

SHEET = "Chỉ số"
XLSX_MOST_ROWS = 50_000
CSV_MOST_ROWS = 1_100_000
LONG_BYTES = 300_000  # from here on a job reads the file, so that nobody waits before a blank page
_SHOWN = 200
_HEAD_WITHIN = 10
_MOST_COLUMNS = 40
_MOST_LOOKED_AT = 2_000  # held rows of one sheet that are compared with their neighbours
_SPACE = uuid.UUID("0f1c8a52-6d4a-5d2e-9a39-6f0d9a1f7c11")

TITLES: dict[str, tuple[str, ...]] = {
    "code": ("Mã đấu nối", "Mã ĐN", "Mã khách hàng", "Mã"),
    "index": ("Chỉ số (m³)", "Chỉ số mới", "Chỉ số", "CS mới"),
    "day": ("Ngày đọc", "Ngày ghi", "Ngày"),
    "reason": ("Lý do không đọc được", "Lý do"),
    "note": ("Ghi chú",),
}
_BY_TITLE = {
    " ".join(folding.fold(title).split()): name for name, titles in TITLES.items() for title in titles
}  # fmt: skip
_REASONS = {
    folding.fold(str(word)): value
    for value, label in Reading.NoAccess.choices
    if value
    for word in (value, label)
}  # fmt: skip


# --- the template


def template() -> bytes:
    """Return the workbook to fill in."""
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bg_color": "#DCEBF3", "border": 1})
    day = book.add_format({"num_format": "dd/mm/yyyy"})
    text = book.add_format({"num_format": "@"})
    wrap = book.add_format({"text_wrap": True, "valign": "top"})
    sheet = book.add_worksheet(SHEET)
    sheet.freeze_panes(1, 0)
    widths = {"code": (18, text), "index": (14, None), "day": (14, day), "reason": (26, None), "note": (30, None)}
    for position, (name, titles) in enumerate(TITLES.items()):
        width, form = widths[name]
        sheet.set_column(position, position, width, form)
        sheet.write_string(0, position, titles[0], bold)
    reasons = [str(label) for value, label in Reading.NoAccess.choices if value]
    sheet.data_validation(1, 3, XLSX_MOST_ROWS, 3, {"validate": "list", "source": reasons})
    guide = book.add_worksheet("Hướng dẫn")
    guide.set_column(0, 0, 26)
    guide.set_column(1, 1, 90, wrap)
    for number, (title, how) in enumerate(
        (
            ("Mã đấu nối", "Bắt buộc, đúng như trong hệ thống."),
            ("Chỉ số (m³)", "Số trên mặt đồng hồ; để trống nếu không đọc được và ghi lý do. 1.288 là một nghìn hai "
             "trăm tám mươi tám; phần lẻ sau dấu phẩy."),
            ("Ngày đọc", "Ngày/tháng/năm. Kỳ là tháng có ngày ghi của tuyến gần ngày đọc nhất, hoặc kỳ chọn khi tải."),
            ("Lý do không đọc được", f"Một trong: {', '.join(reasons)}."),
            ("Tệp lớn", f"Trên {vietnamese.format_number(XLSX_MOST_ROWS)} dòng: lưu dạng CSV (UTF-8), cùng các cột."),
        )
    ):  # fmt: skip
        guide.write_string(number, 0, title, bold)
        guide.write_string(number, 1, how)
    book.close()
    return file.getvalue()


# --- reading a file row by row


@dataclass(frozen=True)
class Row:
    """One row of a file. problems: (cell, what is wrong)."""

    number: int
    code: str
    incoming: Incoming | None
    problems: tuple[tuple[str, str], ...] = ()


@contextmanager
def _opened(batch: ReadingImport) -> Iterator[Iterator[tuple[int, list[Any]]]]:
    """Give (row number, cells) of the file, one at a time."""
    stored: StoredFile = batch.file
    with files.open_file(stored) as file:
        if stored.media_type == files.MEDIA_TYPES["csv"]:
            encoding = files.detect_csv_encoding(files.path_of(stored), batch.file_name)
            text = io.TextIOWrapper(file, encoding=encoding, newline="")
            head = text.readline()
            while head and not head.strip():
                head = text.readline()
            text.seek(0)
            yield enumerate(csv.reader(text, delimiter=max(";,\t", key=head.count)), start=1)
            return
        try:
            book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        except Exception as reason:
            raise CustomersError(
                f"Không đọc được tệp {batch.file_name}. Mở bằng phần mềm bảng tính, lưu lại dạng .xlsx rồi tải lên."
            ) from reason
        try:
            sheet = workbooks.find_sheet(book, SHEET)
            if sheet is None:
                raise CustomersError(f"Tệp {batch.file_name} không có trang tính nào. {workbooks.WITHOUT_CELLS}")
            sheet.reset_dimensions()
            yield (
                (number, list(cells))
                for number, cells in enumerate(sheet.iter_rows(max_col=_MOST_COLUMNS, values_only=True), start=1)
            )
        finally:
            book.close()


def _plain(cell: object) -> str:
    return " ".join(folding.fold(cell).split()).rstrip(" *") if isinstance(cell, str) else ""


def _find_head(rows: Iterator[tuple[int, list[Any]]], name: str) -> dict[str, int]:
    for _, cells in islice(rows, _HEAD_WITHIN):
        columns: dict[str, int] = {}
        for position, cell in enumerate(cells[:_MOST_COLUMNS]):
            known = _BY_TITLE.get(_plain(str(cell).lstrip("\ufeff")) if cell is not None else "")
            if known is not None and known not in columns:
                columns[known] = position
        if "code" in columns and "index" in columns:
            return columns
    raise CustomersError(
        f"Không tìm thấy cột «{TITLES['code'][0]}» và «{TITLES['index'][0]}» trong {_HEAD_WITHIN} dòng đầu của tệp "
        f"{name}. Tải tệp mẫu về, chép số sang rồi tải lên lại."
    )


def _chunks(batch: ReadingImport, person: Person, now: datetime) -> Iterator[list[Row]]:
    """Yield the rows of the file, so many at a time, each with its connection found or its problems."""
    most = CSV_MOST_ROWS if batch.file.media_type == files.MEDIA_TYPES["csv"] else XLSX_MOST_ROWS
    with _opened(batch) as rows:
        try:
            columns = _find_head(rows, batch.file_name)
            filled = ((number, cells) for number, cells in rows if any(cell not in (None, "") for cell in cells))
            count = 0
            while chunk := list(islice(filled, readings.CHUNK)):
                count += len(chunk)
                if count > most:
                    limit = vietnamese.format_number(most)
                    raise CustomersError(f"Tệp {batch.file_name} có hơn {limit} dòng. Chia nhỏ, hoặc lưu dạng CSV.")
                yield _understand(chunk, columns, batch, person, now)
        except csv.Error:
            raise CustomersError(
                f"Tệp {batch.file_name} không phải CSV hợp lệ. Xuất lại dạng CSV (UTF-8) rồi tải lên."
            ) from None


def _understand(
    chunk: list[tuple[int, list[Any]]], columns: dict[str, int], batch: ReadingImport, person: Person, now: datetime
) -> list[Row]:
    codes = {_text(cells, columns["code"]).upper() for _, cells in chunk}
    found = {
        code.upper(): pk
        for code, pk in visibility.list_connections(person, "read_meters")
        .filter(code__in=codes | {_text(cells, columns["code"]) for _, cells in chunk})
        .values_list("code", "pk")
    }
    return [_read_row(number, cells, columns, batch, found, now) for number, cells in chunk]


def _text(cells: list[Any], position: int) -> str:
    cell = cells[position] if position < len(cells) else None
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip()


def _read_row(
    number: int, cells: list[Any], columns: dict[str, int], batch: ReadingImport, found: dict[str, int], now: datetime
) -> Row:
    problems: list[tuple[str, str]] = []

    def wrong(name: str, text: str) -> None:
        problems.append((f"{get_column_letter(columns.get(name, columns['code']) + 1)}{number}", text))

    def raw(name: str) -> Any:
        position = columns.get(name)
        return cells[position] if position is not None and position < len(cells) else None

    code = _text(cells, columns["code"])[:40]
    pk = found.get(code.upper())
    if not code:
        wrong("code", "thiếu mã đấu nối.")
    elif pk is None:
        wrong("code", f"không có đấu nối “{code}” trong phạm vi ghi chỉ số của bạn.")
    index_l = None
    cell = raw("index")
    if cell not in (None, ""):
        try:
            index = vietnamese.parse_number(cell if not isinstance(cell, str) else cell.strip()[:30])
        except vietnamese.NotANumber as reason:
            index = None
            wrong("index", str(reason))
        except (TypeError, ValueError):
            index = None
            wrong("index", "không phải số.")
        if index is not None:
            if index < 0 or index >= Decimal(10) ** 9:
                wrong("index", f"chỉ số {index} không có trên đồng hồ nước.")
            else:
                index_l = int((index * 1000).to_integral_value())
    reason_text = _text(cells, columns["reason"]) if "reason" in columns else ""
    no_access = _REASONS.get(folding.fold(reason_text), "") if reason_text else ""
    if reason_text and not no_access:
        wrong("reason", f"không có lý do “{reason_text[:40]}”. Chọn trong danh sách của tệp mẫu.")
    if index_l is None and not no_access and not problems:
        wrong("index", "không có chỉ số, cũng không có lý do không đọc được.")
    day = raw("day")
    on_date = None
    try:
        on_date = vietnamese.parse_date(day.date() if isinstance(day, datetime) else day) if day else None
    except vietnamese.NotADate as reason:
        wrong("day", str(reason))
    if on_date is None and not any(cell.startswith("day") for cell, _ in problems):
        if batch.period_start_date is None:
            if not problems:
                wrong("day" if "day" in columns else "code", "thiếu ngày đọc.")
        else:
            on_date = _default_day(batch.period_start_date, now)
    if problems or pk is None or on_date is None:
        return Row(number, code, None, tuple(problems))
    incoming = Incoming(
        pk, min(readings.noon(on_date), now) if on_date <= now.date() else readings.noon(on_date), index_l,
        "" if index_l is not None else no_access, source=Reading.Source.SHEET,
        note=(_text(cells, columns["note"]) if "note" in columns else "")[:300],
        period_start_date=batch.period_start_date, batch_id=batch.pk,
        client_id=uuid.uuid5(_SPACE, f"{batch.pk}:{number}"),  # a row taken again after a kill is the same item
    )  # fmt: skip
    return Row(number, code, incoming)


def _default_day(period: date, now: datetime) -> date:
    from machnuoc.customers import plausibility

    return min(plausibility.reading_day(period, 20), now.date())


# --- taking


def receive(content: BinaryIO, *, name: str, period: date | None, by: Person, now: datetime) -> ReadingImport:
    """Keep an uploaded sheet and say what would become of its rows: at once, or in a job if it is long."""
    stored = files.store(content, name=name, by=by, kinds=frozenset({"xlsx", "csv"}))
    with transaction.atomic():
        batch = ReadingImport.objects.create(
            file=stored, file_name=files.clean_name(name)[:200], uploaded_by=by, uploaded_at=now,
            period_start_date=period,
        )  # fmt: skip
        if stored.size_bytes >= LONG_BYTES:
            batch.job = jobs.enqueue(
                "customers.reading_sheet", by=by, schedule=f"reading-sheet-{batch.pk}", batch_id=batch.pk, act="preview"
            )
            batch.save(update_fields=["job"])
    if batch.job is None:
        try:
            preview(batch, now=now)
        except CustomersError:
            batch.delete()
            raise
    return batch


@dataclass
class _Tally:
    counts: Counter[str]
    problems: list[list[Any]]
    flags: Counter[str]

    def add(self, row: Row, fate: str, reason: str = "", flags: Iterable[str] = ()) -> None:
        self.counts[fate] += 1
        self.flags.update(flags)
        if fate == Fate.REFUSED and len(self.problems) < _SHOWN:
            told = [list(one) for one in row.problems] or [["", reason]]
            self.problems.append([row.number, row.code, told])


def _run(batch: ReadingImport, *, now: datetime, dry: bool, progress: Any = None) -> tuple[_Tally, Any]:
    """Go through the file once. Returns the tally and the open file of rejected rows (None if dry)."""
    tally = _Tally(Counter(), [], Counter())
    rejected = None if dry else tempfile.TemporaryFile("w+", encoding="utf-8-sig", newline="")  # noqa: SIM115 – closed by whoever gets it
    writer = None
    if rejected is not None:
        writer = csv.writer(rejected)
        writer.writerow(["Dòng", "Mã đấu nối", "Lý do"])
    done = 0
    for chunk in _chunks(batch, batch.uploaded_by, now):
        good = [row for row in chunk if row.incoming is not None]
        outcomes = readings.take_many(
            [row.incoming for row in good if row.incoming is not None], person=batch.uploaded_by, now=now, dry=dry,
            audited=False,
        )  # fmt: skip
        by_number = {row.number: outcome for row, outcome in zip(good, outcomes, strict=True)}
        for row in chunk:
            outcome = by_number.get(row.number)
            if outcome is None:
                tally.add(row, Fate.REFUSED)
            else:
                tally.add(row, _fate(outcome, row), outcome.reason, outcome.flags)
            if writer is not None and (outcome is None or outcome.fate == Fate.REFUSED):
                told = "; ".join(f"{cell}: {text}" for cell, text in row.problems) or (
                    outcome.reason if outcome else ""
                )
                writer.writerow([row.number, export.neutralise(row.code), export.neutralise(told)])
        done += len(chunk)
        if progress is not None:
            progress(done)
        if not dry:
            batch.found = {**batch.found, "done": done}
            ReadingImport.objects.filter(pk=batch.pk).update(found=batch.found)
    return tally, rejected


def _fate(outcome: readings.Outcome, row: Row) -> str:
    """Return the fate of a row; of one that a try before a kill stored, what became of it then."""
    reading = outcome.reading
    is_own = row.incoming is not None and reading is not None and reading.client_id == row.incoming.client_id
    if outcome.fate != Fate.DUPLICATE or reading is None or not is_own:
        return outcome.fate
    return {
        Reading.State.ACCEPTED.value: Fate.STORED, Reading.State.SUSPECT.value: Fate.SUSPECT,
        Reading.State.CONFLICT.value: Fate.CONFLICT,
    }.get(str(reading.state), Fate.DUPLICATE)  # fmt: skip


def _keep_counts(batch: ReadingImport, tally: _Tally) -> None:
    counts = tally.counts
    batch.received = sum(counts.values())
    batch.stored, batch.suspect, batch.conflict = counts[Fate.STORED], counts[Fate.SUSPECT], counts[Fate.CONFLICT]
    batch.duplicate, batch.rejected = counts[Fate.DUPLICATE], counts[Fate.REFUSED]
    batch.found = {**batch.found, "problems": tally.problems, "flags": dict(tally.flags)}


def preview(batch: ReadingImport, *, now: datetime, progress: Any = None) -> ReadingImport:
    """Say what would become of each row; nothing is stored but the counts and the first problems."""
    tally, _ = _run(batch, now=now, dry=True, progress=progress)
    if not sum(tally.counts.values()):
        raise CustomersError(f"Tệp {batch.file_name} chỉ có tiêu đề, không có chỉ số nào. Điền rồi tải lên lại.")
    _keep_counts(batch, tally)
    batch.previewed_at = now
    batch.save()
    return batch


def begin(batch: ReadingImport, *, mode: str, by: Person, now: datetime) -> ReadingImport:
    """Take a previewed sheet: at once, or in a job if it is long. Raises CustomersError."""
    with transaction.atomic():
        batch = (
            ReadingImport.objects.select_for_update(of=("self",)).select_related("file", "uploaded_by").get(pk=batch.pk)
        )
        if mode not in ReadingImport.Mode.values:
            raise CustomersError("Chọn nạp tất cả, hoặc chỉ các dòng hợp lệ.")
        if batch.applied_at is not None or batch.mode:
            raise CustomersError(f"Tệp {batch.file_name} đã được nạp hoặc đang nạp. Tải lại trang.")
        if batch.previewed_at is None:
            raise CustomersError(f"Tệp {batch.file_name} chưa xem trước xong. Chờ một lát.")
        if mode == ReadingImport.Mode.ALL and batch.rejected:
            raise CustomersError(f"{batch.rejected} dòng còn lỗi. Sửa tệp, hoặc chọn chỉ nạp các dòng hợp lệ.")
        batch.mode = mode
        if batch.file.size_bytes >= LONG_BYTES:
            batch.job = jobs.enqueue(
                "customers.reading_sheet", by=by, schedule=f"reading-sheet-{batch.pk}", batch_id=batch.pk, act="apply"
            )
        batch.save(update_fields=["mode", "job"])
    if batch.file.size_bytes < LONG_BYTES:
        apply(batch, now=now)
    return batch


def apply(batch: ReadingImport, *, now: datetime, progress: Any = None) -> ReadingImport:
    """Take the rows of a sheet, a chunk in one transaction; after a kill the same call goes on.

    Rows that an earlier try stored are the same item and count as stored. In mode ALL a row that meanwhile cannot be
    taken undoes them all. Raises CustomersError.
    """
    if batch.applied_at is not None:
        raise CustomersError(f"Tệp {batch.file_name} đã được nạp.")
    tally, rejected = _run(batch, now=now, dry=False, progress=progress)
    try:
        if batch.mode == ReadingImport.Mode.ALL and tally.counts[Fate.REFUSED]:
            _take_back(batch, now=now, by=None)
            batch.mode = ""
            batch.save(update_fields=["mode"])
            raise CustomersError(
                f"{tally.counts[Fate.REFUSED]} dòng không còn nạp được vì số liệu vừa thay đổi; chưa dòng nào được "
                "nạp. Tải tệp lên lại để xem trước."
            )
        with transaction.atomic():
            _keep_counts(batch, tally)
            if tally.counts[Fate.REFUSED] and rejected is not None:
                rejected.flush()
                rejected.seek(0)
                kept = files.store(
                    rejected.buffer, name=f"dong-loi-{batch.pk}.csv", by=batch.uploaded_by, kinds=frozenset({"csv"})
                )
                batch.found["rejected_file"] = kept.pk
            batch.applied_at = now
            batch.save()
            audit.record(
                "customers.reading_import.taken", actor=batch.uploaded_by, target=batch, count=batch.received,
                stored=batch.stored, suspect=batch.suspect, conflict=batch.conflict, sha256=batch.file.sha256,
            )  # fmt: skip
    finally:
        if rejected is not None:
            rejected.close()
    held = Reading.objects.filter(batch=batch, state=Reading.State.SUSPECT).order_by("pk")
    readings.look_for_swapped(held[:_MOST_LOOKED_AT])
    return batch


def _take_back(batch: ReadingImport, *, now: datetime, by: Person | None) -> tuple[int, int]:
    """Put the readings of an import aside, a chunk in one transaction; return (taken back, kept).

    What stood for the month before comes back. Kept: readings of months that are closed, and what somebody judged.
    """
    kept_ids: set[int] = set()
    back = 0
    live = Reading.objects.filter(batch=batch).exclude(state__in=(Reading.State.REFUSED, Reading.State.SUPERSEDED))
    while True:
        with transaction.atomic():
            rows = list(live.exclude(pk__in=kept_ids).order_by("pk")[: readings.CHUNK])
            if not rows:
                return back, len(kept_ids)
            closed = set(
                Round.objects.filter(
                    state=Round.State.CLOSED, route__connections__in=[row.connection_id for row in rows],
                    period_start_date__in={row.period_start_date for row in rows},
                ).values_list("route__connections", "period_start_date")
            )  # fmt: skip
            going = []
            for row in rows:
                is_used = row.state == Reading.State.ACCEPTED and (
                    row.judged_at is not None or (row.connection_id, row.period_start_date) in closed
                )
                if is_used:
                    kept_ids.add(row.pk)
                else:
                    going.append(row)
            ids = [row.pk for row in going]
            Reading.objects.filter(pk__in=ids).update(
                state=Reading.State.REFUSED, judged_at=now, judged_by=by, judged_note="Hoàn tác nạp tệp."
            )
            came_before = Reading.objects.filter(superseded_by__in=ids, state=Reading.State.SUPERSEDED)
            came_before.filter(Q(judged_note="Có chỉ số mới thay.") | Q(kind=Reading.Kind.ESTIMATED)).update(
                state=Reading.State.ACCEPTED, superseded_by=None, judged_by=None, judged_at=None, judged_note=""
            )
            back += len(ids)


def undo(batch: ReadingImport, *, by: Person, now: datetime) -> tuple[int, int]:
    """Undo a whole import; return (readings taken back, readings kept). Raises CustomersError."""
    with transaction.atomic():
        batch = ReadingImport.objects.select_for_update().get(pk=batch.pk)
        if batch.applied_at is None or batch.undone_at is not None:
            raise CustomersError(f"Tệp {batch.file_name} chưa nạp, hoặc đã hoàn tác.")
        batch.undone_at, batch.undone_by = now, by
        batch.save(update_fields=["undone_at", "undone_by"])
    back, kept = _take_back(batch, now=now, by=by)
    audit.record("customers.reading_import.undone", actor=by, target=batch, count=back, kept=kept)
    return back, kept


def list_batches(person: Person) -> Any:
    return ReadingImport.objects.filter(uploaded_by=person).select_related("job")


def connection_count(person: Person) -> int:
    """Return how many connections the person may read (up to a thousand and one), to say so on the page."""
    rows: Any = Connection.objects.filter(visibility.within(person, "read_meters"))
    return int(rows[:1_001].count())


sheets.register_template("readings", template)
