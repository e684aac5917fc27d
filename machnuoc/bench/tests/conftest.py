"""What the tests of benchmarks share: databases that have their tables, which take longer to make than to measure."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection

from machnuoc.bench import common


@pytest.fixture(autouse=True)
def _with_tables(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("slow") is None:
        return
    put_tables: Callable[[str], bool] = request.getfixturevalue("put_migrated_tables")
    make_empty = common.throw_away_database

    @contextlib.contextmanager
    def make(kind: str) -> Iterator[dict[str, str]]:
        with make_empty(kind) as environment:
            if kind == connection.vendor:
                file = Path(environment["MACHNUOC_DATA_DIR"], "machnuoc.sqlite3")
                put_tables(environment.get("MACHNUOC_DATABASE_URL", str(file)))
            yield environment

    monkeypatch.setattr(common, "throw_away_database", make)
