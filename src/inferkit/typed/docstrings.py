"""What a docstring says of a function, and of each of its parameters: in Google's form, NumPy's or Sphinx's."""

from __future__ import annotations

import re
from inspect import cleandoc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["described"]

_SECTION = re.compile(
    r"(?:args|arguments|parameters|params|returns?|raises|yields?|examples?|notes?|attributes|references)\s*:?",
    re.IGNORECASE,
)
_OF_PARAMETERS = re.compile(r"(?:args|arguments|parameters|params)\s*:?", re.IGNORECASE)
_NEVER = 10**6  # nothing is indented that far
_FIELD = re.compile(r":\w+")
_GOOGLE = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_NUMPY = re.compile(r"\*{0,2}(\w+)\s*(?::.*)?")
_SPHINX = re.compile(r":param\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)")


def described(docstring: str | None, names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Give what comes before the first section, and what is said of those parameters."""
    lines = cleandoc(docstring or "").splitlines()
    begin = next((place for place, line in enumerate(lines) if _begins_section(lines, place, line)), len(lines))
    known, found = set(names), dict[str, str]()
    for name, text in _parameters(lines[begin:]):
        if name in known:
            found.setdefault(name, text)
    return "\n".join(lines[:begin]).strip(), found


def _begins_section(lines: Sequence[str], place: int, line: str) -> bool:
    if _FIELD.match(line):
        return True
    if not _SECTION.fullmatch(line):
        return False
    return line.rstrip().endswith(":") or _is_rule(lines, place + 1)


def _is_rule(lines: Sequence[str], place: int) -> bool:
    return place < len(lines) and lines[place].strip() != "" and not lines[place].strip("-= ")


def _parameters(lines: Sequence[str]) -> Iterable[tuple[str, str]]:
    place = 0
    while place < len(lines):
        line = lines[place]
        sphinx = _SPHINX.fullmatch(line)
        if sphinx:
            more, place = _indented(lines, place + 1, 1)
            yield sphinx[1], " ".join([sphinx[2], *more]).strip()
        elif _OF_PARAMETERS.fullmatch(line) and _is_rule(lines, place + 1):
            place += 2
            while place < len(lines) and not _begins_section(lines, place, lines[place]):
                name = _NUMPY.fullmatch(lines[place].strip())
                more, place = _indented(lines, place + 1, 1)
                if name:
                    yield name[1], " ".join(more)
        elif _OF_PARAMETERS.fullmatch(line):
            place += 1
            while place < len(lines) and (not lines[place].strip() or _depth(lines[place])):
                one = _GOOGLE.fullmatch(lines[place].strip())
                more, place = _indented(lines, place + 1, _depth(lines[place]) + 1 if one else _NEVER)
                if one:
                    yield one[1], " ".join([one[2], *more]).strip()
        else:
            place += 1


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _indented(lines: Sequence[str], place: int, depth: int) -> tuple[list[str], int]:
    """Give the lines that go on with an entry, and where the next begins."""
    found: list[str] = []
    while place < len(lines) and lines[place].strip() and _depth(lines[place]) >= depth:
        found.append(lines[place].strip())
        place += 1
    return found, place
