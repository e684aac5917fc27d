"""The prices of a tariff as a sheet: written to be changed elsewhere, read back with its errors by cell."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import xlsxwriter

from machnuoc.billing.models import TariffPrice
from machnuoc.billing.tariff_checks import Row
from machnuoc.core import folding, vietnamese
from machnuoc.core.models import StoredFile
from machnuoc.customers.models import Group
from machnuoc.indicators import sheets
from machnuoc.indicators.sheets import SheetError

SHEET = "Đơn giá"
GUIDE = "Hướng dẫn"
MAX_PRICES = 100
_TITLES = ("Đối tượng", "Cách tính", "Từ (m³)", "Đến (m³)", "Đơn giá (đồng/m³)")
_GUIDES = (
    "Bắt buộc. Mã hoặc tên: " + "; ".join(f"{code} = {label}" for code, label in Group.choices) + ".",
    "Bắt buộc. Một trong: " + "; ".join(str(label) for label in TariffPrice.Structure.labels) + ".",
    "Mức đầu của bậc mỗi tháng, tính cho một hộ hoặc một người; để trống là 0.",
    "Mức cuối của bậc, mức này còn thuộc bậc; để trống ở bậc cao nhất.",
    "Bắt buộc. Đồng một m³, như quyết định in.",
)


@dataclass(frozen=True)
class CellProblem:
    cell: str
    text: str

    def __str__(self) -> str:
        return f"Ô {self.cell}: {self.text}"


def write(rows: Iterable[Row]) -> bytes:
    """Return a workbook of the prices with a page that says how to fill it in; without rows it is the template."""
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bg_color": "#DCEBF3", "border": 1})
    wrap = book.add_format({"text_wrap": True, "valign": "top"})
    whole = book.add_format({"num_format": "#,##0"})
    sheet = book.add_worksheet(SHEET)
    sheet.freeze_panes(1, 0)
    for position, (title, width) in enumerate(zip(_TITLES, (42, 26, 12, 12, 20), strict=True)):
        sheet.set_column(position, position, width, whole if position == 4 else None)
        sheet.write_string(0, position, title, bold)
    structures = dict(TariffPrice.Structure.choices)
    for position, labels in ((0, list(Group.labels)), (1, list(structures.values()))):
        source = [str(label) for label in labels]
        sheet.data_validation(1, position, MAX_PRICES, position, {"validate": "list", "source": source})
    for number, row in enumerate(rows, start=1):
        sheet.write_string(number, 0, str(Group(row.group).label))
        sheet.write_string(number, 1, str(structures[row.structure]))
        sheet.write_number(number, 2, row.from_l / 1_000)
        if row.to_l is not None:
            sheet.write_number(number, 3, row.to_l / 1_000)
        sheet.write_number(number, 4, row.price_vnd)
    guide = book.add_worksheet(GUIDE)
    guide.set_column(0, 0, 24)
    guide.set_column(1, 1, 100, wrap)
    guide.write_row(0, 0, ["Cách nhập", f"Mỗi dòng của trang «{SHEET}» là một bậc giá. Không gộp ô, không công thức."])
    for number, (title, text) in enumerate(zip(_TITLES, _GUIDES, strict=True), start=1):
        guide.write_string(number, 0, title, bold)
        guide.write_string(number, 1, text)
    book.close()
    return file.getvalue()


def read(stored: StoredFile, name: str) -> tuple[list[Row], list[CellProblem]]:
    """Return the prices of a stored sheet and what is wrong in its cells. Raises SheetError for the file as a whole."""
    table = sheets.read_table(stored, name, SHEET)
    if not table.rows:
        raise SheetError(f"Tệp {name} không có dòng nào. Tải mẫu, điền đơn giá rồi nạp lại.")
    (head, titles), *body = table.rows
    columns = _find_columns(titles, name)
    if not body:
        raise SheetError(f"Tệp {name} chỉ có tiêu đề ở dòng {head}. Điền đơn giá rồi nạp lại.")
    if len(body) > MAX_PRICES:
        raise SheetError(f"Tệp {name} có hơn {MAX_PRICES} bậc giá. Kiểm tra lại đã chọn đúng tệp chưa.")
    rows: list[Row] = []
    problems: list[CellProblem] = []
    for number, cells in body:
        said = [cells[place] if place < len(cells) else None for place in columns]
        row = _read_row(number, said, columns, problems)
        if row is not None:
            rows.append(row)
    return rows, problems


def _find_columns(titles: list[Any], name: str) -> list[int]:
    """Return where each column of ours stands in the sheet."""
    written = [_plain(title) for title in titles]
    found = []
    for title in _TITLES:
        wanted = (_plain(title), _plain(title.partition(" (")[0]))  # with and without its unit
        place = next((at for at, text in enumerate(written) if text in wanted), None)
        if place is None:
            raise SheetError(f"Tệp {name} thiếu cột «{title}» ở dòng tiêu đề. Dùng mẫu của hệ thống rồi nạp lại.")
        found.append(place)
    return found


def _read_row(number: int, said: list[Any], columns: list[int], problems: list[CellProblem]) -> Row | None:
    cells = [f"{chr(ord('A') + place)}{number}" for place in columns]
    before = len(problems)
    group = _choose(said[0], Group.choices, cells[0], "đối tượng", problems)
    structure = _choose(said[1], TariffPrice.Structure.choices, cells[1], "cách tính", problems)
    from_l = _litres(said[2], cells[2], problems) or 0
    to_l = _litres(said[3], cells[3], problems)
    price_vnd = _dong(said[4], cells[4], problems)
    if to_l is not None and to_l <= from_l and len(problems) == before:
        problems.append(CellProblem(cells[3], "mức cuối phải lớn hơn mức đầu của bậc."))
    if len(problems) > before or group is None or structure is None or price_vnd is None:
        return None
    return Row(group, structure, from_l, to_l, price_vnd)


def _choose(
    said: Any, choices: Iterable[tuple[str, Any]], cell: str, what: str, problems: list[CellProblem]
) -> str | None:
    wanted = _plain(said)
    for code, label in choices:
        if wanted and wanted in (_plain(code), _plain(str(label))):
            return code
    labels = "; ".join(str(label) for _, label in choices)
    shown = f"«{str(said)[:40]}» không phải {what}" if said is not None else f"thiếu {what}"
    problems.append(CellProblem(cell, f"{shown}. Chọn một trong: {labels}."))
    return None


def _litres(said: Any, cell: str, problems: list[CellProblem]) -> int | None:
    try:
        volume_m3 = vietnamese.parse_number(said)
    except (vietnamese.NotANumber, TypeError) as reason:
        problems.append(CellProblem(cell, str(reason)))
        return None
    if volume_m3 is None:
        return None
    volume_l = volume_m3 * 1_000
    if volume_l < 0 or volume_l != int(volume_l) or volume_l > 10**8:
        problems.append(CellProblem(cell, "mức của bậc phải từ 0 đến 100.000 m³, nhiều nhất ba số lẻ."))
        return None
    return int(volume_l)


def _dong(said: Any, cell: str, problems: list[CellProblem]) -> int | None:
    try:
        price = vietnamese.parse_number(said, integer=True)
    except (vietnamese.NotANumber, TypeError) as reason:
        problems.append(CellProblem(cell, str(reason)))
        return None
    if price is None or not 0 <= price <= 1_000_000:
        text = "thiếu đơn giá." if price is None else "đơn giá phải từ 0 đến 1.000.000 đồng/m³."
        problems.append(CellProblem(cell, text))
        return None
    return int(price)


def _plain(said: Any) -> str:
    return " ".join(folding.fold(str(said)).split()) if said is not None else ""


sheets.register_template("bieu-gia", lambda: write([]))
