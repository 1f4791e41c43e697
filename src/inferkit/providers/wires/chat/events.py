"""From the events of one Chat Completions reply to chunks. Pure: objects in, chunks out, with the state of one reply.

Every chunk carries its event as `raw`. A refusal is text with `finish_reason="refusal"`. Fields that have no place in a
chunk are gathered (see `Others`), and told with the finish reason.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.core.messages import RefusalPart
from inferkit.providers.wires.chat.others import Others
from inferkit.providers.wires.chat.read_messages import others
from inferkit.providers.wires.chat.usage import read_usage
from inferkit.providers.wires.payload import Malformed

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ChatEvents"]

_NOTHING: dict[str, Any] = {}
_REFUSED = (RefusalPart(""),)
_new = tuple.__new__  # twice as fast as a named tuple's own, and used for every token
_OF_CALL = frozenset({"id", "index", "type", "function"})
_OF_FUNCTION = frozenset({"name", "arguments"})


class ChatEvents:
    """Reads the events of one reply, or the one object of a whole one."""

    __slots__ = ("_calls", "_others", "_refused", "finished")

    def __init__(self) -> None:
        self.finished = False
        self._refused = False
        self._calls: list[tuple[Any, str | None]] = []  # the wire's index and id of every tool call so far
        self._others = Others()

    def read_texts(self, events: Sequence[Any], begin: int, into: list[Chunk]) -> int:
        """Read events, from `begin` on, that bring a piece of text and nothing else, as nearly all do.

        Gives the place of the first that is not like that, which is for `read`.
        """
        place = begin
        try:
            for place in range(begin, len(events)):
                event = events[place]
                choice = event["choices"][0]
                delta = choice["delta"]
                if (
                    type(text := delta["content"]) is not str
                    or (len(delta) != 1 and (len(delta) != 2 or "role" not in delta))  # noqa: PLR2004 - role and text
                    or choice.get("finish_reason")
                    or choice.get("index")
                    or choice.get("logprobs")
                    or event.get("usage")
                    or "error" in event
                    or choice.get("usage")
                ):
                    return place
                into.append(_new(Chunk, (text, "", (), None, None, event, (), None)))
        except (AttributeError, TypeError, KeyError, IndexError):
            return place
        return len(events)

    def read(self, event: Any, into: list[Chunk]) -> None:
        """Read one event. Raises `Malformed` if it cannot be one of this wire's."""
        try:
            self._read(event, event.get("choices") or [], into)
        except (AttributeError, TypeError, KeyError, IndexError):
            raise Malformed("it has an unknown shape") from None

    def read_whole(self, content: Any, into: list[Chunk]) -> None:
        """Read a reply that is one object. Raises `Malformed` also if there is no reply in it."""
        if not isinstance(content, dict) or not content.get("choices"):
            raise Malformed("it has no choices")
        self.read(content, into)

    def rest(self, into: list[Chunk]) -> None:
        """Tell what was gathered and not told, of a reply that ended without a finish reason."""
        parts, extra = self._others.tell()
        if parts or extra:
            into.append(Chunk(parts=parts, extra=extra))

    def _read(self, event: dict[str, Any], choices: list[dict[str, Any]], into: list[Chunk]) -> None:
        choice = choices[0] if choices else _NOTHING
        if choice.get("index"):
            choice = _first(choices)
        delta = choice.get("delta") or choice.get("message") or _NOTHING
        text, reasoning = delta.get("content"), delta.get("reasoning_content") or delta.get("reasoning")
        if text is not None and type(text) is not str:
            text, thought = _texts(text)
            reasoning = reasoning or thought
        reasoning = reasoning if type(reasoning) is str else ""
        calls = tuple([self._call(call, place) for place, call in enumerate(delta.get("tool_calls") or ())])
        reason = choice.get("finish_reason")
        parts = self._others.gather(event, choice, delta, is_last=not choices or bool(reason))
        refusal = delta.get("refusal")
        if refusal and isinstance(refusal, str):
            self._refused = True
            if text or reasoning:
                into.append(Chunk(text or "", reasoning))
            text, reasoning, parts = refusal, "", _REFUSED + parts
        extra = None
        if reason:
            self.finished = True
            if self._refused and reason == "stop":
                reason = "refusal"
        if self.finished:
            told, extra = self._others.tell()
            parts += told
        counts = event.get("usage") or choice.get("usage")
        if counts is None and "x_groq" in event:
            counts = (event["x_groq"] or _NOTHING).get("usage")
        usage = read_usage(counts) if counts else None
        into.append(Chunk(text or "", reasoning, calls, str(reason) if reason else None, usage, event, parts, extra))

    def _call(self, call: dict[str, Any], place: int) -> ToolCallDelta:
        """Read a piece of a tool call.

        Servers differ: `index` may be missing or always 0, `id` and `name` may come again with every piece. A new id is
        a new call; only the first piece of a call carries its id and name.
        """
        id_ = call.get("id") or None
        function = call.get("function") or _NOTHING
        arguments = function.get("arguments")
        if arguments is None:
            arguments = ""
        elif type(arguments) is not str:
            arguments = json.dumps(arguments)
        extra = others(call, _OF_CALL)
        more = others(function, _OF_FUNCTION)
        if more:
            extra["function"] = more
        known = self._known_call(call.get("index"), id_, place)
        if known is not None:
            return ToolCallDelta(known, None, None, arguments, extra or None)
        index = call.get("index")
        self._calls.append((len(self._calls) if index is None else index, id_))
        return ToolCallDelta(len(self._calls) - 1, id_, function.get("name"), arguments, extra or None)

    def _known_call(self, index: Any, id_: Any, place: int) -> int | None:
        """Find the call that a piece belongs to: by its id, else its index, else it goes on with the last one."""
        calls = self._calls
        if id_ is not None:
            return next((n for n, (_, other) in enumerate(calls) if other == id_), None)
        if index is None:
            if place == 0:
                return len(calls) - 1 if calls else None
            index = place
        return next((n for n in reversed(range(len(calls))) if calls[n][0] == index), None)


def _first(choices: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the choice with index 0; others, which were not asked for, stay in `raw`."""
    return next((choice for choice in choices if not choice.get("index")), _NOTHING)


def _texts(content: list[dict[str, Any]]) -> tuple[str, str]:
    """Join the text and the reasoning of content that comes as a list of parts, as Mistral's does."""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content:
        if part.get("type") == "thinking":
            thoughts += [piece["text"] for piece in part["thinking"] if piece.get("type") == "text"]
        elif isinstance(part.get("text"), str):
            texts.append(part["text"])
    return "".join(texts), "".join(thoughts)
