import codecs
import errno
import io
import os
import threading
import tracemalloc
import zipfile

import openpyxl
import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.core import files, permissions
from machnuoc.core.files import RefusedFile
from machnuoc.core.models import AuditEntry, Document, Person, StoredFile

ALL = frozenset(files.MEDIA_TYPES)
PDF = b"%PDF-1.7\n" + b"x" * 100
PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 100
JPEG = b"\xff\xd8\xff\xe0" + b"x" * 100


@pytest.fixture
def thao(db) -> Person:
    return Person.objects.create_user("thao", "mot mat khau dai", full_name="Phạm Thu Thảo")


def make_workbook() -> bytes:
    book = openpyxl.Workbook()
    book.active["A1"] = "Số hộ"
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def make_package(parts: dict[str, bytes], *, kind: str = "xlsx", compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return an Office package with the parts that every one has, and these."""
    needed = {
        "[Content_Types].xml": b"<Types/>",
        {"xlsx": "xl/workbook.xml", "docx": "word/document.xml"}[kind]: b"<a/>",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as package:
        for name, content in (needed | parts).items():
            package.writestr(name, content)
    return out.getvalue()


def set_encrypted_flag(package: bytes) -> bytes:
    changed = bytearray(package)
    changed[6] |= 1
    directory = changed.index(b"PK\x01\x02")
    changed[directory + 8] |= 1
    return bytes(changed)


def keep(content, name: str, kinds: frozenset[str] = ALL, by: Person | None = None) -> StoredFile:
    return files.store(content, name=name, by=by, kinds=kinds)


def list_kept() -> list[str]:
    return [path.name for path in django_settings.FILES_DIR.rglob("*") if path.is_file()]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("báo cáo.pdf", PDF, "application/pdf"),
        ("ảnh.PNG", PNG, "image/png"),
        ("ảnh.jpg", JPEG, "image/jpeg"),
        ("ảnh.jpeg", JPEG, "image/jpeg"),
        ("số liệu.csv", "xã;số hộ\nBình Sơn;12\n".encode(), "text/csv"),
        ("số liệu.xlsx", make_workbook(), files.MEDIA_TYPES["xlsx"]),
        ("công văn.docx", make_package({}, kind="docx"), files.MEDIA_TYPES["docx"]),
    ],
)
def test_a_good_file_is_kept_and_read_back(thao, name, content, media_type):
    stored = keep(io.BytesIO(content), name, by=thao)

    with files.open_file(stored) as file:
        assert file.read() == content
    assert (stored.name, stored.media_type, stored.size_bytes) == (name, media_type, len(content))
    assert list_kept() == [stored.sha256]
    assert files.path_of(stored).parent.parent.name == stored.sha256[:2]
    assert AuditEntry.objects.get().action == "core.file.stored"


@pytest.mark.django_db
def test_the_same_bytes_are_kept_once(thao):
    first = keep(PDF, "một.pdf", by=thao)
    second = keep(PDF, "hai.pdf")

    assert first == second and second.name == "một.pdf"
    assert len(list_kept()) == 1 and AuditEntry.objects.count() == 1


@pytest.mark.django_db
def test_lost_bytes_are_named_and_come_back_with_the_next_upload():
    stored = keep(PDF, "kế hoạch.pdf")
    files.path_of(stored).unlink()

    with pytest.raises(files.LostFile, match=r"kế hoạch\.pdf"):
        files.open_file(stored)
    keep(PDF, "kế hoạch.pdf")
    files.open_file(stored).close()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("rỗng.csv", b"", "rỗng"),
        ("chương trình.exe", b"MZ", "không thuộc loại được nhận"),
        ("không đuôi", PDF, "không thuộc loại được nhận"),
        ("trang.html", b"<script>", "không thuộc loại được nhận"),
        ("giả.pdf", PNG, "không phải là PDF"),
        ("giả.png", b"<svg onload=alert(1)>", "không phải là PNG"),
        ("giả.jpg", PDF, "không phải là JPEG"),
        ("giả.xlsx", PDF, "không phải là XLSX"),
        ("giả.csv", make_workbook(), "không phải là CSV"),
        ("giả.docx", make_workbook(), "không phải là DOCX"),
        ("zip.xlsx", make_package({}, kind="docx"), "không phải là XLSX"),
        ("cũ.xls", files._OLE_MAGIC, r"Lưu lại thành \.xlsx"),
        ("khóa.xlsx", files._OLE_MAGIC + b"x" * 600, "mật khẩu"),
        ("khóa.xlsx", set_encrypted_flag(make_package({})), "mật khẩu"),
        ("macro.xlsm", make_workbook(), "macro"),
        ("macro.xlsx", make_package({"xl/vbaProject.bin": b"x"}), "macro"),
        ("macro.xlsx", make_package({"[Content_Types].xml": b'<T a="application/x.macroEnabled.main"/>'}), "macro"),
        ("nút.xlsx", make_package({"xl/activeX/activeX1.bin": b"x"}), "ActiveX"),
        ("cụt.xlsx", make_workbook()[:-40], "bị hỏng"),
        ("thoát.xlsx", make_package({"../../etc/cron.d/x": b"x"}), "bị hỏng"),
        ("xml.xlsx", make_package({"xl/styles.xml": b"<a><b></a>"}), "XML sai"),
        ("dtd.xlsx", make_package({"xl/styles.xml": b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'}), "DOCTYPE"),
        ("dtd.xlsx", make_package({"xl/sheet.dat": b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'}), "DOCTYPE"),
        ("cut.xlsx", make_package({"xl/styles.xml": b"<a><b>"}), "XML sai"),
        ("nul.csv", b"a;b\n1;\x002\n", "NUL"),
        ("nhị phân.csv", bytes(range(1, 32)), "ký tự điều khiển"),
        ("u16.csv", codecs.BOM_UTF16_LE + b"a\x00\x00", "không đọc được"),
    ],
)
def test_a_bad_file_is_refused_with_its_reason_and_leaves_nothing(name, content, reason):
    with pytest.raises(RefusedFile, match=reason) as refusal:
        keep(content, name)

    assert files.clean_name(name) in str(refusal.value)
    assert list_kept() == [] and not StoredFile.objects.exists()


@pytest.mark.django_db
def test_kinds_that_a_page_does_not_take_are_refused():
    with pytest.raises(RefusedFile, match=r"\(\.csv, \.xlsx\)"):
        keep(PDF, "báo cáo.pdf", frozenset({"xlsx", "csv"}))


@pytest.mark.django_db
def test_a_zip_bomb_is_refused_also_when_its_directory_lies():
    honest = make_package({"xl/media/a.bin": bytes(30 * 1024 * 1024)})
    lying = bytearray(honest)
    directory = lying.rindex(b"xl/media/a.bin") - 46
    lying[directory + 24 : directory + 28] = (1000).to_bytes(4, "little")  # uncompressed size

    with pytest.raises(RefusedFile, match="nén bất thường"):
        keep(honest, "bom.xlsx")
    with pytest.raises(RefusedFile, match=r"bị hỏng|nén bất thường"):
        keep(bytes(lying), "bom.xlsx")


@pytest.mark.django_db
def test_too_many_parts_and_too_much_in_all_are_refused(monkeypatch):
    many = make_package({f"xl/{number}.bin": b"" for number in range(files.ZIP_MAX_ENTRIES)})
    with pytest.raises(RefusedFile, match="nén bất thường"):
        keep(many, "nhiều.xlsx")

    monkeypatch.setattr(files, "ZIP_MAX_BYTES", 1000)
    with pytest.raises(RefusedFile, match="nén bất thường"):
        keep(make_package({"xl/a.bin": b"ab" * 600}), "to.xlsx")


@pytest.mark.django_db
def test_a_large_sheet_that_compresses_well_is_no_bomb():
    rows = "".join(f'<row r="{n}"><c r="A{n}"><v>{n * 7919 % 99991}</v></c></row>' for n in range(60_000)).encode()

    assert keep(make_package({"xl/worksheets/sheet1.xml": b"<d>" + rows + b"</d>"}), "lớn.xlsx").pk


@pytest.mark.django_db
def test_a_large_file_is_refused_while_it_arrives_and_never_held_in_memory(settings):
    settings.UPLOAD_MAX_BYTES = 50 * 1024 * 1024
    read_bytes = 0

    class Endless(io.RawIOBase):
        def read(self, size=-1):
            nonlocal read_bytes
            read_bytes += size
            return b"%PDF-" + b"0" * (size - 5)

    tracemalloc.start()
    with pytest.raises(RefusedFile, match="tối đa 50 MB"):
        keep(Endless(), "to.pdf")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert read_bytes <= settings.UPLOAD_MAX_BYTES + files.CHUNK_BYTES
    assert peak_bytes < 5 * 1024 * 1024
    assert list_kept() == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("xã;hộ".encode(), "utf-8"),
        ("xã;hộ".encode("utf-8-sig"), "utf-8-sig"),
        ("xã;hộ".encode("utf-16"), "utf-16"),
        (codecs.BOM_UTF16_BE + "xã;hộ".encode("utf-16-be"), "utf-16"),
        ("xa\u0303;hô\u0323".encode("cp1258"), "cp1258"),
    ],
)
def test_the_encoding_of_a_csv_is_found(content, encoding):
    stored = keep(content, "số liệu.csv")

    assert files.detect_csv_encoding(files.path_of(stored), stored.name) == encoding


@pytest.mark.django_db
def test_a_letter_cut_by_the_chunks_is_still_utf8(monkeypatch):
    monkeypatch.setattr(files, "CHUNK_BYTES", 3)

    stored = keep("ạạạạ".encode(), "a.csv")

    assert files.detect_csv_encoding(files.path_of(stored), "a.csv") == "utf-8"


@given(st.text(max_size=400))
def test_a_clean_name_stays_in_its_folder_and_fits_its_column(name):
    clean = files.clean_name(name)

    assert clean and len(clean) <= 150 and clean == files.clean_name(clean)
    assert not set(clean) & set('/\\:*?"<>|\0\n\r\u202e')
    assert clean not in {".", ".."} and not clean.startswith(".")


@pytest.mark.django_db(transaction=True)
def test_the_same_file_uploaded_twice_at_once_is_kept_once():
    start = threading.Barrier(4)
    kept: list[int] = []
    failures: list[BaseException] = []

    def upload() -> None:
        try:
            start.wait()
            kept.append(keep(PDF, "kế hoạch.pdf").pk)
        except BaseException as reason:
            failures.append(reason)
        finally:
            connection.close()

    threads = [threading.Thread(target=upload) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == [] and len(set(kept)) == 1
    assert len(list_kept()) == 1


@pytest.mark.django_db
def test_a_file_is_for_its_uploader_for_managers_and_if_of_a_document_for_all(client, thao, monkeypatch):
    may_manage = False
    monkeypatch.setattr(permissions, "_judge", lambda person, action, *rest: action == "manage" and may_manage)
    monkeypatch.setattr(permissions, "_overseer", lambda person, action: None)
    stored = keep(PDF, "kế hoạch số 79.pdf", by=thao)
    address = reverse("core:file", args=[stored.pk])
    hai = Person.objects.create_user("hai", "mot mat khau dai", full_name="Ngô Hải")

    assert client.get(address).status_code == 302
    client.force_login(hai)
    assert client.get(address).status_code == 403
    may_manage = True
    assert client.get(address).status_code == 200
    may_manage = False
    Document.objects.create(key="kh-79", title="Kế hoạch", issuer="Trung tâm", file=stored)
    assert client.get(address).status_code == 200


@pytest.mark.django_db
def test_a_download_is_saved_and_not_shown(client, thao):
    stored = keep(PDF, "kế hoạch.pdf", by=thao)
    client.force_login(thao)

    response = client.get(reverse("core:file", args=[stored.pk]))

    assert b"".join(response.streaming_content) == PDF
    assert response["Content-Disposition"] == "attachment; filename*=utf-8''k%E1%BA%BF%20ho%E1%BA%A1ch.pdf"
    assert response["X-Content-Type-Options"] == "nosniff"
    files.path_of(stored).unlink()
    assert client.get(reverse("core:file", args=[stored.pk])).status_code == 404


@pytest.mark.django_db
def test_a_full_disk_is_told_and_leaves_nothing(monkeypatch):
    def refuse(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)

    with pytest.raises(RefusedFile, match="ổ đĩa của máy chủ đã đầy"):
        keep(PDF, "kế hoạch.pdf")
    assert list_kept() == [] and not StoredFile.objects.exists()
