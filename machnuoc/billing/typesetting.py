"""Typst templates filled with data, as PDF: in this process, or in one of its own that gives its memory back.

Typst keeps what it has laid out, about 1.5 MB a page of a bill, over the next ten documents: little for single bills,
more than a gigabyte for a thousand.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "typst"
APART_TIMEOUT_S = 300

_turn = threading.Lock()  # one document at a time in a process


class CannotTypeset(RuntimeError):
    """The template does not compile with these data; the text is the typesetter's own."""


def compile_here(template: str, inputs: Mapping[str, str], fonts: str, *, is_tagged: bool) -> bytes:
    """Return the template filled with the inputs as PDF. Raises CannotTypeset.

    template: a file of typst/. inputs: texts, what the template reads as sys.inputs. fonts: a folder.
    is_tagged: whether programs that read aloud find the structure of the page.
    """
    import typst  # loads 30 MB: only who prints

    content = (_FOLDER / template).read_bytes()
    try:
        with _turn:
            made = _compiler(fonts).compile(content, format="pdf", sys_inputs=dict(inputs), pdf_tags=is_tagged)
    except typst.TypstError as reason:
        raise CannotTypeset(reason.message) from reason
    return bytes(made)


@cache
def _compiler(fonts: str) -> Any:
    import typst

    return typst.Compiler(font_paths=[fonts], ignore_system_fonts=True)


def compile_apart(template: str, inputs: Mapping[str, str], fonts: str, *, is_tagged: bool) -> bytes:
    """Do what `compile_here` does in a process of its own. Raises CannotTypeset, also after APART_TIMEOUT_S."""
    order = json.dumps({"template": template, "inputs": dict(inputs), "fonts": fonts, "is_tagged": is_tagged})
    try:
        done = subprocess.run(
            [sys.executable, "-m", "machnuoc.billing.typesetting"],
            input=order.encode(), capture_output=True, timeout=APART_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise CannotTypeset(f"not done after {APART_TIMEOUT_S} s") from None
    if done.returncode or not done.stdout.startswith(b"%PDF-"):
        said = done.stderr.decode("utf-8", "replace").strip()
        raise CannotTypeset(said[-300:] or f"ended with {done.returncode}")
    return done.stdout


def _serve() -> int:
    order = json.loads(sys.stdin.buffer.read())
    try:
        made = compile_here(order["template"], order["inputs"], order["fonts"], is_tagged=order["is_tagged"])
    except CannotTypeset as reason:
        sys.stderr.write(str(reason))
        return 1
    sys.stdout.buffer.write(made)
    return 0


if __name__ == "__main__":
    sys.exit(_serve())
