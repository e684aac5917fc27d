"""Entry forms as sheets: the template to fill in, the reading of what comes back, its import and its undoing.

A sheet never writes figures: it fills the drafts of the organisations that hold its rows, through `entry`, and these
are sent and approved like typed ones.
"""

import csv
import io
import re
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, BinaryIO
from xml.parsers.expat import ExpatError, ParserCreate  # core.files has refused document types already

import openpyxl
import xlsxwriter
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.module_loading import autodiscover_modules
from openpyxl.cell.read_only import EMPTY_CELL
from openpyxl.utils import get_column_letter, range_boundaries
from openpyxl.utils.exceptions import InvalidFileException

from machnuoc.core import audit, export, files, folding, vietnamese, workbooks
from machnuoc.core.models import Person, StoredFile
from machnuoc.core.periods import Period, local_date
from machnuoc.indicators import entry, entry_queries, operations
from machnuoc.indicators.entry import Written
from machnuoc.indicators.entry_queries import CellKey, GridCell
from machnuoc.indicators.models import (
    EntryForm,
    EntryFormLine,
    ImportBatch,
    LateException,
    Metric,
    Submission,
    SubmissionLine,
)
from machnuoc.places import access
from machnuoc.places.models import Organisation, Subject

KINDS = frozenset({"xlsx", "csv"})
SHEET = "Số liệu"
GUIDE = "Hướng dẫn"
KEY_TITLE = "Mã (không sửa)"
NAME_TITLE = "Tên"
NOTE_TITLE = "Ghi chú"
MAX_ROWS = 20_000
_MAX_COLUMNS = 60
_HEAD_WITHIN = 10  # rows from the top in which the head may stand
_KEY_TITLES = {folding.fold(title) for title in (KEY_TITLE, "Mã", "Khóa", "Key")}
_FORM_LABEL, _PERIOD_LABEL = "Mã biểu", "Mã kỳ"
_SHOWN_MERGES = 5
_MOST_MERGES = 1_000


class SheetError(ValueError):
    """A file that cannot be taken as a whole, or an import that cannot be done; the text says why and what to do."""


# --- templates ------------------------------------------------------------------------------------------------------


_templates: dict[str, Callable[[], bytes]] = {}


def register_template(name: str, make: Callable[[], bytes]) -> None:
    """Let `machnuoc template` write a workbook of another room, from that room's `sheets.py`."""
    _templates[name] = make


@cache
def _discover() -> None:
    autodiscover_modules("sheets")


def list_templates() -> list[str]:
    """Return the names that template_bytes knows: the keys of the entry forms, and what other rooms registered."""
    _discover()
    return sorted([*EntryForm.objects.values_list("key", flat=True), *_templates])


def template_bytes(name: str) -> bytes:
    """Return the xlsx template of this name, for the last whole period of the form. Raises SheetError."""
    _discover()
    if name in _templates:
        return _templates[name]()
    form = EntryForm.objects.filter(key=name).first()
    if form is None:
        raise SheetError(f"Không có biểu mẫu «{name}». Các biểu mẫu: {', '.join(list_templates()) or 'chưa có'}.")
    today = timezone.localdate()
    return template(form, None, Period.containing(today, form.period_kind).previous)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _TemplateRow:
    subject: Subject
    numbers: dict[int, Decimal]
    note: str = ""


def template(
    form: EntryForm, organisation: Organisation | None, period: Period, *, person: Person | None = None
) -> bytes:
    """Return a workbook to fill in: the subjects of one organisation, or of all (that the person may enter, if given).

    One organisation's sheet comes with what its draft holds. Keys and names are locked, figures are validated.
    """
    lines = list(EntryFormLine.objects.filter(form=form).select_related("metric"))
    rows = _template_rows(form, organisation, period, person)
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bg_color": "#DCEBF3", "border": 1})
    free = book.add_format({"locked": False, "border": 1, "border_color": "#C8D2D8"})
    sheet = book.add_worksheet(SHEET)
    sheet.freeze_panes(1, 2)
    sheet.set_column(0, 0, 30, None, {"hidden": True})
    sheet.set_column(1, 1, 38)
    sheet.set_column(2, len(lines) + 1, 18)
    sheet.set_column(len(lines) + 2, len(lines) + 2, 40)
    for position, title in enumerate(_titles(lines)):
        sheet.write_string(0, position, title, bold)
    formats = {
        line.metric_id: book.add_format(
            {
                "locked": False,
                "border": 1,
                "border_color": "#C8D2D8",
                "num_format": "#,##0" + ("." + "0" * line.metric.decimals if line.metric.decimals else ""),
            }
        )
        for line in lines
    }
    for number, row in enumerate(rows, start=1):
        sheet.write_string(number, 0, row.subject.key)
        sheet.write_string(number, 1, row.subject.name)
        for position, line in enumerate(lines, start=2):
            stated = row.numbers.get(line.metric_id)
            if stated is None:
                sheet.write_blank(number, position, None, formats[line.metric_id])
            else:
                sheet.write_number(number, position, float(stated), formats[line.metric_id])
        sheet.write_string(number, len(lines) + 2, row.note, free)
    for position, line in enumerate(lines, start=2):
        sheet.data_validation(1, position, max(1, len(rows)), position, _validation(line.metric))
    sheet.protect("", {"format_columns": True, "format_rows": True, "sort": True, "autofilter": True})
    guide = book.add_worksheet(GUIDE)
    guide.set_column(0, 0, 26)
    guide.set_column(1, 1, 100, book.add_format({"text_wrap": True, "valign": "top"}))
    for number, (label, text) in enumerate(_guide(form, organisation, period, lines)):
        guide.write_string(number, 0, label, bold)
        guide.write_string(number, 1, text)
    guide.protect()
    book.close()
    return file.getvalue()


def template_csv(
    form: EntryForm, organisation: Organisation | None, period: Period, *, person: Person | None = None
) -> bytes:
    """Return the same rows as text: semicolons between cells, as spreadsheets set to Vietnamese expect."""
    lines = list(EntryFormLine.objects.filter(form=form).select_related("metric"))
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=";")
    writer.writerow(_titles(lines))
    for row in _template_rows(form, organisation, period, person):
        numbers = [row.numbers.get(line.metric_id) for line in lines]
        shown = ["" if number is None else vietnamese.format_number(number) for number in numbers]
        writer.writerow([row.subject.key, export.neutralise(row.subject.name), *shown, export.neutralise(row.note)])
    return out.getvalue().encode("utf-8-sig")


def _titles(lines: Sequence[EntryFormLine]) -> list[str]:
    return [KEY_TITLE, NAME_TITLE, *(column_title(line.metric) for line in lines), NOTE_TITLE]


def column_title(metric: Metric) -> str:
    return entry_queries.GridColumn(metric, True).title


def _template_rows(
    form: EntryForm, organisation: Organisation | None, period: Period, person: Person | None
) -> list[_TemplateRow]:
    organisations = [organisation] if organisation is not None else _list_organisations(form, person)
    rows = []
    for holder in organisations:
        stored: dict[int, dict[int, Decimal]] = defaultdict(dict)
        notes: dict[int, str] = {}
        if organisation is not None:
            held = SubmissionLine.objects.filter(
                submission__form=form, submission__organisation=holder, submission__period_start=period.start_date
            ).select_related("metric")
            for line in held:
                notes[line.subject_id] = notes.get(line.subject_id) or line.note
                if line.number is not None:
                    stored[line.subject_id][line.metric_id] = Decimal(line.number).scaleb(-line.metric.decimals)
        rows += [
            _TemplateRow(subject, stored[subject.pk], notes.get(subject.pk, ""))
            for subject in entry_queries.list_held_subjects(form, holder)
            if entry_queries.is_in_force(subject, period)
        ]
    return rows


def _list_organisations(form: EntryForm, person: Person | None) -> list[Organisation]:
    organisations = form.organisations.select_related("subject").order_by("subject__name", "pk")
    if person is not None:
        organisations = organisations.filter(pk__in=access.visible_subject_ids(person, "enter", form.field))
    return list(organisations)


def _validation(metric: Metric) -> dict[str, Any]:
    low = float(metric.minimum) if metric.minimum is not None else -1e15
    high = float(metric.maximum) if metric.maximum is not None else 1e15
    limits = entry.describe_limits(metric)
    return {
        "validate": "decimal" if metric.decimals else "integer",
        "criteria": "between",
        "minimum": low,
        "maximum": high,
        "ignore_blank": True,
        "error_title": "Số chưa đúng"[:32],
        "error_message": f"{metric.short_name}: {'số' if metric.decimals else 'số nguyên'} {limits}".strip()[:255],
    }


def _guide(
    form: EntryForm, organisation: Organisation | None, period: Period, lines: Sequence[EntryFormLine]
) -> list[tuple[str, str]]:
    due = entry_queries.due_date(form, period)
    rows = [
        ("Biểu", form.name),
        (_FORM_LABEL, form.key),
        ("Kỳ", period.label_vi),
        (_PERIOD_LABEL, period.key),
        ("Đơn vị", str(organisation) if organisation else "Mọi đơn vị bạn được nhập"),
        ("Hạn nộp", vietnamese.format_date(due)),
        ("Khóa từ ngày", vietnamese.format_date(entry_queries.lock_date(form, period))),
        (
            "Cách nhập",
            f"Nhập số vào trang «{SHEET}». Không sửa cột mã (đang ẩn) và cột tên, không gộp ô, không đặt công thức.",
        ),
        ("Ô trống", "Ô trống là chưa có số liệu, không phải số 0. Khi nhập tệp, ô trống giữ nguyên số đang có."),
        (NOTE_TITLE, "Ghi vì sao thiếu số hoặc vì sao số thay đổi nhiều. Ghi chú áp dụng cho các ô của dòng."),
    ]
    for line in lines:
        metric = line.metric
        needed = "bắt buộc" if line.is_required else "không bắt buộc"
        form_of = f"số có tối đa {metric.decimals} chữ số thập phân" if metric.decimals else "số nguyên"
        parts = [needed, form_of, entry.describe_limits(metric), metric.definition]
        rows.append((column_title(metric), "; ".join(part for part in parts if part)))
    return rows


# --- reading a file -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Formula:
    """A cell that computes; its last result is not trusted."""


@dataclass(frozen=True)
class Broken:
    """A cell that shows an error such as #N/A."""

    text: str


@dataclass
class Table:
    """A sheet as read. rows: (number as the spreadsheet counts, cells), empty rows left out."""

    name: str
    rows: list[tuple[int, list[Any]]]
    merged: list[str] = field(default_factory=list)
    hidden_rows: set[int] = field(default_factory=set)
    about: dict[str, str] = field(default_factory=dict)


def read_table(stored: StoredFile, name: str, sheet: str = SHEET) -> Table:
    """Return the rows of a stored sheet: of the one so called, or the only one. Raises SheetError."""
    with files.open_file(stored) as file:
        if stored.media_type == files.MEDIA_TYPES["csv"]:
            encoding = files.detect_csv_encoding(files.path_of(stored), name)
            return _read_csv(io.TextIOWrapper(file, encoding=encoding, newline=""), name)
        return _read_workbook(file, name, sheet)


def _read_csv(text: io.TextIOBase, name: str) -> Table:
    head = text.readline()
    while head and not head.strip():
        head = text.readline()
    text.seek(0)
    delimiter = max(";,\t", key=head.count)
    rows: list[tuple[int, list[Any]]] = []
    try:
        for number, cells in enumerate(csv.reader(text, delimiter=delimiter, strict=False), start=1):
            _add_row(rows, number, [_csv_cell(cell) for cell in cells[:_MAX_COLUMNS]], name)
    except csv.Error:
        raise SheetError(f"Tệp {name} không phải văn bản CSV hợp lệ. Xuất lại dạng CSV (UTF-8) rồi tải lên.") from None
    return Table("", rows)


def _csv_cell(text: str) -> Any:
    stripped = text.strip()
    if stripped.startswith("="):
        return Formula()
    if re.fullmatch(r"#(N/A|REF!|VALUE!|DIV/0!|NAME\?|NUM!|NULL!)", stripped):
        return Broken(stripped)
    return stripped or None


def _add_row(rows: list[tuple[int, list[Any]]], number: int, cells: list[Any], name: str) -> None:
    if all(cell is None or cell == "" for cell in cells):
        return
    if len(rows) > MAX_ROWS:
        limit = vietnamese.format_number(MAX_ROWS)
        raise SheetError(f"Tệp {name} có hơn {limit} dòng. Chia thành nhiều tệp rồi nhập lần lượt.")
    rows.append((number, cells))


# What openpyxl and the parsers below it raise on parts that do not hold what they should.
_UNREADABLE = (
    LookupError, ValueError, TypeError, AttributeError, ArithmeticError, SyntaxError, EOFError, NotImplementedError,
    ExpatError, zlib.error, zipfile.BadZipFile, InvalidFileException,
)  # fmt: skip


def _read_workbook(file: BinaryIO, name: str, wanted: str) -> Table:
    broken = SheetError(f"Không đọc được tệp {name}. Mở bằng phần mềm bảng tính, lưu lại dạng .xlsx rồi tải lên.")
    try:
        book = openpyxl.load_workbook(file, read_only=True, data_only=False, keep_links=False)
        try:
            sheets = {sheet.title: sheet for sheet in book.worksheets}
            sheet = _choose_sheet(sheets, name, wanted)
            sheet.reset_dimensions()  # what the file says of its size may be wrong
            table = Table(sheet.title, [])
            gap: Any = None
            for number, cells in enumerate(sheet.iter_rows(max_col=_MAX_COLUMNS), start=1):
                if number > export.SHEET_MAX_ROWS:
                    raise SheetError(
                        f"Tệp {name} có dòng nằm ngoài giới hạn của trang tính. Chép số sang tệp mẫu rồi tải lên."
                    )
                if cells is gap:  # rows that the file leaves out all come as one and the same tuple
                    continue
                gap = cells if all(cell is EMPTY_CELL for cell in cells) else None
                _add_row(table.rows, number, [_xlsx_cell(cell) for cell in cells], name)
            if GUIDE in sheets:
                for label, text in sheets[GUIDE].iter_rows(max_col=2, max_row=30, values_only=True):
                    table.about[str(label)] = str(text)
            _read_layout(file, sheet._worksheet_path, table)
        finally:
            book.close()
    except SheetError:
        raise
    except _UNREADABLE:
        raise broken from None
    return table


def _choose_sheet(sheets: dict[str, Any], name: str, wanted: str) -> Any:
    if wanted in sheets:
        return sheets[wanted]
    if len(sheets) == 1:
        return next(iter(sheets.values()))
    if not sheets:
        raise SheetError(f"Không đọc được tệp {name}: không có trang tính nào. {workbooks.WITHOUT_CELLS}")
    there = ", ".join(f"«{title}»" for title in list(sheets)[:8])
    raise SheetError(
        f"Tệp {name} không có trang «{wanted}» (có: {there}). "
        f"Đổi tên trang chứa số liệu thành «{wanted}», hoặc dùng tệp mẫu."
    )


def _xlsx_cell(cell: Any) -> Any:
    if cell.value is None:
        return None
    if cell.data_type == "f":
        return Formula()
    if cell.data_type == "e":
        return Broken(str(cell.value))
    if isinstance(cell.value, str):
        return cell.value.strip() or None
    return cell.value


def _read_layout(file: BinaryIO, part: str, table: Table) -> None:
    """Add what the fast reader leaves out: merged ranges and hidden rows."""
    parser = ParserCreate(namespace_separator=" ")

    def start(tag: str, attributes: dict[str, str]) -> None:
        local = tag.rpartition(" ")[2]
        if local == "mergeCell" and "ref" in attributes:
            table.merged.append(attributes["ref"])
            if len(table.merged) > _MOST_MERGES:
                limit = vietnamese.format_number(_MOST_MERGES)
                raise SheetError(f"Trang «{table.name}» có hơn {limit} vùng ô gộp. Bỏ gộp tất cả rồi tải lên lại.")
        elif local == "row" and attributes.get("hidden") in {"1", "true"} and "r" in attributes:
            table.hidden_rows.add(int(attributes["r"]))

    parser.StartElementHandler = start
    file.seek(0)
    with zipfile.ZipFile(file) as package, package.open(part.lstrip("/")) as sheet:
        parser.ParseFile(sheet)


# --- understanding it -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """What is wrong with one cell: «Ô D7: “1,288.5” không phải số nguyên»."""

    cell: str
    text: str

    def __str__(self) -> str:
        return f"Ô {self.cell}: {self.text}"


@dataclass
class Row:
    """One row of the file. subject and organisation are None where the key does not lead to any."""

    number: int
    shown_name: str
    subject: Subject | None = None
    organisation: Organisation | None = None
    cells: dict[int, Written] = field(default_factory=dict)  # by metric id
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    is_unchanged: bool = False

    @property
    def is_good(self) -> bool:
        return not self.problems


@dataclass
class Preview:
    """What an import would do. hints: remarks on the file as a whole."""

    rows: list[Row]
    hints: list[str]
    metrics: list[Metric]

    @property
    def rejected(self) -> list[Row]:
        return [row for row in self.rows if not row.is_good]

    @property
    def storable(self) -> list[Row]:
        return [row for row in self.rows if row.is_good and not row.is_unchanged]

    @property
    def skipped(self) -> list[Row]:
        return [row for row in self.rows if row.is_good and row.is_unchanged]


@dataclass
class _Scope:
    """What the person may enter in the form and period, and how it stands."""

    subjects: dict[str, tuple[Subject, Organisation]]
    refusals: dict[int, str]  # organisation id → why its sheet takes nothing now
    held: dict[CellKey, SubmissionLine]
    previous: dict[CellKey, Decimal]


def _read_scope(form: EntryForm, period: Period, metrics: list[Metric], by: Person, now: datetime) -> _Scope:
    today = local_date(now)
    submissions = {
        row.organisation_id: row for row in Submission.objects.filter(form=form, period_start=period.start_date)
    }
    leaves = set(
        LateException.objects.filter(form=form, period_start=period.start_date, until_date__gte=today).values_list(
            "organisation_id", flat=True
        )
    )
    scope = _Scope({}, {}, {}, entry_queries.read_facts(metrics, period.previous, None))
    closed = today >= entry_queries.lock_date(form, period)
    for organisation in _list_organisations(form, by):
        for subject in entry_queries.list_held_subjects(form, organisation):
            scope.subjects[subject.key] = (subject, organisation)
        submission = submissions.get(organisation.pk)
        if submission is not None and submission.status not in {"DRAFT", "RETURNED"}:
            state = submission.get_status_display().lower()
            scope.refusals[organisation.pk] = (
                f"biểu {period.label_inside_vi} của «{organisation}» {state}, không nhận thêm số. "
                "Rút lại hoặc đề nghị mở lại trước."
            )
        elif closed and organisation.pk not in leaves:
            try:
                entry.require_unlocked(form, organisation, period, today)
            except entry.Locked as reason:
                scope.refusals[organisation.pk] = str(reason)
    lines = SubmissionLine.objects.filter(
        submission__form=form, submission__period_start=period.start_date, submission__in=submissions.values()
    )
    scope.held = {(line.metric_id, line.subject_id): line for line in lines}
    return scope


def understand(stored: StoredFile, name: str, form: EntryForm, period: Period, by: Person, now: datetime) -> Preview:
    """Return what each row of the file says, with its errors by cell. Raises SheetError if the whole file is wrong."""
    if period.kind != form.period_kind:
        raise SheetError(
            f"«{form.name}» nhập theo {form.get_period_kind_display().lower()}; kỳ «{period.label_vi}» không hợp. "
            "Chọn lại kỳ."
        )
    if period.start_date > local_date(now):
        raise SheetError(f"{period.label_vi} chưa bắt đầu. Chọn kỳ hiện tại hoặc kỳ trước.")
    table = read_table(stored, name)
    _check_about(table, form, period, name)
    lines = list(EntryFormLine.objects.filter(form=form).select_related("metric"))
    head, columns, note_at, hints = _find_columns(table, lines, name)
    body = [(number, cells) for number, cells in table.rows if number > head]
    if not body:
        raise SheetError(f"Tệp {name} chỉ có tiêu đề, không có dòng số liệu nào. Điền số rồi tải lên lại.")
    metrics = [line.metric for line in lines]
    scope = _read_scope(form, period, metrics, by, now)
    if not scope.subjects:
        raise SheetError(f"Bạn không có đối tượng nào để nhập trong «{form.name}». Chọn biểu khác.")
    if scope.refusals and {o.pk for _, o in scope.subjects.values()} <= scope.refusals.keys():
        raise SheetError(_capitalised(next(iter(scope.refusals.values()))))
    rows = _read_rows(body, columns, note_at, scope, period, lines)
    _reject_merged(table, rows, hints, name, head)
    hidden = sorted(row.number for row in rows if row.number in table.hidden_rows)
    if hidden:
        shown = ", ".join(str(number) for number in hidden[:10]) + ("…" if len(hidden) > 10 else "")
        hints.append(f"{len(hidden)} dòng đang ẩn trong tệp vẫn được đọc: dòng {shown}.")
    return Preview(rows, hints, metrics)


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _check_about(table: Table, form: EntryForm, period: Period, name: str) -> None:
    stated_form, stated_period = table.about.get(_FORM_LABEL), table.about.get(_PERIOD_LABEL)
    if stated_form not in {None, form.key}:
        raise SheetError(
            f"Tệp {name} là mẫu của biểu khác («{stated_form}»), không phải «{form.name}». Chọn lại tệp hoặc biểu."
        )
    if stated_period not in {None, period.key}:
        raise SheetError(
            f"Tệp {name} là mẫu của kỳ {stated_period}, không phải {period.label_vi}. Chọn lại tệp hoặc kỳ."
        )


def _plain(cell: object) -> str:
    return " ".join(folding.fold(cell).split()).rstrip(" *") if isinstance(cell, str) else ""


def _find_columns(
    table: Table, lines: Sequence[EntryFormLine], name: str
) -> tuple[int, dict[int, Metric | None], int | None, list[str]]:
    """Return the head's row, the columns (position → metric; None is the key), the note's position, and hints."""
    heads = [row for row in table.rows[:_HEAD_WITHIN] if any(_plain(cell) in _KEY_TITLES for cell in row[1])]
    if not heads:
        where = f"trang «{table.name}»" if table.name else "tệp"
        raise SheetError(
            f"Không tìm thấy dòng tiêu đề có cột «{KEY_TITLE}» trong {_HEAD_WITHIN} dòng đầu của {where} ({name}). "
            "Kiểm tra đúng trang, hoặc tải tệp mẫu về và chép số sang."
        )
    number, cells = heads[0]
    titles = [_plain(cell) for cell in cells]
    columns: dict[int, Metric | None] = {}
    note_at = None
    unknown = []
    by_title: dict[str, Metric] = {}
    for line in lines:
        metric = line.metric
        for title in (metric.key, metric.name, metric.short_name, column_title(metric)):
            by_title.setdefault(_plain(title), metric)
    for position, title in enumerate(titles):
        if title in _KEY_TITLES and None not in columns.values():
            columns[position] = None
        elif title in by_title:
            if by_title[title] in columns.values():
                raise SheetError(
                    f"Ô {_cell_name(position, number)}: cột «{cells[position]}» có hai lần. Xóa bớt một cột."
                )
            columns[position] = by_title[title]
        elif title == _plain(NOTE_TITLE):
            note_at = position
        elif title and title != _plain(NAME_TITLE):
            unknown.append(str(cells[position])[:40])
    present = {metric.pk for metric in columns.values() if metric is not None}
    missing = [column_title(line.metric) for line in lines if line.is_required and line.metric_id not in present]
    if missing or not present:
        raise SheetError(
            f"Tệp {name} thiếu cột {', '.join(f'«{title}»' for title in missing) or 'số liệu'}. "
            "Thêm cột với đúng tiêu đề, hoặc tải tệp mẫu về và chép số sang."
        )
    hints = [f"Bỏ qua cột không thuộc biểu: {', '.join(f'«{title}»' for title in unknown[:8])}."] if unknown else []
    return number, columns, note_at, hints


def _cell_name(position: int, number: int) -> str:
    return f"{get_column_letter(position + 1)}{number}"


def _read_rows(
    body: list[tuple[int, list[Any]]],
    columns: dict[int, Metric | None],
    note_at: int | None,
    scope: _Scope,
    period: Period,
    lines: Sequence[EntryFormLine],
) -> list[Row]:
    key_at = next(position for position, metric in columns.items() if metric is None)
    metric_at = {position: metric for position, metric in columns.items() if metric is not None}
    required = {line.metric_id for line in lines if line.is_required}
    metrics = {line.metric_id: line.metric for line in lines}
    numbers = {
        position: vietnamese.parse_column(
            [None if isinstance(cell, Formula | Broken) else cell for cell in _column(body, position)],
            integer=metric.decimals == 0,
        )
        for position, metric in metric_at.items()
    }
    first_at: dict[str, int] = {}
    repeated = {key for key, count in Counter(_text(cell) for cell in _column(body, key_at)).items() if count > 1}
    rows = []
    for index, (number, cells) in enumerate(body):
        key = _text(_at(cells, key_at))
        row = Row(number, key)
        rows.append(row)
        _find_subject(row, key, _cell_name(key_at, number), scope, period)
        if key and key in repeated:
            first = first_at.setdefault(key, number)
            where = f"đã có ở dòng {first}" if first != number else "có nhiều dòng"
            row.problems.append(Problem(_cell_name(key_at, number), f"mã “{_cut(key)}” {where}. Giữ lại một dòng."))
        note = _text(_at(cells, note_at)) if note_at is not None else ""
        for position, metric in metric_at.items():
            _read_figure(
                row, _at(cells, position), numbers[position][index], metric, _cell_name(position, number), note, scope
            )
        if row.subject is not None and note:
            for metric_id in required - row.cells.keys():
                line = scope.held.get((metric_id, row.subject.pk))
                if line is None or line.number is None:
                    row.cells[metric_id] = Written(None, note, import_cell=_cell_name(note_at or 0, number))
        row.is_unchanged = all(_is_held(scope, row, metrics[metric_id], cell) for metric_id, cell in row.cells.items())
    return rows


def _at(cells: list[Any], position: int) -> Any:
    return cells[position] if position < len(cells) else None


def _column(body: list[tuple[int, list[Any]]], position: int) -> Iterator[Any]:
    return (_at(cells, position) for _, cells in body)


def _text(cell: object) -> str:
    if cell is None or isinstance(cell, Formula | Broken):
        return ""
    return " ".join(str(cell).split())


def _cut(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "…"


def _find_subject(row: Row, key: str, cell_name: str, scope: _Scope, period: Period) -> None:
    found = scope.subjects.get(key)
    if found is None:
        # The same words whether the key is nobody's or somebody else's: a sheet must not tell what exists.
        text = f"mã “{_cut(key)}” không có trong danh sách bạn được nhập" if key else "thiếu mã của đối tượng"
        row.problems.append(Problem(cell_name, f"{text}. Tải tệp mẫu để lấy đúng mã."))
        return
    row.subject, row.organisation = found
    row.shown_name = row.subject.name
    if not entry_queries.is_in_force(row.subject, period):
        row.problems.append(Problem(cell_name, entry_queries.why_not_in_force(row.subject, period)))
    if row.organisation.pk in scope.refusals:
        row.problems.append(Problem(cell_name, scope.refusals[row.organisation.pk]))


def _read_figure(
    row: Row,
    cell: Any,
    number: Decimal | vietnamese.NotANumber | None,
    metric: Metric,
    cell_name: str,
    note: str,
    scope: _Scope,
) -> None:
    if isinstance(cell, Formula):
        row.problems.append(
            Problem(cell_name, "là công thức. Chép rồi dán dạng giá trị (Paste Values) trước khi tải lên.")
        )
        return
    if isinstance(cell, Broken):
        row.problems.append(Problem(cell_name, f"đang báo lỗi {cell.text}. Sửa ô hoặc để trống."))
        return
    if isinstance(cell, date):
        shown = vietnamese.format_cell(cell)
        row.problems.append(
            Problem(cell_name, f"“{shown}” là ngày, không phải số. Định dạng lại ô thành số rồi nhập lại.")
        )
        return
    if isinstance(number, vietnamese.NotANumber):
        row.problems.append(Problem(cell_name, str(number)))
        return
    if number is None or row.subject is None:
        return
    key = (metric.pk, row.subject.pk)
    grid_cell = GridCell(metric, row.subject, True, number=number, previous=scope.previous.get(key))
    line = scope.held.get(key)
    try:
        written = entry.check_written(
            grid_cell, Written(number, note or (line.note if line else ""), import_cell=cell_name)
        )
    except (entry.EntryError, operations.IndicatorsError) as reason:
        row.problems.append(Problem(cell_name, str(reason)))
        return
    row.cells[metric.pk] = written
    row.warnings += entry_queries.list_warnings(grid_cell)


def _is_held(scope: _Scope, row: Row, metric: Metric, written: Written) -> bool:
    line = scope.held.get((metric.pk, row.subject.pk)) if row.subject else None
    if line is None:
        return False
    wanted = None if written.number is None else operations.scale(written.number, metric)
    return line.number == wanted and line.note == written.note


def _reject_merged(table: Table, rows: list[Row], hints: list[str], name: str, head: int) -> None:
    """Reject the rows that a merged range touches; a merged head makes the columns doubtful, so the file is refused."""
    by_number = {row.number: row for row in rows}
    for ref in table.merged:
        _, first, _, last = range_boundaries(ref)
        if first <= head <= last:
            raise SheetError(f"Tệp {name} có ô gộp {ref} ở dòng tiêu đề. Bỏ gộp ô (Unmerge) rồi tải lên lại.")
        for number in range(first, min(last, first + MAX_ROWS) + 1):
            if number in by_number:
                by_number[number].problems.append(Problem(ref, "là ô gộp. Bỏ gộp ô rồi nhập số cho từng dòng."))
    if len(table.merged) > _SHOWN_MERGES:
        hints.append(f"Tệp có {len(table.merged)} vùng ô gộp. Bỏ gộp tất cả rồi tải lên lại.")


# --- importing ------------------------------------------------------------------------------------------------------


def receive(
    content: BinaryIO | bytes, *, name: str, form: EntryForm, period: Period, by: Person, now: datetime
) -> ImportBatch:
    """Keep an uploaded sheet, ready to be looked at and taken. Nothing is written to any submission yet.

    Raises files.RefusedFile, SheetError (the file as a whole is wrong), PermissionDenied.
    """
    access.require(by, "enter", None, form.field)
    stored = files.store(content, name=name, by=by, kinds=KINDS)
    shown = files.clean_name(name)
    understand(stored, shown, form, period, by, now)
    return ImportBatch.objects.create(
        form=form, period_start=period.start_date, file=stored, file_name=shown, uploaded_by=by, uploaded_at=now
    )


def period_of(batch: ImportBatch) -> Period:
    return Period(batch.form.period_kind, batch.period_start)  # type: ignore[arg-type]


def preview(batch: ImportBatch, *, by: Person, now: datetime) -> Preview:
    """Return what taking the sheet would do now. Raises SheetError."""
    return understand(batch.file, batch.file_name, batch.form, period_of(batch), by, now)


def apply(batch: ImportBatch, *, mode: str, by: Person, now: datetime) -> ImportBatch:
    """Take the sheet's good rows into the drafts of the organisations that hold them; all of it or nothing.

    mode: ALL refuses if any row is bad, GOOD leaves the bad ones out. Raises SheetError, entry.EntryError.
    """
    # Read outside of the transaction: a large file must not keep other writers waiting.
    found = preview(batch, by=by, now=now)
    if mode == ImportBatch.Mode.ALL and found.rejected:
        raise SheetError(
            f"Không nhập dòng nào: {len(found.rejected)} dòng của tệp {batch.file_name} còn lỗi. "
            "Sửa tệp rồi tải lên lại, hoặc chọn chỉ nhập các dòng hợp lệ."
        )
    if not found.storable:
        raise SheetError(f"Tệp {batch.file_name} không có dòng nào mới để nhập.")
    with transaction.atomic():
        batch = ImportBatch.objects.select_for_update(of=("self",)).select_related("form", "file").get(pk=batch.pk)
        if batch.applied_at is not None:
            raise SheetError(f"Tệp {batch.file_name} đã được nhập lúc {vietnamese.format_datetime(batch.applied_at)}.")
        by_organisation: dict[int, list[Row]] = defaultdict(list)
        for row in found.storable:
            if row.organisation is not None:
                by_organisation[row.organisation.pk].append(row)
        previous: list[list[Any]] = []
        # In one order everywhere: two imports at once must not wait for each other in a circle.
        for _, rows in sorted(by_organisation.items()):
            previous += _apply_to(batch, rows, by=by, now=now)
        batch.mode = mode
        batch.applied_at = now
        batch.received, batch.stored = len(found.rows), len(found.storable)
        batch.skipped, batch.rejected = len(found.skipped), len(found.rejected)
        batch.previous_cells = previous
        batch.save()
        audit.record(
            "indicators.import.applied", actor=by, target=batch, count=batch.stored, form=batch.form.key,
            rejected=batch.rejected, sha256=batch.file.sha256,
        )  # fmt: skip
    return batch


def _apply_to(batch: ImportBatch, rows: Sequence[Row], *, by: Person, now: datetime) -> list[list[Any]]:
    """Write the rows of one organisation and return its former cells, as undo reads them."""
    organisation = rows[0].organisation
    assert organisation is not None  # noqa: S101 (grouped by it)
    period = period_of(batch)
    opened = entry.open_submission(batch.form, organisation, period, by, now)
    submission = entry.lock_to_write(opened, by=by, now=now)
    before = entry_queries.list_cells(submission).cells()
    cells: dict[CellKey, Written] = {}
    for row in rows:
        for metric_id, written in row.cells.items():
            key = (metric_id, row.subject.pk if row.subject else 0)
            if key not in before:
                raise SheetError("Danh sách đối tượng vừa thay đổi. Mở lại trang xem trước rồi nhập lại.")
            cells[key] = Written(
                written.number,
                written.note,
                import_batch_id=batch.pk,
                import_cell=f"{SHEET}!{written.import_cell}"[:40],
            )
    lines = {(line.metric_id, line.subject_id): line for line in submission.lines.all()}
    former = []
    for key, written in cells.items():
        line, metric = lines.get(key), before[key].metric
        wrote = None if written.number is None else operations.scale(written.number, metric)
        old = (
            [None, "", False, False, None, ""]
            if line is None
            else [line.number, line.note, line.is_estimated, line.is_confirmed, line.import_batch_id, line.import_cell]
        )
        former.append([submission.pk, *key, wrote, *old])
    count = f"nhập {len(rows)} dòng từ tệp {_cut(batch.file_name)}"
    entry.write_cells(submission, before, cells, by=by, now=now, what="imported", prefix=count)
    return former


@transaction.atomic
def undo(batch: ImportBatch, *, by: Person, now: datetime) -> tuple[int, int]:
    """Give back what the sheet's cells held before, and return (cells restored, cells kept as edited since).

    Raises SheetError if it was not taken, is undone already, or if one of its submissions was sent since; then nothing
    changes. Raises entry.Locked, PermissionDenied.
    """
    batch = ImportBatch.objects.select_for_update(of=("self",)).select_related("form", "file").get(pk=batch.pk)
    if batch.applied_at is None or batch.undone_at is not None:
        state = "chưa được nhập" if batch.applied_at is None else "đã được hoàn tác"
        raise SheetError(f"Tệp {batch.file_name} {state}, nên không hoàn tác được.")
    by_submission: dict[int, list[list[Any]]] = defaultdict(list)
    for row in batch.previous_cells:
        by_submission[row[0]].append(row)
    restored = kept = 0
    for submission_id, rows in sorted(by_submission.items()):
        submission = Submission.objects.get(pk=submission_id)
        submission = entry.lock_to_write(submission, by=by, now=now, unsent_since=batch.applied_at)
        before = entry_queries.list_cells(submission).cells()
        cells = {}
        for _, metric_id, subject_id, wrote, number, note, is_estimated, is_confirmed, batch_id, cell_name in rows:
            cell = before.get((metric_id, subject_id))
            held = None if cell is None or cell.number is None else operations.scale(cell.number, cell.metric)
            if cell is None or held != wrote:
                kept += 1
                continue
            value = None if number is None else Decimal(number).scaleb(-cell.metric.decimals)
            cells[cell.key] = Written(value, note, is_estimated, is_confirmed, batch_id, cell_name)
        restored += len(cells)
        entry.write_cells(
            submission, before, cells, by=by, now=now, what="undone", prefix=f"hoàn tác tệp {_cut(batch.file_name)}"
        )
    batch.undone_at, batch.undone_by = now, by
    batch.save(update_fields=["undone_at", "undone_by"])
    audit.record("indicators.import.undone", actor=by, target=batch, count=restored, kept=kept)
    return restored, kept


def list_batches(person: Person) -> QuerySet[ImportBatch]:
    """Return the imports that the person made, the newest first."""
    return ImportBatch.objects.filter(uploaded_by=person).select_related("form", "uploaded_by")


audit.describe("indicators.import.applied", "nhập tệp {target}: {count} dòng, {rejected} dòng bị loại")
audit.describe("indicators.import.undone", "hoàn tác nhập tệp {target}: {count} ô")
