"""A docstring as Markdown: what `help()` shows, with lists that are lists and links to what else is public."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["markdown_of"]

_PARTS = re.compile(r"(^```.*?^```$|``.+?``|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"`@?((?:inferkit\.)?(?:[A-Z]\w*|\w+(?=\()))(\(.*\))?`")  # what is in lower case may be a parameter
_ITEM = re.compile(r"^\s*- ")


def markdown_of(thing: Any, link: Callable[[str], str | None]) -> str:
    """Give the docstring of a thing. `link` says where a name that stands in backticks is explained."""
    text = inspect.getdoc(thing) or ""
    return "".join(_part(each, link) for each in _PARTS.split(_with_lists(text)))


def _with_lists(text: str) -> str:
    """Put an empty line before a list, which Markdown asks for and `help()` does not."""
    lines: list[str] = []
    in_code = in_list = False
    for line in text.splitlines():
        in_code ^= line.startswith("```")
        starts = not in_code and bool(_ITEM.match(line))
        if starts and not in_list and lines and lines[-1].strip():
            lines.append("")
        in_list = starts or (in_list and line.startswith(" "))
        lines.append(line)
    return "\n".join(lines)


def _part(part: str, link: Callable[[str], str | None]) -> str:
    if not part.startswith("`"):  # nothing is emphasised there: a star is a star
        return part.replace("*", r"\*").replace("<", "&lt;")
    named = _NAME.fullmatch(part)
    target = link(named[1]) if named else None
    return f"[{part}]({target})" if target else part
