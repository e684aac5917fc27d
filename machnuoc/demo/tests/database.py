"""The loaded demonstration in a database of its own, for the tests of every room."""

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

LOADED_AT = datetime(2026, 6, 1, 2, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def demo_data_database(django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    """Load the plans once a run into a copy of the empty database, and return its name."""
    from machnuoc.demo import customers, load

    with django_db_blocker.unblock():
        name, drop = _copy_database(str(connection.settings_dict["NAME"]))
        with _use_database(name):
            load.load_demo(LOADED_AT, simulate=False)
            customers.load_customers(LOADED_AT, most=3)
        yield name
        drop()


@pytest.fixture(scope="module")
def demo_data(demo_data_database: str, django_db_blocker: Any) -> Iterator[None]:
    """Let the tests of a module work on the loaded plans; what each one writes is rolled back as everywhere.

    Use it with `db`: pytestmark = pytest.mark.usefixtures("demo_data", "db").
    """
    with django_db_blocker.unblock(), _use_database(demo_data_database):
        yield


@contextlib.contextmanager
def _use_database(name: str) -> Iterator[None]:
    before = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = name
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before


def _copy_database(name: str) -> tuple[str, Any]:
    """Return the name of a copy of the database, and what drops the copy again."""
    connection.close()
    copy = f"{name}_rooms"
    if connection.vendor == "sqlite":
        Path(copy).unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(name)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        return copy, Path(copy).unlink
    with _postgresql() as admin:
        admin.execute(f'DROP DATABASE IF EXISTS "{copy}" WITH (FORCE)')
        admin.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{name}"')

    def drop() -> None:
        with _postgresql() as admin:
            admin.execute(f'DROP DATABASE "{copy}" WITH (FORCE)')

    return copy, drop


def _postgresql() -> Any:
    import psycopg

    server = connection.settings_dict
    return psycopg.connect(
        host=server["HOST"], port=server["PORT"] or None, user=server["USER"], password=server["PASSWORD"],
        dbname="postgres", autocommit=True,
    )  # fmt: skip
