"""The pages of docs/ and the README as the site has them: what they link to outside of docs/ comes along."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["stage"]

CONTENTS = "contents.md"  # docs/index.md; the README is the site's first page
_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
_SOURCE = re.compile(r"""(\bsrc=")([^"]+)(")""")


def stage(root: Path, target: Path) -> None:
    """Write every page and picture into `target`, with links that hold there."""
    docs = root / "docs"
    for each in sorted(docs.iterdir()):
        if each.suffix != ".md":
            shutil.copy(each, target / each.name)
    waiting = [root / "README.md", root / "CHANGELOG.md", *sorted(docs.glob("*.md"))]
    staged = set(waiting)
    for page in waiting:  # it grows while pages link to others
        text, wanted = _rehung(page, root)
        place = target / _place(page, root)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        waiting += [each for each in wanted if each not in staged]
        staged.update(wanted)


def _place(file: Path, root: Path) -> str:
    """Say where in the site a file of the repository stands."""
    if file == root / "README.md":
        return "index.md"
    if file == root / "docs" / "index.md":
        return CONTENTS
    if file.parent == root / "docs":
        return file.name
    within = file.relative_to(root).as_posix()
    if within == "CHANGELOG.md":
        return "changelog.md"
    return f"files/{within.removesuffix('.md')}.md"


def _rehung(page: Path, root: Path) -> tuple[str, list[Path]]:
    """Give a page's text with the links of the site, and the files outside of docs/ that it links to."""
    wanted: list[Path] = []
    here = PurePosixPath(_place(page, root)).parent

    def link(match: re.Match[str]) -> str:
        if "://" in match[2] or match[2].startswith("mailto:"):
            return match[0]
        file = (page.parent / match[2]).resolve()
        if not file.is_file() or not file.is_relative_to(root):
            return match[0]  # the build names what does not exist
        if file.parent != root / "docs" and file != root / "README.md":
            wanted.append(file)
        return match[1] + os.path.relpath(_place(file, root), here) + match[3]

    text = page.read_text(encoding="utf-8")
    if page.suffix != ".md":
        kind = {".py": "python", ".toml": "toml"}.get(page.suffix, "text")
        return f"# {page.relative_to(root).as_posix()}\n\n```{kind}\n{text}```\n", []
    return _SOURCE.sub(link, _LINK.sub(link, text)), wanted
