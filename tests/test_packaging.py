"""What is shipped: the locks, the licence, the data that the program needs, the scripts that build it."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import resources

import pytest


def _pins(text: str) -> dict[str, list[str]]:
    """Return the sorted hashes of each «name==version ; marker» of a lock."""
    pins: dict[str, list[str]] = {}
    for block in re.split(r"\n(?=[a-z0-9])", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)):
        head, _, rest = block.partition("\\\n")
        pins[head.strip()] = sorted(re.findall(r"--hash=sha256:([0-9a-f]{64})", rest))
    return pins


@pytest.fixture(params=["requirements.lock", "requirements-test.lock"])
def lock(request, root) -> str:
    return (root / request.param).read_text(encoding="utf-8")


def test_every_requirement_is_pinned_with_hashes(lock):
    pins = _pins(lock)

    assert len(pins) > 20
    for head, hashes in pins.items():
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]*==[0-9][0-9a-z.]*( ; .+)?", head), head
        assert hashes, head


def test_a_lock_names_no_host_no_index_and_no_path(lock):
    for forbidden in ("://", "--index", "--extra-index", "--find-links", "--trusted-host", "file:", " @ ", "/"):
        assert forbidden not in lock, forbidden


def test_the_test_lock_is_the_runtime_lock_and_more(root):
    runtime = _pins((root / "requirements.lock").read_text(encoding="utf-8"))
    test = _pins((root / "requirements-test.lock").read_text(encoding="utf-8"))

    assert runtime.items() <= test.items()
    assert {"pytest", "playwright", "ruff"} <= {head.partition("==")[0] for head in test.keys() - runtime.keys()}


def test_the_locks_hold_what_the_project_asks_for(root):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for asked, name in (
        (project["dependencies"], "requirements.lock"),
        (project["dependencies"] + project["optional-dependencies"]["test"], "requirements-test.lock"),
    ):
        locked = {head.partition("==")[0] for head in _pins((root / name).read_text(encoding="utf-8"))}
        wanted = {re.match(r"[A-Za-z0-9_.-]+", line)[0].lower().replace("_", "-") for line in asked}
        assert wanted <= locked


def test_the_licence_is_apache_2(root):
    text = (root / "LICENSE").read_text(encoding="utf-8")

    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert (root / "NOTICE").exists()


@pytest.mark.slow
def test_a_built_package_carries_data_templates_and_static_files(root, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(root / "machnuoc", source / "machnuoc", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE", "NOTICE", "README.md"):
        if (root / name).exists():
            shutil.copy(root / name, source)
    shipped = {path.relative_to(source).as_posix() for path in (source / "machnuoc").rglob("*") if path.is_file()}

    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "."],
        cwd=source,
        check=True,
        timeout=300,
    )

    (wheel,) = source.glob("machnuoc-*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert shipped <= packed
    assert any(name.endswith("licenses/LICENSE") for name in packed)


def test_the_data_is_found_where_the_package_lies():
    assert resources.files("machnuoc.places").joinpath("data/communes.csv").is_file()
    assert resources.files("machnuoc.core").joinpath("static").is_dir()


def test_the_scripts_are_sound_and_can_be_run(root):
    scripts = [*sorted((root / "scripts").glob("*.sh")), root / ".ci" / "run"]

    for script in scripts:
        subprocess.run(["bash", "-n", str(script)], check=True)
        is_sourced = script.name == "find_system.sh"
        assert is_sourced or script.stat().st_mode & 0o111, f"{script.name} is not executable"
        assert is_sourced or "set -euo pipefail" in script.read_text(encoding="utf-8"), script.name


def test_an_environment_that_is_up_to_date_is_left_alone(root, tmp_path):
    """The second `make run` must not install anything: pip is not even asked."""
    for name in ("requirements.lock", "requirements-test.lock", "pyproject.toml"):
        shutil.copy(root / name, tmp_path)
    (tmp_path / "scripts").mkdir()
    shutil.copy(root / "scripts" / "install.sh", tmp_path / "scripts")
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    log = tmp_path / "pip.log"
    log.touch()
    (folder / "python").write_text(
        "#!/bin/sh\n"
        f'case "$*" in *"pip install"*) echo "$*" >> {log};; *pip*) ;; *) exec {sys.executable} "$@";; esac\n'
    )
    (folder / "machnuoc").write_text("#!/bin/sh\n")
    for name in ("python", "machnuoc"):
        (folder / name).chmod(0o755)

    def install(what: str) -> list[str]:
        log.write_text("")
        subprocess.run(["bash", "scripts/install.sh", what], cwd=tmp_path, check=True, capture_output=True)
        return log.read_text().splitlines()

    assert len(install("test")) == 2
    assert install("test") == []
    assert install("runtime") == []
    with (tmp_path / "requirements.lock").open("a") as lock:
        lock.write("# a new version\n")
    first, second = install("runtime")
    assert "--require-hashes" in first
    assert "--no-build-isolation" in second
    assert len(install("test")) == 2


def test_continuous_integration_fails_when_a_test_is_skipped(root, tmp_path):
    (tmp_path / ".ci").mkdir()
    shutil.copy(root / ".ci" / "run", tmp_path / ".ci")
    fine = "===== 12 passed in 3.21s ====="
    cases = {
        (fine, fine): 0,
        (fine,): 1,
        (fine, "SKIPPED [1] tests/test_x.py:3: no Chromium", "== 11 passed, 1 skipped in 3.00s =="): 1,
        ("== 1 failed, 11 passed in 3.00s ==", fine): 0,  # make's own exit code says so
    }
    for lines, expected in cases.items():
        (tmp_path / "Makefile").write_text("test:\n" + "".join(f"\t@echo '{line}'\n" for line in lines))
        done = subprocess.run([tmp_path / ".ci" / "run"], capture_output=True, text=True)
        assert done.returncode == expected, done.stderr

    (tmp_path / "Makefile").write_text("test:\n\t@exit 3\n")
    assert subprocess.run([tmp_path / ".ci" / "run"], capture_output=True).returncode != 0


@pytest.fixture
def install_system(root, tmp_path):
    """Return a function that runs the installer of system packages with a stand-in for apt-get, which only notes."""
    folder = tmp_path / "bin"
    folder.mkdir()
    log = tmp_path / "apt.log"
    log.touch()

    def put(name: str, text: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)

    def run(*, is_root: bool, may_sudo: bool) -> tuple[str, list[str]]:
        put("apt-get", f'echo "$*" >> {log}')
        put("id", f"echo {0 if is_root else 1000}")
        put("sudo", 'shift; exec "$@"' if may_sudo else "exit 1")
        done = subprocess.run(
            ["bash", str(root / "scripts" / "install_test_system.sh")],
            env={"PATH": f"{folder}:/usr/bin:/bin", "MACHNUOC_TEST_CHROMIUM": "no-such-browser"},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout + done.stderr, log.read_text().splitlines()

    return run


@pytest.mark.postgresql  # the server is there, so that the browser alone is missing
@pytest.mark.parametrize(("is_root", "may_sudo"), [(True, False), (False, True)])
def test_what_the_tests_need_is_installed_after_saying_so(install_system, is_root, may_sudo):
    said, asked = install_system(is_root=is_root, may_sudo=may_sudo)

    assert "Chromium is missing: installing the package chromium" in said
    assert asked[0].endswith("update")
    assert [line.split()[-1] for line in asked[1:]] == ["chromium"]
    assert "the browser tests are skipped" in said


@pytest.mark.postgresql
def test_without_root_and_sudo_the_reason_is_told_and_nothing_is_installed(install_system):
    said, asked = install_system(is_root=False, may_sudo=False)

    assert "Neither root nor sudo" in said
    assert asked == []
