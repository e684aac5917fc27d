import csv
import io
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace

import openpyxl
import pytest
from django.core.exceptions import BadRequest
from django.test import RequestFactory

from machnuoc.core import export

COLUMNS = [
    ("Công trình", lambda row: row[0], "text"),
    ("Số hộ (hộ)", lambda row: row[1], "number"),
    ("Ngày", lambda row: row[2], "date"),
]
ROWS = [
    ("Trạm Nghĩa Phú", 425, date(2026, 2, 14)),
    ('=HYPERLINK("http://x")', Decimal("63.6"), None),
    ("Trạm C", None, datetime(2026, 2, 14, 0, 5, tzinfo=UTC)),
]


def ask(address):
    request = RequestFactory().get(address)
    request.user = SimpleNamespace(full_name="Nguyễn Văn An")
    return request


def export_as(kind, rows=ROWS, **more):
    answer = export.export(ask(f"/?tinh=51&export={kind}"), name="Công trình", columns=COLUMNS, rows=rows, **more)
    return answer, b"".join(answer.streaming_content)


def test_csv_has_a_byte_order_mark_plain_numbers_and_iso_days():
    answer, body = export_as("csv")

    lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"))))

    assert body.startswith(b"\xef\xbb\xbf")
    assert lines[0] == ["Công trình", "Số hộ (hộ)", "Ngày"]
    assert lines[1] == ["Trạm Nghĩa Phú", "425", "2026-02-14"]
    assert lines[3] == ["Trạm C", "", "2026-02-14 07:05:00"]
    assert "cong-trinh-" in answer["Content-Disposition"]


@pytest.mark.parametrize("text", ["=1+1", "+84 255", "-5", "@SUM(A1)", "\tx", "\rx", " =1", "\n=1"])
def test_text_that_would_run_as_a_formula_is_made_harmless_in_csv(text):
    _, body = export_as("csv", rows=[(text, 1, None)])

    cell = next(list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline="")))[n] for n in (1,))[0]

    assert cell == f"'{text}"


@pytest.mark.parametrize("text", ["Trạm;=1+1", "Trạm; =1+1", "a;-cmd|' /C calc'!A0", "a;@SUM(A1)", "a\t=1", "a\n=1"])
def test_text_cut_at_a_semicolon_by_a_vietnamese_spreadsheet_runs_nothing_either(text):
    _, body = export_as("csv", rows=[(text, 1, None)])

    for line in body.decode("utf-8-sig").splitlines():
        for cell in re.split(r"[;\t]", line):
            assert not cell.strip(' "').startswith(("=", "+", "-", "@"))


def test_semicolons_and_minus_signs_of_a_sentence_stay_as_they_are():
    assert export.neutralise("ống 20; -5 °C; 3-4 m") == "ống 20; -5 °C; 3-4 m"


def test_numbers_stay_numbers_and_formulas_become_text_in_xlsx():
    _, body = export_as("xlsx")

    sheet = openpyxl.load_workbook(io.BytesIO(body))["Công trình"]

    assert sheet["B2"].value == 425 and sheet["B3"].value == 63.6
    assert sheet["A3"].data_type == "s" and sheet["A3"].value == '=HYPERLINK("http://x")'
    assert sheet["C2"].value == datetime(2026, 2, 14)  # noqa: DTZ001
    assert sheet["C4"].value == datetime(2026, 2, 14, 7, 5)  # noqa: DTZ001
    assert sheet["B4"].value is None


def test_the_sheet_of_sources_names_filters_person_and_simulation():
    answer, body = export_as("xlsx", source_note="Biểu số 1", simulated=True)

    rows = dict(openpyxl.load_workbook(io.BytesIO(body))["Nguồn"].iter_rows(values_only=True))

    assert rows["Nguồn"] == "Biểu số 1"
    assert rows["Lọc: tinh"] == "51"
    assert rows["Người xuất"] == "Nguyễn Văn An"
    assert "mô phỏng" in rows["Lưu ý"]
    assert rows["Số dòng"] == "3"
    assert "mo-phong" in answer["Content-Disposition"]


def test_numbers_too_large_to_be_exact_go_out_as_text():
    _, body = export_as("xlsx", rows=[("x", 2**60 + 1, None)])

    assert openpyxl.load_workbook(io.BytesIO(body))["Công trình"]["B2"].value == str(2**60 + 1)


def test_an_empty_list_still_has_its_head():
    _, body = export_as("xlsx", rows=[])

    assert openpyxl.load_workbook(io.BytesIO(body))["Công trình"]["A1"].value == "Công trình"


def test_a_sheet_that_is_full_goes_on_in_the_next(monkeypatch):
    monkeypatch.setattr(export, "SHEET_MAX_ROWS", 3)

    _, body = export_as("xlsx")

    assert openpyxl.load_workbook(io.BytesIO(body)).sheetnames == ["Công trình", "Công trình (2)", "Nguồn"]


def test_an_unknown_format_is_refused():
    with pytest.raises(BadRequest, match="xlsx hoặc csv"):
        export.format_of(ask("/?export=pdf"))


def test_rows_are_read_while_the_file_is_written():
    read = []

    def rows():
        for number in range(1000):
            read.append(number)
            yield ("Trạm", number, None)

    answer = export.export(ask("/?export=csv"), name="Trạm", columns=COLUMNS, rows=rows())
    next(iter(answer.streaming_content))

    assert len(read) < 1000
