"""Promises about the source itself that the linters do not know."""

import ast
import re
import tomllib
from pathlib import Path

import pytest


def _sources(root: Path) -> list[Path]:
    return [path for folder in ("machnuoc", "tests") for path in sorted((root / folder).rglob("*.py"))]


def test_nothing_is_left_to_be_done_later(root):
    # Spelt in two halves, so that this line does not find itself.
    unfinished = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
    found = [str(path) for path in _sources(root) if unfinished.search(path.read_text(encoding="utf-8"))]

    assert found == []


def test_no_fault_is_swallowed_in_silence(root):
    found = []
    for path in _sources(root):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                is_broad = node.type is None or (isinstance(node.type, ast.Name) and "Exception" in node.type.id)
                if is_broad and all(isinstance(step, ast.Pass) for step in node.body):
                    found.append(f"{path}:{node.lineno}")

    assert found == []


def test_every_module_says_what_it_is(root):
    silent = []
    for path in sorted((root / "machnuoc").rglob("*.py")):
        tells_itself = path.name in {"__init__.py", "apps.py"} or path.name.endswith("urls.py")
        if tells_itself or "migrations" in path.parts or "tests" in path.parts:
            continue
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))):
            silent.append(str(path.relative_to(root)))

    assert silent == []


def test_what_computes_is_checked_strictly_and_exists(root):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    strict = set(project["tool"]["mypy"]["overrides"][0]["module"])
    (pure,) = [
        set(contract["source_modules"])
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["type"] == "forbidden"
    ]

    assert strict == pure
    for name in strict:
        path = root / name.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__init__.py").exists(), name


def test_models_hold_no_clock_and_no_rules_of_other_rooms(root):
    """Models import models, fields and the standard library; what writes lies in operations."""
    for path in (root / "machnuoc").glob("*/models.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("machnuoc."):
                assert not node.module.endswith((".operations", ".queries", ".views")), path


@pytest.mark.parametrize("part", ["## Context", "## Decision", "## Consequences"])
def test_every_decision_is_told_in_three_parts_on_one_page(root, part):
    records = sorted((root / "docs" / "adr").glob("*.md"))

    assert [path.name[:4] for path in records] == [f"{number:04}" for number in range(1, len(records) + 1)]
    for path in records:
        text = path.read_text(encoding="utf-8")
        assert part in text, path.name
        assert len(text.splitlines()) <= 40, path.name
