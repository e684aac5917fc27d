"""What every test of the project shares: which database it runs on, and files of its own."""

import contextlib
import functools
import hashlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings
from django.db import connections

pytest_plugins = [
    "machnuoc.core.tests.append_only",
    "machnuoc.demo.tests.database",
    "machnuoc.telemetry.tests.clean_store",
]


def pytest_configure(config: pytest.Config) -> None:
    static_root: Path = settings.STATIC_ROOT
    static_root.mkdir(parents=True, exist_ok=True)  # whitenoise warns of a folder that is not there


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what needs the other database."""
    vendor = settings.DATABASES["default"]["ENGINE"].rpartition(".")[2]
    reasons = {
        "postgresql": "needs PostgreSQL: scripts/with_postgresql.sh .venv/bin/pytest",
        "sqlite3": "needs SQLite: unset MACHNUOC_DATABASE_URL",
    }
    for item in items:
        needed = {"postgresql": "postgresql", "sqlite": "sqlite3"}
        for mark, engine in needed.items():
            if item.get_closest_marker(mark) and vendor != engine:
                item.add_marker(pytest.mark.skip(reason=reasons[engine]))


def pytest_unconfigure(config: pytest.Config) -> None:
    data_dir: Path = settings.DATA_DIR
    for folder in (data_dir, data_dir.parent):  # of a worker, its own is within
        if folder.name.startswith("machnuoc-test-"):  # made by settings.py for this run alone
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _files_of_its_own(settings, tmp_path):
    """Give each test an empty file store."""
    settings.FILES_DIR = tmp_path / "files"


def _migrated_template(cache: pytest.Cache) -> Path:
    """Return where a migrated, empty database of this state of the migrations is kept between runs."""
    digest = hashlib.sha256(django.__version__.encode())
    for migration in sorted(Path(__file__).parent.glob("machnuoc/*/migrations/*.py")):
        digest.update(migration.read_bytes())
    return cache.mkdir("machnuoc") / f"migrated-{digest.hexdigest()[:16]}.{connections['default'].vendor}"


@pytest.fixture(scope="session")
def django_db_keepdb(request: pytest.FixtureRequest, django_db_modify_db_settings: None) -> bool:
    """Start from the tables that an earlier run made: migrating takes longer than most tests."""
    name = connections["default"].creation._get_test_db_name()
    if connections["default"].vendor == "postgresql" and _migrated_template(request.config.cache).exists():
        _postgresql("psql", "postgres", "-c", f'DROP DATABASE IF EXISTS "{name}"', "-c", f'CREATE DATABASE "{name}"')
    return _put_migrated_tables(request.config.cache, name)


def _put_migrated_tables(cache: pytest.Cache, name: str) -> bool:
    """Put the kept tables into an empty database; return whether some are kept.

    name: of a database of the server of the tests or an address (postgresql://…), or of a file not yet there on SQLite.
    """
    template = _migrated_template(cache)
    if not template.exists():
        return False
    if template.suffix == ".sqlite":
        shutil.copyfile(template, name)
        Path(name).chmod(0o600)
    else:
        _postgresql("psql", "", "-d", name, "-f", str(template))
    return True


@pytest.fixture(scope="session")
def put_migrated_tables(request: pytest.FixtureRequest, django_db_setup: None) -> Callable[[str], bool]:
    """Return what puts kept tables into an empty database, where its first start is not what is tested."""
    return functools.partial(_put_migrated_tables, request.config.cache)


@pytest.fixture(scope="session")
def django_db_setup(request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: Any) -> None:
    """Keep the migrated tables for the next run."""
    template = _migrated_template(request.config.cache)
    if template.exists():
        return
    name = connections["default"].settings_dict["NAME"]
    if str(name) != str(connections["default"].creation._get_test_db_name()):
        return  # no test of this run asked for tables
    part = template.with_suffix(f".{os.getpid()}")
    if connections["default"].vendor == "sqlite":
        with contextlib.closing(sqlite3.connect(name)) as source, contextlib.closing(sqlite3.connect(part)) as target:
            source.backup(target)
    elif shutil.which("pg_dump") is None:
        return
    else:
        _postgresql("pg_dump", name, "--no-owner", "--file", str(part))
    part.replace(template)
    for older in template.parent.glob(f"migrated-*{template.suffix}"):
        if older != template:
            older.unlink(missing_ok=True)


def _postgresql(program: str, database: str, *arguments: str) -> None:
    server = connections["default"].settings_dict
    found = {"PGHOST": server["HOST"], "PGPORT": str(server["PORT"] or ""), "PGUSER": server["USER"]}
    found |= {"PGPASSWORD": server["PASSWORD"], "PGDATABASE": database, "PGOPTIONS": "-c client_min_messages=warning"}
    quiet = ["-q", "-v", "ON_ERROR_STOP=1"] if program == "psql" else []
    subprocess.run(  # noqa: S603 - programs of the database, arguments of ours
        [program, *quiet, *arguments], check=True, stdout=subprocess.DEVNULL,
        env=os.environ | {key: value for key, value in found.items() if value},
    )  # fmt: skip
