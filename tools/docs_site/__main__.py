"""Build the documentation site into `build/site/html`: `python -m docs_site`, in tools/.

The pages of docs/, the README as the first one, and a reference made from docstrings are put together in
`build/site/pages`, and Zensical makes HTML of them. A link or an anchor that leads nowhere, any other warning, and
anything that a page would load from another host fail the build.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from docs_site.checks import fetched_from_elsewhere
from docs_site.navigation import sections
from docs_site.pages import CONTENTS, stage
from docs_site.reference import Reference

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
_COLOURS = re.compile("\x1b\\[[0-9;]*m")


def main() -> int:
    """Build the site, and say where it is or what is wrong."""
    staging = ROOT / "build" / "site"
    shutil.rmtree(staging, ignore_errors=True)
    pages, html = staging / "pages", staging / "html"
    (pages / "reference").mkdir(parents=True)
    stage(ROOT, pages)
    shutil.copy(HERE / "site.css", pages)
    docs = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").glob("*.py"))]
    reference = []
    for file, title, text in Reference(docs).pages():
        (pages / "reference" / file).write_text(text, encoding="utf-8")
        reference.append({title: f"reference/{file}"})
    (staging / "zensical.toml").write_text(configuration(reference), encoding="utf-8")
    zensical = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "-f", str(staging / "zensical.toml")]
    built = subprocess.run(zensical, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        print(_COLOURS.sub("", built.stdout), built.stderr.splitlines()[-1] if built.stderr else "")
        return 1
    if found := fetched_from_elsewhere(html):
        print("The site loads from other hosts:", *found, sep="\n")
        return 1
    number = len([*html.rglob("*.html")])
    print(f"{number} pages; read them with: python -m http.server --directory {html.relative_to(ROOT)}")
    return 0


def configuration(reference: list[dict[str, str]]) -> str:
    """Give Zensical's configuration, with the navigation."""
    navigation: list[dict[str, object]] = [{"Home": ["index.md", CONTENTS, "changelog.md"]}]
    for title, entries in sections(ROOT / "docs"):
        pages: list[object] = [{name: file} for name, file in entries]
        navigation.append({title: [*pages, *reference] if title == "Reference" else pages})
    text = (HERE / "zensical.toml").read_text(encoding="utf-8")
    return text.replace("[project]\n", f"[project]\nnav = {_toml(navigation)}\n", 1)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return json.dumps(value)


if __name__ == "__main__":
    sys.exit(main())
