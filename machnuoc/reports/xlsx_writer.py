"""The tables of a document as a workbook: one sheet a table, numbers as numbers, band names as text."""

import io
from datetime import UTC, datetime
from typing import Any

import xlsxwriter

from machnuoc.reports import layout
from machnuoc.reports.layout import OfficialDocument, Table
from machnuoc.reports.wordml import printable

_FILLS = {"good": "#DDF0E0", "info": "#E3EDF7", "warning": "#FFF1CC", "danger": "#F8D3CC"}
_FORBIDDEN = str.maketrans(dict.fromkeys("[]:*?/\\'", " "))
_CREATED = datetime(2020, 1, 1, tzinfo=UTC).replace(tzinfo=None)  # the same document gives the same bytes


def write(document: OfficialDocument) -> bytes:
    """Return the .xlsx; a document without tables gives one sheet that says so."""
    raw = io.BytesIO()
    book = xlsxwriter.Workbook(raw, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    book.set_properties(
        {
            "title": printable(document.header.subject), "author": printable(document.header.issuing_body),
            "created": _CREATED,
        }
    )  # fmt: skip
    styles = _Styles(book)
    used: set[str] = set()
    titles = {
        table.key: annex.title
        for annex in document.annexes
        for table in annex.blocks
        if isinstance(table, Table) and not table.title
    }
    for table in document.list_tables():
        sheet = book.add_worksheet(_sheet_name(table.title or titles.get(table.key, table.key), used))
        _write_table(sheet, table, titles.get(table.key, table.title), document, styles)
    if not used:
        book.add_worksheet("Báo cáo").write(0, 0, "Báo cáo này không có bảng số liệu.")
    book.close()
    return raw.getvalue()


class _Styles:
    def __init__(self, book: Any) -> None:
        self._book = book
        self._made: dict[tuple[Any, ...], Any] = {}

    def get(self, **form: Any) -> Any:
        key = tuple(sorted(form.items()))
        if key not in self._made:
            base = {"font_name": "Times New Roman", "font_size": 12, "valign": "vcenter", "text_wrap": True}
            self._made[key] = self._book.add_format(base | form)
        return self._made[key]


def _write_table(sheet: Any, table: Table, title: str, document: OfficialDocument, styles: _Styles) -> None:
    last = len(table.columns) - 1
    _across(sheet, 0, last, title, styles.get(bold=True, align="center", font_size=13))
    header = document.header
    about = f"{header.type_name.capitalize()} {layout.number_line(header).strip()} – {header.subject}"
    _across(sheet, 1, last, about, styles.get(italic=True, align="center"))
    _across(sheet, 2, last, table.unit_note, styles.get(italic=True, align="right"))
    for number, column in enumerate(table.columns):
        sheet.write_string(3, number, column.title, styles.get(bold=True, align="center", border=1, bg_color="#EEEEEE"))
    for line, row in enumerate(table.rows, 4):
        for number, (cell, column) in enumerate(zip(row.cells, table.columns, strict=True)):
            form: dict[str, Any] = {"border": 1, "align": column.align}
            if row.is_total:
                form["bold"] = True
            if cell.severity:
                form["bg_color"] = _FILLS[cell.severity]
            if cell.number is not None and cell.number.is_finite() and abs(cell.number) < 10**15:
                exponent = cell.number.as_tuple().exponent
                decimals = max(0, -exponent) if isinstance(exponent, int) else 0
                form["num_format"] = "#,##0" + (f".{'0' * decimals}" if decimals else "")
                sheet.write_number(line, number, float(cell.number), styles.get(**form))
            else:
                sheet.write_string(line, number, cell.text, styles.get(**form))
    line = 4 + len(table.rows)
    for note in table.notes:
        _across(sheet, line, last, note, styles.get(italic=True))
        line += 1
    shares = sum(column.share for column in table.columns)
    for number, column in enumerate(table.columns):
        sheet.set_column(number, number, max(6, 110 * column.share / shares))
    sheet.freeze_panes(4, 0)
    sheet.repeat_rows(3)
    sheet.set_paper(9)
    if len(table.columns) > 6:
        sheet.set_landscape()
    sheet.fit_to_pages(1, 0)


def _across(sheet: Any, line: int, last: int, text: str, style: Any) -> None:
    if last > 0:
        sheet.merge_range(line, 0, line, last, text, style)
    else:
        sheet.write_string(line, 0, text, style)


def _sheet_name(title: str, used: set[str]) -> str:
    """Return a sheet name of at most 31 characters that no other sheet has."""
    base = " ".join(title.translate(_FORBIDDEN).split()) or "Bảng"
    for number in range(1, 100):
        tail = f" ({number})" if number > 1 else ""
        name = base[: 31 - len(tail)].strip() + tail
        if name.casefold() not in used:
            used.add(name.casefold())
            return name
    raise ValueError("more than 99 tables of one name")
