"""What the site of the documentation is made of. The whole build is `nox -s docs`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def tools(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "docs_site"]:
        del sys.modules[name]


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")


def test_a_page_that_the_index_does_not_name_is_in_the_navigation_all_the_same(tmp_path):
    from docs_site.navigation import sections

    write(tmp_path, index="# All\n\n## Start\n\n- [A `b`](first.md): one\n", first="# First\n", new="# `new` things\n")
    assert sections(tmp_path) == [("Start", [("A b", "first.md")]), ("More", [("new things", "new.md")])]


def test_the_index_of_the_docs_names_each_page_once():
    from docs_site.navigation import sections

    files = [file for title, entries in sections(ROOT / "docs") if title != "More" for _, file in entries]
    assert len(files) == len(set(files)) > 30


def test_what_pages_link_to_outside_of_the_docs_comes_along(tmp_path):
    from docs_site.pages import stage

    root, target = tmp_path / "root", tmp_path / "pages"
    target.mkdir()
    write(root, README="[a](docs/a.md) ![b](docs/b.svg) [c](docs/index.md)\n", CHANGELOG="# Changes\n")
    write(
        root / "docs",
        index="# All\n",
        a="[home](../README.md#x) [code](../examples/e.py) [notes](../tools/README.md) [out](https://a.b/c.md)\n",
    )
    (root / "docs" / "b.svg").write_text("<svg/>")
    (root / "examples").mkdir()
    (root / "examples" / "e.py").write_text("print()\n")
    write(root / "tools", README="[a](../docs/a.md)\n")

    stage(root, target)

    assert (target / "index.md").read_text() == "[a](a.md) ![b](b.svg) [c](contents.md)\n"
    assert (target / "a.md").read_text() == (
        "[home](index.md#x) [code](files/examples/e.py.md) [notes](files/tools/README.md) [out](https://a.b/c.md)\n"
    )
    assert (target / "files" / "tools" / "README.md").read_text() == "[a](../../a.md)\n"
    assert (target / "files" / "examples" / "e.py.md").read_text() == "# examples/e.py\n\n```python\nprint()\n```\n"
    assert (target / "b.svg").exists()


def test_the_reference_has_every_public_name_and_the_settings_of_a_client():
    from docs_site.faces import MODULES, public_names
    from docs_site.reference import Reference

    text = {file: text for file, _, text in Reference([ROOT / "docs" / "cache.md"]).pages()}
    for module in MODULES:
        for each in public_names(module):
            assert any(f"{{ #{each.path} }}" in page for page in text.values()), each.path
    assert "- `on_interrupt`: What becomes of a reply whose stream breaks" in text["clients.md"]
    assert "{ #inferkit.caching.memory.MemoryTier }" in text["elsewhere.md"]
    assert " at 0x" not in "".join(text.values())


def test_docstrings_get_lists_links_and_stars_that_are_stars():
    from docs_site.docstrings import markdown_of

    def described():
        """Take a `Budget`, *args and `Other`:
        - `budget`: one
        - "a:*": two

        ```python
        f(*a)
        ```
        """

    @dataclass
    class Place:
        asked: list[str]

        def __call__(self, name):
            self.asked.append(name)
            return "budgets.md#b" if name == "Budget" else None

    place = Place([])
    assert markdown_of(described, place).splitlines() == [
        r"Take a [`Budget`](budgets.md#b), \*args and `Other`:",
        "",
        "- `budget`: one",
        r'- "a:\*": two',
        "",
        "```python",
        "f(*a)",
        "```",
    ]
    assert place.asked == ["Budget", "Other"]  # `budget` may be a parameter


def test_what_a_page_would_load_from_another_host_is_found(tmp_path):
    from docs_site.checks import fetched_from_elsewhere

    (tmp_path / "a.html").write_text(
        '<a href="https://x.y">said</a><link rel="canonical" href="https://x.y"><img src="b.png">'
        '<script src="//x.y/z.js"></script><link rel="stylesheet" href="https://x.y/z.css">'
    )
    (tmp_path / "a.css").write_text("@font-face { src: url(https://x.y/z.woff) }")
    assert fetched_from_elsewhere(tmp_path) == [
        "a.html: <script src=//x.y/z.js>",
        "a.html: <link href=https://x.y/z.css>",
        "a.css: a style that loads something",
    ]
