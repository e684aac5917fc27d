"""`machnuoc doctor`: is this installation sound, and if not, what to do."""

import os
import shutil
import sqlite3
import stat
import tempfile
import time
import zoneinfo
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import django
from django.core.exceptions import ImproperlyConfigured

State = Literal["ok", "warning", "error"]
_SIGNS: dict[State, str] = {"ok": "✓", "warning": "!", "error": "✗"}
_LOW_DISK_BYTES = 1_000_000_000
_NO_DISK_BYTES = 200_000_000
_WORKER_SILENT = timedelta(minutes=15)  # the worker seals the audit trail every five minutes
_SENSORS_SILENT = timedelta(hours=2)
_CERTIFICATE_ENDS_SOON = timedelta(days=30)
_OLDEST_POSTGRESQL = 15
_OLDEST_SQLITE = (3, 34)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `todo` is empty when there is nothing to do."""

    name: str
    state: State
    what: str
    todo: str = ""

    def line(self) -> str:
        return " — ".join(filter(None, [f"{_SIGNS[self.state]} {self.name}", self.what, self.todo]))


def is_sound(findings: list[Finding]) -> bool:
    return not any(finding.state == "error" for finding in findings)


def as_rows(findings: list[Finding]) -> list[dict[str, str]]:
    return [asdict(finding) for finding in findings]


def examine(now: datetime | None = None) -> list[Finding]:
    """Look at settings, data folder, database, worker and audit trail, and say what was found.

    A part that cannot be looked at because of an earlier fault is left out; the earlier fault is in the list.
    """
    from machnuoc.config import environment

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "machnuoc.config.settings")
    try:
        django.setup()
    except (environment.BadSetting, ImproperlyConfigured, OSError) as reason:
        return [Finding("Cài đặt", "error", str(reason), "Sửa biến môi trường đó rồi chạy lại.")]
    now = now or datetime.now(UTC)
    findings = [Finding("Cài đặt", "ok", "mọi biến môi trường đều đọc được")]
    for look in (_unknown_variables, _system_checks, _data_dir, _secret, _disk, _clock, _pdf, _bill_fonts, _static):
        findings += look()
    findings += _database()
    if is_sound(findings):
        findings += _migrations()
    if is_sound(findings):
        findings += [*_people(), *_worker(now), *_audit(), *_broker(), *_receiving(now), *_einvoices(now)]
    return findings


def _unknown_variables() -> Iterator[Finding]:
    from machnuoc.config import environment

    for name in sorted(os.environ):
        is_ours = name.startswith("MACHNUOC_") and not name.startswith(("MACHNUOC_TEST_", "MACHNUOC_BENCH_"))
        if is_ours and name not in environment.VARIABLES:
            yield Finding("Biến môi trường", "warning", f"không có biến {name}", "Kiểm tra chính tả của tên biến.")


def _system_checks() -> Iterator[Finding]:
    from django.core import checks

    messages = [message for message in checks.run_checks() if not message.is_silenced()]
    for message in messages:
        state: State = "error" if message.is_serious() else "warning"
        yield Finding("An toàn", state, f"{message.msg} ({message.id})", message.hint or "")
    if not messages:
        yield Finding("An toàn", "ok", "gỡ lỗi, HTTPS, tên miền được phép: không có gì đáng ngại")


def _data_dir() -> Iterator[Finding]:
    from django.conf import settings

    path: Path = settings.DATA_DIR
    try:
        with tempfile.NamedTemporaryFile(dir=path, prefix=".doctor-"):
            pass
    except OSError as reason:
        yield Finding(
            "Thư mục dữ liệu", "error", f"{path}: không ghi được ({reason.strerror})",
            "Trao quyền ghi cho tài khoản chạy chương trình, hoặc đổi MACHNUOC_DATA_DIR.",
        )  # fmt: skip
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & stat.S_IWOTH:
        yield Finding("Thư mục dữ liệu", "error", f"{path}: ai trên máy này cũng ghi được", f"chmod 700 {path}")
        return
    if mode & stat.S_IXOTH:
        yield Finding("Thư mục dữ liệu", "warning", f"{path}: ai trên máy này cũng đọc được", f"chmod 700 {path}")
        return
    yield Finding("Thư mục dữ liệu", "ok", f"{path} ghi được")


def _secret() -> Iterator[Finding]:
    from django.conf import settings

    path: Path = settings.DATA_DIR / "secret.key"
    if os.environ.get("MACHNUOC_SECRET_KEY", "").strip():
        yield Finding("Khóa bí mật", "ok", "lấy từ MACHNUOC_SECRET_KEY")
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        yield Finding(
            "Khóa bí mật", "error", f"{path} có quyền {mode:o}: người khác trên máy đọc được", f"chmod 600 {path}"
        )
        return
    yield Finding("Khóa bí mật", "ok", f"{path} chỉ chủ tệp đọc được")


def _disk() -> Iterator[Finding]:
    from django.conf import settings

    free = shutil.disk_usage(settings.DATA_DIR).free
    state: State = "error" if free < _NO_DISK_BYTES else "warning" if free < _LOW_DISK_BYTES else "ok"
    todo = "" if state == "ok" else "Dọn đĩa hoặc chuyển thư mục dữ liệu sang đĩa lớn hơn."
    yield Finding("Đĩa", state, f"còn trống {free / 1e9:.1f} GB".replace(".", ","), todo)


def _clock() -> Iterator[Finding]:
    from django.conf import settings

    try:
        zoneinfo.ZoneInfo("Asia/Ho_Chi_Minh")
    except zoneinfo.ZoneInfoNotFoundError:
        yield Finding("Giờ", "error", "thiếu dữ liệu múi giờ Asia/Ho_Chi_Minh", "Cài lại gói tzdata trong .venv.")
        return
    with tempfile.NamedTemporaryFile(dir=settings.DATA_DIR, prefix=".doctor-") as probe:
        apart_s = abs(os.stat(probe.name).st_mtime - time.time())
    built = Path(django.__file__).stat().st_mtime
    if time.time() < built - 86_400:
        yield Finding(
            "Giờ", "error", "đồng hồ máy chậm hơn ngày cài chương trình", "Bật đồng bộ giờ: timedatectl set-ntp true"
        )
    elif apart_s > 5:
        yield Finding(
            "Giờ", "warning", f"đồng hồ máy và hệ thống tệp lệch {apart_s:.0f} giây", "Đồng bộ giờ của máy chủ tệp."
        )
    else:
        yield Finding("Giờ", "ok", "đồng hồ và múi giờ Việt Nam dùng được")


def _pdf() -> Iterator[Finding]:
    from machnuoc.reports import pdf

    program = pdf.find_soffice()
    if program is None:
        yield Finding(
            "PDF của báo cáo", "warning", "không tìm thấy LibreOffice: báo cáo chỉ có tệp Word và Excel",
            "Cài libreoffice-writer-nogui, libreoffice-calc-nogui và fonts-croscore, hoặc đặt MACHNUOC_SOFFICE.",
        )  # fmt: skip
    elif not pdf.has_vietnamese_times():
        yield Finding(
            "PDF của báo cáo",
            "warning",
            "thiếu phông chữ thay Times New Roman có đủ chữ Việt",
            "Cài fonts-croscore (Tinos).",
        )
    else:
        yield Finding("PDF của báo cáo", "ok", f"LibreOffice ở {program}")


def _bill_fonts() -> Iterator[Finding]:
    from machnuoc.billing import pdf_fonts

    try:
        yield Finding("In hóa đơn", "ok", f"phông chữ ở {pdf_fonts.folder()}")
    except (pdf_fonts.NoFonts, OSError) as reason:
        yield Finding("In hóa đơn", "error", str(reason), "Cài lại chương trình rồi chạy lại machnuoc doctor.")


def _static() -> Iterator[Finding]:
    from django.conf import settings

    from machnuoc.config import process

    if settings.DEBUG or process.is_static_collected():
        yield Finding("Tệp tĩnh", "ok", "đã gom và nén")
    else:
        yield Finding("Tệp tĩnh", "warning", "chưa gom", "machnuoc up và machnuoc web tự gom khi khởi động.")


def _database() -> Iterator[Finding]:
    from django.db import DatabaseError, connection

    try:
        connection.ensure_connection()
    except DatabaseError as reason:
        yield Finding(
            "Cơ sở dữ liệu", "error", f"không kết nối được: {str(reason).strip()}",
            "Kiểm tra MACHNUOC_DATABASE_URL và máy chủ PostgreSQL có đang chạy không.",
        )  # fmt: skip
        return
    yield from (_postgresql() if connection.vendor == "postgresql" else _sqlite())


def _postgresql() -> Iterator[Finding]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        text = cursor.fetchone()[0]
        major = int(text.split(".")[0])
        state: State = "ok" if major >= _OLDEST_POSTGRESQL else "error"
        todo = "" if state == "ok" else f"Nâng cấp lên PostgreSQL {_OLDEST_POSTGRESQL} trở lên."
        yield Finding("Cơ sở dữ liệu", state, f"PostgreSQL {text}", todo)
        cursor.execute("SHOW server_encoding")
        encoding = cursor.fetchone()[0]
        if encoding != "UTF8":
            yield Finding("Bảng mã", "error", f"cơ sở dữ liệu dùng {encoding}", "Tạo lại với ENCODING 'UTF8'.")
        cursor.execute("SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'")
        if cursor.fetchone()[0]:
            yield Finding("Tìm kiếm", "ok", "có pg_trgm")
            return
        # A trusted extension can be made by whoever may create in the database.
        cursor.execute(
            "SELECT count(*), coalesce(bool_and(has_database_privilege(current_database(), 'CREATE')), false)"
            " FROM pg_available_extensions WHERE name = 'pg_trgm'"
        )
        available, may_create = cursor.fetchone()
    if not available:
        yield Finding(
            "Tìm kiếm", "error", "máy chủ không có pg_trgm", "Cài gói postgresql-contrib trên máy chủ PostgreSQL."
        )
    elif not may_create:
        yield Finding(
            "Tìm kiếm", "error", "tài khoản không được tạo pg_trgm",
            "Người quản trị PostgreSQL chạy: CREATE EXTENSION pg_trgm;",
        )  # fmt: skip
    else:
        yield Finding("Tìm kiếm", "ok", "pg_trgm sẽ được tạo khi chạy machnuoc migrate")


def _sqlite() -> Iterator[Finding]:
    from django.db import connection

    version = sqlite3.sqlite_version
    try:
        with sqlite3.connect(":memory:") as probe:
            probe.execute("CREATE VIRTUAL TABLE probe USING fts5(text, tokenize = 'trigram')")
        probe.close()
        has_trigram = sqlite3.sqlite_version_info >= _OLDEST_SQLITE
    except sqlite3.OperationalError:
        has_trigram = False
    if not has_trigram:
        yield Finding(
            "Cơ sở dữ liệu", "error", f"SQLite {version} không có FTS5 trigram",
            "Dùng Python kèm SQLite 3.34 trở lên, hoặc PostgreSQL.",
        )  # fmt: skip
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        mode = cursor.fetchone()[0]
    if mode != "wal" and "memory" not in str(connection.settings_dict["NAME"]):
        yield Finding(
            "Cơ sở dữ liệu", "warning", f"SQLite {version} chạy chế độ {mode}, không phải WAL",
            "Đặt thư mục dữ liệu trên đĩa của máy, không phải ổ mạng.",
        )  # fmt: skip
        return
    yield Finding("Cơ sở dữ liệu", "ok", f"SQLite {version}, chế độ WAL, tìm kiếm trigram")


def _migrations() -> Iterator[Finding]:
    from machnuoc.config import process

    waiting = process.count_waiting_migrations()
    if waiting:
        yield Finding("Bảng dữ liệu", "error", f"còn {waiting} bước nâng cấp chưa chạy", "Chạy: machnuoc migrate")
    else:
        yield Finding("Bảng dữ liệu", "ok", "đúng với phiên bản này")


def _people() -> Iterator[Finding]:
    from django.conf import settings

    from machnuoc.core.models import Person

    if not Person.objects.filter(is_active=True).exists():
        yield Finding("Người dùng", "warning", "chưa có ai", "Chạy: machnuoc createperson TÊN_ĐĂNG_NHẬP")
        return
    has_demo = Person.objects.filter(is_active=True, is_demo=True).exists()
    if has_demo and (settings.SESSION_COOKIE_SECURE or settings.HOST not in {"127.0.0.1", "localhost", "::1"}):
        yield Finding(
            "Người dùng", "warning", "máy chủ mà người khác vào được lại có tài khoản dùng thử, mật khẩu ai cũng biết",
            "Khóa các tài khoản dùng thử ở trang Người dùng.",
        )  # fmt: skip
        return
    yield Finding("Người dùng", "ok", "có người đăng nhập được")


def _worker(now: datetime) -> Iterator[Finding]:
    from machnuoc.core import jobs
    from machnuoc.core.models import Job

    alive_at = jobs.last_sign_of_life()
    late = Job.objects.filter(state=Job.State.QUEUED, run_after_at__lt=now - _WORKER_SILENT).count()
    if alive_at is None:
        yield Finding("Tác vụ nền", "warning", "chưa từng chạy", "Chạy machnuoc up, hoặc machnuoc worker.")
    elif late or now - alive_at > _WORKER_SILENT:
        silent_min = int((now - alive_at).total_seconds() // 60)
        yield Finding(
            "Tác vụ nền", "warning", f"im lặng {silent_min} phút, {late} tác vụ chờ quá lâu",
            "Chạy machnuoc up, hoặc machnuoc worker; xem trang Tác vụ.",
        )  # fmt: skip
    else:
        yield Finding("Tác vụ nền", "ok", "đang chạy")


def _audit() -> Iterator[Finding]:
    from machnuoc.core import audit
    from machnuoc.core.vietnamese import format_number

    result = audit.verify()
    if result.problems:
        yield Finding(
            "Nhật ký", "error", f"{len(result.problems)} chỗ không khớp: {result.problems[0]}",
            "Giữ nguyên hiện trạng, đối chiếu với bản sao lưu: machnuoc audit verify",
        )  # fmt: skip
    else:
        sealed, unsealed = format_number(result.sealed), format_number(result.unsealed)
        yield Finding("Nhật ký", "ok", f"{sealed} dòng niêm phong nguyên vẹn, {unsealed} dòng chờ niêm phong")


def _broker() -> Iterator[Finding]:
    from django.conf import settings

    from machnuoc.telemetry import broker

    name = "Máy chủ MQTT"
    if broker.is_embedded():
        if broker.find_mosquitto() is None:
            yield Finding(
                name, "warning", "chưa cài Mosquitto; máy chủ nhỏ để dùng thử có thể mất số đo khi dừng đột ngột",
                "apt-get install mosquitto, hoặc đặt MACHNUOC_MQTT_URL.",
            )  # fmt: skip
        if settings.MQTT_HOST not in {"127.0.0.1", "localhost", "::1"}:
            yield Finding(
                name, "warning", f"nghe ở {settings.MQTT_HOST} không mã hóa: mật khẩu của thiết bị đi qua mạng",
                "Dùng máy chủ MQTT có TLS (docs/operations.md, Sensors).",
            )  # fmt: skip
    try:
        where = broker.address()
        if where.is_tls:
            broker.tls_context()
        answers = broker.answers()
    except broker.NoBroker as reason:
        yield Finding(name, "warning", str(reason))
        return
    if answers:
        yield Finding(name, "ok", f"{where.shown()} nhận kết nối")
    else:
        todo = "Chạy machnuoc up, hoặc machnuoc broker." if broker.is_embedded() else "Kiểm tra MACHNUOC_MQTT_URL."
        yield Finding(name, "warning" if broker.is_embedded() else "error", f"{where.shown()} không trả lời", todo)


def _receiving(now: datetime) -> Iterator[Finding]:
    from machnuoc.core.vietnamese import format_number
    from machnuoc.telemetry import metrics, store
    from machnuoc.telemetry.models import Device

    name = "Nhận số đo"
    ledger = metrics.count_ledger(0)
    if ledger["open"]:
        yield Finding(
            name, "error", f"sổ nhận lệch {ledger['open']} số đọc (nhận = lưu + sửa + trùng + từ chối + cách ly)",
            "Giữ nguyên hiện trạng và báo người phát triển, kèm trang Sổ nhận.",
        )  # fmt: skip
        return
    last_ms = store.query("SELECT max(received_at) FROM telemetry_device_state")[0][0]
    devices = Device.objects.filter(removed_at__isnull=True).exclude(protocol=Device.Protocol.FILE).count()
    if not devices:
        yield Finding(name, "ok", "sổ nhận khớp, chưa có thiết bị nào")
        return
    silent = None if last_ms is None else now - datetime.fromtimestamp(last_ms / 1000, UTC)
    if silent is None or silent > _SENSORS_SILENT:
        what = (
            "chưa nhận được gì" if silent is None else f"không nhận được gì từ {silent.total_seconds() / 3600:.0f} giờ"
        )
        yield Finding(name, "warning", f"{what}, dù có {devices} thiết bị", "Chạy machnuoc up, hoặc machnuoc ingest.")
        return
    yield Finding(name, "ok", f"sổ nhận khớp: {format_number(ledger['received'])} số đọc của {devices} thiết bị")


def _einvoices(now: datetime) -> Iterator[Finding]:
    from django.conf import settings

    from machnuoc.billing import einvoice_certificate
    from machnuoc.billing.models import BillingProfile

    name = "Hóa đơn điện tử"
    if not settings.EINVOICE_P12:
        if BillingProfile.objects.filter(is_simulated=False).exists():
            yield Finding(
                name, "warning", "ký bằng chứng thư thử nghiệm: không có giá trị pháp lý và không gửi đi",
                "Đặt MACHNUOC_EINVOICE_P12 và MACHNUOC_EINVOICE_PASSWORD_FILE.",
            )  # fmt: skip
        else:
            yield Finding(name, "ok", "chưa đơn vị nào phát hành hóa đơn thật")
        return
    try:
        signer = einvoice_certificate.load(now)
    except einvoice_certificate.CannotSign as reason:
        yield Finding(name, "error", str(reason))
        return
    ends = signer.certificate.not_valid_after_utc
    sent = "" if settings.EINVOICE_URL else ", chưa nối nhà cung cấp (MACHNUOC_EINVOICE_URL)"
    state: State = "warning" if ends - now < _CERTIFICATE_ENDS_SOON or sent else "ok"
    todo = "Gia hạn chứng thư rồi thay tệp .p12." if ends - now < _CERTIFICATE_ENDS_SOON else ""
    yield Finding(name, state, f"ký bằng chứng thư «{signer.name}» đến {ends:%d/%m/%Y}{sent}", todo)
