"""Word files as PDF, by LibreOffice without a window: one at a time, in a profile of its own, ended when too slow."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from machnuoc.reports.errors import ReportsError

TIMEOUT_S = 120
_NAMES = ("soffice", "libreoffice")
_FOLDERS = ("/usr/lib/libreoffice/program", "/opt/libreoffice/program", "/usr/lib64/libreoffice/program")
_SUBSTITUTION = "/org.openoffice.Office.Common/Font/Substitution"
_SCRIPTING = "/org.openoffice.Office.Common/Security/Scripting"


def _item(path: str, name: str, value: str) -> str:
    return f'<item oor:path="{path}"><prop oor:name="{name}"><value>{value}</value></prop></item>\n'


def _profile(*, takes_tinos: bool) -> str:
    """Return the settings of LibreOffice: no macros, no links followed, Tinos for a Times New Roman that is missing.

    Left to itself it takes Liberation Serif, which lacks most Vietnamese letters, and mixes two fonts in a word.
    """
    pair = "".join(
        f'<prop oor:name="{name}"><value>{value}</value></prop>'
        for name, value in (
            ("ReplaceFont", "Times New Roman"), ("SubstituteFont", "Tinos"), ("Always", "true"),
            ("OnScreenOnly", "false"),
        )
    )  # fmt: skip
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<oor:items xmlns:oor="http://openoffice.org/2001/registry" '
        'xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n'
        + _item(_SUBSTITUTION, "Replacement", "true" if takes_tinos else "false")
        + f'<item oor:path="{_SUBSTITUTION}/FontPairs"><node oor:name="_0" oor:op="replace">{pair}</node></item>\n'
        + _item(_SCRIPTING, "MacroSecurityLevel", "3")
        + _item(_SCRIPTING, "BlockUntrustedRefererLinks", "true")
        + "</oor:items>\n"
    )


class NoConverter(ReportsError):
    """LibreOffice is not installed on this machine."""


class ConversionFailed(ReportsError):
    """LibreOffice ended without a PDF, or not in time."""


def find_soffice() -> Path | None:
    """Return LibreOffice's program: MACHNUOC_SOFFICE, the path, or where distributions put it; None if not there."""
    if settings.SOFFICE:
        chosen = Path(settings.SOFFICE)
        return chosen if os.access(chosen, os.X_OK) else None
    for name in _NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    for folder in _FOLDERS:
        path = Path(folder) / "soffice"
        if os.access(path, os.X_OK):
            return path
    return None


def has_vietnamese_times() -> bool:
    """Return whether this machine has Times New Roman, or Tinos, which has its widths and all Vietnamese letters."""
    families = _list_families()
    return families is None or not families.isdisjoint({"Times New Roman", "Tinos"})


def _list_families() -> frozenset[str] | None:
    """Return the installed font families; None where nobody can be asked (Windows and macOS have the font)."""
    program = shutil.which("fc-list")
    if program is None:
        return None
    found = subprocess.run([program, ":", "family"], capture_output=True, timeout=30, check=False)  # noqa: S603
    lines = found.stdout.decode("utf-8", "replace").splitlines()
    return frozenset(name.strip() for line in lines for name in line.split(","))


def convert(content: bytes, *, suffix: str = "docx", timeout_s: float = TIMEOUT_S) -> bytes:
    """Return a Word file or workbook as PDF. Waits while another conversion runs.

    Raises NoConverter, ConversionFailed (also after timeout_s seconds: the program is killed then).
    """
    program = find_soffice()
    if program is None:
        raise NoConverter(
            "Chưa tạo được PDF: máy chủ chưa có LibreOffice. Cài libreoffice-writer-nogui và libreoffice-calc-nogui, "
            "hoặc tải tệp Word rồi xuất PDF bằng phần mềm văn phòng."
        )
    families = _list_families() or frozenset()
    profile = _profile(takes_tinos="Times New Roman" not in families and "Tinos" in families)
    with _turn(), tempfile.TemporaryDirectory(prefix="machnuoc-pdf-") as name:
        folder = Path(name)
        (folder / "profile" / "user").mkdir(parents=True)
        (folder / "profile" / "user" / "registrymodifications.xcu").write_text(profile, encoding="utf-8")
        source = folder / f"document.{suffix}"
        source.write_bytes(content)
        command = [
            str(program), f"-env:UserInstallation={(folder / 'profile').as_uri()}", "--headless", "--invisible",
            "--norestore", "--nolockcheck", "--nodefault", "--nologo", "--convert-to", "pdf", "--outdir", str(folder),
            str(source),
        ]  # fmt: skip
        output = _run(command, folder, timeout_s)
        result = folder / "document.pdf"
        if not result.exists() or not result.read_bytes().startswith(b"%PDF-"):
            raise ConversionFailed(
                f"LibreOffice không tạo được PDF{f' ({output[:200]})' if output else ''}. Mở tệp Word để kiểm tra, "
                "hoặc thử lại sau ít phút."
            )
        return result.read_bytes()


def _run(command: list[str], folder: Path, timeout_s: float) -> str:
    """Run the program in a process group of its own, and end all of the group when the time is up."""
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "LANG": "C.UTF-8", "TMPDIR": str(folder)}
    process = subprocess.Popen(  # noqa: S603 our own arguments
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment,
        start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=timeout_s)
        return output.decode("utf-8", "replace").strip()
    except subprocess.TimeoutExpired:
        raise ConversionFailed(
            f"LibreOffice chưa tạo xong PDF sau {timeout_s:g} giây nên đã bị dừng. Thử lại, hoặc xuất PDF từ tệp Word."
        ) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def _turn() -> Iterator[None]:
    """Let one conversion run at a time on this machine: LibreOffice takes a few hundred megabytes."""
    settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    with (settings.DATA_DIR / ".soffice.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
