"""The pictures of the README: `python -m pictures` in tools/ draws them."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[2]
PICTURES = [ROOT / "docs" / f"{name}.svg" for name in ("report", "trace")]


@pytest.fixture(autouse=True)
def tools(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "pictures"]:
        del sys.modules[name]


def words(svg):
    return " ".join(" ".join(ET.fromstring(svg).itertext()).replace("\N{NO-BREAK SPACE}", " ").split())


def test_a_terminal_is_drawn_with_its_colours_and_nothing_is_fetched_for_it():
    from pictures.terminal import drawn

    svg = drawn(["What it \x1b[31mcost\x1b[0m", "\x1b[1m$0.01\x1b[0m"], title="inferkit demo", width=40)
    assert "inferkit demo" in words(svg)
    assert "What it cost" in words(svg)
    assert "url(http" not in svg
    assert "@font-face" not in svg
    assert "fill: #cc555a" in svg  # red


@pytest.mark.parametrize("picture", PICTURES, ids=lambda each: each.name)
def test_a_picture_of_the_readme_is_small_and_made_like_that(picture):
    svg = picture.read_text(encoding="utf-8")
    assert len(svg) < 60 * 1024
    assert "http" not in svg.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert picture.name in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "inferkit" in words(svg)
