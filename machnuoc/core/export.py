"""Lists as files: what is on screen, as xlsx or csv. Every list page and report uses this one way out.

A view says `if export.format_of(request): return export.export(request, name=..., columns=..., rows=...)`.
Numbers stay numbers and days stay days; text that a spreadsheet would run as a formula is made harmless.
"""

import csv
import math
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, TypeVar

import xlsxwriter
from django.core.exceptions import BadRequest
from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.text import slugify

from machnuoc.core import folding, vietnamese

Kind = Literal["text", "number", "date", "datetime"]
# Title, how to get the cell from a row, and what it is.
Column = tuple[str, Callable[[Any], Any], Kind]

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
SHEET_MAX_ROWS = 1_048_576
_CELL_MAX_CHARS = 32_767
_EXACT_UP_TO = 2**53  # larger whole numbers are not exact in a spreadsheet, so they go out as text
_RUNS_AS_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_FORMULA_AFTER_A_SEPARATOR = re.compile(r"([;\t\r\n] *)(?=[=+@]|-\S*[(!|])")
_ILLEGAL_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_LINES_A_CHUNK = 200


def format_of(request: HttpRequest) -> str:
    """Return "csv" or "xlsx" if the address asks for a file (?export=…), else "". Raises BadRequest for another."""
    wanted = request.GET.get("export", "")
    if wanted not in {"", "csv", "xlsx"}:
        raise BadRequest("Chỉ xuất được ra xlsx hoặc csv. Quay lại trang trước và chọn một trong hai.")
    return wanted


def export(
    request: HttpRequest,
    *,
    name: str,
    columns: Sequence[Column],
    rows: Iterable[Any],
    source_note: str = "",
    filters: Iterable[tuple[str, str]] | None = None,
    simulated: bool = False,
) -> StreamingHttpResponse | FileResponse:
    """Return the rows as a file to download, in the format that the address asks for (xlsx if it does not say).

    name: the list's title in Vietnamese; sheet and file are named after it. columns: (title, getter, kind); a getter
    gives None for what is missing. Numbers are in the column's unit (put it in the title), percentages 0-100.
    filters: (label, text) as the page shows them; by default the address' own. simulated: whether any of it is.
    The rows are read while the file is written, never all at once: hand over a queryset's iterator().
    """
    made_at = timezone.localtime()
    filename = f"{_ascii(name)}{'-mo-phong' if simulated else ''}-{made_at:%Y%m%d-%H%M}"
    if format_of(request) == "csv":
        answer = StreamingHttpResponse(_csv_chunks(columns, rows), content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="{filename}.csv"'
        return _private(answer)
    shown = list(_address_filters(request) if filters is None else filters)
    about = [
        ("Danh sách", name),
        ("Nguồn", source_note or "Mạch Nước"),
        *((f"Lọc: {label}", text) for label, text in shown),
        ("Xuất lúc", vietnamese.format_datetime(made_at)),
        ("Người xuất", getattr(request.user, "full_name", "")),
    ]
    if simulated:
        about.append(("Lưu ý", "Có số liệu mô phỏng, không phải số liệu thật."))
    # FileResponse closes the file, and closing removes it.
    file = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        write_workbook(file, name=name, columns=columns, rows=rows, about=about)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return _private(FileResponse(file, as_attachment=True, filename=f"{filename}.xlsx", content_type=XLSX))


_Answer = TypeVar("_Answer", bound=HttpResponseBase)


def _private(answer: _Answer) -> _Answer:
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Cache-Control"] = "private, no-store"
    return answer


def _ascii(name: str) -> str:
    return slugify(folding.fold(name))[:60] or "danh-sach"


def _address_filters(request: HttpRequest) -> Iterator[tuple[str, str]]:
    for key, values in request.GET.lists():
        text = ", ".join(value for value in values if value)
        if text and key not in {"export", "page", "sort"}:
            yield key, text


# --- csv ------------------------------------------------------------------------------------------------------------


class _Echo:
    def write(self, text: str) -> str:
        return text


def _csv_chunks(columns: Sequence[Column], rows: Iterable[Any]) -> Iterator[str]:
    """Yield a comma-separated file with byte order mark; numbers plain (1288.5), days as 2026-02-14."""
    writer = csv.writer(_Echo())
    lines = ["\ufeff" + writer.writerow([neutralise(title) for title, _, _ in columns])]
    for row in rows:
        lines.append(writer.writerow([_csv_cell(getter(row)) for _, getter, _ in columns]))
        if len(lines) >= _LINES_A_CHUNK:
            yield "".join(lines)
            lines = []
    if lines:
        yield "".join(lines)


def _csv_cell(cell: Any) -> str:
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return ""
    if isinstance(cell, bool):
        return "có" if cell else "không"
    if isinstance(cell, Decimal):
        return f"{cell:f}"
    if isinstance(cell, int | float):
        return str(cell)
    if isinstance(cell, datetime):
        return f"{timezone.localtime(cell) if cell.tzinfo else cell:%Y-%m-%d %H:%M:%S}"
    if isinstance(cell, date):
        return cell.isoformat()
    return neutralise(str(cell))


def neutralise(text: str) -> str:
    """Return the text so that a spreadsheet reads it as text, whatever it begins with.

    A spreadsheet set to Vietnamese parts cells at semicolons, so what follows one may begin a cell too.

    >>> neutralise("=1+1"), neutralise("Trạm A")
    ("'=1+1", 'Trạm A')
    """
    said = text.lstrip(" \n\ufeff")
    guarded = text[: len(text) - len(said)] + _FORMULA_AFTER_A_SEPARATOR.sub(r"\1'", said)
    return f"'{guarded}" if said.startswith(_RUNS_AS_FORMULA) else guarded


# --- xlsx -----------------------------------------------------------------------------------------------------------


def write_workbook(
    file: Any,
    *,
    name: str,
    columns: Sequence[Column],
    rows: Iterable[Any],
    about: Iterable[tuple[str, str]],
) -> int:
    """Write the rows into a workbook with a sheet «Nguồn» behind them, and return how many rows there were.

    Memory stays small (rows go to disk one by one); past what a sheet can hold a further sheet is begun.
    """
    book = xlsxwriter.Workbook(
        file,
        {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "nan_inf_to_errors": False},
    )
    head = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bottom": 1})
    formats = {
        "number": book.add_format({"num_format": "#,##0.####"}),
        "whole": book.add_format({"num_format": "#,##0"}),
        "date": book.add_format({"num_format": "dd/mm/yyyy"}),
        "datetime": book.add_format({"num_format": "dd/mm/yyyy hh:mm"}),
        "text": book.add_format({"num_format": "@"}),
    }
    count = 0
    sheet: Any = None
    line = SHEET_MAX_ROWS
    sheets = 0
    for row in rows:
        if line >= SHEET_MAX_ROWS:
            sheets += 1
            sheet, line = _begin_sheet(book, name, sheets, columns, head), 1
        for position, (_, getter, _) in enumerate(columns):
            _write_cell(sheet, line, position, getter(row), formats)
        line += 1
        count += 1
    if sheet is None:
        _begin_sheet(book, name, 1, columns, head)
    source = book.add_worksheet("Nguồn" if _sheet_name(name, 1) != "Nguồn" else "Nguồn số liệu")
    source.set_column(0, 0, 18)
    source.set_column(1, 1, 90)
    for number, (label, text) in enumerate([*about, ("Số dòng", vietnamese.format_number(count))]):
        source.write_string(number, 0, _legal(label), head)
        source.write_string(number, 1, _legal(text))
    book.close()
    return count


def _begin_sheet(book: Any, name: str, number: int, columns: Sequence[Column], head: Any) -> Any:
    sheet = book.add_worksheet(_sheet_name(name, number))
    sheet.freeze_panes(1, 0)
    for position, (title, _, kind) in enumerate(columns):
        wide = 34 if kind == "text" and position == 0 else 22 if kind == "text" else 16
        sheet.set_column(position, position, wide)
        sheet.write_string(0, position, _legal(title), head)
    return sheet


def _sheet_name(name: str, number: int) -> str:
    plain = re.sub(r"[\[\]:*?/\\]", " ", name).strip(" '") or "Danh sách"
    return plain[:31] if number == 1 else f"{plain[:25]} ({number})"


def _write_cell(sheet: Any, line: int, position: int, cell: Any, formats: dict[str, Any]) -> None:
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return
    if isinstance(cell, bool):
        sheet.write_string(line, position, "có" if cell else "không")
    elif isinstance(cell, int | float | Decimal):
        if not -_EXACT_UP_TO <= cell <= _EXACT_UP_TO:
            sheet.write_string(line, position, f"{cell:f}" if isinstance(cell, Decimal) else str(cell), formats["text"])
        else:
            is_whole = cell == int(cell)
            sheet.write_number(line, position, float(cell), formats["whole" if is_whole else "number"])
    elif isinstance(cell, datetime):
        local = timezone.localtime(cell).replace(tzinfo=None) if cell.tzinfo else cell
        sheet.write_datetime(line, position, local, formats["datetime"])
    elif isinstance(cell, date):
        sheet.write_datetime(line, position, cell, formats["date"])
    else:
        sheet.write_string(line, position, _legal(str(cell)), formats["text"])


def _legal(text: str) -> str:
    return _ILLEGAL_XML.sub("", text)[:_CELL_MAX_CHARS]
