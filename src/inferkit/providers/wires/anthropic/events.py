"""From the events of one Anthropic reply to chunks. Pure: objects in, chunks out, with the state of one reply.

A reply is a list of blocks. Text, thinking and tool calls become chunks as they come; a block's end seals it with what
only the provider understands of it (a signature, citations). Blocks of other kinds (what the provider's own tools were
asked and answered, thinking that is encrypted) become parts when they are whole.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.core.messages import OpaquePart, ReasoningPart, TextPart
from inferkit.providers.wires.anthropic.finish_reasons import MEANINGS
from inferkit.providers.wires.anthropic.usage import UsageCounts
from inferkit.providers.wires.extras import ANTHROPIC
from inferkit.providers.wires.payload import Malformed

if TYPE_CHECKING:
    from inferkit.core.messages import Part

__all__ = ["AnthropicEvents", "plain_text"]

_new = tuple.__new__  # twice as fast as a named tuple's own, and used for every token
_OF_MESSAGE = frozenset({"id", "type", "role", "model", "content", "usage", "stop_reason"})
_OF_CALL = frozenset({"type", "id", "name", "input"})
_TEXT_EVENT, _TEXT_DELTA = {"type", "index", "delta"}, {"type", "text"}
_WITH_INPUT = ("server_tool_use", "mcp_tool_use")


class _Block:
    """One block while it comes."""

    __slots__ = ("begun", "citations", "inputs", "kind", "place", "signature")

    def __init__(self, begun: dict[str, Any], place: int) -> None:
        self.begun = begun
        self.kind: Any = begun["type"]
        self.place = place  # among the tool calls
        self.citations: list[Any] = list(begun.get("citations") or ()) if self.kind == "text" else []
        self.signature: str | None = begun.get("signature") or None
        self.inputs: list[str] = []


class AnthropicEvents:
    """See `Events`."""

    __slots__ = ("_blocks", "_calls", "_extra", "_usage", "done", "finished", "id", "light", "model")

    def __init__(self) -> None:
        self.finished = False
        self.done = False
        self.light = False
        self.model: str | None = None
        self.id: str | None = None
        self._blocks: dict[Any, _Block] = {}
        self._calls = 0
        self._usage = UsageCounts()
        self._extra: dict[str, Any] = {}

    def read(self, event: dict[str, Any], into: list[Chunk], raw: Any = None) -> None:
        """See `Events`. Kinds of events that are not known are passed over."""
        try:
            kind = event["type"]
            if kind == "content_block_delta":
                self._delta(event["delta"], event["index"], into, raw)
                return
            self.light = False
            if kind == "content_block_start":
                self._start(event["content_block"], event["index"], into, raw)
            elif kind == "content_block_stop":
                self._stop(event["index"], into, raw)
            elif kind == "message_start":
                self._meet(event["message"], into, raw)
            elif kind == "message_delta":
                self._end(event, into, raw)
            elif kind == "message_stop":
                self.finished = self.done = True
                self.rest(into)
        except (AttributeError, TypeError, KeyError, ValueError):
            raise Malformed("it has an unknown shape") from None

    def read_whole(self, content: Any, into: list[Chunk], raw: Any = None) -> None:
        """See `Events`."""
        if not isinstance(content, dict) or not isinstance(content.get("content"), list):
            raise Malformed("it has no content")
        try:
            for index, block in enumerate(content["content"]):
                self._whole_block(block, index, into)
            self._extra |= _others(content, _OF_MESSAGE)
            self.model, self.id = _text(content.get("model")), _text(content.get("id"))
            usage = self._usage.report(content.get("usage"))
            self.finished = True
            into.append(Chunk(finish_reason=self._reason(content), usage=usage, event=raw, extra=self._told()))
        except (AttributeError, TypeError, KeyError, ValueError):
            raise Malformed("it has an unknown shape") from None

    def rest(self, into: list[Chunk]) -> None:
        """See `Events`."""
        for index in list(self._blocks):
            self._stop(index, into, None)
        extra = self._told()
        if extra:
            into.append(Chunk(extra=extra))

    def _delta(self, delta: dict[str, Any], index: Any, into: list[Chunk], raw: Any) -> None:
        kind = delta["type"]
        if kind == "text_delta":
            text = delta["text"]
            if type(text) is not str:
                raise Malformed("a text is not text")
            self.light = True
            into.append(_new(Chunk, (text, "", (), None, None, raw, (), None, ())))
        elif kind == "thinking_delta":
            self.light = True
            into.append(Chunk(reasoning=_words(delta["thinking"]), event=raw))
        elif kind == "input_json_delta":
            self._input(delta["partial_json"], self._blocks[index], into, raw)
        elif kind == "signature_delta":
            self.light = False
            block = self._blocks[index]
            block.signature = (block.signature or "") + _words(delta["signature"])
        elif kind == "citations_delta":
            self.light = False
            self._blocks[index].citations.append(delta["citation"])
        else:  # a kind that came later, of a block that is kept as it stands
            self.light = False
            block = self._blocks[index]
            block.begun = {**block.begun, **{name: value for name, value in delta.items() if name != "type"}}

    def _input(self, piece: Any, block: _Block, into: list[Chunk], raw: Any) -> None:
        self.light = False
        piece = _words(piece)
        block.inputs.append(piece)
        if block.kind == "tool_use" and piece:
            into.append(Chunk(tool_calls=(ToolCallDelta(block.place, arguments=piece),), event=raw))

    def _start(self, begun: dict[str, Any], index: Any, into: list[Chunk], raw: Any) -> None:
        block = self._blocks[index] = _Block(begun, self._calls)
        if block.kind == "tool_use":
            self._calls += 1
            others = _others(begun, _OF_CALL)
            extra = {ANTHROPIC: others} if others else None
            call = ToolCallDelta(block.place, _words(begun["id"]), _words(begun["name"]), extra=extra)
            into.append(Chunk(tool_calls=(call,), event=raw))
        elif block.kind == "text" and begun.get("text"):
            into.append(Chunk(_words(begun["text"]), event=raw))
        elif block.kind == "thinking" and begun.get("thinking"):
            into.append(Chunk(reasoning=_words(begun["thinking"]), event=raw))

    def _stop(self, index: Any, into: list[Chunk], raw: Any) -> None:
        block = self._blocks.pop(index, None)
        if block is None:
            return
        if block.kind == "tool_use":
            if not any(block.inputs):
                arguments = json.dumps(block.begun.get("input") or {}, ensure_ascii=False)
                into.append(Chunk(tool_calls=(ToolCallDelta(block.place, arguments=arguments),), event=raw))
            return
        part = _sealed(block)
        if part is not None:
            into.append(Chunk(event=raw, parts=(part,)))

    def _whole_block(self, block: dict[str, Any], index: int, into: list[Chunk]) -> None:
        self._start(block, index, into, None)
        self._stop(index, into, None)

    def _meet(self, message: dict[str, Any], into: list[Chunk], raw: Any) -> None:
        self.model, self.id = _text(message.get("model")), _text(message.get("id"))
        self._extra |= _others(message, _OF_MESSAGE | {"stop_sequence", "stop_details"})
        usage = self._usage.report(message.get("usage"))
        if usage is not None:
            into.append(Chunk(usage=usage, event=raw))
        for index, block in enumerate(message.get("content") or ()):
            self._whole_block(block, -1 - index, into)

    def _end(self, event: dict[str, Any], into: list[Chunk], raw: Any) -> None:
        delta = event.get("delta") or {}
        usage = self._usage.report(event.get("usage"))
        self._extra |= _others(delta, _OF_MESSAGE)
        self._extra |= _others(event, {"type", "delta", "usage"})
        reason = self._reason(delta)
        if reason is not None:
            for index in list(self._blocks):
                self._stop(index, into, None)
            self.finished = True
        into.append(Chunk(finish_reason=reason, usage=usage, event=raw, extra=self._told() if self.finished else None))

    def _reason(self, said: dict[str, Any]) -> str | None:
        reason = said.get("stop_reason")
        if reason is None:
            return None
        reason = _words(reason)
        self._extra["stop_reason"] = reason
        return MEANINGS.get(reason, reason)

    def _told(self) -> dict[str, Any] | None:
        extra, self._extra = self._extra, {}
        return extra or None


def plain_text(event: Any) -> tuple[str, dict[str, Any]] | None:
    """Give the text of an event that brings a piece of one and nothing else, and no counts; None for others."""
    try:
        delta = event["delta"]
        found: Any = delta["text"]
        plain = event.keys() == _TEXT_EVENT and delta.keys() == _TEXT_DELTA and delta["type"] == "text_delta"
    except (AttributeError, KeyError, TypeError):
        return None
    return (found, {}) if plain and type(found) is str else None


def _sealed(block: _Block) -> Part | None:
    """Give the part that a block becomes at its end, beside what came of it; None where that is all there is."""
    if block.kind == "text":
        return TextPart("", {ANTHROPIC: {"citations": block.citations}}) if block.citations else None
    if block.kind == "thinking":
        return None if block.signature is None else ReasoningPart("", block.signature, {ANTHROPIC: {}})
    whole = block.begun
    if block.kind in _WITH_INPUT and any(block.inputs):
        whole = {**whole, "input": json.loads("".join(block.inputs))}
    return OpaquePart(str(block.kind), whole, ANTHROPIC)


def _words(value: Any) -> str:
    if type(value) is not str:
        raise TypeError
    return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _others(given: dict[str, Any], known: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in known and value is not None}
