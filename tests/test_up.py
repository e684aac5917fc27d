"""`machnuoc up` as a process: it comes up, keeps its children alive, and goes down in time."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
PARTS = {"web", "worker", "broker", "ingest", "watch"}


def _answer(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
        return str(answer.read().decode())


def _wait_for(what, within_s: float):
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            found = what()
            if found:
                return found
        time.sleep(0.1)
    raise AssertionError(f"not within {within_s} s")


def _children(pid: int) -> dict[str, int]:
    """Return the process ids of the parts below `up`."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    names = {child: Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0") for child in children}
    return {words[-2].decode(): int(child) for child, words in names.items() if len(words) > 2}


@pytest.fixture
def tables(run_machnuoc):
    """Give the new installation its tables, so that only tests of a first start wait for their making."""
    assert run_machnuoc("migrate").returncode == 0


@pytest.fixture
def up(fresh_environment, free_port, tmp_path):
    """Return a started `machnuoc up` that answers, with its port."""
    with (tmp_path / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "machnuoc", "up", "--port", str(free_port)],
            env=fresh_environment, stdout=log, stderr=subprocess.STDOUT, cwd=tmp_path,
        )  # fmt: skip
    process.port = free_port
    process.read_log = (tmp_path / "up.log").read_text
    try:
        _wait_for(lambda: "đang chạy tại" in process.read_log() or process.poll() is not None, 180)
        assert process.poll() is None, process.read_log()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def test_a_first_start_makes_its_tables(up):
    assert _wait_for(lambda: _answer(up.port), 20).strip() == "ok"
    assert "Traceback" not in up.read_log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_answers_and_ends_with_all_its_children(tables, up, number):
    assert _wait_for(lambda: _answer(up.port), 20).strip() == "ok"
    assert f"http://127.0.0.1:{up.port}" in up.read_log()
    children = _wait_for(lambda: (found := _children(up.pid)) and set(found) >= PARTS and found, 10)
    assert set(children) == PARTS

    up.send_signal(number)

    assert up.wait(30) == 0, up.read_log()
    assert not [pid for pid in children.values() if Path(f"/proc/{pid}").exists()]
    assert "Traceback" not in up.read_log()
    with pytest.raises(OSError):
        _answer(up.port)


def test_a_child_that_dies_is_started_again(tables, up):
    web = _wait_for(lambda: _children(up.pid).get("web"), 10)

    os.kill(web, signal.SIGKILL)

    _wait_for(lambda: _children(up.pid).get("web", web) != web, 15)
    assert _wait_for(lambda: _answer(up.port), 20).strip() == "ok"
    assert "Trang web dừng bất ngờ" in up.read_log()


def test_children_do_not_outlive_a_killed_supervisor(tables, up):
    children = _wait_for(lambda: (found := _children(up.pid)) and set(found) >= PARTS and found, 10)

    up.kill()
    up.wait(5)

    _wait_for(lambda: not [pid for pid in children.values() if Path(f"/proc/{pid}").exists()], 10)


def test_pages_carry_a_strict_policy_and_static_files_are_cached_for_long(tables, up, tmp_path):
    manifest = tmp_path / "data" / "static" / "staticfiles.json"
    assert manifest.exists()
    hashed = next(path for path in manifest.parent.rglob("*.css") if len(path.suffixes) > 1)

    url = f"http://127.0.0.1:{up.port}/static/{hashed.relative_to(manifest.parent).as_posix()}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert "immutable" in answer.headers["Cache-Control"]


def test_a_port_in_use_is_named_and_nothing_is_started(run_machnuoc, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        done = run_machnuoc("up", "--port", str(port))

    assert done.returncode == 1
    assert f"Không mở được cổng {port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_demonstration_loads_twice_without_a_copy_and_tells_its_accounts(tables, run_machnuoc):
    count = (
        "from machnuoc.core.models import Person, AuditEntry; print(Person.objects.count(), AuditEntry.objects.count())"
    )

    first = run_machnuoc("demo", "load")
    once = run_machnuoc("manage", "shell", "-c", count).stdout.split()[-2:]
    second = run_machnuoc("demo", "load")
    twice = run_machnuoc("manage", "shell", "-c", count).stdout.split()[-2:]

    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert "mật khẩu chung: mach-nuoc-2026" in first.stdout
    assert "quantri" in first.stdout
    assert first.stdout == second.stdout
    assert once == twice


def test_a_second_start_collects_no_static_files_again(run_machnuoc, tmp_path):
    code = "from machnuoc.config import process; print(process.collect_static(), process.collect_static())"

    assert run_machnuoc("manage", "shell", "-c", code).stdout.strip().endswith("True False")
