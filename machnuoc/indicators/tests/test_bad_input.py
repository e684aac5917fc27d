"""What people send that is not right: each gets a clear message, and nothing is half-written."""

import io
import time
import zipfile
from datetime import date, datetime

import openpyxl
import pytest

from machnuoc.core import files
from machnuoc.indicators import entry, sheets
from machnuoc.indicators.models import ImportBatch, Submission, SubmissionLine
from machnuoc.indicators.tests import entry_world
from machnuoc.indicators.tests.entry_world import at
from machnuoc.indicators.tests.test_sheets import GOOD, HEAD, apply, make_book, receive
from machnuoc.places.models import Subject


@pytest.fixture
def world(db):
    return entry_world.make_world()


def row_of(*cells):
    return ["cong-trinh.nghia-phu", "Nghĩa Phú", *cells]


def problems(world, content, **more):
    by = more.pop("by", world.writer)
    batch = receive(world, content, by=by, **more)
    found = sheets.preview(batch, by=by, now=at(5))
    assert not SubmissionLine.objects.exists()
    return [str(problem) for row in found.rejected for problem in row.problems]


# --- cells ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("1,288.5", "Ô C2: “1,288.5” không phải số nguyên"),
        ("1,288", "Ô C2: “1,288” có hai cách đọc"),
        (12.5, "Ô C2: “12,5” không phải số nguyên"),
        ("mười hai", "Ô C2: “mười hai” không phải số"),
        (-3, "nhỏ hơn mức tối thiểu 0"),
        (datetime(2026, 2, 14), "Ô C2: “14/02/2026 00:00” là ngày, không phải số"),  # noqa: DTZ001
        (date(2026, 2, 14), "là ngày, không phải số"),
        ("14/02/2026", "Ô C2: “14/02/2026” không phải số"),
        (True, "Ô C2: “TRUE” không phải số"),
        ("1e3", "không phải số"),
        ("9" * 50, "quá 40 ký tự"),
    ],
)
def test_a_bad_cell_is_named_with_its_reason(world, cell, words):
    (said,) = problems(world, make_book([row_of(cell)]))

    assert said.startswith("Ô C2: ") and words in said


@pytest.mark.parametrize(
    ("cell", "number"), [("1.288", 1288), ("1288", 1288), (1288, 1288), (1288.0, 1288), (" 5 ", 5)]
)
def test_numbers_as_text_are_read_the_vietnamese_way(world, cell, number):
    apply(world, make_book([row_of(cell)]))

    assert SubmissionLine.objects.get().number == number


def test_a_column_of_decimal_points_is_not_misread_a_thousandfold(world):
    rows = [["cong-trinh.nghia-phu", "", 1, "63.5"], ["cong-trinh.duc-thang", "", 1, "1.5"]]

    apply(world, make_book(rows))

    numbers = SubmissionLine.objects.filter(metric=world.volume).values_list("number", flat=True)
    assert sorted(numbers) == [15, 635]


def test_a_formula_is_refused_whatever_its_last_result(world):
    (said,) = problems(world, make_book([row_of("=1+1")]))

    assert said == "Ô C2: là công thức. Chép rồi dán dạng giá trị (Paste Values) trước khi tải lên."


def test_a_formula_in_csv_is_refused_too(world):
    content = "Mã;Số hộ đấu nối\ncong-trinh.nghia-phu;=1+1\n".encode()

    assert "là công thức" in problems(world, content, name="a.csv")[0]


def test_a_cell_that_shows_an_error_is_refused(world):
    def change(book, sheet):
        sheet["C2"].data_type = "e"
        sheet["C2"].value = "#N/A"

    (said,) = problems(world, make_book([row_of(1)], change=change))

    assert said.startswith("Ô C2: đang báo lỗi #N/A")


# --- rows -----------------------------------------------------------------------------------------------------------


def test_merged_cells_are_refused_with_their_range(world):
    content = make_book(GOOD, change=lambda book, sheet: sheet.merge_cells("C2:C3"))

    said = problems(world, content)

    assert said == ["Ô C2:C3: là ô gộp. Bỏ gộp ô rồi nhập số cho từng dòng."] * 2


def test_a_merged_head_makes_the_file_unusable(world):
    content = make_book(GOOD, change=lambda book, sheet: sheet.merge_cells("C1:D1"))

    with pytest.raises(sheets.SheetError, match="ô gộp C1:D1 ở dòng tiêu đề"):
        receive(world, content)


def test_a_title_merged_above_the_head_does_no_harm(world):
    def change(book, sheet):
        sheet.insert_rows(1)
        sheet["A1"] = "Báo cáo tháng 7"
        sheet.merge_cells("A1:D1")

    assert problems(world, make_book(GOOD, change=change)) == []


def test_a_key_that_stands_twice_is_refused(world):
    said = problems(world, make_book([row_of(1), row_of(2)]))

    assert len(said) == 2 and "đã có ở dòng 2. Giữ lại một dòng" in said[1]


def test_unknown_and_foreign_keys_are_refused_in_the_same_words(world):
    rows = [["cong-trinh.khong-co", "", 1], ["cong-trinh.hoa-binh", "Hòa Bình", 1]]

    unknown, foreign = problems(world, make_book(rows))

    assert unknown.replace("khong-co", "*").replace("A2", "A*") == foreign.replace("hoa-binh", "*").replace("A3", "A*")
    assert "không có trong danh sách bạn được nhập" in foreign


def test_a_row_without_key_is_refused(world):
    assert "Ô A2: thiếu mã" in problems(world, make_book([[None, "Nghĩa Phú", 5]]))[0]


def test_a_work_that_no_longer_exists_is_refused_by_name(world):
    Subject.objects.filter(pk=world.nghia_phu.pk).update(valid_to=date(2026, 7, 1))

    assert "«Nghĩa Phú» đã hết hiệu lực từ 01/07/2026" in problems(world, make_book([row_of(5)]))[0]


def test_hidden_rows_are_read_and_mentioned(world):
    def change(book, sheet):
        sheet.row_dimensions[3].hidden = True

    batch = receive(world, make_book(GOOD, change=change))
    preview = sheets.preview(batch, by=world.writer, now=at(5))

    assert len(preview.storable) == 2
    assert preview.hints == ["1 dòng đang ẩn trong tệp vẫn được đọc: dòng 3."]


# --- the whole file -------------------------------------------------------------------------------------------------


def refused(world, content, *, name="a.xlsx", error=sheets.SheetError, **more):
    with pytest.raises(error) as reason:
        receive(world, content, name=name, **more)
    assert not ImportBatch.objects.exists() and not Submission.objects.exists()
    return str(reason.value)


def test_a_workbook_without_the_sheet_is_refused(world):
    def change(book, sheet):
        sheet.title = "Trang 1"
        book.create_sheet("Trang 2")

    assert "không có trang «Số liệu» (có: «Trang 1», «Trang 2»)" in refused(world, make_book(GOOD, change=change))


def test_a_sheet_without_the_head_is_refused(world):
    assert "Không tìm thấy dòng tiêu đề" in refused(world, make_book(GOOD, head=["a", "b", "c"]))


def test_a_missing_column_is_named(world):
    assert "thiếu cột «Số hộ đấu nối (hộ)»" in refused(world, make_book([["x", "y", 1]], head=[*HEAD[:2], HEAD[3]]))


def test_a_column_that_stands_twice_is_named(world):
    assert "có hai lần" in refused(world, make_book(GOOD, head=[*HEAD[:3], HEAD[2]]))


def test_a_column_of_another_form_is_left_out_and_mentioned(world):
    batch = receive(world, make_book([[*row_of(1, 2), "", 7]], head=[*HEAD, "Thất thoát"]))

    assert "«Thất thoát»" in sheets.preview(batch, by=world.writer, now=at(5)).hints[0]


def test_the_template_of_another_month_is_refused(world):
    content = sheets.template(world.form, world.south, entry_world.AUGUST)

    assert "là mẫu của kỳ 2026-08, không phải Tháng 07/2026" in refused(world, content)


def test_a_file_with_only_a_head_is_refused(world):
    assert "chỉ có tiêu đề" in refused(world, make_book([]))


def test_an_empty_file_is_refused(world):
    assert "rỗng (0 byte)" in refused(world, b"", error=files.RefusedFile)


def test_too_many_rows_are_refused(world, monkeypatch):
    monkeypatch.setattr(sheets, "MAX_ROWS", 5)

    assert "hơn 5 dòng" in refused(world, make_book([row_of(n) for n in range(10)]))


def test_a_locked_period_is_refused_with_the_day_and_whom_to_ask(world):
    said = refused(world, make_book(GOOD), now=at(15, 9))

    assert "khóa từ ngày 15/09/2026" in said and "Đỗ Văn Duyệt" in said


def test_rows_of_a_sheet_that_was_sent_are_refused(world):
    apply(world, make_book(GOOD))
    entry.submit(Submission.objects.get(), version=None, by=world.writer, now=at(6))
    batch = receive(world, make_book([*GOOD, ["cong-trinh.hoa-binh", "", 7]]), by=world.planner)

    preview = sheets.preview(batch, by=world.planner, now=at(6))

    assert [row.shown_name for row in preview.storable] == ["Hòa Bình"]
    assert "«Trạm Nam» chờ duyệt" in str(preview.rejected[0].problems[0])


def test_a_period_that_has_not_begun_is_refused(world):
    with pytest.raises(sheets.SheetError, match="chưa bắt đầu"):
        sheets.receive(
            make_book(GOOD), name="a.xlsx", form=world.form, period=entry_world.AUGUST, by=world.writer, now=at(31, 7)
        )


def test_a_file_that_is_too_big_is_refused(world, settings):
    settings.UPLOAD_MAX_BYTES = 1000

    assert "quá lớn" in refused(world, make_book(GOOD), error=files.RefusedFile)


def test_a_zip_bomb_is_refused(world):
    bomb = io.BytesIO(make_book(GOOD))
    with zipfile.ZipFile(bomb, "a", zipfile.ZIP_DEFLATED) as package:
        package.writestr("xl/media/image1.png", b"\0" * (30 * 1024 * 1024))

    assert "nén bất thường" in refused(world, bomb.getvalue(), error=files.RefusedFile)


@pytest.mark.parametrize("name", ["a.xlsm", "a.xls", "a.pdf", "a"])
def test_other_kinds_of_file_are_refused(world, name):
    refused(world, make_book(GOOD), name=name, error=files.RefusedFile)


def test_a_workbook_with_macros_is_refused(world):
    book = io.BytesIO(make_book(GOOD))
    with zipfile.ZipFile(book, "a") as package:
        package.writestr("xl/vbaProject.bin", b"x")

    assert "macro" in refused(world, book.getvalue(), error=files.RefusedFile)


def test_a_workbook_whose_inside_is_broken_is_refused(world):
    source = zipfile.ZipFile(io.BytesIO(make_book(GOOD)))
    broken = io.BytesIO()
    with zipfile.ZipFile(broken, "w") as package:
        for part in source.namelist():
            if part != "xl/worksheets/sheet1.xml":
                package.writestr(part, source.read(part))

    assert "Không đọc được tệp" in refused(world, broken.getvalue())


def test_what_was_typed_as_a_formula_is_plain_text_in_the_template(world):
    Subject.objects.filter(pk=world.nghia_phu.pk).update(name="=cmd|' /C calc'!A0")

    sheet = openpyxl.load_workbook(io.BytesIO(sheets.template(world.form, world.south, entry_world.JULY)))["Số liệu"]
    names = {row[1] for row in sheet.iter_rows(min_row=2, values_only=True)}
    kinds = {row[1].data_type for row in sheet.iter_rows(min_row=2)}

    assert "=cmd|' /C calc'!A0" in names and kinds == {"s"}
    assert b"'=cmd" in sheets.template_csv(world.form, world.south, entry_world.JULY)


# --- files made to harm ---------------------------------------------------------------------------------------------

SHEET_PART = "xl/worksheets/sheet1.xml"


def change_part(content, part, change):
    """Return the workbook with one part changed."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)) if name == part else old.read(name))
    return made.getvalue()


def add_row(number):
    row = f'<row r="{number}"><c r="A{number}" t="inlineStr"><is><t>x</t></is></c></row></sheetData>'
    return lambda part: part.replace(b"</sheetData>", row.encode())


@pytest.mark.parametrize("number", [1_048_577, 2_000_000_000, 10**18])
def test_a_row_beyond_the_end_of_every_sheet_does_not_keep_the_program_busy(world, number):
    content = change_part(make_book(GOOD), SHEET_PART, add_row(number))

    with pytest.raises(sheets.SheetError, match="dòng"):
        receive(world, content)


def test_a_last_row_far_below_is_read_at_once_and_not_lost(world):
    content = change_part(make_book(GOOD), SHEET_PART, add_row(1_048_576))
    began = time.monotonic()

    found = sheets.preview(receive(world, content), by=world.writer, now=at(5))

    assert [row.number for row in found.rejected] == [1_048_576]
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("change", [lambda part: part[: len(part) // 2], lambda part: b"", lambda part: b"<a>"])
def test_a_workbook_with_a_cut_part_is_refused(world, change):
    with pytest.raises((sheets.SheetError, files.RefusedFile), match=r"Không đọc được|hỏng"):
        receive(world, change_part(make_book(GOOD), SHEET_PART, change))


def test_thousands_of_merged_ranges_are_refused_at_once(world):
    merged = "".join(f'<mergeCell ref="A{row}:B20000"/>' for row in range(2, 5002))
    content = change_part(
        make_book(GOOD),
        SHEET_PART,
        lambda part: part.replace(b"</sheetData>", f"</sheetData><mergeCells>{merged}</mergeCells>".encode()),
    )

    with pytest.raises(sheets.SheetError, match="ô gộp"):
        receive(world, content)
