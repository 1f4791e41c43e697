"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
from pathlib import Path

import inferkit

_LINES = 300


def test_a_module_that_is_long_says_why():
    """A module is read in one sitting. One that cannot be says so, and why, to whoever opens it."""
    source = Path(inferkit.__file__).parent
    silent = []
    for path in source.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        said = " ".join((ast.get_docstring(ast.parse(text)) or "").split())
        if text.count("\n") > _LINES and "is longer than other modules" not in said:
            silent.append(f"{path.relative_to(source)}: {text.count(chr(10))} lines")
    assert not silent
