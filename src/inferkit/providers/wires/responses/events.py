"""From the events of one Responses reply to chunks. Pure: objects in, chunks out, with the state of one reply.

A reply is a list of items. The words of messages and of reasoning, and calls of tools, become chunks as they come; an
item's end seals its words with what only the provider understands of them (ids, annotations, encrypted reasoning).
Items of other kinds (what the provider's own tools did) become parts when they are whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.core.chunks import Chunk
from inferkit.core.messages import OpaquePart, ReasoningPart
from inferkit.providers.wires.extras import RESPONSES
from inferkit.providers.wires.payload import Malformed, others
from inferkit.providers.wires.reply_reader import BrokenReplyError
from inferkit.providers.wires.responses.call_pieces import CallPieces
from inferkit.providers.wires.responses.content import string
from inferkit.providers.wires.responses.errors import typed
from inferkit.providers.wires.responses.finish_reasons import MEANINGS
from inferkit.providers.wires.responses.message_words import MessageWords
from inferkit.providers.wires.responses.read_messages import CALLS, reasoning_part
from inferkit.providers.wires.responses.usage import ServerTools, read_usage

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ECHOED", "ResponsesEvents", "plain_text"]

_new = tuple.__new__  # twice as fast as a named tuple's own, and used for every token
_OF_RESPONSE = frozenset(
    {"id", "object", "model", "created_at", "completed_at", "output", "usage", "status", "error", "output_text"}
)
_OF_TEXT = frozenset(
    {
        "type", "sequence_number", "item_id", "output_index", "content_index", "delta", "logprobs", "obfuscation",
    }
)  # fmt: skip
ECHOED = frozenset(
    {
        "background", "instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls",
        "previous_response_id", "prompt", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
        "reasoning", "safety_identifier", "store", "temperature", "text", "tool_choice", "tools", "top_logprobs",
        "top_p", "truncation", "user",
    }
)  # fmt: skip
"""What a reply repeats of its request."""


class ResponsesEvents:
    """See `Events`."""

    __slots__ = (
        "_met", "_thoughts", "_tools", "calls", "done", "finished", "id", "light", "model", "words",
    )  # fmt: skip

    def __init__(self) -> None:
        self.finished = False
        self.done = False
        self.light = False
        self.model: str | None = None
        self.id: str | None = None
        self._met = False  # an item
        self.words = MessageWords()
        self.calls = CallPieces()
        self._thoughts: dict[Any, Any] = {}  # by item, the part that its last words belong to
        self._tools = ServerTools()

    def read(self, event: dict[str, Any], into: list[Chunk], raw: Any = None) -> None:
        """See `Events`. Kinds of events that are not known are passed over."""
        try:
            kind = event["type"]
            if kind == "response.output_text.delta":
                text = string(event["delta"])
                logprobs = self.words.text(event, into)
                self.light = True
                into.append(_new(Chunk, (text, "", (), None, None, raw, (), None, logprobs)))
                return
            self.light = False
            read = _READERS.get(kind)
            if read is not None:
                read(self, event, into, raw)
        except (AttributeError, TypeError, KeyError, ValueError):
            raise Malformed("it has an unknown shape") from None

    def read_whole(self, content: Any, into: list[Chunk], raw: Any = None) -> None:
        """See `Events`."""
        if not isinstance(content, dict) or not isinstance(content.get("output"), list):
            raise Malformed("it has no output")
        status = content.get("status") or "completed"
        if status in ("queued", "in_progress"):
            raise Malformed("it is not over")
        try:
            self._meet(content)
            self._end(content, status, into, raw)
        except (AttributeError, TypeError, KeyError, ValueError):
            raise Malformed("it has an unknown shape") from None

    def rest(self, into: list[Chunk]) -> None:
        """See `Events`. All was told with the end."""

    def begin(self, event: dict[str, Any]) -> None:
        """Read who it is."""
        self._meet(event["response"])

    def think(self, event: dict[str, Any], into: list[Chunk], raw: Any) -> None:
        """Read a piece of reasoning; between parts of it is a blank line."""
        text = string(event["delta"])
        if not text:
            return
        place = event.get("output_index")
        part = (event["type"], event.get("summary_index"), event.get("content_index"))
        apart = "\n\n" if self._thoughts.get(place, part) != part else ""
        self._thoughts[place] = part
        self.light = True
        into.append(Chunk(reasoning=apart + text, event=raw))

    def begin_item(self, event: dict[str, Any], into: list[Chunk], raw: Any) -> None:
        """Read an item of which nothing has come."""
        item, place = event["item"], event.get("output_index")
        self._met = True
        if item["type"] in CALLS:
            self.calls.begin(place, item, into, raw)
        elif item["type"] == "message":
            self.words.begin_message(place, item)

    def end_item(self, event: dict[str, Any], into: list[Chunk], raw: Any) -> None:
        """Read an item that is whole; parts of it may have come before."""
        self._take_item(event.get("output_index"), event["item"], into, raw)

    def end(self, event: dict[str, Any], into: list[Chunk], raw: Any) -> None:
        """Read the end of the reply."""
        response = event["response"]
        if self.id is None:
            self._meet(response)
        self._end(response, event["type"].removeprefix("response."), into, raw)
        self.done = True

    def _meet(self, response: dict[str, Any]) -> None:
        model, id_ = response.get("model"), response.get("id")
        self.model = model if isinstance(model, str) else None
        self.id = id_ if isinstance(id_, str) else None

    def _take_item(self, place: Any, item: dict[str, Any], into: list[Chunk], raw: Any) -> None:
        self._met = True
        kind = string(item["type"])
        if kind == "message":
            self.words.end_message(place, item, into, raw)
        elif kind == "reasoning":
            part = reasoning_part(item)
            text = part.text if self._thoughts.pop(place, None) is None else ""
            into.append(Chunk(reasoning=text, event=raw, parts=(ReasoningPart("", part.signature, part.extra),)))
        elif kind in CALLS:
            self.calls.end(place, item, into, raw)
        else:
            self._tools.saw(item)
            into.append(Chunk(event=raw, parts=(OpaquePart(kind, item, RESPONSES),)))

    def _end(self, response: dict[str, Any], status: str, into: list[Chunk], raw: Any) -> None:
        if not self._met:
            for place, item in enumerate(response.get("output") or ()):
                self._take_item(place, item, into, None)
        self.words.seal(into)
        tools = self._tools.in_all(response.get("tool_usage"))
        usage = read_usage(response.get("usage"), response.get("service_tier"), tools)
        if status in ("failed", "cancelled"):
            if usage is not None:
                into.append(Chunk(usage=usage, event=raw))
            raise BrokenReplyError(typed(response.get("error") or {"code": status}), usage)
        reason = self._reason(response, status)
        extra = others(response, _OF_RESPONSE | ECHOED) or None
        self.finished = True
        into.append(Chunk(finish_reason=reason, usage=usage, event=raw, extra=extra))

    def _reason(self, response: dict[str, Any], status: str) -> str:
        if status == "completed":
            return "tool_calls" if self.calls.count else "refusal" if self.words.refused else "stop"
        why = string((response.get("incomplete_details") or {}).get("reason") or status)
        return MEANINGS.get(why, why)


def plain_text(event: Any) -> tuple[str, dict[str, Any]] | None:
    """Give the text of an event that brings a piece of one and nothing else, and no counts; None for others."""
    try:
        found, logprobs = event["delta"], event.get("logprobs")
        plain = event["type"] == "response.output_text.delta" and event.keys() <= _OF_TEXT
    except (AttributeError, KeyError, TypeError):
        return None
    return (found, {}) if plain and not logprobs and type(found) is str else None


_READERS: dict[str, Callable[[ResponsesEvents, dict[str, Any], list[Chunk], Any], None]] = {
    **dict.fromkeys(
        ("response.created", "response.queued", "response.in_progress"), lambda it, event, _, __: it.begin(event)
    ),
    "response.output_item.added": ResponsesEvents.begin_item,
    "response.output_item.done": ResponsesEvents.end_item,
    "response.content_part.added": lambda it, event, into, raw: it.words.begin_part(event, into, raw),
    "response.content_part.done": lambda it, event, into, raw: it.words.end_part(event, into, raw),
    "response.output_text.annotation.added": lambda it, event, into, _: it.words.annotate(event, into),
    "response.refusal.delta": lambda it, event, into, raw: it.words.refuse(event, into, raw),
    "response.reasoning_summary_text.delta": ResponsesEvents.think,
    "response.reasoning_text.delta": ResponsesEvents.think,
    "response.function_call_arguments.delta": lambda it, event, into, raw: it.calls.argue(event, into, raw),
    "response.custom_tool_call_input.delta": lambda it, event, into, raw: it.calls.argue(event, into, raw),
    **dict.fromkeys(
        ("response.completed", "response.incomplete", "response.failed", "response.cancelled"), ResponsesEvents.end
    ),
}
