"""Fixtures of the tests that cross rooms: the program as a process of its own, and a real browser."""

import os
import shutil
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from django.db import connection

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def fresh_environment(tmp_path, request):
    """Return the environment of a new installation: an empty data folder and, on PostgreSQL, an empty database."""
    yield from _new_installation(tmp_path / "data")


@pytest.fixture
def other_environment(tmp_path):
    """Return the environment of a second new installation."""
    yield from _new_installation(tmp_path / "other")


def _new_installation(data_dir: Path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MACHNUOC_")}
    environment |= {"MACHNUOC_DATA_DIR": str(data_dir), "PYTHONUNBUFFERED": "1"}
    if connection.vendor != "postgresql":
        yield environment
        return
    import psycopg

    server = connection.settings_dict
    where = {
        "host": server["HOST"],
        "port": server["PORT"] or None,
        "user": server["USER"],
        "password": server["PASSWORD"],
    }
    name = f"machnuoc_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(**where, dbname="postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    environment["MACHNUOC_DATABASE_URL"] = f"postgresql://{server['USER']}@/{name}?host={server['HOST']}"
    yield environment
    with psycopg.connect(**where, dbname="postgres", autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def run_machnuoc(fresh_environment, tmp_path):
    """Return a function that runs the command in a new installation and gives back the finished process."""

    def run(*arguments: str, stdin: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "machnuoc", *arguments],
            env=fresh_environment | variables,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
        )

    return run


def find_chromium() -> str | None:
    """Return a Chromium that starts; a snap wrapper may be there without one behind it."""
    wanted = os.environ.get("MACHNUOC_TEST_CHROMIUM")
    names = [wanted] if wanted else ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    for name in names:
        path = shutil.which(name)
        if path and subprocess.run([path, "--version"], capture_output=True, timeout=30).returncode == 0:
            return path
    return None


@pytest.fixture(scope="session")
def browser():
    """Return a real Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium that starts: scripts/install_test_system.sh installs it")
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright keeps an event loop in the thread of the tests
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield chromium
        chromium.close()
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def make_page(browser):
    """Return a function that opens a page with a clean profile; `errors` collects what the console complains about."""
    contexts = []

    def make(width_px: int = 1440, height_px: int = 900, *, dark: bool = False):
        context = browser.new_context(
            viewport={"width": width_px, "height": height_px},
            locale="vi-VN",
            timezone_id="Asia/Ho_Chi_Minh",
            color_scheme="dark" if dark else "light",
        )
        contexts.append(context)
        page = context.new_page()
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
        return page

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def page(make_page):
    return make_page()
