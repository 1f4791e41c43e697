"""What a reader's browser would fetch from elsewhere: nothing may, so that the site works where there is no network."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["fetched_from_elsewhere"]

_FETCHED = {("script", "src"), ("link", "href"), ("object", "data")}
_FETCHED |= {(tag, "src") for tag in ("audio", "iframe", "img", "source", "video")}
_ONLY_SAID = {"canonical", "prev", "next", "alternate"}


class _Fetches(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        for name, value in attrs:
            elsewhere = value is not None and value.startswith(("http://", "https://", "//"))
            if elsewhere and (tag, name) in _FETCHED and given.get("rel") not in _ONLY_SAID:
                self.found.append(f"<{tag} {name}={value}>")


def fetched_from_elsewhere(site: Path) -> list[str]:
    """Give what pages and their styles load from other hosts, each with its file."""
    found = []
    for page in sorted(site.rglob("*.html")):
        parser = _Fetches()
        parser.feed(page.read_text(encoding="utf-8"))
        found += [f"{page.relative_to(site)}: {each}" for each in parser.found]
    for style in sorted([*site.rglob("*.css"), *site.rglob("*.svg")]):
        text = style.read_text(encoding="utf-8")
        if "url(http" in text or 'url("http' in text or "@import" in text:
            found.append(f"{style.relative_to(site)}: a style that loads something")
    return found
