"""Fixtures of the tests that cross rooms: the demonstration, the program as a process of its own, a real browser."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

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
    environment |= {"MACHNUOC_DATA_DIR": str(data_dir), "PYTHONUNBUFFERED": "1", "MACHNUOC_SIMULATED_DAYS": "4"}
    environment["MACHNUOC_SIMULATED_CUSTOMERS"] = "5"
    if connection.vendor != "postgresql":
        yield environment
        return
    server = connection.settings_dict
    name = f"machnuoc_{uuid.uuid4().hex[:12]}"
    with _postgresql_admin() as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    environment["MACHNUOC_DATABASE_URL"] = f"postgresql://{server['USER']}@/{name}?host={server['HOST']}"
    yield environment
    with _postgresql_admin() as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _database_name(environment: dict[str, str]) -> str:
    url = environment.get("MACHNUOC_DATABASE_URL")
    return urlsplit(url).path.lstrip("/") if url else str(Path(environment["MACHNUOC_DATA_DIR"]) / "machnuoc.sqlite3")


@pytest.fixture
def run_machnuoc(fresh_environment, tmp_path, put_migrated_tables):
    """Return a function that runs the command in a new installation and gives back the finished process."""
    data_dir = Path(fresh_environment["MACHNUOC_DATA_DIR"])
    has_tables = False

    def run(*arguments: str, stdin: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
        nonlocal has_tables
        if arguments[:1] in {("migrate",), ("createperson",)} and not has_tables:
            has_tables = True  # the tables of each migration in turn are made by the tests of `up`
            data_dir.mkdir(mode=0o700, exist_ok=True)
            put_migrated_tables(_database_name(fresh_environment))
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


# --- the demonstration, in the database of the tests ------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(demo_data) -> None:
    """Let the tests of a module work on the loaded plans; what each one writes is rolled back as everywhere."""


def _postgresql_admin():
    import psycopg

    server = connection.settings_dict
    return psycopg.connect(
        host=server["HOST"], port=server["PORT"] or None, user=server["USER"], password=server["PASSWORD"],
        dbname="postgres", autocommit=True,
    )  # fmt: skip


# --- the program, as somebody runs it -----------------------------------------------------------------------------


@dataclass
class Site:
    """`machnuoc up --demo` on an embedded database, and the states of those who signed in to it."""

    url: str
    password: str
    database: str = ""
    vnpay_secret: str = "bi-mat-thu"
    states: dict[str, dict] = field(default_factory=dict)


@pytest.fixture(scope="session")
def site(tmp_path_factory, put_migrated_tables) -> Iterator[Site]:
    """Return the running program, once for all browser tests."""
    from machnuoc.demo import load

    folder = tmp_path_factory.mktemp("site")
    if connection.vendor == "sqlite":  # its first start from nothing is tested elsewhere, and takes long
        (folder / "data").mkdir(mode=0o700)
        put_migrated_tables(str(folder / "data" / "machnuoc.sqlite3"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MACHNUOC_")}
    environment |= {"MACHNUOC_DATA_DIR": str(folder / "data"), "PYTHONUNBUFFERED": "1", "MACHNUOC_SIMULATED_DAYS": "4"}
    environment["MACHNUOC_SIMULATED_CUSTOMERS"] = "5"
    environment["MACHNUOC_VNPAY"] = f"vnpay://THUNGHIEM:{Site.vnpay_secret}@sandbox.vnpayment.vn"
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "machnuoc", "up", "--demo", "--port", str(port)],
            env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=folder,
        )  # fmt: skip
    read_log = (folder / "up.log").read_text
    try:
        deadline = time.monotonic() + 300  # of a machine that others use too
        while "đang chạy tại" not in read_log():
            assert process.poll() is None and time.monotonic() < deadline, read_log()
            time.sleep(0.1)
        url = f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=30) as answer:
            assert answer.status == 200
        yield Site(url, load.PASSWORD, str(folder / "data" / "machnuoc.sqlite3"))
        assert "Traceback" not in read_log(), read_log()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


@pytest.fixture
def settled_site(site) -> Site:
    """Return the running program once its simulated customers are there and what they make of figures is computed."""
    loaded = "SELECT 1 FROM core_job WHERE task = 'demo.customers' AND state = 'DONE'"
    counting = "SELECT 1 FROM core_job WHERE task LIKE '%.measure' AND state IN ('QUEUED', 'RUNNING')"
    deadline = time.monotonic() + 300
    while True:
        with closing(sqlite3.connect(site.database, timeout=30)) as database:
            if database.execute(loaded).fetchone() and not database.execute(counting).fetchone():
                return site
        assert time.monotonic() < deadline, "the simulated customers are not there"
        time.sleep(0.5)


# --- a real browser -----------------------------------------------------------------------------------------------


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
def open_page(browser, site):
    """Return a function that opens a page on the running program, signed in as one of the demo accounts.

    page.complaints: what the console reports as an error, the content policy refuses, or the program answers with 5xx.
    page.foreign: requests to any other origin.
    """
    contexts = []

    def new_context(**options):
        context = browser.new_context(
            base_url=site.url, locale="vi-VN", timezone_id="Asia/Ho_Chi_Minh", reduced_motion="reduce", **options
        )
        context.set_default_timeout(15_000)
        contexts.append(context)
        return context

    def open_it(
        username: str = "", *, width_px: int = 1440, height_px: int = 900, dark: bool = False, javascript: bool = True
    ):
        if username and username not in site.states:
            context = new_context()
            page = context.new_page()
            page.goto("/dang-nhap/")
            page.fill("input[name=username]", username)
            page.fill("input[name=password]", site.password)
            page.press("input[name=password]", "Enter")
            page.wait_for_url(f"{site.url}/")
            site.states[username] = context.storage_state()
        context = new_context(
            viewport={"width": width_px, "height": height_px},
            color_scheme="dark" if dark else "light",
            java_script_enabled=javascript,
            **({"storage_state": site.states[username]} if username else {}),
        )
        page = context.new_page()
        _listen(page, site.url)
        return page

    yield open_it
    for context in contexts:
        context.close()


def _listen(page, origin: str) -> None:
    page.complaints, page.foreign = [], []
    page.on("pageerror", lambda error: page.complaints.append(f"{page.url}: {error}"))
    page.on(
        "console",
        lambda message: message.type == "error" and page.complaints.append(f"{page.url}: {message.text}"),
    )
    page.on(
        "response",
        lambda answer: answer.status >= 500 and page.complaints.append(f"{answer.url}: {answer.status}"),
    )

    def note(request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "blob", "about"} and f"{parts.scheme}://{parts.netloc}" != origin:
            page.foreign.append(request.url)

    page.on("request", note)
