"""Word templates of reports: made by the program, replaced by organisations, never trusted.

A template is an ordinary .docx with fields in double braces (list in docs/adr/0006-word-templates.md). It may show
fields, loop over the four lists, and ask whether one is there; every other instruction of the template language is
refused before anything is rendered, and rendering happens in a sandbox besides.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docx.document import Document as Word
from docx.oxml.ns import qn
from docxtpl import DocxTemplate
from jinja2 import nodes
from jinja2.exceptions import TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from lxml import etree
from markupsafe import Markup, escape

from machnuoc.reports.errors import BadTemplate

if TYPE_CHECKING:
    from machnuoc.reports.models import ReportTemplate

FOLDER = Path(__file__).parent / "templates_docx"
COMMON = "bao_cao"  # the form that every kind has unless it ships one of its own

PARTS_MAX = 200
XML_MAX_BYTES = 1_500_000
FILLED_MAX_CHARS = 50_000_000  # at most, by the length of the lists and how deep they are looped over
_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Const, nodes.For,
    nodes.If, nodes.Not, nodes.And, nodes.Or, nodes.Compare, nodes.Operand, nodes.Filter,
)  # fmt: skip
_FILTERS = frozenset({"upper", "lower", "capitalize", "length", "first", "last", "join", "default"})
_LOOP = frozenset({"index", "index0", "first", "last", "length"})
_WORDS = {
    nodes.Call: "gọi hàm",
    nodes.Import: "nạp mẫu khác",
    nodes.FromImport: "nạp mẫu khác",
    nodes.Include: "chèn mẫu khác",
    nodes.Extends: "kế thừa mẫu khác",
    nodes.Macro: "macro",
    nodes.Assign: "đặt biến",
    nodes.Mul: "phép nhân",
    nodes.Pow: "lũy thừa",
    nodes.Concat: "nối chuỗi",
    nodes.Add: "phép cộng",
}
_DANGEROUS = re.compile(r"\b(DDE|DDEAUTO|INCLUDETEXT|INCLUDEPICTURE|IMPORT|LINK|EMBED|RD|DATABASE|AUTOTEXT)\b")
_HYPERLINK = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/hyperlink"
_OUTSIDE = re.compile(r"\s*([a-z][a-z0-9+.-]*:|//|\\\\)", re.IGNORECASE)
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
_MARKER = "\u2e28{}\u2e29"


@dataclass(frozen=True)
class Fields:
    """What a template may name. tables: keys of «bang»; figures: by key of «so»; None: not known yet, let all be."""

    texts: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]]
    figures: Mapping[str, str] | None = field(default_factory=dict)
    tables: tuple[str, ...] | None = ()

    def list_names(self) -> list[str]:
        return sorted([*self.texts, *self.lists, "noi_dung", "so", "bang"])


# --- reading ----------------------------------------------------------------------------------------------------


@cache
def shipped(kind_key: str) -> bytes:
    """Return the template that the program brings for a kind."""
    own = FOLDER / f"{kind_key}.docx"
    return (own if own.exists() else FOLDER / f"{COMMON}.docx").read_bytes()


def read(kind_key: str, chosen: "ReportTemplate | None") -> bytes:
    """Return the chosen template, the shipped one where none was chosen. Raises LostFile."""
    if chosen is None:
        return shipped(kind_key)
    from machnuoc.core import files

    with files.open_file(chosen.file) as stream:
        return stream.read()


def hash_of(kind_key: str, chosen: "ReportTemplate | None") -> str:
    return hashlib.sha256(read(kind_key, chosen)).hexdigest()


# --- checking ---------------------------------------------------------------------------------------------------


def check(content: bytes) -> None:
    """Raise BadTemplate for a package that reaches outside, runs something, or hides fields where they are not filled.

    `core.files.store` has refused macros, passwords and bombs before.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            names = package.namelist()
            if len(names) > PARTS_MAX or sum(entry.file_size for entry in package.infolist()) > 20 * XML_MAX_BYTES:
                raise BadTemplate("Mẫu Word quá lớn. Bỏ bớt ảnh và nội dung không cần trong mẫu rồi tải lên lại.")
            for name in names:
                _check_part(name, package.read(name))
    except (zipfile.BadZipFile, KeyError):
        raise BadTemplate("Tệp không phải mẫu Word (.docx). Lưu lại bằng phần mềm văn phòng rồi tải lên.") from None


def _check_part(name: str, content: bytes) -> None:
    low = name.lower()
    if low.endswith(("vbaproject.bin", "vbadata.xml")) or "/activex/" in low:
        raise BadTemplate("Mẫu Word chứa macro hoặc điều khiển ActiveX nên không được nhận. Lưu lại thành .docx.")
    if "/embeddings/" in low or "/afchunk" in low:
        raise BadTemplate(f"Mẫu Word nhúng tệp khác ({name}) nên không được nhận. Bỏ đối tượng nhúng rồi lưu lại.")
    must_be_xml = low.endswith((".xml", ".rels"))
    if must_be_xml and len(content) > XML_MAX_BYTES:
        raise BadTemplate(f"Mẫu Word quá dài (phần {name}). Mẫu chỉ nên có phần đầu, phần ký và các trường.")
    # Read as XML, not as text: prefixes, entities and encodings hide words from a pattern. A package names its parts
    # freely, so whatever reads as XML is looked at.
    try:
        root = etree.fromstring(content, _PARSER)
    except etree.XMLSyntaxError:
        if must_be_xml:
            raise BadTemplate(f"Mẫu Word bị hỏng (phần {name}). Lưu lại bằng phần mềm văn phòng rồi tải lên.") from None
        return
    _check_relations(root)
    _check_fields(root)
    if low != "word/document.xml" and re.search(r"{[{%#]", "".join(root.itertext())):
        raise BadTemplate(
            f"Mẫu Word có trường ở phần {name}; trường chỉ được điền trong thân văn bản. Chuyển trường vào thân."
        )


def _local(name: object) -> str:
    """Return a tag's or attribute's name without its namespace; empty for comments and the like."""
    return name.rpartition("}")[2] if isinstance(name, str) else ""


def _check_relations(root: Any) -> None:
    """Raise BadTemplate for what is fetched from outside; a link that people click is none of that."""
    for element in root.iter():
        local = _local(element.tag)
        if local == "altChunk":
            raise BadTemplate("Mẫu Word chèn tệp khác (altChunk) nên không được nhận. Chép nội dung đó vào mẫu.")
        if local == "Relationship":
            kind, target = element.get("Type", ""), element.get("Target", "")
            is_outside = element.get("TargetMode", "").strip().lower() == "external" or _OUTSIDE.match(target)
            if is_outside and not (kind == _HYPERLINK and re.match(r"https?:|mailto:", target)):
                raise _fetches(target)
        elif "vml" in str(element.tag) or "office:office" in str(element.tag):
            for name, value in element.attrib.items():
                if _local(name) in {"src", "althref"} and _OUTSIDE.match(value):
                    raise _fetches(value)


def _fetches(target: str) -> BadTemplate:
    return BadTemplate(
        f"Mẫu Word lấy nội dung từ bên ngoài ({target[:80] or 'không rõ'}) nên không được nhận. "
        "Chèn thẳng nội dung (ảnh, mẫu đính kèm) vào tệp rồi lưu lại."
    )


def _check_fields(root: Any) -> None:
    """Raise BadTemplate for a field that fetches. Its code may lie in several runs, and in fields within fields."""
    codes: list[str] = []
    open_codes: list[str] = []
    for element in root.iter():
        match _local(element.tag):
            case "fldChar" if _value(element, "fldCharType") == "begin":
                open_codes.append("")
            case "fldChar" if _value(element, "fldCharType") == "end" and open_codes:
                codes.append(open_codes.pop())
            case "instrText" | "delInstrText":
                text = "".join(element.itertext())
                codes.append(text)
                open_codes = [code + text for code in open_codes]
            case "fldSimple":
                codes.append(_value(element, "instr"))
    for code in (*codes, *open_codes):
        if found := _DANGEROUS.search(code.upper()):
            raise BadTemplate(
                f"Mẫu Word có trường {found[1]} lấy nội dung từ nơi khác nên không được nhận. Bỏ trường đó."
            )


def _value(element: Any, wanted: str) -> str:
    return next((str(value) for name, value in element.attrib.items() if _local(name) == wanted), "")


def render(content: bytes, fields: Fields) -> tuple[Word, frozenset[str]]:
    """Return the template with its fields filled in, and the keys of the tables that it places itself.

    Where long content goes there is a marker (`find_markers`). Raises BadTemplate.
    """
    check(content)
    template = DocxTemplate(io.BytesIO(content))
    template.render_init()
    source = template.patch_xml(template.get_xml())
    environment = ImmutableSandboxedEnvironment(autoescape=True)
    try:
        tree = environment.parse(source)
        used = _check_tree(tree, fields)
        longest = max((len(lines) for lines in fields.lists.values()), default=0)
        if len(source) * max(longest, 1) ** _loops(tree) > FILLED_MAX_CHARS:
            raise BadTemplate("Mẫu Word lặp ra quá nhiều trang. Bỏ vòng lặp lồng nhau, hoặc rút ngắn danh sách.")
        context: dict[str, Any] = {
            **fields.texts, **fields.lists, "noi_dung": _marker("noi_dung"), "so": dict(fields.figures or {}),
            "bang": {key: _marker(f"bang.{key}") for key in used},
        }  # fmt: skip
        if fields.figures is None:
            context["so"] = _Anything()
        filled = template.render_xml_part(source, template.docx._part, context, environment)
        template.map_tree(template.fix_tables(filled))
    except TemplateSyntaxError as reason:
        raise BadTemplate(
            f"Mẫu Word viết sai một lệnh hoặc trường ({reason.message}). Kiểm tra các dấu {{{{ }}}} và {{% %}}."
        ) from None
    except (TemplateError, ValueError, TypeError, ArithmeticError) as reason:
        raise BadTemplate(f"Không điền được mẫu Word: {reason}. Kiểm tra các trường trong mẫu.") from None
    return template.docx, used


class _Anything(dict[str, str]):
    """Figures that are not known yet: each has its place."""

    def __missing__(self, key: str) -> str:
        return "…"


def _marker(name: str) -> Markup:
    mark = escape(_MARKER.format(name))
    return Markup("<w:p><w:r><w:t>{}</w:t></w:r></w:p>").format(mark)


def find_markers(word: Word, name: str) -> Iterator[Any]:
    """Give the paragraphs where the named content goes."""
    mark = _MARKER.format(name)
    for paragraph in word.element.body.iter(qn("w:p")):
        if "".join(text.text or "" for text in paragraph.iter(qn("w:t"))).strip() == mark:
            yield paragraph


def _check_tree(tree: nodes.Template, fields: Fields) -> frozenset[str]:
    """Raise BadTemplate for whatever is not a known field, a loop over a list, or a question; return used tables."""
    used: set[str] = set()
    _walk(tree, fields, frozenset(), used, 0)
    return frozenset(used)


def _loops(node: nodes.Node) -> int:
    """Return how deep loops lie in one another."""
    return isinstance(node, nodes.For) + max((_loops(child) for child in node.iter_child_nodes()), default=0)


def _walk(node: nodes.Node, fields: Fields, local: frozenset[str], used: set[str], depth: int) -> None:
    if not isinstance(node, _ALLOWED):
        what = _WORDS.get(type(node), type(node).__name__)
        raise BadTemplate(
            f"Mẫu Word dùng lệnh không được phép: {what}. Mẫu chỉ được hiện trường, lặp danh sách và hỏi «if»."
        )
    match node:
        case nodes.For():
            if depth >= 2 or not isinstance(node.target, nodes.Name) or node.recursive or node.test is not None:
                raise BadTemplate("Mẫu Word có vòng lặp quá phức tạp. Chỉ lặp một danh sách, không lồng quá hai lần.")
            if not isinstance(node.iter, nodes.Name) or node.iter.name not in fields.lists:
                name = getattr(node.iter, "name", "biểu thức")
                raise BadTemplate(
                    f"Mẫu Word lặp «{name}», không phải danh sách. Các danh sách: {', '.join(sorted(fields.lists))}."
                )
            for child in (*node.body, *node.else_):
                _walk(child, fields, local | {node.target.name, "loop"}, used, depth + 1)
            return
        case nodes.Name(name=name):
            if name not in local and name not in fields.list_names():
                raise _unknown(name, fields.list_names())
            if name in {"so", "bang"}:
                raise BadTemplate(f"Trường «{name}» cần tên đi kèm, như {{{{ {name}.tên }}}}.")
            return
        case nodes.Getattr() | nodes.Getitem():
            _check_member(node, fields, local, used)
            return
        case nodes.Filter(name=name) if name not in _FILTERS:
            raise BadTemplate(
                f"Mẫu Word dùng bộ lọc không được phép: {name}. Được dùng: {', '.join(sorted(_FILTERS))}."
            )
    for child in node.iter_child_nodes():
        _walk(child, fields, local, used, depth)


def _check_member(node: nodes.Getattr | nodes.Getitem, fields: Fields, local: frozenset[str], used: set[str]) -> None:
    owner = node.node.name if isinstance(node.node, nodes.Name) else ""
    member: Any = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", None)
    if owner == "loop" and owner in local and member in _LOOP:
        return
    if owner not in {"so", "bang"} or not isinstance(member, str):
        raise BadTemplate(f"Mẫu Word dùng «{owner or 'biểu thức'}.{member}», không phải một trường.")
    known = fields.figures if owner == "so" else fields.tables
    if known is not None and member not in known:
        raise _unknown(f"{owner}.{member}", [f"{owner}.{key}" for key in known if "/" not in key])
    if owner == "bang":
        used.add(member)


def _unknown(name: str, known: list[str]) -> BadTemplate:
    shown = ", ".join(sorted(known)[:40]) or "không có trường nào"
    return BadTemplate(f"Mẫu Word dùng trường «{name}» mà hệ thống không có. Các trường dùng được: {shown}.")
