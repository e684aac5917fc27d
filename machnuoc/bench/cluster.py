"""A private PostgreSQL server for one benchmark, with the durability of a production server, gone afterwards."""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OLDEST_VERSION = 15

# What an administrator would give a small server of its own. fsync and synchronous_commit stay on, as they are.
_SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "512MB",
    "work_mem": "64MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "max_connections": "60",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
}


class NoPostgresql(Exception):
    """There is no server to measure on; the text says what to do."""


def find_programs() -> Path:
    """Return the folder of PostgreSQL's server programs (15 or newer). Raises NoPostgresql."""
    on_path = shutil.which("postgres")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version_of_folder, reverse=True)
    for folder in folders:
        if not all((folder / name).exists() for name in ("initdb", "pg_ctl", "postgres")):
            continue
        told = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
        found = re.search(r"\d+", told)
        if found and int(found.group()) >= OLDEST_VERSION:
            return folder
    raise NoPostgresql(
        f"Máy này không có PostgreSQL {OLDEST_VERSION} trở lên. Cài gói postgresql của hệ điều hành, hoặc đặt "
        "MACHNUOC_BENCH_POSTGRESQL_URL là một cơ sở dữ liệu trống dành riêng cho phép đo."
    )


def _version_of_folder(folder: Path) -> int:
    return int(folder.parent.name) if folder.parent.name.isdigit() else 0


@contextmanager
def start() -> Iterator[str]:
    """Run a server on a socket in a temporary folder; give the URL of its empty database. Raises NoPostgresql."""
    programs = find_programs()
    home = Path(tempfile.mkdtemp(prefix="machnuoc-bench-pg."))
    account = _account_of_server()
    if account is not None:
        os.chown(home, account.pw_uid, account.pw_gid)

    def run(*command: str | Path) -> None:
        done = subprocess.run(  # noqa: S603
            command,
            cwd="/",
            env={**os.environ, "HOME": str(home)},
            # To a file, not a pipe: the server inherits it and would keep a pipe open.
            stdout=log,
            stderr=subprocess.STDOUT,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )
        if done.returncode:
            log.seek(0)
            raise NoPostgresql(f"PostgreSQL không khởi động được: {log.read().decode(errors='replace').strip()[-500:]}")

    data = home / "data"
    options = " ".join(
        f"-c {name}={value!r}" for name, value in (_SETTINGS | {"unix_socket_directories": home}).items()
    )
    options = options.replace(f"PosixPath('{home}')", f"'{home}'")
    with tempfile.TemporaryFile() as log:
        try:
            run(
                programs / "initdb", f"--pgdata={data}", "--username=machnuoc", "--auth=trust", "--encoding=UTF8",
                "--locale=C.UTF-8", "--no-sync",
            )  # fmt: skip
            run(
                programs / "pg_ctl", f"--pgdata={data}", f"--log={home / 'server.log'}", "--wait", "--timeout=60",
                "--silent", f"--options={options}", "start",
            )  # fmt: skip
            try:
                yield f"postgresql://machnuoc@/postgres?host={home}"
            finally:
                run(programs / "pg_ctl", f"--pgdata={data}", "--mode=immediate", "--silent", "stop")
        finally:
            shutil.rmtree(home, ignore_errors=True)


def _account_of_server() -> pwd.struct_passwd | None:
    """Return whom to run the server as: it refuses to run as root. None: as ourselves."""
    if os.geteuid() != 0:
        return None
    names = {account.pw_name: account for account in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]
