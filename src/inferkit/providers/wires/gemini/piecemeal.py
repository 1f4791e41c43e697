"""A call whose arguments come piece by piece: from values with their paths to the text of one JSON object, as it grows.

`streamFunctionCallArguments` has Vertex send them so: each `PartialArg` says with a JSON path (RFC 9535, names and
indexes alone) where its value belongs; a text may go on in the next one.
https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GrowingCall"]

_STEP = re.compile(r"""\.([^.\[\]'"\s]+)|\[(\d{1,9})\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]""")
_ESCAPED = re.compile(r"\\(.)")
_DEEPEST = 100
_EXACT = 1 << 53  # whole numbers up to here are what they were before they became floating ones


class GrowingCall:
    """One call, whose `index` and name are known; `extra` is what only the provider understands of it, and came later.

    Values come in the order in which they stand in the object, so that what has been given can stay. What cannot be
    added to it raises `ValueError`, and what has another shape `TypeError` or `KeyError`.
    """

    __slots__ = ("_containers", "_text_at", "begun_with", "extra", "id", "index")

    def __init__(self, index: int, id_: str, begun_with: Mapping[str, Any]) -> None:
        self.index = index
        self.id = id_
        self.begun_with = begun_with
        self.extra: dict[str, Any] = {}
        self._containers: list[_Container] = []  # those that are open, the whole object first
        self._text_at: list[str | int] | None = None  # the path of the text that is open

    def add(self, pieces: Any) -> str:
        """Take the next values; give the text that they add."""
        return "".join([self._add(piece) for piece in pieces or ()])

    def end(self) -> str:
        """Give the text that makes it whole."""
        closing = self._close_text() + "".join([one.end for one in reversed(self._containers)])
        begun, self._containers = bool(self._containers), []
        return closing if begun else "{}"

    def _add(self, piece: dict[str, Any]) -> str:
        path = _steps(piece["jsonPath"])
        goes_on = piece.get("willContinue") is True
        if "stringValue" in piece:
            words = _inside(piece["stringValue"])
            if path == self._text_at:
                return words if goes_on else words + self._close_text()
            written = self._go_to(path) + '"' + words
            self._text_at = path
            return written if goes_on else written + self._close_text()
        if path == self._text_at:
            return "" if goes_on else self._close_text()  # it has ended, with nothing more
        value = _value(piece)
        return "" if value is None else self._go_to(path) + value

    def _close_text(self) -> str:
        was_open, self._text_at = self._text_at is not None, None
        return '"' if was_open else ""

    def _go_to(self, path: list[str | int]) -> str:
        """Close and open what lies between the last value and the place of the next."""
        written = [self._close_text()]
        open_ = self._containers
        if not open_:
            written.append(self._open("{"))
        common = 0
        while common < min(len(open_), len(path)) - 1 and open_[common].last == path[common]:
            common += 1
        while len(open_) > common + 1:
            written.append(open_.pop().end)
        for step, inner in zip(path[common:-1], path[common + 1 :], strict=True):
            written += open_[-1].key(step), self._open("[" if isinstance(inner, int) else "{")
        written.append(open_[-1].key(path[-1]))
        return "".join(written)

    def _open(self, begin: str) -> str:
        self._containers.append(_Container("]" if begin == "[" else "}"))
        return begin


class _Container:
    """An object or a list that is open. `last` is the key or the index of what came last in it."""

    __slots__ = ("_keys", "end", "last")

    def __init__(self, end: str) -> None:
        self.end = end
        self.last: str | int | None = None
        self._keys: set[str] = set()

    def key(self, step: str | int) -> str:
        """Write what comes before the next value. Raises `ValueError` where it cannot be the next."""
        comma = "" if self.last is None else ", "
        if self.end == "]":
            if step != (0 if self.last is None else int(self.last) + 1):
                raise ValueError
            self.last = step
            return comma
        if isinstance(step, int) or step in self._keys:
            raise ValueError
        self._keys.add(step)
        self.last = step
        return f'{comma}"{_inside(step)}": '


def _steps(path: str) -> list[str | int]:
    """Read a path. Raises `ValueError` for what is none, or too deep."""
    steps: list[str | int] = []
    at = 1
    if path[:1] != "$":
        raise ValueError
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None or len(steps) == _DEEPEST:
            raise ValueError
        name, index, single, double = found.groups()
        quoted = single if single is not None else double
        steps.append(int(index) if index is not None else name if name is not None else _ESCAPED.sub(r"\1", quoted))
        at = found.end()
    if not steps or isinstance(steps[0], int):
        raise ValueError
    return steps


def _inside(text: str) -> str:
    """Write a text as it stands between quotes."""
    if not isinstance(text, str):
        raise TypeError
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _value(piece: dict[str, Any]) -> str | None:
    """Write a value that comes whole; None where the piece has none."""
    if "boolValue" in piece:
        if not isinstance(piece["boolValue"], bool):
            raise TypeError
        return "true" if piece["boolValue"] else "false"
    if "numberValue" in piece:
        number = piece["numberValue"]
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise TypeError
        return str(int(number)) if number == int(number) and abs(number) <= _EXACT else repr(number)
    return "null" if "nullValue" in piece else None
