"""The tool calls of one reply, from the pieces that they come in.

Servers differ in how they say which call a piece belongs to. `index` may be missing, always 0, or count otherwise than
the calls do; `id` and `name` may come again with every piece, late, or never. A new id is a new call; a piece without
one goes to the call with its index, else on with the last one, unless it names another function.
"""

from __future__ import annotations

import json
from typing import Any

from inferkit.core.chunks import ToolCallDelta
from inferkit.providers.wires.payload import others

__all__ = ["ToolCalls"]

_NOTHING: dict[str, Any] = {}
_OF_PIECE = frozenset({"id", "index", "type", "function", "custom"})
_OF_CALLED = frozenset({"name", "arguments", "input"})


class _Known:
    """A call, as far as it is known."""

    __slots__ = ("id", "kind", "name")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.id: str | None = None
        self.name: str | None = None


class ToolCalls:
    """Reads the pieces of one reply's tool calls."""

    __slots__ = ("_by_id", "_by_index", "_known", "_without_id")

    def __init__(self) -> None:
        self._known: list[_Known] = []
        self._without_id: dict[int, None] = {}
        self._by_id: dict[str, int] = {}
        self._by_index: dict[Any, int] = {}  # the last call that had the wire's index

    def read(self, pieces: list[dict[str, Any]]) -> tuple[ToolCallDelta, ...]:
        """Read the pieces that one event brings."""
        met: set[int] = set()
        return tuple([self._piece(piece, place, met) for place, piece in enumerate(pieces)])

    def read_legacy(self, piece: dict[str, Any]) -> ToolCallDelta:
        """Read a piece of the one call that a `function_call` is."""
        return self._piece({"index": "function_call", "function": piece}, 0, set())

    def ids(self, reply: Any) -> tuple[ToolCallDelta, ...]:
        """Give those calls an id that came without one: results refer to it. `reply` is the id of the reply."""
        made = []
        for number in self._without_id:
            known = self._known[number]
            known.id = f"call_{reply}_{number}" if isinstance(reply, str) and reply else f"call_{number}"
            made.append(ToolCallDelta(number, known.id, kind=known.kind))
        self._without_id = {}
        return tuple(made)

    def _piece(self, piece: dict[str, Any], place: int, met: set[int]) -> ToolCallDelta:
        kind = "custom" if piece.get("custom") else "function"
        called = piece.get(kind) or _NOTHING
        id_, name = _word(piece.get("id")), _word(called.get("name"))
        index = piece.get("index")
        if type(index) not in {int, str, type(None)}:
            index = repr(index)
        number = self._number(index, id_, name, place, met)
        met.add(number)
        if number == len(self._known):
            self._known.append(_Known(kind))
            self._by_index[number if index is None else index] = number
        known = self._known[number]
        new_id = id_ if known.id is None else None
        new_name = name if known.name is None else None
        known.id, known.name = known.id or id_, known.name or name
        if id_ is not None:
            self._by_id.setdefault(id_, number)
            self._without_id.pop(number, None)
        elif known.id is None:
            self._without_id[number] = None
        extra = others(piece, _OF_PIECE)
        more = others(called, _OF_CALLED)
        if more:
            extra[kind] = more
        arguments = _text(called.get("arguments" if kind == "function" else "input"))
        return ToolCallDelta(number, new_id, new_name, arguments, extra or None, known.kind)

    def _number(self, index: Any, id_: str | None, name: str | None, place: int, met: set[int]) -> int:
        """Say which call a piece belongs to; the number after the last one is a new call."""
        calls = self._known
        new = len(calls)
        if id_ in self._by_id:
            return self._by_id[id_]
        if index is None and place > 0:
            index = place
        found = self._by_index.get(index) if index is not None else new - 1 if calls else None
        if found is None:
            return new if id_ is not None or name is not None or not calls else new - 1
        known = calls[found]
        if id_ is not None and known.id is not None:
            return new
        another = name is not None and known.name is not None and name != known.name
        repeated = found in met and (id_ is not None or name is not None)
        return new if another or repeated else found


def _word(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _text(arguments: Any) -> str:
    if arguments is None:
        return ""
    return arguments if type(arguments) is str else json.dumps(arguments, ensure_ascii=False)
