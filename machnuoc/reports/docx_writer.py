"""An official document as a Word file: an organisation's template, filled in, with our own text, tables and annexes.

The template holds the form (page, header, signature); what is long or repeated comes from `wordml` (see
docs/adr/0006-word-templates.md). The same document gives the same bytes.
"""

import io
import zipfile
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

from docx.document import Document as Word
from docx.oxml import parse_xml
from docx.oxml.ns import qn

from machnuoc.reports import layout, word_templates, wordml
from machnuoc.reports.layout import Annex, OfficialDocument, Table

_ZIP_DATE = (2020, 1, 1, 0, 0, 0)


def write(document: OfficialDocument, template: bytes) -> bytes:
    """Return the .docx of a document. Raises BadTemplate where the template names what the document does not have."""
    fields = fields_of(document)
    rendered, used_tables = word_templates.render(template, fields)
    left = _without(document, used_tables)
    _fill(rendered, "noi_dung", wordml.blocks(left.blocks))
    _hold_to_signature(rendered)
    for key in used_tables:
        _fill(rendered, f"bang.{key}", _xml_of_table(document, key))
    _append_annexes(rendered, left, document)
    _describe(rendered, document)
    raw = io.BytesIO()
    rendered.save(raw)
    return same_bytes(raw.getvalue())


def fields_of(document: OfficialDocument) -> word_templates.Fields:
    """Return what a template may name."""
    header = document.header
    return word_templates.Fields(
        texts={
            "co_quan_chu_quan": header.parent_body.upper(),
            "co_quan_ban_hanh": header.issuing_body.upper(),
            "so_ky_hieu": layout.number_line(header),
            "dia_danh_thoi_gian": layout.place_date_line(header),
            "ten_loai": header.type_name.upper(),
            "trich_yeu": header.subject,
            "nguoi_ky": document.signature.name,
            "mo_phong": layout.SIMULATED_STAMP if document.is_simulated else "",
        },
        lists={
            "kinh_gui": layout.address_lines(document.addressees),
            "can_cu": layout.basis_lines(document.bases),
            "quyen_han": tuple(line.upper() for line in document.signature.capacity),
            "noi_nhan": layout.recipient_lines(document.recipients),
        },
        figures=document.figures,
        tables=tuple(table.key for table in document.list_tables()),
    )


def _without(document: OfficialDocument, used: frozenset[str]) -> OfficialDocument:
    """Return the document without the tables that the template places itself, and without annexes that hold no more."""
    if not used:
        return document

    def kept(blocks: tuple[layout.Block, ...]) -> tuple[layout.Block, ...]:
        return tuple(block for block in blocks if not (isinstance(block, Table) and block.key in used))

    annexes = (replace(annex, blocks=kept(annex.blocks)) for annex in document.annexes)
    return replace(document, blocks=kept(document.blocks), annexes=tuple(annex for annex in annexes if annex.blocks))


def _xml_of_table(document: OfficialDocument, key: str) -> str:
    return next(wordml.table(table) for table in document.list_tables() if table.key == key)


def _fill(word: Word, field: str, xml: str) -> None:
    """Put blocks where the template has the field; nothing happens where it has none."""
    for marker in list(word_templates.find_markers(word, field)):
        for element in _elements(xml):
            marker.addprevious(element)
        marker.getparent().remove(marker)


def _hold_to_signature(word: Word) -> None:
    """Keep the last lines of the body on the page of the signature, which never stands on a page of its own."""
    tables = word.element.body.findall(qn("w:tbl"))
    line = tables[-1].getprevious() if tables else None
    while line is not None and line.tag == qn("w:p"):
        properties = line.get_or_add_pPr()
        if properties.find(qn("w:keepNext")) is None:
            properties.insert(0, parse_xml(f"<w:keepNext {wordml.NAMESPACES}/>"))
        if line.text.strip():
            return
        line = line.getprevious()


def _elements(xml: str) -> Iterator[Any]:
    root = parse_xml(f"<w:body {wordml.NAMESPACES}>{xml}</w:body>")
    yield from list(root)


def _append_annexes(word: Word, left: OfficialDocument, document: OfficialDocument) -> None:
    """Add each annex as a section of its own at the end, upright or across, with its own page numbers."""
    body = word.element.body
    last = body.find(qn("w:sectPr"))
    if last is None or not left.annexes:
        return
    note = annex_note(document)
    for number, annex in enumerate(left.annexes, 1):
        ended = deepcopy(last)
        closing = parse_xml(f"<w:p {wordml.NAMESPACES}><w:pPr/></w:p>")
        closing.pPr.append(ended)
        previous = last.getprevious()
        last.addprevious(closing)
        if previous is not None and previous.tag == qn("w:p") and not "".join(previous.itertext()).strip():
            body.remove(previous)  # the empty line after a table would start a page of its own
        label = f"Phụ lục {layout.roman(number)}" if len(left.annexes) > 1 else "Phụ lục"
        for element in _elements(wordml.annex(annex, label, note)):
            last.addprevious(element)
        _shape(last, annex)


def _shape(section: Any, annex: Annex) -> None:
    """Turn the section's page and let its numbers start anew."""
    size = section.find(qn("w:pgSz"))
    wide, high = (
        (wordml.PAGE_HEIGHT, wordml.PAGE_WIDTH) if annex.is_landscape else (wordml.PAGE_WIDTH, wordml.PAGE_HEIGHT)
    )
    size.set(qn("w:w"), str(wide))
    size.set(qn("w:h"), str(high))
    if annex.is_landscape:
        size.set(qn("w:orient"), "landscape")
    else:
        size.attrib.pop(qn("w:orient"), None)
    numbers = section.find(qn("w:pgNumType"))
    if numbers is None:
        numbers = parse_xml(f"<w:pgNumType {wordml.NAMESPACES}/>")
        section.find(qn("w:pgMar")).addnext(numbers)
    numbers.set(qn("w:start"), "1")


def annex_note(document: OfficialDocument) -> str:
    """Return «(Kèm theo Báo cáo số 15/BC-TTNS ngày 14 tháng 11 năm 2026 của …)», with blanks in drafts."""
    header = document.header
    name = header.type_name.capitalize()
    number = header.number or f"      /{header.symbol}"
    day = layout.place_date_line(replace(header, place_name=""))
    return f"(Kèm theo {name} số {number} {day} của {header.issuing_body})"


def _describe(word: Word, document: OfficialDocument) -> None:
    properties = word.core_properties
    title = f"{document.header.type_name.capitalize()} {document.header.subject}"
    properties.title = wordml.printable(title)[:250]
    properties.author = wordml.printable(document.header.issuing_body)[:250]
    properties.last_modified_by = ""
    properties.language = "vi-VN"


def same_bytes(package: bytes) -> bytes:
    """Return the package with its parts in order and without the time of writing: equal content, equal hash."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as source, zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(source.namelist(), key=lambda part: (part != "[Content_Types].xml", part)):
            entry = zipfile.ZipInfo(name, _ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, source.read(name))
    return result.getvalue()
