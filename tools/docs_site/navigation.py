"""The site's navigation, which is docs/index.md: a section for each heading, a page for each link in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Section", "sections"]

_HEADING = re.compile(r"^## (.+)$")
_ENTRY = re.compile(r"^- \[([^\]]+)\]\(([\w.-]+\.md)\)")
Section = tuple[str, list[tuple[str, str]]]


def sections(docs: Path) -> list[Section]:
    """Give the sections of the index, and at the end one with the pages that no section has."""
    found: list[Section] = []
    for line in (docs / "index.md").read_text(encoding="utf-8").splitlines():
        if heading := _HEADING.match(line):
            found.append((heading[1], []))
        elif found and (entry := _ENTRY.match(line)):
            found[-1][1].append((entry[1].replace("`", ""), entry[2]))
    placed = {file for _, entries in found for _, file in entries}
    left = [(_title(page), page.name) for page in sorted(docs.glob("*.md")) if page.name not in placed | {"index.md"}]
    return [*found, *([("More", left)] if left else [])]


def _title(page: Path) -> str:
    first = next(line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("# "))
    return first.removeprefix("# ").replace("`", "")
