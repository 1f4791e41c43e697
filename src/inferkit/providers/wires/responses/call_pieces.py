"""The calls of tools in a reply while they come."""

from __future__ import annotations

from typing import Any

from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.providers.wires.extras import RESPONSES
from inferkit.providers.wires.payload import others
from inferkit.providers.wires.responses.content import string
from inferkit.providers.wires.responses.read_messages import CALLS

__all__ = ["CallPieces"]


class _OpenCall:
    """One call. `fields` are what was told of it for this wire alone, `came` says whether it has arguments."""

    __slots__ = ("came", "fields", "kind", "place")

    def __init__(self, kind: str, place: int, fields: dict[str, Any]) -> None:
        self.kind = kind
        self.place = place
        self.fields = fields
        self.came = False


class CallPieces:
    """Reads the events and items of one reply's calls; `count` is how many there are."""

    __slots__ = ("_calls", "count")

    def __init__(self) -> None:
        self.count = 0
        self._calls: dict[Any, _OpenCall] = {}

    def begin(self, place: Any, item: dict[str, Any], into: list[Chunk], raw: Any) -> None:
        """Take a call that begins."""
        self._begin(place, item, into, raw)

    def argue(self, event: dict[str, Any], into: list[Chunk], raw: Any) -> None:
        """Take a piece of a call's arguments."""
        call, piece = self._calls.get(event.get("output_index")), string(event["delta"])
        if call is not None and piece:  # of one that nobody began, its item says all
            call.came = True
            into.append(Chunk(tool_calls=(ToolCallDelta(call.place, arguments=piece, kind=call.kind),), event=raw))

    def end(self, place: Any, item: dict[str, Any], into: list[Chunk], raw: Any) -> None:
        """Take a call that is whole; parts of it may have come before."""
        call = self._calls.get(place) or self._begin(place, item, into, raw)
        fields = _fields(item)
        arguments = "" if call.came else string(item.get(CALLS[item["type"]][1]) or "")
        call.came = True
        if arguments or fields != call.fields:
            call.fields = fields
            extra = {RESPONSES: fields} if fields else None
            piece = ToolCallDelta(call.place, arguments=arguments, extra=extra, kind=call.kind)
            into.append(Chunk(tool_calls=(piece,), event=raw))

    def _begin(self, place: Any, item: dict[str, Any], into: list[Chunk], raw: Any) -> _OpenCall:
        kind, said = CALLS[item["type"]]
        fields = _fields(item)
        call = self._calls[place] = _OpenCall(kind, self.count, fields)
        self.count += 1
        arguments = string(item.get(said) or "")
        call.came = bool(arguments)
        extra = {RESPONSES: fields} if fields else None
        first = ToolCallDelta(call.place, string(item["call_id"]), string(item["name"]), arguments, extra, kind)
        into.append(Chunk(tool_calls=(first,), event=raw))
        return call


def _fields(item: dict[str, Any]) -> dict[str, Any]:
    fields = others(item, {"type", "call_id", "name", CALLS[item["type"]][1]})
    if fields.get("status") == "in_progress":
        del fields["status"]
    return fields
