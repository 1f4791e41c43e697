"""Where in a TOML file a value stands, so that a message can name the line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Lines"]

Path = tuple[str | int, ...]
_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_KEYS = rf"{_PART}(?:\s*\.\s*{_PART})*"
_TABLE = re.compile(rf"\s*(\[\[?)\s*({_KEYS})\s*\]\]?\s*(?:#.*)?$")
_VALUE = re.compile(rf"\s*({_KEYS})\s*=\s*(.*)$")
_TEXT = re.compile(r"""\"{3}|'{3}|"(?:[^"\\]|\\.)*"|'[^']*'|#.*|[\[\]{}]""")


class Lines:
    """The lines of a file's tables and values, by their paths. The file is known to be TOML.

    What stands in a table of one line, or in a list, is where that begins.
    """

    def __init__(self, text: str) -> None:
        self._of: dict[Path, int] = {(): 1}
        self._read(text)

    def of(self, path: Path) -> int:
        """Give the line of a value, or of the closest that it stands in."""
        while path not in self._of:
            path = path[:-1]
        return self._of[path]

    def _read(self, text: str) -> None:
        table: Path = ()
        lists: dict[Path, int] = {}
        for number, line in _statements(text):
            found = _TABLE.match(line)
            if found is not None:
                table = _with_places(_parts(found[2]), lists)
                if found[1] == "[[":
                    place = lists[table] = lists.get(table, -1) + 1
                    table = (*table, place)
                self._note(table, number)
                continue
            found = _VALUE.match(line)
            if found is not None:
                self._note((*table, *_parts(found[1])), number)

    def _note(self, path: Path, line: int) -> None:
        for length in range(1, len(path) + 1):
            self._of.setdefault(path[:length], line)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Give the lines on which something begins, with their numbers: not those inside of a value of several lines."""
    depth, quote = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if not depth and not quote:
            yield number, line
        is_table = not depth and not quote and _TABLE.match(line) is not None
        for found in () if is_table else _TEXT.finditer(line):
            mark = found[0]
            if quote:
                quote = "" if mark == quote else quote
            elif mark in ('"""', "'''"):
                quote = mark
            elif mark in "[{":
                depth += 1
            elif mark in "]}":
                depth -= 1


def _parts(keys: str) -> Path:
    return tuple([part[1:-1] if part[0] in "\"'" else part for part in re.findall(_PART, keys)])


def _with_places(path: Path, lists: dict[Path, int]) -> Path:
    """Give the path with the place in each list of tables that it goes through: the last one so far."""
    whole: Path = ()
    for place, part in enumerate(path):
        whole = (*whole, part)
        if whole in lists and place < len(path) - 1:
            whole = (*whole, lists[whole])
    return whole
