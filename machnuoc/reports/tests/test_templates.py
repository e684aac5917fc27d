"""Templates of organisations: filled in, and refused where they name what is not there or reach outside."""

import io
import zipfile
from dataclasses import replace

import pytest
from docx import Document

from machnuoc.reports import docx_writer, word_templates
from machnuoc.reports.errors import BadTemplate
from machnuoc.reports.layout import Header, Heading, OfficialDocument, Paragraph, Signature
from machnuoc.reports.tests.test_pages import make_table

DOCUMENT = OfficialDocument(
    Header("Sở Nông nghiệp", "Trung tâm Nước sạch", "BC-TTNS", "BÁO CÁO", "Kết quả tháng 10", "Quảng Ngãi"),
    (Heading(1, "I. KẾT QUẢ"), Paragraph("Đã hoàn thành."), make_table(3)),
    Signature(("GIÁM ĐỐC",), "Nguyễn Thị Ước"),
    recipients=("Như trên", "Lưu: VT"),
    figures={"households": "25.330 hộ", "growth/total/plan": "1.600"},
)


def make_template(*paragraphs: str, header: str = "") -> bytes:
    word = Document()
    for text in paragraphs:
        word.add_paragraph(text)
    if header:
        word.sections[0].header.paragraphs[0].text = header
    raw = io.BytesIO()
    word.save(raw)
    return raw.getvalue()


def with_part(content: bytes, name: str, part: bytes, *, replacing: bool = False) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(raw, "w") as target:
        for entry in source.namelist():
            if not (replacing and entry == name):
                target.writestr(entry, source.read(entry))
        target.writestr(name, part)
    return raw.getvalue()


def text_of(content: bytes) -> str:
    word = Document(io.BytesIO(content))
    return "\n".join(element.text or "" for element in word.element.body.iter() if element.tag.endswith("}t"))


def test_an_organisation_fills_in_its_own_template():
    template = make_template(
        "{{ co_quan_ban_hanh }}", "Số hộ: {{ so.households }}", 'Kế hoạch: {{ so["growth/total/plan"] }}',
        "{%p for dong in noi_nhan %}", "{{ dong }}", "{%p endfor %}", "{{p noi_dung }}", "{{ nguoi_ky|upper }}",
    )  # fmt: skip

    text = text_of(docx_writer.write(DOCUMENT, template))

    assert "TRUNG TÂM NƯỚC SẠCH" in text
    assert "Số hộ: 25.330 hộ" in text
    assert "Kế hoạch: 1.600" in text
    assert "- Lưu: VT." in text
    assert text.index("Đã hoàn thành.") < text.index("NGUYỄN THỊ ƯỚC")
    assert "\u2e28" not in text


def test_a_table_that_the_template_places_itself_is_not_printed_twice():
    content = docx_writer.write(DOCUMENT, make_template("{{p bang.stations }}", "{{p noi_dung }}"))

    word = Document(io.BytesIO(content))
    assert len(word.tables) == 1
    assert text_of(content).index("25.330") < text_of(content).index("Đã hoàn thành.")


def test_an_unknown_field_is_named_with_those_that_are_known():
    with pytest.raises(BadTemplate, match=r"«so_luong_ho» mà hệ thống không có.*trich_yeu"):
        docx_writer.write(DOCUMENT, make_template("{{ so_luong_ho }}"))


def test_an_unknown_figure_is_named_with_those_that_are_known():
    with pytest.raises(BadTemplate, match=r"«so\.ho_ngheo».*so\.households"):
        docx_writer.write(DOCUMENT, make_template("{{ so.ho_ngheo }}"))


def test_signs_of_xml_in_a_text_stay_text():
    document = replace(DOCUMENT, header=replace(DOCUMENT.header, subject="Nước & <w:p>sạch</w:p> {{ x }}"))

    assert "Nước & <w:p>sạch</w:p> {{ x }}" in text_of(docx_writer.write(document, make_template("{{ trich_yeu }}")))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ ''.__class__.__mro__ }}", "không phải một trường"),
        ("{{ noi_nhan.__class__ }}", "không phải một trường"),
        ("{{ range(10**9)|length }}", "không được phép"),
        ("{{ 'a' * 1000000000 }}", "phép nhân"),
        ("{% for a in can_cu %}" * 3 + "{% endfor %}" * 3, "quá phức tạp"),
        ("{% for a in trich_yeu %}{{ a }}{% endfor %}", "không phải danh sách"),
        ("{% set a = 1 %}", "đặt biến"),
        ("{% include 'settings.py' %}", "chèn mẫu khác"),
        ("{% macro x() %}{% endmacro %}", "macro"),
        ("{{ trich_yeu|attr('x') }}", "bộ lọc không được phép"),
        ("{{ cycler }}", "không có"),
        ("{{ self }}", "không có"),
        ("{% if %}", "viết sai"),
        ("{{ trich_yeu", "viết sai"),
        ("{{ so }}", "cần tên đi kèm"),
    ],
)  # fmt: skip
def test_a_hostile_or_broken_template_is_refused_with_the_reason(text, reason):
    with pytest.raises(BadTemplate, match=reason):
        docx_writer.write(DOCUMENT, make_template(text))


def relation(kind: str, target: str) -> bytes:
    return (
        '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/{kind}" '
        f'Target="{target}" TargetMode="External"/></Relationships>'
    ).encode()


@pytest.mark.parametrize(
    ("kind", "target"),
    [("attachedTemplate", "http://10.0.0.1/x.dotm"), ("image", "file:///etc/passwd"), ("hyperlink", "file:///etc/passwd")],
)  # fmt: skip
def test_what_reaches_outside_is_refused(kind, target):
    template = with_part(make_template("x"), "word/_rels/settings.xml.rels", relation(kind, target))

    with pytest.raises(BadTemplate, match="từ bên ngoài"):
        word_templates.check(template)


def test_an_ordinary_link_is_let_be():
    word_templates.check(
        with_part(make_template("x"), "word/_rels/x.xml.rels", relation("hyperlink", "https://tinh.gov.vn"))
    )


@pytest.mark.parametrize(
    ("name", "part", "reason"),
    [
        ("word/vbaProject.bin", b"x", "macro"),
        ("word/embeddings/oleObject1.bin", b"x", "nhúng tệp khác"),
        ("word/x.xml", b'<w:p xmlns:w="w"><w:instrText> INCLUDETEXT "c:/a"</w:instrText></w:p>', "INCLUDETEXT"),
        ("word/x.xml", b'<w:fldSimple xmlns:w="w" w:instr=" DDEAUTO a b"/>', "DDEAUTO"),
        ("word/y.xml", b'<w:altChunk xmlns:w="w"/>', "altChunk"),
    ],
)
def test_what_runs_or_includes_is_refused(name, part, reason):
    with pytest.raises(BadTemplate, match=reason):
        word_templates.check(with_part(make_template("x"), name, part))


def test_a_field_in_the_page_header_is_refused_because_it_would_be_printed_as_it_stands():
    with pytest.raises(BadTemplate, match="thân văn bản"):
        word_templates.check(make_template("x", header="{{ trich_yeu }}"))


def test_what_is_no_word_file_is_refused():
    with pytest.raises(BadTemplate, match=r"không phải mẫu Word"):
        word_templates.check(b"%PDF-1.7")
