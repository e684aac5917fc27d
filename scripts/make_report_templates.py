#!/usr/bin/env python3
"""Make the Word template that reports are filled into (machnuoc/reports/templates_docx), after NĐ 30/2020/NĐ-CP.

Run it after changing the form here, and commit the result: `.venv/bin/python scripts/make_report_templates.py`.
Sizes, margins and boxes: Phụ lục I of the decree; 1 mm is 56.7 twentieths of a point.
"""

import io
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from docx import Document  # noqa: E402
from docx.enum.text import WD_ALIGN_PARAGRAPH as ALIGN  # noqa: E402
from docx.oxml import parse_xml  # noqa: E402
from docx.oxml.ns import nsdecls, qn  # noqa: E402
from docx.shared import Mm, Pt  # noqa: E402

from machnuoc.reports import docx_writer, wordml  # noqa: E402

FOLDER = ROOT / "machnuoc" / "reports" / "templates_docx"
# The right column holds «CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM» in 13 points (95.7 mm) on one line.
LEFT_MM, RIGHT_MM = 66, 99
MOTTO_MM = 60.5  # «Độc lập - Tự do - Hạnh phúc» in 14 points bold
BODY_LINE_MM = 22  # a third to a half of a line of the issuing body's name
SUBJECT_LINE_MM = 50


def make_common() -> bytes:
    """Return the form of a report: header, title, addressees, bases, content, signature."""
    word = Document()
    _set_page(word)
    _add_stamp(word)
    _add_header(word)
    _add_title(word)
    _add_addressees(word)
    _line(word, "{%p for dong in can_cu %}", 2)
    _line(word, "{{ dong }}", 14, italic=True, align=ALIGN.JUSTIFY, first_line_mm=12.7, before=6)
    _line(word, "{%p endfor %}", 2)
    _line(word, "{{p noi_dung }}", 14)
    _add_signature(word)
    raw = io.BytesIO()
    word.save(raw)
    return docx_writer.same_bytes(raw.getvalue())


def _set_page(word) -> None:
    section = word.sections[0]
    section.page_width, section.page_height = Mm(210), Mm(297)
    section.top_margin, section.bottom_margin = Mm(20), Mm(20)
    section.left_margin, section.right_margin = Mm(30), Mm(15)
    section.header_distance, section.footer_distance = Mm(10), Mm(10)
    section.different_first_page_header_footer = True
    properties = section._sectPr
    properties.append(parse_xml(f'<w:pgNumType {nsdecls("w")} w:start="1"/>'))
    _order(properties)
    normal = word.styles["Normal"]
    normal.font.name, normal.font.size = "Times New Roman", Pt(14)
    fonts = normal.element.rPr.rFonts
    for side in ("w:ascii", "w:hAnsi", "w:cs", "w:eastAsia"):
        fonts.set(qn(side), "Times New Roman")
    normal.element.rPr.append(parse_xml(f'<w:lang {nsdecls("w")} w:val="vi-VN" w:eastAsia="vi-VN"/>'))
    normal.paragraph_format.space_after = Pt(0)
    section.header.is_linked_to_previous = False
    number = section.header.paragraphs[0]
    number.alignment = ALIGN.CENTER
    number.style = word.styles["Normal"]
    run = number.add_run()
    run.font.size = Pt(14)
    for xml in (
        f'<w:fldChar {nsdecls("w")} w:fldCharType="begin"/>',
        f'<w:instrText {nsdecls("w")} xml:space="preserve"> PAGE </w:instrText>',
        f'<w:fldChar {nsdecls("w")} w:fldCharType="end"/>',
    ):
        run._r.append(parse_xml(xml))
    section.first_page_header.is_linked_to_previous = False


def _order(properties) -> None:
    """Put pgNumType behind pgMar, where the schema wants it."""
    numbers = properties.find(qn("w:pgNumType"))
    properties.find(qn("w:pgMar")).addnext(numbers)


def _add_stamp(word) -> None:
    _line(word, "{%p if mo_phong %}", 2)
    stamp = _line(word, "{{ mo_phong }}", 13, bold=True, align=ALIGN.CENTER)
    stamp.runs[0].font.color.rgb = _red()
    sides = "".join(
        f'<w:{side} w:val="single" w:sz="8" w:space="3" w:color="C00000"/>'
        for side in ("top", "left", "bottom", "right")
    )
    _insert(stamp, f"<w:pBdr {nsdecls('w')}>{sides}</w:pBdr>")
    stamp.paragraph_format.left_indent = stamp.paragraph_format.right_indent = Mm(45)
    stamp.paragraph_format.space_after = Pt(6)
    _line(word, "{%p endif %}", 2)


def _red():
    from docx.shared import RGBColor

    return RGBColor(0xC0, 0, 0)


def _add_header(word) -> None:
    table = _table(word, 2, (LEFT_MM, RIGHT_MM))
    left, right = table.rows[0].cells
    _line(left, "{%p if co_quan_chu_quan %}", 2)
    _line(left, "{{ co_quan_chu_quan }}", 13, align=ALIGN.CENTER)
    _line(left, "{%p endif %}", 2)
    _line(left, "{{ co_quan_ban_hanh }}", 13, bold=True, align=ALIGN.CENTER)
    _rule(left, LEFT_MM, BODY_LINE_MM)
    _line(right, "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", 13, bold=True, align=ALIGN.CENTER)
    _line(right, "Độc lập - Tự do - Hạnh phúc", 14, bold=True, align=ALIGN.CENTER)
    _rule(right, RIGHT_MM, MOTTO_MM)
    left, right = table.rows[1].cells
    _line(left, "{{ so_ky_hieu }}", 13, align=ALIGN.CENTER)
    _line(right, "{{ dia_danh_thoi_gian }}", 14, italic=True, align=ALIGN.CENTER)
    _drop_first_lines(table)


def _add_title(word) -> None:
    _line(word, "{{ ten_loai }}", 14, bold=True, align=ALIGN.CENTER, before=18)
    _line(word, "{{ trich_yeu }}", 14, bold=True, align=ALIGN.CENTER)
    _rule(word, 165, SUBJECT_LINE_MM)


def _add_addressees(word) -> None:
    _line(word, "{%p if kinh_gui|length == 1 %}", 2)
    _line(word, "Kính gửi: {{ kinh_gui|first }}", 14, align=ALIGN.CENTER, before=6)
    _line(word, "{%p endif %}", 2)
    _line(word, "{%p if kinh_gui|length > 1 %}", 2)
    _line(word, "Kính gửi:", 14, left_mm=35, before=6)
    _line(word, "{%p for dong in kinh_gui %}", 2)
    _line(word, "{{ dong }}", 14, left_mm=57)
    _line(word, "{%p endfor %}", 2)
    _line(word, "{%p endif %}", 2)


def _add_signature(word) -> None:
    _line(word, "", 8, keep=True)
    table = _table(word, 1, (75, 90))
    left, right = table.rows[0].cells
    _line(left, "{%p if noi_nhan %}", 2)
    _line(left, "Nơi nhận:", 12, bold=True, italic=True)
    _line(left, "{%p for dong in noi_nhan %}", 2)
    _line(left, "{{ dong }}", 11)
    _line(left, "{%p endfor %}", 2)
    _line(left, "{%p endif %}", 2)
    _line(right, "{%p for dong in quyen_han %}", 2)
    _line(right, "{{ dong }}", 14, bold=True, align=ALIGN.CENTER, keep=True)
    _line(right, "{%p endfor %}", 2)
    for _ in range(4):
        _line(right, "", 14, align=ALIGN.CENTER, keep=True)
    _line(right, "{{ nguoi_ky }}", 14, bold=True, align=ALIGN.CENTER)
    _drop_first_lines(table)


def _table(word, rows: int, widths_mm: tuple[int, int]):
    table = word.add_table(rows, 2)
    table.autofit = False
    properties = table._tbl.tblPr
    margins = parse_xml(
        f'<w:tblCellMar {nsdecls("w")}><w:left w:w="0" w:type="dxa"/><w:right w:w="0" w:type="dxa"/></w:tblCellMar>'
    )
    look = properties.find(qn("w:tblLook"))  # the schema wants the margins before it
    if look is None:
        properties.append(margins)
    else:
        look.addprevious(margins)
    for column, width in zip(table.columns, widths_mm, strict=True):
        column.width = Mm(width)
    for row in table.rows:
        row._tr.get_or_add_trPr().append(parse_xml(f"<w:cantSplit {nsdecls('w')}/>"))
        for cell, width in zip(row.cells, widths_mm, strict=True):
            cell.width = Mm(width)
    return table


def _drop_first_lines(table) -> None:
    """Remove the empty paragraph that every cell is born with."""
    for row in table.rows:
        for cell in row.cells:
            first = cell.paragraphs[0]
            if not first.text and len(cell.paragraphs) > 1:
                first._p.getparent().remove(first._p)


def _line(
    place, text: str, size: float, *, bold=False, italic=False, align=ALIGN.LEFT, first_line_mm=0.0, left_mm=0.0,
    before=0.0, keep=False,
):  # fmt: skip
    paragraph = place.add_paragraph()
    paragraph.alignment = align
    form = paragraph.paragraph_format
    form.space_before, form.space_after, form.line_spacing = Pt(before), Pt(0), 1.0
    if first_line_mm:
        form.first_line_indent = Mm(first_line_mm)
    if left_mm:
        form.left_indent = Mm(left_mm)
    form.keep_with_next = keep or None
    run = paragraph.add_run(text)
    run.font.size, run.font.bold, run.font.italic = Pt(size), bold or None, italic or None
    return paragraph


def _rule(place, width_mm: float, line_mm: float) -> None:
    """Draw a solid line of this length below the text before it, in the middle."""
    paragraph = place.add_paragraph()
    side = (width_mm - line_mm) / 2
    form = paragraph.paragraph_format
    form.left_indent = form.right_indent = Mm(side)
    form.space_before, form.space_after, form.line_spacing = Pt(2), Pt(4), Pt(4)
    paragraph.add_run("").font.size = Pt(2)
    _insert(paragraph, f'<w:pBdr {nsdecls("w")}><w:top w:val="single" w:sz="6" w:space="0" w:color="000000"/></w:pBdr>')


def _insert(paragraph, xml: str) -> None:
    """Add a border where the schema wants it: before shading, tabs and spacing."""
    properties = paragraph._p.get_or_add_pPr()
    spacing = properties.find(qn("w:spacing"))
    element = parse_xml(xml)
    if spacing is None:
        properties.append(element)
    else:
        spacing.addprevious(element)


def main(folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bao_cao.docx").write_bytes(make_common())
    print(f"{folder / 'bao_cao.docx'}: {wordml.PAGE_WIDTH} x {wordml.PAGE_HEIGHT} twips")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
