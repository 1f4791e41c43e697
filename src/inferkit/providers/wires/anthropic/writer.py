"""From chunks to the bytes of an Anthropic reply, as events or as one whole object: what `AnthropicEvents` read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from inferkit.core.messages import OpaquePart, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from inferkit.core.reply import parts_of
from inferkit.core.usage import Usage
from inferkit.providers.wires.anthropic.finish_reasons import WORDS
from inferkit.providers.wires.anthropic.usage import write_usage
from inferkit.providers.wires.anthropic.write_messages import INVALID
from inferkit.providers.wires.extras import ANTHROPIC, own
from inferkit.providers.wires.payload import write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from inferkit.core.chunks import Chunk, ToolCallDelta
    from inferkit.core.messages import Part

__all__ = ["AnthropicWriter"]

_OF_DELTA = frozenset({"stop_sequence", "stop_details", "container"})


class AnthropicWriter:
    """Writes one reply; see `Writer`."""

    def __init__(self, *, model: str, id: str, streamed: bool) -> None:  # noqa: A002 - the wire's name
        self._model = model
        self._id = id
        self._streamed = streamed
        self._chunks: list[Chunk] = []
        self._begun = False
        self._ended = False
        self._index = -1
        self._open: str | int | None = None  # the kind of the block that is open, or the index of a tool call
        self._usage = Usage()
        self._reason: str | None = None
        self._extra: dict[str, Any] = {}

    def write(self, chunks: Iterable[Chunk]) -> bytes:
        """Give the events of these chunks."""
        if not self._streamed:
            self._chunks += chunks
            return b""
        return b"".join([event for chunk in chunks for event in self._events(chunk)])

    def end(self) -> bytes:
        """Give the bytes that end the reply."""
        if not self._streamed:
            return write(self._whole())
        return b"".join([*self._begin(), *self._finish()])

    def _events(self, chunk: Chunk) -> Iterator[bytes]:
        self._note(chunk)
        yield from self._begin()
        refused = any(isinstance(part, RefusalPart) and not part.text for part in chunk.parts)
        if chunk.reasoning:
            yield from self._in_block("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            yield self._delta({"type": "thinking_delta", "thinking": chunk.reasoning})
        if chunk.text:
            yield from self._in_block("text", {"type": "text", "text": ""})
            yield self._delta({"type": "text_delta", "text": chunk.text})
        for part in chunk.parts:
            if not (refused and isinstance(part, RefusalPart)):
                yield from self._part(part)
        for call in chunk.tool_calls:
            yield from self._call(call)

    def _note(self, chunk: Chunk) -> None:
        self._usage = chunk.usage or self._usage
        self._reason = chunk.finish_reason or self._reason
        self._extra |= chunk.extra or {}

    def _begin(self) -> Iterator[bytes]:
        if self._begun:
            return
        self._begun = True
        usage = {**write_usage(self._usage), "output_tokens": min(1, self._usage.output_tokens)}
        message = self._head() | {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        yield _event("message_start", {"message": message})

    def _in_block(self, kind: str, begun: dict[str, Any]) -> Iterator[bytes]:
        if self._open != kind:
            yield from self._start(kind, begun)

    def _start(self, kind: str | int, begun: dict[str, Any]) -> Iterator[bytes]:
        yield from self._stop()
        self._open = kind
        self._index += 1
        yield _event("content_block_start", {"index": self._index, "content_block": begun})

    def _stop(self) -> Iterator[bytes]:
        if self._open is not None:
            self._open = None
            yield _event("content_block_stop", {"index": self._index})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", {"index": self._index, "delta": delta})

    def _part(self, part: Part) -> Iterator[bytes]:
        if isinstance(part, TextPart | RefusalPart):
            if part.text or self._open != "text":
                yield from self._start("text", {"type": "text", "text": ""})
            if part.text:
                yield self._delta({"type": "text_delta", "text": part.text})
            for citation in own(part.extra, ANTHROPIC).get("citations") or ():
                yield self._delta({"type": "citations_delta", "citation": citation})
            yield from self._stop()
        elif isinstance(part, ReasoningPart):
            if part.text or self._open != "thinking":
                yield from self._start("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            if part.text:
                yield self._delta({"type": "thinking_delta", "thinking": part.text})
            if part.signature is not None:
                yield self._delta({"type": "signature_delta", "signature": part.signature})
            yield from self._stop()
        elif isinstance(part, OpaquePart) and part.wire == ANTHROPIC:
            yield from self._start("other", part.value)
            yield from self._stop()

    def _call(self, call: ToolCallDelta) -> Iterator[bytes]:
        if self._open != call.index or type(self._open) is not int:
            extra = own(call.extra, ANTHROPIC)
            begun = {"type": "tool_use", "id": call.id or "", "name": call.name or "", "input": {}, **extra}
            yield from self._start(call.index, begun)
        if call.arguments:
            yield self._delta({"type": "input_json_delta", "partial_json": call.arguments})

    def _finish(self) -> Iterator[bytes]:
        yield from self._stop()
        delta = {"stop_reason": self._stop_reason(), "stop_sequence": None, **self._said(_OF_DELTA)}
        yield _event("message_delta", {"delta": delta, "usage": write_usage(self._usage)})
        yield _event("message_stop", {})

    def _head(self) -> dict[str, Any]:
        return {"id": self._id, "type": "message", "role": "assistant", "model": self._model}

    def _stop_reason(self) -> str:
        said = self._extra.get("stop_reason")
        if isinstance(said, str):
            return said
        return WORDS.get(self._reason or "stop", self._reason or "end_turn")

    def _said(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: self._extra[name] for name in names if name in self._extra}

    def _whole(self) -> dict[str, Any]:
        for chunk in self._chunks:
            self._note(chunk)
        content = [block for part in parts_of(self._chunks) for block in _block(part)]
        ending = {"stop_reason": self._stop_reason(), "stop_sequence": None, **self._said(_OF_DELTA)}
        return self._head() | {"content": content, **ending, "usage": write_usage(self._usage)}


def _block(part: Part) -> Iterator[dict[str, Any]]:
    """Give the block of a whole reply that a part is; none for what this wire has no place for."""
    if isinstance(part, TextPart | RefusalPart):
        yield {"type": "text", "text": part.text, **own(part.extra, ANTHROPIC)}
    elif isinstance(part, ReasoningPart):
        yield {"type": "thinking", "thinking": part.text, "signature": part.signature or ""}
    elif isinstance(part, ToolCallPart):
        try:
            given = json.loads(part.arguments or "{}")
        except (ValueError, RecursionError):
            given = {INVALID: part.arguments}
        yield {"type": "tool_use", "id": part.id, "name": part.name, "input": given, **own(part.extra, ANTHROPIC)}
    elif isinstance(part, OpaquePart) and part.wire == ANTHROPIC:
        yield part.value


def _event(kind: str, fields: dict[str, Any]) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + write({"type": kind, **fields}) + b"\n\n"
