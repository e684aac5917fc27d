"""Sheets of a workbook that somebody uploaded. A workbook may hold charts alone, which have no cells."""

from typing import Any

WITHOUT_CELLS = "Tệp hỏng hoặc chỉ có trang biểu đồ: chép số liệu vào một trang tính rồi tải lên lại."


def find_sheet(book: Any, title: str = "") -> Any | None:
    """Return the sheet of cells with the title, else the first one; None if the workbook has none."""
    sheets = book.worksheets
    return next((one for one in sheets if title and one.title == title), sheets[0] if sheets else None)
