"""One consistent copy of everything but the secret, and its way back.

The archive is a .tar.gz: manifest.json first (what, when, SHA-256 of each file), then the databases, then the stored
files and the archived readings. Databases are copied before files: a file that arrives meanwhile is in the copy
without a row, never a row without its file (an archived month that is replaced stays a day beside the new one).
Embedded, the readings are a database of their own, copied after the main one: a device that a reading is of is there.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import IO, Any

from django.conf import settings
from django.db import connection, connections

from machnuoc.telemetry import store

_SQLITE_NAME = "database.sqlite3"
_POSTGRESQL_NAME = "database.pgdump"
_STORE_NAME = "telemetry.sqlite3"
_MANIFEST = "manifest.json"
_CHUNK = 1024 * 1024
_LARGEST_MANIFEST = 100 * 1024 * 1024


class BackupFailed(Exception):
    """The copy could not be made or brought back; the text says why and what to do."""


@dataclass(frozen=True)
class Manifest:
    """What an archive holds: `files` gives the SHA-256 of each by its name in the archive."""

    version: str
    made_at: str
    database: str  # sqlite or postgresql
    files: dict[str, str]


def make_backup(target: Path) -> Manifest:
    """Write the archive and return its manifest. Works while the program runs.

    Raises BackupFailed if the target exists or the database cannot be copied; then nothing is left at the target.
    """
    if target.exists():
        raise BackupFailed(f"{target} đã có. Chọn tên khác để không ghi đè bản sao lưu cũ.")
    if not target.parent.is_dir():
        raise BackupFailed(f"Không có thư mục {target.parent}.")
    with tempfile.TemporaryDirectory(dir=settings.DATA_DIR, prefix=".backup-") as folder:
        members = {_database_name(): Path(folder) / _database_name()}
        _dump_database(members[_database_name()])
        if connection.vendor == "sqlite" and Path(store.path()).exists():
            members[_STORE_NAME] = Path(folder) / _STORE_NAME
            _copy_sqlite(Path(store.path()), members[_STORE_NAME])
        for prefix, place in _folders().items():
            for path in sorted(place.rglob("*")) if place.is_dir() else []:
                if path.is_file() and not path.name.startswith("."):
                    members[f"{prefix}/{path.relative_to(place).as_posix()}"] = path
        manifest = Manifest(
            version=metadata.version("machnuoc"),
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            database=connection.vendor,
            files={name: _sha256(path) for name, path in members.items()},
        )
        manifest_path = Path(folder) / _MANIFEST
        manifest_path.write_text(json.dumps(asdict(manifest), ensure_ascii=False, indent=1), encoding="utf-8")
        draft = target.with_name(f".{target.name}.part")
        try:
            # The copy holds personal data: for its owner only.
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as raw:
                with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=6) as archive:
                    archive.add(manifest_path, _MANIFEST, recursive=False)
                    for name, path in members.items():
                        archive.add(path, name, recursive=False)
                raw.flush()
                os.fsync(raw.fileno())
            draft.rename(target)
        except OSError as reason:
            raise BackupFailed(f"Không ghi được {target}: {reason.strerror}.") from None
        finally:
            draft.unlink(missing_ok=True)
    return manifest


def restore_backup(source: Path) -> Manifest:
    """Bring the archive into an empty data folder and database, after every hash has been checked.

    Raises BackupFailed; then database and files are as they were.
    """
    _require_empty()
    with tempfile.TemporaryDirectory(dir=settings.DATA_DIR, prefix=".restore-") as name:
        folder = Path(name)
        manifest = _unpack(source, folder)
        if manifest.database != connection.vendor:
            raise BackupFailed(
                f"Bản sao lưu là của {manifest.database}, cài đặt này dùng {connection.vendor}. "
                "Đặt MACHNUOC_DATABASE_URL cho khớp."
            )
        for database in (folder / _SQLITE_NAME, folder / _STORE_NAME):
            if database.exists():
                _require_sound(database)
        _load_database(folder / _database_name())
        if (folder / _STORE_NAME).exists():
            store.close()
            _put_in_place(folder / _STORE_NAME, Path(store.path()))
        for prefix, place in _folders().items():
            if (folder / prefix).is_dir():
                shutil.copytree(folder / prefix, place, dirs_exist_ok=True)
    return manifest


def _folders() -> dict[str, Path]:
    """Return the folders whose files belong to the copy, by their names in it."""
    return {"files": settings.FILES_DIR, "archive": settings.DATA_DIR / "archive"}


def _database_name() -> str:
    return _SQLITE_NAME if connection.vendor == "sqlite" else _POSTGRESQL_NAME


def _dump_database(target: Path) -> None:
    if connection.vendor == "sqlite":
        _copy_sqlite(Path(connection.settings_dict["NAME"]), target)
    else:
        _run_postgresql("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")


def _copy_sqlite(source: Path, target: Path) -> None:
    """Write the state of one moment, however much is written meanwhile."""
    link = sqlite3.connect(source)
    try:
        link.execute("VACUUM INTO ?", (str(target),))
    except sqlite3.Error as reason:
        raise BackupFailed(f"Không sao chép được {source}: {reason}. Kiểm tra đĩa: machnuoc doctor") from None
    finally:
        link.close()


def _require_sound(database: Path) -> None:
    link = sqlite3.connect(database)
    try:
        answer = link.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.DatabaseError as reason:
        answer = str(reason)
    finally:
        link.close()
    if answer != "ok":
        raise BackupFailed(f"Cơ sở dữ liệu trong bản sao lưu hỏng: {answer}. Dùng một bản sao lưu khác.")


def _put_in_place(copy: Path, target: Path) -> None:
    os.chmod(copy, 0o600)
    for suffix in ("", "-wal", "-shm"):  # of the empty database that was looked at
        target.with_name(target.name + suffix).unlink(missing_ok=True)
    copy.rename(target)


def _load_database(dump: Path) -> None:
    if connection.vendor == "sqlite":
        connections.close_all()
        _put_in_place(dump, Path(connection.settings_dict["NAME"]))
    else:
        _run_postgresql(
            "pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction",
            f"--dbname={connection.settings_dict['NAME']}", str(dump),
        )  # fmt: skip


def _run_postgresql(program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs against our database; the password goes by the environment."""
    found = shutil.which(program)
    if found is None:
        raise BackupFailed(f"Thiếu chương trình {program}. Cài gói postgresql-client cùng phiên bản với máy chủ.")
    server: dict[str, Any] = connection.settings_dict
    variables = {
        "PGHOST": server["HOST"], "PGPORT": server["PORT"], "PGUSER": server["USER"], "PGPASSWORD": server["PASSWORD"],
        "PGDATABASE": server["NAME"], "PGSSLMODE": server["OPTIONS"].get("sslmode", ""),
        "PGSSLROOTCERT": server["OPTIONS"].get("sslrootcert", ""),
    }  # fmt: skip
    connections.close_all()
    done = subprocess.run(  # noqa: S603 - a fixed program with our own arguments
        [found, *arguments],
        env={**os.environ, **{name: str(value) for name, value in variables.items() if value}},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BackupFailed(f"{program} thất bại: {done.stderr.strip()[:500]}")


def _require_empty() -> None:
    for place in _folders().values():
        if place.is_dir() and any(path.is_file() for path in place.rglob("*")):
            raise BackupFailed(f"{place} đang có tệp. Khôi phục vào một thư mục dữ liệu trống (MACHNUOC_DATA_DIR).")
    if connection.vendor == "sqlite" and Path(store.path()).exists():
        raise BackupFailed(f"{store.path()} đã có. Khôi phục vào một thư mục dữ liệu trống (MACHNUOC_DATA_DIR).")
    if connection.introspection.table_names():
        raise BackupFailed(
            f"Cơ sở dữ liệu {connection.settings_dict['NAME']} đang có bảng. Khôi phục vào một cơ sở dữ liệu trống, "
            "với MACHNUOC_DATA_DIR hoặc MACHNUOC_DATABASE_URL khác."
        )


def _unpack(source: Path, folder: Path) -> Manifest:
    """Write what the manifest names into the folder, checking each hash; anything else in the archive is refused."""
    try:
        with tarfile.open(source, mode="r:gz") as archive:
            first = archive.next()
            if first is None or first.name != _MANIFEST or not first.isfile() or first.size > _LARGEST_MANIFEST:
                raise BackupFailed(f"{source} không phải bản sao lưu của Mạch Nước (thiếu {_MANIFEST}).")
            manifest = Manifest(**json.loads(_open_member(archive, first).read()))
            missing = dict(manifest.files)
            while (member := archive.next()) is not None:
                wanted = missing.pop(member.name, None)
                path = PurePosixPath(member.name)
                if wanted is None or not member.isfile() or path.is_absolute() or ".." in path.parts:
                    raise BackupFailed(f"{source} có mục lạ «{member.name}». Dùng một bản sao lưu khác.")
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    shutil.copyfileobj(_open_member(archive, member), file, _CHUNK)
                if _sha256(target) != wanted:
                    raise BackupFailed(f"«{member.name}» trong {source} đã bị thay đổi. Dùng một bản sao lưu khác.")
    except FileNotFoundError:
        raise BackupFailed(f"Không có tệp {source}.") from None
    except (tarfile.TarError, EOFError, OSError, ValueError, TypeError) as reason:
        raise BackupFailed(f"Không đọc được bản sao lưu {source}: {reason}.") from None
    if missing:
        raise BackupFailed(
            f"{source} thiếu {len(missing)} tệp, ví dụ «{next(iter(missing))}». Dùng một bản sao lưu khác."
        )
    return manifest


def _open_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    opened = archive.extractfile(member)
    if opened is None:
        raise tarfile.ReadError(f"{member.name} is not a file")
    return opened


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
