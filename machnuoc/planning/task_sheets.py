"""Tasks as a sheet: the template to fill in, the reading of what comes back, its import in bulk and its undoing."""

import hashlib
import io
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from typing import Any, BinaryIO

import xlsxwriter
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.text import slugify
from openpyxl.utils import get_column_letter, range_boundaries

from machnuoc.core import audit, files, folding, vietnamese
from machnuoc.core.models import Person, StoredFile
from machnuoc.indicators import sheets
from machnuoc.indicators.sheets import Problem, SheetError
from machnuoc.places import access
from machnuoc.places.models import Organisation, Subject
from machnuoc.planning import task_operations, task_search, visibility
from machnuoc.planning.models import Plan, Task, TaskImport, TaskUnit

SHEET = "Nhiệm vụ"
UNITS = "Đơn vị"
GUIDE = "Hướng dẫn"
LONG_ROWS = 2_000  # from here on a job takes the sheet, so that nobody waits before a blank page
_HEAD_WITHIN = 10
_AT_ONCE = 1_000
_SHOWN_PROBLEMS = 200
_SHOWN_ROWS = 20
_KEY = re.compile(r"[a-z0-9][a-z0-9.\-]{0,79}")
_QUOTED = re.compile(r"[«\"“](.+)[»\"”]")

# Name of the column → its titles (the first is written, all are read), how it is filled in.
COLUMNS: dict[str, tuple[tuple[str, ...], int, str]] = {
    "key": (
        ("Mã nhiệm vụ", "Mã", "Key"), 24,
        "Chữ thường không dấu, số, dấu chấm, gạch nối. Để trống: hệ thống tự đặt. Mã đã có: cập nhật nhiệm vụ đó.",
    ),
    "number": (("Số", "STT", "TT"), 8, "Số thứ tự như in trong văn bản, không bắt buộc."),
    "section": (("Mục",), 20, "Mục của văn bản, ví dụ «Phụ lục 2, dòng 3»."),
    "content": (("Nội dung nhiệm vụ", "Nội dung"), 60, "Bắt buộc."),
    "leads": (
        ("Đơn vị chủ trì", "Đơn vị chủ trì tham mưu", "Chủ trì"), 36,
        f"Mã hoặc tên trong trang «{UNITS}», cách nhau bằng dấu chấm phẩy. "
        "Đơn vị chưa có trong hệ thống: đặt trong ngoặc «…» để giữ nguyên như in.",
    ),
    "cooperating": (("Đơn vị phối hợp", "Cơ quan/Đơn vị phối hợp", "Phối hợp"), 36, "Như cột đơn vị chủ trì."),
    "timing": (
        ("Thời gian", "Loại thời gian"), 16, f"Một trong: {', '.join(str(one) for one in Task.Timing.labels)}.",
    ),
    "timing_as_printed": (("Thời gian như in", "Thời gian thực hiện"), 20, "Chữ trong văn bản, không bắt buộc."),
    "starts_on": (("Bắt đầu", "Từ ngày"), 13, "Ngày/tháng/năm, ví dụ 01/03/2026."),
    "due_on": (("Hạn", "Hạn hoàn thành"), 13, "Ngày cuối cùng còn được tính. «Trước ngày 15/11» là 14/11."),
    "product": (("Sản phẩm, kết quả", "Sản phẩm/kết quả", "Sản phẩm"), 40, "Không bắt buộc."),
}  # fmt: skip
_LONGEST = {"number": 20, "section": 160, "timing_as_printed": 200, "content": 4_000, "product": 4_000}
_FIELDS = ("number", "section", "content", "timing", "timing_as_printed", "starts_on", "due_on", "product")


# --- the template


def template(person: Person | None = None) -> bytes:
    """Return the workbook to fill in, with the organisations that the person may name (all without a person)."""
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bg_color": "#DCEBF3", "border": 1})
    wrap = book.add_format({"text_wrap": True, "valign": "top"})
    day = book.add_format({"num_format": "dd/mm/yyyy", "valign": "top"})
    sheet = book.add_worksheet(SHEET)
    sheet.freeze_panes(1, 0)
    for position, (name, (titles, width, _)) in enumerate(COLUMNS.items()):
        sheet.set_column(position, position, width, day if name in {"starts_on", "due_on"} else wrap)
        sheet.write_string(0, position, f"{titles[0]} *" if name == "content" else titles[0], bold)
        if name == "timing":
            labels = [str(one) for one in Task.Timing.labels]
            sheet.data_validation(1, position, sheets.MAX_ROWS, position, {"validate": "list", "source": labels})
    units = book.add_worksheet(UNITS)
    units.set_column(0, 0, 34)
    units.set_column(1, 1, 70)
    units.write_row(0, 0, ["Mã đơn vị", "Tên đơn vị"], bold)
    for number, (key, name) in enumerate(_list_units(person), start=1):
        units.write_string(number, 0, key)
        units.write_string(number, 1, name)
    guide = book.add_worksheet(GUIDE)
    guide.set_column(0, 0, 26)
    guide.set_column(1, 1, 100, wrap)
    guide.write_row(0, 0, ["Cách nhập", f"Mỗi dòng của trang «{SHEET}» là một nhiệm vụ. Không gộp ô, không công thức."])
    for number, (titles, _, how) in enumerate(COLUMNS.values(), start=1):
        guide.write_string(number, 0, titles[0], bold)
        guide.write_string(number, 1, how)
    book.close()
    return file.getvalue()


def _organisations(person: Person | None) -> QuerySet[Organisation]:
    """Return the organisations that the person may give tasks to: in its scope, or above it."""
    rows = Organisation.objects.filter(subject__valid_to__isnull=True)
    return rows if person is None else rows.filter(visibility.readable(person, "pk"))


def _list_units(person: Person | None) -> list[tuple[str, str]]:
    return list(_organisations(person).order_by("subject__name").values_list("subject__key", "subject__name"))


# --- understanding a sheet


@dataclass
class Row:
    """One row of the file. said: the fields of a task. units: (role, organisation id or None, printed name)."""

    number: int
    key: str = ""
    said: dict[str, Any] = field(default_factory=dict)
    units: list[tuple[str, int | None, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    existing: Task | None = None
    is_unchanged: bool = False


@dataclass
class Preview:
    """What an import would do. hints: remarks on the file as a whole."""

    rows: list[Row]
    hints: list[str]

    @property
    def rejected(self) -> list[Row]:
        return [row for row in self.rows if row.problems]

    @property
    def storable(self) -> list[Row]:
        return [row for row in self.rows if not row.problems and not row.is_unchanged]

    @property
    def skipped(self) -> list[Row]:
        return [row for row in self.rows if not row.problems and row.is_unchanged]


def understand(stored: StoredFile, name: str, *, plan: Plan, by: Person) -> Preview:
    """Return what each row of the file says, with its errors by cell. Raises SheetError if the whole file is wrong."""
    table = sheets.read_table(stored, name, SHEET)
    head, columns, hints = _find_columns(table, name)
    body = [(number, cells) for number, cells in table.rows if number > head]
    if not body:
        raise SheetError(f"Tệp {name} chỉ có tiêu đề, không có nhiệm vụ nào. Điền nhiệm vụ rồi tải lên lại.")
    names = _Names(by)
    rows = [_read_row(number, cells, columns, plan, names) for number, cells in body]
    _refuse_repeated(rows, columns)
    _find_existing(rows, columns, plan)
    merged = _merged_rows(table)
    for row in rows:
        if row.number in merged:
            row.problems.append(Problem(merged[row.number], "là ô gộp. Bỏ gộp ô rồi nhập từng dòng."))
    return Preview(rows, hints)


def _merged_rows(table: sheets.Table) -> dict[int, str]:
    found: dict[int, str] = {}
    for ref in table.merged:
        _, first, _, last = range_boundaries(ref)
        found |= dict.fromkeys(range(first, min(last, first + sheets.MAX_ROWS) + 1), ref)
    return found


def _plain(cell: object) -> str:
    return " ".join(folding.fold(cell).split()).rstrip(" *") if isinstance(cell, str) else ""


_TITLES = {_plain(title): name for name, (titles, _, _) in COLUMNS.items() for title in titles}


def _find_columns(table: sheets.Table, name: str) -> tuple[int, dict[str, int], list[str]]:
    """Return the number of the head's row, where each column stands, and remarks."""
    for number, cells in islice(table.rows, _HEAD_WITHIN):
        columns: dict[str, int] = {}
        unknown = []
        for position, cell in enumerate(cells):
            known = _TITLES.get(_plain(cell))
            if known in columns:
                raise SheetError(f"Ô {_cell(position, number)}: cột «{cell}» có hai lần. Xóa bớt một cột.")
            if known is not None:
                columns[known] = position
            elif isinstance(cell, str):
                unknown.append(cell[:40])
        if "content" in columns:
            ignored = ", ".join(f"«{title}»" for title in unknown[:8])
            return number, columns, [f"Bỏ qua cột không dùng: {ignored}."] if unknown else []
    raise SheetError(
        f"Không tìm thấy cột «{COLUMNS['content'][0][0]}» trong {_HEAD_WITHIN} dòng đầu của tệp {name}. "
        "Tải tệp mẫu về, chép nhiệm vụ sang rồi tải lên lại."
    )


def _cell(position: int, number: int) -> str:
    return f"{get_column_letter(position + 1)}{number}"


class _Names:
    """Finds organisations by key or name, as the person may name them."""

    def __init__(self, by: Person) -> None:
        self.by_key: dict[str, int] = {}
        self.by_name: dict[str, int | None] = {}
        for pk, key, name in _organisations(by).values_list("pk", "subject__key", "subject__name"):
            self.by_key[key] = pk
            folded = folding.fold(name)
            self.by_name[folded] = None if folded in self.by_name else pk  # None: two are called so

    def read(self, text: str) -> tuple[int | None, str]:
        """Return (organisation id or None, printed name). Raises ValueError with what is wrong."""
        if quoted := _QUOTED.fullmatch(text):
            return None, quoted[1].strip()[:200]
        if text in self.by_key:
            return self.by_key[text], ""
        folded = folding.fold(text)
        found = self.by_name.get(folded)
        if found is not None:
            return found, "" if len(text) > 200 else text
        if folded in self.by_name:
            raise ValueError(f"có nhiều đơn vị tên “{_cut(text)}”; ghi mã trong trang «{UNITS}»")
        raise ValueError(
            f"không tìm thấy đơn vị “{_cut(text)}”; ghi mã hoặc tên trong trang «{UNITS}», "
            "hoặc đặt trong ngoặc «…» để giữ như in"
        )


def _cut(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "…"


_TIMINGS = {
    folding.fold(str(word)): value for value, label in Task.Timing.choices for word in (value, label)
}  # fmt: skip


def _read_row(number: int, cells: list[Any], columns: dict[str, int], plan: Plan, names: _Names) -> Row:
    row = Row(number)

    def wrong(name: str, text: str) -> None:
        row.problems.append(Problem(_cell(columns[name], number), text))

    def cell_of(name: str) -> Any:
        position = columns.get(name)
        cell = cells[position] if position is not None and position < len(cells) else None
        if isinstance(cell, sheets.Formula):
            wrong(name, "là công thức. Chép rồi dán dạng giá trị (Paste Values) trước khi tải lên.")
            return None
        if isinstance(cell, sheets.Broken):
            wrong(name, f"đang báo lỗi {cell.text}. Sửa ô hoặc để trống.")
            return None
        return cell

    def text_of(name: str) -> str:
        cell = cell_of(name)
        text = "" if cell is None else vietnamese.format_cell(cell) if isinstance(cell, date) else str(cell).strip()
        if isinstance(cell, float) and cell.is_integer():
            text = str(int(cell))
        longest = _LONGEST.get(name)
        if longest is not None and len(text) > longest:
            wrong(name, f"dài {len(text)} ký tự, tối đa {longest}. Rút gọn lại.")
            return ""
        return text

    def day_of(name: str) -> date | None:
        cell = cell_of(name)
        if cell is None:
            return None
        try:
            return vietnamese.parse_date(cell)
        except vietnamese.NotADate as reason:
            wrong(name, str(reason))
            return None

    for name in ("number", "section", "content", "timing_as_printed", "product"):
        row.said[name] = text_of(name)
    if not row.said["content"] and not row.problems:
        wrong("content", "thiếu nội dung nhiệm vụ. Nhập nội dung, hoặc xóa cả dòng.")
    row.said["starts_on"], row.said["due_on"] = day_of("starts_on"), day_of("due_on")
    timing = text_of("timing")
    row.said["timing"] = _TIMINGS.get(folding.fold(timing), "") if timing else ""
    if timing and not row.said["timing"]:
        wrong("timing", f"không có loại thời gian “{_cut(timing)}”. {COLUMNS['timing'][2]}")
    if not timing:
        row.said["timing"] = Task.Timing.BY_DATE if row.said["due_on"] else Task.Timing.UNSTATED
    if row.said["timing"] == Task.Timing.BY_DATE and row.said["due_on"] is None and not row.problems:
        wrong("due_on" if "due_on" in columns else "timing", "ghi «trước ngày» nhưng chưa có hạn. Nhập ngày hạn.")
    starts_on, due_on = row.said["starts_on"], row.said["due_on"]
    if starts_on and due_on and starts_on > due_on:
        wrong("starts_on", "ngày bắt đầu sau hạn. Sửa một trong hai ngày.")
    for name, role in (("leads", TaskUnit.Role.LEAD), ("cooperating", TaskUnit.Role.COOPERATE)):
        for text in filter(None, (part.strip() for part in text_of(name).split(";"))):
            try:
                organisation_id, printed = names.read(text)
            except ValueError as reason:
                wrong(name, f"{reason}.")
                continue
            taken = [unit for unit in row.units if unit[0] == role and unit[1] == organisation_id]
            if organisation_id is not None and taken:
                wrong(name, f"đơn vị “{_cut(text)}” ghi hai lần. Bỏ bớt một lần.")
            else:
                row.units.append((str(role), organisation_id, printed))
    row.key = text_of("key")
    if row.key and not _KEY.fullmatch(row.key):
        wrong("key", f"mã “{_cut(row.key)}” chỉ được gồm chữ thường không dấu, số, dấu chấm và gạch nối.")
    elif not row.key:
        row.key = _make_key(plan, row)
    return row


def _make_key(plan: Plan, row: Row) -> str:
    """Return a key that the same row gets again, so that a sheet taken twice does not double its tasks."""
    words = "|".join([row.said["number"], row.said["section"], folding.fold(row.said["content"])])
    number = slugify(folding.fold(row.said["number"]))[:12]
    digest = hashlib.sha256(words.encode()).hexdigest()[:10]
    return f"{plan.key}.{f'{number}-' if number else ''}{digest}"[:80]


def _refuse_repeated(rows: list[Row], columns: dict[str, int]) -> None:
    counts = Counter(row.key for row in rows)
    first: dict[str, int] = {}
    at = columns.get("key", columns["content"])
    for row in rows:
        if counts[row.key] > 1:
            where = first.setdefault(row.key, row.number)
            if where != row.number:
                what = f"mã “{_cut(row.key)}”" if "key" in columns else "nhiệm vụ này"
                row.problems.append(Problem(_cell(at, row.number), f"{what} đã có ở dòng {where}. Giữ lại một dòng."))


def _find_existing(rows: list[Row], columns: dict[str, int], plan: Plan) -> None:
    """Tie the rows to the tasks that have their keys: of this plan to be changed, of another an error."""
    there: dict[str, Task] = {}
    for start in range(0, len(rows), _AT_ONCE):
        keys = [row.key for row in rows[start : start + _AT_ONCE]]
        there |= {task.key: task for task in Task.objects.filter(key__in=keys)}
    units = _read_units([task.pk for task in there.values()])
    at = columns.get("key", columns["content"])
    for row in rows:
        task = there.get(row.key)
        if task is None:
            continue
        if task.plan_id != plan.pk:
            row.problems.append(
                Problem(_cell(at, row.number), f"mã “{_cut(row.key)}” không dùng được ở kế hoạch này. Chọn mã khác.")
            )
            continue
        row.existing = task
        same = all(getattr(task, name) == row.said[name] for name in _FIELDS)
        held = sorted((one.role, one.organisation_id or 0, one.name_as_printed) for one in units[task.pk])
        row.is_unchanged = same and held == sorted((role, pk or 0, printed) for role, pk, printed in row.units)


def _read_units(task_ids: Sequence[int]) -> dict[int, list[TaskUnit]]:
    found: dict[int, list[TaskUnit]] = defaultdict(list)
    for start in range(0, len(task_ids), _AT_ONCE):
        for unit in TaskUnit.objects.filter(task__in=task_ids[start : start + _AT_ONCE]):
            found[unit.task_id].append(unit)
    return found


# --- receiving, taking, undoing


def receive(
    content: BinaryIO | bytes, *, name: str, plan: Plan, subject: Subject, by: Person, now: datetime
) -> TaskImport:
    """Keep an uploaded sheet with what it was seen to hold, ready to be looked at and taken. No task is written yet.

    subject: of the tasks that it makes. Raises files.RefusedFile, SheetError, PermissionDenied.
    """
    access.require(by, "manage", subject)
    stored = files.store(content, name=name, by=by, kinds=sheets.KINDS)
    shown = files.clean_name(name)
    found = understand(stored, shown, plan=plan, by=by)
    return TaskImport.objects.create(
        plan=plan, subject=subject, file=stored, file_name=shown, uploaded_by=by, uploaded_at=now,
        received=len(found.rows), stored=len(found.storable), skipped=len(found.skipped), rejected=len(found.rejected),
        found=_summary(found),
    )  # fmt: skip


def _day_text(day: date | None) -> str:
    return vietnamese.format_date(day) if day else ""


def _summary(found: Preview) -> dict[str, Any]:
    """Return what the page of the import shows, so that the file need not be read again to be looked at."""
    problems = [
        [row.number, _cut(row.said.get("content", "")), [[problem.cell, problem.text] for problem in row.problems]]
        for row in found.rejected[:_SHOWN_PROBLEMS]
    ]
    good = [
        [row.number, row.said["content"][:200], _day_text(row.said["due_on"]), "sửa" if row.existing else "thêm"]
        for row in found.storable[:_SHOWN_ROWS]
    ]
    return {"hints": found.hints, "problems": problems, "good": good,
            "changed": sum(row.existing is not None for row in found.storable)}  # fmt: skip


def apply(batch: TaskImport, *, mode: str, by: Person, now: datetime) -> TaskImport:
    """Take the sheet's good rows as tasks of its plan, in bulk; all of it or nothing.

    mode: ALL refuses if any row is bad, GOOD leaves the bad ones out. Raises SheetError, PermissionDenied.
    """
    access.require(by, "manage", batch.subject_id)
    # Read outside of the transaction: a large file must not keep other writers waiting.
    found = understand(batch.file, batch.file_name, plan=batch.plan, by=by)
    if mode == TaskImport.Mode.ALL and found.rejected:
        raise SheetError(
            f"Không nhập dòng nào: {len(found.rejected)} dòng của tệp {batch.file_name} còn lỗi. "
            "Sửa tệp rồi tải lên lại, hoặc chọn chỉ nhập các dòng hợp lệ."
        )
    if not found.storable:
        raise SheetError(f"Tệp {batch.file_name} không có dòng nào mới để nhập.")
    with transaction.atomic():
        batch = TaskImport.objects.select_for_update(of=("self",)).select_related("plan", "subject", "file").get(
            pk=batch.pk
        )  # fmt: skip
        if batch.applied_at is not None:
            raise SheetError(f"Tệp {batch.file_name} đã được nhập lúc {vietnamese.format_datetime(batch.applied_at)}.")
        fresh = [row for row in found.storable if row.existing is None]
        changed = [row for row in found.storable if row.existing is not None]
        before = _add(batch, fresh) + _change(batch, changed, by)
        batch.mode, batch.applied_at, batch.before, batch.found = mode, now, before, _summary(found)
        batch.received, batch.stored = len(found.rows), len(found.storable)
        batch.skipped, batch.rejected = len(found.skipped), len(found.rejected)
        batch.save()
        audit.record(
            "planning.tasks.imported", actor=by, target=batch, count=batch.stored, plan=batch.plan.key,
            rejected=batch.rejected, sha256=batch.file.sha256,
        )  # fmt: skip
    return batch


def _add(batch: TaskImport, rows: list[Row]) -> list[list[Any]]:
    last = Task.objects.filter(plan=batch.plan).order_by("-order").values_list("order", flat=True).first() or 0
    tasks = Task.objects.bulk_create(
        [
            Task(
                key=row.key, plan=batch.plan, subject=batch.subject, order=last + place, import_batch=batch, **row.said
            )
            for place, row in enumerate(rows, start=1)
        ],
        batch_size=_AT_ONCE,
    )
    TaskUnit.objects.bulk_create(
        [
            TaskUnit(task=task, role=role, organisation_id=pk, name_as_printed=printed)
            for task, row in zip(tasks, rows, strict=True)
            for role, pk, printed in row.units
        ],
        batch_size=_AT_ONCE,
    )
    task_search.put_tasks(tasks)
    return [["+", task.pk] for task in tasks]


def _change(batch: TaskImport, rows: list[Row], by: Person) -> list[list[Any]]:
    """Write the rows over the tasks that are there; return how those were: ["~", id, version after, fields, units]."""
    ids = [row.existing.pk for row in rows if row.existing is not None]
    tasks: dict[int, Task] = {}
    for start in range(0, len(ids), _AT_ONCE):
        tasks |= {task.pk: task for task in Task.objects.select_for_update(of=("self",)).filter(
            pk__in=ids[start : start + _AT_ONCE]
        )}  # fmt: skip
    managed = set(
        access.visible_subject_ids(by, "manage").filter(descendant_id__in={task.subject_id for task in tasks.values()})
    )
    units = _read_units(ids)
    before: list[list[Any]] = []
    for row in rows:
        task = tasks.get(row.existing.pk) if row.existing else None
        if task is None or row.existing is None or task.version != row.existing.version:
            raise SheetError("Nhiệm vụ vừa được người khác sửa. Mở lại trang xem trước rồi nhập lại.")
        if task.subject_id not in managed:
            raise SheetError(f"Bạn không quản lý nhiệm vụ có mã «{task.key}». Bỏ dòng {row.number} rồi tải lên lại.")
        held = units[task.pk]
        image = {name: _as_text(getattr(task, name)) for name in _FIELDS} | {"batch": task.import_batch_id}
        before.append([
            "~", task.pk, task.version + 1, image,
            [[one.role, one.organisation_id, one.name_as_printed] for one in held],
        ])  # fmt: skip
        for name in _FIELDS:
            setattr(task, name, row.said[name])
        task.version += 1
        task.import_batch = batch
        if sorted((one.role, one.organisation_id or 0, one.name_as_printed) for one in held) != sorted(
            (role, pk or 0, printed) for role, pk, printed in row.units
        ):
            task_operations.set_units(task, row.units)
    written = list(tasks.values())
    fields = [*_FIELDS, "version", "import_batch", "state", "share_pct"]
    Task.objects.bulk_update(written, fields, batch_size=200)
    task_search.put_tasks(written)
    return before


def _as_text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


@transaction.atomic
def undo(batch: TaskImport, *, by: Person, now: datetime) -> tuple[int, int, int]:
    """Remove the tasks that the sheet made and give back what it changed: (removed, restored, kept).

    What people have worked on since (edited, reported, commented, handed over, met about) is kept as it is.
    Raises SheetError if it was not taken or is undone already; PermissionDenied.
    """
    access.require(by, "manage", batch.subject_id)
    batch = TaskImport.objects.select_for_update(of=("self",)).get(pk=batch.pk)
    if batch.applied_at is None or batch.undone_at is not None:
        state = "chưa được nhập" if batch.applied_at is None else "đã được hoàn tác"
        raise SheetError(f"Tệp {batch.file_name} {state}, nên không hoàn tác được.")
    made = [entry[1] for entry in batch.before if entry[0] == "+"]
    untouched: list[int] = []
    for start in range(0, len(made), _AT_ONCE):
        rows = Task.objects.filter(pk__in=made[start : start + _AT_ONCE], version=1, import_batch=batch)
        worked_on = (
            Q(progress__isnull=False) | Q(comments__isnull=False) | Q(handovers__isnull=False)
            | Q(meetings__isnull=False) | Q(campaigns__isnull=False)
        )  # fmt: skip
        untouched += rows.exclude(worked_on).values_list("pk", flat=True)
    for start in range(0, len(untouched), _AT_ONCE):
        Task.objects.filter(pk__in=untouched[start : start + _AT_ONCE]).delete()
    task_search.remove_tasks(untouched)
    restored = _restore(batch, [entry for entry in batch.before if entry[0] == "~"])
    batch.undone_at, batch.undone_by = now, by
    batch.save(update_fields=["undone_at", "undone_by"])
    kept = len(batch.before) - len(untouched) - restored
    audit.record("planning.tasks.import_undone", actor=by, target=batch, count=len(untouched) + restored, kept=kept)
    return len(untouched), restored, kept


def _restore(batch: TaskImport, changed: list[list[Any]]) -> int:
    there: dict[int, Task] = {}
    for start in range(0, len(changed), _AT_ONCE):
        ids = [entry[1] for entry in changed[start : start + _AT_ONCE]]
        there |= {task.pk: task for task in Task.objects.filter(pk__in=ids, import_batch=batch)}
    restored = []
    for _, pk, version, image, units in changed:
        task = there.get(pk)
        if task is None or task.version != version:
            continue
        for name in _FIELDS:
            value = image[name]
            setattr(task, name, date.fromisoformat(value) if name in {"starts_on", "due_on"} and value else value)
        task.version += 1
        task.import_batch_id = image["batch"]
        task_operations.set_units(task, [(role, organisation_id, printed) for role, organisation_id, printed in units])
        restored.append(task)
    fields = [*_FIELDS, "version", "import_batch", "state", "share_pct"]
    Task.objects.bulk_update(restored, fields, batch_size=200)
    task_search.put_tasks(restored)
    return len(restored)


def list_batches(person: Person) -> QuerySet[TaskImport]:
    """Return the imports that the person made, the newest first."""
    return TaskImport.objects.filter(uploaded_by=person).select_related("plan")


audit.describe("planning.tasks.imported", "nhập tệp nhiệm vụ {target}: {count} nhiệm vụ, {rejected} dòng bị loại")
audit.describe("planning.tasks.import_undone", "hoàn tác nhập tệp nhiệm vụ {target}: {count} nhiệm vụ")
sheets.register_template("tasks", template)
