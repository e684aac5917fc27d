"""What every test of the project shares: which database it runs on, and files of its own."""

import shutil
from pathlib import Path

import pytest
from django.conf import settings

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
    if data_dir.name.startswith("machnuoc-test-"):  # made by settings.py for this run alone
        shutil.rmtree(data_dir, ignore_errors=True)


@pytest.fixture(autouse=True)
def _files_of_its_own(settings, tmp_path):
    """Give each test an empty file store."""
    settings.FILES_DIR = tmp_path / "files"
