"""An official document as plain values: what stands on the page, before any file format.

Built from a report's figures and narrative, written by `docx_writer` and `xlsx_writer`, kept whole in a snapshot.
The form is that of Nghị định 30/2020/NĐ-CP, Phụ lục I (see docs/algorithms/official_documents.md).
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Literal

Align = Literal["left", "center", "right"]
Severity = Literal["", "good", "info", "warning", "danger"]

SIMULATED_MARK = "*"
SIMULATED_NOTE = "* Số liệu mô phỏng, chỉ để minh họa; không dùng để báo cáo chính thức."
SIMULATED_STAMP = "CÓ SỐ LIỆU MÔ PHỎNG"


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of the body. level: 1 «I.», 2 «1.», 3 «a)»; the text carries its number."""

    level: Literal[1, 2, 3]
    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph of the body, one line indent. is_note: smaller and italic, as below a table."""

    text: str
    is_note: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. share: of the width, in any unit; is_number: aligned right, a number in the workbook."""

    title: str
    share: float = 1.0
    align: Align = "left"
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell as printed. number: the exact figure for the workbook; severity: of the band whose name the text says."""

    text: str = ""
    number: Decimal | None = None
    severity: Severity = ""


@dataclass(frozen=True, slots=True)
class Row:
    cells: tuple[Cell, ...]
    is_total: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table. unit_note: «Đơn vị tính: hộ», above it on the right. Raises ValueError for a row of another width."""

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    unit_note: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows, 1):
            if len(row.cells) != len(self.columns):
                raise ValueError(f"table {self.key}, row {number}: {len(row.cells)} cells, {len(self.columns)} columns")


Block = Heading | Paragraph | Table


@dataclass(frozen=True, slots=True)
class Annex:
    """A «Phụ lục» on pages of its own, with its own page numbers. Numbered by Roman numerals where there are more."""

    title: str
    blocks: tuple[Block, ...]
    is_landscape: bool = False


@dataclass(frozen=True, slots=True)
class Header:
    """What stands above the body.

    number: whole, as the clerk gave it («15/BC-TTNS»); empty in drafts, which print the symbol after a blank.
    issued_on: None in drafts. type_name: «BÁO CÁO». subject: the «trích yếu».
    """

    parent_body: str
    issuing_body: str
    symbol: str
    type_name: str
    subject: str
    place_name: str
    number: str = ""
    issued_on: date | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """capacity: lines such as «KT. GIÁM ĐỐC», «PHÓ GIÁM ĐỐC»."""

    capacity: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class OfficialDocument:
    header: Header
    blocks: tuple[Block, ...]
    signature: Signature
    addressees: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    annexes: tuple[Annex, ...] = ()
    figures: dict[str, str] = field(default_factory=dict)  # key → text, for templates that name single figures
    is_simulated: bool = False

    def list_tables(self) -> Iterator[Table]:
        """Give all tables, those of the body first."""
        for blocks in (self.blocks, *(annex.blocks for annex in self.annexes)):
            yield from (block for block in blocks if isinstance(block, Table))


# --- words of the form ------------------------------------------------------------------------------------------


def number_line(header: Header) -> str:
    """Return «Số: 15/BC-TTNS», or with a blank for the clerk: «Số:      /BC-TTNS».

    >>> number_line(Header("", "A", "BC-TTNS", "BÁO CÁO", "b", "Quảng Ngãi", number="15/BC-TTNS"))
    'Số: 15/BC-TTNS'
    """
    return f"Số: {header.number}" if header.number else f"Số:{' ' * 6}/{header.symbol}"


def place_date_line(header: Header) -> str:
    """Return «Quảng Ngãi, ngày 05 tháng 01 năm 2027»: days below 10 and months 1 and 2 with a leading zero.

    >>> place_date_line(Header("", "A", "BC", "BÁO CÁO", "b", "Hà Nội", issued_on=date(2019, 6, 29)))
    'Hà Nội, ngày 29 tháng 6 năm 2019'
    """
    day = header.issued_on
    place = f"{header.place_name}, " if header.place_name else ""
    if day is None:
        return f"{place}ngày{' ' * 6}tháng{' ' * 6}năm{' ' * 8}"
    month = f"{day.month:02}" if day.month <= 2 else str(day.month)
    return f"{place}ngày {day.day:02} tháng {month} năm {day.year}"


def address_lines(addressees: Iterable[str]) -> tuple[str, ...]:
    """Return the lines after «Kính gửi:»: one as it is, several as a list that ends with a full stop.

    >>> address_lines(["Sở A", "Sở B."])
    ('- Sở A;', '- Sở B.')
    """
    names = [name.strip().rstrip(";.") for name in addressees if name.strip()]
    if len(names) < 2:
        return tuple(names)
    return (*(f"- {name};" for name in names[:-1]), f"- {names[-1]}.")


def recipient_lines(recipients: Iterable[str]) -> tuple[str, ...]:
    """Return the lines below «Nơi nhận:», the last one with a full stop.

    >>> recipient_lines(["Như trên", "- Lưu: VT, KHKTTT"])
    ('- Như trên;', '- Lưu: VT, KHKTTT.')
    """
    names = [name.strip().lstrip("-").strip().rstrip(";.") for name in recipients if name.strip()]
    if not names:
        return ()
    return (*(f"- {name};" for name in names[:-1]), f"- {names[-1]}.")


def basis_lines(bases: Iterable[str]) -> tuple[str, ...]:
    """Return the legal bases, «;» after each and «.» after the last."""
    texts = [text.strip().rstrip(";.,") for text in bases if text.strip()]
    return tuple(f"{text}{'.' if number == len(texts) else ';'}" for number, text in enumerate(texts, 1))


_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV", "XV")
_LETTERS = ("a", "b", "c", "d", "đ", "e", "g", "h", "i", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v")


def roman(number: int) -> str:
    """Return I … XV. Raises ValueError beyond.

    >>> roman(4)
    'IV'
    """
    if not 1 <= number <= len(_ROMAN):
        raise ValueError(f"no Roman numeral kept for {number}")
    return _ROMAN[number - 1]


def number_headings(headings: Iterable[tuple[int, str]]) -> list[str]:
    """Return headings with their numbers: «I. …» of level 1, «1. …» of level 2, «a) …» of level 3.

    >>> number_headings([(1, "Kết quả"), (2, "Khách hàng"), (2, "Vốn"), (1, "Kiến nghị")])
    ['I. Kết quả', '1. Khách hàng', '2. Vốn', 'II. Kiến nghị']
    """
    counts = [0, 0, 0]
    found = []
    for level, text in headings:
        counts[level - 1] += 1
        counts[level:] = [0] * (3 - level)
        sign = {1: f"{roman(counts[0])}.", 2: f"{counts[1]}.", 3: f"{_LETTERS[counts[2] - 1]})" if counts[2] else ""}
        found.append(f"{sign[level]} {text}")
    return found


# --- as data, for the snapshot ----------------------------------------------------------------------------------


def as_data(document: OfficialDocument) -> dict[str, Any]:
    """Return the document as what JSON holds; `from_data` reads it back to an equal document."""
    return {
        "header": {
            **asdict(document.header),
            "issued_on": document.header.issued_on.isoformat() if document.header.issued_on else None,
        },
        "addressees": list(document.addressees),
        "bases": list(document.bases),
        "blocks": [_block_data(block) for block in document.blocks],
        "signature": {"capacity": list(document.signature.capacity), "name": document.signature.name},
        "recipients": list(document.recipients),
        "annexes": [
            {
                "title": annex.title, "is_landscape": annex.is_landscape,
                "blocks": [_block_data(block) for block in annex.blocks],
            }
            for annex in document.annexes
        ],
        "figures": document.figures,
        "is_simulated": document.is_simulated,
    }  # fmt: skip


def from_data(data: dict[str, Any]) -> OfficialDocument:
    """Return the document that `as_data` wrote down. Raises KeyError or TypeError for other data."""
    head = dict(data["header"])
    head["issued_on"] = date.fromisoformat(head["issued_on"]) if head["issued_on"] else None
    return OfficialDocument(
        header=Header(**head),
        addressees=tuple(data["addressees"]),
        bases=tuple(data["bases"]),
        blocks=tuple(_block_of(block) for block in data["blocks"]),
        signature=Signature(tuple(data["signature"]["capacity"]), data["signature"]["name"]),
        recipients=tuple(data["recipients"]),
        annexes=tuple(
            Annex(annex["title"], tuple(_block_of(block) for block in annex["blocks"]), annex["is_landscape"])
            for annex in data["annexes"]
        ),
        figures=dict(data["figures"]),
        is_simulated=data["is_simulated"],
    )


def _block_data(block: Block) -> dict[str, Any]:
    match block:
        case Heading():
            return {"heading": block.level, "text": block.text}
        case Paragraph():
            return {"text": block.text, "is_note": block.is_note}
        case Table():
            return {
                "table": block.key, "title": block.title, "unit_note": block.unit_note, "notes": list(block.notes),
                "columns": [asdict(column) for column in block.columns],
                "rows": [
                    {
                        "is_total": row.is_total,
                        "cells": [
                            [cell.text, None if cell.number is None else str(cell.number), cell.severity]
                            for cell in row.cells
                        ],
                    }
                    for row in block.rows
                ],
            }  # fmt: skip


def _block_of(data: dict[str, Any]) -> Block:
    if "heading" in data:
        return Heading(data["heading"], data["text"])
    if "table" not in data:
        return Paragraph(data["text"], data["is_note"])
    return Table(
        key=data["table"],
        title=data["title"],
        unit_note=data["unit_note"],
        notes=tuple(data["notes"]),
        columns=tuple(Column(**column) for column in data["columns"]),
        rows=tuple(
            Row(
                tuple(
                    Cell(text, None if number is None else Decimal(number), severity)
                    for text, number, severity in row["cells"]
                ),
                row["is_total"],
            )
            for row in data["rows"]
        ),
    )
