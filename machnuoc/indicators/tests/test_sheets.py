import csv
import io
import time

import openpyxl
import pytest
from django.core.exceptions import PermissionDenied

from machnuoc.core.tests.test_workbooks import charts_alone
from machnuoc.indicators import entry, sheets
from machnuoc.indicators.models import Fact, ImportBatch, Submission, SubmissionLine
from machnuoc.indicators.tests import entry_world
from machnuoc.indicators.tests.entry_world import JULY, at
from machnuoc.places.models import Containment, Subject

HEAD = ["Mã (không sửa)", "Tên", "Số hộ đấu nối (hộ)", "Sản lượng (m³)", "Ghi chú"]


@pytest.fixture
def world(db):
    return entry_world.make_world()


def make_book(rows, *, head=HEAD, title="Số liệu", change=None):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = title
    sheet.append(head)
    for row in rows:
        sheet.append(row)
    if change:
        change(book, sheet)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def receive(world, content, *, name="thang-7.xlsx", by=None, now=None):
    return sheets.receive(content, name=name, form=world.form, period=JULY, by=by or world.writer, now=now or at(5))


def apply(world, content, mode="ALL", *, by=None, **more):
    batch = receive(world, content, by=by, **more)
    return sheets.apply(batch, mode=mode, by=by or world.writer, now=at(5))


GOOD = [["cong-trinh.nghia-phu", "Nghĩa Phú", 425, 1288.5], ["cong-trinh.duc-thang", "Đức Thắng", "1.277", "63,6"]]


# --- templates ------------------------------------------------------------------------------------------------------


def test_the_template_lists_the_works_and_hides_their_keys(world):
    book = openpyxl.load_workbook(io.BytesIO(sheets.template(world.form, world.south, JULY)))

    sheet = book["Số liệu"]

    assert [cell.value for cell in sheet[1]] == HEAD
    assert [row[1] for row in sheet.iter_rows(min_row=2, values_only=True)] == ["Nghĩa Phú", "Đức Thắng"]
    assert sheet.column_dimensions["A"].hidden and sheet.protection.sheet
    assert sheet["A2"].protection.locked and not sheet["C2"].protection.locked
    assert sheet.data_validations.dataValidation[0].type == "whole"
    assert "Hướng dẫn" in book.sheetnames


def test_a_template_filled_in_comes_back_unchanged(world):
    apply(world, make_book(GOOD))

    batch = receive(world, sheets.template(world.form, world.south, JULY))
    preview = sheets.preview(batch, by=world.writer, now=at(5))

    assert len(preview.skipped) == 2 and not preview.storable and not preview.rejected


def test_the_csv_template_comes_back_too(world):
    apply(world, make_book(GOOD))
    content = sheets.template_csv(world.form, world.south, JULY)

    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig")), delimiter=";"))
    preview = sheets.preview(receive(world, content, name="a.csv"), by=world.writer, now=at(5))

    assert rows[1] == ["cong-trinh.nghia-phu", "Nghĩa Phú", "425", "1.288,5", ""]
    assert len(preview.skipped) == 2


def test_the_command_finds_templates_by_name(world):
    assert "bao-cao-tram" in sheets.list_templates()
    assert sheets.template_bytes("bao-cao-tram").startswith(b"PK")
    with pytest.raises(sheets.SheetError, match="Không có biểu mẫu"):
        sheets.template_bytes("khong-co")


def test_a_template_for_a_person_holds_only_what_they_enter(world):
    book = openpyxl.load_workbook(io.BytesIO(sheets.template(world.form, None, JULY, person=world.northerner)))

    assert [row[1] for row in book["Số liệu"].iter_rows(min_row=2, values_only=True)] == ["Hòa Bình"]


# --- importing ------------------------------------------------------------------------------------------------------


def test_good_rows_go_into_the_draft_and_make_no_fact(world):
    batch = apply(world, make_book(GOOD))

    submission = Submission.objects.get()
    lines = {
        (line.subject.name, line.metric.key): line for line in submission.lines.select_related("subject", "metric")
    }

    assert (batch.received, batch.stored, batch.skipped, batch.rejected) == (2, 2, 0, 0)
    assert submission.status == Submission.Status.DRAFT
    assert lines["Nghĩa Phú", "thu.ho"].number == 425 and lines["Đức Thắng", "thu.ho"].number == 1277
    assert lines["Nghĩa Phú", "thu.san-luong"].number == 12885
    assert lines["Nghĩa Phú", "thu.ho"].import_cell == "Số liệu!C2"
    assert not Fact.objects.exists()
    assert "nhập 2 dòng từ tệp thang-7.xlsx" in submission.events.last().text


def test_rows_are_shared_out_to_the_organisations_that_hold_them(world):
    rows = [*GOOD, ["cong-trinh.hoa-binh", "Hòa Bình", 700]]

    apply(world, make_book(rows), by=world.planner)

    held = Submission.objects.filter(lines__metric=world.households).distinct()
    assert {submission.organisation for submission in held} == {world.south, world.north}


def test_an_approved_figure_leads_back_to_its_file_and_cell(world):
    batch = apply(world, make_book(GOOD))
    submission = Submission.objects.get()
    entry.submit(submission, version=None, by=world.writer, now=at(6))
    entry.approve(submission, by=world.leader, now=at(7))

    fact = Fact.objects.get(subject=world.nghia_phu, metric=world.households)

    assert fact.import_file == batch.file and fact.import_cell == "Số liệu!C2"


def test_a_cell_typed_over_no_longer_names_the_file(world):
    apply(world, make_book(GOOD))
    key = (world.households.pk, world.nghia_phu.pk)

    entry.save_cells(Submission.objects.get(), {key: "430"}, version=None, by=world.writer, now=at(5))

    line = SubmissionLine.objects.get(subject=world.nghia_phu, metric=world.households)
    assert line.import_batch is None and line.import_cell == ""


def test_all_or_nothing_stores_nothing_with_one_bad_row(world):
    rows = [GOOD[0], ["cong-trinh.duc-thang", "Đức Thắng", "1,288.5"]]
    batch = receive(world, make_book(rows))

    with pytest.raises(sheets.SheetError, match="Không nhập dòng nào: 1 dòng"):
        sheets.apply(batch, mode="ALL", by=world.writer, now=at(5))

    assert not SubmissionLine.objects.exists()


def test_good_rows_only_leaves_the_bad_ones_out(world):
    rows = [GOOD[0], ["cong-trinh.duc-thang", "Đức Thắng", "1,288.5"]]

    batch = apply(world, make_book(rows), mode="GOOD")

    assert (batch.received, batch.stored, batch.skipped, batch.rejected) == (2, 1, 0, 1)
    assert set(SubmissionLine.objects.values_list("subject__name", flat=True)) == {"Nghĩa Phú"}


def test_an_empty_cell_keeps_what_is_there(world):
    apply(world, make_book(GOOD))

    apply(world, make_book([["cong-trinh.nghia-phu", "", 430, None], ["cong-trinh.duc-thang"]]))

    assert SubmissionLine.objects.get(subject=world.nghia_phu, metric=world.volume).number == 12885
    assert SubmissionLine.objects.get(subject=world.duc_thang, metric=world.households).number == 1277


def test_a_note_explains_a_missing_figure(world):
    apply(world, make_book([["cong-trinh.nghia-phu", "", None, None, "Đồng hồ hỏng"]]))

    assert SubmissionLine.objects.get().note == "Đồng hồ hỏng" and SubmissionLine.objects.get().number is None


def test_a_workbook_of_charts_alone_is_refused_in_words(world):
    with pytest.raises(sheets.SheetError, match="chỉ có trang biểu đồ"):
        receive(world, charts_alone())


def test_a_file_is_taken_once(world):
    batch = apply(world, make_book(GOOD))

    with pytest.raises(sheets.SheetError):
        sheets.apply(batch, mode="ALL", by=world.writer, now=at(5))


def test_a_large_change_is_told_before_the_import(world):
    apply(world, make_book(GOOD))
    submission = Submission.objects.get()
    entry.submit(submission, version=None, by=world.writer, now=at(6))
    entry.approve(submission, by=world.leader, now=at(7))

    batch = sheets.receive(
        make_book([["cong-trinh.nghia-phu", "", 900]]), name="t8.xlsx", form=world.form,
        period=entry_world.AUGUST, by=world.writer, now=at(20),
    )  # fmt: skip
    preview = sheets.preview(batch, by=world.writer, now=at(20))

    assert "tăng 111,8" in preview.storable[0].warnings[0]


def test_csv_with_any_delimiter_is_read(world):
    for delimiter in ";,\t":
        content = (
            delimiter.join(["Mã", "Số hộ đấu nối"]) + "\n" + delimiter.join(["cong-trinh.nghia-phu", "1.288"]) + "\n"
        )
        preview = sheets.preview(receive(world, content.encode(), name="a.csv"), by=world.writer, now=at(5))

        assert preview.storable[0].cells[world.households.pk].number == 1288


# --- undoing --------------------------------------------------------------------------------------------------------


def test_undo_gives_back_what_was_there(world):
    first = apply(world, make_book([["cong-trinh.nghia-phu", "", 400]]))
    second = apply(world, make_book([["cong-trinh.nghia-phu", "", 430], ["cong-trinh.duc-thang", "", 277]]))

    restored, kept = sheets.undo(second, by=world.writer, now=at(6))

    line = SubmissionLine.objects.get()
    assert (restored, kept) == (2, 0)
    assert (line.subject, line.number, line.import_batch) == (world.nghia_phu, 400, first)


def test_undo_keeps_what_was_edited_since(world):
    batch = apply(world, make_book(GOOD))
    key = (world.households.pk, world.nghia_phu.pk)
    entry.save_cells(Submission.objects.get(), {key: "500"}, version=None, by=world.writer, now=at(5))

    restored, kept = sheets.undo(batch, by=world.writer, now=at(6))

    assert (restored, kept) == (3, 1)
    assert SubmissionLine.objects.get().number == 500


def test_undo_is_refused_once_a_sheet_was_sent(world):
    batch = apply(world, make_book(GOOD))
    submission = Submission.objects.get()
    entry.submit(submission, version=None, by=world.writer, now=at(6))
    entry.withdraw(submission, by=world.writer, now=at(7))

    with pytest.raises(entry.EntryError, match="đã được nộp sau đó"):
        sheets.undo(batch, by=world.writer, now=at(8))

    assert SubmissionLine.objects.count() == 4
    assert ImportBatch.objects.get().undone_at is None


def test_undo_happens_once(world):
    batch = apply(world, make_book(GOOD))
    sheets.undo(batch, by=world.writer, now=at(6))

    with pytest.raises(sheets.SheetError, match="đã được hoàn tác"):
        sheets.undo(batch, by=world.writer, now=at(6))


def test_a_person_who_enters_nothing_uploads_nothing(world):
    with pytest.raises(PermissionDenied):
        receive(world, make_book(GOOD), by=world.leader)


def test_ten_thousand_rows_are_taken_in_reasonable_time(world):
    works = Subject.objects.bulk_create(
        Subject(kind=Subject.Kind.WORK, key=f"cong-trinh.so-{number}", name=f"Công trình {number}")
        for number in range(10_000)
    )
    above = [world.south.pk, world.centre.pk]
    Containment.objects.bulk_create(
        [Containment(ancestor_id=pk, descendant=work) for work in works for pk in (*above, work.pk)], batch_size=5000
    )
    content = make_book([[work.key, work.name, number, f"{number},5"] for number, work in enumerate(works)])

    started = time.monotonic()
    batch = apply(world, content)

    assert batch.stored == 10_000
    assert SubmissionLine.objects.count() == 20_000
    assert time.monotonic() - started < 60  # far above what it takes: only a guard against quadratic work
