"""Reads and writes grammars in llama.cpp's notation, GBNF.

https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md

What is read: rules, texts, classes of characters, `.`, groups, alternatives, comments, and the repetitions `*`, `+`,
`?`, `{2}`, `{2,}` and `{2,5}`. Tokens by name or number (`<think>`) are not: one engine has none of these.
"""

from __future__ import annotations

import re
from string import hexdigits
from typing import TYPE_CHECKING, NoReturn

from inferkit.core.errors import InvalidRequest
from inferkit.local.errors import PROVIDER
from inferkit.local.rules import Item, RuleBook, Rules, begins_with_itself

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_gbnf", "write_gbnf"]

_LENGTH_LIMIT = 1 << 18
_COUNT_LIMIT = 1000
_NESTING_LIMIT = 100
_WORD = re.compile(r"[A-Za-z0-9-]+")
_SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_SPACE_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_COUNTS = re.compile(r"\{[ \t]*(\d+)[ \t]*(?:(,)[ \t]*(\d*)[ \t]*)?\}")
_PLAIN_ESCAPES = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "[": "[", "]": "]", "-": "-"}
_CODE_ESCAPES = {"x": 2, "u": 4, "U": 8}
_LAST = 0x10FFFF
_ANY: Item = ["chars", [[1, _LAST]]]


def read_gbnf(text: str) -> Rules:
    """Read a grammar. Raises `InvalidRequest`, which names the line, where it is none that a model can be held to."""
    if len(text) > _LENGTH_LIMIT:
        raise _refusal(f"it is over {_LENGTH_LIMIT >> 10} KiB")
    reader = _GrammarReader(text)
    try:
        reader.read()
    except OverflowError:
        raise reader.refusal("it comes to too many rules") from None
    if begins_with_itself(reader.rules):
        raise _refusal("a rule begins with itself; write it so that something comes before it does")
    return reader.rules


def _refusal(why: str) -> InvalidRequest:
    return InvalidRequest(f"the grammar cannot be used: {why}", provider=PROVIDER, code="grammar")


class _GrammarReader(RuleBook):
    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        self._at = 0
        self._taken = set(_WORD.findall(text))
        self._asked: dict[str, int] = {}
        self._made = 0

    def new_name(self) -> str:
        """See `RuleBook`: a name that is no word of the grammar."""
        super().new_name()
        while (name := f"r{self._made}") in self._taken:
            self._made += 1
        self._made += 1
        return name

    def refusal(self, why: str) -> InvalidRequest:
        """Make the error for where the reader stands."""
        return _refusal(f"line {self._text.count(chr(10), 0, self._at) + 1}: {why}")

    def _stop(self, why: str) -> NoReturn:
        raise self.refusal(why)

    def read(self) -> None:
        """Read all rules."""
        self._skip(lines=True)
        while self._at < len(self._text):
            self._read_rule()
        if "root" not in self.rules:
            raise _refusal("it has no rule root, with which a reply begins")
        for name, at in self._asked.items():
            if name not in self.rules:
                self._at = at
                self._stop(f"there is no rule {name}")

    def _read_rule(self) -> None:
        name = self._word()
        if name is None:
            self._stop("a rule begins with its name: name ::= ...")
        self._skip()
        if not self._text.startswith("::=", self._at):
            self._stop(f"::= is missing after the rule's name {name[:40]}")
        if name in self.rules:
            self._stop(f"there are two rules {name[:40]}")
        self._at += 3
        self._skip(lines=True)
        self.rules[name] = []  # so that it keeps its place
        self.rules[name] = self._alternatives(0)
        if self._at < len(self._text) and self._next() not in "\r\n":
            self._stop(f"{self._next()!r} is not expected here")
        self._skip(lines=True)

    def _alternatives(self, depth: int) -> list[list[Item]]:
        if depth > _NESTING_LIMIT:
            self._stop("groups are nested too deep")
        found = [self._sequence(depth)]
        while self._next() == "|":
            self._at += 1
            self._skip(lines=True)
            found.append(self._sequence(depth))
        return found

    def _sequence(self, depth: int) -> list[Item]:
        items: list[Item] = []
        while (item := self._item(depth)) is not None:
            self._skip(lines=depth > 0)
            item = self._repeated(item)
            self._skip(lines=depth > 0)
            if item != ["text", ""]:
                items.append(item)
        return items

    def _item(self, depth: int) -> Item | None:
        sign = self._next()
        if sign == '"':
            return ["text", "".join(map(chr, self._characters('"')))]
        if sign == "[":
            return self._class()
        if sign == ".":
            self._at += 1
            return _ANY
        if sign == "(":
            self._at += 1
            self._skip(lines=True)
            group = self.rule(*self._alternatives(depth + 1))
            if self._next() != ")":
                self._stop("a group is not closed; ) is missing")
            self._at += 1
            return group
        if sign in ("<", "!"):
            self._stop("tokens by their name or number (<...>) are not known here; write their text")
        at = self._at
        name = self._word()
        if name is None:
            return None
        self._asked.setdefault(name, at)
        return ["rule", name]

    def _repeated(self, item: Item) -> Item:
        sign = self._next()
        if sign in ("*", "+", "?"):
            self._at += 1
            return self.times(item, int(sign == "+"), 1 if sign == "?" else None)
        if sign != "{":
            return item
        counts = _COUNTS.match(self._text, self._at)
        if counts is None:
            self._stop("a repetition is {2}, {2,} or {2,5}")
        low, comma, high = counts.groups()
        least = int(low)
        most = least if not comma else int(high) if high else None
        if max(least, most or 0) > _COUNT_LIMIT:
            self._stop(f"a repetition is of {_COUNT_LIMIT} times at most")
        if most is not None and most < least:
            self._stop("a repetition's lower bound is above its upper one")
        self._at = counts.end()
        return self.times(item, least, most)

    def _class(self) -> Item:
        kind = "chars"
        if self._text.startswith("^", self._at + 1):
            kind = "not"
            self._at += 1
        ranges: list[list[int]] = []
        for point in (points := self._characters("]")):
            high = point
            if self._text.startswith("-", self._at) and not self._text.startswith("-]", self._at):
                self._at += 1
                high = next(points, -1)
                if high < point:
                    self._stop("a range of characters ends before it begins")
            ranges.append([point, high])
        if not ranges:
            self._stop("a class of characters is empty")
        return [kind, ranges]

    def _characters(self, end: str) -> Iterator[int]:
        """Read the code points of a text or a class, up to the sign that ends it."""
        self._at += 1
        while (sign := self._next()) != end:
            if sign in ("", "\n", "\r"):
                self._stop(f"{end} is missing at the end of a text or a class of characters")
            self._at += 1
            yield self._escape() if sign == "\\" else ord(sign)
        self._at += 1

    def _escape(self) -> int:
        sign = self._next()
        self._at += 1
        if sign in _PLAIN_ESCAPES:
            return ord(_PLAIN_ESCAPES[sign])
        digits = self._text[self._at : self._at + _CODE_ESCAPES.get(sign, 0)]
        if not digits or len(digits) < _CODE_ESCAPES[sign] or not set(digits) <= set(hexdigits):
            self._stop(f'\\{sign} is no character; known are \\n \\r \\t \\\\ \\" \\[ \\] \\x0A \\u000A \\U0000000A')
        self._at += len(digits)
        point = int(digits, 16)
        if point > _LAST:
            self._stop("the last character is \\U0010FFFF")
        return point

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _word(self) -> str | None:
        found = _WORD.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return found.group()

    def _skip(self, *, lines: bool = False) -> None:
        found = (_SPACE_AND_LINES if lines else _SPACE).match(self._text, self._at)
        if found is not None:
            self._at = found.end()


def write_gbnf(rules: Rules) -> str:
    """Write a grammar down."""
    return "\n".join(
        f"{name} ::= " + " | ".join(" ".join(map(_written, one)) or '""' for one in alternatives)
        for name, alternatives in rules.items()
    )


def _written(item: Item) -> str:
    kind, what = item
    if kind == "rule":
        return str(what)
    if kind == "text":
        return '"' + "".join(_escaped(ord(character)) for character in what) + '"'
    ranges = "".join(_escaped(low) if low == high else f"{_escaped(low)}-{_escaped(high)}" for low, high in what)
    return f"[{'^' if kind == 'not' else ''}{ranges}]"


def _escaped(point: int) -> str:
    if chr(point).isascii() and chr(point).isalnum():
        return chr(point)
    if point <= 0xFF:  # noqa: PLR2004 - what two digits hold
        return f"\\x{point:02X}"
    return f"\\u{point:04X}" if point <= 0xFFFF else f"\\U{point:08X}"  # noqa: PLR2004
