"""Workbooks that hold no cells at all."""

import io

import openpyxl

from machnuoc.core import workbooks


def charts_alone() -> bytes:
    """Return a workbook whose only sheet is a chart."""
    book = openpyxl.Workbook()
    book.create_chartsheet("Biểu đồ").add_chart(openpyxl.chart.BarChart())
    book.remove(book.active)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def _opened(content: bytes):
    return openpyxl.load_workbook(io.BytesIO(content), read_only=True)


def test_a_workbook_of_charts_has_no_sheet_to_read():
    assert workbooks.find_sheet(_opened(charts_alone()), "Biểu đồ") is None


def test_the_sheet_with_the_title_comes_before_the_first_one():
    book = openpyxl.Workbook()
    book.create_sheet("Số liệu")
    file = io.BytesIO()
    book.save(file)

    assert workbooks.find_sheet(_opened(file.getvalue()), "Số liệu").title == "Số liệu"
    assert workbooks.find_sheet(_opened(file.getvalue()), "Khác").title == "Sheet"
