"""The code in the README and in docs/ runs, and the examples do too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks():
    for page in PAGES:
        code = FENCE.findall(page.read_text(encoding="utf-8"))
        if code:
            yield pytest.param(page, code, id=page.name)


@pytest.mark.usefixtures("one_core")
@pytest.mark.parametrize(("page", "code"), list(blocks()))
def test_the_code_of_a_page_runs_from_top_to_bottom(page, code, monkeypatch, tmp_path):
    """The blocks of a page are one program. Nothing is listening at port 4318, and no provider is called."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    script = "\n\n".join(code)
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_an_example_runs(example, tmp_path):
    command = [sys.executable, "-W", "error", example]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_links_to_what_exists(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_readme_has_the_two_commands_of_the_checks():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"<!-- demo -->\n```sh\n.*inferkit demo\n```", text, re.DOTALL)
    assert re.search(r"<!-- test -->\n```sh\n.*pytest\n```", text, re.DOTALL)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
