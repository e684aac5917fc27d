"""A copy that cannot be brought back is no copy."""

import json
import subprocess
import sys
import tarfile

import pytest

_KEEP_A_SEALED_FILE = (
    "from machnuoc.core import files; from machnuoc.core.models import Person;"
    "from django.core.files.base import ContentFile;"
    "files.store('STT,Trạm\\n1,Bình Đông\\n'.encode(), name='tram.csv', by=Person.objects.get(),"
    " kinds=frozenset({'csv'}));"
    "from machnuoc.core import audit; from django.utils import timezone; audit.seal(timezone.now())"
)
_KEEP_READINGS = (
    "from django.conf import settings; from machnuoc.telemetry import store; store.prepare();"
    "from machnuoc.telemetry.tests import readings; readings.put([(7, 1_760_000_000_000 + n, n) for n in range(500)]);"
    "place = settings.DATA_DIR / 'archive'; place.mkdir(); (place / '2025-01.x.parquet').write_bytes(b'PAR1')"
)
_SHOW_READINGS = (
    "from django.conf import settings; from machnuoc.telemetry import store;"
    "print(store.query('SELECT count(*), max(value) FROM telemetry_reading')[0],"
    " (settings.DATA_DIR / 'archive' / '2025-01.x.parquet').read_bytes())"
)
_SHOW = (
    "from machnuoc.core import files, audit; from machnuoc.core.models import Person, StoredFile;"
    "print(Person.objects.get().username, files.open_file(StoredFile.objects.get()).read().decode().split()[-1],"
    " audit.verify().problems)"
)


@pytest.fixture
def installation(run_machnuoc):
    """Return the command of an installation with one person and one stored file."""
    for arguments, stdin in (
        (["createperson", "quantri"], "chín-dòng-suối-2026\n"),
        (["manage", "shell", "-c", _KEEP_A_SEALED_FILE], ""),
    ):
        done = run_machnuoc(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
    return run_machnuoc


def _run(environment, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "machnuoc", *arguments], env=environment, capture_output=True, text=True, timeout=120
    )


def test_a_copy_brings_back_people_files_and_the_audit_chain(installation, other_environment, tmp_path):
    copy = tmp_path / "sao-luu.tar.gz"

    made = installation("backup", str(copy))
    assert made.returncode == 0, made.stderr
    restored = _run(other_environment, "restore", str(copy))
    assert restored.returncode == 0, restored.stderr
    shown = _run(other_environment, "manage", "shell", "-c", _SHOW)

    assert shown.stdout.strip().endswith("quantri Đông []"), shown.stderr
    assert copy.stat().st_mode & 0o077 == 0
    # Search, whose index is made of shadow tables and triggers, works on.
    assert "OK" in _run(
        other_environment, "manage", "shell", "-c",
        "from machnuoc.core import search; print('OK' if search.find('binh son') else 'nothing')",
    ).stdout  # fmt: skip


def test_a_copy_brings_back_readings_and_archived_months(run_machnuoc, other_environment, tmp_path):
    copy = tmp_path / "sao-luu.tar.gz"
    for arguments in (["migrate"], ["manage", "shell", "-c", _KEEP_READINGS], ["backup", str(copy)]):
        done = run_machnuoc(*arguments)
        assert done.returncode == 0, done.stderr

    restored = _run(other_environment, "restore", str(copy))
    assert restored.returncode == 0, restored.stderr
    shown = _run(other_environment, "manage", "shell", "-c", _SHOW_READINGS)

    assert shown.stdout.strip().endswith("(500, 499.0) b'PAR1'"), shown.stderr


def test_the_secret_is_not_in_the_copy_and_each_file_has_its_hash(installation, tmp_path):
    copy = tmp_path / "sao-luu.tar.gz"
    installation("backup", str(copy))

    with tarfile.open(copy) as archive:
        names = archive.getnames()
        manifest = json.loads(archive.extractfile("manifest.json").read())

    assert not any("secret" in name for name in names)
    assert set(names) == {"manifest.json", *manifest["files"]}
    assert all(len(digest) == 64 for digest in manifest["files"].values())


def test_a_copy_is_never_written_over_another(installation, tmp_path):
    copy = tmp_path / "sao-luu.tar.gz"
    copy.write_bytes(b"older")

    done = installation("backup", str(copy))

    assert done.returncode == 1
    assert "đã có" in done.stderr
    assert copy.read_bytes() == b"older"


def test_an_installation_in_use_is_not_overwritten(installation, tmp_path):
    copy = tmp_path / "sao-luu.tar.gz"
    installation("backup", str(copy))

    done = installation("restore", str(copy))

    assert done.returncode == 1
    assert "trống" in done.stderr


@pytest.mark.parametrize("harm", ["changed", "cut", "foreign", "missing"])
def test_a_harmed_copy_is_refused_and_nothing_is_written(installation, other_environment, tmp_path, harm):
    copy, harmed = tmp_path / "sao-luu.tar.gz", tmp_path / "hong.tar.gz"
    installation("backup", str(copy))
    if harm == "cut":
        harmed.write_bytes(copy.read_bytes()[: copy.stat().st_size // 2])
    elif harm == "foreign":
        harmed.write_bytes(b"not an archive")
    else:
        folder = tmp_path / "unpacked"
        with tarfile.open(copy) as archive:
            archive.extractall(folder)  # noqa: S202 - made by the test itself
            names = archive.getnames()
        stored = next(name for name in names if name.startswith("files/"))
        if harm == "changed":
            (folder / stored).write_bytes("STT,Trạm\n1,Bình Tây\n".encode())
        else:
            names.remove(stored)
        with tarfile.open(harmed, "w:gz") as archive:
            for name in names:
                archive.add(folder / name, name, recursive=False)

    done = _run(other_environment, "restore", str(harmed))
    assert done.returncode == 1
    assert str(harmed) in done.stderr
    assert "Traceback" not in done.stderr

    assert _run(other_environment, "restore", str(copy)).returncode == 0


def test_a_copy_that_is_not_there_is_named(run_machnuoc, tmp_path):
    done = run_machnuoc("restore", str(tmp_path / "khong-co.tar.gz"))

    assert done.returncode == 1
    assert "khong-co.tar.gz" in done.stderr
