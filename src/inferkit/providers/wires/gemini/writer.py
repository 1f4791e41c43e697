"""From chunks to the bytes of a Gemini reply, as events or as one whole object: what `GeminiEvents` read."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from inferkit.core.chunks import Chunk
from inferkit.core.messages import ImagePart, OpaquePart, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from inferkit.core.reply import parts_of, tool_calls
from inferkit.providers.wires.extras import GEMINI, own
from inferkit.providers.wires.gemini.calls import object_of
from inferkit.providers.wires.gemini.finish_reasons import WORDS
from inferkit.providers.wires.gemini.logprobs import write_logprobs
from inferkit.providers.wires.gemini.usage import write_usage
from inferkit.providers.wires.gemini.write_messages import write_call, write_words
from inferkit.providers.wires.payload import write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inferkit.core.messages import Part
    from inferkit.core.usage import Usage

__all__ = ["GeminiWriter"]

_OF_CANDIDATE = frozenset(
    {
        "finishMessage", "safetyRatings", "citationMetadata", "tokenCount", "groundingAttributions",
        "groundingMetadata", "avgLogprobs", "urlContextMetadata", "continuationToken",
    }
)  # fmt: skip
_OF_EVENT = frozenset({"promptFeedback", "modelStatus", "createTime"})


class GeminiWriter:
    """Writes one reply; see `Writer`. Calls of functions are sent when they are whole."""

    def __init__(self, *, model: str, id: str, streamed: bool) -> None:  # noqa: A002 - the wire's name
        self._head = {"modelVersion": model, "responseId": id}
        self._streamed = streamed
        self._chunks: list[Chunk] = []
        self._calling: list[Chunk] = []
        self._usage: Usage | None = None
        self._reason: str | None = None
        self._said: str | None = None

    def write(self, chunks: Iterable[Chunk]) -> bytes:
        """Give the events of these chunks."""
        if not self._streamed:
            self._chunks += chunks
            return b""
        return b"".join([self._event(chunk) for chunk in chunks])

    def end(self) -> bytes:
        """Give the bytes that end the reply."""
        if self._streamed:
            return _line(self._content(self._calls(), Chunk(usage=self._usage), ends=True))
        parts = [written for part in parts_of(self._chunks) for written in _part(part)]
        extra: dict[str, Any] = {}
        for chunk in self._chunks:
            self._note(chunk)
            extra |= chunk.extra or {}
        logprobs = tuple([one for chunk in self._chunks for one in chunk.logprobs])
        return write(self._content(parts, Chunk(usage=self._usage, extra=extra, logprobs=logprobs), ends=True))

    def _event(self, chunk: Chunk) -> bytes:
        self._note(chunk)
        parts: list[dict[str, Any]] = []
        plain = chunk._replace(tool_calls=())
        if plain.has_content and self._are_whole():
            parts += self._calls()
        for part in parts_of([plain]):
            parts += _part(part)
        if chunk.tool_calls:
            self._calling.append(chunk)
        about = Chunk(usage=chunk.usage, extra=chunk.extra, logprobs=chunk.logprobs)
        if not parts and about == Chunk():
            return b""
        return _line(self._content(parts, about, ends=False))

    def _note(self, chunk: Chunk) -> None:
        self._usage = chunk.usage or self._usage
        self._reason = chunk.finish_reason or self._reason
        said = (chunk.extra or {}).get("finishReason")
        self._said = said if isinstance(said, str) else self._said

    def _are_whole(self) -> bool:
        return all(object_of(call.arguments) is not None for call in tool_calls(self._calling))

    def _calls(self) -> list[dict[str, Any]]:
        calls, self._calling = tool_calls(self._calling), []
        return [write_call(call) for call in calls]

    def _content(self, parts: list[dict[str, Any]], about: Chunk, *, ends: bool) -> dict[str, Any]:
        extra = about.extra or {}
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
        if ends:
            candidate["finishReason"] = self._said or WORDS.get(self._reason or "stop", self._reason)
        candidate |= {name: extra[name] for name in _OF_CANDIDATE if name in extra}
        if about.logprobs:
            candidate["logprobsResult"] = write_logprobs(about.logprobs)
        content: dict[str, Any] = {"candidates": [candidate]}
        content |= {name: extra[name] for name in _OF_EVENT if name in extra}
        if about.usage is not None:
            content["usageMetadata"] = write_usage(about.usage)
        return content | self._head


def _part(part: Part) -> list[dict[str, Any]]:
    """Give what a part of a reply is here; nothing for what this wire has no place for."""
    if isinstance(part, TextPart | RefusalPart | ReasoningPart):
        if isinstance(part, ReasoningPart) and not (part.extra and GEMINI in part.extra):
            part = ReasoningPart(part.text)  # what another provider sealed is nothing that this one's users know
        written = write_words(part)
        return [written] if part.text or len(written) > _words_alone(part) else []
    if isinstance(part, ToolCallPart):
        return [write_call(part)]
    if isinstance(part, ImagePart) and part.data is not None:
        inline = {"mimeType": part.media_type, "data": base64.b64encode(part.data).decode("ascii")}
        return [{"inlineData": inline, **own(part.extra, GEMINI)}]
    return [part.value] if isinstance(part, OpaquePart) and part.wire == GEMINI else []


def _words_alone(part: Part) -> int:
    return 2 if isinstance(part, ReasoningPart) else 1


def _line(content: dict[str, Any]) -> bytes:
    return b"data: " + write(content) + b"\n\n"
