"""Where in a TOML file each table, key and value stands: its line and its column, so that a message can name them.

`tomllib` gives values without their places. So the text is read once more, by the grammar of TOML, and only as far as
places go: what the values are is tomllib's to say, and that the file is TOML has been found by it before.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from contextlib import suppress
from typing import NamedTuple

__all__ = ["Path", "Places", "Position"]

Path = tuple[str | int, ...]
"""The keys on the way to a value, and the numbers of elements of lists, from 0 on."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_TEXT = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")' r"|'''.*?'{3,5}(?!')" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'",
    re.DOTALL,
)
_OTHER = re.compile(r"[^,\]}#\n]*")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_SHORT = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}


class Position(NamedTuple):
    """A line and a column, both counted from 1; a column is a character."""

    line: int
    column: int


class Places:
    """The places of a file's tables, keys and values, by their paths."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]
        self._keys: dict[Path, int] = {(): 0}
        self._values: dict[Path, int] = {}
        self._said: set[Path] = set()
        self._lists: dict[Path, int] = {}
        self._at = 0
        with suppress(IndexError, RecursionError):  # nested deeper than anybody writes: the rest is not looked for
            self._read()

    def of(self, path: Path) -> Position:
        """Give where a key or a table is named, or the closest thing that it would stand in."""
        return self._place(self._keys, path)

    def value_of(self, path: Path) -> Position:
        """Give where a value begins; of a table that has a header, where that is."""
        return self._place(self._values if path in self._values else self._keys, path)

    def _place(self, known: dict[Path, int], path: Path) -> Position:
        while path not in known:
            path = path[:-1]
            known = self._keys
        at = known[path]
        line = bisect_right(self._lines, at)
        return Position(line, at - self._lines[line - 1] + 1)

    def _read(self) -> None:
        table: Path = ()
        while self._skip(_BLANK) < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _skip(self, what: re.Pattern[str]) -> int:
        found = what.match(self._text, self._at)
        self._at = self._at if found is None else found.end()
        return self._at

    def _header(self) -> Path:
        """Read `[a.b]` or `[[a.b]]`, and give the path of what follows."""
        begins, of_list = self._at, self._text.startswith("[[", self._at)
        self._at += 2 if of_list else 1
        whole: Path = ()
        parts = self._key()
        for number, (part, _) in enumerate(parts, 1):
            whole = (*whole, part)
            if number < len(parts) and whole in self._lists:
                self._keys.setdefault(whole, begins)
                whole = (*whole, self._lists[whole])
            if number < len(parts):
                self._keys.setdefault(whole, begins)
        if of_list:
            self._keys.setdefault(whole, begins)
            self._lists[whole] = self._lists.get(whole, -1) + 1
            whole = (*whole, self._lists[whole])
        if whole not in self._said:  # what a table inside of it only implied before is said here
            self._keys[whole] = begins
            self._said.add(whole)
        self._at += 2 if of_list else 1
        return whole

    def _pair(self, table: Path) -> None:
        whole = table
        for part, at in self._key():
            whole = (*whole, part)
            self._keys.setdefault(whole, at)
            self._said.add(whole)
        self._at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(whole)

    def _key(self) -> list[tuple[str, int]]:
        """Read a key, dotted or not, and give its parts with their places."""
        parts = []
        while True:
            begins = self._skip(_SPACE)
            if self._text[begins] in "\"'":
                self._skip(_TEXT)
                text = self._text[begins + 1 : self._at - 1]
                part = _ESCAPE.sub(_character, text) if self._text[begins] == '"' else text
            else:
                self._skip(_BARE)
                part = self._text[begins : self._at]
            parts.append((part, begins))
            if self._text[self._skip(_SPACE)] != ".":
                return parts
            self._at += 1

    def _value(self, path: Path) -> None:
        self._values.setdefault(path, self._at)
        first = self._text[self._at]
        if first in "\"'":
            self._skip(_TEXT)
        elif first == "[":
            self._elements(path)
        elif first == "{":
            self._inline(path)
        else:
            self._skip(_OTHER)

    def _elements(self, path: Path) -> None:
        self._at += 1
        number = 0
        while self._text[self._skip(_BLANK)] != "]":
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._keys.setdefault((*path, number), self._at)
            self._value((*path, number))
            number += 1
        self._at += 1

    def _inline(self, path: Path) -> None:
        self._at += 1
        while self._text[self._skip(_BLANK)] != "}":
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._pair(path)
        self._at += 1


def _character(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2] or escape[3]
    return chr(int(code, 16)) if code else _SHORT.get(escape[4], escape[4])
