"""How long a long report takes: 40 pages with 12 tables, against python-docx writing the same finished text.

Called by `machnuoc bench indicators --plans`. The peer is given every string ready; ours starts from a report's figures
and text: it lays out headings, rows and numbers, fills the template, writes the file.
"""

import io
import statistics
import time
from collections.abc import Callable
from decimal import Decimal

from machnuoc.bench.common import Result
from machnuoc.reports import docx_writer, kinds, layout, word_templates
from machnuoc.reports.kinds import Gathered, Kind, Material, Section, Shown, TableColumn, TableSpec

REPETITIONS = 3
LIMIT = 5.0
TABLES, ROWS, PARAGRAPHS = 12, 60, 8
_SENTENCE = (
    "Trung tâm đã phối hợp với chính quyền địa phương, các tổ chức đoàn thể tuyên truyền, vận động người dân "
    "đấu nối và sử dụng nước sạch từ hệ thống cấp nước tập trung; rà soát phạm vi cấp nước của từng công trình. "
)
_COLUMNS = (
    TableColumn("", "TT", 0.5), TableColumn("label", "Trạm cấp nước", 3), TableColumn("design", "Thiết kế"),
    TableColumn("now", "Đấu nối"), TableColumn("share", "Mức khai thác (%)"),
    TableColumn("band", "Xếp loại", 1.4, is_number=False),
)  # fmt: skip


def bench_report() -> list[Result]:
    """Return the metric `report_40_pages`: the median time of ours, and its ratio to python-docx."""
    kind, material = _material()
    template = word_templates.shipped(kind.key)
    document = kinds.lay_out(kind, material)
    ours = _median_ms(lambda: docx_writer.write(kinds.lay_out(kind, material), template))
    peer = _median_ms(lambda: _write_plainly(document))
    tables = sum(1 for _ in document.list_tables())
    return [
        Result(
            "report_40_pages", ours, "ms", "python-docx writing the same finished text", ours / peer, LIMIT,
            f"{tables} tables of {ROWS} rows, {len(document.blocks)} blocks",
        )
    ]  # fmt: skip


def sample() -> layout.OfficialDocument:
    """Return the document that is measured, to look at and to count its pages."""
    return kinds.lay_out(*_material())


def _material() -> tuple[Kind, Material]:
    sections = tuple(Section(f"s{number}", f"Kết quả của nhóm công trình {number}") for number in range(TABLES))
    tables = tuple(
        TableSpec(f"t{number}", f"Biểu {number + 1}. Công trình của nhóm {number + 1}", _COLUMNS, after=f"s{number}")
        for number in range(TABLES)
    )
    kind = Kind("bench", "Báo cáo dài", "M", sections, tables, lambda _: Gathered((), {}))
    figures: list[Shown] = []
    for table in range(TABLES):
        for row in range(ROWS):
            key, name = f"t{table}/w{row}", f"Trạm cấp nước số {row + 1}"
            connected = Decimal(300 + 17 * row)
            share = Decimal("12.5") + row
            figures += [
                Shown(f"{key}/design", name, "1.600", "1600"),
                Shown(f"{key}/now", name, str(connected), str(connected)),
                Shown(f"{key}/share", name, str(share).replace(".", ","), str(share)),
                Shown(f"{key}/band", name, "Trung bình", "", "warning"),
            ]
    header = layout.Header("Sở A", "Trung tâm B", "BC-B", "BÁO CÁO", "Kết quả năm 2026", "Quảng Ngãi")
    frame = layout.OfficialDocument(
        header, (), layout.Signature(("GIÁM ĐỐC",), "Nguyễn Văn A"), recipients=("Lưu: VT",)
    )
    text = "\n".join(_SENTENCE * 3 for _ in range(PARAGRAPHS))
    return kind, Material(frame, tuple(figures), {section.key: text for section in sections})


def _write_plainly(document: layout.OfficialDocument) -> bytes:
    """Write the same headings, paragraphs and cells with python-docx's own calls."""
    from docx import Document

    word = Document()
    for line in (document.header.issuing_body, layout.number_line(document.header), document.header.subject):
        word.add_paragraph(line)
    for block in document.blocks:
        match block:
            case layout.Heading() | layout.Paragraph():
                word.add_paragraph(block.text)
            case layout.Table():
                word.add_paragraph(block.title)
                table = word.add_table(rows=len(block.rows) + 1, cols=len(block.columns))
                for cell, column in zip(table.rows[0].cells, block.columns, strict=True):
                    cell.text = column.title
                for line_cells, row in zip(list(table.rows)[1:], block.rows, strict=True):
                    for cell, given in zip(line_cells.cells, row.cells, strict=True):
                        cell.text = given.text
    raw = io.BytesIO()
    word.save(raw)
    return raw.getvalue()


def _median_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1_000)
    return statistics.median(times)
