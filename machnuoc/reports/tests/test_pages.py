"""The pages of a report, as LibreOffice shows them: paper, margins, boxes, fonts, page numbers, Vietnamese text."""

import re
import subprocess
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from machnuoc.reports import docx_writer, layout, pdf, word_templates, xlsx_writer
from machnuoc.reports.layout import (
    Annex,
    Cell,
    Column,
    Header,
    Heading,
    OfficialDocument,
    Paragraph,
    Row,
    Signature,
    Table,
)

MM = 72 / 25.4  # points in a millimetre
COLUMNS = (
    Column("TT", 0.5, "center"), Column("Trạm cấp nước", 3), Column("Đấu nối (hộ)", 1.4, "right", is_number=True),
    Column("Mức khai thác", 2),
)  # fmt: skip


def make_table(rows: int, key: str = "stations") -> Table:
    body = tuple(
        Row((
            Cell(str(number)), Cell(f"Trạm Đức Chánh {number}"), Cell("1.288", Decimal(1288)),
            Cell("80,5 % (Tốt)", Decimal("80.5"), "good"),
        ))
        for number in range(1, rows + 1)
    )  # fmt: skip
    total = Row((Cell(), Cell("Tổng cộng"), Cell("25.330", Decimal(25330)), Cell()), is_total=True)
    return Table(
        key, "Biểu 1. Khách hàng theo trạm", COLUMNS, (*body, total), "Đơn vị tính: hộ", ("Ghi chú dưới bảng.",)
    )


def make_document(**changes: object) -> OfficialDocument:
    header = Header(
        "Sở Nông nghiệp và Môi trường", "Trung tâm Nước sạch và Vệ sinh môi trường nông thôn", "BC-TTNS", "BÁO CÁO",
        "Kết quả thực hiện Kế hoạch số 79/KH-TTNS tháng 10 năm 2026", "Quảng Ngãi",
    )  # fmt: skip
    sentence = "Trung tâm đã vận động người dân đấu nối, sử dụng nước sạch từ hệ thống cấp nước tập trung. "
    document = OfficialDocument(
        header=header,
        blocks=(
            Heading(1, "I. KẾT QUẢ THỰC HIỆN"),
            *(Paragraph(sentence * 6) for _ in range(8)),
            Heading(2, "1. Khách hàng"),
            make_table(12),
            Heading(3, "a) Ghi nhận"),
            Paragraph("Các trạm & phòng đã phối hợp./."),
        ),
        signature=Signature(("KT. GIÁM ĐỐC", "PHÓ GIÁM ĐỐC"), "Nguyễn Thị Ước"),
        addressees=("Sở Nông nghiệp và Môi trường tỉnh Quảng Ngãi",),
        bases=("Căn cứ Kế hoạch số 24/KH-SNNMT ngày 04 tháng 02 năm 2026",),
        recipients=("Như trên", "Lưu: VT, KHKT"),
        annexes=(
            Annex("Phát triển khách hàng", (replace(make_table(45, "growth"), title=""),), is_landscape=True),
            Annex("Danh mục công trình", (Paragraph("Không có."),)),
        ),
    )
    return replace(document, **changes)


@dataclass(frozen=True)
class Word:
    text: str
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Page:
    width: float
    height: float
    words: tuple[Word, ...]

    def find(self, text: str) -> Word:
        return next(word for word in self.words if word.text == text)

    @property
    def body(self) -> tuple[Word, ...]:
        """The words below the top margin, where only the page number stands."""
        return tuple(word for word in self.words if word.top > 20 * MM - 3)


@dataclass(frozen=True)
class Rendered:
    path: Path
    pages: tuple[Page, ...]
    text: str


def render(document: OfficialDocument, folder: Path) -> Rendered:
    path = folder / "report.pdf"
    path.write_bytes(pdf.convert(docx_writer.write(document, word_templates.shipped("any"))))
    boxes = subprocess.run(["pdftotext", "-bbox", str(path), "-"], capture_output=True, check=True, text=True).stdout
    pages = []
    for found in re.finditer(r'<page width="([\d.]+)" height="([\d.]+)">(.*?)</page>', boxes, re.DOTALL):
        words = re.findall(r'<word xMin="(.*?)" yMin="(.*?)" xMax="(.*?)" yMax="(.*?)">(.*?)</word>', found[3])
        pages.append(
            Page(
                float(found[1]), float(found[2]),
                tuple(Word(text, *map(float, (left, top, right, bottom))) for left, top, right, bottom, text in words),
            )
        )  # fmt: skip
    text = subprocess.run(["pdftotext", "-layout", str(path), "-"], capture_output=True, check=True, text=True).stdout
    return Rendered(path, tuple(pages), text)


@pytest.fixture(scope="module")
def draft(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return render(make_document(), tmp_path_factory.mktemp("draft"))


def test_the_paper_is_a4_upright_and_across_in_an_annex_that_asks_for_it(draft):
    shapes = [(round(page.width / MM), round(page.height / MM)) for page in draft.pages]

    assert shapes[0] == (210, 297)
    assert (297, 210) in shapes
    assert set(shapes) == {(210, 297), (297, 210)}
    assert shapes[-1] == (210, 297)  # the second annex stands upright again


def test_the_text_keeps_the_margins_of_the_decree(draft):
    for page in draft.pages:
        assert min(word.left for word in page.body) >= 30 * MM - 1
        assert max(word.right for word in page.body) <= page.width - 15 * MM + 1
        assert max(word.bottom for word in page.body) <= page.height - 20 * MM + 1
    full = draft.pages[1]
    assert min(word.left for word in full.body) == pytest.approx(30 * MM, abs=2)


def test_the_boxes_of_the_first_page_stand_where_the_decree_puts_them(draft):
    page = draft.pages[0]
    middle = page.width / 2
    issuer, nation, number, place = page.find("TRUNG"), page.find("CỘNG"), page.find("Số:"), page.find("Quảng")

    assert issuer.left < middle < nation.left + 30 * MM
    assert nation.top < page.find("Độc").top < place.top < page.find("BÁO").top < page.find("Kính").top
    assert number.top == pytest.approx(place.top, abs=3)  # boxes 3 and 4 stand on one line
    assert number.right < middle < place.right
    title = page.find("BÁO").left, page.find("CÁO").right
    assert sum(title) / 2 == pytest.approx(30 * MM + 165 * MM / 2, abs=3)


def test_the_name_of_the_nation_stands_on_one_line(draft):
    line = next(line for line in draft.text.splitlines() if "CỘNG HÒA" in line)

    assert "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM" in line


def test_a_draft_leaves_number_and_day_to_the_clerk(draft):
    assert re.search(r"Số:\s+/BC-TTNS", draft.text)
    assert re.search(r"Quảng Ngãi, ngày\s+tháng\s+năm", draft.text)


def test_an_issued_report_prints_number_and_day_as_the_decree_writes_them(tmp_path):
    document = make_document()
    header = replace(document.header, number="05/BC-TTNS", issued_on=date(2026, 11, 5))

    text = render(replace(document, header=header), tmp_path).text

    assert "Số: 05/BC-TTNS" in text
    assert "Quảng Ngãi, ngày 05 tháng 11 năm 2026" in text
    assert "(Kèm theo Báo cáo số 05/BC-TTNS ngày 05 tháng 11 năm 2026" in text


def test_page_numbers_stand_in_the_middle_of_the_top_margin_from_the_second_page_on(draft):
    heads = [[word for word in page.words if word.bottom < 20 * MM + 1] for page in draft.pages]

    assert heads[0] == []
    assert [word.text for word in heads[1]] == ["2"]
    text_middle = 30 * MM + 165 * MM / 2
    assert (heads[1][0].left + heads[1][0].right) / 2 == pytest.approx(text_middle, abs=3)
    across = next(number for number, page in enumerate(draft.pages) if page.width > page.height)
    assert heads[across] == []  # an annex counts its pages itself
    assert [word.text for word in heads[across + 1]] == ["2"]


def test_all_letters_come_from_a_font_in_the_widths_of_times_new_roman(draft):
    lines = subprocess.run(
        ["pdffonts", str(draft.path)], capture_output=True, check=True, text=True
    ).stdout.splitlines()
    names = {line.split()[0].partition("+")[2] or line.split()[0] for line in lines[2:]}

    assert names
    assert {re.split(r"[-,]", name)[0] for name in names} <= {"TimesNewRomanPSMT", "TimesNewRomanPS", "Tinos"}
    assert all("yes yes yes" in " ".join(line.split()) for line in lines[2:])  # embedded, a subset, with Unicode


def test_vietnamese_text_can_be_read_back_from_the_pages(draft):
    for words in (
        "Độc lập - Tự do - Hạnh phúc", "Kết quả thực hiện Kế hoạch số 79/KH-TTNS tháng 10 năm 2026", "Nơi nhận:",
        "- Lưu: VT, KHKT.", "Nguyễn Thị Ước", "Các trạm & phòng đã phối hợp./.", "Phụ lục II", "KT. GIÁM ĐỐC",
    ):  # fmt: skip
        assert words in re.sub(r"[ \n]+", " ", draft.text), words


def test_recipients_and_signature_stand_side_by_side(draft):
    page = next(page for page in draft.pages if any(word.text == "nhận:" for word in page.words))
    left, right = page.find("nhận:"), page.find("KT.")

    assert left.top == pytest.approx(right.top, abs=6)
    assert left.right < page.width / 2 < page.find("ĐỐC").right


def test_the_head_of_a_long_table_is_repeated_and_its_total_is_there(draft):
    across = [page for page in draft.pages if page.width > page.height]

    assert len(across) >= 2
    assert all("khai" in {word.text for word in page.words} for page in across)
    assert "25.330" in {word.text for word in across[-1].words}


def test_a_report_with_simulated_figures_says_so_on_its_face(tmp_path):
    text = render(make_document(is_simulated=True), tmp_path).text

    assert "CÓ SỐ LIỆU MÔ PHỎNG" in text.split("CỘNG HÒA")[0]


def test_several_addressees_stand_below_each_other(tmp_path):
    rendered = render(make_document(addressees=("Sở Xây dựng", "Ủy ban nhân dân tỉnh")), tmp_path)

    page = rendered.pages[0]
    assert "- Sở Xây dựng;" in rendered.text
    assert "- Ủy ban nhân dân tỉnh." in rendered.text
    assert page.find("Kính").top < page.find("Xây").top < page.find("Ủy").top


def test_the_same_document_gives_the_same_bytes():
    document = make_document()

    assert docx_writer.write(document, word_templates.shipped("any")) == docx_writer.write(
        layout.from_data(layout.as_data(document)), word_templates.shipped("any")
    )
    assert xlsx_writer.write(document) == xlsx_writer.write(document)


def test_the_workbook_holds_numbers_as_numbers_and_opens_in_a_spreadsheet(tmp_path):
    import io

    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(xlsx_writer.write(make_document())))

    assert book.sheetnames == ["Biểu 1. Khách hàng theo trạm", "Phát triển khách hàng"]
    sheet = book["Biểu 1. Khách hàng theo trạm"]
    assert [cell.value for cell in sheet[4]] == ["TT", "Trạm cấp nước", "Đấu nối (hộ)", "Mức khai thác"]
    assert (sheet["C5"].value, sheet["D5"].value) == (1288, 80.5)
    assert pdf.convert(xlsx_writer.write(make_document()), suffix="xlsx").startswith(b"%PDF-")


def test_a_conversion_that_takes_too_long_is_ended_with_a_clear_message():
    with pytest.raises(pdf.ConversionFailed, match="đã bị dừng"):
        pdf.convert(docx_writer.write(make_document(), word_templates.shipped("any")), timeout_s=0.01)


def test_without_libreoffice_the_message_says_what_to_install(settings):
    settings.SOFFICE = "/nowhere/soffice"

    with pytest.raises(pdf.NoConverter, match="libreoffice-writer-nogui"):
        pdf.convert(b"")


def test_the_shipped_template_is_the_one_that_the_script_makes(tmp_path):
    root = Path(__file__).resolve().parents[3]
    subprocess.run(
        [root / ".venv" / "bin" / "python", root / "scripts" / "make_report_templates.py", str(tmp_path)], check=True,
        capture_output=True,
    )  # fmt: skip

    assert (tmp_path / "bao_cao.docx").read_bytes() == (word_templates.FOLDER / "bao_cao.docx").read_bytes()
