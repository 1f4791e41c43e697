"""From the JSON of the Chat Completions wire to chunks. Pure: objects in, chunks out, with the state of one reply.

Unknown fields are left alone; every chunk carries its event as `raw`. A refusal is text with `finish_reason="refusal"`.
"""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any

from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.providers.wires.chat.usage import usage_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ChatReply", "Malformed", "parse"]

_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair
    rb"|\\u([dD])[89a-fA-F][0-9a-fA-F]{2}"  # half of one
    rb"|\\."
)
_NO_CHOICE: dict[str, Any] = {}


class Malformed(ValueError):
    """A payload is not what this wire carries."""


@functools.cache
def _json_reader() -> Callable[[bytes], Any]:
    from pydantic_core import from_json  # 3 times as fast as json.loads

    return from_json


def parse(data: bytes) -> Any:
    """Read JSON. Half a surrogate pair, which some servers send where they cut a character, becomes U+FFFD."""
    try:
        return _json_reader()(data)
    except ValueError:
        pass
    whole = _ESCAPES.sub(lambda match: b"\\ufffd" if match[1] else match[0], data)
    try:
        return json.loads(whole.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise Malformed("it is not JSON") from None  # the library's words quote the data


class ChatReply:
    """Reads the events of one reply, or the one object of a whole one."""

    __slots__ = ("_calls", "_refused", "finished")

    def __init__(self) -> None:
        self.finished = False
        self._refused = False
        self._calls: list[tuple[Any, str | None]] = []  # the wire's index and id of every tool call so far

    def chunk(self, event: Any) -> Chunk:
        """Read one event. Raises `Malformed` if it cannot be one of this wire's."""
        try:
            return self._chunk(event)
        except (AttributeError, TypeError, KeyError, IndexError):
            raise Malformed("it has an unknown shape") from None

    def whole(self, content: Any) -> Chunk:
        """Read a reply that is one object. Raises `Malformed` also if there is no reply in it."""
        if not isinstance(content, dict) or not content.get("choices"):
            raise Malformed("it has no choices")
        return self.chunk(content)

    def _chunk(self, event: dict[str, Any]) -> Chunk:
        choices = event.get("choices")
        choice = _NO_CHOICE if not choices else choices[0]
        if choice.get("index"):
            choice = _first(choices or [])
        delta = choice.get("delta") or choice.get("message") or _NO_CHOICE
        text = delta.get("content")
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if text is not None and type(text) is not str:
            text, thought = _parts(text)
            reasoning = reasoning or thought
        refusal = delta.get("refusal")
        if refusal and isinstance(refusal, str):
            self._refused = True
            text = (text or "") + refusal
        calls = delta.get("tool_calls")
        reason = choice.get("finish_reason")
        if reason:
            self.finished = True
            if self._refused and reason == "stop":
                reason = "refusal"
        counts = event.get("usage") or choice.get("usage")
        if counts is None and "x_groq" in event:
            counts = (event["x_groq"] or _NO_CHOICE).get("usage")
        return Chunk(
            text or "",
            reasoning if type(reasoning) is str else "",
            tuple([self._call(call, place) for place, call in enumerate(calls)]) if calls else (),
            str(reason) if reason else None,
            usage_of(counts) if counts else None,
            event,
        )

    def _call(self, call: dict[str, Any], place: int) -> ToolCallDelta:
        """Read a piece of a tool call.

        Servers differ: `index` may be missing or always 0, `id` and `name` may come again with every piece. A new id is
        a new call; only the first piece of a call carries its id and name.
        """
        id_ = call.get("id") or None
        function = call.get("function") or _NO_CHOICE
        arguments = function.get("arguments")
        if arguments is None:
            arguments = ""
        elif type(arguments) is not str:
            arguments = json.dumps(arguments)
        known = self._known_call(call.get("index"), id_, place)
        if known is not None:
            return ToolCallDelta(known, None, None, arguments)
        index = call.get("index")
        self._calls.append((len(self._calls) if index is None else index, id_))
        return ToolCallDelta(len(self._calls) - 1, id_, function.get("name"), arguments)

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
    return next((choice for choice in choices if not choice.get("index")), _NO_CHOICE)


def _parts(content: list[dict[str, Any]]) -> tuple[str, str]:
    """Join the text and the reasoning of content that comes as a list of parts, as Mistral's does."""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content:
        if part.get("type") == "thinking":
            thoughts += [piece["text"] for piece in part["thinking"] if piece.get("type") == "text"]
        elif isinstance(part.get("text"), str):
            texts.append(part["text"])
    return "".join(texts), "".join(thoughts)
