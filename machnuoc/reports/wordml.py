"""Blocks of a document as WordprocessingML, with the sizes and spacings of Nghị định 30/2020/NĐ-CP, Phụ lục I.

Every paragraph carries its formatting itself, so that it looks the same inside any organisation's own template.
Lengths in the file are twentieths of a point («twips»): 1 mm = 56.7.
"""

import re
from collections.abc import Iterable
from xml.sax.saxutils import escape

from machnuoc.reports.layout import Annex, Block, Cell, Column, Heading, Paragraph, Row, Severity, Table

NAMESPACES = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'

# A4 and its margins (top, right, bottom, left) in twips: 20, 15, 20, 30 mm.
PAGE_WIDTH, PAGE_HEIGHT = 11_906, 16_838
MARGIN_TOP, MARGIN_RIGHT, MARGIN_BOTTOM, MARGIN_LEFT = 1_134, 850, 1_134, 1_701
TEXT_WIDTH = PAGE_WIDTH - MARGIN_LEFT - MARGIN_RIGHT
TEXT_WIDTH_LANDSCAPE = PAGE_HEIGHT - MARGIN_LEFT - MARGIN_RIGHT

_INDENT = 720  # 1.27 cm
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
# Light enough to be read, and printed in grey, with the band's name in the cell.
_FILLS: dict[Severity, str] = {"good": "DDF0E0", "info": "E3EDF7", "warning": "FFF1CC", "danger": "F8D3CC"}
_BORDERS = "".join(
    f'<w:{side} w:val="single" w:sz="4" w:space="0" w:color="000000"/>'
    for side in ("top", "left", "bottom", "right", "insideH", "insideV")
)


def text_of(text: str) -> str:
    """Return the text as XML holds it, without characters that it cannot hold.

    >>> text_of("Sở A & B <\\x07>")
    'Sở A &amp; B &lt;&gt;'
    """
    return escape(printable(text))


def printable(text: str) -> str:
    """Return the text without characters that XML cannot hold."""
    return _NOT_XML.sub("", text)


def run(text: str, half_points: int, *, bold: bool = False, italic: bool = False) -> str:
    """Return a run of Times New Roman; half_points: twice the size."""
    marks = ("<w:b/>" if bold else "") + ("<w:i/>" if italic else "")
    return (
        '<w:r><w:rPr><w:rFonts w:ascii="Times New Roman" w:hAnsi="Times New Roman" w:cs="Times New Roman" '
        f'w:eastAsia="Times New Roman"/>{marks}<w:color w:val="000000"/><w:sz w:val="{half_points}"/>'
        f'<w:szCs w:val="{half_points}"/></w:rPr><w:t xml:space="preserve">{text_of(text)}</w:t></w:r>'
    )


def paragraph(
    runs: str, *, align: str = "both", before: int = 0, after: int = 0, first_line: int = 0, keep_next: bool = False
) -> str:
    keep = "<w:keepNext/>" if keep_next else ""
    indent = f'<w:ind w:firstLine="{first_line}"/>' if first_line else ""
    return (
        f'<w:p><w:pPr>{keep}<w:spacing w:before="{before}" w:after="{after}" w:line="240" w:lineRule="auto"/>{indent}'
        f'<w:jc w:val="{align}"/></w:pPr>{runs}</w:p>'
    )


def blocks(items: Iterable[Block], *, width: int = TEXT_WIDTH) -> str:
    """Return the XML of blocks; width: of the text, in twips."""
    return "".join(_block(item, width) for item in items)


def _block(item: Block, width: int) -> str:
    match item:
        case Heading(level=level, text=text):
            return paragraph(
                run(text, 28, bold=level < 3), align="left", before=120, first_line=_INDENT, keep_next=True
            )
        case Paragraph(text=text, is_note=True):
            return paragraph(run(text, 24, italic=True), before=60)
        case Paragraph(text=text):
            return paragraph(run(text, 28), before=120, first_line=_INDENT)
        case Table():
            return table(item, width)


def table(item: Table, width: int = TEXT_WIDTH) -> str:
    """Return a table with its title above, its unit, its notes below; the head is repeated on every page."""
    shares = sum(column.share for column in item.columns)
    widths = [int(width * column.share / shares) for column in item.columns]
    parts = []
    if item.title:
        parts.append(paragraph(run(item.title, 26, bold=True), align="center", before=180, after=60, keep_next=True))
    if item.unit_note:
        parts.append(paragraph(run(item.unit_note, 24, italic=True), align="right", after=60, keep_next=True))
    grid = "".join(f'<w:gridCol w:w="{cell_width}"/>' for cell_width in widths)
    head = "".join(
        _cell(run(column.title, 24, bold=True), cell_width, "center")
        for column, cell_width in zip(item.columns, widths, strict=True)
    )
    rows = "".join(_row(row, item.columns, widths) for row in item.rows)
    if not item.rows:
        empty = paragraph(run("Chưa có số liệu", 24, italic=True), align="center")
        rows = f'<w:tr><w:tc><w:tcPr><w:gridSpan w:val="{len(widths)}"/></w:tcPr>{empty}</w:tc></w:tr>'
    parts.append(
        f'<w:tbl><w:tblPr><w:tblW w:w="{sum(widths)}" w:type="dxa"/><w:jc w:val="center"/>'
        f'<w:tblBorders>{_BORDERS}</w:tblBorders><w:tblLayout w:type="fixed"/>'
        '<w:tblCellMar><w:top w:w="30" w:type="dxa"/><w:left w:w="70" w:type="dxa"/>'
        '<w:bottom w:w="30" w:type="dxa"/><w:right w:w="70" w:type="dxa"/></w:tblCellMar></w:tblPr>'
        f"<w:tblGrid>{grid}</w:tblGrid><w:tr><w:trPr><w:cantSplit/><w:tblHeader/></w:trPr>{head}</w:tr>{rows}</w:tbl>"
    )
    # Two tables that touch would become one; the empty line also sets the table off from the text.
    parts += [paragraph(run(note, 24, italic=True), before=60) for note in item.notes]
    parts.append(paragraph(run("", 12)))
    return "".join(parts)


def _row(row: Row, columns: tuple[Column, ...], widths: list[int]) -> str:
    cells = "".join(
        _body_cell(cell, column, width, row.is_total)
        for cell, column, width in zip(row.cells, columns, widths, strict=True)
    )
    return f"<w:tr><w:trPr><w:cantSplit/></w:trPr>{cells}</w:tr>"


def _body_cell(cell: Cell, column: Column, width: int, is_total: bool) -> str:
    return _cell(run(cell.text, 24, bold=is_total), width, column.align, _FILLS.get(cell.severity, ""))


def _cell(runs: str, width: int, align: str, fill: str = "") -> str:
    shade = f'<w:shd w:val="clear" w:color="auto" w:fill="{fill}"/>' if fill else ""
    return (
        f'<w:tc><w:tcPr><w:tcW w:w="{width}" w:type="dxa"/>{shade}<w:vAlign w:val="center"/></w:tcPr>'
        f"{paragraph(runs, align=align)}</w:tc>"
    )


def annex(item: Annex, label: str, note: str) -> str:
    """Return the content of an annex: «Phụ lục I», its title, the document it belongs to, its blocks."""
    width = TEXT_WIDTH_LANDSCAPE if item.is_landscape else TEXT_WIDTH
    return (
        paragraph(run(label, 28, bold=True), align="center", keep_next=True)
        + paragraph(run(item.title.upper(), 28, bold=True), align="center", keep_next=True)
        + paragraph(run(note, 26, italic=True), align="center", after=120, keep_next=True)
        + blocks(item.blocks, width=width)
    )
