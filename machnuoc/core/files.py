"""Files that people upload: checked by content, kept under their SHA-256, the same bytes once.

On disk: settings.FILES_DIR/ab/cd/abcd…, written beside, synchronised and renamed, so a file is there whole or not at
all. Nothing that people upload is read into memory whole.
"""

import codecs
import contextlib
import errno
import hashlib
import io
import json
import os
import re
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO
from xml.parsers.expat import ExpatError, ParserCreate, XMLParserType  # what it parses may declare nothing

from django.conf import settings
from django.db import transaction
from django.http import FileResponse
from django.utils import timezone

from machnuoc.core import audit
from machnuoc.core.models import Person, StoredFile

CHUNK_BYTES = 64 * 1024
MEDIA_TYPES = {
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "csv": "text/csv",
    "json": "application/json",
    "pdf": "application/pdf",
    "png": "image/png",
    "jpeg": "image/jpeg",
}
_KIND_OF_SUFFIX = {**{kind: kind for kind in MEDIA_TYPES}, "jpg": "jpeg"}
_MAGIC = {"pdf": b"%PDF-", "png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff"}
_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # .xls, .doc, and workbooks locked with a password
_MAIN_PART = {"xlsx": "xl/workbook.xml", "docx": "word/document.xml"}

ZIP_MAX_ENTRIES = 2_000
ZIP_MAX_BYTES = 200 * 1024 * 1024
ZIP_MAX_RATIO = 100
# Sheets of zeros and blanks do compress well; below this size a high ratio harms nobody.
ZIP_RATIO_FROM_BYTES = 1024 * 1024

CSV_ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1258")
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0e-\x1f]")


class RefusedFile(ValueError):
    """A file is not accepted; the text, in Vietnamese, says which, why and what to do."""


class LostFile(RuntimeError):
    """The row is there but the bytes are not."""


def store(content: BinaryIO | bytes, *, name: str, by: Person | None, kinds: frozenset[str]) -> StoredFile:
    """Check an uploaded file, keep it, and return its row (the existing one if these bytes are kept already).

    kinds: what is accepted here, of MEDIA_TYPES. Raises RefusedFile. The bytes stay on disk should the transaction be
    rolled back: harmless, since they are found by their hash next time.
    """
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    shown_name = clean_name(name)
    with _received(stream, shown_name) as (temporary, sha256, size_bytes):
        kind = _check(temporary, shown_name, kinds)
        existing = StoredFile.objects.filter(sha256=sha256).first()
        if existing is None or not path_of(existing).exists():
            _keep(temporary, _path(sha256))
    if existing is not None:
        return existing
    with transaction.atomic():
        stored, is_new = StoredFile.objects.get_or_create(
            sha256=sha256,
            defaults={
                "name": shown_name,
                "media_type": MEDIA_TYPES[kind],
                "size_bytes": size_bytes,
                "uploaded_by": by,
                "uploaded_at": timezone.now(),
            },
        )
        if is_new:
            audit.record("core.file.stored", actor=by, target=stored, sha256=sha256, size_bytes=size_bytes)
    return stored


def keep_made(made: Sequence[tuple[str, bytes]], media_type: str, *, by: Person | None = None) -> list[StoredFile]:
    """Keep files that the program itself made, (name, content) each, and return their rows in the same order.

    For thousands at a time: what they are is not checked, and the caller writes the one line of the audit trail.
    """
    named = {hashlib.sha256(content).hexdigest(): (clean_name(name), content) for name, content in made}
    settings.FILES_DIR.mkdir(parents=True, exist_ok=True)
    for sha256, (_, content) in named.items():
        if _path(sha256).exists():
            continue
        handle, path = tempfile.mkstemp(prefix=".made-", dir=settings.FILES_DIR)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _keep(Path(path), _path(sha256))
    now = timezone.now()
    StoredFile.objects.bulk_create(
        [
            StoredFile(
                sha256=sha256, name=name, media_type=media_type, size_bytes=len(content), uploaded_by=by,
                uploaded_at=now,
            )
            for sha256, (name, content) in named.items()
        ],
        ignore_conflicts=True,
        batch_size=500,
    )  # fmt: skip
    hashes = [hashlib.sha256(content).hexdigest() for _, content in made]
    rows = {row.sha256: row for row in StoredFile.objects.filter(sha256__in=hashes)}
    return [rows[sha256] for sha256 in hashes]


def open_file(stored: StoredFile) -> BinaryIO:
    """Open a kept file for reading. Raises LostFile."""
    try:
        return path_of(stored).open("rb")
    except FileNotFoundError:
        raise LostFile(
            f"Không tìm thấy nội dung của tệp {stored.name} trong kho tệp. Khôi phục thư mục tệp từ bản sao lưu."
        ) from None


def as_download(stored: StoredFile) -> FileResponse:
    """Return the file as an answer that browsers save and never show. Raises LostFile. Rights are the caller's."""
    response = FileResponse(open_file(stored), as_attachment=True, filename=stored.name, content_type=stored.media_type)
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response


def path_of(stored: StoredFile) -> Path:
    return _path(stored.sha256)


def clean_name(name: str) -> str:
    """Return a file name without folders, control characters and what systems refuse; at most 150 characters.

    >>> clean_name("../../etc/Số liệu: tháng 7.xlsx")
    'Số liệu_ tháng 7.xlsx'
    >>> clean_name(".")
    'tep'
    """
    last = re.split(r"[\\/]", unicodedata.normalize("NFC", name))[-1]
    # Cf holds the marks that turn text around («gpj.exe» shown as «exe.jpg»).
    printable = "".join(char for char in last if unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
    tidy = re.sub(r'[<>:"|?*]', "_", printable).strip(" .")
    stem, dot, suffix = tidy.rpartition(".")
    if dot and len(suffix) <= 10:
        return f"{stem[:138].rstrip()}.{suffix}"
    return tidy[:150] or "tep"


# --- receiving and keeping ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _received(stream: BinaryIO, name: str) -> Iterator[tuple[Path, str, int]]:
    """Copy the stream beside the store, hashing it on the way, and yield (path, SHA-256, size)."""
    settings.FILES_DIR.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    size_bytes = 0
    handle, path_text = tempfile.mkstemp(prefix=".incoming-", dir=settings.FILES_DIR)
    path = Path(path_text)
    try:
        with os.fdopen(handle, "wb") as file:
            while chunk := stream.read(CHUNK_BYTES):
                size_bytes += len(chunk)
                if size_bytes > settings.UPLOAD_MAX_BYTES:
                    limit_mb = settings.UPLOAD_MAX_BYTES // (1024 * 1024)
                    raise RefusedFile(f"Tệp {name} quá lớn: tối đa {limit_mb} MB. Chia nhỏ tệp rồi tải lên lại.")
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if size_bytes == 0:
            raise RefusedFile(f"Tệp {name} rỗng (0 byte). Kiểm tra lại tệp trên máy rồi tải lên lại.")
        yield path, digest.hexdigest(), size_bytes
    except OSError as reason:
        if reason.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise RefusedFile(
            f"Chưa nhận được tệp {name}: ổ đĩa của máy chủ đã đầy. Báo quản trị hệ thống, rồi tải lên lại."
        ) from None
    finally:
        path.unlink(missing_ok=True)


def _path(sha256: str) -> Path:
    return settings.FILES_DIR / sha256[:2] / sha256[2:4] / sha256


def _keep(temporary: Path, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(final)
    for folder in (final.parent, final.parent.parent):  # the new name must survive a power cut too
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# --- checking -------------------------------------------------------------------------------------------------------


def _check(path: Path, name: str, kinds: frozenset[str]) -> str:
    """Return the kind of the file, which its name and its content agree on. Raises RefusedFile."""
    suffix = name.rpartition(".")[2].lower() if "." in name else ""
    accepted = ", ".join(f".{kind}" for kind in sorted(kinds))
    if suffix in {"xlsm", "xlsb", "xltm", "docm"}:
        raise RefusedFile(
            f"Tệp {name} có thể chứa macro nên không được nhận. Lưu lại thành .{suffix[:3]}x rồi tải lên."
        )
    if suffix in {"xls", "doc"}:
        raise RefusedFile(f"Tệp {name} thuộc định dạng cũ .{suffix}. Lưu lại thành .{suffix}x rồi tải lên.")
    kind = _KIND_OF_SUFFIX.get(suffix)
    if kind is None or kind not in kinds:
        raise RefusedFile(f"Tệp {name} không thuộc loại được nhận ở đây ({accepted}). Chọn tệp đúng loại.")
    with path.open("rb") as file:
        head = file.read(16)
    if kind in _MAIN_PART:
        if head.startswith(_OLE_MAGIC):
            raise RefusedFile(
                f"Tệp {name} được đặt mật khẩu hoặc thực ra thuộc định dạng cũ. "
                f"Bỏ mật khẩu, lưu thành .{kind} rồi tải lên."
            )
        if not head.startswith(b"PK\x03\x04"):
            raise _unlike_its_name(name, kind)
        _check_package(path, name, kind)
    elif kind == "csv":
        if head.startswith((b"PK\x03\x04", _OLE_MAGIC, *_MAGIC.values())):
            raise _unlike_its_name(name, kind)
        detect_csv_encoding(path, name)
    elif kind == "json":
        _check_json(path, name)
    elif not head.startswith(_MAGIC[kind]):
        raise _unlike_its_name(name, kind)
    return kind


def _check_json(path: Path, name: str) -> None:
    """Raise RefusedFile unless the file is JSON. It is read whole: only the program itself hands in such files."""
    try:
        json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise _unlike_its_name(name, "json") from None


def _unlike_its_name(name: str, kind: str) -> RefusedFile:
    return RefusedFile(
        f"Nội dung của tệp {name} không phải là {kind.upper()} như tên tệp nói. "
        f"Mở tệp bằng phần mềm đã tạo ra nó, lưu lại đúng định dạng .{kind} rồi tải lên."
    )


def _check_package(path: Path, name: str, kind: str) -> None:
    """Check an Office package without unpacking more than its limits: bombs, macros, passwords, foreign content."""
    broken = RefusedFile(f"Tệp {name} bị hỏng hoặc không phải tệp .{kind}. Mở lại bằng phần mềm văn phòng rồi lưu lại.")
    bomb = RefusedFile(
        f"Tệp {name} nén bất thường (mở ra vượt quá giới hạn) nên không được nhận. Lưu lại thành tệp mới rồi tải lên."
    )
    try:
        with zipfile.ZipFile(path) as package:
            entries = package.infolist()
            if len(entries) > ZIP_MAX_ENTRIES or sum(entry.file_size for entry in entries) > ZIP_MAX_BYTES:
                raise bomb
            names = [entry.filename for entry in entries]
            if len(set(names)) != len(names) or any(_is_stray(entry_name) for entry_name in names):
                raise broken
            if "[Content_Types].xml" not in names or _MAIN_PART[kind] not in names:
                raise _unlike_its_name(name, kind)
            if any(entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED} for entry in entries):
                raise broken
            if any(entry.flag_bits & 0x1 for entry in entries):
                raise RefusedFile(f"Tệp {name} được đặt mật khẩu. Bỏ mật khẩu rồi tải lên lại.")
            if any(entry_name.lower().endswith(("vbaproject.bin", "vbadata.xml")) for entry_name in names):
                raise RefusedFile(f"Tệp {name} chứa macro nên không được nhận. Lưu lại thành .{kind} rồi tải lên.")
            if any("/activex/" in f"/{entry_name.lower()}" for entry_name in names):
                raise RefusedFile(
                    f"Tệp {name} chứa điều khiển ActiveX nên không được nhận. Xóa điều khiển đó, lưu lại rồi tải lên."
                )
            total_bytes = 0
            for entry in entries:
                total_bytes += _read_through(package, entry, name, bomb, budget_bytes=ZIP_MAX_BYTES - total_bytes)
            with package.open("[Content_Types].xml") as types:
                if b"macroenabled" in types.read(1024 * 1024).lower():
                    raise RefusedFile(f"Tệp {name} chứa macro nên không được nhận. Lưu lại thành .{kind} rồi tải lên.")
    except RefusedFile:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError):
        raise broken from None


def _is_stray(entry_name: str) -> bool:
    return entry_name.startswith(("/", "\\")) or ".." in re.split(r"[\\/]", entry_name) or "\0" in entry_name


def _read_through(
    package: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, bomb: RefusedFile, *, budget_bytes: int
) -> int:
    """Unpack one entry into nothing, as far as allowed, and return its true size: the directory of a bomb may lie.

    The checksum is verified on the way, and XML parts may declare no document type (entities grow without bound),
    whatever they are called: the package names its parts freely.
    """
    size_bytes = 0
    is_xml = entry.filename.lower().endswith((".xml", ".rels"))
    reader = ParserCreate()
    reader.StartDoctypeDeclHandler = _refuse_doctype(name)
    parser: XMLParserType | None = reader
    with package.open(entry) as part:
        while chunk := part.read(CHUNK_BYTES):
            size_bytes += len(chunk)
            if size_bytes > budget_bytes:
                raise bomb
            if size_bytes > ZIP_RATIO_FROM_BYTES and size_bytes > ZIP_MAX_RATIO * max(entry.compress_size, 1):
                raise bomb
            if parser is not None and not _parse(parser, chunk, name, must_be_xml=is_xml):
                parser = None  # pictures and the like; a reader of XML would stop here too
    if parser is not None and size_bytes:
        _parse(parser, b"", name, must_be_xml=is_xml, is_final=True)
    return size_bytes


def _parse(parser: XMLParserType, chunk: bytes, name: str, *, must_be_xml: bool, is_final: bool = False) -> bool:
    """Return whether it is XML up to here. Raises RefusedFile if it must be and is not."""
    try:
        parser.Parse(chunk, is_final)
    except ExpatError:
        if not must_be_xml:
            return False
        raise RefusedFile(f"Tệp {name} bị hỏng (XML sai). Mở lại bằng phần mềm văn phòng rồi lưu lại.") from None
    return True


def _refuse_doctype(name: str) -> Callable[..., None]:
    def refuse(*ignored: object) -> None:
        raise RefusedFile(
            f"Tệp {name} chứa khai báo DOCTYPE nên không được nhận. Lưu lại bằng phần mềm văn phòng rồi tải lên."
        )

    return refuse


def detect_csv_encoding(path: Path, name: str) -> str:
    """Return the encoding of a text file, one of CSV_ENCODINGS. Raises RefusedFile if it is no text.

    UTF-16 needs its byte order mark. Text that is not UTF-8 is taken for cp1258 (Vietnamese Windows).
    """
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        candidates: tuple[str, ...] = ("utf-16",)
    elif head.startswith(codecs.BOM_UTF8):
        candidates = ("utf-8-sig",)
    else:
        candidates = ("utf-8", "cp1258")
    for encoding in candidates:
        try:
            if _holds_control_characters(path, encoding):
                raise RefusedFile(
                    f"Tệp {name} chứa ký tự điều khiển (như NUL) nên không phải là văn bản CSV. "
                    "Xuất lại dạng CSV (UTF-8) rồi tải lên."
                )
        except UnicodeDecodeError:
            continue
        return encoding
    raise RefusedFile(f"Tệp {name} không đọc được bằng bảng mã nào đã biết. Lưu lại dạng CSV UTF-8 rồi tải lên.")


def _holds_control_characters(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            if _NOT_TEXT.search(decoder.decode(chunk)):
                return True
    return bool(_NOT_TEXT.search(decoder.decode(b"", final=True)))
